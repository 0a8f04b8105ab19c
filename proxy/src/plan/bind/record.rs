//! Row values and their fields: `(row).field`, rows of a set-returning function as values, rows with a column definition list,
//! and assignments to parts of a value.

use dataman_metadata::schema::Field as Column;
use dataman_node_protocol::query::{self, NamedType, OutputField, Source};
use dataman_pg::expr::{Call, Field, SubqueryKind, SubscriptIndex};
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::value::Array;
use dataman_pg::{Expr, PgError, TypeId, Value, catalog, internal};

use super::expr::Clause;
use super::from::derived_columns;
use super::scope::{FromItem, Scope, ScopeTable};
use super::{Binder, Result, Table};
use crate::parse::syntax::{self, Alias, DefinedColumn, ExprKind, FunctionCall, Span, Subscript};

/// The functions that make rows of JSON, and where they take it.
const RECORD_FUNCTIONS: &[(&str, usize)] = &[
    ("json_to_record", 0),
    ("json_to_recordset", 0),
    ("jsonb_to_record", 0),
    ("jsonb_to_recordset", 0),
    ("json_populate_record", 1),
    ("json_populate_recordset", 1),
    ("jsonb_populate_record", 1),
    ("jsonb_populate_recordset", 1),
];

/// What is known of the fields of row values.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// Rows as they are made, with the names of their fields.
    made: Vec<(Expr, Vec<NamedType>)>,
    /// Columns of sources: the source's alias, the column, and the fields of its rows.
    columns: Vec<(String, String, Vec<NamedType>)>,
}

impl Shapes {
    /// Remembers the fields of the rows of a source's column.
    pub(super) fn keep(&mut self, alias: &str, column: &str, fields: Vec<NamedType>) {
        self.columns.push((alias.to_owned(), column.to_owned(), fields));
    }

    fn of(&self, expr: &Expr) -> Option<Vec<NamedType>> {
        if let Some((_, fields)) = self.made.iter().find(|(made, _)| made == expr) {
            return Some(fields.clone());
        }
        match expr {
            Expr::Call(_) | Expr::Case { .. } => {
                let (names, row) = super::whole::named_row(expr)?;
                let Expr::Row(fields) = row else { return None };
                let named = names.elements.iter().zip(fields).map(|(name, field)| NamedType {
                    name: match name {
                        Value::Text(name) => name.to_string(),
                        _ => String::new(),
                    },
                    ty: field.type_ref(),
                });
                Some(named.collect())
            }
            Expr::Row(fields) => {
                let named = fields.iter().enumerate().map(|(place, field)| NamedType {
                    name: format!("f{}", place + 1),
                    ty: field.type_ref(),
                });
                Some(named.collect())
            }
            Expr::Field(field) => {
                let known = |(alias, name, _): &&(String, String, Vec<NamedType>)| {
                    *alias == field.source && *name == field.name
                };
                self.columns.iter().find(known).map(|(_, _, fields)| fields.clone())
            }
            _ => None,
        }
    }
}

/// An assignment to a part of a column.
pub(super) struct Part<'a> {
    /// The column.
    pub(super) column: &'a Column,
    /// The subscripts that lead to the part.
    pub(super) subscripts: &'a [Subscript],
    /// What is assigned.
    pub(super) value: &'a syntax::Expr,
    /// Where the column stands.
    pub(super) span: Span,
}

/// The type of an output column of a call: a polymorphic one follows from the array among the arguments.
pub(super) fn output_type(call: &Call, ty: TypeId) -> TypeRef {
    let array = call.args.iter().map(Expr::type_id).find_map(|array| match array {
        TypeId::INT2VECTOR => Some((array, TypeId::INT2)),
        TypeId::OIDVECTOR => Some((array, TypeId::OID)),
        _ => {
            let element = catalog::type_by_id(array).filter(|found| found.category == 'A');
            element.map(|found| (array, found.element))
        }
    });
    TypeRef::plain(match (ty, array) {
        (TypeId::ANYELEMENT, Some((_, element))) => element,
        (TypeId::ANYARRAY, Some((array, _))) => array,
        _ => ty,
    })
}

pub(super) fn internal_call(
    function: dataman_pg::expr::FunctionId,
    args: Vec<Expr>,
    ty: TypeRef,
) -> Expr {
    Expr::Call(Call { function, operator: None, args, variadic: false, ty })
}

impl Binder<'_> {
    /// `(row).name`.
    pub(super) fn field_of(
        &mut self,
        row: &syntax::Expr,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let bound = self.expr(row, scope, clause)?;
        if bound.type_id() != TypeId::RECORD {
            let error = PgError::new(
                "42809",
                format!(
                    "column notation .{name} applied to type {}, which is not a composite type",
                    self.type_name(bound.type_id())
                ),
            );
            return Err(self.at(error, row.span));
        }
        let Some(fields) = self.row_shape(&bound) else {
            return Err(PgError::unsupported(
                "selecting a field of this row value is not supported",
            ));
        };
        let Some(place) = fields.iter().position(|field| field.name == name) else {
            let message = match &row.kind {
                ExprKind::Column(parts) if super::whole::named_row(&bound).is_some() => {
                    format!("column {}.{name} does not exist", parts.join("."))
                }
                _ => format!("could not identify column \"{name}\" in record data type"),
            };
            return Err(self.at(PgError::new("42703", message), row.span));
        };
        // The client's own text does not say to a shard what a row's field is.
        self.facts.internal = true;
        Ok(super::whole::part(&bound, place, fields[place].ty))
    }

    /// The names and types of a row's fields, where they are known before it is computed.
    pub(super) fn row_shape(&self, row: &Expr) -> Option<Vec<NamedType>> {
        if let Some(fields) = self.shapes.of(row) {
            return Some(fields);
        }
        let is_row = |expr: &&Expr| !matches!(expr, Expr::Const(_));
        match row {
            Expr::Subquery { index, kind: SubqueryKind::Scalar | SubqueryKind::Array, .. } => {
                let select = self.subqueries.last()?.get(*index)?;
                match select.fields.first()? {
                    OutputField::Bound { expr, .. } => self.row_shape(expr),
                    _ => None,
                }
            }
            // Elements have the fields of what their array is made of.
            Expr::Subscript { array, .. } => self.row_shape(array),
            Expr::Array { elements, .. } => self.row_shape(elements.first()?),
            Expr::Aggregate(aggregate) => {
                let name = catalog::function(aggregate.function)?.name;
                let keeps = matches!(name, "array_agg" | "min" | "max");
                if keeps { self.row_shape(aggregate.args.first()?) } else { None }
            }
            Expr::Case { branches, otherwise, .. } => {
                let results = branches.iter().map(|(_, result)| result);
                self.same_shape(results.chain([&**otherwise]).filter(is_row))
            }
            Expr::Coalesce { args, .. } => self.same_shape(args.iter().filter(is_row)),
            Expr::NullIf { value, .. } => self.row_shape(value),
            _ => None,
        }
    }

    fn same_shape<'e>(&self, mut rows: impl Iterator<Item = &'e Expr>) -> Option<Vec<NamedType>> {
        let first = self.row_shape(rows.next()?)?;
        let same = rows.all(|row| self.row_shape(row).as_ref() == Some(&first));
        same.then_some(first)
    }

    /// Remembers the fields of a source's columns that are rows.
    pub(super) fn keep_shapes(
        &mut self,
        alias: &str,
        columns: &[NamedType],
        select: &query::Select,
    ) {
        for (column, field) in columns.iter().zip(&select.fields) {
            if let OutputField::Bound { expr, .. } = field
                && matches!(column.ty.id, TypeId::RECORD | TypeId::RECORD_ARRAY)
                && let Some(fields) = self.row_shape(expr)
            {
                self.shapes.columns.push((alias.to_owned(), column.name.clone(), fields));
            }
        }
    }

    /// A call of several columns in a SELECT list, as one row value. The same call goes in step with itself: it is one source.
    pub(super) fn row_set_in_list(&mut self, call: Call, name: &str) -> Result<Expr> {
        let out = catalog::function(call.function).map_or(&[][..], |function| function.out);
        if out.len() < 2 {
            return Err(PgError::unsupported(format!(
                "the function {name} with several columns is only supported in FROM"
            )));
        }
        let columns: Vec<NamedType> = out
            .iter()
            .map(|(own, ty)| NamedType { name: (*own).to_owned(), ty: output_type(&call, *ty) })
            .collect();
        let expr = Expr::Call(call);
        let known = self.listed_sets.iter().find_map(|source| match source {
            Source::Function { call, alias, .. } if *call == expr => Some(alias.clone()),
            _ => None,
        });
        let alias = match known {
            Some(alias) => alias,
            None => {
                let alias = self.unique_alias(name);
                self.listed_sets.push(Source::Function {
                    call: expr,
                    alias: alias.clone(),
                    columns: columns.clone(),
                    ordinality: false,
                });
                alias
            }
        };
        let field = |column: &NamedType| {
            let name = column.name.clone();
            Expr::Field(Field { source: alias.clone(), name, ty: column.ty })
        };
        let row = Expr::Row(columns.iter().map(field).collect());
        self.shapes.made.push((row.clone(), columns));
        Ok(row)
    }

    /// A function of which a column definition list says what its rows are.
    pub(super) fn defined_rows(
        &mut self,
        call: &FunctionCall,
        columns: &[DefinedColumn],
        ordinality: bool,
        alias: Option<&Alias>,
        scope: &Scope<'_>,
    ) -> Result<FromItem> {
        let span = columns.first().map(|column| column.span).unwrap_or_default();
        let wrong =
            |binder: &Self, message: &'static str| binder.at(PgError::new("42601", message), span);
        if ordinality {
            return Err(wrong(
                self,
                "WITH ORDINALITY cannot be used with a column definition list",
            )
            .with_hint("Put the column definition list inside ROWS FROM()."));
        }
        let bound = self.call(call, scope, Clause::FromFunction, call.name.span)?;
        let function = match &bound {
            Expr::Call(call) => catalog::function(call.function),
            _ => None,
        };
        if function.is_some_and(|function| !function.out.is_empty()) {
            return Err(wrong(
                self,
                "a column definition list is redundant for a function with OUT parameters",
            ));
        }
        if bound.type_id() != TypeId::RECORD {
            return Err(wrong(
                self,
                "a column definition list is only allowed for functions returning \"record\"",
            ));
        }
        let mut named: Vec<NamedType> = Vec::new();
        for column in columns {
            if named.iter().any(|known| known.name == column.name) {
                let message = format!("column name \"{}\" specified more than once", column.name);
                return Err(PgError::new("42701", message));
            }
            let ty = self.type_ref(&column.ty)?;
            if catalog::type_by_id(ty.id).is_none_or(|found| found.kind == 'p') {
                return Err(PgError::unsupported(format!(
                    "type {} in a column definition list is not supported",
                    self.type_name(ty.id)
                )));
            }
            named.push(NamedType { name: column.name.clone(), ty });
        }
        let name = function.map_or("?", |function| function.name);
        let taken = RECORD_FUNCTIONS.iter().find(|(known, _)| *known == name);
        let (Expr::Call(mut found), Some((_, place))) = (bound, taken) else {
            return Err(PgError::unsupported(format!(
                "the function {name} with a column definition list is not supported"
            )));
        };
        let base_is_null = match found.args.first() {
            Some(Expr::Const(base)) => base.value.is_null(),
            Some(Expr::Cast(cast)) => {
                matches!(&cast.arg, Expr::Const(base) if base.value.is_null())
            }
            _ => false,
        };
        if *place > 0 && !base_is_null {
            return Err(PgError::unsupported(format!(
                "{name} over a row with a column definition list is not supported"
            )));
        }
        let document = found.args.swap_remove(*place);
        let text_of = |name: &NamedType| Value::text(name.name.as_str());
        let typmod_of = |name: &NamedType| Value::Int4(name.ty.typmod);
        let vector = |element: TypeId, array: TypeId, values: Vec<Value>| {
            let array_value = Value::Array(std::sync::Arc::new(Array::vector(element, values)));
            Expr::constant(array_value, array)
        };
        let mut args = vec![
            Expr::constant(Value::text(name), TypeId::TEXT),
            document,
            vector(TypeId::TEXT, TypeId::TEXT_ARRAY, named.iter().map(text_of).collect()),
            vector(TypeId::INT4, TypeId::INT4_ARRAY, named.iter().map(typmod_of).collect()),
        ];
        args.extend(named.iter().map(|column| Expr::null(column.ty.id)));
        let visible = alias.map_or(name, |alias| alias.name.as_str()).to_owned();
        let unique = self.unique_alias(&visible);
        let shown = derived_columns(&unique, &named);
        Ok(FromItem {
            tables: vec![ScopeTable {
                name: visible,
                schema: None,
                columns: shown.clone(),
                hidden: Vec::new(),
                ..ScopeTable::default()
            }],
            columns: shown,
            closed: None,
            source: Some(Source::Function {
                call: internal_call(internal::RECORDS, args, TypeRef::plain(TypeId::RECORD)),
                alias: unique,
                columns: named,
                ordinality: false,
            }),
        })
    }

    /// The whole value that `SET column[…] = value` makes; `before` is what earlier assignments to its parts made of it.
    pub(super) fn assigned_part(
        &mut self,
        part: &Part<'_>,
        table: &Table,
        before: Option<Expr>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let column = part.column;
        self.check_identity(column, None, true)?;
        if matches!(part.value.kind, ExprKind::Default) {
            let error = PgError::new("0A000", "cannot set an array element to DEFAULT");
            return Err(self.at(error, part.span));
        }
        let whole = match before {
            Some(before) => before,
            None => {
                let target = scope.items().first().and_then(|item| item.tables.first());
                let own = target.and_then(|target| {
                    target.columns.iter().find(|known| known.name == column.name)
                });
                own.map(|own| own.expr.clone()).ok_or_else(|| {
                    PgError::internal(format!("table \"{}\" is not in sight", table.name))
                })?
            }
        };
        let subscripted = self.subscripted(whole, part.subscripts, scope, Clause::Set);
        let Expr::Subscript { array, subscripts, ty } = self.place(subscripted, part.span)? else {
            return Err(PgError::internal("a value with subscripts was expected"));
        };
        let is_jsonb = array.type_id() == TypeId::JSONB;
        let mut args = vec![*array];
        let typmod = if is_jsonb { -1 } else { column.typmod };
        let target = TypeRef { id: ty, typmod };
        let bound = self.expr(part.value, scope, Clause::Set)?;
        let found = bound.type_id();
        let cast = self.resolver().cast(bound, target, CastContext::Assignment);
        let cast = cast.map_err(|error| match error.sqlstate() {
            "42846" | "42804" => {
                let message = format!(
                    "subscripted assignment to \"{}\" requires type {} but expression is of type {}",
                    column.name,
                    self.type_name(ty),
                    self.type_name(found)
                );
                let error = PgError::new("42804", message)
                    .with_hint("You will need to rewrite or cast the expression.");
                self.at(error, part.span)
            }
            _ => error,
        });
        args.push(self.place(cast.and_then(|cast| self.read_now(cast)), part.value.span)?);
        let is_slice = subscripts.iter().any(|one| matches!(one, SubscriptIndex::Slice(..)));
        let mut left_out = 0;
        let mut bounds = Vec::new();
        for subscript in subscripts {
            match subscript {
                SubscriptIndex::At(at) if !is_slice => args.push(at),
                // Beside a slice a single subscript is one from 1.
                SubscriptIndex::At(at) => {
                    bounds.push(Expr::constant(Value::Int4(1), TypeId::INT4));
                    bounds.push(at);
                }
                SubscriptIndex::Slice(low, high) => {
                    for bound in [low, high] {
                        left_out |= i32::from(bound.is_none()) << bounds.len();
                        bounds.push(bound.unwrap_or_else(|| Expr::null(TypeId::INT4)));
                    }
                }
            }
        }
        let function = match (is_jsonb, is_slice) {
            (true, _) => internal::ASSIGN_JSONB,
            (false, false) => internal::ASSIGN_ELEMENT,
            (false, true) => {
                args.push(Expr::constant(Value::Int4(left_out), TypeId::INT4));
                args.append(&mut bounds);
                internal::ASSIGN_SLICE
            }
        };
        let whole = TypeRef { id: TypeId(column.type_oid), typmod: column.typmod };
        Ok(internal_call(function, args, whole))
    }
}
