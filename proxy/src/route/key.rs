//! Values → parts of a shard key.

use dataman_metadata::sharding::KeyPart;
use dataman_pg::types::TypeRef;
use dataman_pg::{TypeId, Value};

/// The family of types within which equal values are equal keys, whatever the width.
pub(crate) fn family(ty: TypeId) -> TypeId {
    match ty {
        TypeId::INT2 | TypeId::INT4 | TypeId::INT8 => TypeId::INT8,
        TypeId::TEXT | TypeId::VARCHAR | TypeId::UNKNOWN => TypeId::TEXT,
        other => other,
    }
}

/// A value as a part of a key of a field's type; none for NULL and for values that no such field can equal.
pub(crate) fn key_part(value: &Value, ty: TypeRef) -> Option<KeyPart> {
    Some(match (value, family(ty.id)) {
        (Value::Int2(value), TypeId::INT8) => KeyPart::Int(i64::from(*value)),
        (Value::Int4(value), TypeId::INT8) => KeyPart::Int(i64::from(*value)),
        (Value::Int8(value), TypeId::INT8) => KeyPart::Int(*value),
        (Value::Text(text), TypeId::TEXT) => KeyPart::text(text),
        (Value::Text(text) | Value::Bpchar(text), TypeId::BPCHAR) => KeyPart::bpchar(text),
        (Value::Bool(value), TypeId::BOOL) => KeyPart::Bool(*value),
        (Value::Bytea(bytes), TypeId::BYTEA) => KeyPart::Bytes(bytes.to_vec()),
        (Value::Uuid(bytes), TypeId::UUID) => KeyPart::Uuid(*bytes),
        (Value::Date(days), TypeId::DATE) => KeyPart::Date(*days),
        (Value::Time(time), TypeId::TIME) => KeyPart::Time(*time),
        (Value::Timestamp(time), TypeId::TIMESTAMP) => KeyPart::Timestamp(*time),
        (Value::TimestampTz(time), TypeId::TIMESTAMPTZ) => KeyPart::Timestamptz(*time),
        (Value::Numeric(_), TypeId::NUMERIC) => {
            let mut text = Vec::new();
            dataman_pg::io::text::output(
                value,
                TypeId::NUMERIC,
                &dataman_pg::Context::default(),
                &mut text,
            );
            KeyPart::numeric(&String::from_utf8_lossy(&text))
        }
        (Value::Enum(label), _) => KeyPart::text(&label.label),
        _ => return None,
    })
}
