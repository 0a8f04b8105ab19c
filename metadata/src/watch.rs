//! Keeps the newest snapshot in reach: an `Arc` swapped whole, which a statement takes once and keeps to its end.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::id::Epoch;
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreError};

/// How long the watch waits after a failed read before it tries again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The newest snapshot of a store. While the store does not answer, it stays the last one that was read.
#[derive(Debug)]
pub struct SnapshotWatch {
    shared: Arc<Shared>,
    /// The task that reads; aborted on drop.
    _reader: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    newest: ArcSwap<Snapshot>,
    epoch: watch::Sender<Epoch>,
}

impl Shared {
    /// Takes a snapshot unless a newer one is there.
    fn offer(&self, snapshot: &Arc<Snapshot>) {
        self.newest.rcu(|newest| {
            if newest.epoch < snapshot.epoch { snapshot.clone() } else { newest.clone() }
        });
        self.epoch.send_if_modified(|epoch| {
            let newer = snapshot.epoch > *epoch;
            *epoch = snapshot.epoch.max(*epoch);
            newer
        });
    }
}

/// The epoch that was waited for did not come: the watch has been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the metadata is not watched any more")]
pub struct WatchClosed;

impl SnapshotWatch {
    /// Reads the store's snapshot and keeps up with it from then on.
    ///
    /// # Errors
    /// The first read fails.
    pub async fn start(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        // Subscribed before reading, so that no commit falls between.
        let told = store.watch();
        let first = store.read().await?;
        let epoch = watch::Sender::new(first.epoch);
        let shared = Arc::new(Shared { newest: ArcSwap::new(first), epoch });
        let mut reader = JoinSet::new();
        reader.spawn(keep_up(store, told, shared.clone()));
        Ok(Self { shared, _reader: reader })
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.newest.load_full()
    }

    /// The epoch of the newest snapshot.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.newest.load().epoch
    }

    /// Takes a snapshot that a commit of this process has given, so that it need not be read again.
    pub fn offer(&self, snapshot: &Arc<Snapshot>) {
        self.shared.offer(snapshot);
    }

    /// Watches the epoch of [`Self::snapshot`]. Epochs between two looks are passed over.
    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<Epoch> {
        self.shared.epoch.subscribe()
    }

    /// Waits until the snapshot is at least of this epoch. The caller bounds the time.
    ///
    /// # Errors
    /// The watch is dropped meanwhile.
    pub async fn wait_for(&self, epoch: Epoch) -> Result<Arc<Snapshot>, WatchClosed> {
        self.epochs().wait_for(|newest| *newest >= epoch).await.map_err(|_| WatchClosed)?;
        Ok(self.snapshot())
    }
}

/// Reads each time the store tells of an epoch that is newer than the one at hand.
async fn keep_up(store: Arc<dyn Store>, mut told: watch::Receiver<Epoch>, shared: Arc<Shared>) {
    loop {
        let wanted = *told.borrow_and_update();
        if wanted > shared.newest.load().epoch {
            match store.read().await {
                Ok(snapshot) => shared.offer(&snapshot),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot read the metadata"
                    );
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
            }
        }
        if told.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn follows_commits() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let watch = SnapshotWatch::start(store.clone()).await.unwrap();
        assert_eq!(watch.snapshot().epoch, Epoch(0));
        let first = store.commit(Epoch(0), &sample::cluster(2)).await.unwrap();
        assert_eq!(watch.wait_for(Epoch(1)).await.unwrap(), first);
        let second = store.commit(Epoch(1), &[]).await.unwrap();
        watch.offer(&second);
        watch.offer(&first);
        assert!(Arc::ptr_eq(&watch.snapshot(), &second));
        let late = tokio::time::timeout(Duration::from_millis(20), watch.wait_for(Epoch(3))).await;
        assert!(late.is_err());
    }

    #[tokio::test]
    async fn dropping_it_ends_its_task() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let watch = SnapshotWatch::start(store.clone()).await.unwrap();
        assert_eq!(Arc::strong_count(&store), 2);
        drop(watch);
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
