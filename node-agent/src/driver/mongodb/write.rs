//! INSERT, UPDATE and DELETE: records are read, computed and tested here, and written by their identities.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{Condition, Delete, Insert, OutputField, Records, Update};
use dataman_node_protocol::record::Batch;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use dataman_pg::value::Value;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::adopted;
use super::catalogue::{Catalogue, Collection};
use super::condition::{Scope, is_native_tree};
use super::conflict::PreparedConflict;
use super::constraint::{binary, test};
use super::error::Failure;
use super::lower::bound;
use super::reference::Event;
use super::rows::RowWriter;
use super::statement::{Prepared, Statement, Work};
use super::value::exact;
use crate::driver::sql::default_alias;

/// Documents written by one command at most, and the bytes that it may hold: MongoDB takes 48 MB.
pub(super) const DOCUMENTS_A_COMMAND: usize = 1000;
pub(super) const BYTES_A_COMMAND: usize = 12 << 20;

/// Records changed by one command; each may be 16 MB, and few are.
pub(super) const UPDATES_A_COMMAND: usize = 500;

/// An INSERT made ready.
#[derive(Debug)]
pub(super) struct PreparedInsert {
    /// The collection.
    pub(super) collection: Arc<Collection>,
    /// The places of the fields given.
    pub(super) fields: Vec<usize>,
    source: RecordSource,
    /// ON CONFLICT.
    pub(super) conflict: Option<PreparedConflict>,
    /// RETURNING, over the record.
    pub(super) returning: Vec<Evaluator>,
}

#[derive(Debug)]
enum RecordSource {
    /// Rows × fields.
    Values(Vec<Vec<Evaluator>>),
    /// Tuples of parameters.
    Parameters,
}

/// An UPDATE made ready.
#[derive(Debug)]
pub(super) struct PreparedUpdate {
    /// How its records are found.
    pub(super) search: Search,
    /// The places of the fields that are set, and to what.
    pub(super) set: Vec<(usize, Evaluator)>,
    /// RETURNING, over the record.
    pub(super) returning: Vec<Evaluator>,
}

/// A DELETE made ready.
#[derive(Debug)]
pub(super) struct PreparedDelete {
    search: Search,
    returning: Vec<Evaluator>,
}

/// How the records of a change are found.
#[derive(Debug)]
pub(super) struct Search {
    collection: Arc<Collection>,
    /// What MongoDB looks for.
    conditions: Vec<Expr>,
    /// What must hold besides.
    residual: Vec<Evaluator>,
    /// Of an adopted collection: the places of the fields that the statement reads.
    pub(super) needed: Vec<usize>,
}

/// One record with its document.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The document's identity.
    pub(super) id: Bson,
    /// The document.
    pub(super) document: Document,
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

/// The expressions of a RETURNING.
fn bound_fields(fields: &[OutputField]) -> impl Iterator<Item = &Expr> {
    fields.iter().filter_map(|field| match field {
        OutputField::Bound { expr, .. } => Some(expr),
        OutputField::Named(_) => None,
    })
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
            return Err(NodeError::unsupported("MongoDB inserts no subqueries"));
        }
        let collection = Arc::clone(catalogue.get(&insert.target.collection)?);
        if adopted::of(&collection).is_some() && insert.conflict.is_some() {
            return Err(NodeError::unsupported(
                "ON CONFLICT is not supported for an adopted MongoDB collection",
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
            Records::Query(_) => {
                return Err(NodeError::unsupported("MongoDB inserts no rows of a query"));
            }
        };
        let fields = insert
            .fields
            .iter()
            .map(|field| field_place(&collection, &field.name))
            .collect::<Result<Vec<usize>, _>>()?;
        if adopted::of(&collection).is_some() {
            adopted::write::check_apart(&collection, &fields)?;
        }
        let conflict = match &insert.conflict {
            Some(conflict) => Some(PreparedConflict::new(conflict, &collection, alias, catalogue)?),
            None => None,
        };
        Ok(Self {
            fields,
            source,
            conflict,
            returning: returning(&insert.returning, &collection, alias, catalogue)?,
            collection,
        })
    }

    /// Whether its records are tuples of parameters.
    pub(super) fn takes_tuples(&self) -> bool {
        matches!(self.source, RecordSource::Parameters)
    }

    /// Whether it is one document for MongoDB, which is written whole or not at all without a transaction.
    fn is_one_document(&self, params: usize) -> bool {
        let rows = match &self.source {
            RecordSource::Values(rows) => rows.len(),
            RecordSource::Parameters => params.checked_div(self.fields.len()).unwrap_or(1),
        };
        rows == 1 && self.conflict.is_none() && !has_references(&self.collection)
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
        others: &[&Expr],
        catalogue: &Catalogue,
    ) -> Result<Self, NodeError> {
        let mut conditions = Vec::new();
        match filter.cloned().map(bound).transpose()? {
            Some(Expr::And(parts)) => conditions.extend(parts),
            filter => conditions.extend(filter),
        }
        let is_adopted = adopted::of(collection).is_some();
        let needed = match is_adopted {
            true => {
                adopted::write::needed(collection, conditions.iter().chain(others.iter().copied()))
            }
            false => Vec::new(),
        };
        let (conditions, residual): (Vec<Expr>, Vec<Expr>) =
            conditions.into_iter().partition(|expr| match is_adopted {
                true => adopted::filter::is_native_tree(expr),
                false => is_native_tree(expr),
            });
        let place = placed(collection, alias);
        let compile = |expr: &Expr| catalogue.compile(expr, &place);
        let residual = residual.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { collection: Arc::clone(collection), conditions, residual, needed })
    }
}

impl PreparedUpdate {
    /// The collection.
    pub(super) fn collection(&self) -> &Arc<Collection> {
        &self.search.collection
    }

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
            .collect::<Result<Vec<(usize, Evaluator)>, NodeError>>()?;
        if adopted::of(collection).is_some() {
            let places: Vec<usize> = set.iter().map(|(place, _)| *place).collect();
            adopted::write::check_apart(collection, &places)?;
        }
        let mut others: Vec<&Expr> = update.record_op.iter().map(|(_, value)| value).collect();
        others.extend(bound_fields(&update.returning));
        Ok(Self {
            set,
            search: Search::new(collection, alias, update.filter.as_ref(), &others, catalogue)?,
            returning: returning(&update.returning, collection, alias, catalogue)?,
        })
    }
}

impl PreparedDelete {
    pub(super) fn new(delete: &Delete, catalogue: &Arc<Catalogue>) -> Result<Self, NodeError> {
        refuse_sources(&delete.source, &delete.subqueries)?;
        let collection = catalogue.get(&delete.target.collection)?;
        let alias = default_alias(&delete.alias);
        let others: Vec<&Expr> = bound_fields(&delete.returning).collect();
        Ok(Self {
            search: Search::new(collection, alias, delete.filter.as_ref(), &others, catalogue)?,
            returning: returning(&delete.returning, collection, alias, catalogue)?,
        })
    }
}

fn refuse_sources<S, Q>(sources: &[S], subqueries: &[Q]) -> Result<(), NodeError> {
    if sources.is_empty() && subqueries.is_empty() {
        return Ok(());
    }
    Err(NodeError::unsupported("MongoDB changes records by their own fields only"))
}

impl Prepared {
    /// Whether the statement writes one document and no more.
    pub(super) fn is_one_command(&self, params: &[Value]) -> bool {
        match &self.work {
            Work::Insert(insert) => insert.is_one_document(params.len()),
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
            Work::Read(_) | Work::Define => 0,
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
        if adopted::of(collection).is_some() {
            return self.insert_adopted(insert, &records, answer).await;
        }
        let by_tuples = insert.takes_tuples();
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
        }
    }

    /// Inserts records that have passed their tests; answers their identities. A failure comes with its record's place.
    pub(super) async fn insert_records(
        &mut self,
        collection: &Collection,
        records: &[Vec<Value>],
    ) -> Result<Vec<Bson>, (NodeError, usize)> {
        if self.undo.is_some() {
            // What an index refuses ends the transaction, and with it what there is to go back to.
            let found = self.find_duplicate(collection, records, None).await;
            if let Some((place, error)) = found.map_err(|error| (error, 0))? {
                return Err((error, place));
            }
        }
        let database = collection.database();
        let name = &collection.layout.collection;
        let mut ids = Vec::with_capacity(records.len());
        let mut done = 0;
        while done < records.len() {
            let mut documents = Vec::new();
            let mut bytes = 0;
            for (place, record) in records[done..].iter().enumerate().take(DOCUMENTS_A_COMMAND) {
                let mut document = doc! { "_id": ObjectId::new() };
                let forms = self.forms(collection, record);
                document.extend(forms.map_err(|error| (error, done + place))?);
                bytes += super::statement::size(&document);
                if bytes > BYTES_A_COMMAND && !documents.is_empty() {
                    break;
                }
                ids.extend(document.get("_id").cloned());
                documents.push(document);
            }
            let count = documents.len();
            if let Some(undo) = &mut self.undo {
                for id in &ids[done..] {
                    undo.note(&database, name, id.clone(), None).map_err(|error| (error, done))?;
                }
            }
            let command = doc! { "insert": name, "documents": documents, "ordered": true };
            self.write(&database, command).await.map_err(|failure| match failure {
                Failure::Other(error) => (error, done),
                Failure::Duplicate(duplicate) => {
                    let place = (done + duplicate.place).min(records.len() - 1);
                    (self.violation(collection, &records[place], &duplicate.index), place)
                }
            })?;
            done += count;
        }
        Ok(ids)
    }

    /// What a record's document holds, but for its identity.
    pub(super) fn forms(
        &self,
        collection: &Collection,
        record: &[Value],
    ) -> Result<Document, NodeError> {
        let mut document = Document::new();
        for (place, value) in collection.layout.fields.iter().zip(record) {
            if let Some(bson) = exact(value, place.form)? {
                document.insert(&place.path, bson);
            }
        }
        for unique in &collection.uniques {
            if let Some(name) = &unique.digest
                && let Some(digest) = unique.digest(record, &self.context)?
            {
                document.insert(name, binary(digest));
            }
        }
        Ok(document)
    }

    async fn update(
        &mut self,
        update: &PreparedUpdate,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = &update.search.collection;
        if adopted::of(collection).is_some() {
            return self.update_adopted(update, answer).await;
        }
        let found = self.find_all(&update.search).await?;
        let mut events = Vec::new();
        let mut pending = Vec::new();
        let mut bytes = 0;
        for old in &found {
            let made = async {
                let mut new = old.values.clone();
                for (place, value) in &update.set {
                    new[*place] = value.eval(&old.values, &self.params, &self.context)?;
                }
                let write = self.changed(collection, old, &new).await?;
                Ok((write, new))
            };
            let (write, new) = match made.await {
                Ok(made) => made,
                Err(error) => {
                    // One of those before it may fail first.
                    self.put(collection, pending, &mut events, update, answer).await?;
                    return Err(error);
                }
            };
            bytes += super::statement::size(&write);
            pending.push((old, write, new));
            // For a savepoint keys are looked for, and those before have to be there.
            let is_enough = pending.len() >= UPDATES_A_COMMAND || bytes > BYTES_A_COMMAND;
            if is_enough || self.undo.is_some() {
                bytes = 0;
                let pending = std::mem::take(&mut pending);
                self.put(collection, pending, &mut events, update, answer).await?;
            }
        }
        self.put(collection, pending, &mut events, update, answer).await?;
        self.settle(events).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    async fn delete(
        &mut self,
        delete: &PreparedDelete,
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let found = self.find_all(&delete.search).await?;
        let mut events = Vec::new();
        self.remove(&delete.search.collection, &found, &mut events).await?;
        for record in &found {
            self.answer(&record.values, &delete.returning, answer)?;
        }
        self.settle(events).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    /// Finds the records of a change.
    pub(super) async fn find_all(&mut self, search: &Search) -> Result<Vec<Record>, NodeError> {
        let catalogue = Arc::clone(&self.catalogue);
        let scope = Scope {
            collection: Some(&search.collection),
            catalogue: Some(&catalogue),
            params: &self.params,
            known: &[],
        };
        let filter = scope.filter(&Expr::And(search.conditions.clone()), true)?;
        let mut found = match adopted::of(&search.collection) {
            None => self.find_by(&search.collection, filter).await?,
            Some(own) => {
                let collection = &*search.collection;
                let documents = self.find(collection, filter).await?;
                let records = documents.into_iter().map(|document| {
                    let values =
                        adopted::write::record(collection, own, &search.needed, &document)?;
                    let id = document.get("_id").cloned().unwrap_or(Bson::Null);
                    Ok(Record { id, document, values })
                });
                records.collect::<Result<_, NodeError>>()?
            }
        };
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
        Ok(found)
    }

    /// Reads the records that match.
    pub(super) async fn find_by(
        &mut self,
        collection: &Collection,
        filter: Document,
    ) -> Result<Vec<Record>, NodeError> {
        let documents = self.find(collection, filter).await?;
        documents
            .into_iter()
            .map(|document| {
                let values = collection.record(&document, &self.catalogue)?;
                let id = document.get("_id").cloned().unwrap_or(Bson::Null);
                Ok(Record { id, document, values })
            })
            .collect()
    }

    /// Writes a changed record, and notes what refers to it or is referred to by it.
    pub(super) async fn change(
        &mut self,
        collection: &Arc<Collection>,
        old: &Record,
        new: &[Value],
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let write = self.changed(collection, old, new).await?;
        let name = &collection.layout.collection;
        let command = doc! { "update": name, "updates": [write] };
        self.write(&collection.database(), command).await.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Duplicate(duplicate) => self.violation(collection, new, &duplicate.index),
        })?;
        self.note_change(collection, &old.values, new, events);
        Ok(())
    }

    /// The update that writes a changed record.
    async fn changed(
        &mut self,
        collection: &Arc<Collection>,
        old: &Record,
        new: &[Value],
    ) -> Result<Document, NodeError> {
        test(collection, new, &self.context)?;
        let before = self.forms(collection, &old.values)?;
        let after = self.forms(collection, new)?;
        let mut set = Document::new();
        let mut unset = Document::new();
        for (name, value) in &after {
            if before.get(name) != Some(value) {
                set.insert(name, value.clone());
            }
        }
        for (name, _) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            unset.insert(name, "");
        }
        if set.is_empty() && unset.is_empty() {
            // A record that stays as it is is written all the same, as PostgreSQL does: whoever else changes it conflicts.
            set.insert(super::layout::LOCK, ObjectId::new());
        }
        let mut update = Document::new();
        if !set.is_empty() {
            update.insert("$set", set);
        }
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        if let Some(undo) = &mut self.undo {
            let name = &collection.layout.collection;
            undo.note(&collection.database(), name, old.id.clone(), Some(old.document.clone()))?;
            // What an index refuses ends the transaction, and with it what there is to go back to.
            let records = [new.to_vec()];
            let found = self.find_duplicate(collection, &records, Some(&old.id)).await?;
            if let Some((_, error)) = found {
                return Err(error);
            }
        }
        Ok(doc! { "q": { "_id": old.id.clone() }, "u": update })
    }

    /// Writes changed records in one go, and answers them.
    async fn put(
        &mut self,
        collection: &Arc<Collection>,
        pending: Vec<(&Record, Document, Vec<Value>)>,
        events: &mut Vec<Event>,
        update: &PreparedUpdate,
        answer: &mut Answer<'_>,
    ) -> Result<(), NodeError> {
        if pending.is_empty() {
            return Ok(());
        }
        let writes: Vec<Document> = pending.iter().map(|(_, write, _)| write.clone()).collect();
        let name = &collection.layout.collection;
        let command = doc! { "update": name, "updates": writes, "ordered": true };
        self.write(&collection.database(), command).await.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Duplicate(duplicate) => {
                let place = duplicate.place.min(pending.len() - 1);
                self.violation(collection, &pending[place].2, &duplicate.index)
            }
        })?;
        for (old, _, new) in &pending {
            self.note_change(collection, &old.values, new, events);
            self.answer(new, &update.returning, answer)?;
        }
        Ok(())
    }

    /// Removes records, and notes what referred to them.
    pub(super) async fn remove(
        &mut self,
        collection: &Arc<Collection>,
        records: &[Record],
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let (database, name) = (collection.database(), &collection.layout.collection);
        for chunk in records.chunks(DOCUMENTS_A_COMMAND) {
            if let Some(undo) = &mut self.undo {
                for record in chunk {
                    let before = Some(record.document.clone());
                    undo.note(&database, name, record.id.clone(), before)?;
                }
            }
            let ids: Vec<Bson> = chunk.iter().map(|record| record.id.clone()).collect();
            let filter = doc! { "_id": { "$in": ids } };
            let command = doc! { "delete": name, "deletes": [{ "q": filter, "limit": 0 }] };
            self.write(&database, command).await.map_err(|failure| match failure {
                Failure::Other(error) => error,
                Failure::Duplicate(_) => super::error::serialization(),
            })?;
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
        if answer.writer.add(row.iter(), &self.context)? {
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
