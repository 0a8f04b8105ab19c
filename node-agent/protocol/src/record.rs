//! Rows as they travel: runs of PostgreSQL DataRow messages.

use bytes::Bytes;
use dataman_pg::types::TypeRef;

/// How one value is written in a DataRow or a Bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// PostgreSQL's text form.
    #[default]
    Text,
    /// PostgreSQL's binary form.
    Binary,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
}

/// What a prepared statement takes and gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementDescription {
    /// The types of `$1…`.
    pub params: Vec<dataman_pg::TypeId>,
    /// The result's columns; none when it returns no rows.
    pub columns: Option<Vec<ColumnDescription>>,
}

/// A run of whole rows.
///
/// `frames` is a sequence of complete DataRow messages as they go on the wire: `'D'`, int32 length, int16 columns, then for
/// each an int32 length (-1 for NULL) and its bytes. A batch can be written to a client as it is.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The messages.
    pub frames: Bytes,
    /// How many they are.
    pub rows: usize,
}

/// The bytes that a batch aims at before it is handed on: large enough to spare system calls, small enough to be bounded
/// per stream.
pub const BATCH_BYTES: usize = 64 * 1024;

/// One row of a batch: its columns' bytes.
#[derive(Debug, Clone)]
pub struct Row {
    /// The DataRow's body after the column count.
    body: Bytes,
    columns: u16,
}

impl Batch {
    /// Goes through the rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let header = self.frames.get(at..at + 7)?;
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            let columns = u16::from_be_bytes([header[5], header[6]]);
            let body = self.frames.slice(at + 7..at + 1 + length);
            at += 1 + length;
            Some(Row { body, columns })
        })
    }
}

impl Row {
    /// The number of columns.
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The columns' bytes in order, `None` for NULL.
    pub fn columns(&self) -> impl Iterator<Item = Option<&[u8]>> + '_ {
        let mut at = 0;
        (0..self.columns).map(move |_| {
            let length = self
                .body
                .get(at..at + 4)
                .map_or(-1, |head| i32::from_be_bytes([head[0], head[1], head[2], head[3]]));
            at += 4;
            let length = usize::try_from(length).ok()?;
            let value = self.body.get(at..at + length);
            at += length;
            value
        })
    }

    /// The DataRow's body after the column count: length-prefixed values.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}
