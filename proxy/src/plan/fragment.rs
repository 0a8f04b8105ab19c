//! Sources whose rows meet on one shard, read together: the shards join them.

use dataman_metadata::id::DatastoreId;
use dataman_node_protocol::query::{Condition, Select, Source};
use dataman_pg::Expr;

use super::Planner;
use super::apply::equality;
use super::condition::Fields;
use super::distribution::{Distribution, Prover, collection_aliases};
use super::form::{alias_of, each_own_source};
use super::operator::{Operator, ShardRule};
use super::sources::{Columns, Count, all_of, columns_of, covered, fields_of, used};
use super::split::check_decodable;
use crate::route::prune::bare_field;

/// Sources that may go down as one scan.
struct Group {
    leaves: Vec<usize>,
    /// Where their rows are; none for what is computed above the shards.
    place: Option<(DatastoreId, Distribution)>,
}

/// Whether two groups may become one.
type MayJoin<'f> = &'f dyn Fn(&Group, &Group) -> bool;

impl Planner<'_> {
    /// Groups sources by where they can be joined: sharded ones that the conditions tie together by their shard keys, and copies of
    /// reference tables to those that find one row of them at most.
    pub(super) fn fragments(
        &self,
        leaves: &[&Source],
        alone: &[usize],
        open: &[Expr],
    ) -> Vec<Vec<usize>> {
        let mut groups: Vec<Group> = alone
            .iter()
            .map(|leaf| Group { leaves: vec![*leaf], place: self.place_of(&[leaves[*leaf]], open) })
            .collect();
        let is_copy = |group: &Group| matches!(group.place, Some((_, Distribution::Replicated)));
        // Sharded and single ones first, then copies to them, then copies to each other.
        let rounds: [MayJoin<'_>; 3] = [
            &|one, other| {
                !is_copy(one) && !is_copy(other) && self.are_linked(one, other, leaves, open)
            },
            &|one, other| {
                is_copy(one) != is_copy(other) && {
                    let (copy, to) = if is_copy(one) { (one, other) } else { (other, one) };
                    copy.leaves.len() == 1
                        && self.finds_one(leaves[copy.leaves[0]], to, leaves, open)
                }
            },
            &|one, other| {
                is_copy(one) && is_copy(other) && self.are_linked(one, other, leaves, open)
            },
        ];
        for may_join in rounds {
            while let Some((one, other, place)) = self.mergeable(&groups, leaves, open, may_join) {
                let taken = groups.remove(other);
                let group = &mut groups[one];
                group.leaves.extend(taken.leaves);
                group.leaves.sort_unstable();
                group.place = Some(place);
            }
        }
        groups.into_iter().map(|group| group.leaves).collect()
    }

    fn mergeable(
        &self,
        groups: &[Group],
        leaves: &[&Source],
        open: &[Expr],
        may_join: MayJoin<'_>,
    ) -> Option<(usize, usize, (DatastoreId, Distribution))> {
        for (one, group) in groups.iter().enumerate() {
            for (other, further) in groups.iter().enumerate().skip(one + 1) {
                let (Some((store, _)), Some((other_store, _))) = (&group.place, &further.place)
                else {
                    continue;
                };
                if store != other_store || !may_join(group, further) {
                    continue;
                }
                let mut both = group.leaves.clone();
                both.extend(&further.leaves);
                both.sort_unstable();
                let sources: Vec<&Source> = both.iter().map(|leaf| leaves[*leaf]).collect();
                if let Some(place) = self.place_of(&sources, open) {
                    return Some((one, other, place));
                }
            }
        }
        None
    }

    /// Where the rows of joined sources are, if each is wholly on one shard.
    fn place_of(&self, sources: &[&Source], open: &[Expr]) -> Option<(DatastoreId, Distribution)> {
        let select = Select {
            source: sources.iter().map(|source| (*source).clone()).collect(),
            ..Select::default()
        };
        let aliases = collection_aliases(&select);
        if aliases.is_empty() || self.stays_above(&select) {
            return None;
        }
        let datastore = self.one_datastore(&aliases)?;
        let columns = all_columns(sources);
        let conditions: Vec<&Expr> = open
            .iter()
            .filter(|condition| self.goes_down(condition, &columns, &datastore))
            .collect();
        let distribution =
            Prover { tables: &self.tables }.sources(&select.source, &conditions, &[]).ok()?;
        Some((datastore, distribution))
    }

    fn goes_down(&self, condition: &Expr, columns: &Columns, datastore: &DatastoreId) -> bool {
        self.is_own(condition) && covered(condition, columns) && self.exact(condition, datastore)
    }

    /// Whether an equality links two groups.
    fn are_linked(&self, one: &Group, other: &Group, leaves: &[&Source], open: &[Expr]) -> bool {
        let columns = |group: &Group| {
            all_columns(&group.leaves.iter().map(|leaf| leaves[*leaf]).collect::<Vec<_>>())
        };
        let (one, other) = (columns(one), columns(other));
        open.iter().any(|condition| {
            let Some(call) = equality(condition) else { return false };
            let [left, right] = call.args.as_slice() else { return false };
            let within = |expr: &Expr, columns: &Columns| {
                bare_field(expr).is_some_and(|field| columns.has(field))
            };
            (within(left, &one) && within(right, &other))
                || (within(left, &other) && within(right, &one))
        })
    }

    /// Whether a row of a group finds one row of a collection at most: the conditions fix a unique key of it.
    fn finds_one(&self, leaf: &Source, group: &Group, leaves: &[&Source], open: &[Expr]) -> bool {
        let Source::Collection { alias, .. } = leaf else { return false };
        let Some(table) = self.tables.get(alias) else { return false };
        let columns =
            all_columns(&group.leaves.iter().map(|leaf| leaves[*leaf]).collect::<Vec<_>>());
        let mut fixed: Vec<&str> = Vec::new();
        for condition in open {
            if let Some(call) = equality(condition)
                && let [left, right] = call.args.as_slice()
            {
                for (own, other) in [(left, right), (right, left)] {
                    if let (Some(own), Some(other)) = (bare_field(own), bare_field(other))
                        && own.source == *alias
                        && columns.has(other)
                    {
                        fixed.push(own.name.as_str());
                    }
                }
            }
        }
        table.collection.unique_keys().any(|key| key.iter().all(|name| fixed.contains(name)))
    }

    /// Joined sources as one scan; takes the conditions that go down out of `open`. None where the shards cannot carry it out.
    pub(super) fn fragment(
        &mut self,
        sources: &[&Source],
        wanted: &Fields,
        open: &mut Vec<Expr>,
        count: Count,
    ) -> Option<(Operator, Columns, f64)> {
        let (datastore, distribution) = self.place_of(sources, open)?;
        let columns = all_columns(sources);
        let (pushed, rest): (Vec<Expr>, Vec<Expr>) = open
            .iter()
            .cloned()
            .partition(|condition| self.goes_down(condition, &columns, &datastore));
        let mut columns = Columns::default();
        let mut fields = Vec::new();
        let mut decodable = true;
        for source in sources {
            each_own_source(source, &mut |source| {
                if let (Some(alias), Some(given)) = (alias_of(source), columns_of(source)) {
                    let used = used(alias, given, wanted, &rest);
                    columns.add(alias, &used);
                    fields.extend(fields_of(alias, &used));
                    decodable &= used.iter().all(|column| check_decodable(column.ty).is_ok());
                }
            });
        }
        if !decodable {
            return None;
        }
        if fields.is_empty() {
            columns.width = 1;
            fields = super::split::named(&[Expr::constant(
                dataman_pg::Value::Bool(true),
                dataman_pg::TypeId::BOOL,
            )]);
        }
        let rows = match count {
            Count::Needed => self.rows_together(sources, &pushed),
            Count::Unneeded => 1.0,
        };
        let node = Select {
            source: sources.iter().map(|source| (*source).clone()).collect(),
            filter: (!pushed.is_empty()).then(|| Condition::Expr(all_of(pushed))),
            fields,
            ..Select::default()
        };
        let rule = match distribution {
            Distribution::Replicated => ShardRule::Any,
            Distribution::Single(shard) => ShardRule::One(shard),
            Distribution::Spread(_) => self.prune(&node),
        };
        let visible = node.fields.len();
        let scan = self
            .attempt(|planner| planner.scattered(node, rule, &datastore, Vec::new(), visible))
            .ok()?;
        *open = rest;
        Some((scan, columns, rows))
    }

    /// The rows of joined sources.
    fn rows_together(&self, sources: &[&Source], conditions: &[Expr]) -> f64 {
        let on: Vec<&Expr> = conditions.iter().collect();
        let rows: f64 = sources.iter().map(|source| self.source_rows(source, &on)).product();
        let joins: Vec<&Expr> = on
            .into_iter()
            .filter(|condition| {
                equality(condition)
                    .is_some_and(|call| call.args.iter().all(|arg| bare_field(arg).is_some()))
            })
            .collect();
        self.joined_rows(rows, 1.0, &joins)
    }
}

/// All columns of some sources.
fn all_columns(sources: &[&Source]) -> Columns {
    let mut columns = Columns::default();
    for source in sources {
        each_own_source(source, &mut |source| {
            if let (Some(alias), Some(given)) = (alias_of(source), columns_of(source)) {
                columns.add(alias, given);
            }
        });
    }
    columns
}
