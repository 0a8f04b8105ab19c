//! Joins whose condition has no equal pair: every left row with every right one.
//!
//! The right side is held. In memory it is gone through for each left row; in a file, once for as many left rows as there is
//! room for.

use async_trait::async_trait;
use dataman_pg::Value;

use super::join::WHAT;
use super::memory::{Account, row_bytes};
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::store::Store;
use crate::error::Error;
use crate::plan::joining::Joining;
use crate::plan::operator::Operator;

/// Opens a join: reads the right side whole, then the left one as it is asked for.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    left: &'a Operator,
    right: &'a Operator,
    kind: Joining,
    widths: (usize, usize),
    on: Option<Compiled>,
) -> Result<Box<dyn ValueStream>, Error> {
    let mut held = Store::new(&run.memory, WHAT);
    run.gather_into(&mut held, right).await?;
    let mut account = run.memory.account();
    let matched = if !kind.is_of_left() {
        account.take(held.len(), WHAT)?;
        vec![false; held.len()]
    } else {
        Vec::new()
    };
    let block_account = run.memory.account();
    let pace = run.memory.pace();
    let input = run.values(left).await?;
    Ok(Box::new(Nested {
        input,
        pending: Vec::new().into_iter(),
        held,
        matched,
        _account: account,
        on,
        kind,
        widths,
        pace,
        block: Vec::new(),
        block_account,
        right: Vec::new(),
        first: 0,
        at: (0, 0),
        stage: Stage::Read,
    }))
}

struct Nested {
    input: Box<dyn ValueStream>,
    pending: std::vec::IntoIter<Row>,
    held: Store,
    /// Which right rows have matched, where that counts.
    matched: Vec<bool>,
    _account: Account,
    on: Option<Compiled>,
    kind: Joining,
    widths: (usize, usize),
    pace: Pace,
    /// Left rows, and whether they have matched: one when the right side is in memory.
    block: Vec<(Row, bool)>,
    block_account: Account,
    /// The right rows from the `first` on that are matched with the block.
    right: Vec<Row>,
    first: usize,
    /// The next pair: the place in `block`, and in `right`.
    at: (usize, usize),
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Another block of left rows is read.
    Read,
    /// The block is matched.
    Match,
    /// The left rows of the block that nothing matched come out, from this one on.
    UnmatchedLeft(usize),
    /// The right rows that nothing matched, or of which alone it counts whether something did, come out, from this one on.
    Right(usize),
    End,
}

#[async_trait]
impl ValueStream for Nested {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS {
            self.pace.step().await?;
            match self.stage {
                Stage::Read => self.read().await?,
                Stage::Match => self.match_block(&mut out).await?,
                Stage::UnmatchedLeft(place) => {
                    let Some((row, found)) = self.block.get_mut(place) else {
                        self.stage = Stage::Read;
                        continue;
                    };
                    self.stage = Stage::UnmatchedLeft(place + 1);
                    if !*found && self.kind.keeps_left() {
                        let mut row = std::mem::take(row);
                        if self.kind.gives_right() {
                            row.resize(self.widths.0 + self.widths.1, Value::Null);
                        }
                        out.push(row);
                    }
                }
                Stage::Right(place) => {
                    let Some(found) = self.matched.get(place) else {
                        self.stage = Stage::End;
                        continue;
                    };
                    if *found == (self.kind == Joining::RightSemi) {
                        self.held.load(place).await?;
                        let mut row = Vec::new();
                        if self.kind.gives_left() {
                            row.resize(self.widths.0, Value::Null);
                        }
                        row.extend_from_slice(self.held.row(place));
                        out.push(row);
                    }
                    self.stage = Stage::Right(place + 1);
                }
                Stage::End => break,
            }
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

impl Nested {
    /// Reads the next block of left rows.
    async fn read(&mut self) -> Result<(), Error> {
        self.block.clear();
        self.block_account.clear();
        (self.first, self.at) = (0, (0, 0));
        self.right.clear();
        let is_in_memory = self.held.is_in_memory();
        loop {
            if is_in_memory && !self.block.is_empty() {
                break;
            }
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
            self.pace.step().await?;
            let bytes = row_bytes(&row);
            let fits = self.block_account.has_room(bytes);
            if !fits {
                self.block_account.overdraw(bytes);
            }
            self.block.push((row, false));
            if !fits {
                break;
            }
        }
        self.stage = if self.block.is_empty() { Stage::Right(0) } else { Stage::Match };
        Ok(())
    }

    /// Goes on with the block until it is done or the batch is full.
    async fn match_block(&mut self, out: &mut Vec<Row>) -> Result<(), Error> {
        let is_in_memory = self.held.is_in_memory();
        while out.len() < BATCH_ROWS {
            self.pace.step().await?;
            let count = if is_in_memory { self.held.len() } else { self.right.len() };
            if self.at.1 >= count {
                self.at = (self.at.0 + 1, 0);
                if self.at.0 < self.block.len() && count > 0 {
                    continue;
                }
                self.first += self.right.len();
                self.at = (0, 0);
                if is_in_memory || self.first >= self.held.len() {
                    self.stage = Stage::UnmatchedLeft(0);
                    return Ok(());
                }
                self.right = self.held.batch(self.first).await?;
                continue;
            }
            let place = self.at.1;
            let (row, found) = &mut self.block[self.at.0];
            if *found && self.kind.needs_one() {
                // It is done with: the next left row.
                self.at.1 = count;
                continue;
            }
            let right = if is_in_memory { self.held.row(place) } else { &self.right[place] };
            let mut joined = Vec::with_capacity(self.widths.0 + self.widths.1);
            joined.extend_from_slice(row);
            joined.extend_from_slice(right);
            let value = match &self.on {
                None => Value::Bool(true),
                Some(on) if on.waits() => on.value(&joined).await?,
                Some(on) => on.eval(&joined)?,
            };
            let matches = match value {
                Value::Bool(matches) => matches,
                // What is unknown may be equal.
                _ => self.kind == Joining::NotIn,
            };
            if matches {
                *found = true;
                if let Some(matched) = self.matched.get_mut(self.first + place) {
                    *matched = true;
                }
                if self.kind.gives_pairs() {
                    out.push(joined);
                } else if self.kind == Joining::Semi {
                    joined.truncate(self.widths.0);
                    out.push(joined);
                }
            }
            self.at.1 += 1;
        }
        Ok(())
    }
}
