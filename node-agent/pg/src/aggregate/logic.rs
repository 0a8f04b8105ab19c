//! `bool_and`, `bool_or`, `every`, `bit_and`, `bit_or`, `bit_xor`.

use super::{Accumulator, Combiner};
use crate::context::CallContext;
use crate::error::Result;
use crate::value::Value;

/// A running conjunction, disjunction or exclusive disjunction, of truth values, of integers' bits or of bit strings.
#[derive(Debug)]
pub(super) struct Logic {
    operation: Operation,
    value: Value,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    And,
    Or,
    Xor,
}

impl Logic {
    /// The aggregate of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let operation = match name {
            "bool_and" | "every" | "bit_and" => Operation::And,
            "bool_or" | "bit_or" => Operation::Or,
            "bit_xor" => Operation::Xor,
            _ => return None,
        };
        Some(Self { operation, value: Value::Null })
    }

    fn take(&mut self, value: &Value) -> Result<()> {
        macro_rules! joined {
            ($a:expr, $b:expr) => {
                match self.operation {
                    Operation::And => $a & $b,
                    Operation::Or => $a | $b,
                    Operation::Xor => $a ^ $b,
                }
            };
        }
        self.value = match (&self.value, value) {
            (_, Value::Null) => return Ok(()),
            (Value::Bool(a), Value::Bool(b)) => Value::Bool(joined!(a, b)),
            (Value::Int2(a), Value::Int2(b)) => Value::Int2(joined!(a, b)),
            (Value::Int4(a), Value::Int4(b)) => Value::Int4(joined!(a, b)),
            (Value::Int8(a), Value::Int8(b)) => Value::Int8(joined!(a, b)),
            (left @ Value::Bits(_), right @ Value::Bits(_)) => {
                let operands = [left.clone(), right.clone()];
                match self.operation {
                    Operation::And => crate::bits::bitwise(&operands, "AND", |a, b| a & b)?,
                    Operation::Or => crate::bits::bitwise(&operands, "OR", |a, b| a | b)?,
                    Operation::Xor => crate::bits::bitwise(&operands, "XOR", |a, b| a ^ b)?,
                }
            }
            _ => value.clone(),
        };
        Ok(())
    }
}

impl Accumulator for Logic {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        args.first().map_or(Ok(()), |value| self.take(value))
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.value.clone())
    }
}

impl Combiner for Logic {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        partials.first().map_or(Ok(()), |value| self.take(value))
    }

    fn finish(&self) -> Result<Value> {
        Ok(self.value.clone())
    }
}
