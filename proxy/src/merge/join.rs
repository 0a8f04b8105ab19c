//! Joins across shards: the right side is held, the left one streams.
//!
//! ```text
//!  right ──▶ Build, by key ◀── looked up ── left, as it comes                                      it fits
//!  right ──▶ parts by hash ──▶ for each: Build ◀── left rows of the same part                      it does not
//!            a part that does not fit ──▶ parts of it, or, where one key has most of it, a piece of it after the other
//! ```
//!
//! In memory the rows come out in the order of the left side. Beyond it they come part by part. A semi or anti join
//! gives the rows of one side alone, by whether they have a partner.

use async_trait::async_trait;
use dataman_pg::{Expr, TypeId, Value, order};

use super::build::Build;
use super::entry::{Entry, EntryReader};
use super::memory::{Account, Memory};
use super::nested;
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::partition::{Partition, Partitions};
use super::rows::{BATCH_ROWS, Connections, Held as HeldRows, Row, ValueStream};
use crate::error::Error;
use crate::plan::form;
use crate::plan::joining::Joining;
use crate::plan::operator::Operator;

/// What the operator is called where it has no more room.
pub(super) const WHAT: &str = "a join";

/// Opens a join: reads the right side whole, then the left one as it is asked for.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    (left, right): (&'a Operator, &'a Operator),
    kind: Joining,
    equal: &'a [(Expr, Expr)],
    on: Option<&'a Expr>,
    keys: Option<&'a (usize, Expr)>,
) -> Result<Box<dyn ValueStream>, Error> {
    let widths = (left.columns().len(), right.columns().len());
    if equal.is_empty() {
        let on = on.map(|on| run.compiled(on)).transpose()?;
        return nested::open(run, left, right, kind, widths, on).await;
    }
    let rest = on.and_then(|on| beyond_keys(on, equal, widths.0));
    let rest = rest.as_ref().map(|rest| run.compiled(rest)).transpose()?;
    let right_keys =
        equal.iter().map(|(_, right)| run.compiled(right)).collect::<Result<Vec<_>, _>>()?;
    let mut held = Held::new(&run.memory, kind);
    // Where it counts whether there is a partner, one of each key is enough.
    held.only_first = kind.needs_one() && rest.is_none();
    let mut stream = run.values(right).await?;
    let read = held.read(stream.as_mut(), &right_keys).await;
    run.end(stream, read).await?;
    if let Some(keys) = keys {
        let rows = held.parts.is_none().then_some(held.build.rows.as_slice());
        run.give_keys(keys, equal, rows)?;
    }
    if held.parts.is_none() && held.build.rows.is_empty() && !kind.keeps_left() {
        return Ok(Box::new(HeldRows::new(Vec::new())));
    }
    let Some(kind) = held.decided() else { return Ok(Box::new(HeldRows::new(Vec::new()))) };
    let left_keys =
        equal.iter().map(|(left, _)| run.compiled(left)).collect::<Result<Vec<_>, _>>()?;
    let todo = match held.parts {
        Some(parts) => Todo::Divided(parts.finish().await?),
        None => Todo::Pairs(Vec::new()),
    };
    let pace = run.memory.pace();
    let input = run.values(left).await?;
    Ok(Box::new(Join {
        input,
        pending: Vec::new().into_iter(),
        left_keys,
        rest,
        kind,
        widths,
        memory: run.memory.clone(),
        pace,
        key: Vec::new(),
        build: held.build,
        todo,
        stage: Stage::Begin,
        left: Left::Input,
        pieces: None,
        at: None,
    }))
}

/// Appends the bytes of a row's key, by which it is found; nothing when a part is NULL, which equals nothing.
fn put_key(keys: &[Compiled], row: &[Value], key: &mut Vec<u8>) -> Result<(), Error> {
    key.clear();
    for expr in keys {
        let value = expr.get(row)?;
        if value.is_null() {
            key.clear();
            return Ok(());
        }
        key.push(1);
        order::encode_ordered(&value, key);
    }
    Ok(())
}

/// What of a condition is left to be computed when the keys' bytes are alike.
fn beyond_keys(on: &Expr, equal: &[(Expr, Expr)], left_width: usize) -> Option<Expr> {
    let conditions = match on {
        Expr::And(conditions) => conditions.as_slice(),
        one => std::slice::from_ref(one),
    };
    // An expression over the right side's columns alone, by their places there.
    let of_right = |expr: &Expr| -> Option<Expr> {
        let mut reads_left = false;
        form::walk(expr, &mut |node| {
            reads_left |= matches!(node, Expr::Column { index, .. } if *index < left_width);
        });
        let moved = || {
            form::replace(expr, &mut |node| match node {
                Expr::Column { index, ty } => {
                    Some(Expr::Column { index: index - left_width, ty: *ty })
                }
                _ => None,
            })
        };
        (!reads_left).then(moved)
    };
    let is_key = |condition: &Expr| {
        let Expr::Call(call) = condition else { return false };
        let is_equality = call
            .operator
            .and_then(dataman_pg::catalog::operator)
            .is_some_and(|operator| operator.name == "=");
        let [one, other] = call.args.as_slice() else { return false };
        is_equality
            && is_decided_by_bytes(one.type_id())
            && one.type_id() == other.type_id()
            && equal.iter().any(|(left, right)| {
                (one == left && of_right(other).as_ref() == Some(right))
                    || (other == left && of_right(one).as_ref() == Some(right))
            })
    };
    let mut rest: Vec<Expr> =
        conditions.iter().filter(|condition| !is_key(condition)).cloned().collect();
    match rest.len() {
        0 => None,
        1 => rest.pop(),
        _ => Some(Expr::And(rest)),
    }
}

/// Types of which two values are equal exactly when their bytes in a key are.
pub(crate) fn is_decided_by_bytes(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::BOOL
            | TypeId::INT2
            | TypeId::INT4
            | TypeId::INT8
            | TypeId::NUMERIC
            | TypeId::TEXT
            | TypeId::VARCHAR
            | TypeId::BPCHAR
            | TypeId::DATE
            | TypeId::TIMESTAMP
            | TypeId::TIMESTAMPTZ
            | TypeId::UUID
    )
}

/// The right side while it is read.
struct Held {
    memory: Memory,
    build: Build,
    /// Where the rows are that there was no room for; all of them then.
    parts: Option<Partitions>,
    kind: Joining,
    /// Rows of a key that is there already are left out.
    only_first: bool,
    /// There are rows, and some of which a part of the key is NULL.
    has_rows: bool,
    has_null: bool,
    pace: Pace,
}

impl Held {
    fn new(memory: &Memory, kind: Joining) -> Self {
        Self {
            memory: memory.clone(),
            build: Build::new(memory),
            parts: None,
            kind,
            only_first: false,
            has_rows: false,
            has_null: false,
            pace: memory.pace(),
        }
    }

    async fn read(&mut self, stream: &mut dyn ValueStream, keys: &[Compiled]) -> Result<(), Error> {
        let mut key = Vec::new();
        while let Some(batch) = stream.next().await? {
            for row in batch {
                self.pace.step().await?;
                put_key(keys, &row, &mut key)?;
                self.has_rows = true;
                if key.is_empty() && !self.kind.keeps_right() {
                    self.has_null = true;
                    continue;
                }
                if self.only_first && !key.is_empty() && self.build.first(&key).is_some() {
                    continue;
                }
                let row = match &mut self.parts {
                    Some(parts) => {
                        parts.push(&key, &row).await?;
                        continue;
                    }
                    None => match self.build.add(&key, row) {
                        Ok(()) => continue,
                        Err(row) => row,
                    },
                };
                let mut parts = Partitions::new(&self.memory, WHAT, 0);
                for (key, row) in self.build.take() {
                    parts.push(&key, &row).await?;
                    self.pace.step().await?;
                }
                parts.push(&key, &row).await?;
                self.parts = Some(parts);
            }
        }
        Ok(())
    }

    /// What NOT IN comes to, now that the right rows are known; none where nothing comes out, since nothing is known to differ
    /// from NULL.
    fn decided(&self) -> Option<Joining> {
        match self.kind {
            Joining::NotIn if !self.has_rows => Some(Joining::Anti),
            Joining::NotIn if self.has_null => None,
            kind => Some(kind),
        }
    }
}

struct Join {
    input: Box<dyn ValueStream>,
    pending: std::vec::IntoIter<Row>,
    left_keys: Vec<Compiled>,
    /// What the keys do not decide of the condition.
    rest: Option<Compiled>,
    kind: Joining,
    widths: (usize, usize),
    memory: Memory,
    pace: Pace,
    key: Vec<u8>,
    build: Build,
    todo: Todo,
    stage: Stage,
    left: Left,
    /// The right rows of the part that are not in memory yet.
    pieces: Option<Pieces>,
    /// The left row being matched.
    at: Option<Current>,
}

/// What is to be done after the rows in memory.
enum Todo {
    /// The right side's parts, before the left side has been divided.
    Divided(Vec<Partition>),
    /// Parts of the right side and of the left one.
    Pairs(Vec<(Partition, Partition)>),
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Begin,
    /// Left rows are matched with those in memory.
    Match,
    /// The right rows in memory that nothing matched come out, from this one on.
    Unmatched(usize),
    /// Another piece of the part, or another part.
    Next,
    End,
}

/// Where left rows come from.
enum Left {
    Input,
    Part(EntryReader),
}

/// A part whose right rows are matched piece by piece: each with all left rows.
struct Pieces {
    left: Partition,
    right: EntryReader,
    /// The row that there was no room for.
    ahead: Option<Entry>,
    is_last: bool,
    /// Which left rows have matched, when there are several pieces.
    found: Vec<bool>,
    /// The number of the next left row.
    number: usize,
    account: Account,
}

/// The left row in hand.
struct Current {
    row: Row,
    next: Option<usize>,
    found: bool,
}

#[async_trait]
impl ValueStream for Join {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS {
            self.pace.step().await?;
            match self.stage {
                Stage::Begin => self.begin().await?,
                Stage::Match => {
                    if self.at.is_none() && !self.advance().await? {
                        self.stage = Stage::Unmatched(0);
                        continue;
                    }
                    self.match_row(&mut out).await?;
                }
                Stage::Unmatched(place) => self.unmatched(place, &mut out),
                Stage::Next => self.next_part().await?,
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

impl Join {
    /// Divides the left side when the right one is.
    async fn begin(&mut self) -> Result<(), Error> {
        let Todo::Divided(right) = &mut self.todo else {
            self.stage = Stage::Match;
            return Ok(());
        };
        let right = std::mem::take(right);
        let mut parts = Partitions::new(&self.memory, WHAT, 0);
        while let Some(batch) = self.input.next().await? {
            for row in batch {
                self.pace.step().await?;
                put_key(&self.left_keys, &row, &mut self.key)?;
                // A row with a NULL in its key matches none, wherever it is.
                if !self.key.is_empty() || self.keeps_unknown() {
                    parts.push(&self.key, &row).await?;
                }
            }
        }
        let pairs = right.into_iter().zip(parts.finish().await?).collect();
        self.todo = Todo::Pairs(pairs);
        self.stage = Stage::Next;
        Ok(())
    }

    /// Takes the next left row in hand; `false` when there are no more.
    async fn advance(&mut self) -> Result<bool, Error> {
        let row = match &mut self.left {
            Left::Part(reader) => match reader.next().await? {
                Some(entry) => {
                    self.key.clear();
                    self.key.extend_from_slice(&entry.key);
                    entry.row
                }
                None => return Ok(false),
            },
            Left::Input => loop {
                if let Some(row) = self.pending.next() {
                    put_key(&self.left_keys, &row, &mut self.key)?;
                    if self.key.is_empty() && !self.keeps_unknown() {
                        self.pace.step().await?;
                        continue;
                    }
                    break row;
                }
                match self.input.next().await? {
                    Some(batch) => self.pending = batch.into_iter(),
                    None => return Ok(false),
                }
            },
        };
        let next = if self.key.is_empty() { None } else { self.build.first(&self.key) };
        self.at = Some(Current { row, next, found: false });
        Ok(true)
    }

    /// Whether a left row with a NULL in its key comes out.
    fn keeps_unknown(&self) -> bool {
        self.kind.keeps_left() && self.kind != Joining::NotIn
    }

    /// Goes on with the left row in hand until it is done or the batch is full.
    async fn match_row(&mut self, out: &mut Vec<Row>) -> Result<(), Error> {
        let Some(mut current) = self.at.take() else { return Ok(()) };
        let width = self.widths.0 + self.widths.1;
        let was_found = self.pieces.as_ref().is_some_and(|pieces| {
            pieces.found.get(pieces.number).is_some_and(|found| *found && self.kind.needs_one())
        });
        if was_found {
            current.next = None;
        }
        let mut joined: Row = Vec::new();
        while let Some(place) = current.next {
            if out.len() >= BATCH_ROWS {
                self.at = Some(current);
                return Ok(());
            }
            current.next = self.build.after(place);
            if !self.kind.gives_pairs() && self.build.matched[place] && !self.kind.needs_one() {
                if self.rest.is_none() {
                    // So are all rows of the key.
                    break;
                }
                self.pace.step().await?;
                continue;
            }
            let matches = match &self.rest {
                None if !self.kind.gives_pairs() => true,
                rest => {
                    if current.next.is_none() && rest.is_none() {
                        // It is the last pair of the left row, which is then nobody's any more.
                        joined = std::mem::take(&mut current.row);
                        joined.reserve_exact(width.saturating_sub(joined.len()));
                    } else if joined.is_empty() {
                        joined.reserve_exact(width);
                        joined.extend_from_slice(&current.row);
                    }
                    joined.truncate(self.widths.0);
                    joined.extend_from_slice(&self.build.rows[place]);
                    match rest {
                        None => true,
                        Some(rest) if rest.waits() => rest.holds(&joined).await?,
                        Some(rest) => rest.is_true(&joined)?,
                    }
                }
            };
            if !matches {
                self.pace.step().await?;
                continue;
            }
            current.found = true;
            self.build.matched[place] = true;
            if self.kind.gives_pairs() {
                out.push(std::mem::take(&mut joined));
            } else if self.kind.needs_one() {
                break;
            } else {
                self.pace.step().await?;
            }
        }
        let mut found = current.found;
        let mut is_last = true;
        if let Some(pieces) = &mut self.pieces {
            is_last = pieces.is_last;
            if let Some(known) = pieces.found.get_mut(pieces.number) {
                *known |= found;
                found = *known;
            }
            pieces.number += 1;
        }
        if self.kind == Joining::Semi {
            if current.found {
                out.push(current.row);
            }
        } else if !found && is_last && self.kind.keeps_left() {
            let mut row = current.row;
            if self.kind.gives_right() {
                row.resize(width, Value::Null);
            }
            out.push(row);
        }
        Ok(())
    }

    /// The right rows that nothing matched, for RIGHT and FULL, or of which alone it counts whether something did.
    fn unmatched(&mut self, mut place: usize, out: &mut Vec<Row>) {
        let wanted = self.kind == Joining::RightSemi;
        if !self.kind.keeps_right() && !wanted {
            self.stage = Stage::Next;
            return;
        }
        while place < self.build.rows.len() {
            if out.len() >= BATCH_ROWS {
                self.stage = Stage::Unmatched(place);
                return;
            }
            if self.build.matched[place] == wanted {
                if self.kind.gives_left() {
                    let mut joined = vec![Value::Null; self.widths.0];
                    joined.extend_from_slice(&self.build.rows[place]);
                    out.push(joined);
                } else {
                    out.push(std::mem::take(&mut self.build.rows[place]));
                }
            }
            place += 1;
        }
        self.stage = Stage::Next;
    }

    /// Brings the next right rows into memory: another piece of the part, or another part.
    async fn next_part(&mut self) -> Result<(), Error> {
        self.build.clear();
        if let Some(pieces) = &mut self.pieces {
            if !pieces.is_last {
                return self.next_piece().await;
            }
            self.pieces = None;
        }
        let Todo::Pairs(pairs) = &mut self.todo else {
            self.stage = Stage::End;
            return Ok(());
        };
        let Some((right, left)) = pairs.pop() else {
            self.stage = Stage::End;
            return Ok(());
        };
        let is_needed = (left.rows > 0 || self.kind.keeps_right())
            && (right.rows > 0 || self.kind.keeps_left());
        if !is_needed {
            return Ok(());
        }
        let can_divide = right.can_divide();
        let depth = right.depth;
        self.pieces = Some(Pieces {
            right: right.reader(),
            left,
            ahead: None,
            is_last: false,
            found: Vec::new(),
            number: 0,
            account: self.memory.account(),
        });
        self.next_piece().await?;
        let Some(pieces) = &mut self.pieces else { return Ok(()) };
        if pieces.is_last {
            return Ok(());
        }
        if can_divide {
            return self.divide(depth).await;
        }
        if self.kind.keeps_left() || self.kind == Joining::Semi {
            pieces.account.take(pieces.left.rows, WHAT)?;
            pieces.found = vec![false; pieces.left.rows];
        }
        Ok(())
    }

    /// Reads as many of the part's right rows as there is room for.
    async fn next_piece(&mut self) -> Result<(), Error> {
        let Some(pieces) = &mut self.pieces else { return Ok(()) };
        let mut ahead = pieces.ahead.take();
        loop {
            self.pace.step().await?;
            let entry = match ahead.take() {
                Some(entry) => entry,
                None => match pieces.right.next().await? {
                    Some(entry) => entry,
                    None => {
                        pieces.is_last = true;
                        break;
                    }
                },
            };
            if let Err(row) = self.build.add(&entry.key, entry.row) {
                pieces.ahead = Some(Entry { key: entry.key, row });
                break;
            }
        }
        pieces.number = 0;
        self.left = Left::Part(pieces.left.reader());
        self.stage = Stage::Match;
        Ok(())
    }

    /// Divides a part that does not fit into parts of its own.
    async fn divide(&mut self, depth: u32) -> Result<(), Error> {
        let Some(mut pieces) = self.pieces.take() else { return Ok(()) };
        let mut right = Partitions::new(&self.memory, WHAT, depth);
        for (key, row) in self.build.take() {
            right.push(&key, &row).await?;
            self.pace.step().await?;
        }
        let mut ahead = pieces.ahead.take();
        loop {
            let entry = match ahead.take() {
                Some(entry) => Some(entry),
                None => pieces.right.next().await?,
            };
            let Some(entry) = entry else { break };
            right.push(&entry.key, &entry.row).await?;
            self.pace.step().await?;
        }
        let right = right.finish().await?;
        let mut left = Partitions::new(&self.memory, WHAT, depth);
        let mut reader = pieces.left.reader();
        while let Some(entry) = reader.next().await? {
            left.push(&entry.key, &entry.row).await?;
            self.pace.step().await?;
        }
        let left = left.finish().await?;
        if let Todo::Pairs(pairs) = &mut self.todo {
            pairs.extend(right.into_iter().zip(left));
        }
        self.left = Left::Input;
        self.stage = Stage::Next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataman_pg::Context;
    use dataman_pg::types::TypeRef;

    use super::*;
    use crate::merge::testing::memory;

    fn column(index: usize) -> Compiled {
        let ty = TypeRef::plain(TypeId::INT8);
        Compiled::plain(&Expr::Column { index, ty }, &Arc::new(Context::default()))
            .expect("a column")
    }

    async fn join(
        left: Vec<Row>,
        right: Vec<Row>,
        kind: Joining,
        bytes: usize,
    ) -> (Vec<String>, u64) {
        let (memory, folder) = memory(bytes);
        let mut held = Held::new(&memory, kind);
        let keys = [column(0)];
        held.read(&mut HeldRows::new(right), &keys).await.expect("there is room in files");
        let Some(kind) = held.decided() else { return (Vec::new(), 1) };
        let todo = match held.parts {
            Some(parts) => Todo::Divided(parts.finish().await.expect("written")),
            None => Todo::Pairs(Vec::new()),
        };
        let mut join = Join {
            input: Box::new(HeldRows::new(left)),
            pending: Vec::new().into_iter(),
            left_keys: vec![column(0)],
            rest: None,
            kind,
            widths: (2, 2),
            memory: memory.clone(),
            pace: memory.pace(),
            key: Vec::new(),
            build: held.build,
            todo,
            stage: Stage::Begin,
            left: Left::Input,
            pieces: None,
            at: None,
        };
        let mut rows = Vec::new();
        while let Some(batch) = join.next().await.expect("joined") {
            rows.extend(batch.into_iter().map(|row| format!("{row:?}")));
        }
        drop(join);
        assert_eq!(memory.used(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        rows.sort();
        (rows, memory.temporary().written())
    }

    const KINDS: [Joining; 8] = [
        Joining::Inner,
        Joining::Left,
        Joining::Right,
        Joining::Full,
        Joining::Semi,
        Joining::Anti,
        Joining::RightSemi,
        Joining::RightAnti,
    ];

    /// The rows of one side that have a partner, or have none.
    fn by_partner(rows: &[Row], others: &[Row], has_one: bool) -> Vec<String> {
        let keys: std::collections::HashSet<String> =
            others.iter().map(|row| format!("{:?}", row[0])).collect();
        let found = |row: &&Row| !row[0].is_null() && keys.contains(&format!("{:?}", row[0]));
        let mut rows: Vec<String> =
            rows.iter().filter(|row| found(row) == has_one).map(|row| format!("{row:?}")).collect();
        rows.sort();
        rows
    }

    /// With little memory a join of any kind gives the rows that it gives with much.
    async fn check(left: &[Row], right: &[Row], bytes: usize) {
        for kind in KINDS {
            let (expected, written) = join(left.to_vec(), right.to_vec(), kind, 1 << 28).await;
            assert_eq!(written, 0);
            let by_hand = match kind {
                Joining::Semi | Joining::Anti => {
                    Some(by_partner(left, right, kind == Joining::Semi))
                }
                Joining::RightSemi | Joining::RightAnti => {
                    Some(by_partner(right, left, kind == Joining::RightSemi))
                }
                _ => None,
            };
            assert!(by_hand.is_none_or(|by_hand| by_hand == expected), "{kind:?}");
            let (found, written) = join(left.to_vec(), right.to_vec(), kind, bytes).await;
            // Rows whose keys are NULL are held only where they come out.
            let holds = kind.keeps_right() || right.iter().any(|row| !row[0].is_null());
            assert_eq!(written > 0, holds, "{kind:?}");
            assert_eq!(found.len(), expected.len(), "{kind:?}");
            assert!(found == expected, "{kind:?}");
        }
    }

    fn rows(count: i64, key: impl Fn(i64) -> Option<i64>) -> Vec<Row> {
        (0..count)
            .map(|number| vec![key(number).map_or(Value::Null, Value::Int8), Value::Int8(number)])
            .collect()
    }

    #[tokio::test]
    async fn what_does_not_fit_is_joined_part_by_part() {
        let some = |number: i64| (number % 11 != 0).then_some(number * 7 % 3000);
        check(&rows(4000, some), &rows(5000, |n| some(n + 3).map(|key| key + 500)), 128 * 1024)
            .await;
        // Parts of parts.
        check(&rows(3000, some), &rows(20_000, Some), 64 * 1024).await;
    }

    #[tokio::test]
    async fn nothing_is_known_to_differ_from_null() {
        let left = rows(100, |number| (number % 10 != 0).then_some(number));
        for (right, bytes) in [(rows(50, Some), 1 << 28), (rows(20_000, |n| Some(n % 50)), 1 << 17)]
        {
            let (found, _) = join(left.clone(), right, Joining::NotIn, bytes).await;
            assert_eq!(found.len(), 45);
        }
        let with_null = rows(50, |number| (number > 0).then_some(number));
        assert_eq!(join(left.clone(), with_null, Joining::NotIn, 1 << 28).await.0.len(), 0);
        assert_eq!(join(left, Vec::new(), Joining::NotIn, 1 << 28).await.0.len(), 100);
    }

    #[tokio::test]
    async fn a_key_that_has_most_rows_is_joined_piece_by_piece() {
        let skewed = |number: i64| Some(if number % 50 == 0 { number } else { 7 });
        check(&rows(20, |n| Some(n % 10)), &rows(6000, skewed), 64 * 1024).await;
        check(&rows(10, |_| None), &rows(6000, |_| None), 64 * 1024).await;
    }
}
