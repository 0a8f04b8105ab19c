//! Rows of tables that the proxy makes itself.

use async_trait::async_trait;
use dataman_pg::catalog::system::SystemRow;
use dataman_pg::{Context, PgError, Value};

use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::{VirtualKey, VirtualScan};

/// The rows of one table, of which some columns are read.
pub(super) struct Made {
    rows: std::vec::IntoIter<SystemRow>,
    places: Vec<usize>,
    /// The values of `tableoid` and `xmin`, which follow a row's own.
    hidden: [Value; 2],
}

impl Made {
    pub(super) fn new(
        scan: &VirtualScan,
        key: Option<(usize, Vec<Value>)>,
        context: &Context,
    ) -> Result<Self, PgError> {
        let objects = context
            .objects
            .as_ref()
            .ok_or_else(|| PgError::internal("the database's objects are not known here"))?;
        let key = key.as_ref().map(|(place, values)| (*place, values.as_slice()));
        let rows = objects.scan(&scan.schema, &scan.name, key, context)?;
        let hidden = crate::catalog::hidden_values(&scan.schema, &scan.name);
        Ok(Self { rows: rows.into_iter(), places: scan.places.clone(), hidden })
    }
}

/// The values that a key stands for.
pub(super) fn key_values(key: &VirtualKey, value: Value) -> Vec<Value> {
    match value {
        Value::Array(array) if key.any => array.elements.clone(),
        value => vec![value],
    }
}

#[async_trait]
impl ValueStream for Made {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        // A cancelled statement is noticed between batches.
        tokio::task::yield_now().await;
        let read = |row: SystemRow| {
            self.places
                .iter()
                .map(|place| match row.get(*place) {
                    Some(value) => value.clone(),
                    None => self.hidden.get(place - row.len()).cloned().unwrap_or(Value::Null),
                })
                .collect()
        };
        let batch: Vec<Row> = self.rows.by_ref().take(BATCH_ROWS).map(read).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}
