//! What records that are there must keep when a constraint comes.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, ConstraintKind, ConstraintShape};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;

use super::Definer;
use crate::driver::mysql::catalogue::Collection;
use crate::driver::mysql::constraint::key_text;
use crate::driver::mysql::layout::{ROW, quoted};
use crate::driver::mysql::value::load;
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
        let Some(column) = collection.column(field) else {
            return field_of(shape, field).map(|_| ());
        };
        let text = format!(
            "SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1",
            collection.table(),
            quoted(&column.name)
        );
        let mut found = false;
        self.look(&[collection], &text, |_| {
            found = true;
            Ok(())
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
        self.change_shape(found, to, found.layout.columns.clone(), None).await?;
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
        let mut names = vec![ROW.to_owned()];
        names.extend(collection.layout.columns.iter().map(|column| quoted(&column.name)));
        let text = format!("SELECT {} FROM {}", names.join(", "), collection.table());
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let context = Arc::clone(&self.statement.context);
        self.look(&[collection], &text, |row| {
            let record = row[1..]
                .iter()
                .zip(&collection.shape.fields)
                .map(|(raw, field)| load(raw, field.ty.id, &catalogue))
                .collect::<Result<Vec<_>, _>>()?;
            for check in &checks {
                if check.evaluator.eval(&record, &[], &context)? == Value::Bool(false) {
                    return Err(violated_by_some_row(&collection.shape, &check.name));
                }
            }
            Ok(())
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
            let mut joined = Vec::new();
            let mut present = Vec::new();
            for (field, other) in fields.iter().zip(references_fields) {
                let families =
                    (child.type_of(field).and_then(family), parent.type_of(other).and_then(family));
                let (Some(own), Some(theirs)) = (child.column(field), parent.column(other)) else {
                    continue;
                };
                if families.0.is_none() || families.0 != families.1 {
                    return Err(NodeError::unsupported(format!(
                        "MySQL does not compare the key columns \"{field}\" and \"{other}\" of foreign key constraint \"{}\"",
                        constraint.name
                    )));
                }
                joined.push(format!("p.{} = c.{}", quoted(&theirs.key()), quoted(&own.key())));
                present.push(format!("c.{} IS NOT NULL", quoted(&own.name)));
            }
            let names: Vec<String> = fields
                .iter()
                .filter_map(|field| child.column(field))
                .map(|column| format!("c.{}", quoted(&column.name)))
                .collect();
            let text = format!(
                "SELECT {} FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}) LIMIT 1",
                names.join(", "),
                child.table(),
                present.join(" AND "),
                parent.table(),
                joined.join(" AND ")
            );
            let catalogue = self.statement.catalogue.with_enums_of(&child.shape);
            let types: Vec<TypeId> =
                fields.iter().filter_map(|field| child.type_of(field)).collect();
            let mut lacking: Option<Vec<Value>> = None;
            self.look(&[child, &parent], &text, |row| {
                let values = row.iter().zip(&types).map(|(raw, ty)| load(raw, *ty, &catalogue));
                lacking = Some(values.collect::<Result<_, _>>()?);
                Ok(())
            })
            .await?;
            if let Some(values) = lacking {
                let key = key_text(child, fields, &values, &self.statement.context);
                return Err(lacks_key(&child.shape, &constraint.name, &key, references_label));
            }
        }
        Ok(())
    }
}
