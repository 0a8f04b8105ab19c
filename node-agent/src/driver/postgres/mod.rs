//! PostgreSQL: a statement's text changes, its rows do not. They travel as the server made them.
//!
//! A shard instance is a schema. [`connect`] opens a datasource and looks at what it holds, [`lower`] puts statements into
//! SQL and definitions into DDL, [`capability`] says what of PostgreSQL may be pushed down, [`error`] puts the users' names
//! into the server's errors, `replication` says what part a server has in its replica set.

mod arrays;
mod capability;
mod connect;
mod error;
mod lower;
mod replication;

pub use capability::PostgresCapability;
pub use connect::PostgresDriver;
