//! CREATE, ALTER, DROP and their like.

use super::*;

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
    /// IMPORT FOREIGN SCHEMA.
    ImportSchema(ImportSchema),
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
    /// ALTER DATABASE … SET and RESET, ALTER ROLE … SET and RESET.
    SessionDefaults {
        /// Whose sessions.
        of: SessionsOf,
        /// What is changed.
        change: DefaultsChange,
    },
    /// DROP ROLE.
    DropRole {
        /// The names.
        names: Vec<String>,
        /// IF EXISTS.
        if_exists: bool,
    },
}

/// Whose sessions begin with a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionsOf {
    /// ALTER DATABASE: the database's.
    Database(String),
    /// ALTER ROLE.
    Role {
        /// The role; none for ALL.
        role: Option<RoleName>,
        /// IN DATABASE.
        database: Option<String>,
    },
}

/// A role as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    /// By its name.
    Named(String),
    /// CURRENT_USER and its like.
    Current,
}

/// What changes of the parameters that sessions begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultsChange {
    /// SET name = values.
    Set {
        /// The parameter.
        name: String,
        /// The values.
        values: Vec<String>,
    },
    /// RESET name, SET name TO DEFAULT.
    Reset(String),
    /// RESET ALL.
    ResetAll,
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

/// IMPORT FOREIGN SCHEMA.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportSchema {
    /// The schema there.
    pub schema: String,
    /// LIMIT TO, EXCEPT.
    pub tables: ImportedTables,
    /// FROM SERVER.
    pub server: String,
    /// INTO: the schema here.
    pub into: String,
    /// OPTIONS: name, value.
    pub options: Vec<(String, String)>,
}

/// Which tables are imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportedTables {
    /// All.
    All,
    /// LIMIT TO: these.
    Only(Vec<String>),
    /// EXCEPT: all but these.
    Except(Vec<String>),
}
