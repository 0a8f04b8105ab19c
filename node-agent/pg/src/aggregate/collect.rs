//! The aggregates that keep every value: `string_agg`, `array_agg`.

use std::sync::Arc;

use super::Accumulator;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::types::TypeId;
use crate::value::{Array, Dimension, Value};

/// About how many bytes a value holds beyond its own size.
pub(super) fn held_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => text.len(),
        Value::Bytea(bytes) => bytes.len(),
        Value::Numeric(crate::value::Numeric::Finite { unscaled, .. }) => {
            usize::try_from(unscaled.bits() / 8).unwrap_or(usize::MAX)
        }
        Value::Array(array) => {
            array.elements.iter().map(|element| size_of::<Value>() + held_bytes(element)).sum()
        }
        Value::Record(fields) => {
            fields.iter().map(|(_, value)| size_of::<(TypeId, Value)>() + held_bytes(value)).sum()
        }
        Value::Bits(bits) => bits.bytes().len(),
        Value::Range(_) => size_of::<crate::value::Range>(),
        Value::Multirange(value) => value.spans.len() * size_of::<crate::value::Span>(),
        // A parsed document has no cheap size; its text would be about as long.
        Value::Jsonb(_) => 256,
        _ => 0,
    }
}

/// `string_agg(value, delimiter)` over text or bytes: the delimiter that comes with a value stands before it.
#[derive(Debug, Default)]
pub(super) struct StringAggregate {
    text: Option<Vec<u8>>,
}

impl Accumulator for StringAggregate {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let bytes = |place: usize| match args.get(place) {
            Some(Value::Text(text)) => Some(text.as_bytes()),
            Some(Value::Bytea(bytes)) => Some(&bytes[..]),
            _ => None,
        };
        let Some(value) = bytes(0) else { return Ok(()) };
        match &mut self.text {
            None => self.text = Some(value.to_vec()),
            Some(text) => {
                text.extend_from_slice(bytes(1).unwrap_or_default());
                text.extend_from_slice(value);
            }
        }
        Ok(())
    }

    fn finish(&self, call: &CallContext<'_>) -> Result<Value> {
        let Some(text) = &self.text else { return Ok(Value::Null) };
        if call.result == TypeId::BYTEA {
            return Ok(Value::Bytea(Arc::from(&text[..])));
        }
        let text =
            std::str::from_utf8(text).map_err(|_| PgError::internal("texts joined are text"))?;
        Ok(Value::Text(Arc::from(text)))
    }

    fn held_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Vec::capacity)
    }
}

/// `array_agg` over values that are no arrays; NULLs are kept.
#[derive(Debug, Default)]
pub(super) struct FlatArray {
    elements: Vec<Value>,
    held: usize,
}

impl Accumulator for FlatArray {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let element = args.first().cloned().unwrap_or(Value::Null);
        self.held += size_of::<Value>() + held_bytes(&element);
        self.elements.push(element);
        Ok(())
    }

    fn finish(&self, call: &CallContext<'_>) -> Result<Value> {
        if self.elements.is_empty() {
            return Ok(Value::Null);
        }
        let element = call.arguments.first().copied().unwrap_or(TypeId::UNKNOWN);
        Ok(Value::Array(Arc::new(Array::vector(element, self.elements.clone()))))
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}

/// `array_agg` over arrays of one shape: an array of one dimension more.
#[derive(Debug, Default)]
pub(super) struct NestedArray {
    count: i32,
    inner: Option<(TypeId, Vec<Dimension>)>,
    elements: Vec<Value>,
    held: usize,
}

impl Accumulator for NestedArray {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let Some(Value::Array(array)) = args.first() else {
            return Err(PgError::new("22004", "cannot accumulate null arrays"));
        };
        match &self.inner {
            None => {
                if array.dimensions.is_empty() {
                    return Err(PgError::new("2202E", "cannot accumulate empty arrays"));
                }
                if array.dimensions.len() >= crate::array::DIMENSIONS_MAX {
                    return Err(PgError::new(
                        "54000",
                        format!(
                            "number of array dimensions ({}) exceeds the maximum allowed ({})",
                            array.dimensions.len() + 1,
                            crate::array::DIMENSIONS_MAX
                        ),
                    ));
                }
                self.inner = Some((array.element_type, array.dimensions.clone()));
            }
            Some((_, dimensions)) => {
                let alike = dimensions.len() == array.dimensions.len()
                    && dimensions.iter().zip(&array.dimensions).all(|(a, b)| a == b);
                if !alike {
                    return Err(PgError::new(
                        "2202E",
                        "cannot accumulate arrays of different dimensionality",
                    ));
                }
            }
        }
        self.count += 1;
        for element in &array.elements {
            self.held += size_of::<Value>() + held_bytes(element);
            self.elements.push(element.clone());
        }
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        let Some((element_type, inner)) = &self.inner else { return Ok(Value::Null) };
        let mut dimensions = vec![Dimension { length: self.count, lower: 1 }];
        dimensions.extend_from_slice(inner);
        Ok(Value::Array(Arc::new(Array {
            element_type: *element_type,
            dimensions,
            elements: self.elements.clone(),
        })))
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}
