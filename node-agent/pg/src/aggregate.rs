//! Aggregates: whole, and split into a partial half that a shard's database computes and a final half that combines.

use crate::context::{CallContext, Context};
use crate::error::Result;
use crate::expr::FunctionId;
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// One group's running state of a whole aggregate.
pub trait Accumulator: Send + std::fmt::Debug {
    /// Takes one row's arguments (none for `count(*)`). The caller has applied FILTER, DISTINCT and ORDER BY; strictness
    /// is the accumulator's own.
    ///
    /// # Errors
    /// What PostgreSQL raises (`22003`, …).
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()>;

    /// The aggregate's value.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    fn finish(&self, call: &CallContext<'_>) -> Result<Value>;

    /// The bytes this state holds beyond its own size, for the statement's memory bound.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// Makes the state of an aggregate over arguments of the given (resolved) types, if it is computed here.
pub fn accumulator(
    _function: FunctionId,
    _args: &[TypeId],
    _context: &Context,
) -> Option<Box<dyn Accumulator>> {
    None
}

/// How an aggregate splits over shards.
#[derive(Debug)]
pub struct Split {
    /// What each shard computes over the same arguments and filter: ordinary aggregates, with their result types.
    pub partials: Vec<(FunctionId, TypeRef)>,
    /// Makes the state that combines the partials of one group.
    pub combiner: fn() -> Box<dyn Combiner>,
}

/// One group's running state over partial results.
pub trait Combiner: Send + std::fmt::Debug {
    /// Takes one shard's partial results, in the order of [`Split::partials`].
    ///
    /// # Errors
    /// What PostgreSQL raises.
    fn combine(&mut self, partials: &[Value]) -> Result<()>;

    /// The aggregate's value.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    fn finish(&self) -> Result<Value>;
}

/// How the aggregate combines from partial halves, if it does exactly. Only for calls without DISTINCT and ORDER BY.
pub fn split(_function: FunctionId, _args: &[TypeId]) -> Option<Split> {
    None
}
