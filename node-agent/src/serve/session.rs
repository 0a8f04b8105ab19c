//! One client's session: its statements, portals and transaction.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::backend;
use dataman_node_protocol::connection::TransactionStatus;
use dataman_node_protocol::error::AGENT_STOPS;
use dataman_node_protocol::frontend::{FrontendMessage, Named, Opening, take_opening};
use dataman_node_protocol::node::{
    CopySink, NodeConnection, Parameters, ResultFormats, RowStream, TransactionOptions,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{Batch, ColumnDescription, StatementDescription};
use dataman_node_protocol::replication::OBSERVATION;
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::types::TypeId;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::STARTUP_TIMEOUT;
use crate::driver::contract::Datasource;
use crate::execute::bind::{BindContext, BoundStatement, bind};
use crate::execute::run::command_tag;
use crate::inspect::Datasources;
use crate::serve::command::Command;
use crate::serve::guard::Refusal;
use crate::serve::listen::{Agent, lock};
use crate::serve::metrics::Counts;
use crate::serve::settings::Settings;
use crate::serve::wire::{Gone, Wire};

/// Serves one client to its end.
pub(super) async fn serve(
    agent: Arc<Agent>,
    socket: TcpStream,
    has_place: bool,
    shutdown: CancellationToken,
) {
    let mut wire = Wire::new(Arc::clone(&agent), socket);
    let parameters = match timeout(STARTUP_TIMEOUT, open(&agent, &mut wire)).await {
        Ok(Some(parameters)) => parameters,
        Ok(None) | Err(_) => return,
    };
    let refusal = match has_place {
        true => None,
        false => Some(NodeError::statement("53300", "sorry, too many clients already")),
    };
    let (process_id, secret_key) = agent.enter();
    let session = match refusal {
        Some(error) => Err(error),
        None => Session::start(&agent, &parameters, process_id),
    };
    let _ = match session {
        Ok(mut session) => session.run(&mut wire, secret_key, &shutdown).await,
        Err(error) => {
            backend::encode_error(&error, "FATAL", b'E', &mut wire.out);
            wire.flush().await
        }
    };
    agent.leave(process_id);
}

/// Reads to the startup packet; `None` when the client wanted something else or went away.
async fn open(agent: &Agent, wire: &mut Wire) -> Option<Vec<(String, String)>> {
    loop {
        match take_opening(&mut wire.input).ok()? {
            None => wire.read().await.ok()?,
            Some(opening @ (Opening::Ssl | Opening::Gss)) => match &agent.guard.tls {
                Some(acceptor) if matches!(opening, Opening::Ssl) && !wire.is_encrypted() => {
                    wire.out.put_u8(b'S');
                    wire.flush().await.ok()?;
                    wire.encrypt(acceptor).await.ok()?;
                }
                _ => {
                    wire.out.put_u8(b'N');
                    wire.flush().await.ok()?;
                }
            },
            Some(Opening::Cancel { process_id, secret_key }) => {
                agent.cancel(process_id, secret_key);
                return None;
            }
            Some(Opening::Startup { version: (3, _), parameters }) => {
                match agent.guard.admit(wire).await {
                    Ok(()) => return Some(parameters),
                    Err(Refusal::Gone) => return None,
                    Err(Refusal::Told(error)) => {
                        backend::encode_error(&error, "FATAL", b'E', &mut wire.out);
                        wire.close().await.ok()?;
                        return None;
                    }
                }
            }
            Some(Opening::Startup { version: (major, minor), .. }) => {
                let message =
                    format!("unsupported frontend protocol {major}.{minor}: server supports 3.0");
                let error = NodeError::statement("0A000", message);
                backend::encode_error(&error, "FATAL", b'E', &mut wire.out);
                wire.flush().await.ok()?;
                return None;
            }
        }
    }
}

/// A failure of a message: the statement's, or the client's disappearance.
enum Failure {
    Statement(NodeError),
    Gone(Gone),
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Statement(error)
    }
}

impl From<Gone> for Failure {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// A prepared statement.
#[derive(Clone)]
pub(super) enum Prepared {
    Query(BoundStatement),
    Command(Command),
}

/// A statement with its parameters.
pub(super) struct Portal {
    prepared: Prepared,
    parameters: Parameters,
    formats: ResultFormats,
    running: Option<Running>,
    done: bool,
}

impl Portal {
    /// One that has been read to its end.
    pub(super) fn finished(prepared: Prepared) -> Self {
        let (parameters, formats) = (Parameters::default(), ResultFormats::default());
        Self { prepared, parameters, formats, running: None, done: true }
    }

    /// Whether its statement is under way.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

/// A statement under way.
struct Running {
    stream: Box<dyn RowStream>,
    /// Rows that the last limit kept back.
    kept_back: Option<Batch>,
    cancel: CancellationToken,
    deadline: Option<Instant>,
    told_copy: bool,
}

/// How far a portal was read.
#[derive(PartialEq, Eq)]
enum Read {
    Whole { affected: u64 },
    UpToLimit,
}

/// One client's session.
pub(super) struct Session {
    pub(super) agent: Arc<Agent>,
    process_id: i32,
    /// Fires when the client cancels; one that has fired is replaced.
    token: CancellationToken,
    /// Those that the client may use.
    datasources: Datasources,
    /// Their names, for the cache of bound statements.
    scope: String,
    /// The database that short-form queries mean.
    database: Option<String>,
    pub(super) settings: Settings,
    pub(super) statements: HashMap<String, Prepared>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) status: TransactionStatus,
    /// The options of a transaction that has not reached a datasource.
    begun: Option<TransactionOptions>,
    /// The transaction's connection, when no statement holds it.
    pub(super) held: Option<(Arc<dyn Datasource>, Box<dyn NodeConnection>)>,
}

impl Session {
    fn start(
        agent: &Arc<Agent>,
        parameters: &[(String, String)],
        process_id: i32,
    ) -> Result<Self, NodeError> {
        let given = |wanted: &str| {
            parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        // libpq names the user's own database when none is named: that says nothing here.
        let named = given("database").filter(|name| Some(*name) != given("user"));
        let chosen = named.and_then(|name| agent.datasources.get_key_value(name));
        let datasources = match chosen {
            Some((name, datasource)) => {
                Datasources::from_iter([(name.clone(), Arc::clone(datasource))])
            }
            None => agent.datasources.clone(),
        };
        let database = match chosen {
            Some(_) => None,
            None => named.filter(|name| *name != "postgres").map(str::to_owned),
        };
        let mut settings = Settings::default();
        for (name, value) in parameters {
            if !matches!(name.as_str(), "user" | "database" | "options" | "replication")
                && !name.starts_with("_pq_.")
            {
                settings.set(name, value)?;
            }
        }
        settings.startup_is_over();
        Ok(Self {
            agent: Arc::clone(agent),
            process_id,
            token: agent.token(process_id),
            scope: datasources.keys().cloned().collect::<Vec<_>>().join("/"),
            datasources,
            database,
            settings,
            statements: HashMap::new(),
            portals: HashMap::new(),
            status: TransactionStatus::Idle,
            begun: None,
            held: None,
        })
    }

    async fn run(
        &mut self,
        wire: &mut Wire,
        secret_key: i32,
        shutdown: &CancellationToken,
    ) -> Result<(), Gone> {
        backend::encode_authentication_ok(&mut wire.out);
        for (name, value) in self.settings.reported() {
            backend::encode_parameter_status(name, &value, &mut wire.out);
        }
        backend::encode_key_data(self.process_id, secret_key, &mut wire.out);
        backend::encode_ready(self.status, &mut wire.out);
        wire.flush().await?;
        // After a failure within a pipeline, everything up to Sync is left out.
        let mut skipping = false;
        loop {
            if !skipping && self.try_pass(wire).await? {
                continue;
            }
            let message = match wire.take() {
                Ok(Some(message)) => Ok(message),
                Ok(None) => tokio::select! {
                    biased;
                    // What has come is looked at as a whole first.
                    read = wire.read() => match read {
                        Ok(()) => continue,
                        Err(gone) => Err(gone),
                    },
                    () = shutdown.cancelled(), if self.status == TransactionStatus::Idle => {
                        let error = NodeError::statement("57P01", AGENT_STOPS);
                        backend::encode_error(&error, "FATAL", b'E', &mut wire.out);
                        return wire.close().await;
                    }
                },
                Err(gone) => Err(gone),
            };
            let message = match message {
                Ok(message) => message,
                Err(Gone::Protocol(error)) => {
                    let error = NodeError::statement("08P01", error.to_string());
                    backend::encode_error(&error, "FATAL", b'E', &mut wire.out);
                    return wire.flush().await;
                }
                Err(gone) => return Err(gone),
            };
            let handled = match message {
                FrontendMessage::Terminate => return Ok(()),
                FrontendMessage::Sync => {
                    skipping = false;
                    if self.status == TransactionStatus::Idle {
                        self.portals.clear();
                    }
                    backend::encode_ready(self.status, &mut wire.out);
                    wire.flush().await?;
                    Ok(())
                }
                FrontendMessage::Query(text) => {
                    skipping = false;
                    let result = self.simple(wire, &text).await;
                    if let Err(Failure::Statement(error)) = &result {
                        self.fail(error, wire);
                    }
                    if let Err(Failure::Gone(gone)) = result {
                        return Err(gone);
                    }
                    if self.status == TransactionStatus::Idle {
                        self.portals.clear();
                    }
                    backend::encode_ready(self.status, &mut wire.out);
                    wire.flush().await?;
                    Ok(())
                }
                FrontendMessage::Flush => Ok(wire.flush().await?),
                // Left over from a COPY that had failed already.
                FrontendMessage::CopyData(_)
                | FrontendMessage::CopyDone
                | FrontendMessage::CopyFail(_) => Ok(()),
                FrontendMessage::Password(_) => {
                    Err(NodeError::statement("08P01", "a password that was not asked for").into())
                }
                _ if skipping => Ok(()),
                message => self.extended(wire, message).await,
            };
            match handled {
                Ok(()) => {}
                Err(Failure::Gone(gone)) => return Err(gone),
                Err(Failure::Statement(error)) => {
                    self.fail(&error, wire);
                    skipping = true;
                }
            }
        }
    }

    /// Fires when the client cancels the next statement.
    pub(super) fn token(&mut self) -> CancellationToken {
        if self.token.is_cancelled() {
            // It came too late for the last one.
            self.token = self.agent.token(self.process_id);
        }
        self.token.clone()
    }

    /// Tells the client of a failure, which fails the transaction too.
    pub(super) fn fail(&mut self, error: &NodeError, wire: &mut Wire) {
        if self.status == TransactionStatus::Open {
            self.status = TransactionStatus::Failed;
        }
        self.agent.counts.fail(&error.sqlstate);
        backend::encode_error(error, "ERROR", b'E', &mut wire.out);
    }

    async fn simple(&mut self, wire: &mut Wire, text: &str) -> Result<(), Failure> {
        // The unnamed portal of the extended protocol ends here.
        self.close_portal("").await;
        let prepared = self.prepare(text, &[]).await?;
        let (parameters, formats) = (Parameters::default(), ResultFormats::default());
        if matches!(prepared, Prepared::Command(Command::Empty)) {
            backend::encode_bare(b'I', &mut wire.out);
            return Ok(());
        }
        if let Some(columns) = self.describe(&prepared).await?.columns {
            backend::encode_columns(&columns, &formats, &mut wire.out);
        }
        let mut portal = Portal { prepared, parameters, formats, running: None, done: false };
        self.execute(wire, &mut portal, 0).await
    }

    async fn extended(&mut self, wire: &mut Wire, message: FrontendMessage) -> Result<(), Failure> {
        match message {
            FrontendMessage::Parse { name, text, params } => {
                if !name.is_empty() && self.statements.contains_key(&name) {
                    let message = format!("prepared statement \"{name}\" already exists");
                    return Err(NodeError::statement("42P05", message).into());
                }
                let params: Vec<TypeId> = params.into_iter().map(TypeId).collect();
                let prepared = self.prepare(&text, &params).await?;
                self.statements.insert(name, prepared);
                backend::encode_bare(b'1', &mut wire.out);
            }
            FrontendMessage::Bind { portal, statement, parameters, formats } => {
                let prepared = self.statement(&statement)?.clone();
                if !portal.is_empty() && self.portals.contains_key(&portal) {
                    let message = format!("cursor \"{portal}\" already exists");
                    return Err(NodeError::statement("42P03", message).into());
                }
                self.close_portal(&portal).await;
                let bound = Portal { prepared, parameters, formats, running: None, done: false };
                self.portals.insert(portal, bound);
                backend::encode_bare(b'2', &mut wire.out);
            }
            FrontendMessage::Describe(Named::Statement(name)) => {
                let prepared = self.statement(&name)?.clone();
                let description = self.describe(&prepared).await?;
                backend::encode_params(&description.params, &mut wire.out);
                tell_columns(description.columns.as_deref(), &ResultFormats::default(), wire);
            }
            FrontendMessage::Describe(Named::Portal(name)) => {
                let portal = self.portals.get(&name).ok_or_else(|| no_portal(&name))?;
                let (prepared, formats) = (portal.prepared.clone(), portal.formats.clone());
                let description = self.describe(&prepared).await?;
                tell_columns(description.columns.as_deref(), &formats, wire);
            }
            FrontendMessage::Execute { portal: name, row_limit } => {
                let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
                let result = self.execute(wire, &mut portal, row_limit).await;
                if result.is_ok() {
                    self.portals.insert(name, portal);
                }
                result?;
            }
            FrontendMessage::Close(Named::Statement(name)) => {
                self.statements.remove(&name);
                backend::encode_bare(b'3', &mut wire.out);
            }
            FrontendMessage::Close(Named::Portal(name)) => {
                self.close_portal(&name).await;
                backend::encode_bare(b'3', &mut wire.out);
            }
            _ => return Err(NodeError::statement("08P01", "a message out of place").into()),
        }
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<&Prepared, NodeError> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            NodeError::statement("26000", message)
        })
    }

    /// Reads a text, and binds it if it is a query.
    async fn prepare(&mut self, text: &str, params: &[TypeId]) -> Result<Prepared, NodeError> {
        let command = Command::parse(text)?;
        if command != Command::Query {
            return Ok(Prepared::Command(command));
        }
        self.refuse_in_failed()?;
        let key = (self.scope.clone(), text.to_owned(), params.to_vec());
        if let Some(found) = lock(&self.agent.statements).get(&key) {
            return Ok(Prepared::Query(found.clone()));
        }
        let snapshot = self.agent.metadata.as_ref().map(|metadata| metadata.snapshot());
        let context = BindContext {
            datasources: &self.datasources,
            snapshot: snapshot.as_deref(),
            database: self.database.as_deref(),
        };
        let bound = bind(text.trim_end_matches([';', ' ', '\n', '\t']), params, &context).await?;
        if !bound.was_short {
            lock(&self.agent.statements).put(key, bound.clone());
        }
        Ok(Prepared::Query(bound))
    }

    fn refuse_in_failed(&self) -> Result<(), NodeError> {
        match self.status {
            TransactionStatus::Failed => Err(NodeError::statement(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            )),
            _ => Ok(()),
        }
    }

    async fn describe(&mut self, prepared: &Prepared) -> Result<StatementDescription, NodeError> {
        let bound = match prepared {
            Prepared::Command(Command::Show(name)) => {
                let column = ColumnDescription { name: name.clone(), ty: TypeId::TEXT.into() };
                return Ok(StatementDescription {
                    params: Vec::new(),
                    columns: Some(vec![column]),
                });
            }
            Prepared::Command(_) => return Ok(StatementDescription::default()),
            Prepared::Query(bound) => bound,
        };
        if !may_return_rows(&bound.statement.query) && !bound.statement.params.is_empty() {
            return Ok(StatementDescription {
                params: bound.statement.params.clone(),
                columns: None,
            });
        }
        if matches!(bound.statement.query, NodeQuery::Define(_))
            || is_copy_in(&bound.statement.query)
        {
            return Ok(StatementDescription::default());
        }
        self.refuse_in_failed()?;
        let mut connection = self.take(&bound.datasource).await?;
        let described = connection.describe(&bound.statement).await;
        self.put_back(&bound.datasource, Some(connection));
        let mut described = described?;
        if described.params.is_empty() {
            described.params.clone_from(&bound.statement.params);
        }
        Ok(described)
    }

    /// The transaction's connection, or one of the pool's.
    async fn take(
        &mut self,
        datasource: &Arc<dyn Datasource>,
    ) -> Result<Box<dyn NodeConnection>, NodeError> {
        if self.status == TransactionStatus::Idle {
            return datasource.connect().await;
        }
        if let Some((held, connection)) = self.held.take() {
            if Arc::ptr_eq(&held, datasource) {
                return Ok(connection);
            }
            self.held = Some((held, connection));
            return Err(NodeError::statement(
                "0A000",
                "a transaction at an agent stays on one datasource",
            ));
        }
        let Some(options) = self.begun.take() else {
            return Err(NodeError::statement(
                "55000",
                "the transaction's connection is taken by a portal that has rows left",
            ));
        };
        let mut connection = datasource.connect().await?;
        connection.begin(&self.settings.context(), options).await?;
        Ok(connection)
    }

    /// After a statement: within a transaction the connection is held, else it goes back to its pool.
    pub(super) fn put_back(
        &mut self,
        datasource: &Arc<dyn Datasource>,
        connection: Option<Box<dyn NodeConnection>>,
    ) {
        if self.status == TransactionStatus::Idle {
            return;
        }
        match connection {
            Some(connection) => self.held = Some((Arc::clone(datasource), connection)),
            None => self.status = TransactionStatus::Failed,
        }
    }

    async fn execute(
        &mut self,
        wire: &mut Wire,
        portal: &mut Portal,
        row_limit: u32,
    ) -> Result<(), Failure> {
        let bound = match &portal.prepared {
            Prepared::Command(command) => {
                let command = command.clone();
                return Ok(self.command(wire, command).await?);
            }
            Prepared::Query(bound) => bound.clone(),
        };
        if portal.done {
            // As PostgreSQL: a portal that was read to its end has no more rows.
            backend::encode_complete(&command_tag(&bound.statement.query, 0), &mut wire.out);
            return Ok(());
        }
        self.refuse_in_failed()?;
        if !portal.is_running() {
            Counts::add(&self.agent.counts.requests, 1);
        }
        if is_copy_in(&bound.statement.query) {
            portal.done = true;
            return self.copy_in(wire, &bound).await;
        }
        let mut running = match portal.running.take() {
            Some(running) => running,
            None => self.begin_statement(&bound, &portal.parameters, &portal.formats).await?,
        };
        match pump(wire, &mut running, row_limit).await {
            Ok(Read::UpToLimit) => {
                backend::encode_bare(b's', &mut wire.out);
                portal.running = Some(running);
                Ok(())
            }
            Ok(Read::Whole { affected }) => {
                portal.done = true;
                for notice in running.stream.take_notices() {
                    backend::encode_error(&notice, "NOTICE", b'N', &mut wire.out);
                }
                if running.told_copy {
                    backend::encode_bare(b'c', &mut wire.out);
                }
                self.put_back(&bound.datasource, running.stream.into_connection());
                let tag = command_tag(&bound.statement.query, affected);
                self.agent.counts.ended(tag.as_bytes());
                backend::encode_complete(&tag, &mut wire.out);
                Ok(())
            }
            Err(Failure::Statement(error)) => {
                self.put_back(&bound.datasource, running.stream.into_connection());
                Err(error.into())
            }
            Err(gone) => Err(gone),
        }
    }

    async fn begin_statement(
        &mut self,
        bound: &BoundStatement,
        parameters: &Parameters,
        formats: &ResultFormats,
    ) -> Result<Running, NodeError> {
        let context = self.settings.context();
        self.agent.fence.check(&bound.statement.query, context.epoch)?;
        let cancel = self.token();
        let deadline =
            context.time_left_ms.map(|left| Instant::now() + Duration::from_millis(left));
        let connection = self.take(&bound.datasource).await?;
        let stream =
            connection.execute(&context, &bound.statement, parameters, formats, &cancel).await;
        Ok(Running { stream, kept_back: None, cancel, deadline, told_copy: false })
    }

    /// Ends a portal. Within a transaction its rows are read to the end, since they stand before the connection's next
    /// statement; outside, its statement is cancelled.
    async fn close_portal(&mut self, name: &str) {
        let Some(portal) = self.portals.remove(name) else { return };
        let (Prepared::Query(bound), Some(mut running)) = (portal.prepared, portal.running) else {
            return;
        };
        if self.status != TransactionStatus::Idle {
            let ended = loop {
                match running.stream.next().await {
                    Ok(Some(_)) => {}
                    ended => break ended,
                }
            };
            self.put_back(&bound.datasource, running.stream.into_connection());
            if ended.is_err() {
                self.status = TransactionStatus::Failed;
            }
        }
    }

    async fn close_portals(&mut self) {
        let names: Vec<String> = self.portals.keys().cloned().collect();
        for name in names {
            self.close_portal(&name).await;
        }
    }

    async fn command(&mut self, wire: &mut Wire, command: Command) -> Result<(), NodeError> {
        let tag = match command {
            Command::Empty => {
                backend::encode_bare(b'I', &mut wire.out);
                return Ok(());
            }
            Command::Query => {
                return Err(NodeError::statement("XX000", "a query is not a command"));
            }
            Command::Begin(options) => {
                self.refuse_in_failed()?;
                if self.status == TransactionStatus::Open {
                    let notice =
                        NodeError::statement("25001", "there is already a transaction in progress");
                    backend::encode_error(&notice, "WARNING", b'N', &mut wire.out);
                } else {
                    self.begin(options).await?;
                }
                "BEGIN"
            }
            Command::Commit if self.status == TransactionStatus::Failed => {
                self.rollback().await?;
                "ROLLBACK"
            }
            Command::Commit => {
                self.close_portals().await;
                let held = self.held.take();
                self.status = TransactionStatus::Idle;
                self.begun = None;
                if let Some((_, mut connection)) = held {
                    connection.commit().await?;
                }
                "COMMIT"
            }
            Command::Rollback => {
                self.rollback().await?;
                "ROLLBACK"
            }
            Command::Savepoint(name) => {
                self.refuse_in_failed()?;
                self.in_transaction("SAVEPOINT").await?.savepoint(&name).await?;
                "SAVEPOINT"
            }
            Command::Release(name) => {
                self.refuse_in_failed()?;
                self.in_transaction("RELEASE SAVEPOINT").await?.release(&name).await?;
                "RELEASE"
            }
            Command::RollbackTo(name) => {
                self.in_transaction("ROLLBACK TO SAVEPOINT").await?.rollback_to(&name).await?;
                self.status = TransactionStatus::Open;
                "ROLLBACK"
            }
            Command::Set(name, value) => {
                self.refuse_in_failed()?;
                self.settings.set(&name, &value)?;
                "SET"
            }
            Command::Reset(name) => {
                self.refuse_in_failed()?;
                self.settings.reset(name.as_deref())?;
                "RESET"
            }
            Command::Show(name) => {
                self.refuse_in_failed()?;
                let value = match name.eq_ignore_ascii_case(OBSERVATION) {
                    true => self.agent.looks.at(&self.datasources).await?.to_text(),
                    false => self.settings.show(&name)?,
                };
                put_row(&value, &mut wire.out);
                "SHOW"
            }
            Command::DiscardAll if self.status != TransactionStatus::Idle => {
                return Err(NodeError::statement(
                    "25001",
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            Command::DiscardAll => {
                self.portals.clear();
                self.statements.clear();
                self.settings.reset(None)?;
                "DISCARD ALL"
            }
            Command::DeallocateAll => {
                self.statements.clear();
                "DEALLOCATE ALL"
            }
        };
        backend::encode_complete(tag, &mut wire.out);
        Ok(())
    }

    async fn begin(&mut self, options: TransactionOptions) -> Result<(), NodeError> {
        self.portals.clear();
        self.begun = Some(options);
        self.status = TransactionStatus::Open;
        let mut datasources = self.datasources.values();
        // With several, the first statement says which one the transaction is on.
        if let (Some(only), None) = (datasources.next(), datasources.next()) {
            let only = Arc::clone(only);
            match self.take(&only).await {
                Ok(connection) => self.put_back(&only, Some(connection)),
                Err(error) => {
                    self.status = TransactionStatus::Idle;
                    self.begun = None;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        // The statements of open portals die with the transaction.
        self.portals.clear();
        self.status = TransactionStatus::Idle;
        self.begun = None;
        match self.held.take() {
            Some((_, mut connection)) => connection.rollback().await,
            None => Ok(()),
        }
    }

    async fn in_transaction(
        &mut self,
        what: &str,
    ) -> Result<&mut Box<dyn NodeConnection>, NodeError> {
        if self.status == TransactionStatus::Idle {
            let message = format!("{what} can only be used in transaction blocks");
            return Err(NodeError::statement("25P01", message));
        }
        self.close_portals().await;
        match &mut self.held {
            Some((_, connection)) => Ok(connection),
            None => Err(NodeError::statement(
                "0A000",
                format!("{what} needs a statement before it, to say which datasource it is for"),
            )),
        }
    }

    async fn copy_in(&mut self, wire: &mut Wire, bound: &BoundStatement) -> Result<(), Failure> {
        self.agent.fence.check(&bound.statement.query, self.settings.context().epoch)?;
        let mut connection = self.take(&bound.datasource).await?;
        let context = self.settings.context();
        let copied = match connection.copy_in(&context, &bound.statement).await {
            Ok(mut sink) => copy(wire, &mut *sink).await,
            Err(error) => Err(error.into()),
        };
        let affected = match copied {
            Err(Failure::Gone(gone)) => return Err(gone.into()),
            Err(Failure::Statement(error)) => {
                self.put_back(&bound.datasource, Some(connection));
                return Err(error.into());
            }
            Ok(affected) => affected,
        };
        self.put_back(&bound.datasource, Some(connection));
        let tag = command_tag(&bound.statement.query, affected);
        self.agent.counts.ended(tag.as_bytes());
        backend::encode_complete(&tag, &mut wire.out);
        Ok(())
    }
}

/// Takes the client's COPY data to where it goes.
async fn copy(wire: &mut Wire, sink: &mut dyn CopySink) -> Result<u64, Failure> {
    // Text, of columns that the client knows better.
    backend::encode_body(b'G', &[0, 0, 0], &mut wire.out);
    wire.flush().await?;
    loop {
        match wire.next().await? {
            FrontendMessage::CopyData(data) => sink.send(data).await?,
            FrontendMessage::CopyDone => return Ok(sink.finish().await?),
            FrontendMessage::CopyFail(reason) => {
                sink.abort(&reason).await?;
                let message = format!("COPY from stdin failed: {reason}");
                return Err(NodeError::statement("57014", message).into());
            }
            FrontendMessage::Flush | FrontendMessage::Sync => {}
            _ => {
                sink.abort("a message that does not belong to a COPY").await?;
                return Err(NodeError::statement(
                    "08P01",
                    "a message that does not belong to a COPY",
                )
                .into());
            }
        }
    }
}

/// Writes rows until the end or the limit.
async fn pump(wire: &mut Wire, running: &mut Running, row_limit: u32) -> Result<Read, Failure> {
    let mut left = match row_limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    loop {
        let batch = match running.kept_back.take() {
            Some(batch) => Some(batch),
            None => next_batch(wire, running).await?,
        };
        if !running.told_copy
            && let Some(response) = running.stream.copy_out_response()
        {
            backend::encode_body(b'H', response, &mut wire.out);
            running.told_copy = true;
        }
        let Some(batch) = batch else {
            return Ok(Read::Whole { affected: running.stream.end().affected });
        };
        let (now, later) = split(batch, left);
        left -= now.rows;
        running.kept_back = later;
        wire.write_frames(&now.frames).await?;
        if left == 0 {
            return Ok(Read::UpToLimit);
        }
    }
}

/// The next batch, while watching the client and the clock.
async fn next_batch(wire: &mut Wire, running: &mut Running) -> Result<Option<Batch>, Failure> {
    let mut next: Pin<Box<dyn Future<Output = _> + Send>> = running.stream.next();
    // Rows at hand need no wait; before a wait the client gets what there is.
    if let Poll::Ready(batch) = futures_util::poll!(&mut next) {
        return Ok(batch?);
    }
    wire.flush().await?;
    let mut timed_out = false;
    loop {
        tokio::select! {
            biased;
            batch = &mut next => {
                return batch.map_err(|error| late(error, timed_out).into());
            }
            // The stream is dropped with the session, and its statement cancelled.
            gone = wire.gone() => return Err(gone.into()),
            () = sleep_until(running.deadline.unwrap_or_else(Instant::now)),
                if running.deadline.is_some() && !timed_out =>
            {
                timed_out = true;
                running.cancel.cancel();
            }
        }
    }
}

/// The first `rows` rows, and the rest.
fn split(batch: Batch, rows: usize) -> (Batch, Option<Batch>) {
    if batch.rows <= rows {
        return (batch, None);
    }
    let mut at = 0;
    for _ in 0..rows {
        let Some(head) = batch.frames.get(at + 1..at + 5) else { break };
        at += 1 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    }
    let at = at.min(batch.frames.len());
    let first = Batch { frames: batch.frames.slice(..at), rows };
    let rest = Batch { frames: batch.frames.slice(at..), rows: batch.rows - rows };
    (first, Some(rest))
}

fn tell_columns(columns: Option<&[ColumnDescription]>, formats: &ResultFormats, wire: &mut Wire) {
    match columns {
        Some(columns) => backend::encode_columns(columns, formats, &mut wire.out),
        None => backend::encode_bare(b'n', &mut wire.out),
    }
}

/// The failure of a statement that was cancelled, because its time was over or for another reason.
pub(super) fn late(error: NodeError, timed_out: bool) -> NodeError {
    match error.kind {
        NodeErrorKind::Cancelled if timed_out => {
            NodeError::statement("57014", "canceling statement due to statement timeout")
        }
        _ => error,
    }
}

/// A row of one text.
fn put_row(value: &str, out: &mut BytesMut) {
    let mut body = BytesMut::new();
    body.put_u16(1);
    body.put_u32(u32::try_from(value.len()).unwrap_or(0));
    body.put_slice(value.as_bytes());
    backend::encode_body(b'D', &body, out);
}

fn no_portal(name: &str) -> NodeError {
    NodeError::statement("34000", format!("portal \"{name}\" does not exist"))
}

fn may_return_rows(query: &NodeQuery) -> bool {
    match query {
        NodeQuery::Get(_)
        | NodeQuery::Filter(_)
        | NodeQuery::Aggregate(_)
        | NodeQuery::Inspect(_)
        | NodeQuery::Sql(_) => true,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => !insert.returning.is_empty(),
        NodeQuery::Update(update) => !update.returning.is_empty(),
        NodeQuery::Delete(delete) => !delete.returning.is_empty(),
        NodeQuery::Set(_) | NodeQuery::Copy(_) | NodeQuery::Define(_) => false,
    }
}

/// Whether a statement is `COPY … FROM STDIN`.
fn is_copy_in(query: &NodeQuery) -> bool {
    let sql = match query {
        NodeQuery::Copy(_) => return true,
        NodeQuery::Sql(sql) => sql,
        _ => return false,
    };
    let text = sql.text.trim_start();
    text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("copy"))
        && text
            .to_ascii_lowercase()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("from stdin")
}
