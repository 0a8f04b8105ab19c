//! `columns`.

use std::collections::HashMap;

use dataman_pg::catalog::system::SystemRow;
use dataman_pg::types::TypeRef;
use dataman_pg::{TypeId, Value};

use super::super::define::{self, Style};
use super::super::row::{Maker, text};
use super::relation::WITH_ROWS;
use super::{Line, Result, Viewer, count, precision, yes};

/// What texts without a limit may hold, in bytes.
const OCTETS_MAX: i64 = 1 << 30;
/// The bytes of the longest character.
const CHARACTER_BYTES: i64 = 4;
/// The collation that is not named.
const DEFAULT_COLLATION: u32 = 100;

pub(super) fn columns(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let database = viewer.database();
    let maker = Maker::of(
        "information_schema",
        "columns",
        [
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "column_default",
            "is_nullable",
            "data_type",
            "character_maximum_length",
            "character_octet_length",
            "numeric_precision",
            "numeric_precision_radix",
            "numeric_scale",
            "datetime_precision",
            "interval_type",
            "collation_catalog",
            "collation_schema",
            "collation_name",
            "domain_catalog",
            "domain_schema",
            "domain_name",
            "udt_schema",
            "udt_name",
            "dtd_identifier",
            "is_identity",
            "identity_generation",
            "identity_start",
            "identity_increment",
            "identity_maximum",
            "identity_minimum",
            "identity_cycle",
            "is_generated",
            "generation_expression",
            "is_updatable",
        ],
        &[
            ("table_catalog", database.clone()),
            ("udt_catalog", database.clone()),
            ("is_self_referencing", yes(false)),
        ],
    );
    let schemas = viewer.schemas()?;
    let sources = ["pg_class", "pg_type", "pg_collation", "pg_sequence"];
    let [classes, types, collations, sequences] = {
        let mut read = Vec::new();
        for name in sources {
            read.push(viewer.source(name)?);
        }
        <[_; 4]>::try_from(read).unwrap_or_else(|_| unreachable!("four were read"))
    };
    let (classes, types) = (classes.by("oid"), types.by("oid"));
    let (collations, sequences) = (collations.by("oid"), sequences.by("seqrelid"));
    let (attributes, defaults) = (viewer.source("pg_attribute")?, viewer.source("pg_attrdef")?);
    let defaults: HashMap<(u32, i64), Line<'_>> =
        defaults.rows().map(|line| ((line.oid("adrelid"), line.number("adnum")), line)).collect();
    let depends = viewer.source("pg_depend")?;
    // The sequence of each identity column.
    let identities: HashMap<(u32, i64), u32> = depends
        .rows()
        .filter(|line| line.letter("deptype") == b'i' && line.number("refobjsubid") > 0)
        .map(|line| ((line.oid("refobjid"), line.number("refobjsubid")), line.oid("objid")))
        .collect();
    let schema_of = |oid: u32| schemas.get(&oid).cloned().unwrap_or(Value::Null);
    let style = Style { context: viewer.context, pretty: false };
    let mut rows = Vec::new();
    for attribute in attributes.rows() {
        let number = attribute.number("attnum");
        let Some(class) = classes.get(&attribute.oid("attrelid")) else { continue };
        if number < 1 || !WITH_ROWS.contains(&class.letter("relkind")) {
            continue;
        }
        let Some(declared) = types.get(&attribute.oid("atttypid")) else { continue };
        let is_domain = declared.letter("typtype") == b'd';
        let base = if is_domain { types.get(&declared.oid("typbasetype")) } else { None };
        let shown = base.copied().unwrap_or(*declared);
        let (ty, typmod) = match base {
            Some(base) => (TypeId(base.oid("oid")), declared.number("typtypmod")),
            None => (TypeId(declared.oid("oid")), attribute.number("atttypmod")),
        };
        let default = defaults.get(&(class.oid("oid"), number));
        let expression = match default {
            Some(default) => define::node(viewer.catalog, default.text("adbin"), style)?,
            None => None,
        };
        let expression = expression.map_or(Value::Null, Value::text);
        let is_generated = attribute.letter("attgenerated") != 0;
        let (generated, default) =
            if is_generated { (expression, Value::Null) } else { (Value::Null, expression) };
        let (length, octets) = lengths(ty, typmod);
        let (bits, radix, scale) = precision(ty, typmod);
        let collation = Some(attribute.oid("attcollation"))
            .filter(|oid| *oid != DEFAULT_COLLATION)
            .and_then(|oid| collations.get(&oid));
        let of_collation = |value: Value| if collation.is_some() { value } else { Value::Null };
        let of_domain = |value: Value| if is_domain { value } else { Value::Null };
        let identity = match attribute.letter("attidentity") {
            b'a' => Some("ALWAYS"),
            b'd' => Some("BY DEFAULT"),
            _ => None,
        };
        let sequence = identities
            .get(&(class.oid("oid"), number))
            .filter(|_| identity.is_some())
            .and_then(|oid| sequences.get(oid));
        let of_sequence = |column: &str| {
            sequence.map_or(Value::Null, |line| text(line.number(column).to_string()))
        };
        rows.push(maker.row([
            schema_of(class.oid("relnamespace")),
            class.get("relname").clone(),
            attribute.get("attname").clone(),
            count(number),
            default,
            yes(!(attribute.is("attnotnull") || is_domain && declared.is("typnotnull"))),
            data_type(viewer, shown, schema_of(shown.oid("typnamespace"))),
            length,
            octets,
            bits,
            radix,
            scale,
            time_precision(ty, typmod),
            interval_fields(ty, typmod),
            of_collation(database.clone()),
            collation.map_or(Value::Null, |line| schema_of(line.oid("collnamespace"))),
            collation.map_or(Value::Null, |line| line.get("collname").clone()),
            of_domain(database.clone()),
            of_domain(schema_of(declared.oid("typnamespace"))),
            of_domain(declared.get("typname").clone()),
            schema_of(shown.oid("typnamespace")),
            shown.get("typname").clone(),
            text(number.to_string()),
            yes(identity.is_some()),
            identity.map_or(Value::Null, Value::text),
            of_sequence("seqstart"),
            of_sequence("seqincrement"),
            of_sequence("seqmax"),
            of_sequence("seqmin"),
            yes(sequence.is_some_and(|line| line.is("seqcycle"))),
            text(if is_generated { "ALWAYS" } else { "NEVER" }),
            generated,
            yes(class.letter("relkind") == b'r'),
        ]));
    }
    Ok(rows)
}

/// The standard's name of a type.
fn data_type(viewer: Viewer<'_>, ty: Line<'_>, schema: Value) -> Value {
    if ty.oid("typelem") != 0 && ty.number("typlen") == -1 {
        return text("ARRAY");
    }
    if schema != Value::text("pg_catalog") {
        return text("USER-DEFINED");
    }
    let id = TypeRef::plain(TypeId(ty.oid("oid")));
    viewer.catalog.format_type(id, viewer.context).map_or(Value::Null, Value::text)
}

/// The most characters and bytes of a value.
fn lengths(ty: TypeId, typmod: i64) -> (Value, Value) {
    let characters = match ty {
        TypeId::BPCHAR | TypeId::VARCHAR if typmod >= 0 => Some(typmod - 4),
        TypeId::BIT | TypeId::VARBIT if typmod >= 0 => Some(typmod),
        _ => None,
    };
    let octets = match (ty, characters) {
        (TypeId::TEXT | TypeId::BPCHAR | TypeId::VARCHAR, None) => Some(OCTETS_MAX),
        (TypeId::BPCHAR | TypeId::VARCHAR, Some(length)) => Some(length * CHARACTER_BYTES),
        _ => None,
    };
    (characters.map_or(Value::Null, count), octets.map_or(Value::Null, count))
}

/// The digits of seconds.
fn time_precision(ty: TypeId, typmod: i64) -> Value {
    match ty {
        TypeId::DATE => Value::Int4(0),
        TypeId::TIME | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ | TypeId::TIMETZ => {
            count(if typmod < 0 { 6 } else { typmod })
        }
        TypeId::INTERVAL if typmod < 0 || typmod & 0xffff == 0xffff => Value::Int4(6),
        TypeId::INTERVAL => count(typmod & 0xffff),
        _ => Value::Null,
    }
}

/// The fields of an interval that has not all.
fn interval_fields(ty: TypeId, typmod: i64) -> Value {
    if ty != TypeId::INTERVAL {
        return Value::Null;
    }
    let written = dataman_pg::catalog::format_type(ty, i32::try_from(typmod).unwrap_or(-1));
    let fields = written.split_once(' ').map(|(_, fields)| fields);
    let fields = fields.map(|fields| fields.split('(').next().unwrap_or(fields).to_uppercase());
    fields.map_or(Value::Null, Value::text)
}
