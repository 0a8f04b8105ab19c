//! One statement on one session, on a blocking thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{NodeStatement, Parameters};
use dataman_node_protocol::query::{Insert, NodeQuery, Records};
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};
use dataman_pg::types::TypeRef;
use rusqlite::hooks::Action;

use super::constraint::{first_violation, settle};
use super::define::define;
use super::error::classify;
use super::function::{Bound, Computed, owned};
use super::joined;
use super::session::{Session, lock};
use super::value::{RowWriter, read_parameter};
use crate::driver::sql::instance::{columns_of, instance_of, returned};
use crate::driver::sql::stored::Stored;
use crate::driver::sql::{Dialect, Lowered, lower_with_expressions};

/// What the driver made of a statement.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The shard instance that it is about; none when it reads no collection.
    pub(super) instance: Option<String>,
    /// What it returns.
    pub(super) columns: Option<Vec<ColumnDescription>>,
    /// What it does.
    pub(super) work: Work,
    /// Expressions that its text names by number.
    pub(super) expressions: Arc<HashMap<String, Arc<Computed>>>,
}

/// The kinds of statement.
#[derive(Debug)]
pub(super) enum Work {
    /// A query; `locking` with FOR UPDATE and its like.
    Read {
        /// Its text.
        text: String,
        /// It locks what it reads.
        locking: bool,
    },
    /// INSERT, UPDATE, DELETE.
    Write {
        /// Its text.
        text: String,
        /// PostgreSQL's word for it.
        verb: &'static str,
    },
    /// UPDATE … FROM, DELETE … USING.
    Joined {
        /// The query that picks the records.
        pick: String,
        /// The write of one record.
        write: String,
        /// PostgreSQL's word for it.
        verb: &'static str,
    },
    /// A definition.
    Define,
}

impl Prepared {
    /// Lowers a statement.
    ///
    /// # Errors
    /// `0A000` for what SQLite cannot carry out.
    pub(super) fn new(statement: &NodeStatement) -> Result<Self, NodeError> {
        let query = &statement.query;
        let parameters = statement.params.len();
        let instance = instance_of(query)?;
        let mut expressions = HashMap::new();
        let mut keep = |lowered: Lowered| -> Result<String, NodeError> {
            for (name, expr) in lowered.expressions {
                expressions.insert(name, Arc::new(Computed::new(&expr)?));
            }
            Ok(lowered.text)
        };
        let lower = |query: &NodeQuery| lower_with_expressions(query, Dialect::Sqlite, 0);
        let (columns, work) = match query {
            NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
                let text = keep(lower(query)?)?;
                let columns = columns_of(&select.fields)?;
                (Some(columns), Work::Read { text, locking: select.lock.is_some() })
            }
            NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => (
                returned(&insert.returning)?,
                Work::Write { text: keep(lower(query)?)?, verb: "INSERT" },
            ),
            NodeQuery::Update(update) => {
                let columns = returned(&update.returning)?;
                if update.source.is_empty() {
                    (columns, Work::Write { text: keep(lower(query)?)?, verb: "UPDATE" })
                } else {
                    let joined = joined::update(update, parameters)?;
                    let (pick, write) = (keep(joined.pick)?, keep(joined.write)?);
                    (columns, Work::Joined { pick, write, verb: "UPDATE" })
                }
            }
            NodeQuery::Delete(delete) => {
                let columns = returned(&delete.returning)?;
                if delete.source.is_empty() {
                    (columns, Work::Write { text: keep(lower(query)?)?, verb: "DELETE" })
                } else {
                    let joined = joined::delete(delete, parameters)?;
                    let (pick, write) = (keep(joined.pick)?, keep(joined.write)?);
                    (columns, Work::Joined { pick, write, verb: "DELETE" })
                }
            }
            NodeQuery::Define(_) => (None, Work::Define),
            NodeQuery::Copy(_)
            | NodeQuery::Sql(_)
            | NodeQuery::Get(_)
            | NodeQuery::Set(_)
            | NodeQuery::Inspect(_) => {
                return Err(lower(query)
                    .err()
                    .unwrap_or_else(|| NodeError::unsupported("not a query for SQLite")));
            }
        };
        Ok(Self { instance, columns, work, expressions: Arc::new(expressions) })
    }
}

/// What one execution is given.
pub(super) struct Execution {
    /// The statement.
    pub(super) statement: Arc<NodeStatement>,
    /// What was made of it.
    pub(super) prepared: Arc<Prepared>,
    /// Its parameters.
    pub(super) parameters: Parameters,
    /// The formats of its result.
    pub(super) formats: Vec<Format>,
}

impl Execution {
    /// Runs it; `emit` is given each batch of a read and may wait. Answers the number of records.
    ///
    /// A write's rows come back as a whole, to be given out when its locks are gone: no reader's pace holds the file's one
    /// writer. (SQLite itself keeps them in memory until the write has ended.)
    pub(super) fn run(
        &self,
        session: &mut Session,
        emit: &mut dyn FnMut(Batch) -> Result<(), NodeError>,
    ) -> Result<(u64, Vec<Batch>), NodeError> {
        let mut batches = Vec::new();
        let affected = match &self.prepared.work {
            Work::Read { text, .. } => self.read(session, text, emit)?,
            Work::Write { text, verb } => {
                let affected = self.write(session, text, &mut batches).map_err(|error| {
                    let inserts = *verb == "INSERT";
                    if inserts { first_violation(session, error) } else { error }
                })?;
                settle(session)?;
                affected
            }
            Work::Joined { pick, write, .. } => {
                let affected = self.write_joined(session, pick, write, &mut batches)?;
                settle(session)?;
                affected
            }
            Work::Define => {
                if let NodeQuery::Define(definition) = &self.statement.query {
                    define(session, definition)?;
                }
                0
            }
        };
        Ok((affected, batches))
    }

    fn writer(&self) -> Result<RowWriter, NodeError> {
        let types: Vec<_> =
            self.prepared.columns.iter().flatten().map(|column| column.ty.id).collect();
        RowWriter::new(&types, &self.formats)
    }

    fn read(
        &self,
        session: &mut Session,
        text: &str,
        emit: &mut dyn FnMut(Batch) -> Result<(), NodeError>,
    ) -> Result<u64, NodeError> {
        let parameters = self.bind(session, &self.plain_types())?;
        session.register_aggregates(text)?;
        let mut writer = self.writer()?;
        let (context, catalogue) = (session.context(), session.catalogue());
        let failed = |error| session.failure(error);
        let mut statement = session.connection.prepare_cached(text).map_err(failed)?;
        bind_all(&mut statement, &parameters).map_err(failed)?;
        let mut rows = statement.raw_query();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            count += 1;
            if writer.add(row, &context, &catalogue)?
                && let Some(batch) = writer.take()
            {
                emit(batch)?;
            }
        }
        if let Some(batch) = writer.take() {
            emit(batch)?;
        }
        Ok(count)
    }

    fn write(
        &self,
        session: &mut Session,
        text: &str,
        batches: &mut Vec<Batch>,
    ) -> Result<u64, NodeError> {
        let insert = match &self.statement.query {
            NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => Some(insert),
            _ => None,
        };
        let by_rows = insert.filter(|insert| matches!(insert.records, Records::Parameters));
        let parameters = match by_rows {
            Some(insert) => {
                let types: Vec<TypeRef> = insert.fields.iter().map(|field| field.ty).collect();
                self.bind(session, &types)?
            }
            None => self.bind(session, &self.plain_types())?,
        };
        session.register_aggregates(text)?;
        let updates = insert
            .and_then(|insert: &Insert| insert.conflict.as_ref())
            .is_some_and(|conflict| !conflict.nothing);
        if updates {
            watch_touched(session)?;
        }
        let mut writer = self.writer()?;
        let done = self.step(session, text, &parameters, by_rows, &mut writer, batches);
        if updates {
            session
                .connection
                .update_hook(None::<fn(Action, &str, &str, i64)>)
                .map_err(classify)?;
            let mut state = lock(&session.shared);
            state.touched = None;
            if state.touched_twice && done.is_ok() {
                return Err(second_time());
            }
        }
        let affected = done?;
        batches.extend(writer.take());
        Ok(affected)
    }

    fn step(
        &self,
        session: &Session,
        text: &str,
        parameters: &[Stored],
        by_rows: Option<&Insert>,
        writer: &mut RowWriter,
        batches: &mut Vec<Batch>,
    ) -> Result<u64, NodeError> {
        let (context, catalogue) = (session.context(), session.catalogue());
        let failed = |error| session.failure(error);
        let mut statement = session.connection.prepare_cached(text).map_err(failed)?;
        let width = by_rows.map_or(parameters.len(), |insert| insert.fields.len());
        let mut run = |parameters: &[Stored]| -> Result<u64, NodeError> {
            bind_all(&mut statement, parameters).map_err(failed)?;
            if self.prepared.columns.is_none() {
                let affected = statement.raw_execute().map_err(failed)?;
                return Ok(u64::try_from(affected).unwrap_or(u64::MAX));
            }
            let mut rows = statement.raw_query();
            let mut count = 0;
            while let Some(row) = rows.next().map_err(failed)? {
                count += 1;
                if writer.add(row, &context, &catalogue)? {
                    batches.extend(writer.take());
                }
            }
            Ok(count)
        };
        match by_rows {
            Some(insert) if width > 0 => {
                let mut passed_over = PassedOver::of(insert);
                let mut sum = 0;
                for (place, record) in parameters.chunks(width).enumerate() {
                    let affected = run(record).map_err(|error| of_record(error, place))?;
                    if passed_over.is_own_record(record, affected) {
                        return Err(second_time());
                    }
                    sum += affected;
                }
                Ok(sum)
            }
            _ => run(parameters),
        }
    }

    fn write_joined(
        &self,
        session: &mut Session,
        pick: &str,
        write: &str,
        batches: &mut Vec<Batch>,
    ) -> Result<u64, NodeError> {
        let own = self.bind(session, &self.plain_types())?;
        session.register_aggregates(pick)?;
        session.register_aggregates(write)?;
        let mut writer = self.writer()?;
        let (context, catalogue) = (session.context(), session.catalogue());
        let failed = |error| session.failure(error);
        // All is read before anything is written.
        let mut picked: Vec<(i64, Vec<Stored>)> = Vec::new();
        let mut seen = HashSet::new();
        {
            let mut statement = session.connection.prepare_cached(pick).map_err(failed)?;
            bind_all(&mut statement, &own).map_err(failed)?;
            let width = statement.column_count();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(failed)? {
                let rowid = row.get(0).map_err(failed)?;
                if seen.insert(rowid) {
                    let values = (1..width)
                        .map(|place| row.get_ref(place).and_then(owned))
                        .collect::<Result<_, _>>()
                        .map_err(failed)?;
                    picked.push((rowid, values));
                }
            }
        }
        let mut statement = session.connection.prepare_cached(write).map_err(failed)?;
        let mut affected = 0;
        for (rowid, values) in picked {
            let mut parameters = own.clone();
            parameters.extend(values);
            parameters.push(Stored::Integer(rowid));
            bind_all(&mut statement, &parameters).map_err(failed)?;
            if self.prepared.columns.is_none() {
                let count = statement.raw_execute().map_err(failed)?;
                affected += u64::try_from(count).unwrap_or(u64::MAX);
                continue;
            }
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(failed)? {
                affected += 1;
                if writer.add(row, &context, &catalogue)? {
                    batches.extend(writer.take());
                }
            }
        }
        batches.extend(writer.take());
        Ok(affected)
    }

    fn plain_types(&self) -> Vec<TypeRef> {
        self.statement.params.iter().map(|ty| TypeRef::plain(*ty)).collect()
    }

    /// Reads the parameters; `types` repeat for an insert of several rows.
    fn bind(&self, session: &Session, types: &[TypeRef]) -> Result<Vec<Stored>, NodeError> {
        let (context, catalogue) = (session.context(), session.catalogue());
        let values = &self.parameters.values;
        let fits = if types.is_empty() {
            values.is_empty()
        } else {
            values.len().is_multiple_of(types.len())
        };
        if !fits || (values.len() > types.len() && !self.takes_rows()) {
            return Err(NodeError::statement(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but the statement requires {}",
                    values.len(),
                    types.len()
                ),
            ));
        }
        values
            .iter()
            .enumerate()
            .map(|(place, value)| {
                let format = match self.parameters.formats.as_slice() {
                    [] => Format::Text,
                    [one] => *one,
                    each => each.get(place).copied().unwrap_or_default(),
                };
                let ty = types[place % types.len()];
                read_parameter(value.as_deref(), format, ty, &context, &catalogue).map_err(
                    |error| match self.takes_rows() {
                        true => of_record(error, place / types.len()),
                        false => error,
                    },
                )
            })
            .collect()
    }

    fn takes_rows(&self) -> bool {
        matches!(
            &self.statement.query,
            NodeQuery::Insert(Insert { records: Records::Parameters, .. })
                | NodeQuery::InsertMany(Insert { records: Records::Parameters, .. })
        )
    }
}

/// The failure of one of several records.
fn of_record(mut error: NodeError, place: usize) -> NodeError {
    error.record = u64::try_from(place + 1).ok();
    error
}

/// Notes each record that an upsert inserts or updates, and whether one comes up twice.
fn second_time() -> NodeError {
    NodeError::statement("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .with_hint(
            "Ensure that no rows proposed for insertion within the same command have \
             duplicate constrained values.",
        )
}

/// Finds records that meet one of the same command which `DO UPDATE … WHERE` then passes over: SQLite tells of the rows that it
/// changes, and PostgreSQL fails before it looks at the condition.
struct PassedOver {
    /// The places of the conflict's fields; none where there is no condition.
    places: Option<Vec<usize>>,
    /// The keys of the records that were written.
    written: HashSet<String>,
}

impl PassedOver {
    fn of(insert: &Insert) -> Self {
        let conditional = insert.conflict.as_ref().filter(|conflict| conflict.filter.is_some());
        let place = |name: &String| insert.fields.iter().position(|field| field.name == *name);
        let places = conditional
            .map(|conflict| conflict.fields.iter().map(place).collect::<Option<Vec<usize>>>())
            .and_then(|places| places.filter(|places| !places.is_empty()));
        Self { places, written: HashSet::new() }
    }

    /// Whether a record that affected so many rows met one of the same command.
    fn is_own_record(&mut self, record: &[Stored], affected: u64) -> bool {
        let Some(places) = &self.places else { return false };
        let key: Vec<&Stored> = places.iter().filter_map(|place| record.get(*place)).collect();
        let key = format!("{key:?}");
        if affected == 0 {
            return self.written.contains(&key);
        }
        self.written.insert(key);
        false
    }
}

fn watch_touched(session: &mut Session) -> Result<(), NodeError> {
    lock(&session.shared).touched = Some(HashSet::new());
    let shared = session.shared.clone();
    let hook = move |action: Action, _: &str, _: &str, rowid: i64| {
        let mut state = lock(&shared);
        let Some(touched) = &mut state.touched else {
            return;
        };
        if !touched.insert(rowid) && action == Action::SQLITE_UPDATE {
            state.touched_twice = true;
        }
    };
    session.connection.update_hook(Some(hook)).map_err(classify)
}

fn bind_all(
    statement: &mut rusqlite::Statement<'_>,
    parameters: &[Stored],
) -> rusqlite::Result<()> {
    for (place, value) in parameters.iter().enumerate() {
        // A parameter that the text does not use has no place to be bound to.
        if place < statement.parameter_count() {
            statement.raw_bind_parameter(place + 1, Bound(value))?;
        }
    }
    Ok(())
}
