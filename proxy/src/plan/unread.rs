//! Columns of derived tables and common tables that nothing reads: they are not computed, and so cannot fail. As in PostgreSQL,
//! they stay where they decide which rows there are, where they are volatile, and where a common table is computed by itself.

use std::collections::{BTreeMap, HashSet};

use dataman_node_protocol::query::{
    CommonTable, NamedType, OutputField, Select, SetOperation, SetOperationKind, Source,
};
use dataman_pg::Expr;

use super::apply;
use super::condition::{is_sure, is_volatile};
use super::form::{each_own_source, for_each_expr, for_each_select, for_each_source, walk};
use super::select::drop_unused_subqueries;

/// What is read: a source's alias and a column's name.
type Read = HashSet<(String, String)>;

/// Puts NULL in the place of what nothing reads, in a select and in everything inside it; `whole` are the aliases of derived
/// tables that are computed by themselves; those stay in it of which a column that nothing reads may fail. Says whether tables went, which the client's text has.
pub(super) fn forget_unread(select: &mut Select, whole: &mut HashSet<String>) -> bool {
    let mut lost = false;
    let mut has_inner = !select.with.is_empty();
    for source in &select.source {
        each_own_source(source, &mut |source| has_inner |= matches!(source, Source::Query { .. }));
    }
    if has_inner {
        let mut read = Read::new();
        for_each_select(select, &mut |inner| {
            for_each_expr(inner, &mut |expr| {
                walk(expr, &mut |node| {
                    if let Expr::Field(field) = node {
                        read.insert((field.source.clone(), field.name.clone()));
                    }
                });
            });
        });
        let places = places_of_tables(select, &read);
        select.source.iter_mut().for_each(|source| lost |= of_source(source, &read, whole));
        for table in &mut select.with {
            if let Some(places) = places.get(&table.name) {
                lost |= keep(&mut table.query, &|place| places.contains(&place));
            }
        }
    }
    for source in &mut select.source {
        each_derived(source, &mut |query, _, _| lost |= forget_unread(query, whole));
    }
    let mut forget = |select: &mut Select| lost |= forget_unread(select, whole);
    select.subqueries.iter_mut().for_each(&mut forget);
    select.union.iter_mut().for_each(|operation| forget(&mut operation.query));
    select.with.iter_mut().for_each(|table| forget(&mut table.query));
    lost
}

fn of_source(source: &mut Source, read: &Read, whole: &mut HashSet<String>) -> bool {
    let mut lost = false;
    each_derived(source, &mut |query, alias, columns| {
        let is_read = |place: usize| {
            columns
                .get(place)
                .is_none_or(|column| read.contains(&(alias.to_owned(), column.name.clone())))
        };
        if whole.contains(alias) {
            // Where nothing can fail, who computes what is not seen.
            let exprs = super::select::output_exprs(query);
            if exprs.iter().enumerate().all(|(place, expr)| is_read(place) || is_sure(expr)) {
                whole.remove(alias);
            }
        } else {
            lost |= keep(query, &is_read);
        }
    });
    lost
}

fn each_derived(source: &mut Source, visit: &mut dyn FnMut(&mut Select, &str, &[NamedType])) {
    match source {
        Source::Query { query, alias, columns, .. } => visit(query, alias, columns),
        Source::Join { left, right, .. } => {
            each_derived(left, visit);
            each_derived(right, visit);
        }
        _ => {}
    }
}

/// The columns that are read of each common table of a select that PostgreSQL would put in the place of its name.
fn places_of_tables(select: &Select, read: &Read) -> BTreeMap<String, HashSet<usize>> {
    let mut found: BTreeMap<String, (usize, HashSet<usize>)> =
        select.with.iter().map(|table| (table.name.clone(), Default::default())).collect();
    for_each_source(select, &mut |source| {
        if let Source::CommonTable { name, alias, columns } = source
            && let Some((times, places)) = found.get_mut(name)
        {
            *times += 1;
            for (place, column) in columns.iter().enumerate() {
                if read.contains(&(alias.clone(), column.name.clone())) {
                    places.insert(place);
                }
            }
        }
    });
    let in_place = |table: &CommonTable, times: usize| {
        let asked = table.materialized.map_or(times == 1, |materialized| !materialized);
        asked && !table.recursive && !apply::is_volatile(&table.query)
    };
    let tables = select.with.iter();
    tables
        .filter_map(|table| {
            let (times, places) = found.remove(&table.name)?;
            in_place(table, times).then(|| (table.name.clone(), places))
        })
        .collect()
}

/// Keeps those outputs of a derived table that are read or that decide its rows. Says whether tables went with the others.
fn keep(query: &mut Select, is_read: &dyn Fn(usize) -> bool) -> bool {
    let is_all =
        |operation: &SetOperation| operation.all && operation.kind == SetOperationKind::Union;
    let is_tail_plain = query.sort.is_empty() && query.limit.is_none() && query.offset.is_none();
    let is_plain = query.union.is_empty() || is_tail_plain && query.union.iter().all(is_all);
    if !query.distinct.is_all() || !is_plain {
        return false;
    }
    let mut lost = false;
    for operation in &mut query.union {
        lost |= keep(&mut operation.query, is_read);
    }
    let mut went = false;
    for (place, field) in query.fields.iter_mut().enumerate() {
        let OutputField::Bound { expr, .. } = field else { continue };
        let decides = query.sort.iter().any(|key| key.expr == *expr)
            || query.group.iter().flatten().any(|key| key == expr);
        let stays = matches!(expr, Expr::Const(_) | Expr::Field(_))
            || is_volatile(expr)
            || sorts_unsurely(expr);
        if !stays && !decides && !is_read(place) && !calls_volatile(&query.subqueries, expr) {
            *expr = Expr::null(expr.type_ref());
            went = true;
        }
    }
    if went {
        if query.group.as_ref().is_some_and(Vec::is_empty) && !has_aggregate(query) {
            // One group of whatever rows there are: one row.
            lost |= !query.source.is_empty();
            query.source.clear();
            query.filter = None;
            query.group = None;
        }
        let before = query.subqueries.len();
        drop_unused_subqueries(query);
        lost |= query.subqueries.len() < before;
    }
    lost
}

/// Whether a query has HAVING, which decides whether its one group is there, or computes an aggregate.
fn has_aggregate(query: &Select) -> bool {
    let mut found = query.having.is_some() || query.grouping_sets.is_some();
    for_each_expr(query, &mut |expr| {
        walk(expr, &mut |node| found |= matches!(node, Expr::Aggregate(_) | Expr::Grouping(_)));
    });
    found
}

/// Whether an expression is over a window whose keys may fail: PostgreSQL computes them even so.
fn sorts_unsurely(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        if let Expr::Window(window) = node {
            let keys = window.order_by.iter().map(|key| &key.expr);
            found |= window.partition_by.iter().chain(keys).any(|key| !is_sure(key));
        }
    });
    found
}

/// Whether an expression has a subquery that is volatile.
fn calls_volatile(subqueries: &[Select], expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        if let Expr::Subquery { index, .. } = node {
            found |= subqueries.get(*index).is_none_or(apply::is_volatile);
        }
    });
    found
}
