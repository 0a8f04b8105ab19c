//! `count`.

use super::{Accumulator, Combiner};
use crate::arguments::arg;
use crate::context::CallContext;
use crate::error::Result;
use crate::value::Value;

/// `count(*)` and `count(x)`: the rows, or those whose argument is not NULL.
#[derive(Debug, Default)]
pub(super) struct Count {
    rows: i64,
}

impl Accumulator for Count {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        self.rows += i64::from(!args.first().is_some_and(Value::is_null));
        Ok(())
    }

    fn retract(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<bool> {
        self.rows -= i64::from(!args.first().is_some_and(Value::is_null));
        Ok(true)
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(Value::Int8(self.rows))
    }
}

impl Combiner for Count {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        self.rows += arg::<i64>(partials, 0)?;
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        Ok(Value::Int8(self.rows))
    }
}

/// `regr_count(y, x)`: the rows in which neither is NULL.
#[derive(Debug, Default)]
pub(super) struct PairCount {
    rows: i64,
}

impl Accumulator for PairCount {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        self.rows += i64::from(!args.iter().any(Value::is_null));
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(Value::Int8(self.rows))
    }
}
