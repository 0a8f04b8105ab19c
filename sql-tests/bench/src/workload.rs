//! What is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::form::{Form, Target};
use crate::pgbench::{self, Percentiles};
use crate::process::{Role, machine_busy};
use crate::table::{GROUPS, Sizes, TELLERS, Table, balance};
use crate::wire::{Client, fields};

/// A kind of work, measured on every form.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What it is called.
    pub(crate) name: String,
    /// What one operation is, as the figures name it.
    pub(crate) unit: &'static str,
    /// The tables that must be there.
    pub(crate) tables: &'static [Table],
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A script that pgbench repeats.
    Script { script: Script, protocol: Protocol, clients: u32 },
    /// A query over all facts, repeated by one client.
    Query { sql: &'static str, order: RowOrder },
    /// Many rows by INSERT statements of a thousand rows.
    BulkInsert,
    /// Many rows by one COPY.
    CopyIn,
    /// All facts by one COPY.
    CopyOut,
    /// Connections opened and closed without a statement.
    Connect { clients: u32 },
    /// Connections that do nothing.
    Idle,
    /// Point selects and transactions for long; memory is watched.
    Soak,
}

/// A pgbench script.
#[derive(Debug, Clone, Copy)]
enum Script {
    PointSelect,
    PointUpdate,
    PointInsert,
    TpcB,
}

/// A way to send a statement, as pgbench names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    /// One Query message.
    Simple,
    /// Parse, Bind, Execute each time.
    Extended,
    /// Parse once; then Bind and Execute.
    Prepared,
}

/// Whether the order of rows is part of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowOrder {
    Given,
    Any,
}

/// How long, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How long a sample takes.
    pub(crate) seconds: u32,
    /// How long the soak takes.
    pub(crate) soak_seconds: u32,
    /// How much data.
    pub(crate) sizes: Sizes,
    /// Only a handful of operations a sample: to see that it works.
    pub(crate) smoke: bool,
}

impl Effort {
    /// How many clients work, instead of so many: a smoke run needs more than one, and no more than two.
    fn clients(&self, clients: u32) -> u32 {
        if self.smoke { clients.min(2) } else { clients }
    }
}

/// What one run of a workload on one form came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// How many units were done.
    pub(crate) units: u64,
    /// In what time.
    pub(crate) elapsed: Duration,
    /// How long one statement took, on average.
    pub(crate) latency: Duration,
    /// The same, of half of the statements and of 99 in a hundred.
    pub(crate) percentiles: Option<Percentiles>,
    /// The CPU time of each role.
    pub(crate) cpu: BTreeMap<Role, Duration>,
    /// How much of the machine's CPU time everything else took meanwhile, of 1: noise.
    pub(crate) others: f64,
    /// Memory in bytes: a connection's, or what was gained by a soak.
    pub(crate) memory: Option<f64>,
    /// Memory in bytes of a connection that has run a statement.
    pub(crate) memory_used: Option<f64>,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    /// What pgbench calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

impl Script {
    fn text(self, sizes: &Sizes) -> String {
        match self {
            Self::PointSelect => format!(
                "\\set aid random(1, {})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
                sizes.accounts
            ),
            Self::PointUpdate => format!(
                "\\set aid random(1, {})\n\\set delta random(-5000, 5000)\n\
                 UPDATE pgbench_accounts SET bid = :delta WHERE aid = :aid;\n",
                sizes.accounts
            ),
            // So many numbers that no two are the same.
            Self::PointInsert => "\\set id random(1, 9000000000000000000)\n\
                 INSERT INTO point_inserts (id, amount, note) VALUES (:id, 1, 'note');\n"
                .to_owned(),
            Self::TpcB => format!(
                "\\set bid random(1, {})\n\\set aid random(1, {})\n\\set tid random(1, {TELLERS})\n\
                 \\set delta random(-5000, 5000)\nBEGIN;\n\
                 UPDATE tpcb_accounts SET abalance = abalance + :delta WHERE bid = :bid AND aid = :aid;\n\
                 SELECT abalance FROM tpcb_accounts WHERE bid = :bid AND aid = :aid;\n\
                 UPDATE tpcb_tellers SET tbalance = tbalance + :delta WHERE bid = :bid AND tid = :tid;\n\
                 UPDATE tpcb_branches SET bbalance = bbalance + :delta WHERE bid = :bid;\n\
                 INSERT INTO tpcb_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);\n\
                 END;\n",
                sizes.branches, sizes.branch_accounts
            ),
        }
    }
}

const BANK: &[Table] = &[Table::Branches, Table::Tellers, Table::BranchAccounts, Table::History];
const SOAK: &[Table] =
    &[Table::Accounts, Table::Branches, Table::Tellers, Table::BranchAccounts, Table::History];

/// The queries over all facts.
const QUERIES: &[(&str, &str, RowOrder)] = &[
    ("count", "SELECT count(*) FROM facts", RowOrder::Given),
    (
        "group-by",
        "SELECT grp, sum(amount), avg(amount) FROM facts GROUP BY grp ORDER BY grp",
        RowOrder::Given,
    ),
    ("top-100", "SELECT id, amount FROM facts ORDER BY amount DESC, id LIMIT 100", RowOrder::Given),
    ("order-all", "SELECT id, grp, amount, note FROM facts ORDER BY id", RowOrder::Given),
    ("full-scan", "SELECT id, grp, amount, note FROM facts", RowOrder::Any),
];

impl Workload {
    /// All of them. What depends on a fresh process comes first.
    pub(crate) fn all() -> Vec<Self> {
        let new = |name: String, unit, tables, kind| Self { name, unit, tables, kind };
        let mut all =
            vec![new("idle".to_owned(), "connection", &[Table::Inserts] as &[_], Kind::Idle)];
        for protocol in Protocol::ALL {
            for clients in [1, 8, 32] {
                let name = format!("select-{}-{clients}", protocol.name());
                let kind = Kind::Script { script: Script::PointSelect, protocol, clients };
                all.push(new(name, "query", &[Table::Accounts], kind));
            }
        }
        let scripts: [(&str, &str, &[Table], Script); 3] = [
            ("tpcb-8", "transaction", BANK, Script::TpcB),
            ("update-8", "query", &[Table::Accounts], Script::PointUpdate),
            ("insert-8", "query", &[Table::Inserts], Script::PointInsert),
        ];
        for (name, unit, tables, script) in scripts {
            let kind = Kind::Script { script, protocol: Protocol::Prepared, clients: 8 };
            all.push(new(name.to_owned(), unit, tables, kind));
        }
        all.push(new("bulk-insert".to_owned(), "row", &[Table::Sink], Kind::BulkInsert));
        all.push(new("copy-in".to_owned(), "row", &[Table::Sink], Kind::CopyIn));
        for (name, sql, order) in QUERIES {
            let unit = if sql.contains("note") { "row" } else { "query" };
            let kind = Kind::Query { sql, order: *order };
            all.push(new((*name).to_owned(), unit, &[Table::Facts], kind));
        }
        all.push(new("copy-out".to_owned(), "row", &[Table::Facts], Kind::CopyOut));
        all.push(new("connect-8".to_owned(), "connection", &[], Kind::Connect { clients: 8 }));
        all.push(new("soak".to_owned(), "query", SOAK, Kind::Soak));
        all
    }

    /// Whether a form has something of its own to show here. Four shards matter where all shards are asked.
    pub(crate) fn concerns(&self, form: Form) -> bool {
        match self.kind {
            Kind::Query { .. } | Kind::BulkInsert | Kind::CopyIn | Kind::CopyOut => true,
            _ => form != Form::Pg4,
        }
    }

    /// Whether a smoke run does it: of the same work with more clients, one is enough.
    pub(crate) fn is_in_smoke(&self) -> bool {
        !matches!(self.kind, Kind::Script { clients: 8.., script: Script::PointSelect, .. })
    }

    /// Whether more than one round tells more.
    pub(crate) fn is_repeated(&self) -> bool {
        !matches!(self.kind, Kind::Idle | Kind::Soak)
    }

    /// Runs it a little, so that what happens only once is not measured, and checks the answers.
    pub(crate) fn prepare(&self, target: &Target, effort: &Effort) -> Result<(), Error> {
        match &self.kind {
            Kind::Script { script, protocol, clients } => {
                if matches!(script, Script::PointSelect) {
                    check_accounts(target, &effort.sizes)?;
                }
                let text = script.text(&effort.sizes);
                let length = pgbench::Length::Transactions(if effort.smoke { 5 } else { 200 });
                let clients = effort.clients(*clients);
                pgbench::run(&target.endpoint, &[(&text, 1)], *protocol, clients, length)?;
            }
            Kind::Query { sql, order } => check_facts(target, sql, *order, &effort.sizes)?,
            Kind::CopyOut | Kind::BulkInsert | Kind::CopyIn => {}
            Kind::Connect { .. } | Kind::Idle | Kind::Soak => {}
        }
        Ok(())
    }

    /// Takes a sample.
    pub(crate) fn sample(&self, target: &Target, effort: &Effort) -> Result<Sample, Error> {
        let sizes = &effort.sizes;
        match &self.kind {
            Kind::Script { script, protocol, clients } => {
                let text = script.text(sizes);
                let clients = effort.clients(*clients);
                script_sample(target, &[(&text, 1)], *protocol, clients, effort)
            }
            Kind::Query { sql, .. } => {
                let mut client = Client::connect(&target.endpoint)?;
                let row_counts = self.unit == "row";
                repeat(target, effort, || {
                    let answer = client.execute(sql)?;
                    Ok(if row_counts { answer.rows } else { 1 })
                })
            }
            Kind::CopyOut => {
                let mut client = Client::connect(&target.endpoint)?;
                repeat(target, effort, || {
                    let answer = client.copy_out("COPY facts TO STDOUT")?;
                    expect("rows of COPY TO", answer.rows, sizes.facts)?;
                    Ok(answer.rows)
                })
            }
            Kind::BulkInsert => {
                Table::Sink.make(target, sizes)?;
                let statements = Table::Sink.insert_statements(sizes.bulk_insert, sizes);
                let mut client = Client::connect(&target.endpoint)?;
                let sample = once(target, || {
                    for statement in &statements {
                        client.execute(statement)?;
                    }
                    Ok(sizes.bulk_insert)
                })?;
                check_sink(&mut client, sizes.bulk_insert)?;
                Ok(sample)
            }
            Kind::CopyIn => {
                Table::Sink.make(target, sizes)?;
                let pieces = Table::Sink.copy_pieces(sizes.bulk_copy, sizes);
                let mut client = Client::connect(&target.endpoint)?;
                let sample = once(target, || {
                    client.copy_in("COPY sink FROM STDIN", &pieces)?;
                    Ok(sizes.bulk_copy)
                })?;
                check_sink(&mut client, sizes.bulk_copy)?;
                Ok(sample)
            }
            Kind::Connect { clients } => connect_sample(target, *clients, effort),
            Kind::Idle => idle_sample(target, sizes.idle),
            Kind::Soak => soak_sample(target, effort),
        }
    }
}

fn script_sample(
    target: &Target,
    scripts: &[(&str, u32)],
    protocol: Protocol,
    clients: u32,
    effort: &Effort,
) -> Result<Sample, Error> {
    let length = if effort.smoke {
        pgbench::Length::Transactions(10)
    } else {
        pgbench::Length::Seconds(effort.seconds)
    };
    let meter = Meter::start(target);
    let report = pgbench::run(&target.endpoint, scripts, protocol, clients, length)?;
    let sample = meter.read(report.transactions, |_| report.latency);
    Ok(Sample { elapsed: report.elapsed(), percentiles: report.percentiles, ..sample })
}

/// Repeats an operation for the length of a sample; each says how many units it did.
fn repeat(
    target: &Target,
    effort: &Effort,
    mut operation: impl FnMut() -> Result<u64, Error>,
) -> Result<Sample, Error> {
    let length = if effort.smoke { 0 } else { effort.seconds };
    let length = Duration::from_secs(u64::from(length));
    let meter = Meter::start(target);
    let (mut units, mut operations) = (0, 0_u32);
    loop {
        units += operation()?;
        operations += 1;
        if meter.started.elapsed() >= length {
            break;
        }
    }
    Ok(meter.read(units, |elapsed| elapsed / operations))
}

/// Does something once.
fn once(target: &Target, operation: impl FnOnce() -> Result<u64, Error>) -> Result<Sample, Error> {
    let meter = Meter::start(target);
    let units = operation()?;
    Ok(meter.read(units, |elapsed| elapsed))
}

/// Watches whose CPU time is used, from its making to its reading.
struct Meter<'a> {
    target: &'a Target,
    cpu: BTreeMap<Role, Duration>,
    busy: Duration,
    started: Instant,
}

impl<'a> Meter<'a> {
    fn start(target: &'a Target) -> Self {
        let cpu = target.processes.cpu();
        Self { target, cpu, busy: machine_busy(), started: Instant::now() }
    }

    /// What was used so far by those units of work, each statement having taken `latency`.
    fn read(&self, units: u64, latency: impl FnOnce(Duration) -> Duration) -> Sample {
        let elapsed = self.started.elapsed();
        let busy = machine_busy().saturating_sub(self.busy);
        let spent = |(role, after): (Role, Duration)| {
            (role, after.saturating_sub(self.cpu.get(&role).copied().unwrap_or_default()))
        };
        let cpu: BTreeMap<Role, Duration> =
            self.target.processes.cpu().into_iter().map(spent).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let others = busy.saturating_sub(cpu.values().sum()).as_secs_f64();
        let others = others / elapsed.as_secs_f64() / cores as f64;
        let latency = latency(elapsed);
        Sample {
            units,
            elapsed,
            latency,
            percentiles: None,
            cpu,
            others,
            memory: None,
            memory_used: None,
        }
    }
}

/// Opens and closes connections, a few clients side by side.
fn connect_sample(target: &Target, clients: u32, effort: &Effort) -> Result<Sample, Error> {
    let length = if effort.smoke { 0 } else { effort.seconds };
    let length = Duration::from_secs(u64::from(length));
    let meter = Meter::start(target);
    let done: u64 = std::thread::scope(|scope| {
        let work = || -> Result<u64, Error> {
            let mut done = 0;
            loop {
                Client::connect(&target.endpoint)?.close()?;
                done += 1;
                if meter.started.elapsed() >= length {
                    return Ok(done);
                }
            }
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(work)).collect();
        let outcomes = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::Failed("a client failed".to_owned())))
        });
        outcomes.sum::<Result<u64, Error>>()
    })?;
    Ok(meter.read(done, |elapsed| elapsed.mul_f64(f64::from(clients) / done as f64)))
}

/// Opens connections and lets them lie, before and after each has run a statement. A few are opened before memory is looked at, so that what the first connection
/// brings with it does not count.
fn idle_sample(target: &Target, connections: u64) -> Result<Sample, Error> {
    let memory = || -> u64 {
        let servers = target.processes.roles();
        // Behind a pooler PostgreSQL's own memory is not the connections'.
        let of = servers.first().copied().unwrap_or(Role::Postgres);
        target.processes.memory(of)
    };
    let open = |count: u64| -> Result<Vec<Client>, Error> {
        (0..count).map(|_| Client::connect(&target.endpoint)).collect()
    };
    let _first = open(20.min(connections))?;
    let bytes_before = memory();
    let mut clients = Vec::new();
    let mut sample = once(target, || {
        clients = open(connections)?;
        Ok(connections)
    })?;
    let each = || memory().saturating_sub(bytes_before) as f64 / connections as f64;
    sample.latency = sample.elapsed.div_f64(connections as f64);
    sample.memory = Some(each());
    // Pooling by session, PgBouncer keeps a server for every client that has said something.
    if target.form != Form::Pgbouncer {
        for client in &mut clients {
            client.execute("SELECT amount FROM point_inserts WHERE id = 1")?;
        }
        sample.memory_used = Some(each());
    }
    Ok(sample)
}

/// Runs selects and transactions for long. What memory was gained after the first fifth shows a leak.
fn soak_sample(target: &Target, effort: &Effort) -> Result<Sample, Error> {
    let select = Script::PointSelect.text(&effort.sizes);
    let transaction = Script::TpcB.text(&effort.sizes);
    let scripts = [(&*select, 9), (&*transaction, 1)];
    let roles = target.processes.roles();
    let watched = roles.first().copied().unwrap_or(Role::Postgres);
    let first = Effort { seconds: (effort.soak_seconds / 5).max(1), ..*effort };
    let rest =
        Effort { seconds: (effort.soak_seconds - effort.soak_seconds / 5).max(1), ..*effort };
    script_sample(target, &scripts, Protocol::Prepared, 8, &first)?;
    let bytes_before = target.processes.memory(watched);
    let mut sample = script_sample(target, &scripts, Protocol::Prepared, 8, &rest)?;
    let bytes_after = target.processes.memory(watched);
    sample.memory = Some(bytes_after as f64 - bytes_before as f64);
    check_bank(&mut Client::connect(&target.endpoint)?)?;
    Ok(sample)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Wrong(format!("{what}: {got:?} instead of {expected:?}")))
}

fn check_accounts(target: &Target, sizes: &Sizes) -> Result<(), Error> {
    let mut client = Client::connect(&target.endpoint)?;
    for account in [1, 2, 3, sizes.accounts / 2, sizes.accounts] {
        let sql = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {account}");
        let expected = vec![vec![Some(balance(account).to_string())]];
        expect(&sql, client.query(&sql)?, expected)?;
    }
    Ok(())
}

/// Every transaction changed all three balances by the same amount and left a line in the history.
fn check_bank(client: &mut Client) -> Result<(), Error> {
    let mut sum = |sql: &str| -> Result<Option<String>, Error> {
        let rows = client.query(sql)?;
        Ok(rows.into_iter().flatten().flatten().next())
    };
    let history = sum("SELECT sum(delta) FROM tpcb_history")?.unwrap_or_else(|| "0".to_owned());
    for sql in [
        "SELECT sum(bbalance) FROM tpcb_branches",
        "SELECT sum(tbalance) FROM tpcb_tellers",
        "SELECT sum(abalance) FROM tpcb_accounts",
    ] {
        expect(sql, sum(sql)?, Some(history.clone()))?;
    }
    Ok(())
}

fn check_sink(client: &mut Client, rows: u64) -> Result<(), Error> {
    let sql = "SELECT count(*), sum(id), min(note) FROM sink";
    let expected =
        [rows.to_string(), (rows * (rows + 1) / 2).to_string(), "note 00000001".to_owned()];
    expect(sql, client.query(sql)?, vec![expected.map(Some).to_vec()])
}

/// The expected rows are computed here, from how the facts are made.
fn check_facts(target: &Target, sql: &str, order: RowOrder, sizes: &Sizes) -> Result<(), Error> {
    let facts = || (1..=sizes.facts).map(|id| (id, id % GROUPS, id * 7919 % 1_000_003));
    let mut client = Client::connect(&target.endpoint)?;
    let number = |field: Option<&Option<String>>| -> u64 {
        field.and_then(|field| field.as_ref()?.parse().ok()).unwrap_or(u64::MAX)
    };
    if sql.contains("note") {
        let (mut rows, mut sum) = (0, 0);
        client.rows(sql, |row| {
            let row = fields(row)?;
            let id = number(row.first());
            rows += 1;
            sum += id;
            let expected = [
                id.to_string(),
                (id % GROUPS).to_string(),
                (id * 7919 % 1_000_003).to_string(),
                format!("note {id:08}"),
            ];
            expect(sql, row, expected.map(Some).to_vec())?;
            if order == RowOrder::Given { expect(sql, id, rows) } else { Ok(()) }
        })?;
        expect(sql, rows, sizes.facts)?;
        return expect(sql, sum, sizes.facts * (sizes.facts + 1) / 2);
    }
    let answer = client.query(sql)?;
    if sql.contains("count(*)") {
        expect(sql, answer, vec![vec![Some(sizes.facts.to_string())]])
    } else if sql.contains("LIMIT") {
        let mut all: Vec<(u64, u64)> = facts().map(|(id, _, amount)| (amount, id)).collect();
        all.sort_by_key(|(amount, id)| (std::cmp::Reverse(*amount), *id));
        let top = all.iter().take(100);
        let expected: Vec<Vec<Option<String>>> =
            top.map(|(amount, id)| [id, amount].map(|n| Some(n.to_string())).to_vec()).collect();
        expect(sql, answer, expected)
    } else {
        let mut groups = BTreeMap::<u64, (u64, u64)>::new();
        for (_, group, amount) in facts() {
            let (sum, count) = groups.entry(group).or_default();
            *sum += amount;
            *count += 1;
        }
        expect(sql, answer.len(), groups.len())?;
        for (row, (group, (sum, count))) in answer.iter().zip(groups) {
            expect(sql, [number(row.first()), number(row.get(1))], [group, sum])?;
            let average = row.get(2).cloned().flatten().unwrap_or_default();
            let close = average
                .parse::<f64>()
                .is_ok_and(|average| (average - sum as f64 / count as f64).abs() < 1e-6);
            if !close {
                return Err(Error::Wrong(format!("{sql}: the average {average} of group {group}")));
            }
        }
        Ok(())
    }
}
