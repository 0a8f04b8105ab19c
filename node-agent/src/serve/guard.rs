//! Who may come to an agent: passwords by SCRAM, and TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::backend;
use dataman_node_protocol::frontend::FrontendMessage;
use dataman_node_protocol::scram::{Exchange, Failure, MECHANISM, Verifier};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::serve::wire::{Gone, Wire};

/// What is asked of everybody who comes.
#[derive(Clone, Default)]
pub struct Guard {
    /// The password's verifier; none when nobody is asked.
    pub verifier: Option<Verifier>,
    /// The agent's certificate; with one, connections that are not encrypted are refused.
    pub tls: Option<TlsAcceptor>,
}

/// Why somebody is not let in.
pub(super) enum Refusal {
    /// With these words.
    Told(NodeError),
    /// Nobody can be told: the client is gone.
    Gone,
}

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Guard {
    /// Lets somebody in who is encrypted and knows the password, where these are asked for.
    pub(super) async fn admit(&self, wire: &mut Wire) -> Result<(), Refusal> {
        if self.tls.is_some() && !wire.is_encrypted() {
            let error = NodeError::statement(
                "28000",
                "this agent takes encrypted connections only",
            )
            .with_hint(
                "Give the node an agent_ca in the cluster file, or connect with sslmode=require.",
            );
            return Err(Refusal::Told(error));
        }
        let Some(verifier) = &self.verifier else { return Ok(()) };
        let told = |error: NodeError| Refusal::Told(error);
        let failed = |failure: Failure| match failure {
            Failure::Password => told(NodeError::statement(
                "28P01",
                "password authentication failed: the agent has another one",
            )),
            Failure::Malformed(detail) => {
                let error = NodeError::statement("08P01", "malformed SCRAM message");
                told(NodeError { detail: Some(detail.to_owned()), ..error })
            }
        };
        backend::encode_sasl(10, format!("{MECHANISM}\0\0").as_bytes(), &mut wire.out);
        let first = answer(wire).await?;
        // The mechanism's name and a zero, the length, and the message.
        let message = first
            .strip_prefix(MECHANISM.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\0"))
            .and_then(|rest| rest.get(4..))
            .and_then(|message| std::str::from_utf8(message).ok())
            .ok_or_else(|| failed(Failure::Malformed("It names another mechanism.")))?;
        let (exchange, reply) = Exchange::begin(verifier.clone(), message).map_err(failed)?;
        backend::encode_sasl(11, reply.as_bytes(), &mut wire.out);
        let last = answer(wire).await?;
        let last =
            std::str::from_utf8(&last).map_err(|_| failed(Failure::Malformed("It is no text.")))?;
        let reply = exchange.finish(last).map_err(failed)?;
        backend::encode_sasl(12, reply.as_bytes(), &mut wire.out);
        Ok(())
    }
}

async fn answer(wire: &mut Wire) -> Result<Bytes, Refusal> {
    wire.flush().await?;
    match wire.next().await? {
        FrontendMessage::Password(body) => Ok(body),
        _ => Err(Refusal::Told(NodeError::statement("08P01", "a password was asked for"))),
    }
}

/// A client's socket, encrypted or not.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Being made the other; broken when that failed.
    Changing,
}

impl Socket {
    /// Encrypts it: the client has asked for it and was told that it may.
    pub(super) async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        if let Self::Plain(socket) = std::mem::replace(self, Self::Changing) {
            *self = Self::Tls(Box::new(acceptor.accept(socket).await?));
        }
        Ok(())
    }
}

fn broken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
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
            Self::Changing => broken(),
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
            Self::Changing => broken(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(socket) => Pin::new(socket).poll_flush(context),
            Self::Changing => broken(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Changing => broken(),
        }
    }
}
