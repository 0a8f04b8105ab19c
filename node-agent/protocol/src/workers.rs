//! The threads that serve clients: each has a runtime of its own, and a client stays on the thread that it was given.
//!
//! A statement of one client goes through one task, from its bytes to the shard's socket and back, so there is nothing for
//! several threads to share. With a runtime that hands tasks from thread to thread, every answer wakes another one: that
//! cost more than all that a proxy does for a point query.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::pool::set_home;

/// How many accepted clients may wait for a worker to take them. When it is full no more are accepted for a while: they wait
/// in the operating system's queue.
const ARRIVALS_MAX: usize = 256;

/// The stack of a worker: a statement is planned and its operators are opened as deep as it is nested, and how deep that may be is
/// bounded where it is parsed. Memory is taken only for what is used.
const STACK_BYTES: usize = 64 << 20;

/// How many workers there are unless configured: one for each core.
pub fn workers_default() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// What workers do with the clients that they are given.
pub trait Service: Send + Sync + 'static {
    /// A client that was accepted.
    type Arrival: Send + 'static;

    /// Serves one to its end.
    fn serve(self: Arc<Self>, arrival: Self::Arrival) -> impl Future<Output = ()> + Send;

    /// Lets those that are left finish, when the end has come: for a bounded time.
    fn drain(&self, clients: &mut JoinSet<()>) -> impl Future<Output = ()> + Send;
}

/// The workers of one service.
pub struct Workers<A> {
    workers: Vec<Worker<A>>,
}

struct Worker<A> {
    arrivals: mpsc::Sender<A>,
    clients: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

impl<A: Send + 'static> Workers<A> {
    /// Starts `count` workers. They end after `shutdown` has fired and their clients have gone.
    ///
    /// # Errors
    /// A thread or its runtime cannot be started.
    pub fn start<S: Service<Arrival = A>>(
        service: &Arc<S>,
        count: NonZeroUsize,
        shutdown: &CancellationToken,
    ) -> std::io::Result<Self> {
        static NEXT_HOME: AtomicU32 = AtomicU32::new(1);
        let mut workers = Vec::with_capacity(count.get());
        for number in 1..=count.get() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
            let (end, ended) = oneshot::channel();
            let clients = Arc::new(AtomicUsize::new(0));
            let work = work(Arc::clone(service), receiver, Arc::clone(&clients), shutdown.clone());
            let home = NEXT_HOME.fetch_add(1, Ordering::Relaxed);
            let thread = std::thread::Builder::new().name(format!("clients-{number}"));
            thread.stack_size(STACK_BYTES).spawn(move || {
                set_home(home);
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
    pub async fn serve(&self, arrival: A) {
        let clients = |worker: &&Worker<A>| worker.clients.load(Ordering::Relaxed);
        if let Some(worker) = self.workers.iter().min_by_key(clients) {
            worker.clients.fetch_add(1, Ordering::Relaxed);
            // A worker that is gone has been told to stop: the client is refused by the closing of its socket.
            let _ = worker.arrivals.send(arrival).await;
        }
    }

    /// Waits until all have ended.
    pub async fn join(self) {
        for worker in self.workers {
            drop(worker.arrivals);
            let _ = worker.ended.await;
        }
    }
}

/// One worker: serves the clients that arrive until `shutdown` fires, then lets them finish.
async fn work<S: Service>(
    service: Arc<S>,
    mut arrivals: mpsc::Receiver<S::Arrival>,
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
        let Some(arrival) = arrival else { break };
        clients.spawn(Arc::clone(&service).serve(arrival));
    }
    drop(arrivals);
    service.drain(&mut clients).await;
}

/// Runs work on a thread and a runtime of its own, so that what it waits for wakes nobody else.
///
/// # Errors
/// The thread or its runtime cannot be started, or the work has panicked.
pub async fn run_alone<F: Future<Output: Send + 'static>>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<F::Output> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (end, ended) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody may wait for it any more.
        let _ = end.send(runtime.block_on(async { work().await }));
        runtime.shutdown_background();
    })?;
    ended.await.map_err(std::io::Error::other)
}

/// Says that a client's task has panicked, if it has.
pub fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a client's task panicked");
    }
}
