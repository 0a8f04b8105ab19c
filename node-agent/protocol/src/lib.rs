//! What proxy and node agent say to each other.
//!
//! A statement that goes to an agent is a [`query::NodeQuery`], dataman's internal query form, as JSON text inside
//! PostgreSQL's ordinary extended protocol; rows come back as PostgreSQL's DataRow messages, already in the format the
//! client asked for. [`node`] holds the traits behind which a node is either in this process or at the other end of a
//! [`connection`] ([`remote`]); [`pass`] is the short way of an answer that nobody on the way looks at; [`context`] what is sent
//! ahead of a statement when it changed; [`pool`] keeps connections; [`workers`] are the threads that serve a server's clients.

pub mod address;
pub mod backend;
pub mod capability;
pub mod connection;
pub mod context;
pub mod copy;
pub mod definition;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod inspect;
pub mod metrics;
pub mod node;
pub mod pass;
pub mod pool;
pub mod query;
pub mod record;
pub mod remote;
pub mod replication;
pub mod scram;
mod startup;
mod stream;
pub mod workers;

pub use error::{NodeError, NodeErrorKind};
