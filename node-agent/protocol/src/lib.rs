//! What proxy and node agent say to each other.
//!
//! A statement that goes to an agent is a [`query::NodeQuery`], dataman's internal query form, as JSON text inside
//! PostgreSQL's ordinary extended protocol; rows come back as PostgreSQL's DataRow messages, already in the format the
//! client asked for. [`node`] holds the traits behind which a node is either in this process or at the other end of a
//! [`connection`]; [`context`] what is sent ahead of a statement when it changed; [`pool`] keeps connections.

pub mod capability;
pub mod definition;
pub mod error;
pub mod node;
pub mod query;
pub mod record;

pub use error::{NodeError, NodeErrorKind};
