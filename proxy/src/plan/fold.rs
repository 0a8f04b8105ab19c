//! What is the same for every row is computed once, by the proxy.
//!
//! `now()`, `current_date - 7`, `'yesterday'::date` and their like depend on the session and the moment, not on the row. Each
//! becomes an internal parameter: all shards see the same value, keys made of it prune shards, and a cached plan stays right.

use dataman_node_protocol::query::Select;
use dataman_pg::expr::CastMethod;
use dataman_pg::{Expr, TypeId, catalog};

use super::bind::{Internal, Parameters};
use super::form;
use crate::route::prune::is_fixed;

/// Folds every expression of a select and of what is inside it.
pub(crate) fn fold_select(select: &mut Select, parameters: &mut Parameters) {
    form::each_expr_mut(select, &mut |expr| fold(expr, parameters));
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
