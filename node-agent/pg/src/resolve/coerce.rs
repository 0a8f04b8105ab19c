//! Whether and how one type becomes another (the manual's sections 10.4 and CREATE CAST), and making the casts.

use std::sync::Arc;

use super::{CastContext, Resolver};
use crate::catalog;
use crate::context::Context;
use crate::error::{PgError, Result};
use crate::expr::{Cast, CastMethod, Constant, Expr};
use crate::types::{TypeId, TypeRef};
use crate::value::{Array, EnumLabel, Value};

/// The way from one type to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pathway {
    /// The representation stays.
    Relabel,
    /// By a function of `pg_cast`.
    Function(crate::expr::FunctionId),
    /// Through text.
    InputOutput,
    /// Element by element.
    Array,
}

impl From<Pathway> for CastMethod {
    fn from(pathway: Pathway) -> Self {
        match pathway {
            Pathway::Relabel => Self::Relabel,
            Pathway::Function(function) => Self::Function(function),
            Pathway::InputOutput => Self::InputOutput,
            Pathway::Array => Self::Array,
        }
    }
}

/// Finds the way from one built-in type to another, as [`Resolver::pathway`] does where there are no user types.
pub(crate) fn pathway(
    types: &dyn super::UserTypes,
    source: TypeId,
    target: TypeId,
    context: CastContext,
) -> Option<Pathway> {
    if source == target {
        return Some(Pathway::Relabel);
    }
    if let Some(cast) = catalog::cast(source, target) {
        let needed = match cast.context {
            'i' => CastContext::Implicit,
            'a' => CastContext::Assignment,
            _ => CastContext::Explicit,
        };
        if context < needed {
            return None;
        }
        return Some(match cast.method {
            'f' => Pathway::Function(cast.function),
            'i' => Pathway::InputOutput,
            _ => Pathway::Relabel,
        });
    }
    let (source_facts, target_facts) =
        (super::facts::facts(types, source), super::facts::facts(types, target));
    let is_vector = |id| matches!(id, TypeId::INT2VECTOR | TypeId::OIDVECTOR);
    if !is_vector(target)
        && source_facts.element != TypeId::NONE
        && target_facts.element != TypeId::NONE
        && pathway(types, source_facts.element, target_facts.element, context).is_some()
    {
        return Some(Pathway::Array);
    }
    // Anything can be assigned to a string and written as a cast from one.
    let through_text = (context >= CastContext::Assignment && target_facts.category == 'S')
        || (context >= CastContext::Explicit && source_facts.category == 'S');
    through_text.then_some(Pathway::InputOutput)
}

impl Resolver<'_> {
    /// Finds the way from one type to another in a context; `None` if there is none.
    pub fn pathway(&self, source: TypeId, target: TypeId, context: CastContext) -> Option<Pathway> {
        pathway(self.types, source, target, context)
    }

    /// Whether an expression of one type can stand where another is wanted. Unknown literals can everywhere.
    pub fn can_coerce(&self, source: TypeId, target: TypeId, context: CastContext) -> bool {
        self.can_coerce_all(&[source], &[target], context)
    }

    pub(super) fn can_coerce_all(
        &self,
        sources: &[TypeId],
        targets: &[TypeId],
        context: CastContext,
    ) -> bool {
        let mut is_polymorphic = false;
        for (source, target) in sources.iter().copied().zip(targets.iter().copied()) {
            if target.is_polymorphic() {
                is_polymorphic = true;
                continue;
            }
            let fits = source == target
                || target == TypeId::ANY
                || source == TypeId::UNKNOWN
                || self.pathway(source, target, context).is_some();
            if !fits {
                return false;
            }
        }
        !is_polymorphic || self.fits_polymorphic(sources, targets)
    }

    /// Casts to a type and modifier; an unknown literal is read by the type's input at ISO, UTC unless the type's input
    /// depends on settings, then a cast stays in the tree.
    ///
    /// # Errors
    /// `42846` `cannot cast type … to …`; the input's errors.
    pub fn cast(&mut self, expr: Expr, target: TypeRef, context: CastContext) -> Result<Expr> {
        let source = expr.type_id();
        if !self.can_coerce(source, target.id, context) {
            return Err(PgError::new(
                "42846",
                format!(
                    "cannot cast type {} to {}",
                    self.type_name(source),
                    self.type_name(target.id)
                ),
            ));
        }
        let expr = self.coerce(expr, target, context)?;
        Ok(self.fit_length(expr, target, context))
    }

    /// Casts to a column's type in INSERT and UPDATE.
    ///
    /// # Errors
    /// `42804` `column "a" is of type integer but expression is of type text`; the input's errors.
    pub fn assign(&mut self, expr: Expr, target: TypeRef, column: &str) -> Result<Expr> {
        let source = expr.type_id();
        if !self.can_coerce(source, target.id, CastContext::Assignment) {
            let message = format!(
                "column \"{column}\" is of type {} but expression is of type {}",
                self.type_name(target.id),
                self.type_name(source)
            );
            return Err(PgError::new("42804", message)
                .with_hint("You will need to rewrite or cast the expression."));
        }
        self.cast(expr, target, CastContext::Assignment)
    }

    /// Changes the type where it is known to be possible, without fitting the length.
    pub(super) fn coerce(
        &mut self,
        expr: Expr,
        target: TypeRef,
        context: CastContext,
    ) -> Result<Expr> {
        let source = expr.type_id();
        let is_settled = match target.id {
            TypeId::ANY
            | TypeId::ANYELEMENT
            | TypeId::ANYNONARRAY
            | TypeId::ANYCOMPATIBLE
            | TypeId::ANYCOMPATIBLENONARRAY => true,
            id if id.is_polymorphic() => source != TypeId::UNKNOWN,
            id => source == id,
        };
        if is_settled {
            return Ok(expr);
        }
        if source == TypeId::UNKNOWN {
            match expr {
                Expr::Const(constant) => return self.read_literal(&constant, target, context),
                Expr::Param { index, .. } => {
                    self.params.decide(index, target.id)?;
                    return Ok(Expr::Param { index, ty: target.id });
                }
                // An unknown literal from a subquery's column: by its text.
                other => {
                    let ty = TypeRef::plain(target.id);
                    let method = match target.id {
                        TypeId::TEXT | TypeId::VARCHAR => CastMethod::Relabel,
                        _ => CastMethod::InputOutput,
                    };
                    let explicit = context == CastContext::Explicit;
                    return Ok(Expr::Cast(Box::new(Cast { arg: other, ty, method, explicit })));
                }
            }
        }
        let Some(pathway) = self.pathway(source, target.id, context) else {
            return Err(PgError::new(
                "42846",
                format!(
                    "cannot cast type {} to {}",
                    self.type_name(source),
                    self.type_name(target.id)
                ),
            ));
        };
        // The elements' length is fitted in the same step.
        let typmod = if pathway == Pathway::Array { target.typmod } else { -1 };
        let cast = Cast {
            arg: expr,
            ty: TypeRef { id: target.id, typmod },
            method: pathway.into(),
            explicit: context == CastContext::Explicit,
        };
        Ok(self.fold(cast))
    }

    /// Makes a value fit the modifier of its type.
    fn fit_length(&self, expr: Expr, target: TypeRef, context: CastContext) -> Expr {
        let source = expr.type_ref();
        if source.typmod == target.typmod {
            return expr;
        }
        let explicit = context == CastContext::Explicit;
        if target.typmod < 0 {
            // A cast to the type without a length only changes what is known of the value.
            if !explicit {
                return expr;
            }
            let method = CastMethod::Relabel;
            return self.fold(Cast { arg: expr, ty: target, method, explicit });
        }
        let element = self.facts(target.id).element;
        let method = if element == TypeId::NONE { CastMethod::Length } else { CastMethod::Array };
        self.fold(Cast { arg: expr, ty: target, method, explicit })
    }

    /// A cast of a constant is done at once where that cannot fail and needs no settings.
    fn fold(&self, cast: Cast) -> Expr {
        let expr = Expr::Cast(Box::new(cast));
        if self.types.keeps_casts() {
            return expr;
        }
        crate::eval::fold(&expr).unwrap_or(expr)
    }

    /// An unknown literal becomes a constant of the type.
    fn read_literal(
        &self,
        literal: &Constant,
        target: TypeRef,
        context: CastContext,
    ) -> Result<Expr> {
        // Only interval's input takes the modifier at once; for the others a length coercion follows.
        let typmod = if target.id == TypeId::INTERVAL { target.typmod } else { -1 };
        let ty = TypeRef { id: target.id, typmod };
        let text = match &literal.value {
            Value::Null => return Ok(Expr::null(ty)),
            Value::Text(text) => text.clone(),
            other => {
                let mut out = Vec::new();
                crate::io::text::output(other, literal.ty.id, &Context::default(), &mut out);
                Arc::from(String::from_utf8_lossy(&out))
            }
        };
        if target.id.is_user() {
            return Ok(Expr::constant(self.read_user_value(&text, target.id)?, ty));
        }
        if !depends_on_settings(&text, target.id, self) {
            match crate::io::text::input(&text, ty, &Context::default()) {
                Ok(value) => return Ok(Expr::constant(value, ty)),
                // A type whose values are not computed with here: the cast stays, for a database that can.
                Err(e) if e.sqlstate() == "0A000" => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Expr::Cast(Box::new(Cast {
            arg: Expr::constant(Value::Text(text), TypeId::UNKNOWN),
            ty,
            method: CastMethod::InputOutput,
            explicit: context == CastContext::Explicit,
        })))
    }

    /// Reads a value of a user's enum, or an array of them.
    ///
    /// # Errors
    /// `22P02` for a label that the enum does not have; `42704` for a type that does not exist.
    pub fn read_user_value(&self, text: &str, id: TypeId) -> Result<Value> {
        let Some(user) = self.types.describe(id) else {
            return Err(PgError::new("42704", format!("type with OID {} does not exist", id.0)));
        };
        if let Some(element) = user.element {
            let array =
                crate::io::text::input(text, TypeId::TEXT_ARRAY.into(), &Context::default())?;
            let Value::Array(array) = array else { return Ok(array) };
            let elements = array.elements.iter().map(|label| match label {
                Value::Text(label) => self.read_user_value(label, element),
                other => Ok(other.clone()),
            });
            let elements = elements.collect::<Result<Vec<_>>>()?;
            let dimensions = array.dimensions.clone();
            return Ok(Value::Array(Arc::new(Array {
                element_type: element,
                dimensions,
                elements,
            })));
        }
        let rank = user.labels.iter().position(|label| **label == *text);
        let Some(rank) = rank.and_then(|rank| u32::try_from(rank).ok()) else {
            let name = self.type_name(id);
            return Err(PgError::new(
                "22P02",
                format!("invalid input value for enum {name}: \"{text}\""),
            ));
        };
        Ok(Value::Enum(EnumLabel { enum_type: id, rank, label: Arc::from(text) }))
    }
}

/// Whether the text could mean another value under other settings or at another time. What is plain ISO does not.
fn depends_on_settings(text: &str, ty: TypeId, resolver: &Resolver<'_>) -> bool {
    let text = text.trim();
    match ty {
        TypeId::DATE => !is_iso_date(text) && !is_infinity(text),
        TypeId::TIME => !is_iso_time(text),
        TypeId::TIMETZ => !split_zone(text).is_some_and(is_iso_time),
        TypeId::TIMESTAMP => !is_iso_timestamp(text) && !is_infinity(text),
        TypeId::TIMESTAMPTZ => {
            !split_zone(text).is_some_and(is_iso_timestamp) && !is_infinity(text)
        }
        // `IntervalStyle` decides how far a leading minus reaches.
        TypeId::INTERVAL => text.contains('-'),
        id if id.is_oid() => id != TypeId::OID,
        id => {
            let facts = resolver.facts(id);
            facts.kind == 'r'
                || facts.kind == 'm'
                // One element that does is enough; to find it is the input's work.
                || (facts.element != TypeId::NONE
                    && facts.element != TypeId::OID
                    && depends_on_settings("now", facts.element, resolver))
        }
    }
}

fn is_infinity(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

/// Whether the text is this pattern, in which `9` is any digit.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, expected)| {
            if expected == b'9' { byte.is_ascii_digit() } else { byte == expected }
        })
}

fn is_iso_date(text: &str) -> bool {
    is_like(text, "9999-99-99")
}

fn is_iso_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    (is_like(whole, "99:99") && !text.contains('.') || is_like(whole, "99:99:99"))
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_iso_timestamp(text: &str) -> bool {
    match text.split_once([' ', 'T']) {
        None => is_iso_date(text),
        Some((date, time)) => is_iso_date(date) && is_iso_time(time),
    }
}

/// What stands before a numeric offset from UTC, or `Z`.
fn split_zone(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        return Some(rest);
    }
    let (rest, zone) = text.rsplit_once(['+', '-'])?;
    (is_like(zone, "99") || is_like(zone, "99:99")).then_some(rest)
}
