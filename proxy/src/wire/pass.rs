//! The short way on the wire: a Query, or Bind, Describe, Execute and Sync that came together, answered in one piece.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Buf;
use dataman_node_protocol::NodeErrorKind;
use dataman_node_protocol::frontend::{Pipeline, whole_frame};
use dataman_node_protocol::pass::Passed;
use tokio::time::sleep;

use crate::error::Error;
use crate::session::pass::Passing;
use crate::session::running::Reason;
use crate::wire::serve::{Client, Next};

/// What made the client's task go on.
enum Step {
    Passed(Result<Passed, dataman_node_protocol::NodeError>),
    Stop,
}

impl Client {
    /// Answers the next messages the short way, if they are of that kind and all there. They stay in the buffer until they are
    /// answered; none means that they are still to be answered.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) async fn try_pass(&mut self) -> Result<Option<Next>, Error> {
        if self.is_skipping() {
            return Ok(None);
        }
        let begun = match self.reader.next_kind() {
            Some(b'B') => Pipeline::see(&self.reader.input).and_then(|pipeline| {
                self.session.begin_pass(&pipeline).map(|passing| (passing, pipeline.length))
            }),
            Some(b'Q') => whole_frame(&self.reader.input, 0, b'Q').and_then(|(body, length)| {
                let (0, sql) = body.split_last()? else { return None };
                let sql = std::str::from_utf8(sql).ok().filter(|sql| !sql.contains('\0'))?;
                self.session.begin_lifted(sql).map(|passing| (passing, length))
            }),
            _ => None,
        };
        let Some((mut passing, length)) = begun else { return Ok(None) };
        let outcome = match self.pass(&mut passing).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Only the connection is closed from here on.
                let _ = self.session.end_pass(passing, Ok(()), None).await;
                return Err(error);
            }
        };
        if let Err(error) = &outcome
            && (error.kind == NodeErrorKind::StaleEpoch || error.is_agent_stopping())
            && passing.can_be_planned_anew()
        {
            // Nothing has been done: the ordinary way plans anew.
            self.session.abandon_pass(passing);
            return Ok(None);
        }
        self.reader.input.advance(length);
        let rows = last_count(self.writer.gather());
        match self.session.end_pass(passing, outcome, rows).await {
            Ok(()) => {
                self.ready().await?;
                Ok(Some(Next::Message))
            }
            Err(error) => self.refuse(&error, false).await.map(Some),
        }
    }

    /// Waits for the shard, the client and whoever cancels, until the statement has ended.
    async fn pass(
        &mut self,
        passing: &mut Passing,
    ) -> Result<Result<(), dataman_node_protocol::NodeError>, Error> {
        let time = self.session.settings.typed().statement_timeout;
        let mut expire = pin!(async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let (_, reader, writer, running) = self.split();
            let step = poll_fn(|context| {
                // What is done is done, even when it is cancelled at the same moment.
                if let Poll::Ready(passed) = passing.poll(context, writer.gather()) {
                    return Poll::Ready(Step::Passed(passed));
                }
                if reader.poll_gone(context).is_ready() {
                    running.cancel(Reason::Gone);
                }
                if time.is_some() && expire.as_mut().poll(context).is_ready() {
                    running.cancel(Reason::Timeout);
                }
                running.poll_stop(context).map(|()| Step::Stop)
            })
            .await;
            match step {
                Step::Passed(Ok(Passed::Done)) => return Ok(Ok(())),
                Step::Passed(Err(error)) => return Ok(Err(error)),
                Step::Passed(Ok(Passed::More)) => {
                    // A client that does not read stops the shard; it, or a cancel, may still end the statement.
                    let stopped = tokio::select! {
                        written = writer.flush() => {
                            written.map_err(Error::Client)?;
                            false
                        }
                        () = reader.gone() => true,
                        () = poll_fn(|context| running.poll_stop(context)) => true,
                    };
                    if stopped {
                        return Ok(passing.stop(self.writer.gather()).await);
                    }
                }
                Step::Stop => return Ok(passing.stop(self.writer.gather()).await),
            }
        }
    }
}

/// The number in the tag of the CommandComplete that a buffer ends with.
fn last_count(buffer: &[u8]) -> Option<u64> {
    let (0, rest) = buffer.split_last()? else { return None };
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[rest.len() - digits..]).ok()?.parse().ok()
}
