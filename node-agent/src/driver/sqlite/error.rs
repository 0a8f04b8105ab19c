//! SQLite's failures as PostgreSQL would report them.

use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use rusqlite::{Error, ErrorCode};

use crate::driver::sql::stored::logical_name;

/// Classifies a failure of SQLite by its code. What dataman's own functions raised has been kept beside it and goes first
/// ([`super::session::Session::failure`]).
pub(super) fn classify(error: Error) -> NodeError {
    let Error::SqliteFailure(failure, message) = &error else {
        return match error {
            Error::UserFunctionError(error) => NodeError::statement("XX000", error.to_string()),
            Error::Utf8Error(..) | Error::FromSqlConversionFailure(..) => {
                NodeError::statement("XX001", "the SQLite file holds text that is not UTF-8")
            }
            error => NodeError::statement("XX000", format!("SQLite: {error}")),
        };
    };
    let text = message.as_deref().unwrap_or("unknown error");
    match failure.code {
        ErrorCode::DiskFull => NodeError::statement(
            "53100",
            "could not extend the SQLite file: No space left on device",
        )
        .with_hint("Check free disk space."),
        ErrorCode::OperationInterrupted => NodeError::cancelled(),
        ErrorCode::DatabaseBusy if failure.extended_code == BUSY_SNAPSHOT => serialization(),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            NodeError::statement("55P03", "could not obtain lock on the SQLite file")
                .with_hint("Another program holds it.")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            NodeError::statement("XX001", format!("the SQLite file is damaged: {text}"))
                .with_hint("Restore the file from a backup or a replica.")
        }
        ErrorCode::ReadOnly => {
            NodeError::statement("25006", "cannot write: the SQLite file is read-only").with_hint(
                "Give the node agent's user the right to write to the file and its folder.",
            )
        }
        ErrorCode::PermissionDenied => NodeError::new(
            NodeErrorKind::Unreachable,
            "42501",
            "the node agent may not open the SQLite file",
        ),
        ErrorCode::CannotOpen => NodeError::new(
            NodeErrorKind::Unreachable,
            "58P01",
            "could not open the SQLite file",
        )
        .with_hint(
            "The folder has to exist and the node agent's user needs the right to write to it.",
        ),
        ErrorCode::SystemIoFailure => NodeError::statement(
            "58030",
            format!("could not read or write the SQLite file: {text}"),
        ),
        ErrorCode::OutOfMemory => NodeError::statement("53200", "out of memory"),
        ErrorCode::TooBig => NodeError::statement("54000", "a value is too large for SQLite")
            .with_hint("SQLite holds values of up to 1 GB."),
        _ => match text.strip_prefix("no such table: ") {
            Some(table) => {
                let name = logical_name(table.strip_prefix("main.").unwrap_or(table));
                NodeError::statement("42P01", format!("relation \"{name}\" does not exist"))
            }
            None => NodeError::statement("XX000", format!("SQLite: {text}")),
        },
    }
}

const BUSY_SNAPSHOT: i32 = 517;

/// `40001`: a transaction with a fixed snapshot cannot write after somebody else has.
pub(super) fn serialization() -> NodeError {
    NodeError::statement("40001", "could not serialize access due to concurrent update")
}

/// Whether the failure is a UNIQUE index's, and SQLite's words for it.
pub(super) fn unique_violation(error: &Error) -> Option<&str> {
    match error {
        Error::SqliteFailure(failure, Some(message))
            if matches!(failure.extended_code, 2067 | 1555) =>
        {
            message.strip_prefix("UNIQUE constraint failed: ")
        }
        _ => None,
    }
}
