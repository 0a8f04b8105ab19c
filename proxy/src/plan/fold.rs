//! What is the same for every row is computed once, by the proxy; what no row reaches is not computed.
//!
//! `now()`, `current_date - 7`, `'yesterday'::date` and their like depend on the session and the moment, not on the row. Each
//! becomes an internal parameter: all shards see the same value, keys made of it prune shards, and a cached plan stays right.
//! Where WHERE is false for all rows, the subqueries of WHERE and of joins go: they run before the rows are read, and may fail.

use dataman_node_protocol::query::{Condition, Select, Source};
use dataman_pg::expr::CastMethod;
use dataman_pg::{Expr, TypeId, Value, catalog};

use super::bind::{Internal, Parameters};
use super::distribution::filter_conjuncts;
use super::form;
use super::select::drop_unused_subqueries;
use crate::route::prune::is_fixed;

/// Folds every expression of a select and of what is inside it. Says whether a part went, which the client's text has.
pub(crate) fn fold_select(select: &mut Select, parameters: &mut Parameters) -> bool {
    let mut lost = false;
    form::each_select_mut(select, &mut |select| lost |= forget_unreached(select));
    form::each_expr_mut(select, &mut |expr| fold(expr, parameters));
    lost
}

/// Where WHERE can never be true, takes out the subqueries of FROM and WHERE: no row reaches them, and they may raise errors.
fn forget_unreached(select: &mut Select) -> bool {
    if select.subqueries.is_empty() {
        return false;
    }
    let mut conditions = Vec::new();
    filter_conjuncts(select.filter.as_ref(), &mut conditions);
    let is_never = |condition: &&Expr| matches!(condition, Expr::Const(constant) if matches!(constant.value, Value::Bool(false) | Value::Null));
    if !conditions.iter().any(is_never) {
        return false;
    }
    let never = || Expr::constant(Value::Bool(false), TypeId::BOOL);
    select.filter = Some(Condition::Expr(never()));
    for source in &mut select.source {
        each_join_mut(source, &mut |on| *on = never());
    }
    drop_unused_subqueries(select);
    true
}

/// Calls `visit` on the conditions of joins.
fn each_join_mut(source: &mut Source, visit: &mut dyn FnMut(&mut Expr)) {
    if let Source::Join { left, right, on, .. } = source {
        each_join_mut(left, visit);
        each_join_mut(right, visit);
        on.iter_mut().for_each(visit);
    }
}

/// Replaces the largest parts of an expression that are fixed and depend on the session.
pub(crate) fn fold(expr: &mut Expr, parameters: &mut Parameters) {
    if depends_on_session(expr) {
        if is_fixed(expr) {
            let taken = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
            *expr = parameters.add_internal(Internal::Once(taken));
            return;
        }
        form::each_child_mut(expr, &mut |child| fold(child, parameters));
    }
}

fn depends_on_session(expr: &Expr) -> bool {
    let mut depends = false;
    form::walk(expr, &mut |node| {
        depends |= match node {
            Expr::Call(call) => {
                catalog::function(call.function).is_some_and(|found| found.volatility == 's')
            }
            Expr::Cast(cast) => match cast.method {
                CastMethod::Function(function) => {
                    catalog::function(function).is_some_and(|found| found.volatility == 's')
                }
                CastMethod::InputOutput => {
                    is_session_type(cast.ty.id) || is_session_type(cast.arg.type_id())
                }
                _ => false,
            },
            _ => false,
        };
    });
    depends
}

/// Types whose text form depends on settings.
fn is_session_type(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::DATE
            | TypeId::TIME
            | TypeId::TIMETZ
            | TypeId::TIMESTAMP
            | TypeId::TIMESTAMPTZ
            | TypeId::INTERVAL
    )
}
