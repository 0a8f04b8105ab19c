//! What every store promises.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::change::{Change, ChangeError, ObjectName};
use crate::check::CheckError;
use crate::id::Epoch;
use crate::lease::{Lease, LeaseError};
use crate::sequence::{SequenceBlock, SequenceState};
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;

/// A place that keeps a cluster's metadata.
///
/// - What a method has answered is lasting: neither `kill -9` nor a power cut takes it back.
/// - All processes of the cluster see the same: a commit that names the newest epoch wins, every other one conflicts.
/// - Dropping a method's future leaves its effect open: done entirely or not at all.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Reads the newest snapshot. A store that nobody has written gives [`Snapshot::empty`].
    ///
    /// # Errors
    /// The store cannot be reached, or what it holds does not pass [`Snapshot::check`].
    async fn read(&self) -> Result<Arc<Snapshot>, StoreError>;

    /// Applies changes to the snapshot of the expected epoch and gives the next one.
    ///
    /// # Errors
    /// - [`StoreError::Conflict`]: another epoch is the newest. Read, plan anew, try again.
    /// - [`StoreError::Refused`]: the changes do not fit; nothing has happened.
    /// - [`StoreError::Unavailable`]: the store cannot be reached; whether the commit happened is open.
    async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, StoreError>;

    /// Watches the newest epoch. Epochs between two looks are passed over; a commit of this process is seen at once, one
    /// of another process within [`crate::store::WATCH_INTERVAL`] or as fast as the store tells it.
    fn watch(&self) -> watch::Receiver<Epoch>;

    /// Takes up to `count` numbers (at least one) of a sequence, which nobody else ever gets until it cycles or is set.
    /// Numbers that the caller loses are lost, as PostgreSQL's cached ones are. A block holds fewer numbers near the end
    /// of the sequence; ask again.
    ///
    /// # Errors
    /// [`StoreError::SequenceExhausted`] (`2200H`), [`StoreError::SequenceMissing`].
    async fn take_sequence_block(
        &self,
        sequence: &ObjectName,
        count: u64,
    ) -> Result<SequenceBlock, StoreError>;

    /// Sets a sequence, for `setval` and `RESTART`. Blocks that others took before stay theirs.
    ///
    /// # Errors
    /// [`StoreError::SequenceOutOfBounds`] (`22003`), [`StoreError::SequenceMissing`].
    async fn set_sequence(
        &self,
        sequence: &ObjectName,
        value: i64,
        is_called: bool,
    ) -> Result<(), StoreError>;

    /// Reads how far a sequence is. The last value is that of the last block taken.
    ///
    /// # Errors
    /// [`StoreError::SequenceMissing`].
    async fn read_sequence(&self, sequence: &ObjectName) -> Result<SequenceState, StoreError>;

    /// Grants a lease.
    ///
    /// # Errors
    /// [`StoreError::Lease`] when somebody else has it.
    async fn grant_lease(
        &self,
        name: &str,
        holder: &str,
        span: Duration,
    ) -> Result<Lease, StoreError>;

    /// Extends a lease.
    ///
    /// # Errors
    /// [`StoreError::Lease`] when it is over.
    async fn renew_lease(&self, lease: &Lease, span: Duration) -> Result<Lease, StoreError>;

    /// Sets what the holder of a lease wants others to know, as [`Store::leases`] then tells. It lasts until the lease is
    /// granted anew.
    ///
    /// # Errors
    /// [`StoreError::Lease`] when it is over.
    async fn annotate_lease(&self, lease: &Lease, note: &str) -> Result<(), StoreError>;

    /// Gives a lease back; one that is over already is no error.
    ///
    /// # Errors
    /// The store cannot be reached.
    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError>;

    /// The leases that hold now and whose names begin with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// The store cannot be reached.
    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError>;

    /// Reads everything but leases, as of one moment.
    ///
    /// # Errors
    /// As [`Store::read`].
    async fn backup(&self) -> Result<Backup, StoreError>;

    /// Replaces everything but leases by what a backup holds, if `expected` is the newest epoch; gives what comes out, whose
    /// epoch is newer than both.
    ///
    /// # Errors
    /// As [`Store::commit`].
    async fn restore(&self, expected: Epoch, backup: &Backup) -> Result<Arc<Snapshot>, StoreError>;
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The metadata has changed since the snapshot that the caller worked from.
    #[error("the metadata has changed: epoch {expected} was expected and {found} is the newest")]
    Conflict {
        /// The epoch that the caller expected.
        expected: Epoch,
        /// The newest one.
        found: Epoch,
    },
    /// The changes do not fit.
    #[error(transparent)]
    Refused(#[from] ChangeError),
    /// A sequence has come to its end; SQLSTATE `2200H`.
    #[error("nextval: reached {} value of sequence \"{name}\" ({limit})", if *ascending { "maximum" } else { "minimum" })]
    SequenceExhausted {
        /// The sequence's name without its schema, as PostgreSQL prints it.
        name: String,
        /// The bound.
        limit: i64,
        /// Whether it counts up.
        ascending: bool,
    },
    /// A value to set is out of a sequence's bounds; SQLSTATE `22003`.
    #[error("setval: value {value} is out of bounds for sequence \"{name}\" ({min}..{max})")]
    SequenceOutOfBounds {
        /// The sequence's name without its schema, as PostgreSQL prints it.
        name: String,
        /// The value.
        value: i64,
        /// `MINVALUE`.
        min: i64,
        /// `MAXVALUE`.
        max: i64,
    },
    /// There is no such sequence; SQLSTATE `42P01`.
    #[error("relation \"{0}\" does not exist")]
    SequenceMissing(ObjectName),
    /// A lease was refused.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// What the store holds cannot be read or breaks a rule. Somebody must look at it.
    #[error("the metadata in {place} is damaged: {problem}")]
    Damaged {
        /// Which store.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// The store holds metadata that a newer dataman has written.
    #[error("the metadata in {place} has format {found}, and this dataman knows {known}")]
    NewerFormat {
        /// Which store.
        place: String,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// A metadata URL that names no store.
    #[error("metadata URL \"{url}\": {problem}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// The store answers, and refuses; nothing has happened.
    #[error("the metadata store {place} refuses {operation}: {reason}")]
    StoreRefused {
        /// Which store.
        place: String,
        /// What was tried.
        operation: &'static str,
        /// Why.
        reason: String,
    },
    /// The store cannot be reached or does not work. Whether a commit happened is open.
    #[error("the metadata store {place} does not answer: {operation}")]
    Unavailable {
        /// Which store.
        place: String,
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Wraps a rule that stored metadata breaks.
    #[must_use]
    pub fn damaged(place: &str, error: &CheckError) -> Self {
        Self::Damaged { place: place.to_owned(), problem: error.to_string() }
    }
}
