//! The measuring stick: starts PostgreSQL, PgBouncer and dataman in each of its forms, runs the same work on all of them in
//! turn, and prints what each costs. `sql-tests/bench/README.md` says how to read it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};

use crate::error::Error;
use crate::form::{Form, Site, Target};
use crate::report::{Record, Row};
use crate::table::{Sizes, Table};
use crate::workload::{Effort, Sample, Workload};

mod engines;
mod error;
mod form;
mod goal;
mod pgbench;
mod process;
mod report;
mod server;
mod table;
mod wire;
mod workload;

/// Measures dataman against a direct connection to PostgreSQL and against PgBouncer.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Config {
    #[command(subcommand)]
    command: Option<Action>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows what changed between two runs
    Compare {
        /// The earlier run's file
        earlier: PathBuf,
        /// The later run's file
        later: PathBuf,
    },
    /// Lists the workloads
    List,
    /// Each engine through dataman, beside the same engine by its own client
    Engines(engines::Options),
}

#[derive(Debug, Args)]
struct Measure {
    /// Only workloads whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only these forms [default: all]
    #[arg(long, value_name = "FORM", value_enum, value_delimiter = ',')]
    form: Vec<Form>,
    /// How often each workload runs on each form
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a sample takes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How long the soak takes; ten minutes show a leak
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    soak_seconds: u32,
    /// How many rows are scanned, sorted and copied
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// A few seconds a workload, and a tenth of the rows
    #[arg(long)]
    quick: bool,
    /// A handful of operations a workload: whether all works and answers rightly, no figures
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Where to write the figures [default: target/bench/TIME-COMMIT.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A file whose last table is to be replaced by this run's
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
}

fn main() -> ExitCode {
    let config = Config::parse();
    let outcome = match config.command {
        Some(Action::Compare { earlier, later }) => compare(&earlier, &later),
        Some(Action::List) => {
            let names: Vec<_> = Workload::all().into_iter().map(|workload| workload.name).collect();
            say(&(names.join("\n") + "\n"))
        }
        Some(Action::Engines(options)) => measure_engines(&options),
        None => measure(&config.measure),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).map_err(Error::system("cannot write the tables"))
}

fn compare(earlier: &Path, later: &Path) -> Result<(), Error> {
    let read = |path: &Path| -> Result<Record, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(Error::system(format!("cannot read {}", path.display())))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
    };
    say(&read(later)?.compare(&read(earlier)?))
}

fn measure_engines(options: &engines::Options) -> Result<(), Error> {
    let table = engines::measure(options)?;
    say(&table)?;
    match &options.readme {
        Some(path) => write_readme(path, ENGINES_MARK, &table),
        None => Ok(()),
    }
}

fn measure(config: &Measure) -> Result<(), Error> {
    let effort = effort(config);
    let rounds = if config.smoke || config.quick { 1 } else { config.rounds };
    let forms = if config.form.is_empty() { Form::installed() } else { config.form.clone() };
    let chosen = |workload: &Workload| {
        config.only.is_empty() || config.only.iter().any(|part| workload.name.contains(part))
    };
    let chosen =
        |workload: &Workload| chosen(workload) && (!config.smoke || workload.is_in_smoke());
    let workloads: Vec<Workload> = Workload::all().into_iter().filter(chosen).collect();
    if workloads.is_empty() {
        return Err(Error::Failed("no workload has such a name: see `list`".to_owned()));
    }
    let wanted = |form: &Form| workloads.iter().any(|workload| workload.concerns(*form));
    let forms: Vec<Form> = forms.into_iter().filter(wanted).collect();
    let site = Site::start(&forms)?;
    let mut record = describe(&site, &effort, rounds)?;
    let mut made = Vec::new();
    let mut wrong = Vec::new();
    for workload in &workloads {
        for row in run(workload, &site, &effort, rounds, &mut made, &mut wrong) {
            record.results.push(row);
        }
        // What there is so far is kept if a later workload is interrupted.
        write_record(config, &record)?;
    }
    let text = format!("{}\n{}", record.table(), goal::table(&record));
    if !config.smoke {
        say(&text)?;
    }
    if let Some(readme) = &config.readme {
        write_readme(readme, README_MARK, &text)?;
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Wrong(wrong.join("\n"))) }
}

fn effort(config: &Measure) -> Effort {
    let sizes = Sizes {
        accounts: 100_000,
        branches: 64,
        branch_accounts: 1000,
        facts: config.rows,
        bulk_insert: 100_000,
        bulk_copy: config.rows,
        idle: 1000,
    };
    let Measure { seconds, soak_seconds, smoke, .. } = *config;
    if smoke {
        let sizes = Sizes {
            accounts: 500,
            branches: 8,
            branch_accounts: 20,
            facts: 3000,
            bulk_insert: 2500,
            bulk_copy: 2500,
            idle: 10,
        };
        return Effort { seconds, soak_seconds, sizes, smoke };
    }
    if config.quick {
        let rows = config.rows / 10;
        let sizes = Sizes { facts: rows, bulk_insert: 20_000, bulk_copy: rows, ..sizes };
        return Effort { seconds: 2, soak_seconds: 10, sizes, smoke };
    }
    Effort { seconds, soak_seconds, sizes, smoke }
}

/// Runs a workload on all forms in turn, in each round starting with another one.
fn run(
    workload: &Workload,
    site: &Site,
    effort: &Effort,
    rounds: u32,
    made: &mut Vec<(Form, Table)>,
    wrong: &mut Vec<String>,
) -> Vec<Row> {
    let targets: Vec<&Target> =
        site.targets.iter().filter(|target| workload.concerns(target.form)).collect();
    let rounds = if workload.is_repeated() { rounds } else { 1 };
    let mut outcomes: Vec<Result<Vec<Sample>, Error>> = targets
        .iter()
        .map(|target| {
            make_tables(workload, target, effort, made)?;
            workload.prepare(target, effort)?;
            Ok(Vec::new())
        })
        .collect();
    for round in 0..usize::try_from(rounds).unwrap_or(1) {
        eprint!("{}, round {}:", workload.name, round + 1);
        for turn in 0..targets.len() {
            let place = (round + turn) % targets.len();
            let (Some(target), Some(outcome)) = (targets.get(place), outcomes.get_mut(place))
            else {
                continue;
            };
            let Ok(samples) = outcome else { continue };
            match workload.sample(target, effort) {
                Ok(sample) => {
                    let rate = sample.units as f64 / sample.elapsed.as_secs_f64();
                    eprint!(" {} {}/s,", target.form.name(), report::number(rate));
                    samples.push(sample);
                }
                Err(error) => *outcome = Err(error),
            }
        }
        eprintln!();
    }
    let rows = targets.iter().zip(outcomes).map(|(target, outcome)| {
        let (name, unit, form) = (&workload.name, workload.unit, target.form);
        match outcome {
            Ok(samples) => Row::of(name, unit, form, &samples),
            Err(error) => {
                eprintln!("{name} on {}: {error}", form.name());
                let why = match &error {
                    Error::Server { .. } => format!("refused: {error}"),
                    _ => format!("failed: {error}"),
                };
                if effort.smoke || !matches!(error, Error::Server { .. }) {
                    wrong.push(format!("{name} on {}: {error}", form.name()));
                }
                Row::refused(name, unit, form, why)
            }
        }
    });
    rows.collect()
}

fn make_tables(
    workload: &Workload,
    target: &Target,
    effort: &Effort,
    made: &mut Vec<(Form, Table)>,
) -> Result<(), Error> {
    // PgBouncer leads to the direct database.
    let form = if target.form == Form::Pgbouncer { Form::Direct } else { target.form };
    for table in workload.tables.iter().copied() {
        if !made.contains(&(form, table)) {
            eprintln!("filling {} on {}", table.name(), form.name());
            table.make(target, &effort.sizes)?;
            made.push((form, table));
        }
    }
    Ok(())
}

fn describe(site: &Site, effort: &Effort, rounds: u32) -> Result<Record, Error> {
    let version = |program: &Path| -> String {
        let text = server::run(Command::new(program).arg("--version")).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let programs = server::postgres_programs();
    let bouncer = version(Path::new("pgbouncer")).replace("PgBouncer ", "");
    let bouncer = format!("{bouncer} ({} pooling)", site.pooling.unwrap_or("no"));
    let versions = [
        ("PostgreSQL", version(&programs.join("postgres")).replace("postgres (PostgreSQL) ", "")),
        ("PgBouncer", bouncer),
        ("dataman", version(&form::program()).replace("dataman ", "")),
    ];
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = text("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = [
        (
            "processor",
            processor.unwrap_or_default().trim_start_matches(['\t', ':', ' ']).to_owned(),
        ),
        ("cores", cores.to_string()),
        ("Linux", text("/proc/sys/kernel/osrelease").trim().to_owned()),
    ];
    let settings = [
        ("rounds", u64::from(rounds)),
        ("seconds", u64::from(effort.seconds)),
        ("soak seconds", u64::from(effort.soak_seconds)),
        ("accounts", effort.sizes.accounts),
        ("rows", effort.sizes.facts),
        ("inserted rows", effort.sizes.bulk_insert),
    ];
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    Ok(Record {
        commit: commit(),
        time,
        machine: machine.map(owned).into(),
        versions: versions.map(owned).into(),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        results: Vec::new(),
    })
}

/// The commit of the working folder; `+changes` when files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| server::run(Command::new("git").args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changes = if git(&["diff", "--quiet", "HEAD"]).is_ok() { "" } else { "+changes" };
    format!("{}{changes}", commit.trim())
}

fn write_record(config: &Measure, record: &Record) -> Result<(), Error> {
    if config.smoke && config.json.is_none() {
        return Ok(());
    }
    let default = || PathBuf::from(format!("target/bench/{}-{}.json", record.time, record.commit));
    let path = config.json.clone().unwrap_or_else(default);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::system("cannot make a folder"))?;
    }
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| Error::Failed(format!("cannot write the figures: {error}")))?;
    std::fs::write(&path, text).map_err(Error::system(format!("cannot write {}", path.display())))
}

/// The line after which a file's last table stands.
const README_MARK: &str = "<!-- the last table, written by --readme -->\n";

/// The same for the table of the engines.
const ENGINES_MARK: &str = "<!-- the table of the engines, written by engines --readme -->\n";

fn write_readme(path: &Path, mark: &str, table: &str) -> Result<(), Error> {
    let failed = || Error::system(format!("cannot change {}", path.display()));
    let text = std::fs::read_to_string(path).map_err(failed())?;
    let (before, after) = text
        .split_once(mark)
        .ok_or_else(|| Error::Failed(format!("{} has no place for a table", path.display())))?;
    // What was there ends where the next chapter begins.
    let rest = after.find("\n## ").map_or("", |place| &after[place..]);
    std::fs::write(path, format!("{before}{mark}\n{table}{rest}")).map_err(failed())
}
