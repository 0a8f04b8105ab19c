//! Ordered-set aggregates: `percentile_cont`, `percentile_disc`, `mode` (the manual's table 9.61).
//!
//! Rows come in the order of WITHIN GROUP, NULLs too, which do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Accumulator, collect};
use crate::context::CallContext;
use crate::datetime::make::general;
use crate::error::{PgError, Result};
use crate::interval::arithmetic as span;
use crate::order::compare;
use crate::value::{Array, Value};

/// What lies at a fraction of the way through the values.
#[derive(Debug)]
pub(super) struct Percentile {
    kind: Kind,
    /// The fraction, or an array of fractions.
    fractions: Value,
    /// By their places.
    values: BTreeMap<usize, Value>,
    /// The places that count, when it is known how many values come.
    wanted: Option<BTreeSet<usize>>,
    count: usize,
    held: usize,
}

/// Whether there is something between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first value at or behind the fraction.
    Discrete,
    /// Between neighbours, by distance: of doubles or intervals.
    Continuous,
}

impl Percentile {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            fractions: Value::Null,
            values: BTreeMap::new(),
            wanted: None,
            count: 0,
            held: 0,
        }
    }

    /// The two places among so many values between which a fraction lies, and how far from the first. Of several fractions
    /// PostgreSQL counts the places from 1 before it rounds.
    fn places(&self, fraction: f64, count: usize, of_many: bool) -> (usize, usize, f64) {
        #[expect(clippy::cast_precision_loss, reason = "as PostgreSQL counts")]
        let count = count as f64;
        if self.kind == Kind::Discrete {
            let place = index((fraction * count).ceil() - 1.0);
            return (place, place, 0.0);
        }
        let place = fraction * (count - 1.0);
        let (first, second) = if of_many {
            ((1.0 + place).floor() - 1.0, (1.0 + place).ceil() - 1.0)
        } else {
            (place.floor(), place.ceil())
        };
        (index(first), index(second), place - place.floor())
    }

    fn value(&self, fraction: f64, of_many: bool) -> Result<Value> {
        let (first, second, part) = self.places(fraction, self.count, of_many);
        let low = self.at(first);
        if second <= first {
            return Ok(low);
        }
        Ok(match (low, self.at(second)) {
            (Value::Float8(low), Value::Float8(high)) => Value::Float8(low + part * (high - low)),
            (Value::Interval(low), Value::Interval(high)) => {
                let step = span::multiply(span::subtract(high, low)?, part)?;
                Value::Interval(span::add(step, low)?)
            }
            (low, _) => low,
        })
    }

    fn at(&self, place: usize) -> Value {
        self.values.get(&place).cloned().unwrap_or(Value::Null)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place within the values, or below the first"
)]
fn index(place: f64) -> usize {
    place.max(0.0) as usize
}

fn checked(fraction: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&fraction) {
        return Ok(fraction);
    }
    let message = format!("percentile value {} is not between 0 and 1", general(fraction));
    Err(PgError::new("22003", message))
}

impl Accumulator for Percentile {
    fn begin(&mut self, direct: &[Value]) {
        self.fractions = direct.first().cloned().unwrap_or(Value::Null);
    }

    fn expect(&mut self, rows: usize) {
        let (fractions, of_many) = match &self.fractions {
            Value::Array(fractions) => (fractions.elements.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        let mut wanted = BTreeSet::new();
        for fraction in fractions {
            if let Value::Float8(fraction) = fraction
                && checked(*fraction).is_ok()
            {
                let (first, second, _) = self.places(*fraction, rows, of_many);
                wanted.extend([first, second]);
            }
        }
        self.wanted = Some(wanted);
    }

    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = args.first().filter(|value| !value.is_null()) else { return Ok(()) };
        if self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&self.count)) {
            self.held += size_of::<(usize, Value)>() + collect::held_bytes(value);
            self.values.insert(self.count, value.clone());
        }
        self.count += 1;
        Ok(())
    }

    fn finish(&self, call: &CallContext<'_>) -> Result<Value> {
        match &self.fractions {
            Value::Float8(fraction) => {
                let fraction = checked(*fraction)?;
                if self.count == 0 { Ok(Value::Null) } else { self.value(fraction, false) }
            }
            Value::Array(fractions) if self.count > 0 => {
                let known = fractions.elements.iter().map(|fraction| match fraction {
                    Value::Float8(fraction) => checked(*fraction).map(Some),
                    _ => Ok(None),
                });
                let known = known.collect::<Result<Vec<_>>>()?;
                let elements = known
                    .into_iter()
                    .map(|fraction| {
                        fraction.map_or(Ok(Value::Null), |fraction| self.value(fraction, true))
                    })
                    .collect::<Result<Vec<_>>>()?;
                let element_type = call.arguments.last().copied().unwrap_or(call.result);
                let dimensions = fractions.dimensions.clone();
                Ok(Value::Array(Arc::new(Array { element_type, dimensions, elements })))
            }
            _ => Ok(Value::Null),
        }
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}

/// The value that occurs most often; of several the first in order.
#[derive(Debug)]
pub(super) struct Mode {
    best: Value,
    best_count: u64,
    last: Value,
    last_count: u64,
}

impl Mode {
    pub(super) fn new() -> Self {
        Self { best: Value::Null, best_count: 0, last: Value::Null, last_count: 0 }
    }
}

impl Accumulator for Mode {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = args.first().filter(|value| !value.is_null()) else { return Ok(()) };
        if self.last_count > 0 && compare(&self.last, value).is_eq() {
            self.last_count += 1;
        } else {
            self.last = value.clone();
            self.last_count = 1;
        }
        if self.last_count > self.best_count {
            self.best = self.last.clone();
            self.best_count = self.last_count;
        }
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.best.clone())
    }

    fn held_bytes(&self) -> usize {
        collect::held_bytes(&self.best) + collect::held_bytes(&self.last)
    }
}
