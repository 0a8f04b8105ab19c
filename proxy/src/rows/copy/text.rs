//! The fields of a line of text, and fields written as text.

use memchr::{memchr, memchr2};

/// Calls `visit` on each field of a line: its bytes with backslashes taken out, none for NULL. `scratch` holds what is not
/// in the line as it is.
pub fn split_fields(
    line: &[u8],
    delimiter: u8,
    null: &[u8],
    scratch: &mut Vec<u8>,
    visit: &mut dyn FnMut(Option<&[u8]>),
) {
    let mut at = 0;
    loop {
        let (end, escaped) = field_end(line, at, delimiter);
        let raw = &line[at..end];
        if raw == null {
            visit(None);
        } else if escaped {
            unescape(raw, scratch);
            visit(Some(scratch));
        } else {
            visit(Some(raw));
        }
        if end >= line.len() {
            return;
        }
        at = end + 1;
    }
}

/// The field at a place among a line's: its raw bytes, and whether there is a backslash in it; none when there are fewer.
pub fn nth_field(
    line: &[u8],
    delimiter: u8,
    place: usize,
    backslash: bool,
) -> Option<(&[u8], bool)> {
    let mut at = 0;
    for passed in 0..=place {
        let (end, escaped) = if backslash {
            field_end(line, at, delimiter)
        } else {
            (memchr(delimiter, &line[at..]).map_or(line.len(), |offset| at + offset), false)
        };
        if passed == place {
            return Some((&line[at..end], escaped));
        }
        if end >= line.len() {
            return None;
        }
        at = end + 1;
    }
    None
}

/// Where the field that begins at `at` ends, and whether there is a backslash in it.
fn field_end(line: &[u8], at: usize, delimiter: u8) -> (usize, bool) {
    let (mut from, mut escaped) = (at, false);
    loop {
        match memchr2(delimiter, b'\\', line.get(from..).unwrap_or_default()) {
            None => return (line.len(), escaped),
            Some(offset) if line[from + offset] == delimiter => return (from + offset, escaped),
            Some(offset) => {
                escaped = true;
                from += offset + 2;
            }
        }
    }
}

/// Takes the backslashes out of a field.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        // A backslash at the very end means nothing.
        let Some(&second) = raw.get(at) else { return };
        at += 1;
        match second {
            b'0'..=b'7' => {
                let mut value = second - b'0';
                for _ in 0..2 {
                    let Some(&digit @ b'0'..=b'7') = raw.get(at) else { break };
                    // As in C, what does not fit is lost.
                    value = (value << 3).wrapping_add(digit - b'0');
                    at += 1;
                }
                out.push(value);
            }
            b'x' => {
                let digit = |at: usize| raw.get(at).and_then(|digit| hex(*digit));
                match (digit(at), digit(at + 1)) {
                    (Some(first), Some(second)) => {
                        out.push((first << 4) | second);
                        at += 2;
                    }
                    (Some(first), None) => {
                        out.push(first);
                        at += 1;
                    }
                    (None, _) => out.push(b'x'),
                }
            }
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0B),
            other => out.push(other),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes a value, with backslashes where they are needed.
pub fn put_value(value: &[u8], delimiter: u8, out: &mut impl bytes::BufMut) {
    let mut from = 0;
    for (at, &byte) in value.iter().enumerate() {
        if byte > b'\\' && byte != delimiter {
            continue;
        }
        let letter = match byte {
            0x08 => b'b',
            0x0C => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0B => b'v',
            b'\\' => b'\\',
            other if other == delimiter => delimiter,
            _ => continue,
        };
        out.put_slice(&value[from..at]);
        out.put_slice(&[b'\\', letter]);
        from = at + 1;
    }
    out.put_slice(&value[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Vec<Option<String>> {
        let mut found = Vec::new();
        split_fields(line.as_bytes(), b'\t', b"\\N", &mut Vec::new(), &mut |field| {
            found.push(field.map(|field| String::from_utf8_lossy(field).into_owned()));
        });
        found
    }

    fn check(line: &str, expected: &[Option<&str>]) {
        let expected: Vec<_> = expected.iter().map(|field| field.map(str::to_owned)).collect();
        assert_eq!(fields(line), expected, "{line:?}");
        for place in 0..=expected.len() {
            let backslash = line.contains('\\');
            let raw = nth_field(line.as_bytes(), b'\t', place, backslash);
            let mut out = Vec::new();
            let found = raw.map(|(raw, escaped)| {
                if raw == b"\\N" {
                    return None;
                }
                if escaped {
                    unescape(raw, &mut out)
                } else {
                    out.extend_from_slice(raw)
                }
                Some(String::from_utf8_lossy(&out).into_owned())
            });
            assert_eq!(found, expected.get(place).cloned(), "{line:?}, field {place}");
        }
    }

    #[test]
    fn fields_are_read() {
        check("", &[Some("")]);
        check("a\tb", &[Some("a"), Some("b")]);
        check("\t", &[Some(""), Some("")]);
        check("\\N\t\\\\N\tx\\N", &[None, Some("\\N"), Some("xN")]);
        check("a\\\tb\tc", &[Some("a\tb"), Some("c")]);
        check("\\b\\f\\n\\r\\t\\v\\q", &[Some("\u{8}\u{c}\n\r\t\u{b}q")]);
        check("\\101\\x41\\x4g\\xg\\60", &[Some("AA\u{4}gxg0")]);
        check("a\\", &[Some("a")]);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_value(b"a\tb\\c\nd\r\x08\x0c\x0b\x01|", b'|', &mut out);
        assert_eq!(out, b"a\\tb\\\\c\\nd\\r\\b\\f\\v\x01\\|");
        let mut back = Vec::new();
        unescape(&out, &mut back);
        assert_eq!(back, b"a\tb\\c\nd\r\x08\x0c\x0b\x01|");
    }
}
