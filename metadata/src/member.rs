//! Who takes part in a cluster now: proxies and agents, each under a lease, each saying which epoch it has.
//!
//! A change of the schema is acknowledged when every member has its epoch, or the lease of one that is silent has run out
//! ([`wait_for_all`]). An agent has an epoch when it refuses statements planned before it, a proxy when it plans by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::id::Epoch;
use crate::lease::{Lease, LeaseError};
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreError};
use crate::topology::Node;

/// For how long a member is taken to be there after it was heard of last: how long a schema change waits for one that was killed.
pub const MEMBER_SPAN: Duration = Duration::from_secs(6);

/// How often a member says that it is there.
const RENEWAL: Duration = Duration::from_secs(2);

/// What the names of members' leases begin with.
const PREFIX: &str = "member/";

/// How often it is looked who has an epoch, at first and in the end.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// What clients talk to.
    Proxy,
    /// The agent of a node, by the node's name.
    Node,
}

impl MemberKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Node => "node",
        }
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It serves.
    #[default]
    Ready,
    /// It takes nobody new, and goes when all are done.
    Draining,
}

/// One member as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub kind: MemberKind,
    /// Its name: a node's, or one that a proxy has given itself.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// What it does.
    pub state: MemberState,
    /// The epoch that it has; 0 before it has any.
    pub epoch: Epoch,
}

/// What a member notes in its lease.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    epoch: Epoch,
    state: MemberState,
    address: String,
}

/// What a node is to its cluster at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Its agent has not come yet, and nothing needs it.
    Pending,
    /// Its agent is there, and no shard is on it.
    Ready,
    /// Its agent is there, and shards are on it.
    Allocated,
    /// Its agent is about to go.
    Draining,
    /// Shards are on it, and its agent is not there.
    Out,
}

impl NodeState {
    /// The state of a node whose agent has this membership. A node without an agent's address runs inside `dataman up`.
    #[must_use]
    pub fn of(snapshot: &Snapshot, node: &Node, member: Option<&Member>) -> Self {
        let shards = snapshot.datastores.values().flat_map(|datastore| &datastore.shards);
        let is_used = shards.flat_map(|shard| shard.copies()).any(|(copy, _)| copy.node == node.id);
        match (member, &node.agent) {
            (Some(Member { state: MemberState::Draining, .. }), _) => Self::Draining,
            (None, Some(_)) => {
                if is_used {
                    Self::Out
                } else {
                    Self::Pending
                }
            }
            (Some(_), _) | (None, None) => {
                if is_used {
                    Self::Allocated
                } else {
                    Self::Ready
                }
            }
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Allocated => "allocated",
            Self::Draining => "draining",
            Self::Out => "out",
        }
    }
}

/// This process's part in the cluster. Dropped without [`Membership::leave`], it ends when its lease does.
#[derive(Debug)]
pub struct Membership {
    store: Arc<dyn Store>,
    lease: Arc<Mutex<Lease>>,
    address: String,
    state: watch::Sender<MemberState>,
    keeper: JoinSet<()>,
}

impl Membership {
    /// Enters the cluster. From then on changes of the schema wait for this member, so that it may read the metadata and
    /// [`Membership::follow`] it.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when another process is there under this name; the store's.
    pub async fn join(
        store: Arc<dyn Store>,
        kind: MemberKind,
        name: &str,
        address: &str,
    ) -> Result<Self, StoreError> {
        let holder = format!("{}-{}", random_name(), std::process::id());
        let lease = format!("{PREFIX}{}/{name}", kind.word());
        let lease = store.grant_lease(&lease, &holder, MEMBER_SPAN).await?;
        Ok(Self {
            store,
            lease: Arc::new(Mutex::new(lease)),
            address: address.to_owned(),
            state: watch::Sender::new(MemberState::Ready),
            keeper: JoinSet::new(),
        })
    }

    /// The lease's name, which tells this member from others.
    #[must_use]
    pub fn name(&self) -> String {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).name.clone()
    }

    /// Says from now on that this member is there, and which epoch it has.
    pub fn follow(&mut self, epochs: watch::Receiver<Epoch>) {
        let keeper = Keeper {
            store: self.store.clone(),
            lease: self.lease.clone(),
            address: self.address.clone(),
        };
        self.keeper.spawn(keeper.keep(epochs, self.state.subscribe()));
    }

    /// Says that this member takes nobody new.
    pub fn drain(&self) {
        self.state.send_replace(MemberState::Draining);
    }

    /// Leaves the cluster and lets its place be kept for as long as the lease lasts: others wait that long for it to come again.
    pub async fn leave_for_now(mut self) {
        self.keeper.shutdown().await;
        let (store, lease, address) =
            (self.store.clone(), self.lease.clone(), self.address.clone());
        let keeper = Keeper { store, lease, address };
        if let Err(error) = keeper.say((Epoch(0), MemberState::Draining)).await {
            tracing::warn!(%error, "nobody could be told that this process stops");
        }
    }

    /// Leaves the cluster: nobody waits for this member any more.
    pub async fn leave(mut self) {
        self.keeper.shutdown().await;
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = self.store.release_lease(&lease).await {
            tracing::warn!(%error, "the lease on this process's membership ends by itself");
        }
    }
}

/// Keeps a lease, and its note true.
struct Keeper {
    store: Arc<dyn Store>,
    lease: Arc<Mutex<Lease>>,
    address: String,
}

impl Keeper {
    async fn keep(
        self,
        mut epochs: watch::Receiver<Epoch>,
        mut state: watch::Receiver<MemberState>,
    ) {
        let mut renewal = interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        let mut said = None;
        loop {
            let now = (*epochs.borrow_and_update(), *state.borrow_and_update());
            let mut outcome = Ok(());
            if said != Some(now) {
                outcome = self.say(now).await;
                if outcome.is_ok() {
                    said = Some(now);
                }
            }
            if outcome.is_ok() {
                // Branches lose nothing when they are dropped: what has changed is looked at above.
                let due = tokio::select! {
                    changed = epochs.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        false
                    }
                    _ = state.changed() => false,
                    _ = renewal.tick() => true,
                };
                if due {
                    outcome = self.renew().await;
                }
            }
            match outcome {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("this process is a member of the cluster again");
                    }
                }
                Err(StoreError::Lease(_)) => {
                    // It has run out, as when the store was away: whatever was done by it is refused by the agents.
                    said = None;
                    if let Err(error) = self.enter_again().await {
                        tracing::warn!(%error, "this process is no member of the cluster for now");
                        sleep(RENEWAL).await;
                    }
                }
                Err(error) => {
                    if !failing {
                        failing = true;
                        tracing::warn!(%error, "this process cannot say that it is there");
                    }
                    sleep(RENEWAL / 4).await;
                }
            }
        }
    }

    fn lease(&self) -> Lease {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn say(&self, (epoch, state): (Epoch, MemberState)) -> Result<(), StoreError> {
        let note = Note { epoch, state, address: self.address.clone() };
        let text = serde_json::to_string(&note).expect("a note can be written as JSON");
        self.store.annotate_lease(&self.lease(), &text).await
    }

    async fn renew(&self) -> Result<(), StoreError> {
        self.store.renew_lease(&self.lease(), MEMBER_SPAN).await.map(|_| ())
    }

    async fn enter_again(&self) -> Result<(), StoreError> {
        let old = self.lease();
        let lease = self.store.grant_lease(&old.name, &old.holder, MEMBER_SPAN).await?;
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
        Ok(())
    }
}

/// The members that are there now, in the order of kind and name.
///
/// # Errors
/// The store's.
pub async fn members(store: &dyn Store) -> Result<Vec<Member>, StoreError> {
    let leases = store.leases(PREFIX).await?;
    Ok(leases.iter().filter_map(member).collect())
}

fn member(lease: &Lease) -> Option<Member> {
    let (kind, name) = lease.name.strip_prefix(PREFIX)?.split_once('/')?;
    let kind = match kind {
        "proxy" => MemberKind::Proxy,
        "node" => MemberKind::Node,
        _ => return None,
    };
    // One that has just come has noted nothing.
    let Note { epoch, state, address } = serde_json::from_str(&lease.note).unwrap_or_default();
    Some(Member { kind, name: name.to_owned(), address, state, epoch })
}

/// Waits until every member but `own` (a lease's name) has the epoch or is gone, for as long as `patience` at most. Gives those
/// that are there and do not have it.
///
/// # Errors
/// The store's.
pub async fn wait_for_all(
    store: &dyn Store,
    epoch: Epoch,
    own: Option<&str>,
    patience: Duration,
) -> Result<Vec<Member>, StoreError> {
    let deadline = Instant::now() + patience;
    let mut pause = LOOK_MIN;
    loop {
        let leases = store.leases(PREFIX).await?;
        let others = leases.iter().filter(|lease| Some(lease.name.as_str()) != own);
        // One that is about to go begins nothing new.
        let is_late =
            |member: &Member| member.epoch < epoch && member.state != MemberState::Draining;
        let late: Vec<Member> = others.filter_map(member).filter(is_late).collect();
        if late.is_empty() || Instant::now() >= deadline {
            return Ok(late);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// Joins as [`Membership::join`] does, in the place of a process of the same name that has left for now, or that listened at the address
/// at which the caller listens now, and waiting for one that was killed elsewhere: its lease ends by itself.
///
/// # Errors
/// [`LeaseError::Held`] when it does not; the store's.
pub async fn join_after(
    store: &Arc<dyn Store>,
    kind: MemberKind,
    name: &str,
    address: &str,
) -> Result<Membership, StoreError> {
    // etcd lets a lease end up to a few seconds late.
    let deadline = Instant::now() + MEMBER_SPAN * 2;
    loop {
        let lease = format!("{PREFIX}{}/{name}", kind.word());
        for held in store.leases(&lease).await?.iter().filter(|held| held.name == lease) {
            let is_gone = member(held).is_some_and(|old| {
                let has_left = old.state == MemberState::Draining && old.epoch == Epoch(0);
                has_left || (old.address == address && is_one_place(address))
            });
            if is_gone {
                store.release_lease(held).await?;
            }
        }
        match Membership::join(store.clone(), kind, name, address).await {
            Err(StoreError::Lease(LeaseError::Held { .. })) if Instant::now() < deadline => {
                sleep(LOOK_MAX).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether no other host has the same address.
fn is_one_place(address: &str) -> bool {
    let address = address.parse::<std::net::SocketAddr>();
    address.is_ok_and(|address| !address.ip().is_unspecified() && address.port() != 0)
}

/// A name that nobody else has.
pub(crate) fn random_name() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The hasher's keys come from the operating system.
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn changes_wait_for_those_who_are_there() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let join = async |name: &str| {
            Membership::join(store.clone(), MemberKind::Proxy, name, "here:1").await.unwrap()
        };
        let (mut one, mut two) = (join("one").await, join("two").await);
        let again = Membership::join(store.clone(), MemberKind::Proxy, "one", "there:1").await;
        assert!(matches!(again, Err(StoreError::Lease(LeaseError::Held { .. }))), "{again:?}");
        let (epochs_one, epochs_two) = (watch::Sender::new(Epoch(3)), watch::Sender::new(Epoch(2)));
        one.follow(epochs_one.subscribe());
        two.follow(epochs_two.subscribe());
        let late = async |epoch, patience| {
            let own = one.name();
            let late = wait_for_all(&*store, Epoch(epoch), Some(&own), patience).await.unwrap();
            late.into_iter().map(|member| member.name).collect::<Vec<_>>()
        };
        assert_eq!(late(2, Duration::from_secs(60)).await, Vec::<String>::new());
        assert_eq!(late(3, Duration::ZERO).await, ["two"]);
        epochs_two.send_replace(Epoch(3));
        assert_eq!(late(3, Duration::from_secs(60)).await, Vec::<String>::new());
        two.drain();
        while members(&*store).await.unwrap()[1].state != MemberState::Draining {
            tokio::task::yield_now().await;
        }
        two.leave_for_now().await;
        assert_eq!(late(9, Duration::from_secs(60)).await, Vec::<String>::new());
        assert_eq!(members(&*store).await.unwrap().len(), 2);
        join_after(&store, MemberKind::Proxy, "two", "").await.unwrap().leave().await;
        let left = members(&*store).await.unwrap();
        assert_eq!((left.len(), left[0].epoch, left[0].address.as_str()), (1, Epoch(3), "here:1"));
    }

    #[test]
    fn states_of_nodes() {
        let mut snapshot = Snapshot::empty().apply(&sample::cluster(2)).unwrap();
        let member = |state| Member {
            kind: MemberKind::Node,
            name: "local".to_owned(),
            address: String::new(),
            state,
            epoch: Epoch(1),
        };
        let check = |snapshot: &Snapshot, member: Option<&Member>, expected: NodeState| {
            let node = snapshot.nodes.values().next().unwrap();
            assert_eq!(NodeState::of(snapshot, node, member), expected);
        };
        let (ready, draining) = (member(MemberState::Ready), member(MemberState::Draining));
        check(&snapshot, None, NodeState::Allocated);
        for node in snapshot.nodes.values_mut() {
            node.agent = Some("a:1".to_owned());
        }
        check(&snapshot, None, NodeState::Out);
        check(&snapshot, Some(&ready), NodeState::Allocated);
        check(&snapshot, Some(&draining), NodeState::Draining);
        snapshot.datastores.clear();
        check(&snapshot, None, NodeState::Pending);
        check(&snapshot, Some(&ready), NodeState::Ready);
    }
}
