//! Commit on one shard, and on many; rollback.
//!
//! Until there is two-phase commit, a statement that writes several shards commits on one after every shard has carried it
//! out, and then on the others at the same time. **The window:** when a shard dies or its connection breaks between the
//! first commit and the last, the statement is committed on some shards and not on others. The client is told so with
//! `40003`, never with success; a transaction block cannot get there, because it may write only one shard.

use dataman_node_protocol::node::NodeConnection;
use dataman_pg::PgError;
use futures_util::future::join_all;

use crate::error::Error;
use crate::session::transaction::{State, Transaction};

impl Transaction {
    /// Commits on every shard that takes part; ends in any case.
    ///
    /// # Errors
    /// A shard's refusal, after which nothing is committed; `08007` when a reply was lost; `40003` when only some shards have
    /// committed.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        if let Some(participant) = self.participants.values_mut().find(|one| one.lost) {
            let error = participant.connection().err();
            self.rollback().await;
            return Err(error.unwrap_or(Error::Cancelled));
        }
        let mut readers = Vec::new();
        let mut writers = Vec::new();
        for (_, participant) in std::mem::take(&mut self.participants) {
            if let Some(connection) = participant.connection {
                if participant.written { &mut writers } else { &mut readers }.push(connection);
            }
        }
        self.end();
        // Who only read goes first: a serialization failure there still stops the writers.
        if let Some(error) = commit_all(&mut readers).await.into_iter().find_map(Result::err) {
            roll_back_all(&mut writers).await;
            return Err(error);
        }
        let mut rest = writers.into_iter();
        let Some(mut first) = rest.next() else { return Ok(()) };
        let mut rest: Vec<_> = rest.collect();
        if let Err(error) = first.commit().await {
            roll_back_all(&mut rest).await;
            return Err(error.into());
        }
        drop(first);
        let shards = rest.len() + 1;
        let outcomes = commit_all(&mut rest).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let Some(error) = outcomes.into_iter().find_map(Result::err) else { return Ok(()) };
        tracing::error!(shards, failed, "a statement is committed on some shards only");
        Err(PgError::new(
            "40003",
            format!("the statement is committed on {} of {shards} shards", shards - failed),
        )
        .with_detail(error.to_string())
        .with_hint(
            "Check the rows that it was to write, and run it again for those that are missing.",
        )
        .into())
    }

    /// Rolls back on every shard that takes part; ends in any case. A shard that cannot be told closes the connection, which
    /// rolls back there too.
    pub(crate) async fn rollback(&mut self) {
        let participants = std::mem::take(&mut self.participants);
        let mut connections: Vec<_> = participants
            .into_values()
            .filter(|participant| !participant.lost)
            .filter_map(|participant| participant.connection)
            .collect();
        self.end();
        roll_back_all(&mut connections).await;
    }

    /// Whether there is something to commit or roll back on shards.
    pub(crate) fn has_participants(&self) -> bool {
        !self.participants.is_empty()
    }

    /// Whether the state is one that ends with its statement, its string or its Sync.
    pub(crate) fn is_implicit(&self) -> bool {
        matches!(self.state, State::Statement | State::Implicit)
    }
}

async fn commit_all(connections: &mut [Box<dyn NodeConnection>]) -> Vec<Result<(), Error>> {
    join_all(
        connections
            .iter_mut()
            .map(async |connection| connection.commit().await.map_err(Error::from)),
    )
    .await
}

async fn roll_back_all(connections: &mut [Box<dyn NodeConnection>]) {
    let outcomes =
        join_all(connections.iter_mut().map(async |connection| connection.rollback().await)).await;
    for error in outcomes.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a shard could not be told to roll back");
    }
}
