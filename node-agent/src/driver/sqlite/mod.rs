//! SQLite, built in: one file for each shard instance, in one folder for each datasource.
//!
//! ```text
//! SqliteDriver ── open(folder) ──▶ Folder ── connect ──▶ SqliteConnection ── execute ──▶ Rows
//!                                    │                       │ takes for a statement or a transaction
//!                                    └─ Instance (one file) ─┴▶ Lease ─▶ Session (one SQLite connection)
//!                                         one writer, READERS_PER_FILE readers
//! ```
//!
//! - [`connect`]: the folder, its files and their sessions. [`connection`]: transactions and statements of one user.
//! - [`execute`]: one execution between tasks and blocking threads. [`run`]: one statement on one session; [`joined`]: UPDATE … FROM and DELETE … USING. [`session`]: one SQLite connection, set up.
//! - [`value`], [`collate`], [`function`]: PostgreSQL's values and functions inside SQLite; the stored forms and the lowering
//!   are [`crate::driver::sql::stored`] and [`crate::driver::sql::native`].
//! - [`catalogue`], [`define`], [`constraint`]: what a file holds, how it changes, what it refuses.
//! - [`capability`]: what of this is exact.
//!
//! **Transactions.** A file has one writer at a time. READ COMMITTED: until its first write a transaction's statements each
//! read what is committed; the first write waits for the file's writer ([`WRITER_WAIT`], then `55P03`) and keeps it to the
//! end, and further statements run there. REPEATABLE READ and SERIALIZABLE: the first statement fixes a snapshot, held by
//! one session to the end; a write takes the writer too, and fails with `40001` when somebody else has committed since.

mod capability;
mod catalogue;
mod collate;
mod connect;
mod connection;
mod constraint;
mod define;
mod error;
mod execute;
mod function;
mod inline;
mod joined;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod value;

use std::time::Duration;

pub use capability::SqliteCapability;
pub use connect::SqliteDriver;

/// Readers of one file at a time; the next one waits. Each may hold a few megabytes of pages.
const READERS_PER_FILE: usize = 16;

/// How long a statement waits for a file's writer, or for one of its readers. Two transactions that each hold one file and
/// want the other's end with it, too.
const WRITER_WAIT: Duration = Duration::from_secs(20);

/// How long SQLite itself waits for a lock that another program holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it sleeps between two tries.
const BUSY_STEP: Duration = Duration::from_millis(2);

/// Prepared statements that a session keeps.
const STATEMENTS_CACHED: usize = 256;

/// Lowered statements that a datasource keeps; beyond, it forgets them all and begins anew.
const LOWERED_MAX: usize = 4096;

/// Batches between the scan and its reader: one being filled, one waiting. When full the scan waits.
const BATCHES_AHEAD: usize = 2;
