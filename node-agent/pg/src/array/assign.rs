//! Assigning to an element of an array.

use std::sync::Arc;

use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::types::TypeId;
use crate::value::{Array, Dimension, Value};

/// The most elements that an array may have, as in PostgreSQL.
const ELEMENTS_MAX: i64 = 134_217_727;

/// The most elements that an array may be extended to here.
const EXTENSION_MAX: i64 = 10_000_000;

/// The array with one element replaced: the array, the element, its subscripts. An array of one dimension grows.
pub(crate) fn assign(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let mut subscripts = Vec::new();
    for subscript in &args[2..] {
        subscripts.push(match subscript {
            Value::Int4(index) => *index,
            Value::Null => {
                let message = "array subscript in assignment must not be null";
                return Err(PgError::new("22004", message));
            }
            other => return Err(PgError::internal(format!("no subscript: {other:?}"))),
        });
    }
    let mut array = match &args[0] {
        Value::Array(array) => Array::clone(array),
        _ => Array {
            element_type: call.arguments.get(1).copied().unwrap_or(TypeId::UNKNOWN),
            dimensions: Vec::new(),
            elements: Vec::new(),
        },
    };
    let element = args[1].clone();
    if array.dimensions.is_empty() {
        if let Some(lower) = subscripts.iter().find(|lower| **lower == i32::MAX) {
            let message = format!("array lower bound is too large: {lower}");
            return Err(PgError::new("54000", message));
        }
        array.dimensions =
            subscripts.into_iter().map(|lower| Dimension { length: 1, lower }).collect();
        array.elements = vec![element];
        return Ok(Value::Array(Arc::new(array)));
    }
    if array.dimensions.len() != subscripts.len() {
        return Err(PgError::new("2202E", "wrong number of array subscripts"));
    }
    if let ([dimension], [subscript]) = (array.dimensions.as_mut_slice(), subscripts.as_slice()) {
        extend(dimension, &mut array.elements, *subscript)?;
    }
    let mut place = 0;
    for (dimension, subscript) in array.dimensions.iter().zip(subscripts) {
        let offset = i64::from(subscript) - i64::from(dimension.lower);
        let length = usize::try_from(dimension.length).unwrap_or_default();
        let offset = usize::try_from(offset).ok().filter(|offset| *offset < length);
        let offset = offset.ok_or_else(|| PgError::new("2202E", "array subscript out of range"))?;
        place = place * length + offset;
    }
    match array.elements.get_mut(place) {
        Some(old) => *old = element,
        None => return Err(PgError::internal("an array has fewer elements than its dimensions")),
    }
    Ok(Value::Array(Arc::new(array)))
}

/// Makes room for a subscript, with NULLs up to it.
fn extend(dimension: &mut Dimension, elements: &mut Vec<Value>, subscript: i32) -> Result<()> {
    let (lower, length) = (i64::from(dimension.lower), i64::from(dimension.length));
    let before = (lower - i64::from(subscript)).max(0);
    let after = (i64::from(subscript) - (lower + length) + 1).max(0);
    let total = length + before + after;
    if total > ELEMENTS_MAX {
        let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
        return Err(PgError::new("54000", message));
    }
    if total > EXTENSION_MAX {
        return Err(PgError::unsupported(format!(
            "assigning beyond {EXTENSION_MAX} elements of an array is not supported"
        )));
    }
    let count = |number: i64| usize::try_from(number).unwrap_or_default();
    elements.splice(0..0, std::iter::repeat_n(Value::Null, count(before)));
    elements.resize(count(total), Value::Null);
    dimension.lower = dimension.lower.min(subscript);
    dimension.length = i32::try_from(total).unwrap_or(i32::MAX);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;

    fn check(array: &str, subscripts: &[i32], expected: &str) {
        let context = Context::default();
        let call = CallContext {
            context: &context,
            arguments: &[TypeId::INT4_ARRAY, TypeId::INT4],
            result: TypeId::INT4_ARRAY,
            variadic: false,
        };
        let array = crate::io::text::input(array, TypeId::INT4_ARRAY.into(), &context);
        let mut args = vec![array.expect("it is an array"), Value::Int4(9)];
        args.extend(subscripts.iter().map(|subscript| Value::Int4(*subscript)));
        let shown = match assign(&call, &args) {
            Ok(value) => {
                let mut out = Vec::new();
                crate::io::text::output(&value, TypeId::INT4_ARRAY, &context, &mut out);
                String::from_utf8(out).expect("it is text")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{subscripts:?}");
    }

    #[test]
    fn elements_are_assigned() {
        check("{1,2,3}", &[2], "{1,9,3}");
        check("{1}", &[3], "{1,NULL,9}");
        check("{1}", &[-1], "[-1:1]={9,NULL,1}");
        check("{}", &[2], "[2:2]={9}");
        check("{}", &[2, 3], "[2:2][3:3]={{9}}");
        check("{{1,2},{3,4}}", &[2, 1], "{{1,2},{9,4}}");
        check("{{1,2},{3,4}}", &[3, 1], "array subscript out of range");
        check("{1}", &[1, 1], "wrong number of array subscripts");
    }
}
