//! PostgreSQL's values ↔ the forms in which MySQL keeps them.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::record::Format;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io, order};
use mysql_async::Value as Raw;

use crate::driver::sql::stored::{self, EnumLabels, Stored, StoredRef};

/// The form from which the exact value comes back.
///
/// # Errors
/// A value that has none.
pub(super) fn exact(value: &Value) -> Result<Raw, NodeError> {
    Ok(match stored::store(value)? {
        Stored::Null => Raw::NULL,
        Stored::Integer(value) => Raw::Int(value),
        Stored::Text(text) => Raw::Bytes(text.into_bytes()),
        Stored::Blob(bytes) => Raw::Bytes(bytes),
        // MySQL's own DOUBLE holds neither NaN nor infinity.
        Stored::Real(_) => Raw::Bytes(text(value, float_type(value), &Context::default())),
    })
}

fn float_type(value: &Value) -> TypeId {
    if matches!(value, Value::Float4(_)) { TypeId::FLOAT4 } else { TypeId::FLOAT8 }
}

fn text(value: &Value, ty: TypeId, context: &Context) -> Vec<u8> {
    let mut out = Vec::new();
    io::text::output(value, ty, context, &mut out);
    out
}

/// The form that compares as PostgreSQL compares: bytes in memory order.
pub(super) fn key(value: &Value) -> Raw {
    if value.is_null() {
        return Raw::NULL;
    }
    let mut out = Vec::new();
    order::encode_ordered(value, &mut out);
    Raw::Bytes(out)
}

/// Reads a value back.
///
/// # Errors
/// `XX001` for a form that is not the type's; `22003` for a number that the type does not hold.
pub(super) fn load(raw: &Raw, ty: TypeId, enums: &dyn EnumLabels) -> Result<Value, NodeError> {
    let damaged = || {
        let name = dataman_pg::catalog::format_type(ty, -1);
        NodeError::statement("XX001", format!("a value stored in MySQL is not of type {name}"))
    };
    let bytes = match raw {
        Raw::NULL => return Ok(Value::Null),
        Raw::Int(value) => return Ok(stored::load(StoredRef::Integer(*value), ty, enums)?),
        Raw::UInt(value) => {
            let value = i64::try_from(*value).map_err(|_| damaged())?;
            return Ok(stored::load(StoredRef::Integer(value), ty, enums)?);
        }
        Raw::Bytes(bytes) => bytes,
        Raw::Float(value) if ty == TypeId::FLOAT4 => return Ok(Value::Float4(*value)),
        Raw::Double(value) if ty == TypeId::FLOAT8 => return Ok(Value::Float8(*value)),
        Raw::Date(..) | Raw::Time(..) => return moment(raw, ty),
        _ => return Err(damaged()),
    };
    if matches!(ty, TypeId::BYTEA | TypeId::UUID | TypeId::TIMETZ) {
        return Ok(stored::load(StoredRef::Blob(bytes), ty, enums)?);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    match ty {
        // Sums come as decimals; floats are kept as text.
        TypeId::INT2 | TypeId::INT4 | TypeId::INT8 | TypeId::FLOAT4 | TypeId::FLOAT8 => {
            Ok(io::text::input(text, TypeRef::plain(ty), &Context::default())?)
        }
        _ => Ok(stored::load(StoredRef::Text(text), ty, enums)?),
    }
}

/// Reads a date or time of MySQL's own.
///
/// # Errors
/// `22008` for a date that has no year, month or day.
fn moment(raw: &Raw, ty: TypeId) -> Result<Value, NodeError> {
    let text = match *raw {
        Raw::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            if year == 0 || month == 0 || day == 0 {
                return Err(NodeError::statement(
                    "22008",
                    format!("date/time field value out of range: \"{date}\""),
                )
                .with_detail("The MySQL table has a date that does not exist.")
                .with_hint("Leave the column out, or correct the value in MySQL."));
            }
            let time = format!(" {hour:02}:{minute:02}:{second:02}.{micros:06}");
            match ty {
                TypeId::DATE => date,
                TypeId::TIMESTAMPTZ => format!("{date}{time}+00"),
                _ => date + &time,
            }
        }
        Raw::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let sign = if is_negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            format!("{sign}{hours}:{minutes:02}:{seconds:02}.{micros:06}")
        }
        _ => String::new(),
    };
    Ok(io::text::input(&text, TypeRef::plain(ty), &Context::default())?)
}

/// Appends a value that is not NULL in a format.
pub(super) fn append(
    raw: &Raw,
    ty: TypeId,
    format: Format,
    context: &Context,
    enums: &dyn EnumLabels,
    out: &mut Vec<u8>,
) -> Result<(), NodeError> {
    match (raw, ty, format) {
        // Forms that are the answer already.
        (
            Raw::Bytes(bytes),
            TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME | TypeId::BPCHAR | TypeId::JSON,
            _,
        )
        | (Raw::Bytes(bytes), TypeId::NUMERIC | TypeId::JSONB, Format::Text)
        | (Raw::Bytes(bytes), TypeId::BYTEA | TypeId::UUID, Format::Binary) => {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        (Raw::Int(value), TypeId::INT2 | TypeId::INT4 | TypeId::INT8, Format::Text) => {
            out.extend_from_slice(value.to_string().as_bytes());
            return Ok(());
        }
        (Raw::Int(value), TypeId::INT8, Format::Binary) => {
            out.extend_from_slice(&value.to_be_bytes());
            return Ok(());
        }
        _ => {}
    }
    crate::driver::kept::value::append(&load(raw, ty, enums)?, ty, format, context, out);
    Ok(())
}
