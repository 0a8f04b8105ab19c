//! EXPLAIN, with and without ANALYZE.

use std::sync::Arc;

use dataman_metadata::id::DatasourceId;
use dataman_metadata::replica::ReadPreference;
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::record::Format;
use dataman_pg::PgError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::merge::Metrics;
use crate::parse::syntax::{Explain, Statement};
use crate::plan::{Analyzed, ExplainFormat, Shown};
use crate::rows::encode::text_rows;
use crate::session::Session;
use crate::session::dispatch::Started;
use crate::session::portal::Rows;
use crate::session::prepared::{Planned, Prepared};

/// The options as they are meant.
struct Options {
    format: ExplainFormat,
    timing: bool,
    summary: bool,
}

impl Session {
    /// The plan as rows; with ANALYZE the statement is carried out, and its own rows are dropped.
    pub(super) async fn explain(
        &mut self,
        explain: &Explain,
        token: &CancellationToken,
    ) -> Result<Started, Error> {
        let options = options(explain)?;
        let began = Instant::now();
        let (prepared, parameters) = match &explain.statement.statement {
            Statement::Execute { name, args } => {
                let named = Arc::clone(self.prepared.get(name)?);
                let parameters = Box::pin(self.arguments(name, &named, args, token)).await?;
                (named, parameters)
            }
            Statement::Define(_) => {
                return Err(PgError::unsupported("EXPLAIN of CREATE TABLE AS is not supported")
                    .with_hint("Explain the query itself.")
                    .into());
            }
            _ => {
                let statement = Arc::new((*explain.statement).clone());
                (Arc::new(self.describe(Some(statement), &[])?), Parameters::default())
            }
        };
        let mut planned = self.current_plan(&prepared)?;
        let planning = began.elapsed();
        let metrics = Arc::new(Metrics::default());
        let (mut rows, mut read_from) = (0, Vec::new());
        let began = Instant::now();
        if explain.analyze {
            (planned, rows, read_from) =
                self.analyze(&prepared, &parameters, token, &metrics).await?;
        }
        let execution = began.elapsed();
        let snapshot = Arc::clone(&planned.plan.snapshot);
        let capabilities = self.cluster.capabilities(&snapshot);
        let shown = Shown {
            verbose: explain.verbose,
            capabilities: Some(&capabilities),
            planning: options.summary.then_some(planning),
            analyzed: explain.analyze.then(|| Analyzed {
                metrics: &metrics,
                rows,
                timing: options.timing,
                execution: options.summary.then_some(execution),
            }),
        };
        let mut lines = planned.plan.explain_with(options.format, &shown);
        if options.format == ExplainFormat::Text {
            lines.extend(self.explain_reads(&planned, &read_from));
        }
        let lines = lines.iter().map(|line| [Some(line.as_str())]);
        Ok(Started::Rows(Rows::of_batch(text_rows(lines), "EXPLAIN")))
    }

    /// Carries a statement out for what it does; gives its plan, and how many rows came out or were changed.
    async fn analyze(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &Parameters,
        token: &CancellationToken,
        metrics: &Arc<Metrics>,
    ) -> Result<(Planned, u64, Vec<DatasourceId>), Error> {
        let formats = vec![Format::Text; prepared.columns.as_ref().map_or(0, Vec::len)];
        let started = self.start_plan(prepared, parameters, &formats, token, Some(metrics));
        let (mut rows, planned) = started.await?;
        let mut count = 0;
        let outcome = loop {
            match rows.next(0).await {
                Ok(Some(batch)) => count += batch.rows as u64,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.transaction.give_back(rows.take_connections());
        outcome?;
        let count = if rows.writes { rows.affected() } else { count };
        Ok((planned, count, std::mem::take(&mut rows.read_from)))
    }

    /// What is said of replicas where the cluster has some and the session's policy lets them be read.
    fn explain_reads(&self, planned: &Planned, read_from: &[DatasourceId]) -> Vec<String> {
        let snapshot = &planned.plan.snapshot;
        let mut shards = snapshot.datastores.values().flat_map(|datastore| &datastore.shards);
        let settings = self.settings.typed();
        let policy = match settings.read {
            ReadPreference::Primary => return Vec::new(),
            ReadPreference::Any => "any",
            ReadPreference::Nearest => "nearest",
        };
        if shards.all(|shard| shard.replicas.is_empty()) {
            return Vec::new();
        }
        let Some(reads) = self.reads(planned, &[]) else {
            return vec!["Read Policy: primary (the statement may write)".to_owned()];
        };
        let bound = match reads.lag_max {
            Some(bound) => format!("lag up to {} ms", bound.as_millis()),
            None => "any lag".to_owned(),
        };
        let mut lines = vec![format!("Read Policy: {policy} ({bound})")];
        if !read_from.is_empty() {
            let names: Vec<String> = read_from.iter().map(ToString::to_string).collect();
            lines.push(format!("Replicas Read: {}", names.join(", ")));
        }
        lines
    }
}

/// Finds out what is asked for; what dataman cannot show is refused.
fn options(explain: &Explain) -> Result<Options, PgError> {
    let format = match explain.format.as_str() {
        "json" => ExplainFormat::Json,
        "yaml" => ExplainFormat::Yaml,
        "text" => ExplainFormat::Text,
        other => {
            return Err(PgError::unsupported(format!(
                "EXPLAIN (FORMAT {}) is not supported",
                other.to_uppercase()
            ))
            .with_hint("Use FORMAT TEXT, JSON or YAML."));
        }
    };
    for (name, on) in &explain.options {
        let reason = match name.as_str() {
            "costs" => "dataman estimates no costs",
            "buffers" | "wal" => "the shards have buffers and logs of their own",
            "settings" => "plans do not depend on settings of a planner",
            _ => continue,
        };
        if *on {
            let word = name.to_uppercase();
            return Err(PgError::unsupported(format!(
                "EXPLAIN ({word}) is not supported: {reason}"
            ))
            .with_hint(format!("Leave {word} out, or write {word} OFF.")));
        }
    }
    let option = |name: &str| {
        explain.options.iter().rev().find(|(option, _)| option == name).map(|(_, on)| *on)
    };
    Ok(Options {
        format,
        timing: option("timing").unwrap_or(true),
        summary: option("summary").unwrap_or(explain.analyze),
    })
}
