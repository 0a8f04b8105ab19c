//! What each shard is asked where a datastore's databases differ.
//!
//! A query whose parts stay on the shards is asked of every shard that carries it out. Of the others ([`Planner::lesser`]) as much
//! is asked as they carry out, and the rest of the same query is done above over their rows: what is proven to be right shard by
//! shard is right over some shards together, so their part is planned as if there were no others ([`Among`]). All parts have
//! the same columns in the same order, and an [`Operator::Gather`] makes one stream of them.

use std::collections::BTreeMap;

use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_metadata::schema::Placement;
use dataman_node_protocol::capability::{Capability, is_exact_tree, is_exact_tree_in_write};
use dataman_node_protocol::query::{Condition, Distinct, NamedType, OutputField, Select, Source};
use dataman_pg::{Expr, PgError};

use super::Planner;
use super::bind::Table;
use super::condition::Fields;
use super::form::{self, for_each_expr, for_each_select, output_columns};
use super::operator::{Gather, MergeKey, NodeScan, Operator, Part, ShardRule};
use super::select::{Result, features, loses_user_type};
use super::sources::{Columns, all_of, covered, fields_of, used};
use super::split::check_decodable;
use crate::scatter::contract::ShardRef;

/// The shards of a datastore that are planned for, when it is not all of them.
#[derive(Debug, Clone)]
pub(crate) struct Among {
    datastore: DatastoreId,
    shards: Vec<ShardId>,
}

/// Whether an expression is exact for a capability.
type IsExact = fn(&dyn Capability, &Expr) -> bool;

impl Planner<'_> {
    /// The shards of a datastore that are planned for.
    pub(super) fn shards(&self, datastore: &DatastoreId) -> Vec<ShardId> {
        match &self.among {
            Some(among) if among.datastore == *datastore => among.shards.clone(),
            _ => (0..self.shard_count(datastore)).map(ShardId).collect(),
        }
    }

    /// The shards that a scan by a rule may ask, when it is not all that the rule means.
    pub(super) fn among(&self, rule: &ShardRule, datastore: &DatastoreId) -> Option<Vec<ShardId>> {
        let among = self.among.as_ref().filter(|among| among.datastore == *datastore)?;
        matches!(rule, ShardRule::All | ShardRule::Keys { .. }).then(|| among.shards.clone())
    }

    /// The shards that a rule can mean.
    pub(super) fn shards_of(&self, rule: &ShardRule, datastore: &DatastoreId) -> Vec<ShardId> {
        match rule {
            ShardRule::One(shard) => vec![*shard],
            ShardRule::Any => vec![self.first_shard(datastore)],
            ShardRule::All | ShardRule::Keys { .. } => self.shards(datastore),
        }
    }

    /// The shard that is asked where any one can be.
    pub(super) fn first_shard(&self, datastore: &DatastoreId) -> ShardId {
        self.shards(datastore).first().copied().unwrap_or(ShardId(0))
    }

    /// The shards that hold records of a table.
    pub(super) fn shards_of_table(&self, table: &Table) -> Vec<ShardId> {
        match &table.collection.placement {
            Placement::Single { shard } => vec![*shard],
            Placement::Sharded(_) | Placement::Reference => {
                self.shards(&table.collection.datastore)
            }
        }
    }

    /// Plans something; what it has added to the statement's plan goes again when it fails.
    pub(super) fn attempt<T>(&mut self, plan: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (subplans, applies) = (self.subplans.len(), self.applies.len());
        let (tables, parameters) = (self.common_tables.len(), self.parameters.clone());
        let planned = plan(self);
        if planned.is_err() {
            self.subplans.truncate(subplans);
            self.applies.truncate(applies);
            self.common_tables.truncate(tables);
            self.parameters = parameters;
        }
        planned
    }

    /// Asks the shards of a rule a query that stays on each of them. The rows come in the order of `keys`, which are columns of the
    /// query; its first `visible` columns come out.
    ///
    /// # Errors
    /// `0A000` when no shard carries it out, or the proxy cannot do the rest of it for those that do not.
    pub(super) fn scattered(
        &mut self,
        node: Select,
        rule: ShardRule,
        datastore: &DatastoreId,
        keys: Vec<MergeKey>,
        visible: usize,
    ) -> Result<Operator> {
        let merged = |mut scan: NodeScan, keys: Vec<MergeKey>, visible: usize| {
            scan.visible = visible;
            if keys.is_empty() { Operator::Scan(scan) } else { Operator::Merge { scan, keys } }
        };
        let shards = self.shards_of(&rule, datastore);
        let (able, unable) = self.divided(&node, datastore, &shards);
        if unable.is_empty() {
            let scan = self.scan(node, rule, datastore, None);
            return Ok(merged(scan, keys, visible));
        }
        if able.is_empty() || !node.with.is_empty() {
            return Err(not_exact());
        }
        let columns = output_columns(&node);
        for column in &columns {
            check_decodable(column.ty)?;
        }
        let lesser = self.planned_among(datastore, &unable, |planner| {
            planner.attempt(|planner| planner.lesser(node.clone()))
        })?;
        debug_assert_eq!(
            lesser.columns().iter().map(|ty| ty.id).collect::<Vec<_>>(),
            columns.iter().map(|column| column.ty.id).collect::<Vec<_>>(),
            "all parts have the same columns"
        );
        let whole = self.planned_among(datastore, &able, |planner| {
            planner.scan(node, rule.clone(), datastore, None)
        });
        let parts = vec![
            Part { shards: able, operator: merged(whole, keys.clone(), columns.len()) },
            Part { shards: unable, operator: lesser },
        ];
        let datastore = datastore.clone();
        Ok(Operator::Gather(Gather { parts, keys, visible, shards: rule, datastore }))
    }

    /// A query for shards that do not carry it out: their rows as far as they go, and the rest above.
    fn lesser(&mut self, node: Select) -> Result<Operator> {
        if let Some(datastore) = self.among.as_ref().map(|among| among.datastore.clone()) {
            let rule = self.prune(&node);
            let computed = self.attempt(|planner| planner.split_computed(&node, &datastore, rule));
            if let Ok(operator) = computed {
                return Ok(operator);
            }
        }
        self.above(node)
    }

    fn planned_among<T>(
        &mut self,
        datastore: &DatastoreId,
        shards: &[ShardId],
        plan: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let among = Among { datastore: datastore.clone(), shards: shards.to_vec() };
        let outer = self.among.replace(among);
        let planned = plan(self);
        self.among = outer;
        planned
    }

    /// All rows of a collection for which conditions hold. Takes the conditions that shards carry out of `open`: those that some
    /// do not are asked above the rows of these.
    pub(super) fn collection(
        &mut self,
        source: &Source,
        (alias, fields): (&str, &[NamedType]),
        wanted: &Fields,
        open: &mut Vec<Expr>,
    ) -> Result<(Operator, Columns)> {
        let table = self.table(alias)?;
        let datastore = table.collection.datastore;
        let placed = match &table.collection.placement {
            Placement::Reference => ShardRule::Any,
            Placement::Single { shard } => ShardRule::One(*shard),
            Placement::Sharded(_) => ShardRule::All,
        };
        let shards = self.shards_of(&placed, &datastore);
        let mut columns = Columns::default();
        columns.add(alias, fields);
        // The conditions that go down, each with which shards carry it out.
        let mut pushed: Vec<(Expr, Vec<bool>)> = Vec::new();
        for condition in std::mem::take(open) {
            let is_own = self.is_own(&condition) && covered(&condition, &columns);
            let carried: Vec<bool> = shards
                .iter()
                .map(|shard| is_own && self.exact_on(&condition, &datastore, *shard))
                .collect();
            let some = carried.contains(&true);
            if some && (!carried.contains(&false) || columns.bind(&condition).is_ok()) {
                pushed.push((condition, carried));
            } else {
                open.push(condition);
            }
        }
        // Only the fields that are read above come up.
        let used = or_first(used(alias, fields, wanted, open), fields);
        let mut out = Columns::default();
        out.add(alias, &used);
        let node = |fields: &[NamedType], conditions: Vec<Expr>| Select {
            source: vec![source.clone()],
            filter: (!conditions.is_empty()).then(|| Condition::Expr(all_of(conditions))),
            fields: fields_of(alias, fields),
            ..Select::default()
        };
        let rule = match placed {
            ShardRule::All => {
                let conditions = pushed.iter().map(|(condition, _)| condition.clone()).collect();
                self.prune(&node(&used, conditions))
            }
            placed => placed,
        };
        let mut classes: BTreeMap<Vec<bool>, Vec<ShardId>> = BTreeMap::new();
        for (place, shard) in shards.iter().enumerate() {
            let carried = pushed.iter().map(|(_, carried)| carried[place]).collect();
            classes.entry(carried).or_default().push(*shard);
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(_, shards)| shards.first().copied());
        let is_whole = classes.len() <= 1;
        let mut parts = Vec::new();
        for (carried, shards) in classes {
            let (mut down, mut left) = (Vec::new(), Vec::new());
            for ((condition, _), carried) in pushed.iter().zip(&carried) {
                if *carried { &mut down } else { &mut left }.push(condition.clone());
            }
            let read = self::used(alias, fields, wanted, &[open.as_slice(), &left].concat());
            let read = or_first(read, fields);
            for column in &read {
                check_decodable(column.ty)?;
            }
            let node = node(&read, down);
            let operator = if is_whole {
                self.scan(node, rule.clone(), &datastore, None)
            } else {
                self.planned_among(&datastore, &shards, |planner| {
                    planner.scan(node, rule.clone(), &datastore, None)
                })
            };
            let mut operator = Operator::Scan(operator);
            let mut columns = Columns::default();
            columns.add(alias, &read);
            for condition in left {
                let predicate = columns.bind(&condition)?;
                operator = Operator::Filter { input: Box::new(operator), predicate };
            }
            if read != used {
                let exprs = fields_of(alias, &used)
                    .iter()
                    .filter_map(|field| match field {
                        OutputField::Bound { expr, .. } => Some(columns.bind(expr)),
                        OutputField::Named(_) => None,
                    })
                    .collect::<Result<_>>()?;
                operator = Operator::Project { input: Box::new(operator), exprs };
            }
            parts.push(Part { shards, operator });
        }
        let operator = match parts.pop() {
            Some(part) if parts.is_empty() => part.operator,
            last => {
                parts.extend(last);
                let (keys, visible) = (Vec::new(), used.len());
                Operator::Gather(Gather { parts, keys, visible, shards: rule, datastore })
            }
        };
        Ok((operator, out))
    }

    /// Of some shards those that carry out a whole select with PostgreSQL's meaning, and those that do not.
    fn divided(
        &self,
        select: &Select,
        datastore: &DatastoreId,
        shards: &[ShardId],
    ) -> (Vec<ShardId>, Vec<ShardId>) {
        shards.iter().partition(|shard| self.carries(select, datastore, **shard, is_exact_tree))
    }

    /// Of some shards those that carry out a whole select.
    pub(super) fn carriers(
        &self,
        select: &Select,
        datastore: &DatastoreId,
        shards: &[ShardId],
    ) -> Vec<ShardId> {
        self.divided(select, datastore, shards).0
    }

    /// Whether some shards carry out a write of one collection, seen as a select over it.
    pub(super) fn carried_out_in_write(
        &self,
        seen: &Select,
        datastore: &DatastoreId,
        shards: &[ShardId],
    ) -> bool {
        shards.iter().all(|shard| self.carries(seen, datastore, *shard, is_exact_tree_in_write))
    }

    fn carries(
        &self,
        select: &Select,
        datastore: &DatastoreId,
        shard: ShardId,
        is_exact: IsExact,
    ) -> bool {
        if form::reads_virtual(select) || self.has_whole(select) {
            return false;
        }
        let shard = ShardRef { datastore: datastore.clone(), shard };
        self.capability(&shard)
            .is_some_and(|capability| carries_select(capability, select, is_exact))
    }

    /// Whether a query has a derived table that is computed by itself: a database would not compute the columns that nothing reads.
    fn has_whole(&self, select: &Select) -> bool {
        let mut found = false;
        if !self.facts.whole.is_empty() {
            form::for_each_source(select, &mut |source| {
                found |= form::alias_of(source).is_some_and(|it| self.facts.whole.contains(it));
            });
        }
        found
    }

    /// Whether the shards that are planned for carry out one expression exactly.
    pub(super) fn exact(&self, expr: &Expr, datastore: &DatastoreId) -> bool {
        self.shards(datastore).iter().all(|shard| self.exact_on(expr, datastore, *shard))
    }

    /// Whether a shard carries out one expression exactly.
    pub(super) fn exact_on(&self, expr: &Expr, datastore: &DatastoreId, shard: ShardId) -> bool {
        let shard = ShardRef { datastore: datastore.clone(), shard };
        self.capability(&shard).is_some_and(|capability| is_exact_tree(capability, expr))
    }
}

/// Whether a database carries out a whole select.
fn carries_select(capability: &dyn Capability, select: &Select, is_exact: IsExact) -> bool {
    let mut exact = true;
    let mut is_inside = !select.union.is_empty();
    for_each_select(select, &mut |select| {
        exact = exact && !loses_user_type(select, std::mem::replace(&mut is_inside, true));
        exact = exact && !is_group_unsaid(select);
        exact = exact && features(select).iter().all(|feature| capability.supports(*feature));
        for_each_expr(select, &mut |expr| exact = exact && is_exact(capability, expr));
        let sorted = |expr: &Expr| capability.sorts_exactly(expr.type_id());
        exact = exact && select.sort.iter().all(|key| sorted(&key.expr));
        exact = exact && select.group.iter().flatten().all(sorted);
        // A constant there would be a place in the list, or nothing that ORDER BY has.
        let fixed = |key: &Expr| matches!(key, Expr::Const(_) | Expr::Param { .. });
        if let Distinct::On(keys) = &select.distinct {
            exact = exact && !keys.iter().any(fixed);
        }
        exact = exact && !(select.with_ties && select.sort.iter().all(|key| fixed(&key.expr)));
        if matches!(select.distinct, Distinct::Distinct) {
            let columns = output_columns(select);
            exact = exact && columns.iter().all(|column| capability.sorts_exactly(column.ty.id));
        }
    });
    exact
}

/// Whether all rows are one group that SQL has no word for: without an aggregate or HAVING, it would be no group at all.
fn is_group_unsaid(select: &Select) -> bool {
    if select.having.is_some() || select.group.as_ref().is_none_or(|group| !group.is_empty()) {
        return false;
    }
    let mut computes = false;
    for_each_expr(select, &mut |expr| {
        form::walk(expr, &mut |node| computes |= matches!(node, Expr::Aggregate(_)));
    });
    !computes
}

/// A collection of which no field is read is still read for its records.
fn or_first(used: Vec<NamedType>, fields: &[NamedType]) -> Vec<NamedType> {
    if used.is_empty() { fields.iter().take(1).cloned().collect() } else { used }
}

/// The refusal of what no shard does and the proxy does not do either.
pub(super) fn not_exact() -> PgError {
    PgError::unsupported("the shards' databases cannot carry out the query exactly")
}

#[cfg(test)]
mod tests {
    use dataman_metadata::id::ShardId;
    use dataman_node_protocol::capability::{Capability, Feature};
    use dataman_pg::types::TypeRef;
    use dataman_pg::{Expr, TypeId, catalog};

    use crate::plan::tests::{Everything, planned_by, shape_of};
    use crate::scatter::contract::{Capabilities, ShardRef};

    /// Shards 0 and 1 carry out everything, 2 and 3 neither `upper` nor what text is sorted for.
    struct Halves {
        all: Everything,
        less: Less,
    }

    struct Less;

    impl Capability for Less {
        fn engine(&self) -> &'static str {
            "less"
        }

        fn is_exact(&self, expr: &Expr) -> bool {
            let Expr::Call(call) = expr else { return true };
            catalog::function(call.function).is_none_or(|function| function.name != "upper")
        }

        fn sorts_exactly(&self, ty: TypeId) -> bool {
            ty != TypeId::TEXT
        }

        fn supports(&self, feature: Feature) -> bool {
            !matches!(feature, Feature::Join | Feature::DistinctOn | Feature::Subquery)
        }

        fn stores(&self, _ty: TypeRef) -> Result<(), String> {
            Ok(())
        }
    }

    impl Capabilities for Halves {
        fn of(&self, shard: &ShardRef) -> Option<&dyn Capability> {
            Some(if shard.shard < ShardId(2) { &self.all } else { &self.less })
        }
    }

    fn check(sql: &str, expected: &str) {
        let halves = Halves { all: Everything { takes_sql: false }, less: Less };
        assert_eq!(shape_of(planned_by(sql, &halves)), expected, "{sql}");
    }

    #[test]
    fn each_shard_is_asked_what_it_carries_out() {
        check("select id from orders where total > 5 order by id", "Merge Sorted | Shards: all 4");
        check(
            "select id from orders where upper(note) = 'X' and id > 3",
            "Gather | Shards: all | Scatter | Shards: 0, 1 \
             | Project | Filter | Scatter | Shards: 2, 3",
        );
        // The rest of a projection is done where it must be, over rows that are sorted and limited.
        check(
            "select upper(note) from orders order by id limit 3",
            "Limit | Gather | Shards: all | Merge Sorted | Shards: 0, 1 \
             | Project | Limit | Merge Sorted | Shards: 2, 3",
        );
        check(
            "select id from orders order by note limit 3",
            "Limit | Gather | Shards: all | Merge Sorted | Shards: 0, 1 \
             | Limit | Sort | Scatter | Shards: 2, 3",
        );
        check(
            "select note, count(*), sum(total) from orders group by note",
            "Combine Aggregates | Gather | Shards: all | Scatter | Shards: 0, 1 \
             | Aggregate | Scatter | Shards: 2, 3",
        );
        check(
            "select distinct note from orders where tenant < 3",
            "Distinct | Gather | Shards: all | Scatter | Shards: 0, 1 \
             | Distinct | Scatter | Shards: 2, 3",
        );
        check(
            "select o.id, i.qty from orders o join items i on o.tenant = i.tenant and o.id = i.order_id",
            "Gather | Shards: all | Scatter | Shards: 0, 1 \
             | Project | Hash Join (Inner) | Scatter | Shards: 2, 3 | Scatter | Shards: 2, 3",
        );
    }

    #[test]
    fn a_key_leaves_one_shard_with_its_own_abilities() {
        check(
            "select upper(note) from orders where tenant = 7",
            "Route | Shards: the one that holds all keys | Otherwise: Gather | Shards: tenant = 7 \
             | Scatter | Shards: tenant = 7, of 0, 1 \
             | Project | Scatter | Shards: tenant = 7, of 2, 3",
        );
        check("select upper(v) from single", "Route | Shards: 0");
        check("select upper(name) from country", "Route | Shards: any one");
    }
}
