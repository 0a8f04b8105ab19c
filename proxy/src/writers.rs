//! Which sessions run a statement that writes, and since which epoch.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use dataman_metadata::id::Epoch;

/// How often it is looked whether older writers have ended.
const POLL: Duration = Duration::from_millis(1);

/// The sessions of a proxy that may write.
#[derive(Debug, Default)]
pub struct Writers {
    sessions: Mutex<Vec<Weak<AtomicU64>>>,
}

/// One session's place among them: 0, or one more than the epoch that was the newest when its statement began.
#[derive(Debug, Default)]
pub struct Writer(Arc<AtomicU64>);

impl Writers {
    /// A place for a session.
    pub fn join(&self) -> Writer {
        let writer = Writer::default();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len().is_power_of_two() {
            sessions.retain(|session| session.strong_count() > 0);
        }
        sessions.push(Arc::downgrade(&writer.0));
        writer
    }

    /// Waits until all statements have ended that began before `epoch` was the newest: one that begins later sees it.
    pub async fn ended_before(&self, epoch: Epoch) {
        fence(Ordering::SeqCst);
        let older: Vec<Weak<AtomicU64>> =
            self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for session in older {
            while session.upgrade().is_some_and(|since| {
                let since = since.load(Ordering::SeqCst);
                since != 0 && since <= epoch.0
            }) {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

impl Writer {
    /// A statement begins that may write. What it is planned under is to be asked for after this.
    pub fn begin(&self, newest: Epoch) {
        self.0.store(newest.0 + 1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// It has ended.
    pub fn end(&self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn older_statements_are_waited_for() {
        let writers = Arc::new(Writers::default());
        let (old, new) = (writers.join(), writers.join());
        old.begin(Epoch(4));
        new.begin(Epoch(5));
        let waiting = writers.ended_before(Epoch(5));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        old.end();
        waiting.await;
        drop(new);
        writers.ended_before(Epoch(9)).await;
    }
}
