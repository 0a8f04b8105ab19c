//! The client's messages, decoded from its bytes (the manual's section 55.7).
//!
//! Two kinds of damage are told apart, as PostgreSQL does: a frame whose type or length makes no sense leaves no way to find
//! the next one, so the connection ends ([`FrameError`]); a whole frame with a bad body is an ordinary error of that message
//! ([`Frame::decode`]). Bodies are decoded here rather than by pgwire's types, whose readers panic on a short body and copy
//! every parameter; nothing here panics, and parameters stay slices of what was read.

use bytes::{Buf, Bytes, BytesMut};
use dataman_node_protocol::record::Format;
use dataman_pg::PgError;

/// The longest frame that is taken: a query with all its parameters, or a run of COPY data.
pub const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The longest frame of the kinds that carry neither SQL nor values, and of any kind before the client is known.
pub const SMALL_FRAME_BYTES_MAX: usize = 10_000;

/// A frame as it came: its type and its body.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The type byte.
    pub kind: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// A frame that leaves no way to find the next one: `08P01`, fatal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No message of that type comes from a client.
    #[error("invalid frontend message type {0}")]
    Type(u8),
    /// Shorter than the length itself, or longer than the bound.
    #[error("invalid message length")]
    Length,
}

/// A message of the query phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `Q`.
    Query(String),
    /// `P`.
    Parse {
        /// The statement's name; empty for the unnamed one.
        name: String,
        /// Its text.
        sql: String,
        /// Declared parameter types, 0 for none.
        types: Vec<u32>,
    },
    /// `B`.
    Bind {
        /// The portal's name; empty for the unnamed one.
        portal: String,
        /// The statement's.
        statement: String,
        /// Parameter formats as sent: none, one for all, or one for each.
        formats: Vec<i16>,
        /// The parameters, `None` for NULL.
        values: Vec<Option<Bytes>>,
        /// Result formats as sent.
        result_formats: Vec<i16>,
    },
    /// `D`.
    Describe(Target),
    /// `E`.
    Execute {
        /// The portal.
        portal: String,
        /// How many rows at most; 0 for all.
        max_rows: usize,
    },
    /// `C`.
    Close(Target),
    /// `H`.
    Flush,
    /// `S`.
    Sync,
    /// `X`.
    Terminate,
    /// `d`.
    CopyData(Bytes),
    /// `c`.
    CopyDone,
    /// `f`.
    CopyFail(String),
    /// `F`: the fast path to functions, which dataman does not have.
    FunctionCall,
}

/// What Describe and Close are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

/// Takes the next whole frame off `input`; none when more bytes are needed.
///
/// # Errors
/// See [`FrameError`].
pub fn take_frame(input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(&kind) = input.first() else { return Ok(None) };
    let bytes_max = match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' | b'p' | b'f' => FRAME_BYTES_MAX,
        b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'c' => SMALL_FRAME_BYTES_MAX,
        other => return Err(FrameError::Type(other)),
    };
    let Some(head) = input.get(1..5) else { return Ok(None) };
    let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let length = usize::try_from(length).map_err(|_| FrameError::Length)?;
    if length < 4 || length > bytes_max {
        return Err(FrameError::Length);
    }
    if input.len() < 1 + length {
        return Ok(None);
    }
    let mut frame = input.split_to(1 + length).freeze();
    frame.advance(5);
    Ok(Some(Frame { kind, body: frame }))
}

impl Frame {
    /// Whether the message belongs to the extended protocol, so that an error in it skips to the next Sync.
    pub fn is_extended(&self) -> bool {
        matches!(self.kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
    }

    /// Reads the body.
    ///
    /// # Errors
    /// `08P01` for a body that ends too early or too late, `22021` for text that is not UTF-8.
    pub fn decode(self) -> Result<Message, PgError> {
        let mut body = Body(self.body);
        let message = match self.kind {
            b'Q' => Message::Query(body.string()?),
            b'P' => Message::Parse {
                name: body.string()?,
                sql: body.string()?,
                types: {
                    let count = body.count()?;
                    (0..count).map(|_| body.uint32()).collect::<Result<_, _>>()?
                },
            },
            b'B' => Message::Bind {
                portal: body.string()?,
                statement: body.string()?,
                formats: body.int16_list()?,
                values: {
                    let count = body.count()?;
                    (0..count).map(|_| body.value()).collect::<Result<_, _>>()?
                },
                result_formats: body.int16_list()?,
            },
            b'D' => Message::Describe(body.target("DESCRIBE")?),
            b'C' => Message::Close(body.target("CLOSE")?),
            b'E' => Message::Execute {
                portal: body.string()?,
                // A negative count is no limit, as in PostgreSQL.
                max_rows: {
                    let rows = body.uint32()?.cast_signed();
                    usize::try_from(rows).unwrap_or(0)
                },
            },
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => return Ok(Message::Terminate),
            b'd' => return Ok(Message::CopyData(body.0)),
            b'c' => Message::CopyDone,
            b'f' => Message::CopyFail(body.string()?),
            // The frame's type was checked when it was taken; a password has no place in the query phase.
            b'F' => return Ok(Message::FunctionCall),
            other => {
                return Err(PgError::new(
                    "08P01",
                    format!("invalid frontend message type {other}"),
                ));
            }
        };
        body.end()?;
        Ok(message)
    }
}

/// The formats of `count` values, from what Bind says.
///
/// # Errors
/// `22023` for a code that is neither text nor binary. The caller has checked the number of codes.
pub fn resolve_formats(codes: &[i16], count: usize) -> Result<Vec<Format>, PgError> {
    let format = |code: i16| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(PgError::new("22023", format!("unsupported format code: {other}"))),
    };
    match codes {
        [] => Ok(vec![Format::Text; count]),
        [one] => Ok(vec![format(*one)?; count]),
        many => many.iter().map(|code| format(*code)).collect(),
    }
}

/// A reader of a message's fields. PostgreSQL's words for each way to be wrong.
pub(crate) struct Body(pub(crate) Bytes);

impl Body {
    fn short() -> PgError {
        PgError::new("08P01", "insufficient data left in message")
    }

    /// A string that ends with a zero byte.
    pub(crate) fn string(&mut self) -> Result<String, PgError> {
        let end =
            memchr(&self.0).ok_or_else(|| PgError::new("08P01", "invalid string in message"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        utf8(&text).map(str::to_owned)
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, PgError> {
        if self.0.len() < 4 {
            return Err(Self::short());
        }
        Ok(self.0.get_u32())
    }

    fn int16(&mut self) -> Result<i16, PgError> {
        if self.0.len() < 2 {
            return Err(Self::short());
        }
        Ok(self.0.get_i16())
    }

    /// A count of things, of which each takes at least one more byte: a count that cannot be true is refused before
    /// anything is kept for it.
    fn count(&mut self) -> Result<usize, PgError> {
        Ok(usize::from(self.int16()?.cast_unsigned()))
    }

    fn int16_list(&mut self) -> Result<Vec<i16>, PgError> {
        let count = self.count()?;
        (0..count).map(|_| self.int16()).collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>, PgError> {
        let length = self.uint32()?.cast_signed();
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Self::short())?;
        if self.0.len() < length {
            return Err(Self::short());
        }
        Ok(Some(self.0.split_to(length)))
    }

    fn target(&mut self, message: &str) -> Result<Target, PgError> {
        if self.0.is_empty() {
            return Err(PgError::new("08P01", "no data left in message"));
        }
        let kind = self.0.get_u8();
        let name = self.string()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            other => {
                Err(PgError::new("08P01", format!("invalid {message} message subtype {other}")))
            }
        }
    }

    fn end(&self) -> Result<(), PgError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PgError::new("08P01", "invalid message format"))
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0)
}

/// Checks that bytes are UTF-8.
///
/// # Errors
/// `22021`, naming the bytes of the first wrong character, as many as its first byte announces.
pub fn utf8(bytes: &[u8]) -> Result<&str, PgError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let rest = &bytes[error.valid_up_to()..];
        let announced = match rest[0] {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            _ => 1,
        };
        let shown: Vec<String> =
            rest.iter().take(announced).map(|byte| format!("0x{byte:02x}")).collect();
        PgError::new(
            "22021",
            format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<Message>, &str>) {
        let mut input = BytesMut::from(bytes);
        let outcome = match take_frame(&mut input) {
            Err(error) => Err(error.to_string()),
            Ok(None) => Ok(None),
            Ok(Some(frame)) => frame.decode().map(Some).map_err(|error| error.message().to_owned()),
        };
        assert_eq!(outcome, expected.map_err(str::to_owned), "for {bytes:?}");
    }

    #[test]
    fn messages_are_read() {
        check(b"", Ok(None));
        check(b"Q\0\0\0", Ok(None));
        check(b"Q\0\0\0\x0bselect", Ok(None));
        check(b"Q\0\0\0\x0bselect\0", Ok(Some(Message::Query("select".into()))));
        check(b"S\0\0\0\x04", Ok(Some(Message::Sync)));
        check(
            b"E\0\0\0\x0ap\0\0\0\0\x02",
            Ok(Some(Message::Execute { portal: "p".into(), max_rows: 2 })),
        );
        check(
            b"B\0\0\0\x19p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0",
            Ok(Some(Message::Bind {
                portal: "p".into(),
                statement: "s".into(),
                formats: vec![1],
                values: vec![Some(Bytes::from_static(b"x")), None],
                result_formats: vec![],
            })),
        );
    }

    #[test]
    fn damage_is_named() {
        check(b"u\0\0\0\x04", Err("invalid frontend message type 117"));
        check(b"S\0\0\0\x03", Err("invalid message length"));
        check(b"S\x7f\0\0\x03", Err("invalid message length"));
        check(b"S\xff\0\0\x03", Err("invalid message length"));
        check(b"Q\0\0\0\x05x", Err("invalid string in message"));
        check(b"Q\0\0\0\x07x\0y", Err("invalid message format"));
        check(b"D\0\0\0\x04", Err("no data left in message"));
        check(b"D\0\0\0\x07xa\0", Err("invalid DESCRIBE message subtype 120"));
        check(b"Q\0\0\0\x06\xe4\0", Err("invalid byte sequence for encoding \"UTF8\": 0xe4"));
        check(b"B\0\0\0\x0a\0\0\0\0\x7f\xff", Err("insufficient data left in message"));
    }
}
