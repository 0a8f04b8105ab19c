//! The first row of each set of rows that are alike.

use async_trait::async_trait;
use dataman_pg::{Value, order};

use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory};
use super::pace::Pace;
use super::partition::{Partition, Partitions};
use super::rows::{Connections, Row, ValueStream};
use super::sorter::{Sorted, Sorter};
use crate::error::Error;

/// What the operator is called where it has no more room.
const WHAT: &str = "DISTINCT";

/// Keeps the first of the rows that are alike in some columns; keeps the order.
///
/// Rows with keys that there is no room for are put aside with their numbers; when the input has ended they are gone through
/// part by part, and those that stay are sorted by number.
pub(crate) struct Distinct {
    input: Box<dyn ValueStream>,
    keys: Vec<usize>,
    seen: KeyTable,
    account: Account,
    memory: Memory,
    parts: Option<Partitions>,
    late: Option<Sorted>,
    number: u64,
    key: Vec<u8>,
    pace: Pace,
}

impl Distinct {
    pub(crate) fn new(input: Box<dyn ValueStream>, keys: Vec<usize>, memory: &Memory) -> Self {
        Self {
            input,
            keys,
            seen: KeyTable::default(),
            account: memory.account(),
            memory: memory.clone(),
            parts: None,
            late: None,
            number: 0,
            key: Vec::new(),
            pace: memory.pace(),
        }
    }

    /// The first rows of a batch.
    async fn only_first(&mut self, batch: Vec<Row>) -> Result<Vec<Row>, Error> {
        let mut kept = Vec::new();
        for row in batch {
            self.pace.step().await?;
            self.number += 1;
            self.key.clear();
            put_key_bytes(self.keys.iter().filter_map(|&column| row.get(column)), &mut self.key);
            if self.seen.find(&self.key).is_some() {
                continue;
            }
            if self.parts.is_none() {
                if self.account.has_room(self.key.len() + KEY_BYTES) {
                    self.seen.insert(&self.key);
                    kept.push(row);
                    continue;
                }
                self.parts = Some(Partitions::new(&self.memory, WHAT, 0));
            }
            if let Some(parts) = &mut self.parts {
                parts.push_numbered(&mut self.key, self.number, &row).await?;
            }
        }
        Ok(kept)
    }

    /// The first rows of those that were put aside.
    async fn of_parts(&mut self, parts: Partitions) -> Result<Sorted, Error> {
        self.seen.clear();
        self.account.clear();
        let mut sorter = Sorter::new(&self.memory, WHAT);
        let mut todo: Vec<Partition> = parts.finish().await?;
        while let Some(part) = todo.pop() {
            let mut seen = KeyTable::default();
            let mut further: Option<Partitions> = None;
            let mut reader = part.reader();
            while let Some(entry) = reader.next().await? {
                self.pace.step().await?;
                let (key, number) = entry.key.split_at(entry.key.len().saturating_sub(8));
                if seen.find(key).is_some() {
                    continue;
                }
                let bytes = key.len() + KEY_BYTES;
                if further.is_none() {
                    let has_room = self.account.has_room(bytes);
                    if has_room || seen.len() == 0 {
                        if !has_room {
                            self.account.overdraw(bytes);
                        }
                        seen.insert(key);
                        sorter.push(number, entry.row).await?;
                        continue;
                    }
                }
                further
                    .get_or_insert_with(|| Partitions::new(&self.memory, WHAT, part.depth))
                    .push_by(key, &entry.key, &entry.row)
                    .await?;
            }
            self.account.clear();
            if let Some(further) = further {
                todo.extend(further.finish().await?);
            }
        }
        sorter.finish().await
    }
}

/// Bytes that are alike exactly for values that are equal or both NULL.
pub(crate) fn key_bytes<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_key_bytes(values, &mut bytes);
    bytes
}

/// Appends them.
pub(crate) fn put_key_bytes<'v>(values: impl Iterator<Item = &'v Value>, bytes: &mut Vec<u8>) {
    for value in values {
        if value.is_null() {
            bytes.push(0);
        } else {
            bytes.push(1);
            order::encode_ordered(value, bytes);
        }
    }
}

#[async_trait]
impl ValueStream for Distinct {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if self.late.is_none() {
            while let Some(batch) = self.input.next().await? {
                let kept = self.only_first(batch).await?;
                if !kept.is_empty() {
                    return Ok(Some(kept));
                }
            }
            let Some(parts) = self.parts.take() else { return Ok(None) };
            self.late = Some(self.of_parts(parts).await?);
        }
        match &mut self.late {
            Some(late) => late.batch(&mut self.pace).await,
            None => Ok(None),
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::rows::Held;
    use crate::merge::testing::{memory, read};

    /// With little memory the same rows come in the same order.
    async fn check(count: i64, different: i64, bytes: usize) {
        let row = |number: i64| vec![Value::Int8((number * 7919) % different), Value::Int8(number)];
        let rows: Vec<Row> = (0..count).map(row).collect();
        let mut all = Vec::new();
        for bytes in [1 << 28, bytes] {
            let (memory, _folder) = memory(bytes);
            let mut distinct = Distinct::new(Box::new(Held::new(rows.clone())), vec![0], &memory);
            all.push(read(&mut distinct).await);
            drop(distinct);
            assert_eq!(memory.temporary().written() > 0, bytes < 1 << 28);
            assert_eq!(memory.used(), 0);
        }
        assert_eq!(all[0].len(), usize::try_from(different).expect("a few"));
        assert!(all[0] == all[1]);
    }

    #[tokio::test]
    async fn the_first_of_rows_that_are_alike_stays() {
        check(20_000, 6000, 128 * 1024).await;
        check(30_000, 25_000, 64 * 1024).await;
    }
}
