//! etcd members for tests: real processes on loopback that are killed, frozen and started again as a test wants.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a member may take to answer after its start.
const START_MAX: Duration = Duration::from_secs(40);

/// An etcd of one or more members, with its data in a folder that goes with it. Members are killed when this is dropped, and
/// also when the thread that started them ends.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    scheme: &'static str,
}

#[derive(Debug)]
struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Etcd {
    /// Starts so many members, and waits until they answer.
    ///
    /// # Errors
    /// What kept them from starting; etcd is not installed.
    pub async fn start(members: usize) -> std::io::Result<Self> {
        Self::start_with(members, "http", &[]).await
    }

    /// Starts members that clients reach by `http` or `https`, with further arguments. Those of `https` are not waited for.
    ///
    /// # Errors
    /// What kept them from starting; etcd is not installed.
    pub async fn start_with(
        members: usize,
        scheme: &'static str,
        arguments: &[String],
    ) -> std::io::Result<Self> {
        // All are held until all are known, so that none is given twice.
        let held = (0..members * 2)
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect::<std::io::Result<Vec<_>>>()?;
        let ports = held
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port()))
            .collect::<std::io::Result<Vec<_>>>()?;
        drop(held);
        let members =
            ports.chunks(2).map(|ports| Member { client: ports[0], peer: ports[1], child: None });
        let members = members.collect();
        let folder = tempfile::tempdir()?;
        let arguments = arguments.to_vec();
        let mut etcd = Self { members, folder, arguments, scheme };
        for member in 0..etcd.members.len() {
            etcd.spawn(member)?;
        }
        if scheme == "http" {
            for member in 0..etcd.members.len() {
                etcd.wait(member).await?;
            }
        }
        Ok(etcd)
    }

    fn spawn(&mut self, member: usize) -> std::io::Result<()> {
        let peers = self.members.iter().enumerate();
        let peers = peers.map(|(number, one)| format!("m{number}=http://127.0.0.1:{}", one.peer));
        let peers = peers.collect::<Vec<_>>().join(",");
        let log = self.folder.path().join(format!("log{member}"));
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let data = self.folder.path().join(format!("data{member}"));
        let scheme = self.scheme;
        let one = &mut self.members[member];
        let (client, peer) = (one.client, one.peer);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program()?)
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &format!("{scheme}://127.0.0.1:{client}")])
            .args(["--advertise-client-urls", &format!("{scheme}://127.0.0.1:{client}")])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args(["--initial-cluster", &peers, "--initial-cluster-state", "new"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        one.child = Some(child);
        Ok(())
    }

    /// Waits until a member answers with the others' consent.
    ///
    /// # Errors
    /// It does not in time; with its log.
    pub async fn wait(&self, member: usize) -> std::io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while self.post(member, "/v3/kv/range", json!({"key": "YQ=="})).await.is_err() {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder().join(format!("log{member}")))?;
                return Err(std::io::Error::other(format!("etcd does not answer:\n{log}")));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The metadata URL of a cluster in it.
    pub fn url(&self, cluster: &str) -> String {
        self.url_of(&(0..self.members.len()).collect::<Vec<_>>(), cluster)
    }

    /// The metadata URL of a cluster by some of the members.
    pub fn url_of(&self, members: &[usize], cluster: &str) -> String {
        let places = members.iter().map(|member| self.address(*member)).collect::<Vec<_>>();
        format!("etcd://{}?cluster={cluster}", places.join(","))
    }

    /// Where a member takes clients: `host:port`.
    pub fn address(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.members[member].client)
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills a member as a lost machine would.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self, member: usize) -> std::io::Result<()> {
        if let Some(mut child) = self.members[member].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts a killed member again over its data, without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_again(&mut self, member: usize) -> std::io::Result<()> {
        self.spawn(member)
    }

    /// Stops a member where it is: connections stay and nothing is answered, as when the network is cut.
    ///
    /// # Errors
    /// There is no such process.
    pub fn freeze(&self, member: usize) -> std::io::Result<()> {
        self.signal(member, "-STOP")
    }

    /// Lets a frozen member go on.
    ///
    /// # Errors
    /// There is no such process.
    pub fn thaw(&self, member: usize) -> std::io::Result<()> {
        self.signal(member, "-CONT")
    }

    fn signal(&self, member: usize, signal: &str) -> std::io::Result<()> {
        let Some(child) = &self.members[member].child else {
            return Err(std::io::Error::other("the member does not run"));
        };
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(std::io::Error::other("kill failed")) }
    }

    /// Which member leads.
    ///
    /// # Errors
    /// None says so in time.
    pub async fn leader(&self) -> std::io::Result<usize> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            for member in 0..self.members.len() {
                let status = self.post(member, "/v3/maintenance/status", json!({})).await;
                let Ok(status) = status else { continue };
                if status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
                {
                    return Ok(member);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(std::io::Error::other("no member leads"))
    }

    /// Asks one member, as a client without anything else would.
    ///
    /// # Errors
    /// It does not answer within some seconds, or refuses.
    pub async fn post(&self, member: usize, path: &str, request: Value) -> std::io::Result<Value> {
        let exchange = async {
            let mut socket = TcpStream::connect(self.address(member)).await?;
            let body = request.to_string();
            let head = format!(
                "POST {path} HTTP/1.0\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(format!("{head}{body}").as_bytes()).await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            if !head.contains(" 200 ") {
                return Err(std::io::Error::other(answer));
            }
            serde_json::from_str(body).map_err(std::io::Error::other)
        };
        timeout(Duration::from_secs(5), exchange).await?
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            // What is gone already needs no killing.
            let _ = self.kill(member);
        }
    }
}

/// The server's program: `DATAMAN_TEST_ETCD`, else Debian's.
fn program() -> std::io::Result<PathBuf> {
    let configured = std::env::var_os("DATAMAN_TEST_ETCD").map(PathBuf::from);
    let path = configured.unwrap_or_else(|| PathBuf::from("/usr/bin/etcd"));
    if path.is_file() {
        return Ok(path);
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "no etcd found: install etcd-server, or set DATAMAN_TEST_ETCD",
    ))
}
