//! Where the tuples of binary COPY data end, and their fields.

use bytes::BufMut;
use dataman_pg::PgError;

use super::RECORD_BYTES_MAX;

/// What binary COPY data begins with: the signature, no flags, no extension.
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with.
pub const TRAILER: &[u8; 2] = b"\xff\xff";

const SIGNATURE_BYTES: usize = 11;

/// A tuple within [`Tuples::buffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Where it begins.
    pub start: usize,
    /// Where the next one begins.
    pub next: usize,
    /// Its number, from 1.
    pub number: u64,
}

/// A failure of the data at a tuple.
#[derive(Debug)]
pub struct TupleError {
    /// The tuple's number; 0 in the header.
    pub number: u64,
    /// The field's place, from 0, when it is about one.
    pub field: Option<usize>,
    /// What is wrong.
    pub error: PgError,
}

/// Cuts binary data into tuples.
#[derive(Debug)]
pub struct Tuples {
    columns: usize,
    buffer: Vec<u8>,
    start: usize,
    number: u64,
    state: State,
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Tuples,
    /// The trailer has come.
    Trailed,
    Ended,
}

impl Tuples {
    /// Tuples of so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            buffer: Vec::new(),
            start: 0,
            number: 0,
            state: State::Header,
            complete: false,
        }
    }

    /// The data that tuples are within.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Where more data is to be appended; positions of tuples taken before mean nothing afterwards.
    pub fn fill(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        &mut self.buffer
    }

    /// Says that no more data will come.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The number of the tuple that is being read.
    pub fn number(&self) -> u64 {
        match self.state {
            State::Header => 0,
            _ => self.number + 1,
        }
    }

    fn fail<T>(&self, field: Option<usize>, message: impl Into<String>) -> Result<T, TupleError> {
        let error = PgError::new("22P04", message.into());
        Err(TupleError { number: self.number(), field, error })
    }

    /// The next tuple; none when more data is needed, or at the end.
    ///
    /// # Errors
    /// `22P04`, in PostgreSQL's words; `54000` for a tuple without end.
    pub fn next_tuple(&mut self) -> Result<Option<Tuple>, TupleError> {
        if self.state == State::Header && !self.header()? {
            return Ok(None);
        }
        if self.state == State::Trailed {
            if self.start < self.buffer.len() {
                return self.fail(None, "received copy data after EOF marker");
            }
            return Ok(None);
        }
        if self.state == State::Ended {
            return Ok(None);
        }
        let rest = &self.buffer[self.start..];
        let Some(count) = rest.get(..2) else {
            if self.complete {
                // No trailer: the data ends all the same.
                self.state = State::Ended;
            }
            return Ok(None);
        };
        let count = i16::from_be_bytes([count[0], count[1]]);
        if count == -1 {
            self.start += 2;
            self.state = State::Trailed;
            return self.next_tuple();
        }
        if usize::try_from(count).ok() != Some(self.columns) {
            return self
                .fail(None, format!("row field count is {count}, expected {}", self.columns));
        }
        let mut at = 2;
        for field in 0..self.columns {
            let Some(head) = rest.get(at..at + 4) else { return self.cut_off(field) };
            let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            at += 4;
            if length == -1 {
                continue;
            }
            let Ok(length) = usize::try_from(length) else {
                return self.fail(Some(field), "invalid field size");
            };
            at += length;
            if at > rest.len() {
                return self.cut_off(field);
            }
        }
        self.number += 1;
        let tuple = Tuple { start: self.start, next: self.start + at, number: self.number };
        self.start = tuple.next;
        Ok(Some(tuple))
    }

    fn cut_off(&self, field: usize) -> Result<Option<Tuple>, TupleError> {
        if self.complete {
            return self.fail(Some(field), "unexpected EOF in COPY data");
        }
        if self.buffer.len() - self.start > RECORD_BYTES_MAX {
            let error = PgError::new("54000", "out of memory")
                .with_detail(format!("A tuple is longer than {RECORD_BYTES_MAX} bytes."));
            return Err(TupleError { number: self.number(), field: None, error });
        }
        Ok(None)
    }

    /// Reads the header; false when more data is needed.
    fn header(&mut self) -> Result<bool, TupleError> {
        let data = &self.buffer;
        let begun = data.len().min(SIGNATURE_BYTES);
        if data.len() < SIGNATURE_BYTES && !self.complete && data[..] == HEADER[..begun] {
            return Ok(false);
        }
        if data.len() < SIGNATURE_BYTES || data[..SIGNATURE_BYTES] != HEADER[..SIGNATURE_BYTES] {
            return self.fail(None, "COPY file signature not recognized");
        }
        let integer = |at: usize| {
            data.get(at..at + 4)
                .map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let Some(flags) = integer(SIGNATURE_BYTES) else {
            return if self.complete {
                self.fail(None, "invalid COPY file header (missing flags)")
            } else {
                Ok(false)
            };
        };
        if flags & (1 << 16) != 0 {
            return self.fail(None, "invalid COPY file header (WITH OIDS)");
        }
        if flags >> 16 != 0 {
            return self.fail(None, "unrecognized critical flags in COPY file header");
        }
        let extension = match integer(SIGNATURE_BYTES + 4) {
            None if !self.complete => return Ok(false),
            None => return self.fail(None, "invalid COPY file header (missing length)"),
            Some(length) => usize::try_from(length),
        };
        let Ok(extension) = extension else {
            return self.fail(None, "invalid COPY file header (missing length)");
        };
        let end = HEADER.len() + extension;
        if data.len() < end {
            return if self.complete || extension > RECORD_BYTES_MAX {
                self.fail(None, "invalid COPY file header (wrong length)")
            } else {
                Ok(false)
            };
        }
        self.start = end;
        self.state = State::Tuples;
        Ok(true)
    }
}

/// The fields of a whole tuple, none for NULL.
pub fn fields(tuple: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = tuple.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*head)) else {
            rest = after;
            return Some(None);
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

/// Writes a tuple's field.
pub fn put_field(value: Option<&[u8]>, out: &mut impl BufMut) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(data: &[u8], columns: usize, step: usize) -> Vec<String> {
        let mut tuples = Tuples::new(columns);
        let mut found = Vec::new();
        let mut pieces = data.chunks(step);
        loop {
            match tuples.next_tuple() {
                Ok(Some(tuple)) => {
                    let bytes = &tuples.buffer()[tuple.start..tuple.next];
                    let shown: Vec<_> =
                        fields(bytes).map(|field| field.map(String::from_utf8_lossy)).collect();
                    found.push(format!("{} {shown:?}", tuple.number));
                }
                Err(error) => {
                    found.push(format!("{}! {}", error.number, error.error.message()));
                    return found;
                }
                Ok(None) => match pieces.next() {
                    Some(piece) => tuples.fill().extend_from_slice(piece),
                    None if tuples.complete => return found,
                    None => tuples.complete(),
                },
            }
        }
    }

    fn check(body: &[u8], expected: &[&str]) {
        let data = [HEADER, body].concat();
        for step in [1, 2, 3, 1000] {
            assert_eq!(cut(&data, 2, step), expected, "{body:?} by {step}");
        }
    }

    #[test]
    fn tuples_are_cut() {
        check(b"", &[]);
        check(b"\xff\xff", &[]);
        check(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff\xff\xff", &["1 [Some(\"a\"), None]"]);
        check(b"\0\x02\0\0\0\x01a\0\0\0\0", &["1 [Some(\"a\"), Some(\"\")]"]);
        check(b"\0\x01\0\0\0\x01a", &["1! row field count is 1, expected 2"]);
        check(b"\0\x02\0\0\0\x09a", &["1! unexpected EOF in COPY data"]);
        check(b"\0\x02\xff\xff\xff\xfea", &["1! invalid field size"]);
        check(b"\xff\xffx", &["1! received copy data after EOF marker"]);
    }

    #[test]
    fn headers_are_checked() {
        let check = |data: &[u8], expected: &str| {
            for step in [1, 3, 1000] {
                assert_eq!(cut(data, 1, step), [format!("0! {expected}")], "{data:?}");
            }
        };
        check(b"1\t2\n", "COPY file signature not recognized");
        check(b"", "COPY file signature not recognized");
        check(&HEADER[..12], "invalid COPY file header (missing flags)");
        check(&HEADER[..15], "invalid COPY file header (missing length)");
        check(b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0", "invalid COPY file header (WITH OIDS)");
        check(
            b"PGCOPY\n\xff\r\n\0\0\x02\0\0\0\0\0\0",
            "unrecognized critical flags in COPY file header",
        );
        check(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x05ab", "invalid COPY file header (wrong length)");
    }
}
