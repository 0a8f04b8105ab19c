//! Definitions. What a collection means is a document of the catalogue, written in the transaction.
//!
//! A new collection is made in the transaction, with its indexes. Indexes of a collection that is there are made from outside of
//! it, under names that nothing bears yet; one that nothing depends on (it is not unique) is made when the transaction has
//! committed, if the transaction has read or written the collection, for MongoDB lets nobody index it then. Values of new fields are
//! written in the transaction. What no catalogue names any more is removed when the transaction has ended.

mod alter;
mod check;
mod index;
mod leftover;

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, Definition};
use dataman_node_protocol::inspect::FoundTable;
use dataman_node_protocol::query::Target;
use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use self::index::{check_keys, has_twin, plan_index, wanted, without_twins};
pub(super) use self::leftover::{Chore, Leftover, Past};
use super::adopted;
use super::catalogue::{Body, Catalogue, Collection};
use super::connect::{INSTANCE, Server};
use super::error::{Failure, classify, told};
use super::layout::{
    CATALOGUE, Layout, NOTES, check_field, collection_name, instance_name, places,
};
use super::statement::Statement;
use super::write::Record;
use crate::driver::sql::change::{check_truncated, missing, same_shape};

/// Records that a definition looks at or fills at a time.
const PAGE: usize = 1000;

/// How long the note of some work stays.
const NOTE_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether a definition changes the catalogue.
pub(super) fn needs_transaction(definition: &Definition) -> bool {
    !matches!(
        definition,
        Definition::CreateInstance { .. }
            | Definition::DropInstance { .. }
            | Definition::CreateEnum { .. }
            | Definition::DropEnum { .. }
            | Definition::Maintain(_)
    )
}

/// Makes or removes a shard instance; false for another definition.
pub(super) async fn of_instance(
    server: &Server,
    definition: &Definition,
) -> Result<bool, NodeError> {
    match definition {
        Definition::CreateInstance { shard_instance } => {
            let database = server.client().database(&instance_name(shard_instance));
            let names = doc! {
                "createIndexes": CATALOGUE,
                "indexes": [{
                    "key": { "name": 1 },
                    "name": "name",
                    "unique": true,
                    "partialFilterExpression": { "body": { "$exists": true } },
                }],
            };
            database.run_command(names).await.map_err(classify)?;
            // Made before a transaction needs it.
            let notes = doc! {
                "createIndexes": NOTES, "indexes": [{ "key": { "noted": 1 }, "name": "noted" }],
            };
            database.run_command(notes).await.map_err(classify)?;
            let mark = doc! {
                "update": CATALOGUE,
                "updates": [{
                    "q": { "_id": INSTANCE },
                    "u": { "$set": { "name": shard_instance } },
                    "upsert": true,
                }],
                "writeConcern": { "w": "majority" },
            };
            let answer = database.run_command(mark).await.map_err(classify)?;
            match told(&answer) {
                Some(Failure::Other(error)) => Err(error),
                // Somebody else made it at the same time.
                _ => Ok(true),
            }
        }
        Definition::DropInstance { shard_instance } => {
            let database = server.client().database(&instance_name(shard_instance));
            database.run_command(doc! { "dropDatabase": 1 }).await.map_err(classify)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Carries out a definition within a shard instance, in the statement's transaction.
///
/// # Errors
/// PostgreSQL's for what existing records forbid; `0A000` for what MongoDB cannot hold exactly or change now.
pub(super) async fn define(
    statement: Statement<'_>,
    definition: &Definition,
    past: &Past,
    leftover: &mut Leftover,
) -> Result<(), NodeError> {
    Definer { statement, past, leftover }.define(definition).await
}

struct Definer<'a, 's> {
    statement: Statement<'s>,
    past: &'a Past,
    leftover: &'a mut Leftover,
}

/// The first name that is free: the name itself, or with a number.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}~{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.to_owned())
}

impl Definer<'_, '_> {
    async fn define(&mut self, definition: &Definition) -> Result<(), NodeError> {
        match definition {
            Definition::CreateCollection(shape) => self.create(shape).await,
            Definition::DropCollection(target) => self.drop_collection(target).await,
            Definition::AlterCollection { step, to } => self.alter(step, to).await,
            Definition::CreateIndex { target, index } => {
                self.change_indexes(target, &index.name, Some(index)).await
            }
            Definition::DropIndex { target, name } => self.change_indexes(target, name, None).await,
            Definition::Truncate(targets) => self.truncate(targets).await,
            Definition::Note { shard_instance, work, keep } => {
                self.note(shard_instance, work, keep).await
            }
            // MongoDB cleans up and gathers statistics by itself.
            Definition::Maintain(maintenance) => {
                for one in &maintenance.targets {
                    self.statement.catalogue.get(&one.target.collection)?;
                }
                Ok(())
            }
            // The labels of an enum come with each field that bears it.
            Definition::CreateEnum { .. } | Definition::DropEnum { .. } => Ok(()),
            Definition::Adopt { shape, found } => self.adopt(shape, found).await,
            Definition::Release(target) => self.drop_collection(target).await,
            Definition::CreateInstance { .. } | Definition::DropInstance { .. } => {
                Err(NodeError::unsupported("an instance is not made inside an instance"))
            }
        }
    }

    /// Runs a write in the transaction.
    async fn run(&mut self, database: &str, command: Document) -> Result<(), NodeError> {
        self.statement.write(database, command).await.map(|_| ()).map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Duplicate(_) => {
                NodeError::statement("23505", "duplicate key value violates unique constraint")
            }
        })
    }

    /// Notes that some work was done in this transaction.
    async fn note(
        &mut self,
        shard_instance: &str,
        work: &str,
        keep: &[String],
    ) -> Result<(), NodeError> {
        let database = instance_name(shard_instance);
        let now = DateTime::now();
        let old = DateTime::from_millis(now.timestamp_millis() - NOTE_MS);
        let removed = doc! {
            "delete": NOTES,
            "deletes": [{
                "q": { "noted": { "$lt": old }, "_id": { "$nin": keep.to_vec() } }, "limit": 0,
            }],
        };
        self.beside(&database, removed).await?;
        if let Some(undo) = &mut self.statement.undo {
            undo.note(&database, NOTES, Bson::String(work.to_owned()), None)?;
        }
        let noted = doc! { "insert": NOTES, "documents": [{ "_id": work, "noted": now }] };
        self.run(&database, noted).await
    }

    /// Runs a command outside of the transaction.
    async fn beside(&self, database: &str, command: Document) -> Result<(), NodeError> {
        self.statement.check_stop()?;
        let database = self.statement.server.client().database(database);
        let answer = database.run_command(command).await.map_err(classify)?;
        match told(&answer) {
            Some(Failure::Other(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_touched(&self, collection: &Collection) -> bool {
        let place = collection.place_name();
        self.past.touched.contains(&place) || self.leftover.touched.contains(&place)
    }

    fn is_created(&self, collection: &Collection) -> bool {
        self.past.created.contains(&collection.place_name())
            || self.leftover.created.contains(&collection.place_name())
    }

    fn touch(&mut self, collection: &Collection) {
        if !self.is_touched(collection) {
            self.leftover.touched.push(collection.place_name());
        }
    }

    /// Reads documents of a collection: beside the transaction, unless it may have changed them.
    async fn look(
        &mut self,
        collection: &Collection,
        mut command: Document,
        mut keep: impl FnMut(Document) -> Result<bool, NodeError> + Send,
    ) -> Result<(), NodeError> {
        let database = collection.database();
        if self.is_touched(collection) || self.is_created(collection) {
            self.touch(collection);
            return self.statement.documents(&database, command, keep).await;
        }
        self.statement.check_stop()?;
        command.insert("readConcern", doc! { "level": "majority" });
        let database = self.statement.server.client().database(&database);
        let mut cursor = database.run_cursor_command(command).await.map_err(classify)?;
        while let Some(document) = cursor.try_next().await.map_err(classify)? {
            if !keep(document)? {
                break;
            }
        }
        Ok(())
    }

    /// The names of the collections of an instance, whether a catalogue names them or not.
    async fn collection_names(&self, target: &Target) -> Result<HashSet<String>, NodeError> {
        let database =
            self.statement.server.client().database(&instance_name(&target.shard_instance));
        Ok(database.list_collection_names().await.map_err(classify)?.into_iter().collect())
    }

    /// The names of the indexes of a collection.
    async fn index_names(&self, collection: &Collection) -> Result<HashSet<String>, NodeError> {
        let database = self.statement.server.client().database(&collection.database());
        let found = database.collection::<Document>(&collection.layout.collection);
        match found.list_index_names().await {
            Ok(names) => Ok(names.into_iter().collect()),
            // The transaction has just made it.
            Err(_) => {
                Ok(collection.layout.indexes.iter().map(|index| index.name.clone()).collect())
            }
        }
    }

    /// Writes a shape to the catalogue.
    async fn save(
        &mut self,
        id: Option<ObjectId>,
        shape: &CollectionShape,
        layout: &Layout,
    ) -> Result<(), NodeError> {
        let body = Body { shape: shape.clone(), layout: layout.clone() };
        let json = serde_json::to_string(&body).map_err(|error| {
            NodeError::statement("XX000", format!("the shape cannot be written: {error}"))
        })?;
        let name = &shape.target.collection;
        let database = instance_name(&shape.target.shard_instance);
        let set = doc! { "name": name, "body": json };
        let command = match id {
            Some(id) => {
                self.note_catalogue(&database, id).await?;
                doc! {
                    "update": CATALOGUE, "updates": [{ "q": { "_id": id }, "u": { "$set": set } }],
                }
            }
            None => {
                let id = ObjectId::new();
                if let Some(undo) = &mut self.statement.undo {
                    undo.note(&database, CATALOGUE, Bson::ObjectId(id), None)?;
                }
                let mut document = doc! { "_id": id };
                document.extend(set);
                doc! { "insert": CATALOGUE, "documents": [document] }
            }
        };
        self.run(&database, command).await
    }

    /// Notes what the catalogue says of a collection, for a savepoint.
    async fn note_catalogue(&mut self, database: &str, id: ObjectId) -> Result<(), NodeError> {
        if self.statement.undo.is_none() {
            return Ok(());
        }
        let mut before = None;
        let command = doc! { "find": CATALOGUE, "filter": { "_id": id } };
        self.statement
            .documents(database, command, |document| {
                before = Some(document);
                Ok(true)
            })
            .await?;
        if let Some(undo) = &mut self.statement.undo {
            undo.note(database, CATALOGUE, Bson::ObjectId(id), before)?;
        }
        Ok(())
    }

    /// The collection that a shape and its layout make, over the catalogue that holds its enums too.
    fn collection(
        &self,
        id: ObjectId,
        shape: &CollectionShape,
        layout: &Layout,
    ) -> Result<(Arc<Collection>, Catalogue), NodeError> {
        let catalogue = self.statement.catalogue.with_enums_of(shape);
        let body = Body { shape: shape.clone(), layout: layout.clone() };
        let collection = Collection::new(id, body, &catalogue)?;
        Ok((Arc::new(collection), catalogue))
    }

    async fn create(&mut self, shape: &CollectionShape) -> Result<(), NodeError> {
        if let Some(found) = self.statement.catalogue.find(&shape.target.collection) {
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
        check_keys(shape)?;
        let mut taken = self.collection_names(&shape.target).await?;
        // What this transaction has made others do not see.
        for place in &self.past.created {
            taken.extend(place.split_once('.').map(|(_, name)| name.to_owned()));
        }
        let mut layout = Layout {
            collection: free_name(&collection_name(&shape.target.collection), &taken),
            fields: places(shape),
            indexes: Vec::new(),
            adopted: None,
        };
        let mut documents = Vec::new();
        let mut taken = HashSet::new();
        let all = wanted(shape);
        for wanted in &all {
            let twin = has_twin(&all, wanted);
            let plan = plan_index(wanted, twin, shape, &layout.fields, &taken);
            taken.insert(plan.index.name.clone());
            documents.extend(plan.documents().into_iter().map(|(document, _)| document));
            layout.indexes.push(plan.index);
        }
        let documents = without_twins(documents);
        let (collection, _) = self.collection(ObjectId::new(), shape, &layout)?;
        let database = collection.database();
        let name = layout.collection.clone();
        self.statement.write(&database, doc! { "create": &name }).await.map_err(other)?;
        self.leftover.created.push(collection.place_name());
        self.leftover
            .orphans
            .push(Chore::DropCollection { database: database.clone(), collection: name.clone() });
        if !documents.is_empty() {
            let command = doc! { "createIndexes": name, "indexes": documents };
            self.statement.write(&database, command).await.map_err(other)?;
        }
        self.save(None, shape, &layout).await?;
        self.check_foreign_keys(&collection, &shape.constraints).await
    }

    async fn drop_collection(&mut self, target: &Target) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(&target.collection).cloned() else {
            return Ok(());
        };
        let database = instance_name(&target.shard_instance);
        self.note_catalogue(&database, found.id).await?;
        let command = doc! {
            "delete": CATALOGUE, "deletes": [{ "q": { "_id": found.id }, "limit": 1 }],
        };
        self.run(&database, command).await?;
        // A collection that dataman did not make stays.
        if found.layout.adopted.is_none() {
            let collection = found.layout.collection.clone();
            self.leftover.finish.push(Chore::DropCollection { database, collection });
        }
        Ok(())
    }

    /// Writes a collection that is there into the catalogue.
    async fn adopt(
        &mut self,
        shape: &CollectionShape,
        found: &FoundTable,
    ) -> Result<(), NodeError> {
        let known = self.statement.catalogue.find(&shape.target.collection).cloned();
        if known.as_ref().is_some_and(|known| known.layout.adopted.is_none()) {
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{}\" already exists", shape.label),
            ));
        }
        let layout = adopted::layout_of(shape, found)?;
        let mut shape = shape.clone();
        // MongoDB itself keeps its keys.
        shape.constraints.clear();
        shape.indexes.clear();
        self.collection(ObjectId::new(), &shape, &layout)?;
        self.save(known.map(|known| known.id), &shape, &layout).await
    }

    async fn truncate(&mut self, targets: &[Target]) -> Result<(), NodeError> {
        let catalogue = Arc::clone(&self.statement.catalogue);
        for target in targets {
            let found = catalogue.find(&target.collection).ok_or_else(|| missing(target))?;
            let referring = catalogue.referring(&target.collection);
            check_truncated(&found.shape, referring.map(|(child, _)| &child.shape), targets)?;
        }
        for target in targets {
            if let Some(found) = catalogue.find(&target.collection) {
                let found = Arc::clone(found);
                // MongoDB drops no collection in a transaction.
                if self.statement.undo.is_some() {
                    let documents = self.statement.find(&found, Document::new()).await?;
                    let catalogue = &self.statement.catalogue;
                    let records = documents.into_iter().map(|document| {
                        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
                        let values = match adopted::of(&found) {
                            None => found.record(&document, catalogue)?,
                            // Nothing refers to them.
                            Some(own) => adopted::write::record(&found, own, &[], &document)?,
                        };
                        Ok(Record { id, document, values })
                    });
                    let records: Vec<Record> = records.collect::<Result<_, NodeError>>()?;
                    self.statement.remove(&found, &records, &mut Vec::new()).await?;
                } else {
                    let command = doc! {
                        "delete": &found.layout.collection, "deletes": [{ "q": {}, "limit": 0 }],
                    };
                    self.run(&found.database(), command).await?;
                }
                self.touch(&found);
            }
        }
        Ok(())
    }
}

fn other(failure: Failure) -> NodeError {
    match failure {
        Failure::Other(error) => error,
        Failure::Duplicate(_) => {
            NodeError::statement("23505", "duplicate key value violates unique constraint")
        }
    }
}
