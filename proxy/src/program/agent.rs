//! `dataman agent`: beside the databases of one node, alone.

use std::sync::Arc;

use dataman_metadata::watch::SnapshotWatch;
use dataman_node_agent::Limits;
use dataman_node_agent::config::{AgentConfig, open_datasources};
use dataman_node_agent::serve::Agent as NodeAgent;
use dataman_node_agent::serve::listen::listen;
use dataman_proxy::config::Agent;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, open_existing, say_error};

/// Runs until a signal comes. A second signal ends the program at once.
pub(crate) async fn run(agent: Agent) -> Result<(), Failure> {
    let store = open_existing(&agent.metadata).await?;
    let metadata = Arc::new(SnapshotWatch::start(store).await?);
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
    let listening = listen(agent_config, NodeAgent::new(datasources, Some(metadata)))
        .await
        .map_err(|error| failure(&error))?;
    let address = listening.address();
    say_error(&format!("dataman agent: node \"{}\" listens on {address}", agent.node));
    if !address.ip().is_loopback() {
        say_error("warning: an agent asks for no password: let only proxies reach this address");
    }

    let failed = |error| Failure::new(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let shutdown = CancellationToken::new();
    let mut serving = std::pin::pin!(listening.run(shutdown.clone()));
    // The branches lose nothing when they are dropped: signals wait.
    tokio::select! {
        served = &mut serving => return served.map_err(|error| failure(&error)),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    shutdown.cancel();
    tokio::select! {
        served = &mut serving => return served.map_err(|error| failure(&error)),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn failure(error: &dataman_node_agent::error::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Failure::new(format!("{error}{}", cause.unwrap_or_default()))
}
