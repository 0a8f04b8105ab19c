//! `pg_catalog`, `information_schema` and `dataman`: tables that the proxy makes itself out of the metadata.
//!
//! ```text
//!  mod.rs          which tables there are, and their columns
//!  answered.rs     which of them are answered; the others are refused
//!  database.rs     one database of one snapshot: its objects by OID, its tables as they are asked for, with indexes
//!  oid.rs          the OIDs of what the metadata gives none
//!  row.rs          how rows are made
//!  tables/         the rows, a file for each family of tables
//!  information/    the information schema's rows
//!  objects.rs      what functions and the reg… types ask
//!  name.rs         names and OIDs, by the search path
//!  define.rs       definitions as text: indexes, constraints, defaults, views
//!  deparse/        bound expressions and queries as PostgreSQL writes them
//!  rights.rs       who may do what
//! ```
//!
//! What PostgreSQL's own catalogs hold before anybody has made anything comes from the library
//! ([`dataman_pg::catalog::system`]).

mod answered;
mod database;
mod define;
mod deparse;
mod information;
mod name;
mod objects;
mod oid;
mod rights;
mod row;
mod tables;

use dataman_node_protocol::query::NamedType;
use dataman_pg::catalog::system::{SystemRelation, system_relation};
use dataman_pg::types::TypeRef;
use dataman_pg::{TypeId, Value};

pub(crate) use database::Catalogs;
pub(crate) use objects::{SessionObjects, SettingChanges};
pub(crate) use oid::{is_row_type, row_type};

/// How many hidden columns [`columns`] puts at the end: `tableoid` and `xmin`.
pub(crate) const HIDDEN: usize = 2;

/// Whether a schema is one of the system's.
pub(crate) fn is_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema" | "dataman")
}

/// The columns of a table of the system, the hidden ones last.
pub(crate) fn columns(schema: &str, name: &str) -> Option<Vec<NamedType>> {
    let found = relation(schema, name)?;
    let shown = found.columns.iter().map(|(name, id, typmod)| NamedType {
        name: name.to_string(),
        ty: TypeRef { id: *id, typmod: *typmod },
    });
    let hidden = [("tableoid", TypeId::OID), ("xmin", TypeId::XID)]
        .map(|(name, id)| NamedType { name: name.to_owned(), ty: TypeRef::plain(id) });
    Some(shown.chain(hidden).collect())
}

/// The values of the hidden columns: a table's OID, and the transaction that made what was always there.
pub(crate) fn hidden_values(schema: &str, name: &str) -> [Value; HIDDEN] {
    [Value::Oid(relation(schema, name).map_or(0, |found| found.oid)), Value::Oid(FROZEN)]
}

/// The transaction that everybody sees as done.
const FROZEN: u32 = 2;

/// A table of the system.
fn relation(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    if schema == "dataman" {
        tables::dataman::relation(name)
    } else {
        system_relation(schema, name)
    }
}
