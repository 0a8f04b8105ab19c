//! Many streams → one: the operators above the shards.
//!
//! ```text
//!  ResultStream (DataRow frames, the client's formats)
//!    ├─ raw:    concat, sorted, limit       frames pass undecoded, but for the keys of a merge
//!    └─ values: everything else             rows decoded from binary, computed, encoded once
//! ```
//!
//! [`run`] computes the parameters, opens the operators from the leaves and returns the stream that the session pulls. One
//! scan streams; those that an operator needs whole (the right side of a join, the further parts of an append) are read
//! first.
//!
//! What an operator holds counts against the statement's memory ([`memory`]). Beyond it rows go to temporary files ([`spill`]):
//! sorted runs ([`sorter`]), rows by place ([`store`]), or parts by the hash of a key ([`partition`]), which joins, groups,
//! DISTINCT and set operations then take one after the other. Long loops look at the cancel ([`pace`]).

mod aggregate;
mod apply;
mod build;
mod change;
mod collect;
mod copy;
mod distinct;
mod entry;
mod expand;
mod filter;
mod gather;
pub(crate) mod global;
mod groups;
mod index;
mod insert;
mod join;
mod keys;
mod limit;
mod made;
mod memory;
mod metrics;
mod narrow;
mod nested;
mod open;
mod pace;
mod parameters;
mod partition;
mod project;
mod raw;
mod recurse;
mod rows;
mod seen;
mod setop;
mod sort;
mod sorter;
mod spill;
mod store;
#[cfg(test)]
mod testing;
mod window;
mod write;

use std::sync::Arc;

use dataman_node_protocol::node::{NodeConnection, Parameters, ResultFormats, StatementContext};
use dataman_pg::{Context, PgError};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::plan::{Plan, Root};
use crate::scatter::contract::{Participants, ResultStream, ShardRef};

pub use copy::copy_in;
pub(crate) use distinct::key_bytes;
pub(crate) use join::is_decided_by_bytes;
pub use memory::{Bounds, Resources, STATEMENT_BYTES_MAX};
pub(crate) use metrics::Measured;
pub use metrics::Metrics;
pub(crate) use parameters::encode;
pub(crate) use rows::{decode, decode_rows, encode_row};
pub use spill::{TEMPORARY_BYTES_MAX, TemporaryFolder};

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
    /// What may be held above the shards, and in temporary files.
    pub bounds: Bounds,
    /// Cancels the statement.
    pub cancel: &'a CancellationToken,
    /// Connections.
    pub participants: &'a mut dyn Participants,
    /// The session's sequences.
    pub sequences: &'a Arc<dyn Sequences>,
    /// Where it is written down what each operator does, for EXPLAIN ANALYZE.
    pub metrics: Option<&'a Arc<Metrics>>,
}

impl Execution<'_> {
    /// Takes the connection to a shard. A shard that does not answer holds up neither a cancel nor a timeout.
    async fn take(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        tokio::select! {
            // One that is there already is taken, so that the statement itself says what became of it.
            biased;
            taken = self.participants.take(shard) => taken,
            () = self.cancel.cancelled() => Err(Error::Cancelled),
        }
    }
}

/// Where numbers of sequences come from.
#[async_trait::async_trait]
pub trait Sequences: Send + Sync {
    /// The next `count` numbers of a sequence of the session's database.
    ///
    /// # Errors
    /// `2200H` when the sequence is exhausted; metadata errors.
    async fn next(&self, schema: &str, name: &str, count: usize) -> Result<Vec<i64>, Error>;

    /// So many rows take numbers soon: at least so many are fetched at once.
    fn expect(&self, rows: usize);

    /// Another row is computed: what the row before took is done with.
    fn begin(&self);

    /// The row is computed from its start: what it has taken so far is given again.
    fn repeat(&self);

    /// Does what the row waits for; says whether there was anything.
    ///
    /// # Errors
    /// As of [`Sequences::next`].
    async fn perform(&self) -> Result<bool, Error>;
}

/// Computes something that takes numbers of sequences. The library that computes cannot wait, so that what has to be waited for
/// ends the attempt, is done, and the attempt made again; what it had taken before stays its own.
async fn taking_numbers<T>(
    sequences: &dyn Sequences,
    mut compute: impl FnMut() -> Result<T, dataman_pg::PgError>,
) -> Result<T, Error> {
    sequences.begin();
    loop {
        sequences.repeat();
        match compute() {
            Ok(value) => return Ok(value),
            Err(error) => {
                if !sequences.perform().await? {
                    return Err(error.into());
                }
            }
        }
    }
}

/// Starts a plan and returns its rows.
///
/// # Errors
/// What happens before the first row.
pub async fn run<'a>(
    plan: &'a Arc<Plan>,
    execution: Execution<'a>,
) -> Result<Box<dyn ResultStream>, Error> {
    let mut run = open::Run::new(plan, execution);
    run.compute_parameters().await?;
    if !plan.first.is_empty() {
        // Should the statement fail, what it has written before is taken back.
        run.begin_writing().await?;
        for first in &plan.first {
            Box::pin(run.write_first(first)).await?;
        }
    }
    match &plan.root {
        Root::Rows(operator) => run.open(operator).await,
        Root::Insert(insert) => run.insert(insert).await,
        Root::Write(write) => run.write(write).await,
        Root::Change(change) => run.change(change).await,
        Root::Copy(_) => Err(PgError::internal("a COPY takes data").into()),
    }
}
