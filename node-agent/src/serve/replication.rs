//! What an agent says of its databases' own replication: `SHOW dataman.replication`.

use std::collections::HashMap;
use std::sync::Mutex;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::replication::{OBSERVATION_INTERVAL, Observation};
use tokio::time::{Duration, Instant, timeout};

use crate::inspect::Datasources;
use crate::serve::listen::lock;

/// How long a database may take to say it. Who asks waits no longer than this either.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// The last look at each datasource.
#[derive(Default)]
pub(super) struct Looks(Mutex<HashMap<String, (Instant, Observation)>>);

impl Looks {
    /// Looks at the one datasource that a session is for, unless somebody has a moment ago.
    pub(super) async fn at(&self, datasources: &Datasources) -> Result<Observation, NodeError> {
        let mut all = datasources.iter();
        let (Some((name, datasource)), None) = (all.next(), all.next()) else {
            return Err(NodeError::statement("3D000", "it is not said of which datasource")
                .with_hint("Connect to the datasource by its name, as to a database."));
        };
        let now = Instant::now();
        if let Some((looked, seen)) = lock(&self.0).get(name)
            && now - *looked < OBSERVATION_INTERVAL
        {
            let age = u64::try_from((now - *looked).as_millis()).unwrap_or(u64::MAX);
            // One more than it is, since it is taken for the moment of the look.
            let age_ms = age.saturating_add(1);
            return Ok(Observation { age_ms, ..seen.clone() });
        }
        let seen = timeout(LOOK_TIME, datasource.observe()).await.map_err(|_| {
            let message = "a node's database does not say what part it has in its replica set";
            NodeError::statement("57014", message)
        })??;
        lock(&self.0).insert(name.clone(), (now, seen.clone()));
        Ok(seen)
    }
}
