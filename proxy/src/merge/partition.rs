//! Rows put aside in parts, by the hash of a key: rows of one key are in one part, and a part is likelier to fit in memory
//! than the whole. A part that still does not fit is divided again, with another hash.
//!
//! ```text
//!  rows ──hash of key──▶ part 0 … part n, each a file ──read back one after the other──▶ (parts of parts)
//! ```

use std::sync::Arc;

use super::entry::{EntryReader, put_entry};
use super::keys::part_of;
use super::memory::{Account, Memory};
use super::rows::Row;
use super::spill::{CHUNK_BYTES, SpillFile};
use crate::error::Error;

/// Parts of parts of parts: what does not fit then has keys that come very often.
pub(crate) const DEPTH_MAX: u32 = 8;

/// Parts at most. Each has a file, of which a process has not many open.
const PARTS_MAX: usize = 16;

/// Takes rows with their keys.
#[derive(Debug)]
pub(crate) struct Partitions {
    depth: u32,
    buffer_bytes: usize,
    parts: Vec<Part>,
    _account: Account,
}

#[derive(Debug)]
struct Part {
    file: SpillFile,
    buffer: Vec<u8>,
    rows: usize,
    bytes: u64,
}

/// One of the parts, to be read.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    file: Arc<SpillFile>,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// How often they have been divided.
    pub(crate) depth: u32,
    /// Dividing them has not made them fewer: one key has most of them.
    pub(crate) is_skewed: bool,
}

impl Partitions {
    /// For the operator that is called `what`; rows that have been divided so often before.
    pub(crate) fn new(memory: &Memory, what: &'static str, depth: u32) -> Self {
        let limit = memory.limit();
        let count = (limit / 8 / (16 * 1024)).clamp(4, PARTS_MAX);
        let buffer_bytes = (limit / 8 / count).clamp(2 * 1024, CHUNK_BYTES);
        let part = || Part {
            file: SpillFile::new(memory.temporary(), what),
            buffer: Vec::new(),
            rows: 0,
            bytes: 0,
        };
        let mut account = memory.account();
        account.overdraw(count * buffer_bytes);
        Self {
            depth,
            buffer_bytes,
            parts: std::iter::repeat_with(part).take(count).collect(),
            _account: account,
        }
    }

    /// Puts a row aside; rows of a part keep their order.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn push(&mut self, key: &[u8], row: &Row) -> Result<(), Error> {
        self.push_by(key, key, row).await
    }

    /// The same for a row whose key begins with the part that decides where it belongs.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn push_by(
        &mut self,
        deciding: &[u8],
        key: &[u8],
        row: &Row,
    ) -> Result<(), Error> {
        let place = part_of(deciding, self.depth, self.parts.len());
        let part = &mut self.parts[place];
        let before = part.buffer.len();
        put_entry(key, row, &mut part.buffer);
        part.rows += 1;
        part.bytes += (part.buffer.len() - before) as u64;
        if part.buffer.len() >= self.buffer_bytes {
            part.file.append(std::mem::take(&mut part.buffer)).await?;
        }
        Ok(())
    }

    /// The same for a row with a number, which is added to its key as eight bytes in whose order the numbers are.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn push_numbered(
        &mut self,
        key: &mut Vec<u8>,
        number: u64,
        row: &Row,
    ) -> Result<(), Error> {
        let length = key.len();
        key.extend_from_slice(&number.to_be_bytes());
        self.push_by(&key[..length], key, row).await
    }

    /// The parts, of which some may have no rows.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn finish(self) -> Result<Vec<Partition>, Error> {
        let all: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let mut parts = Vec::with_capacity(self.parts.len());
        for mut part in self.parts {
            if !part.buffer.is_empty() {
                part.file.append(std::mem::take(&mut part.buffer)).await?;
            }
            parts.push(Partition {
                file: Arc::new(part.file),
                rows: part.rows,
                depth: self.depth + 1,
                is_skewed: part.bytes > all - all / 4,
            });
        }
        Ok(parts)
    }
}

impl Partition {
    /// Whether dividing the rows once more may help.
    pub(crate) fn can_divide(&self) -> bool {
        self.depth < DEPTH_MAX && !self.is_skewed
    }

    /// Reads the rows with their keys, in the order in which they came.
    pub(crate) fn reader(&self) -> EntryReader {
        EntryReader::new(Arc::clone(&self.file))
    }
}

#[cfg(test)]
mod tests {
    use dataman_pg::Value;

    use super::*;
    use crate::merge::testing::memory;

    #[tokio::test]
    async fn rows_of_one_key_stay_together_and_in_order() {
        let (memory, folder) = memory(1 << 20);
        let mut parts = Partitions::new(&memory, "a test", 0);
        for number in 0..20_000_i64 {
            let row = vec![Value::Int8(number)];
            parts.push(&(number % 500).to_be_bytes(), &row).await.expect("there is room");
        }
        let parts = parts.finish().await.expect("written");
        let mut seen = std::collections::HashMap::new();
        let mut last = std::collections::HashMap::new();
        for (place, part) in parts.iter().enumerate() {
            assert!(part.can_divide());
            let (mut reader, mut rows) = (part.reader(), 0);
            while let Some(entry) = reader.next().await.expect("read") {
                rows += 1;
                assert_eq!(*seen.entry(entry.key.clone()).or_insert(place), place);
                let [Value::Int8(number)] = entry.row[..] else { panic!("{:?}", entry.row) };
                assert!(last.insert(entry.key, number).is_none_or(|before| before < number));
            }
            assert_eq!(rows, part.rows);
        }
        assert_eq!(seen.len(), 500);
        drop(parts);
        assert_eq!(memory.used(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn one_key_alone_is_not_divided_again() {
        let (memory, _folder) = memory(1 << 20);
        let mut parts = Partitions::new(&memory, "a test", 0);
        for number in 0..100 {
            parts.push(b"key", &vec![Value::Int4(number)]).await.expect("there is room");
        }
        let parts = parts.finish().await.expect("written");
        assert_eq!(parts.iter().filter(|part| part.is_skewed).count(), 1);
    }
}
