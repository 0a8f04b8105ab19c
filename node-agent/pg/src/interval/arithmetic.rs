//! Arithmetic of intervals (the manual's section 9.9, table 9.32).

use crate::arguments::arg;
use crate::datetime::arguments::{interval, time};
use crate::datetime::calendar::{DAY_US, SECOND_US, interval_out_of_range};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::{Interval, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("interval_pl", |_, args| {
        add(interval(args, 0)?, interval(args, 1)?).map(Value::Interval)
    }),
    entry("interval_mi", |_, args| {
        subtract(interval(args, 0)?, interval(args, 1)?).map(Value::Interval)
    }),
    entry("interval_um", |_, args| negate(interval(args, 0)?).map(Value::Interval)),
    entry("interval_mul", |_, args| {
        multiply(interval(args, 0)?, arg(args, 1)?).map(Value::Interval)
    }),
    entry("mul_d_interval", |_, args| {
        multiply(interval(args, 1)?, arg(args, 0)?).map(Value::Interval)
    }),
    entry("interval_div", |_, args| divide(interval(args, 0)?, arg(args, 1)?).map(Value::Interval)),
    entry("interval_justify_hours", |_, args| {
        justify_hours(interval(args, 0)?).map(Value::Interval)
    }),
    entry("interval_justify_days", |_, args| justify_days(interval(args, 0)?).map(Value::Interval)),
    entry("interval_justify_interval", |_, args| {
        justify_interval(interval(args, 0)?).map(Value::Interval)
    }),
    entry("time_mi_time", |_, args| {
        let time_us = time(args, 0)? - time(args, 1)?;
        Ok(Value::Interval(Interval { time_us, ..Interval::default() }))
    }),
];

fn whole(months: Option<i32>, days: Option<i32>, time_us: Option<i64>) -> Result<Interval> {
    match (months, days, time_us) {
        (Some(months), Some(days), Some(time_us)) => Ok(Interval { months, days, time_us }),
        _ => Err(interval_out_of_range()),
    }
}

/// The sum, part by part.
///
/// # Errors
/// `22008`.
pub(crate) fn add(a: Interval, b: Interval) -> Result<Interval> {
    let months = a.months.checked_add(b.months);
    let days = a.days.checked_add(b.days);
    whole(months, days, a.time_us.checked_add(b.time_us))
}

fn negate(value: Interval) -> Result<Interval> {
    let months = value.months.checked_neg();
    whole(months, value.days.checked_neg(), value.time_us.checked_neg())
}

/// The difference, part by part.
pub(crate) fn subtract(a: Interval, b: Interval) -> Result<Interval> {
    let months = a.months.checked_sub(b.months);
    let days = a.days.checked_sub(b.days);
    whole(months, days, a.time_us.checked_sub(b.time_us))
}

/// The product; fractions of months and days go down to the smaller parts.
pub(crate) fn multiply(value: Interval, factor: f64) -> Result<Interval> {
    scale(value, |part| part * factor)
}

fn divide(value: Interval, divisor: f64) -> Result<Interval> {
    if divisor == 0.0 {
        return Err(PgError::division_by_zero());
    }
    scale(value, |part| part / divisor)
}

/// Rounds to microseconds, as PostgreSQL rounds what cascades.
fn to_micros(value: f64) -> f64 {
    (value * 1_000_000.0).round_ties_even() / 1_000_000.0
}

fn to_int4(value: f64) -> Result<i32> {
    if value.is_nan() || !(-2_147_483_648.0..2_147_483_648.0).contains(&value) {
        return Err(interval_out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let cut = value as i32;
    Ok(cut)
}

/// Scales the parts; what is no whole month goes to days of 1/30 month, what is no whole day to time.
fn scale(value: Interval, by: impl Fn(f64) -> f64) -> Result<Interval> {
    let months_exact = by(f64::from(value.months));
    let months = to_int4(months_exact)?;
    let days_exact = by(f64::from(value.days));
    let mut days = to_int4(days_exact)?;
    let month_days = to_micros((months_exact - f64::from(months)) * 30.0);
    let whole_month_days = month_days.trunc();
    let day_seconds = 86_400.0;
    let mut seconds =
        to_micros((days_exact - f64::from(days) + month_days - whole_month_days) * day_seconds);
    if seconds.abs() >= day_seconds {
        let more = (seconds / day_seconds).trunc();
        days = days.checked_add(to_int4(more)?).ok_or_else(interval_out_of_range)?;
        seconds -= more * day_seconds;
    }
    days = days.checked_add(to_int4(whole_month_days)?).ok_or_else(interval_out_of_range)?;
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL calculates in doubles")]
    let micros = (by(value.time_us as f64) + seconds * 1_000_000.0).round_ties_even();
    const END: f64 = 9_223_372_036_854_775_808.0;
    if micros.is_nan() || !(-END..END).contains(&micros) {
        return Err(interval_out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let time_us = micros as i64;
    Ok(Interval { months, days, time_us })
}

/// Turns 24 hours into days; days and time get one sign.
///
/// # Errors
/// `22008`.
pub(crate) fn justify_hours(value: Interval) -> Result<Interval> {
    let Interval { months, days, time_us } = carry_hours(value)?;
    Ok(same_sign_hours(Interval { months, days, time_us }))
}

fn carry_hours(value: Interval) -> Result<Interval> {
    let whole_days = i32::try_from(value.time_us / DAY_US).map_err(|_| interval_out_of_range())?;
    let days = value.days.checked_add(whole_days).ok_or_else(interval_out_of_range)?;
    Ok(Interval { days, time_us: value.time_us % DAY_US, ..value })
}

fn same_sign_hours(mut value: Interval) -> Interval {
    if value.days > 0 && value.time_us < 0 {
        value.time_us += DAY_US;
        value.days -= 1;
    } else if value.days < 0 && value.time_us > 0 {
        value.time_us -= DAY_US;
        value.days += 1;
    }
    value
}

fn carry_days(value: Interval) -> Result<Interval> {
    let months = value.months.checked_add(value.days / 30).ok_or_else(interval_out_of_range)?;
    Ok(Interval { months, days: value.days % 30, ..value })
}

/// Turns 30 days into months; months and days get one sign.
fn justify_days(value: Interval) -> Result<Interval> {
    let mut value = carry_days(value)?;
    if value.months > 0 && value.days < 0 {
        value.days += 30;
        value.months -= 1;
    } else if value.months < 0 && value.days > 0 {
        value.days -= 30;
        value.months += 1;
    }
    Ok(value)
}

/// Turns 24 hours into days and 30 days into months; all parts get one sign.
fn justify_interval(value: Interval) -> Result<Interval> {
    let mut value = value;
    // Done first where the days could overflow otherwise.
    if (value.days > 0 && value.time_us > 0) || (value.days < 0 && value.time_us < 0) {
        value = carry_days(value)?;
    }
    value = carry_days(carry_hours(value)?)?;
    let below_zero = value.days < 0 || (value.days == 0 && value.time_us < 0);
    let above_zero = value.days > 0 || (value.days == 0 && value.time_us > 0);
    if value.months > 0 && below_zero {
        value.days += 30;
        value.months -= 1;
    } else if value.months < 0 && above_zero {
        value.days -= 30;
        value.months += 1;
    }
    Ok(same_sign_hours(value))
}

/// The seconds of a double as microseconds, rounded.
pub(crate) fn seconds_to_micros(seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact")]
    let unit = SECOND_US as f64;
    (seconds * unit).round_ties_even()
}
