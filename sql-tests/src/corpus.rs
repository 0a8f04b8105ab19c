//! SQLite's public sqllogictest corpus: its statements run on dataman and on a plain PostgreSQL, which decides what is right.
//!
//! The corpus's own results are SQLite's and are not looked at; `skipif` and `onlyif` are taken for the engine `postgresql`. A
//! table with a primary key is sharded by it. A record counts when PostgreSQL takes it as the file expects (SQLite's own syntax
//! does not count), and then dataman has to give the same. A definition that dataman refuses is run on neither side, so that what
//! follows can be compared; it is a record that counts and is not right.

use std::collections::BTreeMap;
use std::path::Path;

use crate::client::{Outcome, run};
use crate::engine::Session;
use crate::oracle::{Order, difference, for_postgres};
use crate::slt::Sides;

/// What came of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements and queries run.
    pub records: usize,
    /// Those of them that PostgreSQL takes as the file expects.
    pub counted: usize,
    /// Definitions that dataman refuses, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Those that did not agree: line, statement and difference.
    pub failures: Vec<String>,
}

impl Report {
    /// How many definitions were refused.
    pub fn refusals(&self) -> usize {
        self.refused.values().sum()
    }
}

/// One statement or query.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    line: usize,
    sql: String,
    is_query: bool,
    sorted: bool,
    /// The file expects an error.
    fails: bool,
}

/// Runs a file; `records_max` cuts it short.
///
/// # Errors
/// The file cannot be read, or a side cannot be reached.
pub async fn run_file(
    path: &Path,
    sides: &Sides,
    records_max: usize,
) -> Result<Report, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    let dataman = Session::connect(&sides.dataman).await?;
    let postgres = Session::connect(&sides.postgres).await?;
    let mut report = Report::default();
    for record in records(&text).into_iter().take(records_max) {
        report.records += 1;
        let sql = with_shard_key(&record.sql);
        let ours = run(&dataman, &sql, sides.protocol).await;
        if let (false, Outcome::Failure { sqlstate, message }) = (record.is_query, &ours)
            && sqlstate == "0A000"
        {
            if record.fails {
                // As the file expects; PostgreSQL might have changed something by it.
                continue;
            }
            report.counted += 1;
            *report.refused.entry(message.clone()).or_default() += 1;
            continue;
        }
        let theirs = run(&postgres, &for_postgres(&sql), sides.protocol).await;
        report.counted += usize::from(theirs.sqlstate().is_some() == record.fails);
        let order = if record.sorted { Order::Any } else { Order::AsIs };
        if let Some(found) = difference(&ours, &theirs, order) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            report.failures.push(format!("{name}:{}\n  {sql}\n  {found}", record.line));
        }
        if matches!(&ours, Outcome::Failure { sqlstate, .. } if sqlstate.is_empty()) {
            break;
        }
    }
    Ok(report)
}

/// `CREATE TABLE t(pk INTEGER PRIMARY KEY, …)`, sharded by its key.
fn with_shard_key(sql: &str) -> String {
    let upper = sql.to_ascii_uppercase();
    let (true, Some(at)) = (upper.starts_with("CREATE TABLE"), upper.find("PRIMARY KEY")) else {
        return sql.to_owned();
    };
    let after = sql[at + "PRIMARY KEY".len()..].trim_start();
    let column = match after.strip_prefix('(') {
        Some(columns) => columns.split([',', ')']).next().unwrap_or_default(),
        None => sql[..at].rsplit(['(', ',']).next().unwrap_or_default(),
    };
    match column.split_whitespace().next() {
        Some(name) => format!("{sql} WITH (shard_key = '{}')", name.to_ascii_lowercase()),
        None => sql.to_owned(),
    }
}

fn records(text: &str) -> Vec<Record> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut records = Vec::new();
    let mut applies = true;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let words: Vec<&str> = line.split_whitespace().collect();
        at += 1;
        match words.as_slice() {
            ["skipif", engine, ..] => applies &= *engine != "postgresql",
            ["onlyif", engine, ..] => applies &= *engine == "postgresql",
            ["halt", ..] if applies => break,
            [kind @ ("statement" | "query"), rest @ ..] => {
                let start = at + 1;
                let body: Vec<&str> =
                    lines[at..].iter().copied().take_while(|line| !line.is_empty()).collect();
                at += body.len();
                let sql = body.split(|line| *line == "----").next().unwrap_or_default().join("\n");
                if std::mem::replace(&mut applies, true) {
                    let sorted = rest.iter().any(|word| matches!(*word, "rowsort" | "valuesort"));
                    let is_query = *kind == "query";
                    let fails = !is_query && rest.first() == Some(&"error");
                    records.push(Record { line: start, sql, is_query, sorted, fails });
                }
            }
            ["halt" | "hash-threshold", ..] => applies = true,
            _ => {}
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = records(text).into_iter().map(|record| record.sql).collect();
            assert_eq!(found, expected);
        };
        check("statement ok\nA\nB\n\nquery I rowsort\nC\n----\n1\n", &["A\nB", "C"]);
        check("skipif postgresql\nstatement ok\nA\n\nstatement ok\nB\n", &["B"]);
        check("onlyif mssql\nhalt\n\nskipif mysql # why\nquery I\nC\n----\n1\n", &["C"]);
        check("statement ok\nA\n\nhalt\n\nstatement ok\nB\n", &["A"]);
    }

    #[test]
    fn shards_by_the_key() {
        let check = |sql: &str, key: &str| {
            assert_eq!(with_shard_key(sql), format!("{sql} WITH (shard_key = '{key}')"));
        };
        check("CREATE TABLE t(pk INTEGER PRIMARY KEY, a INT)", "pk");
        check("CREATE TABLE t(a INT, B INT, PRIMARY KEY (B, a))", "b");
        assert_eq!(with_shard_key("CREATE TABLE t(a INT)"), "CREATE TABLE t(a INT)");
    }
}
