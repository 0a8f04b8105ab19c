//! How many rows an operator may give: what the order of joins is chosen by. Wrong numbers make plans slow, never wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_node_protocol::query::{JoinKind, Select, Source};
use dataman_pg::expr::{Field, IsTest};
use dataman_pg::{Expr, Value, catalog};

use super::Planner;
use super::distribution::conjuncts;
use super::form::walk;
use crate::route::prune::bare_field;

/// What is known of a collection's rows, over all its shards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub rows: f64,
    /// How many different values each field has.
    pub distinct: BTreeMap<String, f64>,
}

/// Rows of a source of which nothing is known.
pub(crate) const ROWS: f64 = 1000.0;

/// Fewer rows than these are all alike: it is not worth another order than the one that is written.
const ROWS_MIN: f64 = 100.0;

/// Different values of a field of which nothing is known.
const DISTINCT: f64 = 200.0;

/// The part of the groups that HAVING is expected to leave: who asks for it looks for the few.
const HAVING: f64 = 0.1;

impl Planner<'_> {
    fn statistics(&self, alias: &str) -> Option<Arc<Statistics>> {
        let id = self.tables.get(alias)?.collection.id;
        self.sampled.borrow_mut().insert(id);
        self.context.capabilities.statistics(id)
    }

    /// The rows of a collection.
    fn rows_of(&self, alias: &str) -> f64 {
        self.statistics(alias).map_or(ROWS, |statistics| statistics.rows.max(ROWS_MIN))
    }

    /// The different values of a field; as many as there are rows where it is unique.
    fn distinct(&self, field: &Field) -> f64 {
        let Some(table) = self.tables.get(&field.source) else { return DISTINCT };
        if table.collection.unique_keys().any(|key| key == [field.name.as_str()]) {
            return self.rows_of(&field.source);
        }
        self.statistics(&field.source)
            .and_then(|statistics| statistics.distinct.get(&field.name).copied())
            .unwrap_or(DISTINCT)
            .max(1.0)
    }

    /// The rows of a source after conditions on it alone.
    pub(super) fn source_rows(&self, source: &Source, conditions: &[&Expr]) -> f64 {
        match source {
            Source::Collection { alias, .. } => {
                let own = conditions.iter().filter(|condition| reads_only(condition, alias));
                let kept: f64 = own.map(|condition| self.selectivity(condition)).product();
                (self.rows_of(alias) * kept).max(1.0)
            }
            Source::Query { query, .. } => self.select_rows(query),
            Source::Values { rows, .. } => rows.len() as f64,
            Source::Join { left, right, kind, on } => {
                let mut own = Vec::new();
                if let Some(on) = on {
                    conjuncts(on, &mut own);
                }
                let (one, other) =
                    (self.source_rows(left, conditions), self.source_rows(right, conditions));
                let joined = self.joined_rows(one, other, &own);
                match kind {
                    JoinKind::Inner => joined,
                    JoinKind::Left => joined.max(one),
                    JoinKind::Right => joined.max(other),
                    JoinKind::Full => joined.max(one).max(other),
                }
            }
            Source::Virtual { alias, .. } => {
                let own = conditions.iter().filter(|condition| reads_only(condition, alias));
                let kept: f64 = own.map(|condition| self.selectivity(condition)).product();
                (ROWS * kept).max(1.0)
            }
            Source::Function { .. } | Source::CommonTable { .. } => ROWS,
        }
    }

    /// The rows of a select.
    pub(super) fn select_rows(&self, select: &Select) -> f64 {
        if let Some(Expr::Const(limit)) = &select.limit
            && let Value::Int8(limit) = limit.value
        {
            return limit as f64;
        }
        if select.group.as_ref().is_some_and(Vec::is_empty) {
            return 1.0;
        }
        let mut conditions = Vec::new();
        super::distribution::filter_conjuncts(select.filter.as_ref(), &mut conditions);
        let mut rows: Option<f64> = None;
        for source in &select.source {
            let own = self.source_rows(source, &conditions);
            rows =
                Some(rows.map_or(own, |rows| self.joined_rows(rows, own, &[]).min(rows.max(own))));
        }
        let rows = rows.unwrap_or(1.0);
        match &select.group {
            None => rows,
            Some(group) => {
                let groups: f64 = group
                    .iter()
                    .map(|key| bare_field(key).map_or(DISTINCT, |field| self.distinct(field)))
                    .product();
                let kept = if select.having.is_some() { HAVING } else { 1.0 };
                (groups.min(rows) * kept).max(1.0)
            }
        }
    }

    /// The rows of an inner join.
    pub(super) fn joined_rows(&self, one: f64, other: f64, on: &[&Expr]) -> f64 {
        let kept: f64 = on
            .iter()
            .map(|condition| match super::apply::equality(condition) {
                Some(call) => {
                    let most =
                        |arg: &Expr| bare_field(arg).map_or(DISTINCT, |field| self.distinct(field));
                    1.0 / call.args.iter().map(most).fold(1.0, f64::max)
                }
                None => 1.0 / 3.0,
            })
            .product();
        (one * other * kept).max(1.0)
    }

    /// The part of the rows for which a condition is true.
    fn selectivity(&self, condition: &Expr) -> f64 {
        let of_field = |expr: &Expr| match bare_field(expr) {
            Some(field) => 1.0 / self.distinct(field),
            None => 1.0 / DISTINCT,
        };
        match condition {
            Expr::And(parts) => parts.iter().map(|part| self.selectivity(part)).product(),
            Expr::Or(parts) => {
                parts.iter().map(|part| self.selectivity(part)).sum::<f64>().min(1.0)
            }
            Expr::Not(arg) => 1.0 - self.selectivity(arg),
            Expr::Const(constant) => f64::from(u8::from(constant.value == Value::Bool(true))),
            Expr::Is { test: IsTest::Null, negated, .. } => {
                if *negated {
                    0.995
                } else {
                    0.005
                }
            }
            Expr::ArrayOp { all: false, left, array, .. } => {
                let elements = match array.as_ref() {
                    Expr::Array { elements, .. } => elements.len() as f64,
                    _ => 10.0,
                };
                (of_field(left) * elements).min(1.0)
            }
            Expr::Call(call) => {
                let name = call.operator.and_then(catalog::operator).map_or("", |found| found.name);
                match (name, call.args.as_slice()) {
                    ("=", [left, right]) => of_field(left).max(of_field(right)),
                    ("<>", [left, right]) => 1.0 - of_field(left).max(of_field(right)),
                    ("~~", _) => 0.05,
                    ("!~~", _) => 0.95,
                    _ => 1.0 / 3.0,
                }
            }
            _ => 1.0 / 3.0,
        }
    }
}

fn reads_only(condition: &Expr, alias: &str) -> bool {
    let (mut own, mut other) = (false, false);
    walk(condition, &mut |node| match node {
        Expr::Field(field) if field.source == alias => own = true,
        Expr::Field(_) | Expr::Subquery { .. } => other = true,
        _ => {}
    });
    own && !other
}
