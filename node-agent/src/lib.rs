//! The process beside a database that carries out dataman's queries in the database's own language.
//!
//! # The journey of a node query
//!
//! 1. [`serve::listen::serve`] accepts a connection under a permit; [`serve::session`] speaks PostgreSQL's protocol on it,
//!    simple and extended, and keeps what belongs to one client: settings, prepared statements, portals, the open
//!    transaction. A statement's text is a [`NodeQuery`] as JSON, or one of a few commands (`BEGIN`, `SET`, …).
//! 2. [`execute::bind`] finds the datasource and the shard instance, and turns the short form, which people type, into the
//!    bound one, which drivers take, with the fields that [`inspect`] finds in the metadata or in the database.
//! 3. [`serve::fence`] refuses a statement that was planned before the last change of schema here (`DM001`).
//! 4. The session hands the statement to its transaction's connection, or to one of the datasource's pool;
//!    [`execute::run`] knows the tag that will answer it.
//! 5. The datasource's [`driver`] lowers the query to its database's language and runs it. Rows come back as batches of
//!    whole DataRow messages at the reader's pace, and go to the client as they are.
//!
//! In `dataman up` the journey is shorter: [`open`] gives the proxy the driver's own object, and only step 5 is left. An agent
//! knows no other node, and nothing of routes and shards but the instance names that queries bear.
//!
//! [`NodeQuery`]: dataman_node_protocol::query::NodeQuery

pub mod config;
pub mod driver;
pub mod error;
pub mod execute;
pub mod health;
pub mod inspect;
pub mod serve;

use std::sync::Arc;

use dataman_metadata::topology::Engine;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::address::AgentAccess;
use dataman_node_protocol::node::Node;
use dataman_node_protocol::pool::PoolLimits;
use dataman_node_protocol::remote::RemoteNode;

pub use driver::contract::{Datasource, Driver, Limits};

/// Opens a datasource in this process: what `dataman up` hands to the proxy (a [`Datasource`] is a
/// [`Node`]), and what an agent serves.
///
/// # Errors
/// `0A000` for an engine that this program was built without; else as [`Driver::open`].
pub async fn open(
    engine: Engine,
    url: &str,
    limits: Limits,
) -> Result<Arc<dyn Datasource>, NodeError> {
    driver::of(engine)?.open(url, limits).await
}

/// Reaches the datasource `datasource` of the agent at `address` (`host:port`): the other form of [`open`], for a node whose
/// agent runs by itself. Connects to nothing yet.
///
/// # Errors
/// `08001` when the address is none; `0A000` for an engine that this program was built without.
pub fn open_remote(
    engine: Engine,
    address: &str,
    datasource: &str,
    limits: PoolLimits,
    access: &AgentAccess,
) -> Result<Arc<dyn Node>, NodeError> {
    let capability = driver::capability_of(engine)?;
    Ok(Arc::new(RemoteNode::open(address, datasource, capability, limits, access)?))
}
