//! A client that reads message by message: it can stop reading, send what no driver would, and go away in the middle.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take before the test fails.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    input: BytesMut,
    port: u16,
    /// The cancel key: process and secret.
    pub key: (i32, i32),
}

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its type.
    pub kind: u8,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// A field of ErrorResponse or NoticeResponse: `C` the SQLSTATE, `M` the message, `H` the hint.
    pub fn field(&self, field: char) -> String {
        self.body
            .split(|byte| *byte == 0)
            .filter_map(|field| field.split_first())
            .find(|(code, _)| char::from(**code) == field)
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    }
}

/// A message's bytes.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// A startup packet's bytes.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = (3u32 << 16).to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// The messages that carry out a statement by the extended protocol with results in text: Parse, Bind, Describe, Execute,
/// Sync.
pub fn extended(sql: &str) -> Vec<u8> {
    [
        frame(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat()),
        frame(b'B', b"\0\0\0\0\0\0\0\0"),
        frame(b'D', b"P\0"),
        frame(b'E', b"\0\0\0\0\0"),
        frame(b'S', b""),
    ]
    .concat()
}

/// A Query message.
pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

impl RawClient {
    /// Connects without a word.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new(), port, key: (0, 0) })
    }

    /// Connects as `dataman` to a database, and waits until it is ready.
    ///
    /// # Errors
    /// The connection failed or was refused.
    pub async fn connect(port: u16, database: &str) -> std::io::Result<Self> {
        Self::connect_as(port, "dataman", database).await
    }

    /// Connects as a user to a database, and waits until it is ready.
    ///
    /// # Errors
    /// The connection failed or was refused.
    pub async fn connect_as(port: u16, user: &str, database: &str) -> std::io::Result<Self> {
        let mut client = Self::open(port).await?;
        client.send(&startup(&[("user", user), ("database", database)])).await?;
        loop {
            match client.answer().await? {
                Some(Answer { kind: b'Z', .. }) => return Ok(client),
                Some(Answer { kind: b'K', body }) => {
                    let number = |at: usize| {
                        i32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]])
                    };
                    client.key = (number(0), number(4));
                }
                Some(refused @ Answer { kind: b'E', .. }) => {
                    return Err(std::io::Error::other(refused.field('M')));
                }
                Some(_) => {}
                None => return Err(std::io::ErrorKind::ConnectionReset.into()),
            }
        }
    }

    /// Whether the server has closed: what it sent before is dropped.
    ///
    /// # Errors
    /// It is still there after a minute.
    pub async fn closed(&mut self) -> std::io::Result<()> {
        while self.answer().await?.is_some() {}
        Ok(())
    }

    /// Closes the own side: the server may still answer.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn finish(&mut self) -> std::io::Result<()> {
        self.stream.shutdown().await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message; none when the server has closed.
    ///
    /// # Errors
    /// The connection broke, or nothing came within a minute.
    pub async fn answer(&mut self) -> std::io::Result<Option<Answer>> {
        loop {
            if let Some(head) = self.input.first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if self.input.len() > length {
                    let kind = head[0];
                    let mut message = self.input.split_to(length + 1).freeze();
                    message.advance(5);
                    return Ok(Some(Answer { kind, body: message }));
                }
            }
            self.input.reserve(READ_BYTES);
            let read = timeout(ANSWER_TIME, self.stream.read_buf(&mut self.input));
            match read.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))? {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads up to ReadyForQuery or the end of the connection; gives all messages but rows, and how many rows there were.
    ///
    /// # Errors
    /// See [`RawClient::answer`].
    pub async fn rest(&mut self) -> std::io::Result<(Vec<Answer>, usize)> {
        let (mut answers, mut rows) = (Vec::new(), 0);
        while let Some(answer) = self.answer().await? {
            match answer.kind {
                b'D' => rows += 1,
                b'Z' => {
                    answers.push(answer);
                    break;
                }
                _ => answers.push(answer),
            }
        }
        Ok((answers, rows))
    }

    /// Sends a cancel request for what this connection runs.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn cancel(&self) -> std::io::Result<()> {
        let mut other = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let mut request = Vec::new();
        for number in [16, 80_877_102, self.key.0, self.key.1] {
            request.extend(number.to_be_bytes());
        }
        other.write_all(&request).await
    }
}
