//! All metadata, checked and immutable, at one epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{
    CollectionId, DatabaseId, DatasourceId, DatastoreId, Epoch, NodeId, ObjectId, ShardId,
};
use crate::schema::{
    Collection, Database, KeyspaceMethod, PUBLIC_SCHEMA, Placement, Role, SessionDefaults,
};
use crate::topology::{Datasource, Datastore, Node, Shard};
use crate::unfinished::Unfinished;

/// All metadata at one epoch. Shared as `Arc<Snapshot>`; a statement sees one from bind to commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The revision.
    pub epoch: Epoch,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Datastores by name.
    pub datastores: BTreeMap<DatastoreId, Datastore>,
    /// Databases by name.
    pub databases: BTreeMap<DatabaseId, Database>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// What parameters sessions begin with, ordered by whose they are; none is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<SessionDefaults>,
    /// Work on shards that may not have been done everywhere yet, by its id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unfinished: BTreeMap<String, Unfinished>,
    /// The OID that the next object gets.
    pub next_oid: u32,
}

/// The first OID of an object that is not PostgreSQL's own.
pub const FIRST_OID: u32 = 16_384;

/// The longest name, in bytes, that PostgreSQL keeps whole.
pub const NAME_BYTES_MAX: usize = 63;

impl Snapshot {
    /// The snapshot of a store that nobody has written: epoch 0 and nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self { next_oid: FIRST_OID, ..Self::default() }
    }

    /// Starts handing out OIDs for the objects of the next change.
    #[must_use]
    pub fn oids(&self) -> OidAllocator {
        OidAllocator { next: self.next_oid.max(FIRST_OID) }
    }

    /// Finds a database by its name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(&DatabaseId::from(name))
    }

    /// Finds a datastore by its name.
    #[must_use]
    pub fn datastore(&self, name: &str) -> Option<&Datastore> {
        self.datastores.get(&DatastoreId::from(name))
    }

    /// Finds a collection by database, schema and name.
    #[must_use]
    pub fn collection(&self, database: &str, schema: &str, name: &str) -> Option<&Collection> {
        self.database(database)?.collection(schema, name)
    }

    /// Finds a role by its name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// The parameters that sessions of a database, a role, a role in a database, or all begin with.
    #[must_use]
    pub fn session_defaults(
        &self,
        database: Option<&str>,
        role: Option<&str>,
    ) -> &[(String, String)] {
        let found = self.defaults.iter().find(|one| {
            one.role.as_deref() == role && one.database.as_ref().map(|id| &*id.0) == database
        });
        found.map_or(&[], |found| &found.values)
    }

    /// Finds a datasource.
    #[must_use]
    pub fn datasource(&self, id: &DatasourceId) -> Option<&Datasource> {
        self.nodes.get(&id.node)?.datasources.iter().find(|datasource| datasource.name == id.name)
    }

    /// The datastore that a collection of this snapshot lives in.
    ///
    /// # Panics
    /// When the collection is not of this (checked) snapshot.
    #[must_use]
    pub fn datastore_of(&self, collection: &Collection) -> &Datastore {
        self.datastores
            .get(&collection.datastore)
            .expect("a checked snapshot has the datastore of each collection")
    }

    /// The shards that hold rows of a collection, ascending: each part of a sharded one, each copy of a reference one.
    #[must_use]
    pub fn shards_of(&self, collection: &Collection) -> Vec<ShardId> {
        let datastore = self.datastore_of(collection);
        let mut shards = match &collection.placement {
            Placement::Single { shard } => vec![*shard],
            Placement::Reference => datastore.shard_ids().collect(),
            Placement::Sharded(keyspace) => match &keyspace.method {
                KeyspaceMethod::Hash(_) => datastore.vshard_map.clone(),
                KeyspaceMethod::Range(parts) | KeyspaceMethod::List(parts) => {
                    parts.iter().map(|(_, shard)| *shard).collect()
                }
            },
        };
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Finds a collection by its OID; gives database, schema, name and collection.
    #[must_use]
    pub fn collection_by_id(
        &self,
        id: CollectionId,
    ) -> Option<(&Database, &str, &str, &Collection)> {
        self.databases.values().find_map(|database| {
            let (schema, name, collection) = database.collection_by_id(id)?;
            Some((database, schema, name, collection))
        })
    }
}

impl Datastore {
    /// The ids of its shards, ascending.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shard_count()).map(ShardId)
    }

    /// How many shards it has.
    ///
    /// # Panics
    /// Never: a checked datastore has no more shards than vshards.
    #[must_use]
    pub fn shard_count(&self) -> u32 {
        u32::try_from(self.shards.len()).expect("a datastore has no more shards than vshards")
    }

    /// Finds a shard by its id.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.shards.get(usize::try_from(id.0).ok()?)
    }

    /// Spreads the vshards over so many shards evenly, in contiguous runs: 10 over 4 is 3, 3, 2, 2. Runs keep the map
    /// short to read; a hash makes neighbours independent, so that nothing is won by dealing them out in turn.
    #[must_use]
    pub fn even_map(vshards: u32, shards: u32) -> Vec<ShardId> {
        let shards = shards.max(1);
        let (run, longer) = (vshards / shards, vshards % shards);
        (0..shards)
            .flat_map(|shard| {
                let length = run + u32::from(shard < longer);
                (0..length).map(move |_| ShardId(shard))
            })
            .collect()
    }
}

/// Hands out the OIDs of new objects, each once. A commit whose epoch is still the snapshot's makes them final; one that
/// conflicts starts again from the newer snapshot.
#[derive(Debug, Clone)]
pub struct OidAllocator {
    next: u32,
}

impl OidAllocator {
    /// Hands out one for an object.
    ///
    /// # Panics
    /// When all four thousand million have been used.
    pub fn object(&mut self) -> ObjectId {
        let oid = self.next;
        self.next = oid.checked_add(1).expect("OIDs do not run out");
        ObjectId(oid)
    }

    /// Hands out one for a collection.
    pub fn collection(&mut self) -> CollectionId {
        CollectionId(self.object().0)
    }
}

/// Names one shard's namespace on a datasource: a PostgreSQL schema, a MySQL or MongoDB database, a SQLite file.
#[must_use]
pub fn shard_instance_name(database: &DatabaseId, shard: ShardId) -> String {
    format!("dbshard_{database}_{shard}")
}

/// Names a table, sequence or index inside a shard instance: `name` in the schema `public`, else `schema.name`.
///
/// Two relations never get the same name: a dot, a percent sign or a tilde of the names themselves is written as `%`
/// with two hexadecimal digits, and what is longer than PostgreSQL keeps whole is cut and ends in `~` with 16 digits of
/// its hash.
#[must_use]
pub fn physical_name(schema: &str, name: &str) -> String {
    let escaped = |part: &str| part.replace('%', "%25").replace('.', "%2E").replace('~', "%7E");
    let whole = if schema == PUBLIC_SCHEMA {
        escaped(name)
    } else {
        format!("{}.{}", escaped(schema), escaped(name))
    };
    if whole.len() <= NAME_BYTES_MAX {
        return whole;
    }
    let mut kept = NAME_BYTES_MAX - 17;
    while !whole.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}~{:016x}", &whole[..kept], xxhash_rust::xxh3::xxh3_64(whole.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_names() {
        let check = |schema: &str, name: &str, expected: &str| {
            assert_eq!(physical_name(schema, name), expected)
        };
        check("public", "orders", "orders");
        check("sales", "orders", "sales.orders");
        check("public", "sales.orders", "sales%2Eorders");
        check("public", "50%", "50%25");
        let long = "x".repeat(63);
        check("public", &long, &long);
        let cut = physical_name("sales", &long);
        assert_eq!(cut.len(), 63);
        assert_ne!(cut, physical_name("sales", &format!("{}y", &long[..62])));
        assert!(physical_name("sales", &"é".repeat(31)).len() <= 63);
    }

    #[test]
    fn even_maps() {
        let check = |vshards, shards, expected: &[u32]| {
            let mut counts = vec![0; expected.len()];
            for shard in Datastore::even_map(vshards, shards) {
                counts[shard.0 as usize] += 1;
            }
            assert_eq!(counts, expected);
        };
        check(10, 4, &[3, 3, 2, 2]);
        check(4096, 4, &[1024; 4]);
        check(4, 4, &[1; 4]);
        check(7, 1, &[7]);
    }
}
