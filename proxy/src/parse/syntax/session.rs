//! Transactions, settings, EXPLAIN.

use super::*;

/// BEGIN and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN / START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT / END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK / ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE.
    Release(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// SET TRANSACTION, or SET SESSION CHARACTERISTICS AS TRANSACTION.
    Set {
        /// The modes.
        modes: TransactionModes,
        /// SESSION CHARACTERISTICS.
        session: bool,
    },
}

/// The modes of a transaction, where given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// Lower case: `read committed`, `repeatable read`, `serializable`, `read uncommitted`.
    pub isolation: Option<&'static str>,
    /// READ ONLY.
    pub read_only: Option<bool>,
    /// DEFERRABLE.
    pub deferrable: Option<bool>,
}

/// SET, SHOW, RESET, DISCARD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `SET [SESSION|LOCAL] name = values`.
    Set {
        /// The parameter, in lower case: `timezone` also for `SET TIME ZONE`.
        name: String,
        /// The values as text; none for DEFAULT.
        values: Option<Vec<String>>,
        /// LOCAL.
        local: bool,
    },
    /// `SHOW name`; `all` for SHOW ALL.
    Show(String),
    /// `RESET name`; `all` for RESET ALL.
    Reset(String),
    /// `DISCARD ALL|PLANS|SEQUENCES|TEMP`, upper case.
    Discard(&'static str),
}

/// EXPLAIN.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// ANALYZE.
    pub analyze: bool,
    /// VERBOSE.
    pub verbose: bool,
    /// COSTS.
    pub costs: bool,
    /// TIMING, SUMMARY and the like, by lower-case name and value; known ones only.
    pub options: Vec<(String, bool)>,
    /// `FORMAT`: `text`, `json`, …, lower case.
    pub format: String,
    /// What is explained, with its own text.
    pub statement: Box<ParsedStatement>,
}
