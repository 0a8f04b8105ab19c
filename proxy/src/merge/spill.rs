//! Temporary files: where operators put rows aside that the statement's memory does not hold.
//!
//! A file belongs to the process's user alone, and has no name any more as soon as it is open, so that it is gone with the
//! operator that holds it, however that ends: a crash leaves none behind. Where files cannot be removed while they are
//! open, they are removed when they are closed, and what a crash has left when the program starts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dataman_pg::PgError;

use super::metrics::Counters;
use crate::error::Error;

/// The bytes of temporary files that one statement may hold unless `dataman.temp_limit` says otherwise. Beyond them it is
/// refused with `53400`.
pub const TEMPORARY_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Temporary files' names begin so.
const PREFIX: &str = "dataman-temp-";

/// Bytes that are written or read at once: enough to be worth the way to another thread, few enough to hold several.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// Where temporary files are made. One a process.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    made: AtomicU64,
}

impl TemporaryFolder {
    /// A folder, made when it is first used. What a crash has left in it goes.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let folder = Self { path: path.into(), made: AtomicU64::new(0) };
        folder.remove_leftovers();
        folder
    }

    /// Where temporary files are made unless told otherwise.
    pub fn default_path() -> PathBuf {
        std::env::temp_dir().join("dataman-temp")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes files of processes that have ended. A file of one that runs has no name, or cannot be removed.
    fn remove_leftovers(&self) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a temporary file was left and cannot be removed");
            }
        }
    }

    fn create(&self) -> std::io::Result<(File, Option<PathBuf>)> {
        std::fs::create_dir_all(&self.path)?;
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match options.open(&path) {
                Ok(file) => {
                    let kept = std::fs::remove_file(&path).is_err().then_some(path);
                    return Ok((file, kept));
                }
                // Left by a process of the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What one statement holds in temporary files; its clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Temporary {
    folder: Arc<TemporaryFolder>,
    limit: u64,
    used: Arc<AtomicU64>,
    /// What one operator has written, when that is asked for.
    counters: Option<Arc<Counters>>,
    /// All that was ever written.
    #[cfg(test)]
    written: Arc<AtomicU64>,
}

impl Temporary {
    pub(crate) fn new(folder: Arc<TemporaryFolder>, limit: u64) -> Self {
        Self {
            folder,
            limit,
            used: Arc::default(),
            counters: None,
            #[cfg(test)]
            written: Arc::default(),
        }
    }

    /// Counts what is written from now on for one operator.
    pub(crate) fn count(&mut self, counters: &Arc<Counters>) {
        self.counters = Some(Arc::clone(counters));
    }

    /// The bytes that may be held at a time.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// All that was ever written.
    #[cfg(test)]
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64, what: &str) -> Result<(), Error> {
        if let Some(counters) = &self.counters {
            counters.write(bytes);
        }
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        #[cfg(test)]
        self.written.fetch_add(bytes, Ordering::Relaxed);
        if used <= self.limit {
            return Ok(());
        }
        Err(PgError::new(
            "53400",
            format!("temporary files exceed dataman.temp_limit ({} kB)", self.limit / 1024),
        )
        .with_detail(format!("The statement needs more for {what}."))
        .with_hint("Add a filter or a LIMIT, or raise dataman.temp_limit or dataman.statement_mem.")
        .into())
    }
}

/// A temporary file. Made with the first chunk.
#[derive(Debug)]
pub(crate) struct SpillFile {
    temporary: Temporary,
    what: &'static str,
    open: Option<Arc<OpenFile>>,
    length: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: Mutex<File>,
    /// Its name, where it still has one.
    path: Option<PathBuf>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Nothing can be done about one that stays; it goes when the program starts again.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SpillFile {
    /// A file for the operator that is called `what`.
    pub(crate) fn new(temporary: &Temporary, what: &'static str) -> Self {
        Self { temporary: temporary.clone(), what, open: None, length: 0 }
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes and returns where they are.
    ///
    /// # Errors
    /// `53400` beyond the statement's limit; `58030` and `53100` when the file cannot be written.
    pub(crate) async fn append(&mut self, bytes: Vec<u8>) -> Result<u64, Error> {
        let place = self.length;
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // Counted first, so that what was taken is given back also when it was too much.
        self.length += count;
        self.temporary.take(count, self.what)?;
        let open = self.open.clone();
        let folder = Arc::clone(&self.temporary.folder);
        let written = blocking(move || {
            let open = match open {
                Some(open) => open,
                None => {
                    let (file, path) = folder.create()?;
                    Arc::new(OpenFile { file: Mutex::new(file), path })
                }
            };
            {
                let mut file = open.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(place))?;
                file.write_all(&bytes)?;
            }
            Ok(open)
        })
        .await;
        self.open = Some(written.map_err(|error| self.failed("write", &error))?);
        Ok(place)
    }

    /// Reads bytes at a place.
    ///
    /// # Errors
    /// `58030` when they cannot be read.
    pub(crate) async fn read(&self, place: u64, length: usize) -> Result<Vec<u8>, Error> {
        let Some(open) = self.open.clone() else { return Ok(Vec::new()) };
        blocking(move || {
            let mut bytes = vec![0; length];
            let mut file = open.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(place))?;
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        })
        .await
        .map_err(|error| self.failed("read", &error))
    }

    /// Gives the file up.
    pub(crate) fn clear(&mut self) {
        self.temporary.used.fetch_sub(self.length, Ordering::Relaxed);
        self.length = 0;
        self.open = None;
    }

    fn failed(&self, verb: &str, error: &std::io::Error) -> Error {
        let sqlstate =
            if error.kind() == std::io::ErrorKind::StorageFull { "53100" } else { "58030" };
        PgError::new(
            sqlstate,
            format!("could not {verb} a temporary file for {}: {error}", self.what),
        )
        .with_hint(
            "Make room there, give another folder with --temp-dir, or raise dataman.statement_mem.",
        )
        .into()
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Files may be slow: they are read and written beside the sessions' threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(folder: &Path, limit: u64) -> Temporary {
        Temporary::new(Arc::new(TemporaryFolder::new(folder)), limit)
    }

    fn sqlstate(error: &Error) -> String {
        crate::sqlstate::report(error).sqlstate.to_string()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let temporary = temporary(folder.path(), 100);
        let mut file = SpillFile::new(&temporary, "a test");
        assert_eq!(file.append(b"abc".to_vec()).await.expect("written"), 0);
        assert_eq!(file.append(b"defg".to_vec()).await.expect("written"), 3);
        assert_eq!(file.read(2, 3).await.expect("read"), b"cde");
        #[cfg(unix)]
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        drop(file);
        assert_eq!(temporary.used.load(Ordering::Relaxed), 0);
        assert_eq!(temporary.written(), 7);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn the_limit_is_of_all_files_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let temporary = temporary(folder.path(), 10);
        let mut one = SpillFile::new(&temporary, "a test");
        let mut other = SpillFile::new(&temporary, "a test");
        one.append(vec![0; 8]).await.expect("within");
        let error = other.append(vec![0; 3]).await.expect_err("beyond");
        assert_eq!(sqlstate(&error), "53400");
        drop(one);
        drop(other);
        SpillFile::new(&temporary, "a test").append(vec![0; 10]).await.expect("within again");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("a file");
        let mut spilled = SpillFile::new(&temporary(&file.join("below"), 10), "a test");
        let error = spilled.append(vec![0; 3]).await.expect_err("no folder");
        assert_eq!(sqlstate(&error), "58030");
    }

    #[test]
    fn what_a_crash_has_left_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("dataman-temp-1-2"), b"x").expect("a file");
        std::fs::write(folder.path().join("another"), b"x").expect("a file");
        let _folder = TemporaryFolder::new(folder.path());
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, ["another"]);
    }
}
