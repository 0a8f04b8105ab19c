//! A shard's copies: who may be written, who may be read. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::DatasourceId;
use crate::topology::Shard;

/// What a copy is to its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaRole {
    /// The copy that takes writes.
    Primary,
    /// A copy that follows.
    Replica,
}

/// Which copies a read may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadPreference {
    /// The primary alone: the newest data.
    #[default]
    Primary,
    /// Any copy that is not too far behind.
    Any,
    /// The copy that answers soonest of those that are not too far behind.
    Nearest,
}

/// What is known of a copy at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaHealth {
    /// Whether it answers.
    pub reachable: bool,
    /// What it said it is when it answered last; none when it has not answered yet.
    pub role: Option<ReplicaRole>,
    /// Which primary's log it had then; raised at each promotion, or 0 where the database counts none.
    pub term: u64,
    /// How far it is behind the primary at most; none when that is not known. The primary is never behind.
    pub lag: Option<Duration>,
    /// Whether it has all that the reader must see.
    pub covers: bool,
    /// How long an answer takes to come.
    pub round_trip: Duration,
}

/// Why a shard cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The configured primary is a replica now, and no other copy says that it is the primary.
    #[error("no copy is the primary")]
    NoPrimary,
    /// Several copies say that they are the primary, and nothing tells which was promoted last.
    #[error("more than one copy says that it is the primary")]
    Ambiguous,
    /// The only copy that says that it is the primary has the log of an older one than another copy has.
    #[error("the primary was outdated by a promotion")]
    Fenced,
}

impl Shard {
    /// Its copies, the configured primary first.
    pub fn copies(&self) -> impl Iterator<Item = (&DatasourceId, ReplicaRole)> {
        let replicas = self.replicas.iter().map(|replica| (replica, ReplicaRole::Replica));
        std::iter::once((&self.primary, ReplicaRole::Primary)).chain(replicas)
    }

    /// Whether a datasource holds a copy.
    #[must_use]
    pub fn has_copy(&self, datasource: &DatasourceId) -> bool {
        self.copies().any(|(copy, _)| copy == datasource)
    }

    /// The copies that a read may use, best first; none when only the primary is left, which whoever reads asks
    /// [`Shard::writable`] for. `health` says what is known of a copy, `lag_max` how far behind one may be; none for any lag.
    pub fn readable(
        &self,
        preference: ReadPreference,
        lag_max: Option<Duration>,
        health: impl Fn(&DatasourceId) -> ReplicaHealth,
    ) -> Vec<&DatasourceId> {
        if preference == ReadPreference::Primary {
            return Vec::new();
        }
        let newest = self.newest_term(&health);
        let qualifies = |health: &ReplicaHealth| {
            let is_recent = lag_max.is_none_or(|max| health.lag.is_some_and(|lag| lag <= max));
            health.role == Some(ReplicaRole::Replica)
                && health.reachable
                && health.covers
                && health.term == newest
                && is_recent
        };
        let mut copies = self
            .copies()
            .map(|(copy, _)| (copy, health(copy)))
            .filter(|(_, health)| qualifies(health))
            .collect::<Vec<_>>();
        if preference == ReadPreference::Nearest {
            if let Ok(primary) = self.writable(&health) {
                let health = health(primary);
                if health.reachable {
                    copies.push((primary, health));
                }
            }
            copies.sort_by_key(|(_, health)| health.round_trip);
        }
        copies.into_iter().map(|(copy, _)| copy).collect()
    }

    /// The copy that takes writes: the one that says that it is the primary, of several the one with the newest log; one that is away
    /// for a moment stays it. Where nothing is known yet it is the configured one; who connects to it finds out.
    ///
    /// # Errors
    /// A promotion is under way, or was lost, or cannot be told from another: nobody may be written.
    pub fn writable(
        &self,
        health: impl Fn(&DatasourceId) -> ReplicaHealth,
    ) -> Result<&DatasourceId, ReplicaError> {
        let newest = self.newest_term(&health);
        let mut claims = self.copies().map(|(copy, _)| copy).filter(|copy| {
            let health = health(copy);
            health.role == Some(ReplicaRole::Primary) && health.term == newest
        });
        match (claims.next(), claims.next()) {
            (Some(copy), None) => return Ok(copy),
            (Some(_), Some(_)) => return Err(ReplicaError::Ambiguous),
            (None, _) => {}
        }
        match health(&self.primary).role {
            None => Ok(&self.primary),
            Some(ReplicaRole::Replica) => Err(ReplicaError::NoPrimary),
            Some(ReplicaRole::Primary) => Err(ReplicaError::Fenced),
        }
    }

    fn newest_term(&self, health: impl Fn(&DatasourceId) -> ReplicaHealth) -> u64 {
        self.copies().map(|(copy, _)| health(copy).term).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn shard() -> Shard {
        let id = |node: &str| DatasourceId { node: NodeId::from(node), name: "main".to_owned() };
        Shard { primary: id("a"), replicas: vec![id("b"), id("c")], fencing_token: 3 }
    }

    fn up(role: ReplicaRole, term: u64, lag_ms: u64, round_trip_ms: u64) -> ReplicaHealth {
        ReplicaHealth {
            reachable: true,
            role: Some(role),
            term,
            lag: (role == ReplicaRole::Replica).then(|| Duration::from_millis(lag_ms)),
            covers: true,
            round_trip: Duration::from_millis(round_trip_ms),
        }
    }

    /// Health by node, in the order of their names.
    fn of(health: &[ReplicaHealth; 3]) -> impl Fn(&DatasourceId) -> ReplicaHealth {
        |id| health[usize::from(id.node.0.as_bytes()[0] - b'a')].clone()
    }

    fn check_read(preference: ReadPreference, health: [ReplicaHealth; 3], expected: &str) {
        let shard = shard();
        let found = shard.readable(preference, Some(Duration::from_millis(100)), of(&health));
        let names: String = found.iter().map(|copy| copy.node.0.as_str()).collect();
        assert_eq!(names, expected, "{health:?}");
    }

    fn check_written(health: [ReplicaHealth; 3], expected: Result<&str, ReplicaError>) {
        let shard = shard();
        let found = shard.writable(of(&health)).map(|copy| copy.node.0.as_str());
        assert_eq!(found, expected, "{health:?}");
    }

    use ReplicaRole::{Primary, Replica};

    #[test]
    fn reading() {
        use ReadPreference::{Any, Nearest};
        let all = [up(Primary, 1, 0, 5), up(Replica, 1, 100, 9), up(Replica, 1, 0, 1)];
        check_read(ReadPreference::Primary, all.clone(), "");
        check_read(Any, all.clone(), "bc");
        check_read(Nearest, all.clone(), "cab");
        let [a, b, c] = all;
        check_read(Any, [a.clone(), up(Replica, 1, 101, 1), c.clone()], "c");
        let unknown = ReplicaHealth { lag: None, ..b.clone() };
        check_read(Any, [a.clone(), unknown, c.clone()], "c");
        let down = ReplicaHealth { reachable: false, ..c.clone() };
        check_read(Any, [a.clone(), b.clone(), down], "b");
        let late = ReplicaHealth { covers: false, ..b.clone() };
        check_read(Nearest, [a.clone(), late, c.clone()], "ca");
        // Of two logs the newer one counts.
        check_read(Any, [a, b, up(Replica, 2, 0, 1)], "c");
    }

    #[test]
    fn writing() {
        let never = ReplicaHealth {
            reachable: false,
            role: None,
            term: 0,
            lag: None,
            covers: false,
            round_trip: Duration::ZERO,
        };
        let replica = || up(Replica, 1, 0, 1);
        check_written([never.clone(), never.clone(), never.clone()], Ok("a"));
        check_written([up(Primary, 1, 0, 1), replica(), replica()], Ok("a"));
        let away = ReplicaHealth { reachable: false, ..up(Primary, 1, 0, 1) };
        check_written([away.clone(), replica(), never], Ok("a"));
        // A promotion: the old primary is away, there still, or follows.
        check_written([away, up(Primary, 2, 0, 1), replica()], Ok("b"));
        check_written([up(Primary, 1, 0, 1), up(Primary, 2, 0, 1), replica()], Ok("b"));
        check_written([replica(), up(Primary, 2, 0, 1), replica()], Ok("b"));
        let gone = ReplicaHealth { reachable: false, ..up(Primary, 2, 0, 1) };
        check_written([up(Primary, 1, 0, 1), gone, replica()], Ok("b"));
        check_written([replica(), replica(), replica()], Err(ReplicaError::NoPrimary));
        let two = [up(Primary, 1, 0, 1), up(Primary, 1, 0, 1), replica()];
        check_written(two, Err(ReplicaError::Ambiguous));
        let newer = up(Replica, 2, 0, 1);
        check_written([up(Primary, 1, 0, 1), newer, replica()], Err(ReplicaError::Fenced));
    }
}
