//! JSON's numbers as `numeric`.

use num_bigint::BigInt;

use crate::error::{PgError, Result};
use crate::value::Numeric;

/// The most digits that `numeric` holds before the decimal point.
const INTEGER_DIGITS_MAX: i64 = 131_072;
/// The most digits that `numeric` holds after the decimal point.
const FRACTION_DIGITS_MAX: i64 = 16_383;

/// Reads a number that follows JSON's grammar, exactly.
///
/// # Errors
/// `22003` when it is beyond `numeric`.
pub(super) fn read(text: &str) -> Result<Numeric> {
    let overflow = || PgError::new("22003", "value overflows numeric format");
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().map_err(|_| overflow())?),
        None => (text, 0),
    };
    if exponent.unsigned_abs() >= u64::from(u32::MAX >> 2) {
        return Err(overflow());
    }
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = String::with_capacity(mantissa.len());
    digits.push_str(integer);
    digits.push_str(fraction);
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| overflow())?;
    let scale = fraction_digits - exponent;
    let significant = digits.trim_start_matches('0');
    let significant_digits = i64::try_from(significant.len()).map_err(|_| overflow())?;
    if scale > FRACTION_DIGITS_MAX
        || (significant_digits > 0 && significant_digits - scale > INTEGER_DIGITS_MAX)
    {
        return Err(overflow());
    }
    let mut digits = if significant.is_empty() { "0".to_owned() } else { significant.to_owned() };
    if scale < 0 && !significant.is_empty() {
        let zeros = usize::try_from(-scale).map_err(|_| overflow())?;
        digits.extend(std::iter::repeat_n('0', zeros));
    }
    let unscaled: BigInt = digits.parse().map_err(|_| PgError::invalid_text("numeric", text))?;
    let unscaled = if negative { -unscaled } else { unscaled };
    let scale = u16::try_from(scale.max(0)).map_err(|_| overflow())?;
    Ok(Numeric::Finite { unscaled, scale })
}

/// Appends a number as `numeric` prints it.
pub(super) fn write(number: &Numeric, out: &mut Vec<u8>) {
    let (unscaled, scale) = match number {
        Numeric::Finite { unscaled, scale } => (unscaled, usize::from(*scale)),
        Numeric::NaN => return out.extend_from_slice(b"NaN"),
        Numeric::PositiveInfinity => return out.extend_from_slice(b"Infinity"),
        Numeric::NegativeInfinity => return out.extend_from_slice(b"-Infinity"),
    };
    if unscaled.sign() == num_bigint::Sign::Minus {
        out.push(b'-');
    }
    let digits = unscaled.magnitude().to_string();
    if scale == 0 {
        return out.extend_from_slice(digits.as_bytes());
    }
    match digits.len().checked_sub(scale) {
        Some(point) if point > 0 => {
            out.extend_from_slice(&digits.as_bytes()[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits.as_bytes()[point..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
            out.extend_from_slice(digits.as_bytes());
        }
    }
}
