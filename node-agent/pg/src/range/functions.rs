//! What is computed with ranges and multiranges.

use std::sync::Arc;

use super::{Bound, Multirange, Range, Span, algebra, element_of, normalized};
use crate::arguments::{array, is_null, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::Value;

/// A test of two sets of values.
type Test = fn(TypeId, &[Span], &[Span]) -> Result<bool>;

macro_rules! tests {
    ($($test:expr => $($source:literal)*;)*) => {
        &[$($(entry($source, |_, args| test(args, $test)),)*)*]
    };
}

/// The tests: the same for ranges and multiranges.
pub(crate) const TESTS: &[Entry] = tests! {
    |_, left, right| Ok(algebra::overlaps(left, right)) =>
        "range_overlaps" "range_overlaps_multirange" "multirange_overlaps_range"
        "multirange_overlaps_multirange";
    |_, left, right| Ok(algebra::contains(left, right)) =>
        "range_contains" "range_contains_multirange" "multirange_contains_range"
        "multirange_contains_multirange";
    |_, left, right| Ok(algebra::contains(right, left)) =>
        "range_contained_by" "range_contained_by_multirange" "multirange_contained_by_range"
        "multirange_contained_by_multirange";
    |_, left, right| Ok(by_hull(left, right, |left, right| left.1.compare(right.0).is_lt())) =>
        "range_before" "range_before_multirange" "multirange_before_range"
        "multirange_before_multirange";
    |_, left, right| Ok(by_hull(left, right, |left, right| left.0.compare(right.1).is_gt())) =>
        "range_after" "range_after_multirange" "multirange_after_range"
        "multirange_after_multirange";
    |_, left, right| Ok(by_hull(left, right, |left, right| left.1.compare(right.1).is_le())) =>
        "range_overleft" "range_overleft_multirange" "multirange_overleft_range"
        "multirange_overleft_multirange";
    |_, left, right| Ok(by_hull(left, right, |left, right| left.0.compare(right.0).is_ge())) =>
        "range_overright" "range_overright_multirange" "multirange_overright_range"
        "multirange_overright_multirange";
    adjacent =>
        "range_adjacent" "range_adjacent_multirange" "multirange_adjacent_range"
        "multirange_adjacent_multirange";
};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("range_contains_elem", |_, args| contains_element(args, 0, 1)),
    entry("elem_contained_by_range", |_, args| contains_element(args, 1, 0)),
    entry("multirange_contains_elem", |_, args| contains_element(args, 0, 1)),
    entry("elem_contained_by_multirange", |_, args| contains_element(args, 1, 0)),
    entry("range_lower", |_, args| Ok(limit(lower(args)?))),
    entry("multirange_lower", |_, args| Ok(limit(lower(args)?))),
    entry("range_upper", |_, args| Ok(limit(upper(args)?))),
    entry("multirange_upper", |_, args| Ok(limit(upper(args)?))),
    entry("range_lower_inc", |_, args| Ok(is_inclusive(lower(args)?))),
    entry("multirange_lower_inc", |_, args| Ok(is_inclusive(lower(args)?))),
    entry("range_upper_inc", |_, args| Ok(is_inclusive(upper(args)?))),
    entry("multirange_upper_inc", |_, args| Ok(is_inclusive(upper(args)?))),
    entry("range_lower_inf", |_, args| Ok(is_infinite(lower(args)?))),
    entry("multirange_lower_inf", |_, args| Ok(is_infinite(lower(args)?))),
    entry("range_upper_inf", |_, args| Ok(is_infinite(upper(args)?))),
    entry("multirange_upper_inf", |_, args| Ok(is_infinite(upper(args)?))),
    entry("range_empty", |_, args| Ok(Value::Bool(operand(args, 0)?.1.is_empty()))),
    entry("multirange_empty", |_, args| Ok(Value::Bool(operand(args, 0)?.1.is_empty()))),
    entry("range_constructor2", |call, args| construct(call, args, "[)")),
    entry("range_constructor3", |call, args| {
        if is_null(args, 2) {
            let message = "range constructor flags argument must not be null";
            return Err(PgError::new("22000", message));
        }
        construct(call, args, text(args, 2)?)
    }),
    entry("multirange_constructor0", |call, _| Ok(multirange(element(call)?, Vec::new()))),
    entry("multirange_constructor1", |call, args| {
        Ok(multirange(element(call)?, operand(args, 0)?.1.to_vec()))
    }),
    entry("multirange_constructor2", from_array),
    entry("range_union", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        let is_apart = !left.is_empty()
            && !right.is_empty()
            && !algebra::overlaps(left, right)
            && !adjacent(element, left, right)?;
        if is_apart {
            let message = "result of range union would not be contiguous";
            return Err(PgError::new("22000", message));
        }
        merge(element, [left, right].concat())
    }),
    entry("range_merge", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        merge(element, [left, right].concat())
    }),
    entry("range_merge_from_multirange", |_, args| {
        let (element, spans) = operand(args, 0)?;
        merge(element, spans.to_vec())
    }),
    entry("range_intersect", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        let span = algebra::intersection(element, left, right)?.pop();
        Ok(Value::Range(Arc::new(Range { element, span })))
    }),
    entry("range_minus", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        let mut rest = algebra::difference(element, left, right)?;
        let is_split = left.iter().zip(right).any(|(left, right)| {
            left.lower.compare(&right.lower).is_lt() && left.upper.compare(&right.upper).is_gt()
        });
        if is_split {
            let message = "result of range difference would not be contiguous";
            return Err(PgError::new("22000", message));
        }
        Ok(Value::Range(Arc::new(Range { element, span: rest.pop() })))
    }),
    entry("multirange_union", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        Ok(multirange(element, normalized(element, [left, right].concat())?))
    }),
    entry("multirange_intersect", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        let common = algebra::intersection(element, left, right)?;
        Ok(multirange(element, normalized(element, common)?))
    }),
    entry("multirange_minus", |_, args| {
        let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
        let rest = algebra::difference(element, left, right)?;
        Ok(multirange(element, normalized(element, rest)?))
    }),
    entry("int4range_canonical", |_, args| operand(args, 0).map(|_| args[0].clone())),
    entry("int8range_canonical", |_, args| operand(args, 0).map(|_| args[0].clone())),
    entry("daterange_canonical", |_, args| operand(args, 0).map(|_| args[0].clone())),
];

/// The element type and the spans of a range or multirange.
pub(crate) fn operand(args: &[Value], place: usize) -> Result<(TypeId, &[Span])> {
    match args.get(place) {
        Some(Value::Range(range)) => Ok((range.element, range.spans())),
        Some(Value::Multirange(value)) => Ok((value.element, &value.spans)),
        other => Err(PgError::internal(format!("{other:?} is no range"))),
    }
}

/// Makes a multirange of spans that are in their normal form.
pub(crate) fn multirange(element: TypeId, spans: Vec<Span>) -> Value {
    Value::Multirange(Arc::new(Multirange { element, spans }))
}

fn element(call: &CallContext<'_>) -> Result<TypeId> {
    element_of(call.result).ok_or_else(|| PgError::internal("the result is no range"))
}

fn test(args: &[Value], test: Test) -> Result<Value> {
    let ((element, left), (_, right)) = (operand(args, 0)?, operand(args, 1)?);
    test(element, left, right).map(Value::Bool)
}

/// A test of the outermost bounds, which holds for nothing that is empty.
fn by_hull(
    left: &[Span],
    right: &[Span],
    test: fn((&Bound, &Bound), (&Bound, &Bound)) -> bool,
) -> bool {
    match (algebra::hull(left), algebra::hull(right)) {
        (Some(left), Some(right)) => test(left, right),
        _ => false,
    }
}

fn adjacent(element: TypeId, left: &[Span], right: &[Span]) -> Result<bool> {
    let (Some(left), Some(right)) = (algebra::hull(left), algebra::hull(right)) else {
        return Ok(false);
    };
    Ok(algebra::adjacent_bounds(element, left.1, right.0)?
        || algebra::adjacent_bounds(element, right.1, left.0)?)
}

fn contains_element(args: &[Value], set: usize, element: usize) -> Result<Value> {
    let element = args.get(element).ok_or_else(|| PgError::internal("an element is looked for"))?;
    Ok(Value::Bool(algebra::contains_element(operand(args, set)?.1, element)))
}

fn lower(args: &[Value]) -> Result<Option<&Bound>> {
    Ok(algebra::hull(operand(args, 0)?.1).map(|hull| hull.0))
}

fn upper(args: &[Value]) -> Result<Option<&Bound>> {
    Ok(algebra::hull(operand(args, 0)?.1).map(|hull| hull.1))
}

fn limit(bound: Option<&Bound>) -> Value {
    bound.and_then(|bound| bound.value.clone()).unwrap_or(Value::Null)
}

fn is_inclusive(bound: Option<&Bound>) -> Value {
    Value::Bool(bound.is_some_and(|bound| bound.inclusive))
}

fn is_infinite(bound: Option<&Bound>) -> Value {
    Value::Bool(bound.is_some_and(|bound| bound.value.is_none()))
}

fn construct(call: &CallContext<'_>, args: &[Value], flags: &str) -> Result<Value> {
    let inclusive = match flags {
        "[]" => (true, true),
        "[)" => (true, false),
        "(]" => (false, true),
        "()" => (false, false),
        _ => {
            return Err(PgError::new("42601", "invalid range bound flags")
                .with_hint("Valid values are \"[]\", \"[)\", \"(]\", and \"()\"."));
        }
    };
    let bound = |place: usize, inclusive, is_lower| {
        let value = args.get(place).filter(|value| !value.is_null()).cloned();
        Bound { value, inclusive, is_lower }
    };
    let element = element(call)?;
    let span = Span::new(element, bound(0, inclusive.0, true), bound(1, inclusive.1, false))?;
    Ok(Value::Range(Arc::new(Range { element, span })))
}

fn from_array(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let element = element(call)?;
    let ranges = array(args, 0)?;
    if ranges.dimensions.len() > 1 {
        let message = "multiranges cannot be constructed from multidimensional arrays";
        return Err(PgError::new("21000", message));
    }
    let mut spans = Vec::new();
    for range in &ranges.elements {
        match range {
            Value::Range(range) => spans.extend(range.spans().iter().cloned()),
            _ => {
                let message = "multirange values cannot contain null members";
                return Err(PgError::new("22004", message));
            }
        }
    }
    Ok(multirange(element, normalized(element, spans)?))
}

/// The one range over spans, with the gaps between them.
fn merge(element: TypeId, spans: Vec<Span>) -> Result<Value> {
    let lower = spans.iter().map(|span| &span.lower).min_by(|a, b| a.compare(b)).cloned();
    let upper = spans.iter().map(|span| &span.upper).max_by(|a, b| a.compare(b)).cloned();
    let span = match (lower, upper) {
        (Some(lower), Some(upper)) => Span::new(element, lower, upper)?,
        _ => None,
    };
    Ok(Value::Range(Arc::new(Range { element, span })))
}
