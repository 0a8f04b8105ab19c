//! `ARRAY[…]` and subscripts (the manual's section 8.15).

use std::sync::Arc;

use super::node::{Input, Node};
use crate::error::{PgError, Result};
use crate::json::Jsonb;
use crate::types::TypeId;
use crate::value::{Array, Dimension, Value};

/// The most dimensions an array can have.
const DIMENSIONS_MAX: usize = 6;

/// One compiled subscript.
#[derive(Debug)]
pub(super) enum Subscript {
    At(Node),
    Slice(Option<Node>, Option<Node>),
}

/// Makes an array of elements, or of arrays that make a further dimension.
pub(super) fn construct(element_type: TypeId, values: Vec<Value>, nested: bool) -> Result<Value> {
    if !nested {
        return Ok(Value::Array(Arc::new(Array::vector(element_type, values))));
    }
    let mismatch = || {
        PgError::new(
            "2202E",
            "multidimensional arrays must have array expressions with matching dimensions",
        )
    };
    let count = i32::try_from(values.len()).map_err(|_| mismatch())?;
    let mut inner: Option<Vec<Dimension>> = None;
    let mut has_empty = false;
    let mut elements = Vec::new();
    for value in values {
        let array = match value {
            Value::Array(array) if !array.dimensions.is_empty() => array,
            _ => {
                has_empty = true;
                continue;
            }
        };
        match &inner {
            None if array.dimensions.len() >= DIMENSIONS_MAX => {
                let message = format!(
                    "number of array dimensions ({}) exceeds the maximum allowed ({DIMENSIONS_MAX})",
                    array.dimensions.len() + 1
                );
                return Err(PgError::new("54000", message));
            }
            None => inner = Some(array.dimensions.clone()),
            Some(dimensions) if *dimensions == array.dimensions => {}
            Some(_) => return Err(mismatch()),
        }
        elements.extend(array.elements.iter().cloned());
    }
    let dimensions = match inner {
        None => Vec::new(),
        Some(_) if has_empty => return Err(mismatch()),
        Some(inner) => {
            std::iter::once(Dimension { length: count, lower: 1 }).chain(inner).collect()
        }
    };
    Ok(Value::Array(Arc::new(Array { element_type, dimensions, elements })))
}

/// Fetches an element or a slice.
pub(super) fn subscript(
    container: &Value,
    subscripts: &[Subscript],
    is_jsonb: bool,
    input: &Input<'_>,
) -> Result<Value> {
    // PostgreSQL answers NULL for a NULL container before it looks at the subscripts.
    match container {
        Value::Null => Ok(Value::Null),
        Value::Jsonb(json) if is_jsonb => jsonb_element(json, subscripts, input),
        Value::Array(array) => {
            if subscripts.iter().any(|subscript| matches!(subscript, Subscript::Slice(..))) {
                slice(array, subscripts, input)
            } else {
                element(array, subscripts, input)
            }
        }
        other => Err(PgError::internal(format!("{other:?} cannot be subscripted"))),
    }
}

fn integer(node: &Node, input: &Input<'_>) -> Result<Option<i32>> {
    match &*node.get(input)? {
        Value::Null => Ok(None),
        Value::Int4(value) => Ok(Some(*value)),
        other => Err(PgError::internal(format!("{other:?} is no subscript"))),
    }
}

fn element(array: &Array, subscripts: &[Subscript], input: &Input<'_>) -> Result<Value> {
    let mut places = Vec::with_capacity(subscripts.len());
    for subscript in subscripts {
        let Subscript::At(node) = subscript else { continue };
        match integer(node, input)? {
            None => return Ok(Value::Null),
            Some(place) => places.push(place),
        }
    }
    if places.len() != array.dimensions.len() {
        return Ok(Value::Null);
    }
    let mut offset = 0_usize;
    for (place, dimension) in places.iter().zip(&array.dimensions) {
        let index = i64::from(*place) - i64::from(dimension.lower);
        let length = usize::try_from(dimension.length).unwrap_or(0);
        match usize::try_from(index) {
            Ok(index) if index < length => offset = offset * length + index,
            _ => return Ok(Value::Null),
        }
    }
    Ok(array.elements.get(offset).cloned().unwrap_or(Value::Null))
}

fn slice(array: &Array, subscripts: &[Subscript], input: &Input<'_>) -> Result<Value> {
    // All are taken for slices when one is: `[n]` stands for `[1:n]`.
    let mut bounds = Vec::with_capacity(subscripts.len());
    for (place, subscript) in subscripts.iter().enumerate() {
        let dimension = array.dimensions.get(place);
        let first = dimension.map_or(1, |d| i64::from(d.lower));
        let last = dimension.map_or(0, |d| i64::from(d.lower) + i64::from(d.length) - 1);
        let end = |node: &Option<Node>, open: i64| match node {
            None => Ok(Some(open)),
            Some(node) => Ok::<_, PgError>(integer(node, input)?.map(i64::from)),
        };
        let (from, to) = match subscript {
            Subscript::At(node) => (Some(1), integer(node, input)?.map(i64::from)),
            Subscript::Slice(from, to) => (end(from, first)?, end(to, last)?),
        };
        match (from, to) {
            (Some(from), Some(to)) => bounds.push((from.max(first), to.min(last))),
            _ => return Ok(Value::Null),
        }
    }
    let empty = || {
        Ok(Value::Array(Arc::new(Array {
            element_type: array.element_type,
            dimensions: Vec::new(),
            elements: Vec::new(),
        })))
    };
    if array.dimensions.is_empty() || subscripts.len() > array.dimensions.len() {
        return empty();
    }
    for dimension in &array.dimensions[bounds.len()..] {
        let first = i64::from(dimension.lower);
        bounds.push((first, first + i64::from(dimension.length) - 1));
    }
    if bounds.iter().any(|(from, to)| from > to) {
        return empty();
    }
    // From here on as offsets from the first element, each within its dimension.
    let ranges: Vec<(usize, usize)> = bounds
        .iter()
        .zip(&array.dimensions)
        .map(|((from, to), dimension)| {
            let offset = |at: i64| usize::try_from(at - i64::from(dimension.lower)).unwrap_or(0);
            (offset(*from), offset(*to))
        })
        .collect();
    let mut elements = Vec::new();
    copy_slice(array, &ranges, 0, 0, &mut elements);
    let dimensions = ranges
        .iter()
        .map(|(from, to)| Dimension {
            length: i32::try_from(to - from + 1).unwrap_or(i32::MAX),
            lower: 1,
        })
        .collect();
    Ok(Value::Array(Arc::new(Array { element_type: array.element_type, dimensions, elements })))
}

fn copy_slice(
    array: &Array,
    ranges: &[(usize, usize)],
    depth: usize,
    offset: usize,
    out: &mut Vec<Value>,
) {
    let Some((from, to)) = ranges.get(depth) else {
        out.extend(array.elements.get(offset).cloned());
        return;
    };
    let length = usize::try_from(array.dimensions[depth].length).unwrap_or(0);
    for index in *from..=*to {
        copy_slice(array, ranges, depth + 1, offset * length + index, out);
    }
}

/// `jsonb` subscripts: keys of objects by text, places in arrays by number, negative ones from the end.
fn jsonb_element(json: &Jsonb, subscripts: &[Subscript], input: &Input<'_>) -> Result<Value> {
    let mut current = json;
    for subscript in subscripts {
        let Subscript::At(node) = subscript else {
            return Err(PgError::new("42804", "jsonb subscript does not support slices"));
        };
        let key = node.get(input)?;
        let found = match (&*key, current) {
            (Value::Null, _) => None,
            (Value::Text(key), Jsonb::Object(fields)) => {
                fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Value::Int4(key), Jsonb::Object(fields)) => {
                let key = key.to_string();
                fields.iter().find(|(name, _)| **name == *key).map(|(_, value)| value)
            }
            (Value::Int4(place), Jsonb::Array(elements)) => at(elements, i64::from(*place)),
            (Value::Text(place), Jsonb::Array(elements)) => {
                place.trim().parse().ok().and_then(|place| at(elements, place))
            }
            _ => None,
        };
        match found {
            None => return Ok(Value::Null),
            Some(found) => current = found,
        }
    }
    Ok(Value::Jsonb(Arc::new(current.clone())))
}

fn at(elements: &[Jsonb], place: i64) -> Option<&Jsonb> {
    let length = i64::try_from(elements.len()).ok()?;
    let place = if place < 0 { place + length } else { place };
    elements.get(usize::try_from(place).ok()?)
}
