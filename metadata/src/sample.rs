//! A small cluster for tests, here and in other crates.

use crate::change::{Change, Object, ObjectName};
use crate::id::{DatabaseId, DatasourceId, DatastoreId, NodeId, ObjectId, ShardId};
use crate::schema::{
    Collection, Constraint, ConstraintKind, Database, Field, FieldDefault, HashMethod, Keyspace,
    KeyspaceMethod, Placement, Role, Sequence,
};
use crate::snapshot::{OidAllocator, Snapshot};
use crate::topology::{Datasource, Datastore, Engine, Node, Replication, Shard};

/// The name of the sample's database, datastore, node and role.
pub const DATABASE: &str = "shop";

/// The changes that make a cluster of one node, one SQLite datasource a shard, one datastore `main`, one database `shop`
/// and its owner of the same name.
#[must_use]
pub fn cluster(shards: u32) -> Vec<Change> {
    let mut oids = Snapshot::empty().oids();
    let datasource = |shard: u32| Datasource {
        name: format!("sqlite{shard}"),
        engine: Engine::Sqlite,
        url: format!("data/shard{shard}"),
    };
    let node = Node {
        id: NodeId::from("local"),
        agent: None,
        agent_password: None,
        agent_ca: None,
        datasources: (0..shards).map(datasource).collect(),
    };
    let shard = |shard: u32| Shard {
        primary: DatasourceId { node: NodeId::from("local"), name: format!("sqlite{shard}") },
        replicas: Vec::new(),
        fencing_token: 0,
    };
    let datastore = Datastore {
        id: DatastoreId::from("main"),
        vshards: 4096,
        replication: Replication::Native,
        shards: (0..shards).map(shard).collect(),
        vshard_map: Datastore::even_map(4096, shards),
    };
    let role =
        Role { name: DATABASE.to_owned(), oid: ObjectId(10), superuser: true, verifier: None };
    let database = Database::new(
        DatabaseId::from(DATABASE),
        oids.object(),
        DatastoreId::from("main"),
        DATABASE,
    );
    vec![
        Change::PutNode(node),
        Change::PutDatastore(datastore),
        Change::PutRole(role),
        Change::CreateDatabase(database),
    ]
}

/// The name of an object in the sample's schema `public`.
#[must_use]
pub fn named(name: &str) -> ObjectName {
    ObjectName::new(&DatabaseId::from(DATABASE), "public", name)
}

/// A table with the columns `tenant_id int8 NOT NULL, id int8 NOT NULL, name text` and the primary key
/// `(tenant_id, id)`, sharded by `tenant_id`.
#[must_use]
pub fn sharded_table(oids: &mut OidAllocator, name: &str) -> Collection {
    let field = |number, name: &str, type_oid, not_null| Field {
        name: name.to_owned(),
        number,
        type_oid,
        typmod: -1,
        not_null,
        default: FieldDefault::None,
        comment: None,
    };
    Collection {
        id: oids.collection(),
        datastore: DatastoreId::from("main"),
        placement: Placement::Sharded(Keyspace {
            fields: vec!["tenant_id".to_owned()],
            method: KeyspaceMethod::Hash(HashMethod::Xxh3),
        }),
        fields: vec![
            field(1, "tenant_id", 20, true),
            field(2, "id", 20, true),
            field(3, "name", 25, false),
        ],
        constraints: vec![Constraint {
            name: format!("{name}_pkey"),
            oid: oids.object(),
            kind: ConstraintKind::PrimaryKey {
                fields: vec!["tenant_id".to_owned(), "id".to_owned()],
            },
        }],
        indexes: Vec::new(),
        pending: Vec::new(),
        next_field_number: 4,
        comment: None,
        owner: DATABASE.to_owned(),
        adopted: None,
    }
}

/// The change that creates [`sharded_table`].
#[must_use]
pub fn create_table(oids: &mut OidAllocator, name: &str) -> Change {
    Change::Create { at: named(name), object: Object::Collection(sharded_table(oids, name)) }
}

/// A `bigint` sequence from 1 on.
#[must_use]
pub fn sequence(oids: &mut OidAllocator) -> Sequence {
    let (oid, type_oid) = (oids.object(), 20);
    let (start, increment, min, max, cycle, cache) = (1, 1, 1, i64::MAX, false, 1);
    Sequence {
        oid,
        type_oid,
        start,
        increment,
        min,
        max,
        cycle,
        cache,
        owned_by: None,
        comment: None,
    }
}

/// The shard that everything not sharded is on.
pub const FIRST_SHARD: ShardId = ShardId(0);
