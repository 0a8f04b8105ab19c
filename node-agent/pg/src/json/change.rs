//! Changing `jsonb`: `||`, `-`, `#-`, `jsonb_set`, `jsonb_insert`, `jsonb_strip_nulls`, `jsonb_pretty`, and its casts.

use std::sync::Arc;

use super::access::{keys, path_index};
use super::{Jsonb, compare_keys, escape_string, write_jsonb};
use crate::arguments::{array, boolean, int4, is_null, jsonb, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{self, Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("jsonb_concat", |_, args| {
        Ok(Value::Jsonb(Arc::new(concat(jsonb(args, 0)?, jsonb(args, 1)?))))
    }),
    entry("jsonb_delete", |_, args| delete_keys(jsonb(args, 0)?, &[text(args, 1)?])),
    entry("jsonb_delete_array", |_, args| {
        let wanted: Vec<&str> = keys(vector(args, 1)?).collect();
        delete_keys(jsonb(args, 0)?, &wanted)
    }),
    entry("jsonb_delete_idx", delete_index),
    entry("jsonb_delete_path", |_, args| change(args, Operation::Delete, "delete path in")),
    entry("jsonb_set", |_, args| set(args)),
    entry("jsonb_set_lax", set_lax),
    entry("jsonb_insert", |_, args| {
        let operation = match boolean(args, 3)? {
            true => Operation::InsertAfter,
            false => Operation::InsertBefore,
        };
        change(args, operation, "set path in")
    }),
    entry("jsonb_strip_nulls", |_, args| {
        Ok(Value::Jsonb(Arc::new(without_nulls(jsonb(args, 0)?))))
    }),
    entry("jsonb_pretty", |_, args| {
        let mut out = Vec::new();
        write_pretty(jsonb(args, 0)?, 0, &mut out);
        Ok(Value::text(String::from_utf8(out).expect("json is written from strings")))
    }),
    entry("jsonb_bool", |_, args| match jsonb(args, 0)? {
        Jsonb::Bool(value) => Ok(Value::Bool(*value)),
        other => Err(no_cast(other, "boolean")),
    }),
    entry("jsonb_numeric", |_, args| match jsonb(args, 0)? {
        Jsonb::Number(number) => Ok(Value::Numeric(number.clone())),
        other => Err(no_cast(other, "numeric")),
    }),
    entry("jsonb_int2", |call, args| number_as(call, args, "numeric_int2", "smallint")),
    entry("jsonb_int4", |call, args| number_as(call, args, "numeric_int4", "integer")),
    entry("jsonb_int8", |call, args| number_as(call, args, "numeric_int8", "bigint")),
    entry("jsonb_float4", |call, args| number_as(call, args, "numeric_float4", "real")),
    entry("jsonb_float8", |call, args| number_as(call, args, "numeric_float8", "double precision")),
];

fn no_cast(value: &Jsonb, target: &str) -> PgError {
    let kind = match value {
        Jsonb::Null => "null",
        Jsonb::Bool(_) => "boolean",
        Jsonb::Number(_) => "numeric",
        Jsonb::String(_) => "string",
        Jsonb::Array(_) => "array",
        Jsonb::Object(_) => "object",
    };
    PgError::new("22023", format!("cannot cast jsonb {kind} to type {target}"))
}

fn number_as(call: &CallContext<'_>, args: &[Value], cast: &str, target: &str) -> Result<Value> {
    let Jsonb::Number(number) = jsonb(args, 0)? else {
        return Err(no_cast(jsonb(args, 0)?, target));
    };
    let cast = registry::find(cast)
        .ok_or_else(|| PgError::unsupported(format!("the cast {cast} is not computed here")))?;
    let call = CallContext { arguments: &[TypeId::NUMERIC], ..*call };
    cast(&call, &[Value::Numeric(number.clone())])
}

fn is_scalar(value: &Jsonb) -> bool {
    !matches!(value, Jsonb::Array(_) | Jsonb::Object(_))
}

fn in_scalar(action: &str) -> PgError {
    PgError::new("22023", format!("cannot {action} scalar"))
}

/// An array argument of one dimension at most.
fn vector(args: &[Value], index: usize) -> Result<&Array> {
    let array = array(args, index)?;
    match array.dimensions.len() {
        0 | 1 => Ok(array),
        _ => Err(PgError::new("2202E", "wrong number of array subscripts")),
    }
}

/// Two objects become one, the right one's members going before; anything else is joined as arrays.
fn concat(left: &Jsonb, right: &Jsonb) -> Jsonb {
    if let (Jsonb::Object(left), Jsonb::Object(right)) = (left, right) {
        return Jsonb::object(left.iter().chain(right).cloned().collect());
    }
    let elements = |value: &Jsonb| match value {
        Jsonb::Array(elements) => elements.clone(),
        other => vec![other.clone()],
    };
    let mut joined = elements(left);
    joined.extend(elements(right));
    Jsonb::Array(joined)
}

fn delete_keys(value: &Jsonb, wanted: &[&str]) -> Result<Value> {
    let is_wanted = |key: &str| wanted.contains(&key);
    let changed = match value {
        Jsonb::Object(members) => {
            Jsonb::Object(members.iter().filter(|(key, _)| !is_wanted(key)).cloned().collect())
        }
        Jsonb::Array(elements) => {
            let stays =
                |element: &&Jsonb| !matches!(element, Jsonb::String(text) if is_wanted(text));
            Jsonb::Array(elements.iter().filter(stays).cloned().collect())
        }
        _ => return Err(in_scalar("delete from")),
    };
    Ok(Value::Jsonb(changed.into()))
}

fn delete_index(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let elements = match jsonb(args, 0)? {
        Jsonb::Array(elements) => elements,
        Jsonb::Object(_) => {
            return Err(PgError::new("22023", "cannot delete from object using integer index"));
        }
        _ => return Err(in_scalar("delete from")),
    };
    match super::access::place(int4(args, 1)?, elements.len()) {
        Some(place) if place < elements.len() => {
            let mut kept = elements.clone();
            kept.remove(place);
            Ok(Value::Jsonb(Arc::new(Jsonb::Array(kept))))
        }
        _ => Ok(args[0].clone()),
    }
}

/// What happens at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Delete,
    /// Replaces what is there.
    Replace,
    /// Replaces what is there, or adds it.
    Create,
    InsertBefore,
    InsertAfter,
}

impl Operation {
    fn adds(self) -> bool {
        matches!(self, Self::Create | Self::InsertBefore | Self::InsertAfter)
    }
}

fn set(args: &[Value]) -> Result<Value> {
    let operation = if boolean(args, 3)? { Operation::Create } else { Operation::Replace };
    change(args, operation, "set path in")
}

fn set_lax(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) || is_null(args, 1) || is_null(args, 3) {
        return Ok(Value::Null);
    }
    let unknown = || {
        PgError::new(
            "22023",
            "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
        )
    };
    if is_null(args, 4) {
        return Err(unknown());
    }
    if !is_null(args, 2) {
        return set(&args[..4]);
    }
    match text(args, 4)? {
        "raise_exception" => Err(PgError::new("22004", "JSON value must not be null")
            .with_detail("Exception was raised because null_value_treatment is \"raise_exception\".")
            .with_hint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.")),
        "use_json_null" => {
            let null = Value::Jsonb(Arc::new(Jsonb::Null));
            set(&[args[0].clone(), args[1].clone(), null, args[3].clone()])
        }
        "delete_key" => change(&args[..2], Operation::Delete, "delete path in"),
        "return_target" => Ok(args[0].clone()),
        _ => Err(unknown()),
    }
}

fn change(args: &[Value], operation: Operation, action: &str) -> Result<Value> {
    let value = jsonb(args, 0)?;
    let path = vector(args, 1)?;
    if is_scalar(value) {
        return Err(in_scalar(action));
    }
    let is_empty = match value {
        Jsonb::Array(elements) => elements.is_empty(),
        Jsonb::Object(members) => members.is_empty(),
        _ => false,
    };
    if path.elements.is_empty() || (is_empty && !operation.adds()) {
        return Ok(args[0].clone());
    }
    let new = match operation {
        Operation::Delete => &Jsonb::Null,
        _ => jsonb(args, 2)?,
    };
    let path = Path { elements: &path.elements, operation, new };
    Ok(Value::Jsonb(Arc::new(path.apply(value, 0)?)))
}

struct Path<'a> {
    elements: &'a [Value],
    operation: Operation,
    new: &'a Jsonb,
}

impl Path<'_> {
    fn apply(&self, value: &Jsonb, level: usize) -> Result<Jsonb> {
        let step = match &self.elements[level] {
            Value::Text(step) => &**step,
            _ => {
                let message = format!("path element at position {} is null", level + 1);
                return Err(PgError::new("22004", message));
            }
        };
        let is_last = level + 1 == self.elements.len();
        match value {
            Jsonb::Object(members) => self.apply_object(members, step, level, is_last),
            Jsonb::Array(elements) => self.apply_array(elements, step, level, is_last),
            scalar => Ok(scalar.clone()),
        }
    }

    fn apply_object(
        &self,
        members: &[(Arc<str>, Jsonb)],
        step: &str,
        level: usize,
        is_last: bool,
    ) -> Result<Jsonb> {
        let mut members = members.to_vec();
        match members.binary_search_by(|(key, _)| compare_keys(key, step)) {
            Ok(found) if !is_last => {
                members[found].1 = self.apply(&members[found].1, level + 1)?;
            }
            Ok(found) => match self.operation {
                Operation::Delete => {
                    members.remove(found);
                }
                Operation::Replace | Operation::Create => members[found].1 = self.new.clone(),
                Operation::InsertBefore | Operation::InsertAfter => {
                    return Err(PgError::new("22023", "cannot replace existing key")
                        .with_hint("Try using the function jsonb_set to replace key value."));
                }
            },
            Err(place) if is_last && self.operation.adds() => {
                members.insert(place, (Arc::from(step), self.new.clone()));
            }
            Err(_) => {}
        }
        Ok(Jsonb::Object(members))
    }

    fn apply_array(
        &self,
        elements: &[Jsonb],
        step: &str,
        level: usize,
        is_last: bool,
    ) -> Result<Jsonb> {
        let index = path_index(step).ok_or_else(|| {
            PgError::new(
                "22P02",
                format!("path element at position {} is not an integer: \"{step}\"", level + 1),
            )
        })?;
        let mut elements = elements.to_vec();
        match super::access::place(index, elements.len()) {
            Some(place) if place < elements.len() => {
                if !is_last {
                    elements[place] = self.apply(&elements[place], level + 1)?;
                    return Ok(Jsonb::Array(elements));
                }
                match self.operation {
                    Operation::Delete => {
                        elements.remove(place);
                    }
                    Operation::Replace | Operation::Create => elements[place] = self.new.clone(),
                    Operation::InsertBefore => elements.insert(place, self.new.clone()),
                    Operation::InsertAfter => elements.insert(place + 1, self.new.clone()),
                }
            }
            _ if !is_last || !self.operation.adds() => {}
            // Before the start it goes to the front, after the end to the back.
            None => elements.insert(0, self.new.clone()),
            Some(_) => elements.push(self.new.clone()),
        }
        Ok(Jsonb::Array(elements))
    }
}

fn without_nulls(value: &Jsonb) -> Jsonb {
    match value {
        Jsonb::Array(elements) => Jsonb::Array(elements.iter().map(without_nulls).collect()),
        Jsonb::Object(members) => Jsonb::Object(
            members
                .iter()
                .filter(|(_, member)| *member != Jsonb::Null)
                .map(|(key, member)| (key.clone(), without_nulls(member)))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

fn write_pretty(value: &Jsonb, depth: usize, out: &mut Vec<u8>) {
    fn line(depth: usize, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 4));
    }
    match value {
        Jsonb::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                line(depth + 1, out);
                write_pretty(element, depth + 1, out);
            }
            line(depth, out);
            out.push(b']');
        }
        Jsonb::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                line(depth + 1, out);
                escape_string(key, out);
                out.extend_from_slice(b": ");
                write_pretty(member, depth + 1, out);
            }
            line(depth, out);
            out.push(b'}');
        }
        scalar => write_jsonb(scalar, out),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn joining() {
        check("jsonb_concat", &["j:{\"a\":1}", "j:{\"a\":2,\"b\":3}"], "{\"a\": 2, \"b\": 3}");
        check("jsonb_concat", &["j:{\"a\":1}", "j:1"], "[{\"a\": 1}, 1]");
        check("jsonb_concat", &["j:[]", "j:{}"], "[{}]");
        check("jsonb_concat", &["j:1", "j:2"], "[1, 2]");
    }

    #[test]
    fn deleting() {
        check("jsonb_delete", &["j:[\"a\",\"b\",1]", "t:a"], "[\"b\", 1]");
        check("jsonb_delete_array", &["j:{\"a\":1,\"b\":2}", "T:{a,NULL}"], "{\"b\": 2}");
        check("jsonb_delete_idx", &["j:[1,2,3]", "i:-1"], "[1, 2]");
        check("jsonb_delete_idx", &["j:[1,2,3]", "i:-4"], "[1, 2, 3]");
        check("jsonb_delete_path", &["j:{\"a\":[1,2]}", "T:{a,0}"], "{\"a\": [2]}");
        check("jsonb_delete", &["j:1", "t:a"], "ERROR 22023: cannot delete from scalar");
    }

    #[test]
    fn setting() {
        check("jsonb_set", &["j:[1,2]", "T:{-5}", "j:9", "b:true"], "[9, 1, 2]");
        check("jsonb_set", &["j:[1,2]", "T:{5}", "j:9", "b:true"], "[1, 2, 9]");
        check("jsonb_set", &["j:[1,2]", "T:{5}", "j:9", "b:false"], "[1, 2]");
        check("jsonb_set", &["j:{\"a\":1}", "T:{b,c}", "j:9", "b:true"], "{\"a\": 1}");
        check("jsonb_insert", &["j:[1,2]", "T:{-1}", "j:9", "b:true"], "[1, 2, 9]");
        check(
            "jsonb_insert",
            &["j:{\"a\":1}", "T:{a}", "j:9", "b:false"],
            "ERROR 22023: cannot replace existing key",
        );
        check(
            "jsonb_set",
            &["j:[1]", "T:{a}", "j:9", "b:true"],
            "ERROR 22P02: path element at position 1 is not an integer: \"a\"",
        );
    }

    #[test]
    fn shapes() {
        check(
            "jsonb_pretty",
            &["j:{\"a\":[],\"b\":[1,{\"d\":2}]}"],
            "{\n    \"a\": [\n    ],\n    \"b\": [\n        1,\n        {\n            \"d\": 2\n        }\n    ]\n}",
        );
        check(
            "jsonb_strip_nulls",
            &["j:{\"a\":null,\"b\":[null,{\"c\":null}]}"],
            "{\"b\": [null, {}]}",
        );
        check("jsonb_bool", &["j:[]"], "ERROR 22023: cannot cast jsonb array to type boolean");
    }
}
