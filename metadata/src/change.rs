//! Typed edits, and what each must leave true.
//!
//! A list of changes is applied as a whole: what lies between two of them need not be valid (a view may be replaced
//! after the table that it reads has been renamed), but the snapshot that comes out is checked entirely
//! ([`Snapshot::check`]), or nothing has happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::CheckError;
use crate::id::{DatabaseId, DatastoreId, Epoch, NodeId};
use crate::schema::{
    Collection, ConstraintKind, Database, EnumType, FieldDefault, Role, Schema, Sequence, View,
};
use crate::snapshot::{FIRST_OID, Snapshot};
use crate::topology::{Datastore, Node};

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
    /// Removes a role that owns nothing.
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
    /// Removes a database and everything in it.
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
#[expect(clippy::large_enum_variant, reason = "few exist at a time, and each is moved once")]
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

impl Snapshot {
    /// Makes the snapshot of the next epoch.
    ///
    /// # Errors
    /// When a change does not fit or what comes out would break a rule of [`Snapshot::check`].
    pub fn apply(&self, changes: &[Change]) -> Result<Self, ChangeError> {
        let mut next = self.clone();
        for change in changes {
            next.apply_one(change)?;
        }
        next.epoch = Epoch(self.epoch.0 + 1);
        next.raise_next_oid(self)?;
        next.check()?;
        Ok(next)
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), ChangeError> {
        match change {
            Change::PutNode(node) => {
                self.nodes.insert(node.id.clone(), node.clone());
            }
            Change::DropNode(id) => remove(&mut self.nodes, id, "node")?,
            Change::PutDatastore(datastore) => self.put_datastore(datastore)?,
            Change::DropDatastore(id) => remove(&mut self.datastores, id, "datastore")?,
            Change::PutRole(role) => {
                self.roles.insert(role.name.clone(), role.clone());
            }
            Change::DropRole(name) => remove(&mut self.roles, name, "role")?,
            Change::CreateDatabase(database) => {
                insert(&mut self.databases, &database.id, database.clone(), "database")?;
            }
            Change::AlterDatabase { database, datastore, shard_keys, owner } => {
                let found = self.database_mut(database)?;
                found.datastore = datastore.clone();
                found.shard_keys.clone_from(shard_keys);
                found.owner.clone_from(owner);
            }
            Change::DropDatabase(id) => remove(&mut self.databases, id, "database")?,
            Change::CreateSchema { database, schema, content } => {
                insert(
                    &mut self.database_mut(database)?.schemas,
                    schema,
                    content.clone(),
                    "schema",
                )?;
            }
            Change::CommentSchema { database, schema, comment } => {
                self.schema_mut(database, schema)?.comment.clone_from(comment);
            }
            Change::DropSchema { database, schema } => {
                if !self.schema_mut(database, schema)?.is_empty() {
                    return Err(ChangeError::SchemaNotEmpty { schema: schema.clone() });
                }
                remove(&mut self.database_mut(database)?.schemas, schema, "schema")?;
            }
            Change::Create { at, object } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                if object.kind() != ObjectKind::Enum && !schema.is_free(&at.name) {
                    return Err(ChangeError::Exists { kind: "relation", name: at.name.clone() });
                }
                match object.clone() {
                    Object::Collection(object) => {
                        insert(&mut schema.collections, &at.name, object, "relation")?
                    }
                    Object::View(object) => {
                        insert(&mut schema.views, &at.name, object, "relation")?
                    }
                    Object::Sequence(object) => {
                        insert(&mut schema.sequences, &at.name, object, "relation")?
                    }
                    Object::Enum(object) => insert(&mut schema.enums, &at.name, object, "type")?,
                }
            }
            Change::Replace { at, object } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                match object.clone() {
                    Object::Collection(object) => {
                        replace(&mut schema.collections, &at.name, object, "relation")?
                    }
                    Object::View(object) => {
                        replace(&mut schema.views, &at.name, object, "relation")?
                    }
                    Object::Sequence(object) => {
                        replace(&mut schema.sequences, &at.name, object, "relation")?
                    }
                    Object::Enum(object) => replace(&mut schema.enums, &at.name, object, "type")?,
                }
            }
            Change::Rename { at, kind, to } => self.rename(at, *kind, to)?,
            Change::Drop { at, kind } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                match kind {
                    ObjectKind::Collection => remove(&mut schema.collections, &at.name, "table")?,
                    ObjectKind::View => remove(&mut schema.views, &at.name, "view")?,
                    ObjectKind::Sequence => remove(&mut schema.sequences, &at.name, "sequence")?,
                    ObjectKind::Enum => remove(&mut schema.enums, &at.name, "type")?,
                }
            }
        }
        Ok(())
    }

    fn put_datastore(&mut self, wanted: &Datastore) -> Result<(), ChangeError> {
        if let Some(found) = self.datastores.get(&wanted.id) {
            let datastore = wanted.id.clone();
            if found.vshards != wanted.vshards {
                return Err(ChangeError::VshardsFixed {
                    datastore,
                    found: found.vshards,
                    wanted: wanted.vshards,
                });
            }
            if found.shards.len() > wanted.shards.len() {
                let (found, wanted) = (found.shards.len(), wanted.shards.len());
                return Err(ChangeError::ShardsRemoved { datastore, found, wanted });
            }
        }
        self.datastores.insert(wanted.id.clone(), wanted.clone());
        Ok(())
    }

    fn rename(&mut self, at: &ObjectName, kind: ObjectKind, to: &str) -> Result<(), ChangeError> {
        let schema = self.schema_mut(&at.database, &at.schema)?;
        if kind != ObjectKind::Enum && !schema.is_free(to) {
            return Err(ChangeError::Exists { kind: "relation", name: to.to_owned() });
        }
        let to = to.to_owned();
        match kind {
            ObjectKind::Collection => {
                rename_key(&mut schema.collections, &at.name, &to, "relation")?
            }
            ObjectKind::View => rename_key(&mut schema.views, &at.name, &to, "relation")?,
            ObjectKind::Sequence => rename_key(&mut schema.sequences, &at.name, &to, "relation")?,
            ObjectKind::Enum => rename_key(&mut schema.enums, &at.name, &to, "type")?,
        }
        let database = self.database_mut(&at.database)?;
        match kind {
            ObjectKind::Collection => database.follow_collection(at, &to),
            ObjectKind::Sequence => database.follow_sequence(at, &to),
            ObjectKind::View | ObjectKind::Enum => {}
        }
        Ok(())
    }

    fn database_mut(&mut self, id: &DatabaseId) -> Result<&mut Database, ChangeError> {
        self.databases
            .get_mut(id)
            .ok_or_else(|| ChangeError::Missing { kind: "database", name: id.to_string() })
    }

    fn schema_mut(
        &mut self,
        database: &DatabaseId,
        schema: &str,
    ) -> Result<&mut Schema, ChangeError> {
        let found = self.database_mut(database)?.schemas.get_mut(schema);
        found.ok_or_else(|| ChangeError::Missing { kind: "schema", name: schema.to_owned() })
    }

    /// Raises `next_oid` above every OID, and refuses a new object with an OID that an earlier one may have had.
    fn raise_next_oid(&mut self, before: &Self) -> Result<(), ChangeError> {
        let first_free = before.next_oid.max(FIRST_OID);
        let mut next = first_free;
        let mut known = None;
        for (oid, what) in self.oids_used() {
            if oid >= first_free {
                next = next.max(oid.saturating_add(1));
            } else if oid >= FIRST_OID {
                let known = known.get_or_insert_with(|| {
                    before.oids_used().map(|(oid, _)| oid).collect::<std::collections::HashSet<_>>()
                });
                if !known.contains(&oid) {
                    return Err(ChangeError::OidUsed { oid, what, next: first_free });
                }
            }
        }
        self.next_oid = next;
        Ok(())
    }
}

impl Database {
    /// Lets what refers to a collection by name follow its new name.
    fn follow_collection(&mut self, at: &ObjectName, to: &str) {
        for schema in self.schemas.values_mut() {
            for collection in schema.collections.values_mut() {
                for constraint in &mut collection.constraints {
                    if let ConstraintKind::ForeignKey { references, .. } = &mut constraint.kind
                        && references.0 == at.schema
                        && references.1 == at.name
                    {
                        to.clone_into(&mut references.1);
                    }
                }
            }
            for sequence in schema.sequences.values_mut() {
                if let Some((schema, table, _)) = &mut sequence.owned_by
                    && *schema == at.schema
                    && *table == at.name
                {
                    to.clone_into(table);
                }
            }
        }
    }

    /// Lets field defaults follow a sequence's new name.
    fn follow_sequence(&mut self, at: &ObjectName, to: &str) {
        let (before, after) = (format!("{}.{}", at.schema, at.name), format!("{}.{to}", at.schema));
        for schema in self.schemas.values_mut() {
            for field in
                schema.collections.values_mut().flat_map(|collection| &mut collection.fields)
            {
                if let FieldDefault::Serial(sequence) | FieldDefault::Identity { sequence, .. } =
                    &mut field.default
                    && *sequence == before
                {
                    sequence.clone_from(&after);
                }
            }
        }
    }
}

fn insert<K: Ord + Clone + std::fmt::Display, V>(
    map: &mut BTreeMap<K, V>,
    name: &K,
    value: V,
    kind: &'static str,
) -> Result<(), ChangeError> {
    if map.contains_key(name) {
        return Err(ChangeError::Exists { kind, name: name.to_string() });
    }
    map.insert(name.clone(), value);
    Ok(())
}

fn replace<V>(
    map: &mut BTreeMap<String, V>,
    name: &str,
    value: V,
    kind: &'static str,
) -> Result<(), ChangeError> {
    let found =
        map.get_mut(name).ok_or_else(|| ChangeError::Missing { kind, name: name.to_owned() })?;
    *found = value;
    Ok(())
}

fn remove<K: Ord + std::fmt::Display, V>(
    map: &mut BTreeMap<K, V>,
    name: &K,
    kind: &'static str,
) -> Result<(), ChangeError> {
    map.remove(name).map(drop).ok_or_else(|| ChangeError::Missing { kind, name: name.to_string() })
}

fn rename_key<V>(
    map: &mut BTreeMap<String, V>,
    from: &str,
    to: &str,
    kind: &'static str,
) -> Result<(), ChangeError> {
    if map.contains_key(to) {
        return Err(ChangeError::Exists { kind, name: to.to_owned() });
    }
    let value =
        map.remove(from).ok_or_else(|| ChangeError::Missing { kind, name: from.to_owned() })?;
    map.insert(to.to_owned(), value);
    Ok(())
}
