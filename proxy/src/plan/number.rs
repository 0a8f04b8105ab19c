//! Sequence functions over the rows of a query: the shards send the rows, and the proxy computes the columns in their order.

use dataman_node_protocol::query::{Distinct, OutputField, Select};
use dataman_pg::{Expr, PgError, catalog, eval};

use super::Planner;
use super::bind::Internal;
use super::form::{output_columns, replace, walk};
use super::operator::Operator;
use super::select::{Result, output_exprs};

/// Whether an expression calls a sequence function.
pub(super) fn takes_numbers(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        if let Expr::Call(call) = node {
            found |= catalog::function(call.function).is_some_and(|function| {
                matches!(function.name, "nextval" | "currval" | "lastval" | "setval")
            });
        }
    });
    found
}

/// Whether a select, or one inside it, calls a sequence function.
pub(super) fn select_takes_numbers(select: &Select) -> bool {
    let mut found = false;
    super::form::for_each_select(select, &mut |inner| {
        super::form::for_each_expr(inner, &mut |expr| found |= takes_numbers(expr));
    });
    found
}

impl Planner<'_> {
    /// Whether a select's own columns call sequence functions over the rows of a FROM.
    pub(super) fn numbers_rows(&self, select: &Select) -> bool {
        self.facts.numbers
            && !select.source.is_empty()
            && select.union.is_empty()
            && output_exprs(select).iter().any(takes_numbers)
    }

    /// As PostgreSQL does, numbers are taken after ORDER BY, and for no more rows than LIMIT and OFFSET read.
    pub(super) fn numbered(&mut self, mut select: Select) -> Result<Operator> {
        let refused = |what: &str| {
            Err(PgError::unsupported(format!(
                "a sequence function in a query with {what} is not supported"
            ))
            .with_hint("Put the query into FROM, and call the function in the query around it."))
        };
        if !matches!(select.distinct, Distinct::All) {
            return refused("DISTINCT");
        }
        if select.with_ties {
            return refused("WITH TIES");
        }
        if select.sort.iter().any(|key| takes_numbers(&key.expr)) {
            return refused("ORDER BY the function");
        }
        let outputs = output_exprs(&select);
        // Only what the database must answer comes up; all else is computed when its turn comes.
        let mut read: Vec<Expr> = Vec::new();
        let exprs: Vec<Expr> = outputs
            .iter()
            .map(|expr| {
                replace(expr, &mut |node| {
                    let is_key = select.group.as_ref().is_some_and(|keys| keys.contains(node));
                    let from_below = is_key
                        || matches!(
                            node,
                            Expr::Field(_)
                                | Expr::Column { .. }
                                | Expr::Aggregate(_)
                                | Expr::Window(_)
                                | Expr::Grouping(_)
                                | Expr::Subquery { .. }
                        );
                    from_below.then(|| {
                        let index =
                            read.iter().position(|known| known == node).unwrap_or_else(|| {
                                read.push(node.clone());
                                read.len() - 1
                            });
                        Expr::Column { index, ty: node.type_ref() }
                    })
                })
            })
            .collect();
        exprs.iter().try_for_each(eval::check_computed)?;
        if read.is_empty() {
            read.push(Expr::constant(dataman_pg::Value::Bool(true), dataman_pg::TypeId::BOOL));
        }
        select.fields = read
            .into_iter()
            .enumerate()
            .map(|(place, expr)| OutputField::Bound { expr, name: format!("column{}", place + 1) })
            .collect();
        for column in output_columns(&select) {
            super::split::check_decodable(column.ty)?;
        }
        let offset = select.offset.take();
        if let Some(offset) = &offset
            && let Some(limit) = select.limit.take()
        {
            let needed = Internal::RowsNeeded { limit, offset: offset.clone() };
            select.limit = Some(self.parameters.add_internal(needed));
        }
        let input = self.select(select, None)?;
        let projected = Operator::Project { input: Box::new(input), exprs };
        Ok(match offset {
            None => projected,
            Some(offset) => Operator::Limit {
                input: Box::new(projected),
                limit: None,
                offset: Some(offset),
                ties: None,
            },
        })
    }
}
