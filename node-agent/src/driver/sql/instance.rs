//! Which shard instance a query is about, and what it returns.

use std::collections::HashSet;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::query::{NodeQuery, OutputField, Records, Select, Source, Target};
use dataman_node_protocol::record::ColumnDescription;

/// The one shard instance that a query is about; none when it reads no collection.
///
/// # Errors
/// `0A000` when it is about several.
pub(crate) fn instance_of(query: &NodeQuery) -> Result<Option<String>, NodeError> {
    let mut instances = HashSet::new();
    each_target(query, &mut |target| {
        instances.insert(target.shard_instance.clone());
    });
    if let NodeQuery::Define(definition) = query {
        instances.insert(definition_instance(definition)?);
    }
    let mut instances = instances.into_iter();
    let instance = instances.next();
    if instances.next().is_some() {
        return Err(NodeError::unsupported("a query reads one shard instance"));
    }
    Ok(instance)
}

/// The physical names of the collections that a query reads or writes.
#[cfg(any(feature = "mysql", feature = "mongodb"))]
pub(crate) fn collections_of(query: &NodeQuery) -> HashSet<String> {
    let mut names = HashSet::new();
    each_target(query, &mut |target| {
        names.insert(target.collection.clone());
    });
    names
}

/// The physical names of the collections that a definition changes.
#[cfg(any(feature = "mysql", feature = "mongodb"))]
pub(crate) fn defined_collections(definition: &Definition) -> HashSet<String> {
    use dataman_node_protocol::definition::AlterStep;
    let mut names = HashSet::new();
    match definition {
        Definition::CreateCollection(shape) | Definition::Adopt { shape, .. } => {
            names.insert(shape.target.collection.clone());
        }
        Definition::AlterCollection { step, to } => {
            names.insert(to.target.collection.clone());
            if let AlterStep::RenameCollection { from } = step {
                names.insert(from.clone());
            }
        }
        Definition::DropCollection(target)
        | Definition::Release(target)
        | Definition::CreateIndex { target, .. }
        | Definition::DropIndex { target, .. } => {
            names.insert(target.collection.clone());
        }
        Definition::Truncate(targets) => {
            names.extend(targets.iter().map(|target| target.collection.clone()));
        }
        Definition::CreateInstance { .. }
        | Definition::DropInstance { .. }
        | Definition::CreateEnum { .. }
        | Definition::DropEnum { .. }
        | Definition::Note { .. }
        | Definition::Maintain(_) => {}
    }
    names
}

/// Visits the collections that a query reads or writes; a definition has none here.
fn each_target(query: &NodeQuery, visit: &mut dyn FnMut(&Target)) {
    match query {
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
            select_instances(select, visit);
        }
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
            visit(&insert.target);
            each_select(&insert.subqueries, visit);
            if let Records::Query(query) = &insert.records {
                select_instances(query, visit);
            }
        }
        NodeQuery::Update(update) => {
            visit(&update.target);
            each_select(&update.subqueries, visit);
            update.source.iter().for_each(|source| source_instances(source, visit));
        }
        NodeQuery::Delete(delete) => {
            visit(&delete.target);
            each_select(&delete.subqueries, visit);
            delete.source.iter().for_each(|source| source_instances(source, visit));
        }
        NodeQuery::Define(_)
        | NodeQuery::Inspect(_)
        | NodeQuery::Copy(_)
        | NodeQuery::Sql(_)
        | NodeQuery::Get(_)
        | NodeQuery::Set(_) => {}
    }
}

/// The columns of a RETURNING; none without one.
pub(crate) fn returned(
    fields: &[OutputField],
) -> Result<Option<Vec<ColumnDescription>>, NodeError> {
    if fields.is_empty() { Ok(None) } else { columns_of(fields).map(Some) }
}

/// The columns of a result.
///
/// # Errors
/// `0A000` for the short form.
pub(crate) fn columns_of(fields: &[OutputField]) -> Result<Vec<ColumnDescription>, NodeError> {
    fields
        .iter()
        .map(|field| match field {
            OutputField::Bound { expr, name } => {
                Ok(ColumnDescription { name: name.clone(), ty: expr.type_ref() })
            }
            OutputField::Named(_) => {
                Err(NodeError::unsupported("a short-form query has to be bound first"))
            }
        })
        .collect()
}

fn each_select(selects: &[Select], visit: &mut dyn FnMut(&Target)) {
    selects.iter().for_each(|select| select_instances(select, visit));
}

fn select_instances(select: &Select, visit: &mut dyn FnMut(&Target)) {
    select.source.iter().for_each(|source| source_instances(source, visit));
    each_select(&select.subqueries, visit);
    select.union.iter().for_each(|operation| select_instances(&operation.query, visit));
    select.with.iter().for_each(|table| select_instances(&table.query, visit));
}

fn source_instances(source: &Source, visit: &mut dyn FnMut(&Target)) {
    match source {
        Source::Collection { target, .. } => visit(target),
        Source::Query { query, .. } => select_instances(query, visit),
        Source::Join { left, right, .. } => {
            source_instances(left, visit);
            source_instances(right, visit);
        }
        Source::CommonTable { .. }
        | Source::Values { .. }
        | Source::Function { .. }
        | Source::Virtual { .. } => {}
    }
}

fn definition_instance(definition: &Definition) -> Result<String, NodeError> {
    Ok(match definition {
        Definition::CreateInstance { shard_instance }
        | Definition::DropInstance { shard_instance }
        | Definition::CreateEnum { shard_instance, .. }
        | Definition::Note { shard_instance, .. }
        | Definition::DropEnum { shard_instance, .. } => shard_instance.clone(),
        Definition::CreateCollection(shape) | Definition::Adopt { shape, .. } => {
            shape.target.shard_instance.clone()
        }
        Definition::AlterCollection { to, .. } => to.target.shard_instance.clone(),
        Definition::DropCollection(target)
        | Definition::Release(target)
        | Definition::CreateIndex { target, .. }
        | Definition::DropIndex { target, .. } => target.shard_instance.clone(),
        Definition::Maintain(maintenance) => maintenance
            .targets
            .first()
            .map(|one| one.target.shard_instance.clone())
            .ok_or_else(|| NodeError::unsupported("maintenance of nothing"))?,
        Definition::Truncate(targets) => targets
            .first()
            .map(|target| target.shard_instance.clone())
            .ok_or_else(|| NodeError::unsupported("TRUNCATE of nothing"))?,
    })
}
