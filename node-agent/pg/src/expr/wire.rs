//! How a [`Constant`] travels in JSON: `{"type": "int4", "value": "1"}`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Constant;
use crate::Context;
use crate::types::{TypeId, TypeRef};
use crate::value::{Array, Dimension, EnumLabel, Record, Value};

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "type")]
    ty: TypeRef,
    value: Option<Form>,
}

/// The forms of a value that is not NULL.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    /// PostgreSQL's text form.
    Text(String),
    /// A user's enum: the reader does not know the labels' order.
    Label { label: Arc<str>, rank: u32 },
    /// A row: its text form does not hold the fields' types.
    Fields {
        fields: Vec<Constant>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        names: Option<Vec<Arc<str>>>,
    },
    /// An array of such.
    Elements { elements: Vec<Constant>, dimensions: Vec<(i32, i32)> },
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { ty: self.ty, value: write(&self.value, self.ty.id) }.serialize(serializer)
    }
}

fn constant(value: &Value, ty: TypeId) -> Constant {
    Constant { value: value.clone(), ty: ty.into() }
}

fn write(value: &Value, ty: TypeId) -> Option<Form> {
    Some(match value {
        Value::Null => return None,
        Value::Enum(label) => Form::Label { label: label.label.clone(), rank: label.rank },
        Value::Record(fields) => {
            let names = fields.names.as_ref().map(|names| names.to_vec());
            Form::Fields {
                fields: fields.iter().map(|(ty, value)| constant(value, *ty)).collect(),
                names,
            }
        }
        Value::Array(array)
            if array.element_type.is_user() || array.element_type == TypeId::RECORD =>
        {
            let elements = array.elements.iter().map(|value| constant(value, array.element_type));
            let dimensions = array.dimensions.iter().map(|d| (d.length, d.lower));
            Form::Elements { elements: elements.collect(), dimensions: dimensions.collect() }
        }
        // The `reg…` types print names, which only a session can read again.
        Value::Oid(oid) => Form::Text(oid.to_string()),
        other => {
            let mut out = Vec::new();
            crate::io::text::output(other, ty, &Context::default(), &mut out);
            Form::Text(String::from_utf8_lossy(&out).into_owned())
        }
    })
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let ty = written.ty;
        let value = match written.value {
            None => Value::Null,
            Some(form) => read(form, ty.id).map_err(serde::de::Error::custom)?,
        };
        Ok(Self { value, ty })
    }
}

fn read(form: Form, ty: TypeId) -> crate::Result<Value> {
    Ok(match form {
        Form::Text(text) if ty.is_oid() => {
            crate::io::text::input(&text, TypeId::OID.into(), &Context::default())?
        }
        Form::Text(text) => crate::io::text::input(&text, ty.into(), &Context::default())?,
        Form::Label { label, rank } => Value::Enum(EnumLabel { enum_type: ty, rank, label }),
        Form::Fields { fields, names } => Value::Record(Arc::new(Record {
            fields: fields.into_iter().map(|field| (field.ty.id, field.value)).collect(),
            names: names.map(Into::into),
        })),
        Form::Elements { elements, dimensions } => {
            let element_type = elements.first().map_or(TypeId::RECORD, |first| first.ty.id);
            let dimensions =
                dimensions.into_iter().map(|(length, lower)| Dimension { length, lower });
            Value::Array(Arc::new(Array {
                element_type,
                dimensions: dimensions.collect(),
                elements: elements.into_iter().map(|element| element.value).collect(),
            }))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, ty: TypeId, json: &str) {
        let before = Constant { value, ty: ty.into() };
        let text = serde_json::to_string(&before).expect("serializes");
        assert_eq!(text, json);
        let after: Constant = serde_json::from_str(&text).expect("reads");
        // NaN is not equal to itself; its text is.
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
    }

    #[test]
    fn constants_come_back_as_they_were() {
        check(Value::Null, TypeId::INT4, r#"{"type":"int4","value":null}"#);
        check(Value::Int4(-5), TypeId::INT4, r#"{"type":"int4","value":"-5"}"#);
        check(
            Value::Float8(0.1 + 0.2),
            TypeId::FLOAT8,
            r#"{"type":"float8","value":"0.30000000000000004"}"#,
        );
        check(Value::Float8(-0.0), TypeId::FLOAT8, r#"{"type":"float8","value":"-0"}"#);
        check(Value::Float8(f64::NAN), TypeId::FLOAT8, r#"{"type":"float8","value":"NaN"}"#);
        check(
            Value::Float4(f32::MIN_POSITIVE),
            TypeId::FLOAT4,
            r#"{"type":"float4","value":"1.1754944e-38"}"#,
        );
        check(Value::Bpchar("a  ".into()), TypeId::BPCHAR, r#"{"type":"bpchar","value":"a  "}"#);
        check(Value::Char(0xe9), TypeId::CHAR, r#"{"type":"char","value":"\\351"}"#);
        check(
            Value::Bytea([0, 255].as_slice().into()),
            TypeId::BYTEA,
            r#"{"type":"bytea","value":"\\x00ff"}"#,
        );
        check(Value::Oid(5), TypeId::REGCLASS, r#"{"type":"regclass","value":"5"}"#);
        let mood = TypeId(20_000);
        let happy = Value::Enum(EnumLabel { enum_type: mood, rank: 1, label: "happy".into() });
        check(happy.clone(), mood, r#"{"type":20000,"value":{"label":"happy","rank":1}}"#);
        check(
            Value::Array(Arc::new(Array::vector(mood, vec![happy, Value::Null]))),
            TypeId(20_001),
            r#"{"type":20001,"value":{"elements":[{"type":20000,"value":{"label":"happy","rank":1}},{"type":20000,"value":null}],"dimensions":[[2,1]]}}"#,
        );
        check(
            Value::Record(Arc::new(Record::from(vec![
                (TypeId::INT4, Value::Int4(1)),
                (TypeId::TEXT, Value::Null),
            ]))),
            TypeId::RECORD,
            r#"{"type":"record","value":{"fields":[{"type":"int4","value":"1"},{"type":"text","value":null}]}}"#,
        );
    }
}
