//! A node's shards behind one trait, in this process or at the other end of a wire.
//!
//! ```text
//! Node ── connect ──▶ NodeConnection ── execute ──▶ RowStream ── next ──▶ Batch, Batch, …, End
//!                        ▲                                                        │
//!                        └──────────────────── into_connection ◀──────────────────┘
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::capability::Capability;
use crate::error::{NodeError, NodeErrorKind};
use crate::pass::PassThrough;
use crate::query::NodeQuery;
use crate::record::{Batch, Format, StatementDescription};
use crate::replication::Observation;

/// One datasource of one node: a database that queries can be sent to.
#[async_trait]
pub trait Node: Send + Sync {
    /// What the database can carry out exactly.
    fn capability(&self) -> &dyn Capability;

    /// Takes a connection: from a pool, or a new one. It returns to the pool when dropped, if known clean, else it is
    /// closed.
    ///
    /// # Errors
    /// `Unreachable` or `Busy`; nothing was sent.
    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError>;

    /// Takes a connection if one is at hand, without waiting for anything.
    fn connect_now(&self) -> Option<Box<dyn NodeConnection>> {
        None
    }

    /// How its connections are used; none where there is no pool.
    fn pool_use(&self) -> Option<PoolUse> {
        None
    }

    /// Asks the database for its part in the replica set that it belongs to, over a connection of its own, so that one that is
    /// busy is not taken for one that is gone. Safe to drop.
    ///
    /// # Errors
    /// It does not answer, or does not copy by itself (`0A000`).
    async fn observe(&self) -> Result<Observation, NodeError> {
        Err(NodeError::unsupported("this database's own replication is not supported"))
    }
}

/// How the connections of a datasource are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that somebody has now.
    pub in_use: usize,
    /// The most there may be.
    pub connections_max: usize,
}

/// A query ready to be sent often: made once, kept with the plan, sent with each execution.
#[derive(Debug)]
pub struct NodeStatement {
    /// The form.
    pub query: NodeQuery,
    /// Types of `$1…`.
    pub params: Vec<dataman_pg::TypeId>,
    id: u64,
    json: OnceLock<String>,
    uses: AtomicU32,
}

impl NodeStatement {
    /// Makes a statement of a query. `params` are the types of `$1…`.
    pub fn new(query: NodeQuery, params: Vec<dataman_pg::TypeId>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            query,
            params,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            json: OnceLock::new(),
            uses: AtomicU32::new(0),
        }
    }

    /// The number that names this statement as long as the process lives: what caches of prepared statements and lowered
    /// text are keyed by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its JSON, as it goes over the wire; made when first asked for, since the in-process form never asks.
    ///
    /// # Errors
    /// A query that JSON cannot hold: a mistake of whoever made it.
    pub fn json(&self) -> Result<&str, NodeError> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let json = serde_json::to_string(&self.query).map_err(|error| {
            NodeError::new(
                NodeErrorKind::Protocol,
                "XX000",
                format!("node query cannot be written as JSON: {error}"),
            )
        })?;
        Ok(self.json.get_or_init(|| json))
    }

    /// Counts one more execution and returns how many there were before: a statement is worth preparing under a name only
    /// when it comes again.
    pub fn count_use(&self) -> u32 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

/// What is sent ahead of a statement: it is transmitted only when it differs from what the connection had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementContext {
    /// The epoch the statement was planned under.
    pub epoch: u64,
    /// Settings that change how values are read, written and computed: `TimeZone`, `DateStyle`, `IntervalStyle`,
    /// `extra_float_digits`, `bytea_output`; name and value as SET takes them, in a fixed order.
    pub settings: Arc<Vec<(String, String)>>,
    /// `now()` of the transaction, microseconds since 2000-01-01 00:00:00 UTC.
    pub transaction_time_us: i64,
    /// Milliseconds the statement may still take; none for no limit.
    pub time_left_ms: Option<u64>,
}

/// Parameters in the formats they came in.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    /// The values, `None` for NULL.
    pub values: Vec<Option<Bytes>>,
    /// Their formats: one for each.
    pub formats: Vec<Format>,
}

/// What is asked for with an execution.
#[derive(Debug, Clone, Default)]
pub struct ResultFormats {
    /// One for each column, or one for all, or none for all text.
    pub formats: Vec<Format>,
}

/// How a transaction is begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    /// `ISOLATION LEVEL`.
    pub isolation: Isolation,
    /// `READ ONLY`.
    pub read_only: bool,
}

/// PostgreSQL's isolation levels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// `READ COMMITTED` (and `READ UNCOMMITTED`).
    #[default]
    ReadCommitted,
    /// `REPEATABLE READ`.
    RepeatableRead,
    /// `SERIALIZABLE`.
    Serializable,
}

/// A connection that one session uses at a time.
#[async_trait]
pub trait NodeConnection: Send {
    /// [`Capability::has_one_writer`] of the database.
    fn has_one_writer(&self) -> bool {
        false
    }

    /// Says what a statement takes and gives, without running it.
    ///
    /// # Errors
    /// The database's own, of a statement it refuses.
    async fn describe(
        &mut self,
        statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError>;

    /// Sends a statement and hands itself to the stream of its rows. A failure, also one before anything was sent, is the
    /// stream's first answer; so several shards can be sent their parts before any is waited for.
    ///
    /// The statement's work stops when `cancel` fires (the stream then ends with `Cancelled`) or when the stream is dropped
    /// before its end, in which case the connection is closed, or cleaned, by its pool.
    async fn execute(
        self: Box<Self>,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        parameters: &Parameters,
        formats: &ResultFormats,
        cancel: &CancellationToken,
    ) -> Box<dyn RowStream>;

    /// The connection as one whose server's frames can be passed to clients; none when answers are made in this process.
    fn pass_through(&mut self) -> Option<&mut dyn PassThrough> {
        None
    }

    /// Begins a transaction.
    async fn begin(
        &mut self,
        context: &StatementContext,
        options: TransactionOptions,
    ) -> Result<(), NodeError>;

    /// Commits. A reply lost after it was sent is `Lost` with `work_started`: SQLSTATE `08007`.
    async fn commit(&mut self) -> Result<(), NodeError>;

    /// Rolls back.
    async fn rollback(&mut self) -> Result<(), NodeError>;

    /// `SAVEPOINT name`.
    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError>;

    /// `ROLLBACK TO SAVEPOINT name`.
    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError>;

    /// `RELEASE SAVEPOINT name`.
    async fn release(&mut self, name: &str) -> Result<(), NodeError>;

    /// Begins to copy rows in: `{"copy": …}`, or `{"sql": …}` with a COPY statement. The default refuses.
    async fn copy_in(
        &mut self,
        _context: &StatementContext,
        _statement: &Arc<NodeStatement>,
    ) -> Result<Box<dyn CopySink + '_>, NodeError> {
        Err(NodeError::unsupported("this datasource does not take COPY"))
    }
}

/// The rows of one execution.
#[async_trait]
pub trait RowStream: Send {
    /// The next batch; `None` at the end, after which [`RowStream::end`] tells how it ended.
    ///
    /// # Errors
    /// The statement's failure; rows that came before it must not be taken for the whole.
    async fn next(&mut self) -> Result<Option<Batch>, NodeError>;

    /// After the end: the records read or changed, as the command tag counts them.
    fn end(&self) -> End;

    /// For a COPY out, whose batches hold CopyData messages instead of DataRow: the body of CopyOutResponse, known with the
    /// first batch or the end.
    fn copy_out_response(&self) -> Option<&Bytes> {
        None
    }

    /// The notices that the database sent so far; each is told once.
    fn take_notices(&mut self) -> Vec<NodeError> {
        Vec::new()
    }

    /// After the end or a failure: the connection, ready for the next statement; none when it is broken. After a failure
    /// inside a transaction the connection is in the failed transaction, as PostgreSQL's would be.
    fn into_connection(self: Box<Self>) -> Option<Box<dyn NodeConnection>>;
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct End {
    /// Records returned by a read, or inserted, updated or deleted by a write.
    pub affected: u64,
}

/// Where the data of a COPY IN goes.
#[async_trait]
pub trait CopySink: Send {
    /// Sends bytes; waits when the database is slower.
    async fn send(&mut self, data: Bytes) -> Result<(), NodeError>;

    /// Ends the copy; returns the number of rows.
    async fn finish(&mut self) -> Result<u64, NodeError>;

    /// Gives up; nothing of the copy remains.
    async fn abort(&mut self, reason: &str) -> Result<(), NodeError>;
}
