//! Topologies: a running dataman over one or four shards, of one engine or of several.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::engine::{Mariadb, Mongodb, Postgres, Session};

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
    /// One MariaDB shard.
    My1,
    /// Four MariaDB shards.
    My4,
    /// One MongoDB shard.
    Mongo1,
    /// Four MongoDB shards.
    Mongo4,
    /// One datastore of four shards, one on each engine: PostgreSQL, SQLite, MariaDB, MongoDB.
    Mixed4,
    /// Two datastores: one of two PostgreSQL shards, the default, and one of two SQLite shards, named `second`.
    Mixed,
}

impl Topology {
    /// Those of one datastore.
    pub const ALL: [Self; 9] = [
        Self::Pg1,
        Self::Pg4,
        Self::Sqlite1,
        Self::Sqlite4,
        Self::My1,
        Self::My4,
        Self::Mongo1,
        Self::Mongo4,
        Self::Mixed4,
    ];

    /// The name that `skipif` and `onlyif` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pg1 => "pg1",
            Self::Pg4 => "pg4",
            Self::Sqlite1 => "sqlite1",
            Self::Sqlite4 => "sqlite4",
            Self::My1 => "my1",
            Self::My4 => "my4",
            Self::Mongo1 => "mongo1",
            Self::Mongo4 => "mongo4",
            Self::Mixed4 => "mixed4",
            Self::Mixed => "mixed",
        }
    }

    /// The topology of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Mixed]).find(|topology| topology.name() == name)
    }

    /// How many shards.
    pub fn shards(self) -> usize {
        match self {
            Self::Pg1 | Self::Sqlite1 | Self::My1 | Self::Mongo1 => 1,
            Self::Pg4 | Self::Sqlite4 | Self::My4 | Self::Mongo4 | Self::Mixed4 | Self::Mixed => 4,
        }
    }

    /// The name of the datastore beside the default one.
    pub fn second_datastore(self) -> Option<&'static str> {
        (self == Self::Mixed).then_some("second")
    }

    /// The labels that conditions of records are compared with.
    pub fn labels(self) -> Vec<&'static str> {
        let engine = match self {
            Self::Pg1 | Self::Pg4 => "pg",
            Self::Sqlite1 | Self::Sqlite4 => "sqlite",
            Self::My1 | Self::My4 => "my",
            Self::Mongo1 | Self::Mongo4 => "mongo",
            Self::Mixed4 | Self::Mixed => "mixed",
        };
        let spread = if self.shards() == 1 { "one_shard" } else { "sharded" };
        let mut labels = vec!["dataman", self.name(), engine, spread];
        if self == Self::Mixed4 {
            // What one of the shards does not carry out is not carried out.
            labels.extend(["my", "mongo"]);
        }
        labels
    }

    /// How many of its shards are PostgreSQL; they come first.
    fn postgres_shards(self) -> usize {
        match self {
            Self::Pg1 | Self::Pg4 => self.shards(),
            Self::Sqlite1 | Self::Sqlite4 | Self::My1 | Self::My4 | Self::Mongo1 | Self::Mongo4 => {
                0
            }
            Self::Mixed4 => 1,
            Self::Mixed => 2,
        }
    }
}

/// What to start: the cluster and how the program is called.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The cluster file; `{folder}` in it stands for the folder of the process.
    pub cluster: String,
    /// The databases of the cluster; that it is ready is asked of the first.
    pub databases: Vec<String>,
    /// What the program is called with; `{folder}` and `{listen}` are replaced.
    pub arguments: Vec<String>,
    /// A command that the program is run by, such as `prlimit`; empty for none.
    pub wrapper: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl Launch {
    /// `dataman up` with a cluster.
    pub fn up(cluster: impl Into<String>, databases: &[String]) -> Self {
        let arguments = ["up", "--listen", "{listen}", "--data", "{folder}/data", "--cluster"];
        Self {
            cluster: cluster.into(),
            databases: databases.to_vec(),
            arguments: arguments
                .into_iter()
                .chain(["{folder}/cluster.toml"])
                .map(str::to_owned)
                .collect(),
            wrapper: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn spawn(
        &self,
        folder: &tempfile::TempDir,
        port: u16,
    ) -> Result<Child, Box<dyn std::error::Error>> {
        let log =
            std::fs::File::options().create(true).append(true).open(folder.path().join("log"))?;
        let mut words = self.wrapper.clone();
        words.push(program().display().to_string());
        let replaced = |argument: &String| {
            argument
                .replace("{folder}", &folder.path().display().to_string())
                .replace("{listen}", &format!("127.0.0.1:{port}"))
        };
        words.extend(self.arguments.iter().map(replaced));
        Ok(Command::new(&words[0])
            .args(&words[1..])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| {
                format!("{}: {error}; build it with `cargo build -p dataman-proxy`", words[0])
            })?)
    }
}

/// A cluster file of one node `a` with one datastore of one shard for each datasource, `(engine, URL)`.
pub fn cluster_file(datasources: &[(&str, String)], databases: &[String]) -> String {
    cluster_file_of(&[("main", datasources)], databases)
}

/// The same with a datastore for each of so many groups of datasources; databases are on the first one.
fn cluster_file_of(datastores: &[(&str, &[(&str, String)])], databases: &[String]) -> String {
    let mut file = String::from("[[node]]\nname = \"a\"\n");
    let datasources = || datastores.iter().flat_map(|(_, datasources)| datasources.iter());
    for (shard, (engine, url)) in datasources().enumerate() {
        file.push_str(&format!(
            "[[node.datasource]]\nname = \"s{shard}\"\nengine = \"{engine}\"\nurl = \"{url}\"\n"
        ));
    }
    let mut shard = 0;
    for (name, datasources) in datastores {
        file.push_str(&format!("[[datastore]]\nname = \"{name}\"\n"));
        for _ in *datasources {
            file.push_str(&format!("[[datastore.shard]]\nprimary = \"a/s{shard}\"\n"));
            shard += 1;
        }
    }
    for database in databases {
        file.push_str(&format!(
            "[[database]]\nname = \"{database}\"\ndatastore = \"{}\"\n",
            datastores[0].0
        ));
    }
    file
}

/// Makes a database of its own for each of so many shards on the shared server; gives their URLs.
///
/// # Errors
/// What the server says.
pub async fn postgres_shards(count: usize) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let server = Postgres::shared();
    // Other test programs may share the server, and other tests this program.
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("d{}_{cluster}_", std::process::id());
    let mut urls = Vec::new();
    for shard in 0..count {
        let name = format!("{prefix}{shard}");
        server.create_database(&name).await?;
        urls.push(server.url_of(&name));
    }
    Ok(urls)
}

/// A dataman in a process of its own, with its data in a folder that goes with it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    launch: Launch,
    /// The server of its MariaDB shards, whose instances are databases there.
    mariadb: Option<Mariadb>,
    /// The server of its MongoDB shards, whose instances are databases there.
    mongodb: Option<Mongodb>,
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
        if matches!(topology, Topology::My1 | Topology::My4) {
            let mariadb = Mariadb::start()?;
            let datasources = vec![("mysql", mariadb.url()); topology.shards()];
            let launch = Launch::up(cluster_file(&datasources, databases), databases);
            let mut running = Self::launch(launch).await?;
            running.mariadb = Some(mariadb);
            return Ok(running);
        }
        if topology == Topology::Mixed4 {
            let (mariadb, mongodb) = (Mariadb::start()?, Mongodb::start()?);
            let urls = postgres_shards(topology.postgres_shards()).await?;
            let mut datasources: Vec<_> = urls.into_iter().map(|url| ("postgres", url)).collect();
            datasources.push(("sqlite", "{folder}/shard1".to_owned()));
            datasources.push(("mysql", mariadb.url()));
            datasources.push(("mongodb", mongodb.url()));
            let launch = Launch::up(cluster_file(&datasources, databases), databases);
            let mut running = Self::launch(launch).await?;
            running.mariadb = Some(mariadb);
            running.mongodb = Some(mongodb);
            return Ok(running);
        }
        if matches!(topology, Topology::Mongo1 | Topology::Mongo4) {
            let mongodb = Mongodb::start()?;
            let datasources = vec![("mongodb", mongodb.url()); topology.shards()];
            let launch = Launch::up(cluster_file(&datasources, databases), databases);
            let mut running = Self::launch(launch).await?;
            running.mongodb = Some(mongodb);
            return Ok(running);
        }
        let postgres = topology.postgres_shards();
        let urls = postgres_shards(postgres).await?;
        let url = |shard| ("sqlite", format!("{{folder}}/shard{shard}"));
        let datasources: Vec<(&str, String)> = urls
            .into_iter()
            .map(|url| ("postgres", url))
            .chain((postgres..topology.shards()).map(url))
            .collect();
        if let Some(second) = topology.second_datastore() {
            let (first, other) = datasources.split_at(postgres);
            let file = cluster_file_of(&[("main", first), (second, other)], databases);
            return Self::launch(Launch::up(file, databases)).await;
        }
        Self::launch(Launch::up(cluster_file(&datasources, databases), databases)).await
    }

    /// Starts dataman as told, and waits until it answers.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn launch(launch: Launch) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let cluster = launch.cluster.replace("{folder}", &folder.path().display().to_string());
        std::fs::write(folder.path().join("cluster.toml"), cluster)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = launch.spawn(&folder, port)?;
        let databases = launch.databases.clone();
        let mut running = Self { child, port, folder, launch, mariadb: None, mongodb: None };
        running.wait_ready(&databases).await?;
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
        self.kill()?;
        self.restart(database).await
    }

    /// Kills the process as a lost machine would.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.child.wait()
    }

    /// Starts it again after [`Running::kill`], over the same data.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn restart(&mut self, database: &str) -> Result<(), Box<dyn std::error::Error>> {
        self.child = self.launch.spawn(&self.folder, self.port)?;
        self.wait_ready(&[database.to_owned()]).await
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How the next start is done.
    pub fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// The server of its MariaDB shards.
    pub fn mariadb(&self) -> Option<&Mariadb> {
        self.mariadb.as_ref()
    }

    /// The server of its MongoDB shards.
    pub fn mongodb(&self) -> Option<&Mongodb> {
        self.mongodb.as_ref()
    }

    /// Where its data, its cluster file and its log are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
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
