//! `dataman proxy` and `dataman agent` as processes of their own, over metadata in a file; and an agent that dies.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::raw::{RawClient, extended, query};
use dataman_sql_tests::topology::{Launch, Running, program};

use crate::setup::{DATABASE, connect, fill, until};

/// An agent's process.
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn start(metadata: &str, node: &str, port: u16, log: &Path) -> Self {
        Self::start_with(metadata, node, port, log, &[], &[])
    }

    /// Starts one with further arguments and environment variables.
    pub(crate) fn start_with(
        metadata: &str,
        node: &str,
        port: u16,
        log: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        let child = Command::new(program())
            .args(["agent", "--metadata", metadata, "--node", node])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program is built");
        Self(child)
    }

    /// Asks it to end; whether it ended well.
    pub(crate) fn terminate(&mut self) -> bool {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(asked.expect("kill is there").success());
        self.0.wait().expect("our own child").success()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("our own child");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Two nodes of two SQLite shards each.
pub(crate) fn cluster(folder: &Path, ports: [u16; 2]) -> String {
    let mut file = String::new();
    for (node, port) in ["a", "b"].into_iter().zip(ports) {
        file.push_str(&format!("[[node]]\nname = \"{node}\"\nagent = \"127.0.0.1:{port}\"\n"));
        for shard in 0..2 {
            let path = folder.join(format!("{node}{shard}"));
            file.push_str(&format!(
                "[[node.datasource]]\nname = \"s{shard}\"\nengine = \"sqlite\"\nurl = \"{}\"\n",
                path.display()
            ));
        }
    }
    file.push_str("[[datastore]]\nname = \"main\"\n");
    for primary in ["a/s0", "a/s1", "b/s0", "b/s1"] {
        file.push_str(&format!("[[datastore.shard]]\nprimary = \"{primary}\"\n"));
    }
    file.push_str(&format!("[[database]]\nname = \"{DATABASE}\"\ndatastore = \"main\"\n"));
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_dies_while_rows_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = [free_port(), free_port()];
    let file = folder.path().join("cluster.toml");
    std::fs::write(&file, cluster(folder.path(), ports)).expect("written");
    let metadata = format!("file:{}", folder.path().join("metadata").display());
    let applied = Command::new(program())
        .args(["ctl", "--metadata", &metadata, "apply"])
        .arg(&file)
        .output()
        .expect("the program is built");
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let log = folder.path().join("log");
    let start = |node: usize| Agent::start(&metadata, ["a", "b"][node], ports[node], &log);
    let _a = start(0);
    let mut b = start(1);
    let launch = Launch {
        cluster: String::new(),
        databases: vec![DATABASE.to_owned()],
        arguments: ["proxy", "--metadata", &metadata, "--listen", "{listen}"]
            .map(str::to_owned)
            .to_vec(),
        wrapper: Vec::new(),
        environment: Vec::new(),
    };
    let dataman = Running::launch(launch).await.expect("the proxy starts");
    let session = connect(&dataman).await;
    until("the agents answer", async || {
        run(&session, "CREATE TABLE ready (a int)", Protocol::Simple).await.sqlstate().is_none()
            && run(
                &session,
                "CREATE TABLE all_of_them (a int PRIMARY KEY) WITH (shard_key = 'a')",
                Protocol::Simple,
            )
            .await
            .sqlstate()
            .is_none_or(|code| code == "42P07")
            || run(&session, "SELECT * FROM all_of_them", Protocol::Simple)
                .await
                .sqlstate()
                .is_none()
    })
    .await;
    fill(&session, 1200).await;
    let sum = "SELECT count(*), sum(id), max(length(pad)) FROM t";
    let whole = run(&session, sum, Protocol::Simple).await;
    for sql in
        ["SELECT id, repeat(pad, 100) FROM t", "SELECT id, repeat(pad, 100) FROM t ORDER BY id"]
    {
        for bytes in [query(sql), extended(sql)] {
            let mut client = RawClient::connect(dataman.port(), DATABASE).await.expect("answers");
            client.send(&bytes).await.expect("sent");
            while client.answer().await.expect("an answer").expect("rows come").kind != b'D' {}
            b.kill();
            let (answers, rows) = client.rest().await.expect("answers");
            let kinds: String = answers.iter().map(|answer| char::from(answer.kind)).collect();
            assert!(!kinds.contains('C') && kinds.ends_with('Z'), "{sql}: {kinds}, {rows} rows");
            let error = answers.iter().find(|answer| answer.kind == b'E').expect("an error");
            let (code, message) = (error.field('C'), error.field('M'));
            assert!(code.starts_with("08"), "{sql}: {code} {message}");
            assert!(message.contains("of datastore \"main\""), "{sql}: {message}");
            // The session goes on where the other agent has the rows, and everywhere when this one is back.
            client.send(&query("SELECT 1; SELECT * FROM ready")).await.expect("sent");
            let (answers, _) = client.rest().await.expect("answers");
            assert!(answers.iter().all(|answer| answer.kind != b'E'), "{answers:?}");
            b = start(1);
            until("the agent is used again", async || {
                match run(&session, sum, Protocol::Extended).await {
                    Outcome::Rows(_) => true,
                    Outcome::Failure { sqlstate, message } => {
                        assert!(sqlstate.starts_with("08"), "{sqlstate} {message}");
                        false
                    }
                }
            })
            .await;
            assert_eq!(run(&session, sum, Protocol::Simple).await, whole);
        }
    }
}
