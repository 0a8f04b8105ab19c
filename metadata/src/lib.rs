//! What a dataman cluster is.
//!
//! [`topology`] says where data can live (nodes, datasources, datastores, shards, replica sets), [`schema`] what lives
//! there (databases, collections, fields, indexes, sequences, roles), [`sharding`] which shard holds a key. All of it
//! together, checked and immutable at one epoch, is a [`snapshot::Snapshot`]. A [`change::Change`] makes the next one; a
//! [`store`] keeps it and tells watchers; [`watch::SnapshotWatch`] holds the newest in reach of every statement.

pub mod change;
pub mod check;
pub mod id;
pub mod lease;
pub mod replica;
pub mod sample;
pub mod schema;
pub mod sequence;
pub mod sharding;
pub mod snapshot;
pub mod store;
pub mod topology;
pub mod watch;
