//! No statement runs that was planned before the last change of schema here.

use std::sync::atomic::{AtomicU64, Ordering};

use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::{NodeError, NodeErrorKind};

/// The oldest epoch that may still run.
///
/// A definition is sent under the epoch that it makes, and raises the fence to it before it runs. A statement of an older
/// epoch might mean another shape, so it is refused (`DM001`) and the proxy plans it anew. Epoch 0 is a person's who knows of
/// no epoch: such a statement was bound a moment ago, and passes.
#[derive(Debug, Default)]
pub struct Fence(AtomicU64);

impl Fence {
    /// Lets a query pass, or refuses it.
    ///
    /// # Errors
    /// `DM001`.
    pub fn check(&self, query: &NodeQuery, epoch: u64) -> Result<(), NodeError> {
        if matches!(query, NodeQuery::Define(_)) {
            self.raise(epoch);
            return Ok(());
        }
        let oldest = self.0.load(Ordering::Acquire);
        if epoch == 0 || epoch >= oldest {
            return Ok(());
        }
        Err(NodeError::new(
            NodeErrorKind::StaleEpoch,
            "DM001",
            format!(
                "the statement was planned at epoch {epoch}, and the schema has changed at epoch {oldest}"
            ),
        ))
    }

    /// Refuses everything older than `epoch` from now on.
    pub fn raise(&self, epoch: u64) {
        self.0.fetch_max(epoch, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataman_node_protocol::definition::Definition;
    use dataman_node_protocol::query::Select;

    #[test]
    fn older_epochs_are_refused() {
        let fence = Fence::default();
        let read = NodeQuery::Filter(Select::default());
        let define = NodeQuery::Define(Definition::Truncate(Vec::new()));
        assert!(fence.check(&read, 1).is_ok());
        assert!(fence.check(&define, 5).is_ok());
        assert_eq!(fence.check(&read, 4).unwrap_err().sqlstate, "DM001");
        assert!(fence.check(&read, 5).is_ok());
        assert!(fence.check(&read, 0).is_ok());
        // A repetition of an older definition does not lower it.
        assert!(fence.check(&define, 3).is_ok());
        assert!(fence.check(&read, 4).is_err());
    }
}
