//! Accepting clients.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataman_metadata::watch::SnapshotWatch;
use dataman_node_protocol::workers::{self, Workers};
use dataman_pg::types::TypeId;
use lru::LruCache;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::AgentConfig;
use crate::error::Error;
use crate::execute::bind::BoundStatement;
use crate::inspect::Datasources;
use crate::serve::fence::Fence;
use crate::serve::guard::Guard;
use crate::serve::metrics::Counts;
use crate::serve::replication::Looks;
use crate::serve::session;

/// Bound statements kept for all sessions; so what a driver made of one serves every session that sends it.
const STATEMENTS_MAX: usize = 4096;

/// A bound statement's name in the cache: the datasources in reach, the text and the declared types.
pub(super) type StatementKey = (String, String, Vec<TypeId>);

/// What the sessions of one agent share.
pub struct Agent {
    /// The datasources by name.
    pub datasources: Datasources,
    /// The metadata, if watched: where short-form queries take fields' types from.
    pub metadata: Option<Arc<SnapshotWatch>>,
    /// What is too old to run.
    pub fence: Fence,
    pub(super) guard: Guard,
    pub(super) looks: Looks,
    pub(super) counts: Counts,
    pub(super) statements: Mutex<LruCache<StatementKey, BoundStatement>>,
    /// By process id: the secret key and what is running.
    running: Mutex<HashMap<i32, (i32, CancellationToken)>>,
    next_process_id: AtomicI32,
}

impl Agent {
    /// Makes an agent of opened datasources.
    pub fn new(datasources: Datasources, metadata: Option<Arc<SnapshotWatch>>) -> Arc<Self> {
        Self::guarded(datasources, metadata, Guard::default())
    }

    /// Makes an agent that lets in whom its guard lets in.
    pub fn guarded(
        datasources: Datasources,
        metadata: Option<Arc<SnapshotWatch>>,
        guard: Guard,
    ) -> Arc<Self> {
        let bound = NonZeroUsize::new(STATEMENTS_MAX).expect("the bound is not zero");
        Arc::new(Self {
            datasources,
            metadata,
            fence: Fence::default(),
            guard,
            looks: Looks::default(),
            counts: Counts::default(),
            statements: Mutex::new(LruCache::new(bound)),
            running: Mutex::default(),
            next_process_id: AtomicI32::new(1),
        })
    }

    /// Enters a session; its key is what a CancelRequest has to bring.
    pub(super) fn enter(&self) -> (i32, i32) {
        Counts::add(&self.counts.sessions, 1);
        let process_id = self.next_process_id.fetch_add(1, Ordering::Relaxed);
        let secret_key = random_key();
        lock(&self.running).insert(process_id, (secret_key, CancellationToken::new()));
        (process_id, secret_key)
    }

    /// How many sessions there are.
    pub(super) fn session_count(&self) -> usize {
        lock(&self.running).len()
    }

    pub(super) fn leave(&self, process_id: i32) {
        lock(&self.running).remove(&process_id);
    }

    /// A fresh token, for a session whose last one has fired.
    pub(super) fn token(&self, process_id: i32) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some((_, running)) = lock(&self.running).get_mut(&process_id) {
            *running = token.clone();
        }
        token
    }

    pub(super) fn cancel(&self, process_id: i32, secret_key: i32) {
        if let Some((secret, token)) = lock(&self.running).get(&process_id)
            && *secret == secret_key
        {
            token.cancel();
        }
    }
}

/// A number nobody guesses: the hasher's keys come from the operating system.
fn random_key() -> i32 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let bytes = random.to_be_bytes();
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent that listens.
pub struct Listening {
    listener: TcpListener,
    agent: Arc<Agent>,
    config: AgentConfig,
}

/// Begins to listen.
///
/// # Errors
/// The address cannot be listened at.
pub async fn listen(config: AgentConfig, agent: Arc<Agent>) -> Result<Listening, Error> {
    let address = config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    Ok(Listening { listener, agent, config })
}

impl Listening {
    /// Where: the port is known even when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// Serves until `shutdown`; then lets statements and transactions finish for [`AgentConfig::drain_time`].
    ///
    /// # Errors
    /// The threads that serve clients cannot be started.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let permits = Arc::new(Semaphore::new(self.config.sessions_max.max(1)));
        let (shutdown_of_all, drain_time) = (shutdown.clone(), self.config.drain_time);
        let service =
            Arc::new(Service { agent: self.agent, shutdown: shutdown_of_all, drain_time });
        let workers =
            Workers::start(&service, self.config.workers, &shutdown).map_err(Error::Threads)?;
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted.and_then(|(socket, _)| socket.into_std()) {
                Ok(socket) => {
                    let permit = Arc::clone(&permits).try_acquire_owned().ok();
                    workers.serve(Arrival { socket, permit }).await;
                }
                Err(error) => {
                    // Out of descriptors, most often: others have to close some first.
                    tracing::warn!(%error, "could not accept a client");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
        workers.join().await;
        Ok(())
    }
}

/// What the workers of an agent share.
struct Service {
    agent: Arc<Agent>,
    shutdown: CancellationToken,
    drain_time: std::time::Duration,
}

/// A client that was accepted.
struct Arrival {
    socket: std::net::TcpStream,
    /// Its place among all; none when all are taken.
    permit: Option<OwnedSemaphorePermit>,
}

impl workers::Service for Service {
    type Arrival = Arrival;

    async fn serve(self: Arc<Self>, arrival: Arrival) {
        let Arrival { socket, permit } = arrival;
        // A failure would only cost latency.
        let _ = socket.set_nodelay(true);
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                let shutdown = self.shutdown.clone();
                session::serve(Arc::clone(&self.agent), socket, permit.is_some(), shutdown).await;
            }
            Err(error) => tracing::warn!(%error, "cannot serve a client"),
        }
        drop(permit);
    }

    async fn drain(&self, clients: &mut JoinSet<()>) {
        let all = async { while clients.join_next().await.is_some() {} };
        let _ = timeout(self.drain_time, all).await;
    }
}

/// Listens and serves until `shutdown`.
///
/// # Errors
/// The address cannot be listened at; the threads that serve clients cannot be started.
pub async fn serve(
    config: AgentConfig,
    agent: Arc<Agent>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    listen(config, agent).await?.run(shutdown).await
}
