//! What the stores share about sequences.

use crate::change::ObjectName;
use crate::schema::Sequence;
use crate::sequence::SequenceRefusal;
use crate::snapshot::Snapshot;
use crate::store::contract::StoreError;

/// Finds a sequence in a snapshot.
pub(crate) fn find<'a>(
    snapshot: &'a Snapshot,
    name: &ObjectName,
) -> Result<&'a Sequence, StoreError> {
    let database = snapshot.databases.get(&name.database);
    let found = database.and_then(|database| database.sequence(&name.schema, &name.name));
    found.ok_or_else(|| StoreError::SequenceMissing(name.clone()))
}

/// The OIDs of the sequences that are gone with a change.
pub(crate) fn dropped(before: &Snapshot, after: &Snapshot) -> Vec<u32> {
    let oids = |snapshot: &Snapshot| {
        let schemas = snapshot.databases.values().flat_map(|database| database.schemas.values());
        schemas
            .flat_map(|schema| schema.sequences.values().map(|found| found.oid.0))
            .collect::<Vec<_>>()
    };
    let kept = oids(after).into_iter().collect::<std::collections::HashSet<_>>();
    oids(before).into_iter().filter(|oid| !kept.contains(oid)).collect()
}

/// Makes the store's error of a sequence's refusal.
pub(crate) fn refused(
    name: &ObjectName,
    sequence: &Sequence,
    value: i64,
    refusal: SequenceRefusal,
) -> StoreError {
    let name = name.name.clone();
    match refusal {
        SequenceRefusal::Exhausted { limit } => {
            StoreError::SequenceExhausted { name, limit, ascending: sequence.increment > 0 }
        }
        SequenceRefusal::OutOfBounds => {
            StoreError::SequenceOutOfBounds { name, value, min: sequence.min, max: sequence.max }
        }
    }
}
