//! What names mean at one place of a statement.

use std::cell::Cell;

use dataman_node_protocol::query::Source;
use dataman_pg::{Expr, PgError};

use super::expr::Clause;

/// The sources that a query's expressions may name, and through `parent` those of the queries around it.
pub(crate) struct Scope<'p> {
    parent: Option<&'p Scope<'p>>,
    items: Vec<FromItem>,
    /// Where the expression stands that is being bound; none for a query in FROM.
    clause: Cell<Option<Clause>>,
}

/// One bound item of FROM.
#[derive(Debug, Clone)]
pub(crate) struct FromItem {
    /// The source; taken out when the FROM is complete.
    pub(crate) source: Option<Source>,
    /// The tables that qualified names can mean.
    pub(crate) tables: Vec<ScopeTable>,
    /// What `*` gives and unqualified names can mean.
    pub(crate) columns: Vec<ScopeColumn>,
    /// Why what may look at its neighbours must not look at this one.
    pub(crate) closed: Option<Closed>,
}

/// Why LATERAL does not reach an item of FROM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is joined by RIGHT or FULL JOIN to what looks at it.
    Join,
    /// It is the table that an UPDATE or DELETE changes.
    Target,
}

impl Closed {
    fn error(self, table: &str) -> PgError {
        let error = PgError::new(
            "42P10",
            format!("invalid reference to FROM-clause entry for table \"{table}\""),
        );
        match self {
            Self::Join => error.with_detail(
                "The combining JOIN type must be INNER or LEFT for a LATERAL reference.",
            ),
            Self::Target => error.with_hint(format!(
                "There is an entry for table \"{table}\", but it cannot be referenced from this part of the query."
            )),
        }
    }
}

/// A table under the name by which a statement can call it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeTable {
    /// Its alias or name.
    pub(crate) name: String,
    /// Its schema, when it was not given an alias.
    pub(crate) schema: Option<String>,
    /// Its columns.
    pub(crate) columns: Vec<ScopeColumn>,
    /// Columns that only their name finds: `*` leaves them out.
    pub(crate) hidden: Vec<ScopeColumn>,
    /// What the fields of its row are called; the names of its columns when empty.
    pub(crate) fields: Vec<String>,
    /// The table or view that it is, by whose row type its rows are known.
    pub(crate) relation: Option<u32>,
    /// A function of one value: its row is the value.
    pub(crate) is_value: bool,
    /// It is on a side of an outer join that may have no row.
    pub(crate) is_outer: bool,
}

/// A column with what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) expr: Expr,
}

impl FromItem {
    /// The table of this item that has a column.
    fn table_of(&self, column: &str) -> &str {
        self.tables
            .iter()
            .find(|table| table.columns.iter().any(|own| own.name == column))
            .or(self.tables.first())
            .map_or("", |table| table.name.as_str())
    }
}

impl<'p> Scope<'p> {
    pub(crate) fn root() -> Self {
        Self { parent: None, items: Vec::new(), clause: Cell::new(None) }
    }

    pub(crate) fn child(parent: &'p Scope<'p>) -> Self {
        Self { parent: Some(parent), items: Vec::new(), clause: Cell::new(None) }
    }

    /// A scope in which `parent` can be seen through, but whose own level is closed: a subquery in FROM without LATERAL
    /// sees the queries around, not its neighbours.
    pub(crate) fn around(&self) -> Option<&'p Scope<'p>> {
        self.parent
    }

    /// Remembers where the expression stands that is bound now, and gives what was remembered before.
    pub(crate) fn enter(&self, clause: Option<Clause>) -> Option<Clause> {
        self.clause.replace(clause)
    }

    /// Of the levels around, the innermost one that has one of these columns: where in it this query stands.
    pub(crate) fn owner_of(&self, columns: &[Expr]) -> Option<Option<Clause>> {
        let mut scope = self.parent;
        while let Some(level) = scope {
            if columns.iter().any(|column| level.owns(column)) {
                return Some(level.clause.get());
            }
            scope = level.parent;
        }
        None
    }

    /// What this level and those around it have in FROM, outermost first.
    pub(crate) fn levels(&self) -> Vec<Vec<FromItem>> {
        let mut levels = self.parent.map(Scope::levels).unwrap_or_default();
        levels.push(self.items.clone());
        levels
    }

    /// Gives `bind` a scope of such levels.
    pub(crate) fn within<T>(
        levels: &[Vec<FromItem>],
        parent: Option<&Scope<'_>>,
        bind: &mut dyn FnMut(Option<&Scope<'_>>) -> T,
    ) -> T {
        let Some((items, rest)) = levels.split_first() else { return bind(parent) };
        let level = Scope { parent, items: items.clone(), clause: Cell::new(None) };
        Scope::within(rest, Some(&level), bind)
    }

    pub(crate) fn push(&mut self, item: FromItem) {
        self.items.push(item);
    }

    pub(crate) fn items(&self) -> &[FromItem] {
        &self.items
    }

    /// Whether an expression is a column of this level, not of one around it.
    pub(crate) fn owns(&self, expr: &Expr) -> bool {
        self.items
            .iter()
            .flat_map(|item| {
                item.tables.iter().flat_map(|table| &table.columns).chain(&item.columns)
            })
            .any(|column| column.expr == *expr)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Finds an unqualified column here or in the queries around.
    ///
    /// # Errors
    /// `42702` when several match.
    pub(crate) fn column(&self, name: &str) -> Result<Option<Expr>, PgError> {
        let mut scope = Some(self);
        while let Some(level) = scope {
            let mut found = None;
            for item in &level.items {
                for column in item.columns.iter().filter(|column| column.name == name) {
                    if found.replace(column.expr.clone()).is_some() {
                        return Err(PgError::new(
                            "42702",
                            format!("column reference \"{name}\" is ambiguous"),
                        ));
                    }
                    if let Some(closed) = item.closed {
                        return Err(closed.error(item.table_of(name)));
                    }
                }
            }
            if found.is_none() {
                let tables = level.items.iter().flat_map(|item| &item.tables);
                let mut hidden = tables.flat_map(|table| &table.hidden);
                found = hidden.find(|column| column.name == name).map(|column| column.expr.clone());
            }
            if found.is_some() {
                return Ok(found);
            }
            scope = level.parent;
        }
        Ok(None)
    }

    /// Finds the table that a qualifier means.
    ///
    /// # Errors
    /// `42P09` when several have the name; `42P01` when there is none.
    pub(crate) fn table(&self, schema: Option<&str>, name: &str) -> Result<&ScopeTable, PgError> {
        let mut scope = Some(self);
        while let Some(level) = scope {
            let mut found: Option<&ScopeTable> = None;
            for (item, table) in level
                .items
                .iter()
                .flat_map(|item| item.tables.iter().map(move |table| (item, table)))
            {
                if table.name != name || (schema.is_some() && table.schema.as_deref() != schema) {
                    continue;
                }
                if found.replace(table).is_some() {
                    return Err(PgError::new(
                        "42P09",
                        format!("table reference \"{name}\" is ambiguous"),
                    ));
                }
                if let Some(closed) = item.closed {
                    return Err(closed.error(name));
                }
            }
            if let Some(table) = found {
                return Ok(table);
            }
            scope = level.parent;
        }
        let written = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
        Err(PgError::new("42P01", format!("missing FROM-clause entry for table \"{written}\"")))
    }

    /// The column of one table.
    ///
    /// # Errors
    /// As [`Scope::table`]; `42703` when the table has no such column, `42702` when it has several.
    pub(crate) fn qualified(
        &self,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<Expr, PgError> {
        let found = self.table(schema, table)?;
        let mut columns = found.columns.iter().filter(|column| column.name == name);
        let first = columns.next();
        if columns.next().is_some() {
            let message = format!("column reference \"{name}\" is ambiguous");
            return Err(PgError::new("42702", message));
        }
        first
            .or_else(|| found.hidden.iter().find(|column| column.name == name))
            .map(|column| column.expr.clone())
            .ok_or_else(|| PgError::new("42703", format!("column {table}.{name} does not exist")))
    }

    /// Whether a name is already taken by a table of this level (`42712`).
    ///
    /// # Errors
    /// `42712` `table name "t" specified more than once`.
    pub(crate) fn check_unique(&self) -> Result<(), PgError> {
        let mut seen: Vec<(&Option<String>, &str)> = Vec::new();
        for table in self.items.iter().flat_map(|item| &item.tables) {
            if table.name.is_empty() {
                continue;
            }
            let key = (&table.schema, table.name.as_str());
            if seen.contains(&key) {
                return Err(PgError::new(
                    "42712",
                    format!("table name \"{}\" specified more than once", table.name),
                ));
            }
            seen.push(key);
        }
        Ok(())
    }
}
