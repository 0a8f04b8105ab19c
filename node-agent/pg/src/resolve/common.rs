//! The common type of several expressions (the manual's section 10.5), and the constructs that want one given type.

use super::{CastContext, Resolver};
use crate::error::{PgError, Result};
use crate::expr::Expr;
use crate::types::TypeId;

impl Resolver<'_> {
    /// The common type of several expressions (UNION, CASE, VALUES, COALESCE, ARRAY, IN; section 10.5).
    /// `construct` is PostgreSQL's word for the error: `CASE`, `UNION`, `COALESCE`, `ARRAY`, `IN`, `VALUES`, ….
    ///
    /// # Errors
    /// `42804` `CASE types integer and text cannot be matched`.
    pub fn common_type(&mut self, exprs: &[Expr], construct: &str) -> Result<TypeId> {
        let types: Vec<TypeId> = exprs.iter().map(Expr::type_id).collect();
        self.common_type_of(&types, construct)
    }

    /// [`Resolver::common_type`] of types alone.
    ///
    /// # Errors
    /// `42804` `CASE types integer and text cannot be matched`.
    pub fn common_type_of(&self, types: &[TypeId], construct: &str) -> Result<TypeId> {
        let mut rest = types.iter().copied();
        let mut common = rest.next().unwrap_or(TypeId::UNKNOWN);
        for ty in rest {
            if ty == TypeId::UNKNOWN || ty == common {
                continue;
            }
            if common == TypeId::UNKNOWN {
                common = ty;
                continue;
            }
            let facts = self.facts(common);
            if self.facts(ty).category != facts.category {
                return Err(PgError::new(
                    "42804",
                    format!(
                        "{construct} types {} and {} cannot be matched",
                        self.type_name(common),
                        self.type_name(ty)
                    ),
                ));
            }
            if !facts.preferred
                && self.can_coerce(common, ty, CastContext::Implicit)
                && !self.can_coerce(ty, common, CastContext::Implicit)
            {
                common = ty;
            }
        }
        Ok(if common == TypeId::UNKNOWN { TypeId::TEXT } else { common })
    }

    /// Casts one of several expressions to their common type.
    ///
    /// # Errors
    /// `42846` `CASE could not convert type … to …`; a literal's input errors.
    pub fn to_common_type(&mut self, expr: Expr, common: TypeId, construct: &str) -> Result<Expr> {
        let source = expr.type_id();
        if !self.can_coerce(source, common, CastContext::Implicit) {
            return Err(PgError::new(
                "42846",
                format!(
                    "{construct} could not convert type {} to {}",
                    self.type_name(source),
                    self.type_name(common)
                ),
            ));
        }
        self.coerce(expr, common.into(), CastContext::Implicit)
    }

    /// Casts to `boolean` for WHERE and its like. `construct`: `WHERE`, `HAVING`, `CASE/WHEN`, `AND`, ….
    ///
    /// # Errors
    /// `42804` `argument of WHERE must be type boolean, not type integer`.
    pub fn to_boolean(&mut self, expr: Expr, construct: &str) -> Result<Expr> {
        self.to_type(expr, TypeId::BOOL, construct)
    }

    /// Casts to the one type that a construct wants: `bigint` for LIMIT and OFFSET, `integer` for a subscript.
    ///
    /// # Errors
    /// `42804` `argument of LIMIT must be type bigint, not type text`.
    pub fn to_type(&mut self, expr: Expr, ty: TypeId, construct: &str) -> Result<Expr> {
        let source = expr.type_id();
        if source == ty {
            return Ok(expr);
        }
        if !self.can_coerce(source, ty, CastContext::Assignment) {
            return Err(PgError::new(
                "42804",
                format!(
                    "argument of {construct} must be type {}, not type {}",
                    self.type_name(ty),
                    self.type_name(source)
                ),
            ));
        }
        self.cast(expr, ty.into(), CastContext::Assignment)
    }
}
