//! CREATE, ALTER, DROP → metadata change, then every shard.

use dataman_pg::PgError;

use crate::error::Error;
use crate::parse::syntax::{Define, ParsedStatement};
use crate::session::Session;

impl Session {
    /// Carries out a statement that changes the schema; gives its tag. The dispatcher has checked that the transaction is
    /// neither failed nor read-only; `in_transaction_block` says whether it stands alone.
    ///
    /// # Errors
    /// PostgreSQL's, and `0A000` for what dataman cannot keep; nothing has changed then.
    pub(crate) async fn define(
        &mut self,
        _statement: &ParsedStatement,
        _define: &Define,
    ) -> Result<String, Error> {
        Err(PgError::unsupported("schema changes are not there yet").into())
    }
}
