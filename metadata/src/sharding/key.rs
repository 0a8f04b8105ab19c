//! Values of a shard key: their canonical bytes, their order, their text.

use std::cmp::Ordering;

use super::ShardingError;

/// One field's value of a shard key. There is no NULL: a shard key's fields are NOT NULL.
///
/// Values that PostgreSQL calls equal are equal here, whatever the width of their type: `int2`, `int4` and `int8` are all
/// [`KeyPart::Int`]; `text`, `varchar` and `char(n)` (without its padding) all [`KeyPart::Text`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// `bool`.
    Bool(bool),
    /// `int2`, `int4`, `int8`.
    Int(i64),
    /// `numeric` in canonical text; made by [`KeyPart::numeric`].
    Numeric(String),
    /// `text`, `varchar`; `char(n)` by [`KeyPart::bpchar`]; an enum's label.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `date`: days since 2000-01-01.
    Date(i32),
    /// `time`: microseconds since midnight.
    Time(i64),
    /// `timestamp`: microseconds since 2000-01-01 00:00.
    Timestamp(i64),
    /// `timestamptz`: microseconds since 2000-01-01 00:00 UTC.
    Timestamptz(i64),
}

/// The types that a shard key's field can have. Those are left out whose equal values have many forms (floats with -0 and
/// NaN, intervals, json) or which have no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `bool`.
    Bool,
    /// `int2`, `int4`, `int8`.
    Int,
    /// `numeric`.
    Numeric,
    /// `text`, `varchar`, `char(n)`.
    Text,
    /// `bytea`.
    Bytes,
    /// `uuid`.
    Uuid,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    Timestamptz,
    /// An enum, by its OID; its values are [`KeyPart::Text`] of the label.
    Enum(u32),
}

impl KeyType {
    /// The key type of a type's OID; none when a shard key cannot have it. An OID from 16384 on is taken for an enum's.
    #[must_use]
    pub fn of(type_oid: u32) -> Option<Self> {
        Some(match type_oid {
            16 => Self::Bool,
            20 | 21 | 23 => Self::Int,
            1700 => Self::Numeric,
            25 | 1043 | 1042 => Self::Text,
            17 => Self::Bytes,
            2950 => Self::Uuid,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            oid if oid >= crate::snapshot::FIRST_OID => Self::Enum(oid),
            _ => return None,
        })
    }

    #[cfg(test)]
    pub(super) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int2" | "int4" | "int8" => Self::Int,
            "numeric" => Self::Numeric,
            "bytea" => Self::Bytes,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::Timestamptz,
            _ => return None,
        })
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bool => "boolean",
            Self::Int => "integer",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Bytes => "bytea",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamp with time zone",
            Self::Enum(_) => "an enum",
        })
    }
}

impl KeyPart {
    /// Makes a part of a `text` or `varchar`.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Makes a part of a `char(n)`: its trailing blanks mean nothing.
    #[must_use]
    pub fn bpchar(text: &str) -> Self {
        Self::Text(text.trim_end_matches(' ').to_owned())
    }

    /// Makes a part of a `numeric` as PostgreSQL prints it: without zeros that mean nothing, so that `1.50` is `1.5` and
    /// `-0.0` is `0`.
    #[must_use]
    pub fn numeric(text: &str) -> Self {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        if digits.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Self::Numeric(text.to_owned());
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let canonical = match (whole, fraction) {
            ("", "") => "0".to_owned(),
            (whole, "") => format!("{sign}{whole}"),
            ("", fraction) => format!("{sign}0.{fraction}"),
            (whole, fraction) => format!("{sign}{whole}.{fraction}"),
        };
        Self::Numeric(canonical)
    }

    /// Its type; an enum's label is a text.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Bool(_) => KeyType::Bool,
            Self::Int(_) => KeyType::Int,
            Self::Numeric(_) => KeyType::Numeric,
            Self::Text(_) => KeyType::Text,
            Self::Bytes(_) => KeyType::Bytes,
            Self::Uuid(_) => KeyType::Uuid,
            Self::Date(_) => KeyType::Date,
            Self::Time(_) => KeyType::Time,
            Self::Timestamp(_) => KeyType::Timestamp,
            Self::Timestamptz(_) => KeyType::Timestamptz,
        }
    }

    /// Writes a key as its canonical bytes, which the digests and `xxh3` hash. Each part is a tag, then its value:
    ///
    /// | part | tag | value |
    /// | --- | --- | --- |
    /// | bool | `b` | one byte, 0 or 1 |
    /// | int2, int4, int8 | `i` | eight bytes, big-endian, two's complement |
    /// | numeric | `n` | length, then its canonical text |
    /// | text, varchar, char(n) | `t` | length, then its UTF-8 bytes |
    /// | bytea | `x` | length, then its bytes |
    /// | uuid | `u` | its sixteen bytes |
    /// | date | `d` | four bytes, big-endian: days since 2000-01-01 |
    /// | time | `h` | eight bytes, big-endian: microseconds since midnight |
    /// | timestamp | `s` | eight bytes, big-endian: microseconds since 2000-01-01 |
    /// | timestamptz | `z` | eight bytes, big-endian: microseconds since 2000-01-01 UTC |
    ///
    /// A length is eight bytes, big-endian. So no two keys have the same bytes, also of several fields.
    #[must_use]
    pub fn encode(key: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(key.len() * 24);
        for part in key {
            part.encode_to(&mut bytes);
        }
        bytes
    }

    fn encode_to(&self, to: &mut Vec<u8>) {
        let mut long = |tag: u8, value: &[u8]| {
            to.push(tag);
            to.extend((value.len() as u64).to_be_bytes());
            to.extend(value);
        };
        match self {
            Self::Numeric(value) => long(b'n', value.as_bytes()),
            Self::Text(value) => long(b't', value.as_bytes()),
            Self::Bytes(value) => long(b'x', value),
            Self::Bool(value) => to.extend([b'b', u8::from(*value)]),
            Self::Uuid(value) => {
                to.push(b'u');
                to.extend(value);
            }
            Self::Date(value) => {
                to.push(b'd');
                to.extend(value.to_be_bytes());
            }
            Self::Int(value)
            | Self::Time(value)
            | Self::Timestamp(value)
            | Self::Timestamptz(value) => {
                to.push(match self {
                    Self::Time(_) => b'h',
                    Self::Timestamp(_) => b's',
                    Self::Timestamptz(_) => b'z',
                    _ => b'i',
                });
                to.extend(value.to_be_bytes());
            }
        }
    }

    /// Reads a value as PostgreSQL prints it with `DateStyle = ISO` and time zone UTC: the bounds and values of range and
    /// list keyspaces are kept so.
    ///
    /// # Errors
    /// [`ShardingError::BadBound`].
    pub fn parse(key_type: KeyType, text: &str) -> Result<Self, ShardingError> {
        let part = match key_type {
            KeyType::Bool => match text {
                "t" | "true" => Some(Self::Bool(true)),
                "f" | "false" => Some(Self::Bool(false)),
                _ => None,
            },
            KeyType::Int => text.parse().ok().map(Self::Int),
            KeyType::Numeric => is_numeric(text).then(|| Self::numeric(text)),
            KeyType::Text | KeyType::Enum(_) => Some(Self::text(text)),
            KeyType::Bytes => text.strip_prefix("\\x").and_then(parse_hex).map(Self::Bytes),
            KeyType::Uuid => {
                let bytes = parse_hex(&text.replace('-', ""));
                bytes.and_then(|bytes| Some(Self::Uuid(bytes.try_into().ok()?)))
            }
            KeyType::Date => match text {
                "infinity" => Some(Self::Date(i32::MAX)),
                "-infinity" => Some(Self::Date(i32::MIN)),
                _ => {
                    let (text, era) = split_era(text);
                    parse_days(text, era).and_then(|days| i32::try_from(days).ok()).map(Self::Date)
                }
            },
            KeyType::Time => parse_time(text).map(Self::Time),
            KeyType::Timestamp => parse_timestamp(text, "").map(Self::Timestamp),
            KeyType::Timestamptz => parse_timestamp(text, "+00").map(Self::Timestamptz),
        };
        part.ok_or_else(|| ShardingError::BadBound { text: text.to_owned(), key_type })
    }
}

impl PartialOrd for KeyPart {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyPart {
    /// PostgreSQL's order within one type, with collation `"C"` for text; parts of different types sort by type.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Int(one), Self::Int(other))
            | (Self::Time(one), Self::Time(other))
            | (Self::Timestamp(one), Self::Timestamp(other))
            | (Self::Timestamptz(one), Self::Timestamptz(other)) => one.cmp(other),
            (Self::Numeric(one), Self::Numeric(other)) => compare_numeric(one, other),
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            (Self::Uuid(one), Self::Uuid(other)) => one.cmp(other),
            (Self::Date(one), Self::Date(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl KeyPart {
    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) => 1,
            Self::Numeric(_) => 2,
            Self::Text(_) => 3,
            Self::Bytes(_) => 4,
            Self::Uuid(_) => 5,
            Self::Date(_) => 6,
            Self::Time(_) => 7,
            Self::Timestamp(_) => 8,
            Self::Timestamptz(_) => 9,
        }
    }
}

/// Compares canonical numerics: -Infinity, the numbers, Infinity, NaN.
fn compare_numeric(one: &str, other: &str) -> Ordering {
    let class = |text: &str| match text {
        "-Infinity" => 0,
        "Infinity" => 4,
        "NaN" => 5,
        "0" => 2,
        text if text.starts_with('-') => 1,
        _ => 3,
    };
    let (left, right) = (class(one), class(other));
    if left != right || left == 2 {
        return left.cmp(&right);
    }
    let compare = |one: &str, other: &str| {
        let split = |text: &str| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            (whole.len(), whole.to_owned(), fraction.to_owned())
        };
        split(one).cmp(&split(other))
    };
    match left {
        1 => compare(&other[1..], &one[1..]),
        3 => compare(one, other),
        _ => Ordering::Equal,
    }
}

fn is_numeric(text: &str) -> bool {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return true;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    Common,
    BeforeChrist,
}

fn split_era(text: &str) -> (&str, Era) {
    text.strip_suffix(" BC").map_or((text, Era::Common), |text| (text, Era::BeforeChrist))
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Days since 2000-01-01 of `year-month-day` in the proleptic Gregorian calendar.
fn parse_days(text: &str, era: Era) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if era == Era::BeforeChrist { 1 - year } else { year };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || year > 6_000_000 {
        return None;
    }
    // Years that begin in March, so that the leap day comes last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 1;
    const DAYS_TO_2000: i64 = 730_425;
    Some(days - DAYS_TO_2000)
}

/// Microseconds of `hh:mm:ss[.ffffff]`; `24:00:00` is a time too.
fn parse_time(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    if hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    let micros = number(&format!("{fraction:0<6}"))?;
    let time = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros;
    (time <= 86_400_000_000).then_some(time)
}

fn parse_timestamp(text: &str, zone: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (text, era) = split_era(text);
    let (date, time) = text.strip_suffix(zone)?.split_once(' ')?;
    parse_days(date, era)?.checked_mul(86_400_000_000)?.checked_add(parse_time(time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_canonical() {
        let check = |text: &str, expected: &str| {
            assert_eq!(KeyPart::numeric(text), KeyPart::Numeric(expected.to_owned()))
        };
        check("1.50", "1.5");
        check("100", "100");
        check("-0.00", "0");
        check("000.10", "0.1");
        check("-.5", "-0.5");
        check("-Infinity", "-Infinity");
    }

    #[test]
    fn numerics_sort_as_numbers() {
        let sorted = [
            "-Infinity",
            "-100",
            "-10.5",
            "-10",
            "-0.1",
            "-0.01",
            "0",
            "0.001",
            "0.1",
            "9",
            "10",
            "10.01",
            "Infinity",
            "NaN",
        ];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                let found = KeyPart::numeric(one).cmp(&KeyPart::numeric(other));
                assert_eq!(found, place.cmp(&other_place), "{one} {other}");
            }
        }
    }

    #[test]
    fn texts() {
        let check = |key_type, text: &str, expected: Option<KeyPart>| {
            assert_eq!(KeyPart::parse(key_type, text).ok(), expected, "{text}");
        };
        check(KeyType::Date, "2000-01-01", Some(KeyPart::Date(0)));
        check(KeyType::Date, "1999-12-31", Some(KeyPart::Date(-1)));
        check(KeyType::Date, "2024-02-29", Some(KeyPart::Date(8825)));
        check(KeyType::Date, "2023-02-29", None);
        check(KeyType::Date, "4714-11-24 BC", Some(KeyPart::Date(-2_451_545)));
        check(KeyType::Date, "5874897-12-31", Some(KeyPart::Date(2_145_031_948)));
        check(KeyType::Timestamp, "2000-01-01 00:00:01.5", Some(KeyPart::Timestamp(1_500_000)));
        check(
            KeyType::Timestamptz,
            "1999-12-31 23:59:59+00",
            Some(KeyPart::Timestamptz(-1_000_000)),
        );
        check(KeyType::Timestamptz, "1999-12-31 23:59:59", None);
        check(KeyType::Time, "24:00:00", Some(KeyPart::Time(86_400_000_000)));
        check(KeyType::Time, "24:00:01", None);
        check(KeyType::Time, "9223372036854775807:00:00", None);
        check(KeyType::Date, "9223372036854775807-01-01", None);
        check(KeyType::Date, "99999999999999999999-01-01", None);
        check(KeyType::Int, "-5", Some(KeyPart::Int(-5)));
        check(KeyType::Int, "5.0", None);
        check(KeyType::Bytes, "\\x00fF", Some(KeyPart::Bytes(vec![0, 255])));
        check(KeyType::Bytes, "\\x0é", None);
        check(
            KeyType::Uuid,
            "00000000-0000-0000-0000-0000000000ff",
            Some(KeyPart::Uuid({
                let mut bytes = [0; 16];
                bytes[15] = 255;
                bytes
            })),
        );
        check(KeyType::Numeric, "1e5", None);
        check(KeyType::Numeric, ".", None);
    }

    #[test]
    fn several_fields_are_told_apart() {
        let key = |parts: &[&str]| {
            KeyPart::encode(&parts.iter().map(|part| KeyPart::text(part)).collect::<Vec<_>>())
        };
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
        assert_ne!(key(&["a", "b"]), key(&["", "ab"]));
        assert_ne!(KeyPart::encode(&[KeyPart::Int(1)]), KeyPart::encode(&[KeyPart::Timestamp(1)]));
    }
}
