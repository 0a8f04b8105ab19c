//! What comes out: a record that can be kept and compared, and tables made of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::form::Form;
use crate::pgbench::Percentiles;
use crate::process::Role;
use crate::workload::Sample;

/// A run of the bench.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The commit that was measured; `+changes` when there were uncommitted ones.
    pub(crate) commit: String,
    /// When, in seconds since 1970.
    pub(crate) time: u64,
    /// On what: processor, cores, kernel.
    pub(crate) machine: BTreeMap<String, String>,
    /// The programs' versions, and PgBouncer's way of pooling.
    pub(crate) versions: BTreeMap<String, String>,
    /// How many rounds, seconds a sample and rows.
    pub(crate) settings: BTreeMap<String, u64>,
    /// The figures.
    pub(crate) results: Vec<Row>,
}

/// The figures of one workload on one form: medians over the rounds unless a field says otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: String,
    /// What is counted: `query`, `row`, `transaction`, `connection`.
    pub(crate) unit: String,
    /// The form, by the name in the table.
    pub(crate) form: String,
    /// Units a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    /// How long one statement took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<f64>,
    /// The same, of half of the statements, where each is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_p50_us: Option<f64>,
    /// The same, of 99 in a hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_p99_us: Option<f64>,
    /// CPU microseconds a unit of each role: of the round with the least.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cpu_us: BTreeMap<String, f64>,
    /// Bytes: of a connection, or gained by the soak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<f64>,
    /// Bytes of a connection that has run a statement and is idle again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_used_bytes: Option<f64>,
    /// How much of the machine's CPU time everything else took, of 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) others: Option<f64>,
    /// Units a second of each round, so that the noise shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<f64>,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

impl Row {
    /// Sums the rounds up.
    pub(crate) fn of(workload: &str, unit: &str, form: Form, samples: &[Sample]) -> Self {
        let per_unit = |role: Role| {
            let figures = samples.iter().filter_map(|sample| {
                Some(sample.cpu.get(&role)?.as_secs_f64() * 1e6 / sample.units as f64)
            });
            // What others do on the machine makes it more, never less.
            figures.reduce(f64::min)
        };
        let cpu = Role::ALL.iter().filter_map(|role| {
            let used = samples.iter().any(|sample| sample.cpu.contains_key(role));
            if used { Some((role.name().to_owned(), per_unit(*role)?)) } else { None }
        });
        let rate = |sample: &Sample| sample.units as f64 / sample.elapsed.as_secs_f64();
        let percentile = |of: fn(&Percentiles) -> Duration| {
            let all = samples.iter().filter_map(|sample| sample.percentiles.as_ref());
            all.map(move |percentiles| of(percentiles).as_secs_f64() * 1e6)
        };
        Self {
            workload: workload.to_owned(),
            unit: unit.to_owned(),
            form: form.name().to_owned(),
            per_second: median(samples.iter().map(rate)),
            latency_us: median(samples.iter().map(|sample| sample.latency.as_secs_f64() * 1e6)),
            latency_p50_us: median(percentile(|percentiles| percentiles.half)),
            latency_p99_us: median(percentile(|percentiles| percentiles.most)),
            cpu_us: cpu.collect(),
            memory_bytes: median(samples.iter().filter_map(|sample| sample.memory)),
            memory_used_bytes: median(samples.iter().filter_map(|sample| sample.memory_used)),
            others: median(samples.iter().map(|sample| sample.others)),
            rounds: samples.iter().map(rate).collect(),
            refused: None,
        }
    }

    /// Says why there are no figures.
    pub(crate) fn refused(workload: &str, unit: &str, form: Form, why: String) -> Self {
        Self { refused: Some(why), ..Self::of(workload, unit, form, &[]) }
    }
}

impl Row {
    fn memory(&self) -> String {
        let used = self.memory_used_bytes.map(|used| format!(" (used: {})", bytes(used)));
        self.memory_bytes.map(bytes).unwrap_or_default() + &used.unwrap_or_default()
    }

    fn latency(&self) -> String {
        let average = self.latency_us.map(time).unwrap_or_default();
        let percentiles = self.latency_p50_us.zip(self.latency_p99_us);
        let percentiles =
            percentiles.map(|(half, most)| format!(" (p50 {}, p99 {})", time(half), time(most)));
        average + &percentiles.unwrap_or_default()
    }
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        return figures.get(middle).copied();
    }
    Some((figures.get(middle.checked_sub(1)?)? + figures.get(middle)?) / 2.0)
}

impl Record {
    /// The figures of a workload on a form.
    pub(crate) fn row(&self, workload: &str, form: Form) -> Option<&Row> {
        self.results.iter().find(|row| row.workload == workload && row.form == form.name())
    }

    /// The CPU microseconds a unit of a role.
    pub(crate) fn cpu(&self, workload: &str, form: Form, role: Role) -> Option<f64> {
        self.row(workload, form)?.cpu_us.get(role.name()).copied()
    }

    /// The table of all figures, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = self.heading();
        text.push_str(
            "| workload | form | per second | × direct | latency | × direct | CPU µs: proxy | agent | postgres | client | memory | others |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        let mut last = "";
        for row in &self.results {
            let direct = self.row(&row.workload, Form::Direct);
            let name = if row.workload == last {
                String::new()
            } else {
                format!("{}, by {}", row.workload, row.unit)
            };
            last = &row.workload;
            if let Some(why) = &row.refused {
                let why = why.replace('|', "\\|");
                let _ = writeln!(text, "| {name} | {} | {why} | | | | | | | | | |", row.form);
                continue;
            }
            let ratio = |of: Option<f64>, to: Option<f64>| -> String {
                let ratio = of.zip(to).map(|(of, to)| format!("{:.2}", of / to));
                ratio.unwrap_or_default()
            };
            let cpu = |role: Role| row.cpu_us.get(role.name()).map(|us| number(*us));
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.form,
                row.per_second.map(number).unwrap_or_default(),
                ratio(row.per_second, direct.and_then(|row| row.per_second)),
                row.latency(),
                ratio(row.latency_us, direct.and_then(|row| row.latency_us)),
                cpu(Role::Proxy).unwrap_or_default(),
                cpu(Role::Agent).unwrap_or_default(),
                cpu(Role::Postgres).unwrap_or_default(),
                cpu(Role::Client).unwrap_or_default(),
                row.memory(),
                row.others.map(|others| format!("{:.0} %", others * 100.0)).unwrap_or_default(),
            );
        }
        text
    }

    fn heading(&self) -> String {
        let list = |values: &BTreeMap<String, String>| {
            let parts: Vec<_> =
                values.iter().map(|(name, value)| format!("{name} {value}")).collect();
            parts.join(", ")
        };
        let settings: Vec<_> =
            self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        format!(
            "Commit {}. {}. {}. {}.\n\n",
            self.commit,
            list(&self.machine),
            list(&self.versions),
            settings.join(", ")
        )
    }

    /// What changed between an earlier run and this one, in Markdown. Ratios above 1 are more of it now.
    pub(crate) fn compare(&self, earlier: &Self) -> String {
        let mut text = format!(
            "{} → {}. Ratios are now ÷ before: of units a second (more is better), of CPU time (less is better).\n\n\
             | workload | form | per second | ratio | proxy + agent CPU µs | ratio | memory |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
            earlier.commit, self.commit
        );
        for row in &self.results {
            let same = |other: &&Row| other.workload == row.workload && other.form == row.form;
            let before = earlier.results.iter().find(same);
            let change = |of: fn(&Row) -> Option<f64>, show: fn(f64) -> String| {
                let (now, before) = (of(row), before.and_then(of));
                let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), show);
                let ratio = now.zip(before).map(|(now, before)| format!("{:.2}", now / before));
                (format!("{} → {}", show(before), show(now)), ratio.unwrap_or_default())
            };
            let own = |row: &Row| {
                let proxy = row.cpu_us.get(Role::Proxy.name())?;
                Some(proxy + row.cpu_us.get(Role::Agent.name()).copied().unwrap_or(0.0))
            };
            let (rate, rate_ratio) = change(|row| row.per_second, number);
            let (cpu, cpu_ratio) = change(own, number);
            let (memory, _) = change(|row| row.memory_bytes, bytes);
            let memory = if row.memory_bytes.is_some() { memory } else { String::new() };
            let _ = writeln!(
                text,
                "| {} | {} | {rate} | {rate_ratio} | {cpu} | {cpu_ratio} | {memory} |",
                row.workload, row.form
            );
        }
        text
    }
}

/// A figure with three significant digits, or all digits before the point.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// Microseconds with their unit.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        us if us >= 1e6 => format!("{} s", number(us / 1e6)),
        us if us >= 1e4 => format!("{} ms", number(us / 1e3)),
        us => format!("{} µs", number(us)),
    }
}

/// Bytes with their unit.
pub(crate) fn bytes(bytes: f64) -> String {
    if bytes.abs() >= 1024.0 * 1024.0 {
        return format!("{} MB", number(bytes / 1024.0 / 1024.0));
    }
    format!("{} KB", number(bytes / 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_numbers() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([3.0, 1.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
        assert_eq!([number(0.256), number(25.64), number(2564.4)], ["0.26", "25.6", "2564"]);
        assert_eq!([time(130.0), time(13_000.0), time(2e6)], ["130 µs", "13.0 ms", "2.00 s"]);
    }
}
