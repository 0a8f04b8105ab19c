//! A PostgreSQL server that fails when a test wants it to: started late, killed, frozen, started again over its data.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::engine::{Session, as_server_user, programs};

/// A server of one test. Where [`crate::engine::Postgres`] runs from first to last, this one is told when to run.
///
/// As there, it lives in a shell that ends with this value, however the test ends, and takes the server along.
#[derive(Debug)]
pub struct FailingPostgres {
    port: u16,
    folder: String,
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The server's first process, while it runs.
    server: Option<u32>,
    options: String,
}

/// What the shell does: `$1` the programs' folder, `$2` the port, `$3` what to do in the folder before the first start.
/// It reads `start OPTIONS` and `reap`.
const SCRIPT: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dataman-failing-XXXXXX") || exit 1
trap '' INT TERM HUP
cd "$dir"
fail() { echo failed; tr '\n' ' ' <log; echo; }
"$1/initdb" -D data -U postgres -A trust --locale=C -E UTF8 --no-sync >log 2>&1 </dev/null || { fail; exit 1; }
eval "$3" >>log 2>&1 </dev/null || { fail; exit 1; }
echo "$dir"
server=
while read -r word options; do
  case $word in
  start)
    attempts=100
    while :; do
      "$1/postgres" -D data -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories="$dir" -c fsync=off \
        -c max_prepared_transactions=100 -c timezone=UTC $options >log 2>&1 </dev/null &
      server=$!
      while kill -0 $server 2>/dev/null; do
        "$1/pg_isready" -q -h "$dir" -p "$2" -U postgres </dev/null && break 2
        sleep 0.05
      done
      # What was killed a moment ago may not be gone yet.
      attempts=$((attempts - 1))
      grep -q 'still in use' log && [ $attempts -gt 0 ] || { fail; continue 2; }
      sleep 0.05
    done
    echo "$server" ;;
  reap) wait $server; server=; echo reaped ;;
  esac
done
[ -z "$server" ] || { kill -CONT $(cat /proc/$server/task/$server/children) $server; kill -QUIT $server; wait $server; }
cd /
rm -rf "$dir"
"#;

impl FailingPostgres {
    /// Prepares a server without starting it. `prepare` is shell text that is run in its folder first: `data` is the data
    /// folder in it.
    ///
    /// # Errors
    /// What kept it from being prepared.
    pub fn prepare(prepare: &str) -> std::io::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut shell = as_server_user("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(programs()?)
            .args([&port.to_string(), prepare])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let commands = shell.stdin.take();
        let mut answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let folder = answer(&mut answers)?;
        Ok(Self {
            port,
            folder,
            shell,
            commands,
            answers,
            server: None,
            options: "-c max_connections=100".to_owned(),
        })
    }

    /// Prepares a server and starts it.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn started() -> std::io::Result<Self> {
        let mut server = Self::prepare(":")?;
        server.start()?;
        Ok(server)
    }

    /// Sets options of the next start: `-c name=value …`.
    pub fn set_options(&mut self, options: &str) {
        options.clone_into(&mut self.options);
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// What kept it from starting, with the server's log.
    pub fn start(&mut self) -> std::io::Result<()> {
        let options = self.options.clone();
        let number = self.tell(&format!("start {options}"))?;
        let number =
            number.parse().map_err(|_| std::io::Error::other(format!("no number: {number}")))?;
        self.server = Some(number);
        Ok(())
    }

    /// Kills all its processes as a lost machine would.
    ///
    /// # Errors
    /// They cannot be killed.
    pub fn kill(&mut self) -> std::io::Result<()> {
        let Some(server) = self.server.take() else { return Ok(()) };
        // Stopped first, so that it starts no new ones.
        signal("STOP", &[server])?;
        // Some may have ended by themselves.
        let _ = signal("KILL", &children(server)?);
        signal("KILL", &[server])?;
        self.tell("reap").map(|_| ())
    }

    /// Stops all its processes where they are: connections stay, and nothing answers.
    ///
    /// # Errors
    /// They cannot be stopped.
    pub fn freeze(&self) -> std::io::Result<()> {
        let Some(server) = self.server else { return Ok(()) };
        signal("STOP", &[server])?;
        signal("STOP", &children(server)?)
    }

    /// Lets it go on after [`FailingPostgres::freeze`].
    ///
    /// # Errors
    /// It cannot be continued.
    pub fn thaw(&self) -> std::io::Result<()> {
        let Some(server) = self.server else { return Ok(()) };
        signal("CONT", &children(server)?)?;
        signal("CONT", &[server])
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that `prepare` ran in.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Connects to its database `postgres`.
    ///
    /// # Errors
    /// What the server or the network says.
    pub async fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        let port = self.port;
        Session::connect(&format!("host=127.0.0.1 port={port} user=postgres dbname=postgres")).await
    }

    fn tell(&mut self, command: &str) -> std::io::Result<String> {
        if let Some(commands) = &mut self.commands {
            writeln!(commands, "{command}")?;
            commands.flush()?;
        }
        answer(&mut self.answers)
    }
}

impl Drop for FailingPostgres {
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
        return Err(std::io::Error::other(format!("PostgreSQL did not start: {line}")));
    }
    Ok(line.trim().to_owned())
}

/// The processes that a process started and that still run.
///
/// # Errors
/// The process is gone.
pub fn children(process: u32) -> std::io::Result<Vec<u32>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = std::fs::read_to_string(path)?;
    Ok(text.split_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// Sends a signal, by its name, to processes.
///
/// # Errors
/// One of them is gone, or not ours.
pub fn signal(name: &str, processes: &[u32]) -> std::io::Result<()> {
    if processes.is_empty() {
        return Ok(());
    }
    // The shell's own: the program of that name is not everywhere.
    let mut command = Command::new("sh");
    command.args(["-c", "kill -\"$0\" \"$@\"", name]);
    command.args(processes.iter().map(ToString::to_string));
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_comes_and_goes() {
        let mut server = FailingPostgres::prepare("echo hello >greeting").expect("prepared");
        assert!(server.connect().await.is_err(), "it was not started");
        server.start().expect("starts");
        let session = server.connect().await.expect("answers");
        session.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await.expect("writes");
        server.freeze().expect("frozen");
        server.thaw().expect("thawed");
        session.query("SELECT * FROM t", &[]).await.expect("goes on");
        server.kill().expect("killed");
        assert!(session.query("SELECT * FROM t", &[]).await.is_err(), "it was killed");
        server.start().expect("starts again");
        let session = server.connect().await.expect("answers again");
        let rows = session.query("SELECT * FROM t", &[]).await.expect("the table is still there");
        assert_eq!(rows.len(), 1);
        let folder = server.folder().to_owned();
        drop(server);
        assert!(!std::path::Path::new(&folder).exists(), "its folder goes with it");
    }
}
