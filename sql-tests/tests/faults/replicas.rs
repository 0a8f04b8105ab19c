//! Replicas that PostgreSQL itself fills, by streaming: read, frozen, killed, late, promoted.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Session;
use dataman_sql_tests::failing::FailingPostgres;
use dataman_sql_tests::topology::{Launch, Running};
use tokio::time::timeout;

use crate::setup::{DATABASE, PATIENCE, connect, until};

/// A server that copies what another has.
fn replica_of(primary: &FailingPostgres, options: &str) -> FailingPostgres {
    let copy = format!(
        "rm -rf data && \"$1/pg_basebackup\" -h 127.0.0.1 -p {} -U postgres -D data -R -X stream -c fast --no-sync",
        primary.port()
    );
    let mut replica = FailingPostgres::prepare(&copy).expect("a copy of the primary");
    replica.set_options(&format!("-c max_connections=100 {options}"));
    replica.start().expect("a standby starts");
    replica
}

/// One shard on server `a` with replicas on `b`, `c`, …, each a datasource of one name.
pub(crate) fn cluster_of(engine: &str, name: &str, urls: &[String]) -> String {
    let nodes = ["a", "b", "c"];
    let mut file = String::new();
    for (node, url) in nodes.iter().zip(urls) {
        file.push_str(&format!(
            "[[node]]\nname = \"{node}\"\n[[node.datasource]]\nname = \"{name}\"\nengine = \"{engine}\"\nurl = \"{url}\"\n"
        ));
    }
    let replicas: Vec<String> =
        nodes[1..urls.len()].iter().map(|node| format!("\"{node}/{name}\"")).collect();
    file.push_str(&format!(
        "[[datastore]]\nname = \"main\"\nreplication = \"native\"\n[[datastore.shard]]\nprimary = \"a/{name}\"\nreplicas = [{}]\n\
         [[database]]\nname = \"{DATABASE}\"\ndatastore = \"main\"\n",
        replicas.join(", ")
    ));
    file
}

async fn start(servers: &[&FailingPostgres]) -> Running {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let launch = Launch::up(cluster_of("postgres", "pg", &urls), &[DATABASE.to_owned()]);
    Running::launch(launch).await.expect("dataman starts")
}

/// The text of the first column of the first row.
pub(crate) async fn text(session: &Session, sql: &str) -> String {
    match run(session, sql, Protocol::Simple).await {
        Outcome::Rows(rows) => {
            let first = rows.rows.first().and_then(|row| row.first()?.clone());
            String::from_utf8(first.unwrap_or_default()).expect("text")
        }
        Outcome::Failure { sqlstate, message } => format!("{sqlstate} {message}"),
    }
}

/// The replicas that a read of `t` goes to, as EXPLAIN ANALYZE says.
pub(crate) async fn read_from(session: &Session) -> String {
    let rows = session.query("EXPLAIN ANALYZE SELECT count(*) FROM t", &[]).await.expect("a plan");
    let lines = rows.iter().map(|row| row.get::<_, String>(0));
    let found = lines.filter_map(|line| Some(line.strip_prefix("Replicas Read: ")?.to_owned()));
    found.collect::<Vec<_>>().join("; ")
}

/// Waits until reads have gone to exactly these copies; the empty name is the primary's.
pub(crate) async fn until_read(session: &Session, expected: &[&str]) {
    until(&format!("reads go to {expected:?}"), async || {
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(read_from(session).await);
        }
        found.sort();
        found.dedup();
        found == expected
    })
    .await;
}

/// What `dataman.replicas` says of a copy.
pub(crate) async fn role(session: &Session, copy: &str) -> String {
    text(
        session,
        &format!(
            "SELECT coalesce(role, '?') || CASE WHEN reachable THEN '' ELSE ' gone' END \
             FROM dataman.replicas WHERE datasource = '{copy}'"
        ),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_follow_the_policy() {
    let a = FailingPostgres::started().expect("a primary");
    let mut b = replica_of(&a, "");
    let c = replica_of(&a, "");
    let dataman = start(&[&a, &b, &c]).await;
    let session = connect(&dataman).await;
    session
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 50) AS g")
        .await
        .expect("writes go to the primary");
    // The primary alone unless something else is asked for.
    assert_eq!(read_from(&session).await, "");
    session.batch_execute("SET dataman.read = any").await.expect("a policy");
    assert_eq!(text(&session, "SHOW dataman.max_lag").await, "10s");
    until_read(&session, &["b/pg", "c/pg"]).await;
    let roles = [role(&session, "a/pg").await, role(&session, "b/pg").await];
    assert_eq!(roles, ["primary", "replica"]);

    // The rows come from the replicas' own server: one that says so, and that takes no writes.
    let port = "SELECT count(*) FROM t WHERE id > 0";
    let direct = b.connect().await.expect("a standby answers");
    let scans = "SELECT coalesce(sum(seq_scan + idx_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 't'";
    until("the standby counts reads of the table", async || {
        assert_eq!(text(&session, port).await, "50");
        direct.query_one(scans, &[]).await.expect("statistics").get::<_, i64>(0) > 0
    })
    .await;

    // A session reads its own writes, whichever way they went.
    for round in 1..40 {
        let set = format!("UPDATE t SET n = {round}");
        run(&session, &set, Protocol::Extended).await;
        let found = run(&session, "SELECT min(n)::text FROM t", Protocol::Extended).await;
        let Outcome::Rows(rows) = found else { panic!("{found:?}") };
        assert_eq!(rows.rows[0][0].as_deref(), Some(round.to_string().as_bytes()));
    }
    let other = connect(&dataman).await;
    let passed = session.prepare("UPDATE t SET n = $2 WHERE id = $1").await.expect("prepared");
    let read = session.prepare("SELECT n FROM t WHERE id = $1").await.expect("prepared");
    for n in 100..140 {
        session.execute(&passed, &[&7, &n]).await.expect("written");
        let found: i32 = session.query_one(&read, &[&7]).await.expect("read").get(0);
        assert_eq!(found, n);
    }

    // What may write goes to the primary; so does all of a block that may.
    session.batch_execute("CREATE SEQUENCE s").await.expect("made");
    assert_eq!(text(&session, "SELECT nextval('s') FROM t LIMIT 1").await, "1");
    session.batch_execute("BEGIN; SELECT id FROM t WHERE id = 1 FOR UPDATE").await.expect("locks");
    assert_eq!(read_from(&session).await, "");
    session.batch_execute("UPDATE t SET n = n + 1 WHERE id = 1; COMMIT").await.expect("writes");
    other.batch_execute("SET dataman.read = any; SET dataman.max_lag = '5s'").await.expect("set");
    until("a block that only reads goes to a replica", async || {
        other.batch_execute("BEGIN READ ONLY").await.expect("begins");
        let found = read_from(&other).await;
        let refused = run(&other, "UPDATE t SET n = 0", Protocol::Simple).await;
        assert_eq!(refused.sqlstate(), Some("25006"));
        other.batch_execute("ROLLBACK").await.expect("ends");
        !found.is_empty()
    })
    .await;

    // A definition is seen at once.
    session.batch_execute("ALTER TABLE t ADD COLUMN m int DEFAULT 5").await.expect("altered");
    assert_eq!(text(&session, "SELECT sum(m) FROM t").await, "250");
    assert_eq!(text(&other, "SELECT sum(m) FROM t").await, "250");

    // A replica that is killed or frozen is left out, and no read fails or hangs for it.
    until_read(&session, &["b/pg", "c/pg"]).await;
    b.kill().expect("killed");
    for _ in 0..20 {
        assert_eq!(text(&session, port).await, "50");
    }
    until_read(&session, &["c/pg"]).await;
    c.freeze().expect("frozen");
    for _ in 0..4 {
        let read = timeout(PATIENCE, text(&session, port)).await;
        assert_eq!(read.expect("another copy answers"), "50");
    }
    until_read(&session, &[""]).await;
    assert_eq!(role(&session, "c/pg").await, "replica gone");
    c.thaw().expect("thawed");
    b.start().expect("starts again");
    until_read(&session, &["b/pg", "c/pg"]).await;
    session.batch_execute("SET dataman.read = nearest").await.expect("a policy");
    assert_eq!(text(&session, port).await, "50");
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_replica_is_left_out() {
    let a = FailingPostgres::started().expect("a primary");
    // It applies each transaction an hour after its commit.
    let b = replica_of(&a, "-c recovery_min_apply_delay=1h");
    let dataman = start(&[&a, &b]).await;
    let session = connect(&dataman).await;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.expect("a table");
    session
        .batch_execute("SET dataman.read = any; SET dataman.max_lag = '500ms'")
        .await
        .expect("set");
    // The replica has not even the table: nobody may be sent there, with any bound on lag.
    until("the primary reads", async || {
        role(&session, "b/pg").await == "replica" && read_from(&session).await.is_empty()
    })
    .await;
    session.batch_execute("SET dataman.max_lag = -1").await.expect("set");
    for id in 0..10 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({id})")).await.expect("written");
        assert_eq!(text(&session, "SELECT count(*) FROM t").await, (id + 1).to_string());
        assert_eq!(read_from(&session).await, "");
    }
    until("the lag shows", async || {
        let lag = "SELECT lag_bytes > 0 AND unapplied_bytes > 0 FROM dataman.replicas WHERE datasource = 'b/pg'";
        text(&session, lag).await == "t"
    })
    .await;
    let explained = session.query("EXPLAIN SELECT * FROM t", &[]).await.expect("a plan");
    let last: String = explained.last().expect("lines").get(0);
    assert_eq!(last, "Read Policy: any (any lag)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_followed() {
    let a = FailingPostgres::started().expect("a primary");
    let b = replica_of(&a, "");
    let dataman = start(&[&a, &b]).await;
    let session = connect(&dataman).await;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.expect("a table");
    until("both are known", async || {
        role(&session, "a/pg").await == "primary" && role(&session, "b/pg").await == "replica"
    })
    .await;
    // The old primary knows nothing of it and goes on: nothing is written there any more.
    let direct = b.connect().await.expect("a standby answers");
    direct.query("SELECT pg_promote()", &[]).await.expect("promoted");
    until("the promotion is seen", async || role(&session, "b/pg").await == "primary").await;
    session.batch_execute("INSERT INTO t VALUES (1)").await.expect("written to the new primary");
    let count = format!("SELECT count(*)::text FROM dbshard_{DATABASE}_0.t");
    let of = async |server: &FailingPostgres| {
        let session = server.connect().await.expect("answers");
        session.query_one(&count, &[]).await.expect("the table").get::<_, String>(0)
    };
    assert_eq!((of(&a).await, of(&b).await), ("0".to_owned(), "1".to_owned()));
    // Nor when the new one is away.
    b.freeze().expect("frozen");
    session.batch_execute("SET statement_timeout = '3s'").await.expect("set");
    let refused = run(&session, "INSERT INTO t VALUES (2)", Protocol::Simple).await;
    assert!(refused.sqlstate().is_some(), "{refused:?}");
    assert_eq!(of(&a).await, "0");
    b.thaw().expect("thawed");
    until("it is written again", async || {
        run(&session, "INSERT INTO t VALUES (3)", Protocol::Simple).await.sqlstate().is_none()
    })
    .await;
    assert_eq!(of(&a).await, "0");
}
