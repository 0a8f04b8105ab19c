//! Where metadata is kept: read, watched and changed by compare-and-set; sequences and leases beside it.
//!
//! [`contract`] is what every store promises, [`conformance`] the suite that each one is run through. [`open`] makes a
//! store of a URL.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub mod backup;
pub mod conformance;
pub mod contract;
mod documents;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod memory;
mod sequences;

pub use backup::Backup;
pub use contract::{Store, StoreError};

/// The longest time after which a store in a file notices another process's commit.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The file's name when a metadata URL names a folder.
pub const METADATA_FILE: &str = "metadata.sqlite";

/// Whether a store that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

/// Opens the store that a metadata URL names, or makes it: `file:PATH`, where PATH is the file or a folder that exists
/// and has it as `metadata.sqlite`.
///
/// # Errors
/// The URL names no store of this build, or the store does not answer.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_or(url, Missing::Make).await
}

/// Opens the store that a metadata URL names, and refuses to make one: for those who only take part in a cluster.
///
/// # Errors
/// As [`open`], and there is no store.
pub async fn open_existing(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_or(url, Missing::Refuse).await
}

async fn open_or(url: &str, missing: Missing) -> Result<Arc<dyn Store>, StoreError> {
    let bad =
        |problem: &str| StoreError::BadUrl { url: url.to_owned(), problem: problem.to_owned() };
    match url.split_once(':') {
        Some(("file", path)) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(bad("the path is missing: write file:PATH"));
            }
            let path = Path::new(path);
            let path = if path.is_dir() { path.join(METADATA_FILE) } else { path.to_owned() };
            if missing == Missing::Refuse && !path.exists() {
                let problem = format!(
                    "there is no file {}; `dataman ctl --metadata {url} apply FILE` makes one from a cluster file",
                    path.display()
                );
                return Err(bad(&problem));
            }
            open_file(&path).await
        }
        Some(("etcd", _)) => open_etcd(url, missing).await,
        _ => Err(bad("it names no kind of store; write file:PATH or etcd://HOST:PORT,…")),
    }
}

#[cfg(feature = "embedded")]
async fn open_file(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(embedded::EmbeddedStore::open(path).await?))
}

#[cfg(not(feature = "embedded"))]
async fn open_file(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let problem = "this build of dataman leaves the store in a file out".to_owned();
    Err(StoreError::BadUrl { url: format!("file:{}", path.display()), problem })
}

#[cfg(feature = "etcd")]
async fn open_etcd(url: &str, missing: Missing) -> Result<Arc<dyn Store>, StoreError> {
    let store = etcd::EtcdStore::open(url).await?;
    if missing == Missing::Refuse && store.is_empty().await? {
        let shown = etcd::url::EtcdUrl::parse(url)?;
        let problem = format!(
            "there is no metadata of the cluster \"{}\"; `dataman ctl --metadata URL apply FILE` makes it from a cluster file",
            shown.cluster
        );
        return Err(StoreError::BadUrl { url: shown.to_string(), problem });
    }
    Ok(Arc::new(store))
}

#[cfg(not(feature = "etcd"))]
async fn open_etcd(url: &str, _: Missing) -> Result<Arc<dyn Store>, StoreError> {
    let problem = "this build of dataman leaves the etcd store out; write file:PATH".to_owned();
    Err(StoreError::BadUrl { url: url.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bad_urls() {
        let check = async |url: &str, expected: &str| {
            let error = open_existing(url).await.unwrap_err().to_string();
            assert!(error.starts_with(&format!("metadata URL \"{url}\": {expected}")), "{error}");
        };
        #[cfg(feature = "etcd")]
        check("etcd://", "the members are missing").await;
        check("file:", "the path is missing").await;
        check("/tmp/x", "it names no kind of store").await;
        check("file:/nowhere/at/all", "there is no file /nowhere/at/all").await;
    }

    #[cfg(feature = "embedded")]
    #[tokio::test]
    async fn a_folder_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file:{}", folder.path().display());
        assert!(open_existing(&url).await.is_err());
        open(&url).await.unwrap();
        open_existing(&url).await.unwrap();
        assert!(folder.path().join(METADATA_FILE).exists());
    }
}
