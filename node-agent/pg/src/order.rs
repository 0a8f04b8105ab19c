//! Comparison, hash and order-preserving bytes of values, by each type's default B-tree and hash operator classes.
//!
//! Both operands are of one type and not NULL. Text compares by bytes (the "C" collation).

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use num_bigint::Sign;
use num_traits::Zero;

use crate::json::Jsonb;
use crate::range::{compare_spans, encode_ordered as encode_spans};
use crate::value::{Array, Interval, Numeric, TimeTz, Value};

/// PostgreSQL's order of two values of one type: NaN equals itself and is greatest, -0 equals 0, intervals compare by
/// their estimated length, `char(n)` without trailing blanks, jsonb and arrays by their own rules.
pub fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int2(a), Value::Int2(b)) => a.cmp(b),
        (Value::Int4(a), Value::Int4(b)) | (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Int8(a), Value::Int8(b))
        | (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::TimestampTz(a), Value::TimestampTz(b)) => a.cmp(b),
        (Value::Oid(a), Value::Oid(b)) => a.cmp(b),
        (Value::Float4(a), Value::Float4(b)) => compare_floats(f64::from(*a), f64::from(*b)),
        (Value::Float8(a), Value::Float8(b)) => compare_floats(*a, *b),
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => {
            a.as_bytes().cmp(b.as_bytes())
        }
        (Value::Bpchar(a), Value::Bpchar(b)) => {
            without_blanks(a).as_bytes().cmp(without_blanks(b).as_bytes())
        }
        (Value::Char(a), Value::Char(b)) => a.cmp(b),
        (Value::Bytea(a), Value::Bytea(b)) => a.cmp(b),
        (Value::TimeTz(a), Value::TimeTz(b)) => time_key(*a).cmp(&time_key(*b)),
        (Value::Interval(a), Value::Interval(b)) => span(*a).cmp(&span(*b)),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Inet(a), Value::Inet(b)) => a.compare(b),
        (Value::MacAddr(a), Value::MacAddr(b)) => a.cmp(b),
        (Value::MacAddr8(a), Value::MacAddr8(b)) => a.cmp(b),
        (Value::Bits(a), Value::Bits(b)) => a.cmp(b),
        (Value::Range(a), Value::Range(b)) => compare_spans(a.spans(), b.spans()),
        (Value::Multirange(a), Value::Multirange(b)) => compare_spans(&a.spans, &b.spans),
        (Value::Jsonb(a), Value::Jsonb(b)) => compare_jsonb(a, b),
        (Value::Array(a), Value::Array(b)) => compare_arrays(a, b),
        (Value::Enum(a), Value::Enum(b)) => a.rank.cmp(&b.rank),
        (Value::Record(a), Value::Record(b)) => {
            for ((_, x), (_, y)) in a.iter().zip(b.iter()) {
                let order = compare_nullable(x, y);
                if order.is_ne() {
                    return order;
                }
            }
            a.len().cmp(&b.len())
        }
        _ => {
            debug_assert!(false, "comparing {left:?} with {right:?}");
            rank(left).cmp(&rank(right))
        }
    }
}

/// As [`compare`], with NULL equal to itself and greater than everything: as NULLs within arrays and rows sort.
pub fn compare_nullable(left: &Value, right: &Value) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (false, false) => compare(left, right),
        (left, right) => left.cmp(&right),
    }
}

/// A number for each variant, so that even values of different types have some fixed order.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int2(_) => 2,
        Value::Int4(_) => 3,
        Value::Int8(_) => 4,
        Value::Float4(_) => 5,
        Value::Float8(_) => 6,
        Value::Numeric(_) => 7,
        Value::Text(_) => 8,
        Value::Bpchar(_) => 9,
        Value::Char(_) => 10,
        Value::Bytea(_) => 11,
        Value::Date(_) => 12,
        Value::Time(_) => 13,
        Value::TimeTz(_) => 14,
        Value::Timestamp(_) => 15,
        Value::TimestampTz(_) => 16,
        Value::Interval(_) => 17,
        Value::Uuid(_) => 18,
        Value::Json(_) => 19,
        Value::Jsonb(_) => 20,
        Value::Oid(_) => 21,
        Value::Array(_) => 22,
        Value::Enum(_) => 23,
        Value::Record(_) => 24,
        Value::Inet(_) => 25,
        Value::MacAddr(_) => 26,
        Value::MacAddr8(_) => 27,
        Value::Bits(_) => 28,
        Value::Range(_) => 29,
        Value::Multirange(_) => 30,
    }
}

/// Floats in PostgreSQL's order: NaN equals itself and is greatest.
pub(crate) fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

fn without_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// The instant, then the zone: `timetz` at the same instant sorts by zone.
fn time_key(time: TimeTz) -> (i64, i32) {
    (time.time_us.saturating_add(i64::from(time.zone_s) * 1_000_000), time.zone_s)
}

/// An interval's estimated length in microseconds, with 30-day months.
pub(crate) fn span(interval: Interval) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000 + i128::from(interval.time_us)
}

fn compare_arrays(left: &Array, right: &Array) -> Ordering {
    for (a, b) in left.elements.iter().zip(&right.elements) {
        let order = compare_nullable(a, b);
        if order.is_ne() {
            return order;
        }
    }
    let lengths = |array: &Array| array.dimensions.iter().map(|d| d.length).collect::<Vec<_>>();
    let lowers = |array: &Array| array.dimensions.iter().map(|d| d.lower).collect::<Vec<_>>();
    left.elements
        .len()
        .cmp(&right.elements.len())
        .then_with(|| left.dimensions.len().cmp(&right.dimensions.len()))
        .then_with(|| lengths(left).cmp(&lengths(right)))
        .then_with(|| lowers(left).cmp(&lowers(right)))
}

/// `Object > Array > Boolean > Number > String > null`, except that at the top an empty array is below every scalar:
/// PostgreSQL compares a scalar there as an array of one element, and the number of elements first.
fn compare_jsonb(left: &Jsonb, right: &Jsonb) -> Ordering {
    jsonb_top_rank(left).cmp(&jsonb_top_rank(right)).then_with(|| compare_jsonb_part(left, right))
}

fn jsonb_top_rank(value: &Jsonb) -> u8 {
    match value {
        Jsonb::Array(elements) if elements.is_empty() => 0,
        _ => jsonb_rank(value),
    }
}

fn jsonb_rank(value: &Jsonb) -> u8 {
    match value {
        Jsonb::Null => 1,
        Jsonb::String(_) => 2,
        Jsonb::Number(_) => 3,
        Jsonb::Bool(_) => 4,
        Jsonb::Array(_) => 5,
        Jsonb::Object(_) => 6,
    }
}

fn compare_jsonb_part(left: &Jsonb, right: &Jsonb) -> Ordering {
    match (left, right) {
        (Jsonb::Bool(a), Jsonb::Bool(b)) => a.cmp(b),
        (Jsonb::Number(a), Jsonb::Number(b)) => a.compare(b),
        (Jsonb::String(a), Jsonb::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Jsonb::Array(a), Jsonb::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
            let orders = a.iter().zip(b).map(|(x, y)| compare_jsonb_part(x, y));
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }),
        (Jsonb::Object(a), Jsonb::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            let orders = a.iter().zip(b).map(|((k, x), (l, y))| {
                k.as_bytes().cmp(l.as_bytes()).then_with(|| compare_jsonb_part(x, y))
            });
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }),
        _ => jsonb_rank(left).cmp(&jsonb_rank(right)),
    }
}

/// Feeds a hash that is alike for values that [`compare`] as equal. NULL hashes too (groups have NULL keys).
pub fn hash(value: &Value, state: &mut impl Hasher) {
    match value {
        Value::Null => state.write_u8(0),
        Value::Bool(value) => value.hash(state),
        Value::Int2(value) => value.hash(state),
        Value::Int4(value) | Value::Date(value) => value.hash(state),
        Value::Int8(value)
        | Value::Time(value)
        | Value::Timestamp(value)
        | Value::TimestampTz(value) => value.hash(state),
        Value::Oid(value) => value.hash(state),
        Value::Float4(value) => ordered_bits(f64::from(*value)).hash(state),
        Value::Float8(value) => ordered_bits(*value).hash(state),
        Value::Text(text) | Value::Json(text) => text.hash(state),
        Value::Bpchar(text) => without_blanks(text).hash(state),
        Value::Char(value) => value.hash(state),
        Value::Bytea(bytes) => bytes.hash(state),
        Value::Uuid(bytes) => bytes.hash(state),
        Value::TimeTz(time) => time_key(*time).hash(state),
        Value::Interval(interval) => span(*interval).hash(state),
        Value::Enum(label) => label.rank.hash(state),
        Value::Inet(value) => value.hash(state),
        Value::MacAddr(bytes) => bytes.hash(state),
        Value::MacAddr8(bytes) => bytes.hash(state),
        Value::Bits(bits) => bits.hash(state),
        Value::Numeric(_)
        | Value::Jsonb(_)
        | Value::Array(_)
        | Value::Record(_)
        | Value::Range(_)
        | Value::Multirange(_) => {
            let mut key = Vec::new();
            encode_ordered(value, &mut key);
            key.hash(state);
        }
    }
}

/// A double's bits such that unsigned order is PostgreSQL's order.
fn ordered_bits(value: f64) -> u64 {
    if value.is_nan() {
        return u64::MAX;
    }
    // Adding zero turns -0 into 0.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

/// Appends bytes whose memory order is the values' order and which are alike exactly for values that compare as equal.
/// Self-delimiting, so that keys can be joined. NULL is not written.
pub fn encode_ordered(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int2(value) => {
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 15)).to_be_bytes());
        }
        Value::Int4(value) | Value::Date(value) => encode_i32(*value, out),
        Value::Int8(value)
        | Value::Time(value)
        | Value::Timestamp(value)
        | Value::TimestampTz(value) => encode_i64(*value, out),
        Value::Oid(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Float4(value) => {
            out.extend_from_slice(&ordered_bits(f64::from(*value)).to_be_bytes());
        }
        Value::Float8(value) => out.extend_from_slice(&ordered_bits(*value).to_be_bytes()),
        Value::Numeric(value) => encode_numeric(value, out),
        Value::Text(text) | Value::Json(text) => encode_bytes(text.as_bytes(), out),
        Value::Bpchar(text) => encode_bytes(without_blanks(text).as_bytes(), out),
        Value::Char(value) => out.push(*value),
        Value::Bytea(bytes) => encode_bytes(bytes, out),
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
        Value::Inet(value) => value.encode_ordered(out),
        Value::MacAddr(bytes) => out.extend_from_slice(bytes),
        Value::MacAddr8(bytes) => out.extend_from_slice(bytes),
        Value::Bits(bits) => {
            encode_bytes(bits.bytes(), out);
            encode_count(bits.length(), out);
        }
        Value::Range(range) => encode_spans(range.spans(), out),
        Value::Multirange(value) => encode_spans(&value.spans, out),
        Value::TimeTz(time) => {
            let (instant, zone) = time_key(*time);
            encode_i64(instant, out);
            encode_i32(zone, out);
        }
        Value::Interval(interval) => {
            let bits = span(*interval).cast_unsigned() ^ (1 << 127);
            out.extend_from_slice(&bits.to_be_bytes());
        }
        Value::Enum(label) => out.extend_from_slice(&label.rank.to_be_bytes()),
        Value::Jsonb(value) => {
            out.push(jsonb_top_rank(value));
            encode_jsonb(value, out);
        }
        Value::Array(array) => {
            encode_sequence(array.elements.iter(), out);
            encode_count(array.dimensions.len(), out);
            array.dimensions.iter().for_each(|dimension| encode_i32(dimension.length, out));
            array.dimensions.iter().for_each(|dimension| encode_i32(dimension.lower, out));
        }
        Value::Record(fields) => encode_sequence(fields.iter().map(|(_, value)| value), out),
    }
}

fn encode_i32(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 31)).to_be_bytes());
}

fn encode_i64(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

/// Each zero byte is followed by `ff`; two zero bytes end the string.
fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Each member behind a 1, a NULL as 2, a 0 at the end: the shorter of two sequences that begin alike comes first.
fn encode_sequence<'a>(values: impl Iterator<Item = &'a Value>, out: &mut Vec<u8>) {
    for value in values {
        out.push(if value.is_null() { 2 } else { 1 });
        encode_ordered(value, out);
    }
    out.push(0);
}

/// A class byte; for finite numbers then the place of the first digit and the digits in pairs, without zeros at the
/// end, closed by 0. Everything behind the class byte is inverted for negative numbers.
fn encode_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let (unscaled, scale) = match value {
        Numeric::NegativeInfinity => return out.push(1),
        Numeric::PositiveInfinity => return out.push(5),
        Numeric::NaN => return out.push(6),
        Numeric::Finite { unscaled, .. } if unscaled.is_zero() => return out.push(3),
        Numeric::Finite { unscaled, scale } => (unscaled, *scale),
    };
    let negative = unscaled.sign() == Sign::Minus;
    out.push(if negative { 2 } else { 4 });
    let start = out.len();
    let digits = unscaled.magnitude().to_str_radix(10);
    let place = i64::try_from(digits.len()).unwrap_or(i64::MAX) - i64::from(scale);
    encode_i32(i32::try_from(place).unwrap_or(i32::MAX), out);
    for pair in digits.trim_end_matches('0').as_bytes().chunks(2) {
        let second = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((pair[0] - b'0') * 10 + second + 1);
    }
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn encode_jsonb(value: &Jsonb, out: &mut Vec<u8>) {
    match value {
        Jsonb::Null => {}
        Jsonb::Bool(value) => out.push(u8::from(*value)),
        Jsonb::Number(number) => encode_numeric(number, out),
        Jsonb::String(text) => encode_bytes(text.as_bytes(), out),
        Jsonb::Array(elements) => {
            encode_count(elements.len(), out);
            for element in elements {
                out.push(jsonb_rank(element));
                encode_jsonb(element, out);
            }
        }
        Jsonb::Object(members) => {
            encode_count(members.len(), out);
            for (key, member) in members {
                encode_bytes(key.as_bytes(), out);
                out.push(jsonb_rank(member));
                encode_jsonb(member, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;
    use std::sync::Arc;

    use super::*;
    use crate::types::TypeId;
    use crate::{Context, io};

    /// The texts, read as the type, must stand in ascending order, those within one inner list being equal; compare,
    /// hash and bytes must agree.
    fn check(ty: TypeId, groups: &[&[&str]]) {
        let read = |text: &str| {
            io::text::input(text, ty.into(), &Context::default())
                .expect("the test's input is right")
        };
        let values: Vec<(usize, Value)> = groups
            .iter()
            .enumerate()
            .flat_map(|(rank, texts)| texts.iter().map(move |text| (rank, read(text))))
            .collect();
        check_values(&values);
    }

    fn check_values(values: &[(usize, Value)]) {
        let bytes = |value: &Value| {
            let mut out = Vec::new();
            encode_ordered(value, &mut out);
            out
        };
        let hashed = |value: &Value| {
            let mut state = DefaultHasher::new();
            hash(value, &mut state);
            state.finish()
        };
        for (rank, value) in values {
            for (other_rank, other) in values {
                let expected = rank.cmp(other_rank);
                assert_eq!(compare(value, other), expected, "{value:?} and {other:?}");
                assert_eq!(bytes(value).cmp(&bytes(other)), expected, "{value:?} and {other:?}");
                if expected.is_eq() {
                    assert_eq!(hashed(value), hashed(other), "{value:?} and {other:?}");
                }
            }
        }
    }

    #[test]
    fn numbers() {
        check(
            TypeId::NUMERIC,
            &[
                &["-inf"],
                &["-1e300"],
                &["-100.01"],
                &["-100", "-100.000"],
                &["-99"],
                &["-1.1"],
                &["-1"],
                &["-0.01"],
                &["-0.0011", "-0.00110"],
                &["0", "0.000"],
                &["1e-100"],
                &["0.001"],
                &["0.01"],
                &["0.0101"],
                &["1.0", "1.00", "1"],
                &["9.99"],
                &["10", "1e1"],
                &["10.5"],
                &["99999999999999999999999999.5"],
                &["1e300"],
                &["inf"],
                &["NaN"],
            ],
        );
        check(TypeId::INT8, &[&["-9223372036854775808"], &["-1"], &["0"], &["1"], &["256"]]);
        let doubles: &[&[&str]] = &[
            &["-inf"],
            &["-1e30"],
            &["-1e-5"],
            &["0", "-0"],
            &["1e-30"],
            &["1"],
            &["inf"],
            &["nan"],
        ];
        check(TypeId::FLOAT8, doubles);
        check(TypeId::FLOAT4, doubles);
    }

    #[test]
    fn strings() {
        check(TypeId::TEXT, &[&[""], &["a"], &["a "], &["aa"], &["b"], &["ä"]]);
        check(TypeId::BPCHAR, &[&["", "  "], &["a", "a  "], &["aa"]]);
        check(
            TypeId::BYTEA,
            &[&["\\x"], &["\\x00"], &["\\x0000"], &["\\x0001"], &["\\x01"], &["\\xff"]],
        );
        check(TypeId::CHAR, &[&[""], &["a"], &["\\377"]]);
    }

    #[test]
    fn times() {
        let interval = |months, days, time_us| Value::Interval(Interval { months, days, time_us });
        check_values(&[
            (0, interval(i32::MIN, i32::MIN, i64::MIN)),
            (1, interval(0, -1, 0)),
            (2, interval(0, 0, 0)),
            (2, interval(1, -30, 0)),
            (3, interval(0, 30, 0)),
            (3, interval(1, 0, 0)),
            (4, interval(i32::MAX, i32::MAX, i64::MAX)),
        ]);
        let time = |time_us, zone_s| Value::TimeTz(TimeTz { time_us, zone_s });
        check_values(&[
            (0, time(36_000_000_000, -7200)),
            (1, time(39_600_000_000, -7200)),
            (2, time(36_000_000_000, -3600)),
        ]);
    }

    #[test]
    fn documents() {
        check(
            TypeId::JSONB,
            &[
                &["[]"],
                &["null"],
                &["\"\""],
                &["\"a\""],
                &["1", "1.0"],
                &["2"],
                &["false"],
                &["true"],
                &["[null]"],
                &["[1]"],
                &["[[]]"],
                &["[{}]"],
                &["[1, 2]"],
                &["{}"],
                &["{\"a\": 1}"],
                &["{\"a\": []}"],
                &["{\"b\": 0}"],
                &["{\"a\": 1, \"cc\": 2}"],
                &["{\"c\": 2, \"bb\": 1}"],
            ],
        );
    }

    #[test]
    fn arrays() {
        check(
            TypeId::INT4_ARRAY,
            &[
                &["{}"],
                &["{1}"],
                &["[2:2]={1}"],
                &["{{1}}"],
                &["{1,2}"],
                &["{1,2,3,4}"],
                &["{{1,2,3,4}}"],
                &["{{1,2},{3,4}}"],
                &["{1,NULL}"],
                &["{2}"],
                &["{NULL}"],
            ],
        );
    }

    #[test]
    fn rows() {
        let row = |a: Option<i32>, b: &str| {
            let first = a.map_or(Value::Null, Value::Int4);
            let fields = vec![(TypeId::INT4, first), (TypeId::TEXT, Value::text(b))];
            Value::Record(Arc::new(fields.into()))
        };
        check_values(&[
            (0, row(Some(1), "a")),
            (1, row(Some(1), "b")),
            (2, row(Some(2), "")),
            (3, row(None, "")),
        ]);
    }
}
