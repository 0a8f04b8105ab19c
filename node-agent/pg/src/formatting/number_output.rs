//! `to_char` of numbers.

use num_traits::ToPrimitive;

use super::number::{NumberPattern, Picture, SignPlace};
use super::ordinal_suffix;
use super::template::Element;
use crate::error::{PgError, Result};
use crate::numeric::{Rounding, divide_rounded, pow10};
use crate::value::Numeric;

/// The digits that a `float4` and a `float8` are sure to hold.
const FLOAT4_DIGITS: usize = 6;
const FLOAT8_DIGITS: usize = 15;
/// PostgreSQL writes zeros for a float's digits beyond so many.
const FLOAT_PLACES_MAX: usize = 350;

/// `to_char(integer, text)`.
pub(super) fn int4(value: i32, template: &str) -> Result<String> {
    format(template, |picture| {
        if picture.is_roman {
            return Ok(roman(value));
        }
        if picture.is_scientific {
            return Ok(scientific_float(f64::from(value), picture));
        }
        let factor = u32::try_from(picture.shifted).ok().and_then(|n| 10_i32.checked_pow(n));
        let shown = factor.and_then(|factor| value.checked_mul(factor));
        let shown = shown.ok_or_else(|| PgError::out_of_range("integer"))?;
        Ok(integer(&shown.to_string(), picture))
    })
}

/// `to_char(bigint, text)`.
pub(super) fn int8(value: i64, template: &str) -> Result<String> {
    format(template, |picture| {
        if picture.is_roman {
            let value = i32::try_from(value).map_err(|_| PgError::out_of_range("integer"))?;
            return Ok(roman(value));
        }
        if picture.is_scientific {
            return Ok(scientific(&Numeric::from(value), picture));
        }
        let factor = u32::try_from(picture.shifted).ok().and_then(|n| 10_i64.checked_pow(n));
        let shown = factor.and_then(|factor| value.checked_mul(factor));
        let shown = shown.ok_or_else(|| PgError::out_of_range("bigint"))?;
        Ok(integer(&shown.to_string(), picture))
    })
}

/// `to_char(numeric, text)`.
pub(super) fn numeric(value: &Numeric, template: &str) -> Result<String> {
    format(template, |picture| {
        if picture.is_roman {
            let value = value.round(0)?.to_integer("integer")?;
            let value = i32::try_from(value).map_err(|_| PgError::out_of_range("integer"))?;
            return Ok(roman(value));
        }
        if picture.is_scientific {
            return Ok(scientific(value, picture));
        }
        let mut shown = value.clone();
        if picture.is_shifted {
            let places = i64::try_from(picture.shifted).unwrap_or(i64::MAX);
            let factor = Numeric::from(10).power(&Numeric::from(places))?;
            shown = shown.multiply(&factor)?;
            picture.before += picture.shifted;
        }
        let places = i32::try_from(picture.behind).unwrap_or(i32::MAX);
        Ok(decimal(&shown.round(places)?.to_string(), picture))
    })
}

/// `to_char(real, text)`.
pub(super) fn float4(value: f32, template: &str) -> Result<String> {
    format(template, |picture| {
        if picture.is_roman {
            return Ok(roman(f64::from(value).round_ties_even().to_i32().unwrap_or(0)));
        }
        if picture.is_scientific {
            return Ok(scientific_float(f64::from(value), picture));
        }
        let mut shown = value;
        if picture.is_shifted {
            let factor = power_of_ten(picture.shifted);
            shown = value * crate::float::narrow(factor);
            picture.before += picture.shifted;
        }
        Ok(float(f64::from(shown), FLOAT4_DIGITS, picture))
    })
}

/// `to_char(double precision, text)`.
pub(super) fn float8(value: f64, template: &str) -> Result<String> {
    format(template, |picture| {
        if picture.is_roman {
            return Ok(roman(value.round_ties_even().to_i32().unwrap_or(0)));
        }
        if picture.is_scientific {
            return Ok(scientific_float(value, picture));
        }
        let mut shown = value;
        if picture.is_shifted {
            shown = value * power_of_ten(picture.shifted);
            picture.before += picture.shifted;
        }
        Ok(float(shown, FLOAT8_DIGITS, picture))
    })
}

fn power_of_ten(exponent: usize) -> f64 {
    10_f64.powf(f64::from(i32::try_from(exponent).unwrap_or(i32::MAX)))
}

/// A number as it goes into the picture.
struct Figures {
    /// `+` or `-`; a Roman numeral has none.
    sign: Option<u8>,
    /// The digits, with a point if there are some behind it; or what stands for them.
    text: Vec<u8>,
    /// By how many digits there are fewer before the point than the picture has.
    missing: usize,
}

fn format(template: &str, figures: impl FnOnce(&mut Picture) -> Result<Figures>) -> Result<String> {
    let mut picture = Picture::parse(template)?;
    if template.is_empty() {
        return Ok(String::new());
    }
    let figures = figures(&mut picture)?;
    if picture.is_scientific {
        return Ok(String::from_utf8_lossy(&figures.text).into_owned());
    }
    if picture.is_roman {
        picture = picture.into_roman();
    }
    let out = Writer::new(&picture, &figures).write(&picture)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The Roman numeral of 1 to 3999.
fn roman(value: i32) -> Figures {
    const NUMERALS: [(i32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut text = String::new();
    if (1..4000).contains(&value) {
        let mut rest = value;
        for (size, letters) in NUMERALS {
            while rest >= size {
                text.push_str(letters);
                rest -= size;
            }
        }
    } else {
        text.push_str(&"#".repeat(15));
    }
    Figures { sign: None, text: text.into_bytes(), missing: 0 }
}

/// An integer, with zeros behind the point.
fn integer(shown: &str, picture: &mut Picture) -> Figures {
    picture.before += picture.shifted;
    if picture.behind == 0 {
        return decimal(shown, picture);
    }
    decimal(&format!("{shown}.{:0<1$}", "", picture.behind), picture)
}

/// A signed number, with `#` for digits that have no place in the picture.
fn decimal(shown: &str, picture: &Picture) -> Figures {
    let (sign, unsigned) = match shown.strip_prefix('-') {
        Some(unsigned) => (b'-', unsigned),
        None => (b'+', shown),
    };
    let before = unsigned.find('.').unwrap_or(unsigned.len());
    let mut text = unsigned.as_bytes().to_vec();
    if before > picture.before {
        text = vec![b'#'; picture.before + picture.behind + 1];
        text[picture.before] = b'.';
    }
    Figures { sign: Some(sign), text, missing: picture.before.saturating_sub(before) }
}

/// A float, with no more digits than its type holds.
fn float(value: f64, digits: usize, picture: &mut Picture) -> Figures {
    let before = fixed(value.abs(), 0).len();
    picture.behind = picture.behind.min(digits.saturating_sub(before));
    decimal(&fixed(value, picture.behind), picture)
}

/// A float with so many digits behind the point.
fn fixed(value: f64, places: usize) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{value:.places$}")
    }
}

/// What `EEEE` makes of a number that is none.
fn no_exponent(picture: &Picture) -> Figures {
    let mut text = vec![b'#'; picture.before + picture.behind + 6];
    text[0] = b' ';
    if let Some(point) = text.get_mut(picture.before + 1) {
        *point = b'.';
    }
    Figures { sign: None, text, missing: 0 }
}

fn scientific_float(value: f64, picture: &Picture) -> Figures {
    if !value.is_finite() {
        return no_exponent(picture);
    }
    let places = picture.behind.min(FLOAT_PLACES_MAX);
    let shown = format!("{:.places$e}", value.abs());
    let (significand, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value.is_sign_negative() { '-' } else { ' ' };
    let zeros = "0".repeat(picture.behind - places);
    let text = format!("{sign}{significand}{zeros}e{}", signed_exponent(exponent.into()));
    Figures { sign: None, text: text.into_bytes(), missing: 0 }
}

/// The exponent with its sign and at least two digits.
fn signed_exponent(exponent: i64) -> String {
    format!("{exponent:+03}")
}

fn scientific(value: &Numeric, picture: &Picture) -> Figures {
    let Numeric::Finite { unscaled, scale } = value else { return no_exponent(picture) };
    let scale = i64::from(*scale);
    let places = i64::try_from(picture.behind).unwrap_or(i64::MAX);
    // The first digit goes before the point; rounding does not move it again.
    let exponent = match crate::numeric::decimal_digits(unscaled) {
        0 => 0,
        digits => digits - 1 - scale,
    };
    let shift = places - scale - exponent;
    let significand = if shift >= 0 {
        unscaled * pow10(shift)
    } else {
        divide_rounded(unscaled, &pow10(-shift), Rounding::HalfAway)
    };
    let scale = u16::try_from(places).unwrap_or(u16::MAX);
    let shown = Numeric::Finite { unscaled: significand, scale }.to_string();
    let space = if shown.starts_with('-') { "" } else { " " };
    let text = format!("{space}{shown}e{}", signed_exponent(exponent));
    Figures { sign: None, text: text.into_bytes(), missing: 0 }
}

/// Fills a picture with figures.
struct Writer<'a> {
    out: Vec<u8>,
    /// The figures that are left.
    figures: &'a Figures,
    next: usize,
    /// The figure behind which only zeros follow, when they are not to be written.
    last_relevant: Option<usize>,
    sign: Option<SignPlace>,
    has_brackets: bool,
    is_sign_written: bool,
    /// How many digits and points of the picture are done, and at which of them a sign behind is written.
    current: usize,
    last: usize,
    /// Whether the last digit of the picture wrote something: then separators are written too.
    is_inside: bool,
    /// PostgreSQL's text ends at a character 0, which it writes where figures are missing.
    is_ended: bool,
}

impl<'a> Writer<'a> {
    fn new(picture: &Picture, figures: &'a Figures) -> Self {
        let is_positive = figures.sign != Some(b'-');
        let mut has_brackets = picture.has_brackets;
        let mut sign = picture.sign;
        let is_sign_written = if picture.has_plus || picture.has_minus {
            picture.has_minus
        } else {
            has_brackets &= !(is_positive && picture.is_unpadded);
            if sign == Some(SignPlace::Before) && picture.sign_position == picture.before {
                sign = Some(SignPlace::Behind);
            }
            figures.sign == Some(b'+') && picture.is_unpadded && sign.is_none()
        };
        let has_room = figures.missing > 0 || !is_sign_written;
        let last = (picture.before
            + picture.behind
            + usize::from(picture.has_point)
            + usize::from(has_room))
        .saturating_sub(1);
        Self {
            out: Vec::new(),
            figures,
            next: 0,
            last_relevant: last_relevant(picture, figures),
            sign,
            has_brackets,
            is_sign_written,
            current: 0,
            last,
            is_inside: false,
            is_ended: false,
        }
    }

    fn write(mut self, picture: &Picture) -> Result<Vec<u8>> {
        for element in &picture.elements {
            if self.is_ended {
                break;
            }
            match element {
                Element::Pattern(keyword) => self.pattern(keyword.pattern, picture)?,
                Element::Separator(c) | Element::Space(c) | Element::Text(c) => {
                    self.out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                }
            }
        }
        Ok(self.out)
    }

    fn pattern(&mut self, pattern: NumberPattern, picture: &Picture) -> Result<()> {
        match pattern {
            NumberPattern::Digit | NumberPattern::Zero | NumberPattern::Point
                if !picture.is_roman =>
            {
                self.digit(pattern, picture);
            }
            NumberPattern::Comma | NumberPattern::Group => match self.is_inside {
                true => self.out.push(b','),
                false => self.blank(picture),
            },
            NumberPattern::Symbol => self.out.push(b' '),
            NumberPattern::Roman(letters) => {
                // Without digits to fill, figures are never used up.
                let text = String::from_utf8_lossy(&self.figures.text);
                let width = if picture.is_unpadded { 0 } else { 15 };
                self.out.extend(format!("{:>width$}", letters.apply(&text)).bytes());
            }
            NumberPattern::Ordinal(letters) => {
                let is_plain = !picture.is_roman
                    && !picture.has_point
                    && self.figures.sign != Some(b'-')
                    && self.figures.text.first() != Some(&b'#');
                if is_plain {
                    self.out.extend(ordinal_suffix(&self.figures.text, letters)?.bytes());
                }
            }
            NumberPattern::Minus => match self.figures.sign {
                Some(b'-') => self.out.push(b'-'),
                _ => self.blank(picture),
            },
            NumberPattern::Plus => match self.figures.sign {
                Some(b'+') => self.out.push(b'+'),
                _ => self.blank(picture),
            },
            NumberPattern::PlusMinus => match self.figures.sign {
                Some(sign) => self.out.push(sign),
                None => self.is_ended = true,
            },
            _ => {}
        }
        Ok(())
    }

    fn blank(&mut self, picture: &Picture) {
        if !picture.is_unpadded {
            self.out.push(b' ');
        }
    }

    /// Whether the zero before the point of `0.1` is next, which is written as a blank.
    fn is_leading_zero(&self, picture: &Picture) -> bool {
        picture.first_zero.is_none()
            && self.next == 0
            && self.figures.text.first() == Some(&b'0')
            && picture.behind != 0
    }

    /// Whether only a point and zeros remain that are not written.
    fn ends_at_point(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.figures.text[last] == b'.')
    }

    fn digit(&mut self, pattern: NumberPattern, picture: &Picture) {
        self.is_inside = false;
        let is_missing = self.current < self.figures.missing;
        let zeros_begin = picture.first_zero.is_some_and(|first| first <= self.current);
        let starts = !is_missing || picture.first_zero == Some(self.current);
        if !self.is_sign_written
            && starts
            && (!self.is_leading_zero(picture) || self.ends_at_point())
        {
            self.sign_before(picture);
        }
        if is_missing && !zeros_begin {
            self.blank(picture);
        } else if is_missing {
            self.out.push(b'0');
            self.is_inside = true;
        } else {
            self.figure(pattern, picture);
        }
        if self.is_ended {
            return;
        }
        let is_last = self.last_relevant != Some(self.next) && self.current + 1 == self.last;
        if is_last {
            self.sign_behind();
        }
        self.current += 1;
    }

    fn figure(&mut self, pattern: NumberPattern, picture: &Picture) {
        match self.figures.text.get(self.next) {
            Some(b'.') => self.out.push(b'.'),
            Some(figure) => {
                let is_cut = self.last_relevant.is_some_and(|last| self.next > last);
                if is_cut && pattern != NumberPattern::Zero {
                    // A zero that is not shown.
                } else if self.is_leading_zero(picture) {
                    if !picture.is_unpadded {
                        self.out.push(b' ');
                    } else if self.ends_at_point() {
                        self.out.push(b'0');
                    }
                } else {
                    self.out.push(*figure);
                    self.is_inside = true;
                }
            }
            None => {
                let is_cut = self.last_relevant.is_some_and(|last| self.next > last);
                if !is_cut || pattern == NumberPattern::Zero {
                    self.is_ended = true;
                }
                return;
            }
        }
        self.next += 1;
    }

    fn sign_before(&mut self, picture: &Picture) {
        let is_positive = self.figures.sign == Some(b'+');
        match self.sign {
            Some(SignPlace::Before) => self.out.push(if is_positive { b'+' } else { b'-' }),
            // It is written behind.
            Some(SignPlace::Behind) => return,
            None if self.has_brackets => self.out.push(if is_positive { b' ' } else { b'<' }),
            None if is_positive => self.blank(picture),
            None => self.out.push(b'-'),
        }
        self.is_sign_written = true;
    }

    fn sign_behind(&mut self) {
        let is_positive = self.figures.sign == Some(b'+');
        if self.is_sign_written && self.has_brackets {
            self.out.push(if is_positive { b' ' } else { b'>' });
        } else if self.sign == Some(SignPlace::Behind) {
            self.out.push(if is_positive { b'+' } else { b'-' });
        }
    }
}

/// With `FM`: the last figure behind the point that is no zero, or that a `0` of the picture asks for; the point if there
/// is none.
fn last_relevant(picture: &Picture, figures: &Figures) -> Option<usize> {
    if !picture.is_unpadded || !picture.has_point {
        return None;
    }
    let point = figures.text.iter().position(|figure| *figure == b'.')?;
    let behind = &figures.text[point + 1..];
    let last = behind.iter().rposition(|figure| *figure != b'0').map_or(point, |at| point + 1 + at);
    match picture.last_zero.checked_sub(figures.missing).filter(|wanted| *wanted > 0) {
        Some(wanted) => Some(last.max(wanted.min(figures.text.len() - 1))),
        None => Some(last),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn integers() {
        check("int4_to_char", &["i:485", "t:9 9 9"], " 4 8 5");
        check("int4_to_char", &["i:-485", "t:999S"], "485-");
        check("int4_to_char", &["i:1485", "t:9,999"], " 1,485");
        check("int4_to_char", &["i:485", "t:FMRN"], "CDLXXXV");
        check("int4_to_char", &["i:482", "t:999th"], " 482nd");
        check("int4_to_char", &["i:12", "t:99V999"], " 12000");
        check("int4_to_char", &["i:5", "t:FM0009"], "0005");
        check("int4_to_char", &["i:12345", "t:999"], " ###");
        check("int4_to_char", &["i:12345", "t:9.99EEEE"], " 1.23e+04");
        check("int4_to_char", &["i:1", "t:9.9.9"], "ERROR 42601: multiple decimal points");
    }
}
