//! Collections that were there before dataman: what their fields mean, and how they are read and written where they are.
//!
//! | values seen | here | also read |
//! | --- | --- | --- |
//! | bool | `bool` | |
//! | int; int and long | `int4`; `int8` | whole numbers of any width within the type's range, but decimals |
//! | double, with or without ints and longs that it holds | `float8` | ints and longs that a double holds exactly |
//! | decimal, with or without ints and longs | `numeric`, of 34 digits | ints and longs |
//! | string | `text` | |
//! | date | `timestamptz(3)`: a BSON date holds milliseconds | |
//! | objectId | `text` of 24 lower-case hexadecimal digits | |
//! | binary of subtype 4; other binary | `uuid`; `bytea` | |
//! | document, array, several of these types | `jsonb`, see [`json`] | everything |
//!
//! MongoDB enforces no schema: a document written tomorrow may hold anything. So every column but `_id` may be NULL, and a value that
//! does not fit its column ([`value`]) is an error that names it, wherever a statement looks at the field: a filter that MongoDB
//! carries out lets through whatever it cannot judge ([`filter`]), and what would otherwise be lost in a group, or beyond a LIMIT, is
//! looked for by the same command. A field that is missing and BSON's null both read as NULL; NULL is written as no field at all, as
//! in dataman's own collections, and a field that stays NULL stays what it was.
//!
//! Documents keep the fields that are no columns; UPDATE sets the fields of the columns that change, and nothing else ([`mod@write`]).
//! The collection's indexes and validators go on as before.

pub(super) mod compare;
pub(super) mod filter;
pub(super) mod json;
pub(super) mod sample;
pub(super) mod value;
pub(super) mod write;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::CollectionShape;
use dataman_node_protocol::inspect::FoundTable;
use dataman_pg::catalog;
use dataman_pg::types::{TypeId, TypeRef};
use mongodb::bson::{Bson, Document};
use serde::{Deserialize, Serialize};

use super::catalogue::Collection;
use super::layout::{Layout, Place, form};

/// The field that MongoDB tells documents apart by.
pub(super) const ID: &str = "_id";

/// What an INSERT that leaves `_id` out gets, where it is an ObjectId.
pub(super) const NEW_ID: &str = "objectid()";

/// Where an adopted collection lies, and what its fields are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AdoptedCollection {
    /// Its database.
    pub(super) database: String,
    /// What the fields are, in the order of the shape's fields.
    pub(super) natives: Vec<Native>,
    /// Whether it compares strings in another way than by their bytes, unless it is told to.
    #[serde(default)]
    pub(super) collated: bool,
}

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Native {
    /// A boolean.
    Bool,
    /// A whole number.
    Integer,
    /// A double.
    Double,
    /// A decimal128.
    Decimal,
    /// A string.
    Text,
    /// A date with its time.
    Date,
    /// An ObjectId, as text.
    ObjectId,
    /// A binary of subtype 4.
    Uuid,
    /// Any binary.
    Bytes,
    /// Anything, as jsonb.
    Document,
}

/// A date's digits after the second.
const DATE_PRECISION: i32 = 3;

impl Native {
    /// What a field is whose column has a type, `declared` being the BSON types seen.
    fn of(ty: TypeRef, declared: &str) -> Option<Self> {
        Some(match ty.id {
            TypeId::BOOL => Self::Bool,
            TypeId::INT2 | TypeId::INT4 | TypeId::INT8 => Self::Integer,
            TypeId::FLOAT8 => Self::Double,
            TypeId::NUMERIC => Self::Decimal,
            TypeId::TEXT if declared == sample::Kind::ObjectId.name() => Self::ObjectId,
            TypeId::TEXT => Self::Text,
            TypeId::TIMESTAMPTZ => Self::Date,
            TypeId::UUID => Self::Uuid,
            TypeId::BYTEA => Self::Bytes,
            TypeId::JSONB => Self::Document,
            _ => return None,
        })
    }
}

/// The type of a date's column.
pub(super) fn date_type() -> TypeRef {
    TypeRef { id: TypeId::TIMESTAMPTZ, typmod: DATE_PRECISION }
}

/// The parts of a collection that is adopted.
pub(super) fn of(collection: &Collection) -> Option<&AdoptedCollection> {
    collection.layout.adopted.as_ref()
}

/// The layout of a collection that was found, its shape being this.
///
/// # Errors
/// `0A000` for a field of a type that none becomes.
pub(super) fn layout_of(shape: &CollectionShape, found: &FoundTable) -> Result<Layout, NodeError> {
    let mut natives = Vec::with_capacity(shape.fields.len());
    let mut fields = Vec::with_capacity(shape.fields.len());
    for field in &shape.fields {
        let seen = found.fields.iter().find(|seen| seen.name == field.name);
        let native = seen.and_then(|seen| Native::of(field.ty, &seen.declared));
        let (Some(seen), Some(native)) = (seen, native) else {
            let name = catalog::format_type(field.ty.id, field.ty.typmod);
            return Err(NodeError::unsupported(format!(
                "column \"{}\": no BSON type is read as {name}",
                field.name
            )));
        };
        natives.push(native);
        let path = seen.path.clone().unwrap_or_else(|| seen.name.clone());
        fields.push(Place { path, form: form(field.ty) });
    }
    Ok(Layout {
        collection: found.name.clone(),
        fields,
        indexes: Vec::new(),
        adopted: Some(AdoptedCollection {
            database: found.namespace.clone(),
            natives,
            collated: found.fields.iter().any(|field| field.collated),
        }),
    })
}

/// What lies at a path of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found<'d> {
    /// Nothing.
    Missing,
    /// This.
    Value(&'d Bson),
    /// An array lies on the way: a document has several such values, or none.
    InArray,
}

/// Looks at a path of a document: names of fields, each within the one before, with points between them.
pub(super) fn look<'d>(document: &'d Document, path: &str) -> Found<'d> {
    let mut inside = document;
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(bson) = inside.get(name) else { return Found::Missing };
        if names.peek().is_none() {
            return Found::Value(bson);
        }
        match bson {
            Bson::Document(document) => inside = document,
            Bson::Array(_) => return Found::InArray,
            _ => return Found::Missing,
        }
    }
    Found::Missing
}

/// The paths that lead to a path: `a` and `a.b` to `a.b.c`.
pub(super) fn ways(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(at, _)| &path[..at])
}

/// Whether one of two paths lies in the other.
pub(super) fn overlap(left: &str, right: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    within(left, right) || within(right, left)
}

/// The value of a field of a document.
///
/// # Errors
/// `HV004` naming collection, document and field, for a value that does not fit its column.
pub(super) fn read(
    collection: &Collection,
    adopted: &AdoptedCollection,
    place: usize,
    document: &Document,
) -> Result<dataman_pg::Value, NodeError> {
    let field = &collection.shape.fields[place];
    let loaded = match look(document, &collection.layout.fields[place].path) {
        Found::Missing => return Ok(dataman_pg::Value::Null),
        Found::Value(bson) => value::load(bson, adopted.natives[place], field.ty.id),
        Found::InArray => Err("in an array".to_owned()),
    };
    loaded.map_err(|what| unfit(collection, place, document.get(ID), &what))
}

/// `HV004` of a value that is not what its column says. `what` is what it is.
pub(super) fn unfit(
    collection: &Collection,
    place: usize,
    id: Option<&Bson>,
    what: &str,
) -> NodeError {
    let field = &collection.shape.fields[place];
    let path = &collection.layout.fields[place].path;
    let name = catalog::format_type(field.ty.id, field.ty.typmod);
    let there = collection.place_name();
    let whose = match id {
        Some(Bson::ObjectId(id)) => format!(" of the document with _id {}", id.to_hex()),
        Some(id) => format!(" of the document with _id {id}"),
        None => String::new(),
    };
    let mut error = NodeError::statement(
        "HV004",
        format!("field \"{path}\"{whose} in MongoDB collection {there} does not fit column \"{}\" of type {name}", field.name),
    )
    .with_detail(format!("Its value is {what}."))
    .with_hint(format!(
        "Change the document, or make the column jsonb: DROP TABLE, which leaves the collection, then IMPORT FOREIGN SCHEMA with OPTIONS (\"{}.{path}\" '{} jsonb').",
        collection.layout.collection, field.name
    ));
    error.object.table = Some(collection.shape.label.clone());
    error.object.column = Some(field.name.clone());
    error
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn paths() {
        let document =
            doc! { "a": { "b": { "c": 1 } }, "l": [{ "b": 1 }], "s": "x", "n": Bson::Null };
        let check = |path: &str, expected: Found<'_>| {
            assert_eq!(look(&document, path), expected, "{path}");
        };
        check("a.b.c", Found::Value(&Bson::Int32(1)));
        check("a.b.d", Found::Missing);
        check("a.x.c", Found::Missing);
        check("l.b", Found::InArray);
        check("s.b", Found::Missing);
        check("n", Found::Value(&Bson::Null));
        check("n.b", Found::Missing);
        assert_eq!(ways("a.b.c").collect::<Vec<_>>(), ["a", "a.b"]);
        assert!(overlap("a.b", "a") && overlap("a", "a") && !overlap("ab", "a"));
    }
}
