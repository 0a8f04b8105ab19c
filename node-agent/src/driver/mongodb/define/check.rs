//! What records that are there have to satisfy: NOT NULL, CHECKs and foreign keys.

use std::collections::HashMap;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, ConstraintKind, ConstraintShape};
use dataman_pg::value::Value;
use mongodb::bson::{Bson, Document, doc};

use super::{Definer, PAGE};
use crate::driver::mongodb::catalogue::Collection;
use crate::driver::mongodb::constraint::{key_bytes, key_text, values_of};
use crate::driver::mongodb::layout::{Form, Place};
use crate::driver::mongodb::reference::key_filter;
use crate::driver::mongodb::statement::find;
use crate::driver::sql::change::{
    constraint_of, contains_nulls, field_of, lacks_key, violated_by_some_row,
};
use crate::driver::sql::stored::family;

impl Definer<'_, '_> {
    pub(super) async fn check_not_null(
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

    pub(super) async fn add_constraint(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
    ) -> Result<(), NodeError> {
        let constraint = constraint_of(to, name)?;
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
    pub(super) async fn check_records(
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
                    return Err(violated_by_some_row(&collection.shape, &check.name));
                }
            }
            Ok(true)
        })
        .await
    }

    /// Looks at foreign keys: that they can be enforced, and that the records keep them.
    pub(super) async fn check_foreign_keys(
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
                return Err(lacks_key(&child.shape, &constraint.name, &key, references_label));
            }
        }
        Ok(())
    }
}
