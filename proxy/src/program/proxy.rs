//! `dataman proxy`: what clients connect to, alone.

use std::sync::Arc;

use dataman_metadata::member::{MemberKind, Membership};
use dataman_proxy::cluster::{Cluster, Nodes};
use dataman_proxy::config::Proxy;

use super::{Failure, bind, open_existing, open_nodes, resources, say, serve, warn_of_missing};

/// Runs until a signal comes.
pub(crate) async fn run(proxy: Proxy) -> Result<(), Failure> {
    let resources = resources(&proxy.clients)?;
    let store = open_existing(&proxy.metadata).await?;
    let listener = bind(proxy.listen).await?;
    let address = listener.local_addr().unwrap_or(proxy.listen);
    // First of all, so that no change of the schema is acknowledged from now on that this proxy does not know.
    let name = format!("{address}-{:08x}", rand::random::<u32>());
    let mut membership =
        Membership::join(Arc::clone(&store), MemberKind::Proxy, &name, &address.to_string())
            .await?;
    let snapshot = store.read().await?;
    let nodes =
        open_nodes(&snapshot, &Nodes::new(), false, proxy.datasources.datasource_connections_max)
            .await?;
    warn_of_missing(&nodes).await;
    let cluster = Cluster::open(store, nodes).await?.with_resources(resources);
    let cluster = Arc::new(cluster);
    cluster.set_own_lease(membership.name());
    membership.follow(cluster.epochs());
    say(&format!("dataman proxy is ready on {address}"));
    serve(cluster, listener, &proxy.clients, &proxy.datasources, false, Some(membership)).await
}
