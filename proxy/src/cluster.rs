//! The running cluster as a proxy sees it: the newest metadata, the nodes that can be reached, and the sequences.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use dataman_metadata::change::{Change, ObjectName};
use dataman_metadata::id::{
    CollectionId, DatasourceId, DatastoreId, Epoch, NodeId, ObjectId, ShardId,
};
use dataman_metadata::member::{Member, MemberKind, MemberState, members, wait_for_all};
use dataman_metadata::replica::ReplicaError;
use dataman_metadata::sequence::SequenceBlock;
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::store::Store;
use dataman_metadata::topology::Shard;
use dataman_metadata::watch::SnapshotWatch;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::node::{Node, NodeConnection};
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::PgError;
use tokio::time::Instant;

use crate::catalog::Catalogs;
use crate::error::Error;
use crate::merge::{Resources, TemporaryFolder};
use crate::plan::estimate::Statistics;
use crate::replicas::{Reads, Replicas};
use crate::scatter::contract::{Capabilities, ShardRef};
use crate::scatter::shard::name_shard;
use crate::session::activity::Activity;
use crate::statistics::StatisticsStore;
use crate::writers::Writers;

/// How many numbers of a sequence are taken from the store at least: so many inserts share one write to it. What a proxy has
/// not used when it stops is lost, as the numbers are that PostgreSQL has logged ahead when it crashes.
pub const SEQUENCE_BLOCK: u64 = 32;

/// How long to wait for an epoch that an agent has seen before this proxy did.
const NEWER_EPOCH_WAIT: Duration = Duration::from_secs(2);

/// How long a change of the schema waits for members that are there and do not take it.
pub const MEMBERS_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked who is a member.
const MEMBERS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a statement waits for an agent that has said that it stops.
const AGENT_WAIT: Duration = Duration::from_secs(10);

/// How often it looks for it.
const AGENT_POLL: Duration = Duration::from_millis(50);

/// The datasources that this proxy talks to.
pub type Nodes = BTreeMap<DatasourceId, Arc<dyn Node>>;

/// The running cluster. One a process, shared by all sessions.
pub struct Cluster {
    store: Arc<dyn Store>,
    watch: SnapshotWatch,
    nodes: ArcSwap<Nodes>,
    blocks: Mutex<HashMap<(ObjectName, ObjectId), Block>>,
    resources: Arc<Resources>,
    catalogs: Catalogs,
    activity: Arc<Activity>,
    started_us: i64,
    statistics: Arc<StatisticsStore>,
    /// The lease of this proxy's own membership, when it is one of several.
    own_lease: OnceLock<String>,
    writers: Writers,
    replicas: Replicas,
}

/// What is left of the last block of a sequence. The lock is held while the next one is fetched, so that numbers go out in
/// order.
type Block = Arc<tokio::sync::Mutex<Option<SequenceBlock>>>;

impl Cluster {
    /// A cluster from its store and the datasources that have been opened.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(store: Arc<dyn Store>, nodes: Nodes) -> Result<Self, Error> {
        let watch = SnapshotWatch::start(Arc::clone(&store)).await?;
        let folder = TemporaryFolder::new(TemporaryFolder::default_path());
        let resources = Arc::new(Resources::new(usize::MAX, folder));
        Ok(Self {
            store,
            watch,
            nodes: ArcSwap::from_pointee(nodes),
            blocks: Mutex::default(),
            resources,
            statistics: Arc::default(),
            writers: Writers::default(),
            replicas: Replicas::default(),
            catalogs: Catalogs::default(),
            activity: Arc::default(),
            started_us: crate::session::now_us(),
            own_lease: OnceLock::new(),
        })
    }

    /// The same cluster with other memory, and another folder for temporary files.
    #[must_use]
    pub fn with_resources(self, resources: Resources) -> Self {
        Self { resources: Arc::new(resources), ..self }
    }

    /// The memory and the folder for temporary files that all statements share.
    pub fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// The sessions that write.
    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// What is known of the copies of the shards.
    pub(crate) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The system catalogs that were made last.
    pub(crate) fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// What this proxy's sessions do and did.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// When this proxy began, in microseconds since 2000.
    pub(crate) fn started_us(&self) -> i64 {
        self.started_us
    }

    /// The newest metadata.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.watch.snapshot()
    }

    /// The epoch of the newest metadata.
    pub fn epoch(&self) -> Epoch {
        self.watch.epoch()
    }

    /// The store, for what changes the metadata.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The node of a datasource.
    pub fn node(&self, datasource: &DatasourceId) -> Option<Arc<dyn Node>> {
        self.nodes.load().get(datasource).cloned()
    }

    /// Changes the metadata; the new snapshot is the newest from then on.
    ///
    /// # Errors
    /// See [`Store::commit`].
    pub async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, dataman_metadata::store::StoreError> {
        let snapshot = self.store.commit(expected, changes).await?;
        self.watch.offer(&snapshot);
        Ok(snapshot)
    }

    /// Says under which lease this proxy is a member itself.
    pub fn set_own_lease(&self, name: String) {
        // It is said once, at the start.
        let _ = self.own_lease.set(name);
    }

    /// Waits until every other member has the newest epoch, or is gone. Gives those that are there and do not have it after
    /// [`MEMBERS_PATIENCE`].
    pub async fn wait_for_members(&self) -> Vec<Member> {
        let own = self.own_lease.get().map(String::as_str);
        let waited = wait_for_all(&*self.store, self.epoch(), own, MEMBERS_PATIENCE).await;
        waited.unwrap_or_else(|error| {
            // What was changed is there; whoever is late is refused by the agents.
            tracing::warn!(%error, "cannot see who has the newest metadata");
            Vec::new()
        })
    }

    /// The members of the cluster when it was last looked.
    pub fn members(&self) -> Arc<Vec<Member>> {
        self.catalogs.members().load_full()
    }

    /// Looks who is a member from time to time. Ends never.
    pub async fn follow_members(&self) {
        loop {
            // While the store is away it stays what was known last.
            if let Ok(found) = members(&*self.store).await {
                self.catalogs.members().store(Arc::new(found));
            }
            tokio::time::sleep(MEMBERS_INTERVAL).await;
        }
    }

    /// Whether a node's agent has said that it stops and its place is kept, so that it may be there again in a moment.
    async fn is_agent_expected(&self, node: &NodeId) -> bool {
        let found = members(&*self.store).await.unwrap_or_default();
        found.iter().any(|member| {
            member.kind == MemberKind::Node
                && member.name == node.0
                && member.state == MemberState::Draining
        })
    }

    /// Watches the epoch of [`Cluster::snapshot`].
    pub fn epochs(&self) -> tokio::sync::watch::Receiver<Epoch> {
        self.watch.epochs()
    }

    /// The datasources that this proxy talks to.
    pub fn nodes(&self) -> Arc<Nodes> {
        self.nodes.load_full()
    }

    /// Takes other datasources: the cluster has got new ones, or lost some.
    pub fn set_nodes(&self, nodes: Nodes) {
        self.nodes.store(Arc::new(nodes));
    }

    /// Waits, for a bounded time, until the snapshot is newer than `epoch`: an agent has refused that one.
    pub async fn refresh(&self, epoch: Epoch) {
        let newer = self.watch.wait_for(Epoch(epoch.0 + 1));
        if tokio::time::timeout(NEWER_EPOCH_WAIT, newer).await.is_err() {
            tracing::warn!(%epoch, "an agent has seen newer metadata, which does not come here");
        }
    }

    /// Takes a connection to a shard's primary.
    ///
    /// # Errors
    /// `08006` when it cannot be reached, without saying where it is; `53300` when its pool is busy.
    pub async fn connect(&self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        let snapshot = self.watch.snapshot();
        let found = match copies(&snapshot, shard).map(|copies| self.replicas.primary(copies)) {
            Some(Err(error)) => return Err(no_primary(shard, error).into()),
            Some(Ok(found)) => Some(found),
            None => None,
        };
        let Some((datasource, node)) = found.and_then(|found| {
            let node = self.node(&found)?;
            Some((found, node))
        }) else {
            return Err(unreachable_shard(shard).into());
        };
        let has_agent =
            snapshot.nodes.get(&datasource.node).is_some_and(|node| node.agent.is_some());
        let deadline = Instant::now() + AGENT_WAIT;
        loop {
            let error = match node.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let is_unreachable =
                error.kind == NodeErrorKind::Unreachable || error.is_agent_stopping();
            if !is_unreachable {
                return Err(name_shard(shard, error).into());
            }
            // An agent that is started anew is waited for: nothing has been sent.
            if has_agent
                && Instant::now() < deadline
                && self.is_agent_expected(&datasource.node).await
            {
                tokio::time::sleep(AGENT_POLL).await;
                continue;
            }
            // Between the look and now it may have come.
            if has_agent && let Ok(connection) = node.connect().await {
                return Ok(connection);
            }
            tracing::warn!(datastore = %shard.datastore, shard = %shard.shard, %error, "cannot reach a shard");
            return Err(unreachable_shard(shard).into());
        }
    }

    /// Takes a connection to the copy of a shard that a statement may read: a replica, which is noted in `reads`, or the primary
    /// where no replica qualifies. `since` is when the session wrote the shard last.
    ///
    /// # Errors
    /// As of [`Cluster::connect`].
    pub(crate) async fn connect_to_read(
        &self,
        snapshot: &Snapshot,
        shard: &ShardRef,
        reads: &Reads,
        since: Option<Instant>,
    ) -> Result<Box<dyn NodeConnection>, Error> {
        let Some(copies) = copies(snapshot, shard).filter(|copies| !copies.replicas.is_empty())
        else {
            return self.connect(shard).await;
        };
        let primary = self.replicas.primary(copies).ok();
        for copy in self.replicas.readable(snapshot, copies, reads, since) {
            if Some(&copy) == primary.as_ref() {
                break;
            }
            let Some(node) = self.node(&copy) else { continue };
            // One that freezes now would be waited for in vain.
            let connected = tokio::select! {
                connected = node.connect() => connected,
                () = self.replicas.lost_copy(&copy) => continue,
            };
            match connected {
                Ok(connection) => {
                    reads.note(&copy);
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::warn!(datasource = %copy, %error, "a replica cannot be read");
                    if error.kind == NodeErrorKind::Unreachable {
                        self.replicas.suspect(&copy);
                    }
                }
            }
        }
        self.connect(shard).await
    }

    /// Takes a connection to a shard's primary if one is at hand.
    pub fn connect_now(
        &self,
        snapshot: &Snapshot,
        datastore: &DatastoreId,
        shard: ShardId,
    ) -> Option<Box<dyn NodeConnection>> {
        let copies = snapshot.datastores.get(datastore)?.shard(shard)?;
        if copies.replicas.is_empty() {
            return self.nodes.load().get(&copies.primary)?.connect_now();
        }
        let primary = self.replicas.primary(copies).ok()?;
        self.nodes.load().get(&primary)?.connect_now()
    }

    /// Whether a shard has replicas that its database fills.
    pub(crate) fn has_replicas(&self, shard: &ShardRef) -> bool {
        copies(&self.watch.snapshot(), shard).is_some_and(|copies| !copies.replicas.is_empty())
    }

    /// What is known of how much the collections hold.
    pub fn statistics(&self) -> &StatisticsStore {
        &self.statistics
    }

    /// What the shards can do, under a snapshot.
    pub fn capabilities(&self, snapshot: &Arc<Snapshot>) -> ClusterCapabilities {
        ClusterCapabilities {
            nodes: self.nodes.load_full(),
            snapshot: Arc::clone(snapshot),
            statistics: Arc::clone(&self.statistics),
        }
    }

    /// The next number of a sequence, when this proxy has fetched it already.
    pub(crate) fn take_fetched(&self, name: &ObjectName, oid: ObjectId) -> Option<i64> {
        let block = self.block(name, oid);
        // While somebody fetches the next block, others wait for it.
        let mut block = block.try_lock().ok()?;
        block.as_mut().and_then(SequenceBlock::take)
    }

    /// The next number of a sequence; so many are fetched at least when none is left.
    pub(crate) async fn take_number(&self, name: &ObjectName, wanted: usize) -> Result<i64, Error> {
        let numbers = self.take(name, 1, wanted).await?;
        numbers
            .first()
            .copied()
            .ok_or_else(|| PgError::internal("a sequence gave no number").into())
    }

    /// The next numbers of a sequence, which nobody else gets.
    ///
    /// # Errors
    /// `2200H` when it is exhausted; `42P01`; metadata errors.
    pub(crate) async fn take_numbers(
        &self,
        name: &ObjectName,
        count: usize,
    ) -> Result<Vec<i64>, Error> {
        self.take(name, count, 0).await
    }

    async fn take(
        &self,
        name: &ObjectName,
        count: usize,
        fetched: usize,
    ) -> Result<Vec<i64>, Error> {
        let snapshot = self.snapshot();
        let sequence = crate::session::sequence::find(&snapshot, name)?;
        let block = self.block(name, sequence.oid);
        let mut block = block.lock().await;
        let mut numbers = Vec::with_capacity(count.min(1024));
        while numbers.len() < count {
            match block.as_mut().and_then(SequenceBlock::take) {
                Some(number) => numbers.push(number),
                None => {
                    let missing = (count - numbers.len()).max(fetched);
                    let missing = u64::try_from(missing).unwrap_or(u64::MAX);
                    let cache = u64::try_from(sequence.cache).unwrap_or(1);
                    let wanted = missing.max(cache).max(SEQUENCE_BLOCK);
                    *block = Some(self.store.take_sequence_block(name, wanted).await?);
                }
            }
        }
        Ok(numbers)
    }

    /// `setval`: sets a sequence. Numbers that this proxy has fetched ahead are forgotten; those of other proxies are used up first,
    /// as with PostgreSQL's CACHE.
    pub(crate) async fn set_sequence(
        &self,
        name: &ObjectName,
        value: i64,
        is_called: bool,
    ) -> Result<(), Error> {
        self.store.set_sequence(name, value, is_called).await?;
        self.forget_sequence(name);
        Ok(())
    }

    /// Forgets numbers of a sequence that were fetched ahead: it has been set or restarted.
    pub fn forget_sequence(&self, name: &ObjectName) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.retain(|(known, _), _| known != name);
    }

    fn block(&self, name: &ObjectName, oid: ObjectId) -> Block {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(blocks.entry((name.clone(), oid)).or_default())
    }
}

fn copies<'a>(snapshot: &'a Snapshot, shard: &ShardRef) -> Option<&'a Shard> {
    snapshot.datastores.get(&shard.datastore)?.shard(shard.shard)
}

fn no_primary(shard: &ShardRef, error: ReplicaError) -> NodeError {
    let message = format!("shard {} of datastore \"{}\": {error}", shard.shard, shard.datastore);
    let hint = match error {
        ReplicaError::Ambiguous => {
            "Make all but one a replica: of a server that was the primary before, its writes since would be lost."
        }
        ReplicaError::NoPrimary | ReplicaError::Fenced => {
            "Promote a replica, or start the primary again. Reads go on with dataman.read set to \"any\"."
        }
    };
    NodeError::new(NodeErrorKind::Unreachable, "08006", message).with_hint(hint)
}

fn unreachable_shard(shard: &ShardRef) -> NodeError {
    NodeError::new(
        NodeErrorKind::Unreachable,
        "08006",
        format!("shard {} of datastore \"{}\" cannot be reached", shard.shard, shard.datastore),
    )
    .with_hint("Statements that do not need this shard still work. The log says what is wrong.")
}

/// The capabilities of a snapshot's shards.
pub struct ClusterCapabilities {
    nodes: Arc<Nodes>,
    snapshot: Arc<Snapshot>,
    statistics: Arc<StatisticsStore>,
}

impl Capabilities for ClusterCapabilities {
    fn of(&self, shard: &ShardRef) -> Option<&dyn Capability> {
        // The copies are of one engine.
        let datasource = &copies(&self.snapshot, shard)?.primary;
        self.nodes.get(datasource).map(|node| node.capability())
    }

    fn statistics(&self, collection: CollectionId) -> Option<Arc<Statistics>> {
        self.statistics.of(collection)
    }
}
