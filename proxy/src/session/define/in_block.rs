//! Definitions inside a transaction: done, and undone, with it.
//!
//! ```text
//! BEGIN ─▶ first definition: lease, base snapshot
//!          each definition:  changes + shards' steps, in the transaction's own connections ─▶ overlay snapshot
//!          statements:       planned over the overlay, never from the plan cache
//! COMMIT ─▶ metadata by compare-and-set on the base's epoch ─▶ every shard commits ─▶ lease given back
//! ```
//! Every database has transactional definitions, so that ROLLBACK, a savepoint and a failure undo the shards' part; the metadata's part
//! is a list that nobody else has seen. The lease is held to the end: one schema change at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dataman_metadata::change::{Change, Object, ObjectName};
use dataman_metadata::id::ObjectId;
use dataman_metadata::lease::Lease;
use dataman_metadata::schema::Sequence;
use dataman_metadata::sequence::SequenceState;
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::store::StoreError;
use dataman_metadata::unfinished::Unfinished;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::PgError;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::draft::{Draft, Step, When, Work};
use super::global::{Reading, find_duplicates};
use super::{Facts, carry_out, unfinished};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::parse::syntax::{Define, ParsedStatement};
use crate::scatter::contract::{Access, Participants, ShardRef};
use crate::scatter::shard::name_shard;
use crate::session::Session;
use crate::session::transaction::{Enlistment, State};

/// The numbers taken of sequences that the transaction has made: the store does not know these yet.
pub(crate) type OwnSequences = Arc<Mutex<HashMap<ObjectId, SequenceState>>>;

/// What the definitions of a transaction come to.
#[derive(Debug, Clone)]
pub(crate) struct Definitions {
    /// The metadata when the first definition began.
    pub(crate) base: Arc<Snapshot>,
    /// The metadata as the transaction's own statements see it.
    pub(crate) overlay: Arc<Snapshot>,
    pub(crate) own_sequences: OwnSequences,
    changes: Vec<Change>,
    steps: Vec<Step>,
    restarts: Vec<(ObjectName, i64)>,
}

/// A transaction's definitions, and the lease under which they are made.
pub(crate) struct Defined {
    pub(crate) definitions: Definitions,
    cluster: Arc<Cluster>,
    database: String,
    /// What the shards are told with definitions.
    context: StatementContext,
    /// The record of the shards' work, from when it is committed on.
    record: Option<Unfinished>,
    /// Shards that have not done what came before, and why.
    failures: Vec<(ShardRef, Error)>,
    lease: Lease,
    lost: Arc<AtomicBool>,
    /// Renews the lease; ends when this is dropped.
    _renewal: JoinSet<()>,
}

impl std::fmt::Debug for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Defined").field("definitions", &self.definitions).finish_non_exhaustive()
    }
}

impl Definitions {
    /// Whether a sequence exists in this transaction only.
    pub(crate) fn is_own(&self, oid: ObjectId) -> bool {
        !all_sequences(&self.base).any(|(_, sequence)| sequence.oid == oid)
    }

    /// Whether the transaction has changed a sequence that others know too.
    pub(crate) fn has_altered(&self, object: &ObjectName, sequence: &Sequence) -> bool {
        let known = all_sequences(&self.base)
            .any(|(name, before)| name == *object && definition(before) == definition(sequence));
        !self.is_own(sequence.oid)
            && (!known || self.restarts.iter().any(|(restarted, _)| restarted == object))
    }
}

/// What of a sequence decides on its numbers.
fn definition(sequence: &Sequence) -> (ObjectId, i64, i64, i64, i64, bool) {
    let Sequence { oid, start, increment, min, max, cycle, .. } = sequence;
    (*oid, *start, *increment, *min, *max, *cycle)
}

fn all_sequences(snapshot: &Snapshot) -> impl Iterator<Item = (ObjectName, &Sequence)> {
    snapshot.databases.iter().flat_map(|(database, content)| {
        content.schemas.iter().flat_map(move |(schema, content)| {
            let named = move |name: &String| ObjectName::new(database, schema, name);
            content.sequences.iter().map(move |(name, sequence)| (named(name), sequence))
        })
    })
}

impl Defined {
    async fn begin(cluster: &Arc<Cluster>, database: &str) -> Result<Self, Error> {
        let lease = carry_out::hold_lease(cluster).await?;
        let (base, failures) = match carry_out::newest_finished(cluster).await {
            Ok(found) => found,
            Err(error) => {
                carry_out::give_back(cluster, &lease).await;
                return Err(error);
            }
        };
        let lost = Arc::new(AtomicBool::new(false));
        let mut renewal = JoinSet::new();
        renewal.spawn({
            let (cluster, lease, lost) = (Arc::clone(cluster), lease.clone(), Arc::clone(&lost));
            async move {
                loop {
                    tokio::time::sleep(carry_out::LEASE_RENEWAL).await;
                    if carry_out::renew(&cluster, &lease).await.is_err() {
                        lost.store(true, Ordering::Release);
                        return;
                    }
                }
            }
        });
        let definitions = Definitions {
            overlay: Arc::clone(&base),
            base,
            own_sequences: OwnSequences::default(),
            changes: Vec::new(),
            steps: Vec::new(),
            restarts: Vec::new(),
        };
        let context = context_of(&definitions.base, Arc::default(), 0);
        let (cluster, database) = (Arc::clone(cluster), database.to_owned());
        let record = None;
        Ok(Self {
            definitions,
            cluster,
            database,
            context,
            record,
            failures,
            lease,
            lost,
            _renewal: renewal,
        })
    }

    /// Goes back to what was defined at a savepoint; nothing, when it was made before the first definition.
    pub(crate) fn go_back(&mut self, saved: Option<&Definitions>) {
        let base = Arc::clone(&self.definitions.base);
        self.definitions = match saved {
            Some(saved) => saved.clone(),
            None => Definitions {
                overlay: Arc::clone(&base),
                base,
                own_sequences: Arc::clone(&self.definitions.own_sequences),
                changes: Vec::new(),
                steps: Vec::new(),
                restarts: Vec::new(),
            },
        };
        let overlay = Arc::clone(&self.definitions.overlay);
        let mut own = locked(&self.definitions.own_sequences);
        own.retain(|oid, _| all_sequences(&overlay).any(|(_, sequence)| sequence.oid == *oid));
    }

    /// What a shard is to note before the metadata is committed, when something was defined there.
    pub(crate) fn note(&mut self, shard: &ShardRef) -> Option<(Definition, StatementContext)> {
        let Self { definitions, database, context, record, .. } = self;
        if definitions.changes.is_empty() {
            return None;
        }
        if record.is_none() {
            *record = unfinished::record(&definitions.steps, |_| true, database, context);
        }
        let record = record.as_ref()?;
        let part = record.shards.iter().find(|part| unfinished::shard_of(part) == *shard)?;
        Some((unfinished::note(record, part, &definitions.base), context.clone()))
    }

    /// Removes the record of the shards' work: all of them have committed it.
    pub(crate) async fn settle(&self) {
        if let Some(record) = &self.record
            && let Err(error) = unfinished::settle(&self.cluster, record, Vec::new()).await
        {
            // Whoever comes next finds it done.
            tracing::warn!(%error, "the record of a schema change that is done stays for now");
        }
    }

    /// Makes the changes everybody's.
    ///
    /// # Errors
    /// `40001` when the metadata has changed otherwise meanwhile; nothing has changed then.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        let definitions = &self.definitions;
        if definitions.changes.is_empty() {
            return Ok(());
        }
        let conflict = || {
            PgError::new("40001", "the metadata has changed during the transaction")
                .with_hint("Run the transaction again.")
        };
        if self.lost.load(Ordering::Acquire) {
            return Err(conflict().into());
        }
        let own: Vec<(ObjectName, SequenceState)> = {
            let states = locked(&definitions.own_sequences);
            all_sequences(&definitions.overlay)
                .filter_map(|(name, sequence)| Some((name, *states.get(&sequence.oid)?)))
                .filter(|(_, state)| state.is_called)
                .collect()
        };
        let mut changes = started_at(&definitions.changes, &own);
        changes.extend(self.record.clone().map(Change::PutUnfinished));
        let committed = self.cluster.commit(definitions.base.epoch, &changes).await;
        let snapshot = committed.map_err(|error| match error {
            StoreError::Conflict { .. } => Error::from(conflict()),
            StoreError::Refused(refusal) => carry_out::refused(&refusal).into(),
            other => other.into(),
        })?;
        // A sequence whose numbers are taken begins after them, until its state is set: so none is given twice, whatever happens
        // in between.
        for (name, state) in &own {
            self.cluster.set_sequence(name, state.last_value, true).await?;
        }
        let restored = restarting(&definitions.changes, &own);
        if !restored.is_empty() && self.cluster.commit(snapshot.epoch, &restored).await.is_err() {
            tracing::warn!("a new sequence keeps the number that it has come to as its start");
        }
        for (sequence, value) in &definitions.restarts {
            self.cluster.set_sequence(sequence, *value, false).await?;
        }
        Ok(())
    }

    /// Does what was defined on a shard there, if its commit was lost and not only the answer to it. What was done to rows cannot be
    /// done again.
    pub(crate) async fn finish(&self, shard: &ShardRef) -> Result<(), Error> {
        let Some(record) = &self.record else { return Ok(()) };
        for part in record.shards.iter().filter(|part| unfinished::shard_of(part) == *shard) {
            unfinished::finish_once(&self.cluster, record, part, &self.definitions.base).await?;
        }
        Ok(())
    }

    /// Gives the lease back.
    pub(crate) async fn end(self) -> Arc<Cluster> {
        carry_out::give_back(&self.cluster, &self.lease).await;
        self.cluster
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The changes with the sequences of numbers already taken starting behind these.
fn started_at(changes: &[Change], own: &[(ObjectName, SequenceState)]) -> Vec<Change> {
    let mut changes = changes.to_vec();
    for change in &mut changes {
        let (Change::Create { at, object: Object::Sequence(sequence) }
        | Change::Replace { at, object: Object::Sequence(sequence) }) = change
        else {
            continue;
        };
        if let Some((_, state)) = own.iter().find(|(name, _)| name == at)
            && let Ok(next) = state.clone().take_one(sequence)
        {
            sequence.start = next;
        }
    }
    changes
}

/// The changes that give such sequences their start back.
fn restarting(changes: &[Change], own: &[(ObjectName, SequenceState)]) -> Vec<Change> {
    let newest = |name: &ObjectName| {
        changes.iter().rev().find_map(|change| match change {
            Change::Create { at, object: object @ Object::Sequence(_) }
            | Change::Replace { at, object: object @ Object::Sequence(_) }
                if at == name =>
            {
                Some(Change::Replace { at: at.clone(), object: object.clone() })
            }
            _ => None,
        })
    };
    own.iter().filter_map(|(name, _)| newest(name)).collect()
}

fn context_of(
    snapshot: &Snapshot,
    settings: Arc<Vec<(String, String)>>,
    transaction_time_us: i64,
) -> StatementContext {
    StatementContext {
        // The base's: a definition raises the agents' fence to its epoch, and nobody else has seen the overlay.
        epoch: snapshot.epoch.0,
        settings,
        transaction_time_us,
        time_left_ms: None,
    }
}

/// Carries definitions out in their order, on one connection, which comes back unless it broke.
pub(crate) async fn carry_out_on(
    mut connection: Box<dyn NodeConnection>,
    definitions: Vec<Definition>,
    context: &StatementContext,
    cancel: &CancellationToken,
) -> (Option<Box<dyn NodeConnection>>, Result<(), NodeError>) {
    for definition in definitions {
        let statement = Arc::new(NodeStatement::new(NodeQuery::Define(definition), vec![]));
        let (parameters, formats) = (Parameters::default(), ResultFormats::default());
        let mut stream =
            connection.execute(context, &statement, &parameters, &formats, cancel).await;
        let outcome = loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let back = stream.into_connection();
        if outcome.is_err() {
            return (back, outcome);
        }
        match back {
            Some(back) => connection = back,
            None => {
                let lost = NodeError::new(
                    dataman_node_protocol::NodeErrorKind::Lost,
                    "08006",
                    "the connection to a node broke",
                );
                return (None, Err(lost));
            }
        }
    }
    (Some(connection), Ok(()))
}

/// A database cannot be made or dropped within a transaction, as in PostgreSQL.
fn check_within(define: &Define) -> Result<(), PgError> {
    let word = match define {
        Define::CreateDatabase { .. } => "CREATE DATABASE",
        Define::DropDatabase { .. } => "DROP DATABASE",
        Define::ImportSchema(_) => {
            return Err(PgError::unsupported(
                "IMPORT FOREIGN SCHEMA inside a transaction block is not supported",
            )
            .with_hint("Run it outside of one; DROP TABLE takes it back."));
        }
        _ => return Ok(()),
    };
    Err(PgError::new("25001", format!("{word} cannot run inside a transaction block")))
}

impl Session {
    /// Whether a definition is part of the transaction that is open.
    pub(super) fn is_transactional(&self, define: &Define) -> bool {
        let open = matches!(self.transaction.state, State::Implicit | State::Open);
        open && !matches!(define, Define::Maintain { vacuum: true, .. })
    }

    /// The metadata that the session's statements see: the newest, with what its transaction has defined.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        match &self.transaction.defined {
            Some(defined) => Arc::clone(&defined.definitions.overlay),
            None => self.cluster.snapshot(),
        }
    }

    /// Whether the session sees metadata that nobody else sees: its plans are its own.
    pub(crate) fn has_overlay(&self) -> bool {
        self.transaction.defined.is_some()
    }

    /// Whether the table that is changed was created in the transaction that is open.
    fn is_own_table(&self, changes: &[Change]) -> bool {
        let base = self.transaction.defined.as_ref().map(|defined| &defined.definitions.base);
        changes.iter().all(|change| match change {
            Change::Replace { object: Object::Collection(collection), .. } => {
                base.is_some_and(|base| {
                    base.databases
                        .values()
                        .all(|database| database.collection_by_id(collection.id).is_none())
                })
            }
            _ => true,
        })
    }

    /// Carries a definition out within the transaction that is open; gives its tag and the statement that fills a new table.
    ///
    /// # Errors
    /// PostgreSQL's; `0A000` when it would change rows of further shards than the transaction may.
    pub(super) async fn define_in_transaction(
        &mut self,
        statement: &ParsedStatement,
        define: &Define,
        cancel: &CancellationToken,
    ) -> Result<(String, Option<String>), Error> {
        check_within(define)?;
        let changes_rows_only = matches!(
            define,
            Define::Truncate { restart_identity: false, .. } | Define::Maintain { .. }
        );
        if !changes_rows_only && self.transaction.defined.is_none() {
            let begun = tokio::select! {
                biased;
                begun = Defined::begin(&self.cluster, &self.identity.database) => begun?,
                () = cancel.cancelled() => return Err(Error::Cancelled),
            };
            self.transaction.defined = Some(begun);
        }
        let snapshot = self.snapshot();
        let schemas = self.schemas();
        let typed = Arc::clone(self.settings.typed());
        let facts = Facts {
            database: &self.identity.database,
            user: &self.identity.user,
            superuser: self.identity.superuser,
            search_path: &schemas,
            context: &typed.context,
            settings: Arc::clone(&typed.for_nodes),
            in_transaction: true,
            cancel,
        };
        let Work { mut steps, changes, restarts, notices, tag, fill, made, pending } = {
            let capabilities = self.cluster.capabilities(&snapshot);
            let mut draft = Draft::new(&snapshot, &facts, &capabilities, &statement.text)?;
            draft.define(define)?;
            draft.into_work()
        };
        if pending.is_some() && !self.is_own_table(&changes) {
            // Everybody's writers would have to know of the key before the transaction ends.
            return Err(PgError::unsupported(
                "a unique key without the shard key cannot be added to a table in a transaction that has not created it",
            )
            .with_hint("Run the statement outside a transaction block, and by itself.")
            .into());
        }
        // The metadata is asked first: what it refuses needs no shard.
        let next = match &self.transaction.defined {
            Some(defined) if !changes.is_empty() => {
                let mut all = defined.definitions.changes.clone();
                all.extend(changes.iter().cloned());
                let next = defined.definitions.base.apply(&all);
                Some((all, Arc::new(next.map_err(|refusal| carry_out::refused(&refusal))?)))
            }
            _ => None,
        };
        let base = match &self.transaction.defined {
            Some(defined) => Arc::clone(&defined.definitions.base),
            None => Arc::clone(&snapshot),
        };
        let started_us = self.transaction.started_us;
        let context = context_of(&base, Arc::clone(&typed.for_nodes), started_us);
        if let Some(defined) = &mut self.transaction.defined {
            unfinished::check_finished(std::mem::take(&mut defined.failures), &steps)?;
            defined.context = context.clone();
        }
        if !changes_rows_only {
            // A namespace stays when the transaction is rolled back: it is empty then, and in no one's way. Where the transaction
            // has written there is one.
            let participants = &self.transaction.participants;
            steps.retain(|step| {
                step.when != When::First
                    || participants.get(&step.shard).is_none_or(|one| !one.written)
            });
            carry_out::first(&steps, &self.cluster, &facts, &context).await?;
            steps.retain(|step| step.when != When::First);
        }
        let mut by_shard: BTreeMap<ShardRef, Vec<Definition>> = BTreeMap::new();
        steps.sort_by_key(|step| step.when);
        for step in &steps {
            by_shard.entry(step.shard.clone()).or_default().push(step.definition.clone());
        }
        let shards: Vec<ShardRef> = by_shard.keys().cloned().collect();
        let access = match define {
            Define::Truncate { .. } => Access::WriteTogether,
            Define::Maintain { .. } => Access::Read,
            _ => Access::Define,
        };
        let mut enlistment = Enlistment {
            cluster: &self.cluster,
            transactional: true,
            transaction: &mut self.transaction,
            portals: &mut self.portals,
            context: &context,
            writes: Vec::new(),
            taken: Vec::new(),
            touched: Default::default(),
            reads: None,
        };
        enlistment.enlist(&shards, access).await?;
        let mut work = Vec::new();
        for (shard, definitions) in by_shard {
            let connection = enlistment.take(&shard).await?;
            if access == Access::Define {
                enlistment.defines(&shard);
            }
            let context = &context;
            work.push(async move {
                (shard, carry_out_on(connection, definitions, context, cancel).await)
            });
        }
        let mut failure = None;
        for (shard, (connection, outcome)) in join_all(work).await {
            enlistment.give(&shard, connection);
            if let Err(error) = outcome {
                failure.get_or_insert(name_shard(&shard, error));
            }
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        if !made.is_empty() {
            let mut open = Vec::new();
            for shard in &shards {
                open.push((shard.clone(), enlistment.take(shard).await?));
            }
            let database = snapshot
                .database(&self.identity.database)
                .ok_or_else(|| PgError::internal("the session's database is not there"))?;
            let reading = Reading {
                context: &context,
                evaluation: &typed.context,
                database: &database.id,
                cancel,
            };
            for when in [When::Before, When::Around] {
                open = find_duplicates(open, &made, when, &reading).await?;
            }
            for (shard, connection) in open {
                enlistment.give(&shard, Some(connection));
            }
        }
        for step in &steps {
            match &step.definition {
                Definition::Truncate(targets) => targets
                    .iter()
                    .for_each(|target| self.transaction.note_fresh(&target.collection)),
                Definition::CreateCollection(shape) => {
                    self.transaction.note_fresh(&shape.target.collection);
                }
                _ => {}
            }
        }
        if let Some(defined) = &mut self.transaction.defined {
            let definitions = &mut defined.definitions;
            if let Some((all, overlay)) = next {
                definitions.changes = all;
                definitions.overlay = overlay;
            }
            definitions.restarts.extend(restarts);
            if access == Access::Define {
                definitions.steps.extend(steps);
            }
        }
        for notice in notices {
            self.notice(notice);
        }
        Ok((tag, fill))
    }
}
