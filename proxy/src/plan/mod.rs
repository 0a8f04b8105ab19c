//! Query + Snapshot → Plan; pure.

use std::sync::Arc;

use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::record::ColumnDescription;
use dataman_pg::{Context, PgError, TypeId};

use crate::parse::syntax::ParsedStatement;
use crate::scatter::contract::Capabilities;

/// How a statement is carried out; immutable, kept in the plan cache, bound to parameters at each execution.
#[derive(Debug)]
pub struct Plan {
    /// The epoch it was made under.
    pub epoch: dataman_metadata::id::Epoch,
    /// The types of `$1…`.
    pub params: Vec<TypeId>,
    /// The result's columns; none when it returns no rows.
    pub columns: Option<Vec<ColumnDescription>>,
    /// The command tag's word: `SELECT`, `INSERT 0`, `UPDATE`, `DELETE`.
    pub tag: &'static str,
    /// Whether it may write.
    pub writes: bool,
}

/// What planning may look at.
pub struct PlanContext<'a> {
    /// The metadata.
    pub snapshot: &'a Arc<Snapshot>,
    /// The session's database.
    pub database: &'a str,
    /// The session's user.
    pub user: &'a str,
    /// The schemas to look names up in, in order.
    pub search_path: &'a [String],
    /// Settings that constants' input depends on.
    pub context: &'a Context,
    /// What the shards can do.
    pub capabilities: &'a dyn Capabilities,
}

/// Plans a SELECT, INSERT, UPDATE or DELETE. `declared` are the parameter types that the client declared, 0 for none.
///
/// # Errors
/// PostgreSQL's errors for names, types and grouping; `0A000` with a hint for what dataman cannot prove right here.
pub fn plan(
    _statement: &ParsedStatement,
    _declared: &[TypeId],
    _context: &PlanContext<'_>,
) -> Result<Arc<Plan>, PgError> {
    Err(PgError::unsupported("planning is not there yet"))
}
