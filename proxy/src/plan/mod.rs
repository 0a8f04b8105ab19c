//! Query + Snapshot → Plan; pure.
//!
//! [`bind`] decides what a statement means. [`select`] and [`mod@write`] then turn it into operators: [`distribution`] proves
//! which parts give the same rows shard by shard, [`split`] divides such a query into a part for each shard and a merge,
//! [`divide`] asks each shard as much of it as its database carries out, and [`above`] does the rest over scans of the shards. [`unread`] takes out what
//! nothing reads, [`fold`] what is the same for every row; [`pass`] says which plans one shard can answer in the client's own frames, [`lift`] when a literal may be a
//! parameter. [`visit`] goes through a plan.

mod above;
pub(crate) mod apply;
pub mod bind;
mod change;
mod condition;
pub(crate) mod copy;
mod derived;
mod distribution;
mod divide;
pub(crate) mod estimate;
mod explain;
mod fold;
pub(crate) mod form;
mod fragment;
pub(crate) mod global;
pub(crate) mod joining;
pub(crate) mod lift;
mod narrow;
mod number;
pub(crate) mod operator;
pub(crate) mod pass;
mod recurse;
mod safety;
mod select;
mod semi;
mod sources;
mod split;
#[cfg(test)]
mod support;
mod unread;
pub(crate) mod visit;
mod window;
mod write;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use dataman_metadata::id::{CollectionId, Epoch};
use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::record::ColumnDescription;
use dataman_pg::{Context, PgError, TypeId};

use crate::parse::syntax::{ParsedStatement, Statement};
use crate::scatter::contract::Capabilities;

pub use bind::{Internal, Parameters};
pub use explain::{Analyzed, ExplainFormat, Shown};
pub(crate) use operator::{Root, SubPlan, WritePlan};

/// How a statement is carried out; immutable, kept in the plan cache, bound to parameters at each execution.
#[derive(Debug)]
pub struct Plan {
    /// The epoch it was made under.
    pub epoch: Epoch,
    /// The types of `$1…`.
    pub params: Vec<TypeId>,
    /// The result's columns; none when it returns no rows.
    pub columns: Option<Vec<ColumnDescription>>,
    /// The command tag's word: `SELECT`, `INSERT 0`, `UPDATE`, `DELETE`.
    pub tag: &'static str,
    /// Whether it may write, or lock rows.
    pub writes: bool,
    /// Whether an expression calls a sequence function.
    pub(crate) numbers: bool,
    /// The client's and the internal parameters.
    pub(crate) parameters: Parameters,
    /// Queries run first, whose results are internal parameters.
    pub(crate) subplans: Vec<SubPlan>,
    /// Queries that read the rows around them, carried out as these are met.
    pub(crate) applies: Vec<operator::Apply>,
    /// Common tables that are more than a query put in place.
    pub(crate) tables: Vec<operator::Table>,
    /// What is done before: the statements of WITH that write.
    pub(crate) first: Vec<operator::First>,
    /// What is done.
    pub(crate) root: Root,
    /// The metadata that the plan was made from: keyspaces are looked up in it when keys are known.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The collections whose statistics it was made by.
    pub(crate) sampled: BTreeSet<CollectionId>,
    /// How it can pass, if it can.
    pub(crate) pass: Option<pass::Pass>,
}

impl Plan {
    /// Which of the three ways it went, when so many shards took part: `route`, `scatter` or `federate`; `proxy` for none.
    pub(crate) fn way(&self, shards: usize) -> &'static str {
        let is_whole = self.subplans.is_empty()
            && self.applies.is_empty()
            && self.tables.is_empty()
            && self.first.is_empty()
            && match &self.root {
                Root::Rows(operator) => operator.merges(),
                Root::Insert(_) | Root::Write(_) | Root::Copy(_) => true,
                Root::Change(_) => false,
            };
        match (shards, is_whole) {
            (0, _) => "proxy",
            (_, false) => "federate",
            (1, true) => "route",
            (_, true) => "scatter",
        }
    }
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
    /// What is bound is to be written back as text: casts of constants stay as they are.
    pub shows: bool,
}

/// What stands between an alias and its number in what is bound to be written back.
pub(crate) const SHOWN_ALIAS: char = '\u{1}';

/// Plans a SELECT, INSERT, UPDATE or DELETE. `declared` are the parameter types that the client declared, 0 for none.
///
/// # Errors
/// PostgreSQL's errors for names, types and grouping; `0A000` with a hint for what dataman cannot prove right here.
pub fn plan(
    statement: &ParsedStatement,
    declared: &[TypeId],
    context: &PlanContext<'_>,
) -> Result<Arc<Plan>, PgError> {
    if let Statement::Unsupported(refusal) = &statement.statement {
        return Err(PgError::unsupported(refusal.message.clone()).with_hint(refusal.hint.clone()));
    }
    let bound = bind::bind(statement, declared, context)?;
    let mut planner = Planner {
        context,
        text: &statement.text,
        tables: bound.tables,
        parameters: bound.parameters,
        facts: bound.facts,
        subplans: Vec::new(),
        applies: Vec::new(),
        outer: std::collections::BTreeSet::new(),
        common_tables: Vec::new(),
        in_scope: Vec::new(),
        keeps: 0,
        derived: 0,
        among: None,
        modifies: false,
        sampled: RefCell::default(),
    };
    let first = planner.modifying(bound.modifying)?;
    let (root, columns, tag, writes) = match bound.kind {
        bind::BoundKind::Select(select) => {
            let columns = describe(&form::output_columns(&select));
            let writes = select.lock.is_some();
            (Root::Rows(planner.top_select(*select)?), Some(columns), "SELECT", writes)
        }
        bind::BoundKind::Insert(insert) => {
            let columns = returning(&insert.insert.returning);
            (planner.insert(*insert, bound.with)?, columns, "INSERT 0", true)
        }
        bind::BoundKind::Update(update) => {
            let columns = returning(&update.returning);
            (planner.update(*update, bound.with)?, columns, "UPDATE", true)
        }
        bind::BoundKind::Delete(delete) => {
            let columns = returning(&delete.returning);
            (planner.delete(*delete, bound.with)?, columns, "DELETE", true)
        }
        bind::BoundKind::Copy(copy) => (planner.copy_in(*copy)?, None, "COPY", true),
    };
    let mut plan = Plan {
        epoch: context.snapshot.epoch,
        params: planner.parameters.client().to_vec(),
        columns,
        tag,
        writes: writes || !first.is_empty(),
        first,
        numbers: planner.facts.numbers,
        parameters: planner.parameters,
        subplans: planner.subplans,
        applies: planner.applies,
        tables: planner.common_tables,
        root,
        snapshot: Arc::clone(context.snapshot),
        sampled: planner.sampled.into_inner(),
        pass: None,
    };
    recurse::decide_streams(&mut plan);
    operator::number_parameters(&mut plan);
    operator::make_statements(&mut plan);
    plan.pass = pass::Pass::of(&plan);
    Ok(Arc::new(plan))
}

fn describe(columns: &[dataman_node_protocol::query::NamedType]) -> Vec<ColumnDescription> {
    columns
        .iter()
        .map(|column| ColumnDescription { name: column.name.clone(), ty: column.ty })
        .collect()
}

fn returning(
    fields: &[dataman_node_protocol::query::OutputField],
) -> Option<Vec<ColumnDescription>> {
    if fields.is_empty() {
        return None;
    }
    let select =
        dataman_node_protocol::query::Select { fields: fields.to_vec(), ..Default::default() };
    Some(describe(&form::output_columns(&select)))
}

/// The state of planning one statement.
pub(crate) struct Planner<'a> {
    context: &'a PlanContext<'a>,
    text: &'a str,
    tables: std::collections::HashMap<String, bind::Table>,
    parameters: Parameters,
    facts: bind::Facts,
    subplans: Vec<SubPlan>,
    applies: Vec<operator::Apply>,
    /// The parameters that stand for values of the rows around a query.
    outer: std::collections::BTreeSet<u16>,
    common_tables: Vec<operator::Table>,
    /// The common tables that the query being planned can read, by name.
    in_scope: Vec<(String, recurse::InScope)>,
    /// How many numbers of kept rows are taken.
    keeps: usize,
    /// How many subqueries have become sources.
    derived: usize,
    /// The shards that are planned for, when it is not all of them.
    among: Option<divide::Among>,
    /// Statements of WITH write.
    modifies: bool,
    /// The collections whose statistics were asked for.
    sampled: RefCell<BTreeSet<CollectionId>>,
}

#[cfg(test)]
mod tests;
