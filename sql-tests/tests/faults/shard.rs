//! A shard that is not there, dies or freezes.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::failing::FailingPostgres;
use dataman_sql_tests::raw::{Answer, RawClient, extended, query};

use crate::setup::{Cluster, DATABASE, FAILING_SHARD, connect, fill, id_on, until};

/// Rows of `t`: so many that a shard's part of [`STREAMS`] is more than sockets hold.
const ROWS: usize = 1200;

/// Statements whose rows flow from all shards, about 30 MB from each.
const STREAMS: [&str; 2] =
    ["SELECT id, repeat(pad, 100) FROM t", "SELECT id, repeat(pad, 100) FROM t ORDER BY id"];

/// Statements that need an answer from every shard before there is a row.
const GATHERS: [&str; 4] = [
    "SELECT count(*), sum(id) FROM t",
    "SELECT id % 7, max(pad) FROM t GROUP BY id % 7 ORDER BY 1",
    "SELECT DISTINCT length(pad) FROM t",
    "SELECT count(*) FROM t AS a JOIN t AS b ON a.id = b.id + 1",
];

/// What both protocols send for a statement.
fn messages(sql: &str) -> [(&'static str, Vec<u8>); 2] {
    [("simple", query(sql)), ("extended", extended(sql))]
}

/// The one error among the answers; there must be no sign of success, and the session must be ready after it.
fn only_error<'a>(answers: &'a [Answer], what: &str) -> &'a Answer {
    let kinds: String = answers.iter().map(|answer| char::from(answer.kind)).collect();
    assert!(!kinds.contains('C'), "{what}: a partial answer is passed off as whole: {kinds}");
    assert!(kinds.ends_with('Z'), "{what}: not ready again: {kinds}");
    let errors: Vec<&Answer> = answers.iter().filter(|answer| answer.kind == b'E').collect();
    assert_eq!(errors.len(), 1, "{what}: {kinds}");
    errors[0]
}

/// The error says that a connection failed, which shard it was, and what to do.
fn check_names_shard(error: &Answer, what: &str) {
    let (code, message, hint) = (error.field('C'), error.field('M'), error.field('H'));
    assert!(code.starts_with("08"), "{what}: {code} {message}");
    assert!(
        message.contains(&format!("shard {FAILING_SHARD} of datastore \"main\"")),
        "{what}: {message}"
    );
    assert!(!hint.is_empty(), "{what}: {message} without a hint");
    assert!(!message.contains("127.0.0.1"), "{what}: {message} names an address");
}

/// Reads until rows have come.
async fn read_some_rows(client: &mut RawClient) {
    let mut rows = 0;
    while rows < 3 {
        let answer = client.answer().await.expect("an answer").expect("rows come");
        assert_ne!(answer.kind, b'E', "{}", answer.field('M'));
        rows += usize::from(answer.kind == b'D');
    }
}

/// The session works, for a statement without shards and one on a shard that is there.
async fn check_usable(client: &mut RawClient, id: i64) {
    for sql in ["SELECT 1".to_owned(), format!("SELECT id FROM t WHERE id = {id}")] {
        client.send(&query(&sql)).await.expect("sent");
        let (answers, rows) = client.rest().await.expect("answers");
        let kinds: String = answers.iter().map(|answer| char::from(answer.kind)).collect();
        assert_eq!((kinds.as_str(), rows), ("TCZ", 1), "{sql}");
    }
}

/// Every row is there again.
async fn check_recovers(cluster: &Cluster) {
    let session = cluster.session().await;
    until("the shard is used again", async || {
        match run(&session, "SELECT count(*), count(pad) FROM t", Protocol::Simple).await {
            Outcome::Rows(rows) => {
                let count = ROWS.to_string().into_bytes();
                assert_eq!(rows.rows, [[Some(count.clone()), Some(count)]]);
                true
            }
            Outcome::Failure { sqlstate, message } => {
                assert!(sqlstate.starts_with("08"), "{sqlstate} {message}");
                false
            }
        }
    })
    .await;
}

/// An id on a shard that stays.
async fn id_elsewhere(cluster: &Cluster) -> i64 {
    let other = Postgres::shared().connect(&cluster.others[0]).await.expect("the server answers");
    id_on(&other, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn down_at_start() {
    let server = FailingPostgres::prepare(":").expect("a server that does not run yet");
    let mut cluster = Cluster::start(server).await;
    let log = cluster.dataman.log();
    assert!(
        log.contains("warning: datasource a/s1 cannot be reached: ")
            && !log.contains("a/s0 cannot"),
        "{log}"
    );
    let session = cluster.session().await;
    session.batch_execute("SELECT 1").await.expect("needs no shard");
    session.batch_execute("CREATE TABLE u (a int)").await.expect("a table on the first shard only");
    session.batch_execute("INSERT INTO u VALUES (1)").await.expect("a row there");

    // What needs the shard says so, and nothing of it is half done.
    let mut raw = cluster.raw().await;
    let create = "CREATE TABLE t (id bigint PRIMARY KEY, pad text) WITH (shard_key = 'id')";
    for (protocol, bytes) in messages(create) {
        raw.send(&bytes).await.expect("sent");
        let (answers, _) = raw.rest().await.expect("answers");
        check_names_shard(only_error(&answers, protocol), protocol);
    }
    let outcome = run(&session, "SELECT * FROM t", Protocol::Extended).await;
    assert_eq!(outcome.sqlstate(), Some("42P01"), "the table was not made: {outcome:?}");

    cluster.server.start().expect("the server starts at last");
    until("the shard is used", async || {
        run(&session, create, Protocol::Simple).await.sqlstate().is_none()
    })
    .await;
    session.batch_execute("DROP TABLE t").await.expect("it is everywhere");
    fill(&session, ROWS).await;
    check_recovers(&cluster).await;

    // Down at the start with rows on it: those of the others are still read and written.
    let here = id_elsewhere(&cluster).await;
    let there = id_on(&cluster.server.connect().await.expect("answers"), FAILING_SHARD).await;
    cluster.server.kill().expect("killed");
    cluster.dataman.kill_and_restart(DATABASE).await.expect("dataman starts again");
    let session = connect(&cluster.dataman).await;
    for protocol in Protocol::ALL {
        let update = format!("UPDATE t SET pad = pad WHERE id = {here}");
        let outcome = run(&session, &update, protocol).await;
        assert_eq!(outcome.sqlstate(), None, "{outcome:?}");
    }
    let mut raw = cluster.raw().await;
    for sql in [
        format!("SELECT * FROM t WHERE id = {there}"),
        format!("UPDATE t SET pad = '' WHERE id = {there}"),
        "UPDATE t SET pad = ''".to_owned(),
        "DELETE FROM t".to_owned(),
        "SELECT count(*) FROM t".to_owned(),
        "TRUNCATE t".to_owned(),
        "ALTER TABLE t ADD COLUMN more int".to_owned(),
    ] {
        for (protocol, bytes) in messages(&sql) {
            raw.send(&bytes).await.expect("sent");
            let (answers, rows) = raw.rest().await.expect("answers");
            let what = format!("{sql} by the {protocol} protocol");
            check_names_shard(only_error(&answers, &what), &what);
            assert_eq!(rows, 0, "{what}");
        }
    }
    check_usable(&mut raw, here).await;
    cluster.server.start().expect("the server starts again");
    check_recovers(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_rows_flow() {
    let mut cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    fill(&cluster.session().await, ROWS).await;
    let id = id_elsewhere(&cluster).await;
    for sql in STREAMS {
        for (protocol, bytes) in messages(sql) {
            let what = format!("{sql} by the {protocol} protocol");
            let mut client = cluster.raw().await;
            client.send(&bytes).await.expect("sent");
            read_some_rows(&mut client).await;
            cluster.server.kill().expect("killed");
            let (answers, rows) = client.rest().await.expect("answers");
            check_names_shard(only_error(&answers, &what), &what);
            assert!(rows < ROWS, "{what}: {rows} rows and an error");
            check_usable(&mut client, id).await;
            cluster.server.start().expect("the server starts again");
            check_recovers(&cluster).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_answers() {
    let mut cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    fill(&cluster.session().await, ROWS).await;
    let id = id_elsewhere(&cluster).await;
    for sql in GATHERS {
        for (protocol, bytes) in messages(sql) {
            let what = format!("{sql} by the {protocol} protocol");
            let lock = Lock::take(&cluster).await;
            let mut client = cluster.raw().await;
            client.send(&bytes).await.expect("sent");
            lock.wait_for_waiter().await;
            cluster.server.kill().expect("killed");
            let (answers, rows) = client.rest().await.expect("answers");
            check_names_shard(only_error(&answers, &what), &what);
            assert_eq!(rows, 0, "{what}");
            check_usable(&mut client, id).await;
            cluster.server.start().expect("the server starts again");
            check_recovers(&cluster).await;
        }
    }
}

/// In a transaction block a lost shard fails the transaction, as any error does.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_transaction() {
    let mut cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    fill(&cluster.session().await, ROWS).await;
    let there = id_on(&cluster.server.connect().await.expect("answers"), FAILING_SHARD).await;
    let session = cluster.session().await;
    session.batch_execute("BEGIN").await.expect("begun");
    session
        .batch_execute(&format!("UPDATE t SET pad = 'lost' WHERE id = {there}"))
        .await
        .expect("written");
    cluster.server.kill().expect("killed");
    let outcome = run(&session, "SELECT count(*) FROM t", Protocol::Simple).await;
    assert!(outcome.sqlstate().is_some_and(|code| code.starts_with("08")), "{outcome:?}");
    let outcome = run(&session, "SELECT 1", Protocol::Extended).await;
    assert_eq!(outcome.sqlstate(), Some("25P02"), "{outcome:?}");
    session.batch_execute("ROLLBACK").await.expect("rolled back");
    // A commit that cannot reach its shard says so.
    cluster.server.start().expect("the server starts again");
    check_recovers(&cluster).await;
    session
        .batch_execute(&format!("BEGIN; UPDATE t SET pad = 'lost' WHERE id = {there}"))
        .await
        .expect("written");
    cluster.server.kill().expect("killed");
    let outcome = run(&session, "COMMIT", Protocol::Simple).await;
    assert!(
        outcome.sqlstate().is_some_and(|code| code.starts_with("08") || code == "40003"),
        "{outcome:?}"
    );
    cluster.server.start().expect("the server starts again");
    check_recovers(&cluster).await;
    let lost = run(&session, "SELECT count(*) FROM t WHERE pad = 'lost'", Protocol::Simple).await;
    assert_eq!(rows_of(&lost), [[Some(b"0".to_vec())]], "nothing was committed");
}

/// A frozen shard holds a statement up, but neither its timeout nor its cancellation.
#[tokio::test(flavor = "multi_thread")]
async fn frozen() {
    let cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    fill(&cluster.session().await, ROWS).await;
    let id = id_elsewhere(&cluster).await;
    let there = id_on(&cluster.server.connect().await.expect("answers"), FAILING_SHARD).await;
    let write = format!("UPDATE t SET pad = pad WHERE id = {there}");
    // Each takes as long as dataman waits for a cancelled shard: so not every statement by both protocols.
    let statements = [(STREAMS[1], 0), (GATHERS[0], 1), (write.as_str(), 1)];
    for (sql, protocol) in statements {
        let (protocol, bytes) = messages(sql)[protocol].clone();
        let what = format!("{sql} by the {protocol} protocol");
        // By timeout, when it comes to a shard that is frozen already.
        let mut client = cluster.raw().await;
        client.send(&query("SET statement_timeout = '300ms'")).await.expect("sent");
        client.rest().await.expect("set");
        cluster.server.freeze().expect("frozen");
        client.send(&bytes).await.expect("sent");
        let (answers, _) = client.rest().await.expect("answers");
        let error = only_error(&answers, &what);
        assert_eq!(
            (error.field('C').as_str(), error.field('M').as_str()),
            ("57014", "canceling statement due to statement timeout"),
            "{what}"
        );
        check_usable(&mut client, id).await;
        cluster.server.thaw().expect("thawed");
        if sql == write {
            continue;
        }

        // By cancel request, when it freezes in the middle.
        let lock = if STREAMS.contains(&sql) { None } else { Some(Lock::take(&cluster).await) };
        let mut client = cluster.raw().await;
        client.send(&bytes).await.expect("sent");
        match &lock {
            Some(lock) => lock.wait_for_waiter().await,
            None => read_some_rows(&mut client).await,
        }
        cluster.server.freeze().expect("frozen");
        client.cancel().await.expect("asked");
        let (answers, _) = client.rest().await.expect("answers");
        let error = only_error(&answers, &what);
        assert_eq!(
            (error.field('C').as_str(), error.field('M').as_str()),
            ("57014", "canceling statement due to user request"),
            "{what}"
        );
        check_usable(&mut client, id).await;
        cluster.server.thaw().expect("thawed");
    }
    check_recovers(&cluster).await;
    check_no_work(&cluster).await;
}

/// Whatever way a client ends its statement, nothing of it goes on at any shard.
#[tokio::test(flavor = "multi_thread")]
async fn ended_everywhere() {
    let cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    fill(&cluster.session().await, ROWS).await;
    for sql in [STREAMS[0], STREAMS[1], GATHERS[0], GATHERS[3], "UPDATE t SET pad = 'no'"] {
        for (protocol, bytes) in messages(sql) {
            for leave in [true, false] {
                let lock =
                    if STREAMS.contains(&sql) { None } else { Some(Lock::take(&cluster).await) };
                let mut client = cluster.raw().await;
                client.send(&bytes).await.expect("sent");
                match &lock {
                    Some(lock) => lock.wait_for_waiter().await,
                    None => read_some_rows(&mut client).await,
                }
                if leave {
                    drop(client);
                } else {
                    client.cancel().await.expect("asked");
                    let (answers, _) = client.rest().await.expect("answers");
                    let what = format!("{sql} by the {protocol} protocol");
                    assert_eq!(only_error(&answers, &what).field('C'), "57014", "{what}");
                }
                check_no_work(&cluster).await;
            }
        }
    }
    let session = cluster.session().await;
    let changed = run(&session, "SELECT count(*) FROM t WHERE pad = 'no'", Protocol::Simple).await;
    assert_eq!(rows_of(&changed), [[Some(b"0".to_vec())]], "a cancelled statement did nothing");
}

/// While one shard fails, another is waited for no longer.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_ends_all() {
    let cluster = Cluster::start(FailingPostgres::started().expect("a server")).await;
    let session = cluster.session().await;
    fill(&session, ROWS).await;
    let here = id_elsewhere(&cluster).await;
    let lock = Lock::take(&cluster).await;
    // The first shard fails while the second waits for the lock.
    for sql in [
        format!("SELECT 1 / (id - {here}) FROM t"),
        format!("SELECT 1 / (id - {here}) FROM t ORDER BY id"),
        format!("SELECT sum(1 / (id - {here})) FROM t"),
    ] {
        for protocol in Protocol::ALL {
            let outcome = run(&session, &sql, protocol).await;
            assert_eq!(outcome.sqlstate(), Some("22012"), "{sql}: {outcome:?}");
        }
    }
    // Within a block the other shards' part of the transaction is as failed, and as usable after a savepoint.
    session.batch_execute("BEGIN; SAVEPOINT s").await.expect("begun");
    let sql = format!("SELECT 1 / (id - {here}) FROM t");
    let outcome = run(&session, &sql, Protocol::Simple).await;
    assert_eq!(outcome.sqlstate(), Some("22012"), "{outcome:?}");
    drop(lock);
    session.batch_execute("ROLLBACK TO s").await.expect("back to the savepoint");
    let count = run(&session, "SELECT count(*) FROM t", Protocol::Extended).await;
    assert_eq!(count.sqlstate(), None, "{count:?}");
    session.batch_execute("COMMIT").await.expect("committed");
    check_no_work(&cluster).await;
}

fn rows_of(outcome: &Outcome) -> &[Vec<Option<Vec<u8>>>] {
    match outcome {
        Outcome::Rows(rows) => &rows.rows,
        Outcome::Failure { .. } => panic!("{outcome:?}"),
    }
}

/// Nothing of dataman's runs on any server, or waits there in a transaction, and no lock is waited for.
async fn check_no_work(cluster: &Cluster) {
    let failing = cluster.server.connect().await.expect("the server answers");
    let shared = Postgres::shared().connect("postgres").await.expect("the server answers");
    let names = cluster.others.join("', '");
    let own = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
               AND pid <> pg_backend_pid() AND state <> 'idle' AND query NOT LIKE '%LOCK TABLE%'";
    until("nothing runs at any shard", async || {
        let elsewhere = format!("{own} AND datname IN ('{names}')");
        let mut running = 0;
        for (server, text) in [(&failing, own), (&shared, elsewhere.as_str())] {
            let row = server.query_one(text, &[]).await.expect("the server answers");
            running += row.get::<_, i64>(0);
        }
        running == 0
    })
    .await;
}

/// Keeps the failing shard's table, so that statements wait there.
struct Lock {
    _session: dataman_sql_tests::engine::Session,
    watcher: dataman_sql_tests::engine::Session,
}

impl Lock {
    async fn take(cluster: &Cluster) -> Self {
        let session = cluster.server.connect().await.expect("the server answers");
        session
            .batch_execute(&format!("BEGIN; LOCK TABLE dbshard_{DATABASE}_{FAILING_SHARD}.t"))
            .await
            .expect("the lock");
        let watcher = cluster.server.connect().await.expect("the server answers");
        Self { _session: session, watcher }
    }

    async fn wait_for_waiter(&self) {
        until("the statement waits for the lock", async || {
            let text = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            let row = self.watcher.query_one(text, &[]).await.expect("the server answers");
            row.get::<_, i64>(0) > 0
        })
        .await;
    }
}
