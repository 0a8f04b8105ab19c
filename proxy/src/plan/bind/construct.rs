//! Arrays, subscripts, CASE, and the common type of several expressions.

use dataman_pg::expr::SubscriptIndex;
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::Clause;
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, Subscript};

impl Binder<'_> {
    pub(super) fn array(
        &mut self,
        elements: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
        wanted: Option<TypeId>,
    ) -> Result<Expr> {
        let mut bound = Vec::new();
        for element in elements {
            bound.push(match &element.kind {
                ExprKind::Array(inner) => self.array(inner, scope, clause, wanted)?,
                _ => self.expr(element, scope, clause)?,
            });
        }
        if bound.is_empty() && wanted.is_none() {
            return Err(PgError::new("42P18", "cannot determine type of empty array").with_hint(
                "Explicitly cast to the desired type, for example ARRAY[]::integer[].",
            ));
        }
        let nested = bound.iter().any(|element| matches!(element, Expr::Array { .. }));
        if nested {
            let ty = bound.iter().find_map(|element| match element {
                Expr::Array { ty, .. } => Some(*ty),
                _ => None,
            });
            let ty = ty.unwrap_or(TypeId::TEXT_ARRAY);
            let elements = bound
                .into_iter()
                .map(|element| {
                    self.resolver().cast(element, TypeRef::plain(ty), CastContext::Implicit)
                })
                .collect::<Result<_>>()?;
            return Ok(Expr::Array { elements, ty });
        }
        let element = match wanted {
            Some(element) => element,
            None => match self.resolver().common_type(&bound, "ARRAY")? {
                TypeId::UNKNOWN => TypeId::TEXT,
                other => other,
            },
        };
        let context = if wanted.is_some() { CastContext::Explicit } else { CastContext::Implicit };
        let elements = bound
            .into_iter()
            .map(|expr| self.resolver().cast(expr, TypeRef::plain(element), context))
            .collect::<Result<_>>()?;
        let ty = match self.element_of(element) {
            Some(_) => element,
            None => self.array_of(element)?,
        };
        Ok(Expr::Array { elements, ty })
    }

    pub(super) fn subscript(
        &mut self,
        array: &syntax::Expr,
        subscripts: &[Subscript],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let array = self.expr(array, scope, clause)?;
        self.subscripted(array, subscripts, scope, clause)
    }

    /// A value with subscripts.
    pub(super) fn subscripted(
        &mut self,
        array: Expr,
        subscripts: &[Subscript],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let ty = array.type_id();
        let json = ty == TypeId::JSONB;
        let element = match self.element_of(ty) {
            Some(element) => element,
            None if json => TypeId::JSONB,
            None => {
                return Err(PgError::new(
                    "42804",
                    format!(
                        "cannot subscript type {} because it does not support subscripting",
                        self.type_name(ty)
                    ),
                ));
            }
        };
        let slice = subscripts.iter().any(|subscript| matches!(subscript, Subscript::Slice(..)));
        if json && slice {
            return Err(PgError::new("42804", "jsonb subscript does not support slices"));
        }
        let target = |expr: &Expr| {
            if json && !matches!(expr.type_id(), TypeId::INT2 | TypeId::INT4) {
                TypeId::TEXT
            } else {
                TypeId::INT4
            }
        };
        let mut bound = Vec::new();
        for subscript in subscripts {
            let mut one = |expr: &syntax::Expr| -> Result<Expr> {
                let span = expr.span;
                let expr = self.expr(expr, scope, clause)?;
                let ty = target(&expr);
                if json && !self.resolver().can_coerce(expr.type_id(), ty, CastContext::Implicit) {
                    let name = self.type_name(expr.type_id());
                    let error =
                        PgError::new("42804", format!("subscript type {name} is not supported"))
                            .with_hint(
                                "jsonb subscript must be coercible to either integer or text.",
                            );
                    return Err(self.at(error, span));
                }
                self.resolver().cast(expr, TypeRef::plain(ty), CastContext::Assignment)
            };
            bound.push(match subscript {
                Subscript::Index(at) => SubscriptIndex::At(one(at)?),
                Subscript::Slice(from, to) => SubscriptIndex::Slice(
                    from.as_ref().map(&mut one).transpose()?,
                    to.as_ref().map(&mut one).transpose()?,
                ),
            });
        }
        let ty = if slice { ty } else { element };
        Ok(Expr::Subscript { array: Box::new(array), subscripts: bound, ty })
    }

    pub(super) fn case(
        &mut self,
        operand: Option<&syntax::Expr>,
        branches: &[(syntax::Expr, syntax::Expr)],
        otherwise: Option<&syntax::Expr>,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let volatile_before = std::mem::replace(&mut self.facts.volatile, false);
        let operand = operand.map(|operand| self.expr(operand, scope, clause)).transpose()?;
        if operand.is_some() && self.facts.volatile && branches.len() > 1 {
            return Err(PgError::unsupported("CASE over a volatile function is not supported"));
        }
        self.facts.volatile |= volatile_before;
        let operand = match operand {
            Some(expr) if expr.type_id() == TypeId::UNKNOWN => Some(self.resolver().cast(
                expr,
                TypeRef::plain(TypeId::TEXT),
                CastContext::Implicit,
            )?),
            other => other,
        };
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for (condition, result) in branches {
            conditions.push(match &operand {
                None => self.boolean(condition, scope, clause, "CASE/WHEN")?,
                Some(operand) => {
                    let bound = self.expr(condition, scope, clause)?;
                    self.resolver().binary("=", operand.clone(), bound)?
                }
            });
            results.push(self.expr(result, scope, clause)?);
        }
        let otherwise = match otherwise {
            Some(expr) => self.expr(expr, scope, clause)?,
            None => Expr::null(TypeId::UNKNOWN),
        };
        // PostgreSQL lets ELSE have the first word about the type.
        let mut all = vec![otherwise];
        all.extend(results);
        let ty = self.common_of(&all, "CASE")?;
        let mut cast = all
            .into_iter()
            .map(|expr| self.resolver().cast(expr, ty, CastContext::Implicit))
            .collect::<Result<Vec<_>>>()?;
        let otherwise = cast.remove(0);
        Ok(Expr::Case {
            branches: conditions.into_iter().zip(cast).collect(),
            otherwise: Box::new(otherwise),
            ty,
        })
    }

    pub(super) fn common_of(&mut self, exprs: &[Expr], word: &str) -> Result<TypeRef> {
        let common = match self.resolver().common_type(exprs, word)? {
            TypeId::UNKNOWN => TypeId::TEXT,
            other => other,
        };
        super::whole::check_same_rows(exprs, word)?;
        let first = exprs.first().map(Expr::type_ref);
        let alike = exprs.iter().all(|expr| Some(expr.type_ref()) == first);
        Ok(match first {
            Some(first) if alike && first.id == common => first,
            _ => TypeRef::plain(common),
        })
    }

    pub(super) fn common(
        &mut self,
        args: &[syntax::Expr],
        word: &str,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<(Vec<Expr>, TypeRef)> {
        let args = self.exprs(args, scope, clause)?;
        let ty = self.common_of(&args, word)?;
        let args = args
            .into_iter()
            .map(|arg| self.resolver().cast(arg, ty, CastContext::Implicit))
            .collect::<Result<_>>()?;
        Ok((args, ty))
    }
}
