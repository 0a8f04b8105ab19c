//! A small blocking client of PostgreSQL's protocol: what it costs itself must not hide what the servers cost.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::error::Error;

/// How much is read at a time: a full scan arrives in large pieces.
const READ_BYTES: usize = 128 * 1024;

/// A database that can be connected to, on 127.0.0.1.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The port.
    pub(crate) port: u16,
    /// The role.
    pub(crate) user: String,
    /// The database.
    pub(crate) database: String,
}

/// A connection, ready for a statement.
#[derive(Debug)]
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    body: Vec<u8>,
    out: Vec<u8>,
}

/// What came back for a statement whose rows are only counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How many rows.
    pub(crate) rows: u64,
    /// How many bytes they had.
    pub(crate) bytes: u64,
}

impl Client {
    /// Connects, and waits until the server is ready.
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let stream = TcpStream::connect(("127.0.0.1", endpoint.port))
            .map_err(Error::system("cannot connect"))?;
        stream.set_nodelay(true).map_err(Error::system("cannot set a socket up"))?;
        let mut client = Self {
            reader: BufReader::with_capacity(READ_BYTES, stream),
            body: Vec::new(),
            out: Vec::new(),
        };
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for (name, value) in [("user", &endpoint.user), ("database", &endpoint.database)] {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        client.out.extend_from_slice(&length(body.len()));
        client.out.extend_from_slice(&body);
        client.flush()?;
        client.until_ready(|_, _| Ok(()))?;
        Ok(client)
    }

    /// Runs a text by the simple protocol; rows are counted and forgotten.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        self.rows(sql, |row| {
            answer.rows += 1;
            answer.bytes += row.len() as u64;
            Ok(())
        })?;
        Ok(answer)
    }

    /// Runs a text by the simple protocol and gives its rows, as text; NULL is none.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut rows = Vec::new();
        self.rows(sql, |row| {
            rows.push(fields(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Runs a text by the simple protocol and hands each row's body on.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        row: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.messages(sql, b'D', row)
    }

    /// Runs a text by the simple protocol and hands the body of each message of one kind on.
    fn messages(
        &mut self,
        sql: &str,
        kind: u8,
        mut message: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.message(b'Q', &body);
        self.flush()?;
        self.until_ready(|tag, body| if tag == kind { message(body) } else { Ok(()) })
    }

    /// Runs `COPY … TO STDOUT` in text format; rows are counted by their line ends and forgotten.
    pub(crate) fn copy_out(&mut self, sql: &str) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        self.messages(sql, b'd', |data| {
            answer.rows += data.iter().filter(|byte| **byte == b'\n').count() as u64;
            answer.bytes += data.len() as u64;
            Ok(())
        })?;
        Ok(answer)
    }

    /// Sends pieces of rows to `COPY … FROM STDIN`.
    pub(crate) fn copy_in(&mut self, sql: &str, pieces: &[Vec<u8>]) -> Result<(), Error> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.message(b'Q', &body);
        self.flush()?;
        let mut failed = None;
        loop {
            match self.read_message()? {
                b'G' => break,
                b'E' => failed = Some(error(&self.body)),
                b'Z' => {
                    let none = || Error::Protocol("no CopyInResponse".to_owned());
                    return Err(failed.unwrap_or_else(none));
                }
                _ => {}
            }
        }
        for piece in pieces {
            self.message(b'd', piece);
            self.flush()?;
        }
        self.message(b'c', &[]);
        self.flush()?;
        self.until_ready(|_, _| Ok(()))
    }

    /// Says goodbye, so that the server sees an end and not a lost connection.
    pub(crate) fn close(mut self) -> Result<(), Error> {
        self.message(b'X', &[]);
        self.flush()
    }

    fn message(&mut self, tag: u8, body: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(&length(body.len()));
        self.out.extend_from_slice(body);
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.reader.get_mut().write_all(&self.out);
        self.out.clear();
        written.map_err(Error::system("cannot write to the server"))
    }

    /// Reads up to ReadyForQuery. The first error of the server is the outcome.
    fn until_ready(
        &mut self,
        mut message: impl FnMut(u8, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        loop {
            let tag = self.read_message()?;
            match tag {
                b'Z' => return outcome,
                b'E' if outcome.is_ok() => outcome = Err(error(&self.body)),
                b'R' if self.body != [0; 4] => {
                    return Err(Error::Protocol("a password is asked for".to_owned()));
                }
                _ if outcome.is_ok() => outcome = message(tag, &self.body),
                _ => {}
            }
            // A fatal error ends the connection instead of a ReadyForQuery.
            if tag == b'E' && fatal(&self.body) {
                return outcome;
            }
        }
    }

    fn read_message(&mut self) -> Result<u8, Error> {
        let read = Error::system("cannot read from the server");
        let mut head = [0_u8; 5];
        if let Err(error) = self.reader.read_exact(&mut head) {
            return Err(read(error));
        }
        let [tag, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
        let length = length
            .checked_sub(4)
            .ok_or_else(|| Error::Protocol(format!("a message of length {length}")))?;
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).map_err(read)?;
        Ok(tag)
    }
}

fn length(body: usize) -> [u8; 4] {
    u32::try_from(body + 4).expect("messages here are far smaller than 4 GB").to_be_bytes()
}

/// The fields of an error or notice: a letter and a text each.
fn error_field(body: &[u8], letter: u8) -> Option<String> {
    let mut fields = body.split(|byte| *byte == 0);
    let field = fields.find(|field| field.first() == Some(&letter))?;
    Some(String::from_utf8_lossy(field.get(1..)?).into_owned())
}

fn fatal(body: &[u8]) -> bool {
    error_field(body, b'V').or_else(|| error_field(body, b'S')).is_some_and(|s| s != "ERROR")
}

fn error(body: &[u8]) -> Error {
    let mut message = error_field(body, b'M').unwrap_or_default();
    if let Some(detail) = error_field(body, b'D') {
        message = format!("{message} ({detail})");
    }
    Error::Server { sqlstate: error_field(body, b'C').unwrap_or_default(), message }
}

/// The fields of a row in text form.
pub(crate) fn fields(row: &[u8]) -> Result<Vec<Option<String>>, Error> {
    let short = || Error::Protocol("a row that is too short".to_owned());
    let (count, mut rest) = row.split_first_chunk::<2>().ok_or_else(short)?;
    let mut fields = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        rest = after;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            fields.push(None);
            continue;
        };
        let (field, after) = rest.split_at_checked(length).ok_or_else(short)?;
        rest = after;
        fields.push(Some(String::from_utf8_lossy(field).into_owned()));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_apart() {
        let row = b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0";
        let expected = vec![Some("a".to_owned()), None, Some(String::new())];
        assert_eq!(fields(row).expect("is a row"), expected);
        assert!(fields(b"\0\x01\0\0\0\x09a").is_err());
    }

    #[test]
    fn errors_are_taken_apart() {
        let body = b"SFEHLER\0VERROR\0C0A000\0Mnot yet\0Dwhy\0\0";
        assert_eq!(error(body).to_string(), "0A000: not yet (why)");
        assert!(!fatal(body));
    }
}
