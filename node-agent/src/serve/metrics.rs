//! What an agent counts, as Prometheus reads it.
//!
//! Numbers only, and the names of its datasources: no statement, user or address.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dataman_metadata::id::DatasourceId;
use dataman_metadata::replica::ReplicaRole;
use dataman_node_protocol::metrics::Page;
use dataman_node_protocol::replication::Observation;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::driver::contract::Datasource;
use crate::inspect::Datasources;
use crate::serve::listen::{Agent, lock};

/// How long a database may take to say that it is there.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// Classes of SQLSTATE that are shown before one of them was met.
const CLASSES: [&str; 8] = ["08", "22", "23", "40", "42", "53", "57", "XX"];

/// What sessions have counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sessions: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    /// By the first two letters of SQLSTATE.
    failures: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    /// Counts what sessions add to.
    pub(super) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Counts a failure. Classes are SQL's and PostgreSQL's: there are few.
    pub(super) fn fail(&self, sqlstate: &str) {
        let class = sqlstate.get(..2).filter(|class| class.is_ascii()).unwrap_or("XX");
        *lock(&self.failures).entry(class.to_owned()).or_default() += 1;
    }

    /// Counts the rows of a statement that has ended, which its tag tells: `SELECT 3`, `INSERT 0 1`.
    pub(super) fn ended(&self, tag: &[u8]) {
        let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
        let start = tag.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
        let digits = tag[start..].iter();
        let rows = digits.fold(0_u64, |rows, digit| {
            rows.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

impl Agent {
    /// The metrics as text; asks the databases whether they are there.
    pub async fn metrics(&self, node: &str) -> String {
        let counts = &self.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut page = Page::default();
        page.family("dataman_agent_sessions", "gauge", "Connections of proxies and others.");
        page.sample("dataman_agent_sessions", &[], self.session_count());
        for (name, help, counter) in [
            ("dataman_agent_sessions_total", "Sessions that began.", &counts.sessions),
            ("dataman_agent_requests_total", "Statements that were asked for.", &counts.requests),
            ("dataman_agent_rows_total", "Rows given or changed.", &counts.rows),
            ("dataman_agent_received_bytes_total", "Bytes read.", &counts.received_bytes),
            ("dataman_agent_sent_bytes_total", "Bytes written.", &counts.sent_bytes),
        ] {
            page.family(name, "counter", help);
            page.sample(name, &[], read(counter));
        }
        let failures = "dataman_agent_errors_total";
        page.family(failures, "counter", "Failures by the class of their SQLSTATE.");
        let mut by_class: BTreeMap<String, u64> =
            CLASSES.iter().map(|class| ((*class).to_owned(), 0)).collect();
        by_class.extend(lock(&counts.failures).clone());
        for (class, count) in by_class {
            page.sample(failures, &[("class", &class)], count);
        }
        if let Some(metadata) = &self.metadata {
            page.family("dataman_agent_epoch", "gauge", "The epoch of the metadata that it has.");
            page.sample("dataman_agent_epoch", &[], metadata.epoch().0);
        }
        for (name, help) in [
            ("dataman_agent_datasource_up", "Whether a database answers."),
            ("dataman_agent_pool_in_use", "Connections to a database that are in use."),
            ("dataman_agent_pool_max", "Connections to a database that there may be."),
            ("dataman_agent_replication_primary", "Whether a database says it is the primary."),
            ("dataman_agent_replication_term", "Which primary's log a database has."),
            ("dataman_agent_replication_unapplied_bytes", "What has come and is not applied."),
        ] {
            page.family(name, "gauge", help);
        }
        let looks = self.datasources.iter().map(|(name, datasource)| async move {
            let (up, seen) = tokio::join!(is_up(&**datasource), self.part_of(node, name));
            (name, datasource, up, seen)
        });
        for (name, datasource, up, seen) in join_all(looks).await {
            let labels = [("datasource", name.as_str())];
            page.sample("dataman_agent_datasource_up", &labels, u8::from(up));
            if let Some(pool) = datasource.pool_use() {
                page.sample("dataman_agent_pool_in_use", &labels, pool.in_use);
                page.sample("dataman_agent_pool_max", &labels, pool.connections_max);
            }
            if let Some(seen) = seen {
                let is_primary = u8::from(seen.role == ReplicaRole::Primary);
                page.sample("dataman_agent_replication_primary", &labels, is_primary);
                page.sample("dataman_agent_replication_term", &labels, seen.term);
                if let Some(bytes) = seen.unapplied_bytes {
                    page.sample("dataman_agent_replication_unapplied_bytes", &labels, bytes);
                }
            }
        }
        page.finish()
    }

    /// A datasource's part in its replica set, when it is in one.
    async fn part_of(&self, node: &str, name: &str) -> Option<Observation> {
        let snapshot = self.metadata.as_ref()?.snapshot();
        let id = DatasourceId { node: node.into(), name: name.to_owned() };
        let mut shards = snapshot.datastores.values().flat_map(|datastore| &datastore.shards);
        if !shards.any(|shard| !shard.replicas.is_empty() && shard.has_copy(&id)) {
            return None;
        }
        let (name, datasource) = self.datasources.get_key_value(name)?;
        let one = Datasources::from_iter([(name.clone(), std::sync::Arc::clone(datasource))]);
        self.looks.at(&one).await.ok()
    }
}

async fn is_up(datasource: &dyn Datasource) -> bool {
    timeout(LOOK_TIME, datasource.check_health()).await.is_ok_and(|answer| answer.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_tags_say() {
        let check = |tag: &[u8], expected: u64| {
            let counts = Counts::default();
            counts.ended(tag);
            assert_eq!(counts.rows.load(Ordering::Relaxed), expected, "{tag:?}");
        };
        check(b"C\0\0\0\x0dSELECT 12\0", 12);
        check(b"INSERT 0 1\0", 1);
        check(b"UPDATE 305", 305);
        check(b"BEGIN\0", 0);
        check(b"", 0);
    }

    #[test]
    fn failures_are_counted_by_class() {
        let counts = Counts::default();
        for sqlstate in ["42P01", "42703", "08006", "é", ""] {
            counts.fail(sqlstate);
        }
        let found: Vec<(String, u64)> = lock(&counts.failures).clone().into_iter().collect();
        let expected = [("08", 1), ("42", 2), ("XX", 2)];
        assert_eq!(found, expected.map(|(class, count)| (class.to_owned(), count)));
    }
}
