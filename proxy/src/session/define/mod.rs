//! CREATE, ALTER, DROP and their like: a change of the metadata, and of every shard that it concerns.
//!
//! ```text
//! Define ─▶ Draft::define ─▶ Work ─▶ carry_out ─▶ shards, metadata, shards ─▶ Outcome
//!            (pure, over one Snapshot)
//! ```
//! [`Draft`] decides everything over one snapshot, with PostgreSQL's checks, messages and notices: one file a noun. What comes out, a
//! `Work`, is carried out in an order that is safe when it is cut short: new things are made on the shards before the metadata
//! knows them, old things leave the metadata before they leave the shards, and what changes a table is done in transactions on
//! all its shards that commit right after the metadata. What is cut short before the metadata's commit is repeated by sending the
//! statement again; what is cut short after it is on record there, and finished by whoever comes next ([`unfinished`]).
//!
//! Only one such statement runs in a cluster at a time (a lease); it begins with the newest snapshot.

mod alter;
mod carry_out;
mod column;
mod comment;
mod constraint;
mod database;
mod defaults;
mod draft;
mod drop;
mod expression;
mod global;
mod import;
pub(crate) mod in_block;
mod index;
mod maintain;
mod name;
mod options;
mod rename;
mod role;
mod schema;
mod sequence;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod truncate;
pub mod unfinished;
mod view;

use std::sync::Arc;

use dataman_pg::Context;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::parse::syntax::{Define, ParsedStatement};
use crate::session::Session;
use crate::sqlstate::{Report, Severity};

use self::draft::Draft;

/// What a definition depends on beside the metadata.
pub(crate) struct Facts<'a> {
    /// The session's database.
    pub(crate) database: &'a str,
    /// The session's role, which owns what is made.
    pub(crate) user: &'a str,
    /// Whether that role may do everything.
    pub(crate) superuser: bool,
    /// The schemas to look names up in, in order.
    pub(crate) search_path: &'a [String],
    /// Settings that constants' input depends on.
    pub(crate) context: &'a Context,
    /// Settings that go to the nodes.
    pub(crate) settings: Arc<Vec<(String, String)>>,
    /// Whether the statement stands in a transaction block.
    pub(crate) in_transaction: bool,
    /// Fires when the client cancels.
    pub(crate) cancel: &'a CancellationToken,
}

/// What came of a definition.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The command tag.
    pub(crate) tag: String,
    /// What the client is told beside it.
    pub(crate) notices: Vec<Report>,
    /// A statement to run next, whose rows go into the new table: the tag then counts them.
    pub(crate) fill: Option<String>,
}

impl Session {
    /// Carries out a statement that changes the schema; gives its tag, and the statement that fills the new table of CREATE
    /// TABLE AS. The dispatcher has checked that the transaction is neither failed nor read-only.
    ///
    /// # Errors
    /// PostgreSQL's, and `0A000` for what dataman cannot keep; nothing has changed then.
    pub(crate) async fn define(
        &mut self,
        statement: &ParsedStatement,
        define: &Define,
        cancel: &CancellationToken,
    ) -> Result<(String, Option<String>), Error> {
        if self.is_transactional(define) {
            let outcome = self.define_in_transaction(statement, define, cancel).await;
            return outcome.map_err(|error| at_string(error, statement));
        }
        let schemas = self.schemas();
        let typed = self.settings.typed();
        let facts = Facts {
            database: &self.identity.database,
            user: &self.identity.user,
            superuser: self.identity.superuser,
            search_path: &schemas,
            context: &typed.context,
            settings: Arc::clone(&typed.for_nodes),
            in_transaction: self.in_transaction_block(),
            cancel,
        };
        let outcome = run(define, &statement.text, &self.cluster, &facts).await;
        let outcome = outcome.map_err(|error| at_string(error, statement))?;
        for notice in outcome.notices {
            self.notice(notice);
        }
        Ok((outcome.tag, outcome.fill))
    }
}

/// Gives an error its place in the client's whole string.
fn at_string(error: Error, statement: &ParsedStatement) -> Error {
    match error {
        Error::Statement(error) => Error::Statement(match error.position() {
            Some(position) => error.at(position + statement.offset),
            None => error,
        }),
        other => other,
    }
}

/// Carries out a definition. `text` is the statement's own text.
///
/// # Errors
/// PostgreSQL's, and `0A000` for what dataman does not do; a shard or the metadata store that does not answer.
pub(crate) async fn run(
    define: &Define,
    text: &str,
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
) -> Result<Outcome, Error> {
    let lease = carry_out::hold_lease(cluster).await?;
    let outcome =
        carry_out::with_lease(cluster, &lease, run_alone(define, text, cluster, facts)).await;
    carry_out::give_back(cluster, &lease).await;
    let mut outcome = outcome?;
    outcome.notices.extend(acknowledge(cluster).await);
    Ok(outcome)
}

/// Waits until every proxy and agent that is alive has the newest metadata; says so where one has not.
pub(crate) async fn acknowledge(cluster: &Cluster) -> Option<Report> {
    let late = cluster.wait_for_members().await;
    if late.is_empty() {
        return None;
    }
    let names: Vec<String> =
        late.iter().map(|member| format!("{} \"{}\"", member.kind.word(), member.name)).collect();
    let message = format!("the change is made, and {} do not know it yet", names.join(", "));
    Some(Report::new(Severity::Warning, "01000", message))
}

async fn run_alone(
    define: &Define,
    text: &str,
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
) -> Result<Outcome, Error> {
    const ATTEMPTS_MAX: usize = 5;
    let mut attempt = 1;
    loop {
        let (snapshot, failures) = carry_out::newest_finished(cluster).await?;
        let found = match define {
            Define::ImportSchema(import) => {
                import::inspect(import, &snapshot, cluster, facts).await?
            }
            _ => Vec::new(),
        };
        let work = {
            let capabilities = cluster.capabilities(&snapshot);
            let mut draft = Draft::new(&snapshot, facts, &capabilities, text)?;
            match define {
                Define::ImportSchema(import) => draft.import_schema(import, found)?,
                _ => draft.define(define)?,
            }
            draft.into_work()
        };
        unfinished::check_finished(failures, &work.steps)?;
        match carry_out::carry_out(work, &snapshot, cluster, facts).await {
            // Topology may change beside us: the statement is planned anew.
            Err(carry_out::Failure::Conflict) if attempt < ATTEMPTS_MAX => attempt += 1,
            Err(carry_out::Failure::Conflict) => {
                return Err(Error::Metadata {
                    message: "the metadata keeps changing".to_owned(),
                    hint: Some("Somebody else changes it at the same time: try again.".to_owned()),
                });
            }
            Err(carry_out::Failure::Other(error)) => return Err(*error),
            Ok(outcome) => return Ok(outcome),
        }
    }
}
