//! `.slt` files: each record runs on dataman and on a plain PostgreSQL, and both must agree.
//!
//! The oracle decides what is right; results written in a file are for the reader, and are checked too. `rowsort` compares in
//! any order. `onlyif` and `skipif` know `dataman`, `postgres`, the topologies' names, `pg`, `sqlite`, `my`, `mongo`, `one_shard` and
//! `sharded`: a record that only one side runs is compared with what the file expects (`statement error (0A000)`, or a pattern
//! of the message).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sqllogictest::{
    Condition, Connection, DefaultColumnType, QueryExpect, Record, SortMode, StatementExpect,
};

use crate::client::{Outcome, Protocol, run};
use crate::engine::Session;
use crate::oracle::{Order, difference, for_postgres};
use crate::topology::Topology;

/// What came of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Records run.
    pub records: usize,
    /// Records that did not agree: place, statement and difference.
    pub failures: Vec<String>,
}

/// Where a file's statements go.
pub struct Sides {
    /// dataman's connection string.
    pub dataman: String,
    /// PostgreSQL's.
    pub postgres: String,
    /// The topology behind dataman.
    pub topology: Topology,
    /// How statements are sent.
    pub protocol: Protocol,
}

/// Every `.slt` file below a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    files_of(folder, "slt")
}

/// Every file of an extension below a folder, in order.
pub fn files_of(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == wanted) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Runs one file.
///
/// # Errors
/// The file cannot be read, or a side cannot be reached.
pub async fn run_file(path: &Path, sides: &Sides) -> Result<Report, Box<dyn std::error::Error>> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(path)?;
    let mut report = Report::default();
    let mut sessions: HashMap<String, (Session, Session)> = HashMap::new();
    for record in records {
        let (place, conditions, connection, sql, expected) = match record {
            Record::Statement { loc, conditions, connection, sql, expected, .. } => {
                (loc, conditions, connection, sql, Expected::statement(&expected))
            }
            Record::Query { loc, conditions, connection, sql, expected, .. } => {
                (loc, conditions, connection, sql, Expected::query(&expected))
            }
            Record::Halt { .. } => break,
            _ => continue,
        };
        let protocol = sides.protocol.name();
        let mut labels = sides.topology.labels();
        labels.push(protocol);
        let on_dataman = applies(&conditions, &labels);
        let on_postgres = applies(&conditions, &["postgres", protocol]);
        if !on_dataman && !on_postgres {
            continue;
        }
        let name = match connection {
            Connection::Named(name) => name,
            Connection::Default => String::new(),
        };
        if !sessions.contains_key(&name) {
            let pair =
                (Session::connect(&sides.dataman).await?, Session::connect(&sides.postgres).await?);
            sessions.insert(name.clone(), pair);
        }
        let (dataman, postgres) = &sessions[&name];
        report.records += 1;
        let ours = if on_dataman { Some(run(dataman, &sql, sides.protocol).await) } else { None };
        let theirs = if on_postgres {
            Some(run(postgres, &for_postgres(&sql), sides.protocol).await)
        } else {
            None
        };
        let mut problems = Vec::new();
        if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
            problems.extend(difference(ours, theirs, expected.order));
        }
        for (side, outcome) in [("dataman", &ours), ("PostgreSQL", &theirs)] {
            if let Some(outcome) = outcome {
                problems.extend(
                    expected
                        .problem(&without_node_queries(&sql, outcome), sides.protocol)
                        .map(|problem| format!("{side}: {problem}")),
                );
            }
        }
        if !problems.is_empty() {
            report.failures.push(format!(
                "{place}\n  {}\n  {}",
                sql.replace('\n', "\n  "),
                problems.join("\n  ")
            ));
        }
        if ours.as_ref().and_then(Outcome::sqlstate) == Some("") {
            // The connection broke: what follows on it would only repeat that.
            break;
        }
    }
    Ok(report)
}

/// EXPLAIN names the database in its node queries, and files run in databases of many names: these lines are left out.
fn without_node_queries(sql: &str, outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let (Outcome::Rows(rows), true) =
        (&mut outcome, sql.trim_start().to_ascii_lowercase().starts_with("explain"))
    {
        rows.rows.retain(|row| {
            let text = row.first().and_then(Option::as_deref).unwrap_or_default();
            !String::from_utf8_lossy(text).trim_start().starts_with("Node query:")
        });
    }
    outcome
}

fn applies(conditions: &[Condition], labels: &[&str]) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::OnlyIf { label } => labels.contains(&label.as_str()),
        Condition::SkipIf { label } => !labels.contains(&label.as_str()),
    })
}

/// What a record itself expects.
struct Expected {
    order: Order,
    kind: ExpectedKind,
}

enum ExpectedKind {
    Success,
    Count(u64),
    Results(Vec<String>),
    Error(sqllogictest::ExpectedError),
}

impl Expected {
    fn statement(expected: &StatementExpect) -> Self {
        let kind = match expected {
            StatementExpect::Ok => ExpectedKind::Success,
            StatementExpect::Count(count) => ExpectedKind::Count(*count),
            StatementExpect::Error(error) => ExpectedKind::Error(error.clone()),
        };
        Self { order: Order::AsIs, kind }
    }

    fn query(expected: &QueryExpect<DefaultColumnType>) -> Self {
        match expected {
            QueryExpect::Results { sort_mode, results, .. } => Self {
                order: match sort_mode {
                    Some(SortMode::RowSort | SortMode::ValueSort) => Order::Any,
                    _ => Order::AsIs,
                },
                kind: if results.is_empty() {
                    ExpectedKind::Success
                } else {
                    ExpectedKind::Results(results.clone())
                },
            },
            QueryExpect::Error(error) => {
                Self { order: Order::AsIs, kind: ExpectedKind::Error(error.clone()) }
            }
        }
    }

    fn problem(&self, outcome: &Outcome, protocol: Protocol) -> Option<String> {
        match (&self.kind, outcome) {
            (ExpectedKind::Error(error), Outcome::Failure { sqlstate, message }) => (!error
                .is_match(message, Some(sqlstate)))
            .then(|| format!("failed with {sqlstate}: {message}, expected {error}")),
            (ExpectedKind::Error(error), Outcome::Rows(_)) => {
                Some(format!("succeeded, expected an error: {error}"))
            }
            (_, Outcome::Failure { sqlstate, message }) => {
                Some(format!("failed with {sqlstate}: {message}"))
            }
            (ExpectedKind::Success, Outcome::Rows(_)) => None,
            (ExpectedKind::Count(count), Outcome::Rows(rows)) => (rows.affected != *count)
                .then(|| format!("changed {} rows, expected {count}", rows.affected)),
            (ExpectedKind::Results(expected), Outcome::Rows(rows)) => {
                if protocol == Protocol::Extended {
                    return None;
                }
                let mut lines: Vec<String> = rows
                    .rows
                    .iter()
                    .map(|row| {
                        row.iter()
                            .map(|value| match value {
                                None => "NULL".to_owned(),
                                Some(bytes) if bytes.is_empty() => "(empty)".to_owned(),
                                Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                            })
                            .collect::<Vec<_>>()
                            .join(" ")
                    })
                    .collect();
                let mut expected = expected.clone();
                if self.order == Order::Any {
                    lines.sort();
                    expected.sort();
                }
                (lines != expected).then(|| format!("gave {lines:?}, the file says {expected:?}"))
            }
        }
    }
}
