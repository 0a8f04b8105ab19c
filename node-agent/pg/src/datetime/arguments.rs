//! Reading the arguments of these families: a broken promise of the caller is an internal error, not a panic.

use crate::error::{PgError, Result};
use crate::value::{Interval, TimeTz, Value};

fn mismatch(args: &[Value], place: usize, wanted: &str) -> PgError {
    PgError::internal(format!("argument {} is no {wanted}: {:?}", place + 1, args.get(place)))
}

/// A `date`.
pub(crate) fn date(args: &[Value], place: usize) -> Result<i32> {
    match args.get(place) {
        Some(Value::Date(days)) => Ok(*days),
        _ => Err(mismatch(args, place, "date")),
    }
}

/// A `time`.
pub(crate) fn time(args: &[Value], place: usize) -> Result<i64> {
    match args.get(place) {
        Some(Value::Time(micros)) => Ok(*micros),
        _ => Err(mismatch(args, place, "time")),
    }
}

/// A `timetz`.
pub(crate) fn timetz(args: &[Value], place: usize) -> Result<TimeTz> {
    match args.get(place) {
        Some(Value::TimeTz(time)) => Ok(*time),
        _ => Err(mismatch(args, place, "timetz")),
    }
}

/// A `timestamp` or a `timestamptz`: PostgreSQL has one function for both where the zone does not matter.
pub(crate) fn timestamp(args: &[Value], place: usize) -> Result<i64> {
    match args.get(place) {
        Some(Value::Timestamp(micros) | Value::TimestampTz(micros)) => Ok(*micros),
        _ => Err(mismatch(args, place, "timestamp")),
    }
}

/// An `interval`.
pub(crate) fn interval(args: &[Value], place: usize) -> Result<Interval> {
    match args.get(place) {
        Some(Value::Interval(interval)) => Ok(*interval),
        _ => Err(mismatch(args, place, "interval")),
    }
}

/// The value with other microseconds, of the type of an argument that is a `timestamp` or a `timestamptz`.
pub(crate) fn like(args: &[Value], place: usize, micros: i64) -> Value {
    match args.get(place) {
        Some(Value::TimestampTz(_)) => Value::TimestampTz(micros),
        _ => Value::Timestamp(micros),
    }
}
