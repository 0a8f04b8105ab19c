//! Replicas that MariaDB itself fills: read, frozen, killed, late, promoted.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::failing_mariadb::FailingMariadb;
use dataman_sql_tests::topology::{Launch, Running};
use tokio::time::timeout;

use crate::replicas::{cluster_of, read_from, role, text, until_read};
use crate::setup::{DATABASE, PATIENCE, connect, until};

async fn start(servers: &[&FailingMariadb]) -> Running {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let launch = Launch::up(cluster_of("mysql", "my", &urls), &[DATABASE.to_owned()]);
    Running::launch(launch).await.expect("dataman starts")
}

/// How many rows a server has read of its tables.
fn rows_read(server: &FailingMariadb) -> u64 {
    let status = server.run("SHOW GLOBAL STATUS LIKE 'Rows_read'").expect("a status");
    status.rsplit('\t').next().and_then(|count| count.parse().ok()).expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_follow_the_policy() {
    let a = FailingMariadb::started(1).expect("a primary");
    let mut b = FailingMariadb::replica_of(&a, 2).expect("a replica");
    let c = FailingMariadb::replica_of(&a, 3).expect("a replica");
    let dataman = start(&[&a, &b, &c]).await;
    let session = connect(&dataman).await;
    session
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 50) AS g")
        .await
        .expect("writes go to the primary");
    assert_eq!(read_from(&session).await, "");
    session.batch_execute("SET dataman.read = any").await.expect("a policy");
    until_read(&session, &["b/my", "c/my"]).await;
    let roles = [role(&session, "a/my").await, role(&session, "b/my").await];
    assert_eq!(roles, ["primary", "replica"]);

    // The rows come from the replicas' own servers.
    let count = "SELECT count(*) FROM t WHERE id > 0";
    let before = [rows_read(&b), rows_read(&c)];
    for _ in 0..8 {
        assert_eq!(text(&session, count).await, "50");
    }
    let after = [rows_read(&b), rows_read(&c)];
    assert!(after[0] > before[0] + 50 && after[1] > before[1] + 50, "{before:?} {after:?}");

    // A session reads its own writes, whichever way they went.
    for round in 1..40 {
        run(&session, &format!("UPDATE t SET n = {round}"), Protocol::Extended).await;
        let found = run(&session, "SELECT min(n)::text FROM t", Protocol::Extended).await;
        let Outcome::Rows(rows) = found else { panic!("{found:?}") };
        assert_eq!(rows.rows[0][0].as_deref(), Some(round.to_string().as_bytes()));
    }
    let written = session.prepare("UPDATE t SET n = $2 WHERE id = $1").await.expect("prepared");
    let read = session.prepare("SELECT n FROM t WHERE id = $1").await.expect("prepared");
    for n in 100..140 {
        session.execute(&written, &[&7, &n]).await.expect("written");
        let found: i32 = session.query_one(&read, &[&7]).await.expect("read").get(0);
        assert_eq!(found, n);
    }

    // What may write goes to the primary; a block that only reads goes to a replica.
    session.batch_execute("BEGIN; SELECT id FROM t WHERE id = 1 FOR UPDATE").await.expect("locks");
    assert_eq!(read_from(&session).await, "");
    session.batch_execute("UPDATE t SET n = n + 1 WHERE id = 1; COMMIT").await.expect("writes");
    let other = connect(&dataman).await;
    other.batch_execute("SET dataman.read = any; SET dataman.max_lag = '5s'").await.expect("set");
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        until("a block that only reads goes to a replica", async || {
            let begin = format!("BEGIN ISOLATION LEVEL {level} READ ONLY");
            other.batch_execute(&begin).await.expect("begins");
            let found = read_from(&other).await;
            let refused = run(&other, "UPDATE t SET n = 0", Protocol::Simple).await;
            assert_eq!(refused.sqlstate(), Some("25006"));
            other.batch_execute("ROLLBACK").await.expect("ends");
            !found.is_empty()
        })
        .await;
    }

    // A definition is seen at once, and by the replicas' drivers, past which it came.
    session.batch_execute("ALTER TABLE t ADD COLUMN m int DEFAULT 5").await.expect("altered");
    assert_eq!(text(&session, "SELECT sum(m) FROM t").await, "250");
    until_read(&session, &["b/my", "c/my"]).await;
    assert_eq!(text(&session, "SELECT sum(m) FROM t").await, "250");
    session.batch_execute("ALTER TABLE t ALTER COLUMN m TYPE text").await.expect("altered");
    until_read(&other, &["b/my", "c/my"]).await;
    for _ in 0..4 {
        assert_eq!(text(&other, "SELECT max(m || 'x') FROM t").await, "5x");
    }

    // A replica that is killed or frozen is left out, and no read fails or hangs for it.
    until_read(&session, &["b/my", "c/my"]).await;
    b.kill().expect("killed");
    for _ in 0..20 {
        assert_eq!(text(&session, count).await, "50");
    }
    until_read(&session, &["c/my"]).await;
    c.freeze().expect("frozen");
    for _ in 0..4 {
        let read = timeout(PATIENCE, text(&session, count)).await;
        assert_eq!(read.expect("another copy answers"), "50");
    }
    until_read(&session, &[""]).await;
    assert_eq!(role(&session, "c/my").await, "replica gone");
    c.thaw().expect("thawed");
    b.start().expect("starts again");
    until_read(&session, &["b/my", "c/my"]).await;
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_replica_is_left_out() {
    let a = FailingMariadb::started(1).expect("a primary");
    let b = FailingMariadb::replica_of(&a, 2).expect("a replica");
    let dataman = start(&[&a, &b]).await;
    let session = connect(&dataman).await;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.expect("a table");
    let set = "SET dataman.read = any; SET dataman.max_lag = '500ms'";
    session.batch_execute(set).await.expect("set");
    let patient = connect(&dataman).await;
    patient.batch_execute("SET dataman.read = any; SET dataman.max_lag = -1").await.expect("set");
    until_read(&session, &["b/my"]).await;
    // What it copies comes and is not applied: the server says that it is 0 or NULL seconds behind.
    b.run("STOP SLAVE SQL_THREAD").expect("stopped");
    for id in 0..10 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({id})")).await.expect("written");
        assert_eq!(text(&session, "SELECT count(*) FROM t").await, (id + 1).to_string());
        assert_eq!(read_from(&session).await, "");
    }
    until("the lag shows", async || {
        let lag = "SELECT lag_bytes > 0 AND unapplied_bytes > 0 AND lag_ms > 500 FROM dataman.replicas WHERE datasource = 'b/my'";
        text(&session, lag).await == "t"
    })
    .await;
    let fresh = connect(&dataman).await;
    fresh.batch_execute(set).await.expect("set");
    assert_eq!(read_from(&fresh).await, "", "it is later than half a second");
    // Who takes any lag and has written nothing sees what was there.
    assert_eq!(read_from(&patient).await, "b/my");
    assert_eq!(text(&patient, "SELECT count(*) FROM t").await, "0");
    b.run("START SLAVE SQL_THREAD").expect("started");
    until_read(&session, &["b/my"]).await;
    assert_eq!(text(&session, "SELECT count(*) FROM t").await, "10");

    // Nothing comes any more.
    b.run("STOP SLAVE IO_THREAD").expect("stopped");
    session.batch_execute("INSERT INTO t VALUES (10)").await.expect("written");
    for _ in 0..10 {
        assert_eq!(text(&session, "SELECT count(*) FROM t").await, "11");
        assert_eq!(read_from(&session).await, "");
    }
    b.run("START SLAVE IO_THREAD").expect("started");
    until_read(&session, &["b/my"]).await;

    // It leaves something out: it is no copy to read.
    b.run("STOP SLAVE; SET GLOBAL replicate_wild_ignore_table = 'none.%'; START SLAVE")
        .expect("set");
    until_read(&session, &[""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_followed() {
    let a = FailingMariadb::started(1).expect("a primary");
    let b = FailingMariadb::replica_of(&a, 2).expect("a replica");
    let dataman = start(&[&a, &b]).await;
    let session = connect(&dataman).await;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.expect("a table");
    session.batch_execute("SET dataman.read = any").await.expect("set");
    until_read(&session, &["b/my"]).await;
    // The old primary knows nothing of it and goes on: nothing is written there any more.
    b.promote().expect("promoted");
    until("the promotion is seen", async || role(&session, "b/my").await == "primary").await;
    session.batch_execute("INSERT INTO t VALUES (1)").await.expect("written to the new primary");
    let of = |server: &FailingMariadb| {
        server.run(&format!("SELECT count(*) FROM dbshard_{DATABASE}_0.t")).expect("the table")
    };
    assert_eq!((of(&a), of(&b)), ("0".to_owned(), "1".to_owned()));
    // Nor when the new one is away.
    b.freeze().expect("frozen");
    session.batch_execute("SET statement_timeout = '3s'").await.expect("set");
    let refused = run(&session, "INSERT INTO t VALUES (2)", Protocol::Simple).await;
    assert!(refused.sqlstate().is_some(), "{refused:?}");
    assert_eq!(of(&a), "0");
    b.thaw().expect("thawed");
    session.batch_execute("SET statement_timeout = 0").await.expect("set");
    until("it is written again", async || {
        run(&session, "INSERT INTO t VALUES (3)", Protocol::Simple).await.sqlstate().is_none()
    })
    .await;
    assert_eq!(of(&a), "0");
    // The old one follows the new one, and is read.
    a.follow(&b).expect("follows");
    until_read(&session, &["a/my"]).await;
    until("it has caught up", async || of(&a) == of(&b)).await;
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());
}

/// Two that say that they are the primary, and a proxy that has not seen which was promoted.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_written_when_two_are_the_primary() {
    let a = FailingMariadb::started(1).expect("a primary");
    let b = FailingMariadb::started(2).expect("another");
    let dataman = start(&[&a, &b]).await;
    let session = connect(&dataman).await;
    let mut attempts = 0;
    until("it is refused", || {
        attempts += 1;
        let create = format!("CREATE TABLE t{attempts} (id int PRIMARY KEY)");
        let session = &session;
        async move {
            let refused = run(session, &create, Protocol::Simple).await;
            matches!(refused, Outcome::Failure { message, .. } if message.contains("more than one copy"))
        }
    })
    .await;
}
