//! What PostgreSQL has and dataman does not do, each with its reason and hint.
//!
//! Only that the statement exists is decided here; its inside is not checked.

use dataman_pg::PgError;

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::Statement;

/// Statements by their first words; the longest match wins, so longer ones stand first.
const STATEMENTS: &[(&[&str], &str)] = &[
    (&["call"], "Procedures do not exist here: send their statements."),
    (&["checkpoint"], "Run it on the databases themselves."),
    (&["cluster"], "Run it on the databases themselves."),
    (&["do"], "Code cannot run on the server: send its statements."),
    (&["grant"], "Privileges are not kept yet: a role may do everything or is a superuser."),
    (&["import", "foreign", "schema"], "Name the database as a datasource of the cluster."),
    (&["listen"], "Notifications do not cross shards: poll a table."),
    (&["load"], "Libraries cannot be loaded."),
    (&["lock"], "Use SELECT … FOR UPDATE on the rows."),
    (&["merge"], "Use INSERT … ON CONFLICT, or UPDATE and INSERT."),
    (&["notify"], "Notifications do not cross shards: poll a table."),
    (&["reassign", "owned"], "Owners are names only: nothing needs to be reassigned."),
    (&["refresh", "materialized", "view"], "Use a view or a table."),
    (&["reindex"], "Run it on the databases themselves."),
    (&["revoke"], "Privileges are not kept yet: a role may do everything or is a superuser."),
    (&["security", "label"], "Labels are not kept."),
    (&["unlisten"], "Notifications do not cross shards: poll a table."),
];

/// What CREATE, ALTER and DROP may be followed by, beside what they do.
const OBJECTS: &[(&[&str], &str)] = &[
    (&["access", "method"], "Access methods cannot be defined."),
    (&["aggregate"], "Use the aggregates that PostgreSQL has."),
    (&["cast"], "Use the casts that PostgreSQL has."),
    (&["collation"], "Text is sorted by bytes, as with collation \"C\"."),
    (&["conversion"], "Text is UTF8."),
    (&["default", "privileges"], "Privileges are not kept yet."),
    (&["domain"], "Use the base type and a CHECK constraint."),
    (&["event", "trigger"], "Triggers cannot be defined."),
    (&["extension"], "Install it in the databases themselves."),
    (&["foreign", "data", "wrapper"], "Name the database as a datasource of the cluster."),
    (&["foreign", "table"], "Name the database as a datasource of the cluster."),
    (&["function"], "Functions cannot be defined: send their statements."),
    (&["language"], "Languages cannot be defined."),
    (&["large", "object"], "Use bytea."),
    (&["materialized", "view"], "Use a view or a table."),
    (&["operator"], "Use the operators that PostgreSQL has."),
    (&["owned", "by"], "Drop the tables by name."),
    (&["policy"], "Use a view with the condition."),
    (&["procedural", "language"], "Languages cannot be defined."),
    (&["procedure"], "Procedures cannot be defined: send their statements."),
    (&["publication"], "Replicate with the databases themselves."),
    (&["routine"], "Functions cannot be defined: send their statements."),
    (&["rule"], "Use a view."),
    (&["server"], "Name the database as a datasource of the cluster."),
    (&["statistics"], "The databases keep their own statistics."),
    (&["subscription"], "Replicate with the databases themselves."),
    (&["system"], "Change the settings of the databases themselves."),
    (&["tablespace"], "Tablespaces belong to the databases themselves."),
    (&["text", "search"], "Text search objects cannot be defined."),
    (&["transform"], "Transforms cannot be defined."),
    (&["constraint", "trigger"], "Triggers cannot be defined."),
    (&["trigger"], "Triggers cannot be defined: send their statements."),
    (&["trusted", "language"], "Languages cannot be defined."),
    (&["user", "mapping"], "Name the database as a datasource of the cluster."),
];

fn upper(words: &[&str]) -> String {
    words.join(" ").to_ascii_uppercase()
}

impl Parser<'_> {
    /// Refuses a statement that PostgreSQL has, and rejects one that it has not.
    pub(super) fn unsupported_statement(&mut self) -> Result<Statement> {
        // There are no cursors of SQL's to close, and nobody listens: drivers ask for both to begin anew.
        if self.are(&["close", "all"]) {
            self.at += 2;
            return Ok(Statement::Nothing("CLOSE CURSOR ALL"));
        }
        let is_all = matches!(self.peek_at(1), TokenKind::Symbol('*'));
        if self.are(&["unlisten"]) && (is_all || self.is_name_at(1)) {
            self.at += 2;
            return Ok(Statement::Nothing("UNLISTEN"));
        }
        for (words, hint) in STATEMENTS {
            if self.are(words) {
                self.at += words.len();
                self.must_have_more(words)?;
                return self.refuse(&upper(words), hint);
            }
        }
        Err(self.error())
    }

    /// Statements that are nothing without what follows.
    fn must_have_more(&self, words: &[&str]) -> Result<()> {
        let alone = matches!(words, ["checkpoint" | "cluster"]);
        let next_is_name =
            !matches!(words, ["listen" | "notify"]) || self.is_name_at(0) || self.is("all");
        if !alone && (self.at_end() || !next_is_name) { Err(self.error()) } else { Ok(()) }
    }

    /// Refuses CREATE, ALTER or DROP of an object that PostgreSQL has, and rejects one that it has not.
    pub(super) fn unsupported_object<T>(&mut self, verb: &str) -> Result<T> {
        for (words, hint) in OBJECTS {
            if self.are(words) {
                return Err(PgError::unsupported(format!(
                    "{verb} {} is not supported",
                    upper(words)
                ))
                .with_hint((*hint).to_owned()));
            }
        }
        Err(self.error())
    }
}
