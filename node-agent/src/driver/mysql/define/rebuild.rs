//! A collection's records in another table. MySQL lets nobody change a table that an open transaction has read or written, and a
//! unique index that is dropped in a transaction would be in its way to its end. So the transaction copies the records, as it sees
//! them, to a table of the new shape; the one that it rolls back or leaves behind is removed when it ends.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{AlterStep, CollectionShape};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::Field;
use dataman_pg::value::Value;

use super::Definer;
use super::index::wanted;
use crate::driver::mysql::catalogue::Collection;
use crate::driver::mysql::write::Record;
use crate::driver::sql::change::{contains_nulls, field_of, missing, not_unique};
use crate::driver::sql::define::OLD;

/// Where the value of a field comes from.
enum Origin {
    /// The field at a place of the old record.
    Old(usize),
    /// The same value for all.
    Value(Value),
    /// Computed over the old record.
    Computed(Box<Evaluator>),
}

impl Definer<'_, '_> {
    /// Whether the index or constraint of a name can be made or dropped in another table only.
    pub(super) fn must_rebuild(&self, from: &Collection, to: &CollectionShape, name: &str) -> bool {
        match from.layout.indexes.iter().find(|index| index.owner == name) {
            // It is dropped when the transaction has ended; what it is over may be alike before.
            Some(index) => {
                let is_unique = from.uniques.iter().any(|unique| unique.owner == name);
                self.in_block && is_unique && index.is_made && index.digest.is_none()
            }
            None => self.is_touched(from) && wanted(to).iter().any(|wanted| wanted.owner == name),
        }
    }

    /// Brings a collection to a shape by copying its records.
    ///
    /// # Errors
    /// What the step raises for the records.
    pub(super) async fn rebuild(
        &mut self,
        from: &Arc<Collection>,
        to: &CollectionShape,
        step: Option<&AlterStep>,
    ) -> Result<(), NodeError> {
        let origins = self.origins(from, to, step)?;
        let layout = self.make_table(to).await?;
        let (collection, _) = self.collection(from.id, to, &layout)?;
        self.leftover.touched.push(from.table());
        self.leftover.touched.push(collection.table());
        let mut after = 0;
        loop {
            let page = self.page(from, after).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            if let Some(AlterStep::AddField { name, fill: _ }) = step
                && field_of(to, name)?.not_null
                && matches!(origins.last(), Some(Origin::Value(Value::Null)))
            {
                return Err(contains_nulls(to, name));
            }
            let records = page
                .iter()
                .map(|record| self.renewed(record, &origins))
                .collect::<Result<Vec<_>, _>>()?;
            self.statement.insert_records(&collection, &records).await.map_err(
                |(error, _)| match (
                    error.sqlstate.as_str(),
                    &error.object.constraint,
                    &error.detail,
                ) {
                    ("23505", Some(index), detail) => {
                        let failure = not_unique(to, index);
                        let key = detail.as_deref().unwrap_or_default();
                        match key.strip_suffix(" already exists.") {
                            Some(key) => failure.with_detail(format!("{key} is duplicated.")),
                            None => failure,
                        }
                    }
                    _ => error,
                },
            )?;
        }
        self.leftover.finish.push(format!("DROP TABLE IF EXISTS {}", from.table()));
        self.save(Some(from.id), to, &layout).await?;
        if let Some(AlterStep::FieldType { .. }) = step {
            // The constraints that read the field are looked at again, as PostgreSQL does.
            self.check_records(&collection, None).await?;
        }
        if let Some(AlterStep::AddConstraint { name }) = step {
            for unique in collection.uniques.iter().filter(|unique| unique.owner == *name) {
                for field in unique.fields.iter().flatten() {
                    if collection.place(field).is_some_and(|place| collection.not_null[place]) {
                        self.check_not_null(&collection, to, field).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn origins(
        &self,
        from: &Collection,
        to: &CollectionShape,
        step: Option<&AlterStep>,
    ) -> Result<Vec<Origin>, NodeError> {
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let origin = |name: &String| {
            Ok(match step {
                Some(AlterStep::AddField { name: added, fill }) if added == name => {
                    let value = catalogue.compile(fill, &|_| None)?;
                    Origin::Value(value.eval(&[], &[], &self.statement.context)?)
                }
                Some(AlterStep::FieldType { name: changed, using }) if changed == name => {
                    let place = |read: &Field| {
                        if read.source == OLD { from.place(&read.name) } else { None }
                    };
                    Origin::Computed(Box::new(catalogue.compile(using, &place)?))
                }
                _ => Origin::Old(from.place(name).ok_or_else(|| missing(&to.target))?),
            })
        };
        to.fields.iter().map(|field| origin(&field.name)).collect()
    }

    fn renewed(&self, old: &Record, origins: &[Origin]) -> Result<Vec<Value>, NodeError> {
        origins
            .iter()
            .map(|origin| {
                Ok(match origin {
                    Origin::Old(place) => old.values[*place].clone(),
                    Origin::Value(value) => value.clone(),
                    Origin::Computed(evaluator) => {
                        evaluator.eval(&old.values, &[], &self.statement.context)?
                    }
                })
            })
            .collect()
    }
}
