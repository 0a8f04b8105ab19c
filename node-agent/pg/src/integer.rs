//! `smallint`, `integer`, `bigint` (the manual's sections 8.1.1, 9.3).

use crate::error::{PgError, Result};

/// Reads `smallint`.
///
/// # Errors
/// `22P02` for what is no integer, `22003` for one out of range.
pub fn input_int2(text: &str) -> Result<i16> {
    let value = scan(text, "smallint", i64::from(i16::MIN), i64::from(i16::MAX))?;
    Ok(i16::try_from(value).expect("the scan has checked the bounds"))
}

/// Reads `integer`.
///
/// # Errors
/// As [`input_int2`].
pub fn input_int4(text: &str) -> Result<i32> {
    let value = scan(text, "integer", i64::from(i32::MIN), i64::from(i32::MAX))?;
    Ok(i32::try_from(value).expect("the scan has checked the bounds"))
}

/// Reads `bigint`.
///
/// # Errors
/// As [`input_int2`].
pub fn input_int8(text: &str) -> Result<i64> {
    scan(text, "bigint", i64::MIN, i64::MAX)
}

/// Reads a decimal integer within bounds. A number out of range is reported as such even when rubbish follows it.
fn scan(text: &str, type_name: &str, minimum: i64, maximum: i64) -> Result<i64> {
    let trimmed = crate::numeric::trim_blanks(text).as_bytes();
    let (negative, digits) = match trimmed.first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    if digits.is_empty() {
        return Err(PgError::invalid_text(type_name, text));
    }
    let mut value: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return Err(PgError::invalid_text(type_name, text));
        }
        let digit = i64::from(byte - b'0');
        let next = value.checked_mul(10).and_then(|tens| {
            if negative { tens.checked_sub(digit) } else { tens.checked_add(digit) }
        });
        value = match next {
            Some(next) if (minimum..=maximum).contains(&next) => next,
            _ => return Err(PgError::out_of_range_text(type_name, text)),
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let text = match input_int4(input) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(text, expected, "for {input}");
    }

    #[test]
    fn integers_are_read() {
        check(" +12 ", "12");
        check("-2147483648", "-2147483648");
        check("2147483648", "22003: value \"2147483648\" is out of range for type integer");
        check("99999999999x", "22003: value \"99999999999x\" is out of range for type integer");
        check("0x10", "22P02: invalid input syntax for type integer: \"0x10\"");
        check("1_000", "22P02: invalid input syntax for type integer: \"1_000\"");
        check("- 1", "22P02: invalid input syntax for type integer: \"- 1\"");
        check("", "22P02: invalid input syntax for type integer: \"\"");
    }
}
