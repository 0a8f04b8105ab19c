//! The socket: plain TCP or TLS over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::{Address, SslMode};
use crate::error::{NodeError, NodeErrorKind};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, and encrypts as the address asks.
    pub(crate) async fn connect(address: &Address) -> Result<Self, NodeError> {
        let mut tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| unreachable(&error))?;
        // A failure would only cost latency.
        let _ = tcp.set_nodelay(true);
        if address.ssl_mode == SslMode::Disable {
            return Ok(Self::Plain(tcp));
        }
        let mut request = bytes::BytesMut::new();
        postgres_protocol::message::frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.map_err(|error| unreachable(&error))?;
        // One byte alone: whatever follows it must come from within the encryption.
        match tcp.read_u8().await.map_err(|error| unreachable(&error))? {
            b'S' => {}
            b'N' if address.ssl_mode == SslMode::Prefer => return Ok(Self::Plain(tcp)),
            b'N' => return Err(refused("the server does not offer TLS, which sslmode asks for")),
            _ => return Err(refused("the server did not understand the request for TLS")),
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| refused("the host is no name that TLS can use"))?;
        let connector = TlsConnector::from(Arc::new(tls_config(address)?));
        let tls = connector.connect(name, tcp).await.map_err(|error| {
            NodeError::new(
                NodeErrorKind::Unreachable,
                "08006",
                format!("TLS handshake failed: {error}"),
            )
        })?;
        Ok(Self::Tls(Box::new(tls)))
    }

    /// Registers the socket with the runtime of the thread that asks; none when that fails. What is under TLS stays where
    /// it is, and works from any thread.
    pub(crate) fn move_here(self) -> Option<Self> {
        match self {
            Self::Plain(tcp) => TcpStream::from_std(tcp.into_std().ok()?).ok().map(Self::Plain),
            tls @ Self::Tls(_) => Some(tls),
        }
    }
}

/// The server cannot be reached. The operating system's words name no address.
pub(crate) fn unreachable(error: &io::Error) -> NodeError {
    NodeError::new(
        NodeErrorKind::Unreachable,
        "08001",
        format!("could not connect to a node's database: {error}"),
    )
}

fn refused(reason: &str) -> NodeError {
    NodeError::new(NodeErrorKind::Unreachable, "08001", reason)
}

fn tls_config(address: &Address) -> Result<rustls::ClientConfig, NodeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| refused("no TLS version in common"))?;
    let roots = || -> Result<Arc<RootCertStore>, NodeError> {
        let path = address.ssl_root_certificate.as_ref().ok_or_else(|| {
            refused("sslmode verify-ca and verify-full need sslrootcert, a file of trusted certificates")
        })?;
        let unreadable =
            || refused("the file of trusted certificates (sslrootcert) cannot be read");
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_| unreadable())? {
            store.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        }
        Ok(Arc::new(store))
    };
    Ok(match address.ssl_mode {
        SslMode::VerifyFull => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots()?, provider)
                .build()
                .map_err(|_| refused("the file of trusted certificates (sslrootcert) is empty"))?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        }
        mode => {
            let roots = (mode == SslMode::VerifyCa).then(roots).transpose()?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName { roots, provider }))
                .with_no_client_auth()
        }
    })
}

/// Checks what `prefer`, `require` and `verify-ca` check: not the host's name, and without roots not the signer either.
#[derive(Debug)]
struct AnyName {
    roots: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
