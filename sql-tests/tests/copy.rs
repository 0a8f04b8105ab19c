//! COPY … FROM STDIN of random data with random options on every topology, compared with a plain PostgreSQL: same rows, same
//! SQLSTATE, message and CONTEXT. And the programs that load by COPY: psql's `\copy`, `pgbench -i`.
//!
//! `DATAMAN_TEST_SEED` and `DATAMAN_TEST_STATEMENTS` choose.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::raw::{Answer, RawClient, frame, query, startup};
use dataman_sql_tests::topology::{Running, Topology};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A column type and values of it.
const TYPES: &[(&str, &[&str])] = &[
    ("int", &["0", "1", "-1", "42", "2147483647", " 7"]),
    ("bigint", &["0", "123456789012", "-5"]),
    ("text", &["", "a", "ab c", "x\ty", "p\\q", "l\nm", "\"", "it's", "äé€", ",|;", "\\."]),
    ("varchar(5)", &["", "abc", "é", "a,b"]),
    ("char(4)", &["", "a", "ab  "]),
    ("numeric(8,2)", &["1.005", "-3", "12345.678", "NaN", "1e3"]),
    ("boolean", &["t", "false", "1"]),
    ("date", &["2020-01-02", "infinity", "Jan 5 2001"]),
    ("timestamptz", &["2020-01-02 03:04:05+02", "epoch"]),
    ("float8", &["1.5", "-0", "NaN", "1e300"]),
    ("bytea", &["\\x00ff", "abc"]),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
];

/// What is no value of most types.
const WRONG: &[&str] = &["x", "", "1.5", "99999999999999999999", "2020-13-40", "tru"];

/// One COPY.
struct Case {
    create: String,
    placement: &'static str,
    copy: String,
    data: Vec<u8>,
}

struct Random(StdRng);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// How a COPY's data is written.
struct Shape {
    csv: bool,
    delimiter: char,
    null: &'static str,
    quote: char,
    escape: char,
    line_end: &'static str,
}

impl Shape {
    fn field(&self, value: Option<&str>, random: &mut Random) -> String {
        let Some(value) = value else { return self.null.to_owned() };
        let mut out = String::new();
        if self.csv {
            let special = [self.delimiter, self.quote, '\n', '\r'];
            if value != self.null && !value.contains(special) && !random.chance(15) {
                return value.to_owned();
            }
            out.push(self.quote);
            for letter in value.chars() {
                if letter == self.quote || letter == self.escape {
                    out.push(self.escape);
                }
                out.push(letter);
            }
            out.push(self.quote);
            return out;
        }
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '\n' if random.chance(80) => out.push_str("\\n"),
                '\n' => out.push_str("\\\n"),
                '\t' if random.chance(50) => out.push_str("\\t"),
                'a' if random.chance(10) => out.push_str("\\141"),
                _ if letter == self.delimiter => {
                    out.push('\\');
                    out.push(letter);
                }
                _ => out.push(letter),
            }
        }
        out
    }
}

fn case(random: &mut Random) -> Case {
    let (key_type, key_values) = TYPES[[0, 1, 2, 3, 4, 5, 7, 11][random.below(8)]];
    let mut columns: Vec<(String, &str, &[&str], &str)> =
        vec![("k".to_owned(), key_type, key_values, " NOT NULL")];
    for number in 0..random.below(4) {
        let (ty, values) = TYPES[random.below(TYPES.len())];
        let not_null = if random.chance(30) { " NOT NULL" } else { "" };
        columns.push((format!("c{number}"), ty, values, not_null));
    }
    let mut read = columns.clone();
    if random.chance(15) {
        columns.push(("d".to_owned(), "int", &["7"], " DEFAULT 5"));
    }
    if random.chance(10) {
        columns.push(("n".to_owned(), "serial", &["7"], ""));
    }
    if key_type == "int" && random.chance(10) {
        let generated = " GENERATED ALWAYS AS (k % 100 + 1) STORED";
        columns.push(("g".to_owned(), "int", &[], generated));
    }
    let list = random.chance(50)
        || columns.len() > read.len() && columns.iter().any(|column| column.1 == "serial");
    if !list {
        read = columns.iter().filter(|column| column.0 != "g").cloned().collect();
    }
    let defined: Vec<String> =
        columns.iter().map(|(name, ty, _, rest)| format!("{name} {ty}{rest}")).collect();
    let check = match key_type {
        "int" | "bigint" if random.chance(30) => ", CONSTRAINT pos CHECK (k > -2)",
        _ => "",
    };
    let placement = random.pick(&[
        " WITH (shard_key = 'k')",
        " WITH (shard_key = 'k')",
        " WITH (placement = 'reference')",
        "",
    ]);
    let mut options = Vec::new();
    let csv = random.chance(50);
    if csv || random.chance(30) {
        options.push(format!("FORMAT {}", if csv { "csv" } else { "text" }));
    }
    let mut shape = Shape {
        csv,
        delimiter: if csv { ',' } else { '\t' },
        null: if csv { "" } else { "\\N" },
        quote: '"',
        escape: '"',
        line_end: random.pick(&["\n", "\n", "\r\n", "\r"]),
    };
    if random.chance(30) {
        shape.delimiter = ['|', ',', ';'][random.below(3)];
        options.push(format!("DELIMITER '{}'", shape.delimiter));
    }
    if random.chance(30) {
        shape.null = random.pick(&["NULL", "nil"]);
        options.push(format!("NULL '{}'", shape.null));
    }
    if csv {
        if random.chance(20) {
            (shape.quote, shape.escape) = ('\'', '\'');
            options.push("QUOTE ''''".to_owned());
        }
        if random.chance(20) {
            shape.escape = '\\';
            options.push("ESCAPE '\\'".to_owned());
        }
        for option in ["FORCE_NOT_NULL", "FORCE_NULL"] {
            if random.chance(20) {
                options.push(format!("{option} ({})", read[random.below(read.len())].0));
            }
        }
    }
    let header = random.chance(25);
    if header {
        options.push(format!("HEADER {}", random.pick(&["true", "match"])));
    }
    let filter = match key_type {
        "int" | "bigint" if random.chance(15) => " WHERE k > 0",
        _ => "",
    };
    let names: Vec<&str> = read.iter().map(|column| column.0.as_str()).collect();
    let list = if list { format!(" ({})", names.join(", ")) } else { String::new() };
    let options = match options.as_slice() {
        [] => String::new(),
        options => format!(" ({})", options.join(", ")),
    };
    let copy = format!("COPY t{list} FROM STDIN{options}{filter}");

    let delimiter = shape.delimiter.to_string();
    let mut lines = Vec::new();
    if header {
        lines.push(names.join(&delimiter));
    }
    let wrong = [0, 0, 0, 2, 10][random.below(5)];
    for _ in 0..[0, 1, 2, 5, 20, 60][random.below(6)] {
        let mut fields = Vec::new();
        for (_, _, values, rest) in &read {
            let value = if random.chance(wrong) {
                Some(random.pick(WRONG))
            } else if rest.is_empty() && random.chance(8) {
                None
            } else {
                Some(random.pick(values))
            };
            fields.push(shape.field(value, random));
        }
        if wrong > 0 && random.chance(3) {
            fields.pop();
        } else if wrong > 0 && random.chance(3) {
            fields.push("1".to_owned());
        }
        lines.push(fields.join(&delimiter));
    }
    let mut data = lines.join(shape.line_end).into_bytes();
    if !lines.is_empty() && random.chance(80) {
        data.extend(shape.line_end.as_bytes());
    }
    if random.chance(8) {
        data.extend(b"\\.");
        data.extend(shape.line_end.as_bytes());
    }
    // Damage. A wrong byte right after a lone return is left out: PostgreSQL counts it to the line before.
    if wrong > 0 && random.chance(30) && !data.is_empty() && shape.line_end != "\r" {
        let place = random.below(data.len());
        let byte = [b'\n', b'\\', b'"', 0xFF, 0, b',', 0xC3][random.below(7)];
        data[place] = byte;
    }
    Case {
        create: format!("CREATE TABLE t ({}{check})", defined.join(", ")),
        placement,
        copy,
        data,
    }
}

/// What a server says, in words that can be compared.
fn words(answers: &[Answer]) -> Vec<String> {
    answers
        .iter()
        .filter(|answer| answer.kind != b'S')
        .map(|answer| match answer.kind {
            b'E' | b'N' => {
                let fields = ['C', 'M', 'D', 'W', 's', 't', 'c', 'n'];
                let fields: Vec<String> = fields
                    .iter()
                    .map(|field| format!("{field}: {}", answer.field(*field)))
                    .collect();
                fields.join("\n    ")
            }
            kind => format!("{} {:?}", char::from(kind), String::from_utf8_lossy(&answer.body)),
        })
        .collect()
}

async fn ask(client: &mut RawClient, sql: &str) -> Vec<String> {
    client.send(&query(sql)).await.expect("sent");
    words(&client.rest().await.expect("answered").0)
}

/// Runs a COPY with its data cut into messages at random; gives what came back, and the rows that are there then.
async fn run(
    client: &mut RawClient,
    case: &Case,
    random: &mut Random,
) -> (Vec<String>, BTreeSet<(String, usize)>) {
    client.send(&query(&case.copy)).await.expect("sent");
    let mut answers = Vec::new();
    loop {
        let answer = client.answer().await.expect("answered").expect("not closed");
        let kind = answer.kind;
        answers.push(answer);
        match kind {
            b'Z' => break,
            b'G' => {
                let mut rest = case.data.as_slice();
                let mut messages = Vec::new();
                while !rest.is_empty() {
                    let length = [1, 2, 3, 10, 100, 100_000][random.below(6)].min(rest.len());
                    messages.extend(frame(b'd', &rest[..length]));
                    rest = &rest[length..];
                    if random.chance(20) {
                        client.send(&std::mem::take(&mut messages)).await.expect("sent");
                    }
                }
                messages.extend(frame(b'c', b""));
                client.send(&messages).await.expect("sent");
            }
            _ => {}
        }
    }
    client.send(&query("SELECT * FROM t")).await.expect("sent");
    let mut rows = std::collections::BTreeMap::new();
    while let Some(answer) = client.answer().await.expect("answered") {
        match answer.kind {
            b'Z' => break,
            b'D' => *rows.entry(format!("{:?}", answer.body)).or_insert(0) += 1,
            _ => {}
        }
    }
    (words(&answers), rows.into_iter().collect())
}

async fn random_copies(topology: Topology) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("DATAMAN_TEST_SEED").unwrap_or(1);
    let count = number("DATAMAN_TEST_STATEMENTS").unwrap_or(150);
    let dataman = Running::start(topology, &["copies".to_owned()]).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    oracle.create_database("copies").await.expect("a database");
    let mut ours = RawClient::connect(dataman.port(), "copies").await.expect("dataman answers");
    let mut theirs = RawClient::open(oracle.port()).await.expect("the oracle answers");
    theirs.send(&startup(&[("user", "postgres"), ("database", "copies")])).await.expect("sent");
    theirs.rest().await.expect("the oracle answers");
    let mut failures = Vec::new();
    for seed in seed..seed + count {
        let mut random = Random(StdRng::seed_from_u64(seed));
        let case = case(&mut random);
        for client in [&mut ours, &mut theirs] {
            ask(client, "DROP TABLE IF EXISTS t").await;
        }
        let made = ask(&mut ours, &format!("{}{}", case.create, case.placement)).await;
        assert!(made[0].starts_with('C'), "{}{}: {made:?}", case.create, case.placement);
        ask(&mut theirs, &case.create).await;
        let (found, rows) = run(&mut ours, &case, &mut random).await;
        let (expected, expected_rows) = run(&mut theirs, &case, &mut random).await;
        if found != expected || rows != expected_rows {
            failures.push(format!(
                "seed {seed}: {}{}\n{}\n{:?}\n  expected {}\n  found    {}\n  {} and {} different rows",
                case.create,
                case.placement,
                case.copy,
                String::from_utf8_lossy(&case.data),
                expected.join("\n    "),
                found.join("\n    "),
                expected_rows.difference(&rows).count(),
                rows.difference(&expected_rows).count(),
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{}: {} of {count} differ\n{}\n{}",
        topology.name(),
        failures.len(),
        failures.join("\n"),
        dataman.log()
    );
}

/// Runs a program against dataman; gives what it wrote to its standard output.
fn program(name: &str, arguments: &[&str], port: u16, input: &str) -> String {
    let port = port.to_string();
    let mut child = Command::new(name)
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "dataman"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Tables are loaded and read by the programs that users have.
async fn programs(topology: Topology) {
    let dataman = Running::start(topology, &["bench".to_owned()]).await.expect("dataman starts");
    let port = dataman.port();
    let psql =
        |sql: &str, input: &str| program("psql", &["-XqAt", "bench", "-c", sql], port, input);

    psql("CREATE TABLE t (a int PRIMARY KEY, b text) WITH (shard_key = 'a')", "");
    psql("\\copy t from pstdin (format csv, header)", "a,b\n1,one\n2,\"t\"\"wo\n\"\n3,\n");
    psql("COPY t FROM STDIN", "4\tfour\n5\t\\N\n\\.\n");
    let read = psql("\\copy (select * from t order by a) to pstdout csv", "");
    assert_eq!(read, "1,one\n2,\"t\"\"wo\n\"\n3,\n4,four\n5,\n");

    program("pgbench", &["-i", "-q", "-s", "1", "bench"], port, "");
    let counted = "SELECT count(*), sum(bid), min(aid), max(aid) FROM pgbench_accounts";
    assert_eq!(psql(counted, ""), "100000|100000|1|100000\n");
    program("pgbench", &["-i", "-q", "-I", "gvf", "bench"], port, "");
    assert_eq!(psql(counted, ""), "100000|100000|1|100000\n");
    program("pgbench", &["-n", "-t", "20", "bench"], port, "");
    assert_eq!(psql("SELECT count(*) FROM pgbench_history", ""), "20\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_pg1() {
    random_copies(Topology::Pg1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_pg4() {
    random_copies(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sqlite1() {
    random_copies(Topology::Sqlite1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sqlite4() {
    random_copies(Topology::Sqlite4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_pg4() {
    programs(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_sqlite4() {
    programs(Topology::Sqlite4).await;
}
