//! The startup message: encryption, cancel requests, protocol versions, and who the client is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::session::running::Running;
use crate::session::{Identity, Session};
use crate::sqlstate::Report;
use crate::wire::cancel::CancelKey;
use crate::wire::connection::{ReadError, Reader, Writer};
use crate::wire::listen::Proxy;
use crate::wire::message::{Body, SMALL_FRAME_BYTES_MAX};
use crate::wire::scram::{Exchange, Failure, MECHANISM, Verifier};
use crate::wire::start::defaults_of;

/// How long a client may take from connecting to being known, as PostgreSQL's `authentication_timeout`.
pub const AUTHENTICATION_TIME: Duration = Duration::from_secs(60);

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// A client that is known.
pub struct Accepted {
    /// What it sends.
    pub reader: Reader,
    /// What it gets.
    pub writer: Writer,
    /// Its session.
    pub session: Session,
    /// Its cancel key.
    pub key: CancelKey,
}

/// Why a connection does not become a session.
#[derive(Debug)]
pub enum Refusal {
    /// The client is told why.
    Report(Box<Report>),
    /// There is nobody to tell, or nothing to say: a cancel request, a client that is gone.
    Silent,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Silent
    }
}

impl From<Report> for Refusal {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

/// What the startup message says.
struct Startup {
    parameters: Vec<(String, String)>,
    minor: u16,
}

/// Leads a client from its first byte to its session. Gives none when there is no session; the client has been told why.
pub async fn accept(proxy: &Arc<Proxy>, stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
    // Answers are small and awaited: none is to wait for the next.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut reader = Reader::new(Box::new(read), bytes::BytesMut::new());
    let mut writer = Writer::new(Box::new(write));
    let outcome = tokio::time::timeout(
        AUTHENTICATION_TIME,
        try_accept(proxy, &mut reader, &mut writer, peer),
    )
    .await
    .unwrap_or(Err(Refusal::Silent));
    match outcome {
        Ok((session, key)) => Some(Accepted { reader, writer, session, key }),
        Err(Refusal::Report(report)) => {
            tracing::info!(%peer, sqlstate = report.sqlstate, message = report.message, "client refused");
            writer.report(&report);
            writer.close().await;
            None
        }
        Err(Refusal::Silent) => None,
    }
}

async fn try_accept(
    proxy: &Arc<Proxy>,
    reader: &mut Reader,
    writer: &mut Writer,
    peer: SocketAddr,
) -> Result<(Session, CancelKey), Refusal> {
    let startup = read_startup(proxy, reader, writer).await?;
    let get = |name: &str| {
        let found = startup.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let Some(user) = get("user") else {
        return Err(
            Report::fatal("28000", "no PostgreSQL user name specified in startup packet").into()
        );
    };
    let database = get("database").unwrap_or(user);
    if get("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0")) {
        return Err(Report::fatal("0A000", "replication connections are not supported").into());
    }
    let unknown: Vec<String> = startup
        .parameters
        .iter()
        .filter(|(name, _)| name.starts_with("_pq_."))
        .map(|(name, _)| name.clone())
        .collect();
    if startup.minor > 0 || !unknown.is_empty() {
        writer.negotiate_protocol_version(&unknown);
    }
    let superuser = authenticate(proxy, reader, writer, user, peer).await?;
    writer.authentication(0, &[]);
    let snapshot = proxy.cluster.snapshot();
    if snapshot.database(database).is_none() {
        return Err(
            Report::fatal("3D000", format!("database \"{database}\" does not exist")).into()
        );
    }

    let defaults = defaults_of(&snapshot, database, user);
    let identity = (Arc::from(user), Arc::from(database));
    let user = user.to_owned();
    let start = proxy
        .starts
        .begin(&user, superuser, &proxy.statement_mem, startup.parameters, defaults)
        .map_err(|error| fatal(&error))?;
    writer.frames(&start.reports);

    let running = Arc::new(Running::default());
    let key = proxy.cancel_keys.register(&running);
    let identity =
        Identity { user: identity.0, database: identity.1, process_id: key.process_id, superuser };
    let session = Session::new(
        Arc::clone(&proxy.cluster),
        Arc::clone(&proxy.plans),
        identity,
        start.settings,
        running,
        Some(peer),
    );
    Ok((session, key))
}

/// Reads startup messages until there is one that starts a session.
async fn read_startup(
    proxy: &Arc<Proxy>,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<Startup, Refusal> {
    let mut encrypted = false;
    let mut gss_refused = false;
    loop {
        if !reader.at_least(8).await? {
            return Err(Refusal::Silent);
        }
        let head = &reader.input[..8];
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if !(8..=SMALL_FRAME_BYTES_MAX).contains(&length) {
            return Err(Report::fatal("08P01", "invalid length of startup packet").into());
        }
        if !reader.at_least(length).await? {
            return Err(Refusal::Silent);
        }
        let mut body = reader.input.split_to(length).freeze();
        body.advance(8);
        match code {
            SSL_REQUEST if !encrypted => match &proxy.tls {
                None => {
                    writer.byte(b'N');
                    writer.flush().await?;
                }
                Some(acceptor) => {
                    writer.byte(b'S');
                    writer.flush().await?;
                    encrypt(acceptor, reader, writer).await?;
                    encrypted = true;
                }
            },
            GSS_REQUEST if !gss_refused => {
                writer.byte(b'N');
                writer.flush().await?;
                gss_refused = true;
            }
            CANCEL_REQUEST => {
                let mut body = Body(body);
                if let (Ok(process_id), Ok(secret)) = (body.uint32(), body.uint32()) {
                    proxy.cancel_keys.cancel(process_id.cast_signed(), secret.cast_signed());
                }
                return Err(Refusal::Silent);
            }
            code if code >> 16 == 3 => {
                let minor = u16::try_from(code & 0xffff).unwrap_or(u16::MAX);
                return Ok(Startup { parameters: read_parameters(body)?, minor });
            }
            code => {
                return Err(Report::fatal(
                    "0A000",
                    format!(
                        "unsupported frontend protocol {}.{}: server supports 3.0 to 3.0",
                        code >> 16,
                        code & 0xffff
                    ),
                )
                .into());
            }
        }
    }
}

/// Puts TLS between the two halves and the socket.
async fn encrypt(
    acceptor: &TlsAcceptor,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<(), Refusal> {
    if !reader.input.is_empty() {
        // Bytes before the handshake came unencrypted, and must not be taken for the client's.
        return Err(Report::fatal("08P01", "received unencrypted data after SSL request").into());
    }
    let gone = || Reader::new(Box::new(tokio::io::empty()), bytes::BytesMut::new());
    let (read, _) = std::mem::replace(reader, gone()).into_parts();
    let write = std::mem::replace(writer, Writer::new(Box::new(tokio::io::sink()))).into_half();
    let stream = acceptor.accept(tokio::io::join(read, write)).await?;
    let (read, write) = tokio::io::split(stream);
    *reader = Reader::new(Box::new(read), bytes::BytesMut::new());
    *writer = Writer::new(Box::new(write));
    Ok(())
}

fn read_parameters(body: bytes::Bytes) -> Result<Vec<(String, String)>, Refusal> {
    let malformed = || {
        Report::fatal("08P01", "invalid startup packet layout: expected terminator as last byte")
    };
    let mut body = Body(body);
    let mut parameters = Vec::new();
    loop {
        let name = body.string().map_err(|_| malformed())?;
        if name.is_empty() {
            return if body.0.is_empty() { Ok(parameters) } else { Err(malformed().into()) };
        }
        let value = body.string().map_err(|_| malformed())?;
        parameters.push((name, value));
    }
}

/// Finds out whether the client is who it says; gives whether the role is a superuser.
///
/// A role without a password may come from the same machine without one: the one-machine default needs no setup, and
/// nobody else gets in.
async fn authenticate(
    proxy: &Arc<Proxy>,
    reader: &mut Reader,
    writer: &mut Writer,
    user: &str,
    peer: SocketAddr,
) -> Result<bool, Refusal> {
    let snapshot = proxy.cluster.snapshot();
    let role = snapshot.role(user);
    let verifier = role.and_then(|role| role.verifier.as_deref());
    let is_local = peer.ip().to_canonical().is_loopback();
    let verifier = match (role, verifier) {
        (Some(role), None) if is_local => return Ok(role.superuser),
        (None, _) if is_local => {
            return Err(Report::fatal("28000", format!("role \"{user}\" does not exist")).into());
        }
        (_, Some(verifier)) => Verifier::parse(verifier).unwrap_or_else(Verifier::mock),
        (_, None) => Verifier::mock(),
    };
    let wrong =
        || Report::fatal("28P01", format!("password authentication failed for user \"{user}\""));
    let failed = |failure: Failure| match failure {
        Failure::Password => wrong(),
        Failure::Malformed(detail) => {
            Report::fatal("08P01", "malformed SCRAM message").with_detail(detail)
        }
    };

    writer.authentication(10, format!("{MECHANISM}\0\0").as_bytes());
    writer.flush().await?;
    let mut first = Body(read_password(reader).await?);
    let mechanism = first.string().map_err(|error| fatal(&error))?;
    if mechanism != MECHANISM {
        return Err(Report::fatal(
            "08P01",
            "client selected an invalid SASL authentication mechanism",
        )
        .into());
    }
    // The length of the initial response; -1 when there is none, which SCRAM does not have.
    first.uint32().map_err(|error| fatal(&error))?;
    let first = crate::wire::message::utf8(&first.0).map_err(|error| fatal(&error))?;
    let (exchange, answer) = Exchange::begin(verifier, first).map_err(failed)?;
    writer.authentication(11, answer.as_bytes());
    writer.flush().await?;
    let last = read_password(reader).await?;
    let last = crate::wire::message::utf8(&last).map_err(|error| fatal(&error))?;
    let answer = exchange.finish(last).map_err(failed)?;
    writer.authentication(12, answer.as_bytes());
    Ok(role.is_some_and(|role| role.superuser))
}

fn fatal(error: &dataman_pg::PgError) -> Report {
    Report { severity: crate::sqlstate::Severity::Fatal, ..error.into() }
}

/// The body of a password message.
async fn read_password(reader: &mut Reader) -> Result<bytes::Bytes, Refusal> {
    // Nobody who is not known yet needs more than this.
    if !reader.at_least(5).await? {
        return Err(Refusal::Silent);
    }
    let length =
        u32::from_be_bytes([reader.input[1], reader.input[2], reader.input[3], reader.input[4]]);
    if reader.input[0] != b'p' {
        return Err(Report::fatal(
            "08P01",
            format!("expected SASL response, got message type {}", reader.input[0]),
        )
        .into());
    }
    if length as usize > SMALL_FRAME_BYTES_MAX {
        return Err(Report::fatal("08P01", "invalid message length").into());
    }
    match reader.frame().await {
        Ok(Some(frame)) => Ok(frame.body),
        Ok(None) | Err(ReadError::Io(_)) => Err(Refusal::Silent),
        Err(ReadError::Frame(error)) => Err(Report::fatal("08P01", error.to_string()).into()),
    }
}
