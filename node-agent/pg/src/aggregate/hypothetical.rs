//! Hypothetical-set aggregates: `rank`, `dense_rank`, `percent_rank`, `cume_dist` WITHIN GROUP (the manual's table 9.62).
//!
//! The direct arguments are a row that might be among the sorted ones; the answer is its place. All rows count, those with
//! NULLs too.

use std::cmp::Ordering;

use super::{Accumulator, Direction};
use crate::context::CallContext;
use crate::error::Result;
use crate::order::compare;
use crate::value::Value;

/// What is asked about the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Rank,
    DenseRank,
    PercentRank,
    CumulativeDistribution,
}

/// Counts the rows before the one that is asked about, and those like it.
#[derive(Debug)]
pub(super) struct Place {
    question: Question,
    directions: Vec<Direction>,
    row: Vec<Value>,
    last: Option<Vec<Value>>,
    rows: i64,
    before: i64,
    distinct_before: i64,
    alike: i64,
}

impl Place {
    /// The aggregate of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let question = match name {
            "rank" => Question::Rank,
            "dense_rank" => Question::DenseRank,
            "percent_rank" => Question::PercentRank,
            "cume_dist" => Question::CumulativeDistribution,
            _ => return None,
        };
        Some(Self {
            question,
            directions: Vec::new(),
            row: Vec::new(),
            last: None,
            rows: 0,
            before: 0,
            distinct_before: 0,
            alike: 0,
        })
    }

    fn order(&self, left: &[Value], right: &[Value]) -> Ordering {
        let plain = std::iter::repeat(&Direction { descending: false, nulls_first: false });
        let pairs = left.iter().zip(right).zip(self.directions.iter().chain(plain));
        let mut orders = pairs.map(|((left, right), direction)| direction.compare(left, right));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Direction {
    fn compare(self, left: &Value, right: &Value) -> Ordering {
        let order = match (left.is_null(), right.is_null()) {
            (true, true) => return Ordering::Equal,
            (false, false) => compare(left, right),
            (left_is_null, _) => {
                return if left_is_null == self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
            }
        };
        if self.descending { order.reverse() } else { order }
    }
}

impl Accumulator for Place {
    fn begin(&mut self, direct: &[Value]) {
        self.row = direct.to_vec();
    }

    fn sorted_by(&mut self, directions: &[Direction]) {
        self.directions = directions.to_vec();
    }

    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        self.rows += 1;
        match self.order(args, &self.row) {
            Ordering::Less => {
                self.before += 1;
                if self.last.as_ref().is_none_or(|last| self.order(last, args).is_ne()) {
                    self.distinct_before += 1;
                    self.last = Some(args.to_vec());
                }
            }
            Ordering::Equal => self.alike += 1,
            Ordering::Greater => {}
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "as PostgreSQL divides")]
    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(match self.question {
            Question::Rank => Value::Int8(self.before + 1),
            Question::DenseRank => Value::Int8(self.distinct_before + 1),
            Question::PercentRank if self.rows == 0 => Value::Float8(0.0),
            Question::PercentRank => Value::Float8(self.before as f64 / self.rows as f64),
            Question::CumulativeDistribution => {
                let up_to = self.before + self.alike + 1;
                Value::Float8(up_to as f64 / (self.rows + 1) as f64)
            }
        })
    }

    fn held_bytes(&self) -> usize {
        self.last.iter().flatten().chain(&self.row).map(super::collect::held_bytes).sum()
    }
}
