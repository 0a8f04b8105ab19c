//! The short way: a statement that one shard answers whole, whose frames go through as they are.
//!
//! ```text
//! Bind [Describe] Execute Sync ─▶ begin_pass ───┬─▶ Passing::poll … ─▶ end_pass
//! Query ──────────────────────▶ begin_lifted ─┘
//! ```
//! It is taken when everything that the ordinary way would decide is decided already: the plan is there and still right, its
//! one shard follows from a parameter, a connection is at hand, and no portal or transaction has a say. Otherwise
//! [`Session::begin_pass`] gives none, nothing has happened, and the ordinary way does the rest, errors included.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::frontend::Pipeline;
use dataman_node_protocol::node::{NodeConnection, Parameters, StatementContext};
use dataman_node_protocol::pass::Passed;
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;

use crate::error::Error;
use crate::merge::decode;
use crate::plan::Plan;
use crate::rows::describe::encode_row_description;
use crate::scatter::contract::ShardRef;
use crate::session::Session;
use crate::session::dispatch::now_us;
use crate::session::portal::{Portal, PortalState};
use crate::session::prepared::Prepared;
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

/// A statement that passes.
pub struct Passing {
    connection: Box<dyn NodeConnection>,
    /// The shard of the open transaction that it runs in.
    participant: Option<ShardRef>,
    answer: Answer,
    prepared: Arc<Prepared>,
    word: &'static str,
    /// What the client gets once the statement is bound.
    opening: BytesMut,
}

impl Passing {
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
        let planned = prepared.planned()?;
        planned.plan.pass.as_ref()?;
        if !Arc::ptr_eq(&planned.settings, self.settings.typed()) {
            // Checked once for each change of a setting, and remembered.
            let found = self.current_plan(&prepared).ok()?;
            if !Arc::ptr_eq(&found.plan, &planned.plan) {
                return None;
            }
            prepared.keep(found);
        }
        let answer = if bound.describe { Answer::Described } else { Answer::Bare };
        self.put_on_its_way(prepared, &planned.plan, bound.values, answer)
    }

    /// Puts a statement of the simple protocol on its way if it can pass. The caller knows that its plan was made under the
    /// session's settings. `values` is the end of a Bind message.
    pub(super) fn begin_prepared_pass(
        &mut self,
        prepared: Arc<Prepared>,
        values: &[u8],
    ) -> Option<Passing> {
        let planned = prepared.planned()?;
        self.put_on_its_way(prepared, &planned.plan, values, Answer::Simple)
    }

    fn put_on_its_way(
        &mut self,
        prepared: Arc<Prepared>,
        plan: &Plan,
        bytes: &[u8],
        answer: Answer,
    ) -> Option<Passing> {
        let pass = plan.pass.as_ref()?;
        let settings = self.settings.typed();
        let is_current = plan.epoch == self.cluster.epoch() && !self.has_overlay();
        if !is_current || !self.portals.is_quiet() {
            return None;
        }
        let columns = prepared.columns.as_deref().unwrap_or_default();
        let values = Values::parse(bytes, plan.params.len(), columns.len())?;
        let scan = plan.pass_scan()?;
        let datastore = plan.snapshot.datastores.get(&scan.datastore)?;
        let shard = pass.shard(datastore, |place, ty| {
            let (bytes, format) = values.get(place)?;
            decode(bytes, TypeRef::plain(ty), format, &settings.context).ok()
        })?;
        let statement = scan.statements.get(&shard)?;

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
        let (connection, participant) = match self.transaction.state {
            State::Idle if !(writes && settings.default_read_only) => {
                (self.cluster.connect_now(&plan.snapshot, &scan.datastore, shard)?, None)
            }
            State::Open if !(writes && self.transaction.modes.read_only) => {
                let shard = ShardRef { datastore: scan.datastore.clone(), shard };
                (self.transaction.take_for_pass(&shard, writes)?, Some(shard))
            }
            _ => return None,
        };
        let starts_now = pass.needs_time && participant.is_none();
        let context = StatementContext {
            epoch: plan.epoch.0,
            settings: Arc::clone(&settings.for_nodes),
            transaction_time_us: if starts_now { now_us() } else { self.transaction.started_us },
            time_left_ms: settings
                .statement_timeout
                .and_then(|time| u64::try_from(time.as_millis()).ok()),
        };
        let mut passing = Passing { connection, participant, answer, prepared, word, opening };
        let put = passing
            .connection
            .pass_through()
            .is_some_and(|connection| connection.put_statement(&context, statement, bytes).is_ok());
        if !put {
            self.let_go(passing);
            return None;
        }
        self.running.begin_pass();
        Some(passing)
    }

    /// After the end of a statement that passed, or its failure.
    ///
    /// # Errors
    /// The failure, which has failed the transaction.
    pub async fn end_pass(
        &mut self,
        passing: Passing,
        outcome: Result<(), NodeError>,
    ) -> Result<(), Error> {
        self.running.end_pass();
        if passing.answer == Answer::Simple {
            // As any query string does.
            self.prepared.remove_unnamed();
        }
        if passing.answer != Answer::Simple && passing.participant.is_some() && outcome.is_ok() {
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
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Lets go of a statement that was refused before it began, because its plan is too old.
    pub fn abandon_pass(&mut self, passing: Passing) {
        self.running.end_pass();
        self.let_go(passing);
    }

    fn let_go(&mut self, passing: Passing) {
        let Passing { mut connection, participant, opening, .. } = passing;
        self.opening = opening;
        if let Some(shard) = participant {
            let is_ready =
                connection.pass_through().is_some_and(|connection| connection.is_ready());
            let connection = is_ready.then_some(connection);
            self.transaction.give_back(vec![(shard, connection)]);
        }
    }
}

/// The end of a Bind message, checked as a whole and read where needed.
struct Values<'a> {
    body: &'a [u8],
    count: usize,
    /// Where the first value's length stands.
    first: usize,
    formats: &'a [u8],
    result_formats: &'a [u8],
}

impl<'a> Values<'a> {
    /// Checks that the message is whole and that its counts fit; the ordinary way says what is wrong with others.
    fn parse(body: &'a [u8], params: usize, columns: usize) -> Option<Self> {
        let mut at = 0;
        let formats = codes(body, &mut at)?;
        let count = short(body, &mut at)?;
        if count != params || (formats.len() > 2 && formats.len() != 2 * count) {
            return None;
        }
        let first = at;
        for _ in 0..count {
            value(body, &mut at)?;
        }
        let result_formats = codes(body, &mut at)?;
        let fits = result_formats.len() <= 2 || result_formats.len() == 2 * columns;
        (fits && at == body.len()).then_some(Self { body, count, first, formats, result_formats })
    }

    /// A parameter and its format.
    fn get(&self, place: usize) -> Option<(Option<&'a [u8]>, Format)> {
        if place >= self.count {
            return None;
        }
        let mut at = self.first;
        for _ in 0..place {
            value(self.body, &mut at)?;
        }
        Some((value(self.body, &mut at)?, format_at(self.formats, place)))
    }

    /// The format of all result columns, when they have one.
    fn one_result_format(&self) -> Option<Format> {
        (self.result_formats.len() <= 2).then(|| format_at(self.result_formats, 0))
    }

    fn result_formats(&self, columns: usize) -> Vec<Format> {
        (0..columns).map(|place| format_at(self.result_formats, place)).collect()
    }
}

/// A counted list of format codes, all of which are 0 or 1: its bytes.
fn codes<'a>(body: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let count = short(body, at)?;
    let codes = body.get(*at..*at + 2 * count)?;
    *at += 2 * count;
    codes.chunks_exact(2).all(|code| matches!(code, [0, 0 | 1])).then_some(codes)
}

fn format_at(codes: &[u8], place: usize) -> Format {
    let code = if codes.len() == 2 { codes.get(1) } else { codes.get(2 * place + 1) };
    if code == Some(&1) { Format::Binary } else { Format::Text }
}

fn short(body: &[u8], at: &mut usize) -> Option<usize> {
    let bytes = body.get(*at..*at + 2)?;
    *at += 2;
    Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// A value, none inside for NULL.
fn value<'a>(body: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let head = body.get(*at..*at + 4)?;
    *at += 4;
    let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let bytes = body.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], params: usize, columns: usize, expected: Option<&str>) {
        let found = Values::parse(body, params, columns).map(|values| {
            let params: Vec<_> = (0..params).map(|place| values.get(place).unwrap()).collect();
            format!("{params:?} {:?}", values.result_formats(columns))
        });
        assert_eq!(found.as_deref(), expected, "{body:?}");
    }

    #[test]
    fn the_end_of_bind_is_read() {
        check(b"\0\0\0\0\0\0", 0, 1, Some("[] [Text]"));
        check(
            b"\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01",
            2,
            2,
            Some("[(Some([120]), Binary), (None, Binary)] [Binary, Binary]"),
        );
        check(
            b"\0\x02\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x01y\0\x02\0\x01\0\0",
            2,
            2,
            Some("[(Some([]), Text), (Some([121]), Binary)] [Binary, Text]"),
        );
    }

    #[test]
    fn what_does_not_fit_goes_the_ordinary_way() {
        check(b"\0\0\0\x01\0\0\0\x01x\0\0", 0, 1, None);
        check(b"\0\0\0\x01\0\0\0\x02x\0\0", 1, 1, None);
        check(b"\0\x01\0\x02\0\x01\0\0\0\x01x\0\0", 1, 1, None);
        check(b"\0\x02\0\0\0\0\0\x01\0\0\0\x01x\0\0", 1, 1, None);
        check(b"\0\0\0\x01\0\0\0\x01x\0\x02\0\0\0\0", 1, 1, None);
        check(b"\0\0\0\x01\0\0\0\x01x\0\0!", 1, 1, None);
        check(b"\0\0\0\x01\x80\0\0\0x\0\0", 1, 1, None);
        check(b"\xff\xff", 1, 1, None);
        check(b"", 0, 0, None);
    }
}
