//! Asking the members of an etcd, one after the other until one answers.
//!
//! Every request of the store may be sent twice: what it changes hangs on a comparison that the first of two makes false.
//! So a request whose answer was lost is sent to the next member without asking what became of it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::http::{Connection, connector};
use super::message::{AuthenticateRequest, AuthenticateResponse, Refusal};
use super::url::{Endpoint, EtcdUrl};

/// How long one member may take for an answer before the next one is asked: longer than etcd takes to elect a leader, since a
/// member without one answers only after that.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all members together may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when each member has been asked in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(200);

/// How many idle connections are kept to a member; more are closed.
const IDLE_MAX: usize = 4;

/// gRPC's numbers of failures that another member would answer alike.
const DEFINITE: [u32; 8] = [3, 5, 6, 7, 8, 9, 11, 12];

/// gRPC's number of a revision that is gone.
pub(super) const OUT_OF_RANGE: u32 = 11;

/// gRPC's number of too much.
pub(super) const RESOURCE_EXHAUSTED: u32 = 8;

/// gRPC's number of something that is not there.
pub(super) const NOT_FOUND: u32 = 5;

/// gRPC's number of a token that is not known any more.
const UNAUTHENTICATED: u32 = 16;

/// A client of all members.
#[derive(Clone)]
pub(super) struct Client {
    shared: Arc<Shared>,
    /// Where sockets live: callers come from runtimes that may end before the store does.
    home: Handle,
}

struct Shared {
    url: EtcdUrl,
    tls: Option<TlsConnector>,
    members: Vec<Member>,
    /// The member that answered last.
    preferred: AtomicUsize,
    token: Mutex<Option<String>>,
}

struct Member {
    endpoint: Endpoint,
    idle: Mutex<Vec<Connection>>,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// No member answered.
    Unreachable(Attempts),
    /// etcd refused.
    Refused {
        /// gRPC's number of the reason.
        code: u32,
        /// The reason.
        message: String,
    },
}

/// What became of the last attempt at each member.
#[derive(Debug)]
pub(super) struct Attempts(Vec<(String, String)>);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (endpoint, problem)) in self.0.iter().enumerate() {
            write!(f, "{}{endpoint}: {problem}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Attempts {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(attempts) => attempts.fmt(f),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for CallError {}

/// Why one attempt failed.
enum AttemptError {
    Io(io::Error),
    Refused { code: u32, message: String },
}

impl From<io::Error> for AttemptError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl Client {
    /// A client of the members of a URL, whose sockets live on the present runtime. Nothing is sent yet.
    ///
    /// # Errors
    /// A file that encryption needs cannot be read.
    pub(super) fn new(url: EtcdUrl) -> Result<Self, String> {
        let tls = url.tls.as_ref().map(connector).transpose()?;
        let members = url
            .endpoints
            .iter()
            .map(|endpoint| Member { endpoint: endpoint.clone(), idle: Mutex::default() })
            .collect();
        let (preferred, token) = (AtomicUsize::new(0), Mutex::default());
        let shared = Arc::new(Shared { url, tls, members, preferred, token });
        Ok(Self { shared, home: Handle::current() })
    }

    /// Asks the members in turn until one answers or refuses.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &'static str,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(request).expect("requests have nothing that JSON lacks");
        let shared = self.shared.clone();
        let mut task = JoinSet::new();
        task.spawn_on(async move { shared.call(path, &body).await }, &self.home);
        let answer = match task.join_next().await {
            Some(Ok(answer)) => answer?,
            // The process is going down.
            _ => return Err(CallError::Unreachable(Attempts(Vec::new()))),
        };
        serde_json::from_slice(&answer).map_err(|error| {
            let problem = format!("its answer cannot be read: {error}");
            CallError::Unreachable(Attempts(vec![(self.shared.url.to_string(), problem)]))
        })
    }

    /// How many members are known.
    pub(super) fn members(&self) -> usize {
        self.shared.members.len()
    }

    /// The member that answered last.
    pub(super) fn preferred(&self) -> usize {
        self.shared.preferred.load(Ordering::Relaxed)
    }

    /// Opens a stream at one member. To be called on the runtime that the client was made on.
    pub(super) async fn stream(
        &self,
        member: usize,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Connection, String> {
        let body = serde_json::to_vec(request).expect("requests have nothing that JSON lacks");
        let member = &self.shared.members[member % self.shared.members.len()];
        let open = async {
            let token = self.shared.token(member).await?;
            let mut connection =
                Connection::open(&member.endpoint, self.shared.tls.as_ref()).await?;
            match connection.post(path, token.as_deref(), &body).await? {
                200 => Ok(connection),
                status => {
                    self.shared.forget_token(token.as_deref());
                    let body = connection.body().await?;
                    Err(refusal(status, &body))
                }
            }
        };
        match timeout(ATTEMPT_TIMEOUT, open).await {
            Ok(opened) => opened.map_err(|error| format!("{}: {error}", member.endpoint)),
            Err(_) => Err(format!("{}: no answer", member.endpoint)),
        }
    }

    /// Forgets the token: a stream has been refused.
    pub(super) fn forget_token(&self) {
        *lock(&self.shared.token) = None;
    }
}

impl Shared {
    async fn call(&self, path: &str, body: &[u8]) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut problems = vec![String::new(); self.members.len()];
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            for step in 0..self.members.len() {
                let place = (first + step) % self.members.len();
                let until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
                let attempt = timeout_at(until, self.attempt(&self.members[place], path, body));
                match attempt.await {
                    Ok(Ok(answer)) => {
                        self.preferred.store(place, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Ok(Err(AttemptError::Refused { code, message }))
                        if DEFINITE.contains(&code) || code == UNAUTHENTICATED =>
                    {
                        return Err(CallError::Refused { code, message });
                    }
                    Ok(Err(error)) => problems[place] = error.to_string(),
                    Err(_) => {
                        let spent = ATTEMPT_TIMEOUT.as_secs();
                        if problems[place].is_empty() || until < deadline {
                            problems[place] = format!("no answer for {spent} seconds");
                        }
                    }
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            if Instant::now() + ROUND_PAUSE >= deadline {
                let endpoints = self.members.iter().map(|member| member.endpoint.to_string());
                let asked = endpoints.zip(problems).filter(|(_, problem)| !problem.is_empty());
                return Err(CallError::Unreachable(Attempts(asked.collect())));
            }
            sleep(ROUND_PAUSE).await;
        }
    }

    async fn attempt(
        &self,
        member: &Member,
        path: &str,
        body: &[u8],
    ) -> Result<Bytes, AttemptError> {
        let token = self.token(member).await?;
        match self.exchange(member, path, token.as_deref(), body).await {
            Err(AttemptError::Refused { code: UNAUTHENTICATED, .. }) if token.is_some() => {
                // Tokens end when they were not used for some minutes, or with the member.
                self.forget_token(token.as_deref());
                let token = self.token(member).await?;
                self.exchange(member, path, token.as_deref(), body).await
            }
            outcome => outcome,
        }
    }

    /// The token to send, asked for when none is known.
    async fn token(&self, member: &Member) -> Result<Option<String>, AttemptError> {
        let Some(login) = &self.url.login else { return Ok(None) };
        if let Some(token) = lock(&self.token).clone() {
            return Ok(Some(token));
        }
        let request = AuthenticateRequest { name: &login.user, password: &login.password };
        let body = serde_json::to_vec(&request).expect("requests have nothing that JSON lacks");
        let answer = self.exchange(member, "/v3/auth/authenticate", None, &body).await;
        let token = match answer {
            Ok(answer) => {
                serde_json::from_slice::<AuthenticateResponse>(&answer)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
                    .token
            }
            Err(AttemptError::Refused { code, message }) if message.contains("not enabled") => {
                tracing::warn!("etcd asks for no password, and one was given");
                let _ = code;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        *lock(&self.token) = Some(token.clone());
        Ok(Some(token))
    }

    fn forget_token(&self, used: Option<&str>) {
        let mut token = lock(&self.token);
        if token.as_deref() == used {
            *token = None;
        }
    }

    /// One request and its answer, on a connection that is idle or a new one.
    async fn exchange(
        &self,
        member: &Member,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> Result<Bytes, AttemptError> {
        let idle = lock(&member.idle).pop();
        let (mut connection, status) = match idle {
            // The member may have closed it meanwhile.
            Some(mut connection) => match connection.post(path, token, body).await {
                Ok(status) => (connection, status),
                Err(_) => self.fresh(member, path, token, body).await?,
            },
            None => self.fresh(member, path, token, body).await?,
        };
        let answer = connection.body().await?;
        if connection.is_reusable() {
            let mut idle = lock(&member.idle);
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
        }
        if status == 200 { Ok(answer) } else { Err(refusal(status, &answer)) }
    }

    async fn fresh(
        &self,
        member: &Member,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> Result<(Connection, u16), AttemptError> {
        lock(&member.idle).clear();
        let mut connection = Connection::open(&member.endpoint, self.tls.as_ref()).await?;
        let status = connection.post(path, token, body).await?;
        Ok((connection, status))
    }
}

/// What an answer of another status than 200 says.
fn refusal(status: u16, body: &[u8]) -> AttemptError {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, code }) if !error.is_empty() => {
            let message = error.strip_prefix("etcdserver: ").unwrap_or(&error).to_owned();
            AttemptError::Refused { code, message }
        }
        _ => {
            let problem = format!("it answers with the HTTP status {status}, which is not etcd's");
            AttemptError::Io(io::Error::new(io::ErrorKind::InvalidData, problem))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
