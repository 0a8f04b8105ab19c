//! MongoDB (5.0 and later, a replica set or behind a router): a MongoDB database for each shard instance.
//!
//! ```text
//! MongodbDriver ── open(url) ──▶ Server ── connect ──▶ MongodbConnection ── execute ──▶ Rows
//!                                  │                      │ runs in a task: Statement
//!                                  ├─ MongoDB's client    ├─ read: one find or aggregate, streamed
//!                                  └─ catalogues          └─ write: read, compute, write by _id in a transaction
//! ```
//!
//! - [`connect`]: the server. [`connection`]: sessions, transactions and statements of one user.
//! - [`layout`]: where the fields of a collection lie, and in which BSON; [`value`]: values ↔ BSON; [`rows`]: rows → DataRow.
//! - [`lower`]: selects as aggregation pipelines, and [`condition`]s as filters, where MongoDB means what PostgreSQL does;
//!   [`read`]: runs them.
//! - [`mod@write`] and [`conflict`]: INSERT, UPDATE, DELETE; [`constraint`] and [`mod@reference`]: what they may not do.
//! - [`catalogue`], [`define`]: what a shard instance holds and how it changes. [`capability`]: what of this is exact.
//! - [`adopted`]: collections that were there before dataman; [`inspect`]: which there are.
//!
//! What is the same for every engine whose writes are computed is in `driver/kept`.
//!
//! **Writes are computed here.** The driver finds the documents (by the part of the condition that MongoDB means alike), computes
//! with `dataman-pg`, tests NOT NULL, CHECK and foreign keys itself, and writes each document by its `_id`. What must hold
//! against others at the same time is MongoDB's: unique indexes, and write conflicts between transactions. A record that is only
//! referred to or locked is written too, in a field `%lock` of its own, so that whoever changes it conflicts.
//!
//! **Transactions.** All of a statement's commands run in one transaction, acknowledged by a majority; a statement of its own is
//! begun anew when it met another one. A block sees the snapshot of its first command, also at READ COMMITTED, and ends with
//! `40001` where PostgreSQL would wait for the other's end. SERIALIZABLE blocks only read. There are no savepoints in MongoDB: what a
//! block writes after its first savepoint is noted with what was there before, and ROLLBACK TO writes that back.
//!
//! **Definitions in transactions.** MongoDB makes collections in transactions, and changes or drops none. So what a collection means is a
//! document of the catalogue, written in the transaction; indexes and new fields' values are made from outside of it, under
//! names that no catalogue bears yet, and what no catalogue names any more is removed when the transaction has ended.

mod adopted;
mod capability;
mod catalogue;
mod condition;
mod conflict;
mod connect;
mod connection;
mod constraint;
mod define;
mod error;
mod inspect;
mod layout;
mod lower;
mod read;
mod reference;
mod rows;
mod statement;
mod value;
mod write;

use std::time::Duration;

pub use capability::MongodbCapability;
pub use connect::MongodbDriver;

/// Batches between a statement and its reader: one being filled, one waiting. When full the statement waits, and with it the
/// cursor.
const BATCHES_AHEAD: usize = 2;

/// Documents that a cursor hands over at a time; MongoDB's bound of 16 MB holds besides.
const DOCUMENTS_A_BATCH: i32 = 1000;

/// Statements made ready that a datasource keeps; beyond, it forgets them all and begins anew.
const LOWERED_MAX: usize = 4096;

/// Connections for definitions and kills beside those of users.
const CONNECTIONS_BESIDE: usize = 8;

/// How long a statement that is to be stopped is waited for, after the server was told to.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// How long a statement waits for a definition that changes its collection, a definition for statements, and a statement of its
/// own for those that it conflicts with, unless `lock_timeout` says otherwise.
const GATE_WAIT: Duration = Duration::from_secs(20);

/// Bytes of records that an UPDATE or DELETE may hold; beyond, it is refused.
const RECORDS_BYTES_MAX: usize = 512 << 20;

/// Bytes of records that a transaction with savepoints may hold to go back to them; beyond, it is refused.
const UNDO_BYTES_MAX: usize = 256 << 20;
