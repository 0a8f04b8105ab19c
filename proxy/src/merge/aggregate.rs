//! Aggregates: whole, or combined from partial results.

use std::borrow::Cow;
use std::sync::Arc;

use dataman_pg::aggregate::{
    Accumulator, Combiner, accumulator, input_types, is_ordered_set, split,
};
use dataman_pg::expr::{Aggregate, FunctionId, SortKey};
use dataman_pg::types::TypeRef;
use dataman_pg::{CallContext, Context, Expr, PgError, TypeId, Value};

use super::collect::Collector;
use super::distinct::put_key_bytes;
use super::groups::{Aggregation, Groups, Sets};
use super::open::{Compiled, Run};
use super::rows::{Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::{GroupingSets, Operator};

/// Combines partial aggregates: the first `keys` columns are the group, then each aggregate's partial results.
pub(super) async fn combine<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    keys: usize,
    aggregates: &'a [Aggregate],
    sets: Option<&'a GroupingSets>,
) -> Result<Box<dyn ValueStream>, Error> {
    let mut combiners = Vec::new();
    for call in aggregates {
        let types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
        let split = split(call.function, &types)
            .ok_or_else(|| PgError::internal("a plan combines an aggregate that does not split"))?;
        combiners.push((split.combiner, split.partials.len()));
    }
    grouped(run, input, Partials { keys, combiners }, Sets::new(sets), keys).await
}

/// Aggregates rows whole.
pub(super) async fn group<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    keys: &'a [Expr],
    aggregates: &'a [Aggregate],
    sets: Option<&'a GroupingSets>,
) -> Result<Box<dyn ValueStream>, Error> {
    let keys = keys.iter().map(|key| run.compiled(key)).collect::<Result<Vec<_>, _>>()?;
    let calls =
        aggregates.iter().map(|call| Call::new(run, call)).collect::<Result<Vec<_>, _>>()?;
    let context = Arc::clone(run.context());
    let sets = Sets::new(sets);
    if calls.iter().any(Call::keeps_rows) {
        return Collector { keys, calls, sets, context }.open(run, input).await;
    }
    let count = keys.len();
    let whole = Whole { keys, calls, context, args: Vec::new() };
    grouped(run, input, whole, sets, count).await
}

/// Groups the rows of an operator by hash.
async fn grouped<'a, A: Aggregation + 'static>(
    run: &mut Run<'a>,
    input: &'a Operator,
    aggregation: A,
    sets: Sets,
    keys: usize,
) -> Result<Box<dyn ValueStream>, Error> {
    let mut groups = Groups::new(aggregation, sets, keys, &run.memory)?;
    let mut stream = run.values(input).await?;
    let read = async {
        while let Some(batch) = stream.next().await? {
            for row in &batch {
                groups.push(row).await?;
            }
        }
        Ok(())
    }
    .await;
    run.end(stream, read).await?;
    Ok(Box::new(groups.finish()))
}

/// What combines the partial results of one aggregate, and how many columns these are.
type Combining = (fn() -> Box<dyn Combiner>, usize);

/// Partial results, by group.
struct Partials {
    keys: usize,
    /// For each aggregate.
    combiners: Vec<Combining>,
}

impl Aggregation for Partials {
    type State = Vec<Box<dyn Combiner>>;

    fn count(&self) -> usize {
        self.combiners.len()
    }

    fn fresh(&self) -> Result<Self::State, PgError> {
        Ok(self.combiners.iter().map(|(make, _)| make()).collect())
    }

    fn key<'r>(&self, row: &'r [Value]) -> Result<Cow<'r, [Value]>, Error> {
        Ok(Cow::Borrowed(&row[..self.keys]))
    }

    fn take(&mut self, state: &mut Self::State, row: &[Value]) -> Result<usize, Error> {
        let mut partials = &row[self.keys..];
        for (combiner, (_, width)) in state.iter_mut().zip(&self.combiners) {
            let (own, rest) = partials.split_at(*width);
            combiner.combine(own)?;
            partials = rest;
        }
        Ok(0)
    }

    fn finish(&self, state: Self::State, row: &mut Row) -> Result<(), Error> {
        for combiner in &state {
            row.push(combiner.finish()?);
        }
        Ok(())
    }
}

/// Whole aggregates whose states do not keep rows.
struct Whole {
    keys: Vec<Compiled>,
    calls: Vec<Call>,
    context: Arc<Context>,
    /// Room for the arguments of the call in hand.
    args: Vec<Value>,
}

impl Aggregation for Whole {
    type State = Vec<Box<dyn Accumulator>>;

    fn count(&self) -> usize {
        self.calls.len()
    }

    fn fresh(&self) -> Result<Self::State, PgError> {
        self.calls.iter().map(|call| accumulator_of(call, &self.context)).collect()
    }

    fn key<'r>(&self, row: &'r [Value]) -> Result<Cow<'r, [Value]>, Error> {
        let key = self.keys.iter().map(|key| key.eval(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(Cow::Owned(key))
    }

    fn put_key(&self, row: &[Value], bytes: &mut Vec<u8>) -> Result<(), Error> {
        for key in &self.keys {
            put_key_bytes(std::iter::once(key.get(row)?.as_ref()), bytes);
        }
        Ok(())
    }

    fn take(&mut self, state: &mut Self::State, row: &[Value]) -> Result<usize, Error> {
        let mut grown = 0;
        for (call, state) in self.calls.iter().zip(state) {
            if !call.wants(row)? {
                continue;
            }
            let before = state.held_bytes();
            if let [arg] = call.args.as_slice() {
                let value = arg.get(row)?;
                let args = std::slice::from_ref(value.as_ref());
                state.accumulate(&call.context(&self.context), args)?;
            } else {
                self.args.clear();
                for arg in &call.args {
                    self.args.push(arg.eval(row)?);
                }
                state.accumulate(&call.context(&self.context), &self.args)?;
            }
            grown += state.held_bytes().saturating_sub(before);
        }
        Ok(grown)
    }

    fn finish(&self, state: Self::State, row: &mut Row) -> Result<(), Error> {
        for (call, state) in self.calls.iter().zip(state) {
            row.push(state.finish(&call.context(&self.context))?);
        }
        Ok(())
    }
}

/// One aggregate call, compiled.
pub(super) struct Call {
    function: FunctionId,
    ty: TypeRef,
    args: Vec<Compiled>,
    types: Vec<TypeId>,
    filter: Option<Compiled>,
    pub(super) distinct: bool,
    /// Its arguments are direct, and its rows the values of WITHIN GROUP.
    pub(super) is_ordered_set: bool,
    pub(super) order: Vec<Compiled>,
    pub(super) keys: Vec<SortKey>,
}

impl Call {
    fn new(run: &Run<'_>, call: &Aggregate) -> Result<Self, PgError> {
        let order = call.order_by.iter();
        Ok(Self {
            function: call.function,
            ty: call.ty,
            args: call.args.iter().map(|arg| run.compiled(arg)).collect::<Result<_, _>>()?,
            types: input_types(call),
            filter: call.filter.as_ref().map(|filter| run.compiled(filter)).transpose()?,
            distinct: call.distinct,
            is_ordered_set: is_ordered_set(call.function),
            order: order.map(|key| run.compiled(&key.expr)).collect::<Result<_, _>>()?,
            keys: call.order_by.clone(),
        })
    }

    /// Whether its state grows with each row.
    fn keeps_rows(&self) -> bool {
        let name =
            dataman_pg::catalog::function(self.function).map_or("", |function| function.name);
        self.distinct
            || self.is_ordered_set
            || !self.order.is_empty()
            || matches!(
                name,
                "array_agg"
                    | "string_agg"
                    | "json_agg"
                    | "jsonb_agg"
                    | "json_object_agg"
                    | "jsonb_object_agg"
                    | "range_agg"
                    | "xmlagg"
            )
    }

    /// Whether FILTER lets a row pass.
    pub(super) fn wants(&self, row: &[Value]) -> Result<bool, PgError> {
        self.filter.as_ref().map_or(Ok(true), |filter| filter.is_true(row))
    }

    /// The arguments for a row; those of an ordered-set aggregate are the direct ones.
    pub(super) fn arguments(&self, row: &[Value]) -> Result<Vec<Value>, PgError> {
        self.args.iter().map(|arg| arg.eval(row)).collect()
    }

    /// What the library is told of the call.
    pub(super) fn context<'c>(&'c self, context: &'c Context) -> CallContext<'c> {
        CallContext { context, arguments: &self.types, result: self.ty.id, variadic: false }
    }
}

/// A new group's state of a call.
pub(super) fn accumulator_of(
    call: &Call,
    context: &Context,
) -> Result<Box<dyn Accumulator>, PgError> {
    accumulator(call.function, &call.types, context)
        .ok_or_else(|| PgError::internal("a plan aggregates what the library does not compute"))
}
