//! Foreign keys, looked at when the statement's records are written, as PostgreSQL does.
//!
//! A record that refers writes to what it refers to (the field `%lock`); who removes that writes to it, too. So of two
//! transactions that do so at the same time one conflicts, and neither misses what the other did.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{ConstraintKind, ConstraintShape, ForeignKeyAction};
use dataman_pg::value::Value;
use dataman_pg::{Context, order};
use mongodb::bson::{Bson, Document, doc};

use super::catalogue::{Collection, Unique};
use super::constraint::{binary, key_text, values_of};
use super::layout::Form;
use super::read::lock_records;
use super::statement::{Statement, find};
use super::value::{exact, load};
use super::write::Record;

/// Something to look at when the records are written.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A record that refers to a key was made.
    Refer {
        /// The foreign key.
        foreign: ForeignKey,
        /// The values of its fields.
        key: Vec<Value>,
    },
    /// A key that may be referred to went away.
    Orphan {
        /// The foreign key.
        foreign: ForeignKey,
        /// The key before.
        old: Vec<Value>,
        /// The key after; none for a deletion.
        new: Option<Vec<Value>>,
    },
}

/// A foreign key: the collection that refers, and the constraint's place in its shape.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    child: Arc<Collection>,
    name: String,
    fields: Vec<String>,
    references: String,
    references_label: String,
    references_fields: Vec<String>,
    on_delete: ForeignKeyAction,
    on_update: ForeignKeyAction,
}

impl ForeignKey {
    /// The foreign key that a constraint is.
    pub(super) fn of(child: &Arc<Collection>, constraint: &ConstraintShape) -> Option<Self> {
        let ConstraintKind::ForeignKey {
            fields,
            references,
            references_label,
            references_fields,
            on_delete,
            on_update,
        } = &constraint.kind
        else {
            return None;
        };
        Some(Self {
            child: Arc::clone(child),
            name: constraint.name.clone(),
            fields: fields.clone(),
            references: references.clone(),
            references_label: references_label.clone(),
            references_fields: references_fields.clone(),
            on_delete: *on_delete,
            on_update: *on_update,
        })
    }
}

fn same(left: &[Value], right: &[Value]) -> bool {
    left.iter().zip(right).all(|(left, right)| order::compare_nullable(left, right).is_eq())
}

/// The filter of documents whose fields may have these values. Strings that do not compare as their values do are found by the
/// digest of a unique key, where there is one over the same fields; else [`holds`] has to look at each document. The two fields
/// of a key may be whole numbers of different widths.
pub(super) fn key_filter(
    collection: &Collection,
    fields: &[String],
    values: &[Value],
    context: &Context,
) -> Result<Document, NodeError> {
    let mut filter = Document::new();
    let mut is_exact = true;
    let mut record = vec![Value::Null; collection.shape.fields.len()];
    for (field, value) in fields.iter().zip(values) {
        let Some(at) = collection.place(field) else { continue };
        let place = &collection.layout.fields[at];
        record[at] = value.clone();
        if place.form == Form::Opaque {
            is_exact = false;
            filter.insert(&place.path, doc! { "$ne": Bson::Null });
        } else {
            filter.insert(&place.path, exact(value, place.form)?.unwrap_or(Bson::Null));
        }
    }
    let same_fields = |unique: &&Unique| {
        let others = unique.fields.as_deref().unwrap_or_default();
        unique.filter.is_none()
            && others.len() == fields.len()
            && others.iter().all(|other| fields.contains(other))
    };
    if !is_exact
        && let Some(unique) = collection.uniques.iter().find(same_fields)
        && let Some(name) = &unique.digest
        && let Some(digest) = unique.digest(&record, context)?
    {
        filter.insert(name, binary(digest));
    }
    Ok(filter)
}

/// Whether a record has these values in these fields.
fn holds(collection: &Collection, fields: &[String], values: &[Value], record: &[Value]) -> bool {
    same(&values_of(collection, fields, record), values)
}

impl Statement<'_> {
    /// Notes the keys that a changed record refers to or was referred to by.
    pub(super) fn note_change(
        &self,
        collection: &Arc<Collection>,
        old: &[Value],
        new: &[Value],
        events: &mut Vec<Event>,
    ) {
        for constraint in &collection.shape.constraints {
            let Some(foreign) = ForeignKey::of(collection, constraint) else { continue };
            let key = values_of(collection, &foreign.fields, new);
            let before = values_of(collection, &foreign.fields, old);
            if !key.iter().any(Value::is_null) && !same(&before, &key) {
                events.push(Event::Refer { foreign, key });
            }
        }
        self.note_orphans(collection, old, Some(new), events);
    }

    /// Notes the keys that a removed record was referred to by.
    pub(super) fn note_removal(
        &self,
        collection: &Arc<Collection>,
        old: &[Value],
        events: &mut Vec<Event>,
    ) {
        self.note_orphans(collection, old, None, events);
    }

    fn note_orphans(
        &self,
        collection: &Arc<Collection>,
        old: &[Value],
        new: Option<&[Value]>,
        events: &mut Vec<Event>,
    ) {
        for (child, constraint) in self.catalogue.referring(&collection.shape.target.collection) {
            let Some(foreign) = ForeignKey::of(child, constraint) else { continue };
            let before = values_of(collection, &foreign.references_fields, old);
            let after = new.map(|new| values_of(collection, &foreign.references_fields, new));
            let stays = after.as_ref().is_some_and(|after| same(&before, after));
            if !stays && !before.iter().any(Value::is_null) {
                events.push(Event::Orphan { foreign, old: before, new: after });
            }
        }
    }

    /// Looks at what new records refer to.
    ///
    /// # Errors
    /// `23503`.
    pub(super) async fn refer_all(
        &mut self,
        collection: &Arc<Collection>,
        records: &[Vec<Value>],
    ) -> Result<(), NodeError> {
        let mut events = Vec::new();
        for record in records {
            for constraint in &collection.shape.constraints {
                let Some(foreign) = ForeignKey::of(collection, constraint) else { continue };
                let key = values_of(collection, &foreign.fields, record);
                if !key.iter().any(Value::is_null) {
                    events.push(Event::Refer { foreign, key });
                }
            }
        }
        self.settle(events).await
    }

    /// Looks at what was noted, until nothing is left.
    ///
    /// # Errors
    /// `23503`, and whatever an action raises.
    pub(super) async fn settle(&mut self, events: Vec<Event>) -> Result<(), NodeError> {
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut events = VecDeque::from(events);
        while let Some(event) = events.pop_front() {
            match event {
                Event::Refer { foreign, key } => {
                    // One look is enough for each key, as long as nothing was removed in between.
                    let mut sign =
                        format!("{}.{} ", foreign.child.id.to_hex(), foreign.name).into_bytes();
                    key.iter().for_each(|value| order::encode_ordered(value, &mut sign));
                    if seen.insert(sign) {
                        self.check_reference(&foreign, &key).await?;
                    }
                }
                Event::Orphan { foreign, old, new } => {
                    seen.clear();
                    let mut further = Vec::new();
                    self.act(&foreign, &old, new.as_deref(), &mut further).await?;
                    events.extend(further);
                }
            }
        }
        Ok(())
    }

    /// The records that have a key, one of them at most if that is enough.
    async fn with_key(
        &mut self,
        collection: &Collection,
        fields: &[String],
        values: &[Value],
        is_one_enough: bool,
    ) -> Result<Vec<Record>, NodeError> {
        let filter = key_filter(collection, fields, values, &self.context)?;
        let catalogue = Arc::clone(&self.catalogue);
        let mut found = Vec::new();
        let command = find(collection, filter);
        self.documents(&collection.database(), command, |document| {
            let record = collection.record(&document, &catalogue)?;
            if holds(collection, fields, values, &record) {
                let id = document.get("_id").cloned().unwrap_or(Bson::Null);
                found.push(Record { id, document, values: record });
            }
            Ok(!is_one_enough || found.is_empty())
        })
        .await?;
        Ok(found)
    }

    async fn holds_key(
        &mut self,
        collection: &Collection,
        fields: &[String],
        values: &[Value],
    ) -> Result<bool, NodeError> {
        Ok(!self.with_key(collection, fields, values, true).await?.is_empty())
    }

    /// The same, and keeps others from changing the record.
    async fn hold_key(
        &mut self,
        collection: &Collection,
        fields: &[String],
        values: &[Value],
    ) -> Result<bool, NodeError> {
        let found = self.with_key(collection, fields, values, true).await?;
        let is_held = !found.is_empty();
        let ids = found.into_iter().map(|record| record.id).collect();
        let name = &collection.layout.collection;
        lock_records(self, &collection.database(), name, ids).await?;
        Ok(is_held)
    }

    async fn check_reference(
        &mut self,
        foreign: &ForeignKey,
        values: &[Value],
    ) -> Result<(), NodeError> {
        let parent = Arc::clone(self.catalogue.get(&foreign.references)?);
        if self.hold_key(&parent, &foreign.references_fields, values).await?
            || !self.holds_key(&foreign.child, &foreign.fields, values).await?
        {
            return Ok(());
        }
        let text = key_text(&foreign.child, &foreign.fields, values, &self.context);
        let label = &foreign.child.shape.label;
        let mut error = NodeError::statement(
            "23503",
            format!(
                "insert or update on table \"{label}\" violates foreign key constraint \"{}\"",
                foreign.name
            ),
        )
        .with_detail(format!("{text} is not present in table \"{}\".", foreign.references_label));
        error.object.table = Some(label.clone());
        error.object.constraint = Some(foreign.name.clone());
        Err(error)
    }

    async fn act(
        &mut self,
        foreign: &ForeignKey,
        old: &[Value],
        new: Option<&[Value]>,
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let action = if new.is_some() { foreign.on_update } else { foreign.on_delete };
        let child = &foreign.child;
        if matches!(action, ForeignKeyAction::NoAction | ForeignKeyAction::Restrict) {
            let parent = Arc::clone(self.catalogue.get(&foreign.references)?);
            // Another record may bear the key by now; RESTRICT does not care.
            if action == ForeignKeyAction::NoAction
                && self.holds_key(&parent, &foreign.references_fields, old).await?
            {
                return Ok(());
            }
            if !self.holds_key(child, &foreign.fields, old).await? {
                return Ok(());
            }
            let text = key_text(&parent, &foreign.references_fields, old, &self.context);
            let label = &child.shape.label;
            let mut error = NodeError::statement(
                "23503",
                format!(
                    "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{label}\"",
                    foreign.references_label, foreign.name
                ),
            )
            .with_detail(format!("{text} is still referenced from table \"{label}\"."));
            error.object.table = Some(label.clone());
            error.object.constraint = Some(foreign.name.clone());
            return Err(error);
        }
        let records = self.with_key(child, &foreign.fields, old, false).await?;
        if action == ForeignKeyAction::Cascade && new.is_none() {
            return self.remove(child, &records, events).await;
        }
        for record in records {
            let mut changed = record.values.clone();
            for (place, field) in foreign.fields.iter().enumerate() {
                let Some(field) = child.place(field) else { continue };
                changed[field] = match (action, new) {
                    // The two fields may be whole numbers of different widths.
                    (ForeignKeyAction::Cascade, Some(new)) => {
                        let ty = child.shape.fields[field].ty.id;
                        let form = child.layout.fields[field].form;
                        let bson = exact(&new[place], form)?.unwrap_or(Bson::Null);
                        load(&bson, ty, &*self.catalogue)?
                    }
                    _ => Value::Null,
                };
            }
            self.change(child, &record, &changed, events).await?;
        }
        Ok(())
    }
}
