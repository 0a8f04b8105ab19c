//! JSON made of SQL values: `to_json`, `json_build_…`, `row_to_json` and their `jsonb` twins.

use std::sync::Arc;

use super::{Jsonb, escape_string, parse, write_jsonb};
use crate::arguments::{array, boolean, variadic};
use crate::context::{CallContext, Context, DateOutput, DateStyle};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::string::cast::{output_text, to_text};
use crate::types::TypeId;
use crate::value::{Array, Numeric, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("to_json", |call, args| json(&args[0], call.arguments[0], call.context, Lines::One)),
    entry("array_to_json", |call, args| {
        json(&args[0], call.arguments[0], call.context, Lines::One)
    }),
    entry("row_to_json", |call, args| json(&args[0], call.arguments[0], call.context, Lines::One)),
    entry("array_to_json_pretty", |call, args| {
        json(&args[0], call.arguments[0], call.context, Lines::of(boolean(args, 1)?))
    }),
    entry("row_to_json_pretty", |call, args| {
        json(&args[0], call.arguments[0], call.context, Lines::of(boolean(args, 1)?))
    }),
    entry("to_jsonb", |call, args| {
        let value = to_jsonb(&args[0], call.arguments[0], call.context)?;
        Ok(Value::Jsonb(Arc::new(value)))
    }),
    entry("json_build_array", |call, args| {
        let Some(values) = variadic(call, args, 0)? else { return Ok(Value::Null) };
        let mut out = vec![b'['];
        for (index, (ty, value)) in values.into_iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            write_json(value, ty, call.context, Lines::One, &mut out)?;
        }
        out.push(b']');
        finish(out)
    }),
    entry("json_build_array_noargs", |_, _| Ok(Value::Json(Arc::from("[]")))),
    entry("json_build_object", json_build_object),
    entry("json_build_object_noargs", |_, _| Ok(Value::Json(Arc::from("{}")))),
    entry("jsonb_build_array", |call, args| {
        let Some(values) = variadic(call, args, 0)? else { return Ok(Value::Null) };
        let elements = values.into_iter().map(|(ty, value)| to_jsonb(value, ty, call.context));
        Ok(Value::Jsonb(Arc::new(Jsonb::Array(elements.collect::<Result<_>>()?))))
    }),
    entry("jsonb_build_array_noargs", |_, _| Ok(Value::Jsonb(Arc::new(Jsonb::Array(Vec::new()))))),
    entry("jsonb_build_object", jsonb_build_object),
    entry("jsonb_build_object_noargs", |_, _| {
        Ok(Value::Jsonb(Arc::new(Jsonb::Object(Vec::new()))))
    }),
    entry("json_object", |_, args| {
        let pairs = one_array(array(args, 0)?)?;
        json_of_pairs(&pairs)
    }),
    entry("json_object_two_arg", |_, args| {
        let pairs = two_arrays(array(args, 0)?, array(args, 1)?)?;
        json_of_pairs(&pairs)
    }),
    entry("jsonb_object", |_, args| {
        let pairs = one_array(array(args, 0)?)?;
        Ok(jsonb_of_pairs(pairs))
    }),
    entry("jsonb_object_two_arg", |_, args| {
        let pairs = two_arrays(array(args, 0)?, array(args, 1)?)?;
        Ok(jsonb_of_pairs(pairs))
    }),
];

/// Whether a line is broken between the outermost elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

impl Lines {
    fn of(pretty: bool) -> Self {
        if pretty { Self::Many } else { Self::One }
    }
}

fn finish(out: Vec<u8>) -> Result<Value> {
    crate::io::binary::utf8(&out).map(|text| Value::Json(Arc::from(text)))
}

fn json(value: &Value, ty: TypeId, context: &Context, lines: Lines) -> Result<Value> {
    let mut out = Vec::new();
    write_json(value, ty, context, lines, &mut out)?;
    finish(out)
}

/// What a value is in JSON, decided by its type.
enum Kind {
    Null,
    Bool(bool),
    /// A number's text.
    Number(String),
    String(Arc<str>),
}

/// Sorts out the types that are neither JSON, nor arrays, nor rows.
fn scalar(value: &Value, ty: TypeId, context: &Context) -> Result<Kind> {
    Ok(match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(*value),
        Value::Int2(_)
        | Value::Int4(_)
        | Value::Int8(_)
        | Value::Float4(_)
        | Value::Float8(_)
        | Value::Numeric(_) => {
            let text = output_text(value, ty, context)?;
            // NaN and the infinities are no JSON numbers.
            match text.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit()) {
                true => Kind::Number(text.to_string()),
                false => Kind::String(text),
            }
        }
        Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
            Kind::String(Arc::from(xml_date(value, ty, context)?))
        }
        _ => Kind::String(output_text(value, ty, context)?),
    })
}

/// Dates and timestamps as XML Schema writes them, whatever `DateStyle` says: `2020-01-01T08:00:00.5+00:00`.
fn xml_date(value: &Value, ty: TypeId, context: &Context) -> Result<String> {
    let context = Context {
        date_style: DateStyle { output: DateOutput::Iso, ..context.date_style },
        ..context.clone()
    };
    let text = output_text(value, ty, &context)?;
    let (body, era) = match text.strip_suffix(" BC") {
        Some(body) => (body, " BC"),
        None => (&*text, ""),
    };
    let mut body = body.replacen(' ', "T", 1);
    if matches!(value, Value::TimestampTz(_))
        && let Some(sign) = body.rfind(['+', '-'])
        && body.len() - sign == 3
        && body.contains('T')
    {
        body.push_str(":00");
    }
    body.push_str(era);
    Ok(body)
}

/// Appends a value as `to_json` gives it.
///
/// # Errors
/// What the value's output raises.
pub(crate) fn write_json(
    value: &Value,
    ty: TypeId,
    context: &Context,
    lines: Lines,
    out: &mut Vec<u8>,
) -> Result<()> {
    let separator: &[u8] = match lines {
        Lines::One => b",",
        Lines::Many => b",\n ",
    };
    match value {
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Jsonb(value) => write_jsonb(value, out),
        Value::Array(array) => {
            let mut elements = array.elements.iter();
            write_dimension(array, 0, &mut elements, separator, context, out)?;
        }
        Value::Record(fields) => {
            out.push(b'{');
            for (index, (ty, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(separator);
                }
                escape_string(&fields.name(index), out);
                out.push(b':');
                write_json(field, *ty, context, Lines::One, out)?;
            }
            out.push(b'}');
        }
        value => match scalar(value, ty, context)? {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Bool(true) => out.extend_from_slice(b"true"),
            Kind::Bool(false) => out.extend_from_slice(b"false"),
            Kind::Number(text) => out.extend_from_slice(text.as_bytes()),
            Kind::String(text) => escape_string(&text, out),
        },
    }
    Ok(())
}

fn write_dimension(
    array: &Array,
    depth: usize,
    elements: &mut std::slice::Iter<'_, Value>,
    separator: &[u8],
    context: &Context,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Some(dimension) = array.dimensions.get(depth) else {
        if depth == 0 {
            out.extend_from_slice(b"[]");
            return Ok(());
        }
        let element = elements.next().unwrap_or(&Value::Null);
        return write_json(element, array.element_type, context, Lines::One, out);
    };
    out.push(b'[');
    for index in 0..dimension.length {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        write_dimension(array, depth + 1, elements, b",", context, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A value as `to_jsonb` gives it.
///
/// # Errors
/// What the value's output raises, and what reading `json` raises.
pub(crate) fn to_jsonb(value: &Value, ty: TypeId, context: &Context) -> Result<Jsonb> {
    Ok(match value {
        Value::Json(text) => parse::jsonb(text)?,
        Value::Jsonb(value) => Jsonb::clone(value),
        Value::Array(array) => jsonb_dimension(array, 0, &mut array.elements.iter(), context)?,
        Value::Record(fields) => {
            let members = fields.iter().enumerate().map(|(index, (ty, field))| {
                Ok((fields.name(index), to_jsonb(field, *ty, context)?))
            });
            Jsonb::object(members.collect::<Result<_>>()?)
        }
        value => match scalar(value, ty, context)? {
            Kind::Null => Jsonb::Null,
            Kind::Bool(value) => Jsonb::Bool(value),
            Kind::Number(text) => Jsonb::Number(Numeric::parse(&text)?),
            Kind::String(text) => Jsonb::String(text),
        },
    })
}

fn jsonb_dimension(
    array: &Array,
    depth: usize,
    elements: &mut std::slice::Iter<'_, Value>,
    context: &Context,
) -> Result<Jsonb> {
    let Some(dimension) = array.dimensions.get(depth) else {
        return match depth {
            0 => Ok(Jsonb::Array(Vec::new())),
            _ => to_jsonb(elements.next().unwrap_or(&Value::Null), array.element_type, context),
        };
    };
    let parts = (0..dimension.length).map(|_| jsonb_dimension(array, depth + 1, elements, context));
    Ok(Jsonb::Array(parts.collect::<Result<_>>()?))
}

fn odd_arguments(function: &str) -> PgError {
    PgError::new("22023", "argument list must have even number of elements").with_hint(format!(
        "The arguments of {function}() must consist of alternating keys and values."
    ))
}

/// A key's text; keys of other types are shown as text.
///
/// # Errors
/// `22023` for arrays, rows and JSON.
pub(crate) fn key_text(value: &Value, ty: TypeId, context: &Context) -> Result<Arc<str>> {
    match value {
        Value::Array(_) | Value::Record(_) | Value::Json(_) | Value::Jsonb(_) => {
            Err(PgError::new("22023", "key value must be scalar, not array, composite, or json"))
        }
        Value::Bool(_) => to_text(value, ty, context),
        Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
            xml_date(value, ty, context).map(Arc::from)
        }
        value => output_text(value, ty, context),
    }
}

fn json_build_object(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let Some(values) = variadic(call, args, 0)? else { return Ok(Value::Null) };
    if values.len() % 2 != 0 {
        return Err(odd_arguments("json_build_object"));
    }
    let mut out = vec![b'{'];
    for (index, pair) in values.chunks(2).enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        let ((key_type, key), (ty, value)) = (pair[0], pair[1]);
        if key.is_null() {
            let message = format!("argument {} cannot be null", index * 2 + 1);
            return Err(PgError::new("22023", message).with_hint("Object keys should be text."));
        }
        escape_string(&key_text(key, key_type, call.context)?, &mut out);
        out.extend_from_slice(b" : ");
        write_json(value, ty, call.context, Lines::One, &mut out)?;
    }
    out.push(b'}');
    finish(out)
}

fn jsonb_build_object(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let Some(values) = variadic(call, args, 0)? else { return Ok(Value::Null) };
    if values.len() % 2 != 0 {
        return Err(odd_arguments("jsonb_build_object"));
    }
    let mut members = Vec::with_capacity(values.len() / 2);
    for (index, pair) in values.chunks(2).enumerate() {
        let ((key_type, key), (ty, value)) = (pair[0], pair[1]);
        if key.is_null() {
            let message = format!("argument {}: key must not be null", index * 2 + 1);
            return Err(PgError::new("22023", message));
        }
        let key = key_text(key, key_type, call.context)?;
        members.push((key, to_jsonb(value, ty, call.context)?));
    }
    Ok(Value::Jsonb(Arc::new(Jsonb::object(members))))
}

type Pair = (Arc<str>, Option<Arc<str>>);

fn pair(key: &Value, value: &Value) -> Result<Pair> {
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let key =
        text(key).ok_or_else(|| PgError::new("22004", "null value not allowed for object key"))?;
    Ok((key, text(value)))
}

/// Keys and values in turn, or in two columns.
fn one_array(array: &Array) -> Result<Vec<Pair>> {
    match array.dimensions.as_slice() {
        [] => {}
        [all] if all.length % 2 == 0 => {}
        [_] => return Err(PgError::new("2202E", "array must have even number of elements")),
        [_, columns] if columns.length == 2 => {}
        [_, _] => return Err(PgError::new("2202E", "array must have two columns")),
        _ => return Err(PgError::new("2202E", "wrong number of array subscripts")),
    }
    array.elements.chunks(2).map(|both| pair(&both[0], &both[1])).collect()
}

fn two_arrays(keys: &Array, values: &Array) -> Result<Vec<Pair>> {
    if keys.dimensions.len() > 1 || keys.dimensions.len() != values.dimensions.len() {
        return Err(PgError::new("2202E", "wrong number of array subscripts"));
    }
    if keys.elements.len() != values.elements.len() {
        return Err(PgError::new("2202E", "mismatched array dimensions"));
    }
    keys.elements.iter().zip(&values.elements).map(|(key, value)| pair(key, value)).collect()
}

fn json_of_pairs(pairs: &[Pair]) -> Result<Value> {
    let mut out = vec![b'{'];
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        escape_string(key, &mut out);
        out.extend_from_slice(b" : ");
        match value {
            Some(value) => escape_string(value, &mut out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    finish(out)
}

fn jsonb_of_pairs(pairs: Vec<Pair>) -> Value {
    let members =
        pairs.into_iter().map(|(key, value)| (key, value.map_or(Jsonb::Null, Jsonb::String)));
    Value::Jsonb(Arc::new(Jsonb::object(members.collect())))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn built() {
        check("json_build_object", &["t:a", "i:1", "b:true", "n"], "{\"a\" : 1, \"true\" : null}");
        check(
            "json_build_array",
            &["i:1", "t:x", "T:{a,NULL}", "j:{\"a\":1}"],
            "[1, \"x\", [\"a\",null], {\"a\": 1}]",
        );
        check(
            "jsonb_build_object",
            &["t:b", "i:1", "t:a", "T:{{x},{y}}"],
            "{\"a\": [[\"x\"], [\"y\"]], \"b\": 1}",
        );
        check(
            "json_build_object",
            &["t:a"],
            "ERROR 22023: argument list must have even number of elements",
        );
        check("json_build_object", &["n", "i:1"], "ERROR 22023: argument 1 cannot be null");
        check(
            "jsonb_build_object",
            &["T:{a}", "i:1"],
            "ERROR 22023: key value must be scalar, not array, composite, or json",
        );
        check("json_object", &["T:{a,1,b,NULL}"], "{\"a\" : \"1\", \"b\" : null}");
        check("json_object", &["T:{{a,b,c}}"], "ERROR 2202E: array must have two columns");
        check("array_to_json_pretty", &["I:{{1,2},{3,4}}", "b:true"], "[[1,2],\n [3,4]]");
        check("to_json", &["t:a\"b"], "\"a\\\"b\"");
    }
}
