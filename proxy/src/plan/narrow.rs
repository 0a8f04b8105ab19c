//! A scan below a join that asks for the rows alone that the join's other side has keys for, when these turn out to be few.

use dataman_node_protocol::query::{Condition, JoinKind, NodeQuery, OutputField};
use dataman_pg::expr::CastMethod;
use dataman_pg::{Expr, catalog};

use super::Planner;
use super::bind::Internal;
use super::distribution::filter_conjuncts;
use super::operator::{NodeScan, Operator};
use super::sources::all_of;

/// How many times as many rows the scan must be expected to have as the other side.
const FACTOR: f64 = 8.0;

impl Planner<'_> {
    /// Gives a join's left side a second form, whose rows have one of the keys of the right side. The right side is held before
    /// the left one is read, and what has no partner on the right is nothing of the result.
    pub(super) fn narrowed(&mut self, join: Operator, left_rows: f64, right_rows: f64) -> Operator {
        let Operator::Join { left, right, kind, equal, on } = join else { return join };
        let mut left = left;
        if matches!(kind, JoinKind::Inner | JoinKind::Right)
            && left_rows > FACTOR * right_rows
            && let Operator::Scan(scan) = left.as_ref()
            && let Some((narrow, key, param)) =
                equal.iter().enumerate().find_map(|(key, (own, _))| {
                    self.narrow_scan(scan, own).map(|(narrow, param)| (narrow, key, param))
                })
        {
            let wide = std::mem::replace(left.as_mut(), Operator::Append(Vec::new()));
            *left = Operator::Narrow {
                wide: Box::new(wide),
                narrow: Box::new(Operator::Scan(narrow)),
                key,
                param,
            };
        }
        Operator::Join { left, right, kind, equal, on }
    }

    /// The scan with a condition that a column is one of the elements of a parameter; and that parameter.
    fn narrow_scan(&mut self, scan: &NodeScan, own: &Expr) -> Option<(NodeScan, Expr)> {
        let NodeQuery::Filter(select) = &scan.query else { return None };
        if scan.visible != scan.columns.len() || select.lock.is_some() {
            return None;
        }
        // What the join compares is the scan's column, or the same by another name.
        let column = match own {
            Expr::Cast(cast) if cast.method == CastMethod::Relabel => &cast.arg,
            other => other,
        };
        let Expr::Column { index, .. } = column else { return None };
        let OutputField::Bound { expr: field @ Expr::Field(_), .. } = select.fields.get(*index)?
        else {
            return None;
        };
        let ty = own.type_id();
        let array = catalog::type_by_id(ty)?.array;
        let equality = catalog::operators_named("=")
            .iter()
            .find(|operator| operator.left == ty && operator.right == ty)?;
        if array.0 == 0 {
            return None;
        }
        let left = match own {
            Expr::Cast(cast) => {
                let mut moved = cast.as_ref().clone();
                moved.arg = field.clone();
                Expr::Cast(Box::new(moved))
            }
            _ => field.clone(),
        };
        let saved = self.parameters.clone();
        let param = self.parameters.add_internal(Internal::Keys(array));
        let condition = Expr::ArrayOp {
            function: equality.function,
            operator: equality.id,
            all: false,
            left: Box::new(left),
            array: Box::new(param.clone()),
        };
        if !self.exact(&condition, &scan.datastore) {
            self.parameters = saved;
            return None;
        }
        let mut node = select.clone();
        let mut parts = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut parts);
        parts.push(&condition);
        node.filter = Some(Condition::Expr(all_of(parts.into_iter().cloned().collect())));
        let shards = match scan.shards {
            super::operator::ShardRule::All => self.prune(&node),
            ref other => other.clone(),
        };
        Some((self.scan(node, shards, &scan.datastore, None), param))
    }
}
