//! Definitions. What a collection means is a document of the catalogue, written in the transaction.
//!
//! A new collection is made in the transaction, with its indexes. Indexes of a collection that is there are made from outside of
//! it, under names that nothing bears yet; one that nothing depends on (it is not unique) is made when the transaction has
//! committed, if the transaction has read or written the collection, for MongoDB lets nobody index it then. Values of new fields are
//! written in the transaction. What no catalogue names any more is removed when the transaction has ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    AlterStep, CollectionShape, ConstraintKind, ConstraintShape, Definition, FieldShape,
    ForeignKeyAction, IndexShape,
};
use dataman_node_protocol::inspect::FoundTable;
use dataman_node_protocol::query::{SortKey, Target};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::adopted;
use super::catalogue::{Body, Catalogue, Collection, Unique};
use super::connect::{INSTANCE, Server};
use super::constraint::{binary, key_bytes, key_text, values_of};
use super::error::{DUPLICATE, Failure, classify, failure, told};
use super::layout::{
    CATALOGUE, Form, Index, Layout, NOTES, Place, check_field, collection_name, digest_name,
    index_name, instance_name, path, places,
};
use super::reference::key_filter;
use super::statement::{Statement, find};
use super::value::exact;
use super::write::Record;
use crate::driver::sql::define::OLD;
use crate::driver::sql::stored::family;
use crate::driver::sql::user_name;

/// Records that a definition looks at or fills at a time.
const PAGE: usize = 1000;

/// Fields of an index of MongoDB.
const KEY_FIELDS_MAX: usize = 32;

/// How long the note of some work stays.
const NOTE_MS: i64 = 24 * 60 * 60 * 1000;

/// What a definition leaves to be done when its transaction ends.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// What undoes it, in order.
    pub(super) undo: Vec<Chore>,
    /// What finishes it, in order.
    pub(super) finish: Vec<Chore>,
    /// What removes its parts that were made in the transaction, if it was undone within it.
    pub(super) orphans: Vec<Chore>,
    /// The collections that the transaction itself has read or written for it.
    pub(super) touched: Vec<String>,
    /// The collections that it has made.
    pub(super) created: Vec<String>,
}

/// Something that is done outside of transactions.
#[derive(Debug, Clone)]
pub(super) enum Chore {
    /// Removes a collection.
    DropCollection {
        /// Its database.
        database: String,
        /// Its name.
        collection: String,
    },
    /// Removes an index.
    DropIndex {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The index.
        index: String,
    },
    /// Makes an index that nothing depends on.
    MakeIndex {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The index, as `createIndexes` takes it.
        index: Document,
    },
    /// Removes a field from all documents.
    Unset {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The field.
        path: String,
    },
}

impl Chore {
    /// Does it.
    ///
    /// # Errors
    /// MongoDB's.
    pub(super) async fn run(self, server: &Server) -> Result<(), NodeError> {
        let (database, command) = match self {
            Self::DropCollection { database, collection } => {
                (database, doc! { "drop": collection })
            }
            Self::DropIndex { database, collection, index } => {
                (database, doc! { "dropIndexes": collection, "index": index })
            }
            Self::MakeIndex { database, collection, index } => {
                (database, doc! { "createIndexes": collection, "indexes": [index] })
            }
            Self::Unset { database, collection, path } => {
                let has = doc! { &path: { "$exists": true } };
                let unset = doc! { "$unset": { path: "" } };
                let update = doc! { "q": has, "u": unset, "multi": true };
                (database, doc! { "update": collection, "updates": [update] })
            }
        };
        let answer = server.client().database(&database).run_command(command).await;
        answer.map(|_| ()).map_err(classify)
    }
}

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

/// What a transaction did before a definition.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The collections that it has read or written.
    pub(super) touched: Vec<String>,
    /// The collections that it has made.
    pub(super) created: Vec<String>,
    /// The fields that are removed when it ends, each with its collection.
    pub(super) doomed: Vec<String>,
}

impl Past {
    /// What definitions left, and what was read or written.
    pub(super) fn new(touched: &[String], leftovers: &[Leftover]) -> Self {
        let mut past = Self { touched: touched.to_vec(), ..Self::default() };
        for leftover in leftovers {
            past.created.extend(leftover.created.iter().cloned());
            for chore in leftover.finish.iter().chain(&leftover.undo) {
                if let Chore::Unset { database, collection, path } = chore {
                    past.doomed.push(format!("{database}.{collection} {path}"));
                }
            }
        }
        past
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

/// The same but for the database's name, which only messages show.
fn same_shape(left: &CollectionShape, right: &CollectionShape) -> bool {
    left.fields == right.fields
        && left.constraints == right.constraints
        && left.indexes == right.indexes
        && left.label == right.label
        && left.target.collection == right.target.collection
}

fn missing(target: &Target) -> NodeError {
    let name = user_name(&target.collection).1;
    NodeError::statement("42P01", format!("relation \"{name}\" does not exist"))
}

fn field_of<'s>(shape: &'s CollectionShape, name: &str) -> Result<&'s FieldShape, NodeError> {
    shape.fields.iter().find(|field| field.name == name).ok_or_else(|| {
        NodeError::statement(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", shape.label),
        )
    })
}

/// What an index is over, as the shape says.
enum Keys<'s> {
    /// Fields, in order.
    Fields(Vec<&'s str>),
    /// Expressions.
    Expressions,
}

/// One index that a shape asks for.
struct Wanted<'s> {
    owner: &'s str,
    keys: Keys<'s>,
    is_unique: bool,
    /// It has a condition, or takes NULLs for alike.
    is_special: bool,
}

fn wanted(shape: &CollectionShape) -> Vec<Wanted<'_>> {
    let constraints = shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => Some((constraint, fields, false)),
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            Some((constraint, fields, *nulls_not_distinct))
        }
        _ => None,
    });
    let constraints = constraints.map(|(constraint, fields, is_special)| Wanted {
        owner: &constraint.name,
        keys: Keys::Fields(fields.iter().map(String::as_str).collect()),
        is_unique: true,
        is_special,
    });
    let indexes = shape.indexes.iter().map(|index| {
        let field = |key: &'_ SortKey| matches!(key.expr, Expr::Field(_));
        let keys = if index.keys.iter().all(field) {
            Keys::Fields(
                index
                    .keys
                    .iter()
                    .filter_map(|key| match &key.expr {
                        Expr::Field(field) => Some(field.name.as_str()),
                        _ => None,
                    })
                    .collect(),
            )
        } else {
            Keys::Expressions
        };
        let is_special = index.filter.is_some() || index.nulls_not_distinct;
        Wanted { owner: &index.name, keys, is_unique: index.unique, is_special }
    });
    constraints.chain(indexes).collect()
}

/// Refuses keys that have no order, and methods that are no B-tree.
fn check_keys(shape: &CollectionShape) -> Result<(), NodeError> {
    let check = |ty: TypeId| {
        if family(ty).is_some() {
            return Ok(());
        }
        Err(NodeError::statement(
            "42704",
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                dataman_pg::catalog::format_type(ty, -1)
            ),
        ))
    };
    for constraint in &shape.constraints {
        if let ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } =
            &constraint.kind
        {
            for field in fields {
                check(field_of(shape, field)?.ty.id)?;
            }
        }
        if let ConstraintKind::ForeignKey { on_delete, on_update, .. } = &constraint.kind
            && [on_delete, on_update].contains(&&ForeignKeyAction::SetDefault)
        {
            return Err(NodeError::unsupported("MongoDB does not carry out SET DEFAULT"));
        }
    }
    for index in &shape.indexes {
        if !matches!(index.method.as_str(), "" | "btree" | "hash") {
            return Err(NodeError::unsupported(format!(
                "MongoDB has no access method \"{}\"",
                index.method
            ))
            .with_hint("A btree index serves equality, ranges and sorting."));
        }
        for key in &index.keys {
            check(key.expr.type_id())?;
            if !index.unique && !matches!(key.expr, Expr::Field(_)) {
                return Err(NodeError::unsupported(
                    "MongoDB has no index over expressions in PostgreSQL's meaning",
                )
                .with_hint("Index the columns, or a column that holds the expression."));
            }
        }
    }
    Ok(())
}

/// The first name that is free: the name itself, or with a number.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}~{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.to_owned())
}

/// How an index is made: over which fields, or over which digest.
struct PlannedIndex {
    index: Index,
    is_unique: bool,
    /// Whether no record is without one of the fields.
    is_primary: bool,
    /// The fields' paths; none for expressions.
    paths: Option<Vec<String>>,
}

/// Whether an earlier unique index is over the same fields: MongoDB keeps one of the two.
fn has_twin(all: &[Wanted<'_>], wanted: &Wanted<'_>) -> bool {
    let Keys::Fields(fields) = &wanted.keys else { return false };
    let earlier = all.iter().take_while(|other| other.owner != wanted.owner);
    wanted.is_unique
        && earlier.filter(|other| other.is_unique).any(|other| match &other.keys {
            Keys::Fields(others) => others == fields,
            Keys::Expressions => false,
        })
}

/// Decides how MongoDB keeps an index; `taken` are the names of indexes that are there.
fn plan_index(
    wanted: &Wanted<'_>,
    has_twin: bool,
    shape: &CollectionShape,
    places: &[Place],
    taken: &HashSet<String>,
) -> PlannedIndex {
    let place = |name: &str| {
        shape.fields.iter().position(|field| field.name == name).and_then(|at| places.get(at))
    };
    let fields: Option<Vec<&Place>> = match &wanted.keys {
        Keys::Fields(fields) => Some(fields.iter().filter_map(|name| place(name)).collect()),
        Keys::Expressions => None,
    };
    let is_whole = fields.as_ref().is_some_and(|fields| {
        fields.len() <= KEY_FIELDS_MAX && fields.iter().all(|place| place.form != Form::Opaque)
    });
    let digest = (wanted.is_unique && (wanted.is_special || has_twin || !is_whole))
        .then(|| digest_name(wanted.owner));
    let has_fields = fields.as_ref().is_some_and(|fields| !fields.is_empty());
    let name = free_name(&index_name(wanted.owner), taken);
    let is_primary = shape.constraints.iter().any(|constraint| {
        constraint.name == wanted.owner
            && matches!(constraint.kind, ConstraintKind::PrimaryKey { .. })
    });
    let mut paths: Option<Vec<String>> = fields
        .map(|fields| fields.iter().take(KEY_FIELDS_MAX).map(|place| place.path.clone()).collect());
    if let Some(paths) = &mut paths {
        let mut seen = HashSet::new();
        paths.retain(|path| seen.insert(path.clone()));
    }
    PlannedIndex {
        index: Index {
            owner: wanted.owner.to_owned(),
            search: (digest.is_some() && has_fields).then(|| format!("{name}~search")),
            is_made: digest.is_some() || has_fields,
            name,
            digest,
        },
        is_unique: wanted.is_unique,
        is_primary,
        paths,
    }
}

impl PlannedIndex {
    /// The indexes as `createIndexes` takes them, and whether each is unique.
    fn documents(&self) -> Vec<(Document, bool)> {
        if !self.index.is_made {
            return Vec::new();
        }
        let keys = |paths: &[String]| {
            paths.iter().map(|path| (path.clone(), Bson::Int32(1))).collect::<Document>()
        };
        let present = |paths: &[String]| {
            let each = paths.iter().map(|path| (path.clone(), doc! { "$exists": true }.into()));
            each.collect::<Document>()
        };
        let paths = self.paths.clone().unwrap_or_default();
        let name = &self.index.name;
        match &self.index.digest {
            Some(digest) => {
                let digest = [digest.clone()];
                let mut made = vec![(
                    doc! {
                        "key": keys(&digest),
                        "name": name,
                        "unique": true,
                        "partialFilterExpression": present(&digest),
                    },
                    true,
                )];
                if let Some(search) = &self.index.search {
                    made.push((doc! { "key": keys(&paths), "name": search }, false));
                }
                made
            }
            None if self.is_unique && self.is_primary => {
                vec![(doc! { "key": keys(&paths), "name": name, "unique": true }, true)]
            }
            // Records without one of the fields equal none.
            None if self.is_unique => vec![(
                doc! {
                    "key": keys(&paths),
                    "name": name,
                    "unique": true,
                    "partialFilterExpression": present(&paths),
                },
                true,
            )],
            None => vec![(doc! { "key": keys(&paths), "name": name }, false)],
        }
    }
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

    async fn change_indexes(
        &mut self,
        target: &Target,
        name: &str,
        index: Option<&IndexShape>,
    ) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(&target.collection).cloned() else {
            return if index.is_some() { Err(missing(target)) } else { Ok(()) };
        };
        let mut shape = found.shape.clone();
        if shape.indexes.iter().any(|known| Some(known) == index) {
            return Ok(());
        }
        if index.is_some() && shape.indexes.iter().any(|known| known.name == name) {
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{name}\" already exists"),
            ));
        }
        let before = shape.indexes.len();
        shape.indexes.retain(|known| known.name != name);
        shape.indexes.extend(index.cloned());
        if index.is_none() && shape.indexes.len() == before {
            return Ok(());
        }
        self.change_shape(&found, &shape, found.layout.fields.clone()).await
    }

    /// Brings the indexes and the catalogue to a shape, whose fields are there.
    async fn change_shape(
        &mut self,
        from: &Arc<Collection>,
        to: &CollectionShape,
        fields: Vec<Place>,
    ) -> Result<(), NodeError> {
        check_keys(to)?;
        let mut layout = Layout {
            collection: from.layout.collection.clone(),
            fields,
            indexes: Vec::new(),
            adopted: None,
        };
        let mut added = Vec::new();
        let all = wanted(to);
        for wanted in &all {
            let known = from.layout.indexes.iter().find(|known| known.owner == wanted.owner);
            match known {
                Some(known) => layout.indexes.push(known.clone()),
                None => added.push(wanted),
            }
        }
        let (database, name) = (from.database(), from.layout.collection.clone());
        for index in &from.layout.indexes {
            if layout.indexes.contains(index) || !index.is_made {
                continue;
            }
            for index in [Some(&index.name), index.search.as_ref()].into_iter().flatten() {
                self.leftover.finish.push(Chore::DropIndex {
                    database: database.clone(),
                    collection: name.clone(),
                    index: index.clone(),
                });
            }
            if let Some(digest) = &index.digest {
                self.leftover.finish.push(Chore::Unset {
                    database: database.clone(),
                    collection: name.clone(),
                    path: digest.clone(),
                });
            }
        }
        if !added.is_empty() {
            let mut taken = self.index_names(from).await?;
            let mut plans = Vec::new();
            for wanted in added {
                let twin = has_twin(&all, wanted);
                let mut plan = plan_index(wanted, twin, to, &layout.fields, &taken);
                if let Some(digest) = &mut plan.index.digest {
                    // One of that name may still be in the documents.
                    *digest = digest_name(&plan.index.name);
                    while self.has_path(from, digest).await? {
                        digest.push('~');
                    }
                }
                taken.insert(plan.index.name.clone());
                layout.indexes.push(plan.index.clone());
                plans.push(plan);
            }
            let (collection, _) = self.collection(from.id, to, &layout)?;
            for plan in plans {
                if plan.index.is_made {
                    self.make_index(&collection, &plan).await?;
                }
            }
        }
        self.save(Some(from.id), to, &layout).await
    }

    /// Whether a document has a field.
    async fn has_path(&mut self, collection: &Collection, path: &str) -> Result<bool, NodeError> {
        let mut command = find(collection, doc! { path: { "$exists": true } });
        command.insert("limit", 1);
        let mut found = false;
        self.look(collection, command, |_| {
            found = true;
            Ok(false)
        })
        .await?;
        Ok(found)
    }

    async fn make_index(
        &mut self,
        collection: &Arc<Collection>,
        plan: &PlannedIndex,
    ) -> Result<(), NodeError> {
        let (database, name) = (collection.database(), collection.layout.collection.clone());
        let (is_touched, is_created) = (self.is_touched(collection), self.is_created(collection));
        for (index, is_unique) in plan.documents() {
            let command = doc! { "createIndexes": &name, "indexes": [index.clone()] };
            if is_created && !is_touched {
                self.statement.write(&database, command).await.map_err(other)?;
                continue;
            }
            if is_touched {
                if is_unique {
                    return Err(NodeError::unsupported(format!(
                        "relation \"{}\" gets no unique key on MongoDB in a transaction that has read or written it",
                        collection.shape.label
                    ))
                    .with_hint("Make it in a transaction before, or first in this one."));
                }
                let (database, collection) = (database.clone(), name.clone());
                self.leftover.finish.push(Chore::MakeIndex { database, collection, index });
                continue;
            }
            let unique = collection.uniques.iter().find(|unique| unique.owner == plan.index.owner);
            if let (true, Some(digest), Some(unique)) = (is_unique, &plan.index.digest, unique) {
                self.leftover.undo.push(Chore::Unset {
                    database: database.clone(),
                    collection: name.clone(),
                    path: digest.clone(),
                });
                self.fill_digests(collection, unique, digest).await?;
            }
            let index_name = index.get_str("name").unwrap_or_default().to_owned();
            self.leftover.undo.push(Chore::DropIndex {
                database: database.clone(),
                collection: name.clone(),
                index: index_name,
            });
            self.statement.check_stop()?;
            let server = self.statement.server.client().database(&database);
            let made = server.run_command(command).await;
            match (made, unique) {
                (Ok(_), _) => {}
                (Err(error), Some(unique)) => match failure(error) {
                    Failure::Duplicate(_) => return Err(self.not_unique(collection, unique).await),
                    Failure::Other(error) if error.message.contains(&format!("E{DUPLICATE}")) => {
                        return Err(self.not_unique(collection, unique).await);
                    }
                    Failure::Other(error) if !is_unique && is_twin(&error) => {}
                    Failure::Other(error) => return Err(error),
                },
                (Err(error), None) => {
                    let error = classify(error);
                    if is_unique || !is_twin(&error) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads all records, beside the transaction or in it, a page at a time.
    async fn records(
        &mut self,
        collection: &Arc<Collection>,
        catalogue: &Catalogue,
    ) -> Result<Vec<Record>, NodeError> {
        let mut records = Vec::new();
        self.look(collection, find(collection, Document::new()), |document| {
            let values = collection.record(&document, catalogue)?;
            let id = document.get("_id").cloned().unwrap_or(Bson::Null);
            records.push(Record { id, document, values });
            Ok(true)
        })
        .await?;
        Ok(records)
    }

    async fn fill_digests(
        &mut self,
        collection: &Arc<Collection>,
        unique: &Unique,
        digest: &str,
    ) -> Result<(), NodeError> {
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let records = self.records(collection, &catalogue).await?;
        for page in records.chunks(PAGE) {
            let mut updates = Vec::new();
            for record in page {
                if let Some(value) = unique.digest(&record.values, &self.statement.context)? {
                    let set = doc! { "$set": { digest: binary(value) } };
                    updates.push(doc! { "q": { "_id": record.id.clone() }, "u": set });
                }
            }
            if !updates.is_empty() {
                let name = &collection.layout.collection;
                let command = doc! { "update": name, "updates": updates };
                self.beside(&collection.database(), command).await?;
            }
        }
        Ok(())
    }

    /// `23505` of a unique index that cannot be made.
    async fn not_unique(&mut self, collection: &Arc<Collection>, unique: &Unique) -> NodeError {
        let mut failure = NodeError::statement(
            "23505",
            format!("could not create unique index \"{}\"", unique.name),
        );
        failure.object.table = Some(collection.shape.label.clone());
        failure.object.constraint = Some(unique.name.clone());
        let Some(fields) = &unique.fields else { return failure };
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let Ok(records) = self.records(collection, &catalogue).await else { return failure };
        let mut seen = HashSet::new();
        for record in &records {
            let Ok(Some(key)) = unique.key(&record.values, &self.statement.context) else {
                continue;
            };
            if !seen.insert(key_bytes(&key)) {
                let values = values_of(collection, fields, &record.values);
                let key = key_text(collection, fields, &values, &self.statement.context);
                return failure.with_detail(format!("{key} is duplicated."));
            }
        }
        failure
    }

    async fn alter(&mut self, step: &AlterStep, to: &CollectionShape) -> Result<(), NodeError> {
        if let AlterStep::RenameCollection { from } = step {
            return self.rename(from, to).await;
        }
        let found = self
            .statement
            .catalogue
            .find(&to.target.collection)
            .cloned()
            .ok_or_else(|| missing(&to.target))?;
        if same_shape(&found.shape, to) {
            return Ok(());
        }
        let kept = found.layout.fields.clone();
        match step {
            AlterStep::RenameCollection { .. } => Ok(()),
            AlterStep::AddField { name, fill } => self.add_field(&found, to, name, fill).await,
            AlterStep::DropField { name } => {
                let place = found.place(name).ok_or_else(|| missing(&to.target))?;
                let mut fields = kept;
                let dropped = fields.remove(place);
                self.change_shape(&found, to, fields).await?;
                self.leftover.finish.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: dropped.path,
                });
                Ok(())
            }
            AlterStep::RenameField { from, to: name } => {
                let referring: BTreeMap<ObjectId, Arc<Collection>> = self
                    .statement
                    .catalogue
                    .referring(&to.target.collection)
                    .filter(|(child, _)| child.id != found.id)
                    .map(|(child, _)| (child.id, Arc::clone(child)))
                    .collect();
                self.change_shape(&found, to, kept).await?;
                for child in referring.into_values() {
                    let mut shape = child.shape.clone();
                    for constraint in &mut shape.constraints {
                        if let ConstraintKind::ForeignKey { references, references_fields, .. } =
                            &mut constraint.kind
                            && *references == to.target.collection
                        {
                            for field in references_fields.iter_mut().filter(|field| *field == from)
                            {
                                field.clone_from(name);
                            }
                        }
                    }
                    self.save(Some(child.id), &shape, &child.layout).await?;
                }
                Ok(())
            }
            AlterStep::FieldType { name, using } => self.change_type(&found, to, name, using).await,
            AlterStep::SetNotNull { name } => {
                self.check_not_null(&found, to, name).await?;
                self.change_shape(&found, to, kept).await
            }
            AlterStep::DropNotNull { .. } | AlterStep::DropConstraint { .. } => {
                self.change_shape(&found, to, kept).await
            }
            AlterStep::RenameConstraint { from, to: name } => {
                let mut layout = found.layout.clone();
                for index in layout.indexes.iter_mut().filter(|index| index.owner == *from) {
                    index.owner.clone_from(name);
                }
                self.save(Some(found.id), to, &layout).await
            }
            AlterStep::AddConstraint { name } => self.add_constraint(&found, to, name).await,
        }
    }

    async fn add_field(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        fill: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let evaluator = catalogue.compile(fill, &|_| None)?;
        let value = evaluator.eval(&[], &[], &self.statement.context)?;
        let mut place = Place::new(&field.name, field.ty);
        let taken: HashSet<String> =
            found.layout.fields.iter().map(|place| place.path.clone()).collect();
        let free = (2..).map(|number| format!("{}~{number}", path(name)));
        for candidate in std::iter::once(place.path.clone()).chain(free) {
            let doomed = format!("{} {candidate}", found.place_name());
            if !taken.contains(&candidate)
                && !self.past.doomed.contains(&doomed)
                && !self.has_path(found, &candidate).await?
            {
                place.path = candidate;
                break;
            }
        }
        if value.is_null() {
            if field.not_null && self.has_path(found, "_id").await? {
                return Err(contains_nulls(to, name));
            }
        } else if let Some(bson) = exact(&value, place.form)? {
            let set = doc! { "$set": { &place.path: bson } };
            let update = doc! { "q": {}, "u": set, "multi": true };
            let command = doc! { "update": &found.layout.collection, "updates": [update] };
            if self.is_touched(found) || self.is_created(found) {
                self.touch(found);
                self.run(&found.database(), command).await?;
                self.leftover.orphans.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: place.path.clone(),
                });
            } else {
                self.leftover.undo.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: place.path.clone(),
                });
                self.beside(&found.database(), command).await?;
            }
        }
        let mut fields = found.layout.fields.clone();
        fields.push(place);
        self.change_shape(found, to, fields).await
    }

    async fn change_type(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        using: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let at = found.place(name).ok_or_else(|| missing(&to.target))?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let convert: Evaluator = catalogue.compile(using, &|read: &Field| {
            if read.source == OLD { found.place(&read.name) } else { None }
        })?;
        let mut layout = found.layout.clone();
        layout.fields[at].form = Place::new(name, field.ty).form;
        check_keys(to)?;
        let all = wanted(to);
        for wanted in &all {
            let Some(known) = layout.indexes.iter().find(|known| known.owner == wanted.owner)
            else {
                continue;
            };
            let twin = has_twin(&all, wanted);
            let plan = plan_index(wanted, twin, to, &layout.fields, &HashSet::new());
            if plan.index.digest.is_some() != known.digest.is_some() {
                return Err(NodeError::unsupported(format!(
                    "MongoDB keeps the unique key \"{}\" in another form for the new type of column \"{name}\"",
                    user_name(wanted.owner).1
                ))
                .with_hint("Drop the constraint or index, change the type, and make it again."));
            }
        }
        let (changed, catalogue) = {
            let (collection, _) = self.collection(found.id, to, &layout)?;
            (collection, catalogue)
        };
        let records = self.records(found, &catalogue).await?;
        self.touch(found);
        for page in records.chunks(PAGE) {
            let mut updates = Vec::new();
            for record in page {
                let mut values = record.values.clone();
                values[at] = convert.eval(&record.values, &[], &self.statement.context)?;
                let mut update = Document::new();
                let forms = self.statement.forms(&changed, &values)?;
                if !forms.contains_key(&layout.fields[at].path) {
                    update.insert("$unset", doc! { &layout.fields[at].path: "" });
                }
                let set: Document = forms
                    .into_iter()
                    .filter(|(name, value)| record.document.get(name) != Some(value))
                    .collect();
                if !set.is_empty() {
                    update.insert("$set", set);
                }
                if update.is_empty() {
                    continue;
                }
                if let Some(undo) = &mut self.statement.undo {
                    let before = Some(record.document.clone());
                    let name = &found.layout.collection;
                    undo.note(&found.database(), name, record.id.clone(), before)?;
                }
                updates.push(doc! { "q": { "_id": record.id.clone() }, "u": update });
            }
            if updates.is_empty() {
                continue;
            }
            let command = doc! { "update": &layout.collection, "updates": updates };
            match self.statement.write(&found.database(), command).await {
                Ok(_) => {}
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Duplicate(duplicate)) => {
                    let unique = changed.uniques.iter().find(|one| one.index == duplicate.index);
                    let name = unique.map_or(duplicate.index.as_str(), |unique| &unique.name);
                    let mut error = NodeError::statement(
                        "23505",
                        format!("could not create unique index \"{name}\""),
                    );
                    error.object.constraint = Some(name.to_owned());
                    return Err(error);
                }
            }
        }
        self.save(Some(found.id), to, &layout).await?;
        // The constraints that read the field are looked at again, as PostgreSQL does.
        self.check_records(&changed, None).await
    }

    /// The collection as the catalogue has it now.
    async fn reread(
        &mut self,
        id: ObjectId,
        shape: &CollectionShape,
    ) -> Result<Arc<Collection>, NodeError> {
        let command = doc! { "find": CATALOGUE, "filter": { "_id": id } };
        let mut body = None;
        self.statement
            .documents(&instance_name(&shape.target.shard_instance), command, |document| {
                let text = document.get_str("body").unwrap_or_default();
                body = serde_json::from_str::<Body>(text).ok();
                Ok(true)
            })
            .await?;
        let body = body.ok_or_else(|| missing(&shape.target))?;
        Ok(self.collection(id, shape, &body.layout)?.0)
    }

    async fn rename(&mut self, from: &str, to: &CollectionShape) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(from).cloned() else {
            return match self.statement.catalogue.find(&to.target.collection) {
                Some(_) => Ok(()),
                None => Err(missing(&Target { collection: from.to_owned(), ..to.target.clone() })),
            };
        };
        let referring: BTreeMap<ObjectId, Arc<Collection>> = self
            .statement
            .catalogue
            .referring(from)
            .map(|(child, _)| (child.id, Arc::clone(child)))
            .collect();
        let mut own = to.clone();
        point_to(&mut own, from, to);
        self.save(Some(found.id), &own, &found.layout).await?;
        for child in referring.into_values().filter(|child| child.id != found.id) {
            let mut shape = child.shape.clone();
            point_to(&mut shape, from, to);
            self.save(Some(child.id), &shape, &child.layout).await?;
        }
        Ok(())
    }

    async fn check_not_null(
        &mut self,
        collection: &Collection,
        shape: &CollectionShape,
        field: &str,
    ) -> Result<(), NodeError> {
        let Some(place) = collection.field(field) else {
            return field_of(shape, field).map(|_| ());
        };
        let mut command = find(collection, doc! { &place.path: Bson::Null });
        command.insert("limit", 1);
        let mut found = false;
        self.look(collection, command, |_| {
            found = true;
            Ok(false)
        })
        .await?;
        if found { Err(contains_nulls(shape, field)) } else { Ok(()) }
    }

    async fn add_constraint(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
    ) -> Result<(), NodeError> {
        let constraint =
            to.constraints.iter().find(|constraint| constraint.name == name).ok_or_else(|| {
                NodeError::statement(
                    "42704",
                    format!("constraint \"{name}\" of relation \"{}\" does not exist", to.label),
                )
            })?;
        if let ConstraintKind::PrimaryKey { fields } = &constraint.kind {
            for field in fields {
                self.check_not_null(found, to, field).await?;
            }
        }
        self.change_shape(found, to, found.layout.fields.clone()).await?;
        let again = self.reread(found.id, to).await?;
        match &constraint.kind {
            ConstraintKind::Check { .. } => self.check_records(&again, Some(name)).await,
            ConstraintKind::ForeignKey { .. } => {
                self.check_foreign_keys(&again, std::slice::from_ref(constraint)).await
            }
            ConstraintKind::PrimaryKey { .. } | ConstraintKind::Unique { .. } => Ok(()),
        }
    }

    /// Looks at all records with the CHECKs, or one of them.
    async fn check_records(
        &mut self,
        collection: &Arc<Collection>,
        only: Option<&str>,
    ) -> Result<(), NodeError> {
        let checks: Vec<_> = collection
            .checks
            .iter()
            .filter(|check| only.is_none_or(|name| name == check.name))
            .collect();
        if checks.is_empty() {
            return Ok(());
        }
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let context = Arc::clone(&self.statement.context);
        self.look(collection, find(collection, Document::new()), |document| {
            let record = collection.record(&document, &catalogue)?;
            for check in &checks {
                if check.evaluator.eval(&record, &[], &context)? == Value::Bool(false) {
                    let mut error = NodeError::statement(
                        "23514",
                        format!(
                            "check constraint \"{}\" of relation \"{}\" is violated by some row",
                            check.name, collection.shape.label
                        ),
                    );
                    error.object.table = Some(collection.shape.label.clone());
                    error.object.constraint = Some(check.name.clone());
                    return Err(error);
                }
            }
            Ok(true)
        })
        .await
    }

    /// Looks at foreign keys: that they can be enforced, and that the records keep them.
    async fn check_foreign_keys(
        &mut self,
        child: &Arc<Collection>,
        constraints: &[ConstraintShape],
    ) -> Result<(), NodeError> {
        for constraint in constraints {
            let ConstraintKind::ForeignKey {
                fields,
                references,
                references_label,
                references_fields,
                ..
            } = &constraint.kind
            else {
                continue;
            };
            let parent = match self.statement.catalogue.find(references) {
                _ if *references == child.shape.target.collection => Arc::clone(child),
                Some(parent) => Arc::clone(parent),
                None => {
                    return Err(NodeError::statement(
                        "42P01",
                        format!("relation \"{references_label}\" does not exist"),
                    ));
                }
            };
            for (field, other) in fields.iter().zip(references_fields) {
                let families =
                    (child.type_of(field).and_then(family), parent.type_of(other).and_then(family));
                let is_opaque =
                    |place: Option<&Place>| place.is_some_and(|place| place.form == Form::Opaque);
                // A numeric may be a decimal128 on one side and a string on the other.
                let forms = (is_opaque(child.field(field)), is_opaque(parent.field(other)));
                if families.0.is_none() || families.0 != families.1 || forms.0 != forms.1 {
                    return Err(NodeError::unsupported(format!(
                        "MongoDB does not compare the key columns \"{field}\" and \"{other}\" of foreign key constraint \"{}\"",
                        constraint.name
                    )));
                }
            }
            if self.leftover.created.contains(&child.place_name()) {
                continue;
            }
            let catalogue = self.statement.catalogue.with_enums_of(&child.shape);
            // The keys that are referred to, each with a document that refers.
            let mut wanted: HashMap<Vec<u8>, Vec<Value>> = HashMap::new();
            self.look(child, find(child, Document::new()), |document| {
                let record = child.record(&document, &catalogue)?;
                let key = values_of(child, fields, &record);
                if !key.iter().any(Value::is_null) {
                    wanted.insert(key_bytes(&key), key);
                }
                Ok(true)
            })
            .await?;
            let keys: Vec<Vec<Value>> = wanted.values().cloned().collect();
            for page in keys.chunks(PAGE) {
                let mut filters = Vec::new();
                for key in page {
                    let context = &self.statement.context;
                    filters.push(key_filter(&parent, references_fields, key, context)?);
                }
                let command = find(&parent, doc! { "$or": filters });
                self.look(&parent, command, |document| {
                    let record = parent.record(&document, &catalogue)?;
                    wanted.remove(&key_bytes(&values_of(&parent, references_fields, &record)));
                    Ok(true)
                })
                .await?;
            }
            if let Some(values) = wanted.into_values().next() {
                let key = key_text(child, fields, &values, &self.statement.context);
                let label = &child.shape.label;
                let mut error = NodeError::statement(
                    "23503",
                    format!(
                        "insert or update on table \"{label}\" violates foreign key constraint \"{}\"",
                        constraint.name
                    ),
                )
                .with_detail(format!("{key} is not present in table \"{references_label}\"."));
                error.object.table = Some(label.clone());
                error.object.constraint = Some(constraint.name.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, targets: &[Target]) -> Result<(), NodeError> {
        let catalogue = Arc::clone(&self.statement.catalogue);
        let named = |name: &str| targets.iter().any(|target| target.collection == name);
        for target in targets {
            let found = catalogue.find(&target.collection).ok_or_else(|| missing(target))?;
            for (child, _) in catalogue.referring(&target.collection) {
                if !named(&child.shape.target.collection) {
                    return Err(NodeError::statement(
                        "0A000",
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .with_detail(format!(
                        "Table \"{}\" references \"{}\".",
                        child.shape.label, found.shape.label
                    ))
                    .with_hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.shape.label
                    )));
                }
            }
        }
        for target in targets {
            if let Some(found) = catalogue.find(&target.collection) {
                let found = Arc::clone(found);
                // MongoDB drops no collection in a transaction.
                if self.statement.undo.is_some() {
                    let records = self.statement.find_by(&found, Document::new()).await?;
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

/// MongoDB keeps no two indexes over the same fields: an index that is not unique may be left out.
fn without_twins(documents: Vec<Document>) -> Vec<Document> {
    let mut seen: Vec<Document> = Vec::new();
    for document in documents {
        let is_twin = seen.iter().any(|known| known.get("key") == document.get("key"));
        if !is_twin || document.contains_key("unique") {
            seen.push(document);
        }
    }
    seen
}

/// Whether MongoDB has an index over the same fields already: `IndexOptionsConflict`, `IndexKeySpecsConflict`.
fn is_twin(error: &NodeError) -> bool {
    ["MongoDB error 85:", "MongoDB error 86:"].iter().any(|text| error.message.starts_with(text))
}

fn other(failure: Failure) -> NodeError {
    match failure {
        Failure::Other(error) => error,
        Failure::Duplicate(_) => {
            NodeError::statement("23505", "duplicate key value violates unique constraint")
        }
    }
}

fn contains_nulls(shape: &CollectionShape, field: &str) -> NodeError {
    let mut error = NodeError::statement(
        "23502",
        format!("column \"{field}\" of relation \"{}\" contains null values", shape.label),
    );
    error.object.table = Some(shape.label.clone());
    error.object.column = Some(field.to_owned());
    error
}

/// Points foreign keys to a collection's new name.
fn point_to(shape: &mut CollectionShape, from: &str, to: &CollectionShape) {
    for constraint in &mut shape.constraints {
        if let ConstraintKind::ForeignKey { references, references_label, .. } =
            &mut constraint.kind
            && references == from
        {
            references.clone_from(&to.target.collection);
            references_label.clone_from(&to.label);
        }
    }
}
