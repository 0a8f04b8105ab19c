//! INSERT, UPDATE and DELETE → the form.

use dataman_metadata::schema::{ConstraintKind, Field as Column, FieldDefault, SourceDefault};
use dataman_node_protocol::query::{
    self, Condition, Conflict, Delete, Insert, NamedType, OutputField, Records, Update,
};
use dataman_pg::expr::{Field, SubqueryKind};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::Clause;
use super::from::{collection_item, target_of};
use super::missing::{RangeEntry, RangeKind};
use super::name::Relation;
use super::record::Part;
use super::scope::{Closed, FromItem, Scope};
use super::{Binder, BoundInsert, NamePlace, Result, Table};
use crate::parse::syntax::{self, Assignment, ExprKind, InsertSource, ObjectName, Statement};
use crate::plan::form;

/// Where the rows of an INSERT come from: values in the order of the form's fields.
#[derive(Debug)]
pub enum InsertRows {
    /// Rows × fields, computed by the proxy.
    Values(Vec<Vec<Expr>>),
    /// A query's rows; each field is computed from its columns (`Expr::Column`).
    Query {
        /// The query.
        select: Box<query::Select>,
        /// The value of each field.
        fields: Vec<Expr>,
    },
}

impl Binder<'_> {
    /// The collection a statement writes to.
    fn target(
        &mut self,
        name: &ObjectName,
        alias: Option<&str>,
        word: &str,
    ) -> Result<(Table, String)> {
        let found = self.relation(name)?;
        if let Relation::Virtual(_) = found.relation {
            return Err(super::name::system_catalog(&found.name));
        }
        let Relation::Collection(collection) = found.relation else {
            let error = PgError::unsupported(format!("cannot {word} view \"{}\"", found.name))
                .with_hint("Write to the table that the view reads.");
            return Err(self.at(error, name.span));
        };
        let table =
            Table { schema: found.schema, name: found.name, collection: collection.clone() };
        let unique = self.unique_alias(alias.unwrap_or(&table.name));
        self.facts.names.push(NamePlace {
            span: name.span,
            target: target_of(&table),
            alias: None,
        });
        self.tables.insert(unique.clone(), table.clone());
        Ok((table, unique))
    }

    pub(crate) fn insert(&mut self, insert: &syntax::Insert) -> Result<BoundInsert> {
        self.inserting = true;
        let mut common = Vec::new();
        let before = self.enter_with(insert.with.as_ref(), &mut common, None)?;
        let bound = self.insert_inner(insert);
        self.leave_with(before);
        self.write_with = common;
        bound
    }

    fn insert_inner(&mut self, insert: &syntax::Insert) -> Result<BoundInsert> {
        let (table, alias) = self.target(&insert.table, insert.alias.as_deref(), "insert into")?;
        let columns = self.insert_columns(&table, insert)?;
        let scope = Scope::root();
        let given: Vec<Vec<Expr>>;
        let mut query = None;
        match &insert.source {
            InsertSource::Defaults => given = vec![Vec::new()],
            InsertSource::Values(rows) => {
                let width = rows.first().map_or(0, Vec::len);
                let mut bound = Vec::with_capacity(rows.len());
                for row in rows {
                    if row.len() != width {
                        let error =
                            PgError::new("42601", "VALUES lists must all be the same length");
                        return Err(self.at(
                            error,
                            row.first().map_or_else(Default::default, |expr| expr.span),
                        ));
                    }
                    self.check_width(
                        row.len(),
                        &columns,
                        insert.columns.is_some(),
                        row.get(columns.len()).map(|e| e.span),
                    )?;
                    let mut values = Vec::with_capacity(row.len());
                    for (expr, column) in row.iter().zip(&columns) {
                        values.push(self.insert_value(expr, column, &scope, insert.overriding)?);
                    }
                    bound.push(values);
                }
                given = bound;
            }
            InsertSource::Query(select) => {
                let mut select = self.select_keeping_unknown(select, None)?;
                let outputs = form::output_columns(&select);
                self.check_width(outputs.len(), &columns, insert.columns.is_some(), None)?;
                // A literal in the select list takes the column's type, not text.
                let mut values = Vec::new();
                for (place, (output, column)) in outputs.iter().zip(&columns).enumerate() {
                    self.check_identity(column, insert.overriding, false)?;
                    if let Some(OutputField::Bound { expr, .. }) = select.fields.get_mut(place)
                        && expr.type_id() == TypeId::UNKNOWN
                    {
                        let literal = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
                        *expr = self.assign(literal, column)?;
                        values.push(Expr::Column { index: place, ty: expr.type_ref() });
                        continue;
                    }
                    let source = Expr::Column { index: place, ty: output.ty };
                    values.push(self.assign(source, column)?);
                }
                query = Some(Box::new(select));
                given = vec![values];
            }
        }
        let width = given.first().map_or(0, Vec::len);
        let named: Vec<Column> = columns.into_iter().take(width).collect();

        // Every field that was not given gets its default; generated ones are computed from the others.
        let mut fields: Vec<Column> = named;
        let mut rows = given;
        self.leave_to_source(insert, &mut fields, &mut rows)?;
        for column in &table.collection.fields {
            if fields.iter().any(|field| field.name == column.name) {
                continue;
            }
            if matches!(
                column.default,
                FieldDefault::None | FieldDefault::Generated(_) | FieldDefault::Source { .. }
            ) {
                continue;
            }
            for row in &mut rows {
                let value = self.default_of(column)?;
                row.push(value);
            }
            fields.push(column.clone());
        }
        self.generated_columns(&table, &mut fields, &mut rows)?;

        let row_subqueries = self.subqueries.last_mut().map(std::mem::take).unwrap_or_default();
        let (conflict, returning, subqueries) = self.insert_tail(insert, &table, &alias)?;
        let form = Insert {
            target: target_of(&table),
            fields: fields.iter().map(named_type).collect(),
            records: Records::Parameters,
            conflict,
            returning,
            alias: alias.clone(),
            subqueries,
        };
        let rows = match query {
            Some(select) => {
                InsertRows::Query { select, fields: rows.into_iter().next().unwrap_or_default() }
            }
            None => InsertRows::Values(rows),
        };
        Ok(BoundInsert { insert: form, alias, rows, subqueries: row_subqueries })
    }

    /// Leaves out the columns that their own database fills in: those for which every row has DEFAULT.
    fn leave_to_source(
        &mut self,
        insert: &syntax::Insert,
        fields: &mut Vec<Column>,
        rows: &mut [Vec<Expr>],
    ) -> Result<()> {
        for place in (0..fields.len()).rev() {
            let FieldDefault::Source { kind, .. } = &fields[place].default else { continue };
            let of_user = insert.overriding == Some(false) && *kind != SourceDefault::Default;
            let written = match &insert.source {
                _ if of_user => rows.len(),
                InsertSource::Values(written) => {
                    let is_default = |row: &&Vec<syntax::Expr>| {
                        row.get(place).is_some_and(|expr| matches!(expr.kind, ExprKind::Default))
                    };
                    written.iter().filter(is_default).count()
                }
                InsertSource::Defaults | InsertSource::Query(_) => 0,
            };
            if written == rows.len() {
                fields.remove(place);
                rows.iter_mut().for_each(|row| drop(row.remove(place)));
            } else if written > 0 {
                return Err(PgError::unsupported(format!(
                    "DEFAULT for column \"{}\" beside given values is not supported",
                    fields[place].name
                ))
                .with_detail(
                    "The column belongs to an adopted table, whose own database fills it in.",
                )
                .with_hint("Insert the rows with DEFAULT and the others by two statements."));
            }
        }
        if fields.is_empty() && rows.len() > 1 {
            return Err(PgError::unsupported(
                "several rows of nothing but defaults of an adopted table are not supported",
            )
            .with_hint("Insert them one by one."));
        }
        Ok(())
    }

    fn check_width(
        &self,
        width: usize,
        columns: &[Column],
        named: bool,
        span: Option<syntax::Span>,
    ) -> Result<()> {
        if width > columns.len() {
            let error = PgError::new("42601", "INSERT has more expressions than target columns");
            return Err(self.at(error, span.unwrap_or_default()));
        }
        if named && width < columns.len() {
            return Err(PgError::new("42601", "INSERT has more target columns than expressions"));
        }
        Ok(())
    }

    fn insert_columns(&mut self, table: &Table, insert: &syntax::Insert) -> Result<Vec<Column>> {
        let Some(names) = &insert.columns else {
            return Ok(table.collection.fields.clone());
        };
        let mut columns: Vec<Column> = Vec::new();
        for name in names {
            let column = table_column(table, name)?;
            if columns.iter().any(|other| other.name == column.name) {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            columns.push(column.clone());
        }
        Ok(columns)
    }

    fn insert_value(
        &mut self,
        expr: &syntax::Expr,
        column: &Column,
        scope: &Scope<'_>,
        overriding: Option<bool>,
    ) -> Result<Expr> {
        if matches!(expr.kind, ExprKind::Default) {
            return self.default_of(column);
        }
        self.check_identity(column, overriding, false)?;
        if overriding == Some(false) && matches!(column.default, FieldDefault::Identity { .. }) {
            return self.default_of(column);
        }
        if overriding == Some(false)
            && matches!(&column.default, FieldDefault::Source { kind, .. } if *kind != SourceDefault::Default)
        {
            return self.default_of(column);
        }
        let bound = self.expr(expr, scope, Clause::Values)?;
        let assigned = self.assign(bound, column).and_then(|assigned| self.read_now(assigned));
        self.place(assigned, expr.span)
    }

    pub(super) fn check_identity(
        &self,
        column: &Column,
        overriding: Option<bool>,
        update: bool,
    ) -> Result<()> {
        let (word, detail) = match &column.default {
            FieldDefault::Generated(_)
            | FieldDefault::Source { kind: SourceDefault::Generated, .. } => {
                ("generated", format!("Column \"{}\" is a generated column.", column.name))
            }
            FieldDefault::Identity { always: true, .. }
            | FieldDefault::Source { kind: SourceDefault::IdentityAlways, .. }
                if overriding.is_none() =>
            {
                (
                    "identity",
                    format!(
                        "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                        column.name
                    ),
                )
            }
            _ => return Ok(()),
        };
        let error = if update {
            PgError::new(
                "428C9",
                format!("column \"{}\" can only be updated to DEFAULT", column.name),
            )
        } else {
            PgError::new(
                "428C9",
                format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
            )
        }
        .with_detail(detail);
        Err(if word == "identity" && !update {
            error.with_hint("Use OVERRIDING SYSTEM VALUE to override.")
        } else {
            error
        })
    }

    /// What a column gets when nothing is given.
    pub(crate) fn default_of(&mut self, column: &Column) -> Result<Expr> {
        let target = TypeRef { id: TypeId(column.type_oid), typmod: column.typmod };
        match &column.default {
            // What its own database fills in is left out of the statement.
            FieldDefault::None | FieldDefault::Generated(_) | FieldDefault::Source { .. } => {
                Ok(Expr::null(target))
            }
            FieldDefault::Expr(text) => {
                let bound = self.definition(text, &Scope::root())?;
                self.assign(bound, column)
            }
            FieldDefault::Serial(sequence) | FieldDefault::Identity { sequence, .. } => {
                let (schema, name) = sequence.split_once('.').unwrap_or(("public", sequence));
                let next = self.next_number(schema, name)?;
                self.assign(next, column)
            }
        }
    }

    /// Binds an expression that the metadata keeps as text.
    fn definition(&mut self, text: &str, scope: &Scope<'_>) -> Result<Expr> {
        let parsed = crate::parse::parse(&format!("SELECT {text}"))?;
        let expr = parsed.into_iter().next().and_then(|parsed| match parsed.statement {
            Statement::Select(select) => match select.body {
                syntax::SelectBody::Query(query) => match query.items.into_iter().next() {
                    Some(syntax::SelectItem::Expr { expr, .. }) => Some(expr),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
        let expr = expr.ok_or_else(|| PgError::internal("a stored expression cannot be read"))?;
        self.view_depth += 1;
        let bound = self.expr(&expr, scope, Clause::Definition);
        self.view_depth -= 1;
        bound
    }

    /// Adds the stored generated columns, each computed from the row's other values.
    pub(super) fn generated_columns(
        &mut self,
        table: &Table,
        fields: &mut Vec<Column>,
        rows: &mut [Vec<Expr>],
    ) -> Result<()> {
        let generated: Vec<(Column, String)> = table
            .collection
            .fields
            .iter()
            .filter_map(|column| match &column.default {
                FieldDefault::Generated(text) => Some((column.clone(), text.clone())),
                _ => None,
            })
            .collect();
        // DEFAULT may have been written for a generated column: drop the placeholder.
        for (column, _) in &generated {
            if let Some(place) = fields.iter().position(|field| field.name == column.name) {
                fields.remove(place);
                for row in rows.iter_mut() {
                    row.remove(place);
                }
            }
        }
        let base: Vec<Column> = fields.clone();
        for (column, text) in generated {
            let mut scope = Scope::root();
            scope.push(collection_item(table, "record", &table.name));
            let bound = self.definition(&text, &scope)?;
            let bound = self.assign(bound, &column)?;
            for row in rows.iter_mut() {
                row.push(form::replace(&bound, &mut |node| match node {
                    Expr::Field(field) if field.source == "record" => {
                        let value = base.iter().position(|other| other.name == field.name);
                        Some(value.map_or_else(|| Expr::null(field.ty), |place| row[place].clone()))
                    }
                    _ => None,
                }));
            }
            fields.push(column);
        }
        Ok(())
    }

    fn insert_tail(
        &mut self,
        insert: &syntax::Insert,
        table: &Table,
        alias: &str,
    ) -> Result<(Option<Conflict>, Vec<OutputField>, Vec<query::Select>)> {
        self.subqueries.push(Vec::new());
        let visible = insert.alias.as_deref().unwrap_or(&table.name);
        let mut scope = Scope::root();
        scope.push(collection_item(table, alias, visible));
        let mut returning = self.select_items(&insert.returning, &scope, Clause::Returning)?;
        self.decide_unknown(&mut returning)?;
        let conflict = match &insert.conflict {
            None => None,
            Some(conflict) => Some(self.conflict(conflict, table, scope)?),
        };
        let subqueries = self.subqueries.pop().unwrap_or_default();
        Ok((conflict, returning, subqueries))
    }

    fn conflict(
        &mut self,
        conflict: &syntax::OnConflict,
        table: &Table,
        mut scope: Scope<'_>,
    ) -> Result<Conflict> {
        let mut fields = Vec::new();
        for expr in &conflict.columns {
            match &expr.kind {
                ExprKind::Column(parts) if parts.len() == 1 => {
                    let name = &parts[0];
                    let found = self.place(table_column_plain(table, name), expr.span)?;
                    fields.push(found.name.clone());
                }
                _ => {
                    return Err(PgError::unsupported(
                        "ON CONFLICT on an expression is not supported",
                    )
                    .with_hint("Name the columns of a unique constraint."));
                }
            }
        }
        if conflict.index_filter.is_some() {
            return Err(PgError::unsupported(
                "ON CONFLICT with a WHERE of the index is not supported",
            ));
        }
        let unique_sets = unique_sets(table);
        if let Some(name) = &conflict.constraint {
            let found =
                table.collection.constraints.iter().find(|constraint| constraint.name == *name);
            match found.map(|constraint| &constraint.kind) {
                Some(
                    ConstraintKind::PrimaryKey { fields: keys }
                    | ConstraintKind::Unique { fields: keys, .. },
                ) => {
                    fields.clone_from(keys);
                }
                Some(_) => {
                    return Err(PgError::new(
                        "42809",
                        "constraint in ON CONFLICT clause has no associated index",
                    ));
                }
                None => {
                    return Err(PgError::new(
                        "42704",
                        format!(
                            "constraint \"{name}\" for table \"{}\" does not exist",
                            table.name
                        ),
                    ));
                }
            }
        } else if !fields.is_empty() {
            let matches = unique_sets.iter().any(|set| {
                set.len() == fields.len() && set.iter().all(|name| fields.contains(name))
            });
            if !matches {
                return Err(PgError::new(
                    "42P10",
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                ));
            }
        }
        let Some((assignments, filter)) = &conflict.update else {
            return Ok(Conflict {
                fields,
                constraint: None,
                set: Vec::new(),
                nothing: true,
                filter: None,
            });
        };
        if fields.is_empty() {
            return Err(PgError::new(
                "42601",
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .with_hint("For example, ON CONFLICT (column_name)."));
        }
        self.aliases.insert("excluded".to_owned());
        let mut excluded = collection_item(table, "excluded", "excluded");
        // Only a qualified name means the proposed row.
        excluded.columns.clear();
        scope.push(excluded);
        let set = self.assignments(assignments, table, &scope)?;
        let filter = match filter {
            None => None,
            Some(filter) => {
                let bound = self.expr(filter, &scope, Clause::Where)?;
                Some(self.resolver().to_boolean(bound, "WHERE")?)
            }
        };
        Ok(Conflict { fields, constraint: None, set, nothing: false, filter })
    }

    /// SET: column and value in the order written, generated columns last.
    fn assignments(
        &mut self,
        assignments: &[Assignment],
        table: &Table,
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, Expr)>> {
        let mut set: Vec<(String, Expr)> = Vec::new();
        // The columns of which parts are assigned: of those others may be too.
        let mut in_parts: Vec<&str> = Vec::new();
        let add = |set: &mut Vec<(String, Expr)>, name: &str, value: Expr| -> Result<()> {
            if set.iter().any(|(other, _)| other == name) {
                return Err(PgError::new(
                    "42601",
                    format!("multiple assignments to same column \"{name}\""),
                ));
            }
            set.push((name.to_owned(), value));
            Ok(())
        };
        for assignment in assignments {
            match assignment {
                Assignment::Column { name, subscripts, value, span } => {
                    let column = self.place(table_column(table, name), *span)?.clone();
                    if !subscripts.is_empty() {
                        let known = set.iter().position(|(known, _)| known == name);
                        let known = known.filter(|_| in_parts.contains(&name.as_str()));
                        let before = known.map(|place| set.remove(place).1);
                        let part = Part { column: &column, subscripts, value, span: *span };
                        let value = self.assigned_part(&part, table, before, scope)?;
                        add(&mut set, name, value)?;
                        in_parts.push(name);
                        continue;
                    }
                    let value = self.set_value(value, &column, scope)?;
                    add(&mut set, name, value)?;
                }
                Assignment::Row { names, value } => {
                    if let ExprKind::Subquery(query) = &value.kind {
                        for (place, name) in names.iter().enumerate() {
                            let column = table_column(table, name)?.clone();
                            self.check_identity(&column, None, true)?;
                            let value = self.column_of_row(query, place, names.len(), scope)?;
                            let value = self.assign(value, &column)?;
                            add(&mut set, name, value)?;
                        }
                        continue;
                    }
                    let ExprKind::Row(values) = &value.kind else {
                        return Err(PgError::new(
                            "0A000",
                            "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
                        ));
                    };
                    if values.len() != names.len() {
                        return Err(PgError::new(
                            "42601",
                            "number of columns does not match number of values",
                        ));
                    }
                    for (name, value) in names.iter().zip(values) {
                        let column = table_column(table, name)?.clone();
                        let value = self.set_value(value, &column, scope)?;
                        add(&mut set, name, value)?;
                    }
                }
            }
        }
        Ok(set)
    }

    /// One column of the one row of a subquery: `SET (a, b) = (SELECT …)` is a subquery for each column.
    fn column_of_row(
        &mut self,
        query: &syntax::Select,
        place: usize,
        width: usize,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let volatile = std::mem::take(&mut self.facts.volatile);
        let (index, select) = self.subquery(query, scope)?;
        if self.facts.volatile {
            return Err(PgError::unsupported(
                "assigning several columns of a subquery with a volatile function is not supported",
            ));
        }
        self.facts.volatile = volatile;
        let columns = form::output_columns(&select);
        if columns.len() != width {
            return Err(PgError::new("42601", "number of columns does not match number of values"));
        }
        let alias = self.unique_alias("row");
        let columns = super::subquery::numbered(columns);
        let ty = columns[place].ty;
        let field = Field { source: alias.clone(), name: columns[place].name.clone(), ty };
        let whole = query::Select {
            source: vec![query::Source::Query {
                query: Box::new(select),
                alias,
                columns,
                lateral: false,
            }],
            fields: vec![OutputField::Bound {
                expr: Expr::Field(field),
                name: "?column?".to_owned(),
            }],
            ..query::Select::default()
        };
        let index = self.keep_subquery(index, whole, Clause::Set);
        Ok(Expr::Subquery { index, kind: SubqueryKind::Scalar, ty, outer: Vec::new() })
    }

    fn set_value(
        &mut self,
        value: &syntax::Expr,
        column: &Column,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        if matches!(value.kind, ExprKind::Default) {
            if matches!(column.default, FieldDefault::Serial(_) | FieldDefault::Identity { .. }) {
                return Err(PgError::unsupported(format!(
                    "setting column \"{}\" to the next number of its sequence is not supported",
                    column.name
                )));
            }
            if let FieldDefault::Source { kind, .. } = &column.default
                && *kind != SourceDefault::Generated
            {
                return Err(PgError::unsupported(format!(
                    "setting column \"{}\" to what the database of its adopted table fills in is not supported",
                    column.name
                )));
            }
            return self.default_of(column);
        }
        self.check_identity(column, None, true)?;
        let bound = self.expr(value, scope, Clause::Set)?;
        let assigned = self.assign(bound, column).and_then(|assigned| self.read_now(assigned));
        self.place(assigned, value.span)
    }

    /// Generated columns computed anew over the changed record.
    fn regenerated(
        &mut self,
        table: &Table,
        alias: &str,
        set: &mut Vec<(String, Expr)>,
    ) -> Result<()> {
        let changed = set.clone();
        for column in table.collection.fields.clone() {
            if matches!(
                &column.default,
                FieldDefault::Source { kind: SourceDefault::Generated, .. }
            ) {
                set.retain(|(name, _)| *name != column.name);
            }
            let FieldDefault::Generated(text) = &column.default else {
                continue;
            };
            set.retain(|(name, _)| *name != column.name);
            let mut scope = Scope::root();
            scope.push(collection_item(table, alias, &table.name));
            let bound = self.definition(text, &scope)?;
            let bound = self.assign(bound, &column)?;
            let value = form::replace(&bound, &mut |node| match node {
                Expr::Field(field) if field.source == alias => changed
                    .iter()
                    .find(|(name, _)| *name == field.name)
                    .map(|(_, value)| value.clone()),
                _ => None,
            });
            set.push((column.name.clone(), value));
        }
        Ok(())
    }

    pub(crate) fn update(&mut self, update: &syntax::Update) -> Result<Update> {
        let mut common = Vec::new();
        let before = self.enter_with(update.with.as_ref(), &mut common, None)?;
        self.subqueries.push(Vec::new());
        let (table, alias) = self.target(&update.table, update.alias.as_deref(), "update")?;
        let visible = update.alias.as_deref().unwrap_or(&table.name);
        let (source, whole) = self.target_and(&update.from, &table, &alias, visible)?;
        let mut record_op = self.assignments(&update.set, &table, &whole)?;
        self.regenerated(&table, &alias, &mut record_op)?;
        let filter = self.filter(update.filter.as_ref(), &whole)?;
        let mut returning = self.select_items(&update.returning, &whole, Clause::Returning)?;
        self.decide_unknown(&mut returning)?;
        let subqueries = self.subqueries.pop().unwrap_or_default();
        self.leave_with(before);
        self.write_with = common;
        Ok(Update {
            target: target_of(&table),
            alias,
            record_op,
            record: serde_json::Map::new(),
            source,
            filter,
            returning,
            subqueries,
        })
    }

    pub(crate) fn delete(&mut self, delete: &syntax::Delete) -> Result<Delete> {
        let mut common = Vec::new();
        let before = self.enter_with(delete.with.as_ref(), &mut common, None)?;
        self.subqueries.push(Vec::new());
        let (table, alias) = self.target(&delete.table, delete.alias.as_deref(), "delete from")?;
        let visible = delete.alias.as_deref().unwrap_or(&table.name);
        let (source, whole) = self.target_and(&delete.using, &table, &alias, visible)?;
        let filter = self.filter(delete.filter.as_ref(), &whole)?;
        let mut returning = self.select_items(&delete.returning, &whole, Clause::Returning)?;
        self.decide_unknown(&mut returning)?;
        let subqueries = self.subqueries.pop().unwrap_or_default();
        self.leave_with(before);
        self.write_with = common;
        Ok(Delete { target: target_of(&table), alias, source, filter, returning, subqueries })
    }

    /// Binds FROM or USING: the sources, and what the statement's expressions see. The target comes first there, as in
    /// `RETURNING *`; what stands in FROM may not look at it, LATERAL or not.
    fn target_and(
        &mut self,
        from: &[syntax::TableRef],
        table: &Table,
        alias: &str,
        visible: &str,
    ) -> Result<(Vec<query::Source>, Scope<'static>)> {
        let target = collection_item(table, alias, visible);
        self.enter_range(RangeEntry {
            name: visible.to_owned(),
            alias: visible != table.name,
            kind: RangeKind::Relation(table.name.clone()),
            columns: target.columns.iter().map(|column| column.name.clone()).collect(),
        });
        let mut scope = Scope::root();
        scope.push(FromItem { closed: Some(Closed::Target), ..target.clone() });
        let source = self.from(from, &mut scope)?;
        let mut whole = Scope::root();
        whole.push(target);
        for item in scope.items().iter().skip(1) {
            whole.push(item.clone());
        }
        Ok((source, whole))
    }

    fn filter(
        &mut self,
        filter: Option<&syntax::Expr>,
        scope: &Scope<'_>,
    ) -> Result<Option<Condition>> {
        let Some(filter) = filter else {
            return Ok(None);
        };
        let bound = self.expr(filter, scope, Clause::Where)?;
        let bound = self.resolver().to_boolean(bound, "WHERE");
        Ok(Some(Condition::Expr(self.place(bound, filter.span)?)))
    }
}

fn named_type(column: &Column) -> NamedType {
    NamedType {
        name: column.name.clone(),
        ty: TypeRef { id: TypeId(column.type_oid), typmod: column.typmod },
    }
}

/// The column lists that are unique in a table.
pub(crate) fn unique_sets(table: &Table) -> Vec<Vec<String>> {
    let constraints =
        table.collection.constraints.iter().filter_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } => {
                Some(fields.clone())
            }
            _ => None,
        });
    let indexes = table
        .collection
        .indexes
        .iter()
        .filter(|index| index.unique && index.filter.is_none())
        .map(|index| index.keys.iter().map(|key| key.expr.clone()).collect());
    constraints.chain(indexes).collect()
}

fn table_column<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    table.collection.fields.iter().find(|field| field.name == name).ok_or_else(|| {
        PgError::new(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
        )
    })
}

fn table_column_plain<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    table
        .collection
        .fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(|| PgError::new("42703", format!("column \"{name}\" does not exist")))
}
