//! What a session begins with, kept for the next client that says the same.
//!
//! Clients come by the hundred with one startup message: a pool opens its connections, a script connects for each line. What
//! follows from the message is worked out once: the parameters, and the ParameterStatus messages that tell of them.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use dataman_metadata::snapshot::Snapshot;
use dataman_pg::{PgError, Result};
use lru::LruCache;

use crate::session::parameters::STATEMENT_MEMORY;
use crate::session::settings::{Settings, Source};
use crate::wire::connection::put_parameter_status;

/// How many startup messages are remembered. The one used longest ago goes first.
const STARTS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// The longest startup message that is remembered, its names and values taken together.
const START_BYTES_MAX: usize = 1024;

/// The parameters of a startup message, as the client wrote them.
pub(crate) type StartParameters = Vec<(String, String)>;

/// What a session begins with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// Its parameters; what they report has been taken.
    pub(crate) settings: Settings,
    /// The ParameterStatus messages.
    pub(crate) reports: Bytes,
}

/// What is kept for sessions of a role and database, the strongest first.
pub(crate) type Defaults = Vec<(Source, String, String)>;

/// What is kept for the sessions of a role in a database.
pub(crate) fn defaults_of(snapshot: &Snapshot, database: &str, role: &str) -> Defaults {
    if snapshot.defaults.is_empty() {
        return Vec::new();
    }
    // The order in which PostgreSQL applies them: a value that depends on another parameter's (DateStyle's) does so alike.
    let places = [
        (Source::DatabaseUser, Some(database), Some(role)),
        (Source::User, None, Some(role)),
        (Source::Database, Some(database), None),
        (Source::Global, None, None),
    ];
    let of = |(source, database, role): (Source, Option<&str>, Option<&str>)| {
        let values = snapshot.session_defaults(database, role).iter();
        values.map(move |(name, value)| (source, name.clone(), value.clone()))
    };
    places.into_iter().flat_map(of).collect()
}

/// The startup messages that came last, with what follows from them. A superuser's session differs from another's.
#[derive(Debug)]
pub(crate) struct Starts {
    known: Mutex<LruCache<(StartParameters, bool, Defaults), Start>>,
}

impl Default for Starts {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(STARTS_MAX)) }
    }
}

impl Starts {
    /// What a session begins with whose startup message says `parameters`, among them its `user`. `statement_mem` is the same
    /// for all sessions.
    ///
    /// # Errors
    /// A parameter that is not known, or a value that is none of it.
    pub(crate) fn begin(
        &self,
        user: &str,
        superuser: bool,
        statement_mem: &str,
        parameters: StartParameters,
        defaults: Defaults,
    ) -> Result<Start> {
        let key = (parameters, superuser, defaults);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = known.get(&key) {
            return Ok(start.clone());
        }
        drop(known);
        let start = begin(user, superuser, statement_mem, &key.0, &key.2)?;
        let said = key.0.iter().map(|(name, value)| name.len() + value.len());
        let kept = key.2.iter().map(|(_, name, value)| name.len() + value.len());
        let bytes: usize = said.chain(kept).sum();
        if bytes <= START_BYTES_MAX {
            known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.put(key, start.clone());
        }
        Ok(start)
    }
}

fn begin(
    user: &str,
    superuser: bool,
    statement_mem: &str,
    parameters: &[(String, String)],
    defaults: &[(Source, String, String)],
) -> Result<Start> {
    let mut settings = Settings::new(user, superuser);
    settings.set_initial(STATEMENT_MEMORY, statement_mem, Source::CommandLine)?;
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => set_options(&mut settings, value)?,
            name if name.starts_with("_pq_.") => {}
            name => settings.set_initial(name, value, Source::Client)?,
        }
    }
    for (source, name, value) in defaults {
        // It was right when it was kept; a session begins without it rather than not at all.
        if let Err(error) = settings.set_initial(name, value, *source) {
            tracing::warn!(name, error = error.message(), "a default of sessions is left out");
        }
    }
    let mut reports = BytesMut::new();
    for (name, value) in settings.take_reports() {
        put_parameter_status(name, &value, &mut reports);
    }
    Ok(Start { settings, reports: reports.freeze() })
}

/// `options`: `-c name=value` and `--name=value`, with backslashes before spaces that are part of a value.
fn set_options(settings: &mut Settings, options: &str) -> Result<()> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.extend(letters.next()),
            letter if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            rest.to_owned()
        } else {
            return Err(PgError::new(
                "42601",
                format!("invalid command-line argument for server process: {word}"),
            ));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(PgError::new("42601", format!("-c {assignment} requires a value")));
        };
        settings.set_initial(&name.replace('-', "_"), value, Source::Client)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(starts: &Starts, superuser: bool, parameters: &[(&str, &str)], expected: &[&str]) {
        let parameters =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let found = match starts.begin("ann", superuser, "8MB", parameters.collect(), vec![]) {
            Err(error) => vec![error.message().to_owned()],
            Ok(start) => {
                let reports = String::from_utf8(start.reports.to_vec()).expect("text");
                let value = |name: &str| start.settings.show(name).expect("known").1;
                let superuser = reports.contains("is_superuser\0on\0");
                vec![value("application_name"), value("DateStyle"), superuser.to_string()]
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_same_message_gives_the_same_session() {
        let starts = Starts::default();
        for _ in 0..2 {
            check(&starts, false, &[("user", "ann")], &["", "ISO, MDY", "false"]);
            check(&starts, true, &[("user", "ann")], &["", "ISO, MDY", "true"]);
            let named = [("user", "ann"), ("application_name", "x")];
            check(&starts, false, &named, &["x", "ISO, MDY", "false"]);
            let options =
                [("user", "ann"), ("options", "-c datestyle=german --application-name=a\\ b")];
            check(&starts, false, &options, &["a b", "German, DMY", "false"]);
            let wrong = [("user", "ann"), ("options", "nonsense")];
            let message = "invalid command-line argument for server process: nonsense";
            check(&starts, false, &wrong, &[message]);
        }
    }

    #[test]
    fn what_is_kept_for_sessions_goes_before_what_is_common() {
        let starts = Starts::default();
        let kept = |source, name: &str, value: &str| (source, name.to_owned(), value.to_owned());
        let defaults = || {
            vec![
                kept(Source::User, "DateStyle", "iso"),
                kept(Source::Database, "DateStyle", "german"),
                kept(Source::Database, "gone", "x"),
                kept(Source::Global, "application_name", "all"),
            ]
        };
        let named = vec![("application_name".to_owned(), "mine".to_owned())];
        for (parameters, application) in [(vec![], "all"), (named, "mine")] {
            let start = starts.begin("ann", false, "8MB", parameters, defaults()).expect("begins");
            let value = |name: &str| start.settings.show(name).expect("known").1;
            assert_eq!(value("DateStyle"), "ISO, MDY");
            assert_eq!(value("application_name"), application);
        }
    }

    #[test]
    fn a_session_does_not_change_the_next() {
        let starts = Starts::default();
        let parameters = || vec![("user".to_owned(), "ann".to_owned())];
        let mut first = starts.begin("ann", false, "8MB", parameters(), vec![]).expect("a session");
        let tokyo = ["Asia/Tokyo".to_owned()];
        let scope = crate::session::settings::Scope::Session;
        first.settings.set("TimeZone", Some(&tokyo), scope).expect("set");
        assert_eq!(first.settings.take_reports(), [("TimeZone", "Asia/Tokyo".to_owned())]);
        let mut second =
            starts.begin("ann", false, "8MB", parameters(), vec![]).expect("a session");
        assert_eq!(second.settings.show("TimeZone").expect("known").1, "UTC");
        assert!(second.settings.take_reports().is_empty(), "they are told already");
    }
}
