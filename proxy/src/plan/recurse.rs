//! Common tables that are more than a query put in place: recursive ones, and those whose rows must be computed once.

use std::collections::BTreeSet;

use dataman_node_protocol::query::{CommonTable, Select, SetOperationKind, Source};
use dataman_pg::PgError;
use dataman_pg::types::TypeRef;

use super::form::{self, output_columns};
use super::operator::{InsertSource, Operator, Root, Table};
use super::select::Result;
use super::split::check_decodable;
use super::{Plan, Planner};

/// What a common table's name stands for.
#[derive(Debug, Clone)]
pub(super) enum InScope {
    /// The table itself.
    Table { place: usize, columns: Vec<TypeRef>, is_local: bool },
    /// In its own recursive term, the rows that came last.
    Working { id: usize, columns: Vec<TypeRef> },
}

/// Whether a select reads a common table that is defined around it.
pub(super) fn reads_table_around(select: &Select) -> bool {
    let mut own: BTreeSet<&str> = BTreeSet::new();
    form::for_each_select(select, &mut |inner| {
        own.extend(inner.with.iter().map(|table| table.name.as_str()));
    });
    let mut reads = false;
    form::for_each_source(select, &mut |source| {
        if let Source::CommonTable { name, .. } = source {
            reads |= !own.contains(name.as_str());
        }
    });
    reads
}

impl Planner<'_> {
    /// Plans a select's common tables, and then the select over them.
    pub(super) fn with_common_tables(&mut self, mut select: Select) -> Result<Operator> {
        let before = self.in_scope.len();
        for table in std::mem::take(&mut select.with) {
            self.define(table)?;
        }
        let operator = self.above(select);
        self.in_scope.truncate(before);
        operator
    }

    pub(super) fn define(&mut self, table: CommonTable) -> Result<()> {
        let CommonTable { name, query, recursive, .. } = table;
        let columns: Vec<TypeRef> =
            output_columns(&query).into_iter().map(|column| column.ty).collect();
        for column in &columns {
            check_decodable(*column)?;
        }
        let operator = if recursive {
            self.recursion(&name, *query, &columns)?
        } else {
            self.select(*query, None)?
        };
        let is_local = self.depends(&operator);
        let operator = if is_local { self.keep(operator) } else { operator };
        let place = self.common_tables.len();
        self.common_tables.push(Table { name: name.clone(), operator, streams: is_local });
        self.in_scope.push((name, InScope::Table { place, columns, is_local }));
        Ok(())
    }

    fn recursion(
        &mut self,
        name: &str,
        mut query: Select,
        columns: &[TypeRef],
    ) -> Result<Operator> {
        let refused = |what: &str| {
            PgError::new("0A000", format!("{what} in a recursive query is not implemented"))
        };
        if !query.sort.is_empty() {
            return Err(refused("ORDER BY"));
        }
        if query.offset.is_some() {
            return Err(refused("OFFSET"));
        }
        if query.limit.is_some() {
            return Err(refused("LIMIT"));
        }
        let last = query
            .union
            .pop()
            .filter(|last| last.kind == SetOperationKind::Union)
            .ok_or_else(|| PgError::internal("a recursive query is a UNION"))?;
        let with = std::mem::take(&mut query.with);
        let before = self.in_scope.len();
        for table in with {
            self.define(table)?;
        }
        let first = self.select(query, None)?;
        self.keeps += 1;
        let id = self.keeps;
        let working = InScope::Working { id, columns: columns.to_vec() };
        self.in_scope.push((name.to_owned(), working));
        let step = self.select(*last.query, None);
        self.in_scope.truncate(before);
        let step = self.keep(step?);
        Ok(Operator::Recurse { id, first: Box::new(first), step: Box::new(step), all: last.all })
    }

    /// The rows of a common table in scope.
    pub(super) fn common_table(&self, name: &str) -> Result<Operator> {
        let found = self.in_scope.iter().rev().find(|(known, _)| known == name);
        Ok(match found.map(|(_, table)| table.clone()) {
            Some(InScope::Table { place, columns, is_local }) => {
                Operator::Table { place, columns, is_local }
            }
            Some(InScope::Working { id, columns }) => Operator::Working { id, columns },
            None => {
                return Err(PgError::internal(format!(
                    "the common table \"{name}\" is not planned"
                )));
            }
        })
    }
}

/// Decides which common tables are handed on while they are computed: those that are read in one place, once.
pub(super) fn decide_streams(plan: &mut Plan) {
    fn count(operator: &Operator, times: usize, counts: &mut [usize]) {
        if let Operator::Table { place, .. } = operator
            && let Some(count) = counts.get_mut(*place)
        {
            *count = count.saturating_add(times);
        }
        if let Operator::Recurse { first, step, .. } = operator {
            count(first, times, counts);
            count(step, 2, counts);
            return;
        }
        for input in operator.inputs() {
            count(input, times, counts);
        }
    }
    let mut counts = vec![0; plan.tables.len()];
    for root in plan.first.iter().map(|first| &first.root).chain(std::iter::once(&plan.root)) {
        match root {
            Root::Rows(operator) => count(operator, 1, &mut counts),
            Root::Insert(insert) => {
                if let InsertSource::Query { operator, .. } = &insert.rows {
                    count(operator, 1, &mut counts);
                }
            }
            Root::Write(_) | Root::Change(_) | Root::Copy(_) => {}
        }
        if let Some(change) = root.change() {
            count(&change.find, 1, &mut counts);
        }
    }
    // What a statement has returned is there, and not computed.
    for first in &plan.first {
        if let Some(count) = counts.get_mut(first.table) {
            *count = usize::MAX / 2;
        }
    }
    plan.subplans.iter().for_each(|subplan| count(&subplan.operator, 1, &mut counts));
    plan.tables.iter().for_each(|table| count(&table.operator, 1, &mut counts));
    plan.applies.iter().for_each(|apply| count(&apply.operator, 2, &mut counts));
    for (table, count) in plan.tables.iter_mut().zip(counts) {
        table.streams |= count <= 1;
    }
}
