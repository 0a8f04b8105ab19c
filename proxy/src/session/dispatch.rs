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

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::NodeErrorKind;
use dataman_node_protocol::node::{Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::record::Format;
use dataman_pg::context::{Context, SessionFacts};
use dataman_pg::{PgError, TypeId};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::merge::{self, Execution};
use crate::parse::syntax::{self, ParsedStatement, Setting, Statement};
use crate::plan::{self, ExplainFormat, PlanContext};
use crate::rows::describe::text_column;
use crate::rows::encode::text_rows;
use crate::rows::tag;
use crate::session::portal::{Portal, PortalState, Rows};
use crate::session::prepared::{PlanKey, Planned, Prepared};
use crate::session::settings::{Scope, parse_bool};
use crate::session::transaction::{Enlistment, Level, Modes, State};
use crate::session::{RowSink, Session};
use crate::sqlstate::Report;

/// How often a statement is planned anew because an agent has seen newer metadata.
const STALE_ATTEMPTS: usize = 3;

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
enum Started {
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
        let token = CancellationToken::new();
        let running = Arc::clone(&self.running);
        let time = self.settings.typed().statement_timeout;
        let work = async {
            self.check_not_failed(&statement.statement)?;
            self.begin_statement(place);
            let prepared = Arc::new(self.describe(Some(Arc::clone(statement)), &[])?);
            let formats = vec![Format::Text; prepared.columns.as_ref().map_or(0, Vec::len)];
            let parameters = Parameters::default();
            let started = self.start(&prepared, &parameters, &formats, &token).await?;
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
        };
        match running.watch(&token, time, work).await.and_then(|outcome| outcome) {
            Ok(tag) => Ok(Some(tag)),
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Parse: keeps a statement under a name.
    ///
    /// # Errors
    /// What parsing and planning find; `42P05` for a name that is taken.
    pub async fn prepare(&mut self, name: &str, sql: &str, declared: &[u32]) -> Result<(), Error> {
        match self.try_prepare(name, sql, declared) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error).await),
        }
    }

    fn try_prepare(&mut self, name: &str, sql: &str, declared: &[u32]) -> Result<(), Error> {
        let statements = self.plans.parse(sql)?;
        let mut statements = statements.iter().filter(|one| one.statement != Statement::Empty);
        let statement = statements.next();
        if statements.next().is_some() {
            return Err(PgError::new(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            )
            .into());
        }
        if let Some(statement) = statement {
            self.check_not_failed(&statement.statement)?;
        }
        let declared: Vec<TypeId> = declared.iter().map(|oid| TypeId(*oid)).collect();
        let prepared = self.describe(statement.cloned(), &declared)?;
        self.prepared.insert(name, Arc::new(prepared))?;
        Ok(())
    }

    /// Describe of a statement: its parameters' types and its columns.
    ///
    /// # Errors
    /// `26000`; `25P02` in a failed transaction for a statement that returns rows.
    pub async fn describe_statement(&mut self, name: &str) -> Result<Arc<Prepared>, Error> {
        let outcome = self.prepared.get(name).cloned().map_err(Error::from);
        let outcome = outcome.and_then(|prepared| {
            if prepared.columns.is_some() {
                self.check_not_failed_for(&prepared)?;
            }
            Ok(prepared)
        });
        match outcome {
            Ok(prepared) => Ok(prepared),
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Describe of a portal: its columns and their formats.
    ///
    /// # Errors
    /// `34000`; `25P02`.
    pub async fn describe_portal(
        &mut self,
        name: &str,
    ) -> Result<(Arc<Prepared>, Vec<Format>), Error> {
        let outcome = self.portals.get(name).map_err(Error::from).and_then(|portal| {
            if portal.prepared.columns.is_some() {
                self.check_not_failed_for(&portal.prepared)?;
            }
            Ok((Arc::clone(&portal.prepared), portal.formats.clone()))
        });
        match outcome {
            Ok(described) => Ok(described),
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Bind: makes a portal of a statement.
    ///
    /// # Errors
    /// `26000`, `42P03`; `08P01` when the counts do not fit; `25P02`.
    pub async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[i16],
        values: Vec<Option<Bytes>>,
        result_formats: &[i16],
    ) -> Result<(), Error> {
        let outcome = self.try_bind(portal, statement, formats, values, result_formats).await;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error).await),
        }
    }

    async fn try_bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[i16],
        values: Vec<Option<Bytes>>,
        result_formats: &[i16],
    ) -> Result<(), Error> {
        use crate::wire::message::resolve_formats;
        let prepared = Arc::clone(self.prepared.get(statement)?);
        if formats.len() > 1 && formats.len() != values.len() {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message has {} parameter formats but {} parameters",
                    formats.len(),
                    values.len()
                ),
            )
            .into());
        }
        if values.len() != prepared.params.len() {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                    values.len(),
                    prepared.params.len()
                ),
            )
            .into());
        }
        self.check_not_failed_for(&prepared)?;
        let columns = prepared.columns.as_ref().map_or(0, Vec::len);
        if result_formats.len() > 1 && prepared.columns.is_some() && result_formats.len() != columns
        {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message has {} result formats but query has {columns} columns",
                    result_formats.len()
                ),
            )
            .into());
        }
        let formats = resolve_formats(formats, values.len())?;
        let result_formats = resolve_formats(result_formats, columns)?;
        if portal.is_empty() {
            self.close_portal(portal).await?;
        }
        self.portals.insert(
            portal,
            Portal {
                prepared,
                parameters: Parameters { values, formats },
                formats: result_formats,
                state: PortalState::Ready,
            },
        )?;
        Ok(())
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
        // Rows that are still to come are cancelled by the token that they were started with.
        let token = match &portal.state {
            PortalState::Rows(rows) => rows.cancel.clone(),
            PortalState::Ready | PortalState::Exhausted { .. } | PortalState::Done => {
                CancellationToken::new()
            }
        };
        let running = Arc::clone(&self.running);
        let time = self.settings.typed().statement_timeout;
        let work = self.continue_portal(name, &mut portal, rows_max, place, sink, &token);
        match running.watch(&token, time, work).await.and_then(|outcome| outcome) {
            Ok(progress) => {
                // A transaction that has ended took its portals with it.
                if self.transaction.state != State::Idle {
                    self.portals.put_back(name, portal);
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

    /// Close of a statement. That there is none is no error.
    pub fn close_statement(&mut self, name: &str) {
        self.prepared.remove(name);
    }

    /// Close of a portal. That there is none is no error.
    ///
    /// # Errors
    /// What it still had to read from its shards could not be read.
    pub async fn close_portal(&mut self, name: &str) -> Result<(), Error> {
        let Ok(mut portal) = self.portals.take(name) else { return Ok(()) };
        let PortalState::Rows(rows) = &mut portal.state else { return Ok(()) };
        let is_shared = |session: &Self, shard| {
            session.transaction.participants.get(shard).is_some_and(|one| one.written)
                || session.transaction.modes.isolation > Level::ReadCommitted
        };
        // A shard that was only read may leave the transaction, and join again. Otherwise its connection is needed, so the
        // rows that nobody wants are read to their end.
        if rows.shards.iter().any(|shard| is_shared(self, shard)) {
            rows.skip_to_end().await?;
            self.transaction.give_back(rows.take_connections());
        } else {
            for shard in &rows.shards {
                self.transaction.participants.remove(shard);
            }
        }
        Ok(())
    }

    /// Sync: commits what no BEGIN has begun.
    ///
    /// # Errors
    /// The commit's failure.
    pub async fn sync(&mut self) -> Result<(), Error> {
        if self.transaction.is_implicit() {
            self.end_transaction().await?;
        }
        Ok(())
    }

    /// The end of a query string, after its last statement or its failure.
    ///
    /// # Errors
    /// The commit's failure.
    pub async fn finish_string(&mut self) -> Result<(), Error> {
        self.prepared.remove_unnamed();
        self.sync().await
    }

    // What a statement takes and gives.

    /// Finds what a statement takes and gives. SELECT and DML are planned here, so that their errors come with Parse.
    fn describe(
        &mut self,
        statement: Option<Arc<ParsedStatement>>,
        declared: &[TypeId],
    ) -> Result<Prepared, Error> {
        let mut prepared = Prepared {
            statement: statement.clone(),
            declared: declared.to_vec(),
            params: declared.to_vec(),
            columns: None,
            plan: std::sync::Mutex::new(None),
        };
        let Some(statement) = statement else { return Ok(prepared) };
        match &statement.statement {
            Statement::Select(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_) => {
                let planned = self.plan(&statement, declared, &self.cluster.snapshot())?;
                prepared.params = planned.plan.params.clone();
                prepared.columns = planned.plan.columns.clone();
                prepared.keep(planned);
            }
            Statement::Setting(Setting::Show(name)) => {
                prepared.columns = Some(if name == "all" {
                    ["name", "setting", "description"].map(text_column).to_vec()
                } else {
                    vec![text_column(&self.show(name)?.0)]
                });
            }
            Statement::Explain(explain) => {
                let mut column = text_column("QUERY PLAN");
                if explain.format == "json" {
                    column.ty = TypeId::JSON.into();
                }
                prepared.columns = Some(vec![column]);
            }
            Statement::Execute { name, .. } => {
                prepared.columns = self.prepared.get(name)?.columns.clone();
            }
            Statement::Empty
            | Statement::Define(_)
            | Statement::Transaction(_)
            | Statement::Setting(_)
            | Statement::Prepare { .. }
            | Statement::Deallocate(_)
            | Statement::Copy(_)
            | Statement::Unsupported(_) => {}
        }
        Ok(prepared)
    }

    /// Plans a statement, or finds the plan that another session has made.
    fn plan(
        &self,
        statement: &ParsedStatement,
        declared: &[TypeId],
        snapshot: &Arc<Snapshot>,
    ) -> Result<Planned, Error> {
        let key = Arc::new(PlanKey {
            text: statement.text.clone(),
            declared: declared.to_vec(),
            database: Arc::clone(&self.identity.database),
            user: Arc::clone(&self.identity.user),
            schemas: self.schemas(),
            settings: Arc::clone(&self.settings.typed().plan_key),
        });
        if let Some(plan) = self.plans.get(&key, snapshot.epoch) {
            return Ok(Planned { key, plan });
        }
        let capabilities = self.cluster.capabilities(snapshot);
        let plan = plan::plan(
            statement,
            declared,
            &PlanContext {
                snapshot,
                database: &self.identity.database,
                user: &self.identity.user,
                search_path: &key.schemas,
                context: &self.settings.typed().context,
                capabilities: &capabilities,
            },
        )
        // The client counts from the start of its whole string.
        .map_err(|error| match error.position() {
            Some(position) => error.at(position + statement.offset),
            None => error,
        })?;
        self.plans.put(Arc::clone(&key), Arc::clone(&plan));
        Ok(Planned { key, plan })
    }

    /// The plan of a prepared statement under the newest snapshot.
    fn current_plan(&self, prepared: &Prepared) -> Result<Planned, Error> {
        let snapshot = self.cluster.snapshot();
        let typed = self.settings.typed();
        if let Some(planned) = prepared.planned()
            && planned.plan.epoch == snapshot.epoch
            && planned.key.settings == typed.plan_key
            && planned.key.schemas == self.schemas()
        {
            return Ok(planned);
        }
        let Some(statement) = &prepared.statement else {
            return Err(PgError::internal("the empty statement has no plan").into());
        };
        let planned = self.plan(statement, &prepared.declared, &snapshot)?;
        if planned.plan.columns != prepared.columns {
            return Err(PgError::new("0A000", "cached plan must not change result type").into());
        }
        prepared.keep(planned.clone());
        Ok(planned)
    }

    // Carrying it out.

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
                self.start_plan(prepared, parameters, formats, token).await.map(Started::Rows)
            }
            Statement::Define(define) => {
                self.check_read_write(define_command(define))?;
                self.transaction.queried = true;
                let (tag, fill) = self.define(statement, define, token).await?;
                match fill {
                    None => Ok(Started::Done(tag)),
                    Some(text) => Box::pin(self.fill(&text, token)).await,
                }
            }
            Statement::Transaction(change) => {
                self.change_transaction(change).await.map(Started::Done)
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
                let parameters = self.arguments(name, &named, args, token).await?;
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
            Statement::Explain(explain) => self.explain(explain),
            Statement::Copy(_) => Err(PgError::unsupported("COPY is not supported yet")
                .with_hint("Use INSERT with many rows, or SELECT.")
                .into()),
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
        let mut rows = self.start_plan(&prepared, &Parameters::default(), &[], token).await?;
        let drained = rows.drain().await;
        self.transaction.give_back(rows.take_connections());
        drained?;
        rows.word = "SELECT";
        let tag = tag_of(&rows, 0);
        Ok(Started::Done(tag))
    }

    /// Runs a plan. An agent that has seen newer metadata refuses it; then it is planned anew, as long as nothing has been
    /// sent to the client and no transaction has seen the old state.
    async fn start_plan(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &Parameters,
        formats: &[Format],
        token: &CancellationToken,
    ) -> Result<Rows, Error> {
        let mut attempt = 1;
        loop {
            let planned = self.current_plan(prepared)?;
            let epoch = planned.plan.epoch;
            let mut outcome = self.try_plan(&planned, parameters, formats, token).await;
            if let Ok(rows) = &mut outcome
                && let Err(error) = rows.peek().await
            {
                self.transaction.give_back(rows.take_connections());
                outcome = Err(error);
            }
            match outcome {
                Err(Error::Node(node))
                    if node.kind == NodeErrorKind::StaleEpoch
                        && attempt < STALE_ATTEMPTS
                        && !self.transaction.has_participants() =>
                {
                    self.cluster.refresh(epoch).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_plan(
        &mut self,
        planned: &Planned,
        parameters: &Parameters,
        formats: &[Format],
        token: &CancellationToken,
    ) -> Result<Rows, Error> {
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
        let evaluation = Arc::new(self.context(&planned.key.schemas));
        let sequences = self.cluster.sequences(&self.identity.database);
        let formats = ResultFormats { formats: formats.to_vec() };
        self.transaction.queried = true;
        let mut enlistment = Enlistment {
            cluster: &self.cluster,
            transactional: self.transaction.state != State::Statement,
            transaction: &mut self.transaction,
            portals: &mut self.portals,
            context: &context,
            writes: Vec::new(),
            taken: Vec::new(),
        };
        let stream = merge::run(
            plan,
            Execution {
                parameters,
                formats: &formats,
                context: &context,
                evaluation: &evaluation,
                cancel: token,
                participants: &mut enlistment,
                sequences: &sequences,
            },
        )
        .await?;
        let taken = enlistment.taken;
        // A SELECT that locks rows counts what it returns.
        let changes = plan.writes && plan.tag != "SELECT";
        Ok(Rows::of_stream(stream, taken, plan.tag, changes, token.clone()))
    }

    /// What values' input and output and functions depend on, for a statement that begins now.
    fn context(&self, schemas: &[String]) -> Context {
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
            ..self.settings.typed().context.clone()
        }
    }

    /// The arguments of EXECUTE, as parameters in binary: their values are those of a SELECT that casts each to its type.
    async fn arguments(
        &mut self,
        name: &str,
        named: &Prepared,
        args: &[syntax::Expr],
        token: &CancellationToken,
    ) -> Result<Parameters, Error> {
        if args.len() != named.params.len() {
            return Err(PgError::new(
                "42601",
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                named.params.len(),
                args.len()
            ))
            .into());
        }
        if args.is_empty() {
            return Ok(Parameters::default());
        }
        let items = args
            .iter()
            .zip(&named.params)
            .map(|(arg, ty)| syntax::SelectItem::Expr {
                expr: syntax::Expr {
                    kind: syntax::ExprKind::Cast { arg: Box::new(arg.clone()), ty: type_name(*ty) },
                    span: arg.span,
                },
                alias: None,
            })
            .collect();
        let select = syntax::Select {
            with: None,
            body: syntax::SelectBody::Query(Box::new(syntax::Query {
                items,
                ..syntax::Query::default()
            })),
            order_by: Vec::new(),
            limit: None,
            with_ties: false,
            offset: None,
            locks: Vec::new(),
        };
        // The values are in the tree, not in the text, so the plan must not be found by its text.
        let statement = ParsedStatement {
            text: format!("EXECUTE {name} {args:?}"),
            offset: 0,
            statement: Statement::Select(Box::new(select)),
        };
        let prepared = Arc::new(self.describe(Some(Arc::new(statement)), &[])?);
        let formats = vec![Format::Binary; args.len()];
        let mut rows = self.start_plan(&prepared, &Parameters::default(), &formats, token).await?;
        let mut values = Vec::new();
        while let Some(batch) = rows.next(0).await? {
            for row in batch.iter() {
                values = row.columns().map(|value| value.map(Bytes::copy_from_slice)).collect();
            }
        }
        self.transaction.give_back(rows.take_connections());
        Ok(Parameters { formats: vec![Format::Binary; values.len()], values })
    }

    /// The type that PREPARE declares for a parameter.
    fn declared_type(&self, name: &syntax::TypeName) -> Result<TypeId, PgError> {
        let unqualified = name.name.parts.last().map_or("", String::as_str);
        if unqualified == "unknown" && name.array_dimensions == 0 {
            return Ok(TypeId(0));
        }
        let snapshot = self.cluster.snapshot();
        let database = snapshot.database(&self.identity.database).ok_or_else(|| {
            PgError::new("3D000", format!("database \"{}\" does not exist", self.identity.database))
        })?;
        plan::bind::type_by_name(name, &self.schemas(), database).map(|ty| ty.id)
    }

    /// EXPLAIN: the plan as rows.
    fn explain(&mut self, explain: &syntax::Explain) -> Result<Started, Error> {
        if explain.analyze {
            return Err(PgError::unsupported("EXPLAIN ANALYZE is not supported yet")
                .with_hint("EXPLAIN shows the plan; \\timing in psql measures the statement.")
                .into());
        }
        let format = match explain.format.as_str() {
            "json" => ExplainFormat::Json,
            "text" => ExplainFormat::Text,
            other => {
                return Err(PgError::unsupported(format!(
                    "EXPLAIN (FORMAT {}) is not supported",
                    other.to_uppercase()
                ))
                .with_hint("Use FORMAT TEXT or FORMAT JSON.")
                .into());
            }
        };
        let planned = self.plan(&explain.statement, &[], &self.cluster.snapshot())?;
        let lines = planned.plan.explain(format);
        let rows = lines.iter().map(|line| [Some(line.as_str())]);
        Ok(Started::Rows(Rows::of_batch(text_rows(rows), "EXPLAIN")))
    }

    // Settings.

    /// SHOW: the parameters of the transaction are the transaction's, all others the session's.
    fn show(&self, name: &str) -> Result<(String, String), Error> {
        let in_transaction = self.transaction.state != State::Idle;
        let modes = if in_transaction {
            self.transaction.modes
        } else {
            Modes::from_defaults(self.settings.typed())
        };
        let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
        Ok(match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" | "transaction isolation level" => {
                ("transaction_isolation".to_owned(), modes.isolation.name().to_owned())
            }
            "transaction_read_only" => {
                ("transaction_read_only".to_owned(), on_off(modes.read_only))
            }
            "transaction_deferrable" => {
                ("transaction_deferrable".to_owned(), on_off(modes.deferrable))
            }
            _ => self.settings.show(name)?,
        })
    }

    fn change_setting(&mut self, setting: &Setting) -> Result<Started, Error> {
        match setting {
            Setting::Show(name) if name == "all" => {
                let mut all = self.settings.show_all();
                for (name, value) in &mut all {
                    if name.starts_with("transaction_") {
                        *value = self.show(name)?.1;
                    }
                }
                let rows = all.iter().map(|(name, value)| [Some(&**name), Some(&**value), None]);
                Ok(Started::Rows(Rows::of_batch(text_rows(rows), "SHOW")))
            }
            Setting::Show(name) => {
                let (_, value) = self.show(name)?;
                Ok(Started::Rows(Rows::of_batch(text_rows([[Some(&*value)]]), "SHOW")))
            }
            Setting::Set { name, values, local } => {
                if *local && !self.in_transaction_block() {
                    self.notice(Report::warning(
                        "25P01",
                        "SET LOCAL can only be used in transaction blocks",
                    ));
                    return Ok(Started::Done("SET".to_owned()));
                }
                let scope = if *local { Scope::Local } else { Scope::Session };
                if let Some(modes) = transaction_parameter(name, values.as_deref())? {
                    self.transaction.set_modes(&modes)?;
                } else {
                    self.settings.set(name, values.as_deref(), scope)?;
                }
                Ok(Started::Done("SET".to_owned()))
            }
            Setting::Reset(name) if name == "all" => {
                self.settings.reset_all();
                Ok(Started::Done("RESET".to_owned()))
            }
            Setting::Reset(name) => {
                if name.starts_with("transaction_") {
                    return Err(PgError::new(
                        "55P02",
                        format!("parameter \"{name}\" cannot be reset"),
                    )
                    .into());
                }
                self.settings.reset(name, Scope::Session)?;
                Ok(Started::Done("RESET".to_owned()))
            }
            Setting::Discard(what) => {
                if *what == "ALL" {
                    if self.in_transaction_block() {
                        return Err(PgError::new(
                            "25001",
                            "DISCARD ALL cannot run inside a transaction block",
                        )
                        .into());
                    }
                    self.portals.clear();
                    self.prepared.clear();
                    self.settings.reset_all();
                }
                Ok(Started::Done(format!("DISCARD {what}")))
            }
        }
    }

    // Transactions.

    /// Whether PostgreSQL would say that the statement is in a transaction block: after BEGIN, or with others in its string.
    pub(crate) fn in_transaction_block(&self) -> bool {
        matches!(self.transaction.state, State::Implicit | State::Open | State::Failed)
    }

    /// BEGIN, COMMIT and their like; gives the tag.
    async fn change_transaction(&mut self, change: &syntax::Transaction) -> Result<String, Error> {
        use syntax::Transaction as Change;
        match change {
            Change::Begin(modes) => {
                if self.transaction.in_block() {
                    self.notice(Report::warning(
                        "25001",
                        "there is already a transaction in progress",
                    ));
                }
                self.transaction.state = State::Open;
                self.transaction.set_modes(modes)?;
                Ok("BEGIN".to_owned())
            }
            Change::Commit { chain } => {
                let was_failed = self.transaction.state == State::Failed;
                self.end_block("COMMIT", *chain, !was_failed).await?;
                Ok(if was_failed { "ROLLBACK" } else { "COMMIT" }.to_owned())
            }
            Change::Rollback { chain } => {
                self.end_block("ROLLBACK", *chain, false).await?;
                Ok("ROLLBACK".to_owned())
            }
            Change::Savepoint(name) => {
                self.check_block("SAVEPOINT")?;
                self.free_connections().await?;
                let settings = self.settings.save();
                self.transaction.savepoint(name, settings).await?;
                Ok("SAVEPOINT".to_owned())
            }
            Change::Release(name) => {
                self.check_block("RELEASE SAVEPOINT")?;
                self.free_connections().await?;
                self.transaction.release(name).await?;
                Ok("RELEASE".to_owned())
            }
            Change::RollbackTo(name) => {
                self.check_block("ROLLBACK TO SAVEPOINT")?;
                self.free_connections().await?;
                let settings = self.transaction.rollback_to(name).await?;
                self.settings.restore(&settings);
                Ok("ROLLBACK".to_owned())
            }
            Change::Set { modes, session: true } => {
                let mut set = |name: &str, value: Option<String>| match value {
                    Some(value) => self.settings.set(name, Some(&[value]), Scope::Session),
                    None => Ok(()),
                };
                let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
                set("default_transaction_isolation", modes.isolation.map(str::to_owned))?;
                set("default_transaction_read_only", modes.read_only.map(on_off))?;
                set("default_transaction_deferrable", modes.deferrable.map(on_off))?;
                Ok("SET".to_owned())
            }
            Change::Set { modes, session: false } => {
                if self.in_transaction_block() {
                    self.transaction.set_modes(modes)?;
                } else {
                    self.notice(Report::warning(
                        "25P01",
                        "SET TRANSACTION can only be used in transaction blocks",
                    ));
                }
                Ok("SET".to_owned())
            }
        }
    }

    /// COMMIT or ROLLBACK.
    async fn end_block(&mut self, word: &str, chain: bool, commit: bool) -> Result<(), Error> {
        if !self.transaction.in_block() {
            if chain {
                return Err(PgError::new(
                    "25P01",
                    format!("{word} AND CHAIN can only be used in transaction blocks"),
                )
                .into());
            }
            self.notice(Report::warning("25P01", "there is no transaction in progress"));
        }
        let modes = self.transaction.modes;
        if commit {
            self.end_transaction().await?;
        } else {
            self.roll_back().await;
        }
        if chain {
            self.transaction.start(State::Open, modes, self.settings.save(), now_us());
        }
        Ok(())
    }

    fn check_block(&self, what: &str) -> Result<(), PgError> {
        if self.transaction.in_block() {
            return Ok(());
        }
        Err(PgError::new("25P01", format!("{what} can only be used in transaction blocks")))
    }

    /// Frees the connections of all shards that take part from portals that were left in the middle.
    async fn free_connections(&mut self) -> Result<(), Error> {
        let shards: Vec<_> = self.transaction.participants.keys().cloned().collect();
        for shard in &shards {
            let connections = self.portals.drain(shard).await?;
            self.transaction.give_back(connections);
        }
        Ok(())
    }

    /// Starts a transaction when none is there.
    fn begin_statement(&mut self, place: Place) {
        if self.transaction.state == State::Idle {
            let state = if place == Place::Only { State::Statement } else { State::Implicit };
            let modes = Modes::from_defaults(self.settings.typed());
            self.transaction.start(state, modes, self.settings.save(), now_us());
        }
    }

    /// Commits after a statement that was its own transaction, or the last of its string.
    async fn finish_statement(&mut self, place: Place) -> Result<(), Error> {
        if self.transaction.is_implicit() && place != Place::Middle {
            self.end_transaction().await?;
        }
        Ok(())
    }

    /// Commits, wherever the transaction came from.
    async fn end_transaction(&mut self) -> Result<(), Error> {
        // Portals end with their transaction. One that still reads from a shard that was written is read to its end, since
        // the commit needs its connection; others let go of their shards, which then only roll back.
        let written: Vec<_> = self.transaction.written().cloned().collect();
        for shard in &written {
            let connections = self.portals.skip(shard).await?;
            self.transaction.give_back(connections);
        }
        self.portals.clear();
        self.transaction.forget_unread();
        match self.transaction.commit().await {
            Ok(()) => {
                self.settings.end_local();
                Ok(())
            }
            Err(error) => {
                let layers = self.transaction.settings.clone();
                self.settings.restore(&layers);
                Err(error)
            }
        }
    }

    async fn roll_back(&mut self) {
        self.portals.clear();
        let layers = self.transaction.settings.clone();
        self.settings.restore(&layers);
        self.transaction.rollback().await;
    }

    /// After a failure: a block is failed, anything else rolled back. Gives the failure back, with its reason if it was a
    /// cancel.
    pub(crate) async fn fail(&mut self, error: Error) -> Error {
        let error = self.running.explain(error);
        let portals = &self.portals;
        self.transaction.mark_lost(|shard| portals.holds(shard));
        match self.transaction.state {
            State::Idle => {}
            State::Statement | State::Implicit => self.roll_back().await,
            State::Open | State::Failed => {
                self.transaction.state = State::Failed;
                // As in PostgreSQL the settings go back at once, not with the ROLLBACK that is to come.
                let layers = self.transaction.innermost_settings().clone();
                self.settings.restore(&layers);
            }
        }
        error
    }

    /// # Errors
    /// `25P02` in a failed transaction, but for what ends it.
    fn check_not_failed(&self, statement: &Statement) -> Result<(), PgError> {
        use syntax::Transaction as Change;
        if self.transaction.state != State::Failed
            || matches!(
                statement,
                Statement::Transaction(
                    Change::Commit { .. } | Change::Rollback { .. } | Change::RollbackTo(_)
                )
            )
        {
            return Ok(());
        }
        Err(PgError::new(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block",
        ))
    }

    fn check_not_failed_for(&self, prepared: &Prepared) -> Result<(), PgError> {
        match &prepared.statement {
            Some(statement) => self.check_not_failed(&statement.statement),
            None => Ok(()),
        }
    }

    /// # Errors
    /// `25006` in a read-only transaction.
    pub(crate) fn check_read_write(&self, command: &str) -> Result<(), PgError> {
        if !self.transaction.modes.read_only {
            return Ok(());
        }
        Err(PgError::new("25006", format!("cannot execute {command} in a read-only transaction")))
    }
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

/// The parameters that are the transaction's own, as modes.
fn transaction_parameter(
    name: &str,
    values: Option<&[String]>,
) -> Result<Option<syntax::TransactionModes>, PgError> {
    let name = name.to_ascii_lowercase();
    if !matches!(
        name.as_str(),
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    ) {
        return Ok(None);
    }
    let [value] = values.unwrap_or_default() else {
        return Err(PgError::new("22023", format!("SET {name} takes only one argument")));
    };
    let mut modes = syntax::TransactionModes::default();
    if name == "transaction_isolation" {
        let level = Level::parse(value).ok_or_else(|| {
            PgError::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
                .with_hint("Available values: serializable, repeatable read, read committed, read uncommitted.")
        })?;
        modes.isolation = Some(level.name());
        return Ok(Some(modes));
    }
    let value = parse_bool(value).ok_or_else(|| {
        PgError::new("22023", format!("parameter \"{name}\" requires a Boolean value"))
    })?;
    if name == "transaction_read_only" {
        modes.read_only = Some(value);
    } else {
        modes.deferrable = Some(value);
    }
    Ok(Some(modes))
}

/// A type's name, for a cast to it.
fn type_name(ty: TypeId) -> syntax::TypeName {
    let name = dataman_pg::catalog::type_by_id(ty).map_or("unknown", |ty| ty.name);
    syntax::TypeName {
        name: syntax::ObjectName {
            parts: vec!["pg_catalog".to_owned(), name.to_owned()],
            ..syntax::ObjectName::default()
        },
        ..syntax::TypeName::default()
    }
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
        Define::Comment { .. } => "COMMENT",
        Define::CreateDatabase { .. } => "CREATE DATABASE",
        Define::DropDatabase { .. } => "DROP DATABASE",
        Define::Role { create: true, .. } => "CREATE ROLE",
        Define::Role { create: false, .. } => "ALTER ROLE",
        Define::DropRole { .. } => "DROP ROLE",
    }
}

/// Now, in microseconds since 2000.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH_2000_S * 1_000_000
}
