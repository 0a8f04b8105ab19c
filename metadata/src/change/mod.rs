//! Typed edits, and what each must leave true.
//!
//! A list of changes is applied as a whole: what lies between two of them need not be valid (a view may be replaced
//! after the table that it reads has been renamed), but the snapshot that comes out is checked entirely
//! ([`crate::snapshot::Snapshot::check`]), or nothing has happened.

mod apply;

use serde::{Deserialize, Serialize};

use crate::check::CheckError;
use crate::id::{DatabaseId, DatastoreId, NodeId};
use crate::schema::{
    Collection, Database, EnumType, Role, Schema, Sequence, SessionDefaults, View,
};
use crate::topology::{Datastore, Node};
use crate::unfinished::Unfinished;

/// One edit of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds a node, or replaces the one of that name.
    PutNode(Node),
    /// Removes a node that nothing uses.
    DropNode(NodeId),
    /// Adds a datastore, or replaces the one of that name. Its vshards are fixed for ever and its shards can only be
    /// added to.
    PutDatastore(Datastore),
    /// Removes a datastore that nothing uses.
    DropDatastore(DatastoreId),
    /// Adds a role, or replaces the one of that name.
    PutRole(Role),
    /// Sets what parameters sessions begin with: of whom they are, whole; none removes them.
    PutDefaults(SessionDefaults),
    /// Removes a role that owns nothing, and what its sessions begin with.
    DropRole(String),
    /// Adds a database.
    CreateDatabase(Database),
    /// Changes a database's own facts, not what is in it.
    AlterDatabase {
        /// Which.
        database: DatabaseId,
        /// Where new collections live.
        datastore: DatastoreId,
        /// Fields that shard any new table that has them.
        shard_keys: Vec<String>,
        /// The role that owns it.
        owner: String,
    },
    /// Removes a database, everything in it, and what its sessions begin with.
    DropDatabase(DatabaseId),
    /// Adds an SQL schema.
    CreateSchema {
        /// In which database.
        database: DatabaseId,
        /// Its name.
        schema: String,
        /// The schema, with what is in it.
        content: Schema,
    },
    /// Sets COMMENT ON SCHEMA.
    CommentSchema {
        /// In which database.
        database: DatabaseId,
        /// Its name.
        schema: String,
        /// The comment; none removes it.
        comment: Option<String>,
    },
    /// Removes an SQL schema that is empty by then.
    DropSchema {
        /// In which database.
        database: DatabaseId,
        /// Its name.
        schema: String,
    },
    /// Adds an object of a schema.
    Create {
        /// Where and how named.
        at: ObjectName,
        /// The object.
        object: Object,
    },
    /// Replaces an object of a schema by one of the same kind.
    Replace {
        /// Where and how named.
        at: ObjectName,
        /// The new value, whole.
        object: Object,
    },
    /// Renames an object. Foreign keys, owned sequences and field defaults follow; a view that reads it must be replaced
    /// in the same list of changes, for its query is text.
    Rename {
        /// Where and how named until now.
        at: ObjectName,
        /// What it is.
        kind: ObjectKind,
        /// Its new name, in the same schema.
        to: String,
    },
    /// Records work on shards that is to be finished, or what is left of it.
    PutUnfinished(Unfinished),
    /// Removes the record of work that has been finished.
    DropUnfinished(String),
    /// Removes an object that nothing refers to by then.
    Drop {
        /// Where and how named.
        at: ObjectName,
        /// What it is.
        kind: ObjectKind,
    },
}

/// The place of an object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The database.
    pub database: DatabaseId,
    /// The SQL schema.
    pub schema: String,
    /// The name.
    pub name: String,
}

impl ObjectName {
    /// Names an object.
    #[must_use]
    pub fn new(database: &DatabaseId, schema: &str, name: &str) -> Self {
        Self { database: database.clone(), schema: schema.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// An object of a schema. Indexes and constraints are part of their collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// A table.
    Collection(Collection),
    /// A view.
    View(View),
    /// A sequence.
    Sequence(Sequence),
    /// An enum.
    Enum(EnumType),
}

impl Object {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Collection(_) => ObjectKind::Collection,
            Self::View(_) => ObjectKind::View,
            Self::Sequence(_) => ObjectKind::Sequence,
            Self::Enum(_) => ObjectKind::Enum,
        }
    }
}

/// The kinds of object of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A table.
    Collection,
    /// A view.
    View,
    /// A sequence.
    Sequence,
    /// An enum.
    Enum,
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Collection => "table",
            Self::View => "view",
            Self::Sequence => "sequence",
            Self::Enum => "type",
        })
    }
}

/// Why changes cannot be made. Nothing has been changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    Exists {
        /// What it would be.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// What is to be changed is not there.
    #[error("{kind} \"{name}\" does not exist")]
    Missing {
        /// What it would be.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A schema that still holds something cannot be dropped.
    #[error("schema \"{schema}\" is not empty")]
    SchemaNotEmpty {
        /// Which.
        schema: String,
    },
    /// The number of vshards cannot change, for rows have been placed by it.
    #[error("datastore \"{datastore}\" has {found} vshards, which cannot become {wanted}")]
    VshardsFixed {
        /// Which.
        datastore: DatastoreId,
        /// How many it has.
        found: u32,
        /// How many were asked for.
        wanted: u32,
    },
    /// A shard cannot be taken away, for it may hold rows.
    #[error("datastore \"{datastore}\" has {found} shards and cannot be cut to {wanted}")]
    ShardsRemoved {
        /// Which.
        datastore: DatastoreId,
        /// How many it has.
        found: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// A new object has an OID that was handed out before.
    #[error("the OID {oid} of {what} has been used before; the next free one is {next}")]
    OidUsed {
        /// The OID.
        oid: u32,
        /// The object.
        what: String,
        /// The first that is free.
        next: u32,
    },
    /// The snapshot that would come out breaks a rule.
    #[error(transparent)]
    Check(#[from] CheckError),
}
