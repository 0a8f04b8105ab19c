//! What has been decided → shards and metadata, in an order that is safe when it is cut short.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::change::{Change, ChangeError};
use dataman_metadata::check::{CheckError, CheckErrorKind};
use dataman_metadata::lease::{Lease, LeaseError};
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::store::StoreError;
use dataman_metadata::unfinished::UnfinishedShard;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext, TransactionOptions,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::PgError;
use futures_util::future::try_join_all;

use super::draft::{Step, When, Work};
use super::global::{Reading, find_duplicates};
use super::{Facts, Outcome, unfinished};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::scatter::contract::ShardRef;
use crate::scatter::shard::name_shard;
use crate::sqlstate::{Report, Severity};

/// The name of the lease that lets one schema change run at a time.
const LEASE: &str = "define";

/// For how long the lease is granted; it is renewed while the work goes on, and ends by itself when the process dies.
const LEASE_SPAN: Duration = Duration::from_secs(15);

/// How often it is renewed.
pub(super) const LEASE_RENEWAL: Duration = Duration::from_secs(5);

/// How long a statement waits for another one's lease.
const LEASE_WAIT_MAX: Duration = Duration::from_secs(60);

/// How often it asks.
const LEASE_POLL: Duration = Duration::from_millis(20);

/// Why the work was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The metadata has changed meanwhile: decide anew.
    Conflict,
    /// Anything else.
    Other(Box<Error>),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(Box::new(error.into()))
    }
}

/// Takes the lease, waiting for others.
pub(super) async fn hold_lease(cluster: &Cluster) -> Result<Lease, Error> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static STATEMENTS: AtomicU64 = AtomicU64::new(0);
    let number = STATEMENTS.fetch_add(1, Ordering::Relaxed);
    let holder = format!("{:016x}-{}-{number}", rand::random::<u64>(), std::process::id());
    let waited = tokio::time::timeout(LEASE_WAIT_MAX, async {
        loop {
            match cluster.store().grant_lease(LEASE, &holder, LEASE_SPAN).await {
                Err(StoreError::Lease(LeaseError::Held { .. })) => {
                    tokio::time::sleep(LEASE_POLL).await;
                }
                outcome => return outcome,
            }
        }
    });
    match waited.await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(PgError::new("55P03", "another schema change is still running")
            .with_hint("Try again when it has ended.")
            .into()),
    }
}

/// Runs work, renewing the lease meanwhile. Work whose lease is lost is given up: somebody else may have begun.
pub(super) async fn with_lease<T>(
    cluster: &Cluster,
    lease: &Lease,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LEASE_RENEWAL, &mut work).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                cluster.store().renew_lease(lease, LEASE_SPAN).await?;
            }
        }
    }
}

/// Makes the lease last.
pub(super) async fn renew(cluster: &Cluster, lease: &Lease) -> Result<(), Error> {
    cluster.store().renew_lease(lease, LEASE_SPAN).await?;
    Ok(())
}

/// Gives a lease back; one that cannot be given back ends by itself.
pub(super) async fn give_back(cluster: &Cluster, lease: &Lease) {
    if let Err(error) = cluster.store().release_lease(lease).await {
        tracing::warn!(%error, "the lease on schema changes could not be given back");
    }
}

/// The newest metadata, after what others have left unfinished has been finished; with the shards on which something stays to be
/// done, and why.
pub(super) async fn newest_finished(
    cluster: &Cluster,
) -> Result<(Arc<Snapshot>, Vec<(ShardRef, Error)>), Error> {
    let snapshot = cluster.store().read().await?;
    if snapshot.unfinished.is_empty() {
        return Ok((snapshot, Vec::new()));
    }
    let failures = unfinished::finish_all(cluster, &snapshot).await?;
    Ok((cluster.store().read().await?, failures))
}

/// Does what comes first of all, in no transaction.
pub(super) async fn first(
    steps: &[Step],
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
    context: &StatementContext,
) -> Result<(), Error> {
    let run = Run { cluster, facts, context: context.clone() };
    run.alone(by_shard(steps, When::First)).await
}

type Connections = Vec<(ShardRef, Box<dyn NodeConnection>)>;

/// Carries the work out.
pub(super) async fn carry_out(
    work: Work,
    snapshot: &Arc<Snapshot>,
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
) -> Result<Outcome, Failure> {
    let Some(pending) = &work.pending else {
        return carry_out_at(work, snapshot, cluster, facts).await;
    };
    let (at, withdraw) = (pending.at().clone(), pending.withdraw());
    let begun = match cluster.commit(snapshot.epoch, &[pending.begin()]).await {
        Ok(begun) => begun,
        Err(StoreError::Conflict { .. }) => return Err(Failure::Conflict),
        Err(StoreError::Refused(refusal)) => return Err(refused(&refusal).into()),
        Err(other) => return Err(other.into()),
    };
    let ended = tokio::select! {
        biased;
        () = cluster.writers().ended_before(begun.epoch) => Ok(()),
        () = facts.cancel.cancelled() => Err(Failure::from(Error::Cancelled)),
    };
    let outcome = match ended {
        Ok(()) => carry_out_at(work, &begun, cluster, facts).await,
        Err(failure) => Err(failure),
    };
    if outcome.is_err() {
        let taken_back = async {
            let newest = cluster.store().read().await?;
            let found = newest.collection(&at.database.0, &at.schema, &at.name);
            // Else the key is there, and only what came after has failed.
            if found.is_some_and(|found| !found.pending.is_empty()) {
                cluster.commit(newest.epoch, &[withdraw]).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = taken_back.await {
            tracing::warn!(%error, "a unique key that could not be made is kept until the table is changed again");
        }
    }
    outcome
}

/// Carries the work out, with what the metadata says about it meanwhile in force.
async fn carry_out_at(
    work: Work,
    snapshot: &Arc<Snapshot>,
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
) -> Result<Outcome, Failure> {
    let Work { steps, mut changes, restarts, mut notices, tag, fill, made, pending: _ } = work;
    let context = StatementContext {
        epoch: snapshot.epoch.0,
        settings: Arc::clone(&facts.settings),
        transaction_time_us: 0,
        time_left_ms: None,
    };
    let run = Run { cluster, facts, context };
    run.alone(by_shard(&steps, When::First)).await?;
    let database = facts.database.into();
    let reading = Reading {
        context: &run.context,
        evaluation: facts.context,
        database: &database,
        cancel: facts.cancel,
    };
    let before = run.in_transactions(by_shard(&steps, When::Before)).await?;
    let before = find_duplicates(before, &made, When::Before, &reading).await?;
    commit(before).await?;
    let mut around = by_shard(&steps, When::Around);
    let record =
        unfinished::record(&steps, |when| when == When::Around, facts.database, &run.context)
            .filter(|_| !changes.is_empty());
    if let Some(record) = &record {
        for part in record.shards.iter().filter(|part| !part.once.is_empty()) {
            let shard = unfinished::shard_of(part);
            if let Some((_, definitions)) = around.iter_mut().find(|(one, _)| *one == shard) {
                definitions.insert(0, unfinished::note(record, part, snapshot));
            }
        }
        changes.push(Change::PutUnfinished(record.clone()));
    }
    let open = run.in_transactions(around.clone()).await?;
    let open = find_duplicates(open, &made, When::Around, &reading).await?;
    if !changes.is_empty() {
        match cluster.commit(snapshot.epoch, &changes).await {
            Ok(_) => {}
            Err(error) => {
                for (_, mut connection) in open {
                    // What is not committed is not there; a connection that cannot roll back is closed.
                    let _ = connection.rollback().await;
                }
                return Err(match error {
                    StoreError::Conflict { .. } => Failure::Conflict,
                    StoreError::Refused(refusal) => refused(&refusal).into(),
                    other => other.into(),
                });
            }
        }
    }
    let mut left: Vec<UnfinishedShard> = Vec::new();
    if let Err(error) = commit(open).await {
        // The metadata is ahead of a shard now, unless only the answer was lost.
        tracing::warn!(error = %error, "a schema change is finished on a shard");
        match &record {
            Some(record) => {
                for part in &record.shards {
                    unfinished::finish_once(cluster, record, part, snapshot).await?;
                }
            }
            None => run.alone(around).await?,
        }
    }
    for (shard, definitions) in by_shard(&steps, When::After) {
        if let Err(error) = run.alone(vec![(shard.clone(), definitions)]).await
            && !is_without_namespace(&error)
        {
            tracing::warn!(%error, datastore = %shard.datastore, shard = %shard.shard, "dropped objects stay on a shard");
            let message = format!(
                "what was dropped stays on shard {} of datastore \"{}\" until it answers",
                shard.shard, shard.datastore
            );
            notices.push(Report::new(Severity::Warning, "01000", message));
            let parts = record.iter().flat_map(|record| &record.shards);
            let part = parts.filter(|part| unfinished::shard_of(part) == shard);
            left.extend(part.map(|part| UnfinishedShard { once: Vec::new(), ..part.clone() }));
        }
    }
    if let Some(record) = &record
        && let Err(error) = unfinished::settle(cluster, record, left).await
    {
        // Whoever comes next finds it done.
        tracing::warn!(%error, "the record of a schema change that is done stays for now");
    }
    for (sequence, value) in restarts {
        cluster.store().set_sequence(&sequence, value, false).await?;
        cluster.forget_sequence(&sequence);
    }
    Ok(Outcome { tag, notices, fill })
}

/// Whether nothing of the database has ever been on the shard.
fn is_without_namespace(error: &Error) -> bool {
    matches!(error, Error::Node(error) if error.sqlstate == "3F000")
}

/// The definitions of one time, for each shard in their order.
fn by_shard(steps: &[Step], when: When) -> Vec<(ShardRef, Vec<Definition>)> {
    let mut shards: BTreeMap<ShardRef, Vec<Definition>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.when == when) {
        let definitions = shards.entry(step.shard.clone()).or_default();
        if !definitions.contains(&step.definition) {
            definitions.push(step.definition.clone());
        }
    }
    shards.into_iter().collect()
}

struct Run<'a> {
    cluster: &'a Arc<Cluster>,
    facts: &'a Facts<'a>,
    context: StatementContext,
}

impl Run<'_> {
    /// Carries definitions out one by one, in no transaction; the shards beside each other.
    async fn alone(&self, work: Vec<(ShardRef, Vec<Definition>)>) -> Result<(), Error> {
        try_join_all(work.into_iter().map(|(shard, definitions)| async move {
            let mut connection = self.connect(&shard).await?;
            for definition in definitions {
                connection = self
                    .define(&shard, connection, definition)
                    .await
                    .map_err(|(error, _)| error)?;
            }
            Ok::<(), Error>(())
        }))
        .await?;
        Ok(())
    }

    /// Carries definitions out in a transaction on each shard, which is left open. A failure on one rolls all back.
    async fn in_transactions(
        &self,
        work: Vec<(ShardRef, Vec<Definition>)>,
    ) -> Result<Connections, Error> {
        // One shard after the other, in their order: two definitions at the same time then wait for each other at the first
        // shard, and never in a circle.
        let mut open: Connections = Vec::with_capacity(work.len());
        for (shard, definitions) in work {
            match self.in_transaction(shard, definitions).await {
                Ok(connection) => open.push(connection),
                Err(error) => {
                    for (_, mut connection) in open {
                        let _ = connection.rollback().await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(open)
    }

    async fn in_transaction(
        &self,
        shard: ShardRef,
        definitions: Vec<Definition>,
    ) -> Result<(ShardRef, Box<dyn NodeConnection>), Error> {
        let mut connection = self.connect(&shard).await?;
        connection.begin(&self.context, TransactionOptions::default()).await?;
        for definition in definitions {
            connection = match self.define(&shard, connection, definition).await {
                Ok(connection) => connection,
                Err((error, connection)) => {
                    if let Some(mut connection) = connection {
                        let _ = connection.rollback().await;
                    }
                    return Err(error);
                }
            };
        }
        Ok((shard, connection))
    }

    async fn connect(&self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        tokio::select! {
            biased;
            connected = self.cluster.connect(shard) => connected,
            () = self.facts.cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    async fn define(
        &self,
        shard: &ShardRef,
        connection: Box<dyn NodeConnection>,
        definition: Definition,
    ) -> Result<Box<dyn NodeConnection>, (Error, Option<Box<dyn NodeConnection>>)> {
        let statement = Arc::new(NodeStatement::new(NodeQuery::Define(definition), vec![]));
        let mut stream = connection
            .execute(
                &self.context,
                &statement,
                &Parameters::default(),
                &ResultFormats::default(),
                self.facts.cancel,
            )
            .await;
        loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    return Err((name_shard(shard, error).into(), stream.into_connection()));
                }
            }
        }
        let lost = || PgError::new("08006", "the connection to a shard was lost");
        stream.into_connection().ok_or_else(|| (lost().into(), None))
    }
}

async fn commit(open: Connections) -> Result<(), Error> {
    let outcomes = futures_util::future::join_all(
        open.into_iter().map(|(_, mut connection)| async move { connection.commit().await }),
    )
    .await;
    outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}

/// What the metadata refuses although the draft found nothing: said as PostgreSQL would where it can be.
pub(super) fn refused(refusal: &ChangeError) -> PgError {
    let message = refusal.to_string();
    match refusal {
        ChangeError::Exists { kind, .. } => {
            let sqlstate = match *kind {
                "schema" => "42P06",
                "database" => "42P04",
                "type" | "role" => "42710",
                _ => "42P07",
            };
            PgError::new(sqlstate, message)
        }
        ChangeError::Missing { kind, .. } => {
            let sqlstate = match *kind {
                "schema" => "3F000",
                "database" => "3D000",
                "type" | "role" => "42704",
                _ => "42P01",
            };
            PgError::new(sqlstate, message)
        }
        ChangeError::Check(CheckError { kind, .. }) => {
            let sqlstate = match kind {
                CheckErrorKind::Duplicate => "42710",
                CheckErrorKind::Missing => "42704",
                CheckErrorKind::Invalid => "42P16",
                CheckErrorKind::Unsupported => "0A000",
            };
            PgError::new(sqlstate, message)
        }
        ChangeError::SchemaNotEmpty { .. } => PgError::new("2BP01", message),
        ChangeError::VshardsFixed { .. }
        | ChangeError::ShardsRemoved { .. }
        | ChangeError::OidUsed { .. } => PgError::internal(message),
    }
}
