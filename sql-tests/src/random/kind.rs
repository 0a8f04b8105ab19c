//! The types of the tables' columns, and values of each.

/// A type that a column of every engine can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Float4,
    Float8,
    Text,
    Varchar,
    Char,
    Bytea,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Ints,
    Texts,
    Mood,
}

use Kind::*;

impl Kind {
    /// All of them; those that most of SQL is about come several times.
    pub(super) const CHOICE: [Self; 36] = [
        Bool,
        Int2,
        Int4,
        Int4,
        Int4,
        Int4,
        Int8,
        Int8,
        Numeric,
        Numeric,
        Numeric,
        Float4,
        Float8,
        Float8,
        Text,
        Text,
        Text,
        Text,
        Varchar,
        Char,
        Bytea,
        Date,
        Date,
        Time,
        Timetz,
        Timestamp,
        Timestamp,
        Timestamptz,
        Interval,
        Uuid,
        Json,
        Jsonb,
        Ints,
        Texts,
        Mood,
        Bool,
    ];

    /// The name in templates.
    pub(super) fn code(self) -> &'static str {
        match self {
            Bool => "bool",
            Int2 => "int2",
            Int4 => "int4",
            Int8 => "int8",
            Numeric => "num",
            Float4 => "f4",
            Float8 => "f8",
            Text => "text",
            Varchar => "varchar",
            Char => "char",
            Bytea => "bytea",
            Date => "date",
            Time => "time",
            Timetz => "timetz",
            Timestamp => "ts",
            Timestamptz => "tstz",
            Interval => "iv",
            Uuid => "uuid",
            Json => "json",
            Jsonb => "jsonb",
            Ints => "ints",
            Texts => "texts",
            Mood => "mood",
        }
    }

    /// The type of a name in templates.
    pub(super) fn of(code: &str) -> Option<Self> {
        Self::CHOICE.into_iter().find(|kind| kind.code() == code)
    }

    /// The name in SQL.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Numeric => "numeric",
            Float4 => "real",
            Float8 => "float8",
            Char => "char(4)",
            Timestamp => "timestamp",
            Timestamptz => "timestamptz",
            Interval => "interval",
            Ints => "int[]",
            Texts => "text[]",
            other => other.code(),
        }
    }

    /// The OID that a parameter is declared with; 0 where it is not the same on every server.
    pub(super) fn oid(self) -> u32 {
        match self {
            Bool => 16,
            Int2 => 21,
            Int4 => 23,
            Int8 => 20,
            Numeric => 1700,
            Float4 => 700,
            Float8 => 701,
            Text => 25,
            Varchar => 1043,
            Char => 1042,
            Bytea => 17,
            Date => 1082,
            Time => 1083,
            Timetz => 1266,
            Timestamp => 1114,
            Timestamptz => 1184,
            Interval => 1186,
            Uuid => 2950,
            Json => 114,
            Jsonb => 3802,
            Ints => 1007,
            Texts => 1009,
            Mood => 0,
        }
    }

    /// Whether values have an order.
    pub(super) fn is_ordered(self) -> bool {
        self != Json
    }

    /// Whether `min` and `max` take it.
    pub(super) fn has_extremes(self) -> bool {
        !matches!(self, Json | Jsonb | Bool | Uuid | Bytea)
    }

    /// Values in their text form. Nothing overflows, and floats add without loss: which of several errors is met first, or in
    /// which order rows are added, is not decided by a statement.
    pub(super) fn values(self) -> &'static [&'static str] {
        match self {
            Bool => &["t", "f"],
            Int2 => &["0", "1", "2", "3", "-1", "7", "300"],
            Int4 => &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "-1", "100000"],
            Int8 => &["0", "1", "2", "5", "-3", "10000000000"],
            Numeric => &["0", "1", "1.5", "-2.25", "10.00", "0.001", "1000", "3.14159"],
            Float4 => &["0", "0.5", "-1.25", "3", "100"],
            Float8 => &["0", "0.25", "-2.5", "7", "1024.75", "3", "NaN"],
            Text => {
                &["", "a", "b", "ab", "A", "a ", "é", "zz", "a%", "10", "x'y", "abc", "B_b", "a\\b"]
            }
            Varchar => &["", "a", "b", "ab ", "Zz", "ü"],
            Char => &["", "a", "ab", "abcd", "é"],
            Bytea => &["\\x", "\\x00ff", "\\x61", "\\x6162"],
            Date => &["2020-01-01", "2020-02-29", "1999-12-31", "2024-06-15", "0044-03-15 BC"],
            Time => &["00:00:00", "12:34:56.789", "23:59:59", "24:00:00"],
            Timetz => &["12:00:00+00", "08:30:00-05", "23:59:59.5+02"],
            Timestamp => &[
                "2020-01-01 00:00:00",
                "2024-02-29 12:34:56.789",
                "1969-12-31 23:59:59.999999",
                "2020-01-01 12:00:00",
            ],
            Timestamptz => &[
                "2020-01-01 00:00:00+00",
                "2024-02-29 12:34:56.789-05",
                "1969-12-31 23:59:59.999999+02",
            ],
            Interval => &[
                "1 day",
                "-1 month",
                "02:30:00",
                "1 year 2 mons 3 days 04:05:06.789",
                "0",
                "24:00:00",
            ],
            Uuid => &[
                "00000000-0000-0000-0000-000000000001",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ],
            Json | Jsonb => &[
                "{\"a\": 1, \"b\": \"x\"}",
                "{\"a\": 2, \"b\": null}",
                "{\"b\": \"ab\", \"c\": [1, 2]}",
                "{}",
            ],
            Ints => &["{}", "{1,2,3}", "{NULL,2}", "{5}", "{2,2,1}"],
            Texts => &["{}", "{a,b}", "{NULL}", "{\"a b\",é}"],
            Mood => &["sad", "ok", "happy"],
        }
    }

    /// A value in SQL.
    pub(super) fn literal(self, value: Option<&str>) -> String {
        match (self, value) {
            (_, None) => format!("NULL::{}", self.sql()),
            (Int4, Some(value)) if !value.starts_with('-') => value.to_owned(),
            (Bool, Some(value)) => if value == "t" { "true" } else { "false" }.to_owned(),
            (Text, Some(value)) if value.len() % 2 == 0 => quoted(value),
            (_, Some(value)) => format!("{}::{}", quoted(value), self.sql()),
        }
    }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
