//! SET, SHOW, RESET: a session's parameters, with the transaction's undo.
//!
//! A value is looked for in three layers: what the transaction set LOCAL, what the session set, what it began with (of several
//! sources, the strongest). The
//! layers are shared maps that are copied when changed, so remembering them at BEGIN and at each SAVEPOINT costs nothing,
//! and ROLLBACK puts them back as they were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dataman_metadata::replica::ReadPreference;
use dataman_pg::context::{ByteaOutput, Context, DateStyle, IntervalStyle};
use dataman_pg::error::{PgError, Result};
use dataman_pg::timezone::TimeZone;

use crate::merge::{STATEMENT_BYTES_MAX, TEMPORARY_BYTES_MAX};
use crate::session::parameters::{
    Kind, LAG_MAX, PARAMETERS, READ, STATEMENT_MEMORY, TEMPORARY_LIMIT, Unit, Use, find,
    find_foreign,
};
use crate::session::setting_value::{
    canonical, default_text, on_off, parse_date_style, parse_integer, parse_time_zone, quote,
    split_names,
};
use crate::sqlstate::Severity;

/// What ParameterStatus reports, at the start and on each change.
const REPORTED: &[&str] = &[
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// What values, and what happens while statements run, depend on; sent to agents when it changed.
const SENT_TO_NODES: &[&str] =
    &["TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output"];

/// How far a SET reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Until the session ends.
    Session,
    /// Until the transaction ends.
    Local,
}

/// Where the value that a session begins with comes from; a later one outdoes an earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The proxy's command line.
    CommandLine,
    /// ALTER ROLE ALL SET.
    Global,
    /// ALTER DATABASE … SET.
    Database,
    /// ALTER ROLE … SET.
    User,
    /// ALTER ROLE … IN DATABASE … SET.
    DatabaseUser,
    /// The startup message.
    Client,
}

impl Source {
    /// As `pg_settings` names it.
    fn word(self) -> &'static str {
        match self {
            Self::CommandLine => "command line",
            Self::Global => "global",
            Self::Database => "database",
            Self::User => "user",
            Self::DatabaseUser => "database user",
            Self::Client => "client",
        }
    }
}

/// A session's parameters.
#[derive(Debug, Clone)]
pub struct Settings {
    view: SettingsView,
    typed: Arc<Typed>,
    reported: Arc<BTreeMap<&'static str, String>>,
    /// A value may have changed since the reports were taken.
    unreported: bool,
}

/// The values of a session's parameters, cheap to share with its statements.
#[derive(Debug, Clone)]
pub struct SettingsView {
    /// What RESET goes back to, where it is not PostgreSQL's default: what is kept for the session's role and database, and what
    /// the client said at the start.
    initial: Arc<BTreeMap<String, (String, Source)>>,
    layers: Layers,
    user: Arc<str>,
    superuser: bool,
}

/// The layers above the initial values: what BEGIN remembers.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    session: Arc<BTreeMap<String, Held>>,
    local: Arc<BTreeMap<String, Held>>,
}

/// A value in a layer.
#[derive(Debug, Clone)]
struct Held {
    text: String,
    /// RESET has put it there: it is what the session began with.
    is_initial: bool,
}

/// The parameters that the proxy itself reads, parsed.
#[derive(Debug, Clone)]
pub struct Typed {
    /// What input, output and functions depend on; the clock and the session's facts are filled in for each statement.
    pub context: Context,
    /// The schemas to look in, as written: `$user` is not replaced.
    pub search_path: Vec<String>,
    /// `dataman.statement_mem`, in bytes.
    pub statement_bytes: usize,
    /// `dataman.temp_limit`, in bytes.
    pub temporary_bytes: u64,
    /// `dataman.read`.
    pub read: ReadPreference,
    /// `dataman.max_lag`; none for any lag.
    pub lag_max: Option<Duration>,
    /// `statement_timeout`.
    pub statement_timeout: Option<Duration>,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// `idle_session_timeout`.
    pub idle_timeout: Option<Duration>,
    /// `client_min_messages`.
    pub messages: Severity,
    /// `default_transaction_isolation`.
    pub default_isolation: String,
    /// `default_transaction_read_only`.
    pub default_read_only: bool,
    /// `default_transaction_deferrable`.
    pub default_deferrable: bool,
    /// What agents are told.
    pub for_nodes: Assignments,
    /// What a plan depends on, as part of the plan cache's key.
    pub plan_key: Arc<str>,
}

/// Names and values, in a fixed order.
pub type Assignments = Arc<Vec<(String, String)>>;

impl Settings {
    /// The parameters of a new session.
    pub fn new(user: &str, superuser: bool) -> Self {
        Self {
            view: SettingsView {
                initial: Arc::default(),
                layers: Layers::default(),
                user: Arc::from(user),
                superuser,
            },
            typed: Arc::new(Typed::unset()),
            reported: Arc::default(),
            unreported: true,
        }
    }

    /// Takes a parameter from the start of the session: RESET goes back to it. A stronger source keeps what it has said.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_initial(&mut self, name: &str, value: &str, source: Source) -> Result<()> {
        let (name, value) = match name.eq_ignore_ascii_case("search_path") {
            // A list that comes as one text stays as it is.
            true if split_names(value).is_some() => ("search_path".to_owned(), value.to_owned()),
            true => {
                let message = format!("invalid value for parameter \"search_path\": \"{value}\"");
                return Err(PgError::new("22023", message).with_detail("List syntax is invalid."));
            }
            false => self.view.check(name, &[value.to_owned()])?,
        };
        if source == Source::CommandLine && value == default_text(find(&name)) {
            return Ok(());
        }
        let initial = Arc::make_mut(&mut self.view.initial);
        if initial.get(&name).is_none_or(|(_, known)| *known <= source) {
            initial.insert(name, (value, source));
            self.refresh();
        }
        Ok(())
    }

    /// SET. `values` none is DEFAULT.
    ///
    /// # Errors
    /// `42704` unknown, `22023` not a value of it, `55P02` not changeable, `0A000` where only the default is known.
    pub fn set(&mut self, name: &str, values: Option<&[String]>, scope: Scope) -> Result<()> {
        let Some(values) = values else { return self.reset(name, scope) };
        let (name, text) = self.view.check(name, values)?;
        self.put(name, Held { text, is_initial: false }, scope);
        Ok(())
    }

    /// RESET name, or SET name TO DEFAULT.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn reset(&mut self, name: &str, scope: Scope) -> Result<()> {
        if find(name).is_none() && is_identity(name) {
            return Ok(());
        }
        let (name, text) = self.view.reset_value(name)?;
        self.put(name, Held { text, is_initial: true }, scope);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.view.layers = Layers::default();
        self.refresh();
    }

    /// SHOW: the name as PostgreSQL writes it, and the value.
    ///
    /// # Errors
    /// `42704` unknown; `0A000` for a parameter of PostgreSQL's server that means nothing here.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        self.view.show(name)
    }

    /// SHOW ALL: names and values, ordered by name.
    pub fn show_all(&self) -> Vec<(String, String)> {
        self.view.show_all()
    }

    /// The values as they are now, for a statement to read.
    pub fn view(&self) -> &SettingsView {
        &self.view
    }

    /// The parsed values.
    pub fn typed(&self) -> &Arc<Typed> {
        &self.typed
    }

    /// What a transaction or savepoint goes back to when it is rolled back.
    pub fn save(&self) -> Layers {
        self.view.layers.clone()
    }

    /// Goes back.
    pub fn restore(&mut self, layers: &Layers) {
        let same = Arc::ptr_eq(&layers.session, &self.view.layers.session)
            && Arc::ptr_eq(&layers.local, &self.view.layers.local);
        if !same {
            self.view.layers = layers.clone();
            self.refresh();
        }
    }

    /// Forgets what was set LOCAL: the transaction has committed.
    pub fn end_local(&mut self) {
        if !self.view.layers.local.is_empty() {
            self.view.layers.local = Arc::default();
            self.refresh();
        }
    }

    /// What the client must be told: reported parameters that changed since the last call, at first all of them.
    pub fn take_reports(&mut self) -> Vec<(&'static str, String)> {
        let mut changed = Vec::new();
        if !std::mem::take(&mut self.unreported) {
            return changed;
        }
        for name in REPORTED {
            let value = match *name {
                "is_superuser" => on_off(self.view.superuser).to_owned(),
                "session_authorization" => self.view.user.to_string(),
                name => self.view.value(name),
            };
            if self.reported.get(name) != Some(&value) {
                Arc::make_mut(&mut self.reported).insert(name, value.clone());
                changed.push((*name, value));
            }
        }
        changed
    }

    fn put(&mut self, name: String, value: Held, scope: Scope) {
        let layer = match scope {
            Scope::Local => &mut self.view.layers.local,
            Scope::Session => {
                // A plain SET after a SET LOCAL of the same transaction wins over it at once.
                if self.view.layers.local.contains_key(&name) {
                    Arc::make_mut(&mut self.view.layers.local).remove(&name);
                }
                &mut self.view.layers.session
            }
        };
        Arc::make_mut(layer).insert(name, value);
        self.refresh();
    }

    fn refresh(&mut self) {
        let typed = Typed::read(|name| self.view.value(name));
        self.typed = Arc::new(typed);
        self.unreported = true;
    }
}

impl Layers {
    fn held(&self, name: &str) -> Option<&Held> {
        self.local.get(name).or_else(|| self.session.get(name))
    }
}

impl SettingsView {
    /// SHOW: the name as PostgreSQL writes it, and the value.
    ///
    /// # Errors
    /// `42704` unknown; `0A000` for a parameter of PostgreSQL's server that means nothing here.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        if let Some(parameter) = find(name) {
            return Ok((parameter.name.to_owned(), self.value(parameter.name)));
        }
        if is_identity(name) {
            let name = name.to_ascii_lowercase();
            let value = match name.as_str() {
                "role" => "none".to_owned(),
                "is_superuser" => on_off(self.superuser).to_owned(),
                "seed" => "unavailable".to_owned(),
                _ => self.user.to_string(),
            };
            return Ok((name, value));
        }
        if find_foreign(name).is_some() {
            return Err(PgError::unsupported(format!(
                "parameter \"{name}\" has no meaning in dataman"
            ))
            .with_hint("It describes a single PostgreSQL server; ask the shard's own server."));
        }
        match self.stored(&name.to_ascii_lowercase()) {
            Some(value) => Ok((name.to_ascii_lowercase(), value.to_owned())),
            None => Err(unrecognized(name)),
        }
    }

    /// SHOW ALL: names and values, ordered by name.
    pub fn show_all(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = PARAMETERS
            .iter()
            .map(|parameter| (parameter.name.to_owned(), self.value(parameter.name)))
            .collect();
        let custom = self.layers.session.keys().chain(self.layers.local.keys());
        let custom = custom.chain(self.initial.keys());
        for name in custom.filter(|name| name.contains('.')) {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.clone(), self.value(name)));
            }
        }
        all.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        all
    }

    /// What RESET sets a parameter to: its exact name, and the value.
    pub(crate) fn reset_value(&self, name: &str) -> Result<(String, String)> {
        let (name, custom) = match find(name) {
            Some(parameter) if parameter.used == Use::Internal => {
                return Err(cannot_be_changed(parameter.name, None));
            }
            Some(parameter) => (parameter.name.to_owned(), false),
            None => (custom_name(name)?, true),
        };
        // A custom parameter stays known, with an empty value; a known one falls back to what it began with.
        let value = match self.initial.get(&name) {
            Some((initial, _)) => initial.clone(),
            None if custom => String::new(),
            None => default_text(find(&name)),
        };
        Ok((name, value))
    }

    /// A parameter as `pg_settings` shows it, in the parameter's own unit: its value, what RESET sets, and the value's
    /// source. None for a parameter that dataman does not have.
    pub(crate) fn raw(&self, name: &str) -> Option<(String, String, &'static str)> {
        let parameter = find(name)?;
        let bare = |text: String| match parameter.kind {
            Kind::Integer(_, _, unit) => {
                parse_integer(&text, unit).map_or(text, |number| number.to_string())
            }
            _ => text,
        };
        let initial = self.initial.get(parameter.name);
        let source = match (self.layers.held(parameter.name), initial) {
            (Some(held), _) if !held.is_initial => "session",
            (_, Some((_, source))) => source.word(),
            (_, None) => "default",
        };
        let initial =
            initial.map_or_else(|| default_text(Some(parameter)), |(text, _)| text.clone());
        Some((bare(self.value(parameter.name)), bare(initial), source))
    }

    fn stored(&self, name: &str) -> Option<&str> {
        let held = self.layers.held(name).map(|held| &held.text);
        held.or_else(|| self.initial.get(name).map(|(text, _)| text)).map(String::as_str)
    }

    /// The value of a parameter by its exact name.
    fn value(&self, name: &str) -> String {
        match self.stored(name) {
            Some(value) => value.to_owned(),
            None => default_text(find(name)),
        }
    }

    /// What is kept of ALTER ROLE … SET and its like: the exact name, and the value as it was written. No values is RESET, whose name
    /// is checked alone.
    ///
    /// # Errors
    /// As [`Settings::set`]; `42501` for what only a superuser may set; `0A000` for what would have no effect.
    pub(crate) fn check_default(
        &self,
        name: &str,
        values: Option<&[String]>,
    ) -> Result<(String, String)> {
        let parameter = find(name);
        let exact = match parameter {
            Some(parameter) => parameter.name.to_owned(),
            None if is_identity(name) => name.to_ascii_lowercase(),
            None if find_foreign(name).is_some() => name.to_ascii_lowercase(),
            None if !self.superuser => {
                let name = custom_name(name)?;
                let message = format!("permission denied to set parameter \"{name}\"");
                return Err(PgError::new("42501", message));
            }
            None => custom_name(name)?,
        };
        let Some(values) = values else { return Ok((exact, String::new())) };
        if exact.starts_with("transaction_") {
            return Err(PgError::unsupported(format!(
                "parameter \"{exact}\" is a transaction's and no session begins with it"
            ))
            .with_hint(format!("Set default_{exact}.")));
        }
        self.check(name, values)?;
        let text = match parameter {
            Some(parameter) => join(parameter.name, values),
            None => values.join(", "),
        };
        Ok((exact, text))
    }

    /// Checks a value and gives the exact name and the value as SHOW prints it.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(crate) fn check(&self, name: &str, values: &[String]) -> Result<(String, String)> {
        let Some(parameter) = find(name) else {
            if is_identity(name) {
                return self.check_identity(name, values);
            }
            if let Some(reason) = find_foreign(name) {
                return Err(cannot_be_changed(name, Some(reason)));
            }
            return Ok((custom_name(name)?, values.join(", ")));
        };
        if parameter.used == Use::Internal {
            return Err(cannot_be_changed(parameter.name, None));
        }
        let is_list = matches!(
            parameter.name,
            "search_path" | "DateStyle" | "temp_tablespaces" | "local_preload_libraries"
        );
        if values.len() != 1 && !is_list {
            return Err(PgError::new("22023", format!("SET {name} takes only one argument")));
        }
        let value = join(parameter.name, values);
        let base = parse_date_style(&self.value("DateStyle"), DateStyle::default());
        let base = base.unwrap_or_default();
        let value = canonical(parameter, name, &value, base)?;
        if parameter.used == Use::Fixed && value != default_text(Some(parameter)) {
            return Err(PgError::unsupported(format!(
                "parameter \"{}\" cannot be set to \"{value}\"",
                parameter.name
            ))
            .with_hint(format!(
                "dataman answers as PostgreSQL does when it is \"{}\".",
                parameter.default
            )));
        }
        Ok((parameter.name.to_owned(), value))
    }

    fn check_identity(&self, name: &str, values: &[String]) -> Result<(String, String)> {
        let value = values.first().map_or("", String::as_str);
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "is_superuser" => Err(cannot_be_changed(&name, None)),
            "role" if value == "none" || *value == *self.user => Ok((name, value.to_owned())),
            "session_authorization" if *value == *self.user => Ok((name, value.to_owned())),
            "seed" => Err(PgError::unsupported("parameter \"seed\" cannot be set")
                .with_hint("random() has no seed that several shards could share.")),
            _ => Err(PgError::unsupported(format!("cannot change to role \"{value}\""))
                .with_hint("Connect as that role instead.")),
        }
    }
}

impl Typed {
    fn unset() -> Self {
        Self::read(|name| default_text(find(name)))
    }

    /// Parses values that have been checked when they were set.
    fn read(value: impl Fn(&str) -> String) -> Self {
        let timeout = |name: &str| {
            let text = value(name);
            let ms = parse_integer(&text, Unit::Milliseconds).unwrap_or(0);
            u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
        };
        let mut for_nodes: Vec<(String, String)> =
            SENT_TO_NODES.iter().map(|name| ((*name).to_owned(), value(name))).collect();
        let plan_key: Vec<&str> = for_nodes.iter().map(|(_, value)| value.as_str()).collect();
        let plan_key = plan_key.join("\n").into();
        // Only what was asked for is sent: a shard's own server may have reasons for its default.
        if value("lock_timeout") != "0" {
            for_nodes.push(("lock_timeout".to_owned(), value("lock_timeout")));
        }
        Self {
            context: Context {
                time_zone: parse_time_zone(&value("TimeZone")).unwrap_or_else(TimeZone::utc),
                date_style: parse_date_style(&value("DateStyle"), DateStyle::default())
                    .unwrap_or_default(),
                interval_style: match value("IntervalStyle").as_str() {
                    "postgres_verbose" => IntervalStyle::PostgresVerbose,
                    "sql_standard" => IntervalStyle::SqlStandard,
                    "iso_8601" => IntervalStyle::Iso8601,
                    _ => IntervalStyle::Postgres,
                },
                extra_float_digits: value("extra_float_digits").parse().unwrap_or(1),
                bytea_output: match value("bytea_output").as_str() {
                    "escape" => ByteaOutput::Escape,
                    _ => ByteaOutput::Hex,
                },
                ..Context::default()
            },
            search_path: split_names(&value("search_path")).unwrap_or_default(),
            statement_bytes: parse_integer(&value(STATEMENT_MEMORY), Unit::Kilobytes)
                .ok()
                .and_then(|kilobytes| usize::try_from(kilobytes).ok()?.checked_mul(1024))
                .unwrap_or(STATEMENT_BYTES_MAX),
            temporary_bytes: parse_integer(&value(TEMPORARY_LIMIT), Unit::Kilobytes)
                .ok()
                .and_then(|kilobytes| u64::try_from(kilobytes).ok()?.checked_mul(1024))
                .unwrap_or(TEMPORARY_BYTES_MAX),
            read: match value(READ).as_str() {
                "any" => ReadPreference::Any,
                "nearest" => ReadPreference::Nearest,
                _ => ReadPreference::Primary,
            },
            lag_max: parse_integer(&value(LAG_MAX), Unit::Milliseconds)
                .ok()
                .and_then(|ms| u64::try_from(ms).ok())
                .map(Duration::from_millis),
            statement_timeout: timeout("statement_timeout"),
            idle_in_transaction_timeout: timeout("idle_in_transaction_session_timeout"),
            idle_timeout: timeout("idle_session_timeout"),
            messages: match value("client_min_messages").as_str() {
                "log" => Severity::Log,
                "notice" => Severity::Notice,
                "warning" => Severity::Warning,
                "error" => Severity::Error,
                _ => Severity::Debug,
            },
            default_isolation: value("default_transaction_isolation"),
            default_read_only: value("default_transaction_read_only") == "on",
            default_deferrable: value("default_transaction_deferrable") == "on",
            for_nodes: shared(for_nodes),
            plan_key,
        }
    }
}

/// A list as a parameter holds it; the names of schemas are quoted where they need it.
fn join(name: &str, values: &[String]) -> String {
    if name == "search_path" {
        let quoted: Vec<String> = values.iter().map(|schema| quote(schema)).collect();
        return quoted.join(", ");
    }
    values.join(", ")
}

/// The names in a list of names as a parameter holds it.
pub(crate) fn split(value: &str) -> Vec<String> {
    split_names(value).unwrap_or_else(|| vec![value.to_owned()])
}

/// How many different sets of settings are remembered to be shared.
const SHARED_SETTINGS_MAX: usize = 64;

/// The same settings as one object for all sessions: a connection that passes from one to the other sees at a glance that
/// nothing has changed.
fn shared(settings: Vec<(String, String)>) -> Assignments {
    static KNOWN: Mutex<Vec<Assignments>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.iter().find(|one| ***one == settings) {
        return Arc::clone(found);
    }
    if known.len() == SHARED_SETTINGS_MAX {
        known.remove(0);
    }
    let settings = Arc::new(settings);
    known.push(Arc::clone(&settings));
    settings
}

/// What is not kept as a parameter: who the session is.
fn is_identity(name: &str) -> bool {
    ["role", "session_authorization", "is_superuser", "seed"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn unrecognized(name: &str) -> PgError {
    PgError::new("42704", format!("unrecognized configuration parameter \"{name}\""))
}

fn cannot_be_changed(name: &str, when: Option<&str>) -> PgError {
    let when = when.map(|when| format!(" {when}")).unwrap_or_default();
    PgError::new("55P02", format!("parameter \"{name}\" cannot be changed{when}"))
}

/// The name of a parameter that extensions and applications keep for themselves: `prefix.name`.
fn custom_name(name: &str) -> Result<String> {
    let valid = |part: &str| {
        part.chars().enumerate().all(|(at, letter)| {
            letter.is_alphabetic()
                || letter == '_'
                || (at > 0 && (letter.is_ascii_digit() || letter == '$'))
        }) && !part.is_empty()
    };
    if !name.contains('.') {
        return Err(unrecognized(name));
    }
    if name.split('.').all(valid) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(PgError::new("42602", format!("invalid configuration parameter name \"{name}\""))
        .with_detail(
            "Custom parameter names must be two or more simple identifiers separated by dots.",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, values: &[&str], expected: Result<&str, &str>) {
        let mut settings = Settings::new("ann", false);
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let outcome = settings
            .set(name, Some(&values), Scope::Session)
            .and_then(|()| settings.show(name))
            .map(|(_, value)| value)
            .map_err(|error| error.message().to_owned());
        assert_eq!(
            outcome,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{name} = {values:?}"
        );
    }

    #[test]
    fn values_are_shown_as_postgresql_shows_them() {
        check("statement_timeout", &["5000"], Ok("5s"));
        check("statement_timeout", &["1.6"], Ok("2ms"));
        check("statement_timeout", &["90min"], Ok("90min"));
        check("statement_timeout", &["0"], Ok("0"));
        check("work_mem", &["0.001GB"], Ok("1MB"));
        check("effective_cache_size", &["4GB"], Ok("4GB"));
        check("effective_cache_size", &["1"], Ok("8kB"));
        check("random_page_cost", &["1.10"], Ok("1.1"));
        check("jit_above_cost", &["1e10"], Ok("1e+10"));
        check("timezone", &["europe/berlin"], Ok("Europe/Berlin"));
        check("timezone", &["-8"], Ok("<-08>+08"));
        check("timezone", &["utc"], Ok("UTC"));
        check("datestyle", &["german"], Ok("German, DMY"));
        check("datestyle", &["iso", "ymd"], Ok("ISO, YMD"));
        check("DateStyle", &["ISO, DMY"], Ok("ISO, DMY"));
        check("search_path", &["a", "B c", "$user"], Ok("a, \"B c\", \"$user\""));
        check("search_path", &[""], Ok("\"\""));
        check("application_name", &["h\u{e9}"], Ok("h??"));
        check("enable_seqscan", &["of"], Ok("off"));
        check("client_encoding", &["utf-8"], Ok("UTF8"));
        check("my.own", &["x"], Ok("x"));
        check("standard_conforming_strings", &["on"], Ok("on"));
        check("synchronous_commit", &["false"], Ok("off"));
    }

    #[test]
    fn wrong_values_are_refused_in_postgresqls_words() {
        check(
            "timezone",
            &["nowhere"],
            Err("invalid value for parameter \"TimeZone\": \"nowhere\""),
        );
        check(
            "statement_timeout",
            &["-1s"],
            Err(
                "-1000 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)",
            ),
        );
        check(
            "statement_timeout",
            &["1 x"],
            Err("invalid value for parameter \"statement_timeout\": \"1 x\""),
        );
        check("datestyle", &["foo"], Err("invalid value for parameter \"DateStyle\": \"foo\""));
        check("intervalstyle", &["x"], Err("invalid value for parameter \"intervalstyle\": \"x\""));
        check(
            "default_transaction_read_only",
            &["x"],
            Err("parameter \"default_transaction_read_only\" requires a Boolean value"),
        );
        check("nosuch", &["x"], Err("unrecognized configuration parameter \"nosuch\""));
        check("server_version", &["x"], Err("parameter \"server_version\" cannot be changed"));
        check(
            "max_connections",
            &["5"],
            Err("parameter \"max_connections\" cannot be changed without restarting the server"),
        );
        check("timezone", &["a", "b"], Err("SET timezone takes only one argument"));
        check("client_encoding", &["latin1"], Err("client_encoding \"latin1\" is not supported"));
        check(
            "client_encoding",
            &["x"],
            Err("invalid value for parameter \"client_encoding\": \"x\""),
        );
        check(
            "transform_null_equals",
            &["on"],
            Err("parameter \"transform_null_equals\" cannot be set to \"on\""),
        );
        check("role", &["bob"], Err("cannot change to role \"bob\""));
    }

    #[test]
    fn a_rollback_undoes_and_local_ends() {
        let mut settings = Settings::new("ann", false);
        let show = |settings: &Settings| settings.show("work_mem").map(|(_, value)| value);
        let mb = |n: u32| Some([format!("{n}MB")]);
        let saved = settings.save();
        settings.set("work_mem", mb(1).as_ref().map(|v| &v[..]), Scope::Session).unwrap();
        settings.set("work_mem", mb(2).as_ref().map(|v| &v[..]), Scope::Local).unwrap();
        assert_eq!(show(&settings).unwrap(), "2MB");
        let mut committed = settings.clone();
        committed.end_local();
        assert_eq!(show(&committed).unwrap(), "1MB");
        settings.restore(&saved);
        assert_eq!(show(&settings).unwrap(), "4MB");
        settings.set_initial("work_mem", "3MB", Source::Client).unwrap();
        settings.set("work_mem", mb(1).as_ref().map(|v| &v[..]), Scope::Session).unwrap();
        settings.reset("work_mem", Scope::Session).unwrap();
        assert_eq!(show(&settings).unwrap(), "3MB");
    }

    #[test]
    fn the_strongest_source_decides() {
        let mut settings = Settings::new("ann", false);
        let check = |settings: &Settings, expected: [&str; 3]| {
            let (setting, initial, source) = settings.view().raw("work_mem").unwrap();
            assert_eq!([setting.as_str(), &initial, source], expected);
        };
        check(&settings, ["4096", "4096", "default"]);
        settings.set_initial("work_mem", "3MB", Source::User).unwrap();
        settings.set_initial("work_mem", "2MB", Source::Database).unwrap();
        check(&settings, ["3072", "3072", "user"]);
        settings.set("work_mem", Some(&["1MB".to_owned()]), Scope::Session).unwrap();
        check(&settings, ["1024", "3072", "session"]);
        settings.reset("work_mem", Scope::Local).unwrap();
        check(&settings, ["3072", "3072", "user"]);
        settings.end_local();
        check(&settings, ["1024", "3072", "session"]);
        settings.reset_all();
        settings.set_initial("WORK_MEM", "5MB", Source::Client).unwrap();
        check(&settings, ["5120", "5120", "client"]);
        settings.set_initial("search_path", "a, \"B c\"", Source::Client).unwrap();
        assert_eq!(settings.typed().search_path, ["a", "B c"]);
    }

    #[test]
    fn what_is_kept_is_what_was_written() {
        let check = |superuser, name: &str, values: &[&str], expected: Result<&str, &str>| {
            let settings = Settings::new("ann", superuser);
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            let kept = settings.view().check_default(name, Some(&values));
            let kept = kept.map(|(name, value)| format!("{name}={value}"));
            let kept = kept.map_err(|error| error.message().to_owned());
            assert_eq!(kept, expected.map(str::to_owned).map_err(str::to_owned));
        };
        check(false, "WORK_MEM", &["2 MB"], Ok("work_mem=2 MB"));
        check(false, "search_path", &["a", "B c"], Ok("search_path=a, \"B c\""));
        check(false, "datestyle", &["german"], Ok("DateStyle=german"));
        check(false, "dataman.max_lag", &["500ms"], Ok("dataman.max_lag=500ms"));
        check(true, "my.own", &["1"], Ok("my.own=1"));
        check(false, "my.own", &["1"], Err("permission denied to set parameter \"my.own\""));
        check(true, "nosuch", &["1"], Err("unrecognized configuration parameter \"nosuch\""));
        check(
            true,
            "max_connections",
            &["5"],
            Err("parameter \"max_connections\" cannot be changed without restarting the server"),
        );
        check(
            true,
            "transaction_read_only",
            &["on"],
            Err(
                "parameter \"transaction_read_only\" is a transaction's and no session begins with it",
            ),
        );
    }

    #[test]
    fn reports_come_once() {
        let mut settings = Settings::new("ann", true);
        assert_eq!(settings.take_reports().len(), REPORTED.len());
        assert_eq!(settings.take_reports(), []);
        settings.set("application_name", Some(&["x".to_owned()]), Scope::Session).unwrap();
        assert_eq!(settings.take_reports(), [("application_name", "x".to_owned())]);
    }
}
