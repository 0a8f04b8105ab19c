//! What one user of a datasource does with it: statements and transactions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use dataman_node_protocol::node::{
    End, Isolation, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream,
    StatementContext, TransactionOptions,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{Batch, ColumnDescription, StatementDescription};
use dataman_pg::types::{TypeId, TypeRef};
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadConcern, WriteConcern};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::connect::Server;
use super::define::{self, Chore, Leftover, Past};
use super::error::{classify, is_conflict, no_replica_set, serialization};
use super::statement::{Prepared, Statement, Work, size};
use super::{BATCHES_AHEAD, GATE_WAIT, STOP_WAIT, UNDO_BYTES_MAX, inspect, read};
use crate::driver::kept::value::read_parameters;
use crate::driver::sql::context::{context_of, lock_timeout};
use crate::driver::sql::instance::{collections_of, defined_collections, instance_of};

/// A connection to a server's shard instances.
pub(super) struct MongodbConnection {
    server: Arc<Server>,
    session: ClientSession,
    transaction: Option<Transaction>,
    /// What the session did when it was given up has to be taken away from the server.
    busy: bool,
    _permit: OwnedSemaphorePermit,
}

/// An open transaction.
struct Transaction {
    options: TransactionOptions,
    /// A statement failed: all but the end of the transaction is refused.
    failed: bool,
    /// The server has given it up.
    gone: bool,
    /// A statement of it has succeeded.
    used: bool,
    /// The savepoints set, the innermost last.
    savepoints: Vec<Savepoint>,
    /// What undoes the writes since the first savepoint.
    undo: Undo,
    /// What definitions leave to be done at the end, in their order.
    leftovers: Vec<Leftover>,
    /// The collections that it has read or written, by their databases and names in MongoDB.
    touched: Vec<String>,
    /// The catalogues as it sees them, once it has changed them.
    catalogues: HashMap<String, Arc<Catalogue>>,
    /// The gates that it went through, by instance and collection.
    passed: HashMap<(String, String), Passed>,
}

/// A savepoint: how much had been done before it.
struct Savepoint {
    name: String,
    leftovers: usize,
    writes: usize,
}

/// What undoes writes.
#[derive(Default)]
pub(super) struct Undo {
    writes: Vec<Written>,
    bytes: usize,
}

/// One document that was written.
struct Written {
    database: String,
    collection: String,
    id: Bson,
    /// What was there before.
    before: Option<Document>,
}

impl Undo {
    /// Notes a document about to be written.
    ///
    /// # Errors
    /// `53200` when too much would have to be held.
    pub(super) fn note(
        &mut self,
        database: &str,
        collection: &str,
        id: Bson,
        before: Option<Document>,
    ) -> Result<(), NodeError> {
        self.bytes += 160 + before.as_ref().map_or(0, size);
        if self.bytes > UNDO_BYTES_MAX {
            return Err(NodeError::statement(
                "53200",
                "a transaction with savepoints writes too many records on MongoDB",
            )
            .with_detail(format!("At most {UNDO_BYTES_MAX} bytes of records are held to go back."))
            .with_hint("Write them in a transaction without savepoints."));
        }
        self.writes.push(Written {
            database: database.to_owned(),
            collection: collection.to_owned(),
            id,
            before,
        });
        Ok(())
    }
}

/// A gate that somebody is in.
enum Passed {
    /// Beside others.
    Beside(#[expect(dead_code, reason = "held until it is dropped")] OwnedRwLockReadGuard<()>),
    /// Alone.
    Alone(#[expect(dead_code, reason = "held until it is dropped")] OwnedRwLockWriteGuard<()>),
}

impl MongodbConnection {
    pub(super) fn new(
        server: Arc<Server>,
        session: ClientSession,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { server, session, transaction: None, busy: false, _permit: permit }
    }
}

/// `25P02`.
fn aborted() -> NodeError {
    NodeError::statement(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

fn no_transaction() -> NodeError {
    NodeError::statement("25P01", "there is no transaction in progress")
}

#[async_trait]
impl NodeConnection for MongodbConnection {
    async fn describe(
        &mut self,
        statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError> {
        let instance = instance_of(&statement.query)?.unwrap_or_default();
        let columns = match &statement.query {
            NodeQuery::Define(_) => None,
            NodeQuery::Inspect(_) => Some(vec![ColumnDescription {
                name: "found".to_owned(),
                ty: TypeRef::plain(TypeId::JSON),
            }]),
            _ => {
                let catalogue = self.catalogue(&instance).await?;
                self.server.prepare(statement, &catalogue)?.columns.clone()
            }
        };
        Ok(StatementDescription { params: statement.params.clone(), columns })
    }

    async fn execute(
        self: Box<Self>,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        parameters: &Parameters,
        formats: &ResultFormats,
        cancel: &CancellationToken,
    ) -> Box<dyn RowStream> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let stop = cancel.child_token();
        let request = Request {
            context: context.clone(),
            statement: Arc::clone(statement),
            parameters: parameters.clone(),
            formats: formats.clone(),
            stop: stop.clone(),
            sender,
            settled: AtomicBool::new(false),
            handed: AtomicBool::new(false),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(self.serve(request));
        Box::new(Rows { receiver, tasks, stop, end: None, connection: None })
    }

    async fn begin(
        &mut self,
        _context: &StatementContext,
        options: TransactionOptions,
    ) -> Result<(), NodeError> {
        if self.transaction.is_some() {
            return Err(NodeError::statement(
                "25001",
                "there is already a transaction in progress",
            ));
        }
        self.start(options.isolation).await?;
        self.transaction = Some(Transaction {
            options,
            failed: false,
            gone: false,
            used: false,
            savepoints: Vec::new(),
            undo: Undo::default(),
            leftovers: Vec::new(),
            touched: Vec::new(),
            catalogues: HashMap::new(),
            passed: HashMap::new(),
        });
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NodeError> {
        let transaction = self.transaction.take().ok_or_else(no_transaction)?;
        if transaction.failed {
            let undo = transaction.undo();
            self.abort().await;
            self.clean_up(undo).await;
            return Err(aborted());
        }
        let committed = self.end().await;
        for instance in transaction.catalogues.keys() {
            self.server.changed(instance);
        }
        match committed {
            Ok(()) => {
                self.clean_up(transaction.finish()).await;
                Ok(())
            }
            Err(error) => {
                if error.sqlstate != "08007" {
                    self.clean_up(transaction.undo()).await;
                }
                Err(error)
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        self.abort().await;
        self.clean_up(transaction.undo()).await;
        Ok(())
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        transaction.savepoints.push(Savepoint {
            name: name.to_owned(),
            leftovers: transaction.leftovers.len(),
            writes: transaction.undo.writes.len(),
        });
        Ok(())
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        let place = transaction.place(name)?;
        if transaction.gone {
            return Err(serialization()
                .with_detail("The MongoDB server has given up the transaction.".to_owned()));
        }
        transaction.savepoints.truncate(place + 1);
        let savepoint = &transaction.savepoints[place];
        let undone: Vec<Leftover> = transaction.leftovers.drain(savepoint.leftovers..).collect();
        let writes: Vec<Written> = transaction.undo.writes.drain(savepoint.writes..).collect();
        transaction.failed = true;
        self.busy = true;
        for written in writes.into_iter().rev() {
            self.write_back(written).await?;
        }
        self.busy = false;
        // Until the transaction has ended, what was made for it may be what its writes are in.
        if let Some(transaction) = &mut self.transaction {
            let mut left = Leftover::default();
            for leftover in undone.into_iter().rev() {
                left.finish.extend(leftover.undo.iter().cloned());
                left.finish.extend(leftover.orphans);
                left.undo.extend(leftover.undo);
                left.created.extend(leftover.created);
            }
            transaction.leftovers.push(left);
            if let Some(savepoint) = transaction.savepoints.last_mut() {
                savepoint.leftovers = transaction.leftovers.len();
            }
        }
        let instances: Vec<String> = match &self.transaction {
            Some(transaction) => transaction.catalogues.keys().cloned().collect(),
            None => Vec::new(),
        };
        for instance in instances {
            self.reload(&instance).await?;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.failed = false;
        }
        Ok(())
    }

    async fn release(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let place = transaction.place(name)?;
        transaction.savepoints.truncate(place);
        if transaction.savepoints.is_empty() {
            transaction.undo = Undo::default();
        }
        Ok(())
    }
}

impl Transaction {
    fn place(&mut self, name: &str) -> Result<usize, NodeError> {
        let place = self.savepoints.iter().rposition(|known| known.name == name);
        if place.is_none() {
            self.failed = true;
        }
        place.ok_or_else(|| {
            NodeError::statement("3B001", format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// What undoes its definitions.
    fn undo(self) -> Vec<Chore> {
        self.leftovers.into_iter().rev().flat_map(|leftover| leftover.undo).collect()
    }

    /// What finishes its definitions.
    fn finish(self) -> Vec<Chore> {
        self.leftovers.into_iter().flat_map(|leftover| leftover.finish).collect()
    }
}

/// One execution on its way.
struct Request {
    context: StatementContext,
    statement: Arc<NodeStatement>,
    parameters: Parameters,
    formats: ResultFormats,
    stop: CancellationToken,
    sender: mpsc::Sender<Batch>,
    /// What it writes is on its way to be committed: a cancel comes too late.
    settled: AtomicBool,
    /// Rows were handed on, and cannot be taken back.
    handed: AtomicBool,
}

/// What an execution hands back at its end.
type Finished = (Option<Box<MongodbConnection>>, Result<End, NodeError>);

impl MongodbConnection {
    /// Begins a transaction of the session; the server hears of it with the first command.
    async fn start(&mut self, isolation: Isolation) -> Result<(), NodeError> {
        if !self.server.keeps_transactions() {
            return Ok(());
        }
        let starting = self.session.start_transaction();
        // Collections can be made in a transaction of this level only; a replica set's member reads from one snapshot with it, too.
        let level = match isolation {
            Isolation::ReadCommitted => ReadConcern::local(),
            Isolation::RepeatableRead | Isolation::Serializable => ReadConcern::snapshot(),
        };
        starting.read_concern(level).write_concern(WriteConcern::majority()).await.map_err(classify)
    }

    /// Commits the session's transaction.
    async fn end(&mut self) -> Result<(), NodeError> {
        if !self.server.keeps_transactions() {
            return Ok(());
        }
        self.busy = true;
        let committed = self.session.commit_transaction().await;
        self.busy = false;
        committed.map_err(|error| {
            let is_unknown = error.contains_label("UnknownTransactionCommitResult");
            let mut error = classify(error);
            if is_unknown || error.kind == NodeErrorKind::Lost {
                error.kind = NodeErrorKind::Lost;
                error.work_started = true;
                error.sqlstate = "08007".to_owned();
                error.message = "the connection to a node broke during a commit: it is not known \
                     whether the transaction was committed"
                    .to_owned();
            }
            error
        })
    }

    /// Gives up the session's transaction.
    async fn abort(&mut self) {
        if !self.server.keeps_transactions() {
            return;
        }
        // The server may have done so already; and what it is not told it does by itself after a minute.
        if let Err(error) = self.session.abort_transaction().await {
            tracing::debug!(%error, "a transaction on MongoDB was not aborted");
        }
    }

    /// Writes a document as it was.
    async fn write_back(&mut self, written: Written) -> Result<(), NodeError> {
        let Written { database, collection, id, before } = written;
        let filter = doc! { "_id": id };
        let command = match before {
            Some(before) => doc! {
                "update": collection,
                "updates": [{ "q": filter, "u": before, "upsert": true }],
            },
            None => doc! { "delete": collection, "deletes": [{ "q": filter, "limit": 1 }] },
        };
        let database = self.server.client().database(&database);
        let answer = database.run_command(command).session(&mut self.session).await;
        let failed = match answer {
            Ok(answer) => super::error::told(&answer).map(|_| serialization()),
            Err(error) => Some(classify(error)),
        };
        match failed {
            Some(error) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.gone = true;
                }
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Removes what nothing refers to any more; what fails stays, and is met again.
    async fn clean_up(&self, chores: Vec<Chore>) {
        for chore in chores {
            if let Err(error) = chore.run(&self.server).await {
                tracing::debug!(%error, "what a definition left stays in MongoDB");
            }
        }
    }

    /// The catalogue of an instance as this connection sees it.
    async fn catalogue(&mut self, instance: &str) -> Result<Arc<Catalogue>, NodeError> {
        let own =
            self.transaction.as_ref().and_then(|transaction| transaction.catalogues.get(instance));
        match own {
            Some(catalogue) => Ok(Arc::clone(catalogue)),
            None => self.server.catalogue(instance).await,
        }
    }

    /// Reads a catalogue anew within the transaction.
    async fn reload(&mut self, instance: &str) -> Result<(), NodeError> {
        let session = Some(&mut self.session);
        let catalogue = Arc::new(self.server.read_catalogue(instance, session).await?);
        if let Some(transaction) = &mut self.transaction {
            transaction.catalogues.insert(instance.to_owned(), catalogue);
        }
        Ok(())
    }

    /// Runs a statement to its end and hands the connection back.
    async fn serve(mut self: Box<Self>, request: Request) -> Finished {
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed) {
            return (Some(self), Err(aborted()));
        }
        if request.stop.is_cancelled() {
            return (Some(self), Err(NodeError::cancelled()));
        }
        let deadline = request.context.time_left_ms.map(Duration::from_millis);
        let deadline = deadline.map(|left| Instant::now() + left);
        let server = Arc::clone(&self.server);
        let id = self.session.id().clone();
        let result = {
            let work = self.work(&request, deadline);
            tokio::pin!(work);
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(timeout);
            let timed_out = tokio::select! {
                result = &mut work => Err(result),
                () = request.stop.cancelled() => Ok(false),
                () = &mut timeout => Ok(true),
            };
            match timed_out {
                Err(result) => Some(result),
                // What is being committed is not stopped any more.
                Ok(_) if request.settled.load(Ordering::Acquire) => Some(work.await),
                Ok(timed_out) => {
                    request.stop.cancel();
                    server.kill(&id).await;
                    let result = match tokio::time::timeout(STOP_WAIT, &mut work).await {
                        Ok(result) => Some(result),
                        Err(_) if request.settled.load(Ordering::Acquire) => Some(work.await),
                        Err(_) => None,
                    };
                    match result {
                        // It had ended before it heard.
                        Some(Ok(end)) => Some(Ok(end)),
                        Some(Err(error)) if error.sqlstate != "40001" => {
                            Some(Err(timely(error, timed_out)))
                        }
                        Some(Err(_)) => Some(Err(timely(NodeError::cancelled(), timed_out))),
                        None if timed_out => Some(Err(timely(NodeError::cancelled(), true))),
                        None => None,
                    }
                }
            }
        };
        let result = result.unwrap_or_else(|| Err(NodeError::cancelled()));
        if let Err(error) = &result {
            let was_stopped = request.stop.is_cancelled();
            if let Some(transaction) = &mut self.transaction {
                transaction.failed = true;
                transaction.gone |= was_stopped || is_conflict(error);
            }
            if error.kind == NodeErrorKind::Lost {
                return (None, result);
            }
            if was_stopped {
                // The session was killed: its number begins anew with another one.
                self.abort().await;
                match self.server.session().await {
                    Ok(session) => self.session = session,
                    Err(_) => return (None, result),
                }
            }
        }
        (Some(self), result)
    }

    /// Runs a statement; one of its own that met another one is begun anew.
    async fn work(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<End, NodeError> {
        let patience = lock_timeout(&request.context).unwrap_or(GATE_WAIT);
        let until = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        loop {
            let result = self.attempt(request, deadline).await;
            let Err(error) = &result else { break result };
            let is_first = self.transaction.as_ref().is_none_or(|transaction| !transaction.used);
            let is_over = request.settled.load(Ordering::Acquire);
            if !is_conflict(error) || !is_first || is_over || request.handed.load(Ordering::Acquire)
            {
                break result;
            }
            if Instant::now() + pause > until {
                break Err(NodeError::statement(
                    "55P03",
                    "canceling statement due to lock timeout",
                ));
            }
            let jittered = pause.mul_f64(0.5 + f64::from(rand_byte()) / 255.0);
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = request.stop.cancelled() => break Err(NodeError::cancelled()),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
            if let Some(transaction) = &self.transaction {
                let isolation = transaction.options.isolation;
                self.abort().await;
                self.start(isolation).await?;
            }
        }
    }

    async fn attempt(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<End, NodeError> {
        let query = &request.statement.query;
        let instance = instance_of(query)?.unwrap_or_default();
        let context = Arc::new(context_of(&request.context));
        self.check_read_only(query)?;
        if let NodeQuery::Define(definition) = query {
            let own = self.transaction.is_none();
            if own && define::needs_transaction(definition) {
                self.begin(&request.context, TransactionOptions::default()).await?;
            }
            let names = defined_collections(definition);
            let patience = lock_timeout(&request.context);
            let done = match self.pass(&instance, names, true, patience, &request.stop).await {
                Ok(_passed) => {
                    self.define(&instance, definition, &context, deadline, &request.stop).await
                }
                Err(error) => Err(error),
            };
            if own && self.transaction.is_some() {
                match &done {
                    Ok(()) => {
                        request.settled.store(true, Ordering::Release);
                        self.commit().await?;
                    }
                    Err(_) => self.rollback().await?,
                }
            } else if let (Ok(()), Some(transaction)) = (&done, &mut self.transaction) {
                transaction.used = true;
            }
            return done.map(|()| End::default());
        }
        if let NodeQuery::Inspect(wanted) = query {
            let batch = inspect::run(&self.server, wanted).await?;
            let affected = u64::try_from(batch.rows).unwrap_or(u64::MAX);
            // Whoever has gone away needs nothing.
            let _ = request.sender.send(batch).await;
            return Ok(End { affected });
        }
        let patience = lock_timeout(&request.context);
        // Those of a statement that is no part of a transaction are left with it.
        let _passed =
            self.pass(&instance, collections_of(query), false, patience, &request.stop).await?;
        let catalogue = self.catalogue(&instance).await?;
        let prepared = match &self.transaction {
            Some(transaction) if transaction.catalogues.contains_key(&instance) => {
                Arc::new(Prepared::new(&request.statement, &catalogue)?)
            }
            _ => self.server.prepare(&request.statement, &catalogue)?,
        };
        let params =
            read_parameters(&request.statement, &request.parameters, &context, &catalogue)?;
        let in_block = self.transaction.is_some();
        if let Some(transaction) = &mut self.transaction {
            for collection in places(query, &catalogue) {
                if !transaction.touched.contains(&collection) {
                    transaction.touched.push(collection);
                }
            }
        }
        let is_read = matches!(prepared.work, Work::Read(_)) && !query.writes();
        let is_one = prepared.is_one_command(&params);
        let own = !in_block && !is_read && !is_one;
        if !is_read && (own || in_block) && !self.server.keeps_transactions() {
            return Err(no_replica_set());
        }
        if own {
            self.start(Isolation::ReadCommitted).await?;
        }
        let in_transaction = (own || in_block) && self.server.keeps_transactions();
        self.busy = true;
        if is_one && !in_block && !is_read {
            request.settled.store(true, Ordering::Release);
        }
        let undo = match &mut self.transaction {
            Some(transaction) if !transaction.savepoints.is_empty() => Some(&mut transaction.undo),
            _ => None,
        };
        let mut statement = Statement {
            server: &self.server,
            session: &mut self.session,
            in_transaction,
            undo,
            catalogue,
            context,
            params,
            formats: &request.formats.formats,
            deadline,
            stop: &request.stop,
        };
        let mut batches = Vec::new();
        let result = match &prepared.work {
            Work::Read(lowered) => {
                let (sender, handed) = (&request.sender, &request.handed);
                read::run(&mut statement, &prepared, lowered, sender, handed, &mut batches).await
            }
            _ => prepared.write(&mut statement, &mut batches).await,
        };
        self.busy = false;
        let result = match result {
            Ok(affected) if own => {
                request.settled.store(true, Ordering::Release);
                match self.end().await {
                    Ok(()) => Ok(affected),
                    Err(error) => {
                        if is_conflict(&error) {
                            request.settled.store(false, Ordering::Release);
                        }
                        Err(error)
                    }
                }
            }
            Err(error) if own => {
                self.abort().await;
                Err(error)
            }
            result => result,
        };
        let affected = result?;
        if let Some(transaction) = &mut self.transaction {
            transaction.used = true;
        }
        // A cancel comes too late for what is written.
        for batch in batches {
            if request.sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(End { affected })
    }

    async fn define(
        &mut self,
        instance: &str,
        definition: &dataman_node_protocol::definition::Definition,
        context: &Arc<dataman_pg::Context>,
        deadline: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<(), NodeError> {
        if define::of_instance(&self.server, definition).await? {
            self.server.changed(instance);
            return Ok(());
        }
        if !self.server.keeps_transactions() {
            return Err(no_replica_set());
        }
        // As the transaction sees it, and not as it was last read: another agent may have changed it.
        self.reload(instance).await?;
        let catalogue = self.catalogue(instance).await?;
        let (past, undo) = match &mut self.transaction {
            Some(transaction) => {
                if transaction.options.isolation != Isolation::ReadCommitted {
                    return Err(NodeError::unsupported(
                        "MongoDB makes no collections in a transaction of one snapshot",
                    )
                    .with_hint("Use READ COMMITTED for definitions."));
                }
                let has_savepoints = !transaction.savepoints.is_empty();
                let undo = if has_savepoints { Some(&mut transaction.undo) } else { None };
                (Past::new(&transaction.touched, &transaction.leftovers), undo)
            }
            None => (Past::default(), None),
        };
        let statement = Statement {
            server: &self.server,
            session: &mut self.session,
            in_transaction: true,
            undo,
            catalogue,
            context: Arc::clone(context),
            params: Vec::new(),
            formats: &[],
            deadline,
            stop,
        };
        let mut leftover = Leftover::default();
        let done = define::define(statement, definition, &past, &mut leftover).await;
        match &mut self.transaction {
            Some(transaction) => {
                transaction.touched.append(&mut leftover.touched);
                transaction.leftovers.push(leftover);
            }
            None => self.clean_up(leftover.undo).await,
        }
        done?;
        if self.transaction.is_some() {
            self.reload(instance).await?;
        }
        Ok(())
    }

    /// Goes through the gates of collections, in their order; a transaction stays in them to its end.
    async fn pass(
        &mut self,
        instance: &str,
        collections: HashSet<String>,
        alone: bool,
        patience: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Vec<Passed>, NodeError> {
        let mut names: Vec<String> = collections.into_iter().collect();
        names.sort();
        let mut passed = Vec::new();
        for name in names {
            let place = (instance.to_owned(), name);
            if let Some(transaction) = &mut self.transaction {
                match transaction.passed.get(&place) {
                    Some(Passed::Alone(_)) => continue,
                    Some(Passed::Beside(_)) if !alone => continue,
                    // Nobody can be alone in a gate that he is in already.
                    Some(Passed::Beside(_)) => drop(transaction.passed.remove(&place)),
                    None => {}
                }
            }
            let gate = self.server.gate(&place.0, &place.1);
            let waiting = async {
                if alone {
                    Passed::Alone(gate.write_owned().await)
                } else {
                    Passed::Beside(gate.read_owned().await)
                }
            };
            let waiting = tokio::time::timeout(patience.unwrap_or(GATE_WAIT), waiting);
            let waited = tokio::select! {
                waited = waiting => waited,
                () = stop.cancelled() => return Err(NodeError::cancelled()),
            };
            let Ok(guard) = waited else {
                return Err(NodeError::statement(
                    "55P03",
                    "canceling statement due to lock timeout",
                ));
            };
            match &mut self.transaction {
                Some(transaction) => drop(transaction.passed.insert(place, guard)),
                None => passed.push(guard),
            }
        }
        Ok(passed)
    }

    fn check_read_only(&self, query: &NodeQuery) -> Result<(), NodeError> {
        let Some(transaction) = self.transaction.as_ref().filter(|_| query.writes()) else {
            return Ok(());
        };
        if !transaction.options.read_only {
            if transaction.options.isolation == Isolation::Serializable {
                return Err(NodeError::unsupported(
                    "MongoDB does not keep transactions that write serializable",
                )
                .with_hint("Use REPEATABLE READ, which is a snapshot here as in PostgreSQL."));
            }
            return Ok(());
        }
        let verb = match query {
            NodeQuery::Filter(_) | NodeQuery::Aggregate(_) => "SELECT FOR UPDATE",
            NodeQuery::Insert(_) | NodeQuery::InsertMany(_) => "INSERT",
            NodeQuery::Update(_) => "UPDATE",
            NodeQuery::Delete(_) => "DELETE",
            _ => "a change of schema",
        };
        Err(NodeError::statement(
            "25006",
            format!("cannot execute {verb} in a read-only transaction"),
        ))
    }
}

/// The places of the collections that a query names.
fn places(query: &NodeQuery, catalogue: &Catalogue) -> Vec<String> {
    collections_of(query)
        .iter()
        .filter_map(|name| catalogue.find(name))
        .map(|found| found.place_name())
        .collect()
}

/// The words of a timeout, if it was one.
fn timely(error: NodeError, timed_out: bool) -> NodeError {
    if timed_out && error.sqlstate == "57014" {
        return NodeError {
            message: "canceling statement due to statement timeout".to_owned(),
            ..error
        };
    }
    error
}

/// A number that differs from one statement to the next, so that those that met do not meet again.
fn rand_byte() -> u8 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&mongodb::bson::oid::ObjectId::new(), &mut hasher);
    std::hash::Hasher::finish(&hasher).to_le_bytes()[0]
}

/// The rows of one execution.
struct Rows {
    receiver: mpsc::Receiver<Batch>,
    tasks: JoinSet<Finished>,
    stop: CancellationToken,
    end: Option<End>,
    connection: Option<Box<MongodbConnection>>,
}

#[async_trait]
impl RowStream for Rows {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        if let Some(batch) = self.receiver.recv().await {
            return Ok(Some(batch));
        }
        match self.tasks.join_next().await {
            Some(Ok((connection, result))) => {
                self.connection = connection;
                self.end = Some(result?);
                Ok(None)
            }
            Some(Err(error)) => {
                Err(NodeError::statement("XX000", format!("MongoDB work failed: {error}")))
            }
            None => Ok(None),
        }
    }

    fn end(&self) -> End {
        self.end.unwrap_or_default()
    }

    fn into_connection(mut self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        self.connection.take().map(|connection| connection as Box<dyn NodeConnection>)
    }
}

impl Drop for MongodbConnection {
    fn drop(&mut self) {
        let undo = self.transaction.take().map(Transaction::undo).unwrap_or_default();
        if !self.busy && undo.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (server, id) = (Arc::clone(&self.server), self.session.id().clone());
        server.clone().afterwards(&runtime, async move {
            server.kill(&id).await;
            for chore in undo {
                if let Err(error) = chore.run(&server).await {
                    tracing::debug!(%error, "what a definition left stays in MongoDB");
                }
            }
        });
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
