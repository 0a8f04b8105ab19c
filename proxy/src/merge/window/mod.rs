//! Window calls: rows sorted by partition and order → the same rows with a column for each call.
//!
//! ```text
//!  rows ──▶ one partition, held ──▶ row by row: frame ──▶ function or aggregate over it
//!             └─ groups: rows alike in the order
//! ```

mod aggregate;
mod frame;
mod function;

use async_trait::async_trait;
use dataman_pg::Value;
use dataman_pg::expr::{FrameUnit, Window as WindowCall};

use self::function::Call;
use super::memory::Account;
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::raw::compare_nullable;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::store::Store;
use crate::error::Error;
use crate::plan::operator::Operator;

/// What the operator is called where it has no more memory.
pub(super) const WHAT: &str = "a window";

/// Opens the calls over sorted rows; keeps their order.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    calls: &'a [WindowCall],
) -> Result<Box<dyn ValueStream>, Error> {
    let first = calls.first();
    let compiled = |run: &Run<'_>, expr| run.compiled(expr);
    let partition = first
        .into_iter()
        .flat_map(|call| &call.partition_by)
        .map(|expr| compiled(run, expr))
        .collect::<Result<_, _>>()?;
    let order = first
        .into_iter()
        .flat_map(|call| &call.order_by)
        .map(|key| compiled(run, &key.expr))
        .collect::<Result<_, _>>()?;
    let keeps_keys = calls
        .iter()
        .filter_map(|call| call.frame.as_ref())
        .any(|frame| frame.unit == FrameUnit::Range && frame.offsets().next().is_some());
    let calls = calls.iter().map(|call| Call::new(run, call)).collect::<Result<_, _>>()?;
    let input = run.values(input).await?;
    Ok(Box::new(Window {
        input,
        pending: Vec::new().into_iter(),
        partition,
        order,
        calls,
        keeps_keys,
        ahead: None,
        current: Partition::new(run),
        pace: run.memory.pace(),
    }))
}

struct Window {
    input: Box<dyn ValueStream>,
    pending: std::vec::IntoIter<Row>,
    partition: Vec<Compiled>,
    order: Vec<Compiled>,
    calls: Vec<Call>,
    keeps_keys: bool,
    /// The first row of the partition after the current one, and its keys.
    ahead: Option<(Row, Vec<Value>)>,
    current: Partition,
    pace: Pace,
}

/// The rows of one partition.
pub(super) struct Partition {
    pub(super) rows: Store,
    /// Where each group of rows that are alike in the order starts.
    pub(super) starts: Vec<usize>,
    /// The one key of the order, of each group, where a frame asks for it.
    pub(super) keys: Vec<Value>,
    account: Account,
    /// The row that is computed next, and its group.
    next: usize,
    group: usize,
}

impl Partition {
    fn new(run: &Run<'_>) -> Self {
        Self {
            rows: Store::new(&run.memory, WHAT),
            starts: Vec::new(),
            keys: Vec::new(),
            account: run.memory.account(),
            next: 0,
            group: 0,
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.starts.clear();
        self.keys.clear();
        self.account.clear();
        (self.next, self.group) = (0, 0);
    }

    /// The rows' number.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Where a group ends.
    pub(super) fn end_of(&self, group: usize) -> usize {
        self.starts.get(group + 1).copied().unwrap_or(self.rows.len())
    }
}

fn are_alike(one: &[Value], other: &[Value]) -> bool {
    one.iter().zip(other).all(|(one, other)| compare_nullable(one, other, false, false).is_eq())
}

impl Window {
    /// Reads the next partition; whether there is one.
    async fn read(&mut self) -> Result<bool, Error> {
        self.current.clear();
        let mut keys: Option<Vec<Value>> = None;
        let mut order: Vec<Value> = Vec::new();
        if let Some((row, found)) = self.ahead.take() {
            keys = Some(found);
            self.add(row, &mut order).await?;
        }
        loop {
            self.pace.step().await?;
            let row = match self.pending.next() {
                Some(row) => row,
                None => match self.input.next().await? {
                    Some(batch) => {
                        self.pending = batch.into_iter();
                        continue;
                    }
                    None => break,
                },
            };
            let found =
                self.partition.iter().map(|key| key.eval(&row)).collect::<Result<Vec<_>, _>>()?;
            if keys.as_ref().is_some_and(|keys| !are_alike(keys, &found)) {
                self.ahead = Some((row, found));
                break;
            }
            keys.get_or_insert(found);
            self.add(row, &mut order).await?;
        }
        for call in &mut self.calls {
            call.begin()?;
        }
        Ok(self.current.rows.len() > 0)
    }

    /// Adds a row to the partition; `order` holds the keys of the row before.
    async fn add(&mut self, row: Row, order: &mut Vec<Value>) -> Result<(), Error> {
        let keys = self.order.iter().map(|key| key.eval(&row)).collect::<Result<Vec<_>, _>>()?;
        let partition = &mut self.current;
        if partition.rows.len() == 0 || !are_alike(order, &keys) {
            partition.account.take(std::mem::size_of::<usize>(), WHAT)?;
            partition.starts.push(partition.rows.len());
            if self.keeps_keys {
                partition.account.take_row(&keys, WHAT)?;
                partition.keys.extend(keys.first().cloned());
            }
            *order = keys;
        }
        partition.rows.push(row).await
    }
}

#[async_trait]
impl ValueStream for Window {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS {
            if self.current.next >= self.current.rows.len() {
                if !self.read().await? {
                    break;
                }
                continue;
            }
            let (place, group) = (self.current.next, self.current.group);
            self.current.rows.load(place).await?;
            let held = self.current.rows.row(place);
            let mut row = Vec::with_capacity(held.len() + self.calls.len());
            row.extend_from_slice(held);
            for call in &mut self.calls {
                row.push(call.value(&mut self.current, place, group, &mut self.pace).await?);
            }
            out.push(row);
            self.current.next += 1;
            if self.current.starts.get(group + 1) == Some(&self.current.next) {
                self.current.group += 1;
            }
            self.pace.step().await?;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
