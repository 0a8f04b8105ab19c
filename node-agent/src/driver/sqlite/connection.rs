//! What one user of a datasource does with it: statements and transactions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::error::NodeError;
use dataman_node_protocol::node::{
    End, Isolation, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream,
    StatementContext, TransactionOptions,
};
use dataman_node_protocol::pass::PassThrough;
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::StatementDescription;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::BATCHES_AHEAD;
use super::connect::{Folder, Lease, blocking};
use super::error::serialization;
use super::execute::{Finished, Job, Request, Rows};
use super::inline::Answer;
use super::run::{Prepared, Work};
use super::session::Session;
use crate::driver::sql::context::{context_of, lock_timeout};

/// A connection to a folder of files.
pub(super) struct SqliteConnection {
    pub(super) folder: Arc<Folder>,
    transaction: Option<Transaction>,
    /// The answer of a read that ran at once.
    pub(super) answer: Option<Answer>,
    _permit: OwnedSemaphorePermit,
}

/// An open transaction. SQLite hears of it when it first matters.
struct Transaction {
    options: TransactionOptions,
    /// A statement failed: all but the end of the transaction is refused.
    failed: bool,
    /// The savepoints set, the innermost last.
    savepoints: Vec<String>,
    /// The sessions in whose SQLite transaction it takes part: the writer's, or those with a snapshot.
    held: Vec<Held>,
}

struct Held {
    lease: Lease,
    /// The right to write of a session that is not the writer's.
    permit: Option<OwnedSemaphorePermit>,
    /// It may write.
    writing: bool,
    /// It carried out a definition.
    defined: bool,
}

impl SqliteConnection {
    pub(super) fn new(folder: Arc<Folder>, permit: OwnedSemaphorePermit) -> Self {
        Self { folder, transaction: None, answer: None, _permit: permit }
    }
}

impl SqliteConnection {
    /// Whether it is in a transaction.
    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
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

/// A savepoint in SQLite's words: by its place, since names may hide each other.
fn savepoint_name(place: usize) -> String {
    format!("dm_savepoint_{place}")
}

#[async_trait]
impl NodeConnection for SqliteConnection {
    fn has_one_writer(&self) -> bool {
        true
    }

    async fn describe(
        &mut self,
        statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError> {
        let prepared = self.folder.prepare(statement)?;
        Ok(StatementDescription {
            params: statement.params.clone(),
            columns: prepared.columns.clone(),
        })
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
            statement: statement.clone(),
            parameters: parameters.clone(),
            formats: formats.clone(),
            stop: stop.clone(),
            sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(self.run(request));
        Box::new(Rows { receiver, tasks, stop, end: None, connection: None })
    }

    fn pass_through(&mut self) -> Option<&mut dyn PassThrough> {
        Some(self)
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
        self.transaction =
            Some(Transaction { options, failed: false, savepoints: Vec::new(), held: Vec::new() });
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NodeError> {
        let transaction = self.transaction.take().ok_or_else(no_transaction)?;
        if transaction.failed {
            close(transaction, "ROLLBACK").await?;
            return Err(aborted());
        }
        close(transaction, "COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        match self.transaction.take() {
            Some(transaction) => close(transaction, "ROLLBACK").await,
            None => Ok(()),
        }
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let text = format!("SAVEPOINT {}", savepoint_name(transaction.savepoints.len()));
        transaction.savepoints.push(name.to_owned());
        transaction.run_writing(text).await
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        let place = transaction.place(name)?;
        transaction.savepoints.truncate(place + 1);
        // If SQLite has rolled everything back by itself there is nothing to go back to.
        transaction.failed = true;
        transaction.run_writing(format!("ROLLBACK TO {}", savepoint_name(place))).await?;
        transaction.failed = false;
        Ok(())
    }

    async fn release(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let place = transaction.place(name)?;
        transaction.savepoints.truncate(place);
        transaction.run_writing(format!("RELEASE {}", savepoint_name(place))).await
    }
}

impl Transaction {
    fn place(&mut self, name: &str) -> Result<usize, NodeError> {
        let place = self.savepoints.iter().rposition(|known| known == name);
        if place.is_none() {
            self.failed = true;
        }
        place.ok_or_else(|| {
            NodeError::statement("3B001", format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// Runs a text on the sessions that write; the others have nothing to go back to.
    async fn run_writing(&mut self, text: String) -> Result<(), NodeError> {
        for mut held in std::mem::take(&mut self.held) {
            if !held.writing {
                self.held.push(held);
                continue;
            }
            let text = text.clone();
            let (held, result) = blocking(move || {
                let result = held.lease.session().and_then(|session| {
                    session.run(&text)?;
                    // A definition may have been undone.
                    if held.defined { session.reload() } else { Ok(()) }
                });
                Ok((held, result))
            })
            .await?;
            self.held.push(held);
            result?;
        }
        Ok(())
    }
}

/// Ends the SQLite transactions of a transaction.
async fn close(transaction: Transaction, word: &'static str) -> Result<(), NodeError> {
    for mut held in transaction.held {
        blocking(move || {
            let session = held.lease.session()?;
            // Some failures have made SQLite roll back by itself.
            if word == "COMMIT" || !session.connection.is_autocommit() {
                session.run_cached(word)?;
            }
            if held.defined {
                if word == "COMMIT" {
                    held.lease.instance().changed();
                } else {
                    session.generation = 0;
                }
            }
            drop(held.lease);
            drop(held.permit);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

impl SqliteConnection {
    /// Runs a statement to its end and hands the connection back.
    async fn run(mut self: Box<Self>, request: Request) -> Finished {
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed) {
            return (Some(self), Err(aborted()));
        }
        let stop = request.stop.clone();
        let time_left = request.context.time_left_ms.map(Duration::from_millis);
        let result = {
            let work = self.work(request);
            tokio::pin!(work);
            match time_left {
                None => work.await,
                Some(time_left) => tokio::select! {
                    result = &mut work => result,
                    () = tokio::time::sleep(time_left) => {
                        stop.cancel();
                        work.await.map_err(|error| match error.sqlstate.as_str() {
                            "57014" => NodeError {
                                message: "canceling statement due to statement timeout".to_owned(),
                                ..error
                            },
                            _ => error,
                        })
                    }
                },
            }
        };
        if result.is_err()
            && let Some(transaction) = &mut self.transaction
        {
            transaction.failed = true;
        }
        (Some(self), result)
    }

    async fn work(&mut self, request: Request) -> Result<End, NodeError> {
        let prepared = self.folder.prepare(&request.statement)?;
        let context = Arc::new(context_of(&request.context));
        if let NodeQuery::Define(definition) = &request.statement.query
            && define_file(&self.folder.clone(), definition).await?
        {
            return Ok(End::default());
        }
        self.check_read_only(&prepared)?;
        let instance = match &prepared.instance {
            Some(name) => self.folder.instance(name)?,
            None => self.folder.nowhere(),
        };
        let writes = match &prepared.work {
            Work::Read { locking, .. } => *locking && self.transaction.is_some(),
            Work::Write { .. } | Work::Joined { .. } | Work::Define => true,
        };
        let defines = matches!(prepared.work, Work::Define);
        let stop = request.stop.clone();
        let patience = lock_timeout(&request.context);
        let job = Job { prepared, request, context };
        let Some(transaction) = &mut self.transaction else {
            let mut lease = if writes {
                instance.write(&stop, patience).await?
            } else {
                instance.read(&stop).await?
            };
            return blocking(move || {
                let session = lease.session()?;
                if !writes {
                    return job.read(session);
                }
                let (end, batches) = job.run_alone(session)?;
                if defines {
                    lease.instance().changed();
                }
                drop(lease);
                job.hand_on(batches);
                Ok(end)
            })
            .await;
        };
        // The session that this transaction already holds on the file, if it does.
        let place = transaction.held.iter().position(|held| {
            held.lease.instance().name() == instance.name() && prepared_instance(&instance)
        });
        let snapshot = transaction.options.isolation != Isolation::ReadCommitted;
        let mut held = match place {
            Some(place) => transaction.held.swap_remove(place),
            None if writes => {
                if transaction.held.iter().any(|held| held.writing) {
                    return Err(NodeError::unsupported("a transaction writes to one SQLite file"));
                }
                let lease = instance.write(&stop, patience).await?;
                Held { lease, permit: None, writing: false, defined: false }
            }
            None => {
                let lease = instance.read(&stop).await?;
                if !snapshot || instance.name().is_empty() {
                    let mut lease = lease;
                    return blocking(move || job.read(lease.session()?)).await;
                }
                Held { lease, permit: None, writing: false, defined: false }
            }
        };
        let fresh = place.is_none();
        let mut upgrade = false;
        if writes && !held.writing {
            if !fresh {
                if transaction.held.iter().any(|held| held.writing) {
                    transaction.held.push(held);
                    return Err(NodeError::unsupported("a transaction writes to one SQLite file"));
                }
                match instance.write_permit(&stop, patience).await {
                    Ok(permit) => held.permit = Some(permit),
                    Err(error) => {
                        transaction.held.push(held);
                        return Err(error);
                    }
                }
            }
            upgrade = true;
        }
        let savepoints = transaction.savepoints.len();
        let (held, result) = blocking(move || {
            let result = (|| {
                let session = held.lease.session()?;
                if fresh {
                    session.run_cached(if writes { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
                }
                if upgrade {
                    if !fresh {
                        take_write_lock(session)?;
                    }
                    for place in 0..savepoints {
                        session.run(&format!("SAVEPOINT {}", savepoint_name(place)))?;
                    }
                    held.writing = true;
                }
                held.defined |= defines;
                if !writes {
                    return job.read(session);
                }
                let (end, batches) = job.run_within(session)?;
                job.hand_on(batches);
                Ok(end)
            })();
            Ok((held, result))
        })
        .await?;
        if let Some(transaction) = &mut self.transaction {
            transaction.held.push(held);
        }
        result
    }

    fn check_read_only(&self, prepared: &Prepared) -> Result<(), NodeError> {
        let read_only = self.transaction.as_ref().is_some_and(|found| found.options.read_only);
        let verb = match &prepared.work {
            _ if !read_only => return Ok(()),
            Work::Read { locking: false, .. } => return Ok(()),
            Work::Read { .. } => "SELECT FOR UPDATE",
            Work::Write { verb, .. } | Work::Joined { verb, .. } => verb,
            Work::Define => "a change of schema",
        };
        Err(NodeError::statement(
            "25006",
            format!("cannot execute {verb} in a read-only transaction"),
        ))
    }
}

/// Carries out a definition that makes or removes a file.
async fn define_file(folder: &Folder, definition: &Definition) -> Result<bool, NodeError> {
    match definition {
        Definition::CreateInstance { shard_instance } => {
            folder.create(shard_instance).await?;
        }
        Definition::DropInstance { shard_instance } => {
            folder.remove(shard_instance).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn prepared_instance(instance: &super::connect::Instance) -> bool {
    !instance.name().is_empty()
}

/// Makes a session with a snapshot one that writes; SQLite refuses when the snapshot is old.
fn take_write_lock(session: &Session) -> Result<(), NodeError> {
    // The smallest write there is: it changes nothing and needs the lock.
    session
        .run("DELETE FROM dataman_collection WHERE 0")
        .map_err(|error| if error.sqlstate == "55P03" { serialization() } else { error })
}
