//! WITH RECURSIVE: rows over the rows that came last, until there are none.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use dataman_pg::{PgError, Value};

use super::apply::Shared;
use super::distinct::key_bytes;
use super::memory::Memory;
use super::open::Run;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::Operator;

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
        seen: (!all).then(HashSet::new),
        memory,
        last: Vec::new(),
        pending: Vec::new().into_iter(),
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
    seen: Option<HashSet<Vec<u8>>>,
    memory: Memory,
    /// The rows that came last, over which the next step runs.
    last: Vec<Row>,
    /// Those of them that are still to be given.
    pending: std::vec::IntoIter<Row>,
}

impl Recursion {
    fn only_new(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
        let Some(seen) = &mut self.seen else { return Ok(rows) };
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            let key = key_bytes(row.iter());
            let bytes = key.len() + std::mem::size_of::<Vec<u8>>();
            if seen.insert(key) {
                self.memory.take(bytes, "WITH RECURSIVE")?;
                fresh.push(row);
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
                        let fresh = self.only_new(batch)?;
                        if fresh.is_empty() {
                            continue;
                        }
                        self.last.extend(fresh.iter().cloned());
                        return Ok(Some(fresh));
                    }
                    None => {
                        if let Some(first) = self.first.take() {
                            self.connections = first.into_connections();
                        }
                    }
                }
            }
            let batch: Vec<Row> = self.pending.by_ref().take(BATCH_ROWS).collect();
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            if self.last.is_empty() {
                return Ok(None);
            }
            let last = std::mem::take(&mut self.last);
            let rows = self.shared.step(self.place, last, &self.params).await?;
            self.last = self.only_new(rows)?;
            self.pending = self.last.clone().into_iter();
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.last.clear();
        self.pending = Vec::new().into_iter();
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
