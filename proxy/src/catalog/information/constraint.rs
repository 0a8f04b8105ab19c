//! `table_constraints`, `check_constraints`, `key_column_usage`, `referential_constraints`, `constraint_…_usage`.

use std::collections::HashMap;

use dataman_pg::catalog::system::SystemRow;
use dataman_pg::{PgError, Value};

use super::super::define::{self, Style};
use super::super::row::{Maker, text};
use super::{Line, Result, Source, Viewer, count, yes};

/// The columns' names by relation and number.
fn names(attributes: &Source) -> HashMap<(u32, i64), Value> {
    attributes
        .rows()
        .map(|line| ((line.oid("attrelid"), line.number("attnum")), line.get("attname").clone()))
        .collect()
}

/// Columns of tables that are not null, with their tables.
fn not_null<'a>(
    attributes: &'a Source,
    classes: &'a HashMap<u32, Line<'a>>,
) -> impl Iterator<Item = (Line<'a>, Line<'a>)> {
    attributes
        .rows()
        .filter(|line| line.is("attnotnull") && line.number("attnum") > 0)
        .filter_map(|line| Some((line, *classes.get(&line.oid("attrelid"))?)))
        .filter(|(_, class)| class.letter("relkind") == b'r')
}

/// What the standard calls a column's NOT NULL.
fn not_null_name(attribute: &Line<'_>, class: &Line<'_>) -> Value {
    let (schema, table) = (class.oid("relnamespace"), class.oid("oid"));
    text(format!("{schema}_{table}_{}_not_null", attribute.number("attnum")))
}

pub(super) fn constraints(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "table_constraints",
        [
            "constraint_schema",
            "constraint_name",
            "table_schema",
            "table_name",
            "constraint_type",
            "nulls_distinct",
        ],
        &[
            ("constraint_catalog", viewer.database()),
            ("table_catalog", viewer.database()),
            ("is_deferrable", yes(false)),
            ("initially_deferred", yes(false)),
            ("enforced", yes(true)),
        ],
    );
    let schemas = viewer.schemas()?;
    let schema_of = |oid: u32| schemas.get(&oid).cloned().unwrap_or(Value::Null);
    let (classes, indexes) = (viewer.source("pg_class")?, viewer.source("pg_index")?);
    let (classes, indexes) = (classes.by("oid"), indexes.by("indexrelid"));
    let mut rows = Vec::new();
    for constraint in viewer.source("pg_constraint")?.rows() {
        let Some(class) = classes.get(&constraint.oid("conrelid")) else { continue };
        let (kind, nulls) = match constraint.letter("contype") {
            b'c' => ("CHECK", Value::Null),
            b'f' => ("FOREIGN KEY", Value::Null),
            b'p' => ("PRIMARY KEY", Value::Null),
            b'u' => {
                let index = indexes.get(&constraint.oid("conindid"));
                let is_one = index.is_some_and(|index| index.is("indnullsnotdistinct"));
                ("UNIQUE", yes(!is_one))
            }
            _ => continue,
        };
        rows.push(maker.row([
            schema_of(constraint.oid("connamespace")),
            constraint.get("conname").clone(),
            schema_of(class.oid("relnamespace")),
            class.get("relname").clone(),
            text(kind),
            nulls,
        ]));
    }
    let attributes = viewer.source("pg_attribute")?;
    for (attribute, class) in not_null(&attributes, &classes) {
        let schema = schema_of(class.oid("relnamespace"));
        rows.push(maker.row([
            schema.clone(),
            not_null_name(&attribute, &class),
            schema,
            class.get("relname").clone(),
            text("CHECK"),
            Value::Null,
        ]));
    }
    Ok(rows)
}

pub(super) fn checks(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "check_constraints",
        ["constraint_schema", "constraint_name", "check_clause"],
        &[("constraint_catalog", viewer.database())],
    );
    let schemas = viewer.schemas()?;
    let schema_of = |oid: u32| schemas.get(&oid).cloned().unwrap_or(Value::Null);
    let classes = viewer.source("pg_class")?;
    let classes = classes.by("oid");
    let style = Style { context: viewer.context, pretty: false };
    let mut rows = Vec::new();
    for constraint in viewer.source("pg_constraint")?.rows() {
        if constraint.letter("contype") != b'c' {
            continue;
        }
        let owner = classes.get(&constraint.oid("conrelid")).map(|class| class.oid("relowner"));
        if !viewer.is(owner.unwrap_or(super::super::database::FIRST_ROLE)) {
            continue;
        }
        // What is built in keeps its text.
        let written = match define::constraint(viewer.catalog, constraint.oid("oid"), style)? {
            Some(written) => written,
            None => constraint.text("conbin").to_owned(),
        };
        let clause = written.strip_prefix("CHECK ").unwrap_or(&written);
        rows.push(maker.row([
            schema_of(constraint.oid("connamespace")),
            constraint.get("conname").clone(),
            text(clause),
        ]));
    }
    let attributes = viewer.source("pg_attribute")?;
    for (attribute, class) in not_null(&attributes, &classes) {
        if !viewer.is(class.oid("relowner")) {
            continue;
        }
        rows.push(maker.row([
            schema_of(class.oid("relnamespace")),
            not_null_name(&attribute, &class),
            text(format!("{} IS NOT NULL", attribute.text("attname"))),
        ]));
    }
    Ok(rows)
}

/// Everything that the tables about keys read.
struct Keys {
    schemas: HashMap<u32, Value>,
    constraints: Source,
    classes: Source,
    attributes: Source,
    indexes: Source,
}

impl Keys {
    fn new(viewer: Viewer<'_>) -> Result<Self> {
        Ok(Self {
            schemas: viewer.schemas()?,
            constraints: viewer.source("pg_constraint")?,
            classes: viewer.source("pg_class")?,
            attributes: viewer.source("pg_attribute")?,
            indexes: viewer.source("pg_index")?,
        })
    }

    fn schema(&self, oid: u32) -> Value {
        self.schemas.get(&oid).cloned().unwrap_or(Value::Null)
    }
}

pub(super) fn keys(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "key_column_usage",
        [
            "constraint_schema",
            "constraint_name",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
        &[("constraint_catalog", viewer.database()), ("table_catalog", viewer.database())],
    );
    let all = Keys::new(viewer)?;
    let (names, classes) = (names(&all.attributes), all.classes.by("oid"));
    let indexes = all.indexes.by("indexrelid");
    let mut rows = Vec::new();
    for constraint in all.constraints.rows() {
        let kind = constraint.letter("contype");
        let table = constraint.oid("conrelid");
        let Some(class) = classes.get(&table).filter(|_| b"puf".contains(&kind)) else { continue };
        let index = indexes.get(&constraint.oid("conindid")).filter(|_| kind == b'f');
        let unique = index.map_or_else(Vec::new, |index| index.numbers("indkey"));
        let target = constraint.numbers("confkey");
        for (place, number) in (0_usize..).zip(constraint.numbers("conkey")) {
            let referred = target.get(place).filter(|_| kind == b'f');
            let at = referred.and_then(|number| unique.iter().position(|key| key == number));
            let at = at.and_then(|at| i64::try_from(at + 1).ok());
            rows.push(maker.row([
                all.schema(constraint.oid("connamespace")),
                constraint.get("conname").clone(),
                all.schema(class.oid("relnamespace")),
                class.get("relname").clone(),
                names.get(&(table, i64::from(number))).cloned().unwrap_or(Value::Null),
                count(i64::try_from(place + 1).unwrap_or(-1)),
                at.map_or(Value::Null, count),
            ]));
        }
    }
    Ok(rows)
}

pub(super) fn references(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "referential_constraints",
        [
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
        &[("constraint_catalog", viewer.database())],
    );
    let all = Keys::new(viewer)?;
    // The key that has an index, for those that refer to it.
    let owners: HashMap<u32, Line<'_>> = all
        .constraints
        .rows()
        .filter(|line| b"pu".contains(&line.letter("contype")))
        .map(|line| (line.oid("conindid"), line))
        .collect();
    let mut rows = Vec::new();
    for constraint in all.constraints.rows().filter(|line| line.letter("contype") == b'f') {
        let unique = owners.get(&constraint.oid("conindid"));
        rows.push(maker.row([
            all.schema(constraint.oid("connamespace")),
            constraint.get("conname").clone(),
            unique.map_or(Value::Null, |_| viewer.database()),
            unique.map_or(Value::Null, |unique| all.schema(unique.oid("connamespace"))),
            unique.map_or(Value::Null, |unique| unique.get("conname").clone()),
            text(match constraint.letter("confmatchtype") {
                b'f' => "FULL",
                b'p' => "PARTIAL",
                _ => "NONE",
            }),
            text(rule(constraint.letter("confupdtype"))?),
            text(rule(constraint.letter("confdeltype"))?),
        ]));
    }
    Ok(rows)
}

fn rule(letter: u8) -> Result<&'static str> {
    Ok(match letter {
        b'c' => "CASCADE",
        b'n' => "SET NULL",
        b'd' => "SET DEFAULT",
        b'r' => "RESTRICT",
        b'a' => "NO ACTION",
        _ => return Err(PgError::internal("a foreign key's action has no such letter")),
    })
}

/// The table and the columns that a constraint is about: those that a foreign key refers to, else its own.
fn target(constraint: Line<'_>) -> (u32, Vec<i16>) {
    match constraint.letter("contype") {
        b'f' => (constraint.oid("confrelid"), constraint.numbers("confkey")),
        _ => (constraint.oid("conrelid"), constraint.numbers("conkey")),
    }
}

pub(super) fn columns_used(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "constraint_column_usage",
        ["table_schema", "table_name", "column_name", "constraint_schema", "constraint_name"],
        &[("table_catalog", viewer.database()), ("constraint_catalog", viewer.database())],
    );
    let all = Keys::new(viewer)?;
    let (names, classes) = (names(&all.attributes), all.classes.by("oid"));
    let mut rows = Vec::new();
    for constraint in all.constraints.rows() {
        let (table, numbers) = target(constraint);
        let Some(class) = classes.get(&table) else { continue };
        if class.letter("relkind") != b'r' || !viewer.is(class.oid("relowner")) {
            continue;
        }
        for number in numbers {
            rows.push(maker.row([
                all.schema(class.oid("relnamespace")),
                class.get("relname").clone(),
                names.get(&(table, i64::from(number))).cloned().unwrap_or(Value::Null),
                all.schema(constraint.oid("connamespace")),
                constraint.get("conname").clone(),
            ]));
        }
    }
    Ok(rows)
}

pub(super) fn tables_used(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        "constraint_table_usage",
        ["table_schema", "table_name", "constraint_schema", "constraint_name"],
        &[("table_catalog", viewer.database()), ("constraint_catalog", viewer.database())],
    );
    let all = Keys::new(viewer)?;
    let classes = all.classes.by("oid");
    let mut rows = Vec::new();
    let keys = all.constraints.rows().filter(|line| b"puf".contains(&line.letter("contype")));
    for constraint in keys {
        let Some(class) = classes.get(&target(constraint).0) else { continue };
        if viewer.is(class.oid("relowner")) {
            rows.push(maker.row([
                all.schema(class.oid("relnamespace")),
                class.get("relname").clone(),
                all.schema(constraint.oid("connamespace")),
                constraint.get("conname").clone(),
            ]));
        }
    }
    Ok(rows)
}
