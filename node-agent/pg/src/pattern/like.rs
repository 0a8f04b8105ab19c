//! LIKE and ILIKE over text and bytes (the manual's section 9.7.1).

use crate::arguments::{bytes, text};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("textlike", |_, args| text_like(args).map(Value::Bool)),
    entry("textnlike", |_, args| text_like(args).map(|found| Value::Bool(!found))),
    entry("namelike", |_, args| text_like(args).map(Value::Bool)),
    entry("namenlike", |_, args| text_like(args).map(|found| Value::Bool(!found))),
    entry("texticlike", |_, args| text_like_folded(args).map(Value::Bool)),
    entry("texticnlike", |_, args| text_like_folded(args).map(|found| Value::Bool(!found))),
    entry("nameiclike", |_, args| text_like_folded(args).map(Value::Bool)),
    entry("nameicnlike", |_, args| text_like_folded(args).map(|found| Value::Bool(!found))),
    entry("bytealike", |_, args| {
        like(bytes(args, 0)?, bytes(args, 1)?, Unit::Byte).map(Value::Bool)
    }),
    entry("byteanlike", |_, args| {
        like(bytes(args, 0)?, bytes(args, 1)?, Unit::Byte).map(|found| Value::Bool(!found))
    }),
    entry("like_escape", |_, args| {
        let escaped =
            escape(text(args, 0)?.as_bytes(), text(args, 1)?.as_bytes(), Unit::Character)?;
        Ok(Value::text(String::from_utf8(escaped).expect("whole characters are copied")))
    }),
    entry("like_escape_bytea", |_, args| {
        let escaped = escape(bytes(args, 0)?, bytes(args, 1)?, Unit::Byte)?;
        Ok(Value::Bytea(escaped.into()))
    }),
];

/// What `_` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Character,
}

impl Unit {
    /// The length of the unit that starts with this byte.
    fn length(self, first: u8) -> usize {
        match (self, first) {
            (Self::Byte, _) | (_, 0..0xc0) => 1,
            (_, 0xc0..0xe0) => 2,
            (_, 0xe0..0xf0) => 3,
            (_, 0xf0..) => 4,
        }
    }
}

fn text_like(args: &[Value]) -> Result<bool> {
    like(text(args, 0)?.as_bytes(), text(args, 1)?.as_bytes(), Unit::Character)
}

fn text_like_folded(args: &[Value]) -> Result<bool> {
    let (source, pattern) = (text(args, 0)?, text(args, 1)?);
    like(
        source.to_ascii_lowercase().as_bytes(),
        pattern.to_ascii_lowercase().as_bytes(),
        Unit::Character,
    )
}

fn ends_with_escape() -> PgError {
    PgError::new("22025", "LIKE pattern must not end with escape character")
}

/// Matches with `\` as the escape character. Only the last `%` is ever tried again: when what follows it cannot match
/// anywhere, no earlier one can help. An escape character at the pattern's end is an error only where matching gets there.
fn like(source: &[u8], pattern: &[u8], unit: Unit) -> Result<bool> {
    let (mut at, mut place) = (0, 0);
    // Where the text after the last `%` was last matched from, the pattern's place, and the byte that starts it.
    let mut retry: Option<(usize, usize, u8)> = None;
    loop {
        let matched = match (source.get(at), pattern.get(place)) {
            (None, _) => return Ok(pattern[place..].iter().all(|byte| *byte == b'%')),
            (Some(_), None) => false,
            (Some(byte), Some(b'\\')) => {
                let wanted = pattern.get(place + 1).ok_or_else(ends_with_escape)?;
                place += 2;
                at += 1;
                wanted == byte
            }
            (Some(_), Some(b'%')) => {
                place += 1;
                while let Some(wildcard @ (b'%' | b'_')) = pattern.get(place) {
                    if *wildcard == b'_' {
                        let Some(first) = source.get(at) else { return Ok(false) };
                        at += unit.length(*first);
                    }
                    place += 1;
                }
                let first = match pattern.get(place) {
                    None => return Ok(true),
                    Some(b'\\') => *pattern.get(place + 1).ok_or_else(ends_with_escape)?,
                    Some(byte) => *byte,
                };
                let Some(found) = seek(source, at, first, unit) else { return Ok(false) };
                retry = Some((found, place, first));
                at = found;
                true
            }
            (Some(first), Some(b'_')) => {
                at += unit.length(*first);
                place += 1;
                true
            }
            (Some(byte), Some(wanted)) => {
                at += 1;
                place += 1;
                byte == wanted
            }
        };
        if matched {
            continue;
        }
        let Some((from, start, first)) = retry else { return Ok(false) };
        let next = from + unit.length(source[from]);
        let Some(found) = seek(source, next, first, unit) else { return Ok(false) };
        retry = Some((found, start, first));
        at = found;
        place = start;
    }
}

/// The next unit from `at` on that starts with the byte.
fn seek(source: &[u8], at: usize, first: u8, unit: Unit) -> Option<usize> {
    if unit == Unit::Byte || !(0x80..0xc0).contains(&first) {
        // A byte that starts a character never stands inside one.
        return memchr::memchr(first, source.get(at..)?).map(|offset| at + offset);
    }
    None
}

/// Rewrites a pattern from its own escape character to `\`.
fn escape(pattern: &[u8], escape: &[u8], unit: Unit) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(pattern.len() + 8);
    let Some(first) = escape.first() else {
        for &byte in pattern {
            if byte == b'\\' {
                out.push(b'\\');
            }
            out.push(byte);
        }
        return Ok(out);
    };
    if unit.length(*first) != escape.len() {
        return Err(PgError::new("22025", "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    if escape == b"\\" {
        return Ok(pattern.to_vec());
    }
    let mut after_escape = false;
    let mut rest = pattern;
    while let Some(first) = rest.first() {
        let (character, after) = rest.split_at(unit.length(*first).min(rest.len()));
        rest = after;
        if character == escape && !after_escape {
            out.push(b'\\');
            after_escape = true;
            continue;
        }
        if character == b"\\" && !after_escape {
            out.push(b'\\');
        }
        out.extend_from_slice(character);
        after_escape = false;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn wildcards() {
        check("textlike", &["t:abc", "t:a%"], "true");
        check("textlike", &["t:abc", "t:_b_"], "true");
        check("textlike", &["t:žluť", "t:__u_"], "true");
        check("textlike", &["t:abc", "t:c"], "false");
        check("textlike", &["t:", "t:%%"], "true");
        check("textlike", &["t:aXbXc", "t:%X_"], "true");
        check("textlike", &["t:aXbXcd", "t:%X_"], "false");
        check("textlike", &["t:abab", "t:%_ab"], "true");
        check("textlike", &["t:hawkeye", "t:h%eye%"], "true");
        check("textlike", &["c:ab  ", "t:ab"], "false");
        check("texticlike", &["t:ABé", "t:abÉ"], "false");
        check("texticlike", &["t:ABé", "t:aBé"], "true");
        check("bytealike", &["x:c3a9", "x:5f5f"], "true");
    }

    #[test]
    fn escapes() {
        check("textlike", &["t:h%", "t:h\\%"], "true");
        check("textlike", &["t:a", "t:b\\"], "false");
        check(
            "textlike",
            &["t:a", "t:\\"],
            "ERROR 22025: LIKE pattern must not end with escape character",
        );
        check("textlike", &["t:a", "t:a\\"], "false");
        check("like_escape", &["t:a\\b#%##", "t:#"], "a\\\\b\\%\\#");
        check("like_escape", &["t:a", "t:##"], "ERROR 22025: invalid escape string");
        check("like_escape", &["t:a\\", "t:"], "a\\\\");
    }
}
