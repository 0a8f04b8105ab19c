//! `numeric`: unbounded decimal numbers with a display scale (the manual's section 8.1.2).

mod arithmetic;
mod functions;
mod transcendental;

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};
use num_traits::{Signed, Zero};

use crate::error::{PgError, Result};

pub(crate) use functions::FUNCTIONS;

/// The most digits before the decimal point.
const INTEGER_DIGITS_MAX: i64 = 131_072;
/// The most digits after the decimal point.
pub(crate) const SCALE_MAX: i64 = 16_383;

/// A `numeric` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numeric {
    /// `unscaled × 10^-scale`, shown with exactly `scale` digits after the point.
    Finite {
        /// All digits as an integer.
        unscaled: BigInt,
        /// Digits after the decimal point, 0..=16383.
        scale: u16,
    },
    /// `NaN`: equal to itself and greater than everything.
    NaN,
    /// `Infinity`.
    PositiveInfinity,
    /// `-Infinity`.
    NegativeInfinity,
}

impl Numeric {
    /// Makes a finite value after checking that PostgreSQL's format can hold it.
    ///
    /// # Errors
    /// `22003` `value overflows numeric format`.
    pub fn checked(unscaled: BigInt, scale: i64) -> Result<Self> {
        let scale_u16 = u16::try_from(scale).ok().filter(|s| i64::from(*s) <= SCALE_MAX);
        let Some(scale) = scale_u16 else { return Err(overflows()) };
        // Only numbers of more than 430,000 bits can be too long; the exact count is seldom needed.
        if unscaled.bits() > 435_000
            && decimal_digits(&unscaled) - i64::from(scale) > INTEGER_DIGITS_MAX
        {
            return Err(overflows());
        }
        Ok(Self::Finite { unscaled, scale })
    }

    /// Zero, with no digits after the point.
    pub fn zero() -> Self {
        Self::Finite { unscaled: BigInt::zero(), scale: 0 }
    }

    /// Whether this is `NaN`.
    pub fn is_nan(&self) -> bool {
        matches!(self, Self::NaN)
    }

    /// PostgreSQL's order: `-Infinity`, finite numbers by value, `Infinity`, `NaN`, each special equal to itself.
    pub fn compare(&self, other: &Self) -> Ordering {
        if let (
            Self::Finite { unscaled: left, scale: left_scale },
            Self::Finite { unscaled: right, scale: right_scale },
        ) = (self, other)
        {
            return compare_scaled(left, i64::from(*left_scale), right, i64::from(*right_scale));
        }
        let rank = |value: &Self| match value {
            Self::NegativeInfinity => 0,
            Self::Finite { .. } => 1,
            Self::PositiveInfinity => 2,
            Self::NaN => 3,
        };
        rank(self).cmp(&rank(other))
    }

    /// Reads the text form, as `numeric_in` without a modifier does.
    ///
    /// # Errors
    /// `22P02` for what is no number, `22003` for one that is too large or has too many digits.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || PgError::invalid_text("numeric", text);
        let trimmed = trim_blanks(text);
        let bytes = trimmed.as_bytes();
        let (negative, signed, rest) = match bytes.first() {
            Some(b'-') => (true, true, &bytes[1..]),
            Some(b'+') => (false, true, &bytes[1..]),
            _ => (false, false, bytes),
        };
        if !signed && rest.eq_ignore_ascii_case(b"nan") {
            return Ok(Self::NaN);
        }
        if rest.eq_ignore_ascii_case(b"infinity") || rest.eq_ignore_ascii_case(b"inf") {
            return Ok(if negative { Self::NegativeInfinity } else { Self::PositiveInfinity });
        }
        let mut digits = Vec::with_capacity(rest.len());
        let mut position = 0;
        let mut scale: i64 = 0;
        let mut point = false;
        while let Some(&byte) = rest.get(position) {
            match byte {
                b'0'..=b'9' => {
                    digits.push(byte);
                    scale += i64::from(point);
                }
                b'.' if !point => point = true,
                _ => break,
            }
            position += 1;
        }
        if digits.is_empty() {
            return Err(invalid());
        }
        let mut exponent: i64 = 0;
        if matches!(rest.get(position), Some(b'e' | b'E')) {
            position += 1;
            let minus = match rest.get(position) {
                Some(b'-') => {
                    position += 1;
                    true
                }
                Some(b'+') => {
                    position += 1;
                    false
                }
                _ => false,
            };
            let start = position;
            while let Some(byte @ b'0'..=b'9') = rest.get(position) {
                exponent = (exponent * 10 + i64::from(byte - b'0')).min(1 << 40);
                position += 1;
            }
            if start == position {
                return Err(invalid());
            }
            if minus {
                exponent = -exponent;
            }
        }
        if position != rest.len() {
            return Err(invalid());
        }
        if exponent.abs() >= i64::from(i32::MAX / 2) {
            return Err(overflows());
        }
        let leading_zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let significant = &digits[leading_zeros..];
        let shown_scale = scale - exponent;
        let length = i64::try_from(significant.len()).unwrap_or(i64::MAX);
        if shown_scale > SCALE_MAX
            || (!significant.is_empty() && length - shown_scale > INTEGER_DIGITS_MAX)
        {
            return Err(overflows());
        }
        let mut unscaled = match significant {
            [] => BigInt::zero(),
            short if short.len() <= 18 => BigInt::from(
                short.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0')),
            ),
            long => BigInt::parse_bytes(long, 10).ok_or_else(invalid)?,
        };
        if shown_scale < 0 && !unscaled.is_zero() {
            unscaled *= pow10(-shown_scale);
        }
        if negative {
            unscaled = -unscaled;
        }
        Self::checked(unscaled, shown_scale.max(0))
    }

    /// Makes the value fit `numeric(p, s)`, rounding half away from zero; a modifier below 4 (none) changes nothing.
    ///
    /// # Errors
    /// `22003` `numeric field overflow` with PostgreSQL's DETAIL.
    pub fn fit(self, typmod: i32) -> Result<Self> {
        let Some((precision, scale)) = precision_and_scale(typmod) else { return Ok(self) };
        let overflow = |detail: String| {
            Err(PgError::new("22003", "numeric field overflow").with_detail(detail))
        };
        match self {
            Self::NaN => Ok(self),
            Self::PositiveInfinity | Self::NegativeInfinity => overflow(format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            )),
            Self::Finite { .. } => {
                let rounded = self.rescale(i64::from(scale), Rounding::HalfAway)?;
                let digits_max = precision - scale;
                if let Self::Finite { unscaled, scale: shown } = &rounded
                    && !unscaled.is_zero()
                    && decimal_digits(unscaled) - i64::from(*shown) > i64::from(digits_max)
                {
                    let bound =
                        if digits_max == 0 { "1".to_owned() } else { format!("10^{digits_max}") };
                    return overflow(format!(
                        "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
                    ));
                }
                Ok(rounded)
            }
        }
    }

    /// Rounds or extends to `scale` digits after the point; a negative scale rounds before the point and shows none.
    pub(crate) fn rescale(self, scale: i64, rounding: Rounding) -> Result<Self> {
        let Self::Finite { unscaled, scale: from } = self else { return Ok(self) };
        let from = i64::from(from);
        if scale >= from {
            let unscaled = if scale == from { unscaled } else { unscaled * pow10(scale - from) };
            return Self::checked(unscaled, scale);
        }
        if decimal_digits(&unscaled) < from - scale {
            return Self::checked(BigInt::zero(), scale.max(0));
        }
        let rounded = divide_rounded(&unscaled, &pow10(from - scale), rounding);
        if scale < 0 {
            Self::checked(rounded * pow10(-scale), 0)
        } else {
            Self::checked(rounded, scale)
        }
    }
}

/// Compares `left × 10^-left_scale` with `right × 10^-right_scale`.
fn compare_scaled(left: &BigInt, left_scale: i64, right: &BigInt, right_scale: i64) -> Ordering {
    let signs = left.sign().cmp(&right.sign());
    if left_scale == right_scale || signs.is_ne() || left.is_zero() {
        return if signs.is_ne() { signs } else { left.cmp(right) };
    }
    // The places of the first digits decide most cases without a multiplication.
    let places = (decimal_digits(left) - left_scale).cmp(&(decimal_digits(right) - right_scale));
    if places.is_ne() {
        return if left.is_negative() { places.reverse() } else { places };
    }
    if left_scale < right_scale {
        (left * pow10(right_scale - left_scale)).cmp(right)
    } else {
        left.cmp(&(right * pow10(left_scale - right_scale)))
    }
}

/// What happens to digits that are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest, a half away from zero.
    HalfAway,
    /// Towards zero.
    Truncate,
}

/// Divides integers; the divisor is not zero.
pub(crate) fn divide_rounded(dividend: &BigInt, divisor: &BigInt, rounding: Rounding) -> BigInt {
    let (quotient, rest) = num_integer::Integer::div_rem(dividend, divisor);
    if rounding == Rounding::HalfAway
        && !rest.is_zero()
        && (rest.magnitude() << 1_u32) >= *divisor.magnitude()
    {
        if (dividend.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) {
            quotient + 1
        } else {
            quotient - 1
        }
    } else {
        quotient
    }
}

/// Splits a `numeric` modifier into precision and (signed) scale; `None` for no modifier.
pub fn precision_and_scale(typmod: i32) -> Option<(i32, i32)> {
    if typmod < 4 {
        return None;
    }
    let packed = typmod - 4;
    Some(((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024))
}

/// Ten to a power that is not negative.
pub(crate) fn pow10(exponent: i64) -> BigInt {
    let exponent = u32::try_from(exponent).expect("exponents are checked to be small and positive");
    match 10_u64.checked_pow(exponent) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(10_u32).pow(exponent),
    }
}

/// The number of decimal digits of an integer's absolute value; 0 for zero.
pub(crate) fn decimal_digits(value: &BigInt) -> i64 {
    if value.is_zero() {
        return 0;
    }
    if let Some(small) = num_traits::ToPrimitive::to_u64(value.magnitude()) {
        return i64::from(small.ilog10()) + 1;
    }
    // With b bits the value is at least 2^(b-1), so the estimate is right or one too small.
    let bits = i64::try_from(value.bits()).expect("no number has 2^63 bits");
    let estimate = i128::from(bits - 1) * 30_102_999_566_398 / 100_000_000_000_000;
    let estimate = i64::try_from(estimate).expect("fewer digits than bits");
    if value.magnitude() >= pow10(estimate + 1).magnitude() { estimate + 2 } else { estimate + 1 }
}

/// The text without the blanks (as C's `isspace` in the C locale) at both ends.
pub(crate) fn trim_blanks(text: &str) -> &str {
    text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r'))
}

/// The error for a result that PostgreSQL's format cannot hold.
pub(crate) fn overflows() -> PgError {
    PgError::new("22003", "value overflows numeric format")
}

impl fmt::Display for Numeric {
    /// Writes the text form, as `numeric_out` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NaN => f.write_str("NaN"),
            Self::PositiveInfinity => f.write_str("Infinity"),
            Self::NegativeInfinity => f.write_str("-Infinity"),
            Self::Finite { unscaled, scale } => {
                let scale = usize::from(*scale);
                if unscaled.is_negative() {
                    f.write_str("-")?;
                }
                let digits = unscaled.magnitude().to_str_radix(10);
                if scale == 0 {
                    return f.write_str(&digits);
                }
                match digits.len().checked_sub(scale) {
                    Some(point) if point > 0 => {
                        write!(f, "{}.{}", &digits[..point], &digits[point..])
                    }
                    _ => write!(f, "0.{digits:0>scale$}"),
                }
            }
        }
    }
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Self {
        Self::Finite { unscaled: BigInt::from(value), scale: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let text = match Numeric::parse(input) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(text, expected, "for {input}");
    }

    #[test]
    fn text_is_read_as_numeric_in_does() {
        check("1.", "1");
        check(".5", "0.5");
        check("-.50", "-0.50");
        check("1e2", "100");
        check("1.50e1", "15.0");
        check("1.5e-3", "0.0015");
        check(" -Inf ", "-Infinity");
        check("NaN", "NaN");
        check("-0.00", "0.00");
        check(".", "22P02: invalid input syntax for type numeric: \".\"");
        check("1e", "22P02: invalid input syntax for type numeric: \"1e\"");
        check("1e-20000", "22003: value overflows numeric format");
        check("0e-20000", "22003: value overflows numeric format");
        check("1e131072", "22003: value overflows numeric format");
        check("1e2147483647", "22003: value overflows numeric format");
        check("123456789012345678901234567890.5", "123456789012345678901234567890.5");
    }

    #[test]
    fn modifiers_round_and_bound() {
        let fit = |text: &str, precision: i32, scale: i32| {
            let typmod = ((precision << 16) | (scale & 0x7ff)) + 4;
            Numeric::parse(text)
                .and_then(|value| value.fit(typmod))
                .map(|value| value.to_string())
                .map_err(|error| error.detail().unwrap_or_default().to_owned())
        };
        assert_eq!(fit("123.456", 5, 2).as_deref(), Ok("123.46"));
        assert_eq!(fit("1.5", 6, 3).as_deref(), Ok("1.500"));
        assert_eq!(fit("150", 2, -2).as_deref(), Ok("200"));
        assert_eq!(
            fit("99950", 3, -2).unwrap_err(),
            "A field with precision 3, scale -2 must round to an absolute value less than 10^5."
        );
        assert_eq!(
            fit("1", 2, 2).unwrap_err(),
            "A field with precision 2, scale 2 must round to an absolute value less than 1."
        );
        assert_eq!(
            fit("inf", 4, 2).unwrap_err(),
            "A field with precision 4, scale 2 cannot hold an infinite value."
        );
    }

    #[test]
    fn digits_are_counted() {
        for length in [1_i64, 5, 18, 19, 20, 21, 38, 39, 77, 300, 5000] {
            assert_eq!(decimal_digits(&pow10(length - 1)), length);
            assert_eq!(decimal_digits(&(pow10(length) - 1)), length);
        }
    }
}
