//! BSON ↔ jsonb. Numbers of every width are JSON numbers, exactly; what JSON lacks is written as MongoDB's Extended JSON does:
//! `{"$oid": …}`, `{"$date": …}`, `{"$uuid": …}`, `{"$binary": …}`, and so it is taken.
//!
//! jsonb forgets widths and the order of fields, so a changed value is written over what was there: parts that are the same keep
//! their BSON, a number keeps the width of the one before it if that holds it, fields keep their order.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataman_node_protocol::NodeError;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Decimal128, Document, Uuid};
use serde_json::{Map, Value as Json};

/// Doubles below are written without an exponent where they are whole.
const WHOLE_MAX: f64 = 1e15;

/// Reads a value as jsonb.
///
/// # Errors
/// What in it PostgreSQL does not hold.
pub(super) fn load(bson: &Bson) -> Result<Value, String> {
    let json = to_json(bson)?.to_string();
    io::text::input(&json, TypeRef::plain(TypeId::JSONB), &Context::default())
        .map_err(|error| format!("no jsonb: {}", error.message()))
}

fn number(text: &str) -> Result<Json, String> {
    serde_json::Number::from_str(text)
        .map(Json::Number)
        .map_err(|_| format!("the number {text}, which JSON does not write"))
}

/// The JSON of a value.
fn to_json(bson: &Bson) -> Result<Json, String> {
    let extended =
        |name: &str, inner: Json| Json::Object(Map::from_iter([(name.to_owned(), inner)]));
    Ok(match bson {
        Bson::Null => Json::Null,
        Bson::Boolean(value) => Json::Bool(*value),
        Bson::Int32(value) => Json::from(*value),
        Bson::Int64(value) => Json::from(*value),
        Bson::Double(value) if !value.is_finite() => {
            let text = if value.is_nan() {
                "NaN"
            } else if *value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            extended("$numberDouble", Json::from(text))
        }
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < WHOLE_MAX => {
            number(&format!("{value}"))?
        }
        Bson::Double(value) => number(&format!("{value:?}"))?,
        Bson::Decimal128(value) => {
            let text = value.to_string();
            match text.bytes().any(|byte| byte.is_ascii_digit()) {
                true => number(&plain_number(&text))?,
                false => extended("$numberDecimal", Json::from(text)),
            }
        }
        Bson::String(text) if text.contains('\0') => {
            return Err("a string with a zero byte, which PostgreSQL does not hold".to_owned());
        }
        Bson::String(text) => Json::from(text.as_str()),
        Bson::Array(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Bson::Document(document) => {
            let mut map = Map::new();
            for (name, value) in document {
                if name.contains('\0') {
                    return Err("a field whose name has a zero byte".to_owned());
                }
                map.insert(name.clone(), to_json(value)?);
            }
            Json::Object(map)
        }
        Bson::ObjectId(id) => extended("$oid", Json::from(id.to_hex())),
        Bson::DateTime(date) => match date.try_to_rfc3339_string() {
            Ok(text) => extended("$date", Json::from(text)),
            Err(_) => {
                let millis = Json::from(date.timestamp_millis().to_string());
                extended("$date", extended("$numberLong", millis))
            }
        },
        Bson::Binary(binary) => match uuid_of(binary) {
            Some(uuid) => extended("$uuid", Json::from(uuid.to_string())),
            None => {
                let mut inner = Map::new();
                inner.insert("base64".to_owned(), Json::from(STANDARD.encode(&binary.bytes)));
                let subtype = format!("{:02x}", u8::from(binary.subtype));
                inner.insert("subType".to_owned(), Json::from(subtype));
                extended("$binary", Json::Object(inner))
            }
        },
        Bson::RegularExpression(regex) => {
            let mut inner = Map::new();
            inner.insert("pattern".to_owned(), Json::from(regex.pattern.to_string()));
            inner.insert("options".to_owned(), Json::from(regex.options.to_string()));
            extended("$regularExpression", Json::Object(inner))
        }
        Bson::Timestamp(stamp) => {
            let mut inner = Map::new();
            inner.insert("t".to_owned(), Json::from(stamp.time));
            inner.insert("i".to_owned(), Json::from(stamp.increment));
            extended("$timestamp", Json::Object(inner))
        }
        Bson::JavaScriptCode(code) => extended("$code", Json::from(code.as_str())),
        Bson::Symbol(text) => extended("$symbol", Json::from(text.as_str())),
        Bson::MinKey => extended("$minKey", Json::from(1)),
        Bson::MaxKey => extended("$maxKey", Json::from(1)),
        Bson::Undefined => extended("$undefined", Json::from(true)),
        Bson::JavaScriptCodeWithScope(_) | Bson::DbPointer(_) => {
            return Err("of a type that is no longer in use".to_owned());
        }
    })
}

/// Decimal128 writes `1E+3`, and `.5` never.
fn plain_number(text: &str) -> String {
    text.replace("E+", "E")
}

/// The UUID that a binary is.
pub(super) fn uuid_of(binary: &Binary) -> Option<Uuid> {
    let bytes: [u8; 16] = binary.bytes.as_slice().try_into().ok()?;
    (binary.subtype == BinarySubtype::Uuid).then(|| Uuid::from_bytes(bytes))
}

/// Writes a jsonb over what was there.
///
/// # Errors
/// `22023` for JSON's null, which MongoDB could not tell from NULL; `0A000` for names that MongoDB does not take, and
/// `22003` for a number that it does not hold.
pub(super) fn native(value: &Value, old: Option<&Bson>) -> Result<Bson, NodeError> {
    let json = parsed(value)?;
    if json.is_null() {
        return Err(NodeError::statement(
            "22023",
            "JSON null cannot be stored in a field of MongoDB, where it would be NULL",
        ));
    }
    over(&json, old)
}

fn parsed(value: &Value) -> Result<Json, NodeError> {
    let mut text = Vec::new();
    io::text::output(value, TypeId::JSONB, &Context::default(), &mut text);
    serde_json::from_slice(&text)
        .map_err(|error| NodeError::statement("XX000", format!("a jsonb cannot be read: {error}")))
}

/// Whether a value reads as this JSON.
fn is_same(json: &Json, old: &Bson) -> bool {
    load(old).ok().and_then(|value| parsed(&value).ok()).is_some_and(|found| found == *json)
}

fn over(json: &Json, old: Option<&Bson>) -> Result<Bson, NodeError> {
    if let Some(old) = old.filter(|old| is_same(json, old)) {
        return Ok(old.clone());
    }
    Ok(match json {
        Json::Null => Bson::Null,
        Json::Bool(value) => Bson::Boolean(*value),
        Json::String(text) => Bson::String(text.clone()),
        Json::Number(found) => number_over(&found.to_string(), old)?,
        Json::Array(items) => {
            let before = old.and_then(Bson::as_array);
            let items = items.iter().enumerate();
            let items = items.map(|(at, item)| over(item, before.and_then(|old| old.get(at))));
            Bson::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(map) => match extended(map)? {
            Some(bson) => bson,
            None => Bson::Document(document_over(map, old.and_then(Bson::as_document))?),
        },
    })
}

fn document_over(map: &Map<String, Json>, old: Option<&Document>) -> Result<Document, NodeError> {
    let mut document = Document::new();
    for (name, value) in old.into_iter().flatten() {
        if let Some(json) = map.get(name) {
            document.insert(name, over(json, Some(value))?);
        }
    }
    for (name, json) in map {
        if document.contains_key(name) {
            continue;
        }
        if name.starts_with('$') || name.contains('.') {
            return Err(NodeError::unsupported(format!(
                "a field of a MongoDB document cannot be named \"{name}\""
            )));
        }
        document.insert(name, over(json, None)?);
    }
    Ok(document)
}

/// A number in the width of the one that it takes the place of, or in the least that holds it.
fn number_over(text: &str, old: Option<&Bson>) -> Result<Bson, NodeError> {
    let int = || text.parse::<i32>().ok().map(Bson::Int32);
    let long = || text.parse::<i64>().ok().map(Bson::Int64);
    let decimal = || Decimal128::from_str(text).ok().map(Bson::Decimal128);
    let double = || {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        let same = |text: &str| {
            let numeric = TypeRef::plain(TypeId::NUMERIC);
            io::text::input(text, numeric, &Context::default()).ok()
        };
        let (wanted, found) = (same(text)?, same(&format!("{value:?}"))?);
        let is_same = dataman_pg::order::compare_nullable(&wanted, &found).is_eq();
        is_same.then_some(Bson::Double(value))
    };
    let kept = match old {
        Some(Bson::Int64(_)) => long(),
        Some(Bson::Double(_)) => double(),
        Some(Bson::Decimal128(_)) => decimal(),
        _ => None,
    };
    kept.or_else(int).or_else(long).or_else(double).or_else(decimal).ok_or_else(|| {
        NodeError::statement("22003", format!("no number of MongoDB holds {text} exactly"))
    })
}

/// What an object stands for that is Extended JSON.
fn extended(map: &Map<String, Json>) -> Result<Option<Bson>, NodeError> {
    let mut entries = map.iter();
    let (Some((name, inner)), None) = (entries.next(), entries.next()) else { return Ok(None) };
    if !name.starts_with('$') {
        return Ok(None);
    }
    let text = inner.as_str().unwrap_or_default();
    let found = match name.as_str() {
        "$oid" => ObjectId::parse_str(text).ok().map(Bson::ObjectId),
        "$date" => match inner.get("$numberLong").and_then(Json::as_str) {
            Some(millis) => millis.parse().ok().map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
            None => DateTime::parse_rfc3339_str(text).ok().map(Bson::DateTime),
        },
        "$uuid" => Uuid::parse_str(text).ok().map(Bson::from),
        "$numberInt" => text.parse().ok().map(Bson::Int32),
        "$numberLong" => text.parse().ok().map(Bson::Int64),
        "$numberDouble" => text.parse().ok().map(Bson::Double),
        "$numberDecimal" => Decimal128::from_str(text).ok().map(Bson::Decimal128),
        "$binary" => {
            let part = |name: &str| inner.get(name).and_then(Json::as_str);
            let subtype = part("subType").and_then(|text| u8::from_str_radix(text, 16).ok());
            let bytes = part("base64").and_then(|text| STANDARD.decode(text).ok());
            bytes.zip(subtype).map(|(bytes, subtype)| {
                Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes })
            })
        }
        _ => None,
    };
    found.map(Some).ok_or_else(|| {
        NodeError::unsupported(format!("\"{name}\" is no value that can be stored in MongoDB"))
    })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        io::text::output(value, TypeId::JSONB, &Context::default(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn jsonb(text: &str) -> Value {
        io::text::input(text, TypeRef::plain(TypeId::JSONB), &Context::default()).expect("jsonb")
    }

    #[test]
    fn reads_and_keeps() {
        let check = |bson: Bson, expected: &str| {
            let value = load(&bson).expect("reads");
            assert_eq!(text(&value), expected);
            assert_eq!(native(&value, Some(&bson)).expect("is kept"), bson);
        };
        let id = ObjectId::parse_str("65f0c0ffee65f0c0ffee65f0").expect("an id");
        check(
            Bson::Document(doc! { "b": 1, "a": [1_i64, 2.0, 2.5, Bson::Null], "e": {} }),
            r#"{"a": [1, 2, 2.5, null], "b": 1, "e": {}}"#,
        );
        check(
            Bson::Array(vec![id.into(), DateTime::from_millis(1500).into()]),
            r#"[{"$oid": "65f0c0ffee65f0c0ffee65f0"}, {"$date": "1970-01-01T00:00:01.5Z"}]"#,
        );
        check(Bson::Double(1e300), &format!("1{}", "0".repeat(300)));
        check(Bson::Decimal128(Decimal128::from_str("1.50").expect("a decimal")), "1.50");
        check(Bson::Double(f64::INFINITY), r#"{"$numberDouble": "Infinity"}"#);
        assert!(load(&Bson::String("a\0b".to_owned())).is_err());
    }

    #[test]
    fn writes_over() {
        let check = |old: Bson, new: &str, expected: Bson| {
            assert_eq!(native(&jsonb(new), Some(&old)).expect("is written"), expected, "{new}");
        };
        let date = DateTime::from_millis(0);
        check(
            Bson::Document(doc! { "z": 1_i64, "at": date, "n": 2.0, "gone": 1 }),
            r#"{"z": 2, "n": 3, "new": 4, "at": {"$date": "1970-01-01T00:00:00Z"}}"#,
            Bson::Document(doc! { "z": 2_i64, "at": date, "n": 3.0, "new": 4 }),
        );
        check(
            Bson::Array(vec![Bson::Int64(1), Bson::Int64(2)]),
            "[1, 3, 5000000000, 0.5]",
            Bson::Array(vec![
                Bson::Int64(1),
                Bson::Int64(3),
                Bson::Int64(5_000_000_000),
                Bson::Double(0.5),
            ]),
        );
        check(Bson::Null, r#"{"$uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}"#, {
            Uuid::parse_str("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").expect("a uuid").into()
        });
        let refused = |new: &str, sqlstate: &str| {
            let error = native(&jsonb(new), None).expect_err("is refused");
            assert_eq!(error.sqlstate, sqlstate, "{new}");
        };
        refused("null", "22023");
        refused(r#"{"a.b": 1}"#, "0A000");
        refused(r#"{"$where": 1}"#, "0A000");
        refused("1.2345678901234567890123456789012345678901234567890", "22003");
    }
}
