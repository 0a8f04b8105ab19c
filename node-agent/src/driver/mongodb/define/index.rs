//! Indexes: which ones a shape asks for, how MongoDB keeps them, and how they are made over records that are there.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind, ForeignKeyAction, IndexShape,
};
use dataman_node_protocol::query::{SortKey, Target};
use dataman_pg::expr::Expr;
use dataman_pg::types::TypeId;
use mongodb::bson::{Bson, Document, doc};

use super::leftover::Chore;
use super::{Definer, PAGE, free_name, other};
use crate::driver::mongodb::catalogue::{Catalogue, Collection, Unique};
use crate::driver::mongodb::constraint::{binary, key_bytes, key_text, values_of};
use crate::driver::mongodb::error::{DUPLICATE, Failure, classify, failure};
use crate::driver::mongodb::layout::{Form, Index, Layout, Place, digest_name, index_name};
use crate::driver::mongodb::statement::find;
use crate::driver::mongodb::write::Record;
use crate::driver::sql::change::{field_of, missing, not_unique};
use crate::driver::sql::stored::family;

/// Fields of an index of MongoDB.
const KEY_FIELDS_MAX: usize = 32;

/// What an index is over, as the shape says.
pub(super) enum Keys<'s> {
    /// Fields, in order.
    Fields(Vec<&'s str>),
    /// Expressions.
    Expressions,
}

/// One index that a shape asks for.
pub(super) struct Wanted<'s> {
    /// The constraint's or index's name.
    pub(super) owner: &'s str,
    keys: Keys<'s>,
    is_unique: bool,
    /// It has a condition, or takes NULLs for alike.
    is_special: bool,
}

pub(super) fn wanted(shape: &CollectionShape) -> Vec<Wanted<'_>> {
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
pub(super) fn check_keys(shape: &CollectionShape) -> Result<(), NodeError> {
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

/// How an index is made: over which fields, or over which digest.
pub(super) struct PlannedIndex {
    /// The index.
    pub(super) index: Index,
    is_unique: bool,
    /// Whether no record is without one of the fields.
    is_primary: bool,
    /// The fields' paths; none for expressions.
    paths: Option<Vec<String>>,
}

/// Whether an earlier unique index is over the same fields: MongoDB keeps one of the two.
pub(super) fn has_twin(all: &[Wanted<'_>], wanted: &Wanted<'_>) -> bool {
    let Keys::Fields(fields) = &wanted.keys else { return false };
    let earlier = all.iter().take_while(|other| other.owner != wanted.owner);
    wanted.is_unique
        && earlier.filter(|other| other.is_unique).any(|other| match &other.keys {
            Keys::Fields(others) => others == fields,
            Keys::Expressions => false,
        })
}

/// Decides how MongoDB keeps an index; `taken` are the names of indexes that are there.
pub(super) fn plan_index(
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
    pub(super) fn documents(&self) -> Vec<(Document, bool)> {
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
    pub(super) async fn change_indexes(
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
    pub(super) async fn change_shape(
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
    pub(super) async fn has_path(
        &mut self,
        collection: &Collection,
        path: &str,
    ) -> Result<bool, NodeError> {
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
    pub(super) async fn records(
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
        let failure = not_unique(&collection.shape, &unique.name);
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
}

/// MongoDB keeps no two indexes over the same fields: an index that is not unique may be left out.
pub(super) fn without_twins(documents: Vec<Document>) -> Vec<Document> {
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
