//! `bytea`: functions and the text encodings of `encode` and `decode` (the manual's section 9.5).

use crate::arguments::{bytes, count, int4, int8, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::io::plain;
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("byteacat", |_, args| Ok(bytea([bytes(args, 0)?, bytes(args, 1)?].concat()))),
    entry("byteaoctetlen", |_, args| Ok(count(bytes(args, 0)?.len()))),
    entry("length_in_encoding", length_in_encoding),
    entry("bytea_substr", |_, args| {
        substring(bytes(args, 0)?, int4(args, 1)?, Some(int4(args, 2)?)).map(bytea)
    }),
    entry("bytea_substr_no_len", |_, args| {
        substring(bytes(args, 0)?, int4(args, 1)?, None).map(bytea)
    }),
    entry("byteaoverlay", |_, args| {
        overlay(bytes(args, 0)?, bytes(args, 1)?, int4(args, 2)?, int4(args, 3)?)
    }),
    entry("byteaoverlay_no_len", |_, args| {
        let replacement = bytes(args, 1)?;
        let length = i32::try_from(replacement.len()).unwrap_or(i32::MAX);
        overlay(bytes(args, 0)?, replacement, int4(args, 2)?, length)
    }),
    entry("byteapos", |_, args| {
        let found = memchr::memmem::find(bytes(args, 0)?, bytes(args, 1)?);
        Ok(count(found.map_or(0, |offset| offset + 1)))
    }),
    entry("byteatrim", |_, args| trim(args, true, true)),
    entry("bytealtrim", |_, args| trim(args, true, false)),
    entry("byteartrim", |_, args| trim(args, false, true)),
    entry("byteaGetByte", |_, args| {
        let source = bytes(args, 0)?;
        let index = checked_index(i64::from(int4(args, 1)?), source.len())?;
        Ok(Value::Int4(i32::from(source[index])))
    }),
    entry("byteaSetByte", |_, args| {
        let mut changed = bytes(args, 0)?.to_vec();
        let index = checked_index(i64::from(int4(args, 1)?), changed.len())?;
        // Only the low byte of the new value counts.
        changed[index] = int4(args, 2)?.to_le_bytes()[0];
        Ok(bytea(changed))
    }),
    entry("byteaGetBit", |_, args| {
        let source = bytes(args, 0)?;
        let index = checked_index(int8(args, 1)?, source.len() * 8)?;
        Ok(Value::Int4(i32::from(source[index / 8] >> (index % 8) & 1)))
    }),
    entry("byteaSetBit", |_, args| {
        let mut changed = bytes(args, 0)?.to_vec();
        let index = checked_index(int8(args, 1)?, changed.len() * 8)?;
        let mask = 1 << (index % 8);
        match int4(args, 2)? {
            0 => changed[index / 8] &= !mask,
            1 => changed[index / 8] |= mask,
            _ => return Err(PgError::new("22023", "new bit must be 0 or 1")),
        }
        Ok(bytea(changed))
    }),
    entry("bytea_bit_count", |_, args| {
        let bits: i64 = bytes(args, 0)?.iter().map(|byte| i64::from(byte.count_ones())).sum();
        Ok(Value::Int8(bits))
    }),
    entry("binary_encode", |_, args| encode(bytes(args, 0)?, text(args, 1)?).map(Value::text)),
    entry("binary_decode", |_, args| decode(text(args, 0)?, text(args, 1)?).map(bytea)),
];

fn bytea(bytes: impl Into<std::sync::Arc<[u8]>>) -> Value {
    Value::Bytea(bytes.into())
}

/// PostgreSQL's encodings but UTF-8, as their names are compared: in lower case, without punctuation.
const OTHER_ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "big5",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "mskanji",
    "muleinternal",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "sqlascii",
    "tcvn",
    "tcvn5712",
    "uhc",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

fn length_in_encoding(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let name = text(args, 1)?;
    let compared: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    match compared.as_str() {
        "utf8" | "unicode" => Ok(count(crate::io::binary::utf8(bytes(args, 0)?)?.chars().count())),
        other if OTHER_ENCODINGS.contains(&other) => {
            Err(PgError::unsupported(format!("the encoding {name} is not read here")))
        }
        _ => Err(PgError::new("22023", format!("invalid encoding name \"{name}\""))),
    }
}

fn checked_index(index: i64, length: usize) -> Result<usize> {
    usize::try_from(index).ok().filter(|index| *index < length).ok_or_else(|| {
        let last = i64::try_from(length).unwrap_or(i64::MAX) - 1;
        PgError::new("2202E", format!("index {index} out of valid range, 0..{last}"))
    })
}

fn substring(source: &[u8], start: i32, length: Option<i32>) -> Result<&[u8]> {
    let size = |count: i32| usize::try_from(count).unwrap_or(0);
    let first = start.max(1);
    let rest = source.get(size(first - 1)..).unwrap_or(&[]);
    let Some(length) = length else { return Ok(rest) };
    if length < 0 {
        return Err(PgError::new("22011", "negative substring length not allowed"));
    }
    let Some(end) = start.checked_add(length) else { return Ok(rest) };
    Ok(&rest[..size(end.saturating_sub(first)).min(rest.len())])
}

fn overlay(source: &[u8], replacement: &[u8], start: i32, length: i32) -> Result<Value> {
    if start <= 0 {
        return Err(PgError::new("22011", "negative substring length not allowed"));
    }
    let end = start.checked_add(length).ok_or_else(|| PgError::out_of_range("integer"))?;
    let before = substring(source, 1, Some(start - 1))?;
    let after = substring(source, end, None)?;
    Ok(bytea([before, replacement, after].concat()))
}

fn trim(args: &[Value], start: bool, end: bool) -> Result<Value> {
    let mut rest = bytes(args, 0)?;
    let set = bytes(args, 1)?;
    while start && rest.first().is_some_and(|byte| set.contains(byte)) {
        rest = &rest[1..];
    }
    while end && rest.last().is_some_and(|byte| set.contains(byte)) {
        rest = &rest[..rest.len() - 1];
    }
    Ok(bytea(rest))
}

const BASE64_DIGITS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// After so many characters `encode` breaks a base64 line.
const BASE64_LINE: usize = 76;

fn unknown_encoding(name: &str) -> PgError {
    PgError::new("22023", format!("unrecognized encoding: \"{name}\""))
}

fn encode(source: &[u8], encoding: &str) -> Result<String> {
    match encoding.to_ascii_lowercase().as_str() {
        "hex" => Ok(hex::encode(source)),
        "base64" => Ok(encode_base64(source)),
        "escape" => Ok(encode_escape(source)),
        _ => Err(unknown_encoding(encoding)),
    }
}

fn decode(source: &str, encoding: &str) -> Result<Vec<u8>> {
    match encoding.to_ascii_lowercase().as_str() {
        "hex" => plain::input_bytea(&format!("\\x{source}")).map(|bytes| bytes.to_vec()),
        "base64" => decode_base64(source),
        // A text that looks like the hex form is not one here.
        "escape" if source.starts_with("\\x") => {
            Err(PgError::new("22P02", "invalid input syntax for type bytea"))
        }
        "escape" => plain::input_bytea(source).map(|bytes| bytes.to_vec()),
        _ => Err(unknown_encoding(encoding)),
    }
}

fn encode_base64(source: &[u8]) -> String {
    let mut out = String::with_capacity(source.len() / 3 * 4 + source.len() / 57 + 4);
    let mut line = 0;
    for chunk in source.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place > chunk.len() {
                out.push('=');
            } else {
                let digit = (group >> (18 - 6 * place)) & 63;
                out.push(char::from(BASE64_DIGITS[digit as usize]));
            }
        }
        line += 4;
        // The break comes as soon as a line is full, but never before a group that is cut short.
        if line >= BASE64_LINE && chunk.len() == 3 {
            out.push('\n');
            line = 0;
        }
    }
    out
}

fn decode_base64(source: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(source.len() / 4 * 3);
    let mut group = 0_u32;
    let mut place = 0;
    // How many bytes the padded group holds; PostgreSQL keeps it for any groups that follow.
    let mut padded_bytes: Option<usize> = None;
    for character in source.chars() {
        let digit = match character {
            ' ' | '\t' | '\n' | '\r' => continue,
            '=' => {
                if padded_bytes.is_none() {
                    padded_bytes = match place {
                        2 => Some(1),
                        3 => Some(2),
                        _ => {
                            return Err(PgError::new(
                                "22023",
                                "unexpected \"=\" while decoding base64 sequence",
                            ));
                        }
                    };
                }
                0
            }
            character => {
                let digit = BASE64_DIGITS.iter().position(|digit| char::from(*digit) == character);
                digit.and_then(|digit| u32::try_from(digit).ok()).ok_or_else(|| {
                    PgError::new(
                        "22023",
                        format!(
                            "invalid symbol \"{character}\" found while decoding base64 sequence"
                        ),
                    )
                })?
            }
        };
        group = group << 6 | digit;
        place += 1;
        if place == 4 {
            out.extend_from_slice(&group.to_be_bytes()[1..][..padded_bytes.unwrap_or(3)]);
            group = 0;
            place = 0;
        }
    }
    match place {
        0 => Ok(out),
        _ => Err(PgError::new("22023", "invalid base64 end sequence")
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted.")),
    }
}

/// Only zero bytes, bytes beyond ASCII and backslashes are escaped, unlike in `bytea`'s own escape output.
fn encode_escape(source: &[u8]) -> String {
    let mut out = String::with_capacity(source.len());
    for &byte in source {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
            byte => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn encodings() {
        check("binary_encode", &["x:00ff5c41", "t:escape"], "\\000\\377\\\\A");
        check("binary_encode", &["x:616263", "t:BASE64"], "YWJj");
        check("binary_encode", &["x:61", "t:base64"], "YQ==");
        check("binary_decode", &["t:YQ==YQ==", "t:base64"], "6161");
        check("binary_decode", &["t:Y Q=\n=", "t:base64"], "61");
        check(
            "binary_decode",
            &["t:a=bc", "t:base64"],
            "ERROR 22023: unexpected \"=\" while decoding base64 sequence",
        );
        check("binary_decode", &["t:abc", "t:base64"], "ERROR 22023: invalid base64 end sequence");
        check(
            "binary_decode",
            &["t:abc", "t:hex"],
            "ERROR 22023: invalid hexadecimal data: odd number of digits",
        );
        check("binary_decode", &["t:\\101\\\\", "t:escape"], "415c");
        check("binary_decode", &["t:x", "t:foo"], "ERROR 22023: unrecognized encoding: \"foo\"");
    }

    #[test]
    fn bits_and_bytes() {
        check("byteaGetBit", &["x:1234", "l:9"], "0");
        check("byteaGetBit", &["x:1234", "l:10"], "1");
        check("byteaSetBit", &["x:1234", "l:0", "i:1"], "1334");
        check("byteaSetByte", &["x:1234", "i:1", "i:257"], "1201");
        check("byteaGetByte", &["x:", "i:0"], "ERROR 2202E: index 0 out of valid range, 0..-1");
        check("bytea_substr", &["x:010203", "i:0", "i:3"], "0102");
        check("byteapos", &["x:010203", "x:0203"], "2");
        check("byteatrim", &["x:00010200", "x:00"], "0102");
    }
}
