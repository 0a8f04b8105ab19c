//! What the sessions of this proxy do and did: `dataman.sessions`, `dataman.statements`, `dataman.refusals`, `pg_stat_activity`.
//!
//! ```text
//!  begin ─▶ (planned) ─▶ (first_row) ─▶ ended | failed     a statement that runs
//!  begin ─▶ rest                                           one that was only prepared
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dataman_pg::catalog::system::{SystemRow, system_relation};
use dataman_pg::value::Inet;
use dataman_pg::{PgError, Value};

use crate::session::running::{Reason, Running};
use crate::session::{Identity, now_us};

/// How many statements that have ended are remembered; the oldest is forgotten first.
pub const STATEMENTS_MAX: usize = 1_000;

/// How many reasons of refusals are counted; a new one is not, once there are so many.
pub const REASONS_MAX: usize = 1_000;

/// How many bytes of a statement are kept, as PostgreSQL's `track_activity_query_size`.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// What others' statements are to those who may not see them, as in PostgreSQL.
const HIDDEN: &str = "<insufficient privilege>";

/// What the sessions of a proxy do and did.
#[derive(Debug, Default)]
pub struct Activity {
    sessions: Mutex<BTreeMap<i32, Weak<Doing>>>,
    ended: Mutex<VecDeque<Arc<Ended>>>,
    refusals: Mutex<HashMap<String, Refusals>>,
    counts: Mutex<Counts>,
}

/// What has happened since the proxy began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Statements that have ended well.
    pub(crate) ended: u64,
    /// Those that have failed.
    pub(crate) failed: u64,
    /// Those of them that were refused.
    pub(crate) refused: u64,
    /// The time that all took.
    pub(crate) seconds: f64,
}

/// What one session does.
#[derive(Debug)]
pub struct Doing {
    activity: Arc<Activity>,
    identity: Identity,
    client: Option<SocketAddr>,
    running: Arc<Running>,
    started_us: i64,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    application: Arc<str>,
    state: &'static str,
    since_us: i64,
    transaction_us: Option<i64>,
    /// The statement that runs, or the last one.
    statement: Option<Stages>,
    runs: bool,
}

/// A statement and how far it came, with moments in microseconds since 2000.
#[derive(Debug, Clone)]
struct Stages {
    text: Arc<str>,
    started_us: i64,
    planned_us: Option<i64>,
    first_row_us: Option<i64>,
    route: Option<&'static str>,
    shards: Option<usize>,
}

/// A statement that has ended.
#[derive(Debug)]
struct Ended {
    identity: Identity,
    stages: Stages,
    ended_us: i64,
    rows: Option<u64>,
    failure: Option<(String, String)>,
}

/// How often something was refused.
#[derive(Debug)]
struct Refusals {
    count: i64,
    last_us: i64,
    example: Arc<str>,
}

/// Who asks, and so what is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) user: &'a str,
    pub(crate) superuser: bool,
}

impl Asking<'_> {
    fn may_see(&self, identity: &Identity) -> bool {
        self.superuser || *self.user == *identity.user
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The beginning of a statement's text, as much as is kept.
pub(crate) fn shown_text(text: &str) -> Arc<str> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Arc::from(&text[..end])
}

/// The number of rows that a tag tells.
pub(crate) fn counted(tag: &str) -> Option<u64> {
    tag.rsplit(' ').next().and_then(|number| number.parse().ok())
}

impl Activity {
    /// A session begins.
    pub fn join(
        self: &Arc<Self>,
        identity: &Identity,
        client: Option<SocketAddr>,
        running: &Arc<Running>,
        application: &str,
    ) -> Arc<Doing> {
        let started_us = now_us();
        let doing = Arc::new(Doing {
            activity: Arc::clone(self),
            identity: identity.clone(),
            client,
            running: Arc::clone(running),
            started_us,
            now: Mutex::new(Now {
                application: Arc::from(application),
                state: "idle",
                since_us: started_us,
                transaction_us: None,
                statement: None,
                runs: false,
            }),
        });
        locked(&self.sessions).insert(identity.process_id, Arc::downgrade(&doing));
        doing
    }

    /// `pg_cancel_backend` and `pg_terminate_backend`: cancels the statement that a session of this proxy runs, or ends the
    /// session. False where there is no such session.
    ///
    /// # Errors
    /// `42501`: it is somebody else's.
    pub(crate) fn stop(
        &self,
        process_id: i32,
        terminates: bool,
        asking: Asking<'_>,
    ) -> Result<bool, PgError> {
        let found = locked(&self.sessions).get(&process_id).and_then(Weak::upgrade);
        let Some(found) = found else { return Ok(false) };
        let message = match (found.identity.superuser && !asking.superuser, terminates) {
            (true, true) => "must be a superuser to terminate superuser process",
            (true, false) => "must be a superuser to cancel superuser query",
            (false, _) if asking.may_see(&found.identity) => "",
            (false, true) => {
                "must be a member of the role whose process is being terminated or member of pg_signal_backend"
            }
            (false, false) => {
                "must be a member of the role whose query is being canceled or member of pg_signal_backend"
            }
        };
        if !message.is_empty() {
            return Err(PgError::new("42501", message));
        }
        if terminates {
            found.running.close();
            found.running.cancel(Reason::ShuttingDown);
        } else {
            found.running.cancel(Reason::User);
        }
        Ok(true)
    }

    /// What has happened since the proxy began.
    pub(crate) fn counts(&self) -> Counts {
        *locked(&self.counts)
    }

    /// How many sessions there are.
    pub(crate) fn session_count(&self) -> usize {
        locked(&self.sessions).len()
    }

    fn count(&self, stages: &Stages, ended_us: i64, failure: Option<&str>) {
        let us = u32::try_from(ended_us.saturating_sub(stages.started_us)).unwrap_or(u32::MAX);
        let mut counts = locked(&self.counts);
        counts.seconds += f64::from(us) / 1e6;
        match failure {
            None => counts.ended += 1,
            Some(sqlstate) => {
                counts.failed += 1;
                counts.refused += u64::from(sqlstate == "0A000");
            }
        }
    }

    fn all(&self) -> Vec<Arc<Doing>> {
        locked(&self.sessions).values().filter_map(Weak::upgrade).collect()
    }

    fn refused(&self, reason: &str, example: &Arc<str>) {
        let mut refusals = locked(&self.refusals);
        if let Some(known) = refusals.get_mut(reason) {
            known.count += 1;
            known.last_us = now_us();
            known.example = Arc::clone(example);
        } else if refusals.len() < REASONS_MAX {
            let first = Refusals { count: 1, last_us: now_us(), example: Arc::clone(example) };
            refusals.insert(reason.to_owned(), first);
        }
    }

    fn remember(&self, ended: Ended) {
        let mut all = locked(&self.ended);
        if all.len() == STATEMENTS_MAX {
            all.pop_front();
        }
        all.push_back(Arc::new(ended));
    }

    /// The rows of `dataman.sessions`.
    pub(crate) fn session_rows(&self, asking: Asking<'_>) -> Vec<SystemRow> {
        let row = |doing: Arc<Doing>| {
            let now = locked(&doing.now);
            let seen = asking.may_see(&doing.identity);
            let client = doing.client.map_or(Value::Null, |client| Value::text(client.to_string()));
            [
                Value::Int4(doing.identity.process_id),
                Value::Text(Arc::clone(&doing.identity.user)),
                Value::Text(Arc::clone(&doing.identity.database)),
                Value::Text(Arc::clone(&now.application)),
                if seen { client } else { Value::Null },
                Value::TimestampTz(doing.started_us),
                if seen { Value::text(now.state) } else { Value::Null },
                Value::TimestampTz(now.since_us),
                text_for(now.statement.as_ref(), seen),
            ]
            .into()
        };
        self.all().into_iter().map(row).collect()
    }

    /// The rows of `dataman.statements`: those that run, then those that have ended, the last one first.
    pub(crate) fn statement_rows(&self, asking: Asking<'_>) -> Vec<SystemRow> {
        let mut rows = Vec::new();
        let now_us = now_us();
        for doing in self.all() {
            let now = locked(&doing.now);
            if let (true, Some(stages)) = (now.runs, &now.statement) {
                rows.push(statement_row(&doing.identity, stages, None, now_us, asking));
            }
        }
        let ended: Vec<Arc<Ended>> = locked(&self.ended).iter().rev().map(Arc::clone).collect();
        for one in ended {
            rows.push(statement_row(&one.identity, &one.stages, Some(&one), one.ended_us, asking));
        }
        rows
    }

    /// The rows of `dataman.refusals`, without examples for those who may not see others' statements.
    pub(crate) fn refusal_rows(&self, asking: Asking<'_>) -> Vec<SystemRow> {
        let refusals = locked(&self.refusals);
        let row = |(reason, refusals): (&String, &Refusals)| {
            let example = Value::Text(Arc::clone(&refusals.example));
            [
                Value::text(reason.as_str()),
                Value::Int8(refusals.count),
                Value::TimestampTz(refusals.last_us),
                if asking.superuser { example } else { Value::text(HIDDEN) },
            ]
            .into()
        };
        refusals.iter().map(row).collect()
    }

    /// The rows of `pg_stat_activity`. `oids` gives the OIDs of a database and a role.
    pub(crate) fn postgres_rows(
        &self,
        asking: Asking<'_>,
        oids: &dyn Fn(&Identity) -> (Value, Value),
    ) -> Vec<SystemRow> {
        let Some(table) = system_relation("pg_catalog", "pg_stat_activity") else {
            return Vec::new();
        };
        let columns = [
            "datid",
            "datname",
            "pid",
            "usesysid",
            "usename",
            "application_name",
            "client_addr",
            "client_port",
            "backend_start",
            "xact_start",
            "query_start",
            "state_change",
            "state",
            "query",
            "backend_type",
        ];
        let place = |wanted: &str| table.columns.iter().position(|(name, ..)| **name == *wanted);
        let places = columns.map(place);
        let row = |doing: Arc<Doing>| -> SystemRow {
            let now = locked(&doing.now);
            let (database, role) = oids(&doing.identity);
            let seen = asking.may_see(&doing.identity);
            let maybe = |value: Value| if seen { value } else { Value::Null };
            let time = |time: Option<i64>| maybe(time.map_or(Value::Null, Value::TimestampTz));
            let started = now.statement.as_ref().map(|stages| stages.started_us);
            let (address, port) = match doing.client {
                Some(client) => {
                    (Value::Inet(address_of(client)), Value::Int4(i32::from(client.port())))
                }
                None => (Value::Null, Value::Null),
            };
            let values = [
                database,
                Value::Text(Arc::clone(&doing.identity.database)),
                Value::Int4(doing.identity.process_id),
                role,
                Value::Text(Arc::clone(&doing.identity.user)),
                Value::Text(Arc::clone(&now.application)),
                maybe(address),
                maybe(port),
                time(Some(doing.started_us)),
                time(now.transaction_us),
                time(started),
                time(Some(now.since_us)),
                maybe(Value::text(now.state)),
                match &now.statement {
                    None if seen => Value::text(""),
                    statement => text_for(statement.as_ref(), seen),
                },
                maybe(Value::text("client backend")),
            ];
            let mut row = vec![Value::Null; table.columns.len()];
            for (place, value) in places.iter().zip(values) {
                if let Some(place) = place {
                    row[*place] = value;
                }
            }
            row.into()
        };
        self.all().into_iter().map(row).collect()
    }
}

fn address_of(client: SocketAddr) -> Inet {
    match client.ip().to_canonical() {
        std::net::IpAddr::V4(address) => {
            Inet { is_v6: false, bits: 32, address: u128::from(address.to_bits()) }
        }
        std::net::IpAddr::V6(address) => {
            Inet { is_v6: true, bits: 128, address: address.to_bits() }
        }
    }
}

fn text_for(stages: Option<&Stages>, seen: bool) -> Value {
    match stages {
        _ if !seen => Value::text(HIDDEN),
        Some(stages) => Value::Text(Arc::clone(&stages.text)),
        None => Value::Null,
    }
}

fn statement_row(
    identity: &Identity,
    stages: &Stages,
    ended: Option<&Ended>,
    end_us: i64,
    asking: Asking<'_>,
) -> SystemRow {
    let milliseconds = |until: Option<i64>| match until {
        // A clock that was set back has no say.
        #[expect(
            clippy::cast_precision_loss,
            reason = "a statement's time in microseconds is exact in a double"
        )]
        Some(until) => Value::Float8((until - stages.started_us).max(0) as f64 / 1_000.0),
        None => Value::Null,
    };
    let number = |number: Option<usize>| {
        number.map_or(Value::Null, |number| Value::Int4(i32::try_from(number).unwrap_or(i32::MAX)))
    };
    let rows = ended.and_then(|ended| ended.rows);
    let failure = ended.and_then(|ended| ended.failure.as_ref());
    let seen = asking.may_see(identity);
    [
        Value::Int4(identity.process_id),
        Value::Text(Arc::clone(&identity.user)),
        Value::Text(Arc::clone(&identity.database)),
        text_for(Some(stages), seen),
        Value::TimestampTz(stages.started_us),
        Value::Bool(ended.is_none()),
        stages.route.map_or(Value::Null, Value::text),
        number(stages.shards),
        rows.map_or(Value::Null, |rows| Value::Int8(i64::try_from(rows).unwrap_or(i64::MAX))),
        milliseconds(stages.planned_us),
        milliseconds(stages.first_row_us),
        milliseconds(Some(end_us)),
        failure.map_or(Value::Null, |(sqlstate, _)| Value::text(sqlstate.as_str())),
        match failure {
            Some((_, message)) if seen => Value::text(message.as_str()),
            _ => Value::Null,
        },
    ]
    .into()
}

impl Doing {
    /// A statement begins; `text` is no more of it than is kept.
    pub(crate) fn begin(&self, text: Arc<str>, transaction_us: Option<i64>) {
        let started_us = now_us();
        let mut now = locked(&self.now);
        now.state = "active";
        now.since_us = started_us;
        now.transaction_us = Some(transaction_us.unwrap_or(started_us));
        now.runs = true;
        now.statement = Some(Stages {
            text,
            started_us,
            planned_us: None,
            first_row_us: None,
            route: None,
            shards: None,
        });
    }

    /// The statement has a plan.
    pub(crate) fn planned(&self) {
        let at_us = now_us();
        if let Some(stages) = &mut locked(&self.now).statement {
            stages.planned_us.get_or_insert(at_us);
        }
    }

    /// The statement's first row is there, or its end.
    pub(crate) fn first_row(&self, way: &'static str, shards: usize) {
        let at_us = now_us();
        if let Some(stages) = &mut locked(&self.now).statement {
            stages.first_row_us.get_or_insert(at_us);
            stages.route = Some(way);
            stages.shards = Some(shards);
        }
    }

    /// The statement has ended; `state` is that of ReadyForQuery.
    pub(crate) fn ended(&self, rows: Option<u64>, state: u8) {
        self.end(rows, None, state);
    }

    /// A statement that one shard answered whole has ended.
    pub(crate) fn passed(&self, rows: Option<u64>, state: u8) {
        if let Some(stages) = &mut locked(&self.now).statement {
            stages.route = Some("route");
            stages.shards = Some(1);
        }
        self.end(rows, None, state);
    }

    /// The statement, or what belongs to one, has failed.
    pub(crate) fn failed(&self, sqlstate: &str, message: &str, state: u8) {
        if sqlstate == "0A000" {
            let text = locked(&self.now).statement.as_ref().map(|one| Arc::clone(&one.text));
            self.activity.refused(message, &text.unwrap_or_default());
        }
        self.end(None, Some((sqlstate.to_owned(), message.to_owned())), state);
    }

    /// What was begun is no statement by itself, or goes on later.
    pub(crate) fn rest(&self, state: u8) {
        let mut now = locked(&self.now);
        now.runs = false;
        now.set_state(state, now_us());
    }

    /// The client calls itself something else.
    pub(crate) fn rename(&self, application: &str) {
        let mut now = locked(&self.now);
        if *now.application != *application {
            now.application = Arc::from(application);
        }
    }

    fn end(&self, rows: Option<u64>, failure: Option<(String, String)>, state: u8) {
        let ended_us = now_us();
        let mut now = locked(&self.now);
        now.set_state(state, ended_us);
        if !std::mem::take(&mut now.runs) {
            return;
        }
        let Some(stages) = now.statement.clone() else { return };
        drop(now);
        self.activity.count(&stages, ended_us, failure.as_ref().map(|(sqlstate, _)| &**sqlstate));
        let identity = self.identity.clone();
        self.activity.remember(Ended { identity, stages, ended_us, rows, failure });
    }
}

impl Now {
    fn set_state(&mut self, state: u8, at_us: i64) {
        self.state = match state {
            b'T' => "idle in transaction",
            b'E' => "idle in transaction (aborted)",
            _ => "idle",
        };
        self.since_us = at_us;
        if self.state == "idle" {
            self.transaction_us = None;
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        locked(&self.activity.sessions).remove(&self.identity.process_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(activity: &Arc<Activity>, user: &str, process_id: i32) -> Arc<Doing> {
        let identity = Identity {
            user: Arc::from(user),
            database: Arc::from("shop"),
            process_id,
            superuser: false,
        };
        activity.join(&identity, None, &Arc::default(), "psql")
    }

    #[test]
    fn statements_are_listed_while_they_run_and_afterwards() {
        let activity = Arc::new(Activity::default());
        let (ann, bob) = (session(&activity, "ann", 1), session(&activity, "bob", 2));
        ann.begin(shown_text("SELECT 1"), None);
        bob.begin(shown_text("SELECT 2"), None);
        bob.ended(Some(1), b'I');
        let asking = Asking { user: "ann", superuser: false };
        let rows = activity.statement_rows(asking);
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[0][3], &rows[0][5]), (&Value::text("SELECT 1"), &Value::Bool(true)));
        assert_eq!((&rows[1][3], &rows[1][8]), (&Value::text(HIDDEN), &Value::Int8(1)));
        assert_eq!(activity.session_rows(asking).len(), 2);
        drop(bob);
        assert_eq!(activity.session_rows(asking).len(), 1);
        assert_eq!(activity.stop(2, false, asking), Ok(false));
        assert_eq!(activity.stop(1, true, asking), Ok(true));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let activity = Arc::new(Activity::default());
        let ann = session(&activity, "ann", 1);
        for number in 0..STATEMENTS_MAX + REASONS_MAX {
            ann.begin(shown_text(&"x".repeat(3 * TEXT_BYTES_MAX)), None);
            ann.failed("0A000", &format!("reason {number}"), b'I');
        }
        let asking = Asking { user: "ann", superuser: true };
        assert_eq!(activity.statement_rows(asking).len(), STATEMENTS_MAX);
        assert_eq!(activity.refusal_rows(asking).len(), REASONS_MAX);
        let Value::Text(text) = &activity.statement_rows(asking)[0][3] else { unreachable!() };
        assert_eq!(text.len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let text = format!("{}é", "x".repeat(TEXT_BYTES_MAX - 1));
        assert_eq!(shown_text(&text).len(), TEXT_BYTES_MAX - 1);
    }
}
