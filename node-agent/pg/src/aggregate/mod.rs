//! Aggregates: whole, and split into a partial half that a shard's database computes and a final half that combines.

mod collect;
mod count;
mod document;
mod extreme;
mod hypothetical;
mod logic;
mod moments;
mod ordered;
mod ranges;
mod regression;
mod split;
mod sum;
#[cfg(test)]
mod tests;

use crate::catalog::Function;
use crate::context::{CallContext, Context};
use crate::error::Result;
use crate::expr::{Expr, FunctionId};
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// One group's running state of a whole aggregate.
pub trait Accumulator: Send + std::fmt::Debug {
    /// Takes the direct arguments of an ordered-set aggregate, once, before its rows.
    fn begin(&mut self, _direct: &[Value]) {}

    /// Takes the directions of WITHIN GROUP, once, before its rows: what a hypothetical row is compared by.
    fn sorted_by(&mut self, _directions: &[Direction]) {}

    /// Takes how many rows come whose first value is not NULL, once, before its rows and after its direct arguments: an
    /// ordered-set aggregate then keeps only those that it needs.
    fn expect(&mut self, _rows: usize) {}

    /// Takes one row's arguments (none for `count(*)`). The caller has applied FILTER, DISTINCT and ORDER BY; strictness
    /// is the accumulator's own. An ordered-set aggregate takes the values of WITHIN GROUP, in their order.
    ///
    /// # Errors
    /// What PostgreSQL raises (`22003`, …).
    fn accumulate(&mut self, call: &CallContext<'_>, args: &[Value]) -> Result<()>;

    /// Takes back a row's arguments, the first ones of those taken and not yet taken back, when a window's frame has left
    /// them behind. `false` when the state cannot say what it would be without them: then nothing has happened.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    fn retract(&mut self, _call: &CallContext<'_>, _args: &[Value]) -> Result<bool> {
        Ok(false)
    }

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

/// How values of one key are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// Whether an aggregate wants WITHIN GROUP: its arguments are direct, and its rows the values that are sorted there.
pub fn is_ordered_set(function: FunctionId) -> bool {
    crate::catalog::aggregate(function).is_some_and(|aggregate| aggregate.kind != 'n')
}

/// Whether an aggregate asks where a row of direct arguments would be among the sorted ones.
pub fn is_hypothetical(function: FunctionId) -> bool {
    crate::catalog::aggregate(function).is_some_and(|aggregate| aggregate.kind == 'h')
}

/// The types that tell the aggregate of a call: those of its arguments and, of an ordered-set one, of what is sorted.
pub fn input_types(call: &crate::expr::Aggregate) -> Vec<TypeId> {
    let mut types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
    if is_ordered_set(call.function) {
        types.extend(call.order_by.iter().map(|key| key.expr.type_id()));
    }
    types
}

/// Makes the state of an aggregate over arguments of the given (resolved) types, if it is computed here. For an
/// ordered-set aggregate they are those of [`input_types`].
pub fn accumulator(
    function: FunctionId,
    args: &[TypeId],
    _context: &Context,
) -> Option<Box<dyn Accumulator>> {
    let aggregate = aggregate(function)?;
    let argument = args.first().copied();
    Some(match (aggregate.name, aggregate.args) {
        ("count", _) => Box::new(count::Count::default()),
        ("regr_count", _) => Box::new(count::PairCount::default()),
        ("sum", [TypeId::INT2 | TypeId::INT4]) => Box::new(sum::ShortSum::default()),
        ("sum", [TypeId::INT8]) => Box::new(sum::LongSum::sum()),
        ("avg", [TypeId::INT2 | TypeId::INT4 | TypeId::INT8]) => Box::new(sum::LongSum::average()),
        ("sum", [TypeId::NUMERIC]) => Box::new(sum::NumericSum::sum()),
        ("avg", [TypeId::NUMERIC]) => Box::new(sum::NumericSum::average()),
        ("sum", [TypeId::FLOAT4]) => Box::new(sum::SingleSum::default()),
        ("sum", [TypeId::FLOAT8]) => Box::new(sum::DoubleSum::default()),
        ("sum", [TypeId::INTERVAL]) => Box::new(sum::IntervalSum::sum()?),
        ("avg", [TypeId::INTERVAL]) => Box::new(sum::IntervalSum::average()?),
        (name, [TypeId::FLOAT4 | TypeId::FLOAT8]) if moments::Statistic::named(name).is_some() => {
            Box::new(moments::FloatMoments::new(moments::Statistic::named(name)?))
        }
        (name, [TypeId::INT2 | TypeId::INT4 | TypeId::INT8 | TypeId::NUMERIC])
            if moments::Statistic::named(name).is_some() =>
        {
            Box::new(moments::NumericMoments::new(moments::Statistic::named(name)?))
        }
        ("percentile_disc", [_, TypeId::ANYELEMENT]) if extreme::is_ordered(*args.get(1)?) => {
            Box::new(ordered::Percentile::new(ordered::Kind::Discrete))
        }
        ("percentile_cont", _) => Box::new(ordered::Percentile::new(ordered::Kind::Continuous)),
        ("mode", _) if extreme::is_ordered(argument?) => Box::new(ordered::Mode::new()),
        (name, _) if is_hypothetical(function) => Box::new(hypothetical::Place::named(name)?),
        (name, [TypeId::FLOAT8, TypeId::FLOAT8]) => {
            Box::new(regression::Regression::new(regression::Statistic::named(name)?))
        }
        ("min", [_]) if extreme::is_ordered(argument?) => Box::new(extreme::Extreme::least()),
        ("max", [_]) if extreme::is_ordered(argument?) => Box::new(extreme::Extreme::greatest()),
        (name, [_]) if logic::Logic::named(name).is_some() => Box::new(logic::Logic::named(name)?),
        ("string_agg", _) => Box::new(collect::StringAggregate::default()),
        ("array_agg", [TypeId::ANYARRAY]) => Box::new(collect::NestedArray::default()),
        ("array_agg", _) => Box::new(collect::FlatArray::default()),
        ("range_agg", _) => Box::new(ranges::Union::default()),
        ("range_intersect_agg", _) => Box::new(ranges::Intersection::default()),
        ("json_agg", _) => Box::new(document::JsonArray::default()),
        ("jsonb_agg", _) => Box::new(document::JsonbArray::default()),
        ("json_object_agg", _) => Box::new(document::JsonObject::default()),
        ("jsonb_object_agg", _) => Box::new(document::JsonbObject::default()),
        _ => return None,
    })
}

/// The catalog's entry, if it is an aggregate.
fn aggregate(function: FunctionId) -> Option<&'static Function> {
    crate::catalog::function(function).filter(|function| function.kind == 'a')
}

/// How an aggregate splits over shards.
#[derive(Debug)]
pub struct Split {
    /// What each shard computes under the same filter.
    pub partials: Vec<Partial>,
    /// Makes the state that combines the partials of one group.
    pub combiner: fn() -> Box<dyn Combiner>,
}

/// An ordinary aggregate that a shard computes as a part of another.
#[derive(Debug)]
pub struct Partial {
    /// The aggregate.
    pub function: FunctionId,
    /// Makes its arguments from those of the whole aggregate.
    pub args: fn(&[Expr]) -> Vec<Expr>,
    /// The type of its result.
    pub ty: TypeRef,
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

/// How the aggregate combines from partial halves, if it does exactly (floats: as PostgreSQL's own parallel aggregation
/// does). Only for calls without DISTINCT and ORDER BY.
pub fn split(function: FunctionId, args: &[TypeId]) -> Option<Split> {
    split::split(aggregate(function)?, args)
}
