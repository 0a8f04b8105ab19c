//! Subqueries that look at the rows around them, carried out above the shards.
//!
//! What a subquery reads of the rows around becomes parameters, so that the rest of it is planned as any query. The parts of
//! its plan that read none of them are read once ([`Operator::Keep`]); where the rows kept are compared with a parameter, they
//! are found by hash ([`Operator::Lookup`]). So a correlated subquery costs what a hash join costs, and yet is computed only
//! for the rows that PostgreSQL computes it for.

use std::collections::{BTreeMap, BTreeSet};

use dataman_node_protocol::query::{Distinct, Select};
use dataman_pg::expr::{Aggregate, Call, OperatorId, RowField, SubqueryKind};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value, catalog};

use super::bind::Internal;
use super::form::{self, output_columns, replace, walk};
use super::operator::{Apply, ApplyKind, Operator};
use super::select::Result;
use super::split::{aggregates_of, grouped_tail, named};
use super::{Planner, distribution};

/// Subqueries carried out above the shards have their places in the plan from here on.
const APPLIED: usize = 1 << 20;

/// The place in the plan of a subquery that is carried out above the shards; none for one that still is a part of its select.
pub(crate) fn applied(index: usize) -> Option<usize> {
    index.checked_sub(APPLIED)
}

/// Whether an expression has a subquery that is carried out above the shards.
pub(crate) fn has_applied(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        found |= matches!(node, Expr::Subquery { index, .. } if applied(*index).is_some());
    });
    found
}

/// Whether an expression has a subquery at all.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| found |= matches!(node, Expr::Subquery { .. }));
    found
}

pub(crate) fn is_volatile(select: &Select) -> bool {
    let mut found = false;
    form::for_each_select(select, &mut |inner| {
        form::for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| {
                if let Expr::Call(call) = node {
                    found |= catalog::function(call.function)
                        .is_none_or(|function| function.volatility == 'v');
                }
            });
        });
    });
    found
}

impl Planner<'_> {
    /// Whether an expression reads a value of the rows around the select that it belongs to.
    pub(super) fn reads_outer(&self, expr: &Expr) -> bool {
        let mut found = false;
        if !self.outer.is_empty() {
            walk(expr, &mut |node| {
                found |= matches!(node, Expr::Param { index, .. } if self.outer.contains(index));
            });
        }
        found
    }

    /// Whether a select can only run above the shards: it reads values of the rows around it, or has subqueries that run there.
    pub(super) fn stays_above(&self, select: &Select) -> bool {
        let mut found = super::recurse::reads_table_around(select)
            || select.subqueries.iter().any(has_call_of_around);
        if !self.outer.is_empty() || !self.applies.is_empty() {
            form::for_each_select(select, &mut |inner| {
                form::for_each_expr(inner, &mut |expr| {
                    found |= self.reads_outer(expr) || has_applied(expr);
                });
            });
        }
        found
    }

    /// Plans the subqueries of a select's expressions, and makes the expressions refer to the plans.
    pub(super) fn apply_subqueries(&mut self, select: &mut Select) -> Result<()> {
        let subqueries = std::mem::take(&mut select.subqueries);
        if subqueries.is_empty() {
            return Ok(());
        }
        // Subqueries among the keys are planned before, so keys without them are what a subquery's readings are found in.
        let keys: Vec<Expr> =
            select.group.iter().flatten().filter(|key| !has_subquery(key)).cloned().collect();
        let mut result = Ok(());
        // An expression may stand in several places, as in GROUP BY and the select list.
        let mut planned: BTreeMap<usize, (usize, Vec<Expr>)> = BTreeMap::new();
        form::own_exprs_mut(select, &mut |expr| {
            form::each_node_mut(expr, &mut |node| {
                if result.is_err() {
                    return;
                }
                if let Expr::Subquery { index, kind, ty, outer } = node
                    && applied(*index).is_none()
                {
                    if let Some((place, read)) = planned.get(index) {
                        *index = APPLIED + place;
                        outer.clone_from(read);
                        return;
                    }
                    let Some(subquery) = subqueries.get(*index) else {
                        result = Err(PgError::internal("a subquery is not there"));
                        return;
                    };
                    match self
                        .apply_kind(kind, *ty, subquery)
                        .and_then(|kind| self.apply(subquery.clone(), kind, &keys))
                    {
                        Ok((place, read)) => {
                            planned.insert(*index, (place, read.clone()));
                            *index = APPLIED + place;
                            *outer = read;
                        }
                        Err(error) => result = Err(error),
                    }
                }
            });
        });
        result
    }

    fn apply_kind(&self, kind: &SubqueryKind, ty: TypeRef, subquery: &Select) -> Result<ApplyKind> {
        let columns = output_columns(subquery);
        Ok(match kind {
            SubqueryKind::Scalar => ApplyKind::Scalar,
            SubqueryKind::Exists => ApplyKind::Exists,
            SubqueryKind::Array => {
                let element = columns.first().map_or(TypeId::TEXT, |column| column.ty.id);
                ApplyKind::Array(element, ty.id)
            }
            SubqueryKind::Compare { all, left, operators } => {
                let right: Vec<TypeRef> = columns.iter().map(|column| column.ty).collect();
                let test = comparison(left, &right, operators)?;
                let named = |name: &str| {
                    operators.iter().all(|operator| {
                        catalog::operator(*operator).is_some_and(|found| found.name == name)
                    })
                };
                let alike = left.iter().zip(&right).all(|(one, other)| one.type_id() == other.id);
                let hashes =
                    alike && ((!all && named("=")) || (*all && left.len() == 1 && named("<>")));
                ApplyKind::Compare { all: *all, test, hashes }
            }
        })
    }

    /// Plans a query over what it reads of the rows around; returns its place and those readings.
    pub(super) fn apply(
        &mut self,
        mut query: Select,
        kind: ApplyKind,
        keys: &[Expr],
    ) -> Result<(usize, Vec<Expr>)> {
        let mut own: BTreeSet<String> = BTreeSet::new();
        form::for_each_source(&query, &mut |source| {
            own.extend(form::alias_of(source).map(str::to_owned));
        });
        let mut read: Vec<Expr> = Vec::new();
        let mut params: Vec<Expr> = Vec::new();
        form::each_expr_mut(&mut query, &mut |expr| {
            *expr = replace(expr, &mut |node| {
                let is_outer = match node {
                    Expr::Field(field) => !own.contains(&field.source),
                    Expr::Param { index, .. } => self.outer.contains(index),
                    Expr::Const(_) | Expr::Column { .. } => false,
                    // It is computed where the rows are that it is over.
                    Expr::Aggregate(_) | Expr::Grouping(_) if is_of_around(node, &own) => true,
                    other => keys.contains(other) && !reads_any(other, &own),
                };
                if !is_outer {
                    return None;
                }
                if let Some(known) = read.iter().position(|known| known == node) {
                    return Some(params[known].clone());
                }
                let param = self.parameters.add_internal(Internal::Outer(node.type_id()));
                read.push(node.clone());
                params.push(param.clone());
                Some(param)
            });
        });
        for param in &params {
            if let Expr::Param { index, .. } = param {
                self.outer.insert(*index);
            }
        }
        let caches = !is_volatile(&query) && !super::recurse::reads_table_around(&query);
        if matches!(kind, ApplyKind::Exists) {
            only_existence(&mut query);
        }
        let operator = self.select(query, None)?;
        let operator = self.keep(operator);
        self.applies.push(Apply { operator, params, kind, caches });
        Ok((self.applies.len() - 1, read))
    }

    /// Puts a [`Operator::Keep`] around the largest parts that read nothing of the rows around, and looks up in them.
    pub(super) fn keep(&mut self, operator: Operator) -> Operator {
        if !self.depends(&operator) {
            if !operator.reads_shards() || matches!(operator, Operator::Keep { .. }) {
                return operator;
            }
            return self.kept(operator);
        }
        let mut operator = operator;
        operator.map_inputs(&mut |input| self.keep(input));
        if let Operator::Filter { input, predicate } = &mut operator
            && matches!(input.as_ref(), Operator::Keep { .. })
        {
            let mut conditions = Vec::new();
            distribution::conjuncts(predicate, &mut conditions);
            let keys: Vec<(Expr, Expr)> = conditions
                .into_iter()
                .filter_map(|condition| {
                    self.lookup_key(condition, &|node| matches!(node, Expr::Column { .. }))
                })
                .collect();
            if !keys.is_empty() {
                let taken = std::mem::replace(input.as_mut(), Operator::Append(Vec::new()));
                **input = self.lookup(taken, keys);
            }
        }
        operator
    }

    pub(super) fn kept(&mut self, mut input: Operator) -> Operator {
        // What is kept does not depend on the keys that a join around it has in hand.
        input.widen();
        self.keeps += 1;
        Operator::Keep { id: self.keeps, input: Box::new(input) }
    }

    pub(super) fn lookup(&mut self, input: Operator, keys: Vec<(Expr, Expr)>) -> Operator {
        self.keeps += 1;
        Operator::Lookup { id: self.keeps, input: Box::new(input), keys }
    }

    /// Whether an operator, or one below it, reads values of the rows around.
    pub(super) fn depends(&self, operator: &Operator) -> bool {
        let mut found =
            matches!(operator, Operator::Working { .. } | Operator::Table { is_local: true, .. });
        operator.each_own_expr(&mut |expr| found |= self.reads_outer(expr));
        found || operator.inputs().into_iter().any(|input| self.depends(input))
    }

    /// Of a condition `own = outer` the two sides; `is_own` knows what is read of the rows here.
    fn lookup_key(&self, condition: &Expr, is_own: &dyn Fn(&Expr) -> bool) -> Option<(Expr, Expr)> {
        let call = equality(condition)?;
        let [one, other] = call.args.as_slice() else { return None };
        if one.type_id() != other.type_id() {
            return None;
        }
        let own = |expr: &Expr| {
            let mut reads = false;
            walk(expr, &mut |node| reads |= is_own(node));
            reads && !self.reads_outer(expr) && !has_subquery(expr)
        };
        let outer = |expr: &Expr| {
            let mut reads = false;
            walk(expr, &mut |node| {
                reads |= matches!(node, Expr::Column { .. } | Expr::Field(_));
            });
            !reads && !has_subquery(expr)
        };
        if own(one) && outer(other) {
            Some((one.clone(), other.clone()))
        } else if own(other) && outer(one) {
            Some((other.clone(), one.clone()))
        } else {
            None
        }
    }

    /// An aggregate over the rows that are equal to the row around in some columns: all groups of these columns are computed
    /// at once, and looked up. None where that could raise an error that PostgreSQL does not meet.
    pub(super) fn grouped_lookup(
        &mut self,
        select: &Select,
        conditions: &[Expr],
    ) -> Result<Option<Operator>> {
        if select.group.as_ref().is_none_or(|group| !group.is_empty())
            || select.grouping_sets.is_some()
        {
            return Ok(None);
        }
        let (outer, rest): (Vec<&Expr>, Vec<&Expr>) =
            conditions.iter().partition(|condition| self.reads_outer(condition));
        let pairs: Option<Vec<(Expr, Expr)>> = outer
            .iter()
            .map(|condition| self.lookup_key(condition, &|node| matches!(node, Expr::Field(_))))
            .collect();
        let Some(pairs) = pairs.filter(|pairs| !pairs.is_empty()) else { return Ok(None) };
        let aggregates = aggregates_of(select);
        if !aggregates.iter().all(|call| self.is_sure(call)) {
            return Ok(None);
        }
        let mut from_outer = false;
        let from = Select { source: select.source.clone(), ..Select::default() };
        form::for_each_select(&from, &mut |inner| {
            form::for_each_expr(inner, &mut |expr| from_outer |= self.reads_outer(expr));
        });
        if from_outer {
            return Ok(None);
        }
        let mut group: Vec<Expr> = Vec::new();
        for (own, _) in &pairs {
            if !group.contains(own) {
                group.push(own.clone());
            }
        }
        let mut fields = group.clone();
        fields.extend(aggregates.iter().map(|call| Expr::Aggregate(Box::new(call.clone()))));
        let all: Vec<Expr> = rest.into_iter().cloned().collect();
        let inner = Select {
            filter: (!all.is_empty()).then(|| {
                dataman_node_protocol::query::Condition::Expr(super::sources::all_of(all))
            }),
            group: Some(group.clone()),
            fields: named(&fields),
            ..from
        };
        let operator = self.select(inner, None)?;
        let types = operator.columns();
        let column = |own: &Expr| {
            let index = group.iter().position(|key| key == own).unwrap_or_default();
            Expr::Column { index, ty: own.type_ref() }
        };
        let keys = pairs.iter().map(|(own, outer)| (column(own), outer.clone())).collect();
        let kept = self.kept(operator);
        let found = self.lookup(kept, keys);
        let predicate = super::sources::all_of(
            outer
                .iter()
                .map(|condition| {
                    replace(condition, &mut |node| group.contains(node).then(|| column(node)))
                })
                .collect(),
        );
        let found = Operator::Filter { input: Box::new(found), predicate };
        let nothing = Operator::Group {
            input: Box::new(Operator::Rows { rows: Vec::new(), columns: Vec::new() }),
            keys: Vec::new(),
            sets: None,
            aggregates: aggregates
                .iter()
                .map(|call| Aggregate {
                    args: call.args.iter().map(|arg| Expr::null(arg.type_ref())).collect(),
                    filter: None,
                    order_by: Vec::new(),
                    ..call.clone()
                })
                .collect(),
        };
        let exprs = types
            .iter()
            .enumerate()
            .map(|(place, ty)| match place.checked_sub(group.len()) {
                Some(index) => Expr::Column { index, ty: *ty },
                None => Expr::null(*ty),
            })
            .collect();
        let otherwise = Operator::Project { input: Box::new(nothing), exprs };
        let operator = Operator::OrElse { input: Box::new(found), otherwise: Box::new(otherwise) };
        grouped_tail(operator, select, &group, &aggregates).map(Some)
    }

    /// Whether an aggregate is computed without an error whatever its rows are, and reads nothing of the rows around.
    pub(super) fn is_sure(&self, call: &Aggregate) -> bool {
        let name = catalog::function(call.function).map_or("", |function| function.name);
        let sums = matches!(name, "sum" | "avg");
        let surely = |expr: &Expr| {
            matches!(expr, Expr::Field(_) | Expr::Const(_))
                || matches!(expr, Expr::Cast(cast)
                    if cast.method == dataman_pg::expr::CastMethod::Relabel
                        && matches!(cast.arg, Expr::Field(_)))
        };
        (matches!(name, "count" | "min" | "max" | "bool_and" | "bool_or" | "every") || sums)
            && call.args.iter().all(surely)
            && call.order_by.is_empty()
            && call.filter.is_none()
            && (!sums
                || call.args.iter().all(|arg| {
                    matches!(
                        arg.type_id(),
                        TypeId::INT2 | TypeId::INT4 | TypeId::INT8 | TypeId::NUMERIC
                    )
                }))
    }
}

/// The call of a condition `a = b`.
pub(super) fn equality(condition: &Expr) -> Option<&Call> {
    let Expr::Call(call) = condition else { return None };
    let operator = call.operator.and_then(catalog::operator)?;
    (operator.name == "=" && call.args.len() == 2).then_some(call)
}

/// Whether an aggregate or GROUPING is over rows of a query around the one that has these sources.
fn is_of_around(call: &Expr, own: &BTreeSet<String>) -> bool {
    let mut reads = false;
    walk(call, &mut |node| reads |= matches!(node, Expr::Field(_)));
    reads && !reads_any(call, own)
}

/// Whether a query has an aggregate or GROUPING of a query around it.
pub(super) fn has_call_of_around(query: &Select) -> bool {
    let mut own: BTreeSet<String> = BTreeSet::new();
    form::for_each_source(query, &mut |source| {
        own.extend(form::alias_of(source).map(str::to_owned));
    });
    let mut found = false;
    form::for_each_select(query, &mut |inner| {
        form::for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| {
                found |= matches!(node, Expr::Aggregate(_) | Expr::Grouping(_))
                    && is_of_around(node, &own);
            });
        });
    });
    found
}

fn reads_any(expr: &Expr, own: &BTreeSet<String>) -> bool {
    let mut reads = false;
    walk(expr, &mut |node| {
        reads |= matches!(node, Expr::Field(field) if own.contains(&field.source));
    });
    reads
}

/// A query of which only counts whether it has a row: its columns and order are left out where nothing depends on them.
fn only_existence(query: &mut Select) {
    if !query.union.is_empty() || !matches!(query.distinct, Distinct::All) || query.with_ties {
        return;
    }
    query.sort.clear();
    let mut plain = query.group.is_none();
    for expr in super::select::output_exprs(query) {
        walk(&expr, &mut |node| {
            plain &= !matches!(node, Expr::Window(_) | Expr::Aggregate(_));
        });
    }
    if plain {
        query.fields = named(&[Expr::constant(Value::Bool(true), TypeId::BOOL)]);
    }
}

/// A row's comparison with a row of a subquery: the left values are the first columns, the subquery's come behind.
pub(super) fn comparison(
    left: &[Expr],
    right: &[TypeRef],
    operators: &[OperatorId],
) -> Result<Expr> {
    let width = left.len();
    let mut calls = Vec::new();
    for (place, operator) in operators.iter().enumerate() {
        let found = catalog::operator(*operator)
            .ok_or_else(|| PgError::internal("an operator of the comparison is not known"))?;
        let (Some(one), Some(other)) = (left.get(place), right.get(place)) else {
            return Err(PgError::internal("a comparison lacks a side"));
        };
        calls.push(Call {
            function: found.function,
            operator: Some(*operator),
            args: vec![
                Expr::Column { index: place, ty: one.type_ref() },
                Expr::Column { index: width + place, ty: *other },
            ],
            variadic: false,
            ty: TypeRef::plain(TypeId::BOOL),
        });
    }
    let name =
        operators.first().and_then(|id| catalog::operator(*id)).map_or("", |found| found.name);
    if calls.len() == 1 {
        return Ok(Expr::Call(calls.remove(0)));
    }
    let all = |calls: Vec<Call>| calls.into_iter().map(Expr::Call).collect::<Vec<_>>();
    match name {
        "=" => Ok(Expr::And(all(calls))),
        "<>" => Ok(Expr::Or(all(calls))),
        "<" | "<=" | ">" | ">=" => {
            let strict = if name.starts_with('<') { "<" } else { ">" };
            let fields = calls
                .into_iter()
                .map(|call| {
                    let sibling = |wanted: &str| {
                        let own = call.operator.and_then(catalog::operator)?;
                        let found = catalog::operators_named(wanted)
                            .iter()
                            .find(|found| found.left == own.left && found.right == own.right);
                        found.map(|found| Call {
                            function: found.function,
                            operator: Some(found.id),
                            ..call.clone()
                        })
                    };
                    Some(RowField { equal: sibling("=")?, compare: Some(sibling(strict)?) })
                })
                .collect::<Option<Vec<_>>>();
            let fields = fields.ok_or_else(|| {
                PgError::unsupported(
                    "comparing rows of these types with a subquery is not supported yet",
                )
            })?;
            Ok(Expr::RowCompare { operator: name.to_owned(), fields })
        }
        _ => Err(PgError::unsupported(format!(
            "could not determine interpretation of row comparison operator {name}"
        ))),
    }
}
