//! `date_trunc` and `date_bin` (the manual's sections 9.9.2, 9.9.3).

use super::arguments::{interval, like, timestamp};
use super::calendar::{
    self, DAY_US, Fields, SECOND_US, interval_out_of_range, is_infinite, timestamp_out_of_range,
};
use super::convert::Place;
use super::io::instant_of;
use super::keyword::Unit;
use super::part::Part;
use crate::arguments::text;
use crate::error::{PgError, Result};
use crate::interval::output::IntervalFields;
use crate::registry::{Entry, entry};
use crate::timezone::TimeZone;
use crate::value::{Interval, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("timestamp_trunc", |_, args| {
        let micros = timestamp(args, 1)?;
        if is_infinite(micros) {
            return Ok(Value::Timestamp(micros));
        }
        let part = Part::of_unit(text(args, 0)?, "timestamp without time zone");
        let fields = truncate(&part, Fields::of_timestamp(micros))?;
        fields.to_timestamp().map(Value::Timestamp)
    }),
    entry("timestamptz_trunc", |call, args| {
        let micros = timestamp(args, 1)?;
        if is_infinite(micros) {
            return Ok(Value::TimestampTz(micros));
        }
        let part = Part::of_unit(text(args, 0)?, "timestamp with time zone");
        truncate_in_zone(&part, micros, &call.context.time_zone).map(Value::TimestampTz)
    }),
    entry("timestamptz_trunc_zone", |_, args| {
        let micros = timestamp(args, 1)?;
        if is_infinite(micros) {
            return Ok(Value::TimestampTz(micros));
        }
        let name = text(args, 2)?;
        let zone = Place::find(name)?
            .into_zone()
            .ok_or_else(|| PgError::new("22023", format!("time zone \"{name}\" not recognized")))?;
        let part = Part::of_unit(text(args, 0)?, "timestamp with time zone");
        truncate_in_zone(&part, micros, &zone).map(Value::TimestampTz)
    }),
    entry("interval_trunc", |_, args| {
        let part = Part::of_unit(text(args, 0)?, "interval");
        truncate_interval(&part, interval(args, 1)?).map(Value::Interval)
    }),
    entry("timestamp_bin", |_, args| bin(args)),
    entry("timestamptz_bin", |_, args| bin(args)),
];

/// Sets the parts below the unit to their least values.
fn truncate(part: &Part<'_>, fields: Fields) -> Result<Fields> {
    let unit = part.unit()?;
    let Fields { year, month, day, hour, micros, .. } = fields;
    let date = |year, month, day| Fields { year, month, day, ..Fields::default() };
    // There is no year 0: centuries and millennia begin with the year 1.
    let first_of = |size: i32| {
        if year > 0 {
            (year + size - 1) / size * size - size + 1
        } else {
            -((size - 1 - (year - 1)) / size) * size + 1
        }
    };
    Ok(match unit {
        Unit::Microsecond => fields,
        Unit::Millisecond => Fields { micros: micros / 1000 * 1000, ..fields },
        Unit::Second => Fields { micros: 0, ..fields },
        Unit::Minute => Fields { second: 0, micros: 0, ..fields },
        Unit::Hour => Fields { hour, ..date(year, month, day) },
        Unit::Day => date(year, month, day),
        Unit::Week => {
            let days = fields.days();
            let monday = days - (i64::from(calendar::weekday(days)) + 6) % 7;
            let (year, month, day) = calendar::date_of(monday);
            date(year, month, day)
        }
        Unit::Month => date(year, month, 1),
        Unit::Quarter => date(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Year => date(year, 1, 1),
        Unit::Decade if year > 0 => date(year / 10 * 10, 1, 1),
        Unit::Decade => date(-((8 - (year - 1)) / 10) * 10, 1, 1),
        Unit::Century => date(first_of(100), 1, 1),
        Unit::Millennium => date(first_of(1000), 1, 1),
        _ => return Err(part.not_supported()),
    })
}

/// Truncates the local time. Where whole days are left, the zone is asked again; within a day the offset stays.
fn truncate_in_zone(part: &Part<'_>, instant: i64, zone: &TimeZone) -> Result<i64> {
    let offset = zone.offset_at(instant.div_euclid(SECOND_US));
    let local = instant.saturating_add(i64::from(offset) * SECOND_US);
    let fields = truncate(part, Fields::of_timestamp(local))?;
    let keeps_offset = matches!(
        part.unit()?,
        Unit::Microsecond | Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour
    );
    let west_s = if keeps_offset { -offset } else { super::decode::west_of(zone, &fields) };
    instant_of(fields, west_s).ok_or_else(timestamp_out_of_range)
}

fn truncate_interval(part: &Part<'_>, value: Interval) -> Result<Interval> {
    let unit = part.unit()?;
    let fields = IntervalFields::from(value);
    let years =
        |size: i32| Interval { months: fields.years / size * size * 12, days: 0, time_us: 0 };
    let below = |unit_us: i64| Interval { time_us: value.time_us / unit_us * unit_us, ..value };
    Ok(match unit {
        Unit::Millennium => years(1000),
        Unit::Century => years(100),
        Unit::Decade => years(10),
        Unit::Year => years(1),
        Unit::Quarter => {
            Interval { months: fields.years * 12 + fields.months / 3 * 3, days: 0, time_us: 0 }
        }
        Unit::Month => Interval { days: 0, time_us: 0, ..value },
        Unit::Day => Interval { time_us: 0, ..value },
        Unit::Hour => below(calendar::HOUR_US),
        Unit::Minute => below(calendar::MINUTE_US),
        Unit::Second => below(SECOND_US),
        Unit::Millisecond => below(1000),
        Unit::Microsecond => value,
        Unit::Week => {
            return Err(part.not_supported().with_detail("Months usually have fractional weeks."));
        }
        _ => return Err(part.not_supported()),
    })
}

/// The start of the stride that an instant lies in, counted from an origin.
fn bin(args: &[Value]) -> Result<Value> {
    let stride = interval(args, 0)?;
    let (source, origin) = (timestamp(args, 1)?, timestamp(args, 2)?);
    if is_infinite(source) {
        return Ok(like(args, 1, source));
    }
    if is_infinite(origin) {
        return Err(PgError::new("22008", "origin out of range"));
    }
    if stride.months != 0 {
        return Err(PgError::unsupported(
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let stride_us = i64::from(stride.days)
        .checked_mul(DAY_US)
        .and_then(|days_us| days_us.checked_add(stride.time_us))
        .ok_or_else(interval_out_of_range)?;
    if stride_us <= 0 {
        return Err(PgError::new("22008", "stride must be greater than zero"));
    }
    let distance = source.checked_sub(origin).ok_or_else(interval_out_of_range)?;
    let rest = distance % stride_us;
    let mut start = origin + (distance - rest);
    if rest < 0 {
        start = start
            .checked_sub(stride_us)
            .and_then(calendar::valid_timestamp)
            .ok_or_else(timestamp_out_of_range)?;
    }
    Ok(like(args, 1, start))
}
