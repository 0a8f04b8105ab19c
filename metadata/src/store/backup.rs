//! All metadata in one text: documents as the stores keep them, and how far the sequences are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Epoch;
use crate::sequence::SequenceState;
use crate::snapshot::Snapshot;
use crate::store::contract::StoreError;
use crate::store::documents::{self, Documents};

/// What a file of a backup begins with, so that another file is told apart.
const KIND: &str = "dataman metadata";

/// The newest format of backups that this dataman knows.
const FORMAT: u64 = 1;

/// Everything that a store keeps but leases, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The metadata.
    pub snapshot: Arc<Snapshot>,
    /// How far sequences are, by OID; those that nobody has used are left out.
    pub sequences: BTreeMap<u32, SequenceState>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    kind: String,
    format: u64,
    sequences: BTreeMap<u32, SequenceState>,
    /// Objects, not texts: a person may read and compare them.
    documents: BTreeMap<String, Value>,
}

impl Backup {
    /// Writes it as JSON.
    ///
    /// # Panics
    /// Never: metadata has no value that JSON cannot hold.
    #[must_use]
    pub fn to_text(&self) -> String {
        let documents = documents::encode(&self.snapshot);
        let parse = |text: &String| serde_json::from_str(text).expect("documents are JSON");
        let documents = documents.iter().map(|(key, text)| (key.clone(), parse(text))).collect();
        let (kind, sequences) = (KIND.to_owned(), self.sequences.clone());
        let text = Text { kind, format: FORMAT, sequences, documents };
        let mut text = serde_json::to_string_pretty(&text).expect("metadata can be written");
        text.push('\n');
        text
    }

    /// Reads and checks what [`Backup::to_text`] has written. `place` names the file in errors.
    ///
    /// # Errors
    /// It is no backup, is damaged or cut off, or breaks a rule of the metadata.
    pub fn from_text(place: &str, text: &str) -> Result<Self, StoreError> {
        let damaged = |problem: String| StoreError::Damaged { place: place.to_owned(), problem };
        let text: Text = serde_json::from_str(text)
            .map_err(|error| damaged(format!("it is no backup: {error}")))?;
        if text.kind != KIND {
            return Err(damaged(format!("it is no backup but \"{}\"", text.kind)));
        }
        if text.format > FORMAT {
            let (place, found) = (place.to_owned(), text.format);
            return Err(StoreError::NewerFormat { place, found, known: FORMAT });
        }
        let documents: Documents =
            text.documents.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
        let snapshot = Arc::new(documents::decode(place, &documents)?);
        Ok(Self { snapshot, sequences: text.sequences })
    }

    /// The snapshot that comes of restoring it over another: newer than both, so that whoever planned under either plans anew, and
    /// with OIDs that neither has handed out.
    #[must_use]
    pub fn over(&self, before: &Snapshot) -> Snapshot {
        let mut next = Snapshot::clone(&self.snapshot);
        next.epoch = Epoch(next.epoch.max(before.epoch).0 + 1);
        next.next_oid = next.next_oid.max(before.next_oid);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn other_texts_are_refused() {
        let snapshot = Arc::new(Snapshot::empty().apply(&sample::cluster(2)).unwrap());
        let backup = Backup { snapshot, sequences: BTreeMap::new() };
        let text = backup.to_text();
        let check = |text: &str, expected: &str| {
            let error = Backup::from_text("here", text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        assert_eq!(Backup::from_text("here", &text).unwrap(), backup);
        check("", "the metadata in here is damaged: it is no backup: EOF");
        check(&text[..text.len() / 2], "it is no backup: EOF");
        check(&text.replace(KIND, "other"), "it is no backup but \"other\"");
        check(&text.replacen("\"format\": 1", "\"format\": 9", 1), "has format 9");
        check(
            &text.replace("node/local", "node/other"),
            "node \"other\": it calls itself \"local\"",
        );
    }
}
