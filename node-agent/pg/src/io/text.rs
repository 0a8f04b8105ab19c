//! The text form: what psql shows and accepts.

use std::sync::Arc;

use crate::context::Context;
use crate::datetime::io as datetime;
use crate::error::{PgError, Result};
use crate::io::{plain, record};
use crate::types::{TypeId, TypeRef};
use crate::value::{Numeric, Value};
use crate::{catalog, float, integer, interval, network, range};

/// Appends the text form of a value of type `ty`; nothing for NULL, which the caller writes its own way.
pub fn output(value: &Value, ty: TypeId, context: &Context, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let result = match value {
        Value::Null => Ok(()),
        Value::Bool(value) => out.write_all(if *value { b"t" } else { b"f" }),
        Value::Int2(value) => write!(out, "{value}"),
        Value::Int4(value) => write!(out, "{value}"),
        Value::Int8(value) => write!(out, "{value}"),
        Value::Oid(value) if ty.is_named_oid() => {
            match crate::objects::name_of(ty, *value, context) {
                Some(name) => out.write_all(name.as_bytes()),
                None => write!(out, "{value}"),
            }
        }
        Value::Oid(value) => write!(out, "{value}"),
        Value::Float4(value) => {
            out.write_all(float::output_float4(*value, context.extra_float_digits).as_bytes())
        }
        Value::Float8(value) => {
            out.write_all(float::output_float8(*value, context.extra_float_digits).as_bytes())
        }
        Value::Numeric(value) => write!(out, "{value}"),
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => {
            out.write_all(text.as_bytes())
        }
        Value::Char(byte) => {
            plain::output_char(*byte, out);
            Ok(())
        }
        Value::Bytea(bytes) => {
            plain::output_bytea(bytes, context.bytea_output, out);
            Ok(())
        }
        Value::Uuid(uuid) => {
            plain::output_uuid(uuid, out);
            Ok(())
        }
        Value::Enum(label) => out.write_all(label.label.as_bytes()),
        Value::Date(days) => {
            out.write_all(datetime::output_date(*days, context.date_style).as_bytes())
        }
        Value::Time(micros) => out.write_all(datetime::output_time(*micros).as_bytes()),
        Value::TimeTz(time) => out.write_all(datetime::output_timetz(*time).as_bytes()),
        Value::Timestamp(micros) => {
            out.write_all(datetime::output_timestamp(*micros, context.date_style).as_bytes())
        }
        Value::TimestampTz(micros) => {
            out.write_all(datetime::output_timestamptz(*micros, context).as_bytes())
        }
        Value::Interval(value) => {
            out.write_all(interval::output(*value, context.interval_style).as_bytes())
        }
        Value::Jsonb(value) => {
            crate::json::write_jsonb(value, out);
            Ok(())
        }
        Value::Array(array) if ty.is_vector() => {
            for (place, element) in array.elements.iter().enumerate() {
                if place > 0 {
                    out.push(b' ');
                }
                output(element, array.element_type, context, out);
            }
            Ok(())
        }
        Value::Array(array) => {
            crate::array::output(array, context, out);
            Ok(())
        }
        Value::Record(fields) => {
            record::output(fields, context, out);
            Ok(())
        }
        Value::Inet(value) => out.write_all(network::output(value, ty == TypeId::CIDR).as_bytes()),
        Value::MacAddr(bytes) => out.write_all(network::output_mac(bytes).as_bytes()),
        Value::MacAddr8(bytes) => out.write_all(network::output_mac(bytes).as_bytes()),
        Value::Bits(bits) => out.write_all(crate::bits::output(bits).as_bytes()),
        Value::Range(value) => {
            range::output(value, context, out);
            Ok(())
        }
        Value::Multirange(value) => {
            range::output_multirange(value, context, out);
            Ok(())
        }
    };
    debug_assert!(result.is_ok(), "writing type {} to memory", ty.0);
}

/// Reads a value of type `ty`, as the type's input function does with the modifier.
///
/// # Errors
/// `22P02`, `22003`, `22007`, `22008`, `22001`, … in the input function's words; `0A000` for a type whose text this
/// library does not read.
pub fn input(text: &str, ty: TypeRef, context: &Context) -> Result<Value> {
    let value = match ty.id {
        TypeId::BOOL => Value::Bool(plain::input_bool(text)?),
        TypeId::INT2 => Value::Int2(integer::input_int2(text)?),
        TypeId::INT4 => Value::Int4(integer::input_int4(text)?),
        TypeId::INT8 => Value::Int8(integer::input_int8(text)?),
        TypeId::OID => Value::Oid(plain::input_oid(text)?),
        TypeId::FLOAT4 => Value::Float4(float::input_float4(text)?),
        TypeId::FLOAT8 => Value::Float8(float::input_float8(text)?),
        TypeId::NUMERIC => Value::Numeric(Numeric::parse(text)?.fit(ty.typmod)?),
        TypeId::TEXT | TypeId::UNKNOWN => Value::Text(Arc::from(text)),
        TypeId::VARCHAR => Value::Text(plain::fit_varchar(&Arc::from(text), ty.typmod, false)?),
        TypeId::BPCHAR => Value::Bpchar(plain::fit_bpchar(&Arc::from(text), ty.typmod, false)?),
        TypeId::NAME => Value::Text(Arc::from(plain::cut_name(text))),
        TypeId::CHAR => Value::Char(plain::input_char(text)),
        TypeId::BYTEA => Value::Bytea(plain::input_bytea(text)?),
        TypeId::UUID => Value::Uuid(plain::input_uuid(text)?),
        TypeId::VOID => Value::Null,
        TypeId::JSON => crate::json::json_input(text)?,
        TypeId::JSONB => crate::json::jsonb_input(text)?,
        TypeId::JSONPATH => crate::json::path::input(text)?,
        TypeId::DATE => Value::Date(datetime::input_date(text, context)?),
        TypeId::TIME => Value::Time(datetime::input_time(text, ty.typmod, context)?),
        TypeId::TIMETZ => Value::TimeTz(datetime::input_timetz(text, ty.typmod, context)?),
        TypeId::TIMESTAMP => Value::Timestamp(datetime::input_timestamp(text, ty.typmod, context)?),
        TypeId::TIMESTAMPTZ => {
            Value::TimestampTz(datetime::input_timestamptz(text, ty.typmod, context)?)
        }
        TypeId::INTERVAL => {
            Value::Interval(interval::input(text, ty.typmod, context.interval_style)?)
        }
        TypeId::INET => Value::Inet(network::input(text, false)?),
        TypeId::CIDR => Value::Inet(network::input(text, true)?),
        TypeId::MACADDR => Value::MacAddr(network::input_mac(text)?),
        TypeId::MACADDR8 => Value::MacAddr8(network::input_mac8(text)?),
        TypeId::BIT => Value::Bits(crate::bits::input(text, ty.typmod, false)?),
        TypeId::VARBIT => Value::Bits(crate::bits::input(text, ty.typmod, true)?),
        id if let Some(element) = range::element_of(id) => match catalog::range(id) {
            Some(_) => Value::Range(Arc::new(range::input(text, element, context)?)),
            None => Value::Multirange(Arc::new(range::input_multirange(text, element, context)?)),
        },
        id if id.is_user() => crate::enumeration::input(text, id, context)?,
        id if id.is_named_oid() => Value::Oid(crate::objects::find(id, text, context)?),
        TypeId::XID => Value::Oid(plain::input_oid(text)?),
        TypeId::OIDVECTOR | TypeId::INT2VECTOR => {
            let element = if ty.id == TypeId::OIDVECTOR { TypeId::OID } else { TypeId::INT2 };
            let words = text.split_ascii_whitespace();
            let elements = words.map(|word| input(word, element.into(), context));
            catalog::system::vector(element, elements.collect::<Result<_>>()?)
        }
        _ => match crate::array::element_type(ty.id) {
            Some(element) => {
                crate::array::input(text, TypeRef { id: element, typmod: ty.typmod }, context)?
            }
            None => return Err(not_read(ty)),
        },
    };
    Ok(value)
}

/// The refusal of a type that this library does not read.
pub(crate) fn not_read(ty: TypeRef) -> PgError {
    let name = crate::catalog::format_type(ty.id, ty.typmod);
    PgError::unsupported(format!("values of type {name} are not computed with here"))
}
