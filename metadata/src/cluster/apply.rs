//! What to change in the metadata so that it is as a cluster file says.

use super::{
    ClusterFile, ClusterFileError, DEFAULT_NAME, DatabaseEntry, DatastoreEntry, Mistake, Placed,
};
use crate::change::Change;
use crate::id::{DatasourceId, DatastoreId, ObjectId};
use crate::schema::{Database, Role};
use crate::snapshot::{OidAllocator, Snapshot};
use crate::topology::{Datastore, Engine, Replication, Shard};

/// The OID of PostgreSQL's first superuser.
const FIRST_SUPERUSER_OID: ObjectId = ObjectId(10);

impl ClusterFile {
    /// Says what to change so that the metadata is as the file says; nothing when it is already.
    ///
    /// Databases and roles that the file does not name stay, for SQL makes them too. Nodes and empty datastores that it
    /// does not name go. An owner who is not a role yet becomes a superuser without a password.
    ///
    /// # Errors
    /// The file asks for what would leave data behind: fewer shards or other ones, another number of vshards, a datastore
    /// less that holds tables.
    pub fn changes_against(&self, snapshot: &Snapshot) -> Result<Vec<Change>, ClusterFileError> {
        let (mut changes, mut mistakes, mut oids) = (Vec::new(), Vec::new(), snapshot.oids());
        self.change_nodes(snapshot, &mut changes, &mut mistakes);
        self.change_datastores(snapshot, &mut changes, &mut mistakes);
        let mut made = Vec::new();
        for database in &self.databases {
            let owner = database.value.owner.as_str();
            if !snapshot.roles.contains_key(owner) && !made.contains(&owner) {
                made.push(owner);
                changes.push(Change::PutRole(superuser(snapshot, &mut oids, owner)));
            }
            changes.extend(change_database(snapshot, &mut oids, &database.value));
        }
        if mistakes.is_empty()
            && let Err(error) = snapshot.apply(&changes)
        {
            let remedy = "Change the file so that the rule holds.";
            mistakes.push(self.mistake(None, error.to_string(), remedy));
        }
        if mistakes.is_empty() { Ok(changes) } else { Err(ClusterFileError { mistakes }) }
    }

    fn change_nodes(
        &self,
        snapshot: &Snapshot,
        changes: &mut Vec<Change>,
        mistakes: &mut Vec<Mistake>,
    ) {
        for Placed { line, value: node } in &self.nodes {
            if snapshot.nodes.get(&node.id) == Some(node) {
                continue;
            }
            for datasource in &node.datasources {
                let id = DatasourceId { node: node.id.clone(), name: datasource.name.clone() };
                let found =
                    snapshot.datasource(&id).filter(|found| found.engine != datasource.engine);
                let used = found.and_then(|found| Some((found, holder(snapshot, &id)?)));
                if let Some((found, datastore)) = used {
                    let problem = format!(
                        "datasource \"{id}\" is {} and holds tables of datastore \"{datastore}\"; it cannot become {}",
                        engine_name(found.engine),
                        engine_name(datasource.engine)
                    );
                    let remedy = "Give the new database server a datasource of its own.";
                    mistakes.push(self.mistake(*line, problem, remedy));
                }
            }
            changes.push(Change::PutNode(node.clone()));
        }
        for id in snapshot.nodes.keys() {
            if !self.nodes.iter().any(|node| node.value.id == *id) {
                changes.push(Change::DropNode(id.clone()));
            }
        }
    }

    fn change_datastores(
        &self,
        snapshot: &Snapshot,
        changes: &mut Vec<Change>,
        mistakes: &mut Vec<Mistake>,
    ) {
        for Placed { line, value: entry } in &self.datastores {
            let Some(found) = snapshot.datastores.get(&entry.id) else {
                changes.push(Change::PutDatastore(datastore(entry, None)));
                continue;
            };
            let wanted = datastore(entry, Some(found));
            if wanted == *found {
                continue;
            }
            let grows =
                wanted.vshards == found.vshards && wanted.shards.len() >= found.shards.len();
            if grows && !is_used(snapshot, &entry.id) {
                changes.push(Change::PutDatastore(wanted));
                continue;
            }
            let id = &entry.id;
            let (problem, remedy) = if wanted.vshards != found.vshards {
                (
                    format!(
                        "datastore \"{id}\" has {} vshards, which are fixed for ever",
                        found.vshards
                    ),
                    format!("Write `vshards = {}`, or make another datastore.", found.vshards),
                )
            } else if wanted.shards.len() != found.shards.len() {
                (
                    format!(
                        "datastore \"{id}\" has {} shards and cannot become one of {}: moving data between shards is \
                         not supported yet",
                        found.shards.len(),
                        wanted.shards.len()
                    ),
                    format!("Keep its {} shards, or make another datastore.", found.shards.len()),
                )
            } else {
                let moved = (0..).zip(found.shards.iter().zip(&wanted.shards));
                // What is a copy already has the data: a promotion that was done outside is written down.
                let moved =
                    moved.into_iter().find(|(_, (found, wanted))| !found.has_copy(&wanted.primary));
                let Some((shard, (found, _))) = moved else {
                    changes.push(Change::PutDatastore(wanted));
                    continue;
                };
                (
                    format!(
                        "shard {shard} of datastore \"{id}\" is on \"{}\", and its data would stay behind there",
                        found.primary
                    ),
                    format!(
                        "Write `primary = \"{}\"`, or change that datasource's url.",
                        found.primary
                    ),
                )
            };
            mistakes.push(self.mistake(*line, problem, remedy));
        }
        for id in snapshot.datastores.keys() {
            if self.datastores.iter().any(|datastore| datastore.value.id == *id) {
                continue;
            }
            if is_used(snapshot, id)
                || snapshot.databases.values().any(|database| database.datastore == *id)
            {
                let problem = format!("datastore \"{id}\" is in use and is not in the file");
                mistakes.push(self.mistake(
                    None,
                    problem,
                    format!("Add its [[datastore]] with the name \"{id}\"."),
                ));
            } else {
                changes.push(Change::DropDatastore(id.clone()));
            }
        }
    }
}

/// The datastore as the file wants it; fencing tokens and, while the shards are as many, the vshard map stay.
fn datastore(entry: &DatastoreEntry, found: Option<&Datastore>) -> Datastore {
    let shards = entry.shards.iter().enumerate().map(|(place, shard)| {
        let found = found.and_then(|found| found.shards.get(place));
        let moved = found.is_some_and(|found| found.primary != shard.primary);
        let fencing_token = found.map_or(0, |found| found.fencing_token + u64::from(moved));
        let (primary, replicas) = (shard.primary.clone(), shard.replicas.clone());
        Shard { primary, replicas, fencing_token }
    });
    let shards = shards.collect::<Vec<_>>();
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    let vshard_map = found
        .filter(|found| found.shards.len() == shards.len() && found.vshards == entry.vshards)
        .map_or_else(
            || Datastore::even_map(entry.vshards, count),
            |found| found.vshard_map.clone(),
        );
    let replication = found.map_or(Replication::Native, |found| found.replication);
    Datastore { id: entry.id.clone(), vshards: entry.vshards, replication, shards, vshard_map }
}

/// Whether a collection lives in a datastore.
fn is_used(snapshot: &Snapshot, id: &DatastoreId) -> bool {
    let mut collections = snapshot.databases.values().flat_map(Database::collections);
    collections.any(|(_, _, collection)| collection.datastore == *id)
}

/// The datastore that keeps collections on a datasource.
fn holder<'a>(snapshot: &'a Snapshot, datasource: &DatasourceId) -> Option<&'a DatastoreId> {
    let holds = |datastore: &&Datastore| {
        datastore.shards.iter().any(|shard| shard.copies().any(|(copy, _)| copy == datasource))
            && is_used(snapshot, &datastore.id)
    };
    snapshot.datastores.values().find(holds).map(|datastore| &datastore.id)
}

fn superuser(snapshot: &Snapshot, oids: &mut OidAllocator, name: &str) -> Role {
    // Only the default's superuser takes PostgreSQL's first OID, which what is built in belongs to.
    let free =
        name == DEFAULT_NAME && snapshot.roles.values().all(|role| role.oid != FIRST_SUPERUSER_OID);
    let oid = if free { FIRST_SUPERUSER_OID } else { oids.object() };
    Role { name: name.to_owned(), oid, superuser: true, verifier: None }
}

fn change_database(
    snapshot: &Snapshot,
    oids: &mut OidAllocator,
    entry: &DatabaseEntry,
) -> Option<Change> {
    let DatabaseEntry { id, datastore, shard_keys, owner } = entry.clone();
    let Some(found) = snapshot.databases.get(&id) else {
        let database = Database::new(id, oids.object(), datastore, &owner);
        return Some(Change::CreateDatabase(Database { shard_keys, ..database }));
    };
    let same =
        found.datastore == datastore && found.shard_keys == shard_keys && found.owner == owner;
    (!same).then_some(Change::AlterDatabase { database: id, datastore, shard_keys, owner })
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mysql => "mysql",
        Engine::Mongodb => "mongodb",
        Engine::Sqlite => "sqlite",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::change::{Object, ObjectName};
    use crate::id::DatabaseId;
    use crate::sample;

    fn one_machine(shards: u32) -> ClusterFile {
        ClusterFile::one_machine(Path::new("./dataman-data"), shards)
    }

    fn made(file: &ClusterFile) -> Snapshot {
        let empty = Snapshot::empty();
        empty.apply(&file.changes_against(&empty).unwrap()).unwrap()
    }

    fn with_table(snapshot: &Snapshot) -> Snapshot {
        let mut table = sample::sharded_table(&mut snapshot.oids(), "t");
        DEFAULT_NAME.clone_into(&mut table.owner);
        let at = ObjectName::new(&DatabaseId::from(DEFAULT_NAME), "public", "t");
        snapshot.apply(&[Change::Create { at, object: Object::Collection(table) }]).unwrap()
    }

    #[test]
    fn the_one_machine_default() {
        let file = one_machine(4);
        let snapshot = made(&file);
        let datastore = snapshot.datastore("main").unwrap();
        assert_eq!((datastore.vshards, datastore.shards.len()), (4096, 4));
        let url = &snapshot.datasource(&datastore.shards[3].primary).unwrap().url;
        assert_eq!(Path::new(url), Path::new("./dataman-data/shard3"));
        let role = snapshot.role("dataman").unwrap();
        assert!(role.superuser && role.verifier.is_none() && role.oid.0 == 10);
        assert_eq!(snapshot.database("dataman").unwrap().owner, "dataman");
        assert_eq!(file.changes_against(&snapshot).unwrap(), []);
        assert_eq!(file.changes_against(&with_table(&snapshot)).unwrap(), []);
    }

    #[test]
    fn an_empty_cluster_can_grow() {
        let snapshot = made(&one_machine(2));
        let snapshot = snapshot.apply(&one_machine(4).changes_against(&snapshot).unwrap()).unwrap();
        assert_eq!(snapshot, Snapshot { epoch: snapshot.epoch, ..made(&one_machine(4)) });
    }

    #[test]
    fn what_would_leave_data_behind_is_refused() {
        let snapshot = with_table(&made(&one_machine(4)));
        let check = |file: &ClusterFile, expected: &str| {
            let error = file.changes_against(&snapshot).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the one-machine default: {expected}")), "{error}");
        };
        check(&one_machine(2), "datastore \"main\" has 4 shards and cannot become one of 2");
        check(&one_machine(8), "datastore \"main\" has 4 shards and cannot become one of 8");
        let mut other = one_machine(4);
        other.datastores[0].value.vshards = 8192;
        check(&other, "datastore \"main\" has 4096 vshards, which are fixed for ever");
        let mut other = one_machine(4);
        other.datastores[0].value.shards.swap(1, 2);
        check(
            &other,
            "shard 1 of datastore \"main\" is on \"local/sqlite1\", and its data would stay behind",
        );
        let mut other = one_machine(4);
        other.datastores[0].value.id = DatastoreId::from("other");
        other.databases[0].value.datastore = DatastoreId::from("other");
        check(&other, "datastore \"main\" is in use and is not in the file");
        let mut other = one_machine(4);
        other.nodes[0].value.datasources[0].engine = Engine::Postgres;
        check(
            &other,
            "datasource \"local/sqlite0\" is sqlite and holds tables of datastore \"main\"",
        );
    }

    #[test]
    fn what_is_harmless_is_changed() {
        let snapshot = with_table(&made(&one_machine(4)));
        let mut file = one_machine(4);
        file.nodes[0].value.datasources[0].url = "elsewhere".to_owned();
        file.databases[0].value.shard_keys = vec!["tenant_id".to_owned()];
        let changes = file.changes_against(&snapshot).unwrap();
        assert!(
            matches!(changes.as_slice(), [Change::PutNode(_), Change::AlterDatabase { .. }]),
            "{changes:?}"
        );
        let mut next = file.databases[0].clone();
        next.value.id = DatabaseId::from("second");
        file.databases.push(next);
        let changes = file.changes_against(&snapshot.apply(&changes).unwrap()).unwrap();
        assert!(matches!(changes.as_slice(), [Change::CreateDatabase(_)]), "{changes:?}");
    }
}
