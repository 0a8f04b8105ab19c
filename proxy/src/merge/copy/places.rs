//! Which line of the client's data a shard means, and which failure comes first.

use std::collections::VecDeque;

/// Entries of one block.
const BLOCK_ENTRIES: usize = 64 * 1024;

/// Blocks that are kept: what a shard has not answered yet is far less.
const BLOCKS_MAX: usize = 64;

/// The lines that went to one shard, in order: its own numbers → those of the client's data. Only the newest are kept, since
/// a shard fails at a line soon after it has got it.
#[derive(Debug, Default)]
pub(super) struct LineMap {
    blocks: VecDeque<Block>,
    /// Lines in all.
    count: u64,
    /// The client's number of the last one.
    last: u64,
}

/// Consecutive lines: the differences of their numbers, seven bits a byte, lowest first.
#[derive(Debug)]
struct Block {
    /// How many lines were before it.
    before: u64,
    /// The client's number of the last line before it.
    base: u64,
    differences: Vec<u8>,
    entries: usize,
}

impl LineMap {
    /// Adds a line with the client's number, which is not below the last one's.
    pub(super) fn push(&mut self, number: u64) {
        let full = self.blocks.back().is_none_or(|block| block.entries == BLOCK_ENTRIES);
        if full {
            if self.blocks.len() == BLOCKS_MAX {
                self.blocks.pop_front();
            }
            self.blocks.push_back(Block {
                before: self.count,
                base: self.last,
                differences: Vec::new(),
                entries: 0,
            });
        }
        let mut difference = number.saturating_sub(self.last);
        if let Some(block) = self.blocks.back_mut() {
            while difference >= 0x80 {
                block.differences.push(0x80 | low_bits(difference));
                difference >>= 7;
            }
            block.differences.push(low_bits(difference));
            block.entries += 1;
        }
        self.count += 1;
        self.last = number;
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The client's number of a line, from 1; none when it is not known any more.
    pub(super) fn find(&self, line: u64) -> Option<u64> {
        let block = self.blocks.iter().rev().find(|block| block.before < line)?;
        let mut left = line - block.before;
        let (mut number, mut difference, mut shift) = (block.base, 0u64, 0);
        for byte in &block.differences {
            difference |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                number += difference;
                (difference, shift) = (0, 0);
                left -= 1;
                if left == 0 {
                    return Some(number);
                }
            }
        }
        None
    }
}

fn low_bits(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7F
}

/// PostgreSQL inserts so many rows at a time …
const GROUP_ROWS: usize = 1000;

/// … or so many bytes of lines.
const GROUP_BYTES: usize = 65_535;

/// Groups whose beginnings are kept.
const GROUPS_MAX: usize = 64 * 1024;

/// The groups in which PostgreSQL inserts rows: what is wrong with a row itself is found when it is read, what is wrong with
/// it among others when its group is inserted.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The first line of each group, but for those long gone.
    starts: VecDeque<u64>,
    gone: usize,
    rows: usize,
    bytes: usize,
}

impl Groups {
    /// Adds a row.
    pub(super) fn push(&mut self, number: u64, bytes: usize) {
        if self.rows == 0 {
            if self.starts.len() == GROUPS_MAX {
                self.starts.pop_front();
                self.gone += 1;
            }
            self.starts.push_back(number);
        }
        self.rows += 1;
        self.bytes += bytes;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            (self.rows, self.bytes) = (0, 0);
        }
    }

    /// The number of a line's group.
    pub(super) fn of(&self, number: u64) -> usize {
        self.gone + self.starts.partition_point(|start| *start <= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let mut map = LineMap::default();
        let number = |line: u64| line * 3 + u64::from(line > 100_000) * 1_000_000;
        for line in 1..=200_000 {
            map.push(number(line));
        }
        assert_eq!(map.count(), 200_000);
        for line in [1, 2, 127, 65_536, 65_537, 100_000, 100_001, 200_000] {
            assert_eq!(map.find(line), Some(number(line)), "line {line}");
        }
        assert_eq!(map.find(0), None);
        assert_eq!(map.find(200_001), None);
    }

    #[test]
    fn old_lines_are_forgotten() {
        let mut map = LineMap::default();
        let lines = u64::try_from((BLOCKS_MAX + 2) * BLOCK_ENTRIES).unwrap();
        for line in 1..=lines {
            map.push(line);
        }
        assert_eq!(map.find(1), None);
        assert_eq!(map.find(lines), Some(lines));
    }

    #[test]
    fn groups() {
        let mut groups = Groups::default();
        for line in 1..=2500 {
            groups.push(line, 10);
        }
        assert_eq!((groups.of(1), groups.of(1000), groups.of(1001), groups.of(2500)), (1, 1, 2, 3));
    }
}
