//! The threads that serve clients: each has a runtime of its own, and a client stays on the thread that it was given.
//!
//! A statement of one client goes through one task, from its bytes to the shard's socket and back, so there is nothing for
//! several threads to share. With a runtime that hands tasks from thread to thread, every answer wakes another one: that
//! cost more than all that the proxy does for a point query.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::wire::auth::accept;
use crate::wire::listen::{Proxy, drain, log_panic};
use crate::wire::serve::serve;

/// How many accepted clients may wait for a worker to take them. When it is full no more are accepted for a while: they wait
/// in the operating system's queue.
const ARRIVALS_MAX: usize = 256;

/// How many workers there are unless configured: one for each core.
pub fn workers_default() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A client that was accepted.
pub(crate) struct Arrival {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    /// Its place among all clients.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The workers.
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

struct Worker {
    arrivals: mpsc::Sender<Arrival>,
    clients: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

impl Workers {
    /// Starts `count` workers. They end after `shutdown` has fired and their clients have gone.
    ///
    /// # Errors
    /// A thread or its runtime cannot be started.
    pub(crate) fn start(
        proxy: &Arc<Proxy>,
        count: NonZeroUsize,
        shutdown: &CancellationToken,
    ) -> std::io::Result<Self> {
        let mut workers = Vec::with_capacity(count.get());
        for number in 1..=count.get() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
            let (end, ended) = oneshot::channel();
            let clients = Arc::new(AtomicUsize::new(0));
            let work = work(Arc::clone(proxy), receiver, Arc::clone(&clients), shutdown.clone());
            std::thread::Builder::new().name(format!("clients-{number}")).spawn(move || {
                dataman_node_protocol::pool::set_home(u32::try_from(number).unwrap_or(u32::MAX));
                runtime.block_on(work);
                runtime.shutdown_background();
                // Nobody may wait for it any more.
                let _ = end.send(());
            })?;
            workers.push(Worker { arrivals, clients, ended });
        }
        Ok(Self { workers })
    }

    /// Gives a client to the worker that has the fewest.
    pub(crate) async fn serve(&self, arrival: Arrival) {
        let clients = |worker: &&Worker| worker.clients.load(Ordering::Relaxed);
        if let Some(worker) = self.workers.iter().min_by_key(clients) {
            worker.clients.fetch_add(1, Ordering::Relaxed);
            // A worker that is gone has been told to stop: the client is refused by the closing of its socket.
            let _ = worker.arrivals.send(arrival).await;
        }
    }

    /// Waits until all have ended.
    pub(crate) async fn join(self) {
        for worker in self.workers {
            drop(worker.arrivals);
            let _ = worker.ended.await;
        }
    }
}

/// One worker: serves the clients that arrive until `shutdown` fires, then lets them finish.
async fn work(
    proxy: Arc<Proxy>,
    mut arrivals: mpsc::Receiver<Arrival>,
    count: Arc<AtomicUsize>,
    shutdown: CancellationToken,
) {
    let mut clients = JoinSet::new();
    loop {
        // All branches can be dropped: what has not been received waits.
        let arrival = tokio::select! {
            arrival = arrivals.recv() => arrival,
            Some(ended) = clients.join_next() => {
                log_panic(ended);
                count.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            () = shutdown.cancelled() => None,
        };
        let Some(Arrival { stream, peer, permit }) = arrival else { break };
        let proxy = Arc::clone(&proxy);
        clients.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => {
                    if let Some(client) = accept(&proxy, stream, peer).await {
                        serve(client).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot serve a client"),
            }
            drop(permit);
        });
    }
    drop(arrivals);
    proxy.cancel_keys.close_all();
    drain(&proxy, &mut clients).await;
}
