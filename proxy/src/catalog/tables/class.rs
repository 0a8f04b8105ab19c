//! `pg_class`: tables, their indexes, views and sequences.

use dataman_metadata::schema::ConstraintKind;
use dataman_pg::Value;
use dataman_pg::catalog::system::SystemRow;

use super::super::database::{Catalog, indexes_of};
use super::super::oid;
use super::super::row::{Maker, letter, small, text};

/// The access methods.
const HEAP: u32 = 2;

/// The OID of an index's access method.
pub(in super::super) fn method_oid(method: &str) -> u32 {
    match method {
        "hash" => 405,
        "gist" => 783,
        "gin" => 2742,
        "spgist" => 4000,
        "brin" => 3580,
        _ => 403,
    }
}

pub(super) fn classes(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_class",
        [
            "oid",
            "relname",
            "relnamespace",
            "reltype",
            "relowner",
            "relam",
            "relfilenode",
            "relpages",
            "reltuples",
            "relhasindex",
            "relkind",
            "relnatts",
            "relchecks",
            "relhasrules",
            "relhastriggers",
            "relreplident",
        ],
        &[
            ("reloftype", Value::Oid(0)),
            ("reltablespace", Value::Oid(0)),
            ("relallvisible", Value::Int4(0)),
            ("reltoastrelid", Value::Oid(0)),
            ("relisshared", Value::Bool(false)),
            ("relpersistence", letter(b'p')),
            ("relhassubclass", Value::Bool(false)),
            ("relrowsecurity", Value::Bool(false)),
            ("relforcerowsecurity", Value::Bool(false)),
            ("relispopulated", Value::Bool(true)),
            ("relispartition", Value::Bool(false)),
            ("relrewrite", Value::Oid(0)),
            ("relfrozenxid", Value::Oid(0)),
            ("relminmxid", Value::Oid(0)),
        ],
    );
    let mut rows = Vec::new();
    for (namespace, schema, name, table) in catalog.collections() {
        let owner = catalog.role_oid(&table.owner);
        let is_check = |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { .. });
        let checks = table.constraints.iter().filter(|one| is_check(&one.kind)).count();
        let natts = usize::from((table.next_field_number - 1).unsigned_abs());
        let indexes: Vec<_> = indexes_of(table).collect();
        rows.push(maker.row([
            Value::Oid(table.id.0),
            text(name),
            Value::Oid(namespace),
            Value::Oid(oid::row_type(table.id.0)),
            Value::Oid(owner),
            Value::Oid(HEAP),
            Value::Oid(table.id.0),
            Value::Int4(0),
            Value::Float4(-1.0),
            Value::Bool(!indexes.is_empty()),
            letter(b'r'),
            small(natts),
            small(checks),
            Value::Bool(false),
            Value::Bool(has_references(catalog, schema, name)),
            letter(b'd'),
        ]));
        for index in indexes {
            rows.push(maker.row([
                Value::Oid(index.oid),
                text(index.name),
                Value::Oid(namespace),
                Value::Oid(0),
                Value::Oid(owner),
                Value::Oid(method_oid(index.method)),
                Value::Oid(index.oid),
                Value::Int4(1),
                Value::Float4(0.0),
                Value::Bool(false),
                letter(b'i'),
                small(index.keys.len() + index.include.len()),
                small(0),
                Value::Bool(false),
                Value::Bool(false),
                letter(b'n'),
            ]));
        }
    }
    for (namespace, _, name, view) in catalog.views() {
        rows.push(maker.row([
            Value::Oid(view.oid.0),
            text(name),
            Value::Oid(namespace),
            Value::Oid(oid::row_type(view.oid.0)),
            Value::Oid(catalog.role_oid(&view.owner)),
            Value::Oid(0),
            Value::Oid(0),
            Value::Int4(0),
            Value::Float4(-1.0),
            Value::Bool(false),
            letter(b'v'),
            small(view.columns.len()),
            small(0),
            Value::Bool(true),
            Value::Bool(false),
            letter(b'n'),
        ]));
    }
    for (namespace, _, name, sequence) in catalog.sequences() {
        let owner = catalog.sequence_owner(sequence);
        rows.push(maker.row([
            Value::Oid(sequence.oid.0),
            text(name),
            Value::Oid(namespace),
            Value::Oid(0),
            Value::Oid(catalog.role_oid(owner)),
            Value::Oid(0),
            Value::Oid(sequence.oid.0),
            Value::Int4(1),
            Value::Float4(1.0),
            Value::Bool(false),
            letter(b'S'),
            small(3),
            small(0),
            Value::Bool(false),
            Value::Bool(false),
            letter(b'n'),
        ]));
    }
    rows
}

/// Whether a table refers to another, or another to it: PostgreSQL has triggers on both.
fn has_references(catalog: &Catalog, schema: &str, name: &str) -> bool {
    catalog.references().contains(&(schema.to_owned(), name.to_owned()))
}
