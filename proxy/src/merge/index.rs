//! The places of kept rows by their keys: by hash in memory, and beyond it sorted, in a file.

use std::collections::HashMap;
use std::sync::Arc;

use dataman_pg::Value;

use super::memory::{Account, Memory};
use super::pace::Pace;
use super::rows::Row;
use super::sorter::Sorter;
use super::store::{Store, damaged};
use crate::error::Error;

/// What a key with one place takes beside its own bytes, roughly.
const KEY_BYTES: usize = 96;

/// What is found by key.
pub(super) enum Index {
    /// In memory.
    Hash {
        /// By key.
        places: HashMap<Vec<u8>, Arc<Vec<usize>>>,
        /// What they take.
        _account: Account,
    },
    /// Rows of a key and a place, in order.
    Sorted(Box<Store>),
}

impl Index {
    /// The places of a key's rows, in order.
    ///
    /// # Errors
    /// Those of temporary files.
    pub(super) async fn places(&self, key: &[u8]) -> Result<Arc<Vec<usize>>, Error> {
        let store = match self {
            Self::Hash { places, .. } => {
                return Ok(places.get(key).cloned().unwrap_or_default());
            }
            Self::Sorted(store) => store,
        };
        let (mut low, mut high) = (0, store.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, _) = entry_at(store, middle).await?;
            if *found < *key { low = middle + 1 } else { high = middle }
        }
        let mut places = Vec::new();
        while low < store.len() {
            let (found, place) = entry_at(store, low).await?;
            if *found != *key {
                break;
            }
            places.push(place);
            low += 1;
        }
        Ok(Arc::new(places))
    }
}

async fn entry_at(store: &Store, at: usize) -> Result<(Arc<[u8]>, usize), Error> {
    let row = store.rows_at(&[at]).await?.pop();
    match row.as_deref() {
        Some([Value::Bytea(key), Value::Int8(place)]) => {
            Ok((Arc::clone(key), usize::try_from(*place).map_err(|_| damaged())?))
        }
        _ => Err(damaged()),
    }
}

/// An index while its rows are read.
pub(super) struct Building {
    what: &'static str,
    memory: Memory,
    pace: Pace,
    places: HashMap<Vec<u8>, Vec<usize>>,
    account: Account,
    /// All keys, once there is no room for them.
    sorter: Option<Sorter>,
}

impl Building {
    /// For the operator that is called `what`.
    pub(super) fn new(memory: &Memory, what: &'static str) -> Self {
        Self {
            what,
            memory: memory.clone(),
            pace: memory.pace(),
            places: HashMap::new(),
            account: memory.account(),
            sorter: None,
        }
    }

    /// Adds a row's key and place; places come in order.
    ///
    /// # Errors
    /// Those of temporary files; the statement is cancelled.
    pub(super) async fn add(&mut self, key: Vec<u8>, place: usize) -> Result<(), Error> {
        if let Some(sorter) = &mut self.sorter {
            return put(sorter, key, place).await;
        }
        if self.account.has_room(key.len() + KEY_BYTES) {
            self.places.entry(key).or_default().push(place);
            return Ok(());
        }
        let mut sorter = Sorter::new(&self.memory, self.what);
        self.account.clear();
        for (key, places) in self.places.drain() {
            for place in places {
                self.pace.step().await?;
                put(&mut sorter, key.clone(), place).await?;
            }
        }
        put(&mut sorter, key, place).await?;
        self.sorter = Some(sorter);
        Ok(())
    }

    /// The index.
    ///
    /// # Errors
    /// Those of temporary files; the statement is cancelled.
    pub(super) async fn finish(mut self) -> Result<Index, Error> {
        let Some(sorter) = self.sorter else {
            let places = self.places.into_iter().map(|(key, places)| (key, Arc::new(places)));
            return Ok(Index::Hash { places: places.collect(), _account: self.account });
        };
        let mut store = Store::new(&self.memory, self.what);
        let mut sorted = sorter.finish().await?;
        while let Some(batch) = sorted.batch(&mut self.pace).await? {
            for row in batch {
                store.push(row).await?;
            }
        }
        Ok(Index::Sorted(Box::new(store)))
    }
}

async fn put(sorter: &mut Sorter, key: Vec<u8>, place: usize) -> Result<(), Error> {
    let number = i64::try_from(place).unwrap_or(i64::MAX);
    let row: Row = vec![Value::Bytea(key.as_slice().into()), Value::Int8(number)];
    let mut bytes = key;
    // Keys are such that none is the beginning of another.
    bytes.extend_from_slice(&number.to_be_bytes());
    sorter.push(&bytes, row).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::testing::memory;

    /// So many rows with so many keys are found within so much memory.
    async fn check(count: usize, keys: usize, bytes: usize, in_files: bool) {
        let (memory, _folder) = memory(bytes);
        let mut index = Building::new(&memory, "a test");
        for place in 0..count {
            let key = (place % keys).to_be_bytes().to_vec();
            index.add(key, place).await.expect("there is room");
        }
        let index = index.finish().await.expect("there is room");
        assert_eq!(memory.temporary().written() > 0, in_files);
        for key in [0, 1, keys / 2, keys - 1, keys, keys + 7] {
            let expected: Vec<usize> = (0..count).filter(|place| place % keys == key).collect();
            let found = index.places(&key.to_be_bytes()).await.expect("read");
            assert_eq!(*found, expected, "{key}");
        }
        drop(index);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn rows_are_found_in_memory_and_in_files() {
        check(1000, 100, 1 << 20, false).await;
        check(8000, 8000, 128 * 1024, true).await;
        check(8000, 50, 128 * 1024, true).await;
    }
}
