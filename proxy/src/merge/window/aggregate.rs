//! Aggregates over frames: rows are added as the frame grows, and taken back where that is exact; else the frame is
//! aggregated anew, as PostgreSQL does.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use dataman_pg::aggregate::{Accumulator, accumulator};
use dataman_pg::expr::{FrameExclusion, FunctionId, Window as WindowCall};
use dataman_pg::types::TypeRef;
use dataman_pg::{CallContext, Context, Expr, PgError, TypeId, Value, catalog, order};

use super::super::memory::{Account, held_bytes};
use super::super::open::{Compiled, Run};
use super::super::pace::Pace;
use super::frame::Frame;
use super::{Partition, WHAT};
use crate::error::Error;

/// One aggregate call over the frames of a partition, row after row.
pub(super) struct Aggregate {
    function: FunctionId,
    types: Vec<TypeId>,
    ty: TypeRef,
    filter: Option<Compiled>,
    context: Arc<Context>,
    state: State,
    /// The rows that the state holds.
    from: usize,
    to: usize,
    /// The value over them, once it is computed.
    value: Option<Value>,
    account: Account,
}

enum State {
    Whole(Box<dyn Accumulator>),
    Sliding(Sliding),
}

/// `min` or `max` while rows leave at the front: the values that may still become the answer, from the front on.
struct Sliding {
    /// How the answer stands to the others.
    wanted: Ordering,
    values: VecDeque<(usize, Value)>,
}

impl Aggregate {
    pub(super) fn new(run: &Run<'_>, call: &WindowCall, frame: &Frame) -> Result<Self, PgError> {
        let types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
        let name = catalog::function(call.function).map_or("", |function| function.name);
        // Of values that are equal the last is kept, but of `char(n)` the first.
        let slides = !frame.only_grows()
            && frame.exclude == FrameExclusion::Nothing
            && types.first() != Some(&TypeId::BPCHAR);
        let state = match name {
            "min" if slides => State::Sliding(Sliding::new(Ordering::Less)),
            "max" if slides => State::Sliding(Sliding::new(Ordering::Greater)),
            _ => State::Whole(fresh(call.function, &types, run.context())?),
        };
        Ok(Self {
            function: call.function,
            types,
            ty: call.ty,
            filter: call.filter.as_ref().map(|filter| run.compiled(filter)).transpose()?,
            context: Arc::clone(run.context()),
            state,
            from: 0,
            to: 0,
            value: None,
            account: run.memory.account(),
        })
    }

    /// Begins another partition.
    pub(super) fn begin(&mut self) -> Result<(), PgError> {
        self.restart(0)
    }

    fn restart(&mut self, at: usize) -> Result<(), PgError> {
        match &mut self.state {
            State::Whole(state) => *state = fresh(self.function, &self.types, &self.context)?,
            State::Sliding(sliding) => sliding.values.clear(),
        }
        (self.from, self.to, self.value) = (at, at, None);
        self.account.clear();
        Ok(())
    }

    /// The aggregate over the frame of a row.
    pub(super) async fn value(
        &mut self,
        args: &[Compiled],
        frame: &mut Frame,
        partition: &mut Partition,
        (row, group): (usize, usize),
        pace: &mut Pace,
    ) -> Result<Value, Error> {
        if frame.exclude != FrameExclusion::Nothing {
            let runs = frame.runs(partition, row, group)?;
            self.restart(row)?;
            for (from, to) in runs {
                self.add(args, partition, from, to, pace).await?;
            }
            return self.finish();
        }
        let (start, end) = frame.bounds(partition, row, group)?;
        if start != self.from {
            let leaves_some = start > self.from && start < self.to;
            if !leaves_some || !self.take_back(args, partition, start, end, pace).await? {
                self.restart(start)?;
            }
        }
        if end > self.to {
            self.value = None;
            self.add(args, partition, self.to, end, pace).await?;
            self.to = end;
        }
        if let Some(value) = &self.value {
            return Ok(value.clone());
        }
        let value = self.finish()?;
        self.value = Some(value.clone());
        Ok(value)
    }

    async fn add(
        &mut self,
        args: &[Compiled],
        partition: &mut Partition,
        from: usize,
        to: usize,
        pace: &mut Pace,
    ) -> Result<(), Error> {
        for place in from..to {
            if pace.is_due() {
                pace.rest().await?;
            }
            let Some(values) = arguments(self.filter.as_ref(), args, partition, place).await?
            else {
                continue;
            };
            match &mut self.state {
                State::Sliding(sliding) => {
                    if let Some(value) = values.into_iter().next() {
                        sliding.add(place, value, &mut self.account)?;
                    }
                }
                State::Whole(state) => {
                    let call = CallContext {
                        context: &self.context,
                        arguments: &self.types,
                        result: self.ty.id,
                        variadic: false,
                    };
                    let before = state.held_bytes();
                    state.accumulate(&call, &values)?;
                    self.account.take(state.held_bytes().saturating_sub(before), WHAT)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the rows ahead of `start` out of the state; `false` when it must be made anew.
    async fn take_back(
        &mut self,
        args: &[Compiled],
        partition: &mut Partition,
        start: usize,
        end: usize,
        pace: &mut Pace,
    ) -> Result<bool, Error> {
        if let State::Sliding(sliding) = &mut self.state {
            sliding.leave(start, &mut self.account);
            (self.from, self.value) = (start, None);
            return Ok(true);
        }
        if start - self.from > end - start {
            return Ok(false);
        }
        for place in self.from..start {
            if pace.is_due() {
                pace.rest().await?;
            }
            let Some(values) = arguments(self.filter.as_ref(), args, partition, place).await?
            else {
                continue;
            };
            let State::Whole(state) = &mut self.state else { return Ok(false) };
            let call = CallContext {
                context: &self.context,
                arguments: &self.types,
                result: self.ty.id,
                variadic: false,
            };
            if !state.retract(&call, &values)? {
                return Ok(false);
            }
        }
        (self.from, self.value) = (start, None);
        Ok(true)
    }

    fn finish(&self) -> Result<Value, Error> {
        match &self.state {
            State::Sliding(sliding) => {
                Ok(sliding.values.front().map_or(Value::Null, |(_, value)| value.clone()))
            }
            State::Whole(state) => Ok(state.finish(&CallContext {
                context: &self.context,
                arguments: &self.types,
                result: self.ty.id,
                variadic: false,
            })?),
        }
    }
}

/// The arguments over a row; none when the filter leaves it out.
async fn arguments(
    filter: Option<&Compiled>,
    args: &[Compiled],
    partition: &mut Partition,
    place: usize,
) -> Result<Option<Vec<Value>>, Error> {
    partition.rows.load(place).await?;
    let row = partition.rows.row(place);
    if let Some(filter) = filter
        && !filter.is_true(row)?
    {
        return Ok(None);
    }
    Ok(Some(args.iter().map(|arg| arg.eval(row)).collect::<Result<_, _>>()?))
}

fn fresh(
    function: FunctionId,
    types: &[TypeId],
    context: &Context,
) -> Result<Box<dyn Accumulator>, PgError> {
    accumulator(function, types, context)
        .ok_or_else(|| PgError::internal("a plan aggregates what the library does not compute"))
}

impl Sliding {
    fn new(wanted: Ordering) -> Self {
        Self { wanted, values: VecDeque::new() }
    }

    /// A value that stands no better than a later one is never the answer again.
    fn add(&mut self, place: usize, value: Value, account: &mut Account) -> Result<(), Error> {
        if value.is_null() {
            return Ok(());
        }
        while let Some((_, last)) = self.values.back()
            && order::compare(last, &value) != self.wanted
        {
            account.give(held_bytes(last));
            self.values.pop_back();
        }
        account.take(held_bytes(&value), WHAT)?;
        self.values.push_back((place, value));
        Ok(())
    }

    fn leave(&mut self, start: usize, account: &mut Account) {
        while let Some((place, first)) = self.values.front()
            && *place < start
        {
            account.give(held_bytes(first));
            self.values.pop_front();
        }
    }
}
