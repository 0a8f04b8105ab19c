//! A MariaDB server that fails when a test wants it to, alone or as a replica of another: killed, frozen, late, promoted.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::engine::{as_server_user, mariadb_program};
use crate::failing::signal;

/// A server of one test, with a binary log and GTIDs. Its user `dataman` has what dataman needs and cannot write to a server that is
/// read only; its user `admin` can do everything.
///
/// It lives in a shell that ends with this value, however the test ends, and takes the server along.
#[derive(Debug)]
pub struct FailingMariadb {
    port: u16,
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The server's process, while it runs.
    server: Option<u32>,
}

/// What the shell does: `$1` the server's program, `$2` the port, `$3` the server's number. It reads `start` and `reap`.
const SCRIPT: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dataman-failing-XXXXXX") || exit 1
trap '' INT TERM HUP
cd "$dir"
fail() { echo failed; tr '\n' ' ' <log; echo; }
mariadb-install-db --no-defaults --datadir="$dir/data" --tmpdir="$dir" --auth-root-authentication-method=normal --skip-test-db \
  --skip-name-resolve >log 2>&1 </dev/null || { fail; exit 1; }
cat >init.sql <<'SQL'
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS admin@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS dataman@'%' IDENTIFIED BY 'secret';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, LOCK TABLES, SLAVE MONITOR, BINLOG MONITOR ON *.* TO dataman@'%';
SQL
echo ready
server=
while read -r word; do
  case $word in
  start)
    "$1" --no-defaults --datadir="$dir/data" --init-file="$dir/init.sql" --tmpdir="$dir" --port="$2" --bind-address=127.0.0.1 \
      --socket="$dir/socket" --pid-file="$dir/pid" --skip-name-resolve --performance-schema=OFF --server-id="$3" \
      --log-bin=binlog --binlog-format=ROW --log-slave-updates --slave-net-timeout=4 --relay-log=relay \
      --innodb-flush-log-at-trx-commit=2 --innodb-buffer-pool-size=64M --innodb-log-file-size=32M --max-connections=400 \
      >log 2>&1 </dev/null &
    server=$!
    until mariadb --no-defaults -h 127.0.0.1 -P "$2" -u admin -psecret -e "SELECT 1" >/dev/null 2>&1 </dev/null; do
      kill -0 $server 2>/dev/null || { fail; continue 2; }
      sleep 0.05
    done
    echo "$server" ;;
  reap) wait $server; server=; echo reaped ;;
  esac
done
[ -z "$server" ] || { kill -CONT $server; kill -KILL $server; wait $server; }
cd /
rm -rf "$dir"
"#;

impl FailingMariadb {
    /// Prepares a server and starts it. `number` tells it from the others of its replica set.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn started(number: u32) -> std::io::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut shell = as_server_user("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(mariadb_program()?)
            .args([port.to_string(), number.to_string()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let commands = shell.stdin.take();
        let mut answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        answer(&mut answers)?;
        let mut made = Self { port, shell, commands, answers, server: None };
        made.start()?;
        Ok(made)
    }

    /// Prepares a server that copies all that another has, and takes no writes of others.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn replica_of(primary: &Self, number: u32) -> std::io::Result<Self> {
        let made = Self::started(number)?;
        made.follow(primary)?;
        Ok(made)
    }

    /// Lets it copy from another server.
    ///
    /// # Errors
    /// What the server says.
    pub fn follow(&self, primary: &Self) -> std::io::Result<()> {
        self.run(&format!(
            "SET GLOBAL read_only = 1; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'admin', \
             MASTER_PASSWORD = 'secret', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1; START SLAVE",
            primary.port
        ))
        .map(drop)
    }

    /// Makes it a primary, as an administrator would.
    ///
    /// # Errors
    /// What the server says.
    pub fn promote(&self) -> std::io::Result<()> {
        self.run("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0").map(drop)
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// What kept it from starting, with the server's log.
    pub fn start(&mut self) -> std::io::Result<()> {
        let number = self.tell("start")?;
        let number =
            number.parse().map_err(|_| std::io::Error::other(format!("no number: {number}")))?;
        self.server = Some(number);
        Ok(())
    }

    /// Kills it as a lost machine would.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> std::io::Result<()> {
        let Some(server) = self.server.take() else { return Ok(()) };
        signal("KILL", &[server])?;
        self.tell("reap").map(drop)
    }

    /// Stops it where it is: connections stay, and nothing answers.
    ///
    /// # Errors
    /// It cannot be stopped.
    pub fn freeze(&self) -> std::io::Result<()> {
        self.server.map_or(Ok(()), |server| signal("STOP", &[server]))
    }

    /// Lets it go on after [`FailingMariadb::freeze`].
    ///
    /// # Errors
    /// It cannot be continued.
    pub fn thaw(&self) -> std::io::Result<()> {
        self.server.map_or(Ok(()), |server| signal("CONT", &[server]))
    }

    /// The URL of the server, as dataman's user.
    pub fn url(&self) -> String {
        format!("mysql://dataman:secret@127.0.0.1:{}/", self.port)
    }

    /// Runs statements as the administrator; gives what they print.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(&self, sql: &str) -> std::io::Result<String> {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "-h", "127.0.0.1", "-u", "admin", "-psecret", "-N", "-B", "-P"])
            .arg(self.port.to_string())
            .args(["-e", sql])
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    fn tell(&mut self, command: &str) -> std::io::Result<String> {
        if let Some(commands) = &mut self.commands {
            writeln!(commands, "{command}")?;
            commands.flush()?;
        }
        answer(&mut self.answers)
    }
}

impl Drop for FailingMariadb {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.shell.wait();
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> std::io::Result<String> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if line.trim() == "failed" || line.is_empty() {
        answers.read_line(&mut line)?;
        return Err(std::io::Error::other(format!("MariaDB did not start: {line}")));
    }
    Ok(line.trim().to_owned())
}
