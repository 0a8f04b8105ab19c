//! One client's socket: a bounded input buffer and an output buffer that a whole pipeline shares.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::rows::describe::encode_row_description;
use crate::sqlstate::Report;
use crate::wire::message::{FRAME_BYTES_MAX, Frame, FrameError, take_frame};

/// How much of the client's next messages is read while a statement runs. When it is full the client waits, and its going
/// away is only noticed when the statement is done or writes to it.
pub const READ_AHEAD_BYTES_MAX: usize = 256 * 1024;

/// How much is read at a time at first, and at most: the room doubles whenever a read has filled it. Most clients send
/// little at a time, and many are idle.
const READ_BYTES: usize = 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// How much is read at a time while a COPY comes in.
const COPY_READ_BYTES: usize = 128 * 1024;

/// How much output is gathered before it is written even though the pipeline has not ended.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The read half.
pub struct Reader {
    half: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) input: BytesMut,
    ended: bool,
    /// Bytes of a CopyData message that are still to come, when its beginning has been taken.
    copy_left: usize,
    /// How much is read next time.
    room: usize,
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It sent what cannot be framed.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Reader {
    /// Reads from `half`, after what is in `input` already.
    pub fn new(half: Box<dyn AsyncRead + Send + Unpin>, input: BytesMut) -> Self {
        Self { half, input, room: READ_BYTES, ended: false, copy_left: 0 }
    }

    /// The next frame; none when the client has closed its side. Safe to drop: nothing that was read is lost.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if let Some(frame) = self.ready_frame()? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next frame if all of it has come already.
    ///
    /// # Errors
    /// It cannot be framed.
    pub fn ready_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.copy_left > 0 {
            // What is left of a message whose COPY is over.
            let skipped = self.copy_left.min(self.input.len());
            self.input.advance(skipped);
            self.copy_left -= skipped;
            if self.copy_left > 0 {
                return Ok(None);
            }
        }
        take_frame(&mut self.input)
    }

    /// Appends the bodies of CopyData messages that have come, also of one that has come in part, until `bytes_max` is passed.
    ///
    /// # Errors
    /// A message that cannot be framed.
    pub fn take_copy_data(
        &mut self,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), dataman_pg::PgError> {
        let mut at = 0;
        let limit = out.len() + bytes_max;
        while out.len() < limit {
            if self.copy_left > 0 {
                let rest = &self.input[at..];
                let taken = self.copy_left.min(rest.len());
                out.extend_from_slice(&rest[..taken]);
                self.copy_left -= taken;
                at += taken;
                if self.copy_left > 0 {
                    break;
                }
            }
            let Some(&[b'd', a, b, c, d]) =
                self.input.get(at..at + 5).and_then(|head| head.first_chunk())
            else {
                break;
            };
            let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
            if !(4..=FRAME_BYTES_MAX).contains(&length) {
                // The frame's own decoder says so.
                break;
            }
            at += 5;
            self.copy_left = length - 4;
        }
        self.input.advance(at);
        Ok(())
    }

    /// Waits for more bytes, a good deal of them if they are there; false when the client has closed its side.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_more(&mut self) -> Result<bool, ReadError> {
        self.input.reserve(COPY_READ_BYTES);
        Ok(self.fill().await?)
    }

    /// The type of the next message, if it has come already.
    pub fn next_kind(&self) -> Option<u8> {
        if self.copy_left > 0 {
            return None;
        }
        self.input.first().copied()
    }

    /// Reads at least `bytes` bytes into the buffer, before there are frames; false when the client has closed its side.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn at_least(&mut self, bytes: usize) -> io::Result<bool> {
        while self.input.len() < bytes {
            if !self.fill().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads more, whatever it is; false when the client has closed its side.
    pub(crate) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        std::pin::pin!(self.fill()).poll(context)
    }

    async fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        // The room follows what has really come, not what a frame's length promises.
        if self.input.is_empty() && self.input.capacity() > 2 * READ_BYTES_MAX {
            // A COPY is over.
            self.input = BytesMut::new();
        }
        self.input.reserve(self.room);
        let read = self.half.read_buf(&mut self.input).await?;
        if read >= self.room {
            self.room = (self.room * 2).min(READ_BYTES_MAX);
        }
        self.ended = read == 0;
        Ok(!self.ended)
    }

    /// Whether the client is gone; reads ahead what it sends meanwhile.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let gone = std::pin::pin!(self.gone());
        gone.poll(context)
    }

    /// Waits until the client is gone, reading ahead what it sends meanwhile. Safe to drop.
    pub async fn gone(&mut self) {
        loop {
            if self.input.len() >= READ_AHEAD_BYTES_MAX {
                std::future::pending::<()>().await;
            }
            match self.fill().await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Lets go of the room for what is read, when nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Gives the half back with what has been read and not used, for TLS to take over.
    pub(crate) fn into_parts(self) -> (Box<dyn AsyncRead + Send + Unpin>, BytesMut) {
        (self.half, self.input)
    }
}

/// The write half: messages are gathered and written by [`Writer::flush`].
pub struct Writer {
    half: Box<dyn AsyncWrite + Send + Unpin>,
    output: BytesMut,
    /// A large run of rows that goes out after `output`, as it is.
    rows: Bytes,
    /// The client's next message cannot be found.
    lost: bool,
}

impl Writer {
    /// Writes to `half`.
    pub fn new(half: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self { half, output: BytesMut::new(), rows: Bytes::new(), lost: false }
    }

    /// Writes what is gathered. Safe to drop: what was written is not written again, and the rest is kept.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let count = self.half.write(&self.output).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.output.advance(count);
        }
        if self.output.capacity() > 2 * OUTPUT_BYTES_MAX {
            self.output = BytesMut::new();
        } else {
            // The same room serves the next answer.
            self.output.clear();
        }
        while !self.rows.is_empty() {
            if self.half.write_buf(&mut self.rows).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.half.flush().await
    }

    /// Takes rows; waits for the client when more than the bound is gathered.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn rows(&mut self, batch: Batch) -> io::Result<()> {
        if self.output.len() + batch.frames.len() > OUTPUT_BYTES_MAX {
            self.flush().await?;
        }
        if batch.frames.len() < OUTPUT_BYTES_MAX / 4 {
            self.output.put_slice(&batch.frames);
            return Ok(());
        }
        // Large runs go out as they are, without a copy.
        self.flush().await?;
        self.rows = batch.frames;
        self.flush().await
    }

    /// Lets go of the room for what is written, when nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            self.output = BytesMut::new();
        }
    }

    /// Gives the half back, for TLS to take over.
    pub(crate) fn into_half(self) -> Box<dyn AsyncWrite + Send + Unpin> {
        self.half
    }

    /// How many bytes wait to be written.
    pub fn len(&self) -> usize {
        self.output.len() + self.rows.len()
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where messages are gathered, for who puts whole ones there.
    pub(crate) fn gather(&mut self) -> &mut BytesMut {
        if !self.rows.is_empty() {
            // Rows that a dropped statement left behind are followed by what comes now.
            let rows = std::mem::take(&mut self.rows);
            self.output.put_slice(&rows);
        }
        &mut self.output
    }

    /// Ends the connection.
    pub async fn close(&mut self) {
        // The client may be gone already: there is nobody left to tell.
        let _ = self.flush().await;
        let _ = self.half.shutdown().await;
    }

    /// A message of `kind` whose body `fill` writes.
    pub(crate) fn message(&mut self, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
        put_message(kind, self.gather(), fill);
    }

    /// One byte without a frame: the answer to a request for encryption.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.output.put_u8(byte);
    }

    /// Authentication: 0 ok, 10 SASL, 11 continue, 12 final.
    pub(crate) fn authentication(&mut self, code: i32, data: &[u8]) {
        self.message(b'R', |out| {
            out.put_i32(code);
            out.put_slice(data);
        });
    }

    /// ParameterStatus.
    pub fn parameter_status(&mut self, name: &str, value: &str) {
        put_parameter_status(name, value, self.gather());
    }

    /// Whole messages, put together before.
    pub(crate) fn frames(&mut self, frames: &[u8]) {
        self.gather().put_slice(frames);
    }

    /// BackendKeyData.
    pub fn backend_key_data(&mut self, process_id: i32, secret: i32) {
        self.message(b'K', |out| {
            out.put_i32(process_id);
            out.put_i32(secret);
        });
    }

    /// NegotiateProtocolVersion: the newest minor version and the options that are not known.
    pub fn negotiate_protocol_version(&mut self, unknown: &[String]) {
        self.message(b'v', |out| {
            out.put_i32(3 << 16);
            out.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
            for name in unknown {
                put_string(out, name);
            }
        });
    }

    /// ReadyForQuery: `I`, `T` or `E`.
    pub fn ready_for_query(&mut self, status: u8) {
        self.message(b'Z', |out| out.put_u8(status));
    }

    /// ErrorResponse or NoticeResponse.
    pub fn report(&mut self, report: &Report) {
        let kind = if report.severity >= crate::sqlstate::Severity::Error { b'E' } else { b'N' };
        self.message(kind, |out| {
            let mut field = |kind: u8, value: Option<&str>| {
                if let Some(value) = value {
                    out.put_u8(kind);
                    put_string(out, value);
                }
            };
            let position = report.position.map(|position| position.to_string());
            field(b'S', Some(report.severity.name()));
            field(b'V', Some(report.severity.name()));
            field(b'C', Some(&report.sqlstate));
            field(b'M', Some(&report.message));
            field(b'D', report.detail.as_deref());
            field(b'H', report.hint.as_deref());
            field(b'P', position.as_deref());
            field(b'W', report.context.as_deref());
            field(b's', report.object.schema.as_deref());
            field(b't', report.object.table.as_deref());
            field(b'c', report.object.column.as_deref());
            field(b'd', report.object.data_type.as_deref());
            field(b'n', report.object.constraint.as_deref());
            out.put_u8(0);
        });
    }

    /// RowDescription.
    pub fn row_description(&mut self, columns: &[ColumnDescription], formats: &[Format]) {
        encode_row_description(columns, formats, &mut self.output);
    }

    /// NoData.
    pub fn no_data(&mut self) {
        self.message(b'n', |_| {});
    }

    /// ParameterDescription.
    pub fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            out.put_u16(u16::try_from(types.len()).unwrap_or(u16::MAX));
            for ty in types {
                out.put_u32(*ty);
            }
        });
    }

    /// CommandComplete.
    pub fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| put_string(out, tag));
    }

    /// EmptyQueryResponse.
    pub fn empty_query(&mut self) {
        self.message(b'I', |_| {});
    }

    /// ParseComplete.
    pub fn parse_complete(&mut self) {
        self.message(b'1', |_| {});
    }

    /// BindComplete.
    pub fn bind_complete(&mut self) {
        self.message(b'2', |_| {});
    }

    /// CloseComplete.
    pub fn close_complete(&mut self) {
        self.message(b'3', |_| {});
    }

    /// PortalSuspended.
    pub fn portal_suspended(&mut self) {
        self.message(b's', |_| {});
    }

    /// CopyInResponse.
    pub fn copy_in_response(&mut self, binary: bool, columns: usize) {
        self.message(b'G', |out| {
            let code = u8::from(binary);
            out.put_u8(code);
            let columns = u16::try_from(columns).unwrap_or(u16::MAX);
            out.put_u16(columns);
            for _ in 0..columns {
                out.put_i16(i16::from(code));
            }
        });
    }

    /// Notes that the client's next message cannot be found: the connection ends after what is to be said.
    pub(crate) fn lose_synchronization(&mut self) {
        self.lost = true;
    }

    /// Whether the client's next message cannot be found.
    pub(crate) fn has_lost_synchronization(&self) -> bool {
        self.lost
    }
}

/// Puts a message of `kind` whose body `fill` writes.
fn put_message(kind: u8, out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(kind);
    out.put_u32(0);
    fill(out);
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

/// Puts ParameterStatus.
pub(crate) fn put_parameter_status(name: &str, value: &str, out: &mut BytesMut) {
    put_message(b'S', out, |out| {
        put_string(out, name);
        put_string(out, value);
    });
}

fn put_string(out: &mut BytesMut, text: &str) {
    // A zero byte would end the string early and break the frame's fields.
    let text = text.split('\0').next().unwrap_or("");
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}
