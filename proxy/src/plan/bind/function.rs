//! Function calls and aggregates.

use dataman_pg::catalog;
use dataman_pg::expr::{Aggregate, Call, SortKey};
use dataman_pg::resolve::{CastContext, ResolvedFunction};
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::expr::Clause;
use super::scope::{FromItem, Scope};
use super::select::sort_key;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, FunctionArg, FunctionCall, OrderBy, Span};
use crate::parse::walk::Visitor;
use crate::plan::form::{for_each_expr, for_each_select, walk};
use crate::plan::safety;

impl Binder<'_> {
    pub(crate) fn call(
        &mut self,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
        span: Span,
    ) -> Result<Expr> {
        let bound = self.call_inner(call, scope, clause);
        self.place(bound, span)
    }

    fn call_inner(
        &mut self,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let full = call.name.parts.join(".");
        let name = match call.name.parts.as_slice() {
            [name] => name,
            [schema, name] if schema == "pg_catalog" => name,
            // The one function of the information schema that drivers call.
            _ if full == "information_schema._pg_expandarray" => &full,
            [schema, _]
                if schema == "information_schema" || self.database.schemas.contains_key(schema) =>
            {
                return Err(self.no_function(call, scope, clause));
            }
            [schema, _] => {
                return Err(PgError::new("3F000", format!("schema \"{schema}\" does not exist")));
            }
            _ => {
                return Err(PgError::new(
                    "42601",
                    "improper qualified name (too many dotted names)",
                ));
            }
        };
        if let Some(answered) = self.answered_here(name, call, scope, clause)? {
            return Ok(answered);
        }
        let aggregate_like =
            catalog::functions_named(name).iter().any(|function| function.kind == 'a');
        let argument_clause =
            if aggregate_like && call.over.is_none() { Clause::AggregateArgument } else { clause };
        let mut args = Vec::new();
        let mut names = Vec::new();
        for arg in &call.args {
            args.push(self.expr(&arg.value, scope, argument_clause)?);
            names.push(arg.name.clone());
        }
        let keys = call.within_group.iter().map(|key| &key.expr);
        check_collations(call.args.iter().map(|arg| &arg.value).chain(keys))
            .map_err(|(error, span)| self.at(error, span))?;
        if name == "pg_collation_for" && collates(call) {
            return Err(PgError::unsupported("pg_collation_for over COLLATE is not supported"));
        }
        let ordered_set = !call.within_group.is_empty();
        let mut within = Vec::new();
        if ordered_set {
            for key in &call.within_group {
                let expr = self.expr(&key.expr, scope, Clause::AggregateArgument)?;
                args.push(expr.clone());
                within.push(sort_key(expr, key));
            }
            names.extend(within.iter().map(|_| None));
        }
        if call.star && !call.args.is_empty() {
            return Err(PgError::new("42601", "syntax error at or near \"*\""));
        }
        let found = match self.resolver().function(name, args.clone(), &names, call.variadic) {
            Ok(found) => found,
            Err(error) => {
                if let ([arg], None, false) = (args.as_slice(), &call.over, aggregate_like)
                    && let Some(cast) = self.resolver().function_cast(name, arg)
                {
                    return Ok(cast);
                }
                // A row's field may be written as a function of the row.
                if let [row] = args.as_slice()
                    && row.type_id() == TypeId::RECORD
                    && let Some(fields) = self.row_shape(row)
                    && let Some(place) = fields.iter().position(|field| field.name == *name)
                {
                    self.facts.internal = true;
                    return Ok(super::whole::part(row, place, fields[place].ty));
                }
                return Err(if error.sqlstate() == "42883" && call.star {
                    PgError::new("42883", format!("function {name}() does not exist"))
                        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
                } else {
                    error
                });
            }
        };
        self.check_star(call, &found)?;
        match (found.function.kind, &call.over) {
            ('p', _) => Err(PgError::new("42809", format!("{name} is a procedure"))
                .with_hint("To call a procedure, use CALL.")),
            (_, Some(over)) => self.window(call, found, over, scope, clause),
            ('a', None) => self.aggregate(call, found, within, scope, clause),
            ('w', None) => Err(PgError::new(
                "42809",
                format!("window function {name} requires an OVER clause"),
            )),
            (_, None) => self.plain(call, found, clause),
        }
    }

    pub(super) fn no_function(
        &mut self,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> PgError {
        let types: Vec<String> = call
            .args
            .iter()
            .map(|arg| match self.expr(&arg.value, scope, clause) {
                Ok(expr) => self.type_name(expr.type_id()),
                Err(_) => "unknown".to_owned(),
            })
            .collect();
        PgError::new("42883", format!("function {}({}) does not exist", call.name.parts.join("."), types.join(", ")))
            .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    }

    fn check_star(&self, call: &FunctionCall, found: &ResolvedFunction) -> Result<()> {
        let name = found.function.name;
        if found.function.kind == 'a'
            && call.args.is_empty()
            && !call.star
            && call.within_group.is_empty()
        {
            return Err(PgError::new(
                "42809",
                format!("{name}(*) must be used to call a parameterless aggregate function"),
            ));
        }
        if found.function.kind == 'f' {
            let refused = |what: &str| {
                Err(PgError::new(
                    "42809",
                    format!("{what} specified, but {name} is not an aggregate function"),
                ))
            };
            if call.star && call.over.is_none() {
                return Err(PgError::new(
                    "42809",
                    format!("{name}(*) specified, but {name} is not an aggregate function"),
                ));
            }
            if call.distinct {
                return refused("DISTINCT");
            }
            if !call.order_by.is_empty() {
                return refused("ORDER BY");
            }
            if call.filter.is_some() {
                return refused("FILTER");
            }
            if !call.within_group.is_empty() {
                return refused("WITHIN GROUP");
            }
            if call.over.is_some() {
                return Err(PgError::new(
                    "42809",
                    format!(
                        "OVER specified, but {name} is not a window function nor an aggregate function"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn plain(
        &mut self,
        call: &FunctionCall,
        found: ResolvedFunction,
        clause: Clause,
    ) -> Result<Expr> {
        let function = found.function;
        safety::check_function(function)?;
        let in_list = function.returns_set && clause == Clause::SelectList;
        if function.returns_set && !in_list && clause != Clause::FromFunction {
            return Err(PgError::unsupported(format!(
                "the set-returning function {} is only supported in FROM and the SELECT list",
                function.name
            )));
        }
        self.facts.internal |= safety::is_about_server(function);
        match function.volatility {
            'v' => self.facts.volatile = true,
            's' => self.facts.internal = true,
            _ => {}
        }
        let bound = Call {
            function: function.id,
            operator: None,
            args: found.args,
            variadic: found.variadic,
            ty: found.ty,
        };
        if in_list && call.over.is_none() {
            return self.set_in_list(bound, function.name);
        }
        Ok(Expr::Call(bound))
    }

    fn aggregate(
        &mut self,
        call: &FunctionCall,
        mut found: ResolvedFunction,
        mut within: Vec<SortKey>,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let name = found.function.name;
        let kind = catalog::aggregate(found.function.id).map_or('n', |aggregate| aggregate.kind);
        match (kind, within.is_empty()) {
            ('n', true) | ('o' | 'h', false) => {}
            ('n', false) => {
                let message = format!(
                    "{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP"
                );
                return Err(PgError::new("42809", message));
            }
            (_, _) => {
                let message = format!("WITHIN GROUP is required for ordered-set aggregate {name}");
                return Err(PgError::new("42809", message));
            }
        }
        if kind == 'h' {
            self.match_hypothetical(name, &mut found.args, within.len())?;
        }
        // What is sorted has the type that the aggregate takes.
        let sorted = found.args.split_off(found.args.len().saturating_sub(within.len()));
        for (key, expr) in within.iter_mut().zip(sorted) {
            key.expr = self.decided(expr)?;
            self.check_sortable(key.expr.type_id(), "an ordering operator")?;
        }
        let probe = Aggregate {
            function: found.function.id,
            args: found.args.clone(),
            distinct: false,
            order_by: within.clone(),
            filter: None,
            ty: found.ty,
        };
        let is_outer = self.is_of_query_around(&probe, scope)?;
        if clause == Clause::AggregateArgument && !is_outer || clause == Clause::Filter && is_outer
        {
            return Err(PgError::new("42803", "aggregate function calls cannot be nested"));
        }
        if let (false, Some(word)) = (is_outer, clause.refuses_aggregates()) {
            return Err(PgError::new(
                "42803",
                format!("aggregate functions are not allowed in {word}"),
            ));
        }
        let filter = match &call.filter {
            None => None,
            Some(filter) => {
                let bound = self.expr(filter, scope, Clause::Filter)?;
                Some(self.resolver().to_boolean(bound, "FILTER")?)
            }
        };
        let mut order_by = self.sort_keys(&call.order_by, scope, Clause::AggregateArgument)?;
        if !within.is_empty() {
            if call.distinct || !order_by.is_empty() {
                return Err(PgError::unsupported(
                    "DISTINCT and ORDER BY beside WITHIN GROUP are not supported",
                ));
            }
            order_by = within;
        }
        if call.distinct {
            if call.star {
                return Err(PgError::new(
                    "42809",
                    "DISTINCT specified, but the aggregate has no arguments",
                ));
            }
            for arg in &mut found.args {
                let taken = std::mem::replace(arg, Expr::null(TypeId::TEXT));
                *arg = self.decided(taken)?;
                self.check_sortable(arg.type_id(), "an equality operator")?;
            }
            for key in &mut order_by {
                // What stands there may have been converted for the aggregate.
                let is_same = |arg: &&Expr| match arg {
                    Expr::Cast(cast) if !cast.explicit => cast.arg == key.expr,
                    _ => false,
                };
                if let Some(arg) = found.args.iter().find(is_same) {
                    key.expr = arg.clone();
                }
                if !found.args.contains(&key.expr) {
                    return Err(PgError::new(
                        "42P10",
                        "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
                    ));
                }
            }
        }
        let aggregate = Aggregate {
            function: found.function.id,
            args: found.args,
            distinct: call.distinct,
            order_by,
            filter,
            ty: found.ty,
        };
        if self.is_of_query_around(&aggregate, scope)? {
            let call = Expr::Aggregate(Box::new(aggregate.clone()));
            self.check_around(&call, scope)?;
            let mut has_subquery = false;
            walk(&call, &mut |node| has_subquery |= matches!(node, Expr::Subquery { .. }));
            if has_subquery {
                return Err(PgError::unsupported(
                    "a subquery in an aggregate that belongs to a query around is not supported",
                )
                .with_hint("Aggregate a column of a query in FROM."));
            }
        } else if let (true, Some(word)) = (is_outer, clause.refuses_aggregates()) {
            return Err(PgError::new(
                "42803",
                format!("aggregate functions are not allowed in {word}"),
            ));
        }
        Ok(Expr::Aggregate(Box::new(aggregate)))
    }

    /// Gives each direct argument of a hypothetical-set aggregate and what it is compared with their common type.
    fn match_hypothetical(&mut self, name: &str, args: &mut [Expr], sorted: usize) -> Result<()> {
        let direct = args.len() - sorted;
        if direct != sorted {
            let types: Vec<String> = args.iter().map(|arg| self.type_name(arg.type_id())).collect();
            return Err(PgError::new(
                "42883",
                format!("function {name}({}) does not exist", types.join(", ")),
            )
            .with_hint(format!(
                "To use the hypothetical-set aggregate {name}, the number of hypothetical direct arguments (here \
                 {direct}) must match the number of ordering columns (here {sorted})."
            )));
        }
        for place in 0..direct {
            let pair = [args[direct + place].clone(), args[place].clone()];
            let ty = self.common_of(&pair, "WITHIN GROUP")?;
            for (at, arg) in [direct + place, place].into_iter().zip(pair) {
                args[at] = self.resolver().cast(arg, ty, CastContext::Implicit)?;
            }
        }
        Ok(())
    }

    /// Checks that an aggregate or GROUPING of a query around may stand where the query that it is in stands there.
    pub(super) fn check_around(&mut self, call: &Expr, scope: &Scope<'_>) -> Result<()> {
        let mut columns = Vec::new();
        let subqueries = self.subqueries.last().map(Vec::as_slice).unwrap_or_default();
        walk(call, &mut |node| match node {
            Expr::Field(_) => columns.push(node.clone()),
            Expr::Subquery { index, .. } => {
                if let Some(subquery) = subqueries.get(*index) {
                    for_each_select(subquery, &mut |select| {
                        for_each_expr(select, &mut |expr| {
                            walk(expr, &mut |node| {
                                if matches!(node, Expr::Field(_)) {
                                    columns.push(node.clone());
                                }
                            });
                        });
                    });
                }
            }
            _ => {}
        });
        let what = match call {
            Expr::Grouping(_) => "grouping operations",
            _ => "aggregate functions",
        };
        let refused =
            |place: &str| Err(PgError::new("42803", format!("{what} are not allowed in {place}")));
        self.facts.internal = true;
        match scope.owner_of(&columns) {
            None => Ok(()),
            Some(None) => refused("FROM clause of their own query level"),
            Some(Some(Clause::AggregateArgument)) => {
                Err(PgError::new("42803", "aggregate function calls cannot be nested"))
            }
            Some(Some(clause)) => match clause.refuses_aggregates() {
                Some(word) => refused(word),
                None => Ok(()),
            },
        }
    }

    /// Whether an aggregate belongs to a query around this one: its arguments, subqueries in them included, read queries
    /// around and not this one.
    fn is_of_query_around(&self, aggregate: &Aggregate, scope: &Scope<'_>) -> Result<bool> {
        let mut levels = scope.levels();
        let own = levels.pop().unwrap_or_default();
        if levels.is_empty() {
            return Ok(false);
        }
        let subqueries = self.subqueries.last().map(Vec::as_slice).unwrap_or_default();
        // Whether an expression reads this query, and one around.
        let reads = |expr: &Expr| {
            let (mut reads_own, mut reads_around) = (false, false);
            let mut see = |node: &Expr| {
                if matches!(node, Expr::Field(_)) {
                    let is_own = has_column(&own, node);
                    reads_own |= is_own;
                    reads_around |= !is_own && levels.iter().any(|level| has_column(level, node));
                }
            };
            walk(expr, &mut |node| {
                see(node);
                if let Expr::Subquery { index, .. } = node
                    && let Some(subquery) = subqueries.get(*index)
                {
                    for_each_select(subquery, &mut |select| {
                        for_each_expr(select, &mut |expr| walk(expr, &mut |node| see(node)));
                    });
                }
            });
            (reads_own, reads_around)
        };
        // The direct arguments of an ordered-set aggregate do not count.
        let is_ordered_set = dataman_pg::aggregate::is_ordered_set(aggregate.function);
        let (direct, args) = if is_ordered_set {
            (aggregate.args.as_slice(), &[][..])
        } else {
            (&[][..], aggregate.args.as_slice())
        };
        let sorted = aggregate.order_by.iter().map(|key| &key.expr);
        let (mut reads_own, mut reads_around) = (false, false);
        for arg in args.iter().chain(sorted).chain(aggregate.filter.as_ref()) {
            let (own, around) = reads(arg);
            reads_own |= own;
            reads_around |= around;
        }
        let is_around = reads_around && !reads_own;
        if is_around && direct.iter().any(|arg| reads(arg).0) {
            return Err(PgError::new(
                "42803",
                "outer-level aggregate cannot contain a lower-level variable in its direct arguments",
            ));
        }
        Ok(is_around)
    }

    pub(super) fn sort_keys(
        &mut self,
        keys: &[OrderBy],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Vec<SortKey>> {
        let mut bound = Vec::new();
        for key in keys {
            let expr = self.expr(&key.expr, scope, clause)?;
            let expr = self.decided(expr)?;
            self.check_sortable(expr.type_id(), "an ordering operator")?;
            bound.push(sort_key(expr, key));
        }
        Ok(bound)
    }

    /// Whether a call's arguments are literals, or nobody else can answer it.
    fn is_answered_at_once(&self, call: &FunctionCall) -> bool {
        let is_text = |arg: &FunctionArg| matches!(arg.value.kind, ExprKind::String(_));
        call.args.iter().all(is_text) || self.context.context.objects.is_none()
    }

    /// Functions that the proxy itself answers: sequences, and what it knows of the session.
    fn answered_here(
        &mut self,
        name: &str,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Option<Expr>> {
        let text = |value: &str, ty: TypeId| Some(Expr::constant(Value::text(value), ty));
        let plain = call.over.is_none() && !call.star && !call.distinct;
        if self.context.shows && !name.ends_with("val") {
            return Ok(None);
        }
        match name {
            "nextval" | "currval" | "lastval" | "setval" if plain => {
                self.sequence_function(name, call, scope, clause).map(Some)
            }
            "pg_get_serial_sequence"
                if plain && call.args.len() == 2 && self.is_answered_at_once(call) =>
            {
                self.facts.internal = true;
                Ok(Some(match self.serial_sequence(call, scope, clause)? {
                    Some(sequence) => Expr::constant(Value::text(sequence), TypeId::TEXT),
                    None => Expr::null(TypeId::TEXT),
                }))
            }
            "current_database" if plain && call.args.is_empty() => {
                self.facts.internal = true;
                Ok(text(self.context.database, TypeId::NAME))
            }
            "current_schema" if plain && call.args.is_empty() => {
                self.facts.internal = true;
                Ok(match self.context.search_path.first() {
                    Some(schema) => text(schema, TypeId::NAME),
                    None => Some(Expr::null(TypeId::NAME)),
                })
            }
            "pg_typeof" if plain && call.args.len() == 1 => {
                let arg = self.expr(&call.args[0].value, scope, clause)?;
                let ty = arg.type_id();
                if ty.is_user() && self.context.context.objects.is_none()
                    || form_has_aggregate(&arg)
                {
                    return Err(PgError::unsupported(
                        "pg_typeof of this expression is not supported",
                    ));
                }
                Ok(Some(Expr::constant(Value::Oid(ty.0), TypeId::REGTYPE)))
            }
            _ => Ok(None),
        }
    }
}

/// Whether COLLATE stands in a call's arguments.
fn collates(call: &FunctionCall) -> bool {
    struct Seek(bool);
    impl Visitor for Seek {
        fn expr(&mut self, expr: &syntax::Expr) {
            self.0 |= matches!(expr.kind, syntax::ExprKind::Collate(..));
        }
    }
    let mut seek = Seek(false);
    call.args.iter().for_each(|arg| crate::parse::walk::walk_expr(&arg.value, &mut seek));
    seek.0
}

/// The explicit collations of expressions that are compared or called together must agree.
pub(super) fn check_collations<'e>(
    exprs: impl IntoIterator<Item = &'e syntax::Expr>,
) -> std::result::Result<(), (PgError, Span)> {
    struct Seek(Option<String>, Option<(PgError, Span)>);
    impl Visitor for Seek {
        fn expr(&mut self, expr: &syntax::Expr) {
            let syntax::ExprKind::Collate(_, name) = &expr.kind else { return };
            let name = name.parts.last().cloned().unwrap_or_default();
            match &self.0 {
                Some(first) if *first != name && self.1.is_none() => {
                    let message = format!(
                        "collation mismatch between explicit collations \"{first}\" and \"{name}\""
                    );
                    self.1 = Some((PgError::new("42P21", message), expr.span));
                }
                Some(_) => {}
                None => self.0 = Some(name),
            }
        }
    }
    let mut seek = Seek(None, None);
    for expr in exprs {
        // A collation counts through the operators and calls around it.
        let mut inner = expr;
        loop {
            match &inner.kind {
                syntax::ExprKind::Collate(..) => {
                    seek.expr(inner);
                    break;
                }
                syntax::ExprKind::Binary { left, .. } => inner = left,
                _ => break,
            }
        }
    }
    seek.1.map_or(Ok(()), Err)
}

/// Whether a column of FROM is this expression, or reads it.
fn has_column(level: &[FromItem], node: &Expr) -> bool {
    level
        .iter()
        .flat_map(|item| item.tables.iter().flat_map(|table| &table.columns).chain(&item.columns))
        .any(|column| {
            let mut found = false;
            walk(&column.expr, &mut |inner| found |= inner == node);
            found
        })
}

/// Whether an expression computes an aggregate or a window function, which make a query what it is.
fn form_has_aggregate(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| found |= matches!(node, Expr::Aggregate(_) | Expr::Window(_)));
    found
}
