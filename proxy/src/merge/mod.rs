//! Many streams → one: the operators above the shards.

use std::sync::Arc;

use dataman_node_protocol::node::{Parameters, ResultFormats, StatementContext};
use dataman_pg::Context;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::plan::Plan;
use crate::scatter::contract::{Participants, ResultStream};

/// What one execution of a plan needs.
pub struct Execution<'a> {
    /// The parameters as the client sent them.
    pub parameters: &'a Parameters,
    /// The formats the client asked for: resolved to one for each column.
    pub formats: &'a ResultFormats,
    /// What goes ahead of each node query.
    pub context: &'a StatementContext,
    /// The same for what is computed here.
    pub evaluation: &'a Arc<Context>,
    /// Cancels the statement.
    pub cancel: &'a CancellationToken,
    /// Connections.
    pub participants: &'a mut dyn Participants,
    /// Sequences, for INSERT.
    pub sequences: &'a dyn Sequences,
}

/// Where numbers of sequences come from.
#[async_trait::async_trait]
pub trait Sequences: Send + Sync {
    /// The next `count` numbers of a sequence of the session's database.
    ///
    /// # Errors
    /// `2200H` when the sequence is exhausted; metadata errors.
    async fn next(&self, schema: &str, name: &str, count: usize) -> Result<Vec<i64>, Error>;
}

/// Starts a plan and returns its rows.
///
/// # Errors
/// What happens before the first row.
pub async fn run(
    _plan: &Arc<Plan>,
    _execution: Execution<'_>,
) -> Result<Box<dyn ResultStream>, Error> {
    Err(dataman_pg::PgError::unsupported("running is not there yet").into())
}
