//! The binary form: what drivers ask for.

use std::sync::Arc;

use num_bigint::{BigInt, BigUint, Sign};
use num_traits::Zero;

use crate::error::{PgError, Result};
use crate::io::text::not_read;
use crate::io::{plain, record};
use crate::numeric::{Rounding, divide_rounded, pow10};
use crate::range;
use crate::types::{TypeId, TypeRef};
use crate::value::{Bits, Inet, Numeric, Value};

/// Appends the binary form of a value of type `ty` (without a length); nothing for NULL.
pub fn encode(value: &Value, ty: TypeId, out: &mut Vec<u8>) {
    // A path's text follows the version of its form.
    if ty == TypeId::JSONPATH && !value.is_null() {
        out.push(1);
    }
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Int4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Int8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Oid(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Float4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Float8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Numeric(value) => encode_numeric(value, out),
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        Value::Char(byte) => out.push(*byte),
        Value::Bytea(bytes) => out.extend_from_slice(bytes),
        Value::Uuid(uuid) => out.extend_from_slice(uuid),
        Value::Enum(label) => out.extend_from_slice(label.label.as_bytes()),
        Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Interval(_) => crate::datetime::wire::encode(value, out),
        Value::Jsonb(value) => crate::json::jsonb_encode(value, out),
        Value::Array(array) => crate::array::encode(array, out),
        Value::Record(fields) => record::encode(fields, out),
        Value::Inet(value) => value.encode(ty == TypeId::CIDR, out),
        Value::MacAddr(bytes) => out.extend_from_slice(bytes),
        Value::MacAddr8(bytes) => out.extend_from_slice(bytes),
        Value::Bits(bits) => bits.encode(out),
        Value::Range(range) => crate::range::encode(range, out),
        Value::Multirange(value) => crate::range::encode_multirange(value, out),
    }
}

/// Reads the binary form of a value of type `ty`.
///
/// # Errors
/// `22P03` or `08P01` for bytes that are not of the type's form; `0A000` for a type that this library does not read.
pub fn decode(bytes: &[u8], ty: TypeRef) -> Result<Value> {
    let value = match ty.id {
        TypeId::BOOL => Value::Bool(fixed::<1>(bytes)?[0] != 0),
        TypeId::INT2 => Value::Int2(i16::from_be_bytes(fixed(bytes)?)),
        TypeId::INT4 => Value::Int4(i32::from_be_bytes(fixed(bytes)?)),
        TypeId::INT8 => Value::Int8(i64::from_be_bytes(fixed(bytes)?)),
        TypeId::XID => Value::Oid(u32::from_be_bytes(fixed(bytes)?)),
        id if id.is_oid() => Value::Oid(u32::from_be_bytes(fixed(bytes)?)),
        TypeId::FLOAT4 => Value::Float4(f32::from_be_bytes(fixed(bytes)?)),
        TypeId::FLOAT8 => Value::Float8(f64::from_be_bytes(fixed(bytes)?)),
        TypeId::NUMERIC => Value::Numeric(decode_numeric(bytes)?.fit(ty.typmod)?),
        TypeId::TEXT | TypeId::UNKNOWN => Value::Text(Arc::from(utf8(bytes)?)),
        TypeId::JSONPATH => crate::json::path::decode(bytes)?,
        TypeId::VARCHAR => {
            Value::Text(plain::fit_varchar(&Arc::from(utf8(bytes)?), ty.typmod, false)?)
        }
        TypeId::BPCHAR => {
            Value::Bpchar(plain::fit_bpchar(&Arc::from(utf8(bytes)?), ty.typmod, false)?)
        }
        TypeId::NAME => {
            let text = utf8(bytes)?;
            if plain::cut_name(text).len() < text.len() {
                return Err(PgError::new("42622", "identifier too long")
                    .with_detail("Identifier must be less than 64 characters."));
            }
            Value::Text(Arc::from(text))
        }
        TypeId::CHAR => Value::Char(fixed::<1>(bytes)?[0]),
        TypeId::BYTEA => Value::Bytea(Arc::from(bytes)),
        TypeId::UUID => Value::Uuid(fixed(bytes)?),
        TypeId::VOID => Value::Null,
        TypeId::JSON => crate::json::json_decode(bytes)?,
        TypeId::JSONB => crate::json::jsonb_decode(bytes)?,
        TypeId::DATE
        | TypeId::TIME
        | TypeId::TIMETZ
        | TypeId::TIMESTAMP
        | TypeId::TIMESTAMPTZ
        | TypeId::INTERVAL => crate::datetime::wire::decode(bytes, ty)?,
        TypeId::RECORD => Value::Record(Arc::new(record::decode(bytes)?.into())),
        TypeId::INET => Value::Inet(Inet::decode(bytes, false)?),
        TypeId::CIDR => Value::Inet(Inet::decode(bytes, true)?),
        TypeId::MACADDR => Value::MacAddr(fixed(bytes)?),
        TypeId::MACADDR8 => match <[u8; 6]>::try_from(bytes) {
            Ok([a, b, c, d, e, f]) => Value::MacAddr8([a, b, c, 0xff, 0xfe, d, e, f]),
            Err(_) => Value::MacAddr8(fixed(bytes)?),
        },
        TypeId::BIT => Value::Bits(Bits::decode(bytes, ty.typmod, false)?),
        TypeId::VARBIT => Value::Bits(Bits::decode(bytes, ty.typmod, true)?),
        id if let Some(element) = range::element_of(id) => match crate::catalog::range(id) {
            Some(_) => Value::Range(Arc::new(range::decode(bytes, element)?)),
            None => Value::Multirange(Arc::new(range::decode_multirange(bytes, element)?)),
        },
        _ => match crate::array::element_type(ty.id) {
            Some(element) => {
                crate::array::decode(bytes, TypeRef { id: element, typmod: ty.typmod })?
            }
            None => return Err(not_read(ty)),
        },
    };
    Ok(value)
}

/// Exactly `N` bytes.
///
/// # Errors
/// `08P01` for fewer, `22P03` for more.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    <[u8; N]>::try_from(bytes).map_err(|_| {
        if bytes.len() < N {
            insufficient()
        } else {
            PgError::new("22P03", "incorrect binary data format")
        }
    })
}

/// The error for a binary value that ends too early.
pub(crate) fn insufficient() -> PgError {
    PgError::new("08P01", "insufficient data left in message")
}

/// The bytes as text, checked as PostgreSQL checks what clients send.
///
/// # Errors
/// `22021`.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let (text, valid) = match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), bytes.len()),
        Err(error) => (None, error.valid_up_to()),
    };
    let first_wrong = memchr::memchr(0, &bytes[..valid]).unwrap_or(valid);
    match text {
        Some(text) if first_wrong == bytes.len() => Ok(text),
        _ => Err(invalid_utf8(&bytes[first_wrong..])),
    }
}

/// Names the bytes of the sequence that is not UTF-8, as many as its first byte announces.
fn invalid_utf8(bytes: &[u8]) -> PgError {
    let announced = match bytes.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    let shown: Vec<String> =
        bytes.iter().take(announced).map(|byte| format!("0x{byte:02x}")).collect();
    PgError::new(
        "22021",
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xc000;
const POSITIVE_INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// What PostgreSQL sends as an infinity's scale: a bit of its sign, read as one of the scale.
const INFINITY_SCALE: u16 = 0x20;

/// Groups of four decimal digits, without zero groups at either end, and the weight of the first group.
pub(crate) fn base_10000(magnitude: &BigUint, scale: u16) -> (Vec<u16>, i32) {
    if magnitude.is_zero() {
        return (Vec::new(), 0);
    }
    let fraction_groups = i32::from(scale.div_ceil(4));
    let aligned = match scale % 4 {
        0 => None,
        partial => Some(magnitude * 10_u32.pow(u32::from(4 - partial))),
    };
    let mut text = aligned.as_ref().unwrap_or(magnitude).to_str_radix(10);
    let missing = (4 - text.len() % 4) % 4;
    text.insert_str(0, &"000"[..missing]);
    let mut groups: Vec<u16> = text
        .as_bytes()
        .chunks(4)
        .map(|chunk| chunk.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
        .collect();
    let weight = i32::try_from(groups.len()).unwrap_or(i32::MAX) - fraction_groups - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    (groups, weight)
}

fn encode_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let mut head = |groups: usize, weight: i32, sign: u16, scale: u16| {
        let groups = u16::try_from(groups).unwrap_or(u16::MAX);
        let weight = i16::try_from(weight).unwrap_or(i16::MAX);
        out.extend_from_slice(&groups.to_be_bytes());
        out.extend_from_slice(&weight.to_be_bytes());
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&scale.to_be_bytes());
    };
    match value {
        Numeric::NaN => head(0, 0, NOT_A_NUMBER, 0),
        Numeric::PositiveInfinity => head(0, 0, POSITIVE_INFINITY, INFINITY_SCALE),
        Numeric::NegativeInfinity => head(0, 0, NEGATIVE_INFINITY, INFINITY_SCALE),
        Numeric::Finite { unscaled, scale } => {
            let (groups, weight) = base_10000(unscaled.magnitude(), *scale);
            let sign = if unscaled.sign() == Sign::Minus { NEGATIVE } else { POSITIVE };
            head(groups.len(), weight, sign, *scale);
            for group in groups {
                out.extend_from_slice(&group.to_be_bytes());
            }
        }
    }
}

fn decode_numeric(bytes: &[u8]) -> Result<Numeric> {
    let mut words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(insufficient()),
    });
    let mut word = || words.next().unwrap_or_else(|| Err(insufficient()));
    let count = word()?;
    let weight = i64::from(word()?.cast_signed());
    let sign = word()?;
    let scale = word()?;
    if !matches!(sign, POSITIVE | NEGATIVE | NOT_A_NUMBER | POSITIVE_INFINITY | NEGATIVE_INFINITY) {
        return Err(PgError::new("22P03", "invalid sign in external \"numeric\" value"));
    }
    if scale > 0x3fff {
        return Err(PgError::new("22P03", "invalid scale in external \"numeric\" value"));
    }
    let mut digits = BigUint::zero();
    let mut groups = Vec::with_capacity(usize::from(count).min(bytes.len()));
    for _ in 0..count {
        let group = word()?;
        if group > 9999 {
            return Err(PgError::new("22P03", "invalid digit in external \"numeric\" value"));
        }
        groups.extend_from_slice(format!("{group:04}").as_bytes());
    }
    if words.next().is_some() {
        return Err(PgError::new("22P03", "incorrect binary data format"));
    }
    match sign {
        NOT_A_NUMBER => return Ok(Numeric::NaN),
        POSITIVE_INFINITY => return Ok(Numeric::PositiveInfinity),
        NEGATIVE_INFINITY => return Ok(Numeric::NegativeInfinity),
        _ => {}
    }
    if !groups.is_empty() {
        digits = BigUint::parse_bytes(&groups, 10).unwrap_or_default();
    }
    if digits.is_zero() {
        return Numeric::checked(BigInt::zero(), i64::from(scale));
    }
    // The last group is worth 10000^(weight - count + 1); digits beyond the scale are cut off.
    let exponent = (weight - i64::from(count) + 1) * 4;
    let shift = exponent + i64::from(scale);
    let sign = if sign == NEGATIVE { Sign::Minus } else { Sign::Plus };
    let digits = BigInt::from_biguint(sign, digits);
    let unscaled = if shift >= 0 {
        digits * pow10(shift)
    } else {
        divide_rounded(&digits, &pow10(-shift), Rounding::Truncate)
    };
    Numeric::checked(unscaled, i64::from(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let value = Value::Numeric(Numeric::parse(text).expect("a number"));
        let mut out = Vec::new();
        encode(&value, TypeId::NUMERIC, &mut out);
        assert_eq!(hex::encode(&out), expected, "for {text}");
        assert_eq!(decode(&out, TypeId::NUMERIC.into()), Ok(value), "for {text}");
    }

    #[test]
    fn numeric_has_postgresqls_groups() {
        check("0", "0000000000000000");
        check("0.00", "0000000000000002");
        check("1", "00010000000000000001");
        check("-12345.678", "0003000140000003000109291a7c");
        check("0.00001", "0001fffe0000000503e8");
        check("10000", "00010001000000000001");
        check("NaN", "00000000c0000000");
        check("-Infinity", "00000000f0000020");
    }

    #[test]
    fn rubbish_is_refused() {
        let code = |bytes: &[u8], id: TypeId| decode(bytes, id.into()).map_err(|e| e.sqlstate());
        assert_eq!(code(&[0], TypeId::INT4), Err("08P01"));
        assert_eq!(code(&[0; 5], TypeId::INT4), Err("22P03"));
        assert_eq!(code(&[0, 1, 0, 0, 0, 0, 0, 0], TypeId::NUMERIC), Err("08P01"));
        assert_eq!(code(&[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff], TypeId::NUMERIC), Err("22P03"));
        assert_eq!(code(b"a\xff", TypeId::TEXT), Err("22021"));
        assert_eq!(code(b"a\0", TypeId::TEXT), Err("22021"));
    }
}
