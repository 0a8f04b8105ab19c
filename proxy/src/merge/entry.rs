//! Rows with their keys, and the form in which they lie in temporary files.

use std::sync::Arc;

use dataman_pg::io::kept;

use super::memory::row_bytes;
use super::rows::Row;
use super::spill::{CHUNK_BYTES, SpillFile};
use super::store::damaged;
use crate::error::Error;

/// What an entry holds beside its key and its row.
const ENTRY_BYTES: usize = 64;

/// The bytes of an entry's head in a file: the length of all, and of the key.
const HEAD_BYTES: usize = 16;

/// A row and its key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<[u8]>,
    pub(crate) row: Row,
}

impl Entry {
    /// The bytes that it holds in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + row_bytes(&self.row) + ENTRY_BYTES
    }
}

/// Appends an entry as it lies in a file.
pub(crate) fn put_entry(key: &[u8], row: &Row, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; HEAD_BYTES]);
    bytes.extend_from_slice(key);
    kept::put_row(row, bytes);
    let total = bytes.len() - start - HEAD_BYTES;
    bytes[start..start + 8].copy_from_slice(&total.to_ne_bytes());
    bytes[start + 8..start + HEAD_BYTES].copy_from_slice(&key.len().to_ne_bytes());
}

/// Reads a file of entries from its start.
#[derive(Debug)]
pub(crate) struct EntryReader {
    file: Arc<SpillFile>,
    place: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl EntryReader {
    /// From the start of a file.
    pub(crate) fn new(file: Arc<SpillFile>) -> Self {
        Self { file, place: 0, bytes: Vec::new(), at: 0 }
    }

    /// Makes sure that so many bytes are there; `false` at the end of the file.
    async fn fill(&mut self, count: usize) -> Result<bool, Error> {
        while self.bytes.len() - self.at < count {
            let left = usize::try_from(self.file.length() - self.place).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(false);
            }
            let length = left.min(CHUNK_BYTES.max(count));
            let more = self.file.read(self.place, length).await?;
            self.place += length as u64;
            self.bytes.drain(..self.at);
            self.at = 0;
            self.bytes.extend_from_slice(&more);
        }
        Ok(true)
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if !self.fill(HEAD_BYTES).await? {
            return Ok(None);
        }
        let number = |bytes: &[u8], at: usize| -> Result<usize, Error> {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(usize::from_ne_bytes).ok_or_else(damaged)
        };
        let total = number(&self.bytes, self.at)?;
        let key = number(&self.bytes, self.at + 8)?;
        if !self.fill(HEAD_BYTES + total).await? || key > total {
            return Err(damaged());
        }
        let entry = &self.bytes[self.at + HEAD_BYTES..self.at + HEAD_BYTES + total];
        let (key, mut rest) = entry.split_at(key);
        let row = kept::take_row(&mut rest).ok_or_else(damaged)?;
        let entry = Entry { key: key.into(), row };
        self.at += HEAD_BYTES + total;
        Ok(Some(entry))
    }
}
