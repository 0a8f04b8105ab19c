//! What the fast path is to reach, computed from the figures of one run.

use std::fmt::Write;

use crate::form::Form;
use crate::process::Role;
use crate::report::{Record, bytes, number};

/// A goal: what is to be at most, or at least, so much.
struct Goal {
    name: &'static str,
    bound: Bound,
    /// What it becomes once that is reached.
    then: Option<f64>,
    figure: fn(&Record) -> Option<f64>,
    show: fn(f64) -> String,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// The goals of the table, whose figures there are, in Markdown.
pub(crate) fn table(record: &Record) -> String {
    let mut text =
        String::from("| goal | reach | then | now | |\n| --- | ---: | ---: | ---: | --- |\n");
    for goal in GOALS {
        let Some(figure) = (goal.figure)(record) else { continue };
        let (sign, bound, reached) = match goal.bound {
            Bound::AtMost(bound) => ("≤", bound, figure <= bound),
            Bound::AtLeast(bound) => ("≥", bound, figure >= bound),
        };
        let then = goal.then.map(|then| format!("{sign} {}", (goal.show)(then)));
        let _ = writeln!(
            text,
            "| {} | {sign} {} | {} | {} | {} |",
            goal.name,
            (goal.show)(bound),
            then.unwrap_or_default(),
            (goal.show)(figure),
            if reached { "reached" } else { "" }
        );
    }
    text
}

const GOALS: &[Goal] = &[
    Goal {
        name: "prepared point select, 32 clients: proxy CPU ÷ PgBouncer's",
        bound: Bound::AtMost(1.1),
        then: Some(1.0),
        figure: |record| cpu_to_bouncer(record, "select-prepared-32", Form::Pg2),
        show: number,
    },
    Goal {
        name: "simple point select, 32 clients: proxy CPU ÷ PgBouncer's",
        bound: Bound::AtMost(1.2),
        then: Some(1.0),
        figure: |record| cpu_to_bouncer(record, "select-simple-32", Form::Pg2),
        show: number,
    },
    Goal {
        name: "prepared point select, 1 client: added latency (p50) ÷ PgBouncer's",
        bound: Bound::AtMost(1.2),
        then: Some(1.0),
        figure: |record| {
            let latency = |form| record.row("select-prepared-1", form)?.latency_p50_us;
            let direct = latency(Form::Direct)?;
            Some((latency(Form::Pg2)? - direct) / (latency(Form::Pgbouncer)? - direct))
        },
        show: number,
    },
    Goal {
        name: "separate agents, prepared point select, 32 clients: proxy + agent CPU ÷ PgBouncer's",
        bound: Bound::AtMost(2.0),
        then: Some(1.7),
        figure: |record| cpu_to_bouncer(record, "select-prepared-32", Form::Agents2),
        show: number,
    },
    Goal {
        name: "SQLite, prepared point select, 32 clients: process CPU ÷ direct PostgreSQL's",
        bound: Bound::AtMost(1.0),
        then: Some(0.5),
        figure: |record| {
            let direct = record.cpu("select-prepared-32", Form::Direct, Role::Postgres)?;
            Some(own_cpu(record, "select-prepared-32", Form::Sqlite)? / direct)
        },
        show: number,
    },
    Goal {
        name: "TPC-B-like transaction: throughput ÷ PgBouncer's",
        bound: Bound::AtLeast(0.9),
        then: None,
        figure: |record| rate_to(record, "tpcb-8", Form::Pgbouncer),
        show: number,
    },
    Goal {
        name: "count, two shards: time ÷ direct",
        bound: Bound::AtMost(1.05),
        then: None,
        figure: |record| time_to_direct(record, "count"),
        show: number,
    },
    Goal {
        name: "group-by, two shards: time ÷ direct",
        bound: Bound::AtMost(1.05),
        then: None,
        figure: |record| time_to_direct(record, "group-by"),
        show: number,
    },
    Goal {
        name: "top-100, two shards: time ÷ direct",
        bound: Bound::AtMost(1.05),
        then: None,
        figure: |record| time_to_direct(record, "top-100"),
        show: number,
    },
    Goal {
        name: "ORDER BY of all rows, two shards: time ÷ direct",
        bound: Bound::AtMost(1.15),
        then: None,
        figure: |record| time_to_direct(record, "order-all"),
        show: number,
    },
    Goal {
        name: "ORDER BY of all rows, two shards: proxy CPU µs a row",
        bound: Bound::AtMost(0.35),
        then: Some(0.25),
        figure: |record| own_cpu(record, "order-all", Form::Pg2),
        show: number,
    },
    Goal {
        name: "full scan, two shards: time ÷ direct",
        bound: Bound::AtMost(1.15),
        then: None,
        figure: |record| time_to_direct(record, "full-scan"),
        show: number,
    },
    Goal {
        name: "full scan, two shards: proxy CPU µs a row",
        bound: Bound::AtMost(0.35),
        then: Some(0.25),
        figure: |record| own_cpu(record, "full-scan", Form::Pg2),
        show: number,
    },
    Goal {
        name: "COPY of four columns, two shards: proxy CPU µs a row",
        bound: Bound::AtMost(0.5),
        then: Some(0.35),
        figure: |record| own_cpu(record, "copy-in", Form::Pg2),
        show: number,
    },
    Goal {
        name: "multi-row INSERT, two shards: time ÷ direct",
        bound: Bound::AtMost(1.3),
        then: Some(1.1),
        figure: |record| time_to_direct(record, "bulk-insert"),
        show: number,
    },
    Goal {
        name: "idle client connection: memory",
        bound: Bound::AtMost(10.0 * 1024.0),
        then: Some(5.0 * 1024.0),
        figure: |record| record.row("idle", Form::Pg2)?.memory_bytes,
        show: bytes,
    },
    Goal {
        name: "connections a second ÷ PgBouncer's",
        bound: Bound::AtLeast(1.0),
        then: None,
        figure: |record| rate_to(record, "connect-8", Form::Pgbouncer),
        show: number,
    },
];

/// The CPU time of proxy and agents together.
fn own_cpu(record: &Record, workload: &str, form: Form) -> Option<f64> {
    let agent = record.cpu(workload, form, Role::Agent).unwrap_or(0.0);
    Some(record.cpu(workload, form, Role::Proxy)? + agent)
}

fn cpu_to_bouncer(record: &Record, workload: &str, form: Form) -> Option<f64> {
    let bouncer = record.cpu(workload, Form::Pgbouncer, Role::Proxy)?;
    Some(own_cpu(record, workload, form)? / bouncer)
}

fn rate_to(record: &Record, workload: &str, form: Form) -> Option<f64> {
    Some(record.row(workload, Form::Pg2)?.per_second? / record.row(workload, form)?.per_second?)
}

fn time_to_direct(record: &Record, workload: &str) -> Option<f64> {
    rate_to(record, workload, Form::Direct).map(|ratio| 1.0 / ratio)
}
