//! Derived tables in FROM: taken apart into what they are made of where nothing depends on their being apart, else handed the
//! conditions that their rows will meet anyway.

use std::collections::HashSet;

use dataman_node_protocol::query::{
    Condition, Distinct, JoinKind, NamedType, OutputField, Select, Source,
};
use dataman_pg::Expr;
use dataman_pg::expr::Field;

use super::apply::has_subquery;
use super::condition::{self, is_volatile};
use super::distribution::filter_conjuncts;
use super::form::{self, each_node_mut, for_each_expr, replace, walk};
use super::sources::all_of;

/// Puts the sources and conditions of simple derived tables in their place, where no outer join may fill them up. Those that are
/// `whole` are computed by themselves: taken apart, what nothing reads of them would not be computed, and could not fail.
pub(super) fn pull_up(select: &mut Select, whole: &HashSet<String>) {
    // What a grouping set leaves out of the key is another thing than an expression that looks the same.
    if select.grouping_sets.is_some() || !select.union.is_empty() {
        return;
    }
    loop {
        // Its subqueries come behind those that are there.
        let shift = select.subqueries.len();
        let mut found = None;
        for source in &mut select.source {
            if found.is_none() {
                found = take_simple(source, whole, shift);
            }
        }
        let Some((alias, columns, mut query)) = found else { return };
        select.subqueries.append(&mut query.subqueries);
        if let Some(own) = query.filter.take() {
            let mut parts = Vec::new();
            let whole = select.filter.take();
            // As in PostgreSQL, what is inside is asked first.
            filter_conjuncts(Some(&own), &mut parts);
            filter_conjuncts(whole.as_ref(), &mut parts);
            let parts: Vec<Expr> = parts.into_iter().cloned().collect();
            select.filter = (!parts.is_empty()).then(|| Condition::Expr(all_of(parts)));
        }
        let exprs = super::select::output_exprs(&query);
        form::each_expr_mut(select, &mut |expr| {
            *expr = replace(expr, &mut |node| match node {
                Expr::Field(field) if field.source == alias => {
                    let place = columns.iter().position(|column| column.name == field.name)?;
                    exprs.get(place).cloned()
                }
                _ => None,
            });
        });
    }
}

fn shift_subqueries(expr: &mut Expr, shift: usize) {
    each_node_mut(expr, &mut |node| {
        if let Expr::Subquery { index, .. } = node {
            *index += shift;
        }
    });
}

/// Replaces the first simple derived table below a source by what it reads, with the numbers of its subqueries shifted; gives its
/// alias, its columns and itself.
fn take_simple(
    source: &mut Source,
    whole: &HashSet<String>,
    shift: usize,
) -> Option<(String, Vec<NamedType>, Select)> {
    match source {
        Source::Query { query, alias, columns, .. }
            if is_simple(query, columns) && !whole.contains(alias) =>
        {
            let (alias, columns) = (alias.clone(), columns.clone());
            let mut query = std::mem::take(query.as_mut());
            form::own_exprs_mut(&mut query, &mut |expr| shift_subqueries(expr, shift));
            let sources = std::mem::take(&mut query.source);
            let joined = sources.into_iter().reduce(|left, right| Source::Join {
                left: Box::new(left),
                right: Box::new(right),
                kind: JoinKind::Inner,
                on: None,
            })?;
            *source = joined;
            Some((alias, columns, query))
        }
        Source::Join { left, right, kind, .. } => match kind {
            JoinKind::Inner => {
                take_simple(left, whole, shift).or_else(|| take_simple(right, whole, shift))
            }
            JoinKind::Left => take_simple(left, whole, shift),
            JoinKind::Right => take_simple(right, whole, shift),
            JoinKind::Full => None,
        },
        _ => None,
    }
}

/// Whether a derived table is no more than its sources, conditions and expressions over them.
fn is_simple(query: &Select, columns: &[NamedType]) -> bool {
    let mut is_plain = !query.source.is_empty()
        && query.union.is_empty()
        && query.with.is_empty()
        && query.group.is_none()
        && query.having.is_none()
        && query.distinct.is_all()
        && query.sort.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && query.lock.is_none()
        && query.fields.len() == columns.len()
        && matches!(query.filter, None | Some(Condition::Expr(_)));
    for source in &query.source {
        form::each_own_source(source, &mut |source| {
            is_plain &= !matches!(source, Source::Function { .. } | Source::CommonTable { .. });
        });
    }
    for (field, column) in query.fields.iter().zip(columns) {
        let OutputField::Bound { expr, .. } = field else { return false };
        is_plain &= expr.type_id() == column.ty.id && !has_subquery(expr);
    }
    for_each_expr(query, &mut |expr| {
        is_plain &= !is_volatile(expr);
        walk(expr, &mut |node| {
            is_plain &= !matches!(node, Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_));
        });
    });
    is_plain
}

/// Adds a condition on a derived table's columns to the conditions inside it; says whether it could. The condition must be one
/// that is computed without an error and does not tell values that are equal from each other.
pub(super) fn push_into(
    query: &mut Select,
    alias: &str,
    columns: &[NamedType],
    condition: &Expr,
) -> bool {
    if !condition::is_sure(condition) {
        return false;
    }
    let mut places = Vec::new();
    walk(condition, &mut |node| {
        if let Expr::Field(field) = node
            && field.source == alias
        {
            places.extend(columns.iter().position(|column| column.name == field.name));
        }
    });
    if places.is_empty() || !takes(query, &places) {
        return false;
    }
    add(query, alias, columns, condition);
    true
}

/// Whether rows can be left out of a query by some of its columns before it groups, removes or combines them.
fn takes(query: &Select, places: &[usize]) -> bool {
    if query.limit.is_some()
        || query.offset.is_some()
        || query.lock.is_some()
        || query.grouping_sets.is_some()
        || !matches!(query.filter, None | Some(Condition::Expr(_)))
    {
        return false;
    }
    let exprs = super::select::output_exprs(query);
    let Some(read) = places.iter().map(|place| exprs.get(*place)).collect::<Option<Vec<&Expr>>>()
    else {
        return false;
    };
    let mut stays = true;
    for expr in &read {
        walk(expr, &mut |node| {
            stays &= !matches!(
                node,
                Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_) | Expr::Subquery { .. }
            );
        });
        stays &= !is_volatile(expr);
        if let Some(group) = &query.group {
            stays &= group.contains(expr);
        }
        if let Distinct::On(on) = &query.distinct {
            stays &= on.contains(expr);
        }
    }
    for_each_expr(query, &mut |expr| {
        walk(expr, &mut |node| {
            if let Expr::Window(window) = node {
                stays &= read.iter().all(|expr| window.partition_by.contains(expr));
            }
        });
    });
    stays && query.union.iter().all(|operation| takes(&operation.query, places))
}

fn add(query: &mut Select, alias: &str, columns: &[NamedType], condition: &Expr) {
    let exprs = super::select::output_exprs(query);
    let own = replace(condition, &mut |node| match node {
        Expr::Field(Field { source, name, .. }) if source == alias => {
            let place = columns.iter().position(|column| column.name == *name)?;
            exprs.get(place).cloned()
        }
        _ => None,
    });
    let mut parts = Vec::new();
    let whole = query.filter.take();
    filter_conjuncts(whole.as_ref(), &mut parts);
    parts.push(&own);
    query.filter = Some(Condition::Expr(all_of(parts.into_iter().cloned().collect())));
    for operation in &mut query.union {
        add(&mut operation.query, alias, columns, condition);
    }
}
