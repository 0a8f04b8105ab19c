//! INSERT … ON CONFLICT. MySQL's ON DUPLICATE KEY UPDATE answers to any unique index; PostgreSQL's to the one that is named.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::Conflict;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::Field;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;

use super::catalogue::{Catalogue, Collection};
use super::constraint::test;
use super::error::is_duplicate;
use super::layout::{ROW, quoted};
use super::statement::Statement;
use super::write::{Answer, PreparedInsert, Record, columns_written};

/// The source of the row proposed for insertion.
const EXCLUDED: &str = "excluded";

/// How often a record is tried again that somebody else inserts and removes.
const TRIES: usize = 100;

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
        let names = columns_written(collection);
        let row = vec!["?"; names.len()].join(", ");
        let text =
            format!("INSERT INTO {} ({}) VALUES ({row})", collection.table(), names.join(", "));
        let mut touched: HashSet<u64> = HashSet::new();
        let mut inserted = Vec::new();
        let mut events = Vec::new();
        let mut affected = 0;
        for record in records {
            test(collection, &record, &self.context)?;
            let mut tries = 0;
            loop {
                if let Some(old) = self.in_the_way(collection, conflict, &record).await? {
                    if conflict.nothing {
                        break;
                    }
                    if touched.contains(&old.row) {
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
                        break;
                    }
                    let mut new = old.clone();
                    for (place, value) in &conflict.set {
                        new.values[*place] = value.eval(&both, &self.params, &self.context)?;
                    }
                    self.change(collection, &old, &new, &mut events).await?;
                    touched.insert(new.row);
                    self.answer_insert(&new.values, insert, answer)?;
                    affected += 1;
                    break;
                }
                let values = self.forms(collection, &record)?;
                match self.run(&text, values).await {
                    Ok(done) => {
                        touched.insert(done.row);
                        self.answer_insert(&record, insert, answer)?;
                        inserted.push(record);
                        affected += 1;
                        break;
                    }
                    Err(error) if is_duplicate(&error) && tries < TRIES => {
                        // Somebody else's record came in between, or an index refuses that nobody named.
                        let records = std::slice::from_ref(&record);
                        let found = self.find_duplicate(collection, records, None).await?;
                        let again = self.in_the_way(collection, conflict, &record).await?.is_some();
                        match found {
                            Some((_, error)) if !again => return Err(error),
                            _ => tries += 1,
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.refer_all(collection, &inserted).await?;
        self.settle(events).await?;
        Ok(affected)
    }

    /// The record that has a key of this one, by one of the indexes that ON CONFLICT answers to; it is locked.
    async fn in_the_way(
        &mut self,
        collection: &Collection,
        conflict: &PreparedConflict,
        record: &[Value],
    ) -> Result<Option<Record>, NodeError> {
        for place in &conflict.arbiters {
            let unique = &collection.uniques[*place];
            let condition = collection.condition(unique, record, &self.context)?;
            let Some((condition, values)) = condition else { continue };
            let found = self.select_for_update(collection, &condition, values).await?;
            if let Some(found) = found.into_iter().next() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The records under a condition, locked.
    pub(super) async fn select_for_update(
        &mut self,
        collection: &Collection,
        condition: &str,
        values: Vec<Raw>,
    ) -> Result<Vec<Record>, NodeError> {
        let mut columns = vec![ROW.to_owned()];
        columns.extend(collection.layout.columns.iter().map(|column| quoted(&column.name)));
        let text = format!(
            "SELECT {} FROM {} WHERE {condition} FOR UPDATE",
            columns.join(", "),
            collection.table()
        );
        self.find_by(collection, &text, values).await
    }
}
