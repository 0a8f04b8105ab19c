//! `range_agg` and `range_intersect_agg`, over ranges and multiranges.

use std::sync::Arc;

use super::Accumulator;
use crate::context::CallContext;
use crate::error::Result;
use crate::range::{intersection, multirange, normalized, operand};
use crate::types::TypeId;
use crate::value::{Range, Span, Value};

/// Everything that lies in any of the ranges, as a multirange.
#[derive(Debug, Default)]
pub(super) struct Union {
    spans: Option<(TypeId, Vec<Span>)>,
}

impl Accumulator for Union {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        if args.first().is_none_or(Value::is_null) {
            return Ok(());
        }
        let (element, spans) = operand(args, 0)?;
        self.spans.get_or_insert((element, Vec::new())).1.extend_from_slice(spans);
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        let Some((element, spans)) = &self.spans else { return Ok(Value::Null) };
        Ok(multirange(*element, normalized(*element, spans.clone())?))
    }

    fn held_bytes(&self) -> usize {
        self.spans.as_ref().map_or(0, |(_, spans)| spans.capacity() * size_of::<Span>())
    }
}

/// What lies in all of them; of the arguments' own type.
#[derive(Debug, Default)]
pub(super) struct Intersection {
    common: Option<Value>,
}

impl Accumulator for Intersection {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let Some(value) = args.first().filter(|value| !value.is_null()) else { return Ok(()) };
        let Some(before) = &self.common else {
            self.common = Some(value.clone());
            return Ok(());
        };
        let (element, next) = operand(args, 0)?;
        let mut common = intersection(element, operand(std::slice::from_ref(before), 0)?.1, next)?;
        self.common = Some(match value {
            Value::Range(_) => Value::Range(Arc::new(Range { element, span: common.pop() })),
            _ => multirange(element, normalized(element, common)?),
        });
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.common.clone().unwrap_or(Value::Null))
    }
}
