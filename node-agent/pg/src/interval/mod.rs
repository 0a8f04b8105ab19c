//! `interval` (the manual's sections 8.5.4, 8.5.5, 9.9).

pub(crate) mod arithmetic;
mod input;
pub(crate) mod output;

use crate::context::IntervalStyle;
use crate::datetime::calendar::{HOUR_US, MINUTE_US, interval_out_of_range};
use crate::datetime::decode::Mistake;
use crate::datetime::io::{precision_us, round_to};
use crate::error::{PgError, Result};
use crate::value::Interval;

pub(crate) use output::output;

/// The fields of `interval year to month` and its like, as the upper half of the type's modifier has them.
pub(crate) mod field {
    pub(crate) const MONTH: i32 = 1 << 1;
    pub(crate) const YEAR: i32 = 1 << 2;
    pub(crate) const DAY: i32 = 1 << 3;
    pub(crate) const HOUR: i32 = 1 << 10;
    pub(crate) const MINUTE: i32 = 1 << 11;
    pub(crate) const SECOND: i32 = 1 << 12;
    pub(crate) const YEAR_TO_MONTH: i32 = YEAR | MONTH;
    pub(crate) const DAY_TO_HOUR: i32 = DAY | HOUR;
    pub(crate) const DAY_TO_MINUTE: i32 = DAY | HOUR | MINUTE;
    pub(crate) const HOUR_TO_MINUTE: i32 = HOUR | MINUTE;
    pub(crate) const MINUTE_TO_SECOND: i32 = MINUTE | SECOND;
    pub(crate) const HOUR_TO_SECOND: i32 = HOUR | MINUTE | SECOND;
    pub(crate) const DAY_TO_SECOND: i32 = DAY | HOUR | MINUTE | SECOND;
    pub(crate) const FULL: i32 = 0x7fff;
}

fn out_of_range_mistake() -> Mistake {
    Mistake::Range
}

/// The fields of a type's modifier.
fn range_of(typmod: i32) -> i32 {
    if typmod < 0 { field::FULL } else { (typmod >> 16) & 0x7fff }
}

/// Reads an interval as the type with the modifier does.
///
/// # Errors
/// `22007`, `22008`, `22015`.
pub(crate) fn input(text: &str, typmod: i32, style: IntervalStyle) -> Result<Interval> {
    let parts = match input::traditional(text, range_of(typmod), style) {
        Err(Mistake::Form) => input::iso_8601(text),
        other => other,
    };
    let parts = parts.map_err(|mistake| match mistake {
        Mistake::Range => {
            PgError::new("22015", format!("interval field value out of range: \"{text}\""))
        }
        other => other.raise(text, "interval"),
    })?;
    let months = i64::from(parts.years) * 12 + i64::from(parts.months);
    let months = i32::try_from(months).map_err(|_| interval_out_of_range())?;
    fit(Interval { months, days: parts.days, time_us: parts.micros }, typmod)
}

/// Cuts an interval to the fields and places of its type.
///
/// # Errors
/// `22023` for a precision that is none.
pub(crate) fn fit(interval: Interval, typmod: i32) -> Result<Interval> {
    if typmod < 0 {
        return Ok(interval);
    }
    let mut fitted = interval;
    match range_of(typmod) {
        field::YEAR => {
            fitted = Interval { months: interval.months / 12 * 12, days: 0, time_us: 0 };
        }
        field::MONTH | field::YEAR_TO_MONTH => {
            fitted = Interval { months: interval.months, days: 0, time_us: 0 };
        }
        field::DAY => fitted.time_us = 0,
        field::HOUR | field::DAY_TO_HOUR => fitted.time_us -= fitted.time_us % HOUR_US,
        field::MINUTE | field::HOUR_TO_MINUTE | field::DAY_TO_MINUTE => {
            fitted.time_us -= fitted.time_us % MINUTE_US;
        }
        field::SECOND
        | field::MINUTE_TO_SECOND
        | field::HOUR_TO_SECOND
        | field::DAY_TO_SECOND
        | field::FULL => {}
        _ => {
            return Err(PgError::internal(format!("unrecognized interval typmod: {typmod}")));
        }
    }
    let precision = typmod & 0xffff;
    if precision != 0xffff && precision != 6 {
        let unit = precision_us(precision).ok_or_else(|| {
            let message = format!("interval({precision}) precision must be between 0 and 6");
            PgError::new("22023", message)
        })?;
        fitted.time_us = round_to(fitted.time_us, unit);
    }
    Ok(fitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval in each of the four styles.
    fn check(text: &str, expected: [&str; 4]) {
        let interval = input(text, -1, IntervalStyle::Postgres).expect("an interval");
        let styles = [
            IntervalStyle::Postgres,
            IntervalStyle::PostgresVerbose,
            IntervalStyle::SqlStandard,
            IntervalStyle::Iso8601,
        ];
        assert_eq!(styles.map(|style| output(interval, style)), expected, "for {text}");
    }

    #[test]
    fn every_form_is_read_and_written() {
        check(
            "1-2 3 04:05:06.7",
            [
                "1 year 2 mons 3 days 04:05:06.7",
                "@ 1 year 2 mons 3 days 4 hours 5 mins 6.7 secs",
                "+1-2 +3 +4:05:06.7",
                "P1Y2M3DT4H5M6.7S",
            ],
        );
        check(
            "-1 day +2:03 hours ago",
            ["1 day -02:03:00", "@ 1 day -2 hours -3 mins", "+0-0 +1 -2:03:00", "P1DT-2H-3M"],
        );
        check("P1.5M", ["1 mon 15 days", "@ 1 mon 15 days", "+0-1 +15 +0:00:00", "P1M15D"]);
        check("@ 0", ["00:00:00", "@ 0", "0", "PT0S"]);
        check("-1.5 s", ["-00:00:01.5", "@ 1.5 secs ago", "-0:00:01.5", "PT-1.5S"]);
    }

    #[test]
    fn types_cut_to_their_fields() {
        let cut = |range: i32, places: i32, text: &str| {
            let interval = input(text, range << 16 | places, IntervalStyle::Postgres);
            interval.map(|interval| output(interval, IntervalStyle::Postgres))
        };
        assert_eq!(cut(field::YEAR_TO_MONTH, 0xffff, "1"), Ok("1 mon".to_owned()));
        assert_eq!(cut(field::MINUTE | field::SECOND, 1, "1:02.26"), Ok("00:01:02.3".to_owned()));
        assert_eq!(cut(field::DAY, 0xffff, "1 12:00"), Ok("1 day".to_owned()));
    }
}
