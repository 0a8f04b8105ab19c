//! Keys numbered in the order in which they first come: what groups, DISTINCT, set operations and joins look rows up by.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So that nobody can choose keys that all fall into one slot.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// The seed of the hash that decides a row's part of what is put aside; it differs by depth.
const PART_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bytes that a key takes beside its own, with the room that the table keeps free.
pub(crate) const KEY_BYTES: usize = 40;

/// Which of so many parts a key belongs to, at a depth of parts of parts.
pub(crate) fn part_of(key: &[u8], depth: u32, parts: usize) -> usize {
    let hash = xxh3_64_with_seed(key, PART_SEED.wrapping_mul(u64::from(depth) + 1));
    let parts = u64::try_from(parts.max(1)).unwrap_or(1);
    usize::try_from(hash % parts).unwrap_or(0)
}

/// A set of keys, each with its number.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    bytes: Vec<u8>,
    /// For each key its hash, and where its bytes end.
    keys: Vec<(u64, usize)>,
    /// Open addressing: a key's number and one, 0 for a free slot. Their count is a power of two.
    slots: Vec<u32>,
}

impl KeyTable {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The bytes of a key.
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.keys[before].1);
        &self.bytes[start..self.keys[number].1]
    }

    /// A key's number, if it is there.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.slot(hash_of(key), key).err()
    }

    /// A key's number, and whether it is new.
    pub(crate) fn insert(&mut self, key: &[u8]) -> (usize, bool) {
        if (self.keys.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = hash_of(key);
        match self.slot(hash, key) {
            Err(number) => (number, false),
            Ok(slot) => {
                let number = self.keys.len();
                self.bytes.extend_from_slice(key);
                self.keys.push((hash, self.bytes.len()));
                self.slots[slot] = u32::try_from(number + 1)
                    .expect("memory ends before four thousand million keys");
                (number, true)
            }
        }
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The free slot for a key, or the number of the one that is there.
    fn slot(&self, hash: u64, key: &[u8]) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = place(hash) & mask;
        loop {
            let Some(number) = usize::try_from(self.slots[slot]).unwrap_or(0).checked_sub(1) else {
                return Ok(slot);
            };
            if self.keys[number].0 == hash && self.key(number) == key {
                return Err(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(16);
        self.slots = vec![0; count];
        for (number, (hash, _)) in self.keys.iter().enumerate() {
            let mut slot = place(*hash) & (count - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (count - 1);
            }
            self.slots[slot] =
                u32::try_from(number + 1).expect("memory ends before four thousand million keys");
        }
    }
}

fn hash_of(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, *SEED)
}

#[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
fn place(hash: u64) -> usize {
    hash as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_as_they_come() {
        let mut table = KeyTable::default();
        assert_eq!(table.find(b""), None);
        for (key, expected) in
            [(&b"b"[..], (0, true)), (b"a", (1, true)), (b"", (2, true)), (b"b", (0, false))]
        {
            assert_eq!(table.insert(key), expected);
        }
        for number in 0..10_000_usize {
            let (found, is_new) = table.insert(&number.to_be_bytes());
            assert_eq!((found, is_new), (number + 3, true));
        }
        for number in 0..10_000_usize {
            assert_eq!(table.find(&number.to_be_bytes()), Some(number + 3));
            assert_eq!(table.key(number + 3), number.to_be_bytes());
        }
        assert_eq!((table.find(b"c"), table.len()), (None, 10_003));
        table.clear();
        assert_eq!((table.find(b"a"), table.len()), (None, 0));
    }
}
