//! dataman itself is killed: what it acknowledged is there afterwards, and what it had begun can be repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::topology::{Running, Topology};
use tokio::task::JoinSet;

use crate::setup::{DATABASE, connect, until};

/// How many clients insert at a time.
const CLIENTS: i64 = 4;

/// How often dataman is killed.
const ROUNDS: i64 = 4;

/// Acknowledged rows of a round before the kill.
const ROWS_A_ROUND: usize = 60;

async fn acknowledged_rows_stay(topology: Topology) {
    let mut dataman =
        Running::start(topology, &[DATABASE.to_owned()]).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, v text) WITH (shard_key = 'id');
             CREATE TABLE s (id serial PRIMARY KEY, v bigint) WITH (shard_key = 'id')",
        )
        .await
        .expect("tables");
    let mut acknowledged: BTreeSet<i64> = BTreeSet::new();
    let mut numbers: BTreeSet<i32> = BTreeSet::new();
    for round in 0..ROUNDS {
        let count = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (dsn, count) = (dataman.dsn_of(DATABASE), Arc::clone(&count));
            clients.spawn(async move {
                let session =
                    dataman_sql_tests::engine::Session::connect(&dsn).await.expect("answers");
                let (mut rows, mut numbers) = (Vec::new(), Vec::new());
                for turn in 0.. {
                    // Three rows on shards of their own, in one statement; and one with a number of dataman's.
                    let first = ((round * CLIENTS + client) * 1_000_000 + turn) * 3;
                    let values =
                        format!("({first}, 'a'), ({}, 'b'), ({}, 'c')", first + 1, first + 2);
                    let insert = format!("INSERT INTO t VALUES {values}");
                    if let Err(error) = session.batch_execute(&insert).await {
                        assert!(error.as_db_error().is_none(), "before the kill: {error:?}");
                        break;
                    }
                    rows.extend(first..first + 3);
                    let insert = format!("INSERT INTO s (v) VALUES ({first}) RETURNING id");
                    let Ok(row) = session.query_one(&insert, &[]).await else { break };
                    numbers.push(row.get::<_, i32>(0));
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (rows, numbers)
            });
        }
        until("rows are acknowledged", async || count.load(Ordering::Relaxed) >= ROWS_A_ROUND)
            .await;
        dataman.kill().expect("killed");
        while let Some(done) = clients.join_next().await {
            let (rows, given) = done.expect("a client does not panic");
            acknowledged.extend(rows);
            for number in given {
                assert!(numbers.insert(number), "{number} was given twice");
            }
        }
        dataman.restart(DATABASE).await.expect("dataman starts again");
        let session = connect(&dataman).await;
        let rows = session.query("SELECT id FROM t", &[]).await.expect("rows");
        let found: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        // A statement under way may have been committed, in whole or within its window, and not acknowledged.
        let more = found.len() - acknowledged.len();
        let most = usize::try_from((round + 1) * CLIENTS * 3).expect("a small number");
        assert!(more <= most, "round {round}: {more} rows that nobody inserted");
        acknowledged = found;
        let rows = session.query("SELECT id FROM s", &[]).await.expect("rows");
        let found: BTreeSet<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert!(numbers.is_subset(&found), "round {round}: numbers and their rows stay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_stay_on_sqlite() {
    acknowledged_rows_stay(Topology::Sqlite4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_stay_on_postgres() {
    acknowledged_rows_stay(Topology::Pg4).await;
}

/// A definition that is cut short has happened everywhere or, as far as a statement can see, nowhere; and sent again it is
/// carried out to its end.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_cut_short() {
    let mut dataman =
        Running::start(Topology::Sqlite4, &[DATABASE.to_owned()]).await.expect("dataman starts");
    for round in 0..6u64 {
        let session = connect(&dataman).await;
        let table = format!("t{round}");
        let create = format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, a int UNIQUE) WITH (shard_key = 'id')"
        )
        .replace(" UNIQUE", "");
        let alter = format!("ALTER TABLE {table} ADD COLUMN b int NOT NULL DEFAULT 7");
        let index = format!("CREATE INDEX {table}_a ON {table} (a)");
        let drop = format!("DROP TABLE {table}");
        // Killed at another moment each round, in the middle of another definition.
        let mut work = JoinSet::new();
        let texts = [create.clone(), alter.clone(), index.clone(), drop.clone()];
        work.spawn(async move {
            let mut done = 0;
            for text in &texts {
                if session.batch_execute(text).await.is_err() {
                    break;
                }
                done += 1;
            }
            done
        });
        tokio::time::sleep(Duration::from_millis(5 + 12 * round)).await;
        dataman.kill().expect("killed");
        let done = work.join_next().await.expect("a task").expect("does not panic");
        dataman.restart(DATABASE).await.expect("dataman starts again");
        let session = connect(&dataman).await;

        // What was acknowledged is there; what was not can be sent again.
        let steps = [(create, "42P07"), (alter, "42701"), (index, "42P07"), (drop, "42P01")];
        for (place, (text, already)) in steps.iter().enumerate().skip(done) {
            let outcome = run(&session, text, Protocol::Simple).await;
            // The one that was under way may have been carried out, unacknowledged.
            let may_be_done = place == done && outcome.sqlstate() == Some(already);
            assert!(
                may_be_done || matches!(outcome, Outcome::Rows(_)),
                "round {round}, after {done}: {text}: {outcome:?}"
            );
            if place == 1 {
                let insert = format!(
                    "INSERT INTO {table} (id, a) VALUES {}",
                    (1..=20).map(|id| format!("({id}, {id})")).collect::<Vec<_>>().join(", ")
                );
                session.batch_execute(&insert).await.expect("rows on every shard");
                let sum = format!("SELECT count(*), sum(b) FROM {table}");
                let row = session.query_one(&sum, &[]).await.expect("the new column is everywhere");
                assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20, 140));
            }
        }
        let gone = run(&session, &format!("SELECT * FROM {table}"), Protocol::Extended).await;
        assert_eq!(gone.sqlstate(), Some("42P01"), "{gone:?}");
    }
}
