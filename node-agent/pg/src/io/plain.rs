//! Text forms of the types that have no family file of their own: `boolean`, `oid`, `"char"`, `name`, `varchar(n)`,
//! `char(n)`, `bytea`, `uuid`.

use std::sync::Arc;

use crate::context::ByteaOutput;
use crate::error::{PgError, Result};
use crate::numeric::trim_blanks;

/// The bytes that `name` holds at most.
const NAME_BYTES_MAX: usize = 63;

/// Reads `boolean`: any beginning of `true`, `false`, `yes`, `no`, `on`, `off` that is unique, or `1` or `0`.
///
/// # Errors
/// `22P02`.
pub fn input_bool(text: &str) -> Result<bool> {
    let word = trim_blanks(text).to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        Ok(true)
    } else if word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        Ok(false)
    } else {
        Err(PgError::invalid_text("boolean", text))
    }
}

/// Reads `oid`, which takes negative numbers for the upper half.
///
/// # Errors
/// `22P02`, `22003`.
pub fn input_oid(text: &str) -> Result<u32> {
    let word = trim_blanks(text);
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    // C's `strtoul` finds the number too large before anybody looks at what follows it.
    if end > 0 && digits[..end].parse::<u64>().is_err() {
        return Err(PgError::out_of_range_text("oid", text));
    }
    if end == 0 || end < digits.len() {
        return Err(PgError::invalid_text("oid", text));
    }
    let number: i128 = word.parse().unwrap_or(i128::MAX);
    u32::try_from(number)
        .ok()
        .or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
        .ok_or_else(|| PgError::out_of_range_text("oid", text))
}

/// Reads `"char"`: the first byte, or `\ooo`.
pub fn input_char(text: &str) -> u8 {
    match text.as_bytes() {
        [b'\\', a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
            ((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0')
        }
        [first, ..] => *first,
        [] => 0,
    }
}

/// Writes `"char"`: nothing for zero, `\ooo` for a byte that is no ASCII.
pub fn output_char(value: u8, out: &mut Vec<u8>) {
    match value {
        0 => {}
        0x80.. => {
            out.extend_from_slice(format!("\\{value:03o}").as_bytes());
        }
        _ => out.push(value),
    }
}

/// Cuts text to the length of a `name`, at a character's end.
pub fn cut_name(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}

/// The `n` of `varchar(n)` or `char(n)`.
fn length_limit(typmod: i32) -> Option<usize> {
    if typmod < 4 { None } else { usize::try_from(typmod - 4).ok() }
}

/// Where the first `limit` characters end; `None` if there are no more than that.
fn excess(text: &str, limit: usize) -> Option<usize> {
    if text.len() <= limit { None } else { text.char_indices().nth(limit).map(|(at, _)| at) }
}

/// Makes text fit `varchar(n)`: an explicit cast cuts it, otherwise only blanks may be lost.
///
/// # Errors
/// `22001`.
pub fn fit_varchar(text: &Arc<str>, typmod: i32, explicit: bool) -> Result<Arc<str>> {
    let Some(limit) = length_limit(typmod) else { return Ok(text.clone()) };
    let Some(end) = excess(text, limit) else { return Ok(text.clone()) };
    if !explicit && !text[end..].bytes().all(|byte| byte == b' ') {
        return Err(PgError::new(
            "22001",
            format!("value too long for type character varying({limit})"),
        ));
    }
    Ok(Arc::from(&text[..end]))
}

/// Makes text fit `char(n)`: as [`fit_varchar`], and padded with blanks to the length.
///
/// # Errors
/// `22001`.
pub fn fit_bpchar(text: &Arc<str>, typmod: i32, explicit: bool) -> Result<Arc<str>> {
    let Some(limit) = length_limit(typmod) else { return Ok(text.clone()) };
    if let Some(end) = excess(text, limit) {
        if !explicit && !text[end..].bytes().all(|byte| byte == b' ') {
            return Err(PgError::new(
                "22001",
                format!("value too long for type character({limit})"),
            ));
        }
        return Ok(Arc::from(&text[..end]));
    }
    let missing = limit - text.chars().count();
    if missing == 0 {
        return Ok(text.clone());
    }
    let mut padded = String::with_capacity(text.len() + missing);
    padded.push_str(text);
    padded.extend(std::iter::repeat_n(' ', missing));
    Ok(Arc::from(padded))
}

/// Reads `bytea` in its hex (`\x…`) or escape form.
///
/// # Errors
/// `22023` in the hex form, `22P02` in the escape form.
pub fn input_bytea(text: &str) -> Result<Arc<[u8]>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return input_bytea_hex(digits);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Ok(Arc::from(out)),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                return Err(PgError::new("22P02", "invalid input syntax for type bytea"));
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// Reads pairs of hex digits; blanks may stand between pairs.
fn input_bytea_hex(text: &str) -> Result<Arc<[u8]>> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut characters = text.chars();
    let digit = |character: char| {
        character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(|| {
            PgError::new("22023", format!("invalid hexadecimal digit: \"{character}\""))
        })
    };
    while let Some(character) = characters.next() {
        if matches!(character, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(character)?;
        let Some(character) = characters.next() else {
            return Err(PgError::new("22023", "invalid hexadecimal data: odd number of digits"));
        };
        out.push((high << 4) | digit(character)?);
    }
    Ok(Arc::from(out))
}

/// Writes `bytea` in the asked form.
pub fn output_bytea(value: &[u8], form: ByteaOutput, out: &mut Vec<u8>) {
    match form {
        ByteaOutput::Hex => {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(hex::encode(value).as_bytes());
        }
        ByteaOutput::Escape => {
            for byte in value {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.push(*byte),
                    _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
                }
            }
        }
    }
}

/// Reads `uuid`: 32 hex digits, a hyphen allowed after every fourth, braces allowed around.
///
/// # Errors
/// `22P02`.
pub fn input_uuid(text: &str) -> Result<[u8; 16]> {
    let invalid = || PgError::invalid_text("uuid", text);
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut rest = inner.as_bytes();
    let mut uuid = [0; 16];
    for (place, byte) in uuid.iter_mut().enumerate() {
        let (pair, after) = rest.split_at_checked(2).ok_or_else(invalid)?;
        let digit = |character: u8| char::from(character).to_digit(16);
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return Err(invalid());
        };
        *byte = u8::try_from(high * 16 + low).expect("two hex digits make a byte");
        rest = match after {
            [b'-', after @ ..] if place % 2 == 1 && place < 15 => after,
            _ => after,
        };
    }
    if rest.is_empty() { Ok(uuid) } else { Err(invalid()) }
}

/// Writes `uuid`.
pub fn output_uuid(value: &[u8; 16], out: &mut Vec<u8>) {
    for (place, byte) in value.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(hex::encode([*byte]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, TypeId, TypeRef};

    fn check(id: TypeId, typmod: i32, input: &str, expected: &str) {
        let context = Context::default();
        let text = match crate::io::text::input(input, TypeRef { id, typmod }, &context) {
            Ok(value) => {
                let mut out = Vec::new();
                crate::io::text::output(&value, id, &context, &mut out);
                String::from_utf8(out).expect("output is UTF-8")
            }
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(text, expected, "for {input}");
    }

    #[test]
    fn booleans() {
        check(TypeId::BOOL, -1, " t ", "t");
        check(TypeId::BOOL, -1, "of", "f");
        check(TypeId::BOOL, -1, "YE", "t");
        check(TypeId::BOOL, -1, "o", "22P02: invalid input syntax for type boolean: \"o\"");
        check(TypeId::BOOL, -1, "", "22P02: invalid input syntax for type boolean: \"\"");
    }

    #[test]
    fn object_identifiers() {
        check(TypeId::OID, -1, "-1", "4294967295");
        check(
            TypeId::OID,
            -1,
            "4294967296",
            "22003: value \"4294967296\" is out of range for type oid",
        );
        check(TypeId::OID, -1, "", "22P02: invalid input syntax for type oid: \"\"");
    }

    #[test]
    fn single_bytes() {
        check(TypeId::CHAR, -1, "á", "\\303");
        check(TypeId::CHAR, -1, "\\101", "A");
        check(TypeId::CHAR, -1, "\\400", "");
        check(TypeId::CHAR, -1, "\\4", "\\");
        check(TypeId::CHAR, -1, "\\377", "\\377");
    }

    #[test]
    fn lengths() {
        check(TypeId::VARCHAR, 7, "abc  ", "abc");
        check(TypeId::VARCHAR, 7, "abcd", "22001: value too long for type character varying(3)");
        check(TypeId::BPCHAR, 9, "äb", "äb   ");
        check(TypeId::BPCHAR, 7, "abcd", "22001: value too long for type character(3)");
        check(TypeId::NAME, -1, &"é".repeat(40), &"é".repeat(31));
    }

    #[test]
    fn byte_strings() {
        check(TypeId::BYTEA, -1, "\\x ab cd", "\\xabcd");
        check(TypeId::BYTEA, -1, "a\\\\b\\101", "\\x615c6241");
        check(TypeId::BYTEA, -1, "\\xf", "22023: invalid hexadecimal data: odd number of digits");
        check(TypeId::BYTEA, -1, "\\xé", "22023: invalid hexadecimal digit: \"é\"");
        check(TypeId::BYTEA, -1, "a\\b", "22P02: invalid input syntax for type bytea");
        let mut out = Vec::new();
        super::output_bytea(b"a\\\x01\xff", crate::context::ByteaOutput::Escape, &mut out);
        assert_eq!(out, b"a\\\\\\001\\377");
    }

    #[test]
    fn unique_identifiers() {
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        check(TypeId::UUID, -1, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", uuid);
        check(TypeId::UUID, -1, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", uuid);
        check(TypeId::UUID, -1, "abc", "22P02: invalid input syntax for type uuid: \"abc\"");
    }
}
