//! Arrays as rows: `unnest`, `generate_subscripts`.

use super::{Entry, RowSource, Rows, entry};
use crate::arguments::{array, boolean, int4};
use crate::error::Result;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("array_unnest", |_, args| Ok(Rows::column(array(args, 0)?.elements.clone()))),
    entry("multirange_unnest", |_, args| {
        let (element, spans) = crate::range::operand(args, 0)?;
        let range = |span: &crate::value::Span| {
            let range = crate::value::Range { element, span: Some(span.clone()) };
            Value::Range(std::sync::Arc::new(range))
        };
        Ok(Rows::column(spans.iter().map(range).collect()))
    }),
    entry("generate_subscripts", |_, args| subscripts(args, boolean(args, 2)?)),
    entry("generate_subscripts_nodir", |_, args| subscripts(args, false)),
];

fn subscripts(args: &[Value], is_reversed: bool) -> Result<Box<dyn RowSource>> {
    let place = int4(args, 1)?.checked_sub(1).and_then(|place| usize::try_from(place).ok());
    let dimension =
        place.and_then(|place| Some(array(args, 0).ok()?.dimensions.get(place).copied()));
    let Some(Some(dimension)) = dimension else { return Ok(Rows::column(Vec::new())) };
    let subscripts = dimension.lower..dimension.lower.saturating_add(dimension.length);
    let mut subscripts: Vec<Value> = subscripts.map(Value::Int4).collect();
    if is_reversed {
        subscripts.reverse();
    }
    Ok(Rows::column(subscripts))
}
