//! The aggregates that make documents: `json_agg`, `jsonb_agg`, `json_object_agg`, `jsonb_object_agg`.

use std::sync::Arc;

use super::Accumulator;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::json::build::{Lines, key_text, to_jsonb, write_json};
use crate::json::{Jsonb, escape_string};
use crate::types::TypeId;
use crate::value::Value;

/// The argument at a place, with its type.
fn typed<'a>(call: &CallContext<'_>, args: &'a [Value], place: usize) -> (&'a Value, TypeId) {
    let ty = call.arguments.get(place).copied().unwrap_or(TypeId::UNKNOWN);
    (args.get(place).unwrap_or(&Value::Null), ty)
}

fn check_key(args: &[Value]) -> Result<()> {
    if args.first().is_none_or(Value::is_null) {
        return Err(PgError::new("22023", "field name must not be null"));
    }
    Ok(())
}

fn closed(text: &str, end: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    let mut whole = String::with_capacity(text.len() + end.len());
    whole.push_str(text);
    whole.push_str(end);
    Value::Json(Arc::from(whole))
}

/// Appends what `write` makes; it is text.
fn append(text: &mut String, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let mut out = Vec::new();
    write(&mut out)?;
    text.push_str(crate::io::binary::utf8(&out)?);
    Ok(())
}

/// `json_agg`: the elements' text, and a new line before each array or row but the first.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    text: String,
}

impl Accumulator for JsonArray {
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let (value, ty) = typed(call, args, 0);
        if self.text.is_empty() {
            self.text.push('[');
        } else {
            self.text.push_str(", ");
            if matches!(value, Value::Array(_) | Value::Record(_)) {
                self.text.push_str("\n ");
            }
        }
        append(&mut self.text, |out| write_json(value, ty, call.context, Lines::One, out))
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(closed(&self.text, "]"))
    }

    fn held_bytes(&self) -> usize {
        self.text.capacity()
    }
}

/// `json_object_agg`: keys as they come, also twice.
#[derive(Debug, Default)]
pub(super) struct JsonObject {
    text: String,
}

impl Accumulator for JsonObject {
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()> {
        check_key(args)?;
        let ((key, key_type), (value, ty)) = (typed(call, args, 0), typed(call, args, 1));
        let key = key_text(key, key_type, call.context)?;
        self.text.push_str(if self.text.is_empty() { "{ " } else { ", " });
        append(&mut self.text, |out| {
            escape_string(&key, out);
            out.extend_from_slice(b" : ");
            write_json(value, ty, call.context, Lines::One, out)
        })
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(closed(&self.text, " }"))
    }

    fn held_bytes(&self) -> usize {
        self.text.capacity()
    }
}

/// `jsonb_agg`.
#[derive(Debug, Default)]
pub(super) struct JsonbArray {
    elements: Option<Vec<Jsonb>>,
    held: usize,
}

impl Accumulator for JsonbArray {
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let (value, ty) = typed(call, args, 0);
        let element = to_jsonb(value, ty, call.context)?;
        self.held += held_bytes(&element);
        self.elements.get_or_insert_default().push(element);
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        let elements = self.elements.clone();
        Ok(elements.map_or(Value::Null, |elements| Value::Jsonb(Arc::new(Jsonb::Array(elements)))))
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}

/// `jsonb_object_agg`: of equal keys the last counts.
#[derive(Debug, Default)]
pub(super) struct JsonbObject {
    members: Option<Vec<(Arc<str>, Jsonb)>>,
    held: usize,
}

impl Accumulator for JsonbObject {
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()> {
        check_key(args)?;
        let ((key, key_type), (value, ty)) = (typed(call, args, 0), typed(call, args, 1));
        let key = key_text(key, key_type, call.context)?;
        let value = to_jsonb(value, ty, call.context)?;
        self.held += key.len() + size_of::<Arc<str>>() + held_bytes(&value);
        self.members.get_or_insert_default().push((key, value));
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        let members = self.members.clone();
        Ok(members.map_or(Value::Null, |members| Value::Jsonb(Arc::new(Jsonb::object(members)))))
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}

/// About how many bytes a document holds.
fn held_bytes(document: &Jsonb) -> usize {
    size_of::<Jsonb>()
        + match document {
            Jsonb::Null | Jsonb::Bool(_) => 0,
            Jsonb::Number(_) => 16,
            Jsonb::String(text) => text.len(),
            Jsonb::Array(elements) => elements.iter().map(held_bytes).sum(),
            Jsonb::Object(members) => {
                members.iter().map(|(key, value)| key.len() + 16 + held_bytes(value)).sum()
            }
        }
}
