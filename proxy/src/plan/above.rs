//! A query carried out by the proxy over scans of the shards.

use dataman_node_protocol::query::{Distinct, Select, SetOperation, SetOperationKind};
use dataman_pg::expr::{Aggregate, SortKey};
use dataman_pg::{Expr, PgError, eval};

use super::Planner;
use super::apply::{has_applied, has_subquery};
use super::distribution::filter_conjuncts;
use super::operator::Operator;
use super::select::{First, Result, output_exprs};
use super::sources::{Columns, all_of, computed_below, take};
use super::split::{
    aggregates_of, check_accumulated, check_decodable, grouped_tail, grouping_sets,
};

/// What comes after the rows of a query are there, over their columns.
pub(super) struct Tail {
    pub(super) having: Option<Expr>,
    pub(super) fields: Vec<Expr>,
    pub(super) distinct: TailDistinct,
    /// Over the rows in, or `Expr::Column` over the fields for set operations.
    pub(super) sort: Vec<SortKey>,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
    pub(super) with_ties: bool,
}

/// DISTINCT of a tail.
pub(super) enum TailDistinct {
    All,
    Rows,
    On(Vec<Expr>),
}

impl Planner<'_> {
    /// Plans a select above the shards.
    ///
    /// # Errors
    /// `0A000` for what the proxy does not compute.
    pub(super) fn above(&mut self, mut select: Select) -> Result<Operator> {
        if !select.with.is_empty() {
            return self.with_common_tables(select);
        }
        super::derived::pull_up(&mut select, &self.facts.whole);
        let semis = self.take_semis(&mut select);
        self.join_groups(&mut select);
        if !select.subqueries.is_empty() {
            self.run_subqueries_first(&mut select, First::All)?;
            self.apply_subqueries(&mut select)?;
        }
        if select.lock.is_some() {
            return Err(PgError::unsupported(
                "FOR UPDATE and its like is only supported on one shard",
            )
            .with_hint("Fix the shard key to one value."));
        }
        if !select.union.is_empty() {
            return self.set_operations(select);
        }
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        let conditions: Vec<Expr> = conditions.into_iter().cloned().collect();
        if semis.is_empty()
            && let Some(operator) = self.grouped_lookup(&select, &conditions)?
        {
            return Ok(operator);
        }
        let (mut input, columns, mut left) = self.sources(&select, conditions, semis)?;
        // What reads the rows around comes after what does not, and subqueries, which cost most, come last.
        let plain = take(&mut left, |condition| self.is_own(condition));
        let outer = take(&mut left, |condition| !has_subquery(condition));
        let outer = (!outer.is_empty()).then(|| all_of(outer));
        for condition in plain.into_iter().chain(outer).chain(left) {
            let predicate = columns.bind(&condition)?;
            input = Operator::Filter { input: Box::new(input), predicate };
        }
        let Some(group) = select.group.clone() else {
            return self.rows(input, &columns, &select);
        };
        let aggregates = aggregates_of(&select);
        let mut keys = group.iter().map(|key| columns.bind(key)).collect::<Result<Vec<_>>>()?;
        let mut calls: Vec<Aggregate> = Vec::new();
        for call in &aggregates {
            let mut moved: Aggregate = call.clone();
            for arg in &mut moved.args {
                *arg = columns.bind(arg)?;
            }
            if let Some(filter) = &mut moved.filter {
                *filter = columns.bind(filter)?;
            }
            for key in &mut moved.order_by {
                key.expr = columns.bind(&key.expr)?;
            }
            check_accumulated(&moved)?;
            if let Some(filter) =
                moved.filter.as_ref().filter(|_| moved.args.iter().any(has_applied))
            {
                // Below the aggregate its arguments are still computed for the rows of its filter only.
                for arg in &mut moved.args {
                    *arg = Expr::Case {
                        ty: arg.type_ref(),
                        otherwise: Box::new(Expr::null(arg.type_ref())),
                        branches: vec![(filter.clone(), arg.clone())],
                    };
                }
            }
            calls.push(moved);
        }
        let mut inner: Vec<&mut Expr> = keys.iter_mut().collect();
        for call in &mut calls {
            inner.extend(&mut call.args);
            inner.extend(&mut call.filter);
            inner.extend(call.order_by.iter_mut().map(|key| &mut key.expr));
        }
        let input = computed_below(input, inner);
        let sets = grouping_sets(&select, &group);
        let grouped = Operator::Group { input: Box::new(input), keys, aggregates: calls, sets };
        grouped_tail(grouped, &select, &group, &aggregates)
    }

    fn rows(&mut self, input: Operator, columns: &Columns, select: &Select) -> Result<Operator> {
        let bind = |expr: &Expr| columns.bind(expr);
        let distinct = match &select.distinct {
            Distinct::All => TailDistinct::All,
            Distinct::Distinct => TailDistinct::Rows,
            Distinct::On(on) => TailDistinct::On(on.iter().map(bind).collect::<Result<_>>()?),
        };
        tail(
            input,
            Tail {
                having: None,
                fields: output_exprs(select).iter().map(bind).collect::<Result<_>>()?,
                distinct,
                sort: select
                    .sort
                    .iter()
                    .map(|key| Ok(SortKey { expr: bind(&key.expr)?, ..key.clone() }))
                    .collect::<Result<_>>()?,
                limit: select.limit.clone(),
                offset: select.offset.clone(),
                with_ties: select.with_ties,
            },
        )
    }

    /// UNION, INTERSECT and EXCEPT, left to right.
    fn set_operations(&mut self, mut select: Select) -> Result<Operator> {
        let operations: Vec<SetOperation> = std::mem::take(&mut select.union);
        let sort = std::mem::take(&mut select.sort);
        let (limit, offset) = (select.limit.take(), select.offset.take());
        let with_ties = std::mem::take(&mut select.with_ties);
        let mut left = self.select(select, None)?;
        for operation in operations {
            let right = self.select(*operation.query, None)?;
            for column in left.columns() {
                check_decodable(column)?;
            }
            left = if operation.kind == SetOperationKind::Union && operation.all {
                match left {
                    Operator::Append(mut inputs) => {
                        inputs.push(right);
                        Operator::Append(inputs)
                    }
                    other => Operator::Append(vec![other, right]),
                }
            } else {
                Operator::SetOperation {
                    kind: operation.kind,
                    all: operation.all,
                    left: Box::new(left),
                    right: Box::new(right),
                }
            };
        }
        let fields = left
            .columns()
            .into_iter()
            .enumerate()
            .map(|(index, ty)| Expr::Column { index, ty })
            .collect();
        tail(
            left,
            Tail {
                having: None,
                fields,
                distinct: TailDistinct::All,
                sort,
                limit,
                offset,
                with_ties,
            },
        )
    }
}

/// HAVING, the fields, DISTINCT, ORDER BY and LIMIT over the rows of an operator.
///
/// # Errors
/// `0A000` for what the proxy does not compute.
pub(super) fn tail(input: Operator, tail: Tail) -> Result<Operator> {
    let Tail { having, fields, distinct, sort, limit, offset, with_ties } = tail;
    let mut operator = input;
    if let Some(having) = having {
        eval::check_computed_around(&having)?;
        operator = Operator::Filter { input: Box::new(operator), predicate: having };
    }
    let visible = fields.len();
    let mut exprs = fields;
    let mut column_of = |expr: &Expr| -> usize {
        exprs.iter().position(|known| known == expr).unwrap_or_else(|| {
            exprs.push(expr.clone());
            exprs.len() - 1
        })
    };
    let keys: Vec<SortKey> = sort
        .iter()
        .map(|key| SortKey {
            expr: Expr::Column { index: column_of(&key.expr), ty: key.expr.type_ref() },
            ..key.clone()
        })
        .collect();
    let on: Option<Vec<usize>> = match &distinct {
        TailDistinct::On(on) => Some(on.iter().map(&mut column_of).collect()),
        _ => None,
    };
    let operator = super::window::compute(operator, &mut exprs)?;
    for expr in &exprs {
        eval::check_computed_around(expr)?;
    }
    let mut operator = operator;
    let identity = exprs
        .iter()
        .enumerate()
        .all(|(place, expr)| matches!(expr, Expr::Column { index, .. } if *index == place))
        && operator.columns().len() == exprs.len();
    let total = exprs.len();
    let types: Vec<_> = exprs.iter().map(Expr::type_ref).collect();
    if !identity {
        operator = Operator::Project { input: Box::new(operator), exprs };
    }
    if matches!(distinct, TailDistinct::Rows) {
        operator = Operator::Distinct { input: Box::new(operator), keys: (0..visible).collect() };
    }
    let ties = with_ties.then(|| {
        keys.iter()
            .filter_map(|key| match key.expr {
                Expr::Column { index, .. } => Some(index),
                _ => None,
            })
            .collect()
    });
    if !keys.is_empty() {
        operator = Operator::Sort { input: Box::new(operator), keys };
    }
    if let Some(keys) = on {
        operator = Operator::Distinct { input: Box::new(operator), keys };
    }
    if limit.is_some() || offset.is_some() {
        for expr in limit.iter().chain(&offset) {
            eval::check_computed_around(expr)?;
        }
        operator = Operator::Limit { input: Box::new(operator), limit, offset, ties };
    }
    if total > visible {
        let exprs = types[..visible]
            .iter()
            .enumerate()
            .map(|(index, ty)| Expr::Column { index, ty: *ty })
            .collect();
        operator = Operator::Project { input: Box::new(operator), exprs };
    }
    Ok(operator)
}
