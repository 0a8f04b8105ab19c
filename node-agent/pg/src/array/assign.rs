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

/// The array with a slice replaced: the array, the slice's elements, which bounds were left out (two bits a dimension, the lower
/// bound's first), then a lower and an upper bound for each dimension.
pub(crate) fn assign_slice(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let left_out = crate::arguments::int4(args, 2)?;
    let mut bounds = Vec::new();
    for (place, bound) in args[3..].iter().enumerate() {
        bounds.push(match bound {
            _ if left_out & (1 << place) != 0 => None,
            Value::Int4(index) => Some(*index),
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
            element_type: match &args[1] {
                Value::Array(source) => source.element_type,
                _ => element_of(call.result),
            },
            dimensions: Vec::new(),
            elements: Vec::new(),
        },
    };
    let Value::Array(source) = &args[1] else {
        return Ok(Value::Array(Arc::new(array)));
    };
    let too_small = || PgError::new("2202E", "source array too small");
    let upside_down = || PgError::new("2202E", "upper bound cannot be less than lower bound");
    if array.dimensions.is_empty() {
        let mut total = 1;
        for bound in bounds.chunks_exact(2) {
            let (Some(lower), Some(upper)) = (bound[0], bound[1]) else {
                return Err(PgError::new(
                    "2202E",
                    "array slice subscript must provide both boundaries",
                )
                .with_detail(
                    "When assigning to a slice of an empty array value, slice boundaries must be fully specified.",
                ));
            };
            let length = i64::from(upper) - i64::from(lower) + 1;
            total *= length.max(0);
            if total > ELEMENTS_MAX {
                return Err(too_large());
            }
            let length = i32::try_from(length).ok().filter(|length| *length > 0);
            let length = length.ok_or_else(upside_down)?;
            array.dimensions.push(Dimension { length, lower });
        }
        let total = usize::try_from(total).unwrap_or_default();
        array.elements = source.elements.get(..total).ok_or_else(too_small)?.to_vec();
        return Ok(Value::Array(Arc::new(array)));
    }
    if array.dimensions.len() < bounds.len() / 2 {
        return Err(PgError::new("2202E", "wrong number of array subscripts"));
    }
    let is_vector = array.dimensions.len() == 1;
    let mut spans = Vec::new();
    for (place, dimension) in array.dimensions.iter().enumerate() {
        let end = i64::from(dimension.lower) + i64::from(dimension.length) - 1;
        let given = |place: usize| bounds.get(place).copied().flatten().map(i64::from);
        let lower = given(place * 2).unwrap_or_else(|| i64::from(dimension.lower));
        let upper = given(place * 2 + 1).unwrap_or(end);
        if lower > upper {
            return Err(upside_down());
        }
        if !is_vector && (lower < i64::from(dimension.lower) || upper > end) {
            return Err(PgError::new("2202E", "array subscript out of range"));
        }
        spans.push((lower, upper));
    }
    if let ([dimension], [(lower, upper)]) = (array.dimensions.as_mut_slice(), spans.as_slice()) {
        let first = i64::from(dimension.lower);
        let end = first + i64::from(dimension.length) - 1;
        if (*upper).max(end) - (*lower).min(first) + 1 > ELEMENTS_MAX {
            return Err(too_large());
        }
        if upper - lower + 1 > i64::try_from(source.elements.len()).unwrap_or(i64::MAX) {
            return Err(too_small());
        }
        for bound in [lower, upper] {
            extend(dimension, &mut array.elements, i32::try_from(*bound).unwrap_or(i32::MAX))?;
        }
    }
    // The places of the slice, row by row.
    let mut places: Vec<usize> = vec![0];
    for (dimension, (lower, upper)) in array.dimensions.iter().zip(&spans) {
        let length = usize::try_from(dimension.length).unwrap_or_default();
        let first = usize::try_from(lower - i64::from(dimension.lower)).unwrap_or_default();
        let last = usize::try_from(upper - i64::from(dimension.lower)).unwrap_or_default();
        places = places
            .iter()
            .flat_map(|place| (first..=last).map(move |offset| place * length + offset))
            .collect();
    }
    if places.len() > source.elements.len() {
        return Err(too_small());
    }
    for (place, element) in places.into_iter().zip(&source.elements) {
        match array.elements.get_mut(place) {
            Some(old) => *old = element.clone(),
            None => {
                return Err(PgError::internal("an array has fewer elements than its dimensions"));
            }
        }
    }
    Ok(Value::Array(Arc::new(array)))
}

fn element_of(array: TypeId) -> TypeId {
    crate::catalog::type_by_id(array).map_or(TypeId::UNKNOWN, |found| found.element)
}

fn too_large() -> PgError {
    let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
    PgError::new("54000", message)
}

/// Makes room for a subscript, with NULLs up to it.
fn extend(dimension: &mut Dimension, elements: &mut Vec<Value>, subscript: i32) -> Result<()> {
    let (lower, length) = (i64::from(dimension.lower), i64::from(dimension.length));
    let before = (lower - i64::from(subscript)).max(0);
    let after = (i64::from(subscript) - (lower + length) + 1).max(0);
    let total = length + before + after;
    if total > ELEMENTS_MAX {
        return Err(too_large());
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

    fn check_slice(array: &str, source: &str, bounds: &[Option<i32>], expected: &str) {
        let context = Context::default();
        let call = CallContext {
            context: &context,
            arguments: &[TypeId::INT4_ARRAY, TypeId::INT4_ARRAY],
            result: TypeId::INT4_ARRAY,
            variadic: false,
        };
        let read = |text: &str| {
            let read = crate::io::text::input(text, TypeId::INT4_ARRAY.into(), &context);
            read.expect("it is an array")
        };
        let mut left_out = 0;
        for (place, bound) in bounds.iter().enumerate() {
            left_out |= i32::from(bound.is_none()) << place;
        }
        let mut args = vec![read(array), read(source), Value::Int4(left_out)];
        args.extend(bounds.iter().map(|bound| bound.map_or(Value::Null, Value::Int4)));
        let shown = match assign_slice(&call, &args) {
            Ok(value) => {
                let mut out = Vec::new();
                crate::io::text::output(&value, TypeId::INT4_ARRAY, &context, &mut out);
                String::from_utf8(out).expect("it is text")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{bounds:?}");
    }

    #[test]
    fn slices_are_assigned() {
        check_slice("{1,2,3}", "{8,9}", &[Some(1), Some(2)], "{8,9,3}");
        check_slice("{1,2,3}", "{5,6}", &[Some(5), Some(6)], "{1,2,3,NULL,5,6}");
        check_slice("{1,2}", "{5,6}", &[Some(-1), Some(0)], "[-1:2]={5,6,1,2}");
        check_slice("{1,2,3}", "{7,8,9}", &[None, Some(2)], "{7,8,3}");
        check_slice("{1,2,3}", "{7,8}", &[Some(2), None], "{1,7,8}");
        check_slice("{}", "{7,8,9}", &[Some(2), Some(3)], "[2:3]={7,8}");
        check_slice(
            "{}",
            "{7}",
            &[None, Some(3)],
            "array slice subscript must provide both boundaries",
        );
        check_slice("{1}", "{7}", &[Some(1), Some(2)], "source array too small");
        check_slice(
            "{1}",
            "{7}",
            &[Some(2), Some(1)],
            "upper bound cannot be less than lower bound",
        );
        check_slice("{{1,2},{3,4}}", "{9}", &[Some(1), Some(1), Some(2), Some(2)], "{{1,9},{3,4}}");
        check_slice("{{1,2},{3,4}}", "{8,9}", &[Some(2), Some(2)], "{{1,2},{8,9}}");
        check_slice("{{1,2}}", "{8,9}", &[Some(3), Some(3)], "array subscript out of range");
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
