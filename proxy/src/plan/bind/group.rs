//! Grouping: what may stand outside an aggregate, and named windows.

use std::collections::HashSet;

use dataman_metadata::schema::ConstraintKind;
use dataman_node_protocol::query::{self, OutputField, Source};
use dataman_pg::expr::Field;
use dataman_pg::{Expr, PgError, Value};

use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax;
use crate::parse::walk::{Visitor, walk_expr};
use crate::plan::form::{each_own_source, for_each_expr, for_each_select, walk};

impl Binder<'_> {
    /// Named windows are put in place where they are used; here they are checked, also those that nothing uses.
    pub(crate) fn windows(&mut self, query: &syntax::Query, scope: &Scope<'_>) -> Result<()> {
        for (place, (name, _)) in query.windows.iter().enumerate() {
            if query.windows[..place].iter().any(|(other, _)| other == name) {
                return Err(PgError::new("42P20", format!("window \"{name}\" is already defined")));
            }
        }
        self.named_windows.clone_from(&query.windows);
        let subqueries = self.subqueries.last().map_or(0, Vec::len);
        for place in 0..query.windows.len() {
            self.check_named_window(place, scope)?;
        }
        if let Some(list) = self.subqueries.last_mut() {
            list.truncate(subqueries);
        }
        Ok(())
    }

    /// What a key's subquery computes may stand elsewhere too: two that are volatile are not known to be the same.
    fn check_keys_known(&self, keys: &[Expr]) -> Result<()> {
        let volatile = self.volatile_subqueries();
        match (keys.iter().any(|key| has_subquery_of(key, &volatile)), self.compares_rows) {
            (false, false) => Ok(()),
            (true, _) => Err(PgError::unsupported(
                "GROUP BY a volatile subquery beside expressions that read ungrouped columns is not supported",
            )),
            // The row may be one of group keys.
            (false, true) => Err(PgError::unsupported(
                "comparing a row of ungrouped columns with the row of a subquery is not supported",
            )),
        }
    }

    /// Whether an expression has no part that differs from row to row of the query's own sources.
    fn reads_nothing(&self, key: &Expr, own: &HashSet<String>) -> bool {
        let subqueries = self.subqueries.last().map(Vec::as_slice).unwrap_or_default();
        if folds_to_constant(key) {
            return true;
        }
        let mut reads = false;
        walk(key, &mut |node| match node {
            Expr::Field(_) | Expr::Column { .. } => reads = true,
            Expr::Subquery { index, .. } => {
                let Some(subquery) = subqueries.get(*index) else { return };
                for_each_select(subquery, &mut |inner| {
                    for_each_expr(inner, &mut |expr| {
                        walk(expr, &mut |node| {
                            reads |=
                                matches!(node, Expr::Field(field) if own.contains(&field.source));
                        });
                    });
                });
            }
            _ => {}
        });
        !reads
    }

    /// The places of the query's subqueries that call volatile functions.
    pub(super) fn volatile_subqueries(&self) -> HashSet<usize> {
        let subqueries = self.subqueries.last().into_iter().flatten().enumerate();
        subqueries
            .filter(|(_, subquery)| crate::plan::apply::is_volatile(subquery))
            .map(|(index, _)| index)
            .collect()
    }

    /// Refuses a key's subquery in HAVING or in a part of an expression: there PostgreSQL 15 computes it once more after the rows are grouped,
    /// from columns that are NULL in some sets. And volatile ones beside a key that is one: they are not known to be the same.
    fn check_subqueries_of_sets(&self, select: &query::Select, keys: &[Expr]) -> Result<()> {
        let mut of_keys = HashSet::new();
        for key in keys {
            walk(key, &mut |node| {
                if let Expr::Subquery { index, .. } = node {
                    of_keys.insert(*index);
                }
            });
        }
        let volatile = self.volatile_subqueries();
        if !of_keys.is_disjoint(&volatile) {
            of_keys.extend(volatile);
        }
        let mut found = false;
        for_each_own_output(select, &mut |expr| {
            found |= !keys.contains(expr) && has_subquery_of(expr, &of_keys);
        });
        found |= select.having.as_ref().is_some_and(|having| has_subquery_of(having, &of_keys));
        if select.grouping_sets.is_none() || !found {
            return Ok(());
        }
        Err(PgError::unsupported(
            "grouping sets with a subquery as a key and in HAVING or a part of an expression are not supported",
        )
        .with_hint("Make the key a column of a query in FROM."))
    }

    /// Keys that have no order are grouped by hash, which cannot be where an aggregate wants its rows in order.
    fn check_hashed(&self, select: &mut query::Select, keys: &[Expr]) -> Result<()> {
        let has_no_order =
            |key: &Expr| self.check_sortable(key.type_id(), "an ordering operator").is_err();
        let mut sorts = false;
        for_each_own_output(select, &mut |expr| {
            walk(expr, &mut |node| {
                sorts |= matches!(node, Expr::Aggregate(one) if one.distinct || !one.order_by.is_empty());
            });
        });
        if sorts && keys.iter().any(has_no_order) {
            return Err(PgError::new("0A000", "could not implement GROUP BY").with_detail(
                "Some of the datatypes only support hashing, while others only support sorting.",
            ));
        }
        Ok(())
    }

    /// Finds out whether the query groups, and refuses fields outside of aggregates that are not group keys (`42803`).
    /// Fields that the primary key among the keys decides become keys themselves.
    pub(crate) fn check_grouping(
        &mut self,
        select: &mut query::Select,
        query: &syntax::Query,
    ) -> Result<()> {
        let mut aggregates = false;
        let own = own_aliases(select);
        for_each_own_output(select, &mut |expr| {
            walk(expr, &mut |node| aggregates |= self.is_own_call(node, &own));
        });
        for subquery in self.subqueries.last().into_iter().flatten() {
            let inside = aliases_inside(subquery);
            for_each_select(subquery, &mut |inner| {
                for_each_expr(inner, &mut |expr| {
                    walk(expr, &mut |node| aggregates |= is_call_over(node, &own, &inside));
                });
            });
        }
        if select.group.is_none() && !aggregates && select.having.is_none() {
            return Ok(());
        }
        self.check_recursive_term(select, query, aggregates)?;
        let mut keys = select.group.take().unwrap_or_default();
        self.check_grouping_calls(select, &keys)?;
        if select.grouping_sets.is_some() {
            check_direct_arguments(select)?;
        }
        // What the keys decide, they must decide in every set.
        let common: Vec<Expr> = match &select.grouping_sets {
            None => keys.clone(),
            Some(sets) => keys
                .iter()
                .enumerate()
                .filter(|(place, _)| sets.iter().all(|set| set.contains(place)))
                .map(|(_, key)| key.clone())
                .collect(),
        };
        if keys.iter().any(|key| !common.contains(key) && self.reads_nothing(key, &own)) {
            // PostgreSQL 15 computes it before it groups and then shows it in the rows of other sets too; a constant it takes for
            // the same in all sets where it sorts, or looks for what is distinct.
            return Err(PgError::unsupported(
                "grouping sets with a key that reads no column are not supported",
            )
            .with_hint("Leave the key out, or make it a column of a query in FROM."));
        }
        self.check_subqueries_of_sets(select, &keys)?;
        self.check_hashed(select, &keys)?;
        let determined = self.determined_aliases(select, &common);

        let mut offending: Option<Field> = None;
        let mut added: Vec<Expr> = Vec::new();
        for_each_own_output(select, &mut |expr| {
            ungrouped(expr, &keys, &own, &mut |field| {
                if determined.contains(&field.source) {
                    let expr = Expr::Field(field.clone());
                    if !added.contains(&expr) {
                        added.push(expr);
                    }
                } else if offending.is_none() {
                    offending = Some(field.clone());
                }
            });
        });
        if let Some(field) = offending {
            self.check_keys_known(&keys)?;
            let visible = visible_name(&field, query);
            let error = PgError::new(
                "42803",
                format!(
                    "column \"{visible}\" must appear in the GROUP BY clause or be used in an aggregate function"
                ),
            );
            return Err(self.at(error, find_span(query, &field.name)));
        }
        // Subqueries in the outputs may look at group keys only.
        let mut inner_offending: Option<Field> = None;
        for subquery in self.subqueries.last().into_iter().flatten() {
            let inside = aliases_inside(subquery);
            for_each_select(subquery, &mut |inner| {
                for_each_expr(inner, &mut |expr| {
                    outside_calls(expr, &own, &inside, &mut |node| {
                        if let Expr::Field(field) = node
                            && own.contains(&field.source)
                            && !keys.contains(node)
                            && !determined.contains(&field.source)
                            && inner_offending.is_none()
                        {
                            inner_offending = Some(field.clone());
                        }
                    });
                });
            });
        }
        if let Some(field) = inner_offending
            && !self.only_in_filter(select, &keys, &field)
        {
            self.check_keys_known(&keys)?;
            let visible = visible_name(&field, query);
            let message = format!("subquery uses ungrouped column \"{visible}\" from outer query");
            let span = find_qualified(query, &visible);
            return Err(self.at(PgError::new("42803", message), span));
        }
        for set in select.grouping_sets.iter_mut().flatten() {
            set.extend(keys.len()..keys.len() + added.len());
        }
        keys.extend(added);
        let has_subqueries = self.subqueries.last().is_some_and(|list| !list.is_empty());
        let is_shown = self.context.shows;
        if keys.is_empty()
            && !aggregates
            && select.grouping_sets.is_none()
            && !has_subqueries
            && !is_shown
        {
            // One group, of whatever rows there are: none is read, and no condition on them computed.
            let sources = std::mem::take(&mut select.source);
            let unread = query::Select { source: sources, ..query::Select::default() };
            self.forget(&unread);
            select.filter = None;
            self.facts.internal = true;
        }
        select.group = Some(keys);
        Ok(())
    }

    /// Whether a node is an aggregate or GROUPING of this query, not one of a query around.
    fn is_own_call(&self, node: &Expr, own: &HashSet<String>) -> bool {
        if !matches!(node, Expr::Aggregate(_) | Expr::Grouping(_)) {
            return false;
        }
        let (mut reads, mut reads_own) = (false, false);
        let subqueries = self.subqueries.last().map(Vec::as_slice).unwrap_or_default();
        walk(node, &mut |part| match part {
            Expr::Field(field) => {
                reads = true;
                reads_own |= own.contains(&field.source);
            }
            // What it reads of this query's own rows.
            Expr::Subquery { index, .. } => {
                if let Some(subquery) = subqueries.get(*index) {
                    for_each_select(subquery, &mut |inner| {
                        for_each_expr(inner, &mut |expr| {
                            walk(expr, &mut |part| {
                                reads_own |= matches!(part, Expr::Field(field) if own.contains(&field.source));
                            });
                        });
                    });
                }
            }
            _ => {}
        });
        reads_own || !reads
    }

    /// Refuses aggregates beside a table that reads itself.
    fn check_recursive_term(
        &self,
        select: &query::Select,
        query: &syntax::Query,
        aggregates: bool,
    ) -> Result<()> {
        let mut is_recursive = false;
        for source in &select.source {
            each_own_source(source, &mut |source| {
                is_recursive |= matches!(
                    source,
                    Source::CommonTable { name, .. } if self.recursing.contains(name)
                );
            });
        }
        if !is_recursive || !aggregates {
            return Ok(());
        }
        let message = "aggregate functions are not allowed in a recursive query's recursive term";
        Err(self.at(PgError::new("42P19", message), first_aggregate(query)))
    }

    /// Whether all subqueries that read the field stand where rows are not grouped yet: in WHERE, in FROM, in an aggregate's
    /// arguments or in a key.
    fn only_in_filter(&self, select: &query::Select, keys: &[Expr], field: &Field) -> bool {
        let subqueries = self.subqueries.last().map(Vec::as_slice).unwrap_or_default();
        let own = own_aliases(select);
        let reads = |index: usize| {
            let mut found = false;
            if let Some(subquery) = subqueries.get(index) {
                let inside = aliases_inside(subquery);
                for_each_select(subquery, &mut |inner| {
                    for_each_expr(inner, &mut |expr| {
                        outside_calls(expr, &own, &inside, &mut |node| {
                            found |= matches!(node, Expr::Field(f) if f == field)
                        })
                    });
                });
            }
            found
        };
        let mut outside = false;
        for_each_own_output(select, &mut |expr| {
            outside_aggregates(expr, keys, &mut |index| outside |= reads(index));
        });
        !outside
    }

    /// The sources whose primary key is among the keys.
    fn determined_aliases(&self, select: &query::Select, keys: &[Expr]) -> HashSet<String> {
        let mut determined = HashSet::new();
        for source in &select.source {
            each_own_source(source, &mut |source| {
                let Source::Collection { alias, .. } = source else {
                    return;
                };
                let Some(table) = self.tables.get(alias) else {
                    return;
                };
                let primary = table.collection.constraints.iter().find_map(|constraint| {
                    match &constraint.kind {
                        ConstraintKind::PrimaryKey { fields } => Some(fields),
                        _ => None,
                    }
                });
                let covered = primary.is_some_and(|fields| {
                    fields.iter().all(|name| {
                        keys.iter()
                            .any(|key| matches!(key, Expr::Field(field) if field.source == *alias && field.name == *name))
                    })
                });
                if covered {
                    determined.insert(alias.clone());
                }
            });
        }
        determined
    }
}

/// Refuses keys as direct arguments of ordered-set aggregates, which would be NULL in the sets without them.
fn check_direct_arguments(select: &query::Select) -> Result<()> {
    let mut reads = false;
    for_each_own_output(select, &mut |expr| {
        walk(expr, &mut |node| {
            if let Expr::Aggregate(call) = node
                && dataman_pg::aggregate::is_ordered_set(call.function)
            {
                for arg in &call.args {
                    walk(arg, &mut |node| reads |= matches!(node, Expr::Field(_)));
                }
            }
        });
    });
    if !reads {
        return Ok(());
    }
    Err(PgError::unsupported(
        "a key as direct argument of an ordered-set aggregate is not supported with grouping sets",
    ))
}

/// Whether expressions read sources, and all of them are among these.
pub(super) fn is_over(exprs: &[Expr], own: &HashSet<String>) -> bool {
    let (mut reads, mut all) = (false, true);
    for expr in exprs {
        walk(expr, &mut |node| {
            if let Expr::Field(field) = node {
                reads = true;
                all &= own.contains(&field.source);
            }
        });
    }
    reads && all
}

/// The sources of a query and of all queries inside it.
fn aliases_inside(query: &query::Select) -> HashSet<String> {
    let mut aliases = HashSet::new();
    crate::plan::form::for_each_source(query, &mut |source| {
        aliases.extend(crate::plan::form::alias_of(source).map(str::to_owned));
    });
    aliases
}

/// Whether a node in a query inside, of which `inside` are the sources, is an aggregate or GROUPING of the query around it that
/// has the sources `own`.
fn is_call_over(node: &Expr, own: &HashSet<String>, inside: &HashSet<String>) -> bool {
    if !matches!(node, Expr::Aggregate(_) | Expr::Grouping(_)) {
        return false;
    }
    let (mut reads_own, mut reads_inside) = (false, false);
    walk(node, &mut |part| {
        if let Expr::Field(field) = part {
            reads_own |= own.contains(&field.source);
            reads_inside |= inside.contains(&field.source);
        }
    });
    reads_own && !reads_inside
}

/// Calls `visit` on the nodes of a query inside that stand outside of aggregates and GROUPING of the query around it.
fn outside_calls(
    expr: &Expr,
    own: &HashSet<String>,
    inside: &HashSet<String>,
    visit: &mut dyn FnMut(&Expr),
) {
    if is_call_over(expr, own, inside) {
        return;
    }
    visit(expr);
    expr.for_each_child(&mut |child| outside_calls(child, own, inside, visit));
}

/// The expressions of a select that see groups.
fn for_each_own_output<'a>(select: &'a query::Select, visit: &mut dyn FnMut(&'a Expr)) {
    for field in &select.fields {
        if let OutputField::Bound { expr, .. } = field {
            visit(expr);
        }
    }
    select.having.iter().for_each(&mut *visit);
    if let query::Distinct::On(exprs) = &select.distinct {
        exprs.iter().for_each(&mut *visit);
    }
    select.sort.iter().for_each(|key| visit(&key.expr));
}

/// The aliases of a select's own sources.
pub(crate) fn own_aliases(select: &query::Select) -> HashSet<String> {
    let mut aliases = HashSet::new();
    for source in &select.source {
        each_own_source(source, &mut |source| {
            aliases.extend(crate::plan::form::alias_of(source).map(str::to_owned));
        });
    }
    aliases
}

/// Calls `visit` on fields of `own` that stand outside of aggregates and group keys.
fn ungrouped(expr: &Expr, keys: &[Expr], own: &HashSet<String>, visit: &mut dyn FnMut(&Field)) {
    if keys.contains(expr) {
        return;
    }
    match expr {
        // The direct arguments of an ordered-set aggregate are the same for the whole group.
        Expr::Aggregate(call) if dataman_pg::aggregate::is_ordered_set(call.function) => {
            call.args.iter().for_each(|arg| ungrouped(arg, keys, own, visit));
        }
        Expr::Aggregate(_) | Expr::Grouping(_) => {}
        Expr::Field(field) if own.contains(&field.source) => visit(field),
        _ => expr.for_each_child(&mut |child| ungrouped(child, keys, own, visit)),
    }
}

/// Calls `visit` on the subqueries outside of aggregates and group keys.
fn outside_aggregates(expr: &Expr, keys: &[Expr], visit: &mut dyn FnMut(usize)) {
    if keys.contains(expr) {
        return;
    }
    match expr {
        Expr::Aggregate(_) => {}
        Expr::Subquery { index, .. } => {
            visit(*index);
            expr.for_each_child(&mut |child| outside_aggregates(child, keys, visit));
        }
        _ => expr.for_each_child(&mut |child| outside_aggregates(child, keys, visit)),
    }
}

/// A field as the statement calls it, with its table's name.
fn visible_name(field: &Field, query: &syntax::Query) -> String {
    fn names(table: &syntax::TableRef, found: &mut Vec<String>) {
        match table {
            syntax::TableRef::Table { name, alias, .. } => found.push(alias.as_ref().map_or_else(
                || name.parts.last().cloned().unwrap_or_default(),
                |alias| alias.name.clone(),
            )),
            syntax::TableRef::Subquery { alias, .. } | syntax::TableRef::Function { alias, .. } => {
                found.extend(alias.as_ref().map(|alias| alias.name.clone()));
            }
            syntax::TableRef::Join { left, right, .. } => {
                names(left, found);
                names(right, found);
            }
        }
    }
    let mut visible = Vec::new();
    query.from.iter().for_each(|table| names(table, &mut visible));
    let name = visible
        .iter()
        .filter(|name| field.source == **name || field.source.starts_with(&format!("{name}_")))
        .max_by_key(|name| name.len())
        .cloned()
        .unwrap_or_else(|| field.source.clone());
    format!("{name}.{}", field.name)
}

/// Where the first aggregate of a select list stands.
fn first_aggregate(query: &syntax::Query) -> syntax::Span {
    struct Seek(Option<syntax::Span>);
    impl Visitor for Seek {
        fn expr(&mut self, expr: &syntax::Expr) {
            if let (None, syntax::ExprKind::Function(call)) = (self.0, &expr.kind)
                && call.over.is_none()
                && let Some(name) = call.name.parts.last()
                && dataman_pg::catalog::functions_named(name).iter().any(|found| found.kind == 'a')
            {
                self.0 = Some(expr.span);
            }
        }
    }
    let mut seek = Seek(None);
    for item in &query.items {
        if let syntax::SelectItem::Expr { expr, .. } = item {
            walk_expr(expr, &mut seek);
        }
    }
    seek.0.unwrap_or_default()
}

/// Where a column is first named in the select list or HAVING.
fn find_span(query: &syntax::Query, name: &str) -> syntax::Span {
    find_column(query, &|parts| parts.last().is_some_and(|last| last == name))
}

/// Where `table.column` is first named so in the select list or HAVING, also in a subquery.
fn find_qualified(query: &syntax::Query, visible: &str) -> syntax::Span {
    find_column(query, &|parts| parts.join(".") == visible)
}

fn find_column(query: &syntax::Query, is_it: &dyn Fn(&[String]) -> bool) -> syntax::Span {
    struct Seek<'n>(&'n dyn Fn(&[String]) -> bool, Option<syntax::Span>);
    impl Visitor for Seek<'_> {
        fn expr(&mut self, expr: &syntax::Expr) {
            if let (None, syntax::ExprKind::Column(parts)) = (self.1, &expr.kind)
                && (self.0)(parts)
            {
                self.1 = Some(expr.span);
            }
        }
    }
    let mut seek = Seek(is_it, None);
    for item in &query.items {
        if let syntax::SelectItem::Expr { expr, .. } = item {
            walk_expr(expr, &mut seek);
        }
    }
    if let Some(having) = &query.having {
        walk_expr(having, &mut seek);
    }
    seek.1.unwrap_or_default()
}

/// Whether an expression has one of these subqueries; what GROUPING names is not computed.
pub(super) fn has_subquery_of(expr: &Expr, places: &HashSet<usize>) -> bool {
    match expr {
        Expr::Grouping(_) => false,
        Expr::Subquery { index, .. } if places.contains(index) => true,
        _ => {
            let mut found = false;
            expr.for_each_child(&mut |child| found |= has_subquery_of(child, places));
            found
        }
    }
}

/// Whether PostgreSQL's planner makes a constant of an expression that reads columns: `x OR true`, `x + NULL`.
fn folds_to_constant(expr: &Expr) -> bool {
    let is = |expr: &Expr, wanted: bool| matches!(expr, Expr::Const(one) if one.value == Value::Bool(wanted));
    let is_null = |expr: &Expr| matches!(expr, Expr::Const(one) if one.value.is_null());
    match expr {
        Expr::Const(_) => true,
        Expr::Or(parts) => parts.iter().any(|part| is(part, true)),
        Expr::And(parts) => parts.iter().any(|part| is(part, false)),
        Expr::Not(arg) => folds_to_constant(arg),
        Expr::Cast(cast) => folds_to_constant(&cast.arg),
        Expr::Is { arg, .. } => folds_to_constant(arg),
        Expr::Call(call) => {
            let strict = dataman_pg::catalog::function(call.function).is_some_and(|it| it.strict);
            strict && call.args.iter().any(is_null) || call.args.iter().all(folds_to_constant)
        }
        Expr::Coalesce { args, .. } => {
            args.iter().find(|arg| !is_null(arg)).is_none_or(folds_to_constant)
        }
        Expr::Case { branches, otherwise, .. } => {
            let reached = branches.iter().find(|(when, _)| !is(when, false) && !is_null(when));
            match reached {
                Some((when, then)) => is(when, true) && folds_to_constant(then),
                None => folds_to_constant(otherwise),
            }
        }
        _ => false,
    }
}
