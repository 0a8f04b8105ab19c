//! `real` and `double precision` (the manual's sections 8.1.3, 9.3).

mod c_library;
mod degrees;
mod shortest;

use num_traits::{Float, ToPrimitive};

use crate::arguments::arg;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::integer::sign_of;
use crate::numeric::trim_blanks;
use crate::order::compare_floats;
use crate::registry::{Entry, entry};
use crate::value::Value;

use degrees::RADIANS_PER_DEGREE;
use shortest::{Digits, shortest_float4, shortest_float8};

/// An implementation from a function over one double.
macro_rules! unary {
    ($function:expr) => {
        |_, args| {
            let function: fn(f64) -> Result<f64> = $function;
            Ok(Value::Float8(function(arg(args, 0)?)?))
        }
    };
}

/// Arithmetic of a `real` and a `double precision`, done in the latter.
macro_rules! mixed {
    ($left:ty, $right:ty, $function:ident) => {
        |_, args| {
            let (a, b) = (arg::<$left>(args, 0)?.into(), arg::<$right>(args, 1)?.into());
            Ok(Value::Float8($function::<f64>(a, b)?))
        }
    };
}

/// A comparison of a `real` and a `double precision`.
macro_rules! compared {
    ($left:ty, $right:ty, $test:ident) => {
        |_, args| {
            let (a, b) = (arg::<$left>(args, 0)?.into(), arg::<$right>(args, 1)?.into());
            Ok(Value::Bool(compare_floats(a, b).$test()))
        }
    };
}

/// What is registered.
pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("float4pl", |_, args| Ok(Value::Float4(add(arg::<f32>(args, 0)?, arg(args, 1)?)?))),
    entry("float4mi", |_, args| Ok(Value::Float4(subtract(arg::<f32>(args, 0)?, arg(args, 1)?)?))),
    entry("float4mul", |_, args| Ok(Value::Float4(multiply(arg::<f32>(args, 0)?, arg(args, 1)?)?))),
    entry("float4div", |_, args| Ok(Value::Float4(divide(arg::<f32>(args, 0)?, arg(args, 1)?)?))),
    entry("float4abs", |_, args| Ok(Value::Float4(arg::<f32>(args, 0)?.abs()))),
    entry("float4um", |_, args| Ok(Value::Float4(-arg::<f32>(args, 0)?))),
    entry("float4up", |_, args| Ok(Value::Float4(arg(args, 0)?))),
    entry("float4larger", |_, args| {
        let (a, b): (f32, f32) = (arg(args, 0)?, arg(args, 1)?);
        Ok(Value::Float4(if compare_floats(a.into(), b.into()).is_gt() { a } else { b }))
    }),
    entry("float4smaller", |_, args| {
        let (a, b): (f32, f32) = (arg(args, 0)?, arg(args, 1)?);
        Ok(Value::Float4(if compare_floats(a.into(), b.into()).is_lt() { a } else { b }))
    }),
    entry("float8pl", |_, args| Ok(Value::Float8(add(arg::<f64>(args, 0)?, arg(args, 1)?)?))),
    entry("float8mi", |_, args| Ok(Value::Float8(subtract(arg::<f64>(args, 0)?, arg(args, 1)?)?))),
    entry("float8mul", |_, args| Ok(Value::Float8(multiply(arg::<f64>(args, 0)?, arg(args, 1)?)?))),
    entry("float8div", |_, args| Ok(Value::Float8(divide(arg::<f64>(args, 0)?, arg(args, 1)?)?))),
    entry("float8abs", |_, args| Ok(Value::Float8(arg::<f64>(args, 0)?.abs()))),
    entry("float8um", |_, args| Ok(Value::Float8(-arg::<f64>(args, 0)?))),
    entry("float8up", |_, args| Ok(Value::Float8(arg(args, 0)?))),
    entry("float8larger", |_, args| {
        let (a, b): (f64, f64) = (arg(args, 0)?, arg(args, 1)?);
        Ok(Value::Float8(if compare_floats(a, b).is_gt() { a } else { b }))
    }),
    entry("float8smaller", |_, args| {
        let (a, b): (f64, f64) = (arg(args, 0)?, arg(args, 1)?);
        Ok(Value::Float8(if compare_floats(a, b).is_lt() { a } else { b }))
    }),
    entry("float48pl", mixed!(f32, f64, add)),
    entry("float48mi", mixed!(f32, f64, subtract)),
    entry("float48mul", mixed!(f32, f64, multiply)),
    entry("float48div", mixed!(f32, f64, divide)),
    entry("float48eq", compared!(f32, f64, is_eq)),
    entry("float48ne", compared!(f32, f64, is_ne)),
    entry("float48lt", compared!(f32, f64, is_lt)),
    entry("float48le", compared!(f32, f64, is_le)),
    entry("float48gt", compared!(f32, f64, is_gt)),
    entry("float48ge", compared!(f32, f64, is_ge)),
    entry("btfloat48cmp", |_, args| {
        let order = compare_floats(arg::<f32>(args, 0)?.into(), arg::<f64>(args, 1)?);
        Ok(Value::Int4(sign_of(order)))
    }),
    entry("float84pl", mixed!(f64, f32, add)),
    entry("float84mi", mixed!(f64, f32, subtract)),
    entry("float84mul", mixed!(f64, f32, multiply)),
    entry("float84div", mixed!(f64, f32, divide)),
    entry("float84eq", compared!(f64, f32, is_eq)),
    entry("float84ne", compared!(f64, f32, is_ne)),
    entry("float84lt", compared!(f64, f32, is_lt)),
    entry("float84le", compared!(f64, f32, is_le)),
    entry("float84gt", compared!(f64, f32, is_gt)),
    entry("float84ge", compared!(f64, f32, is_ge)),
    entry("btfloat84cmp", |_, args| {
        let order = compare_floats(arg::<f64>(args, 0)?, arg::<f32>(args, 1)?.into());
        Ok(Value::Int4(sign_of(order)))
    }),
    entry("ftod", |_, args| Ok(Value::Float8(f64::from(arg::<f32>(args, 0)?)))),
    entry("dtof", |_, args| {
        let value: f64 = arg(args, 0)?;
        let single = narrow(value);
        check_result(single, value.is_infinite(), value == 0.0)?;
        Ok(Value::Float4(single))
    }),
    entry("i2tof", |_, args| Ok(Value::Float4(f32::from(arg::<i16>(args, 0)?)))),
    entry("i4tof", |_, args| Ok(Value::Float4(nearest_single(i64::from(arg::<i32>(args, 0)?))))),
    entry("i8tof", |_, args| Ok(Value::Float4(nearest_single(arg(args, 0)?)))),
    entry("i2tod", |_, args| Ok(Value::Float8(f64::from(arg::<i16>(args, 0)?)))),
    entry("i4tod", |_, args| Ok(Value::Float8(f64::from(arg::<i32>(args, 0)?)))),
    entry("i8tod", |_, args| Ok(Value::Float8(nearest_double(arg(args, 0)?)))),
    entry("ftoi2", |_, args| {
        let value = to_integer(arg::<f32>(args, 0)?.into()).and_then(|value| value.try_into().ok());
        value.map(Value::Int2).ok_or_else(|| PgError::out_of_range("smallint"))
    }),
    entry("ftoi4", |_, args| {
        let value = to_integer(arg::<f32>(args, 0)?.into()).and_then(|value| value.try_into().ok());
        value.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"))
    }),
    entry("ftoi8", |_, args| {
        let value = to_integer(arg::<f32>(args, 0)?.into());
        value.map(Value::Int8).ok_or_else(|| PgError::out_of_range("bigint"))
    }),
    entry("dtoi2", |_, args| {
        let value = to_integer(arg::<f64>(args, 0)?).and_then(|value| value.try_into().ok());
        value.map(Value::Int2).ok_or_else(|| PgError::out_of_range("smallint"))
    }),
    entry("dtoi4", |_, args| {
        let value = to_integer(arg::<f64>(args, 0)?).and_then(|value| value.try_into().ok());
        value.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"))
    }),
    entry("dtoi8", |_, args| {
        let value = to_integer(arg::<f64>(args, 0)?);
        value.map(Value::Int8).ok_or_else(|| PgError::out_of_range("bigint"))
    }),
    entry("dround", unary!(|a| Ok(a.round_ties_even()))),
    entry("dceil", unary!(|a| Ok(a.ceil()))),
    entry("dfloor", unary!(|a| Ok(a.floor()))),
    entry("dtrunc", unary!(|a| Ok(a.trunc()))),
    entry("dsign", unary!(|a| Ok(sign(a)))),
    entry("dsqrt", unary!(sqrt)),
    entry("dcbrt", unary!(cbrt)),
    entry("dexp", unary!(exp)),
    entry("dlog1", unary!(ln)),
    entry("dlog10", unary!(log10)),
    entry("degrees", unary!(|a| divide(a, RADIANS_PER_DEGREE))),
    entry("radians", unary!(|a| multiply(a, RADIANS_PER_DEGREE))),
    entry("dsin", unary!(|a| bounded(a, f64::sin))),
    entry("dcos", unary!(|a| bounded(a, f64::cos))),
    entry("dtan", unary!(|a| bounded(a, f64::tan))),
    entry("dcot", unary!(|a| bounded(a, |a| 1.0 / a.tan()))),
    entry("dasin", unary!(|a| within_one(a, f64::asin))),
    entry("dacos", unary!(|a| within_one(a, f64::acos))),
    entry("datan", unary!(|a| Ok(a.atan()))),
    entry("dsind", unary!(|a| bounded(a, degrees::sin))),
    entry("dcosd", unary!(|a| bounded(a, degrees::cos))),
    entry("dtand", unary!(|a| bounded(a, degrees::tan))),
    entry("dcotd", unary!(|a| bounded(a, degrees::cot))),
    entry("dasind", unary!(|a| within_one(a, degrees::asin))),
    entry("dacosd", unary!(|a| within_one(a, degrees::acos))),
    entry("datand", unary!(|a| Ok(degrees::atan(a)))),
    entry("dsinh", unary!(|a| Ok(a.sinh()))),
    entry("dcosh", unary!(|a| Ok(a.cosh()))),
    entry("dtanh", unary!(|a| Ok(a.tanh()))),
    entry("dasinh", unary!(|a| Ok(c_library::asinh(a)))),
    entry("dacosh", unary!(acosh)),
    entry("datanh", unary!(atanh)),
    entry("dpow", |_, args| {
        let f: fn(f64, f64) -> Result<f64> = power;
        Ok(Value::Float8(f(arg(args, 0)?, arg(args, 1)?)?))
    }),
    entry("datan2", |_, args| {
        let f: fn(f64, f64) -> Result<f64> = |a: f64, b| Ok(a.atan2(b));
        Ok(Value::Float8(f(arg(args, 0)?, arg(args, 1)?)?))
    }),
    entry("datan2d", |_, args| {
        let f: fn(f64, f64) -> Result<f64> = |a, b| Ok(degrees::atan2(a, b));
        Ok(Value::Float8(f(arg(args, 0)?, arg(args, 1)?)?))
    }),
    entry("dpi", |_, _| Ok(Value::Float8(std::f64::consts::PI))),
    entry("drandom", |_, _| Ok(Value::Float8(rand::random::<f64>()))),
    entry("width_bucket_float8", width_bucket),
];

fn overflow() -> PgError {
    PgError::new("22003", "value out of range: overflow")
}

fn underflow() -> PgError {
    PgError::new("22003", "value out of range: underflow")
}

/// Refuses an infinite result unless the operands explain it, and a zero likewise.
fn check_result<F: Float>(result: F, may_be_infinite: bool, may_be_zero: bool) -> Result<F> {
    if result.is_infinite() && !may_be_infinite {
        Err(overflow())
    } else if result.is_zero() && !may_be_zero {
        Err(underflow())
    } else {
        Ok(result)
    }
}

/// `a + b`.
///
/// # Errors
/// `22003`.
pub(crate) fn add<F: Float>(a: F, b: F) -> Result<F> {
    check_result(a + b, a.is_infinite() || b.is_infinite(), true)
}

fn subtract<F: Float>(a: F, b: F) -> Result<F> {
    check_result(a - b, a.is_infinite() || b.is_infinite(), true)
}

/// `a * b`.
///
/// # Errors
/// `22003`.
pub(crate) fn multiply<F: Float>(a: F, b: F) -> Result<F> {
    check_result(a * b, a.is_infinite() || b.is_infinite(), a.is_zero() || b.is_zero())
}

/// `a / b`.
///
/// # Errors
/// `22012`, `22003`.
pub(crate) fn divide<F: Float>(a: F, b: F) -> Result<F> {
    if b.is_zero() && !a.is_nan() {
        return Err(PgError::division_by_zero());
    }
    check_result(a / b, a.is_infinite(), a.is_zero() || b.is_infinite())
}

#[expect(clippy::cast_precision_loss, reason = "rounding to the nearest is what is wanted")]
fn nearest_single(value: i64) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "rounding to the nearest is what is wanted")]
pub(crate) fn nearest_double(value: i64) -> f64 {
    value as f64
}

/// The nearest integer, a half to the even one; none beyond `bigint` and for NaN.
fn to_integer(value: f64) -> Option<i64> {
    value.round_ties_even().to_i64()
}

fn sign(a: f64) -> f64 {
    if a > 0.0 {
        1.0
    } else if a < 0.0 {
        -1.0
    } else {
        // Also for NaN.
        0.0
    }
}

fn sqrt(a: f64) -> Result<f64> {
    if a < 0.0 {
        return Err(PgError::new("2201F", "cannot take square root of a negative number"));
    }
    check_result(a.sqrt(), a.is_infinite(), a == 0.0)
}

fn cbrt(a: f64) -> Result<f64> {
    check_result(c_library::cbrt(a), a.is_infinite(), a == 0.0)
}

fn exp(a: f64) -> Result<f64> {
    check_result(a.exp(), a.is_infinite(), a == f64::NEG_INFINITY)
}

fn check_logarithm(a: f64) -> Result<()> {
    if a == 0.0 {
        Err(PgError::new("2201E", "cannot take logarithm of zero"))
    } else if a < 0.0 {
        Err(PgError::new("2201E", "cannot take logarithm of a negative number"))
    } else {
        Ok(())
    }
}

fn ln(a: f64) -> Result<f64> {
    check_logarithm(a)?;
    check_result(a.ln(), a.is_infinite(), a == 1.0)
}

fn log10(a: f64) -> Result<f64> {
    check_logarithm(a)?;
    check_result(a.log10(), a.is_infinite(), a == 1.0)
}

fn power(a: f64, b: f64) -> Result<f64> {
    if a.is_nan() || b.is_nan() {
        return Ok(if b == 0.0 || a == 1.0 { 1.0 } else { f64::NAN });
    }
    if a == 0.0 && b < 0.0 {
        return Err(PgError::new("2201F", "zero raised to a negative power is undefined"));
    }
    if a < 0.0 && b.floor() != b {
        return Err(PgError::new(
            "2201F",
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let infinite = a.is_infinite() || b.is_infinite();
    check_result(a.powf(b), infinite, infinite || a == 0.0)
}

fn out_of_domain() -> PgError {
    PgError::new("22003", "input is out of range")
}

/// A function that infinities have no value of.
fn bounded(a: f64, function: fn(f64) -> f64) -> Result<f64> {
    if a.is_infinite() { Err(out_of_domain()) } else { Ok(function(a)) }
}

/// A function over -1..=1.
fn within_one(a: f64, function: fn(f64) -> f64) -> Result<f64> {
    if a.abs() > 1.0 { Err(out_of_domain()) } else { Ok(function(a)) }
}

fn acosh(a: f64) -> Result<f64> {
    if a < 1.0 { Err(out_of_domain()) } else { Ok(c_library::acosh(a)) }
}

fn atanh(a: f64) -> Result<f64> {
    if a.abs() == 1.0 {
        return Ok(f64::INFINITY.copysign(a));
    }
    within_one(a, c_library::atanh)
}

/// Refuses a histogram that `width_bucket` cannot divide.
fn refuse_bucket(message: &'static str) -> PgError {
    PgError::new("2201G", message)
}

fn width_bucket(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (operand, low, high): (f64, f64, f64) = (arg(args, 0)?, arg(args, 1)?, arg(args, 2)?);
    let count: i32 = arg(args, 3)?;
    if count <= 0 {
        return Err(refuse_bucket("count must be greater than zero"));
    }
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return Err(refuse_bucket("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(refuse_bucket("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(refuse_bucket("lower bound cannot equal upper bound"));
    }
    let ascending = low < high;
    let (before, beyond) =
        if ascending { (operand < low, operand >= high) } else { (operand > low, operand <= high) };
    if before {
        return Ok(Value::Int4(0));
    }
    if beyond {
        let last = count.checked_add(1);
        return last.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"));
    }
    // In PostgreSQL's order of operations, with its cast by the processor: out of range gives the least integer.
    let place = f64::from(count) * (operand - low) / (high - low) + 1.0;
    Ok(Value::Int4(place.to_i32().unwrap_or(i32::MIN)))
}

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
                Err(too_large("real", text))
            }
        }
        Some(Scanned::Decimal { number, nonzero, complete }) => {
            let value: f32 = number.parse().map_err(|_| PgError::invalid_text("real", text))?;
            if value.is_infinite() || (value == 0.0 && nonzero) {
                return Err(too_large("real", text));
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
