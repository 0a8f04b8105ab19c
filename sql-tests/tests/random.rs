//! Random statements on `pg4` and `sqlite4`, compared with a plain PostgreSQL.
//!
//! `DATAMAN_TEST_SEED` and `DATAMAN_TEST_STATEMENTS` choose; `DATAMAN_TEST_LONG=1` runs 100,000 statements a topology.

use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::random::compare;
use dataman_sql_tests::topology::{Running, Topology};

/// Statements for each set of tables: with more, the tables grow and joins take most of the time.
const RUN_STATEMENTS: usize = 1_000;

async fn run_topology(topology: Topology) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let long = std::env::var("DATAMAN_TEST_LONG").is_ok_and(|value| value == "1");
    let seed = number("DATAMAN_TEST_SEED").unwrap_or(1);
    let default = if long { 100_000 } else { 2_000 };
    let statements = number("DATAMAN_TEST_STATEMENTS")
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(default);
    let runs = statements.div_ceil(RUN_STATEMENTS);
    let databases: Vec<String> = (0..runs).map(|run| format!("t{run}")).collect();
    let dataman = Running::start(topology, &databases).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let (mut total, mut refused) =
        (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    let mut alike = 0;
    for (run, database) in databases.iter().enumerate() {
        let ours = Session::connect(&dataman.dsn_of(database)).await.expect("dataman answers");
        let theirs = oracle.create_database(database).await.expect("the oracle answers");
        let seed = seed + run as u64;
        let report = compare(&ours, &theirs, seed, RUN_STATEMENTS.min(statements))
            .await
            .expect("the tables are made");
        for (kind, count) in report.statements {
            *total.entry(kind).or_insert(0) += count;
        }
        for (kind, count) in report.refused {
            *refused.entry(kind).or_insert(0) += count;
        }
        alike += report.failed_alike;
        assert!(
            report.wrong.is_empty(),
            "{}: {} wrong with seed {seed}:\n{}\n{}",
            topology.name(),
            report.wrong.len(),
            report.wrong.join("\n"),
            dataman.log()
        );
    }
    eprintln!(
        "{}: seeds {seed}..{}, {} statements, {alike} failed alike",
        topology.name(),
        seed + runs as u64,
        statements
    );
    for (kind, count) in total {
        let refused = refused.get(kind).copied().unwrap_or(0);
        eprintln!("  {kind}: {count}, refused {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg4() {
    run_topology(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite4() {
    run_topology(Topology::Sqlite4).await;
}
