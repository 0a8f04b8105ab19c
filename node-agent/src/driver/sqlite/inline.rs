//! Short reads on the session's own thread.
//!
//! To hand a read to a blocking thread and its rows back costs several times what SQLite needs to find one record. So a read
//! that comes outside a transaction is tried at once, within bounds: steps of SQLite's machine ([`LOOKS_MAX`]), one batch of
//! rows, no waiting for a lock, a session that is open already. Beyond them it is given up, and the caller runs it the
//! ordinary way, errors included: a read that was given up has left nothing behind. What is not bounded is the time of the
//! disk, when pages are not in memory.

use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use dataman_node_protocol::frontend::parse_values;
use dataman_node_protocol::node::{NodeStatement, StatementContext};
use dataman_node_protocol::pass::{PassThrough, Passed};
use dataman_node_protocol::record::Batch;
use dataman_node_protocol::{NodeError, backend};
use tokio_util::sync::CancellationToken;

use super::connection::SqliteConnection;
use super::run::{Execution, Work};
use super::session::{lock, without_waiting};

/// How many looks SQLite's machine may take at whether it has to stop: some two thousand steps each, so about half a
/// millisecond in all.
const LOOKS_MAX: u32 = 16;

/// The answer of a read that has run.
#[derive(Debug)]
pub(super) struct Answer {
    rows: Option<Batch>,
    count: u64,
}

/// What is not tried at once, or was given up.
fn not_at_once() -> NodeError {
    NodeError::unsupported("the statement does not run at once")
}

impl SqliteConnection {
    fn read_at_once(
        &self,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        values: &[u8],
    ) -> Result<Answer, NodeError> {
        if self.in_transaction() {
            return Err(not_at_once());
        }
        let prepared = self.folder.prepare(statement)?;
        let (Work::Read { locking: false, .. }, Some(name)) = (&prepared.work, &prepared.instance)
        else {
            return Err(not_at_once());
        };
        let (parameters, formats) =
            parse_values(&Bytes::copy_from_slice(values)).map_err(|_| not_at_once())?;
        let mut lease = self.folder.instance(name)?.read_now().ok_or_else(not_at_once)?;
        let session = lease.session()?;
        let expressions = Arc::clone(&prepared.expressions);
        let context = session.context_for(context);
        session.begin_statement(context, expressions, CancellationToken::new());
        lock(&session.shared).looks_left = Some(LOOKS_MAX);
        let statement = Arc::clone(statement);
        let execution = Execution { statement, prepared, parameters, formats: formats.formats };
        let mut rows = None;
        let done = without_waiting(|| {
            execution.run(session, &mut |batch| match rows.replace(batch) {
                None => Ok(()),
                Some(_) => Err(not_at_once()),
            })
        });
        session.end_statement();
        Ok(Answer { count: done?.0, rows })
    }
}

#[async_trait]
impl PassThrough for SqliteConnection {
    fn put_statement(
        &mut self,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        values: &[u8],
    ) -> Result<(), NodeError> {
        self.answer = Some(self.read_at_once(context, statement, values)?);
        Ok(())
    }

    fn poll_pass(
        &mut self,
        _context: &mut Context<'_>,
        opening: &[u8],
        out: &mut BytesMut,
    ) -> Poll<Result<Passed, NodeError>> {
        if let Some(Answer { rows, count }) = self.answer.take() {
            out.put_slice(opening);
            if let Some(rows) = rows {
                out.put_slice(&rows.frames);
            }
            backend::encode_complete(&format!("SELECT {count}"), out);
        }
        Poll::Ready(Ok(Passed::Done))
    }

    async fn stop(&mut self, _opening: &[u8], _out: &mut BytesMut) -> Result<(), NodeError> {
        Err(NodeError::cancelled())
    }

    fn is_ready(&self) -> bool {
        true
    }
}
