//! How SQLite keeps PostgreSQL's values.
//!
//! Each value is stored so that SQLite's own `=`, `<`, ORDER BY, GROUP BY, UNIQUE and indexes mean what PostgreSQL's do, and
//! so that the exact value comes back:
//!
//! | type | stored | compared |
//! | --- | --- | --- |
//! | bool, int2, int4, int8, oid, "char" | INTEGER | natively |
//! | date, time, timestamp, timestamptz | INTEGER: days or microseconds since 2000-01-01 | natively |
//! | float4, float8 | REAL; NaN as TEXT `NaN`, which SQLite sorts after all numbers | natively |
//! | text, varchar, name, json | TEXT | by bytes |
//! | char(n) | TEXT | `RTRIM` |
//! | bytea, uuid | BLOB | by bytes |
//! | timetz | BLOB: the instant, then the zone, big-endian | by bytes |
//! | numeric | TEXT in PostgreSQL's text form | [`NUMERIC`] |
//! | interval | TEXT `months days microseconds` | [`INTERVAL`] |
//! | jsonb | TEXT in PostgreSQL's text form | [`JSONB`] |
//! | arrays | TEXT `element type:text form` | [`ARRAY`] |
//! | enums | INTEGER: the label's rank | natively |
//!
//! Columns are declared without a type, so SQLite converts nothing (`-0.0` and `1.0` stay what they are). A collation is
//! named wherever values meet, never left to a column's declaration.

use std::sync::Arc;

use dataman_pg::catalog;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::{EnumLabel, Interval, TimeTz, Value};
use dataman_pg::{Context, PgError, io};

/// The collation of `numeric`.
pub const NUMERIC: &str = "dm_numeric";
/// The collation of `interval`.
pub const INTERVAL: &str = "dm_interval";
/// The collation of `jsonb`.
pub const JSONB: &str = "dm_jsonb";
/// The collation of arrays.
pub const ARRAY: &str = "dm_array";
/// SQLite's own collation that looks past trailing spaces: that of `char(n)`.
pub const BPCHAR: &str = "RTRIM";

/// The first OID of user-defined types: enums.
pub const FIRST_USER_TYPE: u32 = 16384;

/// A value in the form in which SQLite keeps it.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// A borrowed value as SQLite hands it out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StoredRef<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(&'a str),
    /// BLOB.
    Blob(&'a [u8]),
}

/// Finds the labels of user-defined enums.
pub trait EnumLabels {
    /// The labels of an enum in order; `None` if there is no such enum.
    fn labels(&self, enum_type: TypeId) -> Option<&[Arc<str>]>;
}

/// No enums.
pub struct NoEnums;

impl EnumLabels for NoEnums {
    fn labels(&self, _enum_type: TypeId) -> Option<&[Arc<str>]> {
        None
    }
}

/// The element type of an array type of the catalog.
pub fn element_type(ty: TypeId) -> Option<TypeId> {
    let found = catalog::type_by_id(ty)?;
    // Fixed-length types with subscripts (`name`, `point`) and `oidvector` are no arrays.
    (found.category == 'A' && found.length == -1 && found.element.0 != 0).then_some(found.element)
}

/// The collation that compares a type's stored form; `None` for the native comparison.
pub fn collation(ty: TypeId) -> Option<&'static str> {
    match ty {
        TypeId::NUMERIC => Some(NUMERIC),
        TypeId::INTERVAL => Some(INTERVAL),
        TypeId::JSONB => Some(JSONB),
        TypeId::BPCHAR => Some(BPCHAR),
        _ => element_type(ty).map(|_| ARRAY),
    }
}

/// The collation to name where a type's stored forms meet in an expression; `None` where none is ever asked.
///
/// SQLite lets a `COLLATE` deep inside an operand decide the comparison around it, so that what compares by bytes says so.
pub fn named_collation(ty: TypeId) -> Option<&'static str> {
    collation(ty).or(match ty {
        TypeId::TEXT
        | TypeId::VARCHAR
        | TypeId::NAME
        | TypeId::UNKNOWN
        | TypeId::JSON
        | TypeId::FLOAT4
        | TypeId::FLOAT8 => Some("BINARY"),
        _ => None,
    })
}

/// Types that compare with each other natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// int2, int4, int8.
    Integer,
    /// float4, float8.
    Float,
    /// text, varchar, name.
    Text,
    /// Only with itself.
    Own(TypeId),
}

/// The family of a type whose stored form sorts and compares as PostgreSQL's values do.
pub fn family(ty: TypeId) -> Option<Family> {
    match ty {
        TypeId::INT2 | TypeId::INT4 | TypeId::INT8 => Some(Family::Integer),
        TypeId::FLOAT4 | TypeId::FLOAT8 => Some(Family::Float),
        TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME => Some(Family::Text),
        TypeId::BOOL
        | TypeId::OID
        | TypeId::CHAR
        | TypeId::BPCHAR
        | TypeId::BYTEA
        | TypeId::UUID
        | TypeId::DATE
        | TypeId::TIME
        | TypeId::TIMETZ
        | TypeId::TIMESTAMP
        | TypeId::TIMESTAMPTZ
        | TypeId::INTERVAL
        | TypeId::NUMERIC
        | TypeId::JSONB => Some(Family::Own(ty)),
        _ if ty.0 >= FIRST_USER_TYPE => Some(Family::Own(ty)),
        _ => element_type(ty).and_then(family).map(|_| Family::Own(ty)),
    }
}

/// Whether the type has a stored form at all.
///
/// # Errors
/// Why not.
pub fn check_stored(ty: TypeId) -> Result<(), String> {
    if ty == TypeId::JSON || ty == TypeId::JSON_ARRAY || family(ty).is_some() {
        return Ok(());
    }
    let name = catalog::format_type(ty, -1);
    Err(format!("SQLite has no exact form for values of type {name}"))
}

/// Turns a value into its stored form.
///
/// # Errors
/// A row value, which has none.
pub fn store(value: &Value) -> Result<Stored, PgError> {
    Ok(match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(i64::from(*value)),
        Value::Int2(value) => Stored::Integer(i64::from(*value)),
        Value::Int4(value) | Value::Date(value) => Stored::Integer(i64::from(*value)),
        Value::Int8(value)
        | Value::Time(value)
        | Value::Timestamp(value)
        | Value::TimestampTz(value) => Stored::Integer(*value),
        Value::Oid(value) => Stored::Integer(i64::from(*value)),
        Value::Char(value) => Stored::Integer(i64::from(*value)),
        Value::Enum(label) => Stored::Integer(i64::from(label.rank)),
        Value::Float4(value) => real(f64::from(*value)),
        Value::Float8(value) => real(*value),
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => {
            Stored::Text(text.as_ref().to_owned())
        }
        Value::Bytea(bytes) => Stored::Blob(bytes.to_vec()),
        Value::Uuid(bytes) => Stored::Blob(bytes.to_vec()),
        Value::TimeTz(time) => Stored::Blob(timetz_bytes(*time).to_vec()),
        Value::Interval(interval) => {
            Stored::Text(format!("{} {} {}", interval.months, interval.days, interval.time_us))
        }
        Value::Numeric(_) => Stored::Text(text_form(value, TypeId::NUMERIC)),
        Value::Jsonb(_) => Stored::Text(text_form(value, TypeId::JSONB)),
        Value::Array(array) => {
            let array_type = catalog::type_by_id(array.element_type)
                .map(|found| found.array)
                .ok_or_else(|| PgError::unsupported("SQLite stores no arrays of enums"))?;
            Stored::Text(format!("{}:{}", array.element_type.0, text_form(value, array_type)))
        }
        Value::Record(_) => return Err(PgError::unsupported("SQLite stores no row values")),
        Value::Inet(_)
        | Value::MacAddr(_)
        | Value::MacAddr8(_)
        | Value::Bits(_)
        | Value::Range(_)
        | Value::Multirange(_) => {
            return Err(PgError::unsupported(
                "SQLite stores no network addresses, bit strings or ranges",
            ));
        }
    })
}

fn real(value: f64) -> Stored {
    if value.is_nan() { Stored::Text("NaN".to_owned()) } else { Stored::Real(value) }
}

fn text_form(value: &Value, ty: TypeId) -> String {
    let mut out = Vec::new();
    io::text::output(value, ty, &Context::default(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn timetz_bytes(time: TimeTz) -> [u8; 12] {
    let instant = time.time_us + i64::from(time.zone_s) * 1_000_000;
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&(instant ^ i64::MIN).to_be_bytes());
    bytes[8..].copy_from_slice(&(time.zone_s ^ i32::MIN).to_be_bytes());
    bytes
}

/// Turns a stored form back into the value of a type.
///
/// # Errors
/// `XX001` for a form that is not the type's: the file was changed by another program, or is damaged.
pub fn load(stored: StoredRef<'_>, ty: TypeId, enums: &dyn EnumLabels) -> Result<Value, PgError> {
    let damaged = || {
        let name = catalog::format_type(ty, -1);
        PgError::new("XX001", format!("a stored value is not of type {name}"))
    };
    Ok(match (stored, ty) {
        (StoredRef::Null, _) => Value::Null,
        (StoredRef::Integer(value), TypeId::BOOL) => Value::Bool(value != 0),
        (StoredRef::Integer(value), TypeId::INT2) => {
            Value::Int2(i16::try_from(value).map_err(|_| damaged())?)
        }
        (StoredRef::Integer(value), TypeId::INT4) => {
            Value::Int4(i32::try_from(value).map_err(|_| damaged())?)
        }
        (StoredRef::Integer(value), TypeId::INT8) => Value::Int8(value),
        (StoredRef::Integer(value), TypeId::DATE) => {
            Value::Date(i32::try_from(value).map_err(|_| damaged())?)
        }
        (StoredRef::Integer(value), TypeId::TIME) => Value::Time(value),
        (StoredRef::Integer(value), TypeId::TIMESTAMP) => Value::Timestamp(value),
        (StoredRef::Integer(value), TypeId::TIMESTAMPTZ) => Value::TimestampTz(value),
        (StoredRef::Integer(value), TypeId::OID) => {
            Value::Oid(u32::try_from(value).map_err(|_| damaged())?)
        }
        (StoredRef::Integer(value), TypeId::CHAR) => {
            Value::Char(u8::try_from(value).map_err(|_| damaged())?)
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a real is stored as the double that equals it"
        )]
        (StoredRef::Real(value), TypeId::FLOAT4) => Value::Float4(value as f32),
        (StoredRef::Real(value), TypeId::FLOAT8) => Value::Float8(value),
        (StoredRef::Text("NaN"), TypeId::FLOAT4) => Value::Float4(f32::NAN),
        (StoredRef::Text("NaN"), TypeId::FLOAT8) => Value::Float8(f64::NAN),
        (
            StoredRef::Text(text),
            TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME | TypeId::UNKNOWN,
        ) => Value::text(text),
        (StoredRef::Text(text), TypeId::BPCHAR) => Value::Bpchar(text.into()),
        (StoredRef::Text(text), TypeId::JSON) => Value::Json(text.into()),
        (StoredRef::Text(text), TypeId::NUMERIC | TypeId::JSONB) => {
            io::text::input(text, TypeRef::plain(ty), &Context::default())?
        }
        (StoredRef::Text(text), TypeId::INTERVAL) => {
            Value::Interval(parse_interval(text).ok_or_else(damaged)?)
        }
        (StoredRef::Blob(bytes), TypeId::BYTEA) => Value::Bytea(bytes.into()),
        (StoredRef::Blob(bytes), TypeId::UUID) => {
            Value::Uuid(bytes.try_into().map_err(|_| damaged())?)
        }
        (StoredRef::Blob(bytes), TypeId::TIMETZ) => {
            Value::TimeTz(parse_timetz(bytes).ok_or_else(damaged)?)
        }
        (StoredRef::Integer(rank), _) if ty.0 >= FIRST_USER_TYPE => {
            let rank = u32::try_from(rank).map_err(|_| damaged())?;
            let label = enums
                .labels(ty)
                .and_then(|labels| labels.get(usize::try_from(rank).ok()?))
                .ok_or_else(damaged)?;
            Value::Enum(EnumLabel { enum_type: ty, rank, label: label.clone() })
        }
        (StoredRef::Text(text), _) if element_type(ty).is_some() => {
            let (_, text) = text.split_once(':').ok_or_else(damaged)?;
            io::text::input(text, TypeRef::plain(ty), &Context::default())?
        }
        _ => return Err(damaged()),
    })
}

/// Reads a stored interval.
pub fn parse_interval(text: &str) -> Option<Interval> {
    let mut parts = text.split(' ');
    let interval = Interval {
        months: parts.next()?.parse().ok()?,
        days: parts.next()?.parse().ok()?,
        time_us: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(interval)
}

fn parse_timetz(bytes: &[u8]) -> Option<TimeTz> {
    let instant = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?) ^ i64::MIN;
    let zone_s = i32::from_be_bytes(bytes.get(8..)?.try_into().ok()?) ^ i32::MIN;
    Some(TimeTz { time_us: instant - i64::from(zone_s) * 1_000_000, zone_s })
}

impl Stored {
    /// Borrows.
    pub fn as_ref(&self) -> StoredRef<'_> {
        match self {
            Self::Null => StoredRef::Null,
            Self::Integer(value) => StoredRef::Integer(*value),
            Self::Real(value) => StoredRef::Real(*value),
            Self::Text(text) => StoredRef::Text(text),
            Self::Blob(bytes) => StoredRef::Blob(bytes),
        }
    }

    /// As an SQL literal; `None` for reals, whose digits SQLite may round.
    pub fn literal(&self) -> Option<String> {
        Some(match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(value) => value.to_string(),
            Self::Real(_) => return None,
            Self::Text(text) => super::literal(text),
            Self::Blob(bytes) => {
                let mut out = String::with_capacity(bytes.len() * 2 + 3);
                out.push_str("x'");
                for byte in bytes {
                    out.push_str(&format!("{byte:02x}"));
                }
                out.push('\'');
                out
            }
        })
    }
}

/// The name under which SQLite knows a name of dataman's.
///
/// SQLite folds ASCII case, PostgreSQL tells `t` from `"T"`: a capital is written `^` and its small letter. What begins
/// like SQLite's own tables, dataman's, or an alias is set apart with `^!`.
pub fn physical_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    if name.starts_with("sqlite_") || name.starts_with("dataman_") || name.starts_with('@') {
        out.push_str("^!");
    }
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('^');
            out.push(c.to_ascii_lowercase());
        } else if c == '^' {
            out.push_str("^^");
        } else {
            out.push(c);
        }
    }
    out
}

/// Reads [`physical_name`] back.
pub fn logical_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name.strip_prefix("^!").unwrap_or(name).chars();
    while let Some(c) = rest.next() {
        match c {
            '^' => out.extend(rest.next().map(|c| c.to_ascii_uppercase())),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_apart() {
        let check = |name: &str, physical: &str| {
            assert_eq!(physical_name(name), physical);
            assert_eq!(logical_name(physical), name);
        };
        check("orders", "orders");
        check("Orders", "^orders");
        check("a^b", "a^^b");
        check("sqlite_x", "^!sqlite_x");
        check("dataman_x", "^!dataman_x");
        check("s.T", "s.^t");
    }

    #[test]
    fn values_come_back() {
        let check = |value: Value, ty: TypeId, stored: Stored| {
            let made = store(&value).unwrap();
            assert_eq!(made, stored);
            assert_eq!(load(made.as_ref(), ty, &NoEnums).unwrap(), value);
        };
        check(Value::Bool(true), TypeId::BOOL, Stored::Integer(1));
        check(Value::Int8(i64::MIN), TypeId::INT8, Stored::Integer(i64::MIN));
        check(Value::Date(-1), TypeId::DATE, Stored::Integer(-1));
        check(Value::Float8(-0.0), TypeId::FLOAT8, Stored::Real(-0.0));
        check(Value::text("x"), TypeId::TEXT, Stored::Text("x".into()));
        check(
            Value::Interval(Interval { months: -1, days: 2, time_us: 3 }),
            TypeId::INTERVAL,
            Stored::Text("-1 2 3".into()),
        );
        let time = TimeTz { time_us: 5, zone_s: -7200 };
        let stored = Stored::Blob(timetz_bytes(time).to_vec());
        check(Value::TimeTz(time), TypeId::TIMETZ, stored);
    }
}
