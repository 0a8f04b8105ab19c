//! What one user of a datasource does with it: statements and transactions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
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
use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::connect::{Flavour, Reap, Server, Session, read_catalogue};
use super::define::{self, Leftover};
use super::error::{classify, lost};
use super::statement::{Prepared, Statement, Work};
use super::{BATCHES_AHEAD, GATE_WAIT, KILL_STEP, inspect, read};
use crate::driver::kept::value::read_parameters;
use crate::driver::sql::context::{context_of, lock_timeout};
use crate::driver::sql::instance::{collections_of, defined_collections, instance_of};

/// A connection to a server's shard instances.
pub(super) struct MysqlConnection {
    server: Arc<Server>,
    /// The session; none when it broke.
    session: Option<Session>,
    transaction: Option<Transaction>,
    /// The epoch of the statement that was asked for last: what it means needs a catalogue that is no older.
    epoch: u64,
    /// A statement runs, or was given up in the middle.
    busy: bool,
    _permit: OwnedSemaphorePermit,
}

/// An open transaction.
struct Transaction {
    options: TransactionOptions,
    /// A statement failed: all but the end of the transaction is refused.
    failed: bool,
    /// The server has rolled it back by itself.
    gone: bool,
    /// The savepoints set, the innermost last, with how many definitions were before each.
    savepoints: Vec<(String, usize)>,
    /// What definitions leave to be done at the end, in their order.
    leftovers: Vec<Leftover>,
    /// The tables that it has read or written, by their names in SQL; MySQL lets nobody change these.
    touched: Vec<String>,
    /// The catalogues as it sees them, once it has changed them.
    catalogues: HashMap<String, Arc<Catalogue>>,
    /// The gates that it went through, by instance and collection.
    passed: HashMap<(String, String), Passed>,
}

/// A gate that somebody is in.
enum Passed {
    /// Beside others.
    Beside(#[expect(dead_code, reason = "held until it is dropped")] OwnedRwLockReadGuard<()>),
    /// Alone.
    Alone(#[expect(dead_code, reason = "held until it is dropped")] OwnedRwLockWriteGuard<()>),
}

impl MysqlConnection {
    pub(super) fn new(server: Arc<Server>, session: Session, permit: OwnedSemaphorePermit) -> Self {
        Self {
            server,
            session: Some(session),
            transaction: None,
            epoch: 0,
            busy: false,
            _permit: permit,
        }
    }
}

impl Drop for MysqlConnection {
    fn drop(&mut self) {
        let has_transaction = self.transaction.is_some();
        let undo = self.transaction.take().map(Transaction::undo).unwrap_or_default();
        if !undo.is_empty() {
            self.server.reap(Reap::Run(undo));
        }
        let Some(session) = self.session.take() else { return };
        match (self.busy, has_transaction) {
            (true, _) => self.server.reap(Reap::Kill(session.conn.id())),
            // The server rolls back when the session ends.
            (false, true) => {}
            (false, false) => self.server.give_back(session),
        }
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

/// A savepoint in MySQL's words: by its place, since names may hide each other.
fn savepoint_name(place: usize) -> String {
    format!("dm_savepoint_{place}")
}

#[async_trait]
impl NodeConnection for MysqlConnection {
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
        let level = match (options.isolation, self.server.flavour()) {
            (Isolation::ReadCommitted, _) => None,
            (Isolation::RepeatableRead, _) if options.read_only => Some("REPEATABLE READ"),
            (Isolation::RepeatableRead, Flavour::Mariadb { has_snapshot_isolation: true }) => {
                Some("REPEATABLE READ")
            }
            (Isolation::RepeatableRead | Isolation::Serializable, _) => Some("SERIALIZABLE"),
        };
        let access =
            if options.read_only { "START TRANSACTION READ ONLY" } else { "START TRANSACTION" };
        let mut again = true;
        loop {
            let begun = async {
                if let Some(level) = level {
                    self.control(&format!("SET TRANSACTION ISOLATION LEVEL {level}")).await?;
                }
                self.control(access).await
            }
            .await;
            match begun {
                Ok(()) => break,
                // A session that the server closed meanwhile: nothing has happened yet.
                Err(error) if error.kind == NodeErrorKind::Lost && again => {
                    again = false;
                    self.session = Some(self.server.session().await?);
                }
                Err(error) => return Err(error),
            }
        }
        self.transaction = Some(Transaction {
            options,
            failed: false,
            gone: false,
            savepoints: Vec::new(),
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
            self.control("ROLLBACK").await?;
            self.clean_up(undo).await;
            return Err(aborted());
        }
        let committed = self.control("COMMIT").await.map_err(|mut error| {
            if error.kind == NodeErrorKind::Lost {
                error.sqlstate = "08007".to_owned();
                error.message = "the connection to a node broke during a commit: it is not known \
                     whether the transaction was committed"
                    .to_owned();
            }
            error
        });
        for instance in transaction.catalogues.keys() {
            self.server.changed(instance);
        }
        committed?;
        self.clean_up(transaction.finish()).await;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        self.control("ROLLBACK").await?;
        self.clean_up(transaction.undo()).await;
        Ok(())
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let text = format!("SAVEPOINT {}", savepoint_name(transaction.savepoints.len()));
        transaction.savepoints.push((name.to_owned(), transaction.leftovers.len()));
        self.control(&text).await
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        let place = transaction.place(name)?;
        if transaction.gone {
            return Err(NodeError::statement(
                "40P01",
                "the MySQL server has rolled back the transaction after a deadlock",
            ));
        }
        transaction.savepoints.truncate(place + 1);
        let kept = transaction.savepoints[place].1;
        // What was defined since is removed at the end: the transaction may hold the tables until then.
        let undone: Vec<String> =
            transaction.leftovers.drain(kept..).rev().flat_map(|leftover| leftover.undo).collect();
        if !undone.is_empty() {
            let leftover = Leftover { undo: undone.clone(), finish: undone, touched: Vec::new() };
            transaction.leftovers.push(leftover);
        }
        transaction.failed = true;
        transaction.catalogues.values_mut().for_each(|catalogue| *catalogue = Arc::default());
        self.control(&format!("ROLLBACK TO {}", savepoint_name(place))).await?;
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
        self.control(&format!("RELEASE SAVEPOINT {}", savepoint_name(place))).await
    }
}

impl Transaction {
    fn place(&mut self, name: &str) -> Result<usize, NodeError> {
        let place = self.savepoints.iter().rposition(|(known, _)| known == name);
        if place.is_none() {
            self.failed = true;
        }
        place.ok_or_else(|| {
            NodeError::statement("3B001", format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// The texts that undo its definitions.
    fn undo(self) -> Vec<String> {
        self.leftovers.into_iter().rev().flat_map(|leftover| leftover.undo).collect()
    }

    /// The texts that finish its definitions.
    fn finish(self) -> Vec<String> {
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
}

/// What an execution hands back at its end.
type Finished = (Option<Box<MysqlConnection>>, Result<End, NodeError>);

impl MysqlConnection {
    /// Runs a text of transaction control.
    async fn control(&mut self, text: &str) -> Result<(), NodeError> {
        let session = self.session.as_mut().ok_or_else(lost)?;
        self.busy = true;
        let result = session.conn.query_drop(text).await.map_err(classify);
        self.busy = false;
        if result.as_ref().is_err_and(|error| error.kind == NodeErrorKind::Lost) {
            self.session = None;
        }
        result
    }

    /// Runs texts that remove what nothing refers to any more; what fails stays, and is met again.
    async fn clean_up(&self, texts: Vec<String>) {
        if texts.is_empty() {
            return;
        }
        let Ok((mut session, _permit)) = self.server.beside().await else {
            self.server.reap(Reap::Run(texts));
            return;
        };
        for text in texts {
            if let Err(error) = session.conn.query_drop(text).await {
                tracing::debug!(%error, "what a definition left stays in MySQL");
            }
        }
        self.server.give_back(session);
    }

    /// The catalogue of an instance as this connection sees it.
    async fn catalogue(&mut self, instance: &str) -> Result<Arc<Catalogue>, NodeError> {
        let own =
            self.transaction.as_ref().and_then(|transaction| transaction.catalogues.get(instance));
        if let Some(catalogue) = own {
            return Ok(Arc::clone(catalogue));
        }
        let session = self.session.as_mut().ok_or_else(lost)?;
        self.server.catalogue(instance, self.epoch, session).await
    }

    /// Reads a catalogue anew within the transaction.
    async fn reload(&mut self, instance: &str) -> Result<(), NodeError> {
        let session = self.session.as_mut().ok_or_else(lost)?;
        let catalogue = Arc::new(read_catalogue(instance, session).await?);
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
        let Some(id) = self.session.as_ref().map(|session| session.conn.id()) else {
            return (None, Err(lost()));
        };
        let stop = request.stop.clone();
        let time_left = request.context.time_left_ms.map(Duration::from_millis);
        let server = Arc::clone(&self.server);
        self.busy = true;
        let result = {
            let work = self.work(request);
            tokio::pin!(work);
            let timeout = async {
                match time_left {
                    Some(time_left) => tokio::time::sleep(time_left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(timeout);
            let timed_out = tokio::select! {
                result = &mut work => Err(result),
                () = stop.cancelled() => Ok(false),
                () = &mut timeout => Ok(true),
            };
            match timed_out {
                Err(result) => result,
                Ok(timed_out) => {
                    stop.cancel();
                    let result = loop {
                        server.kill_query(id).await;
                        match tokio::time::timeout(KILL_STEP, &mut work).await {
                            Ok(result) => break result,
                            Err(_) => continue,
                        }
                    };
                    result.map_err(|error| match error.sqlstate.as_str() {
                        "57014" if timed_out => NodeError {
                            message: "canceling statement due to statement timeout".to_owned(),
                            ..error
                        },
                        _ => error,
                    })
                }
            }
        };
        self.busy = false;
        if let Err(error) = &result {
            if let Some(transaction) = &mut self.transaction {
                transaction.failed = true;
                transaction.gone |= error.sqlstate == "40P01";
            }
            if error.kind == NodeErrorKind::Lost {
                self.session = None;
                return (None, result);
            }
        }
        (Some(self), result)
    }

    async fn work(&mut self, request: Request) -> Result<End, NodeError> {
        self.epoch = self.epoch.max(request.context.epoch);
        let query = &request.statement.query;
        let instance = instance_of(query)?.unwrap_or_default();
        let context = Arc::new(context_of(&request.context));
        self.check_read_only(query)?;
        self.wait_for_locks(lock_timeout(&request.context)).await?;
        if let NodeQuery::Define(definition) = query {
            let own = self.transaction.is_none();
            if own && define::needs_transaction(definition) {
                self.begin(&request.context, TransactionOptions::default()).await?;
            }
            let names = defined_collections(definition);
            let patience = lock_timeout(&request.context);
            let done = match self.pass(&instance, names, true, patience, &request.stop).await {
                Ok(_passed) => {
                    self.define(&instance, definition, !own, &context, &request.stop).await
                }
                Err(error) => Err(error),
            };
            if own && self.transaction.is_some() {
                match &done {
                    Ok(()) => self.commit().await?,
                    Err(_) => self.rollback().await?,
                }
            }
            return done.map(|()| End::default());
        }
        if let NodeQuery::Inspect(wanted) = query {
            let flavour = self.server.flavour();
            let session = self.session.as_mut().ok_or_else(lost)?;
            let batch = inspect::run(session, flavour, wanted).await?;
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
        let in_transaction = self.transaction.is_some();
        if let Some(transaction) = &mut self.transaction {
            for collection in tables(query, &catalogue) {
                if !transaction.touched.contains(&collection) {
                    transaction.touched.push(collection);
                }
            }
        }
        let session = self.session.as_mut().ok_or_else(lost)?;
        let mut statement = Statement {
            server: &self.server,
            session,
            catalogue,
            context,
            params,
            formats: &request.formats.formats,
            stop: &request.stop,
        };
        if let Work::Read(lowered) = &prepared.work {
            let affected = read::run(&mut statement, &prepared, lowered, &request.sender).await?;
            return Ok(End { affected });
        }
        if let Work::LockNumbers(instance) = &prepared.work {
            statement.lock_numbers(instance).await?;
            return Ok(End::default());
        }
        let frame = match (prepared.is_one_text(&statement), in_transaction) {
            (true, _) => None,
            (false, false) => Some(("START TRANSACTION", "COMMIT", "ROLLBACK")),
            (false, true) => Some((
                "SAVEPOINT dm_statement",
                "RELEASE SAVEPOINT dm_statement",
                "ROLLBACK TO dm_statement",
            )),
        };
        if let Some((begin, _, _)) = frame {
            statement.session.conn.query_drop(begin).await.map_err(classify)?;
        }
        let mut batches = Vec::new();
        let result = prepared.write(&mut statement, &mut batches).await;
        if let Some((_, end, undo)) = frame {
            let text = if result.is_ok() { end } else { undo };
            let ended = statement.session.conn.query_drop(text).await.map_err(classify);
            match (&result, ended) {
                (Ok(_), Err(error)) => return Err(error),
                // After a deadlock there is nothing left to go back to.
                (Err(error), Err(second)) if second.kind == NodeErrorKind::Lost => {
                    let mut error = error.clone();
                    error.kind = NodeErrorKind::Lost;
                    return Err(error);
                }
                _ => {}
            }
        }
        let affected = result?;
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
        in_block: bool,
        context: &Arc<dataman_pg::Context>,
        stop: &CancellationToken,
    ) -> Result<(), NodeError> {
        if define::of_instance(&self.server, definition).await? {
            self.server.changed(instance);
            return Ok(());
        }
        // As the transaction sees it, and not as it was last read: another agent may have changed it.
        self.reload(instance).await?;
        let catalogue = self.catalogue(instance).await?;
        let touched = match &self.transaction {
            Some(transaction) => transaction.touched.clone(),
            None => Vec::new(),
        };
        let session = self.session.as_mut().ok_or_else(lost)?;
        let statement = Statement {
            server: &self.server,
            session,
            catalogue,
            context: Arc::clone(context),
            params: Vec::new(),
            formats: &[],
            stop,
        };
        let mut leftover = Leftover::default();
        let done = define::define(statement, definition, in_block, &touched, &mut leftover).await;
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

    /// Has MySQL wait for locks as long as the session's `lock_timeout` says, in whole seconds.
    async fn wait_for_locks(&mut self, timeout: Option<Duration>) -> Result<(), NodeError> {
        let seconds = timeout.map(|timeout| timeout.as_millis().div_ceil(1000));
        let seconds = seconds.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
        let session = self.session.as_mut().ok_or_else(lost)?;
        if session.lock_wait_s == seconds {
            return Ok(());
        }
        let value = seconds.map_or_else(|| "DEFAULT".to_owned(), |seconds| seconds.to_string());
        let text = format!("SET SESSION innodb_lock_wait_timeout = {value}");
        session.conn.query_drop(text).await.map_err(classify)?;
        session.lock_wait_s = seconds;
        Ok(())
    }

    fn check_read_only(&self, query: &NodeQuery) -> Result<(), NodeError> {
        let read_only = self.transaction.as_ref().is_some_and(|found| found.options.read_only);
        if !read_only || !query.writes() {
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

/// The tables of the collections that a query names.
fn tables(query: &NodeQuery, catalogue: &Catalogue) -> Vec<String> {
    collections_of(query)
        .iter()
        .filter_map(|name| catalogue.find(name))
        .map(|found| found.table())
        .collect()
}

/// The rows of one execution.
struct Rows {
    receiver: mpsc::Receiver<Batch>,
    tasks: JoinSet<Finished>,
    stop: CancellationToken,
    end: Option<End>,
    connection: Option<Box<MysqlConnection>>,
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
                Err(NodeError::statement("XX000", format!("MySQL work failed: {error}")))
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

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
