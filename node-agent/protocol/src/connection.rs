//! One PostgreSQL-wire connection, as its client.
//!
//! Serves both hops: proxy → agent (the text of a statement is JSON) and agent → PostgreSQL (the text is SQL). Everything
//! that is sent for one statement leaves in one write, and ends in one Sync:
//!
//! ```text
//! [BEGIN] [SET …]* [Close evicted] [Parse] Bind Execute Sync
//! ```
//!
//! The server skips to Sync at the first failure, so a statement never runs when what belongs before it failed. Answers are
//! read only when asked for: a reader who stops, stops the server by TCP.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use lru::LruCache;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::address::Address;
use crate::context::SentContext;
use crate::error::{NodeError, NodeErrorKind};
use crate::frame::{
    FrameBuffer, Incoming, Patience, Severity, malformed, parse_columns, parse_error, parse_params,
    tag_count,
};
use crate::node::{Isolation, Parameters, ResultFormats, TransactionOptions};
use crate::record::{BATCH_BYTES, Batch, Format, StatementDescription};
use crate::startup::start;
use crate::stream::Stream;

/// How long connecting, with TLS and authentication, may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The named statements kept on one connection; the one not used for longest is closed when one more comes.
pub const PREPARED_STATEMENTS_MAX: usize = 256;

/// How long a cancelled statement may go on sending what it had begun to, before the connection is given up.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server says at each ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// In no transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that failed.
    Failed,
}

/// A statement in the words of the server.
#[derive(Debug)]
pub struct WireStatement<'a> {
    /// Names the text on this connection: same key, same text and parameter types.
    pub key: u64,
    /// Prepare it under a name, since it will come again.
    pub keep: bool,
    /// The text.
    pub text: &'a str,
    /// The types of `$1…`; 0 leaves one to the server.
    pub params: &'a [u32],
}

/// The keys of BEGIN in its forms and of COMMIT: statements are numbered from 1, so that none comes near.
const TRANSACTION_KEYS: u64 = u64::MAX - 15;

impl WireStatement<'static> {
    /// `BEGIN` with its options; prepared, since it comes again and again.
    fn begin(options: TransactionOptions) -> Self {
        let (place, text) = match (options.isolation, options.read_only) {
            (Isolation::ReadCommitted, false) => (0, "BEGIN ISOLATION LEVEL READ COMMITTED"),
            (Isolation::ReadCommitted, true) => {
                (1, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
            }
            (Isolation::RepeatableRead, false) => (2, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
            (Isolation::RepeatableRead, true) => {
                (3, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            }
            (Isolation::Serializable, false) => (4, "BEGIN ISOLATION LEVEL SERIALIZABLE"),
            (Isolation::Serializable, true) => (5, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"),
        };
        Self { key: TRANSACTION_KEYS + place, keep: true, text, params: &[] }
    }

    /// `COMMIT`, prepared too.
    pub(crate) fn commit() -> Self {
        Self { key: TRANSACTION_KEYS + 6, keep: true, text: "COMMIT", params: &[] }
    }
}

/// What was told by the server while a statement ran.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Rows.
    Rows(Batch),
    /// A COPY out begins: the CopyOutResponse's body.
    CopyOut(Bytes),
    /// A COPY in begins.
    CopyIn,
    /// The pipeline is done.
    Done {
        /// The last command's count.
        affected: u64,
    },
}

/// A connection to a server.
pub struct Connection {
    pub(crate) stream: Stream,
    pub(crate) buffer: FrameBuffer,
    /// The pipeline being put together.
    pub(crate) out: BytesMut,
    address: Arc<Address>,
    process_id: i32,
    secret_key: i32,
    parameters: Vec<(String, String)>,
    pub(crate) status: TransactionStatus,
    /// ReadyForQuery messages still to come.
    pub(crate) awaiting: usize,
    /// Of the pipeline under way: commands sent ahead whose tags do not count.
    pub(crate) ahead: usize,
    /// Of the pipeline under way: the first error.
    pub(crate) failure: Option<NodeError>,
    affected: u64,
    /// Of the pipeline under way: keys of statements being parsed, in order; `None` for unnamed ones.
    parsing: std::collections::VecDeque<Option<u64>>,
    /// Of the pipeline under way: the named statement it executes.
    executing: Option<u64>,
    /// Named statements that the server has.
    prepared: LruCache<u64, ()>,
    /// Named statements that the server has and that are no longer wanted: closed first thing in the next pipeline.
    closing: Vec<u64>,
    /// A BEGIN that leaves with the next statement.
    begin: Option<TransactionOptions>,
    pub(crate) sent: SentContext,
    /// The pipeline is put together and not all sent.
    pub(crate) unsent: bool,
    /// The socket or the protocol failed: of no more use.
    pub(crate) broken: bool,
    pub(crate) notices: Vec<NodeError>,
}

/// The notices kept of one statement; more are dropped, since nobody reads thousands.
const NOTICES_MAX: usize = 64;

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("status", &self.status)
            .field("awaiting", &self.awaiting)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// `Unreachable`, or `Busy` when the server takes no more connections.
    pub async fn open(address: Arc<Address>) -> Result<Self, NodeError> {
        let open = async {
            let mut stream = Stream::connect(&address).await?;
            let mut buffer = FrameBuffer::default();
            let greeting = start(&mut stream, &mut buffer, &address).await?;
            Ok((stream, buffer, greeting))
        };
        let (stream, buffer, greeting) =
            timeout(CONNECT_TIMEOUT, open).await.unwrap_or_else(|_| {
                Err(crate::stream::unreachable(&std::io::ErrorKind::TimedOut.into()))
            })?;
        Ok(Self {
            stream,
            buffer,
            out: BytesMut::new(),
            address,
            process_id: greeting.process_id,
            secret_key: greeting.secret_key,
            parameters: greeting.parameters,
            status: TransactionStatus::Idle,
            awaiting: 0,
            ahead: 0,
            failure: None,
            affected: 0,
            parsing: std::collections::VecDeque::new(),
            prepared: LruCache::new(
                NonZeroUsize::new(PREPARED_STATEMENTS_MAX).expect("the bound is not zero"),
            ),
            executing: None,
            closing: Vec::new(),
            begin: None,
            sent: SentContext::default(),
            unsent: false,
            broken: false,
            notices: Vec::new(),
        })
    }

    /// A parameter that the server reported: `server_version` and its like.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The transaction status, a BEGIN that has not left yet included.
    pub fn status(&self) -> TransactionStatus {
        match self.begin {
            Some(_) => TransactionStatus::Open,
            None => self.status,
        }
    }

    /// Whether another user may have the connection: in no transaction, nothing under way.
    pub fn is_clean(&self) -> bool {
        !self.broken
            && self.awaiting == 0
            && self.begin.is_none()
            && self.status == TransactionStatus::Idle
            && self.buffer.is_empty()
    }

    /// Whether the socket or the protocol failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken || self.unsent
    }

    /// Whether a statement sent now would be a transaction of its own.
    pub(crate) fn is_idle(&self) -> bool {
        self.status() == TransactionStatus::Idle
    }

    /// Moves the socket to the runtime of the thread that asks, so that nobody else has to wake it; none when it cannot be.
    pub(crate) fn move_here(self) -> Option<Self> {
        Some(Self { stream: self.stream.move_here()?, ..self })
    }

    /// Whether nothing is under way and the socket works.
    pub(crate) fn is_ready(&self) -> bool {
        !self.broken && self.awaiting == 0
    }

    /// Looks, without waiting, whether an idle connection is still there: a server that went down has closed it.
    pub(crate) fn is_alive(&mut self) -> bool {
        if !self.is_clean() {
            return false;
        }
        self.buffer.bytes.reserve(1024);
        match self.stream.read_buf(&mut self.buffer.bytes).now_or_never() {
            None => true,
            Some(Ok(count)) if count > 0 => {
                // Only what a server may say unasked.
                while let Ok(Incoming::Message(tag, body)) = self.buffer.take(Patience::Gather) {
                    if self.take_unasked(tag, &body).is_none() {
                        return false;
                    }
                }
                self.buffer.is_empty()
            }
            Some(_) => false,
        }
    }

    /// Takes the notices gathered since last asked.
    pub fn take_notices(&mut self) -> Vec<NodeError> {
        std::mem::take(&mut self.notices)
    }

    /// Begins a transaction: its BEGIN leaves with the next statement.
    pub fn queue_begin(&mut self, options: TransactionOptions) {
        self.begin = Some(options);
    }

    /// Whether there is a BEGIN that has not left.
    pub(crate) fn begin_is_queued(&self) -> bool {
        self.begin.is_some()
    }

    /// Forgets a BEGIN that has not left. Returns whether there was one: the transaction is then over, and was empty.
    pub fn drop_queued_begin(&mut self) -> bool {
        self.begin.take().is_some()
    }

    /// Sends a statement with what belongs ahead of it.
    pub(crate) async fn send(
        &mut self,
        ahead: &[String],
        statement: &WireStatement<'_>,
        parameters: &Parameters,
        formats: &ResultFormats,
    ) -> Result<(), NodeError> {
        self.put_ahead(ahead)?;
        let name = self.put_parse(statement)?;
        self.put_bind(name.as_str(), parameters, formats)?;
        frontend::execute("", 0, &mut self.out).map_err(|_| unsendable())?;
        self.finish_pipeline().await
    }

    /// Prepares a statement and asks what it takes and gives.
    ///
    /// # Errors
    /// The server's.
    pub async fn describe(
        &mut self,
        ahead: &[String],
        statement: &WireStatement<'_>,
    ) -> Result<StatementDescription, NodeError> {
        self.put_ahead(ahead)?;
        let name = self.put_parse(statement)?;
        frontend::describe(b'S', name.as_str(), &mut self.out).map_err(|_| unsendable())?;
        self.finish_pipeline().await?;
        let mut description = StatementDescription::default();
        while self.awaiting > 0 {
            let (tag, body) = match self.receive().await? {
                Incoming::Message(tag, body) => (tag, body),
                _ => continue,
            };
            match tag {
                b't' => description.params = parse_params(&body)?,
                b'T' => description.columns = Some(parse_columns(&body)?),
                _ => {
                    self.take_message(tag, body)?;
                }
            }
        }
        self.finish_result().map(|_| description)
    }

    /// Runs texts that return no rows, in one pipeline; none of them has parameters.
    ///
    /// # Errors
    /// The server's; what follows the failing text is not run.
    pub async fn run(&mut self, texts: &[String]) -> Result<(), NodeError> {
        self.put_ahead(texts)?;
        self.finish_pipeline().await?;
        self.drain().await
    }

    /// Runs text by the simple protocol and returns the last result's rows as text.
    ///
    /// # Errors
    /// The server's.
    pub async fn query(&mut self, text: &str) -> Result<Vec<Vec<Option<String>>>, NodeError> {
        if self.begin.is_some() {
            self.run(&[]).await?;
        }
        self.start_pipeline()?;
        frontend::query(text, &mut self.out).map_err(|_| unsendable())?;
        self.awaiting += 1;
        self.flush().await?;
        let mut rows = Vec::new();
        loop {
            match self.answer().await? {
                Answer::Rows(batch) => {
                    for row in batch.iter() {
                        let text = |value: Option<&[u8]>| {
                            value.map(|value| String::from_utf8_lossy(value).into_owned())
                        };
                        rows.push(row.columns().map(text).collect());
                    }
                }
                Answer::CopyIn | Answer::CopyOut(_) => {
                    return Err(malformed("a COPY nobody asked for"));
                }
                Answer::Done { .. } => return Ok(rows),
            }
        }
    }

    /// Reads until the pipeline is done, dropping rows.
    pub(crate) async fn drain(&mut self) -> Result<(), NodeError> {
        loop {
            match self.answer().await? {
                Answer::Rows(_) | Answer::CopyOut(_) => {}
                Answer::CopyIn => self.put_copy_fail().await?,
                Answer::Done { .. } => return Ok(()),
            }
        }
    }

    /// The next answer of the pipeline under way. Safe to drop and call again.
    pub(crate) async fn answer(&mut self) -> Result<Answer, NodeError> {
        while self.awaiting > 0 {
            match self.receive().await? {
                Incoming::Rows(batch) => return Ok(Answer::Rows(batch)),
                Incoming::Message(b'H', body) => return Ok(Answer::CopyOut(body)),
                Incoming::Message(b'G' | b'W', _) => return Ok(Answer::CopyIn),
                Incoming::Message(tag, body) => self.take_message(tag, body)?,
                Incoming::More => {}
            }
        }
        self.finish_result().map(|affected| Answer::Done { affected })
    }

    /// Sends COPY data.
    pub(crate) async fn send_copy_data(&mut self, data: Bytes) -> Result<(), NodeError> {
        frontend::CopyData::new(data).map_err(|_| unsendable())?.write(&mut self.out);
        self.flush().await
    }

    /// Whether the server has already answered a COPY in with an error; looks without waiting.
    pub(crate) fn copy_has_failed(&mut self) -> bool {
        self.buffer.bytes.reserve(1024);
        match self.stream.read_buf(&mut self.buffer.bytes).now_or_never() {
            None => {}
            Some(Ok(count)) if count > 0 => {}
            Some(_) => self.broken = true,
        }
        while let Ok(Incoming::Message(tag, body)) = self.buffer.take(Patience::Gather) {
            if self.take_message(tag, body).is_err() {
                return true;
            }
        }
        self.failure.is_some() || self.broken
    }

    /// Ends a COPY in.
    pub(crate) async fn finish_copy(&mut self) -> Result<u64, NodeError> {
        frontend::copy_done(&mut self.out);
        // The Sync that was sent with the COPY was swallowed by the copy mode.
        frontend::sync(&mut self.out);
        self.flush().await?;
        match self.answer().await? {
            Answer::Done { affected } => Ok(affected),
            _ => Err(malformed("an answer to the end of a COPY that is none")),
        }
    }

    /// Ends a COPY in as failed.
    pub(crate) async fn put_copy_fail(&mut self) -> Result<(), NodeError> {
        frontend::copy_fail("the copy was given up", &mut self.out).map_err(|_| unsendable())?;
        frontend::sync(&mut self.out);
        self.flush().await
    }

    /// Asks the server, over a connection of its own, to stop what this one runs. The statement's own answer tells whether
    /// it did.
    pub(crate) async fn send_cancel(&self) {
        let cancel = async {
            let mut stream = Stream::connect(&self.address).await.ok()?;
            let mut out = BytesMut::new();
            frontend::cancel_request(self.process_id, self.secret_key, &mut out);
            stream.write_all(&out).await.ok()?;
            stream.flush().await.ok()?;
            // The server closes when it has taken notice: until then the signal may not have been sent.
            stream.read_u8().await.err()
        };
        if timeout(CONNECT_TIMEOUT, cancel).await.is_err() {
            tracing::debug!("a cancel request was not taken in time");
        }
    }

    /// Says goodbye; the socket closes with the drop.
    pub(crate) fn close(mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        let _ = self.stream.write_all(&out).now_or_never();
    }

    fn start_pipeline(&mut self) -> Result<(), NodeError> {
        if self.broken || self.awaiting > 0 {
            return Err(lost("the connection to a node is of no more use", false));
        }
        self.out.clear();
        self.ahead = 0;
        self.affected = 0;
        self.failure = None;
        self.parsing.clear();
        self.notices.clear();
        self.executing = None;
        // Ahead of all that can fail, since the server skips to Sync after a failure.
        for key in std::mem::take(&mut self.closing) {
            let name = StatementName::of(key);
            frontend::close(b'S', name.as_str(), &mut self.out).map_err(|_| unsendable())?;
        }
        Ok(())
    }

    pub(crate) fn put_ahead(&mut self, texts: &[String]) -> Result<(), NodeError> {
        self.start_pipeline()?;
        if let Some(options) = self.begin.take() {
            let name = self.put_parse(&WireStatement::begin(options))?;
            self.put_without_parameters(name.as_str())?;
        }
        for text in texts {
            self.parsing.push_back(None);
            frontend::parse("", text, [], &mut self.out).map_err(|_| unsendable())?;
            self.put_without_parameters("")?;
        }
        self.executing = None;
        Ok(())
    }

    /// Bind and Execute of what goes ahead of a statement.
    fn put_without_parameters(&mut self, name: &str) -> Result<(), NodeError> {
        self.ahead += 1;
        self.put_bind(name, &Parameters::default(), &ResultFormats::default())?;
        frontend::execute("", 0, &mut self.out).map_err(|_| unsendable())
    }

    /// Puts Parse, unless the server has the statement; returns its name.
    pub(crate) fn put_parse(
        &mut self,
        statement: &WireStatement<'_>,
    ) -> Result<StatementName, NodeError> {
        let name = match statement.keep {
            true => StatementName::of(statement.key),
            false => StatementName::default(),
        };
        if statement.keep {
            self.executing = Some(statement.key);
            if self.prepared.get(&statement.key).is_some() {
                return Ok(name);
            }
        }
        self.parsing.push_back(statement.keep.then_some(statement.key));
        let params = statement.params.iter().copied();
        frontend::parse(name.as_str(), statement.text, params, &mut self.out)
            .map_err(|_| unsendable())?;
        Ok(name)
    }

    fn put_bind(
        &mut self,
        name: &str,
        parameters: &Parameters,
        formats: &ResultFormats,
    ) -> Result<(), NodeError> {
        let code = |format: &Format| match format {
            Format::Text => 0,
            Format::Binary => 1,
        };
        let write = |value: &Option<Bytes>, out: &mut BytesMut| {
            Ok(match value {
                None => IsNull::Yes,
                Some(bytes) => {
                    out.put_slice(bytes);
                    IsNull::No
                }
            })
        };
        frontend::bind(
            "",
            name,
            parameters.formats.iter().map(code),
            parameters.values.iter(),
            write,
            formats.formats.iter().map(code),
            &mut self.out,
        )
        .map_err(|_| {
            NodeError::statement("54000", "the parameters of a statement are too many or too long")
        })
    }

    async fn finish_pipeline(&mut self) -> Result<(), NodeError> {
        frontend::sync(&mut self.out);
        self.awaiting += 1;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), NodeError> {
        // A drop in the middle leaves half a message behind.
        self.broken = true;
        let write = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let sent = write.await;
        self.out.clear();
        if self.out.capacity() > 4 * BATCH_BYTES {
            self.out = BytesMut::new();
        }
        sent.map_err(|error| lost(&format!("the connection to a node broke: {error}"), true))?;
        self.broken = false;
        Ok(())
    }

    /// The next message or run of rows, waiting for it.
    async fn receive(&mut self) -> Result<Incoming, NodeError> {
        let mut patience = Patience::Gather;
        loop {
            match self.buffer.take(patience).inspect_err(|_| self.broken = true)? {
                Incoming::More => {}
                incoming => return Ok(incoming),
            }
            self.buffer.bytes.reserve(BATCH_BYTES / 4);
            let read = match self.stream.read_buf(&mut self.buffer.bytes).now_or_never() {
                Some(read) => read,
                None if patience == Patience::Gather => {
                    // Nothing at hand: rather hand out what is there than let it wait for more.
                    patience = Patience::TakeWhatIsThere;
                    continue;
                }
                None => self.stream.read_buf(&mut self.buffer.bytes).await,
            };
            patience = Patience::Gather;
            match read {
                Ok(count) if count > 0 => {}
                Ok(_) => return Err(self.lose(&std::io::Error::other("the other side closed it"))),
                Err(error) => return Err(self.lose(&error)),
            }
        }
    }

    /// The socket failed; what the server said before it went tells more than that it went.
    pub(crate) fn lose(&mut self, error: &std::io::Error) -> NodeError {
        self.broken = true;
        match self.failure.take() {
            Some(mut failure) => {
                failure.kind = NodeErrorKind::Lost;
                failure.work_started = true;
                failure
            }
            None => lost(&format!("the connection to a node broke: {error}"), true),
        }
    }

    /// Takes what may come at any time; `None` if it is not of that kind.
    fn take_unasked(&mut self, tag: u8, body: &Bytes) -> Option<()> {
        match tag {
            b'N' => {
                if self.notices.len() < NOTICES_MAX {
                    self.notices.push(parse_error(body).0);
                }
            }
            b'S' => {
                let mut body = crate::frame::Body(body);
                if let (Some(name), Some(value)) = (body.text(), body.text()) {
                    self.parameters.retain(|(known, _)| known != name);
                    self.parameters.push((name.to_owned(), value.to_owned()));
                }
            }
            b'A' => {}
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn take_message(&mut self, tag: u8, body: Bytes) -> Result<(), NodeError> {
        if self.take_unasked(tag, &body).is_some() {
            return Ok(());
        }
        match tag {
            b'1' => {
                if let Some(Some(key)) = self.parsing.pop_front()
                    && let Some((evicted, ())) = self.prepared.push(key, ())
                    && evicted != key
                {
                    self.closing.push(evicted);
                }
            }
            b'C' => {
                let end = memchr::memchr(0, &body).unwrap_or(body.len());
                let tag = String::from_utf8_lossy(&body[..end]);
                if self.ahead > 0 {
                    self.ahead -= 1;
                } else {
                    self.affected = tag_count(&tag);
                }
            }
            b'E' => {
                let (error, severity) = parse_error(&body);
                if severity == Severity::Fatal {
                    self.broken = true;
                }
                self.failure.get_or_insert(error);
                if self.broken {
                    self.awaiting = 0;
                }
            }
            b'Z' => {
                self.awaiting = self.awaiting.saturating_sub(1);
                self.status = match body.first() {
                    Some(b'I') => TransactionStatus::Idle,
                    Some(b'T') => TransactionStatus::Open,
                    Some(b'E') => TransactionStatus::Failed,
                    _ => {
                        self.broken = true;
                        return Err(malformed("a transaction status that does not exist"));
                    }
                };
            }
            b'2' | b'3' | b'I' | b'T' | b't' | b'n' | b's' | b'c' => {}
            _ => {
                self.broken = true;
                return Err(malformed("a message of unknown kind"));
            }
        }
        Ok(())
    }

    /// After the last ReadyForQuery: how the pipeline ended.
    pub(crate) fn finish_result(&mut self) -> Result<u64, NodeError> {
        let result = match self.failure.take() {
            Some(mut error) => {
                self.sent.rolled_back();
                // A plan that no longer fits its table is parsed anew next time.
                if matches!(error.sqlstate.as_str(), "0A000" | "26000")
                    && let Some(key) = self.executing
                    && self.prepared.pop(&key).is_some()
                {
                    self.closing.push(key);
                }
                if self.broken {
                    error.kind = NodeErrorKind::Lost;
                    error.work_started = true;
                }
                Err(error)
            }
            None => Ok(self.affected),
        };
        if self.status == TransactionStatus::Idle {
            self.sent.settled();
        }
        result
    }
}

/// A prepared statement's name on a connection: `s` and its key, without an allocation; empty for the unnamed one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StatementName {
    /// From `start` to the end: digits are written from the last.
    bytes: [u8; 21],
    start: usize,
}

impl StatementName {
    fn of(mut key: u64) -> Self {
        let mut name = Self { bytes: [b's'; 21], start: 21 };
        loop {
            name.start -= 1;
            name.bytes[name.start] = b"0123456789"[usize::try_from(key % 10).unwrap_or_default()];
            key /= 10;
            if key == 0 {
                break;
            }
        }
        name.start -= 1;
        name.bytes[name.start] = b's';
        name
    }

    pub(crate) fn as_str(&self) -> &str {
        match self.start {
            0 if self.bytes[0] == 0 => "",
            start => std::str::from_utf8(&self.bytes[start..]).unwrap_or_default(),
        }
    }
}

/// The connection broke after something was sent.
pub(crate) fn lost(message: &str, work_started: bool) -> NodeError {
    let mut error = NodeError::new(NodeErrorKind::Lost, "08006", message);
    error.work_started = work_started;
    error
}

pub(crate) fn unsendable() -> NodeError {
    NodeError::statement("22021", "a statement's text contains a zero byte or is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_named_by_their_keys() {
        for key in [0, 7, 10, 1234, u64::MAX] {
            assert_eq!(StatementName::of(key).as_str(), format!("s{key}"));
        }
        assert_eq!(StatementName::default().as_str(), "");
    }
}
