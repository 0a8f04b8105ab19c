//! A connection to one member of an etcd: requests to its gateway, one after the other, by HTTP/1.1 (hyper), and answers that are
//! read whole or, for a watch, line by line as they come.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::url::{Endpoint, Tls};

/// How long a member may take to take a connection before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What is read ahead on a connection, the head of an answer included; etcd's has a few hundred bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The longest answer, or line of a watch's: more than etcd keeps in one place.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A connection to one member.
pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    host: String,
    /// The body of the present answer, while there may be more of it.
    answer: Option<Incoming>,
    /// The task that reads and writes the socket; it ends with the connection.
    _driver: JoinSet<()>,
}

/// Reads the files that encryption needs.
pub(super) fn connector(tls: &Tls) -> Result<TlsConnector, String> {
    let unreadable = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        format!("{}: {error}", path.display())
    };
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::pem_file_iter(&tls.authority)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&tls.authority, &error))?;
    if trusted.is_empty() {
        return Err(unreadable(&tls.authority, &"there is no certificate in it"));
    }
    for certificate in trusted {
        roots.add(certificate).map_err(|error| unreadable(&tls.authority, &error))?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unreadable(certificate, &error))?;
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| unreadable(certificate, &error))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Connection {
    /// Connects to a member.
    pub(super) async fn open(endpoint: &Endpoint, tls: Option<&TlsConnector>) -> io::Result<Self> {
        let open = async {
            let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            socket.set_nodelay(true)?;
            match tls {
                None => Self::over(socket, endpoint).await,
                Some(connector) => {
                    let name = ServerName::try_from(endpoint.host.clone())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                    Self::over(connector.connect(name, socket).await?, endpoint).await
                }
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, open).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "it does not take a connection in time")
        })?
    }

    async fn over<S>(socket: S, endpoint: &Endpoint) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, driver) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(broken)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Why it ended is told to the request that waits; where none does, a member has closed an idle connection.
            let _ = driver.await;
        });
        Ok(Self { requests, host: endpoint.to_string(), answer: None, _driver: task })
    }

    /// Whether another request can be sent.
    pub(super) fn is_reusable(&self) -> bool {
        self.answer.is_none() && !self.requests.is_closed()
    }

    /// Sends a request and reads the head of its answer; gives the status. The body is read afterwards.
    pub(super) async fn post(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> io::Result<u16> {
        let mut request =
            Request::post(path).header(HOST, &self.host).header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.requests.ready().await.map_err(broken)?;
        let answer = self.requests.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        self.answer = Some(answer.into_body());
        Ok(status)
    }

    /// Reads the whole body.
    pub(super) async fn body(&mut self) -> io::Result<Bytes> {
        let Some(answer) = self.answer.take() else { return Ok(Bytes::new()) };
        let whole = Limited::new(answer, ANSWER_BYTES_MAX).collect().await;
        let whole = whole.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => broken(*error),
            Err(_) => io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"),
        })?;
        Ok(whole.to_bytes())
    }

    /// Reads the next line of a body that comes bit by bit; `read` keeps what has come of the one after. None at the end.
    /// Cancelling loses nothing: only the next frame is waited for.
    pub(super) async fn line(&mut self, read: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = read.drain(..=end).collect();
                if line.len() > 1 {
                    return Ok(Some(line));
                }
                continue;
            }
            if read.len() > ANSWER_BYTES_MAX {
                let problem = "a line of its answer is too long";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            let frame = match &mut self.answer {
                Some(answer) => answer.frame().await,
                None => None,
            };
            match frame.transpose().map_err(broken)? {
                // Trailers say nothing that is asked for.
                Some(frame) => read.extend(frame.into_data().unwrap_or_default()),
                None => {
                    self.answer = None;
                    return Ok((!read.is_empty()).then(|| std::mem::take(read)));
                }
            }
        }
    }
}

/// A failure of the connection, with its cause.
fn broken(error: hyper::Error) -> io::Error {
    match error.source() {
        Some(cause) => io::Error::other(format!("{error}: {cause}")),
        None => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with these bytes, and closes.
    async fn server(answer: &'static [u8]) -> (Endpoint, JoinSet<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let _ = socket.read(&mut request).await.unwrap();
            // In two writes, so that a boundary falls somewhere.
            let (first, second) = answer.split_at(answer.len() / 2);
            socket.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            socket.write_all(second).await.unwrap();
        });
        (Endpoint { host: "127.0.0.1".to_owned(), port }, server)
    }

    /// Reads the answer to one request whole.
    async fn check(answer: &'static [u8], expected: Option<(u16, &str)>) {
        let (endpoint, _server) = server(answer).await;
        let mut connection = Connection::open(&endpoint, None).await.unwrap();
        let found = async {
            let status = connection.post("/", None, b"{}").await?;
            Ok::<_, io::Error>((status, connection.body().await?))
        };
        let found = found.await.ok();
        let found = found.as_ref().map(|(status, body)| (*status, str::from_utf8(body).unwrap()));
        assert_eq!(found, expected, "{}", answer.escape_ascii());
    }

    #[tokio::test]
    async fn answers() {
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Some((200, "abc"))).await;
        check(b"HTTP/1.0 503 No\r\n\r\nwhy", Some((503, "why"))).await;
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None).await;
        check(b"SSH-2.0-x\r\n\r\n", None).await;
    }

    #[tokio::test]
    async fn lines() {
        let (endpoint, _server) = server(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n5\r\n\ntwo\n\r\n3\r\nend\r\n0\r\n\r\n",
        )
        .await;
        let mut connection = Connection::open(&endpoint, None).await.unwrap();
        assert_eq!(connection.post("/", None, b"{}").await.unwrap(), 200);
        let mut read = Vec::new();
        for expected in [Some(&b"one\n"[..]), Some(b"two\n"), Some(b"end"), None] {
            assert_eq!(connection.line(&mut read).await.unwrap().as_deref(), expected);
        }
    }
}
