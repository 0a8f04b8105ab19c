//! Where the lines of text and csv end: the rules of PostgreSQL's `COPY FROM`, over data that comes in pieces.

use dataman_pg::PgError;
use memchr::{memchr_iter, memchr3};

use super::RECORD_BYTES_MAX;

/// What ends a line; the first line decides for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnd {
    /// No line has ended yet.
    #[default]
    Unknown,
    /// `\n`.
    Newline,
    /// `\r`.
    Return,
    /// `\r\n`.
    ReturnNewline,
}

/// The characters of csv that matter to where a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoting {
    /// What fields are quoted with.
    pub quote: u8,
    /// What a quote within quotes is escaped with.
    pub escape: u8,
}

/// A line within [`Lines::buffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Where it begins.
    pub start: usize,
    /// Where its content ends.
    pub end: usize,
    /// Where the next one begins.
    pub next: usize,
    /// Its number in the data, from 1; that of the last one when it spans several.
    pub number: u64,
    /// How many `\n` it holds in quotes.
    pub newlines: u32,
    /// How many `\r` it holds in quotes.
    pub returns: u32,
    /// Whether there is a backslash in it (text only).
    pub backslash: bool,
}

/// A failure of the data at a line.
#[derive(Debug)]
pub struct LineError {
    /// The line's number.
    pub number: u64,
    /// What is wrong.
    pub error: PgError,
}

/// Cuts data into lines.
#[derive(Debug, Default)]
pub struct Lines {
    quoting: Option<Quoting>,
    line_end: LineEnd,
    /// The data: what has been taken as lines is in front of `start`.
    buffer: Vec<u8>,
    /// Where the line begins that has not ended yet.
    start: usize,
    /// Up to where it has been looked at.
    at: usize,
    /// The number of the last line that ended, counting those within quotes.
    number: u64,
    partial: Partial,
    /// No more data will come.
    complete: bool,
    /// The marker `\.` has been met: the rest is no data.
    ended: bool,
}

/// What is known of the line that has not ended yet.
#[derive(Debug, Default, Clone, Copy)]
struct Partial {
    in_quote: bool,
    escaped: bool,
    newlines: u32,
    returns: u32,
    /// Newlines that count, by the line end known when they were met.
    counted: u32,
    backslash: bool,
}

/// What looking for a line's end came to.
enum Found {
    /// The line ends at `end`; the next one begins at `next`.
    Line { end: usize, next: usize },
    /// More data is needed.
    More,
}

impl Lines {
    /// Lines of text, or of csv.
    pub fn new(quoting: Option<Quoting>) -> Self {
        Self { quoting, ..Self::default() }
    }

    /// The data that lines are within.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Where more data is to be appended; positions of lines taken before mean nothing afterwards.
    pub fn fill(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        if self.ended {
            self.buffer.clear();
            self.at = 0;
        }
        &mut self.buffer
    }

    /// Says that no more data will come.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// Whether the line taken last was the last one.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What ends a line, as far as it is known.
    pub fn line_end(&self) -> LineEnd {
        self.line_end
    }

    /// The number of the line that is being read.
    pub fn number(&self) -> u64 {
        self.number + 1 + u64::from(self.partial.counted)
    }

    /// What has been looked at of the line that has not ended.
    pub fn partial(&self) -> (usize, usize) {
        (self.start, self.at)
    }

    /// The next line; none when more data is needed, or at the end.
    ///
    /// # Errors
    /// `22P04` for line ends that do not fit each other and for a corrupt end marker; `54000` for a line without end.
    pub fn next_line(&mut self) -> Result<Option<Line>, LineError> {
        if self.ended {
            return Ok(None);
        }
        let found = match self.quoting {
            None => self.find_text(),
            Some(quoting) => self.find_csv(quoting),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(LineError { number: self.number(), error }),
        };
        let (end, next) = match found {
            Found::Line { end, next } => (end, next),
            Found::More if self.complete => {
                self.ended = true;
                (self.buffer.len(), self.buffer.len())
            }
            Found::More => {
                if self.buffer.len() - self.start > RECORD_BYTES_MAX {
                    let error = PgError::new("54000", "out of memory")
                        .with_detail(format!("A line is longer than {RECORD_BYTES_MAX} bytes."));
                    return Err(LineError { number: self.number(), error });
                }
                return Ok(None);
            }
        };
        if self.ended && end == self.start {
            return Ok(None);
        }
        self.number = self.number();
        let line = Line {
            start: self.start,
            end,
            next,
            number: self.number,
            newlines: self.partial.newlines,
            returns: self.partial.returns,
            backslash: self.partial.backslash,
        };
        self.partial = Partial::default();
        self.start = next;
        self.at = next;
        Ok(Some(line))
    }

    fn find_text(&mut self) -> Result<Found, PgError> {
        loop {
            let Some(offset) = memchr3(b'\n', b'\\', b'\r', &self.buffer[self.at..]) else {
                self.at = self.buffer.len();
                return Ok(Found::More);
            };
            let place = self.at + offset;
            self.at = place;
            match self.buffer[place] {
                b'\n' if self.line_end == LineEnd::Newline => {
                    return Ok(Found::Line { end: place, next: place + 1 });
                }
                b'\n' => return self.newline(place),
                b'\r' => match self.carriage_return(place)? {
                    Some(found) => return Ok(found),
                    None => return Ok(Found::More),
                },
                _ => {
                    let Some(&second) = self.buffer.get(place + 1) else {
                        if self.complete {
                            // A backslash just before the end is a character like others.
                            self.partial.backslash = true;
                            self.at = self.buffer.len();
                        }
                        return Ok(Found::More);
                    };
                    if second != b'.' {
                        self.partial.backslash = true;
                        self.at = place + 2;
                        continue;
                    }
                    match self.end_marker(place)? {
                        Marker::End => {
                            self.ended = true;
                            return Ok(Found::Line { end: place, next: self.buffer.len() });
                        }
                        Marker::Data => self.at = place + 1,
                        Marker::More => return Ok(Found::More),
                    }
                }
            }
        }
    }

    fn find_csv(&mut self, quoting: Quoting) -> Result<Found, PgError> {
        let Quoting { quote, escape } = quoting;
        let own_escape = (escape != quote).then_some(escape);
        while self.at < self.buffer.len() {
            let may_be_marker = self.at == self.start && self.buffer[self.at] == b'\\';
            if !self.partial.in_quote && !may_be_marker {
                // What is neither a quote nor a line end says nothing.
                self.partial.escaped = false;
                match memchr3(quote, b'\n', b'\r', &self.buffer[self.at..]) {
                    None => {
                        self.at = self.buffer.len();
                        return Ok(Found::More);
                    }
                    Some(offset) => self.at += offset,
                }
            } else if self.partial.in_quote && own_escape.is_none() {
                let rest = &self.buffer[self.at..];
                let run = memchr::memchr(quote, rest).unwrap_or(rest.len());
                if run > 0 {
                    // A return right before what is not known yet may be counted at once: it is data in any case.
                    let run_bytes = &rest[..run];
                    let newlines = memchr_iter(b'\n', run_bytes).count();
                    let returns = memchr_iter(b'\r', run_bytes).count();
                    self.count_quoted(newlines, returns);
                    self.at += run;
                    continue;
                }
            }
            let place = self.at;
            let byte = self.buffer[place];
            let looks_ahead = byte == b'\\' || byte == b'\r';
            if looks_ahead && place + 1 >= self.buffer.len() && !self.complete {
                return Ok(Found::More);
            }
            if self.partial.in_quote && own_escape == Some(byte) {
                self.partial.escaped = !self.partial.escaped;
            }
            if byte == quote && !self.partial.escaped {
                self.partial.in_quote = !self.partial.in_quote;
            }
            if own_escape != Some(byte) {
                self.partial.escaped = false;
            }
            if self.partial.in_quote {
                self.count_quoted(usize::from(byte == b'\n'), usize::from(byte == b'\r'));
            } else {
                match byte {
                    b'\r' => match self.carriage_return(place)? {
                        Some(found) => return Ok(found),
                        None => return Ok(Found::More),
                    },
                    b'\n' => return self.newline(place),
                    _ => {}
                }
            }
            if byte == b'\\' && place == self.start {
                if place + 1 >= self.buffer.len() {
                    self.at = self.buffer.len();
                    return Ok(Found::More);
                }
                if self.buffer[place + 1] == b'.' {
                    match self.end_marker(place)? {
                        Marker::End => {
                            self.ended = true;
                            return Ok(Found::Line { end: place, next: self.buffer.len() });
                        }
                        Marker::Data => {}
                        Marker::More => {
                            // The quotes' state is that of before: this character is looked at again.
                            self.partial = Partial::default();
                            return Ok(Found::More);
                        }
                    }
                }
            }
            self.at = place + 1;
        }
        Ok(Found::More)
    }

    fn count_quoted(&mut self, newlines: usize, returns: usize) {
        let counted = if self.line_end == LineEnd::Newline { newlines } else { returns };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.partial.newlines = self.partial.newlines.saturating_add(count(newlines));
        self.partial.returns = self.partial.returns.saturating_add(count(returns));
        self.partial.counted = self.partial.counted.saturating_add(count(counted));
    }

    fn newline(&mut self, place: usize) -> Result<Found, PgError> {
        if matches!(self.line_end, LineEnd::Return | LineEnd::ReturnNewline) {
            return Err(match self.quoting {
                None => PgError::new("22P04", "literal newline found in data")
                    .with_hint("Use \"\\n\" to represent newline."),
                Some(_) => PgError::new("22P04", "unquoted newline found in data")
                    .with_hint("Use quoted CSV field to represent newline."),
            });
        }
        self.line_end = LineEnd::Newline;
        Ok(Found::Line { end: place, next: place + 1 })
    }

    /// A return that is not in quotes; none when what follows it must be known.
    fn carriage_return(&mut self, place: usize) -> Result<Option<Found>, PgError> {
        let refused = || match self.quoting {
            None => PgError::new("22P04", "literal carriage return found in data")
                .with_hint("Use \"\\r\" to represent carriage return."),
            Some(_) => PgError::new("22P04", "unquoted carriage return found in data")
                .with_hint("Use quoted CSV field to represent carriage return."),
        };
        match self.line_end {
            LineEnd::Newline => Err(refused()),
            LineEnd::Return => Ok(Some(Found::Line { end: place, next: place + 1 })),
            LineEnd::Unknown | LineEnd::ReturnNewline => match self.buffer.get(place + 1) {
                None if !self.complete => Ok(None),
                Some(b'\n') => {
                    self.line_end = LineEnd::ReturnNewline;
                    Ok(Some(Found::Line { end: place, next: place + 2 }))
                }
                _ if self.line_end == LineEnd::ReturnNewline => Err(refused()),
                _ => {
                    self.line_end = LineEnd::Return;
                    Ok(Some(Found::Line { end: place, next: place + 1 }))
                }
            },
        }
    }

    /// Looks at `\.` at `place`.
    fn end_marker(&self, place: usize) -> Result<Marker, PgError> {
        let strict = self.quoting.is_none();
        let corrupt = || PgError::new("22P04", "end-of-copy marker corrupt");
        let mismatch =
            || PgError::new("22P04", "end-of-copy marker does not match previous newline style");
        let mut at = place + 2;
        if self.line_end == LineEnd::ReturnNewline {
            match self.buffer.get(at) {
                None if !self.complete => return Ok(Marker::More),
                Some(b'\n') if strict => return Err(mismatch()),
                Some(b'\r') => at += 1,
                _ if strict => return Err(corrupt()),
                _ => return Ok(Marker::Data),
            }
        }
        let third = match self.buffer.get(at) {
            None if !self.complete => return Ok(Marker::More),
            third => third.copied(),
        };
        match (third, self.line_end) {
            (Some(b'\n'), LineEnd::Return) => Err(mismatch()),
            (Some(b'\r'), LineEnd::Newline | LineEnd::ReturnNewline) => Err(mismatch()),
            (Some(b'\r' | b'\n'), _) => Ok(Marker::End),
            _ if strict => Err(corrupt()),
            _ => Ok(Marker::Data),
        }
    }
}

/// What `\.` turned out to be.
enum Marker {
    /// The end of the data.
    End,
    /// Data after all (csv).
    Data,
    /// More data is needed to know.
    More,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Option<Quoting> = Some(Quoting { quote: b'"', escape: b'"' });

    /// Cuts data that comes in pieces of `step` bytes: each line with its number, at the end the failure.
    fn cut(data: &[u8], quoting: Option<Quoting>, step: usize) -> Vec<String> {
        let mut lines = Lines::new(quoting);
        let mut found = Vec::new();
        let mut pieces = data.chunks(step);
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    let text = String::from_utf8_lossy(&lines.buffer()[line.start..line.end]);
                    found.push(format!("{} {text}", line.number));
                }
                Err(error) => {
                    found.push(format!("{}! {}", error.number, error.error.message()));
                    return found;
                }
                Ok(None) => match pieces.next() {
                    Some(piece) => lines.fill().extend_from_slice(piece),
                    None if lines.complete => return found,
                    None => lines.complete(),
                },
            }
        }
    }

    fn check(data: &str, quoting: Option<Quoting>, expected: &[&str]) {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(cut(data.as_bytes(), quoting, step), expected, "{data:?} by {step}");
        }
    }

    #[test]
    fn text_lines() {
        check("", None, &[]);
        check("a\nb\n", None, &["1 a", "2 b"]);
        check("a\n\nb", None, &["1 a", "2 ", "3 b"]);
        check("a\r\nb\r\n", None, &["1 a", "2 b"]);
        check("a\rb\r", None, &["1 a", "2 b"]);
        check("a\rb", None, &["1 a", "2 b"]);
        check("a\\\nb\n", None, &["1 a\\\nb"]);
        check("a\\\\.\n", None, &["1 a\\\\."]);
        check("a\\", None, &["1 a\\"]);
        check("a\n\\.\nb\n", None, &["1 a"]);
        check("a\nb\\.\nc\n", None, &["1 a", "2 b"]);
        check("a\n\\.", None, &["1 a", "2! end-of-copy marker corrupt"]);
        check("a\n\\.x\n", None, &["1 a", "2! end-of-copy marker corrupt"]);
        check(
            "a\n\\.\r\n",
            None,
            &["1 a", "2! end-of-copy marker does not match previous newline style"],
        );
        check(
            "a\r\n\\.\n",
            None,
            &["1 a", "2! end-of-copy marker does not match previous newline style"],
        );
        check("a\r\n\\.\r\n", None, &["1 a"]);
        check("a\nb\rc\n", None, &["1 a", "2! literal carriage return found in data"]);
        check("a\r\nb\rc\r\n", None, &["1 a", "2! literal carriage return found in data"]);
        check("a\rb\nc\r", None, &["1 a", "2! literal newline found in data"]);
    }

    #[test]
    fn csv_lines() {
        check("a,\"b\nc\"\nd\n", CSV, &["1 a,\"b\nc\"", "2 d"]);
        check("x\na,\"b\nc\"\nd\n", CSV, &["1 x", "3 a,\"b\nc\"", "4 d"]);
        check("x\r\n\"b\r\nc\"\r\nd\r\n", CSV, &["1 x", "3 \"b\r\nc\"", "4 d"]);
        check("\"a\"\"\n\"\nb\n", CSV, &["1 \"a\"\"\n\"", "2 b"]);
        check("a\n\\.\nb\n", CSV, &["1 a"]);
        check("a\n\\.", CSV, &["1 a", "2 \\."]);
        check("a\n\\.b\nx\\.\n", CSV, &["1 a", "2 \\.b", "3 x\\."]);
        check("a\nb\rc\n", CSV, &["1 a", "2! unquoted carriage return found in data"]);
        check("\"a\nb", CSV, &["1 \"a\nb"]);
        let escaped = Some(Quoting { quote: b'"', escape: b'\\' });
        check("\"a\\\"\nb\"\nc\n", escaped, &["1 \"a\\\"\nb\"", "2 c"]);
        check("\"a\\\\\"\nb\n", escaped, &["1 \"a\\\\\"", "2 b"]);
        let quote = Some(Quoting { quote: b'\\', escape: b'\\' });
        check("\\a\nb\\\nc\n", quote, &["1 \\a\nb\\", "2 c"]);
    }

    #[test]
    fn a_piece_may_end_anywhere() {
        let mut seed = 7u64;
        let mut random = move |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or(0) % below
        };
        for _ in 0..4000 {
            let alphabet = b"ab,\"\"\\\\.\n\n\r";
            let data: Vec<u8> = (0..random(24)).map(|_| alphabet[random(alphabet.len())]).collect();
            let escaped = Some(Quoting { quote: b'"', escape: b'\\' });
            for quoting in [None, CSV, escaped] {
                let whole = cut(&data, quoting, 1000);
                for step in 1..4 {
                    assert_eq!(cut(&data, quoting, step), whole, "{data:?} {quoting:?} by {step}");
                }
            }
        }
    }
}
