//! The store of a test, or of a cluster that lives as long as its process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::change::{Change, ObjectName};
use crate::id::Epoch;
use crate::lease::{Lease, LeaseState, LeaseTime};
use crate::sequence::{SequenceBlock, SequenceState};
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;
use crate::store::contract::{Store, StoreError};
use crate::store::sequences;

/// Metadata in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    epoch: watch::Sender<Epoch>,
}

#[derive(Debug)]
struct State {
    snapshot: Arc<Snapshot>,
    /// By the sequence's OID, so that a rename keeps it and one made anew starts anew.
    sequences: HashMap<u32, SequenceState>,
    leases: BTreeMap<String, LeaseState>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_snapshot(Snapshot::empty())
    }

    /// Makes a store that holds a snapshot.
    #[must_use]
    pub fn with_snapshot(snapshot: Snapshot) -> Self {
        let epoch = watch::Sender::new(snapshot.epoch);
        let state = State {
            snapshot: Arc::new(snapshot),
            sequences: HashMap::new(),
            leases: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), epoch }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self) -> Result<Arc<Snapshot>, StoreError> {
        Ok(self.state().snapshot.clone())
    }

    async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, StoreError> {
        let mut state = self.state();
        let found = state.snapshot.epoch;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(state.snapshot.apply(changes)?);
        for oid in sequences::dropped(&state.snapshot, &next) {
            state.sequences.remove(&oid);
        }
        state.snapshot = next.clone();
        self.epoch.send_replace(next.epoch);
        Ok(next)
    }

    fn watch(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }

    async fn take_sequence_block(
        &self,
        name: &ObjectName,
        count: u64,
    ) -> Result<SequenceBlock, StoreError> {
        let mut state = self.state();
        let snapshot = state.snapshot.clone();
        let sequence = sequences::find(&snapshot, name)?;
        let now =
            state.sequences.entry(sequence.oid.0).or_insert_with(|| SequenceState::new(sequence));
        now.take(sequence, count).map_err(|refusal| sequences::refused(name, sequence, 0, refusal))
    }

    async fn set_sequence(
        &self,
        name: &ObjectName,
        value: i64,
        is_called: bool,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let snapshot = state.snapshot.clone();
        let sequence = sequences::find(&snapshot, name)?;
        let now =
            state.sequences.entry(sequence.oid.0).or_insert_with(|| SequenceState::new(sequence));
        now.set(sequence, value, is_called)
            .map_err(|refusal| sequences::refused(name, sequence, value, refusal))
    }

    async fn read_sequence(&self, name: &ObjectName) -> Result<SequenceState, StoreError> {
        let state = self.state();
        let sequence = sequences::find(&state.snapshot, name)?;
        Ok(state
            .sequences
            .get(&sequence.oid.0)
            .copied()
            .unwrap_or_else(|| SequenceState::new(sequence)))
    }

    async fn grant_lease(
        &self,
        name: &str,
        holder: &str,
        span: Duration,
    ) -> Result<Lease, StoreError> {
        let mut state = self.state();
        let lease = state.leases.entry(name.to_owned()).or_default();
        Ok(lease.grant(name, holder, LeaseTime::now(), span)?)
    }

    async fn renew_lease(&self, lease: &Lease, span: Duration) -> Result<Lease, StoreError> {
        let mut state = self.state();
        Ok(state.leases.entry(lease.name.clone()).or_default().renew(
            lease,
            LeaseTime::now(),
            span,
        )?)
    }

    async fn annotate_lease(&self, lease: &Lease, note: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        let found = state.leases.entry(lease.name.clone()).or_default();
        Ok(found.annotate(lease, LeaseTime::now(), note)?)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        if let Some(state) = self.state().leases.get_mut(&lease.name) {
            state.release(lease);
        }
        Ok(())
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        let now = LeaseTime::now();
        let state = self.state();
        let named = state.leases.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(named.filter_map(|(_, lease)| lease.held(now).cloned()).collect())
    }

    async fn backup(&self) -> Result<Backup, StoreError> {
        let state = self.state();
        let sequences = state.sequences.iter().map(|(oid, state)| (*oid, *state)).collect();
        Ok(Backup { snapshot: state.snapshot.clone(), sequences })
    }

    async fn restore(&self, expected: Epoch, backup: &Backup) -> Result<Arc<Snapshot>, StoreError> {
        let mut state = self.state();
        let found = state.snapshot.epoch;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(backup.over(&state.snapshot));
        state.sequences = backup.sequences.iter().map(|(oid, state)| (*oid, *state)).collect();
        state.snapshot = next.clone();
        self.epoch.send_replace(next.epoch);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
    }
}
