//! What tests of the operators need.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::memory::{Bounds, Memory, Resources};
use super::rows::{Row, ValueStream};
use super::spill::{TEMPORARY_BYTES_MAX, TemporaryFolder};

/// A statement's account of so many bytes, and the folder of its temporary files.
pub(crate) fn memory(bytes: usize) -> (Memory, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let resources = Resources::new(usize::MAX, TemporaryFolder::new(folder.path()));
    let bounds = Bounds {
        resources: Arc::new(resources),
        memory_bytes: bytes,
        temporary_bytes: TEMPORARY_BYTES_MAX,
    };
    (Memory::new(&bounds, &CancellationToken::new()), folder)
}

/// All rows of a stream.
pub(crate) async fn read(stream: &mut dyn ValueStream) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await.expect("there is room in files") {
        rows.extend(batch);
    }
    rows
}
