//! NOT NULL, CHECK and UNIQUE as the driver looks for them in MongoDB.

use std::collections::HashSet;

use dataman_node_protocol::NodeError;
use dataman_pg::Context;
use dataman_pg::value::Value;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use super::catalogue::{Collection, Unique};
use super::statement::Statement;
use super::value::exact;
use crate::driver::kept::constraint::digest_of;
pub(super) use crate::driver::kept::constraint::{key_bytes, key_text, test, values_of};

/// Bytes as MongoDB keeps them.
pub(super) fn binary(bytes: Vec<u8>) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

impl Collection {
    /// The filter of the documents that have this record's key; none when none has.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn condition(
        &self,
        unique: &Unique,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<Document>, NodeError> {
        let Some(key) = unique.key(record, context)? else { return Ok(None) };
        if let Some(digest) = &unique.digest {
            return Ok(Some(doc! { digest: binary(digest_of(&key)) }));
        }
        let mut filter = Document::new();
        for (field, value) in unique.fields.iter().flatten().zip(&key) {
            if let Some(place) = self.field(field) {
                filter.insert(&place.path, exact(value, place.form)?.unwrap_or(Bson::Null));
            }
        }
        Ok(Some(filter))
    }
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
                    && let Some(mut filter) = collection.condition(unique, record, &self.context)?
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
