//! What a file holds, in dataman's words: the shapes of its collections, kept in a table of the file itself, so that a
//! restart knows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, ConstraintKind, ConstraintShape};
use dataman_pg::eval::Evaluator;
use dataman_pg::types::TypeId;
use rusqlite::Connection;

use super::error::classify;
use crate::driver::sql::stored::EnumLabels;

/// Makes the catalogue's table. `name` is the physical name of the collection.
pub(super) const CREATE: &str = "CREATE TABLE IF NOT EXISTS dataman_collection \
     (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, shape TEXT NOT NULL)";

/// Everything a file holds.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    collections: BTreeMap<String, Arc<Collection>>,
    by_id: HashMap<i64, Arc<Collection>>,
    enums: HashMap<TypeId, EnumShape>,
}

/// One collection.
#[derive(Debug)]
pub(super) struct Collection {
    /// Its number in the file: what its indexes and triggers are named by, so that a rename leaves them alone.
    pub(super) id: i64,
    /// Its shape.
    pub(super) shape: CollectionShape,
    /// The CHECK constraints in the order in which PostgreSQL tests them: by name.
    pub(super) checks: Vec<Check>,
    /// For each field whether NULL is refused.
    pub(super) not_null: Vec<bool>,
}

/// A CHECK constraint, ready to be tested.
#[derive(Debug)]
pub(super) struct Check {
    /// Its name.
    pub(super) name: String,
    /// The condition over the whole record.
    pub(super) evaluator: Evaluator,
    /// The places of the fields that it reads.
    pub(super) reads: Vec<usize>,
}

#[derive(Debug)]
struct EnumShape {
    name: String,
    labels: Vec<Arc<str>>,
}

impl Catalogue {
    /// Reads the catalogue of a file.
    pub(super) fn read(connection: &Connection) -> Result<Self, NodeError> {
        let mut catalogue = Self::default();
        let mut statement = connection
            .prepare_cached("SELECT id, shape FROM dataman_collection ORDER BY id")
            .map_err(classify)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .map_err(classify)?;
        for row in rows {
            let (id, json) = row.map_err(classify)?;
            let shape: CollectionShape = serde_json::from_str(&json).map_err(|error| {
                NodeError::statement(
                    "XX001",
                    format!("the shape of a collection in the SQLite file cannot be read: {error}"),
                )
            })?;
            catalogue.add(Arc::new(Collection::new(id, shape)?));
        }
        Ok(catalogue)
    }

    fn add(&mut self, collection: Arc<Collection>) {
        for field in &collection.shape.fields {
            if let Some((name, labels)) = &field.enum_labels {
                let labels = labels.iter().map(|label| Arc::from(label.as_str())).collect();
                self.enums.insert(field.ty.id, EnumShape { name: name.clone(), labels });
            }
        }
        self.by_id.insert(collection.id, collection.clone());
        self.collections.insert(collection.shape.target.collection.clone(), collection);
    }

    /// Finds a collection by its physical name.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        self.collections.get(name)
    }

    /// Finds a collection by its number.
    pub(super) fn by_id(&self, id: i64) -> Option<&Arc<Collection>> {
        self.by_id.get(&id)
    }

    /// All collections by name.
    pub(super) fn collections(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.collections.values()
    }

    /// The foreign keys that refer to a collection.
    pub(super) fn referring<'c>(
        &'c self,
        name: &'c str,
    ) -> impl Iterator<Item = (&'c Arc<Collection>, &'c ConstraintShape)> {
        self.collections().flat_map(move |collection| {
            collection
                .shape
                .constraints
                .iter()
                .filter(move |constraint| {
                    matches!(&constraint.kind,
                        ConstraintKind::ForeignKey { references, .. } if references == name)
                })
                .map(move |constraint| (collection, constraint))
        })
    }

    /// The rank of an enum's label.
    ///
    /// # Errors
    /// `22P02` for a label that the enum does not have.
    pub(super) fn rank(&self, enum_type: TypeId, label: &str) -> Result<i64, NodeError> {
        let found = self.enums.get(&enum_type).ok_or_else(|| {
            NodeError::unsupported("SQLite knows an enum only by the fields that bear it")
        })?;
        found
            .labels
            .iter()
            .position(|known| &**known == label)
            .and_then(|rank| i64::try_from(rank).ok())
            .ok_or_else(|| {
                let name = found.name.rsplit('.').next().unwrap_or_default();
                NodeError::statement(
                    "22P02",
                    format!("invalid input value for enum {name}: \"{label}\""),
                )
            })
    }
}

impl EnumLabels for Catalogue {
    fn labels(&self, enum_type: TypeId) -> Option<&[Arc<str>]> {
        self.enums.get(&enum_type).map(|found| found.labels.as_slice())
    }
}

impl Collection {
    /// Prepares a shape for use.
    ///
    /// # Errors
    /// `0A000` for a CHECK that is not computed here.
    pub(super) fn new(id: i64, shape: CollectionShape) -> Result<Self, NodeError> {
        let mut checks = Vec::new();
        for constraint in &shape.constraints {
            if let ConstraintKind::Check { expr } = &constraint.kind {
                let reads = std::cell::RefCell::new(Vec::new());
                let evaluator = Evaluator::compile(expr, &|field| {
                    let place = shape.fields.iter().position(|known| known.name == field.name)?;
                    reads.borrow_mut().push(place);
                    Some(place)
                })?;
                checks.push(Check {
                    name: constraint.name.clone(),
                    evaluator,
                    reads: reads.into_inner(),
                });
            }
        }
        checks.sort_by(|left, right| left.name.cmp(&right.name));
        let keys: Vec<&String> = shape
            .constraints
            .iter()
            .filter_map(|constraint| match &constraint.kind {
                ConstraintKind::PrimaryKey { fields } => Some(fields),
                _ => None,
            })
            .flatten()
            .collect();
        let not_null = shape
            .fields
            .iter()
            .map(|field| field.not_null || keys.contains(&&field.name))
            .collect();
        Ok(Self { id, shape, checks, not_null })
    }

    /// The place of a field.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.shape.fields.iter().position(|field| field.name == name)
    }

    /// The type of a field.
    pub(super) fn type_of(&self, name: &str) -> Option<TypeId> {
        self.place(name).map(|place| self.shape.fields[place].ty.id)
    }
}
