//! `dataman agent`: beside the databases of one node, alone.

use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::member::{MemberKind, join_after};
use dataman_metadata::watch::SnapshotWatch;
use dataman_node_agent::Limits;
use dataman_node_agent::config::{AgentConfig, open_datasources};
use dataman_node_agent::serve::Agent as NodeAgent;
use dataman_node_agent::serve::guard::Guard;
use dataman_node_agent::serve::listen::listen;
use dataman_node_protocol::scram::Verifier;
use dataman_proxy::config::Agent;
use dataman_proxy::metrics::serve_pages;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Failure, agent_access, bind, open_existing, say_error, tls_acceptor};

/// How long telling the others that this agent stops may take.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// Runs until a signal comes. A second signal ends the program at once.
pub(crate) async fn run(agent: Agent) -> Result<(), Failure> {
    let store = open_existing(&agent.metadata).await?;
    let metadata = Arc::new(SnapshotWatch::start(Arc::clone(&store)).await?);
    let snapshot = metadata.snapshot();
    let Some(node) = snapshot.nodes.values().find(|node| node.id.to_string() == agent.node) else {
        let names: Vec<_> = snapshot.nodes.keys().map(ToString::to_string).collect();
        return Err(Failure::new(format!("the cluster has no node \"{}\"", agent.node))
            .with_remedy(format!("It has these: {}.", names.join(", "))));
    };
    let limits = Limits {
        connections_max: agent.datasources.datasource_connections_max,
        ..Limits::default()
    };
    let environment = |name: &str| std::env::var(name).ok();
    let datasources = open_datasources(&node.datasources, limits, &environment)
        .await
        .map_err(|error| failure(&error))?;
    for (name, datasource) in &datasources {
        if let Err(error) = dataman_node_agent::health::check(&**datasource).await {
            say_error(&format!("warning: datasource {name} cannot be reached: {error}"));
        }
    }
    let mut agent_config = AgentConfig::new(agent.listen);
    if let Some(workers) = agent.workers {
        agent_config.workers = workers;
    }
    agent_config.drain_time = Duration::from_secs(agent.drain_time);
    let access = agent_access(node)?;
    let tls = tls_acceptor(agent.tls_cert.as_deref(), agent.tls_key.as_deref())?;
    if access.authority.is_some() && tls.is_none() {
        return Err(Failure::new(format!(
            "proxies want the agent of node \"{}\" to encrypt: it has agent_ca in the cluster file",
            agent.node
        ))
        .with_remedy("Add --tls-cert FILE and --tls-key FILE."));
    }
    let is_guarded = access.password.is_some();
    let guard = Guard { verifier: access.password.as_deref().map(Verifier::of_password), tls };
    let metrics = match agent.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let node_agent = NodeAgent::guarded(datasources, Some(Arc::clone(&metadata)), guard);
    let listening =
        listen(agent_config, Arc::clone(&node_agent)).await.map_err(|error| failure(&error))?;
    let address = listening.address();
    let mut membership =
        join_after(&store, MemberKind::Node, &agent.node, &address.to_string()).await.map_err(
            |error| {
                Failure::from(error).with_remedy(
                    "Another agent runs for this node: stop it, or start this one with the name of its own node.",
                )
            },
        )?;
    // What was acknowledged before this agent came is refused to those who are late, too.
    metadata.offer(&store.read().await?);
    let (fenced, epochs) = watch::channel(metadata.epoch());
    node_agent.fence.raise(metadata.epoch().0);
    membership.follow(epochs);
    say_error(&format!("dataman agent: node \"{}\" listens on {address}", agent.node));
    if !address.ip().is_loopback() && !is_guarded {
        say_error(
            "warning: this agent asks for no password: let only proxies reach this address, or give the node an agent_password in the cluster file",
        );
    }

    let failed = |error| Failure::new(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let shutdown = CancellationToken::new();
    let mut serving = std::pin::pin!(listening.run(shutdown.clone()));
    let raise_fence = async {
        let mut epochs = metadata.epochs();
        loop {
            // The agent has an epoch when it refuses what is older.
            let epoch = *epochs.borrow_and_update();
            node_agent.fence.raise(epoch.0);
            fenced.send_replace(epoch);
            if epochs.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut raise_fence = std::pin::pin!(raise_fence);
    let measured = async {
        match metrics {
            Some(listener) => {
                serve_pages(listener, async || node_agent.metrics(&agent.node).await).await
            }
            None => std::future::pending().await,
        }
    };
    let mut measured = std::pin::pin!(measured);
    // The branches lose nothing when they are dropped: signals wait.
    tokio::select! {
        served = &mut serving => return served.map_err(|error| failure(&error)),
        () = &mut raise_fence => {}
        () = &mut measured => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    // Told before the first session is closed: whoever meets a closed one then knows that the agent may be back in a moment.
    if tokio::time::timeout(FAREWELL_TIME, membership.leave_for_now()).await.is_err() {
        say_error(
            "warning: the metadata store does not answer; nobody could be told that this agent stops",
        );
    }
    shutdown.cancel();
    tokio::select! {
        served = &mut serving => return served.map_err(|error| failure(&error)),
        () = &mut raise_fence => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn failure(error: &dataman_node_agent::error::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Failure::new(format!("{error}{}", cause.unwrap_or_default()))
}
