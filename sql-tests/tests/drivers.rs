//! Every driver keeps the promises of its contract, in this process and behind an agent.

use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::topology::Engine;
use dataman_node_agent::config::AgentConfig;
use dataman_node_agent::driver::conformance;
use dataman_node_agent::serve::Agent;
use dataman_node_agent::serve::listen::listen;
use dataman_node_agent::{Datasource, Limits};
use dataman_node_protocol::node::Node;
use dataman_node_protocol::pool::PoolLimits;
use dataman_sql_tests::engine::{Mariadb, Mongodb, Postgres, Session};
use dataman_sql_tests::pushdown::Pair;
use dataman_sql_tests::semantics::Effort;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn postgres() {
    conformance::run(open_postgres().await, "pg").await;
}

/// A database that sorts by a language's rules is no different.
#[tokio::test]
async fn postgres_of_another_collation() {
    let server = Postgres::shared().connect("postgres").await.unwrap();
    let create = "CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'";
    server.batch_execute(create).await.unwrap();
    let url = Postgres::shared().url_of("english");
    let node = dataman_node_agent::open(Engine::Postgres, &url, Limits::default()).await.unwrap();
    conformance::run(node, "pg").await;
}

#[tokio::test]
async fn postgres_behind_an_agent() {
    let agent = RunningAgent::start("main", open_postgres().await).await;
    conformance::run(agent.remote(Engine::Postgres), "agent").await;
}

#[tokio::test]
async fn sqlite_behind_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let node = dataman_node_agent::open(Engine::Sqlite, url, Limits::default()).await.unwrap();
    let agent = RunningAgent::start("main", node).await;
    conformance::run(agent.remote(Engine::Sqlite), "agent").await;
}

#[tokio::test]
async fn postgres_connections_are_bounded() {
    let url = Postgres::shared().url_of("postgres");
    let limits = Limits { connections_max: 3, wait: Duration::from_millis(50) };
    let node = dataman_node_agent::open(Engine::Postgres, &url, limits).await.unwrap();
    conformance::pool_is_bounded(node, 3).await;
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let node = dataman_node_agent::open(Engine::Sqlite, url, Limits::default()).await.unwrap();
    conformance::run(node, "lite").await;
}

#[tokio::test]
async fn sqlite_connections_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let limits = Limits { connections_max: 3, wait: Duration::from_millis(50) };
    let node = dataman_node_agent::open(Engine::Sqlite, url, limits).await.unwrap();
    conformance::pool_is_bounded(node, 3).await;
}

#[tokio::test]
async fn mysql() {
    let url = Mariadb::shared().url();
    let node = dataman_node_agent::open(Engine::Mysql, &url, Limits::default()).await.unwrap();
    conformance::run(node, "my").await;
}

#[tokio::test]
async fn mysql_behind_an_agent() {
    let url = Mariadb::shared().url();
    let node = dataman_node_agent::open(Engine::Mysql, &url, Limits::default()).await.unwrap();
    let agent = RunningAgent::start("main", node).await;
    conformance::run(agent.remote(Engine::Mysql), "myagent").await;
}

#[tokio::test]
async fn mysql_connections_are_bounded() {
    let url = Mariadb::shared().url();
    let limits = Limits { connections_max: 3, wait: Duration::from_millis(50) };
    let node = dataman_node_agent::open(Engine::Mysql, &url, limits).await.unwrap();
    conformance::pool_is_bounded(node, 3).await;
}

#[tokio::test]
async fn mongodb() {
    // One of its own: the stand-in fails when two clients fill it.
    let server = Mongodb::start().expect("the server starts");
    let url = server.url();
    let node = dataman_node_agent::open(Engine::Mongodb, &url, Limits::default()).await.unwrap();
    conformance::run(node, "mongo").await;
}

#[tokio::test]
async fn mongodb_behind_an_agent() {
    let server = Mongodb::start().expect("the server starts");
    let url = server.url();
    let node = dataman_node_agent::open(Engine::Mongodb, &url, Limits::default()).await.unwrap();
    let agent = RunningAgent::start("main", node).await;
    conformance::run(agent.remote(Engine::Mongodb), "mongoagent").await;
}

#[tokio::test]
async fn mongodb_connections_are_bounded() {
    let url = Mongodb::shared().url();
    let limits = Limits { connections_max: 3, wait: Duration::from_millis(50) };
    let node = dataman_node_agent::open(Engine::Mongodb, &url, limits).await.unwrap();
    conformance::pool_is_bounded(node, 3).await;
}

/// What a person types into psql at an agent.
#[tokio::test]
async fn short_form() {
    let server = Postgres::shared().create_database("short_form").await.unwrap();
    server
        .batch_execute(
            "CREATE SCHEMA dbshard_shop_0; CREATE SCHEMA dbshard_shop_1;
             CREATE TABLE dbshard_shop_0.t (id int PRIMARY KEY, name text COLLATE \"C\", price numeric(8,2));
             CREATE TABLE dbshard_shop_0.both (id int PRIMARY KEY);
             CREATE TABLE dbshard_shop_1.both (id int PRIMARY KEY);",
        )
        .await
        .unwrap();
    let url = Postgres::shared().url_of("short_form");
    let node = dataman_node_agent::open(Engine::Postgres, &url, Limits::default()).await.unwrap();
    let agent = RunningAgent::start("main", node).await;
    let client = agent.client("shop").await;
    let check = async |text: &str, expected: &str| {
        let found = match client.simple_query(text).await {
            Err(error) => match error.as_db_error() {
                Some(error) => format!(
                    "{} {} {}",
                    error.code().code(),
                    error.message(),
                    error.hint().unwrap_or_default()
                ),
                None => error.to_string(),
            },
            Ok(messages) => {
                let mut lines = Vec::new();
                for message in messages {
                    match message {
                        tokio_postgres::SimpleQueryMessage::Row(row) => lines.push(
                            (0..row.len())
                                .map(|place| row.get(place).unwrap_or("NULL"))
                                .collect::<Vec<_>>()
                                .join("|"),
                        ),
                        tokio_postgres::SimpleQueryMessage::CommandComplete(count) => {
                            lines.push(format!("({count})"));
                        }
                        _ => {}
                    }
                }
                lines.join(" ")
            }
        };
        assert_eq!(found.trim_end(), expected, "{text}");
    };
    check(r#"{"insert_many": {"collection": "t", "records": [{"id": 1, "name": "a", "price": 1.5}, {"id": 2, "name": "B"}, {"id": 3, "price": "7"}]}}"#, "(3)").await;
    check(r#"{"filter": {"collection": "t", "filter": [[{"id": ["=", 1]}]]}};"#, "1|a|1.50 (1)")
        .await;
    check(r#"{"filter": {"collection": "t", "fields": ["name"], "sort": ["id"], "sort_reverse": [true], "limit": 2}}"#, "NULL B (2)").await;
    check(r#"{"filter": {"collection": "t", "fields": ["id"], "filter": [{"id": ["in", [1, 3]]}, "AND", {"name": ["is null", null]}]}}"#, "3 (1)").await;
    check(r#"{"filter": {"collection": "t", "fields": ["id"], "filter": [[{"id": ["<", 2]}, "OR", {"price": [">=", 7]}], "AND", {"id": ["!=", 9]}], "sort": ["id"]}}"#, "1 3 (2)").await;
    check(
        r#"{"filter": {"collection": "t", "fields": ["id"], "filter": {"name": ["like", "a%"]}}}"#,
        "1 (1)",
    )
    .await;
    check(r#"{"set": {"collection": "t", "record": {"id": 2, "price": 2}}}"#, "(1)").await;
    check(r#"{"get": {"collection": "t", "pkey": {"id": 2}}}"#, "2|B|2.00 (1)").await;
    check(
        r#"{"update": {"collection": "t", "record": {"price": 3}, "filter": {"id": ["=", 2]}}}"#,
        "(1)",
    )
    .await;
    check(r#"{"aggregate": {"collection": "t", "aggregation_fields": {"price": ["sum", "max"], "*": ["count"]}}}"#, "11.50|7.00|3 (1)").await;
    check(r#"{"delete": {"collection": "t", "filter": {"id": [">", 1]}}}"#, "(2)").await;
    check(r#"{"sql": {"text": "SELECT 1 + 1"}}"#, "2 (1)").await;
    check(r#"{"filter": {"collection": "both"}}"#, r#"42P09 collection "both" is in several shard instances here Name one as "shard_instance": dbshard_shop_0, dbshard_shop_1."#).await;
    check(r#"{"filter": {"collection": "both", "shard_instance": "dbshard_shop_1"}}"#, "(0)").await;
    check(
        r#"{"filter": {"collection": "none"}}"#,
        r#"42P01 there is no collection "none" of database "shop" on this node"#,
    )
    .await;
    check(
        r#"{"filter": {"collection": "t", "filter": {"id": ["=", "x"]}}}"#,
        r#"22P02 invalid input syntax for type integer: "x""#,
    )
    .await;
    check("SELECT 1", r#"42601 a node agent takes dataman queries, not SQL A query looks like {"filter": {"collection": "t", "filter": {"a": ["=", 1]}}}; send SQL to a proxy."#).await;
    check("SHOW TimeZone", "UTC (0)").await;

    // A transaction, and parameters by the extended protocol with types found out.
    check("BEGIN", "(0)").await;
    check(r#"{"insert": {"collection": "t", "record": {"id": 5}}}"#, "(1)").await;
    check("SAVEPOINT a", "(0)").await;
    check(
        r#"{"insert": {"collection": "t", "record": {"id": 5}}}"#,
        r#"23505 duplicate key value violates unique constraint "t_pkey""#,
    )
    .await;
    check(
        r#"{"get": {"collection": "t", "pkey": {"id": 5}}}"#,
        "25P02 current transaction is aborted, commands ignored until end of transaction block",
    )
    .await;
    check("ROLLBACK TO a", "(0)").await;
    check(r#"{"get": {"collection": "t", "fields": ["id"], "pkey": {"id": 5}}}"#, "5 (1)").await;
    check("ROLLBACK", "(0)").await;
    check(r#"{"get": {"collection": "t", "pkey": {"id": 5}}}"#, "(0)").await;
    let text = r#"{"filter": {"collection": "t", "filter": {"id": ["=", {"param": 1}]}}}"#;
    let rows = client.query(text, &[&1_i32]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, String>(1)).collect::<Vec<_>>(), ["a"]);
}

/// Portals, COPY and cancel through an agent, by a client that is not ours.
#[tokio::test]
async fn an_agent_speaks_the_protocol() {
    use futures_util::{SinkExt, StreamExt};
    let agent = RunningAgent::start("main", open_postgres().await).await;
    let (host, port) = agent.address.split_once(':').unwrap();
    let dsn = format!("host={host} port={port} user=someone dbname=main");
    let (mut client, connection) =
        tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let sql = |text: &str| format!(r#"{{"sql": {{"text": "{text}", "writes": true}}}}"#);

    client.batch_execute(&sql("CREATE TABLE copied (a int, b text)")).await.unwrap();
    let sink = client.copy_in(&sql("COPY copied FROM STDIN")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(bytes::Bytes::from_static(b"1\tx\n2\t")).await.unwrap();
    sink.send(bytes::Bytes::from_static(b"y\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 2);
    let sink = client.copy_in(&sql("COPY copied FROM STDIN")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(bytes::Bytes::from_static(b"not a number\tx\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22P02");
    let rows = client.copy_out(&sql("COPY copied TO STDOUT")).await.unwrap();
    let rows: Vec<bytes::Bytes> = rows.map(Result::unwrap).collect().await;
    assert_eq!(rows.concat(), b"1\tx\n2\ty\n");

    // A portal read in steps.
    let transaction = client.transaction().await.unwrap();
    let text = sql("SELECT generate_series(1, 5)");
    let statement = transaction.prepare(&text).await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    let mut read = Vec::new();
    for expected in [2, 2, 1, 0] {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        assert_eq!(rows.len(), expected);
        read.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(read, [1, 2, 3, 4, 5]);
    transaction.commit().await.unwrap();

    // A cancel stops the database too.
    let token = client.cancel_token();
    let text = sql("SELECT pg_sleep(600)");
    let slow = client.simple_query(&text);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (slow, ()) = tokio::join!(slow, cancel);
    assert_eq!(slow.unwrap_err().code().unwrap().code(), "57014");
    client.simple_query("SET dataman.time_left_ms TO 100").await.unwrap();
    let error = client.simple_query(&text).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.message(), "canceling statement due to statement timeout");
    client.simple_query("RESET dataman.time_left_ms").await.unwrap();
    client.batch_execute(&sql("DROP TABLE copied")).await.unwrap();
}

/// A server that goes away in the middle is told as a failure, never as an end, and the pool recovers.
#[tokio::test]
async fn a_server_that_goes_is_no_end() {
    use dataman_node_protocol::NodeErrorKind;
    use dataman_node_protocol::node::{NodeStatement, TransactionOptions};
    use dataman_node_protocol::query::{NodeQuery, SqlText};
    let server = Postgres::shared().create_database("gone").await.unwrap();
    let url = Postgres::shared().url_of("gone");
    let node = dataman_node_agent::open(Engine::Postgres, &url, Limits::default()).await.unwrap();
    let sql = |text: &str, writes: bool| {
        let (text, params) = (text.to_owned(), Vec::new());
        Arc::new(NodeStatement::new(NodeQuery::Sql(SqlText { text, params, writes }), Vec::new()))
    };
    let (context, cancel) = (Default::default(), CancellationToken::new());
    let (parameters, formats) = (Default::default(), Default::default());
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gone' AND pid <> pg_backend_pid()";

    let connection = node.connect().await.unwrap();
    let endless = sql("SELECT generate_series(1, 1000000000)", false);
    let mut stream = connection.execute(&context, &endless, &parameters, &formats, &cancel).await;
    assert!(stream.next().await.unwrap().is_some());
    server.batch_execute(terminate).await.unwrap();
    let error = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a broken answer passed for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, error.sqlstate.as_str()), (NodeErrorKind::Lost, "57P01"));
    assert!(stream.into_connection().is_none());

    // An idle connection that the server closed is not handed out.
    node.check_health().await.unwrap();
    server.batch_execute(terminate).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    node.check_health().await.unwrap();

    // A commit that nobody answers is told as such.
    let mut connection = node.connect().await.unwrap();
    connection.begin(&context, TransactionOptions::default()).await.unwrap();
    let table = sql("CREATE TABLE t (a int)", true);
    let mut stream = connection.execute(&context, &table, &parameters, &formats, &cancel).await;
    assert!(stream.next().await.unwrap().is_none());
    let mut connection = stream.into_connection().unwrap();
    server.batch_execute(terminate).await.unwrap();
    let error = connection.commit().await.unwrap_err();
    assert_eq!((error.kind, error.work_started), (NodeErrorKind::Lost, true));
    assert_eq!(error.sqlstate, "08007");
}

/// A result whose columns changed under a prepared statement is refused once, as PostgreSQL does, so that whoever has
/// described it to a client hears of it; after that the statement is prepared anew.
#[tokio::test]
async fn a_changed_result_is_told() {
    use dataman_node_protocol::node::NodeStatement;
    use dataman_node_protocol::query::{NodeQuery, SqlText};
    let server = Postgres::shared().create_database("replanned").await.unwrap();
    server.batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await.unwrap();
    let url = Postgres::shared().url_of("replanned");
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let node = dataman_node_agent::open(Engine::Postgres, &url, limits).await.unwrap();
    let text = SqlText { text: "SELECT * FROM t".to_owned(), params: Vec::new(), writes: false };
    let statement = Arc::new(NodeStatement::new(NodeQuery::Sql(text), Vec::new()));
    let ask = async || {
        let connection = node.connect().await.unwrap();
        let (context, cancel) = (Default::default(), CancellationToken::new());
        let (parameters, formats) = (Default::default(), Default::default());
        let mut stream =
            connection.execute(&context, &statement, &parameters, &formats, &cancel).await;
        let mut rows = 0;
        while let Some(batch) = stream.next().await? {
            rows += batch.rows;
        }
        Ok::<_, dataman_node_protocol::NodeError>(rows)
    };
    for _ in 0..3 {
        assert_eq!(ask().await, Ok(1));
    }
    server.batch_execute("ALTER TABLE t ADD COLUMN b int").await.unwrap();
    assert_eq!(ask().await.map_err(|error| error.sqlstate), Err("0A000".to_owned()));
    for _ in 0..3 {
        assert_eq!(ask().await, Ok(1));
    }
}

/// A client that goes away takes its statement with it.
#[tokio::test]
async fn a_client_that_leaves_cancels() {
    let agent = RunningAgent::start("main", open_postgres().await).await;
    let client = agent.client("main").await;
    let text = r#"{"sql": {"text": "SELECT pg_sleep(601)"}}"#;
    let left = tokio::time::timeout(Duration::from_millis(300), client.simple_query(text)).await;
    assert!(left.is_err(), "it sleeps");
    drop(client);
    let server = Postgres::shared().connect("postgres").await.unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(601)%' AND pid <> pg_backend_pid()";
    for _ in 0..100 {
        if server.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the statement still runs");
}

async fn open_postgres() -> Arc<dyn Datasource> {
    let url = Postgres::shared().url_of("postgres");
    dataman_node_agent::open(Engine::Postgres, &url, Limits::default())
        .await
        .expect("the test's own set-up works")
}

/// An agent in front of one datasource; it ends with the value.
struct RunningAgent {
    address: String,
    _tasks: JoinSet<()>,
}

impl RunningAgent {
    async fn start(name: &str, node: Arc<dyn Datasource>) -> Self {
        let agent = Agent::new([(name.to_owned(), node)].into_iter().collect(), None);
        let config = AgentConfig::new("127.0.0.1:0".parse().expect("the test's own set-up works"));
        let listening = listen(config, agent).await.expect("the test's own set-up works");
        let address = listening.address().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            listening.run(CancellationToken::new()).await.expect("the agent serves");
        });
        Self { address, _tasks: tasks }
    }

    fn remote(&self, engine: Engine) -> Arc<dyn Node> {
        let limits = PoolLimits::default();
        dataman_node_agent::open_remote(engine, &self.address, "main", limits, &Default::default())
            .expect("the test's own set-up works")
    }

    async fn client(&self, database: &str) -> Session {
        let (host, port) = self.address.split_once(':').expect("the test's own set-up works");
        let dsn = format!("host={host} port={port} user=someone dbname={database}");
        Session::connect(&dsn).await.expect("the test's own set-up works")
    }
}

/// What SQLite claims to carry out exactly it answers as PostgreSQL does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_claims_only_what_is_exact() {
    let effort = Effort::from_environment();
    let only = std::env::var("DATAMAN_TEST_ONLY").ok();
    let url = Postgres::shared().url_of("postgres");
    let theirs = dataman_node_agent::open(Engine::Postgres, &url, Limits::default())
        .await
        .expect("the test's own set-up works");
    let folder = tempfile::tempdir().expect("the test's own set-up works");
    let url = folder.path().to_str().expect("the test's own set-up works");
    let ours = dataman_node_agent::open(Engine::Sqlite, url, Limits::default())
        .await
        .expect("the test's own set-up works");
    let mut pair = Pair::open(theirs, ours, effort).await;
    pair.compare_types().await;
    pair.compare_functions(effort, only.as_deref()).await;
    pair.compare_aggregates(only.as_deref()).await;
    pair.report.finish("what SQLite claims", effort.seed);
}

/// The same of MySQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_claims_only_what_is_exact() {
    let effort = Effort::from_environment();
    let only = std::env::var("DATAMAN_TEST_ONLY").ok();
    let url = Postgres::shared().url_of("postgres");
    let theirs = dataman_node_agent::open(Engine::Postgres, &url, Limits::default())
        .await
        .expect("the test's own set-up works");
    let ours = dataman_node_agent::open(Engine::Mysql, &Mariadb::shared().url(), Limits::default())
        .await
        .expect("the test's own set-up works");
    let mut pair = Pair::open(theirs, ours, effort).await;
    pair.compare_types().await;
    pair.compare_functions(effort, only.as_deref()).await;
    pair.compare_aggregates(only.as_deref()).await;
    pair.report.finish("what MySQL claims", effort.seed);
}

/// The same of MongoDB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_claims_only_what_is_exact() {
    let effort = Effort::from_environment();
    let only = std::env::var("DATAMAN_TEST_ONLY").ok();
    let url = Postgres::shared().url_of("postgres");
    let theirs = dataman_node_agent::open(Engine::Postgres, &url, Limits::default())
        .await
        .expect("the test's own set-up works");
    let url = Mongodb::shared().url();
    let ours = dataman_node_agent::open(Engine::Mongodb, &url, Limits::default())
        .await
        .expect("the test's own set-up works");
    let mut pair = Pair::open(theirs, ours, effort).await;
    pair.compare_types().await;
    pair.compare_functions(effort, only.as_deref()).await;
    pair.compare_aggregates(only.as_deref()).await;
    pair.report.finish("what MongoDB claims", effort.seed);
}
