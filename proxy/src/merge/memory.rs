//! The bytes that statements may hold above the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dataman_pg::{PgError, Value};
use tokio_util::sync::CancellationToken;

use super::metrics::Counters;
use super::pace::Pace;
use super::spill::{Temporary, TemporaryFolder};
use crate::error::Error;

/// The bytes of rows that one statement may hold above the shards (sorts, groups, join sides, rows to insert) unless
/// `dataman.statement_mem` says otherwise. Beyond it operators put rows aside in temporary files; what cannot is refused with
/// `53200`.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What an operator that can put rows aside may always hold, however much the others do: below it, files would be made of
/// crumbs.
const CRUMB_BYTES: usize = 16 * 1024;

/// The part of a statement's memory that each such operator may have, however much those hold that began before it.
const SHARES: usize = 32;

/// What all statements of the process share.
#[derive(Debug)]
pub struct Resources {
    pool: Pool,
    folder: Arc<TemporaryFolder>,
}

#[derive(Debug)]
struct Pool {
    used: AtomicUsize,
    limit: usize,
}

impl Resources {
    /// A bound on what all statements together hold above the shards, and a folder for their temporary files.
    pub fn new(memory_bytes_max: usize, folder: TemporaryFolder) -> Self {
        let pool = Pool { used: AtomicUsize::new(0), limit: memory_bytes_max };
        Self { pool, folder: Arc::new(folder) }
    }

    /// The bytes that all statements hold now.
    pub fn memory_bytes(&self) -> usize {
        self.pool.used.load(Ordering::Relaxed)
    }
}

/// What one statement may take of them.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// What it shares with the others.
    pub resources: Arc<Resources>,
    /// `dataman.statement_mem`, in bytes.
    pub memory_bytes: usize,
    /// `dataman.temp_limit`, in bytes.
    pub temporary_bytes: u64,
}

/// A statement's account; its clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    statement: Arc<Statement>,
    temporary: Temporary,
    cancel: CancellationToken,
    /// What the operator that takes from it has taken, when that is asked for.
    counters: Option<Arc<Counters>>,
}

#[derive(Debug)]
struct Statement {
    resources: Arc<Resources>,
    used: AtomicUsize,
    /// What of it another account has counted.
    base: usize,
    limit: usize,
}

impl Drop for Statement {
    fn drop(&mut self) {
        let own = self.used.get_mut().saturating_sub(self.base);
        self.resources.pool.used.fetch_sub(own, Ordering::Relaxed);
    }
}

impl Memory {
    /// The account of a statement that `cancel` ends.
    pub(crate) fn new(bounds: &Bounds, cancel: &CancellationToken) -> Self {
        let folder = Arc::clone(&bounds.resources.folder);
        Self {
            statement: Arc::new(Statement {
                resources: Arc::clone(&bounds.resources),
                used: AtomicUsize::new(0),
                base: 0,
                limit: bounds.memory_bytes,
            }),
            temporary: Temporary::new(folder, bounds.temporary_bytes),
            cancel: cancel.clone(),
            counters: None,
        }
    }

    /// The statement's temporary files.
    pub(crate) fn temporary(&self) -> &Temporary {
        &self.temporary
    }

    /// A watch over long work of the statement.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(&self.cancel)
    }

    /// The same account, of which an operator's part is counted.
    pub(crate) fn counted(&self, counters: &Arc<Counters>) -> Self {
        let mut counted = self.clone();
        counted.temporary.count(counters);
        counted.counters = Some(Arc::clone(counters));
        counted
    }

    /// The bytes that the statement may hold.
    pub(crate) fn limit(&self) -> usize {
        self.statement.limit
    }

    /// What the statement holds now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.statement.used.load(Ordering::Relaxed)
    }

    /// An account within this one, for one operator.
    pub(crate) fn account(&self) -> Account {
        Account { memory: self.clone(), held: 0 }
    }

    /// An account for something that gives back all it took when it ends: what it takes counts on top of what is taken now.
    pub(crate) fn child(&self) -> Self {
        let base = self.statement.used.load(Ordering::Relaxed);
        Self {
            statement: Arc::new(Statement {
                resources: Arc::clone(&self.statement.resources),
                used: AtomicUsize::new(base),
                base,
                limit: self.statement.limit,
            }),
            temporary: self.temporary.clone(),
            cancel: self.cancel.clone(),
            counters: self.counters.clone(),
        }
    }

    /// The bounds that it keeps.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            resources: Arc::clone(&self.statement.resources),
            memory_bytes: self.statement.limit,
            temporary_bytes: self.temporary.limit(),
        }
    }

    /// Takes bytes for something that `what` holds.
    ///
    /// # Errors
    /// `53200`, naming the setting.
    pub(crate) fn take(&self, bytes: usize, what: &str) -> Result<(), Error> {
        let (used, all) = self.add(bytes);
        let statement = &self.statement;
        let detail = if used > statement.limit {
            format!(
                "With {what} the statement holds more than the {} kB of dataman.statement_mem above the shards.",
                statement.limit / 1024
            )
        } else if all > statement.resources.pool.limit {
            format!(
                "With {what} all statements together hold more than the {} kB of --memory above the shards.",
                statement.resources.pool.limit / 1024
            )
        } else {
            return Ok(());
        };
        Err(PgError::new("53200", "out of memory")
            .with_detail(detail)
            .with_hint(
                "Fix the shard key, add a filter or a LIMIT, group by the shard key, or raise dataman.statement_mem.",
            )
            .into())
    }

    /// Takes the bytes of a row.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) fn take_row(&self, row: &[Value], what: &str) -> Result<(), Error> {
        self.take(row_bytes(row), what)
    }

    /// What the statement and all statements hold, `bytes` more than before.
    fn add(&self, bytes: usize) -> (usize, usize) {
        if let Some(counters) = &self.counters {
            counters.take(bytes);
        }
        let statement = &self.statement;
        let used = statement.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let pool = &statement.resources.pool;
        (used, pool.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes))
    }

    fn give(&self, bytes: usize) {
        if let Some(counters) = &self.counters {
            counters.give_back(bytes);
        }
        self.statement.used.fetch_sub(bytes, Ordering::Relaxed);
        self.statement.resources.pool.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one operator holds of a statement's account; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Account {
    memory: Memory,
    held: usize,
}

impl Account {
    /// Takes bytes.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) fn take(&mut self, bytes: usize, what: &str) -> Result<(), Error> {
        self.held += bytes;
        self.memory.take(bytes, what)
    }

    /// Takes the bytes of a row.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) fn take_row(&mut self, row: &[Value], what: &str) -> Result<(), Error> {
        self.take(row_bytes(row), what)
    }

    /// Takes bytes for rows that could be put aside instead: `false` when they should be. A quarter of the statement's memory
    /// is left to those that cannot.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let (used, all) = self.memory.add(bytes);
        let statement = &self.memory.statement;
        let pool_fits = all <= statement.resources.pool.limit;
        let fits = pool_fits && used <= statement.limit - statement.limit / 4;
        let share = if pool_fits { statement.limit / SHARES } else { 0 };
        if fits || self.held + bytes <= share.max(CRUMB_BYTES).min(statement.limit / 8) {
            self.held += bytes;
            return true;
        }
        self.memory.give(bytes);
        false
    }

    /// Takes bytes beyond what there is room for: those of the one row that an operator has in hand.
    pub(crate) fn overdraw(&mut self, bytes: usize) {
        self.memory.add(bytes);
        self.held += bytes;
    }

    /// Gives bytes back.
    pub(crate) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.memory.give(bytes);
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.give(self.held);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The bytes a row holds, roughly.
pub(crate) fn row_bytes(row: &[Value]) -> usize {
    row.iter().map(held_bytes).sum::<usize>() + std::mem::size_of::<Vec<Value>>()
}

/// The bytes a value holds, roughly.
pub(crate) fn held_bytes(value: &Value) -> usize {
    let own = std::mem::size_of::<Value>();
    own + match value {
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => text.len(),
        Value::Bytea(bytes) => bytes.len(),
        Value::Array(array) => array.elements.iter().map(held_bytes).sum(),
        Value::Record(fields) => fields.iter().map(|(_, value)| held_bytes(value)).sum(),
        Value::Numeric(_) => 32,
        Value::Jsonb(_) => 256,
        _ => 0,
    }
}
