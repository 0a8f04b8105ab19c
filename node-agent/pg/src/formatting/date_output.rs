//! `to_char` of timestamps and intervals.

use std::fmt::Write as _;

use super::date::{DatePattern, Dots, ROMAN_MONTHS, VOCABULARY};
use super::template::{Element, Keyword, Letters, Modifiers, parse};
use super::{ordinal_suffix, week};
use crate::datetime::calendar::{self, Fields, SECOND_US};
use crate::datetime::names::{MONTHS, WEEKDAYS};
use crate::error::{PgError, Result};
use crate::interval::output::IntervalFields;
use crate::timezone::TimeZone;
use crate::value::Interval;

/// What a template is filled with.
struct Moment {
    kind: Kind,
    year: i32,
    month: i32,
    day: i32,
    hour: i64,
    minute: i32,
    second: i32,
    micros: i32,
    /// From Sunday on.
    weekday: i32,
    day_of_year: i32,
    /// Seconds east of UTC.
    offset_s: i32,
    zone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Timestamp,
    Interval,
}

/// `to_char(timestamp, text)` of a finite timestamp.
pub(super) fn timestamp(micros: i64, template: &str) -> Result<String> {
    Moment::of_local(micros).format(template)
}

/// `to_char(timestamptz, text)` of a finite timestamp.
pub(super) fn timestamptz(instant: i64, zone: &TimeZone, template: &str) -> Result<String> {
    let instant_s = instant.div_euclid(SECOND_US);
    let offset_s = zone.offset_at(instant_s);
    let local = instant + i64::from(offset_s) * SECOND_US;
    let zone = Some(zone.abbreviation_at(instant_s));
    Moment { offset_s, zone, ..Moment::of_local(local) }.format(template)
}

/// `to_char(interval, text)`.
pub(super) fn interval(interval: Interval, template: &str) -> Result<String> {
    let fields = IntervalFields::from(interval);
    let months = fields.years.wrapping_mul(12).wrapping_add(fields.months);
    Moment {
        kind: Kind::Interval,
        year: fields.years,
        month: fields.months,
        day: interval.days,
        hour: fields.hours,
        minute: fields.minutes,
        second: fields.seconds,
        micros: fields.micros,
        weekday: 0,
        day_of_year: months.wrapping_mul(30).wrapping_add(interval.days),
        offset_s: 0,
        zone: None,
    }
    .format(template)
}

/// The words for before and after, with and without points.
pub(super) fn half_word(
    words: (&str, &str),
    is_second: bool,
    letters: Letters,
    dots: Dots,
) -> String {
    let word = if is_second { words.1 } else { words.0 };
    let dotted: String = match dots {
        Dots::With => word.chars().flat_map(|letter| [letter, '.']).collect(),
        Dots::Without => word.to_owned(),
    };
    letters.apply(&dotted)
}

impl Moment {
    fn of_local(micros: i64) -> Self {
        let fields = Fields::of_timestamp(micros);
        let days = fields.days();
        Self {
            kind: Kind::Timestamp,
            year: fields.year,
            month: fields.month,
            day: fields.day,
            hour: i64::from(fields.hour),
            minute: fields.minute,
            second: fields.second,
            micros: fields.micros,
            weekday: calendar::weekday(days),
            day_of_year: calendar::small(days - calendar::days_of(fields.year, 1, 1) + 1),
            offset_s: 0,
            zone: None,
        }
    }

    fn format(&self, template: &str) -> Result<String> {
        let mut out = String::new();
        for element in parse(template, VOCABULARY, Modifiers::Around) {
            match element {
                Element::Pattern(keyword) => self.fill(&keyword, &mut out)?,
                Element::Separator(c) | Element::Space(c) | Element::Text(c) => out.push(c),
            }
        }
        Ok(out)
    }

    fn fill(&self, keyword: &Keyword<DatePattern>, out: &mut String) -> Result<()> {
        if let Some((value, width)) = self.number(keyword.pattern) {
            let width = if keyword.is_unpadded { 0 } else { width };
            return push_number(value, width, keyword, out);
        }
        let name_width = if keyword.is_unpadded || keyword.is_localized { 0 } else { 9 };
        match keyword.pattern {
            DatePattern::Millisecond => {
                return push_number(i64::from(self.micros / 1000), 3, keyword, out);
            }
            DatePattern::Microsecond => return push_number(self.micros.into(), 6, keyword, out),
            DatePattern::Fraction(digits) => {
                let cut = self.micros / 10_i32.pow(6 - u32::from(digits));
                return push_number(cut.into(), digits.into(), keyword, out);
            }
            DatePattern::HalfDay(letters, dots) => {
                let is_afternoon = self.hour % 24 >= 12;
                out.push_str(&half_word(("AM", "PM"), is_afternoon, letters, dots));
            }
            DatePattern::Exact => {}
            DatePattern::Quarter if self.month != 0 => {
                return push_number(i64::from((self.month - 1) / 3 + 1), 0, keyword, out);
            }
            DatePattern::Quarter => {}
            DatePattern::YearWithComma => {
                let year = self.shown(self.year);
                let before = year / 1000;
                let text = format!("{before},{:03}", year - before * 1000);
                out.push_str(&text);
                push_ordinal(&text, keyword, out)?;
            }
            DatePattern::MonthRoman(letters) => {
                if let Some(place) = self.roman_month() {
                    let numeral = letters.apply(ROMAN_MONTHS[place]);
                    let width = if keyword.is_unpadded { 0 } else { 4 };
                    let _ = write!(out, "{numeral:<width$}");
                }
            }
            _ if self.kind == Kind::Interval => {
                let message = "invalid format specification for an interval value";
                let hint = "Intervals are not tied to specific calendar dates.";
                return Err(PgError::new("22007", message).with_hint(hint));
            }
            DatePattern::Zone(letters) => {
                let zone = self.zone.as_deref().unwrap_or_default();
                match letters {
                    Letters::Lower => out.push_str(&zone.to_ascii_lowercase()),
                    _ => out.push_str(zone),
                }
            }
            DatePattern::ZoneHour => {
                let sign = if self.offset_s >= 0 { '+' } else { '-' };
                let _ = write!(out, "{sign}{:02}", self.offset_s.abs() / 3600);
            }
            DatePattern::ZoneMinute => {
                let _ = write!(out, "{:02}", self.offset_s.abs() % 3600 / 60);
            }
            DatePattern::Offset => self.push_offset(keyword.is_unpadded, out),
            DatePattern::Era(letters, dots) => {
                out.push_str(&half_word(("AD", "BC"), self.year <= 0, letters, dots));
            }
            DatePattern::Month(letters) => {
                let name = MONTHS[place_of(self.month - 1, MONTHS.len())];
                let _ = write!(out, "{:<name_width$}", letters.apply(name));
            }
            DatePattern::MonthShort(letters) => {
                let name = MONTHS[place_of(self.month - 1, MONTHS.len())];
                out.push_str(&letters.apply(&name[..3]));
            }
            DatePattern::Weekday(letters) => {
                let name = WEEKDAYS[place_of(self.weekday, WEEKDAYS.len())];
                let _ = write!(out, "{:<name_width$}", letters.apply(name));
            }
            DatePattern::WeekdayShort(letters) => {
                let name = WEEKDAYS[place_of(self.weekday, WEEKDAYS.len())];
                out.push_str(&letters.apply(&name[..3]));
            }
            DatePattern::WeekdayNumber => {
                return push_number(i64::from(self.weekday) + 1, 0, keyword, out);
            }
            DatePattern::IsoWeekday => {
                let number = if self.weekday == 0 { 7 } else { self.weekday };
                return push_number(number.into(), 0, keyword, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// What is a number of a timestamp as of an interval, and to how many characters it is padded.
    fn number(&self, pattern: DatePattern) -> Option<(i64, usize)> {
        let signed = |value: i64, width: usize| (value, width + usize::from(value < 0));
        let whole = i64::from;
        Some(match pattern {
            DatePattern::HourOfHalf => {
                let hour = match self.hour % 12 {
                    0 => 12,
                    hour => hour,
                };
                (hour, 2 + usize::from(self.hour < 0))
            }
            DatePattern::Hour => signed(self.hour, 2),
            DatePattern::Minute => signed(whole(self.minute), 2),
            DatePattern::Second => signed(whole(self.second), 2),
            DatePattern::SecondOfDay => {
                (self.hour * 3600 + whole(self.minute) * 60 + whole(self.second), 0)
            }
            DatePattern::MonthNumber => signed(whole(self.month), 2),
            DatePattern::Day => (whole(self.day), 2),
            DatePattern::DayOfYear => (whole(self.day_of_year), 3),
            DatePattern::IsoDayOfYear => {
                (whole(week::iso_day_of_year(self.year, self.month, self.day)), 3)
            }
            DatePattern::Week => (whole(self.day_of_year.wrapping_sub(1) / 7 + 1), 2),
            DatePattern::IsoWeek => (whole(self.iso_week().1), 2),
            DatePattern::WeekOfMonth => (whole(self.day.wrapping_sub(1) / 7 + 1), 0),
            DatePattern::Julian => (whole(week::julian_day(self.year, self.month, self.day)), 0),
            DatePattern::Century => {
                let century = match self.kind {
                    Kind::Interval => self.year / 100,
                    Kind::Timestamp if self.year > 0 => (self.year - 1) / 100 + 1,
                    Kind::Timestamp => self.year / 100 - 1,
                };
                signed(whole(century), if (-99..=99).contains(&century) { 2 } else { 0 })
            }
            DatePattern::Year(digits) => self.year_digits(self.shown(self.year), digits),
            DatePattern::IsoYear(digits) => self.year_digits(self.shown(self.iso_week().0), digits),
            _ => return None,
        })
    }

    fn iso_week(&self) -> (i32, i32) {
        week::iso_week(self.year, self.month, self.day)
    }

    /// A year as it is shown: an interval's has its sign, a date's counts from 1 on both sides.
    fn shown(&self, year: i32) -> i32 {
        match self.kind {
            Kind::Timestamp if year <= 0 => 1 - year,
            _ => year,
        }
    }

    /// The last digits of a year; whether there is place for a sign is decided by the calendar's year.
    fn year_digits(&self, year: i32, digits: u8) -> (i64, usize) {
        let cut = match digits {
            4 => year,
            digits => year % 10_i32.pow(digits.into()),
        };
        let sign = usize::from(self.shown(self.year) < 0 && digits > 1);
        (cut.into(), usize::from(digits) + sign)
    }

    /// The place of the month among the numerals; none for an interval without years and months.
    fn roman_month(&self) -> Option<usize> {
        let place = match self.month {
            0 if self.year == 0 => return None,
            0 if self.year > 0 => 11,
            0 => 0,
            // -1 is December.
            month if month < 0 => 12 + month,
            month => month - 1,
        };
        usize::try_from(place).ok().filter(|place| *place < ROMAN_MONTHS.len())
    }

    fn push_offset(&self, is_unpadded: bool, out: &mut String) {
        let sign = if self.offset_s >= 0 { '+' } else { '-' };
        let (hours, rest) = (self.offset_s.abs() / 3600, self.offset_s.abs() % 3600);
        let width = if is_unpadded { 0 } else { 2 };
        let _ = write!(out, "{sign}{hours:0width$}");
        if rest != 0 {
            let _ = write!(out, ":{:02}", rest / 60);
        }
    }
}

/// The place in a list of names: the calendar gives none outside.
fn place_of(number: i32, length: usize) -> usize {
    usize::try_from(number).unwrap_or(0).min(length - 1)
}

fn push_number(
    value: i64,
    width: usize,
    keyword: &Keyword<DatePattern>,
    out: &mut String,
) -> Result<()> {
    let text = format!("{value:0width$}");
    out.push_str(&text);
    push_ordinal(&text, keyword, out)
}

fn push_ordinal(text: &str, keyword: &Keyword<DatePattern>, out: &mut String) -> Result<()> {
    if let Some(letters) = keyword.ordinal {
        out.push_str(&ordinal_suffix(text.as_bytes(), letters)?);
    }
    Ok(())
}
