//! Database servers for tests: each in a folder of its own, on a free loopback port, gone when the test is.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tokio::task::JoinSet;

/// A PostgreSQL server that the test started: C locale, UTF8, everyone trusted, superuser and database `postgres`.
///
/// The server lives in a child shell that waits for the end of its standard input. So it stops and its folder goes when
/// this value is dropped, and also when the test process dies without dropping it.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    shell: Mutex<Child>,
}

/// What the shell does: `$1` the programs' folder, `$2` the port. It says `ready`, or `failed` and the log.
const SCRIPT: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dataman-postgres-XXXXXX") || exit 1
trap '' INT TERM HUP
fail() { echo failed; cat "$dir/log"; rm -rf "$dir"; exit 1; }
cd "$dir"
"$1/initdb" -D data -U postgres -A trust --locale=C -E UTF8 --no-sync >log 2>&1 </dev/null || fail
"$1/postgres" -D data -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories="$dir" -c fsync=off \
  -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c max_prepared_transactions=100 \
  -c timezone=UTC -c log_timezone=UTC >>log 2>&1 </dev/null &
server=$!
until "$1/pg_isready" -q -h 127.0.0.1 -p "$2" -U postgres </dev/null; do
  kill -0 $server 2>/dev/null || fail
  sleep 0.05
done
grep -q 'Address already in use' log && { kill -QUIT $server; wait $server; fail; }
echo ready
read -r _
kill -QUIT $server
wait $server
cd /
rm -rf "$dir"
"#;

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// As root, which PostgreSQL refuses, it runs as the user `postgres`.
    ///
    /// # Errors
    /// What kept it from starting, with the server's log.
    pub fn start() -> std::io::Result<Self> {
        let mut attempts = 5;
        loop {
            // The port is free when asked for and might be taken a moment later: then with another one.
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            match Self::start_on(port) {
                Err(e) if attempts > 1 && e.kind() == std::io::ErrorKind::AddrInUse => {
                    attempts -= 1;
                }
                result => return result,
            }
        }
    }

    fn start_on(port: u16) -> std::io::Result<Self> {
        let programs = programs()?;
        let mut command = as_server_user("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(programs).arg(port.to_string());
        let shell = start_in_shell(command, "PostgreSQL")?;
        Ok(Self { port, shell: Mutex::new(shell) })
    }

    /// The server that all tests of one binary share. Each test makes its own database or schema in it.
    ///
    /// # Panics
    /// When it cannot be started: without the server these tests mean nothing.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("a PostgreSQL 15 server can be started"))
    }

    /// The shell that the server is a child of.
    pub fn process_id(&self) -> u32 {
        self.shell.lock().map_or(0, |shell| shell.id())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string of the database `postgres`, as key-value pairs.
    pub fn dsn(&self) -> String {
        self.dsn_of("postgres")
    }

    /// The connection string of one database, as key-value pairs.
    pub fn dsn_of(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port)
    }

    /// The URL of one database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Connects to a database.
    ///
    /// # Errors
    /// What the server or the network says.
    pub async fn connect(&self, database: &str) -> Result<Session, tokio_postgres::Error> {
        Session::connect(&self.dsn_of(database)).await
    }

    /// Makes a database and connects to it.
    ///
    /// # Errors
    /// What the server says; a database of that name exists already.
    pub async fn create_database(&self, name: &str) -> Result<Session, tokio_postgres::Error> {
        let session = self.connect("postgres").await?;
        session.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await?;
        self.connect(name).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(shell) = self.shell.get_mut() {
            drop(shell.stdin.take());
            // It has nothing more to say: whether it went well shows in the folder being gone.
            let _ = shell.wait();
        }
    }
}

/// A MariaDB server that the test started: utf8mb4, user `dataman` with password `secret` and all rights.
///
/// It lives and ends as [`Postgres`] does.
#[derive(Debug)]
pub struct Mariadb {
    port: u16,
    shell: Mutex<Child>,
}

/// What the shell does: `$1` the server's program, `$2` the port.
const MARIADB_SCRIPT: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dataman-mariadb-XXXXXX") || exit 1
trap '' INT TERM HUP
fail() { echo failed; cat "$dir/log"; rm -rf "$dir"; exit 1; }
cd "$dir"
mariadb-install-db --no-defaults --datadir="$dir/data" --tmpdir="$dir" --auth-root-authentication-method=normal --skip-test-db \
  --skip-name-resolve >log 2>&1 </dev/null || fail
echo "CREATE USER dataman@'%' IDENTIFIED BY 'secret';" >init.sql
echo "GRANT ALL ON *.* TO dataman@'%' WITH GRANT OPTION;" >>init.sql
"$1" --no-defaults --datadir="$dir/data" --init-file="$dir/init.sql" --tmpdir="$dir" --port="$2" --bind-address=127.0.0.1 \
  --socket="$dir/socket" --pid-file="$dir/pid" --skip-log-bin --skip-name-resolve --performance-schema=OFF \
  --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF --innodb-buffer-pool-size=64M --innodb-log-file-size=32M \
  --innodb-file-per-table=OFF --max-connections=400 --character-set-server=latin1 >>log 2>&1 </dev/null &
server=$!
until mariadb --no-defaults -h 127.0.0.1 -P "$2" -u dataman -psecret -e "SELECT 1" >/dev/null 2>&1 </dev/null; do
  kill -0 $server 2>/dev/null || fail
  sleep 0.05
done
echo ready
read -r _
kill -KILL $server
wait $server
cd /
rm -rf "$dir"
"#;

impl Mariadb {
    /// Starts a server and waits until it answers. As root, which servers refuse, it runs as the user `postgres`.
    ///
    /// # Errors
    /// What kept it from starting, with the server's log.
    pub fn start() -> std::io::Result<Self> {
        let mut attempts = 5;
        loop {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let mut command = as_server_user("sh");
            command
                .args(["-c", MARIADB_SCRIPT, "sh"])
                .arg(mariadb_program()?)
                .arg(port.to_string());
            match start_in_shell(command, "MariaDB") {
                Ok(shell) => return Ok(Self { port, shell: Mutex::new(shell) }),
                Err(e) if attempts > 1 && e.kind() == std::io::ErrorKind::AddrInUse => {
                    attempts -= 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server that all tests of one binary share. Each test makes its own databases in it.
    ///
    /// # Panics
    /// When it cannot be started: without the server these tests mean nothing.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Mariadb> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("a MariaDB server can be started"))
    }

    /// The shell that the server is a child of.
    pub fn process_id(&self) -> u32 {
        self.shell.lock().map_or(0, |shell| shell.id())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("mysql://dataman:secret@127.0.0.1:{}/", self.port)
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        if let Ok(shell) = self.shell.get_mut() {
            drop(shell.stdin.take());
            // It has nothing more to say: whether it went well shows in the folder being gone.
            let _ = shell.wait();
        }
    }
}

/// A server that speaks MongoDB's protocol and that the test started: SecantusDB, a replica set of one member, no users.
///
/// It lives and ends as [`Postgres`] does. MongoDB's own server is in no public package repository; what this one cannot show is
/// listed in ARCHITECTURE.md.
#[derive(Debug)]
pub struct Mongodb {
    port: u16,
    shell: Mutex<Child>,
}

/// What the shell does: `$1` the server's program, `$2` the port.
const MONGODB_SCRIPT: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dataman-mongodb-XXXXXX") || exit 1
trap '' INT TERM HUP
fail() { echo failed; cat "$dir/log"; rm -rf "$dir"; exit 1; }
cd "$dir"
HOME="$dir" "$1" --host 127.0.0.1 --port "$2" --storage-path "$dir/data" --cache-size 256M --oplog-max-entries 1000 \
  --log-level WARNING >log 2>&1 </dev/null &
server=$!
until bash -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null </dev/null; do
  kill -0 $server 2>/dev/null || fail
  sleep 0.05
done
echo ready
read -r _
kill -KILL $server
wait $server
cd /
rm -rf "$dir"
"#;

impl Mongodb {
    /// Starts a server and waits until it answers. As root it runs as the user `postgres`, as the other servers do.
    ///
    /// # Errors
    /// What kept it from starting, with the server's log.
    pub fn start() -> std::io::Result<Self> {
        let mut attempts = 5;
        loop {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let mut command = as_server_user("sh");
            command
                .args(["-c", MONGODB_SCRIPT, "sh"])
                .arg(mongodb_program()?)
                .arg(port.to_string());
            match start_in_shell(command, "SecantusDB") {
                Ok(shell) => return Ok(Self { port, shell: Mutex::new(shell) }),
                Err(e) if attempts > 1 && e.kind() == std::io::ErrorKind::AddrInUse => {
                    attempts -= 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server that all tests of one binary share. Each test makes its own databases in it.
    ///
    /// # Panics
    /// When it cannot be started: without the server these tests mean nothing.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Mongodb> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("a MongoDB server can be started"))
    }

    /// The shell that the server is a child of.
    pub fn process_id(&self) -> u32 {
        self.shell.lock().map_or(0, |shell| shell.id())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }
}

impl Drop for Mongodb {
    fn drop(&mut self) {
        if let Ok(shell) = self.shell.get_mut() {
            drop(shell.stdin.take());
            // It has nothing more to say: whether it went well shows in the folder being gone.
            let _ = shell.wait();
        }
    }
}

/// The server's program: `DATAMAN_TEST_SECANTUSD`, else where `sql-tests/run` puts it.
fn mongodb_program() -> std::io::Result<PathBuf> {
    let candidates = [
        std::env::var_os("DATAMAN_TEST_SECANTUSD").map(PathBuf::from),
        Some("/opt/dataman-tests/secantus/bin/secantusd-py".into()),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "no server for MongoDB's protocol found: ./sql-tests/run installs it, or set DATAMAN_TEST_SECANTUSD",
        )
    })
}

/// MariaDB's server: `DATAMAN_TEST_MARIADBD`, else where Debian has it.
pub(crate) fn mariadb_program() -> std::io::Result<PathBuf> {
    let candidates = [
        std::env::var_os("DATAMAN_TEST_MARIADBD").map(PathBuf::from),
        Some("/usr/sbin/mariadbd".into()),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "no MariaDB server found: install mariadb-server, or set DATAMAN_TEST_MARIADBD",
        )
    })
}

/// Runs a shell that starts a server, and waits until it says that the server is ready.
fn start_in_shell(mut command: Command, name: &str) -> std::io::Result<Child> {
    let mut shell = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = shell.stdout.take().expect("stdout is piped");
    let mut answers = BufReader::new(stdout);
    let mut first = String::new();
    answers.read_line(&mut first)?;
    if first.trim() == "ready" {
        return Ok(shell);
    }
    let mut log = String::new();
    answers.read_to_string(&mut log)?;
    shell.wait()?;
    let kind = if log.contains("Address already in use") {
        std::io::ErrorKind::AddrInUse
    } else {
        std::io::ErrorKind::Other
    };
    Err(std::io::Error::new(kind, format!("{name} did not start: {log}")))
}

/// A client of a server, together with the task that drives its socket.
#[derive(Debug)]
pub struct Session {
    client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl Session {
    /// Connects to whatever speaks PostgreSQL's protocol at `dsn`.
    ///
    /// # Errors
    /// What the server or the network says.
    pub async fn connect(dsn: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(dsn, tokio_postgres::NoTls).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A lost connection shows in the next call of the client.
            let _ = connection.await;
        });
        Ok(Self { client, _driver: driver })
    }
}

impl std::ops::Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// A command that runs as a user whom database servers accept: root they refuse.
pub(crate) fn as_server_user(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// The folder of PostgreSQL's programs: `DATAMAN_TEST_POSTGRES_BIN`, else Debian's for version 15, else `pg_config`'s.
///
/// # Errors
/// There is none.
pub fn programs() -> std::io::Result<PathBuf> {
    let configured = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let candidates = [
        std::env::var_os("DATAMAN_TEST_POSTGRES_BIN").map(PathBuf::from),
        Some(PathBuf::from("/usr/lib/postgresql/15/bin")),
        configured(),
    ];
    candidates.into_iter().flatten().find(|folder| has_server(folder)).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "no PostgreSQL server found: install postgresql-15, or set DATAMAN_TEST_POSTGRES_BIN",
        )
    })
}

fn has_server(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_and_goes() {
        let server = Postgres::start().expect("starts");
        let session = server.create_database("a").await.expect("connects");
        let row = session.query_one("SELECT 1 + 1", &[]).await.expect("answers");
        assert_eq!(row.get::<_, i32>(0), 2);
        drop(session);
        let port = server.port();
        drop(server);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
