//! Bytes from a server → whole messages; runs of DataRow stay together and undecoded.

use bytes::{Bytes, BytesMut};

use crate::error::{ErrorObject, NodeError, NodeErrorKind};
use crate::record::{BATCH_BYTES, Batch, ColumnDescription};
use dataman_pg::TypeId;
use dataman_pg::types::TypeRef;

/// The longest message taken from a server: PostgreSQL's own bound on one row.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// What stands at the front of the buffer.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A run of DataRow (or, in a COPY out, CopyData) messages.
    Rows(Batch),
    /// Any other message: its tag and body.
    Message(u8, Bytes),
    /// Nothing whole: read more.
    More,
}

/// Whether a run of rows that could still grow is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Wait for a full batch: more bytes are at hand.
    Gather,
    /// Take what there is: the socket is empty.
    TakeWhatIsThere,
}

/// Bytes read and not yet handed out.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    /// Where the socket is read into.
    pub(crate) bytes: BytesMut,
    /// Bytes at the front that are whole rows.
    row_bytes: usize,
    /// How many rows they are.
    rows: usize,
}

impl FrameBuffer {
    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next message or run of rows.
    ///
    /// # Errors
    /// `08P01` for a length that no message can have; the connection is then of no more use.
    pub(crate) fn take(&mut self, patience: Patience) -> Result<Incoming, NodeError> {
        loop {
            let rest = &self.bytes[self.row_bytes..];
            let Some((tag, length)) = frame_length(rest)? else { break };
            if rest.len() < length {
                break;
            }
            if tag == b'D' || tag == b'd' {
                if tag == b'D' && length < 7 {
                    return Err(malformed("a row without a column count"));
                }
                self.row_bytes += length;
                self.rows += 1;
                if self.row_bytes >= BATCH_BYTES {
                    return Ok(Incoming::Rows(self.split_rows()));
                }
                continue;
            }
            if self.rows > 0 {
                return Ok(Incoming::Rows(self.split_rows()));
            }
            let mut message = self.bytes.split_to(length);
            let body = message.split_off(5).freeze();
            return Ok(Incoming::Message(tag, body));
        }
        if self.rows > 0 && patience == Patience::TakeWhatIsThere {
            return Ok(Incoming::Rows(self.split_rows()));
        }
        Ok(Incoming::More)
    }

    fn split_rows(&mut self) -> Batch {
        let frames = self.bytes.split_to(std::mem::take(&mut self.row_bytes)).freeze();
        Batch { frames, rows: std::mem::take(&mut self.rows) }
    }
}

/// The tag and whole length (with the tag) of the message that begins here, when its header is there.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<Option<(u8, usize)>, NodeError> {
    let Some(header) = bytes.get(..5) else { return Ok(None) };
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if !(4..=FRAME_BYTES_MAX).contains(&length) {
        return Err(malformed("a length out of range"));
    }
    Ok(Some((header[0], length + 1)))
}

/// A message that the protocol does not allow.
pub(crate) fn malformed(what: &str) -> NodeError {
    NodeError::new(
        NodeErrorKind::Protocol,
        "08P01",
        format!("malformed message from a node: {what}"),
    )
}

/// Reads a body field by field; every getter answers `None` past the end.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.take(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(0, self.0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(text)
    }
}

/// ErrorResponse or NoticeResponse → its fields, and whether it ends the connection.
pub(crate) fn parse_error(body: &[u8]) -> (NodeError, Severity) {
    let mut error = NodeError::statement("XX000", "");
    let mut severity = Severity::Error;
    let mut rest = body;
    // Field by field, and leniently: an error about an error would hide the first one.
    while let Some((&code, after)) = rest.split_first() {
        if code == 0 {
            break;
        }
        let end = memchr::memchr(0, after).unwrap_or(after.len());
        let text = String::from_utf8_lossy(&after[..end]).into_owned();
        rest = after.get(end + 1..).unwrap_or_default();
        match code {
            b'V' if text == "FATAL" || text == "PANIC" => severity = Severity::Fatal,
            b'C' => error.sqlstate = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'W' => error.context = Some(text),
            RECORD_FIELD => error.record = text.parse().ok(),
            b's' => error.object.schema = Some(text),
            b't' => error.object.table = Some(text),
            b'c' => error.object.column = Some(text),
            b'd' => error.object.data_type = Some(text),
            b'n' => error.object.constraint = Some(text),
            _ => {}
        }
    }
    if error.sqlstate == "DM001" {
        error.kind = NodeErrorKind::StaleEpoch;
    }
    (error, severity)
}

/// The field of ErrorResponse that holds [`NodeError::record`]: none of PostgreSQL's.
const RECORD_FIELD: u8 = b'r';

/// Whether the server ends the connection with its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection goes on.
    Error,
    /// The connection is closed after it.
    Fatal,
}

/// Writes ErrorResponse (or, with the tag `N`, NoticeResponse).
pub fn encode_error(error: &NodeError, severity: &str, tag: u8, out: &mut BytesMut) {
    let start = out.len() + 1;
    out.extend_from_slice(&[tag, 0, 0, 0, 0]);
    let ErrorObject { schema, table, column, data_type, constraint } = &*error.object;
    let record = error.record.map(|record| record.to_string());
    let fields = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(error.sqlstate.as_str())),
        (b'M', Some(error.message.as_str())),
        (b'D', error.detail.as_deref()),
        (b'H', error.hint.as_deref()),
        (b'W', error.context.as_deref()),
        (b's', schema.as_deref()),
        (b't', table.as_deref()),
        (b'c', column.as_deref()),
        (b'd', data_type.as_deref()),
        (b'n', constraint.as_deref()),
        (RECORD_FIELD, record.as_deref()),
    ];
    for (code, text) in fields {
        if let Some(text) = text {
            out.extend_from_slice(&[code]);
            out.extend(text.bytes().filter(|byte| *byte != 0));
            out.extend_from_slice(&[0]);
        }
    }
    out.extend_from_slice(&[0]);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// RowDescription → columns.
pub(crate) fn parse_columns(body: &[u8]) -> Result<Vec<ColumnDescription>, NodeError> {
    let mut body = Body(body);
    let mut read = || {
        let count = body.u16()?;
        let mut columns = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let name = body.text()?.to_owned();
            body.take(6)?;
            let id = TypeId(body.u32()?);
            body.take(2)?;
            let typmod = body.i32()?;
            body.take(2)?;
            columns.push(ColumnDescription { name, ty: TypeRef { id, typmod } });
        }
        Some(columns)
    };
    read().ok_or_else(|| malformed("a row description that ends too early"))
}

/// ParameterDescription → types.
pub(crate) fn parse_params(body: &[u8]) -> Result<Vec<TypeId>, NodeError> {
    let mut body = Body(body);
    let mut read = || {
        let count = body.u16()?;
        (0..count).map(|_| body.u32().map(TypeId)).collect::<Option<Vec<_>>>()
    };
    read().ok_or_else(|| malformed("a parameter description that ends too early"))
}

/// The count at the end of a command tag: `SELECT 3` → 3, `INSERT 0 2` → 2, `BEGIN` → 0.
pub(crate) fn tag_count(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], patience: Patience, expected: &str) {
        let mut buffer = FrameBuffer::default();
        buffer.bytes.extend_from_slice(bytes);
        let mut found = Vec::new();
        loop {
            match buffer.take(patience) {
                Ok(Incoming::More) => break,
                Ok(Incoming::Rows(batch)) => {
                    let widths: Vec<usize> =
                        batch.iter().map(|row| row.columns().count()).collect();
                    found.push(format!("rows {widths:?}"));
                }
                Ok(Incoming::Message(tag, body)) => {
                    found.push(format!("{}{}", char::from(tag), body.len()));
                }
                Err(error) => {
                    found.push(error.message);
                    break;
                }
            }
        }
        assert_eq!(format!("{} +{}", found.join(", "), buffer.bytes.len()), expected);
    }

    const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x01x";

    #[test]
    fn frames() {
        check(b"", Patience::Gather, " +0");
        check(b"Z\0\0\0\x05I", Patience::Gather, "Z1 +0");
        check(b"Z\0\0\0\x05", Patience::Gather, " +5");
        let rows = [ROW, ROW, b"C\0\0\0\x04"].concat();
        check(&rows, Patience::Gather, "rows [1, 1], C0 +0");
        check(&rows[..24], Patience::Gather, " +24");
        check(&rows[..24], Patience::TakeWhatIsThere, "rows [1, 1] +0");
        check(&rows[..20], Patience::TakeWhatIsThere, "rows [1] +8");
    }

    #[test]
    fn a_batch_ends_at_its_bound() {
        let row = [&b"D\0\0\x10\x0a\0\x01\0\0\x10\0"[..], &[b'x'; 4096]].concat();
        let rows = row.repeat(20);
        let mut buffer = FrameBuffer::default();
        buffer.bytes.extend_from_slice(&rows);
        let Ok(Incoming::Rows(batch)) = buffer.take(Patience::Gather) else { panic!("rows") };
        assert_eq!(batch.rows, BATCH_BYTES.div_ceil(row.len()));
    }

    #[test]
    fn malformed_frames() {
        check(
            b"Z\0\0\0\x03",
            Patience::Gather,
            "malformed message from a node: a length out of range +5",
        );
        check(
            b"Z\xff\xff\xff\xff",
            Patience::Gather,
            "malformed message from a node: a length out of range +5",
        );
        check(
            b"D\0\0\0\x05\0",
            Patience::Gather,
            "malformed message from a node: a row without a column count +6",
        );
        // Columns that point past the row read as NULL, and none of it panics.
        check(b"D\0\0\0\x0a\xff\xff\x7f\xff\xff\xff", Patience::TakeWhatIsThere, "rows [65535] +0");
    }

    #[test]
    fn short_bodies_are_errors() {
        for length in 0..20 {
            let body = b"\0\x02a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff";
            assert!(parse_columns(&body[..length]).is_err());
        }
        assert!(parse_params(b"\0\x02\0\0\0\x17\0\0\0").is_err());
        assert_eq!(parse_params(b"\0\x01\0\0\0\x17").unwrap(), [TypeId::INT4]);
    }

    #[test]
    fn errors_travel_whole() {
        let mut error =
            NodeError::statement("23505", "duplicate key").with_detail("Key.").with_hint("Hint.");
        error.context = Some("where".to_owned());
        error.object.table = Some("t".to_owned());
        error.object.constraint = Some("t_pkey".to_owned());
        let mut out = BytesMut::new();
        encode_error(&error, "ERROR", b'E', &mut out);
        assert_eq!(out.len(), 1 + u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize);
        assert_eq!(parse_error(&out[5..]), (error, Severity::Error));
        for length in 0..out.len() - 5 {
            parse_error(&out[5..5 + length]);
        }
    }

    #[test]
    fn tags() {
        for (tag, count) in [("SELECT 3", 3), ("INSERT 0 2", 2), ("BEGIN", 0), ("", 0)] {
            assert_eq!(tag_count(tag), count, "{tag}");
        }
    }
}
