//! The bytes that a statement may hold above the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dataman_pg::{PgError, Value};

use crate::error::Error;

/// The bytes of rows that one statement may hold above the shards (sorts, groups, join sides, rows to insert) unless
/// `dataman.statement_mem` says otherwise. Beyond it the statement is refused with `53200`.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A statement's account; its clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// An account within this one, for one operator.
    pub(crate) fn account(&self) -> Account {
        Account { memory: self.clone(), held: 0 }
    }

    /// An account for something that gives back all it took when it ends: what it takes counts on top of what is taken now.
    pub(crate) fn child(&self) -> Self {
        let used = AtomicUsize::new(self.used.load(Ordering::Relaxed));
        Self { used: Arc::new(used), limit: self.limit }
    }

    /// Takes bytes for something that `what` holds.
    ///
    /// # Errors
    /// `53200`, naming the setting.
    pub(crate) fn take(&self, bytes: usize, what: &str) -> Result<(), Error> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used <= self.limit {
            return Ok(());
        }
        Err(PgError::new("53200", "out of memory")
            .with_detail(format!(
                "With {what} the statement holds more than the {} kB of dataman.statement_mem above the shards.",
                self.limit / 1024
            ))
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

    /// Gives bytes back.
    pub(crate) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.memory.used.fetch_sub(bytes, Ordering::Relaxed);
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
        Value::Bits(bits) => bits.bytes().len(),
        Value::Range(_) => 4 * own,
        Value::Multirange(value) => value.spans.len() * 4 * own,
        _ => 0,
    }
}
