//! README's tour, word for word, on every topology, compared with a plain PostgreSQL; and after `kill -9` all is still there.

mod adopt;
mod documents;

use std::path::Path;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::oracle::{Order, difference, for_postgres};
use dataman_sql_tests::topology::{Running, Topology};

/// The statements of the blocks that are marked as parts of the tour.
fn statements() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("README.md is there");
    let mut found = Vec::new();
    for block in text.split("```sql tour\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        found.extend(
            block.split(";\n").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned),
        );
    }
    assert!(found.len() > 10, "the tour has statements");
    found
}

async fn tour(topology: Topology) {
    let mut dataman = Running::start(topology, &["tour".to_owned()]).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let ours = Session::connect(&dataman.dsn_of("tour")).await.expect("dataman answers");
    let theirs = oracle.create_database("tour").await.expect("the oracle answers");
    for statement in statements() {
        let outcome = run(&ours, &statement, Protocol::Simple).await;
        if statement.starts_with("EXPLAIN") {
            assert!(matches!(outcome, Outcome::Rows(_)), "{statement}: {outcome:?}");
            continue;
        }
        let expected = run(&theirs, &for_postgres(&statement), Protocol::Simple).await;
        let order = if statement.contains("ORDER BY") { Order::AsIs } else { Order::Any };
        assert_eq!(difference(&outcome, &expected, order), None, "{statement}");
    }
    drop(ours);
    dataman.kill_and_restart("tour").await.expect("dataman starts again");
    let ours = Session::connect(&dataman.dsn_of("tour")).await.expect("dataman answers");
    for table in ["customers", "orders", "countries", "notes"] {
        let statement = format!("SELECT * FROM {table}");
        let outcome = run(&ours, &statement, Protocol::Extended).await;
        let expected = run(&theirs, &statement, Protocol::Extended).await;
        assert_eq!(difference(&outcome, &expected, Order::Any), None, "{statement} after kill -9");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg1() {
    tour(Topology::Pg1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg4() {
    tour(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite1() {
    tour(Topology::Sqlite1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite4() {
    tour(Topology::Sqlite4).await;
}
