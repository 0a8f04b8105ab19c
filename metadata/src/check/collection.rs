//! The rules of a collection: its fields, its keyspace, its constraints and indexes.

use std::collections::{BTreeSet, HashSet};

use super::{CheckError, Checked, FIELDS_MAX, check_name, check_shard};
use crate::schema::{
    Collection, Constraint, ConstraintKind, Database, FieldDefault, Index, Keyspace,
    KeyspaceMethod, Placement,
};
use crate::sharding::{self, KeyType};
use crate::snapshot::{FIRST_OID, Snapshot};
use crate::topology::Datastore;

impl Snapshot {
    pub(super) fn check_collection(
        &self,
        database: &Database,
        what: &str,
        collection: &Collection,
    ) -> Checked {
        let Some(datastore) = self.datastores.get(&collection.datastore) else {
            return Err(CheckError::missing(
                what,
                format!("its datastore \"{}\" does not exist", collection.datastore),
            ));
        };
        check_fields(database, what, collection)?;
        match &collection.placement {
            Placement::Single { shard } => check_shard(what, datastore, *shard)?,
            Placement::Reference => {}
            Placement::Sharded(keyspace) => {
                check_keyspace(database, what, datastore, collection, keyspace)?
            }
        }
        let mut names = BTreeSet::new();
        let mut primary_keys = 0;
        for constraint in &collection.constraints {
            check_name(what, &constraint.name)?;
            if !names.insert(&constraint.name) {
                return Err(CheckError::duplicate(
                    what,
                    format!("constraint \"{}\" is there twice", constraint.name),
                ));
            }
            primary_keys +=
                usize::from(matches!(constraint.kind, ConstraintKind::PrimaryKey { .. }));
            check_constraint(database, what, collection, constraint)?;
        }
        if primary_keys > 1 {
            return Err(CheckError::duplicate(what, "it has more than one primary key"));
        }
        for index in collection.indexes.iter().chain(&collection.pending) {
            check_index(what, collection, index)?;
        }
        Ok(())
    }
}

fn check_fields(database: &Database, what: &str, collection: &Collection) -> Checked {
    if collection.fields.len() > FIELDS_MAX {
        return Err(CheckError::invalid(what, format!("it has more than {FIELDS_MAX} columns")));
    }
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for field in &collection.fields {
        check_name(what, &field.name)?;
        if !names.insert(&field.name) {
            return Err(CheckError::duplicate(
                what,
                format!("column \"{}\" is there twice", field.name),
            ));
        }
        if field.number < 1
            || field.number >= collection.next_field_number
            || !numbers.insert(field.number)
        {
            let rule = format!("column \"{}\" cannot have the number {}", field.name, field.number);
            return Err(CheckError::invalid(what, rule));
        }
        if field.type_oid >= FIRST_OID && database.enum_by_oid(field.type_oid).is_none() {
            let rule = format!(
                "column \"{}\" has the type {}, which does not exist",
                field.name, field.type_oid
            );
            return Err(CheckError::missing(what, rule));
        }
        if let Some(path) = field.default.sequence()
            && database.sequence_at(path).is_none()
        {
            let rule = format!(
                "column \"{}\" takes numbers from \"{path}\", which does not exist",
                field.name
            );
            return Err(CheckError::missing(what, rule));
        }
        if matches!(field.default, FieldDefault::Identity { .. }) && !field.not_null {
            let rule = format!("identity column \"{}\" must be NOT NULL", field.name);
            return Err(CheckError::invalid(what, rule));
        }
    }
    Ok(())
}

fn check_keyspace(
    database: &Database,
    what: &str,
    datastore: &Datastore,
    collection: &Collection,
    keyspace: &Keyspace,
) -> Checked {
    if keyspace.fields.is_empty() {
        return Err(CheckError::invalid(what, "its shard key is empty"));
    }
    let mut seen = HashSet::new();
    for name in &keyspace.fields {
        let Some(field) = collection.field(name) else {
            return Err(CheckError::missing(
                what,
                format!("its shard key \"{name}\" is not one of its columns"),
            ));
        };
        if !seen.insert(name) {
            return Err(CheckError::duplicate(what, format!("its shard key has \"{name}\" twice")));
        }
        if !field.not_null {
            let rule = format!(
                "its shard key \"{name}\" must be NOT NULL, for a row without one has no shard"
            );
            return Err(CheckError::invalid(what, rule));
        }
        if matches!(field.default, FieldDefault::Generated(_)) {
            return Err(CheckError::unsupported(
                what,
                format!("its shard key \"{name}\" is a generated column"),
            ));
        }
    }
    let mut types = Vec::new();
    for name in &keyspace.fields {
        let type_oid = collection.field(name).map_or(0, |field| field.type_oid);
        let is_array = database
            .enum_by_oid(type_oid)
            .is_some_and(|(_, _, found)| found.array_oid.0 == type_oid);
        match KeyType::of(type_oid).filter(|_| !is_array) {
            Some(key_type) => types.push(key_type),
            None => {
                let rule = format!(
                    "its shard key \"{name}\" is of a type (OID {type_oid}) that cannot be hashed exactly"
                );
                return Err(CheckError::unsupported(what, rule));
            }
        }
    }
    if let Err(problem) = sharding::check_keyspace(&keyspace.method, &types) {
        return Err(CheckError::invalid(what, problem.to_string()));
    }
    match &keyspace.method {
        KeyspaceMethod::Hash(_) => {}
        KeyspaceMethod::Range(parts) | KeyspaceMethod::List(parts) => {
            for (_, shard) in parts {
                check_shard(what, datastore, *shard)?;
            }
        }
    }
    Ok(())
}

fn check_known(what: &str, collection: &Collection, of: &str, fields: &[String]) -> Checked {
    let mut seen = HashSet::new();
    for name in fields {
        if collection.field(name).is_none() {
            return Err(CheckError::missing(
                what,
                format!("\"{of}\" names \"{name}\", which is not a column"),
            ));
        }
        if !seen.insert(name) {
            return Err(CheckError::duplicate(what, format!("\"{of}\" names \"{name}\" twice")));
        }
    }
    if fields.is_empty() {
        return Err(CheckError::invalid(what, format!("\"{of}\" names no column")));
    }
    Ok(())
}

fn check_constraint(
    database: &Database,
    what: &str,
    collection: &Collection,
    constraint: &Constraint,
) -> Checked {
    match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => {
            check_known(what, collection, &constraint.name, fields)?;
            let nullable = collection
                .fields
                .iter()
                .find(|field| !field.not_null && fields.contains(&field.name));
            match nullable {
                Some(field) => Err(CheckError::invalid(
                    what,
                    format!("primary key column \"{}\" must be NOT NULL", field.name),
                )),
                None => {
                    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
                    check_global(what, collection, &constraint.name, &names, false)
                }
            }
        }
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            check_known(what, collection, &constraint.name, fields)?;
            let names: Vec<&str> = fields.iter().map(String::as_str).collect();
            check_global(what, collection, &constraint.name, &names, *nulls_not_distinct)
        }
        ConstraintKind::Check { .. } => Ok(()),
        ConstraintKind::ForeignKey { fields, references, references_fields, .. } => {
            check_known(what, collection, &constraint.name, fields)?;
            let Some(target) = database.collection(&references.0, &references.1) else {
                let rule = format!(
                    "\"{}\" refers to {}.{}, which does not exist",
                    constraint.name, references.0, references.1
                );
                return Err(CheckError::missing(what, rule));
            };
            check_known(
                &format!("table \"{}\"", references.1),
                target,
                &constraint.name,
                references_fields,
            )?;
            if fields.len() != references_fields.len() {
                let rule =
                    format!("\"{}\" does not refer to as many columns as it has", constraint.name);
                return Err(CheckError::invalid(what, rule));
            }
            let mut wanted = references_fields.iter().map(String::as_str).collect::<Vec<_>>();
            wanted.sort_unstable();
            let matched = target.unique_keys().any(|mut key| {
                key.sort_unstable();
                key == wanted
            });
            if !matched {
                let rule = format!(
                    "\"{}\" refers to columns that no unique constraint covers",
                    constraint.name
                );
                return Err(CheckError::missing(what, rule));
            }
            let pairs =
                fields.iter().map(String::as_str).zip(references_fields.iter().map(String::as_str));
            if foreign_key_holds(collection, target, &pairs.collect::<Vec<_>>()) {
                return Ok(());
            }
            let rule = format!(
                "\"{}\" refers to {}.{}, whose rows may be on another shard",
                constraint.name, references.0, references.1
            );
            Err(CheckError::unsupported(what, rule))
        }
    }
}

fn check_index(what: &str, collection: &Collection, index: &Index) -> Checked {
    if index.keys.is_empty() {
        return Err(CheckError::invalid(what, format!("index \"{}\" has no keys", index.name)));
    }
    if let Some(name) = index.include.iter().find(|name| collection.field(name).is_none()) {
        return Err(CheckError::missing(
            what,
            format!("index \"{}\" includes no column \"{name}\"", index.name),
        ));
    }
    if !index.unique {
        return Ok(());
    }
    let keys: Vec<&str> = index.keys.iter().map(|key| key.expr.as_str()).collect();
    if index.filter.is_some() && collection.lacks_shard_key(&keys) {
        let rule =
            format!("its unique index \"{}\" is partial, and lacks the shard key", index.name);
        return Err(CheckError::unsupported(what, rule));
    }
    check_global(what, collection, &index.name, &keys, index.nulls_not_distinct)
}

/// A unique key without the shard key is kept over the shards by the values of its fields.
fn check_global(
    what: &str,
    collection: &Collection,
    name: &str,
    keys: &[&str],
    nulls_not_distinct: bool,
) -> Checked {
    if !collection.lacks_shard_key(keys) {
        return Ok(());
    }
    for key in keys {
        let rule = match collection.field(key) {
            None => "has an expression",
            Some(field) if matches!(field.default, FieldDefault::Generated(_)) => {
                "has a generated column"
            }
            Some(_) if nulls_not_distinct => "takes NULLs for alike",
            Some(_) => continue,
        };
        let rule = format!("its unique key \"{name}\" {rule}, and lacks the shard key");
        return Err(CheckError::unsupported(what, rule));
    }
    Ok(())
}

/// Whether a foreign key can be kept by each shard alone: every row that a row refers to is on the same shard. `pairs` are
/// the referring fields, each with the one that it refers to.
#[must_use]
pub fn foreign_key_holds(from: &Collection, to: &Collection, pairs: &[(&str, &str)]) -> bool {
    if from.datastore != to.datastore {
        return false;
    }
    match (&from.placement, &to.placement) {
        (_, Placement::Reference) => true,
        (Placement::Single { shard: from }, Placement::Single { shard: to }) => from == to,
        (Placement::Sharded(_), Placement::Sharded(_)) => co_located(from, to, pairs),
        (Placement::Reference | Placement::Single { .. } | Placement::Sharded(_), _) => false,
    }
}

/// Whether rows of two sharded collections are on one shard whenever the fields of each pair are equal: both are spread
/// alike, and the pairs hold each shard key field together with its counterpart.
#[must_use]
pub fn co_located(one: &Collection, other: &Collection, pairs: &[(&str, &str)]) -> bool {
    let (Some(left), Some(right)) = (one.keyspace(), other.keyspace()) else { return false };
    one.datastore == other.datastore
        && left.method == right.method
        && left.fields.len() == right.fields.len()
        && left.fields.iter().zip(&right.fields).all(|(left, right)| {
            pairs.contains(&(left.as_str(), right.as_str()))
                && same_key_type(one, left, other, right)
        })
}

fn same_key_type(one: &Collection, left: &str, other: &Collection, right: &str) -> bool {
    let type_of =
        |collection: &Collection, name: &str| collection.field(name).map(|field| field.type_oid);
    type_of(one, left) == type_of(other, right)
}
