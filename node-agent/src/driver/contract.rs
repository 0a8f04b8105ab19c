//! What a driver promises.
//!
//! An opened database *is* a [`Node`], and its connections are [`NodeConnection`]s: the same traits that the proxy
//! holds. So the in-process form needs no adapter (`dataman up` hands the proxy the driver's own object), the agent's
//! server only translates between these traits and the wire, and one conformance suite serves a driver, a driver behind
//! an agent, and every one to come. What an agent needs besides (looking at the database itself) is [`Datasource`].
//!
//! Promises beyond the traits' own:
//! - A statement arrives in the *bound* form: [`crate::execute`] has turned the short form into it.
//! - [`NodeStatement::id`] names a statement for as long as the process lives, so a driver keeps what it made of it
//!   (lowered text, a prepared statement) in a bounded cache by that number.
//! - Rows leave as whole DataRow messages in batches of about [`BATCH_BYTES`], in the formats asked for, and no faster than
//!   [`RowStream::next`] is called.
//! - Never more than [`Limits::connections_max`] connections; the next caller waits [`Limits::wait`], then gets `Busy`
//!   (`53300`).
//! - A connection that comes back to its pool is in no transaction and remembers nothing of its user but what the next
//!   [`StatementContext`] says anew.
//! - Every [`Definition`] can be repeated without harm and happens whole or not at all.
//! - An error names a collection by its label, never by the shard instance.
//!
//! [`Definition`]: dataman_node_protocol::definition::Definition
//! [`NodeConnection`]: dataman_node_protocol::node::NodeConnection
//! [`NodeStatement::id`]: dataman_node_protocol::node::NodeStatement::id
//! [`RowStream::next`]: dataman_node_protocol::node::RowStream::next
//! [`StatementContext`]: dataman_node_protocol::node::StatementContext
//! [`BATCH_BYTES`]: dataman_node_protocol::record::BATCH_BYTES

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dataman_metadata::topology::Engine;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::FieldShape;
use dataman_node_protocol::node::Node;

/// The code for one kind of database.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Which kind.
    fn engine(&self) -> Engine;

    /// Opens one datasource. Reaches for the database only as far as its capability needs it: a database that is down now
    /// may be up when the first connection is asked for.
    ///
    /// # Errors
    /// A URL that this driver does not understand (`08001`), naming what is wrong with it and not the password.
    async fn open(&self, url: &str, limits: Limits) -> Result<Arc<dyn Datasource>, NodeError>;
}

/// How much of a database one agent may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, over all shard instances of the datasource.
    pub connections_max: usize,
    /// How long a caller waits for one before `Busy`.
    pub wait: Duration,
}

/// The connections to one datasource unless configured: PostgreSQL allows 100 by default, and others may use it too.
pub const CONNECTIONS_MAX: usize = 64;

/// How long to wait for a connection unless configured.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, wait: CONNECTION_WAIT }
    }
}

/// One opened database.
#[async_trait]
pub trait Datasource: Node {
    /// The shard instances that the database holds, by name.
    ///
    /// # Errors
    /// The database cannot be reached or refuses to say.
    async fn instances(&self) -> Result<Vec<String>, NodeError>;

    /// What a shard instance holds, in the database's own words: where the short form's fields come from when no metadata
    /// is at hand, and what a check of the schema compares with. `None` when there is no such instance.
    ///
    /// # Errors
    /// As [`Datasource::instances`].
    async fn inspect(
        &self,
        shard_instance: &str,
    ) -> Result<Option<Vec<InspectedCollection>>, NodeError>;

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unreachable`, or what the database said.
    async fn check_health(&self) -> Result<(), NodeError>;
}

/// A collection as its database describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedCollection {
    /// Its physical name in the instance.
    pub collection: String,
    /// Its fields in order.
    pub fields: Vec<FieldShape>,
    /// The fields of its primary key; empty when it has none.
    pub primary_key: Vec<String>,
}
