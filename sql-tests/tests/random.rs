//! Random statements on four PostgreSQL shards, on four SQLite shards and on two datastores, compared with a plain PostgreSQL.
//!
//! `DATAMAN_TEST_SEED` and `DATAMAN_TEST_STATEMENTS` choose; `DATAMAN_TEST_LONG=1` runs 100,000 statements a topology.

use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::random::{Place, Report, compare};
use dataman_sql_tests::topology::{Running, Topology};

/// Statements for each set of tables.
const RUN_STATEMENTS: usize = 500;

async fn run_topology(topology: Topology) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let long = std::env::var("DATAMAN_TEST_LONG").is_ok_and(|value| value == "1");
    let seed = number("DATAMAN_TEST_SEED").unwrap_or(1);
    let default = if long { 100_000 } else { 1_000 };
    let statements = number("DATAMAN_TEST_STATEMENTS")
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(default);
    let runs = statements.div_ceil(RUN_STATEMENTS);
    let databases: Vec<String> = (0..runs).map(|run| format!("t{run}")).collect();
    let dataman = Running::start(topology, &databases).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let mut total = Report::default();
    for (run, database) in databases.into_iter().enumerate() {
        drop(oracle.create_database(&database).await.expect("the oracle answers"));
        let place = Place {
            dataman: dataman.port(),
            postgres: oracle.port(),
            database,
            second_datastore: topology.second_datastore(),
            trace: false,
        };
        let report = compare(&place, seed + run as u64, RUN_STATEMENTS.min(statements))
            .await
            .expect("the tables are made");
        assert!(
            report.wrong.is_empty(),
            "{}: {} wrong:\n{}\n{}",
            topology.name(),
            report.wrong.len(),
            report.wrong.join("\n"),
            dataman.log()
        );
        total.add(report);
    }
    eprintln!(
        "{}: seeds {seed}..{}, {} statements\n{}{}",
        topology.name(),
        seed + runs as u64,
        total.count(),
        total.summary(),
        total.details(false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pg4() {
    run_topology(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite4() {
    run_topology(Topology::Sqlite4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed() {
    run_topology(Topology::Mixed).await;
}
