//! What a statement takes and gives: its plan, if it has one, its parameters and its columns.

use std::sync::Arc;

use dataman_metadata::id::DatabaseId;
use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::node::StatementContext;
use dataman_pg::{PgError, TypeId};

use crate::error::Error;
use crate::parse::syntax::{CursorCommand, ParsedStatement, Setting, Statement};
use crate::plan::{self, PlanContext};
use crate::rows::describe::text_column;
use crate::session::Session;
use crate::session::prepared::{PlanKey, Planned, Prepared};
use crate::statistics;

/// What PostgreSQL says when a prepared statement would have other columns than its client was told.
const OTHER_RESULT: &str = "cached plan must not change result type";

/// Whether a statement failed since its columns are others by newer metadata.
pub(super) fn is_other_result(error: &Error) -> bool {
    matches!(error, Error::Statement(error) if error.message() == OTHER_RESULT)
}

impl Session {
    /// Finds what a statement takes and gives. SELECT and DML are planned here, so that their errors come with Parse.
    pub(super) fn describe(
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
            descriptions: Default::default(),
            shown: std::sync::OnceLock::new(),
        };
        let Some(statement) = statement else { return Ok(prepared) };
        match &statement.statement {
            Statement::Select(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_) => {
                let planned = self.plan(&statement, declared, &self.snapshot())?;
                prepared.params = planned.plan.params.clone();
                prepared.columns = planned.plan.columns.clone();
                if !self.has_overlay() {
                    prepared.keep(planned);
                }
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
            Statement::Cursor(command) => {
                if let CursorCommand::Fetch { name, moves: false, .. } = &**command {
                    prepared.columns = Some(self.portals.cursor(name)?.columns.clone());
                }
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
            | Statement::Unsupported(_)
            | Statement::Nothing(_) => {}
        }
        Ok(prepared)
    }

    /// Plans a statement, or finds the plan that another session has made.
    pub(super) fn plan(
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
        // Plans over what this transaction has defined are nobody else's.
        let shared = !self.has_overlay();
        if shared && let Some(plan) = self.plans.get(&key, snapshot.epoch) {
            return Ok(Planned { key, plan, settings: Arc::clone(self.settings.typed()) });
        }
        let capabilities = self.cluster.capabilities(snapshot);
        let context = self.context(&key.schemas);
        let plan = plan::plan(
            statement,
            declared,
            &PlanContext {
                snapshot,
                database: &self.identity.database,
                user: &self.identity.user,
                search_path: &key.schemas,
                context: &context,
                capabilities: &capabilities,
                shows: false,
            },
        )
        // The client counts from the start of its whole string.
        .map_err(|error| match error.position() {
            Some(position) => error.at(position + statement.offset),
            None => error,
        })?;
        if shared {
            self.plans.put(Arc::clone(&key), Arc::clone(&plan));
        }
        Ok(Planned { key, plan, settings: Arc::clone(self.settings.typed()) })
    }

    /// The plan of a prepared statement under the newest snapshot.
    pub(super) fn current_plan(&self, prepared: &Prepared) -> Result<Planned, Error> {
        let snapshot = self.snapshot();
        let typed = self.settings.typed();
        if !self.has_overlay()
            && let Some(planned) = prepared.planned()
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
            return Err(PgError::new("0A000", OTHER_RESULT).into());
        }
        if !self.has_overlay() {
            prepared.keep(planned.clone());
        }
        Ok(planned)
    }

    /// Takes samples of what a plan was made by, where they are missing or old; gives another plan when they say that the plan
    /// may be a bad one.
    pub(super) async fn plan_by_samples(
        &mut self,
        prepared: &Prepared,
        planned: &Planned,
    ) -> Result<Option<Planned>, Error> {
        let missing = self.cluster.statistics().missing(&planned.plan.sampled);
        if missing.is_empty() || self.has_overlay() {
            return Ok(None);
        }
        let snapshot = self.snapshot();
        let context = StatementContext {
            epoch: snapshot.epoch.0,
            settings: Arc::clone(&self.settings.typed().for_nodes),
            transaction_time_us: self.transaction.started_us,
            time_left_ms: None,
        };
        let database = DatabaseId::from(&*self.identity.database);
        let cluster = Arc::clone(&self.cluster);
        let is_other = statistics::sample(&cluster, &snapshot, &database, &missing, &context).await;
        let Some(statement) = prepared.statement.as_ref().filter(|_| is_other) else {
            return Ok(None);
        };
        self.plans.forget(&planned.key);
        let again = self.plan(statement, &prepared.declared, &snapshot)?;
        prepared.keep(again.clone());
        Ok(Some(again))
    }
}
