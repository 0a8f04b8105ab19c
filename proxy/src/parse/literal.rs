//! Takes the literals out of a statement's text, so that texts that differ in their values only are one.
//!
//! This looks at bytes, not at syntax, and decides nothing: whether a statement with parameters in the literals' places
//! means the same is proven by binding both (`plan::lift`). What is unusual is left alone.

use std::ops::Range;

/// The longest text that is looked at: long ones are bulk, which is not said twice.
pub const LIFT_BYTES_MAX: usize = 4096;

/// The most literals taken out of one text.
const LITERALS_MAX: usize = 64;

/// What kind of literal it is: with it, the type that the literal had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number that is an `integer`.
    Int4,
    /// A whole number that is a `bigint`.
    Int8,
    /// Any other number: a `numeric`.
    Numeric,
    /// A string, whose type its place decides.
    String,
}

/// A literal that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its kind.
    pub kind: Kind,
    /// Where it stands in the text: a number with its sign, a string without its quotes.
    pub range: Range<usize>,
}

impl Literal {
    /// Appends its value's text.
    pub fn put_value(&self, sql: &str, out: &mut impl Extend<u8>) {
        let text = &sql.as_bytes()[self.range.clone()];
        match self.kind {
            Kind::String => {
                // A doubled quote is one.
                let mut after_quote = false;
                out.extend(text.iter().copied().filter(|byte| {
                    let keep = *byte != b'\'' || !after_quote;
                    after_quote = *byte == b'\'' && !after_quote;
                    keep
                }));
            }
            Kind::Int4 | Kind::Int8 | Kind::Numeric => out.extend(text.iter().copied()),
        }
    }
}

/// What stands in the key for a literal: the byte 1, which no text that is looked at contains, and the kind.
const MARK: u8 = 1;

/// Takes the literals out of one SELECT, INSERT, UPDATE or DELETE. `key` gets the text with marks in their places: texts with
/// the same key differ in their literals' values only. False when the text is none that this is good for; `key` and
/// `literals` then hold nothing of use.
pub fn lift(sql: &str, key: &mut Vec<u8>, literals: &mut Vec<Literal>) -> bool {
    key.clear();
    literals.clear();
    let text = sql.as_bytes();
    let start = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let word = text.get(start..).unwrap_or_default();
    let is_one_of_ours = [b"select".as_slice(), b"update", b"delete", b"insert"]
        .iter()
        .any(|name| word.get(..6).is_some_and(|found| found.eq_ignore_ascii_case(name)));
    if !is_one_of_ours || text.len() > LIFT_BYTES_MAX {
        return false;
    }
    let mut at = start;
    // The last byte that is no blank: what a literal follows.
    let mut before = 0;
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1).copied().unwrap_or(0);
        let end = match byte {
            b'\'' => {
                let Some(end) = end_of_quoted(text, at) else { return false };
                // E'…', B'…', N'…': not plain strings.
                if at > 0 && is_word(text[at - 1]) {
                    return false;
                }
                if can_follow(before) {
                    if !mark(Kind::String, at + 1..end - 1, key, literals) {
                        return false;
                    }
                } else {
                    key.extend_from_slice(&text[at..end]);
                }
                end
            }
            b'"' => {
                let Some(end) = end_of_quoted(text, at) else { return false };
                key.extend_from_slice(&text[at..end]);
                end
            }
            b'-' if next == b'-' => return false,
            b'/' if next == b'*' => return false,
            b'$' | b'\\' | MARK => return false,
            b'.' if next.is_ascii_digit() => return false,
            b';' => {
                if !text[at + 1..].iter().all(u8::is_ascii_whitespace) {
                    return false;
                }
                break;
            }
            b'0'..=b'9' if at > 0 && is_word(text[at - 1]) => {
                key.push(byte);
                at + 1
            }
            b'-' if next.is_ascii_digit() && can_follow(before) => {
                match number(text, at, key, literals) {
                    Some(end) => end,
                    None => return false,
                }
            }
            b'0'..=b'9' if can_follow(before) => match number(text, at, key, literals) {
                Some(end) => end,
                None => return false,
            },
            b'0'..=b'9' => {
                let end = end_of_number(text, at);
                key.extend_from_slice(&text[at..end]);
                end
            }
            _ => {
                key.push(byte);
                at + 1
            }
        };
        if !byte.is_ascii_whitespace() {
            before = text[end - 1];
        }
        at = end;
    }
    !literals.is_empty()
}

/// The text of a key with `$1…` for its marks.
pub fn with_parameters(key: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(key.len() + 8);
    let mut number = 0;
    let mut bytes = key.iter();
    while let Some(&byte) = bytes.next() {
        if byte == MARK {
            bytes.next();
            number += 1;
            text.extend_from_slice(format!("${number}").as_bytes());
        } else {
            text.push(byte);
        }
    }
    String::from_utf8(text).ok()
}

/// Whether a literal after this byte is a value among others. After a word it may be part of the syntax (`LIMIT 1`,
/// `interval '1 day'`), and is left in the text.
fn can_follow(before: u8) -> bool {
    matches!(before, b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'%' | b'(' | b',' | b'|')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Behind the closing quote; none when there is none.
fn end_of_quoted(text: &[u8], start: usize) -> Option<usize> {
    let quote = text[start];
    let mut at = start + 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if text.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

fn end_of_number(text: &[u8], start: usize) -> usize {
    start + text[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count()
}

/// Takes a number out; none when it is written in an unusual way.
fn number(
    text: &[u8],
    start: usize,
    key: &mut Vec<u8>,
    literals: &mut Vec<Literal>,
) -> Option<usize> {
    let digits = start + usize::from(text[start] == b'-');
    let end = end_of_number(text, digits);
    let written = std::str::from_utf8(&text[start..end]).ok()?;
    let dots = written.bytes().filter(|byte| *byte == b'.').count();
    // 1e5, 1_000, 0x10, 1..2
    if dots > 1 || text.get(end).is_some_and(|byte| is_word(*byte)) {
        return None;
    }
    let kind = if dots > 0 {
        Kind::Numeric
    } else if written.parse::<i32>().is_ok() {
        Kind::Int4
    } else if written.parse::<i64>().is_ok() {
        Kind::Int8
    } else {
        Kind::Numeric
    };
    mark(kind, start..end, key, literals).then_some(end)
}

fn mark(kind: Kind, range: Range<usize>, key: &mut Vec<u8>, literals: &mut Vec<Literal>) -> bool {
    let letter = match kind {
        Kind::Int4 => b'i',
        Kind::Int8 => b'l',
        Kind::Numeric => b'n',
        Kind::String => b's',
    };
    key.extend_from_slice(&[MARK, letter]);
    literals.push(Literal { kind, range });
    literals.len() <= LITERALS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: Option<(&str, &str)>) {
        let (mut key, mut literals) = (Vec::new(), Vec::new());
        let found = lift(sql, &mut key, &mut literals).then(|| {
            let values: Vec<String> = literals
                .iter()
                .map(|literal| {
                    let mut value = Vec::new();
                    literal.put_value(sql, &mut value);
                    format!("{:?} {}", literal.kind, String::from_utf8(value).unwrap())
                })
                .collect();
            (with_parameters(&key).unwrap(), values.join(", "))
        });
        let expected = expected.map(|(text, values)| (text.to_owned(), values.to_owned()));
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn values_are_taken_out() {
        check(
            "SELECT a FROM t WHERE k = 5 AND b IN (-7, 2147483648,1.50)",
            Some((
                "SELECT a FROM t WHERE k = $1 AND b IN ($2, $3,$4)",
                "Int4 5, Int4 -7, Int8 2147483648, Numeric 1.50",
            )),
        );
        check(
            " update t set a = a - -3, b='it''s ''' where t1.k2=99999999999999999999;  ",
            Some((
                "update t set a = a - $1, b=$2 where t1.k2=$3",
                "Int4 -3, String it's ', Numeric 99999999999999999999",
            )),
        );
        check("select 1, 2 limit 3", Some(("select 1, $1 limit 3", "Int4 2")));
        check(
            "select \"a'1\" from t where k=1",
            Some(("select \"a'1\" from t where k=$1", "Int4 1")),
        );
        check("select a-1 from t", Some(("select a-$1 from t", "Int4 1")));
    }

    #[test]
    fn the_unusual_is_left_alone() {
        for sql in [
            "begin",
            "select 1",
            "select a from t where k = $1",
            "select a from t where k = E'x'",
            "select a from t where k = 1; select 2",
            "select a from t where k = 1 -- 2",
            "select a from t where k = /* 2 */ 1",
            "select a from t where k = 1e5",
            "select a from t where k = .5",
            "select a from t where k = 0x10",
            "select a from t where k = 'open",
            "select a from t where k = $$x$$",
            "select a from t where k = 1..2",
        ] {
            check(sql, None);
        }
    }
}
