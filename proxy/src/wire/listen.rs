//! Accepts clients under a bound, hands each to a worker, and drains them at the end.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dataman_node_protocol::workers::{Service, Workers, log_panic, run_alone, workers_default};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::session::prepared::PlanCache;
use crate::sqlstate::Report;
use crate::wire::auth::accept;
use crate::wire::cancel::CancelKeys;
use crate::wire::connection::Writer;
use crate::wire::serve::serve;
use crate::wire::start::Starts;

/// How many clients a proxy serves at a time unless configured. The next one is refused with `53300`.
pub const CLIENTS_MAX: usize = 1000;

/// How many connections beyond the clients may be open for cancel requests and for being refused.
const REFUSALS_MAX: usize = 100;

/// How long statements may go on after the proxy was told to stop, unless configured.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long cancelled statements may take to end after that.
const CANCEL_TIME: Duration = Duration::from_secs(2);

/// How long to wait when the operating system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all clients of a proxy share.
pub struct Proxy {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Plans.
    pub plans: Arc<PlanCache>,
    /// Cancel keys.
    pub cancel_keys: Arc<CancelKeys>,
    /// TLS, when there is a certificate.
    pub tls: Option<TlsAcceptor>,
    /// How many clients at a time.
    pub clients_max: usize,
    /// How long statements may go on after the proxy was told to stop.
    pub drain_time: Duration,
    /// How many threads serve them.
    pub workers: NonZeroUsize,
    /// What sessions begin with, by their startup messages.
    pub(crate) starts: Starts,
    /// What sessions begin with as `dataman.statement_mem`.
    pub statement_mem: String,
}

impl Proxy {
    /// A proxy for a cluster, without TLS.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            plans: Arc::default(),
            cancel_keys: Arc::default(),
            tls: None,
            clients_max: CLIENTS_MAX,
            drain_time: DRAIN_TIME,
            workers: workers_default(),
            starts: Starts::default(),
            statement_mem: format!("{}kB", crate::merge::STATEMENT_BYTES_MAX / 1024),
        }
    }
}

/// Serves clients until `shutdown` fires; then waits for the statements that run, for up to [`Proxy::drain_time`], cancels those
/// that are left, and returns.
///
/// # Errors
/// The threads that serve clients cannot be started.
pub async fn listen(
    proxy: Arc<Proxy>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let workers = Workers::start(&proxy, proxy.workers, &shutdown)?;
    let listener = listener.into_std()?;
    let work = move || accept_clients(proxy, listener, workers, shutdown);
    let workers = run_alone("listener", work).await??;
    workers.join().await;
    Ok(())
}

/// Hands clients to workers until `shutdown` fires; gives the workers back.
async fn accept_clients(
    proxy: Arc<Proxy>,
    listener: std::net::TcpListener,
    workers: Workers<Arrival>,
    shutdown: CancellationToken,
) -> std::io::Result<Workers<Arrival>> {
    let listener = TcpListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(proxy.clients_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut refused = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = refused.join_next() => {
                log_panic(ended);
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            // The socket leaves this thread's runtime, and is watched by its worker's.
            match stream.into_std() {
                Ok(stream) => workers.serve(Arrival { stream, peer, permit }).await,
                Err(error) => tracing::warn!(%error, "cannot hand a client over"),
            }
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            let clients_max = proxy.clients_max;
            refused.spawn(async move {
                let (_read, write) = stream.into_split();
                let mut writer = Writer::new(Box::new(write));
                let detail =
                    format!("This proxy serves {clients_max} clients at a time (--clients-max).");
                writer.report(
                    &Report::fatal("53300", "sorry, too many clients already").with_detail(detail),
                );
                let _ = tokio::time::timeout(CANCEL_TIME, writer.close()).await;
                drop(permit);
            });
        }
    }
    Ok(workers)
}

/// A client that was accepted.
pub struct Arrival {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    /// Its place among all clients.
    permit: OwnedSemaphorePermit,
}

impl Service for Proxy {
    type Arrival = Arrival;

    async fn serve(self: Arc<Self>, arrival: Arrival) {
        let Arrival { stream, peer, permit } = arrival;
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                // In a box that is gone when the client has logged in.
                if let Some(client) = Box::pin(accept(&self, stream, peer)).await {
                    serve(client).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot serve a client"),
        }
        drop(permit);
    }

    /// Waits for the statements that run, cancels those that are left after [`Proxy::drain_time`].
    async fn drain(&self, clients: &mut JoinSet<()>) {
        let all = async |clients: &mut JoinSet<()>| {
            while let Some(ended) = clients.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(self.drain_time, all(clients)).await.is_ok() {
            return;
        }
        tracing::warn!(clients = clients.len(), "statements are cancelled to shut down");
        self.cancel_keys.cancel_all();
        if tokio::time::timeout(CANCEL_TIME, all(clients)).await.is_err() {
            clients.shutdown().await;
        }
    }
}
