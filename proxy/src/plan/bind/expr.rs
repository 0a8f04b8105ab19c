//! Expressions of the syntax tree → bound expressions.

use std::sync::Arc;

use dataman_pg::expr::{Call, CastMethod, Constant, SubqueryKind};
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, Quantified};
use crate::plan::form::output_columns;

/// Where an expression stands: what is allowed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    /// The select list.
    SelectList,
    /// RETURNING.
    Returning,
    /// WHERE.
    Where,
    /// JOIN … ON.
    JoinOn,
    /// GROUP BY.
    GroupBy,
    /// HAVING.
    Having,
    /// ORDER BY.
    OrderBy,
    /// DISTINCT ON.
    DistinctOn,
    /// LIMIT or OFFSET.
    Limit(&'static str),
    /// VALUES.
    Values,
    /// UPDATE … SET and ON CONFLICT … SET.
    Set,
    /// The arguments of an aggregate.
    AggregateArgument,
    /// FILTER of an aggregate.
    Filter,
    /// A window's own clauses.
    Window,
    /// The offset of a window's frame, of ROWS, RANGE or GROUPS.
    FrameOffset(&'static str),
    /// A function in FROM.
    FromFunction,
    /// CHECK, DEFAULT, index expressions.
    Definition,
    /// COPY … FROM … WHERE.
    CopyWhere,
}

impl Clause {
    /// PostgreSQL's word for the clause in `aggregate functions are not allowed in …`, if they are not.
    pub(crate) fn refuses_aggregates(self) -> Option<&'static str> {
        match self {
            Self::SelectList
            | Self::Having
            | Self::OrderBy
            | Self::DistinctOn
            | Self::AggregateArgument => None,
            Self::Returning => Some("RETURNING"),
            Self::Where => Some("WHERE"),
            Self::JoinOn => Some("JOIN conditions"),
            Self::GroupBy => Some("GROUP BY"),
            Self::Limit(word) => Some(word),
            Self::Values => Some("VALUES"),
            Self::Set => Some("UPDATE"),
            Self::Filter => Some("FILTER"),
            Self::Window => None,
            Self::FrameOffset("ROWS") => Some("window ROWS"),
            Self::FrameOffset("RANGE") => Some("window RANGE"),
            Self::FrameOffset(_) => Some("window GROUPS"),
            Self::FromFunction => Some("functions in FROM"),
            Self::Definition => Some("DEFAULT expressions"),
            Self::CopyWhere => Some("COPY FROM WHERE conditions"),
        }
    }

    /// The same for window functions.
    pub(crate) fn refuses_windows(self) -> Option<&'static str> {
        match self {
            Self::SelectList | Self::OrderBy | Self::DistinctOn => None,
            Self::Having => Some("HAVING"),
            Self::Window | Self::FrameOffset(_) => Some("window definitions"),
            other => other.refuses_aggregates(),
        }
    }
}

impl Binder<'_> {
    /// Binds one expression. A literal in quotes or an undecided parameter stays `unknown` until its use decides.
    pub(crate) fn expr(
        &mut self,
        expr: &syntax::Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let before = scope.enter(Some(clause));
        let bound = self.expr_kind(expr, scope, clause);
        scope.enter(before);
        self.place(bound, expr.span)
    }

    pub(super) fn exprs(
        &mut self,
        exprs: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr, scope, clause)).collect()
    }

    pub(super) fn boolean(
        &mut self,
        expr: &syntax::Expr,
        scope: &Scope<'_>,
        clause: Clause,
        word: &str,
    ) -> Result<Expr> {
        let bound = self.expr(expr, scope, clause)?;
        let cast = self.resolver().to_boolean(bound, word);
        self.place(cast, expr.span)
    }

    fn expr_kind(
        &mut self,
        expr: &syntax::Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        match &expr.kind {
            ExprKind::Null => Ok(Expr::null(TypeId::UNKNOWN)),
            ExprKind::Bool(value) => Ok(Expr::constant(Value::Bool(*value), TypeId::BOOL)),
            ExprKind::Number(text) => number(text),
            ExprKind::String(text) => {
                Ok(Expr::constant(Value::text(text.as_str()), TypeId::UNKNOWN))
            }
            ExprKind::BitString(text) => {
                let read = dataman_pg::io::text::input(
                    text,
                    TypeRef::plain(TypeId::BIT),
                    &dataman_pg::Context::default(),
                );
                Ok(Expr::constant(read?, TypeId::BIT))
            }
            ExprKind::TypedString(ty, text) => {
                let target = self.type_ref(ty)?;
                let literal = Expr::constant(Value::text(text.as_str()), TypeId::UNKNOWN);
                let cast = self.resolver().cast(literal, target, CastContext::Explicit);
                let read = cast.and_then(|cast| self.read_now(cast));
                // What is wrong is the literal behind the type's name.
                let quote = self.text.get(expr.span.start..).and_then(|text| text.find('\''));
                let start = expr.span.start + quote.unwrap_or_default();
                self.place(read, syntax::Span { start, end: expr.span.end.max(start) })
            }
            ExprKind::Param(index) => {
                self.parameters.mention(*index)?;
                let ty = dataman_pg::resolve::ParameterTypes::get(&self.parameters, *index);
                Ok(Expr::Param { index: *index, ty })
            }
            ExprKind::Column(parts) => self.column(parts, scope, clause),
            ExprKind::Binary { operator, left, right } => {
                if let (Some(left), Some(right)) = (row_fields(left), row_fields(right)) {
                    return self.row_compare(operator, left, right, scope, clause);
                }
                if let (Some(left), ExprKind::Subquery(query)) = (row_fields(left), &right.kind) {
                    return self.row_compare_subquery(operator, left, query, scope, clause);
                }
                super::function::check_collations([&**left, &**right])
                    .map_err(|(error, span)| self.at(error, span))?;
                let left = self.expr(left, scope, clause)?;
                let right = self.expr(right, scope, clause)?;
                self.resolver().binary(operator, left, right)
            }
            ExprKind::Prefix { operator, arg } => {
                if let (true, ExprKind::Number(text)) = (operator == "-", &arg.kind) {
                    return number(&format!("-{text}"));
                }
                let arg = self.expr(arg, scope, clause)?;
                self.resolver().prefix(operator, arg)
            }
            ExprKind::And(left, right) => {
                let mut parts = Vec::new();
                for side in [left, right] {
                    match self.boolean(side, scope, clause, "AND")? {
                        Expr::And(inner) if matches!(side.kind, ExprKind::And(..)) => {
                            parts.extend(inner)
                        }
                        other => parts.push(other),
                    }
                }
                Ok(Expr::And(parts))
            }
            ExprKind::Or(left, right) => {
                let mut parts = Vec::new();
                for side in [left, right] {
                    match self.boolean(side, scope, clause, "OR")? {
                        Expr::Or(inner) if matches!(side.kind, ExprKind::Or(..)) => {
                            parts.extend(inner)
                        }
                        other => parts.push(other),
                    }
                }
                Ok(Expr::Or(parts))
            }
            ExprKind::Not(arg) => Ok(Expr::Not(Box::new(self.boolean(arg, scope, clause, "NOT")?))),
            ExprKind::Is { arg, test, negated } => self.is_test(arg, test, *negated, scope, clause),
            ExprKind::Distinct { left, right, negated } => {
                self.distinct(left, right, *negated, scope, clause)
            }
            ExprKind::Between { arg, low, high, negated, symmetric } => {
                let bound = self.between(arg, low, high, *symmetric, scope, clause)?;
                Ok(match (*negated, self.context.shows) {
                    (false, _) => bound,
                    (true, false) => negate(bound),
                    (true, true) => outside(bound),
                })
            }
            ExprKind::InList { arg, list, negated } => {
                self.in_list(arg, list, *negated, scope, clause)
            }
            ExprKind::InSubquery { arg, query, negated } => {
                let bound = self.quantified_subquery("=", arg, query, false, scope, clause)?;
                Ok(if *negated { Expr::Not(Box::new(bound)) } else { bound })
            }
            ExprKind::Like { kind, arg, pattern, escape, negated } => {
                self.like(kind, arg, pattern, escape.as_deref(), *negated, scope, clause)
            }
            ExprKind::Quantified { operator, left, right, all } => match right.as_ref() {
                Quantified::Array(array) => {
                    let left = self.expr(left, scope, clause)?;
                    let array = self.expr(array, scope, clause)?;
                    self.resolver().array_operator(operator, left, array, *all)
                }
                Quantified::Subquery(query) => {
                    self.quantified_subquery(operator, left, query, *all, scope, clause)
                }
            },
            ExprKind::Subquery(query) => {
                let (index, select) = self.subquery(query, scope)?;
                let columns = output_columns(&select);
                let [column] = columns.as_slice() else {
                    return Err(PgError::new("42601", "subquery must return only one column"));
                };
                let ty = column.ty;
                let index = self.keep_subquery(index, select, clause);
                Ok(Expr::Subquery { index, kind: SubqueryKind::Scalar, ty, outer: Vec::new() })
            }
            ExprKind::Exists(query) => {
                let (index, select) = self.subquery(query, scope)?;
                let index = self.keep_subquery(index, select, clause);
                Ok(Expr::Subquery {
                    index,
                    kind: SubqueryKind::Exists,
                    ty: TypeRef::plain(TypeId::BOOL),
                    outer: Vec::new(),
                })
            }
            ExprKind::ArraySubquery(query) => {
                let (index, select) = self.subquery(query, scope)?;
                let columns = output_columns(&select);
                let [column] = columns.as_slice() else {
                    return Err(PgError::new("42601", "subquery must return only one column"));
                };
                let ty = match self.element_of(column.ty.id) {
                    Some(_) => column.ty.id,
                    None => self.array_of(column.ty.id)?,
                };
                let index = self.keep_subquery(index, select, clause);
                Ok(Expr::Subquery {
                    index,
                    kind: SubqueryKind::Array,
                    ty: TypeRef::plain(ty),
                    outer: Vec::new(),
                })
            }
            ExprKind::Array(elements) => self.array(elements, scope, clause, None),
            ExprKind::Row(fields) => Ok(Expr::Row(self.expanded(fields, scope, clause)?)),
            ExprKind::NamedRow(names, fields) => {
                let row = Expr::Row(self.exprs(fields, scope, clause)?);
                Ok(super::whole::named(names, row, -1))
            }
            ExprKind::WholeRow(parts) => self.row_of_table(parts, scope, clause),
            ExprKind::Expand(_) => {
                Err(PgError::new("0A000", "row expansion via \"*\" is not supported here"))
            }
            ExprKind::FieldOf(row, name) => self.field_of(row, name, scope, clause),
            ExprKind::Subscript { array, subscripts } => {
                self.subscript(array, subscripts, scope, clause)
            }
            ExprKind::Cast { arg, ty } => {
                let target = self.type_ref(ty)?;
                if let (ExprKind::Array(elements), Some(element)) =
                    (&arg.kind, self.element_of(target.id))
                {
                    let array = self.array(elements, scope, clause, Some(element))?;
                    return self.resolver().cast(array, target, CastContext::Explicit);
                }
                let is_literal = matches!(arg.kind, ExprKind::String(_));
                let span = arg.span;
                let arg = self.expr(arg, scope, clause)?;
                let cast = self.resolver().cast(arg, target, CastContext::Explicit);
                if is_literal {
                    // What is wrong is the literal, not the cast.
                    let read = cast
                        .and_then(|cast| self.read_now(cast))
                        .and_then(|cast| self.named_object(cast));
                    return self.place(read, span);
                }
                self.named_object(cast?)
            }
            ExprKind::Function(call) => self.call(call, scope, clause, expr.span),
            ExprKind::Case { operand: Some(_), .. } if self.context.shows => {
                Err(PgError::unsupported("a definition with CASE over a value is not written back"))
            }
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), scope, clause)
            }
            ExprKind::Coalesce(args) => {
                let (args, ty) = self.common(args, "COALESCE", scope, clause)?;
                Ok(Expr::Coalesce { args, ty })
            }
            ExprKind::Extreme(greatest, args) => {
                let word = if *greatest { "GREATEST" } else { "LEAST" };
                let (args, ty) = self.common(args, word, scope, clause)?;
                self.check_sortable(ty.id, "a comparison function")?;
                Ok(Expr::Extreme { greatest: *greatest, args, ty })
            }
            ExprKind::NullIf(left, right) => {
                let left = self.expr(left, scope, clause)?;
                let right = self.expr(right, scope, clause)?;
                match self.resolver().binary("=", left, right)? {
                    // The value is the first operand as the comparison sees it, in type too.
                    Expr::Call(call) => {
                        let value = call
                            .args
                            .first()
                            .cloned()
                            .unwrap_or_else(|| Expr::null(TypeId::UNKNOWN));
                        Ok(Expr::NullIf { call: Box::new(call), value: Box::new(value) })
                    }
                    _ => Err(PgError::internal("an equality operator is a call")),
                }
            }
            ExprKind::Grouping(args) => self.grouping(args, scope, clause),
            ExprKind::Collate(arg, name) => {
                let bound = self.expr(arg, scope, clause)?;
                match name.parts.last().map(String::as_str) {
                    Some("C" | "POSIX" | "default" | "ucs_basic") => Ok(bound),
                    _ => Err(PgError::unsupported(format!(
                        "collation \"{}\" is not supported",
                        name.parts.join(".")
                    ))
                    .with_hint("dataman sorts text by bytes, as the collation \"C\" does.")),
                }
            }
            ExprKind::Default => {
                Err(PgError::new("42601", "DEFAULT is not allowed in this context"))
            }
            ExprKind::Special(name, precision) => self.special(name, *precision),
        }
    }

    fn column(&mut self, parts: &[String], scope: &Scope<'_>, clause: Clause) -> Result<Expr> {
        let found = self.column_in_sight(parts, scope, clause)?;
        match clause {
            Clause::Limit(word) if scope.owns(&found) => {
                Err(PgError::new("42P10", format!("argument of {word} must not contain variables")))
            }
            _ => Ok(found),
        }
    }

    fn column_in_sight(
        &mut self,
        parts: &[String],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        match parts {
            [name] => match scope.column(name)? {
                Some(found) => Ok(found),
                None => Err(match clause {
                    Clause::Definition if scope.is_empty() => {
                        PgError::new("0A000", "cannot use column reference in DEFAULT expression")
                    }
                    _ => {
                        if scope.table(None, name).is_ok() {
                            return self.whole_row(None, name, scope, clause);
                        }
                        self.missing_column(None, name)
                    }
                }),
            },
            [table, name] => self.qualified(scope, None, table, name),
            [schema, table, name] => {
                self.facts.internal = true;
                self.qualified(scope, Some(schema), table, name)
            }
            [_, schema, table, name] => {
                self.facts.internal = true;
                self.qualified(scope, Some(schema), table, name)
            }
            _ => Err(PgError::new("42601", "improper qualified name (too many dotted names)")),
        }
    }

    fn qualified(
        &self,
        scope: &Scope<'_>,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<Expr> {
        scope.qualified(schema, table, name).map_err(|error| match error.sqlstate() {
            "42P01" => self.missing_table(table, scope),
            "42703" => self.missing_column(Some(table), name),
            _ => error,
        })
    }

    /// A call of a built-in by name.
    pub(crate) fn plain_call(&mut self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        let names = vec![None; args.len()];
        let found = self.resolver().function(name, args, &names, false)?;
        Ok(Expr::Call(Call {
            function: found.function.id,
            operator: None,
            args: found.args,
            variadic: found.variadic,
            ty: found.ty,
        }))
    }

    /// A literal of a `reg…` type is looked up at once: a plan belongs to one epoch and one search path.
    fn named_object(&self, cast: Expr) -> Result<Expr> {
        let Expr::Cast(found) = &cast else { return Ok(cast) };
        let Expr::Const(Constant { value: Value::Text(name), ty }) = &found.arg else {
            return Ok(cast);
        };
        let is_name = ty.id == TypeId::UNKNOWN && found.ty.id.is_oid() && !self.context.shows;
        if !is_name || self.context.context.objects.is_none() {
            return Ok(cast);
        }
        let value = dataman_pg::io::text::input(name, found.ty, self.context.context)?;
        Ok(Expr::constant(value, found.ty.id))
    }

    /// `CURRENT_DATE` and its like.
    fn special(&mut self, name: &str, precision: Option<i32>) -> Result<Expr> {
        let text = |value: &str, ty: TypeId| Expr::constant(Value::Text(Arc::from(value)), ty);
        let clock = |binder: &mut Self, target: TypeId| -> Result<Expr> {
            let now = binder.plain_call("now", Vec::new())?;
            let typmod = precision.map_or(-1, |digits| digits.min(6));
            let cast = binder.resolver().cast(
                now,
                TypeRef { id: target, typmod },
                CastContext::Explicit,
            )?;
            Ok(cast)
        };
        self.facts.internal = true;
        if self.context.shows {
            return Ok(shown_special(name, precision));
        }
        let bound = match name {
            "current_date" => clock(self, TypeId::DATE)?,
            "current_time" => clock(self, TypeId::TIMETZ)?,
            "current_timestamp" => clock(self, TypeId::TIMESTAMPTZ)?,
            "localtime" => clock(self, TypeId::TIME)?,
            "localtimestamp" => clock(self, TypeId::TIMESTAMP)?,
            "current_user" | "session_user" | "user" | "current_role" => {
                text(self.context.user, TypeId::NAME)
            }
            "current_catalog" => text(self.context.database, TypeId::NAME),
            "current_schema" => match self.context.search_path.first() {
                Some(schema) => text(schema, TypeId::NAME),
                None => Expr::null(TypeId::NAME),
            },
            _ => {
                return Err(PgError::unsupported(format!(
                    "{} is not supported",
                    name.to_uppercase()
                )));
            }
        };
        Ok(bound)
    }

    /// Reads a literal whose meaning depends on the session's settings, so that its errors are found where it stands; the cast
    /// stays, since a plan outlives the moment.
    pub(crate) fn read_now(&self, cast: Expr) -> Result<Expr> {
        if self.view_depth == 0
            && let Expr::Cast(inner) = &cast
            && inner.method == CastMethod::InputOutput
            && let Expr::Const(literal) = &inner.arg
            && literal.ty.id == TypeId::UNKNOWN
            && let Value::Text(text) = &literal.value
        {
            match dataman_pg::io::text::input(text, inner.ty, self.context.context) {
                Err(error) if error.sqlstate() != "0A000" => return Err(error),
                _ => {}
            }
        }
        Ok(cast)
    }

    /// Casts to a column's type as INSERT and UPDATE do.
    pub(crate) fn assign(
        &mut self,
        expr: Expr,
        column: &dataman_metadata::schema::Field,
    ) -> Result<Expr> {
        let target = TypeRef { id: TypeId(column.type_oid), typmod: column.typmod };
        let ty = expr.type_id();
        self.resolver().cast(expr, target, CastContext::Assignment).map_err(|error| {
            if error.sqlstate() == "42846"
                || (error.sqlstate() == "42804" && error.hint().is_none())
            {
                PgError::new(
                    "42804",
                    format!(
                        "column \"{}\" is of type {} but expression is of type {}",
                        column.name,
                        self.type_name(target.id),
                        self.type_name(ty)
                    ),
                )
                .with_hint("You will need to rewrite or cast the expression.")
            } else {
                error
            }
        })
    }
}

/// The fields of a row constructor.
pub(super) fn row_fields(expr: &syntax::Expr) -> Option<&[syntax::Expr]> {
    match &expr.kind {
        ExprKind::Row(fields) => Some(fields),
        _ => None,
    }
}

pub(crate) fn conjunction(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) }
}

pub(super) fn negate(expr: Expr) -> Expr {
    Expr::Not(Box::new(expr))
}

/// What NOT BETWEEN is written back as: below the one or above the other.
fn outside(within: Expr) -> Expr {
    let negated = |part: Expr| {
        let Expr::Call(mut call) = part else { return negate(part) };
        let operator = call.operator.and_then(dataman_pg::catalog::operator);
        let Some(negator) = operator.and_then(|one| dataman_pg::catalog::operator(one.negator))
        else {
            return negate(Expr::Call(call));
        };
        call.operator = Some(negator.id);
        call.function = negator.function;
        Expr::Call(call)
    };
    match within {
        Expr::And(parts) => Expr::Or(parts.into_iter().map(negated).collect()),
        other => negate(other),
    }
}

/// A number without quotes: int4, int8 or numeric, by its size and look.
fn number(text: &str) -> Result<Expr> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(value) = text.parse::<i32>() {
            return Ok(Expr::constant(Value::Int4(value), TypeId::INT4));
        }
        if let Ok(value) = text.parse::<i64>() {
            return Ok(Expr::constant(Value::Int8(value), TypeId::INT8));
        }
    }
    let value = dataman_pg::io::text::input(
        text,
        TypeRef::plain(TypeId::NUMERIC),
        &dataman_pg::Context::default(),
    )?;
    Ok(Expr::constant(value, TypeId::NUMERIC))
}

/// `CURRENT_DATE` and its like where they are to be written back: the word itself, of no type, as what it gives.
fn shown_special(name: &str, precision: Option<i32>) -> Expr {
    let id = match name {
        "current_date" => TypeId::DATE,
        "current_time" => TypeId::TIMETZ,
        "current_timestamp" => TypeId::TIMESTAMPTZ,
        "localtime" => TypeId::TIME,
        "localtimestamp" => TypeId::TIMESTAMP,
        _ => TypeId::NAME,
    };
    let mut word = name.to_uppercase();
    let typmod = precision.map_or(-1, |digits| digits.min(6));
    if typmod >= 0 {
        word.push_str(&format!("({typmod})"));
    }
    Expr::Cast(Box::new(dataman_pg::expr::Cast {
        arg: Expr::constant(Value::text(word), TypeId::NONE),
        ty: TypeRef { id, typmod },
        method: dataman_pg::expr::CastMethod::Relabel,
        explicit: true,
    }))
}
