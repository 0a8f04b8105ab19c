//! Definitions that were cut off between the metadata's commit and the shards': the record of them, and how they are finished.
//!
//! ```text
//! each shard:  BEGIN; note (the work's id); definitions      left open
//! metadata:    compare-and-set: the change, and a record of the work
//! each shard:  COMMIT
//! each shard:  drops
//! metadata:    the record goes
//! ```
//! Whoever finds a record that stays does on each shard: BEGIN; note; definitions; COMMIT. Where the note is there already the work was
//! done. The next definition does so before it begins, a proxy when it starts, and every proxy when a record stays for a while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::change::Change;
use dataman_metadata::id::DatabaseId;
use dataman_metadata::snapshot::{Snapshot, shard_instance_name};
use dataman_metadata::store::StoreError;
use dataman_metadata::unfinished::{Unfinished, UnfinishedShard};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::node::{StatementContext, TransactionOptions};
use dataman_pg::PgError;
use tokio_util::sync::CancellationToken;

use super::carry_out;
use super::draft::{Step, When};
use super::in_block::carry_out_on;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::scatter::contract::ShardRef;
use crate::scatter::shard::name_shard;

/// How long a record may stay before others than its maker look after it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before what could not be finished is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How often the record's removal is tried when the metadata changes at the same time.
const ATTEMPTS_MAX: usize = 16;

/// Makes the record of steps that the metadata is about to be changed for; none when no shard has anything to do then.
pub(super) fn record(
    steps: &[Step],
    within: impl Fn(When) -> bool,
    database: &str,
    context: &StatementContext,
) -> Option<Unfinished> {
    let mut shards: Vec<UnfinishedShard> = Vec::new();
    let mut sorted: Vec<&Step> = steps.iter().filter(|step| step.when != When::First).collect();
    sorted.sort_by_key(|step| step.when);
    for step in sorted {
        let once = within(step.when);
        if !once && step.when != When::After {
            continue;
        }
        let ShardRef { datastore, shard } = &step.shard;
        let place =
            shards.iter().position(|one| one.datastore == *datastore && one.shard == *shard);
        let place = place.unwrap_or_else(|| {
            shards.push(UnfinishedShard {
                datastore: datastore.clone(),
                shard: *shard,
                instance: shard_instance_name(&DatabaseId::from(database), *shard),
                once: Vec::new(),
                after: Vec::new(),
            });
            shards.len() - 1
        });
        let text = serde_json::to_string(&step.definition).expect("definitions can be written");
        let list = if once { &mut shards[place].once } else { &mut shards[place].after };
        if !list.contains(&text) {
            list.push(text);
        }
    }
    (!shards.is_empty()).then(|| Unfinished {
        id: format!("{:032x}", rand::random::<u128>()),
        settings: context.settings.to_vec(),
        transaction_time_us: context.transaction_time_us,
        shards,
    })
}

/// What a shard notes in the transaction of its part. Notes of other work that is not finished stay.
pub(super) fn note(record: &Unfinished, part: &UnfinishedShard, snapshot: &Snapshot) -> Definition {
    Definition::Note {
        shard_instance: part.instance.clone(),
        work: record.id.clone(),
        keep: snapshot.unfinished.keys().filter(|id| **id != record.id).cloned().collect(),
    }
}

pub(super) fn shard_of(part: &UnfinishedShard) -> ShardRef {
    ShardRef { datastore: part.datastore.clone(), shard: part.shard }
}

fn context_of(record: &Unfinished, snapshot: &Snapshot) -> StatementContext {
    StatementContext {
        epoch: snapshot.epoch.0,
        settings: Arc::new(record.settings.clone()),
        transaction_time_us: record.transaction_time_us,
        time_left_ms: None,
    }
}

fn parse(texts: &[String]) -> Result<Vec<Definition>, Error> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|error| {
            PgError::internal(format!("unfinished work of the metadata cannot be read: {error}"))
        })
    };
    Ok(texts.iter().map(parse).collect::<Result<_, _>>()?)
}

/// Does a shard's part once: nothing when the shard has noted it.
///
/// # Errors
/// The shard's; what it is to do stays to be done.
pub(super) async fn finish_once(
    cluster: &Cluster,
    record: &Unfinished,
    part: &UnfinishedShard,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    if part.once.is_empty() {
        return Ok(());
    }
    let (shard, context) = (shard_of(part), context_of(record, snapshot));
    let (definitions, cancel) = (parse(&part.once)?, CancellationToken::new());
    let lost = |error: NodeError| Error::from(name_shard(&shard, error));
    let mut connection = cluster.connect(&shard).await?;
    connection.begin(&context, TransactionOptions::default()).await.map_err(lost)?;
    let noted = vec![note(record, part, snapshot)];
    let (connection, outcome) = carry_out_on(connection, noted, &context, &cancel).await;
    if let Err(error) = outcome {
        roll_back(connection).await;
        // It was done, and noted; or all that it was to be done with is gone.
        let done = matches!(error.sqlstate.as_str(), "23505" | "3F000");
        return if done { Ok(()) } else { Err(lost(error)) };
    }
    let Some(connection) = connection else {
        return Err(lost(NodeError::statement("08006", "the connection to a node broke")));
    };
    let (connection, outcome) = carry_out_on(connection, definitions, &context, &cancel).await;
    match (connection, outcome) {
        (Some(mut connection), Ok(())) => connection.commit().await.map_err(lost),
        (connection, outcome) => {
            roll_back(connection).await;
            Err(outcome.err().map_or_else(|| Error::Cancelled, lost))
        }
    }
}

async fn roll_back(connection: Option<Box<dyn dataman_node_protocol::node::NodeConnection>>) {
    if let Some(mut connection) = connection {
        // A connection that cannot roll back is closed, which rolls back too.
        let _ = connection.rollback().await;
    }
}

/// Does what may be repeated on a shard.
async fn finish_after(
    cluster: &Cluster,
    record: &Unfinished,
    part: &UnfinishedShard,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    if part.after.is_empty() {
        return Ok(());
    }
    let (shard, context) = (shard_of(part), context_of(record, snapshot));
    let (definitions, cancel) = (parse(&part.after)?, CancellationToken::new());
    let connection = cluster.connect(&shard).await?;
    match carry_out_on(connection, definitions, &context, &cancel).await.1 {
        // Nothing of the database is there any more.
        Err(error) if error.sqlstate != "3F000" => Err(name_shard(&shard, error).into()),
        _ => Ok(()),
    }
}

/// Removes a record, or, when parts of it could not be done, leaves these.
///
/// # Errors
/// The store's.
pub(super) async fn settle(
    cluster: &Cluster,
    record: &Unfinished,
    left: Vec<UnfinishedShard>,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS_MAX {
        let snapshot = cluster.store().read().await?;
        let Some(found) = snapshot.unfinished.get(&record.id) else { return Ok(()) };
        if found.shards == left {
            return Ok(());
        }
        let change = if left.is_empty() {
            Change::DropUnfinished(record.id.clone())
        } else {
            Change::PutUnfinished(Unfinished { shards: left.clone(), ..record.clone() })
        };
        match cluster.commit(snapshot.epoch, &[change]).await {
            Err(StoreError::Conflict { .. }) => {}
            outcome => return Ok(outcome.map(|_| ())?),
        }
    }
    Ok(())
}

/// Finishes what others have begun, as far as their shards answer. The caller holds the lease on schema changes. Gives the shards on
/// which something stays to be done, and why.
///
/// # Errors
/// The store's.
pub(super) async fn finish_all(
    cluster: &Cluster,
    snapshot: &Snapshot,
) -> Result<Vec<(ShardRef, Error)>, Error> {
    let mut failures: Vec<(ShardRef, Error)> = Vec::new();
    // Ids say nothing of an order; the work of different records is on different objects, or the later one's maker has finished
    // the earlier one first.
    for record in snapshot.unfinished.values() {
        tracing::warn!(work = record.id, "finishing a schema change that was cut off");
        let mut left = Vec::new();
        for part in &record.shards {
            if let Err(error) = finish_once(cluster, record, part, snapshot).await {
                tracing::warn!(%error, "a schema change that was cut off cannot be finished on a shard yet");
                failures.push((shard_of(part), error));
                left.push(part.clone());
            }
        }
        for part in &record.shards {
            if left.contains(part) {
                continue;
            }
            if let Err(error) = finish_after(cluster, record, part, snapshot).await {
                tracing::warn!(%error, "what was dropped stays on a shard for now");
                failures.push((shard_of(part), error));
                left.push(UnfinishedShard { once: Vec::new(), ..part.clone() });
            }
        }
        settle(cluster, record, left).await?;
    }
    Ok(failures)
}

/// Refuses work on a shard that has not done what came before.
///
/// # Errors
/// Why it has not.
pub(super) fn check_finished(
    failures: Vec<(ShardRef, Error)>,
    steps: &[Step],
) -> Result<(), Error> {
    let concerned: BTreeSet<&ShardRef> = steps.iter().map(|step| &step.shard).collect();
    match failures.into_iter().find(|(shard, _)| concerned.contains(shard)) {
        None => Ok(()),
        Some((shard, error)) => Err(PgError::new(
            "55000",
            format!(
                "an earlier schema change is not finished on shard {} of datastore \"{}\"",
                shard.shard, shard.datastore
            ),
        )
        .with_detail(error.to_string())
        .with_hint("It is finished when the shard answers again.")
        .into()),
    }
}

/// Does on each shard what a proxy that is gone has left to be done once; for the start of a proxy. This needs no lease: a
/// shard does it once, whoever asks.
///
/// # Errors
/// The store's.
pub async fn finish_altered(cluster: &Cluster) -> Result<(), Error> {
    let snapshot = cluster.store().read().await?;
    for record in snapshot.unfinished.values() {
        for part in &record.shards {
            if let Err(error) = finish_once(cluster, record, part, &snapshot).await {
                tracing::warn!(%error, "a schema change that was cut off cannot be finished on a shard yet");
            }
        }
    }
    Ok(())
}

/// Looks after records that stay: those of proxies that are gone, and of shards that did not answer. Ends never.
pub async fn look_after(cluster: &Arc<Cluster>) {
    let mut epochs = cluster.epochs();
    loop {
        let before: BTreeSet<String> = cluster.snapshot().unfinished.keys().cloned().collect();
        if before.is_empty() {
            if epochs.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        }
        tokio::time::sleep(PATIENCE).await;
        if !cluster.snapshot().unfinished.keys().any(|id| before.contains(id)) {
            continue;
        }
        match finish_under_lease(cluster).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(RETRY_INTERVAL).await,
            Err(error) => {
                tracing::warn!(%error, "a schema change that was cut off cannot be finished yet");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

async fn finish_under_lease(cluster: &Arc<Cluster>) -> Result<bool, Error> {
    let lease = carry_out::hold_lease(cluster).await?;
    let finish = async {
        let snapshot = cluster.store().read().await?;
        Ok(finish_all(cluster, &snapshot).await?.is_empty())
    };
    let outcome = carry_out::with_lease(cluster, &lease, finish).await;
    carry_out::give_back(cluster, &lease).await;
    outcome
}
