//! What a session knows of sequences: the numbers that it has taken, and the calls of the statement that runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dataman_metadata::change::ObjectName;
use dataman_metadata::id::{DatabaseId, ObjectId};
use dataman_metadata::schema::Sequence;
use dataman_metadata::snapshot::Snapshot;
use dataman_pg::PgError;
use dataman_pg::sequence::{SequenceCall, SequenceNumbers};

use crate::cluster::Cluster;
use crate::error::Error;
use crate::merge::Sequences;
use crate::plan::bind::split_qualified;

/// What `currval` and `lastval` answer with.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    last: HashMap<ObjectId, i64>,
    newest: Option<ObjectId>,
}

/// A session's taken numbers, shared with the statement that runs.
pub(crate) type SharedTaken = Arc<Mutex<Taken>>;

/// The sequence functions of one statement. [`SequenceNumbers::call`] answers at once where it can; where the store must be
/// asked, it fails and keeps the call, which [`Sequences::perform`] then carries out.
pub(crate) struct StatementSequences {
    cluster: Arc<Cluster>,
    database: DatabaseId,
    read_only: bool,
    taken: SharedTaken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The calls that this row has made, with their answers.
    done: Vec<(SequenceCall, i64)>,
    /// How many of them the present attempt has come past.
    at: usize,
    /// The call that has to wait.
    waiting: Option<SequenceCall>,
    /// How many rows are still to take numbers.
    rows: usize,
}

impl std::fmt::Debug for StatementSequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatementSequences")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StatementSequences {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        database: &str,
        read_only: bool,
        taken: &SharedTaken,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            database: DatabaseId::from(database),
            read_only,
            taken: Arc::clone(taken),
            state: Mutex::default(),
        }
    }

    fn object(&self, name: &str) -> Result<ObjectName, PgError> {
        match split_qualified(name)?.as_slice() {
            [schema, name] => Ok(ObjectName::new(&self.database, schema, name)),
            _ => Err(PgError::internal("a sequence is named without its schema")),
        }
    }

    fn remember(&self, oid: ObjectId, number: i64, is_newest: bool) {
        let mut taken = locked(&self.taken);
        taken.last.insert(oid, number);
        if is_newest {
            taken.newest = Some(oid);
        }
    }

    /// Answers without waiting; none when that cannot be done.
    fn answer(&self, call: &SequenceCall) -> Result<Option<i64>, PgError> {
        let snapshot = self.cluster.snapshot();
        match call {
            SequenceCall::Last => {
                let taken = locked(&self.taken);
                let last = taken
                    .newest
                    .filter(|oid| exists(&snapshot, &self.database, *oid))
                    .and_then(|oid| taken.last.get(&oid).copied());
                last.map(Some).ok_or_else(|| {
                    PgError::new("55000", "lastval is not yet defined in this session")
                })
            }
            SequenceCall::Current(name) => {
                let object = self.object(name)?;
                let sequence = find(&snapshot, &object)?;
                let taken = locked(&self.taken);
                taken.last.get(&sequence.oid).copied().map(Some).ok_or_else(|| {
                    PgError::new(
                        "55000",
                        format!(
                            "currval of sequence \"{}\" is not yet defined in this session",
                            object.name
                        ),
                    )
                })
            }
            SequenceCall::Next(name) => {
                self.check_read_write("nextval()")?;
                let object = self.object(name)?;
                let sequence = find(&snapshot, &object)?;
                let number = self.cluster.take_fetched(&object, sequence.oid);
                if let Some(number) = number {
                    self.remember(sequence.oid, number, true);
                }
                Ok(number)
            }
            SequenceCall::Set { .. } => {
                self.check_read_write("setval()")?;
                Ok(None)
            }
        }
    }

    fn check_read_write(&self, what: &str) -> Result<(), PgError> {
        if self.read_only {
            return Err(PgError::new(
                "25006",
                format!("cannot execute {what} in a read-only transaction"),
            ));
        }
        Ok(())
    }
}

impl SequenceNumbers for StatementSequences {
    fn call(&self, call: SequenceCall) -> Result<i64, PgError> {
        let mut state = locked(&self.state);
        if let Some((known, answer)) = state.done.get(state.at) {
            if *known != call {
                return Err(PgError::internal("an expression calls sequences in another order"));
            }
            let answer = *answer;
            state.at += 1;
            return Ok(answer);
        }
        match self.answer(&call)? {
            Some(answer) => {
                state.done.push((call, answer));
                state.at += 1;
                Ok(answer)
            }
            None => {
                state.waiting = Some(call);
                Err(PgError::internal("a sequence function waits for the metadata store"))
            }
        }
    }
}

#[async_trait]
impl Sequences for StatementSequences {
    async fn next(&self, schema: &str, name: &str, count: usize) -> Result<Vec<i64>, Error> {
        let object = ObjectName::new(&self.database, schema, name);
        let numbers = self.cluster.take_numbers(&object, count).await?;
        if let Some(number) = numbers.last() {
            let oid = find(&self.cluster.snapshot(), &object)?.oid;
            self.remember(oid, *number, true);
        }
        Ok(numbers)
    }

    fn expect(&self, rows: usize) {
        locked(&self.state).rows = rows;
    }

    fn begin(&self) {
        let mut state = locked(&self.state);
        state.done.clear();
        state.waiting = None;
        state.rows = state.rows.saturating_sub(1);
    }

    fn repeat(&self) {
        locked(&self.state).at = 0;
    }

    async fn perform(&self) -> Result<bool, Error> {
        let (waiting, rows) = {
            let mut state = locked(&self.state);
            (state.waiting.take(), state.rows)
        };
        let Some(call) = waiting else { return Ok(false) };
        let answer = match &call {
            SequenceCall::Next(name) => {
                let object = self.object(name)?;
                let number = self.cluster.take_number(&object, rows + 1).await?;
                let oid = find(&self.cluster.snapshot(), &object)?.oid;
                self.remember(oid, number, true);
                number
            }
            SequenceCall::Set { name, value, is_called } => {
                let object = self.object(name)?;
                let oid = find(&self.cluster.snapshot(), &object)?.oid;
                self.cluster.set_sequence(&object, *value, *is_called).await?;
                if *is_called {
                    self.remember(oid, *value, false);
                }
                *value
            }
            SequenceCall::Current(_) | SequenceCall::Last => {
                return Err(PgError::internal("nothing of a session is waited for").into());
            }
        };
        locked(&self.state).done.push((call, answer));
        Ok(true)
    }
}

/// The sequence of a name.
pub(crate) fn find<'a>(
    snapshot: &'a Snapshot,
    object: &ObjectName,
) -> Result<&'a Sequence, PgError> {
    snapshot
        .databases
        .get(&object.database)
        .and_then(|database| database.schemas.get(&object.schema))
        .and_then(|schema| schema.sequences.get(&object.name))
        .ok_or_else(|| {
            PgError::new("42P01", format!("relation \"{}\" does not exist", object.name))
        })
}

fn exists(snapshot: &Snapshot, database: &DatabaseId, oid: ObjectId) -> bool {
    snapshot.databases.get(database).is_some_and(|database| {
        let mut schemas = database.schemas.values();
        schemas.any(|schema| schema.sequences.values().any(|sequence| sequence.oid == oid))
    })
}
