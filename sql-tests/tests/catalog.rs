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

/// What psql prints, without the widths of columns: other roles and databases make them wider.
fn psql(port: u16, command: &str) -> Vec<String> {
    let psql = programs().expect("PostgreSQL's programs are there").join("psql");
    let output = Command::new(psql)
        .args(["-X", "-h", "127.0.0.1", "-U", "dataman", "-d", DATABASE, "-p"])
        .arg(port.to_string())
        .args(["-c", command])
        .env("PGCLIENTENCODING", "UTF8")
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
