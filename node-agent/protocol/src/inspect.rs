//! What an inspection finds: tables of a database, whoever made them, in PostgreSQL's terms.

use serde::{Deserialize, Serialize};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// A PostgreSQL schema, MySQL or MongoDB database.
    Namespace(String),
    /// A table or collection.
    Table(Box<FoundTable>),
}

/// A table of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundTable {
    /// The namespace that it is in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub fields: Vec<FoundField>,
    /// What it demands.
    #[serde(default)]
    pub constraints: Vec<FoundConstraint>,
    /// Its other indexes over plain columns.
    #[serde(default)]
    pub indexes: Vec<FoundIndex>,
    /// What goes on working there without being shown here: triggers and their like.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What there is to know about how its columns were found.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// Why it cannot be adopted; empty when it can.
    #[serde(default)]
    pub refusals: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundField {
    /// Its name.
    pub name: String,
    /// Where its values lie, when that is not what it is called: `address.city` of a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The OID of PostgreSQL's type; 0 where there is none, or `labels` say it.
    pub type_oid: u32,
    /// The type's modifier, -1 for none.
    pub typmod: i32,
    /// The type as its database writes it.
    pub declared: String,
    /// For an enum that dataman takes over as one: its name and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<(String, Vec<String>)>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// What the database fills in, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<Filled>,
    /// Whether its database orders its text in another way than by bytes.
    #[serde(default)]
    pub collated: bool,
    /// Why it cannot be taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// COMMENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a database fills in by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filled {
    /// A default in PostgreSQL's words: dataman computes it as well where it is a constant.
    Constant,
    /// A default in words of the database's own.
    Default,
    /// An identity that may be given.
    IdentityByDefault,
    /// An identity that may not be given.
    IdentityAlways,
    /// A generated column.
    Generated,
}

/// A constraint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundConstraint {
    /// Its name.
    pub name: String,
    /// What kind.
    pub kind: FoundConstraintKind,
    /// The columns of a key.
    #[serde(default)]
    pub fields: Vec<String>,
    /// `NULLS NOT DISTINCT`.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// A CHECK's condition, in its database's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// The namespace and table that a foreign key refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<(String, String)>,
    /// The columns there.
    #[serde(default)]
    pub references_fields: Vec<String>,
    /// `ON DELETE`, in small letters.
    #[serde(default)]
    pub on_delete: String,
    /// `ON UPDATE`, in small letters.
    #[serde(default)]
    pub on_update: String,
}

/// The kinds of constraint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `UNIQUE`.
    Unique,
    /// `CHECK`.
    #[default]
    Check,
    /// `FOREIGN KEY`.
    ForeignKey,
}

/// An index over plain columns that is no constraint's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundIndex {
    /// Its name.
    pub name: String,
    /// `UNIQUE`.
    pub unique: bool,
    /// `NULLS NOT DISTINCT`.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// The columns: name, `DESC`, `NULLS FIRST`.
    pub keys: Vec<(String, bool, bool)>,
}
