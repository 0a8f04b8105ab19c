//! Expressions of the syntax tree → bound expressions.

use std::sync::Arc;

use dataman_pg::expr::{Call, IsTest, RowField, SubqueryKind, SubscriptIndex};
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, Quantified, Subscript};
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
            Self::Window => Some("window definitions"),
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
        let bound = self.expr_kind(expr, scope, clause);
        self.place(bound, expr.span)
    }

    fn exprs(
        &mut self,
        exprs: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr, scope, clause)).collect()
    }

    fn boolean(
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
            ExprKind::BitString(_) => Err(PgError::unsupported("bit strings are not supported")
                .with_hint("Use bytea or an integer.")),
            ExprKind::TypedString(ty, text) => {
                let target = self.type_ref(ty)?;
                let literal = Expr::constant(Value::text(text.as_str()), TypeId::UNKNOWN);
                self.resolver().cast(literal, target, CastContext::Explicit)
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
                Ok(if *negated { negate(bound) } else { bound })
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
                self.keep_subquery(index, select);
                Ok(Expr::Subquery { index, kind: SubqueryKind::Scalar, ty })
            }
            ExprKind::Exists(query) => {
                let (index, select) = self.subquery(query, scope)?;
                self.keep_subquery(index, select);
                Ok(Expr::Subquery {
                    index,
                    kind: SubqueryKind::Exists,
                    ty: TypeRef::plain(TypeId::BOOL),
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
                self.keep_subquery(index, select);
                Ok(Expr::Subquery { index, kind: SubqueryKind::Array, ty: TypeRef::plain(ty) })
            }
            ExprKind::Array(elements) => self.array(elements, scope, clause, None),
            ExprKind::Row(fields) => Ok(Expr::Row(self.exprs(fields, scope, clause)?)),
            ExprKind::FieldOf(..) => {
                Err(PgError::unsupported("selecting a field of a composite value is not supported"))
            }
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
                let arg = self.expr(arg, scope, clause)?;
                self.resolver().cast(arg, target, CastContext::Explicit)
            }
            ExprKind::Function(call) => self.call(call, scope, clause, expr.span),
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
            ExprKind::Grouping(_) => Err(PgError::unsupported("GROUPING is not supported yet")),
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
        if let Clause::Limit(word) = clause {
            return Err(PgError::new(
                "42P10",
                format!("argument of {word} must not contain variables"),
            ));
        }
        match parts {
            [name] => match scope.column(name)? {
                Some(found) => Ok(found),
                None => Err(match clause {
                    Clause::Definition if scope.is_empty() => {
                        PgError::new("0A000", "cannot use column reference in DEFAULT expression")
                    }
                    _ => {
                        if scope.table(None, name).is_ok() {
                            PgError::unsupported(format!(
                                "the whole row of \"{name}\" as a value is not supported"
                            ))
                            .with_hint("Name the columns.")
                        } else {
                            PgError::new("42703", format!("column \"{name}\" does not exist"))
                        }
                    }
                }),
            },
            [table, name] => scope.qualified(None, table, name),
            [schema, table, name] => {
                self.facts.internal = true;
                scope.qualified(Some(schema), table, name)
            }
            [_, schema, table, name] => {
                self.facts.internal = true;
                scope.qualified(Some(schema), table, name)
            }
            _ => Err(PgError::new("42601", "improper qualified name (too many dotted names)")),
        }
    }

    fn is_test(
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
        let bound = match test {
            IsTest::Null if matches!(bound, Expr::Row(_)) => {
                return Err(PgError::unsupported("IS NULL of a row is not supported")
                    .with_hint("Test each field."));
            }
            IsTest::Null => bound,
            _ => {
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

    fn distinct(
        &mut self,
        left: &syntax::Expr,
        right: &syntax::Expr,
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        for (one, other) in [(left, right), (right, left)] {
            if matches!(other.kind, ExprKind::Null) {
                let arg = Box::new(self.expr(one, scope, clause)?);
                return Ok(Expr::Is { arg, test: IsTest::Null, negated: !negated });
            }
        }
        let left = self.expr(left, scope, clause)?;
        let right = self.expr(right, scope, clause)?;
        match self.resolver().binary("=", left, right)? {
            Expr::Call(call) => Ok(Expr::Distinct { call: Box::new(call), negated }),
            _ => Err(PgError::unsupported("IS DISTINCT FROM over rows is not supported")),
        }
    }

    fn between(
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
            let above = self.resolver().binary(">=", arg.clone(), low)?;
            let below = self.resolver().binary("<=", arg.clone(), high)?;
            Ok(Expr::And(vec![above, below]))
        };
        if !symmetric {
            return within(low, high);
        }
        let one = within(low.clone(), high.clone())?;
        let other = within(high, low)?;
        Ok(Expr::Or(vec![one, other]))
    }

    fn in_list(
        &mut self,
        arg: &syntax::Expr,
        list: &[syntax::Expr],
        negated: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        if let Some(fields) = row_fields(arg) {
            let mut parts = Vec::new();
            for item in list {
                let item = row_fields(item).ok_or_else(|| {
                    PgError::new("42601", "a row is compared with something that is no row")
                })?;
                parts.push(self.row_compare("=", fields, item, scope, clause)?);
            }
            let any = if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) };
            return Ok(if negated { Expr::Not(Box::new(any)) } else { any });
        }
        let left = self.expr(arg, scope, clause)?;
        let items = self.exprs(list, scope, clause)?;
        let mut all = vec![left.clone()];
        all.extend(items.iter().cloned());
        let plain = items.len() > 1;
        if plain
            && let Ok(common) = self.resolver().common_type(&all, "IN")
            && common != TypeId::RECORD
        {
            let common = if common == TypeId::UNKNOWN { TypeId::TEXT } else { common };
            if let Ok(array_type) = self.array_of(common) {
                let elements = items
                    .into_iter()
                    .map(|item| {
                        self.resolver().cast(item, TypeRef::plain(common), CastContext::Implicit)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let array = Expr::Array { elements, ty: array_type };
                let operator = if negated { "<>" } else { "=" };
                return self.resolver().array_operator(operator, left, array, negated);
            }
        }
        let operator = if negated { "<>" } else { "=" };
        let mut parts = items
            .into_iter()
            .map(|item| self.resolver().binary(operator, left.clone(), item))
            .collect::<Result<Vec<_>>>()?;
        Ok(match (parts.len(), negated) {
            (1, _) => parts.remove(0),
            (_, true) => Expr::And(parts),
            (_, false) => Expr::Or(parts),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of LIKE as SQL writes them")]
    fn like(
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

    /// Binds a subquery in an expression; [`Binder::keep_subquery`] puts it in its place.
    fn subquery(
        &mut self,
        query: &syntax::Select,
        scope: &Scope<'_>,
    ) -> Result<(usize, dataman_node_protocol::query::Select)> {
        let windows = std::mem::take(&mut self.named_windows);
        let bound = self.select(query, Some(scope));
        self.named_windows = windows;
        let bound = bound?;
        let index = self.subqueries.last().map_or(0, Vec::len);
        Ok((index, bound))
    }

    fn keep_subquery(&mut self, index: usize, select: dataman_node_protocol::query::Select) {
        if let Some(list) = self.subqueries.last_mut() {
            debug_assert_eq!(index, list.len(), "subqueries are kept in the order they are bound");
            list.push(select);
        }
    }

    fn quantified_subquery(
        &mut self,
        operator: &str,
        left: &syntax::Expr,
        query: &syntax::Select,
        all: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let mut left = match row_fields(left) {
            Some(fields) => self.exprs(fields, scope, clause)?,
            None => vec![self.expr(left, scope, clause)?],
        };
        let (index, mut select) = self.subquery(query, scope)?;
        let columns = output_columns(&select);
        match columns.len().cmp(&left.len()) {
            std::cmp::Ordering::Less => {
                return Err(PgError::new("42601", "subquery has too few columns"));
            }
            std::cmp::Ordering::Greater => {
                return Err(PgError::new("42601", "subquery has too many columns"));
            }
            std::cmp::Ordering::Equal => {}
        }
        let mut operators = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let probe = Expr::Column { index: place, ty: column.ty };
            let Expr::Call(call) = self.resolver().binary(operator, left[place].clone(), probe)?
            else {
                return Err(PgError::internal("an operator is a call"));
            };
            if call.ty.id != TypeId::BOOL {
                return Err(PgError::new(
                    "42804",
                    format!(
                        "row comparison operator must yield type boolean, not type {}",
                        self.type_name(call.ty.id)
                    ),
                ));
            }
            let [one, other] = <[Expr; 2]>::try_from(call.args)
                .map_err(|_| PgError::internal("a comparison has two operands"))?;
            left[place] = one;
            if let Some(function) = call.operator {
                operators.push(function);
            }
            // A cast that the comparison needs on the subquery's side is made inside the subquery.
            let target = other.type_ref();
            if !matches!(other, Expr::Column { .. }) {
                self.retype_output(&mut select, place, target)?;
            }
        }
        self.keep_subquery(index, select);
        Ok(Expr::Subquery {
            index,
            kind: SubqueryKind::Compare { all, left, operators },
            ty: TypeRef::plain(TypeId::BOOL),
        })
    }

    fn retype_output(
        &mut self,
        select: &mut dataman_node_protocol::query::Select,
        place: usize,
        target: TypeRef,
    ) -> Result<()> {
        use dataman_node_protocol::query::OutputField;
        if !select.union.is_empty() || !select.distinct.is_all() {
            return Err(PgError::unsupported(
                "comparing with a set operation of another type is not supported",
            )
            .with_hint("Cast the subquery's column."));
        }
        if let Some(OutputField::Bound { expr, .. }) = select.fields.get_mut(place) {
            let taken = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
            *expr = self.resolver().cast(taken, target, CastContext::Implicit)?;
        }
        Ok(())
    }

    fn row_compare(
        &mut self,
        operator: &str,
        left: &[syntax::Expr],
        right: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        if left.len() != right.len() {
            return Err(PgError::new("42601", "unequal number of entries in row expressions"));
        }
        if left.is_empty() {
            return Err(PgError::new("0A000", "cannot compare rows of zero length"));
        }
        if !matches!(operator, "=" | "<>" | "<" | "<=" | ">" | ">=") {
            return Err(PgError::new(
                "0A000",
                format!("could not determine interpretation of row comparison operator {operator}"),
            )
            .with_hint(
                "Row comparison operators must be associated with btree operator families.",
            ));
        }
        let mut fields = Vec::new();
        for (one, other) in left.iter().zip(right) {
            let one = self.expr(one, scope, clause)?;
            let other = self.expr(other, scope, clause)?;
            let call = |bound: Expr| match bound {
                Expr::Call(call) => Ok(call),
                _ => Err(PgError::internal("an operator is a call")),
            };
            let equal = call(self.resolver().binary("=", one.clone(), other.clone())?)?;
            let compare = match operator {
                "<" | "<=" => Some(call(self.resolver().binary("<", one, other)?)?),
                ">" | ">=" => Some(call(self.resolver().binary(">", one, other)?)?),
                _ => None,
            };
            fields.push(RowField { equal, compare });
        }
        // Equality of rows is a conjunction; so it can prune shards and use indexes.
        match operator {
            "=" => {
                Ok(conjunction(fields.into_iter().map(|field| Expr::Call(field.equal)).collect()))
            }
            "<>" => Ok(Expr::Not(Box::new(conjunction(
                fields.into_iter().map(|field| Expr::Call(field.equal)).collect(),
            )))),
            _ => Ok(Expr::RowCompare { operator: operator.to_owned(), fields }),
        }
    }

    fn array(
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

    fn subscript(
        &mut self,
        array: &syntax::Expr,
        subscripts: &[Subscript],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let array = self.expr(array, scope, clause)?;
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
            return Err(PgError::new("0A000", "jsonb subscript does not support slices"));
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
                let expr = self.expr(expr, scope, clause)?;
                let ty = target(&expr);
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

    fn case(
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

    fn common_of(&mut self, exprs: &[Expr], word: &str) -> Result<TypeRef> {
        let common = match self.resolver().common_type(exprs, word)? {
            TypeId::UNKNOWN => TypeId::TEXT,
            other => other,
        };
        let first = exprs.first().map(Expr::type_ref);
        let alike = exprs.iter().all(|expr| Some(expr.type_ref()) == first);
        Ok(match first {
            Some(first) if alike && first.id == common => first,
            _ => TypeRef::plain(common),
        })
    }

    fn common(
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
fn row_fields(expr: &syntax::Expr) -> Option<&[syntax::Expr]> {
    match &expr.kind {
        ExprKind::Row(fields) => Some(fields),
        _ => None,
    }
}

pub(crate) fn conjunction(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) }
}

fn negate(expr: Expr) -> Expr {
    Expr::Not(Box::new(expr))
}

/// A number without quotes: int4, int8 or numeric, by its size and look.
fn number(text: &str) -> Result<Expr> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(value) = text.parse::<i32>() {
            // PostgreSQL reads the digits before the sign: -2147483648 is a bigint negated.
            if value != i32::MIN {
                return Ok(Expr::constant(Value::Int4(value), TypeId::INT4));
            }
        }
        if let Ok(value) = text.parse::<i64>()
            && value != i64::MIN
        {
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
