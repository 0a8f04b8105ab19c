//! The rows of a hash join's right side that are in memory, found by their keys.

use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory, row_bytes};
use super::rows::Row;

/// No row.
const NONE: u32 = u32::MAX;

/// What a row takes beside itself: its place in the chain of its key's rows, and whether it has matched.
const LINK_BYTES: usize = 8;

/// Rows chained by their keys, in the order in which they came.
pub(super) struct Build {
    keys: KeyTable,
    /// The first and the last row of each key.
    chains: Vec<(u32, u32)>,
    /// The next row of the same key.
    next: Vec<u32>,
    pub(super) rows: Vec<Row>,
    /// Which rows have matched.
    pub(super) matched: Vec<bool>,
    account: Account,
}

impl Build {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            keys: KeyTable::default(),
            chains: Vec::new(),
            next: Vec::new(),
            rows: Vec::new(),
            matched: Vec::new(),
            account: memory.account(),
        }
    }

    /// Adds a row; gives it back when there is no room. An empty key is one with a NULL, which nothing finds.
    pub(super) fn add(&mut self, key: &[u8], row: Row) -> Result<(), Row> {
        let bytes = row_bytes(&row) + key.len() + KEY_BYTES + LINK_BYTES;
        if !self.account.has_room(bytes) {
            if !self.rows.is_empty() {
                return Err(row);
            }
            // One row at a time is the least with which there is an end.
            self.account.overdraw(bytes);
        }
        let place = u32::try_from(self.rows.len()).expect("memory ends before so many rows");
        self.rows.push(row);
        self.matched.push(false);
        self.next.push(NONE);
        if !key.is_empty() {
            let (number, is_new) = self.keys.insert(key);
            if is_new {
                self.chains.push((place, place));
            } else {
                let last = std::mem::replace(&mut self.chains[number].1, place);
                self.next[index(last)] = place;
            }
        }
        Ok(())
    }

    /// The first row of a key.
    pub(super) fn first(&self, key: &[u8]) -> Option<usize> {
        self.keys.find(key).map(|number| index(self.chains[number].0))
    }

    /// The next row of the same key.
    pub(super) fn after(&self, place: usize) -> Option<usize> {
        Some(self.next[place]).filter(|next| *next != NONE).map(index)
    }

    /// Takes the rows with their keys out, in the order in which they came.
    pub(super) fn take(&mut self) -> Vec<(Vec<u8>, Row)> {
        let mut keys = vec![Vec::new(); self.rows.len()];
        for (number, (first, _)) in self.chains.iter().enumerate() {
            let mut place = Some(index(*first));
            while let Some(at) = place {
                keys[at] = self.keys.key(number).to_vec();
                place = self.after(at);
            }
        }
        let rows = std::mem::take(&mut self.rows);
        let taken = keys.into_iter().zip(rows).collect();
        self.clear();
        taken
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.chains = Vec::new();
        self.next = Vec::new();
        self.rows = Vec::new();
        self.matched = Vec::new();
        self.account.clear();
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
