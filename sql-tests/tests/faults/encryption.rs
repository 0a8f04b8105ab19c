//! TLS and passwords, towards the databases and towards clients.

use std::process::Command;

use dataman_sql_tests::client::{Protocol, run};
use dataman_sql_tests::failing::FailingPostgres;
use dataman_sql_tests::topology::{Launch, Running, cluster_file, program};

use crate::parts::{Agent, free_port};
use crate::setup::{DATABASE, connect, until};

/// Makes an authority and a certificate for `localhost` that it signed: `ca.crt`, `server.crt`, `server.key`.
pub(crate) const CERTIFICATES: &str = "
set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.crt
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\\n' >extensions
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out server.crt
";

/// A server that takes nobody without TLS and a password.
fn guarded_server() -> FailingPostgres {
    let prepare = format!(
        "{CERTIFICATES}
cp server.key server.crt data
chmod 600 data/server.key
printf 'local all all trust\\nhostssl all all 127.0.0.1/32 scram-sha-256\\n' >data/pg_hba.conf
echo \"ALTER ROLE postgres PASSWORD 'secret word'\" | \"$1/postgres\" --single -D data postgres
set +e"
    );
    let mut server = FailingPostgres::prepare(&prepare).expect("openssl is there");
    server.set_options("-c ssl=on -c max_connections=50");
    server.start().expect("the server starts");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn towards_postgres() {
    let server = guarded_server();
    let root = format!("{}/ca.crt", server.folder());
    let url = |password: &str, host: &str, options: &str| {
        format!("postgres://postgres:{password}@{host}:{}/postgres?{options}", server.port())
    };
    let databases = [DATABASE.to_owned()];
    let good: Vec<(&str, String)> = [
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={root}"),
        format!("sslmode=verify-full&sslrootcert={root}"),
    ]
    .into_iter()
    .map(|options| ("postgres", url("secret%20word", "localhost", &options)))
    .collect();
    let launch = Launch::up(cluster_file(&good, &databases), &databases);
    let dataman = Running::launch(launch).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY) WITH (shard_key = 'id');
             INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8)",
        )
        .await
        .expect("every shard is reached");
    let count = session.query_one("SELECT count(*) FROM t", &[]).await.expect("rows");
    assert_eq!(count.get::<_, i64>(0), 8);
    assert!(!dataman.log().contains("cannot be reached"), "{}", dataman.log());
    drop(dataman);

    let bad = [
        (url("secret%20word", "localhost", "sslmode=disable"), "no pg_hba.conf entry"),
        (url("wrong%20word", "localhost", "sslmode=require"), "password authentication failed"),
        (url("", "localhost", "sslmode=require"), "password"),
        (url("secret%20word", "localhost", "sslmode=verify-ca"), "sslrootcert"),
        (
            url("secret%20word", "127.0.0.1", &format!("sslmode=verify-full&sslrootcert={root}")),
            "certificate",
        ),
    ];
    let urls: Vec<(&str, String)> = bad.iter().map(|(url, _)| ("postgres", url.clone())).collect();
    let launch = Launch::up(cluster_file(&urls, &databases), &databases);
    let dataman = Running::launch(launch).await.expect("dataman starts all the same");
    let log = dataman.log();
    for (shard, (_, expected)) in bad.iter().enumerate() {
        let start = format!("warning: datasource a/s{shard} cannot be reached: ");
        let line = log.lines().find(|line| line.starts_with(&start)).unwrap_or_default();
        assert!(line.contains(expected), "{start}… {expected}:\n{log}");
    }
    assert!(!log.contains("secret") && !log.contains("wrong%20word"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn towards_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let databases = [DATABASE.to_owned()];
    let datasources = [("sqlite", "{folder}/shard0".to_owned())];
    let launch = Launch::up(cluster_file(&datasources, &databases), &databases).with_arguments(&[
        "--tls-cert",
        &file("server.crt"),
        "--tls-key",
        &file("server.key"),
    ]);
    let dataman = Running::launch(launch).await.expect("dataman starts");
    connect(&dataman)
        .await
        .batch_execute("ALTER ROLE dataman PASSWORD 'secret word'")
        .await
        .expect("a password");
    let psql = |password: &str, options: &str| {
        let port = dataman.port();
        let output = Command::new("psql")
            .arg(format!("host=localhost port={port} user=dataman dbname={DATABASE} {options}"))
            .args(["-X", "-w", "-At", "-c", "SELECT 40 + 2"])
            .env("PGPASSWORD", password)
            .output()
            .expect("psql is there");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let verified = format!("sslmode=verify-full sslrootcert={}", file("ca.crt"));
    for options in ["sslmode=disable", "sslmode=prefer", "sslmode=require", verified.as_str()] {
        let (success, said) = psql("secret word", options);
        assert!(success && said.trim() == "42", "{options}: {said}");
        let (success, said) = psql("wrong word", options);
        assert!(
            !success && said.contains("password authentication failed for user \"dataman\""),
            "{options}: {said}"
        );
    }
    let (success, said) = psql("", "sslmode=require");
    assert!(!success && said.contains("password"), "{said}");
    let (success, said) = psql("secret word", "sslmode=require channel_binding=require");
    assert!(!success && said.contains("channel binding"), "{said}");
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());
}

/// An agent that asks for a password and encrypts, and proxies that have what it asks for, or not.
#[tokio::test(flavor = "multi_thread")]
async fn towards_agents() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    // The same cluster, as three files say it of the agent.
    let ca = file("ca.crt");
    let whole = format!("agent_password = \"${{AGENT_PASSWORD}}\"\nagent_ca = \"{ca}\"\n");
    let metadata = |name: &str, guard: &str| {
        let text = format!(
            "[[node]]\nname = \"a\"\nagent = \"localhost:{port}\"\n{guard}\
             [[node.datasource]]\nname = \"s0\"\nengine = \"sqlite\"\nurl = \"{}\"\n\
             [[datastore]]\nname = \"main\"\n[[datastore.shard]]\nprimary = \"a/s0\"\n\
             [[database]]\nname = \"{DATABASE}\"\ndatastore = \"main\"\n",
            file("rows")
        );
        let (path, url) = (file(&format!("{name}.toml")), format!("file:{}", file(name)));
        std::fs::write(&path, text).expect("written");
        let applied =
            Command::new(program()).args(["ctl", "--metadata", &url, "apply", &path]).output();
        let applied = applied.expect("the program is built");
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        url
    };
    let guarded = metadata("guarded", &whole);
    let open = metadata("open", "");
    let log = folder.path().join("log");
    let certificate = ["--tls-cert", &file("server.crt"), "--tls-key", &file("server.key")];

    // It does not start without the certificate that the cluster speaks of, or without the password.
    let refused = |environment: &[(&str, &str)], expected: &str| {
        let output = Command::new(program())
            .args(["agent", "--metadata", &guarded, "--node", "a"])
            .envs(environment.iter().copied())
            .output()
            .expect("the program is built");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    };
    refused(&[("AGENT_PASSWORD", "x")], "Add --tls-cert FILE and --tls-key FILE");
    refused(&[], "needs the environment variable AGENT_PASSWORD");

    let launch = |metadata: &str, password: &str| Launch {
        cluster: String::new(),
        databases: vec![DATABASE.to_owned()],
        arguments: ["proxy", "--metadata", metadata, "--listen", "{listen}"]
            .map(str::to_owned)
            .to_vec(),
        wrapper: Vec::new(),
        environment: vec![("AGENT_PASSWORD".to_owned(), password.to_owned())],
    };
    let environment = [("AGENT_PASSWORD", "secret word")];
    let agent = Agent::start_with(&guarded, "a", port, &log, &certificate, &environment);
    let dataman = Running::launch(launch(&guarded, "secret word")).await.expect("a proxy starts");
    let session = connect(&dataman).await;
    until("the agent answers", async || {
        let made = run(&session, "CREATE TABLE t AS SELECT 42 AS a", Protocol::Simple).await;
        made.sqlstate().is_none_or(|sqlstate| sqlstate == "42P07")
    })
    .await;
    let row = session.query_one("SELECT a FROM t", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), 42);

    // Whoever lacks one of the two is told so, and nothing of a statement is sent.
    let says = async |metadata: &str, password: &str, expected: &str| {
        let dataman = Running::launch(launch(metadata, password)).await.expect("a proxy starts");
        let outcome = run(&connect(&dataman).await, "SELECT * FROM t", Protocol::Simple).await;
        // The open cluster knows no table.
        assert!(matches!(outcome.sqlstate(), Some("08006" | "42P01")), "{outcome:?}");
        let log = dataman.log();
        assert!(log.contains(expected), "{expected}: {log}");
        assert!(!log.contains("secret word") && !log.contains("wrong word"), "{log}");
    };
    says(&guarded, "wrong word", "password authentication failed").await;
    says(&open, "", "this agent takes encrypted connections only").await;
    drop(agent);
    let _agent = Agent::start_with(&open, "a", port, &log, &certificate, &[]);
    until("the agent listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    says(&guarded, "secret word", "the agent asks for no password").await;
}
