//! psql's backslash commands and the questions of drivers, asked of dataman and of a plain PostgreSQL that holds the same schema.

use std::path::Path;
use std::process::Command;

use dataman_sql_tests::engine::{Postgres, Session, programs};
use dataman_sql_tests::topology::{Running, Topology};

const DATABASE: &str = "shop";

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    std::fs::read_to_string(folder.join(name)).expect("the file is there")
}

/// What psql prints, without the widths of columns: other roles and databases make them wider. `@role/database/options ` before a
/// command says as whom and how to connect.
fn psql(port: u16, command: &str) -> Vec<String> {
    let psql = programs().expect("PostgreSQL's programs are there").join("psql");
    let (start, command) = match command.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((start, command)) => (start, command),
        None => ("dataman/shop/", command),
    };
    let [user, database, options] = start.split('/').collect::<Vec<_>>()[..] else {
        panic!("{start} is no role, database and options");
    };
    let output = Command::new(psql)
        .args(["-X", "-h", "127.0.0.1", "-U", user, "-d", database, "-p"])
        .arg(port.to_string())
        .args(["-c", command])
        .env("PGCLIENTENCODING", "UTF8")
        .env("PGOPTIONS", options)
        .output()
        .expect("psql runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    // The plain server's own superuser and databases are not dataman's; its superuser owns what the server made for itself.
    let is_ours = |line: &&str| {
        let first = line.split('|').next().unwrap_or_default().trim();
        let is_list = command == "\\l" && (first.ends_with(" rows)") || first == "(1 row)");
        let is_right_on_list = command == "\\l" && first.is_empty() && line.contains('=');
        !is_list
            && !is_right_on_list
            && !matches!(first, "postgres" | "template0" | "template1" | "dataman")
    };
    text.lines().filter(is_ours).map(|line| plain(&line.replace("postgres", "dataman"))).collect()
}

/// A line with its runs of spaces and dashes made one.
fn plain(line: &str) -> String {
    let mut out = String::new();
    for letter in line.trim().chars() {
        if !(matches!(letter, ' ' | '-') && out.ends_with(letter)) {
            out.push(letter);
        }
    }
    out
}

/// Both with the schema; the oracle's is made by a role of dataman's name.
async fn both(topology: Topology) -> (Running, Postgres) {
    let dataman = Running::start(topology, &[DATABASE.to_owned()]).await.expect("dataman starts");
    let oracle = Postgres::start().expect("the oracle starts");
    let server = Session::connect(&oracle.dsn()).await.expect("the oracle answers");
    for statement in [
        "CREATE ROLE dataman SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN",
        "CREATE DATABASE shop OWNER dataman",
    ] {
        server.batch_execute(statement).await.expect("the oracle obeys");
    }
    for port in [dataman.port(), oracle.port()] {
        let dsn = format!("host=127.0.0.1 port={port} user=dataman dbname={DATABASE}");
        let session = Session::connect(&dsn).await.expect("it answers");
        for statement in read("schema.sql").split(";\n").map(str::trim) {
            if let Err(error) = session.batch_execute(statement).await {
                panic!("{statement}: {error:?}");
            }
        }
    }
    (dataman, oracle)
}

/// Every line of a file, one command or query each, gives the same on both.
async fn same(topology: Topology, file: &str) {
    let (dataman, oracle) = both(topology).await;
    let mut wrong = Vec::new();
    let text = read(file);
    let commands = text.lines().filter(|line| !line.is_empty() && !line.starts_with("--"));
    for command in commands {
        let (ours, theirs) = (psql(dataman.port(), command), psql(oracle.port(), command));
        if ours != theirs {
            let missing: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).collect();
            let surplus: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
            wrong.push(format!("{command}\n  PostgreSQL: {missing:#?}\n  dataman: {surplus:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn backslash_commands_over_sqlite() {
    same(Topology::Sqlite4, "psql.txt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backslash_commands_over_postgres() {
    same(Topology::Pg1, "psql.txt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_and_drivers() {
    same(Topology::Sqlite1, "queries.txt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sessions_begin_with() {
    same(Topology::Sqlite1, "defaults.txt").await;
}

/// What sessions do and did, over one shard and over all.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_statements() {
    let databases = [DATABASE.to_owned()];
    let dataman = Running::start(Topology::Sqlite4, &databases).await.expect("dataman starts");
    let dsn = dataman.dsn_of(DATABASE);
    let ann = Session::connect(&format!("{dsn} application_name=ann")).await.expect("it answers");
    for statement in [
        "CREATE TABLE t (k int PRIMARY KEY, n int) WITH (shard_key = 'k')",
        "INSERT INTO t SELECT g, g % 7 FROM generate_series(1, 100) AS g",
        "SELECT n FROM t WHERE k = 5",
        "SELECT n, count(*) FROM t GROUP BY n",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.k = b.n",
        "SELECT 1",
    ] {
        ann.simple_query(statement).await.expect("it is taken");
    }
    let prepared = ann.prepare("SELECT n FROM t WHERE k = $1").await.expect("it is taken");
    for _ in 0..2 {
        ann.query(&prepared, &[&7]).await.expect("it is there");
    }
    for _ in 0..2 {
        ann.simple_query("LOCK TABLE t").await.expect_err("it is refused");
    }
    ann.batch_execute("BEGIN").await.expect("it is taken");

    let bob = Session::connect(&format!("{dsn} application_name=bob")).await.expect("it answers");
    let rows = |sql: &'static str| {
        let bob = &bob;
        async move {
            let said = bob.simple_query(sql).await.expect("it is taken");
            let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    let field = |place| row.get(place).unwrap_or("NULL").to_owned();
                    Some((0..row.len()).map(field).collect::<Vec<_>>().join("|"))
                }
                _ => None,
            };
            said.iter().filter_map(row).collect::<Vec<_>>()
        }
    };
    let statements = rows(
        "SELECT statement, route, shards, rows FROM dataman.statements
         WHERE NOT running AND statement LIKE 'SELECT%' ORDER BY started, statement",
    );
    assert_eq!(
        statements.await,
        [
            "SELECT n FROM t WHERE k = 5|route|1|1",
            "SELECT n, count(*) FROM t GROUP BY n|scatter|4|7",
            "SELECT count(*) FROM t AS a JOIN t AS b ON a.k = b.n|federate|4|1",
            "SELECT 1|proxy|0|1",
            "SELECT n FROM t WHERE k = $1|route|1|1",
            "SELECT n FROM t WHERE k = $1|route|1|1",
        ]
    );
    let refusals = rows("SELECT reason, count, example FROM dataman.refusals");
    assert_eq!(refusals.await, ["LOCK is not supported|2|LOCK TABLE t"]);
    let sessions = rows(
        "SELECT application_name, state, statement IS NULL FROM dataman.sessions ORDER BY started",
    );
    assert_eq!(sessions.await, ["ann|idle in transaction|f", "bob|active|f"]);
    let activity = rows(
        "SELECT datname, usename, application_name, client_addr, state, xact_start IS NULL, query = ''
         FROM pg_stat_activity ORDER BY backend_start",
    );
    assert_eq!(
        activity.await,
        [
            "shop|dataman|ann|127.0.0.1|idle in transaction|f|f",
            "shop|dataman|bob|127.0.0.1|active|f|f",
        ]
    );

    // A statement of another session is cancelled, then the session ended.
    let long = ann.simple_query("SELECT count(*) FROM generate_series(1, 10000000000)");
    let cancel = async {
        loop {
            let cancelled = rows(
                "SELECT pg_cancel_backend(pid) FROM dataman.sessions
                 WHERE application_name = 'ann' AND state = 'active'",
            );
            if !cancelled.await.is_empty() {
                return;
            }
        }
    };
    let (failed, ()) = tokio::join!(long, cancel);
    let failed = failed.expect_err("it was cancelled");
    assert_eq!(failed.code().map(|code| code.code()), Some("57014"));
    let ended = rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ann'",
    );
    assert_eq!(ended.await, ["t"]);
    while rows("SELECT 1 FROM dataman.sessions").await.len() > 1 {}
    ann.simple_query("SELECT 1").await.expect_err("the session has ended");
}
