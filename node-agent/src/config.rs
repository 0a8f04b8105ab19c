//! What an agent is started with, checked once.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use dataman_metadata::topology::Datasource;
use dataman_node_protocol::NodeError;

use crate::driver::contract::Limits;
use crate::error::Error;
use crate::inspect::Datasources;

/// Clients at a time unless configured; the next one is told `53300`.
pub const SESSIONS_MAX: usize = 1000;

/// How long a client may take to send its startup packet.
pub const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long sessions may finish what they do when the agent is told to stop, unless configured.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How an agent listens.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Clients at a time.
    pub sessions_max: usize,
    /// How many threads serve them: unless configured, [`workers_default`].
    pub workers: NonZeroUsize,
    /// How long sessions may finish what they do when the agent is told to stop.
    pub drain_time: Duration,
}

impl AgentConfig {
    /// The defaults at an address.
    pub fn new(listen: SocketAddr) -> Self {
        let (workers, drain_time) = (workers_default(), SHUTDOWN_TIMEOUT);
        Self { listen, sessions_max: SESSIONS_MAX, workers, drain_time }
    }
}

/// How many threads serve an agent's clients unless configured: one for each two cores, since the database beside it needs
/// the rest, and one thread serves tens of thousands of statements a second.
fn workers_default() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
}

/// Opens the datasources of a node. `${NAME}` in their URLs is replaced by the environment's value.
///
/// # Errors
/// An environment variable that is not set; a URL that the driver does not take. Both name the datasource.
pub async fn open_datasources(
    datasources: &[Datasource],
    limits: Limits,
    environment: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Datasources, Error> {
    let mut opened = Datasources::new();
    for datasource in datasources {
        let failed =
            |source: NodeError| Error::Open { datasource: datasource.name.clone(), source };
        let url = replace_environment(&datasource.url, environment).map_err(|variable| {
            Error::Environment { datasource: datasource.name.clone(), variable }
        })?;
        let node = crate::open(datasource.engine, &url, limits).await.map_err(failed)?;
        opened.insert(datasource.name.clone(), node);
    }
    Ok(opened)
}

/// Replaces `${NAME}`; the error is the name that is not set.
fn replace_environment(
    text: &str,
    environment: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&environment(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment() {
        let known = |name: &str| (name == "A").then(|| "x".to_owned());
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = replace_environment(text, &known);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        };
        check("a${A}b${A}", Ok("axbx"));
        check("${B}", Err("B"));
        check("${A", Ok("${A"));
        check("$A", Ok("$A"));
    }
}
