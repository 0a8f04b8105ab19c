//! Whether the datasources answer.

use std::time::Duration;

use dataman_node_protocol::{NodeError, NodeErrorKind};
use tokio::time::{Instant, timeout};

use crate::driver::contract::Datasource;

/// How long a datasource may take to answer before it counts as gone.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks a datasource for a sign of life; returns how long it took.
///
/// # Errors
/// What the datasource said, or `Unreachable` when it said nothing in time.
pub async fn check(datasource: &dyn Datasource) -> Result<Duration, NodeError> {
    let start = Instant::now();
    timeout(HEALTH_TIMEOUT, datasource.check_health()).await.unwrap_or_else(|_| {
        let message = "the database does not answer in time";
        Err(NodeError::new(NodeErrorKind::Unreachable, "08006", message))
    })?;
    Ok(start.elapsed())
}
