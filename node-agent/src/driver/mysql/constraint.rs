//! NOT NULL, CHECK and UNIQUE as the driver looks for them in MySQL.

use std::collections::HashSet;

use dataman_node_protocol::NodeError;
use dataman_pg::Context;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;

use super::catalogue::{Collection, Unique};
use super::layout::quoted;
use super::statement::Statement;
use super::value::exact;
use crate::driver::kept::constraint::digest_of;
pub(super) use crate::driver::kept::constraint::{key_bytes, key_text, test, values_of};

impl Collection {
    /// The condition under which a record has this one's key; none when none has.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn condition(
        &self,
        unique: &Unique,
        record: &[Value],
        context: &Context,
    ) -> Result<Option<(String, Vec<Raw>)>, NodeError> {
        let Some(key) = unique.key(record, context)? else { return Ok(None) };
        if let Some(digest) = &unique.digest {
            let digested = Raw::Bytes(digest_of(&key));
            return Ok(Some((format!("{} = ?", quoted(digest)), vec![digested])));
        }
        let mut values = Vec::new();
        let mut tests = Vec::new();
        for (field, value) in unique.fields.iter().flatten().zip(&key) {
            if let Some(column) = self.column(field) {
                tests.push(format!("{} = ?", quoted(&column.name)));
                values.push(exact(value)?);
            }
        }
        Ok(Some((tests.join(" AND "), values)))
    }
}

impl Statement<'_> {
    /// Of records that are to be inserted, and that a unique index refuses, the first, with the error that PostgreSQL would
    /// raise; none when whatever refused it is gone. `except` is the number of the record that is being changed.
    pub(super) async fn find_duplicate(
        &mut self,
        collection: &Collection,
        records: &[Vec<Value>],
        except: Option<u64>,
    ) -> Result<Option<(usize, NodeError)>, NodeError> {
        let mut seen: HashSet<(usize, Vec<u8>)> = HashSet::new();
        for (place, record) in records.iter().enumerate() {
            for (number, unique) in collection.uniques.iter().enumerate() {
                let Some(key) = unique.key(record, &self.context)? else { continue };
                let mut found = !seen.insert((number, key_bytes(&key)));
                if !found
                    && let Some((condition, mut values)) =
                        collection.condition(unique, record, &self.context)?
                {
                    let mut text =
                        format!("SELECT 1 FROM {} WHERE {condition}", collection.table());
                    if let Some(row) = except {
                        text.push_str(&format!(" AND {} <> ?", super::layout::ROW));
                        values.push(Raw::UInt(row));
                    }
                    text.push_str(" LIMIT 1 LOCK IN SHARE MODE");
                    found = self.exists(&text, values).await?;
                }
                if found {
                    return Ok(Some((place, unique.violation(collection, record, &self.context))));
                }
            }
        }
        Ok(None)
    }
}
