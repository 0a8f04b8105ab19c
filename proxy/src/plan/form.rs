//! Walking and rewriting the internal query form.

use dataman_node_protocol::query::{
    Condition, Distinct, NamedType, NodeQuery, OutputField, Select, Source, Target,
};
use dataman_pg::Expr;

/// A source's alias; a join has none of its own.
pub(crate) fn alias_of(source: &Source) -> Option<&str> {
    match source {
        Source::Collection { alias, .. }
        | Source::Query { alias, .. }
        | Source::CommonTable { alias, .. }
        | Source::Values { alias, .. }
        | Source::Function { alias, .. }
        | Source::Virtual { alias, .. } => Some(alias),
        Source::Join { .. } => None,
    }
}

/// The columns that a select returns, in order.
pub(crate) fn output_columns(select: &Select) -> Vec<NamedType> {
    select
        .fields
        .iter()
        .map(|field| match field {
            OutputField::Bound { expr, name } => {
                NamedType { name: name.clone(), ty: expr.type_ref() }
            }
            OutputField::Named(name) => {
                NamedType { name: name.clone(), ty: dataman_pg::TypeId::UNKNOWN.into() }
            }
        })
        .collect()
}

/// Calls `visit` on every source of a select, also those of its subqueries, outermost first.
pub(crate) fn for_each_source<'a>(select: &'a Select, visit: &mut dyn FnMut(&'a Source)) {
    for_each_select(select, &mut |select| {
        for source in &select.source {
            each_own_source(source, visit);
        }
    });
}

/// Calls `visit` on a source and what it joins, not on the insides of derived ones.
pub(crate) fn each_own_source<'a>(source: &'a Source, visit: &mut dyn FnMut(&'a Source)) {
    visit(source);
    if let Source::Join { left, right, .. } = source {
        each_own_source(left, visit);
        each_own_source(right, visit);
    }
}

/// Calls `visit` on a select and on every select inside it.
pub(crate) fn for_each_select<'a>(select: &'a Select, visit: &mut dyn FnMut(&'a Select)) {
    visit(select);
    for inner in inner_selects(select) {
        for_each_select(inner, visit);
    }
}

/// The selects directly inside a select: derived sources, subqueries, set operations, common tables.
pub(crate) fn inner_selects(select: &Select) -> Vec<&Select> {
    let mut inner = Vec::new();
    for source in &select.source {
        each_own_source(source, &mut |source| {
            if let Source::Query { query, .. } = source {
                inner.push(query.as_ref());
            }
        });
    }
    inner.extend(&select.subqueries);
    inner.extend(select.union.iter().map(|operation| operation.query.as_ref()));
    inner.extend(select.with.iter().map(|table| table.query.as_ref()));
    inner
}

/// Calls `visit` on the top of every expression of a select itself, not of the selects inside it.
pub(crate) fn for_each_expr<'a>(select: &'a Select, visit: &mut dyn FnMut(&'a Expr)) {
    for source in &select.source {
        each_own_source(source, &mut |source| match source {
            Source::Join { on: Some(on), .. } => visit(on),
            Source::Values { rows, .. } => rows.iter().flatten().for_each(&mut *visit),
            Source::Function { call, .. } => visit(call),
            _ => {}
        });
    }
    if let Some(filter) = &select.filter {
        condition_exprs(filter, visit);
    }
    select.group.iter().flatten().for_each(&mut *visit);
    select.having.iter().for_each(&mut *visit);
    for field in &select.fields {
        if let OutputField::Bound { expr, .. } = field {
            visit(expr);
        }
    }
    if let Distinct::On(exprs) = &select.distinct {
        exprs.iter().for_each(&mut *visit);
    }
    select.sort.iter().for_each(|key| visit(&key.expr));
    select.limit.iter().for_each(&mut *visit);
    select.offset.iter().for_each(visit);
}

/// Calls `visit` on the expressions of a condition.
pub(crate) fn condition_exprs<'a>(condition: &'a Condition, visit: &mut dyn FnMut(&'a Expr)) {
    match condition {
        Condition::Expr(expr) => visit(expr),
        Condition::Test { .. } => {}
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                condition_exprs(part, visit);
            }
        }
    }
}

/// Calls `visit` on an expression and everything within it.
pub(crate) fn walk<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    visit(expr);
    expr.for_each_child(&mut |child| walk(child, visit));
}

/// Rebuilds an expression top-down: where `change` answers, its answer stands and is not entered.
pub(crate) fn replace(expr: &Expr, change: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Expr {
    if let Some(changed) = change(expr) {
        return changed;
    }
    let mut copy = expr.clone();
    each_child_mut(&mut copy, &mut |child| *child = replace(child, change));
    copy
}

/// Calls `visit` on this expression's direct children.
pub(crate) fn each_child_mut(expr: &mut Expr, visit: &mut dyn FnMut(&mut Expr)) {
    expr.for_each_child_mut(visit);
}

/// Calls `visit` on the top of every expression of a select and of all selects inside it.
pub(crate) fn each_expr_mut(select: &mut Select, visit: &mut dyn FnMut(&mut Expr)) {
    each_select_mut(select, &mut |select| own_exprs_mut(select, visit));
}

/// Calls `visit` on the top of every expression of a select itself.
pub(crate) fn own_exprs_mut(select: &mut Select, visit: &mut dyn FnMut(&mut Expr)) {
    for source in &mut select.source {
        source_exprs_mut(source, visit);
    }
    if let Some(filter) = &mut select.filter {
        condition_exprs_mut(filter, visit);
    }
    select.group.iter_mut().flatten().for_each(&mut *visit);
    select.having.iter_mut().for_each(&mut *visit);
    output_exprs_mut(&mut select.fields, visit);
    if let Distinct::On(exprs) = &mut select.distinct {
        exprs.iter_mut().for_each(&mut *visit);
    }
    select.sort.iter_mut().for_each(|key| visit(&mut key.expr));
    select.limit.iter_mut().for_each(&mut *visit);
    select.offset.iter_mut().for_each(&mut *visit);
}

/// Calls `visit` on an expression and everything within it, inner ones first.
pub(crate) fn each_node_mut(expr: &mut Expr, visit: &mut dyn FnMut(&mut Expr)) {
    each_child_mut(expr, &mut |child| each_node_mut(child, visit));
    visit(expr);
}

/// Calls `visit` on the expressions of output fields.
pub(crate) fn output_exprs_mut(fields: &mut [OutputField], visit: &mut dyn FnMut(&mut Expr)) {
    for field in fields {
        if let OutputField::Bound { expr, .. } = field {
            visit(expr);
        }
    }
}

pub(crate) fn source_exprs_mut(source: &mut Source, visit: &mut dyn FnMut(&mut Expr)) {
    match source {
        Source::Join { left, right, on, .. } => {
            source_exprs_mut(left, visit);
            source_exprs_mut(right, visit);
            on.iter_mut().for_each(visit);
        }
        Source::Values { rows, .. } => rows.iter_mut().flatten().for_each(visit),
        Source::Function { call, .. } => visit(call),
        Source::Collection { .. }
        | Source::Query { .. }
        | Source::CommonTable { .. }
        | Source::Virtual { .. } => {}
    }
}

/// Whether a select, or one inside it, reads a table that the proxy makes itself.
pub(crate) fn reads_virtual(select: &Select) -> bool {
    let mut found = false;
    for_each_source(select, &mut |source| found |= matches!(source, Source::Virtual { .. }));
    found
}

/// Calls `visit` on the expressions of a condition.
pub(crate) fn condition_exprs_mut(condition: &mut Condition, visit: &mut dyn FnMut(&mut Expr)) {
    match condition {
        Condition::Expr(expr) => visit(expr),
        Condition::Test { .. } => {}
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                condition_exprs_mut(part, visit);
            }
        }
    }
}

/// Calls `visit` on a select and on every select inside it.
pub(crate) fn each_select_mut(select: &mut Select, visit: &mut dyn FnMut(&mut Select)) {
    visit(select);
    for source in &mut select.source {
        source_selects_mut(source, visit);
    }
    for subquery in &mut select.subqueries {
        each_select_mut(subquery, visit);
    }
    for operation in &mut select.union {
        each_select_mut(&mut operation.query, visit);
    }
    for table in &mut select.with {
        each_select_mut(&mut table.query, visit);
    }
}

pub(crate) fn source_selects_mut(source: &mut Source, visit: &mut dyn FnMut(&mut Select)) {
    match source {
        Source::Query { query, .. } => each_select_mut(query, visit),
        Source::Join { left, right, .. } => {
            source_selects_mut(left, visit);
            source_selects_mut(right, visit);
        }
        _ => {}
    }
}

/// Writes the shard instance into every target of a query.
pub(crate) fn set_instance(query: &mut NodeQuery, database: &str, instance: &str) {
    let set = |target: &mut Target| {
        target.shard_instance = instance.to_owned();
        target.db = database.to_owned();
    };
    fn in_source(source: &mut Source, set: &dyn Fn(&mut Target)) {
        match source {
            Source::Collection { target, .. } => set(target),
            Source::Join { left, right, .. } => {
                in_source(left, set);
                in_source(right, set);
            }
            _ => {}
        }
    }
    let in_select = |select: &mut Select| {
        each_select_mut(select, &mut |select| {
            select.source.iter_mut().for_each(|source| in_source(source, &set));
        });
    };
    match query {
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => in_select(select),
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
            set(&mut insert.target);
            if let dataman_node_protocol::query::Records::Query(select) = &mut insert.records {
                in_select(select);
            }
            insert.subqueries.iter_mut().for_each(in_select);
        }
        NodeQuery::Update(update) => {
            set(&mut update.target);
            for source in &mut update.source {
                in_source(source, &set);
                source_selects_mut(source, &mut |select| {
                    select.source.iter_mut().for_each(|source| in_source(source, &set));
                });
            }
            update.subqueries.iter_mut().for_each(in_select);
        }
        NodeQuery::Delete(delete) => {
            set(&mut delete.target);
            for source in &mut delete.source {
                in_source(source, &set);
                source_selects_mut(source, &mut |select| {
                    select.source.iter_mut().for_each(|source| in_source(source, &set));
                });
            }
            delete.subqueries.iter_mut().for_each(in_select);
        }
        NodeQuery::Get(get) => set(&mut get.target),
        NodeQuery::Set(one) => set(&mut one.target),
        NodeQuery::Copy(copy) => set(&mut copy.target),
        NodeQuery::Sql(_) | NodeQuery::Define(_) | NodeQuery::Inspect(_) => {}
    }
}
