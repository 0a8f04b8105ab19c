//! Computed columns.

use std::sync::Arc;

use async_trait::async_trait;

use super::open::Compiled;
use super::pace::Pace;
use super::rows::{Connections, Row, ValueStream};
use super::{Sequences, taking_numbers};
use crate::error::Error;

/// Computes each row's columns anew; keeps the order.
pub(crate) struct Project {
    pub(crate) input: Box<dyn ValueStream>,
    pub(crate) exprs: Vec<Compiled>,
    /// Where the columns take numbers of sequences, if they do.
    pub(crate) sequences: Option<Arc<dyn Sequences>>,
    pub(crate) pace: Pace,
}

#[async_trait]
impl ValueStream for Project {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let Some(batch) = self.input.next().await? else {
            return Ok(None);
        };
        let mut rows = Vec::with_capacity(batch.len());
        if let Some(sequences) = &self.sequences {
            sequences.expect(batch.len());
        }
        let waits = self.exprs.iter().any(Compiled::waits);
        for row in batch {
            self.pace.step().await?;
            let exprs = &self.exprs;
            let compute = || exprs.iter().map(|expr| expr.eval(&row)).collect::<Result<Row, _>>();
            rows.push(match &self.sequences {
                None if waits => {
                    let mut computed = Vec::with_capacity(exprs.len());
                    for expr in exprs {
                        computed.push(expr.value(&row).await?);
                    }
                    computed
                }
                None => compute()?,
                Some(sequences) => taking_numbers(sequences.as_ref(), compute).await?,
            });
        }
        Ok(Some(rows))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
