//! Every bound is reached, and the refusal names it.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Session;
use dataman_sql_tests::raw::{RawClient, startup};
use dataman_sql_tests::topology::{Launch, Running, cluster_file, postgres_shards};

use crate::setup::{DATABASE, connect, fill};

async fn start(engine: &str, arguments: &[&str]) -> Running {
    let databases = [DATABASE.to_owned()];
    let datasources: Vec<(&str, String)> = if engine == "postgres" {
        let urls = postgres_shards(2).await.expect("databases for the shards");
        urls.into_iter().map(|url| (engine, url)).collect()
    } else {
        (0..2).map(|shard| (engine, format!("{{folder}}/shard{shard}"))).collect()
    };
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
    Running::launch(launch.with_arguments(arguments)).await.expect("dataman starts")
}

fn check_refused(outcome: &Outcome, expected_sqlstate: &str, what: &str) {
    assert_eq!(outcome.sqlstate(), Some(expected_sqlstate), "{what}: {outcome:?}");
}

/// `53200`: what a statement holds above the shards.
#[tokio::test(flavor = "multi_thread")]
async fn statement_memory() {
    let dataman = start("sqlite", &["--statement-mem", "1MB"]).await;
    let session = connect(&dataman).await;
    session.batch_execute("SET dataman.statement_mem = '256MB'").await.expect("more for this one");
    fill(&session, 3000).await;
    session.batch_execute("RESET dataman.statement_mem").await.expect("back to the flag's");
    let row = session.query_one("SHOW dataman.statement_mem", &[]).await.expect("a value");
    assert_eq!(row.get::<_, &str>(0), "1MB");
    let holding = [
        "SELECT array_agg(pad ORDER BY id) FROM t",
        "SELECT string_agg(DISTINCT pad || id, '') FROM t",
        "INSERT INTO t SELECT id + 10000, pad FROM t",
    ];
    for sql in holding {
        for protocol in Protocol::ALL {
            check_refused(&run(&session, sql, protocol).await, "53200", sql);
        }
    }
    let error = session.simple_query(holding[0]).await.expect_err("refused");
    let error = error.as_db_error().expect("dataman's").clone();
    assert!(
        error.detail().is_some_and(|detail| detail.contains("1024 kB of dataman.statement_mem")),
        "{error:?}"
    );
    // Nothing of it is left, the session goes on, and with more memory the same statements run.
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(matches!(&count, Outcome::Rows(rows) if rows.rows == [[Some(b"3000".to_vec())]]));
    session.batch_execute("SET dataman.statement_mem = '256MB'").await.expect("set");
    for sql in holding {
        let outcome = run(&session, sql, Protocol::Simple).await;
        assert!(matches!(outcome, Outcome::Rows(_)), "{sql}: {outcome:?}");
    }
    for wrong in ["'63kB'", "'many'", "-1"] {
        let set = format!("SET dataman.statement_mem = {wrong}");
        check_refused(&run(&session, &set, Protocol::Simple).await, "22023", &set);
    }
}

/// In a transaction block too the connections stay usable after a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn statement_memory_in_a_transaction() {
    let dataman = start("postgres", &[]).await;
    let session = connect(&dataman).await;
    fill(&session, 3000).await;
    session
        .batch_execute("BEGIN; SET LOCAL dataman.statement_mem = '1MB'; SAVEPOINT s")
        .await
        .expect("begun");
    let sql = "SELECT array_agg(pad ORDER BY id) FROM t";
    check_refused(&run(&session, sql, Protocol::Simple).await, "53200", sql);
    session.batch_execute("ROLLBACK TO s").await.expect("back to the savepoint");
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Extended).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
    session.batch_execute("COMMIT").await.expect("committed");
}

/// `53300`: clients of the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn clients() {
    let dataman = start("sqlite", &["--clients-max", "3"]).await;
    let mut sessions = Vec::new();
    while sessions.len() < 3 {
        // The session that asked whether dataman is ready may not be gone yet.
        if let Ok(session) = Session::connect(&dataman.dsn_of(DATABASE)).await {
            sessions.push(session);
        }
    }
    let mut refused = RawClient::open(dataman.port()).await.expect("somebody listens");
    refused.send(&startup(&[("user", "dataman"), ("database", DATABASE)])).await.expect("sent");
    let answer = refused.answer().await.expect("an answer").expect("before the end");
    let fields: Vec<String> = "SCMD".chars().map(|field| answer.field(field)).collect();
    assert_eq!(
        fields,
        [
            "FATAL",
            "53300",
            "sorry, too many clients already",
            "This proxy serves 3 clients at a time (--clients-max)."
        ]
    );
    // A cancel request needs no place, and who leaves makes one.
    sessions[0].cancel_token().cancel_query(tokio_postgres::NoTls).await.expect("taken");
    sessions.pop();
    crate::setup::until("there is room again", async || {
        Session::connect(&dataman.dsn_of(DATABASE)).await.is_ok()
    })
    .await;
}

/// `53300`: connections to a datasource.
#[tokio::test(flavor = "multi_thread")]
async fn connections() {
    for engine in ["postgres", "sqlite"] {
        let dataman = start(engine, &["--datasource-connections-max", "1"]).await;
        let (one, other) = (connect(&dataman).await, connect(&dataman).await);
        fill(&one, 10).await;
        one.batch_execute("BEGIN; SELECT count(*) FROM t").await.expect("both shards are in use");
        let error = other.simple_query("SELECT count(*) FROM t").await.expect_err("no connection");
        let error = error.as_db_error().expect("dataman's").clone();
        assert_eq!(error.code().code(), "53300", "{engine}: {error:?}");
        assert!(error.message().contains("shard 0 of datastore \"main\""), "{engine}: {error:?}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("--datasource-connections-max")),
            "{engine}: {error:?}"
        );
        one.batch_execute("COMMIT").await.expect("committed");
        other.batch_execute("SELECT count(*) FROM t").await.expect("there is one again");
    }
}
