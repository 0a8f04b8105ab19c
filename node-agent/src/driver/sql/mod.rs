//! The internal query form → SQL text.
//!
//! One walk over the form serves every SQL dialect: [`select`] and [`write`] put statements together, [`expr`] writes
//! expressions for PostgreSQL, [`native`] for SQLite, [`define`] PostgreSQL's DDL. What a dialect cannot say with exactly
//! the bound meaning is an error here, and its capability says so beforehand.
//!
//! Every value's type is written out (`$1::pg_catalog.int4`, `'a'::pg_catalog.text`), operators and functions by their
//! schema (`OPERATOR(pg_catalog.+)`), so that the database resolves them to what the binder bound, whatever its search path.

pub mod define;
mod expr;
pub mod native;
mod select;
pub mod stored;
mod write;

#[cfg(feature = "sqlite")]
pub(crate) use write::{default_alias, reads_source};

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{NodeQuery, Select, Target};
use dataman_pg::Expr;

/// The language to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 12 and later.
    Postgres,
    /// SQLite, with dataman's functions and collations registered and values in [`stored`] form.
    Sqlite,
}

/// Lowers a query in the bound form to one statement's text with parameters `$1…` (PostgreSQL) or `?1…` (SQLite).
///
/// `parameters` is the number of parameters of the execution: an insert of parameter tuples has one row for each of them.
///
/// # Errors
/// `0A000` for what the dialect cannot say, and for the short form, which the agent has to bind first; definitions are
/// lowered by [`define`] and, for SQLite, by its driver.
pub fn lower(query: &NodeQuery, dialect: Dialect, parameters: usize) -> Result<String, NodeError> {
    let lowered = lower_with_expressions(query, dialect, parameters)?;
    debug_assert!(dialect == Dialect::Sqlite || lowered.expressions.is_empty());
    Ok(lowered.text)
}

/// A statement's text and the expressions that it names by number (SQLite only, see [`native`]).
pub struct Lowered {
    /// The text.
    pub text: String,
    /// Name (`#1`) and expression.
    pub expressions: Vec<(String, Expr)>,
}

/// As [`lower`], with the expressions that the text names.
///
/// # Errors
/// As [`lower`].
pub fn lower_with_expressions(
    query: &NodeQuery,
    dialect: Dialect,
    parameters: usize,
) -> Result<Lowered, NodeError> {
    let mut lowering = Lowering::new(dialect);
    match query {
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => lowering.select(select, &[])?,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
            lowering.insert(insert, parameters)?;
        }
        NodeQuery::Update(update) => lowering.update(update)?,
        NodeQuery::Delete(delete) => lowering.delete(delete)?,
        NodeQuery::Sql(sql) if dialect == Dialect::Postgres => lowering.out.push_str(&sql.text),
        NodeQuery::Sql(_) => {
            return Err(NodeError::unsupported("this datasource does not take SQL text"));
        }
        NodeQuery::Get(_) | NodeQuery::Set(_) => {
            return Err(NodeError::unsupported("a short-form query has to be bound first"));
        }
        NodeQuery::Define(_) => {
            return Err(NodeError::unsupported("a definition is not one statement"));
        }
    }
    let expressions = std::mem::take(&mut lowering.expressions);
    Ok(Lowered { text: lowering.out, expressions })
}

/// What a statement's source names become in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Qualifier {
    /// Fields stand without a qualifier.
    Bare,
    /// Fields are qualified by this text, already quoted.
    As(String),
}

/// The state of one lowering.
pub(crate) struct Lowering<'q> {
    dialect: Dialect,
    /// The text so far.
    pub(crate) out: String,
    /// The subqueries that `Expr::Subquery` refers to, the innermost query's last.
    subqueries: Vec<&'q [Select]>,
    /// Sources that are not written by their alias: the record of a definition, the target of a write.
    qualifiers: Vec<(String, Qualifier)>,
    /// The columns of the common table expressions in scope.
    common: Vec<(&'q str, &'q [String])>,
    /// Expressions that the text names by number.
    expressions: Vec<(String, Expr)>,
}

impl<'q> Lowering<'q> {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            subqueries: Vec::new(),
            qualifiers: Vec::new(),
            common: Vec::new(),
            expressions: Vec::new(),
        }
    }

    /// Writes fields of `source` without a qualifier: a definition's record.
    #[must_use]
    pub(crate) fn with_bare(mut self, source: &str) -> Self {
        self.qualifiers.push((source.to_owned(), Qualifier::Bare));
        self
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A name of a field, a column or a constraint's column.
    fn name(&mut self, name: &str) {
        match self.dialect {
            Dialect::Postgres => push_quoted(&mut self.out, name),
            Dialect::Sqlite => push_quoted(&mut self.out, &stored::physical_name(name)),
        }
    }

    /// A source's alias. In SQLite it bears a sign that no table's name begins with, so that an alias never hides a table.
    fn alias(&mut self, alias: &str) {
        let text = self.alias_text(alias);
        self.push(&text);
    }

    fn alias_text(&self, alias: &str) -> String {
        match self.dialect {
            Dialect::Postgres => quoted(alias),
            Dialect::Sqlite => quoted(&format!("@{}", stored::physical_name(alias))),
        }
    }

    /// The physical name of a collection.
    fn collection(&mut self, target: &Target) {
        match self.dialect {
            Dialect::Postgres => {
                if !target.shard_instance.is_empty() {
                    push_quoted(&mut self.out, &target.shard_instance);
                    self.push(".");
                }
                push_quoted(&mut self.out, &target.collection);
            }
            Dialect::Sqlite => {
                push_quoted(&mut self.out, &stored::physical_name(&target.collection));
            }
        }
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &str,
        mut write: impl FnMut(&mut Self, T) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.push(separator);
            }
            write(self, item)?;
        }
        Ok(())
    }
}

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    push_quoted(&mut out, name);
    out
}

fn push_quoted(out: &mut String, name: &str) {
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

/// Text as a string literal.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        if c == '\'' {
            out.push('\'');
        }
        out.push(c);
    }
    out.push('\'');
    out
}
