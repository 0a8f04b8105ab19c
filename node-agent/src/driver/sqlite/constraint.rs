//! Constraints, in PostgreSQL's order and words.
//!
//! Nothing of them is in CREATE TABLE, so each can be added and dropped without rebuilding the table:
//! - NOT NULL and CHECK are tested by a BEFORE trigger that hands the new record to `dm_row`: NOT NULLs in the order of
//!   fields, then CHECKs by name.
//! - UNIQUE and PRIMARY KEY are unique indexes. The record that `dm_row` saw last is the one an index refuses, so the
//!   message can show its key.
//! - FOREIGN KEY is looked at when the statement has ended, as in PostgreSQL: AFTER triggers note keys that were made
//!   ([`refer`]) and keys that went away ([`orphan`]), and [`settle`] checks the ones and carries out the actions of the others,
//!   whose own changes are noted in turn.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{ConstraintKind, ForeignKeyAction};
use dataman_pg::Context;
use dataman_pg::value::Value;
use rusqlite::functions::Context as Call;
use rusqlite::params_from_iter;

use super::catalogue::{Catalogue, Collection};
use super::function::{Bound, owned, raise};
use super::session::{Session, Shared, lock};
use super::value::text_of;
use crate::driver::sql::stored::{self, Stored, StoredRef, physical_name};
use crate::driver::sql::{literal, quoted, user_name};

/// PostgreSQL shows at most this many bytes of each value of a failing row.
const SHOWN_MAX: usize = 64;

/// Something to look at when the statement has ended.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A record that refers to `key` was made.
    Refer {
        /// The referring collection's number.
        child: i64,
        /// The foreign key.
        constraint: String,
        /// The values of its fields.
        key: Vec<Stored>,
    },
    /// A key that may be referred to went away.
    Orphan {
        /// The referring collection's number.
        child: i64,
        /// The foreign key.
        constraint: String,
        /// The key before.
        old: Vec<Stored>,
        /// The key after; none for a deletion.
        new: Option<Vec<Stored>>,
    },
}

/// `dm_row(id, field…)`: tests NOT NULL and CHECK of a new record.
pub(super) fn row(shared: &Shared, call: &mut Call<'_>) -> rusqlite::Result<i64> {
    let id: i64 = call.get(0)?;
    let (collection, context, catalogue) = {
        let state = lock(shared);
        let Some(collection) = state.catalogue.by_id(id).cloned() else {
            drop(state);
            return Err(raise(shared, NodeError::statement("XX000", "a trigger of no collection")));
        };
        (collection, state.context.clone(), state.catalogue.clone())
    };
    let mut record = Vec::with_capacity(call.len() - 1);
    for place in 1..call.len() {
        record.push(owned(call.get_raw(place))?);
    }
    test(&collection, &record, &context, &catalogue).map_err(|error| raise(shared, error))?;
    lock(shared).row = Some((collection, record));
    Ok(0)
}

fn test(
    collection: &Arc<Collection>,
    record: &[Stored],
    context: &Context,
    catalogue: &Catalogue,
) -> Result<(), NodeError> {
    let shape = &collection.shape;
    for ((value, refused), field) in record.iter().zip(&collection.not_null).zip(&shape.fields) {
        if *refused && *value == Stored::Null {
            let mut error = NodeError::statement(
                "23502",
                format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    field.name, shape.label
                ),
            )
            .with_detail(failing_row(collection, record, context, catalogue));
            error.object.table = Some(shape.label.clone());
            error.object.column = Some(field.name.clone());
            return Err(error);
        }
    }
    if collection.checks.is_empty() {
        return Ok(());
    }
    let mut values = vec![Value::Null; record.len()];
    for check in &collection.checks {
        for place in &check.reads {
            values[*place] =
                stored::load(record[*place].as_ref(), shape.fields[*place].ty.id, catalogue)?;
        }
        if check.evaluator.eval(&values, &[], context)? == Value::Bool(false) {
            let mut error = NodeError::statement(
                "23514",
                format!(
                    "new row for relation \"{}\" violates check constraint \"{}\"",
                    shape.label, check.name
                ),
            )
            .with_detail(failing_row(collection, record, context, catalogue));
            error.object.table = Some(shape.label.clone());
            error.object.constraint = Some(check.name.clone());
            return Err(error);
        }
    }
    Ok(())
}

fn failing_row(
    collection: &Collection,
    record: &[Stored],
    context: &Context,
    catalogue: &Catalogue,
) -> String {
    let values: Vec<String> = record
        .iter()
        .zip(&collection.shape.fields)
        .map(|(value, field)| {
            let mut text = text_of(value.as_ref(), field.ty.id, context, catalogue)
                .unwrap_or_else(|| "null".to_owned());
            if text.len() > SHOWN_MAX {
                let cut = (0..=SHOWN_MAX).rev().find(|at| text.is_char_boundary(*at));
                text.truncate(cut.unwrap_or(0));
                text.push_str("...");
            }
            text
        })
        .collect();
    format!("Failing row contains ({}).", values.join(", "))
}

/// `Key (a, b)=(1, x)`.
fn key_text(
    fields: &[String],
    values: &[StoredRef<'_>],
    collection: &Collection,
    context: &Context,
    catalogue: &Catalogue,
) -> String {
    let shown: Vec<String> = fields
        .iter()
        .zip(values)
        .map(|(field, value)| {
            collection
                .type_of(field)
                .and_then(|ty| text_of(*value, ty, context, catalogue))
                .unwrap_or_else(|| "null".to_owned())
        })
        .collect();
    format!("Key ({})=({})", fields.join(", "), shown.join(", "))
}

/// What a UNIQUE index refused, from SQLite's words (`t.a, t.b`, or `index 'name'`) and the record seen last.
pub(super) fn unique_error(shared: &Shared, message: &str) -> NodeError {
    let state = lock(shared);
    let unknown =
        || NodeError::statement("23505", "duplicate key value violates unique constraint");
    let Some((collection, record)) = &state.row else {
        return unknown();
    };
    let table = physical_name(&collection.shape.target.collection);
    let columns = |fields: &[String]| {
        let columns: Vec<String> =
            fields.iter().map(|field| format!("{table}.{}", physical_name(field))).collect();
        columns.join(", ")
    };
    let found = uniques(collection).find(|unique| {
        let by_columns = unique.fields.as_ref().is_some_and(|fields| columns(fields) == message);
        by_columns || message == format!("index '{}'", index_name(collection.id, unique.name))
    });
    match found {
        Some(unique) => violation(&unique, collection, record, &state.context, &state.catalogue),
        None => unknown(),
    }
}

fn violation(
    unique: &Unique<'_>,
    collection: &Collection,
    record: &[Stored],
    context: &Context,
    catalogue: &Catalogue,
) -> NodeError {
    let (_, name) = user_name(unique.name);
    let mut error = NodeError::statement(
        "23505",
        format!("duplicate key value violates unique constraint \"{name}\""),
    );
    if let Some(fields) = &unique.fields {
        let values: Vec<StoredRef<'_>> = fields
            .iter()
            .filter_map(|field| collection.place(field).map(|place| record[place].as_ref()))
            .collect();
        let key = key_text(fields, &values, collection, context, catalogue);
        error = error.with_detail(format!("{key} already exists."));
    }
    error.object.table = Some(collection.shape.label.clone());
    error.object.constraint = Some(name);
    error
}

/// Of several UNIQUE indexes that refuse a new record, SQLite tells of the one made last and PostgreSQL of the first: an earlier
/// one that refuses it too is told of instead.
pub(super) fn first_violation(session: &Session, error: NodeError) -> NodeError {
    let refused = {
        let state = lock(&session.shared);
        // What ON CONFLICT updates is there already, and would be found.
        if state.touched.is_some() { None } else { state.row.clone() }
    };
    let (Some((collection, record)), "23505") = (refused, error.sqlstate.as_str()) else {
        return error;
    };
    for unique in uniques(&collection) {
        if error.object.constraint.as_ref() == Some(&user_name(unique.name).1) {
            break;
        }
        let (Some(fields), false) = (&unique.fields, unique.partial) else { continue };
        let values: Vec<Stored> = fields
            .iter()
            .filter_map(|field| collection.place(field).map(|place| record[place].clone()))
            .collect();
        let comparable = !values.contains(&Stored::Null);
        if comparable && exists(session, &collection, fields, &values).unwrap_or(false) {
            return violation(
                &unique,
                &collection,
                &record,
                &session.context(),
                &session.catalogue(),
            );
        }
    }
    error
}

/// A unique constraint or index.
pub(super) struct Unique<'c> {
    /// Its name.
    pub(super) name: &'c str,
    /// Its fields; none when a key is an expression.
    pub(super) fields: Option<Vec<String>>,
    /// Whether it has a condition.
    pub(super) partial: bool,
}

/// The unique constraints and indexes of a collection, the primary key first and then as they were made.
pub(super) fn uniques(collection: &Collection) -> impl Iterator<Item = Unique<'_>> {
    let shape = &collection.shape;
    let keys = shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => {
            Some(Unique { name: &constraint.name, fields: Some(fields.clone()), partial: false })
        }
        _ => None,
    });
    let constraints = shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::Unique { fields, .. } => {
            Some(Unique { name: &constraint.name, fields: Some(fields.clone()), partial: false })
        }
        _ => None,
    });
    let indexes = shape.indexes.iter().filter(|index| index.unique).map(|index| {
        let fields = index
            .keys
            .iter()
            .map(|key| match &key.expr {
                dataman_pg::Expr::Field(field) => Some(field.name.clone()),
                _ => None,
            })
            .collect();
        Unique { name: &index.name, fields, partial: index.filter.is_some() }
    });
    keys.chain(constraints).chain(indexes)
}

/// The name of an index in the file.
pub(super) fn index_name(collection: i64, name: &str) -> String {
    format!("dataman_{collection}_{}", physical_name(name))
}

/// `dm_refer(child, constraint, key…)`.
pub(super) fn refer(shared: &Shared, call: &mut Call<'_>) -> rusqlite::Result<i64> {
    let child: i64 = call.get(0)?;
    let constraint: String = call.get(1)?;
    let key = (2..call.len()).map(|place| owned(call.get_raw(place))).collect::<Result<_, _>>()?;
    lock(shared).events.push(Event::Refer { child, constraint, key });
    Ok(0)
}

/// `dm_orphan(child, constraint, changed, old…[, new…])`.
pub(super) fn orphan(shared: &Shared, call: &mut Call<'_>) -> rusqlite::Result<i64> {
    let child: i64 = call.get(0)?;
    let constraint: String = call.get(1)?;
    let changed: bool = call.get(2)?;
    let mut old: Vec<Stored> =
        (3..call.len()).map(|place| owned(call.get_raw(place))).collect::<Result<_, _>>()?;
    let new = changed.then(|| old.split_off(old.len() / 2));
    lock(shared).events.push(Event::Orphan { child, constraint, old, new });
    Ok(0)
}

/// A foreign key with everything about it.
struct ForeignKey {
    name: String,
    child: Arc<Collection>,
    fields: Vec<String>,
    parent: Arc<Collection>,
    parent_label: String,
    parent_fields: Vec<String>,
    on_delete: ForeignKeyAction,
    on_update: ForeignKeyAction,
}

fn foreign_key(catalogue: &Catalogue, child: i64, name: &str) -> Option<ForeignKey> {
    let child = catalogue.by_id(child)?.clone();
    let constraint = child.shape.constraints.iter().find(|found| found.name == name)?;
    let ConstraintKind::ForeignKey {
        fields,
        references,
        references_label,
        references_fields,
        on_delete,
        on_update,
    } = &constraint.kind
    else {
        return None;
    };
    Some(ForeignKey {
        name: name.to_owned(),
        fields: fields.clone(),
        parent: catalogue.find(references)?.clone(),
        parent_label: references_label.clone(),
        parent_fields: references_fields.clone(),
        on_delete: *on_delete,
        on_update: *on_update,
        child,
    })
}

/// `"a" COLLATE c = ? AND …` over a collection's fields.
fn key_condition(collection: &Collection, fields: &[String]) -> String {
    let mut out = String::new();
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.push_str(" AND ");
        }
        out.push_str(&column(collection, field));
        let _ = write!(out, " = ?{}", place + 1);
    }
    out
}

/// `"a" COLLATE c`.
pub(super) fn column(collection: &Collection, field: &str) -> String {
    let name = quoted(&physical_name(field));
    match collection.type_of(field).and_then(stored::collation) {
        Some(collation) => format!("{name} COLLATE {collation}"),
        None => name,
    }
}

/// The table's name in SQL.
pub(super) fn table(collection: &Collection) -> String {
    quoted(&physical_name(&collection.shape.target.collection))
}

/// Looks at what the statement's triggers noted, until nothing is left.
///
/// # Errors
/// `23503`, and whatever an action raises.
pub(super) fn settle(session: &mut Session) -> Result<(), NodeError> {
    let mut seen: HashSet<String> = HashSet::new();
    loop {
        let events = std::mem::take(&mut lock(&session.shared).events);
        if events.is_empty() {
            return Ok(());
        }
        let catalogue = session.catalogue();
        for event in events {
            match event {
                Event::Refer { child, constraint, key } => {
                    // One look is enough for each key, as long as nothing was removed in between.
                    if !seen.insert(format!("{child} {constraint} {key:?}")) {
                        continue;
                    }
                    if let Some(found) = foreign_key(&catalogue, child, &constraint) {
                        check_reference(session, &catalogue, &found, &key)?;
                    }
                }
                Event::Orphan { child, constraint, old, new } => {
                    seen.clear();
                    if let Some(found) = foreign_key(&catalogue, child, &constraint) {
                        act(session, &catalogue, &found, &old, new.as_deref())?;
                    }
                }
            }
        }
    }
}

fn exists(
    session: &Session,
    collection: &Collection,
    fields: &[String],
    key: &[Stored],
) -> Result<bool, NodeError> {
    let text = format!(
        "SELECT 1 FROM {} WHERE {} LIMIT 1",
        table(collection),
        key_condition(collection, fields)
    );
    session
        .connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.exists(params_from_iter(bound(key))))
        .map_err(|error| session.failure(error))
}

/// Stored forms as parameters.
pub(super) fn bound(values: &[Stored]) -> impl Iterator<Item = Bound<'_>> {
    values.iter().map(Bound)
}

fn check_reference(
    session: &Session,
    catalogue: &Catalogue,
    key: &ForeignKey,
    values: &[Stored],
) -> Result<(), NodeError> {
    if exists(session, &key.parent, &key.parent_fields, values)?
        || !exists(session, &key.child, &key.fields, values)?
    {
        return Ok(());
    }
    let shown: Vec<StoredRef<'_>> = values.iter().map(Stored::as_ref).collect();
    let text = key_text(&key.fields, &shown, &key.child, &session.context(), catalogue);
    let mut error = NodeError::statement(
        "23503",
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            key.child.shape.label, key.name
        ),
    )
    .with_detail(format!("{text} is not present in table \"{}\".", key.parent_label));
    error.object.table = Some(key.child.shape.label.clone());
    error.object.constraint = Some(key.name.clone());
    Err(error)
}

fn act(
    session: &Session,
    catalogue: &Catalogue,
    key: &ForeignKey,
    old: &[Stored],
    new: Option<&[Stored]>,
) -> Result<(), NodeError> {
    let action = if new.is_some() { key.on_update } else { key.on_delete };
    match action {
        ForeignKeyAction::NoAction | ForeignKeyAction::Restrict => {
            // Another record may bear the key by now; RESTRICT does not care.
            if action == ForeignKeyAction::NoAction
                && exists(session, &key.parent, &key.parent_fields, old)?
            {
                return Ok(());
            }
            if !exists(session, &key.child, &key.fields, old)? {
                return Ok(());
            }
            let shown: Vec<StoredRef<'_>> = old.iter().map(Stored::as_ref).collect();
            let text =
                key_text(&key.parent_fields, &shown, &key.parent, &session.context(), catalogue);
            let child = &key.child.shape.label;
            let mut error = NodeError::statement(
                "23503",
                format!(
                    "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{child}\"",
                    key.parent_label, key.name
                ),
            )
            .with_detail(format!("{text} is still referenced from table \"{child}\"."));
            error.object.table = Some(child.clone());
            error.object.constraint = Some(key.name.clone());
            return Err(error);
        }
        ForeignKeyAction::Cascade | ForeignKeyAction::SetNull | ForeignKeyAction::SetDefault => {}
    }
    let condition = key_condition(&key.child, &key.fields);
    let mut values = old.to_vec();
    let text = match (action, new) {
        (ForeignKeyAction::Cascade, None) => {
            format!("DELETE FROM {} WHERE {condition}", table(&key.child))
        }
        (ForeignKeyAction::Cascade, Some(new)) => {
            values.extend(new.iter().cloned());
            let assignments: Vec<String> = key
                .fields
                .iter()
                .enumerate()
                .map(|(place, field)| {
                    format!("{} = ?{}", quoted(&physical_name(field)), old.len() + place + 1)
                })
                .collect();
            format!("UPDATE {} SET {} WHERE {condition}", table(&key.child), assignments.join(", "))
        }
        _ => {
            let assignments: Vec<String> = key
                .fields
                .iter()
                .map(|field| format!("{} = NULL", quoted(&physical_name(field))))
                .collect();
            format!("UPDATE {} SET {} WHERE {condition}", table(&key.child), assignments.join(", "))
        }
    };
    session
        .connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.execute(params_from_iter(bound(&values))))
        .map(|_| ())
        .map_err(|error| session.failure(error))
}

/// The statements that make a collection's triggers.
pub(super) fn triggers(collection: &Collection, catalogue: &Catalogue) -> Vec<String> {
    let id = collection.id;
    let on = table(collection);
    let mut out = Vec::new();
    let shape = &collection.shape;
    let tested = collection.not_null.contains(&true)
        || !collection.checks.is_empty()
        || uniques(collection).next().is_some();
    if tested && !shape.fields.is_empty() {
        let fields: Vec<String> = shape
            .fields
            .iter()
            .map(|field| format!("NEW.{}", quoted(&physical_name(&field.name))))
            .collect();
        for (kind, event) in [("ri", "INSERT"), ("ru", "UPDATE")] {
            out.push(format!(
                "CREATE TRIGGER \"dataman_{id}_{kind}\" BEFORE {event} ON {on} BEGIN \
                 SELECT dm_row({id}, {}); END",
                fields.join(", ")
            ));
        }
    }
    for (number, constraint) in shape.constraints.iter().enumerate() {
        if let ConstraintKind::ForeignKey { fields, .. } = &constraint.kind {
            let new: Vec<String> = prefixed("NEW", fields);
            let present: Vec<String> = new.iter().map(|f| format!("{f} IS NOT NULL")).collect();
            let changed = changed(collection, fields);
            let body = format!(
                "SELECT dm_refer({id}, {}, {});",
                literal(&constraint.name),
                new.join(", ")
            );
            out.push(format!(
                "CREATE TRIGGER \"dataman_{id}_fi{number}\" AFTER INSERT ON {on} WHEN {} \
                 BEGIN {body} END",
                present.join(" AND ")
            ));
            out.push(format!(
                "CREATE TRIGGER \"dataman_{id}_fu{number}\" AFTER UPDATE ON {on} \
                 WHEN {} AND ({changed}) BEGIN {body} END",
                present.join(" AND ")
            ));
        }
    }
    for (number, (child, constraint)) in catalogue.referring(&shape.target.collection).enumerate() {
        if let ConstraintKind::ForeignKey { references_fields, .. } = &constraint.kind {
            let old = prefixed("OLD", references_fields);
            let new = prefixed("NEW", references_fields);
            let present: Vec<String> = old.iter().map(|f| format!("{f} IS NOT NULL")).collect();
            let changed = changed(collection, references_fields);
            let name = literal(&constraint.name);
            let child = child.id;
            out.push(format!(
                "CREATE TRIGGER \"dataman_{id}_pd{number}\" AFTER DELETE ON {on} WHEN {} \
                 BEGIN SELECT dm_orphan({child}, {name}, 0, {}); END",
                present.join(" AND "),
                old.join(", ")
            ));
            out.push(format!(
                "CREATE TRIGGER \"dataman_{id}_pu{number}\" AFTER UPDATE ON {on} \
                 WHEN {} AND ({changed}) BEGIN SELECT dm_orphan({child}, {name}, 1, {}, {}); END",
                present.join(" AND "),
                old.join(", "),
                new.join(", ")
            ));
        }
    }
    out
}

fn prefixed(prefix: &str, fields: &[String]) -> Vec<String> {
    fields.iter().map(|field| format!("{prefix}.{}", quoted(&physical_name(field)))).collect()
}

fn changed(collection: &Collection, fields: &[String]) -> String {
    let tests: Vec<String> = fields
        .iter()
        .map(|field| {
            let name = quoted(&physical_name(field));
            let collation = collection
                .type_of(field)
                .and_then(stored::collation)
                .map_or_else(String::new, |collation| format!(" COLLATE {collation}"));
            format!("OLD.{name}{collation} IS NOT NEW.{name}")
        })
        .collect();
    tests.join(" OR ")
}
