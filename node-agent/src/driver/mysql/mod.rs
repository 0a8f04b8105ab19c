//! MySQL 8 and MariaDB (10.6 and later): a MySQL database for each shard instance.
//!
//! ```text
//! MysqlDriver ── open(url) ──▶ Server ── connect ──▶ MysqlConnection ── execute ──▶ Rows
//!                                │                      │ runs in a task: Statement
//!                                ├─ pool of sessions    ├─ read: one SELECT, streamed
//!                                ├─ catalogues          └─ write: read and lock, compute, write by row number
//!                                └─ reaper: KILL QUERY of what nobody waits for
//! ```
//!
//! - [`connect`]: the server, its sessions and what they are set to. [`connection`]: transactions and statements of one user.
//! - [`layout`]: what columns a collection has, and in which forms; [`value`]: values ↔ these forms; [`rows`]: rows → DataRow.
//! - [`lower`]: selects as MySQL's SQL, where its operators mean PostgreSQL's on these forms; [`read`]: runs them.
//! - [`mod@write`] and [`conflict`]: INSERT, UPDATE, DELETE; [`constraint`] and [`mod@reference`]: what they may not do.
//! - [`adopted`]: tables that were there before dataman; [`inspect`]: which there are.
//! - [`replication`]: the server's part in a replica set.
//! - [`keys`]: locks of keys that several shards keep together.
//! - [`catalogue`], [`define`]: what a shard instance holds and how it changes. [`capability`]: what of this is exact.
//!
//! What is the same for every engine whose writes are computed is in `driver/kept`.
//!
//! **Writes are computed here.** MySQL's own INSERT … ON DUPLICATE KEY, CHECK, foreign keys, truncation and arithmetic differ
//! from PostgreSQL's in ways that no mode sets right. So the driver reads the records and locks them (`FOR UPDATE`), computes
//! with `dataman-pg`, tests NOT NULL, CHECK and foreign keys itself, and writes each record by its row number. What must hold
//! against others at the same time stays the server's: unique indexes and row locks.
//!
//! **Transactions.** READ COMMITTED is MySQL's; a locking read sees what is newest, as PostgreSQL's does. REPEATABLE READ is
//! MariaDB's with `innodb_snapshot_isolation`, which refuses to write what has changed since (`40001`); MySQL 8, which would
//! overwrite it, reads under shared locks instead (SERIALIZABLE), as both do for SERIALIZABLE. What only reads needs no locks for REPEATABLE
//! READ on either, so that it does not keep a replica from applying what comes.
//!
//! **Definitions in transactions.** MySQL commits with every definition. So the columns and tables are changed from a session
//! beside the transaction's, and what they mean is a row of the catalogue's table, which is written in the transaction. Columns
//! and tables that no catalogue names are as good as not there, and are removed when they are met or the transaction ends.

mod adopted;
mod capability;
mod catalogue;
mod conflict;
mod connect;
mod connection;
mod constraint;
mod define;
mod error;
mod inspect;
mod keys;
mod layout;
mod lower;
mod read;
mod reference;
mod replication;
mod rows;
mod statement;
mod value;
mod write;

use std::time::Duration;

pub use capability::MysqlCapability;
pub use connect::MysqlDriver;

/// Batches between a statement and its reader: one being filled, one waiting. When full the statement waits, and with it the
/// server.
const BATCHES_AHEAD: usize = 2;

/// Statements that a session keeps prepared.
const STATEMENTS_CACHED: usize = 128;

/// Lowered statements that a datasource keeps; beyond, it forgets them all and begins anew.
const LOWERED_MAX: usize = 4096;

/// Sessions for definitions and KILL beside those of users.
const SESSIONS_BESIDE: usize = 4;

/// Statements that wait to be killed because their reader went away; beyond, they run into their closed socket by themselves.
const REAPER_QUEUE: usize = 256;

/// A session that was idle for longer is asked whether it is still there before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// How often a statement that is to be cancelled is killed again: a KILL that comes between two of its parts has no effect.
const KILL_STEP: Duration = Duration::from_millis(100);

/// How long a statement waits for a definition that changes its collection, and a definition for statements, unless
/// `lock_timeout` says otherwise. Two transactions that wait for each other end with it, too.
const GATE_WAIT: Duration = Duration::from_secs(20);

/// Bytes of records that an UPDATE or DELETE may hold; beyond, it is refused.
const RECORDS_BYTES_MAX: usize = 512 << 20;
