//! Topologies: a running dataman over one or four shards of one engine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::{Postgres, Session};

/// Which databases stand behind dataman.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// One PostgreSQL shard.
    Pg1,
    /// Four PostgreSQL shards.
    Pg4,
    /// One SQLite shard.
    Sqlite1,
    /// Four SQLite shards.
    Sqlite4,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pg1, Self::Pg4, Self::Sqlite1, Self::Sqlite4];

    /// The name that `skipif` and `onlyif` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pg1 => "pg1",
            Self::Pg4 => "pg4",
            Self::Sqlite1 => "sqlite1",
            Self::Sqlite4 => "sqlite4",
        }
    }

    /// The topology of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topology| topology.name() == name)
    }

    /// How many shards.
    pub fn shards(self) -> usize {
        match self {
            Self::Pg1 | Self::Sqlite1 => 1,
            Self::Pg4 | Self::Sqlite4 => 4,
        }
    }

    /// The labels that conditions of records are compared with.
    pub fn labels(self) -> Vec<&'static str> {
        let engine = if matches!(self, Self::Pg1 | Self::Pg4) { "pg" } else { "sqlite" };
        let spread = if self.shards() == 1 { "one_shard" } else { "sharded" };
        vec!["dataman", self.name(), engine, spread]
    }

    fn is_postgres(self) -> bool {
        matches!(self, Self::Pg1 | Self::Pg4)
    }
}

/// A dataman in a process of its own, with its data in a folder that goes with it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Running {
    /// Starts dataman with the given databases, all on one datastore.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start(
        topology: Topology,
        databases: &[String],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut file = String::from("[[node]]\nname = \"a\"\n");
        let prefix = format!("d{}_", TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port());
        for shard in 0..topology.shards() {
            file.push_str("[[node.datasource]]\n");
            if topology.is_postgres() {
                let server = Postgres::shared();
                let name = format!("{prefix}{shard}");
                server.create_database(&name).await?;
                file.push_str(&format!(
                    "name = \"s{shard}\"\nengine = \"postgres\"\nurl = \"{}\"\n",
                    server.url_of(&name)
                ));
            } else {
                let path = folder.path().join(format!("shard{shard}"));
                file.push_str(&format!(
                    "name = \"s{shard}\"\nengine = \"sqlite\"\nurl = \"{}\"\n",
                    path.display()
                ));
            }
        }
        file.push_str("[[datastore]]\nname = \"main\"\n");
        for shard in 0..topology.shards() {
            file.push_str(&format!("[[datastore.shard]]\nprimary = \"a/s{shard}\"\n"));
        }
        for database in databases {
            file.push_str(&format!("[[database]]\nname = \"{database}\"\ndatastore = \"main\"\n"));
        }
        let cluster = folder.path().join("cluster.toml");
        std::fs::write(&cluster, file)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = spawn(&folder, port)?;
        let mut running = Self { child, port, folder };
        running.wait_ready(databases).await?;
        Ok(running)
    }

    /// Kills the process as a lost machine would, and starts it again over the same data.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn kill_and_restart(
        &mut self,
        database: &str,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.folder, self.port)?;
        self.wait_ready(&[database.to_owned()]).await
    }

    async fn wait_ready(&mut self, databases: &[String]) -> Result<(), Box<dyn std::error::Error>> {
        let database = databases.first().map_or("dataman", String::as_str).to_owned();
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("dataman ended with {status}:\n{}", self.log()).into());
            }
            if Session::connect(&self.dsn_of(&database)).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("dataman did not answer within 30 s:\n{}", self.log()).into())
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string of a database.
    pub fn dsn_of(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=dataman dbname={database}", self.port)
    }

    /// The process's number.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program over what is in a folder.
fn spawn(folder: &tempfile::TempDir, port: u16) -> Result<Child, Box<dyn std::error::Error>> {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log"))?;
    Ok(Command::new(program())
        .args(["up", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--data")
        .arg(folder.path().join("data"))
        .arg("--cluster")
        .arg(folder.path().join("cluster.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| {
            format!(
                "{}: {error}; build it with `cargo build -p dataman-proxy`",
                program().display()
            )
        })?)
}

/// The program under test: `DATAMAN_TEST_PROGRAM`, else the one built beside this test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("DATAMAN_TEST_PROGRAM") {
        return PathBuf::from(path);
    }
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("dataman")
}
