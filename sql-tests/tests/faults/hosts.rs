//! Several proxies and agents over one etcd: who sees whose definitions, what goes on when etcd is away, and restarts under load.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::Session;
use dataman_sql_tests::etcd::Etcd;
use dataman_sql_tests::topology::{Launch, Running, program};
use tokio::task::JoinSet;
use tokio_postgres::SimpleQueryMessage;

use crate::parts::{Agent, cluster, free_port};
use crate::setup::{DATABASE, connect, until};

/// Two agents with two SQLite shards each, and two proxies, over an etcd of three members.
struct Hosts {
    etcd: Etcd,
    folder: tempfile::TempDir,
    metadata: String,
    ports: [u16; 2],
    agents: Vec<Agent>,
    proxies: Vec<Running>,
}

impl Hosts {
    async fn start() -> Self {
        let etcd = Etcd::start(3).await.expect("etcd starts");
        let folder = tempfile::tempdir().expect("a folder");
        let ports = [free_port(), free_port()];
        let file = folder.path().join("cluster.toml");
        std::fs::write(&file, cluster(folder.path(), ports)).expect("written");
        let metadata = etcd.url("c");
        let mut hosts =
            Self { etcd, folder, metadata, ports, agents: Vec::new(), proxies: Vec::new() };
        let file = file.display().to_string();
        let said = hosts.ctl(&["apply", &file]);
        assert!(said.contains("epoch 1"), "{said}");
        for node in 0..2 {
            hosts.agents.push(hosts.agent(node));
        }
        for _ in 0..2 {
            let launch = Launch {
                cluster: String::new(),
                databases: vec![DATABASE.to_owned()],
                arguments: ["proxy", "--metadata", &hosts.metadata, "--listen", "{listen}"]
                    .map(str::to_owned)
                    .to_vec(),
                wrapper: Vec::new(),
                environment: Vec::new(),
            };
            hosts.proxies.push(Running::launch(launch).await.expect("a proxy starts"));
        }
        let session = hosts.session(0).await;
        until("the agents are there", async || {
            let states = "SELECT count(*) FROM dataman.nodes WHERE state = 'allocated'";
            let row = session.query_one(states, &[]).await.expect("nodes");
            row.get::<_, i64>(0) == 2
        })
        .await;
        hosts
    }

    fn agent(&self, node: usize) -> Agent {
        let log = self.folder.path().join("log");
        Agent::start(&self.metadata, ["a", "b"][node], self.ports[node], &log)
    }

    async fn session(&self, proxy: usize) -> Session {
        connect(&self.proxies[proxy]).await
    }

    /// Runs `dataman ctl`; gives what it says.
    fn ctl(&self, arguments: &[&str]) -> String {
        let output = Command::new(program())
            .args(["ctl", "--metadata", &self.metadata])
            .args(arguments)
            .output()
            .expect("the program is built");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn signal(&self, proxy: usize, signal: &str) {
        let number = self.proxies[proxy].process_id().to_string();
        let status = Command::new("kill").args([signal, &number]).status().expect("kill is there");
        assert!(status.success());
    }
}

async fn ok(session: &Session, sql: &str) -> Outcome {
    let outcome = run(session, sql, Protocol::Extended).await;
    assert!(matches!(outcome, Outcome::Rows(_)), "{sql}: {outcome:?}");
    outcome
}

/// A definition that one proxy has acknowledged is known to the others, also to one that was frozen meanwhile; what etcd's
/// absence stops is told; and all of it can be moved to another store.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_known_to_all() {
    let mut hosts = Hosts::start().await;
    let (one, two) = (hosts.session(0).await, hosts.session(1).await);
    ok(&one, "CREATE TABLE t (id bigint PRIMARY KEY, a int) WITH (shard_key = 'id')").await;
    ok(&two, "INSERT INTO t SELECT n, n FROM generate_series(1, 40) AS g (n)").await;
    for number in 0..10 {
        let column = format!("c{number}");
        let (define, ask) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let known = ask.prepare("SELECT count(*), sum(a) FROM t").await.expect("prepared");
        if number % 3 == 0 {
            let block = format!("BEGIN; ALTER TABLE t ADD COLUMN {column} int DEFAULT 7; COMMIT");
            define.batch_execute(&block).await.expect("defined");
        } else {
            ok(define, &format!("ALTER TABLE t ADD COLUMN {column} int DEFAULT 7")).await;
        }
        let sum = format!("SELECT sum({column}) FROM t");
        let row = ask.query_one(&sum, &[]).await.expect("the column is known at once");
        assert_eq!(row.get::<_, i64>(0), 280);
        let row = ask.query_one(&known, &[]).await.expect("a statement prepared before");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (40, 820));
    }

    // So is what sessions begin with.
    ok(&one, "ALTER DATABASE faults SET dataman.max_lag = '1s'").await;
    ok(&one, "ALTER ROLE dataman SET dataman.read = 'any'").await;
    let shown = |session: Session| async move {
        let sql = "SELECT current_setting('dataman.read') || current_setting('dataman.max_lag')";
        session.query_one(sql, &[]).await.expect("settings").get::<_, String>(0)
    };
    assert_eq!(shown(hosts.session(1).await).await, "any1s");
    ok(&one, "ALTER ROLE dataman RESET ALL").await;
    assert_eq!(shown(hosts.session(1).await).await, "primary1s");

    // A proxy that says nothing holds a definition up until its lease has run out, and is refused what it has not heard of.
    hosts.signal(1, "-STOP");
    ok(&one, "ALTER TABLE t DROP COLUMN c9").await;
    ok(&one, "ALTER TABLE t ALTER COLUMN a TYPE text USING 'x' || a::text").await;
    hosts.signal(1, "-CONT");
    let late = two.simple_query("SELECT max(a) FROM t").await.expect("planned anew");
    let found = late.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(found, Some("x9"));

    let status = hosts.ctl(&["status"]);
    for expected in ["node a (agent 127.0.0.1:", "): allocated, epoch ", "proxy 127.0.0.1:"] {
        assert!(status.contains(expected), "{expected}: {status}");
    }
    hosts.agents[0].kill();
    until("the node is out", async || {
        let row = two.query_one("SELECT state FROM dataman.nodes WHERE node = 'a'", &[]).await;
        row.expect("nodes").get::<_, &str>(0) == "out"
    })
    .await;
    hosts.agents[0] = hosts.agent(0);
    until("the node is back", async || {
        run(&two, "SELECT count(*) FROM t", Protocol::Simple).await.sqlstate().is_none()
    })
    .await;

    // Most of etcd's members are gone.
    ok(&one, "CREATE TABLE numbers (n serial)").await;
    ok(&one, "INSERT INTO numbers DEFAULT VALUES").await;
    hosts.etcd.kill(0).expect("killed");
    hosts.etcd.kill(2).expect("killed");
    ok(&one, "SELECT count(*), max(a) FROM t").await;
    ok(&two, "UPDATE t SET a = 'y' WHERE id = 7").await;
    ok(&one, "INSERT INTO numbers DEFAULT VALUES").await;
    for sql in
        ["CREATE TABLE late (a int)", "INSERT INTO numbers SELECT FROM generate_series(1, 500)"]
    {
        let Outcome::Failure { sqlstate, message } = run(&two, sql, Protocol::Simple).await else {
            panic!("{sql} needs etcd");
        };
        assert_eq!(sqlstate, "58000", "{sql}: {message}");
        for member in 0..3 {
            assert!(message.contains(&hosts.etcd.address(member)), "{sql}: {message}");
        }
    }
    ok(&two, "SELECT count(*) FROM t").await;
    hosts.etcd.start_again(0).expect("started");
    hosts.etcd.start_again(2).expect("started");
    until("etcd is back", async || {
        let created = run(&two, "CREATE TABLE late (a int)", Protocol::Simple).await;
        created.sqlstate().is_none_or(|sqlstate| sqlstate == "42P07")
    })
    .await;
    ok(&one, "SELECT * FROM late").await;

    // Everything in one file, and into a store of the other kind.
    let file = hosts.folder.path().join("backup.json").display().to_string();
    let said = hosts.ctl(&["backup", &file]);
    assert!(said.contains("epoch"), "{said}");
    let said = hosts.ctl(&["backup", &file]);
    assert!(said.contains("File exists"), "{said}");
    let said = hosts.ctl(&["restore", &file]);
    assert!(said.contains("there is metadata at epoch"), "{said}");
    let inspected = hosts.ctl(&["inspect", DATABASE]);
    hosts.metadata = format!("file:{}", hosts.folder.path().join("moved").display());
    let said = hosts.ctl(&["restore", &file]);
    assert!(said.contains("restored what was epoch"), "{said}");
    assert_eq!(hosts.ctl(&["inspect", DATABASE]), inspected);
    assert!(hosts.ctl(&["check"]).contains("has no mistakes"));
}

/// Every part is stopped and started again, one after the other, while clients write and read: what was acknowledged is there, and
/// no statement has failed that had not been begun.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_restarted_under_load() {
    const CLIENTS: usize = 4;
    let mut hosts = Hosts::start().await;
    let session = hosts.session(0).await;
    ok(&session, "CREATE TABLE t (id bigint PRIMARY KEY, a int) WITH (shard_key = 'id')").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let dsn = hosts.proxies[client % 2].dsn_of(DATABASE);
        let (stop, done) = (stop.clone(), done.clone());
        clients.spawn(async move {
            let (mut acknowledged, mut failures) = (Vec::new(), Vec::new());
            let mut next = i64::try_from(client).expect("a small number");
            while !stop.load(Ordering::Relaxed) {
                // Its proxy may be away for a moment: a client connects again.
                let Ok(session) = Session::connect(&dsn).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let Ok(insert) = session.prepare("INSERT INTO t VALUES ($1, 1)").await else {
                    continue;
                };
                while !stop.load(Ordering::Relaxed) {
                    let outcome = session.execute(&insert, &[&next]).await;
                    match outcome {
                        Ok(_) => acknowledged.push(next),
                        Err(error) => match error.code() {
                            // The proxy has gone, with or without a word.
                            None => break,
                            Some(code) if code.code() == "57P01" => break,
                            Some(code) => {
                                failures.push(format!("INSERT {next}: {code:?} {error:?}"))
                            }
                        },
                    }
                    next += i64::try_from(CLIENTS).expect("a small number");
                    let read = session.query_one("SELECT count(*) FROM t", &[]).await;
                    match read {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => match error.code() {
                            None => break,
                            Some(code) if code.code() == "57P01" => break,
                            Some(code) => failures.push(format!("SELECT: {code:?} {error:?}")),
                        },
                    }
                }
                next += i64::try_from(CLIENTS).expect("a small number");
            }
            (acknowledged, failures)
        });
    }
    let goes_on = async || {
        let before = done.load(Ordering::Relaxed);
        until("the load goes on", async || done.load(Ordering::Relaxed) > before + 2 * CLIENTS)
            .await;
    };
    goes_on().await;
    for node in 0..2 {
        assert!(hosts.agents[node].terminate(), "an agent ends well");
        hosts.agents[node] = hosts.agent(node);
        goes_on().await;
    }
    for proxy in 0..2 {
        hosts.signal(proxy, "-TERM");
        let status = hosts.proxies[proxy].wait().expect("our own child");
        assert!(status.success(), "a proxy ends well: {status}");
        hosts.proxies[proxy].restart(DATABASE).await.expect("the proxy starts again");
        goes_on().await;
    }
    for member in 0..3 {
        hosts.etcd.kill(member).expect("killed");
        goes_on().await;
        hosts.etcd.start_again(member).expect("started");
        hosts.etcd.wait(member).await.expect("answers");
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    while let Some(client) = clients.join_next().await {
        let (rows, failures) = client.expect("a client does not panic");
        acknowledged.extend(rows);
        assert!(failures.is_empty(), "{failures:#?}");
    }
    let session = hosts.session(1).await;
    let rows = session.query("SELECT id FROM t", &[]).await.expect("rows");
    let found: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}
