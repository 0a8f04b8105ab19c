//! The smaller catalogs: schemas, databases, comments, dependencies, sequences, rules.

use dataman_metadata::schema::{ConstraintKind, FieldDefault};
use dataman_metadata::snapshot::FIRST_OID;
use dataman_pg::Value;
use dataman_pg::catalog::system::{CATALOG_SCHEMA, SystemRow};

use super::super::database::{Catalog, constraint_oid, indexes_of};
use super::super::row::{Maker, letter, rights, text};
use super::super::{define, oid};
use super::catalog_oid;

/// `pg_namespace`. The schema `dataman` is found by its name and not listed, so that what lists schemas lists the users'.
pub(super) fn namespaces(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new("pg_namespace", ["oid", "nspname", "nspowner", "nspacl"], &[]);
    let owner = catalog.content().map_or("", |database| database.owner.as_str());
    let mut rows = Vec::new();
    for (name, schema) in catalog.schemas() {
        let (role, acl) = if name == dataman_metadata::schema::PUBLIC_SCHEMA {
            let owner = "pg_database_owner";
            (DATABASE_OWNER, rights(&[format!("{owner}=UC/{owner}"), format!("=U/{owner}")]))
        } else {
            (catalog.role_oid(owner), Value::Null)
        };
        rows.push(maker.row([Value::Oid(schema.oid.0), text(name), Value::Oid(role), acl]));
    }
    rows
}

/// The role that stands for the owner of the session's database.
const DATABASE_OWNER: u32 = 6171;

pub(super) fn databases(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_database",
        ["oid", "datname", "datdba"],
        &[
            ("encoding", Value::Int4(6)),
            ("datlocprovider", letter(b'c')),
            ("datistemplate", Value::Bool(false)),
            ("datallowconn", Value::Bool(true)),
            ("datconnlimit", Value::Int4(-1)),
            ("datfrozenxid", Value::Oid(0)),
            ("datminmxid", Value::Oid(0)),
            ("dattablespace", Value::Oid(1663)),
            ("datcollate", text("C")),
            ("datctype", text("C")),
        ],
    );
    let databases = catalog.snapshot.databases.values();
    databases
        .map(|database| {
            maker.row([
                Value::Oid(database.oid.0),
                text(database.id.0.as_str()),
                Value::Oid(catalog.role_oid(&database.owner)),
            ])
        })
        .collect()
}

/// `pg_description`.
pub(super) fn descriptions(catalog: &Catalog) -> Vec<SystemRow> {
    let maker =
        Maker::new("pg_description", ["objoid", "classoid", "objsubid", "description"], &[]);
    let class = catalog_oid("pg_class");
    let mut rows = Vec::new();
    let mut add = |object: u32, class: u32, column: i16, comment: Option<&String>| {
        if let Some(comment) = comment {
            rows.push(maker.row([
                Value::Oid(object),
                Value::Oid(class),
                Value::Int4(i32::from(column)),
                text(comment.as_str()),
            ]));
        }
    };
    for (name, schema) in catalog.schemas() {
        let standard = "standard public schema".to_owned();
        let is_public = name == dataman_metadata::schema::PUBLIC_SCHEMA;
        let comment = schema.comment.as_ref().or(is_public.then_some(&standard));
        add(schema.oid.0, catalog_oid("pg_namespace"), 0, comment);
    }
    for (_, _, _, table) in catalog.collections() {
        add(table.id.0, class, 0, table.comment.as_ref());
        for field in &table.fields {
            add(table.id.0, class, field.number, field.comment.as_ref());
        }
        for index in &table.indexes {
            add(index.oid.0, class, 0, index.comment.as_ref());
        }
    }
    for (_, _, _, view) in catalog.views() {
        add(view.oid.0, class, 0, view.comment.as_ref());
    }
    for (_, _, _, sequence) in catalog.sequences() {
        add(sequence.oid.0, class, 0, sequence.comment.as_ref());
    }
    rows
}

/// `pg_depend`: what goes with what.
pub(super) fn dependencies(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_depend",
        ["classid", "objid", "objsubid", "refclassid", "refobjid", "refobjsubid", "deptype"],
        &[],
    );
    let [class, constraints, rules, namespaces, defaults, types] =
        ["pg_class", "pg_constraint", "pg_rewrite", "pg_namespace", "pg_attrdef", "pg_type"]
            .map(catalog_oid);
    let mut rows = Vec::new();
    let mut add = |from: (u32, u32, i16), to: (u32, u32, i16), kind: u8| {
        // What is built in is pinned: nothing is said of it.
        if to.1 < FIRST_OID && to.1 != dataman_metadata::schema::PUBLIC_SCHEMA_OID.0 {
            return;
        }
        rows.push(maker.row([
            Value::Oid(from.0),
            Value::Oid(from.1),
            Value::Int4(i32::from(from.2)),
            Value::Oid(to.0),
            Value::Oid(to.1),
            Value::Int4(i32::from(to.2)),
            letter(kind),
        ]));
    };
    for (namespace, schema, name, table) in catalog.collections() {
        let place = (schema.to_owned(), name.to_owned());
        let relation = (class, table.id.0, 0);
        let column = |name: &str| table.field(name).map_or(0, |field| field.number);
        add(relation, (namespaces, namespace, 0), b'n');
        add((types, oid::row_type(table.id.0), 0), relation, b'i');
        for field in &table.fields {
            let own = (class, table.id.0, field.number);
            if dataman_pg::TypeId(field.type_oid).is_user() {
                add(own, (types, field.type_oid, 0), b'n');
            }
            let default = (defaults, oid::default(table.id.0, field.number), 0);
            match &field.default {
                FieldDefault::None | FieldDefault::Identity { .. } => {}
                FieldDefault::Expr(_) if !define::has_default(&field.default, field.typmod) => {}
                FieldDefault::Source { .. }
                    if !define::has_default(&field.default, field.typmod) => {}
                FieldDefault::Expr(_)
                | FieldDefault::Generated(_)
                | FieldDefault::Source { .. } => {
                    add(default, own, b'a');
                }
                FieldDefault::Serial(sequence) => {
                    add(default, own, b'a');
                    let found = catalog.content().and_then(|one| one.sequence_at(sequence));
                    if let Some((_, _, sequence)) = found {
                        add(default, (class, sequence.oid.0, 0), b'n');
                    }
                }
            }
        }
        for constraint in &table.constraints {
            let own = (constraints, constraint_oid(constraint), 0);
            match &constraint.kind {
                ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } => {
                    for field in fields {
                        add(own, (class, table.id.0, column(field)), b'a');
                    }
                    add((class, constraint.oid.0, 0), own, b'i');
                }
                ConstraintKind::Check { expr } => {
                    for field in define::columns_of(catalog, &place, table, expr) {
                        add(own, (class, table.id.0, column(&field)), b'a');
                    }
                }
                ConstraintKind::ForeignKey { fields, references, references_fields, .. } => {
                    for field in fields {
                        add(own, (class, table.id.0, column(field)), b'a');
                    }
                    if let Some(target) = catalog.collection(references) {
                        for field in references_fields {
                            let number = target.field(field).map_or(0, |field| field.number);
                            add(own, (class, target.id.0, number), b'n');
                        }
                    }
                }
            }
        }
        for index in indexes_of(table).filter(|index| index.constraint.is_none()) {
            for (key, _, _) in &index.keys {
                add((class, index.oid, 0), (class, table.id.0, column(key)), b'a');
            }
        }
    }
    for (namespace, _, _, view) in catalog.views() {
        let rule = (rules, oid::rule(view.oid.0), 0);
        add((class, view.oid.0, 0), (namespaces, namespace, 0), b'n');
        add((types, oid::row_type(view.oid.0), 0), (class, view.oid.0, 0), b'i');
        add(rule, (class, view.oid.0, 0), b'i');
        for place in &view.depends {
            let relation = catalog.collection(place).map(|table| table.id.0);
            let relation = relation.or_else(|| catalog.view(place).map(|view| view.oid.0));
            if let Some(relation) = relation {
                add(rule, (class, relation, 0), b'n');
            }
        }
    }
    for (namespace, _, _, sequence) in catalog.sequences() {
        let own = (class, sequence.oid.0, 0);
        add(own, (namespaces, namespace, 0), b'n');
        if let Some((schema, name, column)) = &sequence.owned_by
            && let Some(table) = catalog.collection(&(schema.clone(), name.clone()))
            && let Some(field) = table.field(column)
        {
            let is_identity = matches!(field.default, FieldDefault::Identity { .. });
            let kind = if is_identity { b'i' } else { b'a' };
            add(own, (class, table.id.0, field.number), kind);
        }
    }
    for (namespace, _, _, found) in catalog.enums() {
        add((types, found.oid.0, 0), (namespaces, namespace, 0), b'n');
        add((types, found.array_oid.0, 0), (types, found.oid.0, 0), b'i');
    }
    rows
}

/// `pg_sequence`.
pub(super) fn sequences(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_sequence",
        [
            "seqrelid",
            "seqtypid",
            "seqstart",
            "seqincrement",
            "seqmax",
            "seqmin",
            "seqcache",
            "seqcycle",
        ],
        &[],
    );
    let row = |(_, _, _, sequence): (u32, &str, &str, &dataman_metadata::schema::Sequence)| {
        maker.row([
            Value::Oid(sequence.oid.0),
            Value::Oid(sequence.type_oid),
            Value::Int8(sequence.start),
            Value::Int8(sequence.increment),
            Value::Int8(sequence.max),
            Value::Int8(sequence.min),
            Value::Int8(sequence.cache),
            Value::Bool(sequence.cycle),
        ])
    };
    catalog.sequences().map(row).collect()
}

/// `pg_rewrite`: a view is a rule.
pub(super) fn rules(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_rewrite",
        ["oid", "ev_class"],
        &[
            ("rulename", text("_RETURN")),
            ("ev_type", letter(b'1')),
            ("ev_enabled", letter(b'O')),
            ("is_instead", Value::Bool(true)),
            ("ev_qual", text("<>")),
            ("ev_action", text("<>")),
        ],
    );
    let row = |view: u32| maker.row([Value::Oid(oid::rule(view)), Value::Oid(view)]);
    catalog.views().map(|(_, _, _, view)| row(view.oid.0)).collect()
}

/// The schema of PostgreSQL's own objects.
pub(super) const fn system_schema() -> u32 {
    CATALOG_SCHEMA
}
