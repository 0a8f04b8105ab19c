//! Rows for which a condition is true.

use async_trait::async_trait;

use super::open::Compiled;
use super::pace::Pace;
use super::rows::{Connections, Row, ValueStream};
use crate::error::Error;

/// Leaves out rows for which the condition is false or unknown; keeps the order.
pub(crate) struct Filter {
    pub(crate) input: Box<dyn ValueStream>,
    pub(crate) predicate: Compiled,
    pub(crate) pace: Pace,
}

#[async_trait]
impl ValueStream for Filter {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        while let Some(batch) = self.input.next().await? {
            let mut kept = Vec::with_capacity(batch.len());
            for row in batch {
                self.pace.step().await?;
                let holds = if self.predicate.waits() {
                    self.predicate.holds(&row).await?
                } else {
                    self.predicate.is_true(&row)?
                };
                if holds {
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
