//! The form in which values are put aside and read back within one process: exact, whatever their type, and quick.
//!
//! A byte says which variant, then come its parts, numbers in the machine's order. It is no format to be sent or stored.

use std::sync::Arc;

use num_bigint::BigInt;

use crate::bits::Bits;
use crate::json::Jsonb;
use crate::network::Inet;
use crate::range::{Bound, Multirange, Range, Span};
use crate::types::TypeId;
use crate::value::{Array, Dimension, EnumLabel, Interval, Numeric, Record, TimeTz, Value};

/// Appends a value.
pub fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(value) => out.extend([1, u8::from(*value)]),
        Value::Int2(value) => tagged(2, &value.to_ne_bytes(), out),
        Value::Int4(value) => tagged(3, &value.to_ne_bytes(), out),
        Value::Int8(value) => tagged(4, &value.to_ne_bytes(), out),
        Value::Float4(value) => tagged(5, &value.to_ne_bytes(), out),
        Value::Float8(value) => tagged(6, &value.to_ne_bytes(), out),
        Value::Numeric(value) => {
            out.push(7);
            put_numeric(value, out);
        }
        Value::Text(text) => tagged_bytes(8, text.as_bytes(), out),
        Value::Bpchar(text) => tagged_bytes(9, text.as_bytes(), out),
        Value::Char(value) => out.extend([10, *value]),
        Value::Bytea(bytes) => tagged_bytes(11, bytes, out),
        Value::Date(value) => tagged(12, &value.to_ne_bytes(), out),
        Value::Time(value) => tagged(13, &value.to_ne_bytes(), out),
        Value::TimeTz(value) => {
            tagged(14, &value.time_us.to_ne_bytes(), out);
            out.extend_from_slice(&value.zone_s.to_ne_bytes());
        }
        Value::Timestamp(value) => tagged(15, &value.to_ne_bytes(), out),
        Value::TimestampTz(value) => tagged(16, &value.to_ne_bytes(), out),
        Value::Interval(value) => {
            tagged(17, &value.months.to_ne_bytes(), out);
            out.extend_from_slice(&value.days.to_ne_bytes());
            out.extend_from_slice(&value.time_us.to_ne_bytes());
        }
        Value::Uuid(bytes) => tagged(18, bytes, out),
        Value::Json(text) => tagged_bytes(19, text.as_bytes(), out),
        Value::Jsonb(value) => {
            out.push(20);
            put_jsonb(value, out);
        }
        Value::Oid(value) => tagged(21, &value.to_ne_bytes(), out),
        Value::Array(array) => {
            tagged(22, &array.element_type.0.to_ne_bytes(), out);
            put_count(array.dimensions.len(), out);
            for dimension in &array.dimensions {
                out.extend_from_slice(&dimension.length.to_ne_bytes());
                out.extend_from_slice(&dimension.lower.to_ne_bytes());
            }
            put_row(&array.elements, out);
        }
        Value::Enum(label) => {
            tagged(23, &label.enum_type.0.to_ne_bytes(), out);
            out.extend_from_slice(&label.rank.to_ne_bytes());
            put_bytes(label.label.as_bytes(), out);
        }
        Value::Inet(inet) => {
            out.extend([25, u8::from(inet.is_v6), inet.bits]);
            out.extend_from_slice(&inet.address.to_ne_bytes());
        }
        Value::MacAddr(bytes) => tagged(26, bytes, out),
        Value::MacAddr8(bytes) => tagged(27, bytes, out),
        Value::Bits(bits) => {
            out.push(28);
            put_count(bits.length(), out);
            out.extend(bits.iter().map(u8::from));
        }
        Value::Range(range) => {
            tagged(29, &range.element.0.to_ne_bytes(), out);
            put_spans(range.span.as_slice(), out);
        }
        Value::Multirange(range) => {
            tagged(30, &range.element.0.to_ne_bytes(), out);
            put_spans(&range.spans, out);
        }
        Value::Record(fields) => {
            match &fields.names {
                None => out.push(24),
                Some(names) => {
                    out.push(31);
                    put_count(names.len(), out);
                    names.iter().for_each(|name| put_bytes(name.as_bytes(), out));
                }
            }
            put_count(fields.len(), out);
            for (ty, value) in fields.iter() {
                out.extend_from_slice(&ty.0.to_ne_bytes());
                put(value, out);
            }
        }
    }
}

/// Appends values and their number.
pub fn put_row(row: &[Value], out: &mut Vec<u8>) {
    put_count(row.len(), out);
    row.iter().for_each(|value| put(value, out));
}

/// Takes a value off the front of `bytes`; none if they are not what [`put`] has made.
pub fn take(bytes: &mut &[u8]) -> Option<Value> {
    Some(match u8::from_ne_bytes(array(bytes)?) {
        0 => Value::Null,
        1 => Value::Bool(u8::from_ne_bytes(array(bytes)?) != 0),
        2 => Value::Int2(i16::from_ne_bytes(array(bytes)?)),
        3 => Value::Int4(i32::from_ne_bytes(array(bytes)?)),
        4 => Value::Int8(i64::from_ne_bytes(array(bytes)?)),
        5 => Value::Float4(f32::from_ne_bytes(array(bytes)?)),
        6 => Value::Float8(f64::from_ne_bytes(array(bytes)?)),
        7 => Value::Numeric(take_numeric(bytes)?),
        8 => Value::Text(take_text(bytes)?),
        9 => Value::Bpchar(take_text(bytes)?),
        10 => Value::Char(u8::from_ne_bytes(array(bytes)?)),
        11 => Value::Bytea(Arc::from(take_bytes(bytes)?)),
        12 => Value::Date(i32::from_ne_bytes(array(bytes)?)),
        13 => Value::Time(i64::from_ne_bytes(array(bytes)?)),
        14 => Value::TimeTz(TimeTz {
            time_us: i64::from_ne_bytes(array(bytes)?),
            zone_s: i32::from_ne_bytes(array(bytes)?),
        }),
        15 => Value::Timestamp(i64::from_ne_bytes(array(bytes)?)),
        16 => Value::TimestampTz(i64::from_ne_bytes(array(bytes)?)),
        17 => Value::Interval(Interval {
            months: i32::from_ne_bytes(array(bytes)?),
            days: i32::from_ne_bytes(array(bytes)?),
            time_us: i64::from_ne_bytes(array(bytes)?),
        }),
        18 => Value::Uuid(array(bytes)?),
        19 => Value::Json(take_text(bytes)?),
        20 => Value::Jsonb(Arc::new(take_jsonb(bytes)?)),
        21 => Value::Oid(u32::from_ne_bytes(array(bytes)?)),
        22 => {
            let element_type = TypeId(u32::from_ne_bytes(array(bytes)?));
            let mut dimensions = Vec::new();
            for _ in 0..take_count(bytes)? {
                dimensions.push(Dimension {
                    length: i32::from_ne_bytes(array(bytes)?),
                    lower: i32::from_ne_bytes(array(bytes)?),
                });
            }
            let elements = take_row(bytes)?;
            Value::Array(Arc::new(Array { element_type, dimensions, elements }))
        }
        23 => Value::Enum(EnumLabel {
            enum_type: TypeId(u32::from_ne_bytes(array(bytes)?)),
            rank: u32::from_ne_bytes(array(bytes)?),
            label: take_text(bytes)?,
        }),
        tag @ (24 | 31) => {
            let mut names = Vec::new();
            if tag == 31 {
                for _ in 0..take_count(bytes)? {
                    names.push(take_text(bytes)?);
                }
            }
            let names = (tag == 31).then(|| names.into());
            let mut fields = Vec::new();
            for _ in 0..take_count(bytes)? {
                fields.push((TypeId(u32::from_ne_bytes(array(bytes)?)), take(bytes)?));
            }
            Value::Record(Arc::new(Record { fields, names }))
        }
        25 => Value::Inet(Inet {
            is_v6: u8::from_ne_bytes(array(bytes)?) != 0,
            bits: u8::from_ne_bytes(array(bytes)?),
            address: u128::from_ne_bytes(array(bytes)?),
        }),
        26 => Value::MacAddr(array(bytes)?),
        27 => Value::MacAddr8(array(bytes)?),
        28 => {
            let bits = take_bytes(bytes)?;
            Value::Bits(Bits::from_bits(bits.iter().map(|bit| *bit != 0)))
        }
        29 => {
            let element = TypeId(u32::from_ne_bytes(array(bytes)?));
            let span = take_spans(bytes)?.pop();
            Value::Range(Arc::new(Range { element, span }))
        }
        30 => {
            let element = TypeId(u32::from_ne_bytes(array(bytes)?));
            Value::Multirange(Arc::new(Multirange { element, spans: take_spans(bytes)? }))
        }
        _ => return None,
    })
}

/// Takes what [`put_row`] has made off the front of `bytes`.
pub fn take_row(bytes: &mut &[u8]) -> Option<Vec<Value>> {
    let count = take_count(bytes)?;
    let mut row = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        row.push(take(bytes)?);
    }
    Some(row)
}

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn tagged_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

/// Short numbers in one byte.
fn put_count(count: usize, out: &mut Vec<u8>) {
    match u8::try_from(count) {
        Ok(short) if short < u8::MAX => out.push(short),
        _ => tagged(u8::MAX, &count.to_ne_bytes(), out),
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_spans(spans: &[Span], out: &mut Vec<u8>) {
    put_count(spans.len(), out);
    for bound in spans.iter().flat_map(|span| [&span.lower, &span.upper]) {
        out.extend([u8::from(bound.inclusive), u8::from(bound.value.is_some())]);
        bound.value.iter().for_each(|value| put(value, out));
    }
}

fn take_spans(bytes: &mut &[u8]) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    for _ in 0..take_count(bytes)? {
        let mut bound = |is_lower| {
            let [inclusive, has_value] = array(bytes)?;
            let value = if has_value == 0 { None } else { Some(take(bytes)?) };
            Some(Bound { value, inclusive: inclusive != 0, is_lower })
        };
        spans.push(Span { lower: bound(true)?, upper: bound(false)? });
    }
    Some(spans)
}

fn put_numeric(value: &Numeric, out: &mut Vec<u8>) {
    match value {
        Numeric::NaN => out.push(1),
        Numeric::PositiveInfinity => out.push(2),
        Numeric::NegativeInfinity => out.push(3),
        Numeric::Finite { unscaled, scale } => {
            out.push(0);
            out.extend_from_slice(&scale.to_ne_bytes());
            put_bytes(&unscaled.to_signed_bytes_le(), out);
        }
    }
}

fn put_jsonb(value: &Jsonb, out: &mut Vec<u8>) {
    match value {
        Jsonb::Null => out.push(0),
        Jsonb::Bool(value) => out.extend([1, u8::from(*value)]),
        Jsonb::Number(number) => {
            out.push(2);
            put_numeric(number, out);
        }
        Jsonb::String(text) => tagged_bytes(3, text.as_bytes(), out),
        Jsonb::Array(elements) => {
            out.push(4);
            put_count(elements.len(), out);
            elements.iter().for_each(|element| put_jsonb(element, out));
        }
        Jsonb::Object(members) => {
            out.push(5);
            put_count(members.len(), out);
            for (key, member) in members {
                put_bytes(key.as_bytes(), out);
                put_jsonb(member, out);
            }
        }
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    match u8::from_ne_bytes(array(bytes)?) {
        u8::MAX => Some(usize::from_ne_bytes(array(bytes)?)),
        short => Some(usize::from(short)),
    }
}

fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = take_count(bytes)?;
    let (front, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(front)
}

fn take_text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(take_bytes(bytes)?).ok().map(Arc::from)
}

fn take_numeric(bytes: &mut &[u8]) -> Option<Numeric> {
    Some(match u8::from_ne_bytes(array(bytes)?) {
        0 => {
            let scale = u16::from_ne_bytes(array(bytes)?);
            Numeric::Finite { unscaled: BigInt::from_signed_bytes_le(take_bytes(bytes)?), scale }
        }
        1 => Numeric::NaN,
        2 => Numeric::PositiveInfinity,
        3 => Numeric::NegativeInfinity,
        _ => return None,
    })
}

fn take_jsonb(bytes: &mut &[u8]) -> Option<Jsonb> {
    Some(match u8::from_ne_bytes(array(bytes)?) {
        0 => Jsonb::Null,
        1 => Jsonb::Bool(u8::from_ne_bytes(array(bytes)?) != 0),
        2 => Jsonb::Number(take_numeric(bytes)?),
        3 => Jsonb::String(take_text(bytes)?),
        4 => {
            let mut elements = Vec::new();
            for _ in 0..take_count(bytes)? {
                elements.push(take_jsonb(bytes)?);
            }
            Jsonb::Array(elements)
        }
        5 => {
            let mut members = Vec::new();
            for _ in 0..take_count(bytes)? {
                members.push((take_text(bytes)?, take_jsonb(bytes)?));
            }
            Jsonb::Object(members)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::io::text;

    /// Each text, read as the type, comes back as it was.
    fn check(ty: TypeId, texts: &[&str]) {
        let context = Context::default();
        let row: Vec<Value> = texts
            .iter()
            .map(|text| text::input(text, ty.into(), &context).expect("the test's input is right"))
            .collect();
        let mut bytes = Vec::new();
        put_row(&row, &mut bytes);
        let mut left = bytes.as_slice();
        let back = take_row(&mut left).expect("what was put can be taken");
        assert!(left.is_empty(), "{left:?}");
        // NaN is no value that equals itself.
        assert_eq!(format!("{back:?}"), format!("{row:?}"));
        for end in 0..bytes.len() {
            assert_eq!(take_row(&mut &bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn values_come_back() {
        check(TypeId::BOOL, &["t", "f"]);
        check(TypeId::INT2, &["-32768", "7"]);
        check(TypeId::INT4, &["-2147483648", "7"]);
        check(TypeId::INT8, &["-9223372036854775808", "7"]);
        check(TypeId::FLOAT4, &["NaN", "-0", "1.5", "infinity"]);
        check(TypeId::FLOAT8, &["NaN", "-0", "1e-300", "-infinity"]);
        check(TypeId::NUMERIC, &["0.000", "-1.50", "1e400", "NaN", "infinity", "-infinity"]);
        check(TypeId::TEXT, &["", "ä", &"x".repeat(300)]);
        check(TypeId::BPCHAR, &["a  "]);
        check(TypeId::CHAR, &["a"]);
        check(TypeId::BYTEA, &["\\x00ff"]);
        check(TypeId::DATE, &["infinity", "2024-02-29"]);
        check(TypeId::TIME, &["24:00"]);
        check(TypeId::TIMETZ, &["10:00+05:30"]);
        check(TypeId::TIMESTAMP, &["-infinity", "2024-02-29 10:00"]);
        check(TypeId::TIMESTAMPTZ, &["2024-02-29 10:00+01"]);
        check(TypeId::INTERVAL, &["1 mon -3 days 00:00:00.5"]);
        check(TypeId::UUID, &["0d3a5c1e-0000-4000-8000-0123456789ab"]);
        check(TypeId::JSON, &["{ \"a\" : 1 }"]);
        check(TypeId::JSONB, &["{\"a\": [1.0, null, true, \"x\"], \"b\": {}}", "3"]);
        check(TypeId::OID, &["4294967295"]);
        check(TypeId::TEXT_ARRAY, &["{}", "[0:1]={a,NULL}", "{{a,b},{c,d}}"]);
    }

    #[test]
    fn values_without_a_text_of_their_own() {
        let row = vec![
            Value::Null,
            Value::Enum(EnumLabel { enum_type: TypeId(20000), rank: 3, label: "red".into() }),
            Value::Record(Arc::new(Record::from(vec![
                (TypeId::INT4, Value::Int4(1)),
                (TypeId::TEXT, Value::Null),
            ]))),
            Value::Record(Arc::new(Record {
                fields: vec![(TypeId::INT4, Value::Int4(1))],
                names: Some([Arc::from("a")].into()),
            })),
        ];
        let mut bytes = Vec::new();
        put_row(&row, &mut bytes);
        assert_eq!(take_row(&mut bytes.as_slice()), Some(row));
    }
}
