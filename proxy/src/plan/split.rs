//! A query over spread rows → a part for each shard and a merge.

use dataman_metadata::id::DatastoreId;
use dataman_node_protocol::capability::Feature;
use dataman_node_protocol::query::{Distinct, OutputField, Select};
use dataman_pg::aggregate;
use dataman_pg::expr::Aggregate;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::Planner;
use super::above::{Tail, TailDistinct, tail};
use super::bind::{Internal, Parameters};
use super::distribution::Spread;
use super::divide::not_exact;
use super::form::{replace, walk};
use super::operator::{GroupingSets, MergeKey, Operator, ShardRule};
use super::select::{Result, output_exprs};

/// Whether a select groups, and a group can have rows of several shards.
pub(super) fn groups_span(select: &Select, spread: &Spread) -> bool {
    select.group.as_ref().is_some_and(|group| {
        select.grouping_sets.is_some() || !spread.decided_by(&group.iter().collect::<Vec<_>>())
    })
}

impl Planner<'_> {
    /// Divides a select whose FROM and WHERE stay on the shards.
    pub(super) fn split(
        &mut self,
        select: &Select,
        spread: &Spread,
        datastore: &DatastoreId,
        windows_stay: bool,
    ) -> Result<Operator> {
        match &select.group {
            Some(group) if groups_span(select, spread) => {
                self.split_aggregate(select, group, datastore)
            }
            _ if !windows_stay => self.split_windows(select, datastore),
            _ => match self.attempt(|planner| planner.split_rows(select, spread, datastore)) {
                Ok(operator) => Ok(operator),
                Err(error) => {
                    let rule = self.prune(select);
                    let computed =
                        self.attempt(|planner| planner.split_computed(select, datastore, rule));
                    computed.map_err(|_| error)
                }
            },
        }
    }

    /// Rows, or groups that are each on one shard: the shards sort and limit, the merge keeps the order.
    fn split_rows(
        &mut self,
        select: &Select,
        spread: &Spread,
        datastore: &DatastoreId,
    ) -> Result<Operator> {
        let mut node = select.clone();
        let outputs = output_exprs(select);
        let visible = outputs.len();
        let mut columns = outputs.clone();
        let mut column_of = |expr: &Expr| -> usize {
            columns.iter().position(|column| column == expr).unwrap_or_else(|| {
                columns.push(expr.clone());
                columns.len() - 1
            })
        };
        let merges_distinct = match &select.distinct {
            Distinct::All => None,
            Distinct::Distinct => (!spread.decided_by(&outputs.iter().collect::<Vec<_>>()))
                .then(|| (0..visible).collect()),
            Distinct::On(on) => {
                let decided = spread.decided_by(&on.iter().collect::<Vec<_>>());
                (!decided).then(|| on.iter().map(&mut column_of).collect::<Vec<usize>>())
            }
        };
        let keys: Vec<MergeKey> = select
            .sort
            .iter()
            .map(|key| MergeKey {
                column: column_of(&key.expr),
                ty: key.expr.type_ref(),
                descending: key.descending,
                nulls_first: key.nulls_first,
            })
            .collect();
        for expr in &columns[visible..] {
            node.fields.push(OutputField::Bound { expr: expr.clone(), name: String::from("?") });
        }
        name_hidden(&mut node.fields, visible);
        let distinct_here = merges_distinct.is_some();
        let supported_on = !matches!(select.distinct, Distinct::On(_))
            || self
                .shards(datastore)
                .into_iter()
                .any(|shard| self.supports_on(Feature::DistinctOn, datastore, shard));
        if !supported_on {
            // The rows come whole and in order; the first of each set is taken above.
            node.distinct = Distinct::All;
        }
        node.with_ties = false;
        node.offset = None;
        node.limit = if select.with_ties || !supported_on {
            None
        } else {
            pushed_limit(select, &mut self.parameters)
        };
        for key in &keys {
            check_decodable(key.ty)?;
        }
        let rule = self.prune(select);
        let limited = select.limit.is_some() || select.offset.is_some();
        let needs_hidden = distinct_here || !supported_on || select.with_ties;
        let hidden = columns.len() > visible;
        let ties = select.with_ties.then(|| keys.iter().map(|key| key.column).collect());
        let on_columns = match &select.distinct {
            Distinct::On(on) => Some(
                on.iter()
                    .filter_map(|expr| columns.iter().position(|column| column == expr))
                    .collect::<Vec<usize>>(),
            ),
            _ => None,
        };
        let shown = if needs_hidden { columns.len() } else { visible };
        let mut operator = self.scattered(node, rule, datastore, keys, shown)?;
        if let Some(keys) = merges_distinct.or_else(|| on_columns.filter(|_| !supported_on)) {
            operator = Operator::Distinct { input: Box::new(operator), keys };
        }
        if limited {
            operator = Operator::Limit {
                input: Box::new(operator),
                limit: select.limit.clone(),
                offset: select.offset.clone(),
                ties,
            };
        }
        if needs_hidden && hidden {
            let exprs = columns[..visible]
                .iter()
                .enumerate()
                .map(|(index, expr)| Expr::Column { index, ty: expr.type_ref() })
                .collect();
            operator = Operator::Project { input: Box::new(operator), exprs };
        }
        Ok(operator)
    }

    /// Rows, or groups that are each on one shard, with windows over all of them: the shards give what the windows and the
    /// outputs read.
    pub(super) fn split_windows(
        &mut self,
        select: &Select,
        datastore: &DatastoreId,
    ) -> Result<Operator> {
        let mut in_offset = false;
        super::form::for_each_expr(select, &mut |expr| {
            walk(expr, &mut |node| {
                let frame = match node {
                    Expr::Window(window) => window.frame.as_ref(),
                    _ => None,
                };
                for offset in frame.iter().flat_map(|frame| frame.offsets()) {
                    walk(offset, &mut |node| in_offset |= matches!(node, Expr::Subquery { .. }));
                }
            });
        });
        if in_offset {
            // It is no value of a row: it is computed before all rows.
            return Err(PgError::unsupported("a subquery as the offset of a frame"));
        }
        let mut read: Vec<Expr> = Vec::new();
        let mut above = |expr: &Expr| {
            replace(expr, &mut |node| {
                let is_key = select.group.as_ref().is_some_and(|keys| keys.contains(node));
                let from_below = is_key
                    || matches!(node, Expr::Field(_) | Expr::Aggregate(_) | Expr::Subquery { .. });
                from_below.then(|| {
                    let index = read.iter().position(|known| known == node).unwrap_or_else(|| {
                        read.push(node.clone());
                        read.len() - 1
                    });
                    Expr::Column { index, ty: node.type_ref() }
                })
            })
        };
        let tail_parts = Tail {
            having: None,
            fields: output_exprs(select).iter().map(&mut above).collect(),
            distinct: match &select.distinct {
                Distinct::All => TailDistinct::All,
                Distinct::Distinct => TailDistinct::Rows,
                Distinct::On(on) => TailDistinct::On(on.iter().map(&mut above).collect()),
            },
            sort: select
                .sort
                .iter()
                .map(|key| dataman_pg::expr::SortKey { expr: above(&key.expr), ..key.clone() })
                .collect(),
            limit: select.limit.clone(),
            offset: select.offset.clone(),
            with_ties: select.with_ties,
        };
        if read.is_empty() {
            read.push(Expr::constant(Value::Bool(true), TypeId::BOOL));
        }
        let mut node = Select {
            source: select.source.clone(),
            filter: select.filter.clone(),
            group: select.group.clone(),
            having: select.having.clone(),
            fields: named(&read),
            subqueries: select.subqueries.clone(),
            ..Select::default()
        };
        super::select::drop_unused_subqueries(&mut node);
        let rule = self.prune(select);
        let input = self.scattered(node, rule, datastore, Vec::new(), read.len())?;
        for column in input.columns() {
            check_decodable(column)?;
        }
        tail(input, tail_parts)
    }

    /// Rows, or groups that are each on one shard, whose outputs the shards do not compute: they find, sort and limit the rows and
    /// give what the outputs read.
    pub(super) fn split_computed(
        &mut self,
        select: &Select,
        datastore: &DatastoreId,
        rule: ShardRule,
    ) -> Result<Operator> {
        if !select.distinct.is_all()
            || select.with_ties
            || select.grouping_sets.is_some()
            || !select.union.is_empty()
            || has_window(select)
        {
            return Err(not_exact());
        }
        let mut read: Vec<Expr> = Vec::new();
        let mut place_of = |expr: &Expr| -> usize {
            read.iter().position(|known| known == expr).unwrap_or_else(|| {
                read.push(expr.clone());
                read.len() - 1
            })
        };
        let exprs: Vec<Expr> = output_exprs(select)
            .iter()
            .map(|output| {
                if self.exact(output, datastore) {
                    return Expr::Column { index: place_of(output), ty: output.type_ref() };
                }
                replace(output, &mut |node| {
                    let is_key = select.group.as_ref().is_some_and(|keys| keys.contains(node));
                    let from_below = is_key
                        || matches!(
                            node,
                            Expr::Field(_) | Expr::Aggregate(_) | Expr::Subquery { .. }
                        );
                    from_below.then(|| Expr::Column { index: place_of(node), ty: node.type_ref() })
                })
            })
            .collect();
        if exprs.iter().all(|expr| matches!(expr, Expr::Column { .. })) {
            // It is not for its outputs that the shards do not carry it out.
            return Err(not_exact());
        }
        for expr in &exprs {
            dataman_pg::eval::check_computed_around(expr)?;
        }
        let keys: Vec<MergeKey> = select
            .sort
            .iter()
            .map(|key| MergeKey {
                column: place_of(&key.expr),
                ty: key.expr.type_ref(),
                descending: key.descending,
                nulls_first: key.nulls_first,
            })
            .collect();
        if read.is_empty() {
            read.push(Expr::constant(Value::Bool(true), TypeId::BOOL));
        }
        for expr in &read {
            check_decodable(expr.type_ref())?;
        }
        let mut node = Select {
            fields: named(&read),
            offset: None,
            limit: pushed_limit(select, &mut self.parameters),
            ..select.clone()
        };
        super::select::drop_unused_subqueries(&mut node);
        let mut operator = self.scattered(node, rule, datastore, keys, read.len())?;
        if select.limit.is_some() || select.offset.is_some() {
            operator = Operator::Limit {
                input: Box::new(operator),
                limit: select.limit.clone(),
                offset: select.offset.clone(),
                ties: None,
            };
        }
        Ok(Operator::Project { input: Box::new(operator), exprs })
    }

    /// Groups that span shards: partial aggregates that combine, or the rows themselves.
    fn split_aggregate(
        &mut self,
        select: &Select,
        group: &[Expr],
        datastore: &DatastoreId,
    ) -> Result<Operator> {
        if computes_subquery(select, group) {
            return Err(PgError::unsupported(
                "a subquery over the groups of several shards is computed above them",
            ));
        }
        let aggregates = aggregates_of(select);
        let rule = self.prune(select);
        let partials = partials(select, group, &aggregates).and_then(|node| {
            let width = node.fields.len();
            self.attempt(|planner| planner.scattered(node, rule, datastore, Vec::new(), width)).ok()
        });
        // Both ways give the keys first and the aggregates behind them.
        let input = match partials {
            Some(scan) => {
                for column in scan.columns() {
                    check_decodable(column)?;
                }
                Operator::Combine {
                    input: Box::new(scan),
                    keys: group.len(),
                    aggregates: aggregates.clone(),
                    sets: grouping_sets(select, group),
                }
            }
            None => self.gathered(select, group, &aggregates, datastore)?,
        };
        grouped_tail(input, select, group, &aggregates)
    }

    /// The rows that the aggregates need, aggregated whole above.
    fn gathered(
        &mut self,
        select: &Select,
        group: &[Expr],
        aggregates: &[Aggregate],
        datastore: &DatastoreId,
    ) -> Result<Operator> {
        let mut fields: Vec<Expr> = Vec::new();
        let mut column = |expr: &Expr| -> Expr {
            // What is the same for every row is also there when there is none.
            if is_fixed(expr) {
                return expr.clone();
            }
            let index = fields.iter().position(|field| field == expr).unwrap_or_else(|| {
                fields.push(expr.clone());
                fields.len() - 1
            });
            Expr::Column { index, ty: expr.type_ref() }
        };
        let keys: Vec<Expr> = group.iter().map(&mut column).collect();
        let mut calls = Vec::new();
        for call in aggregates {
            let mut moved = call.clone();
            moved.args.iter_mut().for_each(|arg| *arg = column(arg));
            moved.filter.iter_mut().for_each(|filter| *filter = column(filter));
            moved.order_by.iter_mut().for_each(|key| key.expr = column(&key.expr));
            calls.push(moved);
        }
        if fields.is_empty() {
            fields.push(Expr::constant(Value::Bool(true), TypeId::BOOL));
        }
        for call in &calls {
            check_accumulated(call)?;
        }
        let mut node = Select {
            source: select.source.clone(),
            filter: select.filter.clone(),
            fields: named(&fields),
            subqueries: select.subqueries.clone(),
            ..Select::default()
        };
        super::select::drop_unused_subqueries(&mut node);
        let rule = self.prune(select);
        let width = fields.len();
        let scan = self.scattered(node, rule, datastore, Vec::new(), width)?;
        for column in scan.columns() {
            check_decodable(column)?;
        }
        Ok(Operator::Group {
            input: Box::new(scan),
            keys,
            aggregates: calls,
            sets: grouping_sets(select, group),
        })
    }
}

/// The select that computes partial aggregates, when every aggregate splits.
fn partials(select: &Select, group: &[Expr], aggregates: &[Aggregate]) -> Option<Select> {
    let mut fields = group.to_vec();
    for call in aggregates {
        if call.distinct || !call.order_by.is_empty() {
            return None;
        }
        let types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
        let split = aggregate::split(call.function, &types)?;
        for partial in split.partials {
            fields.push(Expr::Aggregate(Box::new(Aggregate {
                function: partial.function,
                args: (partial.args)(&call.args),
                distinct: false,
                order_by: Vec::new(),
                filter: call.filter.clone(),
                ty: partial.ty,
            })));
        }
    }
    let mut node = Select {
        source: select.source.clone(),
        filter: select.filter.clone(),
        group: Some(group.to_vec()),
        fields: named(&fields),
        subqueries: select.subqueries.clone(),
        ..Select::default()
    };
    super::select::drop_unused_subqueries(&mut node);
    Some(node)
}

/// Whether an expression is made of constants and parameters alone.
fn is_fixed(expr: &Expr) -> bool {
    let mut fixed = true;
    walk(expr, &mut |node| {
        fixed &= matches!(
            node,
            Expr::Const(_) | Expr::Param { .. } | Expr::Cast(_) | Expr::Array { .. }
        );
    });
    fixed && dataman_pg::eval::check_computed(expr).is_ok()
}

/// What comes after grouping: HAVING, the select list, DISTINCT, ORDER BY and LIMIT over keys and aggregates.
pub(super) fn grouped_tail(
    input: Operator,
    select: &Select,
    group: &[Expr],
    aggregates: &[Aggregate],
) -> Result<Operator> {
    let groupings = groupings_of(select);
    let to_columns = |expr: &Expr| {
        replace(expr, &mut |node| {
            // As in PostgreSQL, a constant within an expression stays what it is, also where a set leaves out a key that is
            // the same constant; one that is a whole column is the key.
            if select.grouping_sets.is_some()
                && matches!(node, Expr::Const(_))
                && !std::ptr::eq(node, expr)
            {
                return None;
            }
            if let Expr::Grouping(args) = node {
                let place = groupings.iter().position(|known| known == args)?;
                let index = group.len() + aggregates.len() + place;
                return Some(Expr::Column { index, ty: node.type_ref() });
            }
            if let Some(index) = group.iter().position(|key| key == node) {
                return Some(Expr::Column { index, ty: node.type_ref() });
            }
            if let Expr::Aggregate(call) = node
                && let Some(place) = aggregates.iter().position(|known| known == call.as_ref())
            {
                return Some(Expr::Column { index: group.len() + place, ty: call.ty });
            }
            None
        })
    };
    let distinct = match &select.distinct {
        Distinct::All => TailDistinct::All,
        Distinct::Distinct => TailDistinct::Rows,
        Distinct::On(on) => TailDistinct::On(on.iter().map(to_columns).collect()),
    };
    tail(
        input,
        Tail {
            having: select.having.as_ref().map(to_columns),
            fields: output_exprs(select).iter().map(to_columns).collect(),
            distinct,
            sort: select
                .sort
                .iter()
                .map(|key| dataman_pg::expr::SortKey { expr: to_columns(&key.expr), ..key.clone() })
                .collect(),
            limit: select.limit.clone(),
            offset: select.offset.clone(),
            with_ties: select.with_ties,
        },
    )
}

/// The grouping sets of a select whose keys are `group`.
pub(super) fn grouping_sets(select: &Select, group: &[Expr]) -> Option<GroupingSets> {
    let place = |arg: &Expr| group.iter().position(|key| key == arg);
    let calls =
        groupings_of(select).iter().map(|args| args.iter().filter_map(place).collect()).collect();
    Some(GroupingSets { sets: select.grouping_sets.clone()?, calls })
}

/// The arguments of the different calls of GROUPING.
fn groupings_of(select: &Select) -> Vec<Vec<Expr>> {
    let mut found: Vec<Vec<Expr>> = Vec::new();
    super::form::for_each_expr(select, &mut |expr| {
        walk(expr, &mut |node| {
            if let Expr::Grouping(args) = node
                && !found.contains(args)
            {
                found.push(args.clone());
            }
        });
    });
    found
}

/// The different aggregates of a select.
pub(super) fn aggregates_of(select: &Select) -> Vec<Aggregate> {
    let mut found: Vec<Aggregate> = Vec::new();
    let mut visit = |expr: &Expr| {
        walk(expr, &mut |node| {
            if let Expr::Aggregate(call) = node
                && !found.contains(call)
            {
                found.push(call.as_ref().clone());
            }
        });
    };
    output_exprs(select).iter().for_each(&mut visit);
    select.having.iter().for_each(&mut visit);
    select.sort.iter().for_each(|key| visit(&key.expr));
    if let Distinct::On(on) = &select.distinct {
        on.iter().for_each(&mut visit);
    }
    found
}

/// Whether a select's outputs or order use window functions.
pub(super) fn has_window(select: &Select) -> bool {
    let mut found = false;
    super::form::for_each_expr(select, &mut |expr| {
        walk(expr, &mut |node| found |= matches!(node, Expr::Window(_)));
    });
    found
}

/// An aggregate that this library computes whole.
///
/// # Errors
/// `0A000` naming it.
pub(super) fn check_accumulated(call: &Aggregate) -> Result<()> {
    let types = aggregate::input_types(call);
    if aggregate::accumulator(call.function, &types, &dataman_pg::Context::default()).is_some() {
        return Ok(());
    }
    let name = dataman_pg::catalog::function(call.function).map_or("?", |function| function.name);
    Err(PgError::unsupported(format!(
        "the aggregate {name} over several shards is not supported yet"
    ))
    .with_hint("Fix the shard key to one value, or group by it."))
}

/// A type whose values the library reads.
///
/// # Errors
/// `0A000` naming the type.
pub(super) fn check_decodable(ty: TypeRef) -> Result<()> {
    // The `reg…` types are made here only: no shard sends any. A row's binary form names its fields' types.
    let is_row = matches!(ty.id, TypeId::RECORD | TypeId::RECORD_ARRAY);
    if dataman_pg::io::is_read(ty.id) || ty.id.is_oid() || is_row {
        return Ok(());
    }
    Err(PgError::unsupported(format!(
        "values of type {} cannot be sorted, grouped or computed with above the shards yet",
        dataman_pg::catalog::format_type(ty.id, -1)
    )))
}

/// Output fields for expressions, under names of their own.
pub(super) fn named(exprs: &[Expr]) -> Vec<OutputField> {
    exprs
        .iter()
        .enumerate()
        .map(|(place, expr)| OutputField::Bound { expr: expr.clone(), name: format!("c{place}") })
        .collect()
}

fn name_hidden(fields: &mut [OutputField], visible: usize) {
    for (place, field) in fields.iter_mut().enumerate().skip(visible) {
        if let OutputField::Bound { name, .. } = field {
            *name = format!("hidden{place}");
        }
    }
}

/// The limit that each shard can apply: limit and offset together.
fn pushed_limit(select: &Select, parameters: &mut Parameters) -> Option<Expr> {
    let limit = select.limit.as_ref()?;
    let Some(offset) = &select.offset else {
        return Some(limit.clone());
    };
    Some(
        parameters
            .add_internal(Internal::RowsNeeded { limit: limit.clone(), offset: offset.clone() }),
    )
}

/// Whether a subquery that is left to the shards stands in what is computed over groups.
fn computes_subquery(select: &Select, group: &[Expr]) -> bool {
    fn finds(expr: &Expr, group: &[Expr]) -> bool {
        if group.contains(expr) || matches!(expr, Expr::Aggregate(_)) {
            return false;
        }
        if let Expr::Subquery { index, .. } = expr {
            return super::apply::applied(*index).is_none();
        }
        let mut found = false;
        expr.for_each_child(&mut |child| found = found || finds(child, group));
        found
    }
    let outputs = output_exprs(select);
    let sort = select.sort.iter().map(|key| &key.expr);
    outputs.iter().chain(&select.having).chain(sort).any(|expr| finds(expr, group))
}
