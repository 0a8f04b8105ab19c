//! A node at the other end of a wire: an agent, or (for the PostgreSQL driver) the database itself.
//!
//! [`WireNode`] is the same for both; what differs, in which words a statement is sent and which settings belong to it, is
//! its [`Hop`].

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::address::{Address, AgentAccess};
use crate::capability::Capability;
use crate::connection::{Answer, CANCEL_TIMEOUT, Connection, TransactionStatus, WireStatement};
use crate::context::quote_identifier;
use crate::error::NodeError;
use crate::node::{
    CopySink, End, Node, NodeConnection, NodeStatement, Parameters, PoolUse, ResultFormats,
    RowStream, StatementContext, TransactionOptions,
};
use crate::pass::PassThrough;
use crate::pool::{Pool, PoolLimits, PooledConnection};
use crate::query::NodeQuery;
use crate::record::{Batch, StatementDescription};
use crate::replication::{OBSERVATION, Observation};

/// What one hop says in its own words.
#[async_trait]
pub trait Hop: Send + Sync + 'static {
    /// What the database behind it can carry out exactly.
    fn capability(&self) -> &dyn Capability;

    /// The statement as the server takes it. `parameters` are those it is to run with, none when only described.
    ///
    /// # Errors
    /// `Unsupported` for what cannot be said.
    fn lower<'a>(
        &self,
        statement: &'a NodeStatement,
        parameters: Option<&'a Parameters>,
    ) -> Result<HopStatement<'a>, NodeError>;

    /// The context with all that the server does not look at left out, so that it does not count as a change.
    fn relevant(&self, context: &StatementContext) -> StatementContext;

    /// What is to be set for a context: names and values.
    fn settings(&self, context: &StatementContext) -> Vec<(String, String)>;

    /// Puts the server's failure into users' words.
    fn translate_error(&self, _statement: &NodeStatement, error: NodeError) -> NodeError {
        error
    }

    /// Carries out what is not one statement; `None` when it is one after all.
    async fn carry_out(
        &self,
        _connection: &mut Connection,
        _statement: &NodeStatement,
    ) -> Option<Result<u64, NodeError>> {
        None
    }

    /// Asks the server for what [`Node::observe`] gives.
    async fn observe(&self, _connection: &mut Connection) -> Result<Observation, NodeError> {
        Err(NodeError::unsupported("this database's own replication is not supported"))
    }

    /// Whether [`Hop::carry_out`] is to be asked.
    fn is_script(&self, _query: &NodeQuery) -> bool {
        false
    }
}

/// A statement in a server's words.
#[derive(Debug)]
pub struct HopStatement<'a> {
    /// Same key, same text and parameter types.
    pub key: u64,
    /// The text.
    pub text: HopText<'a>,
    /// The types of `$1…`; 0 leaves one to the server.
    pub params: Arc<[u32]>,
    /// The parameters as the text wants them, when they are not the caller's.
    pub parameters: Option<Cow<'a, Parameters>>,
    /// Whether it can be used again: then it is prepared under a name from the second time on.
    pub reusable: bool,
}

/// A statement's text, borrowed or shared.
#[derive(Debug, Clone)]
pub enum HopText<'a> {
    /// Of the statement itself.
    Borrowed(&'a str),
    /// Of a cache.
    Shared(Arc<str>),
}

impl HopText<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A node behind a pool of connections.
pub struct WireNode<H> {
    pool: Arc<Pool>,
    hop: Arc<H>,
    /// The connection that observes, between two looks.
    observer: Mutex<Option<Box<Connection>>>,
}

impl<H: Hop> WireNode<H> {
    /// Makes a node; connects to nothing yet.
    pub fn new(address: Address, limits: PoolLimits, hop: H) -> Self {
        Self { pool: Pool::new(address, limits), hop: Arc::new(hop), observer: Mutex::default() }
    }

    /// The connections.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The hop.
    pub fn hop(&self) -> &H {
        &self.hop
    }

    fn lend(&self, connection: PooledConnection) -> Box<dyn NodeConnection> {
        let hop = Arc::clone(&self.hop);
        Box::new(WireConnection { connection, hop, passing: None, was_idle: false })
    }
}

#[async_trait]
impl<H: Hop> Node for WireNode<H> {
    fn capability(&self) -> &dyn Capability {
        self.hop.capability()
    }

    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError> {
        Ok(self.lend(self.pool.take().await?))
    }

    fn connect_now(&self) -> Option<Box<dyn NodeConnection>> {
        self.pool.take_now().map(|connection| self.lend(connection))
    }

    fn pool_use(&self) -> Option<PoolUse> {
        Some(self.pool.usage())
    }

    async fn observe(&self) -> Result<Observation, NodeError> {
        // Whoever drops this, or fails, loses the connection; the next look opens another.
        let kept = self.observer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => Box::new(Connection::open(self.pool.address()).await?),
        };
        let observed = self.hop.observe(&mut connection).await?;
        *self.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(observed)
    }
}

/// A datasource of a separate agent.
pub type RemoteNode = WireNode<AgentHop>;

impl RemoteNode {
    /// The datasource `datasource` of the agent at `address` (`host:port`). Its engine is known from the metadata, and with
    /// it what it can do: agents of the same version have the same capabilities.
    ///
    /// # Errors
    /// `08001` when the address is none.
    pub fn open(
        address: &str,
        datasource: &str,
        capability: Arc<dyn Capability>,
        limits: PoolLimits,
        access: &AgentAccess,
    ) -> Result<Self, NodeError> {
        let address = Address::agent(address, datasource, "dataman", access)?;
        Ok(Self::new(address, limits, AgentHop { capability }))
    }
}

/// Proxy → agent: the text is the query's JSON.
pub struct AgentHop {
    capability: Arc<dyn Capability>,
}

#[async_trait]
impl Hop for AgentHop {
    fn capability(&self) -> &dyn Capability {
        &*self.capability
    }

    fn lower<'a>(
        &self,
        statement: &'a NodeStatement,
        _parameters: Option<&'a Parameters>,
    ) -> Result<HopStatement<'a>, NodeError> {
        Ok(HopStatement {
            key: statement.id(),
            text: HopText::Borrowed(statement.json()?),
            params: statement.params.iter().map(|ty| ty.0).collect(),
            parameters: None,
            reusable: true,
        })
    }

    fn relevant(&self, context: &StatementContext) -> StatementContext {
        let mut context = context.clone();
        if self.capability.takes_sql() {
            // A PostgreSQL has a clock of its own; what depends on the transaction's start came as a constant.
            context.transaction_time_us = 0;
        }
        context
    }

    fn settings(&self, context: &StatementContext) -> Vec<(String, String)> {
        let mut settings = context.settings.to_vec();
        settings.push(("dataman.epoch".to_owned(), context.epoch.to_string()));
        if context.transaction_time_us != 0 {
            let time = context.transaction_time_us.to_string();
            settings.push(("dataman.transaction_time_us".to_owned(), time));
        }
        if let Some(left) = context.time_left_ms {
            settings.push(("dataman.time_left_ms".to_owned(), left.to_string()));
        }
        settings
    }

    async fn observe(&self, connection: &mut Connection) -> Result<Observation, NodeError> {
        let rows = connection.query(&format!("SHOW {OBSERVATION}")).await?;
        let shown = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        Observation::parse(&shown.unwrap_or_default())
    }
}

/// A connection of a [`WireNode`], on loan to one session.
pub(crate) struct WireConnection<H: Hop> {
    pub(crate) connection: PooledConnection,
    pub(crate) hop: Arc<H>,
    /// The statement whose answer is passed on.
    pub(crate) passing: Option<Arc<NodeStatement>>,
    /// No transaction was open when it was put together.
    pub(crate) was_idle: bool,
}

impl<H: Hop> WireConnection<H> {
    pub(crate) fn changes(&mut self, context: &StatementContext) -> Vec<String> {
        let context = self.hop.relevant(context);
        let hop = &self.hop;
        self.connection.sent.changes(&context, |context| hop.settings(context))
    }

    /// Whether the server has been told all of a context.
    pub(crate) fn is_told(&self, context: &StatementContext) -> bool {
        self.connection.sent.fits(&self.hop.relevant(context))
    }

    async fn command(&mut self, text: String) -> Result<(), NodeError> {
        self.connection.run(&[text]).await
    }
}

#[async_trait]
impl<H: Hop> NodeConnection for WireConnection<H> {
    fn has_one_writer(&self) -> bool {
        self.hop.capability().has_one_writer()
    }

    async fn describe(
        &mut self,
        statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError> {
        let lowered = self.hop.lower(statement, None)?;
        let wire = WireStatement {
            key: lowered.key,
            keep: false,
            text: lowered.text.as_str(),
            params: &lowered.params,
        };
        let described = self.connection.describe(&[], &wire).await;
        described.map_err(|error| self.hop.translate_error(statement, error))
    }

    async fn execute(
        mut self: Box<Self>,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        parameters: &Parameters,
        formats: &ResultFormats,
        cancel: &CancellationToken,
    ) -> Box<dyn RowStream> {
        let mut stream = WireRows {
            was_idle: self.connection.status() == TransactionStatus::Idle,
            connection: Some(*self),
            statement: Arc::clone(statement),
            cancel: cancel.clone(),
            state: State::Running,
            end: End::default(),
            copy_out: None,
            discarded: 0,
        };
        if cancel.is_cancelled() {
            stream.state = State::Failed(NodeError::cancelled());
        } else if let Err(error) = stream.start(context, parameters, formats).await {
            stream.state = State::Failed(error);
        }
        Box::new(stream)
    }

    fn pass_through(&mut self) -> Option<&mut dyn PassThrough> {
        Some(self)
    }

    async fn begin(
        &mut self,
        context: &StatementContext,
        options: TransactionOptions,
    ) -> Result<(), NodeError> {
        if self.connection.status() != TransactionStatus::Idle {
            return Err(NodeError::statement(
                "25001",
                "there is already a transaction in progress",
            ));
        }
        let changes = self.changes(context);
        if !changes.is_empty() {
            // Outside the transaction, so that its end does not undo them.
            self.connection.run(&changes).await?;
        }
        self.connection.queue_begin(options);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NodeError> {
        if self.connection.drop_queued_begin() {
            return Ok(());
        }
        let failed = self.connection.status() == TransactionStatus::Failed;
        self.command("COMMIT".to_owned()).await.map_err(NodeError::of_commit)?;
        if failed {
            self.connection.sent.rolled_back();
            return Err(NodeError::statement(
                "25P02",
                "current transaction is aborted, and was rolled back instead of committed",
            ));
        }
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        if self.connection.drop_queued_begin() {
            return Ok(());
        }
        if self.connection.status() == TransactionStatus::Idle && self.connection.is_ready() {
            return Ok(());
        }
        self.connection.sent.rolled_back();
        self.command("ROLLBACK".to_owned()).await
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError> {
        self.command(format!("SAVEPOINT {}", quote_identifier(name))).await
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError> {
        self.connection.sent.rolled_back();
        self.command(format!("ROLLBACK TO SAVEPOINT {}", quote_identifier(name))).await
    }

    async fn release(&mut self, name: &str) -> Result<(), NodeError> {
        self.command(format!("RELEASE SAVEPOINT {}", quote_identifier(name))).await
    }

    async fn copy_in(
        &mut self,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
    ) -> Result<Box<dyn CopySink + '_>, NodeError> {
        let changes = self.changes(context);
        let lowered = match self.hop.lower(statement, None) {
            Ok(lowered) => lowered,
            Err(error) => {
                self.connection.sent.rolled_back();
                return Err(error);
            }
        };
        let wire = WireStatement {
            key: lowered.key,
            keep: false,
            text: lowered.text.as_str(),
            params: &lowered.params,
        };
        let (parameters, formats) = (Parameters::default(), ResultFormats::default());
        let sent = self.connection.send(&changes, &wire, &parameters, &formats).await;
        sent.inspect_err(|_| self.connection.sent.rolled_back())?;
        let hop = &self.hop;
        match self.connection.answer().await {
            Ok(Answer::CopyIn) => {}
            Ok(Answer::Done { .. }) => {
                return Err(NodeError::statement(
                    "42601",
                    "the statement is not COPY … FROM STDIN",
                ));
            }
            Ok(_) => {
                self.connection.drain().await?;
                return Err(NodeError::statement(
                    "42601",
                    "the statement is not COPY … FROM STDIN",
                ));
            }
            Err(error) => return Err(hop.translate_error(statement, error)),
        }
        Ok(Box::new(WireCopy {
            connection: &mut self.connection,
            hop: &**hop,
            statement: Arc::clone(statement),
        }))
    }
}

/// A COPY in under way. Dropped before its end, the connection is closed by its pool: nothing of the copy remains.
struct WireCopy<'a, H: Hop> {
    connection: &'a mut Connection,
    hop: &'a H,
    statement: Arc<NodeStatement>,
}

#[async_trait]
impl<H: Hop> CopySink for WireCopy<'_, H> {
    async fn send(&mut self, data: Bytes) -> Result<(), NodeError> {
        if self.connection.copy_has_failed() {
            // Its words come with the end of the copy.
            return self.finish().await.map(|_| ());
        }
        self.connection.send_copy_data(data).await
    }

    async fn finish(&mut self) -> Result<u64, NodeError> {
        let finished = self.connection.finish_copy().await;
        finished.map_err(|error| self.hop.translate_error(&self.statement, error))
    }

    async fn abort(&mut self, _reason: &str) -> Result<(), NodeError> {
        self.connection.put_copy_fail().await?;
        match self.connection.drain().await {
            Err(error) if error.sqlstate == "57014" => Ok(()),
            ended => ended,
        }
    }
}

enum State {
    /// Answers are still to come.
    Running,
    /// A script, not begun.
    Script,
    /// The failure to tell at the next call.
    Failed(NodeError),
    /// Told.
    Done,
}

/// The rows of one statement.
struct WireRows<H: Hop> {
    connection: Option<WireConnection<H>>,
    statement: Arc<NodeStatement>,
    cancel: CancellationToken,
    state: State,
    /// No transaction was open: a lost reply leaves a write's outcome unknown.
    was_idle: bool,
    end: End,
    copy_out: Option<Bytes>,
    /// Rows dropped after the cancel.
    discarded: usize,
}

impl<H: Hop> WireRows<H> {
    async fn start(
        &mut self,
        context: &StatementContext,
        parameters: &Parameters,
        formats: &ResultFormats,
    ) -> Result<(), NodeError> {
        let Some(wire) = &mut self.connection else { return Ok(()) };
        let changes = wire.changes(context);
        if wire.hop.is_script(&self.statement.query) {
            if !changes.is_empty() {
                wire.connection.run(&changes).await?;
            }
            self.state = State::Script;
            return Ok(());
        }
        let lowered = match wire.hop.lower(&self.statement, Some(parameters)) {
            Ok(lowered) => lowered,
            Err(error) => {
                // The changes were noted as sent, and were not.
                wire.connection.sent.rolled_back();
                return Err(error);
            }
        };
        let comes_again = lowered.reusable && self.statement.count_use() > 0;
        let statement = WireStatement {
            key: lowered.key,
            keep: comes_again,
            text: lowered.text.as_str(),
            params: &lowered.params,
        };
        let parameters = lowered.parameters.as_deref().unwrap_or(parameters);
        let sent = wire.connection.send(&changes, &statement, parameters, formats).await;
        sent.inspect_err(|_| wire.connection.sent.rolled_back())
    }

    async fn advance(&mut self) -> Result<Option<Batch>, NodeError> {
        let Some(wire) = &mut self.connection else { return Ok(None) };
        loop {
            let answer = tokio::select! {
                // The cancel first: a stream of rows that never pauses must not outrun it.
                biased;
                () = self.cancel.cancelled() => break,
                answer = wire.connection.answer() => answer?,
            };
            match answer {
                Answer::Rows(batch) => return Ok(Some(batch)),
                Answer::CopyOut(response) => self.copy_out = Some(response),
                Answer::CopyIn => {
                    wire.connection.put_copy_fail().await?;
                    let ended = wire.connection.drain().await;
                    return Err(ended.err().unwrap_or_else(|| {
                        NodeError::statement("0A000", "COPY FROM STDIN is not possible here")
                    }));
                }
                Answer::Done { affected } => {
                    self.end = End { affected };
                    return Ok(None);
                }
            }
        }
        wire.connection.send_cancel().await;
        let drained = timeout(CANCEL_TIMEOUT, async {
            loop {
                match wire.connection.answer().await? {
                    Answer::Rows(batch) => self.discarded += batch.rows,
                    Answer::CopyIn => wire.connection.put_copy_fail().await?,
                    Answer::CopyOut(_) => self.discarded += 1,
                    Answer::Done { affected } => return Ok::<_, NodeError>(affected),
                }
            }
        });
        match drained.await {
            // The end came before the cancel did, and nothing of the answer is missing.
            Ok(Ok(affected)) if self.discarded == 0 => {
                self.end = End { affected };
                Ok(None)
            }
            Ok(Err(error)) if error.sqlstate != "57014" => Err(error),
            Ok(_) => Err(NodeError::cancelled()),
            Err(_) => {
                // The pool closes what is still under way.
                self.connection = None;
                Err(NodeError::cancelled())
            }
        }
    }

    fn explain(&self, error: NodeError) -> NodeError {
        let error = error.of_write(self.was_idle && self.statement.query.writes());
        match &self.connection {
            Some(wire) => wire.hop.translate_error(&self.statement, error),
            None => error,
        }
    }
}

#[async_trait]
impl<H: Hop> RowStream for WireRows<H> {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        let result = match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return Ok(None),
            State::Failed(error) => Err(error),
            State::Running => {
                // Put back first: a dropped call must leave the stream where it was.
                self.state = State::Running;
                self.advance().await
            }
            State::Script => match &mut self.connection {
                Some(wire) => {
                    let hop = Arc::clone(&wire.hop);
                    match hop.carry_out(&mut wire.connection, &self.statement).await {
                        Some(Ok(affected)) => {
                            self.end = End { affected };
                            Ok(None)
                        }
                        Some(Err(error)) => Err(error),
                        None => {
                            Err(NodeError::unsupported("this definition cannot be carried out"))
                        }
                    }
                }
                None => Ok(None),
            },
        };
        if !matches!(result, Ok(Some(_))) {
            self.state = State::Done;
        }
        result.map_err(|error| self.explain(error))
    }

    fn end(&self) -> End {
        self.end
    }

    fn copy_out_response(&self) -> Option<&Bytes> {
        self.copy_out.as_ref()
    }

    fn take_notices(&mut self) -> Vec<NodeError> {
        self.connection.as_mut().map(|wire| wire.connection.take_notices()).unwrap_or_default()
    }

    fn into_connection(self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        let wire = self.connection?;
        // What is still under way, or broken, is the pool's to deal with.
        wire.connection.is_ready().then(|| Box::new(wire) as Box<dyn NodeConnection>)
    }
}
