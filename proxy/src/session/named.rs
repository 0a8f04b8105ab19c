//! What the extended protocol says about statements and portals by their names: Parse, Describe, Bind, Close, Sync.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};

use crate::error::Error;
use crate::merge::decode;
use crate::parse::syntax::Statement;
use crate::session::portal::{Portal, PortalState};
use crate::session::prepared::Prepared;
use crate::session::transaction::Level;
use crate::session::{Session, activity};

impl Session {
    /// Parse: keeps a statement under a name.
    ///
    /// # Errors
    /// What parsing and planning find; `42P05` for a name that is taken.
    pub async fn prepare(&mut self, name: &str, sql: &str, declared: &[u32]) -> Result<(), Error> {
        self.show_begin(activity::shown_text(sql));
        match self.try_prepare(name, sql, declared) {
            Ok(()) => {
                self.doing.rest(self.status());
                Ok(())
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    pub(super) fn try_prepare(
        &mut self,
        name: &str,
        sql: &str,
        declared: &[u32],
    ) -> Result<(), Error> {
        let statements = self.plans.parse(sql)?;
        let mut statements = statements.iter().filter(|one| one.statement != Statement::Empty);
        let statement = statements.next();
        if statements.next().is_some() {
            return Err(PgError::new(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            )
            .into());
        }
        if let Some(statement) = statement {
            self.check_not_failed(&statement.statement)?;
        }
        let declared: Vec<TypeId> = declared.iter().map(|oid| TypeId(*oid)).collect();
        let prepared = self.describe(statement.cloned(), &declared)?;
        self.prepared.insert(name, Arc::new(prepared))?;
        Ok(())
    }

    /// Describe of a statement: its parameters' types and its columns.
    ///
    /// # Errors
    /// `26000`; `25P02` in a failed transaction for a statement that returns rows.
    pub async fn describe_statement(&mut self, name: &str) -> Result<Arc<Prepared>, Error> {
        let outcome = self.prepared.get(name).cloned().map_err(Error::from);
        let outcome = outcome.and_then(|prepared| {
            if prepared.columns.is_some() {
                self.check_not_failed_for(&prepared)?;
            }
            Ok(prepared)
        });
        match outcome {
            Ok(prepared) => Ok(prepared),
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Describe of a portal: its columns and their formats.
    ///
    /// # Errors
    /// `34000`; `25P02`.
    pub async fn describe_portal(
        &mut self,
        name: &str,
    ) -> Result<(Arc<Prepared>, Vec<Format>), Error> {
        let outcome = self.portals.get(name).map_err(Error::from).and_then(|portal| {
            if portal.prepared.columns.is_some() {
                self.check_not_failed_for(&portal.prepared)?;
            }
            Ok((Arc::clone(&portal.prepared), portal.formats.clone()))
        });
        match outcome {
            Ok(described) => Ok(described),
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Bind: makes a portal of a statement.
    ///
    /// # Errors
    /// `26000`, `42P03`; `08P01` when the counts do not fit; `25P02`.
    pub async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[i16],
        values: Vec<Option<Bytes>>,
        result_formats: &[i16],
    ) -> Result<(), Error> {
        let outcome = self.try_bind(portal, statement, formats, values, result_formats).await;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error).await),
        }
    }

    pub(super) async fn try_bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[i16],
        values: Vec<Option<Bytes>>,
        result_formats: &[i16],
    ) -> Result<(), Error> {
        use crate::wire::message::resolve_formats;
        let prepared = Arc::clone(self.prepared.get(statement)?);
        if formats.len() > 1 && formats.len() != values.len() {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message has {} parameter formats but {} parameters",
                    formats.len(),
                    values.len()
                ),
            )
            .into());
        }
        if values.len() != prepared.params.len() {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                    values.len(),
                    prepared.params.len()
                ),
            )
            .into());
        }
        self.check_not_failed_for(&prepared)?;
        let columns = prepared.columns.as_ref().map_or(0, Vec::len);
        if result_formats.len() > 1 && prepared.columns.is_some() && result_formats.len() != columns
        {
            return Err(PgError::new(
                "08P01",
                format!(
                    "bind message has {} result formats but query has {columns} columns",
                    result_formats.len()
                ),
            )
            .into());
        }
        let formats = resolve_formats(formats, values.len())?;
        let result_formats = resolve_formats(result_formats, columns)?;
        self.check_values(portal, &prepared.params, &formats, &values)?;
        if portal.is_empty() {
            self.close_portal(portal).await?;
        }
        self.portals.insert(
            portal,
            Portal {
                prepared,
                parameters: Parameters { values, formats },
                formats: result_formats,
                state: PortalState::Ready,
            },
        )?;
        Ok(())
    }

    /// Reads each value as its type does: PostgreSQL finds out at Bind what is none.
    ///
    /// # Errors
    /// The type's, saying which parameter it is.
    fn check_values(
        &self,
        portal: &str,
        types: &[TypeId],
        formats: &[Format],
        values: &[Option<Bytes>],
    ) -> Result<(), Error> {
        let typed = self.settings.typed();
        let user = types.iter().any(|ty| ty.is_user()).then(|| self.context(&[]));
        let context = user.as_ref().unwrap_or(&typed.context);
        for (place, (value, ty)) in values.iter().zip(types).enumerate() {
            let Some(bytes) = value else { continue };
            let format = formats.get(place).copied().unwrap_or_default();
            let Err(error) = decode(Some(bytes), TypeRef::plain(*ty), format, context) else {
                continue;
            };
            // A type that only databases know passes through.
            if error.sqlstate() == "0A000" {
                continue;
            }
            let number = place + 1;
            let mut failure = NodeError::statement(error.sqlstate(), error.message());
            if format == Format::Binary && error.sqlstate() == "22P03" {
                failure.message =
                    format!("incorrect binary data format in bind parameter {number}");
            }
            failure.detail = error.detail().map(str::to_owned);
            failure.hint = error.hint().map(str::to_owned);
            let portal = match portal {
                "" => "unnamed portal".to_owned(),
                name => format!("portal \"{name}\""),
            };
            // How long a value may be to be shown is PostgreSQL's log_parameter_max_length_on_error, 0 by default.
            failure.context = Some(match format {
                Format::Text => format!("{portal} parameter ${number} = '...'"),
                Format::Binary => format!("{portal} parameter ${number}"),
            });
            return Err(failure.into());
        }
        Ok(())
    }

    /// Close of a statement. That there is none is no error.
    pub fn close_statement(&mut self, name: &str) {
        self.prepared.remove(name);
    }

    /// Close of a portal. That there is none is no error.
    ///
    /// # Errors
    /// What it still had to read from its shards could not be read.
    pub async fn close_portal(&mut self, name: &str) -> Result<(), Error> {
        let Ok(mut portal) = self.portals.take(name) else { return Ok(()) };
        let PortalState::Rows(rows) = &mut portal.state else { return Ok(()) };
        let is_shared = |session: &Self, shard| {
            session.transaction.participants.get(shard).is_some_and(|one| one.written)
                || session.transaction.modes.isolation > Level::ReadCommitted
        };
        // A shard that was only read may leave the transaction, and join again. Otherwise its connection is needed, so the
        // rows that nobody wants are read to their end.
        if rows.shards.iter().any(|shard| is_shared(self, shard)) {
            rows.skip_to_end().await?;
            self.transaction.give_back(rows.take_connections());
        } else {
            for shard in &rows.shards {
                self.transaction.participants.remove(shard);
            }
        }
        Ok(())
    }

    /// Sync: commits what no BEGIN has begun.
    ///
    /// # Errors
    /// The commit's failure.
    pub async fn sync(&mut self) -> Result<(), Error> {
        if self.transaction.is_implicit() {
            self.end_transaction().await?;
        }
        Ok(())
    }

    /// The end of a query string, after its last statement or its failure.
    ///
    /// # Errors
    /// The commit's failure.
    pub async fn finish_string(&mut self) -> Result<(), Error> {
        self.prepared.remove_unnamed();
        self.sync().await
    }
}
