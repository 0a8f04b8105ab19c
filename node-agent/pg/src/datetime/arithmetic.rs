//! Arithmetic of dates, times and timestamps (the manual's section 9.9, tables 9.32 and 9.33).

use std::cmp::Ordering;

use super::arguments::{date, interval, like, time, timestamp, timetz};
use super::calendar::{
    self, DAY_US, Fields, SECOND_US, date_out_of_range, interval_out_of_range, is_infinite,
    timestamp_of, timestamp_out_of_range, valid_date, valid_timestamp,
};
use super::convert::{date_to_timestamp, to_instant, to_local};
use crate::arguments::{boolean, int4, is_null};
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::interval::arithmetic::justify_hours;
use crate::order::{compare, span};
use crate::registry::{Entry, entry};
use crate::timezone::TimeZone;
use crate::value::{Interval, TimeTz, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("date_pli", |_, args| date_plus(date(args, 0)?, i64::from(int4(args, 1)?))),
    entry("integer_pl_date(int4,date)", |_, args| {
        date_plus(date(args, 1)?, i64::from(int4(args, 0)?))
    }),
    entry("date_mii", |_, args| date_plus(date(args, 0)?, -i64::from(int4(args, 1)?))),
    entry("date_mi", |_, args| {
        let (a, b) = (date(args, 0)?, date(args, 1)?);
        if [a, b].iter().any(|days| matches!(*days, i32::MIN | i32::MAX)) {
            return Err(PgError::new("22008", "cannot subtract infinite dates"));
        }
        Ok(Value::Int4(a.wrapping_sub(b)))
    }),
    entry("date_pl_interval", |_, args| {
        add_local(date_to_timestamp(date(args, 0)?)?, interval(args, 1)?).map(Value::Timestamp)
    }),
    entry("interval_pl_date(interval,date)", |_, args| {
        add_local(date_to_timestamp(date(args, 1)?)?, interval(args, 0)?).map(Value::Timestamp)
    }),
    entry("date_mi_interval", |_, args| {
        let span = opposite(interval(args, 1)?);
        add_local(date_to_timestamp(date(args, 0)?)?, span).map(Value::Timestamp)
    }),
    entry("timestamp_pl_interval", |_, args| {
        add_local(timestamp(args, 0)?, interval(args, 1)?).map(Value::Timestamp)
    }),
    entry("interval_pl_timestamp(interval,timestamp)", |_, args| {
        add_local(timestamp(args, 1)?, interval(args, 0)?).map(Value::Timestamp)
    }),
    entry("timestamp_mi_interval", |_, args| {
        add_local(timestamp(args, 0)?, opposite(interval(args, 1)?)).map(Value::Timestamp)
    }),
    entry("timestamptz_pl_interval", |call, args| {
        add_instant(timestamp(args, 0)?, interval(args, 1)?, call.context).map(Value::TimestampTz)
    }),
    entry("interval_pl_timestamptz(interval,timestamptz)", |call, args| {
        add_instant(timestamp(args, 1)?, interval(args, 0)?, call.context).map(Value::TimestampTz)
    }),
    entry("timestamptz_mi_interval", |call, args| {
        let span = opposite(interval(args, 1)?);
        add_instant(timestamp(args, 0)?, span, call.context).map(Value::TimestampTz)
    }),
    entry("timestamp_mi", |_, args| {
        let (a, b) = (timestamp(args, 0)?, timestamp(args, 1)?);
        if is_infinite(a) || is_infinite(b) {
            return Err(PgError::new("22008", "cannot subtract infinite timestamps"));
        }
        // The widest differences wrap, as in PostgreSQL 15.
        let time_us = a.wrapping_sub(b);
        justify_hours(Interval { time_us, ..Interval::default() }).map(Value::Interval)
    }),
    entry("time_pl_interval", |_, args| {
        Ok(Value::Time(turn(time(args, 0)?, interval(args, 1)?.time_us)))
    }),
    entry("interval_pl_time(interval,time)", |_, args| {
        Ok(Value::Time(turn(time(args, 1)?, interval(args, 0)?.time_us)))
    }),
    entry("time_mi_interval", |_, args| {
        Ok(Value::Time(turn(time(args, 0)?, interval(args, 1)?.time_us.wrapping_neg())))
    }),
    entry("timetz_pl_interval", |_, args| {
        Ok(turn_zoned(timetz(args, 0)?, interval(args, 1)?.time_us))
    }),
    entry("interval_pl_timetz(interval,timetz)", |_, args| {
        Ok(turn_zoned(timetz(args, 1)?, interval(args, 0)?.time_us))
    }),
    entry("timetz_mi_interval", |_, args| {
        Ok(turn_zoned(timetz(args, 0)?, interval(args, 1)?.time_us.wrapping_neg()))
    }),
    entry("timestamp_age", |_, args| {
        age(timestamp(args, 0)?, timestamp(args, 1)?, None).map(Value::Interval)
    }),
    entry("timestamptz_age", |call, args| {
        let (a, b) = (timestamp(args, 0)?, timestamp(args, 1)?);
        age(a, b, Some(call.context)).map(Value::Interval)
    }),
    entry("age(timestamp)", |call, args| {
        let midnight = today(call.context)? * DAY_US;
        age(midnight, timestamp(args, 0)?, None).map(Value::Interval)
    }),
    entry("age(timestamptz)", |call, args| {
        let midnight = to_instant(today(call.context)? * DAY_US, &call.context.time_zone)?;
        age(midnight, timestamp(args, 0)?, Some(call.context)).map(Value::Interval)
    }),
    entry("overlaps_time", overlaps),
    entry("overlaps_timetz", overlaps),
    entry("overlaps_timestamp", overlaps),
    entry("overlaps(time,time,time,interval)", overlaps),
    entry("overlaps(time,interval,time,time)", overlaps),
    entry("overlaps(time,interval,time,interval)", overlaps),
    entry("overlaps(timestamp,timestamp,timestamp,interval)", overlaps),
    entry("overlaps(timestamp,interval,timestamp,timestamp)", overlaps),
    entry("overlaps(timestamp,interval,timestamp,interval)", overlaps),
    entry("overlaps(timestamptz,timestamptz,timestamptz,interval)", overlaps),
    entry("overlaps(timestamptz,interval,timestamptz,timestamptz)", overlaps),
    entry("overlaps(timestamptz,interval,timestamptz,interval)", overlaps),
    entry("in_range_date_interval", in_range),
    entry("in_range_timestamp_interval", in_range),
    entry("in_range_timestamptz_interval", in_range),
    entry("in_range_interval_interval", in_range),
    entry("in_range_time_interval", in_range),
    entry("in_range_timetz_interval", in_range),
];

fn date_plus(days: i32, more: i64) -> Result<Value> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(Value::Date(days));
    }
    valid_date(i64::from(days) + more).map(Value::Date).ok_or_else(date_out_of_range)
}

/// The current day in the session's zone.
fn today(context: &Context) -> Result<i64> {
    Ok(to_local(context.transaction_time_us, context).div_euclid(DAY_US))
}

/// The interval with every part's sign turned; PostgreSQL does not look whether there is such a part.
fn opposite(value: Interval) -> Interval {
    Interval {
        months: value.months.wrapping_neg(),
        days: value.days.wrapping_neg(),
        time_us: value.time_us.wrapping_neg(),
    }
}

/// Adds months: a day that the month does not have becomes its last one.
fn add_months(fields: Fields, months: i32) -> Option<Fields> {
    let places = i64::from(fields.month) - 1 + i64::from(months);
    let year = i32::try_from(i64::from(fields.year) + places.div_euclid(12)).ok()?;
    let month = calendar::small(places.rem_euclid(12) + 1);
    let day = fields.day.min(calendar::month_days(year, month));
    Some(Fields { year, month, day, ..fields })
}

/// Adds months, then days, then time.
/// A local time moved by an interval.
pub(crate) fn add_local(micros: i64, span: Interval) -> Result<i64> {
    add(micros, span).ok_or_else(timestamp_out_of_range)
}

fn add(micros: i64, span: Interval) -> Option<i64> {
    if is_infinite(micros) {
        return Some(micros);
    }
    let mut sum = micros;
    if span.months != 0 {
        sum = add_months(Fields::of_timestamp(sum), span.months)?.checked_timestamp()?;
    }
    if span.days != 0 {
        let days = sum.div_euclid(DAY_US) + i64::from(span.days);
        sum = timestamp_of(days, sum.rem_euclid(DAY_US))?;
    }
    sum.checked_add(span.time_us).and_then(valid_timestamp)
}

/// Adds months and days to the local time of the session's zone, then time to the instant.
fn add_instant(micros: i64, span: Interval, context: &Context) -> Result<i64> {
    add_in_zone(micros, span, &context.time_zone).ok_or_else(timestamp_out_of_range)
}

/// An instant moved by an interval, days and months by a zone's calendar; `None` out of range.
pub(crate) fn add_in_zone(micros: i64, span: Interval, zone: &TimeZone) -> Option<i64> {
    if is_infinite(micros) {
        return Some(micros);
    }
    let local = |instant: i64| {
        let offset = zone.offset_at(instant.div_euclid(SECOND_US));
        Fields::of_timestamp(instant + i64::from(offset) * SECOND_US)
    };
    let instant = |fields: Fields| {
        let west_s = super::decode::west_of(zone, &fields);
        super::io::instant_of(fields, west_s)
    };
    let mut sum = micros;
    if span.months != 0 {
        sum = instant(add_months(local(sum), span.months)?)?;
    }
    if span.days != 0 {
        let fields = local(sum);
        let days = fields.days() + i64::from(span.days);
        if !(-calendar::EPOCH_JULIAN..i64::from(i32::MAX)).contains(&days) {
            return None;
        }
        let (year, month, day) = calendar::date_of(days);
        sum = instant(Fields { year, month, day, ..fields })?;
    }
    sum.checked_add(span.time_us).and_then(valid_timestamp)
}

/// Turns the clock.
fn turn(time_us: i64, by_us: i64) -> i64 {
    time_us.wrapping_add(by_us).rem_euclid(DAY_US)
}

fn turn_zoned(time: TimeTz, by_us: i64) -> Value {
    Value::TimeTz(TimeTz { time_us: turn(time.time_us, by_us), ..time })
}

/// The difference in years, months, days and time, by the calendar (of the session's zone where one is given).
fn age(later: i64, earlier: i64, zoned: Option<&Context>) -> Result<Interval> {
    // PostgreSQL counts the positive infinity as a point of the calendar here, and refuses the negative one.
    if later == i64::MIN || earlier == i64::MIN {
        return Err(timestamp_out_of_range());
    }
    let fields = |micros: i64| match zoned {
        Some(context) => Fields::of_timestamp(to_local(micros, context)),
        None => Fields::of_timestamp(micros),
    };
    let (a, b) = (fields(later), fields(earlier));
    let is_negative = later < earlier;
    let sign = if is_negative { -1 } else { 1 };
    let mut micros = i64::from(a.micros - b.micros) * sign;
    let mut seconds = i64::from(a.second - b.second) * sign;
    let mut minutes = i64::from(a.minute - b.minute) * sign;
    let mut hours = i64::from(a.hour - b.hour) * sign;
    let mut days = i64::from(a.day - b.day) * sign;
    let mut months = i64::from(a.month - b.month) * sign;
    let mut years = i64::from(a.year - b.year) * sign;
    let carry = |part: &mut i64, next: &mut i64, size: i64| {
        while *part < 0 {
            *part += size;
            *next -= 1;
        }
    };
    carry(&mut micros, &mut seconds, SECOND_US);
    carry(&mut seconds, &mut minutes, 60);
    carry(&mut minutes, &mut hours, 60);
    carry(&mut hours, &mut days, 24);
    let lender = if is_negative { a } else { b };
    let month_days = i64::from(calendar::month_days(lender.year, lender.month));
    carry(&mut days, &mut months, month_days);
    carry(&mut months, &mut years, 12);
    let months =
        i32::try_from((years * 12 + months) * sign).map_err(|_| interval_out_of_range())?;
    let time_us = ((hours * 60 + minutes) * 60 + seconds) * SECOND_US + micros;
    Ok(Interval { months, days: calendar::small(days * sign), time_us: time_us * sign })
}

/// `(start, end) OVERLAPS (start, end)`; an end may be a length.
fn overlaps(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (first, first_end) = period(call, args, 0)?;
    let (second, second_end) = period(call, args, 2)?;
    let (Some((first, first_end)), Some((second, second_end))) =
        (ordered(first, first_end), ordered(second, second_end))
    else {
        return Ok(Value::Null);
    };
    let decide = |start: &Value, other_end: Option<Value>, own_end: Option<Value>| match other_end {
        None => Value::Null,
        Some(end) if compare(start, &end).is_lt() => Value::Bool(true),
        Some(_) if own_end.is_none() => Value::Null,
        Some(_) => Value::Bool(false),
    };
    Ok(match compare(&first, &second) {
        Ordering::Greater => decide(&first, second_end, first_end),
        Ordering::Less => decide(&second, first_end, second_end),
        Ordering::Equal if first_end.is_none() || second_end.is_none() => Value::Null,
        Ordering::Equal => Value::Bool(true),
    })
}

fn period(call: &CallContext<'_>, args: &[Value], place: usize) -> Result<(Value, Value)> {
    let part = |place: usize| args.get(place).cloned().unwrap_or(Value::Null);
    let (start, end) = (part(place), part(place + 1));
    let end = match (&start, &end) {
        (Value::Null, Value::Interval(_)) => Value::Null,
        (Value::Time(time), Value::Interval(span)) => Value::Time(turn(*time, span.time_us)),
        (Value::Timestamp(micros), Value::Interval(span)) => {
            Value::Timestamp(add_local(*micros, *span)?)
        }
        (Value::TimestampTz(micros), Value::Interval(span)) => {
            Value::TimestampTz(add_instant(*micros, *span, call.context)?)
        }
        _ => end,
    };
    Ok((start, end))
}

/// The lesser end first, and a missing end last; `None` if both are missing.
fn ordered(start: Value, end: Value) -> Option<(Value, Option<Value>)> {
    match (start.is_null(), end.is_null()) {
        (true, true) => None,
        (true, false) => Some((end, None)),
        (false, true) => Some((start, None)),
        (false, false) if compare(&start, &end).is_gt() => Some((end, Some(start))),
        (false, false) => Some((start, Some(end))),
    }
}

/// Whether a value lies within a distance of a base: what RANGE frames of windows ask.
fn in_range(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) || is_null(args, 1) {
        return Err(PgError::internal("a window frame has no NULL bound"));
    }
    let offset = interval(args, 2)?;
    let (subtract, less) = (boolean(args, 3)?, boolean(args, 4)?);
    let is_clock = matches!(args.first(), Some(Value::Time(_) | Value::TimeTz(_)));
    let is_negative = if is_clock { offset.time_us < 0 } else { span(offset) < 0 };
    if is_negative {
        return Err(PgError::new(
            "22013",
            "invalid preceding or following size in window function",
        ));
    }
    let offset = if subtract { opposite(offset) } else { offset };
    let order = match (args.first(), args.get(1)) {
        (Some(Value::Time(value)), Some(Value::Time(base))) => {
            i128::from(*value).cmp(&(i128::from(*base) + i128::from(offset.time_us)))
        }
        (Some(Value::TimeTz(value)), Some(Value::TimeTz(base))) => {
            // Sums beyond a day are no times of day; at the very end of the range they wrap, as in PostgreSQL.
            let key = |time: TimeTz, more_us: i64| {
                let west_us = i64::from(time.zone_s) * SECOND_US;
                (time.time_us.wrapping_add(more_us).wrapping_add(west_us), time.zone_s)
            };
            key(*value, 0).cmp(&key(*base, offset.time_us))
        }
        (Some(Value::Interval(value)), Some(Value::Interval(base))) => {
            let sum = crate::interval::arithmetic::add(*base, offset)?;
            span(*value).cmp(&span(sum))
        }
        (Some(Value::Date(value)), Some(Value::Date(base))) => {
            date_to_timestamp(*value)?.cmp(&add_local(date_to_timestamp(*base)?, offset)?)
        }
        (Some(value), Some(Value::TimestampTz(base))) => {
            let sum = add_instant(*base, offset, call.context)?;
            compare(value, &like(args, 1, sum))
        }
        (Some(value), Some(Value::Timestamp(base))) => {
            compare(value, &like(args, 1, add_local(*base, offset)?))
        }
        _ => return Err(PgError::internal("a window frame over another type than declared")),
    };
    Ok(Value::Bool(if less { order.is_le() } else { order.is_ge() }))
}
