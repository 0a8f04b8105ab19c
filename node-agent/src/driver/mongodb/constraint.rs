//! NOT NULL, CHECK and UNIQUE, in PostgreSQL's order and words.

use std::collections::HashSet;

use dataman_node_protocol::NodeError;
use dataman_pg::value::Value;
use dataman_pg::{Context, order};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use sha2::{Digest, Sha256};

use super::catalogue::{Collection, Unique};
use super::statement::Statement;
use super::value::{exact, shown};

/// PostgreSQL shows at most this many bytes of each value of a failing row.
const SHOWN_MAX: usize = 64;

/// Tests NOT NULLs in the order of fields, then CHECKs by name.
///
/// # Errors
/// `23502`, `23514`, and what a CHECK raises.
pub(super) fn test(
    collection: &Collection,
    record: &[Value],
    context: &Context,
) -> Result<(), NodeError> {
    let shape = &collection.shape;
    for ((value, refused), field) in record.iter().zip(&collection.not_null).zip(&shape.fields) {
        if *refused && value.is_null() {
            let mut error = NodeError::statement(
                "23502",
                format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    field.name, shape.label
                ),
            )
            .with_detail(failing_row(collection, record, context));
            error.object.table = Some(shape.label.clone());
            error.object.column = Some(field.name.clone());
            return Err(error);
        }
    }
    for check in &collection.checks {
        if check.evaluator.eval(record, &[], context)? == Value::Bool(false) {
            let mut error = NodeError::statement(
                "23514",
                format!(
                    "new row for relation \"{}\" violates check constraint \"{}\"",
                    shape.label, check.name
                ),
            )
            .with_detail(failing_row(collection, record, context));
            error.object.table = Some(shape.label.clone());
            error.object.constraint = Some(check.name.clone());
            return Err(error);
        }
    }
    Ok(())
}

fn failing_row(collection: &Collection, record: &[Value], context: &Context) -> String {
    let shown = record.iter().zip(&collection.shape.fields).map(|(value, field)| {
        let mut text = shown(value, field.ty.id, context);
        if text.len() > SHOWN_MAX {
            let cut = (0..=SHOWN_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(cut.unwrap_or(0));
            text.push_str("...");
        }
        text
    });
    format!("Failing row contains ({}).", shown.collect::<Vec<_>>().join(", "))
}

/// `Key (a, b)=(1, x)`.
pub(super) fn key_text(
    collection: &Collection,
    fields: &[String],
    values: &[Value],
    context: &Context,
) -> String {
    let shown = fields.iter().zip(values).map(|(field, value)| {
        collection.type_of(field).map_or_else(String::new, |ty| shown(value, ty, context))
    });
    format!("Key ({})=({})", fields.join(", "), shown.collect::<Vec<_>>().join(", "))
}

/// The values of fields.
pub(super) fn values_of(
    collection: &Collection,
    fields: &[String],
    record: &[Value],
) -> Vec<Value> {
    let place = |field: &String| collection.place(field);
    fields.iter().filter_map(place).map(|place| record[place].clone()).collect()
}

impl Unique {
    /// The key of a record; none when the record takes no part in the index, or equals none for a NULL in it.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn key(
        &self,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<Vec<Value>>, NodeError> {
        if let Some(filter) = &self.filter
            && !filter.holds(record, &[], context)?
        {
            return Ok(None);
        }
        let mut key = Vec::with_capacity(self.keys.len());
        for evaluator in &self.keys {
            let value = evaluator.eval(record, &[], context)?;
            if value.is_null() && !self.nulls_not_distinct {
                return Ok(None);
            }
            key.push(value);
        }
        Ok(Some(key))
    }

    /// The digest of a record's key, for the field that is the index's; none when nothing equals it.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn digest(
        &self,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<Bson>, NodeError> {
        let key = self.key(record, context)?;
        Ok(key.map(|key| {
            let bytes = Sha256::digest(key_bytes(&key)).to_vec();
            Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
        }))
    }

    /// The filter of the documents that have this record's key; none when none has.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn condition(
        &self,
        collection: &Collection,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<Document>, NodeError> {
        let Some(key) = self.key(record, context)? else { return Ok(None) };
        if let Some(digest) = &self.digest {
            return Ok(self.digest(record, context)?.map(|value| doc! { digest: value }));
        }
        let mut filter = Document::new();
        for (field, value) in self.fields.iter().flatten().zip(&key) {
            if let Some(place) = collection.field(field) {
                filter.insert(&place.path, exact(value, place.form)?.unwrap_or(Bson::Null));
            }
        }
        Ok(Some(filter))
    }

    /// `23505`.
    pub(super) fn violation(
        &self,
        collection: &Collection,
        record: &[Value],
        context: &Context,
    ) -> NodeError {
        let mut error = NodeError::statement(
            "23505",
            format!("duplicate key value violates unique constraint \"{}\"", self.name),
        );
        if let Some(fields) = &self.fields {
            let values = values_of(collection, fields, record);
            let key = key_text(collection, fields, &values, context);
            error = error.with_detail(format!("{key} already exists."));
        }
        error.object.table = Some(collection.shape.label.clone());
        error.object.constraint = Some(self.name.clone());
        error
    }
}

pub(super) fn key_bytes(key: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        bytes.push(u8::from(!value.is_null()));
        order::encode_ordered(value, &mut bytes);
    }
    bytes
}

impl Statement<'_> {
    /// Of records that are to be written, the first whose key another one has, with the error that PostgreSQL would raise.
    /// `except` is the identity of the record that is being changed.
    pub(super) async fn find_duplicate(
        &mut self,
        collection: &Collection,
        records: &[Vec<Value>],
        except: Option<&Bson>,
    ) -> Result<Option<(usize, NodeError)>, NodeError> {
        let mut seen: HashSet<(usize, Vec<u8>)> = HashSet::new();
        for (place, record) in records.iter().enumerate() {
            for (number, unique) in collection.uniques.iter().enumerate() {
                let Some(key) = unique.key(record, &self.context)? else { continue };
                let mut found = !seen.insert((number, key_bytes(&key)));
                if !found
                    && let Some(mut filter) = unique.condition(collection, record, &self.context)?
                {
                    if let Some(id) = except {
                        filter.insert("_id", doc! { "$ne": id.clone() });
                    }
                    found = self.exists(collection, filter).await?;
                }
                if found {
                    return Ok(Some((place, unique.violation(collection, record, &self.context))));
                }
            }
        }
        Ok(None)
    }

    /// The error that PostgreSQL would raise for what a unique index of MongoDB refused.
    pub(super) fn violation(
        &self,
        collection: &Collection,
        record: &[Value],
        index: &str,
    ) -> NodeError {
        match collection.uniques.iter().find(|unique| unique.index == index) {
            Some(unique) => unique.violation(collection, record, &self.context),
            None => NodeError::statement(
                "23505",
                format!("duplicate key value violates unique constraint \"{index}\""),
            ),
        }
    }
}
