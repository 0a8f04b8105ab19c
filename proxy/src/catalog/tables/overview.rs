//! PostgreSQL's views over its catalogs: `pg_tables`, `pg_indexes` and their like.

use std::collections::HashMap;

use dataman_pg::catalog::system::{SystemRow, system_table};
use dataman_pg::{Context, PgError, Value};

use super::super::database::{Catalog, indexes_of};
use super::super::row::{Maker, text};
use super::super::{define, name};

/// The system's own relations of a kind: OID, schema and name.
fn built_in(kind: u8) -> Vec<(u32, &'static str, Value)> {
    let classes = system_table("pg_class");
    let at = ["oid", "relnamespace", "relkind", "relname"].map(|column| classes.place(column));
    let row = |row: &SystemRow| match (&row[at[0]], &row[at[1]], &row[at[2]]) {
        (Value::Oid(oid), Value::Oid(namespace), Value::Char(found)) if *found == kind => {
            let schema = if *namespace == super::smaller::system_schema() {
                "pg_catalog"
            } else {
                "information_schema"
            };
            Some((*oid, schema, row[at[3]].clone()))
        }
        _ => None,
    };
    classes.rows().iter().filter_map(row).collect()
}

/// The tablespace of a relation of the system: those that all databases share have one of their own.
fn tablespace(relation: u32) -> Value {
    let classes = system_table("pg_class");
    let at = ["oid", "reltablespace"].map(|column| classes.place(column));
    let found = classes.rows().iter().find(|row| row[at[0]] == Value::Oid(relation));
    match found.map(|row| &row[at[1]]) {
        Some(Value::Oid(1664)) => text("pg_global"),
        _ => Value::Null,
    }
}

pub(super) fn tables(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_tables",
        ["schemaname", "tablename", "tableowner", "tablespace", "hasindexes", "hastriggers"],
        &[("hasrules", Value::Bool(false)), ("rowsecurity", Value::Bool(false))],
    );
    let owner = catalog.first_role();
    let mut rows: Vec<SystemRow> = built_in(b'r')
        .into_iter()
        .map(|(oid, schema, table)| {
            let has_indexes = schema == "pg_catalog";
            maker.row([
                text(schema),
                table,
                text(owner),
                tablespace(oid),
                Value::Bool(has_indexes),
                Value::Bool(false),
            ])
        })
        .collect();
    for (_, schema, name, table) in catalog.collections() {
        let place = (schema.to_owned(), name.to_owned());
        rows.push(maker.row([
            text(schema),
            text(name),
            text(table.owner.as_str()),
            Value::Null,
            Value::Bool(indexes_of(table).next().is_some()),
            Value::Bool(catalog.references().contains(&place)),
        ]));
    }
    rows
}

pub(super) fn views(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    let maker = Maker::new("pg_views", ["schemaname", "viewname", "viewowner", "definition"], &[]);
    let owner = catalog.first_role();
    // The definitions of the system's own views are not kept.
    let own = built_in(b'v').into_iter();
    let mut rows: Vec<SystemRow> = own
        .map(|(_, schema, view)| maker.row([text(schema), view, text(owner), Value::Null]))
        .collect();
    for (_, schema, name, view) in catalog.views() {
        let place = (schema.to_owned(), name.to_owned());
        let definition = define::view(catalog, &place, false, &context.session.schemas)?;
        rows.push(maker.row([
            text(schema),
            text(name),
            text(view.owner.as_str()),
            definition.map_or(Value::Null, Value::text),
        ]));
    }
    Ok(rows)
}

pub(super) fn indexes(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    let style = define::Style { context, pretty: false };
    let maker = Maker::new(
        "pg_indexes",
        ["schemaname", "tablename", "indexname", "tablespace", "indexdef"],
        &[],
    );
    let relations: HashMap<u32, (&str, Value)> =
        built_in(b'r').into_iter().map(|(oid, schema, table)| (oid, (schema, table))).collect();
    let indexes = system_table("pg_index");
    let at = ["indexrelid", "indrelid"].map(|column| indexes.place(column));
    let mut rows = Vec::new();
    for row in indexes.rows() {
        let (Value::Oid(index), Value::Oid(table)) = (&row[at[0]], &row[at[1]]) else { continue };
        let Some((schema, table)) = relations.get(table) else { continue };
        rows.push(maker.row([
            text(*schema),
            table.clone(),
            name::built_in_relation(*index).map_or(Value::Null, |(_, name)| Value::text(name)),
            tablespace(*index),
            define::index_in(catalog, *index, None, style)?.map_or(Value::Null, Value::text),
        ]));
    }
    for (_, schema, name, table) in catalog.collections() {
        for index in indexes_of(table) {
            let definition = define::index_in(catalog, index.oid, None, style)?;
            rows.push(maker.row([
                text(schema),
                text(name),
                text(index.name),
                Value::Null,
                definition.map_or(Value::Null, Value::text),
            ]));
        }
    }
    Ok(rows)
}
