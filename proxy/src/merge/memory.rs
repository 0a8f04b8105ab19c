//! The bytes that a statement may hold above the shards.

use dataman_pg::{PgError, Value};

use crate::error::Error;

/// The bytes of rows that one statement may hold above the shards (sorts, groups, join sides, rows to insert). Beyond it the
/// statement is refused with `53200`.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A statement's account.
#[derive(Debug)]
pub(crate) struct Memory {
    used: usize,
    limit: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Takes bytes for something that `what` holds.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) fn take(&mut self, bytes: usize, what: &str) -> Result<(), Error> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.limit {
            return Ok(());
        }
        Err(PgError::new(
            "53200",
            format!("out of memory: {what} holds more than {} bytes", self.limit),
        )
        .with_hint("Fix the shard key, add a filter or a LIMIT, or group by the shard key.")
        .into())
    }

    /// Takes the bytes of a row.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) fn take_row(&mut self, row: &[Value], what: &str) -> Result<(), Error> {
        let bytes = row.iter().map(held_bytes).sum::<usize>() + std::mem::size_of::<Vec<Value>>();
        self.take(bytes, what)
    }
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
