//! One statement through every stage: parse → plan → run → encode.
//!
//! ```text
//! simple protocol      parse ─▶ for each statement: run_statement ─▶ (finish_string)
//! extended protocol    Parse ─▶ prepare ─▶ Bind ─▶ bind ─▶ Execute ─▶ run_portal ─▶ Sync ─▶ sync
//!                                  │                                     │
//!                                  ▼                                     ▼
//!            both:              describe                               start ─▶ pump ─▶ finish_statement
//! ```
//! `prepare` finds what a statement takes and gives: a plan for SELECT and DML, columns for SHOW and EXPLAIN. `start` carries it
//! out as far as its first row; `pump` hands rows to the client no faster than it takes them; `finish_statement` commits
//! what is to be committed. Any failure goes through `fail`, which leaves the transaction as PostgreSQL would.

use std::pin::pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataman_metadata::id::DatasourceId;
use dataman_metadata::replica::ReadPreference;
use dataman_node_protocol::node::{Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::record::Format;
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::context::{Context, SessionFacts, SharedTypes};
use dataman_pg::{PgError, TypeId};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::merge::{self, Execution};
use crate::parse::syntax::{self, ParsedStatement, Statement};
use crate::plan::bind::DatabaseTypes;
use crate::replicas::Reads;
use crate::rows::tag;
use crate::session::describe::is_other_result;
use crate::session::portal::{Portal, PortalState, Rows};
use crate::session::prepared::{Planned, Prepared};
use crate::session::sequence::StatementSequences;
use crate::session::transaction::{Enlistment, Level, State};
use crate::session::{RowSink, Session, activity};

/// How often a statement is planned anew because an agent has seen newer metadata.
const STALE_ATTEMPTS: usize = 3;

/// How often a read is tried on other copies after one has failed it.
const READ_ATTEMPTS: usize = 4;

/// Seconds from 1970 to 2000, where PostgreSQL's clock begins.
const EPOCH_2000_S: i64 = 946_684_800;

/// Where a statement stands among others that share its fate when nobody has said BEGIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Alone: it is its own transaction.
    Only,
    /// Others follow.
    Middle,
    /// Others went before, and none follows.
    Last,
}

/// How far Execute got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// To the end, with this tag.
    Complete(String),
    /// To the number of rows asked for.
    Suspended,
    /// The statement was empty.
    Empty,
}

/// A statement that has been started.
pub(super) enum Started {
    /// Rows follow.
    Rows(Rows),
    /// It is done, with this tag.
    Done(String),
}

impl Session {
    /// Splits a query string and parses it.
    ///
    /// # Errors
    /// `42601` and what else parsing finds; the transaction is failed by it.
    pub async fn parse(&mut self, sql: &str) -> Result<Arc<Vec<Arc<ParsedStatement>>>, Error> {
        match self.plans.parse(sql) {
            Ok(statements) => Ok(statements),
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Runs one statement of a query string; gives its tag, none for an empty one.
    ///
    /// # Errors
    /// The statement's failure; the transaction is failed by it.
    pub async fn run_statement(
        &mut self,
        statement: &Arc<ParsedStatement>,
        place: Place,
        sink: &mut dyn RowSink,
    ) -> Result<Option<String>, Error> {
        if statement.statement == Statement::Empty {
            return Ok(None);
        }
        self.show_begin(activity::shown_text(&statement.text));
        let token = CancellationToken::new();
        let running = Arc::clone(&self.running);
        let time = self.settings.typed().statement_timeout;
        let outcome = {
            let work = pin!(async {
                self.check_not_failed(&statement.statement)?;
                self.begin_statement(place);
                let mut prepared = Arc::new(self.describe(Some(Arc::clone(statement)), &[])?);
                // The simple protocol has no values to give.
                if !prepared.params.is_empty() {
                    return Err(PgError::new("42P02", "there is no parameter $1").into());
                }
                let text = |prepared: &Prepared| {
                    vec![Format::Text; prepared.columns.as_ref().map_or(0, Vec::len)]
                };
                let mut formats = text(&prepared);
                let parameters = Parameters::default();
                let mut started = self.start(&prepared, &parameters, &formats, &token).await;
                if started.as_ref().is_err_and(is_other_result) {
                    // Newer metadata have come in between, and the client knows nothing of the columns yet.
                    prepared = Arc::new(self.describe(Some(Arc::clone(statement)), &[])?);
                    formats = text(&prepared);
                    started = self.start(&prepared, &parameters, &formats, &token).await;
                }
                let started = started?;
                let tag = match started {
                    Started::Done(tag) => tag,
                    Started::Rows(mut rows) => {
                        if let Some(columns) = &prepared.columns {
                            sink.columns(columns, &formats);
                        }
                        let outcome = pump(&mut rows, 0, sink).await;
                        self.transaction.give_back(rows.take_connections());
                        tag_of(&rows, outcome?)
                    }
                };
                self.finish_statement(place).await?;
                Ok(tag)
            });
            running.watch(&token, time, work).await.and_then(|outcome| outcome)
        };
        self.writer.end();
        match outcome {
            Ok(tag) => {
                self.doing.ended(activity::counted(&tag), self.status());
                Ok(Some(tag))
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Execute: runs a portal, or goes on with it, for up to `rows_max` rows (0 for all).
    ///
    /// # Errors
    /// The statement's failure; the transaction is failed by it, and the portal is gone.
    pub async fn run_portal(
        &mut self,
        name: &str,
        rows_max: usize,
        place: Place,
        sink: &mut dyn RowSink,
    ) -> Result<Progress, Error> {
        let mut portal = match self.portals.take(name) {
            Ok(portal) => portal,
            Err(error) => return Err(self.fail(error.into()).await),
        };
        if let Some(statement) = &portal.prepared.statement {
            self.show_begin(activity::shown_text(&statement.text));
        }
        // Rows that are still to come are cancelled by the token that they were started with.
        let token = match &portal.state {
            PortalState::Rows(rows) => rows.cancel.clone(),
            PortalState::Ready | PortalState::Exhausted { .. } | PortalState::Done => {
                CancellationToken::new()
            }
        };
        let running = Arc::clone(&self.running);
        let time = self.settings.typed().statement_timeout;
        let outcome = {
            let work = pin!(self.continue_portal(name, &mut portal, rows_max, place, sink, &token));
            running.watch(&token, time, work).await.and_then(|outcome| outcome)
        };
        self.writer.end();
        match outcome {
            Ok(progress) => {
                // A transaction that has ended took its portals with it.
                if self.transaction.state != State::Idle {
                    self.portals.put_back(name, portal);
                }
                match &progress {
                    Progress::Complete(tag) => {
                        self.doing.ended(activity::counted(tag), self.status());
                    }
                    Progress::Suspended | Progress::Empty => self.doing.rest(self.status()),
                }
                Ok(progress)
            }
            Err(error) => {
                if let PortalState::Rows(rows) = &mut portal.state {
                    self.transaction.give_back(rows.take_connections());
                }
                drop(portal);
                Err(self.fail(error).await)
            }
        }
    }

    async fn continue_portal(
        &mut self,
        name: &str,
        portal: &mut Portal,
        rows_max: usize,
        place: Place,
        sink: &mut dyn RowSink,
        token: &CancellationToken,
    ) -> Result<Progress, Error> {
        let prepared = Arc::clone(&portal.prepared);
        if prepared.statement.is_none() {
            return Ok(Progress::Empty);
        }
        self.check_not_failed_for(&prepared)?;
        self.begin_statement(place);
        match &mut portal.state {
            PortalState::Done => {
                return Err(
                    PgError::new("55000", format!("portal \"{name}\" cannot be run")).into()
                );
            }
            PortalState::Exhausted { word } => {
                return Ok(Progress::Complete(tag::counted(word, 0)));
            }
            PortalState::Rows(_) => {}
            PortalState::Ready => {
                match self.start(&prepared, &portal.parameters, &portal.formats, token).await? {
                    Started::Done(tag) => {
                        portal.state = PortalState::Done;
                        self.finish_statement(place).await?;
                        return Ok(Progress::Complete(tag));
                    }
                    Started::Rows(mut rows) => {
                        // A statement that writes runs to its end before its rows are handed out in parts.
                        let outcome =
                            if rows.writes && rows_max > 0 { rows.drain().await } else { Ok(()) };
                        portal.state = PortalState::Rows(rows);
                        outcome?;
                    }
                }
            }
        }
        let PortalState::Rows(rows) = &mut portal.state else {
            return Err(PgError::internal("a portal was started and has no rows").into());
        };
        let sent = pump(rows, rows_max, sink).await?;
        self.transaction.give_back(rows.take_connections());
        // As in PostgreSQL, a limit that is met exactly leaves the end to be found by the next Execute.
        if rows_max > 0 && sent == rows_max as u64 {
            return Ok(Progress::Suspended);
        }
        let tag = tag_of(rows, sent);
        let word = rows.word;
        portal.state = PortalState::Exhausted { word };
        self.finish_statement(place).await?;
        Ok(Progress::Complete(tag))
    }

    /// Carries a statement out as far as its first row.
    async fn start(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &Parameters,
        formats: &[Format],
        token: &CancellationToken,
    ) -> Result<Started, Error> {
        let Some(statement) = &prepared.statement else {
            return Ok(Started::Done(String::new()));
        };
        match &statement.statement {
            Statement::Select(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_) => {
                let started = self.start_plan(prepared, parameters, formats, token, None);
                started.await.map(|(rows, _)| Started::Rows(rows))
            }
            Statement::Define(define) => {
                if !matches!(**define, syntax::Define::Maintain { .. }) {
                    self.check_read_write(define_command(define))?;
                }
                self.transaction.queried = true;
                let (tag, fill) = Box::pin(self.define(statement, define, token)).await?;
                match fill {
                    None => Ok(Started::Done(tag)),
                    Some(text) => Box::pin(self.fill(&text, token)).await,
                }
            }
            Statement::Transaction(change) => {
                Box::pin(self.change_transaction(change)).await.map(Started::Done)
            }
            Statement::Setting(setting) => self.change_setting(setting),
            Statement::Prepare { name, types, statement } => {
                self.prepared.check_free(name)?;
                let declared: Vec<TypeId> =
                    types.iter().map(|ty| self.declared_type(ty)).collect::<Result<_, _>>()?;
                let prepared = self.describe(Some(Arc::new((**statement).clone())), &declared)?;
                self.prepared.insert(name, Arc::new(prepared))?;
                Ok(Started::Done("PREPARE".to_owned()))
            }
            Statement::Execute { name, args } => {
                let named = Arc::clone(self.prepared.get(name)?);
                let parameters = Box::pin(self.arguments(name, &named, args, token)).await?;
                Box::pin(self.start(&named, &parameters, formats, token)).await
            }
            Statement::Deallocate(None) => {
                self.prepared.clear();
                Ok(Started::Done("DEALLOCATE ALL".to_owned()))
            }
            Statement::Deallocate(Some(name)) => {
                self.prepared.get(name)?;
                self.prepared.remove(name);
                Ok(Started::Done("DEALLOCATE".to_owned()))
            }
            Statement::Explain(explain) => Box::pin(self.explain(explain, token)).await,
            Statement::Cursor(command) => Box::pin(self.run_cursor(command, formats, token)).await,
            Statement::Copy(_) => {
                Err(PgError::internal("a COPY is run by itself, since it talks to the client")
                    .into())
            }
            Statement::Nothing(tag) => Ok(Started::Done((*tag).to_owned())),
            Statement::Unsupported(refusal) => Err(PgError::unsupported(refusal.message.clone())
                .with_hint(refusal.hint.clone())
                .into()),
            Statement::Empty => Ok(Started::Done(String::new())),
        }
    }

    /// Fills the new table of CREATE TABLE AS: an INSERT, whose rows are counted by the tag of a SELECT.
    async fn fill(&mut self, text: &str, token: &CancellationToken) -> Result<Started, Error> {
        let statement = self.plans.parse(text)?.first().cloned();
        let prepared = Arc::new(self.describe(statement, &[])?);
        let parameters = Parameters::default();
        let (mut rows, _) = self.start_plan(&prepared, &parameters, &[], token, None).await?;
        let drained = rows.drain().await;
        self.transaction.give_back(rows.take_connections());
        drained?;
        rows.word = "SELECT";
        let tag = tag_of(&rows, 0);
        Ok(Started::Done(tag))
    }

    /// Runs a plan, and gives it with its rows. An agent that has seen newer metadata refuses it; then it is planned anew, as long as nothing has been
    /// sent to the client and no transaction has seen the old state.
    pub(super) async fn start_plan(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &Parameters,
        formats: &[Format],
        token: &CancellationToken,
        metrics: Option<&Arc<merge::Metrics>>,
    ) -> Result<(Rows, Planned), Error> {
        let mut attempt = 1;
        let mut failed_copies = Vec::new();
        loop {
            self.writer.begin(self.cluster.epoch());
            let mut planned = self.current_plan(prepared)?;
            if !planned.plan.sampled.is_empty()
                && let Some(better) = Box::pin(self.plan_by_samples(prepared, &planned)).await?
            {
                planned = better;
            }
            self.doing.planned();
            let epoch = planned.plan.epoch;
            let reads = self.reads(&planned, &failed_copies);
            let run = Run { parameters, formats, token, metrics, reads: reads.as_ref() };
            let outcome = match &reads {
                None => self.first_rows(&planned, run).await,
                Some(reads) => {
                    let cluster = Arc::clone(&self.cluster);
                    // A replica that is frozen fails nothing by itself. What is dropped closes its connections.
                    tokio::select! {
                        biased;
                        outcome = self.first_rows(&planned, run) => outcome,
                        () = cluster.replicas().lost(reads) => Err(lost_replica().into()),
                    }
                }
            };
            if let Ok(rows) = &outcome {
                let shards = rows.shard_count();
                self.doing.first_row(planned.plan.way(shards), shards);
            }
            match outcome {
                Err(Error::Node(node))
                    if node.is_agent_stopping()
                        && attempt < STALE_ATTEMPTS
                        && !self.transaction.has_participants() =>
                {
                    // It has begun nothing, and taking a connection waits for the next one.
                    attempt += 1;
                }
                Err(Error::Node(node))
                    if node.kind == NodeErrorKind::StaleEpoch
                        && attempt < STALE_ATTEMPTS
                        && !self.transaction.has_participants() =>
                {
                    self.cluster.refresh(epoch).await;
                    attempt += 1;
                }
                Err(Error::Node(node))
                    if failed_copies.len() < READ_ATTEMPTS
                        && is_of_replica(&node)
                        && !self.transaction.has_participants()
                        && reads.as_ref().is_some_and(|reads| !reads.used().is_empty()) =>
                {
                    // The client has nothing of it yet.
                    failed_copies.extend(reads.iter().flat_map(Reads::used));
                }
                outcome => return outcome.map(|rows| (rows, planned)),
            }
        }
    }

    /// Which copies a statement may read; none when it belongs on primaries: it writes, locks, calls functions that write, or runs
    /// in a transaction that may write.
    pub(super) fn reads(&self, planned: &Planned, failed: &[DatasourceId]) -> Option<Reads> {
        let settings = self.settings.typed();
        let plan = &planned.plan;
        if settings.read == ReadPreference::Primary || plan.writes || plan.numbers {
            return None;
        }
        // What a definition has not finished yet may be on no replica.
        if self.has_overlay() || !plan.snapshot.unfinished.is_empty() {
            return None;
        }
        let modes = self.transaction.modes;
        let only_reads = match self.transaction.state {
            State::Statement => true,
            // A standby knows no serializable transactions.
            _ => modes.read_only && modes.isolation < Level::Serializable,
        };
        only_reads.then(|| Reads::new(settings.read, settings.lag_max, failed.to_vec()))
    }

    /// Runs a plan as far as its first rows.
    async fn first_rows(&mut self, planned: &Planned, run: Run<'_>) -> Result<Rows, Error> {
        let mut rows = self.try_plan(planned, run).await?;
        if let Err(error) = rows.peek().await {
            self.transaction.give_back(rows.take_connections());
            return Err(error);
        }
        Ok(rows)
    }

    async fn try_plan(&mut self, planned: &Planned, run: Run<'_>) -> Result<Rows, Error> {
        let Run { parameters, formats, token, metrics, reads } = run;
        let plan = &planned.plan;
        if plan.writes {
            self.check_read_write(match plan.tag {
                "SELECT" => "SELECT FOR UPDATE",
                word => tag::command(word),
            })?;
        }
        let context = StatementContext {
            epoch: plan.epoch.0,
            settings: Arc::clone(&self.settings.typed().for_nodes),
            transaction_time_us: self.transaction.started_us,
            time_left_ms: self
                .settings
                .typed()
                .statement_timeout
                .and_then(|time| u64::try_from(time.as_millis()).ok()),
        };
        let sequences = Arc::new(self.statement_sequences());
        let mut evaluation = self.context(&planned.key.schemas);
        if plan.numbers {
            evaluation.sequences = Some(Arc::clone(&sequences) as _);
        }
        let evaluation = Arc::new(evaluation);
        let sequences: Arc<dyn merge::Sequences> = sequences;
        let formats = ResultFormats { formats: formats.to_vec() };
        self.transaction.queried = true;
        let bounds = self.bounds();
        let mut enlistment = Enlistment {
            cluster: &self.cluster,
            transactional: self.transaction.state != State::Statement,
            transaction: &mut self.transaction,
            portals: &mut self.portals,
            context: &context,
            writes: Vec::new(),
            taken: Vec::new(),
            touched: Default::default(),
            reads: reads.map(|reads| (&*plan.snapshot, reads)),
        };
        let stream = merge::run(
            plan,
            Execution {
                parameters,
                formats: &formats,
                context: &context,
                evaluation: &evaluation,
                bounds,
                cancel: token,
                participants: &mut enlistment,
                sequences: &sequences,
                metrics,
            },
        )
        .await?;
        let (taken, touched) = (enlistment.taken, enlistment.touched.len());
        // A SELECT that locks rows counts what it returns.
        let changes = plan.writes && plan.tag != "SELECT";
        let rows = Rows::of_stream(stream, taken, plan.tag, changes, token.clone());
        Ok(rows.touching(touched, reads.map(Reads::used).unwrap_or_default()))
    }

    /// What a statement that begins now may hold above the shards.
    pub(super) fn bounds(&self) -> merge::Bounds {
        let settings = self.settings.typed();
        merge::Bounds {
            resources: Arc::clone(self.cluster.resources()),
            memory_bytes: settings.statement_bytes,
            temporary_bytes: settings.temporary_bytes,
        }
    }

    /// The sequence functions of a statement that begins now.
    pub(super) fn statement_sequences(&self) -> StatementSequences {
        let read_only = self.transaction.modes.read_only;
        let definitions = self.transaction.defined.as_ref();
        StatementSequences::new(
            &self.cluster,
            &self.identity.database,
            read_only,
            &self.sequences,
            definitions.map(|defined| defined.definitions.clone()),
        )
    }

    /// What values' input and output and functions depend on, for a statement that begins now.
    pub(super) fn context(&self, schemas: &[String]) -> Context {
        let now = now_us();
        Context {
            transaction_time_us: self.transaction.started_us,
            statement_time_us: now,
            clock_time_us: now,
            session: SessionFacts {
                user: self.identity.user.to_string(),
                database: self.identity.database.to_string(),
                schemas: schemas.to_vec(),
                process_id: self.identity.process_id,
            },
            user_types: DatabaseTypes::of(&self.snapshot(), &self.identity.database)
                .map(|types| SharedTypes(Arc::new(types))),
            objects: Some(Arc::new(self.objects())),
            ..self.settings.typed().context.clone()
        }
    }
}

/// How a plan is run.
#[derive(Clone, Copy)]
struct Run<'a> {
    parameters: &'a Parameters,
    formats: &'a [Format],
    token: &'a CancellationToken,
    metrics: Option<&'a Arc<merge::Metrics>>,
    reads: Option<&'a Reads>,
}

/// Whether a failure is one of the copy that was read, so that another one may answer.
fn is_of_replica(error: &NodeError) -> bool {
    let of_connection = matches!(
        error.kind,
        NodeErrorKind::Unreachable | NodeErrorKind::Lost | NodeErrorKind::Busy
    );
    // `40001` is a standby's conflict with what it replays: outside a transaction nothing else is.
    of_connection || error.sqlstate.starts_with("08") || error.sqlstate == "40001"
}

fn lost_replica() -> NodeError {
    let message = "the replica that was read does not answer any more";
    NodeError::new(NodeErrorKind::Lost, "08006", message).with_hint("Run the statement again.")
}

/// Hands rows to the client, up to `rows_max` (0 for all); gives how many.
async fn pump(rows: &mut Rows, rows_max: usize, sink: &mut dyn RowSink) -> Result<u64, Error> {
    let mut sent = 0;
    loop {
        let wanted = if rows_max == 0 { 0 } else { rows_max - sent };
        if rows_max > 0 && wanted == 0 {
            return Ok(sent as u64);
        }
        match rows.next(wanted).await? {
            Some(batch) => {
                sent += batch.rows;
                sink.rows(batch).await?;
            }
            None => return Ok(sent as u64),
        }
    }
}

/// The tag of a statement whose rows are all out: what it changed, or how many rows were sent.
fn tag_of(rows: &Rows, sent: u64) -> String {
    if rows.word == "SHOW" || rows.word == "EXPLAIN" {
        return rows.word.to_owned();
    }
    tag::counted(rows.word, if rows.writes { rows.affected() } else { sent })
}

/// A schema change as messages name it.
fn define_command(define: &syntax::Define) -> &'static str {
    use syntax::{Define, ObjectKind};
    match define {
        Define::CreateTable(_) => "CREATE TABLE",
        Define::CreateTableAs { .. } => "CREATE TABLE AS",
        Define::AlterTable { .. } => "ALTER TABLE",
        Define::Drop { kind: ObjectKind::Table, .. } => "DROP TABLE",
        Define::Drop { kind: ObjectKind::View, .. } => "DROP VIEW",
        Define::Drop { kind: ObjectKind::Index, .. } => "DROP INDEX",
        Define::Drop { kind: ObjectKind::Sequence, .. } => "DROP SEQUENCE",
        Define::Drop { kind: ObjectKind::Schema, .. } => "DROP SCHEMA",
        Define::Drop { kind: ObjectKind::Type, .. } => "DROP TYPE",
        Define::Drop { .. } => "DROP",
        Define::CreateIndex(_) => "CREATE INDEX",
        Define::CreateSchema { .. } => "CREATE SCHEMA",
        Define::CreateSequence { .. } => "CREATE SEQUENCE",
        Define::AlterSequence { .. } => "ALTER SEQUENCE",
        Define::CreateView { .. } => "CREATE VIEW",
        Define::CreateEnum { .. } => "CREATE TYPE",
        Define::Truncate { .. } => "TRUNCATE TABLE",
        Define::Maintain { .. } => "VACUUM",
        Define::Comment { .. } => "COMMENT",
        Define::CreateDatabase { .. } => "CREATE DATABASE",
        Define::DropDatabase { .. } => "DROP DATABASE",
        Define::Role { create: true, .. } => "CREATE ROLE",
        Define::Role { create: false, .. } => "ALTER ROLE",
        Define::DropRole { .. } => "DROP ROLE",
        Define::SessionDefaults { of: syntax::SessionsOf::Database(_), .. } => "ALTER DATABASE",
        Define::SessionDefaults { .. } => "ALTER ROLE",
        Define::ImportSchema(_) => "IMPORT FOREIGN SCHEMA",
    }
}

/// Now, in microseconds since 2000.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH_2000_S * 1_000_000
}
