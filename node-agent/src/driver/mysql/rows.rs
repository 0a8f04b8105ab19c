//! Rows → DataRow messages.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::record::{BATCH_BYTES, Batch, Format};
use dataman_pg::Context;
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;

use super::value::append;
use crate::driver::kept::value::append as append_value;
use crate::driver::sql::stored::EnumLabels;

/// One column of a row on its way out.
pub(super) enum Cell<'a> {
    /// In MySQL's form.
    Raw(&'a Raw),
    /// Computed here.
    Value(&'a Value),
}

/// Rows being gathered into a batch.
pub(super) struct RowWriter {
    columns: Vec<(TypeId, Format)>,
    frames: BytesMut,
    rows: usize,
    scratch: Vec<u8>,
}

impl RowWriter {
    /// Begins. `formats` are one for each column, one for all, or none for all text.
    ///
    /// # Errors
    /// `08P01` for another number of formats.
    pub(super) fn new(types: &[TypeId], formats: &[Format]) -> Result<Self, NodeError> {
        let columns = match formats {
            [] => types.iter().map(|ty| (*ty, Format::Text)).collect(),
            [one] => types.iter().map(|ty| (*ty, *one)).collect(),
            each if each.len() == types.len() => {
                types.iter().copied().zip(each.iter().copied()).collect()
            }
            each => {
                return Err(NodeError::statement(
                    "08P01",
                    format!("{} result formats for {} columns", each.len(), types.len()),
                ));
            }
        };
        Ok(Self { columns, frames: BytesMut::new(), rows: 0, scratch: Vec::new() })
    }

    /// Adds one row; answers whether the batch is large enough to be handed on.
    ///
    /// # Errors
    /// A form that is not the column's type.
    pub(super) fn add<'a>(
        &mut self,
        cells: impl Iterator<Item = Cell<'a>>,
        context: &Context,
        enums: &dyn EnumLabels,
    ) -> Result<bool, NodeError> {
        let start = self.frames.len();
        self.frames.put_u8(b'D');
        self.frames.put_u32(0);
        self.frames.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
        for ((ty, format), cell) in self.columns.iter().zip(cells) {
            self.scratch.clear();
            match cell {
                Cell::Raw(Raw::NULL) | Cell::Value(Value::Null) => {
                    self.frames.put_i32(-1);
                    continue;
                }
                Cell::Raw(raw) => append(raw, *ty, *format, context, enums, &mut self.scratch)?,
                Cell::Value(value) => {
                    append_value(value, *ty, *format, context, &mut self.scratch);
                }
            }
            let length = i32::try_from(self.scratch.len())
                .map_err(|_| NodeError::statement("54000", "a value is too large"))?;
            self.frames.put_i32(length);
            self.frames.extend_from_slice(&self.scratch);
        }
        let length = u32::try_from(self.frames.len() - start - 1)
            .map_err(|_| NodeError::statement("54000", "a row is too large"))?;
        self.frames[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        self.rows += 1;
        Ok(self.frames.len() >= BATCH_BYTES)
    }

    /// What has been gathered; `None` when there is nothing.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.rows == 0 {
            return None;
        }
        let rows = std::mem::take(&mut self.rows);
        Some(Batch { frames: self.frames.split().freeze(), rows })
    }
}
