//! MySQL's failures as PostgreSQL would report them.

use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use mysql_async::{DriverError, Error};

/// A failure of a statement.
pub(super) fn classify(error: Error) -> NodeError {
    match error {
        Error::Server(error) => server(error.code, &error.message),
        Error::Driver(DriverError::PacketTooLarge) => too_large(),
        Error::Io(_) | Error::Driver(_) => lost(),
        Error::Url(error) => unreachable(&format!("the URL of the MySQL server is wrong: {error}")),
        Error::Other(error) => NodeError::statement("XX000", format!("MySQL: {error}")),
    }
}

/// A failure to connect: nothing was sent.
pub(super) fn classify_connect(error: Error) -> NodeError {
    match error {
        Error::Server(error) if error.code == 1040 || error.code == 1203 => NodeError::new(
            NodeErrorKind::Busy,
            "53300",
            "the MySQL server takes no more connections",
        ),
        Error::Server(error) if matches!(error.code, 1044 | 1045 | 1698 | 1251) => NodeError::new(
            NodeErrorKind::Unreachable,
            "28P01",
            "the MySQL server refuses the user or the password",
        ),
        Error::Server(error) => {
            unreachable(&format!("the MySQL server refuses the connection: {}", error.message))
        }
        Error::Io(mysql_async::IoError::Io(error)) => {
            unreachable(&format!("the MySQL server cannot be reached: {}", error.kind()))
        }
        Error::Io(mysql_async::IoError::Tls(error)) => {
            unreachable(&format!("the MySQL server's TLS is refused: {error}"))
        }
        error => unreachable(&format!("the MySQL server cannot be reached: {error}")),
    }
}

fn unreachable(message: &str) -> NodeError {
    NodeError::new(NodeErrorKind::Unreachable, "08006", message)
}

/// The connection broke after something was sent.
pub(super) fn lost() -> NodeError {
    let mut error =
        NodeError::new(NodeErrorKind::Lost, "08006", "the connection to the MySQL server broke");
    error.work_started = true;
    error
}

/// `54000`: a record, or the values of a statement, are more than the server takes at once.
pub(super) fn too_large() -> NodeError {
    NodeError::statement("54000", "a value is too large for MySQL")
        .with_hint("The server's max_allowed_packet is how large one may be.")
}

/// `40001`: a record was changed since the transaction's snapshot.
pub(super) fn serialization() -> NodeError {
    NodeError::statement("40001", "could not serialize access due to concurrent update")
}

fn server(code: u16, message: &str) -> NodeError {
    let statement = |sqlstate: &str, message: &str| NodeError::statement(sqlstate, message);
    match code {
        // Before the record that a unique index refuses is found, its key is not known.
        DUPLICATE | 1586 | 1569 => {
            statement("23505", "duplicate key value violates unique constraint")
                .with_detail(message.to_owned())
        }
        // Of tables that dataman did not make: their own constraints. What is said becomes PostgreSQL's in `adopted::refine`.
        1048 | 1263 | 1364 => statement("23502", "null value violates not-null constraint")
            .with_detail(message.to_owned()),
        1216 | 1217 | 1451 | 1452 => statement("23503", "a foreign key constraint is violated")
            .with_detail(message.to_owned()),
        3819 | 4025 => {
            statement("23514", "a check constraint is violated").with_detail(message.to_owned())
        }
        1406 => {
            statement("22001", "value too long for a MySQL column").with_detail(message.to_owned())
        }
        1265 | 1366 => statement("22P02", "a value is none of a MySQL column's")
            .with_detail(message.to_owned()),
        1292 => {
            statement("22008", "date/time field value out of range").with_detail(message.to_owned())
        }
        1644 => statement("P0001", message),
        1213 | 1613 | 1614 => statement("40P01", "deadlock detected")
            .with_hint("See the MySQL server's log for query details."),
        1205 => statement("55P03", "canceling statement due to lock timeout"),
        3572 => statement("55P03", "could not obtain lock on row in relation"),
        1020 | 1412 => serialization(),
        1317 | 1969 | 3024 => NodeError::cancelled(),
        1008 | 1049 => statement("3F000", "the shard instance does not exist"),
        1146 | 1051 => statement("42P01", "a relation does not exist on the MySQL server"),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 => {
            statement("42501", "the datasource's user lacks a right on the MySQL server")
                .with_detail(message.to_owned())
        }
        1040 | 1203 => NodeError::new(
            NodeErrorKind::Busy,
            "53300",
            "the MySQL server takes no more connections",
        ),
        1153 => too_large(),
        1117 | 1118 => statement("54011", "a table has too many columns for MySQL")
            .with_detail(message.to_owned()),
        1021 | 1114 | 28 => statement("53100", "the MySQL server's disk or table space is full"),
        1037 | 1038 | 1041 => statement("53200", "the MySQL server is out of memory"),
        1290 | 1792 | 1836 => statement("25006", "the MySQL server does not take writes")
            .with_detail(message.to_owned()),
        1264 | 1690 => statement("22003", "value out of range"),
        1053 | 1152 | 1158..=1161 | 1927 | 4031 => {
            let mut error = NodeError::new(
                NodeErrorKind::Lost,
                "57P01",
                "terminating connection due to administrator command",
            );
            error.work_started = true;
            error
        }
        code => statement("XX000", &format!("MySQL error {code}: {message}")),
    }
}

/// `ER_DUP_ENTRY`.
const DUPLICATE: u16 = 1062;

/// Whether a unique index refused a record.
pub(super) fn is_duplicate(error: &NodeError) -> bool {
    error.sqlstate == "23505" && error.object.constraint.is_none()
}
