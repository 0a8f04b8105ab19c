//! One statement: what was made of it, and what its parts share while it runs.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{ColumnDescription, Format};
use dataman_pg::Context;
use dataman_pg::value::Value;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{ClientSession, SessionCursor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::adopted;
use super::catalogue::{Catalogue, Collection};
use super::connect::Server;
use super::connection::Undo;
use super::error::{Failure, classify, failure, told};
use super::lower::Lowered;
use super::write::{PreparedDelete, PreparedInsert, PreparedUpdate};
use super::{DOCUMENTS_A_BATCH, RECORDS_BYTES_MAX};
use crate::driver::sql::instance::{columns_of, returned};

/// What the driver made of a statement over a catalogue.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What it returns.
    pub(super) columns: Option<Vec<ColumnDescription>>,
    /// What it does.
    pub(super) work: Work,
}

/// The kinds of statement.
#[derive(Debug)]
pub(super) enum Work {
    /// A query.
    Read(Box<Lowered>),
    /// INSERT.
    Insert(Box<PreparedInsert>),
    /// UPDATE.
    Update(Box<PreparedUpdate>),
    /// DELETE.
    Delete(Box<PreparedDelete>),
    /// A definition.
    Define,
}

impl Prepared {
    /// Makes a statement ready.
    ///
    /// # Errors
    /// `0A000` for what MongoDB cannot carry out; `42P01` for a collection that is not there.
    pub(super) fn new(
        statement: &NodeStatement,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Self, NodeError> {
        let (columns, work) = match &statement.query {
            NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
                let lowered = Lowered::new(select, catalogue)?;
                (Some(columns_of(&select.fields)?), Work::Read(Box::new(lowered)))
            }
            NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
                let work = Box::new(PreparedInsert::new(insert, catalogue)?);
                (returned(&insert.returning)?, Work::Insert(work))
            }
            NodeQuery::Update(update) => {
                let work = Box::new(PreparedUpdate::new(update, catalogue)?);
                (returned(&update.returning)?, Work::Update(work))
            }
            NodeQuery::Delete(delete) => {
                let work = Box::new(PreparedDelete::new(delete, catalogue)?);
                (returned(&delete.returning)?, Work::Delete(work))
            }
            NodeQuery::Define(_) => (None, Work::Define),
            NodeQuery::Inspect(_) => {
                return Err(NodeError::unsupported("an inspection is not prepared"));
            }
            NodeQuery::Copy(_) => {
                return Err(NodeError::unsupported("this datasource does not take COPY data"));
            }
            NodeQuery::Sql(_) => {
                return Err(NodeError::unsupported("this datasource does not take SQL text"));
            }
            NodeQuery::Get(_) | NodeQuery::Set(_) => {
                return Err(NodeError::unsupported("a short-form query has to be bound first"));
            }
        };
        Ok(Self { columns, work })
    }
}

/// A statement on its way.
pub(super) struct Statement<'a> {
    /// The server.
    pub(super) server: &'a Server,
    /// The session that it runs on, in its transaction if it has one.
    pub(super) session: &'a mut ClientSession,
    /// Whether the session is in a transaction.
    pub(super) in_transaction: bool,
    /// What undoes the writes of a transaction that has savepoints.
    pub(super) undo: Option<&'a mut Undo>,
    /// What the shard instance holds.
    pub(super) catalogue: Arc<Catalogue>,
    /// The statement's settings and clock.
    pub(super) context: Arc<Context>,
    /// Its parameters.
    pub(super) params: Vec<Value>,
    /// The formats of its result.
    pub(super) formats: &'a [Format],
    /// Until when it may run.
    pub(super) deadline: Option<Instant>,
    /// Fires when nobody waits for it any more.
    pub(super) stop: &'a CancellationToken,
}

impl Statement<'_> {
    /// Runs a command that writes.
    pub(super) async fn write(
        &mut self,
        database: &str,
        mut command: Document,
    ) -> Result<Document, Failure> {
        self.check_stop()?;
        if !self.in_transaction {
            command.insert("writeConcern", doc! { "w": "majority" });
        }
        self.limit_time(&mut command);
        let database = self.server.client().database(database);
        let answer =
            database.run_command(command).session(&mut *self.session).await.map_err(failure)?;
        match told(&answer) {
            Some(failure) => Err(failure),
            None => Ok(answer),
        }
    }

    /// Begins a command that answers with a cursor.
    pub(super) async fn open(
        &mut self,
        database: &str,
        mut command: Document,
    ) -> Result<SessionCursor<Document>, NodeError> {
        self.check_stop()?;
        if !self.in_transaction && self.server.keeps_transactions() {
            // All of a statement's rows are of one moment.
            command.insert("readConcern", doc! { "level": "snapshot" });
        }
        self.limit_time(&mut command);
        let database = self.server.client().database(database);
        database.run_cursor_command(command).session(&mut *self.session).await.map_err(classify)
    }

    /// The server gives up by itself when the statement's time has run out.
    fn limit_time(&self, command: &mut Document) {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
            command.insert("maxTimeMS", i64::try_from(left).unwrap_or(i64::MAX));
        }
    }

    /// Reads documents to the end; `keep` is given each, and answers whether it wants more.
    pub(super) async fn documents(
        &mut self,
        database: &str,
        command: Document,
        mut keep: impl FnMut(Document) -> Result<bool, NodeError> + Send,
    ) -> Result<(), NodeError> {
        let mut cursor = self.open(database, command).await?;
        while let Some(document) = cursor.next(&mut *self.session).await {
            if !keep(document.map_err(classify)?)? {
                break;
            }
            self.check_stop()?;
        }
        Ok(())
    }

    /// The documents of a collection that match; what they hold is bounded.
    pub(super) async fn find(
        &mut self,
        collection: &Collection,
        filter: Document,
    ) -> Result<Vec<Document>, NodeError> {
        let mut found = Vec::new();
        let mut held = 0;
        let command = find(collection, filter);
        self.documents(&collection.database(), command, |document| {
            held += size(&document);
            if held > RECORDS_BYTES_MAX {
                return Err(NodeError::statement(
                    "53200",
                    "a change of too many records for MongoDB",
                )
                .with_detail(format!(
                    "At most {RECORDS_BYTES_MAX} bytes of records are changed at once."
                ))
                .with_hint("Change them in parts."));
            }
            found.push(document);
            Ok(true)
        })
        .await?;
        Ok(found)
    }

    /// Whether a document matches.
    pub(super) async fn exists(
        &mut self,
        collection: &Collection,
        filter: Document,
    ) -> Result<bool, NodeError> {
        let mut found = false;
        let mut command = find(collection, filter);
        command.insert("limit", 1);
        command.insert("projection", doc! { "_id": 1 });
        self.documents(&collection.database(), command, |_| {
            found = true;
            Ok(false)
        })
        .await?;
        Ok(found)
    }

    /// A cancel between two commands is seen here.
    pub(super) fn check_stop(&self) -> Result<(), NodeError> {
        if self.stop.is_cancelled() { Err(NodeError::cancelled()) } else { Ok(()) }
    }
}

/// The command that reads a collection's documents.
pub(super) fn find(collection: &Collection, filter: Document) -> Document {
    let mut command = doc! { "find": &collection.layout.collection, "filter": filter, "batchSize": DOCUMENTS_A_BATCH };
    collated(&mut command, Some(collection));
    command
}

/// Has strings compared by their bytes where the collection itself would do otherwise.
pub(super) fn collated(command: &mut Document, collection: Option<&Collection>) {
    if collection.and_then(adopted::of).is_some_and(|adopted| adopted.collated) {
        command.insert("collation", doc! { "locale": "simple" });
    }
}

/// About as many bytes as a document takes in memory.
pub(super) fn size(document: &Document) -> usize {
    fn of(bson: &Bson) -> usize {
        match bson {
            Bson::String(text) => text.len(),
            Bson::Binary(binary) => binary.bytes.len(),
            Bson::Array(items) => items.iter().map(of).sum::<usize>() + 48,
            Bson::Document(document) => size(document),
            _ => 0,
        }
    }
    document.iter().map(|(name, value)| name.len() + 96 + of(value)).sum::<usize>() + 64
}
