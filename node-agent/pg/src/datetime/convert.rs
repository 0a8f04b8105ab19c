//! Casts among dates, times and timestamps, and `AT TIME ZONE` (the manual's sections 8.5, 9.9.4).

use super::arguments::{date, interval, time, timestamp, timetz};
use super::calendar::{
    self, DAY_US, Fields, SECOND_US, is_infinite, timestamp_of, timestamp_out_of_range,
    valid_timestamp,
};
use super::io::{round_time, round_timestamp};
use crate::arguments::{int4, text};
use crate::context::Context;
use crate::error::{PgError, Result};
use crate::interval;
use crate::registry::{Entry, entry};
use crate::timezone::abbreviation::{self, Abbreviation};
use crate::timezone::{self, TimeZone};
use crate::value::{Interval, TimeTz, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("date_timestamp", |_, args| date_to_timestamp(date(args, 0)?).map(Value::Timestamp)),
    entry("date_timestamptz", |call, args| {
        let micros = date_to_instant(date(args, 0)?, &call.context.time_zone);
        micros.map(Value::TimestampTz).map_err(|_| date_beyond_timestamp())
    }),
    entry("timestamp_date", |_, args| Ok(Value::Date(to_date(timestamp(args, 0)?)))),
    entry("timestamptz_date", |call, args| {
        let micros = timestamp(args, 0)?;
        let local = if is_infinite(micros) { micros } else { to_local(micros, call.context) };
        Ok(Value::Date(to_date(local)))
    }),
    entry("timestamp_timestamptz", |call, args| {
        to_instant(timestamp(args, 0)?, &call.context.time_zone).map(Value::TimestampTz)
    }),
    entry("timestamptz_timestamp", |call, args| {
        instant_to_timestamp(timestamp(args, 0)?, call.context).map(Value::Timestamp)
    }),
    entry("timestamp_time", |_, args| {
        let micros = timestamp(args, 0)?;
        if is_infinite(micros) {
            return Ok(Value::Null);
        }
        Ok(Value::Time(micros.rem_euclid(DAY_US)))
    }),
    entry("timestamptz_time", |call, args| {
        let micros = timestamp(args, 0)?;
        if is_infinite(micros) {
            return Ok(Value::Null);
        }
        Ok(Value::Time(to_local(micros, call.context).rem_euclid(DAY_US)))
    }),
    entry("timestamptz_timetz", |call, args| {
        let micros = timestamp(args, 0)?;
        if is_infinite(micros) {
            return Ok(Value::Null);
        }
        let offset = call.context.time_zone.offset_at(micros.div_euclid(SECOND_US));
        let local = micros + i64::from(offset) * SECOND_US;
        Ok(Value::TimeTz(TimeTz { time_us: local.rem_euclid(DAY_US), zone_s: -offset }))
    }),
    entry("time_timetz", |call, args| {
        let time_us = time(args, 0)?;
        let today = to_local(call.context.transaction_time_us, call.context).div_euclid(DAY_US);
        let local_s = today * 86_400 + time_us / SECOND_US;
        let zone_s = -call.context.time_zone.offset_of_local(local_s);
        Ok(Value::TimeTz(TimeTz { time_us, zone_s }))
    }),
    entry("timetz_time", |_, args| Ok(Value::Time(timetz(args, 0)?.time_us))),
    entry("interval_time", |_, args| {
        Ok(Value::Time(interval(args, 0)?.time_us.rem_euclid(DAY_US)))
    }),
    entry("time_interval", |_, args| {
        Ok(Value::Interval(Interval { time_us: time(args, 0)?, ..Interval::default() }))
    }),
    entry("datetime_timestamp", |_, args| {
        at_time(date(args, 0)?, time(args, 1)?).map(Value::Timestamp)
    }),
    entry("timedate_pl(time,date)", |_, args| {
        at_time(date(args, 1)?, time(args, 0)?).map(Value::Timestamp)
    }),
    entry("timestamptz(date,time)", |call, args| {
        let local = at_time(date(args, 0)?, time(args, 1)?)?;
        to_instant(local, &call.context.time_zone).map(Value::TimestampTz)
    }),
    entry("datetimetz_timestamptz", |_, args| at_timetz(date(args, 0)?, timetz(args, 1)?)),
    entry("timetzdate_pl(timetz,date)", |_, args| at_timetz(date(args, 1)?, timetz(args, 0)?)),
    entry("time_scale", |_, args| Ok(Value::Time(round_time(time(args, 0)?, int4(args, 1)?)))),
    entry("timetz_scale", |_, args| {
        let value = timetz(args, 0)?;
        let time_us = round_time(value.time_us, int4(args, 1)?);
        Ok(Value::TimeTz(TimeTz { time_us, ..value }))
    }),
    entry("timestamp_scale", |_, args| {
        round_timestamp(timestamp(args, 0)?, int4(args, 1)?).map(Value::Timestamp)
    }),
    entry("timestamptz_scale", |_, args| {
        round_timestamp(timestamp(args, 0)?, int4(args, 1)?).map(Value::TimestampTz)
    }),
    entry("interval_scale", |_, args| {
        interval::fit(interval(args, 0)?, int4(args, 1)?).map(Value::Interval)
    }),
    entry("timestamp_zone", |_, args| {
        let (zone, micros) = (text(args, 0)?, timestamp(args, 1)?);
        if is_infinite(micros) {
            return Ok(Value::TimestampTz(micros));
        }
        let local_s = micros.div_euclid(SECOND_US);
        let offset = match Place::find(zone)? {
            Place::Fixed(offset) => offset,
            Place::Named(zone) => zone.offset_of_local(local_s),
            Place::Abbreviated(zone, word) => zone.offset_of_abbreviation(&word, local_s),
        };
        shifted(micros, -i64::from(offset)).map(Value::TimestampTz)
    }),
    entry("timestamptz_zone", |_, args| {
        let (zone, micros) = (text(args, 0)?, timestamp(args, 1)?);
        if is_infinite(micros) {
            return Ok(Value::Timestamp(micros));
        }
        let offset = Place::find(zone)?.offset_at(micros);
        shifted(micros, i64::from(offset)).map(Value::Timestamp)
    }),
    entry("timetz_zone", |call, args| {
        let zone = Place::find(text(args, 0)?)?;
        let offset = zone.offset_at(call.context.transaction_time_us);
        Ok(Value::TimeTz(moved(timetz(args, 1)?, -i64::from(offset))))
    }),
    entry("timestamp_izone", |call, args| {
        let (zone, micros) = (interval(args, 0)?, timestamp(args, 1)?);
        if is_infinite(micros) {
            return Ok(Value::TimestampTz(micros));
        }
        shifted(micros, -interval_offset(zone, call.context)?).map(Value::TimestampTz)
    }),
    entry("timestamptz_izone", |call, args| {
        let (zone, micros) = (interval(args, 0)?, timestamp(args, 1)?);
        if is_infinite(micros) {
            return Ok(Value::Timestamp(micros));
        }
        shifted(micros, interval_offset(zone, call.context)?).map(Value::Timestamp)
    }),
    entry("timetz_izone", |call, args| {
        let offset = interval_offset(interval(args, 0)?, call.context)?;
        Ok(Value::TimeTz(moved(timetz(args, 1)?, -offset)))
    }),
    entry("date_finite", |_, args| Ok(Value::Bool(!matches!(date(args, 0)?, i32::MIN | i32::MAX)))),
    entry("timestamp_finite", |_, args| Ok(Value::Bool(!is_infinite(timestamp(args, 0)?)))),
    entry("interval_finite", |_, args| interval(args, 0).map(|_| Value::Bool(true))),
];

fn date_beyond_timestamp() -> PgError {
    PgError::new("22008", "date out of range for timestamp")
}

/// The infinite timestamp of an infinite date.
fn infinite(days: i32) -> Option<i64> {
    match days {
        i32::MIN => Some(i64::MIN),
        i32::MAX => Some(i64::MAX),
        _ => None,
    }
}

/// Midnight of a day.
///
/// # Errors
/// `22008` for a day that no timestamp has.
pub(crate) fn date_to_timestamp(days: i32) -> Result<i64> {
    match infinite(days) {
        Some(micros) => Ok(micros),
        None => timestamp_of(i64::from(days), 0).ok_or_else(date_beyond_timestamp),
    }
}

/// Midnight of a day in a zone.
///
/// # Errors
/// `22008` as the timestamp's own error.
pub(crate) fn date_to_instant(days: i32, zone: &TimeZone) -> Result<i64> {
    to_instant(date_to_timestamp(days)?, zone)
}

/// The instant of a local timestamp in a zone.
///
/// # Errors
/// `22008`.
pub(crate) fn to_instant(local: i64, zone: &TimeZone) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    let offset = zone.offset_of_local(local.div_euclid(SECOND_US));
    shifted(local, -i64::from(offset))
}

/// The local timestamp of a finite instant in the session's zone. It may be out of the type's range by a zone's offset.
pub(crate) fn to_local(instant: i64, context: &Context) -> i64 {
    let offset = context.time_zone.offset_at(instant.div_euclid(SECOND_US));
    instant.saturating_add(i64::from(offset) * SECOND_US)
}

/// The local timestamp of an instant in the session's zone, checked.
fn instant_to_timestamp(instant: i64, context: &Context) -> Result<i64> {
    if is_infinite(instant) {
        return Ok(instant);
    }
    valid_timestamp(to_local(instant, context)).ok_or_else(timestamp_out_of_range)
}

fn shifted(micros: i64, seconds: i64) -> Result<i64> {
    seconds
        .checked_mul(SECOND_US)
        .and_then(|shift| micros.checked_add(shift))
        .and_then(valid_timestamp)
        .ok_or_else(timestamp_out_of_range)
}

fn to_date(micros: i64) -> i32 {
    match micros {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        _ => calendar::small(micros.div_euclid(DAY_US)),
    }
}

fn at_time(days: i32, time_us: i64) -> Result<i64> {
    let midnight = date_to_timestamp(days)?;
    if is_infinite(midnight) {
        return Ok(midnight);
    }
    midnight.checked_add(time_us).and_then(valid_timestamp).ok_or_else(timestamp_out_of_range)
}

fn at_timetz(days: i32, time: TimeTz) -> Result<Value> {
    let midnight = date_to_timestamp(days)?;
    if is_infinite(midnight) {
        return Ok(Value::TimestampTz(midnight));
    }
    midnight
        .checked_add(time.time_us + i64::from(time.zone_s) * SECOND_US)
        .and_then(valid_timestamp)
        .map(Value::TimestampTz)
        .ok_or_else(date_beyond_timestamp)
}

/// The same time of day at a zone so many seconds **west** of UTC.
fn moved(time: TimeTz, west_s: i64) -> TimeTz {
    let shift = (i64::from(time.zone_s) - west_s).wrapping_mul(SECOND_US);
    let time_us = time.time_us.wrapping_add(shift).rem_euclid(DAY_US);
    #[expect(clippy::cast_possible_truncation, reason = "PostgreSQL cuts it alike")]
    let zone_s = west_s as i32;
    TimeTz { time_us, zone_s }
}

/// The offset that an interval stands for, in seconds east of UTC.
fn interval_offset(zone: Interval, context: &Context) -> Result<i64> {
    if zone.months != 0 || zone.days != 0 {
        let shown = interval::output(zone, context.interval_style);
        return Err(PgError::new(
            "22023",
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "PostgreSQL cuts it alike")]
    let seconds = (zone.time_us / SECOND_US) as i32;
    Ok(i64::from(seconds))
}

/// What a text after AT TIME ZONE names.
#[derive(Debug)]
pub(crate) enum Place {
    /// An abbreviation of one offset, in seconds east of UTC.
    Fixed(i32),
    /// A zone.
    Named(TimeZone),
    /// An abbreviation whose meaning depends on the time.
    Abbreviated(TimeZone, String),
}

impl Place {
    /// Finds an abbreviation, or else a zone.
    ///
    /// # Errors
    /// `22023` for neither.
    pub(crate) fn find(name: &str) -> Result<Self> {
        let unknown = || match looks_posix(name) {
            true => PgError::unsupported(format!(
                "the time zone specification \"{name}\" is not supported"
            )),
            false => PgError::new("22023", format!("time zone \"{name}\" not recognized")),
        };
        let lower = name.to_ascii_lowercase();
        Ok(match abbreviation::find(&lower) {
            Some(Abbreviation::Fixed { offset_s, .. }) => Self::Fixed(offset_s),
            Some(Abbreviation::InZone(zone)) => {
                Self::Abbreviated(timezone::named(zone).ok_or_else(unknown)?, lower)
            }
            None => Self::Named(timezone::named(name).ok_or_else(unknown)?),
        })
    }

    /// The offset at an instant, in seconds east of UTC.
    fn offset_at(&self, instant: i64) -> i32 {
        let instant_s = instant.div_euclid(SECOND_US);
        match self {
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => zone.offset_at(instant_s),
            Self::Abbreviated(zone, word) => zone.offset_of_abbreviation_at(word, instant_s),
        }
    }

    /// The zone in which to count days.
    pub(crate) fn into_zone(self) -> Option<TimeZone> {
        match self {
            Self::Fixed(offset) => TimeZone::west_of_utc(-i64::from(offset)),
            Self::Named(zone) | Self::Abbreviated(zone, _) => Some(zone),
        }
    }

    /// The offset of a local time, in seconds east of UTC.
    pub(crate) fn offset_of_local(&self, fields: &Fields) -> i32 {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => zone.offset_of_local(fields.local_s()),
            Self::Abbreviated(zone, word) => zone.offset_of_abbreviation(word, fields.local_s()),
        }
    }
}

/// Whether PostgreSQL might take a text for a POSIX specification: it has an offset somewhere.
fn looks_posix(name: &str) -> bool {
    name.contains(|character: char| character.is_ascii_digit())
}
