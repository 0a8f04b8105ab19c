//! How a collection lies in MongoDB: its collection there, the path of each field, the indexes.
//!
//! | type | BSON | compared |
//! | --- | --- | --- |
//! | bool | boolean | natively |
//! | int2, int4, "char"; enums (the label's rank); date (days since 2000-01-01) | int32 | natively |
//! | int8, oid; time, timestamp, timestamptz (microseconds since midnight or 2000-01-01) | int64 | natively |
//! | float4, float8 | double | equality; NaN has another place in MongoDB's order |
//! | numeric(p, s) with p ≤ 34 | decimal128, which keeps the scale | equality; NaN as above |
//! | text, varchar, name, json | string, compared by its bytes | natively, json not at all |
//! | bytea | binary | equality: MongoDB orders binaries by their lengths first |
//! | uuid; timetz (instant and zone, 12 bytes) | binary of subtype 4; binary | natively, for the length is always the same |
//! | other numerics, interval, char(n), jsonb, arrays | string: PostgreSQL's text form | by the driver |
//!
//! BSON's own dates are not used: they hold milliseconds, and PostgreSQL's microseconds would be lost.
//!
//! NULL is the absence of the field. A field that is there with BSON's null reads as NULL too, so what other programs write
//! means the same.
//!
//! A unique constraint over fields that are compared natively and never NULL is a unique index over these fields. Over anything
//! else it is one over a field of its own, `%unique:…`, with the SHA-256 of the key, which records without a key do not have.
//!
//! The layout is kept with the shape, so a field or a collection that is renamed keeps its path and its place.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, FieldShape};
use dataman_pg::types::{TypeId, TypeRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adopted::AdoptedCollection;
pub(super) use crate::driver::kept::catalogue::Index;
use crate::driver::sql::stored;

/// The collection with the catalogue of an instance; users' names never begin like that.
pub(super) const CATALOGUE: &str = "dataman.collection";

/// The collection with the notes of work done.
pub(super) const NOTES: &str = "dataman.note";

/// The field that a record is locked by: a write to it keeps others from changing the record.
pub(super) const LOCK: &str = "%lock";

/// Where a collection lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// The collection's name in MongoDB.
    pub(super) collection: String,
    /// The fields' places, in the order of the shape's fields.
    pub(super) fields: Vec<Place>,
    /// The indexes of unique constraints and of indexes.
    pub(super) indexes: Vec<Index>,
    /// Of a collection that dataman did not make: where it lies and what its fields are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) adopted: Option<AdoptedCollection>,
}

/// Where a field lies in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The name in the document; in an adopted one, names with points between them lead into documents within.
    pub(super) path: String,
    /// How the value is kept there.
    pub(super) form: Form,
}

/// How a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// A boolean or a whole number.
    Integer,
    /// A double.
    Double,
    /// A decimal128.
    Decimal,
    /// A string that compares by its bytes.
    Text,
    /// Bytes of any length.
    Bytes,
    /// Bytes of one length.
    Fixed,
    /// A string that does not compare as the values do.
    Opaque,
}

impl Place {
    /// The place of a new field.
    pub(super) fn new(field: &str, ty: TypeRef) -> Self {
        Self { path: path(field), form: form(ty) }
    }
}

/// Digits of a decimal128.
const DECIMAL_DIGITS: i32 = 34;

/// How values of a declared type are kept.
pub(super) fn form(ty: TypeRef) -> Form {
    match (general_form(ty.id), numeric_precision(ty)) {
        (Form::Opaque, Some(precision)) if precision <= DECIMAL_DIGITS => Form::Decimal,
        (form, _) => form,
    }
}

/// How values of a type are kept whatever else was declared: numerics may be kept in two ways.
pub(super) fn general_form(ty: TypeId) -> Form {
    match ty {
        TypeId::BOOL
        | TypeId::INT2
        | TypeId::INT4
        | TypeId::INT8
        | TypeId::OID
        | TypeId::CHAR
        | TypeId::DATE
        | TypeId::TIME
        | TypeId::TIMESTAMP
        | TypeId::TIMESTAMPTZ => Form::Integer,
        TypeId::FLOAT4 | TypeId::FLOAT8 => Form::Double,
        TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME | TypeId::UNKNOWN => Form::Text,
        TypeId::BYTEA => Form::Bytes,
        TypeId::UUID | TypeId::TIMETZ => Form::Fixed,
        ty if ty.is_user() => Form::Integer,
        _ => Form::Opaque,
    }
}

/// The declared precision of a numeric, with the zeros that a negative or larger scale adds.
fn numeric_precision(ty: TypeRef) -> Option<i32> {
    if ty.id != TypeId::NUMERIC {
        return None;
    }
    let typmod = ty.typmod.checked_sub(4).filter(|typmod| *typmod >= 0)?;
    let precision = (typmod >> 16) & 0xffff;
    // Eleven bits with a sign.
    let scale = ((typmod & 0x7ff) ^ 0x400) - 0x400;
    Some(precision.max(precision - scale))
}

/// Whether MongoDB compares values of the form as PostgreSQL does, in every way.
pub(super) fn is_ordered(form: Form) -> bool {
    matches!(form, Form::Integer | Form::Text | Form::Fixed)
}

/// Whether values of a type are kept without loss.
///
/// # Errors
/// Why not.
pub(super) fn check_stored(ty: TypeId) -> Result<(), String> {
    stored::check_stored(ty).map_err(|_| {
        let name = dataman_pg::catalog::format_type(ty, -1);
        format!("MongoDB has no exact form for values of type {name}")
    })
}

/// Refuses a field whose type has no form.
///
/// # Errors
/// `0A000` naming engine, column and type.
pub(super) fn check_field(field: &FieldShape) -> Result<(), NodeError> {
    let reason = if field.ty.id.is_user() && field.enum_labels.is_none() {
        Err("MongoDB has no exact form for values of a user-defined type".to_owned())
    } else {
        check_stored(field.ty.id)
    };
    reason.map_err(|reason| {
        NodeError::statement(
            "0A000",
            format!("column \"{}\" cannot be stored: {reason}", field.name),
        )
        .with_hint("Choose another type, or a datastore on PostgreSQL.")
    })
}

/// The places of a shape's fields.
pub(super) fn places(shape: &CollectionShape) -> Vec<Place> {
    shape.fields.iter().map(|field| Place::new(&field.name, field.ty)).collect()
}

/// The longest name of a database, in bytes.
const DATABASE_BYTES_MAX: usize = 63;

/// The longest name of a collection here: with its database's it has to fit into 255 bytes.
const COLLECTION_BYTES_MAX: usize = 160;

/// The longest name of an index or of a field here.
const NAME_BYTES_MAX: usize = 120;

/// The name of a shard instance's database. MongoDB takes no two databases whose names differ in case only, and few signs.
pub(super) fn instance_name(instance: &str) -> String {
    let mut name = String::new();
    for byte in instance.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("-{other:02x}")),
        }
    }
    fitted(name, DATABASE_BYTES_MAX)
}

/// The name of a collection.
pub(super) fn collection_name(collection: &str) -> String {
    let reserved = ["system.", "dataman."].iter().any(|prefix| collection.starts_with(prefix));
    let name = escaped(collection, &['$']);
    fitted(if reserved { name.replacen('.', "%2e", 1) } else { name }, COLLECTION_BYTES_MAX)
}

/// The name of a field in documents.
pub(super) fn path(field: &str) -> String {
    match field {
        // The document's own identity.
        "_id" => "%5fid".to_owned(),
        field => fitted(escaped(field, &['$', '.']), NAME_BYTES_MAX),
    }
}

/// The name of an index.
pub(super) fn index_name(owner: &str) -> String {
    fitted(escaped(owner, &['$']), NAME_BYTES_MAX)
}

/// The field with the digest of a unique key.
pub(super) fn digest_name(owner: &str) -> String {
    format!("%unique:{}", path(owner))
}

/// Writes signs that mean something in paths, and `%` itself, by their codes.
fn escaped(name: &str, signs: &[char]) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c == '%' || signs.contains(&c) {
            out.push_str(&format!("%{:02x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// A name that is too long ends in the digest of the whole.
fn fitted(name: String, bytes_max: usize) -> String {
    if name.len() <= bytes_max {
        return name;
    }
    let digest: String =
        Sha256::digest(name.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let cut = (0..=bytes_max - digest.len() - 2).rev().find(|at| name.is_char_boundary(*at));
    format!("{}-~{digest}", &name[..cut.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart() {
        let check = |name: &str, expected: &str| assert_eq!(path(name), expected);
        check("total", "total");
        check("Total €", "Total €");
        check("a.b", "a%2eb");
        check("$a", "%24a");
        check("50%", "50%25");
        check("_id", "%5fid");
        assert_eq!(collection_name("system.users"), "system%2eusers");
        assert_eq!(collection_name("other.users"), "other.users");
        assert_eq!(instance_name("dbshard_Shop_0"), "dbshard_-53hop_0");
        let long = "é".repeat(100);
        assert!(path(&long).len() <= NAME_BYTES_MAX);
        assert_ne!(path(&long), path(&format!("{long}x")));
    }

    #[test]
    fn numerics_by_their_digits() {
        let check = |precision: i32, scale: i32, expected: Form| {
            let modifier = ((precision << 16) | (scale & 0x7ff)) + 4;
            assert_eq!(form(TypeRef { id: TypeId::NUMERIC, typmod: modifier }), expected);
        };
        check(10, 2, Form::Decimal);
        check(34, 34, Form::Decimal);
        check(35, 0, Form::Opaque);
        check(30, -4, Form::Decimal);
        check(30, -5, Form::Opaque);
        check(2, 40, Form::Decimal);
        assert_eq!(form(TypeRef::plain(TypeId::NUMERIC)), Form::Opaque);
    }
}
