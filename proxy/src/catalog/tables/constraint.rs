//! `pg_constraint`.

use dataman_metadata::schema::ConstraintKind;
use dataman_pg::Value;
use dataman_pg::catalog::system::SystemRow;

use super::super::database::{Catalog, constraint_oid};
use super::super::define;
use super::super::row::{Maker, letter, oid_array, small_array, text};

pub(super) fn constraints(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_constraint",
        [
            "oid",
            "conname",
            "connamespace",
            "contype",
            "conrelid",
            "conindid",
            "confrelid",
            "confupdtype",
            "confdeltype",
            "confmatchtype",
            "connoinherit",
            "conkey",
            "confkey",
            "conbin",
            "conpfeqop",
        ],
        &[
            ("condeferrable", Value::Bool(false)),
            ("condeferred", Value::Bool(false)),
            ("convalidated", Value::Bool(true)),
            ("contypid", Value::Oid(0)),
            ("conparentid", Value::Oid(0)),
            ("conislocal", Value::Bool(true)),
            ("coninhcount", Value::Int4(0)),
        ],
    );
    let mut rows = Vec::new();
    for (namespace, schema, name, table) in catalog.collections() {
        let place = (schema.to_owned(), name.to_owned());
        for constraint in &table.constraints {
            let numbers = |names: &[String]| -> Vec<i16> {
                names.iter().filter_map(|name| Some(table.field(name)?.number)).collect()
            };
            let none = || letter(b' ');
            let (kind, key, index, target, actions, target_key, no_inherit, node) =
                match &constraint.kind {
                    ConstraintKind::PrimaryKey { fields } => (
                        b'p',
                        numbers(fields),
                        constraint.oid.0,
                        0,
                        [none(), none(), none()],
                        Value::Null,
                        true,
                        Value::Null,
                    ),
                    ConstraintKind::Unique { fields, .. } => (
                        b'u',
                        numbers(fields),
                        constraint.oid.0,
                        0,
                        [none(), none(), none()],
                        Value::Null,
                        true,
                        Value::Null,
                    ),
                    ConstraintKind::Check { expr } => (
                        b'c',
                        numbers(&define::columns_of(catalog, &place, table, expr)),
                        0,
                        0,
                        [none(), none(), none()],
                        Value::Null,
                        false,
                        text(define::check_node(constraint.oid.0)),
                    ),
                    ConstraintKind::ForeignKey {
                        fields,
                        references,
                        references_fields,
                        on_delete,
                        on_update,
                    } => {
                        let target = catalog.collection(references);
                        let target_key: Vec<i16> = references_fields
                            .iter()
                            .filter_map(|name| Some(target?.field(name)?.number))
                            .collect();
                        let index =
                            target.map_or(0, |target| referred_index(target, references_fields));
                        (
                            b'f',
                            numbers(fields),
                            index,
                            target.map_or(0, |target| target.id.0),
                            [action(on_update), action(on_delete), letter(b's')],
                            small_array(&target_key),
                            true,
                            Value::Null,
                        )
                    }
                };
            let [on_update, on_delete, matching] = actions;
            let operators = match kind {
                b'f' => oid_array(&equalities(table, &key)),
                _ => Value::Null,
            };
            rows.push(maker.row([
                Value::Oid(constraint_oid(constraint)),
                text(constraint.name.as_str()),
                Value::Oid(namespace),
                letter(kind),
                Value::Oid(table.id.0),
                Value::Oid(index),
                Value::Oid(target),
                on_update,
                on_delete,
                matching,
                Value::Bool(no_inherit),
                if key.is_empty() { Value::Null } else { small_array(&key) },
                target_key,
                node,
                operators,
            ]));
        }
    }
    rows
}

/// An action's letter.
fn action(name: &str) -> Value {
    letter(match name {
        "restrict" => b'r',
        "cascade" => b'c',
        "set null" => b'n',
        "set default" => b'd',
        _ => b'a',
    })
}

/// The index of the key that a foreign key refers to.
fn referred_index(target: &dataman_metadata::schema::Collection, fields: &[String]) -> u32 {
    let mut wanted: Vec<&str> = fields.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    let found = super::super::database::indexes_of(target).find(|index| {
        let mut keys: Vec<&str> = index.keys.iter().map(|(key, _, _)| *key).collect();
        keys.sort_unstable();
        index.unique && index.filter.is_none() && keys == wanted
    });
    found.map_or(0, |index| index.oid)
}

/// The equality operators of columns.
fn equalities(table: &dataman_metadata::schema::Collection, numbers: &[i16]) -> Vec<u32> {
    numbers
        .iter()
        .filter_map(|number| {
            let field = table.fields.iter().find(|field| field.number == *number)?;
            Some(dataman_pg::catalog::order(dataman_pg::TypeId(field.type_oid))?.equal.0)
        })
        .collect()
}
