//! A client's socket: bytes in, messages out.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dataman_node_protocol::frontend::{FrontendError, FrontendMessage, take_message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::serve::guard::Socket;
use crate::serve::listen::Agent;
use crate::serve::metrics::Counts;

/// Answers gathered before they are written without being asked for.
const OUT_BYTES: usize = 64 * 1024;

/// Messages read ahead while a statement runs: beyond it the client waits.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// How long a client may take to close its side.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why a session is over.
#[derive(Debug)]
pub(super) enum Gone {
    /// The socket broke or was closed.
    Socket,
    /// The client broke the protocol.
    Protocol(FrontendError),
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

/// A client's socket with what was read and what is to be written.
pub(super) struct Wire {
    socket: Socket,
    pub(super) input: BytesMut,
    /// Messages to be written.
    pub(super) out: BytesMut,
    agent: Arc<Agent>,
}

impl Wire {
    pub(super) fn new(agent: Arc<Agent>, socket: TcpStream) -> Self {
        let (input, out) = (BytesMut::new(), BytesMut::new());
        Self { socket: Socket::Plain(socket), input, out, agent }
    }

    /// Whether nobody on the way can read along.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Encrypts the connection from here on. What came before in clear text is not believed.
    pub(super) async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> Result<(), Gone> {
        if !self.input.is_empty() {
            return Err(Gone::Socket);
        }
        Ok(self.socket.encrypt(acceptor).await?)
    }

    /// The next message, waiting for it.
    pub(super) async fn next(&mut self) -> Result<FrontendMessage, Gone> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            self.read().await?;
        }
    }

    /// The next message, if all of it has come.
    pub(super) fn take(&mut self) -> Result<Option<FrontendMessage>, Gone> {
        take_message(&mut self.input).map_err(Gone::Protocol)
    }

    /// Reads more.
    pub(super) async fn read(&mut self) -> Result<(), Gone> {
        self.input.reserve(8 * 1024);
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(Gone::Socket),
            read => {
                Counts::add(&self.agent.counts.received_bytes, read);
                Ok(())
            }
        }
    }

    /// Waits for the client to go away; messages that come meanwhile are kept. Safe to drop and call again.
    pub(super) async fn gone(&mut self) -> Gone {
        while self.input.len() < AHEAD_BYTES_MAX {
            if let Err(gone) = self.read().await {
                return gone;
            }
        }
        std::future::pending().await
    }

    /// Whether the client is gone; messages that come meanwhile are kept.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Gone> {
        // The future reads at most once at a time, and holds nothing when it is dropped.
        std::pin::pin!(self.gone()).poll(context)
    }

    /// Writes what is to be written. Safe to drop: what was written is not written again, and the rest is kept.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        while !self.out.is_empty() {
            let written = self.socket.write_buf(&mut self.out).await?;
            if written == 0 {
                return Err(Gone::Socket);
            }
            Counts::add(&self.agent.counts.sent_bytes, written);
        }
        if self.is_encrypted() {
            self.socket.flush().await?;
        }
        if self.out.capacity() > 4 * OUT_BYTES {
            self.out = BytesMut::new();
        } else {
            // The same room serves the next answer.
            self.out.clear();
        }
        Ok(())
    }

    /// Writes the last words and closes: what the client was still sending is read, so that its system does not throw these away.
    pub(super) async fn close(&mut self) -> Result<(), Gone> {
        self.flush().await?;
        self.socket.shutdown().await?;
        let rest = async {
            while self.read().await.is_ok() {
                self.input.clear();
            }
        };
        let _ = timeout(CLOSE_TIME, rest).await;
        Ok(())
    }

    /// Writes rows as they are, after what is to be written before them.
    pub(super) async fn write_frames(&mut self, frames: &Bytes) -> Result<(), Gone> {
        if self.out.len() + frames.len() <= OUT_BYTES {
            self.out.extend_from_slice(frames);
            return Ok(());
        }
        self.flush().await?;
        self.socket.write_all(frames).await?;
        Counts::add(&self.agent.counts.sent_bytes, frames.len());
        if self.is_encrypted() {
            self.socket.flush().await?;
        }
        Ok(())
    }
}
