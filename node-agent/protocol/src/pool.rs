//! A bounded number of connections to one address.
//!
//! A connection comes back by being dropped. One that is clean goes to the next user; one in a transaction, or with an
//! answer still under way, is cleaned by a task of the pool's (cancel, read to the end, roll back) and goes back only then;
//! one that is broken is closed. While a connection is being cleaned it still counts, so the bound holds at the server.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::connection::{CANCEL_TIMEOUT, Connection, TransactionStatus};
use crate::error::{NodeError, NodeErrorKind};
use crate::node::PoolUse;

/// Connections to one address unless configured. A PostgreSQL server takes 100 by default, others' included.
pub const POOL_CONNECTIONS_MAX: usize = 64;

/// How long a caller waits for a connection unless configured; then `Busy`.
pub const POOL_WAIT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(600);

/// The bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections at a time.
    pub connections_max: usize,
    /// How long a caller waits for one.
    pub wait: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections_max: POOL_CONNECTIONS_MAX, wait: POOL_WAIT }
    }
}

/// The connections to one address.
#[derive(Debug)]
pub struct Pool {
    address: Arc<Address>,
    limits: PoolLimits,
    permits: Arc<Semaphore>,
    /// Clean connections; the one used last is taken first, so that a quiet pool shrinks.
    idle: Mutex<VecDeque<Idle>>,
    /// Connections being cleaned.
    cleaning: Mutex<JoinSet<()>>,
    itself: Weak<Pool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
    /// The thread whose runtime watches its socket.
    home: u32,
}

thread_local! {
    /// Which of the process's runtimes this thread belongs to.
    static HOME: Cell<u32> = const { Cell::new(0) };
}

/// Says that the thread that calls runs a runtime of its own, with this number. A connection is then lent to its thread
/// rather than to another, which would have to be woken across threads at each answer.
pub(crate) fn set_home(number: u32) {
    HOME.set(number);
}

/// How many of the idle connections are looked through for one whose home is the caller's.
const NEAR_IDLE_MAX: usize = 32;

impl Pool {
    /// Makes a pool; connects to nothing yet.
    pub fn new(address: Address, limits: PoolLimits) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            address: Arc::new(address),
            limits,
            permits: Arc::new(Semaphore::new(
                limits.connections_max.clamp(1, Semaphore::MAX_PERMITS),
            )),
            idle: Mutex::default(),
            cleaning: Mutex::default(),
            itself: itself.clone(),
        })
    }

    /// Takes a connection: an idle one that is still alive, or a new one.
    ///
    /// # Errors
    /// `Busy` (`53300`) when all stay in use for as long as the limit says; `Unreachable`.
    pub async fn take(&self) -> Result<PooledConnection, NodeError> {
        if let Some(connection) = self.take_now() {
            return Ok(connection);
        }
        let permit =
            match timeout(self.limits.wait, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(permit) => permit.expect("the semaphore is never closed"),
                Err(_) => {
                    return Err(NodeError::new(
                        NodeErrorKind::Busy,
                        "53300",
                        format!(
                            "all {} connections to a node's database are in use",
                            self.limits.connections_max
                        ),
                    )
                    .with_hint(
                        "Use fewer sessions at a time, or raise --datasource-connections-max.",
                    ));
                }
            };
        if let Some(connection) = self.next_alive() {
            return Ok(self.lend(connection, permit));
        }
        let connection = Connection::open(Arc::clone(&self.address)).await?;
        Ok(self.lend(Box::new(connection), permit))
    }

    /// Takes a connection if an idle one is at hand.
    pub fn take_now(&self) -> Option<PooledConnection> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.lend(self.next_alive()?, permit))
    }

    /// Where the connections lead.
    pub fn address(&self) -> Arc<Address> {
        Arc::clone(&self.address)
    }

    /// How its connections are used.
    pub fn usage(&self) -> PoolUse {
        PoolUse { in_use: self.in_use(), connections_max: self.limits.connections_max }
    }

    /// Connections in use or being cleaned.
    pub fn in_use(&self) -> usize {
        self.limits.connections_max.saturating_sub(self.permits.available_permits())
    }

    /// An idle connection that still works, watched by the caller's runtime.
    fn next_alive(&self) -> Option<Box<Connection>> {
        let home = HOME.get();
        while let Some(idle) = self.pop_idle(home) {
            let connection = match idle.home == home {
                true => Some(idle.connection),
                false => idle.connection.move_here().map(Box::new),
            };
            let Some(mut connection) = connection else { continue };
            if connection.is_alive() {
                return Some(connection);
            }
            connection.close();
        }
        None
    }

    /// The idle connection that was used last, one of the caller's home before others.
    fn pop_idle(&self, home: u32) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let near = idle.iter().rev().take(NEAR_IDLE_MAX).position(|one| one.home == home);
        match near {
            Some(0) | None => idle.pop_back(),
            Some(place) => {
                let place = idle.len() - 1 - place;
                idle.remove(place)
            }
        }
    }

    fn lend(&self, connection: Box<Connection>, permit: OwnedSemaphorePermit) -> PooledConnection {
        PooledConnection {
            connection: Some(connection),
            permit: Some(permit),
            pool: self.itself.upgrade().expect("whoever takes holds the pool"),
        }
    }

    fn give_back(&self, connection: Box<Connection>) {
        let mut idle = lock(&self.idle);
        let now = Instant::now();
        idle.push_back(Idle { connection, since: now, home: HOME.get() });
        // The oldest stands in front.
        while idle.front().is_some_and(|oldest| now - oldest.since >= POOL_IDLE_MAX) {
            idle.pop_front();
        }
    }

    fn clean_up(&self, mut connection: Box<Connection>, permit: OwnedSemaphorePermit) {
        // Outside a runtime nothing can be awaited: the socket closes, and the server rolls back.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let pool = self.itself.clone();
        let mut cleaning = lock(&self.cleaning);
        while cleaning.try_join_next().is_some() {}
        cleaning.spawn(async move {
            // Held to the end: the server still has the connection.
            let _permit = permit;
            let clean = timeout(CANCEL_TIMEOUT, async {
                if !connection.is_ready() {
                    connection.send_cancel().await;
                    // The statement's own failure is what was wanted.
                    let _ = connection.drain().await;
                }
                if !connection.drop_queued_begin() && connection.status() != TransactionStatus::Idle
                {
                    connection.run(&["ROLLBACK".to_owned()]).await?;
                    connection.sent.rolled_back();
                    connection.sent.settled();
                }
                Ok::<_, NodeError>(())
            });
            let clean = matches!(clean.await, Ok(Ok(())));
            match pool.upgrade() {
                Some(pool) if clean && connection.is_clean() => pool.give_back(connection),
                _ => connection.close(),
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan. Dropped, it goes back.
#[derive(Debug)]
pub struct PooledConnection {
    connection: Option<Box<Connection>>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
}

impl std::ops::Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("taken only by the drop")
    }
}

impl std::ops::DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("taken only by the drop")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let (Some(connection), Some(permit)) = (self.connection.take(), self.permit.take()) else {
            return;
        };
        if connection.is_clean() {
            self.pool.give_back(connection);
        } else if connection.is_broken() {
            connection.close();
        } else {
            self.pool.clean_up(connection, permit);
        }
    }
}
