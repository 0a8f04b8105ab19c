//! The rules that every snapshot obeys, so that no reader has to ask again.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::id::{DatabaseId, DatasourceId, DatastoreId, NodeId, ShardId};
use crate::schema::{
    Collection, Constraint, ConstraintKind, Database, EnumType, FieldDefault, Index, Keyspace,
    KeyspaceMethod, Placement, Sequence, View,
};
use crate::sharding::{self, KeyType};
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
        self.check_oids()?;
        for (id, database) in &self.databases {
            self.check_database(id, database)?;
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

    fn check_collection(
        &self,
        database: &Database,
        what: &str,
        collection: &Collection,
    ) -> Checked {
        let Some(datastore) = self.datastores.get(&collection.datastore) else {
            return Err(CheckError::missing(
                what,
                format!("its datastore \"{}\" does not exist", collection.datastore),
            ));
        };
        check_fields(database, what, collection)?;
        match &collection.placement {
            Placement::Single { shard } => check_shard(what, datastore, *shard)?,
            Placement::Reference => {}
            Placement::Sharded(keyspace) => {
                check_keyspace(database, what, datastore, collection, keyspace)?
            }
        }
        let mut names = BTreeSet::new();
        let mut primary_keys = 0;
        for constraint in &collection.constraints {
            check_name(what, &constraint.name)?;
            if !names.insert(&constraint.name) {
                return Err(CheckError::duplicate(
                    what,
                    format!("constraint \"{}\" is there twice", constraint.name),
                ));
            }
            primary_keys +=
                usize::from(matches!(constraint.kind, ConstraintKind::PrimaryKey { .. }));
            check_constraint(database, what, collection, constraint)?;
        }
        if primary_keys > 1 {
            return Err(CheckError::duplicate(what, "it has more than one primary key"));
        }
        for index in &collection.indexes {
            check_index(what, collection, index)?;
        }
        Ok(())
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

fn check_fields(database: &Database, what: &str, collection: &Collection) -> Checked {
    if collection.fields.len() > FIELDS_MAX {
        return Err(CheckError::invalid(what, format!("it has more than {FIELDS_MAX} columns")));
    }
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for field in &collection.fields {
        check_name(what, &field.name)?;
        if !names.insert(&field.name) {
            return Err(CheckError::duplicate(
                what,
                format!("column \"{}\" is there twice", field.name),
            ));
        }
        if field.number < 1
            || field.number >= collection.next_field_number
            || !numbers.insert(field.number)
        {
            let rule = format!("column \"{}\" cannot have the number {}", field.name, field.number);
            return Err(CheckError::invalid(what, rule));
        }
        if field.type_oid >= FIRST_OID && database.enum_by_oid(field.type_oid).is_none() {
            let rule = format!(
                "column \"{}\" has the type {}, which does not exist",
                field.name, field.type_oid
            );
            return Err(CheckError::missing(what, rule));
        }
        if let Some(path) = field.default.sequence()
            && database.sequence_at(path).is_none()
        {
            let rule = format!(
                "column \"{}\" takes numbers from \"{path}\", which does not exist",
                field.name
            );
            return Err(CheckError::missing(what, rule));
        }
        if matches!(field.default, FieldDefault::Identity { .. }) && !field.not_null {
            let rule = format!("identity column \"{}\" must be NOT NULL", field.name);
            return Err(CheckError::invalid(what, rule));
        }
    }
    Ok(())
}

fn check_keyspace(
    database: &Database,
    what: &str,
    datastore: &Datastore,
    collection: &Collection,
    keyspace: &Keyspace,
) -> Checked {
    if keyspace.fields.is_empty() {
        return Err(CheckError::invalid(what, "its shard key is empty"));
    }
    let mut seen = HashSet::new();
    for name in &keyspace.fields {
        let Some(field) = collection.field(name) else {
            return Err(CheckError::missing(
                what,
                format!("its shard key \"{name}\" is not one of its columns"),
            ));
        };
        if !seen.insert(name) {
            return Err(CheckError::duplicate(what, format!("its shard key has \"{name}\" twice")));
        }
        if !field.not_null {
            let rule = format!(
                "its shard key \"{name}\" must be NOT NULL, for a row without one has no shard"
            );
            return Err(CheckError::invalid(what, rule));
        }
        if matches!(field.default, FieldDefault::Generated(_)) {
            return Err(CheckError::unsupported(
                what,
                format!("its shard key \"{name}\" is a generated column"),
            ));
        }
    }
    let mut types = Vec::new();
    for name in &keyspace.fields {
        let type_oid = collection.field(name).map_or(0, |field| field.type_oid);
        let is_array = database
            .enum_by_oid(type_oid)
            .is_some_and(|(_, _, found)| found.array_oid.0 == type_oid);
        match KeyType::of(type_oid).filter(|_| !is_array) {
            Some(key_type) => types.push(key_type),
            None => {
                let rule = format!(
                    "its shard key \"{name}\" is of a type (OID {type_oid}) that cannot be hashed exactly"
                );
                return Err(CheckError::unsupported(what, rule));
            }
        }
    }
    if let Err(problem) = sharding::check_keyspace(&keyspace.method, &types) {
        return Err(CheckError::invalid(what, problem.to_string()));
    }
    match &keyspace.method {
        KeyspaceMethod::Hash(_) => {}
        KeyspaceMethod::Range(parts) | KeyspaceMethod::List(parts) => {
            for (_, shard) in parts {
                check_shard(what, datastore, *shard)?;
            }
        }
    }
    for key in collection.unique_keys() {
        if let Some(outside) = keyspace.fields.iter().find(|field| !key.contains(&field.as_str())) {
            let rule =
                format!("its unique key ({}) lacks the shard key \"{outside}\"", key.join(", "));
            return Err(CheckError::unsupported(what, rule));
        }
    }
    Ok(())
}

fn check_known(what: &str, collection: &Collection, of: &str, fields: &[String]) -> Checked {
    let mut seen = HashSet::new();
    for name in fields {
        if collection.field(name).is_none() {
            return Err(CheckError::missing(
                what,
                format!("\"{of}\" names \"{name}\", which is not a column"),
            ));
        }
        if !seen.insert(name) {
            return Err(CheckError::duplicate(what, format!("\"{of}\" names \"{name}\" twice")));
        }
    }
    if fields.is_empty() {
        return Err(CheckError::invalid(what, format!("\"{of}\" names no column")));
    }
    Ok(())
}

fn check_constraint(
    database: &Database,
    what: &str,
    collection: &Collection,
    constraint: &Constraint,
) -> Checked {
    match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => {
            check_known(what, collection, &constraint.name, fields)?;
            let nullable = collection
                .fields
                .iter()
                .find(|field| !field.not_null && fields.contains(&field.name));
            match nullable {
                Some(field) => Err(CheckError::invalid(
                    what,
                    format!("primary key column \"{}\" must be NOT NULL", field.name),
                )),
                None => Ok(()),
            }
        }
        ConstraintKind::Unique { fields, .. } => {
            check_known(what, collection, &constraint.name, fields)
        }
        ConstraintKind::Check { .. } => Ok(()),
        ConstraintKind::ForeignKey { fields, references, references_fields, .. } => {
            check_known(what, collection, &constraint.name, fields)?;
            let Some(target) = database.collection(&references.0, &references.1) else {
                let rule = format!(
                    "\"{}\" refers to {}.{}, which does not exist",
                    constraint.name, references.0, references.1
                );
                return Err(CheckError::missing(what, rule));
            };
            check_known(
                &format!("table \"{}\"", references.1),
                target,
                &constraint.name,
                references_fields,
            )?;
            if fields.len() != references_fields.len() {
                let rule =
                    format!("\"{}\" does not refer to as many columns as it has", constraint.name);
                return Err(CheckError::invalid(what, rule));
            }
            let mut wanted = references_fields.iter().map(String::as_str).collect::<Vec<_>>();
            wanted.sort_unstable();
            let matched = target.unique_keys().any(|mut key| {
                key.sort_unstable();
                key == wanted
            });
            if !matched {
                let rule = format!(
                    "\"{}\" refers to columns that no unique constraint covers",
                    constraint.name
                );
                return Err(CheckError::missing(what, rule));
            }
            let pairs =
                fields.iter().map(String::as_str).zip(references_fields.iter().map(String::as_str));
            if foreign_key_holds(collection, target, &pairs.collect::<Vec<_>>()) {
                return Ok(());
            }
            let rule = format!(
                "\"{}\" refers to {}.{}, whose rows may be on another shard",
                constraint.name, references.0, references.1
            );
            Err(CheckError::unsupported(what, rule))
        }
    }
}

fn check_index(what: &str, collection: &Collection, index: &Index) -> Checked {
    if index.keys.is_empty() {
        return Err(CheckError::invalid(what, format!("index \"{}\" has no keys", index.name)));
    }
    if let Some(name) = index.include.iter().find(|name| collection.field(name).is_none()) {
        return Err(CheckError::missing(
            what,
            format!("index \"{}\" includes no column \"{name}\"", index.name),
        ));
    }
    if !index.unique {
        return Ok(());
    }
    let lacking = collection
        .shard_key()
        .iter()
        .find(|field| !index.keys.iter().any(|key| key.expr == **field));
    match lacking {
        Some(field) => {
            let rule =
                format!("its unique index \"{}\" lacks the shard key \"{field}\"", index.name);
            Err(CheckError::unsupported(what, rule))
        }
        None => Ok(()),
    }
}

/// Whether a foreign key can be kept by each shard alone: every row that a row refers to is on the same shard. `pairs` are
/// the referring fields, each with the one that it refers to.
#[must_use]
pub fn foreign_key_holds(from: &Collection, to: &Collection, pairs: &[(&str, &str)]) -> bool {
    if from.datastore != to.datastore {
        return false;
    }
    match (&from.placement, &to.placement) {
        (_, Placement::Reference) => true,
        (Placement::Single { shard: from }, Placement::Single { shard: to }) => from == to,
        (Placement::Sharded(_), Placement::Sharded(_)) => co_located(from, to, pairs),
        (Placement::Reference | Placement::Single { .. } | Placement::Sharded(_), _) => false,
    }
}

/// Whether rows of two sharded collections are on one shard whenever the fields of each pair are equal: both are spread
/// alike, and the pairs hold each shard key field together with its counterpart.
#[must_use]
pub fn co_located(one: &Collection, other: &Collection, pairs: &[(&str, &str)]) -> bool {
    let (Some(left), Some(right)) = (one.keyspace(), other.keyspace()) else { return false };
    one.datastore == other.datastore
        && left.method == right.method
        && left.fields.len() == right.fields.len()
        && left.fields.iter().zip(&right.fields).all(|(left, right)| {
            pairs.contains(&(left.as_str(), right.as_str()))
                && same_key_type(one, left, other, right)
        })
}

fn same_key_type(one: &Collection, left: &str, other: &Collection, right: &str) -> bool {
    let type_of =
        |collection: &Collection, name: &str| collection.field(name).map(|field| field.type_oid);
    type_of(one, left) == type_of(other, right)
}
