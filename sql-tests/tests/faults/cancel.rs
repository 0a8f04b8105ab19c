//! A cancel, a timeout and a client that goes away end what the shards do for the statement, and what is computed above them.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::raw::{RawClient, frame};
use dataman_sql_tests::topology::{Launch, Running, cluster_file, postgres_shards};

use crate::setup::{DATABASE, connect, fill, until};

/// Statements of which the shards do the work: whole, as parts of an aggregate, and below a join.
const ON_SHARDS: [&str; 3] = [
    "SELECT count(*) FROM t, generate_series(1, 1000000000000) AS s (n) WHERE t.id + n < 0",
    "SELECT t.id FROM t, generate_series(1, 1000000000000) AS s (n) WHERE t.id + n < 0 AND t.id = 7",
    "SELECT count(*) FROM t JOIN (SELECT t.id FROM t, generate_series(1, 1000000000000) AS s (n) WHERE t.id + n < 0) AS u \
     ON t.id = u.id + 1",
];

struct Cluster {
    dataman: Running,
    shards: Vec<String>,
    server: Session,
}

impl Cluster {
    async fn start() -> Self {
        let urls = postgres_shards(2).await.expect("databases for the shards");
        let name = |url: &String| url.rsplit('/').next().unwrap_or_default().to_owned();
        let shards = urls.iter().map(name).collect();
        let databases = [DATABASE.to_owned()];
        let datasources: Vec<(&str, String)> =
            urls.iter().map(|url| ("postgres", url.clone())).collect();
        let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
        let dataman = Running::launch(launch).await.expect("dataman starts");
        let server = Postgres::shared().connect("postgres").await;
        Self { dataman, shards, server: server.expect("the shards' server answers") }
    }

    /// How many statements the shards carry out.
    async fn active(&self) -> i64 {
        let text =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY ($1) AND state = 'active'";
        self.server.query_one(text, &[&self.shards]).await.expect("the server answers").get(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_the_shards_work() {
    let cluster = Cluster::start().await;
    let session = connect(&cluster.dataman).await;
    fill(&session, 20).await;
    session.batch_execute("SET statement_timeout = '300ms'").await.expect("set");
    for sql in ON_SHARDS {
        for protocol in Protocol::ALL {
            let outcome = run(&session, sql, protocol).await;
            assert_eq!(outcome.sqlstate(), Some("57014"), "{sql}: {outcome:?}");
            until("the shards are idle", async || cluster.active().await == 0).await;
        }
    }
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_shards_work() {
    let cluster = Cluster::start().await;
    let session = connect(&cluster.dataman).await;
    fill(&session, 20).await;
    let token = session.cancel_token();
    for sql in ON_SHARDS {
        let cancel = async {
            until("the shards are at work", async || cluster.active().await > 0).await;
            token.cancel_query(tokio_postgres::NoTls).await.expect("taken");
        };
        let (outcome, ()) = tokio::join!(run(&session, sql, Protocol::Simple), cancel);
        assert_eq!(outcome.sqlstate(), Some("57014"), "{sql}: {outcome:?}");
        until("the shards are idle", async || cluster.active().await == 0).await;
    }
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Extended).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_the_shards_work() {
    let cluster = Cluster::start().await;
    fill(&connect(&cluster.dataman).await, 20).await;
    for sql in ON_SHARDS {
        let mut client =
            RawClient::connect(cluster.dataman.port(), DATABASE).await.expect("dataman answers");
        client.send(&frame(b'Q', &[sql.as_bytes(), b"\0"].concat())).await.expect("sent");
        until("the shards are at work", async || cluster.active().await > 0).await;
        drop(client);
        until("the shards are idle", async || cluster.active().await == 0).await;
    }
}

/// One call of the library that takes long by itself ends too, and joins of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_computed_above_ends() {
    let cluster = Cluster::start().await;
    let session = connect(&cluster.dataman).await;
    fill(&session, 1000).await;
    session.batch_execute("SET statement_timeout = '300ms'").await.expect("set");
    let endless = [
        "SELECT regexp_replace(repeat('ab', 20000000), '(a*b*)*c', 'x')",
        "SELECT count(*) FROM generate_series(1, 1000000000000) AS s (n) WHERE repeat('a', 3000) || n ~ '(a|aa)+x$'",
        "SELECT a.id FROM t AS a JOIN t AS b ON a.id % 1 = b.id % 1 WHERE EXISTS (SELECT 1 FROM t AS c JOIN t AS d \
         ON c.id % 1 = d.id % 1 WHERE c.id % 1 = b.id % 1 AND c.id + d.id + a.id < 0)",
        "SELECT a.id FROM t AS a, t AS b WHERE NOT EXISTS (SELECT 1 FROM t AS c WHERE c.id + a.id < b.id - 5000)",
        "WITH RECURSIVE r (n) AS (SELECT id FROM t WHERE id < 9 UNION SELECT (n * 7 + 3) % 1000000007 FROM r) \
         SELECT count(*) FROM r",
    ];
    for sql in endless {
        let outcome = run(&session, sql, Protocol::Simple).await;
        assert_eq!(outcome.sqlstate(), Some("57014"), "{sql}: {outcome:?}");
    }
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
}
