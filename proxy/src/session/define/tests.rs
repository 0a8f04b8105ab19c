//! What is decided over a snapshot, without shards; the statements themselves are compared with PostgreSQL in
//! `sql-tests/slt/define`.

use std::sync::Arc;

use dataman_metadata::change::Change;
use dataman_metadata::id::{DatabaseId, DatasourceId, DatastoreId, NodeId};
use dataman_metadata::schema::{Database, Role};
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::topology::{Datasource, Datastore, Engine, Node, Replication, Shard};
use dataman_node_protocol::capability::Capability;
use dataman_pg::{Context, PgError};
use tokio_util::sync::CancellationToken;

use super::Facts;
use super::draft::{Draft, Work};
use super::name::make_name;
use crate::parse::parse;
use crate::parse::syntax::Statement;
use crate::scatter::contract::{Capabilities, ShardRef};

struct Unknown;

impl Capabilities for Unknown {
    fn of(&self, _shard: &ShardRef) -> Option<&dyn Capability> {
        None
    }
}

/// A cluster of four shards with a database whose tables are sharded by `tenant`.
fn cluster() -> Snapshot {
    let snapshot = Snapshot::empty();
    let mut oids = snapshot.oids();
    let datasource = |place: u32| Datasource {
        name: format!("d{place}"),
        engine: Engine::Sqlite,
        url: "data".to_owned(),
    };
    let node = Node {
        id: NodeId::from("n"),
        agent: None,
        agent_password: None,
        agent_ca: None,
        datasources: (0..4).map(datasource).collect(),
    };
    let shard = |place: u32| Shard {
        primary: DatasourceId { node: NodeId::from("n"), name: format!("d{place}") },
        replicas: vec![],
        fencing_token: 0,
    };
    let datastore = Datastore {
        id: DatastoreId::from("main"),
        vshards: 16,
        replication: Replication::Native,
        shards: (0..4).map(shard).collect(),
        vshard_map: Datastore::even_map(16, 4),
    };
    let role =
        Role { name: "owner".to_owned(), oid: oids.object(), superuser: true, verifier: None };
    let mut database =
        Database::new(DatabaseId::from("shop"), oids.object(), DatastoreId::from("main"), "owner");
    database.shard_keys = vec!["tenant".to_owned()];
    snapshot
        .apply(&[
            Change::PutNode(node),
            Change::PutDatastore(datastore),
            Change::PutRole(role),
            Change::CreateDatabase(database),
        ])
        .expect("a sound cluster")
}

fn decide(snapshot: &Snapshot, sql: &str) -> Result<Work, PgError> {
    let snapshot = Arc::new(snapshot.clone());
    let context = Context::default();
    let cancel = CancellationToken::new();
    let search_path = ["public".to_owned()];
    let facts = Facts {
        database: "shop",
        user: "owner",
        superuser: true,
        search_path: &search_path,
        context: &context,
        settings: Arc::default(),
        in_transaction: false,
        cancel: &cancel,
    };
    let statement = parse(sql)?.remove(0);
    let Statement::Define(define) = &statement.statement else { panic!("{sql} defines nothing") };
    let mut draft = Draft::new(&snapshot, &facts, &Unknown, &statement.text)?;
    draft.define(define)?;
    Ok(draft.into_work())
}

/// Runs the statements before the last one, and tells what comes of the last one: its failure, or its tag, its notices and
/// how many definitions each shard gets.
fn outcome(sql: &[&str]) -> String {
    let mut snapshot = cluster();
    let (last, before) = sql.split_last().expect("a statement");
    for sql in before {
        let work = decide(&snapshot, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        snapshot = snapshot.apply(&work.changes).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    match decide(&snapshot, last) {
        Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        Ok(work) => {
            let mut shards: Vec<u32> = work.steps.iter().map(|step| step.shard.shard.0).collect();
            shards.sort_unstable();
            shards.dedup();
            let notices: Vec<_> =
                work.notices.iter().map(|notice| notice.message.as_str()).collect();
            snapshot.apply(&work.changes).unwrap_or_else(|error| panic!("{last}: {error}"));
            format!("{} on {shards:?} {}", work.tag, notices.join("; ")).trim_end().to_owned()
        }
    }
}

#[track_caller]
fn check(sql: &[&str], expected: &str) {
    assert_eq!(outcome(sql), expected, "{sql:?}");
}

#[test]
fn placement() {
    check(&["create table t (a int)"], "CREATE TABLE on [0]");
    check(&["create table t (a int, tenant int)"], "CREATE TABLE on [0, 1, 2, 3]");
    check(&["create table t (tenant int) with (placement = single)"], "CREATE TABLE on [0]");
    check(&["create table t (a int) with (placement = reference)"], "CREATE TABLE on [0, 1, 2, 3]");
    check(
        &["create table t (a int) with (shard_key = a, hash = cast)"],
        "CREATE TABLE on [0, 1, 2, 3]",
    );
    check(
        &["create table t (a int primary key, tenant int)"],
        "0A000: PRIMARY KEY constraint on table \"t\" must include the shard key",
    );
    check(
        &["create table t (a text) with (shard_key = a, hash = cast)"],
        "22023: hash \"cast\" needs an integer, and column \"a\" is of type text",
    );
    check(
        &["create table t (a json) with (shard_key = a)"],
        "0A000: column \"a\" of type json cannot be a shard key",
    );
    check(
        &["create table t (a float8) with (shard_key = a)"],
        "0A000: column \"a\" of type double precision cannot be a shard key",
    );
    check(
        &["create table t (a int) with (shard_key = b)"],
        "42703: column \"b\" named in the shard key does not exist",
    );
    check(
        &["create table t (a int) with (shard_key = a, placement = reference)"],
        "22023: a table with a shard key must have the placement \"sharded\"",
    );
    check(
        &["create table t (a int) with (shards = 3)"],
        "22023: unrecognized parameter \"shards\"",
    );
    check(&["create table t (a int) with (hash = md5)"], "22023: a hash needs a shard key");
    check(
        &["create table t (a int) with (datastore = 'x')"],
        "42704: datastore \"x\" does not exist",
    );
}

#[test]
fn shards_keep_keys() {
    let parent = "create table p (tenant int, id int, primary key (tenant, id))";
    check(
        &[parent, "create table c (tenant int, p int, foreign key (tenant, p) references p)"],
        "CREATE TABLE on [0, 1, 2, 3]",
    );
    check(
        &[
            "create table p (id int primary key) with (shard_key = id)",
            "create table c (tenant int, p int references p)",
        ],
        "0A000: foreign key constraint \"c_p_fkey\" cannot be kept: the rows of \"p\" may be on another shard",
    );
    check(
        &[
            "create table p (id int primary key) with (placement = reference)",
            "create table c (tenant int, p int references p)",
        ],
        "CREATE TABLE on [0, 1, 2, 3]",
    );
    check(
        &[parent, "create unique index on p (id)"],
        "0A000: UNIQUE constraint on table \"p\" must include the shard key",
    );
    check(
        &[parent, "alter table p drop column tenant"],
        "0A000: cannot drop column \"tenant\": it is the shard key",
    );
    check(&[parent, "alter table p rename column tenant to t"], "ALTER TABLE on [0, 1, 2, 3]");
    check(
        &[parent, "alter table p add column n int default random()"],
        "0A000: adding column \"n\" with a default that is not constant is not supported",
    );
}

#[test]
fn names_are_cut_as_postgresql_cuts() {
    let long = "a".repeat(40);
    let check = |first: &str, second: Option<&str>, label: &str, expected: &str| {
        assert_eq!(make_name(first, second, label), expected);
    };
    check("t", Some("b"), "key", "t_b_key");
    check("t", None, "pkey", "t_pkey");
    check(
        &long,
        Some(&"b".repeat(40)),
        "key",
        &format!("{}_{}_key", "a".repeat(29), "b".repeat(29)),
    );
    check(&"é".repeat(40), None, "pkey", &format!("{}_pkey", "é".repeat(29)));
}

#[test]
fn what_depends_goes_too() {
    let tables = "create table t (a int primary key)";
    let view = "create view v as select * from t";
    check(
        &[tables, view, "drop table t"],
        "2BP01: cannot drop table t because other objects depend on it",
    );
    check(&[tables, view, "drop table t cascade"], "DROP TABLE on [0] drop cascades to view v");
    check(&[tables, view, "drop view v"], "DROP VIEW on []");
    check(&["drop table if exists t"], "DROP TABLE on [] table \"t\" does not exist, skipping");
}
