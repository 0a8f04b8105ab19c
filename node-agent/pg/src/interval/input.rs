//! Text to `interval` (the manual's section 8.5.4).

use super::{field, out_of_range_mistake as overflow};
use crate::context::IntervalStyle;
use crate::datetime::calendar::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};
use crate::datetime::decode::{self, Mistake, Short};
use crate::datetime::keyword::{self, Unit, UnitWord};
use crate::datetime::lex::{self, Kind, Room};
use crate::datetime::mask::{self, Mask};

type Step<T = ()> = Result<T, Mistake>;

/// An interval's parts while it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    pub(super) years: i32,
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

/// Reads the traditional and SQL's forms. `range` is the type's fields, which say what a number without unit means.
pub(super) fn traditional(text: &str, range: i32, style: IntervalStyle) -> Step<Parts> {
    let tokens = lex::tokens(text, Room(256)).ok_or(Mistake::Form)?;
    let is_signed = |text: &str| text.starts_with(['-', '+']);
    // SQL's `-1 1:00:00`: the sign is for all.
    let all_negative = style == IntervalStyle::SqlStandard
        && tokens.first().is_some_and(|first| first.text.starts_with('-'))
        && !tokens.iter().skip(1).any(|token| is_signed(&token.text));
    let short = if range == field::MINUTE | field::SECOND {
        Short::MinutesSeconds
    } else {
        Short::HoursMinutes
    };
    let mut parts = Parts::default();
    let mut known: Mask = 0;
    let mut is_ago = false;
    // A unit stands behind its number, so reading goes backwards. The outer option is whether the unit is known, the
    // inner whether it is any.
    let mut unit: Option<Option<Unit>> = None;
    for token in tokens.iter().rev() {
        let text = token.text.as_str();
        let read = match token.kind {
            Kind::Time => {
                parts.micros = clock_us(text, short, &mut parts)?;
                if all_negative && parts.micros > 0 {
                    parts.micros = -parts.micros;
                }
                unit = Some(Some(Unit::Day));
                mask::TIME
            }
            Kind::Zone if text.contains(':') && signed_clock(text, short, &mut parts)? => {
                if all_negative && parts.micros > 0 {
                    parts.micros = -parts.micros;
                }
                unit = Some(Some(Unit::Day));
                mask::TIME
            }
            Kind::Zone | Kind::Date | Kind::Number => {
                let this = unit.unwrap_or_else(|| Some(rightmost(range)));
                let (read, next) = number(text, this, all_negative, &mut parts)?;
                unit = Some(next);
                read
            }
            Kind::Word | Kind::Special => {
                match keyword::find_unit(text).ok_or(Mistake::Form)? {
                    UnitWord::Unit(found) => unit = Some(Some(found)),
                    UnitWord::Ago => {
                        is_ago = true;
                        unit = Some(None);
                    }
                }
                0
            }
        };
        if read & known != 0 {
            return Err(Mistake::Form);
        }
        known |= read;
    }
    if known == 0 {
        return Err(Mistake::Form);
    }
    if is_ago {
        parts.years = parts.years.checked_neg().ok_or_else(overflow)?;
        parts.months = parts.months.checked_neg().ok_or_else(overflow)?;
        parts.days = parts.days.checked_neg().ok_or_else(overflow)?;
        parts.micros = parts.micros.checked_neg().ok_or_else(overflow)?;
    }
    Ok(parts)
}

/// What the rightmost number means for a type that is restricted to fields.
fn rightmost(range: i32) -> Unit {
    match range {
        field::YEAR => Unit::Year,
        field::MONTH | field::YEAR_TO_MONTH => Unit::Month,
        field::DAY => Unit::Day,
        field::HOUR | field::DAY_TO_HOUR => Unit::Hour,
        field::MINUTE | field::HOUR_TO_MINUTE | field::DAY_TO_MINUTE => Unit::Minute,
        _ => Unit::Second,
    }
}

fn clock_us(text: &str, short: Short, parts: &mut Parts) -> Step<i64> {
    let clock = decode::clock(text, short)?;
    // What PostgreSQL leaves behind when the sum overflows is not seen.
    parts.micros = clock.micros;
    [
        (clock.hour, HOUR_US),
        (i64::from(clock.minute), MINUTE_US),
        (i64::from(clock.second), SECOND_US),
    ]
    .iter()
    .try_fold(clock.micros, |sum, (value, scale)| value.checked_mul(*scale)?.checked_add(sum))
    .ok_or_else(overflow)
}

/// `+hh:mm` and its like; false if it is none.
fn signed_clock(text: &str, short: Short, parts: &mut Parts) -> Step<bool> {
    let mut trial = *parts;
    let Ok(micros) = clock_us(&text[1..], short, &mut trial) else { return Ok(false) };
    parts.micros = if text.starts_with('-') { -micros } else { micros };
    Ok(true)
}

/// A number of a unit; the parts that it fills, and the unit of a number before it.
fn number(
    text: &str,
    unit: Option<Unit>,
    all_negative: bool,
    parts: &mut Parts,
) -> Step<(Mask, Option<Unit>)> {
    let (mut value, rest) = decode::leading_int8(text)?;
    let mut unit = unit;
    let is_negative = text.starts_with('-');
    let mut fraction = 0.0;
    if let Some(months) = rest.strip_prefix('-') {
        // SQL's `years-months`.
        let (months, rest) = decode::leading_int8(months)?;
        if !(0..12).contains(&months) {
            return Err(Mistake::Range);
        }
        if !rest.is_empty() {
            return Err(Mistake::Form);
        }
        unit = Some(Unit::Month);
        let months = if is_negative { -months } else { months };
        value = value.checked_mul(12).and_then(|v| v.checked_add(months)).ok_or_else(overflow)?;
    } else if rest.starts_with('.') {
        fraction = decode::fraction(rest)?;
        if is_negative {
            fraction = -fraction;
        }
    } else if !rest.is_empty() {
        return Err(Mistake::Form);
    }
    if all_negative {
        value = -value.abs();
        fraction = -fraction.abs();
    }
    let mut next = unit;
    let read = match unit.ok_or(Mistake::Form)? {
        Unit::Microsecond => {
            parts.add_micros(value, fraction, 1)?;
            mask::MICROSECOND
        }
        Unit::Millisecond => {
            parts.add_micros(value, fraction, 1000)?;
            mask::MILLISECOND
        }
        Unit::Second => {
            parts.add_micros(value, fraction, SECOND_US)?;
            if fraction == 0.0 { mask::SECOND } else { mask::ALL_SECONDS }
        }
        Unit::Minute => {
            parts.add_micros(value, fraction, MINUTE_US)?;
            mask::MINUTE
        }
        Unit::Hour => {
            parts.add_micros(value, fraction, HOUR_US)?;
            next = Some(Unit::Day);
            mask::HOUR
        }
        Unit::Day => {
            parts.add_days(value, 1)?;
            parts.add_fraction_us(fraction, DAY_US)?;
            mask::DAY
        }
        Unit::Week => {
            parts.add_days(value, 7)?;
            parts.add_fraction_days(fraction, 7)?;
            mask::WEEK
        }
        Unit::Month => {
            parts.add_months(value)?;
            parts.add_fraction_days(fraction, 30)?;
            mask::MONTH
        }
        Unit::Year => {
            parts.add_years(value, fraction, 1)?;
            mask::YEAR
        }
        Unit::Decade => {
            parts.add_years(value, fraction, 10)?;
            mask::DECADE
        }
        Unit::Century => {
            parts.add_years(value, fraction, 100)?;
            mask::CENTURY
        }
        Unit::Millennium => {
            parts.add_years(value, fraction, 1000)?;
            mask::MILLENNIUM
        }
        _ => return Err(Mistake::Form),
    };
    Ok((read, next))
}

impl Parts {
    fn add_micros(&mut self, value: i64, fraction: f64, scale: i64) -> Step {
        self.micros = value
            .checked_mul(scale)
            .and_then(|micros| micros.checked_add(self.micros))
            .ok_or_else(overflow)?;
        self.add_fraction_us(fraction, scale)
    }

    /// Adds a fraction of a unit of `scale` microseconds, rounded.
    fn add_fraction_us(&mut self, fraction: f64, scale: i64) -> Step {
        if fraction == 0.0 {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "scales are below 2^53")]
        let scaled = fraction * scale as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a scale")]
        let whole = scaled as i64;
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let rest = scaled - whole as f64;
        let rounded = whole + i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(rounded).ok_or_else(overflow)?;
        Ok(())
    }

    fn add_days(&mut self, value: i64, scale: i32) -> Step {
        self.days = i32::try_from(value)
            .ok()
            .and_then(|value| value.checked_mul(scale)?.checked_add(self.days))
            .ok_or_else(overflow)?;
        Ok(())
    }

    /// Adds a fraction of a unit of `scale` days; what is no whole day becomes time.
    fn add_fraction_days(&mut self, fraction: f64, scale: i32) -> Step {
        if fraction == 0.0 {
            return Ok(());
        }
        let scaled = fraction * f64::from(scale);
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a scale")]
        let whole = scaled as i32;
        self.days = self.days.checked_add(whole).ok_or_else(overflow)?;
        self.add_fraction_us(scaled - f64::from(whole), DAY_US)
    }

    fn add_months(&mut self, value: i64) -> Step {
        self.months = i32::try_from(value)
            .ok()
            .and_then(|value| value.checked_add(self.months))
            .ok_or_else(overflow)?;
        Ok(())
    }

    /// Adds units of `scale` years; the fraction is rounded to months.
    fn add_years(&mut self, value: i64, fraction: f64, scale: i32) -> Step {
        self.years = i32::try_from(value)
            .ok()
            .and_then(|value| value.checked_mul(scale)?.checked_add(self.years))
            .ok_or_else(overflow)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 12,000 months")]
        let months = (fraction * f64::from(scale) * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(months).ok_or_else(overflow)?;
        Ok(())
    }
}

/// Reads ISO 8601's forms: `P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`, `P00010203T040506`.
pub(super) fn iso_8601(text: &str) -> Step<Parts> {
    let mut rest = text.strip_prefix('P').filter(|_| text.len() >= 2).ok_or(Mistake::Form)?;
    let mut parts = Parts::default();
    let mut in_date = true;
    let mut has_field = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            in_date = false;
            has_field = false;
            rest = after;
            continue;
        }
        let digits = integer_width(rest);
        let (value, fraction, after) = iso_number(rest)?;
        let unit = after.chars().next();
        rest = unit.map_or("", |unit| &after[unit.len_utf8()..]);
        match (in_date, unit) {
            (true, Some('Y')) => parts.add_years(value, fraction, 1)?,
            (true, Some('M')) => {
                parts.add_months(value)?;
                parts.add_fraction_days(fraction, 30)?;
            }
            (true, Some('W')) => {
                parts.add_days(value, 7)?;
                parts.add_fraction_days(fraction, 7)?;
            }
            (true, Some('D')) => {
                parts.add_days(value, 1)?;
                parts.add_fraction_us(fraction, DAY_US)?;
            }
            (true, None | Some('T')) if digits == 8 && !has_field => {
                parts.add_years(value / 10_000, 0.0, 1)?;
                parts.add_months(value / 100 % 100)?;
                parts.add_days(value % 100, 1)?;
                parts.add_fraction_us(fraction, DAY_US)?;
                in_date = false;
                continue;
            }
            (true, None | Some('T' | '-')) => {
                if has_field {
                    return Err(Mistake::Form);
                }
                parts.add_years(value, fraction, 1)?;
                if unit == Some('-') {
                    let (value, fraction, after) = iso_number(rest)?;
                    parts.add_months(value)?;
                    parts.add_fraction_days(fraction, 30)?;
                    rest = after;
                    if let Some(after) = rest.strip_prefix('-') {
                        let (value, fraction, after) = iso_number(after)?;
                        parts.add_days(value, 1)?;
                        parts.add_fraction_us(fraction, DAY_US)?;
                        rest = after;
                    }
                    if !rest.is_empty() {
                        rest = rest.strip_prefix('T').ok_or(Mistake::Form)?;
                    }
                }
                in_date = false;
                continue;
            }
            (false, Some('H')) => parts.add_micros(value, fraction, HOUR_US)?,
            (false, Some('M')) => parts.add_micros(value, fraction, MINUTE_US)?,
            (false, Some('S')) => parts.add_micros(value, fraction, SECOND_US)?,
            (false, None) if digits == 6 && !has_field => {
                parts.add_micros(value / 10_000, 0.0, HOUR_US)?;
                parts.add_micros(value / 100 % 100, 0.0, MINUTE_US)?;
                parts.add_micros(value % 100, 0.0, SECOND_US)?;
                parts.add_fraction_us(fraction, 1)?;
                return Ok(parts);
            }
            (false, None | Some(':')) => {
                if has_field {
                    return Err(Mistake::Form);
                }
                parts.add_micros(value, fraction, HOUR_US)?;
                if unit.is_none() {
                    return Ok(parts);
                }
                let (value, fraction, after) = iso_number(rest)?;
                parts.add_micros(value, fraction, MINUTE_US)?;
                if after.is_empty() {
                    return Ok(parts);
                }
                let after = after.strip_prefix(':').ok_or(Mistake::Form)?;
                let (value, fraction, after) = iso_number(after)?;
                parts.add_micros(value, fraction, SECOND_US)?;
                return if after.is_empty() { Ok(parts) } else { Err(Mistake::Form) };
            }
            _ => return Err(Mistake::Form),
        }
        has_field = true;
    }
    Ok(parts)
}

/// How many digits a number begins with.
fn integer_width(text: &str) -> usize {
    let text = text.strip_prefix('-').unwrap_or(text);
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The number at the start of a text, cut into its whole and its fraction, and the rest. It is read as C reads a
/// double.
fn iso_number(text: &str) -> Step<(i64, f64, &str)> {
    let bytes = text.as_bytes();
    let digits_from = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits_from(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits_from(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return Err(Mistake::Form);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let digits = bytes.get(end + 1 + sign..).map_or(0, |_| digits_from(end + 1 + sign));
        if digits > 0 {
            end += 1 + sign + digits;
        }
    }
    let value: f64 = text[..end].parse().map_err(|_| Mistake::Form)?;
    if !(-1.0e15..=1.0e15).contains(&value) {
        return Err(Mistake::Range);
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let whole = value.trunc() as i64;
    Ok((whole, value - value.trunc(), &text[end..]))
}
