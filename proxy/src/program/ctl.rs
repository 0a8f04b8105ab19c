//! `dataman ctl`: looking at a cluster and changing it.

use std::fmt::Write;
use std::path::Path;

use dataman_metadata::cluster::ClusterFile;
use dataman_metadata::member::{Member, MemberKind, MemberState, NodeState, wait_for_all};
use dataman_metadata::schema::Placement;
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::store::Backup;
use dataman_proxy::cluster::{MEMBERS_PATIENCE, Nodes};
use dataman_proxy::config::{Ctl, CtlAction};

use super::up::apply;
use super::{Failure, HEALTH_TIME, open_existing, open_nodes, open_store as open, say, say_error};

/// Carries out one command.
pub(crate) async fn run(ctl: Ctl) -> Result<(), Failure> {
    match ctl.action {
        CtlAction::Apply { file } => {
            let file = ClusterFile::read(&file).map_err(|error| Failure::new(error.to_string()))?;
            let store = open(&ctl.metadata).await?;
            let changes = apply(&*store, &file).await?;
            let epoch = store.read().await?.epoch;
            let late = wait_for_all(&*store, epoch, None, MEMBERS_PATIENCE).await?;
            for member in late {
                say_error(&format!(
                    "warning: {} \"{}\" does not know the change yet",
                    member.kind.word(),
                    member.name
                ));
            }
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
            let store = open_existing(&ctl.metadata).await?;
            // Reading checks every rule of the metadata.
            let snapshot = store.read().await?;
            say(&format!("the metadata at epoch {} has no mistakes", snapshot.epoch));
            Ok(())
        }
        CtlAction::Status => {
            let store = open_existing(&ctl.metadata).await?;
            let snapshot = store.read().await?;
            let nodes = open_nodes(&snapshot, &Nodes::new(), true, 1).await?;
            let members = dataman_metadata::member::members(&*store).await?;
            say(status(&snapshot, &nodes, &members).await.trim_end());
            Ok(())
        }
        CtlAction::Backup { file } => {
            let store = open_existing(&ctl.metadata).await?;
            let backup = store.backup().await?;
            write_new(&file, &backup.to_text()).map_err(|error| {
                Failure::new(format!("cannot write {}: {error}", file.display())).with_remedy(
                    "Name a file that does not exist, in a folder that this user may write.",
                )
            })?;
            let (epoch, sequences) = (backup.snapshot.epoch, backup.sequences.len());
            say(&format!("{}: epoch {epoch}, {sequences} sequences in use", file.display()));
            Ok(())
        }
        CtlAction::Restore { file, replace } => restore(&ctl.metadata, &file, replace).await,
        CtlAction::Inspect { name } => {
            let store = open_existing(&ctl.metadata).await?;
            let snapshot = store.read().await?;
            let name = name.as_deref().unwrap_or("");
            if name.contains('/') {
                let nodes = open_nodes(&snapshot, &Nodes::new(), true, 1).await?;
                say(super::inspect::datasource(&snapshot, &nodes, name).await?.trim_end());
                return Ok(());
            }
            say(&inspect(&snapshot, name)?);
            Ok(())
        }
    }
}

/// Writes a file that only its owner reads, and that is there whole or not at all.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = (|| {
        let mut file =
            std::fs::File::options().write(true).create_new(true).mode(0o600).open(&part)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        // Unlike a renaming, a link refuses to replace what is there.
        std::fs::hard_link(&part, path)
    })();
    let _ = std::fs::remove_file(&part);
    written
}

async fn restore(metadata: &str, path: &Path, replace: bool) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let backup = Backup::from_text(&path.display().to_string(), &text)?;
    let store = open(metadata).await?;
    let before = store.read().await?;
    if before.epoch.0 > 0 && !replace {
        let databases: Vec<_> = before.databases.keys().map(ToString::to_string).collect();
        return Err(Failure::new(format!(
            "there is metadata at epoch {} already (databases: {})",
            before.epoch,
            databases.join(", ")
        ))
        .with_remedy("Stop the proxies, keep a backup of it, and add --replace."));
    }
    let restored = store.restore(before.epoch, &backup).await?;
    say(&format!(
        "restored what was epoch {}; it is epoch {} now",
        backup.snapshot.epoch, restored.epoch
    ));
    Ok(())
}

async fn status(snapshot: &Snapshot, nodes: &Nodes, members: &[Member]) -> String {
    let mut text = format!("epoch {}\n", snapshot.epoch);
    for (id, node) in &snapshot.nodes {
        let is_its = |member: &&Member| member.kind == MemberKind::Node && member.name == id.0;
        let member = members.iter().find(is_its);
        let state = NodeState::of(snapshot, node, member).word();
        let agent = node.agent.as_deref().unwrap_or("inside `dataman up`");
        let epoch = member.map_or_else(String::new, |member| format!(", epoch {}", member.epoch));
        let _ = writeln!(text, "node {id} (agent {agent}): {state}{epoch}");
    }
    for member in members.iter().filter(|member| member.kind == MemberKind::Proxy) {
        let state = match member.state {
            MemberState::Ready => "ready",
            MemberState::Draining => "draining",
        };
        let _ = writeln!(text, "proxy {}: {state}, epoch {}", member.address, member.epoch);
    }
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
        Failure::new(format!("the cluster has no \"{name}\"")).with_remedy(
            "Name a database, DATABASE.SCHEMA, DATABASE.SCHEMA.TABLE, or NODE/DATASOURCE.",
        )
    })?;
    serde_json::to_string_pretty(found)
        .map_err(|error| Failure::new(format!("cannot print the metadata: {error}")))
}
