//! One execution: from the request to the rows, across the border between waiting tasks and blocking threads.

use std::sync::Arc;

use async_trait::async_trait;
use dataman_node_protocol::error::NodeError;
use dataman_node_protocol::node::{
    End, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream, StatementContext,
};
use dataman_node_protocol::record::Batch;
use dataman_pg::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection::SqliteConnection;
use super::run::{Execution, Prepared, Work};
use super::session::Session;

/// What an execution hands back at its end.
pub(super) type Finished = (Option<Box<SqliteConnection>>, Result<End, NodeError>);

/// One execution on its way.
pub(super) struct Request {
    pub(super) context: StatementContext,
    pub(super) statement: Arc<NodeStatement>,
    pub(super) parameters: Parameters,
    pub(super) formats: ResultFormats,
    pub(super) stop: CancellationToken,
    pub(super) sender: mpsc::Sender<Batch>,
}

/// An execution with everything that it needs on the blocking thread.
pub(super) struct Job {
    pub(super) prepared: Arc<Prepared>,
    pub(super) request: Request,
    pub(super) context: Arc<Context>,
}

impl Job {
    /// Runs a read, handing its batches on as they come.
    pub(super) fn read(&self, session: &mut Session) -> Result<End, NodeError> {
        self.run(session).map(|(end, _)| end)
    }

    fn run(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        let stop = &self.request.stop;
        session.begin_statement(
            self.context.clone(),
            self.prepared.expressions.clone(),
            stop.clone(),
        );
        let handle = tokio::runtime::Handle::current();
        let execution = Execution {
            statement: self.request.statement.clone(),
            prepared: self.prepared.clone(),
            parameters: self.request.parameters.clone(),
            formats: self.request.formats.formats.clone(),
        };
        let mut emit = |batch: Batch| {
            handle.block_on(async {
                tokio::select! {
                    biased; // a cancelled statement hands on nothing more
                    () = stop.cancelled() => Err(NodeError::cancelled()),
                    sent = self.request.sender.send(batch) => {
                        sent.map_err(|_| NodeError::cancelled())
                    }
                }
            })
        };
        let done = execution.run(session, &mut emit);
        session.end_statement();
        let (affected, batches) = done?;
        Ok((End { affected }, batches))
    }

    /// Hands on the rows of a write that has been carried out. A cancel comes too late for it.
    pub(super) fn hand_on(&self, batches: Vec<Batch>) {
        for batch in batches {
            if self.request.sender.blocking_send(batch).is_err() {
                return;
            }
        }
    }

    /// Runs a write in a transaction of its own.
    pub(super) fn run_alone(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        session.run_cached("BEGIN IMMEDIATE")?;
        let result = self.run(session).and_then(|done| {
            session.run_cached("COMMIT")?;
            Ok(done)
        });
        if result.is_err() && !session.connection.is_autocommit() {
            // A definition may be undone with it.
            session.generation = 0;
            session.run_cached("ROLLBACK")?;
        }
        result
    }

    /// Runs a write so that its failure undoes only itself.
    pub(super) fn run_within(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        let defines = matches!(self.prepared.work, Work::Define);
        session.run_cached("SAVEPOINT dm_statement")?;
        let result = self.run(session);
        // Some failures (a full disk) make SQLite roll back the whole transaction itself.
        if !session.connection.is_autocommit() {
            if result.is_err() {
                session.run_cached("ROLLBACK TO dm_statement")?;
                if defines {
                    session.reload()?;
                }
            }
            session.run_cached("RELEASE dm_statement")?;
        }
        result
    }
}

/// The rows of one execution.
pub(super) struct Rows {
    pub(super) receiver: mpsc::Receiver<Batch>,
    pub(super) tasks: JoinSet<Finished>,
    pub(super) stop: CancellationToken,
    pub(super) end: Option<End>,
    pub(super) connection: Option<Box<SqliteConnection>>,
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
                Err(NodeError::statement("XX000", format!("SQLite work failed: {error}")))
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
