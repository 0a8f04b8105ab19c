//! The short way through an agent: Bind, Execute and Sync that came together, for a statement whose database writes what the
//! client reads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Buf;
use dataman_node_protocol::connection::TransactionStatus;
use dataman_node_protocol::frontend::Pipeline;
use dataman_node_protocol::node::NodeConnection;
use dataman_node_protocol::pass::Passed;
use dataman_node_protocol::query::{Insert, NodeQuery, Records};
use dataman_node_protocol::{NodeError, backend};
use tokio::time::sleep;

use crate::execute::bind::BoundStatement;
use crate::serve::metrics::Counts;
use crate::serve::session::{Portal, Prepared, Session, late};
use crate::serve::wire::{Gone, Wire};

/// BindComplete.
const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";

/// What made the session go on.
enum Step {
    Passed(Result<Passed, NodeError>),
    Gone(Gone),
    Stop,
    Late,
}

impl Session {
    /// Answers the next messages the short way if they are of that kind, all there, and nothing is in the way; false means
    /// that nothing has happened.
    pub(super) async fn try_pass(&mut self, wire: &mut Wire) -> Result<bool, Gone> {
        let Some(pipeline) = Pipeline::see(&wire.input).filter(|pipeline| !pipeline.describe)
        else {
            return Ok(false);
        };
        let Some((mut connection, bound)) = self.begin_pass(&pipeline) else {
            return Ok(false);
        };
        let length = pipeline.length;
        Counts::add(&self.agent.counts.requests, 1);
        let outcome = self.pass(wire, &mut *connection).await?;
        if outcome.is_ok() {
            self.agent.counts.ended(&wire.out);
        }
        wire.input.advance(length);
        if self.status == TransactionStatus::Open {
            // One that cannot pass has begun nothing.
            let is_ready = connection.pass_through().is_none_or(|connection| connection.is_ready());
            self.put_back(&bound.datasource, is_ready.then_some(connection));
            // As after Bind and Execute: the unnamed portal is there, and has no more rows.
            self.portals.insert(String::new(), Portal::finished(Prepared::Query(bound)));
        }
        if let Err(error) = outcome {
            self.fail(&error, wire);
        }
        backend::encode_ready(self.status, &mut wire.out);
        wire.flush().await?;
        Ok(true)
    }

    /// Puts the statement on its way, if it can pass.
    fn begin_pass(
        &mut self,
        pipeline: &Pipeline<'_>,
    ) -> Option<(Box<dyn NodeConnection>, BoundStatement)> {
        let Some(Prepared::Query(bound)) = self.statements.get(pipeline.statement) else {
            return None;
        };
        if !may_pass(&bound.statement.query, pipeline)
            || self.portals.values().any(Portal::is_running)
        {
            return None;
        }
        let context = self.settings.context();
        self.agent.fence.check(&bound.statement.query, context.epoch).ok()?;
        let bound = bound.clone();
        let mut connection = match self.status {
            TransactionStatus::Idle => bound.datasource.connect_now()?,
            TransactionStatus::Open => {
                self.held.take_if(|(held, _)| Arc::ptr_eq(held, &bound.datasource))?.1
            }
            TransactionStatus::Failed => return None,
        };
        let put = connection.pass_through().is_some_and(|connection| {
            connection.put_statement(&context, &bound.statement, pipeline.values).is_ok()
        });
        if !put {
            // One that cannot pass has begun nothing.
            let is_ready = connection.pass_through().is_none_or(|connection| connection.is_ready());
            self.put_back(&bound.datasource, is_ready.then_some(connection));
            return None;
        }
        self.portals.remove("");
        Some((connection, bound))
    }

    /// Waits for the database, the client and whoever cancels, until the statement has ended.
    async fn pass(
        &mut self,
        wire: &mut Wire,
        connection: &mut dyn NodeConnection,
    ) -> Result<Result<(), NodeError>, Gone> {
        let Some(connection) = connection.pass_through() else {
            return Ok(Err(NodeError::unsupported("a connection has ceased to pass")));
        };
        let token = self.token();
        let mut stopped = pin!(token.cancelled());
        let time = self.settings.time_left();
        let mut expire = pin!(async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let step = poll_fn(|context| {
                // What is done is done, even when it is cancelled at the same moment.
                if let Poll::Ready(passed) =
                    connection.poll_pass(context, BIND_COMPLETE, &mut wire.out)
                {
                    return Poll::Ready(Step::Passed(passed));
                }
                if let Poll::Ready(gone) = wire.poll_gone(context) {
                    return Poll::Ready(Step::Gone(gone));
                }
                if time.is_some() && expire.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Step::Late);
                }
                stopped.as_mut().poll(context).map(|()| Step::Stop)
            })
            .await;
            match step {
                Step::Passed(Ok(Passed::Done)) => return Ok(Ok(())),
                Step::Passed(Err(error)) => return Ok(Err(error)),
                // The client's own connection is closed: its pool stops the statement.
                Step::Gone(gone) => return Err(gone),
                Step::Passed(Ok(Passed::More)) => {
                    // A client that does not read stops the database; it, or a cancel, may still end the statement.
                    let stopped = tokio::select! {
                        flushed = wire.flush() => {
                            flushed?;
                            None
                        }
                        () = &mut stopped => Some(false),
                        () = &mut expire => Some(true),
                    };
                    match stopped {
                        None => {}
                        Some(is_late) => {
                            let ended = connection.stop(BIND_COMPLETE, &mut wire.out).await;
                            return Ok(ended.map_err(|error| late(error, is_late)));
                        }
                    }
                }
                Step::Stop => return Ok(connection.stop(BIND_COMPLETE, &mut wire.out).await),
                Step::Late => {
                    let ended = connection.stop(BIND_COMPLETE, &mut wire.out).await;
                    return Ok(ended.map_err(|error| late(error, true)));
                }
            }
        }
    }
}

/// Whether a statement is answered by rows and a tag alone, and these are all of its parameters.
fn may_pass(query: &NodeQuery, pipeline: &Pipeline<'_>) -> bool {
    match query {
        NodeQuery::Filter(_)
        | NodeQuery::Aggregate(_)
        | NodeQuery::Update(_)
        | NodeQuery::Delete(_) => true,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => match insert {
            // As many tuples as there are parameters: here it is to be one.
            Insert { records: Records::Parameters, fields, .. } => {
                pipeline.parameters() == Some(fields.len())
            }
            _ => true,
        },
        NodeQuery::Sql(sql) => {
            !sql.text.trim_start().get(..4).is_none_or(|word| word.eq_ignore_ascii_case("copy"))
        }
        NodeQuery::Get(_)
        | NodeQuery::Set(_)
        | NodeQuery::Copy(_)
        | NodeQuery::Define(_)
        | NodeQuery::Inspect(_) => false,
    }
}
