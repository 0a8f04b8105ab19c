//! Commit on one shard, and on many; rollback.
//!
//! Until there is two-phase commit, a statement that writes several shards commits on one after every shard has carried it
//! out, and then on the others at the same time. **The window:** when a shard dies or its connection breaks between the
//! first commit and the last, the statement is committed on some shards and not on others. The client is told so with
//! `40003`, never with success; a transaction block cannot get there, because it may write only one shard.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::NodeConnection;
use dataman_pg::PgError;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::scatter::contract::ShardRef;
use crate::scatter::shard::name_shard;
use crate::session::define::acknowledge;
use crate::session::define::in_block::{Defined, carry_out_on};
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
        let mut lockers = Vec::new();
        let key_locks = std::mem::take(&mut self.key_locks);
        for (shard, participant) in std::mem::take(&mut self.participants) {
            let Some(connection) = participant.connection else { continue };
            let rows = participant.rows;
            let locks_keys = key_locks.contains(&shard);
            if participant.written {
                writers.push(Writer { shard, connection, rows, locks_keys });
            } else if locks_keys {
                lockers.push((shard, connection));
            } else {
                readers.push(connection);
            }
        }
        let mut defined = self.defined.take();
        self.end();
        let outcome = match still_locked(&mut lockers, &mut writers).await {
            Ok(()) => commit_on(readers, writers, defined.as_mut()).await,
            Err(error) => {
                let writers = writers.into_iter().map(|writer| writer.connection);
                let mut all: Vec<_> = readers.into_iter().chain(writers).collect();
                roll_back_all(&mut all).await;
                Err(error)
            }
        };
        // Nothing was written there: whoever waits for the keys may look now.
        let mut lockers: Vec<_> = lockers.into_iter().map(|(_, connection)| connection).collect();
        roll_back_all(&mut lockers).await;
        if let Some(defined) = defined {
            let cluster = defined.end().await;
            if let (Ok(()), Some(late)) = (&outcome, acknowledge(&cluster).await) {
                tracing::warn!("{}", late.message);
            }
        }
        outcome
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
        let defined = self.defined.take();
        self.end();
        roll_back_all(&mut connections).await;
        if let Some(defined) = defined {
            defined.end().await;
        }
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

/// A shard that has something to commit.
struct Writer {
    shard: ShardRef,
    connection: Box<dyn NodeConnection>,
    /// Whether rows were changed there.
    rows: bool,
    /// Whether it has locks of keys, to be held until all others have committed.
    locks_keys: bool,
}

/// Asks the shards that have locks of keys and no rows whether they have them still: a lock that was lost with its connection
/// may be somebody else's, and the row must not be committed then.
async fn still_locked(
    lockers: &mut [(ShardRef, Box<dyn NodeConnection>)],
    writers: &mut [Writer],
) -> Result<(), Error> {
    if writers.is_empty() {
        return Ok(());
    }
    let several = writers.len() > 1;
    let writers = writers.iter_mut().filter(|writer| writer.locks_keys && several);
    let writers = writers.map(|writer| (&writer.shard, &mut writer.connection));
    let lockers = lockers.iter_mut().map(|(shard, connection)| (&*shard, connection));
    for (shard, connection) in lockers.chain(writers) {
        connection.savepoint("dataman_keys").await.map_err(|error| name_shard(shard, error))?;
    }
    Ok(())
}

async fn commit_on(
    mut readers: Vec<Box<dyn NodeConnection>>,
    mut writers: Vec<Writer>,
    mut defined: Option<&mut Defined>,
) -> Result<(), Error> {
    let roll_back = async |writers: Vec<Writer>| {
        let mut connections: Vec<_> = writers.into_iter().map(|writer| writer.connection).collect();
        roll_back_all(&mut connections).await;
    };
    // Who only read goes first: a serialization failure there still stops the writers.
    if let Some(error) = commit_all(&mut readers).await.into_iter().find_map(Result::err) {
        roll_back(writers).await;
        return Err(error);
    }
    if let Some(defined) = &mut defined {
        let noted = note(defined, &mut writers).await;
        let committed = match noted {
            Ok(()) => defined.commit().await,
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            roll_back(writers).await;
            return Err(error);
        }
    }
    // The shard whose rows were changed goes first: when it refuses, no other has committed yet. That of the locks goes last.
    writers.sort_by_key(|writer| (writer.locks_keys, !writer.rows));
    let shards = writers.len();
    let mut rest = writers.into_iter();
    let Some(mut first) = rest.next() else {
        if let Some(defined) = &defined {
            defined.settle().await;
        }
        return Ok(());
    };
    let mut rest: Vec<Writer> = rest.collect();
    let mut last = rest.pop_if(|writer| writer.locks_keys);
    if let Err(error) = first.connection.commit().await {
        let Some(defined) = &defined else {
            rest.extend(last);
            roll_back(rest).await;
            return Err(error.into());
        };
        // The metadata is ahead of the shards now: what was defined must come to be there.
        if defined.finish(&first.shard).await.is_err() || first.rows {
            for writer in rest.iter_mut().chain(&mut last) {
                let _ = writer.connection.commit().await;
            }
            return Err(partly(shards - 1, shards, &error.into()));
        }
        tracing::warn!(%error, "a schema change was finished on a shard");
    } else {
        drop(first);
    }
    let commit = async |writer: &mut Writer| {
        writer.connection.commit().await.map_err(|error| (writer.shard.clone(), writer.rows, error))
    };
    let mut outcomes = join_all(rest.iter_mut().map(commit)).await;
    drop(rest);
    if let Some(last) = &mut last {
        outcomes.push(commit(last).await);
    }
    let mut failed = 0;
    let mut failure = None;
    for (shard, rows, error) in outcomes.into_iter().filter_map(Result::err) {
        if let Some(defined) = &defined
            && defined.finish(&shard).await.is_ok()
            && !rows
        {
            tracing::warn!(%error, "a schema change was finished on a shard");
            continue;
        }
        failed += 1;
        failure.get_or_insert(Error::from(error));
    }
    match failure {
        None => {
            if let Some(defined) = &defined {
                defined.settle().await;
            }
            Ok(())
        }
        Some(error) => Err(partly(shards - failed, shards, &error)),
    }
}

/// Lets each shard note, in its transaction, what was defined there: so that it is done once, whatever happens from now on.
async fn note(defined: &mut Defined, writers: &mut Vec<Writer>) -> Result<(), Error> {
    let cancel = CancellationToken::new();
    for Writer { shard, connection, rows, locks_keys } in std::mem::take(writers) {
        let Some((note, context)) = defined.note(&shard) else {
            writers.push(Writer { shard, connection, rows, locks_keys });
            continue;
        };
        match carry_out_on(connection, vec![note], &context, &cancel).await {
            (Some(connection), Ok(())) => {
                writers.push(Writer { shard, connection, rows, locks_keys });
            }
            (_, outcome) => {
                let lost = || NodeError::statement("08006", "the connection to a node broke");
                let error = outcome.err().unwrap_or_else(lost);
                return Err(name_shard(&shard, error).into());
            }
        }
    }
    Ok(())
}

fn partly(committed: usize, shards: usize, error: &Error) -> Error {
    tracing::error!(shards, committed, "a statement is committed on some shards only");
    PgError::new("40003", format!("the statement is committed on {committed} of {shards} shards"))
        .with_detail(error.to_string())
        .with_hint(
            "Check the rows that it was to write, and run it again for those that are missing.",
        )
        .into()
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
