//! Whether a statement whose literals became parameters means what it meant.

use dataman_node_protocol::query::{Delete, Select, Source, Update};
use dataman_pg::expr::Constant;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, TypeId, io};

use super::PlanContext;
use super::bind::{self, BoundKind};
use super::form;
use crate::parse::syntax::ParsedStatement;

/// Whether `lifted` with `values` for its parameters is `original`: both are bound, the values are put back, and the two forms
/// must be the same. Since nothing but a literal's type, never its value, decides what a statement means, it then is the
/// same for all values of these types.
///
/// Strings count only where the parameter is text: elsewhere the value is an input that may be wrong, and the error must
/// say where in the text it stands.
pub(crate) fn is_same(
    original: &ParsedStatement,
    lifted: &ParsedStatement,
    declared: &[TypeId],
    values: &[String],
    context: &PlanContext<'_>,
) -> bool {
    let (Ok(original), Ok(mut lifted)) =
        (bind::bind(original, &[], context), bind::bind(lifted, declared, context))
    else {
        return false;
    };
    let types = lifted.parameters.client();
    if types.len() != values.len() {
        return false;
    }
    let mut constants = Vec::with_capacity(values.len());
    for ((ty, declared), value) in types.iter().zip(declared).zip(values) {
        let is_text = matches!(*ty, TypeId::TEXT | TypeId::VARCHAR | TypeId::BPCHAR);
        if *ty != *declared && !is_text {
            return false;
        }
        let ty = TypeRef::plain(*ty);
        match io::text::input(value, ty, context.context) {
            Ok(value) => constants.push(Constant { value, ty }),
            Err(_) => return false,
        }
    }
    let mut put_back = |expr: &mut Expr| {
        form::each_node_mut(expr, &mut |node| {
            if let Expr::Param { index, .. } = node
                && let Some(constant) =
                    usize::from(*index).checked_sub(1).and_then(|place| constants.get(place))
            {
                *node = Expr::Const(constant.clone());
            } else if matches!(node, Expr::Cast(cast) if matches!(cast.arg, Expr::Const(_)))
                && let Some(folded) = dataman_pg::eval::fold(node)
            {
                // The binder converts a constant at once.
                *node = folded;
            }
        });
    };
    match (&mut lifted.kind, &original.kind) {
        (BoundKind::Select(lifted), BoundKind::Select(original)) => {
            form::each_expr_mut(lifted, &mut put_back);
            lifted == original
        }
        (BoundKind::Update(lifted), BoundKind::Update(original)) => {
            update_exprs_mut(lifted, &mut put_back);
            lifted == original
        }
        (BoundKind::Delete(lifted), BoundKind::Delete(original)) => {
            delete_exprs_mut(lifted, &mut put_back);
            lifted == original
        }
        // The rows of an INSERT are computed by the proxy anyway.
        _ => false,
    }
}

fn update_exprs_mut(update: &mut Update, visit: &mut dyn FnMut(&mut Expr)) {
    update.record_op.iter_mut().for_each(|(_, value)| visit(value));
    shared_exprs_mut(&mut update.source, &mut update.subqueries, visit);
    update.filter.iter_mut().for_each(|filter| form::condition_exprs_mut(filter, visit));
    form::output_exprs_mut(&mut update.returning, visit);
}

fn delete_exprs_mut(delete: &mut Delete, visit: &mut dyn FnMut(&mut Expr)) {
    shared_exprs_mut(&mut delete.source, &mut delete.subqueries, visit);
    delete.filter.iter_mut().for_each(|filter| form::condition_exprs_mut(filter, visit));
    form::output_exprs_mut(&mut delete.returning, visit);
}

fn shared_exprs_mut(
    sources: &mut [Source],
    subqueries: &mut [Select],
    visit: &mut dyn FnMut(&mut Expr),
) {
    for source in sources {
        form::source_exprs_mut(source, visit);
        form::source_selects_mut(source, &mut |select| form::own_exprs_mut(select, visit));
    }
    for subquery in subqueries {
        form::each_expr_mut(subquery, visit);
    }
}
