//! One PostgreSQL endpoint in front of many databases: the proxy.
//!
//! # The journey of a statement
//!
//! `SELECT name FROM customers WHERE id > 5 ORDER BY name` over four shards, out and back:
//!
//! 1. [`wire::listen::listen`] has accepted the client under a permit and given it a task; [`wire::auth::accept`] has read its
//!    startup message, found out who it is and made its [`session::Session`].
//! 2. [`wire::serve::serve`] reads one message after the other. A Query goes to `wire::simple`, the messages of the extended
//!    protocol to `wire::extended`; while a statement runs the client is watched, and its going away cancels the statement.
//!    What one shard can answer whole, and what has been planned before, takes the short way of [`session::pass`] from here.
//! 3. [`session::dispatch`] takes the statement through the stages below, in the transaction that
//!    [`session::transaction::Transaction`] keeps: read it second.
//! 4. [`parse::parse`] makes the text a syntax tree, or refuses it as PostgreSQL would.
//! 5. [`plan::plan`] finds what the names mean in one [snapshot](dataman_metadata::snapshot::Snapshot) of the metadata, types
//!    every expression, and proves how the statement can be answered: routed to one shard as a whole, or as a part for each
//!    shard and operators above. Plans are kept in [`session::prepared::PlanCache`].
//! 6. [`merge::run`] computes the shard keys from the parameters (`route`: which shards hold the rows), takes connections to those
//!    shards from the session ([`scatter::Participants`]), sends each its node query, and builds the operators above.
//! 7. On each shard's node the query runs in the database's own language. Rows come back as DataRow messages, already in the
//!    client's format; where they must be merged, only the hidden key columns are decoded.
//! 8. The session pulls batches from the [`scatter::ResultStream`], no faster than the client's socket takes them, and the wire
//!    writes them as they are. A slow client so slows the merge, and the merge the shards.
//! 9. After the last row the connections go back to the session, which commits what is to be committed
//!    ([`session::commit`]), and the client gets CommandComplete. Any failure becomes an ErrorResponse in [`sqlstate::report`].
//!
//! [`cluster::Cluster`] is what all sessions share: the newest metadata, the nodes and the sequences.

mod catalog;
pub mod cluster;
pub mod config;
pub mod error;
pub mod merge;
pub mod metrics;
pub mod parse;
pub mod plan;
pub mod replicas;
mod route;
pub mod rows;
pub mod scatter;
pub mod session;
pub mod sqlstate;
pub mod statistics;
pub mod wire;
pub mod writers;
