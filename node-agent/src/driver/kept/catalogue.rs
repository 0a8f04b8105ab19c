//! What a shard instance holds, in dataman's words: shapes and layouts, read from where the instance keeps them, with the
//! constraints ready to be computed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, ConstraintKind, ConstraintShape};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Constant, Expr};
use dataman_pg::types::TypeId;
use dataman_pg::value::{EnumLabel, Value};
use serde::{Deserialize, Serialize};

use super::Store;
use crate::driver::sql::stored::EnumLabels;
use crate::driver::sql::user_name;

/// What the instance keeps of a collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Body<L> {
    /// The shape.
    pub(crate) shape: CollectionShape,
    /// Where it lies.
    pub(crate) layout: L,
}

/// One index of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// The constraint's or index's name.
    pub(crate) owner: String,
    /// Its name in the engine.
    pub(crate) name: String,
    /// The column with the key's digest, where that is what the index is over.
    pub(crate) digest: Option<String>,
    /// The index over the fields that serves the search beside the digest's.
    pub(crate) search: Option<String>,
    /// Whether the engine has the index.
    pub(crate) is_made: bool,
}

/// Everything a shard instance holds.
#[derive(Debug)]
pub(crate) struct Catalogue<S: Store> {
    collections: BTreeMap<String, Arc<Collection<S>>>,
    enums: HashMap<TypeId, EnumShape>,
}

/// One collection.
#[derive(Debug)]
pub(crate) struct Collection<S: Store> {
    /// Its identity in the catalogue.
    pub(crate) id: S::Id,
    /// Its shape.
    pub(crate) shape: CollectionShape,
    /// Where it lies.
    pub(crate) layout: S::Layout,
    /// The CHECK constraints in the order in which PostgreSQL tests them: by name.
    pub(crate) checks: Vec<Check>,
    /// For each field whether NULL is refused.
    pub(crate) not_null: Vec<bool>,
    /// The unique constraints and indexes, the primary key first and then as they were made.
    pub(crate) uniques: Vec<Unique>,
}

/// A CHECK constraint, ready to be tested.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: String,
    /// The condition over the whole record.
    pub(crate) evaluator: Evaluator,
}

/// A unique constraint or index, ready to be computed.
#[derive(Debug)]
pub(crate) struct Unique {
    /// Its name, as users know it.
    pub(crate) name: String,
    /// The name in the shape.
    pub(crate) owner: String,
    /// The index's name in the engine.
    pub(crate) index: String,
    /// The column with the key's digest; none where the index is over the fields' own columns.
    pub(crate) digest: Option<String>,
    /// The keys over the whole record.
    pub(crate) keys: Vec<Evaluator>,
    /// The keys' fields; none when one is an expression.
    pub(crate) fields: Option<Vec<String>>,
    /// The records that take part; none for all.
    pub(crate) filter: Option<Evaluator>,
    /// A NULL equals another one.
    pub(crate) nulls_not_distinct: bool,
}

#[derive(Debug)]
struct EnumShape {
    name: String,
    labels: Vec<Arc<str>>,
}

impl<S: Store> Default for Catalogue<S> {
    fn default() -> Self {
        Self { collections: BTreeMap::new(), enums: HashMap::new() }
    }
}

impl<S: Store> Catalogue<S> {
    /// Reads the catalogue from what the instance keeps of each collection: its identity and its body.
    ///
    /// # Errors
    /// `XX001` for a body that is none.
    pub(crate) fn read(bodies: impl Iterator<Item = (S::Id, Vec<u8>)>) -> Result<Self, NodeError> {
        let mut read = Vec::new();
        let mut catalogue = Self::default();
        for (id, body) in bodies {
            let body: Body<S::Layout> = serde_json::from_slice(&body).map_err(|error| {
                NodeError::statement(
                    "XX001",
                    format!("the shape of a collection in {} cannot be read: {error}", S::ENGINE),
                )
            })?;
            catalogue.add_enums(&body.shape);
            read.push((id, body));
        }
        for (id, body) in read {
            let collection = Collection::new(id, body, &catalogue)?;
            let name = collection.shape.target.collection.clone();
            catalogue.collections.insert(name, Arc::new(collection));
        }
        Ok(catalogue)
    }

    /// The same with the enums of one shape more.
    pub(crate) fn with_enums_of(&self, shape: &CollectionShape) -> Self {
        let enums = self.enums.iter().map(|(id, found)| {
            (*id, EnumShape { name: found.name.clone(), labels: found.labels.clone() })
        });
        let mut catalogue = Self { collections: self.collections.clone(), enums: enums.collect() };
        catalogue.add_enums(shape);
        catalogue
    }

    fn add_enums(&mut self, shape: &CollectionShape) {
        for field in &shape.fields {
            if let Some((name, labels)) = &field.enum_labels {
                let labels = labels.iter().map(|label| Arc::from(label.as_str())).collect();
                self.enums.insert(field.ty.id, EnumShape { name: name.clone(), labels });
            }
        }
    }

    /// Finds a collection by its physical name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Collection<S>>> {
        self.collections.get(name)
    }

    /// Finds a collection that a statement names.
    ///
    /// # Errors
    /// `42P01`.
    pub(crate) fn get(&self, name: &str) -> Result<&Arc<Collection<S>>, NodeError> {
        self.find(name).ok_or_else(|| {
            NodeError::statement(
                "42P01",
                format!("relation \"{}\" does not exist", user_name(name).1),
            )
        })
    }

    /// All collections by name.
    pub(crate) fn collections(&self) -> impl Iterator<Item = &Arc<Collection<S>>> {
        self.collections.values()
    }

    /// The foreign keys that refer to a collection.
    pub(crate) fn referring<'c>(
        &'c self,
        name: &'c str,
    ) -> impl Iterator<Item = (&'c Arc<Collection<S>>, &'c ConstraintShape)> {
        self.collections().flat_map(move |collection| {
            let refers = move |constraint: &&ConstraintShape| {
                matches!(&constraint.kind,
                    ConstraintKind::ForeignKey { references, .. } if references == name)
            };
            let constraints = collection.shape.constraints.iter().filter(refers);
            constraints.map(move |constraint| (collection, constraint))
        })
    }

    /// An enum's name, for messages.
    pub(crate) fn enum_name(&self, ty: TypeId) -> &str {
        let name = self.enums.get(&ty).map_or("", |found| found.name.as_str());
        name.rsplit('.').next().unwrap_or_default()
    }

    /// The value of an enum's label.
    ///
    /// # Errors
    /// `22P02` for an unknown one; `0A000` where no field bears the enum.
    pub(crate) fn label(&self, ty: TypeId, text: &str) -> Result<Value, NodeError> {
        let known = self.labels(ty).ok_or_else(|| {
            let engine = S::ENGINE;
            NodeError::unsupported(format!(
                "{engine} knows an enum only by the fields that bear it"
            ))
        })?;
        let found = known.iter().zip(0_u32..).find(|(known, _)| &***known == text);
        let (label, rank) = found.ok_or_else(|| {
            let name = self.enum_name(ty);
            NodeError::statement(
                "22P02",
                format!("invalid input value for enum {name}: \"{text}\""),
            )
        })?;
        Ok(Value::Enum(EnumLabel { enum_type: ty, rank, label: label.clone() }))
    }

    /// Compiles an expression; an enum's labels in it become values.
    ///
    /// # Errors
    /// `0A000` for what is not computed here; `22P02` for an unknown label.
    pub(crate) fn compile(
        &self,
        expr: &Expr,
        place: &dyn Fn(&dataman_pg::expr::Field) -> Option<usize>,
    ) -> Result<Evaluator, NodeError> {
        let mut expr = expr.clone();
        self.resolve_labels(&mut expr)?;
        Ok(Evaluator::compile(&expr, place)?)
    }

    /// Makes values of an enum's labels.
    pub(crate) fn resolve_labels(&self, expr: &mut Expr) -> Result<(), NodeError> {
        if let Expr::Const(Constant { value, ty }) = expr
            && let Value::Text(text) = &value
            && ty.id.is_user()
        {
            *value = self.label(ty.id, &text.clone())?;
        }
        let mut result = Ok(());
        expr.for_each_child_mut(&mut |child| {
            if result.is_ok() {
                result = self.resolve_labels(child);
            }
        });
        result
    }
}

impl<S: Store> EnumLabels for Catalogue<S> {
    fn labels(&self, enum_type: TypeId) -> Option<&[Arc<str>]> {
        self.enums.get(&enum_type).map(|found| found.labels.as_slice())
    }
}

impl<S: Store> Collection<S> {
    /// Prepares a shape for use.
    ///
    /// # Errors
    /// `0A000` for a CHECK or key that is not computed here.
    pub(crate) fn new(
        id: S::Id,
        body: Body<S::Layout>,
        catalogue: &Catalogue<S>,
    ) -> Result<Self, NodeError> {
        let Body { shape, layout } = body;
        let place = |field: &dataman_pg::expr::Field| {
            shape.fields.iter().position(|known| known.name == field.name)
        };
        let mut checks = Vec::new();
        let mut uniques = Vec::new();
        let index = |owner: &str| {
            S::indexes(&layout).iter().find(|index| index.owner == owner).cloned().ok_or_else(
                || {
                    NodeError::statement(
                        "XX001",
                        format!("the layout in {} lacks index \"{owner}\"", S::ENGINE),
                    )
                },
            )
        };
        for constraint in &shape.constraints {
            match &constraint.kind {
                ConstraintKind::Check { expr } => {
                    let evaluator = catalogue.compile(expr, &place)?;
                    checks.push(Check { name: constraint.name.clone(), evaluator });
                }
                ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } => {
                    let is_primary = matches!(constraint.kind, ConstraintKind::PrimaryKey { .. });
                    let index = index(&constraint.name)?;
                    let keys = fields
                        .iter()
                        .map(|name| {
                            let ty = shape.fields.iter().find(|field| field.name == *name);
                            let ty = ty.map(|field| field.ty).ok_or_else(|| lacks(name))?;
                            let field = dataman_pg::expr::Field {
                                source: String::new(),
                                name: name.clone(),
                                ty,
                            };
                            Ok(Evaluator::compile(&Expr::Field(field), &place)?)
                        })
                        .collect::<Result<_, NodeError>>()?;
                    let unique = Unique {
                        name: constraint.name.clone(),
                        owner: constraint.name.clone(),
                        index: index.name,
                        digest: index.digest,
                        keys,
                        fields: Some(fields.clone()),
                        filter: None,
                        nulls_not_distinct: matches!(
                            constraint.kind,
                            ConstraintKind::Unique { nulls_not_distinct: true, .. }
                        ),
                    };
                    uniques.insert(if is_primary { 0 } else { uniques.len() }, unique);
                }
                ConstraintKind::ForeignKey { .. } => {}
            }
        }
        for shown in shape.indexes.iter().filter(|index| index.unique) {
            let index = index(&shown.name)?;
            let fields = shown.keys.iter().map(|key| match &key.expr {
                Expr::Field(field) => Some(field.name.clone()),
                _ => None,
            });
            uniques.push(Unique {
                name: user_name(&shown.name).1,
                owner: shown.name.clone(),
                index: index.name,
                digest: index.digest,
                keys: shown
                    .keys
                    .iter()
                    .map(|key| catalogue.compile(&key.expr, &place))
                    .collect::<Result<_, _>>()?,
                fields: fields.collect(),
                filter: shown
                    .filter
                    .as_ref()
                    .map(|filter| catalogue.compile(filter, &place))
                    .transpose()?,
                nulls_not_distinct: shown.nulls_not_distinct,
            });
        }
        checks.sort_by(|left, right| left.name.cmp(&right.name));
        let primary: Vec<&String> = shape
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
            .map(|field| field.not_null || primary.contains(&&field.name))
            .collect();
        Ok(Self { id, shape, layout, checks, not_null, uniques })
    }

    /// The place of a field.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.shape.fields.iter().position(|field| field.name == name)
    }

    /// The type of a field.
    pub(crate) fn type_of(&self, name: &str) -> Option<TypeId> {
        self.place(name).map(|place| self.shape.fields[place].ty.id)
    }
}

fn lacks(name: &str) -> NodeError {
    NodeError::statement("42703", format!("column \"{name}\" of a key does not exist"))
}
