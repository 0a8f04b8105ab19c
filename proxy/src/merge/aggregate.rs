//! Groups: whole, or combined from partial results.

use std::collections::{HashMap, HashSet};

use dataman_pg::aggregate::{
    Accumulator, Combiner, Direction, accumulator, input_types, is_ordered_set, split,
};
use dataman_pg::expr::{Aggregate, SortKey};
use dataman_pg::{CallContext, Expr, PgError, TypeId, Value};

use super::distinct::key_bytes;
use super::memory::Memory;
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{Held, Row, ValueStream};
use super::sort::compare;
use crate::error::Error;
use crate::plan::operator::{GroupingSets, Operator};

/// Groups in the order in which they were first met.
struct Groups<'a, S> {
    places: HashMap<Vec<u8>, usize>,
    groups: Vec<Group<S>>,
    sets: Option<&'a GroupingSets>,
}

struct Group<S> {
    /// Its grouping set, 0 if there are none.
    set: usize,
    key: Row,
    state: S,
}

impl<'a, S> Groups<'a, S> {
    fn new(sets: Option<&'a GroupingSets>) -> Self {
        Self { places: HashMap::new(), groups: Vec::new(), sets }
    }

    /// The group of everything, and of each empty set, is there without a row.
    fn begin(
        &mut self,
        keys: usize,
        memory: &Memory,
        fresh: &mut dyn FnMut() -> Result<S, PgError>,
    ) -> Result<(), Error> {
        let nothing = vec![Value::Null; keys];
        for set in 0..self.sets() {
            let is_empty = self.sets.map_or(keys == 0, |sets| sets.sets[set].is_empty());
            if is_empty {
                self.state(set, &nothing, memory, fresh)?;
            }
        }
        Ok(())
    }

    /// How many sets each row is grouped by.
    fn sets(&self) -> usize {
        self.sets.map_or(1, |sets| sets.sets.len())
    }

    /// The state of a row's group of a set; `fresh` makes a new one's.
    fn state(
        &mut self,
        set: usize,
        key: &[Value],
        memory: &Memory,
        fresh: &mut dyn FnMut() -> Result<S, PgError>,
    ) -> Result<&mut S, Error> {
        let chosen = self.sets.and_then(|sets| sets.sets.get(set));
        let bytes = match chosen {
            None => key_bytes(key.iter()),
            Some(chosen) => {
                let mut bytes = key_bytes(chosen.iter().filter_map(|place| key.get(*place)));
                bytes.extend_from_slice(&set.to_ne_bytes());
                bytes
            }
        };
        let place = match self.places.get(&bytes) {
            Some(place) => *place,
            None => {
                memory.take(bytes.len() + 128, "grouping")?;
                memory.take_row(key, "grouping")?;
                self.places.insert(bytes, self.groups.len());
                let mut key = key.to_vec();
                if let Some(chosen) = chosen {
                    for (place, value) in key.iter_mut().enumerate() {
                        if !chosen.contains(&place) {
                            *value = Value::Null;
                        }
                    }
                }
                self.groups.push(Group { set, key, state: fresh()? });
                self.groups.len() - 1
            }
        };
        Ok(&mut self.groups[place].state)
    }

    /// The groups' rows, of which `finish` computes the aggregates.
    fn rows(
        self,
        finish: &mut dyn FnMut(S, &mut Row) -> Result<(), PgError>,
    ) -> Result<Vec<Row>, PgError> {
        let mut rows = Vec::with_capacity(self.groups.len());
        for Group { set, mut key, state } in self.groups {
            finish(state, &mut key)?;
            for call in self.sets.iter().flat_map(|sets| &sets.calls) {
                let chosen = self.sets.and_then(|sets| sets.sets.get(set));
                let is_left_out = |place: &usize| !chosen.is_some_and(|set| set.contains(place));
                let bits =
                    call.iter().fold(0, |bits, place| (bits << 1) | i32::from(is_left_out(place)));
                key.push(Value::Int4(bits));
            }
            rows.push(key);
        }
        Ok(rows)
    }
}

/// Combines partial aggregates: the first `keys` columns are the group, then each aggregate's partial results.
pub(super) async fn combine<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    keys: usize,
    aggregates: &'a [Aggregate],
    sets: Option<&'a GroupingSets>,
) -> Result<Box<dyn ValueStream>, Error> {
    let mut widths = Vec::new();
    let mut makers: Vec<fn() -> Box<dyn Combiner>> = Vec::new();
    for call in aggregates {
        let types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
        let split = split(call.function, &types)
            .ok_or_else(|| PgError::internal("a plan combines an aggregate that does not split"))?;
        widths.push(split.partials.len());
        makers.push(split.combiner);
    }
    let mut groups: Groups<'_, Vec<Box<dyn Combiner>>> = Groups::new(sets);
    let mut stream = run.values(input).await?;
    let memory = run.memory.clone();
    let mut fresh = || Ok(makers.iter().map(|make| make()).collect());
    groups.begin(keys, &memory, &mut fresh)?;
    let mut pace = Pace::new();
    while let Some(batch) = stream.next().await? {
        for row in batch {
            pace.step().await;
            for set in 0..groups.sets() {
                let (key, mut partials) = row.split_at(keys);
                let combiners = groups.state(set, key, &memory, &mut fresh)?;
                for (combiner, width) in combiners.iter_mut().zip(&widths) {
                    let (own, rest) = partials.split_at(*width);
                    combiner.combine(own)?;
                    partials = rest;
                }
            }
        }
    }
    give_back(run, stream);
    let rows = groups.rows(&mut |combiners, row| {
        for combiner in &combiners {
            row.push(combiner.finish()?);
        }
        Ok(())
    })?;
    Ok(Box::new(Held::new(rows)))
}

fn give_back(run: &mut Run<'_>, stream: Box<dyn ValueStream>) {
    for (shard, connection) in stream.into_connections() {
        run.execution.participants.give(&shard, connection);
    }
}

/// One aggregate call, compiled.
struct Call<'a> {
    aggregate: &'a Aggregate,
    args: Vec<Compiled>,
    types: Vec<TypeId>,
    /// Its arguments are direct, and its rows the values of WITHIN GROUP.
    is_ordered_set: bool,
    filter: Option<Compiled>,
    order: Vec<Compiled>,
    keys: &'a [SortKey],
}

/// One group's state of one call.
struct State {
    accumulator: Box<dyn Accumulator>,
    /// Arguments seen, for DISTINCT.
    seen: HashSet<Vec<u8>>,
    /// Rows kept until the end, for ORDER BY: keys and arguments.
    kept: Vec<(Vec<Value>, Vec<Value>)>,
    /// The direct arguments of an ordered-set aggregate, of the group's first row.
    direct: Option<Vec<Value>>,
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
    let mut calls = Vec::new();
    for aggregate in aggregates {
        calls.push(Call {
            aggregate,
            args: aggregate.args.iter().map(|arg| run.compiled(arg)).collect::<Result<_, _>>()?,
            types: input_types(aggregate),
            is_ordered_set: is_ordered_set(aggregate.function),
            filter: aggregate.filter.as_ref().map(|filter| run.compiled(filter)).transpose()?,
            order: aggregate
                .order_by
                .iter()
                .map(|key| run.compiled(&key.expr))
                .collect::<Result<_, _>>()?,
            keys: &aggregate.order_by,
        });
    }
    let context = std::sync::Arc::clone(run.context());
    let mut fresh = || -> Result<Vec<State>, PgError> {
        calls
            .iter()
            .map(|call| {
                let accumulator = accumulator(call.aggregate.function, &call.types, &context)
                    .ok_or_else(|| {
                        PgError::internal("a plan aggregates what the library does not compute")
                    })?;
                Ok(State { accumulator, seen: HashSet::new(), kept: Vec::new(), direct: None })
            })
            .collect()
    };
    let mut groups: Groups<'_, Vec<State>> = Groups::new(sets);
    let memory = run.memory.clone();
    groups.begin(keys.len(), &memory, &mut fresh)?;
    let mut pace = Pace::new();
    let mut stream = run.values(input).await?;
    while let Some(batch) = stream.next().await? {
        for row in batch {
            let key = keys.iter().map(|key| key.eval(&row)).collect::<Result<Row, _>>()?;
            pace.step().await;
            for set in 0..groups.sets() {
                let states = groups.state(set, &key, &memory, &mut fresh)?;
                for (call, state) in calls.iter().zip(states) {
                    call.take(state, &row, &context, &memory)?;
                }
            }
        }
    }
    give_back(run, stream);
    let rows = groups.rows(&mut |states, row| {
        for (call, state) in calls.iter().zip(states) {
            row.push(call.finish(state, &context)?);
        }
        Ok(())
    })?;
    Ok(Box::new(Held::new(rows)))
}

impl Call<'_> {
    fn take(
        &self,
        state: &mut State,
        row: &[Value],
        context: &dataman_pg::Context,
        memory: &Memory,
    ) -> Result<(), Error> {
        if self.is_ordered_set && state.direct.is_none() {
            state.direct = Some(self.direct(row)?);
        }
        if let Some(filter) = &self.filter
            && !filter.is_true(row)?
        {
            return Ok(());
        }
        if self.is_ordered_set {
            let key = self.order.iter().map(|key| key.eval(row)).collect::<Result<Vec<_>, _>>()?;
            memory.take_row(&key, "an aggregate with WITHIN GROUP")?;
            state.kept.push((key.clone(), key));
            return Ok(());
        }
        let args = self.args.iter().map(|arg| arg.eval(row)).collect::<Result<Vec<_>, _>>()?;
        if self.aggregate.distinct {
            let bytes = key_bytes(args.iter());
            memory.take(bytes.len() + 64, "an aggregate with DISTINCT")?;
            if !state.seen.insert(bytes) {
                return Ok(());
            }
        }
        // DISTINCT without ORDER BY is in the arguments' own order in PostgreSQL, since it sorts to find duplicates.
        if !self.order.is_empty() || self.aggregate.distinct {
            let key = if self.order.is_empty() {
                args.clone()
            } else {
                self.order.iter().map(|key| key.eval(row)).collect::<Result<Vec<_>, _>>()?
            };
            memory.take_row(&args, "an aggregate with ORDER BY")?;
            state.kept.push((key, args));
            return Ok(());
        }
        let before = state.accumulator.held_bytes();
        state.accumulator.accumulate(&self.call(context), &args)?;
        memory.take(state.accumulator.held_bytes().saturating_sub(before), "an aggregate")?;
        Ok(())
    }

    fn direct(&self, row: &[Value]) -> Result<Vec<Value>, PgError> {
        self.args.iter().map(|arg| arg.eval(row)).collect()
    }

    fn call<'c>(&'c self, context: &'c dataman_pg::Context) -> CallContext<'c> {
        CallContext {
            context,
            arguments: &self.types,
            result: self.aggregate.ty.id,
            variadic: false,
        }
    }

    fn finish(&self, mut state: State, context: &dataman_pg::Context) -> Result<Value, PgError> {
        if self.order.is_empty() {
            state.kept.sort_by(|(one, _), (other, _)| {
                one.iter()
                    .zip(other)
                    .map(|(one, other)| super::raw::compare_nullable(one, other, false, false))
                    .find(|ordering| ordering.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        } else {
            state.kept.sort_by(|(one, _), (other, _)| compare(one, other, self.keys));
        }
        let call = self.call(context);
        if self.is_ordered_set {
            // Without a row there are no columns that the direct arguments could read.
            let direct = state.direct.take().map_or_else(|| self.direct(&[]), Ok)?;
            state.accumulator.begin(&direct);
            let direction = |key: &dataman_pg::expr::SortKey| Direction {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            let directions: Vec<Direction> = self.keys.iter().map(direction).collect();
            state.accumulator.sorted_by(&directions);
        }
        for (_, args) in state.kept {
            state.accumulator.accumulate(&call, &args)?;
        }
        state.accumulator.finish(&call)
    }
}
