//! Expressions of the schema: DEFAULT, CHECK, generated columns, keys and conditions of indexes.

use dataman_metadata::schema::{Collection, Field};
use dataman_pg::expr::Expr as Bound;
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId, catalog};

use super::draft::{Draft, Result};
use super::name::quote;
use crate::parse::parse_expression;
use crate::parse::syntax::{Expr, ExprKind, Select};
use crate::parse::walk::{Visitor, walk_expr};
use crate::plan::bind::{self, Table};

/// The source that a shape's expressions name the record by.
pub(super) const RECORD: &str = "record";

/// Where an expression of the schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Default,
    Check,
    Generated,
    IndexKey,
    IndexFilter,
}

impl Use {
    /// PostgreSQL's words for it.
    fn words(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT expression",
            Self::Check => "check constraint",
            Self::Generated => "column generation expression",
            Self::IndexKey => "index expression",
            Self::IndexFilter => "index predicate",
        }
    }

    fn words_plural(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT expressions",
            Self::Check => "check constraints",
            Self::Generated => "column generation expressions",
            Self::IndexKey => "index expressions",
            Self::IndexFilter => "index predicates",
        }
    }
}

/// What the syntax alone tells.
#[derive(Default)]
struct Found {
    columns: Vec<(Vec<String>, crate::parse::syntax::Span)>,
    subquery: bool,
    subquery_span: crate::parse::syntax::Span,
    parameter: Option<(u16, crate::parse::syntax::Span)>,
    window: Option<crate::parse::syntax::Span>,
    aggregate: Option<crate::parse::syntax::Span>,
    sequences: Vec<String>,
}

impl Visitor for Found {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Column(parts) => self.columns.push((parts.clone(), expr.span)),
            ExprKind::Param(number) => self.parameter = Some((*number, expr.span)),
            ExprKind::Subquery(_)
            | ExprKind::Exists(_)
            | ExprKind::ArraySubquery(_)
            | ExprKind::InSubquery { .. } => {
                self.subquery_span = expr.span;
            }
            ExprKind::Function(call) => {
                if call.over.is_some() {
                    self.window = Some(expr.span);
                } else if catalog::functions_named(call.name.last())
                    .iter()
                    .any(|function| function.kind == 'a')
                {
                    self.aggregate = Some(expr.span);
                }
                if call.name.last() == "nextval"
                    && let Some(argument) = call.args.first()
                    && let Some(text) = text_of(&argument.value)
                {
                    self.sequences.push(text.to_owned());
                }
            }
            _ => {}
        }
    }

    fn subquery(&mut self, _select: &Select) {
        self.subquery = true;
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::String(text) | ExprKind::TypedString(_, text) => Some(text),
        ExprKind::Cast { arg, .. } => text_of(arg),
        _ => None,
    }
}

/// The names of the columns in a stored expression.
pub(super) fn columns_of(text: &str) -> Vec<String> {
    let Ok(expr) = parse_expression(text) else { return vec![] };
    columns_in(&expr)
}

/// The names of the columns in an expression, each once.
pub(super) fn columns_in(expr: &Expr) -> Vec<String> {
    let mut found = Found::default();
    walk_expr(expr, &mut found);
    let mut names: Vec<String> = Vec::new();
    for name in found.columns.into_iter().filter_map(|(parts, _)| parts.into_iter().last()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The sequences that `nextval('…')` in a stored expression names.
pub(super) fn sequences_of(text: &str) -> Vec<String> {
    let mut found = Found::default();
    if let Ok(expr) = parse_expression(text) {
        walk_expr(&expr, &mut found);
    }
    found.sequences
}

/// A stored expression with a column, or its table, called by another name.
pub(super) fn renamed(text: &str, change: impl Fn(&mut Vec<String>) -> bool) -> String {
    let Ok(expr) = parse_expression(text) else { return text.to_owned() };
    let mut found = Found::default();
    walk_expr(&expr, &mut found);
    let mut columns = found.columns;
    columns.sort_by_key(|(_, span)| std::cmp::Reverse(span.start));
    let mut out = text.to_owned();
    for (mut parts, span) in columns {
        if change(&mut parts) {
            let written: Vec<String> = parts.iter().map(|part| quote(part)).collect();
            out.replace_range(span.start..span.end, &written.join("."));
        }
    }
    out
}

impl Draft<'_> {
    /// Refuses what PostgreSQL allows in no expression of the schema.
    pub(super) fn check_use(&self, expr: &Expr, place: Use) -> Result<()> {
        let mut found = Found::default();
        walk_expr(expr, &mut found);
        if let Some((number, span)) = found.parameter {
            return Err(
                self.at(PgError::new("42P02", format!("there is no parameter ${number}")), span)
            );
        }
        if place == Use::Default
            && let Some((_, span)) = found.columns.first()
        {
            let error = PgError::new("0A000", "cannot use column reference in DEFAULT expression");
            return Err(self.at(error, *span));
        }
        if found.subquery {
            let error = PgError::new("0A000", format!("cannot use subquery in {}", place.words()));
            return Err(self.at(error, found.subquery_span));
        }
        if let Some(span) = found.window {
            let words = place.words_plural();
            let error =
                PgError::new("42P20", format!("window functions are not allowed in {words}"));
            return Err(self.at(error, span));
        }
        if let Some(span) = found.aggregate {
            let words = place.words_plural();
            let error =
                PgError::new("42803", format!("aggregate functions are not allowed in {words}"));
            return Err(self.at(error, span));
        }
        Ok(())
    }

    /// Binds an expression of the statement over a table's fields.
    pub(super) fn bind(
        &self,
        expr: &Expr,
        schema: &str,
        name: &str,
        collection: &Collection,
    ) -> Result<Bound> {
        let table = Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            collection: collection.clone(),
        };
        bind::bind_over_collection(expr, self.text, Some((&table, RECORD)), &self.plan_context())
    }

    /// Binds an expression that the metadata keeps.
    pub(super) fn bind_stored(
        &self,
        text: &str,
        schema: &str,
        name: &str,
        collection: &Collection,
    ) -> Result<Bound> {
        let expr = parse_expression(text)?;
        let table = Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            collection: collection.clone(),
        };
        bind::bind_over_collection(&expr, text, Some((&table, RECORD)), &self.plan_context())
    }

    /// Makes a condition of a bound expression.
    pub(super) fn condition(&self, bound: Bound, what: &str) -> Result<Bound> {
        let ty = bound.type_id();
        if ty == TypeId::BOOL {
            return Ok(bound);
        }
        if ty == TypeId::UNKNOWN {
            let field = Field {
                name: what.to_owned(),
                number: 1,
                type_oid: TypeId::BOOL.0,
                typmod: -1,
                not_null: false,
                default: dataman_metadata::schema::FieldDefault::None,
                comment: None,
            };
            return bind::assign_to_column(bound, &field, &self.plan_context());
        }
        Err(PgError::new(
            "42804",
            format!(
                "argument of {what} must be type boolean, not type {}",
                self.type_text(ty.into())
            ),
        ))
    }

    /// A type as messages write it.
    pub(super) fn type_text(&self, ty: TypeRef) -> String {
        match self.database.enum_by_oid(ty.id.0) {
            Some((_, name, found)) if found.oid.0 == ty.id.0 => name.to_owned(),
            Some((_, name, _)) => format!("{name}[]"),
            None => catalog::format_type(ty.id, ty.typmod),
        }
    }

    /// Checks a DEFAULT against its column: it can be computed and assigned.
    pub(super) fn check_default(&self, expr: &Expr, field: &Field) -> Result<Bound> {
        self.check_use(expr, Use::Default)?;
        let context = self.plan_context();
        let bound = bind::bind_over_collection(expr, self.text, None, &context)?;
        let ty = bound.type_id();
        bind::assign_to_column(bound, field, &context).map_err(|error| {
            if error.sqlstate() != "42804" {
                return error;
            }
            PgError::new(
                "42804",
                format!(
                    "column \"{}\" is of type {} but default expression is of type {}",
                    field.name,
                    self.type_text(TypeRef::plain(TypeId(field.type_oid))),
                    self.type_text(ty.into())
                ),
            )
            .with_hint("You will need to rewrite or cast the expression.")
        })
    }
}

/// Whether every function of a bound expression gives the same for the same arguments, whenever it is asked.
pub(super) fn is_immutable(bound: &Bound) -> bool {
    let mut immutable = match bound {
        Bound::Call(call) => {
            catalog::function(call.function).is_none_or(|function| function.volatility == 'i')
        }
        // What the proxy puts in at run time.
        Bound::Param { .. } => false,
        _ => true,
    };
    bound.for_each_child(&mut |child| immutable = immutable && is_immutable(child));
    immutable
}
