//! `smallint`, `integer`, `bigint` (the manual's sections 8.1.1, 9.3).

use std::cmp::Ordering;

use num_integer::Integer;

use crate::arguments::arg;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

/// A checked operation of two operands, widened to the result's type.
macro_rules! checked {
    ($left:ty, $right:ty, $result:ident, $operation:expr) => {
        |_, args| {
            let (a, b) = (arg::<$left>(args, 0)?.into(), arg::<$right>(args, 1)?.into());
            $operation(a, b).map(Value::$result).ok_or_else(|| out_of_range(type_name::$result))
        }
    };
}

/// A quotient, cut towards zero.
macro_rules! divided {
    ($left:ty, $right:ty, $result:ident) => {
        |_, args| {
            let (a, b) = (i64::from(arg::<$left>(args, 0)?), i64::from(arg::<$right>(args, 1)?));
            if b == 0 {
                return Err(PgError::division_by_zero());
            }
            let quotient = a.checked_div(b).and_then(|value| value.try_into().ok());
            quotient.map(Value::$result).ok_or_else(|| out_of_range(type_name::$result))
        }
    };
}

/// A remainder, with the dividend's sign.
macro_rules! modulo {
    ($ty:ty, $result:ident) => {
        |_, args| {
            let (a, b) = (arg::<$ty>(args, 0)?, arg::<$ty>(args, 1)?);
            // The least number modulo -1 would overflow; it is 0.
            if b == 0 {
                Err(PgError::division_by_zero())
            } else {
                Ok(Value::$result(a.wrapping_rem(b)))
            }
        }
    };
}

/// An operation of two operands that cannot fail.
macro_rules! plain {
    ($ty:ty, $result:ident, $operation:expr) => {
        |_, args| {
            let operation: fn($ty, $ty) -> $ty = $operation;
            Ok(Value::$result(operation(arg(args, 0)?, arg(args, 1)?)))
        }
    };
}

/// A checked operation of one operand.
macro_rules! changed {
    ($ty:ty, $result:ident, $operation:expr) => {
        |_, args| {
            let operation: fn($ty) -> Option<$ty> = $operation;
            let value = operation(arg(args, 0)?);
            value.map(Value::$result).ok_or_else(|| out_of_range(type_name::$result))
        }
    };
}

/// A shift by an `integer`.
macro_rules! shift {
    ($ty:ty, $result:ident, $operation:ident) => {
        |_, args| Ok(Value::$result(arg::<$ty>(args, 0)?.$operation(arg(args, 1)?)))
    };
}

/// A comparison of operands of different types.
macro_rules! compared {
    ($left:ty, $right:ty, $test:ident) => {
        |_, args| {
            let (a, b) = (i64::from(arg::<$left>(args, 0)?), i64::from(arg::<$right>(args, 1)?));
            Ok(Value::Bool(a.cmp(&b).$test()))
        }
    };
}

/// -1, 0 or 1 for operands of different types.
macro_rules! ordered {
    ($left:ty, $right:ty) => {
        |_, args| {
            let (a, b) = (i64::from(arg::<$left>(args, 0)?), i64::from(arg::<$right>(args, 1)?));
            Ok(Value::Int4(sign_of(a.cmp(&b))))
        }
    };
}

/// A cast between integers.
macro_rules! cast {
    ($from:ty, $result:ident) => {
        |_, args| {
            let value = i64::from(arg::<$from>(args, 0)?).try_into();
            value.map(Value::$result).map_err(|_| out_of_range(type_name::$result))
        }
    };
}

/// What is registered.
pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("int2pl", checked!(i16, i16, Int2, i16::checked_add)),
    entry("int2mi", checked!(i16, i16, Int2, i16::checked_sub)),
    entry("int2mul", checked!(i16, i16, Int2, i16::checked_mul)),
    entry("int2div", divided!(i16, i16, Int2)),
    entry("int2mod", modulo!(i16, Int2)),
    entry("int2and", plain!(i16, Int2, |a, b| a & b)),
    entry("int2or", plain!(i16, Int2, |a, b| a | b)),
    entry("int2xor", plain!(i16, Int2, |a, b| a ^ b)),
    entry("int2larger", plain!(i16, Int2, std::cmp::Ord::max)),
    entry("int2smaller", plain!(i16, Int2, std::cmp::Ord::min)),
    entry("int2abs", changed!(i16, Int2, i16::checked_abs)),
    entry("int2um", changed!(i16, Int2, i16::checked_neg)),
    entry("int2up", changed!(i16, Int2, Some)),
    entry("int2not", changed!(i16, Int2, |a: i16| Some(!a))),
    entry("int2shl", shift!(i16, Int2, shift_left)),
    entry("int2shr", shift!(i16, Int2, shift_right)),
    entry("int4pl", checked!(i32, i32, Int4, i32::checked_add)),
    entry("int4mi", checked!(i32, i32, Int4, i32::checked_sub)),
    entry("int4mul", checked!(i32, i32, Int4, i32::checked_mul)),
    entry("int4div", divided!(i32, i32, Int4)),
    entry("int4mod", modulo!(i32, Int4)),
    entry("int4and", plain!(i32, Int4, |a, b| a & b)),
    entry("int4or", plain!(i32, Int4, |a, b| a | b)),
    entry("int4xor", plain!(i32, Int4, |a, b| a ^ b)),
    entry("int4larger", plain!(i32, Int4, std::cmp::Ord::max)),
    entry("int4smaller", plain!(i32, Int4, std::cmp::Ord::min)),
    entry("int4abs", changed!(i32, Int4, i32::checked_abs)),
    entry("int4um", changed!(i32, Int4, i32::checked_neg)),
    entry("int4up", changed!(i32, Int4, Some)),
    entry("int4not", changed!(i32, Int4, |a: i32| Some(!a))),
    entry("int4shl", shift!(i32, Int4, shift_left)),
    entry("int4shr", shift!(i32, Int4, shift_right)),
    entry("int8pl", checked!(i64, i64, Int8, i64::checked_add)),
    entry("int8mi", checked!(i64, i64, Int8, i64::checked_sub)),
    entry("int8mul", checked!(i64, i64, Int8, i64::checked_mul)),
    entry("int8div", divided!(i64, i64, Int8)),
    entry("int8mod", modulo!(i64, Int8)),
    entry("int8and", plain!(i64, Int8, |a, b| a & b)),
    entry("int8or", plain!(i64, Int8, |a, b| a | b)),
    entry("int8xor", plain!(i64, Int8, |a, b| a ^ b)),
    entry("int8larger", plain!(i64, Int8, std::cmp::Ord::max)),
    entry("int8smaller", plain!(i64, Int8, std::cmp::Ord::min)),
    entry("int8abs", changed!(i64, Int8, i64::checked_abs)),
    entry("int8um", changed!(i64, Int8, i64::checked_neg)),
    entry("int8up", changed!(i64, Int8, Some)),
    entry("int8not", changed!(i64, Int8, |a: i64| Some(!a))),
    entry("int8shl", shift!(i64, Int8, shift_left)),
    entry("int8shr", shift!(i64, Int8, shift_right)),
    entry("int4gcd", checked!(i32, i32, Int4, gcd)),
    entry("int4lcm", checked!(i32, i32, Int4, lcm)),
    entry("int8gcd", checked!(i64, i64, Int8, gcd)),
    entry("int8lcm", checked!(i64, i64, Int8, lcm)),
    entry("int24pl", checked!(i16, i32, Int4, i32::checked_add)),
    entry("int24mi", checked!(i16, i32, Int4, i32::checked_sub)),
    entry("int24mul", checked!(i16, i32, Int4, i32::checked_mul)),
    entry("int24div", divided!(i16, i32, Int4)),
    entry("int24eq", compared!(i16, i32, is_eq)),
    entry("int24ne", compared!(i16, i32, is_ne)),
    entry("int24lt", compared!(i16, i32, is_lt)),
    entry("int24le", compared!(i16, i32, is_le)),
    entry("int24gt", compared!(i16, i32, is_gt)),
    entry("int24ge", compared!(i16, i32, is_ge)),
    entry("btint24cmp", ordered!(i16, i32)),
    entry("int28pl", checked!(i16, i64, Int8, i64::checked_add)),
    entry("int28mi", checked!(i16, i64, Int8, i64::checked_sub)),
    entry("int28mul", checked!(i16, i64, Int8, i64::checked_mul)),
    entry("int28div", divided!(i16, i64, Int8)),
    entry("int28eq", compared!(i16, i64, is_eq)),
    entry("int28ne", compared!(i16, i64, is_ne)),
    entry("int28lt", compared!(i16, i64, is_lt)),
    entry("int28le", compared!(i16, i64, is_le)),
    entry("int28gt", compared!(i16, i64, is_gt)),
    entry("int28ge", compared!(i16, i64, is_ge)),
    entry("btint28cmp", ordered!(i16, i64)),
    entry("int42pl", checked!(i32, i16, Int4, i32::checked_add)),
    entry("int42mi", checked!(i32, i16, Int4, i32::checked_sub)),
    entry("int42mul", checked!(i32, i16, Int4, i32::checked_mul)),
    entry("int42div", divided!(i32, i16, Int4)),
    entry("int42eq", compared!(i32, i16, is_eq)),
    entry("int42ne", compared!(i32, i16, is_ne)),
    entry("int42lt", compared!(i32, i16, is_lt)),
    entry("int42le", compared!(i32, i16, is_le)),
    entry("int42gt", compared!(i32, i16, is_gt)),
    entry("int42ge", compared!(i32, i16, is_ge)),
    entry("btint42cmp", ordered!(i32, i16)),
    entry("int48pl", checked!(i32, i64, Int8, i64::checked_add)),
    entry("int48mi", checked!(i32, i64, Int8, i64::checked_sub)),
    entry("int48mul", checked!(i32, i64, Int8, i64::checked_mul)),
    entry("int48div", divided!(i32, i64, Int8)),
    entry("int48eq", compared!(i32, i64, is_eq)),
    entry("int48ne", compared!(i32, i64, is_ne)),
    entry("int48lt", compared!(i32, i64, is_lt)),
    entry("int48le", compared!(i32, i64, is_le)),
    entry("int48gt", compared!(i32, i64, is_gt)),
    entry("int48ge", compared!(i32, i64, is_ge)),
    entry("btint48cmp", ordered!(i32, i64)),
    entry("int82pl", checked!(i64, i16, Int8, i64::checked_add)),
    entry("int82mi", checked!(i64, i16, Int8, i64::checked_sub)),
    entry("int82mul", checked!(i64, i16, Int8, i64::checked_mul)),
    entry("int82div", divided!(i64, i16, Int8)),
    entry("int82eq", compared!(i64, i16, is_eq)),
    entry("int82ne", compared!(i64, i16, is_ne)),
    entry("int82lt", compared!(i64, i16, is_lt)),
    entry("int82le", compared!(i64, i16, is_le)),
    entry("int82gt", compared!(i64, i16, is_gt)),
    entry("int82ge", compared!(i64, i16, is_ge)),
    entry("btint82cmp", ordered!(i64, i16)),
    entry("int84pl", checked!(i64, i32, Int8, i64::checked_add)),
    entry("int84mi", checked!(i64, i32, Int8, i64::checked_sub)),
    entry("int84mul", checked!(i64, i32, Int8, i64::checked_mul)),
    entry("int84div", divided!(i64, i32, Int8)),
    entry("int84eq", compared!(i64, i32, is_eq)),
    entry("int84ne", compared!(i64, i32, is_ne)),
    entry("int84lt", compared!(i64, i32, is_lt)),
    entry("int84le", compared!(i64, i32, is_le)),
    entry("int84gt", compared!(i64, i32, is_gt)),
    entry("int84ge", compared!(i64, i32, is_ge)),
    entry("btint84cmp", ordered!(i64, i32)),
    entry("int4inc", changed!(i32, Int4, |a: i32| a.checked_add(1))),
    entry("int8inc", changed!(i64, Int8, |a: i64| a.checked_add(1))),
    entry("int8dec", changed!(i64, Int8, |a: i64| a.checked_sub(1))),
    entry("i2toi4", cast!(i16, Int4)),
    entry("i4toi2", cast!(i32, Int2)),
    entry("int28", cast!(i16, Int8)),
    entry("int82", cast!(i64, Int2)),
    entry("int48", cast!(i32, Int8)),
    entry("int84", cast!(i64, Int4)),
    entry("oidtoi8", |_, args| Ok(Value::Int8(i64::from(arg::<u32>(args, 0)?)))),
    entry("i8tooid", |_, args| {
        let value = u32::try_from(arg::<i64>(args, 0)?);
        value.map(Value::Oid).map_err(|_| PgError::out_of_range("OID"))
    }),
    entry("oidlarger", |_, args| Ok(Value::Oid(arg::<u32>(args, 0)?.max(arg(args, 1)?)))),
    entry("oidsmaller", |_, args| Ok(Value::Oid(arg::<u32>(args, 0)?.min(arg(args, 1)?)))),
];

/// The types' names in errors, by the variant.
#[expect(non_upper_case_globals, reason = "named as the variants, for the macros")]
mod type_name {
    pub(super) const Int2: &str = "smallint";
    pub(super) const Int4: &str = "integer";
    pub(super) const Int8: &str = "bigint";
}

fn out_of_range(type_name: &str) -> PgError {
    PgError::out_of_range(type_name)
}

/// -1, 0 or 1, as PostgreSQL's comparison functions answer.
pub(crate) fn sign_of(order: Ordering) -> i32 {
    match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// The greatest common divisor; none if it is the least number's magnitude.
fn gcd<T>(a: T, b: T) -> Option<T>
where
    T: Into<i128> + TryFrom<i128>,
{
    T::try_from(a.into().gcd(&b.into())).ok()
}

/// The least common multiple; none if it does not fit.
fn lcm<T>(a: T, b: T) -> Option<T>
where
    T: Into<i128> + TryFrom<i128>,
{
    T::try_from(a.into().lcm(&b.into())).ok()
}

/// Shifts as x86 does them: the distance counts modulo the width, but at least modulo 32.
trait Shift: Sized {
    fn shift_left(self, distance: i32) -> Self;
    fn shift_right(self, distance: i32) -> Self;
}

impl Shift for i16 {
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits are to be lost")]
    fn shift_left(self, distance: i32) -> Self {
        i32::from(self).wrapping_shl(distance.cast_unsigned()) as i16
    }

    #[expect(clippy::cast_possible_truncation, reason = "a shift to the right fits")]
    fn shift_right(self, distance: i32) -> Self {
        i32::from(self).wrapping_shr(distance.cast_unsigned()) as i16
    }
}

impl Shift for i32 {
    fn shift_left(self, distance: i32) -> Self {
        self.wrapping_shl(distance.cast_unsigned())
    }

    fn shift_right(self, distance: i32) -> Self {
        self.wrapping_shr(distance.cast_unsigned())
    }
}

impl Shift for i64 {
    fn shift_left(self, distance: i32) -> Self {
        self.wrapping_shl(distance.cast_unsigned())
    }

    fn shift_right(self, distance: i32) -> Self {
        self.wrapping_shr(distance.cast_unsigned())
    }
}

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
