//! SELECT → operators: one shard, shard by shard, or above the shards.

use std::collections::{BTreeMap, BTreeSet};

use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_metadata::schema::Placement;
use dataman_node_protocol::capability::{Capability, Feature};
use dataman_node_protocol::query::{
    Distinct, JoinKind, NodeQuery, OutputField, Select, Source, Target,
};
use dataman_pg::expr::{Field, SubqueryKind};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::bind::{Internal, NamePlace, Table};
use super::distribution::{
    Distribution, Prover, collection_aliases, collections_with_conditions, equal_to,
    filter_conjuncts, inner_join_conditions, key_fields, source_with_conditions,
};
use super::divide::not_exact;
use super::form::{self, each_own_source, for_each_expr, for_each_select, output_columns, walk};
use super::operator::{NodeScan, Operator, ShardRule, SubPlan, SubPlanKind, TextTemplate};
use super::{Planner, fold};
use crate::route::prune::key_rule;
use crate::scatter::contract::ShardRef;

pub(super) type Result<T> = std::result::Result<T, PgError>;

impl Planner<'_> {
    /// Plans the statement itself.
    pub(super) fn top_select(&mut self, mut select: Select) -> Result<Operator> {
        let mut lost = super::unread::forget_unread(&mut select, &mut self.facts.whole);
        lost |= fold::fold_select(&mut select, &mut self.parameters);
        super::condition::factor(&mut select);
        let text = if lost { None } else { self.text_template() };
        self.select(select, text)
    }

    /// Plans a select; `text` is the client's own text when the select is the whole statement.
    pub(super) fn select(
        &mut self,
        select: Select,
        text: Option<TextTemplate>,
    ) -> Result<Operator> {
        if self.numbers_rows(&select) {
            return self.numbered(select);
        }
        if self.stays_above(&select) {
            return self.above(select);
        }
        let aliases = collection_aliases(&select);
        if aliases.is_empty() {
            return self.above(select);
        }
        let Some(datastore) = self.one_datastore(&aliases) else {
            return self.general(select);
        };
        if let Some(rule) = self.one_place(&aliases, &datastore) {
            return match self.place_that_carries(&select, rule, &datastore) {
                Some(rule) => Ok(Operator::Scan(self.scan(select, rule, &datastore, text))),
                None => self.general(select),
            };
        }
        // What a key decides may be a shard that is not planned for.
        let pinned = if self.among.is_none() { self.pinned(&select) } else { None };
        let shards = self.shards(&datastore);
        let able = match pinned {
            Some(_) => self.carriers(&select, &datastore, &shards),
            None => Vec::new(),
        };
        let Some(rules) = pinned.filter(|_| !able.is_empty()) else {
            return self.general(select);
        };
        let mut whole = self.scan(select.clone(), ShardRule::All, &datastore, text);
        let mut otherwise = self.general(select).map(Box::new);
        if able.len() < shards.len() {
            // Whether there is an answer must not depend on the key.
            otherwise = Ok(otherwise?);
            whole.among = Some(able);
        }
        Ok(Operator::Route { whole, rules, otherwise })
    }

    /// Of the shards that a rule leaves for a whole select, one that carries it out.
    fn place_that_carries(
        &self,
        select: &Select,
        rule: ShardRule,
        datastore: &DatastoreId,
    ) -> Option<ShardRule> {
        if !matches!(rule, ShardRule::Any) {
            let shards = self.shards_of(&rule, datastore);
            return (self.carriers(select, datastore, &shards) == shards).then_some(rule);
        }
        let able = self.carriers(select, datastore, &self.shards(datastore));
        let first = self.first_shard(datastore);
        if able.contains(&first) { Some(rule) } else { able.first().copied().map(ShardRule::One) }
    }

    /// Shard by shard with a merge where that is proven, else above the shards.
    fn general(&mut self, mut select: Select) -> Result<Operator> {
        self.run_subqueries_first(&mut select, First::Leaving)?;
        let aliases = collection_aliases(&select);
        if aliases.is_empty() {
            return self.above(select);
        }
        if keeps_order_of_source(&select) {
            return self.above(select);
        }
        let by_shard = match self.one_datastore(&aliases) {
            Some(datastore) => self.attempt(|planner| planner.by_shard(&select, &datastore)),
            None => {
                Err(PgError::unsupported("a query over several datastores is not supported yet"))
            }
        };
        let refused = match by_shard {
            Ok(operator) => return Ok(operator),
            Err(error) => error,
        };
        self.above(select).map_err(|above| {
            if above.sqlstate() == "0A000" && above.hint().is_none() {
                better(refused, above)
            } else {
                above
            }
        })
    }

    fn by_shard(&mut self, select: &Select, datastore: &DatastoreId) -> Result<Operator> {
        let prover = Prover { tables: &self.tables };
        if !select.union.is_empty() {
            return self.union_by_shard(select, datastore);
        }
        match prover.block(select, &[])? {
            Distribution::Replicated => self.on_one(select, ShardRule::Any, datastore),
            Distribution::Single(shard) => self.on_one(select, ShardRule::One(shard), datastore),
            Distribution::Spread(spread) => {
                // Each shard would lock rows up to the whole limit, more than are returned.
                if select.lock.is_some() && (select.limit.is_some() || select.offset.is_some()) {
                    return Err(PgError::unsupported(
                        "FOR UPDATE and its like with a LIMIT over several shards is not supported yet",
                    )
                    .with_hint("Fix the shard key to one value."));
                }
                let has_window = super::split::has_window(select);
                let stays = prover.windows_stay(select, &spread).is_ok();
                match self.split(select, &spread, datastore, stays) {
                    Err(_) if has_window && !super::split::groups_span(select, &spread) => {
                        self.split_windows(select, datastore)
                    }
                    split => split,
                }
            }
        }
    }

    fn on_one(
        &mut self,
        select: &Select,
        rule: ShardRule,
        datastore: &DatastoreId,
    ) -> Result<Operator> {
        let rule = self.place_that_carries(select, rule, datastore).ok_or_else(not_exact)?;
        Ok(Operator::Scan(self.scan(select.clone(), rule, datastore, None)))
    }

    /// UNION ALL and aligned set operations run whole on each shard; their order and limit are merged.
    fn union_by_shard(&mut self, select: &Select, datastore: &DatastoreId) -> Result<Operator> {
        let mut core = select.clone();
        core.sort.clear();
        core.limit = None;
        core.offset = None;
        let prover = Prover { tables: &self.tables };
        let rule = match prover.whole(&core, &[])? {
            Distribution::Replicated => ShardRule::Any,
            Distribution::Single(shard) => ShardRule::One(shard),
            Distribution::Spread(_) => ShardRule::All,
        };
        if !matches!(rule, ShardRule::All) {
            return self.on_one(select, rule, datastore);
        }
        let columns: Vec<TypeRef> = output_columns(select).iter().map(|column| column.ty).collect();
        let input = self.scattered(core, rule, datastore, Vec::new(), columns.len())?;
        let tail = super::above::Tail {
            having: None,
            fields: columns
                .iter()
                .enumerate()
                .map(|(index, ty)| Expr::Column { index, ty: *ty })
                .collect(),
            distinct: super::above::TailDistinct::All,
            sort: select.sort.clone(),
            limit: select.limit.clone(),
            offset: select.offset.clone(),
            with_ties: select.with_ties,
        };
        super::above::tail(input, tail)
    }

    /// A scan of some shards.
    pub(super) fn scan(
        &self,
        select: Select,
        shards: ShardRule,
        datastore: &DatastoreId,
        text: Option<TextTemplate>,
    ) -> NodeScan {
        let columns: Vec<TypeRef> =
            output_columns(&select).iter().map(|column| column.ty).collect();
        let query = if select.group.is_some() {
            NodeQuery::Aggregate(select)
        } else {
            NodeQuery::Filter(select)
        };
        self.node_scan(query, columns, shards, datastore, text)
    }

    pub(super) fn node_scan(
        &self,
        query: NodeQuery,
        columns: Vec<TypeRef>,
        shards: ShardRule,
        datastore: &DatastoreId,
        text: Option<TextTemplate>,
    ) -> NodeScan {
        let takes_sql = (0..self.shard_count(datastore))
            .map(|shard| {
                let shard = ShardRef { datastore: datastore.clone(), shard: ShardId(shard) };
                self.context
                    .capabilities
                    .of(&shard)
                    .is_some_and(|capability| capability.takes_sql())
            })
            .collect();
        let shards = match shards {
            ShardRule::Any if self.among.is_some() => ShardRule::One(self.first_shard(datastore)),
            shards => shards,
        };
        NodeScan {
            query,
            text,
            visible: columns.len(),
            columns,
            among: self.among(&shards, datastore),
            shards,
            datastore: datastore.clone(),
            database: self.context.database.into(),
            takes_sql,
            statements: BTreeMap::new(),
        }
    }

    /// What a shard can do for this statement: less over collections that dataman did not make.
    pub(super) fn capability(&self, shard: &ShardRef) -> Option<&dyn Capability> {
        let found = self.context.capabilities.of(shard)?;
        let is_adopted = |table: &Table| {
            table.collection.adopted.is_some() && table.collection.datastore == shard.datastore
        };
        Some(match found.adopted() {
            Some(adopted) if self.tables.values().any(is_adopted) => adopted,
            _ => found,
        })
    }

    pub(super) fn shard_count(&self, datastore: &DatastoreId) -> u32 {
        self.context
            .snapshot
            .datastores
            .get(datastore)
            .map_or(0, dataman_metadata::topology::Datastore::shard_count)
    }

    /// The datastore of all the collections, if it is one.
    pub(super) fn one_datastore(&self, aliases: &[String]) -> Option<DatastoreId> {
        let mut datastores: BTreeSet<&DatastoreId> = BTreeSet::new();
        for alias in aliases {
            datastores.insert(&self.tables.get(alias)?.collection.datastore);
        }
        let first = datastores.pop_first()?;
        datastores.is_empty().then(|| first.clone())
    }

    /// The one shard where all the collections are whole, decided by their placement alone.
    pub(super) fn one_place(
        &self,
        aliases: &[String],
        datastore: &DatastoreId,
    ) -> Option<ShardRule> {
        if self.shard_count(datastore) == 1 {
            return Some(ShardRule::One(ShardId(0)));
        }
        let mut rule = ShardRule::Any;
        for alias in aliases {
            match (&self.tables.get(alias)?.collection.placement, &rule) {
                (Placement::Reference, _) => {}
                (Placement::Single { shard }, ShardRule::Any) => rule = ShardRule::One(*shard),
                (Placement::Single { shard }, ShardRule::One(other)) if shard == other => {}
                _ => return None,
            }
        }
        Some(rule)
    }

    /// One rule for each collection of the statement, when each is fixed to some keys or one shard.
    pub(super) fn pinned(&self, select: &Select) -> Option<Vec<ShardRule>> {
        let mut found = Vec::new();
        collections_with_conditions(select, &[], &mut found);
        self.rules_of(&found)
    }

    /// The same over collections whose conditions are known.
    pub(super) fn rules_of(&self, found: &[(&str, Vec<&Expr>)]) -> Option<Vec<ShardRule>> {
        let mut rules = Vec::new();
        for (alias, conditions) in found {
            match &self.tables.get(*alias)?.collection.placement {
                Placement::Reference => {}
                Placement::Single { shard } => rules.push(ShardRule::One(*shard)),
                Placement::Sharded(_) => rules.push(self.rule(alias, conditions)?),
            }
        }
        Some(rules)
    }

    /// What conditions say of one sharded collection's shards.
    fn rule(&self, alias: &str, conditions: &[&Expr]) -> Option<ShardRule> {
        let table = self.tables.get(alias)?;
        let keyspace = table.collection.keyspace()?;
        let key = key_fields(table);
        let same = |field: &Field| equal_to(field, conditions);
        let rule = key_rule(conditions, &key, alias, &same)?;
        Some(ShardRule::Keys {
            keyspace: keyspace.clone(),
            types: key.into_iter().map(|(_, ty)| ty).collect(),
            rule,
        })
    }

    /// The shards that can have rows of a select that runs shard by shard: its conditions on a collection of which every
    /// row of the result has a row.
    pub(super) fn prune(&self, select: &Select) -> ShardRule {
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        for source in &select.source {
            inner_join_conditions(source, &mut conditions);
        }
        let mut kept = Vec::new();
        for source in &select.source {
            kept_collections(source, &mut kept);
        }
        let mut found = Vec::new();
        for source in &select.source {
            source_with_conditions(source, &conditions, &mut found);
        }
        found
            .iter()
            .filter(|(alias, _)| kept.contains(alias))
            .find_map(|(alias, _)| self.rule(alias, &conditions))
            .unwrap_or(ShardRule::All)
    }

    /// Whether some shards all have a feature.
    pub(super) fn supports(
        &self,
        feature: Feature,
        datastore: &DatastoreId,
        shards: &[ShardId],
    ) -> bool {
        shards.iter().all(|shard| self.supports_on(feature, datastore, *shard))
    }

    /// Whether a shard has a feature.
    pub(super) fn supports_on(
        &self,
        feature: Feature,
        datastore: &DatastoreId,
        shard: ShardId,
    ) -> bool {
        let shard = ShardRef { datastore: datastore.clone(), shard };
        self.capability(&shard).is_some_and(|capability| capability.supports(feature))
    }

    /// Subqueries that do not look at the outer row and that a shard alone cannot answer run first; their results become
    /// parameters.
    pub(super) fn run_subqueries_first(&mut self, select: &mut Select, which: First) -> Result<()> {
        let subqueries = std::mem::take(&mut select.subqueries);
        let mut result = Ok(());
        let mut shell = std::mem::take(select);
        let lazy = reached_later(&shell);
        shell.subqueries = subqueries;
        let joined =
            if which == First::Leaving { self.large_lists(&shell) } else { BTreeSet::new() };
        let subqueries = std::mem::take(&mut shell.subqueries);
        let mut limits = BTreeSet::new();
        for expr in shell.limit.iter().chain(&shell.offset) {
            walk(expr, &mut |node| {
                if let Expr::Subquery { index, .. } = node {
                    limits.insert(*index);
                }
            });
        }
        let mut when = reached_when(&shell);
        // A row around is not there yet.
        when.retain(|condition| !self.reads_outer(condition));
        // What stands in several places (the list, DISTINCT ON, ORDER BY) is one parameter in all of them.
        let mut done: Vec<(Expr, Expr)> = Vec::new();
        let distribution = Prover { tables: &self.tables }.block(&shell, &[]);
        form::own_exprs_mut(&mut shell, &mut |expr| {
            form::each_node_mut(expr, &mut |node| {
                if result.is_err() {
                    return;
                }
                if let Expr::Subquery { index, kind, .. } = node
                    && let Some(subquery) = subqueries.get(*index)
                {
                    let is_later = lazy.contains(index)
                        && (which == First::All || may_have_rows(kind, subquery));
                    if !runs_first(kind, subquery) || is_later || joined.contains(index) {
                        return;
                    }
                    let numbers =
                        self.facts.numbers && super::number::select_takes_numbers(subquery);
                    let stays = match &distribution {
                        _ if limits.contains(index) => false,
                        Ok(_) if numbers || which == First::All => false,
                        Ok(distribution) => Prover { tables: &self.tables }
                            .subquery_stays(subquery, kind, distribution, &[])
                            .is_ok(),
                        Err(_) => false,
                    };
                    if stays || !is_uncorrelated(subquery) || self.stays_above(subquery) {
                        return;
                    }
                    let when = if limits.contains(index) { Vec::new() } else { when.clone() };
                    if let Some((_, replacement)) = done.iter().find(|(same, _)| same == node) {
                        *node = replacement.clone();
                        return;
                    }
                    match self.first(subquery.clone(), node, when) {
                        Ok(replacement) => {
                            done.push((std::mem::replace(node, replacement.clone()), replacement));
                        }
                        Err(error) => result = Err(error),
                    }
                }
            });
        });
        *select = shell;
        select.subqueries = subqueries;
        result?;
        drop_unused_subqueries(select);
        Ok(())
    }

    /// A subquery that runs before the statement, and the expression that reads its result.
    /// It runs only if all of `when` holds.
    pub(super) fn first(&mut self, subquery: Select, node: &Expr, when: Vec<Expr>) -> Result<Expr> {
        let Expr::Subquery { kind, ty, .. } = node else {
            return Err(PgError::internal("only a subquery runs first"));
        };
        if self.modifies && super::recurse::reads_table_around(&subquery) {
            return Err(PgError::unsupported(
                "a subquery here over the rows of a data-modifying statement in WITH is not supported yet",
            ));
        }
        let columns = output_columns(&subquery);
        let operator = self.select(subquery, None)?;
        let place = self.subplans.len();
        let (kind, ty, replacement): (SubPlanKind, TypeId, Box<dyn FnOnce(Expr) -> Expr>) =
            match kind {
                SubqueryKind::Scalar => (SubPlanKind::Scalar, ty.id, Box::new(|param| param)),
                SubqueryKind::Exists => {
                    (SubPlanKind::Exists, TypeId::BOOL, Box::new(|param| param))
                }
                SubqueryKind::Array => {
                    let element = columns.first().map_or(TypeId::TEXT, |column| column.ty.id);
                    (SubPlanKind::Array(element), ty.id, Box::new(|param| param))
                }
                SubqueryKind::Compare { all, left, operators } => {
                    let ([left], [operator], [column]) =
                        (left.as_slice(), operators.as_slice(), columns.as_slice())
                    else {
                        return Err(PgError::unsupported(
                            "comparing rows with a subquery over several shards is not supported yet",
                        ));
                    };
                    let found = dataman_pg::catalog::operator(*operator).ok_or_else(|| {
                        PgError::internal("an operator of the comparison is not known")
                    })?;
                    let array = dataman_pg::catalog::type_by_id(column.ty.id)
                        .map_or(TypeId(0), |found| found.array);
                    if array.0 == 0 {
                        return Err(PgError::unsupported(
                            "comparing with a subquery of this type over several shards is not supported yet",
                        ));
                    }
                    let (all, left, operator, function) =
                        (*all, left.clone(), *operator, found.function);
                    (
                        SubPlanKind::Array(column.ty.id),
                        array,
                        Box::new(move |param| Expr::ArrayOp {
                            function,
                            operator,
                            all,
                            left: Box::new(left),
                            array: Box::new(param),
                        }),
                    )
                }
            };
        self.subplans.push(SubPlan { operator, kind, when });
        Ok(replacement(self.parameters.add_internal(Internal::Subquery(place, ty))))
    }

    /// The client's text cut at its names, when it can go to a PostgreSQL as it is.
    pub(super) fn text_template(&self) -> Option<TextTemplate> {
        let facts = &self.facts;
        if facts.view || facts.internal || facts.repeated || !self.parameters.internal().is_empty()
        {
            return None;
        }
        // The text means what its fields' collations mean.
        let is_collated = |target: &Target| {
            target.adopted.as_ref().is_some_and(|adopted| !adopted.collated.is_empty())
        };
        if facts.names.iter().any(|name| is_collated(&name.target)) {
            return None;
        }
        let mut names: Vec<&NamePlace> = facts.names.iter().collect();
        names.sort_by_key(|name| name.span.start);
        let mut pieces = Vec::new();
        let mut at = 0;
        for name in &names {
            if name.span.end <= name.span.start || name.span.start < at {
                return None;
            }
            pieces.push(self.text.get(at..name.span.start)?.to_owned());
            at = name.span.end;
        }
        pieces.push(self.text.get(at..)?.to_owned());
        let names = names.iter().map(|name| (name.target.clone(), name.alias.clone())).collect();
        Some(TextTemplate { pieces, names })
    }
}

/// Whether a subquery's result can be a parameter.
fn runs_first(kind: &SubqueryKind, subquery: &Select) -> bool {
    let SubqueryKind::Compare { left, .. } = kind else { return true };
    let columns = output_columns(subquery);
    let [column] = columns.as_slice() else { return false };
    left.len() == 1
        && dataman_pg::catalog::type_by_id(column.ty.id).is_some_and(|found| found.array.0 != 0)
}

/// Whether a subquery that stands for one value may have more than one row, which is an error only where it is reached.
fn may_have_rows(kind: &SubqueryKind, subquery: &Select) -> bool {
    let is_one = subquery.union.is_empty()
        && (subquery.group.as_ref().is_some_and(Vec::is_empty) || subquery.source.is_empty());
    matches!(kind, SubqueryKind::Scalar) && !is_one
}

/// What must hold for any row of a select to be reached, of what is the same for all rows: without it the select gives no row, and
/// its subqueries are not computed. A group of all rows is there even so.
fn reached_when(select: &Select) -> Vec<Expr> {
    if select.group.is_some() || !select.union.is_empty() {
        return Vec::new();
    }
    let mut conditions = Vec::new();
    filter_conjuncts(select.filter.as_ref(), &mut conditions);
    let is_asked = |condition: &&&Expr| {
        !matches!(condition, Expr::Const(_)) && crate::route::prune::is_fixed(condition)
    };
    conditions.iter().filter(is_asked).map(|condition| (*condition).clone()).collect()
}

/// The subqueries of a select that are not computed for every row: those behind a condition of CASE or COALESCE.
fn reached_later(select: &Select) -> BTreeSet<usize> {
    fn find(expr: &Expr, later: bool, found: &mut BTreeSet<usize>) {
        match expr {
            Expr::Subquery { index, .. } if later => {
                found.insert(*index);
            }
            Expr::Case { branches, otherwise, .. } => {
                for (place, (condition, result)) in branches.iter().enumerate() {
                    find(condition, later || place > 0, found);
                    find(result, true, found);
                }
                find(otherwise, true, found);
                return;
            }
            Expr::Coalesce { args, .. } => {
                for (place, arg) in args.iter().enumerate() {
                    find(arg, later || place > 0, found);
                }
                return;
            }
            _ => {}
        }
        expr.for_each_child(&mut |child| find(child, later, found));
    }
    let mut found = BTreeSet::new();
    for_each_expr(select, &mut |expr| find(expr, false, &mut found));
    found
}

/// Which subqueries run before a statement, of those that do not look at its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Those that do not stay with its rows on each shard.
    Leaving,
    /// All: nothing of the statement runs on the shards with them.
    All,
}

/// The collections of which every row of a source has a row: not those that an outer join may fill up.
fn kept_collections<'s>(source: &'s Source, into: &mut Vec<&'s str>) {
    match source {
        Source::Collection { alias, .. } => into.push(alias),
        Source::Join { left, right, kind, .. } => {
            if matches!(kind, JoinKind::Inner | JoinKind::Left) {
                kept_collections(left, into);
            }
            if matches!(kind, JoinKind::Inner | JoinKind::Right) {
                kept_collections(right, into);
            }
        }
        _ => {}
    }
}

/// A select that reads no source but its own.
pub(super) fn is_uncorrelated(select: &Select) -> bool {
    let mut own: BTreeSet<&str> = BTreeSet::new();
    form::for_each_source(select, &mut |source| own.extend(form::alias_of(source)));
    let mut uncorrelated = true;
    for_each_select(select, &mut |inner| {
        for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| {
                if let Expr::Field(field) = node {
                    uncorrelated &= own.contains(field.source.as_str());
                }
            });
        });
    });
    uncorrelated
}

/// Whether a column of a select is a bare value of a user's type, which a shard, not told its name, takes for text: in what is
/// inside another query, or a side of a set operation, it would be compared as text.
pub(super) fn loses_user_type(select: &Select, is_inside: bool) -> bool {
    let mut values = false;
    for source in &select.source {
        each_own_source(source, &mut |source| {
            if let Source::Values { columns, .. } = source {
                values |= columns.iter().any(|column| column.ty.id.is_user());
            }
        });
    }
    let is_bare = |field: &OutputField| {
        matches!(field, OutputField::Bound { expr: expr @ (Expr::Const(_) | Expr::Param { .. }), .. }
            if expr.type_id().is_user())
    };
    values || is_inside && select.fields.iter().any(is_bare)
}

/// What a database must have to carry out a select itself, not counting the selects inside it.
pub(super) fn features(select: &Select) -> Vec<Feature> {
    let mut features = Vec::new();
    for source in &select.source {
        each_own_source(source, &mut |source| match source {
            Source::Collection { .. } => {}
            Source::Query { lateral, .. } => {
                features.push(Feature::Subquery);
                if *lateral {
                    features.push(Feature::Lateral);
                }
            }
            Source::CommonTable { .. } => features.push(Feature::CommonTable),
            Source::Values { .. } => features.push(Feature::Values),
            Source::Function { .. } => features.push(Feature::TableFunction),
            // No node has it: see `is_virtual`.
            Source::Virtual { .. } => {}
            Source::Join { kind, .. } => features.push(match kind {
                JoinKind::Inner | JoinKind::Left => Feature::Join,
                JoinKind::Right | JoinKind::Full => Feature::OuterJoin,
            }),
        });
    }
    if select.source.len() > 1 {
        features.push(Feature::Join);
    }
    if select.group.is_some() {
        features.push(Feature::Group);
    }
    if select.having.is_some() && select.group.as_ref().is_some_and(Vec::is_empty) {
        features.push(Feature::HavingOfAll);
    }
    if select.grouping_sets.is_some() {
        features.push(Feature::GroupingSets);
    }
    match select.distinct {
        Distinct::All => {}
        Distinct::Distinct => features.push(Feature::Distinct),
        Distinct::On(_) => features.push(Feature::DistinctOn),
    }
    if !select.sort.is_empty() || select.limit.is_some() || select.offset.is_some() {
        features.push(Feature::Sort);
    }
    if select.with_ties {
        features.push(Feature::WithTies);
    }
    if !select.subqueries.is_empty() {
        features.push(Feature::Subquery);
    }
    if !select.union.is_empty() {
        features.push(Feature::SetOperation);
    }
    for table in &select.with {
        features.push(if table.recursive { Feature::Recursive } else { Feature::CommonTable });
    }
    if select.lock.is_some() {
        features.push(Feature::Lock);
    }
    for_each_expr(select, &mut |expr| {
        walk(expr, &mut |node| {
            if matches!(node, Expr::Window(_)) {
                features.push(Feature::Window);
            }
        });
    });
    features
}

/// Of two refusals the one that says more.
fn better(by_shard: PgError, above: PgError) -> PgError {
    if by_shard.hint().is_some() { by_shard } else { above }
}

/// The output expressions of a bound select.
pub(super) fn output_exprs(select: &Select) -> Vec<Expr> {
    select
        .fields
        .iter()
        .filter_map(|field| match field {
            OutputField::Bound { expr, .. } => Some(expr.clone()),
            OutputField::Named(_) => None,
        })
        .collect()
}

/// Whether the order of a subquery in FROM shows: rows pass through one after the other, or windows see them in it. PostgreSQL
/// keeps it then, and statements rely on that, though nothing promises it.
pub(super) fn keeps_order_of_source(select: &Select) -> bool {
    let [Source::Query { query, .. }, sets @ ..] = select.source.as_slice() else { return false };
    let is_plain = select.union.is_empty()
        && select.group.is_none()
        && select.having.is_none()
        && sets.iter().all(|set| matches!(set, Source::Function { .. } | Source::Query { .. }));
    let shows = select.sort.is_empty() && select.distinct.is_all();
    let mut aggregates = false;
    for field in &select.fields {
        if let OutputField::Bound { expr, .. } = field {
            super::form::walk(expr, &mut |node| aggregates |= matches!(node, Expr::Aggregate(_)));
        }
    }
    is_plain && !query.sort.is_empty() && !aggregates && (shows || super::split::has_window(select))
}

/// Leaves out subqueries that nothing refers to any more.
pub(super) fn drop_unused_subqueries(select: &mut Select) {
    let subqueries = std::mem::take(&mut select.subqueries);
    let mut kept: Vec<Select> = Vec::new();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    form::own_exprs_mut(select, &mut |expr| {
        form::each_node_mut(expr, &mut |node| {
            if let Expr::Subquery { index, .. } = node
                && super::apply::applied(*index).is_none()
            {
                let place = *places.entry(*index).or_insert_with(|| {
                    kept.extend(subqueries.get(*index).cloned());
                    kept.len() - 1
                });
                *index = place;
            }
        });
    });
    select.subqueries = kept;
}
