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
    /// How far it is behind the primary; none when that is not known. The primary is never behind.
    pub lag: Option<Duration>,
    /// How long an answer takes to come.
    pub round_trip: Duration,
}

/// Why a shard cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The primary does not answer, and nobody else may be asked.
    #[error("the primary does not answer")]
    PrimaryDown,
    /// No copy answers that is near enough to the primary.
    #[error("no replica answers that is recent enough")]
    NoneRecent,
    /// The writer knows an older primary than the shard has.
    #[error("the fencing token {found} is older than {newest}")]
    Fenced {
        /// The writer's token.
        found: u64,
        /// The shard's.
        newest: u64,
    },
}

impl Shard {
    /// Its copies, the primary first.
    pub fn copies(&self) -> impl Iterator<Item = (&DatasourceId, ReplicaRole)> {
        let replicas = self.replicas.iter().map(|replica| (replica, ReplicaRole::Replica));
        std::iter::once((&self.primary, ReplicaRole::Primary)).chain(replicas)
    }

    /// The copies that a read may use, best first. `health` says what is known of a copy, `lag_max` how far behind one
    /// may be. A session that must read its own writes asks with [`ReadPreference::Primary`].
    ///
    /// # Errors
    /// None answers that may be used.
    pub fn readable(
        &self,
        preference: ReadPreference,
        lag_max: Duration,
        health: impl Fn(&DatasourceId) -> ReplicaHealth,
    ) -> Result<Vec<&DatasourceId>, ReplicaError> {
        if preference == ReadPreference::Primary {
            return self.writable(self.fencing_token, health).map(|primary| vec![primary]);
        }
        let mut copies = self
            .copies()
            .map(|(copy, role)| (copy, role, health(copy)))
            .filter(|(_, role, health)| {
                let recent =
                    *role == ReplicaRole::Primary || health.lag.is_some_and(|lag| lag <= lag_max);
                health.reachable && recent
            })
            .collect::<Vec<_>>();
        if preference == ReadPreference::Nearest {
            copies.sort_by_key(|(_, _, health)| health.round_trip);
        }
        if copies.is_empty() {
            return Err(ReplicaError::NoneRecent);
        }
        Ok(copies.into_iter().map(|(copy, _, _)| copy).collect())
    }

    /// The copy that takes writes, for a writer who holds this fencing token: the primary or nobody.
    ///
    /// # Errors
    /// The token is older than the shard's, or the primary does not answer.
    pub fn writable(
        &self,
        token: u64,
        health: impl Fn(&DatasourceId) -> ReplicaHealth,
    ) -> Result<&DatasourceId, ReplicaError> {
        if token < self.fencing_token {
            return Err(ReplicaError::Fenced { found: token, newest: self.fencing_token });
        }
        if health(&self.primary).reachable {
            Ok(&self.primary)
        } else {
            Err(ReplicaError::PrimaryDown)
        }
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

    /// Health by node: reachable, lag and round trip in milliseconds.
    fn check(
        preference: ReadPreference,
        health: [(bool, Option<u64>, u64); 3],
        expected: Result<&str, ReplicaError>,
    ) {
        let of = |id: &DatasourceId| {
            let (reachable, lag, round_trip) = health[usize::from(id.node.0.as_bytes()[0] - b'a')];
            let lag = lag.map(Duration::from_millis);
            ReplicaHealth { reachable, lag, round_trip: Duration::from_millis(round_trip) }
        };
        let shard = shard();
        let found = shard.readable(preference, Duration::from_millis(100), of);
        let names =
            found.map(|copies| copies.iter().map(|copy| copy.node.0.as_str()).collect::<String>());
        assert_eq!(names.as_deref(), expected.as_deref());
    }

    #[test]
    fn reading() {
        let all = [(true, None, 5), (true, Some(100), 9), (true, Some(0), 1)];
        check(ReadPreference::Primary, all, Ok("a"));
        check(ReadPreference::Any, all, Ok("abc"));
        check(ReadPreference::Nearest, all, Ok("cab"));
        let lagging = [(true, None, 5), (true, Some(101), 1), (true, None, 1)];
        check(ReadPreference::Nearest, lagging, Ok("a"));
        let primary_down = [(false, None, 5), (true, Some(1), 1), (false, Some(1), 1)];
        check(ReadPreference::Primary, primary_down, Err(ReplicaError::PrimaryDown));
        check(ReadPreference::Any, primary_down, Ok("b"));
        check(ReadPreference::Any, [(false, None, 0); 3], Err(ReplicaError::NoneRecent));
    }

    #[test]
    fn writing() {
        let up = |_: &DatasourceId| ReplicaHealth {
            reachable: true,
            lag: None,
            round_trip: Duration::ZERO,
        };
        let shard = shard();
        assert_eq!(shard.writable(3, up), Ok(&shard.primary));
        assert_eq!(shard.writable(2, up), Err(ReplicaError::Fenced { found: 2, newest: 3 }));
    }
}
