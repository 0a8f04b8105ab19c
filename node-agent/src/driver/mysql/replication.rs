//! A MySQL or MariaDB server's part in its replication.
//!
//! How late a replica is nobody asks the server: `Seconds_Behind_Master` is NULL when it has stopped and 0 when it waits for a primary
//! that is gone. What is asked is how far its log goes, by GTIDs, and who reads it compares that with the primary's.

use dataman_metadata::replica::ReplicaRole;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::replication::{Lineage, Observation, Position};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, Value};

use super::error::classify;

/// What MariaDB says of itself. Of a primary the log is what it has written, or applied before it was promoted; what is in its binary
/// log may not be seen yet, but everything seen is in it.
const MARIADB: &str = "SELECT @@global.server_id, @@global.read_only NOT IN ('OFF', '0'), @@global.log_bin, @@global.gtid_current_pos, @@global.gtid_slave_pos";

/// The same of MySQL, where what was executed is one set.
const MYSQL: &str = "SELECT @@global.server_id, @@global.read_only NOT IN ('OFF', '0'), @@global.gtid_mode = 'ON', @@global.gtid_executed, @@global.gtid_executed";

/// `ER_PARSE_ERROR`: an older or newer server has another word for it.
const UNKNOWN_WORD: u16 = 1064;

/// Asks a server.
pub(super) async fn observe(conn: &mut Conn) -> Result<Observation, NodeError> {
    let version: Option<String> =
        conn.query_first("SELECT @@global.version").await.map_err(classify)?;
    let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
    let facts = if is_mariadb { MARIADB } else { MYSQL };
    let facts = conn.query_first::<(u64, bool, bool, String, String), _>(facts).await;
    let Some((server, read_only, logs, written, applied)) = facts.map_err(classify)? else {
        return Err(NodeError::statement("XX000", "the MySQL server says nothing of itself"));
    };
    let sources = match is_mariadb {
        true => show(conn, &["SHOW ALL SLAVES STATUS"]).await?,
        false => show(conn, &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"]).await?,
    };
    let log = show(conn, &["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"]).await?;
    let said = Said { is_mariadb, server, read_only, logs, written, applied, sources, log };
    said.observation()
}

/// The rows of a SHOW, in the first words that the server knows.
async fn show(conn: &mut Conn, words: &[&str]) -> Result<Vec<Facts>, NodeError> {
    let mut last = None;
    for text in words {
        match conn.query::<Row, _>(*text).await {
            Ok(rows) => return Ok(rows.into_iter().map(facts).collect()),
            Err(Error::Server(error)) if error.code == UNKNOWN_WORD => {
                last = Some(Error::Server(error));
            }
            Err(error) => return Err(denied(classify(error))),
        }
    }
    Err(last.map_or_else(|| NodeError::statement("XX000", "nothing was asked"), classify))
}

fn denied(error: NodeError) -> NodeError {
    match error.sqlstate.as_str() {
        "42501" => error.with_hint(
            "Grant REPLICATION CLIENT (MySQL) or SLAVE MONITOR and BINLOG MONITOR (MariaDB).",
        ),
        _ => error,
    }
}

/// The columns of a row that hold something, by their names in lower case.
type Facts = Vec<(String, String)>;

fn facts(row: Row) -> Facts {
    let columns = row.columns();
    let names = columns.iter().map(|column| column.name_str().to_ascii_lowercase());
    let values = row.unwrap().into_iter().map(|value| match value {
        Value::NULL => String::new(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    });
    names.zip(values).filter(|(_, value)| !value.is_empty()).collect()
}

/// What a server has said.
struct Said {
    is_mariadb: bool,
    server: u64,
    read_only: bool,
    /// Whether its log has what it writes, with GTIDs.
    logs: bool,
    written: String,
    applied: String,
    /// A row for each server that it copies from.
    sources: Vec<Facts>,
    /// The row of its own log.
    log: Vec<Facts>,
}

impl Said {
    fn observation(&self) -> Result<Observation, NodeError> {
        let sources: Vec<&Facts> =
            self.sources.iter().filter(|row| has(row, &["master_host", "source_host"])).collect();
        if let Some((name, value)) = sources.iter().copied().flatten().find(|fact| is_filter(fact))
        {
            let message = format!("a replica leaves out some of what it copies: {name} is {value}");
            return Err(NodeError::unsupported(message)
                .with_hint("A replica that is read must have everything that its primary has."));
        }
        // Whoever copies from another server is a replica, whatever it lets users write.
        let is_primary = sources.is_empty() && !self.read_only;
        let has_all = !self.log.iter().flatten().any(is_filter);
        let position = match is_primary {
            true if !self.logs || !has_all => Position::unknown(),
            true => self.position(&self.written),
            false => self.position(&self.applied),
        };
        let number = |row: &&Facts| {
            let id = get(row, &["master_server_id", "source_server_id"]);
            id.and_then(|id| id.parse().ok()).filter(|id| *id != 0)
        };
        Ok(Observation {
            role: if is_primary { ReplicaRole::Primary } else { ReplicaRole::Replica },
            term: 0,
            lineage: Some(Lineage {
                server: self.server,
                sources: sources.iter().filter_map(number).collect(),
            }),
            position,
            unapplied_bytes: match sources.as_slice() {
                [one] => unapplied(one),
                _ => None,
            },
            age_ms: 0,
        })
    }

    fn position(&self, text: &str) -> Position {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Position(match self.is_mariadb {
            true => parts.filter_map(mariadb_stream).collect(),
            false => parts.flat_map(|part| mysql_streams(part, self.is_replica())).collect(),
        })
    }

    fn is_replica(&self) -> bool {
        self.read_only || !self.sources.is_empty()
    }
}

/// `domain-server-number`: the last transaction of a domain. Who wrote it is part of the stream: after a promotion two servers may
/// have given the same number.
fn mariadb_stream(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('-');
    let (domain, server): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let number = parts.next()?.parse().ok()?;
    Some((u64::from(domain) << 32 | u64::from(server), number))
}

/// `uuid:1-5:7:tag:1-3`: the transactions of one server, those with a tag apart. A replica has all up to a number when there is no gap
/// below it; what a primary has goes to the last.
fn mysql_streams(text: &str, is_replica: bool) -> Vec<(u64, u64)> {
    let Some((source, intervals)) = text.split_once(':') else { return Vec::new() };
    let untagged = fold(FOLD_START, source);
    let mut streams = Vec::new();
    let mut stream = untagged;
    let mut reached = 0;
    for part in intervals.split(':') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u64>(), last.trim().parse::<u64>())
        else {
            if reached > 0 {
                streams.push((stream, reached));
            }
            (stream, reached) = (fold(untagged, part), 0);
            continue;
        };
        if !is_replica || first <= reached + 1 {
            reached = reached.max(last);
        }
    }
    streams.push((stream, reached));
    streams
}

const FOLD_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a.
fn fold(start: u64, text: &str) -> u64 {
    let text = text.trim().bytes().map(|byte| byte.to_ascii_lowercase());
    text.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn get<'a>(facts: &'a Facts, names: &[&str]) -> Option<&'a str> {
    let found = facts.iter().find(|(name, _)| names.contains(&name.as_str()));
    found.map(|(_, value)| value.as_str())
}

fn has(facts: &Facts, names: &[&str]) -> bool {
    get(facts, names).is_some()
}

/// Whether a column says that something is left out of the log, or of what is copied.
fn is_filter((name, value): &(String, String)) -> bool {
    let filters = ["replicate_", "binlog_do_db", "binlog_ignore_db"];
    filters.iter().any(|start| name.starts_with(start)) && !value.is_empty()
}

/// The bytes of the primary's log that have come and are not applied, where both ends are in one file.
fn unapplied(facts: &Facts) -> Option<u64> {
    let number = |names: &[&str]| get(facts, names).and_then(|text| text.parse::<u64>().ok());
    let received = get(facts, &["master_log_file", "source_log_file"])?;
    let applied = get(facts, &["relay_master_log_file", "relay_source_log_file"])?;
    let read = number(&["read_master_log_pos", "read_source_log_pos"])?;
    let done = number(&["exec_master_log_pos", "exec_source_log_pos"])?;
    (received == applied).then(|| read.saturating_sub(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(facts: &[(&str, &str)]) -> Facts {
        facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn said(is_mariadb: bool, read_only: bool, position: &str, sources: &[Facts]) -> Said {
        Said {
            is_mariadb,
            server: 7,
            read_only,
            logs: true,
            written: position.to_owned(),
            applied: position.to_owned(),
            sources: sources.to_vec(),
            log: vec![],
        }
    }

    fn check(said: &Said, role: ReplicaRole, sources: &[u64], position: &[(u64, u64)]) {
        let found = said.observation().expect("an observation");
        let lineage = Lineage { server: 7, sources: sources.to_vec() };
        assert_eq!((found.role, found.lineage), (role, Some(lineage)));
        assert_eq!(found.position.0, position);
    }

    use ReplicaRole::{Primary, Replica};

    #[test]
    fn mariadb() {
        let stream = |domain: u64, server: u64| domain << 32 | server;
        check(&said(true, false, "", &[]), Primary, &[], &[]);
        let both = [(stream(0, 1), 25), (stream(3, 2), 7)];
        check(&said(true, false, "0-1-25,3-2-7", &[]), Primary, &[], &both);
        check(&said(true, true, "0-1-25", &[]), Replica, &[], &both[..1]);
        let source = row(&[("master_host", "h"), ("master_server_id", "1")]);
        check(&said(true, false, "0-1-25", &[source]), Replica, &[1], &both[..1]);
        // It has not reached its primary yet; a row without a host is what RESET SLAVE leaves.
        let source = row(&[("master_host", "h"), ("master_server_id", "0")]);
        check(&said(true, true, "", &[source]), Replica, &[], &[]);
        check(&said(true, false, "", &[row(&[("master_user", "u")])]), Primary, &[], &[]);
        let silent = Said { logs: false, ..said(true, false, "0-1-25", &[]) };
        check(&silent, Primary, &[], &Position::unknown().0);
        let some = Said { log: vec![row(&[("binlog_do_db", "x")])], ..said(true, false, "", &[]) };
        check(&some, Primary, &[], &Position::unknown().0);
    }

    #[test]
    fn mysql() {
        let a = "3E11FA47-71CA-11E1-9E33-C80AA9429562";
        let stream = fold(FOLD_START, a);
        check(&said(false, false, &format!("{a}:1-5:8-9"), &[]), Primary, &[], &[(stream, 9)]);
        check(&said(false, true, &format!("{a}:1-5:8-9"), &[]), Replica, &[], &[(stream, 5)]);
        check(&said(false, true, &format!("{a}:1-5:6"), &[]), Replica, &[], &[(stream, 6)]);
        check(&said(false, true, &format!("{a}:3-5"), &[]), Replica, &[], &[(stream, 0)]);
        let tagged = fold(stream, "tag");
        check(&said(false, true, &format!("{a}:tag:1-4"), &[]), Replica, &[], &[(tagged, 4)]);
        let both = [(stream, 3), (tagged, 4)];
        check(&said(false, true, &format!("{a}:1-3:tag:1-4"), &[]), Replica, &[], &both);
        let source = row(&[
            ("source_host", "h"),
            ("source_server_id", "3"),
            ("source_log_file", "b.1"),
            ("relay_source_log_file", "b.1"),
            ("read_source_log_pos", "900"),
            ("exec_source_log_pos", "400"),
        ]);
        let found = said(false, true, "", &[source]).observation().expect("an observation");
        assert_eq!(found.unapplied_bytes, Some(500));
    }

    #[test]
    fn what_leaves_something_out_is_refused() {
        let source = row(&[("master_host", "h"), ("replicate_do_db", "shop")]);
        let error = said(true, true, "", &[source]).observation().expect_err("refused");
        assert_eq!(error.sqlstate, "0A000");
    }
}
