//! `min` and `max`.

use std::cmp::Ordering;

use super::{Accumulator, Combiner};
use crate::context::CallContext;
use crate::error::Result;
use crate::order::compare;
use crate::types::TypeId;
use crate::value::Value;

/// The least or the greatest value.
#[derive(Debug)]
pub(super) struct Extreme {
    /// How a value stands to the others.
    wanted: Ordering,
    value: Value,
}

/// Whether values of the type can be read and have an order here.
pub(super) fn is_ordered(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::INT2
            | TypeId::INT4
            | TypeId::INT8
            | TypeId::OID
            | TypeId::FLOAT4
            | TypeId::FLOAT8
            | TypeId::NUMERIC
            | TypeId::TEXT
            | TypeId::VARCHAR
            | TypeId::NAME
            | TypeId::UNKNOWN
            | TypeId::BPCHAR
            | TypeId::DATE
            | TypeId::TIME
            | TypeId::TIMETZ
            | TypeId::TIMESTAMP
            | TypeId::TIMESTAMPTZ
            | TypeId::INTERVAL
            | TypeId::INET
            | TypeId::CIDR
    ) || ty.is_user()
        || crate::array::element_type(ty).is_some_and(is_array_element_ordered)
}

fn is_array_element_ordered(ty: TypeId) -> bool {
    is_ordered(ty)
        || matches!(ty, TypeId::BOOL | TypeId::CHAR | TypeId::BYTEA | TypeId::UUID | TypeId::JSONB)
}

impl Extreme {
    pub(super) fn least() -> Self {
        Self { wanted: Ordering::Less, value: Value::Null }
    }

    pub(super) fn greatest() -> Self {
        Self { wanted: Ordering::Greater, value: Value::Null }
    }

    /// Of values that compare as equal PostgreSQL keeps the last, of `char(n)` the first.
    fn take(&mut self, value: &Value) {
        if value.is_null() {
            return;
        }
        let keeps = !self.value.is_null() && {
            let order = compare(&self.value, value);
            order == self.wanted || (order.is_eq() && matches!(value, Value::Bpchar(_)))
        };
        if !keeps {
            self.value = value.clone();
        }
    }
}

impl Accumulator for Extreme {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        args.first().into_iter().for_each(|value| self.take(value));
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.value.clone())
    }

    fn held_bytes(&self) -> usize {
        super::collect::held_bytes(&self.value)
    }
}

impl Combiner for Extreme {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        partials.first().into_iter().for_each(|value| self.take(value));
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        Ok(self.value.clone())
    }
}
