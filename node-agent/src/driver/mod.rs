//! The databases: one folder for each, behind the traits of [`contract`].

pub mod conformance;
pub mod contract;
#[cfg(any(feature = "mysql", feature = "mongodb"))]
mod kept;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::sync::Arc;

use dataman_metadata::topology::Engine;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::capability::Capability;

/// The driver of an engine.
///
/// # Errors
/// `0A000` for an engine that this program was built without.
pub fn of(engine: Engine) -> Result<Box<dyn contract::Driver>, NodeError> {
    match engine {
        #[cfg(feature = "postgres")]
        Engine::Postgres => Ok(Box::new(postgres::PostgresDriver)),
        #[cfg(feature = "sqlite")]
        Engine::Sqlite => Ok(Box::new(sqlite::SqliteDriver)),
        #[cfg(feature = "mysql")]
        Engine::Mysql => Ok(Box::new(mysql::MysqlDriver)),
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => Ok(Box::new(mongodb::MongodbDriver)),
        #[allow(unreachable_patterns, reason = "reached by builds without some driver")]
        other => Err(NodeError::unsupported(format!("this program was built without {other:?}"))),
    }
}

/// What an engine's databases can do, for a proxy whose datasource is behind a separate agent.
///
/// # Errors
/// `0A000` for an engine that this program was built without.
pub fn capability_of(engine: Engine) -> Result<Arc<dyn Capability>, NodeError> {
    match engine {
        #[cfg(feature = "postgres")]
        Engine::Postgres => Ok(Arc::new(postgres::PostgresCapability)),
        #[cfg(feature = "sqlite")]
        Engine::Sqlite => Ok(Arc::new(sqlite::SqliteCapability)),
        #[cfg(feature = "mysql")]
        Engine::Mysql => Ok(Arc::new(mysql::MysqlCapability)),
        #[cfg(feature = "mongodb")]
        Engine::Mongodb => Ok(Arc::new(mongodb::MongodbCapability)),
        #[allow(unreachable_patterns, reason = "reached by builds without some driver")]
        other => Err(NodeError::unsupported(format!("this program was built without {other:?}"))),
    }
}
