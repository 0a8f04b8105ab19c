//! One shard's part of a scatter: its failure says which shard it was, and ends the parts of the others.

use async_trait::async_trait;
use bytes::Bytes;
use dataman_node_protocol::node::{End, NodeConnection, RowStream};
use dataman_node_protocol::record::Batch;
use dataman_node_protocol::{NodeError, NodeErrorKind};
use tokio_util::sync::CancellationToken;

use super::contract::ShardRef;

/// The rows of one shard, among those of its siblings.
pub(crate) struct ShardStream {
    shard: ShardRef,
    rows: Box<dyn RowStream>,
    /// What all parts of the scatter were started with. The statement has failed with its first part: whoever reads the
    /// others to their ends, so that their connections can be used again, is not to wait for what nobody wants any more.
    siblings: CancellationToken,
    /// The first answer, when it was waited for ahead of time.
    first: Option<Result<Option<Batch>, NodeError>>,
}

impl ShardStream {
    /// The part of `shard`. `siblings` is the token that all parts were executed with.
    pub(crate) fn new(
        shard: &ShardRef,
        rows: Box<dyn RowStream>,
        siblings: &CancellationToken,
    ) -> Self {
        Self { shard: shard.clone(), rows, siblings: siblings.clone(), first: None }
    }

    /// Waits for the first answer and keeps it: the statement has all that it waits for at the shard.
    pub(crate) async fn wait_for_first(&mut self) {
        self.first = Some(self.read().await);
    }

    async fn read(&mut self) -> Result<Option<Batch>, NodeError> {
        self.rows.next().await.map_err(|error| {
            self.siblings.cancel();
            name_shard(&self.shard, error)
        })
    }
}

#[async_trait]
impl RowStream for ShardStream {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        match self.first.take() {
            Some(first) => first,
            None => self.read().await,
        }
    }

    fn end(&self) -> End {
        self.rows.end()
    }

    fn copy_out_response(&self) -> Option<&Bytes> {
        self.rows.copy_out_response()
    }

    fn take_notices(&mut self) -> Vec<NodeError> {
        self.rows.take_notices()
    }

    fn into_connection(self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        self.rows.into_connection()
    }
}

/// Says of a failed connection which shard it led to. Where that is stays untold; the log has it.
pub(crate) fn name_shard(shard: &ShardRef, mut error: NodeError) -> NodeError {
    let is_lost = error.kind == NodeErrorKind::Lost;
    let of_connection = is_lost
        || matches!(error.kind, NodeErrorKind::Unreachable | NodeErrorKind::Busy)
        || error.sqlstate.starts_with("08");
    if !of_connection {
        return error;
    }
    let name = format!("shard {} of datastore \"{}\"", shard.shard, shard.datastore);
    let outcome_unknown = matches!(error.sqlstate.as_str(), "40003" | "08007");
    if is_lost && !outcome_unknown && !error.sqlstate.starts_with("08") {
        // The server's last words to dataman (`57P01` and its like) are not about the client's own connection.
        error.detail = Some(format!("Its last words: {}.", error.message));
        error.message = "the connection to a node broke".to_owned();
        error.sqlstate = "08006".to_owned();
    }
    let named = error.message.replace("a node's database", &name).replace("a node", &name);
    error.message =
        if named.contains(&name) { named } else { format!("{name}: {}", error.message) };
    if error.hint.is_none() {
        let hint = if error.kind == NodeErrorKind::Busy {
            "Use fewer sessions at a time, or raise --datasource-connections-max."
        } else if outcome_unknown {
            "Look whether the rows are as they should be before you run it again."
        } else {
            "Statements that do not need this shard still work. Run this one again when the shard is back."
        };
        error.hint = Some(hint.to_owned());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataman_metadata::id::{DatastoreId, ShardId};

    fn check(kind: NodeErrorKind, sqlstate: &str, message: &str, expected: &str) {
        let shard = ShardRef { datastore: DatastoreId::from("hot"), shard: ShardId(3) };
        let error = name_shard(&shard, NodeError::new(kind, sqlstate, message));
        assert_eq!(format!("{} {}", error.sqlstate, error.message), expected);
    }

    #[test]
    fn failed_connections_are_named() {
        check(
            NodeErrorKind::Lost,
            "08006",
            "the connection to a node broke: the other side closed it",
            "08006 the connection to shard 3 of datastore \"hot\" broke: the other side closed it",
        );
        check(
            NodeErrorKind::Lost,
            "57P01",
            "terminating connection due to administrator command",
            "08006 the connection to shard 3 of datastore \"hot\" broke",
        );
        check(
            NodeErrorKind::Lost,
            "40003",
            "the connection to a node broke",
            "40003 the connection to shard 3 of datastore \"hot\" broke",
        );
        check(
            NodeErrorKind::Busy,
            "53300",
            "all 2 connections to a node's database are in use",
            "53300 all 2 connections to shard 3 of datastore \"hot\" are in use",
        );
        check(NodeErrorKind::Statement, "22012", "division by zero", "22012 division by zero");
    }
}
