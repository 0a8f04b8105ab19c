//! Shard-key predicates → none, one, some or all shards.

use std::collections::BTreeSet;

use dataman_metadata::id::ShardId;
use dataman_metadata::sharding::{KeyPart, shard_of};
use dataman_metadata::topology::Datastore;
use dataman_pg::catalog;
use dataman_pg::expr::{CastMethod, Field};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, Value};

use super::key::{family, key_part};
use crate::plan::operator::ShardRule;

/// What a statement says of a shard key: the values each field can have.
#[derive(Debug, Clone)]
pub(crate) struct KeyRule {
    /// For each field of the key its possible values, in the key's order.
    pub(crate) fields: Vec<Vec<KeySource>>,
}

/// Where a key's value comes from.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// One value: an expression without fields.
    One(Expr),
    /// The elements of an array: an expression without fields.
    Elements(Expr),
}

/// How many keys a rule may name before all shards are asked instead: beyond it, working out the shards costs more than
/// asking them.
const KEYS_MAX: usize = 10_000;

impl KeyRule {
    pub(crate) fn each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        for source in self.fields.iter_mut().flatten() {
            match source {
                KeySource::One(expr) | KeySource::Elements(expr) => visit(expr),
            }
        }
    }
}

/// Finds what the given conditions, all of which hold, say of one source's key; none when they leave a field open.
///
/// `same` gives the fields that are equal to a field in every row that counts.
pub(crate) fn key_rule(
    conditions: &[&Expr],
    key: &[(String, TypeRef)],
    alias: &str,
    same: &dyn Fn(&Field) -> Vec<Field>,
) -> Option<KeyRule> {
    let mut fields = Vec::new();
    for (name, ty) in key {
        let own = Field { source: alias.to_owned(), name: name.clone(), ty: *ty };
        let mut names = same(&own);
        names.push(own);
        let sources = conditions
            .iter()
            .filter_map(|condition| sources_of(condition, &names, *ty))
            .min_by_key(|sources| sources.iter().map(weight).sum::<usize>())?;
        fields.push(sources);
    }
    Some(KeyRule { fields })
}

fn weight(source: &KeySource) -> usize {
    match source {
        KeySource::One(_) => 1,
        KeySource::Elements(Expr::Array { elements, .. }) => elements.len().max(2),
        KeySource::Elements(_) => 16,
    }
}

/// The values that a condition leaves to any of the named fields; none when it leaves it open.
fn sources_of(condition: &Expr, names: &[Field], ty: TypeRef) -> Option<Vec<KeySource>> {
    match condition {
        Expr::And(parts) => parts
            .iter()
            .filter_map(|part| sources_of(part, names, ty))
            .min_by_key(|sources| sources.iter().map(weight).sum::<usize>()),
        Expr::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(sources_of(part, names, ty)?);
            }
            Some(all)
        }
        Expr::Call(call) => {
            if catalog::operator(call.operator?)?.name != "=" {
                return None;
            }
            let [left, right] = call.args.as_slice() else {
                return None;
            };
            let value = if is_one_of(left, names) {
                right
            } else if is_one_of(right, names) {
                left
            } else {
                return None;
            };
            (is_fixed(value) && family(value.type_id()) == family(ty.id))
                .then(|| vec![KeySource::One(value.clone())])
        }
        Expr::ArrayOp { operator, all: false, left, array, .. } => {
            if catalog::operator(*operator)?.name != "="
                || !is_one_of(left, names)
                || !is_fixed(array)
            {
                return None;
            }
            let element = match array.as_ref() {
                Expr::Array { elements, .. } => elements.first().map(Expr::type_id),
                other => catalog::type_by_id(other.type_id()).map(|array| array.element),
            }?;
            (family(element) == family(ty.id))
                .then(|| vec![KeySource::Elements(array.as_ref().clone())])
        }
        _ => None,
    }
}

/// A field itself, or under a cast that leaves its value alone.
pub(crate) fn bare_field(expr: &Expr) -> Option<&Field> {
    match expr {
        Expr::Field(field) => Some(field),
        Expr::Cast(cast) if cast.method == CastMethod::Relabel => bare_field(&cast.arg),
        _ => None,
    }
}

fn is_one_of(expr: &Expr, names: &[Field]) -> bool {
    bare_field(expr).is_some_and(|field| {
        names.iter().any(|name| name.source == field.source && name.name == field.name)
    })
}

/// The same for every row, and computable by the proxy.
pub(crate) fn is_fixed(expr: &Expr) -> bool {
    let mut fixed = true;
    crate::plan::form::walk(expr, &mut |node| match node {
        Expr::Field(_)
        | Expr::Column { .. }
        | Expr::Aggregate(_)
        | Expr::Window(_)
        | Expr::Grouping(_)
        | Expr::Subquery { .. } => {
            fixed = false;
        }
        Expr::Call(call) => {
            fixed &= catalog::function(call.function).is_some_and(|found| found.volatility != 'v')
        }
        _ => {}
    });
    fixed && dataman_pg::eval::check_computed(expr).is_ok()
}

/// The shards that a rule means, its expressions being computed by `value`.
///
/// # Errors
/// Those of `value`.
pub(crate) fn shards_of<E>(
    rule: &ShardRule,
    datastore: &Datastore,
    value: &mut dyn FnMut(&Expr) -> Result<Value, E>,
) -> Result<BTreeSet<ShardId>, E> {
    let all = || datastore.shard_ids().collect();
    let (keyspace, types, rule) = match rule {
        ShardRule::All => return Ok(all()),
        ShardRule::One(shard) => return Ok(BTreeSet::from([*shard])),
        ShardRule::Any => return Ok(BTreeSet::from([ShardId(0)])),
        ShardRule::Keys { keyspace, types, rule } => (keyspace, types, rule),
    };
    let mut choices: Vec<Vec<KeyPart>> = Vec::new();
    let mut keys = 1_usize;
    for (sources, ty) in rule.fields.iter().zip(types) {
        let mut parts: Vec<KeyPart> = Vec::new();
        for source in sources {
            match source {
                KeySource::One(expr) => parts.extend(key_part(&value(expr)?, *ty)),
                KeySource::Elements(expr) => {
                    if let Value::Array(array) = value(expr)? {
                        parts.extend(
                            array.elements.iter().filter_map(|element| key_part(element, *ty)),
                        );
                    }
                }
            }
        }
        keys = keys.saturating_mul(parts.len());
        choices.push(parts);
    }
    if keys > KEYS_MAX {
        return Ok(all());
    }
    let mut shards = BTreeSet::new();
    let mut key = Vec::new();
    // A key outside of every range or list is in no record.
    collect(&choices, &mut key, &mut |key| shards.extend(shard_of(keyspace, datastore, key)));
    Ok(shards)
}

fn collect(choices: &[Vec<KeyPart>], key: &mut Vec<KeyPart>, visit: &mut dyn FnMut(&[KeyPart])) {
    let Some((first, rest)) = choices.split_first() else {
        visit(key);
        return;
    };
    for part in first {
        key.push(part.clone());
        collect(rest, key, visit);
        key.pop();
    }
}
