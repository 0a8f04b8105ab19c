//! Text → tokens, by the rules of PostgreSQL's scanner (the manual's section 4.1).
//!
//! A failure is a token too, [`TokenKind::Invalid`]: PostgreSQL reports a grammar error that stands before it first.

use dataman_pg::PgError;

use super::keyword::{self, Keyword};

/// A token with its place.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// Its first byte in the whole string.
    pub(super) start: usize,
    /// The byte after its last one.
    pub(super) end: usize,
}

/// The kinds of token.
#[derive(Debug, Clone)]
pub(super) enum TokenKind {
    /// A word without quotes, folded to lower case, and the keyword it is.
    Word(String, Option<&'static Keyword>),
    /// A name in double quotes.
    Quoted(String),
    /// `U&"…"`, escapes not done.
    UnicodeQuoted(String),
    /// A string, escapes done.
    String(String),
    /// `U&'…'`, escapes not done.
    UnicodeString(String),
    /// `B'…'` or `X'…'`: the letter and what is between the quotes.
    Bits(char, String),
    /// A number that PostgreSQL's grammar takes for an integer: it fits in 32 bits.
    Integer(i32),
    /// Any other number, as written.
    Number(String),
    /// `$n`.
    Param(u32),
    /// An operator of more than one character or without a meaning in the grammar; `!=` is `<>` already.
    Operator(String),
    /// A character that the grammar knows: `,()[].;:+-*/%^<>=` and any that nothing begins with.
    Symbol(char),
    /// `::`.
    Typecast,
    /// `..`.
    DotDot,
    /// `:=`.
    ColonEquals,
    /// `=>`.
    EqualsGreater,
    /// What cannot be a token.
    Invalid(PgError),
    /// The end of the string.
    End,
}

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Cuts a name where PostgreSQL does.
pub(super) fn truncate_name(name: &mut String) {
    if name.len() > NAME_BYTES_MAX {
        let mut end = NAME_BYTES_MAX;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
}

/// Cuts the whole string into tokens; the last one is [`TokenKind::End`] or [`TokenKind::Invalid`].
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut lexer = Lexer { sql, bytes: sql.as_bytes(), at: 0 };
    let mut tokens = Vec::with_capacity(sql.len() / 5 + 2);
    loop {
        let start = match lexer.skip_space() {
            Ok(()) => lexer.at,
            Err((start, message)) => {
                tokens.push(lexer.invalid(start, "42601", message));
                return tokens;
            }
        };
        let kind = match lexer.token() {
            Ok(kind) => kind,
            Err(failure) => {
                let place = failure.start.unwrap_or(start);
                tokens.push(if failure.whole {
                    lexer.invalid_plain(place, failure.sqlstate, failure.message)
                } else {
                    lexer.invalid(place, failure.sqlstate, &failure.message)
                });
                return tokens;
            }
        };
        let done = matches!(kind, TokenKind::End);
        tokens.push(Token { kind, start, end: lexer.at });
        if done {
            return join_unicode(sql, tokens);
        }
    }
}

/// Does the escapes of `U&"…"` and `U&'…'`, taking in a UESCAPE that follows.
fn join_unicode(sql: &str, tokens: Vec<Token>) -> Vec<Token> {
    let unicode = |kind: &TokenKind| {
        matches!(kind, TokenKind::UnicodeQuoted(_) | TokenKind::UnicodeString(_))
    };
    if !tokens.iter().any(|token| unicode(&token.kind)) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(mut token) = rest.next() {
        if !unicode(&token.kind) {
            out.push(token);
            continue;
        }
        let mut escape = '\\';
        let mut failure = None;
        if rest
            .next_if(|next| matches!(&next.kind, TokenKind::Word(word, _) if word == "uescape"))
            .is_some()
        {
            let near = |token: Option<&Token>, message: &str| {
                let (start, end) =
                    token.map_or((sql.len(), sql.len()), |token| (token.start, token.end));
                let near = if start == end {
                    "at end of input".to_owned()
                } else {
                    format!("at or near \"{}\"", &sql[start..end])
                };
                PgError::new("42601", format!("{message} {near}")).at(position(sql, start))
            };
            match rest.next() {
                Some(Token { kind: TokenKind::String(text), start, end }) => {
                    let mut characters = text.chars();
                    match (characters.next(), characters.next()) {
                        (Some(one), None)
                            if !one.is_ascii_hexdigit()
                                && !one.is_ascii_whitespace()
                                && !"+'\"".contains(one) =>
                        {
                            escape = one;
                            token.end = end;
                        }
                        _ => {
                            let place = Token { kind: TokenKind::End, start, end };
                            failure = Some(near(Some(&place), "invalid Unicode escape character"));
                        }
                    }
                }
                other => {
                    failure = Some(near(
                        other.as_ref(),
                        "UESCAPE must be followed by a simple string literal",
                    ));
                }
            }
        }
        let body = token.start + 3;
        token.kind = match (failure, token.kind) {
            (Some(error), _) => TokenKind::Invalid(error),
            (None, TokenKind::UnicodeString(text)) => {
                match unicode_escapes(sql, body, &text, escape) {
                    Ok(text) => TokenKind::String(text),
                    Err(error) => TokenKind::Invalid(error),
                }
            }
            (None, TokenKind::UnicodeQuoted(text)) => {
                match unicode_escapes(sql, body, &text, escape) {
                    Ok(mut name) => {
                        truncate_name(&mut name);
                        TokenKind::Quoted(name)
                    }
                    Err(error) => TokenKind::Invalid(error),
                }
            }
            (None, kind) => kind,
        };
        let stop = matches!(token.kind, TokenKind::Invalid(_));
        out.push(token);
        if stop {
            return out;
        }
    }
    out
}

/// Turns a byte offset into an error position: 1-based, in characters.
pub(super) fn position(sql: &str, offset: usize) -> usize {
    sql.get(..offset).map_or(0, |before| before.chars().count()) + 1
}

struct Failure {
    sqlstate: &'static str,
    message: String,
    /// The message stands by itself, without `at or near`.
    whole: bool,
    /// Where, if not at the token's start.
    start: Option<usize>,
}

impl Failure {
    fn near(message: &str) -> Self {
        Self { sqlstate: "42601", message: message.to_owned(), whole: false, start: None }
    }
}

struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn invalid(&self, start: usize, sqlstate: &'static str, message: &str) -> Token {
        let near = self.sql.get(start..self.at).unwrap_or("");
        self.invalid_plain(start, sqlstate, format!("{message} at or near \"{near}\""))
    }

    fn invalid_plain(&self, start: usize, sqlstate: &'static str, message: String) -> Token {
        let mut error = PgError::new(sqlstate, message).at(position(self.sql, start));
        if sqlstate == "22025" {
            error = error.with_hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.");
        }
        Token { kind: TokenKind::Invalid(error), start, end: self.at }
    }

    /// Skips white space and comments.
    fn skip_space(&mut self) -> Result<(), (usize, &'static str)> {
        loop {
            match self.peek(0) {
                _ if self.at >= self.bytes.len() => return Ok(()),
                byte if is_space(byte) => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.skip_line(),
                b'/' if self.peek(1) == b'*' => {
                    let start = self.at;
                    self.at += 2;
                    let mut depth = 1;
                    while depth > 0 {
                        match (self.peek(0), self.peek(1)) {
                            _ if self.at >= self.bytes.len() => {
                                return Err((start, "unterminated /* comment"));
                            }
                            (b'*', b'/') => {
                                depth -= 1;
                                self.at += 2;
                            }
                            (b'/', b'*') => {
                                depth += 1;
                                self.at += 2;
                            }
                            _ => self.at += 1,
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.at < self.bytes.len() && !matches!(self.bytes[self.at], b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn token(&mut self) -> Result<TokenKind, Failure> {
        let byte = self.peek(0);
        if self.at >= self.bytes.len() {
            return Ok(TokenKind::End);
        }
        let next = self.peek(1);
        match byte {
            b'\'' => {
                self.at += 1;
                self.plain_string().map(TokenKind::String)
            }
            b'e' | b'E' if next == b'\'' => {
                self.at += 2;
                self.escape_string().map(TokenKind::String)
            }
            b'b' | b'B' | b'x' | b'X' if next == b'\'' => {
                self.at += 2;
                let letter = char::from(byte.to_ascii_uppercase());
                self.bit_string(letter)
            }
            // `N'…'` is `nchar '…'` to the grammar: the letter alone becomes the keyword.
            b'n' | b'N' if next == b'\'' => {
                self.at += 1;
                Ok(TokenKind::Word("nchar".to_owned(), keyword::find("nchar")))
            }
            b'u' | b'U' if next == b'&' && self.peek(2) == b'\'' => {
                self.at += 3;
                self.plain_string().map(TokenKind::UnicodeString)
            }
            b'u' | b'U' if next == b'&' && self.peek(2) == b'"' => {
                self.at += 3;
                self.quoted_name().map(TokenKind::UnicodeQuoted)
            }
            b'"' => {
                self.at += 1;
                let mut name = self.quoted_name()?;
                truncate_name(&mut name);
                Ok(TokenKind::Quoted(name))
            }
            b'$' => self.dollar(),
            b'.' if next == b'.' => {
                self.at += 2;
                Ok(TokenKind::DotDot)
            }
            b'.' if next.is_ascii_digit() => self.number(),
            b'0'..=b'9' => self.number(),
            b':' if next == b':' => {
                self.at += 2;
                Ok(TokenKind::Typecast)
            }
            b':' if next == b'=' => {
                self.at += 2;
                Ok(TokenKind::ColonEquals)
            }
            b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':' => {
                self.at += 1;
                Ok(TokenKind::Symbol(char::from(byte)))
            }
            _ if is_operator(byte) => self.operator(),
            _ if is_name_start(byte) => {
                let start = self.at;
                while self.at < self.bytes.len() && is_name_part(self.bytes[self.at]) {
                    self.at += 1;
                }
                let mut word = self.sql[start..self.at].to_ascii_lowercase();
                let keyword = keyword::find(&word);
                truncate_name(&mut word);
                Ok(TokenKind::Word(word, keyword))
            }
            _ => {
                self.at += 1;
                Ok(TokenKind::Symbol(char::from(byte)))
            }
        }
    }

    /// After the closing quote of a string: whether another piece follows on a later line. Moves to just after its opening
    /// quote.
    fn continues(&mut self) -> bool {
        let mut at = self.at;
        let mut line_end = false;
        loop {
            match self.bytes.get(at) {
                Some(b'\n' | b'\r') => {
                    line_end = true;
                    at += 1;
                }
                Some(&byte) if is_space(byte) => at += 1,
                Some(b'-') if self.bytes.get(at + 1) == Some(&b'-') => {
                    while at < self.bytes.len() && !matches!(self.bytes[at], b'\n' | b'\r') {
                        at += 1;
                    }
                }
                Some(b'\'') if line_end => {
                    self.at = at + 1;
                    return true;
                }
                _ => return false,
            }
        }
    }

    fn plain_string(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        loop {
            let Some(length) = memchr_quote(&self.bytes[self.at..], b'\'') else {
                self.at = self.bytes.len();
                return Err(Failure::near("unterminated quoted string"));
            };
            text.push_str(&self.sql[self.at..self.at + length]);
            self.at += length + 1;
            if self.peek(0) == b'\'' {
                text.push('\'');
                self.at += 1;
            } else if !self.continues() {
                return Ok(text);
            }
        }
    }

    fn bit_string(&mut self, letter: char) -> Result<TokenKind, Failure> {
        let mut text = String::new();
        loop {
            let Some(length) = memchr_quote(&self.bytes[self.at..], b'\'') else {
                self.at = self.bytes.len();
                return Err(Failure::near(if letter == 'B' {
                    "unterminated bit string literal"
                } else {
                    "unterminated hexadecimal string literal"
                }));
            };
            text.push_str(&self.sql[self.at..self.at + length]);
            self.at += length + 1;
            if !self.continues() {
                return Ok(TokenKind::Bits(letter, text));
            }
        }
    }

    fn escape_string(&mut self) -> Result<String, Failure> {
        let mut text: Vec<u8> = Vec::new();
        let mut high_surrogate: Option<u32> = None;
        let surrogate = |lexer: &Self| Failure {
            sqlstate: "42601",
            message: format!(
                "invalid Unicode surrogate pair at or near \"{}\"",
                lexer
                    .sql
                    .get(lexer.at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(String::new(), String::from)
            ),
            whole: true,
            start: Some(lexer.at),
        };
        loop {
            if self.at >= self.bytes.len() {
                return Err(Failure::near("unterminated quoted string"));
            }
            let byte = self.bytes[self.at];
            if high_surrogate.is_some() && !(byte == b'\\' && matches!(self.peek(1), b'u' | b'U')) {
                return Err(surrogate(self));
            }
            match byte {
                b'\'' if self.peek(1) == b'\'' => {
                    text.push(b'\'');
                    self.at += 2;
                }
                b'\'' => {
                    self.at += 1;
                    if !self.continues() {
                        break;
                    }
                }
                b'\\' if self.at + 1 >= self.bytes.len() => {
                    self.at += 1;
                    return Err(Failure::near("unterminated quoted string"));
                }
                b'\\' => {
                    let escape = self.bytes[self.at + 1];
                    self.at += 2;
                    match escape {
                        b'b' => text.push(8),
                        b'f' => text.push(12),
                        b'n' => text.push(b'\n'),
                        b'r' => text.push(b'\r'),
                        b't' => text.push(b'\t'),
                        b'0'..=b'7' => {
                            let mut value = u32::from(escape - b'0');
                            for _ in 0..2 {
                                if matches!(self.peek(0), b'0'..=b'7') {
                                    value = value * 8 + u32::from(self.peek(0) - b'0');
                                    self.at += 1;
                                }
                            }
                            text.push(u8::try_from(value & 0xff).expect("masked to a byte"));
                        }
                        b'x' if self.peek(0).is_ascii_hexdigit() => {
                            let mut length = 1;
                            if self.peek(1).is_ascii_hexdigit() {
                                length = 2;
                            }
                            let digits = &self.sql[self.at..self.at + length];
                            text.push(
                                u8::from_str_radix(digits, 16)
                                    .expect("one or two hexadecimal digits"),
                            );
                            self.at += length;
                        }
                        b'u' | b'U' => {
                            let start = self.at - 2;
                            let length = if escape == b'u' { 4 } else { 8 };
                            let value = self
                                .sql
                                .get(self.at..self.at + length)
                                .filter(|digits| {
                                    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
                                })
                                .and_then(|digits| u32::from_str_radix(digits, 16).ok());
                            let Some(value) = value else {
                                return Err(Failure {
                                    sqlstate: "22025",
                                    message: "invalid Unicode escape".to_owned(),
                                    whole: true,
                                    start: Some(start),
                                });
                            };
                            self.at += length;
                            match (high_surrogate.take(), value) {
                                (Some(high), 0xdc00..=0xdfff) => {
                                    let joined = 0x10000 + ((high & 0x3ff) << 10) + (value & 0x3ff);
                                    push_character(&mut text, joined);
                                }
                                (Some(_), _) | (None, 0xdc00..=0xdfff) => {
                                    self.at = start;
                                    let escape = &self.sql[start..start + 2 + length];
                                    return Err(Failure {
                                        message: format!(
                                            "invalid Unicode surrogate pair at or near \"{escape}\""
                                        ),
                                        ..surrogate(self)
                                    });
                                }
                                (None, 0xd800..=0xdbff) => high_surrogate = Some(value),
                                (None, 0) | (None, 0x11_0000..) => {
                                    self.at = start;
                                    return Err(Failure {
                                        sqlstate: "42601",
                                        message: format!(
                                            "invalid Unicode escape value at or near \"{}\"",
                                            &self.sql[start..start + 2 + length]
                                        ),
                                        whole: true,
                                        start: Some(start),
                                    });
                                }
                                (None, value) => push_character(&mut text, value),
                            }
                        }
                        other => {
                            // A character of several bytes goes on as it is.
                            text.push(other);
                        }
                    }
                }
                other => {
                    text.push(other);
                    self.at += 1;
                }
            }
        }
        let invalid = |bytes: &[u8]| Failure {
            sqlstate: "22021",
            message: format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                bytes.iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(" ")
            ),
            whole: true,
            start: None,
        };
        if text.contains(&0) {
            return Err(invalid(&[0]));
        }
        String::from_utf8(text).map_err(|error| {
            let start = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let expected = match bytes[start] {
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf7 => 4,
                _ => 1,
            };
            invalid(&bytes[start..(start + expected).min(bytes.len())])
        })
    }

    fn quoted_name(&mut self) -> Result<String, Failure> {
        let mut name = String::new();
        loop {
            let Some(length) = memchr_quote(&self.bytes[self.at..], b'"') else {
                self.at = self.bytes.len();
                return Err(Failure::near("unterminated quoted identifier"));
            };
            name.push_str(&self.sql[self.at..self.at + length]);
            self.at += length + 1;
            if self.peek(0) == b'"' {
                name.push('"');
                self.at += 1;
            } else if name.is_empty() {
                return Err(Failure::near("zero-length delimited identifier"));
            } else {
                return Ok(name);
            }
        }
    }

    fn dollar(&mut self) -> Result<TokenKind, Failure> {
        let start = self.at;
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
            let digits = self.sql[start + 1..self.at].parse::<u32>();
            if is_name_start(self.peek(0)) {
                while self.at < self.bytes.len() && is_name_part(self.bytes[self.at]) {
                    self.at += 1;
                }
                return Err(Failure::near("trailing junk after parameter"));
            }
            return Ok(TokenKind::Param(digits.unwrap_or(u32::MAX)));
        }
        let mut end = self.at + 1;
        if end < self.bytes.len() && is_name_start(self.bytes[end]) {
            while end < self.bytes.len() && is_name_part(self.bytes[end]) && self.bytes[end] != b'$'
            {
                end += 1;
            }
        }
        if self.bytes.get(end) != Some(&b'$') {
            self.at += 1;
            return Ok(TokenKind::Symbol('$'));
        }
        let tag = &self.sql[start..=end];
        let body = end + 1;
        match self.sql[body..].find(tag) {
            Some(length) => {
                self.at = body + length + tag.len();
                Ok(TokenKind::String(self.sql[body..body + length].to_owned()))
            }
            None => {
                self.at = self.bytes.len();
                Err(Failure::near("unterminated dollar-quoted string"))
            }
        }
    }

    fn number(&mut self) -> Result<TokenKind, Failure> {
        let start = self.at;
        let mut whole = true;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        // `1..10` is an integer and two dots.
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            whole = false;
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                whole = false;
                self.at += 1 + sign;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
            } else if sign == 1 {
                self.at += 2;
                return Err(Failure::near("trailing junk after numeric literal"));
            }
        }
        if is_name_start(self.peek(0)) {
            while self.at < self.bytes.len() && is_name_part(self.bytes[self.at]) {
                self.at += 1;
            }
            return Err(Failure::near("trailing junk after numeric literal"));
        }
        let text = &self.sql[start..self.at];
        if whole && let Ok(value) = text.parse::<i32>() {
            return Ok(TokenKind::Integer(value));
        }
        Ok(TokenKind::Number(text.to_owned()))
    }

    fn operator(&mut self) -> Result<TokenKind, Failure> {
        let start = self.at;
        let mut end = start;
        while end < self.bytes.len() && is_operator(self.bytes[end]) {
            end += 1;
        }
        // A comment ends it.
        if let Some(cut) = (start..end.saturating_sub(1))
            .find(|&at| matches!(&self.bytes[at..at + 2], b"--" | b"/*"))
        {
            end = cut;
        }
        // A `+` or `-` at the end belongs to what follows, unless the operator could not be an SQL standard one.
        let special = |bytes: &[u8]| bytes.iter().any(|byte| b"~!@#^&|`?%".contains(byte));
        while end - start > 1
            && matches!(self.bytes[end - 1], b'+' | b'-')
            && !special(&self.bytes[start..end - 1])
        {
            end -= 1;
        }
        self.at = end;
        let text = &self.sql[start..end];
        if text.len() > NAME_BYTES_MAX {
            return Err(Failure {
                sqlstate: "42601",
                message: "operator too long".to_owned(),
                whole: false,
                start: None,
            });
        }
        Ok(match text {
            "=>" => TokenKind::EqualsGreater,
            "!=" => TokenKind::Operator("<>".to_owned()),
            _ if text.len() == 1 && b"+-*/%^<>=".contains(&self.bytes[start]) => {
                TokenKind::Symbol(char::from(self.bytes[start]))
            }
            _ => TokenKind::Operator(text.to_owned()),
        })
    }
}

fn memchr_quote(bytes: &[u8], quote: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == quote)
}

fn push_character(text: &mut Vec<u8>, value: u32) {
    let character = char::from_u32(value).unwrap_or('\u{fffd}');
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Does the escapes of `U&'…'` and `U&"…"`; `start` is where the text between the quotes begins, for the error's position.
///
/// # Errors
/// `42601` for a bad escape.
fn unicode_escapes(sql: &str, start: usize, text: &str, escape: char) -> Result<String, PgError> {
    let mut out = String::new();
    let mut rest = text;
    let mut high_surrogate: Option<u32> = None;
    let at = |rest: &str| position(sql, start + text.len() - rest.len());
    let pair = |rest: &str| PgError::new("42601", "invalid Unicode surrogate pair").at(at(rest));
    while let Some(character) = rest.chars().next() {
        if character != escape || rest[escape.len_utf8()..].starts_with(escape) {
            if high_surrogate.is_some() {
                return Err(pair(rest));
            }
            out.push(character);
            let skip =
                if character == escape { 2 * escape.len_utf8() } else { character.len_utf8() };
            rest = &rest[skip..];
            continue;
        }
        let body = &rest[escape.len_utf8()..];
        let (digits, skip) = match body.strip_prefix('+') {
            Some(body) => (body.get(..6), 7),
            None => (body.get(..4), 4),
        };
        let value = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            return Err(PgError::new("42601", "invalid Unicode escape")
                .with_hint("Unicode escapes must be \\XXXX or \\+XXXXXX.")
                .at(at(rest)));
        };
        match (high_surrogate.take(), value) {
            (Some(high), 0xdc00..=0xdfff) => {
                let joined = 0x10000 + ((high & 0x3ff) << 10) + (value & 0x3ff);
                out.push(char::from_u32(joined).unwrap_or('\u{fffd}'));
            }
            (Some(_), _) | (None, 0xdc00..=0xdfff) => return Err(pair(rest)),
            (None, 0xd800..=0xdbff) => high_surrogate = Some(value),
            (None, 0) => {
                return Err(PgError::new("42601", "invalid Unicode escape value").at(at(rest)));
            }
            (None, value) => match char::from_u32(value) {
                Some(character) => out.push(character),
                None => {
                    return Err(PgError::new("42601", "invalid Unicode escape value").at(at(rest)));
                }
            },
        }
        rest = &body[skip..];
    }
    if high_surrogate.is_some() {
        return Err(pair(rest));
    }
    Ok(out)
}
