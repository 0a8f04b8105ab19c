//! PostgreSQL's values ↔ BSON.

use std::str::FromStr;

use dataman_node_protocol::NodeError;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Decimal128};

use super::layout::{Form, form};
use crate::driver::sql::stored::{self, EnumLabels, Stored, StoredRef};

/// The BSON of a value that is not NULL, in a form; none for NULL, whose field is left out.
///
/// # Errors
/// A value that has no form.
pub(super) fn exact(value: &Value, form: Form) -> Result<Option<Bson>, NodeError> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Int2(value) => Bson::Int32(i32::from(*value)),
        Value::Int4(value) | Value::Date(value) => Bson::Int32(*value),
        Value::Char(value) => Bson::Int32(i32::from(*value)),
        Value::Float4(value) => Bson::Double(f64::from(*value)),
        Value::Float8(value) => Bson::Double(*value),
        Value::Uuid(bytes) => binary(BinarySubtype::Uuid, bytes.to_vec()),
        Value::Numeric(_) if form == Form::Decimal => decimal(value)?,
        Value::Enum(label) => Bson::Int32(i32::try_from(label.rank).unwrap_or(i32::MAX)),
        value => match stored::store(value).map_err(unstorable)? {
            Stored::Null => return Ok(None),
            Stored::Integer(value) => Bson::Int64(value),
            Stored::Real(value) => Bson::Double(value),
            Stored::Text(text) => Bson::String(text),
            Stored::Blob(bytes) => binary(BinarySubtype::Generic, bytes),
        },
    }))
}

fn unstorable(error: dataman_pg::PgError) -> NodeError {
    let mut error = NodeError::from(error);
    error.message = error.message.replace("SQLite", "MongoDB");
    error
}

fn binary(subtype: BinarySubtype, bytes: Vec<u8>) -> Bson {
    Bson::Binary(Binary { subtype, bytes })
}

/// A numeric as a decimal128 of the same digits and scale.
fn decimal(value: &Value) -> Result<Bson, NodeError> {
    let text = text(value, TypeId::NUMERIC, &Context::default());
    let text = String::from_utf8_lossy(&text);
    Decimal128::from_str(&text).map(Bson::Decimal128).map_err(|_| {
        NodeError::unsupported(format!("MongoDB's decimal128 does not hold {text} exactly"))
    })
}

fn text(value: &Value, ty: TypeId, context: &Context) -> Vec<u8> {
    let mut out = Vec::new();
    io::text::output(value, ty, context, &mut out);
    out
}

/// The BSON that MongoDB compares values of a type by; none for types that it does not compare.
pub(super) fn comparable(value: &Value, ty: TypeId) -> Result<Option<Bson>, NodeError> {
    exact(value, form(TypeRef::plain(ty)))
}

/// Reads a value back.
///
/// # Errors
/// `XX001` for a form that is not the type's; `22003` for a number that the type does not hold.
pub(super) fn load(bson: &Bson, ty: TypeId, enums: &dyn EnumLabels) -> Result<Value, NodeError> {
    let damaged = || {
        let name = dataman_pg::catalog::format_type(ty, -1);
        NodeError::statement("XX001", format!("a value stored in MongoDB is not of type {name}"))
    };
    Ok(match (bson, ty) {
        (Bson::Null | Bson::Undefined, _) => Value::Null,
        (Bson::Boolean(value), TypeId::BOOL) => Value::Bool(*value),
        (Bson::Int32(value), _) => integer(i64::from(*value), ty, enums)?,
        (Bson::Int64(value), _) => integer(*value, ty, enums)?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a real is stored as the double that equals it"
        )]
        (Bson::Double(value), TypeId::FLOAT4) => Value::Float4(*value as f32),
        (Bson::Double(value), TypeId::FLOAT8) => Value::Float8(*value),
        (Bson::Decimal128(value), TypeId::NUMERIC | TypeId::INT8) => {
            io::text::input(&value.to_string(), TypeRef::plain(ty), &Context::default())?
        }
        (Bson::String(text), TypeId::FLOAT4 | TypeId::FLOAT8) => {
            io::text::input(text, TypeRef::plain(ty), &Context::default())?
        }
        (Bson::String(text), _) => stored::load(StoredRef::Text(text), ty, enums)?,
        (Bson::Binary(found), _) => stored::load(StoredRef::Blob(&found.bytes), ty, enums)?,
        _ => return Err(damaged()),
    })
}

/// A whole number: sums of whole numbers come as numerics too.
fn integer(value: i64, ty: TypeId, enums: &dyn EnumLabels) -> Result<Value, NodeError> {
    if matches!(ty, TypeId::NUMERIC | TypeId::FLOAT4 | TypeId::FLOAT8) {
        let text = value.to_string();
        return Ok(io::text::input(&text, TypeRef::plain(ty), &Context::default())?);
    }
    Ok(stored::load(StoredRef::Integer(value), ty, enums)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::kept::value::shown;
    use crate::driver::sql::stored::NoEnums;

    #[test]
    fn values_come_back() {
        let check = |ty: TypeRef, text: &str| {
            let context = Context::default();
            let value = io::text::input(text, ty, &context).expect("a value");
            let bson = exact(&value, form(ty)).expect("a form").expect("not NULL");
            let again = load(&bson, ty.id, &NoEnums).expect("reads back");
            assert_eq!(shown(&again, ty.id, &context), shown(&value, ty.id, &context), "{bson}");
        };
        let plain = TypeRef::plain;
        let decimal = TypeRef { id: TypeId::NUMERIC, typmod: ((34 << 16) | 20) + 4 };
        for text in
            ["1.50", "0", "-0.00000000000000000001", "99999999999999.12345678901234567890", "NaN"]
        {
            check(decimal, text);
        }
        for text in ["1.50", "1e100", "NaN", "Infinity", "0.000"] {
            check(plain(TypeId::NUMERIC), text);
        }
        for text in ["1", "-0", "NaN", "Infinity", "1e-310", "3.4028235e38"] {
            check(plain(TypeId::FLOAT8), text);
        }
        check(plain(TypeId::FLOAT4), "0.1");
        check(plain(TypeId::INT2), "-32768");
        check(plain(TypeId::INT8), "-9223372036854775808");
        check(plain(TypeId::OID), "4294967295");
        check(plain(TypeId::BOOL), "true");
        check(plain(TypeId::TIMESTAMP), "2026-01-02 03:04:05.123456");
        check(plain(TypeId::TIMESTAMPTZ), "infinity");
        check(plain(TypeId::DATE), "-infinity");
        check(plain(TypeId::TIMETZ), "03:04:05.000001+02");
        check(plain(TypeId::INTERVAL), "1 year 2 days 00:00:00.000001");
        check(plain(TypeId::UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        check(plain(TypeId::BYTEA), "\\x00ff");
        check(plain(TypeId::JSON), "{\"b\" :1,\"a\":1.0}");
        check(plain(TypeId::JSONB), "{\"b\" :1,\"a\":1.0}");
        check(plain(TypeId::TEXT), "");
    }
}
