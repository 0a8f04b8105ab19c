//! Rows sorted by bytes, however many: runs in memory, and beyond it in temporary files, merged as they are read.
//!
//! ```text
//!  push ──▶ chunk ──full──▶ sorted run ──no room──▶ all runs merged into one file
//!                               └────────── finish: all runs and files merged ◀─┘
//! ```
//!
//! No step sorts more than a chunk at once, so that others have their turn.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::entry::{Entry, EntryReader, put_entry};
use super::memory::{Account, Memory};
use super::pace::Pace;
use super::rows::{BATCH_ROWS, Row};
use super::spill::{CHUNK_BYTES, SpillFile};
use crate::error::Error;

/// Rows that are sorted at once: a millisecond's work at most.
const CHUNK_ROWS: usize = 4096;

/// Files that are merged at once; more are first made fewer.
const FILES_MAX: usize = 32;

/// Takes rows with their keys.
pub(crate) struct Sorter {
    what: &'static str,
    memory: Memory,
    account: Account,
    chunk: Vec<Entry>,
    runs: Vec<std::vec::IntoIter<Entry>>,
    /// Files in the order of their rows, and how often those of each were merged.
    files: Vec<(u8, SpillFile)>,
    /// Only so many of the first rows are wanted.
    wanted: Option<usize>,
    pace: Pace,
}

impl Sorter {
    /// For the operator that is called `what`.
    pub(crate) fn new(memory: &Memory, what: &'static str) -> Self {
        Self {
            what,
            memory: memory.clone(),
            account: memory.account(),
            chunk: Vec::new(),
            runs: Vec::new(),
            files: Vec::new(),
            wanted: None,
            pace: memory.pace(),
        }
    }

    /// Gives only so many of the first rows.
    pub(crate) fn want(&mut self, rows: usize) {
        self.wanted = Some(rows);
    }

    /// Takes a row. Of equal keys, the first that came comes first.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn push(&mut self, key: &[u8], row: Row) -> Result<(), Error> {
        let entry = Entry { key: key.into(), row };
        let bytes = entry.bytes();
        if !self.account.has_room(bytes) {
            self.put_aside().await?;
            if !self.account.has_room(bytes) {
                self.account.overdraw(bytes);
            }
        }
        self.chunk.push(entry);
        let few = self.wanted.filter(|wanted| *wanted <= CHUNK_ROWS);
        if self.chunk.len() >= few.map_or(CHUNK_ROWS, |wanted| CHUNK_ROWS.max(wanted * 2)) {
            self.sort_chunk();
            self.pace.rest().await?;
        }
        Ok(())
    }

    fn sort_chunk(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        self.chunk.sort_by(|one, other| one.key.cmp(&other.key));
        match self.wanted {
            // What is behind the first rows of a part is behind those of the whole.
            Some(wanted) if wanted <= CHUNK_ROWS => {
                for entry in self.chunk.drain(wanted.min(self.chunk.len())..) {
                    self.account.give(entry.bytes());
                }
            }
            _ => self.runs.push(std::mem::take(&mut self.chunk).into_iter()),
        }
    }

    /// Writes all that is in memory to a file, sorted.
    async fn put_aside(&mut self) -> Result<(), Error> {
        self.sort_chunk();
        if !self.chunk.is_empty() {
            self.runs.push(std::mem::take(&mut self.chunk).into_iter());
        }
        if self.runs.is_empty() {
            return Ok(());
        }
        let mut merge = Merge::new(Vec::new(), std::mem::take(&mut self.runs)).await?;
        let file = self.write(&mut merge).await?;
        self.files.push((0, file));
        self.account.clear();
        // Files of one level are merged into one of the next, so that no row is written more often than there are levels.
        loop {
            let level = self.files.last().map_or(0, |(level, _)| *level);
            let alike = self.files.iter().rev().take_while(|(other, _)| *other == level).count();
            if alike < FILES_MAX {
                return Ok(());
            }
            let files = self.files.split_off(self.files.len() - alike);
            let files = files.into_iter().map(|(_, file)| file).collect();
            let mut merge = Merge::new(files, Vec::new()).await?;
            let file = self.write(&mut merge).await?;
            self.files.push((level.saturating_add(1), file));
        }
    }

    async fn write(&mut self, merge: &mut Merge) -> Result<SpillFile, Error> {
        let mut file = SpillFile::new(self.memory.temporary(), self.what);
        let mut bytes = Vec::new();
        while let Some(entry) = merge.next().await? {
            put_entry(&entry.key, &entry.row, &mut bytes);
            if bytes.len() >= CHUNK_BYTES {
                file.append(std::mem::take(&mut bytes)).await?;
            }
            self.pace.step().await?;
        }
        if !bytes.is_empty() {
            file.append(bytes).await?;
        }
        Ok(file)
    }

    /// All rows, in order.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn finish(mut self) -> Result<Sorted, Error> {
        self.sort_chunk();
        if !self.chunk.is_empty() {
            self.runs.push(std::mem::take(&mut self.chunk).into_iter());
        }
        let files = self.files.into_iter().map(|(_, file)| file).collect();
        let merge = Merge::new(files, self.runs).await?;
        Ok(Sorted { merge, account: self.account, left: self.wanted })
    }
}

/// Gives rows in order.
pub(crate) struct Sorted {
    merge: Merge,
    account: Account,
    left: Option<usize>,
}

impl Sorted {
    /// The next row; none at the end.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Ok(None);
            }
            *left -= 1;
        }
        let entry = self.merge.next().await?;
        if let Some(entry) = &entry {
            self.account.give(entry.bytes());
        }
        Ok(entry)
    }
}

impl Sorted {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// Those of temporary files; the statement is cancelled.
    pub(crate) async fn batch(&mut self, pace: &mut Pace) -> Result<Option<Vec<Row>>, Error> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS {
            let Some(entry) = self.next().await? else { break };
            rows.push(entry.row);
            pace.step().await?;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}

/// Sorted runs merged into one order; of equal keys those of an earlier run come first.
struct Merge {
    heads: BinaryHeap<Head>,
    files: Vec<EntryReader>,
    runs: Vec<std::vec::IntoIter<Entry>>,
}

/// The first entry of a run that is left. The least one is the greatest of the heap.
struct Head {
    entry: Entry,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.entry.key.cmp(&self.entry.key).then_with(|| other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl Merge {
    async fn new(
        files: Vec<SpillFile>,
        runs: Vec<std::vec::IntoIter<Entry>>,
    ) -> Result<Self, Error> {
        let files: Vec<EntryReader> =
            files.into_iter().map(|file| EntryReader::new(Arc::new(file))).collect();
        let count = files.len() + runs.len();
        let mut merge = Self { heads: BinaryHeap::with_capacity(count), files, runs };
        for run in 0..count {
            if let Some(entry) = merge.take(run).await? {
                merge.heads.push(Head { entry, run });
            }
        }
        Ok(merge)
    }

    async fn take(&mut self, run: usize) -> Result<Option<Entry>, Error> {
        let files = self.files.len();
        match self.files.get_mut(run) {
            Some(file) => file.next().await,
            None => Ok(self.runs.get_mut(run - files).and_then(Iterator::next)),
        }
    }

    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        let Some(run) = self.heads.peek().map(|head| head.run) else { return Ok(None) };
        match self.take(run).await? {
            Some(entry) => {
                let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
                Ok(Some(std::mem::replace(&mut head.entry, entry)))
            }
            None => Ok(self.heads.pop().map(|head| head.entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataman_pg::Value;

    use super::*;
    use crate::merge::testing::memory;

    /// So many rows within so much memory come out in the order of a stable sort.
    async fn check(count: usize, bytes: usize, wanted: Option<usize>, in_files: bool) {
        let (memory, _folder) = memory(bytes);
        let mut sorter = Sorter::new(&memory, "a test");
        if let Some(wanted) = wanted {
            sorter.want(wanted);
        }
        let key = |place: usize| ((place * 7919) % 101).to_be_bytes();
        for place in 0..count {
            sorter.push(&key(place), vec![Value::Int8(place as i64)]).await.expect("there is room");
        }
        let mut expected: Vec<usize> = (0..count).collect();
        expected.sort_by_key(|place| key(*place));
        expected.truncate(wanted.unwrap_or(count));
        assert_eq!(memory.temporary().written() > 0, in_files);
        let mut sorted = sorter.finish().await.expect("sorted");
        for place in expected {
            let entry = sorted.next().await.expect("read").expect("there are more");
            assert_eq!(entry.row, [Value::Int8(place as i64)]);
        }
        assert!(sorted.next().await.expect("read").is_none());
        drop(sorted);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn rows_are_sorted_in_memory_and_in_files() {
        check(0, 1 << 20, None, false).await;
        check(3, 1 << 20, None, false).await;
        check(10_000, 1 << 24, None, false).await;
        check(10_000, 256 * 1024, None, true).await;
        check(20_000, 64 * 1024, None, true).await;
        check(20_000, 1 << 24, Some(10), false).await;
        check(50_000, 1 << 20, Some(10), false).await;
        check(20_000, 64 * 1024, Some(6000), true).await;
    }
}
