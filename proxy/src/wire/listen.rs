//! Accepts clients under a bound, each in a task of its own, and drains them at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
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

/// How many clients a proxy serves at a time unless configured. The next one is refused with `53300`.
pub const CLIENTS_MAX: usize = 1000;

/// How many connections beyond the clients may be open for cancel requests and for being refused.
const REFUSALS_MAX: usize = 100;

/// How long statements may go on after the proxy was told to stop.
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
        }
    }
}

/// Serves clients until `shutdown` fires; then waits for the statements that run, for up to [`DRAIN_TIME`], cancels those
/// that are left, and returns.
pub async fn listen(proxy: Arc<Proxy>, listener: TcpListener, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(proxy.clients_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = clients.join_next() => {
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
        let proxy = Arc::clone(&proxy);
        let shutdown = shutdown.clone();
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            clients.spawn(async move {
                if let Some(client) = accept(&proxy, stream, peer).await {
                    serve(client, &shutdown).await;
                }
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            clients.spawn(async move {
                let (_read, write) = stream.into_split();
                let mut writer = Writer::new(Box::new(write));
                writer.report(&Report::fatal("53300", "sorry, too many clients already"));
                let _ = tokio::time::timeout(CANCEL_TIME, writer.close()).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    drain(&proxy, &mut clients).await;
}

async fn drain(proxy: &Proxy, clients: &mut JoinSet<()>) {
    let all = async |clients: &mut JoinSet<()>| {
        while let Some(ended) = clients.join_next().await {
            log_panic(ended);
        }
    };
    if tokio::time::timeout(DRAIN_TIME, all(clients)).await.is_ok() {
        return;
    }
    tracing::warn!(clients = clients.len(), "statements are cancelled to shut down");
    proxy.cancel_keys.cancel_all();
    if tokio::time::timeout(CANCEL_TIME, all(clients)).await.is_err() {
        clients.shutdown().await;
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a client's task panicked");
    }
}
