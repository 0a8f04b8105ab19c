//! A scan below a join that asks for the rows alone that the join's other side has keys for, when these turn out to be few.

use dataman_node_protocol::query::{Condition, Distinct, NodeQuery, OutputField, Select};
use dataman_pg::expr::{Cast, CastMethod};
use dataman_pg::{Expr, catalog};

use super::Planner;
use super::bind::Internal;
use super::distribution::filter_conjuncts;
use super::joining::Joining;
use super::operator::{NodeScan, Operator, VirtualKey, VirtualScan};
use super::sources::all_of;

/// How many times as many rows the scan must be expected to have as the other side.
const FACTOR: f64 = 8.0;

impl Planner<'_> {
    /// Gives a scan on a join's left side a second form, whose rows have one of the keys of the right side. The right side is
    /// held before the left one is read, and what has no partner on the right is nothing of the result.
    pub(super) fn narrowed(&mut self, join: Operator, left_rows: f64, right_rows: f64) -> Operator {
        let Operator::Join { mut left, right, kind, equal, on, .. } = join else { return join };
        let mut keys = None;
        // How many rows a subquery has is known less well.
        let factor = if kind.gives_pairs() { FACTOR } else { 1.0 };
        if !kind.keeps_left() && left_rows > factor * right_rows {
            keys = equal.iter().enumerate().find_map(|(pair, (own, _))| {
                self.narrow_below(&mut left, own, None).map(|param| (pair, param))
            });
        }
        Operator::Join { left, right, kind, equal, on, keys }
    }

    /// Finds the scan that a key comes from, through operators that keep or drop a key's rows all together, and narrows it: by
    /// `given`, where other scans of the same rows already are, else by a new parameter.
    fn narrow_below(
        &mut self,
        operator: &mut Operator,
        own: &Expr,
        given: Option<&Expr>,
    ) -> Option<Expr> {
        let index = column_of(own)?;
        match operator {
            Operator::Scan(scan) => {
                let (narrow, param) = self.narrow_scan(scan, own, given)?;
                let wide = std::mem::replace(operator, Operator::Append(Vec::new()));
                *operator = Operator::Narrow {
                    wide: Box::new(wide),
                    narrow: Box::new(Operator::Scan(narrow)),
                    param: param.clone(),
                };
                Some(param)
            }
            Operator::Virtual(scan) => {
                let place = *scan.places.get(index)?;
                let array = catalog::type_by_id(own.type_id())?.array;
                if scan.key.is_some() || array.0 == 0 || !matches!(own, Expr::Column { .. }) {
                    return None;
                }
                let param = self.parameters.add_internal(Internal::Keys(array));
                let key = Some(VirtualKey { place, value: param.clone(), any: true });
                let narrow = Operator::Virtual(VirtualScan { key, ..scan.clone() });
                let wide = std::mem::replace(operator, Operator::Append(Vec::new()));
                *operator = Operator::Narrow {
                    wide: Box::new(wide),
                    narrow: Box::new(narrow),
                    param: param.clone(),
                };
                Some(param)
            }
            Operator::Filter { input, .. } | Operator::Sort { input, .. } => {
                self.narrow_below(input, own, given)
            }
            Operator::Distinct { input, keys } if keys.is_empty() || keys.contains(&index) => {
                self.narrow_below(input, own, given)
            }
            Operator::Combine { input, keys, sets: None, .. } if index < *keys => {
                self.narrow_below(input, own, given)
            }
            Operator::Project { input, exprs }
            | Operator::Group { input, keys: exprs, sets: None, .. } => {
                let below = over(own, exprs.get(index)?)?;
                self.narrow_below(input, &below, given)
            }
            Operator::Join { left, right, kind, .. } => {
                let width = if kind.gives_left() { left.columns().len() } else { 0 };
                if index < width {
                    let drops = matches!(
                        kind,
                        Joining::Inner
                            | Joining::Left
                            | Joining::Semi
                            | Joining::Anti
                            | Joining::NotIn
                    );
                    return if drops { self.narrow_below(left, own, given) } else { None };
                }
                let drops = matches!(
                    kind,
                    Joining::Inner | Joining::Right | Joining::RightSemi | Joining::RightAnti
                );
                let below = over(own, &Expr::Column { index: index - width, ty: own.type_ref() })?;
                if drops { self.narrow_below(right, &below, given) } else { None }
            }
            Operator::Gather(gather) if gather.keys.is_empty() => {
                let mut found = given.cloned();
                for part in &mut gather.parts {
                    let narrowed = self.narrow_below(&mut part.operator, own, found.as_ref());
                    found = found.or(narrowed);
                }
                found
            }
            _ => None,
        }
    }

    /// The scan with a condition that a column is one of the elements of a parameter; and that parameter.
    fn narrow_scan(
        &mut self,
        scan: &NodeScan,
        own: &Expr,
        given: Option<&Expr>,
    ) -> Option<(NodeScan, Expr)> {
        let (NodeQuery::Filter(select) | NodeQuery::Aggregate(select)) = &scan.query else {
            return None;
        };
        if scan.visible != scan.columns.len() {
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
        if !takes(select, field) {
            return None;
        }
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
        let param = match given {
            Some(given) => given.clone(),
            None => self.parameters.add_internal(Internal::Keys(array)),
        };
        let condition = Expr::ArrayOp {
            function: equality.function,
            operator: equality.id,
            all: false,
            left: Box::new(left),
            array: Box::new(param.clone()),
        };
        let shards = match &scan.among {
            Some(among) => among.clone(),
            None => self.shards_of(&scan.shards, &scan.datastore),
        };
        if !shards.iter().all(|shard| self.exact_on(&condition, &scan.datastore, *shard)) {
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
        let mut narrow = self.scan(node, shards, &scan.datastore, None);
        narrow.among.clone_from(&scan.among);
        Some((narrow, param))
    }
}

/// Whether a condition on a column may be asked of a query's rows before all else that it does.
fn takes(select: &Select, field: &Expr) -> bool {
    select.lock.is_none()
        && select.limit.is_none()
        && select.offset.is_none()
        && select.union.is_empty()
        && select.grouping_sets.is_none()
        && select.with.is_empty()
        && !super::split::has_window(select)
        && match &select.distinct {
            Distinct::All | Distinct::Distinct => true,
            Distinct::On(on) => on.contains(field),
        }
        && select.group.as_ref().is_none_or(|group| group.contains(field))
        && matches!(select.filter, None | Some(Condition::Expr(_)))
}

/// The column that a join compares, perhaps by another name.
fn column_of(own: &Expr) -> Option<usize> {
    match own {
        Expr::Column { index, .. } => Some(*index),
        Expr::Cast(cast) if cast.method == CastMethod::Relabel => column_of(&cast.arg),
        _ => None,
    }
}

/// What is compared, over the column below that the compared one is.
fn over(own: &Expr, below: &Expr) -> Option<Expr> {
    column_of(below)?;
    match own {
        Expr::Cast(cast) => {
            let arg = over(&cast.arg, below)?;
            Some(Expr::Cast(Box::new(Cast { arg, ..cast.as_ref().clone() })))
        }
        _ => Some(below.clone()),
    }
}
