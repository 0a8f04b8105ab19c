//! Definitions carried out in a file. Every one runs inside a transaction that the caller opened, may be repeated without
//! harm, and leaves the catalogue, the indexes and the triggers in step.

use std::collections::{BTreeMap, BTreeSet};

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    AlterStep, CollectionShape, ConstraintKind, Definition, FieldShape, ForeignKeyAction,
    IndexShape, Maintenance,
};
use dataman_node_protocol::query::Target;
use dataman_pg::Expr;
use dataman_pg::catalog;
use rusqlite::params_from_iter;

use super::catalogue::Collection;
use super::constraint::{self, column, index_name, table};
use super::function::owned;
use super::session::{Session, lock};
use super::value::text_of;
use crate::driver::sql::change::{
    check_truncated, constraint_of, contains_nulls, field_of, lacks_key, missing, not_unique,
    point_to, rename_referred, same_shape, violated_by_some_row,
};
use crate::driver::sql::define::{OLD, RECORD};
use crate::driver::sql::stored::{self, FIRST_USER_TYPE, family, physical_name};
use crate::driver::sql::{Dialect, Lowering, quoted, user_name};

/// Carries out a definition within a shard instance.
///
/// # Errors
/// PostgreSQL's for what existing records forbid; `0A000` for a type or expression that SQLite cannot hold exactly.
pub(super) fn define(session: &mut Session, definition: &Definition) -> Result<(), NodeError> {
    match definition {
        Definition::CreateCollection(shape) => create(session, shape),
        Definition::DropCollection(target) => drop_collection(session, target),
        Definition::AlterCollection { step, to } => alter(session, step, to),
        Definition::CreateIndex { target, index } => {
            change_indexes(session, target, &index.name, Some(index))
        }
        Definition::DropIndex { target, name } => change_indexes(session, target, name, None),
        Definition::Truncate(targets) => truncate(session, targets),
        Definition::Maintain(maintenance) => maintain(session, maintenance),
        Definition::Note { work, keep, .. } => note(session, work, keep),
        // The labels of an enum come with each field that bears it.
        Definition::CreateEnum { .. } | Definition::DropEnum { .. } => Ok(()),
        Definition::Adopt { .. } | Definition::Release(_) => {
            Err(NodeError::unsupported("SQLite holds nothing that dataman did not make"))
        }
        Definition::CreateInstance { .. } | Definition::DropInstance { .. } => {
            Err(NodeError::unsupported("a file is not made inside a file"))
        }
    }
}

/// How long a note stays.
const NOTE_SECONDS: i64 = 24 * 60 * 60;

/// Notes that some work was done in this transaction.
fn note(session: &Session, work: &str, keep: &[String]) -> Result<(), NodeError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    session.run(
        "CREATE TABLE IF NOT EXISTS dataman_note (work TEXT PRIMARY KEY, noted INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    let failed = |error| session.failure(error);
    let connection = &session.connection;
    let old: Vec<String> = connection
        .prepare("SELECT work FROM dataman_note WHERE noted < ?1")
        .and_then(|mut old| {
            old.query_map([now - NOTE_SECONDS], |row| row.get(0))?.collect::<Result<_, _>>()
        })
        .map_err(failed)?;
    for work in old.iter().filter(|work| !keep.contains(work)) {
        connection.execute("DELETE FROM dataman_note WHERE work = ?1", [work]).map_err(failed)?;
    }
    let noted = connection
        .execute("INSERT OR IGNORE INTO dataman_note (work, noted) VALUES (?1, ?2)", (work, now))
        .map_err(failed)?;
    if noted == 0 {
        return Err(NodeError::statement("23505", "the work has been noted already"));
    }
    Ok(())
}

fn create(session: &mut Session, shape: &CollectionShape) -> Result<(), NodeError> {
    if let Some(found) = session.catalogue().find(&shape.target.collection) {
        if same_shape(&found.shape, shape) {
            return Ok(());
        }
        return Err(NodeError::statement(
            "42P07",
            format!("relation \"{}\" already exists", shape.label),
        ));
    }
    for field in &shape.fields {
        check_field(field)?;
    }
    let id = save(session, None, shape)?;
    let collection = session.catalogue().by_id(id).cloned().ok_or_else(lost)?;
    let mut columns: Vec<String> =
        shape.fields.iter().map(|field| quoted(&physical_name(&field.name))).collect();
    if columns.is_empty() {
        // SQLite has no table without columns.
        columns.push("dataman_none".to_owned());
    }
    session.run(&format!("CREATE TABLE {} ({})", table(&collection), columns.join(", ")))?;
    for text in index_statements(&collection)?.values() {
        session.run(text)?;
    }
    check_foreign_keys(session, &collection)?;
    make_triggers(session, parents(shape).chain([shape.target.collection.clone()]))
}

fn lost() -> NodeError {
    NodeError::statement("XX000", "a collection is missing from the catalogue of the SQLite file")
}

fn check_field(field: &FieldShape) -> Result<(), NodeError> {
    let refused = if field.ty.id.0 >= FIRST_USER_TYPE && field.enum_labels.is_none() {
        Some("SQLite has no exact form for values of a user-defined type".to_owned())
    } else {
        stored::check_stored(field.ty.id).err()
    };
    match refused {
        None => Ok(()),
        Some(reason) => Err(NodeError::statement(
            "0A000",
            format!("column \"{}\" cannot be stored: {reason}", field.name),
        )
        .with_hint("Choose another type, or a datastore on PostgreSQL.")),
    }
}

/// Writes a shape to the catalogue and reads the catalogue anew.
fn save(session: &mut Session, id: Option<i64>, shape: &CollectionShape) -> Result<i64, NodeError> {
    let json = serde_json::to_string(shape).map_err(|error| {
        NodeError::statement("XX000", format!("the shape cannot be written: {error}"))
    })?;
    let name = physical_name(&shape.target.collection);
    let failed = |error| session.failure(error);
    let connection = &session.connection;
    let id = match id {
        Some(id) => {
            connection
                .execute(
                    "UPDATE dataman_collection SET name = ?2, shape = ?3 WHERE id = ?1",
                    (id, name, json),
                )
                .map_err(failed)?;
            id
        }
        None => {
            connection
                .execute(
                    "INSERT INTO dataman_collection (name, shape) VALUES (?1, ?2)",
                    (name, json),
                )
                .map_err(failed)?;
            connection.last_insert_rowid()
        }
    };
    session.reload()?;
    Ok(id)
}

/// The collections that a shape's foreign keys refer to.
fn parents(shape: &CollectionShape) -> impl Iterator<Item = String> + '_ {
    shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::ForeignKey { references, .. } => Some(references.clone()),
        _ => None,
    })
}

/// Makes the triggers of collections anew.
fn make_triggers(
    session: &mut Session,
    names: impl Iterator<Item = String>,
) -> Result<(), NodeError> {
    let catalogue = session.catalogue();
    for name in names.collect::<BTreeSet<_>>() {
        if let Some(collection) = catalogue.find(&name) {
            drop_triggers(session, collection.id)?;
            for text in constraint::triggers(collection, &catalogue) {
                session.run(&text)?;
            }
        }
    }
    Ok(())
}

fn drop_triggers(session: &Session, id: i64) -> Result<(), NodeError> {
    let names: Vec<String> = {
        let mut statement = session
            .connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ?1")
            .map_err(|error| session.failure(error))?;
        let rows = statement
            .query_map([format!("dataman_{id}_*")], |row| row.get(0))
            .and_then(Iterator::collect);
        rows.map_err(|error| session.failure(error))?
    };
    for name in names {
        session.run(&format!("DROP TRIGGER {}", quoted(&name)))?;
    }
    Ok(())
}

/// The statements that make a collection's indexes, by the index's name in the file.
fn index_statements(collection: &Collection) -> Result<BTreeMap<String, String>, NodeError> {
    let mut statements = BTreeMap::new();
    for constraint in &collection.shape.constraints {
        let (ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. }) =
            &constraint.kind
        else {
            continue;
        };
        for field in fields {
            check_key(collection.type_of(field), &collection.shape.label)?;
        }
        let name = index_name(collection.id, &constraint.name);
        let alike =
            matches!(constraint.kind, ConstraintKind::Unique { nulls_not_distinct: true, .. });
        let columns: Vec<String> = fields
            .iter()
            .map(|field| match alike {
                false => column(collection, field),
                true => {
                    let ty = collection.type_of(field);
                    null_is_alike(&quoted(&physical_name(field)), ty.and_then(stored::collation))
                }
            })
            .collect();
        let text = format!(
            "CREATE UNIQUE INDEX {} ON {} ({})",
            quoted(&name),
            table(collection),
            columns.join(", ")
        );
        statements.insert(name, text);
    }
    for index in &collection.shape.indexes {
        let name = index_name(collection.id, &index.name);
        let text = index_statement(collection, index, &name)?;
        statements.insert(name, text);
    }
    Ok(statements)
}

/// NULLS NOT DISTINCT: SQLite takes each NULL for another one, so that what says NULL is part of the key.
fn null_is_alike(text: &str, collation: Option<&str>) -> String {
    let collation = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    format!("({text} IS NULL), ifnull({text}, 0){collation}")
}

fn check_key(ty: Option<dataman_pg::TypeId>, label: &str) -> Result<(), NodeError> {
    match ty {
        Some(ty) if family(ty).is_some() => Ok(()),
        Some(ty) => Err(NodeError::statement(
            "42704",
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                catalog::format_type(ty, -1)
            ),
        )),
        None => Err(NodeError::statement(
            "42703",
            format!("a key of relation \"{label}\" names no column of it"),
        )),
    }
}

fn index_statement(
    collection: &Collection,
    index: &IndexShape,
    name: &str,
) -> Result<String, NodeError> {
    if !matches!(index.method.as_str(), "" | "btree" | "hash") {
        return Err(NodeError::unsupported(format!(
            "SQLite has no access method \"{}\"",
            index.method
        ))
        .with_hint("A btree index serves equality, ranges and sorting."));
    }
    let mut keys = Vec::new();
    for key in &index.keys {
        check_key(Some(key.expr.type_id()), &collection.shape.label)?;
        let mut text = expression(&key.expr, RECORD)?;
        if index.nulls_not_distinct && index.unique {
            keys.push(null_is_alike(&text, stored::collation(key.expr.type_id())));
            continue;
        }
        if let Some(collation) = stored::collation(key.expr.type_id()) {
            text.push_str(" COLLATE ");
            text.push_str(collation);
        }
        if key.descending {
            text.push_str(" DESC");
        }
        keys.push(text);
    }
    let mut out = format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quoted(name),
        table(collection),
        keys.join(", ")
    );
    if let Some(filter) = &index.filter {
        out.push_str(" WHERE ");
        out.push_str(&expression(filter, RECORD)?);
    }
    Ok(out)
}

/// An expression over one record, whose fields stand without a qualifier.
fn expression(expr: &Expr, source: &str) -> Result<String, NodeError> {
    let mut lowering = Lowering::new(Dialect::Sqlite).with_bare(source);
    lowering.expr(expr)?;
    Ok(lowering.out)
}

fn drop_collection(session: &mut Session, target: &Target) -> Result<(), NodeError> {
    let Some(found) = session.catalogue().find(&target.collection).cloned() else {
        return Ok(());
    };
    session.run(&format!("DROP TABLE IF EXISTS {}", table(&found)))?;
    session
        .connection
        .execute("DELETE FROM dataman_collection WHERE id = ?1", [found.id])
        .map_err(|error| session.failure(error))?;
    session.reload()?;
    make_triggers(session, parents(&found.shape))
}

fn change_indexes(
    session: &mut Session,
    target: &Target,
    name: &str,
    index: Option<&IndexShape>,
) -> Result<(), NodeError> {
    let Some(found) = session.catalogue().find(&target.collection).cloned() else {
        return if index.is_some() { Err(missing(target)) } else { Ok(()) };
    };
    let mut shape = found.shape.clone();
    if shape.indexes.iter().any(|known| Some(known) == index) {
        return Ok(());
    }
    if index.is_some() && shape.indexes.iter().any(|known| known.name == name) {
        return Err(NodeError::statement("42P07", format!("relation \"{name}\" already exists")));
    }
    shape.indexes.retain(|known| known.name != name);
    shape.indexes.extend(index.cloned());
    change_shape(session, &found, &shape, &[])
}

/// Brings indexes, catalogue and triggers from one shape to the next, the table's columns being there already. Indexes in
/// `anew` are made again even if their text stayed the same.
fn change_shape(
    session: &mut Session,
    from: &Collection,
    to: &CollectionShape,
    anew: &[String],
) -> Result<(), NodeError> {
    let next = Collection::new(from.id, to.clone())?;
    let before = index_statements(from)?;
    let after = index_statements(&next)?;
    for (name, text) in &before {
        if after.get(name) != Some(text) || anew.contains(name) {
            session.run(&format!("DROP INDEX IF EXISTS {}", quoted(name)))?;
        }
    }
    for (name, text) in &after {
        if before.get(name) != Some(text) || anew.contains(name) {
            make_index(session, &next, name, text)?;
        }
    }
    save(session, Some(from.id), to)?;
    make_triggers(
        session,
        parents(&from.shape)
            .chain(parents(to))
            .chain([to.target.collection.clone()])
            .collect::<Vec<_>>()
            .into_iter(),
    )
}

fn make_index(
    session: &Session,
    collection: &Collection,
    name: &str,
    text: &str,
) -> Result<(), NodeError> {
    let Err(error) = session.connection.execute_batch(text) else {
        return Ok(());
    };
    if super::error::unique_violation(&error).is_none() {
        return Err(session.failure(error));
    }
    let unique = constraint::uniques(collection)
        .find(|unique| index_name(collection.id, unique.name) == name);
    let label = unique.as_ref().map_or(name.to_owned(), |unique| user_name(unique.name).1);
    let mut failure = not_unique(&collection.shape, &label);
    if let Some(fields) = unique.and_then(|unique| unique.fields) {
        let columns: Vec<String> = fields.iter().map(|field| column(collection, field)).collect();
        let present: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        let query = format!(
            "SELECT {} FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
            columns.join(", "),
            table(collection),
            present.join(" AND "),
            columns.join(", ")
        );
        if let Ok(Some(key)) = first_row(session, &query, collection, &fields) {
            failure = failure.with_detail(format!("{key} is duplicated."));
        }
    }
    Err(failure)
}

/// `Key (a)=(1)` of a query's first row.
fn first_row(
    session: &Session,
    query: &str,
    collection: &Collection,
    fields: &[String],
) -> Result<Option<String>, NodeError> {
    let catalogue = session.catalogue();
    let context = session.context();
    let failed = |error| session.failure(error);
    let mut statement = session.connection.prepare(query).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else {
        return Ok(None);
    };
    let mut shown = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        let value = row.get_ref(place).and_then(owned).map_err(failed)?;
        let text = collection
            .type_of(field)
            .and_then(|ty| text_of(value.as_ref(), ty, &context, &catalogue))
            .unwrap_or_else(|| "null".to_owned());
        shown.push(text);
    }
    Ok(Some(format!("Key ({})=({})", fields.join(", "), shown.join(", "))))
}

fn alter(session: &mut Session, step: &AlterStep, to: &CollectionShape) -> Result<(), NodeError> {
    let catalogue = session.catalogue();
    if let AlterStep::RenameCollection { from } = step {
        return rename(session, from, to);
    }
    let found =
        catalogue.find(&to.target.collection).cloned().ok_or_else(|| missing(&to.target))?;
    if same_shape(&found.shape, to) {
        return Ok(());
    }
    drop_triggers(session, found.id)?;
    let alter = format!("ALTER TABLE {}", table(&found));
    match step {
        AlterStep::RenameCollection { .. } => {}
        AlterStep::AddField { name, fill } => {
            let field = field_of(to, name)?;
            check_field(field)?;
            let physical = quoted(&physical_name(name));
            session.run(&format!("{alter} ADD COLUMN {physical}"))?;
            if !matches!(fill, Expr::Const(constant) if constant.value.is_null()) {
                let fill = expression(fill, RECORD)?;
                session.run(&format!("UPDATE {} SET {physical} = {fill}", table(&found)))?;
            }
            change_shape(session, &found, to, &[])?;
            if field.not_null {
                check_not_null(session, to, name)?;
            }
        }
        AlterStep::DropField { name } => {
            // An index over the field goes before the field; those that stay do not read it.
            let next = Collection::new(found.id, to.clone())?;
            let after = index_statements(&next)?;
            for (index, text) in index_statements(&found)? {
                if after.get(&index) != Some(&text) {
                    session.run(&format!("DROP INDEX IF EXISTS {}", quoted(&index)))?;
                }
            }
            if to.fields.is_empty() {
                session.run(&format!("{alter} ADD COLUMN dataman_none"))?;
            }
            session.run(&format!("{alter} DROP COLUMN {}", quoted(&physical_name(name))))?;
            change_shape(session, &found, to, &[])?;
        }
        AlterStep::RenameField { from, to: name } => {
            session.run(&format!(
                "{alter} RENAME COLUMN {} TO {}",
                quoted(&physical_name(from)),
                quoted(&physical_name(name))
            ))?;
            // SQLite has renamed the column in the indexes too.
            save(session, Some(found.id), to)?;
            for (id, mut shape) in children(session, &to.target.collection) {
                rename_referred(&mut shape, &to.target, from, name);
                if id != found.id {
                    save(session, Some(id), &shape)?;
                }
            }
            make_triggers(session, parents(to).chain([to.target.collection.clone()]))?;
        }
        AlterStep::FieldType { name, using } => {
            check_field(field_of(to, name)?)?;
            let names: Vec<String> = index_statements(&found)?.into_keys().collect();
            for index in &names {
                session.run(&format!("DROP INDEX IF EXISTS {}", quoted(index)))?;
            }
            session.run(&format!(
                "UPDATE {} SET {} = {}",
                table(&found),
                quoted(&physical_name(name)),
                expression(using, OLD)?
            ))?;
            change_shape(session, &found, to, &names)?;
        }
        AlterStep::SetNotNull { name } => {
            check_not_null(session, to, name)?;
            change_shape(session, &found, to, &[])?;
        }
        AlterStep::DropNotNull { .. }
        | AlterStep::DropConstraint { .. }
        | AlterStep::RenameConstraint { .. } => change_shape(session, &found, to, &[])?,
        AlterStep::AddConstraint { name } => add_constraint(session, &found, to, name)?,
    }
    Ok(())
}

/// The shapes whose foreign keys refer to a collection.
fn children(session: &Session, name: &str) -> Vec<(i64, CollectionShape)> {
    session
        .catalogue()
        .referring(name)
        .map(|(collection, _)| (collection.id, collection.shape.clone()))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

fn rename(session: &mut Session, from: &str, to: &CollectionShape) -> Result<(), NodeError> {
    let Some(found) = session.catalogue().find(from).cloned() else {
        return if session.catalogue().find(&to.target.collection).is_some() {
            Ok(())
        } else {
            Err(missing(&Target { collection: from.to_owned(), ..to.target.clone() }))
        };
    };
    drop_triggers(session, found.id)?;
    session.run(&format!(
        "ALTER TABLE {} RENAME TO {}",
        table(&found),
        quoted(&physical_name(&to.target.collection))
    ))?;
    let referring = children(session, from);
    let mut own = to.clone();
    point_to(&mut own, from, to);
    save(session, Some(found.id), &own)?;
    for (id, mut shape) in referring {
        if id != found.id {
            point_to(&mut shape, from, to);
            save(session, Some(id), &shape)?;
        }
    }
    make_triggers(session, parents(to).chain([to.target.collection.clone()]))
}

fn check_not_null(
    session: &Session,
    shape: &CollectionShape,
    field: &str,
) -> Result<(), NodeError> {
    let query = format!(
        "SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1",
        quoted(&physical_name(&shape.target.collection)),
        quoted(&physical_name(field))
    );
    if holds(session, &query)? {
        return Err(contains_nulls(shape, field));
    }
    Ok(())
}

fn holds(session: &Session, query: &str) -> Result<bool, NodeError> {
    session
        .connection
        .prepare(query)
        .and_then(|mut statement| statement.exists([]))
        .map_err(|error| session.failure(error))
}

fn add_constraint(
    session: &mut Session,
    found: &Collection,
    to: &CollectionShape,
    name: &str,
) -> Result<(), NodeError> {
    let constraint = constraint_of(to, name)?;
    match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => {
            for field in fields {
                check_not_null(session, to, field)?;
            }
        }
        ConstraintKind::Check { expr } => {
            let query = format!(
                "SELECT 1 FROM {} WHERE {} IS 0 LIMIT 1",
                table(found),
                expression(expr, RECORD)?
            );
            if holds(session, &query)? {
                return Err(violated_by_some_row(to, name));
            }
        }
        ConstraintKind::Unique { .. } | ConstraintKind::ForeignKey { .. } => {}
    }
    change_shape(session, found, to, &[])?;
    let added = session.catalogue().by_id(found.id).cloned().ok_or_else(lost)?;
    check_foreign_keys(session, &added)
}

/// Looks at a collection's foreign keys: that they can be enforced, and that its records keep them.
fn check_foreign_keys(session: &Session, child: &Collection) -> Result<(), NodeError> {
    let catalogue = session.catalogue();
    for constraint in &child.shape.constraints {
        let ConstraintKind::ForeignKey {
            fields,
            references,
            references_label,
            references_fields,
            on_delete,
            on_update,
        } = &constraint.kind
        else {
            continue;
        };
        if [on_delete, on_update].contains(&&ForeignKeyAction::SetDefault) {
            return Err(NodeError::unsupported("SQLite does not carry out SET DEFAULT"));
        }
        let parent = catalogue.find(references).ok_or_else(|| {
            NodeError::statement("42P01", format!("relation \"{references_label}\" does not exist"))
        })?;
        for (field, other) in fields.iter().zip(references_fields) {
            let families =
                (child.type_of(field).and_then(family), parent.type_of(other).and_then(family));
            if families.0.is_none() || families.0 != families.1 {
                return Err(NodeError::unsupported(format!(
                    "SQLite does not compare the key columns \"{field}\" and \"{other}\" of foreign key constraint \"{}\"",
                    constraint.name
                )));
            }
        }
        let own: Vec<String> = fields.iter().map(|field| quoted(&physical_name(field))).collect();
        let present: Vec<String> = own.iter().map(|name| format!("c.{name} IS NOT NULL")).collect();
        let joined: Vec<String> = fields
            .iter()
            .zip(references_fields)
            .map(|(field, other)| {
                format!("p.{} = c.{}", column(parent, other), quoted(&physical_name(field)))
            })
            .collect();
        let query = format!(
            "SELECT {} FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}) LIMIT 1",
            own.join(", "),
            table(child),
            present.join(" AND "),
            table(parent),
            joined.join(" AND ")
        );
        if let Some(key) = first_row(session, &query, child, fields)? {
            return Err(lacks_key(&child.shape, &constraint.name, &key, references_label));
        }
    }
    Ok(())
}

/// Gathers statistics. There is nothing to clean up: pages that were freed are used again.
fn maintain(session: &mut Session, maintenance: &Maintenance) -> Result<(), NodeError> {
    let catalogue = session.catalogue();
    for one in &maintenance.targets {
        let found = catalogue.find(&one.target.collection).ok_or_else(|| missing(&one.target))?;
        if maintenance.analyze {
            session
                .connection
                .execute(&format!("ANALYZE {}", table(found)), params_from_iter([0; 0]))
                .map_err(|error| session.failure(error))?;
        }
    }
    Ok(())
}

fn truncate(session: &mut Session, targets: &[Target]) -> Result<(), NodeError> {
    let catalogue = session.catalogue();
    for target in targets {
        let found = catalogue.find(&target.collection).ok_or_else(|| missing(target))?;
        let referring = catalogue.referring(&target.collection);
        check_truncated(&found.shape, referring.map(|(child, _)| &child.shape), targets)?;
    }
    for target in targets {
        if let Some(found) = catalogue.find(&target.collection) {
            // No trigger looks at the records one by one, so SQLite frees the pages in one go.
            drop_triggers(session, found.id)?;
            session
                .connection
                .execute(&format!("DELETE FROM {}", table(found)), params_from_iter([0; 0]))
                .map_err(|error| session.failure(error))?;
        }
    }
    lock(&session.shared).events.clear();
    make_triggers(session, targets.iter().map(|target| target.collection.clone()))
}
