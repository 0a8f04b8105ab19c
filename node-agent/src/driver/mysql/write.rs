//! INSERT, UPDATE and DELETE: records are read and locked, computed and tested here, and written by their numbers.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{Condition, Delete, Insert, OutputField, Records, Update};
use dataman_node_protocol::record::Batch;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;

use super::RECORDS_BYTES_MAX;
use super::adopted;
use super::catalogue::{Catalogue, Collection};
use super::conflict::PreparedConflict;
use super::constraint::test;
use super::error::is_duplicate;
use super::layout::{Form, ROW, quoted};
use super::lower::{self, Lowered, Output, Part, Rendered};
use super::reference::Event;
use super::rows::{Cell, RowWriter};
use super::statement::{Prepared, Statement, Work};
use super::value::{exact, key, load};
use crate::driver::sql::default_alias;

/// Records written by one text: few lengths, so that few texts are prepared.
pub(super) const CHUNKS: [usize; 3] = [256, 32, 1];

/// Bytes of the values of one text, but for a single record's: a server may take no more than `max_allowed_packet` at once.
const CHUNK_BYTES: usize = 512 << 10;

/// Parameters that one text takes.
pub(super) const PARAMETERS_MAX: usize = 65_535;

/// How often an insert is tried again that an index refused for a record that was gone when it was looked for.
const TRIES: usize = 5;

/// An INSERT made ready.
#[derive(Debug)]
pub(super) struct PreparedInsert {
    /// The collection.
    pub(super) collection: Arc<Collection>,
    /// The places of the fields given.
    pub(super) fields: Vec<usize>,
    /// The types of the fields given.
    types: Vec<TypeId>,
    source: RecordSource,
    /// ON CONFLICT.
    pub(super) conflict: Option<PreparedConflict>,
    pub(super) returning: Vec<Evaluator>,
}

#[derive(Debug)]
enum RecordSource {
    /// Rows × fields.
    Values(Vec<Vec<Evaluator>>),
    /// Tuples of parameters.
    Parameters,
    /// A query on the same shard.
    Query(Box<Lowered>),
}

/// An UPDATE made ready.
#[derive(Debug)]
pub(super) struct PreparedUpdate {
    search: Search,
    set: Vec<(usize, Evaluator)>,
    returning: Vec<Evaluator>,
}

/// A DELETE made ready.
#[derive(Debug)]
pub(super) struct PreparedDelete {
    search: Search,
    returning: Vec<Evaluator>,
}

/// How the records of a change are found.
#[derive(Debug)]
struct Search {
    collection: Arc<Collection>,
    /// The query that finds and locks them.
    parts: Vec<Part>,
    /// What must hold besides.
    residual: Vec<Evaluator>,
}

/// One record with its number.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Its number in the table.
    pub(super) row: u64,
    /// The values of its fields.
    pub(super) values: Vec<Value>,
}

/// The place of a collection's field.
pub(super) fn placed<'c>(
    collection: &'c Collection,
    alias: &'c str,
) -> impl Fn(&Field) -> Option<usize> + 'c {
    move |field| if field.source == alias { collection.place(&field.name) } else { None }
}

fn returning(
    fields: &[OutputField],
    collection: &Collection,
    alias: &str,
    catalogue: &Catalogue,
) -> Result<Vec<Evaluator>, NodeError> {
    let place = placed(collection, alias);
    let compile = |field: &OutputField| match field {
        OutputField::Bound { expr, .. } => catalogue.compile(expr, &place),
        OutputField::Named(_) => {
            Err(NodeError::unsupported("a short-form query has to be bound first"))
        }
    };
    fields.iter().map(compile).collect()
}

fn field_place(collection: &Collection, name: &str) -> Result<usize, NodeError> {
    collection.place(name).ok_or_else(|| {
        let label = &collection.shape.label;
        NodeError::statement(
            "42703",
            format!("column \"{name}\" of relation \"{label}\" does not exist"),
        )
    })
}

impl PreparedInsert {
    pub(super) fn new(insert: &Insert, catalogue: &Arc<Catalogue>) -> Result<Self, NodeError> {
        if !insert.subqueries.is_empty() {
            return Err(NodeError::unsupported("MySQL inserts no subqueries"));
        }
        let collection = Arc::clone(catalogue.get(&insert.target.collection)?);
        if adopted::of(&collection).is_some() && insert.conflict.is_some() {
            return Err(NodeError::unsupported(
                "ON CONFLICT is not supported for an adopted MySQL table",
            ));
        }
        let alias = default_alias(&insert.alias);
        let source = match &insert.records {
            Records::Values(rows) => RecordSource::Values(
                rows.iter()
                    .map(|row| {
                        row.iter().map(|value| catalogue.compile(value, &|_| None)).collect()
                    })
                    .collect::<Result<_, _>>()?,
            ),
            Records::Parameters => RecordSource::Parameters,
            Records::Query(query) => {
                RecordSource::Query(Box::new(lower::select(query, catalogue)?))
            }
        };
        let fields = insert
            .fields
            .iter()
            .map(|field| field_place(&collection, &field.name))
            .collect::<Result<_, _>>()?;
        let conflict = match &insert.conflict {
            Some(conflict) => Some(PreparedConflict::new(conflict, &collection, alias, catalogue)?),
            None => None,
        };
        Ok(Self {
            fields,
            types: insert.fields.iter().map(|field| field.ty.id).collect(),
            source,
            conflict,
            returning: returning(&insert.returning, &collection, alias, catalogue)?,
            collection,
        })
    }

    /// Whether it is one text for MySQL, which happens whole or not at all without a transaction.
    fn is_one_text(&self, statement: &Statement<'_>) -> bool {
        let rows = match &self.source {
            RecordSource::Values(rows) => rows.len(),
            RecordSource::Parameters => {
                statement.params.len().checked_div(self.fields.len()).unwrap_or(1)
            }
            RecordSource::Query(_) => return false,
        };
        let reads_back = adopted::of(&self.collection).is_some() && !self.returning.is_empty();
        rows == 1 && self.conflict.is_none() && !has_references(&self.collection) && !reads_back
    }
}

/// Whether a new record has something to refer to.
fn has_references(collection: &Collection) -> bool {
    use dataman_node_protocol::definition::ConstraintKind;
    let mut constraints = collection.shape.constraints.iter();
    constraints.any(|found| matches!(found.kind, ConstraintKind::ForeignKey { .. }))
}

impl Search {
    fn new(
        collection: &Arc<Collection>,
        alias: &str,
        filter: Option<&Condition>,
        catalogue: &Catalogue,
    ) -> Result<Self, NodeError> {
        let filter = filter.cloned().map(lower::bound).transpose()?;
        let (parts, residual) = lower::search(collection, alias, filter.as_ref(), catalogue)?;
        let place = placed(collection, alias);
        let compile = |expr: &Expr| catalogue.compile(expr, &place);
        let residual = residual.into_iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { collection: Arc::clone(collection), parts, residual })
    }
}

impl PreparedUpdate {
    pub(super) fn new(update: &Update, catalogue: &Arc<Catalogue>) -> Result<Self, NodeError> {
        if !update.record.is_empty() {
            return Err(NodeError::unsupported("a short-form update has to be bound first"));
        }
        refuse_sources(&update.source, &update.subqueries)?;
        let collection = catalogue.get(&update.target.collection)?;
        let alias = default_alias(&update.alias);
        let place = placed(collection, alias);
        let set = update
            .record_op
            .iter()
            .map(|(field, value)| {
                Ok((field_place(collection, field)?, catalogue.compile(value, &place)?))
            })
            .collect::<Result<_, NodeError>>()?;
        Ok(Self {
            set,
            search: Search::new(collection, alias, update.filter.as_ref(), catalogue)?,
            returning: returning(&update.returning, collection, alias, catalogue)?,
        })
    }
}

impl PreparedDelete {
    pub(super) fn new(delete: &Delete, catalogue: &Arc<Catalogue>) -> Result<Self, NodeError> {
        refuse_sources(&delete.source, &delete.subqueries)?;
        let collection = catalogue.get(&delete.target.collection)?;
        let alias = default_alias(&delete.alias);
        Ok(Self {
            search: Search::new(collection, alias, delete.filter.as_ref(), catalogue)?,
            returning: returning(&delete.returning, collection, alias, catalogue)?,
        })
    }
}

fn refuse_sources<S, Q>(sources: &[S], subqueries: &[Q]) -> Result<(), NodeError> {
    if sources.is_empty() && subqueries.is_empty() {
        return Ok(());
    }
    Err(NodeError::unsupported("MySQL changes records by their own fields only"))
}

impl Prepared {
    /// Whether the statement is one text for MySQL.
    pub(super) fn is_one_text(&self, statement: &Statement<'_>) -> bool {
        match &self.work {
            Work::Insert(insert) => insert.is_one_text(statement),
            _ => false,
        }
    }

    /// Carries out a write; its rows come as a whole. Answers the number of records.
    ///
    /// # Errors
    /// PostgreSQL's; what was written before must be undone by the caller.
    pub(super) async fn write(
        &self,
        statement: &mut Statement<'_>,
        batches: &mut Vec<Batch>,
    ) -> Result<u64, NodeError> {
        let types: Vec<_> = self.columns.iter().flatten().map(|column| column.ty.id).collect();
        let mut answer = Answer { writer: RowWriter::new(&types, statement.formats)?, batches };
        let affected = match &self.work {
            Work::Insert(insert) => statement.insert(insert, &mut answer).await?,
            Work::Update(update) => statement.update(update, &mut answer).await?,
            Work::Delete(delete) => statement.delete(delete, &mut answer).await?,
            Work::Read(_) | Work::LockNumbers(_) | Work::Define => 0,
        };
        answer.batches.extend(answer.writer.take());
        Ok(affected)
    }
}

/// The rows that a write returns.
pub(super) struct Answer<'a> {
    writer: RowWriter,
    batches: &'a mut Vec<Batch>,
}

impl Statement<'_> {
    async fn insert(
        &mut self,
        insert: &PreparedInsert,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = &insert.collection;
        let records = self.new_records(insert).await?;
        let by_tuples = matches!(insert.source, RecordSource::Parameters);
        if adopted::of(collection).is_some() {
            return self.insert_adopted(insert, &records, answer).await;
        }
        let of_record = |mut error: NodeError, place: usize| {
            if by_tuples {
                error.record = u64::try_from(place + 1).ok();
            }
            error
        };
        if let Some(conflict) = &insert.conflict {
            return self.insert_or_resolve(collection, conflict, records, insert, answer).await;
        }
        // What fails a test fails after the records before it have gone in: one of them may fail first.
        let mut tested = records.len();
        let mut failure = None;
        for (place, record) in records.iter().enumerate() {
            if let Err(error) = test(collection, record, &self.context) {
                tested = place;
                failure = Some(of_record(error, place));
                break;
            }
        }
        self.insert_records(collection, &records[..tested])
            .await
            .map_err(|(error, place)| of_record(error, place))?;
        if let Some(error) = failure {
            return Err(error);
        }
        self.refer_all(collection, &records).await?;
        for record in &records {
            self.answer(record, &insert.returning, answer)?;
        }
        Ok(u64::try_from(records.len()).unwrap_or(u64::MAX))
    }

    /// The records to insert, every field of the collection in its place.
    async fn new_records(&mut self, insert: &PreparedInsert) -> Result<Vec<Vec<Value>>, NodeError> {
        let width = insert.collection.shape.fields.len();
        let whole = |given: Vec<Value>| {
            let mut record = vec![Value::Null; width];
            for (place, value) in insert.fields.iter().zip(given) {
                record[*place] = value;
            }
            record
        };
        match &insert.source {
            RecordSource::Values(rows) => rows
                .iter()
                .map(|row| {
                    let values =
                        row.iter().map(|value| Ok(value.eval(&[], &self.params, &self.context)?));
                    values.collect::<Result<_, NodeError>>().map(whole)
                })
                .collect(),
            RecordSource::Parameters if insert.fields.is_empty() => Ok(vec![whole(Vec::new())]),
            RecordSource::Parameters => {
                let tuples = self.params.chunks(insert.fields.len());
                Ok(tuples.map(|tuple| whole(tuple.to_vec())).collect())
            }
            RecordSource::Query(lowered) => {
                let Rendered { text, values, mut skipped } =
                    lower::render(&lowered.parts, &self.params)?;
                let (catalogue, context) = (Arc::clone(&self.catalogue), Arc::clone(&self.context));
                let params = self.params.clone();
                let mut records = Vec::new();
                let mut held = 0;
                self.rows(&text, values, |row| {
                    if skipped > 0 {
                        skipped -= 1;
                        return Ok(());
                    }
                    account(&row, &mut held)?;
                    let (guards, columns) = row.split_at(lowered.guards);
                    lower::check_sorted(guards)?;
                    let input = columns
                        .iter()
                        .zip(&lowered.types)
                        .map(|(raw, ty)| load(raw, *ty, &*catalogue))
                        .collect::<Result<Vec<_>, _>>()?;
                    let mut given = Vec::new();
                    for (output, ty) in lowered.outputs.iter().zip(&insert.types) {
                        given.push(match output {
                            Output::Column(place) => load(&columns[*place], *ty, &*catalogue)?,
                            Output::Computed(evaluator) => {
                                evaluator.eval(&input, &params, &context)?
                            }
                        });
                    }
                    records.push(whole(given));
                    Ok(())
                })
                .await?;
                Ok(records)
            }
        }
    }

    /// Inserts records that have passed their tests; a failure comes with its record's place.
    pub(super) async fn insert_records(
        &mut self,
        collection: &Collection,
        records: &[Vec<Value>],
    ) -> Result<(), (NodeError, usize)> {
        let names = columns_written(collection);
        let mut done = 0;
        while done < records.len() {
            let left = &records[done..];
            let fits = |size: &&usize| {
                **size <= left.len()
                    && **size * names.len() <= PARAMETERS_MAX
                    && (**size == 1 || bytes_of(&left[..**size]) <= CHUNK_BYTES)
            };
            let size = CHUNKS.iter().find(fits).copied().unwrap_or(1);
            let chunk = &left[..size];
            let row = vec!["?"; names.len()].join(", ");
            let text = format!(
                "INSERT INTO {} ({}) VALUES {}",
                collection.table(),
                names.join(", "),
                vec![format!("({row})"); size].join(", ")
            );
            let mut tries = 0;
            loop {
                let mut values = Vec::with_capacity(names.len() * size);
                for (place, record) in chunk.iter().enumerate() {
                    values.extend(
                        self.forms(collection, record).map_err(|error| (error, done + place))?,
                    );
                }
                let Err(error) = self.run(&text, values).await else { break };
                if !is_duplicate(&error) {
                    return Err((error, done));
                }
                let found = self.find_duplicate(collection, chunk, None).await;
                match found.map_err(|error| (error, done))? {
                    Some((place, error)) => return Err((error, done + place)),
                    None if tries < TRIES => tries += 1,
                    None => return Err((error, done)),
                }
            }
            done += size;
        }
        Ok(())
    }

    /// A record's forms in the order of [`columns_written`].
    pub(super) fn forms(
        &self,
        collection: &Collection,
        record: &[Value],
    ) -> Result<Vec<Raw>, NodeError> {
        let mut forms = Vec::new();
        for (column, value) in collection.layout.columns.iter().zip(record) {
            forms.push(exact(value)?);
            if column.form == Form::Keyed {
                forms.push(key(value));
            }
        }
        for unique in collection.uniques.iter().filter(|unique| unique.digest.is_some()) {
            forms.push(Raw::from(unique.digest(record, &self.context)?));
        }
        Ok(forms)
    }

    async fn update(
        &mut self,
        update: &PreparedUpdate,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = &update.search.collection;
        let found = self.find(&update.search).await?;
        let mut events = Vec::new();
        for old in &found {
            let mut new = old.clone();
            for (place, value) in &update.set {
                new.values[*place] = value.eval(&old.values, &self.params, &self.context)?;
            }
            self.change(collection, old, &new, &mut events).await?;
            if adopted::of(collection).is_some() && !update.returning.is_empty() {
                new = self.read_adopted(collection, &new.values).await?.unwrap_or(new);
            }
            self.answer(&new.values, &update.returning, answer)?;
        }
        self.settle(events).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    async fn delete(
        &mut self,
        delete: &PreparedDelete,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let found = self.find(&delete.search).await?;
        let mut events = Vec::new();
        self.remove(&delete.search.collection, &found, &mut events).await?;
        for record in &found {
            self.answer(&record.values, &delete.returning, answer)?;
        }
        self.settle(events).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    /// Finds and locks the records of a change.
    async fn find(&mut self, search: &Search) -> Result<Vec<Record>, NodeError> {
        let Rendered { text, values, .. } = lower::render(&search.parts, &self.params)?;
        let mut found = self.find_by(&search.collection, &text, values).await?;
        if !search.residual.is_empty() {
            let mut kept = Vec::new();
            for record in found {
                let mut holds = true;
                for condition in &search.residual {
                    holds =
                        holds && condition.holds(&record.values, &self.params, &self.context)?;
                }
                if holds {
                    kept.push(record);
                }
            }
            found = kept;
        }
        // As PostgreSQL's, a scan meets records in the order of their making.
        found.sort_by_key(|record| record.row);
        Ok(found)
    }

    /// Reads records by a text that gives the number and all fields.
    pub(super) async fn find_by(
        &mut self,
        collection: &Collection,
        text: &str,
        values: Vec<Raw>,
    ) -> Result<Vec<Record>, NodeError> {
        let catalogue = Arc::clone(&self.catalogue);
        let mut found = Vec::new();
        let mut held = 0;
        self.rows(text, values, |row| {
            account(&row, &mut held)?;
            let mut columns = row.iter();
            let row = match columns.next() {
                Some(Raw::Int(row)) => u64::try_from(*row).unwrap_or_default(),
                Some(Raw::UInt(row)) => *row,
                _ => 0,
            };
            let values = columns
                .zip(&collection.shape.fields)
                .map(|(raw, field)| load(raw, field.ty.id, &*catalogue))
                .collect::<Result<_, _>>()?;
            found.push(Record { row, values });
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Writes a changed record, and notes what refers to it or is referred to by it.
    pub(super) async fn change(
        &mut self,
        collection: &Arc<Collection>,
        old: &Record,
        new: &Record,
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        test(collection, &new.values, &self.context)?;
        if adopted::of(collection).is_some() {
            return self.change_adopted(collection, old, new).await;
        }
        let names = columns_written(collection);
        let before = self.forms(collection, &old.values)?;
        let after = self.forms(collection, &new.values)?;
        let mut assignments = Vec::new();
        let mut values = Vec::new();
        for ((name, before), after) in names.iter().zip(before).zip(after) {
            if before != after {
                assignments.push(format!("{name} = ?"));
                values.push(after);
            }
        }
        // A record that stays as it is is locked, and that is all that others can tell.
        if assignments.is_empty() {
            return Ok(());
        }
        values.push(Raw::UInt(new.row));
        let text =
            format!("UPDATE {} SET {} WHERE {ROW} = ?", collection.table(), assignments.join(", "));
        let mut tries = 0;
        while let Err(error) = self.run(&text, values.clone()).await {
            if !is_duplicate(&error) {
                return Err(error);
            }
            let records = std::slice::from_ref(&new.values);
            match self.find_duplicate(collection, records, Some(new.row)).await? {
                Some((_, error)) => return Err(error),
                None if tries < TRIES => tries += 1,
                None => return Err(error),
            }
        }
        self.note_change(collection, &old.values, &new.values, events);
        Ok(())
    }

    /// Removes records, and notes what referred to them.
    pub(super) async fn remove(
        &mut self,
        collection: &Arc<Collection>,
        records: &[Record],
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        if adopted::of(collection).is_some() {
            return self.remove_adopted(collection, records).await;
        }
        let mut rest = records;
        while !rest.is_empty() {
            let size = CHUNKS.iter().find(|size| **size <= rest.len()).copied().unwrap_or(1);
            let (chunk, tail) = rest.split_at(size);
            let text = format!(
                "DELETE FROM {} WHERE {ROW} IN ({})",
                collection.table(),
                vec!["?"; size].join(", ")
            );
            self.run(&text, chunk.iter().map(|record| Raw::UInt(record.row)).collect()).await?;
            rest = tail;
        }
        for record in records {
            self.note_removal(collection, &record.values, events);
        }
        Ok(())
    }

    /// Adds a row to the answer.
    pub(super) fn answer(
        &self,
        record: &[Value],
        returning: &[Evaluator],
        answer: &mut Answer<'_>,
    ) -> Result<(), NodeError> {
        if returning.is_empty() {
            return Ok(());
        }
        let row = returning
            .iter()
            .map(|field| Ok(field.eval(record, &self.params, &self.context)?))
            .collect::<Result<Vec<_>, NodeError>>()?;
        let cells = row.iter().map(Cell::Value);
        if answer.writer.add(cells, &self.context, &*self.catalogue)? {
            answer.batches.extend(answer.writer.take());
        }
        Ok(())
    }

    /// The answer of an insert's record.
    pub(super) fn answer_insert(
        &self,
        record: &[Value],
        insert: &PreparedInsert,
        answer: &mut Answer<'_>,
    ) -> Result<(), NodeError> {
        self.answer(record, &insert.returning, answer)
    }
}

/// About how many bytes the values of records take.
fn bytes_of(records: &[Vec<Value>]) -> usize {
    let of_value = |value: &Value| match value {
        Value::Text(text) | Value::Bpchar(text) | Value::Json(text) => text.len(),
        Value::Bytea(bytes) => bytes.len(),
        Value::Jsonb(_) | Value::Array(_) | Value::Numeric(_) => match exact(value) {
            // The bytes that compare lie beside it.
            Ok(Raw::Bytes(bytes)) => 2 * bytes.len(),
            _ => 0,
        },
        _ => 16,
    };
    records.iter().flatten().map(of_value).sum()
}

/// Counts the bytes that a change holds.
fn account(row: &[Raw], held: &mut usize) -> Result<(), NodeError> {
    for raw in row {
        *held += match raw {
            Raw::Bytes(bytes) => bytes.len() + 48,
            _ => 24,
        };
    }
    if *held > RECORDS_BYTES_MAX {
        return Err(NodeError::statement("53200", "a change of too many records for MySQL")
            .with_detail(format!(
                "At most {RECORDS_BYTES_MAX} bytes of records are changed at once."
            ))
            .with_hint("Change them in parts."));
    }
    Ok(())
}

/// The columns of a whole record: each field's, then the digests.
pub(super) fn columns_written(collection: &Collection) -> Vec<String> {
    let fields = collection.layout.columns.iter().flat_map(|column| column.names());
    let digests = collection.uniques.iter().filter_map(|unique| unique.digest.clone());
    fields.chain(digests).map(|name| quoted(&name)).collect()
}
