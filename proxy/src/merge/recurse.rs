//! WITH RECURSIVE: rows over the rows that came last, until there are none.

use std::sync::Arc;

use async_trait::async_trait;
use dataman_pg::{PgError, Value};

use super::apply::Shared;
use super::distinct::key_bytes;
use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory};
use super::open::Run;
use super::pace::Pace;
use super::rows::{Connections, Row, ValueStream};
use super::store::Store;
use crate::error::Error;
use crate::plan::operator::Operator;

/// What the operator is called where it has no more room.
const WHAT: &str = "WITH RECURSIVE";

/// Opens a common table of the plan that streams; what its step needs of the shards is read before.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    place: usize,
) -> Result<Box<dyn ValueStream>, Error> {
    let table = run
        .plan
        .tables
        .get(place)
        .ok_or_else(|| PgError::internal("a plan's common table is not there"))?;
    let Operator::Recurse { first, step, all, .. } = &table.operator else {
        return run.values(&table.operator).await;
    };
    run.load(step).await?;
    let shared = run.shared();
    let params = Arc::clone(&run.values);
    let memory = run.memory.clone();
    let first = run.values(first).await?;
    Ok(Box::new(Recursion {
        first: Some(first),
        connections: Vec::new(),
        shared,
        params,
        place,
        seen: (!all).then(KeyTable::default),
        account: memory.account(),
        pace: memory.pace(),
        begun: Store::new(&memory, WHAT),
        last: Arc::new(Store::new(&memory, WHAT)),
        given: 0,
        memory,
    }))
}

struct Recursion {
    /// The rows to begin with, while there are some.
    first: Option<Box<dyn ValueStream>>,
    connections: Connections,
    shared: Arc<Shared>,
    params: Arc<Vec<Value>>,
    place: usize,
    /// For UNION, the rows that were there.
    seen: Option<KeyTable>,
    account: Account,
    memory: Memory,
    pace: Pace,
    /// The rows to begin with that have been given.
    begun: Store,
    /// The rows that came last, over which the next step runs.
    last: Arc<Store>,
    /// How many of them have been given.
    given: usize,
}

impl Recursion {
    async fn only_new(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
        let Some(seen) = &mut self.seen else { return Ok(rows) };
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            self.pace.step().await?;
            let key = key_bytes(row.iter());
            if seen.insert(&key).1 {
                self.account.take(key.len() + KEY_BYTES, WHAT)?;
                fresh.push(row);
            }
        }
        Ok(fresh)
    }

    /// The rows over those that came last.
    async fn step(&mut self) -> Result<Store, Error> {
        let rows = self.shared.step(self.place, &self.last, &self.params).await?;
        if self.seen.is_none() {
            return Ok(rows);
        }
        let mut fresh = Store::new(&self.memory, WHAT);
        let mut rows = rows.into_reader();
        while let Some(batch) = rows.next().await? {
            for row in self.only_new(batch).await? {
                fresh.push(row).await?;
            }
        }
        Ok(fresh)
    }
}

#[async_trait]
impl ValueStream for Recursion {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            if let Some(first) = &mut self.first {
                match first.next().await? {
                    Some(batch) => {
                        let fresh = self.only_new(batch).await?;
                        if fresh.is_empty() {
                            continue;
                        }
                        for row in &fresh {
                            self.begun.push(row.clone()).await?;
                        }
                        return Ok(Some(fresh));
                    }
                    None => {
                        if let Some(first) = self.first.take() {
                            self.connections = first.into_connections();
                        }
                        let begun = Store::new(&self.memory, WHAT);
                        self.last = Arc::new(std::mem::replace(&mut self.begun, begun));
                        self.given = self.last.len();
                    }
                }
            }
            if self.given < self.last.len() {
                let batch = self.last.batch(self.given).await?;
                self.given += batch.len();
                return Ok(Some(batch));
            }
            if self.last.len() == 0 {
                return Ok(None);
            }
            self.last = Arc::new(self.step().await?);
            self.given = 0;
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.last = Arc::new(Store::new(&self.memory, WHAT));
        self.given = 0;
        match &mut self.first {
            Some(first) => first.finish().await,
            None => Ok(()),
        }
    }

    fn into_connections(self: Box<Self>) -> Connections {
        let mut connections = self.connections;
        if let Some(first) = self.first {
            connections.extend(first.into_connections());
        }
        connections
    }
}
