//! Joins across shards: the right side is held, the left one streams.

use std::collections::HashMap;

use async_trait::async_trait;
use dataman_node_protocol::query::JoinKind;
use dataman_pg::{Expr, Value};

use super::distinct::key_bytes;
use super::open::{Compiled, Run};
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::Operator;

/// Opens a join: reads the right side whole, then the left one as it is asked for.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    left: &'a Operator,
    right: &'a Operator,
    kind: JoinKind,
    equal: &'a [(Expr, Expr)],
    on: Option<&'a Expr>,
) -> Result<Box<dyn ValueStream>, Error> {
    let held = run.gather(right, "a join").await?;
    let right_keys =
        equal.iter().map(|(_, right)| run.compiled(right)).collect::<Result<Vec<_>, _>>()?;
    let mut places: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    if !equal.is_empty() {
        for (place, row) in held.iter().enumerate() {
            if let Some(key) = key_of(&right_keys, row)? {
                places.entry(key).or_default().push(place);
            }
        }
    }
    let left_keys =
        equal.iter().map(|(left, _)| run.compiled(left)).collect::<Result<Vec<_>, _>>()?;
    let on = on.map(|on| run.compiled(on)).transpose()?;
    let (left_width, right_width) = (left.columns().len(), right.columns().len());
    let matched = vec![false; held.len()];
    let input = run.values(left).await?;
    Ok(Box::new(Join {
        input,
        pending: Vec::new().into_iter(),
        at: None,
        held,
        matched,
        places,
        hashed: !equal.is_empty(),
        left_keys,
        on,
        kind,
        left_width,
        right_width,
        rest: None,
    }))
}

/// The bytes of a row's key; none when a part is NULL, which equals nothing.
fn key_of(keys: &[Compiled], row: &[Value]) -> Result<Option<Vec<u8>>, Error> {
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let value = key.eval(row)?;
        if value.is_null() {
            return Ok(None);
        }
        values.push(value);
    }
    Ok(Some(key_bytes(values.iter())))
}

struct Join {
    input: Box<dyn ValueStream>,
    pending: std::vec::IntoIter<Row>,
    /// The left row being matched: its candidates, the next of them, and whether one matched.
    at: Option<(Row, Candidates, usize, bool)>,
    held: Vec<Row>,
    matched: Vec<bool>,
    places: HashMap<Vec<u8>, Vec<usize>>,
    hashed: bool,
    left_keys: Vec<Compiled>,
    on: Option<Compiled>,
    kind: JoinKind,
    left_width: usize,
    right_width: usize,
    /// Where the right rows without a match are being returned.
    rest: Option<usize>,
}

enum Candidates {
    All,
    Some(Vec<usize>),
}

#[async_trait]
impl ValueStream for Join {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS {
            if self.rest.is_some() {
                self.unmatched(&mut out);
                break;
            }
            if self.at.is_none() {
                let row = match self.pending.next() {
                    Some(row) => row,
                    None => match self.input.next().await? {
                        Some(batch) => {
                            self.pending = batch.into_iter();
                            continue;
                        }
                        None => {
                            self.rest = Some(0);
                            continue;
                        }
                    },
                };
                let candidates = if self.hashed {
                    let found = match key_of(&self.left_keys, &row)? {
                        Some(key) => self.places.get(&key).cloned().unwrap_or_default(),
                        None => Vec::new(),
                    };
                    Candidates::Some(found)
                } else {
                    Candidates::All
                };
                self.at = Some((row, candidates, 0, false));
            }
            self.step(&mut out).await?;
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

impl Join {
    /// Goes on with the left row in hand until it is done or the batch is full.
    async fn step(&mut self, out: &mut Vec<Row>) -> Result<(), Error> {
        let Some((row, candidates, mut next, mut found)) = self.at.take() else {
            return Ok(());
        };
        let count = match &candidates {
            Candidates::All => self.held.len(),
            Candidates::Some(places) => places.len(),
        };
        while next < count {
            if out.len() >= BATCH_ROWS {
                self.at = Some((row, candidates, next, found));
                return Ok(());
            }
            let place = match &candidates {
                Candidates::All => next,
                Candidates::Some(places) => places[next],
            };
            next += 1;
            let mut joined = row.clone();
            joined.extend(self.held[place].iter().cloned());
            let matches = match &self.on {
                None => true,
                Some(on) if on.waits() => on.holds(&joined).await?,
                Some(on) => on.is_true(&joined)?,
            };
            if matches {
                found = true;
                self.matched[place] = true;
                out.push(joined);
            }
        }
        if !found && matches!(self.kind, JoinKind::Left | JoinKind::Full) {
            let mut joined = row;
            joined.resize(self.left_width + self.right_width, Value::Null);
            out.push(joined);
        }
        Ok(())
    }

    /// The right rows that nothing matched, for RIGHT and FULL.
    fn unmatched(&mut self, out: &mut Vec<Row>) {
        if !matches!(self.kind, JoinKind::Right | JoinKind::Full) {
            return;
        }
        let mut place = self.rest.unwrap_or(0);
        while place < self.held.len() && out.len() < BATCH_ROWS {
            if !self.matched[place] {
                let mut joined = vec![Value::Null; self.left_width];
                joined.extend(self.held[place].iter().cloned());
                out.push(joined);
            }
            place += 1;
        }
        self.rest = Some(place);
    }
}
