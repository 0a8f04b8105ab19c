//! What a running statement asks of its session, and what the session gets back.

use std::sync::Arc;

use async_trait::async_trait;
use dataman_metadata::id::{CollectionId, DatastoreId, ShardId};
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::node::NodeConnection;
use dataman_node_protocol::record::Batch;
use dataman_pg::PgError;

use crate::error::Error;
use crate::plan::estimate::Statistics;

/// A shard of a datastore.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardRef {
    /// The datastore.
    pub datastore: DatastoreId,
    /// The shard.
    pub shard: ShardId,
}

/// What a statement does on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Read,
    /// Writes, or locks rows, with one node query on each shard.
    Write,
    /// Writes with several node queries on a shard, which must hold together: a transaction is needed even for one shard.
    WriteTogether,
    /// Changes the schema, in the transaction that is open.
    Define,
    /// Takes locks of keys, held until all other shards have committed.
    Lock,
}

/// Where a statement takes its shards' connections from: the session's open transaction, or the pools.
#[async_trait]
pub trait Participants: Send {
    /// Says which shards the statement will use, before the first is taken. Outside a transaction block, a write on several
    /// shards opens a transaction on each, which the session commits after all have succeeded. Inside a block this is where
    /// a write on a second shard is refused.
    ///
    /// # Errors
    /// `0A000` for a write on a second shard.
    async fn enlist(&mut self, shards: &[ShardRef], access: Access) -> Result<(), Error>;

    /// Takes the connection to an enlisted shard, in the transaction it belongs to. The caller owns it until it hands it back
    /// through [`ResultStream::into_connections`].
    ///
    /// # Errors
    /// The shard cannot be reached, or its pool is busy.
    async fn take(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error>;

    /// Hands a connection back while the statement goes on: it may be taken again. None for one that broke.
    fn give(&mut self, shard: &ShardRef, connection: Option<Box<dyn NodeConnection>>);

    /// Takes a connection to a shard that is in no transaction, and sees what is committed now. Dropped after use.
    ///
    /// # Errors
    /// As of [`Participants::take`].
    async fn aside(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        Err(PgError::internal(format!("shard {} is not reached aside", shard.shard)).into())
    }

    /// Whether the transaction is one that the client began, and that goes on after the statement.
    fn is_block(&self) -> bool {
        false
    }

    /// Whether the transaction's statements see what was there when it began.
    fn has_old_snapshot(&self) -> bool {
        false
    }

    /// Whether a shard takes part in the transaction.
    fn takes_part(&self, _shard: &ShardRef) -> bool {
        false
    }

    /// Whether the transaction writes a shard.
    fn has_written(&self, _shard: &ShardRef) -> bool {
        false
    }

    /// Counts keys that the transaction locks; gives how many they are by now.
    fn count_keys(&mut self, more: usize) -> usize {
        more
    }
}

/// The client's side of a COPY.
#[async_trait]
pub trait CopyClient: Send {
    /// Tells the client that data is awaited, in so many columns: CopyInResponse.
    ///
    /// # Errors
    /// The client is gone.
    async fn begin(&mut self, binary: bool, columns: usize) -> Result<(), Error>;

    /// Appends data to `out` as it comes, some at least unless it has ended. Safe to drop: nothing is lost.
    ///
    /// # Errors
    /// The client is gone, or says what has no place in a COPY.
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<CopyEvent, Error>;

    /// Waits until the client is gone. Safe to drop.
    async fn gone(&mut self);

    /// Takes messages of a COPY … TO; waits when the client is slower.
    ///
    /// # Errors
    /// The client is gone.
    async fn send(&mut self, batch: Batch) -> Result<(), Error>;
}

/// What the client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEvent {
    /// It sent data.
    Data,
    /// It has sent all.
    Done,
    /// It gives up, for this reason.
    Failed(String),
}

/// What a datastore's shards can do, for the planner.
pub trait Capabilities: Send + Sync {
    /// The capability of a shard's datasource; none when its node is not known.
    fn of(&self, shard: &ShardRef) -> Option<&dyn Capability>;

    /// What is known of a collection's rows.
    fn statistics(&self, _collection: CollectionId) -> Option<Arc<Statistics>> {
        None
    }
}

/// A statement's rows, as the client wants them.
#[async_trait]
pub trait ResultStream: Send {
    /// The next rows, as DataRow messages in the client's formats; none at the end.
    ///
    /// # Errors
    /// The statement's failure. What came before is then not the whole answer.
    async fn next(&mut self) -> Result<Option<Batch>, Error>;

    /// After the end: the count for the command tag.
    fn affected(&self) -> u64;

    /// After the end or a failure: the connections taken; none for one that broke. Dropping the stream instead closes them
    /// and cancels what runs on them.
    fn into_connections(self: Box<Self>) -> Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>;
}
