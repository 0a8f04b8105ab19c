//! The store of one machine: one SQLite file, which several processes may open.
//!
//! The file is in WAL mode with `synchronous = FULL`: a commit is one flush of the log, against three or four with a
//! rollback journal, and a reader (each process watches) never waits for a writer. The price is that the file must lie
//! on a local disk, for the processes share the log's index in memory, and that two more files (`-wal`, `-shm`) lie
//! beside it while it is open and after a crash.
//!
//! Every change is one `BEGIN IMMEDIATE` transaction: it takes SQLite's write lock first, so that comparing the epoch
//! and setting it cannot be divided by another process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::change::{Change, ObjectName};
use crate::id::Epoch;
use crate::lease::{Lease, LeaseState, LeaseTime};
use crate::sequence::{SequenceBlock, SequenceState};
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;
use crate::store::contract::{Store, StoreError};
use crate::store::documents::{self, Documents, META_KEY};
use crate::store::{WATCH_INTERVAL, sequences};

/// How long a process waits for another one's transaction, which takes milliseconds, before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Marks the file as dataman's metadata: `dmet`.
const APPLICATION_ID: i32 = 0x646D_6574;

/// The newest layout of tables that this dataman knows, kept in `user_version`.
const LAYOUT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE document (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sequence (oid INTEGER PRIMARY KEY, last_value INTEGER NOT NULL, is_called INTEGER NOT NULL);
    CREATE TABLE lease (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
";

/// Metadata in one SQLite file.
#[derive(Debug)]
pub struct EmbeddedStore {
    file: Arc<Mutex<File>>,
    epoch: Arc<watch::Sender<Epoch>>,
    /// The task that looks for other processes' commits; aborted on drop.
    _watcher: JoinSet<()>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it and the folders above it.
    ///
    /// # Errors
    /// The file cannot be opened, or is not dataman's metadata.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let (file, watched, epoch) = blocking(move || {
            create(&path)?;
            let mut file = File::open(&path)?;
            file.lay_out()?;
            let epoch = file.epoch()?;
            let watched = File::open(&path)?;
            Ok((file, watched, epoch))
        })
        .await?;
        let epoch = Arc::new(watch::Sender::new(epoch));
        let mut watcher = JoinSet::new();
        watcher.spawn(look_for_commits(watched, epoch.clone()));
        Ok(Self { file: Arc::new(Mutex::new(file)), epoch, _watcher: watcher })
    }

    /// Does work on the file on a blocking thread. When the caller goes away, the work is finished all the same.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut File) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = self.file.clone();
        blocking(move || work(&mut file.lock().expect("no holder of this lock panics"))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        // The process is going down, and work that had not begun is not begun any more.
        let (place, operation) = ("in a file".to_owned(), "starting work on the metadata file");
        Err(StoreError::Unavailable { place, operation, source: error.into() })
    })
}

/// Tells of each newer epoch that another connection has committed.
async fn look_for_commits(file: File, epoch: Arc<watch::Sender<Epoch>>) {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let file = Arc::new(Mutex::new((file, None)));
    let mut failing = false;
    loop {
        interval.tick().await;
        let file = file.clone();
        let looked = blocking(move || {
            let (file, version) = &mut *file.lock().expect("no holder of this lock panics");
            let now = file.data_version()?;
            if *version == Some(now) {
                return Ok(None);
            }
            let epoch = file.epoch()?;
            *version = Some(now);
            Ok(Some(epoch))
        });
        match looked.await {
            Ok(newest) => {
                failing = false;
                newest.inspect(|newest| raise(&epoch, *newest));
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot watch the metadata file"
                );
            }
            Err(_) => {}
        }
    }
}

fn raise(epoch: &watch::Sender<Epoch>, newest: Epoch) {
    epoch.send_if_modified(|epoch| {
        let newer = newest > *epoch;
        *epoch = newest.max(*epoch);
        newer
    });
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn read(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.with_file(File::read).await?;
        raise(&self.epoch, snapshot.epoch);
        Ok(snapshot)
    }

    async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, StoreError> {
        let (changes, epoch) = (changes.to_vec(), self.epoch.clone());
        self.with_file(move |file| {
            let next = file.commit(expected, &changes)?;
            // Told here, so that a caller who has gone away does not keep it from others.
            raise(&epoch, next.epoch);
            Ok(next)
        })
        .await
    }

    fn watch(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }

    async fn take_sequence_block(
        &self,
        name: &ObjectName,
        count: u64,
    ) -> Result<SequenceBlock, StoreError> {
        let name = name.clone();
        self.with_file(move |file| {
            file.change_sequence(&name, |sequence, state| {
                state
                    .take(sequence, count)
                    .map_err(|refusal| sequences::refused(&name, sequence, 0, refusal))
            })
        })
        .await
    }

    async fn set_sequence(
        &self,
        name: &ObjectName,
        value: i64,
        is_called: bool,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        self.with_file(move |file| {
            file.change_sequence(&name, |sequence, state| {
                let set = state.set(sequence, value, is_called);
                set.map_err(|refusal| sequences::refused(&name, sequence, value, refusal))
            })
        })
        .await
    }

    async fn read_sequence(&self, name: &ObjectName) -> Result<SequenceState, StoreError> {
        let name = name.clone();
        self.with_file(move |file| {
            let snapshot = file.read()?;
            let sequence = sequences::find(&snapshot, &name)?;
            let state = read_state(&file.connection, sequence.oid.0)
                .map_err(|error| file.failed("reading", error))?;
            Ok(state.unwrap_or_else(|| SequenceState::new(sequence)))
        })
        .await
    }

    async fn grant_lease(
        &self,
        name: &str,
        holder: &str,
        span: Duration,
    ) -> Result<Lease, StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.with_file(move |file| {
            file.change_lease(&name, |state| {
                Ok(state.grant(&name, &holder, LeaseTime::now(), span)?)
            })
        })
        .await
    }

    async fn renew_lease(&self, lease: &Lease, span: Duration) -> Result<Lease, StoreError> {
        let lease = lease.clone();
        self.with_file(move |file| {
            file.change_lease(&lease.name, |state| {
                Ok(state.renew(&lease, LeaseTime::now(), span)?)
            })
        })
        .await
    }

    async fn annotate_lease(&self, lease: &Lease, note: &str) -> Result<(), StoreError> {
        let (lease, note) = (lease.clone(), note.to_owned());
        self.with_file(move |file| {
            file.change_lease(&lease.name, |state| {
                Ok(state.annotate(&lease, LeaseTime::now(), &note)?)
            })
        })
        .await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.with_file(move |file| {
            file.change_lease(&lease.name, |state| {
                state.release(&lease);
                Ok(())
            })
        })
        .await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        let prefix = prefix.to_owned();
        self.with_file(move |file| file.leases(&prefix)).await
    }

    async fn backup(&self) -> Result<Backup, StoreError> {
        self.with_file(File::backup).await
    }

    async fn restore(&self, expected: Epoch, backup: &Backup) -> Result<Arc<Snapshot>, StoreError> {
        let (backup, epoch) = (backup.clone(), self.epoch.clone());
        self.with_file(move |file| {
            let next = file.restore(expected, &backup)?;
            raise(&epoch, next.epoch);
            Ok(next)
        })
        .await
    }
}

/// One connection to the file. All of it blocks.
#[derive(Debug)]
struct File {
    path: PathBuf,
    connection: Connection,
    /// The newest snapshot that was read or committed here, so that an unchanged epoch needs no reading.
    known: Option<Arc<Snapshot>>,
}

/// Makes the file, readable by its owner alone: it holds passwords' verifiers and the addresses of databases.
fn create(path: &Path) -> Result<(), StoreError> {
    let failed = |source: std::io::Error| StoreError::Unavailable {
        place: path.display().to_string(),
        operation: "making the metadata file",
        source: source.into(),
    };
    if path.exists() {
        return Ok(());
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    // SQLite flushes the folder for its logs, but not for the file itself.
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

impl File {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        };
        let connection =
            open().map_err(|error| failed(&place, "opening the metadata file", error))?;
        Ok(Self { path: path.to_owned(), connection, known: None })
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn failed(&self, operation: &'static str, error: rusqlite::Error) -> StoreError {
        failed(&self.place(), operation, error)
    }

    fn damaged(&self, problem: String) -> StoreError {
        StoreError::Damaged { place: self.place(), problem }
    }

    /// Makes the tables of a new file, and refuses a file that is not dataman's.
    fn lay_out(&mut self) -> Result<(), StoreError> {
        let lay_out = |connection: &mut Connection| -> rusqlite::Result<Result<(), String>> {
            // The mode cannot be changed inside a transaction; two processes that do it at once wait for each other.
            let pragma = |connection: &Connection, name: &str| {
                connection.pragma_query_value(None, name, |row| row.get(0))
            };
            let objects = "SELECT count(*) FROM sqlite_schema";
            if pragma(connection, "application_id")? == 0
                && connection.query_row(objects, [], |row| row.get::<_, i64>(0))? == 0
            {
                retry_busy(|| {
                    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
                })?;
            }
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id: i64 = pragma(&transaction, "application_id")?;
            if id == 0 && transaction.query_row(objects, [], |row| row.get::<_, i64>(0))? == 0 {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", LAYOUT)?;
                transaction.commit()?;
                return Ok(Ok(()));
            }
            if id != i64::from(APPLICATION_ID) {
                return Ok(Err("it is an SQLite file of something else".to_owned()));
            }
            let layout: i64 = pragma(&transaction, "user_version")?;
            if layout != LAYOUT {
                return Ok(Err(format!("its layout is {layout}, and this dataman knows {LAYOUT}")));
            }
            Ok(Ok(()))
        };
        match lay_out(&mut self.connection) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => Err(self.damaged(problem)),
            Err(error) => Err(self.failed("laying out the metadata file", error)),
        }
    }

    fn data_version(&self) -> Result<i64, StoreError> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.failed("watching", error))
    }

    fn epoch(&self) -> Result<Epoch, StoreError> {
        let meta = read_meta(&self.connection).map_err(|error| self.failed("reading", error))?;
        meta.map_or(Ok(Epoch(0)), |meta| documents::decode_epoch(&self.place(), &meta))
    }

    /// Reads the newest snapshot in one read transaction.
    fn read(&mut self) -> Result<Arc<Snapshot>, StoreError> {
        let place = self.place();
        let reading = |error| failed(&place, "reading", error);
        let transaction = self.connection.transaction().map_err(reading)?;
        let snapshot = read_newest(&place, &transaction, self.known.as_ref())?;
        transaction.commit().map_err(reading)?;
        self.known = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn commit(&mut self, expected: Epoch, changes: &[Change]) -> Result<Arc<Snapshot>, StoreError> {
        let place = self.place();
        let writing = |error| failed(&place, "committing", error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let before = read_newest(&place, &transaction, self.known.as_ref())?;
        if before.epoch != expected {
            let found = before.epoch;
            self.known = Some(before);
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(before.apply(changes)?);
        write_difference(&transaction, &before, &next).map_err(writing)?;
        transaction.commit().map_err(writing)?;
        self.known = Some(next.clone());
        Ok(next)
    }

    /// Reads everything in one read transaction.
    fn backup(&mut self) -> Result<Backup, StoreError> {
        let place = self.place();
        let reading = |error| failed(&place, "reading", error);
        let transaction = self.connection.transaction().map_err(reading)?;
        let snapshot = read_newest(&place, &transaction, self.known.as_ref())?;
        let states = || -> rusqlite::Result<_> {
            let mut statement =
                transaction.prepare("SELECT oid, last_value, is_called FROM sequence")?;
            let state = |row: &rusqlite::Row<'_>| {
                let (last_value, is_called) = (row.get(1)?, row.get(2)?);
                Ok((row.get(0)?, SequenceState { last_value, is_called }))
            };
            statement.query_map([], state)?.collect()
        };
        let sequences = states().map_err(reading)?;
        Ok(Backup { snapshot, sequences })
    }

    fn restore(&mut self, expected: Epoch, backup: &Backup) -> Result<Arc<Snapshot>, StoreError> {
        let place = self.place();
        let writing = |error| failed(&place, "restoring", error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let before = read_newest(&place, &transaction, self.known.as_ref())?;
        if before.epoch != expected {
            let found = before.epoch;
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(backup.over(&before));
        let write = || -> rusqlite::Result<()> {
            transaction.execute("DELETE FROM document", [])?;
            transaction.execute("DELETE FROM sequence", [])?;
            for (key, value) in documents::encode(&next) {
                let insert = "INSERT INTO document (key, value) VALUES (?1, ?2)";
                transaction.execute(insert, [key, value])?;
            }
            for (oid, state) in &backup.sequences {
                let insert =
                    "INSERT INTO sequence (oid, last_value, is_called) VALUES (?1, ?2, ?3)";
                transaction.execute(insert, params![oid, state.last_value, state.is_called])?;
            }
            Ok(())
        };
        write().map_err(writing)?;
        transaction.commit().map_err(writing)?;
        self.known = Some(next.clone());
        Ok(next)
    }

    /// Changes a sequence's state in one transaction with reading it.
    fn change_sequence<T>(
        &mut self,
        name: &ObjectName,
        change: impl FnOnce(&crate::schema::Sequence, &mut SequenceState) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.place();
        let writing = |error| failed(&place, "taking numbers of a sequence", error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let snapshot = read_newest(&place, &transaction, self.known.as_ref())?;
        self.known = Some(snapshot.clone());
        let sequence = sequences::find(&snapshot, name)?;
        let state = read_state(&transaction, sequence.oid.0).map_err(writing)?;
        let mut state = state.unwrap_or_else(|| SequenceState::new(sequence));
        let outcome = change(sequence, &mut state)?;
        let write =
            "INSERT OR REPLACE INTO sequence (oid, last_value, is_called) VALUES (?1, ?2, ?3)";
        let mut statement = transaction.prepare_cached(write).map_err(writing)?;
        statement
            .execute(params![sequence.oid.0, state.last_value, state.is_called])
            .map_err(writing)?;
        drop(statement);
        transaction.commit().map_err(writing)?;
        Ok(outcome)
    }

    /// Changes a lease's state in one transaction with reading it.
    fn change_lease<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut LeaseState) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.place();
        let writing = |error| failed(&place, "changing a lease", error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let text = transaction
            .query_row("SELECT state FROM lease WHERE name = ?1", [name], |row| {
                row.get::<_, String>(0)
            })
            .optional()
            .map_err(writing)?;
        let mut state =
            text.map_or(Ok(LeaseState::default()), |text| parse_lease(&place, name, &text))?;
        let outcome = change(&mut state)?;
        let text =
            serde_json::to_string(&state).expect("a lease has no value that JSON cannot hold");
        let write = "INSERT OR REPLACE INTO lease (name, state) VALUES (?1, ?2)";
        transaction.execute(write, params![name, text]).map_err(writing)?;
        transaction.commit().map_err(writing)?;
        Ok(outcome)
    }

    fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        let place = self.place();
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut statement =
                self.connection.prepare_cached("SELECT name, state FROM lease ORDER BY name")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let now = LeaseTime::now();
        let mut leases = Vec::new();
        for (name, text) in read().map_err(|error| self.failed("reading leases", error))? {
            if name.starts_with(prefix) {
                leases.extend(parse_lease(&place, &name, &text)?.held(now).cloned());
            }
        }
        Ok(leases)
    }
}

fn failed(place: &str, operation: &'static str, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let place = place.to_owned();
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            StoreError::Damaged { place, problem: error.to_string() }
        }
        _ => StoreError::Unavailable { place, operation, source: error.into() },
    }
}

/// Tries again what SQLite refuses at once instead of waiting, while another process is at it.
fn retry_busy<T>(work: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 1..TRIES {
        match work() {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
    work()
}

fn parse_lease(place: &str, name: &str, text: &str) -> Result<LeaseState, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged {
        place: place.to_owned(),
        problem: format!("lease {name}: {error}"),
    })
}

fn read_meta(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM document WHERE key = ?1")?;
    statement.query_row([META_KEY], |row| row.get(0)).optional()
}

/// Reads the newest snapshot, or takes the known one when its epoch is still the newest.
fn read_newest(
    place: &str,
    connection: &Connection,
    known: Option<&Arc<Snapshot>>,
) -> Result<Arc<Snapshot>, StoreError> {
    let reading = |error| failed(place, "reading", error);
    let meta = read_meta(connection).map_err(reading)?;
    if let (Some(meta), Some(known)) = (&meta, known)
        && documents::decode_epoch(place, meta)? == known.epoch
    {
        return Ok(known.clone());
    }
    let read = || -> rusqlite::Result<Documents> {
        let mut statement = connection.prepare_cached("SELECT key, value FROM document")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    Ok(Arc::new(documents::decode(place, &read().map_err(reading)?)?))
}

/// Writes the documents that differ, and forgets the state of sequences that are gone.
fn write_difference(
    connection: &Connection,
    before: &Snapshot,
    next: &Snapshot,
) -> rusqlite::Result<()> {
    let (old, new) = (documents::encode(before), documents::encode(next));
    for (key, value) in &new {
        if old.get(key) != Some(value) || before.epoch == Epoch(0) {
            connection.execute(
                "INSERT OR REPLACE INTO document (key, value) VALUES (?1, ?2)",
                [key, value],
            )?;
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        connection.execute("DELETE FROM document WHERE key = ?1", [key])?;
    }
    for oid in sequences::dropped(before, next) {
        connection.execute("DELETE FROM sequence WHERE oid = ?1", [oid])?;
    }
    Ok(())
}

fn read_state(connection: &Connection, oid: u32) -> rusqlite::Result<Option<SequenceState>> {
    let mut statement =
        connection.prepare_cached("SELECT last_value, is_called FROM sequence WHERE oid = ?1")?;
    let state = |row: &rusqlite::Row<'_>| {
        Ok(SequenceState { last_value: row.get(0)?, is_called: row.get(1)? })
    };
    statement.query_row([oid], state).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::store::conformance;

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        let count = std::sync::atomic::AtomicU32::new(0);
        conformance::run(|| {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("new/{count}.sqlite"));
            async move { Arc::new(EmbeddedStore::open(&path).await.unwrap()) as Arc<dyn Store> }
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_keeps_what_was_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sqlite");
        let store = EmbeddedStore::open(&path).await.unwrap();
        let first = store.commit(Epoch(0), &sample::cluster(4)).await.unwrap();
        let lease = store.grant_lease("node/a", "one", Duration::from_secs(3600)).await.unwrap();
        drop(store);
        let store = EmbeddedStore::open(&path).await.unwrap();
        assert_eq!(store.read().await.unwrap(), first);
        assert_eq!(*store.watch().borrow(), Epoch(1));
        assert_eq!(store.leases("").await.unwrap(), [lease]);
    }

    /// Two opened stores stand for two processes: SQLite sees no difference.
    #[tokio::test]
    async fn two_openers_see_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sqlite");
        let (one, other) = tokio::join!(EmbeddedStore::open(&path), EmbeddedStore::open(&path));
        let (one, other) = (one.unwrap(), other.unwrap());
        let mut watch = other.watch();
        let first = one.commit(Epoch(0), &sample::cluster(4)).await.unwrap();
        let seen = tokio::time::timeout(
            Duration::from_secs(10),
            watch.wait_for(|epoch| *epoch == Epoch(1)),
        );
        seen.await.unwrap().unwrap();
        assert_eq!(other.read().await.unwrap(), first);
        other.commit(Epoch(1), &[]).await.unwrap();
        let stale = one.commit(Epoch(1), &[]).await;
        assert!(matches!(stale, Err(StoreError::Conflict { found: Epoch(2), .. })), "{stale:?}");
    }

    #[tokio::test]
    async fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = async |name: &str, expected: &str| {
            let path = folder.path().join(name);
            let error = EmbeddedStore::open(&path).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        std::fs::write(
            folder.path().join("text"),
            "not a database at all, but long enough to be looked at".repeat(20),
        )
        .unwrap();
        check("text", "is damaged: file is not a database").await;
        let other = Connection::open(folder.path().join("other")).unwrap();
        other.execute_batch("CREATE TABLE t (a)").unwrap();
        check("other", "it is an SQLite file of something else").await;
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        check("folder", "does not answer: opening the metadata file").await;
        let newer = Connection::open(folder.path().join("newer")).unwrap();
        newer.execute_batch("PRAGMA application_id = 1684890996; PRAGMA user_version = 2").unwrap();
        check("newer", "its layout is 2, and this dataman knows 1").await;
    }

    /// A limit of pages stands for a full disk: SQLite reports both alike.
    #[tokio::test]
    async fn a_full_disk_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("metadata.sqlite")).await.unwrap();
        let first = store.commit(Epoch(0), &sample::cluster(4)).await.unwrap();
        let limit = async |pages: u32| {
            let set = move |file: &mut File| {
                let set =
                    file.connection
                        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
                set.map_err(|error| file.failed("limiting", error))
            };
            store.with_file(set).await.unwrap();
        };
        limit(1).await;
        let mut oids = first.oids();
        let changes = (0..50)
            .map(|number| sample::create_table(&mut oids, &format!("t{number}")))
            .collect::<Vec<_>>();
        let full = store.commit(Epoch(1), &changes).await.unwrap_err();
        assert!(matches!(full, StoreError::Unavailable { .. }), "{full:?}");
        assert_eq!(store.read().await.unwrap(), first);
        limit(u32::MAX).await;
        store.commit(Epoch(1), &changes).await.unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sqlite");
        let store = EmbeddedStore::open(&path).await.unwrap();
        store.commit(Epoch(0), &[]).await.unwrap();
        for name in ["metadata.sqlite", "metadata.sqlite-wal"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
