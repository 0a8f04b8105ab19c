//! COPY, both ways.
//!
//! ```text
//! COPY … FROM STDIN    plan ─▶ CopyInResponse ─▶ merge::copy_in ─▶ finish_statement
//! COPY … TO STDOUT     SELECT … (or the query) ─▶ start_plan ─▶ CopyOut ─▶ the client
//! ```

use std::sync::Arc;

use dataman_node_protocol::node::{Parameters, ResultFormats, StatementContext};
use dataman_pg::PgError;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::merge::{self, Execution};
use crate::parse::syntax::{Copy, CopyWhat, ParsedStatement, Statement};
use crate::plan::{PlanContext, Root, bind};
use crate::rows::copy::options::{CopyFormat, CopyOptions, Direction};
use crate::rows::copy::out::CopyOut;
use crate::rows::tag;
use crate::scatter::contract::CopyClient;
use crate::session::dispatch::{Place, Progress};
use crate::session::portal::PortalState;
use crate::session::transaction::{Enlistment, State};
use crate::session::{Session, activity};

impl Session {
    /// Runs a COPY of a query string; gives its tag.
    ///
    /// # Errors
    /// The statement's failure; the transaction is failed by it.
    pub async fn run_copy(
        &mut self,
        statement: &Arc<ParsedStatement>,
        place: Place,
        client: &mut dyn CopyClient,
    ) -> Result<String, Error> {
        self.show_begin(activity::shown_text(&statement.text));
        let token = CancellationToken::new();
        let running = Arc::clone(&self.running);
        let time = self.settings.typed().statement_timeout;
        let outcome = {
            let work = std::pin::pin!(async {
                self.check_not_failed(&statement.statement)?;
                self.begin_statement(place);
                let rows = self.copy(statement, client, &token).await?;
                self.finish_statement(place).await?;
                Ok(tag::counted("COPY", rows))
            });
            running.watch(&token, time, work).await.and_then(|outcome| outcome)
        };
        self.writer.end();
        match outcome {
            Ok(tag) => {
                self.doing.ended(activity::counted(&tag), self.status());
                Ok(tag)
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Whether a portal is a COPY, to be run by [`Session::run_copy_portal`].
    pub fn is_copy(&self, portal: &str) -> bool {
        self.portals.get(portal).is_ok_and(|portal| {
            let statement = portal.prepared.statement.as_ref();
            statement.is_some_and(|one| matches!(one.statement, Statement::Copy(_)))
        })
    }

    /// Execute of a COPY.
    ///
    /// # Errors
    /// The statement's failure; the transaction is failed by it, and the portal is gone.
    pub async fn run_copy_portal(
        &mut self,
        name: &str,
        place: Place,
        client: &mut dyn CopyClient,
    ) -> Result<Progress, Error> {
        let mut portal = match self.portals.take(name) {
            Ok(portal) => portal,
            Err(error) => return Err(self.fail(error.into()).await),
        };
        let Some(statement) = portal.prepared.statement.clone() else {
            return Ok(Progress::Empty);
        };
        if matches!(portal.state, PortalState::Done) {
            let error = PgError::new("55000", format!("portal \"{name}\" cannot be run"));
            return Err(self.fail(error.into()).await);
        }
        let tag = self.run_copy(&statement, place, client).await?;
        portal.state = PortalState::Done;
        if self.transaction.state != State::Idle {
            self.portals.put_back(name, portal);
        }
        Ok(Progress::Complete(tag))
    }

    async fn copy(
        &mut self,
        statement: &Arc<ParsedStatement>,
        client: &mut dyn CopyClient,
        token: &CancellationToken,
    ) -> Result<u64, Error> {
        let Statement::Copy(copy) = &statement.statement else {
            return Err(PgError::internal("the statement is no COPY").into());
        };
        if !copy.standard {
            return Err(refused_file(copy).into());
        }
        if copy.from {
            self.copy_in(statement, copy, client, token).await
        } else {
            self.copy_out(statement, copy, client, token).await
        }
    }

    async fn copy_in(
        &mut self,
        statement: &Arc<ParsedStatement>,
        copy: &Copy,
        client: &mut dyn CopyClient,
        token: &CancellationToken,
    ) -> Result<u64, Error> {
        self.writer.begin(self.cluster.epoch());
        let planned = match self.plan(statement, &[], &self.snapshot()) {
            Ok(planned) => planned,
            Err(Error::Statement(error)) if error.sqlstate() == "42809" => {
                // PostgreSQL finds out that a view is none to copy into when it has asked for the data.
                self.check_read_write("COPY FROM")?;
                client.begin(false, self.columns_of_view(copy)).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error),
        };
        let plan = &planned.plan;
        check_no_parameters(plan.params.len())?;
        self.check_read_write("COPY FROM")?;
        let Root::Copy(copied) = &plan.root else {
            return Err(PgError::internal("the plan is no COPY").into());
        };
        if copied.options.freeze && !self.transaction.is_fresh(&copied.form.target.collection) {
            let binary = copied.options.format == CopyFormat::Binary;
            client.begin(binary, copied.columns.len()).await?;
            return Err(PgError::new(
                "55000",
                "cannot perform COPY FREEZE because the table was not created or truncated in the current subtransaction",
            )
            .into());
        }
        let context = StatementContext {
            epoch: plan.epoch.0,
            settings: Arc::clone(&self.settings.typed().for_nodes),
            transaction_time_us: self.transaction.started_us,
            time_left_ms: None,
        };
        let evaluation = Arc::new(self.context(&planned.key.schemas));
        let sequences: Arc<dyn merge::Sequences> = Arc::new(self.statement_sequences());
        self.transaction.queried = true;
        let bounds = self.bounds();
        let mut enlistment = Enlistment {
            cluster: &self.cluster,
            transactional: self.transaction.state != State::Statement,
            transaction: &mut self.transaction,
            portals: &mut self.portals,
            context: &context,
            writes: Vec::new(),
            taken: Vec::new(),
            touched: Default::default(),
            reads: None,
        };
        merge::copy_in(
            plan,
            Execution {
                parameters: &Parameters::default(),
                formats: &ResultFormats::default(),
                context: &context,
                evaluation: &evaluation,
                bounds,
                cancel: token,
                participants: &mut enlistment,
                sequences: &sequences,
                metrics: None,
            },
            client,
        )
        .await
    }

    /// How many columns a COPY into a view names.
    fn columns_of_view(&self, copy: &Copy) -> usize {
        let CopyWhat::Table { name, columns } = &copy.what else { return 0 };
        if !columns.is_empty() {
            return columns.len();
        }
        let snapshot = self.snapshot();
        let Some(database) = snapshot.database(&self.identity.database) else { return 0 };
        let view = match name.parts.as_slice() {
            [.., schema, name] => database.view(schema, name),
            [name] => self.schemas().iter().find_map(|schema| database.view(schema, name)),
            [] => None,
        };
        view.map_or(0, |view| view.columns.len())
    }

    async fn copy_out(
        &mut self,
        statement: &Arc<ParsedStatement>,
        copy: &Copy,
        client: &mut dyn CopyClient,
        token: &CancellationToken,
    ) -> Result<u64, Error> {
        let (prepared, names, options) = match &copy.what {
            CopyWhat::Table { .. } => {
                let (query, names, options) = self.read_of_table(statement, copy)?;
                let query = self.plans.parse(&query)?.first().cloned();
                (self.describe(query, &[])?, names, options)
            }
            CopyWhat::Query(query) => {
                let at_string = |error: PgError| match error.position() {
                    Some(position) => error.at(position + statement.offset),
                    None => error,
                };
                CopyOptions::read(&copy.options, Direction::Out, &|option| {
                    statement.text.get(..option.span.start).map_or(0, |text| text.chars().count())
                        + 1
                })
                .map_err(at_string)?;
                let prepared = self.describe(Some(Arc::new((**query).clone())), &[])?;
                let Some(columns) = &prepared.columns else {
                    return Err(
                        PgError::unsupported("COPY query must have a RETURNING clause").into()
                    );
                };
                let names: Vec<String> = columns.iter().map(|one| one.name.clone()).collect();
                let options =
                    bind::copy_out_of_query(copy, &statement.text, &names).map_err(at_string)?;
                (prepared, names, options)
            }
        };
        check_no_parameters(prepared.params.len())?;
        if let Some(planned) = prepared.planned()
            && planned.plan.writes
            && planned.plan.tag != "SELECT"
        {
            self.check_read_write(tag::command(planned.plan.tag))?;
        }
        let mut out = CopyOut::new(options, names);
        let formats = vec![out.value_format(); prepared.columns.as_ref().map_or(0, Vec::len)];
        client.send(out.begin()?).await?;
        let prepared = Arc::new(prepared);
        let parameters = Parameters::default();
        let (mut rows, _) = self.start_plan(&prepared, &parameters, &formats, token, None).await?;
        let mut sent = 0;
        let outcome = loop {
            let next = tokio::select! {
                biased;
                next = rows.next(0) => next,
                // The rows are dropped with the session.
                () = client.gone() => {
                    Err(Error::Client(std::io::ErrorKind::ConnectionAborted.into()))
                }
            };
            match next {
                Ok(None) => break Ok(sent),
                Ok(Some(batch)) => {
                    let step = match out.rows(&batch) {
                        Ok(data) => client.send(data).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(error) = step {
                        break Err(error);
                    }
                    sent += batch.rows as u64;
                }
                Err(error) => break Err(error),
            }
        };
        self.transaction.give_back(rows.take_connections());
        let sent = outcome?;
        client.send(out.end()).await?;
        Ok(sent)
    }

    /// The query that reads a table for a COPY … TO.
    fn read_of_table(
        &self,
        statement: &ParsedStatement,
        copy: &Copy,
    ) -> Result<(String, Vec<String>, CopyOptions), Error> {
        let snapshot = self.snapshot();
        let capabilities = self.cluster.capabilities(&snapshot);
        let schemas = self.schemas();
        let context = PlanContext {
            snapshot: &snapshot,
            database: &self.identity.database,
            user: &self.identity.user,
            search_path: &schemas,
            context: &self.settings.typed().context,
            capabilities: &capabilities,
            shows: false,
        };
        bind::copy_out_of_table(copy, &statement.text, &context).map_err(|error| {
            match error.position() {
                Some(position) => error.at(position + statement.offset),
                None => error,
            }
            .into()
        })
    }
}

/// The refusal of COPY with a file or a program of the server.
fn refused_file(copy: &Copy) -> PgError {
    let way = if copy.from { "from" } else { "to" };
    let what = if copy.program { "an external program" } else { "a file" };
    PgError::unsupported(format!("COPY {way} {what} on the server is not supported")).with_hint(
        "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.",
    )
}

fn check_no_parameters(count: usize) -> Result<(), PgError> {
    match count {
        0 => Ok(()),
        _ => Err(PgError::new("42P02", "there is no parameter $1")),
    }
}
