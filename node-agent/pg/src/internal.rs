//! Functions that no catalog has: what the forms of a statement stand for that PostgreSQL computes without a function.
//!
//! [`crate::catalog::function`] finds them by their number, so that they are typed, shown and computed as any other; no name leads
//! to them.

use std::sync::Arc;

use crate::arguments::{int4, jsonb};
use crate::array::assign::{assign as assign_element, assign_slice};
use crate::catalog::Function;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::expr::FunctionId;
use crate::json::Jsonb;
use crate::registry::Implementation;
use crate::types::TypeId;
use crate::value::{Record, Value};

/// A field of a row value: the row, the field's place.
pub const FIELD: FunctionId = FunctionId(u32::MAX);

/// A `jsonb` value with a part of it replaced: the value, the part, the subscripts that lead to it.
pub const ASSIGN_JSONB: FunctionId = FunctionId(u32::MAX - 1);

/// An array with an element replaced: the array, the element, its subscripts.
pub const ASSIGN_ELEMENT: FunctionId = FunctionId(u32::MAX - 2);

/// Rows made of JSON by a column definition list: the function's name, the JSON, the columns' names and type modifiers, and a
/// NULL of each column's type.
pub const RECORDS: FunctionId = FunctionId(u32::MAX - 3);

/// The row of a table or query: the fields' names, the row.
pub const NAMED: FunctionId = FunctionId(u32::MAX - 4);

/// An array with a slice replaced: the array, the slice's elements, which bounds were left out (two bits a dimension, the lower
/// bound's first), then a lower and an upper bound for each dimension.
pub const ASSIGN_SLICE: FunctionId = FunctionId(u32::MAX - 5);

const fn function(
    id: FunctionId,
    name: &'static str,
    args: &'static [TypeId],
    result: TypeId,
    strict: bool,
) -> Function {
    Function {
        id,
        name,
        source: name,
        args,
        arg_names: &[],
        defaults: 0,
        default_values: &[],
        variadic: TypeId(0),
        result,
        returns_set: false,
        strict,
        kind: 'f',
        volatility: 'i',
        out: &[],
    }
}

static FUNCTIONS: [Function; 6] = [
    function(FIELD, "dataman_field", &[TypeId::RECORD, TypeId::INT4], TypeId::ANYELEMENT, true),
    function(
        ASSIGN_JSONB,
        "dataman_assign_jsonb",
        &[TypeId::JSONB, TypeId::JSONB],
        TypeId::JSONB,
        false,
    ),
    function(
        ASSIGN_ELEMENT,
        "dataman_assign_element",
        &[TypeId::ANYARRAY, TypeId::ANYELEMENT],
        TypeId::ANYARRAY,
        false,
    ),
    function(
        ASSIGN_SLICE,
        "dataman_assign_slice",
        &[TypeId::ANYARRAY, TypeId::ANYARRAY, TypeId::INT4],
        TypeId::ANYARRAY,
        false,
    ),
    function(NAMED, "dataman_named", &[TypeId::TEXT_ARRAY, TypeId::RECORD], TypeId::RECORD, false),
    Function {
        returns_set: true,
        ..function(RECORDS, "dataman_records", &[], TypeId::RECORD, false)
    },
];

/// Finds such a function by its number.
pub(crate) fn find(id: FunctionId) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.id == id)
}

/// Whether a function is one of these.
pub fn is_internal(id: FunctionId) -> bool {
    find(id).is_some()
}

/// Whether a function replaces a part of a value.
pub fn is_assignment(id: FunctionId) -> bool {
    matches!(id, ASSIGN_JSONB | ASSIGN_ELEMENT | ASSIGN_SLICE)
}

/// What computes the function of such a source.
pub(crate) fn implementation(source: &str) -> Option<Implementation> {
    match source {
        "dataman_field" => Some(field),
        "dataman_assign_slice" => Some(assign_slice),
        "dataman_named" => Some(named),
        "dataman_assign_jsonb" => Some(assign_jsonb),
        "dataman_assign_element" => Some(assign_element),
        _ => None,
    }
}

fn field(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let place = usize::try_from(int4(args, 1)?).unwrap_or(usize::MAX);
    match &args[0] {
        Value::Record(fields) => {
            let found = fields.get(place).map(|(_, value)| value.clone());
            found.ok_or_else(|| PgError::internal(format!("a row has no field {place}")))
        }
        other => Err(PgError::internal(format!("a row was expected: {other:?}"))),
    }
}

fn named(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (Value::Array(names), Value::Record(row)) = (&args[0], &args[1]) else {
        return Err(PgError::internal("names and a row were expected"));
    };
    let name = |name: &Value| match name {
        Value::Text(name) => Ok(Arc::clone(name)),
        other => Err(PgError::internal(format!("a name was expected: {other:?}"))),
    };
    let names = names.elements.iter().map(name).collect::<Result<Vec<_>>>()?;
    Ok(Value::Record(Arc::new(Record { fields: row.fields.clone(), names: Some(names.into()) })))
}

/// How many elements an assignment may put into an array of JSON.
const ELEMENTS_MAX: usize = 10_000_000;

fn assign_jsonb(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let mut path = Vec::new();
    for subscript in &args[2..] {
        path.push(match subscript {
            Value::Int4(index) => index.to_string(),
            Value::Text(text) => text.to_string(),
            Value::Null => {
                let message = "jsonb subscript in assignment must not be null";
                return Err(PgError::new("22004", message));
            }
            other => return Err(PgError::internal(format!("no subscript: {other:?}"))),
        });
    }
    let new = match &args[1] {
        Value::Null => Jsonb::Null,
        _ => jsonb(args, 1)?.clone(),
    };
    let mut value = match (&args[0], args.get(2)) {
        (Value::Null, Some(Value::Int4(_))) => Jsonb::Array(Vec::new()),
        (Value::Null, _) => Jsonb::object(Vec::new()),
        _ => jsonb(args, 0)?.clone(),
    };
    put(&mut value, &path, 0, new)?;
    Ok(Value::Jsonb(Arc::new(value)))
}

/// Puts `new` where the path leads from `level` on; what is missing on the way is made.
fn put(value: &mut Jsonb, path: &[String], level: usize, new: Jsonb) -> Result<()> {
    let Some(step) = path.get(level) else {
        *value = new;
        return Ok(());
    };
    match value {
        Jsonb::Object(members) => {
            let known = members.iter().position(|(key, _)| **key == **step);
            if let Some(place) = known {
                return put(&mut members[place].1, path, level + 1, new);
            }
            let mut members = std::mem::take(members);
            members.push((Arc::from(step.as_str()), made(path, level + 1, new)?));
            *value = Jsonb::object(members);
            Ok(())
        }
        Jsonb::Array(elements) => {
            let index = integer(step).ok_or_else(|| {
                let message =
                    format!("path element at position {} is not an integer: \"{step}\"", level + 1);
                PgError::new("22P02", message)
            })?;
            let place = super::json::access::place(index, elements.len()).ok_or_else(|| {
                let message =
                    format!("path element at position {} is out of range: {index}", level + 1);
                PgError::new("22023", message)
            })?;
            if let Some(element) = elements.get_mut(place) {
                return put(element, path, level + 1, new);
            }
            fill(elements, place)?;
            elements.push(made(path, level + 1, new)?);
            Ok(())
        }
        _ => Err(PgError::new("22023", "cannot replace existing key")
            .with_detail("The path assumes key is a composite object, but it is a scalar value.")),
    }
}

/// What stands where nothing was: `new` within what the rest of the path asks for.
fn made(path: &[String], level: usize, new: Jsonb) -> Result<Jsonb> {
    let Some(step) = path.get(level) else { return Ok(new) };
    let inner = made(path, level + 1, new)?;
    Ok(match integer(step) {
        Some(index) => {
            let mut elements = Vec::new();
            fill(&mut elements, usize::try_from(index).unwrap_or_default())?;
            elements.push(inner);
            Jsonb::Array(elements)
        }
        None => Jsonb::object(vec![(Arc::from(step.as_str()), inner)]),
    })
}

fn integer(step: &str) -> Option<i32> {
    super::json::access::path_index(step)
}

fn fill(elements: &mut Vec<Jsonb>, length: usize) -> Result<()> {
    if length > ELEMENTS_MAX {
        return Err(PgError::unsupported(format!(
            "assigning beyond {ELEMENTS_MAX} elements of a jsonb array is not supported"
        )));
    }
    elements.resize(length.max(elements.len()), Jsonb::Null);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, path: &[&str], new: &str, expected: &str) {
        let parsed = |text: &str| crate::json::parse::jsonb(text).expect("it is JSON");
        let mut value = parsed(value);
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        let shown = match put(&mut value, &path, 0, parsed(new)) {
            Ok(()) => value.to_text(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{path:?}");
    }

    #[test]
    fn parts_are_assigned() {
        check("{}", &["a"], "1", "{\"a\": 1}");
        check("{\"a\": 1, \"b\": 2}", &["a"], "[1]", "{\"a\": [1], \"b\": 2}");
        check("[0]", &["3"], "1", "[0, null, null, 1]");
        check("[0, 1]", &["-1"], "5", "[0, 5]");
        check("[0, 1]", &["-3"], "5", "path element at position 1 is out of range: -3");
        check("[]", &["x"], "5", "path element at position 1 is not an integer: \"x\"");
        check("{}", &["a", "1", "b"], "1", "{\"a\": [null, {\"b\": 1}]}");
        check("{\"a\": 1}", &["a", "b"], "1", "cannot replace existing key");
        check("1", &["a"], "1", "cannot replace existing key");
    }
}
