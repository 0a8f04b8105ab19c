//! Which queries give the same rows when each shard runs them over its own slice.
//!
//! The rows of a query are *replicated* (every shard computes all of them), on one *single* shard, or *spread*: each row is
//! computed on exactly one shard, the one that its key columns decide. A join, subquery or grouping keeps that when all
//! rows that meet in it are on one shard, which the equality of key columns proves. Where nothing proves it, the query is
//! not run per shard.

use std::collections::{BTreeSet, HashMap};

use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_metadata::schema::{KeyspaceMethod, Placement};
use dataman_node_protocol::query::{
    Condition, Distinct, JoinKind, OutputField, Select, SetOperationKind, Source,
};
use dataman_pg::expr::{Field, SubqueryKind};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, catalog};

use super::bind::Table;
use super::form::{each_own_source, for_each_expr, walk};
use crate::route::key::family;
use crate::route::prune::bare_field;

/// Where the rows of a query are computed.
#[derive(Debug, Clone)]
pub(crate) enum Distribution {
    /// All of them on every shard.
    Replicated,
    /// On one shard.
    Single(ShardId),
    /// Each on one shard.
    Spread(Spread),
}

/// How spread rows find their shard.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    /// What must be alike for equal keys to be on one shard.
    signature: Signature,
    /// For each field of the shard key the columns that hold it.
    keys: Vec<Vec<KeyColumn>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    datastore: DatastoreId,
    method: KeyspaceMethod,
    types: Vec<TypeId>,
}

/// A column that holds a field of the shard key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyColumn {
    source: String,
    name: String,
    /// It holds it in every row; else it is NULL in rows that an outer join filled up.
    strict: bool,
}

impl Spread {
    /// Whether an expression is the key's field number `place`, or NULL in a row filled up by an outer join.
    fn holds(&self, place: usize, expr: &Expr, strict: bool) -> bool {
        bare_field(expr).is_some_and(|field| {
            self.keys[place].iter().any(|key| {
                key.source == field.source && key.name == field.name && (key.strict || !strict)
            })
        })
    }

    /// Whether rows that are alike in `exprs` are on one shard.
    pub(crate) fn decided_by(&self, exprs: &[&Expr]) -> bool {
        (0..self.keys.len()).all(|place| exprs.iter().any(|expr| self.holds(place, expr, true)))
    }
}

/// Proves over the collections of one statement.
pub(crate) struct Prover<'t> {
    pub(crate) tables: &'t HashMap<String, Table>,
}

type Proof = Result<Distribution, PgError>;

fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> PgError {
    PgError::unsupported(message)
}

/// The conditions that all hold, of an expression.
pub(crate) fn conjuncts<'e>(expr: &'e Expr, into: &mut Vec<&'e Expr>) {
    match expr {
        Expr::And(parts) => parts.iter().for_each(|part| conjuncts(part, into)),
        other => into.push(other),
    }
}

/// The conditions that all hold, of a select's filter.
pub(crate) fn filter_conjuncts<'s>(filter: Option<&'s Condition>, into: &mut Vec<&'s Expr>) {
    match filter {
        Some(Condition::Expr(expr)) => conjuncts(expr, into),
        Some(Condition::All(parts)) => {
            parts.iter().for_each(|part| filter_conjuncts(Some(part), into))
        }
        _ => {}
    }
}

/// The two fields that a condition says are equal, if they are fields of types that hash alike.
fn equal_fields(condition: &Expr) -> Option<(&Field, &Field)> {
    let Expr::Call(call) = condition else {
        return None;
    };
    if catalog::operator(call.operator?)?.name != "=" {
        return None;
    }
    let [left, right] = call.args.as_slice() else {
        return None;
    };
    let (left, right) = (bare_field(left)?, bare_field(right)?);
    (family(left.ty.id) == family(right.ty.id)).then_some((left, right))
}

impl Prover<'_> {
    fn table(&self, alias: &str) -> Proof {
        let Some(table) = self.tables.get(alias) else {
            return Err(PgError::internal(format!("the source \"{alias}\" is not known")));
        };
        Ok(match &table.collection.placement {
            Placement::Reference => Distribution::Replicated,
            Placement::Single { shard } => Distribution::Single(*shard),
            Placement::Sharded(keyspace) => {
                let mut types = Vec::new();
                let mut keys = Vec::new();
                for name in &keyspace.fields {
                    let field = table
                        .collection
                        .field(name)
                        .ok_or_else(|| PgError::internal("a shard key's field is missing"))?;
                    types.push(family(TypeId(field.type_oid)));
                    keys.push(vec![KeyColumn {
                        source: alias.to_owned(),
                        name: name.clone(),
                        strict: true,
                    }]);
                }
                Distribution::Spread(Spread {
                    signature: Signature {
                        datastore: table.collection.datastore.clone(),
                        method: keyspace.method.clone(),
                        types,
                    },
                    keys,
                })
            }
        })
    }

    /// Where the rows of FROM and WHERE are, when every subquery of the block is right shard by shard.
    ///
    /// # Errors
    /// `0A000` with what does not stay on one shard.
    pub(crate) fn block(&self, select: &Select, around: &[&Spread]) -> Proof {
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        if !select.with.is_empty() {
            return Err(refuse("WITH RECURSIVE over several shards is not supported yet")
                .with_hint("Fix the shard key of its tables to one value."));
        }
        let distribution = self.sources(&select.source, &conditions, around)?;
        self.subqueries_stay(select, &select.subqueries, &distribution, around)?;
        Ok(distribution)
    }

    /// Where the rows of a list of sources joined by conditions are.
    pub(crate) fn sources(
        &self,
        sources: &[Source],
        conditions: &[&Expr],
        around: &[&Spread],
    ) -> Proof {
        let mut distribution = Distribution::Replicated;
        // Sources may be joined in any order: take those that fit first.
        let mut open: Vec<&Source> = sources.iter().collect();
        let mut last_error = None;
        let mut first = true;
        while !open.is_empty() {
            let mut progressed = false;
            for place in 0..open.len() {
                let right = self.source(open[place], conditions, around)?;
                let joined = if first {
                    Ok(right)
                } else {
                    self.join(distribution.clone(), right, JoinKind::Inner, conditions)
                };
                match joined {
                    Ok(joined) => {
                        distribution = joined;
                        open.remove(place);
                        progressed = true;
                        first = false;
                        break;
                    }
                    Err(error) => last_error = Some(error),
                }
            }
            if !progressed {
                return Err(
                    last_error.unwrap_or_else(|| PgError::internal("a join could not be placed"))
                );
            }
        }
        Ok(distribution)
    }

    fn source(&self, source: &Source, conditions: &[&Expr], around: &[&Spread]) -> Proof {
        match source {
            Source::Collection { alias, .. } => self.table(alias),
            Source::Values { .. } | Source::Function { .. } => Ok(Distribution::Replicated),
            Source::CommonTable { .. } => {
                Err(refuse("WITH RECURSIVE over several shards is not supported yet"))
            }
            Source::Virtual { schema, name, .. } => {
                Err(refuse(format!("\"{schema}.{name}\" is on no shard")))
            }
            Source::Query { query, alias, columns, lateral } => {
                if *lateral {
                    return Err(refuse("LATERAL over several shards is not supported yet"));
                }
                let outputs: Vec<&str> =
                    columns.iter().map(|column| column.name.as_str()).collect();
                self.derived(query, alias, &outputs, around)
            }
            Source::Join { left, right, kind, on } => {
                let mut own = Vec::new();
                if let Some(on) = on {
                    conjuncts(on, &mut own);
                }
                // What WHERE demands also holds for both sides of an inner join.
                if *kind == JoinKind::Inner {
                    own.extend(conditions.iter().copied());
                }
                let inner: &[&Expr] = if *kind == JoinKind::Inner { &own } else { &[] };
                let left = self.source(left, inner, around)?;
                let right = self.source(right, inner, around)?;
                self.join(left, right, *kind, &own)
            }
        }
    }

    fn join(&self, left: Distribution, right: Distribution, kind: JoinKind, on: &[&Expr]) -> Proof {
        use Distribution::{Replicated, Single, Spread as Spreading};
        let outer = || {
            refuse("an outer join that keeps all rows of a reference table is not supported over several shards yet")
                .with_hint("Each shard has a full copy of it, so its unmatched rows would come from every shard.")
        };
        match (left, right) {
            (Replicated, Replicated) => Ok(Replicated),
            (Replicated, other) => match kind {
                JoinKind::Inner | JoinKind::Right => Ok(loosened(other, false)),
                JoinKind::Left | JoinKind::Full if matches!(other, Single(_)) => Ok(other),
                JoinKind::Left | JoinKind::Full => Err(outer()),
            },
            (other, Replicated) => match kind {
                JoinKind::Inner | JoinKind::Left => Ok(other),
                JoinKind::Right | JoinKind::Full if matches!(other, Single(_)) => Ok(other),
                JoinKind::Right | JoinKind::Full => Err(outer()),
            },
            (Single(left), Single(right)) if left == right => Ok(Single(left)),
            (Spreading(left), Spreading(right)) if left.signature == right.signature => {
                let linked = (0..left.keys.len()).all(|place| {
                    on.iter().any(|condition| {
                        equal_fields(condition).is_some_and(|(one, other)| {
                            let holds = |spread: &Spread, field: &Field| {
                                spread.holds(place, &Expr::Field(field.clone()), false)
                            };
                            (holds(&left, one) && holds(&right, other))
                                || (holds(&left, other) && holds(&right, one))
                        })
                    })
                });
                if !linked {
                    return Err(refuse("a join of sharded tables that is not on their shard keys is not supported yet")
                        .with_hint("Join on the shard key, or make one of them a reference table."));
                }
                let left = loosen(left, matches!(kind, JoinKind::Right | JoinKind::Full));
                let right = loosen(right, matches!(kind, JoinKind::Left | JoinKind::Full));
                let keys = left.keys.into_iter().zip(right.keys).map(|(mut one, other)| {
                    one.extend(other);
                    one
                });
                Ok(Spreading(Spread { keys: keys.collect(), signature: left.signature }))
            }
            _ => Err(refuse(
                "a join of tables whose rows are on different shards is not supported yet",
            )
            .with_hint("Shard both by the joined column, or make one of them a reference table.")),
        }
    }

    /// Where the rows of a subquery in FROM are, and which of its columns hold the key.
    fn derived(&self, query: &Select, alias: &str, columns: &[&str], around: &[&Spread]) -> Proof {
        let mut distribution = self.whole(query, around)?;
        let mut parts = vec![query];
        parts.extend(query.union.iter().map(|operation| operation.query.as_ref()));
        if let Distribution::Spread(spread) = &mut distribution {
            // The key's columns under their outer names, the same in every part of a set operation.
            let mut keys: Vec<Vec<KeyColumn>> = vec![Vec::new(); spread.keys.len()];
            for (output, name) in columns.iter().enumerate() {
                for (place, key) in keys.iter_mut().enumerate() {
                    let mut strict = true;
                    let mut everywhere = true;
                    for (number, part) in parts.iter().enumerate() {
                        let own = if number == 0 {
                            Some(spread.clone())
                        } else {
                            self.part_spread(part, around)
                        };
                        let held = own.as_ref().is_some_and(|own| {
                            own.signature == spread.signature && matches!(part.fields.get(output), Some(OutputField::Bound { expr, .. }) if {
                                strict &= own.holds(place, expr, true);
                                own.holds(place, expr, false)
                            })
                        });
                        everywhere &= held;
                    }
                    if everywhere {
                        key.push(KeyColumn {
                            source: alias.to_owned(),
                            name: (*name).to_owned(),
                            strict,
                        });
                    }
                }
            }
            spread.keys = keys;
        }
        Ok(distribution)
    }

    fn part_spread(&self, part: &Select, around: &[&Spread]) -> Option<Spread> {
        match self.block(part, around) {
            Ok(Distribution::Spread(spread)) => Some(spread),
            _ => None,
        }
    }

    /// Where the rows of a whole select are, its grouping, DISTINCT, windows, limits and set operations included.
    ///
    /// # Errors
    /// `0A000` with what needs rows of several shards at once.
    pub(crate) fn whole(&self, query: &Select, around: &[&Spread]) -> Proof {
        let distribution = self.block(query, around)?;
        let Distribution::Spread(spread) = &distribution else {
            for operation in &query.union {
                match (&distribution, self.whole(&operation.query, around)?) {
                    (Distribution::Replicated, Distribution::Replicated) => {}
                    (Distribution::Single(one), Distribution::Single(other)) if *one == other => {}
                    (Distribution::Single(_), Distribution::Replicated) => {}
                    _ => {
                        return Err(refuse(
                            "a set operation of tables on different shards is not supported here yet",
                        ));
                    }
                }
            }
            return Ok(distribution);
        };
        self.tail_stays(query, spread)?;
        // For each part of the key, the columns that hold it in all parts so far: rows that are the same are on one shard.
        let held = |spread: &Spread, part: &Select, place: usize| -> BTreeSet<usize> {
            let columns = part.fields.iter().enumerate();
            columns
                .filter(|(_, field)| {
                    matches!(field, OutputField::Bound { expr, .. } if spread.holds(place, expr, true))
                })
                .map(|(column, _)| column)
                .collect()
        };
        let mut common: Vec<BTreeSet<usize>> =
            (0..spread.keys.len()).map(|place| held(spread, query, place)).collect();
        for operation in &query.union {
            let Distribution::Spread(other) = self.whole(&operation.query, around)? else {
                return Err(refuse(
                    "a set operation of a sharded table and another one is not supported here yet",
                ));
            };
            let union_all = operation.kind == SetOperationKind::Union && operation.all;
            let is_alike = other.signature == spread.signature;
            for (place, columns) in common.iter_mut().enumerate() {
                let held = held(&other, &operation.query, place);
                columns.retain(|column| is_alike && held.contains(column));
            }
            if !union_all && (!is_alike || common.iter().any(BTreeSet::is_empty)) {
                return Err(refuse(
                    "a set operation over several shards is not supported here yet",
                )
                .with_hint(
                    "Select the shard key in the same column of both sides, or use UNION ALL.",
                ));
            }
        }
        Ok(distribution)
    }

    /// Grouping, DISTINCT, windows and limits that need rows of one shard only.
    pub(crate) fn tail_stays(&self, query: &Select, spread: &Spread) -> Result<(), PgError> {
        if let Some(group) = &query.group
            && (query.grouping_sets.is_some()
                || !spread.decided_by(&group.iter().collect::<Vec<_>>()))
        {
            return Err(refuse("grouping over several shards is not supported here yet")
                .with_hint("Group by the shard key as well."));
        }
        self.windows_stay(query, spread)?;
        match &query.distinct {
            Distinct::All => {}
            Distinct::Distinct => {
                let outputs = output_exprs(query);
                if !spread.decided_by(&outputs) {
                    return Err(refuse("DISTINCT over several shards is not supported here yet"));
                }
            }
            Distinct::On(on) => {
                if !spread.decided_by(&on.iter().collect::<Vec<_>>()) {
                    return Err(refuse(
                        "DISTINCT ON over several shards is not supported here yet",
                    ));
                }
            }
        }
        if query.limit.is_some() || query.offset.is_some() {
            return Err(refuse("LIMIT in a subquery over several shards is not supported yet"));
        }
        Ok(())
    }

    /// Windows whose partitions stay on one shard.
    ///
    /// # Errors
    /// `0A000` for the first that does not.
    pub(crate) fn windows_stay(&self, query: &Select, spread: &Spread) -> Result<(), PgError> {
        let mut stays = true;
        for_each_expr(query, &mut |expr| {
            walk(expr, &mut |node| {
                if let Expr::Window(window) = node {
                    stays &= spread.decided_by(&window.partition_by.iter().collect::<Vec<_>>());
                }
            });
        });
        if stays {
            return Ok(());
        }
        Err(refuse("a window function whose partitions span several shards is not supported yet")
            .with_hint("Partition by the shard key as well."))
    }

    /// Whether each subquery that an expression of the block runs finds all its rows on the shard of the outer row.
    pub(crate) fn subqueries_stay(
        &self,
        select: &Select,
        subqueries: &[Select],
        distribution: &Distribution,
        around: &[&Spread],
    ) -> Result<(), PgError> {
        let mut result = Ok(());
        for_each_expr(select, &mut |expr| {
            walk(expr, &mut |node| {
                if let (Expr::Subquery { index, kind, .. }, Ok(())) = (node, &result)
                    && let Some(subquery) = subqueries.get(*index)
                {
                    result = self.subquery_stays(subquery, kind, distribution, around);
                }
            });
        });
        result
    }

    /// The same for one subquery.
    ///
    /// # Errors
    /// `0A000`.
    pub(crate) fn subquery_stays(
        &self,
        subquery: &Select,
        kind: &SubqueryKind,
        outer: &Distribution,
        around: &[&Spread],
    ) -> Result<(), PgError> {
        let mut inner_around: Vec<&Spread> = around.to_vec();
        if let Distribution::Spread(spread) = outer {
            inner_around.push(spread);
        }
        let mut parts = vec![subquery];
        parts.extend(subquery.union.iter().map(|operation| operation.query.as_ref()));
        for part in parts {
            match (self.block(part, &inner_around)?, outer) {
                (Distribution::Replicated, _) => {}
                (Distribution::Single(one), Distribution::Single(other)) if one == *other => {}
                (Distribution::Spread(own), _)
                    if self.correlated(part, kind, &own, &inner_around) => {}
                _ => {
                    return Err(refuse("a subquery over rows of other shards than the outer row's is not supported yet")
                        .with_hint("Compare the shard keys of both in the subquery."));
                }
            }
        }
        Ok(())
    }

    /// Whether conditions of the subquery tie its key to the key of a row outside.
    fn correlated(
        &self,
        part: &Select,
        kind: &SubqueryKind,
        own: &Spread,
        around: &[&Spread],
    ) -> bool {
        let mut conditions = Vec::new();
        filter_conjuncts(part.filter.as_ref(), &mut conditions);
        for source in &part.source {
            inner_join_conditions(source, &mut conditions);
        }
        around.iter().any(|outer| {
            outer.signature == own.signature
                && (0..own.keys.len()).all(|place| {
                    let by_condition = conditions.iter().any(|condition| {
                        equal_fields(condition).is_some_and(|(one, other)| {
                            let (one, other) = (Expr::Field(one.clone()), Expr::Field(other.clone()));
                            (own.holds(place, &one, true) && outer.holds(place, &other, false))
                                || (own.holds(place, &other, true) && outer.holds(place, &one, false))
                        })
                    });
                    let by_comparison = || match kind {
                        SubqueryKind::Compare { all, left, operators } => {
                            let equal = |operator| catalog::operator(operator).is_some_and(|found| found.name == "=");
                            !all && part.group.is_none()
                                && part.limit.is_none()
                                && part.offset.is_none()
                                && left.iter().zip(operators).zip(&part.fields).any(|((left, operator), field)| {
                                    equal(*operator)
                                        && outer.holds(place, left, true)
                                        && matches!(field, OutputField::Bound { expr, .. } if own.holds(place, expr, true))
                                })
                        }
                        _ => false,
                    };
                    by_condition || by_comparison()
                })
        })
    }
}

/// The conditions of inner joins, which hold for every row.
pub(crate) fn inner_join_conditions<'s>(source: &'s Source, into: &mut Vec<&'s Expr>) {
    if let Source::Join { left, right, kind: JoinKind::Inner, on } = source {
        if let Some(on) = on {
            conjuncts(on, into);
        }
        inner_join_conditions(left, into);
        inner_join_conditions(right, into);
    }
}

fn output_exprs(query: &Select) -> Vec<&Expr> {
    query
        .fields
        .iter()
        .filter_map(|field| match field {
            OutputField::Bound { expr, .. } => Some(expr),
            OutputField::Named(_) => None,
        })
        .collect()
}

fn loosen(mut spread: Spread, filled_up: bool) -> Spread {
    if filled_up {
        spread.keys.iter_mut().flatten().for_each(|key| key.strict = false);
    }
    spread
}

fn loosened(distribution: Distribution, filled_up: bool) -> Distribution {
    match distribution {
        Distribution::Spread(spread) => Distribution::Spread(loosen(spread, filled_up)),
        other => other,
    }
}

/// The sharded collections of a select and of everything inside it, with the conditions that hold wherever their rows
/// count: what decides whether a statement runs on one shard.
pub(crate) fn collections_with_conditions<'s>(
    select: &'s Select,
    around: &[&'s Expr],
    into: &mut Vec<(&'s str, Vec<&'s Expr>)>,
) {
    let mut conditions: Vec<&Expr> = around.to_vec();
    filter_conjuncts(select.filter.as_ref(), &mut conditions);
    for source in &select.source {
        inner_join_conditions(source, &mut conditions);
    }
    for source in &select.source {
        source_with_conditions(source, &conditions, into);
    }
    for subquery in &select.subqueries {
        collections_with_conditions(subquery, &conditions, into);
    }
    for operation in &select.union {
        collections_with_conditions(&operation.query, around, into);
    }
    for table in &select.with {
        collections_with_conditions(&table.query, around, into);
    }
}

/// The same for one source.
pub(crate) fn source_with_conditions<'s>(
    source: &'s Source,
    conditions: &[&'s Expr],
    into: &mut Vec<(&'s str, Vec<&'s Expr>)>,
) {
    match source {
        Source::Collection { alias, .. } => into.push((alias, conditions.to_vec())),
        Source::Query { query, lateral, .. } => {
            collections_with_conditions(query, if *lateral { conditions } else { &[] }, into);
        }
        Source::Join { left, right, kind, on } => {
            let mut both = conditions.to_vec();
            if let Some(on) = on {
                conjuncts(on, &mut both);
            }
            // A condition of an outer join says nothing of the rows that the join keeps anyway.
            let (for_left, for_right): (&[&Expr], &[&Expr]) = match kind {
                JoinKind::Inner => (&both, &both),
                JoinKind::Left => (conditions, &both),
                JoinKind::Right => (&both, conditions),
                JoinKind::Full => (conditions, conditions),
            };
            source_with_conditions(left, for_left, into);
            source_with_conditions(right, for_right, into);
        }
        Source::Values { .. }
        | Source::Function { .. }
        | Source::CommonTable { .. }
        | Source::Virtual { .. } => {}
    }
}

/// The fields that conditions make equal to `field`, through any number of steps.
pub(crate) fn equal_to(field: &Field, conditions: &[&Expr]) -> Vec<Field> {
    let mut found: Vec<Field> = vec![field.clone()];
    let mut place = 0;
    while place < found.len() {
        let current = found[place].clone();
        for condition in conditions {
            if let Some((one, other)) = equal_fields(condition) {
                let next = if same(one, &current) {
                    other
                } else if same(other, &current) {
                    one
                } else {
                    continue;
                };
                if !found.iter().any(|known| same(known, next)) {
                    found.push(next.clone());
                }
            }
        }
        place += 1;
    }
    found.remove(0);
    found
}

fn same(one: &Field, other: &Field) -> bool {
    one.source == other.source && one.name == other.name
}

/// The aliases of every collection of a select and of what is inside it.
pub(crate) fn collection_aliases(select: &Select) -> Vec<String> {
    let mut aliases = Vec::new();
    super::form::for_each_select(select, &mut |select| {
        for source in &select.source {
            each_own_source(source, &mut |source| {
                if let Source::Collection { alias, .. } = source {
                    aliases.push(alias.clone());
                }
            });
        }
    });
    aliases
}

/// A key's fields with their types.
pub(crate) fn key_fields(table: &Table) -> Vec<(String, TypeRef)> {
    table
        .collection
        .shard_key()
        .iter()
        .filter_map(|name| {
            table.collection.field(name).map(|field| {
                (name.clone(), TypeRef { id: TypeId(field.type_oid), typmod: field.typmod })
            })
        })
        .collect()
}
