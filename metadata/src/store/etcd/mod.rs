//! The store of many machines: etcd, version 3.4 or newer.
//!
//! It is spoken to through the JSON gateway that every member serves beside gRPC on the same port: the same calls, as POSTs of
//! JSON. etcd's own crates for Rust generate their code with `protoc` at build time and bring a gRPC stack of some forty
//! crates; dataman sends a handful of small requests a second, and a user's build needs nothing but Rust and a C compiler.
//!
//! ```text
//! /dataman/<cluster>/object/meta, node/a, …   the documents (`store::documents`), one a key
//! /dataman/<cluster>/sequence/<oid>           how far a sequence is
//! /dataman/<cluster>/lease/<name>             a lease that holds; the key ends with an etcd lease
//! /dataman/<cluster>/token/<name>             the token of the newest grant of that name
//! /dataman/<cluster>/commit                   the names of the last commits
//! /dataman/<cluster>/staged                   which large change is not yet spread over its documents
//! /dataman/<cluster>/staged/<name>/<part>     such a change
//! ```
//! Every commit is one transaction that compares the revision of `object/meta` and writes it. One that etcd would refuse as too large
//! (128 operations, 1.5 MB) is written ahead in parts, and the transaction that writes `object/meta` names them in `staged`: whoever
//! reads lays the parts over the documents, and whoever commits next, or this process at once, spreads them first.

mod client;
mod commit;
mod http;
mod lease;
mod message;
pub(crate) mod url;
mod watcher;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::client::{CallError, Client, OUT_OF_RANGE, RESOURCE_EXHAUSTED};
use self::message::{
    Compare, KeyValue, Number, Operation, RangeRequest, RangeResponse, Text, TxnRequest,
    TxnResponse, end_of,
};
use self::url::EtcdUrl;
use crate::change::{Change, ObjectName};
use crate::id::Epoch;
use crate::lease::Lease;
use crate::schema::Sequence;
use crate::sequence::{SequenceBlock, SequenceState};
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;
use crate::store::contract::{Store, StoreError};
use crate::store::documents::{self, Documents, META_KEY};
use crate::store::sequences;

/// How many keys are read at once; fewer when they are large.
const PAGE_KEYS: i64 = 500;

/// How often something is tried again because somebody else was at it at the same time.
const ATTEMPTS_MAX: usize = 64;

/// Metadata in etcd.
pub struct EtcdStore {
    shared: Arc<Shared>,
    epoch: Arc<watch::Sender<Epoch>>,
    /// The task that watches; aborted on drop.
    _watcher: JoinSet<()>,
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

/// What the store's methods and its watcher share.
struct Shared {
    client: Client,
    /// For messages.
    place: String,
    /// `/dataman/<cluster>/`.
    prefix: String,
    /// The newest snapshot that was read or committed here, so that an unchanged epoch needs no reading.
    known: Mutex<Option<Arc<Snapshot>>>,
}

/// The newest snapshot with what a commit compares.
struct Newest {
    snapshot: Arc<Snapshot>,
    /// The revision of `object/meta`; 0 when there is none.
    revision: Number,
    /// The change that is not yet spread over its documents.
    staged: Option<commit::Staged>,
    /// The names of the last commits.
    commits: Vec<String>,
}

impl EtcdStore {
    /// Opens the store of a URL (`etcd://user:password@h1:2379,h2:2379?cluster=main&ca=ca.pem`).
    ///
    /// # Errors
    /// The URL is wrong, or no member answers.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let parsed = EtcdUrl::parse(url)?;
        let place = parsed.to_string();
        let prefix = format!("/dataman/{}/", parsed.cluster);
        let client = Client::new(parsed)
            .map_err(|problem| StoreError::BadUrl { url: place.clone(), problem })?;
        let shared = Arc::new(Shared { client, place, prefix, known: Mutex::default() });
        let (first, revision) = shared.read_epoch().await?;
        let epoch = Arc::new(watch::Sender::new(first));
        let mut watcher = JoinSet::new();
        watcher.spawn(watcher::watch(shared.clone(), epoch.clone(), revision));
        Ok(Self { shared, epoch, _watcher: watcher })
    }

    /// Whether there is no metadata yet.
    ///
    /// # Errors
    /// No member answers.
    pub(crate) async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self
            .shared
            .get(self.shared.object_key(META_KEY), "reading the metadata")
            .await?
            .1
            .is_none())
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
impl Store for EtcdStore {
    async fn read(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.shared.newest().await?.snapshot;
        raise(&self.epoch, snapshot.epoch);
        Ok(snapshot)
    }

    async fn commit(
        &self,
        expected: Epoch,
        changes: &[Change],
    ) -> Result<Arc<Snapshot>, StoreError> {
        let next = self.shared.commit(expected, changes).await?;
        raise(&self.epoch, next.epoch);
        Ok(next)
    }

    fn watch(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }

    async fn take_sequence_block(
        &self,
        name: &ObjectName,
        count: u64,
    ) -> Result<SequenceBlock, StoreError> {
        self.shared
            .change_sequence(name, |sequence, state| {
                state
                    .take(sequence, count)
                    .map_err(|refusal| sequences::refused(name, sequence, 0, refusal))
            })
            .await
    }

    async fn set_sequence(
        &self,
        name: &ObjectName,
        value: i64,
        is_called: bool,
    ) -> Result<(), StoreError> {
        self.shared
            .change_sequence(name, |sequence, state| {
                let set = state.set(sequence, value, is_called);
                set.map_err(|refusal| sequences::refused(name, sequence, value, refusal))
            })
            .await
    }

    async fn read_sequence(&self, name: &ObjectName) -> Result<SequenceState, StoreError> {
        let snapshot = self.shared.settled().await?.snapshot;
        let sequence = sequences::find(&snapshot, name)?;
        let key = self.shared.sequence_key(sequence.oid.0);
        let (_, found) = self.shared.get(key, "reading a sequence").await?;
        found.map_or(Ok(SequenceState::new(sequence)), |found| self.shared.parse(&found))
    }

    async fn grant_lease(
        &self,
        name: &str,
        holder: &str,
        span: Duration,
    ) -> Result<Lease, StoreError> {
        self.shared.grant_lease(name, holder, span).await
    }

    async fn renew_lease(&self, lease: &Lease, span: Duration) -> Result<Lease, StoreError> {
        self.shared.renew_lease(lease, span).await
    }

    async fn annotate_lease(&self, lease: &Lease, note: &str) -> Result<(), StoreError> {
        self.shared.annotate_lease(lease, note).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.shared.release_lease(lease).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        self.shared.leases(prefix).await
    }

    async fn backup(&self) -> Result<Backup, StoreError> {
        self.shared.backup().await
    }

    async fn restore(&self, expected: Epoch, backup: &Backup) -> Result<Arc<Snapshot>, StoreError> {
        let next = self.shared.restore(expected, backup).await?;
        raise(&self.epoch, next.epoch);
        Ok(next)
    }
}

impl Shared {
    fn object_key(&self, document: &str) -> String {
        format!("{}object/{document}", self.prefix)
    }

    fn sequence_key(&self, oid: u32) -> String {
        format!("{}sequence/{oid}", self.prefix)
    }

    fn failed(&self, operation: &'static str, error: CallError) -> StoreError {
        let place = self.place.clone();
        match &error {
            CallError::Refused { code: RESOURCE_EXHAUSTED, .. } | CallError::Unreachable(_) => {
                StoreError::Unavailable { place, operation, source: error.into() }
            }
            CallError::Refused { message, .. } => {
                StoreError::StoreRefused { place, operation, reason: message.clone() }
            }
        }
    }

    fn damaged(&self, problem: String) -> StoreError {
        StoreError::Damaged { place: self.place.clone(), problem }
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, found: &KeyValue) -> Result<T, StoreError> {
        serde_json::from_str(&found.value.0)
            .map_err(|error| self.damaged(format!("{}: {error}", found.key.0)))
    }

    async fn txn(
        &self,
        request: &TxnRequest,
        operation: &'static str,
    ) -> Result<TxnResponse, StoreError> {
        let answer = self.client.call("/v3/kv/txn", request).await;
        answer.map_err(|error| self.failed(operation, error))
    }

    /// Reads a key; gives the store's revision too.
    async fn get(
        &self,
        key: String,
        operation: &'static str,
    ) -> Result<(Number, Option<KeyValue>), StoreError> {
        let request = RangeRequest { key: Text(key), ..RangeRequest::default() };
        let answer: Result<RangeResponse, _> = self.client.call("/v3/kv/range", &request).await;
        let mut answer = answer.map_err(|error| self.failed(operation, error))?;
        Ok((answer.header.revision, answer.kvs.pop()))
    }

    /// The newest epoch, and the store's revision at which it was read.
    async fn read_epoch(&self) -> Result<(Epoch, Number), StoreError> {
        let (revision, meta) = self.get(self.object_key(META_KEY), "reading the metadata").await?;
        let epoch = match meta {
            Some(meta) => documents::decode_epoch(&self.place, &meta.value.0)?,
            None => Epoch(0),
        };
        Ok((epoch, revision))
    }

    /// Reads every key that begins so, all as of one revision, which may be given.
    async fn read_all(
        &self,
        prefix: &str,
        revision: Number,
    ) -> Result<(Number, Vec<KeyValue>), CallError> {
        let mut request = RangeRequest {
            key: Text(prefix.to_owned()),
            range_end: Some(Text(end_of(prefix))),
            limit: Number(PAGE_KEYS),
            revision,
        };
        let mut all: Vec<KeyValue> = Vec::new();
        loop {
            let page: RangeResponse = match self.client.call("/v3/kv/range", &request).await {
                // The page has more bytes than a message may have.
                Err(CallError::Refused { code: RESOURCE_EXHAUSTED, .. })
                    if request.limit > Number(1) =>
                {
                    request.limit = Number((request.limit.0 / 8).max(1));
                    continue;
                }
                page => page?,
            };
            if request.revision == Number(0) {
                request.revision = page.header.revision;
            }
            all.extend(page.kvs);
            match all.last() {
                // The smallest key after this one.
                Some(last) if page.more => request.key = Text(format!("{}\0", last.key.0)),
                _ => return Ok((request.revision, all)),
            }
        }
    }

    /// Reads the newest snapshot, or takes the known one when its epoch is still the newest.
    async fn newest(&self) -> Result<Newest, StoreError> {
        let reading = |error| self.failed("reading the metadata", error);
        for _ in 0..ATTEMPTS_MAX {
            let request = TxnRequest {
                success: vec![
                    Operation::get(self.object_key(META_KEY)),
                    Operation::get(self.staged_key()),
                    Operation::get(self.commit_key()),
                ],
                ..TxnRequest::default()
            };
            let answer = self.txn(&request, "reading the metadata").await?;
            let revision = answer.read(0).map_or(Number(0), |meta| meta.mod_revision);
            let staged = answer.read(1).map(|found| self.parse(found)).transpose()?;
            let commits = answer.read(2).map_or(Ok(Vec::new()), |found| self.parse(found))?;
            let epoch = match answer.read(0) {
                Some(meta) => documents::decode_epoch(&self.place, &meta.value.0)?,
                None => Epoch(0),
            };
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(snapshot) = known.filter(|known| known.epoch == epoch && epoch != Epoch(0))
            {
                return Ok(Newest { snapshot, revision, staged, commits });
            }
            let documents = match self.read_documents(answer.header.revision, &staged).await {
                Ok(documents) => documents?,
                // Compacted away between two pages: begin again with what is newest now.
                Err(CallError::Refused { code: OUT_OF_RANGE, .. }) => continue,
                Err(error) => return Err(reading(error)),
            };
            let snapshot = Arc::new(documents::decode(&self.place, &documents)?);
            self.remember(&snapshot);
            return Ok(Newest { snapshot, revision, staged, commits });
        }
        Err(self.busy("reading the metadata"))
    }

    fn remember(&self, snapshot: &Arc<Snapshot>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.epoch < snapshot.epoch) {
            *known = Some(snapshot.clone());
        }
    }

    /// The documents as of a revision, with what is staged laid over them.
    async fn read_documents(
        &self,
        revision: Number,
        staged: &Option<commit::Staged>,
    ) -> Result<Result<Documents, StoreError>, CallError> {
        let prefix = format!("{}object/", self.prefix);
        let (_, found) = self.read_all(&prefix, revision).await?;
        let mut documents: Documents = found
            .into_iter()
            .map(|found| (found.key.0[prefix.len()..].to_owned(), found.value.0))
            .collect();
        if let Some(staged) = staged {
            match self.read_staged(staged, revision).await? {
                Ok(difference) => {
                    for (key, value) in difference {
                        match value {
                            Some(value) => drop(documents.insert(key, value)),
                            None => drop(documents.remove(&key)),
                        }
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(documents))
    }

    fn busy(&self, operation: &'static str) -> StoreError {
        let source = "others change the same at the same time, again and again".into();
        StoreError::Unavailable { place: self.place.clone(), operation, source }
    }

    /// Changes a sequence's state by compare-and-set. When an answer is lost, numbers may be lost, and are never given twice.
    async fn change_sequence<T>(
        &self,
        name: &ObjectName,
        change: impl Fn(&Sequence, &mut SequenceState) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        const OPERATION: &str = "taking numbers of a sequence";
        for _ in 0..ATTEMPTS_MAX {
            let newest = self.settled().await?;
            let sequence = sequences::find(&newest.snapshot, name)?;
            let key = self.sequence_key(sequence.oid.0);
            let (_, found) = self.get(key.clone(), OPERATION).await?;
            let mut state = match &found {
                Some(found) => self.parse(found)?,
                None => SequenceState::new(sequence),
            };
            let outcome = change(sequence, &mut state)?;
            let revision = found.map_or(Number(0), |found| found.mod_revision);
            let text = serde_json::to_string(&state).expect("numbers can be written");
            let request = TxnRequest {
                compare: vec![
                    Compare::unchanged(key.clone(), revision),
                    // The sequence is as it was looked at: neither dropped nor altered meanwhile.
                    Compare::unchanged(self.object_key(META_KEY), newest.revision),
                    Compare::unchanged(self.staged_key(), Number(0)),
                ],
                success: vec![Operation::put(key, text)],
                failure: Vec::new(),
            };
            if self.txn(&request, OPERATION).await?.succeeded {
                return Ok(outcome);
            }
        }
        Err(self.busy(OPERATION))
    }

    /// The states of all sequences as of a revision.
    async fn sequence_states(
        &self,
        revision: Number,
    ) -> Result<Result<BTreeMap<u32, SequenceState>, StoreError>, CallError> {
        let prefix = format!("{}sequence/", self.prefix);
        let (_, found) = self.read_all(&prefix, revision).await?;
        let states = found.iter().map(|found| {
            let oid = found.key.0[prefix.len()..].parse::<u32>();
            let oid = oid.map_err(|_| self.damaged(format!("{}: no such key", found.key.0)))?;
            Ok((oid, self.parse(found)?))
        });
        Ok(states.collect())
    }

    /// Everything as of one revision.
    async fn backup(&self) -> Result<Backup, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let Newest { snapshot, revision, .. } = self.settled().await?;
            match self.sequence_states(Number(0)).await {
                Ok(sequences) => {
                    // Sequences only go on; what counts is that they are those of this snapshot.
                    let again = self.newest().await?;
                    if again.revision == revision {
                        return Ok(Backup { snapshot, sequences: sequences? });
                    }
                }
                Err(CallError::Refused { code: OUT_OF_RANGE, .. }) => {}
                Err(error) => return Err(self.failed("reading sequences", error)),
            }
        }
        Err(self.busy("reading the metadata"))
    }
}
