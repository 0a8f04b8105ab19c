//! Work on shards that the metadata has been changed for, and that may not have been done everywhere yet.
//!
//! A definition that changes tables is carried out in a transaction on each shard; the metadata is committed between that and
//! the shards' commits. In the same commit goes this record. Whoever finds it when its maker is gone finishes the work: each
//! shard notes in the transaction of the work that it was done, so that it is done once.

use serde::{Deserialize, Serialize};

use crate::id::{DatastoreId, ShardId};

/// Work that is to be finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What the shards note; no other work ever has it.
    pub id: String,
    /// The settings that the work's expressions depend on.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    /// The moment that its expressions take for now, in microseconds since 2000; 0 when they take none.
    #[serde(default)]
    pub transaction_time_us: i64,
    /// What is to be done on which shard.
    pub shards: Vec<UnfinishedShard>,
}

/// The part of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedShard {
    /// The shard's datastore.
    pub datastore: DatastoreId,
    /// The shard.
    pub shard: ShardId,
    /// The namespace there in which the work is noted.
    pub instance: String,
    /// Definitions to be carried out once, all in one transaction with the note; each as the JSON that a node takes.
    #[serde(default)]
    pub once: Vec<String>,
    /// Definitions to be carried out after all shards have done the former; to repeat them does no harm.
    #[serde(default)]
    pub after: Vec<String>,
}
