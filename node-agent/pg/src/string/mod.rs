//! Text: functions, operators, casts and length coercions (the manual's sections 8.3 and 9.4), in the C locale: case and
//! character classes are ASCII's, order is by bytes. Lengths and positions count characters.

use crate::arguments::{count, int4, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) mod cast;
pub(crate) mod encoding;
pub(crate) mod format;
pub(crate) mod identifier;
pub(crate) mod size;
pub(crate) mod split;
pub(crate) mod unicode;

pub use crate::catalog::quote_identifier;
pub use format::quote_literal;

/// The largest value that PostgreSQL allocates (`MaxAllocSize`).
const VALUE_BYTES_MAX: usize = 0x3fff_ffff;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("textcat", concatenate),
    entry("textlen", |_, args| Ok(count(text(args, 0)?.chars().count()))),
    entry("textoctetlen", |_, args| Ok(count(text(args, 0)?.len()))),
    entry("bpcharlen", |_, args| Ok(count(trim_blanks(text(args, 0)?).chars().count()))),
    entry("bpcharoctetlen", |_, args| Ok(count(text(args, 0)?.len()))),
    entry("bit_length(text)", |_, args| bit_length(text(args, 0)?.len())),
    entry("bit_length(bytea)", |_, args| bit_length(crate::arguments::bytes(args, 0)?.len())),
    entry("lower", |_, args| Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))),
    entry("upper", |_, args| Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))),
    entry("initcap", initcap),
    entry("text_substr", |_, args| {
        substring(text(args, 0)?, int4(args, 1)?, Some(int4(args, 2)?)).map(Value::text)
    }),
    entry("text_substr_no_len", |_, args| {
        substring(text(args, 0)?, int4(args, 1)?, None).map(Value::text)
    }),
    entry("text_left", |_, args| Ok(Value::text(left(text(args, 0)?, int4(args, 1)?)))),
    entry("text_right", |_, args| Ok(Value::text(right(text(args, 0)?, int4(args, 1)?)))),
    entry("lpad", |_, args| pad(text(args, 0)?, int4(args, 1)?, text(args, 2)?, Side::Left)),
    entry("rpad", |_, args| pad(text(args, 0)?, int4(args, 1)?, text(args, 2)?, Side::Right)),
    entry("lpad(text,int4)", |_, args| pad(text(args, 0)?, int4(args, 1)?, " ", Side::Left)),
    entry("rpad(text,int4)", |_, args| pad(text(args, 0)?, int4(args, 1)?, " ", Side::Right)),
    entry("btrim", |_, args| trim(text(args, 0)?, text(args, 1)?, true, true)),
    entry("btrim1", |_, args| trim(text(args, 0)?, " ", true, true)),
    entry("ltrim", |_, args| trim(text(args, 0)?, text(args, 1)?, true, false)),
    entry("ltrim1", |_, args| trim(text(args, 0)?, " ", true, false)),
    entry("rtrim", |_, args| trim(text(args, 0)?, text(args, 1)?, false, true)),
    entry("rtrim1", |_, args| trim(text(args, 0)?, " ", false, true)),
    entry("replace_text", replace),
    entry("translate", translate),
    entry("repeat", repeat),
    entry("text_reverse", |_, args| {
        Ok(Value::text(text(args, 0)?.chars().rev().collect::<String>()))
    }),
    entry("textpos", |_, args| Ok(count(position(text(args, 0)?, text(args, 1)?)))),
    entry("text_starts_with", |_, args| {
        Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
    }),
    entry("textoverlay", |_, args| {
        overlay(text(args, 0)?, text(args, 1)?, int4(args, 2)?, int4(args, 3)?)
    }),
    entry("textoverlay_no_len", |_, args| {
        let replacement = text(args, 1)?;
        let length = i32::try_from(replacement.chars().count()).unwrap_or(i32::MAX);
        overlay(text(args, 0)?, replacement, int4(args, 2)?, length)
    }),
    entry("text_pattern_lt", |_, args| Ok(Value::Bool(text(args, 0)? < text(args, 1)?))),
    entry("text_pattern_le", |_, args| Ok(Value::Bool(text(args, 0)? <= text(args, 1)?))),
    entry("text_pattern_ge", |_, args| Ok(Value::Bool(text(args, 0)? >= text(args, 1)?))),
    entry("text_pattern_gt", |_, args| Ok(Value::Bool(text(args, 0)? > text(args, 1)?))),
    entry("to_hex32", |_, args| Ok(Value::text(format!("{:x}", int4(args, 0)?)))),
    entry("to_hex64", |_, args| Ok(Value::text(format!("{:x}", crate::arguments::int8(args, 0)?)))),
];

/// A `char(n)` value without its padding.
pub(crate) fn trim_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// The byte offset of a character's place (from 0), or the text's end.
pub(crate) fn offset_of(text: &str, characters: usize) -> usize {
    if text.is_ascii() {
        return characters.min(text.len());
    }
    text.char_indices().nth(characters).map_or(text.len(), |(offset, _)| offset)
}

fn size(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

fn concatenate(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = (text(args, 0)?, text(args, 1)?);
    let mut joined = String::with_capacity(left.len() + right.len());
    joined.push_str(left);
    joined.push_str(right);
    Ok(Value::text(joined))
}

fn bit_length(bytes: usize) -> Result<Value> {
    let bits = i32::try_from(bytes).ok().and_then(|bytes| bytes.checked_mul(8));
    bits.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"))
}

fn initcap(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let mut inside = false;
    let capitalized: String = text(args, 0)?
        .chars()
        .map(|character| {
            let changed = match inside {
                true => character.to_ascii_lowercase(),
                false => character.to_ascii_uppercase(),
            };
            inside = character.is_ascii_alphanumeric();
            changed
        })
        .collect();
    Ok(Value::text(capitalized))
}

/// `substring(text FROM start FOR length)`: places before the first character count into the length.
pub(crate) fn substring(source: &str, start: i32, length: Option<i32>) -> Result<&str> {
    let first = start.max(1);
    let rest = &source[offset_of(source, size(first - 1))..];
    let Some(length) = length else { return Ok(rest) };
    if length < 0 {
        return Err(PgError::new("22011", "negative substring length not allowed"));
    }
    // An end beyond every integer is the end of the text.
    let Some(end) = start.checked_add(length) else { return Ok(rest) };
    Ok(&rest[..offset_of(rest, size(end.saturating_sub(first)))])
}

fn left(source: &str, characters: i32) -> &str {
    let wanted = match usize::try_from(characters) {
        Ok(wanted) => wanted,
        Err(_) => source.chars().count().saturating_sub(characters.unsigned_abs() as usize),
    };
    &source[..offset_of(source, wanted)]
}

fn right(source: &str, characters: i32) -> &str {
    let skipped = match usize::try_from(characters) {
        Ok(wanted) => source.chars().count().saturating_sub(wanted),
        Err(_) => characters.unsigned_abs() as usize,
    };
    &source[offset_of(source, skipped)..]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn too_long() -> PgError {
    PgError::new("54000", "requested length too large")
}

fn pad(source: &str, length: i32, fill: &str, side: Side) -> Result<Value> {
    let length = size(length);
    let present = source.chars().count();
    if present >= length || fill.is_empty() {
        return Ok(Value::text(&source[..offset_of(source, length)]));
    }
    let missing = length - present;
    if missing.saturating_mul(4).saturating_add(source.len()) > VALUE_BYTES_MAX {
        return Err(too_long());
    }
    let padding = fill.chars().cycle().take(missing);
    let mut padded = String::with_capacity(source.len() + missing);
    match side {
        Side::Left => {
            padded.extend(padding);
            padded.push_str(source);
        }
        Side::Right => {
            padded.push_str(source);
            padded.extend(padding);
        }
    }
    Ok(Value::text(padded))
}

fn trim(source: &str, set: &str, start: bool, end: bool) -> Result<Value> {
    let belongs = |character: char| set.contains(character);
    let mut rest = source;
    if start {
        rest = rest.trim_start_matches(belongs);
    }
    if end {
        rest = rest.trim_end_matches(belongs);
    }
    Ok(Value::text(rest))
}

fn replace(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (source, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    if from.is_empty() {
        return Ok(args[0].clone());
    }
    let count = source.matches(from).count();
    if count == 0 {
        return Ok(args[0].clone());
    }
    let length = source.len() - count * from.len();
    if count.saturating_mul(to.len()).saturating_add(length) > VALUE_BYTES_MAX {
        return Err(too_long());
    }
    Ok(Value::text(source.replace(from, to)))
}

fn translate(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (source, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let to: Vec<char> = to.chars().collect();
    let translated: String = source
        .chars()
        .filter_map(|character| match from.chars().position(|candidate| candidate == character) {
            Some(index) => to.get(index).copied(),
            None => Some(character),
        })
        .collect();
    Ok(Value::text(translated))
}

fn repeat(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (source, times) = (text(args, 0)?, size(int4(args, 1)?));
    if source.len().saturating_mul(times) > VALUE_BYTES_MAX - 4 {
        return Err(too_long());
    }
    Ok(Value::text(source.repeat(times)))
}

/// The place of the first occurrence, from 1 in characters; 0 if there is none.
fn position(source: &str, wanted: &str) -> usize {
    match source.find(wanted) {
        Some(offset) => source[..offset].chars().count() + 1,
        None => 0,
    }
}

fn overlay(source: &str, replacement: &str, start: i32, length: i32) -> Result<Value> {
    if start <= 0 {
        return Err(PgError::new("22011", "negative substring length not allowed"));
    }
    let end = start.checked_add(length).ok_or_else(|| PgError::out_of_range("integer"))?;
    let before = substring(source, 1, Some(start - 1))?;
    let after = substring(source, end, None)?;
    Ok(Value::text(format!("{before}{replacement}{after}")))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn parts() {
        check("text_substr", &["t:hello", "i:2", "i:3"], "ell");
        check("text_substr", &["t:hello", "i:-1", "i:4"], "he");
        check("text_substr", &["t:hello", "i:2147483647", "i:2147483647"], "");
        check(
            "text_substr",
            &["t:hello", "i:2", "i:-1"],
            "ERROR 22011: negative substring length not allowed",
        );
        check("text_substr_no_len", &["t:žluť", "i:2"], "luť");
        check("text_left", &["t:žluť", "i:-1"], "žlu");
        check("text_left", &["t:abc", "i:-2147483648"], "");
        check("text_right", &["t:žluť", "i:2"], "uť");
        check("text_right", &["t:žluť", "i:-1"], "luť");
        check("textoverlay", &["t:Txxxxas", "t:hom", "i:2", "i:4"], "Thomas");
        check(
            "textoverlay_no_len",
            &["t:abc", "t:X", "i:0"],
            "ERROR 22011: negative substring length not allowed",
        );
    }

    #[test]
    fn changes() {
        check("initcap", &["t:hi THOMAS é1a x"], "Hi Thomas é1a X");
        check("upper", &["t:aé"], "Aé");
        check("lpad", &["t:hi", "i:5", "t:xy"], "xyxhi");
        check("rpad", &["t:hello", "i:2", "t:xy"], "he");
        check("lpad", &["t:hi", "i:5", "t:"], "hi");
        check("btrim", &["t:xyxtrimyyx", "t:xyz"], "trim");
        check("translate", &["t:12345", "t:143", "t:ax"], "a2x5");
        check("repeat", &["t:Pg", "i:-3"], "");
        check("repeat", &["t:Pg", "i:2000000000"], "ERROR 54000: requested length too large");
        check("to_hex32", &["i:-1"], "ffffffff");
    }

    #[test]
    fn searches() {
        check("textpos", &["t:žluťoučký", "t:ť"], "4");
        check("textpos", &["t:", "t:"], "1");
        check("replace_text", &["t:abcabc", "t:", "t:x"], "abcabc");
        check("replace_text", &["t:aaa", "t:aa", "t:b"], "ba");
    }
}
