//! IS, BETWEEN, IN and LIKE.

use dataman_pg::expr::IsTest;
use dataman_pg::resolve::{CastContext, ParameterTypes};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::expr::{Clause, conjunction, row_fields};
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind};
use crate::plan::form::walk;

impl Binder<'_> {
    pub(super) fn is_test(
        &mut self,
        arg: &syntax::Expr,
        test: &str,
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let test = match test {
            "TRUE" => IsTest::True,
            "FALSE" => IsTest::False,
            "UNKNOWN" => IsTest::Unknown,
            _ => IsTest::Null,
        };
        let bound = self.expr(arg, scope, clause)?;
        let bound = match (test, bound) {
            // A row is null when all of its fields are, and not null when none of them is.
            (IsTest::Null, Expr::Row(fields)) if !self.context.shows => {
                let test = |field| match field {
                    Expr::Row(_) => present(field, negated),
                    field => Expr::Is { arg: Box::new(field), test: IsTest::Null, negated },
                };
                return Ok(conjunction(fields.into_iter().map(test).collect()));
            }
            (IsTest::Null, Expr::Row(_)) => {
                return Err(PgError::unsupported("IS NULL of a row is not supported")
                    .with_hint("Test each field."));
            }
            (IsTest::Null, bound) => bound,
            (test, bound) => {
                let word = match test {
                    IsTest::True => "IS TRUE",
                    IsTest::False => "IS FALSE",
                    _ => "IS UNKNOWN",
                };
                self.resolver().to_boolean(bound, word)?
            }
        };
        Ok(Expr::Is { arg: Box::new(bound), test, negated })
    }

    pub(super) fn distinct(
        &mut self,
        left: &syntax::Expr,
        right: &syntax::Expr,
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        for (one, other) in [(left, right), (right, left)] {
            if matches!(other.kind, ExprKind::Null) {
                let arg = self.expr(one, scope, clause)?;
                return match arg {
                    Expr::Row(_) => Ok(present(arg, !negated)),
                    arg if arg.type_id() == TypeId::RECORD => Err(PgError::unsupported(
                        "IS DISTINCT FROM NULL of a record is not supported",
                    )),
                    arg => {
                        let arg = Box::new(arg);
                        Ok(Expr::Is { arg, test: IsTest::Null, negated: !negated })
                    }
                };
            }
        }
        if let (Some(left), Some(right)) = (row_fields(left), row_fields(right)) {
            if left.len() != right.len() {
                return Err(PgError::new("42601", "unequal number of entries in row expressions"));
            }
            let fields = left.iter().zip(right);
            let fields = fields
                .map(|(left, right)| self.distinct(left, right, negated, scope, clause))
                .collect::<Result<Vec<_>>>()?;
            return Ok(match fields.len() {
                0 => Expr::constant(Value::Bool(negated), TypeId::BOOL),
                _ if negated => conjunction(fields),
                1 => conjunction(fields),
                _ => Expr::Or(fields),
            });
        }
        let left = self.expr(left, scope, clause)?;
        let right = self.expr(right, scope, clause)?;
        match self.resolver().binary("=", left, right)? {
            Expr::Call(call) => Ok(Expr::Distinct { call: Box::new(call), negated }),
            _ => Err(PgError::unsupported("IS DISTINCT FROM over rows is not supported")),
        }
    }

    pub(super) fn between(
        &mut self,
        arg: &syntax::Expr,
        low: &syntax::Expr,
        high: &syntax::Expr,
        symmetric: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let arg = self.expr(arg, scope, clause)?;
        let low = self.expr(low, scope, clause)?;
        let high = self.expr(high, scope, clause)?;
        let mut within = |low: Expr, high: Expr| -> Result<Expr> {
            let side = self.known(arg.clone());
            let low = self.known(low);
            let above = self.resolver().binary(">=", side, low)?;
            // The first comparison may have decided what the second is about.
            let side = self.known(arg.clone());
            let high = self.known(high);
            let below = self.resolver().binary("<=", side, high)?;
            Ok(Expr::And(vec![above, below]))
        };
        if !symmetric {
            return within(low, high);
        }
        let one = within(low.clone(), high.clone())?;
        let other = within(high, low)?;
        Ok(Expr::Or(vec![one, other]))
    }

    /// A parameter with the type that was found for it since it was bound.
    fn known(&self, expr: Expr) -> Expr {
        match expr {
            Expr::Param { index, .. } => {
                Expr::Param { index, ty: ParameterTypes::get(&self.parameters, index) }
            }
            other => other,
        }
    }

    pub(super) fn in_list(
        &mut self,
        arg: &syntax::Expr,
        list: &[syntax::Expr],
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        if let Some(fields) = row_fields(arg) {
            // Everything is bound before anything is compared: a parameter that one comparison decides was not decided for the
            // others.
            let left = self.expanded(fields, scope, clause)?;
            let mut rows = Vec::new();
            for item in list {
                rows.push(match row_fields(item) {
                    Some(fields) => Ok(self.expanded(fields, scope, clause)?),
                    None => Err(self.expr(item, scope, clause)?),
                });
            }
            let mut parts = Vec::new();
            for right in rows {
                parts.push(match right {
                    Ok(fields) => self.compare_rows("=", left.clone(), fields)?,
                    Err(value) => {
                        let whole = self.expr(arg, scope, clause)?;
                        self.resolver().binary("=", whole, value)?
                    }
                });
            }
            let any = if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) };
            return Ok(if negated { Expr::Not(Box::new(any)) } else { any });
        }
        let left = self.expr(arg, scope, clause)?;
        let items = self.exprs(list, scope, clause)?;
        let operator = if negated { "<>" } else { "=" };
        // Those that read no column are one array, when there are several and they have a common type.
        let (columns, others): (Vec<Expr>, Vec<Expr>) =
            items.iter().cloned().partition(reads_field);
        let mut array = None;
        let mut all = vec![left.clone()];
        all.extend(others.iter().cloned());
        if others.len() > 1
            && let Ok(common) = self.resolver().common_type(&all, "IN")
            && common != TypeId::RECORD
        {
            let common = if common == TypeId::UNKNOWN { TypeId::TEXT } else { common };
            if let Ok(array_type) = self.array_of(common) {
                let elements = others
                    .into_iter()
                    .map(|item| {
                        self.resolver().cast(item, TypeRef::plain(common), CastContext::Implicit)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let elements = Expr::Array { elements, ty: array_type };
                let resolver = &mut self.resolver();
                array = Some(resolver.array_operator(operator, left.clone(), elements, negated)?);
            }
        }
        let items = if array.is_some() { columns } else { items };
        let compared = items
            .into_iter()
            .map(|item| self.resolver().binary(operator, left.clone(), item))
            .collect::<Result<Vec<_>>>()?;
        let mut parts: Vec<Expr> = array.into_iter().chain(compared).collect();
        Ok(match (parts.len(), negated) {
            (1, _) => parts.remove(0),
            (_, true) => Expr::And(parts),
            (_, false) => Expr::Or(parts),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of LIKE as SQL writes them")]
    pub(super) fn like(
        &mut self,
        kind: &str,
        arg: &syntax::Expr,
        pattern: &syntax::Expr,
        escape: Option<&syntax::Expr>,
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let arg = self.expr(arg, scope, clause)?;
        let mut pattern = self.expr(pattern, scope, clause)?;
        let escape = escape.map(|escape| self.expr(escape, scope, clause)).transpose()?;
        let operator = match (kind, negated) {
            ("LIKE", false) => "~~",
            ("LIKE", true) => "!~~",
            ("ILIKE", false) => "~~*",
            ("ILIKE", true) => "!~~*",
            (_, false) => "~",
            (_, true) => "!~",
        };
        if kind == "SIMILAR TO" {
            let mut args = vec![pattern];
            args.extend(escape);
            pattern = self.plain_call("similar_to_escape", args)?;
        } else if let Some(escape) = escape {
            pattern = self.plain_call("like_escape", vec![pattern, escape])?;
        }
        self.resolver().binary(operator, arg, pattern)
    }
}

/// Whether a row is there, as `IS NOT NULL` of one that is a field of another asks: always, once its fields are computed.
fn present(row: Expr, asked: bool) -> Expr {
    let computed = Expr::Is { arg: Box::new(row), test: IsTest::Null, negated: false };
    Expr::Is { arg: Box::new(computed), test: IsTest::Unknown, negated: asked }
}

fn reads_field(expr: &Expr) -> bool {
    let mut reads = false;
    walk(expr, &mut |node| reads |= matches!(node, Expr::Field(_)));
    reads
}
