//! The rows that a recursion has met: in memory, and beyond it in one sorted file, against which the rows of each step are
//! held as a whole.

use std::sync::Arc;

use dataman_pg::Value;

use super::distinct::key_bytes;
use super::entry::{EntryReader, put_entry};
use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory};
use super::pace::Pace;
use super::rows::Row;
use super::sorter::Sorter;
use super::spill::{CHUNK_BYTES, SpillFile};
use super::store::Store;
use crate::error::Error;

/// The rows that were there before.
pub(super) struct Seen {
    what: &'static str,
    memory: Memory,
    pace: Pace,
    table: KeyTable,
    account: Account,
    /// The keys of all rows that were there, in order, once there is no room for them in memory.
    file: Option<Arc<SpillFile>>,
}

impl Seen {
    /// For the operator that is called `what`.
    pub(super) fn new(memory: &Memory, what: &'static str) -> Self {
        Self {
            what,
            memory: memory.clone(),
            pace: memory.pace(),
            table: KeyTable::default(),
            account: memory.account(),
            file: None,
        }
    }

    /// Whether the rows that were there are in a file.
    pub(super) fn is_in_file(&self) -> bool {
        self.file.is_some()
    }

    /// Of some rows those that were not there before, each once, in their order.
    ///
    /// # Errors
    /// Those of temporary files; the statement is cancelled.
    pub(super) async fn only_new(&mut self, rows: Store) -> Result<Store, Error> {
        let mut fresh = Store::new(&self.memory, self.what);
        let mut rows = rows.into_reader();
        // What there was no room for, with the numbers of the rows behind their columns.
        let mut late: Option<Sorter> = self.file.is_some().then(|| self.sorter());
        let mut number = 0_i64;
        while let Some(batch) = rows.next().await? {
            for mut row in batch {
                self.pace.step().await?;
                let key = key_bytes(row.iter());
                if let Some(late) = &mut late {
                    number += 1;
                    row.push(Value::Int8(number));
                    late.push(&key, row).await?;
                    continue;
                }
                if self.table.find(&key).is_some() {
                    continue;
                }
                if self.account.has_room(key.len() + KEY_BYTES) {
                    self.table.insert(&key);
                    fresh.push(row).await?;
                    continue;
                }
                self.put_aside().await?;
                let mut sorter = self.sorter();
                number += 1;
                row.push(Value::Int8(number));
                sorter.push(&key, row).await?;
                late = Some(sorter);
            }
        }
        if let Some(late) = late {
            self.merge(late, &mut fresh).await?;
        }
        Ok(fresh)
    }

    fn sorter(&self) -> Sorter {
        Sorter::new(&self.memory, self.what)
    }

    /// Writes the keys in memory to a file, in order.
    async fn put_aside(&mut self) -> Result<(), Error> {
        let table = std::mem::take(&mut self.table);
        self.account.clear();
        let mut sorter = self.sorter();
        for number in 0..table.len() {
            self.pace.step().await?;
            sorter.push(table.key(number), Row::new()).await?;
        }
        drop(table);
        let mut sorted = sorter.finish().await?;
        let mut file = Appended::new(&self.memory, self.what);
        while let Some(entry) = sorted.next().await? {
            self.pace.step().await?;
            file.put(&entry.key).await?;
        }
        self.file = Some(file.finish().await?);
        Ok(())
    }

    /// Goes through the rows of a step and those that were there side by side.
    async fn merge(&mut self, late: Sorter, fresh: &mut Store) -> Result<(), Error> {
        let Some(known) = self.file.take() else { return Ok(()) };
        let mut known = EntryReader::new(known);
        let mut ahead = known.next().await?;
        let mut sorted = late.finish().await?;
        let mut by_number = self.sorter();
        let mut file = Appended::new(&self.memory, self.what);
        let mut last: Option<Box<[u8]>> = None;
        while let Some(mut entry) = sorted.next().await? {
            self.pace.step().await?;
            if last.as_ref() == Some(&entry.key) {
                continue;
            }
            while let Some(before) = ahead.take_if(|before| before.key < entry.key) {
                self.pace.step().await?;
                file.put(&before.key).await?;
                ahead = known.next().await?;
            }
            let is_known = ahead.as_ref().is_some_and(|before| before.key == entry.key);
            if !is_known {
                file.put(&entry.key).await?;
                let number = match entry.row.pop() {
                    Some(Value::Int8(number)) => number,
                    _ => 0,
                };
                by_number.push(&number.to_be_bytes(), entry.row).await?;
            }
            last = Some(entry.key);
        }
        while let Some(before) = ahead {
            self.pace.step().await?;
            file.put(&before.key).await?;
            ahead = known.next().await?;
        }
        self.file = Some(file.finish().await?);
        let mut rows = by_number.finish().await?;
        while let Some(batch) = rows.batch(&mut self.pace).await? {
            for row in batch {
                fresh.push(row).await?;
            }
        }
        Ok(())
    }
}

/// A file of keys that is being written.
struct Appended {
    file: SpillFile,
    bytes: Vec<u8>,
}

impl Appended {
    fn new(memory: &Memory, what: &'static str) -> Self {
        Self { file: SpillFile::new(memory.temporary(), what), bytes: Vec::new() }
    }

    async fn put(&mut self, key: &[u8]) -> Result<(), Error> {
        put_entry(key, &Row::new(), &mut self.bytes);
        if self.bytes.len() >= CHUNK_BYTES {
            self.file.append(std::mem::take(&mut self.bytes)).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Arc<SpillFile>, Error> {
        if !self.bytes.is_empty() {
            self.file.append(self.bytes).await?;
        }
        Ok(Arc::new(self.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::testing::memory;

    /// Steps of numbers: those that are new come out in their order, with much memory and with little.
    async fn check(steps: &[Vec<i64>], bytes: usize, in_files: bool) {
        let (memory, _folder) = memory(bytes);
        let mut seen = Seen::new(&memory, "a test");
        let mut known = std::collections::HashSet::new();
        for step in steps {
            let mut rows = Store::new(&memory, "a test");
            for number in step {
                rows.push(vec![Value::Int8(*number), Value::Null]).await.expect("there is room");
            }
            let expected: Vec<Row> = step
                .iter()
                .filter(|number| known.insert(**number))
                .map(|number| vec![Value::Int8(*number), Value::Null])
                .collect();
            let mut fresh =
                seen.only_new(rows).await.expect("there is room in files").into_reader();
            let mut found = Vec::new();
            while let Some(batch) = fresh.next().await.expect("read") {
                found.extend(batch);
            }
            assert!(found == expected);
        }
        assert_eq!(memory.temporary().written() > 0, in_files);
        drop(seen);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn rows_that_were_there_stay_out() {
        let steps: Vec<Vec<i64>> = (0..6)
            .map(|step| (0..4000).map(|n| (n * 7919 + step * 1000) % 9000).collect())
            .collect();
        check(&steps, 1 << 26, false).await;
        check(&steps, 128 * 1024, true).await;
        check(&[Vec::new(), vec![1, 1, 2], vec![2, 3]], 1 << 20, false).await;
    }
}
