//! SELECT → the form's select.

use dataman_node_protocol::query::{
    self, Condition, NamedType, OutputField, SetOperation, SetOperationKind, Source,
};
use dataman_pg::expr::{Field, SortKey, SubqueryKind};
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::Clause;
use super::scope::{Scope, ScopeColumn};
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, OrderBy, SelectBody, SelectItem};
use crate::plan::form::output_columns;

impl Binder<'_> {
    /// Binds the statement itself.
    pub(crate) fn top_select(&mut self, select: &syntax::Select) -> Result<query::Select> {
        self.select(select, None)
    }

    /// Binds a select whose expressions may look into `parent`.
    pub(crate) fn select(
        &mut self,
        select: &syntax::Select,
        parent: Option<&Scope<'_>>,
    ) -> Result<query::Select> {
        self.subqueries.push(Vec::new());
        let mut common = Vec::new();
        let levels = self.range.len();
        self.range.push(Vec::new());
        let bound = match self.enter_with(select.with.as_ref(), &mut common, parent) {
            Ok(before) => {
                let bound = self.select_body(select, parent);
                self.leave_with(before);
                bound
            }
            Err(error) => Err(error),
        };
        self.range.truncate(levels);
        let subqueries = self.subqueries.pop().unwrap_or_default();
        let mut bound = bound?;
        bound.subqueries = subqueries;
        common.append(&mut bound.with);
        bound.with = common;
        Ok(bound)
    }

    /// Binds a select whose untyped literals take their type from where its rows go: a side of a set operation, the source
    /// of an INSERT.
    pub(crate) fn select_keeping_unknown(
        &mut self,
        select: &syntax::Select,
        parent: Option<&Scope<'_>>,
    ) -> Result<query::Select> {
        self.keep_unknown = matches!(&select.body, SelectBody::Query(_)) && select.with.is_none();
        let bound = self.select(select, parent);
        self.keep_unknown = false;
        bound
    }

    fn select_body(
        &mut self,
        select: &syntax::Select,
        parent: Option<&Scope<'_>>,
    ) -> Result<query::Select> {
        let mut scope = match parent {
            Some(parent) => Scope::child(parent),
            None => Scope::root(),
        };
        let mut bound = match &select.body {
            SelectBody::Query(query) => {
                let bound = self.query(query, select, &mut scope)?;
                self.locks(select, bound)?
            }
            SelectBody::Values(rows) => {
                let mut bound = self.values(rows, &scope)?;
                self.sort_output(select, &mut bound)?;
                bound
            }
            SelectBody::SetOperation { kind, all, left, right } => {
                if !select.locks.is_empty() {
                    return Err(PgError::new(
                        "0A000",
                        format!(
                            "FOR {} is not allowed with UNION/INTERSECT/EXCEPT",
                            select.locks[0].strength
                        ),
                    ));
                }
                let mut bound = self.set_operation(*kind, *all, left, right, parent)?;
                self.sort_output(select, &mut bound)?;
                bound
            }
        };
        bound.offset = self.limit(select.offset.as_ref(), &scope, "OFFSET")?;
        bound.limit = self.limit(select.limit.as_ref(), &scope, "LIMIT")?;
        bound.with_ties = select.with_ties;
        if select.with_ties
            && select.limit.as_ref().is_some_and(|limit| matches!(limit.kind, ExprKind::Null))
        {
            return Err(PgError::new(
                "2201W",
                "row count cannot be null in FETCH FIRST ... WITH TIES clause",
            ));
        }
        if bound.with_ties && bound.sort.is_empty() {
            return Err(PgError::new(
                "42601",
                "WITH TIES cannot be specified without ORDER BY clause",
            ));
        }
        Ok(bound)
    }

    fn locks(
        &mut self,
        select: &syntax::Select,
        mut bound: query::Select,
    ) -> Result<query::Select> {
        let [lock] = select.locks.as_slice() else {
            if select.locks.is_empty() {
                return Ok(bound);
            }
            return Err(PgError::unsupported(
                "several FOR UPDATE/SHARE clauses in one query are not supported",
            ));
        };
        let refused = |what: &str| {
            Err(PgError::new("0A000", format!("FOR {} is not allowed with {what}", lock.strength)))
        };
        if bound.group.is_some() {
            return refused("GROUP BY clause");
        }
        if bound.having.is_some() {
            return refused("HAVING clause");
        }
        if !bound.distinct.is_all() {
            return refused("DISTINCT clause");
        }
        let mut of = Vec::new();
        for name in &lock.of {
            let mut found = None;
            for source in &bound.source {
                crate::plan::form::each_own_source(source, &mut |source| {
                    if let Source::Collection { alias, .. } = source
                        && (alias == name || alias.starts_with(&format!("{name}_")))
                    {
                        found = Some(alias.clone());
                    }
                });
            }
            let Some(found) = found else {
                return Err(PgError::new(
                    "42P01",
                    format!(
                        "relation \"{name}\" in FOR {} clause not found in FROM clause",
                        lock.strength
                    ),
                ));
            };
            of.push(found);
        }
        bound.lock =
            Some(query::Lock { strength: lock.strength.clone(), of, wait: lock.wait.clone() });
        Ok(bound)
    }

    fn limit(
        &mut self,
        expr: Option<&syntax::Expr>,
        scope: &Scope<'_>,
        word: &'static str,
    ) -> Result<Option<Expr>> {
        let Some(expr) = expr else {
            return Ok(None);
        };
        let bound = self.expr(expr, scope, Clause::Limit(word))?;
        let ty = bound.type_id();
        let cast = self
            .resolver()
            .cast(bound, TypeRef::plain(TypeId::INT8), CastContext::Assignment)
            .map_err(|error| {
                if error.sqlstate() == "42846" || error.sqlstate() == "42804" {
                    PgError::new(
                        "42804",
                        format!(
                            "argument of {word} must be type bigint, not type {}",
                            self.type_name(ty)
                        ),
                    )
                } else {
                    error
                }
            });
        self.place(cast, expr.span).map(Some)
    }

    /// One `SELECT … FROM …` with the ORDER BY that stands around it.
    fn query(
        &mut self,
        query: &syntax::Query,
        around: &syntax::Select,
        scope: &mut Scope<'_>,
    ) -> Result<query::Select> {
        let keep_unknown = std::mem::take(&mut self.keep_unknown);
        let source = self.from(&query.from, scope)?;
        self.windows(query, scope)?;
        let around_list = std::mem::take(&mut self.listed_sets);
        self.is_grouped = query.group_by.is_some();
        let mut fields = self.select_items(&query.items, scope, Clause::SelectList)?;
        self.is_grouped = false;
        let listed = std::mem::replace(&mut self.listed_sets, around_list);
        let filter = match &query.filter {
            None => None,
            Some(filter) => {
                let bound = self.expr(filter, scope, Clause::Where)?;
                let bound = self.resolver().to_boolean(bound, "WHERE");
                Some(Condition::Expr(self.place(bound, filter.span)?))
            }
        };
        let having = match &query.having {
            None => None,
            Some(having) => {
                self.is_grouped = query.group_by.is_some();
                let bound = self.expr(having, scope, Clause::Having)?;
                self.is_grouped = false;
                let bound = self.resolver().to_boolean(bound, "HAVING");
                Some(self.place(bound, having.span)?)
            }
        };
        let sets = self.listed_sources(listed, &mut fields)?;
        let mut sort = self.order_by(&around.order_by, &mut fields, scope)?;
        let group = self.group_by(query, &mut fields, scope)?;
        let distinct = match &query.distinct {
            None => query::Distinct::All,
            Some(syntax::Distinct::Rows) => {
                self.decide_unknown(&mut fields)?;
                for field in &fields {
                    if let OutputField::Bound { expr, .. } = field {
                        self.check_sortable(expr.type_id(), "an equality operator")?;
                    }
                }
                for (place, key) in sort.iter().enumerate() {
                    let listed = fields
                        .iter()
                        .any(|field| matches!(field, OutputField::Bound { expr, .. } if *expr == key.expr));
                    if !listed {
                        let error = PgError::new(
                            "42P10",
                            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                        );
                        return Err(self.at(error, around.order_by[place].expr.span));
                    }
                }
                query::Distinct::Distinct
            }
            Some(syntax::Distinct::On(exprs)) => {
                let mut on = Vec::new();
                for expr in exprs {
                    let mut key = self.output_reference(
                        expr,
                        &fields,
                        scope,
                        "DISTINCT ON",
                        Clause::DistinctOn,
                    )?;
                    if key.type_id() == TypeId::UNKNOWN {
                        key = self.decided_with_outputs(key, &mut fields)?;
                    }
                    on.push(key);
                }
                for (place, key) in sort.iter().take(on.len()).enumerate() {
                    if !on.contains(&key.expr) {
                        let error = PgError::new(
                            "42P10",
                            "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                        );
                        return Err(self.at(error, around.order_by[place].expr.span));
                    }
                }
                query::Distinct::On(on)
            }
        };
        if !keep_unknown {
            self.decide_unknown(&mut fields)?;
        }
        for key in &mut sort {
            if key.expr.type_id() == TypeId::UNKNOWN {
                let taken = std::mem::replace(&mut key.expr, Expr::null(TypeId::TEXT));
                key.expr = self.resolver().cast(
                    taken,
                    TypeRef::plain(TypeId::TEXT),
                    CastContext::Implicit,
                )?;
            }
        }
        let mut source = source;
        self.mark_present(&mut source);
        let mut select = query::Select {
            source,
            filter,
            group: group.keys,
            grouping_sets: group.sets,
            having,
            fields,
            distinct,
            sort,
            ..query::Select::default()
        };
        if sets.is_empty() {
            self.check_grouping(&mut select, query)?;
            return Ok(select);
        }
        let mut is_computed_first = select.group.is_some() || select.having.is_some();
        for field in &select.fields {
            if let OutputField::Bound { expr, .. } = field {
                crate::plan::form::walk(expr, &mut |node| {
                    is_computed_first |=
                        matches!(node, Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_));
                });
            }
        }
        let set_aliases: Vec<&str> = sets.iter().filter_map(crate::plan::form::alias_of).collect();
        is_computed_first |= select.distinct.is_all()
            && !select.sort.is_empty()
            && !select.sort.iter().any(|key| {
                let mut reads = false;
                crate::plan::form::walk(&key.expr, &mut |node| {
                    reads |= matches!(
                        node,
                        Expr::Field(field) if set_aliases.contains(&field.source.as_str())
                    );
                });
                reads
            });
        if is_computed_first {
            return self.sets_behind(select, sets, query, around.with_ties);
        }
        select.source.extend(sets);
        self.check_grouping(&mut select, query)?;
        Ok(select)
    }

    /// The select list, or RETURNING.
    pub(crate) fn select_items(
        &mut self,
        items: &[SelectItem],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<OutputField>> {
        let mut fields = Vec::new();
        let star = |columns: &mut dyn Iterator<Item = &ScopeColumn>,
                    fields: &mut Vec<OutputField>| {
            fields.extend(columns.map(|column| OutputField::Bound {
                expr: column.expr.clone(),
                name: column.name.clone(),
            }));
        };
        for item in items {
            match item {
                SelectItem::Wildcard(span) => {
                    if scope.is_empty() {
                        return Err(self.at(
                            PgError::new("42601", "SELECT * with no tables specified is not valid"),
                            *span,
                        ));
                    }
                    star(&mut scope.items().iter().flat_map(|item| &item.columns), &mut fields);
                }
                SelectItem::QualifiedWildcard(name) => {
                    let (schema, table) = match name.parts.as_slice() {
                        [table] => (None, table),
                        [schema, table] => (Some(schema.as_str()), table),
                        _ => {
                            return Err(self
                                .at(PgError::new("42601", "improper qualified name"), name.span));
                        }
                    };
                    let found = scope.table(schema, table).map_err(|error| {
                        let error = match error.sqlstate() {
                            "42P01" => self.missing_table(table, scope),
                            _ => error,
                        };
                        self.at(error, name.span)
                    })?;
                    star(&mut found.columns.iter(), &mut fields);
                }
                SelectItem::Expr { expr, .. } if matches!(expr.kind, ExprKind::Expand(_)) => {
                    let parts = self.fields_of(expr, scope, clause)?;
                    let field = |(name, expr)| OutputField::Bound { expr, name };
                    fields.extend(parts.into_iter().map(field));
                }
                SelectItem::Expr { expr, alias } => {
                    let bound = self.expr(expr, scope, clause)?;
                    let name = alias
                        .clone()
                        .or_else(|| self.subquery_column_name(&bound).filter(|_| is_subquery(expr)))
                        .unwrap_or_else(|| column_name(expr));
                    fields.push(OutputField::Bound { expr: bound, name });
                }
            }
        }
        Ok(fields)
    }

    /// A scalar subquery, cast or not, gives its column's name.
    fn subquery_column_name(&self, bound: &Expr) -> Option<String> {
        match bound {
            Expr::Cast(cast) => self.subquery_column_name(&cast.arg),
            Expr::Case { otherwise, .. } => self.subquery_column_name(otherwise),
            Expr::Subscript { array, .. } => self.subquery_column_name(array),
            Expr::Subquery { index, kind: SubqueryKind::Scalar, .. } => {
                let select = self.subqueries.last()?.get(*index)?;
                output_columns(select).into_iter().next().map(|column| column.name)
            }
            _ => None,
        }
    }

    /// Literals and parameters that nothing gave a type are text in a result.
    pub(crate) fn decide_unknown(&mut self, fields: &mut [OutputField]) -> Result<()> {
        for field in fields {
            if let OutputField::Bound { expr, .. } = field
                && expr.type_id() == TypeId::UNKNOWN
            {
                let taken = std::mem::replace(expr, Expr::null(TypeId::TEXT));
                *expr = self.resolver().cast(
                    taken,
                    TypeRef::plain(TypeId::TEXT),
                    CastContext::Implicit,
                )?;
            }
        }
        Ok(())
    }

    /// A key of which nothing decides the type is text, and so is the output column that it is.
    pub(super) fn decided_with_outputs(
        &mut self,
        key: Expr,
        fields: &mut [OutputField],
    ) -> Result<Expr> {
        let text = TypeRef::plain(TypeId::TEXT);
        let decided = self.resolver().cast(key.clone(), text, CastContext::Implicit)?;
        for field in fields {
            if let OutputField::Bound { expr, .. } = field
                && *expr == key
            {
                *expr = decided.clone();
            }
        }
        Ok(decided)
    }

    /// ORDER BY of a plain query: output names first, then numbers, then expressions over the sources.
    fn order_by(
        &mut self,
        keys: &[OrderBy],
        fields: &mut [OutputField],
        scope: &Scope<'_>,
    ) -> Result<Vec<SortKey>> {
        let mut sort = Vec::new();
        for key in keys {
            let mut expr =
                self.output_reference(&key.expr, fields, scope, "ORDER BY", Clause::OrderBy)?;
            if expr.type_id() == TypeId::UNKNOWN {
                expr = self.decided_with_outputs(expr, fields)?;
            }
            let sortable = self.check_sortable(expr.type_id(), "an ordering operator");
            self.place(sortable, key.expr.span)?;
            sort.push(sort_key(expr, key));
        }
        Ok(sort)
    }

    /// An expression of ORDER BY or DISTINCT ON, which may name an output column or its number.
    fn output_reference(
        &mut self,
        expr: &syntax::Expr,
        fields: &[OutputField],
        scope: &Scope<'_>,
        word: &str,
        clause: Clause,
    ) -> Result<Expr> {
        if let ExprKind::Column(parts) = &expr.kind
            && let [name] = parts.as_slice()
        {
            let mut found: Option<&Expr> = None;
            for field in fields {
                let OutputField::Bound { expr: output, name: output_name } = field else {
                    continue;
                };
                if output_name != name {
                    continue;
                }
                if found.is_some_and(|found| found != output) {
                    return Err(self.at(
                        PgError::new("42702", format!("{word} \"{name}\" is ambiguous")),
                        expr.span,
                    ));
                }
                found = Some(output);
            }
            if let Some(found) = found {
                return Ok(found.clone());
            }
        }
        if let Some(place) = self.output_number(expr, fields.len(), word)?
            && let Some(OutputField::Bound { expr, .. }) = fields.get(place)
        {
            return Ok(expr.clone());
        }
        self.expr(expr, scope, clause)
    }

    /// The place that a bare number means; any other constant is an error, as in PostgreSQL.
    pub(crate) fn output_number(
        &self,
        expr: &syntax::Expr,
        columns: usize,
        word: &str,
    ) -> Result<Option<usize>> {
        match &expr.kind {
            ExprKind::Number(text) => {
                let number: Option<usize> = text.parse().ok();
                match number {
                    Some(number) if (1..=columns).contains(&number) => Ok(Some(number - 1)),
                    Some(_) => {
                        let error = PgError::new(
                            "42P10",
                            format!("{word} position {text} is not in select list"),
                        );
                        Err(self.at(error, expr.span))
                    }
                    None => Err(self.at(
                        PgError::new("42601", format!("non-integer constant in {word}")),
                        expr.span,
                    )),
                }
            }
            ExprKind::String(_) | ExprKind::Null | ExprKind::Bool(_) => Err(self
                .at(PgError::new("42601", format!("non-integer constant in {word}")), expr.span)),
            _ => Ok(None),
        }
    }

    /// ORDER BY of VALUES and set operations: output names and numbers only.
    fn sort_output(&mut self, select: &syntax::Select, bound: &mut query::Select) -> Result<()> {
        let outputs = output_columns(bound);
        for key in &select.order_by {
            let place = match &key.expr.kind {
                ExprKind::Column(parts) if parts.len() == 1 => {
                    outputs.iter().position(|output| output.name == parts[0]).ok_or_else(|| {
                        self.at(
                            PgError::new(
                                "42703",
                                format!("column \"{}\" does not exist", parts[0]),
                            ),
                            key.expr.span,
                        )
                    })?
                }
                _ => match self.output_number(&key.expr, outputs.len(), "ORDER BY")? {
                    Some(place) => place,
                    None => {
                        let error = PgError::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                            .with_detail("Only result column names can be used, not expressions or functions.")
                            .with_hint(
                                "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                            );
                        return Err(self.at(error, key.expr.span));
                    }
                },
            };
            self.check_sortable(outputs[place].ty.id, "an ordering operator")?;
            let expr = if bound.union.is_empty() {
                match &bound.fields[place] {
                    OutputField::Bound { expr, .. } => expr.clone(),
                    OutputField::Named(_) => {
                        return Err(PgError::internal("a bound select has bound fields"));
                    }
                }
            } else {
                Expr::Column { index: place, ty: outputs[place].ty }
            };
            bound.sort.push(sort_key(expr, key));
        }
        Ok(())
    }

    /// VALUES as a select over a source of its own.
    pub(crate) fn values(
        &mut self,
        rows: &[Vec<syntax::Expr>],
        scope: &Scope<'_>,
    ) -> Result<query::Select> {
        let mut width = None;
        let mut bound: Vec<Vec<Expr>> = Vec::new();
        for row in rows {
            let exprs = self.expanded(row, scope, Clause::Values)?;
            if exprs.len() != *width.get_or_insert(exprs.len()) {
                let error = PgError::new("42601", "VALUES lists must all be the same length");
                return Err(
                    self.at(error, row.first().map_or_else(Default::default, |expr| expr.span))
                );
            }
            bound.push(exprs);
        }
        let width = width.unwrap_or_default();
        if width == 0 {
            return Err(PgError::unsupported("VALUES without columns is not supported"));
        }
        let alias = self.unique_alias("values");
        let mut columns = Vec::new();
        for column in 0..width {
            let exprs: Vec<Expr> = bound.iter().map(|row| row[column].clone()).collect();
            let ty = self.common_output_type(&exprs, "VALUES")?;
            for row in &mut bound {
                let taken = std::mem::replace(&mut row[column], Expr::null(TypeId::UNKNOWN));
                row[column] = self.resolver().cast(taken, ty, CastContext::Implicit)?;
            }
            columns.push(NamedType { name: format!("column{}", column + 1), ty });
        }
        let fields = columns
            .iter()
            .map(|column| OutputField::Bound {
                expr: Expr::Field(Field {
                    source: alias.clone(),
                    name: column.name.clone(),
                    ty: column.ty,
                }),
                name: column.name.clone(),
            })
            .collect();
        Ok(query::Select {
            source: vec![Source::Values { rows: bound, alias, columns }],
            fields,
            ..query::Select::default()
        })
    }

    /// The common type of expressions that become one output column; text when nothing decides.
    fn common_output_type(&mut self, exprs: &[Expr], construct: &str) -> Result<TypeRef> {
        let common = self.resolver().common_type(exprs, construct)?;
        if common == TypeId::UNKNOWN {
            return Ok(TypeRef::plain(TypeId::TEXT));
        }
        super::whole::check_same_rows(exprs, construct)?;
        let first = exprs.first().map(Expr::type_ref);
        let alike = exprs.iter().all(|expr| Some(expr.type_ref()) == first);
        Ok(match first {
            Some(first) if alike && first.id == common => first,
            _ => TypeRef::plain(common),
        })
    }

    fn set_operation(
        &mut self,
        kind: syntax::SetOperationKind,
        all: bool,
        left: &syntax::Select,
        right: &syntax::Select,
        parent: Option<&Scope<'_>>,
    ) -> Result<query::Select> {
        let (kind, word) = match kind {
            syntax::SetOperationKind::Union => (SetOperationKind::Union, "UNION"),
            syntax::SetOperationKind::Intersect => (SetOperationKind::Intersect, "INTERSECT"),
            syntax::SetOperationKind::Except => (SetOperationKind::Except, "EXCEPT"),
        };
        let left = self.select_keeping_unknown(left, parent)?;
        let right = self.select_keeping_unknown(right, parent)?;
        let (left_columns, right_columns) = (output_columns(&left), output_columns(&right));
        if left_columns.len() != right_columns.len() {
            return Err(PgError::new(
                "42601",
                format!("each {word} query must have the same number of columns"),
            ));
        }
        let mut types = Vec::new();
        for (place, (one, other)) in left_columns.iter().zip(&right_columns).enumerate() {
            let pair =
                [output_type_probe(&left, place, one), output_type_probe(&right, place, other)];
            let ty = self.common_output_type(&pair, word)?;
            if !(kind == SetOperationKind::Union && all) {
                self.check_sortable(ty.id, "an equality operator")?;
            }
            types.push(ty);
        }
        let mut left = self.retyped(left, &types)?;
        let mut right = self.retyped(right, &types)?;
        if plain_tail(&right) && right.union.is_empty() {
            right.sort.clear();
        } else {
            right = self.wrapped(right)?;
        }
        // What the first side's own expressions refer to stays with it.
        let flat = plain_tail(&left) && left.with.is_empty() && left.subqueries.is_empty();
        if !flat {
            left = self.wrapped(left)?;
        }
        left.union.push(SetOperation { kind, all, query: Box::new(right) });
        Ok(left)
    }

    /// Casts a select's outputs to the given types.
    fn retyped(&mut self, mut select: query::Select, types: &[TypeRef]) -> Result<query::Select> {
        if select.union.is_empty() {
            // What nothing gave a type yet takes it where it stands.
            for (field, ty) in select.fields.iter_mut().zip(types) {
                if let OutputField::Bound { expr, .. } = field
                    && expr.type_id() == TypeId::UNKNOWN
                {
                    let taken = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
                    *expr = self.resolver().cast(taken, *ty, CastContext::Implicit)?;
                }
            }
        }
        let same = output_columns(&select).iter().zip(types).all(|(column, ty)| column.ty == *ty);
        if same {
            return Ok(select);
        }
        let simple = select.union.is_empty() && select.distinct.is_all() && select.sort.is_empty();
        if !simple {
            select = self.wrapped(select)?;
        }
        for (field, ty) in select.fields.iter_mut().zip(types) {
            if let OutputField::Bound { expr, .. } = field {
                let taken = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
                // A length that only one side has is forgotten.
                let context = match taken.type_id() == ty.id {
                    true => CastContext::Explicit,
                    false => CastContext::Implicit,
                };
                *expr = self.resolver().cast(taken, *ty, context)?;
            }
        }
        Ok(select)
    }

    /// `SELECT * FROM (select)`: so that an order or limit inside stays inside.
    fn wrapped(&mut self, select: query::Select) -> Result<query::Select> {
        let alias = self.unique_alias("part");
        let given = syntax::Alias { name: alias.clone(), columns: Vec::new() };
        let columns = super::from::named_columns(&select, &given)?;
        let names: Vec<String> =
            output_columns(&select).into_iter().map(|column| column.name).collect();
        let fields = columns
            .iter()
            .zip(names)
            .map(|(column, name)| OutputField::Bound {
                expr: Expr::Field(Field {
                    source: alias.clone(),
                    name: column.name.clone(),
                    ty: column.ty,
                }),
                name,
            })
            .collect();
        Ok(query::Select {
            source: vec![Source::Query { query: Box::new(select), alias, columns, lateral: false }],
            fields,
            ..query::Select::default()
        })
    }

    /// A key of GROUP BY: input columns first, then output names, then numbers.
    pub(super) fn group_key(
        &mut self,
        expr: &syntax::Expr,
        fields: &mut [OutputField],
        scope: &Scope<'_>,
    ) -> Result<(Expr, Option<usize>)> {
        let mut output = None;
        if let ExprKind::Column(parts) = &expr.kind
            && let [name] = parts.as_slice()
            && scope
                .items()
                .iter()
                .flat_map(|item| &item.columns)
                .all(|column| column.name != *name)
        {
            output = fields.iter().enumerate().find_map(|(place, field)| match field {
                OutputField::Bound { expr, name: found } if found == name => {
                    Some((expr.clone(), Some(place)))
                }
                _ => None,
            });
        }
        if output.is_none()
            && let Some(place) = self.output_number(expr, fields.len(), "GROUP BY")?
            && let Some(OutputField::Bound { expr, .. }) = fields.get(place)
        {
            output = Some((expr.clone(), Some(place)));
        }
        let (bound, place) = match output {
            Some((found, place)) => {
                let mut aggregate = false;
                crate::plan::form::walk(&found, &mut |node| {
                    aggregate |= matches!(node, Expr::Aggregate(_))
                });
                if aggregate {
                    let error =
                        PgError::new("42803", "aggregate functions are not allowed in GROUP BY");
                    return Err(self.at(error, expr.span));
                }
                (found, place)
            }
            None => {
                let bound = self.expr(expr, scope, Clause::GroupBy)?;
                let same = |field: &OutputField| matches!(field, OutputField::Bound { expr, .. } if *expr == bound);
                let place = fields.iter().position(same);
                (bound, place)
            }
        };
        if bound.type_id() == TypeId::UNKNOWN {
            return Ok((self.decided_with_outputs(bound, fields)?, place));
        }
        Ok((bound, place))
    }
}

/// Nothing stands behind the select that would apply to the whole set operation instead.
fn plain_tail(select: &query::Select) -> bool {
    select.sort.is_empty()
        && select.limit.is_none()
        && select.offset.is_none()
        && !select.with_ties
        && select.lock.is_none()
}

/// An expression that stands for an output column where types are compared.
fn output_type_probe(select: &query::Select, place: usize, column: &NamedType) -> Expr {
    match select.fields.get(place) {
        Some(OutputField::Bound { expr, .. }) if select.union.is_empty() => expr.clone(),
        _ => Expr::Column { index: place, ty: column.ty },
    }
}

pub(super) fn sort_key(expr: Expr, key: &OrderBy) -> SortKey {
    SortKey {
        expr,
        descending: key.descending,
        nulls_first: key.nulls_first.unwrap_or(key.descending),
    }
}

/// Whether what an expression is named after is a scalar subquery, not a row compared with one.
fn is_subquery(expr: &syntax::Expr) -> bool {
    match &expr.kind {
        ExprKind::Subquery(_) => true,
        ExprKind::Cast { arg, .. } => is_subquery(arg),
        ExprKind::Case { otherwise, .. } => otherwise.as_deref().is_some_and(is_subquery),
        ExprKind::Subscript { array, .. } => is_subquery(array),
        _ => false,
    }
}

/// The name PostgreSQL gives an output column without an alias.
pub(crate) fn column_name(expr: &syntax::Expr) -> String {
    figure_name(expr).1
}

/// The name and how strongly it is meant: a cast's type name gives way to anything better.
fn figure_name(expr: &syntax::Expr) -> (u8, String) {
    let strong = |name: &str| (2, name.to_owned());
    match &expr.kind {
        ExprKind::Column(parts) => strong(parts.last().map_or("?column?", String::as_str)),
        ExprKind::FieldOf(_, name) => strong(name),
        ExprKind::WholeRow(parts) => strong(parts.last().map_or("?column?", String::as_str)),
        ExprKind::Expand(_) => (0, "?column?".to_owned()),
        ExprKind::Subscript { array, .. } => figure_name(array),
        ExprKind::Function(call) => {
            strong(call.name.parts.last().map_or("?column?", String::as_str))
        }
        ExprKind::Special(name, _) => strong(name),
        ExprKind::Coalesce(_) => strong("coalesce"),
        ExprKind::NullIf(..) => strong("nullif"),
        ExprKind::Extreme(true, _) => strong("greatest"),
        ExprKind::Extreme(false, _) => strong("least"),
        ExprKind::Grouping(_) => strong("grouping"),
        ExprKind::Exists(_) => strong("exists"),
        ExprKind::ArraySubquery(_) | ExprKind::Array(_) => strong("array"),
        ExprKind::Row(_) | ExprKind::NamedRow(..) => strong("row"),
        ExprKind::Collate(arg, _) => figure_name(arg),
        ExprKind::Cast { arg, ty } => {
            let inner = figure_name(arg);
            if inner.0 > 1 { inner } else { (1, ty.name.parts.last().cloned().unwrap_or_default()) }
        }
        ExprKind::TypedString(ty, _) => (1, ty.name.parts.last().cloned().unwrap_or_default()),
        ExprKind::Case { otherwise, .. } => match otherwise.as_deref().map(figure_name) {
            Some(inner) if inner.0 == 2 => inner,
            _ => (1, "case".to_owned()),
        },
        ExprKind::Subquery(select) => subquery_name(select),
        _ => (0, "?column?".to_owned()),
    }
}

/// The name of a subquery's one column.
fn subquery_name(select: &syntax::Select) -> (u8, String) {
    match &select.body {
        SelectBody::Query(query) => match query.items.first() {
            Some(SelectItem::Expr { alias: Some(alias), .. }) => (2, alias.clone()),
            Some(SelectItem::Expr { expr, alias: None }) => figure_name(expr),
            _ => (0, "?column?".to_owned()),
        },
        SelectBody::Values(_) => (2, "column1".to_owned()),
        SelectBody::SetOperation { left, .. } => subquery_name(left),
    }
}
