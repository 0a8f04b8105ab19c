//! The JSON parser: one pass over the text, events to a [`Sink`], PostgreSQL's errors.

use std::sync::Arc;

use super::Jsonb;
use crate::error::{PgError, Result};
use crate::value::Numeric;

/// The deepest nesting that is read. PostgreSQL's own limit is its stack (about 6,000 levels at the default setting);
/// ours keeps every walk over a parsed value within a small thread's stack.
pub const NESTING_MAX: usize = 1_000;

/// Receives what the parser reads, in the order of the text. Positions are byte offsets.
pub trait Sink {
    /// An object begins at `start`.
    fn object_start(&mut self, start: usize);
    /// An object's key, unescaped when [`Strings::Decoded`].
    fn key(&mut self, key: &str);
    /// The innermost object has ended; `end` is after its brace.
    fn object_end(&mut self, end: usize);
    /// An array begins at `start`.
    fn array_start(&mut self, start: usize);
    /// The innermost array has ended; `end` is after its bracket.
    fn array_end(&mut self, end: usize);
    /// A scalar: its kind, its text as given, and a string's content when [`Strings::Decoded`].
    ///
    /// # Errors
    /// What reading the scalar into its type raises.
    fn scalar(&mut self, kind: Scalar, start: usize, end: usize, string: &str) -> Result<()>;
}

/// The kinds of scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    String,
    /// A number.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
}

/// Whether strings' escapes are resolved. PostgreSQL checks surrogates and `\u0000` only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strings {
    /// Strings are only checked for their form.
    Checked,
    /// Strings are unescaped.
    Decoded,
}

/// Checks a text as `json`'s input does.
///
/// # Errors
/// `22P02` with PostgreSQL's detail.
pub fn check(text: &str) -> Result<()> {
    struct Nothing;
    impl Sink for Nothing {
        fn object_start(&mut self, _start: usize) {}
        fn key(&mut self, _key: &str) {}
        fn object_end(&mut self, _end: usize) {}
        fn array_start(&mut self, _start: usize) {}
        fn array_end(&mut self, _end: usize) {}
        fn scalar(&mut self, _: Scalar, _: usize, _: usize, _: &str) -> Result<()> {
            Ok(())
        }
    }
    parse(text, Strings::Checked, &mut Nothing)
}

/// Reads a text as `jsonb`'s input does.
///
/// # Errors
/// `22P02` and `22P05` with PostgreSQL's detail; `22003` for a number beyond `numeric`.
pub fn jsonb(text: &str) -> Result<Jsonb> {
    struct Builder<'a> {
        text: &'a str,
        open: Vec<Open>,
        done: Option<Jsonb>,
    }
    enum Open {
        Array(Vec<Jsonb>),
        Object(Vec<(Arc<str>, Jsonb)>, Option<Arc<str>>),
    }
    impl Builder<'_> {
        fn put(&mut self, value: Jsonb) {
            match self.open.last_mut() {
                None => self.done = Some(value),
                Some(Open::Array(elements)) => elements.push(value),
                Some(Open::Object(members, key)) => {
                    let key = key.take().expect("the parser gives a key before its value");
                    members.push((key, value));
                }
            }
        }
    }
    impl Sink for Builder<'_> {
        fn object_start(&mut self, _start: usize) {
            self.open.push(Open::Object(Vec::new(), None));
        }
        fn key(&mut self, text: &str) {
            if let Some(Open::Object(_, key)) = self.open.last_mut() {
                *key = Some(Arc::from(text));
            }
        }
        fn object_end(&mut self, _end: usize) {
            if let Some(Open::Object(members, _)) = self.open.pop() {
                self.put(Jsonb::object(members));
            }
        }
        fn array_start(&mut self, _start: usize) {
            self.open.push(Open::Array(Vec::new()));
        }
        fn array_end(&mut self, _end: usize) {
            if let Some(Open::Array(elements)) = self.open.pop() {
                self.put(Jsonb::Array(elements));
            }
        }
        fn scalar(&mut self, kind: Scalar, start: usize, end: usize, string: &str) -> Result<()> {
            let value = match kind {
                Scalar::String => Jsonb::String(Arc::from(string)),
                Scalar::Number => Jsonb::Number(Numeric::parse(&self.text[start..end])?),
                Scalar::True => Jsonb::Bool(true),
                Scalar::False => Jsonb::Bool(false),
                Scalar::Null => Jsonb::Null,
            };
            self.put(value);
            Ok(())
        }
    }
    let mut builder = Builder { text, open: Vec::new(), done: None };
    parse(text, Strings::Decoded, &mut builder)?;
    Ok(builder.done.expect("a text that parses holds one value"))
}

/// Reads one JSON value that fills the text.
///
/// # Errors
/// `22P02` and `22P05` with PostgreSQL's detail; `54001` for nesting beyond [`NESTING_MAX`]; what the sink raises.
pub fn parse(text: &str, strings: Strings, sink: &mut impl Sink) -> Result<()> {
    let mut lexer = Lexer::new(text, strings);
    match read(&mut lexer, sink) {
        Err(Failure::Syntax(error)) => Err(error.with_context(excerpt(text, lexer.reached))),
        Err(Failure::Sink(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// What ends the reading of a text.
enum Failure {
    /// It is no JSON.
    Syntax(PgError),
    /// The sink, or a bound, refuses it.
    Sink(PgError),
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Self::Syntax(error)
    }
}

/// The line in which reading ended, up to there, as PostgreSQL shows it: of a long one the last part.
fn excerpt(text: &str, reached: usize) -> String {
    const SHOWN_MAX: usize = 50;
    const LEFT_OUT_MIN: usize = 3;
    let reached = reached.min(text.len());
    let before = text.get(..reached).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut start = line_start;
    while before.len() - start >= SHOWN_MAX {
        start += before[start..].chars().next().map_or(1, char::len_utf8);
    }
    if start - line_start <= LEFT_OUT_MIN {
        start = line_start;
    }
    let prefix = if start > line_start { "..." } else { "" };
    let rest = text.as_bytes().get(reached);
    let suffix = if rest.is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) { "..." } else { "" };
    format!("JSON data, line {line}: {prefix}{}{suffix}", &before[start..])
}

fn read(lexer: &mut Lexer<'_>, sink: &mut impl Sink) -> std::result::Result<(), Failure> {
    #[derive(Clone, Copy)]
    enum Container {
        Object,
        Array,
    }
    let mut open = Vec::new();
    lexer.advance()?;
    'value: loop {
        if open.len() >= NESTING_MAX {
            return Err(Failure::Sink(too_deep()));
        }
        match lexer.token {
            Token::ObjectStart => {
                open.push(Container::Object);
                sink.object_start(lexer.start);
                lexer.advance()?;
                match lexer.token {
                    Token::Scalar(Scalar::String) => {
                        lexer.key(sink)?;
                        continue 'value;
                    }
                    Token::ObjectEnd => {}
                    _ => return Err(lexer.expected("string or \"}\"").into()),
                }
            }
            Token::ArrayStart => {
                open.push(Container::Array);
                sink.array_start(lexer.start);
                lexer.advance()?;
                if lexer.token != Token::ArrayEnd {
                    continue 'value;
                }
            }
            Token::Scalar(kind) => {
                let (start, end) = (lexer.start, lexer.end);
                let string = std::mem::take(&mut lexer.string);
                lexer.advance()?;
                sink.scalar(kind, start, end, &string).map_err(Failure::Sink)?;
            }
            _ => return Err(lexer.expected("JSON value").into()),
        }
        // A value has ended, or an empty container is about to.
        loop {
            match (open.last(), lexer.token) {
                (None, Token::End) => return Ok(()),
                (None, _) => return Err(lexer.expected("end of input").into()),
                (Some(Container::Object), Token::Comma) => {
                    lexer.advance()?;
                    lexer.key(sink)?;
                    continue 'value;
                }
                (Some(Container::Object), Token::ObjectEnd) => {
                    sink.object_end(lexer.end);
                    open.pop();
                    lexer.advance()?;
                }
                (Some(Container::Object), _) => {
                    return Err(lexer.expected("\",\" or \"}\"").into());
                }
                (Some(Container::Array), Token::Comma) => {
                    lexer.advance()?;
                    continue 'value;
                }
                (Some(Container::Array), Token::ArrayEnd) => {
                    sink.array_end(lexer.end);
                    open.pop();
                    lexer.advance()?;
                }
                (Some(Container::Array), _) => return Err(lexer.expected("\",\" or \"]\"").into()),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    Scalar(Scalar),
}

struct Lexer<'a> {
    text: &'a str,
    strings: Strings,
    token: Token,
    start: usize,
    end: usize,
    string: String,
    /// How far reading got: behind what an error is about.
    reached: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, strings: Strings) -> Self {
        let string = String::new();
        Self { text, strings, token: Token::End, start: 0, end: 0, string, reached: 0 }
    }

    /// Reads the key at the current token and the colon after it.
    fn key(&mut self, sink: &mut impl Sink) -> Result<()> {
        if self.token != Token::Scalar(Scalar::String) {
            return Err(self.expected("string"));
        }
        let (start, end) = (self.start, self.end);
        let string = std::mem::take(&mut self.string);
        self.advance()?;
        if self.token != Token::Colon {
            return Err(self.expected("\":\""));
        }
        match self.strings {
            Strings::Decoded => sink.key(&string),
            Strings::Checked => sink.key(&self.text[start..end]),
        }
        self.advance()
    }

    fn advance(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = self.end;
        while at < bytes.len() && matches!(bytes[at], b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        self.start = at;
        let single = |token| (token, at + 1);
        let (token, end) = match bytes.get(at) {
            None => (Token::End, at),
            Some(b'{') => single(Token::ObjectStart),
            Some(b'}') => single(Token::ObjectEnd),
            Some(b'[') => single(Token::ArrayStart),
            Some(b']') => single(Token::ArrayEnd),
            Some(b',') => single(Token::Comma),
            Some(b':') => single(Token::Colon),
            Some(b'"') => (Token::Scalar(Scalar::String), self.read_string(at)?),
            Some(b'-' | b'0'..=b'9') => (Token::Scalar(Scalar::Number), self.read_number(at)?),
            Some(_) => {
                let end = self.word_end(at);
                let scalar = match &bytes[at..end] {
                    b"true" => Scalar::True,
                    b"false" => Scalar::False,
                    b"null" => Scalar::Null,
                    // A byte that starts no token and no word stands alone.
                    _ => return Err(self.invalid_token(at, end.max(at + 1))),
                };
                (Token::Scalar(scalar), end)
            }
        };
        self.token = token;
        self.end = end;
        self.reached = end;
        Ok(())
    }

    fn word_end(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        bytes[start..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |n| start + n)
    }

    fn read_number(&mut self, start: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut valid = true;
        let mut at = start + usize::from(bytes[start] == b'-');
        match bytes.get(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at = digits(at),
            _ => valid = false,
        }
        if valid && bytes.get(at) == Some(&b'.') {
            let end = digits(at + 1);
            valid = end > at + 1;
            at = end;
        }
        if valid && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let end = digits(at);
            valid = end > at;
            at = end;
        }
        let end = self.word_end(at);
        if valid && end == at { Ok(at) } else { Err(self.invalid_token(start, end)) }
    }

    /// Reads the string whose quote is at `start`; its content goes to `self.string` when decoded.
    fn read_string(&mut self, start: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let decoded = self.strings == Strings::Decoded;
        let mut string = String::new();
        let mut high_surrogate: Option<u32> = None;
        let lone_surrogate = || syntax_error("Unicode low surrogate must follow a high surrogate.");
        let mut at = start + 1;
        loop {
            self.reached = at;
            let run = bytes[at..]
                .iter()
                .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
                .map_or(bytes.len(), |n| at + n);
            if run > at {
                self.reached = at + self.text[at..].chars().next().map_or(0, char::len_utf8);
                if high_surrogate.is_some() {
                    return Err(lone_surrogate());
                }
                if decoded {
                    string.push_str(&self.text[at..run]);
                }
                at = run;
            }
            self.reached = (at + 1).min(bytes.len());
            match bytes.get(at) {
                None => return Err(self.invalid_token(start, at)),
                Some(b'"') => break,
                Some(b'\\') => {}
                Some(control) => {
                    self.reached = at;
                    return Err(syntax_error(format!(
                        "Character with value 0x{control:02x} must be escaped."
                    )));
                }
            }
            at += 1;
            let simple = match bytes.get(at) {
                None => return Err(self.invalid_token(start, at)),
                Some(b'u') => {
                    let code = self.read_hex(start, at)?;
                    at += 5;
                    self.reached = at;
                    if !decoded {
                        continue;
                    }
                    match (code, high_surrogate) {
                        (0xd800..0xdc00, Some(_)) => {
                            return Err(syntax_error(
                                "Unicode high surrogate must not follow a high surrogate.",
                            ));
                        }
                        (0xd800..0xdc00, None) => high_surrogate = Some(code),
                        (0xdc00..0xe000, Some(high)) => {
                            let joined = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
                            string.push(
                                char::from_u32(joined).expect("a surrogate pair is a character"),
                            );
                            high_surrogate = None;
                        }
                        (0xdc00..0xe000, None) | (_, Some(_)) => return Err(lone_surrogate()),
                        (0, None) => {
                            return Err(PgError::new(
                                "22P05",
                                "unsupported Unicode escape sequence",
                            )
                            .with_detail("\\u0000 cannot be converted to text."));
                        }
                        (code, None) => string
                            .push(char::from_u32(code).expect("no surrogate reaches this arm")),
                    }
                    continue;
                }
                Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(_) => {
                    self.reached = at + self.text[at..].chars().next().map_or(0, char::len_utf8);
                    if decoded && high_surrogate.is_some() {
                        return Err(lone_surrogate());
                    }
                    let escaped: String = self.text[at..].chars().take(1).collect();
                    return Err(syntax_error(format!(
                        "Escape sequence \"\\{escaped}\" is invalid."
                    )));
                }
            };
            self.reached = at + 1;
            if decoded {
                if high_surrogate.is_some() {
                    return Err(lone_surrogate());
                }
                string.push(simple);
            }
            at += 1;
        }
        if high_surrogate.is_some() {
            return Err(lone_surrogate());
        }
        self.string = string;
        Ok(at + 1)
    }

    /// Reads the four digits after the `u` at `at`.
    fn read_hex(&mut self, start: usize, at: usize) -> Result<u32> {
        let mut code = 0;
        for offset in 1..=4 {
            let Some(byte) = self.text.as_bytes().get(at + offset) else {
                return Err(self.invalid_token(start, self.text.len()));
            };
            let Some(digit) = char::from(*byte).to_digit(16) else {
                let place = at + offset;
                self.reached = place + self.text[place..].chars().next().map_or(0, char::len_utf8);
                return Err(syntax_error("\"\\u\" must be followed by four hexadecimal digits."));
            };
            code = code * 16 + digit;
        }
        Ok(code)
    }

    fn invalid_token(&mut self, start: usize, end: usize) -> PgError {
        self.reached = end;
        syntax_error(format!("Token \"{}\" is invalid.", &self.text[start..end]))
    }

    fn expected(&self, what: &str) -> PgError {
        if self.token == Token::End {
            return syntax_error("The input string ended unexpectedly.");
        }
        let found = &self.text[self.start..self.end];
        syntax_error(format!("Expected {what}, but found \"{found}\"."))
    }
}

fn syntax_error(detail: impl Into<std::borrow::Cow<'static, str>>) -> PgError {
    PgError::new("22P02", "invalid input syntax for type json").with_detail(detail)
}

fn too_deep() -> PgError {
    PgError::new("54001", "stack depth limit exceeded")
        .with_hint("JSON values may be nested 1000 levels deep.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `jsonb` prints for the text, or the error's detail.
    fn check_jsonb(text: &str, expected: &str) {
        let answer = match jsonb(text) {
            Ok(value) => value.to_text(),
            Err(error) => error.detail().unwrap_or(error.message()).to_owned(),
        };
        assert_eq!(answer, expected, "{text}");
    }

    #[test]
    fn values_are_normalized() {
        check_jsonb(r#"{"bb":1, "a":[true,null , {}], "a":2}"#, r#"{"a": 2, "bb": 1}"#);
        check_jsonb(
            r#"[1.50, -0, 1e3, 1.5e-2, 12e-1, "\u00e9\ud83d\ude00\/\u0001"]"#,
            "[1.50, 0, 1000, 0.015, 1.2, \"é😀/\\u0001\"]",
        );
        check_jsonb(" [ ] ", "[]");
        check_jsonb("-0.0", "0.0");
    }

    #[test]
    fn errors_have_postgres_details() {
        check_jsonb("", "The input string ended unexpectedly.");
        check_jsonb("{", "The input string ended unexpectedly.");
        check_jsonb("[1,]", "Expected JSON value, but found \"]\".");
        check_jsonb("{,}", "Expected string or \"}\", but found \",\".");
        check_jsonb(r#"{"a" 1}"#, "Expected \":\", but found \"1\".");
        check_jsonb(r#"{"a":1 2}"#, "Expected \",\" or \"}\", but found \"2\".");
        check_jsonb(r#"{"a":1,2}"#, "Expected string, but found \"2\".");
        check_jsonb("1 2", "Expected end of input, but found \"2\".");
        check_jsonb("nul", "Token \"nul\" is invalid.");
        check_jsonb("01a", "Token \"01a\" is invalid.");
        check_jsonb("-x", "Token \"-x\" is invalid.");
        check_jsonb("'a'", "Token \"'\" is invalid.");
        check_jsonb("\"abc", "Token \"\"abc\" is invalid.");
        check_jsonb(r#""\q""#, "Escape sequence \"\\q\" is invalid.");
        check_jsonb(r#""\u12g4""#, "\"\\u\" must be followed by four hexadecimal digits.");
        check_jsonb(r#""\u0000""#, "\\u0000 cannot be converted to text.");
        check_jsonb(r#""\ud800x""#, "Unicode low surrogate must follow a high surrogate.");
        check_jsonb("\"a\nb\"", "Character with value 0x0a must be escaped.");
        check_jsonb("1e200000", "value overflows numeric format");
    }

    #[test]
    fn json_checks_only_the_form_of_strings() {
        assert!(check(r#""\u0000\ud800""#).is_ok());
        assert!(check(r#""\u00""#).is_err());
    }
}
