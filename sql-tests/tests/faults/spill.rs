//! What the statement's memory does not hold goes to temporary files, and the answer stays the same.

use std::path::Path;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Session;
use dataman_sql_tests::topology::{Launch, Running, cluster_file};

use crate::setup::{DATABASE, connect, fill};

async fn start(folder: &Path) -> Running {
    let databases = [DATABASE.to_owned()];
    let datasources: Vec<(&str, String)> =
        (0..2).map(|shard| ("sqlite", format!("{{folder}}/shard{shard}"))).collect();
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
    let folder = folder.to_str().expect("a name of letters");
    Running::launch(launch.with_arguments(&["--temp-dir", folder])).await.expect("dataman starts")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn set(session: &Session, name: &str, value: &str) {
    session.batch_execute(&format!("SET dataman.{name} = '{value}'")).await.expect("set");
}

/// Statements that hold more than a megabyte of the rows of [`fill`].
const LARGE: [&str; 22] = [
    "SELECT a.id, b.id, b.pad FROM t AS a JOIN t AS b ON a.id = b.id + 1",
    "SELECT a.id, b.id, b.pad FROM t AS a LEFT JOIN t AS b ON a.id = b.id * 2",
    "SELECT a.id, b.id, b.pad FROM t AS a RIGHT JOIN t AS b ON a.id = b.id * 2 AND a.id > 100",
    "SELECT a.id, b.id, b.pad FROM t AS a FULL JOIN t AS b ON a.id = b.id + 1000",
    // One key has nearly all rows.
    "SELECT count(*), sum(a.id + b.id) FROM t AS a JOIN t AS b ON a.id / 2000 = b.id / 2000 AND a.id % 500 = 1",
    "SELECT a.id, b.id FROM t AS a JOIN t AS b ON a.id < b.id - 1490",
    "SELECT a.id, b.id FROM t AS a FULL JOIN t AS b ON a.id > b.id + 1495 AND a.pad <= b.pad",
    "SELECT DISTINCT pad || id FROM t",
    "SELECT pad || id, count(*), max(id) FROM t GROUP BY 1",
    "SELECT pad || id % 700, count(DISTINCT id % 3), string_agg(id::text, ',' ORDER BY id DESC) FROM t GROUP BY 1",
    "SELECT pad || id FROM t EXCEPT SELECT pad || id * 2 FROM t",
    "SELECT pad || id % 1200 FROM t INTERSECT ALL SELECT pad || id % 1000 FROM t",
    "SELECT pad || id FROM t ORDER BY id % 10, id DESC",
    "SELECT id, sum(id) OVER (PARTITION BY id % 2 ORDER BY id), length(pad) FROM t",
    "SELECT a.id, a.pad FROM t AS a WHERE EXISTS (SELECT 1 FROM t AS b WHERE b.id = a.id * 2 AND b.pad >= a.pad)",
    "SELECT a.id, a.pad FROM t AS a WHERE NOT EXISTS (SELECT 1 FROM t AS b WHERE b.id / 3 = a.id AND b.pad = a.pad)",
    "SELECT id FROM t WHERE pad || id NOT IN (SELECT pad || id * 2 FROM t LIMIT 100000)",
    "SELECT id FROM t WHERE pad || id IN (SELECT pad || id * 3 FROM t LIMIT 100000)",
    "SELECT a.id, (SELECT max(b.pad || b.id) FROM t AS b WHERE b.id / 2 = a.id AND b.id % a.id >= 0) FROM t AS a WHERE a.id BETWEEN 1 AND 60",
    "SELECT a.id, CASE WHEN a.id > 5 THEN (SELECT min(b.pad) FROM t AS b WHERE b.pad || b.id = a.pad || a.id) END FROM t AS a WHERE a.id < 60",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY pad || id), percentile_disc('{0,1}'::float8[]) WITHIN GROUP (ORDER BY pad || -id) FROM t",
    "WITH RECURSIVE r (p, n) AS (SELECT pad || id % 40, id FROM t UNION SELECT p || 'y', n / 2 FROM r WHERE n > 700) SELECT p, n FROM r",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("dataman-temp-1-1"), b"of a process that was killed")
        .expect("a file");
    let dataman = start(folder.path()).await;
    assert!(names(folder.path()).is_empty(), "what a crash has left is gone");
    let session = connect(&dataman).await;
    fill(&session, 1500).await;
    for sql in LARGE {
        let mut answers = Vec::new();
        for memory in ["256MB", "1MB"] {
            set(&session, "statement_mem", memory).await;
            let Outcome::Rows(rows) = run(&session, sql, Protocol::Simple).await else {
                panic!("{memory}: {sql}");
            };
            let mut rows = rows.rows;
            if !sql.contains("ORDER BY id %") {
                rows.sort();
            }
            answers.push(rows);
        }
        assert!(!answers[0].is_empty() && answers[0] == answers[1], "{sql}");
        assert!(names(folder.path()).is_empty(), "{sql}");
    }
    // Beyond the limit of files, the operator is named.
    set(&session, "temp_limit", "1MB").await;
    let error = session.simple_query(LARGE[0]).await.expect_err("refused");
    let error = error.as_db_error().expect("dataman's").clone();
    assert_eq!(error.code().code(), "53400", "{error:?}");
    assert!(error.detail().is_some_and(|detail| detail.contains("a join")), "{error:?}");
    assert!(names(folder.path()).is_empty());
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_takes_no_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, b"no folder").expect("a file");
    let dataman = start(&file.join("below")).await;
    let session = connect(&dataman).await;
    fill(&session, 3000).await;
    set(&session, "statement_mem", "1MB").await;
    let error = session.simple_query(LARGE[0]).await.expect_err("refused");
    let error = error.as_db_error().expect("dataman's").clone();
    assert_eq!(error.code().code(), "58030", "{error:?}");
    assert!(error.message().contains("for a join"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--temp-dir")), "{error:?}");
    // What fits in memory goes on.
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(matches!(count, Outcome::Rows(_)), "{count:?}");
}

/// Statements that would take longer than anybody waits end when they are told to, whatever operator is at work.
#[tokio::test(flavor = "multi_thread")]
async fn every_operator_ends_with_its_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    let dataman = start(folder.path()).await;
    let session = connect(&dataman).await;
    fill(&session, 1000).await;
    set(&session, "statement_mem", "1MB").await;
    let four = "t AS a, t AS b, t AS c, t AS d";
    let endless = [
        format!("SELECT count(*) FROM {four} WHERE a.id + b.id + c.id + d.id < 0"),
        format!("SELECT a.id + b.id * c.id FROM {four} GROUP BY 1 HAVING count(*) < 0"),
        format!("SELECT DISTINCT a.id + b.id + c.id + d.id FROM {four} WHERE a.id + d.id = -1"),
        format!("SELECT a.id FROM {four} ORDER BY a.id + b.id + c.id + d.id"),
        format!("SELECT sum(a.id) OVER (ORDER BY b.id + c.id) FROM {four}"),
        format!("SELECT a.id FROM {four} EXCEPT SELECT a.id FROM {four}"),
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.id % 1 = b.id % 1 JOIN t AS c ON b.id % 1 = c.id % 1 \
         AND a.id + b.id + c.id < 0 JOIN t AS d ON c.id = d.id + 1"
            .to_owned(),
        format!("SELECT (SELECT count(*) FROM {four} WHERE a.id + b.id + c.id + d.id < o.id - 5000) FROM t AS o"),
        format!("SELECT o.id, l.* FROM t AS o, LATERAL (SELECT count(*) FROM {four} WHERE a.id + b.id + c.id + d.id < o.id - 5000) AS l"),
        "WITH RECURSIVE r (n) AS (SELECT id FROM t WHERE id = 1 UNION ALL SELECT n + 1 FROM r) \
         SELECT count(*) FROM r WHERE n < 0"
            .to_owned(),
        "SELECT count(*) FROM t, generate_series(1, 1000000000000) AS s (n) WHERE n < 0".to_owned(),
    ];
    session.batch_execute("SET statement_timeout = '300ms'").await.expect("set");
    for sql in &endless {
        for protocol in Protocol::ALL {
            let outcome = run(&session, sql, protocol).await;
            assert_eq!(outcome.sqlstate(), Some("57014"), "{sql}: {outcome:?}");
        }
    }
    assert!(names(folder.path()).is_empty());
    session.batch_execute("SET statement_timeout = 0").await.expect("the session goes on");
}
