//! Bound expression → compiled evaluator.

use crate::context::Context;
use crate::error::{PgError, Result};
use crate::expr::{Expr, Field};
use crate::value::Value;

/// A compiled expression. Cheap to run often; holds no row.
#[derive(Debug)]
pub struct Evaluator {}

impl Evaluator {
    /// Compiles an expression. `place` gives a field's place in the input row; subqueries, aggregates and windows are not
    /// scalar and are refused: a plan replaces them by `Expr::Column` first.
    ///
    /// # Errors
    /// `0A000` naming the function, operator or type that is not computed here.
    pub fn compile(_expr: &Expr, _place: &dyn Fn(&Field) -> Option<usize>) -> Result<Self> {
        Err(PgError::internal("the evaluator is not there yet"))
    }

    /// Computes the value over one row.
    ///
    /// # Errors
    /// What PostgreSQL raises.
    pub fn eval(&self, _row: &[Value], _params: &[Value], _context: &Context) -> Result<Value> {
        Err(PgError::internal("the evaluator is not there yet"))
    }
}

/// Says whether an expression can be compiled; else the error [`Evaluator::compile`] would give.
///
/// # Errors
/// `0A000` naming what is not computed here.
pub fn check_computed(expr: &Expr) -> Result<()> {
    Evaluator::compile(expr, &|_| Some(0)).map(|_| ())
}

/// Computes a constant expression at planning time, where that cannot fail and does not depend on settings; `None`
/// leaves it for run time.
pub fn fold(_expr: &Expr) -> Option<Expr> {
    None
}
