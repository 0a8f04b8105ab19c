//! WITH RECURSIVE: rows over the rows that came last, until there are none.

use std::sync::Arc;

use async_trait::async_trait;
use dataman_pg::{PgError, Value};

use super::apply::Shared;
use super::memory::Memory;
use super::open::Run;
use super::rows::{Connections, Row, ValueStream};
use super::seen::Seen;
use super::store::{Reader, Store};
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
        fresh: None,
        connections: Vec::new(),
        shared,
        params,
        place,
        seen: (!all).then(|| Seen::new(&memory, WHAT)),
        begun: Store::new(&memory, WHAT),
        last: Arc::new(Store::new(&memory, WHAT)),
        given: 0,
        memory,
    }))
}

struct Recursion {
    /// The rows to begin with, while there are some.
    first: Option<Box<dyn ValueStream>>,
    /// Those of them that are new and have not been given.
    fresh: Option<Reader>,
    connections: Connections,
    shared: Arc<Shared>,
    params: Arc<Vec<Value>>,
    place: usize,
    /// For UNION, the rows that were there.
    seen: Option<Seen>,
    memory: Memory,
    /// The rows to begin with that have been given.
    begun: Store,
    /// The rows that came last, over which the next step runs.
    last: Arc<Store>,
    /// How many of them have been given.
    given: usize,
}

impl Recursion {
    /// The rows over those that came last.
    async fn step(&mut self) -> Result<Store, Error> {
        let rows = self.shared.step(self.place, &self.last, &self.params).await?;
        self.only_new(rows).await
    }

    async fn only_new(&mut self, rows: Store) -> Result<Store, Error> {
        match &mut self.seen {
            Some(seen) => seen.only_new(rows).await,
            None => Ok(rows),
        }
    }

    /// The next rows to begin with; none at the end.
    async fn begin(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            if let Some(batch) = match &mut self.fresh {
                Some(fresh) => fresh.next().await?,
                None => None,
            } {
                return Ok(Some(batch));
            }
            self.fresh = None;
            let Some(first) = &mut self.first else { return Ok(None) };
            let Some(mut batch) = first.next().await? else { return Ok(None) };
            let Some(seen) = &mut self.seen else { return Ok(Some(batch)) };
            let mut rows = Store::new(&self.memory, WHAT);
            loop {
                for row in batch {
                    rows.push(row).await?;
                }
                // What is in files is gone through once for all that is left.
                if !seen.is_in_file() {
                    break;
                }
                match first.next().await? {
                    Some(more) => batch = more,
                    None => break,
                }
            }
            self.fresh = Some(seen.only_new(rows).await?.into_reader());
        }
    }
}

#[async_trait]
impl ValueStream for Recursion {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            if self.first.is_some() {
                if let Some(batch) = self.begin().await? {
                    for row in &batch {
                        self.begun.push(row.clone()).await?;
                    }
                    return Ok(Some(batch));
                }
                if let Some(first) = self.first.take() {
                    self.connections = first.into_connections();
                }
                let begun = Store::new(&self.memory, WHAT);
                self.last = Arc::new(std::mem::replace(&mut self.begun, begun));
                self.given = self.last.len();
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
        self.fresh = None;
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
