//! TRUNCATE and ANALYZE inside a transaction: they change no metadata, so they are done, and undone, with the transaction.

use std::sync::Arc;

use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::node::{NodeStatement, Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::PgError;
use tokio_util::sync::CancellationToken;

use super::Facts;
use super::draft::Draft;
use crate::error::Error;
use crate::parse::syntax::{Define, ParsedStatement};
use crate::scatter::contract::{Access, Participants, ShardRef};
use crate::session::Session;
use crate::session::transaction::{Enlistment, State};

impl Session {
    /// Whether a definition is part of the transaction that is open.
    pub(super) fn is_transactional(&self, define: &Define) -> bool {
        let open = matches!(self.transaction.state, State::Implicit | State::Open);
        open && matches!(
            define,
            Define::Truncate { restart_identity: false, .. }
                | Define::Maintain { vacuum: false, .. }
        )
    }

    /// Carries a definition out within the transaction that is open; gives its tag.
    ///
    /// # Errors
    /// PostgreSQL's; `0A000` when it would write to further shards than the transaction may.
    pub(super) async fn define_in_transaction(
        &mut self,
        statement: &ParsedStatement,
        define: &Define,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        let snapshot = self.cluster.snapshot();
        let schemas = self.schemas();
        let typed = Arc::clone(self.settings.typed());
        let work = {
            let facts = Facts {
                database: &self.identity.database,
                user: &self.identity.user,
                superuser: self.identity.superuser,
                search_path: &schemas,
                context: &typed.context,
                settings: Arc::clone(&typed.for_nodes),
                in_transaction: true,
                cancel,
            };
            let capabilities = self.cluster.capabilities(&snapshot);
            let mut draft = Draft::new(&snapshot, &facts, &capabilities, &statement.text)?;
            draft.define(define)?;
            draft.into_work()
        };
        for notice in work.notices {
            self.notice(notice);
        }
        let context = StatementContext {
            epoch: snapshot.epoch.0,
            settings: Arc::clone(&typed.for_nodes),
            transaction_time_us: self.transaction.started_us,
            time_left_ms: None,
        };
        let truncates = matches!(define, Define::Truncate { .. });
        let access = if truncates { Access::WriteTogether } else { Access::Read };
        let mut enlistment = Enlistment {
            cluster: &self.cluster,
            transactional: true,
            transaction: &mut self.transaction,
            portals: &mut self.portals,
            context: &context,
            writes: Vec::new(),
            taken: Vec::new(),
        };
        let shards: Vec<ShardRef> = work.steps.iter().map(|step| step.shard.clone()).collect();
        enlistment.enlist(&shards, access).await?;
        let mut fresh = Vec::new();
        for step in work.steps {
            if let Definition::Truncate(targets) = &step.definition {
                fresh.extend(targets.iter().map(|target| target.collection.clone()));
            }
            let statement =
                Arc::new(NodeStatement::new(NodeQuery::Define(step.definition), vec![]));
            let connection = enlistment.take(&step.shard).await?;
            let (parameters, formats) = (Parameters::default(), ResultFormats::default());
            let mut stream =
                connection.execute(&context, &statement, &parameters, &formats, cancel).await;
            let outcome = loop {
                match stream.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let connection = stream.into_connection();
            let lost = connection.is_none();
            enlistment.give(&step.shard, connection);
            outcome?;
            if lost {
                return Err(PgError::new("08006", "the connection to a shard was lost").into());
            }
        }
        for collection in fresh {
            self.transaction.note_fresh(&collection);
        }
        Ok(work.tag)
    }
}
