//! Whole rows: the row of a table or query as one value, and rows put apart into their fields.

use std::sync::Arc;

use dataman_node_protocol::query::{self, NamedType, OutputField, Source};
use dataman_pg::expr::Field;
use dataman_pg::types::TypeRef;
use dataman_pg::value::Array;
use dataman_pg::{Expr, PgError, TypeId, Value, internal};

use super::expr::Clause;
use super::record::internal_call;
use super::scope::{Scope, ScopeTable};
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind};
use crate::plan::form::alias_of;

/// The column of a source by which a row of it is told from the NULLs that an outer join puts in its place.
const PRESENT: &str = "row is present";

impl Binder<'_> {
    /// The row of a table as a value. It is NULL, and not a row of NULLs, where an outer join found none.
    ///
    /// # Errors
    /// Those of [`Scope::table`].
    pub(super) fn whole_row(
        &mut self,
        schema: Option<&str>,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let table = scope.table(schema, name)?.clone();
        if self.context.shows || clause == Clause::Definition {
            return Err(PgError::unsupported(
                "the whole row of a table in a view or definition is not supported",
            )
            .with_hint("Name the columns."));
        }
        self.facts.internal = true;
        if let (true, [only]) = (table.is_value, table.columns.as_slice()) {
            return Ok(only.expr.clone());
        }
        let names = match table.fields.as_slice() {
            [] => table.columns.iter().map(|column| column.name.clone()).collect(),
            fields => fields.to_vec(),
        };
        let row = Expr::Row(table.columns.iter().map(|column| column.expr.clone()).collect());
        // Of which relation the row is, is the type's modifier.
        let typmod = table.relation.and_then(|oid| i32::try_from(oid).ok()).unwrap_or(-1);
        let ty = TypeRef { id: TypeId::RECORD, typmod };
        let named = named(&names, row, typmod);
        if !table.is_outer {
            return Ok(named);
        }
        let Some(source) = only_source(&table) else {
            return Err(PgError::unsupported(format!(
                "the whole row of \"{name}\", which an outer join may leave out, is not supported"
            ))
            .with_hint("Name the columns."));
        };
        if !self.present.contains(&source) {
            self.present.push(source.clone());
        }
        let ty_of_flag = TypeRef::plain(TypeId::BOOL);
        let present = Expr::Field(Field { source, name: PRESENT.to_owned(), ty: ty_of_flag });
        let otherwise = Box::new(Expr::null(TypeId::RECORD));
        Ok(Expr::Case { branches: vec![(present, named)], otherwise, ty })
    }

    /// Gives the sources whose rows' presence is asked for a column that says so.
    pub(super) fn mark_present(&mut self, sources: &mut [Source]) {
        for source in sources {
            if self.present.is_empty() {
                return;
            }
            if let Source::Join { left, right, .. } = source {
                self.mark_present(std::slice::from_mut(left));
                self.mark_present(std::slice::from_mut(right));
                continue;
            }
            let place = self.present.iter().position(|alias| alias_of(source) == Some(alias));
            if let Some(place) = place {
                let alias = self.present.swap_remove(place);
                self.mark(source, alias);
            }
        }
    }

    fn mark(&mut self, source: &mut Source, alias: String) {
        let inner = self.unique_alias(&alias);
        let lateral =
            matches!(source, Source::Function { .. } | Source::Query { lateral: true, .. });
        let (own, mut columns) = match source {
            Source::Collection { alias, fields, .. } => (alias, fields.clone()),
            Source::Query { alias, columns, .. }
            | Source::CommonTable { alias, columns, .. }
            | Source::Values { alias, columns, .. }
            | Source::Function { alias, columns, .. }
            | Source::Virtual { alias, columns, .. } => (alias, columns.clone()),
            Source::Join { .. } => return,
        };
        own.clone_from(&inner);
        if let Some(table) = self.tables.remove(&alias) {
            self.tables.insert(inner.clone(), table);
        }
        let field = |column: &NamedType| OutputField::Bound {
            expr: Expr::Field(Field {
                source: inner.clone(),
                name: column.name.clone(),
                ty: column.ty,
            }),
            name: column.name.clone(),
        };
        let mut fields: Vec<OutputField> = columns.iter().map(field).collect();
        let flag = Expr::constant(Value::Bool(true), TypeId::BOOL);
        fields.push(OutputField::Bound { expr: flag, name: PRESENT.to_owned() });
        columns.push(NamedType { name: PRESENT.to_owned(), ty: TypeRef::plain(TypeId::BOOL) });
        let placeholder = Source::Query { query: Box::default(), alias, columns, lateral };
        let marked = std::mem::replace(source, placeholder);
        if let Source::Query { query, .. } = source {
            **query = query::Select { source: vec![marked], fields, ..query::Select::default() };
        }
    }

    /// Expressions of a list in which `(row).*` stands for all fields of the row.
    pub(super) fn expanded(
        &mut self,
        exprs: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<Expr>> {
        let mut bound = Vec::new();
        for expr in exprs {
            match &expr.kind {
                ExprKind::WholeRow(..) | ExprKind::Expand(_) => {
                    let fields = self.fields_of(expr, scope, clause)?;
                    bound.extend(fields.into_iter().map(|(_, field)| field));
                }
                _ => bound.push(self.expr(expr, scope, clause)?),
            }
        }
        Ok(bound)
    }

    /// The names and values of what `t.*` or `(row).*` stands for.
    pub(super) fn fields_of(
        &mut self,
        expr: &syntax::Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<(String, Expr)>> {
        let row = match &expr.kind {
            ExprKind::WholeRow(parts) => {
                let found = self.row_of_table(parts, scope, clause);
                let row = self.place(found, expr.span)?;
                if row.type_id() != TypeId::RECORD {
                    let name = parts.last().cloned().unwrap_or_default();
                    return Ok(vec![(name, row)]);
                }
                row
            }
            ExprKind::Expand(row) => self.expr(row, scope, clause)?,
            _ => return Err(PgError::internal("a row to expand was expected")),
        };
        if row.type_id() != TypeId::RECORD {
            let ty = self.type_name(row.type_id());
            return Err(PgError::new("42809", format!("type {ty} is not composite")));
        }
        let Some(fields) = self.row_shape(&row) else {
            return Err(PgError::unsupported("expanding this row value is not supported")
                .with_hint("Make the row in a query of its own, and name its columns."));
        };
        self.facts.internal = true;
        let fields = fields.into_iter().enumerate();
        Ok(fields.map(|(place, field)| (field.name, part(&row, place, field.ty))).collect())
    }

    /// `t.*` as a value.
    pub(super) fn row_of_table(
        &mut self,
        parts: &[String],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let (schema, table) = match parts {
            [table] => (None, table),
            [schema, table] | [_, schema, table] => (Some(schema.as_str()), table),
            _ => return Err(PgError::new("42601", "improper qualified name")),
        };
        self.whole_row(schema, table, scope, clause).map_err(|error| match error.sqlstate() {
            "42P01" => self.missing_table(table, scope),
            _ => error,
        })
    }
}

/// A row whose fields have names; the modifier says of which relation it is.
pub(super) fn named(names: &[String], row: Expr, typmod: i32) -> Expr {
    let names = names.iter().map(|name| Value::text(name.as_str())).collect();
    let names = Value::Array(Arc::new(Array::vector(TypeId::TEXT, names)));
    let names = Expr::constant(names, TypeId::TEXT_ARRAY);
    internal_call(internal::NAMED, vec![names, row], TypeRef { id: TypeId::RECORD, typmod })
}

/// A field of a row.
pub(super) fn part(row: &Expr, place: usize, ty: TypeRef) -> Expr {
    match row {
        Expr::Row(fields) if place < fields.len() => return fields[place].clone(),
        _ => {}
    }
    if let Some((_, Expr::Row(fields))) = named_row(row)
        && place < fields.len()
    {
        // Where the row is left out its columns are NULL.
        return fields[place].clone();
    }
    let number =
        Expr::constant(Value::Int4(i32::try_from(place).unwrap_or(i32::MAX)), TypeId::INT4);
    internal_call(internal::FIELD, vec![row.clone(), number], ty)
}

/// The names and the row that a whole row is made of.
pub(super) fn named_row(expr: &Expr) -> Option<(&Array, &Expr)> {
    match expr {
        Expr::Call(call) if call.function == internal::NAMED => match call.args.as_slice() {
            [Expr::Const(names), row] => match &names.value {
                Value::Array(names) => Some((names, row)),
                _ => None,
            },
            _ => None,
        },
        Expr::Case { branches, .. } => match branches.as_slice() {
            [(Expr::Field(present), row)] if present.name == PRESENT => named_row(row),
            _ => None,
        },
        _ => None,
    }
}

/// The one source that all columns of a table are of.
fn only_source(table: &ScopeTable) -> Option<String> {
    let mut found: Option<&str> = None;
    for column in &table.columns {
        match &column.expr {
            Expr::Field(field) if found.is_none_or(|known| known == field.source) => {
                found = Some(&field.source);
            }
            _ => return None,
        }
    }
    found.map(str::to_owned)
}

/// Checks that the rows among what is to have one type are of the same table.
pub(super) fn check_same_rows(exprs: &[Expr], word: &str) -> Result<()> {
    let is_null = |expr: &Expr| matches!(expr, Expr::Const(found) if found.value.is_null());
    let rows = exprs.iter().filter(|expr| expr.type_id() == TypeId::RECORD && !is_null(expr));
    let mut typmods = rows.map(|row| row.type_ref().typmod);
    let Some(first) = typmods.next() else { return Ok(()) };
    if typmods.all(|other| other == first) {
        return Ok(());
    }
    Err(PgError::new("42804", format!("{word} types record and record cannot be matched")))
}
