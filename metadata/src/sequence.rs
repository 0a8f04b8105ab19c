//! The numbers of a sequence: which come next. Pure; a store keeps the state and makes each step last.

use serde::{Deserialize, Serialize};

use crate::schema::Sequence;

/// How far a sequence is, as PostgreSQL shows it by `SELECT last_value, is_called FROM sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    /// The number handed out last, or, when none has been since the start, the first.
    pub last_value: i64,
    /// Whether `last_value` has been handed out.
    pub is_called: bool,
}

/// Numbers that nobody else gets: `first`, `first + increment` … , `count` of them, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceBlock {
    /// The first number.
    pub first: i64,
    /// From one to the next.
    pub increment: i64,
    /// How many.
    pub count: u64,
}

impl SequenceBlock {
    /// Takes the next number off the block; none when it is empty.
    pub fn take(&mut self) -> Option<i64> {
        self.count = self.count.checked_sub(1)?;
        let value = self.first;
        self.first = value.wrapping_add(self.increment);
        Some(value)
    }

    /// Its numbers in order.
    pub fn values(mut self) -> impl Iterator<Item = i64> {
        std::iter::from_fn(move || self.take())
    }
}

/// Why a sequence gives no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceRefusal {
    /// It has come to its end, this value, and does not cycle.
    Exhausted {
        /// `MAXVALUE`, or `MINVALUE` of a descending one.
        limit: i64,
    },
    /// A value to set is not within its bounds.
    OutOfBounds,
}

impl SequenceState {
    /// The state of a new sequence.
    #[must_use]
    pub fn new(sequence: &Sequence) -> Self {
        Self { last_value: sequence.start, is_called: false }
    }

    /// Takes up to `count` numbers, fewer when the sequence's end is nearer; after the end a cycling one goes on at its
    /// other bound with the next block.
    ///
    /// # Errors
    /// The end has been reached.
    pub fn take(
        &mut self,
        sequence: &Sequence,
        count: u64,
    ) -> Result<SequenceBlock, SequenceRefusal> {
        let increment = sequence.increment;
        let (limit, other_bound) =
            if increment > 0 { (sequence.max, sequence.min) } else { (sequence.min, sequence.max) };
        let within = |value: i64| if increment > 0 { value <= limit } else { value >= limit };
        let first = if self.is_called {
            match self.last_value.checked_add(increment).filter(|next| within(*next)) {
                Some(next) => next,
                None if sequence.cycle => other_bound,
                None => return Err(SequenceRefusal::Exhausted { limit }),
            }
        } else {
            self.last_value
        };
        // How many more steps fit between the first and the limit. ALTER SEQUENCE may have moved the limit before it.
        let room = if within(first) { limit.abs_diff(first) / increment.unsigned_abs() } else { 0 };
        let steps = count.max(1).saturating_sub(1).min(room);
        let distance = i128::from(increment) * i128::from(steps);
        let last = i128::from(first) + distance;
        self.last_value =
            i64::try_from(last).expect("no more steps are taken than fit before the limit");
        self.is_called = true;
        Ok(SequenceBlock { first, increment, count: steps + 1 })
    }

    /// Takes one number.
    ///
    /// # Errors
    /// The end has been reached.
    pub fn take_one(&mut self, sequence: &Sequence) -> Result<i64, SequenceRefusal> {
        self.take(sequence, 1).map(|block| block.first)
    }

    /// Sets it, as `setval(sequence, value, is_called)` and `ALTER SEQUENCE … RESTART` do.
    ///
    /// # Errors
    /// The value is not within the sequence's bounds.
    pub fn set(
        &mut self,
        sequence: &Sequence,
        value: i64,
        is_called: bool,
    ) -> Result<(), SequenceRefusal> {
        if value < sequence.min || value > sequence.max {
            return Err(SequenceRefusal::OutOfBounds);
        }
        *self = Self { last_value: value, is_called };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectId;

    fn sequence(start: i64, increment: i64, min: i64, max: i64, cycle: bool) -> Sequence {
        let (oid, type_oid, cache) = (ObjectId(16_384), 20, 1);
        Sequence {
            oid,
            type_oid,
            start,
            increment,
            min,
            max,
            cycle,
            cache,
            owned_by: None,
            comment: None,
        }
    }

    fn check(sequence: &Sequence, counts: &[u64], expected: &[&[i64]]) {
        let mut state = SequenceState::new(sequence);
        for (count, expected) in counts.iter().zip(expected) {
            match state.take(sequence, *count) {
                Ok(block) => assert_eq!(block.values().collect::<Vec<_>>(), *expected),
                Err(SequenceRefusal::Exhausted { .. }) => {
                    assert!(expected.is_empty(), "exhausted before {expected:?}")
                }
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    #[test]
    fn blocks() {
        check(&sequence(1, 1, 1, i64::MAX, false), &[1, 3, 0, 1], &[&[1], &[2, 3, 4], &[5], &[6]]);
        check(&sequence(5, 1, 1, 7, false), &[2, 5, 1], &[&[5, 6], &[7], &[]]);
        check(&sequence(5, 1, 1, 7, true), &[9, 2, 9], &[&[5, 6, 7], &[1, 2], &[3, 4, 5, 6, 7]]);
        check(&sequence(2, 3, 1, 10, false), &[9, 1], &[&[2, 5, 8], &[]]);
        check(&sequence(-1, -2, -6, -1, false), &[2, 9, 1], &[&[-1, -3], &[-5], &[]]);
        check(&sequence(-1, -2, -6, -1, true), &[9, 9], &[&[-1, -3, -5], &[-1, -3, -5]]);
    }

    #[test]
    fn extremes() {
        check(
            &sequence(i64::MAX - 1, 1, 1, i64::MAX, false),
            &[9, 1],
            &[&[i64::MAX - 1, i64::MAX], &[]],
        );
        check(
            &sequence(i64::MIN + 1, -1, i64::MIN, 0, false),
            &[9, 1],
            &[&[i64::MIN + 1, i64::MIN], &[]],
        );
        check(
            &sequence(0, i64::MAX, i64::MIN, i64::MAX, false),
            &[u64::MAX, 1],
            &[&[0, i64::MAX], &[]],
        );
        check(
            &sequence(i64::MIN, i64::MAX, i64::MIN, i64::MAX, false),
            &[9],
            &[&[i64::MIN, -1, i64::MAX - 1]],
        );
        check(
            &sequence(0, i64::MIN, i64::MIN, i64::MAX, true),
            &[9, 1],
            &[&[0, i64::MIN], &[i64::MAX]],
        );
    }

    #[test]
    fn setting() {
        let sequence = sequence(1, 1, 1, 10, false);
        let mut state = SequenceState::new(&sequence);
        state.set(&sequence, 4, false).unwrap();
        assert_eq!(state.take(&sequence, 1).unwrap().first, 4);
        state.set(&sequence, 8, true).unwrap();
        assert_eq!(state.take(&sequence, 9).unwrap().values().collect::<Vec<_>>(), [9, 10]);
        assert_eq!(state.take(&sequence, 1), Err(SequenceRefusal::Exhausted { limit: 10 }));
        assert_eq!(state.set(&sequence, 11, true), Err(SequenceRefusal::OutOfBounds));
        assert_eq!(state.set(&sequence, 0, false), Err(SequenceRefusal::OutOfBounds));
        assert_eq!(state, SequenceState { last_value: 10, is_called: true });
    }
}
