//! `interval` to text, in the four styles of `IntervalStyle` (the manual's section 8.5.5).

use std::fmt::Write as _;

use crate::context::IntervalStyle;
use crate::datetime::calendar::{HOUR_US, MINUTE_US, SECOND_US, small};
use crate::datetime::io::push_fraction;
use crate::value::Interval;

/// An interval's parts, each with the sign of what it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntervalFields {
    pub(crate) years: i32,
    pub(crate) months: i32,
    pub(crate) days: i64,
    pub(crate) hours: i64,
    pub(crate) minutes: i32,
    pub(crate) seconds: i32,
    pub(crate) micros: i32,
}

impl From<Interval> for IntervalFields {
    fn from(interval: Interval) -> Self {
        let time = interval.time_us;
        Self {
            years: interval.months / 12,
            months: interval.months % 12,
            days: i64::from(interval.days),
            hours: time / HOUR_US,
            minutes: small(time / MINUTE_US % 60),
            seconds: small(time / SECOND_US % 60),
            micros: small(time % SECOND_US),
        }
    }
}

/// Writes an interval.
pub(crate) fn output(interval: Interval, style: IntervalStyle) -> String {
    let fields = IntervalFields::from(interval);
    match style {
        IntervalStyle::Postgres => postgres(&fields, interval.time_us),
        IntervalStyle::PostgresVerbose => verbose(&fields),
        IntervalStyle::SqlStandard => sql_standard(&fields, interval),
        IntervalStyle::Iso8601 => iso_8601(&fields, interval.time_us),
    }
}

fn plural(value: i64) -> &'static str {
    if value == 1 { "" } else { "s" }
}

fn postgres(fields: &IntervalFields, time_us: i64) -> String {
    let mut out = String::new();
    let mut after_negative = false;
    let parts = [
        (i64::from(fields.years), "year"),
        (i64::from(fields.months), "mon"),
        (fields.days, "day"),
    ];
    for (value, unit) in parts {
        if value != 0 {
            let space = if out.is_empty() { "" } else { " " };
            let plus = if after_negative && value > 0 { "+" } else { "" };
            let _ = write!(out, "{space}{plus}{value} {unit}{}", plural(value));
            after_negative = value < 0;
        }
    }
    if out.is_empty() || time_us != 0 {
        let space = if out.is_empty() { "" } else { " " };
        let sign = match (time_us < 0, after_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let _ = write!(out, "{space}{sign}");
        push_clock(fields, 2, &mut out);
    }
    out
}

/// `hh:mm:ss.f` without sign.
fn push_clock(fields: &IntervalFields, width: usize, out: &mut String) {
    let hours = fields.hours.unsigned_abs();
    let minutes = fields.minutes.unsigned_abs();
    let seconds = fields.seconds.unsigned_abs();
    let _ = write!(out, "{hours:0width$}:{minutes:02}:{seconds:02}");
    push_fraction(fields.micros, out);
}

fn verbose(fields: &IntervalFields) -> String {
    let mut out = "@".to_owned();
    let mut is_before = false;
    let mut is_zero = true;
    let parts = [
        (i64::from(fields.years), "year"),
        (i64::from(fields.months), "mon"),
        (fields.days, "day"),
        (fields.hours, "hour"),
        (i64::from(fields.minutes), "min"),
    ];
    for (value, unit) in parts {
        if value != 0 {
            // The first part gives the sign of the whole.
            if is_zero {
                is_before = value < 0;
            }
            let shown = if is_before { -value } else { value };
            let _ = write!(out, " {shown} {unit}{}", plural(shown));
            is_zero = false;
        }
    }
    if fields.seconds != 0 || fields.micros != 0 {
        out.push(' ');
        if fields.seconds < 0 || fields.micros < 0 {
            if is_zero {
                is_before = true;
            } else if !is_before {
                out.push('-');
            }
        } else if is_before {
            out.push('-');
        }
        let seconds = fields.seconds.unsigned_abs();
        let _ = write!(out, "{seconds}");
        push_fraction(fields.micros, &mut out);
        out.push_str(if seconds != 1 || fields.micros != 0 { " secs" } else { " sec" });
        is_zero = false;
    }
    if is_zero {
        out.push_str(" 0");
    }
    if is_before {
        out.push_str(" ago");
    }
    out
}

fn sql_standard(fields: &IntervalFields, interval: Interval) -> String {
    let Interval { months, days, time_us } = interval;
    let has_negative = months < 0 || days < 0 || time_us < 0;
    let has_positive = months > 0 || days > 0 || time_us > 0;
    let has_year_month = months != 0;
    let has_day_time = days != 0 || time_us != 0;
    if !has_negative && !has_positive {
        return "0".to_owned();
    }
    let mut out = String::new();
    let (years, months_left) = (fields.years.unsigned_abs(), fields.months.unsigned_abs());
    let days_shown = fields.days.unsigned_abs();
    if (has_negative && has_positive) || (has_year_month && has_day_time) {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let _ = write!(
            out,
            "{}{years}-{months_left} {}{days_shown} {}",
            sign(months < 0),
            sign(days < 0),
            sign(time_us < 0)
        );
        push_clock(fields, 1, &mut out);
        return out;
    }
    if has_negative {
        out.push('-');
    }
    if has_year_month {
        let _ = write!(out, "{years}-{months_left}");
        return out;
    }
    if days != 0 {
        let _ = write!(out, "{days_shown} ");
    }
    push_clock(fields, 1, &mut out);
    out
}

fn iso_8601(fields: &IntervalFields, time_us: i64) -> String {
    let mut out = "P".to_owned();
    let push = |value: i64, unit: char, out: &mut String| {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    };
    push(i64::from(fields.years), 'Y', &mut out);
    push(i64::from(fields.months), 'M', &mut out);
    push(fields.days, 'D', &mut out);
    if time_us != 0 {
        out.push('T');
        push(fields.hours, 'H', &mut out);
        push(i64::from(fields.minutes), 'M', &mut out);
        if fields.seconds != 0 || fields.micros != 0 {
            if fields.seconds < 0 || fields.micros < 0 {
                out.push('-');
            }
            let _ = write!(out, "{}", fields.seconds.unsigned_abs());
            push_fraction(fields.micros, &mut out);
            out.push('S');
        }
    }
    if out.len() == 1 {
        out.push_str("T0S");
    }
    out
}
