//! One client's messages, one after the other, until it leaves or the proxy goes down.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::sleep;

use crate::error::Error;
use crate::session::Session;
use crate::session::running::{Reason, Running};
use crate::sqlstate::{Report, Severity, report};
use crate::wire::auth::Accepted;
use crate::wire::connection::{Reader, Writer};
use crate::wire::message::{Frame, FrameError, Message};
use crate::wire::{extended, simple};

/// One client.
pub(crate) struct Client {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) session: Session,
    running: Arc<Running>,
    /// Whether messages are passed over up to the next Sync, after an error of the extended protocol.
    skipping: bool,
}

/// Whether to go on.
#[derive(Debug)]
pub(crate) enum Next {
    /// With the next message.
    Message,
    /// Not: the client has been told, or is gone.
    Close,
}

/// How waiting for the client ended.
enum Idle {
    /// It has sent something.
    Over,
    Gone,
    Fatal(Box<Report>),
}

/// Serves a client until it leaves, or until the proxy goes down and none of its statements runs.
pub async fn serve(accepted: Accepted) {
    let Accepted { reader, mut writer, session, key } = accepted;
    writer.backend_key_data(key.process_id, key.secret);
    writer.ready_for_query(session.status());
    let running = Arc::clone(&session.running);
    let mut client = Client { reader, writer, session, running, skipping: false };
    client.run().await;
    client.writer.close().await;
    client.session.close().await;
}

impl Client {
    async fn run(&mut self) {
        if self.writer.flush().await.is_err() {
            return;
        }
        // Many that log in do not say anything for long.
        self.reader.release();
        self.writer.release();
        loop {
            match self.try_pass().await {
                Ok(Some(Next::Message)) => continue,
                Ok(Some(Next::Close)) => return,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the client is gone");
                    return;
                }
            }
            let frame = match self.reader.ready_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => match self.wait().await {
                    Idle::Over => continue,
                    Idle::Gone => return,
                    Idle::Fatal(report) => {
                        self.writer.report(&report);
                        return;
                    }
                },
                Err(error) => {
                    self.writer.report(&Report::fatal("08P01", error.to_string()));
                    return;
                }
            };
            // In a box of its own: a client that lies idle holds no room for what statements need.
            match Box::pin(self.handle(frame)).await {
                Ok(Next::Message) => {}
                Ok(Next::Close) => return,
                Err(error) => {
                    tracing::debug!(%error, "the client is gone");
                    return;
                }
            }
        }
    }

    /// Waits until the client sends something.
    async fn wait(&mut self) -> Idle {
        let typed = self.session.settings.typed();
        let in_block = self.session.status() != b'I';
        let time = if in_block { typed.idle_in_transaction_timeout } else { typed.idle_timeout };
        let Some(time) = time else {
            let Self { reader, running, .. } = self;
            return poll_fn(|context| poll_idle(reader, running, context)).await;
        };
        let mut expire = pin!(sleep(time));
        let Self { reader, running, .. } = self;
        poll_fn(|context| {
            let idle = poll_idle(reader, running, context);
            if idle.is_pending() && expire.as_mut().poll(context).is_ready() {
                return Poll::Ready(Idle::Fatal(Box::new(if in_block {
                    Report::fatal(
                        "25P03",
                        "terminating connection due to idle-in-transaction timeout",
                    )
                } else {
                    Report::fatal("57P05", "terminating connection due to idle-session timeout")
                })));
            }
            idle
        })
        .await
    }

    async fn handle(&mut self, frame: Frame) -> Result<Next, Error> {
        if frame.kind == b'p' {
            // Nobody was asked for a password: no client of this protocol says that here.
            self.writer.report(&Report::fatal("08P01", FrameError::Type(frame.kind).to_string()));
            return Ok(Next::Close);
        }
        if self.skipping && !matches!(frame.kind, b'S' | b'X') {
            return self.pass_over().await;
        }
        let is_extended = frame.is_extended();
        let message = match frame.decode() {
            Ok(message) => message,
            Err(error) => {
                let error = self.session.fail(error.into()).await;
                return self.refuse(&error, is_extended).await;
            }
        };
        match message {
            Message::Query(sql) => simple::query(self, &sql).await,
            Message::Sync => extended::sync(self).await,
            Message::Flush => {
                self.flush().await?;
                Ok(Next::Message)
            }
            Message::Terminate => Ok(Next::Close),
            // Out of place: what is left of a COPY that has failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {
                self.pass_over().await
            }
            Message::FunctionCall => {
                let error = Error::Statement(
                    dataman_pg::PgError::unsupported("function call messages are not supported")
                        .with_hint("Call the function with SELECT."),
                );
                let error = self.session.fail(error).await;
                self.refuse(&error, false).await
            }
            message => match extended::message(self, message).await {
                Ok(()) => Ok(Next::Message),
                Err(error) => self.refuse(&error, true).await,
            },
        }
    }

    /// Passes over a message. An answer that waited for what the client had sent already is written when that is gone.
    async fn pass_over(&mut self) -> Result<Next, Error> {
        if self.reader.next_kind().is_none() && !self.writer.is_empty() {
            self.flush().await?;
        }
        Ok(Next::Message)
    }

    /// Tells the client of a failure. The extended protocol then waits for Sync; the simple one is ready at once.
    pub(crate) async fn refuse(&mut self, error: &Error, extended: bool) -> Result<Next, Error> {
        if matches!(error, Error::Client(_)) {
            return Ok(Next::Close);
        }
        let report = report(error);
        self.tell_notices();
        self.writer.report(&report);
        if report.severity == Severity::Fatal {
            return Ok(Next::Close);
        }
        if self.writer.has_lost_synchronization() {
            self.writer.report(&Report::fatal(
                "08P01",
                "terminating connection because protocol synchronization was lost",
            ));
            return Ok(Next::Close);
        }
        if extended {
            self.skipping = true;
            // A client that waits for the error before it sends Sync would wait for ever.
            if self.reader.next_kind().is_none() {
                self.flush().await?;
            }
            return Ok(Next::Message);
        }
        self.ready().await?;
        Ok(Next::Message)
    }

    /// ReadyForQuery, with what has changed before it, and everything written.
    pub(crate) async fn ready(&mut self) -> Result<(), Error> {
        self.skipping = false;
        self.tell_notices();
        for (name, value) in self.session.settings.take_reports() {
            if name == "application_name" {
                self.session.doing.rename(&value);
            }
            self.writer.parameter_status(name, &value);
        }
        self.writer.ready_for_query(self.session.status());
        // The next string of a client that sends several at once is answered together with this one, up to the bound.
        if self.reader.next_kind().is_some()
            && self.writer.len() < crate::wire::connection::OUTPUT_BYTES_MAX
        {
            return Ok(());
        }
        self.flush().await
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().await.map_err(Error::Client)
    }

    pub(crate) fn tell_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.writer.report(&notice);
        }
    }
}

/// What the client does while nothing runs, or that the session is to end.
fn poll_idle(reader: &mut Reader, running: &Running, context: &mut Context<'_>) -> Poll<Idle> {
    if running.poll_close(context).is_ready() {
        return Poll::Ready(Idle::Fatal(Box::new(report(&Error::ShuttingDown))));
    }
    reader.poll_more(context).map(|more| match more {
        Ok(true) => Idle::Over,
        Ok(false) | Err(_) => Idle::Gone,
    })
}

/// Carries out a statement while the client is watched: when it goes away the statement is cancelled. The work is pinned by
/// the caller, since moving a statement's whole state from function to function costs more than many a statement.
pub(crate) async fn watched<T>(
    reader: &mut Reader,
    running: &Running,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> T {
    // What is done is done, even when the client leaves at that moment. Reading ahead loses nothing when it is dropped.
    tokio::select! {
        biased;
        output = &mut work => return output,
        () = reader.gone() => running.cancel(Reason::Gone),
    }
    work.await
}

impl Client {
    /// Whether messages are passed over up to the next Sync.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The parts that a running statement needs at the same time.
    pub(crate) fn split(&mut self) -> (&mut Session, &mut Reader, &mut Writer, Arc<Running>) {
        (&mut self.session, &mut self.reader, &mut self.writer, Arc::clone(&self.running))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What statements need is in boxes of their own.
    #[test]
    fn an_idle_client_is_small() {
        fn size<T>(_: fn(Accepted) -> T) -> usize {
            std::mem::size_of::<T>()
        }
        let bytes = size(serve);
        assert!(bytes <= 8 * 1024, "a client's task takes {bytes} bytes");
    }
}
