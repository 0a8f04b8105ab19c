//! One shard's part of a COPY: a task that hands on what it is given.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
};
use dataman_node_protocol::record::Format;
use dataman_node_protocol::{NodeError, NodeErrorKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::scatter::contract::ShardRef;

/// Parts of the data that wait for a shard. When it is full, the client waits.
pub(super) const PARTS_WAITING: usize = 4;

/// What a shard is given.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// COPY data.
    Data(Bytes),
    /// Rows × fields in binary, as one insert; and the number of the first of them.
    Rows {
        /// The values.
        values: Vec<Option<Bytes>>,
        /// How many rows were before them.
        before: u64,
    },
}

/// A shard that takes part.
pub(super) struct Shard {
    pub(super) shard: ShardRef,
    pub(super) connection: Box<dyn NodeConnection>,
    pub(super) statement: Arc<NodeStatement>,
    pub(super) context: StatementContext,
    /// Whether it takes COPY data; else rows.
    pub(super) takes_copy: bool,
    pub(super) parts: mpsc::Receiver<Part>,
    /// Fires when the copy is given up.
    pub(super) stop: CancellationToken,
}

/// How it went.
pub(super) struct Done {
    pub(super) shard: ShardRef,
    /// None when it broke.
    pub(super) connection: Option<Box<dyn NodeConnection>>,
    pub(super) outcome: Result<u64, NodeError>,
}

impl Shard {
    /// Hands on parts until there are no more, then ends the copy. Stopped, it lets go of the copy.
    pub(super) async fn run(self) -> Done {
        if self.takes_copy { self.copy().await } else { self.insert().await }
    }

    async fn copy(mut self) -> Done {
        let (outcome, usable) = {
            let begun = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                begun = self.connection.copy_in(&self.context, &self.statement) => Some(begun),
            };
            match begun {
                None => (Err(NodeError::cancelled()), false),
                Some(Err(error)) => {
                    let usable = is_usable(&error);
                    (Err(error), usable)
                }
                Some(Ok(mut sink)) => loop {
                    let part = tokio::select! {
                        biased;
                        () = self.stop.cancelled() => {
                            let usable = sink.abort("the copy was given up").await.is_ok();
                            break (Err(NodeError::cancelled()), usable);
                        }
                        part = self.parts.recv() => part,
                    };
                    let step = async {
                        match part {
                            Some(Part::Data(data)) => sink.send(data).await.map(|()| None),
                            Some(Part::Rows { .. }) => Err(NodeError::new(
                                NodeErrorKind::Protocol,
                                "XX000",
                                "rows for a shard that takes COPY data",
                            )),
                            None => sink.finish().await.map(Some),
                        }
                    };
                    let step = tokio::select! {
                        biased;
                        step = step => step,
                        // What is under way cannot be taken back: the connection goes with it.
                        () = self.stop.cancelled() => break (Err(NodeError::cancelled()), false),
                    };
                    match step {
                        Ok(None) => {}
                        Ok(Some(rows)) => break (Ok(rows), true),
                        Err(error) => {
                            let usable = is_usable(&error);
                            break (Err(error), usable);
                        }
                    }
                },
            }
        };
        Done { shard: self.shard, connection: usable.then_some(self.connection), outcome }
    }

    async fn insert(self) -> Done {
        let Self { shard, mut connection, statement, context, mut parts, stop, .. } = self;
        let mut affected = 0;
        let formats = ResultFormats::default();
        loop {
            let part = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let outcome = Err(NodeError::cancelled());
                    return Done { shard, connection: Some(connection), outcome };
                }
                part = parts.recv() => part,
            };
            let Some(Part::Rows { values, before }) = part else {
                return Done { shard, connection: Some(connection), outcome: Ok(affected) };
            };
            let parameters = Parameters { formats: vec![Format::Binary; values.len()], values };
            let mut stream =
                connection.execute(&context, &statement, &parameters, &formats, &stop).await;
            let outcome = loop {
                match stream.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(stream.end().affected),
                    Err(mut error) => {
                        error.record = error.record.map(|record| before + record);
                        break Err(error);
                    }
                }
            };
            let back = stream.into_connection();
            match (outcome, back) {
                (Ok(rows), Some(back)) => {
                    affected += rows;
                    connection = back;
                }
                (Ok(_), None) => {
                    let error = NodeError::new(
                        NodeErrorKind::Lost,
                        "08006",
                        "the connection to a shard was lost",
                    );
                    return Done { shard, connection: None, outcome: Err(error) };
                }
                (Err(error), back) => {
                    return Done { shard, connection: back, outcome: Err(error) };
                }
            }
        }
    }
}

/// Whether a connection can go on after a failure: in the failed transaction, for its rollback.
fn is_usable(error: &NodeError) -> bool {
    matches!(
        error.kind,
        NodeErrorKind::Statement | NodeErrorKind::Unsupported | NodeErrorKind::StaleEpoch
    )
}
