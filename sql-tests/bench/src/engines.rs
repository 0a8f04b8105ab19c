//! Each engine behind dataman, beside the same engine by its own client: one shard, one client, the same rows and questions.

mod client;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::topology::{Running, Topology};
use tokio::time::Instant;

use self::client::Client;
use crate::error::Error;
use crate::process::{Processes, Role, machine_busy};
use crate::report::number;

/// The database that dataman offers, and the one that the engine's own client uses.
const DATABASE: &str = "bench";
const OWN_DATABASE: &str = "own";

/// How many groups the rows fall into.
const GROUPS: u64 = 100;

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these engines [default: all]
    #[arg(long, value_name = "ENGINE", value_enum, value_delimiter = ',')]
    engine: Vec<Engine>,
    /// How many rows are scanned and grouped
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    rows: u64,
    /// How long each kind of work takes, at least once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// 100,000 rows and two seconds
    #[arg(long)]
    quick: bool,
    /// A file whose table of engines is to be replaced by this run's
    #[arg(long, value_name = "FILE")]
    pub(crate) readme: Option<PathBuf>,
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Postgres,
    Sqlite,
    Mariadb,
    Mongodb,
}

impl Engine {
    const ALL: [Self; 4] = [Self::Postgres, Self::Sqlite, Self::Mariadb, Self::Mongodb];

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
            Self::Mariadb => "MariaDB",
            Self::Mongodb => "MongoDB (stand-in)",
        }
    }

    fn topology(self) -> Topology {
        match self {
            Self::Postgres => Topology::Pg1,
            Self::Sqlite => Topology::Sqlite1,
            Self::Mariadb => Topology::My1,
            Self::Mongodb => Topology::Mongo1,
        }
    }
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Select,
    Update,
    Scan,
    Group,
    GroupText,
}

impl Work {
    const ALL: [Self; 5] = [Self::Select, Self::Update, Self::Scan, Self::Group, Self::GroupText];

    fn name(self) -> &'static str {
        match self {
            Self::Select => "point select",
            Self::Update => "point write",
            Self::Scan => "scan, by row",
            Self::Group => "group by int",
            Self::GroupText => "group by text",
        }
    }
}

/// What came of one kind of work.
struct Sample {
    units: u64,
    elapsed: Duration,
    cpu: BTreeMap<Role, Duration>,
    /// How much of the machine others used.
    others: f64,
}

impl Sample {
    fn per_second(&self) -> f64 {
        self.units as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_us(&self, role: Role) -> f64 {
        let spent = self.cpu.get(&role).copied().unwrap_or_default();
        spent.as_secs_f64() * 1e6 / self.units as f64
    }
}

/// Runs all work on the chosen engines; gives a Markdown table.
pub(crate) fn measure(options: &Options) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::system("no runtime"))?;
    runtime.block_on(measure_all(options))
}

async fn measure_all(options: &Options) -> Result<String, Error> {
    let (rows, seconds) =
        if options.quick { (100_000, 2) } else { (options.rows, options.seconds) };
    let chosen = if options.engine.is_empty() { &Engine::ALL[..] } else { &options.engine };
    let mut table = String::from(
        "| engine | work | native per second | dataman | time ÷ native | CPU µs native: client | server \
         | CPU µs dataman: client | proxy | server | CPU ÷ native | others |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for engine in chosen.iter().copied() {
        measure_engine(engine, rows, Duration::from_secs(seconds.into()), &mut table).await?;
    }
    let _ = writeln!(table, "\nRows {rows}, seconds {seconds}, one client.");
    Ok(table)
}

async fn measure_engine(
    engine: Engine,
    rows: u64,
    at_least: Duration,
    table: &mut String,
) -> Result<(), Error> {
    let failed = |error: Box<dyn std::error::Error>| Error::Failed(error.to_string());
    let databases = [DATABASE.to_owned()];
    let running = Running::start(engine.topology(), &databases).await.map_err(failed)?;
    let folder = tempfile::tempdir().map_err(Error::system("no temporary folder"))?;
    let (own, server) = match engine {
        Engine::Postgres => {
            let server = Postgres::shared();
            server.create_database(OWN_DATABASE).await.map_err(client::failed)?;
            let own = Client::postgres(&server.dsn_of(OWN_DATABASE)).await?;
            (own, Some(server.process_id()))
        }
        Engine::Sqlite => (Client::sqlite(&folder.path().join("own.db"))?, None),
        Engine::Mariadb => {
            let server = running.mariadb().ok_or_else(missing)?;
            (Client::mariadb(&server.url(), OWN_DATABASE).await?, Some(server.process_id()))
        }
        Engine::Mongodb => {
            let server = running.mongodb().ok_or_else(missing)?;
            (Client::mongodb(&server.url(), OWN_DATABASE).await?, Some(server.process_id()))
        }
    };
    let processes = |processes: Processes| match server {
        Some(server) => processes.with(Role::Postgres, server),
        None => processes,
    };
    let native = processes(Processes::default());
    let through = processes(Processes::default().with(Role::Proxy, running.process_id()));
    let mut own = own;
    let mut dataman = Client::postgres(&running.dsn_of(DATABASE)).await?;
    eprintln!("{}: filling {rows} rows twice", engine.name());
    own.fill(rows).await?;
    dataman.fill(rows).await?;
    for work in Work::ALL {
        let one = sample(&mut own, work, rows, at_least, &native).await?;
        let other = sample(&mut dataman, work, rows, at_least, &through).await?;
        eprintln!(
            "{} {}: native {}/s, dataman {}/s",
            engine.name(),
            work.name(),
            number(one.per_second()),
            number(other.per_second())
        );
        let total = |sample: &Sample| -> f64 {
            [Role::Client, Role::Proxy, Role::Postgres]
                .into_iter()
                .map(|role| sample.cpu_us(role))
                .sum()
        };
        let server_us = |sample: &Sample| match server {
            Some(_) => number(sample.cpu_us(Role::Postgres)),
            None => String::new(),
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {:.2} | {} | {} | {} | {} | {} | {:.2} | {:.0} % |",
            if work == Work::Select { engine.name() } else { "" },
            work.name(),
            number(one.per_second()),
            number(other.per_second()),
            one.per_second() / other.per_second(),
            number(one.cpu_us(Role::Client)),
            server_us(&one),
            number(other.cpu_us(Role::Client)),
            number(other.cpu_us(Role::Proxy)),
            server_us(&other),
            total(&other) / total(&one).max(f64::MIN_POSITIVE),
            one.others.max(other.others) * 100.0,
        );
    }
    Ok(())
}

fn missing() -> Error {
    Error::Failed("the engine's server is not there".to_owned())
}

/// Repeats a kind of work for some time, and checks its answers.
async fn sample(
    client: &mut Client,
    work: Work,
    rows: u64,
    at_least: Duration,
    processes: &Processes,
) -> Result<Sample, Error> {
    // Once without counting: statements are prepared, caches are warm.
    run(client, work, rows, 1).await?;
    let (cpu, busy, began) = (processes.cpu(), machine_busy(), Instant::now());
    let (mut units, mut turn) = (0, 1);
    while units == 0 || began.elapsed() < at_least {
        turn += 1;
        units += run(client, work, rows, turn).await?;
    }
    let (elapsed, busy) = (began.elapsed(), machine_busy().saturating_sub(busy));
    let mut spent = processes.cpu();
    for (role, cpu) in cpu {
        if let Some(spent) = spent.get_mut(&role) {
            *spent = spent.saturating_sub(cpu);
        }
    }
    let own: Duration = spent.values().sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let others = busy.saturating_sub(own).as_secs_f64() / (elapsed.as_secs_f64() * cores);
    Ok(Sample { units, elapsed, cpu: spent, others })
}

/// Does a kind of work once; gives how many units that were.
async fn run(client: &mut Client, work: Work, rows: u64, turn: u64) -> Result<u64, Error> {
    // Steps of a prime visit the rows in a scattered order.
    let id = (turn * 7_919) % rows + 1;
    let wrong = |what: String| Err(Error::Wrong(format!("{}: {what}", work.name())));
    match work {
        Work::Select => {
            let note = client.select(id).await?;
            if note != note_of(id) { wrong(format!("row {id} has {note}")) } else { Ok(1) }
        }
        Work::Update => match client.update(id).await? {
            1 => Ok(1),
            changed => wrong(format!("{changed} rows changed")),
        },
        Work::Scan => {
            let (count, sum) = client.scan().await?;
            let expected = rows * (rows + 1) / 2;
            if count != rows || sum != expected {
                return wrong(format!("{count} rows, whose ids are {sum} together"));
            }
            Ok(count)
        }
        Work::Group | Work::GroupText => {
            let (groups, count) = client.group(work == Work::GroupText).await?;
            if groups != GROUPS.min(rows) || count != rows {
                return wrong(format!("{groups} groups of {count} rows"));
            }
            Ok(1)
        }
    }
}

/// The values of a row: its group as a number and as a text, an amount and a note.
fn row_of(id: u64) -> (i32, i32, String, String) {
    let narrow = |value: u64| i32::try_from(value).unwrap_or_default();
    (
        narrow(id % GROUPS),
        narrow(id * 7919 % 1_000_003),
        format!("kind {}", id % GROUPS),
        note_of(id),
    )
}

fn note_of(id: u64) -> String {
    format!("a note of row {id}")
}
