//! `dataman agent`: beside the databases of one node, alone.

use dataman_proxy::config::Agent;

use super::Failure;

/// Runs until a signal comes.
pub async fn run(agent: Agent) -> Result<(), Failure> {
    let store = dataman_metadata::store::open_existing(&agent.metadata).await?;
    let snapshot = store.read().await?;
    let names: Vec<_> = snapshot.nodes.keys().map(ToString::to_string).collect();
    if !names.contains(&agent.node) {
        return Err(Failure::new(format!("the cluster has no node \"{}\"", agent.node))
            .with_remedy(format!("It has these: {}.", names.join(", "))));
    }
    Err(Failure::new("agents are not there yet"))
}
