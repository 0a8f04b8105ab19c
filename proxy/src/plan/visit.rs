//! Going through a plan: an operator's inputs, its scans, the expressions that it computes.

use dataman_node_protocol::query::{NodeQuery, Records};
use dataman_pg::Expr;
use dataman_pg::expr::Frame;

use super::form;
use super::operator::{NodeScan, Operator, ShardRule};

impl Operator {
    /// Calls `visit` on the operator's inputs.
    pub(crate) fn inputs(&self) -> Vec<&Operator> {
        match self {
            Self::Rows { .. }
            | Self::Virtual(_)
            | Self::Scan(_)
            | Self::Merge { .. }
            | Self::Table { .. }
            | Self::Working { .. } => Vec::new(),
            Self::Recurse { first, step, .. } => vec![first, step],
            Self::Route { otherwise, .. } => otherwise.iter().map(AsRef::as_ref).collect(),
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Expand { input, .. }
            | Self::Combine { input, .. }
            | Self::Group { input, .. }
            | Self::Window { input, .. }
            | Self::Distinct { input, .. }
            | Self::Sort { input, .. }
            | Self::Keep { input, .. }
            | Self::Lookup { input, .. }
            | Self::Apply { input, .. }
            | Self::Limit { input, .. } => vec![input],
            Self::OrElse { input, otherwise } => vec![input, otherwise],
            Self::Narrow { wide, narrow, .. } => vec![wide, narrow],
            Self::Join { left, right, .. } | Self::SetOperation { left, right, .. } => {
                vec![left, right]
            }
            Self::Append(inputs) => inputs.iter().collect(),
            Self::Gather(gather) => gather.parts.iter().map(|part| &part.operator).collect(),
        }
    }

    pub(super) fn inputs_mut(&mut self) -> Vec<&mut Operator> {
        match self {
            Self::Rows { .. }
            | Self::Virtual(_)
            | Self::Scan(_)
            | Self::Merge { .. }
            | Self::Table { .. }
            | Self::Working { .. } => Vec::new(),
            Self::Recurse { first, step, .. } => vec![first, step],
            Self::Route { otherwise, .. } => otherwise.iter_mut().map(AsMut::as_mut).collect(),
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Expand { input, .. }
            | Self::Combine { input, .. }
            | Self::Group { input, .. }
            | Self::Window { input, .. }
            | Self::Distinct { input, .. }
            | Self::Sort { input, .. }
            | Self::Keep { input, .. }
            | Self::Lookup { input, .. }
            | Self::Apply { input, .. }
            | Self::Limit { input, .. } => vec![input],
            Self::OrElse { input, otherwise } => vec![input, otherwise],
            Self::Narrow { wide, narrow, .. } => vec![wide, narrow],
            Self::Join { left, right, .. } | Self::SetOperation { left, right, .. } => {
                vec![left, right]
            }
            Self::Append(inputs) => inputs.iter_mut().collect(),
            Self::Gather(gather) => {
                gather.parts.iter_mut().map(|part| &mut part.operator).collect()
            }
        }
    }

    /// Calls `visit` on the scans of this operator and its inputs.
    pub(super) fn each_scan_mut(&mut self, visit: &mut dyn FnMut(&mut NodeScan)) {
        if let Self::Scan(scan) | Self::Merge { scan, .. } | Self::Route { whole: scan, .. } = self
        {
            visit(scan);
        }
        for input in self.inputs_mut() {
            input.each_scan_mut(visit);
        }
    }

    /// Whether it or an operator below reads shards.
    pub(super) fn reads_shards(&self) -> bool {
        matches!(self, Self::Scan(_) | Self::Merge { .. } | Self::Route { .. } | Self::Table { .. })
            || self.inputs().into_iter().any(Self::reads_shards)
    }

    /// Leaves only the whole form of the scans below to which no join below gives keys.
    pub(super) fn widen(&mut self) {
        let mut given = Vec::new();
        self.each_keys(&mut given);
        self.widen_but(&given);
    }

    fn each_keys(&self, into: &mut Vec<Expr>) {
        if let Self::Join { keys: Some((_, param)), .. } = self {
            into.push(param.clone());
        }
        self.inputs().into_iter().for_each(|input| input.each_keys(into));
    }

    fn widen_but(&mut self, given: &[Expr]) {
        if let Self::Narrow { wide, param, .. } = self
            && !given.contains(param)
        {
            *self = std::mem::replace(wide.as_mut(), Self::Append(Vec::new()));
        }
        self.inputs_mut().into_iter().for_each(|input| input.widen_but(given));
    }

    /// Replaces each input.
    pub(super) fn map_inputs(&mut self, change: &mut dyn FnMut(Operator) -> Operator) {
        for input in self.inputs_mut() {
            let taken = std::mem::replace(input, Operator::Append(Vec::new()));
            *input = change(taken);
        }
    }

    /// Calls `visit` on the top of every expression that this operator itself computes above the shards.
    pub(crate) fn each_own_expr<'s>(&'s self, visit: &mut dyn FnMut(&'s Expr)) {
        match self {
            Self::Rows { rows, .. } => rows.iter().flatten().for_each(visit),
            Self::Virtual(scan) => scan.key.iter().for_each(|key| visit(&key.value)),
            Self::Filter { predicate, .. } => visit(predicate),
            Self::Project { exprs, .. } => exprs.iter().for_each(visit),
            Self::Expand { call, .. } => call.args.iter().for_each(visit),
            Self::Group { keys, aggregates, .. } => {
                keys.iter().for_each(&mut *visit);
                for aggregate in aggregates {
                    aggregate.args.iter().for_each(&mut *visit);
                    aggregate.filter.iter().for_each(&mut *visit);
                    aggregate.order_by.iter().for_each(|key| visit(&key.expr));
                }
            }
            Self::Window { calls, .. } => {
                for call in calls {
                    call.args.iter().for_each(&mut *visit);
                    call.filter.iter().for_each(&mut *visit);
                    call.partition_by.iter().for_each(&mut *visit);
                    call.order_by.iter().for_each(|key| visit(&key.expr));
                    call.frame.iter().flat_map(Frame::offsets).for_each(&mut *visit);
                }
            }
            Self::Sort { keys, .. } => keys.iter().for_each(|key| visit(&key.expr)),
            Self::Limit { limit, offset, .. } => {
                limit.iter().for_each(&mut *visit);
                offset.iter().for_each(visit);
            }
            Self::Join { equal, on, keys, .. } => {
                for (left, right) in equal {
                    visit(left);
                    visit(right);
                }
                on.iter().for_each(&mut *visit);
                keys.iter().for_each(|(_, param)| visit(param));
            }
            Self::Narrow { param, .. } => visit(param),
            Self::Lookup { keys, .. } => {
                for (own, outer) in keys {
                    visit(own);
                    visit(outer);
                }
            }
            Self::Apply { outer, on, .. } => {
                outer.iter().for_each(&mut *visit);
                on.iter().for_each(visit);
            }
            Self::Route { .. }
            | Self::Scan(_)
            | Self::Merge { .. }
            | Self::Combine { .. }
            | Self::Distinct { .. }
            | Self::Keep { .. }
            | Self::OrElse { .. }
            | Self::Table { .. }
            | Self::Working { .. }
            | Self::Recurse { .. }
            | Self::Append(_)
            | Self::Gather(_)
            | Self::SetOperation { .. } => {}
        }
    }

    pub(super) fn each_own_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match self {
            Self::Rows { rows, .. } => rows.iter_mut().flatten().for_each(visit),
            Self::Virtual(scan) => scan.key.iter_mut().for_each(|key| visit(&mut key.value)),
            Self::Filter { predicate, .. } => visit(predicate),
            Self::Project { exprs, .. } => exprs.iter_mut().for_each(visit),
            Self::Expand { call, .. } => call.args.iter_mut().for_each(visit),
            Self::Group { keys, aggregates, .. } => {
                keys.iter_mut().for_each(&mut *visit);
                for aggregate in aggregates {
                    aggregate.args.iter_mut().for_each(&mut *visit);
                    aggregate.filter.iter_mut().for_each(&mut *visit);
                    aggregate.order_by.iter_mut().for_each(|key| visit(&mut key.expr));
                }
            }
            Self::Window { calls, .. } => {
                for call in calls {
                    call.args.iter_mut().for_each(&mut *visit);
                    call.filter.iter_mut().for_each(&mut *visit);
                    call.partition_by.iter_mut().for_each(&mut *visit);
                    call.order_by.iter_mut().for_each(|key| visit(&mut key.expr));
                    call.frame.iter_mut().flat_map(Frame::offsets_mut).for_each(&mut *visit);
                }
            }
            Self::Sort { keys, .. } => keys.iter_mut().for_each(|key| visit(&mut key.expr)),
            Self::Limit { limit, offset, .. } => {
                limit.iter_mut().for_each(&mut *visit);
                offset.iter_mut().for_each(visit);
            }
            Self::Join { equal, on, keys, .. } => {
                for (left, right) in equal {
                    visit(left);
                    visit(right);
                }
                on.iter_mut().for_each(&mut *visit);
                keys.iter_mut().for_each(|(_, param)| visit(param));
            }
            Self::Narrow { param, .. } => visit(param),
            Self::Lookup { keys, .. } => {
                for (own, outer) in keys {
                    visit(own);
                    visit(outer);
                }
            }
            Self::Apply { outer, on, .. } => {
                outer.iter_mut().for_each(&mut *visit);
                on.iter_mut().for_each(visit);
            }
            Self::Route { .. }
            | Self::Scan(_)
            | Self::Merge { .. }
            | Self::Combine { .. }
            | Self::Distinct { .. }
            | Self::Keep { .. }
            | Self::OrElse { .. }
            | Self::Table { .. }
            | Self::Working { .. }
            | Self::Recurse { .. }
            | Self::Append(_)
            | Self::Gather(_)
            | Self::SetOperation { .. } => {}
        }
    }

    /// Calls `visit` on the top of every expression that is computed above the shards, and on those of scans.
    pub(super) fn each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.each_own_expr_mut(visit);
        if let Self::Route { rules, .. } = self {
            rules.iter_mut().for_each(|rule| rule.each_expr_mut(visit));
        }
        if let Self::Gather(gather) = self {
            gather.shards.each_expr_mut(visit);
        }
        if let Self::Scan(scan) | Self::Merge { scan, .. } | Self::Route { whole: scan, .. } = self
        {
            scan.each_expr_mut(visit);
        }
        for input in self.inputs_mut() {
            input.each_expr_mut(visit);
        }
    }
}

impl ShardRule {
    pub(super) fn each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        if let Self::Keys { rule, .. } = self {
            rule.each_expr_mut(visit);
        }
    }
}

impl NodeScan {
    pub(super) fn each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.shards.each_expr_mut(visit);
        each_query_expr_mut(&mut self.query, visit);
    }
}

/// Calls `visit` on the top of every expression of a node query.
pub(crate) fn each_query_expr_mut(query: &mut NodeQuery, visit: &mut dyn FnMut(&mut Expr)) {
    match query {
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
            form::each_expr_mut(select, visit)
        }
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
            match &mut insert.records {
                Records::Values(rows) => rows.iter_mut().flatten().for_each(&mut *visit),
                Records::Query(select) => form::each_expr_mut(select, visit),
                Records::Parameters => {}
            }
            if let Some(conflict) = &mut insert.conflict {
                conflict.set.iter_mut().for_each(|(_, value)| visit(value));
                conflict.filter.iter_mut().for_each(&mut *visit);
            }
            form::output_exprs_mut(&mut insert.returning, visit);
            insert.subqueries.iter_mut().for_each(|select| form::each_expr_mut(select, visit));
        }
        NodeQuery::Update(update) => {
            update.record_op.iter_mut().for_each(|(_, value)| visit(value));
            update.source.iter_mut().for_each(|source| form::source_exprs_mut(source, visit));
            for source in &mut update.source {
                form::source_selects_mut(source, &mut |select| form::own_exprs_mut(select, visit));
            }
            update.filter.iter_mut().for_each(|filter| form::condition_exprs_mut(filter, visit));
            form::output_exprs_mut(&mut update.returning, visit);
            update.subqueries.iter_mut().for_each(|select| form::each_expr_mut(select, visit));
        }
        NodeQuery::Delete(delete) => {
            delete.source.iter_mut().for_each(|source| form::source_exprs_mut(source, visit));
            for source in &mut delete.source {
                form::source_selects_mut(source, &mut |select| form::own_exprs_mut(select, visit));
            }
            delete.filter.iter_mut().for_each(|filter| form::condition_exprs_mut(filter, visit));
            form::output_exprs_mut(&mut delete.returning, visit);
            delete.subqueries.iter_mut().for_each(|select| form::each_expr_mut(select, visit));
        }
        NodeQuery::Copy(copy) => copy.filter.iter_mut().for_each(&mut *visit),
        NodeQuery::Get(_)
        | NodeQuery::Set(_)
        | NodeQuery::Sql(_)
        | NodeQuery::Define(_)
        | NodeQuery::Inspect(_) => {}
    }
}
