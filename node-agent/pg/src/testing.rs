//! How the families' unit tests call an implementation.

use crate::context::{CallContext, Context};
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// Calls the implementation of `source` and compares its answer in text form (`ERROR 22P02: …` for an error).
/// Arguments are written with a letter for their type: `t:` text, `i:` integer, `l:` bigint, `x:` bytea, `j:` jsonb,
/// `J:` json, `b:` boolean, `T:` text array, `I:` integer array, `c:` char(n), `n` NULL of type text.
pub(crate) fn check(source: &str, args: &[&str], expected: &str) {
    let context = Context::default();
    let typed: Vec<(TypeId, Value)> = args.iter().map(|arg| argument(arg, &context)).collect();
    let types: Vec<TypeId> = typed.iter().map(|(ty, _)| *ty).collect();
    let values: Vec<Value> = typed.into_iter().map(|(_, value)| value).collect();
    let call =
        CallContext { context: &context, arguments: &types, result: TypeId::TEXT, variadic: false };
    let implementation = crate::registry::find(source).expect("the function is registered");
    let answer = match implementation(&call, &values) {
        Ok(Value::Null) => "NULL".to_owned(),
        Ok(value) => show(&value, &context),
        Err(error) => format!("ERROR {}: {}", error.sqlstate(), error.message()),
    };
    assert_eq!(answer, expected, "{source} {args:?}");
}

fn argument(written: &str, context: &Context) -> (TypeId, Value) {
    let Some((letter, text)) = written.split_once(':') else {
        return (TypeId::TEXT, Value::Null);
    };
    let integer = || text.parse::<i64>().expect("a number");
    let read_array = |element| {
        crate::array::input(text, TypeRef::plain(element), context).expect("an array literal")
    };
    match letter {
        "t" => (TypeId::TEXT, Value::text(text)),
        "c" => (TypeId::BPCHAR, Value::Bpchar(text.into())),
        "i" => (TypeId::INT4, Value::Int4(i32::try_from(integer()).expect("an int4"))),
        "l" => (TypeId::INT8, Value::Int8(integer())),
        "b" => (TypeId::BOOL, Value::Bool(text == "true")),
        "x" => (TypeId::BYTEA, Value::Bytea(hex::decode(text).expect("hex").into())),
        "j" => (TypeId::JSONB, crate::json::jsonb_input(text).expect("jsonb")),
        "J" => (TypeId::JSON, Value::Json(text.into())),
        "T" => (TypeId::TEXT_ARRAY, read_array(TypeId::TEXT)),
        "I" => (TypeId::INT4_ARRAY, read_array(TypeId::INT4)),
        _ => panic!("no type letter {letter}"),
    }
}

fn show(value: &Value, context: &Context) -> String {
    let mut out = Vec::new();
    match value {
        Value::Text(text) | Value::Json(text) | Value::Bpchar(text) => return text.to_string(),
        Value::Bytea(bytes) => return hex::encode(bytes),
        Value::Jsonb(value) => return value.to_text(),
        Value::Array(array) => crate::array::output(array, context, &mut out),
        Value::Bool(value) => return value.to_string(),
        Value::Int4(value) => return value.to_string(),
        Value::Int8(value) => return value.to_string(),
        Value::Numeric(value) => return value.to_string(),
        Value::Date(days) => return crate::datetime::io::output_date(*days, context.date_style),
        Value::TimestampTz(instant) => {
            return crate::datetime::io::output_timestamptz(*instant, context);
        }
        other => return format!("{other:?}"),
    }
    String::from_utf8(out).expect("text")
}
