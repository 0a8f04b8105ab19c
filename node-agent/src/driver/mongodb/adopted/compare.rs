//! A constant among the values that a field can hold: most constants are one of them, some lie between two, and then `<` becomes
//! `<=` with the one below. So MongoDB compares by the field's own BSON, and its indexes serve.

use std::str::FromStr;

use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use dataman_pg::{Context, io};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Decimal128};

use super::Native;
use super::value::EPOCH_MS;

/// Where a constant lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Point {
    /// It is this value.
    At(Bson),
    /// It lies above this value, and below the next one.
    Over(Bson),
    /// It lies below this value, and above the one before.
    Under(Bson),
    /// It lies above all values.
    Above,
    /// It lies below all values.
    Below,
}

/// A comparison of a field that is not NULL with a constant, as the field's values decide it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// By this operator of SQL's with this value.
    Compare(&'static str, Bson),
    /// It holds for all.
    Always,
    /// It holds for none.
    Never,
}

/// What a comparison comes to.
pub(super) fn test(operator: &'static str, point: Point) -> Test {
    let held = |holds: bool| if holds { Test::Always } else { Test::Never };
    match (point, operator) {
        (Point::At(value), operator) => Test::Compare(operator, value),
        (Point::Over(value), "<" | "<=") => Test::Compare("<=", value),
        (Point::Over(value), ">" | ">=") => Test::Compare(">", value),
        (Point::Under(value), "<" | "<=") => Test::Compare("<", value),
        (Point::Under(value), ">" | ">=") => Test::Compare(">=", value),
        (Point::Above, operator) => held(matches!(operator, "<" | "<=" | "<>")),
        (Point::Below, operator) => held(matches!(operator, ">" | ">=" | "<>")),
        (_, operator) => held(operator == "<>"),
    }
}

/// Where a constant that is not NULL lies among a field's values; none for a type that is not compared with them.
pub(super) fn point(value: &Value, native: Native) -> Option<Point> {
    Some(match (native, value) {
        (Native::Bool, Value::Bool(value)) => Point::At(Bson::Boolean(*value)),
        (Native::Integer, Value::Int2(value)) => Point::At(Bson::Int64(i64::from(*value))),
        (Native::Integer, Value::Int4(value)) => Point::At(Bson::Int64(i64::from(*value))),
        (Native::Integer, Value::Int8(value)) => Point::At(Bson::Int64(*value)),
        (Native::Double, Value::Float4(value)) => Point::At(Bson::Double(f64::from(*value))),
        (Native::Double, Value::Float8(value)) => Point::At(Bson::Double(*value)),
        (Native::Decimal, Value::Numeric(_)) => {
            let mut text = Vec::new();
            io::text::output(value, TypeId::NUMERIC, &Context::default(), &mut text);
            decimal(&String::from_utf8_lossy(&text))
        }
        (Native::Text, Value::Text(text)) => Point::At(Bson::String(text.as_ref().to_owned())),
        (Native::ObjectId, Value::Text(text)) => object_id(text),
        (Native::Date, Value::TimestampTz(i64::MAX)) => Point::Above,
        (Native::Date, Value::TimestampTz(i64::MIN)) => Point::Below,
        (Native::Date, Value::TimestampTz(micros)) => {
            let date = DateTime::from_millis(micros.div_euclid(1000) + EPOCH_MS);
            match micros.rem_euclid(1000) {
                0 => Point::At(Bson::DateTime(date)),
                _ => Point::Over(Bson::DateTime(date)),
            }
        }
        (Native::Uuid, Value::Uuid(bytes)) => {
            Point::At(Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: bytes.to_vec() }))
        }
        _ => return None,
    })
}

/// Where a text lies among those of 24 lower-case hexadecimal digits.
fn object_id(text: &str) -> Point {
    let filled = |digits: &[u8], rest: char| {
        let mut whole: String = digits.iter().map(|digit| char::from(*digit)).collect();
        whole.extend(std::iter::repeat_n(rest, 24 - digits.len()));
        ObjectId::parse_str(&whole).map(Bson::ObjectId).unwrap_or(Bson::Null)
    };
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate().take(24) {
        let before = &bytes[..at];
        match byte {
            b'0'..=b'9' | b'a'..=b'f' => {}
            // Below the least digit: below all that begin like this.
            ..b'0' => return Point::Under(filled(before, '0')),
            // Between 9 and a.
            b':'..b'a' => {
                let next = [before, b"a"].concat();
                return Point::Under(filled(&next, '0'));
            }
            _ => return Point::Over(filled(before, 'f')),
        }
    }
    match bytes.len() {
        24 => Point::At(filled(bytes, '0')),
        0..24 => Point::Under(filled(bytes, '0')),
        _ => Point::Over(filled(&bytes[..24], '0')),
    }
}

/// Digits of a decimal128.
const DIGITS: usize = 34;

/// The exponents of a decimal128's last digit.
const EXPONENTS: (i64, i64) = (-6176, 6111);

/// Where a numeric in PostgreSQL's text form lies among decimals.
fn decimal(text: &str) -> Point {
    let of = |text: &str| Decimal128::from_str(text).map(Bson::Decimal128).unwrap_or(Bson::Null);
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Point::At(of(text));
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Point::At(of("0"));
    }
    let cut_zeros = all.len() - all.trim_end_matches('0').len();
    let signed = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    // The exponent of the last significant digit.
    let exponent = signed(cut_zeros) - signed(fraction.len());
    let length = signed(significant.len());
    let sign = if is_negative { "-" } else { "" };
    // A gap lies away from zero, seen from what is left when digits are cut.
    let gap = |value: Bson| if is_negative { Point::Under(value) } else { Point::Over(value) };
    let kept = signed(DIGITS).min(length).min(length + exponent - EXPONENTS.0);
    if kept <= 0 {
        return gap(of("0"));
    }
    let last = exponent + length - kept;
    let kept = usize::try_from(kept).unwrap_or(DIGITS);
    let mut digits = significant[..kept].to_owned();
    let is_cut = kept < significant.len();
    let mut last = last;
    while last > EXPONENTS.1 && digits.len() < DIGITS {
        digits.push('0');
        last -= 1;
    }
    if last > EXPONENTS.1 {
        return gap(of(&format!("{sign}{}E{}", "9".repeat(DIGITS), EXPONENTS.1)));
    }
    let value = of(&format!("{sign}{digits}E{last}"));
    if is_cut { gap(value) } else { Point::At(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points() {
        let check = |value: Value, native: Native, expected: &str| {
            let found = match point(&value, native).expect("is compared") {
                Point::At(bson) => format!("= {bson}"),
                Point::Over(bson) => format!("> {bson}"),
                Point::Under(bson) => format!("< {bson}"),
                Point::Above => "above".to_owned(),
                Point::Below => "below".to_owned(),
            };
            assert_eq!(found, expected, "{value:?}");
        };
        let id = |digits: &str| format!("ObjectId(\"{digits}\")");
        for (text, expected) in [
            ("65f0c0ffee65f0c0ffee65f0", format!("= {}", id("65f0c0ffee65f0c0ffee65f0"))),
            ("65F0c0ffee65f0c0ffee65f0", format!("< {}", id("65a000000000000000000000"))),
            ("65f", format!("< {}", id("65f000000000000000000000"))),
            ("", format!("< {}", id("000000000000000000000000"))),
            ("65f0c0ffee65f0c0ffee65f0x", format!("> {}", id("65f0c0ffee65f0c0ffee65f0"))),
            ("6g", format!("> {}", id("6fffffffffffffffffffffff"))),
            ("6-", format!("< {}", id("600000000000000000000000"))),
            ("é", format!("> {}", id("ffffffffffffffffffffffff"))),
        ] {
            check(Value::text(text), Native::ObjectId, &expected);
        }
        let numeric = |text: &str| {
            let ty = dataman_pg::types::TypeRef::plain(TypeId::NUMERIC);
            io::text::input(text, ty, &Context::default()).expect("a numeric")
        };
        for (text, expected) in [
            ("1.50", "= 1.5"),
            ("-0.00", "= 0"),
            ("120", "= 1.2E+2"),
            ("NaN", "= NaN"),
            ("-Infinity", "= -Infinity"),
            ("1.2345678901234567890123456789012345", "> 1.234567890123456789012345678901234"),
            ("-1.2345678901234567890123456789012345", "< -1.234567890123456789012345678901234"),
            ("1e6144", "= 1.000000000000000000000000000000000E+6144"),
            ("1e6145", "> 9.999999999999999999999999999999999E+6144"),
            ("-1e-6177", "< 0"),
        ] {
            check(numeric(text), Native::Decimal, expected);
        }
        check(Value::TimestampTz(i64::MAX), Native::Date, "above");
        let date = |millis: i64| Bson::DateTime(DateTime::from_millis(millis));
        check(Value::TimestampTz(-1), Native::Date, &format!("> {}", date(EPOCH_MS - 1)));
        check(Value::TimestampTz(1000), Native::Date, &format!("= {}", date(EPOCH_MS + 1)));
    }

    #[test]
    fn comparisons() {
        let check =
            |operator, point: Point, expected: Test| assert_eq!(test(operator, point), expected);
        let five = || Bson::Int64(5);
        check("<", Point::At(five()), Test::Compare("<", five()));
        check("<", Point::Over(five()), Test::Compare("<=", five()));
        check(">=", Point::Over(five()), Test::Compare(">", five()));
        check("<=", Point::Under(five()), Test::Compare("<", five()));
        check(">", Point::Under(five()), Test::Compare(">=", five()));
        check("=", Point::Over(five()), Test::Never);
        check("<>", Point::Under(five()), Test::Always);
        check("<", Point::Above, Test::Always);
        check("=", Point::Below, Test::Never);
    }
}
