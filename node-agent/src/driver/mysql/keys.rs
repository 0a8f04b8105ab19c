//! Locks on numbers, which stand for keys that several shards keep together ([`KeyLock::Number`]): rows of a table of the shard
//! instance, locked to the transaction's end. The server sees circles of them and of records.
//!
//! A number's row is made when it is first locked, from a session beside the transaction. It is of no use once nobody locks it, and
//! goes when many have gathered.
//!
//! [`KeyLock::Number`]: dataman_node_protocol::capability::KeyLock::Number

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::Lock;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;
use mysql_async::prelude::Queryable;

use super::connect::Session;
use super::error::classify;
use super::layout::{instance_name, quoted};
use super::statement::Statement;

/// The table of numbers: no collection's.
const LOCKS: &str = "^lock";

/// Numbers asked for by one text.
const CHUNK: usize = 256;

/// Numbers that a datasource makes before it removes those that nobody locks.
const UNUSED_MAX: u64 = 10_000;

/// Numbers removed at a time; those who wait for one of them meanwhile wait no longer than that takes.
const REMOVED: usize = 2_000;

/// How often a number is made again that was removed before it could be locked.
const TRIES: usize = 20;

/// Whether a select's lock is one on numbers.
pub(super) fn is_on_numbers(lock: &Lock) -> bool {
    lock.strength.eq_ignore_ascii_case(Lock::NUMBERS)
}

impl Statement<'_> {
    /// Locks the numbers of the first parameter, each alone or, where the second parameter says so, beside others. Those before the
    /// first one that is locked alone come first; all come in the order in which they are given, which is the same for everyone.
    ///
    /// # Errors
    /// `40P01`, `55P03`, and MySQL's.
    pub(super) async fn lock_numbers(&mut self, instance: &str) -> Result<(), NodeError> {
        let table = format!("{}.{}", quoted(&instance_name(instance)), quoted(LOCKS));
        let numbers = numbers(&self.params)?;
        let mut rest = numbers.as_slice();
        while let Some((_, shared)) = rest.first() {
            let alike = rest.iter().take(CHUNK).take_while(|(_, other)| other == shared).count();
            let (chunk, tail) = rest.split_at(alike);
            let wanted: Vec<i64> = chunk.iter().map(|(number, _)| *number).collect();
            self.lock_chunk(&table, &wanted, *shared).await?;
            rest = tail;
        }
        Ok(())
    }

    async fn lock_chunk(
        &mut self,
        table: &str,
        numbers: &[i64],
        shared: bool,
    ) -> Result<(), NodeError> {
        let mut text = of_numbers(&format!("SELECT id FROM {table}"), numbers.len());
        text.push_str(" ORDER BY id");
        text.push_str(if shared { " LOCK IN SHARE MODE" } else { " FOR UPDATE" });
        let values: Vec<Raw> = numbers.iter().map(|number| Raw::Int(*number)).collect();
        for _ in 0..TRIES {
            // First all are there: then they are locked by one text, in their order.
            self.make_numbers(table, numbers).await?;
            let mut locked = 0;
            self.rows(&text, values.clone(), |_| {
                locked += 1;
                Ok(())
            })
            .await?;
            if locked == numbers.len() {
                return Ok(());
            }
        }
        Err(NodeError::statement("40001", "the locks of a unique key were removed again and again"))
    }

    /// Makes the rows of numbers that have none.
    async fn make_numbers(&mut self, table: &str, numbers: &[i64]) -> Result<(), NodeError> {
        self.check_stop()?;
        let (mut session, _permit) = self.server.beside().await?;
        let made = make(&mut session, table, numbers).await;
        let made = match made {
            Err(error) if error.sqlstate == "42P01" => {
                let create = format!(
                    "CREATE TABLE IF NOT EXISTS {table} (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB"
                );
                session.conn.query_drop(create).await.map_err(classify)?;
                make(&mut session, table, numbers).await?
            }
            made => made?,
        };
        if self.server.count_numbers(made) > UNUSED_MAX {
            self.server.count_numbers_anew();
            remove_unused(&mut session, table).await?;
        }
        self.server.give_back(session);
        Ok(())
    }
}

async fn make(session: &mut Session, table: &str, numbers: &[i64]) -> Result<u64, NodeError> {
    let text = of_numbers(&format!("SELECT id FROM {table}"), numbers.len());
    let values: Vec<Raw> = numbers.iter().map(|number| Raw::Int(*number)).collect();
    let known: Vec<i64> = session.conn.exec(text, values).await.map_err(classify)?;
    let missing: Vec<Raw> = numbers
        .iter()
        .filter(|number| !known.contains(number))
        .map(|number| Raw::Int(*number))
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let rows = vec!["(?)"; missing.len()].join(", ");
    let count = missing.len();
    let text = format!("INSERT IGNORE INTO {table} (id) VALUES {rows}");
    session.conn.exec_drop(text, missing).await.map_err(classify)?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Removes numbers that nobody locks. Who waits for one of them finds it gone and makes it again.
async fn remove_unused(session: &mut Session, table: &str) -> Result<(), NodeError> {
    session.conn.query_drop("START TRANSACTION").await.map_err(classify)?;
    loop {
        let text = format!("SELECT id FROM {table} LIMIT {REMOVED} FOR UPDATE SKIP LOCKED");
        let unused: Vec<i64> = session.conn.query(text).await.map_err(classify)?;
        if !unused.is_empty() {
            let text = of_numbers(&format!("DELETE FROM {table}"), unused.len());
            let values: Vec<Raw> = unused.iter().map(|number| Raw::Int(*number)).collect();
            session.conn.exec_drop(text, values).await.map_err(classify)?;
        }
        session.conn.query_drop("COMMIT").await.map_err(classify)?;
        if unused.len() < REMOVED {
            return Ok(());
        }
        session.conn.query_drop("START TRANSACTION").await.map_err(classify)?;
    }
}

fn of_numbers(head: &str, count: usize) -> String {
    format!("{head} WHERE id IN ({})", vec!["?"; count].join(", "))
}

/// The numbers, and whether each is locked beside others.
fn numbers(params: &[Value]) -> Result<Vec<(i64, bool)>, NodeError> {
    let wrong = || NodeError::statement("08P01", "a lock on numbers takes numbers and their kinds");
    let [Value::Array(numbers), Value::Array(kinds)] = params else { return Err(wrong()) };
    if numbers.elements.len() != kinds.elements.len() {
        return Err(wrong());
    }
    let pairs = numbers.elements.iter().zip(&kinds.elements);
    pairs
        .map(|pair| match pair {
            (Value::Int8(number), Value::Bool(shared)) => Ok((*number, *shared)),
            _ => Err(wrong()),
        })
        .collect()
}
