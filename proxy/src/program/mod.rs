//! What the program does for each of its commands. Only here are database drivers linked.
//!
//! - [`up`]: everything in one process
//! - [`proxy`], [`agent`]: the parts
//! - [`ctl`]: looking at a cluster and changing it

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::id::DatasourceId;
use dataman_metadata::member::Membership;
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::store::{Store, StoreError};
use dataman_node_protocol::address::AgentAccess;
use dataman_node_protocol::node::Node;
use dataman_proxy::cluster::{Cluster, Nodes};
use dataman_proxy::config::{Clients, Datasources};
use dataman_proxy::merge::{Resources, TemporaryFolder};
use dataman_proxy::session::define::unfinished::{finish_altered, look_after};
use dataman_proxy::wire::listen::{Proxy, listen};
use dataman_proxy::{metrics, replicas};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(crate) mod agent;
pub(crate) mod ctl;
mod inspect;
pub(crate) mod proxy;
pub(crate) mod up;

/// How long to wait at the start for a datasource to say that it is there.
const HEALTH_TIME: Duration = Duration::from_secs(5);

/// Why the program ends: what is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: String,
    remedy: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: None }
    }

    /// Adds advice: a sentence.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Self::new(format!("{error}{}", cause.unwrap_or_default()))
    }
}

impl From<dataman_proxy::error::Error> for Failure {
    fn from(error: dataman_proxy::error::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Writes to standard output, which is for people.
pub(crate) fn say(text: &str) {
    // There may be nobody who reads.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes to standard error.
pub(crate) fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Listens for clients, or says who has the port.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::new(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.with_remedy(format!(
                "Something already listens there, maybe another dataman. Stop it, or choose another address: --listen {}:{}",
                address.ip(),
                address.port().wrapping_add(1)
            )),
            std::io::ErrorKind::PermissionDenied => failure.with_remedy(
                "Ports below 1024 need privileges. Choose a higher one with --listen.",
            ),
            std::io::ErrorKind::AddrNotAvailable => failure.with_remedy(
                "No interface of this machine has that address. 0.0.0.0 means all of them.",
            ),
            _ => failure,
        }
    })
}

/// Opens every datasource of a cluster: in this process where a node has no agent of its own and `in_process` says so.
pub(crate) async fn open_nodes(
    snapshot: &Snapshot,
    known: &Nodes,
    in_process: bool,
    connections_max: usize,
) -> Result<Nodes, Failure> {
    let mut nodes = Nodes::new();
    for node in snapshot.nodes.values() {
        for datasource in &node.datasources {
            let id = DatasourceId { node: node.id.clone(), name: datasource.name.clone() };
            if let Some(known) = known.get(&id) {
                nodes.insert(id, Arc::clone(known));
                continue;
            }
            let failed = |error: dataman_node_protocol::NodeError| {
                let failure = Failure::new(format!("datasource {id}: {error}"));
                match error.hint {
                    Some(hint) => failure.with_remedy(hint),
                    None => failure,
                }
            };
            let opened: Arc<dyn Node> = match &node.agent {
                None if in_process => {
                    let url = expand_environment(&datasource.url)
                        .map_err(|problem| Failure::new(format!("datasource {id}: {problem}")))?;
                    let limits =
                        dataman_node_agent::Limits { connections_max, ..Default::default() };
                    dataman_node_agent::open(datasource.engine, &url, limits)
                        .await
                        .map_err(failed)?
                }
                None => {
                    tracing::warn!(datasource = %id, "its node has no agent that could be reached");
                    continue;
                }
                Some(address) => {
                    let access = agent_access(node)?;
                    remote(address, datasource, connections_max, &access).map_err(failed)?
                }
            };
            nodes.insert(id, opened);
        }
    }
    Ok(nodes)
}

fn remote(
    address: &str,
    datasource: &dataman_metadata::topology::Datasource,
    connections_max: usize,
    access: &AgentAccess,
) -> Result<Arc<dyn Node>, dataman_node_protocol::NodeError> {
    let limits = dataman_node_protocol::pool::PoolLimits { connections_max, ..Default::default() };
    dataman_node_agent::open_remote(datasource.engine, address, &datasource.name, limits, access)
}

/// What a node's agent asks, with the environment's variables replaced.
pub(crate) fn agent_access(
    node: &dataman_metadata::topology::Node,
) -> Result<AgentAccess, Failure> {
    let expand = |text: &Option<String>| {
        let expanded = text.as_deref().map(expand_environment).transpose();
        expanded.map_err(|problem| {
            let problem = problem.replacen("its URL", "what the cluster file says of it", 1);
            Failure::new(format!("the agent of node \"{}\": {problem}", node.id))
        })
    };
    let password = expand(&node.agent_password)?;
    Ok(AgentAccess { password, authority: expand(&node.agent_ca)?.map(Into::into) })
}

/// Opens the store of a metadata URL, or makes it.
pub(crate) async fn open_store(url: &str) -> Result<Arc<dyn Store>, Failure> {
    Ok(dataman_metadata::store::open(&metadata_url(url)?).await?)
}

/// Opens the store of a metadata URL, which must hold a cluster.
pub(crate) async fn open_existing(url: &str) -> Result<Arc<dyn Store>, Failure> {
    Ok(dataman_metadata::store::open_existing(&metadata_url(url)?).await?)
}

fn metadata_url(url: &str) -> Result<String, Failure> {
    let expanded = expand_environment(url);
    expanded.map_err(|problem| Failure::new(format!("--metadata: {problem}")))
}

/// Replaces `${NAME}` by the environment's variables.
fn expand_environment(url: &str) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = url;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let end = after.find('}').ok_or("its URL has ${ without }")?;
        let name = &after[2..end];
        let value = std::env::var(name).map_err(|_| {
            format!("its URL needs the environment variable {name}, which is not set")
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Says which shards cannot be reached now. They may come later: statements that need them fail until then.
pub(crate) async fn warn_of_missing(nodes: &Nodes) {
    for (id, node) in nodes {
        let problem = match tokio::time::timeout(HEALTH_TIME, node.connect()).await {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer for {} seconds", HEALTH_TIME.as_secs()),
        };
        say_error(&format!(
            "warning: datasource {id} cannot be reached: {problem}\n  Statements that need its shards fail until it is back."
        ));
    }
}

/// Serves clients until a signal comes; opens what the cluster gets meanwhile. A second signal ends the program at once.
pub(crate) async fn serve(
    cluster: Arc<Cluster>,
    listener: TcpListener,
    clients: &Clients,
    datasources: &Datasources,
    in_process: bool,
    membership: Option<Membership>,
) -> Result<(), Failure> {
    let mut proxy = Proxy::new(Arc::clone(&cluster));
    proxy.clients_max = clients.clients_max;
    proxy.drain_time = Duration::from_secs(clients.drain_time);
    if let Some(workers) = clients.workers {
        proxy.workers = workers;
    }
    proxy.statement_mem = statement_mem(&clients.statement_mem)?;
    proxy.tls = acceptor(clients)?;
    // What a proxy that is gone has left to be done, before clients could meet it. A shard that does not answer does it later.
    match tokio::time::timeout(HEALTH_TIME, finish_altered(&cluster)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => tracing::warn!("a schema change that was cut off is not finished yet"),
    }
    let measured = match clients.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let measure = async {
        match measured {
            Some(listener) => metrics::serve(&cluster, listener).await,
            None => std::future::pending().await,
        }
    };
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let mut serving = std::pin::pin!(listen(Arc::new(proxy), listener, shutdown.clone()));
    // The branches lose nothing when they are dropped: signals wait, and the cluster's changes are read anew.
    tokio::select! {
        ended = &mut serving => return ended.map_err(unserved),
        () = follow_nodes(&cluster, in_process, datasources.datasource_connections_max) => {}
        () = look_after(&cluster) => {}
        () = replicas::follow(&cluster) => {}
        () = measure => {}
        () = cluster.follow_members(), if membership.is_some() => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    say_error("dataman: stopping; statements may finish (a second signal ends at once)");
    if let Some(membership) = &membership {
        membership.drain();
    }
    shutdown.cancel();
    tokio::select! {
        ended = &mut serving => {
            if let Some(membership) = membership {
                membership.leave().await;
            }
            ended.map_err(unserved)?;
        }
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn unserved(error: std::io::Error) -> Failure {
    Failure::new(format!("cannot start the threads that serve clients: {error}"))
        .with_remedy("Raise the limit on processes and threads, or give fewer with --workers.")
}

/// Opens the datasources that the cluster gets. Ends never.
async fn follow_nodes(cluster: &Cluster, in_process: bool, connections_max: usize) {
    let mut epochs = cluster.epochs();
    loop {
        if epochs.changed().await.is_err() {
            return std::future::pending().await;
        }
        let known = cluster.nodes();
        let snapshot = cluster.snapshot();
        let wanted: usize = snapshot.nodes.values().map(|node| node.datasources.len()).sum();
        let is_known = snapshot.nodes.values().all(|node| {
            node.datasources.iter().all(|datasource| {
                known.contains_key(&DatasourceId {
                    node: node.id.clone(),
                    name: datasource.name.clone(),
                })
            })
        });
        if is_known && wanted == known.len() {
            continue;
        }
        match open_nodes(&snapshot, &known, in_process, connections_max).await {
            Ok(nodes) => cluster.set_nodes(nodes),
            Err(failure) => tracing::error!(%failure, "cannot open a datasource of the cluster"),
        }
    }
}

/// What all statements share above the shards, as the command line says.
pub(crate) fn resources(clients: &Clients) -> Result<Resources, Failure> {
    let memory = match &clients.memory {
        Some(size) => memory_size(size).ok_or_else(|| {
            Failure::new(format!("--memory {size}: no size"))
                .with_remedy("Write a size from 1MB up: --memory 4GB")
        })?,
        None => machine_bytes().map_or(usize::MAX, |bytes| bytes / 2),
    };
    let folder = clients.temp_dir.clone().unwrap_or_else(TemporaryFolder::default_path);
    Ok(Resources::new(memory, TemporaryFolder::new(folder)))
}

/// The bytes of a size: a number with kB, MB, GB or TB.
fn memory_size(size: &str) -> Option<usize> {
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: usize = match &size[digits.len()..] {
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    let bytes = digits.trim().parse::<usize>().ok()?.checked_mul(unit)?;
    (bytes >= 1 << 20).then_some(bytes)
}

/// The memory of the machine, where that can be found out.
fn machine_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Checks the size, so that it is wrong at the start and not for each client.
fn statement_mem(size: &str) -> Result<String, Failure> {
    use dataman_proxy::session::parameters::STATEMENT_MEMORY;
    use dataman_proxy::session::settings::{Settings, Source};
    let mut settings = Settings::new("", false);
    settings.set_initial(STATEMENT_MEMORY, size, Source::CommandLine).map_err(|error| {
        Failure::new(format!("--statement-mem {size}: {}", error.message()))
            .with_remedy("Write a size from 64kB up: --statement-mem 512MB")
    })?;
    Ok(size.to_owned())
}

fn acceptor(clients: &Clients) -> Result<Option<TlsAcceptor>, Failure> {
    tls_acceptor(clients.tls_cert.as_deref(), clients.tls_key.as_deref())
}

/// Reads a certificate and its key, when they are given.
pub(crate) fn tls_acceptor(
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<TlsAcceptor>, Failure> {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    let unreadable = |path: &std::path::Path, error: String| {
        Failure::new(format!("{}: {error}", path.display()))
            .with_remedy("Give PEM files that this user may read.")
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error.to_string()))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| unreadable(certificate, error.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
