//! Answers of any size pass through in bounded memory, at the reader's pace.
//!
//! `DATAMAN_TEST_LONG` makes it ten million rows.

use std::time::Duration;

use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::raw::{RawClient, extended, frame, query};
use dataman_sql_tests::topology::{Launch, Running, Topology, cluster_file, postgres_shards};

use crate::setup::{DATABASE, connect, until};

/// How much the program's memory may grow while an answer of any size passes through it: buffers of 64 KiB for each shard
/// and client, and what the allocator keeps. The answers are ten times as large, or a thousand times.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// How many rows are read.
fn rows() -> usize {
    if std::env::var_os("DATAMAN_TEST_LONG").is_some() { 10_000_000 } else { 300_000 }
}

/// How many rows of PostgreSQL shards are made with one statement, in one shard.
const LOAD_ROWS: usize = 1_000_000;

/// How many rows one COPY brings.
const COPY_ROWS: usize = 100_000;

/// A text of a hundred letters in each row.
const PAD: &str = "repeat('x', 100)";

/// A dataman with `t`, filled. PostgreSQL shards are filled behind its back: which row is where does not matter here.
async fn filled(topology: Topology) -> Running {
    let databases = [DATABASE.to_owned()];
    let urls = match topology {
        Topology::Pg4 => postgres_shards(4).await.expect("databases for the shards"),
        _ => Vec::new(),
    };
    let datasources: Vec<(&str, String)> = match topology {
        Topology::Pg4 => urls.iter().map(|url| ("postgres", url.clone())).collect(),
        _ => (0..4).map(|shard| ("sqlite", format!("{{folder}}/shard{shard}"))).collect(),
    };
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
    let dataman = Running::launch(launch).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, pad text) WITH (shard_key = 'id')")
        .await
        .expect("a table");
    if urls.is_empty() {
        copy_rows(&dataman).await;
        return dataman;
    }
    for (shard, url) in urls.iter().enumerate() {
        let name = url.rsplit_once('/').expect("a URL").1;
        let server = Postgres::shared().connect(name).await.expect("the server answers");
        for first in (0..rows() / 4).step_by(LOAD_ROWS) {
            let last = (first + LOAD_ROWS).min(rows() / 4) - 1;
            let insert = format!(
                "INSERT INTO dbshard_{DATABASE}_{shard}.t \
                 SELECT 4 * g + {shard}, {PAD} FROM generate_series({first}, {last}) AS g"
            );
            server.batch_execute(&insert).await.expect("rows");
        }
    }
    dataman
}

/// Fills `t` through dataman.
async fn copy_rows(dataman: &Running) {
    let mut client = RawClient::connect(dataman.port(), DATABASE).await.expect("answers");
    let pad = "x".repeat(100);
    for first in (0..rows()).step_by(COPY_ROWS) {
        client.send(&query("COPY t FROM STDIN")).await.expect("sent");
        let answer = client.answer().await.expect("an answer").expect("it is there");
        assert_eq!(answer.kind, b'G', "{}", answer.field('M'));
        for some in (first..first + COPY_ROWS).collect::<Vec<_>>().chunks(500) {
            let lines: String = some.iter().map(|id| format!("{id}\t{pad}\n")).collect();
            client.send(&frame(b'd', lines.as_bytes())).await.expect("sent");
        }
        client.send(&frame(b'c', b"")).await.expect("sent");
        let (answers, _) = client.rest().await.expect("answers");
        assert_eq!(answers[0].kind, b'C', "{}", answers[0].field('M'));
    }
}

/// A number of `/proc/PID/status`, in bytes.
fn memory(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = text.lines().find(|line| line.starts_with(name)).expect("the line is there");
    let number = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    number.expect("a number of KiB") * 1024
}

/// Lets the peak begin anew.
fn forget_peak(process: u32) {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").expect("the peak can be reset");
}

/// The processor time that a process has used, in ticks.
fn processor_time(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
}

/// Waits until the process does nothing any more.
async fn until_idle(process: u32) {
    until("the process stands still", async || {
        let before = processor_time(process);
        tokio::time::sleep(Duration::from_millis(700)).await;
        processor_time(process) == before
    })
    .await;
}

fn check_growth(process: u32, before: u64, what: &str) {
    let peak = memory(process, "VmHWM");
    let growth = peak.saturating_sub(before);
    eprintln!("{what}: peak {} MiB, {} MiB more than before", peak >> 20, growth >> 20);
    assert!(growth < GROWTH_BYTES_MAX, "{what}: {growth} bytes more than before");
}

async fn streams(topology: Topology) {
    let dataman = filled(topology).await;
    let process = dataman.process_id();
    let name = topology.name();
    // One small answer first, so that what is made once is there.
    let session = connect(&dataman).await;
    session.simple_query("SELECT * FROM t WHERE id < 100 ORDER BY id").await.expect("rows");

    for (sql, bytes) in [
        ("SELECT * FROM t", query("SELECT * FROM t")),
        ("SELECT * FROM t ORDER BY id", extended("SELECT * FROM t ORDER BY id")),
    ] {
        forget_peak(process);
        let before = memory(process, "VmRSS");
        let mut client = RawClient::connect(dataman.port(), DATABASE).await.expect("answers");
        client.send(&bytes).await.expect("sent");
        let (answers, rows_read) = client.rest().await.expect("answers");
        let kinds: String = answers.iter().map(|answer| char::from(answer.kind)).collect();
        assert!(kinds.ends_with("CZ"), "{kinds}");
        assert_eq!(rows_read, rows(), "{sql}");
        check_growth(process, before, &format!("{name}: {sql}, {} rows", rows()));
    }

    // A client that stops reading stops the shards: the program stands still, with no more than its buffers full.
    let large = "SELECT id, repeat(pad, 10) FROM t WHERE id < 300000";
    for bytes in [query(large), extended(large)] {
        forget_peak(process);
        let before = memory(process, "VmRSS");
        let mut client = RawClient::connect(dataman.port(), DATABASE).await.expect("answers");
        client.send(&bytes).await.expect("sent");
        while client.answer().await.expect("an answer").expect("rows come").kind != b'D' {}
        until_idle(process).await;
        check_growth(process, before, &format!("{name}: a client that stopped reading"));
        if topology == Topology::Pg4 {
            let waiting = waiting_for_the_reader().await;
            assert_eq!(waiting, 4, "every shard waits for its reader");
        }
        // It goes on where it was, to the last row.
        let (answers, rows_read) = client.rest().await.expect("answers");
        assert_eq!(rows_read + 1, 300_000);
        assert_eq!(answers.last().map(|answer| answer.kind), Some(b'Z'));
    }
    if topology == Topology::Pg4 {
        assert_eq!(waiting_for_the_reader().await, 0, "all is read");
    }
}

/// How many statements on the shards wait until somebody reads their rows.
async fn waiting_for_the_reader() -> i64 {
    let server = Postgres::shared().connect("postgres").await.expect("the server answers");
    let text = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
    server.query_one(text, &[]).await.expect("the server answers").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn pg4() {
    streams(Topology::Pg4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite4() {
    streams(Topology::Sqlite4).await;
}
