//! Runs random statements on dataman and on a plain server: `sql-tests/random` says how.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::random::{Place, Report, compare};
use dataman_sql_tests::topology::{Running, Topology};

/// Compares dataman with PostgreSQL on random statements.
#[derive(Debug, Parser)]
struct Arguments {
    /// What stands behind dataman: pg4, sqlite4, mixed, …
    #[arg(long, default_value = "pg4")]
    topology: String,
    /// The first seed; each set of tables has its own
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Statements in all
    #[arg(long, default_value_t = 10_000)]
    statements: usize,
    /// Statements for each set of tables
    #[arg(long, default_value_t = 500)]
    run: usize,
    /// Print statements that were refused or failed too, one for each reason
    #[arg(long)]
    examples: bool,
    /// Print every statement on the standard error before it is run
    #[arg(long)]
    trace: bool,
    /// Stop at the first set of tables with a wrong statement
    #[arg(long)]
    stop: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let topology = Topology::of(&arguments.topology).ok_or("there is no such topology")?;
    let runs = arguments.statements.div_ceil(arguments.run);
    let databases: Vec<String> = (0..runs).map(|run| format!("t{run}")).collect();
    let mut dataman = Running::start(topology, &databases).await?;
    let oracle = Postgres::start()?;
    let mut total = Report::default();
    let mut out = std::io::stdout();
    for (run, database) in databases.into_iter().enumerate() {
        drop(oracle.create_database(&database).await?);
        let place = Place {
            dataman: dataman.port(),
            postgres: oracle.port(),
            database,
            second_datastore: topology.second_datastore(),
            trace: arguments.trace,
        };
        let report = compare(&place, arguments.seed + run as u64, arguments.run).await;
        if !dataman.is_running() {
            return Err(format!("dataman ended:\n{}", dataman.log()).into());
        }
        let report = report?;
        for wrong in &report.wrong {
            writeln!(out, "WRONG {} {wrong}\n", topology.name())?;
        }
        let stops = arguments.stop && !report.wrong.is_empty();
        total.add(report);
        if run % 10 == 9 {
            writeln!(
                out,
                "{} after {}: {} wrong",
                topology.name(),
                total.count(),
                total.wrong.len()
            )?;
        }
        out.flush()?;
        if stops {
            break;
        }
    }
    writeln!(
        out,
        "{}: seeds {} to {}, {} statements, {} wrong\n{}{}",
        topology.name(),
        arguments.seed,
        arguments.seed + runs as u64 - 1,
        total.count(),
        total.wrong.len(),
        total.summary(),
        total.details(arguments.examples)
    )?;
    Ok(if total.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
