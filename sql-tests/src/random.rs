//! Random statements over random data: dataman and PostgreSQL must agree on each.
//!
//! A statement is kept in parts, so that one that fails is shrunk by leaving parts out as long as it still fails. What
//! dataman refuses (`0A000`) is counted by kind, not compared.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::{Outcome, Protocol, run};
use crate::engine::Session;
use crate::oracle::{Order, difference, for_postgres};

/// The tables that the statements are about: two sharded alike, one by another key, a reference one, a single one.
const TABLES: &[&str] = &[
    "CREATE TABLE a (k int NOT NULL, id int NOT NULL, n numeric, s text, b boolean, f float8, d int8, PRIMARY KEY (k, id)) WITH (shard_key = 'k')",
    "CREATE TABLE c (k int NOT NULL, id int NOT NULL, n numeric(10,3), s varchar(8), m smallint, PRIMARY KEY (k, id)) WITH (shard_key = 'k')",
    "CREATE TABLE o (s text NOT NULL PRIMARY KEY, k int, n numeric) WITH (shard_key = 's')",
    "CREATE TABLE r (k int PRIMARY KEY, s text, n numeric) WITH (placement = 'reference')",
    "CREATE TABLE g (k int PRIMARY KEY, s char(4), n int8)",
];

/// Each table's columns by family.
struct Columns {
    name: &'static str,
    ints: &'static [&'static str],
    numbers: &'static [&'static str],
    texts: &'static [&'static str],
    bools: &'static [&'static str],
}

const COLUMNS: &[Columns] = &[
    Columns { name: "a", ints: &["k", "id", "d"], numbers: &["n"], texts: &["s"], bools: &["b"] },
    Columns { name: "c", ints: &["k", "id", "m"], numbers: &["n"], texts: &["s"], bools: &[] },
    Columns { name: "o", ints: &["k"], numbers: &["n"], texts: &["s"], bools: &[] },
    Columns { name: "r", ints: &["k"], numbers: &["n"], texts: &["s"], bools: &[] },
    Columns { name: "g", ints: &["k", "n"], numbers: &["n"], texts: &["s"], bools: &[] },
];

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements run, by kind.
    pub statements: BTreeMap<&'static str, usize>,
    /// Of those refused by dataman, by kind.
    pub refused: BTreeMap<&'static str, usize>,
    /// Of those that both failed, alike.
    pub failed_alike: usize,
    /// Statements on which the two differ, shrunk, with the difference.
    pub wrong: Vec<String>,
}

/// A statement in parts: each part is a list of texts that shrinking may shorten.
#[derive(Debug, Clone)]
struct Statement {
    kind: &'static str,
    /// Text around the parts.
    frame: Frame,
    conditions: Vec<String>,
    items: Vec<String>,
    group: Vec<String>,
    having: Vec<String>,
    order: Vec<String>,
    tail: Vec<String>,
    /// The order of the rows is decided by the statement.
    ordered: bool,
}

#[derive(Debug, Clone)]
enum Frame {
    Select { distinct: bool, from: String },
    Update { table: String },
    Delete { table: String },
    Insert { text: String, rows: Vec<String>, conflict: String },
    Union { operator: &'static str, left: String, right: String },
}

impl Statement {
    fn text(&self) -> String {
        let list = |parts: &[String], word: &str, glue: &str| {
            if parts.is_empty() { String::new() } else { format!(" {word} {}", parts.join(glue)) }
        };
        let filter = list(&self.conditions, "WHERE", " AND ");
        let tail = self.tail.iter().map(|part| format!(" {part}")).collect::<String>();
        match &self.frame {
            Frame::Select { distinct, from } => format!(
                "SELECT {}{} FROM {from}{filter}{}{}{}{tail}",
                if *distinct { "DISTINCT " } else { "" },
                self.items.join(", "),
                list(&self.group, "GROUP BY", ", "),
                list(&self.having, "HAVING", " AND "),
                list(&self.order, "ORDER BY", ", "),
            ),
            Frame::Update { table } => {
                format!("UPDATE {table} SET {}{filter}{tail}", self.items.join(", "))
            }
            Frame::Delete { table } => format!("DELETE FROM {table}{filter}{tail}"),
            Frame::Insert { text, rows, conflict } => {
                format!("{text} VALUES {}{conflict}{tail}", rows.join(", "))
            }
            Frame::Union { operator, left, right } => {
                format!("{left} {operator} {right}{}{tail}", list(&self.order, "ORDER BY", ", "))
            }
        }
    }

    fn order(&self) -> Order {
        if self.ordered { Order::AsIs } else { Order::Any }
    }

    fn is_write(&self) -> bool {
        !matches!(self.frame, Frame::Select { .. } | Frame::Union { .. })
    }

    /// The same statement with one part less, in every way.
    fn smaller(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut copy = self.clone();
            change(&mut copy);
            found.push(copy);
        };
        for place in 0..self.conditions.len() {
            without(&|copy| drop(copy.conditions.remove(place)));
        }
        for place in 0..self.items.len() {
            if self.items.len() > 1 && self.order.is_empty() {
                without(&|copy| drop(copy.items.remove(place)));
            }
        }
        for place in 0..self.having.len() {
            without(&|copy| drop(copy.having.remove(place)));
        }
        if !self.order.is_empty() && self.tail.is_empty() {
            without(&|copy| {
                copy.order.clear();
                copy.ordered = false;
            });
        }
        for place in 0..self.tail.len() {
            without(&|copy| drop(copy.tail.remove(place)));
        }
        found
    }
}

/// Makes statements.
struct Generator {
    rng: StdRng,
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    fn int(&mut self) -> String {
        match self.below(12) {
            0 => "NULL".to_owned(),
            // Nothing overflows: which rows an error is met on first is not decided by the statement.
            1 => "100000".to_owned(),
            2 => "-1".to_owned(),
            _ => self.rng.random_range(0..12).to_string(),
        }
    }

    fn number(&mut self) -> String {
        match self.below(10) {
            0 => "NULL".to_owned(),
            1 => "0".to_owned(),
            2 => format!("{}.50", self.rng.random_range(-3..9)),
            3 => "1e3".to_owned(),
            _ => format!("{}.{}", self.rng.random_range(-20..90), self.rng.random_range(0..100)),
        }
    }

    fn string(&mut self) -> String {
        self.pick(&[
            "NULL", "''", "'a'", "'b'", "'ab'", "'A'", "'a '", "'é'", "'zz'", "'a%'", "'10'",
            "'x''y'",
        ])
        .to_owned()
    }

    fn column(
        &mut self,
        tables: &[&'static Columns],
        family: fn(&Columns) -> &'static [&'static str],
    ) -> Option<String> {
        let able: Vec<&&Columns> =
            tables.iter().filter(|table| !family(table).is_empty()).collect();
        if able.is_empty() {
            return None;
        }
        let table = able[self.below(able.len())];
        let names = family(table);
        Some(format!("{}.{}", table.name, names[self.below(names.len())]))
    }

    fn int_expr(&mut self, tables: &[&'static Columns], depth: usize) -> String {
        let column = self.column(tables, |table| table.ints).unwrap_or_else(|| "1".to_owned());
        if depth == 0 {
            return if self.chance(75) { column } else { self.rng.random_range(0..9).to_string() };
        }
        match self.below(9) {
            0 => format!("({} + {})", self.int_expr(tables, depth - 1), self.int_expr(tables, 0)),
            1 => format!("({} - {})", self.int_expr(tables, depth - 1), self.int_expr(tables, 0)),
            2 => format!("({} % 3)", self.int_expr(tables, depth - 1)),
            3 => format!("coalesce({column}, {})", self.rng.random_range(0..5)),
            4 => format!("abs({})", self.int_expr(tables, depth - 1)),
            5 => format!("length({})", self.text_expr(tables, depth - 1)),
            6 => format!("({} / 2)", self.int_expr(tables, depth - 1)),
            _ => column,
        }
    }

    fn number_expr(&mut self, tables: &[&'static Columns], depth: usize) -> String {
        let column = self.column(tables, |table| table.numbers).unwrap_or_else(|| "1.5".to_owned());
        if depth == 0 {
            return column;
        }
        match self.below(7) {
            0 => format!("({column} + {})", self.int_expr(tables, 0)),
            1 => format!("({column} * 1.5)"),
            2 => format!("round({column}, 1)"),
            3 => format!("coalesce({column}, 0)"),
            4 => format!("nullif({column}, 0.50)"),
            5 => format!("greatest({column}, 2)"),
            _ => column,
        }
    }

    fn text_expr(&mut self, tables: &[&'static Columns], depth: usize) -> String {
        let column = self.column(tables, |table| table.texts).unwrap_or_else(|| "'q'".to_owned());
        if depth == 0 {
            return column;
        }
        match self.below(8) {
            0 => format!("upper({column})"),
            1 => format!("({column} || '-')"),
            2 => format!("substr({column}, 1, 1)"),
            3 => format!("coalesce({column}, 'none')"),
            4 => format!("replace({column}, 'a', 'q')"),
            5 => format!("{}::text", self.int_expr(tables, 0)),
            6 => format!("CASE WHEN {} THEN 'yes' ELSE {column} END", self.condition(tables, 0)),
            _ => column,
        }
    }

    fn any_expr(&mut self, tables: &[&'static Columns], depth: usize) -> String {
        match self.below(3) {
            0 => self.int_expr(tables, depth),
            1 => self.number_expr(tables, depth),
            _ => self.text_expr(tables, depth),
        }
    }

    /// An expression to group by or make distinct: of values that are equal and look different (`0` and `0.0`) either may stand
    /// for the group, so numbers lose their trailing zeros.
    fn key_expr(&mut self, tables: &[&'static Columns]) -> String {
        match self.below(3) {
            0 => self.int_expr(tables, 1),
            1 => format!("trim_scale({})", self.number_expr(tables, 1)),
            _ => format!("rtrim({})", self.text_expr(tables, 1)),
        }
    }

    fn condition(&mut self, tables: &[&'static Columns], depth: usize) -> String {
        let operator = self.pick(&["=", "<>", "<", "<=", ">", ">="]).to_owned();
        match self.below(13) {
            0 => format!("{} {operator} {}", self.int_expr(tables, depth), self.int()),
            1 => format!("{} {operator} {}", self.number_expr(tables, depth), self.number()),
            2 => format!("{} {operator} {}", self.text_expr(tables, depth), self.string()),
            3 => format!(
                "{} IN ({}, {}, {})",
                self.int_expr(tables, 0),
                self.int(),
                self.int(),
                self.int()
            ),
            4 => format!(
                "{} IS {}NULL",
                self.any_expr(tables, 0),
                if self.chance(50) { "NOT " } else { "" }
            ),
            5 => format!(
                "{} LIKE {}",
                self.text_expr(tables, 0),
                self.pick(&["'a%'", "'%b'", "'_'", "'%'"])
            ),
            6 if depth > 0 => {
                format!(
                    "({} OR {})",
                    self.condition(tables, depth - 1),
                    self.condition(tables, depth - 1)
                )
            }
            7 if depth > 0 => format!("NOT ({})", self.condition(tables, depth - 1)),
            8 => format!("{} BETWEEN 1 AND {}", self.int_expr(tables, 0), self.int()),
            9 => self.column(tables, |table| table.bools).unwrap_or_else(|| "true".to_owned()),
            10 => format!("{} IS DISTINCT FROM {}", self.number_expr(tables, 0), self.number()),
            _ => {
                let table = tables[self.below(tables.len())];
                match table.name {
                    "o" => format!("o.s = {}", self.string()),
                    name => format!("{name}.k = {}", self.rng.random_range(0..8)),
                }
            }
        }
    }

    fn conditions(&mut self, tables: &[&'static Columns], most: usize) -> Vec<String> {
        (0..self.below(most + 1)).map(|_| self.condition(tables, 1)).collect()
    }

    fn aggregate(&mut self, tables: &[&'static Columns]) -> String {
        let int = self.int_expr(tables, 1);
        let number = self.number_expr(tables, 1);
        let text = self.text_expr(tables, 1);
        let call = match self.below(12) {
            0 => "count(*)".to_owned(),
            1 => format!("count({text})"),
            2 => format!("sum({int})"),
            3 => format!("sum({number})"),
            4 => format!("avg({int})"),
            5 => format!("avg({number})"),
            6 => format!("min({text})"),
            7 => format!("trim_scale(max({number}))"),
            8 => format!("count(DISTINCT {int})"),
            9 => format!("bool_or({int} > 3)"),
            10 => format!("string_agg({text}, ',' ORDER BY {text}, {int})"),
            _ => format!("max({int})"),
        };
        match self.below(6) {
            0 if !call.starts_with("trim") => {
                format!("{call} FILTER (WHERE {})", self.condition(tables, 0))
            }
            1 => format!("coalesce({call}::text, 'none')"),
            _ => call,
        }
    }

    fn from(&mut self) -> (String, Vec<&'static Columns>) {
        let [a, c, o, r, g] = [&COLUMNS[0], &COLUMNS[1], &COLUMNS[2], &COLUMNS[3], &COLUMNS[4]];
        let join = self.pick(&["JOIN", "LEFT JOIN", "JOIN", "RIGHT JOIN", "FULL JOIN"]).to_owned();
        match self.below(12) {
            0..=2 => ("a".to_owned(), vec![a]),
            3 => ("c".to_owned(), vec![c]),
            4 => (format!("a {join} c ON a.k = c.k"), vec![a, c]),
            5 => (format!("a {join} c ON a.k = c.k AND a.id = c.id"), vec![a, c]),
            6 => (format!("a {join} r ON r.k = a.id"), vec![a, r]),
            7 => (format!("a {join} o ON o.s = a.s"), vec![a, o]),
            8 => (format!("g {join} r ON g.k = r.k"), vec![g, r]),
            9 => ("a, r".to_owned(), vec![a, r]),
            10 => ("o".to_owned(), vec![o]),
            _ => {
                let pair = [("r", r), ("g", g)][self.below(2)];
                (pair.0.to_owned(), vec![pair.1])
            }
        }
    }

    /// All columns that make a row's place in the order certain.
    fn total_order(tables: &[&'static Columns]) -> Vec<String> {
        tables
            .iter()
            .flat_map(|table| match table.name {
                "a" | "c" => vec![format!("{}.k", table.name), format!("{}.id", table.name)],
                "o" => vec!["o.s".to_owned()],
                name => vec![format!("{name}.k")],
            })
            .collect()
    }

    fn select(&mut self) -> Statement {
        let (from, tables) = self.from();
        let mut conditions = self.conditions(&tables, 3);
        if self.chance(12) {
            conditions.push(match self.below(4) {
                0 => format!("{} > (SELECT avg(n) FROM c)", self.number_expr(&tables, 0)),
                1 => format!("{} IN (SELECT k FROM r)", self.int_expr(&tables, 0)),
                2 => format!("{} NOT IN (SELECT s FROM o)", self.text_expr(&tables, 0)),
                _ => {
                    let table = tables[0].name;
                    let key = if table == "o" { "o.k".to_owned() } else { format!("{table}.k") };
                    format!("EXISTS (SELECT 1 FROM c x WHERE x.k = {key} AND x.id > 2)")
                }
            });
        }
        let base = Statement {
            kind: if tables.len() > 1 { "join" } else { "select" },
            frame: Frame::Select { distinct: false, from: from.clone() },
            conditions,
            items: Vec::new(),
            group: Vec::new(),
            having: Vec::new(),
            order: Vec::new(),
            tail: Vec::new(),
            ordered: false,
        };
        if self.chance(45) {
            return self.grouped(base, &tables);
        }
        let mut statement = base;
        statement.items = (0..1 + self.below(3)).map(|_| self.any_expr(&tables, 2)).collect();
        if self.chance(15) {
            statement.kind = "distinct";
            statement.frame = Frame::Select { distinct: true, from };
            statement.items = (0..1 + self.below(3)).map(|_| self.key_expr(&tables)).collect();
            if self.chance(50) {
                statement.order =
                    (1..=statement.items.len()).map(|place| place.to_string()).collect();
                statement.ordered = true;
            }
        } else if self.chance(55) {
            let direction =
                self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]).to_owned();
            statement.order = vec![format!("{}{direction}", self.any_expr(&tables, 1))];
            statement.order.extend(Self::total_order(&tables));
            statement.ordered = true;
            self.limit(&mut statement);
        }
        statement
    }

    fn limit(&mut self, statement: &mut Statement) {
        if self.chance(50) {
            statement.tail.push(format!("LIMIT {}", self.below(8)));
        }
        if self.chance(30) {
            statement.tail.push(format!("OFFSET {}", self.below(5)));
        }
    }

    fn grouped(&mut self, mut statement: Statement, tables: &[&'static Columns]) -> Statement {
        statement.kind = if statement.kind == "join" { "join, grouped" } else { "grouped" };
        let keys = self.below(3);
        statement.group = (0..keys).map(|_| self.key_expr(tables)).collect();
        // A key that is a bare number would be a place in the select list.
        statement.group.retain(|key| key.contains('.'));
        statement.items = statement.group.clone();
        for _ in 0..1 + self.below(3) {
            let call = self.aggregate(tables);
            statement.items.push(if self.chance(15) { format!("({call}) IS NULL") } else { call });
        }
        if self.chance(25) {
            statement.having.push(format!("count(*) > {}", self.below(4)));
        }
        if !statement.group.is_empty() && self.chance(60) {
            statement.order = (1..=statement.items.len()).map(|place| place.to_string()).collect();
            statement.ordered = true;
            self.limit(&mut statement);
        }
        statement
    }

    fn union(&mut self) -> Statement {
        let operator = self.pick(&[
            "UNION",
            "UNION ALL",
            "INTERSECT",
            "EXCEPT",
            "INTERSECT ALL",
            "EXCEPT ALL",
        ]);
        let mut side = || {
            let (from, tables) = self.from();
            let conditions = self.conditions(&tables, 1);
            let filter = if conditions.is_empty() {
                String::new()
            } else {
                format!(" WHERE {}", conditions.join(" AND "))
            };
            format!(
                "SELECT {}, rtrim({}) FROM {from}{filter}",
                self.int_expr(&tables, 1),
                self.text_expr(&tables, 1)
            )
        };
        let (left, right) = (side(), side());
        Statement {
            kind: "set operation",
            frame: Frame::Union { operator, left, right },
            conditions: Vec::new(),
            items: Vec::new(),
            group: Vec::new(),
            having: Vec::new(),
            order: if self.chance(50) { vec!["1".to_owned(), "2".to_owned()] } else { Vec::new() },
            tail: Vec::new(),
            ordered: false,
        }
    }

    fn write(&mut self) -> Statement {
        let table = &COLUMNS[self.below(COLUMNS.len())];
        let mut statement = Statement {
            kind: "update",
            frame: Frame::Update { table: table.name.to_owned() },
            conditions: self.conditions(&[table], 2),
            items: Vec::new(),
            group: Vec::new(),
            having: Vec::new(),
            order: Vec::new(),
            tail: Vec::new(),
            ordered: false,
        };
        let key = match table.name {
            "o" => "s",
            _ => "k",
        };
        if self.chance(40) {
            statement.tail.push(format!("RETURNING {}", self.any_expr(&[table], 1)));
        }
        match self.below(10) {
            0..=3 => {
                let value = self.number_expr(&[table], 1);
                statement.items = match table.name {
                    "g" => vec![format!("n = {}", self.int_expr(&[table], 1))],
                    _ => vec![format!("n = {value}")],
                };
                if table.name != "o" && self.chance(50) {
                    statement.items.push(format!("s = {}", self.string()));
                }
            }
            4 => {
                statement.kind = "delete";
                statement.frame = Frame::Delete { table: table.name.to_owned() };
                statement.conditions.push(format!(
                    "{key} = {}",
                    if key == "s" { self.string() } else { self.int() }
                ));
            }
            _ => {
                statement.kind = "insert";
                statement.conditions.clear();
                statement.items.clear();
                let rows = (0..1 + self.below(4))
                    .map(|_| {
                        let (k, id) = (self.rng.random_range(0..8), self.rng.random_range(0..40));
                        match table.name {
                            "a" => format!(
                                "({k}, {id}, {}, {}, {}, {}.5, {})",
                                self.number(),
                                self.string(),
                                self.pick(&["true", "false", "NULL"]),
                                self.rng.random_range(-3..3),
                                self.int()
                            ),
                            "c" => format!(
                                "({k}, {id}, {}, {}, {})",
                                self.number(),
                                self.string(),
                                self.rng.random_range(-9..9)
                            ),
                            "o" => format!(
                                "('{}{}', {}, {})",
                                self.pick(&["a", "b", "zz"]),
                                id,
                                self.int(),
                                self.number()
                            ),
                            "r" => format!("({id}, {}, {})", self.string(), self.number()),
                            _ => format!("({id}, {}, {})", self.string(), self.int()),
                        }
                    })
                    .collect();
                let target = match table.name {
                    "a" | "c" => "(k, id)",
                    "o" => "(s)",
                    _ => "(k)",
                };
                let conflict = match self.below(4) {
                    0 => " ON CONFLICT DO NOTHING".to_owned(),
                    1 if table.name != "g" => {
                        format!(
                            " ON CONFLICT {target} DO UPDATE SET n = coalesce({}.n, 0) + 1",
                            table.name
                        )
                    }
                    _ => String::new(),
                };
                statement.frame =
                    Frame::Insert { text: format!("INSERT INTO {}", table.name), rows, conflict };
            }
        }
        statement
    }

    fn statement(&mut self) -> Statement {
        match self.below(100) {
            0..=59 => self.select(),
            60..=69 => self.union(),
            _ => self.write(),
        }
    }
}

/// Makes the tables on both sides, fills them and runs `count` statements.
///
/// # Errors
/// A side cannot be reached, or the tables cannot be made.
pub async fn compare(
    dataman: &Session,
    postgres: &Session,
    seed: u64,
    count: usize,
) -> Result<Report, Box<dyn std::error::Error>> {
    let mut generator = Generator { rng: StdRng::seed_from_u64(seed) };
    for table in TABLES {
        let ours = run(dataman, table, Protocol::Simple).await;
        let theirs = run(postgres, &for_postgres(table), Protocol::Simple).await;
        if let Some(difference) = difference(&ours, &theirs, Order::AsIs) {
            return Err(format!("{table}: {difference}").into());
        }
    }
    let mut report = Report::default();
    for number in 0..count {
        // The tables are filled first.
        let statement = if number < 60 { generator.write() } else { generator.statement() };
        let protocol = if generator.chance(50) { Protocol::Simple } else { Protocol::Extended };
        *report.statements.entry(statement.kind).or_default() += 1;
        let found = check(dataman, postgres, &statement, protocol, &mut report).await;
        if let Some(difference) = found {
            let (statement, difference) = if statement.is_write() {
                (statement, difference)
            } else {
                shrink(dataman, postgres, statement, difference, protocol).await
            };
            report.wrong.push(format!(
                "seed {seed}, statement {number}: {}\n  {difference}",
                statement.text()
            ));
            if report.wrong.len() >= 20 || statement.is_write() {
                // After a write that went wrong the two no longer hold the same rows.
                break;
            }
        }
    }
    Ok(report)
}

async fn check(
    dataman: &Session,
    postgres: &Session,
    statement: &Statement,
    protocol: Protocol,
    report: &mut Report,
) -> Option<String> {
    let text = statement.text();
    // PostgreSQL runs a write only when dataman has not refused it, so that both hold the same rows.
    let ours = run(dataman, &text, protocol).await;
    if ours.is_refusal() {
        *report.refused.entry(statement.kind).or_default() += 1;
        return None;
    }
    let theirs = run(postgres, &text, protocol).await;
    if matches!((&ours, &theirs), (Outcome::Failure { .. }, Outcome::Failure { .. })) {
        report.failed_alike += 1;
    }
    difference(&ours, &theirs, statement.order())
}

async fn shrink(
    dataman: &Session,
    postgres: &Session,
    mut statement: Statement,
    mut found: String,
    protocol: Protocol,
) -> (Statement, String) {
    let mut scratch = Report::default();
    loop {
        let mut progressed = false;
        for smaller in statement.smaller() {
            if let Some(difference) =
                check(dataman, postgres, &smaller, protocol, &mut scratch).await
            {
                statement = smaller;
                found = difference;
                progressed = true;
                break;
            }
        }
        if !progressed {
            return (statement, found);
        }
    }
}
