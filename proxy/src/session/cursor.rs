//! Cursors in SQL: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor's rows are those of the moment of its DECLARE, so they are read then, whole, and kept: the shards' connections
//! are free for the statements that follow, and a cursor goes backward over whatever plan. What its query fails with, DECLARE
//! fails with.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, PgError};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::merge::{decode, encode_row};
use crate::parse::syntax::{CursorCommand, FetchDirection};
use crate::rows::encode::split_rows;
use crate::session::Session;
use crate::session::dispatch::Started;
use crate::session::portal::Rows;

/// How many bytes of rows a cursor keeps. Beyond it DECLARE fails with `53200`.
const CURSOR_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The rows of a cursor, and where it stands.
pub struct Cursor {
    /// Its columns.
    pub columns: Vec<ColumnDescription>,
    /// Each row's DataRow message, in text.
    rows: Vec<Bytes>,
    /// What the text was written by, and is read by for a FETCH in binary.
    context: Arc<Context>,
    /// 0 ahead of the first row, the number of the row it stands on, or one more than there are.
    at: usize,
    /// NO SCROLL.
    only_forward: bool,
    /// WITH HOLD.
    hold: bool,
    /// Its transaction has committed.
    held: bool,
    /// How many savepoints its transaction had when it was declared.
    level: usize,
}

impl Cursor {
    /// Moves, and gives the rows passed: their places, in the order passed.
    fn travel(&mut self, direction: FetchDirection) -> Result<Vec<usize>, PgError> {
        let count = i64::try_from(self.rows.len()).unwrap_or(i64::MAX - 1);
        let at = i64::try_from(self.at).unwrap_or(i64::MAX);
        let within = |place: i64| (1..=count).contains(&place);
        // The places passed, and where the cursor stands then.
        let (passed, stands): (Vec<i64>, i64) = match direction {
            FetchDirection::Forward(Some(0)) | FetchDirection::Relative(0) => (vec![at], at),
            FetchDirection::Forward(None) => ((at + 1..=count).collect(), count + 1),
            FetchDirection::BackwardAll => ((1..at).rev().collect(), 0),
            FetchDirection::Forward(Some(steps)) if steps > 0 => {
                let last = at.saturating_add(steps);
                ((at + 1..=last.min(count)).collect(), last.min(count + 1))
            }
            FetchDirection::Forward(Some(steps)) => {
                let last = at.saturating_add(steps);
                ((last.max(1)..at).rev().collect(), last.max(0))
            }
            FetchDirection::Absolute(place) => {
                let place = if place < 0 { count + 1 + place.max(-count - 1) } else { place };
                let place = place.clamp(0, count + 1);
                (vec![place], place)
            }
            FetchDirection::Relative(steps) => {
                let place = at.saturating_add(steps).clamp(0, count + 1);
                (vec![place], place)
            }
        };
        let goes_back =
            stands < at || passed.first().is_some_and(|first| *first <= at && within(*first));
        if self.only_forward && goes_back {
            return Err(PgError::new("55000", "cursor can only scan forward")
                .with_hint("Declare it with SCROLL option to enable backward scan."));
        }
        self.at = usize::try_from(stands).unwrap_or_default();
        let rows = passed.into_iter().filter(|place| within(*place));
        Ok(rows.filter_map(|place| usize::try_from(place - 1).ok()).collect())
    }

    /// Puts a row behind others, in the formats asked for.
    fn put_row(&self, place: usize, formats: &[Format], out: &mut BytesMut) -> Result<(), PgError> {
        if !formats.contains(&Format::Binary) {
            out.extend_from_slice(&self.rows[place]);
            return Ok(());
        }
        let types: Vec<TypeRef> = self.columns.iter().map(|column| column.ty).collect();
        let batch = Batch { frames: self.rows[place].clone(), rows: 1 };
        for row in batch.iter() {
            let values = row
                .columns()
                .zip(&types)
                .map(|(bytes, ty)| decode(bytes, *ty, Format::Text, &self.context))
                .collect::<Result<Vec<_>, _>>()?;
            encode_row(&values, &types, formats, &self.context, out);
        }
        Ok(())
    }

    /// A transaction has committed; gives whether the cursor stays.
    pub(crate) fn outlives_commit(&mut self) -> bool {
        self.held |= self.hold;
        self.held
    }

    /// Whether the cursor belongs to no transaction any more.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the cursor was declared under so many savepoints, or more, of a transaction that has not ended.
    pub(crate) fn is_within(&self, savepoints: usize) -> bool {
        !self.held && self.level >= savepoints
    }

    /// The savepoints beyond so many were released.
    pub(crate) fn rise_to(&mut self, savepoints: usize) {
        self.level = self.level.min(savepoints);
    }
}

impl Session {
    /// Carries out a statement about a cursor.
    pub(super) async fn run_cursor(
        &mut self,
        command: &CursorCommand,
        formats: &[Format],
        token: &CancellationToken,
    ) -> Result<Started, Error> {
        match command {
            CursorCommand::Declare { name, scroll, hold, statement } => {
                if !hold {
                    self.check_block("DECLARE CURSOR")?;
                }
                if self.portals.cursor(name).is_ok() {
                    return Err(
                        PgError::new("42P03", format!("cursor \"{name}\" already exists")).into()
                    );
                }
                let prepared = Arc::new(self.describe(Some(Arc::new((**statement).clone())), &[])?);
                if !prepared.params.is_empty() {
                    return Err(PgError::new("42P02", "there is no parameter $1").into());
                }
                let columns = prepared.columns.clone().unwrap_or_default();
                let text = vec![Format::Text; columns.len()];
                let parameters = Parameters::default();
                let (mut rows, _) =
                    self.start_plan(&prepared, &parameters, &text, token, None).await?;
                let kept = keep(&mut rows).await;
                self.transaction.give_back(rows.take_connections());
                let cursor = Cursor {
                    columns,
                    rows: kept?,
                    context: Arc::new(self.context(&self.schemas())),
                    at: 0,
                    only_forward: *scroll == Some(false),
                    hold: *hold,
                    held: false,
                    level: self.transaction.savepoint_count(),
                };
                self.portals.open(name, cursor);
                Ok(Started::Done("DECLARE CURSOR".to_owned()))
            }
            CursorCommand::Fetch { name, direction, moves } => {
                let cursor = self.portals.cursor_mut(name)?;
                let places = cursor.travel(*direction)?;
                if *moves {
                    return Ok(Started::Done(format!("MOVE {}", places.len())));
                }
                let mut frames = BytesMut::new();
                for place in &places {
                    cursor.put_row(*place, formats, &mut frames)?;
                }
                let batch = Batch { frames: frames.freeze(), rows: places.len() };
                Ok(Started::Rows(Rows::of_batch(batch, "FETCH")))
            }
            CursorCommand::Close(Some(name)) => {
                self.portals.cursor(name)?;
                self.portals.close(name);
                Ok(Started::Done("CLOSE CURSOR".to_owned()))
            }
            CursorCommand::Close(None) => {
                self.portals.close_all();
                Ok(Started::Done("CLOSE CURSOR ALL".to_owned()))
            }
        }
    }
}

/// Reads rows to their end, each as a message of its own.
async fn keep(rows: &mut Rows) -> Result<Vec<Bytes>, Error> {
    let mut kept = Vec::new();
    let mut bytes = 0;
    while let Some(mut batch) = rows.next(0).await? {
        bytes += batch.frames.len();
        if bytes > CURSOR_BYTES_MAX {
            return Err(PgError::new("53200", "out of memory")
                .with_detail(format!("A cursor has more than {CURSOR_BYTES_MAX} bytes of rows."))
                .with_hint("Read with LIMIT, or with a portal of the extended protocol.")
                .into());
        }
        while batch.rows > 0 {
            kept.push(split_rows(&mut batch, 1).frames);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(at: usize, direction: FetchDirection, passed: &[usize], stands: usize) {
        let mut cursor = Cursor {
            columns: Vec::new(),
            rows: vec![Bytes::new(); 4],
            context: Arc::default(),
            at,
            only_forward: false,
            hold: false,
            held: false,
            level: 0,
        };
        let found = cursor
            .travel(direction)
            .map(|places| places.into_iter().map(|place| place + 1).collect::<Vec<_>>());
        assert_eq!((found, cursor.at), (Ok(passed.to_vec()), stands), "{direction:?} from {at}");
    }

    #[test]
    fn cursors_travel() {
        check(0, FetchDirection::Forward(Some(2)), &[1, 2], 2);
        check(2, FetchDirection::Forward(Some(2)), &[3, 4], 4);
        check(3, FetchDirection::Forward(Some(2)), &[4], 5);
        check(4, FetchDirection::Forward(Some(1)), &[], 5);
        check(5, FetchDirection::Forward(Some(1)), &[], 5);
        check(1, FetchDirection::Forward(None), &[2, 3, 4], 5);
        check(5, FetchDirection::Forward(Some(-2)), &[4, 3], 3);
        check(2, FetchDirection::Forward(Some(-2)), &[1], 0);
        check(3, FetchDirection::Forward(Some(0)), &[3], 3);
        check(0, FetchDirection::Forward(Some(0)), &[], 0);
        check(3, FetchDirection::BackwardAll, &[2, 1], 0);
        check(0, FetchDirection::Absolute(3), &[3], 3);
        check(0, FetchDirection::Absolute(-1), &[4], 4);
        check(0, FetchDirection::Absolute(-9), &[], 0);
        check(2, FetchDirection::Absolute(0), &[], 0);
        check(2, FetchDirection::Absolute(9), &[], 5);
        check(2, FetchDirection::Relative(1), &[3], 3);
        check(2, FetchDirection::Relative(-1), &[1], 1);
        check(2, FetchDirection::Relative(-2), &[], 0);
    }

    #[test]
    fn without_scroll_a_cursor_goes_forward() {
        let mut cursor = Cursor {
            columns: Vec::new(),
            rows: vec![Bytes::new(); 4],
            context: Arc::default(),
            at: 2,
            only_forward: true,
            hold: false,
            held: false,
            level: 0,
        };
        assert!(cursor.travel(FetchDirection::Forward(Some(1))).is_ok());
        let error = cursor.travel(FetchDirection::Forward(Some(-1))).map_err(|e| e.sqlstate());
        assert_eq!(error, Err("55000"));
    }
}
