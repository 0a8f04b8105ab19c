//! INSERT and UPDATE of adopted collections: documents get the fields that were given, and keep what is no column's.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_pg::Context;
use dataman_pg::expr::Expr;
use dataman_pg::value::Value;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::filter::places_of;
use super::{AdoptedCollection, Found, ID, Native, look, overlap, read, unfit, value, ways};
use crate::driver::kept::value::shown;
use crate::driver::mongodb::catalogue::Collection;
use crate::driver::mongodb::error::Failure;
use crate::driver::mongodb::inspect::key_name;
use crate::driver::mongodb::statement::{Statement, size};
use crate::driver::mongodb::write::{
    Answer, BYTES_A_COMMAND, DOCUMENTS_A_COMMAND, PreparedInsert, PreparedUpdate, Record,
    UPDATES_A_COMMAND,
};

/// The places of the fields that expressions read.
pub(in crate::driver::mongodb) fn needed<'e>(
    collection: &Collection,
    exprs: impl Iterator<Item = &'e Expr>,
) -> Vec<usize> {
    let mut places = Vec::new();
    exprs.for_each(|expr| places_of(expr, collection, &mut places));
    places
}

/// A document as a record of which only some fields matter. What the others hold is not looked at: it may not even fit.
pub(in crate::driver::mongodb) fn record(
    collection: &Collection,
    adopted: &AdoptedCollection,
    needed: &[usize],
    document: &Document,
) -> Result<Vec<Value>, NodeError> {
    let mut values = vec![Value::Null; collection.shape.fields.len()];
    for place in needed {
        values[*place] = read(collection, adopted, *place, document)?;
    }
    Ok(values)
}

/// Refuses fields of which one lies in another: MongoDB writes one of them at a time.
pub(in crate::driver::mongodb) fn check_apart(
    collection: &Collection,
    places: &[usize],
) -> Result<(), NodeError> {
    let path = |place: usize| collection.layout.fields[place].path.as_str();
    for (at, left) in places.iter().enumerate() {
        for right in &places[at + 1..] {
            if left != right && overlap(path(*left), path(*right)) {
                let name = |place: usize| collection.shape.fields[place].name.as_str();
                return Err(NodeError::unsupported(format!(
                    "columns \"{}\" and \"{}\" cannot be written by one statement: one lies in the other",
                    name(*left),
                    name(*right)
                ))
                .with_hint("Leave one of them out."));
            }
        }
    }
    Ok(())
}

fn null_violation(collection: &Collection, place: usize, record: &[Value]) -> NodeError {
    let label = &collection.shape.label;
    let column = &collection.shape.fields[place].name;
    let values = record.iter().zip(&collection.shape.fields);
    let row: Vec<String> =
        values.map(|(value, field)| shown(value, field.ty.id, &Context::default())).collect();
    let mut error = NodeError::statement(
        "23502",
        format!(
            "null value in column \"{column}\" of relation \"{label}\" violates not-null constraint"
        ),
    )
    .with_detail(format!("Failing row contains ({}).", row.join(", ")));
    error.object.table = Some(label.clone());
    error.object.column = Some(column.clone());
    error
}

/// `23505` of an index of MongoDB.
fn duplicate(collection: &Collection, index: &str, id: Option<&Bson>) -> NodeError {
    let name = key_name(&collection.layout.collection, index);
    let mut error = NodeError::statement(
        "23505",
        format!("duplicate key value violates unique constraint \"{name}\""),
    );
    let key = collection.layout.fields.iter().position(|place| place.path == ID);
    if let (Some(key), Some(id), "_id_") = (key, id, index)
        && let Some(adopted) = super::of(collection)
        && let Ok(id) = value::load(id, adopted.natives[key], collection.shape.fields[key].ty.id)
    {
        let field = &collection.shape.fields[key];
        let shown = shown(&id, field.ty.id, &Context::default());
        error.detail = Some(format!("Key ({})=({shown}) already exists.", field.name));
    }
    error.object.table = Some(collection.shape.label.clone());
    error.object.constraint = Some(name);
    error
}

/// The document that has a value at a path, made on the way.
fn put(document: &mut Document, path: &str, bson: Bson) {
    match path.split_once('.') {
        None => drop(document.insert(path, bson)),
        Some((name, rest)) => {
            if !matches!(document.get(name), Some(Bson::Document(_))) {
                document.insert(name, Document::new());
            }
            if let Ok(inner) = document.get_document_mut(name) {
                put(inner, rest, bson);
            }
        }
    }
}

/// Takes away what lies at a path.
fn remove(document: &mut Document, path: &str) {
    match path.split_once('.') {
        None => drop(document.remove(path)),
        Some((name, rest)) => {
            if let Ok(inner) = document.get_document_mut(name) {
                remove(inner, rest);
            }
        }
    }
}

/// What an UPDATE does to a document: the fields to be set and to be taken away, and what it is then.
struct Change {
    set: Document,
    unset: Document,
    after: Document,
}

/// The change of a document that gives columns values.
fn change(
    collection: &Collection,
    adopted: &AdoptedCollection,
    before: &Document,
    values: &[(usize, Value)],
) -> Result<Change, NodeError> {
    let mut made = Change { set: Document::new(), unset: Document::new(), after: before.clone() };
    for (place, value) in values {
        let path = collection.layout.fields[*place].path.as_str();
        let stray = |what: &str| unfit(collection, *place, before.get(ID), what);
        let old = match look(before, path) {
            Found::Missing => None,
            Found::Value(bson) => Some(bson),
            Found::InArray => return Err(stray("in an array")),
        };
        let new = value::native(value, adopted.natives[*place], old)?;
        if path == ID {
            if new.as_ref() != old {
                return Err(NodeError::unsupported(format!(
                    "changing column \"{}\" is not supported: MongoDB does not change a document's _id",
                    collection.shape.fields[*place].name
                ))
                .with_hint("Insert a new record and delete the old one."));
            }
            continue;
        }
        let Some(new) = new else {
            // Missing stays missing, and null stays null.
            if !matches!(old, None | Some(Bson::Null | Bson::Undefined)) {
                made.unset.insert(path, "");
                remove(&mut made.after, path);
            }
            continue;
        };
        if Some(&new) == old {
            continue;
        }
        put(&mut made.after, path, new);
        // MongoDB makes documents on the way where nothing is, but not where null is.
        let mut written = path;
        for way in ways(path) {
            match look(before, way) {
                Found::Value(Bson::Null) => {
                    written = way;
                    break;
                }
                Found::Value(Bson::Document(_)) | Found::Missing | Found::InArray => {}
                Found::Value(_) => return Err(stray("to be written into what is no document")),
            }
        }
        made.set.insert(written, Bson::Null);
    }
    let paths: Vec<String> = made.set.keys().cloned().collect();
    for path in paths {
        if let Found::Value(bson) = look(&made.after, &path) {
            made.set.insert(path, bson.clone());
        }
    }
    Ok(made)
}

impl Statement<'_> {
    /// Inserts records with the fields that were given.
    pub(in crate::driver::mongodb) async fn insert_adopted(
        &mut self,
        insert: &PreparedInsert,
        records: &[Vec<Value>],
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = Arc::clone(&insert.collection);
        let Some(adopted) = super::of(&collection) else { return Ok(0) };
        let of_record = |mut error: NodeError, place: usize| {
            if insert.takes_tuples() {
                error.record = u64::try_from(place + 1).ok();
            }
            error
        };
        let (mut documents, mut bytes, mut done) = (Vec::new(), 0, 0);
        for (place, record) in records.iter().enumerate() {
            let document = new_document(&collection, adopted, &insert.fields, record);
            let document = match document {
                Ok(document) => document,
                Err(error) => {
                    // One of those before it may fail first.
                    self.insert_documents(&collection, documents)
                        .await
                        .map_err(|(error, at)| of_record(error, done + at))?;
                    return Err(of_record(error, place));
                }
            };
            if !insert.returning.is_empty() {
                let values = collection.record(&document, &self.catalogue)?;
                self.answer(&values, &insert.returning, answer)?;
            }
            bytes += size(&document);
            documents.push(document);
            if documents.len() >= DOCUMENTS_A_COMMAND || bytes > BYTES_A_COMMAND {
                let written = documents.len();
                self.insert_documents(&collection, std::mem::take(&mut documents))
                    .await
                    .map_err(|(error, at)| of_record(error, done + at))?;
                done += written;
                bytes = 0;
            }
        }
        self.insert_documents(&collection, documents)
            .await
            .map_err(|(error, at)| of_record(error, done + at))?;
        Ok(u64::try_from(records.len()).unwrap_or(u64::MAX))
    }

    async fn insert_documents(
        &mut self,
        collection: &Collection,
        documents: Vec<Document>,
    ) -> Result<(), (NodeError, usize)> {
        if documents.is_empty() {
            return Ok(());
        }
        let (database, name) = (collection.database(), &collection.layout.collection);
        let ids: Vec<Bson> = documents.iter().filter_map(|one| one.get(ID).cloned()).collect();
        if self.undo.is_some() {
            for (place, id) in ids.iter().enumerate() {
                // What an index refuses ends the transaction, and with it what there is to go back to.
                let is_twice = ids[..place].contains(id);
                let found = is_twice || {
                    let found = self.exists(collection, doc! { ID: id.clone() }).await;
                    found.map_err(|error| (error, place))?
                };
                if found {
                    return Err((duplicate(collection, "_id_", Some(id)), place));
                }
            }
        }
        if let Some(undo) = &mut self.undo {
            for id in &ids {
                undo.note(&database, name, id.clone(), None).map_err(|error| (error, 0))?;
            }
        }
        let command = doc! { "insert": name, "documents": documents, "ordered": true };
        self.write(&database, command).await.map(|_| ()).map_err(|failure| match failure {
            Failure::Other(error) => (error, 0),
            Failure::Duplicate(found) => {
                (duplicate(collection, &found.index, ids.get(found.place)), found.place)
            }
        })
    }

    /// Sets columns of records.
    pub(in crate::driver::mongodb) async fn update_adopted(
        &mut self,
        update: &PreparedUpdate,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = Arc::clone(update.collection());
        let Some(adopted) = super::of(&collection) else { return Ok(0) };
        let found = self.find_all(&update.search).await?;
        let (mut updates, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
        for old in &found {
            let change = match self.change_of(&collection, adopted, update, old) {
                Ok(change) => change,
                Err(error) => {
                    // One of those before it may fail first.
                    self.update_documents(&collection, updates, &ids).await?;
                    return Err(error);
                }
            };
            let mut written = Document::new();
            for (operator, fields) in [("$set", change.set), ("$unset", change.unset)] {
                if !fields.is_empty() {
                    written.insert(operator, fields);
                }
            }
            if !written.is_empty() {
                if let Some(undo) = &mut self.undo {
                    let name = &collection.layout.collection;
                    let before = Some(old.document.clone());
                    undo.note(&collection.database(), name, old.id.clone(), before)?;
                }
                bytes += size(&written);
                updates.push(doc! { "q": { ID: old.id.clone() }, "u": written });
                ids.push(old.id.clone());
            }
            if !update.returning.is_empty() {
                let values = record(&collection, adopted, &update.search.needed, &change.after)?;
                self.answer(&values, &update.returning, answer)?;
            }
            if updates.len() >= UPDATES_A_COMMAND || bytes > BYTES_A_COMMAND {
                self.update_documents(&collection, std::mem::take(&mut updates), &ids).await?;
                ids.clear();
                bytes = 0;
            }
        }
        self.update_documents(&collection, updates, &ids).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    fn change_of(
        &self,
        collection: &Collection,
        adopted: &AdoptedCollection,
        update: &PreparedUpdate,
        old: &Record,
    ) -> Result<Change, NodeError> {
        let values = update.set.iter().map(|(place, value)| {
            Ok((*place, value.eval(&old.values, &self.params, &self.context)?))
        });
        let values: Vec<(usize, Value)> = values.collect::<Result<_, NodeError>>()?;
        for (place, value) in &values {
            if collection.layout.fields[*place].path == ID && value.is_null() {
                return Err(null_violation(collection, *place, &old.values));
            }
        }
        change(collection, adopted, &old.document, &values)
    }

    async fn update_documents(
        &mut self,
        collection: &Collection,
        updates: Vec<Document>,
        ids: &[Bson],
    ) -> Result<(), NodeError> {
        if updates.is_empty() {
            return Ok(());
        }
        let name = &collection.layout.collection;
        let command = doc! { "update": name, "updates": updates, "ordered": true };
        self.write(&collection.database(), command).await.map(|_| ()).map_err(|failure| {
            match failure {
                Failure::Other(error) => error,
                Failure::Duplicate(found) => {
                    duplicate(collection, &found.index, ids.get(found.place))
                }
            }
        })
    }
}

/// The document of a new record.
fn new_document(
    collection: &Collection,
    adopted: &AdoptedCollection,
    given: &[usize],
    record: &[Value],
) -> Result<Document, NodeError> {
    let mut document = Document::new();
    if let Some(key) = collection.layout.fields.iter().position(|place| place.path == ID) {
        let id = match (given.contains(&key), adopted.natives[key]) {
            (false, Native::ObjectId) => Some(Bson::ObjectId(ObjectId::new())),
            _ => value::native(&record[key], adopted.natives[key], None)?,
        };
        let id = id.ok_or_else(|| null_violation(collection, key, record))?;
        document.insert(ID, id);
    }
    for place in given {
        let path = collection.layout.fields[*place].path.as_str();
        if path != ID
            && let Some(bson) = value::native(&record[*place], adopted.natives[*place], None)?
        {
            put(&mut document, path, bson);
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_documents() {
        let mut document = doc! { "a": { "b": 1, "c": 2 }, "n": Bson::Null };
        put(&mut document, "a.b", Bson::Int32(3));
        put(&mut document, "n.x", Bson::Int32(4));
        put(&mut document, "new.deep.er", Bson::Int32(5));
        remove(&mut document, "a.c");
        remove(&mut document, "nothing.there");
        let expected = doc! { "a": { "b": 3 }, "n": { "x": 4 }, "new": { "deep": { "er": 5 } } };
        assert_eq!(document, expected);
    }
}
