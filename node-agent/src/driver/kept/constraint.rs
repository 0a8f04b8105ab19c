//! NOT NULL, CHECK and UNIQUE, in PostgreSQL's order and words.

use dataman_node_protocol::NodeError;
use dataman_pg::value::Value;
use dataman_pg::{Context, order};
use sha2::{Digest, Sha256};

use super::Store;
use super::catalogue::{Collection, Unique};
use super::value::shown;

/// PostgreSQL shows at most this many bytes of each value of a failing row.
const SHOWN_MAX: usize = 64;

/// Tests NOT NULLs in the order of fields, then CHECKs by name.
///
/// # Errors
/// `23502`, `23514`, and what a CHECK raises.
pub(crate) fn test<S: Store>(
    collection: &Collection<S>,
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

fn failing_row<S: Store>(
    collection: &Collection<S>,
    record: &[Value],
    context: &Context,
) -> String {
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
pub(crate) fn key_text<S: Store>(
    collection: &Collection<S>,
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
pub(crate) fn values_of<S: Store>(
    collection: &Collection<S>,
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
    pub(crate) fn key(
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

    /// The digest of a record's key, for the column that is the index's; none when nothing equals it.
    ///
    /// # Errors
    /// What an expression raises.
    pub(crate) fn digest(
        &self,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<Vec<u8>>, NodeError> {
        Ok(self.key(record, context)?.map(|key| digest_of(&key)))
    }

    /// `23505`.
    pub(crate) fn violation<S: Store>(
        &self,
        collection: &Collection<S>,
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

/// The digest of a key.
pub(crate) fn digest_of(key: &[Value]) -> Vec<u8> {
    Sha256::digest(key_bytes(key)).to_vec()
}

/// A key's values as bytes that are equal where the values are.
pub(crate) fn key_bytes(key: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        bytes.push(u8::from(!value.is_null()));
        order::encode_ordered(value, &mut bytes);
    }
    bytes
}
