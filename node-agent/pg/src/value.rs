//! Values of the types that dataman computes with.

use std::sync::Arc;

use crate::types::TypeId;

pub use crate::bits::Bits;
pub use crate::network::Inet;
pub use crate::numeric::Numeric;
pub use crate::range::{Bound, Multirange, Range, Span};

/// One value, or NULL.
///
/// The variant is the type's representation, not the type: `text`, `varchar`, `name` and `unknown` are all
/// [`Value::Text`]. The type of an expression is known from its [`crate::Expr`]. `PartialEq` is identity of
/// representation, for tests; PostgreSQL's equality is [`crate::order::compare`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL's NULL, of any type.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `smallint`.
    Int2(i16),
    /// `integer`.
    Int4(i32),
    /// `bigint`.
    Int8(i64),
    /// `real`.
    Float4(f32),
    /// `double precision`.
    Float8(f64),
    /// `numeric`, with its display scale.
    Numeric(Numeric),
    /// `text`, `varchar`, `name`, `unknown`.
    Text(Arc<str>),
    /// `char(n)`, blank-padded to its length as PostgreSQL stores it.
    Bpchar(Arc<str>),
    /// `"char"`: one byte.
    Char(u8),
    /// `bytea`.
    Bytea(Arc<[u8]>),
    /// `date`: days since 2000-01-01; `i32::MIN` and `i32::MAX` are `-infinity` and `infinity`.
    Date(i32),
    /// `time`: microseconds since midnight, 0..=86_400_000_000.
    Time(i64),
    /// `timetz`.
    TimeTz(TimeTz),
    /// `timestamp`: microseconds since 2000-01-01 00:00:00; `i64::MIN` and `i64::MAX` are the infinities.
    Timestamp(i64),
    /// `timestamptz`: microseconds since 2000-01-01 00:00:00 UTC; infinities as for `timestamp`.
    TimestampTz(i64),
    /// `interval`.
    Interval(Interval),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `json`: the text as it was given.
    Json(Arc<str>),
    /// `jsonb`: parsed, keys unique and in PostgreSQL's order.
    Jsonb(Arc<crate::json::Jsonb>),
    /// `oid` and its `reg…` aliases.
    Oid(u32),
    /// An array of any element type.
    Array(Arc<Array>),
    /// A value of a user-defined enum.
    Enum(EnumLabel),
    /// `inet` or `cidr`.
    Inet(Inet),
    /// `macaddr`.
    MacAddr([u8; 6]),
    /// `macaddr8`.
    MacAddr8([u8; 8]),
    /// `bit(n)` or `varbit(n)`.
    Bits(Bits),
    /// A range of any element type.
    Range(Arc<Range>),
    /// A multirange of any element type.
    Multirange(Arc<Multirange>),
    /// A row value.
    Record(Arc<Record>),
}

/// A row value: its fields in order, and their names where it is the row of a table or query.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The fields with their types.
    pub fields: Vec<(TypeId, Value)>,
    /// Their names, as JSON has them; `f1`, `f2` and so on without.
    pub names: Option<Arc<[Arc<str>]>>,
}

impl Record {
    /// The name of the field at a place.
    pub fn name(&self, place: usize) -> Arc<str> {
        let known = self.names.as_ref().and_then(|names| names.get(place));
        known.map_or_else(|| Arc::from(format!("f{}", place + 1)), Arc::clone)
    }
}

impl From<Vec<(TypeId, Value)>> for Record {
    fn from(fields: Vec<(TypeId, Value)>) -> Self {
        Self { fields, names: None }
    }
}

impl std::ops::Deref for Record {
    type Target = Vec<(TypeId, Value)>;

    fn deref(&self) -> &Self::Target {
        &self.fields
    }
}

/// `timetz`: a time of day at a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeTz {
    /// Microseconds since local midnight.
    pub time_us: i64,
    /// Seconds **west** of UTC, as PostgreSQL keeps it (`+02` is -7200).
    pub zone_s: i32,
}

/// `interval`: three parts that do not convert into each other exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub time_us: i64,
}

/// One label of a user-defined enum, with its place in the order of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumLabel {
    /// The enum's type.
    pub enum_type: TypeId,
    /// Its rank: labels compare by it.
    pub rank: u32,
    /// Its text.
    pub label: Arc<str>,
}

/// A PostgreSQL array: any number of dimensions with lower bounds, elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The elements' type.
    pub element_type: TypeId,
    /// The dimensions; none for the empty array.
    pub dimensions: Vec<Dimension>,
    /// The elements, row-major; their count is the product of the dimensions' lengths.
    pub elements: Vec<Value>,
}

/// One dimension of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimension {
    /// The number of elements along it.
    pub length: i32,
    /// The subscript of the first one.
    pub lower: i32,
}

impl Value {
    /// Makes a text value.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl Array {
    /// A one-dimensional array with subscripts from 1.
    pub fn vector(element_type: TypeId, elements: Vec<Value>) -> Self {
        let length = i32::try_from(elements.len()).unwrap_or(i32::MAX);
        let dimensions =
            if elements.is_empty() { Vec::new() } else { vec![Dimension { length, lower: 1 }] };
        Self { element_type, dimensions, elements }
    }
}
