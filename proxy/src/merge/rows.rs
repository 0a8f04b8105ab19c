//! Rows as values, pulled in batches.

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use dataman_node_protocol::node::NodeConnection;
use dataman_node_protocol::record::{BATCH_BYTES, Batch, Format, Row as WireRow};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, PgError, TypeId, Value};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::error::Error;
use crate::scatter::contract::{ResultStream, ShardRef};

/// One row.
pub(crate) type Row = Vec<Value>;

/// The connections that a stream took, as they come back.
pub(crate) type Connections = Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>;

/// Rows an operator gives at a time: enough to spare calls, few enough to stay bounded.
pub(crate) const BATCH_ROWS: usize = 1024;

/// A stream of rows as values.
#[async_trait]
pub(crate) trait ValueStream: Send {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// The statement's failure.
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error>;

    /// Reads to the end without keeping anything, so that the connections are clean again.
    ///
    /// # Errors
    /// The statement's failure.
    async fn finish(&mut self) -> Result<(), Error>;

    /// The connections taken.
    fn into_connections(self: Box<Self>) -> Connections;
}

/// Rows that are there already.
pub(crate) struct Held {
    rows: std::vec::IntoIter<Row>,
}

impl Held {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows: rows.into_iter() }
    }
}

#[async_trait]
impl ValueStream for Held {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let batch: Vec<Row> = self.rows.by_ref().take(BATCH_ROWS).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}

/// Reads one value of a DataRow.
///
/// # Errors
/// A form that the type does not have.
pub(crate) fn decode(
    bytes: Option<&[u8]>,
    ty: TypeRef,
    format: Format,
    context: &Context,
) -> Result<Value, PgError> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    if ty.id.is_user() {
        return decode_user(bytes, ty, format, context);
    }
    match format {
        Format::Binary => dataman_pg::io::binary::decode(bytes, TypeRef::plain(ty.id)),
        Format::Text => {
            let text = dataman_pg::io::binary::utf8(bytes)?;
            dataman_pg::io::text::input(text, TypeRef::plain(ty.id), context)
        }
    }
}

/// Reads a value of an enum, or an array of them. A label's binary form is its text; an array's names its elements' type by a
/// number that is the shard's own.
fn decode_user(
    bytes: &[u8],
    ty: TypeRef,
    format: Format,
    context: &Context,
) -> Result<Value, PgError> {
    let utf8 = || PgError::new("22021", "invalid byte sequence for encoding \"UTF8\"");
    let is_array = context.user_type(ty.id).is_some_and(|user| user.element.is_some());
    if format == Format::Binary && is_array {
        let mut plain = bytes.to_vec();
        if let Some(element) = plain.get_mut(8..12) {
            element.copy_from_slice(&TypeId::TEXT.0.to_be_bytes());
        }
        let array = dataman_pg::io::binary::decode(&plain, TypeId::TEXT_ARRAY.into())?;
        let mut text = Vec::new();
        dataman_pg::io::text::output(&array, TypeId::TEXT_ARRAY, context, &mut text);
        let text = String::from_utf8(text).map_err(|_| utf8())?;
        return dataman_pg::io::text::input(&text, TypeRef::plain(ty.id), context);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| utf8())?;
    dataman_pg::io::text::input(text, TypeRef::plain(ty.id), context)
}

/// Reads a DataRow of binary values.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_row(
    row: &WireRow,
    types: &[TypeRef],
    context: &Context,
) -> Result<Row, PgError> {
    row.columns()
        .zip(types)
        .map(|(bytes, ty)| decode(bytes, *ty, Format::Binary, context))
        .collect()
}

/// Reads a batch of binary values.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_rows(
    batch: &Batch,
    types: &[TypeRef],
    context: &Context,
) -> Result<Vec<Row>, PgError> {
    batch.iter().map(|row| decode_row(&row, types, context)).collect()
}

/// Encodes rows as the client wants them.
pub(crate) struct Encoded {
    pub(crate) rows: Box<dyn ValueStream>,
    pub(crate) types: Vec<TypeRef>,
    pub(crate) formats: Vec<Format>,
    pub(crate) context: Arc<Context>,
    pub(crate) sent: u64,
    pub(crate) pending: std::vec::IntoIter<Row>,
    pub(crate) pace: Pace,
    /// Cancels what the shards still do once the statement has failed.
    pub(crate) scans: CancellationToken,
}

impl Encoded {
    async fn read(&mut self) -> Result<Option<Batch>, Error> {
        let mut frames = BytesMut::new();
        let mut count = 0;
        while frames.len() < BATCH_BYTES {
            let row = match self.pending.next() {
                Some(row) => row,
                None => match self.rows.next().await? {
                    Some(rows) => {
                        self.pending = rows.into_iter();
                        continue;
                    }
                    None => break,
                },
            };
            self.pace.step().await?;
            encode_row(&row, &self.types, &self.formats, &self.context, &mut frames);
            count += 1;
        }
        self.sent += count as u64;
        Ok((count > 0).then(|| Batch { frames: frames.freeze(), rows: count }))
    }
}

#[async_trait]
impl ResultStream for Encoded {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        let outcome = self.read().await;
        if outcome.is_err() {
            // What the shards have sent is read away, so that the connections stay usable.
            self.scans.cancel();
            let _ = self.rows.finish().await;
        }
        outcome
    }

    fn affected(&self) -> u64 {
        self.sent
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.rows.into_connections()
    }
}

/// Appends a row as a DataRow message.
pub(crate) fn encode_row(
    row: &[Value],
    types: &[TypeRef],
    formats: &[Format],
    context: &Context,
    out: &mut BytesMut,
) {
    let start = out.len();
    out.put_u8(b'D');
    out.put_u32(0);
    out.put_u16(u16::try_from(types.len()).unwrap_or(u16::MAX));
    let mut bytes = Vec::new();
    for (place, (value, ty)) in row.iter().zip(types).enumerate() {
        if value.is_null() {
            out.put_i32(-1);
            continue;
        }
        bytes.clear();
        match formats.get(place).copied().unwrap_or_default() {
            Format::Text => dataman_pg::io::text::output(value, ty.id, context, &mut bytes),
            Format::Binary => dataman_pg::io::binary::encode(value, ty.id, &mut bytes),
        }
        out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&bytes);
    }
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}
