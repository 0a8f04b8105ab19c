//! `pg_index`.

use dataman_pg::catalog::system::{SystemRow, system_table, vector};
use dataman_pg::{TypeId, Value};

use super::super::database::{Catalog, indexes_of};
use super::super::define;
use super::super::row::{Maker, small, text};
use super::class::method_oid;
use super::type_shape;

pub(super) fn indexes(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_index",
        [
            "indexrelid",
            "indrelid",
            "indnatts",
            "indnkeyatts",
            "indisunique",
            "indnullsnotdistinct",
            "indisprimary",
            "indkey",
            "indcollation",
            "indclass",
            "indoption",
            "indexprs",
            "indpred",
        ],
        &[
            ("indisexclusion", Value::Bool(false)),
            ("indimmediate", Value::Bool(true)),
            ("indisclustered", Value::Bool(false)),
            ("indisvalid", Value::Bool(true)),
            ("indcheckxmin", Value::Bool(false)),
            ("indisready", Value::Bool(true)),
            ("indislive", Value::Bool(true)),
            ("indisreplident", Value::Bool(false)),
        ],
    );
    let mut rows = Vec::new();
    for (_, schema, name, table) in catalog.collections() {
        let place = (schema.to_owned(), name.to_owned());
        for index in indexes_of(table) {
            let columns = define::index_columns(catalog, &place, table, &index);
            let number = |column: &str| table.field(column).map_or(0, |field| field.number);
            let mut keys: Vec<Value> =
                index.keys.iter().map(|(key, _, _)| Value::Int2(number(key))).collect();
            let has_expressions = keys.contains(&Value::Int2(0));
            keys.extend(index.include.iter().map(|column| Value::Int2(number(column))));
            let shapes: Vec<(TypeId, u32)> = columns[..index.keys.len().min(columns.len())]
                .iter()
                .map(|(_, ty)| (ty.id, type_shape(ty.id).collation))
                .collect();
            let classes = shapes.iter().map(|(ty, _)| Value::Oid(class_of(*ty, index.method)));
            let option = |descending: bool, nulls_first: bool| {
                Value::Int2(i16::from(descending) | (i16::from(nulls_first) << 1))
            };
            rows.push(maker.row([
                Value::Oid(index.oid),
                Value::Oid(table.id.0),
                small(index.keys.len() + index.include.len()),
                small(index.keys.len()),
                Value::Bool(index.unique),
                Value::Bool(index.nulls_not_distinct),
                Value::Bool(index.primary),
                vector(TypeId::INT2, keys),
                vector(TypeId::OID, shapes.iter().map(|(_, one)| Value::Oid(*one)).collect()),
                vector(TypeId::OID, classes.collect()),
                vector(
                    TypeId::INT2,
                    index.keys.iter().map(|(_, desc, first)| option(*desc, *first)).collect(),
                ),
                if has_expressions {
                    text(define::index_keys_node(index.oid))
                } else {
                    Value::Null
                },
                if index.filter.is_some() {
                    text(define::index_filter_node(index.oid))
                } else {
                    Value::Null
                },
            ]));
        }
    }
    rows
}

/// The default operator class of a type for an access method; enums and arrays have one for all.
fn class_of(ty: TypeId, method: &str) -> u32 {
    let classes = system_table("pg_opclass");
    let at = ["oid", "opcmethod", "opcintype", "opcdefault"].map(|column| classes.place(column));
    let find = |input: TypeId| {
        classes.rows().iter().find_map(|row| {
            let fits = row[at[1]] == Value::Oid(method_oid(method))
                && row[at[2]] == Value::Oid(input.0)
                && row[at[3]] == Value::Bool(true);
            match &row[at[0]] {
                Value::Oid(oid) if fits => Some(*oid),
                _ => None,
            }
        })
    };
    let stand_in = || {
        if ty == TypeId::VARCHAR {
            TypeId::TEXT
        } else if dataman_pg::array::element_type(ty).is_some() {
            TypeId::ANYARRAY
        } else {
            TypeId::ANYENUM
        }
    };
    find(ty).or_else(|| find(stand_in())).unwrap_or(0)
}
