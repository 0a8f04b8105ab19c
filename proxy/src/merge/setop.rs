//! UNION, INTERSECT and EXCEPT, and all rows of several inputs.

use async_trait::async_trait;
use dataman_node_protocol::query::SetOperationKind;
use dataman_pg::Value;

use super::distinct::{Distinct, put_key_bytes};
use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory};
use super::open::Run;
use super::pace::Pace;
use super::partition::{Partition, Partitions};
use super::rows::{Connections, Held, Row, ValueStream};
use super::sorter::{Sorted, Sorter};
use super::store::{Reader, Store};
use crate::error::Error;
use crate::plan::operator::Operator;

/// What INTERSECT and EXCEPT are called where they have no more room.
const WHAT: &str = "a set operation";

/// All rows of several inputs: the first one streams, the others are read before.
pub(super) async fn append<'a>(
    run: &mut Run<'a>,
    inputs: &'a [Operator],
) -> Result<Box<dyn ValueStream>, Error> {
    let Some((first, others)) = inputs.split_first() else {
        return Ok(Box::new(Held::new(Vec::new())));
    };
    let mut held = Store::new(&run.memory, "UNION ALL");
    for input in others {
        run.gather_into(&mut held, input).await?;
    }
    Ok(Box::new(Chained { first: run.values(first).await?, then: held.into_reader() }))
}

struct Chained {
    first: Box<dyn ValueStream>,
    then: Reader,
}

#[async_trait]
impl ValueStream for Chained {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        match self.first.next().await? {
            Some(batch) => Ok(Some(batch)),
            None => self.then.next().await,
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.first.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.first.into_connections()
    }
}

/// A set operation: rows are alike when all their columns are equal or both NULL.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    kind: SetOperationKind,
    all: bool,
    left: &'a Operator,
    right: &'a Operator,
) -> Result<Box<dyn ValueStream>, Error> {
    let columns = || (0..left.columns().len()).collect();
    if kind == SetOperationKind::Union {
        let mut held = Store::new(&run.memory, "UNION");
        run.gather_into(&mut held, right).await?;
        let both = Chained { first: run.values(left).await?, then: held.into_reader() };
        if all {
            return Ok(Box::new(both));
        }
        return Ok(Box::new(Distinct::new(Box::new(both), columns(), &run.memory)));
    }
    let rule = match (kind, all) {
        (SetOperationKind::Intersect, true) => Rule::IntersectAll,
        (SetOperationKind::Intersect, false) => Rule::Intersect,
        (_, true) => Rule::ExceptAll,
        (_, false) => Rule::Except,
    };
    let mut counted = Counted::new(&run.memory, rule);
    let mut stream = run.values(right).await?;
    let read = counted.read(stream.as_mut()).await;
    run.end(stream, read).await?;
    let right = match counted.parts.take() {
        Some(parts) => Some(parts.finish().await?),
        None => None,
    };
    let left = run.values(left).await?;
    let filtered = Box::new(Filtered { left, counted, right, late: None });
    // EXCEPT has not counted the left rows.
    if rule == Rule::Except {
        return Ok(Box::new(Distinct::new(filtered, columns(), &run.memory)));
    }
    Ok(filtered)
}

/// Which left rows stay, by how many right rows are like them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Intersect,
    IntersectAll,
    Except,
    ExceptAll,
}

/// The right rows, counted.
struct Counted {
    rule: Rule,
    keys: KeyTable,
    counts: Vec<u64>,
    memory: Memory,
    account: Account,
    /// Where they are when there is no room: with how many of them there are.
    parts: Option<Partitions>,
    pace: Pace,
}

impl Counted {
    fn new(memory: &Memory, rule: Rule) -> Self {
        Self {
            rule,
            keys: KeyTable::default(),
            counts: Vec::new(),
            memory: memory.clone(),
            account: memory.account(),
            parts: None,
            pace: memory.pace(),
        }
    }

    async fn read(&mut self, stream: &mut dyn ValueStream) -> Result<(), Error> {
        let mut key = Vec::new();
        while let Some(batch) = stream.next().await? {
            for row in batch {
                key.clear();
                put_key_bytes(row.iter(), &mut key);
                self.add(&key, 1, 0).await?;
            }
        }
        Ok(())
    }

    /// Counts rows; puts all aside when there is no room for another key.
    async fn add(&mut self, key: &[u8], count: u64, depth: u32) -> Result<(), Error> {
        self.pace.step().await?;
        if let Some(parts) = &mut self.parts {
            return parts.push(key, &count_row(count)).await;
        }
        if let Some(number) = self.keys.find(key) {
            self.counts[number] += count;
            return Ok(());
        }
        let bytes = key.len() + KEY_BYTES + 8;
        if !self.account.has_room(bytes) {
            if self.keys.len() > 0 {
                let mut parts = Partitions::new(&self.memory, WHAT, depth);
                for (number, count) in self.counts.iter().enumerate() {
                    parts.push(self.keys.key(number), &count_row(*count)).await?;
                    self.pace.step().await?;
                }
                parts.push(key, &count_row(count)).await?;
                self.parts = Some(parts);
                self.clear();
                return Ok(());
            }
            self.account.overdraw(bytes);
        }
        self.keys.insert(key);
        self.counts.push(count);
        Ok(())
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.counts = Vec::new();
        self.account.clear();
    }

    /// Whether a left row stays; counts it.
    fn keeps(&mut self, key: &[u8]) -> bool {
        let count = self.keys.find(key).map(|number| &mut self.counts[number]);
        match (self.rule, count) {
            (Rule::Intersect, Some(count)) => std::mem::take(count) > 0,
            (Rule::IntersectAll, Some(count)) => {
                let is_left = *count > 0;
                *count = count.saturating_sub(1);
                is_left
            }
            (Rule::ExceptAll, Some(count)) => {
                let is_left = *count == 0;
                *count = count.saturating_sub(1);
                is_left
            }
            (Rule::Intersect | Rule::IntersectAll, None) | (Rule::Except, Some(_)) => false,
            (Rule::Except | Rule::ExceptAll, None) => true,
        }
    }
}

fn count_row(count: u64) -> Row {
    vec![Value::Int8(i64::try_from(count).unwrap_or(i64::MAX))]
}

/// The left rows that stay, in their order.
struct Filtered {
    left: Box<dyn ValueStream>,
    counted: Counted,
    /// The right side's parts, when it has been divided.
    right: Option<Vec<Partition>>,
    /// The rows that stay, in their order, after the left side has been divided too.
    late: Option<Sorted>,
}

#[async_trait]
impl ValueStream for Filtered {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if let Some(right) = self.right.take() {
            self.late = Some(self.of_parts(right).await?);
        }
        if let Some(late) = &mut self.late {
            return late.batch(&mut self.counted.pace).await;
        }
        let mut key = Vec::new();
        while let Some(batch) = self.left.next().await? {
            let mut kept = Vec::new();
            for row in batch {
                self.counted.pace.step().await?;
                key.clear();
                put_key_bytes(row.iter(), &mut key);
                if self.counted.keeps(&key) {
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.left.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.left.into_connections()
    }
}

impl Filtered {
    async fn of_parts(&mut self, right: Vec<Partition>) -> Result<Sorted, Error> {
        let counted = &mut self.counted;
        let mut left = Partitions::new(&counted.memory, WHAT, 0);
        let (mut key, mut number) = (Vec::new(), 0);
        while let Some(batch) = self.left.next().await? {
            for row in batch {
                counted.pace.step().await?;
                number += 1;
                key.clear();
                put_key_bytes(row.iter(), &mut key);
                left.push_numbered(&mut key, number, &row).await?;
            }
        }
        let mut sorter = Sorter::new(&counted.memory, WHAT);
        let mut todo: Vec<_> = right.into_iter().zip(left.finish().await?).collect();
        while let Some((right, left)) = todo.pop() {
            if left.rows == 0 {
                continue;
            }
            let mut reader = right.reader();
            while let Some(entry) = reader.next().await? {
                let count = match entry.row.first() {
                    Some(Value::Int8(count)) => u64::try_from(*count).unwrap_or(0),
                    _ => 0,
                };
                counted.add(&entry.key, count, right.depth).await?;
            }
            let mut reader = left.reader();
            if let Some(parts) = counted.parts.take() {
                let mut further = Partitions::new(&counted.memory, WHAT, right.depth);
                while let Some(entry) = reader.next().await? {
                    counted.pace.step().await?;
                    let (key, _) = entry.key.split_at(entry.key.len().saturating_sub(8));
                    further.push_by(key, &entry.key, &entry.row).await?;
                }
                todo.extend(parts.finish().await?.into_iter().zip(further.finish().await?));
                continue;
            }
            while let Some(entry) = reader.next().await? {
                counted.pace.step().await?;
                let (key, number) = entry.key.split_at(entry.key.len().saturating_sub(8));
                if counted.keeps(key) {
                    sorter.push(number, entry.row).await?;
                }
            }
            counted.clear();
        }
        sorter.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::testing::{memory, read};

    fn rows(count: i64, different: i64, first: i64) -> Vec<Row> {
        (0..count).map(|number| vec![Value::Int8(first + (number * 7919) % different)]).collect()
    }

    /// With little memory the same rows come in the same order.
    async fn check(rule: Rule, left: &[Row], right: &[Row], bytes: usize) {
        let mut all = Vec::new();
        for bytes in [1 << 28, bytes] {
            let (memory, _folder) = memory(bytes);
            let mut counted = Counted::new(&memory, rule);
            counted.read(&mut Held::new(right.to_vec())).await.expect("there is room in files");
            let right = match counted.parts.take() {
                Some(parts) => Some(parts.finish().await.expect("written")),
                None => None,
            };
            let left = Box::new(Held::new(left.to_vec()));
            let mut filtered = Filtered { left, counted, right, late: None };
            all.push(read(&mut filtered).await);
            drop(filtered);
            assert_eq!(memory.temporary().written() > 0, bytes < 1 << 28, "{rule:?}");
            assert_eq!(memory.used(), 0);
        }
        assert!(!all[0].is_empty() && all[0] == all[1], "{rule:?}");
    }

    #[tokio::test]
    async fn rows_are_counted_in_memory_and_in_files() {
        for rule in [Rule::Intersect, Rule::IntersectAll, Rule::Except, Rule::ExceptAll] {
            check(rule, &rows(9000, 4000, 0), &rows(8000, 4000, 2000), 128 * 1024).await;
            check(rule, &rows(9000, 8000, 0), &rows(40_000, 30_000, 5000), 64 * 1024).await;
        }
    }
}
