//! `pg_type` and `pg_enum`: enums, and the row types of tables and views.

use dataman_pg::catalog::system::SystemRow;
use dataman_pg::{Value, catalog};

use super::super::database::Catalog;
use super::super::oid;
use super::super::row::{Maker, letter, text};

/// The input, output, receive and send functions of a kind of type.
struct Functions([u32; 4]);

impl Functions {
    fn of(names: [&str; 4]) -> Self {
        Self(names.map(function))
    }
}

/// The OID of a function of pg_catalog that has no namesake.
fn function(name: &str) -> u32 {
    catalog::functions_named(name).first().map_or(0, |found| found.id.0)
}

pub(super) fn types(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_type",
        [
            "oid",
            "typname",
            "typnamespace",
            "typowner",
            "typlen",
            "typbyval",
            "typtype",
            "typcategory",
            "typrelid",
            "typsubscript",
            "typelem",
            "typarray",
            "typinput",
            "typoutput",
            "typreceive",
            "typsend",
            "typanalyze",
            "typalign",
            "typstorage",
        ],
        &[
            ("typispreferred", Value::Bool(false)),
            ("typisdefined", Value::Bool(true)),
            ("typdelim", letter(b',')),
            ("typmodin", Value::Oid(0)),
            ("typmodout", Value::Oid(0)),
            ("typnotnull", Value::Bool(false)),
            ("typbasetype", Value::Oid(0)),
            ("typtypmod", Value::Int4(-1)),
            ("typndims", Value::Int4(0)),
            ("typcollation", Value::Oid(0)),
        ],
    );
    let enums = Functions::of(["enum_in", "enum_out", "enum_recv", "enum_send"]);
    let arrays = Functions::of(["array_in", "array_out", "array_recv", "array_send"]);
    let records = Functions::of(["record_in", "record_out", "record_recv", "record_send"]);
    let handler = function("array_subscript_handler");
    let analyze = function("array_typanalyze");
    let array = |id: u32, name: String, namespace: u32, owner: u32, element: u32, align: u8| {
        let [input, output, receive, send] = arrays.0.map(Value::Oid);
        maker.row([
            Value::Oid(id),
            text(name),
            Value::Oid(namespace),
            Value::Oid(owner),
            Value::Int2(-1),
            Value::Bool(false),
            letter(b'b'),
            letter(b'A'),
            Value::Oid(0),
            Value::Oid(handler),
            Value::Oid(element),
            Value::Oid(0),
            input,
            output,
            receive,
            send,
            Value::Oid(analyze),
            letter(align),
            letter(b'x'),
        ])
    };
    let mut rows = Vec::new();
    let database_owner = catalog.content().map_or(0, |database| catalog.role_oid(&database.owner));
    for (namespace, _, name, found) in catalog.enums() {
        let [input, output, receive, send] = enums.0.map(Value::Oid);
        rows.push(maker.row([
            Value::Oid(found.oid.0),
            text(name),
            Value::Oid(namespace),
            Value::Oid(database_owner),
            Value::Int2(4),
            Value::Bool(true),
            letter(b'e'),
            letter(b'E'),
            Value::Oid(0),
            Value::Oid(0),
            Value::Oid(0),
            Value::Oid(found.array_oid.0),
            input,
            output,
            receive,
            send,
            Value::Oid(0),
            letter(b'i'),
            letter(b'p'),
        ]));
        let array_name = array_name(name);
        rows.push(array(
            found.array_oid.0,
            array_name,
            namespace,
            database_owner,
            found.oid.0,
            b'i',
        ));
    }
    let tables = catalog.collections().map(|(namespace, _, name, table)| {
        (namespace, name, table.id.0, catalog.role_oid(&table.owner))
    });
    let views = catalog.views().map(|(namespace, _, name, view)| {
        (namespace, name, view.oid.0, catalog.role_oid(&view.owner))
    });
    for (namespace, name, relation, owner) in tables.chain(views) {
        let [input, output, receive, send] = records.0.map(Value::Oid);
        rows.push(maker.row([
            Value::Oid(oid::row_type(relation)),
            text(name),
            Value::Oid(namespace),
            Value::Oid(owner),
            Value::Int2(-1),
            Value::Bool(false),
            letter(b'c'),
            letter(b'C'),
            Value::Oid(relation),
            Value::Oid(0),
            Value::Oid(0),
            Value::Oid(oid::row_array(relation)),
            input,
            output,
            receive,
            send,
            Value::Oid(0),
            letter(b'd'),
            letter(b'x'),
        ]));
        rows.push(array(
            oid::row_array(relation),
            array_name(name),
            namespace,
            owner,
            oid::row_type(relation),
            b'd',
        ));
    }
    rows
}

/// An array type's name over a type's.
pub(in super::super) fn array_name(name: &str) -> String {
    let mut array = format!("_{name}");
    while array.len() > dataman_metadata::snapshot::NAME_BYTES_MAX {
        array.pop();
    }
    array
}

/// `pg_enum`: labels have OIDs beside their type's, in a range of their own.
pub(super) fn enum_labels(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new("pg_enum", ["oid", "enumtypid", "enumsortorder", "enumlabel"], &[]);
    let mut rows = Vec::new();
    for (_, _, _, found) in catalog.enums() {
        for (place, label) in found.labels.iter().enumerate() {
            let number = i16::try_from(place + 1).unwrap_or(i16::MAX);
            rows.push(maker.row([
                Value::Oid(oid::default(found.oid.0, number)),
                Value::Oid(found.oid.0),
                Value::Float4(f32::from(number)),
                text(label.as_str()),
            ]));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_arrays() {
        assert_eq!(array_name("mood"), "_mood");
        assert_eq!(array_name(&"x".repeat(63)).len(), 63);
        assert!(function("enum_in") != 0);
    }
}
