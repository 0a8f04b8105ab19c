//! A relay of TCP connections that a test can cut: nothing passes, in either direction, and nothing is closed.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A relay to one address.
pub(crate) struct Relay {
    address: SocketAddr,
    /// Whether bytes pass.
    passes: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts relaying to `target`.
    pub(crate) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let passes = watch::Sender::new(true);
        let (target, passing) = (target.to_owned(), passes.subscribe());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (target, passing) = (target.clone(), passing.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(&target).await else { return };
                    let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                    let mut ways = JoinSet::new();
                    ways.spawn(copy(from, forth, passing.clone()));
                    ways.spawn(copy(back, to, passing));
                    // When one side closes, so does the other.
                    ways.join_next().await;
                });
            }
        });
        Self { address, passes, _tasks: tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing pass.
    pub(crate) fn cut(&self) {
        self.passes.send_replace(false);
    }

    /// Lets everything pass again, with what was held up.
    pub(crate) fn mend(&self) {
        self.passes.send_replace(true);
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passes: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        if passes.wait_for(|passes| *passes).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
