//! What a database says of its part in a replica set that it copies to, or from, by itself.

use std::time::Duration;

use dataman_metadata::replica::ReplicaRole;
use serde::{Deserialize, Serialize};

use crate::error::{NodeError, NodeErrorKind};

/// The name under which an agent shows what [`crate::node::Node::observe`] gives.
pub const OBSERVATION: &str = "dataman.replication";

/// How often a database is looked at: an agent answers from its last look until then, however many proxies ask.
pub const OBSERVATION_INTERVAL: Duration = Duration::from_millis(100);

/// How far a database's log goes: numbers by the streams that it is made of, each only growing. PostgreSQL has one stream, whose
/// numbers are those of its log's bytes; MariaDB one for each domain of its GTIDs and server that wrote last in it, MySQL one for each
/// server, whose numbers are those of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(pub Vec<(u64, u64)>);

impl Position {
    /// That of a primary whose log says nothing: no replica has it.
    #[must_use]
    pub fn unknown() -> Self {
        Self(vec![(u64::MAX, u64::MAX)])
    }

    /// Whether everything up to `other` is in what goes up to here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(stream, number)| {
            *number == 0 || self.0.iter().any(|(own, reached)| own == stream && reached >= number)
        })
    }

    /// By how much `newer` is ahead, summed over the streams.
    #[must_use]
    pub fn distance_to(&self, newer: &Self) -> u64 {
        let ahead = newer.0.iter().map(|(stream, number)| {
            let reached = self.0.iter().find(|(own, _)| own == stream);
            number.saturating_sub(reached.map_or(0, |(_, reached)| *reached))
        });
        ahead.fold(0, u64::saturating_add)
    }
}

/// Which servers copy from which, where the database counts no terms: so it is told who follows the primary and who another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The server's own number, unlike that of any other server of its replica set.
    pub server: u64,
    /// The servers that it copies from.
    pub sources: Vec<u64>,
}

/// A database's part in its replica set, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Whether it takes writes.
    pub role: ReplicaRole,
    /// Which primary's log it has, raised at each promotion (PostgreSQL's timeline); 0 where the database counts none.
    pub term: u64,
    /// Where the database counts no terms, who copies from whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// Of a primary how far its log goes; of a replica how much of it has been applied, so that reads see it.
    pub position: Position,
    /// Of a replica, the bytes that have come and are not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unapplied_bytes: Option<u64>,
    /// How many milliseconds ago the database was asked.
    #[serde(default)]
    pub age_ms: u64,
}

impl Observation {
    /// As an agent shows it.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("an observation can be written as JSON")
    }

    /// Reads what an agent shows.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, NodeError> {
        serde_json::from_str(text).map_err(|error| {
            let problem = format!("what an agent says of replication cannot be read: {error}");
            NodeError::new(NodeErrorKind::Protocol, "08P01", problem)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(replica: &[(u64, u64)], primary: &[(u64, u64)], covers: bool, distance: u64) {
        let (replica, primary) = (Position(replica.to_vec()), Position(primary.to_vec()));
        assert_eq!(replica.covers(&primary), covers, "{replica:?} {primary:?}");
        assert_eq!(replica.distance_to(&primary), distance, "{replica:?} {primary:?}");
    }

    #[test]
    fn positions() {
        check(&[(0, 7)], &[(0, 7)], true, 0);
        check(&[(0, 7)], &[(0, 9)], false, 2);
        check(&[(0, 9)], &[(0, 7)], true, 0);
        check(&[(0, 9)], &[(0, 9), (1, 3)], false, 3);
        check(&[], &[(0, 0)], true, 0);
        assert!(!Position(vec![(0, 9), (1, 9)]).covers(&Position::unknown()));
    }

    #[test]
    fn observations_travel() {
        let observation = Observation {
            role: ReplicaRole::Replica,
            term: 3,
            lineage: Some(Lineage { server: 2, sources: vec![1] }),
            position: Position(vec![(0, u64::MAX)]),
            unapplied_bytes: Some(5),
            age_ms: 7,
        };
        assert_eq!(Observation::parse(&observation.to_text()), Ok(observation));
        assert!(Observation::parse("{}").is_err());
    }
}
