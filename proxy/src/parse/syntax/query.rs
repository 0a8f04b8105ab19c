//! SELECT: its clauses, and what stands in FROM.

use super::*;

/// A SELECT with all that may surround it.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// WITH.
    pub with: Option<With>,
    /// The body.
    pub body: SelectBody,
    /// ORDER BY.
    pub order_by: Vec<OrderBy>,
    /// LIMIT or FETCH; `LIMIT ALL` and `LIMIT NULL` are none.
    pub limit: Option<Expr>,
    /// FETCH … WITH TIES.
    pub with_ties: bool,
    /// OFFSET.
    pub offset: Option<Expr>,
    /// FOR UPDATE and its like.
    pub locks: Vec<LockClause>,
}

/// What stands between WITH and ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectBody {
    /// `SELECT …`.
    Query(Box<Query>),
    /// `VALUES …`: rows × columns.
    Values(Vec<Vec<Expr>>),
    /// `left UNION [ALL] right` and its like.
    SetOperation {
        /// Which.
        kind: SetOperationKind,
        /// ALL.
        all: bool,
        /// The left side (nested SELECT in parentheses keeps its own order and limit).
        left: Box<Select>,
        /// The right side.
        right: Box<Select>,
    },
}

/// The set operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperationKind {
    /// UNION.
    Union,
    /// INTERSECT.
    Intersect,
    /// EXCEPT.
    Except,
}

/// One `SELECT … FROM … WHERE … GROUP BY … HAVING … WINDOW`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// DISTINCT.
    pub distinct: Option<Distinct>,
    /// The select list.
    pub items: Vec<SelectItem>,
    /// FROM.
    pub from: Vec<TableRef>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY; `None` when absent (an empty list is `GROUP BY ()`).
    pub group_by: Option<Vec<GroupItem>>,
    /// GROUP BY DISTINCT: of grouping sets that are alike one stays.
    pub group_distinct: bool,
    /// HAVING.
    pub having: Option<Expr>,
    /// WINDOW name AS (…).
    pub windows: Vec<(String, WindowSpec)>,
}

/// DISTINCT.
#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    /// `DISTINCT`.
    Rows,
    /// `DISTINCT ON (…)`.
    On(Vec<Expr>),
}

/// One item of a select list or RETURNING.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    /// `expr [AS alias]`.
    Expr {
        /// The expression.
        expr: Expr,
        /// Its alias.
        alias: Option<String>,
    },
    /// `*`.
    Wildcard(Span),
    /// `t.*`.
    QualifiedWildcard(ObjectName),
}

/// One item of GROUP BY.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupItem {
    /// An expression.
    Expr(Expr),
    /// `ROLLUP (…)`.
    Rollup(Vec<Vec<Expr>>),
    /// `CUBE (…)`.
    Cube(Vec<Vec<Expr>>),
    /// `GROUPING SETS (…)`.
    Sets(Vec<Vec<Expr>>),
}

/// One item of FROM.
#[derive(Debug, Clone, PartialEq)]
pub enum TableRef {
    /// A table, view or CTE.
    Table {
        /// Its name.
        name: ObjectName,
        /// Its alias.
        alias: Option<Alias>,
        /// `ONLY`.
        only: bool,
    },
    /// `(SELECT …) alias`.
    Subquery {
        /// The query.
        query: Box<Select>,
        /// Its alias.
        alias: Option<Alias>,
        /// LATERAL.
        lateral: bool,
    },
    /// `function(…) alias`.
    Function {
        /// The calls: several for ROWS FROM.
        calls: Vec<FunctionCall>,
        /// WITH ORDINALITY.
        ordinality: bool,
        /// Its alias.
        alias: Option<Alias>,
        /// The columns of a column definition list.
        definition: Option<Vec<DefinedColumn>>,
        /// LATERAL.
        lateral: bool,
    },
    /// `left JOIN right …`; with an alias when in parentheses and given one.
    Join {
        /// Left.
        left: Box<TableRef>,
        /// Right.
        right: Box<TableRef>,
        /// Which.
        kind: JoinKind,
        /// How rows match.
        condition: JoinCondition,
        /// `(a JOIN b …) AS alias`.
        alias: Option<Alias>,
    },
}

/// A column of a column definition list.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeName,
    /// Where its name stands.
    pub span: Span,
}

/// The kinds of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// CROSS.
    Cross,
    /// INNER.
    Inner,
    /// LEFT.
    Left,
    /// RIGHT.
    Right,
    /// FULL.
    Full,
}

/// How the rows of a join match.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinCondition {
    /// None: CROSS.
    None,
    /// ON.
    On(Expr),
    /// By these columns; and the name by which these alone can be called.
    Using(Vec<String>, Option<String>),
    /// NATURAL.
    Natural,
}

/// `AS name (columns)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// Column names.
    pub columns: Vec<String>,
}

/// WITH.
#[derive(Debug, Clone, PartialEq)]
pub struct With {
    /// RECURSIVE.
    pub recursive: bool,
    /// The tables in order.
    pub tables: Vec<CommonTable>,
}

/// One common table expression.
#[derive(Debug, Clone, PartialEq)]
pub struct CommonTable {
    /// Name and column names.
    pub alias: Alias,
    /// Where the name stands.
    pub span: Span,
    /// MATERIALIZED or NOT MATERIALIZED.
    pub materialized: Option<bool>,
    /// SELECT, INSERT, UPDATE or DELETE.
    pub statement: Box<Statement>,
    /// SEARCH.
    pub search: Option<Search>,
    /// CYCLE.
    pub cycle: Option<Box<Cycle>>,
}

/// `SEARCH BREADTH FIRST BY a, b SET name`: a column of a recursive table that sorts its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// BREADTH, not DEPTH.
    pub breadth: bool,
    /// The columns that tell the rows of a level apart.
    pub columns: Vec<String>,
    /// The name of the column that sorts.
    pub sequence: String,
    /// Where the clause stands.
    pub span: Span,
}

/// `CYCLE a, b SET name TO x DEFAULT y USING name`: rows that have been met on the way to them lead no further.
#[derive(Debug, Clone, PartialEq)]
pub struct Cycle {
    /// The columns by which a row is known again.
    pub columns: Vec<String>,
    /// The name of the column that says so.
    pub mark: String,
    /// Its value for rows that have been met; none for TRUE.
    pub value: Option<Expr>,
    /// Its value for all others; none for FALSE.
    pub default: Option<Expr>,
    /// The name of the column with the way to the row.
    pub path: String,
    /// Where the clause stands.
    pub span: Span,
}

/// One key of ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    /// The expression, a column's number or an output name.
    pub expr: Expr,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST or LAST, when written.
    pub nulls_first: Option<bool>,
}

/// FOR UPDATE and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockClause {
    /// `UPDATE`, `NO KEY UPDATE`, `SHARE`, `KEY SHARE`.
    pub strength: String,
    /// OF.
    pub of: Vec<String>,
    /// `NOWAIT` or `SKIP LOCKED`.
    pub wait: Option<String>,
}
