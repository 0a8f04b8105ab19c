//! What can go wrong between proxy and database.

use std::fmt;

/// A failure at a node, classified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NodeError {
    /// What sort of failure.
    pub kind: NodeErrorKind,
    /// The five-character SQLSTATE to report. A PostgreSQL's own passes through unchanged.
    pub sqlstate: String,
    /// The primary message, without addresses or credentials.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// The error fields that name objects, when the database gave them. Boxed, so that a `Result` stays small.
    pub object: Box<ErrorObject>,
    /// CONTEXT (`where`).
    pub context: Option<String>,
    /// Of an insert of parameter tuples: the place of the record that failed, from 1.
    pub record: Option<u64>,
    /// Whether the database may already have carried out something of the statement.
    pub work_started: bool,
}

/// The object that an error is about: the fields `s`, `t`, `c`, `d` and `n` of ErrorResponse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorObject {
    /// Schema.
    pub schema: Option<String>,
    /// Table.
    pub table: Option<String>,
    /// Column.
    pub column: Option<String>,
    /// Data type.
    pub data_type: Option<String>,
    /// Constraint.
    pub constraint: Option<String>,
}

/// The sorts of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeErrorKind {
    /// The database refused the statement: its answer is the statement's answer.
    Statement,
    /// The node or database could not be reached; nothing was sent.
    Unreachable,
    /// The connection broke after something was sent: the outcome is unknown if `work_started`.
    Lost,
    /// Every connection the bound allows is in use.
    Busy,
    /// The statement was cancelled.
    Cancelled,
    /// The proxy's epoch is older than the agent's fence (`DM001`): refresh and plan anew.
    StaleEpoch,
    /// The node query cannot be carried out by this driver: a planning mistake.
    Unsupported,
    /// A message that the protocol does not allow.
    Protocol,
}

/// What an agent that stops says (`57P01`) to a session that is idle: a statement that was on its way has not been begun.
pub const AGENT_STOPS: &str = "the node agent is stopping";

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl NodeError {
    /// Makes an error without detail.
    pub fn new(
        kind: NodeErrorKind,
        sqlstate: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: None,
            hint: None,
            object: Box::default(),
            context: None,
            record: None,
            work_started: false,
        }
    }

    /// A failure of the statement itself.
    pub fn statement(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(NodeErrorKind::Statement, sqlstate, message)
    }

    /// Whether the agent was about to stop, and has begun nothing.
    pub fn is_agent_stopping(&self) -> bool {
        // As it came, or after it was put in terms of a shard.
        let told = |text: &String| text.contains(AGENT_STOPS);
        self.message == AGENT_STOPS
            || (self.sqlstate == "08006" && self.detail.as_ref().is_some_and(told))
    }

    /// `57014`: the statement was cancelled.
    pub fn cancelled() -> Self {
        Self::new(NodeErrorKind::Cancelled, "57014", "canceling statement due to user request")
    }

    /// `0A000`: this driver cannot carry out the query.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(NodeErrorKind::Unsupported, "0A000", message)
    }

    /// A connection lost during a write that was its own transaction, if `own_write` says that it was one, leaves the outcome
    /// unknown: `40003`.
    pub(crate) fn of_write(mut self, own_write: bool) -> Self {
        let lost = self.kind == NodeErrorKind::Lost && self.work_started;
        if own_write && lost && self.sqlstate == "08006" {
            self.sqlstate = "40003".to_owned();
            self.detail = Some("It is not known whether the statement took effect.".to_owned());
        }
        self
    }

    /// A connection lost during a commit leaves the outcome unknown: `08007`.
    pub(crate) fn of_commit(mut self) -> Self {
        if self.kind == NodeErrorKind::Lost && self.work_started {
            self.sqlstate = "08007".to_owned();
            self.message =
                "the connection to a node broke during a commit: it is not known whether the \
                            transaction was committed"
                    .to_owned();
        }
        self
    }

    /// Adds DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<dataman_pg::PgError> for NodeError {
    fn from(error: dataman_pg::PgError) -> Self {
        let mut node_error = Self::statement(error.sqlstate(), error.message().to_owned());
        node_error.detail = error.detail().map(str::to_owned);
        node_error.hint = error.hint().map(str::to_owned);
        node_error
    }
}
