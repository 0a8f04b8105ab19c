//! Which plans can pass: one shard answers the whole statement in the client's own frames, and finding the shard takes no
//! more than reading one parameter.

use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Keyspace;
use dataman_metadata::sharding::shard_of;
use dataman_metadata::topology::Datastore;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, TypeId, Value};

use super::Plan;
use super::operator::{NodeScan, Operator, Root, ShardRule};
use crate::route::key::key_part;
use crate::route::prune::KeySource;

/// How the shard of a statement that can pass is found: by keys that must all mean the same one.
#[derive(Debug)]
pub(crate) struct Pass {
    keys: Vec<PassKey>,
    /// Some shard takes the moment of the transaction from the proxy: a PostgreSQL has a clock of its own.
    pub(crate) needs_time: bool,
}

/// Where one table's shard comes from.
#[derive(Debug)]
enum PassKey {
    /// It is known.
    Shard(ShardId),
    /// A parameter decides.
    Param {
        /// Its place, from 0.
        place: usize,
        /// Its type.
        ty: TypeId,
        /// The field that it is the value of.
        field: TypeRef,
        /// How that field's values are spread.
        keyspace: Keyspace,
    },
}

impl Pass {
    /// Finds out whether a plan can pass.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        if !plan.subplans.is_empty()
            || !plan.applies.is_empty()
            || !plan.tables.is_empty()
            || !plan.parameters.internal().is_empty()
        {
            return None;
        }
        let scan = plan.pass_scan()?;
        let rules: Vec<&ShardRule> = match &plan.root {
            Root::Rows(Operator::Route { rules, .. }) => rules.iter().collect(),
            Root::Rows(_) => vec![&scan.shards],
            Root::Write(write) => match &write.agree {
                Some((rules, _)) => rules.iter().collect(),
                None => vec![&scan.shards],
            },
            Root::Insert(_) | Root::Copy(_) => return None,
        };
        if scan.visible != scan.columns.len() || rules.is_empty() {
            return None;
        }
        let datastore = plan.snapshot.datastores.get(&scan.datastore)?;
        let keys =
            rules.into_iter().map(|rule| PassKey::of(rule, datastore)).collect::<Option<_>>();
        let needs_time = !scan.takes_sql.iter().all(|takes| *takes);
        Some(Self { keys: keys?, needs_time })
    }

    /// The shard, with parameters read by `value`; none when it takes more to find out.
    pub(crate) fn shard(
        &self,
        datastore: &Datastore,
        mut value: impl FnMut(usize, TypeId) -> Option<Value>,
    ) -> Option<ShardId> {
        let mut agreed = None;
        for key in &self.keys {
            let shard = match key {
                PassKey::Shard(shard) => *shard,
                PassKey::Param { place, ty, field, keyspace } => {
                    let part = key_part(&value(*place, *ty)?, *field)?;
                    shard_of(keyspace, datastore, &[part]).ok()?
                }
            };
            if agreed.replace(shard).is_some_and(|other| other != shard) {
                return None;
            }
        }
        agreed
    }
}

impl PassKey {
    fn of(rule: &ShardRule, datastore: &Datastore) -> Option<Self> {
        let (keyspace, types, rule) = match rule {
            ShardRule::All => return None,
            ShardRule::One(shard) => return Some(Self::Shard(*shard)),
            ShardRule::Any => return Some(Self::Shard(ShardId(0))),
            ShardRule::Keys { keyspace, types, rule } => (keyspace, types, rule),
        };
        let ([sources], [field]) = (rule.fields.as_slice(), types.as_slice()) else { return None };
        match sources.as_slice() {
            // What a word like `today` means follows from the clock.
            [KeySource::One(Expr::Param { ty, .. })] if reads_clock(*ty) => None,
            [KeySource::One(Expr::Param { index, ty })] => Some(Self::Param {
                place: usize::from(*index).checked_sub(1)?,
                ty: *ty,
                field: *field,
                keyspace: keyspace.clone(),
            }),
            [KeySource::One(Expr::Const(constant))] => {
                let part = key_part(&constant.value, *field)?;
                shard_of(keyspace, datastore, &[part]).ok().map(Self::Shard)
            }
            _ => None,
        }
    }
}

fn reads_clock(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::DATE | TypeId::TIME | TypeId::TIMETZ | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ
    )
}

impl Plan {
    /// The scan that is the whole plan, when there is one.
    pub(crate) fn pass_scan(&self) -> Option<&NodeScan> {
        match &self.root {
            Root::Rows(Operator::Route { whole, .. }) => Some(whole),
            Root::Rows(Operator::Scan(scan)) => Some(scan),
            Root::Write(write) if !write.copies => Some(&write.scan),
            Root::Rows(_) | Root::Insert(_) | Root::Write(_) | Root::Copy(_) => None,
        }
    }
}
