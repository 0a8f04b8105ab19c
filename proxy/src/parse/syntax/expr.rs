//! Expressions, function calls, windows and type names.

use super::*;

/// An expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands, as PostgreSQL's error position would point: for an operator the operator, for a function its name.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// NULL.
    Null,
    /// TRUE, FALSE.
    Bool(bool),
    /// A number as written, decimal only: `42`, `1.5`, `1e3`.
    Number(String),
    /// A string, escapes done: type unknown.
    String(String),
    /// `B'…'` or `X'…'`, its letter and digits as the input of `bit` takes them: `B101`, `X1F`.
    BitString(String),
    /// `type 'text'`: as a cast of the string, but a literal.
    TypedString(TypeName, String),
    /// `$n`.
    Param(u16),
    /// A column: `c`, `t.c`, `s.t.c`.
    Column(Vec<String>),
    /// Binary operator by its SQL name: `+`, `=`, `||`, `->>`, `~~` (LIKE), `!~~`, `~~*` (ILIKE), `!~~*`, `<>` for `!=`.
    Binary {
        /// The name.
        operator: String,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// Prefix operator: `-`, `+`, `~`, `@`, ….
    Prefix {
        /// The name.
        operator: String,
        /// The operand.
        arg: Box<Expr>,
    },
    /// AND.
    And(Box<Expr>, Box<Expr>),
    /// OR.
    Or(Box<Expr>, Box<Expr>),
    /// NOT.
    Not(Box<Expr>),
    /// `IS [NOT] NULL|TRUE|FALSE|UNKNOWN`.
    Is {
        /// What is tested.
        arg: Box<Expr>,
        /// `NULL`, `TRUE`, `FALSE`, `UNKNOWN`.
        test: &'static str,
        /// NOT.
        negated: bool,
    },
    /// `IS [NOT] DISTINCT FROM`.
    Distinct {
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
        /// NOT.
        negated: bool,
    },
    /// `[NOT] BETWEEN [SYMMETRIC] a AND b`.
    Between {
        /// What is tested.
        arg: Box<Expr>,
        /// One end.
        low: Box<Expr>,
        /// The other.
        high: Box<Expr>,
        /// NOT.
        negated: bool,
        /// SYMMETRIC.
        symmetric: bool,
    },
    /// `[NOT] IN (a, b)`.
    InList {
        /// What is tested.
        arg: Box<Expr>,
        /// The list, not empty.
        list: Vec<Expr>,
        /// NOT.
        negated: bool,
    },
    /// `[NOT] IN (SELECT …)`.
    InSubquery {
        /// What is tested; a row constructor for several columns.
        arg: Box<Expr>,
        /// The query.
        query: Box<Select>,
        /// NOT.
        negated: bool,
    },
    /// `[NOT] LIKE|ILIKE|SIMILAR TO pattern [ESCAPE e]`.
    Like {
        /// `LIKE`, `ILIKE`, `SIMILAR TO`.
        kind: &'static str,
        /// What is tested.
        arg: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// ESCAPE.
        escape: Option<Box<Expr>>,
        /// NOT.
        negated: bool,
    },
    /// `left op ANY|ALL (array or subquery)`.
    Quantified {
        /// The operator.
        operator: String,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Quantified>,
        /// ALL.
        all: bool,
    },
    /// A scalar subquery.
    Subquery(Box<Select>),
    /// `EXISTS (…)`; NOT EXISTS is NOT around it.
    Exists(Box<Select>),
    /// `ARRAY(SELECT …)`.
    ArraySubquery(Box<Select>),
    /// `ARRAY[…]`.
    Array(Vec<Expr>),
    /// `ROW(…)` or `(a, b)`.
    Row(Vec<Expr>),
    /// `(row).field`.
    FieldOf(Box<Expr>, String),
    /// `(row).*`.
    Expand(Box<Expr>),
    /// A row whose fields have names, as SEARCH and CYCLE make it.
    NamedRow(Vec<String>, Vec<Expr>),
    /// `t.*` where it is a value.
    WholeRow(Vec<String>),
    /// `a[i]`, `a[i:j]`.
    Subscript {
        /// The array.
        array: Box<Expr>,
        /// The subscripts: index, or slice with open ends.
        subscripts: Vec<Subscript>,
    },
    /// `expr::type`, `CAST(expr AS type)`.
    Cast {
        /// What is cast.
        arg: Box<Expr>,
        /// To what.
        ty: TypeName,
    },
    /// A function call: also the ones SQL has grammar for (`EXTRACT`, `SUBSTRING`, `POSITION`, `OVERLAY`, `TRIM`,
    /// `AT TIME ZONE`, `COLLATE` excepted), under the names PostgreSQL's grammar gives them: `extract(text, source)`,
    /// `substring`, `position`, `overlay`, `btrim`/`ltrim`/`rtrim`, `timezone(zone, value)`.
    Function(Box<FunctionCall>),
    /// `CASE`.
    Case {
        /// `CASE operand`.
        operand: Option<Box<Expr>>,
        /// WHEN and THEN.
        branches: Vec<(Expr, Expr)>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// COALESCE.
    Coalesce(Vec<Expr>),
    /// NULLIF.
    NullIf(Box<Expr>, Box<Expr>),
    /// GREATEST (true) or LEAST.
    Extreme(bool, Vec<Expr>),
    /// `GROUPING(…)`.
    Grouping(Vec<Expr>),
    /// `expr COLLATE name`.
    Collate(Box<Expr>, ObjectName),
    /// DEFAULT, in INSERT and UPDATE.
    Default,
    /// `CURRENT_DATE`, `CURRENT_USER`, `LOCALTIMESTAMP(3)` and their like: the name in lower case and the precision.
    Special(&'static str, Option<i32>),
}

/// The right side of ANY and ALL.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is always in a box")]
pub enum Quantified {
    /// An array.
    Array(Expr),
    /// A subquery.
    Subquery(Select),
}

/// One subscript.
#[derive(Debug, Clone, PartialEq)]
pub enum Subscript {
    /// `[i]`.
    Index(Expr),
    /// `[i:j]`.
    Slice(Option<Expr>, Option<Expr>),
}

/// A function call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FunctionCall {
    /// Its name.
    pub name: ObjectName,
    /// The arguments.
    pub args: Vec<FunctionArg>,
    /// `f(*)`.
    pub star: bool,
    /// VARIADIC before the last argument.
    pub variadic: bool,
    /// DISTINCT.
    pub distinct: bool,
    /// ORDER BY within the call.
    pub order_by: Vec<OrderBy>,
    /// WITHIN GROUP (ORDER BY …).
    pub within_group: Vec<OrderBy>,
    /// FILTER (WHERE …).
    pub filter: Option<Expr>,
    /// OVER.
    pub over: Option<Over>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionArg {
    /// `name => value`.
    pub name: Option<String>,
    /// The value.
    pub value: Expr,
}

/// OVER.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is always in a function call's box")]
pub enum Over {
    /// `OVER name`.
    Name(String),
    /// `OVER (…)`.
    Spec(WindowSpec),
}

/// A window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WindowSpec {
    /// The window it extends.
    pub base: Option<String>,
    /// PARTITION BY.
    pub partition_by: Vec<Expr>,
    /// ORDER BY.
    pub order_by: Vec<OrderBy>,
    /// The frame clause.
    pub frame: Option<Frame>,
}

/// A frame clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// `ROWS`, `RANGE`, `GROUPS`.
    pub unit: &'static str,
    /// Its start.
    pub start: FrameBound,
    /// Its end.
    pub end: FrameBound,
    /// `EXCLUDE …`: `CURRENT ROW`, `GROUP`, `TIES`.
    pub exclude: Option<&'static str>,
}

/// One end of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    /// UNBOUNDED PRECEDING.
    UnboundedPreceding,
    /// `n PRECEDING`.
    Preceding(Expr),
    /// CURRENT ROW.
    CurrentRow,
    /// `n FOLLOWING`.
    Following(Expr),
    /// UNBOUNDED FOLLOWING.
    UnboundedFollowing,
}

/// A type's name as written, folded to PostgreSQL's own: `int4` for `INTEGER`, `varchar` for `CHARACTER VARYING`, `bpchar` for
/// `CHAR`, `timestamptz` for `TIMESTAMP WITH TIME ZONE`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeName {
    /// The name, qualified or not.
    pub name: ObjectName,
    /// The modifiers in parentheses: `varchar(10)`, `numeric(10,2)`.
    pub modifiers: Vec<i64>,
    /// INTERVAL's fields, upper case: `DAY TO SECOND`.
    pub interval_fields: Option<String>,
    /// The number of `[]`.
    pub array_dimensions: u8,
}
