//! What can go wrong with metadata: one variant a stage.

use crate::change::ChangeError;
use crate::check::CheckError;
use crate::cluster::ClusterFileError;
use crate::sharding::ShardingError;
use crate::store::StoreError;

/// A failure of this crate, for callers who pass several stages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A change does not fit.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A snapshot breaks a rule.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A key has no shard.
    #[error(transparent)]
    Sharding(#[from] ShardingError),
    /// A store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A cluster file has mistakes.
    #[error(transparent)]
    ClusterFile(#[from] ClusterFileError),
}
