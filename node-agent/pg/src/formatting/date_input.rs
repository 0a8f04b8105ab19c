//! `to_date` and `to_timestamp(text, text)`.

use super::date::{Convention, DatePattern, Dots, ROMAN_MONTHS, VOCABULARY};
use super::template::{Element, Keyword, Modifiers, is_separator, is_space, parse};
use super::week;
use crate::datetime::calendar::{self, Fields, date_out_of_range, timestamp_out_of_range};
use crate::datetime::decode::{Mistake, west_of};
use crate::datetime::io::{instant_of, round_timestamp};
use crate::datetime::names::{MONTHS, WEEKDAYS};
use crate::error::{PgError, Result};
use crate::timezone::TimeZone;

/// The text and the template of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) text: &'a str,
    pub(super) template: &'a str,
}

/// `to_date`: days since 2000-01-01.
pub(super) fn to_date(input: Input<'_>) -> Result<i32> {
    let moment = moment(input)?;
    let fields = moment.fields;
    let days = calendar::is_countable(fields.year, fields.month).then(|| fields.days());
    days.and_then(calendar::valid_date).ok_or_else(|| {
        PgError::new("22008", format!("{}: \"{}\"", date_out_of_range().message(), input.text))
    })
}

/// `to_timestamp`: an instant.
pub(super) fn to_timestamp(input: Input<'_>, zone: &TimeZone) -> Result<i64> {
    let Moment { fields, east_s, precision } = moment(input)?;
    let west_s = east_s.map_or_else(|| west_of(zone, &fields), |east_s| -east_s);
    let instant = instant_of(fields, west_s).ok_or_else(timestamp_out_of_range)?;
    if precision == 0 { Ok(instant) } else { round_timestamp(instant, precision) }
}

/// What a text says.
struct Moment {
    fields: Fields,
    /// The offset that was given, in seconds east of UTC.
    east_s: Option<i32>,
    /// The digits of a fraction (`FF3`), or 0.
    precision: i32,
}

/// The numbers that the template's fields have given; 0 is as good as not given.
#[derive(Debug, Default)]
struct Given {
    convention: Option<Convention>,
    is_half_day_clock: bool,
    hour: i32,
    half_day: i32,
    minute: i32,
    second: i32,
    second_of_day: i32,
    weekday: i32,
    day: i32,
    day_of_year: i32,
    month: i32,
    millisecond: i32,
    microsecond: i32,
    year: i32,
    /// The digits of the year's pattern.
    year_digits: u8,
    before_christ: i32,
    week: i32,
    week_of_month: i32,
    century: i32,
    julian: i32,
    zone_sign: i32,
    zone_hour: i32,
    zone_minute: i32,
    precision: i32,
}

fn moment(input: Input<'_>) -> Result<Moment> {
    let elements = parse(input.template, VOCABULARY, Modifiers::Around);
    let mut reader =
        Reader { rest: input.text, text: input.text, given: Given::default(), is_exact: false };
    reader.read(&elements)?;
    reader.given.into_moment().map_err(|mistake| mistake.raise(input.text, "timestamp"))
}

/// The text as it is consumed.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    given: Given,
    /// After `FX`.
    is_exact: bool,
}

/// C's `isspace` in the C locale.
fn skip_spaces(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// The text without its first character.
fn skip_one(text: &str) -> &str {
    let mut characters = text.chars();
    characters.next();
    characters.as_str()
}

impl<'a> Reader<'a> {
    fn read(&mut self, elements: &[Element<DatePattern>]) -> Result<()> {
        // Characters skipped beyond what the template says.
        let mut skipped = 0_i32;
        for (place, element) in elements.iter().enumerate() {
            if self.rest.is_empty() {
                break;
            }
            let is_field = matches!(element, Element::Pattern(_));
            let is_switch =
                matches!(element, Element::Pattern(k) if k.pattern == DatePattern::Exact);
            if !self.is_exact && !is_switch && (is_field || place == 0) {
                skipped += self.skip_spaces();
            }
            let keyword = match element {
                Element::Pattern(keyword) => keyword,
                Element::Separator(_) | Element::Space(_) if !self.is_exact => {
                    skipped -= 1;
                    if self.rest.starts_with(|c| is_space(c) || is_separator(c)) {
                        self.rest = skip_one(self.rest);
                        skipped += 1;
                    }
                    continue;
                }
                Element::Text(_) if !self.is_exact && skipped > 0 => {
                    // What was skipped too much might have been this.
                    skipped -= 1;
                    continue;
                }
                _ => {
                    self.rest = skip_one(self.rest);
                    continue;
                }
            };
            self.set_convention(keyword)?;
            let next = elements.get(place + 1);
            self.field(keyword, Width::of(keyword, next), skipped)?;
            if !self.is_exact {
                skipped = self.skip_spaces();
            }
        }
        Ok(())
    }

    fn skip_spaces(&mut self) -> i32 {
        let after = skip_spaces(self.rest);
        let skipped = calendar::small((self.rest.len() - after.len()).try_into().unwrap_or(0));
        self.rest = after;
        skipped
    }

    fn set_convention(&mut self, keyword: &Keyword<DatePattern>) -> Result<()> {
        let Some(convention) = keyword.pattern.convention() else { return Ok(()) };
        if *self.given.convention.get_or_insert(convention) == convention {
            return Ok(());
        }
        let hint = "Do not mix Gregorian and ISO week date conventions in a formatting template.";
        Err(PgError::new("22007", "invalid combination of date conventions").with_hint(hint))
    }

    fn field(&mut self, keyword: &Keyword<DatePattern>, width: Width, skipped: i32) -> Result<()> {
        let usual = keyword.name.len();
        match keyword.pattern {
            DatePattern::Exact => {
                self.is_exact = true;
                return Ok(());
            }
            DatePattern::HalfDay(_, dots) => {
                let half = self.word(keyword, &dotted(["AM", "PM"], dots))?;
                set(&mut self.given.half_day, half, keyword)?;
                self.given.is_half_day_clock = true;
                return Ok(());
            }
            DatePattern::Era(_, dots) => {
                let era = self.word(keyword, &dotted(["AD", "BC"], dots))?;
                return set(&mut self.given.before_christ, era, keyword);
            }
            DatePattern::Month(_) => {
                let month = self.word(keyword, &MONTHS)? + 1;
                return set(&mut self.given.month, month, keyword);
            }
            DatePattern::MonthShort(_) => {
                let month = self.word(keyword, &MONTHS.map(|name| &name[..3]))? + 1;
                return set(&mut self.given.month, month, keyword);
            }
            DatePattern::MonthRoman(_) => {
                // From the last one, so that X is tried before I, and VIII before VII.
                let mut numerals = ROMAN_MONTHS;
                numerals.reverse();
                let month = 12 - self.word(keyword, &numerals)?;
                return set(&mut self.given.month, month, keyword);
            }
            DatePattern::Weekday(_) => {
                let day = self.word(keyword, &WEEKDAYS)?;
                return self.set_weekday(day, keyword);
            }
            DatePattern::WeekdayShort(_) => {
                let day = self.word(keyword, &WEEKDAYS.map(|name| &name[..3]))?;
                return self.set_weekday(day, keyword);
            }
            DatePattern::Zone(_) | DatePattern::Offset => {
                let message =
                    format!("formatting field \"{}\" is only supported in to_char", keyword.name);
                return Err(PgError::new("0A000", message));
            }
            DatePattern::ZoneHour => {
                // The sign may have been taken for a separator.
                let before = &self.text[..self.text.len() - self.rest.len()];
                let is_minus = match self.rest.as_bytes().first() {
                    Some(sign @ (b'+' | b'-' | b' ')) => {
                        self.rest = &self.rest[1..];
                        *sign == b'-'
                    }
                    _ => skipped > 0 && before.ends_with('-'),
                };
                self.given.zone_sign = if is_minus { -1 } else { 1 };
                let (value, _) = self.number(keyword, 2, width)?;
                return set(&mut self.given.zone_hour, value, keyword);
            }
            DatePattern::ZoneMinute => {
                if self.given.zone_sign == 0 {
                    self.given.zone_sign = 1;
                }
                let (value, _) = self.number(keyword, 2, width)?;
                return set(&mut self.given.zone_minute, value, keyword);
            }
            DatePattern::YearWithComma => self.year_with_comma(keyword)?,
            DatePattern::Hour | DatePattern::HourOfHalf => {
                let (value, _) = self.number(keyword, 2, width)?;
                set(&mut self.given.hour, value, keyword)?;
                self.given.is_half_day_clock |= keyword.pattern == DatePattern::HourOfHalf;
            }
            DatePattern::Minute => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.minute, value, keyword)?;
            }
            DatePattern::Second => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.second, value, keyword)?;
            }
            DatePattern::Millisecond => {
                let (value, length) = self.number(keyword, 3, width)?;
                set(&mut self.given.millisecond, value, keyword)?;
                self.given.millisecond = as_fraction(value, length, 3);
            }
            DatePattern::Microsecond | DatePattern::Fraction(_) => {
                let digits = match keyword.pattern {
                    DatePattern::Fraction(digits) => {
                        self.given.precision = digits.into();
                        digits
                    }
                    _ => 6,
                };
                let (value, length) = self.number(keyword, digits.into(), width)?;
                set(&mut self.given.microsecond, value, keyword)?;
                self.given.microsecond = as_fraction(value, length, 6);
            }
            DatePattern::SecondOfDay => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.second_of_day, value, keyword)?;
            }
            DatePattern::MonthNumber => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.month, value, keyword)?;
            }
            DatePattern::DayOfYear => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.day_of_year, value, keyword)?;
            }
            DatePattern::IsoDayOfYear => {
                let (value, _) = self.number(keyword, 3, width)?;
                set(&mut self.given.day_of_year, value, keyword)?;
            }
            DatePattern::Day => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.day, value, keyword)?;
            }
            DatePattern::WeekdayNumber => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.weekday, value, keyword)?;
            }
            DatePattern::IsoWeekday => {
                let (value, _) = self.number(keyword, 1, width)?;
                set(&mut self.given.weekday, value, keyword)?;
                // Counted from Sunday, as the others are.
                let day = value.wrapping_add(1);
                self.given.weekday = if day > 7 { 1 } else { day };
            }
            DatePattern::Week | DatePattern::IsoWeek => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.week, value, keyword)?;
            }
            // It does not say which day: read and forgotten.
            DatePattern::Quarter => drop(self.number(keyword, usual, width)?),
            DatePattern::Century => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.century, value, keyword)?;
            }
            DatePattern::Year(digits) | DatePattern::IsoYear(digits) => {
                let (value, length) = self.number(keyword, usual, width)?;
                set(&mut self.given.year, value, keyword)?;
                if digits < 4 && length < 4 {
                    self.given.year = near_2020(value);
                }
                self.given.year_digits = digits;
            }
            DatePattern::WeekOfMonth => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.week_of_month, value, keyword)?;
            }
            DatePattern::Julian => {
                let (value, _) = self.number(keyword, usual, width)?;
                set(&mut self.given.julian, value, keyword)?;
            }
        }
        if keyword.ordinal.is_some() {
            self.rest = skip_one(skip_one(self.rest));
        }
        Ok(())
    }

    fn set_weekday(&mut self, from_sunday: i32, keyword: &Keyword<DatePattern>) -> Result<()> {
        set(&mut self.given.weekday, from_sunday, keyword)?;
        self.given.weekday += 1;
        Ok(())
    }

    /// One of the words, in any case of ASCII's letters; its place among them.
    fn word<W: AsRef<str>>(&mut self, keyword: &Keyword<DatePattern>, words: &[W]) -> Result<i32> {
        let found = words.iter().position(|word| {
            let word = word.as_ref();
            let start = self.rest.as_bytes().get(..word.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        });
        let Some(place) = found else {
            let is_end = |c: char| is_space(c) && c != '\x0b';
            let shown = self.rest.split(is_end).next().unwrap_or_default();
            return Err(invalid(shown, keyword).with_detail(
                "The given value did not match any of the allowed values for this field.",
            ));
        };
        self.rest = &self.rest[words[place].as_ref().len()..];
        Ok(i32::try_from(place).unwrap_or(0))
    }

    /// An integer of a field, and how many bytes it took, with white space before it.
    fn number(
        &mut self,
        keyword: &Keyword<DatePattern>,
        digits: usize,
        width: Width,
    ) -> Result<(i32, usize)> {
        const HINT: &str =
            "If your source string is not fixed-width, try using the \"FM\" modifier.";
        let start = self.rest;
        let trimmed = skip_spaces(start);
        let cut = &trimmed.as_bytes()[..digits.min(trimmed.len())];
        let value = match width {
            Width::Free => {
                let (value, rest) = leading_integer(start);
                self.rest = rest;
                value
            }
            Width::Fixed => {
                if trimmed.len() < digits {
                    let message = format!(
                        "source string too short for \"{}\" formatting field",
                        keyword.name
                    );
                    let remain = trimmed.len();
                    return Err(PgError::new("22007", message)
                        .with_detail(format!(
                            "Field requires {digits} characters, but only {remain} remain."
                        ))
                        .with_hint(HINT));
                }
                // A number is ASCII: where the cut splits a character, none reaches it.
                let whole = cut.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                let (value, rest) = leading_integer(whole);
                let used = whole.len() - rest.len();
                if used > 0 && used < digits {
                    return Err(invalid(&String::from_utf8_lossy(cut), keyword)
                        .with_detail(format!(
                            "Field requires {digits} characters, but only {used} could be parsed."
                        ))
                        .with_hint(HINT));
                }
                self.rest = &trimmed[used..];
                value
            }
        };
        if self.rest.len() == start.len() {
            return Err(invalid(&String::from_utf8_lossy(cut), keyword)
                .with_detail("Value must be an integer."));
        }
        let value = i32::try_from(value).map_err(|_| {
            let message =
                format!("value for \"{}\" in source string is out of range", keyword.name);
            PgError::new("22008", message).with_detail(format!(
                "Value must be in the range {} to {}.",
                i32::MIN,
                i32::MAX
            ))
        })?;
        Ok((value, start.len() - self.rest.len()))
    }

    /// `Y,YYY`: millennia, a comma and up to three characters of a number.
    fn year_with_comma(&mut self, keyword: &Keyword<DatePattern>) -> Result<()> {
        let read = || {
            let (millennia, rest) = integer(skip_spaces(self.rest))?;
            let rest = skip_spaces(rest.strip_prefix(',')?);
            let end = rest.char_indices().nth(3).map_or(rest.len(), |(offset, _)| offset);
            let (years, after) = integer(&rest[..end])?;
            let used = end - after.len();
            Some((millennia, years, &rest[used..]))
        };
        let Some((millennia, years, rest)) = read() else {
            return Err(PgError::new("22007", "invalid input string for \"Y,YYY\""));
        };
        #[expect(clippy::cast_possible_truncation, reason = "as C reads too long a number")]
        let years = (years as i32).wrapping_add((millennia as i32).wrapping_mul(1000));
        set(&mut self.given.year, years, keyword)?;
        self.given.year_digits = 4;
        self.rest = rest;
        Ok(())
    }
}

/// How far a number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// As far as there are digits.
    Free,
    /// As many characters as the pattern has.
    Fixed,
}

impl Width {
    fn of(keyword: &Keyword<DatePattern>, next: Option<&Element<DatePattern>>) -> Self {
        let is_digit_next = match next {
            None => false,
            Some(Element::Pattern(next)) => next.pattern.is_digits(),
            Some(Element::Separator(c) | Element::Space(c) | Element::Text(c)) => {
                c.is_ascii_digit()
            }
        };
        if keyword.is_unpadded || keyword.ordinal.is_some() || !is_digit_next {
            Self::Free
        } else {
            Self::Fixed
        }
    }
}

fn dotted(words: [&str; 2], dots: Dots) -> [String; 2] {
    words.map(|word| match dots {
        Dots::With => word.chars().flat_map(|letter| [letter, '.']).collect(),
        Dots::Without => word.to_owned(),
    })
}

fn invalid(value: &str, keyword: &Keyword<DatePattern>) -> PgError {
    PgError::new("22007", format!("invalid value \"{value}\" for \"{}\"", keyword.name))
}

/// Remembers a field's number; another one for the same field contradicts it.
fn set(field: &mut i32, value: i32, keyword: &Keyword<DatePattern>) -> Result<()> {
    if *field != 0 && *field != value {
        let message =
            format!("conflicting values for \"{}\" field in formatting string", keyword.name);
        return Err(PgError::new("22007", message)
            .with_detail("This value contradicts a previous setting for the same field type."));
    }
    *field = value;
    Ok(())
}

/// The integer at the start of a text, after white space, and the rest; no integer is 0 and takes nothing.
fn leading_integer(text: &str) -> (i64, &str) {
    integer(skip_spaces(text)).unwrap_or((0, text))
}

/// The integer at the very start of a text; beyond the range of `bigint` its end.
fn integer(text: &str) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let end = text.len() - unsigned.len() + digits;
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some((text[..end].parse().unwrap_or(limit), &text[end..]))
}

/// The digits after a point in units of the last of so many: 5 is 500 of three.
fn as_fraction(value: i32, length: usize, digits: usize) -> i32 {
    let factor = match digits.checked_sub(length) {
        Some(missing) if length > 0 => 10_i32.pow(u32::try_from(missing).unwrap_or(0)),
        _ => 1,
    };
    value.wrapping_mul(factor)
}

/// The year that up to three digits mean: of all such the one nearest to 2020.
fn near_2020(year: i32) -> i32 {
    match year {
        i32::MIN..=69 => year.wrapping_add(2000),
        70..=99 => year + 1900,
        100..=519 => year + 2000,
        520..=999 => year + 1000,
        _ => year,
    }
}

impl Given {
    fn into_moment(mut self) -> Result<Moment, Mistake> {
        let mut fields = Fields { month: 1, day: 1, ..Fields::default() };
        self.time(&mut fields)?;
        let known = self.date(&mut fields)?;
        fields.micros = self.millisecond.wrapping_mul(1000).wrapping_add(self.microsecond);
        known.check(&fields)?;
        let is_time = (0..24).contains(&fields.hour)
            && (0..60).contains(&fields.minute)
            && (0..60).contains(&fields.second)
            && (0..1_000_000).contains(&fields.micros);
        if !is_time {
            return Err(Mistake::Range);
        }
        let east_s = match self.zone_sign {
            0 => None,
            sign => {
                let is_offset =
                    (0..=15).contains(&self.zone_hour) && (0..60).contains(&self.zone_minute);
                if !is_offset {
                    return Err(Mistake::Displacement);
                }
                Some(sign * (self.zone_hour * 3600 + self.zone_minute * 60))
            }
        };
        Ok(Moment { fields, east_s, precision: self.precision })
    }

    fn time(&self, fields: &mut Fields) -> Result<(), Mistake> {
        let chosen = |given: i32, otherwise: i32| if given == 0 { otherwise } else { given };
        let of_day = self.second_of_day;
        fields.second = chosen(self.second, of_day % 60);
        fields.minute = chosen(self.minute, of_day / 60 % 60);
        fields.hour = chosen(self.hour, of_day / 3600);
        if !self.is_half_day_clock {
            return Ok(());
        }
        if !(1..=12).contains(&fields.hour) {
            let message = format!("hour \"{}\" is invalid for the 12-hour clock", fields.hour);
            let hint = "Use the 24-hour clock, or give an hour between 1 and 12.";
            return Err(Mistake::Raised(PgError::new("22007", message).with_hint(hint)));
        }
        let is_afternoon = self.half_day != 0;
        fields.hour = fields.hour % 12 + if is_afternoon { 12 } else { 0 };
        Ok(())
    }

    /// Year, month and day from all that says something about them.
    fn date(&mut self, fields: &mut Fields) -> Result<Known, Mistake> {
        let mut known = Known::default();
        if let Some(year) = self.full_year() {
            fields.year = year;
            known.year = true;
        }
        let set_julian = |fields: &mut Fields, known: &mut Known, julian: i32| {
            (fields.year, fields.month, fields.day) = week::date_of_julian(julian);
            *known = Known { year: true, month: true, day: true };
        };
        if self.julian != 0 {
            set_julian(fields, &mut known, self.julian);
        }
        let is_iso = self.convention == Some(Convention::IsoWeek);
        if self.week != 0 && is_iso {
            // Without a weekday the Monday; with one, which counts from Sunday, the last is Sunday.
            let after_monday = match self.weekday {
                0 => 0,
                weekday if weekday > 1 => weekday - 2,
                _ => 6,
            };
            let monday = week::week_start(fields.year, self.week);
            set_julian(fields, &mut known, monday.wrapping_add(after_monday));
        } else if self.week != 0 {
            self.day_of_year = self.week.wrapping_sub(1).wrapping_mul(7).wrapping_add(1);
        }
        if self.week_of_month != 0 {
            self.day = self.week_of_month.wrapping_sub(1).wrapping_mul(7).wrapping_add(1);
        }
        if self.day != 0 {
            (fields.day, known.day) = (self.day, true);
        }
        if self.month != 0 {
            (fields.month, known.month) = (self.month, true);
        }
        if self.day_of_year != 0 && (fields.month <= 1 || fields.day <= 1) {
            if fields.year == 0 && self.before_christ == 0 {
                let message = "cannot calculate day of year without year information";
                return Err(Mistake::Raised(PgError::new("22007", message)));
            }
            if is_iso {
                let zeroth = week::week_start(fields.year, 1).wrapping_sub(1);
                set_julian(fields, &mut known, zeroth.wrapping_add(self.day_of_year));
            } else {
                let (month, day) = month_and_day(fields.year, self.day_of_year);
                if fields.month <= 1 {
                    fields.month = month;
                }
                if fields.day <= 1 {
                    fields.day = day;
                }
                (known.month, known.day) = (true, true);
            }
        }
        Ok(known)
    }

    /// The year, 1 BC being 0, from year and century.
    fn full_year(&self) -> Option<i32> {
        let is_before = self.before_christ != 0;
        let century = if is_before { self.century.wrapping_neg() } else { self.century };
        match (self.year, century) {
            (0, 0) => None,
            (0, century) if century >= 0 => {
                Some(century.wrapping_sub(1).wrapping_mul(100).wrapping_add(1))
            }
            (0, century) => Some(century.wrapping_mul(100).wrapping_add(1)),
            // Two digits within a century: the 21st has 2001 to 2100, the 6th BC 600 BC to 501 BC.
            (year, century) if century != 0 && self.year_digits <= 2 => {
                let year = year % 100;
                let hundreds = |century: i32| century.wrapping_mul(100);
                Some(match (year, century >= 0) {
                    (0, true) => hundreds(century),
                    (0, false) => hundreds(century).wrapping_add(1),
                    (year, true) => hundreds(century.wrapping_sub(1)).wrapping_add(year),
                    (year, false) => {
                        hundreds(century.wrapping_add(1)).wrapping_sub(year).wrapping_add(1)
                    }
                })
            }
            (year, _) => {
                let year = if is_before { year.wrapping_neg() } else { year };
                Some(if year < 0 { year + 1 } else { year })
            }
        }
    }
}

/// The month and day of a day of the year; month 13 for one beyond the year.
fn month_and_day(year: i32, day_of_year: i32) -> (i32, i32) {
    let mut before = 0;
    for month in 1..=12 {
        let days = calendar::month_days(year, month);
        if day_of_year <= before + days {
            return (month, day_of_year.wrapping_sub(before));
        }
        before += days;
    }
    (13, day_of_year.wrapping_sub(before))
}

/// Which parts of the date the text has told.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    year: bool,
    month: bool,
    day: bool,
}

impl Known {
    fn check(self, fields: &Fields) -> Result<(), Mistake> {
        let is_month = !self.month || (1..=12).contains(&fields.month);
        let is_day = !self.day || (1..=31).contains(&fields.day);
        let is_whole = self.year && self.month && self.day;
        let is_date = is_month
            && is_day
            && (!is_whole || fields.day <= calendar::month_days(fields.year, fields.month));
        if is_date { Ok(()) } else { Err(Mistake::Range) }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn dates() {
        check("to_date", &["t:05 Dec 2000", "t:DD Mon YYYY"], "2000-12-05");
        check("to_date", &["t:2000-366", "t:YYYY-DDD"], "2000-12-31");
        check("to_date", &["t:2006-42-4", "t:IYYY-IW-ID"], "2006-10-19");
        check("to_date", &["t:95", "t:YY"], "1995-01-01");
        check(
            "to_date",
            &["t:20000431", "t:YYYYMMDD"],
            "ERROR 22008: date/time field value out of range: \"20000431\"",
        );
        check(
            "to_date",
            &["t:2000-01", "t:YYYY-IW"],
            "ERROR 22007: invalid combination of date conventions",
        );
        check(
            "to_date",
            &["t:12 Foo", "t:DD Mon"],
            "ERROR 22007: invalid value \"Foo\" for \"Mon\"",
        );
    }

    #[test]
    fn instants() {
        check(
            "to_timestamp",
            &["t:2011-12-18 11:38 PM +05:30", "t:YYYY-MM-DD HH12:MI PM TZH:TZM"],
            "2011-12-18 18:08:00+00",
        );
        check(
            "to_timestamp",
            &["t:13", "t:HH12"],
            "ERROR 22007: hour \"13\" is invalid for the 12-hour clock",
        );
        check("to_timestamp", &["t:1 . 5", "t:SS.FF1"], "0001-01-01 00:00:01.5+00 BC");
    }
}
