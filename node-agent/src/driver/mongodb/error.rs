//! MongoDB's failures as PostgreSQL would report them.

use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind, WriteFailure};

/// What a server says of a transaction that it has given up, and that may succeed when it is begun anew.
const TRANSIENT: &str = "TransientTransactionError";

/// A failure of a command.
pub(super) fn classify(error: Error) -> NodeError {
    let transient = error.contains_label(TRANSIENT);
    match *error.kind {
        ErrorKind::Command(command) => server(command.code, &command.message, transient),
        ErrorKind::Write(WriteFailure::WriteError(failure)) => {
            server(failure.code, &failure.message, transient)
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(failure)) => {
            server(failure.code, &failure.message, transient)
        }
        ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. } => classify_connect(*error.kind),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::Shutdown => lost(),
        ErrorKind::Transaction { message, .. } => {
            NodeError::statement("25000", format!("MongoDB: {message}"))
        }
        ErrorKind::InvalidArgument { message, .. } => {
            NodeError::statement("XX000", format!("MongoDB: {message}"))
        }
        other => NodeError::statement("XX000", format!("MongoDB: {other}")),
    }
}

/// A failure to connect: nothing was sent.
fn classify_connect(kind: ErrorKind) -> NodeError {
    let unreachable = |sqlstate: &str, message: &str| {
        NodeError::new(NodeErrorKind::Unreachable, sqlstate, message)
    };
    match kind {
        ErrorKind::Authentication { .. } => {
            unreachable("28P01", "the MongoDB server refuses the user or the password")
        }
        ErrorKind::InvalidTlsConfig { .. } => {
            unreachable("08006", "the MongoDB server's TLS is refused")
        }
        // Its text names addresses.
        ErrorKind::ServerSelection { message, .. } if message.contains("Authentication") => {
            unreachable("28P01", "the MongoDB server refuses the user or the password")
        }
        _ => unreachable("08006", "the MongoDB server cannot be reached, or is not the primary"),
    }
}

/// The connection broke after something was sent.
pub(super) fn lost() -> NodeError {
    let mut error =
        NodeError::new(NodeErrorKind::Lost, "08006", "the connection to the MongoDB server broke");
    error.work_started = true;
    error
}

/// `40001`: somebody else changes, or has changed since the snapshot, what the transaction writes.
pub(super) fn serialization() -> NodeError {
    NodeError::statement("40001", "could not serialize access due to concurrent update")
}

/// Whether the transaction met another one: it is over, and may be begun anew.
pub(super) fn is_conflict(error: &NodeError) -> bool {
    error.sqlstate == "40001"
}

/// `E11000`.
pub(super) const DUPLICATE: i32 = 11000;

fn server(code: i32, message: &str, transient: bool) -> NodeError {
    let statement = |sqlstate: &str, message: &str| NodeError::statement(sqlstate, message);
    match code {
        // WriteConflict, SnapshotUnavailable, SnapshotTooOld, NoSuchTransaction, PreparedTransactionInProgress.
        112 | 246 | 239 | 251 | 267 => serialization(),
        // LockTimeout of a transaction is a few milliseconds: somebody defines something.
        24 if transient => serialization(),
        24 | 46 => statement("55P03", "canceling statement due to lock timeout"),
        DUPLICATE | 11001 | 12582 => {
            statement("23505", "duplicate key value violates unique constraint")
        }
        // MaxTimeMSExpired, Interrupted, CursorKilled, CursorNotFound, ClientDisconnect, QueryPlanKilled.
        50 | 11601 | 237 | 43 | 279 | 175 => NodeError::cancelled(),
        // InterruptedAtShutdown, InterruptedDueToReplStateChange, ShutdownInProgress.
        11600 | 11602 | 91 => {
            let mut error = NodeError::new(
                NodeErrorKind::Lost,
                "57P01",
                "terminating connection due to administrator command",
            );
            error.work_started = true;
            error
        }
        // NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, PrimarySteppedDown.
        10107 | 13435 | 13436 | 189 => {
            let mut error = NodeError::new(
                NodeErrorKind::Lost,
                "25006",
                "the MongoDB server is not the primary of its replica set",
            );
            error.work_started = false;
            error
        }
        26 => statement("42P01", "a relation does not exist on the MongoDB server"),
        13 => statement("42501", "the datasource's user lacks a right on the MongoDB server")
            .with_detail(message.to_owned()),
        18 => NodeError::new(
            NodeErrorKind::Unreachable,
            "28P01",
            "the MongoDB server refuses the user or the password",
        ),
        // BSONObjectTooLarge, and what grew too large on its way.
        10334 | 17419 | 17420 | 10329 => {
            statement("54000", "a record is too large for MongoDB, which takes 16 MB")
        }
        // DocumentValidationFailure: of collections that dataman did not make.
        121 => statement("23514", "a document fails the validation of its MongoDB collection")
            .with_detail(message.to_owned()),
        225 | 257 => statement("54000", "a transaction is too large for the MongoDB server"),
        // ExceededMemoryLimit, QueryExceededMemoryLimitNoDiskUseAllowed.
        146 | 292 => statement("53200", "the MongoDB server is out of memory for the statement"),
        // OutOfDiskSpace.
        14031 => statement("53100", "the MongoDB server's disk is full"),
        // IllegalOperation: what a server says that is no member of a replica set.
        20 if message.contains("replica set") => no_replica_set(),
        _ if transient => serialization(),
        code => statement("XX000", &format!("MongoDB error {code}: {message}")),
    }
}

/// A server that is no member of a replica set keeps no transactions.
pub(super) fn no_replica_set() -> NodeError {
    NodeError::unsupported("a MongoDB server that is no member of a replica set keeps no transactions")
        .with_hint("Make it a replica set, if only of one member: start it with --replSet and call rs.initiate().")
}

/// What a unique index of MongoDB refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Duplicate {
    /// The place of the document among those of the command.
    pub(super) place: usize,
    /// The index's name in MongoDB.
    pub(super) index: String,
}

/// How a write failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// By a unique index.
    Duplicate(Duplicate),
    /// Otherwise.
    Other(NodeError),
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Other(error)
    }
}

/// The failure of a command: as an error of its own, or told in its answer.
pub(super) fn failure(error: Error) -> Failure {
    if let ErrorKind::Command(command) = &*error.kind
        && command.code == DUPLICATE
    {
        return Failure::Duplicate(Duplicate { place: 0, index: index_of(&command.message) });
    }
    Failure::Other(classify(error))
}

/// The first failure that the answer to a write tells of.
pub(super) fn told(answer: &Document) -> Option<Failure> {
    if let Ok(errors) = answer.get_array("writeErrors")
        && let Some(first) = errors.first().and_then(|error| error.as_document())
    {
        let code = number(first, "code");
        let message = first.get_str("errmsg").unwrap_or_default();
        if code == DUPLICATE {
            let place = usize::try_from(number(first, "index")).unwrap_or_default();
            return Some(Failure::Duplicate(Duplicate { place, index: index_of(message) }));
        }
        return Some(Failure::Other(server(code, message, false)));
    }
    let concern = answer.get_document("writeConcernError").ok()?;
    let message = concern.get_str("errmsg").unwrap_or_default();
    Some(Failure::Other(server(number(concern, "code"), message, false)))
}

/// A number of an answer, whatever its width.
pub(super) fn number(document: &Document, name: &str) -> i32 {
    match document.get(name) {
        Some(mongodb::bson::Bson::Int32(value)) => *value,
        Some(mongodb::bson::Bson::Int64(value)) => i32::try_from(*value).unwrap_or(i32::MAX),
        #[expect(clippy::cast_possible_truncation, reason = "counts and codes are small")]
        Some(mongodb::bson::Bson::Double(value)) => *value as i32,
        _ => 0,
    }
}

/// The index that `E11000 duplicate key error collection: a.b index: name dup key: { … }` names.
fn index_of(message: &str) -> String {
    let rest = message.split_once(" index: ").map_or("", |(_, rest)| rest);
    let name = rest.split_once(" dup key: ").map_or(rest, |(name, _)| name);
    // A server with a collation tells it, too.
    name.split_once(" collation: ").map_or(name, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_duplicates() {
        let check = |message: &str, expected: &str| assert_eq!(index_of(message), expected);
        check(
            "E11000 duplicate key error collection: d.t index: t_pkey dup key: { id: 1 }",
            "t_pkey",
        );
        check(
            "E11000 duplicate key error collection: d.t index: a b dup key: { x: \"dup key: \" }",
            "a b",
        );
        check("something else", "");
    }
}
