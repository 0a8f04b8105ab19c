//! Idle, open, failed; which shards take part, and how they come to.
//!
//! BEGIN sends nothing. A shard joins when a statement first needs it: its connection is taken, a transaction begun there,
//! and every savepoint that is open is made there too, so that ROLLBACK TO means the same on all of them.

use std::collections::{BTreeMap, BTreeSet};

use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::node::{
    Isolation, NodeConnection, StatementContext, TransactionOptions,
};
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::PgError;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::parse::syntax::TransactionModes;
use crate::replicas::Reads;
use crate::scatter::contract::{Access, Participants, ShardRef};
use crate::session::define::in_block::{Defined, Definitions};
use crate::session::portal::Portals;
use crate::session::settings::{Layers, Typed};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Between transactions.
    #[default]
    Idle,
    /// In a statement that is its own transaction.
    Statement,
    /// In a transaction that nobody began with BEGIN: several statements in one string, or a pipeline up to its Sync.
    Implicit,
    /// After BEGIN.
    Open,
    /// After BEGIN and an error: only its end, or a return to a savepoint, is possible.
    Failed,
}

/// A transaction's characteristics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// `ISOLATION LEVEL`, as SHOW prints it.
    pub isolation: Level,
    /// `READ ONLY`.
    pub read_only: bool,
    /// `DEFERRABLE`.
    pub deferrable: bool,
}

/// PostgreSQL's four names of its three levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Works as read committed.
    ReadUncommitted,
    /// The default.
    #[default]
    ReadCommitted,
    /// One snapshot for each shard.
    RepeatableRead,
    /// As repeatable read, and serializable within each shard.
    Serializable,
}

impl Level {
    /// Reads a level's name; none for what is no level.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "read uncommitted" => Some(Self::ReadUncommitted),
            "read committed" => Some(Self::ReadCommitted),
            "repeatable read" => Some(Self::RepeatableRead),
            "serializable" => Some(Self::Serializable),
            _ => None,
        }
    }

    /// Its name as SHOW prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

impl Modes {
    /// The session's defaults.
    pub fn from_defaults(typed: &Typed) -> Self {
        Self {
            isolation: Level::parse(&typed.default_isolation).unwrap_or_default(),
            read_only: typed.default_read_only,
            deferrable: typed.default_deferrable,
        }
    }

    /// What a shard's transaction is begun with.
    pub fn options(self) -> TransactionOptions {
        TransactionOptions {
            isolation: match self.isolation {
                Level::ReadUncommitted | Level::ReadCommitted => Isolation::ReadCommitted,
                Level::RepeatableRead => Isolation::RepeatableRead,
                Level::Serializable => Isolation::Serializable,
            },
            read_only: self.read_only,
        }
    }
}

/// A session's transaction.
#[derive(Default)]
pub struct Transaction {
    pub(crate) state: State,
    pub(crate) modes: Modes,
    pub(crate) participants: BTreeMap<ShardRef, Participant>,
    savepoints: Vec<Savepoint>,
    savepoints_made: u64,
    /// What the settings go back to on ROLLBACK.
    pub(crate) settings: Layers,
    /// Whether a statement has looked at data: the level cannot change any more.
    pub(crate) queried: bool,
    /// Collections that have been emptied in it since its last savepoint, by physical name.
    fresh: Vec<String>,
    /// What it has defined.
    pub(crate) defined: Option<Defined>,
    /// The shards on which it has locks of keys that it adds: they are told to commit last.
    pub(crate) key_locks: BTreeSet<ShardRef>,
    /// How many keys it has locked.
    keys_locked: usize,
    /// `now()`, in microseconds since 2000.
    pub(crate) started_us: i64,
    /// The shards with replicas that the session has written, and since when a replica must have everything to be read by it;
    /// none until the next read, which comes after the commit. It outlives transactions.
    wrote: BTreeMap<ShardRef, Option<Instant>>,
}

/// A shard that takes part.
pub(crate) struct Participant {
    /// None while a running statement or a suspended portal has it, and for ever once it is `lost`.
    pub(crate) connection: Option<Box<dyn NodeConnection>>,
    /// Whether a statement of the transaction wrote there.
    pub(crate) written: bool,
    /// Whether a statement of the transaction changed rows there, not only the schema.
    pub(crate) rows: bool,
    /// Whether its connection broke: what was done there is gone, so the transaction cannot commit.
    pub(crate) lost: bool,
}

struct Savepoint {
    name: String,
    /// The name on the shards: names may repeat within a transaction, so each gets its own.
    on_shards: String,
    settings: Layers,
    /// The shards that had been written when it was made.
    written: Vec<ShardRef>,
    /// Those whose rows had been changed.
    rows: Vec<ShardRef>,
    /// What had been defined.
    definitions: Option<Definitions>,
    read_only: bool,
}

impl Transaction {
    /// The status of ReadyForQuery.
    pub fn status(&self) -> u8 {
        match self.state {
            State::Idle | State::Statement | State::Implicit => b'I',
            State::Open => b'T',
            State::Failed => b'E',
        }
    }

    /// Whether BEGIN has been said and its end has not.
    pub fn in_block(&self) -> bool {
        matches!(self.state, State::Open | State::Failed)
    }

    /// Starts anew, in `state`, with nobody taking part.
    pub(crate) fn start(&mut self, state: State, modes: Modes, settings: Layers, now_us: i64) {
        debug_assert!(
            self.participants.is_empty(),
            "the last transaction has let go of its shards"
        );
        *self = Self {
            state,
            modes,
            settings,
            started_us: now_us,
            savepoints_made: self.savepoints_made,
            wrote: std::mem::take(&mut self.wrote),
            ..Self::default()
        };
    }

    /// Ends without a word to the shards, which have been told.
    pub(crate) fn end(&mut self) {
        self.state = State::Idle;
        self.participants.clear();
        self.savepoints.clear();
        self.fresh.clear();
        self.defined = None;
        self.key_locks.clear();
        self.keys_locked = 0;
        self.queried = false;
    }

    /// Notes that a shard is written that has replicas: the session will not read those that do not have it yet. Nothing that a
    /// transaction which only reads is asked to write comes to be written.
    pub(crate) fn note_write(&mut self, shard: &ShardRef) {
        if self.state != State::Idle && self.modes.read_only {
            return;
        }
        match self.wrote.get_mut(shard) {
            Some(since) => *since = None,
            None => {
                self.wrote.insert(shard.clone(), None);
            }
        }
    }

    /// When the session wrote a shard last: now at the latest, since nothing of it is under way.
    fn wrote_at(&mut self, shard: &ShardRef) -> Option<Instant> {
        self.wrote.get_mut(shard).map(|since| *since.get_or_insert_with(Instant::now))
    }

    /// Takes modes from BEGIN or SET TRANSACTION.
    ///
    /// # Errors
    /// `25001` once a query has run, in PostgreSQL's words.
    pub(crate) fn set_modes(&mut self, modes: &TransactionModes) -> Result<(), PgError> {
        if let Some(level) = modes.isolation.and_then(Level::parse)
            && level != self.modes.isolation
        {
            if !self.savepoints.is_empty() {
                return Err(PgError::new(
                    "25001",
                    "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
                ));
            }
            if self.queried {
                return Err(PgError::new(
                    "25001",
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            self.modes.isolation = level;
        }
        if let Some(read_only) = modes.read_only {
            if self.modes.read_only && !read_only {
                if self.savepoints.iter().any(|savepoint| savepoint.read_only) {
                    return Err(PgError::new(
                        "25001",
                        "cannot set transaction read-write mode inside a read-only transaction",
                    ));
                }
                if self.queried {
                    return Err(PgError::new(
                        "25001",
                        "transaction read-write mode must be set before any query",
                    ));
                }
            }
            self.modes.read_only = read_only;
        }
        if let Some(deferrable) = modes.deferrable
            && deferrable != self.modes.deferrable
        {
            if self.queried {
                return Err(PgError::new(
                    "25001",
                    "SET TRANSACTION [NOT] DEFERRABLE must be called before any query",
                ));
            }
            self.modes.deferrable = deferrable;
        }
        Ok(())
    }

    /// SAVEPOINT, on every shard that takes part.
    ///
    /// # Errors
    /// A shard failed.
    pub(crate) async fn savepoint(&mut self, name: &str, settings: Layers) -> Result<(), Error> {
        self.savepoints_made += 1;
        let on_shards = format!("dataman_{}", self.savepoints_made);
        for participant in self.participants.values_mut() {
            participant.connection()?.savepoint(&on_shards).await?;
        }
        self.fresh.clear();
        self.savepoints.push(Savepoint {
            name: name.to_owned(),
            on_shards,
            settings,
            written: self.written().cloned().collect(),
            rows: self.changed_rows().cloned().collect(),
            definitions: self.defined.as_ref().map(|defined| defined.definitions.clone()),
            read_only: self.modes.read_only,
        });
        Ok(())
    }

    /// How many savepoints there are.
    pub(crate) fn savepoint_count(&self) -> usize {
        self.savepoints.len()
    }

    /// RELEASE, on every shard that takes part.
    ///
    /// # Errors
    /// `3B001`, or a shard failed.
    pub(crate) async fn release(&mut self, name: &str) -> Result<(), Error> {
        let at = self.find_savepoint(name)?;
        let on_shards = self.savepoints[at].on_shards.clone();
        for participant in self.participants.values_mut() {
            participant.connection()?.release(&on_shards).await?;
        }
        self.savepoints.truncate(at);
        Ok(())
    }

    /// ROLLBACK TO, on every shard that takes part; gives what the settings go back to.
    ///
    /// # Errors
    /// `3B001`, or a shard failed; the transaction is then as it was.
    pub(crate) async fn rollback_to(&mut self, name: &str) -> Result<Layers, Error> {
        let at = self.find_savepoint(name)?;
        let on_shards = self.savepoints[at].on_shards.clone();
        for participant in self.participants.values_mut() {
            participant.connection()?.rollback_to(&on_shards).await?;
        }
        self.savepoints.truncate(at + 1);
        self.fresh.clear();
        let savepoint = &self.savepoints[at];
        self.modes.read_only = savepoint.read_only;
        for (shard, participant) in &mut self.participants {
            participant.written = savepoint.written.contains(shard);
            participant.rows = savepoint.rows.contains(shard);
        }
        if let Some(defined) = &mut self.defined {
            defined.go_back(savepoint.definitions.as_ref());
        }
        self.state = State::Open;
        Ok(savepoint.settings.clone())
    }

    /// What the settings go back to after an error: those of the newest savepoint, or of the start.
    pub(crate) fn innermost_settings(&self) -> &Layers {
        self.savepoints.last().map_or(&self.settings, |savepoint| &savepoint.settings)
    }

    /// Notes that a collection has been emptied.
    pub(crate) fn note_fresh(&mut self, collection: &str) {
        self.fresh.push(collection.to_owned());
    }

    /// Whether a collection has been emptied in this transaction, and in the subtransaction that is open now.
    pub(crate) fn is_fresh(&self, collection: &str) -> bool {
        self.fresh.iter().any(|known| known == collection)
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, PgError> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| PgError::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    pub(crate) fn written(&self) -> impl Iterator<Item = &ShardRef> {
        self.participants
            .iter()
            .filter(|(_, participant)| participant.written)
            .map(|(shard, _)| shard)
    }

    fn changed_rows(&self) -> impl Iterator<Item = &ShardRef> {
        self.participants.iter().filter(|(_, participant)| participant.rows).map(|(shard, _)| shard)
    }

    /// Takes connections back from a statement. One that is not a participant's returns to its pool.
    pub(crate) fn give_back(
        &mut self,
        connections: Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>,
    ) {
        for (shard, connection) in connections {
            if let Some(participant) = self.participants.get_mut(&shard)
                && participant.connection.is_none()
                && !participant.lost
            {
                participant.lost = connection.is_none();
                participant.connection = connection;
            }
        }
    }

    /// Takes the connection to a shard that takes part already; none when somebody else has it.
    pub(crate) fn take_for_pass(
        &mut self,
        shard: &ShardRef,
        writes: bool,
    ) -> Option<Box<dyn NodeConnection>> {
        let participant = self.participants.get_mut(shard).filter(|one| !one.lost)?;
        let connection = participant.connection.take()?;
        participant.written |= writes;
        participant.rows |= writes;
        self.queried = true;
        Some(connection)
    }

    /// Lets a shard take part from now on; whoever calls has its connection.
    pub(crate) fn join_for_pass(&mut self, shard: ShardRef, writes: bool) {
        let participant =
            Participant { connection: None, written: writes, rows: writes, lost: false };
        self.participants.insert(shard, participant);
        self.queried = true;
    }

    /// Takes the connection to the one shard that takes part in a block that is open; none when there are others, or none.
    pub(crate) fn take_for_commit(&mut self) -> Option<(ShardRef, Box<dyn NodeConnection>)> {
        if self.state != State::Open || self.participants.len() != 1 {
            return None;
        }
        let (shard, participant) = self.participants.iter_mut().next()?;
        if participant.lost {
            return None;
        }
        Some((shard.clone(), participant.connection.take()?))
    }

    /// Whether there is something that ROLLBACK TO goes back to.
    pub(crate) fn has_savepoints(&self) -> bool {
        !self.savepoints.is_empty()
    }

    /// Lets go of shards whose connections a portal took with it; what was written there would be lost, so that stays.
    pub(crate) fn forget_unread(&mut self) {
        let key_locks = &self.key_locks;
        self.participants.retain(|shard, participant| {
            participant.connection.is_some()
                || participant.written
                || participant.lost
                || key_locks.contains(shard)
        });
        self.mark_lost(|_| false);
    }

    /// Marks what a failed statement did not give back.
    pub(crate) fn mark_lost(&mut self, is_suspended: impl Fn(&ShardRef) -> bool) {
        for (shard, participant) in &mut self.participants {
            if participant.connection.is_none() && !is_suspended(shard) {
                participant.lost = true;
            }
        }
    }
}

impl Participant {
    /// The connection, when nobody else has it.
    pub(crate) fn connection(&mut self) -> Result<&mut Box<dyn NodeConnection>, Error> {
        if self.lost {
            return Err(NodeError::new(
                NodeErrorKind::Lost,
                "08006",
                "the connection to a shard of this transaction was lost",
            )
            .with_hint("Roll the transaction back and run it again.")
            .into());
        }
        self.connection.as_mut().ok_or_else(|| {
            Error::Statement(PgError::internal("a shard's connection is still in use"))
        })
    }
}

/// Where a statement takes its connections from: the implementation behind [`Participants`].
pub(crate) struct Enlistment<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) transaction: &'a mut Transaction,
    pub(crate) portals: &'a mut Portals,
    pub(crate) context: &'a StatementContext,
    /// Whether the statement's connections are in transactions: always in a block, and outside when several shards are
    /// written, or one by several node queries.
    pub(crate) transactional: bool,
    /// The shards that the statement writes.
    pub(crate) writes: Vec<ShardRef>,
    /// The shards whose connections the statement has taken out of the transaction.
    pub(crate) taken: Vec<ShardRef>,
    /// The shards that the statement talks to.
    pub(crate) touched: BTreeSet<ShardRef>,
    /// The metadata that it was planned under, and which replicas it may read; none when it reads primaries.
    pub(crate) reads: Option<(&'a Snapshot, &'a Reads)>,
}

impl Enlistment<'_> {
    /// Connects to a shard: to a copy that may be read, where the statement does nothing but read.
    async fn connect(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        match self.reads {
            Some((snapshot, reads)) if self.writes.is_empty() => {
                let since = self.transaction.wrote_at(shard);
                self.cluster.connect_to_read(snapshot, shard, reads, since).await
            }
            _ => self.cluster.connect(shard).await,
        }
    }

    /// A shard that has been taken gets definitions: it takes part in the commit, and its rows are nobody's concern.
    pub(crate) fn defines(&mut self, shard: &ShardRef) {
        if let Some(participant) = self.transaction.participants.get_mut(shard) {
            participant.written = true;
        }
    }
}

#[async_trait::async_trait]
impl Participants for Enlistment<'_> {
    async fn enlist(&mut self, shards: &[ShardRef], access: Access) -> Result<(), Error> {
        for shard in shards {
            // A portal that was left in the middle still holds the transaction's connection to the shard.
            let connections = self.portals.drain(shard).await?;
            self.transaction.give_back(connections);
        }
        match access {
            Access::Read | Access::Define => return Ok(()),
            Access::Lock => {
                self.transaction.key_locks.extend(shards.iter().cloned());
                self.transactional = true;
                return Ok(());
            }
            Access::Write | Access::WriteTogether => {}
        }
        for shard in shards {
            if self.cluster.has_replicas(shard) {
                self.transaction.note_write(shard);
            }
            if !self.writes.contains(shard) {
                self.writes.push(shard.clone());
            }
        }
        let before: Vec<&ShardRef> = self.transaction.changed_rows().collect();
        let widens = self.writes.iter().any(|shard| !before.contains(&shard));
        let refused = match self.transaction.state {
            State::Idle | State::Statement => false,
            // What a pipeline or string holds is committed as one statement on several shards would be, but a transaction
            // that has written does not take in further shards.
            State::Implicit => !before.is_empty() && widens,
            State::Open | State::Failed => (!before.is_empty() && widens) || self.writes.len() > 1,
        };
        if refused {
            return Err(PgError::unsupported(
                "a transaction cannot write to more than one shard yet",
            )
            .with_hint(
                "Run the statement outside a transaction block, or write only rows with the same shard key in one transaction.",
            )
            .into());
        }
        if self.writes.len() > 1 || access == Access::WriteTogether {
            self.transactional = true;
        }
        Ok(())
    }

    async fn take(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        self.touched.insert(shard.clone());
        if !self.transactional {
            return self.connect(shard).await;
        }
        let written = self.writes.contains(shard);
        self.taken.push(shard.clone());
        if let Some(participant) = self.transaction.participants.get_mut(shard) {
            participant.connection()?;
            participant.written |= written;
            participant.rows |= written;
            return participant.connection.take().ok_or_else(|| {
                PgError::internal("a shard's connection was there a moment ago").into()
            });
        }
        let mut connection = self.connect(shard).await?;
        connection.begin(self.context, self.transaction.modes.options()).await?;
        for savepoint in &self.transaction.savepoints {
            connection.savepoint(&savepoint.on_shards).await?;
        }
        self.transaction.participants.insert(
            shard.clone(),
            Participant { connection: None, written, rows: written, lost: false },
        );
        Ok(connection)
    }

    fn give(&mut self, shard: &ShardRef, connection: Option<Box<dyn NodeConnection>>) {
        if let Some(at) = self.taken.iter().position(|taken| taken == shard) {
            self.taken.swap_remove(at);
        }
        self.transaction.give_back(vec![(shard.clone(), connection)]);
    }

    async fn aside(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        self.cluster.connect(shard).await
    }

    fn is_block(&self) -> bool {
        matches!(self.transaction.state, State::Open | State::Failed)
    }

    fn has_old_snapshot(&self) -> bool {
        self.transaction.modes.isolation >= Level::RepeatableRead
    }

    fn takes_part(&self, shard: &ShardRef) -> bool {
        self.transaction.participants.contains_key(shard)
    }

    fn has_written(&self, shard: &ShardRef) -> bool {
        self.transaction.participants.get(shard).is_some_and(|participant| participant.written)
    }

    fn count_keys(&mut self, more: usize) -> usize {
        self.transaction.keys_locked = self.transaction.keys_locked.saturating_add(more);
        self.transaction.keys_locked
    }
}
