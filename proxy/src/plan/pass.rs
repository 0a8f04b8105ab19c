//! Which plans can pass: one shard answers the whole statement in the client's own frames, and finding the shard takes no
//! more than reading one parameter.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_metadata::schema::{Keyspace, Placement};
use dataman_metadata::sharding::shard_of;
use dataman_metadata::topology::Datastore;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::eval::Evaluator;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, TypeId, Value};

use super::operator::{InsertPlan, InsertSource, NodeScan, Operator, Root, ShardRule};
use super::{Plan, form};
use crate::merge::encode;
use crate::route::key::key_part;
use crate::route::prune::KeySource;

/// How the shard of a statement that can pass is found: by keys that must all mean the same one.
#[derive(Debug)]
pub(crate) struct Pass {
    keys: Vec<PassKey>,
    /// Some shard takes the moment of the transaction from the proxy: a PostgreSQL has a clock of its own.
    pub(crate) needs_time: bool,
    /// Of an INSERT of one row: what the statement's parameters are. Else they are the client's.
    pub(crate) row: Option<Vec<RowField>>,
}

/// Where a field of a row that is inserted has its value from.
#[derive(Debug)]
pub(crate) enum RowField {
    /// The client's parameter at this place, from 0, as it came.
    Param(usize),
    /// Always this, in binary.
    Always(Option<Bytes>),
    /// It is computed; a value of this type.
    Computed(Evaluator, TypeId),
}

/// What a statement that passes is sent to.
pub(crate) struct PassTarget<'a> {
    /// The datastore.
    pub(crate) datastore: &'a DatastoreId,
    /// What each shard is told.
    pub(crate) statements: &'a BTreeMap<ShardId, Arc<NodeStatement>>,
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
            // To a shard an enum's value is a text like any other: what is none must be seen here.
            || plan.params.iter().any(|ty| ty.is_user())
        {
            return None;
        }
        if let Root::Insert(insert) = &plan.root {
            return Self::of_insert(insert, plan);
        }
        let scan = plan.pass_scan()?;
        let rules: Vec<&ShardRule> = match &plan.root {
            Root::Rows(Operator::Route { rules, .. }) => rules.iter().collect(),
            Root::Rows(_) => vec![&scan.shards],
            Root::Write(write) => match &write.agree {
                Some((rules, _)) => rules.iter().collect(),
                None => vec![&scan.shards],
            },
            Root::Insert(_) | Root::Change(_) | Root::Copy(_) => return None,
        };
        if scan.visible != scan.columns.len() || rules.is_empty() {
            return None;
        }
        let datastore = plan.snapshot.datastores.get(&scan.datastore)?;
        let keys =
            rules.into_iter().map(|rule| PassKey::of(rule, datastore)).collect::<Option<_>>();
        let needs_time = !scan.takes_sql.iter().all(|takes| *takes);
        Some(Self { keys: keys?, needs_time, row: None })
    }

    /// An INSERT of one row passes when its row is one parameter tuple of its shard's statement, and nothing else reads the
    /// client's parameters.
    fn of_insert(insert: &InsertPlan, plan: &Plan) -> Option<Self> {
        let InsertSource::Values(rows) = &insert.rows else { return None };
        let ([row], false) = (rows.as_slice(), plan.numbers) else { return None };
        let fields = &insert.form.fields;
        if insert.global.is_some()
            || fields.is_empty()
            || fields.iter().any(|field| field.ty.id.is_user())
        {
            return None;
        }
        let mut reads = false;
        let mut query = NodeQuery::InsertMany(insert.form.clone());
        super::visit::each_query_expr_mut(&mut query, &mut |expr| {
            form::walk(expr, &mut |node| reads |= matches!(node, Expr::Param { .. }));
        });
        if reads {
            return None;
        }
        let datastore = plan.snapshot.datastores.get(&insert.datastore)?;
        let key = match (&insert.placement, insert.key_places.as_slice()) {
            (Placement::Single { shard }, _) => PassKey::Shard(*shard),
            (Placement::Sharded(keyspace), [place]) => {
                PassKey::of_value(row.get(*place)?, fields.get(*place)?.ty, keyspace, datastore)?
            }
            _ => return None,
        };
        let row = row
            .iter()
            .zip(fields)
            .map(|(expr, field)| match expr {
                Expr::Param { index, ty } if *ty == field.ty.id => {
                    usize::from(*index).checked_sub(1).map(RowField::Param)
                }
                Expr::Const(constant) => {
                    Some(RowField::Always(encode(&constant.value, field.ty.id)))
                }
                _ => Evaluator::compile(expr, &|_| None)
                    .ok()
                    .map(|evaluator| RowField::Computed(evaluator, field.ty.id)),
            })
            .collect::<Option<_>>()?;
        Some(Self { keys: vec![key], needs_time: true, row: Some(row) })
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
            [KeySource::One(value)] => Self::of_value(value, *field, keyspace, datastore),
            _ => None,
        }
    }

    fn of_value(
        value: &Expr,
        field: TypeRef,
        keyspace: &Keyspace,
        datastore: &Datastore,
    ) -> Option<Self> {
        match value {
            // What a word like `today` means follows from the clock.
            Expr::Param { ty, .. } if reads_clock(*ty) => None,
            Expr::Param { index, ty } => Some(Self::Param {
                place: usize::from(*index).checked_sub(1)?,
                ty: *ty,
                field,
                keyspace: keyspace.clone(),
            }),
            Expr::Const(constant) => {
                let part = key_part(&constant.value, field)?;
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
    /// What the plan sends, when that is one statement to one shard.
    pub(crate) fn pass_target(&self) -> Option<PassTarget<'_>> {
        if let Root::Insert(insert) = &self.root {
            return Some(PassTarget {
                datastore: &insert.datastore,
                statements: &insert.statements,
            });
        }
        let scan = self.pass_scan()?;
        Some(PassTarget { datastore: &scan.datastore, statements: &scan.statements })
    }

    /// The scan that is the whole plan, when there is one.
    fn pass_scan(&self) -> Option<&NodeScan> {
        match &self.root {
            Root::Rows(Operator::Route { whole, .. }) => Some(whole),
            Root::Rows(Operator::Scan(scan)) => Some(scan),
            Root::Write(write) if !write.copies => Some(&write.scan),
            Root::Rows(_) | Root::Insert(_) | Root::Write(_) | Root::Change(_) | Root::Copy(_) => {
                None
            }
        }
    }
}
