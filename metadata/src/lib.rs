//! What a dataman cluster is.
//!
//! [`topology`] says where data can live (nodes, datasources, datastores, shards, replica sets), [`schema`] what lives
//! there (databases, collections, fields, indexes, sequences, roles), [`sharding`] which shard holds a key. All of it
//! together, checked and immutable at one epoch, is a [`snapshot::Snapshot`]. A [`change::Change`] makes the next one; a
//! [`store`] keeps it and tells watchers; [`watch::SnapshotWatch`] holds the newest in reach of every statement.
//!
//! The road of a change: a statement (or a [`cluster::ClusterFile`]) is turned into changes against the snapshot that it
//! was planned under; [`store::Store::commit`] applies them if that is still the newest one, checks what comes out
//! ([`snapshot::Snapshot::check`]) and makes it last; every process's watch reads it.
//!
//! The road of a key: [`sharding::KeyPart`]s → [`sharding::shard_of`] → [`id::ShardId`] → [`topology::Shard`], whose
//! [`replica`] rules say which copy is read or written.

pub mod change;
pub mod check;
pub mod cluster;
pub mod error;
pub mod id;
pub mod lease;
pub mod member;
pub mod replica;
pub mod sample;
pub mod schema;
pub mod sequence;
pub mod sharding;
pub mod snapshot;
pub mod store;
pub mod topology;
pub mod unfinished;
pub mod watch;
