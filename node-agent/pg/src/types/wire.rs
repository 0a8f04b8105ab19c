//! How types travel in JSON: `"int4"`, `20000` (a user's type), `{"id": "varchar", "typmod": 14}`.

use serde::de::Error;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{TypeId, TypeRef};
use crate::catalog;

impl Serialize for TypeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match catalog::type_by_id(*self) {
            Some(entry) => serializer.serialize_str(entry.name),
            None => serializer.serialize_u32(self.0),
        }
    }
}

/// What may stand for a type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Number(u32),
    #[serde(borrow)]
    Name(std::borrow::Cow<'a, str>),
    Modified {
        id: TypeId,
        #[serde(default = "no_modifier")]
        typmod: i32,
    },
}

fn no_modifier() -> i32 {
    -1
}

impl Written<'_> {
    fn read<E: Error>(self) -> Result<TypeRef, E> {
        match self {
            Self::Number(id) => Ok(TypeRef::plain(TypeId(id))),
            Self::Name(name) => match catalog::type_by_name(&name) {
                Some(entry) => Ok(TypeRef::plain(entry.id)),
                None => Err(E::custom(format!("there is no type {name}"))),
            },
            Self::Modified { id, typmod } => Ok(TypeRef { id, typmod }),
        }
    }
}

impl<'de> Deserialize<'de> for TypeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Written::deserialize(deserializer)?.read::<D::Error>()?.id)
    }
}

impl Serialize for TypeRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.typmod == -1 {
            return self.id.serialize(serializer);
        }
        let mut fields = serializer.serialize_struct("TypeRef", 2)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("typmod", &self.typmod)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for TypeRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_travel_by_name() {
        let check = |ty: TypeRef, json: &str| {
            assert_eq!(serde_json::to_string(&ty).expect("serializes"), json);
            let value: serde_json::Value = serde_json::from_str(json).expect("is JSON");
            assert_eq!(serde_json::from_str::<TypeRef>(json).expect("reads"), ty);
            assert_eq!(serde_json::from_value::<TypeRef>(value).expect("reads"), ty);
        };
        check(TypeId::INT4.into(), r#""int4""#);
        check(TypeId(20_000).into(), "20000");
        check(TypeRef { id: TypeId::VARCHAR, typmod: 14 }, r#"{"id":"varchar","typmod":14}"#);
        assert_eq!(serde_json::from_str::<TypeId>("23").expect("reads"), TypeId::INT4);
        assert!(serde_json::from_str::<TypeId>(r#""no type""#).is_err());
    }
}
