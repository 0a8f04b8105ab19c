//! dataman's own syntax tree: what the rest of the proxy knows of SQL text.
//!
//! Names are folded already (`Foo` → `foo`, `"Foo"` → `Foo`). A [`Span`] is a range of bytes in the statement's text, so that
//! a name can be replaced where the client wrote it and an error can point at it.

/// A range of bytes of the statement's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one; equal to `start` when unknown.
    pub end: usize,
}

/// One statement of a query string.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// Its own text, without the semicolon.
    pub text: String,
    /// How many characters of the query string stand before it: what is added to an error's position in `text`.
    pub offset: usize,
    /// What it is.
    pub statement: Statement,
}

/// A name with up to two qualifiers, folded: `[database.][schema.]name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectName {
    /// The parts, outermost first; one to three.
    pub parts: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

impl ObjectName {
    /// The object's own name, without qualifiers.
    pub fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// The empty query.
    Empty,
    /// SELECT, VALUES, TABLE, WITH … SELECT.
    Select(Box<Select>),
    /// INSERT.
    Insert(Box<Insert>),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Box<Delete>),
    /// CREATE, ALTER, DROP, TRUNCATE, COMMENT.
    Define(Box<Define>),
    /// BEGIN and its like.
    Transaction(Transaction),
    /// SET, SHOW, RESET, DISCARD.
    Setting(Setting),
    /// `PREPARE name (types) AS statement`.
    Prepare {
        /// The name.
        name: String,
        /// Declared parameter types.
        types: Vec<TypeName>,
        /// The statement with its own text.
        statement: Box<ParsedStatement>,
    },
    /// `EXECUTE name (args)`.
    Execute {
        /// The name.
        name: String,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// `DEALLOCATE name`; none for ALL.
    Deallocate(Option<String>),
    /// EXPLAIN.
    Explain(Box<Explain>),
    /// COPY.
    Copy(Box<Copy>),
    /// `DECLARE`, `FETCH`, `CLOSE` and everything else that PostgreSQL has and dataman does not do: refused with the
    /// reason and hint.
    Unsupported(Unsupported),
}

/// A refusal decided by the syntax alone: `0A000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What is refused, for the message: `LISTEN is not supported`.
    pub message: String,
    /// What would work.
    pub hint: String,
}

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
    /// USING.
    Using(Vec<String>),
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
    /// MATERIALIZED or NOT MATERIALIZED.
    pub materialized: Option<bool>,
    /// SELECT, INSERT, UPDATE or DELETE.
    pub statement: Box<Statement>,
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
#[derive(Debug, Clone, PartialEq)]
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

/// Statements that change the schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Define {
    /// CREATE TABLE.
    CreateTable(CreateTable),
    /// CREATE TABLE AS.
    CreateTableAs {
        /// The name.
        name: ObjectName,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// Column names.
        columns: Vec<String>,
        /// WITH (…): name, value, in lower case names.
        options: Vec<(String, String)>,
        /// The rows.
        query: Box<Select>,
        /// WITH NO DATA.
        no_data: bool,
    },
    /// ALTER TABLE.
    AlterTable {
        /// The table.
        name: ObjectName,
        /// IF EXISTS.
        if_exists: bool,
        /// The actions in order.
        actions: Vec<AlterAction>,
    },
    /// DROP TABLE, VIEW, INDEX, SEQUENCE, SCHEMA, TYPE.
    Drop {
        /// Which kind.
        kind: ObjectKind,
        /// The names.
        names: Vec<ObjectName>,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// CREATE INDEX.
    CreateIndex(CreateIndex),
    /// CREATE SCHEMA.
    CreateSchema {
        /// The name.
        name: String,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// CREATE SEQUENCE.
    CreateSequence {
        /// The name.
        name: ObjectName,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// The options.
        options: SequenceOptions,
    },
    /// ALTER SEQUENCE.
    AlterSequence {
        /// The name.
        name: ObjectName,
        /// IF EXISTS.
        if_exists: bool,
        /// The options.
        options: SequenceOptions,
    },
    /// CREATE VIEW.
    CreateView {
        /// The name.
        name: ObjectName,
        /// OR REPLACE.
        or_replace: bool,
        /// Column names.
        columns: Vec<String>,
        /// The query.
        query: Box<Select>,
        /// The query's text as written.
        text: String,
    },
    /// CREATE TYPE … AS ENUM.
    CreateEnum {
        /// The name.
        name: ObjectName,
        /// The labels.
        labels: Vec<String>,
    },
    /// TRUNCATE.
    Truncate {
        /// The tables.
        names: Vec<ObjectName>,
        /// RESTART IDENTITY.
        restart_identity: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// VACUUM and ANALYZE.
    Maintain {
        /// VACUUM, else ANALYZE.
        vacuum: bool,
        /// The options as they were written.
        options: Vec<MaintainOption>,
        /// The tables; empty for all.
        tables: Vec<MaintainTable>,
    },
    /// COMMENT ON.
    Comment {
        /// Which kind.
        kind: ObjectKind,
        /// The object; for a column `[schema.]table.column`.
        name: ObjectName,
        /// The text; none removes it.
        text: Option<String>,
    },
    /// CREATE DATABASE.
    CreateDatabase {
        /// The name.
        name: String,
        /// WITH (…) options: name, value.
        options: Vec<(String, String)>,
    },
    /// DROP DATABASE.
    DropDatabase {
        /// The name.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// CREATE ROLE / ALTER ROLE … PASSWORD and its like.
    Role {
        /// CREATE, else ALTER.
        create: bool,
        /// The name.
        name: String,
        /// PASSWORD; `Some(None)` removes it.
        password: Option<Option<String>>,
        /// SUPERUSER or NOSUPERUSER.
        superuser: Option<bool>,
        /// LOGIN or NOLOGIN.
        login: Option<bool>,
    },
    /// DROP ROLE.
    DropRole {
        /// The names.
        names: Vec<String>,
        /// IF EXISTS.
        if_exists: bool,
    },
}

/// The kinds of named object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// TABLE.
    Table,
    /// COLUMN.
    Column,
    /// VIEW.
    View,
    /// INDEX.
    Index,
    /// SEQUENCE.
    Sequence,
    /// SCHEMA.
    Schema,
    /// TYPE.
    Type,
    /// DATABASE.
    Database,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The name.
    pub name: ObjectName,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// TEMPORARY.
    pub temporary: bool,
    /// The columns.
    pub columns: Vec<ColumnDefinition>,
    /// Table constraints.
    pub constraints: Vec<TableConstraint>,
    /// WITH (…): name, value.
    pub options: Vec<(String, String)>,
}

/// One column of CREATE TABLE or ADD COLUMN.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type; `serial`, `bigserial`, `smallserial` stay as written.
    pub ty: TypeName,
    /// COLLATE.
    pub collation: Option<ObjectName>,
    /// NOT NULL (true) or NULL (false), when written.
    pub not_null: Option<bool>,
    /// DEFAULT, with its text as written.
    pub default: Option<(Expr, String)>,
    /// GENERATED … AS IDENTITY: ALWAYS and the sequence's options.
    pub identity: Option<(bool, SequenceOptions)>,
    /// GENERATED ALWAYS AS (…) STORED, with its text.
    pub generated: Option<(Expr, String)>,
    /// Constraints written at the column.
    pub constraints: Vec<TableConstraint>,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct TableConstraint {
    /// Its name, when given.
    pub name: Option<String>,
    /// What it demands.
    pub kind: TableConstraintKind,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq)]
pub enum TableConstraintKind {
    /// PRIMARY KEY.
    PrimaryKey(Vec<String>),
    /// UNIQUE.
    Unique {
        /// Its columns.
        columns: Vec<String>,
        /// NULLS NOT DISTINCT.
        nulls_not_distinct: bool,
    },
    /// CHECK, with its text.
    Check(Expr, String),
    /// FOREIGN KEY.
    ForeignKey {
        /// The referring columns.
        columns: Vec<String>,
        /// The table referred to.
        table: ObjectName,
        /// The columns referred to; empty for its primary key.
        references: Vec<String>,
        /// ON DELETE: `no action`, `restrict`, `cascade`, `set null`, `set default`.
        on_delete: &'static str,
        /// ON UPDATE.
        on_update: &'static str,
    },
}

/// One action of ALTER TABLE.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// ADD COLUMN.
    AddColumn {
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// The column.
        column: Box<ColumnDefinition>,
    },
    /// DROP COLUMN.
    DropColumn {
        /// The column.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// RENAME COLUMN.
    RenameColumn {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// RENAME TO.
    RenameTable(String),
    /// RENAME CONSTRAINT.
    RenameConstraint {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// SET DEFAULT (with its text), or DROP DEFAULT.
    SetDefault {
        /// The column.
        name: String,
        /// The default.
        default: Option<(Expr, String)>,
    },
    /// SET NOT NULL (true), DROP NOT NULL.
    SetNotNull {
        /// The column.
        name: String,
        /// SET.
        not_null: bool,
    },
    /// ALTER COLUMN TYPE.
    SetType {
        /// The column.
        name: String,
        /// The type.
        ty: TypeName,
        /// USING.
        using: Option<Expr>,
    },
    /// ADD CONSTRAINT.
    AddConstraint(TableConstraint),
    /// DROP CONSTRAINT.
    DropConstraint {
        /// The constraint.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// OWNER TO.
    OwnerTo(String),
    /// SET SCHEMA.
    SetSchema(String),
}

/// CREATE INDEX.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    /// Its name, when given.
    pub name: Option<String>,
    /// The table.
    pub table: ObjectName,
    /// UNIQUE.
    pub unique: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// CONCURRENTLY.
    pub concurrently: bool,
    /// USING; `btree` when not given.
    pub method: String,
    /// The keys with their texts; an operator class is refused.
    pub keys: Vec<(OrderBy, String)>,
    /// INCLUDE.
    pub include: Vec<String>,
    /// NULLS NOT DISTINCT.
    pub nulls_not_distinct: bool,
    /// WHERE, with its text.
    pub filter: Option<(Expr, String)>,
}

/// The options of a sequence; none where not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SequenceOptions {
    /// AS type.
    pub ty: Option<TypeName>,
    /// START.
    pub start: Option<i64>,
    /// `RESTART` or `RESTART WITH`.
    pub restart: Option<Option<i64>>,
    /// INCREMENT.
    pub increment: Option<i64>,
    /// MINVALUE; `Some(None)` is NO MINVALUE.
    pub min: Option<Option<i64>>,
    /// MAXVALUE.
    pub max: Option<Option<i64>>,
    /// CYCLE.
    pub cycle: Option<bool>,
    /// CACHE.
    pub cache: Option<i64>,
    /// OWNED BY table.column; `Some(None)` is NONE.
    pub owned_by: Option<Option<ObjectName>>,
}

/// BEGIN and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN / START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT / END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK / ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE.
    Release(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// SET TRANSACTION, or SET SESSION CHARACTERISTICS AS TRANSACTION.
    Set {
        /// The modes.
        modes: TransactionModes,
        /// SESSION CHARACTERISTICS.
        session: bool,
    },
}

/// The modes of a transaction, where given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// Lower case: `read committed`, `repeatable read`, `serializable`, `read uncommitted`.
    pub isolation: Option<&'static str>,
    /// READ ONLY.
    pub read_only: Option<bool>,
    /// DEFERRABLE.
    pub deferrable: Option<bool>,
}

/// SET, SHOW, RESET, DISCARD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `SET [SESSION|LOCAL] name = values`.
    Set {
        /// The parameter, in lower case: `timezone` also for `SET TIME ZONE`.
        name: String,
        /// The values as text; none for DEFAULT.
        values: Option<Vec<String>>,
        /// LOCAL.
        local: bool,
    },
    /// `SHOW name`; `all` for SHOW ALL.
    Show(String),
    /// `RESET name`; `all` for RESET ALL.
    Reset(String),
    /// `DISCARD ALL|PLANS|SEQUENCES|TEMP`, upper case.
    Discard(&'static str),
}

/// EXPLAIN.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// ANALYZE.
    pub analyze: bool,
    /// VERBOSE.
    pub verbose: bool,
    /// COSTS.
    pub costs: bool,
    /// TIMING, SUMMARY and the like, by lower-case name and value; known ones only.
    pub options: Vec<(String, bool)>,
    /// `FORMAT`: `text`, `json`, …, lower case.
    pub format: String,
    /// What is explained, with its own text.
    pub statement: Box<ParsedStatement>,
}

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
