//! `dataman ctl`: looking at a cluster and changing it.

use std::fmt::Write;

use dataman_metadata::cluster::ClusterFile;
use dataman_metadata::schema::Placement;
use dataman_metadata::snapshot::Snapshot;
use dataman_proxy::cluster::Nodes;
use dataman_proxy::config::{Ctl, CtlAction};

use super::up::apply;
use super::{Failure, HEALTH_TIME, open_nodes, say};

/// Carries out one command.
pub(crate) async fn run(ctl: Ctl) -> Result<(), Failure> {
    match ctl.action {
        CtlAction::Apply { file } => {
            let file = ClusterFile::read(&file).map_err(|error| Failure::new(error.to_string()))?;
            let store = dataman_metadata::store::open(&ctl.metadata).await?;
            let changes = apply(&*store, &file).await?;
            let epoch = store.read().await?.epoch;
            say(&match changes {
                0 => format!("nothing to change at epoch {epoch}"),
                1 => format!("1 change made; epoch {epoch}"),
                changes => format!("{changes} changes made; epoch {epoch}"),
            });
            Ok(())
        }
        CtlAction::Check { file: Some(file) } => {
            let read = ClusterFile::read(&file).map_err(|error| Failure::new(error.to_string()))?;
            say(&format!(
                "{}: {} nodes, {} datastores, {} databases; no mistakes",
                read.file,
                read.nodes.len(),
                read.datastores.len(),
                read.databases.len()
            ));
            Ok(())
        }
        CtlAction::Check { file: None } => {
            let store = dataman_metadata::store::open_existing(&ctl.metadata).await?;
            // Reading checks every rule of the metadata.
            let snapshot = store.read().await?;
            say(&format!("the metadata at epoch {} has no mistakes", snapshot.epoch));
            Ok(())
        }
        CtlAction::Status => {
            let store = dataman_metadata::store::open_existing(&ctl.metadata).await?;
            let snapshot = store.read().await?;
            let nodes = open_nodes(&snapshot, &Nodes::new(), true, 1).await?;
            say(status(&snapshot, &nodes).await.trim_end());
            Ok(())
        }
        CtlAction::Inspect { name } => {
            let store = dataman_metadata::store::open_existing(&ctl.metadata).await?;
            let snapshot = store.read().await?;
            say(&inspect(&snapshot, name.as_deref().unwrap_or(""))?);
            Ok(())
        }
    }
}

async fn status(snapshot: &Snapshot, nodes: &Nodes) -> String {
    let mut text = format!("epoch {}\n", snapshot.epoch);
    for (id, node) in nodes {
        let health = match tokio::time::timeout(HEALTH_TIME, node.connect()).await {
            Ok(Ok(_)) => "up".to_owned(),
            Ok(Err(error)) => format!("down: {error}"),
            Err(_) => format!("down: no answer for {} seconds", HEALTH_TIME.as_secs()),
        };
        let engine = node.capability().engine();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "datasource {id} ({engine}): {health}");
    }
    for (id, datastore) in &snapshot.datastores {
        let _ = writeln!(text, "datastore {id}: {} vshards", datastore.vshards);
        for (number, shard) in datastore.shards.iter().enumerate() {
            let _ = writeln!(text, "  shard {number}: {}", shard.primary);
        }
    }
    for (id, database) in &snapshot.databases {
        let tables: Vec<_> =
            database.schemas.values().flat_map(|schema| schema.collections.values()).collect();
        let count =
            |is: fn(&Placement) -> bool| tables.iter().filter(|table| is(&table.placement)).count();
        let _ = writeln!(
            text,
            "database {id} in {}: {} sharded, {} single, {} reference tables",
            database.datastore,
            count(|placement| matches!(placement, Placement::Sharded(_))),
            count(|placement| matches!(placement, Placement::Single { .. })),
            count(|placement| matches!(placement, Placement::Reference)),
        );
    }
    text
}

fn inspect(snapshot: &Snapshot, name: &str) -> Result<String, Failure> {
    let whole = serde_json::to_value(snapshot)
        .map_err(|error| Failure::new(format!("cannot print the metadata: {error}")))?;
    let mut parts = name.split('.').filter(|part| !part.is_empty());
    let mut found = Some(&whole);
    if let Some(database) = parts.next() {
        found = whole.get("databases").and_then(|databases| databases.get(database));
    }
    if let Some(schema) = parts.next() {
        found = found.and_then(|database| database.get("schemas")?.get(schema));
    }
    if let Some(object) = parts.next() {
        found = found.and_then(|schema| {
            ["collections", "views", "sequences", "enums"]
                .iter()
                .find_map(|kind| schema.get(kind)?.get(object))
        });
    }
    let found = found.ok_or_else(|| {
        Failure::new(format!("the cluster has no \"{name}\""))
            .with_remedy("Name a database, DATABASE.SCHEMA, or DATABASE.SCHEMA.TABLE.")
    })?;
    serde_json::to_string_pretty(found)
        .map_err(|error| Failure::new(format!("cannot print the metadata: {error}")))
}
