//! A PostgreSQL server's part in streaming replication.

use dataman_metadata::replica::ReplicaRole;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::connection::Connection;
use dataman_node_protocol::replication::{Observation, Position};

/// Whether it is a standby, its timeline, how far its log goes (of a standby how far it has been replayed), and how far the log
/// goes that a standby has. A primary's own timeline is in the name of the file that it writes; that of the last checkpoint
/// is an old one for some time after a promotion. A standby has the one that it receives, or else restarted from.
const PART: &str = "
    SELECT r, CASE WHEN r THEN coalesce(
                (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver WHERE received_tli > 0),
                (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))::text
              ELSE left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END,
           CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn()
                ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
           CASE WHEN r THEN pg_catalog.pg_last_wal_receive_lsn() - '0/0'::pg_lsn END
      FROM pg_catalog.pg_is_in_recovery() AS r";

/// Asks a server.
pub(super) async fn observe(connection: &mut Connection) -> Result<Observation, NodeError> {
    let rows = connection.query(PART).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    Ok(of_row(&row))
}

fn of_row(row: &[Option<String>]) -> Observation {
    let text = |place: usize| row.get(place).and_then(Option::as_deref);
    let number = |place: usize| text(place).and_then(|text| text.parse::<u64>().ok());
    let position = number(2).unwrap_or_default();
    let in_recovery = text(0) == Some("t");
    let role = if in_recovery { ReplicaRole::Replica } else { ReplicaRole::Primary };
    // A file's name begins with the timeline in hexadecimal digits.
    let base = if in_recovery { 10 } else { 16 };
    let term = text(1).and_then(|text| u64::from_str_radix(text, base).ok()).unwrap_or_default();
    // A standby that has no receiver now may have replayed more than it received since it started.
    let unapplied_bytes = number(3).map(|received| received.saturating_sub(position));
    Observation {
        role,
        term,
        lineage: None,
        position: Position(vec![(0, position)]),
        unapplied_bytes,
        age_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: [Option<&str>; 4], expected: (ReplicaRole, u64, u64, Option<u64>)) {
        let found = of_row(&row.map(|text| text.map(str::to_owned)));
        let position = found.position.0[0].1;
        assert_eq!((found.role, found.term, position, found.unapplied_bytes), expected);
    }

    #[test]
    fn rows() {
        use ReplicaRole::{Primary, Replica};
        check([Some("f"), Some("0000001A"), Some("700"), None], (Primary, 26, 700, None));
        check([Some("t"), Some("26"), Some("650"), Some("700")], (Replica, 26, 650, Some(50)));
        check([Some("t"), Some("2"), Some("650"), Some("600")], (Replica, 2, 650, Some(0)));
        check([Some("t"), Some("2"), None, None], (Replica, 2, 0, None));
    }
}
