//! What a client says: bytes → messages, for whoever stands at the server's end.
//!
//! Every length and count is checked before it is believed: bytes from a client never panic.

use bytes::{Bytes, BytesMut};

use crate::frame::Body;
use crate::node::{Parameters, ResultFormats};
use crate::record::Format;

/// The longest startup packet taken, as in PostgreSQL.
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// The longest message taken: PostgreSQL's own bound.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) - 1;

/// A client broke the protocol: the connection ends with `08P01`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid message from the client: {0}")]
pub struct FrontendError(pub &'static str);

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Asks for TLS.
    Ssl,
    /// Asks for GSS encryption.
    Gss,
    /// Asks to cancel what another connection runs.
    Cancel {
        /// Which.
        process_id: i32,
        /// The proof that one may.
        secret_key: i32,
    },
    /// Begins a session.
    Startup {
        /// Protocol version, major and minor.
        version: (u16, u16),
        /// The parameters in order.
        parameters: Vec<(String, String)>,
    },
}

/// A message of a session under way.
#[derive(Debug, Clone)]
pub enum FrontendMessage {
    /// Simple query.
    Query(String),
    /// Prepares a statement.
    Parse {
        /// Its name; empty for the unnamed one.
        name: String,
        /// Its text.
        text: String,
        /// The declared types of `$1…`; 0 for undeclared.
        params: Vec<u32>,
    },
    /// Makes a portal.
    Bind {
        /// Its name; empty for the unnamed one.
        portal: String,
        /// The statement's name.
        statement: String,
        /// The parameters, one format for each.
        parameters: Parameters,
        /// The formats asked for.
        formats: ResultFormats,
    },
    /// Asks what a statement or portal gives.
    Describe(Named),
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: String,
        /// The most rows to return; 0 for all.
        row_limit: u32,
    },
    /// Drops a statement or portal.
    Close(Named),
    /// Asks for what was answered so far.
    Flush,
    /// Ends a pipeline.
    Sync,
    /// Rows of a COPY in.
    CopyData(Bytes),
    /// The end of a COPY in.
    CopyDone,
    /// Gives up a COPY in, with the reason.
    CopyFail(String),
    /// An answer to a request for authentication: what it means depends on the request.
    Password(Bytes),
    /// The end of the session.
    Terminate,
}

/// A statement or a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

/// Takes the first packet from the front of the buffer; `None` when it is not whole yet.
///
/// # Errors
/// A length out of range, or a body that ends too early.
pub fn take_opening(buffer: &mut BytesMut) -> Result<Option<Opening>, FrontendError> {
    let Some(head) = buffer.get(..4) else { return Ok(None) };
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(FrontendError("a startup packet's length is out of range"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let packet = buffer.split_to(length);
    let mut body = Body(&packet[4..]);
    let short = FrontendError("a startup packet ends too early");
    let code = body.u32().ok_or(short.clone())?;
    Ok(Some(match code {
        80_877_103 => Opening::Ssl,
        80_877_104 => Opening::Gss,
        80_877_102 => Opening::Cancel {
            process_id: body.i32().ok_or(short.clone())?,
            secret_key: body.i32().ok_or(short)?,
        },
        _ => {
            let mut parameters = Vec::new();
            loop {
                let name = body.text().ok_or(short.clone())?;
                if name.is_empty() {
                    break;
                }
                let value = body.text().ok_or(short.clone())?;
                parameters.push((name.to_owned(), value.to_owned()));
            }
            let half = |bits: u32| u16::try_from(bits & 0xffff).expect("masked to 16 bits");
            Opening::Startup { version: (half(code >> 16), half(code)), parameters }
        }
    }))
}

/// Takes the next message from the front of the buffer; `None` when it is not whole yet.
///
/// # Errors
/// An unknown kind, a length out of range, or a body that does not fit its kind.
pub fn take_message(buffer: &mut BytesMut) -> Result<Option<FrontendMessage>, FrontendError> {
    let Some(head) = buffer.get(..5) else { return Ok(None) };
    let tag = head[0];
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if !b"QPBDECHSdcfpX".contains(&tag) {
        return Err(FrontendError("a message of unknown kind"));
    }
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(FrontendError("a length out of range"));
    }
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    let body = buffer.split_to(length + 1).freeze().slice(5..);
    parse(tag, &body).map(Some)
}

fn parse(tag: u8, bytes: &Bytes) -> Result<FrontendMessage, FrontendError> {
    let mut body = Body(bytes);
    let message = match tag {
        b'Q' => FrontendMessage::Query(text(&mut body)?),
        b'P' => {
            let (name, text) = (text(&mut body)?, text(&mut body)?);
            let count = body.u16().ok_or(SHORT)?;
            let params = (0..count).map(|_| body.u32().ok_or(SHORT)).collect::<Result<_, _>>()?;
            FrontendMessage::Parse { name, text, params }
        }
        b'B' => parse_bind(&mut body, bytes)?,
        b'D' => FrontendMessage::Describe(named(&mut body)?),
        b'C' => FrontendMessage::Close(named(&mut body)?),
        b'E' => {
            let portal = text(&mut body)?;
            // A negative limit is none, as in PostgreSQL.
            let row_limit = u32::try_from(body.i32().ok_or(SHORT)?).unwrap_or(0);
            FrontendMessage::Execute { portal, row_limit }
        }
        b'H' => FrontendMessage::Flush,
        b'S' => FrontendMessage::Sync,
        b'd' => return Ok(FrontendMessage::CopyData(bytes.clone())),
        b'c' => FrontendMessage::CopyDone,
        b'f' => FrontendMessage::CopyFail(text(&mut body)?),
        b'p' => return Ok(FrontendMessage::Password(bytes.clone())),
        b'X' => FrontendMessage::Terminate,
        _ => return Err(FrontendError("a message of unknown kind")),
    };
    match body.0.is_empty() {
        true => Ok(message),
        false => Err(FrontendError("a message is longer than its content")),
    }
}

const SHORT: FrontendError = FrontendError("a message ends too early");

fn text(body: &mut Body<'_>) -> Result<String, FrontendError> {
    let end = memchr::memchr(0, body.0).ok_or(FrontendError("a text without an end"))?;
    let bytes = body.take(end + 1).ok_or(SHORT)?;
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(FrontendError("a text that is not UTF-8")),
    }
}

fn named(body: &mut Body<'_>) -> Result<Named, FrontendError> {
    match body.take(1) {
        Some(b"S") => Ok(Named::Statement(text(body)?)),
        Some(b"P") => Ok(Named::Portal(text(body)?)),
        _ => Err(FrontendError("neither a statement nor a portal")),
    }
}

fn format(code: u16) -> Result<Format, FrontendError> {
    match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        _ => Err(FrontendError("a format that is neither text nor binary")),
    }
}

fn formats(body: &mut Body<'_>) -> Result<Vec<Format>, FrontendError> {
    let count = body.u16().ok_or(SHORT)?;
    (0..count).map(|_| format(body.u16().ok_or(SHORT)?)).collect()
}

fn parse_bind(body: &mut Body<'_>, bytes: &Bytes) -> Result<FrontendMessage, FrontendError> {
    let (portal, statement) = (text(body)?, text(body)?);
    let (parameters, formats) = values(body, bytes)?;
    Ok(FrontendMessage::Bind { portal, statement, parameters, formats })
}

/// A statement that came in one piece: Bind of the unnamed portal, Describe of it or not, Execute without a limit, Sync.
#[derive(Debug, Clone, Copy)]
pub struct Pipeline<'a> {
    /// The prepared statement's name.
    pub statement: &'a str,
    /// The end of the Bind message: formats, values, result formats.
    pub values: &'a [u8],
    /// Whether Describe of the portal was said too.
    pub describe: bool,
    /// How many bytes it takes.
    pub length: usize,
}

impl<'a> Pipeline<'a> {
    /// Sees whether the next messages are one, and all there.
    pub fn see(input: &'a [u8]) -> Option<Self> {
        let (bind, mut at) = whole_frame(input, 0, b'B')?;
        let bind = bind.strip_prefix(b"\0")?;
        let end = memchr::memchr(0, bind)?;
        let statement = std::str::from_utf8(&bind[..end]).ok()?;
        let values = &bind[end + 1..];
        let mut describe = false;
        if let Some((body, next)) = whole_frame(input, at, b'D') {
            if body != b"P\0" {
                return None;
            }
            describe = true;
            at = next;
        }
        let (execute, at) = whole_frame(input, at, b'E')?;
        let (sync, length) = whole_frame(input, at, b'S')?;
        (execute == b"\0\0\0\0\0" && sync.is_empty()).then_some(Self {
            statement,
            values,
            describe,
            length,
        })
    }
}

impl Pipeline<'_> {
    /// How many parameters it brings.
    pub fn parameters(&self) -> Option<usize> {
        let number = |at: usize| {
            let bytes = self.values.get(at..at + 2)?;
            Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
        };
        number(2 + 2 * number(0)?)
    }
}

/// The body of the message that begins at `at`, if it is whole and of this kind; and where the next one begins.
pub fn whole_frame(input: &[u8], at: usize, kind: u8) -> Option<(&[u8], usize)> {
    let head = input.get(at..at + 5)?;
    if head[0] != kind {
        return None;
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let end = at.checked_add(1)?.checked_add(usize::try_from(length).ok()?)?;
    Some((input.get(at + 5..end)?, end))
}

/// Reads the end of a Bind message, from the parameters' formats on.
///
/// # Errors
/// It is not whole, or more than that.
pub fn parse_values(bytes: &Bytes) -> Result<(Parameters, ResultFormats), FrontendError> {
    let mut body = Body(bytes);
    let read = values(&mut body, bytes)?;
    match body.0.is_empty() {
        true => Ok(read),
        false => Err(FrontendError("a message is longer than its content")),
    }
}

fn values(
    body: &mut Body<'_>,
    bytes: &Bytes,
) -> Result<(Parameters, ResultFormats), FrontendError> {
    let given = formats(body)?;
    let count = usize::from(body.u16().ok_or(SHORT)?);
    let mut parameters = Parameters {
        formats: match given.as_slice() {
            [] => vec![Format::Text; count],
            [one] => vec![*one; count],
            each if each.len() == count => given,
            _ => return Err(FrontendError("the number of formats is not that of the parameters")),
        },
        ..Parameters::default()
    };
    for _ in 0..count {
        let length = body.i32().ok_or(SHORT)?;
        let value = match usize::try_from(length) {
            Ok(length) => {
                let start = bytes.len() - body.0.len();
                body.take(length).ok_or(SHORT)?;
                Some(bytes.slice(start..start + length))
            }
            Err(_) if length == -1 => None,
            Err(_) => return Err(FrontendError("a negative length")),
        };
        parameters.values.push(value);
    }
    Ok((parameters, ResultFormats { formats: formats(body)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn check(tag: u8, body: &[u8], expected: &str) {
        let mut buffer = BytesMut::from(&frame(tag, body)[..]);
        let found = match take_message(&mut buffer) {
            Ok(Some(message)) => format!("{message:?}"),
            Ok(None) => "more".to_owned(),
            Err(error) => error.0.to_owned(),
        };
        assert_eq!(found, expected, "{} {body:?}", char::from(tag));
    }

    #[test]
    fn messages() {
        check(b'Q', b"SELECT 1\0", r#"Query("SELECT 1")"#);
        check(b'Q', b"SELECT 1", "a text without an end");
        check(b'Q', b"\xff\0", "a text that is not UTF-8");
        check(b'P', b"s\0x\0\0\x01\0\0\0\x17", r#"Parse { name: "s", text: "x", params: [23] }"#);
        check(b'P', b"s\0x\0\xff\xff", "a message ends too early");
        check(
            b'B',
            b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\0",
            r#"Bind { portal: "p", statement: "s", parameters: Parameters { values: [Some(b"a"), None], formats: [Binary, Binary] }, formats: ResultFormats { formats: [Text] } }"#,
        );
        check(b'B', b"\0\0\0\0\0\x01\0\0\0\x09a", "a message ends too early");
        check(b'B', b"\0\0\0\0\0\x01\x80\0\0\0", "a negative length");
        check(b'B', b"\0\0\0\x01\0\x07", "a format that is neither text nor binary");
        check(
            b'B',
            b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0",
            "the number of formats is not that of the parameters",
        );
        check(b'E', b"\0\xff\xff\xff\xff", r#"Execute { portal: "", row_limit: 0 }"#);
        check(b'D', b"Xa\0", "neither a statement nor a portal");
        check(b'C', b"Sa\0", r#"Close(Statement("a"))"#);
        check(b'S', b"", "Sync");
        check(b'S', b"x", "a message is longer than its content");
        check(b'z', b"", "a message of unknown kind");
    }

    #[test]
    fn no_prefix_of_a_message_panics() {
        let whole = frame(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\0");
        for length in 0..whole.len() {
            assert!(take_message(&mut BytesMut::from(&whole[..length])).unwrap().is_none());
            let mut cut = whole[..length.max(5)].to_vec();
            let inner = u32::try_from(cut.len() - 1).unwrap();
            cut[1..5].copy_from_slice(&inner.to_be_bytes());
            assert!(take_message(&mut BytesMut::from(&cut[..])).is_err());
        }
        assert!(take_message(&mut BytesMut::from(&b"Q\xff\xff\xff\xff"[..])).is_err());
        assert!(take_message(&mut BytesMut::from(&b"Q\0\0\0\0"[..])).is_err());
    }

    fn check_pipeline(input: &[u8], expected: Option<&str>) {
        let found = Pipeline::see(input).map(|seen| {
            format!("{} {:?} {} {}", seen.statement, seen.values, seen.describe, seen.length)
        });
        assert_eq!(found.as_deref(), expected, "{input:?}");
    }

    #[test]
    fn a_whole_pipeline_is_seen() {
        let bind = b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0".as_slice();
        let describe = b"D\0\0\0\x06P\0".as_slice();
        let execute = b"E\0\0\0\x09\0\0\0\0\0".as_slice();
        let sync = b"S\0\0\0\x04".as_slice();
        let all = [bind, describe, execute, sync].concat();
        check_pipeline(&all, Some("s [0, 0, 0, 0, 0, 0] true 36"));
        check_pipeline(&[bind, execute, sync].concat(), Some("s [0, 0, 0, 0, 0, 0] false 29"));
        check_pipeline(&[bind, execute].concat(), None);
        check_pipeline(&[bind, sync].concat(), None);
        check_pipeline(&[bind, b"E\0\0\0\x09\0\0\0\0\x01", sync].concat(), None);
        let named = b"B\0\0\0\x0ep\0s\0\0\0\0\0\0\0".as_slice();
        check_pipeline(&[named, execute, sync].concat(), None);
        for length in 0..all.len() {
            check_pipeline(&all[..length], None);
        }
        check_pipeline(b"B\xff\xff\xff\xff", None);
        check_pipeline(b"B\0\0\0\0\0", None);
    }

    #[test]
    fn openings() {
        let check = |bytes: &[u8], expected: &str| {
            let found = match take_opening(&mut BytesMut::from(bytes)) {
                Ok(found) => format!("{found:?}"),
                Err(error) => error.0.to_owned(),
            };
            assert_eq!(found, expected);
        };
        check(b"\0\0\0\x08\x04\xd2\x16\x2f", "Some(Ssl)");
        check(b"\0\0\0\x08\x04\xd2\x16", "None");
        check(b"\0\0\0\x07", "a startup packet's length is out of range");
        check(b"\x7f\0\0\0", "a startup packet's length is out of range");
        check(
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
            "Some(Cancel { process_id: 1, secret_key: 2 })",
        );
        check(b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01", "a startup packet ends too early");
        check(
            b"\0\0\0\x10\0\x03\0\0user\0a\0\0",
            r#"Some(Startup { version: (3, 0), parameters: [("user", "a")] })"#,
        );
        check(b"\0\0\0\x0f\0\x03\0\0user\0a\0", "a startup packet ends too early");
    }
}
