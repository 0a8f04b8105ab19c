//! What lives in a cluster: databases, schemas, collections and what belongs to them.
//!
//! Types are named by PostgreSQL's OIDs (`type_oid`, `typmod`); expressions are SQL text in PostgreSQL's canonical form,
//! which the proxy binds. Names are as PostgreSQL folds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CollectionId, DatabaseId, DatastoreId, ObjectId, ShardId};

/// A database: what a client connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub id: DatabaseId,
    /// Its OID.
    pub oid: ObjectId,
    /// Where its collections live unless they say otherwise.
    pub datastore: DatastoreId,
    /// Fields that shard any table that has them, in order of preference.
    #[serde(default)]
    pub shard_keys: Vec<String>,
    /// The role that owns it.
    pub owner: String,
    /// SQL schemas by name; `public` is always there at first.
    pub schemas: BTreeMap<String, Schema>,
}

/// An SQL schema: a namespace within a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its OID.
    pub oid: ObjectId,
    /// COMMENT ON SCHEMA.
    #[serde(default)]
    pub comment: Option<String>,
    /// Tables by name.
    #[serde(default)]
    pub collections: BTreeMap<String, Collection>,
    /// Views by name.
    #[serde(default)]
    pub views: BTreeMap<String, View>,
    /// Sequences by name.
    #[serde(default)]
    pub sequences: BTreeMap<String, Sequence>,
    /// Enum types by name.
    #[serde(default)]
    pub enums: BTreeMap<String, EnumType>,
}

/// A collection: SQL's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its identifier and OID.
    pub id: CollectionId,
    /// The datastore it lives in.
    pub datastore: DatastoreId,
    /// How it is spread.
    pub placement: Placement,
    /// Its fields in order, dropped ones left out.
    pub fields: Vec<Field>,
    /// Constraints in the order of their making.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Indexes that are not constraints', in the order of their making.
    #[serde(default)]
    pub indexes: Vec<Index>,
    /// The number the next field gets.
    pub next_field_number: i16,
    /// COMMENT ON TABLE.
    #[serde(default)]
    pub comment: Option<String>,
    /// The role that owns it.
    pub owner: String,
}

/// How a collection is spread over its datastore's shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// By a key.
    Sharded(Keyspace),
    /// All on one shard.
    Single {
        /// Which.
        shard: ShardId,
    },
    /// A full copy on every shard.
    Reference,
}

/// How a sharded collection's rows find their shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyspace {
    /// The shard key's fields in order; at least one.
    pub fields: Vec<String>,
    /// Key → shard.
    pub method: KeyspaceMethod,
}

/// Key → shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyspaceMethod {
    /// Hash → vshard → the datastore's map.
    Hash(HashMethod),
    /// Ranges of the (single) key: ascending lower bounds as text, the first one unbounded (`None`), each to a shard. A
    /// bound belongs to the range it begins.
    Range(Vec<(Option<String>, ShardId)>),
    /// Values of the (single) key as text, each to a shard; `None` is the default for all others.
    List(Vec<(Option<String>, ShardId)>),
}

/// The hash functions of a keyspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashMethod {
    /// XXH3, 64 bits.
    #[default]
    Xxh3,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// The integer itself.
    Cast,
    /// PostgreSQL's partition hash.
    Postgres,
}

/// A field: SQL's column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its number (`attnum`), from 1, never used again.
    pub number: i16,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type's modifier, -1 for none.
    pub typmod: i32,
    /// `NOT NULL`.
    pub not_null: bool,
    /// What an INSERT that leaves it out gets.
    #[serde(default)]
    pub default: FieldDefault,
    /// COMMENT ON COLUMN.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What an INSERT that leaves a field out gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldDefault {
    /// NULL.
    #[default]
    None,
    /// `DEFAULT expr`, as SQL text.
    Expr(String),
    /// `SERIAL`: the sequence, `schema.name`.
    Serial(String),
    /// `GENERATED … AS IDENTITY`.
    Identity {
        /// The sequence, `schema.name`.
        sequence: String,
        /// `ALWAYS`, else `BY DEFAULT`.
        always: bool,
    },
    /// `GENERATED ALWAYS AS (expr) STORED`, as SQL text.
    Generated(String),
}

/// A constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// What it demands.
    pub kind: ConstraintKind,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey {
        /// Its fields.
        fields: Vec<String>,
    },
    /// `UNIQUE`.
    Unique {
        /// Its fields.
        fields: Vec<String>,
        /// `NULLS NOT DISTINCT`.
        #[serde(default)]
        nulls_not_distinct: bool,
    },
    /// `CHECK (expr)`, as SQL text.
    Check {
        /// The condition.
        expr: String,
    },
    /// `FOREIGN KEY`.
    ForeignKey {
        /// The referring fields.
        fields: Vec<String>,
        /// The collection referred to: its schema and name.
        references: (String, String),
        /// The fields referred to.
        references_fields: Vec<String>,
        /// `ON DELETE`: `no action`, `restrict`, `cascade`, `set null`, `set default`.
        on_delete: String,
        /// `ON UPDATE`.
        on_update: String,
    },
}

/// An index that is not a constraint's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name, unique within the schema.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// `UNIQUE`.
    pub unique: bool,
    /// `NULLS NOT DISTINCT`.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// The method: `btree` and its like.
    pub method: String,
    /// The keys.
    pub keys: Vec<IndexKey>,
    /// `INCLUDE`.
    #[serde(default)]
    pub include: Vec<String>,
    /// A partial index's condition, as SQL text.
    #[serde(default)]
    pub filter: Option<String>,
    /// COMMENT ON INDEX.
    #[serde(default)]
    pub comment: Option<String>,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    /// A field's name or an expression, as SQL text.
    pub expr: String,
    /// `DESC`.
    #[serde(default)]
    pub descending: bool,
    /// `NULLS FIRST`; decided.
    #[serde(default)]
    pub nulls_first: bool,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its OID.
    pub oid: ObjectId,
    /// Its query, as SQL text with all names qualified by schema.
    pub query: String,
    /// Its columns' names.
    pub columns: Vec<String>,
    /// `schema.name` of what it reads, so that it is not dropped under it.
    #[serde(default)]
    pub depends: Vec<(String, String)>,
    /// COMMENT ON VIEW.
    #[serde(default)]
    pub comment: Option<String>,
    /// The role that owns it.
    pub owner: String,
}

/// A sequence. Its numbers are handed out in blocks; the next block's start is kept beside the snapshot, so that taking
/// one is not a change of schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its OID.
    pub oid: ObjectId,
    /// `AS smallint | integer | bigint`: the type's OID.
    pub type_oid: u32,
    /// `START`.
    pub start: i64,
    /// `INCREMENT`.
    pub increment: i64,
    /// `MINVALUE`.
    pub min: i64,
    /// `MAXVALUE`.
    pub max: i64,
    /// `CYCLE`.
    pub cycle: bool,
    /// `CACHE`: how many numbers a proxy takes at a time at least.
    pub cache: i64,
    /// The field that owns it: schema, table and column.
    #[serde(default)]
    pub owned_by: Option<(String, String, String)>,
    /// COMMENT ON SEQUENCE.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A user-defined enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumType {
    /// Its OID.
    pub oid: ObjectId,
    /// Its array type's OID.
    pub array_oid: ObjectId,
    /// Its labels in order.
    pub labels: Vec<String>,
}

/// A role that can connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// May do everything.
    pub superuser: bool,
    /// The SCRAM-SHA-256 verifier, in PostgreSQL's form; none when no password has been set.
    #[serde(default)]
    pub verifier: Option<String>,
}
