//! `dataman up`: proxy, agents and metadata in one process.

use std::fs::{File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use dataman_metadata::cluster::{ClusterFile, DEFAULT_NAME};
use dataman_metadata::id::DatastoreId;
use dataman_metadata::store::{Store, StoreError};
use dataman_proxy::cluster::{Cluster, Nodes};
use dataman_proxy::config::{SHARDS_DEFAULT, Up};

use super::{Failure, bind, open_nodes, resources, say, serve, warn_of_missing};

/// How often to try again when another process changes the metadata at the same time.
const APPLY_ATTEMPTS: usize = 5;

/// Runs until a signal comes.
pub(crate) async fn run(up: Up) -> Result<(), Failure> {
    let file = match &up.cluster {
        Some(path) => {
            Some(ClusterFile::read(path).map_err(|error| Failure::new(error.to_string()))?)
        }
        None => None,
    };
    let resources = resources(&up.clients)?;
    let _lock = lock(&up.data)?;
    let listener = bind(up.listen).await?;
    let address = listener.local_addr().unwrap_or(up.listen);
    let url = format!("file:{}", up.data.display());
    let store = dataman_metadata::store::open(&url).await?;
    let file = match file {
        Some(file) => file,
        None => ClusterFile::one_machine(&up.data, shards(&up, &*store).await?),
    };
    apply(&*store, &file).await?;
    let snapshot = store.read().await?;
    let nodes =
        open_nodes(&snapshot, &Nodes::new(), true, up.datasources.datasource_connections_max)
            .await?;
    warn_of_missing(&nodes).await;
    let cluster = Cluster::open(store, nodes).await?.with_resources(resources);
    let cluster = Arc::new(cluster);
    say(&ready(&up, address, &cluster));
    serve(cluster, listener, &up.clients, &up.datasources, true, None).await
}

/// Makes the data folder, and keeps others from using it.
fn lock(data: &Path) -> Result<File, Failure> {
    std::fs::create_dir_all(data).map_err(|error| {
        Failure::new(format!("cannot make the data folder {}: {error}", data.display()))
            .with_remedy("Choose a folder that this user may write: --data DIR")
    })?;
    let path = data.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| {
            Failure::new(format!("cannot write to the data folder {}: {error}", data.display()))
                .with_remedy("Choose a folder that this user may write: --data DIR")
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "the data folder {} is in use by another dataman",
            data.display()
        ))
        .with_remedy("Stop it, or choose another folder: --data DIR")),
        Err(TryLockError::Error(error)) => {
            Err(Failure::new(format!("cannot lock {}: {error}", path.display())))
        }
    }
}

/// The number of shards: what is asked for, or what is there, or the default.
async fn shards(up: &Up, store: &dyn Store) -> Result<u32, Failure> {
    let snapshot = store.read().await?;
    let there = snapshot
        .datastores
        .get(&DatastoreId::from("main"))
        .and_then(|datastore| u32::try_from(datastore.shards.len()).ok());
    match (up.shards, there) {
        (Some(wanted), Some(there)) if wanted != there => Err(Failure::new(format!(
            "the data folder {} has {there} shards, and --shards asks for {wanted}",
            up.data.display()
        ))
        .with_remedy(
            "Leave --shards out to use what is there, or choose another folder: --data DIR",
        )),
        (Some(wanted), _) => Ok(wanted),
        (None, there) => Ok(there.unwrap_or(SHARDS_DEFAULT)),
    }
}

/// Makes the metadata as a cluster file says; gives how many changes that took.
pub(crate) async fn apply(store: &dyn Store, file: &ClusterFile) -> Result<usize, Failure> {
    for attempt in 1.. {
        let snapshot = store.read().await?;
        let changes =
            file.changes_against(&snapshot).map_err(|error| Failure::new(error.to_string()))?;
        if changes.is_empty() {
            return Ok(0);
        }
        match store.commit(snapshot.epoch, &changes).await {
            Ok(_) => return Ok(changes.len()),
            Err(StoreError::Conflict { .. }) if attempt < APPLY_ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(0)
}

/// What is printed when clients may come: what to paste, and what to try.
fn ready(up: &Up, address: SocketAddr, cluster: &Cluster) -> String {
    let snapshot = cluster.snapshot();
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let (database, owner) = snapshot
        .database(DEFAULT_NAME)
        .or_else(|| snapshot.databases.values().next())
        .map_or((DEFAULT_NAME, DEFAULT_NAME), |database| (&*database.id.0, &*database.owner));
    let shards: usize = snapshot.datastores.values().map(|one| one.shards.len()).sum();
    let place = match &up.cluster {
        Some(file) => format!("the cluster of {}", file.display()),
        None => format!("data in {}", up.data.display()),
    };
    format!(
        "dataman is ready on {address}: {shards} shards, {place}

  psql \"host={host} port={port} user={owner} dbname={database}\"

To try:
  CREATE TABLE customers (id bigint PRIMARY KEY, name text) WITH (shard_key = 'id');
  INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger');
  SELECT count(*), max(name) FROM customers;
  EXPLAIN SELECT name FROM customers WHERE id = 2;

Ctrl-C stops it.",
        port = address.port()
    )
}
