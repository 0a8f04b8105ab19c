//! What this proxy knows of the copies of its shards, and which of them a statement uses.
//!
//! ```text
//! follow ── each INTERVAL, every copy by itself ──▶ Node::observe ──▶ note
//!                                                                       │
//! Cluster::connect ────────── writable ◀── health of each copy ◀────────┘
//! Cluster::connect_to_read ── readable ◀──┘
//! ```
//! Which copies may be read or written is decided by [`dataman_metadata::replica`], which is pure. What is kept here is when this
//! proxy saw each primary's log go how far: a replica that has applied so much has everything that was written before that
//! moment. Its lag is the time since then, and a session that wrote later is not sent there. So one comparison serves the
//! bound on lag, a session's own writes and schema changes, and it needs no clock but this proxy's.
//!
//! Databases that count no terms (MySQL, MariaDB) say who copies from whom: a replica that becomes a primary gets a term here, newer than
//! all before, and a replica is of the primary's term when it copies from it, if only by others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dataman_metadata::id::{DatasourceId, Epoch};
use dataman_metadata::replica::{ReadPreference, ReplicaError, ReplicaHealth, ReplicaRole};
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::topology::Shard;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::replication::{Lineage, Observation, Position};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::cluster::Cluster;

/// How often each copy of a shard that has replicas is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long a copy may take to answer before it is taken to be gone.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// How many moments of a primary's log are kept. When there are more, every second one of the older half goes, so that they reach
/// back the further the sparser they are.
const MOMENTS_MAX: usize = 256;

/// Round trips that differ by less are alike: what is nearest changes turns among them.
const NEAR: Duration = Duration::from_micros(500);

/// What is known of the copies.
#[derive(Debug)]
pub struct Replicas {
    known: Mutex<Known>,
    /// Counts changes of who answers and as what.
    changes: watch::Sender<u64>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Known {
    copies: HashMap<DatasourceId, CopyState>,
    /// The newest epoch that was planned by, and since when: a replica that has not applied what came before may lack what the
    /// epoch's definitions made.
    epoch: (Epoch, Instant),
    /// How many promotions were seen of databases that do not count them.
    promotions: u64,
}

/// What is known of one copy.
#[derive(Debug, Clone, Default)]
struct CopyState {
    reachable: bool,
    role: Option<ReplicaRole>,
    term: u64,
    lineage: Option<Lineage>,
    position: Position,
    unapplied_bytes: Option<u64>,
    round_trip: Duration,
    /// Of a primary, how far its log went when; oldest first.
    moments: VecDeque<(Instant, Position)>,
}

/// Which copies a statement may read, and which it did.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) preference: ReadPreference,
    pub(crate) lag_max: Option<Duration>,
    /// Copies that have failed it.
    pub(crate) excluded: Vec<DatasourceId>,
    used: Mutex<Vec<DatasourceId>>,
}

impl Reads {
    pub(crate) fn new(
        preference: ReadPreference,
        lag_max: Option<Duration>,
        excluded: Vec<DatasourceId>,
    ) -> Self {
        Self { preference, lag_max, excluded, used: Mutex::default() }
    }

    /// The replicas that were read.
    pub(crate) fn used(&self) -> Vec<DatasourceId> {
        lock(&self.used).clone()
    }

    /// Notes that a replica is read.
    pub(crate) fn note(&self, copy: &DatasourceId) {
        let mut used = lock(&self.used);
        if !used.contains(copy) {
            used.push(copy.clone());
        }
    }
}

/// What is shown of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Whether it answers; none when it was not asked.
    pub(crate) reachable: Option<bool>,
    /// What it says it is.
    pub(crate) role: Option<ReplicaRole>,
    /// Which primary's log it has.
    pub(crate) term: Option<u64>,
    /// How far it is behind the primary, at most.
    pub(crate) lag: Option<Duration>,
    /// The same in bytes of the log, or in transactions where the log counts these.
    pub(crate) lag_bytes: Option<u64>,
    /// The bytes that have come to it and are not applied.
    pub(crate) unapplied_bytes: Option<u64>,
    /// How long an answer takes.
    pub(crate) round_trip: Option<Duration>,
}

impl Default for Replicas {
    fn default() -> Self {
        let epoch = (Epoch(0), Instant::now());
        let known = Known { copies: HashMap::new(), epoch, promotions: 0 };
        Self { known: Mutex::new(known), changes: watch::Sender::new(0), turn: AtomicUsize::new(0) }
    }
}

impl Replicas {
    /// The copy of a shard that takes writes.
    ///
    /// # Errors
    /// No copy may be written.
    pub(crate) fn primary(&self, shard: &Shard) -> Result<DatasourceId, ReplicaError> {
        if shard.replicas.is_empty() {
            return Ok(shard.primary.clone());
        }
        let known = lock(&self.known);
        shard.writable(|copy| known.health(shard, copy, &known.primary(shard), None)).cloned()
    }

    /// The copies of a shard that a statement planned under `snapshot` may read, the one whose turn it is first. `since` is
    /// when the session wrote the shard last.
    pub(crate) fn readable(
        &self,
        snapshot: &Snapshot,
        shard: &Shard,
        reads: &Reads,
        since: Option<Instant>,
    ) -> Vec<DatasourceId> {
        let mut known = lock(&self.known);
        if snapshot.epoch > known.epoch.0 {
            known.epoch = (snapshot.epoch, Instant::now());
        }
        let since = since.map_or(known.epoch.1, |since| since.max(known.epoch.1));
        let primary = known.primary(shard);
        let health = |copy: &DatasourceId| known.health(shard, copy, &primary, Some(since));
        let mut found: Vec<DatasourceId> = shard
            .readable(reads.preference, reads.lag_max, health)
            .into_iter()
            .filter(|copy| !reads.excluded.contains(copy))
            .cloned()
            .collect();
        let alike = match reads.preference {
            ReadPreference::Primary | ReadPreference::Any => found.len(),
            ReadPreference::Nearest => {
                let trip = |copy: &DatasourceId| {
                    known.copies.get(copy).map_or(Duration::MAX, |known| known.round_trip)
                };
                let best = found.first().map_or(Duration::MAX, trip);
                found.iter().take_while(|copy| trip(copy).saturating_sub(best) <= NEAR).count()
            }
        };
        if alike > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            found[..alike].rotate_left(turn % alike);
        }
        found
    }

    /// Notes what a look at a copy gave. `asked` is when it was asked.
    fn note(&self, copy: &DatasourceId, asked: Instant, seen: Result<Observation, NodeError>) {
        let mut known = lock(&self.known);
        let Known { copies, promotions, .. } = &mut *known;
        let entry = copies.entry(copy.clone()).or_default();
        let before = (entry.reachable, entry.role, entry.term);
        match seen {
            Ok(mut seen) => {
                if seen.lineage.is_some() {
                    let was_replica = entry.role == Some(ReplicaRole::Replica);
                    if was_replica && seen.role == ReplicaRole::Primary {
                        *promotions += 1;
                        entry.term = *promotions;
                    }
                    seen.term = entry.term;
                }
                let took = asked.elapsed();
                entry.round_trip = match entry.role {
                    None => took,
                    Some(_) => (entry.round_trip * 7 + took) / 8,
                };
                let now_before = (entry.role, entry.term) != (Some(seen.role), seen.term);
                if now_before || seen.role == ReplicaRole::Replica {
                    entry.moments.clear();
                }
                if seen.role == ReplicaRole::Primary {
                    let age = Duration::from_millis(seen.age_ms);
                    let at = asked.checked_sub(age).unwrap_or(asked);
                    entry.keep_moment(at, seen.position.clone());
                }
                entry.reachable = true;
                entry.role = Some(seen.role);
                entry.term = seen.term;
                entry.lineage = seen.lineage;
                entry.position = seen.position;
                entry.unapplied_bytes = seen.unapplied_bytes;
            }
            Err(error) => {
                if entry.reachable {
                    tracing::warn!(datasource = %copy, %error, "a copy of a shard does not answer");
                }
                entry.reachable = false;
            }
        }
        let after = (entry.reachable, entry.role, entry.term);
        drop(known);
        if before != after {
            tracing::info!(datasource = %copy, reachable = after.0, role = ?after.1, term = after.2, "a copy of a shard changed");
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Takes a copy to be gone until it answers again: a statement could not reach it.
    pub(crate) fn suspect(&self, copy: &DatasourceId) {
        let mut known = lock(&self.known);
        let Some(entry) = known.copies.get_mut(copy) else { return };
        if std::mem::take(&mut entry.reachable) {
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Waits until one of the replicas that a statement reads is gone.
    pub(crate) async fn lost(&self, reads: &Reads) {
        self.gone(|is_gone| lock(&reads.used).iter().any(is_gone)).await;
    }

    /// Waits until a copy that answered does not.
    pub(crate) async fn lost_copy(&self, copy: &DatasourceId) {
        self.gone(|is_gone| is_gone(copy)).await;
    }

    async fn gone(&self, is_met: impl Fn(&dyn Fn(&DatasourceId) -> bool) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let known = lock(&self.known);
                let is_gone =
                    |copy: &DatasourceId| known.copies.get(copy).is_some_and(|one| !one.reachable);
                if is_met(&is_gone) {
                    return;
                }
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What is known of a shard's copy, for people.
    pub(crate) fn shown(&self, shard: &Shard, copy: &DatasourceId) -> Shown {
        let known = lock(&self.known);
        let primary = known.primary(shard);
        let health = known.health(shard, copy, &primary, None);
        let found = known.copies.get(copy);
        let is_replica = health.role == Some(ReplicaRole::Replica);
        let newest = primary.as_ref().and_then(|primary| known.copies.get(primary));
        let lag_bytes = newest.zip(found).map(|(newest, found)| {
            if is_replica { found.position.distance_to(&newest.position) } else { 0 }
        });
        Shown {
            reachable: found.map(|_| health.reachable),
            role: health.role,
            term: health.role.map(|_| health.term),
            lag: if is_replica { health.lag } else { health.role.map(|_| Duration::ZERO) },
            lag_bytes: lag_bytes.filter(|_| health.role.is_some()),
            unapplied_bytes: found.and_then(|found| found.unapplied_bytes),
            round_trip: health.role.map(|_| health.round_trip),
        }
    }
}

impl Known {
    /// The copy that a shard's others copy from, as far as is known.
    fn primary(&self, shard: &Shard) -> Option<DatasourceId> {
        shard.writable(|copy| self.health(shard, copy, &None, None)).ok().cloned()
    }

    /// Whether a copy of a shard copies from another one, if only by others of the shard.
    fn follows(&self, shard: &Shard, copy: &CopyState, primary: &CopyState) -> bool {
        let (Some(own), Some(wanted)) = (&copy.lineage, &primary.lineage) else { return true };
        let all: Vec<&Lineage> = shard
            .copies()
            .filter_map(|(copy, _)| self.copies.get(copy)?.lineage.as_ref())
            .collect();
        let mut reached: Vec<u64> = own.sources.clone();
        let mut place = 0;
        while let Some(server) = reached.get(place).copied() {
            place += 1;
            if server == wanted.server {
                return true;
            }
            let next = all.iter().filter(|other| other.server == server);
            for source in next.flat_map(|other| &other.sources) {
                if !reached.contains(source) {
                    reached.push(*source);
                }
            }
        }
        false
    }

    /// What is known of a shard's copy, as one that follows `primary` and must have all that was written before `since`.
    fn health(
        &self,
        shard: &Shard,
        copy: &DatasourceId,
        primary: &Option<DatasourceId>,
        since: Option<Instant>,
    ) -> ReplicaHealth {
        let Some(found) = self.copies.get(copy) else {
            return ReplicaHealth {
                reachable: false,
                role: None,
                term: 0,
                lag: None,
                covers: false,
                round_trip: Duration::MAX,
            };
        };
        // The newest moment of the primary whose log the copy has applied whole.
        let primary = primary.as_ref().and_then(|primary| self.copies.get(primary));
        let followed = primary.filter(|primary| self.follows(shard, found, primary));
        let has_all_of = followed.and_then(|primary| {
            let mut newest_first = primary.moments.iter().rev();
            newest_first.find(|(_, position)| found.position.covers(position)).map(|(at, _)| *at)
        });
        let is_counted_here = found.lineage.is_some() && found.role == Some(ReplicaRole::Replica);
        let term = match is_counted_here {
            true => followed.map_or(0, |primary| primary.term),
            false => found.term,
        };
        ReplicaHealth {
            reachable: found.reachable,
            role: found.role,
            term,
            lag: has_all_of.map(|at| at.elapsed()),
            covers: since.is_none_or(|since| has_all_of.is_some_and(|at| at >= since)),
            round_trip: found.round_trip,
        }
    }
}

impl CopyState {
    fn keep_moment(&mut self, at: Instant, position: Position) {
        // Answers from one look of an agent may come in another order than they were asked for.
        if self.moments.back().is_some_and(|(last, _)| *last > at) {
            return;
        }
        // A log that stands still has had this end for all the time.
        if let [.., (_, one), (at_last, last)] = self.moments.make_contiguous()
            && *one == position
            && *last == position
        {
            *at_last = at;
            return;
        }
        self.moments.push_back((at, position));
        if self.moments.len() > MOMENTS_MAX {
            let older = MOMENTS_MAX / 2;
            let mut place = 0;
            self.moments.retain(|_| {
                place += 1;
                place > older || place % 2 == 1
            });
        }
    }
}

/// Looks at the copies of all shards that have replicas, from time to time, each by itself. Ends never.
pub async fn follow(cluster: &Cluster) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = FuturesUnordered::new();
    let mut looked_at = HashSet::new();
    loop {
        // Both branches lose nothing when they are dropped: looks go on in their set.
        tokio::select! {
            _ = ticks.tick() => {
                let snapshot = cluster.snapshot();
                let shards = snapshot.datastores.values().flat_map(|datastore| &datastore.shards);
                let replicated = shards.filter(|shard| !shard.replicas.is_empty());
                for (copy, _) in replicated.flat_map(Shard::copies) {
                    let Some(node) = cluster.node(copy) else { continue };
                    if !looked_at.insert(copy.clone()) {
                        continue;
                    }
                    let copy = copy.clone();
                    looks.push(async move {
                        let asked = Instant::now();
                        let seen = timeout(LOOK_TIME, node.observe()).await.unwrap_or_else(|_| {
                            let message = "it does not answer in time";
                            Err(NodeError::statement("57014", message))
                        });
                        (copy, asked, seen)
                    });
                }
            }
            Some((copy, asked, seen)) = looks.next(), if !looks.is_empty() => {
                looked_at.remove(&copy);
                cluster.replicas().note(&copy, asked, seen);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use dataman_metadata::id::NodeId;

    use super::*;

    fn id(node: &str) -> DatasourceId {
        DatasourceId { node: NodeId::from(node), name: "main".to_owned() }
    }

    fn shard() -> Shard {
        Shard { primary: id("a"), replicas: vec![id("b"), id("c")], fencing_token: 0 }
    }

    /// Sees a copy as a primary or replica of a term, its log this far.
    fn see(replicas: &Replicas, node: &str, role: ReplicaRole, term: u64, position: u64) {
        let seen = Observation {
            role,
            term,
            lineage: None,
            position: Position(vec![(0, position)]),
            unapplied_bytes: None,
            age_ms: 0,
        };
        replicas.note(&id(node), Instant::now(), Ok(seen));
    }

    fn check(replicas: &Replicas, lag_ms: Option<u64>, since: Option<Instant>, expected: &[&str]) {
        let lag_max = lag_ms.map(Duration::from_millis);
        let reads = Reads::new(ReadPreference::Any, lag_max, Vec::new());
        let mut found = replicas.readable(&Snapshot::empty(), &shard(), &reads, since);
        found.sort();
        assert_eq!(found, expected.iter().map(|node| id(node)).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_read() {
        use ReplicaRole::{Primary, Replica};
        let replicas = Replicas::default();
        check(&replicas, None, None, &[]);
        let pass = async |ms| tokio::time::advance(Duration::from_millis(ms)).await;
        see(&replicas, "a", Primary, 1, 100);
        see(&replicas, "b", Replica, 1, 100);
        see(&replicas, "c", Replica, 1, 90);
        check(&replicas, None, None, &["b"]);
        pass(300).await;
        let wrote = Instant::now();
        see(&replicas, "a", Primary, 1, 200);
        see(&replicas, "c", Replica, 1, 150);
        // Both had all that there was 300 ms ago, and neither what was written since.
        check(&replicas, Some(300), None, &["b", "c"]);
        check(&replicas, Some(299), None, &[]);
        check(&replicas, None, Some(wrote), &[]);
        see(&replicas, "c", Replica, 1, 200);
        check(&replicas, Some(0), Some(wrote), &["c"]);
        replicas.suspect(&id("c"));
        check(&replicas, None, None, &["b"]);
        // The other one is promoted: what follows the old primary is not read, and nobody writes there.
        see(&replicas, "b", Primary, 2, 110);
        see(&replicas, "c", Replica, 1, 200);
        check(&replicas, None, None, &[]);
        assert_eq!(replicas.primary(&shard()), Ok(id("b")));
        see(&replicas, "c", Replica, 2, 110);
        check(&replicas, None, None, &["c"]);
    }

    /// Sees a copy of a database that counts no terms: which server it is, whom it copies from.
    fn see_server(replicas: &Replicas, node: &str, server: u64, source: Option<u64>, number: u64) {
        let role = source.map_or(ReplicaRole::Primary, |_| ReplicaRole::Replica);
        let seen = Observation {
            role,
            term: 0,
            lineage: Some(Lineage { server, sources: source.into_iter().collect() }),
            position: Position(vec![(0, number)]),
            unapplied_bytes: None,
            age_ms: 0,
        };
        replicas.note(&id(node), Instant::now(), Ok(seen));
    }

    #[tokio::test(start_paused = true)]
    async fn promotions_are_counted_where_the_database_does_not() {
        let replicas = Replicas::default();
        assert_eq!(replicas.primary(&shard()), Ok(id("a")));
        see_server(&replicas, "a", 1, None, 100);
        see_server(&replicas, "b", 2, Some(1), 100);
        // One that copies from the primary by way of another.
        see_server(&replicas, "c", 3, Some(2), 100);
        check(&replicas, None, None, &["b", "c"]);
        // A replica of a server that is none of the shard's.
        see_server(&replicas, "c", 3, Some(9), 100);
        check(&replicas, None, None, &["b"]);
        see_server(&replicas, "c", 3, Some(1), 100);
        see_server(&replicas, "b", 2, None, 100);
        assert_eq!(replicas.primary(&shard()), Ok(id("b")));
        // It follows the old primary still.
        check(&replicas, None, None, &[]);
        see_server(&replicas, "c", 3, Some(2), 100);
        check(&replicas, None, None, &["c"]);
        // The old primary comes back and knows nothing; then it follows, and is promoted again.
        see_server(&replicas, "a", 1, None, 120);
        assert_eq!(replicas.primary(&shard()), Ok(id("b")));
        see_server(&replicas, "a", 1, Some(2), 100);
        check(&replicas, None, None, &["a", "c"]);
        see_server(&replicas, "a", 1, None, 100);
        assert_eq!(replicas.primary(&shard()), Ok(id("a")));
        // A proxy that starts then cannot tell them apart.
        let other = Replicas::default();
        see_server(&other, "a", 1, None, 100);
        see_server(&other, "b", 2, None, 100);
        assert_eq!(other.primary(&shard()), Err(ReplicaError::Ambiguous));
    }

    #[tokio::test(start_paused = true)]
    async fn moments_reach_back() {
        let mut copy = CopyState::default();
        for position in 0..10_000 {
            tokio::time::advance(Duration::from_millis(200)).await;
            copy.keep_moment(Instant::now(), Position(vec![(0, position)]));
        }
        assert!(copy.moments.len() <= MOMENTS_MAX);
        let oldest = copy.moments.front().map(|(at, _)| at.elapsed());
        assert!(oldest.is_some_and(|oldest| oldest > Duration::from_secs(1000)), "{oldest:?}");
    }
}
