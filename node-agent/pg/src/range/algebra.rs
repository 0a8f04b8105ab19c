//! What spans have to do with each other.

use std::cmp::Ordering;

use super::{Bound, Span};
use crate::error::Result;
use crate::order::compare;
use crate::types::TypeId;
use crate::value::Value;

fn is_discrete(element: TypeId) -> bool {
    matches!(element, TypeId::INT4 | TypeId::INT8 | TypeId::DATE)
}

/// Whether nothing lies between an upper bound and a lower one, and nothing in both.
pub(super) fn adjacent_bounds(element: TypeId, upper: &Bound, lower: &Bound) -> Result<bool> {
    let (Some(end), Some(start)) = (&upper.value, &lower.value) else { return Ok(false) };
    match compare(end, start) {
        Ordering::Greater => Ok(false),
        Ordering::Equal => Ok(upper.inclusive != lower.inclusive),
        Ordering::Less if !is_discrete(element) => Ok(false),
        Ordering::Less => Ok(Span::new(element, upper.flipped(), lower.flipped())?.is_none()),
    }
}

/// Sorts spans and joins those that touch or overlap.
pub(crate) fn normalized(element: TypeId, mut spans: Vec<Span>) -> Result<Vec<Span>> {
    spans.sort_by(Span::compare);
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last)
                if last.upper.compare(&span.lower).is_ge()
                    || adjacent_bounds(element, &last.upper, &span.lower)? =>
            {
                if last.upper.compare(&span.upper).is_lt() {
                    last.upper = span.upper;
                }
            }
            _ => joined.push(span),
        }
    }
    Ok(joined)
}

/// The first lower and the last upper bound.
pub(super) fn hull(spans: &[Span]) -> Option<(&Bound, &Bound)> {
    Some((&spans.first()?.lower, &spans.last()?.upper))
}

pub(super) fn overlaps(left: &[Span], right: &[Span]) -> bool {
    left.iter().any(|left| right.iter().any(|right| span_overlaps(left, right)))
}

fn span_overlaps(left: &Span, right: &Span) -> bool {
    left.lower.compare(&right.upper).is_le() && right.lower.compare(&left.upper).is_le()
}

/// Whether each span of the second lies in one of the first.
pub(super) fn contains(outer: &[Span], inner: &[Span]) -> bool {
    inner.iter().all(|inner| {
        outer.iter().any(|outer| {
            outer.lower.compare(&inner.lower).is_le() && outer.upper.compare(&inner.upper).is_ge()
        })
    })
}

pub(super) fn contains_element(spans: &[Span], element: &Value) -> bool {
    spans.iter().any(|span| {
        let order = |bound: &Bound| bound.value.as_ref().map(|value| compare(value, element));
        let is_behind_lower = match order(&span.lower) {
            None | Some(Ordering::Less) => true,
            Some(Ordering::Equal) => span.lower.inclusive,
            Some(Ordering::Greater) => false,
        };
        is_behind_lower
            && match order(&span.upper) {
                None | Some(Ordering::Greater) => true,
                Some(Ordering::Equal) => span.upper.inclusive,
                Some(Ordering::Less) => false,
            }
    })
}

/// What lies in both.
pub(crate) fn intersection(element: TypeId, left: &[Span], right: &[Span]) -> Result<Vec<Span>> {
    let mut common = Vec::new();
    for left in left {
        for right in right.iter().filter(|right| span_overlaps(left, right)) {
            let lower = if left.lower.compare(&right.lower).is_ge() { left } else { right };
            let upper = if left.upper.compare(&right.upper).is_le() { left } else { right };
            common.extend(Span::new(element, lower.lower.clone(), upper.upper.clone())?);
        }
    }
    Ok(common)
}

/// What lies in the first and not in the second.
pub(super) fn difference(element: TypeId, left: &[Span], right: &[Span]) -> Result<Vec<Span>> {
    let mut rest = left.to_vec();
    for taken in right {
        let mut kept = Vec::with_capacity(rest.len() + 1);
        for span in rest {
            if !span_overlaps(&span, taken) {
                kept.push(span);
                continue;
            }
            if span.lower.compare(&taken.lower).is_lt() {
                kept.extend(Span::new(element, span.lower.clone(), taken.lower.flipped())?);
            }
            if span.upper.compare(&taken.upper).is_gt() {
                kept.extend(Span::new(element, taken.upper.flipped(), span.upper)?);
            }
        }
        rest = kept;
    }
    Ok(rest)
}
