//! As much of HTTP/1.1 as etcd's gateway needs: one POST after the other on a connection, and answers that are read whole
//! or, for a watch, line by line as they come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::url::{Endpoint, Tls};

/// How long a member may take to take a connection before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest head of an answer; etcd's has a few hundred bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest answer, or line of a watch's: more than etcd keeps in one place.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A connection to one member.
pub(super) struct Connection {
    socket: Socket,
    host: String,
    /// Bytes that were read and not looked at.
    input: Vec<u8>,
    /// How what comes next is delimited.
    rest: Rest,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is left of an answer's body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Length(usize),
    /// Chunks, of the present one so many bytes.
    Chunk(usize),
    /// The next chunk's head.
    ChunkHead,
    /// Everything until the connection is closed.
    UntilClosed,
    /// Nothing.
    Done,
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
            Ok::<_, io::Error>(match tls {
                None => Socket::Plain(socket),
                Some(connector) => {
                    let name = ServerName::try_from(endpoint.host.clone())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                    Socket::Tls(Box::new(connector.connect(name, socket).await?))
                }
            })
        };
        let socket = tokio::time::timeout(CONNECT_TIMEOUT, open).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "it does not take a connection in time")
        })??;
        Ok(Self { socket, host: endpoint.to_string(), input: Vec::new(), rest: Rest::Done })
    }

    /// Whether another request can be sent.
    pub(super) fn is_reusable(&self) -> bool {
        self.rest == Rest::Done && self.input.is_empty()
    }

    /// Sends a request and reads the head of its answer; gives the status. The body is read afterwards.
    pub(super) async fn post(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> io::Result<u16> {
        let authorization =
            token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.socket.write_all(&request).await?;
        self.socket.flush().await?;
        self.read_head().await
    }

    async fn read_head(&mut self) -> io::Result<u16> {
        let end = loop {
            if let Some(end) = find(&self.input, b"\r\n\r\n") {
                break end;
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(malformed("the head of its answer is too long"));
            }
            self.read_more().await?;
        };
        let head: Vec<u8> = self.input.drain(..end + 4).collect();
        let head = std::str::from_utf8(&head).map_err(|_| malformed("its answer is no HTTP"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1."))
            .and_then(|line| line.get(2..5)?.parse::<u16>().ok())
            .ok_or_else(|| malformed("its answer is no HTTP"))?;
        self.rest = Rest::UntilClosed;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                let length = value.trim().parse();
                self.rest = Rest::Length(length.map_err(|_| malformed("its length is no number"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding")
                && value.trim().eq_ignore_ascii_case("chunked")
            {
                self.rest = Rest::ChunkHead;
                break;
            }
        }
        if self.rest == Rest::Length(0) {
            self.rest = Rest::Done;
        }
        Ok(status)
    }

    /// Reads the whole body.
    pub(super) async fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while self.rest != Rest::Done {
            self.take_some(&mut body).await?;
            if body.len() > ANSWER_BYTES_MAX {
                return Err(malformed("its answer is too long"));
            }
        }
        Ok(body)
    }

    /// Reads the next line of a body that comes bit by bit; `read` keeps what has come of the one after. None at the end.
    /// Cancelling loses nothing.
    pub(super) async fn line(&mut self, read: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = read.drain(..=end).collect();
                if line.len() > 1 {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.rest == Rest::Done {
                return Ok((!read.is_empty()).then(|| std::mem::take(read)));
            }
            if read.len() > ANSWER_BYTES_MAX {
                return Err(malformed("a line of its answer is too long"));
            }
            self.take_some(read).await?;
        }
    }

    /// Moves some of the body to `body`. Only reading from the socket waits, so that cancelling loses nothing.
    async fn take_some(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        match self.rest {
            Rest::Done => Ok(()),
            Rest::Length(left) | Rest::Chunk(left) => {
                if self.input.is_empty() {
                    self.read_more().await?;
                }
                let taken = left.min(self.input.len());
                body.extend(self.input.drain(..taken));
                let left = left - taken;
                self.rest = match self.rest {
                    Rest::Chunk(_) if left == 0 => Rest::ChunkHead,
                    Rest::Chunk(_) => Rest::Chunk(left),
                    _ if left == 0 => Rest::Done,
                    _ => Rest::Length(left),
                };
                Ok(())
            }
            Rest::UntilClosed => {
                if self.input.is_empty() {
                    match self.read_more().await {
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                            self.rest = Rest::Done;
                            return Ok(());
                        }
                        outcome => outcome?,
                    }
                }
                body.append(&mut self.input);
                Ok(())
            }
            Rest::ChunkHead => {
                // A chunk but the first comes after the line end that closes the one before.
                let start = if self.input.starts_with(b"\r\n") { 2 } else { 0 };
                let Some(end) = find(&self.input[start..], b"\r\n") else {
                    if self.input.len() > HEAD_BYTES_MAX {
                        return Err(malformed("a chunk of its answer has no length"));
                    }
                    return self.read_more().await;
                };
                let line = std::str::from_utf8(&self.input[start..start + end]).unwrap_or_default();
                let digits = line.split(';').next().unwrap_or_default().trim();
                let length = usize::from_str_radix(digits, 16)
                    .ok()
                    .filter(|length| *length <= ANSWER_BYTES_MAX)
                    .ok_or_else(|| malformed("a chunk of its answer has no length"))?;
                if length > 0 {
                    self.input.drain(..start + end + 2);
                    self.rest = Rest::Chunk(length);
                    return Ok(());
                }
                // The last one; lines may follow it, and an empty line ends them.
                match find(&self.input[start + end..], b"\r\n\r\n") {
                    Some(trailer) => {
                        self.input.drain(..start + end + trailer + 4);
                        self.rest = Rest::Done;
                        Ok(())
                    }
                    None if self.input.len() > HEAD_BYTES_MAX => {
                        Err(malformed("what follows its answer is too long"))
                    }
                    None => self.read_more().await,
                }
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn malformed(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(socket) => Pin::new(socket).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// Answers one request with these bytes, and closes.
    async fn check(answer: &'static [u8], expected: Result<(u16, &str), &str>) {
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
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
        let mut connection = Connection::open(&endpoint, None).await.unwrap();
        let found = async {
            let status = connection.post("/", None, b"{}").await?;
            Ok::<_, io::Error>((status, connection.body().await?))
        };
        let found = found.await.map_err(|error| error.to_string());
        let found = found.map(|(status, body)| (status, String::from_utf8(body).unwrap()));
        let found = found.as_ref().map(|(status, body)| (*status, body.as_str()));
        assert_eq!(found.map_err(String::as_str), expected);
    }

    #[tokio::test]
    async fn answers() {
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Ok((200, "abc"))).await;
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok((200, ""))).await;
        check(b"HTTP/1.0 503 No\r\n\r\nwhy", Ok((503, "why"))).await;
        let chunked = b"HTTP/1.1 412 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        check(chunked, Ok((412, "abcde"))).await;
        let trailed = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nA: b\r\n\r\n";
        check(trailed, Ok((200, "0123456789"))).await;
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Err("it closed the connection"))
            .await;
        check(b"SSH-2.0-x\r\n\r\n", Err("its answer is no HTTP")).await;
        check(
            b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Err("a chunk of its answer has no length"),
        )
        .await;
    }
}
