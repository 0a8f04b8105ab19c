//! COPY, VACUUM and ANALYZE.

use super::*;

/// COPY.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The table and its columns, or the query.
    pub what: CopyWhat,
    /// FROM, else TO.
    pub from: bool,
    /// `STDIN`/`STDOUT`; else the file or program, which is refused.
    pub standard: bool,
    /// `PROGRAM`.
    pub program: bool,
    /// The options as they were written.
    pub options: Vec<CopyOption>,
    /// WHERE.
    pub filter: Option<Expr>,
}

/// An option of COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOption {
    /// Its name, in lower case unless it was quoted.
    pub name: String,
    /// Its value.
    pub value: CopyOptionValue,
    /// Where it stands.
    pub span: Span,
}

/// The value of an option of COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyOptionValue {
    /// None was given.
    None,
    /// A word, a string or a number.
    Text(String),
    /// Names in parentheses.
    List(Vec<String>),
    /// `*`.
    All,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq)]
pub enum CopyWhat {
    /// A table.
    Table {
        /// Its name.
        name: ObjectName,
        /// Its columns; empty for all.
        columns: Vec<String>,
    },
    /// A query, with its own text.
    Query(Box<ParsedStatement>),
}

/// An option of VACUUM or ANALYZE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintainOption {
    /// Its name.
    pub name: String,
    /// Its value, when one was given.
    pub value: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// A table of VACUUM or ANALYZE.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintainTable {
    /// Its name.
    pub name: ObjectName,
    /// The columns to analyze; empty for all.
    pub columns: Vec<String>,
}
