//! Fields' values ↔ PostgreSQL's.

use std::str::FromStr;

use dataman_node_protocol::NodeError;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Decimal128};

use super::sample::Kind;
use super::{Native, json};

/// Milliseconds from 1970-01-01 to 2000-01-01.
pub(super) const EPOCH_MS: i64 = 946_684_800_000;

/// The first and the last millisecond since 1970 that a timestamptz holds: 4714-11-24 BC and 294276-12-31.
pub(super) const DATES_MS: (i64, i64) = (-210_866_803_200_000, 9_224_318_015_999_999);

/// The doubles within which an int8 lies; the upper one is beyond.
const LONGS: (f64, f64) = (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0);

/// The whole number that a double is.
fn whole(value: f64) -> Option<i64> {
    if value.fract() != 0.0 || value < LONGS.0 || value >= LONGS.1 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the bounds")]
    Some(value as i64)
}

/// The double that a whole number is exactly.
pub(super) fn exact_double(value: i64) -> Option<f64> {
    let double = value as f64;
    (whole(double) == Some(value)).then_some(double)
}

/// Reads a field's value.
///
/// # Errors
/// What it is, when it is not what the column says.
pub(in crate::driver::mongodb) fn load(
    bson: &Bson,
    native: Native,
    ty: TypeId,
) -> Result<Value, String> {
    if matches!(bson, Bson::Null | Bson::Undefined) {
        return Ok(Value::Null);
    }
    let other = || Err(shown(bson));
    let input = |text: &str| {
        io::text::input(text, TypeRef::plain(ty), &Context::default()).map_err(|_| shown(bson))
    };
    Ok(match (native, bson) {
        (Native::Bool, Bson::Boolean(value)) => Value::Bool(*value),
        (Native::Integer, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_)) => {
            let value = match bson {
                Bson::Int32(value) => Some(i64::from(*value)),
                Bson::Int64(value) => Some(*value),
                Bson::Double(value) => whole(*value),
                _ => None,
            };
            let held = value.and_then(|value| match ty {
                TypeId::INT2 => i16::try_from(value).ok().map(Value::Int2),
                TypeId::INT4 => i32::try_from(value).ok().map(Value::Int4),
                _ => Some(Value::Int8(value)),
            });
            return held.ok_or_else(|| shown(bson));
        }
        (Native::Double, Bson::Double(value)) => Value::Float8(*value),
        (Native::Double, Bson::Int32(value)) => Value::Float8(f64::from(*value)),
        (Native::Double, Bson::Int64(value)) => match exact_double(*value) {
            Some(value) => Value::Float8(value),
            None => return other(),
        },
        (Native::Decimal, Bson::Decimal128(value)) => input(&value.to_string())?,
        (Native::Decimal, Bson::Int32(value)) => input(&value.to_string())?,
        (Native::Decimal, Bson::Int64(value)) => input(&value.to_string())?,
        (Native::Text, Bson::String(text)) if text.contains('\0') => {
            return Err("a string with a zero byte, which PostgreSQL does not hold".to_owned());
        }
        (Native::Text, Bson::String(text)) => Value::text(text.as_str()),
        (Native::Date, Bson::DateTime(date)) => {
            let millis = date.timestamp_millis();
            if millis < DATES_MS.0 || millis > DATES_MS.1 {
                return Err(format!("a date {millis} ms from 1970, beyond PostgreSQL's"));
            }
            Value::TimestampTz((millis - EPOCH_MS) * 1000)
        }
        (Native::ObjectId, Bson::ObjectId(id)) => Value::text(id.to_hex().as_str()),
        (Native::Uuid, Bson::Binary(binary)) => match json::uuid_of(binary) {
            Some(uuid) => Value::Uuid(uuid.bytes()),
            None => return other(),
        },
        (Native::Bytes, Bson::Binary(binary)) => Value::Bytea(binary.bytes.as_slice().into()),
        (Native::Document, bson) => return json::load(bson),
        _ => return other(),
    })
}

/// What a value is, for messages.
fn shown(bson: &Bson) -> String {
    match bson {
        Bson::Int32(value) => format!("the int {value}"),
        Bson::Int64(value) => format!("the long {value}"),
        Bson::Double(value) => format!("the double {value}"),
        Bson::Decimal128(value) => format!("the decimal {value}"),
        Bson::Binary(binary) => format!("binary data of subtype {}", u8::from(binary.subtype)),
        bson => format!("of BSON type {}", Kind::of(bson).map_or("null", Kind::name)),
    }
}

/// Puts a value as the field holds it; none for NULL. `old` is what was there.
///
/// # Errors
/// `22P02`, `22003`, `22008`: what the field cannot hold.
pub(super) fn native(
    value: &Value,
    native: Native,
    old: Option<&Bson>,
) -> Result<Option<Bson>, NodeError> {
    let whole_as = |value: i64| match (old, i32::try_from(value)) {
        (Some(Bson::Int64(_)), _) => Bson::Int64(value),
        (Some(Bson::Double(_)), _) => match exact_double(value) {
            Some(double) => Bson::Double(double),
            None => Bson::Int64(value),
        },
        (_, Ok(narrow)) => Bson::Int32(narrow),
        (_, Err(_)) => Bson::Int64(value),
    };
    Ok(Some(match (native, value) {
        (_, Value::Null) => return Ok(None),
        (Native::Bool, Value::Bool(value)) => Bson::Boolean(*value),
        (Native::Integer, Value::Int2(value)) => whole_as(i64::from(*value)),
        (Native::Integer, Value::Int4(value)) => whole_as(i64::from(*value)),
        // A field of longs gets longs.
        (Native::Integer, Value::Int8(value)) => match old {
            Some(Bson::Int32(_) | Bson::Double(_)) => whole_as(*value),
            _ => Bson::Int64(*value),
        },
        (Native::Double, Value::Float8(value)) => Bson::Double(*value),
        (Native::Decimal, Value::Numeric(_)) => {
            let mut text = Vec::new();
            io::text::output(value, TypeId::NUMERIC, &Context::default(), &mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            Bson::Decimal128(Decimal128::from_str(&text).map_err(|_| {
                NodeError::statement("22003", "numeric field overflow").with_detail(format!(
                    "MongoDB's decimal128 holds 34 digits, and not {text} exactly."
                ))
            })?)
        }
        (Native::Text, Value::Text(text)) => Bson::String(text.as_ref().to_owned()),
        (Native::Date, Value::TimestampTz(micros)) => {
            if *micros == i64::MAX || *micros == i64::MIN || micros % 1000 != 0 {
                return Err(NodeError::statement("22008", "timestamp out of range")
                    .with_detail("A date of MongoDB holds milliseconds, and no infinity."));
            }
            Bson::DateTime(DateTime::from_millis(micros / 1000 + EPOCH_MS))
        }
        (Native::ObjectId, Value::Text(text)) => match object_id(text) {
            Some(id) => Bson::ObjectId(id),
            None => {
                return Err(NodeError::statement(
                    "22P02",
                    format!("invalid input for a MongoDB ObjectId: \"{text}\""),
                )
                .with_hint("Give 24 hexadecimal digits in lower case, or leave the column out to get a new one."));
            }
        },
        (Native::Uuid, Value::Uuid(bytes)) => {
            Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: bytes.to_vec() })
        }
        (Native::Bytes, Value::Bytea(bytes)) => {
            let subtype = match old {
                Some(Bson::Binary(old)) if old.subtype != BinarySubtype::Uuid => old.subtype,
                _ => BinarySubtype::Generic,
            };
            Bson::Binary(Binary { subtype, bytes: bytes.to_vec() })
        }
        (Native::Document, Value::Jsonb(_)) => json::native(value, old)?,
        _ => {
            return Err(NodeError::statement(
                "XX000",
                "a value of another type than the column's was to be stored in MongoDB",
            ));
        }
    }))
}

/// The ObjectId that a text stands for, and no other text does.
pub(super) fn object_id(text: &str) -> Option<ObjectId> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 24 && text.bytes().all(is_digit) {
        ObjectId::parse_str(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::kept::value::shown as text;

    #[test]
    fn what_fits() {
        let check = |bson: Bson, native: Native, ty: TypeId, expected: Result<&str, &str>| {
            let found = load(&bson, native, ty);
            let found = found.as_ref().map(|value| text(value, ty, &Context::default()));
            let found = found.as_ref().map(String::as_str).map_err(|what| what.as_str());
            assert_eq!(found, expected, "{bson}");
        };
        let (int, long) = (TypeId::INT4, TypeId::INT8);
        check(Bson::Int64(7), Native::Integer, int, Ok("7"));
        check(Bson::Double(7.0), Native::Integer, int, Ok("7"));
        check(Bson::Double(7.5), Native::Integer, int, Err("the double 7.5"));
        check(Bson::Double(9.3e18), Native::Integer, long, Err("the double 9300000000000000000"));
        check(Bson::Int64(1 << 40), Native::Integer, int, Err("the long 1099511627776"));
        check(Bson::Null, Native::Integer, int, Ok("null"));
        check(Bson::String("7".to_owned()), Native::Integer, int, Err("of BSON type string"));
        check(
            Bson::Int64(i64::MAX),
            Native::Double,
            TypeId::FLOAT8,
            Err("the long 9223372036854775807"),
        );
        check(Bson::Int64(1 << 53), Native::Double, TypeId::FLOAT8, Ok("9.007199254740992e+15"));
        check(
            Bson::DateTime(DateTime::from_millis(1)),
            Native::Date,
            TypeId::TIMESTAMPTZ,
            Ok("1970-01-01 00:00:00.001+00"),
        );
        check(
            Bson::DateTime(DateTime::from_millis(DATES_MS.1)),
            Native::Date,
            TypeId::TIMESTAMPTZ,
            Ok("294276-12-31 23:59:59.999+00"),
        );
        check(
            Bson::DateTime(DateTime::from_millis(DATES_MS.0)),
            Native::Date,
            TypeId::TIMESTAMPTZ,
            Ok("4714-11-24 00:00:00+00 BC"),
        );
        check(
            Bson::DateTime(DateTime::MAX),
            Native::Date,
            TypeId::TIMESTAMPTZ,
            Err("a date 9223372036854775807 ms from 1970, beyond PostgreSQL's"),
        );
        let old = Binary { subtype: BinarySubtype::UuidOld, bytes: vec![0; 16] };
        check(Bson::Binary(old), Native::Uuid, TypeId::UUID, Err("binary data of subtype 3"));
    }

    #[test]
    fn widths_are_kept() {
        let check = |value: Value, old: Bson, expected: Bson| {
            let found = native(&value, Native::Integer, Some(&old)).expect("a form");
            assert_eq!(found, Some(expected));
        };
        check(Value::Int4(5), Bson::Int64(1), Bson::Int64(5));
        check(Value::Int4(5), Bson::Double(1.0), Bson::Double(5.0));
        check(Value::Int8(5), Bson::Int32(1), Bson::Int32(5));
        check(Value::Int8(5), Bson::Null, Bson::Int64(5));
        check(Value::Int8(1 << 40), Bson::Int32(1), Bson::Int64(1 << 40));
        assert!(object_id("65F0c0ffee65f0c0ffee65f0").is_none());
    }
}
