//! dataman itself is killed: what it acknowledged is there afterwards, and what it had begun can be repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Postgres, Session};
use dataman_sql_tests::topology::{Launch, Running, Topology, cluster_file, postgres_shards};
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

/// Four PostgreSQL shards of one server, each to be looked at and hindered beside dataman.
struct Hindered {
    dataman: Running,
    shards: Vec<Session>,
}

impl Hindered {
    async fn start() -> Self {
        let urls = postgres_shards(4).await.expect("databases for the shards");
        let mut shards = Vec::new();
        for url in &urls {
            let (_, name) = url.rsplit_once('/').expect("a URL ends in its database");
            shards.push(Postgres::shared().connect(name).await.expect("the server answers"));
        }
        let datasources: Vec<_> = urls.into_iter().map(|url| ("postgres", url)).collect();
        let databases = [DATABASE.to_owned()];
        let launch = Launch::up(cluster_file(&datasources, &databases), &databases);
        let dataman = Running::launch(launch).await.expect("dataman starts");
        let session = connect(&dataman).await;
        let rows: Vec<String> = (1..=40).map(|id| format!("({id}, {id})")).collect();
        session
            .batch_execute(&format!(
                "CREATE TABLE t (id bigint PRIMARY KEY, a int) WITH (shard_key = 'id');
                 INSERT INTO t VALUES {}",
                rows.join(", ")
            ))
            .await
            .expect("a table");
        // Makes the table of notes on every shard, too.
        session.batch_execute("ALTER TABLE t ADD COLUMN b int").await.expect("altered");
        Self { dataman, shards }
    }

    /// Lets every commit of noted work on a shard take until it is ended from outside.
    async fn hold_commits(&self, shard: usize) {
        let schema = format!("dbshard_{DATABASE}_{shard}");
        self.shards[shard]
            .batch_execute(&format!(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
                 CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON {schema}.\"%notes\"
                     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold();
                 SELECT pg_advisory_lock(1)"
            ))
            .await
            .expect("a trigger");
    }

    /// Lets commits on a shard be as they were.
    async fn let_go(&self, shard: usize) {
        self.shards[shard]
            .batch_execute(&format!(
                "SELECT pg_advisory_unlock(1);
                 DROP TRIGGER hold ON dbshard_{DATABASE}_{shard}.\"%notes\"; DROP FUNCTION hold()"
            ))
            .await
            .expect("no trigger");
    }

    /// Sends statements, and kills dataman when a shard's session waits for a lock and the others' are done.
    async fn cut_off(&mut self, statements: &str, shard: usize) {
        let session = connect(&self.dataman).await;
        let statements = statements.to_owned();
        let mut work = JoinSet::new();
        work.spawn(async move { session.batch_execute(&statements).await });
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("a shard waits", async || {
            let row = self.shards[shard].query_one(waiting, &[]).await.expect("counts");
            row.get::<_, i64>(0) > 0
        })
        .await;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND state LIKE 'idle in transaction%'";
        for (other, session) in self.shards.iter().enumerate().filter(|(other, _)| *other != shard)
        {
            until(&format!("shard {other} is done"), async || {
                let row = session.query_one(open, &[]).await.expect("counts");
                row.get::<_, i64>(0) == 0
            })
            .await;
        }
        self.dataman.kill().expect("killed");
        let outcome = work.join_next().await.expect("a task").expect("does not panic");
        outcome.expect_err("it was not acknowledged");
    }

    /// Ends the sessions that dataman had on a shard, as a shard's server does when it finds its client gone.
    async fn end_sessions(&self, shard: usize) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.shards[shard].query(end, &[]).await.expect("ended");
        let left = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        until("the sessions are gone", async || {
            let row = self.shards[shard].query_one(left, &[]).await.expect("counts");
            row.get::<_, i64>(0) == 0
        })
        .await;
    }

    /// The sum of `t.a` when dataman runs again.
    async fn sum(&mut self) -> i64 {
        self.dataman.restart(DATABASE).await.expect("dataman starts again");
        let session = connect(&self.dataman).await;
        let row = session.query_one("SELECT sum(a)::bigint FROM t", &[]).await.expect("a sum");
        row.get(0)
    }
}

/// Killed between the metadata's commit and the last shard's, a change of a column's type is finished on that shard, and once on
/// every shard: whether the shard's commit was lost or only the answer to it, alone and within a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_cut_off_after_the_metadata_is_finished_once() {
    const SHARD: usize = 2;
    let mut hindered = Hindered::start().await;
    let mut sum: i64 = (1..=40).sum();
    for (round, (statements, lost)) in [
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint USING a * 2", true),
        ("ALTER TABLE t ALTER COLUMN a TYPE int USING a * 2", false),
        ("BEGIN; ALTER TABLE t ALTER COLUMN a TYPE bigint USING a * 2; COMMIT", true),
        ("BEGIN; ALTER TABLE t ALTER COLUMN a TYPE int USING a * 2; COMMIT", false),
    ]
    .into_iter()
    .enumerate()
    {
        hindered.hold_commits(SHARD).await;
        hindered.cut_off(statements, SHARD).await;
        if lost {
            hindered.end_sessions(SHARD).await;
        }
        hindered.let_go(SHARD).await;
        sum *= 2;
        assert_eq!(hindered.sum().await, sum, "round {round}: {statements}");
        let session = connect(&hindered.dataman).await;
        // Nothing is left to be done, and nothing is done again.
        session.batch_execute("ALTER TABLE t ALTER COLUMN b SET DEFAULT 7").await.expect("altered");
        let row = session.query_one("SELECT sum(a)::bigint FROM t", &[]).await.expect("a sum");
        assert_eq!(row.get::<_, i64>(0), sum, "round {round}: {statements}");
    }
}

/// Killed before a dropped table is gone from a shard, its rows do not come back with a new table of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_drop_cut_off_leaves_no_rows() {
    const SHARD: usize = 1;
    let mut hindered = Hindered::start().await;
    let name = hindered.shards[SHARD].query_one("SELECT current_database()", &[]).await;
    let name: String = name.expect("its name").get(0);
    let reader = Postgres::shared().connect(&name).await.expect("the server answers");
    let reading = format!("BEGIN; SELECT count(*) FROM dbshard_{DATABASE}_{SHARD}.t");
    reader.batch_execute(&reading).await.expect("rows");
    hindered.cut_off("DROP TABLE t", SHARD).await;
    hindered.end_sessions(SHARD).await;
    hindered.dataman.restart(DATABASE).await.expect("dataman starts again");
    let session = connect(&hindered.dataman).await;
    session
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, a int, b int) WITH (shard_key = 'id')",
        )
        .await
        .expect("the name is free");
    let row = session.query_one("SELECT count(*) FROM t", &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
}
