//! Rows held to be read by their place: in memory, and beyond it in blocks of a temporary file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dataman_pg::PgError;
use dataman_pg::io::kept;

use super::memory::{Account, Memory, row_bytes};
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::spill::{CHUNK_BYTES, SpillFile};
use crate::error::Error;

/// Bytes of a block: what is read for one row.
const BLOCK_BYTES: usize = 16 * 1024;

/// Blocks that stay in memory after they were read: as many as there are places at which a window reads.
const BLOCKS_MAX: usize = 8;

/// Rows by their place, in the order in which they came.
pub(crate) struct Store {
    what: &'static str,
    memory: Memory,
    account: Account,
    /// The rows from `first` on; those ahead of them are in the file.
    rows: Vec<Row>,
    first: usize,
    file: Option<Blocks>,
    /// Blocks that were read last by those who share the store.
    shared: Mutex<VecDeque<(usize, Arc<Vec<Row>>)>>,
}

struct Blocks {
    file: SpillFile,
    /// In order of their first rows.
    blocks: Vec<Block>,
    /// Those that were read last, the last one at the end.
    read: VecDeque<(usize, Vec<Row>)>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    first: usize,
    place: u64,
    length: usize,
}

impl Store {
    /// A store for the operator that is called `what`.
    pub(crate) fn new(memory: &Memory, what: &'static str) -> Self {
        Self {
            what,
            memory: memory.clone(),
            account: memory.account(),
            rows: Vec::new(),
            first: 0,
            file: None,
            shared: Mutex::default(),
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.first + self.rows.len()
    }

    /// Whether all rows are in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn push(&mut self, row: Row) -> Result<(), Error> {
        let bytes = row_bytes(&row);
        if !self.account.has_room(bytes) {
            self.put_aside().await?;
            if !self.account.has_room(bytes) {
                self.account.overdraw(bytes);
            }
        }
        self.rows.push(row);
        Ok(())
    }

    /// Writes the rows in memory to the file.
    async fn put_aside(&mut self) -> Result<(), Error> {
        let blocks = self.file.get_or_insert_with(|| Blocks {
            file: SpillFile::new(self.memory.temporary(), self.what),
            blocks: Vec::new(),
            read: VecDeque::new(),
        });
        let mut bytes = Vec::new();
        let mut written: Vec<Block> = Vec::new();
        let mut first = self.first;
        let count = self.rows.len();
        for (place, row) in self.rows.drain(..).enumerate() {
            let start = written.last().map_or(0, |block: &Block| {
                usize::try_from(block.place).unwrap_or(usize::MAX) + block.length
            });
            kept::put_row(&row, &mut bytes);
            let is_last = place + 1 == count;
            // A block lies in one chunk.
            let is_full = bytes.len() >= CHUNK_BYTES || is_last;
            if bytes.len() - start >= BLOCK_BYTES || is_full {
                let length = bytes.len() - start;
                written.push(Block { first, place: start as u64, length });
                first = self.first + place + 1;
            }
            if is_full {
                let at = blocks.file.append(std::mem::take(&mut bytes)).await?;
                let moved = written.drain(..);
                blocks.blocks.extend(moved.map(|block| Block { place: at + block.place, ..block }));
            }
        }
        self.first += count;
        self.account.clear();
        Ok(())
    }

    /// Makes sure that [`Store::row`] finds the row at a place, at least until so many others were asked for as blocks stay.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn load(&mut self, place: usize) -> Result<(), Error> {
        let Some(blocks) = &mut self.file else { return Ok(()) };
        if place >= self.first {
            return Ok(());
        }
        let index = blocks.blocks.partition_point(|block| block.first <= place).saturating_sub(1);
        if let Some(at) = blocks.read.iter().position(|(known, _)| *known == index) {
            if at + 1 < blocks.read.len()
                && let Some(found) = blocks.read.remove(at)
            {
                blocks.read.push_back(found);
            }
            return Ok(());
        }
        let rows = blocks.block(index).await?;
        if blocks.read.len() >= BLOCKS_MAX {
            blocks.read.pop_front();
        }
        blocks.read.push_back((index, rows));
        Ok(())
    }

    /// The row at a place that was loaded.
    pub(crate) fn row(&self, place: usize) -> &Row {
        if place >= self.first {
            return &self.rows[place - self.first];
        }
        let blocks = self.file.as_ref().expect("rows ahead of those in memory are in a file");
        let index = blocks.blocks.partition_point(|block| block.first <= place) - 1;
        let (_, rows) = blocks
            .read
            .iter()
            .rev()
            .find(|(known, _)| *known == index)
            .expect("the row was loaded, and few others since");
        &rows[place - blocks.blocks[index].first]
    }

    /// Some rows from a place on; none at the end.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn batch(&self, place: usize) -> Result<Vec<Row>, Error> {
        if let Some(blocks) = &self.file
            && place < self.first
        {
            let index = blocks.blocks.partition_point(|block| block.first <= place) - 1;
            let mut rows = blocks.block(index).await?;
            rows.drain(..place - blocks.blocks[index].first);
            return Ok(rows);
        }
        Ok(self.rows.iter().skip(place - self.first).take(BATCH_ROWS).cloned().collect())
    }

    /// The rows at some places.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn rows_at(&self, places: &[usize]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::with_capacity(places.len());
        let mut current: Option<(usize, Arc<Vec<Row>>)> = None;
        for place in places {
            let Some(blocks) = self.file.as_ref().filter(|_| *place < self.first) else {
                rows.push(self.rows[place - self.first].clone());
                continue;
            };
            let index = blocks.blocks.partition_point(|block| block.first <= *place) - 1;
            let known = match &current {
                Some((known, block)) if *known == index => Arc::clone(block),
                _ => self.shared_block(blocks, index).await?,
            };
            rows.push(known[place - blocks.blocks[index].first].clone());
            current = Some((index, known));
        }
        Ok(rows)
    }

    async fn shared_block(&self, blocks: &Blocks, index: usize) -> Result<Arc<Vec<Row>>, Error> {
        let shared = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = shared().iter().find(|(known, _)| *known == index) {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(blocks.block(index).await?);
        let mut shared = shared();
        if shared.len() >= BLOCKS_MAX {
            shared.pop_front();
        }
        shared.push_back((index, Arc::clone(&block)));
        Ok(block)
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.first = 0;
        self.file = None;
        self.shared.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        self.account.clear();
    }

    /// The rows in order, given away.
    pub(crate) fn into_reader(self) -> Reader {
        Reader { store: self, place: 0 }
    }
}

impl Blocks {
    async fn block(&self, index: usize) -> Result<Vec<Row>, Error> {
        let Some(block) = self.blocks.get(index) else { return Ok(Vec::new()) };
        let bytes = self.file.read(block.place, block.length).await?;
        let mut left = bytes.as_slice();
        let mut rows = Vec::new();
        while !left.is_empty() {
            rows.push(kept::take_row(&mut left).ok_or_else(damaged)?);
        }
        Ok(rows)
    }
}

/// A temporary file holds something else than was written.
pub(crate) fn damaged() -> Error {
    PgError::new("58030", "a temporary file does not hold what was written to it").into()
}

/// Reads a store's rows once.
pub(crate) struct Reader {
    store: Store,
    place: usize,
}

impl Reader {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let rows = if self.store.is_in_memory() {
            let left = self.store.rows.iter_mut().skip(self.place).take(BATCH_ROWS);
            left.map(std::mem::take).collect()
        } else {
            self.store.batch(self.place).await?
        };
        self.place += rows.len();
        Ok((!rows.is_empty()).then_some(rows))
    }
}

#[async_trait]
impl ValueStream for Reader {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        Self::next(self).await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use dataman_pg::Value;

    use super::*;
    use crate::merge::testing::memory;

    /// So many rows within so much memory: all are read back by place and in order.
    async fn check(count: usize, width: usize, bytes: usize, in_memory: bool) {
        let (memory, _folder) = memory(bytes);
        let mut store = Store::new(&memory, "a test");
        let row = |place: usize| {
            vec![Value::Int8(place as i64), Value::text("x".repeat(place % width)), Value::Null]
        };
        for place in 0..count {
            store.push(row(place)).await.expect("there is room in files");
        }
        assert_eq!((store.len(), store.is_in_memory()), (count, in_memory));
        let places: Vec<usize> = (0..count).step_by(3).chain((0..count).rev().step_by(5)).collect();
        let expected: Vec<Row> = places.iter().map(|place| row(*place)).collect();
        assert_eq!(store.rows_at(&places).await.expect("they are there"), expected);
        for step in [1, 7, 1013] {
            for place in (0..count).step_by(step) {
                for place in [place, count - 1 - place, place / 2] {
                    store.load(place).await.expect("it is there");
                    assert_eq!(*store.row(place), row(place));
                }
            }
        }
        let mut reader = store.into_reader();
        let mut read = 0;
        while let Some(rows) = reader.next().await.expect("it is there") {
            for found in rows {
                assert_eq!(found, row(read));
                read += 1;
            }
        }
        assert_eq!(read, count);
        drop(reader);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn rows_come_back_from_memory_and_from_files() {
        check(3, 40, 64 * 1024, true).await;
        check(100, 40, 1024 * 1024, true).await;
        check(5000, 40, 64 * 1024, false).await;
        check(2, 40, 64, false).await;
        // Blocks that do not divide a chunk.
        check(3000, 1500, 1024 * 1024, false).await;
    }
}
