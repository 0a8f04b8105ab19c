//! INSERT, UPDATE, DELETE.

use super::*;

/// INSERT.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// WITH.
    pub with: Option<With>,
    /// The table.
    pub table: ObjectName,
    /// AS alias.
    pub alias: Option<String>,
    /// The columns, when given.
    pub columns: Option<Vec<String>>,
    /// `OVERRIDING SYSTEM VALUE` (true) or `USER VALUE` (false).
    pub overriding: Option<bool>,
    /// The rows.
    pub source: InsertSource,
    /// ON CONFLICT.
    pub conflict: Option<OnConflict>,
    /// RETURNING.
    pub returning: Vec<SelectItem>,
}

/// The rows of an INSERT.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `DEFAULT VALUES`.
    Defaults,
    /// `VALUES …` without order or limit: rows × columns; DEFAULT allowed.
    Values(Vec<Vec<Expr>>),
    /// A query.
    Query(Box<Select>),
}

/// ON CONFLICT.
#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    /// The columns or expressions of the target; empty for none.
    pub columns: Vec<Expr>,
    /// The target's WHERE.
    pub index_filter: Option<Expr>,
    /// ON CONSTRAINT.
    pub constraint: Option<String>,
    /// DO UPDATE SET; `None` is DO NOTHING.
    pub update: Option<(Vec<Assignment>, Option<Expr>)>,
}

/// One assignment of SET.
#[derive(Debug, Clone, PartialEq)]
pub enum Assignment {
    /// `column = value`.
    Column {
        /// The column.
        name: String,
        /// Subscripts of an array element.
        subscripts: Vec<Subscript>,
        /// The value.
        value: Expr,
        /// Where the column stands.
        span: Span,
    },
    /// `(a, b) = (…)` or `= (SELECT …)`.
    Row {
        /// The columns.
        names: Vec<String>,
        /// A row or a subquery.
        value: Expr,
    },
}

/// UPDATE.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// WITH.
    pub with: Option<With>,
    /// The table.
    pub table: ObjectName,
    /// ONLY.
    pub only: bool,
    /// AS alias.
    pub alias: Option<String>,
    /// SET.
    pub set: Vec<Assignment>,
    /// FROM.
    pub from: Vec<TableRef>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// RETURNING.
    pub returning: Vec<SelectItem>,
}

/// DELETE.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// WITH.
    pub with: Option<With>,
    /// The table.
    pub table: ObjectName,
    /// ONLY.
    pub only: bool,
    /// AS alias.
    pub alias: Option<String>,
    /// USING.
    pub using: Vec<TableRef>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// RETURNING.
    pub returning: Vec<SelectItem>,
}
