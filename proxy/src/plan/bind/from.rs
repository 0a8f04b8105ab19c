//! FROM → sources.

use std::sync::Arc;

use dataman_metadata::schema::Collection;
use dataman_node_protocol::query::{self, Adopted, JoinKind, NamedType, Source, Target};
use dataman_pg::expr::Field;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::Clause;
use super::missing::{RangeEntry, RangeKind};
use super::name::{Found, Relation, physical_name};
use super::scope::{Closed, FromItem, Scope, ScopeColumn, ScopeTable};
use super::{Binder, NamePlace, Result, Table, VIEW_DEPTH_MAX};
use super::{BoundKind, Modifying};
use crate::parse::syntax::{self, Alias, JoinCondition, ObjectName, Statement, TableRef};
use crate::parse::walk::{Visitor, walk_select};

/// A common table in scope, put in place where it is read.
#[derive(Clone)]
pub(crate) struct CommonTableDefinition {
    pub(crate) name: String,
    columns: Vec<String>,
    /// What it reads; none for a statement that writes.
    select: Option<syntax::Select>,
    /// How many definitions it sees itself.
    visible: usize,
    references: usize,
    /// `[NOT] MATERIALIZED`.
    materialized: Option<bool>,
    /// Where the statement reads it, and by which aliases.
    places: Vec<(syntax::Span, String)>,
    /// For one that stays a common table in the form, its name and columns there.
    recursive: Option<(String, Vec<NamedType>)>,
    /// How many of its columns, the last ones, SEARCH and CYCLE add, and at how many levels of queries it is defined: `*` has
    /// them where it is, not in queries inside.
    added: (usize, usize),
    /// The fields of its columns that are rows.
    shapes: Vec<Option<Vec<NamedType>>>,
    /// What the queries around the WITH have in FROM, outermost first.
    around: Arc<Vec<Vec<FromItem>>>,
}

/// A collection as an item of FROM.
pub(crate) fn collection_item(table: &Table, alias: &str, visible: &str) -> FromItem {
    let columns: Vec<ScopeColumn> = table
        .collection
        .fields
        .iter()
        .map(|field| ScopeColumn {
            name: field.name.clone(),
            expr: Expr::Field(Field {
                source: alias.to_owned(),
                name: field.name.clone(),
                ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
            }),
        })
        .collect();
    FromItem {
        source: Some(collection_source(table, alias)),
        tables: vec![ScopeTable {
            name: visible.to_owned(),
            schema: Some(table.schema.clone()),
            columns: columns.clone(),
            hidden: Vec::new(),
            relation: Some(table.collection.id.0),
            ..ScopeTable::default()
        }],
        columns,
        closed: None,
    }
}

/// The form's source for a collection.
pub(crate) fn collection_source(table: &Table, alias: &str) -> Source {
    Source::Collection {
        target: target_of(table),
        alias: alias.to_owned(),
        fields: table
            .collection
            .fields
            .iter()
            .map(|field| NamedType {
                name: field.name.clone(),
                ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
            })
            .collect(),
    }
}

/// The form's target for a collection; the shard instance is filled in for each shard.
pub(crate) fn target_of(table: &Table) -> Target {
    Target {
        db: String::new(),
        shard_instance: String::new(),
        collection: physical_name(&table.schema, &table.name),
        adopted: adopted_of(&table.collection),
    }
}

/// Where a collection that dataman did not make lies.
pub(crate) fn adopted_of(collection: &Collection) -> Option<Box<Adopted>> {
    let adopted = collection.adopted.as_ref()?;
    Some(Box::new(Adopted {
        namespace: adopted.namespace.clone(),
        name: adopted.name.clone(),
        collated: adopted.collated.clone(),
    }))
}

/// Whether what is bound of an item of FROM still says how it was written.
fn can_be_shown(item: &TableRef) -> bool {
    let is_bare = |alias: &Option<Alias>| alias.as_ref().is_none_or(|one| one.columns.is_empty());
    match item {
        TableRef::Table { alias, .. } | TableRef::Subquery { alias, .. } => is_bare(alias),
        TableRef::Function { .. } => false,
        TableRef::Join { condition, alias, .. } => {
            let has_names = matches!(condition, JoinCondition::Using(..) | JoinCondition::Natural);
            !has_names && alias.is_none()
        }
    }
}

/// The columns that a derived source offers.
pub(super) fn derived_columns(alias: &str, columns: &[NamedType]) -> Vec<ScopeColumn> {
    columns
        .iter()
        .map(|column| ScopeColumn {
            name: column.name.clone(),
            expr: Expr::Field(Field {
                source: alias.to_owned(),
                name: column.name.clone(),
                ty: column.ty,
            }),
        })
        .collect()
}

impl Binder<'_> {
    /// Binds FROM's items into `scope` and returns the sources.
    pub(crate) fn from(
        &mut self,
        items: &[TableRef],
        scope: &mut Scope<'_>,
    ) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for item in items {
            let mut bound = self.table_ref(item, scope)?;
            sources.extend(bound.source.take());
            scope.push(bound);
            scope.check_unique()?;
        }
        Ok(sources)
    }

    fn table_ref(&mut self, item: &TableRef, scope: &Scope<'_>) -> Result<FromItem> {
        if self.context.shows && !can_be_shown(item) {
            return Err(PgError::unsupported(
                "a definition with names for columns in FROM, USING or NATURAL is not written back",
            ));
        }
        let found = self.table_ref_inner(item, scope)?;
        // A join that has no name of its own offers nothing beyond its sides.
        let (kind, alias) = match item {
            TableRef::Table { name, alias, .. } => (
                RangeKind::Relation(name.parts.last().cloned().unwrap_or_default()),
                alias.is_some(),
            ),
            TableRef::Subquery { .. } | TableRef::Function { .. } => (RangeKind::Derived, true),
            TableRef::Join { alias, .. } if alias.is_some() => (RangeKind::Join, true),
            TableRef::Join { .. } => return Ok(found),
        };
        if let Some(table) = found.tables.first() {
            let columns = table.columns.iter().map(|column| column.name.clone()).collect();
            self.enter_range(RangeEntry { name: table.name.clone(), alias, kind, columns });
        }
        Ok(found)
    }

    fn table_ref_inner(&mut self, item: &TableRef, scope: &Scope<'_>) -> Result<FromItem> {
        match item {
            TableRef::Table { name, alias, .. } => self.named_table(name, alias.as_ref(), scope),
            TableRef::Subquery { query, alias, lateral } => {
                let select = self.subselect_in_from(query, scope, *lateral)?;
                self.derived(select, alias.as_ref(), *lateral)
            }
            TableRef::Function { calls, ordinality, alias, definition, lateral: _ } => {
                match (definition, calls.as_slice()) {
                    (Some(columns), [call]) => {
                        self.defined_rows(call, columns, *ordinality, alias.as_ref(), scope)
                    }
                    (Some(columns), _) => {
                        let span = columns.first().map(|column| column.span).unwrap_or_default();
                        let error = PgError::new(
                            "42601",
                            "ROWS FROM() with multiple functions cannot have a column definition list",
                        )
                        .with_hint("Put a separate column definition list for each function inside ROWS FROM().");
                        Err(self.at(error, span))
                    }
                    (None, _) => self.table_function(calls, *ordinality, alias.as_ref(), scope),
                }
            }
            TableRef::Join { left, right, kind, condition, alias } => {
                let joined = self.join(left, right, *kind, condition, scope)?;
                match alias {
                    None => Ok(joined),
                    Some(alias) if alias.columns.len() > joined.columns.len() => Err(PgError::new(
                        "42P10",
                        format!(
                            "join expression \"{}\" has {} columns available but {} columns specified",
                            alias.name,
                            joined.columns.len(),
                            alias.columns.len()
                        ),
                    )),
                    Some(alias) => Ok(FromItem {
                        source: joined.source,
                        tables: vec![ScopeTable {
                            name: alias.name.clone(),
                            schema: None,
                            columns: renamed(&joined.columns, alias)?,
                            hidden: Vec::new(),
                            ..ScopeTable::default()
                        }],
                        columns: renamed(&joined.columns, alias)?,
                        closed: None,
                    }),
                }
            }
        }
    }

    fn named_table(
        &mut self,
        name: &ObjectName,
        alias: Option<&Alias>,
        scope: &Scope<'_>,
    ) -> Result<FromItem> {
        if let [base] = name.parts.as_slice()
            && let Some(place) = self.common_tables.iter().rposition(|table| table.name == *base)
        {
            return self.common_table(place, alias, name.span);
        }
        let found = self.relation(name).map_err(|error| match name.parts.as_slice() {
            [base] if error.sqlstate() == "42P01" && self.future.contains(base) => error
                .with_detail(format!(
                    "There is a WITH item named \"{base}\", but it cannot be referenced from this part of the query."
                ))
                .with_hint(
                    "Use WITH RECURSIVE, or re-order the WITH items to remove forward references.",
                ),
            _ => error,
        })?;
        match found.relation {
            Relation::Collection(collection) => {
                let table = Table {
                    schema: found.schema,
                    name: found.name,
                    collection: collection.clone(),
                };
                self.collection(table, name, alias)
            }
            Relation::Virtual(columns) => {
                self.virtual_table(found.schema, found.name, columns, alias)
            }
            Relation::View(view) => {
                let view = view.clone();
                self.view(
                    &Found {
                        schema: found.schema,
                        name: found.name,
                        relation: Relation::View(&view),
                    },
                    alias,
                    scope,
                )
            }
        }
    }

    fn collection(
        &mut self,
        table: Table,
        name: &ObjectName,
        alias: Option<&Alias>,
    ) -> Result<FromItem> {
        let visible = alias.map_or(table.name.as_str(), |alias| alias.name.as_str()).to_owned();
        let unique = self.unique_alias(&visible);
        if self.view_depth == 0 {
            self.facts.names.push(NamePlace {
                span: name.span,
                target: target_of(&table),
                alias: alias.is_none().then(|| table.name.clone()),
            });
        }
        let mut item = collection_item(&table, &unique, &visible);
        if let Some(alias) = alias {
            item.columns = renamed(&item.columns, alias)?;
            for scope_table in &mut item.tables {
                scope_table.schema = None;
                // Its row has the type of the table.
                scope_table.fields =
                    scope_table.columns.iter().map(|column| column.name.clone()).collect();
                scope_table.columns = item.columns.clone();
            }
        }
        self.tables.insert(unique, table);
        Ok(item)
    }

    /// A table that the proxy makes itself. It has the system columns `tableoid` and `xmin`, which `*` leaves out.
    fn virtual_table(
        &mut self,
        schema: String,
        name: String,
        columns: Vec<NamedType>,
        alias: Option<&Alias>,
    ) -> Result<FromItem> {
        self.facts.internal = true;
        let visible = alias.map_or(name.as_str(), |alias| alias.name.as_str()).to_owned();
        let unique = self.unique_alias(&visible);
        let mut shown = derived_columns(&unique, &columns);
        let hidden = shown.split_off(columns.len() - crate::catalog::HIDDEN);
        if let Some(alias) = alias {
            shown = renamed(&shown, alias)?;
        }
        Ok(FromItem {
            tables: vec![ScopeTable {
                name: visible,
                schema: alias.is_none().then(|| schema.clone()),
                columns: shown.clone(),
                hidden,
                ..ScopeTable::default()
            }],
            columns: shown,
            closed: None,
            source: Some(Source::Virtual { schema, name, alias: unique, columns }),
        })
    }

    /// A view: its query put in place.
    fn view(
        &mut self,
        found: &Found<'_>,
        alias: Option<&Alias>,
        _scope: &Scope<'_>,
    ) -> Result<FromItem> {
        let Relation::View(view) = &found.relation else {
            return Err(PgError::internal("a view was expected"));
        };
        self.facts.view = true;
        self.view_depth += 1;
        if self.view_depth > VIEW_DEPTH_MAX {
            return Err(PgError::new(
                "42P17",
                format!("infinite recursion detected in view \"{}\"", found.name),
            ));
        }
        let parsed = crate::parse::parse(&view.query)?;
        let Some(Statement::Select(select)) =
            parsed.into_iter().next().map(|parsed| parsed.statement)
        else {
            return Err(PgError::internal(format!(
                "the text of view \"{}\" is no query",
                found.name
            )));
        };
        // A view sees no common table of the statement that reads it.
        let common_tables = std::mem::take(&mut self.common_tables);
        let bound = self.select(&select, None);
        self.common_tables = common_tables;
        self.view_depth -= 1;
        let name = match alias {
            Some(alias) if self.context.shows => alias.name.clone(),
            _ => found.name.clone(),
        };
        let given = Alias { name, columns: view.columns.clone() };
        let mut item = self.derived(bound?, Some(&given), false)?;
        if self.context.shows
            && let Some(Source::Query { alias, columns, .. }) = item.source
        {
            let (schema, name) = (found.schema.clone(), found.name.clone());
            item.source = Some(Source::Virtual { schema, name, alias, columns });
        }
        if let Some(alias) = alias {
            let fields = item.columns.iter().map(|column| column.name.clone()).collect();
            item.columns = renamed(&item.columns, alias)?;
            item.tables = vec![ScopeTable {
                name: alias.name.clone(),
                schema: None,
                columns: item.columns.clone(),
                hidden: Vec::new(),
                relation: Some(view.oid.0),
                fields,
                ..ScopeTable::default()
            }];
        } else if let Some(table) = item.tables.first_mut() {
            table.schema = Some(found.schema.clone());
            table.relation = Some(view.oid.0);
        }
        Ok(item)
    }

    /// A bound query as a source.
    pub(super) fn derived(
        &mut self,
        select: query::Select,
        alias: Option<&Alias>,
        lateral: bool,
    ) -> Result<FromItem> {
        let Some(alias) = alias else {
            return Err(PgError::new("42601", "subquery in FROM must have an alias")
                .with_hint("For example, FROM (SELECT ...) [AS] foo."));
        };
        let unique = self.unique_alias(&alias.name);
        let columns = named_columns(&select, alias)?;
        self.keep_shapes(&unique, &columns, &select);
        let visible = derived_columns(&unique, &columns);
        Ok(FromItem {
            tables: vec![ScopeTable {
                name: alias.name.clone(),
                schema: None,
                columns: restore_names(&visible, &select, alias),
                hidden: Vec::new(),
                ..ScopeTable::default()
            }],
            columns: restore_names(&visible, &select, alias),
            closed: None,
            source: Some(Source::Query {
                query: Box::new(select),
                alias: unique,
                columns,
                lateral,
            }),
        })
    }

    fn subselect_in_from(
        &mut self,
        select: &syntax::Select,
        scope: &Scope<'_>,
        lateral: bool,
    ) -> Result<query::Select> {
        if lateral {
            let before = scope.enter(None);
            let bound = self.select(select, Some(scope));
            scope.enter(before);
            return bound;
        }
        match scope.around() {
            Some(around) => self.select(select, Some(around)),
            None => self.select(select, None),
        }
    }

    fn table_function(
        &mut self,
        calls: &[syntax::FunctionCall],
        ordinality: bool,
        alias: Option<&Alias>,
        scope: &Scope<'_>,
    ) -> Result<FromItem> {
        let mut bound = Vec::new();
        for call in calls {
            let name = call.name.parts.last().cloned().unwrap_or_default();
            let several = name == "unnest" && call.args.len() > 1 && !call.variadic;
            if several {
                for arg in &call.args {
                    let one = syntax::FunctionCall { args: vec![arg.clone()], ..call.clone() };
                    bound.push((
                        self.call(&one, scope, Clause::FromFunction, call.name.span)?,
                        name.clone(),
                    ));
                }
            } else {
                bound.push((self.call(call, scope, Clause::FromFunction, call.name.span)?, name));
            }
        }
        let (expr, name) = match <[_; 1]>::try_from(bound) {
            Ok([only]) => only,
            Err(several) => return self.rows_from(several, ordinality, alias),
        };
        let is_set = match &expr {
            Expr::Call(found) => dataman_pg::catalog::function(found.function)
                .is_none_or(|function| function.returns_set || !function.out.is_empty()),
            _ => false,
        };
        if !is_set && expr.type_id() != TypeId::RECORD {
            // One row of one value: a query without FROM.
            let single = alias.map_or(name.as_str(), |alias| alias.name.as_str()).to_owned();
            let mut fields = vec![query::OutputField::Bound { expr, name: single.clone() }];
            if ordinality {
                fields.push(first_number("ordinality"));
            }
            let select = query::Select { fields, ..query::Select::default() };
            let given = alias.cloned().unwrap_or(Alias { name: single, columns: Vec::new() });
            let mut item = self.derived(select, Some(&given), true)?;
            item.tables.iter_mut().for_each(|table| table.is_value = !ordinality);
            return Ok(item);
        }
        let given = alias.map_or(name.as_str(), |alias| alias.name.as_str()).to_owned();
        let unique = self.unique_alias(&given);
        let single = if alias.is_some() { given.as_str() } else { name.as_str() };
        let columns = function_columns(&expr, single);
        let mut columns = self.place(columns, calls[0].name.span)?;
        let own = columns.len();
        for (column, label) in columns.iter_mut().zip(alias.iter().flat_map(|alias| &alias.columns))
        {
            label.clone_into(&mut column.name);
        }
        if ordinality {
            let label = alias
                .and_then(|alias| alias.columns.get(own).cloned())
                .unwrap_or_else(|| "ordinality".to_owned());
            columns.push(NamedType { name: label, ty: TypeRef::plain(TypeId::INT8) });
        }
        if let Some(alias) = alias
            && alias.columns.len() > columns.len()
        {
            return Err(too_many_aliases(&given, columns.len(), alias.columns.len()));
        }
        let visible = derived_columns(&unique, &columns);
        Ok(FromItem {
            tables: vec![ScopeTable {
                name: given,
                schema: None,
                is_value: columns.len() == 1 && columns[0].ty.id != TypeId::RECORD,
                columns: visible.clone(),
                hidden: Vec::new(),
                ..ScopeTable::default()
            }],
            columns: visible,
            closed: None,
            source: Some(Source::Function { call: expr, alias: unique, columns, ordinality }),
        })
    }

    fn join(
        &mut self,
        left: &TableRef,
        right: &TableRef,
        kind: syntax::JoinKind,
        condition: &JoinCondition,
        scope: &Scope<'_>,
    ) -> Result<FromItem> {
        let mut left_item = self.table_ref(left, scope)?;
        // The right side may look left only through LATERAL; ON sees both.
        let right_item = {
            let mut inner = match scope.around() {
                Some(around) => Scope::child(around),
                None => Scope::root(),
            };
            for item in scope.items() {
                inner.push(item.clone());
            }
            inner.push(FromItem {
                source: None,
                tables: left_item.tables.clone(),
                columns: left_item.columns.clone(),
                closed: matches!(kind, syntax::JoinKind::Right | syntax::JoinKind::Full)
                    .then_some(Closed::Join),
            });
            self.table_ref(right, &inner)?
        };
        let mut right_item = right_item;
        let left_source = left_item
            .source
            .take()
            .ok_or_else(|| PgError::internal("a join side has no source"))?;
        let right_source = right_item
            .source
            .take()
            .ok_or_else(|| PgError::internal("a join side has no source"))?;

        let mut merged: Vec<ScopeColumn> = Vec::new();
        let mut shared = None;
        let mut on_scope = match scope.around() {
            Some(around) => Scope::child(around),
            None => Scope::root(),
        };
        let on = match condition {
            JoinCondition::None => None,
            JoinCondition::On(expr) => {
                on_scope.push(FromItem {
                    source: None,
                    tables: left_item.tables.clone(),
                    columns: left_item.columns.clone(),
                    closed: None,
                });
                on_scope.push(FromItem {
                    source: None,
                    tables: right_item.tables.clone(),
                    columns: right_item.columns.clone(),
                    closed: None,
                });
                on_scope.check_unique()?;
                let bound = self.expr(expr, &on_scope, Clause::JoinOn)?;
                Some(self.resolver().to_boolean(bound, "JOIN/ON")?)
            }
            JoinCondition::Using(names, name) => {
                shared.clone_from(name);
                self.using(names, &left_item, &right_item, kind, &mut merged)?
            }
            JoinCondition::Natural => {
                let names: Vec<String> = left_item
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .filter(|name| right_item.columns.iter().any(|column| column.name == *name))
                    .collect();
                self.using(&names, &left_item, &right_item, kind, &mut merged)?
            }
        };
        let rest = |item: &FromItem| -> Vec<ScopeColumn> {
            item.columns
                .iter()
                .filter(|column| !merged.iter().any(|shared| shared.name == column.name))
                .cloned()
                .collect()
        };
        let mut columns = merged.clone();
        columns.extend(rest(&left_item));
        columns.extend(rest(&right_item));
        let is_left_outer = matches!(kind, syntax::JoinKind::Right | syntax::JoinKind::Full);
        let is_right_outer = matches!(kind, syntax::JoinKind::Left | syntax::JoinKind::Full);
        let mut tables = left_item.tables;
        tables.iter_mut().for_each(|table| table.is_outer |= is_left_outer);
        right_item.tables.iter_mut().for_each(|table| table.is_outer |= is_right_outer);
        tables.extend(right_item.tables);
        tables.extend(shared.map(|name| ScopeTable {
            name,
            schema: None,
            columns: merged,
            hidden: Vec::new(),
            ..ScopeTable::default()
        }));
        let kind = match kind {
            syntax::JoinKind::Cross | syntax::JoinKind::Inner => JoinKind::Inner,
            syntax::JoinKind::Left => JoinKind::Left,
            syntax::JoinKind::Right => JoinKind::Right,
            syntax::JoinKind::Full => JoinKind::Full,
        };
        let source =
            Source::Join { left: Box::new(left_source), right: Box::new(right_source), kind, on };
        Ok(FromItem { source: Some(source), tables, columns, closed: None })
    }

    fn using(
        &mut self,
        names: &[String],
        left: &FromItem,
        right: &FromItem,
        kind: syntax::JoinKind,
        merged: &mut Vec<ScopeColumn>,
    ) -> Result<Option<Expr>> {
        let one = |item: &FromItem, name: &str, side: &str| -> Result<Expr> {
            let mut found = item.columns.iter().filter(|column| column.name == name);
            match (found.next(), found.next()) {
                (Some(column), None) => Ok(column.expr.clone()),
                (Some(_), Some(_)) => Err(PgError::new(
                    "42702",
                    format!("common column name \"{name}\" appears more than once in {side} table"),
                )),
                _ => Err(PgError::new(
                    "42703",
                    format!(
                        "column \"{name}\" specified in USING clause does not exist in {side} table"
                    ),
                )),
            }
        };
        let mut conditions = Vec::new();
        for name in names {
            if merged.iter().any(|column| column.name == *name) {
                return Err(PgError::new(
                    "42701",
                    format!("column name \"{name}\" appears more than once in USING clause"),
                ));
            }
            let left_expr = one(left, name, "left")?;
            let right_expr = one(right, name, "right")?;
            conditions.push(self.resolver().binary("=", left_expr.clone(), right_expr.clone())?);
            let pair = [left_expr, right_expr];
            let common = self.resolver().common_type(&pair, "JOIN/USING")?;
            let [left_expr, right_expr] = pair;
            let left_typmod = left_expr.type_ref();
            let same = left_typmod == right_expr.type_ref();
            let target = if same { left_typmod } else { TypeRef::plain(common) };
            let implicit = dataman_pg::resolve::CastContext::Implicit;
            let left_expr = self.resolver().cast(left_expr, target, implicit)?;
            let right_expr = self.resolver().cast(right_expr, target, implicit)?;
            let expr = match kind {
                syntax::JoinKind::Right => right_expr,
                syntax::JoinKind::Full => {
                    Expr::Coalesce { args: vec![left_expr, right_expr], ty: target }
                }
                _ => left_expr,
            };
            merged.push(ScopeColumn { name: name.clone(), expr });
        }
        Ok(match conditions.len() {
            0 => None,
            1 => conditions.pop(),
            _ => Some(Expr::And(conditions)),
        })
    }

    /// WITH: checks each table and makes it visible; returns how many were visible before, for [`Binder::leave_with`].
    pub(crate) fn enter_with(
        &mut self,
        with: Option<&syntax::With>,
        form: &mut Vec<query::CommonTable>,
        parent: Option<&Scope<'_>>,
    ) -> Result<usize> {
        let before = self.common_tables.len();
        let Some(with) = with else {
            return Ok(before);
        };
        let around = Arc::new(parent.map(Scope::levels).unwrap_or_default());
        for (place, table) in with.tables.iter().enumerate() {
            if with.tables[..place].iter().any(|other| other.alias.name == table.alias.name) {
                let error = PgError::new(
                    "42712",
                    format!("WITH query name \"{}\" specified more than once", table.alias.name),
                );
                return Err(self.at(error, table.span));
            }
        }
        let ordered =
            if with.recursive { self.recursive_order(with)? } else { with.tables.iter().collect() };
        let future = self.future.len();
        for (place, table) in ordered.iter().enumerate() {
            self.future.truncate(future);
            self.future.extend(ordered[place..].iter().map(|table| table.alias.name.clone()));
            let Statement::Select(select) = table.statement.as_ref() else {
                if with.recursive && changes_by_itself(&table.statement, &table.alias.name) {
                    let message = format!(
                        "recursive query \"{}\" must not contain data-modifying statements",
                        table.alias.name
                    );
                    return Err(self.at(PgError::new("42P19", message), table.span));
                }
                let definition = self.modifying_table(with, table)?;
                self.common_tables.push(definition);
                continue;
            };
            let definition = CommonTableDefinition {
                name: table.alias.name.clone(),
                columns: table.alias.columns.clone(),
                select: Some(select.as_ref().clone()),
                visible: self.common_tables.len(),
                references: 0,
                materialized: table.materialized,
                places: Vec::new(),
                recursive: None,
                added: (0, self.range.len()),
                shapes: Vec::new(),
                around: Arc::clone(&around),
            };
            if with.recursive && reads_itself(select, &table.alias.name) {
                self.check_recursion(table, select)?;
                self.recursive_table(definition, table, form, parent)?;
                continue;
            }
            if table.search.is_some() || table.cycle.is_some() {
                let error = PgError::new("42601", "WITH query is not recursive");
                return Err(self.at(error, table.span));
            }
            // Bound once where it stands, so that its errors are found also when nothing reads it.
            let volatile_before = std::mem::replace(&mut self.facts.volatile, false);
            let names_before = self.facts.names.len();
            let bound = self.select(select, parent)?;
            self.columns_of_with(&bound, table)?;
            let volatile = std::mem::replace(&mut self.facts.volatile, volatile_before);
            if volatile {
                // Its rows are computed once, however often they are read, and also when they are read once.
                self.facts.volatile = true;
                let columns = named_columns(&bound, &table.alias)?;
                let name = self.unique_alias(&table.alias.name);
                form.push(query::CommonTable {
                    name: name.clone(),
                    columns: columns.iter().map(|column| column.name.clone()).collect(),
                    query: Box::new(bound),
                    recursive: false,
                    materialized: table.materialized,
                });
                let recursive = Some((name, columns));
                self.common_tables.push(CommonTableDefinition { recursive, ..definition });
                continue;
            }
            self.facts.names.truncate(names_before);
            self.forget(&bound);
            self.common_tables.push(definition);
        }
        self.future.truncate(future);
        Ok(before)
    }

    /// The columns of a common table, under the names that its WITH gives them.
    fn columns_of_with(
        &self,
        select: &query::Select,
        table: &syntax::CommonTable,
    ) -> Result<Vec<NamedType>> {
        named_columns(select, &table.alias).map_err(|error| {
            let message =
                error.message().strip_prefix("table ").map(|rest| format!("WITH query {rest}"));
            match message {
                Some(message) if error.sqlstate() == "42P10" => {
                    self.at(PgError::new("42P10", message), table.span)
                }
                _ => error,
            }
        })
    }

    /// A common table that writes: it is a statement of its own, whose RETURNING is the table's rows.
    fn modifying_table(
        &mut self,
        with: &syntax::With,
        table: &syntax::CommonTable,
    ) -> Result<CommonTableDefinition> {
        if self.top_with != Some(std::ptr::from_ref(with)) {
            return Err(PgError::new(
                "0A000",
                "WITH clause containing a data-modifying statement must be at the top level",
            ));
        }
        let inserting = std::mem::take(&mut self.inserting);
        let (kind, returning) = match table.statement.as_ref() {
            Statement::Insert(insert) => {
                let bound = self.insert(insert)?;
                let returning = bound.insert.returning.clone();
                (BoundKind::Insert(Box::new(bound)), returning)
            }
            Statement::Update(update) => {
                let bound = self.update(update)?;
                let returning = bound.returning.clone();
                (BoundKind::Update(Box::new(bound)), returning)
            }
            Statement::Delete(delete) => {
                let bound = self.delete(delete)?;
                let returning = bound.returning.clone();
                (BoundKind::Delete(Box::new(bound)), returning)
            }
            _ => return Err(PgError::internal("a common table is a query or a change")),
        };
        self.inserting = inserting;
        if !self.write_with.is_empty() {
            return Err(PgError::unsupported(
                "WITH inside a data-modifying statement in WITH is not supported",
            ));
        }
        // The statement's own text says more than any part of it.
        self.facts.internal = true;
        let select = query::Select { fields: returning, ..query::Select::default() };
        let columns = self.columns_of_with(&select, table)?;
        let name = self.unique_alias(&table.alias.name);
        self.modifying.push(Modifying { name: name.clone(), columns: columns.clone(), kind });
        Ok(CommonTableDefinition {
            name: table.alias.name.clone(),
            columns: table.alias.columns.clone(),
            select: None,
            visible: self.common_tables.len(),
            references: 0,
            materialized: None,
            places: Vec::new(),
            recursive: Some((name, columns)),
            added: (0, 0),
            shapes: Vec::new(),
            around: Arc::new(Vec::new()),
        })
    }

    pub(crate) fn leave_with(&mut self, before: usize) {
        // What nothing reads is not in the form; in the client's own text its tables would be looked for on the shard.
        let unread =
            |table: &CommonTableDefinition| table.references == 0 && table.recursive.is_none();
        if self.common_tables.iter().skip(before).any(unread) {
            self.facts.internal = true;
        }
        self.common_tables.truncate(before);
    }

    /// Takes back the tables of a form that is thrown away.
    pub(crate) fn forget(&mut self, select: &query::Select) {
        crate::plan::form::for_each_source(select, &mut |source| {
            if let Source::Collection { alias, .. } = source {
                self.tables.remove(alias);
            }
        });
    }

    fn common_table(
        &mut self,
        place: usize,
        alias: Option<&Alias>,
        span: syntax::Span,
    ) -> Result<FromItem> {
        let definition = self.common_tables[place].clone();
        if let Some((name, columns)) = &definition.recursive {
            if definition.select.is_none() && columns.is_empty() {
                return Err(PgError::new(
                    "0A000",
                    format!("WITH query \"{}\" does not have a RETURNING clause", definition.name),
                ));
            }
            let given = alias.map_or(definition.name.as_str(), |alias| alias.name.as_str());
            let unique = self.unique_alias(given);
            let visible = derived_columns(&unique, columns);
            let mut renamed_columns = match alias {
                Some(alias) => renamed(&visible, alias)?,
                None => visible,
            };
            let (added, level) = definition.added;
            let shown = columns.len() - if self.range.len() > level { added } else { 0 };
            let hidden = renamed_columns.split_off(shown);
            for (column, shape) in columns.iter().zip(&definition.shapes) {
                if let Some(fields) = shape {
                    self.shapes.keep(&unique, &column.name, fields.clone());
                }
            }
            return Ok(FromItem {
                tables: vec![ScopeTable {
                    name: given.to_owned(),
                    schema: None,
                    columns: renamed_columns.clone(),
                    hidden,
                    ..ScopeTable::default()
                }],
                columns: renamed_columns,
                closed: None,
                source: Some(Source::CommonTable {
                    name: name.clone(),
                    alias: unique,
                    columns: columns.clone(),
                }),
            });
        }
        self.common_tables[place].references += 1;
        if self.common_tables[place].references > 1 {
            self.facts.repeated = true;
        }
        let hidden: Vec<CommonTableDefinition> = self.common_tables.split_off(definition.visible);
        let names_before = self.facts.names.len();
        let bound = Scope::within(&definition.around, None, &mut |parent| {
            let select = definition.select.as_ref();
            let select = select.ok_or_else(|| PgError::internal("a common table has no query"))?;
            self.select(select, parent)
        });
        if self.common_tables.len() == definition.visible {
            self.common_tables.extend(hidden);
        }
        if self.facts.repeated {
            // The same place in the text is named once.
            self.facts.names.truncate(names_before);
        }
        let own = Alias { name: definition.name.clone(), columns: definition.columns.clone() };
        let mut item = self.derived(bound?, Some(&own), false)?;
        if let Some(Source::Query { alias, .. }) = &item.source {
            self.read_whole(place, span, alias.clone());
        }
        if let Some(alias) = alias {
            item.columns = renamed(&item.columns, alias)?;
            item.tables = vec![ScopeTable {
                name: alias.name.clone(),
                schema: None,
                columns: item.columns.clone(),
                hidden: Vec::new(),
                ..ScopeTable::default()
            }];
        }
        Ok(item)
    }

    /// Keeps in mind which derived tables PostgreSQL computes by themselves, all of their columns: those of common tables that
    /// are MATERIALIZED, or read in several places and not NOT MATERIALIZED.
    fn read_whole(&mut self, place: usize, span: syntax::Span, alias: String) {
        let Some(definition) = self.common_tables.get_mut(place) else { return };
        definition.places.push((span, alias));
        let first = definition.places.first().map(|(span, _)| *span);
        let several = definition.places.iter().any(|(span, _)| Some(*span) != first);
        if definition.materialized.unwrap_or(several) {
            self.facts.whole.extend(definition.places.iter().map(|(_, alias)| alias.clone()));
        }
    }

    /// A recursive common table: it stays a common table in the form, for databases that know recursion.
    fn recursive_table(
        &mut self,
        mut definition: CommonTableDefinition,
        table: &syntax::CommonTable,
        form: &mut Vec<query::CommonTable>,
        parent: Option<&Scope<'_>>,
    ) -> Result<()> {
        let Some(select) = definition.select.clone() else {
            return Err(PgError::internal("a recursive table has a query"));
        };
        let syntax::SelectBody::SetOperation {
            kind: syntax::SetOperationKind::Union, left, ..
        } = &select.body
        else {
            return Err(PgError::new(
                "42P19",
                format!(
                    "recursive query \"{}\" does not have the form non-recursive-term UNION [ALL] recursive-term",
                    definition.name
                ),
            ));
        };
        let first = self.select(left, parent)?;
        let columns = self.columns_of_with(&first, table)?;
        let shape_of = |field: &query::OutputField| match field {
            query::OutputField::Bound { expr, .. } => self.row_shape(expr),
            _ => None,
        };
        definition.shapes = first.fields.iter().map(shape_of).collect();
        self.forget(&first);
        let name = self.unique_alias(&definition.name);
        let visible = definition.name.clone();
        let mut all = columns.clone();
        let added = self.search_and_cycle(table, &mut all, parent)?;
        if let Some(added) = &added {
            definition.added.0 = added.shapes.len();
            definition.shapes.extend(added.shapes.iter().cloned());
        }
        definition.recursive = Some((name.clone(), all.clone()));
        self.common_tables.push(definition);
        self.recursing.push(name.clone());
        let bound = self.select(&select, parent);
        self.recursing.pop();
        let mut bound = bound?;
        for (place, (given, found)) in
            columns.iter().zip(crate::plan::form::output_columns(&bound)).enumerate()
        {
            if given.ty.id != found.ty.id {
                return Err(PgError::new(
                    "42804",
                    format!(
                        "recursive query \"{visible}\" column {} has type {} in non-recursive term but type {} overall",
                        place + 1,
                        self.type_name(given.ty.id),
                        self.type_name(found.ty.id)
                    ),
                )
                .with_hint("Cast the output of the non-recursive term to the correct type."));
            }
        }
        if let Some(added) = added {
            // What was bound is well formed; what is carried out has the further columns.
            let rewritten = added.rewritten(&visible, &select, &columns);
            let rewritten = rewritten.map_err(|(error, span)| self.at(error, span))?;
            self.forget(&bound);
            self.facts.internal = true;
            self.recursing.push(name.clone());
            let again = self.select(&rewritten, parent);
            self.recursing.pop();
            bound = again?;
        }
        form.push(query::CommonTable {
            name,
            columns: all.into_iter().map(|column| column.name).collect(),
            query: Box::new(bound),
            recursive: true,
            materialized: table.materialized,
        });
        Ok(())
    }
}

/// The number of the only row there is.
pub(super) fn first_number(name: &str) -> query::OutputField {
    let expr = Expr::constant(dataman_pg::Value::Int8(1), TypeId::INT8);
    query::OutputField::Bound { expr, name: name.to_owned() }
}

/// Whether a statement that writes reads a table of this name in its WITH or where its rows come from.
fn changes_by_itself(statement: &Statement, name: &str) -> bool {
    let with = match statement {
        Statement::Insert(insert) => {
            if let syntax::InsertSource::Query(query) = &insert.source
                && reads_itself(query, name)
            {
                return true;
            }
            insert.with.as_ref()
        }
        Statement::Update(update) => update.with.as_ref(),
        Statement::Delete(delete) => delete.with.as_ref(),
        _ => None,
    };
    with.iter().flat_map(|with| &with.tables).any(|table| match table.statement.as_ref() {
        Statement::Select(select) => reads_itself(select, name),
        other => changes_by_itself(other, name),
    })
}

/// Whether a query reads a table of this name, at any depth.
fn reads_itself(select: &syntax::Select, name: &str) -> bool {
    struct Seek<'n> {
        name: &'n str,
        found: bool,
    }
    impl Visitor for Seek<'_> {
        fn table(&mut self, table: &ObjectName) {
            self.found |= matches!(table.parts.as_slice(), [only] if only == self.name);
        }
    }
    let mut seek = Seek { name, found: false };
    walk_select(select, &mut seek);
    seek.found
}

/// The columns of a function in FROM; one that has no name of its own is called `single`.
pub(super) fn function_columns(expr: &Expr, single: &str) -> Result<Vec<NamedType>> {
    let out = match expr {
        Expr::Call(found) => {
            dataman_pg::catalog::function(found.function).map_or(&[][..], |found| found.out)
        }
        _ => &[],
    };
    let ty = expr.type_ref();
    Ok(match out {
        [] if ty.id == TypeId::RECORD => {
            return Err(PgError::new(
                "42601",
                "a column definition list is required for functions returning \"record\"",
            ));
        }
        [] => vec![NamedType { name: single.to_owned(), ty }],
        // A single output column has its own name and the call's type.
        [(own, _)] => vec![NamedType { name: (*own).to_owned(), ty }],
        several => several
            .iter()
            .map(|(own, own_ty)| NamedType {
                name: (*own).to_owned(),
                ty: match expr {
                    Expr::Call(call) => super::record::output_type(call, *own_ty),
                    _ => TypeRef::plain(*own_ty),
                },
            })
            .collect(),
    })
}

pub(super) fn too_many_aliases(name: &str, available: usize, given: usize) -> PgError {
    PgError::new(
        "42P10",
        format!("table \"{name}\" has {available} columns available but {given} columns specified"),
    )
}

/// Columns under the names of an alias's column list.
fn renamed(columns: &[ScopeColumn], alias: &Alias) -> Result<Vec<ScopeColumn>> {
    if alias.columns.len() > columns.len() {
        return Err(too_many_aliases(&alias.name, columns.len(), alias.columns.len()));
    }
    Ok(columns
        .iter()
        .enumerate()
        .map(|(place, column)| ScopeColumn {
            name: alias.columns.get(place).unwrap_or(&column.name).clone(),
            expr: column.expr.clone(),
        })
        .collect())
}

/// A derived source's columns in the form: names made unique, since databases below address them by name.
pub(crate) fn named_columns(select: &query::Select, alias: &Alias) -> Result<Vec<NamedType>> {
    let outputs = crate::plan::form::output_columns(select);
    if alias.columns.len() > outputs.len() {
        return Err(too_many_aliases(&alias.name, outputs.len(), alias.columns.len()));
    }
    let mut columns: Vec<NamedType> = Vec::new();
    for (place, output) in outputs.into_iter().enumerate() {
        let wanted = alias.columns.get(place).cloned().unwrap_or(output.name);
        let mut name = wanted.clone();
        let mut number = 1;
        while columns.iter().any(|column| column.name == name) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        columns.push(NamedType { name, ty: output.ty });
    }
    Ok(columns)
}

/// The names by which the statement sees a derived source's columns: duplicates stay, and are ambiguous.
fn restore_names(
    columns: &[ScopeColumn],
    select: &query::Select,
    alias: &Alias,
) -> Vec<ScopeColumn> {
    let outputs = crate::plan::form::output_columns(select);
    columns
        .iter()
        .zip(outputs)
        .enumerate()
        .map(|(place, (column, output))| ScopeColumn {
            name: alias.columns.get(place).cloned().unwrap_or(output.name),
            expr: column.expr.clone(),
        })
        .collect()
}
