//! Subqueries that are joins: EXISTS, IN and their like among the conditions of WHERE, and correlated aggregates.
//!
//! ```text
//!  WHERE EXISTS (SELECT … FROM t WHERE t.k = o.k AND p)     o ⋉ (SELECT k FROM t WHERE p)
//!  WHERE x NOT IN (SELECT y FROM t)                         o ▷ t, where a NULL may be anything
//!  (SELECT sum(y) FROM t WHERE t.k = o.k AND p)             o ⟕ (SELECT k, sum(y) FROM t WHERE p GROUP BY k)
//! ```
//!
//! PostgreSQL joins the first kind as well. The last it computes for each row that reaches it: here all groups are computed at
//! once, so only what cannot fail is.

use std::collections::{BTreeMap, BTreeSet};

use dataman_node_protocol::query::{Condition, Distinct, JoinKind, NamedType, Select, Source};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Field, IsTest, SubqueryKind};
use dataman_pg::{Expr, TypeId, Value, catalog};

use super::Planner;
use super::apply::{applied, comparison, equality, has_subquery, is_volatile};
use super::condition::{self, Fields};
use super::distribution::filter_conjuncts;
use super::form::{self, each_node_mut, output_columns, replace, walk};
use super::joining::Joining;
use super::select::{drop_unused_subqueries, is_uncorrelated, output_exprs};
use super::sources::all_of;
use super::split::{aggregates_of, has_window, named};

/// A subquery whose rows are expected to be more is joined; those of others become a list, with which the shards can do more.
const LIST_ROWS: f64 = 50_000.0;

/// A subquery as a join that gives rows of one side.
#[derive(Debug)]
pub(super) struct Semi {
    /// [`Joining::Semi`], [`Joining::Anti`] or [`Joining::NotIn`].
    pub(super) kind: Joining,
    /// The subquery.
    pub(super) source: Source,
    /// When a row has a partner.
    pub(super) on: Vec<Expr>,
}

impl Semi {
    /// The fields of other sources that it reads.
    pub(super) fn outer(&self) -> Fields {
        let mut fields = Fields::new();
        self.on.iter().for_each(|condition| condition::read(condition, &mut fields));
        let own = form::alias_of(&self.source);
        fields.retain(|(source, _)| Some(source.as_str()) != own);
        fields
    }
}

/// A subquery whose conditions that read the rows around it are taken out of it.
struct Apart {
    inner: Select,
    outer: Vec<Expr>,
    own: BTreeSet<String>,
}

/// The columns of a subquery that is a source.
struct Lifted {
    alias: String,
    own: BTreeSet<String>,
    fields: Vec<Expr>,
}

impl Lifted {
    /// The column that an expression of the subquery is.
    fn column(&mut self, expr: &Expr) -> Expr {
        let place = self.fields.iter().position(|known| known == expr).unwrap_or_else(|| {
            self.fields.push(expr.clone());
            self.fields.len() - 1
        });
        let (source, name) = (self.alias.clone(), format!("c{place}"));
        Expr::Field(Field { source, name, ty: expr.type_ref() })
    }

    /// An expression whose fields of the subquery are columns of the source.
    fn lift(&mut self, expr: &Expr) -> Expr {
        let own = self.own.clone();
        replace(expr, &mut |node| match node {
            Expr::Field(field) if own.contains(&field.source) => Some(self.column(node)),
            _ => None,
        })
    }

    fn source(self, query: Select) -> Source {
        let query = Select { fields: named(&self.fields), ..query };
        derived(self.alias, query)
    }
}

impl Planner<'_> {
    fn fresh_alias(&mut self) -> String {
        self.derived += 1;
        format!("subquery {}", self.derived)
    }

    /// Takes the conditions of WHERE that are joins out of a select.
    pub(super) fn take_semis(&mut self, select: &mut Select) -> Vec<Semi> {
        if select.source.is_empty() || !select.union.is_empty() || select.subqueries.is_empty() {
            return Vec::new();
        }
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        let (mut semis, mut rest) = (Vec::new(), Vec::new());
        for condition in conditions {
            match self.semi(condition, &select.subqueries) {
                Some(semi) => semis.push(semi),
                None => rest.push(condition.clone()),
            }
        }
        if !semis.is_empty() {
            select.filter = (!rest.is_empty()).then(|| Condition::Expr(all_of(rest)));
            drop_unused_subqueries(select);
        }
        semis
    }

    /// The subqueries of WHERE that are better joined than turned into a list.
    pub(super) fn large_lists(&self, select: &Select) -> BTreeSet<usize> {
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        let is_large = |condition: &Expr| {
            let (index, kind, negated) = tested(condition)?;
            let subquery = select.subqueries.get(index)?;
            let SubqueryKind::Compare { all, left, operators } = kind else { return None };
            let joins = self.joins(subquery)
                && is_uncorrelated(subquery)
                && is_equal_test(*all, negated, operators)
                && compares_alike(left, subquery)
                && left.iter().all(|left| !has_subquery(left) && !condition::is_volatile(left));
            (joins && self.select_rows(subquery) > LIST_ROWS).then_some(index)
        };
        conditions.into_iter().filter_map(is_large).collect()
    }

    /// Whether a subquery may be computed apart from the rows around it.
    fn joins(&self, subquery: &Select) -> bool {
        !is_volatile(subquery)
            && !super::recurse::reads_table_around(subquery)
            && subquery.lock.is_none()
            && subquery.with.is_empty()
    }

    /// A condition as a join, if it is one.
    fn semi(&mut self, condition: &Expr, subqueries: &[Select]) -> Option<Semi> {
        let (index, kind, negated) = tested(condition)?;
        let subquery = subqueries.get(index)?;
        if !self.joins(subquery) {
            return None;
        }
        match kind {
            SubqueryKind::Exists => self.exists(subquery, negated),
            SubqueryKind::Compare { all, left, operators } => {
                let usable = |left: &Expr| !has_subquery(left) && !condition::is_volatile(left);
                if !left.iter().all(usable) || *all && negated {
                    return None;
                }
                if is_uncorrelated(subquery) {
                    self.of_list(subquery, (*all, negated), left, operators)
                } else {
                    self.compared(subquery, (*all, negated), left, operators)
                }
            }
            SubqueryKind::Scalar | SubqueryKind::Array => None,
        }
    }

    fn exists(&mut self, subquery: &Select, negated: bool) -> Option<Semi> {
        let at_least_one = match &subquery.limit {
            None => true,
            Some(Expr::Const(constant)) => {
                matches!(constant.value, Value::Int8(limit) if limit > 0)
            }
            _ => false,
        };
        if !at_least_one || has_window(subquery) {
            return None;
        }
        let apart = apart(&Select { limit: None, ..subquery.clone() })?;
        let mut lifted = self.lifted(apart.own);
        let on: Vec<Expr> = apart.outer.iter().map(|condition| lifted.lift(condition)).collect();
        if lifted.fields.is_empty() {
            return None;
        }
        let mut inner = apart.inner;
        if on.iter().all(|condition| equality(condition).is_some())
            && self.is_worth_distinct(&inner, &lifted.fields)
        {
            inner.distinct = Distinct::Distinct;
        }
        let kind = if negated { Joining::Anti } else { Joining::Semi };
        Some(Semi { kind, source: lifted.source(inner), on })
    }

    /// `x IN (SELECT y …)` and `x NOT IN (SELECT y …)` of a subquery that reads nothing of the rows around.
    fn of_list(
        &mut self,
        subquery: &Select,
        (all, negated): (bool, bool),
        left: &[Expr],
        operators: &[dataman_pg::expr::OperatorId],
    ) -> Option<Semi> {
        let is_large = left.len() > 1 || self.select_rows(subquery) > LIST_ROWS;
        if !is_large || !is_equal_test(all, negated, operators) || !compares_alike(left, subquery) {
            return None;
        }
        let differs = all || negated;
        if differs && left.len() != 1 {
            return None;
        }
        let alias = self.fresh_alias();
        let mut query = subquery.clone();
        if query.limit.is_none()
            && query.offset.is_none()
            && !matches!(query.distinct, Distinct::On(_))
        {
            query.sort.clear();
        }
        let source = derived(alias.clone(), query);
        let Source::Query { columns, .. } = &source else { return None };
        let on = left
            .iter()
            .zip(columns)
            .map(|(left, column)| {
                let field =
                    Field { source: alias.clone(), name: column.name.clone(), ty: column.ty };
                equal(left.clone(), Expr::Field(field))
            })
            .collect::<Option<Vec<_>>>()?;
        let kind = if differs { Joining::NotIn } else { Joining::Semi };
        Some(Semi { kind, source, on })
    }

    /// `x IN (SELECT y … WHERE …)` and its like of a subquery that reads the rows around: PostgreSQL computes it for each of
    /// them, so nothing of it may fail.
    fn compared(
        &mut self,
        subquery: &Select,
        (all, negated): (bool, bool),
        left: &[Expr],
        operators: &[dataman_pg::expr::OperatorId],
    ) -> Option<Semi> {
        let is_on = matches!(subquery.distinct, Distinct::On(_));
        if subquery.limit.is_some() || is_on || has_window(subquery) {
            return None;
        }
        let outputs = output_exprs(subquery);
        let apart = apart(subquery)?;
        let mut lifted = self.lifted(apart.own);
        let mut on: Vec<Expr> =
            apart.outer.iter().map(|condition| lifted.lift(condition)).collect();
        if !on.iter().any(|condition| equality(condition).is_some()) {
            return None;
        }
        let types: Vec<_> = outputs.iter().map(Expr::type_ref).collect();
        let test = comparison(left, &types, operators).ok()?;
        let outputs: Vec<Expr> = outputs.iter().map(|expr| lifted.lift(expr)).collect();
        let test = replace(&test, &mut |node| match node {
            Expr::Column { index, .. } => match index.checked_sub(left.len()) {
                None => left.get(*index).cloned(),
                Some(index) => outputs.get(index).cloned(),
            },
            _ => None,
        });
        let is_test = |test: Expr, against: IsTest| Expr::Is {
            arg: Box::new(test),
            test: against,
            negated: true,
        };
        let (kind, test) = match (all, negated) {
            (false, false) => (Joining::Semi, test),
            (false, true) => (Joining::Anti, is_test(test, IsTest::False)),
            _ => (Joining::Anti, is_test(test, IsTest::True)),
        };
        on.push(test);
        let surely = on.iter().all(|condition| self.surely(condition))
            && self.conditions_surely(&apart.inner);
        if !surely || lifted.fields.is_empty() {
            return None;
        }
        Some(Semi { kind, source: lifted.source(apart.inner), on })
    }

    fn lifted(&mut self, own: BTreeSet<String>) -> Lifted {
        Lifted { alias: self.fresh_alias(), own, fields: Vec::new() }
    }

    /// Whether much fewer rows differ in some columns than there are.
    fn is_worth_distinct(&self, inner: &Select, fields: &[Expr]) -> bool {
        let rows = self.select_rows(inner);
        let grouped = Select { group: Some(fields.to_vec()), ..inner.clone() };
        rows > LIST_ROWS / 10.0 && self.select_rows(&grouped) * 4.0 < rows
    }

    /// Joins the aggregates that a select's expressions compute for each row, and what else can be looked up by groups.
    pub(super) fn join_groups(&mut self, select: &mut Select) {
        if select.source.is_empty()
            || !select.union.is_empty()
            || select.subqueries.is_empty()
            || super::select::keeps_order_of_source(select)
        {
            return;
        }
        let subqueries = select.subqueries.clone();
        let mut found: BTreeMap<usize, Option<(Source, Expr, Expr)>> = BTreeMap::new();
        let mut lift = |planner: &mut Self, expr: &mut Expr| -> bool {
            let mut changed = false;
            each_node_mut(expr, &mut |node| {
                if let Expr::Subquery { index, kind, .. } = node
                    && applied(*index).is_none()
                    && let Some(subquery) = subqueries.get(*index)
                {
                    let group =
                        found.entry(*index).or_insert_with(|| planner.group_of(subquery, kind));
                    if let Some((_, _, value)) = group {
                        *node = value.clone();
                        changed = true;
                    }
                }
            });
            changed
        };
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        // As in PostgreSQL, what has a subquery is asked last.
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for mut condition in conditions.into_iter().cloned().collect::<Vec<_>>() {
            let changed = lift(self, &mut condition);
            if changed { &mut last } else { &mut first }.push(condition);
        }
        if select.group.is_none() {
            form::output_exprs_mut(&mut select.fields, &mut |expr| {
                lift(self, expr);
            });
            for key in &mut select.sort {
                lift(self, &mut key.expr);
            }
            if let Distinct::On(keys) = &mut select.distinct {
                keys.iter_mut().for_each(|key| {
                    lift(self, key);
                });
            }
        }
        let groups: Vec<(Source, Expr)> =
            found.into_values().flatten().map(|(source, on, _)| (source, on)).collect();
        if groups.is_empty() {
            return;
        }
        first.append(&mut last);
        select.filter = (!first.is_empty()).then(|| Condition::Expr(all_of(first)));
        let join = |left: Source, right: Source, kind: JoinKind, on: Option<Expr>| Source::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind,
            on,
        };
        let sources = std::mem::take(&mut select.source);
        let joined =
            sources.into_iter().reduce(|left, right| join(left, right, JoinKind::Inner, None));
        if let Some(joined) = joined {
            let joined = groups
                .into_iter()
                .fold(joined, |left, (right, on)| join(left, right, JoinKind::Left, Some(on)));
            select.source = vec![joined];
        }
        drop_unused_subqueries(select);
    }

    /// The groups among which a subquery finds its value by keys alone, the condition that finds it, and the value. None where
    /// computing all groups could raise an error that PostgreSQL does not meet.
    fn group_of(&mut self, subquery: &Select, kind: &SubqueryKind) -> Option<(Source, Expr, Expr)> {
        if super::apply::has_call_of_around(subquery) {
            return None;
        }
        let is_one = subquery.group.as_ref().is_some_and(Vec::is_empty);
        let fits = match kind {
            SubqueryKind::Scalar => is_one && subquery.fields.len() == 1,
            SubqueryKind::Exists => subquery.group.is_none(),
            _ => false,
        };
        if !fits
            || !self.joins(subquery)
            || subquery.limit.is_some()
            || matches!(subquery.distinct, Distinct::On(_))
            || has_window(subquery)
            || is_uncorrelated(subquery)
        {
            return None;
        }
        let ungrouped = Select { group: None, fields: Vec::new(), ..subquery.clone() };
        let apart = apart(&ungrouped)?;
        let mut lifted = self.lifted(apart.own.clone());
        let reads = |expr: &Expr, own: bool| {
            let mut reads = false;
            walk(expr, &mut |node| {
                reads |=
                    matches!(node, Expr::Field(field) if apart.own.contains(&field.source) == own);
            });
            reads
        };
        let mut on = Vec::new();
        for condition in &apart.outer {
            let [one, other] = equality(condition)?.args.as_slice() else { return None };
            let is_key = |own: &Expr, outer: &Expr| {
                reads(own, true)
                    && !reads(own, false)
                    && !reads(outer, true)
                    && condition::compares_by_value(own.type_id())
                    && condition::compares_by_value(outer.type_id())
            };
            let own = if is_key(one, other) {
                one
            } else if is_key(other, one) {
                other
            } else {
                return None;
            };
            if !self.surely(condition) {
                return None;
            }
            let column = lifted.column(own);
            on.push(replace(condition, &mut |node| (node == own).then(|| column.clone())));
        }
        if on.is_empty() || !self.conditions_surely(&apart.inner) {
            return None;
        }
        let group = lifted.fields.clone();
        let value = match kind {
            SubqueryKind::Exists => {
                let found = lifted.column(&Expr::constant(Value::Bool(true), TypeId::BOOL));
                Expr::Is { arg: Box::new(found), test: IsTest::Null, negated: true }
            }
            _ => {
                let aggregates = aggregates_of(subquery);
                let fits = |call: &dataman_pg::expr::Aggregate| {
                    self.is_sure(call) && call.args.iter().all(|arg| !reads(arg, false))
                };
                if !aggregates.iter().all(fits) {
                    return None;
                }
                let output = output_exprs(subquery).into_iter().next()?;
                if has_subquery(&output) {
                    return None;
                }
                let value = replace(&output, &mut |node| {
                    let Expr::Aggregate(call) = node else { return None };
                    let column = lifted.column(node);
                    let counts = catalog::function(call.function)
                        .is_some_and(|function| function.name == "count");
                    Some(if counts {
                        let zero = Expr::constant(Value::Int8(0), TypeId::INT8);
                        Expr::Coalesce { args: vec![column, zero], ty: node.type_ref() }
                    } else {
                        column
                    })
                });
                // What it reads of its own rows beside aggregates has no value without rows.
                if reads(&value, true) {
                    return None;
                }
                value
            }
        };
        let inner = Select { group: Some(group), ..apart.inner };
        Some((lifted.source(inner), all_of(on), value))
    }

    /// Whether the conditions of a select, and of its joins, are computed without an error, whatever the row.
    fn conditions_surely(&self, select: &Select) -> bool {
        let mut sure = select.subqueries.is_empty();
        form::for_each_select(select, &mut |inner| {
            let inner = Select { fields: Vec::new(), ..inner.clone() };
            form::for_each_expr(&inner, &mut |expr| sure = sure && self.surely(expr));
        });
        for inner in form::inner_selects(select) {
            sure = sure && output_exprs(inner).iter().all(|expr| self.surely(expr));
        }
        sure
    }

    /// Whether an expression is computed without an error, whatever the row; what is the same for every row is tried.
    fn surely(&self, expr: &Expr) -> bool {
        let tried = replace(expr, &mut |node| {
            let mut is_closed = !matches!(node, Expr::Const(_));
            walk(node, &mut |node| {
                is_closed &= !matches!(
                    node,
                    Expr::Field(_)
                        | Expr::Param { .. }
                        | Expr::Column { .. }
                        | Expr::Subquery { .. }
                        | Expr::Aggregate(_)
                        | Expr::Window(_)
                        | Expr::Grouping(_)
                );
            });
            if !is_closed || condition::is_volatile(node) {
                return None;
            }
            let evaluator = Evaluator::compile(node, &|_| None).ok()?;
            evaluator.eval(&[], &[], self.context.context).ok()?;
            Some(Expr::null(node.type_ref()))
        });
        condition::is_sure(&tried)
    }
}

/// The subquery that a condition tests, how, and whether what it says is denied.
fn tested(condition: &Expr) -> Option<(usize, &SubqueryKind, bool)> {
    let (node, negated) = match condition {
        Expr::Not(arg) => (arg.as_ref(), true),
        other => (other, false),
    };
    let Expr::Subquery { index, kind, .. } = node else { return None };
    applied(*index).is_none().then_some((*index, kind, negated))
}

/// Whether a comparison is IN or NOT IN.
fn is_equal_test(all: bool, negated: bool, operators: &[dataman_pg::expr::OperatorId]) -> bool {
    let wanted = if all { "<>" } else { "=" };
    !(all && negated)
        && operators
            .iter()
            .all(|id| catalog::operator(*id).is_some_and(|operator| operator.name == wanted))
}

/// Whether values and a subquery's columns are of types whose equality is that of their keys' bytes.
fn compares_alike(left: &[Expr], subquery: &Select) -> bool {
    let columns = output_columns(subquery);
    left.len() == columns.len()
        && left.iter().zip(&columns).all(|(left, column)| {
            left.type_id() == column.ty.id && crate::merge::is_decided_by_bytes(column.ty.id)
        })
}

/// `one = other` of values of one type.
fn equal(one: Expr, other: Expr) -> Option<Expr> {
    let ty = one.type_id();
    let through = if ty == TypeId::VARCHAR { TypeId::TEXT } else { ty };
    let found = catalog::operators_named("=")
        .iter()
        .find(|operator| operator.left == through && operator.right == through)?;
    let relabelled = |arg: Expr| {
        if through == ty {
            return arg;
        }
        Expr::Cast(Box::new(dataman_pg::expr::Cast {
            arg,
            ty: through.into(),
            method: dataman_pg::expr::CastMethod::Relabel,
            explicit: false,
        }))
    };
    Some(Expr::Call(dataman_pg::expr::Call {
        function: found.function,
        operator: Some(found.id),
        args: vec![relabelled(one), relabelled(other)],
        variadic: false,
        ty: TypeId::BOOL.into(),
    }))
}

/// A query as a source of columns `c0`, `c1` and so on.
fn derived(alias: String, query: Select) -> Source {
    let columns = output_columns(&query)
        .into_iter()
        .enumerate()
        .map(|(place, column)| NamedType { name: format!("c{place}"), ty: column.ty })
        .collect();
    Source::Query { query: Box::new(query), alias, columns, lateral: false }
}

/// Takes the conditions that read the rows around a plain subquery out of it; none where more of it does.
fn apart(subquery: &Select) -> Option<Apart> {
    let is_plain = subquery.group.is_none()
        && subquery.having.is_none()
        && subquery.grouping_sets.is_none()
        && subquery.union.is_empty()
        && subquery.offset.is_none()
        && subquery.limit.is_none()
        && !subquery.source.is_empty()
        && matches!(subquery.filter, None | Some(Condition::Expr(_)));
    if !is_plain {
        return None;
    }
    let mut own: BTreeSet<String> = BTreeSet::new();
    form::for_each_source(subquery, &mut |source| {
        own.extend(form::alias_of(source).map(str::to_owned));
    });
    let mut conditions = Vec::new();
    filter_conjuncts(subquery.filter.as_ref(), &mut conditions);
    let reads_around = |condition: &Expr| {
        let mut reads = false;
        walk(condition, &mut |node| {
            reads |= matches!(node, Expr::Field(field) if !own.contains(&field.source));
        });
        reads
    };
    let (outer, rest): (Vec<&Expr>, Vec<&Expr>) =
        conditions.into_iter().partition(|condition| reads_around(condition));
    if outer.is_empty() || outer.iter().any(|condition| has_subquery(condition)) {
        return None;
    }
    let rest: Vec<Expr> = rest.into_iter().cloned().collect();
    let inner = Select {
        source: subquery.source.clone(),
        filter: (!rest.is_empty()).then(|| Condition::Expr(all_of(rest))),
        subqueries: subquery.subqueries.clone(),
        ..Select::default()
    };
    if !is_uncorrelated(&inner) {
        return None;
    }
    let outer = outer.into_iter().cloned().collect();
    Some(Apart { inner, outer, own })
}
