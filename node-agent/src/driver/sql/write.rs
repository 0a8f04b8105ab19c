//! INSERT, UPDATE, DELETE.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{
    Condition, Conflict, Delete, Insert, OutputField, Records, Source, Target, Update,
};
use dataman_pg::internal::{ASSIGN_SLICE, is_assignment};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, Value};

use super::expr::type_name;
use super::{Dialect, Lowering, Qualifier, quoted, stored};

impl<'q> Lowering<'q> {
    /// Writes an insert of `parameters / fields` rows, or of the rows that the query holds.
    pub(super) fn insert(
        &mut self,
        insert: &'q Insert,
        parameters: usize,
    ) -> Result<(), NodeError> {
        self.subqueries.push(&insert.subqueries);
        self.push("INSERT INTO ");
        self.write_target(&insert.target, &insert.alias);
        if !insert.fields.is_empty() {
            self.push(" (");
            self.list(&insert.fields, ", ", |lowering, field| {
                lowering.name(&field.name);
                Ok(())
            })?;
            self.push(")");
        }
        self.push(" ");
        if self.dialect == Dialect::Postgres && !insert.fields.is_empty() {
            // The values are dataman's own, also those of GENERATED ALWAYS AS IDENTITY.
            self.push("OVERRIDING SYSTEM VALUE ");
        }
        match &insert.records {
            Records::Values(rows) if insert.fields.is_empty() => self.default_rows(rows.len())?,
            Records::Values(rows) => self.values(rows)?,
            Records::Parameters if insert.fields.is_empty() => self.default_rows(1)?,
            Records::Parameters => self.parameter_rows(insert, parameters)?,
            Records::Query(query) if self.dialect == Dialect::Sqlite => {
                // WHERE keeps ON CONFLICT from being read as a join's ON.
                self.push("SELECT * FROM (");
                self.select(query, &[])?;
                self.push(") WHERE 1");
            }
            Records::Query(query) => self.select(query, &[])?,
        }
        if let Some(conflict) = &insert.conflict {
            self.conflict(conflict, &insert.target)?;
        }
        self.returning(&insert.returning)?;
        self.end_write();
        Ok(())
    }

    /// Rows of nothing but defaults.
    fn default_rows(&mut self, rows: usize) -> Result<(), NodeError> {
        match (rows, self.dialect) {
            (1, _) => self.push("DEFAULT VALUES"),
            (_, Dialect::Postgres) => {
                self.push(&format!("SELECT FROM pg_catalog.generate_series(1, {rows})"));
            }
            (_, Dialect::Sqlite) => {
                return Err(NodeError::unsupported("SQLite inserts one row of defaults at a time"));
            }
        }
        Ok(())
    }

    fn parameter_rows(&mut self, insert: &'q Insert, parameters: usize) -> Result<(), NodeError> {
        let width = insert.fields.len();
        // SQLite runs one row's statement for each.
        let rows = if self.dialect == Dialect::Sqlite { 1 } else { parameters / width };
        if rows == 0 || (self.dialect == Dialect::Postgres && !parameters.is_multiple_of(width)) {
            return Err(NodeError::statement(
                "08P01",
                format!("insert of {width} fields got {parameters} parameters"),
            ));
        }
        if self.by_arrays {
            // The parameters are declared with their types.
            self.push("SELECT * FROM ROWS FROM (");
            for place in 0..width {
                let comma = if place > 0 { ", " } else { "" };
                self.push(&format!("{comma}pg_catalog.unnest(${})", place + 1));
            }
            self.push(")");
            return Ok(());
        }
        self.push("VALUES ");
        for row in 0..rows {
            self.push(if row == 0 { "(" } else { ", (" });
            for (place, field) in insert.fields.iter().enumerate() {
                if place > 0 {
                    self.push(", ");
                }
                let number = row * width + place + 1;
                match self.dialect {
                    Dialect::Postgres => {
                        self.push(&format!("${number}"));
                        // Without the modifier: the column's own assignment checks the length.
                        if let Some(name) = type_name(TypeRef::plain(field.ty.id)) {
                            self.push("::");
                            self.push(&name);
                        }
                    }
                    Dialect::Sqlite => self.push(&format!("?{number}")),
                }
            }
            self.push(")");
        }
        Ok(())
    }

    fn conflict(&mut self, conflict: &'q Conflict, target: &Target) -> Result<(), NodeError> {
        self.push(" ON CONFLICT");
        if let Some(constraint) = &conflict.constraint {
            match self.dialect {
                Dialect::Postgres => {
                    self.push(" ON CONSTRAINT ");
                    match target.adopted {
                        Some(_) => self.name(constraint),
                        None => {
                            self.name(&super::constraint_name(&target.collection, constraint));
                        }
                    }
                }
                Dialect::Sqlite if conflict.fields.is_empty() => {
                    return Err(NodeError::unsupported(
                        "SQLite needs the fields of the constraint in ON CONFLICT",
                    ));
                }
                Dialect::Sqlite => self.conflict_fields(&conflict.fields)?,
            }
        } else if !conflict.fields.is_empty() {
            self.conflict_fields(&conflict.fields)?;
        }
        if conflict.nothing {
            self.push(" DO NOTHING");
            return Ok(());
        }
        self.push(" DO UPDATE SET ");
        self.qualifiers.push(("excluded".to_owned(), Qualifier::As("excluded".to_owned())));
        self.assignments(&conflict.set)?;
        if let Some(filter) = &conflict.filter {
            self.push(" WHERE ");
            self.expr(filter)?;
        }
        self.qualifiers.pop();
        Ok(())
    }

    fn conflict_fields(&mut self, fields: &'q [String]) -> Result<(), NodeError> {
        self.push(" (");
        self.list(fields, ", ", |lowering, field| {
            lowering.name(field);
            Ok(())
        })?;
        self.push(")");
        Ok(())
    }

    pub(super) fn update(&mut self, update: &'q Update) -> Result<(), NodeError> {
        if !update.record.is_empty() {
            return Err(NodeError::unsupported("a short-form update has to be bound first"));
        }
        self.subqueries.push(&update.subqueries);
        self.note_sources(&update.source);
        self.push("UPDATE ");
        self.write_target(&update.target, &update.alias);
        self.push(" SET ");
        self.assignments(&update.record_op)?;
        if !update.source.is_empty() {
            self.check_joins()?;
            self.push(" FROM ");
            self.sources(&update.source)?;
        }
        self.filter(update.filter.as_ref())?;
        self.returning(&update.returning)?;
        self.end_write();
        Ok(())
    }

    pub(super) fn delete(&mut self, delete: &'q Delete) -> Result<(), NodeError> {
        self.subqueries.push(&delete.subqueries);
        self.note_sources(&delete.source);
        self.push("DELETE FROM ");
        self.write_target(&delete.target, &delete.alias);
        if !delete.source.is_empty() {
            self.check_joins()?;
            self.push(" USING ");
            self.sources(&delete.source)?;
        }
        self.filter(delete.filter.as_ref())?;
        self.returning(&delete.returning)?;
        self.end_write();
        Ok(())
    }

    fn check_joins(&self) -> Result<(), NodeError> {
        match self.dialect {
            Dialect::Postgres => Ok(()),
            Dialect::Sqlite => {
                Err(NodeError::unsupported("the SQLite driver splits a joined write in two"))
            }
        }
    }

    /// The collection of a write. SQLite's RETURNING does not know an alias, so there the table's own name qualifies;
    /// aliases bear a sign, so none hides it.
    fn write_target(&mut self, target: &'q Target, alias: &'q str) {
        let alias = default_alias(alias);
        self.note_collated(target, alias);
        self.collection(target);
        match self.dialect {
            Dialect::Postgres => {
                self.push(" AS ");
                self.alias(alias);
            }
            Dialect::Sqlite => {
                let table = quoted(&stored::physical_name(&target.collection));
                self.qualifiers.push((alias.to_owned(), Qualifier::As(table)));
            }
        }
    }

    fn end_write(&mut self) {
        if self.dialect == Dialect::Sqlite {
            self.qualifiers.pop();
        }
        self.subqueries.pop();
    }

    fn assignments(&mut self, assignments: &'q [(String, Expr)]) -> Result<(), NodeError> {
        self.list(assignments, ", ", |lowering, (field, value)| lowering.assignment(field, value))
    }

    /// One column of SET. What replaces parts of the column is an assignment for each part.
    fn assignment(&mut self, field: &'q str, value: &'q Expr) -> Result<(), NodeError> {
        if self.dialect == Dialect::Postgres
            && let Expr::Call(call) = value
            && is_assignment(call.function)
            && let [whole, part, subscripts @ ..] = call.args.as_slice()
        {
            if !matches!(whole, Expr::Field(_)) {
                self.assignment(field, whole)?;
                self.push(", ");
            }
            self.name(field);
            if call.function == ASSIGN_SLICE {
                self.slice(subscripts)?;
            } else {
                for subscript in subscripts {
                    self.push("[");
                    self.expr(subscript)?;
                    self.push("]");
                }
            }
            self.push(" = ");
            return self.expr(part);
        }
        self.name(field);
        self.push(" = ");
        self.expr(value)
    }

    /// `[1:2][:3]`: which bounds are left out, then the bounds.
    fn slice(&mut self, subscripts: &'q [Expr]) -> Result<(), NodeError> {
        let [Expr::Const(left_out), bounds @ ..] = subscripts else {
            return Err(NodeError::unsupported("a slice says which bounds it has"));
        };
        let Value::Int4(left_out) = left_out.value else {
            return Err(NodeError::unsupported("a slice says which bounds it has"));
        };
        for (place, bound) in bounds.iter().enumerate() {
            self.push(if place % 2 == 0 { "[" } else { ":" });
            if left_out & (1 << place) == 0 {
                self.expr(bound)?;
            }
            if place % 2 == 1 {
                self.push("]");
            }
        }
        Ok(())
    }

    fn filter(&mut self, filter: Option<&'q Condition>) -> Result<(), NodeError> {
        if let Some(filter) = filter {
            self.push(" WHERE ");
            self.condition(filter)?;
        }
        Ok(())
    }

    fn returning(&mut self, fields: &'q [OutputField]) -> Result<(), NodeError> {
        if fields.is_empty() {
            return Ok(());
        }
        self.push(" RETURNING ");
        self.list(fields, ", ", |lowering, field| {
            match field {
                OutputField::Named(name) => lowering.name(name),
                OutputField::Bound { expr, name } => {
                    lowering.expr(expr)?;
                    lowering.push(" AS ");
                    lowering.name(name);
                }
            }
            Ok(())
        })
    }
}

/// The alias of a written collection when none is given.
pub(crate) fn default_alias(alias: &str) -> &str {
    if alias.is_empty() { "record" } else { alias }
}

/// Whether an expression reads one of these sources: what SQLite's RETURNING cannot.
pub(crate) fn reads_source(expr: &Expr, sources: &[Source]) -> bool {
    fn holds(source: &Source, name: &str) -> bool {
        match source {
            Source::Collection { alias, .. }
            | Source::Query { alias, .. }
            | Source::CommonTable { alias, .. }
            | Source::Values { alias, .. }
            | Source::Function { alias, .. }
            | Source::Virtual { alias, .. } => alias == name,
            Source::Join { left, right, .. } => holds(left, name) || holds(right, name),
        }
    }
    let mut found = match expr {
        Expr::Field(field) => sources.iter().any(|source| holds(source, &field.source)),
        _ => false,
    };
    expr.for_each_child(&mut |child| found = found || reads_source(child, sources));
    found
}
