//! Groups of aggregates that keep their rows: with DISTINCT or ORDER BY, ordered sets, arrays, documents.
//!
//! The rows are sorted by group, in files beyond the statement's memory, so that one group's rows are in hand at a time; those
//! of an aggregate with an order are sorted once more, within the group. What such an aggregate gives has to fit in memory.

use std::sync::Arc;

use dataman_pg::aggregate::{Accumulator, Direction};
use dataman_pg::{Context, PgError, Value, order};

use super::aggregate::{Call, accumulator_of};
use super::groups::{Sets, WHAT};
use super::memory::{Account, Memory};
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{Held, Row, ValueStream};
use super::sort::{self, Sort};
use super::sorter::Sorter;
use crate::error::Error;
use crate::plan::operator::Operator;

/// What an aggregate is called where it has no more room.
const AGGREGATE: &str = "an aggregate that keeps its rows";

/// What all groups have in common.
pub(super) struct Collector {
    pub(super) keys: Vec<Compiled>,
    pub(super) calls: Vec<Call>,
    pub(super) sets: Sets,
    pub(super) context: Arc<Context>,
}

/// One group's state of one call.
struct State {
    accumulator: Box<dyn Accumulator>,
    /// The direct arguments of an ordered-set aggregate, of the group's first row.
    direct: Option<Vec<Value>>,
    /// Rows that are kept until the end, where they are taken in an order.
    sorter: Option<Sorter>,
    /// How many of them do not begin with NULL.
    count: usize,
    account: Account,
}

impl Collector {
    /// Aggregates the rows of an operator.
    pub(super) async fn open<'a>(
        self,
        run: &mut Run<'a>,
        input: &'a Operator,
    ) -> Result<Box<dyn ValueStream>, Error> {
        let memory = run.memory.clone();
        let mut stream = run.values(input).await?;
        if self.keys.is_empty() && self.sets.is_plain() {
            let row = self.whole(stream.as_mut(), &memory).await;
            let row = run.end(stream, row).await?;
            return Ok(Box::new(Held::new(vec![row])));
        }
        let mut sorter = Sorter::new(&memory, WHAT);
        let count = self.sort(stream.as_mut(), &mut sorter, memory.pace()).await;
        let count = run.end(stream, count).await?;
        let groups = self.groups(sorter, count, &memory).await?;
        Ok(Box::new(Sort { sorted: groups.finish().await?, pace: memory.pace() }))
    }

    /// One group of all rows.
    async fn whole(&self, stream: &mut dyn ValueStream, memory: &Memory) -> Result<Row, Error> {
        let mut pace = memory.pace();
        let mut states = self.fresh(memory)?;
        while let Some(batch) = stream.next().await? {
            for row in batch {
                pace.step().await?;
                self.take(&mut states, &row).await?;
            }
        }
        let mut row = Vec::new();
        self.finish(states, &mut row, &mut pace).await?;
        Ok(row)
    }

    /// Sorts rows by group and number; gives how many there are.
    async fn sort(
        &self,
        stream: &mut dyn ValueStream,
        sorter: &mut Sorter,
        mut pace: Pace,
    ) -> Result<u64, Error> {
        let (mut number, mut bytes) = (0_u64, Vec::new());
        while let Some(batch) = stream.next().await? {
            for row in batch {
                let key = self.key(&row)?;
                for set in 0..self.sets.count() {
                    pace.step().await?;
                    number += 1;
                    self.sets.put_key(set, &key, &mut bytes);
                    bytes.extend_from_slice(&number.to_be_bytes());
                    sorter.push(&bytes, row.clone()).await?;
                }
            }
        }
        Ok(number)
    }

    /// The groups' rows, sorted by the numbers of the groups' first rows.
    async fn groups(&self, sorter: Sorter, count: u64, memory: &Memory) -> Result<Sorter, Error> {
        let mut pace = memory.pace();
        let mut out = Sorter::new(memory, WHAT);
        if count == 0 {
            let nothing = vec![Value::Null; self.keys.len()];
            for set in 0..self.sets.count() {
                if self.sets.is_empty(set, self.keys.len()) {
                    let mut row = nothing.clone();
                    self.finish(self.fresh(memory)?, &mut row, &mut pace).await?;
                    self.sets.put_calls(set, &mut row);
                    out.push(&[], row).await?;
                }
            }
            return Ok(out);
        }
        let mut sorted = sorter.finish().await?;
        let mut current: Option<Group> = None;
        loop {
            pace.step().await?;
            let entry = sorted.next().await?;
            let bytes = entry.as_ref().map(|entry| &entry.key[..entry.key.len() - 8]);
            if current.as_ref().is_some_and(|group| bytes != Some(&*group.bytes))
                && let Some(mut group) = current.take()
            {
                self.finish(group.states, &mut group.key, &mut pace).await?;
                self.sets.put_calls(group.set, &mut group.key);
                out.push(&group.number, group.key).await?;
            }
            let Some(entry) = entry else { return Ok(out) };
            let group = match &mut current {
                Some(group) => group,
                None => {
                    let (bytes, number) = entry.key.split_at(entry.key.len() - 8);
                    let set = self.sets.set_of(bytes);
                    current.insert(Group {
                        bytes: bytes.into(),
                        set,
                        number: number.into(),
                        key: self.sets.shown(set, &self.key(&entry.row)?),
                        states: self.fresh(memory)?,
                    })
                }
            };
            self.take(&mut group.states, &entry.row).await?;
        }
    }

    fn key(&self, row: &[Value]) -> Result<Row, PgError> {
        self.keys.iter().map(|key| key.eval(row)).collect()
    }

    fn fresh(&self, memory: &Memory) -> Result<Vec<State>, PgError> {
        self.calls
            .iter()
            .map(|call| {
                let sorts = call.is_ordered_set || call.distinct || !call.order.is_empty();
                Ok(State {
                    accumulator: accumulator_of(call, &self.context)?,
                    direct: None,
                    sorter: sorts.then(|| Sorter::new(memory, AGGREGATE)),
                    count: 0,
                    account: memory.account(),
                })
            })
            .collect()
    }

    async fn take(&self, states: &mut [State], row: &[Value]) -> Result<(), Error> {
        for (call, state) in self.calls.iter().zip(states) {
            if call.is_ordered_set && state.direct.is_none() {
                state.direct = Some(call.arguments(row)?);
            }
            if !call.wants(row)? {
                continue;
            }
            let mut key = Vec::new();
            sort::encode(&call.order, &call.keys, row, &mut key)?;
            let args = if call.is_ordered_set {
                call.order.iter().map(|key| key.eval(row)).collect::<Result<Vec<_>, _>>()?
            } else {
                call.arguments(row)?
            };
            let Some(sorter) = &mut state.sorter else {
                state.accumulate(call, &self.context, &args)?;
                continue;
            };
            state.count += usize::from(args.first().is_some_and(|value| !value.is_null()));
            // PostgreSQL sorts to find duplicates, by ORDER BY and then by the other arguments.
            if call.distinct {
                for value in &args {
                    key.push(if value.is_null() { 2 } else { 1 });
                    if !value.is_null() {
                        order::encode_ordered(value, &mut key);
                    }
                }
            }
            sorter.push(&key, args).await?;
        }
        Ok(())
    }

    /// Appends the aggregates' values.
    async fn finish(
        &self,
        states: Vec<State>,
        row: &mut Row,
        pace: &mut Pace,
    ) -> Result<(), Error> {
        for (call, mut state) in self.calls.iter().zip(states) {
            if call.is_ordered_set {
                // Without a row there are no columns that the direct arguments could read.
                let direct = state.direct.take().map_or_else(|| call.arguments(&[]), Ok)?;
                state.accumulator.begin(&direct);
                let direction = |key: &dataman_pg::expr::SortKey| Direction {
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                };
                let directions: Vec<Direction> = call.keys.iter().map(direction).collect();
                state.accumulator.sorted_by(&directions);
                state.accumulator.expect(state.count);
            }
            if let Some(sorter) = state.sorter.take() {
                let mut sorted = sorter.finish().await?;
                let mut last: Option<Box<[u8]>> = None;
                while let Some(entry) = sorted.next().await? {
                    pace.step().await?;
                    if call.distinct {
                        if last.as_ref() == Some(&entry.key) {
                            continue;
                        }
                        last = Some(entry.key);
                    }
                    state.accumulate(call, &self.context, &entry.row)?;
                }
            }
            row.push(state.accumulator.finish(&call.context(&self.context))?);
        }
        Ok(())
    }
}

impl State {
    fn accumulate(&mut self, call: &Call, context: &Context, args: &[Value]) -> Result<(), Error> {
        let before = self.accumulator.held_bytes();
        self.accumulator.accumulate(&call.context(context), args)?;
        let grown = self.accumulator.held_bytes().saturating_sub(before);
        if grown > 0 {
            self.account.take(grown, AGGREGATE)?;
        }
        Ok(())
    }
}

/// The group whose rows are being read.
struct Group {
    bytes: Box<[u8]>,
    set: usize,
    number: Box<[u8]>,
    key: Row,
    states: Vec<State>,
}
