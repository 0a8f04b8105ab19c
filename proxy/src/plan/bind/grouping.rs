//! GROUP BY: its keys, and the grouping sets that ROLLUP, CUBE and their like stand for.

use dataman_node_protocol::query::{self, OutputField};
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::expr::Clause;
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, GroupItem};
use crate::plan::form::{each_expr_mut, each_node_mut, own_exprs_mut, walk};

/// The most grouping sets of a query, as in PostgreSQL.
const SETS_MAX: usize = 4096;

/// The most elements of CUBE, as in PostgreSQL.
const CUBE_MAX: usize = 12;

/// A GROUP BY.
pub(super) struct GroupBy {
    /// The different keys; none without a GROUP BY.
    pub(super) keys: Option<Vec<Expr>>,
    /// The sets, where any are written: places of keys.
    pub(super) sets: Option<Vec<Vec<usize>>>,
}

impl Binder<'_> {
    pub(super) fn group_by(
        &mut self,
        query: &syntax::Query,
        fields: &mut [OutputField],
        scope: &Scope<'_>,
    ) -> Result<GroupBy> {
        let Some(items) = &query.group_by else {
            return Ok(GroupBy { keys: None, sets: None });
        };
        let mut keys: Vec<Expr> = Vec::new();
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        let mut has_sets = false;
        // Keys that are output columns, by place: of two that are the same expression each would be a key by itself.
        let mut outputs: Vec<(Expr, usize)> = Vec::new();
        let mut is_twofold = false;
        for item in items {
            let mut key = |binder: &mut Self, expr: &syntax::Expr| -> Result<usize> {
                let (bound, place) = binder.group_key(expr, fields, scope)?;
                if let Some(place) = place {
                    is_twofold |= outputs.iter().any(|(known, at)| *known == bound && *at != place);
                    outputs.push((bound.clone(), place));
                }
                if let Some(place) = keys.iter().position(|known| *known == bound) {
                    return Ok(place);
                }
                let sortable = binder.check_sortable(bound.type_id(), "an equality operator");
                binder.place(sortable, expr.span)?;
                keys.push(bound);
                Ok(keys.len() - 1)
            };
            let mut parts = |binder: &mut Self, parts: &[Vec<syntax::Expr>]| {
                let keys = |part: &Vec<syntax::Expr>| {
                    part.iter().map(|expr| key(binder, expr)).collect::<Result<Vec<usize>>>()
                };
                parts.iter().map(keys).collect::<Result<Vec<Vec<usize>>>>()
            };
            has_sets |= !matches!(item, GroupItem::Expr(_));
            let own: Vec<Vec<usize>> = match item {
                GroupItem::Expr(expr) => vec![vec![key(self, expr)?]],
                GroupItem::Sets(written) => parts(self, written)?,
                GroupItem::Rollup(written) => {
                    let parts = parts(self, written)?;
                    (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect()
                }
                GroupItem::Cube(written) if written.len() > CUBE_MAX => {
                    let error =
                        PgError::new("54011", format!("CUBE is limited to {CUBE_MAX} elements"));
                    let first = written.iter().flatten().next();
                    return Err(self.at(error, first.map(|expr| expr.span).unwrap_or_default()));
                }
                GroupItem::Cube(written) => {
                    let parts = parts(self, written)?;
                    let chosen = |mask: usize| {
                        let places = 0..parts.len();
                        let chosen =
                            places.filter(|place| mask >> (parts.len() - 1 - place) & 1 == 0);
                        chosen.flat_map(|place| parts[place].clone()).collect()
                    };
                    (0..1_usize << parts.len()).map(chosen).collect()
                }
            };
            if sets.len().saturating_mul(own.len()) > SETS_MAX {
                return Err(PgError::new(
                    "54001",
                    format!("too many grouping sets present (maximum {SETS_MAX})"),
                ));
            }
            // Every set of the items so far with every one of this item.
            sets = sets
                .iter()
                .flat_map(|set| own.iter().map(|more| [set.as_slice(), more].concat()))
                .collect();
        }
        if has_sets && is_twofold {
            return Err(PgError::unsupported(
                "grouping sets over several output columns that are the same expression are not supported",
            )
            .with_hint("Name one of the columns."));
        }
        for set in &mut sets {
            set.sort_unstable();
            set.dedup();
        }
        if query.group_distinct {
            let mut seen = std::collections::HashSet::new();
            sets.retain(|set| seen.insert(set.clone()));
        }
        Ok(GroupBy { keys: Some(keys), sets: has_sets.then_some(sets) })
    }

    /// GROUPING; that its arguments are keys is checked when these are known.
    pub(super) fn grouping(
        &mut self,
        args: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        if args.len() > 31 {
            return Err(PgError::new("54023", "GROUPING must have fewer than 32 arguments"));
        }
        let call = Expr::Grouping(self.exprs(args, scope, clause)?);
        let (mut reads, mut reads_own) = (false, false);
        walk(&call, &mut |node| {
            reads |= matches!(node, Expr::Field(_));
            reads_own |= matches!(node, Expr::Field(_)) && scope.owns(node);
        });
        if reads && !reads_own {
            self.check_around(&call, scope)?;
            return Ok(call);
        }
        if let Some(word) = clause.refuses_aggregates() {
            let message = format!("grouping operations are not allowed in {word}");
            return Err(PgError::new("42803", message));
        }
        if clause == Clause::AggregateArgument {
            return Err(PgError::new("42803", "aggregate function calls cannot be nested"));
        }
        Ok(call)
    }

    /// Checks that GROUPING is over keys; without grouping sets it is 0.
    pub(super) fn check_grouping_calls(
        &mut self,
        select: &mut query::Select,
        keys: &[Expr],
    ) -> Result<()> {
        let has_sets = select.grouping_sets.is_some();
        let own = super::group::own_aliases(select);
        let mut result = Ok(());
        let volatile = self.volatile_subqueries();
        // Those of queries inside that are over the keys of this one.
        for subquery in self.subqueries.last_mut().into_iter().flatten() {
            each_expr_mut(subquery, &mut |expr| {
                each_node_mut(expr, &mut |node| {
                    let Expr::Grouping(args) = node else { return };
                    if !super::group::is_over(args, &own) {
                        return;
                    }
                    if !args.iter().all(|arg| keys.contains(arg)) {
                        result = Err(not_a_key());
                    } else if !has_sets {
                        *node = Expr::constant(Value::Int4(0), TypeId::INT4);
                    }
                });
            });
        }
        own_exprs_mut(select, &mut |expr| {
            each_node_mut(expr, &mut |node| {
                let Expr::Grouping(args) = node else { return };
                if args.iter().any(|arg| super::group::has_subquery_of(arg, &volatile)) {
                    let message = "GROUPING of a volatile subquery is not supported";
                    result = Err(PgError::unsupported(message));
                } else if !args.iter().all(|arg| keys.contains(arg)) {
                    let (mut reads, mut reads_own) = (false, false);
                    for arg in args.iter() {
                        walk(arg, &mut |node| {
                            if let Expr::Field(field) = node {
                                reads = true;
                                reads_own |= own.contains(&field.source);
                            }
                        });
                    }
                    if reads && !reads_own {
                        return;
                    }
                    result = Err(not_a_key());
                } else if !has_sets {
                    *node = Expr::constant(Value::Int4(0), TypeId::INT4);
                }
            });
        });
        result
    }
}

fn not_a_key() -> PgError {
    PgError::new(
        "42803",
        "arguments to GROUPING must be grouping expressions of the associated query level",
    )
}
