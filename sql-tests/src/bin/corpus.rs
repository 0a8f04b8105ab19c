//! Runs SQLite's sqllogictest files through dataman and a plain server: `sql-tests/corpus-run` says how.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dataman_sql_tests::client::Protocol;
use dataman_sql_tests::corpus::{Report, run_file};
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::slt::{Sides, files_of};
use dataman_sql_tests::topology::{Running, Topology};

/// Compares dataman with PostgreSQL on files of SQLite's sqllogictest corpus.
#[derive(Debug, Parser)]
struct Arguments {
    /// A folder of .test files, or one file
    folder: PathBuf,
    /// Only files with this in their path; may be given several times
    files: Vec<String>,
    /// What stands behind dataman; may be given several times [default: pg4 and sqlite4]
    #[arg(long)]
    topology: Vec<String>,
    /// simple or extended; may be given several times [default: both]
    #[arg(long)]
    protocol: Vec<String>,
    /// Records of each file, no more
    #[arg(long, default_value_t = usize::MAX)]
    records_max: usize,
    /// How many failures of a file are shown
    #[arg(long, default_value_t = 3)]
    show: usize,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let topologies: Vec<Topology> = if arguments.topology.is_empty() {
        vec![Topology::Pg4, Topology::Sqlite4]
    } else {
        let named = |name: &String| Topology::of(name).ok_or("there is no such topology");
        arguments.topology.iter().map(named).collect::<Result<_, _>>()?
    };
    let protocols = Protocol::ALL.into_iter().filter(|protocol| {
        arguments.protocol.is_empty()
            || arguments.protocol.iter().any(|name| name == protocol.name())
    });
    let protocols: Vec<Protocol> = protocols.collect();
    let mut files = if arguments.folder.is_file() {
        vec![arguments.folder.clone()]
    } else {
        files_of(&arguments.folder, "test")
    };
    files.retain(|file| {
        let path = file.to_string_lossy();
        arguments.files.is_empty() || arguments.files.iter().any(|part| path.contains(part))
    });
    let runs: Vec<(&PathBuf, Protocol, String)> = files
        .iter()
        .flat_map(|file| protocols.iter().map(move |protocol| (file, *protocol)))
        .enumerate()
        .map(|(number, (file, protocol))| (file, protocol, format!("c{number}")))
        .collect();
    let databases: Vec<String> = runs.iter().map(|(_, _, database)| database.clone()).collect();
    let mut out = std::io::stdout();
    let mut all_right = true;
    for topology in topologies {
        let dataman = Running::start(topology, &databases).await?;
        let oracle = Postgres::start()?;
        let mut total = Report::default();
        for (file, protocol, database) in &runs {
            drop(oracle.create_database(database).await?);
            let sides = Sides {
                dataman: dataman.dsn_of(database),
                postgres: oracle.dsn_of(database),
                topology,
                protocol: *protocol,
            };
            let report = run_file(file, &sides, arguments.records_max).await?;
            let name = file.strip_prefix(&arguments.folder).unwrap_or(file);
            let name = if name == Path::new("") { file } else { name };
            let head = format!("{} {} {}", topology.name(), protocol.name(), name.display());
            writeln!(out, "{}", line(&head, &report))?;
            for failure in report.failures.iter().take(arguments.show) {
                writeln!(out, "    {}", failure.replace('\n', "\n    "))?;
            }
            out.flush()?;
            total.records += report.records;
            total.counted += report.counted;
            for (reason, count) in report.refused {
                *total.refused.entry(reason).or_default() += count;
            }
            total.failures.extend(report.failures);
        }
        writeln!(out, "{}", line(&format!("{}, all files", topology.name()), &total))?;
        reasons(&mut out, &total.refused)?;
        all_right &= total.failures.is_empty() && total.refused.is_empty();
    }
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(head: &str, report: &Report) -> String {
    format!(
        "{head}: {} records, {} count, {} definitions refused, {} wrong or refused queries",
        report.records,
        report.counted,
        report.refusals(),
        report.failures.len()
    )
}

fn reasons(out: &mut impl Write, refused: &BTreeMap<String, usize>) -> std::io::Result<()> {
    refused.iter().try_for_each(|(reason, count)| writeln!(out, "    {count} {reason}"))
}
