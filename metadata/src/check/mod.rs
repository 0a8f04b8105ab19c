//! The rules that every snapshot obeys, so that no reader has to ask again.

mod collection;

use std::collections::{HashMap, HashSet};

pub use collection::{co_located, foreign_key_holds};

use crate::id::{DatabaseId, DatasourceId, DatastoreId, NodeId, ShardId};
use crate::schema::{Database, EnumType, Sequence, View};
use crate::snapshot::{FIRST_OID, NAME_BYTES_MAX, Snapshot, shard_instance_name};
use crate::topology::{Datastore, Node, Replication};

/// The most vshards that a datastore can have.
pub const VSHARDS_MAX: u32 = 65_536;

/// The most fields that a collection can have, as in PostgreSQL.
pub const FIELDS_MAX: usize = 1_600;

/// A rule that a snapshot breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct CheckError {
    /// The object: `datastore "main"`, `table "public.orders"`.
    pub what: String,
    /// What is wrong with it.
    pub rule: String,
    /// The kind of rule.
    pub kind: CheckErrorKind,
}

/// The kinds of rule, for who wants to answer with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckErrorKind {
    /// A name or an OID is used twice.
    Duplicate,
    /// Something refers to what is not there.
    Missing,
    /// A value is out of its bounds or contradicts another one.
    Invalid,
    /// dataman cannot keep the promise that it makes.
    Unsupported,
}

impl CheckError {
    fn new(kind: CheckErrorKind, what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { what: what.into(), rule: rule.into(), kind }
    }

    fn duplicate(what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::new(CheckErrorKind::Duplicate, what, rule)
    }

    fn missing(what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::new(CheckErrorKind::Missing, what, rule)
    }

    fn invalid(what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::new(CheckErrorKind::Invalid, what, rule)
    }

    fn unsupported(what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::new(CheckErrorKind::Unsupported, what, rule)
    }
}

type Checked = Result<(), CheckError>;

impl Snapshot {
    /// Checks every rule. Stores do it with what they read, changes with what they make.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Checked {
        for (id, node) in &self.nodes {
            check_node(id, node)?;
        }
        for (id, datastore) in &self.datastores {
            self.check_datastore(id, datastore)?;
        }
        self.check_instances()?;
        for (name, role) in &self.roles {
            check_key(&format!("role \"{name}\""), name, &role.name)?;
            check_name(&format!("role \"{name}\""), name)?;
        }
        self.check_defaults()?;
        self.check_oids()?;
        for (id, database) in &self.databases {
            self.check_database(id, database)?;
        }
        Ok(())
    }

    fn check_defaults(&self) -> Checked {
        let what = "what sessions begin with";
        for (place, one) in self.defaults.iter().enumerate() {
            if let Some(database) =
                one.database.as_ref().filter(|id| !self.databases.contains_key(id))
            {
                let rule = format!("the database \"{database}\" does not exist");
                return Err(CheckError::missing(what, rule));
            }
            if let Some(role) = one.role.as_ref().filter(|role| !self.roles.contains_key(*role)) {
                return Err(CheckError::missing(
                    what,
                    format!("the role \"{role}\" does not exist"),
                ));
            }
            if place > 0 && self.defaults[place - 1].place() >= one.place() {
                return Err(CheckError::duplicate(what, "it is said twice for the same sessions"));
            }
        }
        Ok(())
    }

    /// Every OID with what has it. The schema `public` has the same one in all databases.
    pub(crate) fn oids_used(&self) -> impl Iterator<Item = (u32, String)> {
        let roles = self.roles.values().map(|role| (role.oid.0, format!("role \"{}\"", role.name)));
        let databases = self.databases.values().flat_map(|database| {
            let own = (database.oid.0, format!("database \"{}\"", database.id));
            std::iter::once(own).chain(database_oids(database))
        });
        roles.chain(databases)
    }

    fn check_oids(&self) -> Checked {
        let mut global = HashMap::new();
        for (oid, what) in self.oids_used() {
            if oid == 0 {
                return Err(CheckError::invalid(what, "its OID is 0"));
            }
            if oid < FIRST_OID {
                continue;
            }
            if oid >= self.next_oid {
                let rule =
                    format!("its OID {oid} has not been handed out; the next is {}", self.next_oid);
                return Err(CheckError::invalid(what, rule));
            }
            if let Some(other) = global.insert(oid, what.clone()) {
                return Err(CheckError::duplicate(
                    what,
                    format!("its OID {oid} is also {other}'s"),
                ));
            }
        }
        for database in self.databases.values() {
            let mut fixed = HashMap::new();
            for (oid, what) in database_oids(database).filter(|(oid, _)| *oid < FIRST_OID) {
                if let Some(other) = fixed.insert(oid, what.clone()) {
                    return Err(CheckError::duplicate(
                        what,
                        format!("its OID {oid} is also {other}'s"),
                    ));
                }
            }
        }
        let mut fixed = HashMap::new();
        for role in self.roles.values().filter(|role| role.oid.0 < FIRST_OID) {
            if let Some(other) = fixed.insert(role.oid, &role.name) {
                let rule = format!("its OID {} is also role \"{other}\"'s", role.oid);
                return Err(CheckError::duplicate(format!("role \"{}\"", role.name), rule));
            }
        }
        Ok(())
    }

    fn check_datastore(&self, id: &DatastoreId, datastore: &Datastore) -> Checked {
        let what = format!("datastore \"{id}\"");
        check_key(&what, &id.0, &datastore.id.0)?;
        check_name(&what, &id.0)?;
        if datastore.shards.is_empty() {
            return Err(CheckError::invalid(what, "it has no shards"));
        }
        if datastore.vshards == 0 || datastore.vshards > VSHARDS_MAX {
            let rule = format!("{} vshards are not between 1 and {VSHARDS_MAX}", datastore.vshards);
            return Err(CheckError::invalid(what, rule));
        }
        if u32::try_from(datastore.shards.len()).is_ok_and(|shards| shards > datastore.vshards) {
            let rule = format!(
                "{} shards are more than its {} vshards",
                datastore.shards.len(),
                datastore.vshards
            );
            return Err(CheckError::invalid(what, rule));
        }
        if u32::try_from(datastore.vshard_map.len()) != Ok(datastore.vshards) {
            let rule = format!(
                "its vshard map has {} entries for {} vshards",
                datastore.vshard_map.len(),
                datastore.vshards
            );
            return Err(CheckError::invalid(what, rule));
        }
        for shard in &datastore.vshard_map {
            check_shard(&what, datastore, *shard)?;
        }
        for (place, shard) in datastore.shards.iter().enumerate() {
            let mut seen = HashSet::new();
            for datasource in std::iter::once(&shard.primary).chain(&shard.replicas) {
                if self.datasource(datasource).is_none() {
                    let rule = format!(
                        "its shard {place} is on the datasource \"{datasource}\", which does not exist"
                    );
                    return Err(CheckError::missing(what, rule));
                }
                if !seen.insert(datasource) {
                    let rule = format!(
                        "its shard {place} has two copies on the datasource \"{datasource}\""
                    );
                    return Err(CheckError::duplicate(what, rule));
                }
            }
            if datastore.replication == Replication::Native && !shard.replicas.is_empty() {
                self.check_native_replicas(&what, place, shard)?;
            }
        }
        Ok(())
    }

    /// A database copies only to its like.
    fn check_native_replicas(
        &self,
        what: &str,
        place: usize,
        shard: &crate::topology::Shard,
    ) -> Checked {
        let engine =
            |datasource: &DatasourceId| self.datasource(datasource).map(|found| found.engine);
        for replica in &shard.replicas {
            if engine(replica) != engine(&shard.primary) {
                let rule = format!(
                    "its shard {place} has the replica \"{replica}\" of another engine than its primary, which native \
                     replication cannot fill"
                );
                return Err(CheckError::invalid(what, rule));
            }
        }
        Ok(())
    }

    /// No two datastores keep the same shard number on one datasource: their shard instances would be one namespace.
    fn check_instances(&self) -> Checked {
        let mut seen: HashMap<(&DatasourceId, usize), &DatastoreId> = HashMap::new();
        for (id, datastore) in &self.datastores {
            for (place, shard) in datastore.shards.iter().enumerate() {
                for datasource in std::iter::once(&shard.primary).chain(&shard.replicas) {
                    if let Some(other) = seen.insert((datasource, place), id) {
                        let rule = format!(
                            "its shard {place} is on the datasource \"{datasource}\" like shard {place} of the datastore \
                             \"{other}\", and their tables would mix"
                        );
                        return Err(CheckError::duplicate(format!("datastore \"{id}\""), rule));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_database(&self, id: &DatabaseId, database: &Database) -> Checked {
        let what = format!("database \"{id}\"");
        check_key(&what, &id.0, &database.id.0)?;
        check_name(&what, &id.0)?;
        if id.0.contains(['/', '\\']) {
            return Err(CheckError::invalid(
                what,
                "its name has a slash, and a shard's file could not bear it",
            ));
        }
        let Some(datastore) = self.datastores.get(&database.datastore) else {
            let rule = format!("its datastore \"{}\" does not exist", database.datastore);
            return Err(CheckError::missing(what, rule));
        };
        let longest = shard_instance_name(id, ShardId(datastore.shard_count()));
        if longest.len() > NAME_BYTES_MAX {
            let rule =
                format!("its name is too long: \"{longest}\" has more than {NAME_BYTES_MAX} bytes");
            return Err(CheckError::invalid(what, rule));
        }
        self.check_owner(&what, &database.owner)?;
        for (name, schema) in &database.schemas {
            let what = format!("schema \"{name}\"");
            check_name(&what, name)?;
            if name.starts_with("pg_") || name == "information_schema" {
                return Err(CheckError::invalid(
                    what,
                    "names that begin with pg_ are PostgreSQL's own",
                ));
            }
            check_namespace(name, schema)?;
            for (name, sequence) in &schema.sequences {
                check_sequence(database, &format!("sequence \"{name}\""), sequence)?;
            }
            for (name, found) in &schema.enums {
                check_enum(&format!("type \"{name}\""), found)?;
            }
            for (name, view) in &schema.views {
                let what = format!("view \"{name}\"");
                self.check_owner(&what, &view.owner)?;
                check_view(database, &what, view)?;
            }
            for (name, collection) in &schema.collections {
                let what = format!("table \"{name}\"");
                self.check_owner(&what, &collection.owner)?;
                self.check_collection(database, &what, collection)?;
            }
        }
        Ok(())
    }

    fn check_owner(&self, what: &str, owner: &str) -> Checked {
        if self.roles.contains_key(owner) {
            return Ok(());
        }
        Err(CheckError::missing(what, format!("its owner \"{owner}\" is not a role")))
    }
}

/// The OIDs of what is in a database, itself excepted.
fn database_oids(database: &Database) -> impl Iterator<Item = (u32, String)> {
    database.schemas.iter().flat_map(|(schema, content)| {
        let mut oids = vec![(content.oid.0, format!("schema \"{schema}\""))];
        for (name, collection) in &content.collections {
            oids.push((collection.id.0, format!("table \"{name}\"")));
            oids.extend(
                collection
                    .constraints
                    .iter()
                    .map(|found| (found.oid.0, format!("constraint \"{}\"", found.name))),
            );
            oids.extend(
                collection
                    .indexes
                    .iter()
                    .map(|found| (found.oid.0, format!("index \"{}\"", found.name))),
            );
        }
        oids.extend(
            content.views.iter().map(|(name, view)| (view.oid.0, format!("view \"{name}\""))),
        );
        oids.extend(
            content
                .sequences
                .iter()
                .map(|(name, found)| (found.oid.0, format!("sequence \"{name}\""))),
        );
        for (name, found) in &content.enums {
            oids.push((found.oid.0, format!("type \"{name}\"")));
            oids.push((found.array_oid.0, format!("type \"{name}[]\"")));
        }
        oids
    })
}

fn check_key(what: &str, key: &str, inside: &str) -> Checked {
    if key == inside {
        return Ok(());
    }
    Err(CheckError::invalid(what, format!("it calls itself \"{inside}\"")))
}

fn check_name(what: &str, name: &str) -> Checked {
    if name.is_empty() {
        return Err(CheckError::invalid(what, "a name is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(CheckError::invalid(
            what,
            format!("the name \"{name}\" has more than {NAME_BYTES_MAX} bytes"),
        ));
    }
    if name.contains('\0') {
        return Err(CheckError::invalid(what, "a name has a zero byte"));
    }
    Ok(())
}

fn check_shard(what: &str, datastore: &Datastore, shard: ShardId) -> Checked {
    if datastore.shard(shard).is_some() {
        return Ok(());
    }
    let rule = format!(
        "shard {shard} is not one of the {} of datastore \"{}\"",
        datastore.shards.len(),
        datastore.id
    );
    Err(CheckError::missing(what, rule))
}

fn check_node(id: &NodeId, node: &Node) -> Checked {
    let what = format!("node \"{id}\"");
    check_key(&what, &id.0, &node.id.0)?;
    check_name(&what, &id.0)?;
    if id.0.contains('/') {
        return Err(CheckError::invalid(
            what,
            "its name has a slash, which divides node and datasource",
        ));
    }
    let mut names = HashSet::new();
    for datasource in &node.datasources {
        check_name(&what, &datasource.name)?;
        if !names.insert(&datasource.name) {
            return Err(CheckError::duplicate(
                what,
                format!("it has two datasources \"{}\"", datasource.name),
            ));
        }
    }
    Ok(())
}

/// Tables, views, sequences and indexes of a schema share their names; tables and views share theirs with types too.
fn check_namespace(schema_name: &str, schema: &crate::schema::Schema) -> Checked {
    let mut seen = HashSet::new();
    let collections = schema.collections.iter().flat_map(|(name, collection)| {
        std::iter::once(name.as_str()).chain(collection.index_names().map(|(name, _)| name))
    });
    let others = schema.views.keys().chain(schema.sequences.keys()).map(String::as_str);
    for name in collections.chain(others) {
        let what = format!("relation \"{name}\"");
        check_name(&what, name)?;
        if !seen.insert(name) {
            return Err(CheckError::duplicate(
                what,
                format!("it is there twice in schema \"{schema_name}\""),
            ));
        }
    }
    for name in schema.enums.keys() {
        check_name(&format!("type \"{name}\""), name)?;
        if schema.collections.contains_key(name) || schema.views.contains_key(name) {
            let rule = "a relation has an associated type of the same name";
            return Err(CheckError::duplicate(format!("type \"{name}\""), rule));
        }
    }
    Ok(())
}

fn check_sequence(database: &Database, what: &str, sequence: &Sequence) -> Checked {
    let (lowest, highest) = match sequence.type_oid {
        21 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        23 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        20 => (i64::MIN, i64::MAX),
        other => {
            let rule = format!("its type {other} is not smallint, integer or bigint");
            return Err(CheckError::invalid(what, rule));
        }
    };
    let Sequence { start, increment, min, max, cache, .. } = *sequence;
    if increment == 0 {
        return Err(CheckError::invalid(what, "its increment is zero"));
    }
    if min >= max {
        return Err(CheckError::invalid(
            what,
            format!("its minimum {min} is not less than its maximum {max}"),
        ));
    }
    if min < lowest || max > highest {
        return Err(CheckError::invalid(
            what,
            format!("{min} to {max} is out of its type's range"),
        ));
    }
    if start < min || start > max {
        return Err(CheckError::invalid(
            what,
            format!("its start {start} is not within {min} to {max}"),
        ));
    }
    if cache < 1 {
        return Err(CheckError::invalid(what, format!("its cache {cache} is not at least 1")));
    }
    if let Some((schema, table, column)) = &sequence.owned_by
        && database.collection(schema, table).and_then(|table| table.field(column)).is_none()
    {
        let rule = format!("its owner {schema}.{table}.{column} does not exist");
        return Err(CheckError::missing(what, rule));
    }
    Ok(())
}

fn check_enum(what: &str, found: &EnumType) -> Checked {
    let mut seen = HashSet::new();
    for label in &found.labels {
        if label.len() > NAME_BYTES_MAX {
            return Err(CheckError::invalid(what, format!("the label \"{label}\" is too long")));
        }
        if !seen.insert(label) {
            return Err(CheckError::duplicate(
                what,
                format!("the label \"{label}\" is there twice"),
            ));
        }
    }
    Ok(())
}

fn check_view(database: &Database, what: &str, view: &View) -> Checked {
    for (schema, name) in &view.depends {
        if database.relation(schema, name).is_none() {
            let rule = format!("it reads \"{schema}.{name}\", which does not exist");
            return Err(CheckError::missing(what, rule));
        }
    }
    Ok(())
}
