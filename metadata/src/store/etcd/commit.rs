//! Commits: one transaction that compares and writes `object/meta`, or, where the change is larger than etcd takes at once,
//! parts that are written ahead and named by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::client::CallError;
use super::message::{Compare, Number, Operation, TxnRequest};
use super::{ATTEMPTS_MAX, Newest, Shared};
use crate::change::Change;
use crate::id::Epoch;
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;
use crate::store::contract::StoreError;
use crate::store::documents::{self, Documents, META_KEY};
use crate::store::sequences;

const OPERATION: &str = "committing a change";

/// How many operations go into one transaction: etcd takes 128 (`--max-txn-ops`), some of which are the commit's own.
const OPERATIONS_MAX: usize = 100;

/// How many bytes go into one transaction: etcd takes 1.5 MB (`--max-request-bytes`), keys and framing included.
const BYTES_MAX: usize = 1024 * 1024;

/// How many commits are remembered by name: more than others make while one is sent twice.
const COMMITS_KEPT: usize = 32;

/// How many parts a change may have: their comparisons go into one transaction.
const PARTS_MAX: usize = 100;

/// A large change that has been committed and not yet spread over its documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// What its parts' keys begin with, after `staged/`.
    name: String,
    /// How many parts it has.
    parts: usize,
}

/// What a change does to a key below the cluster's: writes it, or removes it.
type Difference = Vec<(String, Option<String>)>;

impl Shared {
    pub(super) fn staged_key(&self) -> String {
        format!("{}staged", self.prefix)
    }

    fn part_key(&self, name: &str, part: usize) -> String {
        format!("{}staged/{name}/{part}", self.prefix)
    }

    pub(super) fn commit_key(&self) -> String {
        format!("{}commit", self.prefix)
    }

    pub(super) async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, StoreError> {
        let newest = self.settled().await?;
        let found = newest.snapshot.epoch;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(newest.snapshot.apply(changes)?);
        let mut difference = difference(&newest, &documents::encode(&next));
        for oid in sequences::dropped(&newest.snapshot, &next) {
            difference.push((format!("sequence/{oid}"), None));
        }
        self.write(&newest, next, difference).await
    }

    /// Replaces everything by what a backup holds.
    pub(super) async fn restore(
        &self,
        expected: Epoch,
        backup: &Backup,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let newest = self.settled().await?;
        let found = newest.snapshot.epoch;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let next = Arc::new(backup.over(&newest.snapshot));
        let mut difference = difference(&newest, &documents::encode(&next));
        let states = self.sequence_states(Number(0)).await;
        let states = states.map_err(|error| self.failed("reading sequences", error))??;
        for oid in states.keys().filter(|oid| !backup.sequences.contains_key(oid)) {
            difference.push((format!("sequence/{oid}"), None));
        }
        for (oid, state) in &backup.sequences {
            let text = serde_json::to_string(state).expect("numbers can be written");
            difference.push((format!("sequence/{oid}"), Some(text)));
        }
        self.write(&newest, next, difference).await
    }

    /// The newest snapshot, with nothing staged.
    pub(super) async fn settled(&self) -> Result<Newest, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let newest = self.newest().await?;
            match &newest.staged {
                None => return Ok(newest),
                Some(staged) => self.spread(staged).await?,
            }
        }
        Err(self.busy(OPERATION))
    }

    /// Makes a difference last, on the condition that the metadata is still as it was read.
    async fn write(
        &self,
        newest: &Newest,
        next: Arc<Snapshot>,
        difference: Difference,
    ) -> Result<Arc<Snapshot>, StoreError> {
        // Tells this commit from all others, should the answer to it be lost.
        let name = format!("{}-{}", next.epoch, crate::member::random_name());
        let meta_key = self.object_key(META_KEY);
        let mut compare = vec![
            Compare::unchanged(meta_key.clone(), newest.revision),
            Compare::unchanged(self.staged_key(), Number(0)),
        ];
        let bytes: usize = difference.iter().map(|(key, value)| size(key, value)).sum();
        let mut staged = None;
        let mut success;
        if difference.len() <= OPERATIONS_MAX && bytes <= BYTES_MAX {
            success = self.operations(&difference);
        } else {
            let parts = self.stage(&name, &difference).await?;
            compare.extend((0..parts).map(|part| Compare::exists(self.part_key(&name, part))));
            let meta = difference.iter().filter(|(key, _)| key == "object/meta").cloned();
            success = self.operations(&meta.collect::<Vec<_>>());
            let entry = Staged { name: name.clone(), parts };
            let text = serde_json::to_string(&entry).expect("a name can be written");
            success.push(Operation::put(self.staged_key(), text));
            staged = Some(entry);
        }
        let mut commits = newest.commits.clone();
        commits.push(name.clone());
        commits.drain(..commits.len().saturating_sub(COMMITS_KEPT));
        let text = serde_json::to_string(&commits).expect("names can be written");
        success.push(Operation::put(self.commit_key(), text));
        let failure = vec![Operation::get(self.commit_key()), Operation::get(meta_key)];
        let request = TxnRequest { compare, success, failure };
        let answer = self.txn(&request, OPERATION).await?;
        let commits = answer.read(0).map(|found| self.parse::<Vec<String>>(found)).transpose()?;
        // It may have been sent twice, and the first did it.
        let was_first = commits.is_some_and(|commits| commits.contains(&name));
        if !answer.succeeded && !was_first {
            let found = match answer.read(1) {
                Some(meta) => documents::decode_epoch(&self.place, &meta.value.0)?,
                None => Epoch(0),
            };
            let expected = newest.snapshot.epoch;
            if found == expected {
                // The staged parts were swept away by another commit that failed then.
                return Err(self.busy(OPERATION));
            }
            return Err(StoreError::Conflict { expected, found });
        }
        self.remember(&next);
        if let Some(staged) = staged
            && let Err(error) = self.spread(&staged).await
        {
            // Readers lay it over, and the next commit spreads it.
            tracing::warn!(%error, "a large change of the metadata is not yet spread over its documents");
        }
        Ok(next)
    }

    fn operations(&self, difference: &[(String, Option<String>)]) -> Vec<Operation> {
        let operation = |(key, value): &(String, Option<String>)| {
            let key = format!("{}{key}", self.prefix);
            match value {
                Some(value) => Operation::put(key, value.clone()),
                None => Operation::delete(key),
            }
        };
        difference.iter().map(operation).collect()
    }

    /// Writes a difference ahead in parts; gives how many.
    async fn stage(&self, name: &str, difference: &Difference) -> Result<usize, StoreError> {
        let mut parts: Vec<Difference> = Vec::new();
        let mut bytes = BYTES_MAX;
        for (key, value) in difference {
            let more = size(key, value);
            if more > BYTES_MAX {
                return Err(self.too_large(format!(
                    "the document {key} has {more} bytes, and etcd takes {BYTES_MAX} at once"
                )));
            }
            if bytes + more > BYTES_MAX {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += more;
            let part = parts.last_mut().expect("the first entry begins a part");
            part.push((key.clone(), value.clone()));
        }
        if parts.len() > PARTS_MAX {
            return Err(self.too_large(format!(
                "the change has more than {} bytes: make it in several",
                PARTS_MAX * BYTES_MAX
            )));
        }
        for (place, part) in parts.iter().enumerate() {
            let text = serde_json::to_string(part).expect("texts can be written");
            let put = Operation::put(self.part_key(name, place), text);
            let request = TxnRequest { success: vec![put], ..TxnRequest::default() };
            self.txn(&request, OPERATION).await?;
        }
        Ok(parts.len())
    }

    fn too_large(&self, reason: String) -> StoreError {
        StoreError::StoreRefused { place: self.place.clone(), operation: OPERATION, reason }
    }

    /// Reads what is staged, as of a revision.
    pub(super) async fn read_staged(
        &self,
        staged: &Staged,
        revision: Number,
    ) -> Result<Result<Difference, StoreError>, CallError> {
        let prefix = format!("{}staged/{}/", self.prefix, staged.name);
        let (_, found) = self.read_all(&prefix, revision).await?;
        if found.len() != staged.parts {
            let problem = format!(
                "the staged change {} has {} parts of {}",
                staged.name,
                found.len(),
                staged.parts
            );
            return Ok(Err(self.damaged(problem)));
        }
        let mut all = Difference::new();
        for part in &found {
            match self.parse::<Difference>(part) {
                Ok(part) => all.extend(part),
                Err(error) => return Ok(Err(error)),
            }
        }
        // Of the documents alone: a reader of the snapshot has no use for sequences' states.
        Ok(Ok(all
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("object/")?.to_owned(), value)))
            .collect()))
    }

    /// Spreads a staged change over its keys and removes it. Any number of processes may do so at the same time.
    async fn spread(&self, staged: &Staged) -> Result<(), StoreError> {
        let unchanged = |revision| Compare::unchanged(self.staged_key(), revision);
        let (_, found) = self.get(self.staged_key(), OPERATION).await?;
        let Some(found) = found else { return Ok(()) };
        if self.parse::<Staged>(&found)? != *staged {
            return Ok(());
        }
        let revision = found.mod_revision;
        for part in 0..staged.parts {
            let (_, text) = self.get(self.part_key(&staged.name, part), OPERATION).await?;
            // Somebody else has finished it.
            let Some(text) = text else { return Ok(()) };
            let part: Difference = self.parse(&text)?;
            // `meta` has been written with the commit, and the next one compares its revision.
            let part: Difference =
                part.into_iter().filter(|(key, _)| key != "object/meta").collect();
            for operations in self.operations(&part).chunks(OPERATIONS_MAX) {
                let request = TxnRequest {
                    compare: vec![unchanged(revision)],
                    success: operations.to_vec(),
                    failure: Vec::new(),
                };
                if !self.txn(&request, OPERATION).await?.succeeded {
                    return Ok(());
                }
            }
        }
        let request = TxnRequest {
            compare: vec![unchanged(revision)],
            success: vec![
                Operation::delete(self.staged_key()),
                // With what others have staged and never committed.
                Operation::delete_all(&format!("{}staged/", self.prefix)),
            ],
            failure: Vec::new(),
        };
        self.txn(&request, OPERATION).await?;
        Ok(())
    }
}

/// What must be written and removed to get from one snapshot's documents to the next one's.
fn difference(newest: &Newest, new: &Documents) -> Difference {
    let old = match newest.revision {
        Number(0) => Documents::new(),
        _ => documents::encode(&newest.snapshot),
    };
    let written = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    let written = written.map(|(key, value)| (format!("object/{key}"), Some(value.clone())));
    let removed = old.keys().filter(|key| !new.contains_key(*key));
    written.chain(removed.map(|key| (format!("object/{key}"), None))).collect()
}

/// How many bytes an entry takes at most: written in a part its quotes are escaped, and the cluster's prefix and what frames it
/// come to it.
fn size(key: &str, value: &Option<String>) -> usize {
    let escaped = |value: &String| {
        value.len() + value.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
    };
    key.len() + value.as_ref().map_or(0, escaped) + 128
}
