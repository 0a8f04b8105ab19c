//! Error → SQLSTATE, message, detail, hint; the one place.

use dataman_node_protocol::NodeErrorKind;
use dataman_node_protocol::error::ErrorObject;
use dataman_pg::PgError;

use crate::error::Error;

/// What a client is told: the fields of ErrorResponse and NoticeResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How bad it is.
    pub severity: Severity,
    /// The five-character code.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// Where in the statement, 1-based, in characters.
    pub position: Option<usize>,
    /// CONTEXT.
    pub context: Option<String>,
    /// The objects it is about.
    pub object: ErrorObject,
}

/// How bad a report is. The order is that of `client_min_messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Only for who asks for it.
    Debug,
    /// For the log.
    Log,
    /// Good to know.
    Notice,
    /// Something is likely not as meant.
    Warning,
    /// Always shown to the client, whatever it asked for.
    Info,
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    /// Its name in the fields `S` and `V`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Log => "LOG",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

impl Report {
    /// A report with nothing but a message.
    pub fn new(
        severity: Severity,
        sqlstate: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            object: ErrorObject::default(),
        }
    }

    /// A warning.
    pub fn warning(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, sqlstate, message)
    }

    /// The end of the session.
    pub fn fatal(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, sqlstate, message)
    }

    /// Adds HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl From<&PgError> for Report {
    fn from(error: &PgError) -> Self {
        Self {
            severity: Severity::Error,
            sqlstate: error.sqlstate().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            position: error.position(),
            context: error.context().map(str::to_owned),
            object: ErrorObject::default(),
        }
    }
}

/// What the client is told of a failure.
pub fn report(error: &Error) -> Report {
    let plain = |sqlstate: &str| Report::new(Severity::Error, sqlstate, error.to_string());
    match error {
        Error::Statement(error) => Report::from(error),
        Error::Node(node) => Report {
            severity: Severity::Error,
            sqlstate: match node.kind {
                NodeErrorKind::Statement | NodeErrorKind::Unsupported => node.sqlstate.clone(),
                NodeErrorKind::Unreachable => "08006".to_owned(),
                NodeErrorKind::Lost if node.sqlstate.is_empty() => "08006".to_owned(),
                NodeErrorKind::Lost => node.sqlstate.clone(),
                NodeErrorKind::Busy => "53300".to_owned(),
                NodeErrorKind::Cancelled => "57014".to_owned(),
                // The client may simply try again: nothing was done.
                NodeErrorKind::StaleEpoch => "40001".to_owned(),
                NodeErrorKind::Protocol => "08P01".to_owned(),
            },
            message: node.message.clone(),
            detail: node.detail.clone(),
            hint: node.hint.clone(),
            position: None,
            context: node.context.clone(),
            object: (*node.object).clone(),
        },
        Error::Protocol(_) => plain("08P01"),
        Error::Metadata { hint, .. } => Report { hint: hint.clone(), ..plain("58000") },
        Error::Cancelled | Error::StatementTimeout => plain("57014"),
        Error::Client(_) => Report { severity: Severity::Fatal, ..plain("08006") },
        Error::ShuttingDown => Report { severity: Severity::Fatal, ..plain("57P01") },
    }
}

#[cfg(test)]
mod tests {
    use dataman_node_protocol::NodeError;

    use super::*;

    fn check(error: impl Into<Error>, expected: (&str, &str)) {
        let report = report(&error.into());
        assert_eq!((report.sqlstate.as_str(), report.message.as_str()), expected);
    }

    #[test]
    fn every_failure_has_its_code() {
        check(PgError::division_by_zero(), ("22012", "division by zero"));
        check(NodeError::statement("23505", "duplicate key"), ("23505", "duplicate key"));
        check(
            NodeError::new(NodeErrorKind::Unreachable, "", "shard 1 cannot be reached"),
            ("08006", "shard 1 cannot be reached"),
        );
        check(Error::Cancelled, ("57014", "canceling statement due to user request"));
        check(Error::StatementTimeout, ("57014", "canceling statement due to statement timeout"));
    }
}
