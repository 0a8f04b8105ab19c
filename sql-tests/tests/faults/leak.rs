//! Nothing of one client's session is seen by the next one that gets the same connections to the shards.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Session;
use dataman_sql_tests::topology::{Launch, Running, cluster_file, postgres_shards};

use crate::setup::{DATABASE, connect};

/// What a client leaves behind, or tries to. What dataman refuses cannot leak; what it takes must end with the session.
const TRACES: &[&str] = &[
    "SET TimeZone TO 'Asia/Tokyo'",
    "SET DateStyle TO 'German'",
    "SET IntervalStyle TO 'sql_standard'",
    "SET bytea_output TO 'escape'",
    "SET extra_float_digits TO -5",
    "SET lock_timeout TO '1ms'",
    "SET statement_timeout TO '1min'",
    "SET search_path TO pg_catalog",
    "SET application_name TO 'first'",
    "SET app.secret TO 'first'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT set_config('TimeZone', 'Asia/Tokyo', false) FROM t WHERE id = 1",
    "SELECT set_config('search_path', 'pg_catalog', false) FROM t WHERE id = 1",
    "PREPARE kept AS SELECT 1",
    "CREATE TEMP TABLE hidden (a int)",
    "SELECT pg_advisory_lock(7)",
    "SELECT pg_advisory_lock(id) FROM t WHERE id = 1",
    "LISTEN news",
    "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
    "SELECT pad, '2024-01-02 03:04:05+00'::timestamptz, 0.1::float8 FROM t WHERE id = 1",
    "BEGIN",
    "INSERT INTO t VALUES (2, 'uncommitted')",
    "SELECT pad FROM t WHERE id = 2 FOR UPDATE",
    "SAVEPOINT kept",
];

/// What the next client looks at: values that settings change, and things that have names.
const LOOKS: &[&str] = &[
    "SHOW TimeZone",
    "SHOW search_path",
    "SHOW app.secret",
    "SHOW application_name",
    "SELECT current_user, session_user",
    "SELECT '2024-01-02 03:04:05+00'::timestamptz::text, made::text, gap::text, raw::text, real::text FROM t WHERE id = 1",
    "SELECT date_trunc('day', made)::text FROM t WHERE id = 1",
    "EXECUTE kept",
    "SELECT * FROM hidden",
    "FETCH 1 FROM kept",
    "SELECT id, pad FROM t ORDER BY id",
    "ROLLBACK TO kept",
    "UPDATE t SET pad = 'changed' WHERE id = 1 RETURNING pad",
    "UPDATE t SET pad = 'one' WHERE id = 1",
];

async fn look(session: &Session) -> Vec<Outcome> {
    let mut found = Vec::new();
    for protocol in Protocol::ALL {
        for sql in LOOKS {
            found.push(run(session, sql, protocol).await);
        }
    }
    found
}

/// One connection to the shard, which every client of the test gets.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_leave_nothing_on_shared_connections() {
    let databases = [DATABASE.to_owned()];
    let urls = postgres_shards(1).await.expect("a database for the shard");
    let datasources: Vec<(&str, String)> = urls.into_iter().map(|url| ("postgres", url)).collect();
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases)
        .with_arguments(&["--datasource-connections-max", "1"]);
    let dataman = Running::launch(launch).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, pad text, made timestamptz, gap interval, raw bytea, real float8)
                 WITH (shard_key = 'id');
             INSERT INTO t VALUES (1, 'one', '2024-01-02 03:04:05+00', '1 day 2 hours', '\\x00ff', 0.1)",
        )
        .await
        .expect("a table");
    let expected = look(&session).await;
    drop(session);
    for protocol in Protocol::ALL {
        let first = connect(&dataman).await;
        let mut taken = 0;
        for sql in TRACES {
            taken += usize::from(run(&first, sql, protocol).await.sqlstate().is_none());
        }
        assert!(taken > 10, "most of what the first client does is taken");
        // It leaves in the middle of its transaction.
        drop(first);
        let second = connect(&dataman).await;
        let found = look(&second).await;
        for ((found, expected), sql) in found.iter().zip(&expected).zip(LOOKS.iter().cycle()) {
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{sql}");
        }
    }
}
