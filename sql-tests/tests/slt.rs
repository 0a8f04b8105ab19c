//! Every `.slt` file on every topology, by both protocols, against a plain PostgreSQL.
//!
//! `DATAMAN_TEST_TOPOLOGY` and `DATAMAN_TEST_FILES` (a part of the path) choose some of them. The samples of SQLite's corpus in
//! `corpus/` run on four shards; `./sql-tests/corpus-run` runs whole folders of its files.

use std::path::Path;

use dataman_sql_tests::client::Protocol;
use dataman_sql_tests::corpus;
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::slt::{Sides, files, run_file};
use dataman_sql_tests::topology::{Running, Topology};

/// Files that are about something that an engine refuses: the label of its topologies, a part of the path, and why.
const REFUSED: &[(&str, &str, &str)] = &[(
    "mongo",
    "write/unique",
    "unique keys over shards: MongoDB has no lock on a key that waits",
)];

async fn run_topology(topology: Topology) {
    if std::env::var("DATAMAN_TEST_TOPOLOGY").is_ok_and(|chosen| chosen != topology.name()) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let chosen = std::env::var("DATAMAN_TEST_FILES").unwrap_or_default();
    let files: Vec<_> = files(&folder)
        .into_iter()
        .filter(|file| file.to_string_lossy().contains(&chosen))
        .filter(|file| {
            let is_refused = |(label, part, _): &&(&str, &str, &str)| {
                topology.labels().contains(label) && file.to_string_lossy().contains(part)
            };
            match REFUSED.iter().find(is_refused) {
                Some((_, part, reason)) => {
                    eprintln!("{}: {part} is left out ({reason})", topology.name());
                    false
                }
                None => true,
            }
        })
        .collect();
    let mut runs = Vec::new();
    for file in &files {
        for protocol in Protocol::ALL {
            runs.push((file.clone(), protocol, format!("t{}", runs.len())));
        }
    }
    let databases: Vec<String> = runs.iter().map(|(_, _, database)| database.clone()).collect();
    let dataman = Running::start(topology, &databases).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let mut failures = Vec::new();
    let mut records = 0;
    for (file, protocol, database) in runs {
        oracle.create_database(&database).await.expect("a database for the oracle");
        let sides = Sides {
            dataman: dataman.dsn_of(&database),
            postgres: oracle.dsn_of(&database),
            topology,
            protocol,
        };
        let report = run_file(&file, &sides).await.expect("the file runs");
        records += report.records;
        failures.extend(
            report
                .failures
                .into_iter()
                .map(|failure| format!("[{} {}] {failure}", topology.name(), protocol.name())),
        );
    }
    eprintln!(
        "{}: {records} records of {} files, {} failures",
        topology.name(),
        files.len(),
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{} failures:\n{}\n{}",
        failures.len(),
        failures.join("\n"),
        dataman.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pg1() {
    run_topology(Topology::Pg1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg4() {
    run_topology(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite1() {
    run_topology(Topology::Sqlite1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite4() {
    run_topology(Topology::Sqlite4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn my1() {
    run_topology(Topology::My1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn my4() {
    run_topology(Topology::My4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the stand-in for MongoDB is slow, and mongo4 does the same and more: run by name"]
async fn mongo1() {
    run_topology(Topology::Mongo1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mongo4() {
    run_topology(Topology::Mongo4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed4() {
    run_topology(Topology::Mixed4).await;
}

async fn run_corpus(topology: Topology) {
    if std::env::var("DATAMAN_TEST_TOPOLOGY").is_ok_and(|chosen| chosen != topology.name()) {
        return;
    }
    let chosen = std::env::var("DATAMAN_TEST_FILES").unwrap_or_default();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files = dataman_sql_tests::slt::files_of(&sample, "test");
    files.retain(|file| file.to_string_lossy().contains(&chosen));
    let mut runs = Vec::new();
    for file in &files {
        for protocol in Protocol::ALL {
            runs.push((file.clone(), protocol, format!("c{}", runs.len())));
        }
    }
    let databases: Vec<String> = runs.iter().map(|(_, _, database)| database.clone()).collect();
    let dataman = Running::start(topology, &databases).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let (mut records, mut refused, mut failures) = (0, 0, Vec::new());
    for (file, protocol, database) in runs {
        oracle.create_database(&database).await.expect("a database for the oracle");
        let sides = Sides {
            dataman: dataman.dsn_of(&database),
            postgres: oracle.dsn_of(&database),
            topology,
            protocol,
        };
        let report = corpus::run_file(&file, &sides, usize::MAX).await.expect("the file runs");
        records += report.records;
        refused += report.refusals();
        failures.extend(
            report.failures.into_iter().map(|failure| format!("[{}] {failure}", protocol.name())),
        );
    }
    eprintln!(
        "{} corpus: {records} records of {} files, {refused} refused definitions, {} failures",
        topology.name(),
        files.len(),
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{} failures:\n{}\n{}",
        failures.len(),
        failures.join("\n"),
        dataman.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_pg4() {
    run_corpus(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_sqlite4() {
    run_corpus(Topology::Sqlite4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_my4() {
    run_corpus(Topology::My4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the stand-in for MongoDB is slow: run by name"]
async fn corpus_mongo4() {
    run_corpus(Topology::Mongo4).await;
}
