//! `real` and `double precision` (the manual's sections 8.1.3, 9.3).

use crate::error::{PgError, Result};
use crate::numeric::trim_blanks;

/// Reads `double precision`, as `float8in` does.
///
/// # Errors
/// `22P02` for what is no number, `22003` for one too large or too small.
pub fn input_float8(text: &str) -> Result<f64> {
    match scan(text) {
        Some(Scanned::Special(value)) => Ok(value),
        Some(Scanned::Hexadecimal(value)) if value.is_finite() => Ok(value),
        Some(Scanned::Hexadecimal(_)) => Err(too_large("double precision", trim_blanks(text))),
        Some(Scanned::Decimal { number, nonzero, complete }) => {
            let value: f64 =
                number.parse().map_err(|_| PgError::invalid_text("double precision", text))?;
            if value.is_infinite() || (value == 0.0 && nonzero) {
                return Err(too_large("double precision", number));
            }
            if complete { Ok(value) } else { Err(PgError::invalid_text("double precision", text)) }
        }
        None => Err(PgError::invalid_text("double precision", text)),
    }
}

/// Reads `real`, as `float4in` does.
///
/// # Errors
/// As [`input_float8`].
pub fn input_float4(text: &str) -> Result<f32> {
    match scan(text) {
        Some(Scanned::Special(value)) => Ok(narrow(value)),
        Some(Scanned::Hexadecimal(value)) => {
            let single = narrow(value);
            if single.is_finite() && (single != 0.0 || value == 0.0) {
                Ok(single)
            } else {
                Err(too_large("real", trim_blanks(text)))
            }
        }
        Some(Scanned::Decimal { number, nonzero, complete }) => {
            let value: f32 = number.parse().map_err(|_| PgError::invalid_text("real", text))?;
            if value.is_infinite() || (value == 0.0 && nonzero) {
                return Err(too_large("real", number));
            }
            if complete { Ok(value) } else { Err(PgError::invalid_text("real", text)) }
        }
        None => Err(PgError::invalid_text("real", text)),
    }
}

fn too_large(type_name: &str, number: &str) -> PgError {
    PgError::new("22003", format!("\"{number}\" is out of range for type {type_name}"))
}

/// The nearest `real`; infinite beyond its range.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is what is wanted")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// What stands at the beginning of a float's text.
enum Scanned<'a> {
    /// `NaN` or an infinity.
    Special(f64),
    /// `0x…p…`, already read.
    Hexadecimal(f64),
    /// A decimal number; `complete` if nothing but blanks follows it.
    Decimal { number: &'a str, nonzero: bool, complete: bool },
}

fn scan(text: &str) -> Option<Scanned<'_>> {
    let trimmed = trim_blanks(text);
    let bytes = trimmed.as_bytes();
    let (negative, start) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let unsigned = &trimmed[start..];
    let special = match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    };
    if let Some(value) = special {
        return Some(Scanned::Special(if negative { -value } else { value }));
    }
    if let Some(digits) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let value = scan_hexadecimal(digits)?;
        return Some(Scanned::Hexadecimal(if negative { -value } else { value }));
    }
    let mut position = start;
    let mut digits = 0;
    let mut nonzero = false;
    let mut point = false;
    while let Some(byte) = bytes.get(position) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                nonzero |= *byte != b'0';
            }
            b'.' if !point => point = true,
            _ => break,
        }
        position += 1;
    }
    if digits == 0 {
        return None;
    }
    if matches!(bytes.get(position), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(position + 1), Some(b'+' | b'-')));
        let exponent = position + 1 + sign;
        let length = bytes[exponent..].iter().take_while(|b| b.is_ascii_digit()).count();
        if length > 0 {
            position = exponent + length;
        }
    }
    Some(Scanned::Decimal {
        number: &trimmed[..position],
        nonzero,
        complete: position == bytes.len(),
    })
}

/// `h.hhhp±d`: C's hexadecimal form, which PostgreSQL's servers accept by way of `strtod`.
fn scan_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once(['p', 'P']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0_f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2.0_f64.powi(shift))
}

/// Writes `double precision` as `float8out` does with the given `extra_float_digits`.
pub fn output_float8(value: f64, extra_float_digits: i32) -> String {
    if let Some(word) = special_word(value) {
        return word.to_owned();
    }
    if extra_float_digits > 0 {
        return layout(&shortest_float8(value), value.is_sign_negative(), 15);
    }
    format_general(value, usize::try_from((15 + extra_float_digits).max(1)).unwrap_or(1))
}

/// Writes `real` as `float4out` does with the given `extra_float_digits`.
pub fn output_float4(value: f32, extra_float_digits: i32) -> String {
    if let Some(word) = special_word(f64::from(value)) {
        return word.to_owned();
    }
    if extra_float_digits > 0 {
        return layout(&shortest_float4(value), value.is_sign_negative(), 6);
    }
    format_general(f64::from(value), usize::try_from((6 + extra_float_digits).max(1)).unwrap_or(1))
}

fn special_word(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("Infinity")
    } else if value == f64::NEG_INFINITY {
        Some("-Infinity")
    } else {
        None
    }
}

/// Significant digits without trailing zeros, and the exponent of the first one.
struct Digits {
    digits: String,
    exponent: i32,
}

impl Digits {
    /// Takes Rust's `d.ddde±x` apart.
    fn of(scientific: &str) -> Self {
        let (mantissa, exponent) =
            scientific.split_once('e').expect("Rust's {:e} always writes an exponent");
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let trimmed = digits.trim_end_matches('0');
        Self {
            digits: if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() },
            exponent: exponent.parse().expect("Rust's {:e} writes a small exponent"),
        }
    }

    /// Whether the decimal is exactly halfway between the float of this odd-bits neighbourhood and the next one: then
    /// reading it back relies on rounding to even, and PostgreSQL asks for one digit more.
    fn is_midpoint(&self, mantissa: u64, binary_exponent: i32) -> bool {
        if mantissa % 2 == 1 {
            return false;
        }
        let Ok(mut value) = self.digits.parse::<u128>() else { return false };
        let length = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        let ten = self.exponent - (length - 1);
        // value × 10^ten = odd × 2^two, if it is a binary fraction at all.
        let mut two = ten;
        if ten >= 0 {
            if ten > 25 {
                return false;
            }
            value *= 5_u128.pow(ten.unsigned_abs());
        } else {
            for _ in 0..-ten {
                if value % 5 != 0 {
                    return false;
                }
                value /= 5;
            }
        }
        if value == 0 {
            return false;
        }
        let shift = value.trailing_zeros();
        value >>= shift;
        two += i32::try_from(shift).unwrap_or(0);
        let doubled = u128::from(mantissa) * 2;
        two == binary_exponent - 1 && (value == doubled + 1 || value + 1 == doubled)
    }
}

fn shortest_float8(value: f64) -> Digits {
    let magnitude = value.abs();
    let shortest = Digits::of(&format!("{magnitude:e}"));
    let bits = magnitude.to_bits();
    let field = i32::try_from(bits >> 52).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if field == 0 { (fraction, -1074) } else { (fraction | (1 << 52), field - 1075) };
    if !shortest.is_midpoint(mantissa, exponent) {
        return shortest;
    }
    for precision in shortest.digits.len()..17 {
        let candidate = format!("{magnitude:.precision$e}");
        let digits = Digits::of(&candidate);
        if candidate.parse::<f64>().is_ok_and(|read| read.to_bits() == bits)
            && !digits.is_midpoint(mantissa, exponent)
        {
            return digits;
        }
    }
    shortest
}

fn shortest_float4(value: f32) -> Digits {
    let magnitude = value.abs();
    let shortest = Digits::of(&format!("{magnitude:e}"));
    let bits = magnitude.to_bits();
    let field = i32::try_from(bits >> 23).unwrap_or(0);
    let fraction = bits & ((1 << 23) - 1);
    let (mantissa, exponent) =
        if field == 0 { (fraction, -149) } else { (fraction | (1 << 23), field - 150) };
    if !shortest.is_midpoint(u64::from(mantissa), exponent) {
        return shortest;
    }
    for precision in shortest.digits.len()..9 {
        let candidate = format!("{magnitude:.precision$e}");
        let digits = Digits::of(&candidate);
        if candidate.parse::<f32>().is_ok_and(|read| read.to_bits() == bits)
            && !digits.is_midpoint(u64::from(mantissa), exponent)
        {
            return digits;
        }
    }
    shortest
}

/// Lays digits out plainly, or with an exponent outside of `-4..fixed_below`.
fn layout(number: &Digits, negative: bool, fixed_below: i32) -> String {
    let Digits { digits, exponent } = number;
    let mut out = String::with_capacity(24);
    if negative {
        out.push('-');
    }
    if digits == "0" {
        out.push('0');
        return out;
    }
    if !(-4..fixed_below).contains(exponent) {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        out.push('e');
        out.push(if *exponent < 0 { '-' } else { '+' });
        out.push_str(&format!("{:02}", exponent.unsigned_abs()));
        return out;
    }
    match usize::try_from(*exponent) {
        Err(_) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            out.push_str(digits);
        }
        Ok(whole) if digits.len() <= whole + 1 => {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', whole + 1 - digits.len()));
        }
        Ok(whole) => {
            out.push_str(&digits[..=whole]);
            out.push('.');
            out.push_str(&digits[whole + 1..]);
        }
    }
    out
}

/// C's `%.*g` for a finite value.
pub(crate) fn format_general(value: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let digits = Digits::of(&format!("{:.*e}", precision - 1, value.abs()));
    layout(&digits, value.is_sign_negative(), i32::try_from(precision).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let text = match input_float8(input) {
            Ok(value) => output_float8(value, 1),
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(text, expected, "for {input}");
    }

    fn check_float4(input: &str, expected: &str) {
        let text = match input_float4(input) {
            Ok(value) => output_float4(value, 1),
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(text, expected, "for {input}");
    }

    #[test]
    fn doubles_travel_through_text() {
        check("1e23", "9.999999999999999e+22");
        check("1e15", "1e+15");
        check("123456789012345.6", "123456789012345.6");
        check("123456789012345678", "1.2345678901234568e+17");
        check("-0", "-0");
        check("1e-5", "1e-05");
        check("0.0001", "0.0001");
        check("5e-324", "5e-324");
        check(" +inf ", "Infinity");
        check("0x1p3", "8");
        check("1e400", "22003: \"1e400\" is out of range for type double precision");
        check("1e-400x", "22003: \"1e-400\" is out of range for type double precision");
        check("1e", "22P02: invalid input syntax for type double precision: \"1e\"");
        check("", "22P02: invalid input syntax for type double precision: \"\"");
    }

    #[test]
    fn singles_travel_through_text() {
        check_float4("1e6", "1e+06");
        check_float4("123456", "123456");
        check_float4("3.4028235677973365e38", "3.4028235e+38");
        check_float4("1e-46", "22003: \"1e-46\" is out of range for type real");
        check_float4("1.5x", "22P02: invalid input syntax for type real: \"1.5x\"");
    }

    #[test]
    fn fewer_digits_are_written_when_asked() {
        assert_eq!(output_float8(0.1 + 0.2, 0), "0.3");
        assert_eq!(output_float8(1e15, 0), "1e+15");
        assert_eq!(output_float8(123_456.789, -12), "1.23e+05");
        assert_eq!(output_float4(0.1, 0), "0.1");
    }
}
