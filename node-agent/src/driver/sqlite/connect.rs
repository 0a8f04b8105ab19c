//! The folder of a datasource, its files, and the sessions on them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dataman_metadata::topology::Engine;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::definition::ConstraintKind;
use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use dataman_node_protocol::node::{Node, NodeConnection, NodeStatement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::capability::SqliteCapability;
use super::connection::SqliteConnection;
use super::run::Prepared;
use super::session::Session;
use super::{LOWERED_MAX, READERS_PER_FILE, WRITER_WAIT};
use crate::driver::contract::{Datasource, Driver, InspectedCollection, Limits};

/// The SQLite driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDriver;

#[async_trait]
impl Driver for SqliteDriver {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn open(&self, url: &str, limits: Limits) -> Result<Arc<dyn Datasource>, NodeError> {
        let folder = url.strip_prefix("sqlite:").unwrap_or(url);
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        if folder.is_empty() {
            return Err(NodeError::new(
                NodeErrorKind::Unreachable,
                "08001",
                "a SQLite datasource's URL is the folder of its files",
            ));
        }
        let folder = PathBuf::from(folder);
        let made = folder.clone();
        blocking(move || {
            std::fs::create_dir_all(&made).map_err(|error| folder_error(&error))?;
            sync_folder(&made)
        })
        .await?;
        Ok(Arc::new(FolderNode(Arc::new(Folder {
            folder,
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            pages_max: None,
            instances: Mutex::new(HashMap::new()),
            lowered: Mutex::new(HashMap::new()),
        }))))
    }
}

/// Runs work that touches the disk on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(NodeError::statement("XX000", format!("SQLite work failed: {error}"))),
    }
}

pub(super) fn folder_error(error: &std::io::Error) -> NodeError {
    let sqlstate = match error.kind() {
        std::io::ErrorKind::StorageFull => "53100",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => "42501",
        _ => "58030",
    };
    NodeError::new(
        NodeErrorKind::Unreachable,
        sqlstate,
        format!("the folder of the SQLite files cannot be used: {}", error.kind()),
    )
    .with_hint("The node agent's user needs the right to write to it.")
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), NodeError> {
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| folder_error(&error))
}

/// One datasource: a folder of files.
pub(super) struct Folder {
    folder: PathBuf,
    connections: Arc<Semaphore>,
    limits: Limits,
    /// The pages that a file may grow to, where that is bounded.
    pages_max: Option<u32>,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    lowered: Mutex<HashMap<u64, Arc<Prepared>>>,
}

/// A folder as a node.
struct FolderNode(Arc<Folder>);

#[async_trait]
impl Node for FolderNode {
    fn capability(&self) -> &dyn Capability {
        &SqliteCapability
    }

    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError> {
        let waiting = self.0.connections.clone().acquire_owned();
        match tokio::time::timeout(self.0.limits.wait, waiting).await {
            Ok(Ok(permit)) => Ok(Box::new(SqliteConnection::new(self.0.clone(), permit))),
            _ => Err(busy("every connection to the SQLite datasource is in use")),
        }
    }

    fn connect_now(&self) -> Option<Box<dyn NodeConnection>> {
        let permit = Arc::clone(&self.0.connections).try_acquire_owned().ok()?;
        Some(Box::new(SqliteConnection::new(Arc::clone(&self.0), permit)))
    }
}

pub(super) fn busy(message: &str) -> NodeError {
    NodeError::new(NodeErrorKind::Busy, "53300", message)
}

#[async_trait]
impl Datasource for FolderNode {
    async fn instances(&self) -> Result<Vec<String>, NodeError> {
        let folder = self.0.folder.clone();
        blocking(move || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&folder).map_err(|error| folder_error(&error))? {
                let entry = entry.map_err(|error| folder_error(&error))?;
                let name = entry.file_name();
                if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
                    names.extend(instance_name(name));
                }
            }
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn inspect(
        &self,
        shard_instance: &str,
    ) -> Result<Option<Vec<InspectedCollection>>, NodeError> {
        if !self.0.path(shard_instance).exists() {
            return Ok(None);
        }
        let stop = CancellationToken::new();
        let mut lease = self.0.instance(shard_instance)?.read(&stop).await?;
        blocking(move || {
            let catalogue = lease.session()?.catalogue();
            let inspected = catalogue.collections().map(|collection| InspectedCollection {
                collection: collection.shape.target.collection.clone(),
                fields: collection.shape.fields.clone(),
                primary_key: collection
                    .shape
                    .constraints
                    .iter()
                    .find_map(|constraint| match &constraint.kind {
                        ConstraintKind::PrimaryKey { fields } => Some(fields.clone()),
                        _ => None,
                    })
                    .unwrap_or_default(),
            });
            Ok(Some(inspected.collect()))
        })
        .await
    }

    async fn check_health(&self) -> Result<(), NodeError> {
        let folder = self.0.folder.clone();
        blocking(move || {
            std::fs::read_dir(&folder).map(|_| ()).map_err(|error| folder_error(&error))
        })
        .await
    }
}

const SUFFIX: &str = ".sqlite";

/// A shard instance's name as a file's: what is not plain is written in hexadecimal.
fn file_name(instance: &str) -> String {
    let mut out = String::new();
    for byte in instance.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out.push_str(SUFFIX);
    out
}

/// Reads [`file_name`] back, without its suffix.
fn instance_name(name: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

impl Folder {
    fn path(&self, instance: &str) -> PathBuf {
        self.folder.join(file_name(instance))
    }

    fn instances(&self) -> MutexGuard<'_, HashMap<String, Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a shard instance. Whether its file is there shows when a session opens it.
    pub(super) fn instance(&self, name: &str) -> Result<Arc<Instance>, NodeError> {
        Ok(self
            .instances()
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Instance::new(Some(self.path(name)), name, self.pages_max)))
            .clone())
    }

    /// A place for queries that read no collection.
    pub(super) fn nowhere(&self) -> Arc<Instance> {
        self.instances()
            .entry(String::new())
            .or_insert_with(|| Arc::new(Instance::new(None, "", None)))
            .clone()
    }

    /// Makes the file of a shard instance; harmless when it is there.
    pub(super) async fn create(&self, name: &str) -> Result<(), NodeError> {
        let (path, folder) = (self.path(name), self.folder.clone());
        blocking(move || {
            Session::create(&path)?;
            sync_folder(&folder)
        })
        .await
    }

    /// Removes the file of a shard instance.
    pub(super) async fn remove(&self, name: &str) -> Result<(), NodeError> {
        if let Some(instance) = self.instances().remove(name) {
            instance.removed.store(true, Ordering::Release);
            instance.idle_readers().clear();
            instance.idle_writer().take();
        }
        let (path, folder) = (self.path(name), self.folder.clone());
        blocking(move || {
            for suffix in ["", "-wal", "-shm"] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(folder_error(&error));
                    }
                    _ => {}
                }
            }
            sync_folder(&folder)
        })
        .await
    }

    /// Lowers a statement, or finds it lowered.
    pub(super) fn prepare(&self, statement: &NodeStatement) -> Result<Arc<Prepared>, NodeError> {
        let lock = || self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(&statement.id()) {
            return Ok(found.clone());
        }
        let made = Arc::new(Prepared::new(statement)?);
        let mut lowered = lock();
        if lowered.len() >= LOWERED_MAX {
            lowered.clear();
        }
        lowered.insert(statement.id(), made.clone());
        Ok(made)
    }
}

/// One shard instance: a file, its one writer and its readers.
pub(super) struct Instance {
    path: Option<PathBuf>,
    pages_max: Option<u32>,
    name: String,
    writer: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    idle_writer: Mutex<Option<Session>>,
    idle_readers: Mutex<Vec<Session>>,
    /// Raised with each committed definition: sessions read the catalogue anew.
    generation: AtomicU64,
    removed: AtomicBool,
}

impl Instance {
    fn new(path: Option<PathBuf>, name: &str, pages_max: Option<u32>) -> Self {
        Self {
            path,
            pages_max,
            name: name.to_owned(),
            writer: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Semaphore::new(READERS_PER_FILE)),
            idle_writer: Mutex::new(None),
            idle_readers: Mutex::new(Vec::new()),
            generation: AtomicU64::new(1),
            removed: AtomicBool::new(false),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn idle_writer(&self) -> MutexGuard<'_, Option<Session>> {
        self.idle_writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle_readers(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the readers.
    pub(super) async fn read(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> Result<Lease, NodeError> {
        let permit = wait(&self.readers, stop, WRITER_WAIT)
            .await?
            .ok_or_else(|| busy("every reader of the SQLite file is in use"))?;
        let session = self.idle_readers().pop();
        Ok(Lease { session, instance: self.clone(), permit: Some(permit), writer: false })
    }

    /// Takes one of the readers that is open, idle and has read the newest catalogue, if there is one.
    pub(super) fn read_now(self: &Arc<Self>) -> Option<Lease> {
        let permit = Arc::clone(&self.readers).try_acquire_owned().ok()?;
        let session = self.idle_readers().pop()?;
        let is_current = session.generation == self.generation.load(Ordering::Acquire);
        let session = Some(session);
        let lease =
            Lease { session, instance: Arc::clone(self), permit: Some(permit), writer: false };
        is_current.then_some(lease)
    }

    /// Takes the writer. `patience` is the session's `lock_timeout`.
    pub(super) async fn write(
        self: &Arc<Self>,
        stop: &CancellationToken,
        patience: Option<Duration>,
    ) -> Result<Lease, NodeError> {
        let permit = self.write_permit(stop, patience).await?;
        let session = self.idle_writer().take();
        Ok(Lease { session, instance: self.clone(), permit: Some(permit), writer: true })
    }

    /// Takes the right to write without the writer's session: for a session with a snapshot of its own.
    pub(super) async fn write_permit(
        &self,
        stop: &CancellationToken,
        patience: Option<Duration>,
    ) -> Result<OwnedSemaphorePermit, NodeError> {
        wait(&self.writer, stop, patience.unwrap_or(WRITER_WAIT)).await?.ok_or_else(|| {
            NodeError::statement("55P03", "canceling statement due to lock timeout")
                .with_detail("Another transaction writes to this shard, and a SQLite file has one writer at a time.")
        })
    }

    /// A definition was committed.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

async fn wait(
    semaphore: &Arc<Semaphore>,
    stop: &CancellationToken,
    patience: Duration,
) -> Result<Option<OwnedSemaphorePermit>, NodeError> {
    tokio::select! {
        permit = semaphore.clone().acquire_owned() => Ok(permit.ok()),
        () = stop.cancelled() => Err(NodeError::cancelled()),
        () = tokio::time::sleep(patience) => Ok(None),
    }
}

/// A session taken from an instance, given back when dropped. Outside a transaction it goes back as it is; one that is still
/// in a transaction is rolled back first, which in WAL mode only forgets what was logged.
pub(super) struct Lease {
    session: Option<Session>,
    instance: Arc<Instance>,
    permit: Option<OwnedSemaphorePermit>,
    writer: bool,
}

impl Lease {
    /// The session, opened if there was none idle. On a blocking thread.
    pub(super) fn session(&mut self) -> Result<&mut Session, NodeError> {
        if self.session.is_none() {
            if self.instance.path.as_ref().is_some_and(|path| !path.exists()) {
                return Err(NodeError::statement(
                    "3F000",
                    format!("shard instance \"{}\" does not exist", self.instance.name),
                ));
            }
            let session = Session::open(self.instance.path.as_deref())?;
            if let Some(pages) = self.instance.pages_max {
                session.run(&format!("PRAGMA max_page_count = {pages}"))?;
            }
            self.session = Some(session);
        }
        let session = self.session.as_mut().ok_or_else(|| busy("no session"))?;
        let generation = self.instance.generation.load(Ordering::Acquire);
        if session.generation != generation && session.connection.is_autocommit() {
            if self.instance.path.is_some() {
                session.reload()?;
            }
            session.generation = generation;
        }
        Ok(session)
    }

    /// The instance.
    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        if !session.connection.is_autocommit() {
            // A definition may have been rolled back with it.
            session.generation = 0;
            if session.run("ROLLBACK").is_err() {
                return;
            }
        }
        if self.instance.removed.load(Ordering::Acquire) {
            return;
        }
        if self.writer {
            *self.instance.idle_writer() = Some(session);
        } else {
            self.instance.idle_readers().push(session);
        }
        drop(self.permit.take());
    }
}

/// Opens a folder whose files may not grow beyond so many pages.
#[cfg(test)]
pub(super) async fn open_for_test(folder: &Path, pages_max: Option<u32>) -> Arc<dyn Datasource> {
    let limits = Limits::default();
    Arc::new(FolderNode(Arc::new(Folder {
        folder: folder.to_owned(),
        connections: Arc::new(Semaphore::new(limits.connections_max)),
        limits,
        pages_max,
        instances: Mutex::new(HashMap::new()),
        lowered: Mutex::new(HashMap::new()),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_files() {
        let check = |instance: &str, file: &str| {
            assert_eq!(file_name(instance), file);
            let name = file.strip_suffix(SUFFIX).unwrap();
            assert_eq!(instance_name(name).as_deref(), Some(instance));
        };
        check("dbshard_shop_0", "dbshard_shop_0.sqlite");
        check("dbshard_../A_0", "dbshard_%2e%2e%2f%41_0.sqlite");
    }
}
