//! The agent's server: PostgreSQL's protocol, with dataman queries where SQL would stand.
//!
//! [`listen`] accepts, [`session`] speaks with one client, [`command`] reads the few texts that are not queries, [`fence`]
//! refuses statements that were planned too long ago, `pass` is the short way of those that a database answers whole, `metrics` what is
//! counted.

pub mod command;
pub mod fence;
pub mod guard;
pub mod listen;
mod metrics;
mod pass;
mod replication;
pub mod session;
mod settings;
mod wire;

pub use listen::{Agent, serve};
