//! What goes the short way answers as PostgreSQL does, in blocks too: a block's first statement, rows that are inserted, and
//! COMMIT.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::topology::{Launch, Running, cluster_file, postgres_shards};

use crate::setup::{DATABASE, connect};

/// The table, as PostgreSQL has it.
const TABLE: &str = "CREATE TABLE t (
    id bigint PRIMARY KEY, pad varchar(3), made timestamptz DEFAULT now(), n int CHECK (n < 100), amount numeric(6, 2))";

/// Statements that pass, or nearly. All are run several times: the short way is learned by the first.
const SCRIPT: &[&str] = &[
    "DELETE FROM t WHERE id = 1",
    "INSERT INTO t (id, pad, n) VALUES (1, 'one', 1)",
    "INSERT INTO t (id, pad, n) VALUES (1, 'one', 1)",
    "INSERT INTO t (id, pad, n, amount) VALUES (1, 'one', 1, 1.005) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount RETURNING amount",
    "INSERT INTO t (id, n) VALUES (2, 100)",
    "INSERT INTO t (id, pad) VALUES (2, 'four')",
    "INSERT INTO t (id, amount) VALUES (2, 12345.6)",
    "INSERT INTO t (id, pad) VALUES (NULL, 'x')",
    "INSERT INTO t (id, n) VALUES (2, 1 / 0)",
    "INSERT INTO t (id, pad) VALUES (99999999999999999999, 'x')",
    "BEGIN",
    "INSERT INTO t (id, pad) VALUES (3, 'a')",
    "INSERT INTO t (id, pad, made) VALUES (3, 'b', CURRENT_TIMESTAMP) ON CONFLICT (id) DO NOTHING",
    "SELECT made = now(), n IS NULL, pad FROM t WHERE id = 3",
    "END",
    "SELECT made < now(), pad FROM t WHERE id = 3",
    "BEGIN",
    "SELECT pad FROM t WHERE id = 3",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "COMMIT",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "SELECT pad FROM t WHERE id = 3",
    "SHOW transaction_isolation",
    "COMMIT",
    "BEGIN READ ONLY",
    "UPDATE t SET n = 1 WHERE id = 3",
    "COMMIT",
    "BEGIN READ ONLY",
    "INSERT INTO t (id, pad) VALUES (4, 'x')",
    "ROLLBACK",
    "BEGIN",
    "UPDATE t SET pad = 'c' WHERE id = 3",
    "UPDATE t SET pad = 'long' WHERE id = 3",
    "SELECT pad FROM t WHERE id = 3",
    "COMMIT",
    "SELECT pad FROM t WHERE id = 3",
    "BEGIN",
    "SET LOCAL TimeZone TO 'Asia/Tokyo'",
    "SELECT '2024-01-02 03:04:05+00'::timestamptz, pad FROM t WHERE id = 3",
    "COMMIT",
    "SELECT '2024-01-02 03:04:05+00'::timestamptz, pad FROM t WHERE id = 3",
    "BEGIN",
    "SET TimeZone TO 'Asia/Tokyo'",
    "DELETE FROM t WHERE id = 3",
    "COMMIT",
    "SHOW TimeZone",
    "RESET TimeZone",
    "BEGIN",
    "SAVEPOINT s",
    "INSERT INTO t (id, pad) VALUES (5, 'e')",
    "ROLLBACK TO s",
    "SELECT pad FROM t WHERE id = 5",
    "COMMIT",
    "SELECT pad FROM t WHERE id = 5",
    "COMMIT",
    "BEGIN",
    "COMMIT AND CHAIN",
    "SELECT n FROM t WHERE id = 1",
    "COMMIT",
];

/// As an outcome, without what differs by design: the position of an error, and the rows of another's table.
fn shown(outcome: &Outcome) -> String {
    match outcome.sqlstate() {
        Some(code) => code.to_owned(),
        None => format!("{outcome:?}"),
    }
}

async fn start() -> Running {
    let databases = [DATABASE.to_owned()];
    let urls = postgres_shards(4).await.expect("databases for the shards");
    let datasources: Vec<(&str, String)> = urls.into_iter().map(|url| ("postgres", url)).collect();
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
    let dataman = Running::launch(launch).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session.batch_execute(&format!("{TABLE} WITH (shard_key = 'id')")).await.expect("a table");
    dataman
}

#[tokio::test(flavor = "multi_thread")]
async fn as_postgresql() {
    let dataman = start().await;
    let session = connect(&dataman).await;
    let direct: Session = Postgres::shared().create_database("passing").await.expect("a database");
    direct.batch_execute(TABLE).await.expect("a table");
    for protocol in Protocol::ALL {
        for round in 1..=3 {
            for (place, sql) in SCRIPT.iter().enumerate() {
                let found = shown(&run(&session, sql, protocol).await);
                let expected = shown(&run(&direct, sql, protocol).await);
                assert_eq!(found, expected, "{protocol:?}, round {round}, {place}: {sql}");
            }
        }
    }
}

/// A write that passed counts: a block that has written on one shard does not write on another.
#[tokio::test(flavor = "multi_thread")]
async fn one_block_writes_one_shard() {
    let dataman = start().await;
    let session = connect(&dataman).await;
    for id in 0..40 {
        let insert = format!("INSERT INTO t (id, n) VALUES ({id}, 0)");
        session.batch_execute(&insert).await.expect("a row");
    }
    for protocol in Protocol::ALL {
        let mut refused = 0;
        for id in 1..40 {
            run(&session, "BEGIN", protocol).await;
            for sql in [
                "SELECT n FROM t WHERE id = 0".to_owned(),
                format!("SELECT n FROM t WHERE id = {id}"),
                "UPDATE t SET n = n + 1 WHERE id = 0".to_owned(),
            ] {
                let outcome = run(&session, &sql, protocol).await;
                assert_eq!(outcome.sqlstate(), None, "{sql}");
            }
            let sql = format!("UPDATE t SET n = n + 1 WHERE id = {id}");
            let outcome = run(&session, &sql, protocol).await;
            refused += usize::from(outcome.is_refusal());
            let sql = if outcome.is_refusal() { "ROLLBACK" } else { "COMMIT" };
            assert_eq!(run(&session, sql, protocol).await.sqlstate(), None);
        }
        assert!(refused > 10, "{protocol:?}: {refused} of 39 are on other shards than the first");
    }
    let sums = session
        .query_one(
            "SELECT (SELECT n FROM t WHERE id = 0), (SELECT sum(n) FROM t WHERE id > 0)",
            &[],
        )
        .await
        .expect("sums");
    assert_eq!(i64::from(sums.get::<_, i32>(0)), sums.get::<_, i64>(1), "all or nothing");
}
