//! pgbench, PostgreSQL's own load generator, for what is repeated many thousand times a second.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::server::{postgres_programs, run as run_program};
use crate::wire::Endpoint;
use crate::workload::Protocol;

/// How long it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// So many seconds.
    Seconds(u32),
    /// So many transactions of each client.
    Transactions(u32),
}

/// What it says at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    /// How many transactions were done.
    pub(crate) transactions: u64,
    /// How many a second, without the time that connecting took.
    pub(crate) per_second: f64,
    /// How long one took, on average.
    pub(crate) latency: Duration,
    /// How long one took at most, of half of them and of 99 in a hundred; where each is written down.
    pub(crate) percentiles: Option<Percentiles>,
}

/// Latencies that so many do not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentiles {
    /// Half of them.
    pub(crate) half: Duration,
    /// 99 in a hundred.
    pub(crate) most: Duration,
}

impl Percentiles {
    /// Reads pgbench's log: a line a transaction, its microseconds in the third column.
    fn parse(log: &str) -> Option<Self> {
        let third = |line: &str| line.split(' ').nth(2)?.parse::<u64>().ok();
        let mut all: Vec<u64> = log.lines().filter_map(third).collect();
        all.sort_unstable();
        let at = |percent: usize| all.get(all.len() * percent / 100).copied();
        Some(Self { half: Duration::from_micros(at(50)?), most: Duration::from_micros(at(99)?) })
    }
}

impl Report {
    /// The time in which the transactions were done.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.transactions as f64 / self.per_second)
    }

    fn parse(text: &str) -> Option<Self> {
        let after = |name: &str| -> Option<&str> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_ascii_whitespace().next()?.split('/').next()
        };
        let latency: f64 = after("latency average = ")?.parse().ok()?;
        let report = Self {
            transactions: after("number of transactions actually processed: ")?.parse().ok()?,
            per_second: after("tps = ")?.parse().ok()?,
            latency: Duration::from_secs_f64(latency / 1000.0),
            percentiles: None,
        };
        (report.per_second > 0.0 && report.transactions > 0).then_some(report)
    }
}

/// Runs scripts, each with its weight.
pub(crate) fn run(
    endpoint: &Endpoint,
    scripts: &[(&str, u32)],
    protocol: Protocol,
    clients: u32,
    length: Length,
) -> Result<Report, Error> {
    let mut command = Command::new(postgres_programs().join("pgbench"));
    command.args(["-h", "127.0.0.1", "-n", "-M", protocol.name(), "-j", "1"]);
    command.arg(format!("-p{}", endpoint.port)).arg(format!("-U{}", endpoint.user));
    command.arg(format!("-c{clients}"));
    command.arg(match length {
        Length::Seconds(seconds) => format!("-T{seconds}"),
        Length::Transactions(transactions) => format!("-t{transactions}"),
    });
    // One client alone is asked for each latency: writing them down costs many clients more than it tells.
    let folder = tempfile::tempdir().map_err(Error::system("no temporary folder"))?;
    if clients == 1 {
        command.args(["-l", "--log-prefix"]).arg(folder.path().join("log"));
    }
    let mut files = Vec::new();
    for (script, weight) in scripts {
        let mut file =
            tempfile::NamedTempFile::new().map_err(Error::system("no temporary file"))?;
        file.write_all(script.as_bytes()).map_err(Error::system("cannot write a script"))?;
        command.arg("-f").arg(format!("{}@{weight}", file.path().display()));
        files.push(file);
    }
    let text = run_program(command.arg(&endpoint.database)).map_err(refusal)?;
    let report = Report::parse(&text);
    let report = report.ok_or_else(|| Error::Failed(format!("pgbench said: {text}")))?;
    let logs = std::fs::read_dir(folder.path()).map_err(Error::system("no log of pgbench"))?;
    let log = logs.flatten().find_map(|log| std::fs::read_to_string(log.path()).ok());
    Ok(Report { percentiles: log.and_then(|log| Percentiles::parse(&log)), ..report })
}

/// What the server said, without what pgbench says around it.
fn refusal(error: Error) -> Error {
    let text = error.to_string();
    match text.split_once("ERROR:") {
        Some((_, said)) => {
            let message = said.lines().next().unwrap_or_default().trim().to_owned();
            Error::Server { sqlstate: "ERROR".to_owned(), message }
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let text = "transaction type: x\nnumber of transactions actually processed: 20/20\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 0.125 ms\n\
                    initial connection time = 3.1 ms\ntps = 8000.5 (without initial connection time)\n";
        let report = Report::parse(text).expect("is a report");
        assert_eq!(report.transactions, 20);
        assert_eq!(report.latency, Duration::from_micros(125));
        assert!(Report::parse("nothing").is_none());
    }

    #[test]
    fn a_log_is_read() {
        let log: String = (1..=200).map(|us| format!("0 {us} {us} 0 1606100000 5\n")).collect();
        let percentiles = Percentiles::parse(&log).expect("has lines");
        assert_eq!(percentiles.half, Duration::from_micros(101));
        assert_eq!(percentiles.most, Duration::from_micros(199));
        assert_eq!(Percentiles::parse(""), None);
    }
}
