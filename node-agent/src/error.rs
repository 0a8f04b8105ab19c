//! What keeps an agent from starting or serving. A statement's failures are [`NodeError`]s.

use dataman_node_protocol::NodeError;

/// A failure of the agent itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The threads that serve clients cannot be started.
    #[error("cannot start the threads that serve clients")]
    Threads(#[source] std::io::Error),
    /// A datasource cannot be opened.
    #[error("datasource \"{datasource}\" cannot be opened")]
    Open {
        /// Which.
        datasource: String,
        /// Why.
        #[source]
        source: NodeError,
    },
    /// A datasource's URL names an environment variable that is not set.
    #[error(
        "the URL of datasource \"{datasource}\" needs the environment variable {variable}, which is not set"
    )]
    Environment {
        /// Which datasource.
        datasource: String,
        /// Which variable.
        variable: String,
    },
}
