//! What a session knows of sequences: the numbers that it has taken, and the calls of the statement that runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dataman_metadata::change::ObjectName;
use dataman_metadata::id::{DatabaseId, ObjectId};
use dataman_metadata::schema::Sequence;
use dataman_metadata::sequence::SequenceState;
use dataman_metadata::snapshot::Snapshot;
use dataman_pg::PgError;
use dataman_pg::sequence::{SequenceCall, SequenceNumbers};

use crate::cluster::Cluster;
use crate::error::Error;
use crate::merge::Sequences;
use crate::plan::bind::split_qualified;
use crate::session::define::in_block::Definitions;

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
    /// What the transaction has defined.
    definitions: Option<Definitions>,
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
        definitions: Option<Definitions>,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            database: DatabaseId::from(database),
            read_only,
            taken: Arc::clone(taken),
            definitions,
            state: Mutex::default(),
        }
    }

    fn object(&self, name: &str) -> Result<ObjectName, PgError> {
        match split_qualified(name)?.as_slice() {
            [schema, name] => Ok(ObjectName::new(&self.database, schema, name)),
            _ => Err(PgError::internal("a sequence is named without its schema")),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        match &self.definitions {
            Some(definitions) => Arc::clone(&definitions.overlay),
            None => self.cluster.snapshot(),
        }
    }

    /// Carries something out on a sequence that this transaction has made; none when it is known to others too.
    ///
    /// # Errors
    /// `0A000` when the transaction has changed one that others know: its numbers are theirs until COMMIT.
    fn on_own<T>(
        &self,
        object: &ObjectName,
        sequence: &Sequence,
        act: impl FnOnce(&mut SequenceState) -> Result<T, PgError>,
    ) -> Result<Option<T>, PgError> {
        let Some(definitions) = &self.definitions else { return Ok(None) };
        if definitions.has_altered(object, sequence) {
            return Err(PgError::unsupported(format!(
                "taking numbers of sequence \"{}\", which the transaction has changed, is not supported",
                object.name
            ))
            .with_hint("Commit the change of the sequence first."));
        }
        if !definitions.is_own(sequence.oid) {
            return Ok(None);
        }
        let mut own = locked(&definitions.own_sequences);
        let state = own.entry(sequence.oid).or_insert_with(|| SequenceState::new(sequence));
        act(state).map(Some)
    }

    /// Numbers of a sequence that this transaction has made.
    fn own_numbers(
        &self,
        object: &ObjectName,
        sequence: &Sequence,
        count: usize,
    ) -> Result<Option<Vec<i64>>, PgError> {
        self.on_own(object, sequence, |state| {
            let mut numbers = Vec::new();
            while numbers.len() < count {
                numbers.push(state.take_one(sequence).map_err(|_| {
                    let (bound, limit) = match sequence.increment {
                        1.. => ("maximum", sequence.max),
                        _ => ("minimum", sequence.min),
                    };
                    PgError::new(
                        "2200H",
                        format!(
                            "nextval: reached {bound} value of sequence \"{}\" ({limit})",
                            object.name
                        ),
                    )
                })?);
            }
            Ok(numbers)
        })
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
        let snapshot = self.snapshot();
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
                let number = match self.own_numbers(&object, sequence, 1)? {
                    Some(numbers) => numbers.first().copied(),
                    None => self.cluster.take_fetched(&object, sequence.oid),
                };
                if let Some(number) = number {
                    self.remember(sequence.oid, number, true);
                }
                Ok(number)
            }
            SequenceCall::Set { name, value, is_called } => {
                self.check_read_write("setval()")?;
                let object = self.object(name)?;
                let sequence = find(&snapshot, &object)?;
                let own = self.on_own(&object, sequence, |state| {
                    state.set(sequence, *value, *is_called).map_err(|_| {
                        PgError::new(
                            "22003",
                            format!(
                                "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                                object.name, sequence.min, sequence.max
                            ),
                        )
                    })
                })?;
                if own.is_some() && *is_called {
                    self.remember(sequence.oid, *value, false);
                }
                Ok(own.map(|()| *value))
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
        let snapshot = self.snapshot();
        let sequence = find(&snapshot, &object)?;
        let numbers = match self.own_numbers(&object, sequence, count)? {
            Some(numbers) => numbers,
            None => self.cluster.take_numbers(&object, count).await?,
        };
        if let Some(number) = numbers.last() {
            self.remember(sequence.oid, *number, true);
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
                let oid = find(&self.snapshot(), &object)?.oid;
                self.remember(oid, number, true);
                number
            }
            SequenceCall::Set { name, value, is_called } => {
                let object = self.object(name)?;
                let oid = find(&self.snapshot(), &object)?.oid;
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
