//! The rows of the catalogs.

mod attribute;
mod class;
mod constraint;
pub(super) mod dataman;
mod index;
mod overview;
mod role;
mod smaller;
mod ty;

use dataman_pg::catalog::system::{SystemRow, system_relation, system_table};
use dataman_pg::value::Array;
use dataman_pg::{Context, PgError, TypeId, Value};

use super::database::Catalog;
use super::information;

pub(super) use attribute::columns_of;
pub(super) use ty::array_name;

/// The OID of a catalog.
pub(super) fn catalog_oid(name: &str) -> u32 {
    system_relation("pg_catalog", name).map_or(0, |found| found.oid)
}

/// All rows of a table that stays the same within a snapshot.
pub(super) fn rows(
    catalog: &Catalog,
    schema: &str,
    name: &str,
    context: &Context,
) -> Result<Vec<SystemRow>, PgError> {
    Ok(match schema {
        "pg_catalog" => catalog_rows(catalog, name, context)?,
        "information_schema" => information::rows(catalog, name, context)?,
        "dataman" => dataman::rows(catalog, name),
        _ => Vec::new(),
    })
}

fn catalog_rows(
    catalog: &Catalog,
    name: &str,
    context: &Context,
) -> Result<Vec<SystemRow>, PgError> {
    let mut rows = built_in(catalog, name);
    rows.extend(match name {
        "pg_class" => class::classes(catalog),
        "pg_attribute" => attribute::attributes(catalog),
        "pg_attrdef" => attribute::defaults(catalog),
        "pg_index" => index::indexes(catalog),
        "pg_constraint" => constraint::constraints(catalog),
        "pg_type" => ty::types(catalog),
        "pg_enum" => ty::enum_labels(catalog),
        "pg_namespace" => smaller::namespaces(catalog),
        "pg_database" => smaller::databases(catalog),
        "pg_authid" => role::roles(catalog),
        "pg_roles" => role::shown_roles(catalog, context)?,
        "pg_user" => role::users(catalog, context)?,
        "pg_shadow" => role::shadows(catalog, context)?,
        "pg_group" => role::groups(catalog, context)?,
        "pg_description" => smaller::descriptions(catalog),
        "pg_db_role_setting" => role::settings(catalog),
        "pg_depend" => smaller::dependencies(catalog),
        "pg_sequence" => smaller::sequences(catalog),
        "pg_rewrite" => smaller::rules(catalog),
        "pg_tables" => overview::tables(catalog),
        "pg_views" => overview::views(catalog, context)?,
        "pg_indexes" => overview::indexes(catalog, context)?,
        _ => Vec::new(),
    });
    Ok(rows)
}

/// The columns of access rights.
const RIGHTS: &[&str] =
    &["relacl", "proacl", "nspacl", "typacl", "lanacl", "spcacl", "attacl", "datacl"];

/// The rows that PostgreSQL has before anybody has made anything, their rights given by the first superuser here.
fn built_in(catalog: &Catalog, name: &str) -> Vec<SystemRow> {
    let table = system_table(name);
    if matches!(name, "pg_settings") {
        return Vec::new();
    }
    let Some(place) = table.columns.iter().position(|(column, _)| RIGHTS.contains(column)) else {
        return table.rows().to_vec();
    };
    let owner = catalog.first_role();
    let named = |row: &SystemRow| match &row[place] {
        Value::Array(items) => {
            let name = |item: &Value| match item {
                Value::Text(text) => Value::text(text.replace('@', owner)),
                other => other.clone(),
            };
            let elements = items.elements.iter().map(name).collect();
            let mut row = row.to_vec();
            row[place] = Value::Array(Array { elements, ..Array::clone(items) }.into());
            row.into()
        }
        _ => row.clone(),
    };
    table.rows().iter().map(named).collect()
}

/// What `pg_type` says of a type that columns need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeShape {
    pub(super) length: i16,
    pub(super) by_value: bool,
    pub(super) align: u8,
    pub(super) storage: u8,
    pub(super) collation: u32,
}

/// The shape of a type's values.
pub(super) fn type_shape(id: TypeId) -> TypeShape {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    static SHAPES: LazyLock<HashMap<u32, TypeShape>> = LazyLock::new(|| {
        let types = system_table("pg_type");
        let at = ["oid", "typlen", "typbyval", "typalign", "typstorage", "typcollation"]
            .map(|name| types.place(name));
        let shape = |row: &SystemRow| match at.map(|place| &row[place]) {
            [
                Value::Oid(oid),
                Value::Int2(length),
                Value::Bool(by_value),
                Value::Char(align),
                Value::Char(storage),
                Value::Oid(collation),
            ] => Some((
                *oid,
                TypeShape {
                    length: *length,
                    by_value: *by_value,
                    align: *align,
                    storage: *storage,
                    collation: *collation,
                },
            )),
            _ => None,
        };
        types.rows().iter().filter_map(shape).collect()
    });
    // A user's type is an enum, or an array of one.
    SHAPES.get(&id.0).copied().unwrap_or(TypeShape {
        length: 4,
        by_value: true,
        align: b'i',
        storage: b'p',
        collation: 0,
    })
}
