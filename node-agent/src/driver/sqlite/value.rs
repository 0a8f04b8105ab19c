//! Parameters → stored forms; rows → DataRow messages.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::record::{BATCH_BYTES, Batch, Format};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io};

use super::catalogue::Catalogue;
use super::error::classify;
use super::function::borrowed;
use crate::driver::sql::stored::{self, FIRST_USER_TYPE, Stored, StoredRef};

/// Reads one parameter of a Bind.
///
/// # Errors
/// What the type's input raises.
pub(super) fn read_parameter(
    bytes: Option<&[u8]>,
    format: Format,
    ty: TypeRef,
    context: &Context,
    catalogue: &Catalogue,
) -> Result<Stored, NodeError> {
    let Some(bytes) = bytes else {
        return Ok(Stored::Null);
    };
    let text = || {
        std::str::from_utf8(bytes).map_err(|_| {
            NodeError::statement("22021", "invalid byte sequence for encoding \"UTF8\"")
        })
    };
    if ty.id.0 >= FIRST_USER_TYPE {
        return Ok(Stored::Integer(catalogue.rank(ty.id, text()?)?));
    }
    let value = match format {
        Format::Text => io::text::input(text()?, ty, context)?,
        Format::Binary => io::binary::decode(bytes, ty)?,
    };
    Ok(stored::store(&value)?)
}

/// A value in PostgreSQL's text form, for messages.
pub(super) fn text_of(
    stored: StoredRef<'_>,
    ty: TypeId,
    context: &Context,
    catalogue: &Catalogue,
) -> Option<String> {
    let mut out = Vec::new();
    append(stored, ty, Format::Text, context, catalogue, &mut out).ok()?;
    (stored != StoredRef::Null).then(|| String::from_utf8_lossy(&out).into_owned())
}

/// Appends a value that is not NULL in a format.
fn append(
    stored: StoredRef<'_>,
    ty: TypeId,
    format: Format,
    context: &Context,
    catalogue: &Catalogue,
    out: &mut Vec<u8>,
) -> Result<(), NodeError> {
    // Forms that are the answer already.
    match (stored, ty, format) {
        (
            StoredRef::Text(text),
            TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME | TypeId::BPCHAR,
            _,
        )
        | (StoredRef::Text(text), TypeId::JSON, _)
        | (StoredRef::Text(text), TypeId::NUMERIC | TypeId::JSONB, Format::Text) => {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        (StoredRef::Integer(value), TypeId::INT8, Format::Binary) => {
            out.extend_from_slice(&value.to_be_bytes());
            return Ok(());
        }
        (StoredRef::Null, ..) => return Ok(()),
        _ => {}
    }
    let value = stored::load(stored, ty, catalogue)?;
    if let Value::Enum(label) = &value {
        out.extend_from_slice(label.label.as_bytes());
        return Ok(());
    }
    match format {
        Format::Text => io::text::output(&value, ty, context, out),
        Format::Binary => io::binary::encode(&value, ty, out),
    }
    Ok(())
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
    /// A damaged file.
    pub(super) fn add(
        &mut self,
        row: &rusqlite::Row<'_>,
        context: &Context,
        catalogue: &Catalogue,
    ) -> Result<bool, NodeError> {
        let start = self.frames.len();
        self.frames.put_u8(b'D');
        self.frames.put_u32(0);
        self.frames.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
        for (place, (ty, format)) in self.columns.iter().enumerate() {
            let value = row.get_ref(place).and_then(borrowed).map_err(classify)?;
            if value == StoredRef::Null {
                self.frames.put_i32(-1);
                continue;
            }
            self.scratch.clear();
            append(value, *ty, *format, context, catalogue, &mut self.scratch)?;
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
