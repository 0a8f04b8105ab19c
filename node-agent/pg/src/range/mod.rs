//! Ranges and multiranges (the manual's sections 8.17 and 9.20).
//!
//! A range is none or one [`Span`], a multirange any number of them in order, that neither touch nor overlap. What both
//! have in common works on slices of spans.

mod algebra;
mod functions;
mod text;
mod wire;

use std::cmp::Ordering;

use crate::error::{PgError, Result};
use crate::order::compare;
use crate::types::TypeId;
use crate::value::Value;

pub(crate) use algebra::{intersection, normalized};
pub(crate) use functions::{FUNCTIONS, TESTS, multirange, operand};
pub(crate) use text::{input, input_multirange, output, output_multirange};
pub(crate) use wire::{decode, decode_multirange, encode, encode_multirange};

/// A range: the values between two bounds, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The type of the bounds.
    pub element: TypeId,
    /// What it reaches over; `None` for the empty range.
    pub span: Option<Span>,
}

/// Ranges of one type in ascending order, with gaps between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Multirange {
    /// The type of the bounds.
    pub element: TypeId,
    /// What it reaches over.
    pub spans: Vec<Span>,
}

/// A part of a type's values that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where it begins.
    pub lower: Bound,
    /// Where it ends.
    pub upper: Bound,
}

/// One end of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The value; `None` for no limit.
    pub value: Option<Value>,
    /// Whether the value itself is in the span.
    pub inclusive: bool,
    /// Which end it is.
    pub is_lower: bool,
}

impl Range {
    /// What it reaches over, as of a multirange.
    pub fn spans(&self) -> &[Span] {
        self.span.as_slice()
    }
}

/// The element type of a range type or multirange type.
pub(crate) fn element_of(ty: TypeId) -> Option<TypeId> {
    let ranges = crate::catalog::ranges();
    ranges.iter().find(|range| range.id == ty || range.multirange == ty).map(|range| range.element)
}

impl Bound {
    /// The order of two bounds, of either end.
    pub fn compare(&self, other: &Self) -> Ordering {
        let side = |is_lower: bool| if is_lower { Ordering::Less } else { Ordering::Greater };
        match (&self.value, &other.value) {
            (None, None) => other.is_lower.cmp(&self.is_lower),
            (None, Some(_)) => side(self.is_lower),
            (Some(_), None) => side(other.is_lower).reverse(),
            (Some(left), Some(right)) => compare(left, right).then_with(|| {
                // An exclusive lower bound lies behind its value, an exclusive upper bound before it.
                self.offset().cmp(&other.offset())
            }),
        }
    }

    fn offset(&self) -> i8 {
        match (self.inclusive, self.is_lower) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => -1,
        }
    }

    /// The bound of what lies on its other side.
    fn flipped(&self) -> Self {
        Self { value: self.value.clone(), inclusive: !self.inclusive, is_lower: !self.is_lower }
    }
}

impl Span {
    /// Makes a span in its normal form; `None` if nothing is in it.
    ///
    /// # Errors
    /// `22000` for bounds the wrong way round, `22003` and `22008` where the type has no next value.
    pub fn new(element: TypeId, lower: Bound, upper: Bound) -> Result<Option<Self>> {
        let Some(mut span) = Self::checked(lower, upper)? else { return Ok(None) };
        let is_discrete = matches!(element, TypeId::INT4 | TypeId::INT8 | TypeId::DATE);
        if !is_discrete {
            return Ok(Some(span));
        }
        // Of discrete values the next one is a better bound: the lower inclusive, the upper exclusive.
        for (bound, wanted) in [(&mut span.lower, true), (&mut span.upper, false)] {
            if let Some(value) = &bound.value
                && bound.inclusive != wanted
                && let Some(next) = next(value)?
            {
                bound.value = Some(next);
                bound.inclusive = wanted;
            }
        }
        Self::checked(span.lower, span.upper)
    }

    fn checked(mut lower: Bound, mut upper: Bound) -> Result<Option<Self>> {
        lower.inclusive &= lower.value.is_some();
        upper.inclusive &= upper.value.is_some();
        if let (Some(low), Some(high)) = (&lower.value, &upper.value) {
            match compare(low, high) {
                Ordering::Less => {}
                Ordering::Equal if lower.inclusive && upper.inclusive => {}
                Ordering::Equal => return Ok(None),
                Ordering::Greater => {
                    return Err(PgError::new(
                        "22000",
                        "range lower bound must be less than or equal to range upper bound",
                    ));
                }
            }
        }
        Ok(Some(Self { lower, upper }))
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.lower.compare(&other.lower).then_with(|| self.upper.compare(&other.upper))
    }
}

/// The days that a `date` can be: the last is 5874897-12-31.
const DATES: std::ops::Range<i32> = -2_451_545..2_145_031_949;

/// The value that follows; `None` for a date without one, an infinity.
fn next(value: &Value) -> Result<Option<Value>> {
    match value {
        Value::Int4(value) => match value.checked_add(1) {
            Some(next) => Ok(Some(Value::Int4(next))),
            None => Err(PgError::out_of_range("integer")),
        },
        Value::Int8(value) => match value.checked_add(1) {
            Some(next) => Ok(Some(Value::Int8(next))),
            None => Err(PgError::out_of_range("bigint")),
        },
        Value::Date(i32::MIN | i32::MAX) => Ok(None),
        Value::Date(day) if DATES.contains(&(day + 1)) => Ok(Some(Value::Date(day + 1))),
        Value::Date(_) => Err(PgError::new("22008", "date out of range")),
        other => Err(PgError::internal(format!("{other:?} is no discrete value"))),
    }
}

/// The order of ranges: the empty one first, then by lower and upper bound; of multiranges: span by span, the shorter first.
pub(crate) fn compare_spans(left: &[Span], right: &[Span]) -> Ordering {
    let mut orders = left.iter().zip(right).map(|(left, right)| left.compare(right));
    orders.find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// Appends bytes in that order.
pub(crate) fn encode_ordered(spans: &[Span], out: &mut Vec<u8>) {
    for span in spans {
        out.push(1);
        for bound in [&span.lower, &span.upper] {
            match &bound.value {
                None => out.push(if bound.is_lower { 0 } else { 2 }),
                Some(value) => {
                    out.push(1);
                    crate::order::encode_ordered(value, out);
                    out.push(u8::try_from(bound.offset() + 1).unwrap_or(1));
                }
            }
        }
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;

    fn check(text: &str, element: TypeId, expected: &str) {
        let context = Context::default();
        let shown = match input(text, element, &context) {
            Ok(range) => {
                let mut out = Vec::new();
                output(&range, &context, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
            Err(error) => format!("{} {}", error.message(), error.detail().unwrap_or_default()),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn ranges_are_read_in_their_normal_form() {
        check("[1,5]", TypeId::INT4, "[1,6)");
        check(" ( 1 , 5 ) ", TypeId::INT4, "[2,5)");
        check("(1,2)", TypeId::INT4, "empty");
        check("(1,2)", TypeId::NUMERIC, "(1,2)");
        check("[,]", TypeId::NUMERIC, "(,)");
        check("Empty ", TypeId::NUMERIC, "empty");
        check("[\"1\",2]", TypeId::NUMERIC, "[1,2]");
        check("[2000-01-01,infinity]", TypeId::DATE, "[2000-01-01,infinity]");
        check(
            "[2,1]",
            TypeId::INT4,
            "range lower bound must be less than or equal to range upper bound ",
        );
        check("[1,2147483647]", TypeId::INT4, "integer out of range ");
        check("[1", TypeId::INT4, "malformed range literal: \"[1\" Unexpected end of input.");
    }

    #[test]
    fn multiranges_are_joined() {
        let context = Context::default();
        let read = |text: &str| input_multirange(text, TypeId::INT4, &context);
        let shown = |text: &str| {
            let mut out = Vec::new();
            output_multirange(&read(text).expect("a multirange"), &context, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(shown("{[5,7), [1,2], empty ,[3,4)}"), "{[1,4),[5,7)}");
        assert_eq!(shown("{}"), "{}");
        let error = read("{[1,2)").expect_err("it has no end");
        assert_eq!(error.detail(), Some("Unexpected end of input."));
    }
}
