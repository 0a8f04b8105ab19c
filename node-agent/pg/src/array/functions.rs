//! Functions and operators over arrays of any element type (the manual's section 9.19).

use std::cmp::Ordering;
use std::sync::Arc;

use super::{DIMENSIONS_MAX, element_type, io};
use crate::arguments::{array, int4, is_null};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::order::compare;
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Dimension, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("array_length", |_, args| bound(args, |dimension| dimension.length)),
    entry("array_lower", |_, args| bound(args, |dimension| dimension.lower)),
    entry("array_upper", |_, args| bound(args, upper)),
    entry("array_ndims", |_, args| match array(args, 0)?.dimensions.len() {
        0 => Ok(Value::Null),
        dimensions => Ok(crate::arguments::count(dimensions)),
    }),
    entry("array_cardinality", |_, args| {
        Ok(crate::arguments::count(array(args, 0)?.elements.len()))
    }),
    entry("array_dims", |_, args| {
        let dimensions = &array(args, 0)?.dimensions;
        if dimensions.is_empty() {
            return Ok(Value::Null);
        }
        let shown = dimensions.iter().map(|d| format!("[{}:{}]", d.lower, upper(d)));
        Ok(Value::text(shown.collect::<String>()))
    }),
    entry("array_append", |call, args| {
        let (mut array, element) = (vector_or_empty(call, args, 0)?, args[1].clone());
        if let Some(dimension) = array.dimensions.first() {
            dimension
                .lower
                .checked_add(dimension.length)
                .ok_or_else(|| PgError::out_of_range("integer"))?;
        }
        array.elements.push(element);
        finish_vector(array)
    }),
    entry("array_prepend", |call, args| {
        let (mut array, element) = (vector_or_empty(call, args, 1)?, args[0].clone());
        if let Some(dimension) = array.dimensions.first() {
            dimension.lower.checked_sub(1).ok_or_else(|| PgError::out_of_range("integer"))?;
        }
        array.elements.insert(0, element);
        finish_vector(array)
    }),
    entry("array_cat", |_, args| match (args.first(), args.get(1)) {
        (Some(Value::Array(left)), Some(Value::Array(right))) => concatenate(left, right),
        (Some(Value::Null), Some(other)) | (Some(other), _) => Ok(other.clone()),
        (None, _) => Ok(Value::Null),
    }),
    entry("array_position", position),
    entry("array_position_start", position),
    entry("array_positions", |_, args| {
        if is_null(args, 0) {
            return Ok(Value::Null);
        }
        let found = searched(args)?.map(|(place, _)| Value::Int4(place)).collect();
        Ok(Value::Array(Array::vector(TypeId::INT4, found).into()))
    }),
    entry("array_remove", remove),
    entry("array_replace", |_, args| {
        if is_null(args, 0) {
            return Ok(Value::Null);
        }
        let source = array(args, 0)?;
        check_equality(source.element_type)?;
        let elements = source
            .elements
            .iter()
            .map(|element| if is_same(element, &args[1]) { &args[2] } else { element })
            .cloned()
            .collect();
        let dimensions = source.dimensions.clone();
        let element_type = source.element_type;
        Ok(Value::Array(Arc::new(Array { element_type, dimensions, elements })))
    }),
    entry("array_fill", fill),
    entry("array_fill_with_lower_bounds", fill),
    entry("trim_array", trim),
    entry("arraycontains", |_, args| contains(array(args, 0)?, array(args, 1)?)),
    entry("arraycontained", |_, args| contains(array(args, 1)?, array(args, 0)?)),
    entry("arrayoverlap", |_, args| {
        let (left, right) = (array(args, 0)?, array(args, 1)?);
        check_equality(left.element_type)?;
        Ok(Value::Bool(left.elements.iter().any(|element| is_in(element, right))))
    }),
    entry("width_bucket_array", width_bucket),
];

/// The most elements that `array_fill` makes; PostgreSQL's own bound is the memory of one value.
const FILLED_ELEMENTS_MAX: usize = 1 << 24;

fn upper(dimension: &Dimension) -> i32 {
    // The bounds were checked when the array was made.
    dimension.lower.wrapping_add(dimension.length).wrapping_sub(1)
}

fn bound(args: &[Value], of: impl Fn(&Dimension) -> i32) -> Result<Value> {
    let dimension = usize::try_from(int4(args, 1)?).ok().and_then(|place| place.checked_sub(1));
    let dimensions = &array(args, 0)?.dimensions;
    let found = dimension.and_then(|place| dimensions.get(place));
    Ok(found.map_or(Value::Null, |dimension| Value::Int4(of(dimension))))
}

/// Arrays of types without an equality operator cannot be searched.
fn check_equality(element: TypeId) -> Result<()> {
    match element {
        TypeId::JSON => {
            Err(PgError::new("42883", "could not identify an equality operator for type json"))
        }
        _ => Ok(()),
    }
}

/// Whether two elements are not distinct: NULL is the same as NULL.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (left, right) => compare(left, right) == Ordering::Equal,
    }
}

/// The array at `index`, of one dimension at most; a NULL is an empty array of the result's type.
fn vector_or_empty(call: &CallContext<'_>, args: &[Value], index: usize) -> Result<Array> {
    if is_null(args, index) {
        let element = element_type(call.result)
            .or_else(|| call.arguments.get(1 - index).copied())
            .unwrap_or(TypeId::UNKNOWN);
        return Ok(Array::vector(element, Vec::new()));
    }
    let array = array(args, index)?;
    match array.dimensions.len() {
        0 | 1 => Ok(array.clone()),
        _ => Err(PgError::new("22000", "argument must be empty or one-dimensional array")),
    }
}

/// Makes the dimension fit the elements again; the lower bound stays.
fn finish_vector(mut array: Array) -> Result<Value> {
    let lower = array.dimensions.first().map_or(1, |dimension| dimension.lower);
    let length = i32::try_from(array.elements.len()).unwrap_or(i32::MAX);
    array.dimensions = match length {
        0 => Vec::new(),
        length => vec![Dimension { length, lower }],
    };
    io::count_elements(&array.dimensions)?;
    io::check_bounds(&array.dimensions)?;
    Ok(Value::Array(Arc::new(array)))
}

fn concatenate(left: &Arc<Array>, right: &Arc<Array>) -> Result<Value> {
    let incompatible = |detail: String| {
        PgError::new("2202E", "cannot concatenate incompatible arrays").with_detail(detail)
    };
    let (lefts, rights) = (&left.dimensions, &right.dimensions);
    if lefts.is_empty() && !rights.is_empty() {
        return Ok(Value::Array(right.clone()));
    }
    if rights.is_empty() {
        return Ok(Value::Array(left.clone()));
    }
    let mut dimensions;
    if lefts.len() == rights.len() {
        dimensions = lefts.clone();
        dimensions[0].length = lefts[0].length.saturating_add(rights[0].length);
        if lefts[1..] != rights[1..] {
            return Err(incompatible(
                "Arrays with differing element dimensions are not compatible for concatenation."
                    .to_owned(),
            ));
        }
    } else {
        let (outer, inner) =
            if lefts.len() > rights.len() { (lefts, rights) } else { (rights, lefts) };
        if outer.len() != inner.len() + 1 {
            return Err(incompatible(format!(
                "Arrays of {} and {} dimensions are not compatible for concatenation.",
                lefts.len(),
                rights.len()
            )));
        }
        if outer[1..] != inner[..] {
            return Err(incompatible(
                "Arrays with differing dimensions are not compatible for concatenation.".to_owned(),
            ));
        }
        dimensions = outer.clone();
        dimensions[0].length = outer[0].length.saturating_add(1);
    }
    io::count_elements(&dimensions)?;
    io::check_bounds(&dimensions)?;
    let elements = left.elements.iter().chain(&right.elements).cloned().collect();
    let element_type = left.element_type;
    Ok(Value::Array(Arc::new(Array { element_type, dimensions, elements })))
}

/// The elements that are the searched one, with their subscripts.
fn searched(args: &[Value]) -> Result<impl Iterator<Item = (i32, &Value)>> {
    let source = array(args, 0)?;
    if source.dimensions.len() > 1 {
        return Err(PgError::unsupported(
            "searching for elements in multidimensional arrays is not supported",
        ));
    }
    check_equality(source.element_type)?;
    let lower = source.dimensions.first().map_or(1, |dimension| dimension.lower);
    let wanted = &args[1];
    Ok((lower..).zip(&source.elements).filter(move |(_, element)| is_same(element, wanted)))
}

fn position(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) {
        return Ok(Value::Null);
    }
    let mut found = searched(args)?;
    if array(args, 0)?.elements.is_empty() {
        return Ok(Value::Null);
    }
    let start = match args.get(2) {
        None => i32::MIN,
        // Where there is no NULL, one is not searched for, and the start is not looked at.
        Some(_) if is_null(args, 1) && !array(args, 0)?.elements.iter().any(Value::is_null) => {
            return Ok(Value::Null);
        }
        Some(Value::Null) => {
            return Err(PgError::new("22004", "initial position must not be null"));
        }
        Some(_) => int4(args, 2)?,
    };
    let first = found.find(|(place, _)| *place >= start);
    Ok(first.map_or(Value::Null, |(place, _)| Value::Int4(place)))
}

fn remove(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) {
        return Ok(Value::Null);
    }
    let source = array(args, 0)?;
    if source.dimensions.len() > 1 {
        return Err(PgError::unsupported(
            "removing elements from multidimensional arrays is not supported",
        ));
    }
    check_equality(source.element_type)?;
    let mut kept = source.clone();
    kept.elements.retain(|element| !is_same(element, &args[1]));
    finish_vector(kept)
}

/// A list of bounds: one-dimensional, without NULLs.
fn bounds(args: &[Value], index: usize) -> Result<Vec<i32>> {
    let list = array(args, index)?;
    if list.dimensions.len() > 1 {
        return Err(PgError::new("2202E", "wrong number of array subscripts")
            .with_detail("Dimension array must be one dimensional."));
    }
    let number = |element: &Value| match element {
        Value::Int4(number) => Ok(*number),
        _ => Err(PgError::new("22004", "dimension values cannot be null")),
    };
    list.elements.iter().map(number).collect()
}

fn fill(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if (1..args.len()).any(|index| is_null(args, index)) {
        let message = "dimension array or low bound array cannot be null";
        return Err(PgError::new("22004", message));
    }
    let lengths = bounds(args, 1)?;
    let lowers = if args.len() > 2 { Some(bounds(args, 2)?) } else { None };
    if lengths.len() > DIMENSIONS_MAX {
        return Err(io::too_many_dimensions(lengths.len()));
    }
    let lowers = lowers.unwrap_or_else(|| vec![1; lengths.len()]);
    if lowers.len() != lengths.len() {
        return Err(PgError::new("2202E", "wrong number of array subscripts")
            .with_detail("Low bound array has different size than dimensions array."));
    }
    let dimensions: Vec<Dimension> =
        lengths.iter().zip(lowers).map(|(&length, lower)| Dimension { length, lower }).collect();
    let count = io::count_elements(&dimensions)?;
    io::check_bounds(&dimensions)?;
    let element_type = call
        .arguments
        .first()
        .copied()
        .or_else(|| element_type(call.result))
        .unwrap_or(TypeId::UNKNOWN);
    if count == 0 {
        return Ok(Value::Array(Array::vector(element_type, Vec::new()).into()));
    }
    if count > FILLED_ELEMENTS_MAX {
        let message = format!("array size exceeds the maximum allowed ({FILLED_ELEMENTS_MAX})");
        return Err(PgError::new("54000", message));
    }
    let elements = vec![args[0].clone(); count];
    Ok(Value::Array(Arc::new(Array { element_type, dimensions, elements })))
}

fn trim(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let source = array(args, 0)?;
    let length = source.dimensions.first().map_or(0, |dimension| dimension.length);
    let cut = int4(args, 1)?;
    if !(0..=length).contains(&cut) {
        return Err(PgError::new(
            "2202E",
            format!("number of elements to trim must be between 0 and {length}"),
        ));
    }
    let kept = length - cut;
    if kept == 0 {
        return Ok(Value::Array(Array::vector(source.element_type, Vec::new()).into()));
    }
    let mut trimmed = source.clone();
    // The result is a slice: its subscripts begin at 1.
    trimmed.dimensions.iter_mut().for_each(|dimension| dimension.lower = 1);
    trimmed.dimensions[0].length = kept;
    let count = io::count_elements(&trimmed.dimensions)?;
    trimmed.elements.truncate(count);
    Ok(Value::Array(Arc::new(trimmed)))
}

/// Whether an element that is not NULL is in the array.
fn is_in(element: &Value, array: &Array) -> bool {
    !element.is_null() && array.elements.iter().any(|candidate| is_same(candidate, element))
}

/// Whether each element of `part` is in `whole`; a NULL never is.
fn contains(whole: &Array, part: &Array) -> Result<Value> {
    check_equality(whole.element_type)?;
    Ok(Value::Bool(part.elements.iter().all(|element| is_in(element, whole))))
}

fn width_bucket(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let thresholds = array(args, 1)?;
    if thresholds.dimensions.len() > 1 {
        return Err(PgError::new("2202E", "thresholds must be one-dimensional array"));
    }
    if thresholds.elements.iter().any(Value::is_null) {
        return Err(PgError::new("22004", "thresholds array must not contain NULLs"));
    }
    let below = thresholds
        .elements
        .partition_point(|threshold| compare(threshold, &args[0]) != Ordering::Greater);
    Ok(crate::arguments::count(below))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn shapes() {
        check("array_dims", &["I:[0:1][2:4]={{1,2,3},{4,5,6}}"], "[0:1][2:4]");
        check("array_upper", &["I:[0:1]={1,2}", "i:1"], "1");
        check("array_length", &["I:{}", "i:1"], "NULL");
        check("array_ndims", &["I:{{1}}"], "2");
        check("array_cardinality", &["I:{{1,2},{3,4}}"], "4");
    }

    #[test]
    fn joining() {
        check("array_append", &["I:[0:1]={1,2}", "i:3"], "[0:2]={1,2,3}");
        check("array_prepend", &["i:3", "I:[0:1]={1,2}"], "[0:2]={3,1,2}");
        check(
            "array_append",
            &["I:{{1}}", "i:3"],
            "ERROR 22000: argument must be empty or one-dimensional array",
        );
        check("array_cat", &["I:{1,2}", "I:{{3,4}}"], "{{1,2},{3,4}}");
        check("array_cat", &["I:{}", "I:[2:3]={3,4}"], "[2:3]={3,4}");
        check(
            "array_cat",
            &["I:{1}", "I:{{3,4}}"],
            "ERROR 2202E: cannot concatenate incompatible arrays",
        );
    }

    #[test]
    fn searching() {
        check("array_position_start", &["T:{a,b,a}", "t:a", "i:2"], "3");
        check("array_position", &["T:[5:6]={a,NULL}", "n"], "6");
        check("array_positions", &["T:{a,b,a}", "t:a"], "{1,3}");
        check("array_remove", &["I:{1,2,1}", "i:1"], "{2}");
        check("array_replace", &["I:{{1,2},{1,3}}", "i:1", "i:9"], "{{9,2},{9,3}}");
        check("arraycontains", &["I:{1,2}", "I:{1,1}"], "true");
        check("arraycontains", &["I:{1,NULL}", "I:{NULL}"], "false");
        check("arrayoverlap", &["I:{1,2}", "I:{2,3}"], "true");
        check("width_bucket_array", &["i:5", "I:{1,5,9}"], "2");
    }

    #[test]
    fn making() {
        check("array_fill", &["i:7", "I:{2,2}"], "{{7,7},{7,7}}");
        check("array_fill_with_lower_bounds", &["i:7", "I:{2}", "I:{3}"], "[3:4]={7,7}");
        check(
            "array_fill",
            &["i:7", "I:{-1}"],
            "ERROR 54000: array size exceeds the maximum allowed (134217727)",
        );
        check("trim_array", &["I:[10:12]={1,2,3}", "i:1"], "{1,2}");
        check(
            "trim_array",
            &["I:{1}", "i:2"],
            "ERROR 2202E: number of elements to trim must be between 0 and 1",
        );
    }
}
