//! dataman-pg against a PostgreSQL server.

use dataman_pg::Context;
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::semantics::oracle::Oracle;
use dataman_sql_tests::semantics::{Effort, aggregate, cast, function, resolution, set, value};

/// The catalog in the repository is what `generate-catalog` would write now.
#[tokio::test]
async fn the_catalog_is_the_servers() {
    let session = Postgres::shared().connect("postgres").await.expect("the server answers");
    let sql = include_str!("../../node-agent/pg/src/catalog/generate.sql");
    let rows = session.query(sql, &[]).await.expect("the catalog can be read");
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let stored = include_str!("../../node-agent/pg/src/catalog/tables.tsv");
    let difference = stored.lines().zip(&lines).find(|(stored, line)| stored != *line);
    assert_eq!(difference, None);
    assert_eq!(stored.lines().count(), lines.len());
}

/// Restricts a run to subjects that contain the text: `DATAMAN_TEST_ONLY=numeric_add`.
fn only() -> Option<String> {
    std::env::var("DATAMAN_TEST_ONLY").ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = function::compare(&oracle, &Context::default(), effort, only().as_deref()).await;
    report.finish("functions", effort.seed);
}

/// What depends on the session's zone, in a zone with summer time.
#[tokio::test]
async fn functions_in_new_york() {
    let zone = "America/New_York";
    let oracle = Oracle::open(Postgres::shared(), zone).await;
    let effort = Effort::from_environment();
    let time_zone = dataman_pg::timezone::TimeZone::parse(zone).expect("the zone exists");
    let context = Context { time_zone, ..Context::default() };
    let report = function::compare(&oracle, &context, effort, Some("timestamp")).await;
    report.finish("functions in New York", effort.seed);
}

#[tokio::test]
async fn casts() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = cast::compare(&oracle, &Context::default(), effort, only().as_deref()).await;
    report.finish("casts", effort.seed);
}

#[tokio::test]
async fn text_forms() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = value::compare_text(&oracle, &Context::default(), effort).await;
    report.finish("text input and output", effort.seed);
}

/// The same in a zone with summer time: what has no zone written is of the session's.
#[tokio::test]
async fn text_forms_in_new_york() {
    let zone = "America/New_York";
    let oracle = Oracle::open(Postgres::shared(), zone).await;
    let effort = Effort::from_environment();
    let time_zone = dataman_pg::timezone::TimeZone::parse(zone).expect("the zone exists");
    let context = Context { time_zone, ..Context::default() };
    let report = value::compare_text(&oracle, &context, effort).await;
    report.finish("text input and output in New York", effort.seed);
}

#[tokio::test]
async fn binary_forms() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = value::compare_binary(&oracle, &Context::default(), effort).await;
    report.finish("binary input and output", effort.seed);
}

#[tokio::test]
async fn orders() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = value::compare_order(&oracle, &Context::default(), effort).await;
    report.finish("orders", effort.seed);
}

#[tokio::test]
async fn operators_are_resolved_alike() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    resolution::compare_operators(&oracle, effort).await.finish("operator resolution", effort.seed);
}

#[tokio::test]
async fn functions_are_resolved_alike() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    resolution::compare_functions(&oracle, effort).await.finish("function resolution", effort.seed);
}

#[tokio::test]
async fn aggregates() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = aggregate::compare(&oracle, &Context::default(), effort, only().as_deref()).await;
    report.finish("aggregates", effort.seed);
}

#[tokio::test]
async fn sets() {
    let oracle = Oracle::open_utc(Postgres::shared()).await;
    let effort = Effort::from_environment();
    let report = set::compare(&oracle, &Context::default(), effort, only().as_deref()).await;
    report.finish("set-returning functions", effort.seed);
}
