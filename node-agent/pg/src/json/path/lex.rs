//! The words of a path.

use std::sync::Arc;

use crate::error::{PgError, Result};

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A key word or a key without quotes.
    Word(Arc<str>),
    /// A text in quotes.
    String(Arc<str>),
    /// `$name`, `$"name"`.
    Variable(Arc<str>),
    /// A number, as it is written.
    Number(Arc<str>),
    /// One of the signs.
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "&&", "||", "==", "<>", "!=", "<=", ">=", "**", "=", "<", ">", "!", "?", "%", "$", ".", "[",
    "]", "{", "}", "(", ")", "@", "#", ",", "*", ":", "-", "+", "/",
];

/// The words of a text, each with where it begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let start = at;
        let rest = &text[at..];
        if is_blank(first) {
            at += 1;
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| near(text, text.len()))?;
            at += end + 4;
            continue;
        }
        let token = if first == '"' {
            let (string, end) = quoted(text, at + 1)?;
            at = end;
            Token::String(string.into())
        } else if first == '$' && rest[1..].starts_with('"') {
            let (string, end) = quoted(text, at + 2)?;
            at = end;
            Token::Variable(string.into())
        } else if first == '$' && rest[1..].starts_with(is_plain) {
            let (word, end) = plain(text, at + 1)?;
            at = end;
            Token::Variable(word.into())
        } else if let Some(length) = number_length(rest) {
            at += length;
            // A number and a name must not run into one another.
            if text[at..].starts_with(is_plain) {
                return Err(PgError::new(
                    "42601",
                    format!(
                        "trailing junk after numeric literal at or near \"{}\" of jsonpath input",
                        junk(rest, length)
                    ),
                ));
            }
            Token::Number(rest[..length].into())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            let (word, end) = plain(text, at)?;
            at = end;
            Token::Word(word.into())
        };
        tokens.push((start, token));
    }
    Ok(tokens)
}

/// The error at a place of the text.
pub(super) fn near(text: &str, at: usize) -> PgError {
    if at >= text.len() {
        return PgError::new("42601", "syntax error at end of jsonpath input");
    }
    let shown = match tokens(&text[at..]).ok().and_then(|tokens| tokens.get(1).map(|(end, _)| *end))
    {
        Some(end) => text[at..at + end].trim_end(),
        None => text[at..].trim_end(),
    };
    PgError::new("42601", format!("syntax error at or near \"{shown}\" of jsonpath input"))
}

fn junk(rest: &str, length: usize) -> &str {
    let after = rest[length..].chars().next().map_or(0, char::len_utf8);
    &rest[..length + after]
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// A character of a name without quotes.
fn is_plain(character: char) -> bool {
    !is_blank(character) && !"?%$.[]{}()|&!=<>@#,*:-+/\"".contains(character)
}

fn plain(text: &str, start: usize) -> Result<(String, usize)> {
    let mut word = String::new();
    let mut at = start;
    while let Some(character) = text[at..].chars().next().filter(|c| is_plain(*c)) {
        if character == '\\' {
            at = escape(text, at + 1, &mut word)?;
        } else {
            word.push(character);
            at += character.len_utf8();
        }
    }
    if at == start { Err(near(text, start)) } else { Ok((word, at)) }
}

fn quoted(text: &str, start: usize) -> Result<(String, usize)> {
    let mut string = String::new();
    let mut at = start;
    loop {
        match text[at..].chars().next() {
            None => {
                let message = format!(
                    "unterminated quoted string at or near \"{}\" of jsonpath input",
                    &text[start - 1..]
                );
                return Err(PgError::new("42601", message));
            }
            Some('"') => return Ok((string, at + 1)),
            Some('\\') => at = escape(text, at + 1, &mut string)?,
            Some(other) => {
                string.push(other);
                at += other.len_utf8();
            }
        }
    }
}

/// What follows a backslash; gives where the text goes on.
fn escape(text: &str, at: usize, out: &mut String) -> Result<usize> {
    let invalid = || PgError::unsupported("this escape in a jsonpath is not supported");
    let letter = text[at..].chars().next().ok_or_else(invalid)?;
    let simple = match letter {
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' | 'u' => {
            let rest = &text[at + 1..];
            let (digits, length) = match rest.strip_prefix('{') {
                Some(braced) if letter == 'u' => {
                    let end =
                        braced.find('}').filter(|end| (1..=6).contains(end)).ok_or_else(invalid)?;
                    (&braced[..end], end + 2)
                }
                _ => {
                    let length = if letter == 'u' { 4 } else { 2 };
                    (rest.get(..length).ok_or_else(invalid)?, length)
                }
            };
            let code = u32::from_str_radix(digits, 16).map_err(|_| invalid())?;
            let character = char::from_u32(code).filter(|c| *c != '\0').ok_or_else(invalid)?;
            out.push(character);
            return Ok(at + 1 + length);
        }
        other => other,
    };
    out.push(simple);
    Ok(at + letter.len_utf8())
}

/// How long the number at the start of a text is.
fn number_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    // A zero stands alone before the point.
    let whole = if bytes.first() == Some(&b'0') { 1 } else { digits(0) };
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') && (whole > 0 || digits(1) > 0) {
        end += 1 + digits(end + 1);
    }
    if end == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}
