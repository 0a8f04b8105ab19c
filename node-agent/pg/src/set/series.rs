//! `generate_series` in all its forms.

use super::{Entry, RowSource, entry};
use crate::arguments::arg;
use crate::context::CallContext;
use crate::datetime::arguments::{interval, timestamp};
use crate::datetime::arithmetic::{add_in_zone, add_local};
use crate::datetime::calendar::timestamp_out_of_range;
use crate::error::{PgError, Result};
use crate::order;
use crate::timezone::TimeZone;
use crate::value::{Interval, Numeric, Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("generate_series_int4", |_, args| int4(args)),
    entry("generate_series_step_int4", |_, args| int4(args)),
    entry("generate_series_int8", |_, args| int8(args)),
    entry("generate_series_step_int8", |_, args| int8(args)),
    entry("generate_series_numeric", |_, args| numeric(args)),
    entry("generate_series_step_numeric", |_, args| numeric(args)),
    entry("generate_series_timestamp", |_, args| times(args, None)),
    entry("generate_series_timestamptz", instants),
];

fn zero_step() -> PgError {
    PgError::new("22023", "step size cannot equal zero")
}

/// Integers, of the narrower or the wider type.
#[derive(Debug)]
struct Integers {
    next: Option<i64>,
    last: i64,
    step: i64,
    /// Beyond its type's range the series ends.
    most: i64,
    least: i64,
    wrap: fn(i64) -> Value,
}

impl RowSource for Integers {
    fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        let is_inside =
            |next: &i64| if self.step > 0 { *next <= self.last } else { *next >= self.last };
        let Some(current) = self.next.filter(is_inside) else { return Ok(None) };
        let next = current.checked_add(self.step);
        self.next = next.filter(|next| (self.least..=self.most).contains(next));
        Ok(Some(vec![(self.wrap)(current)]))
    }
}

fn int4(args: &[Value]) -> Result<Box<dyn RowSource>> {
    let step = if args.len() > 2 { arg::<i32>(args, 2)? } else { 1 };
    if step == 0 {
        return Err(zero_step());
    }
    Ok(Box::new(Integers {
        next: Some(arg::<i32>(args, 0)?.into()),
        last: arg::<i32>(args, 1)?.into(),
        step: step.into(),
        most: i32::MAX.into(),
        least: i32::MIN.into(),
        wrap: |value| Value::Int4(i32::try_from(value).unwrap_or(i32::MAX)),
    }))
}

fn int8(args: &[Value]) -> Result<Box<dyn RowSource>> {
    let step = if args.len() > 2 { arg::<i64>(args, 2)? } else { 1 };
    if step == 0 {
        return Err(zero_step());
    }
    Ok(Box::new(Integers {
        next: Some(arg::<i64>(args, 0)?),
        last: arg::<i64>(args, 1)?,
        step,
        most: i64::MAX,
        least: i64::MIN,
        wrap: Value::Int8,
    }))
}

#[derive(Debug)]
struct Numbers {
    /// `None` behind the largest number that there is.
    next: Option<Numeric>,
    last: Numeric,
    step: Numeric,
}

impl RowSource for Numbers {
    fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        let Some(current) = self.next.take() else { return Ok(None) };
        let to_last = current.compare(&self.last);
        let is_growing = self.step.compare(&Numeric::zero()).is_gt();
        if if is_growing { to_last.is_gt() } else { to_last.is_lt() } {
            return Ok(None);
        }
        self.next = current.add(&self.step).ok();
        Ok(Some(vec![Value::Numeric(current)]))
    }
}

fn numeric(args: &[Value]) -> Result<Box<dyn RowSource>> {
    let refuse =
        |what: &str, kind: &str| Err(PgError::new("22023", format!("{what} cannot be {kind}")));
    let checked = |place: usize, what: &str| match arg::<&Numeric>(args, place)? {
        Numeric::NaN => refuse(what, "NaN"),
        Numeric::PositiveInfinity | Numeric::NegativeInfinity => refuse(what, "infinity"),
        finite => Ok(finite.clone()),
    };
    let (next, last) = (checked(0, "start value")?, checked(1, "stop value")?);
    let step = if args.len() > 2 { checked(2, "step size")? } else { Numeric::from(1) };
    if step.compare(&Numeric::zero()).is_eq() {
        return Err(zero_step());
    }
    Ok(Box::new(Numbers { next: Some(next), last, step }))
}

#[derive(Debug)]
struct Times {
    next: i64,
    last: i64,
    step: Interval,
    is_growing: bool,
    /// For instants: where days and months are counted.
    zone: Option<TimeZone>,
}

impl RowSource for Times {
    fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        let current = self.next;
        if if self.is_growing { current > self.last } else { current < self.last } {
            return Ok(None);
        }
        self.next = match &self.zone {
            None => add_local(current, self.step)?,
            Some(zone) => {
                add_in_zone(current, self.step, zone).ok_or_else(timestamp_out_of_range)?
            }
        };
        Ok(Some(vec![match self.zone {
            None => Value::Timestamp(current),
            Some(_) => Value::TimestampTz(current),
        }]))
    }
}

fn instants(call: &CallContext<'_>, args: &[Value]) -> Result<Box<dyn RowSource>> {
    times(args, Some(call.context.time_zone.clone()))
}

fn times(args: &[Value], zone: Option<TimeZone>) -> Result<Box<dyn RowSource>> {
    let (next, last, step) = (timestamp(args, 0)?, timestamp(args, 1)?, interval(args, 2)?);
    let direction = order::compare(&Value::Interval(step), &Value::Interval(Interval::default()));
    if direction.is_eq() {
        return Err(zero_step());
    }
    Ok(Box::new(Times { next, last, step, is_growing: direction.is_gt(), zone }))
}
