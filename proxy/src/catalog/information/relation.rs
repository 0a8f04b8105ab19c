//! `tables`, `views`, `sequences`, `schemata`.

use dataman_pg::catalog::system::SystemRow;
use dataman_pg::{TypeId, Value};

use super::super::define;
use super::super::row::{Maker, text};
use super::{Result, Viewer, precision, yes};

/// Kinds of `pg_class` that hold rows: tables, views, foreign and partitioned tables.
pub(super) const WITH_ROWS: &[u8] = b"rvfp";

pub(super) fn tables(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "tables",
        ["table_schema", "table_name", "table_type", "is_insertable_into"],
        &[("table_catalog", viewer.database()), ("is_typed", yes(false))],
    );
    let schemas = viewer.schemas()?;
    let classes = viewer.source("pg_class")?;
    let mut rows = Vec::new();
    for class in classes.rows().filter(|class| WITH_ROWS.contains(&class.letter("relkind"))) {
        let Some(schema) = schemas.get(&class.oid("relnamespace")) else { continue };
        let is_table = class.letter("relkind") == b'r';
        rows.push(maker.row([
            schema.clone(),
            class.get("relname").clone(),
            text(if is_table { "BASE TABLE" } else { "VIEW" }),
            yes(is_table),
        ]));
    }
    Ok(rows)
}

pub(super) fn views(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let no = || yes(false);
    let maker = Maker::of(
        "information_schema",
        "views",
        ["table_schema", "table_name", "view_definition"],
        &[
            ("table_catalog", viewer.database()),
            ("check_option", text("NONE")),
            ("is_updatable", no()),
            ("is_insertable_into", no()),
            ("is_trigger_updatable", no()),
            ("is_trigger_deletable", no()),
            ("is_trigger_insertable_into", no()),
        ],
    );
    let schemas = viewer.schemas()?;
    let classes = viewer.source("pg_class")?;
    let mut rows = Vec::new();
    for class in classes.rows().filter(|class| class.letter("relkind") == b'v') {
        let Some(schema) = schemas.get(&class.oid("relnamespace")) else { continue };
        // The definitions of the system's own views are not kept.
        let place = match schema {
            Value::Text(schema) => (schema.to_string(), class.text("relname").to_owned()),
            _ => continue,
        };
        let definition = if viewer.is(class.oid("relowner")) {
            let path = &viewer.context.session.schemas;
            define::view(viewer.catalog, &place, false, path)?
        } else {
            None
        };
        rows.push(maker.row([
            schema.clone(),
            class.get("relname").clone(),
            definition.map_or(Value::Null, Value::text),
        ]));
    }
    Ok(rows)
}

pub(super) fn sequences(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "sequences",
        [
            "sequence_schema",
            "sequence_name",
            "data_type",
            "numeric_precision",
            "start_value",
            "minimum_value",
            "maximum_value",
            "increment",
            "cycle_option",
        ],
        &[
            ("sequence_catalog", viewer.database()),
            ("numeric_precision_radix", Value::Int4(2)),
            ("numeric_scale", Value::Int4(0)),
        ],
    );
    let schemas = viewer.schemas()?;
    let (classes, depends) = (viewer.source("pg_class")?, viewer.source("pg_depend")?);
    let classes = classes.by("oid");
    let is_identity = |sequence: u32| {
        depends.rows().any(|line| line.oid("objid") == sequence && line.letter("deptype") == b'i')
    };
    let mut rows = Vec::new();
    for sequence in viewer.source("pg_sequence")?.rows() {
        let oid = sequence.oid("seqrelid");
        let Some(class) = classes.get(&oid).filter(|_| !is_identity(oid)) else { continue };
        let Some(schema) = schemas.get(&class.oid("relnamespace")) else { continue };
        let ty = TypeId(sequence.oid("seqtypid"));
        let number = |column: &str| text(sequence.number(column).to_string());
        rows.push(maker.row([
            schema.clone(),
            class.get("relname").clone(),
            text(dataman_pg::catalog::format_type(ty, -1)),
            precision(ty, -1).0,
            number("seqstart"),
            number("seqmin"),
            number("seqmax"),
            number("seqincrement"),
            yes(sequence.is("seqcycle")),
        ]));
    }
    Ok(rows)
}

pub(super) fn schemata(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "schemata",
        ["schema_name", "schema_owner"],
        &[("catalog_name", viewer.database())],
    );
    let schemas = viewer.source("pg_namespace")?;
    // Everybody may use every schema but that of what is stored apart.
    let seen = schemas.rows().filter(|line| viewer.superuser || line.text("nspname") != "pg_toast");
    Ok(seen
        .map(|line| {
            maker.row([line.get("nspname").clone(), viewer.role_name(line.oid("nspowner"))])
        })
        .collect())
}
