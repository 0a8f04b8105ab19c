//! INSERT … ON CONFLICT: what is in the way is looked for before it is met, since a refusal by an index ends a transaction.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::Conflict;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::Field;
use dataman_pg::value::Value;
use mongodb::bson::Bson;

use super::catalogue::{Catalogue, Collection};
use super::constraint::test;
use super::statement::Statement;
use super::write::{Answer, PreparedInsert, Record};

/// The source of the row proposed for insertion.
const EXCLUDED: &str = "excluded";

/// ON CONFLICT made ready.
#[derive(Debug)]
pub(super) struct PreparedConflict {
    /// The places of the unique constraints and indexes that it answers to.
    arbiters: Vec<usize>,
    /// DO UPDATE: what is set, over the old record and the proposed one.
    set: Vec<(usize, Evaluator)>,
    filter: Option<Evaluator>,
    nothing: bool,
}

impl PreparedConflict {
    pub(super) fn new(
        conflict: &Conflict,
        collection: &Collection,
        alias: &str,
        catalogue: &Catalogue,
    ) -> Result<Self, NodeError> {
        let mut wanted = conflict.fields.clone();
        wanted.sort();
        let answers = |unique: &super::catalogue::Unique| match &conflict.constraint {
            Some(name) => unique.name == *name || unique.owner == *name,
            None if wanted.is_empty() => true,
            None => {
                let mut fields = unique.fields.clone().unwrap_or_default();
                fields.sort();
                fields == wanted && unique.filter.is_none()
            }
        };
        let arbiters: Vec<usize> = (0..collection.uniques.len())
            .filter(|place| answers(&collection.uniques[*place]))
            .collect();
        if arbiters.is_empty() && (!wanted.is_empty() || conflict.constraint.is_some()) {
            return Err(NodeError::statement(
                "42P10",
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ));
        }
        let width = collection.shape.fields.len();
        let place = |field: &Field| {
            let place = collection.place(&field.name)?;
            match field.source.as_str() {
                source if source == alias => Some(place),
                EXCLUDED => Some(width + place),
                _ => None,
            }
        };
        let set = conflict
            .set
            .iter()
            .map(|(name, value)| {
                let field = collection.place(name).ok_or_else(|| {
                    NodeError::statement("42703", format!("column \"{name}\" does not exist"))
                })?;
                Ok((field, catalogue.compile(value, &place)?))
            })
            .collect::<Result<_, NodeError>>()?;
        Ok(Self {
            arbiters,
            set,
            filter: conflict
                .filter
                .as_ref()
                .map(|filter| catalogue.compile(filter, &place))
                .transpose()?,
            nothing: conflict.nothing,
        })
    }
}

impl Statement<'_> {
    /// Inserts each record, or does with the record that is in its way what ON CONFLICT says. Answers the records inserted and
    /// changed.
    pub(super) async fn insert_or_resolve(
        &mut self,
        collection: &Arc<Collection>,
        conflict: &PreparedConflict,
        records: Vec<Vec<Value>>,
        insert: &PreparedInsert,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        // The identities that the driver gives sort by when they were given; those of others are looked through.
        let mut touched: HashSet<String> = HashSet::new();
        let mut inserted = Vec::new();
        let mut events = Vec::new();
        let mut affected = 0;
        for record in records {
            test(collection, &record, &self.context)?;
            let Some(old) = self.in_the_way(collection, conflict, &record).await? else {
                // An index may refuse it that nobody named.
                let records = std::slice::from_ref(&record);
                if let Some((_, error)) = self.find_duplicate(collection, records, None).await? {
                    return Err(error);
                }
                let ids =
                    self.insert_records(collection, records).await.map_err(|(error, _)| error)?;
                touched.extend(ids.iter().map(sign));
                self.answer_insert(&record, insert, answer)?;
                inserted.push(record);
                affected += 1;
                continue;
            };
            if conflict.nothing {
                continue;
            }
            if touched.contains(&sign(&old.id)) {
                return Err(NodeError::statement(
                    "21000",
                    "ON CONFLICT DO UPDATE command cannot affect row a second time",
                )
                .with_hint(
                    "Ensure that no rows proposed for insertion within the same command have \
                     duplicate constrained values.",
                ));
            }
            let mut both = old.values.clone();
            both.extend(record.iter().cloned());
            if let Some(filter) = &conflict.filter
                && !filter.holds(&both, &self.params, &self.context)?
            {
                continue;
            }
            let mut new = old.values.clone();
            for (place, value) in &conflict.set {
                new[*place] = value.eval(&both, &self.params, &self.context)?;
            }
            self.change(collection, &old, &new, &mut events).await?;
            touched.insert(sign(&old.id));
            self.answer_insert(&new, insert, answer)?;
            affected += 1;
        }
        self.refer_all(collection, &inserted).await?;
        self.settle(events).await?;
        Ok(affected)
    }

    /// The record that has a key of this one, by one of the indexes that ON CONFLICT answers to.
    async fn in_the_way(
        &mut self,
        collection: &Collection,
        conflict: &PreparedConflict,
        record: &[Value],
    ) -> Result<Option<Record>, NodeError> {
        for place in &conflict.arbiters {
            let unique = &collection.uniques[*place];
            let condition = collection.condition(unique, record, &self.context)?;
            let Some(filter) = condition else { continue };
            let found = self.find_by(collection, filter).await?;
            if let Some(found) = found.into_iter().next() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// An identity as something to compare by.
fn sign(id: &Bson) -> String {
    id.to_string()
}
