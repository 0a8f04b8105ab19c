//! The programs that are measured: each guarded by a shell that stops it when the measuring process goes, however it goes.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::Error;
use crate::wire::{Client, Endpoint};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

/// Runs `$3…` with its output in the file `$2`, says its number, and ends it with signal `$1` at the end of the input.
const GUARD: &str = r#"
trap '' INT TERM HUP
signal=$1 log=$2
shift 2
"$@" >>"$log" 2>&1 </dev/null &
server=$!
echo $server
read -r _
kill -"$signal" $server
wait $server
"#;

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Guarded {
    shell: Child,
    process: u32,
    log: PathBuf,
}

impl Guarded {
    /// Starts a program, as user `postgres` when `unprivileged` and this process is root.
    pub(crate) fn start(
        rights: Rights,
        signal: &str,
        log: &Path,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let mut shell = rights
            .command("sh")
            .args(["-c", GUARD, "sh", signal])
            .arg(log)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(Error::system("cannot start a shell"))?;
        let stdout = shell.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(Error::system("cannot hear from a shell"))?;
        let process = line
            .trim()
            .parse()
            .map_err(|_| Error::Failed(format!("cannot start {}", arguments.join(" "))))?;
        Ok(Self { shell, process, log: log.to_owned() })
    }

    /// The number of the program's process.
    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    /// Waits until the program answers at an endpoint.
    pub(crate) fn wait_ready(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let started = tokio::time::Instant::now();
        loop {
            let error = match Client::connect(endpoint) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let gone = !Path::new(&format!("/proc/{}/stat", self.process)).exists();
            if gone || started.elapsed() > START_MAX {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                return Err(Error::Failed(format!("no answer at {endpoint:?}: {error}\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It has nothing more to say.
        let _ = self.shell.wait();
    }
}

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// As this process.
    Own,
    /// As user `postgres` when this process is root's: database servers refuse root.
    Unprivileged,
}

impl Rights {
    fn command(self, program: &str) -> Command {
        let root = || Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if self == Self::Unprivileged && root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
            command
        } else {
            Command::new(program)
        }
    }

    /// Makes a folder in another that belongs to whom programs with these rights run as.
    fn folder(self) -> Result<Folder, Error> {
        let text = run(self.command("mktemp").args(["-d", "/tmp/dataman-bench-XXXXXX"]))?;
        Ok(Folder(PathBuf::from(text.trim())))
    }
}

/// A temporary folder of another user, removed when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in /tmp, where it harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program to its end and gives what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let name = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::system(format!("cannot run {name}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Failed(format!("{name}: {}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port on 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(listener.map_err(Error::system("no free port"))?.port())
}

/// The folder of PostgreSQL's programs: `DATAMAN_TEST_POSTGRES_BIN`, else Debian's for version 15.
pub(crate) fn postgres_programs() -> PathBuf {
    std::env::var_os("DATAMAN_TEST_POSTGRES_BIN")
        .map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from)
}

/// A PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Guarded,
    port: u16,
    _folder: Folder,
}

/// What every PostgreSQL server here is told. The disk is left out of the figures (`fsync=off`), and so is what happens at its
/// own time (autovacuum); tables are vacuumed and analysed after they are loaded.
const POSTGRES_SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=1300",
    "max_prepared_transactions=100",
    "shared_buffers=384MB",
    "max_wal_size=4GB",
    "timezone=UTC",
    "log_timezone=UTC",
];

impl Postgres {
    /// Starts a server with an empty cluster of databases.
    pub(crate) fn start() -> Result<Self, Error> {
        let programs = postgres_programs();
        let folder = Rights::Unprivileged.folder()?;
        let data = folder.0.join("data");
        let program = |name: &str| programs.join(name).to_string_lossy().into_owned();
        run(Rights::Unprivileged.command(&program("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--locale=C",
            "-E",
            "UTF8",
            "--no-sync",
        ]))?;
        let port = free_port()?;
        let server = program("postgres");
        let data = data.to_string_lossy().into_owned();
        let sockets = format!("unix_socket_directories={}", folder.0.display());
        let port_setting = format!("port={port}");
        let mut arguments = vec![server.as_str(), "-D", data.as_str()];
        for setting in POSTGRES_SETTINGS.iter().copied().chain([&*sockets, &*port_setting]) {
            arguments.extend(["-c", setting]);
        }
        let log = folder.0.join("log");
        let server = Guarded::start(Rights::Unprivileged, "QUIT", &log, &arguments)?;
        let started = Self { server, port, _folder: folder };
        started.server.wait_ready(&started.endpoint("postgres"))?;
        Ok(started)
    }

    /// Makes a database.
    pub(crate) fn create_database(&self, name: &str) -> Result<(), Error> {
        Client::connect(&self.endpoint("postgres"))?
            .execute(&format!("CREATE DATABASE {name}"))
            .map(drop)
    }

    /// Where a database is.
    pub(crate) fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint { port: self.port, user: "postgres".to_owned(), database: database.to_owned() }
    }

    /// The number of the first process, whose children serve.
    pub(crate) fn process(&self) -> u32 {
        self.server.process()
    }
}

/// How PgBouncer gives server connections to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// For as long as the client is there.
    Session,
    /// For a transaction.
    Transaction,
}

impl Pooling {
    /// What PgBouncer calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

/// A PgBouncer in front of one database. It pools by transaction where it can follow prepared statements (1.21 and later), and
/// by session where it cannot.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    server: Guarded,
    port: u16,
    pooling: Pooling,
    _folder: Folder,
}

impl PgBouncer {
    /// Starts it in front of a database.
    pub(crate) fn start(behind: &Endpoint, clients_max: usize) -> Result<Self, Error> {
        let pooling = if version()? >= (1, 21) { Pooling::Transaction } else { Pooling::Session };
        let prepared =
            if pooling == Pooling::Transaction { "max_prepared_statements = 100\n" } else { "" };
        let folder = Rights::Unprivileged.folder()?;
        let port = free_port()?;
        let file = folder.0.join("pgbouncer.ini");
        let users = folder.0.join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n")
            .map_err(Error::system("cannot write PgBouncer's users"))?;
        let settings = format!(
            "[databases]\nbench = host=127.0.0.1 port={} dbname={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {}\n\
             default_pool_size = 64\nmax_client_conn = {clients_max}\nignore_startup_parameters = extra_float_digits\n\
             log_connections = 0\nlog_disconnections = 0\n{prepared}",
            behind.port,
            behind.database,
            users.display(),
            pooling.name()
        );
        std::fs::write(&file, settings)
            .map_err(Error::system("cannot write PgBouncer's settings"))?;
        let file = file.to_string_lossy().into_owned();
        let log = folder.0.join("log");
        let server =
            Guarded::start(Rights::Unprivileged, "INT", &log, &["pgbouncer", file.as_str()])?;
        let started = Self { server, port, pooling, _folder: folder };
        started.server.wait_ready(&started.endpoint())?;
        Ok(started)
    }

    /// Where clients connect.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { port: self.port, user: "postgres".to_owned(), database: "bench".to_owned() }
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.server.process()
    }

    /// How it pools.
    pub(crate) fn pooling(&self) -> Pooling {
        self.pooling
    }
}

/// PgBouncer's version: major and minor number.
fn version() -> Result<(u32, u32), Error> {
    let text = run(Command::new("pgbouncer").arg("--version"))?;
    let words = text.split_ascii_whitespace().nth(1).unwrap_or_default();
    let mut numbers = words.split('.').map(|number| number.parse().unwrap_or(0));
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}
