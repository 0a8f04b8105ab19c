//! Comparison, hash and order-preserving bytes of values, by each type's default B-tree and hash operator classes.
//!
//! Both operands are of one type and not NULL. Text compares by bytes (the "C" collation).

use std::cmp::Ordering;
use std::hash::Hasher;

use crate::value::Value;

/// PostgreSQL's order of two values of one type: NaN equals itself and is greatest, -0 equals 0, intervals compare by
/// their estimated length, `char(n)` without trailing blanks, jsonb and arrays by their own rules.
pub fn compare(_left: &Value, _right: &Value) -> Ordering {
    Ordering::Equal
}

/// Feeds a hash that is alike for values that [`compare`] as equal. NULL hashes too (groups have NULL keys).
pub fn hash(_value: &Value, _state: &mut impl Hasher) {}

/// Appends bytes whose memory order is the values' order and which are alike exactly for values that compare as equal.
/// Self-delimiting, so that keys can be joined. NULL is not written.
pub fn encode_ordered(_value: &Value, _out: &mut Vec<u8>) {}
