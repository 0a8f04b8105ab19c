//! What a shard instance holds, in dataman's words: shapes and layouts, kept in a table of the instance itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, ConstraintKind, ConstraintShape};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Constant, Expr};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use serde::{Deserialize, Serialize};

use super::layout::{self, Column, Layout};
use crate::driver::sql::stored::EnumLabels;
use crate::driver::sql::user_name;

/// The catalogue's table.
pub(super) const TABLE: &str = "dataman_collection";

/// Its columns. `name` is the collection's physical name, as bytes.
pub(super) const COLUMNS: &str = "id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
     name VARBINARY(255) NOT NULL UNIQUE, body LONGBLOB NOT NULL";

/// What a row of the catalogue's table holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Body {
    /// The shape.
    pub(super) shape: CollectionShape,
    /// Where it lies.
    pub(super) layout: Layout,
}

/// Everything a shard instance holds.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    collections: BTreeMap<String, Arc<Collection>>,
    enums: HashMap<TypeId, EnumShape>,
}

/// One collection.
#[derive(Debug)]
pub(super) struct Collection {
    /// Its number in the catalogue's table.
    pub(super) id: i64,
    /// Its shape.
    pub(super) shape: CollectionShape,
    /// Where it lies.
    pub(super) layout: Layout,
    /// The CHECK constraints in the order in which PostgreSQL tests them: by name.
    pub(super) checks: Vec<Check>,
    /// For each field whether NULL is refused.
    pub(super) not_null: Vec<bool>,
    /// The unique constraints and indexes, the primary key first and then as they were made.
    pub(super) uniques: Vec<Unique>,
}

/// A CHECK constraint, ready to be tested.
#[derive(Debug)]
pub(super) struct Check {
    /// Its name.
    pub(super) name: String,
    /// The condition over the whole record.
    pub(super) evaluator: Evaluator,
}

/// A unique constraint or index, ready to be computed.
#[derive(Debug)]
pub(super) struct Unique {
    /// Its name, as users know it.
    pub(super) name: String,
    /// The name in the shape.
    pub(super) owner: String,
    /// The column with the key's digest; none where the index is over the fields' own columns.
    pub(super) digest: Option<String>,
    /// The keys over the whole record.
    pub(super) keys: Vec<Evaluator>,
    /// The keys' fields; none when one is an expression.
    pub(super) fields: Option<Vec<String>>,
    /// The records that take part; none for all.
    pub(super) filter: Option<Evaluator>,
    /// A NULL equals another one.
    pub(super) nulls_not_distinct: bool,
}

#[derive(Debug)]
struct EnumShape {
    name: String,
    labels: Vec<Arc<str>>,
}

impl Catalogue {
    /// Reads the catalogue from the rows of its table: id and body.
    ///
    /// # Errors
    /// `XX001` for a body that is none.
    pub(super) fn read(rows: impl Iterator<Item = (i64, Vec<u8>)>) -> Result<Self, NodeError> {
        let mut bodies = Vec::new();
        let mut catalogue = Self::default();
        for (id, body) in rows {
            let body: Body = serde_json::from_slice(&body).map_err(|error| {
                NodeError::statement(
                    "XX001",
                    format!("the shape of a collection in MySQL cannot be read: {error}"),
                )
            })?;
            catalogue.add_enums(&body.shape);
            bodies.push((id, body));
        }
        for (id, body) in bodies {
            let collection = Collection::new(id, body, &catalogue)?;
            let name = collection.shape.target.collection.clone();
            catalogue.collections.insert(name, Arc::new(collection));
        }
        Ok(catalogue)
    }

    /// The same with the enums of one shape more.
    pub(super) fn with_enums_of(&self, shape: &CollectionShape) -> Self {
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
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        self.collections.get(name)
    }

    /// Finds a collection that a statement names.
    ///
    /// # Errors
    /// `42P01`.
    pub(super) fn get(&self, name: &str) -> Result<&Arc<Collection>, NodeError> {
        self.find(name).ok_or_else(|| {
            NodeError::statement(
                "42P01",
                format!("relation \"{}\" does not exist", user_name(name).1),
            )
        })
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
            let refers = move |constraint: &&ConstraintShape| {
                matches!(&constraint.kind,
                    ConstraintKind::ForeignKey { references, .. } if references == name)
            };
            let constraints = collection.shape.constraints.iter().filter(refers);
            constraints.map(move |constraint| (collection, constraint))
        })
    }

    /// An enum's name, for messages.
    pub(super) fn enum_name(&self, ty: TypeId) -> &str {
        let name = self.enums.get(&ty).map_or("", |found| found.name.as_str());
        name.rsplit('.').next().unwrap_or_default()
    }

    /// Compiles an expression; an enum's labels in it become values.
    ///
    /// # Errors
    /// `0A000` for what is not computed here; `22P02` for an unknown label.
    pub(super) fn compile(
        &self,
        expr: &Expr,
        place: &dyn Fn(&dataman_pg::expr::Field) -> Option<usize>,
    ) -> Result<Evaluator, NodeError> {
        let mut expr = expr.clone();
        self.resolve_labels(&mut expr)?;
        Ok(Evaluator::compile(&expr, place)?)
    }

    /// Makes values of an enum's labels.
    pub(super) fn resolve_labels(&self, expr: &mut Expr) -> Result<(), NodeError> {
        if let Expr::Const(Constant { value, ty }) = expr
            && let Value::Text(text) = &value
            && ty.id.is_user()
        {
            *value = super::value::label(ty.id, &text.clone(), self)?;
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

impl EnumLabels for Catalogue {
    fn labels(&self, enum_type: TypeId) -> Option<&[Arc<str>]> {
        self.enums.get(&enum_type).map(|found| found.labels.as_slice())
    }
}

impl Collection {
    /// Prepares a shape for use.
    ///
    /// # Errors
    /// `0A000` for a CHECK or key that is not computed here.
    pub(super) fn new(id: i64, body: Body, catalogue: &Catalogue) -> Result<Self, NodeError> {
        let Body { shape, layout } = body;
        let place = |field: &dataman_pg::expr::Field| {
            shape.fields.iter().position(|known| known.name == field.name)
        };
        let mut checks = Vec::new();
        let mut uniques = Vec::new();
        let index = |owner: &str| {
            layout.indexes.iter().find(|index| index.owner == owner).cloned().ok_or_else(|| {
                NodeError::statement(
                    "XX001",
                    format!("the layout in MySQL lacks index \"{owner}\""),
                )
            })
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
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.shape.fields.iter().position(|field| field.name == name)
    }

    /// The type of a field.
    pub(super) fn type_of(&self, name: &str) -> Option<TypeId> {
        self.place(name).map(|place| self.shape.fields[place].ty.id)
    }

    /// The columns of a field.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.place(name).and_then(|place| self.layout.columns.get(place))
    }

    /// The table in SQL, the instance's database before it.
    pub(super) fn table(&self) -> String {
        if let Some(adopted) = &self.layout.adopted {
            let (database, table) = (&adopted.database, &self.layout.table);
            return format!("{}.{}", layout::quoted(database), layout::quoted(table));
        }
        let instance = layout::instance_name(&self.shape.target.shard_instance);
        format!("{}.{}", layout::quoted(&instance), layout::quoted(&self.layout.table))
    }
}

fn lacks(name: &str) -> NodeError {
    NodeError::statement("42703", format!("column \"{name}\" of a key does not exist"))
}
