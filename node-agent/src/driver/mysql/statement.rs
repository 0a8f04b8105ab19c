//! One statement: what was made of it, and what its parts share while it runs.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{ColumnDescription, Format};
use dataman_pg::Context;
use dataman_pg::value::Value;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value as Raw};
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::connect::{Server, Session};
use super::error::{classify, too_large};
use super::keys::is_on_numbers;
use super::lower::{self, Lowered};
use super::write::{PreparedDelete, PreparedInsert, PreparedUpdate};
use crate::driver::sql::instance::{columns_of, instance_of, returned};

/// What the driver made of a statement over a catalogue.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What it returns.
    pub(super) columns: Option<Vec<ColumnDescription>>,
    /// What it does.
    pub(super) work: Work,
}

/// The kinds of statement.
#[derive(Debug)]
pub(super) enum Work {
    /// A query.
    Read(Box<Lowered>),
    /// INSERT.
    Insert(Box<PreparedInsert>),
    /// UPDATE.
    Update(Box<PreparedUpdate>),
    /// DELETE.
    Delete(Box<PreparedDelete>),
    /// Locks on the numbers of a shard instance.
    LockNumbers(String),
    /// A definition.
    Define,
}

impl Prepared {
    /// Makes a statement ready.
    ///
    /// # Errors
    /// `0A000` for what MySQL cannot carry out; `42P01` for a collection that is not there.
    pub(super) fn new(
        statement: &NodeStatement,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Self, NodeError> {
        let (columns, work) = match &statement.query {
            NodeQuery::Filter(select) if select.lock.as_ref().is_some_and(is_on_numbers) => {
                let instance = instance_of(&statement.query)?.unwrap_or_default();
                (Some(columns_of(&select.fields)?), Work::LockNumbers(instance))
            }
            NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
                let lowered = lower::select(select, catalogue)?;
                (Some(columns_of(&select.fields)?), Work::Read(Box::new(lowered)))
            }
            NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
                let work = Box::new(PreparedInsert::new(insert, catalogue)?);
                (returned(&insert.returning)?, Work::Insert(work))
            }
            NodeQuery::Update(update) => {
                let work = Box::new(PreparedUpdate::new(update, catalogue)?);
                (returned(&update.returning)?, Work::Update(work))
            }
            NodeQuery::Delete(delete) => {
                let work = Box::new(PreparedDelete::new(delete, catalogue)?);
                (returned(&delete.returning)?, Work::Delete(work))
            }
            NodeQuery::Define(_) => (None, Work::Define),
            NodeQuery::Inspect(_) => {
                return Err(NodeError::unsupported("an inspection is no statement of MySQL's"));
            }
            NodeQuery::Copy(_) => {
                return Err(NodeError::unsupported("this datasource does not take COPY data"));
            }
            NodeQuery::Sql(_) => {
                return Err(NodeError::unsupported("this datasource does not take SQL text"));
            }
            NodeQuery::Get(_) | NodeQuery::Set(_) => {
                return Err(NodeError::unsupported("a short-form query has to be bound first"));
            }
        };
        Ok(Self { columns, work })
    }
}

/// A statement on its way.
pub(super) struct Statement<'a> {
    /// The server.
    pub(super) server: &'a Server,
    /// The session that it runs on.
    pub(super) session: &'a mut Session,
    /// What the shard instance holds.
    pub(super) catalogue: Arc<Catalogue>,
    /// The statement's settings and clock.
    pub(super) context: Arc<Context>,
    /// Its parameters.
    pub(super) params: Vec<Value>,
    /// The formats of its result.
    pub(super) formats: &'a [Format],
    /// Fires when nobody waits for it any more.
    pub(super) stop: &'a CancellationToken,
}

/// How a text of MySQL's ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// The number of the first record inserted.
    pub(super) row: u64,
}

impl Statement<'_> {
    /// Runs a text that returns nothing.
    pub(super) async fn run(&mut self, text: &str, values: Vec<Raw>) -> Result<Done, NodeError> {
        self.check_stop()?;
        self.check_size(text, &values)?;
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        self.session.conn.exec_drop(text, params).await.map_err(classify)?;
        Ok(Done { row: self.session.conn.last_insert_id().unwrap_or(0) })
    }

    /// Runs a query to its end; `keep` is given each row.
    pub(super) async fn rows(
        &mut self,
        text: &str,
        values: Vec<Raw>,
        mut keep: impl FnMut(Vec<Raw>) -> Result<(), NodeError> + Send,
    ) -> Result<(), NodeError> {
        self.check_stop()?;
        self.check_size(text, &values)?;
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let mut result = self.session.conn.exec_iter(text, params).await.map_err(classify)?;
        let mut kept = Ok(());
        while let Some(row) = result.next().await.map_err(classify)? {
            kept = keep(row.unwrap());
            if kept.is_err() {
                break;
            }
        }
        result.drop_result().await.map_err(classify)?;
        kept
    }

    /// Whether a query has a row.
    pub(super) async fn exists(&mut self, text: &str, values: Vec<Raw>) -> Result<bool, NodeError> {
        let mut found = false;
        self.rows(text, values, |_| {
            found = true;
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Refuses what the server would close the connection for.
    pub(super) fn check_size(&self, text: &str, values: &[Raw]) -> Result<(), NodeError> {
        let of_value = |value: &Raw| match value {
            Raw::Bytes(bytes) => bytes.len() + 16,
            _ => 16,
        };
        let bytes = text.len() + values.iter().map(of_value).sum::<usize>() + 1024;
        if bytes <= self.session.packet_bytes_max {
            return Ok(());
        }
        Err(too_large())
    }

    /// A cancel between two texts is seen here.
    pub(super) fn check_stop(&self) -> Result<(), NodeError> {
        if self.stop.is_cancelled() { Err(NodeError::cancelled()) } else { Ok(()) }
    }
}
