//! The short way: a statement that one server answers whole, in frames that pass to the client undecoded.
//!
//! ```text
//! put_statement ─▶ poll_pass … poll_pass ─▶ Done         one write, reads until ReadyForQuery
//!                    │
//!                    └─ More: the caller's buffer is full and wants to be written
//! ```
//!
//! Nothing is allocated for a statement: parameters go over as the client wrote them, rows and CommandComplete come back as
//! the server wrote them. The methods are polled, so that the session's task waits for the server, its client and a cancel
//! at the same time without a task or a channel between them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use crate::connection::{CANCEL_TIMEOUT, Connection, WireStatement, lost, unsendable};
use crate::error::NodeError;
use crate::frame::frame_length;
use crate::node::{NodeStatement, StatementContext, TransactionOptions};
use crate::record::BATCH_BYTES;
use crate::remote::{Hop, WireConnection};

/// How much is read at a time at first; a statement that brings more gets room for whole batches.
const READ_BYTES: usize = 8 * 1024;

/// The end of a Bind message without parameters, the result in text.
const NO_VALUES: &[u8] = b"\0\0\0\0\0\0";

/// How far a passing statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// The buffer holds a batch, which is to be written before more is read.
    More,
    /// The answer is complete.
    Done,
}

/// A connection whose server writes what clients read.
#[async_trait]
pub trait PassThrough: Send {
    /// Puts a statement together, with what belongs ahead of it; the first [`PassThrough::poll_pass`] sends it. `values` is
    /// the end of a Bind message, from the parameters' formats on.
    ///
    /// # Errors
    /// The statement cannot be said to this server, or the connection is of no more use. Nothing was sent.
    fn put_statement(
        &mut self,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        values: &[u8],
    ) -> Result<(), NodeError>;

    /// Begins a transaction that leaves with the next statement. False when it takes more than that, and nothing was done.
    fn begin(&mut self, _context: &StatementContext, _options: TransactionOptions) -> bool {
        false
    }

    /// Puts a COMMIT together, as [`PassThrough::put_statement`] does a statement.
    ///
    /// # Errors
    /// The transaction does not end by a message to this server alone. Nothing was sent.
    fn put_commit(&mut self) -> Result<(), NodeError> {
        Err(NodeError::unsupported("a COMMIT does not pass"))
    }

    /// Sends, then appends what has come to `out`: `opening` once the statement is bound, then its DataRow and
    /// CommandComplete messages. Notices and ParameterStatus stay with the connection.
    ///
    /// # Errors
    /// The server's, in users' words; rows that came before are in `out`.
    fn poll_pass(
        &mut self,
        context: &mut Context<'_>,
        opening: &[u8],
        out: &mut BytesMut,
    ) -> Poll<Result<Passed, NodeError>>;

    /// Asks the server to stop, and waits until it has, for a bounded time. What it had still sent is in `out` only when it
    /// was the end of the whole answer.
    ///
    /// # Errors
    /// `57014`, or the server's own failure.
    async fn stop(&mut self, opening: &[u8], out: &mut BytesMut) -> Result<(), NodeError>;

    /// Whether nothing is under way and the connection works.
    fn is_ready(&self) -> bool;
}

#[async_trait]
impl<H: Hop> PassThrough for WireConnection<H> {
    fn put_statement(
        &mut self,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        values: &[u8],
    ) -> Result<(), NodeError> {
        let lowered = self.hop.lower(statement, None)?;
        let wire = WireStatement {
            key: lowered.key,
            keep: lowered.reusable && statement.count_use() > 0,
            text: lowered.text.as_str(),
            params: &lowered.params,
        };
        self.was_idle = self.connection.is_idle();
        let changes = self.changes(context);
        let put = self.connection.put_pass(&changes, &wire, values);
        self.passing = Some(Arc::clone(statement));
        put.inspect_err(|_| self.connection.sent.rolled_back())
    }

    fn begin(&mut self, context: &StatementContext, options: TransactionOptions) -> bool {
        // Settings that are to change do so outside the transaction, which takes a message of their own.
        if !self.connection.is_idle() || !self.is_told(context) {
            return false;
        }
        self.connection.queue_begin(options);
        true
    }

    fn put_commit(&mut self) -> Result<(), NodeError> {
        if self.connection.begin_is_queued() {
            return Err(NodeError::unsupported("nothing was begun that could be committed"));
        }
        self.passing = None;
        self.was_idle = false;
        self.connection.put_pass(&[], &WireStatement::commit(), NO_VALUES)
    }

    fn poll_pass(
        &mut self,
        context: &mut Context<'_>,
        opening: &[u8],
        out: &mut BytesMut,
    ) -> Poll<Result<Passed, NodeError>> {
        match ready!(self.connection.poll_pass(context, opening, out)) {
            Ok(passed) => Poll::Ready(Ok(passed)),
            Err(error) => {
                let Some(statement) = self.passing.take() else {
                    return Poll::Ready(Err(error.of_commit()));
                };
                let error = error.of_write(self.was_idle && statement.query.writes());
                Poll::Ready(Err(self.hop.translate_error(&statement, error)))
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    async fn stop(&mut self, opening: &[u8], out: &mut BytesMut) -> Result<(), NodeError> {
        self.connection.send_cancel().await;
        let mut rest = BytesMut::new();
        let mut discarded = false;
        let ended = timeout(CANCEL_TIMEOUT, async {
            loop {
                let passed = std::future::poll_fn(|context| {
                    self.connection.poll_pass(context, opening, &mut rest)
                });
                match passed.await? {
                    Passed::Done => return Ok::<_, NodeError>(()),
                    Passed::More => {
                        discarded = true;
                        rest.clear();
                    }
                }
            }
        });
        match ended.await {
            // The end came before the cancel did, and nothing of the answer is missing.
            Ok(Ok(())) if !discarded => {
                out.put_slice(&rest);
                Ok(())
            }
            Ok(Err(error)) if error.sqlstate != "57014" => Err(match self.passing {
                Some(_) => error,
                None => error.of_commit(),
            }),
            // A commit that has not ended in time may have happened.
            Err(_) if self.passing.is_none() => {
                Err(lost("the connection to a node was given up", true).of_commit())
            }
            _ => Err(NodeError::cancelled()),
        }
    }
}

impl Connection {
    /// Puts together the pipeline of one statement whose answer is passed on.
    fn put_pass(
        &mut self,
        ahead: &[String],
        statement: &WireStatement<'_>,
        values: &[u8],
    ) -> Result<(), NodeError> {
        self.put_ahead(ahead)?;
        let name = self.put_parse(statement)?;
        let name = name.as_str();
        let length = 4 + 1 + name.len() + 1 + values.len();
        let length = i32::try_from(length).map_err(|_| unsendable())?;
        self.out.reserve(values.len() + 64);
        self.out.put_u8(b'B');
        self.out.put_i32(length);
        self.out.put_u8(0);
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(0);
        self.out.put_slice(values);
        self.out.put_slice(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
        self.awaiting += 1;
        self.unsent = true;
        Ok(())
    }

    fn poll_pass(
        &mut self,
        context: &mut Context<'_>,
        opening: &[u8],
        out: &mut BytesMut,
    ) -> Poll<Result<Passed, NodeError>> {
        if self.unsent {
            ready!(self.poll_send(context))?;
        }
        loop {
            if self.pass_frames(opening, out)? {
                return Poll::Ready(self.finish_result().map(|_| Passed::Done));
            }
            if out.len() >= BATCH_BYTES {
                return Poll::Ready(Ok(Passed::More));
            }
            let room = if out.len() < READ_BYTES { READ_BYTES } else { BATCH_BYTES };
            let read = ready!(self.poll_fill(context, room));
            if let Err(error) = read {
                return Poll::Ready(Err(self.lose(&error)));
            }
        }
    }

    /// Writes what is put together. A write that was begun and not ended leaves half a message behind: until it has ended
    /// the connection counts as broken.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NodeError>> {
        self.broken = true;
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.out)) {
                Ok(count) if count > 0 => self.out.advance(count),
                Ok(_) => return Poll::Ready(Err(self.lose(&std::io::ErrorKind::WriteZero.into()))),
                Err(error) => return Poll::Ready(Err(self.lose(&error))),
            }
        }
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(context)) {
            return Poll::Ready(Err(self.lose(&error)));
        }
        self.out.clear();
        self.broken = false;
        self.unsent = false;
        Poll::Ready(Ok(()))
    }

    /// Moves whole frames from the buffer to `out`; true at ReadyForQuery.
    fn pass_frames(&mut self, opening: &[u8], out: &mut BytesMut) -> Result<bool, NodeError> {
        loop {
            // A run of rows moves in one piece.
            let mut run = 0;
            let next = loop {
                let rest = &self.buffer.bytes[run..];
                match frame_length(rest).inspect_err(|_| self.broken = true)? {
                    Some((tag, length)) if rest.len() >= length => {
                        if tag != b'D' || run >= BATCH_BYTES {
                            break Some((tag, length));
                        }
                        run += length;
                    }
                    _ => break None,
                }
            };
            if run > 0 {
                out.put_slice(&self.buffer.bytes[..run]);
                self.buffer.bytes.advance(run);
                if out.len() >= BATCH_BYTES {
                    return Ok(false);
                }
            }
            let Some((tag, length)) = next else { return Ok(false) };
            match tag {
                b'2' => {
                    if self.ahead == 0 {
                        out.put_slice(opening);
                    }
                    self.buffer.bytes.advance(length);
                }
                b'C' if self.ahead == 0 => {
                    out.put_slice(&self.buffer.bytes[..length]);
                    self.buffer.bytes.advance(length);
                }
                _ => {
                    let mut message = self.buffer.bytes.split_to(length);
                    let body = message.split_off(5).freeze();
                    self.take_message(tag, body)?;
                    if self.awaiting == 0 {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>, room: usize) -> Poll<std::io::Result<()>> {
        self.buffer.bytes.reserve(room);
        // The future reads at most once, and holds nothing when it is dropped.
        let mut read = std::pin::pin!(self.stream.read_buf(&mut self.buffer.bytes));
        match ready!(read.as_mut().poll(context)) {
            Ok(0) => Poll::Ready(Err(std::io::Error::other("the other side closed it"))),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
