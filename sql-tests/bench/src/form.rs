//! The forms in which the same database is offered: PostgreSQL itself, PgBouncer before it, and dataman over shards.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::error::Error;
use crate::process::{Processes, Role};
use crate::server::{Guarded, PgBouncer, Postgres, Rights, free_port, run};
use crate::wire::Endpoint;

/// How many clients a server lets in at least: the idle connections and some more.
pub(crate) const CLIENTS_MAX: usize = 4000;

/// A way to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Form {
    /// One PostgreSQL, without anything between.
    Direct,
    /// PgBouncer in front of that PostgreSQL.
    Pgbouncer,
    /// dataman with its agents in the process, over two PostgreSQL servers.
    Pg2,
    /// dataman with its agents in the process, over four PostgreSQL servers.
    Pg4,
    /// dataman's proxy and two agents as processes of their own, over two PostgreSQL servers.
    Agents2,
    /// dataman as it starts without any arguments: one process with four SQLite shards.
    Sqlite,
}

impl Form {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Direct, Self::Pgbouncer, Self::Pg2, Self::Pg4, Self::Agents2, Self::Sqlite];

    /// All of them whose programs are there.
    pub(crate) fn installed() -> Vec<Self> {
        let mut forms = Self::ALL.to_vec();
        if Command::new("pgbouncer").arg("--version").output().is_err() {
            eprintln!("PgBouncer is not installed: nothing is measured through it");
            forms.retain(|form| *form != Self::Pgbouncer);
        }
        forms
    }

    /// What it is called in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Pgbouncer => "pgbouncer",
            Self::Pg2 => "dataman pg2",
            Self::Pg4 => "dataman pg4",
            Self::Agents2 => "dataman agents2",
            Self::Sqlite => "dataman sqlite",
        }
    }

    /// Whether tables are created with a shard key.
    pub(crate) fn is_sharded(self) -> bool {
        !matches!(self, Self::Direct | Self::Pgbouncer)
    }

    /// How many PostgreSQL servers stand behind it.
    fn postgres_servers(self) -> usize {
        match self {
            Self::Direct | Self::Pgbouncer => 1,
            Self::Pg2 | Self::Agents2 => 2,
            Self::Pg4 => 4,
            Self::Sqlite => 0,
        }
    }

    /// The name of its database in those servers. PgBouncer shares the direct one.
    fn database(self) -> &'static str {
        match self {
            Self::Direct | Self::Pgbouncer => "direct",
            Self::Pg2 => "two",
            Self::Pg4 => "four",
            Self::Agents2 => "agents",
            Self::Sqlite => "dataman",
        }
    }
}

/// A running form.
#[derive(Debug)]
pub(crate) struct Target {
    /// Which.
    pub(crate) form: Form,
    /// Where clients connect.
    pub(crate) endpoint: Endpoint,
    /// Where to reach the PostgreSQL databases behind it, for what is done to each of them: vacuum.
    pub(crate) databases: Vec<Endpoint>,
    /// Whose CPU time counts.
    pub(crate) processes: Processes,
}

/// Everything that runs. Dropping it ends all and removes the data.
#[derive(Debug)]
pub(crate) struct Site {
    /// The forms, in the order asked for.
    pub(crate) targets: Vec<Target>,
    /// How PgBouncer pools, if it runs.
    pub(crate) pooling: Option<&'static str>,
    // Dropped in this order: the servers before their folder.
    programs: Vec<Guarded>,
    _bouncer: Option<PgBouncer>,
    servers: Vec<Postgres>,
    folder: tempfile::TempDir,
}

impl Site {
    /// Starts the forms.
    pub(crate) fn start(forms: &[Form]) -> Result<Self, Error> {
        let count = forms.iter().map(|form| form.postgres_servers()).max().unwrap_or(0);
        let servers: Vec<Postgres> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count).map(|_| scope.spawn(Postgres::start)).collect();
            let started = starting.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Error::Failed("a start failed".to_owned())))
            });
            started.collect::<Result<_, Error>>()
        })?;
        let folder = tempfile::tempdir().map_err(Error::system("no temporary folder"))?;
        let mut site = Self {
            targets: Vec::new(),
            pooling: None,
            programs: Vec::new(),
            _bouncer: None,
            servers,
            folder,
        };
        let mut made = Vec::new();
        for form in forms.iter().copied() {
            let behind = site.servers.get(..form.postgres_servers()).unwrap_or_default();
            if !made.contains(&form.database()) {
                for server in behind {
                    server.create_database(form.database())?;
                }
                made.push(form.database());
            }
            let databases: Vec<Endpoint> =
                behind.iter().map(|server| server.endpoint(form.database())).collect();
            let processes = behind.iter().fold(Processes::default(), |processes, server| {
                processes.with(Role::Postgres, server.process())
            });
            let (endpoint, processes) = site.start_form(form, &databases, processes)?;
            site.targets.push(Target { form, endpoint, databases, processes });
        }
        Ok(site)
    }

    fn start_form(
        &mut self,
        form: Form,
        databases: &[Endpoint],
        processes: Processes,
    ) -> Result<(Endpoint, Processes), Error> {
        let folder = self.folder.path().join(form.database());
        std::fs::create_dir_all(&folder).map_err(Error::system("cannot make a folder"))?;
        let first = || databases.first().cloned().expect("the form has PostgreSQL servers");
        match form {
            Form::Direct => Ok((first(), processes)),
            Form::Pgbouncer => {
                let bouncer = PgBouncer::start(&first(), CLIENTS_MAX)?;
                self.pooling = Some(bouncer.pooling().name());
                let outcome = (bouncer.endpoint(), processes.with(Role::Proxy, bouncer.process()));
                self._bouncer = Some(bouncer);
                Ok(outcome)
            }
            Form::Pg2 | Form::Pg4 => {
                let file = write_cluster(&folder, &[databases], None)?;
                let (endpoint, process) =
                    self.start_dataman(&folder, "up", &["--cluster", &file], "bench")?;
                Ok((endpoint, processes.with(Role::Proxy, process)))
            }
            Form::Sqlite => {
                let (endpoint, process) = self.start_dataman(&folder, "up", &[], "dataman")?;
                Ok((endpoint, processes.with(Role::Proxy, process)))
            }
            Form::Agents2 => self.start_apart(&folder, databases, processes),
        }
    }

    /// Starts `dataman up`, or `dataman proxy`; gives where it listens and its process.
    fn start_dataman(
        &mut self,
        folder: &Path,
        command: &str,
        arguments: &[&str],
        database: &str,
    ) -> Result<(Endpoint, u32), Error> {
        let port = free_port()?;
        let program = path_text(&program());
        let listen = format!("127.0.0.1:{port}");
        let clients = CLIENTS_MAX.to_string();
        let data = path_text(&folder.join("data"));
        let mut all = vec![&*program, command, "--listen", &*listen, "--clients-max", &*clients];
        if command == "up" {
            all.extend(["--data", &*data]);
        }
        all.extend(arguments);
        let server = Guarded::start(Rights::Own, "TERM", &folder.join("log"), &all)?;
        let endpoint = Endpoint { port, user: "dataman".to_owned(), database: database.to_owned() };
        server.wait_ready(&endpoint)?;
        let process = server.process();
        self.programs.push(server);
        Ok((endpoint, process))
    }

    /// Starts an agent for each database and a proxy, all as processes of their own.
    fn start_apart(
        &mut self,
        folder: &Path,
        databases: &[Endpoint],
        mut processes: Processes,
    ) -> Result<(Endpoint, Processes), Error> {
        let ports = databases.iter().map(|_| free_port()).collect::<Result<Vec<u16>, Error>>()?;
        let nodes: Vec<&[Endpoint]> = databases.chunks(1).collect();
        let file = write_cluster(folder, &nodes, Some(&ports))?;
        let metadata = format!("file:{}", folder.join("metadata").display());
        run(Command::new(program()).args(["ctl", "--metadata", &metadata, "apply", &file]))?;
        for (number, port) in ports.iter().enumerate() {
            let agent = Guarded::start(
                Rights::Own,
                "TERM",
                &folder.join(format!("agent{number}.log")),
                &[
                    &*path_text(&program()),
                    "agent",
                    "--metadata",
                    &metadata,
                    "--node",
                    &format!("n{number}"),
                    "--listen",
                    &format!("127.0.0.1:{port}"),
                ],
            )?;
            processes = processes.with(Role::Agent, agent.process());
            self.programs.push(agent);
        }
        let (endpoint, process) =
            self.start_dataman(folder, "proxy", &["--metadata", &metadata], "bench")?;
        Ok((endpoint, processes.with(Role::Proxy, process)))
    }
}

/// Writes a cluster file with one datastore over all databases; `agents` are the agents' ports, one a node.
fn write_cluster(
    folder: &Path,
    nodes: &[&[Endpoint]],
    agents: Option<&[u16]>,
) -> Result<String, Error> {
    let mut text = String::new();
    let mut shards = String::from("[[datastore]]\nname = \"main\"\n");
    for (number, databases) in nodes.iter().enumerate() {
        text.push_str(&format!("[[node]]\nname = \"n{number}\"\n"));
        if let Some(port) = agents.and_then(|ports| ports.get(number)) {
            text.push_str(&format!("agent = \"127.0.0.1:{port}\"\n"));
        }
        for (shard, Endpoint { port, user, database }) in databases.iter().enumerate() {
            text.push_str(&format!(
                "[[node.datasource]]\nname = \"s{shard}\"\nengine = \"postgres\"\n\
                 url = \"postgres://{user}@127.0.0.1:{port}/{database}\"\n"
            ));
            shards.push_str(&format!("[[datastore.shard]]\nprimary = \"n{number}/s{shard}\"\n"));
        }
    }
    text.push_str(&shards);
    text.push_str("[[database]]\nname = \"bench\"\ndatastore = \"main\"\n");
    let file = folder.join("cluster.toml");
    std::fs::write(&file, text).map_err(Error::system("cannot write the cluster file"))?;
    Ok(path_text(&file))
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The program under test: `DATAMAN_TEST_PROGRAM`, else the one built beside this one.
pub(crate) fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("DATAMAN_TEST_PROGRAM") {
        return PathBuf::from(path);
    }
    let mut path = std::env::current_exe().unwrap_or_default();
    path.set_file_name("dataman");
    path
}
