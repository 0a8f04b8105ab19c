//! Cancel key → the session whose statement it cancels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rand::RngExt;

use crate::session::running::{Reason, Running};

/// The sessions that can be cancelled.
#[derive(Debug, Default)]
pub struct CancelKeys {
    by_process: Mutex<HashMap<i32, (i32, Weak<Running>)>>,
    closing: AtomicBool,
}

/// A session's key, for as long as the session lives.
#[derive(Debug)]
pub struct CancelKey {
    keys: Arc<CancelKeys>,
    /// `pg_backend_pid()`: a number that no other session of this proxy has.
    pub process_id: i32,
    /// What a cancel request must know.
    pub secret: i32,
}

impl CancelKeys {
    /// Gives a session its key.
    pub fn register(self: &Arc<Self>, running: &Arc<Running>) -> CancelKey {
        let mut rng = rand::rng();
        let secret = rng.random::<i32>();
        let mut by_process = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        let process_id = loop {
            let candidate = rng.random_range(1..i32::MAX);
            if !by_process.contains_key(&candidate) {
                break candidate;
            }
        };
        by_process.insert(process_id, (secret, Arc::downgrade(running)));
        drop(by_process);
        if self.closing.load(Ordering::Acquire) {
            running.close();
        }
        CancelKey { keys: Arc::clone(self), process_id, secret }
    }

    /// Cancels the statement that a session runs. A wrong key does nothing, and nobody is told.
    pub fn cancel(&self, process_id: i32, secret: i32) {
        let running = {
            let by_process = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
            match by_process.get(&process_id) {
                Some((known, running)) if *known == secret => running.upgrade(),
                _ => None,
            }
        };
        if let Some(running) = running {
            running.cancel(Reason::User);
        }
    }

    /// Ends every session as soon as its statement has ended, and those that come still: the proxy goes down.
    pub fn close_all(&self) {
        self.closing.store(true, Ordering::Release);
        for running in self.all() {
            running.close();
        }
    }

    /// Cancels every statement that runs: the proxy's time to drain is over.
    pub fn cancel_all(&self) {
        for running in self.all() {
            running.cancel(Reason::ShuttingDown);
        }
    }

    fn all(&self) -> Vec<Arc<Running>> {
        let by_process = self.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        by_process.values().filter_map(|(_, running)| running.upgrade()).collect()
    }
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        let mut by_process = self.keys.by_process.lock().unwrap_or_else(PoisonError::into_inner);
        by_process.remove(&self.process_id);
    }
}
