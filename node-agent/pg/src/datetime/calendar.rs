//! The calendar: days and microseconds since 2000-01-01 against years, months, days, hours, minutes and seconds, and
//! the limits of the types (the manual's table 8.9).

use crate::error::{PgError, Result};

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// 2000-01-01 as a Julian day.
pub(crate) const EPOCH_JULIAN: i64 = 2_451_545;
/// 1970-01-01 in days since 2000-01-01.
pub(crate) const UNIX_EPOCH_DAYS: i64 = -10_957;

/// The first day of every type: Julian day 0, 4714-11-24 BC.
const DATE_FIRST: i64 = -EPOCH_JULIAN;
/// The day after the last `date`: 5874898-01-01.
const DATE_END: i64 = 2_147_483_494 - EPOCH_JULIAN;
const TIMESTAMP_FIRST: i64 = -211_813_488_000_000_000;
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// A point of the calendar; the year counts 1 BC as 0, 2 BC as -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fields {
    pub(crate) year: i32,
    pub(crate) month: i32,
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
    pub(crate) micros: i32,
}

/// Narrows a number whose bounds the calendar gives.
pub(crate) fn small(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// The days from 2000-01-01 to a day of the proleptic Gregorian calendar. The month may be any number, and the day too.
pub(crate) fn days_of(year: i32, month: i32, day: i32) -> i64 {
    let month = i64::from(month) - 1;
    let year = i64::from(year) + month.div_euclid(12);
    let month = month.rem_euclid(12);
    // Years that begin in March have the leap day at their end.
    let (year, place) = if month >= 2 { (year, month - 2) } else { (year - 1, month + 10) };
    let cycle = year.div_euclid(400);
    let of_cycle = year.rem_euclid(400);
    let of_year = (153 * place + 2) / 5 + i64::from(day) - 1;
    cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 730_425
}

/// Year, month and day of a number of days since 2000-01-01.
pub(crate) fn date_of(days: i64) -> (i32, i32, i32) {
    let shifted = days + 730_425;
    let cycle = shifted.div_euclid(146_097);
    let of_cycle = shifted.rem_euclid(146_097);
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let place = (5 * of_year + 2) / 153;
    let day = of_year - (153 * place + 2) / 5 + 1;
    let month = if place < 10 { place + 3 } else { place - 9 };
    let year = year + cycle * 400 + i64::from(month <= 2);
    (small(year), small(month), small(day))
}

pub(crate) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The days of a month, 1 to 12.
pub(crate) fn month_days(year: i32, month: i32) -> i32 {
    match month {
        2 => 28 + i32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of the week, Sunday being 0.
pub(crate) fn weekday(days: i64) -> i32 {
    small((days + 6).rem_euclid(7))
}

/// Whether a year and month lie where days can be counted at all.
pub(crate) fn is_countable(year: i32, month: i32) -> bool {
    (year > -4713 || (year == -4713 && month >= 11))
        && (year < 5_874_898 || (year == 5_874_898 && month < 6))
}

/// The days as a `date`, if it is one.
pub(crate) fn valid_date(days: i64) -> Option<i32> {
    (DATE_FIRST..DATE_END).contains(&days).then(|| small(days))
}

/// The microseconds as a finite `timestamp`, if they are one.
pub(crate) fn valid_timestamp(micros: i64) -> Option<i64> {
    (TIMESTAMP_FIRST..TIMESTAMP_END).contains(&micros).then_some(micros)
}

/// The `timestamp` of so many days and microseconds, if there is one.
pub(crate) fn timestamp_of(days: i64, time_us: i64) -> Option<i64> {
    let micros = i128::from(days) * i128::from(DAY_US) + i128::from(time_us);
    i64::try_from(micros).ok().and_then(valid_timestamp)
}

pub(crate) fn timestamp_out_of_range() -> PgError {
    PgError::new("22008", "timestamp out of range")
}

pub(crate) fn date_out_of_range() -> PgError {
    PgError::new("22008", "date out of range")
}

pub(crate) fn interval_out_of_range() -> PgError {
    PgError::new("22008", "interval out of range")
}

pub(crate) fn is_infinite(timestamp: i64) -> bool {
    timestamp == i64::MIN || timestamp == i64::MAX
}

impl Fields {
    /// The fields of a finite local `timestamp`.
    pub(crate) fn of_timestamp(micros: i64) -> Self {
        let (year, month, day) = date_of(micros.div_euclid(DAY_US));
        Self { year, month, day, ..Self::of_time(micros.rem_euclid(DAY_US)) }
    }

    /// The fields of a time of day; the date's are 0.
    pub(crate) fn of_time(micros: i64) -> Self {
        Self {
            hour: small(micros / HOUR_US),
            minute: small(micros / MINUTE_US % 60),
            second: small(micros / SECOND_US % 60),
            micros: small(micros % SECOND_US),
            ..Self::default()
        }
    }

    /// The days since 2000-01-01.
    pub(crate) fn days(&self) -> i64 {
        days_of(self.year, self.month, self.day)
    }

    /// The microseconds since midnight.
    pub(crate) fn time_us(&self) -> i64 {
        i64::from(self.hour) * HOUR_US
            + i64::from(self.minute) * MINUTE_US
            + i64::from(self.second) * SECOND_US
            + i64::from(self.micros)
    }

    /// The seconds since 2000-01-01 00:00:00 of the same local time.
    pub(crate) fn local_s(&self) -> i64 {
        self.days() * 86_400 + self.time_us().div_euclid(SECOND_US)
    }

    /// The local `timestamp`, if it is in range.
    ///
    /// # Errors
    /// `22008`.
    pub(crate) fn to_timestamp(self) -> Result<i64> {
        self.checked_timestamp().ok_or_else(timestamp_out_of_range)
    }

    /// The local `timestamp`, if it is in range.
    pub(crate) fn checked_timestamp(self) -> Option<i64> {
        is_countable(self.year, self.month)
            .then(|| timestamp_of(self.days(), self.time_us()))
            .flatten()
    }

    /// Whether the time of day is none: a part out of its range, or the whole above 24:00:00.
    pub(crate) fn time_overflows(&self) -> bool {
        !(0..=24).contains(&self.hour)
            || !(0..60).contains(&self.minute)
            || !(0..=60).contains(&self.second)
            || !(0..=1_000_000).contains(&self.micros)
            || self.time_us() > DAY_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(days: i64, expected: (i32, i32, i32)) {
        assert_eq!(date_of(days), expected);
        assert_eq!(days_of(expected.0, expected.1, expected.2), days);
    }

    #[test]
    fn counts_days() {
        check(0, (2000, 1, 1));
        check(-1, (1999, 12, 31));
        check(59, (2000, 2, 29));
        check(60, (2000, 3, 1));
        check(UNIX_EPOCH_DAYS, (1970, 1, 1));
        check(DATE_FIRST, (-4713, 11, 24));
        check(DATE_END, (5_874_898, 1, 1));
        assert_eq!(weekday(0), 6);
        assert_eq!(weekday(1), 0);
    }
}
