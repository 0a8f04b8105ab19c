//! Bound expression → compiled evaluator.
//!
//! An expression is compiled once into a tree of [`node::Node`]s, with every function looked up, and then computed over
//! many rows. Evaluation order and what is not evaluated at all (the rest of an AND that is false, the branches of a CASE
//! that are not taken) are PostgreSQL's, because an error in what it leaves out must not show.

mod array;
mod cast;
mod compile;
mod node;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use crate::context::Context;
use crate::error::Result;
use crate::expr::{Cast, CastMethod, Constant, Expr, Field};
use crate::types::TypeId;
use crate::value::Value;

/// A compiled expression. Cheap to run often; holds no row.
#[derive(Debug)]
pub struct Evaluator {
    root: node::Node,
}

impl Evaluator {
    /// Compiles an expression. `place` gives a field's place in the input row; subqueries, aggregates and windows are not
    /// scalar and are refused: a plan replaces them by `Expr::Column` first.
    ///
    /// # Errors
    /// `0A000` naming the function, operator or type that is not computed here.
    pub fn compile(expr: &Expr, place: &dyn Fn(&Field) -> Option<usize>) -> Result<Self> {
        Self::compile_around(expr, place, &|_| Ok(None))
    }

    /// Compiles an expression with subqueries, whose values `outside` gives.
    ///
    /// # Errors
    /// As [`Evaluator::compile`], for subqueries that `outside` does not know too; its own.
    pub fn compile_around(
        expr: &Expr,
        place: &dyn Fn(&Field) -> Option<usize>,
        outside: &Outsides<'_>,
    ) -> Result<Self> {
        let surroundings = compile::Surroundings { field: place, outside };
        Ok(Self { root: compile::compile(expr, &surroundings)? })
    }

    /// Computes the value over one row.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    pub fn eval(&self, row: &[Value], params: &[Value], context: &Context) -> Result<Value> {
        self.root.eval(&node::Input { row, params, context })
    }

    /// The same without a copy where the value stands in the row already.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    pub fn get<'v>(
        &'v self,
        row: &'v [Value],
        params: &'v [Value],
        context: &'v Context,
    ) -> Result<Cow<'v, Value>> {
        self.root.get(&node::Input { row, params, context })
    }

    /// Whether a condition holds over one row: NULL is as false.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    pub fn holds(&self, row: &[Value], params: &[Value], context: &Context) -> Result<bool> {
        Ok(matches!(self.eval(row, params, context)?, Value::Bool(true)))
    }
}

/// Finds what gives a part of an expression its value; none for what the library computes itself.
pub type Outsides<'a> = dyn Fn(&Expr) -> Result<Option<Arc<dyn Outside>>> + 'a;

/// Gives the value of a part of an expression that this library does not compute: a subquery's.
pub trait Outside: std::fmt::Debug + Send + Sync {
    /// The value over one row.
    ///
    /// # Errors
    /// What computing it raises; also that it is not there yet and the evaluation has to be made again.
    fn value(&self, row: &[Value], params: &[Value], context: &Context) -> Result<Value>;
}

/// Says whether an expression can be compiled; else the error [`Evaluator::compile`] would give.
///
/// # Errors
/// `0A000` naming what is not computed here.
pub fn check_computed(expr: &Expr) -> Result<()> {
    Evaluator::compile(expr, &|_| Some(0)).map(|_| ())
}

/// The same for an expression whose subqueries are computed elsewhere.
///
/// # Errors
/// As [`check_computed`], also for what the subqueries take of the row.
pub fn check_computed_around(expr: &Expr) -> Result<()> {
    #[derive(Debug)]
    struct Elsewhere;
    impl Outside for Elsewhere {
        fn value(&self, _: &[Value], _: &[Value], _: &Context) -> Result<Value> {
            Ok(Value::Null)
        }
    }
    let outside = |expr: &Expr| -> Result<Option<Arc<dyn Outside>>> {
        let mut result = Ok(());
        expr.for_each_child(&mut |child| {
            if result.is_ok() {
                result = check_computed_around(child);
            }
        });
        result?;
        compile::check_type(expr.type_id())?;
        Ok(Some(Arc::new(Elsewhere)))
    };
    Evaluator::compile_around(expr, &|_| Some(0), &outside).map(|_| ())
}

/// Computes a constant expression at planning time, where that cannot fail and does not depend on settings; `None`
/// leaves it for run time.
pub fn fold(expr: &Expr) -> Option<Expr> {
    if matches!(expr, Expr::Const(_)) || !is_constant(expr) {
        return None;
    }
    let evaluator = Evaluator::compile(expr, &|_| None).ok()?;
    let value = evaluator.eval(&[], &[], &Context::default()).ok()?;
    Some(Expr::Const(Constant { value, ty: expr.type_ref() }))
}

/// Whether an expression's value is the same whenever and under whatever settings it is computed.
fn is_constant(expr: &Expr) -> bool {
    let is_immutable = |function| {
        crate::catalog::function(function)
            .is_some_and(|function| function.volatility == 'i' && !function.returns_set)
    };
    match expr {
        Expr::Const(_) => true,
        Expr::Call(call) => is_immutable(call.function) && call.args.iter().all(is_constant),
        Expr::Cast(cast) => is_constant(&cast.arg) && is_constant_cast(cast),
        Expr::And(args) | Expr::Or(args) => args.iter().all(is_constant),
        Expr::Array { elements, .. } => elements.iter().all(is_constant),
        Expr::Not(arg) | Expr::Is { arg, .. } => is_constant(arg),
        _ => false,
    }
}

fn is_constant_cast(cast: &Cast) -> bool {
    let (source, target) = (cast.arg.type_id(), cast.ty.id);
    match cast.method {
        CastMethod::Relabel | CastMethod::Length => true,
        CastMethod::Function(function) => {
            crate::catalog::function(function).is_some_and(|function| function.volatility == 'i')
        }
        CastMethod::InputOutput => {
            prints_alike(source)
                && (prints_alike(target)
                    || matches!(
                        target,
                        TypeId::FLOAT4 | TypeId::FLOAT8 | TypeId::BYTEA | TypeId::JSONB
                    ))
        }
        CastMethod::Array => {
            let element = |id| crate::catalog::type_by_id(id).map(|entry| entry.element);
            source == target
                || element(source).is_some_and(prints_alike)
                    && element(target).is_some_and(prints_alike)
        }
    }
}

/// Whether a type's text form is the same under all settings.
fn prints_alike(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::BOOL
            | TypeId::INT2
            | TypeId::INT4
            | TypeId::INT8
            | TypeId::NUMERIC
            | TypeId::TEXT
            | TypeId::VARCHAR
            | TypeId::BPCHAR
            | TypeId::NAME
            | TypeId::CHAR
            | TypeId::UNKNOWN
            | TypeId::UUID
            | TypeId::JSON
            | TypeId::OID
    )
}
