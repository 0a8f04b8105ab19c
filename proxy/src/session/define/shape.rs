//! A collection of the metadata → its shape on one shard.

use dataman_metadata::schema::{self, Collection, FieldDefault};
use dataman_metadata::snapshot::physical_name;
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind, ConstraintShape, Definition, FieldShape, ForeignKeyAction,
    IndexShape,
};
use dataman_node_protocol::query::{SortKey, Target};
use dataman_pg::expr::{Expr, Field};
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};

use super::draft::{Draft, Result, When};
use super::expression::RECORD;
use crate::plan::bind;
use crate::scatter::contract::ShardRef;

/// The type of a field.
pub(super) fn type_of(field: &schema::Field) -> TypeRef {
    TypeRef { id: TypeId(field.type_oid), typmod: field.typmod }
}

impl Draft<'_> {
    /// The place of a table on a shard.
    pub(super) fn target(&self, schema: &str, name: &str, shard: &ShardRef) -> Target {
        Target {
            db: self.database.id.0.clone(),
            shard_instance: self.instance(shard.shard),
            collection: physical_name(schema, name),
            adopted: self.database.collection(schema, name).and_then(bind::adopted_of),
        }
    }

    /// The shape of a table, for the shard that its target is filled in for later.
    pub(super) fn shape(
        &self,
        schema: &str,
        name: &str,
        collection: &Collection,
    ) -> Result<CollectionShape> {
        let fields = collection.fields.iter().map(|field| self.field_shape(field)).collect();
        let mut constraints = Vec::new();
        for constraint in &collection.constraints {
            let kind = self.constraint_shape(schema, name, collection, &constraint.kind)?;
            constraints.push(ConstraintShape { name: constraint.name.clone(), kind });
        }
        let mut indexes = Vec::new();
        for index in &collection.indexes {
            indexes.push(self.index_shape(schema, name, collection, index)?);
        }
        let target = Target {
            db: self.database.id.0.clone(),
            shard_instance: String::new(),
            collection: physical_name(schema, name),
            adopted: bind::adopted_of(collection),
        };
        Ok(CollectionShape { target, label: name.to_owned(), fields, constraints, indexes })
    }

    fn field_shape(&self, field: &schema::Field) -> FieldShape {
        let enum_labels = self
            .database
            .enum_by_oid(field.type_oid)
            .map(|(schema, name, found)| (physical_name(schema, name), found.labels.clone()));
        FieldShape {
            name: field.name.clone(),
            ty: type_of(field),
            enum_labels,
            not_null: field.not_null,
        }
    }

    fn constraint_shape(
        &self,
        schema: &str,
        name: &str,
        collection: &Collection,
        kind: &schema::ConstraintKind,
    ) -> Result<ConstraintKind> {
        Ok(match kind {
            schema::ConstraintKind::PrimaryKey { fields } => {
                ConstraintKind::PrimaryKey { fields: fields.clone() }
            }
            schema::ConstraintKind::Unique { fields, nulls_not_distinct } => {
                ConstraintKind::Unique {
                    fields: fields.clone(),
                    nulls_not_distinct: *nulls_not_distinct,
                }
            }
            schema::ConstraintKind::Check { expr } => {
                let bound = self.bind_stored(expr, schema, name, collection)?;
                ConstraintKind::Check { expr: self.condition(bound, "CHECK")? }
            }
            schema::ConstraintKind::ForeignKey {
                fields,
                references,
                references_fields,
                on_delete,
                on_update,
            } => ConstraintKind::ForeignKey {
                fields: fields.clone(),
                references: physical_name(&references.0, &references.1),
                references_label: references.1.clone(),
                references_fields: references_fields.clone(),
                on_delete: action(on_delete),
                on_update: action(on_update),
            },
        })
    }

    /// The shape of an index.
    pub(super) fn index_shape(
        &self,
        schema: &str,
        name: &str,
        collection: &Collection,
        index: &schema::Index,
    ) -> Result<IndexShape> {
        let mut keys = Vec::new();
        for key in &index.keys {
            let expr = match collection.field(&key.expr) {
                Some(field) => Expr::Field(Field {
                    source: RECORD.to_owned(),
                    name: field.name.clone(),
                    ty: type_of(field),
                }),
                None => self.bind_stored(&key.expr, schema, name, collection)?,
            };
            keys.push(SortKey { expr, descending: key.descending, nulls_first: key.nulls_first });
        }
        let filter = match &index.filter {
            Some(text) => {
                let bound = self.bind_stored(text, schema, name, collection)?;
                Some(self.condition(bound, "WHERE")?)
            }
            None => None,
        };
        Ok(IndexShape {
            name: physical_name(schema, &index.name),
            unique: index.unique,
            nulls_not_distinct: index.nulls_not_distinct,
            method: index.method.clone(),
            keys,
            include: index.include.clone(),
            filter,
        })
    }

    /// Refuses types that a shard cannot store, before anything is made.
    pub(super) fn check_stored(&self, collection: &Collection) -> Result<()> {
        for shard in self.shards_with(collection) {
            let Some(capability) = self.capabilities.of(&shard) else { continue };
            for field in &collection.fields {
                let of_enums = self.database.schemas.values().any(|schema| {
                    schema.enums.values().any(|found| found.array_oid.0 == field.type_oid)
                });
                if of_enums {
                    return Err(PgError::unsupported(format!(
                        "column \"{}\", an array of enums, is not supported",
                        field.name
                    ))
                    .with_hint("Use text[] and a CHECK constraint."));
                }
                if let Err(reason) = capability.stores(type_of(field)) {
                    return Err(PgError::unsupported(format!(
                        "column \"{}\" of type {} cannot be stored in {}: {reason}",
                        field.name,
                        self.type_text(type_of(field)),
                        capability.engine()
                    ))
                    .with_hint("Choose another type, or a datastore on PostgreSQL."));
                }
            }
        }
        Ok(())
    }

    /// Prepares shards for a table: the namespace and the enums of its fields are there.
    pub(super) fn prepare_shards(&mut self, collection: &Collection) {
        for shard in self.shards_with(collection) {
            let shard_instance = self.instance(shard.shard);
            self.step(
                When::First,
                shard.clone(),
                Definition::CreateInstance { shard_instance: shard_instance.clone() },
            );
            for field in &collection.fields {
                if let Some((schema, name, found)) = self.database.enum_by_oid(field.type_oid) {
                    let definition = Definition::CreateEnum {
                        shard_instance: shard_instance.clone(),
                        name: physical_name(schema, name),
                        labels: found.labels.clone(),
                    };
                    self.step(When::Before, shard.clone(), definition);
                }
            }
        }
    }

    /// The path of the sequence of a field, apart: schema and name.
    pub(super) fn sequence_of(&self, field: &schema::Field) -> Option<(String, String)> {
        let path = field.default.sequence()?;
        let (schema, name, _) = self.database.sequence_at(path)?;
        Some((schema.to_owned(), name.to_owned()))
    }
}

/// Whether a field's value is the sequence's.
pub(super) fn is_identity(field: &schema::Field) -> bool {
    matches!(field.default, FieldDefault::Identity { .. })
}

fn action(words: &str) -> ForeignKeyAction {
    match words {
        "restrict" => ForeignKeyAction::Restrict,
        "cascade" => ForeignKeyAction::Cascade,
        "set null" => ForeignKeyAction::SetNull,
        "set default" => ForeignKeyAction::SetDefault,
        _ => ForeignKeyAction::NoAction,
    }
}
