//! Every driver keeps the promises of its contract.

use std::time::Duration;

use dataman_metadata::topology::Engine;
use dataman_node_agent::Limits;
use dataman_node_agent::driver::conformance;
use dataman_sql_tests::engine::Postgres;

#[tokio::test]
async fn postgres() {
    let url = Postgres::shared().url_of("postgres");
    let node = dataman_node_agent::open(Engine::Postgres, &url, Limits::default()).await.unwrap();
    conformance::run(node, "pg").await;
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
