//! What can go wrong in the proxy: one variant a stage.

use dataman_node_protocol::NodeError;
use dataman_pg::PgError;

/// A failure of a statement or of a session. `sqlstate.rs` turns each into what the client is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL would refuse it too, or dataman refuses it (`0A000`): parse, bind, plan, settings, evaluation.
    #[error(transparent)]
    Statement(#[from] PgError),
    /// A node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The client broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The metadata store refused or could not be reached.
    #[error("{message}")]
    Metadata {
        /// What failed.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The statement was cancelled.
    #[error("canceling statement due to user request")]
    Cancelled,
    /// The statement took longer than `statement_timeout`.
    #[error("canceling statement due to statement timeout")]
    StatementTimeout,
    /// The client's connection broke.
    #[error("could not talk to the client")]
    Client(#[source] std::io::Error),
    /// The proxy is going down.
    #[error("terminating connection due to administrator command")]
    ShuttingDown,
}

impl From<dataman_metadata::store::StoreError> for Error {
    fn from(error: dataman_metadata::store::StoreError) -> Self {
        use dataman_metadata::store::StoreError;
        let message = error.to_string();
        match &error {
            StoreError::SequenceExhausted { .. } => PgError::new("2200H", message).into(),
            StoreError::SequenceOutOfBounds { .. } => PgError::new("22003", message).into(),
            StoreError::SequenceMissing(_) => PgError::new("42P01", message).into(),
            StoreError::Conflict { .. } => Self::Metadata {
                message,
                hint: Some("Somebody else changed the schema at the same time: try again.".into()),
            },
            StoreError::Unavailable { .. } => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause = cause.as_deref(), "the metadata store does not answer");
                Self::Metadata {
                    message,
                    hint: Some(
                        "Rows can still be read and written. Schema changes, changes of the cluster and new numbers of sequences need the store: start it, or most of its members, again, and repeat the statement. The log says what each answered."
                            .into(),
                    ),
                }
            }
            StoreError::StoreRefused { .. } => Self::Metadata { message, hint: None },
            StoreError::Refused(_)
            | StoreError::Lease(_)
            | StoreError::Damaged { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::BadUrl { .. } => Self::Metadata { message, hint: None },
        }
    }
}
