//! Cuts the text of a date, time or interval into its fields (the manual's appendix B.1, step 1).

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digits, perhaps with one decimal point.
    Number,
    /// Letters.
    Word,
    /// Digits and delimiters of dates, or letters with punctuation as zone names have it.
    Date,
    /// Digits with colons.
    Time,
    /// A sign and digits.
    Zone,
    /// A sign and letters.
    Special,
}

/// One field, its letters in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Token {
    /// Whether the field begins with a digit.
    pub(crate) fn starts_with_digit(&self) -> bool {
        self.text.as_bytes().first().is_some_and(u8::is_ascii_digit)
    }
}

/// PostgreSQL reads at most so many fields.
const FIELDS_MAX: usize = 25;

/// The bytes that PostgreSQL holds of an input: a longer one is malformed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room(pub(crate) usize);

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    used: usize,
    room: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is(&self, test: impl Fn(u8) -> bool) -> bool {
        self.peek().is_some_and(test)
    }

    /// Moves one character to the field.
    fn take(&mut self, text: &mut String) -> Option<()> {
        if self.used + 1 >= self.room {
            return None;
        }
        self.used += 1;
        text.push(char::from(self.peek()?.to_ascii_lowercase()));
        self.at += 1;
        Some(())
    }

    fn take_while(&mut self, text: &mut String, test: impl Fn(u8) -> bool) -> Option<()> {
        while self.is(&test) {
            self.take(text)?;
        }
        Some(())
    }
}

/// C's `isspace`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The fields of a text; `None` if it has a form that no date, time or interval has.
pub(crate) fn tokens(text: &str, room: Room) -> Option<Vec<Token>> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0, used: 0, room: room.0 };
    let mut tokens = Vec::new();
    let digit = |byte: u8| byte.is_ascii_digit();
    while let Some(first) = cursor.peek() {
        if is_space(first) {
            cursor.at += 1;
            continue;
        }
        if tokens.len() >= FIELDS_MAX {
            return None;
        }
        let mut field = String::new();
        let kind = match first {
            b'0'..=b'9' => number(&mut cursor, &mut field)?,
            b'.' => {
                cursor.take(&mut field)?;
                cursor.take_while(&mut field, digit)?;
                Kind::Number
            }
            b'a'..=b'z' | b'A'..=b'Z' => word(&mut cursor, &mut field)?,
            b'+' | b'-' => {
                cursor.take(&mut field)?;
                while cursor.is(is_space) {
                    cursor.at += 1;
                }
                if cursor.is(digit) {
                    cursor.take_while(&mut field, |byte| {
                        digit(byte) || matches!(byte, b':' | b'.' | b'-')
                    })?;
                    Kind::Zone
                } else if cursor.is(|byte| byte.is_ascii_alphabetic()) {
                    cursor.take_while(&mut field, |byte| byte.is_ascii_alphabetic())?;
                    Kind::Special
                } else {
                    return None;
                }
            }
            _ if first.is_ascii_punctuation() => {
                cursor.at += 1;
                continue;
            }
            _ => return None,
        };
        cursor.used += 1;
        tokens.push(Token { kind, text: field });
    }
    Some(tokens)
}

/// A field that begins with a digit.
fn number(cursor: &mut Cursor<'_>, field: &mut String) -> Option<Kind> {
    let digit = |byte: u8| byte.is_ascii_digit();
    cursor.take_while(field, digit)?;
    let delimiter = match cursor.peek() {
        Some(b':') => {
            cursor.take_while(field, |byte| digit(byte) || matches!(byte, b':' | b'.'))?;
            return Some(Kind::Time);
        }
        Some(delimiter @ (b'-' | b'/' | b'.')) => delimiter,
        _ => return Some(Kind::Number),
    };
    cursor.take(field)?;
    if !cursor.is(digit) {
        cursor.take_while(field, |byte| byte.is_ascii_alphanumeric() || byte == delimiter)?;
        return Some(Kind::Date);
    }
    cursor.take_while(field, digit)?;
    // Only with the same delimiter again are these three fields of a date.
    if cursor.is(|byte| byte == delimiter) {
        cursor.take_while(field, |byte| digit(byte) || byte == delimiter)?;
        return Some(Kind::Date);
    }
    Some(if delimiter == b'.' { Kind::Number } else { Kind::Date })
}

/// A field that begins with a letter.
fn word(cursor: &mut Cursor<'_>, field: &mut String) -> Option<Kind> {
    cursor.take_while(field, |byte| byte.is_ascii_alphabetic())?;
    let goes_on = match cursor.peek() {
        Some(b'-' | b'/' | b'.') => true,
        Some(b'+' | b'0'..=b'9') => super::keyword::find(field).is_none(),
        _ => false,
    };
    if !goes_on {
        return Some(Kind::Word);
    }
    cursor.take_while(field, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
    })?;
    Some(Kind::Date)
}
