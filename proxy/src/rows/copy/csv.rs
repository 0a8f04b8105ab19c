//! The fields of a line of csv, and fields written as csv.

use dataman_pg::PgError;
use memchr::memchr2;

use super::lines::Quoting;

/// Calls `visit` on each field of a line with its content and whether any of it was in quotes; stops when `visit` says false.
/// `scratch` holds what is not in the line as it is.
///
/// # Errors
/// `22P04` for quotes that do not end.
pub fn split_fields(
    line: &[u8],
    delimiter: u8,
    quoting: Quoting,
    scratch: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8], bool) -> bool,
) -> Result<(), PgError> {
    let Quoting { quote, escape } = quoting;
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let plain = memchr2(delimiter, quote, rest).unwrap_or(rest.len());
        // Without quotes the field is as it stands.
        if rest.get(plain) != Some(&quote) {
            if !visit(&rest[..plain], false) || plain == rest.len() {
                return Ok(());
            }
            at += plain + 1;
            continue;
        }
        scratch.clear();
        let mut in_quote = false;
        let end = loop {
            let Some(&byte) = line.get(at) else {
                if in_quote {
                    return Err(PgError::new("22P04", "unterminated CSV quoted field"));
                }
                break None;
            };
            at += 1;
            if !in_quote {
                if byte == delimiter {
                    break Some(());
                }
                if byte == quote {
                    in_quote = true;
                } else {
                    scratch.push(byte);
                }
                continue;
            }
            if byte == escape
                && let Some(&second) = line.get(at)
                && (second == escape || second == quote)
            {
                scratch.push(second);
                at += 1;
            } else if byte == quote {
                in_quote = false;
            } else {
                scratch.push(byte);
            }
        };
        if !visit(scratch, true) || end.is_none() {
            return Ok(());
        }
    }
}

/// Writes a value, in quotes where they are needed. `alone` says that it is the line's only one.
pub fn put_value(
    value: &[u8],
    delimiter: u8,
    quoting: Quoting,
    null: &[u8],
    force_quote: bool,
    alone: bool,
    out: &mut impl bytes::BufMut,
) {
    let Quoting { quote, escape } = quoting;
    let quoted = force_quote
        || value == null
        || (alone && value == b"\\.")
        || value
            .iter()
            .any(|byte| *byte == delimiter || *byte == quote || *byte == b'\n' || *byte == b'\r');
    if !quoted {
        out.put_slice(value);
        return;
    }
    out.put_u8(quote);
    let mut from = 0;
    for (at, &byte) in value.iter().enumerate() {
        if byte == quote || byte == escape {
            out.put_slice(&value[from..at]);
            out.put_u8(escape);
            from = at;
        }
    }
    out.put_slice(&value[from..]);
    out.put_u8(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, escape: u8, expected: &[(&str, bool)]) {
        let mut found = Vec::new();
        let quoting = Quoting { quote: b'"', escape };
        let result =
            split_fields(line.as_bytes(), b',', quoting, &mut Vec::new(), &mut |field, quoted| {
                found.push((String::from_utf8_lossy(field).into_owned(), quoted));
                true
            });
        if let Err(error) = result {
            found.push((error.message().to_owned(), true));
        }
        let expected: Vec<_> =
            expected.iter().map(|(field, quoted)| ((*field).to_owned(), *quoted)).collect();
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn fields_are_read() {
        check("", b'"', &[("", false)]);
        check("a,b", b'"', &[("a", false), ("b", false)]);
        check(",", b'"', &[("", false), ("", false)]);
        check("\"\",x", b'"', &[("", true), ("x", false)]);
        check("\"a,b\"\"c\",d", b'"', &[("a,b\"c", true), ("d", false)]);
        check("a\"b,c\"d,e", b'"', &[("ab,cd", true), ("e", false)]);
        check("\"a\\\"b\\\\c\\d\"", b'\\', &[("a\"b\\c\\d", true)]);
        check("a,\"b", b'"', &[("a", false), ("unterminated CSV quoted field", true)]);
    }

    #[test]
    fn values_are_written() {
        let check = |value: &str, escape: u8, expected: &str| {
            let mut out = Vec::new();
            let quoting = Quoting { quote: b'"', escape };
            put_value(value.as_bytes(), b',', quoting, b"nil", false, true, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check("a", b'"', "a");
        check("a,b", b'"', "\"a,b\"");
        check("a\"b", b'"', "\"a\"\"b\"");
        check("a\"b\\c", b'\\', "\"a\\\"b\\\\c\"");
        check("nil", b'"', "\"nil\"");
        check("\\.", b'"', "\"\\.\"");
        check("a\nb", b'"', "\"a\nb\"");
    }
}
