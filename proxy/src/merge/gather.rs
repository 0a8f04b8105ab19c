//! Rows of shards that answer each in its way: one part after the other, or all merged into the order that each is in.

use std::cmp::Ordering;

use async_trait::async_trait;

use super::open::Run;
use super::pace::Pace;
use super::raw::compare_nullable;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::{Gather, MergeKey};

/// Opens the parts that have rows, all at once: their shards are not the same.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    gather: &'a Gather,
) -> Result<Box<dyn ValueStream>, Error> {
    let mut heads: Vec<Head> = Vec::new();
    for part in run.gather_parts(gather)? {
        match run.values(&part.operator).await {
            Ok(stream) => heads.push(Head { stream, rows: Vec::new().into_iter(), first: None }),
            Err(error) => {
                for mut head in heads {
                    run.stop(head.stream.as_mut()).await;
                    run.give_back(head.stream);
                }
                return Err(error);
            }
        }
    }
    Ok(Box::new(Gathered {
        heads,
        closed: Vec::new(),
        keys: gather.keys.clone(),
        visible: gather.visible,
        started: false,
        pace: run.memory.pace(),
    }))
}

/// One part's rows.
struct Head {
    stream: Box<dyn ValueStream>,
    rows: std::vec::IntoIter<Row>,
    /// Its first row, when the rows are merged.
    first: Option<Row>,
}

impl Head {
    /// Moves to the next row; false at the end.
    async fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(row) = self.rows.next() {
                self.first = Some(row);
                return Ok(true);
            }
            match self.stream.next().await? {
                Some(rows) => self.rows = rows.into_iter(),
                None => {
                    self.first = None;
                    return Ok(false);
                }
            }
        }
    }
}

/// The rows of all parts.
struct Gathered {
    /// Those that are not at their end.
    heads: Vec<Head>,
    closed: Connections,
    keys: Vec<MergeKey>,
    visible: usize,
    started: bool,
    pace: Pace,
}

impl Gathered {
    fn close(&mut self, place: usize) {
        let head = self.heads.remove(place);
        self.closed.extend(head.stream.into_connections());
    }

    /// The next rows of the first part that has some.
    async fn next_of_first(&mut self) -> Result<Option<Vec<Row>>, Error> {
        while let Some(head) = self.heads.first_mut() {
            match head.stream.next().await? {
                Some(mut rows) => {
                    rows.iter_mut().for_each(|row| row.truncate(self.visible));
                    return Ok(Some(rows));
                }
                None => self.close(0),
            }
        }
        Ok(None)
    }

    /// The next rows in order.
    async fn next_in_order(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if !self.started {
            self.started = true;
            for place in (0..self.heads.len()).rev() {
                if !self.heads[place].advance().await? {
                    self.close(place);
                }
            }
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH_ROWS {
            let Some(place) = self.least() else { break };
            self.pace.step().await?;
            if let Some(mut row) = self.heads[place].first.take() {
                row.truncate(self.visible);
                batch.push(row);
            }
            if !self.heads[place].advance().await? {
                self.close(place);
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// The part whose first row comes first; of equal ones the first part.
    fn least(&self) -> Option<usize> {
        let mut least: Option<(usize, &Row)> = None;
        for (place, head) in self.heads.iter().enumerate() {
            let Some(row) = &head.first else { continue };
            let comes_first =
                least.is_none_or(|(_, known)| compare(row, known, &self.keys) == Ordering::Less);
            if comes_first {
                least = Some((place, row));
            }
        }
        least.map(|(place, _)| place)
    }
}

/// The order of two rows by their keys.
fn compare(one: &Row, other: &Row, keys: &[MergeKey]) -> Ordering {
    keys.iter()
        .map(|key| {
            let (one, other) = (&one[key.column], &other[key.column]);
            compare_nullable(one, other, key.descending, key.nulls_first)
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[async_trait]
impl ValueStream for Gathered {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if self.keys.is_empty() { self.next_of_first().await } else { self.next_in_order().await }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for head in &mut self.heads {
            outcome = outcome.and(head.stream.finish().await);
        }
        outcome
    }

    fn into_connections(self: Box<Self>) -> Connections {
        let mut connections = self.closed;
        for head in self.heads {
            connections.extend(head.stream.into_connections());
        }
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Held;
    use super::*;
    use crate::merge::testing;
    use dataman_pg::{TypeId, Value};

    async fn check(parts: &[&[i32]], keys: &[(usize, bool)], expected: &[i32]) {
        let (memory, _folder) = testing::memory(1 << 20);
        let heads = parts.iter().map(|rows| {
            let rows = rows.iter().map(|value| vec![Value::Int4(*value), Value::Null]).collect();
            let stream = Box::new(Held::new(rows));
            Head { stream, rows: Vec::new().into_iter(), first: None }
        });
        let keys = keys.iter().map(|(column, descending)| MergeKey {
            column: *column,
            ty: TypeId::INT4.into(),
            descending: *descending,
            nulls_first: *descending,
        });
        let mut gathered = Gathered {
            heads: heads.collect(),
            closed: Vec::new(),
            keys: keys.collect(),
            visible: 1,
            started: false,
            pace: memory.pace(),
        };
        let mut found = Vec::new();
        while let Some(rows) = gathered.next().await.expect("nothing fails") {
            for row in rows {
                assert_eq!(row.len(), 1, "hidden columns are cut off");
                found.extend(row.into_iter().map(|value| match value {
                    Value::Int4(value) => value,
                    _ => -1,
                }));
            }
        }
        assert_eq!(found, expected, "{parts:?}");
    }

    #[tokio::test]
    async fn parts_come_in_order() {
        check(&[&[3, 4], &[], &[1]], &[], &[3, 4, 1]).await;
        check(&[&[1, 4], &[], &[2, 3, 5]], &[(0, false)], &[1, 2, 3, 4, 5]).await;
        check(&[&[4, 1], &[5, 2]], &[(1, false), (0, true)], &[5, 4, 2, 1]).await;
        check(&[], &[(0, false)], &[]).await;
    }
}
