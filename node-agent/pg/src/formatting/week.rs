//! Julian days and ISO weeks of any three numbers: PostgreSQL formats the parts of an interval as if they were a date, and
//! reads week numbers that no year has. The counting is that of 32-bit integers whose divisions go towards zero.

use crate::datetime::calendar::{self, EPOCH_JULIAN};

/// The Julian day of a year, month and day, whatever they are.
pub(super) fn julian_day(year: i32, month: i32, day: i32) -> i32 {
    // Years that begin in March have the leap day at their end.
    let (year, month) = match month > 2 {
        true => (i64::from(year) + 4800, i64::from(month) + 1),
        false => (i64::from(year) + 4799, i64::from(month) + 13),
    };
    let century = year / 100;
    let leap_days = year / 4 - century + century / 4;
    wrapped(year * 365 + leap_days + 7834 * month / 256 + i64::from(day) - 32_167)
}

/// The year, month and day of a Julian day; one below zero lies at the far end of time.
pub(super) fn date_of_julian(julian: i32) -> (i32, i32, i32) {
    // What is not far below zero can be counted back to 4800 BC.
    let days =
        if julian >= -32_044 { i64::from(julian) } else { i64::from(julian.cast_unsigned()) };
    calendar::date_of(days - EPOCH_JULIAN)
}

/// The Julian day of the Monday on which an ISO year begins, and so many weeks later.
pub(super) fn week_start(year: i32, week: i32) -> i32 {
    let fourth = julian_day(year, 1, 4);
    let monday = fourth.wrapping_sub(fourth.rem_euclid(7));
    week.wrapping_sub(1).wrapping_mul(7).wrapping_add(monday)
}

/// The ISO year and week of a date.
pub(super) fn iso_week(year: i32, month: i32, day: i32) -> (i32, i32) {
    let julian = julian_day(year, month, day);
    let own = week_start(year, 1);
    let (before, after) = (year.wrapping_sub(1), year.wrapping_add(1));
    let week = |first: i32| julian.wrapping_sub(first) / 7 + 1;
    if julian < own {
        return (before, week(week_start(before, 1)));
    }
    // The last days of a year can belong to the next one's first week.
    let next = week_start(after, 1);
    if week(own) >= 52 && julian >= next { (after, week(next)) } else { (year, week(own)) }
}

/// The day of the ISO year, from 1.
pub(super) fn iso_day_of_year(year: i32, month: i32, day: i32) -> i32 {
    let (iso_year, _) = iso_week(year, month, day);
    julian_day(year, month, day).wrapping_sub(week_start(iso_year, 1)).wrapping_add(1)
}

#[expect(clippy::cast_possible_truncation, reason = "as PostgreSQL's 32-bit integers wrap")]
fn wrapped(value: i64) -> i32 {
    value as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(date: (i32, i32, i32), expected: (i32, i32)) {
        assert_eq!(iso_week(date.0, date.1, date.2), expected, "{date:?}");
    }

    #[test]
    fn weeks() {
        check((2021, 1, 3), (2020, 53));
        check((2024, 12, 30), (2025, 1));
        check((2024, 2, 29), (2024, 9));
        check((2000, 1, 1), (1999, 52));
        assert_eq!(iso_day_of_year(2024, 12, 31), 2);
        assert_eq!(julian_day(2000, 1, 1), 2_451_545);
        assert_eq!(date_of_julian(2_451_605), (2000, 3, 1));
        assert_eq!(date_of_julian(0), (-4713, 11, 24));
    }
}
