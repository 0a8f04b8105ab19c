//! The short way on the wire: a Query, or Bind, Describe, Execute and Sync that came together, answered in one piece.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Buf;
use dataman_node_protocol::NodeErrorKind;
use dataman_node_protocol::pass::Passed;
use tokio::time::sleep;

use crate::error::Error;
use crate::session::pass::{Bound, Passing};
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
            Some(b'B') => pipeline(&self.reader.input).and_then(|(bound, length)| {
                self.session.begin_pass(&bound).map(|passing| (passing, length))
            }),
            Some(b'Q') => frame(&self.reader.input, 0, b'Q').and_then(|(body, length)| {
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
                let _ = self.session.end_pass(passing, Ok(())).await;
                return Err(error);
            }
        };
        if let Err(error) = &outcome
            && error.kind == NodeErrorKind::StaleEpoch
        {
            // Nothing has been done: the ordinary way plans anew.
            self.session.abandon_pass(passing);
            return Ok(None);
        }
        self.reader.input.advance(length);
        match self.session.end_pass(passing, outcome).await {
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

/// Bind of the unnamed portal, Describe of it or not, Execute of it without a limit, Sync; and how many bytes they are.
fn pipeline(input: &[u8]) -> Option<(Bound<'_>, usize)> {
    let (bind, mut at) = frame(input, 0, b'B')?;
    let bind = bind.strip_prefix(b"\0")?;
    let end = bind.iter().position(|byte| *byte == 0)?;
    let statement = std::str::from_utf8(&bind[..end]).ok()?;
    let values = &bind[end + 1..];
    let mut describe = false;
    if let Some((body, next)) = frame(input, at, b'D') {
        if body != b"P\0" {
            return None;
        }
        describe = true;
        at = next;
    }
    let (execute, at) = frame(input, at, b'E')?;
    let (sync, at) = frame(input, at, b'S')?;
    (execute == b"\0\0\0\0\0" && sync.is_empty())
        .then_some((Bound { statement, values, describe }, at))
}

/// The body of the message that begins at `at`, if it is whole and of this kind; and where the next one begins.
fn frame(input: &[u8], at: usize, kind: u8) -> Option<(&[u8], usize)> {
    let head = input.get(at..at + 5)?;
    if head[0] != kind {
        return None;
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let end = at.checked_add(1)?.checked_add(usize::try_from(length).ok()?)?;
    Some((input.get(at + 5..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Option<&str>) {
        let found = pipeline(input).map(|(bound, length)| {
            format!("{} {:?} {} {length}", bound.statement, bound.values, bound.describe)
        });
        assert_eq!(found.as_deref(), expected, "{input:?}");
    }

    #[test]
    fn a_whole_pipeline_is_seen() {
        let bind = b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0".as_slice();
        let describe = b"D\0\0\0\x06P\0".as_slice();
        let execute = b"E\0\0\0\x09\0\0\0\0\0".as_slice();
        let sync = b"S\0\0\0\x04".as_slice();
        let all = [bind, describe, execute, sync].concat();
        check(&all, Some("s [0, 0, 0, 0, 0, 0] true 36"));
        check(&[bind, execute, sync].concat(), Some("s [0, 0, 0, 0, 0, 0] false 29"));
        check(&[bind, execute].concat(), None);
        check(&[bind, sync].concat(), None);
        check(&[bind, b"E\0\0\0\x09\0\0\0\0\x01", sync].concat(), None);
        check(&[b"B\0\0\0\x0ep\0s\0\0\0\0\0\0\0".as_slice(), execute, sync].concat(), None);
        for length in 0..all.len() {
            check(&all[..length], None);
        }
        check(b"B\xff\xff\xff\xff", None);
        check(b"B\0\0\0\0\0", None);
    }
}
