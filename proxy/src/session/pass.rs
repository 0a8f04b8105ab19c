//! The short way: a statement that one shard answers whole, whose frames go through as they are.
//!
//! ```text
//! Bind [Describe] Execute Sync ─▶ begin_pass ───┬─▶ Passing::poll … ─▶ end_pass
//! Query ──────────────────────▶ begin_lifted ─┘
//! ```
//! It is taken when everything that the ordinary way would decide is decided already: the plan is there and still right, its
//! one shard follows from a parameter, a connection is at hand, and no portal or transaction has a say. The first statement
//! of a block on a shard takes the BEGIN with it, and the COMMIT of a block that one shard takes part in passes too.
//! Otherwise [`Session::begin_pass`] gives none, nothing has happened, and the ordinary way does the rest, errors included.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use dataman_metadata::replica::ReadPreference;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::frontend::Pipeline;
use dataman_node_protocol::node::{NodeConnection, Parameters, StatementContext};
use dataman_node_protocol::pass::Passed;
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;

use crate::error::Error;
use crate::merge::decode;
use crate::parse::syntax::{Statement, Transaction};
use crate::plan::Plan;
use crate::rows::describe::encode_row_description;
use crate::scatter::contract::ShardRef;
use crate::session::Session;
use crate::session::bind_values::{Values, put_row};
use crate::session::dispatch::now_us;
use crate::session::portal::{Portal, PortalState};
use crate::session::prepared::{Planned, Prepared};
use crate::session::transaction::State;

/// What the client wants to hear of a statement besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// BindComplete.
    Bare,
    /// BindComplete, and the rows' description.
    Described,
    /// The rows' description, when there are rows: the simple protocol.
    Simple,
}

/// Where a statement that passes stands in its transaction.
#[derive(Debug)]
enum Role {
    /// It is its own.
    Alone,
    /// It runs in the open one, on this shard.
    Within(ShardRef),
    /// It is the COMMIT of the open one.
    Commit,
}

/// A statement that passes.
pub struct Passing {
    connection: Box<dyn NodeConnection>,
    role: Role,
    answer: Answer,
    prepared: Arc<Prepared>,
    word: &'static str,
    /// What the client gets once the statement is bound.
    opening: BytesMut,
}

impl Passing {
    /// Whether nothing has happened when a shard refuses it because its plan is too old.
    pub fn can_be_planned_anew(&self) -> bool {
        matches!(self.role, Role::Alone)
    }

    /// Goes on, and appends what has come to `out`.
    ///
    /// # Errors
    /// The shard's.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        out: &mut BytesMut,
    ) -> Poll<Result<Passed, NodeError>> {
        match self.connection.pass_through() {
            Some(connection) => connection.poll_pass(context, &self.opening, out),
            None => Poll::Ready(Err(NodeError::unsupported("a connection has ceased to pass"))),
        }
    }

    /// Stops the statement, and waits until it has stopped.
    ///
    /// # Errors
    /// `57014`, or the shard's.
    pub async fn stop(&mut self, out: &mut BytesMut) -> Result<(), NodeError> {
        match self.connection.pass_through() {
            Some(connection) => connection.stop(&self.opening, out).await,
            None => Ok(()),
        }
    }
}

impl Session {
    /// Puts a bound statement on its way if it can pass.
    pub fn begin_pass(&mut self, bound: &Pipeline<'_>) -> Option<Passing> {
        let prepared = Arc::clone(self.prepared.get(bound.statement).ok()?);
        let answer = if bound.describe { Answer::Described } else { Answer::Bare };
        let Some(planned) = prepared.planned() else {
            Values::parse(bound.values, 0, 0)?;
            return self.begin_commit(prepared, answer);
        };
        planned.plan.pass.as_ref()?;
        if !Arc::ptr_eq(&planned.settings, self.settings.typed()) {
            // Checked once for each change of a setting, and remembered.
            let found = self.current_plan(&prepared).ok()?;
            if !Arc::ptr_eq(&found.plan, &planned.plan) {
                return None;
            }
            prepared.keep(found);
        }
        self.put_on_its_way(prepared, &planned, bound.values, answer)
    }

    /// Puts COMMIT on its way, when there is one shard to tell and nothing else to do.
    fn begin_commit(&mut self, prepared: Arc<Prepared>, answer: Answer) -> Option<Passing> {
        let is_commit = prepared.statement.as_ref().is_some_and(|statement| {
            matches!(
                statement.statement,
                Statement::Transaction(Transaction::Commit { chain: false })
            )
        });
        if !is_commit || self.has_overlay() || !self.portals.is_quiet() {
            return None;
        }
        let mut connection = self.transaction.take_for_commit()?;
        let put =
            connection.1.pass_through().is_some_and(|connection| connection.put_commit().is_ok());
        if !put {
            let (shard, connection) = connection;
            self.transaction.give_back(vec![(shard, Some(connection))]);
            return None;
        }
        let mut opening = std::mem::take(&mut self.opening);
        opening.clear();
        if answer != Answer::Simple {
            opening.put_slice(b"2\0\0\0\x04");
        }
        if answer == Answer::Described {
            opening.put_slice(prepared.description(Format::Text));
        }
        self.running.begin_pass();
        self.show_begin(prepared.shown());
        let (connection, role) = (connection.1, Role::Commit);
        Some(Passing { connection, role, answer, prepared, word: "COMMIT", opening })
    }

    /// Puts a statement of the simple protocol on its way if it can pass. The caller knows that its plan was made under the
    /// session's settings. `values` is the end of a Bind message.
    pub(super) fn begin_prepared_pass(
        &mut self,
        prepared: Arc<Prepared>,
        values: &[u8],
    ) -> Option<Passing> {
        match prepared.planned() {
            Some(planned) => self.put_on_its_way(prepared, &planned, values, Answer::Simple),
            None => self.begin_commit(prepared, Answer::Simple),
        }
    }

    fn put_on_its_way(
        &mut self,
        prepared: Arc<Prepared>,
        planned: &Planned,
        bytes: &[u8],
        answer: Answer,
    ) -> Option<Passing> {
        if !planned.plan.writes {
            return self.put_planned(prepared, planned, bytes, answer);
        }
        self.writer.begin(self.cluster.epoch());
        let passing = self.put_planned(prepared, planned, bytes, answer);
        if passing.is_none() {
            self.writer.end();
        }
        passing
    }

    fn put_planned(
        &mut self,
        prepared: Arc<Prepared>,
        planned: &Planned,
        bytes: &[u8],
        answer: Answer,
    ) -> Option<Passing> {
        let plan = &*planned.plan;
        let pass = plan.pass.as_ref()?;
        let settings = Arc::clone(self.settings.typed());
        let is_current = plan.epoch == self.cluster.epoch() && !self.has_overlay();
        if !is_current || !self.portals.is_quiet() {
            return None;
        }
        let columns = prepared.columns.as_deref().unwrap_or_default();
        let values = Values::parse(bytes, plan.params.len(), columns.len())?;
        let target = plan.pass_target()?;
        let datastore = plan.snapshot.datastores.get(target.datastore)?;
        let shard = pass.shard(datastore, |place, ty| {
            let (bytes, format) = values.get(place)?;
            decode(bytes, TypeRef::plain(ty), format, &settings.context).ok()
        })?;
        let statement = target.statements.get(&shard)?;
        if datastore.shard(shard).is_some_and(|copies| !copies.replicas.is_empty()) {
            if plan.writes {
                let shard = ShardRef { datastore: target.datastore.clone(), shard };
                self.transaction.note_write(&shard);
            } else if settings.read != ReadPreference::Primary {
                // Which copy is read is decided the ordinary way.
                return None;
            }
        }

        let mut opening = std::mem::take(&mut self.opening);
        opening.clear();
        if answer != Answer::Simple {
            opening.put_slice(b"2\0\0\0\x04");
        }
        let described = match answer {
            Answer::Described => true,
            Answer::Simple => prepared.columns.is_some(),
            Answer::Bare => false,
        };
        if described {
            match values.one_result_format() {
                Some(format) => opening.put_slice(prepared.description(format)),
                None => {
                    let formats = values.result_formats(columns.len());
                    encode_row_description(columns, &formats, &mut opening);
                }
            }
        }
        let (word, writes) = (plan.tag, plan.writes);
        let is_own = self.transaction.state == State::Idle;
        let starts_now = is_own && (pass.needs_time || pass.row.is_some());
        let context = StatementContext {
            epoch: plan.epoch.0,
            settings: Arc::clone(&settings.for_nodes),
            transaction_time_us: if starts_now { now_us() } else { self.transaction.started_us },
            time_left_ms: settings
                .statement_timeout
                .and_then(|time| u64::try_from(time.as_millis()).ok()),
        };
        let mut row = BytesMut::new();
        if let Some(fields) = &pass.row {
            let mut evaluation = self.context(&planned.key.schemas);
            evaluation.transaction_time_us = context.transaction_time_us;
            put_row(fields, &values, &plan.params, &evaluation, &mut row)?;
        }
        let bytes = if pass.row.is_some() { &row[..] } else { bytes };
        let (mut connection, role) = match self.transaction.state {
            State::Idle if !(writes && settings.default_read_only) => {
                let connection =
                    self.cluster.connect_now(&plan.snapshot, target.datastore, shard)?;
                (connection, Role::Alone)
            }
            State::Open if !(writes && self.transaction.modes.read_only) => {
                let shard = ShardRef { datastore: target.datastore.clone(), shard };
                (self.join_for_pass(plan, &shard, &context)?, Role::Within(shard))
            }
            _ => return None,
        };
        let put = connection
            .pass_through()
            .is_some_and(|connection| connection.put_statement(&context, statement, bytes).is_ok());
        let passing = Passing { connection, role, answer, prepared, word, opening };
        if !put {
            self.let_go(passing);
            return None;
        }
        self.running.begin_pass();
        self.show_begin(passing.prepared.shown());
        Some(passing)
    }

    /// The connection to a shard of the open transaction, which joins it if it does not take part yet.
    fn join_for_pass(
        &mut self,
        plan: &Plan,
        shard: &ShardRef,
        context: &StatementContext,
    ) -> Option<Box<dyn NodeConnection>> {
        if plan.writes && self.transaction.written().any(|other| other != shard) {
            return None;
        }
        if self.transaction.participants.contains_key(shard) {
            return self.transaction.take_for_pass(shard, plan.writes);
        }
        if self.transaction.has_savepoints() {
            return None;
        }
        let mut connection =
            self.cluster.connect_now(&plan.snapshot, &shard.datastore, shard.shard)?;
        let options = self.transaction.modes.options();
        if !connection.pass_through()?.begin(context, options) {
            return None;
        }
        self.transaction.join_for_pass(shard.clone(), plan.writes);
        Some(connection)
    }

    /// After the end of a statement that passed, or its failure.
    ///
    /// # Errors
    /// The failure, which has failed the transaction.
    pub async fn end_pass(
        &mut self,
        passing: Passing,
        outcome: Result<(), NodeError>,
        rows: Option<u64>,
    ) -> Result<(), Error> {
        self.running.end_pass();
        if passing.answer == Answer::Simple {
            // As any query string does.
            self.prepared.remove_unnamed();
        }
        if let Role::Commit = passing.role {
            return self.end_commit(passing, outcome).await;
        }
        let is_within = matches!(passing.role, Role::Within(_));
        if passing.answer != Answer::Simple && is_within && outcome.is_ok() {
            // As after Bind and Execute: the unnamed portal is there, and has no more rows.
            let state = match passing.prepared.columns {
                Some(_) => PortalState::Exhausted { word: passing.word },
                None => PortalState::Done,
            };
            let portal = Portal {
                prepared: Arc::clone(&passing.prepared),
                parameters: Parameters::default(),
                formats: Vec::new(),
                state,
            };
            self.portals.put_back("", portal);
        }
        self.let_go(passing);
        match outcome {
            Ok(()) => {
                self.doing.passed(rows, self.status());
                Ok(())
            }
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// After the end of a COMMIT that passed: the transaction is over, whichever way it went.
    async fn end_commit(
        &mut self,
        passing: Passing,
        outcome: Result<(), NodeError>,
    ) -> Result<(), Error> {
        self.let_go(passing);
        self.portals.clear_for_commit();
        match outcome {
            Ok(()) => {
                self.transaction.end();
                self.settings.end_local();
                Ok(())
            }
            Err(error) => {
                let layers = self.transaction.settings.clone();
                self.transaction.end();
                self.settings.restore(&layers);
                Err(self.fail(error.into()).await)
            }
        }
    }

    /// Lets go of a statement that was refused before it began, because its plan is too old.
    pub fn abandon_pass(&mut self, passing: Passing) {
        self.running.end_pass();
        self.let_go(passing);
    }

    fn let_go(&mut self, passing: Passing) {
        let Passing { mut connection, role, opening, .. } = passing;
        self.opening = opening;
        self.writer.end();
        if let Role::Within(shard) = role {
            // One that cannot pass has begun nothing.
            let is_ready = connection.pass_through().is_none_or(|connection| connection.is_ready());
            let connection = is_ready.then_some(connection);
            self.transaction.give_back(vec![(shard, connection)]);
        }
    }
}
