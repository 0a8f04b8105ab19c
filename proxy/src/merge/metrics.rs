//! What the operators of one execution did, for EXPLAIN ANALYZE.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dataman_metadata::id::ShardId;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{End, NodeConnection, RowStream};
use dataman_node_protocol::record::Batch;
use tokio::time::Instant;

use super::rows::{Connections, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::{NodeScan, Operator};

/// What the operators of a plan did, and what its shards sent. A plan's operators are told apart by where they lie, which
/// does not change while there is the plan.
#[derive(Debug, Default)]
pub struct Metrics {
    operators: Mutex<HashMap<usize, Arc<Counters>>>,
    shards: Mutex<HashMap<usize, BTreeMap<ShardId, Arc<Counters>>>>,
}

/// What one operator, or one shard's part of a scan, did.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    loops: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Until the first row, and in all, with what is below.
    startup_ns: AtomicU64,
    total_ns: AtomicU64,
    /// What is held above the shards now, and the most that was.
    held: AtomicUsize,
    peak: AtomicUsize,
    /// What was written to temporary files.
    disk: AtomicU64,
}

/// The same as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) loops: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) startup: Duration,
    pub(crate) total: Duration,
    pub(crate) memory_bytes: usize,
    pub(crate) disk_bytes: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place_of<T>(one: &T) -> usize {
    std::ptr::from_ref(one).addr()
}

impl Metrics {
    /// The counters of an operator that is opened once more.
    pub(super) fn open(&self, operator: &Operator) -> Arc<Counters> {
        let mut operators = locked(&self.operators);
        let counters = Arc::clone(operators.entry(place_of(operator)).or_default());
        counters.loops.fetch_add(1, Ordering::Relaxed);
        counters
    }

    /// The counters of a shard's part of a scan.
    pub(super) fn shard(&self, scan: &NodeScan, shard: ShardId) -> Arc<Counters> {
        let mut shards = locked(&self.shards);
        let shards = shards.entry(place_of(scan)).or_default();
        let counters = Arc::clone(shards.entry(shard).or_default());
        counters.loops.fetch_add(1, Ordering::Relaxed);
        counters
    }

    /// What an operator did; none when it was not reached.
    pub(crate) fn of(&self, operator: &Operator) -> Option<Measured> {
        locked(&self.operators).get(&place_of(operator)).map(|counters| counters.measured())
    }

    /// What the shards of a scan did.
    pub(crate) fn shards(&self, scan: &NodeScan) -> BTreeMap<ShardId, Measured> {
        let shards = locked(&self.shards);
        let shards = shards.get(&place_of(scan)).into_iter().flatten();
        shards.map(|(shard, counters)| (*shard, counters.measured())).collect()
    }
}

impl Counters {
    fn measured(&self) -> Measured {
        let time = |time: &AtomicU64| Duration::from_nanos(time.load(Ordering::Relaxed));
        Measured {
            loops: self.loops.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            startup: time(&self.startup_ns),
            total: time(&self.total_ns),
            memory_bytes: self.peak.load(Ordering::Relaxed),
            disk_bytes: self.disk.load(Ordering::Relaxed),
        }
    }

    /// Counts time since a moment.
    pub(super) fn spend(&self, since: Instant) {
        let spent = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.total_ns.fetch_add(spent, Ordering::Relaxed);
    }

    fn give(&self, rows: usize, bytes: usize, is_first: &mut bool) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if std::mem::take(is_first) && self.startup_ns.load(Ordering::Relaxed) == 0 {
            self.startup_ns.store(self.total_ns.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Bytes of memory are taken.
    pub(super) fn take(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    /// Bytes of memory are given back.
    pub(super) fn give_back(&self, bytes: usize) {
        // What another operator has taken may be given back here.
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes are written to a temporary file.
    pub(super) fn write(&self, bytes: u64) {
        self.disk.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// An operator's rows, counted.
pub(super) struct CountedRows {
    pub(super) rows: Box<dyn ValueStream>,
    pub(super) counters: Arc<Counters>,
    pub(super) is_first: bool,
}

#[async_trait]
impl ValueStream for CountedRows {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let since = Instant::now();
        let batch = self.rows.next().await;
        self.counters.spend(since);
        if let Ok(Some(rows)) = &batch {
            self.counters.give(rows.len(), 0, &mut self.is_first);
        }
        batch
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.rows.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.rows.into_connections()
    }
}

/// What a shard sends, counted.
pub(super) struct CountedFrames {
    pub(super) rows: Box<dyn RowStream>,
    pub(super) counters: Arc<Counters>,
    pub(super) is_first: bool,
}

#[async_trait]
impl RowStream for CountedFrames {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        let since = Instant::now();
        let batch = self.rows.next().await;
        self.counters.spend(since);
        if let Ok(Some(batch)) = &batch {
            self.counters.give(batch.rows, batch.frames.len(), &mut self.is_first);
        }
        batch
    }

    fn end(&self) -> End {
        self.rows.end()
    }

    fn copy_out_response(&self) -> Option<&Bytes> {
        self.rows.copy_out_response()
    }

    fn take_notices(&mut self) -> Vec<NodeError> {
        self.rows.take_notices()
    }

    fn into_connection(self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        self.rows.into_connection()
    }
}
