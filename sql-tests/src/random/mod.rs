//! Random statements over random data: dataman and PostgreSQL must agree on each.
//!
//! [`compare`] makes tables of every placement and type ([`schema`]), fills them, and runs statements: queries with joins,
//! subqueries, WITH, windows, groups, set operations ([`query`], [`window`]) and writes ([`mod@write`]), of expressions of all
//! types ([`generator`], [`template`]), by the simple and the extended protocol, with parameters or without. Everything that
//! comes back is compared: rows, their order where the statement decides it, names, types, the tag, the SQLSTATE; after a
//! write the whole table. A statement is a tree ([`tree`]), so that one that fails is made smaller as long as it still fails. What
//! dataman refuses (`0A000`) is counted by reason, not compared.
//!
//! Statements are made so that PostgreSQL's answer is decided: LIMIT stands behind an order of all columns, values
//! that are equal but look different are brought to one form before they are grouped, sums of floats are exact.

mod exchange;
mod generator;
mod kind;
mod query;
mod schema;
mod template;
mod tree;
mod window;
mod write;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::oracle::for_postgres;
use crate::raw::RawClient;
use exchange::{Rows, Said, Way, run};
use generator::Generator;
use schema::{TABLES, TYPE, Table};
use tree::Tree;

/// Rows that a table may have after writes before it is filled anew: joins of larger ones take long.
const TABLE_ROWS: std::ops::Range<usize> = 4..45;

/// Attempts to make one statement smaller.
const SHRINK_ATTEMPTS: usize = 500;

/// How many wrong statements of a run are made smaller and reported.
const WRONG_MAX: usize = 25;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements run, by kind.
    pub statements: BTreeMap<&'static str, usize>,
    /// Of those refused by dataman and taken by PostgreSQL, by kind.
    pub refused: BTreeMap<&'static str, usize>,
    /// How often each reason of a refusal was given, with a statement.
    pub reasons: BTreeMap<String, (usize, String)>,
    /// Statements that both failed, by PostgreSQL's SQLSTATE, with a statement.
    pub failed: BTreeMap<String, (usize, String)>,
    /// Statements that both failed, with different SQLSTATEs: several errors were possible, and which is met first is open.
    pub open: BTreeMap<String, (usize, String)>,
    /// Statements that took too long on one side.
    pub slow: usize,
    /// Statements on which the two differ, made smaller, with the difference.
    pub wrong: Vec<String>,
}

impl Report {
    /// Adds another run's counts.
    pub fn add(&mut self, other: Self) {
        let sum = |all: &mut BTreeMap<&'static str, usize>,
                   other: BTreeMap<&'static str, usize>| {
            other.into_iter().for_each(|(kind, count)| *all.entry(kind).or_default() += count);
        };
        sum(&mut self.statements, other.statements);
        sum(&mut self.refused, other.refused);
        for (reason, (count, example)) in other.reasons {
            self.reasons.entry(reason).or_insert((0, example)).0 += count;
        }
        for (sqlstate, (count, example)) in other.failed {
            self.failed.entry(sqlstate).or_insert((0, example)).0 += count;
        }
        for (both, (count, example)) in other.open {
            self.open.entry(both).or_insert((0, example)).0 += count;
        }
        self.slow += other.slow;
        self.wrong.extend(other.wrong);
    }

    /// Statements run.
    pub fn count(&self) -> usize {
        self.statements.values().sum()
    }

    /// The counts as a table.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| out.push_str(&(text + "\n"));
        for (kind, count) in &self.statements {
            let refused = self.refused.get(kind).copied().unwrap_or(0);
            let percent = refused * 100 / (*count).max(1);
            line(format!("  {kind}: {count}, refused {refused} ({percent} %)"));
        }
        let states: Vec<String> =
            self.failed.iter().map(|(state, (count, _))| format!("{state} {count}")).collect();
        let failed: usize = self.failed.values().map(|(count, _)| count).sum();
        line(format!("  failed alike: {failed} ({})", states.join(", ")));
        let open: usize = self.open.values().map(|(count, _)| count).sum();
        line(format!("  failed with different errors: {open}, took too long: {}", self.slow));
        out
    }

    /// The reasons of refusals, the most frequent first, and the pairs of different errors.
    pub fn details(&self, examples: bool) -> String {
        let mut out = String::new();
        let mut lists = vec![("refused", &self.reasons), ("different errors", &self.open)];
        if examples {
            lists.push(("failed alike", &self.failed));
        }
        for (title, all) in lists {
            let mut sorted: Vec<_> = all.iter().collect();
            sorted.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
            for (reason, (count, example)) in sorted {
                out.push_str(&format!("  {title} {count}: {reason}\n"));
                if examples {
                    out.push_str(&format!("      {example}\n"));
                }
            }
        }
        out
    }
}

/// Where a run takes place.
#[derive(Debug, Clone)]
pub struct Place {
    /// dataman's port.
    pub dataman: u16,
    /// PostgreSQL's port.
    pub postgres: u16,
    /// The database's name on both.
    pub database: String,
    /// The datastore that some tables are put on.
    pub second_datastore: Option<&'static str>,
    /// Says each statement before it is run.
    pub trace: bool,
}

/// One statement to run.
struct Case {
    kind: &'static str,
    tree: Tree,
    way: Way,
    /// The table that it changes.
    changes: Option<&'static Table>,
}

/// What came of one case.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Refused(String),
    Failed(String),
    Open(String),
    Slow,
    Wrong(Fault, String),
}

/// The manner of a difference: while a statement is made smaller it stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Rows,
    Columns,
    Fails(String),
    Succeeds,
    Gone,
}

/// Both sides.
struct Pair {
    place: Place,
    ours: RawClient,
    theirs: RawClient,
}

/// Makes the tables on both sides, fills them and runs `count` statements.
///
/// # Errors
/// A side cannot be reached, or the tables cannot be made.
pub async fn compare(
    place: &Place,
    seed: u64,
    count: usize,
) -> Result<Report, Box<dyn std::error::Error>> {
    let mut pair = Pair::connect(place.clone()).await?;
    let mut data = StdRng::seed_from_u64(seed);
    pair.both(TYPE).await?;
    for table in TABLES {
        pair.both(&table.definition(place.second_datastore)).await?;
        pair.both(&table.fill(&mut data)).await?;
    }
    let mut generator = Generator::new(seed);
    let mut report = Report::default();
    for number in 0..count {
        let case = generator.case();
        *report.statements.entry(case.kind).or_default() += 1;
        if place.trace {
            eprintln!("{number}: {}", case.tree.sql());
        }
        let before = match case.changes {
            Some(table) => Some(pair.content(table).await?),
            None => None,
        };
        match pair.check(&case).await? {
            Verdict::Right => {}
            Verdict::Refused(reason) => {
                *report.refused.entry(case.kind).or_default() += 1;
                report.reasons.entry(reason).or_insert_with(|| (0, case.tree.sql())).0 += 1;
            }
            Verdict::Failed(sqlstate) => {
                report.failed.entry(sqlstate).or_insert_with(|| (0, case.tree.sql())).0 += 1;
            }
            Verdict::Open(both) => {
                report.open.entry(both).or_insert_with(|| (0, case.tree.sql())).0 += 1;
            }
            Verdict::Slow => report.slow += 1,
            Verdict::Wrong(fault, text) => {
                let shrunk = pair.shrink(&case, before.as_deref(), fault, text).await?;
                report.wrong.push(format!("seed {seed}, statement {number}, {shrunk}"));
                if let (Some(table), Some(before)) = (case.changes, &before) {
                    pair.restore(table, before).await?;
                }
                if report.wrong.len() >= WRONG_MAX {
                    break;
                }
            }
        }
        if let Some(table) = case.changes
            && !TABLE_ROWS.contains(&pair.content(table).await?.len())
        {
            pair.both(&format!("DELETE FROM {}", table.name)).await?;
            pair.both(&table.fill(&mut data)).await?;
        }
    }
    Ok(report)
}

impl Generator {
    fn case(&mut self) -> Case {
        self.begin();
        let way = match self.below(20) {
            0..=7 => Way::Simple,
            8..=11 => Way::Extended { binary: true },
            12..=13 => Way::Extended { binary: false },
            14 => Way::Parameters { declared: false, binary: false },
            15..=16 => Way::Parameters { declared: true, binary: false },
            _ => Way::Parameters { declared: true, binary: true },
        };
        match self.below(100) {
            0..=4 => Case { kind: "raising", tree: self.raising(), way, changes: None },
            5..=26 => {
                let (kind, table, tree) = self.write();
                Case { kind, tree, way, changes: Some(&TABLES[table]) }
            }
            _ => {
                let tree = self.whole_query();
                Case { kind: query_kind(&tree.sql()), tree, way, changes: None }
            }
        }
    }
}

/// What a query is about, for the counts: the rarest of what it has.
fn query_kind(sql: &str) -> &'static str {
    let marks = [
        ("recursive", "WITH RECURSIVE"),
        ("with", "WITH w"),
        ("lateral", "LATERAL"),
        ("window", " OVER ("),
        ("grouping sets", "ROLLUP"),
        ("grouping sets", "CUBE"),
        ("grouping sets", "GROUPING SETS"),
        ("set operation", "UNION"),
        ("set operation", "INTERSECT"),
        ("set operation", "EXCEPT"),
        ("subquery", "(SELECT"),
        ("join", " JOIN "),
        ("grouped", "GROUP BY"),
    ];
    marks.into_iter().find(|(_, mark)| sql.contains(mark)).map_or("select", |(kind, _)| kind)
}

impl Pair {
    async fn connect(place: Place) -> Result<Self, Box<dyn std::error::Error>> {
        let ours = RawClient::connect(place.dataman, &place.database).await?;
        let theirs = RawClient::connect_as(place.postgres, "postgres", &place.database).await?;
        let mut pair = Self { place, ours, theirs };
        pair.both("SET statement_timeout = '8s'").await?;
        Ok(pair)
    }

    /// Runs what has to succeed on both sides.
    async fn both(&mut self, sql: &str) -> Result<(), Box<dyn std::error::Error>> {
        if self.place.trace {
            eprintln!("both: {sql}");
        }
        let ours = run(&mut self.ours, sql, &[], Way::Simple).await;
        let theirs = run(&mut self.theirs, &for_postgres(sql), &[], Way::Simple).await;
        match (ours, theirs) {
            (Said::Rows(_), Said::Rows(_)) => Ok(()),
            (ours, theirs) => Err(format!("{sql}: dataman {ours:?}, PostgreSQL {theirs:?}").into()),
        }
    }

    /// A table's rows, from PostgreSQL.
    async fn content(
        &mut self,
        table: &Table,
    ) -> Result<Vec<Vec<Option<Vec<u8>>>>, Box<dyn std::error::Error>> {
        let sql = format!("SELECT * FROM {}", table.name);
        match run(&mut self.theirs, &sql, &[], Way::Simple).await {
            Said::Rows(rows) => Ok(rows.rows),
            other => Err(format!("{sql}: {other:?}").into()),
        }
    }

    /// Gives a table the rows that it had.
    async fn restore(
        &mut self,
        table: &Table,
        rows: &[Vec<Option<Vec<u8>>>],
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.both(&format!("DELETE FROM {}", table.name)).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let values: Vec<String> = row
                    .iter()
                    .zip(table.columns)
                    .map(|(value, (_, declared, _))| match value {
                        None => "NULL".to_owned(),
                        Some(bytes) => {
                            let text = String::from_utf8_lossy(bytes);
                            format!("{}::{declared}", kind::quoted(&text))
                        }
                    })
                    .collect();
                format!("({})", values.join(", "))
            })
            .collect();
        self.both(&format!("INSERT INTO {} VALUES {}", table.name, rows.join(", "))).await
    }

    async fn check(&mut self, case: &Case) -> Result<Verdict, Box<dyn std::error::Error>> {
        let (sql, parameters) = match case.way {
            Way::Parameters { .. } => case.tree.sql_with_parameters(),
            _ => (case.tree.sql(), Vec::new()),
        };
        let ours = run(&mut self.ours, &sql, &parameters, case.way).await;
        if let Said::Gone(why) = &ours {
            let found = format!("the connection ended: {why}");
            *self = Self::connect(self.place.clone()).await?;
            return Ok(Verdict::Wrong(Fault::Gone, found));
        }
        if let Said::Failed { sqlstate, message } = &ours
            && sqlstate == "0A000"
            && case.changes.is_some()
        {
            // PostgreSQL does not run it either, so that both hold the same rows.
            return Ok(Verdict::Refused(reason(message)));
        }
        let theirs = run(&mut self.theirs, &sql, &parameters, case.way).await;
        if let Some(table) = case.changes
            && let Some(verdict) = meets_a_key(&ours, &theirs, table, &sql)
        {
            let rows = self.content(table).await?;
            self.restore(table, &rows).await?;
            return Ok(verdict);
        }
        let verdict = judge(&ours, &theirs, case);
        let only_we_did = matches!((&ours, theirs.sqlstate()), (Said::Rows(_), Some("0A000")));
        if let (true, Some(table)) = (only_we_did || matches!(verdict, Verdict::Slow), case.changes)
        {
            let rows = self.content(table).await?;
            self.restore(table, &rows).await?;
            return Ok(verdict);
        }
        let Some(table) = case.changes.filter(|_| {
            matches!((&ours, &theirs), (Said::Rows(_), _) | (_, Said::Rows(_)))
                && !matches!(verdict, Verdict::Wrong(..))
        }) else {
            return Ok(verdict);
        };
        let content = format!("SELECT * FROM {}", table.name);
        let ours = run(&mut self.ours, &content, &[], Way::Simple).await;
        let theirs = run(&mut self.theirs, &content, &[], Way::Simple).await;
        let (Said::Rows(ours), Said::Rows(theirs)) = (&ours, &theirs) else {
            return Ok(Verdict::Wrong(Fault::Rows, format!("{content}: {ours:?}, {theirs:?}")));
        };
        Ok(match rows_difference(ours, theirs, None) {
            Some(found) => Verdict::Wrong(Fault::Rows, format!("the table then: {found}")),
            None => verdict,
        })
    }

    /// Makes a wrong statement smaller as long as it is wrong in the same manner.
    async fn shrink(
        &mut self,
        case: &Case,
        before: Option<&[Vec<Option<Vec<u8>>>]>,
        fault: Fault,
        mut found: String,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let mut tree = case.tree.clone();
        let mut way = case.way;
        let mut left = SHRINK_ATTEMPTS;
        'again: loop {
            let mut attempts: Vec<(Tree, Way)> = Vec::new();
            if way != Way::Simple {
                attempts.push((tree.clone(), Way::Simple));
            }
            attempts.extend(tree.smaller().into_iter().map(|tree| (tree, way)));
            for (smaller, by) in attempts {
                if left == 0 {
                    break 'again;
                }
                left -= 1;
                if let (Some(table), Some(before)) = (case.changes, before) {
                    self.restore(table, before).await?;
                }
                let attempt =
                    Case { kind: case.kind, tree: smaller, way: by, changes: case.changes };
                if let Verdict::Wrong(manner, text) = self.check(&attempt).await?
                    && manner == fault
                {
                    (tree, way, found) = (attempt.tree, by, text);
                    continue 'again;
                }
            }
            break;
        }
        let (sql, parameters) = match way {
            Way::Parameters { .. } => tree.sql_with_parameters(),
            _ => (tree.sql(), Vec::new()),
        };
        let values: Vec<&str> =
            parameters.iter().map(|(_, value)| value.as_deref().unwrap_or("NULL")).collect();
        let values = if values.is_empty() { String::new() } else { format!(" with {values:?}") };
        Ok(format!("{way:?}{values}:\n  {sql}\n  {found}"))
    }
}

/// A refusal's reason without the names of one statement.
fn reason(message: &str) -> String {
    let mut out = String::new();
    for (number, piece) in message.split('"').enumerate() {
        let named = number % 2 == 1 && piece.chars().any(|c| c.is_ascii_digit());
        out.push_str(if named { "…" } else { piece });
    }
    out
}

/// One side met a key that another row was about to leave: the order in which rows are changed is open.
fn meets_a_key(ours: &Said, theirs: &Said, table: &Table, sql: &str) -> Option<Verdict> {
    let is_key = |(name, _, _): &(&str, &str, kind::Kind)| {
        sql.contains(&format!(" SET {name} = ")) || sql.contains(&format!(", {name} = "))
    };
    let changes_key = sql.starts_with("UPDATE") && table.columns[..table.key].iter().any(is_key);
    let meets = |one: &Said, other: &Said| {
        one.sqlstate() == Some("23505") && matches!(other, Said::Rows(_))
    };
    (changes_key && (meets(ours, theirs) || meets(theirs, ours)))
        .then(|| Verdict::Open("23505 on one side, of an UPDATE of keys".to_owned()))
}

fn judge(ours: &Said, theirs: &Said, case: &Case) -> Verdict {
    if [ours, theirs].iter().any(|said| said.sqlstate() == Some("57014")) {
        return Verdict::Slow;
    }
    match (ours, theirs) {
        (_, Said::Failed { sqlstate, message }) if ours.sqlstate() == Some(sqlstate) => {
            // Of the random statement itself, or of its rows.
            let words: String = message.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            let detail = if sqlstate.starts_with("42") { words } else { String::new() };
            Verdict::Failed(format!("{sqlstate} {detail}").trim_end().to_owned())
        }
        (Said::Failed { sqlstate, message }, Said::Rows(_)) if sqlstate == "0A000" => {
            Verdict::Refused(reason(message))
        }
        (
            Said::Failed { sqlstate, message },
            Said::Failed { sqlstate: other, message: their_message },
        ) => {
            let text =
                format!("dataman {sqlstate} ({message}), PostgreSQL {other} ({their_message})");
            if sqlstate == "0A000" {
                Verdict::Failed(other.clone())
            } else if case.kind == "raising" {
                Verdict::Wrong(Fault::Fails(sqlstate.clone()), text)
            } else {
                Verdict::Open(format!(
                    "{sqlstate} for {other}: {} for {}",
                    reason(message),
                    reason(their_message)
                ))
            }
        }
        (Said::Failed { sqlstate, message }, Said::Rows(rows)) => Verdict::Wrong(
            Fault::Fails(sqlstate.clone()),
            format!(
                "dataman failed with {sqlstate} ({message}), PostgreSQL gave {} rows",
                rows.rows.len()
            ),
        ),
        // What PostgreSQL only cannot plan, or compare in a row, dataman may.
        (Said::Rows(_), Said::Failed { sqlstate, message })
            if sqlstate == "0A000" || message.ends_with("comparison function for type unknown") =>
        {
            Verdict::Failed(sqlstate.clone())
        }
        (Said::Rows(rows), Said::Failed { sqlstate, message }) => Verdict::Wrong(
            Fault::Succeeds,
            format!(
                "dataman gave {} rows, PostgreSQL failed with {sqlstate} ({message})",
                rows.rows.len()
            ),
        ),
        (Said::Rows(ours), Said::Rows(theirs)) => {
            if !same_columns(ours, theirs) {
                let (ours, theirs) = (&ours.columns, &theirs.columns);
                let text = format!("columns: dataman {ours:?}, PostgreSQL {theirs:?}");
                return Verdict::Wrong(Fault::Columns, text);
            }
            match rows_difference(ours, theirs, case.tree.order()) {
                Some(text) => Verdict::Wrong(Fault::Rows, text),
                None => Verdict::Right,
            }
        }
        (_, Said::Gone(why)) | (Said::Gone(why), _) => Verdict::Wrong(Fault::Gone, why.clone()),
    }
}

/// Whether names and types are the same. A type's length may be unknown on one side: what PostgreSQL knows of it depends on
/// how far it has computed the expression beforehand.
fn same_columns(ours: &Rows, theirs: &Rows) -> bool {
    ours.columns.len() == theirs.columns.len()
        && ours.columns.iter().zip(&theirs.columns).all(|(one, other)| {
            let lengths = one.2 == other.2 || one.2 == -1 || other.2 == -1;
            one.0 == other.0 && one.1 == other.1 && lengths
        })
}

/// The difference of rows; `order` as [`tree::Role::Order`] has it, none for any order.
fn rows_difference(ours: &Rows, theirs: &Rows, order: Option<Option<usize>>) -> Option<String> {
    if ours.tag != theirs.tag {
        return Some(format!("tag: dataman {}, PostgreSQL {}", ours.tag, theirs.tag));
    }
    let sorted = |rows: &Rows| {
        let mut rows = rows.rows.clone();
        rows.sort();
        rows
    };
    let (our_rows, their_rows) = (sorted(ours), sorted(theirs));
    if our_rows != their_rows {
        let only = |these: &[Vec<Option<Vec<u8>>>], those: &[Vec<Option<Vec<u8>>>]| {
            let rows: Vec<String> = these
                .iter()
                .filter(|row| !those.contains(row))
                .take(3)
                .map(|row| shown(row))
                .collect();
            rows.join(" ")
        };
        return Some(format!(
            "{} rows; only dataman: {}; only PostgreSQL: {}",
            theirs.rows.len(),
            only(&our_rows, &their_rows),
            only(&their_rows, &our_rows)
        ));
    }
    let by = order?;
    ours.rows.iter().zip(&theirs.rows).enumerate().find_map(|(place, (one, other))| {
        let leading = by.unwrap_or(one.len()).min(one.len());
        (one[..leading] != other[..leading]).then(|| {
            format!("row {}: dataman {}, PostgreSQL {}", place + 1, shown(one), shown(other))
        })
    })
}

fn shown(row: &[Option<Vec<u8>>]) -> String {
    let values: Vec<String> = row
        .iter()
        .map(|value| match value {
            None => "NULL".to_owned(),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
                _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
        })
        .collect();
    format!("({})", values.join(", "))
}
