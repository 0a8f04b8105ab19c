//! How a collection lies in MySQL: its table, the columns of each field, the indexes.
//!
//! | type | column | compared |
//! | --- | --- | --- |
//! | bool, int2, int4, int8, oid, "char" | `SMALLINT`, `INT`, `BIGINT` | natively |
//! | date, time, timestamp, timestamptz | `INT`, `BIGINT`: days or microseconds since 2000-01-01 | natively |
//! | enums | `INT`: the label's rank | natively |
//! | text, varchar, name, json | `LONGTEXT`, binary collation that does not pad | natively, json not at all |
//! | bytea; uuid; timetz | `LONGBLOB`; `BINARY(16)`; `BINARY(12)` | by bytes |
//! | float4, float8, numeric, interval, char(n), jsonb, arrays | `LONGTEXT`: PostgreSQL's text form | by a second column, `…!key`: bytes in PostgreSQL's order |
//!
//! Every column takes NULL: what a field may hold is tested by the driver. A record's number (`dataman_row`) is the table's
//! primary key, so records lie and are read in the order of their making.
//!
//! A unique constraint over whole numbers and uuids is a unique index over the fields' columns. Over anything else (MySQL's
//! indexes take 3,072 bytes, a prefix cannot be unique), with a condition, over expressions or with NULLS NOT DISTINCT it is one
//! over a column of its own, `!unique…`, with the SHA-256 of the key, and an ordinary index serves the search.
//!
//! The layout is kept with the shape, so a field or a collection that is renamed keeps its columns and its table.

use dataman_node_protocol::definition::{CollectionShape, FieldShape};
use dataman_pg::types::TypeId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adopted::AdoptedTable;
pub(super) use crate::driver::kept::catalogue::Index;
use crate::driver::sql::stored;

/// The column of a record's number.
pub(super) const ROW: &str = "dataman_row";

/// The table and the columns of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// The table's name.
    pub(super) table: String,
    /// The fields' columns, in the order of the shape's fields.
    pub(super) columns: Vec<Column>,
    /// The indexes of unique constraints and of indexes.
    pub(super) indexes: Vec<Index>,
    /// Where it is when dataman did not make it; then columns have none of the forms here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) adopted: Option<AdoptedTable>,
}

/// The columns of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    /// The column from which the exact value comes back.
    pub(super) name: String,
    /// How the value is kept there.
    pub(super) form: Form,
}

/// How a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// A whole number.
    Integer,
    /// Text that compares by its bytes.
    Text,
    /// Bytes of any length.
    Bytes,
    /// Bytes of one length.
    Fixed,
    /// Text that compares by the column beside it.
    Keyed,
    /// Text that does not compare.
    Opaque,
}

impl Column {
    /// The columns of a new field.
    pub(super) fn new(field: &str, ty: TypeId) -> Self {
        Self { name: column_name(field), form: form(ty) }
    }

    /// The column that compares.
    pub(super) fn key(&self) -> String {
        match self.form {
            Form::Keyed => format!("{}!key", self.name),
            _ => self.name.clone(),
        }
    }

    /// The columns' definitions.
    pub(super) fn definitions(&self, ty: TypeId, collation: &str) -> Vec<String> {
        let name = quoted(&self.name);
        let text = format!("{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE {collation} NULL");
        match self.form {
            Form::Integer => vec![format!("{name} {} NULL", integer(ty))],
            Form::Text | Form::Opaque => vec![text],
            Form::Bytes => vec![format!("{name} LONGBLOB NULL")],
            Form::Fixed => {
                let length = if ty == TypeId::UUID { 16 } else { 12 };
                vec![format!("{name} BINARY({length}) NULL")]
            }
            Form::Keyed => vec![text, format!("{} LONGBLOB NULL", quoted(&self.key()))],
        }
    }

    /// The names of its columns.
    pub(super) fn names(&self) -> Vec<String> {
        match self.form {
            Form::Keyed => vec![self.name.clone(), self.key()],
            _ => vec![self.name.clone()],
        }
    }
}

fn integer(ty: TypeId) -> &'static str {
    match ty {
        TypeId::BOOL | TypeId::INT2 | TypeId::CHAR => "SMALLINT",
        TypeId::INT8 | TypeId::OID | TypeId::TIME | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ => {
            "BIGINT"
        }
        _ => "INT",
    }
}

/// How values of a type are kept.
pub(super) fn form(ty: TypeId) -> Form {
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
        TypeId::TEXT | TypeId::VARCHAR | TypeId::NAME | TypeId::UNKNOWN => Form::Text,
        TypeId::BYTEA => Form::Bytes,
        TypeId::UUID | TypeId::TIMETZ => Form::Fixed,
        ty if ty.is_user() => Form::Integer,
        ty if stored::family(ty).is_none() => Form::Opaque,
        _ => Form::Keyed,
    }
}

/// Whether values of the form take part in a unique index as they are.
pub(super) fn is_indexed_whole(form: Form) -> bool {
    matches!(form, Form::Integer | Form::Fixed)
}

/// Whether values of a type are kept without loss.
///
/// # Errors
/// Why not.
pub(super) fn check_stored(ty: TypeId) -> Result<(), String> {
    stored::check_stored(ty).map_err(|_| {
        let name = dataman_pg::catalog::format_type(ty, -1);
        format!("MySQL has no exact form for values of type {name}")
    })
}

/// Refuses a field whose type has no form.
///
/// # Errors
/// `0A000` naming engine, column and type.
pub(super) fn check_field(field: &FieldShape) -> Result<(), dataman_node_protocol::NodeError> {
    let reason = if field.ty.id.is_user() && field.enum_labels.is_none() {
        Err("MySQL has no exact form for values of a user-defined type".to_owned())
    } else {
        check_stored(field.ty.id)
    };
    reason.map_err(|reason| {
        dataman_node_protocol::NodeError::statement(
            "0A000",
            format!("column \"{}\" cannot be stored: {reason}", field.name),
        )
        .with_hint("Choose another type, or a datastore on PostgreSQL.")
    })
}

/// The columns of a shape's fields: those that they had, and new ones.
pub(super) fn columns(shape: &CollectionShape) -> Vec<Column> {
    shape.fields.iter().map(|field| Column::new(&field.name, field.ty.id)).collect()
}

/// A name in double quotes, for sessions in ANSI_QUOTES mode.
pub(super) fn quoted(name: &str) -> String {
    crate::driver::sql::quoted(name)
}

/// The longest name in MySQL, in characters.
const NAME_MAX: usize = 64;

/// The name of a shard instance's database.
pub(super) fn instance_name(instance: &str) -> String {
    fitted(plain(instance), NAME_MAX)
}

/// The name of a collection's table.
pub(super) fn table_name(collection: &str) -> String {
    let name = plain(collection);
    fitted(if name.starts_with("dataman_") { format!("^!{name}") } else { name }, NAME_MAX - 6)
}

/// The name of a field's column; `!key` fits behind it.
pub(super) fn column_name(field: &str) -> String {
    let name = plain(field);
    fitted(if name.starts_with("dataman_") { format!("^!{name}") } else { name }, NAME_MAX - 4)
}

/// The name of an index, and of a column that begins with `!`.
pub(super) fn index_name(owner: &str) -> String {
    fitted(plain(owner), NAME_MAX - 12)
}

/// MySQL folds the case of columns' names (and, on some systems, of tables'), and takes letters with and without accents for the
/// same: a capital is written `^` and its small letter, what is not ASCII by its number.
fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' | '.' | '$' | '-' | '%' | '~' => out.push(c),
            'A'..='Z' => {
                out.push('^');
                out.push(c.to_ascii_lowercase());
            }
            c => out.push_str(&format!("^({:x})", u32::from(c))),
        }
    }
    out
}

/// Reads [`plain`] back.
pub(super) fn logical(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name.strip_prefix("^!").unwrap_or(name);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '^' {
            out.push(c);
        } else if let Some((number, tail)) =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        {
            out.extend(u32::from_str_radix(number, 16).ok().and_then(char::from_u32));
            rest = tail;
        } else if let Some(c) = rest.chars().next() {
            out.push(c.to_ascii_uppercase());
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// A name that is too long ends in the digest of the whole.
fn fitted(name: String, length_max: usize) -> String {
    if name.len() <= length_max {
        return name;
    }
    let digest = hex(&Sha256::digest(name.as_bytes())[..8]);
    format!("{}^~{digest}", &name[..length_max - digest.len() - 2])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart() {
        let check = |name: &str, column: &str| {
            assert_eq!(column_name(name), column);
            assert_eq!(logical(column), name);
        };
        check("orders", "orders");
        check("Orders", "^orders");
        check("a^b", "a^(5e)b");
        check("é", "^(e9)");
        check("a b!key", "a^(20)b^(21)key");
        check("dataman_row", "^!dataman_row");
        let long = "X".repeat(40);
        assert_eq!(column_name(&long).len(), NAME_MAX - 4);
        assert_ne!(column_name(&long), column_name(&format!("{long}y")));
    }
}
