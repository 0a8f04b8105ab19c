//! Runs the 22 queries of TPC-H through dataman and a plain server: `sql-tests/tpch/run` says how.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use dataman_sql_tests::client::{Outcome, Protocol, Rows, run};
use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::topology::{Running, Topology};
use futures_util::SinkExt;
use tokio::time::Instant;

/// Compares dataman with PostgreSQL on TPC-H: rows, times, memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the tables as CSV files with a header line, as `tpchgen-cli csv` makes them
    data: PathBuf,
    /// The folder of schema.sql and the queries
    #[arg(long)]
    queries: PathBuf,
    /// What stands behind dataman
    #[arg(long, value_delimiter = ',', default_value = "pg4,sqlite4")]
    topology: Vec<String>,
    /// Only these queries
    #[arg(long, value_delimiter = ',')]
    only: Vec<usize>,
    /// How often each query is timed; the shortest time counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Prints each plan before its query
    #[arg(long)]
    explain: bool,
    /// A query that takes longer is given up, in seconds
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

const TABLES: &[&str] =
    &["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"];

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let schema = std::fs::read_to_string(arguments.queries.join("schema.sql"))?;
    let mut queries = Vec::new();
    for number in 1..=22 {
        if arguments.only.is_empty() || arguments.only.contains(&number) {
            let text =
                std::fs::read_to_string(arguments.queries.join(format!("q{number:02}.sql")))?;
            queries.push((number, text));
        }
    }
    let server = Postgres::shared();
    let plain = server.create_database("tpch").await?;
    load(&plain, &without_placement(&schema), &arguments.data).await?;
    plain.batch_execute("ANALYZE").await?;
    let mut theirs = Vec::new();
    for (_, text) in &queries {
        theirs.push(timed(&plain, text, &arguments).await);
    }
    let mut wrong = 0;
    for name in &arguments.topology {
        let topology = Topology::of(name).ok_or("there is no such topology")?;
        let running = Running::start(topology, &["tpch".to_owned()]).await?;
        let session = Session::connect(&running.dsn_of("tpch")).await?;
        load(&session, &schema, &arguments.data).await?;
        session.batch_execute("ANALYZE").await?;
        let mut out = format!(
            "{name}\n{:>5} {:>12} {:>12} {:>8} {:>8}  {}\n",
            "query", "dataman ms", "postgres ms", "ratio", "rows", "answer"
        );
        let (mut ours_total, mut theirs_total) = (Duration::ZERO, Duration::ZERO);
        for ((number, text), (expected, their_time)) in queries.iter().zip(&theirs) {
            if arguments.explain {
                for line in session.query(&format!("EXPLAIN {text}"), &[]).await? {
                    out.push_str(&format!("      {}\n", line.get::<_, String>(0)));
                }
            }
            let (answer, our_time) = timed(&session, text, &arguments).await;
            let verdict = judge(&answer, expected);
            wrong += usize::from(verdict != "right");
            ours_total += our_time;
            theirs_total += *their_time;
            let rows = match expected {
                Outcome::Rows(rows) => rows.rows.len(),
                Outcome::Failure { .. } => 0,
            };
            let line =
                format!("{number:>5} {} {rows:>8}  {verdict}\n", times(our_time, *their_time));
            std::io::stderr().write_all(line.as_bytes())?;
            out.push_str(&line);
        }
        out.push_str(&format!("{:>5} {}\n", "all", times(ours_total, theirs_total)));
        out.push_str(&format!(
            "peak memory of dataman: {} MB\n",
            peak_kb(running.process_id()) / 1024
        ));
        std::io::stdout().write_all(out.as_bytes())?;
    }
    if wrong > 0 {
        return Err(format!("{wrong} answers are not PostgreSQL's").into());
    }
    Ok(())
}

/// The schema as a plain server takes it: without what says where rows are.
fn without_placement(schema: &str) -> String {
    schema
        .split(';')
        .map(|statement| statement.split(" WITH (").next().unwrap_or_default().to_owned() + ";")
        .collect()
}

async fn load(session: &Session, schema: &str, data: &Path) -> Result<(), Failure> {
    for statement in
        schema.split(';').filter(|statement| !statement.trim_matches([' ', '\n', ';']).is_empty())
    {
        session.batch_execute(statement).await?;
    }
    for table in TABLES {
        let text = std::fs::read(data.join(format!("{table}.csv")))?;
        let sink =
            session.copy_in(&format!("COPY {table} FROM STDIN (FORMAT csv, HEADER)")).await?;
        let mut sink = std::pin::pin!(sink);
        let text = Bytes::from(text);
        for start in (0..text.len()).step_by(1 << 20) {
            sink.send(text.slice(start..text.len().min(start + (1 << 20)))).await?;
        }
        sink.finish().await?;
    }
    Ok(())
}

/// What a query gives, and the shortest time it took.
async fn timed(session: &Session, text: &str, arguments: &Arguments) -> (Outcome, Duration) {
    let mut best = Duration::MAX;
    let mut outcome = None;
    for _ in 0..arguments.rounds.max(1) {
        let begin = Instant::now();
        let limit = Duration::from_secs(arguments.timeout);
        let got = match tokio::time::timeout(limit, run(session, text, Protocol::Simple)).await {
            Ok(got) => got,
            Err(_) => {
                // What still runs must not slow the next one.
                let _ = session.cancel_token().cancel_query(tokio_postgres::NoTls).await;
                let message = format!("given up after {} s", limit.as_secs());
                return (Outcome::Failure { sqlstate: "57014".to_owned(), message }, limit);
            }
        };
        best = best.min(begin.elapsed());
        let failed = matches!(got, Outcome::Failure { .. });
        outcome = Some(got);
        if failed {
            break;
        }
    }
    (outcome.expect("there is one round at least"), best)
}

/// Whether two answers are the same; the order of rows counts only as far as it must: ties stand in any.
fn judge(ours: &Outcome, theirs: &Outcome) -> String {
    match (ours, theirs) {
        (Outcome::Rows(one), Outcome::Rows(other)) => {
            let names = |rows: &Rows| -> Vec<String> {
                rows.columns.iter().map(|(name, _)| name.clone()).collect()
            };
            let sorted = |rows: &Rows| {
                let mut rows = rows.rows.clone();
                rows.sort();
                rows
            };
            if names(one) == names(other) && sorted(one) == sorted(other) {
                "right".to_owned()
            } else {
                format!("WRONG: {} rows, expected {}", one.rows.len(), other.rows.len())
            }
        }
        (Outcome::Failure { sqlstate, message }, _) => format!("FAILED: {sqlstate} {message}"),
        (_, Outcome::Failure { message, .. }) => format!("PostgreSQL failed: {message}"),
    }
}

fn times(ours: Duration, theirs: Duration) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    format!("{:>12.1} {:>12.1} {:>8.2}", ms(ours), ms(theirs), ms(ours) / ms(theirs).max(0.001))
}

/// The largest memory that a process has had, in kB.
fn peak_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
