//! Making dates, times and intervals from numbers, and the current time (the manual's sections 9.9, 9.9.5).

use super::calendar::{
    self, DAY_US, Fields, SECOND_US, UNIX_EPOCH_DAYS, timestamp_out_of_range, valid_timestamp,
};
use super::convert::{Place, to_instant, to_local};
use super::decode::{Mistake, displacement};
use super::names::{MONTHS, WEEKDAYS};
use crate::arguments::{arg, int4, text};
use crate::error::{PgError, Result};
use crate::interval::arithmetic::seconds_to_micros;
use crate::registry::{Entry, entry};
use crate::value::{Interval, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("make_date", |_, args| {
        let fields = date_fields(args, year_of)?;
        let Fields { year, month, day, .. } = fields;
        calendar::is_countable(year, month)
            .then(|| calendar::valid_date(fields.days()))
            .flatten()
            .map(Value::Date)
            .ok_or_else(|| {
                PgError::new("22008", format!("date out of range: {year}-{month:02}-{day:02}"))
            })
    }),
    entry("make_time", |_, args| time_us(args, 0).map(Value::Time)),
    entry("make_timestamp", |_, args| make_timestamp(args).map(Value::Timestamp)),
    entry("make_timestamptz", |call, args| {
        to_instant(make_timestamp(args)?, &call.context.time_zone).map(Value::TimestampTz)
    }),
    entry("make_timestamptz_at_timezone", |_, args| {
        let local = make_timestamp(args)?;
        let east_s = zone_offset(text(args, 6)?, &Fields::of_timestamp(local))?;
        valid_timestamp(local - i64::from(east_s) * SECOND_US)
            .map(Value::TimestampTz)
            .ok_or_else(timestamp_out_of_range)
    }),
    entry("make_interval", |_, args| {
        let part = |place: usize| int4(args, place);
        let seconds: f64 = arg(args, 6)?;
        if !seconds.is_finite() {
            return Err(calendar::interval_out_of_range());
        }
        // PostgreSQL lets these overflow.
        let months = part(0)?.wrapping_mul(12).wrapping_add(part(1)?);
        let days = part(2)?.wrapping_mul(7).wrapping_add(part(3)?);
        let time_us = i64::from(part(4)?)
            .wrapping_mul(calendar::HOUR_US)
            .wrapping_add(i64::from(part(5)?).wrapping_mul(calendar::MINUTE_US))
            .wrapping_add(wrapped(seconds_to_micros(seconds)));
        Ok(Value::Interval(Interval { months, days, time_us }))
    }),
    entry("float8_timestamptz", |_, args| of_unix_time(arg(args, 0)?).map(Value::TimestampTz)),
    entry("now", |call, _| Ok(Value::TimestampTz(call.context.transaction_time_us))),
    entry("statement_timestamp", |call, _| Ok(Value::TimestampTz(call.context.statement_time_us))),
    entry("clock_timestamp", |call, _| Ok(Value::TimestampTz(call.context.clock_time_us))),
    entry("timeofday", |call, _| {
        let instant = call.context.clock_time_us;
        let fields = Fields::of_timestamp(to_local(instant, call.context));
        let Fields { year, month, day, hour, minute, second, micros } = fields;
        let name = |names: &[&'static str], place: i32| {
            usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("", |n| &n[..3])
        };
        let weekday = name(&WEEKDAYS, calendar::weekday(fields.days()));
        let month = name(&MONTHS, month - 1);
        let zone = call.context.time_zone.abbreviation_at(instant.div_euclid(SECOND_US));
        Ok(Value::text(format!(
            "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} {year} {zone}"
        )))
    }),
];

/// A double as C casts it to a 64-bit integer on PostgreSQL's platforms.
fn wrapped(value: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
    if (-END..END).contains(&value) { value as i64 } else { i64::MIN }
}

/// The year as it is counted: 1 BC, written -1, is 0.
fn year_of(given: i32) -> i32 {
    if given < 0 && given != i32::MIN { given + 1 } else { given }
}

/// Year, month and day of the first three arguments; a negative year is one before Christ. `shown` is the year
/// that an error names: it depends on the function.
fn date_fields(args: &[Value], shown: fn(i32) -> i32) -> Result<Fields> {
    let (given, month, day) = (int4(args, 0)?, int4(args, 1)?, int4(args, 2)?);
    let year = year_of(given);
    let is_date = given != 0
        && given != i32::MIN
        && (1..=12).contains(&month)
        && day >= 1
        && day <= calendar::month_days(year, month);
    if !is_date {
        let shown = shown(given);
        return Err(PgError::new(
            "22008",
            format!("date field value out of range: {shown}-{month:02}-{day:02}"),
        ));
    }
    Ok(Fields { year, month, day, ..Fields::default() })
}

/// Hour, minute and seconds of three arguments.
fn time_us(args: &[Value], place: usize) -> Result<i64> {
    let (hour, minute) = (int4(args, place)?, int4(args, place + 1)?);
    let seconds: f64 = arg(args, place + 2)?;
    let micros = seconds_to_micros(seconds);
    let whole = (i64::from(hour) * 60 + i64::from(minute)) * calendar::MINUTE_US;
    let is_time = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60_000_000.0).contains(&micros)
        && whole + wrapped(micros) <= DAY_US;
    if !is_time {
        let seconds = padded_general(seconds);
        return Err(PgError::new(
            "22008",
            format!("time field value out of range: {hour}:{minute:02}:{seconds}"),
        ));
    }
    Ok(whole + wrapped(micros))
}

fn make_timestamp(args: &[Value]) -> Result<i64> {
    let fields = date_fields(args, |given| given)?;
    let Fields { year, month, day, .. } = fields;
    if !calendar::is_countable(year, month) {
        return Err(PgError::new(
            "22008",
            format!("date out of range: {year}-{month:02}-{day:02}"),
        ));
    }
    let time_us = time_us(args, 3)?;
    calendar::timestamp_of(fields.days(), time_us).ok_or_else(|| {
        let (hour, minute) = (int4(args, 3).unwrap_or(0), int4(args, 4).unwrap_or(0));
        let seconds = padded_general(arg(args, 5).unwrap_or(0.0));
        PgError::new(
            "22008",
            format!(
                "timestamp out of range: {year}-{month:02}-{day:02} {hour}:{minute:02}:{seconds}"
            ),
        )
    })
}

/// The offset of a zone that is written as an offset with a sign, an abbreviation or a name, in seconds east of UTC.
fn zone_offset(name: &str, fields: &Fields) -> Result<i32> {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(PgError::new(
            "22023",
            format!("invalid input syntax for type numeric time zone: \"{name}\""),
        )
        .with_hint("Numeric time zones must have \"-\" or \"+\" as first character."));
    }
    match displacement(name) {
        Ok(west_s) => Ok(-west_s),
        Err(Mistake::Displacement) => {
            Err(PgError::new("22023", format!("numeric time zone \"{name}\" out of range")))
        }
        Err(_) => Ok(Place::find(name)?.offset_of_local(fields)),
    }
}

/// The instant of a Unix time in seconds.
fn of_unix_time(seconds: f64) -> Result<i64> {
    if seconds.is_nan() {
        return Err(PgError::new("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(if seconds < 0.0 { i64::MIN } else { i64::MAX });
    }
    let out_of_range = || {
        let shown = general(seconds);
        PgError::new("22008", format!("timestamp out of range: \"{shown}\""))
    };
    #[expect(clippy::cast_precision_loss, reason = "exact: days times seconds")]
    let epoch_s = (UNIX_EPOCH_DAYS * 86_400) as f64;
    // From 4714-11-24 BC on, before 294277-01-01.
    if !(-210_866_803_200.0..9_224_318_016_000.0).contains(&seconds) {
        return Err(out_of_range());
    }
    valid_timestamp(wrapped(seconds_to_micros(seconds + epoch_s))).ok_or_else(out_of_range)
}

/// A double as C's `%02g` writes it.
fn padded_general(value: f64) -> String {
    let text = general(value);
    if text.len() >= 2 || !value.is_finite() { text } else { format!("0{text}") }
}

/// A double as C's `%g` writes it: six significant digits, without zeros at the end.
pub(crate) fn general(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity" } else { "Infinity" }.to_owned();
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}
