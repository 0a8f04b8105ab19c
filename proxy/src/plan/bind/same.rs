//! Whether two subqueries are the same one, written twice: what GROUP BY, ORDER BY and DISTINCT ON name may stand in the select
//! list and in HAVING, and PostgreSQL takes both for one expression.

use std::collections::HashMap;

use dataman_node_protocol::query::{Select, Source};
use dataman_pg::Expr;

use super::Binder;
use super::expr::Clause;
use crate::plan::apply::is_volatile;
use crate::plan::form::{alias_of, each_expr_mut, each_node_mut, each_select_mut, for_each_select};

impl Binder<'_> {
    /// The place of a subquery of the query being bound that is the same as this one, where a clause may name it again. One that
    /// calls a volatile function is the same as no other.
    pub(super) fn same_subquery(&self, select: &Select, clause: Clause) -> Option<usize> {
        let may_be_again = match clause {
            Clause::GroupBy | Clause::OrderBy | Clause::DistinctOn => true,
            Clause::Where | Clause::JoinOn => false,
            _ => self.is_grouped,
        };
        if !may_be_again || is_volatile(select) {
            return None;
        }
        self.subqueries.last()?.iter().position(|known| is_same(known, select))
    }
}

/// Whether two bound queries differ in nothing but the names that the binder gave their tables.
fn is_same(one: &Select, other: &Select) -> bool {
    let (names, others) = (names_inside(one), names_inside(other));
    if names.len() != others.len() {
        return false;
    }
    let mut renamed = HashMap::new();
    for (name, other) in names.into_iter().zip(others) {
        if stem(&name) != stem(&other) {
            return false;
        }
        renamed.insert(other, name);
    }
    let mut copy = other.clone();
    rename(&mut copy, &renamed);
    *one == copy
}

/// The names of the sources and common tables of a query and of those inside it, in the order of the form.
fn names_inside(select: &Select) -> Vec<String> {
    fn of_source(source: &Source, names: &mut Vec<String>) {
        crate::plan::form::each_own_source(source, &mut |source| {
            names.extend(alias_of(source).map(str::to_owned));
        });
    }
    let mut names = Vec::new();
    for_each_select(select, &mut |select| {
        select.source.iter().for_each(|source| of_source(source, &mut names));
        names.extend(select.with.iter().map(|table| table.name.clone()));
    });
    names
}

fn rename(select: &mut Select, names: &HashMap<String, String>) {
    fn give(name: &mut String, names: &HashMap<String, String>) {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    }
    fn of_source(source: &mut Source, names: &HashMap<String, String>) {
        match source {
            Source::Join { left, right, .. } => {
                of_source(left, names);
                of_source(right, names);
            }
            Source::CommonTable { name, alias, .. } => {
                give(name, names);
                give(alias, names);
            }
            Source::Collection { alias, .. }
            | Source::Query { alias, .. }
            | Source::Values { alias, .. }
            | Source::Function { alias, .. }
            | Source::Virtual { alias, .. } => give(alias, names),
        }
    }
    each_select_mut(select, &mut |select| {
        select.source.iter_mut().for_each(|source| of_source(source, names));
        select.with.iter_mut().for_each(|table| give(&mut table.name, names));
    });
    each_expr_mut(select, &mut |expr| {
        each_node_mut(expr, &mut |node| {
            if let Expr::Field(field) = node {
                give(&mut field.source, names);
            }
        });
    });
}

/// A name without the number that made it unique.
fn stem(name: &str) -> &str {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    stem.strip_suffix(['_', crate::plan::SHOWN_ALIAS]).filter(|_| stem != name).unwrap_or(name)
}
