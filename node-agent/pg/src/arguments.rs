//! Reading an implementation's arguments: the caller promises their representations, and a broken promise is an
//! internal error, not a panic.

use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::json::Jsonb;
use crate::types::TypeId;
use crate::value::{Array, Value};

fn mismatch(args: &[Value], index: usize, wanted: &str) -> PgError {
    PgError::internal(format!("argument {} is no {wanted}: {:?}", index + 1, args.get(index)))
}

/// The text of a `text`, `varchar`, `name`, `char(n)` or `json` argument.
pub(crate) fn text(args: &[Value], index: usize) -> Result<&str> {
    match args.get(index) {
        Some(Value::Text(text) | Value::Bpchar(text) | Value::Json(text)) => Ok(text),
        _ => Err(mismatch(args, index, "text")),
    }
}

/// A `boolean` argument.
pub(crate) fn boolean(args: &[Value], index: usize) -> Result<bool> {
    match args.get(index) {
        Some(Value::Bool(value)) => Ok(*value),
        _ => Err(mismatch(args, index, "boolean")),
    }
}

/// An `integer` argument.
pub(crate) fn int4(args: &[Value], index: usize) -> Result<i32> {
    match args.get(index) {
        Some(Value::Int4(value)) => Ok(*value),
        _ => Err(mismatch(args, index, "integer")),
    }
}

/// A `bigint` argument.
pub(crate) fn int8(args: &[Value], index: usize) -> Result<i64> {
    match args.get(index) {
        Some(Value::Int8(value)) => Ok(*value),
        _ => Err(mismatch(args, index, "bigint")),
    }
}

/// A `bytea` argument.
pub(crate) fn bytes(args: &[Value], index: usize) -> Result<&[u8]> {
    match args.get(index) {
        Some(Value::Bytea(bytes)) => Ok(bytes),
        _ => Err(mismatch(args, index, "bytea")),
    }
}

/// An array argument.
pub(crate) fn array(args: &[Value], index: usize) -> Result<&Array> {
    match args.get(index) {
        Some(Value::Array(array)) => Ok(array),
        _ => Err(mismatch(args, index, "array")),
    }
}

/// A `jsonb` argument.
pub(crate) fn jsonb(args: &[Value], index: usize) -> Result<&Jsonb> {
    match args.get(index) {
        Some(Value::Jsonb(value)) => Ok(value),
        _ => Err(mismatch(args, index, "jsonb")),
    }
}

/// Whether an argument of a function that is not strict is NULL.
pub(crate) fn is_null(args: &[Value], index: usize) -> bool {
    args.get(index).is_none_or(Value::is_null)
}

/// A length or count as PostgreSQL's `integer`. No value here is longer than 1 GiB.
pub(crate) fn count(length: usize) -> Value {
    Value::Int4(i32::try_from(length).unwrap_or(i32::MAX))
}

/// The arguments from `first` on of a function over VARIADIC "any", each with its type; `None` for a NULL array that
/// was written with VARIADIC.
pub(crate) fn variadic<'a>(
    call: &CallContext<'_>,
    args: &'a [Value],
    first: usize,
) -> Result<Option<Vec<(TypeId, &'a Value)>>> {
    if !call.variadic {
        let types = call.arguments.iter().copied().chain(std::iter::repeat(TypeId::UNKNOWN));
        return Ok(Some(types.zip(args).skip(first).collect()));
    }
    match args.get(first) {
        Some(Value::Array(array)) => {
            Ok(Some(array.elements.iter().map(|element| (array.element_type, element)).collect()))
        }
        Some(Value::Null) => Ok(None),
        _ => Err(PgError::new("42804", "VARIADIC argument must be an array")),
    }
}

/// A Rust type that one variant of [`Value`] holds.
pub(crate) trait Argument<'a>: Sized {
    /// Takes it out of the value; `None` for another variant.
    fn take(value: &'a Value) -> Option<Self>;
}

macro_rules! arguments {
    ($($ty:ty = $pattern:pat => $value:expr;)*) => {
        $(impl<'a> Argument<'a> for $ty {
            fn take(value: &'a Value) -> Option<Self> {
                match value {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        })*
    };
}

arguments! {
    bool = Value::Bool(value) => *value;
    i16 = Value::Int2(value) => *value;
    i32 = Value::Int4(value) => *value;
    i64 = Value::Int8(value) => *value;
    u32 = Value::Oid(value) => *value;
    u8 = Value::Char(value) => *value;
    f32 = Value::Float4(value) => *value;
    f64 = Value::Float8(value) => *value;
    &'a crate::value::Numeric = Value::Numeric(value) => value;
    &'a str = Value::Text(value) | Value::Bpchar(value) | Value::Json(value) => value;
    &'a [u8] = Value::Bytea(value) => value;
    &'a crate::value::Bits = Value::Bits(value) => value;
    crate::value::Inet = Value::Inet(value) => *value;
    [u8; 6] = Value::MacAddr(value) => *value;
    [u8; 8] = Value::MacAddr8(value) => *value;
}

/// The argument at a place.
///
/// # Errors
/// `XX000` if the caller gave another representation than the function declares.
pub(crate) fn arg<'a, T: Argument<'a>>(args: &'a [Value], place: usize) -> Result<T> {
    args.get(place)
        .and_then(T::take)
        .ok_or_else(|| PgError::internal("an argument has another type than declared"))
}
