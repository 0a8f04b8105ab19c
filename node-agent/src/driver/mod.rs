//! The databases: one folder for each, behind the traits of [`contract`].

pub mod conformance;
pub mod contract;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use dataman_metadata::topology::Engine;
use dataman_node_protocol::NodeError;

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
        other => Err(NodeError::unsupported(format!("this program was built without {other:?}"))),
    }
}
