//! The oracle: a plain PostgreSQL that holds all rows and gets the same statements.

use crate::client::{Outcome, Rows};

/// How rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    AsIs,
    /// In any order.
    Any,
}

/// The options of CREATE TABLE that only dataman knows.
const OPTIONS: [&str; 4] = ["shard_key", "placement", "hash", "datastore"];

/// A statement as PostgreSQL takes it: without dataman's options in CREATE TABLE.
pub fn for_postgres(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    if !lower.trim_start().starts_with("create") {
        return sql.to_owned();
    }
    let Some(start) = lower.rfind("with (").or_else(|| lower.rfind("with(")) else {
        return sql.to_owned();
    };
    let inside = lower[start..].split_once('(').map_or("", |(_, inside)| inside).trim_start();
    if !OPTIONS.iter().any(|option| inside.starts_with(option)) {
        return sql.to_owned();
    }
    let end = lower[start..].find(')').map_or(lower.len(), |end| start + end + 1);
    format!("{}{}", &sql[..start], &sql[end..])
}

/// The difference between dataman's outcome and PostgreSQL's, in words; none when they agree.
pub fn difference(dataman: &Outcome, postgres: &Outcome, order: Order) -> Option<String> {
    match (dataman, postgres) {
        (Outcome::Rows(ours), Outcome::Rows(theirs)) => rows_difference(ours, theirs, order),
        (
            Outcome::Failure { sqlstate: ours, message: our_text },
            Outcome::Failure { sqlstate: theirs, message: their_text },
        ) => (ours != theirs).then(|| {
            format!(
                "dataman failed with {ours} ({our_text}), PostgreSQL with {theirs} ({their_text})"
            )
        }),
        (Outcome::Failure { sqlstate, message }, Outcome::Rows(rows)) => Some(format!(
            "dataman failed with {sqlstate} ({message}), PostgreSQL gave {} rows",
            rows.rows.len()
        )),
        (Outcome::Rows(rows), Outcome::Failure { sqlstate, message }) => Some(format!(
            "dataman gave {} rows, PostgreSQL failed with {sqlstate} ({message})",
            rows.rows.len()
        )),
    }
}

fn rows_difference(ours: &Rows, theirs: &Rows, order: Order) -> Option<String> {
    if ours.columns != theirs.columns {
        return Some(format!(
            "columns: dataman {:?}, PostgreSQL {:?}",
            ours.columns, theirs.columns
        ));
    }
    if ours.rows.len() != theirs.rows.len() {
        return Some(format!(
            "rows: dataman {}, PostgreSQL {}\n  dataman:    {}\n  PostgreSQL: {}",
            ours.rows.len(),
            theirs.rows.len(),
            shown_all(&ours.rows),
            shown_all(&theirs.rows)
        ));
    }
    if ours.affected != theirs.affected {
        return Some(format!("count: dataman {}, PostgreSQL {}", ours.affected, theirs.affected));
    }
    let sorted = |rows: &Rows| {
        let mut rows = rows.rows.clone();
        if order == Order::Any {
            rows.sort();
        }
        rows
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    ours.iter().zip(&theirs).enumerate().find(|(_, (one, other))| one != other).map(
        |(place, (one, other))| {
            format!("row {}: dataman {}, PostgreSQL {}", place + 1, shown(one), shown(other))
        },
    )
}

fn shown_all(rows: &[Vec<Option<Vec<u8>>>]) -> String {
    rows.iter().take(6).map(|row| shown(row)).collect::<Vec<_>>().join(" ")
}

fn shown(row: &[Option<Vec<u8>>]) -> String {
    let values: Vec<String> = row
        .iter()
        .map(|value| match value {
            None => "NULL".to_owned(),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
                _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
        })
        .collect();
    format!("({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_left_out() {
        let check = |input: &str, expected: &str| assert_eq!(for_postgres(input), expected);
        check("create table t (a int) with (shard_key = 'a')", "create table t (a int) ");
        check(
            "CREATE TABLE t (a int) WITH (placement='reference', datastore='x');",
            "CREATE TABLE t (a int) ;",
        );
        check(
            "create table t (a int) with (fillfactor = 70)",
            "create table t (a int) with (fillfactor = 70)",
        );
        check("select 1", "select 1");
    }
}
