//! Clusters to break.

use std::time::Duration;

use dataman_sql_tests::engine::Session;
use dataman_sql_tests::failing::FailingPostgres;
use dataman_sql_tests::raw::RawClient;
use dataman_sql_tests::topology::{Launch, Running, cluster_file, postgres_shards};

/// How long something may take to happen before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Which shard of four is on the server that fails.
pub(crate) const FAILING_SHARD: usize = 1;

/// The name of the database in these tests.
pub(crate) const DATABASE: &str = "faults";

/// Four PostgreSQL shards, of which one is on a server of its own.
pub(crate) struct Cluster {
    pub(crate) dataman: Running,
    pub(crate) server: FailingPostgres,
    /// The databases of the shards on the shared server.
    pub(crate) others: Vec<String>,
}

impl Cluster {
    /// Starts dataman over `server`, running or not, and three shards that stay.
    pub(crate) async fn start(server: FailingPostgres) -> Self {
        let others = postgres_shards(3).await.expect("databases for the shards");
        let mut urls: Vec<(&str, String)> =
            others.iter().map(|url| ("postgres", url.clone())).collect();
        urls.insert(FAILING_SHARD, ("postgres", server.url()));
        let databases = [DATABASE.to_owned()];
        let launch = Launch::up(cluster_file(&urls, &databases), &databases);
        let dataman = Running::launch(launch).await.expect("dataman starts");
        let others = others
            .into_iter()
            .filter_map(|url| url.rsplit_once('/').map(|(_, name)| name.to_owned()))
            .collect();
        Self { dataman, server, others }
    }

    /// A session of a driver.
    pub(crate) async fn session(&self) -> Session {
        connect(&self.dataman).await
    }

    /// A session that reads message by message.
    pub(crate) async fn raw(&self) -> RawClient {
        RawClient::connect(self.dataman.port(), DATABASE).await.expect("dataman answers")
    }
}

/// A session of a driver.
pub(crate) async fn connect(dataman: &Running) -> Session {
    Session::connect(&dataman.dsn_of(DATABASE)).await.expect("dataman answers")
}

/// Makes `t` with so many rows, each with a text of a thousand letters.
pub(crate) async fn fill(session: &Session, rows: usize) {
    session
        .batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, pad text) WITH (shard_key = 'id')")
        .await
        .expect("a table");
    let pad = "x".repeat(1000);
    let all: Vec<usize> = (0..rows).collect();
    for some in all.chunks(1000) {
        let values: Vec<String> = some.iter().map(|id| format!("({id}, '{pad}')")).collect();
        let insert = format!("INSERT INTO t VALUES {}", values.join(", "));
        session.batch_execute(&insert).await.expect("rows");
    }
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ask().await {
        assert!(tokio::time::Instant::now() < deadline, "did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An id of `t` that a PostgreSQL server holds as the shard `shard`.
pub(crate) async fn id_on(server: &Session, shard: usize) -> i64 {
    let text = format!("SELECT min(id) FROM dbshard_{DATABASE}_{shard}.t");
    server.query_one(&text, &[]).await.expect("the shard's table").get(0)
}
