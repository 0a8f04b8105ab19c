//! Text → bound query and the datasource that it goes to.

use std::sync::Arc;

use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::{Condition, NodeQuery, OutputField, Select, Source, Target};
use dataman_pg::types::TypeId;

use crate::driver::contract::Datasource;
use crate::execute::short;
use crate::inspect::{Datasources, locate};

/// What names are looked up in.
pub struct BindContext<'a> {
    /// The datasources that the client may use.
    pub datasources: &'a Datasources,
    /// The metadata, when the agent watches it.
    pub snapshot: Option<&'a Snapshot>,
    /// The database that short-form queries mean unless they say another one.
    pub database: Option<&'a str>,
}

/// A statement and where it goes.
#[derive(Clone)]
pub struct BoundStatement {
    /// Where.
    pub datasource: Arc<dyn Datasource>,
    /// What, in the bound form.
    pub statement: Arc<NodeStatement>,
    /// It was in the short form, and its fields were those of this moment: not to be kept.
    pub was_short: bool,
}

/// Reads a statement's text, and binds it if it is in the short form. `declared` are the types of `$1…`, `unknown` for
/// those left open.
///
/// # Errors
/// `42601` for what is no dataman query; what the short form's binding finds; an instance that is nowhere or not unique.
pub async fn bind(
    text: &str,
    declared: &[TypeId],
    context: &BindContext<'_>,
) -> Result<BoundStatement, NodeError> {
    if let Ok(query) = serde_json::from_str::<NodeQuery>(text)
        && is_bound(&query)
    {
        let datasource = datasource_of(&query, context).await?;
        let declared = match (&query, declared) {
            (NodeQuery::Sql(sql), []) => sql.params.clone(),
            _ => declared.to_vec(),
        };
        let statement = Arc::new(NodeStatement::new(query, declared));
        return Ok(BoundStatement { datasource, statement, was_short: false });
    }
    let short = short::parse(text)?;
    let mut target = short.target.clone();
    if target.db.is_empty() && target.shard_instance.is_empty() {
        target.db = context.database.unwrap_or_default().to_owned();
    }
    let located = locate(context.datasources, context.snapshot, &target).await?;
    target.shard_instance = located.shard_instance;
    let (query, params) = short.bind(target, &located.collection, declared)?;
    let statement = Arc::new(NodeStatement::new(query, params));
    Ok(BoundStatement { datasource: located.datasource, statement, was_short: true })
}

/// Whether a driver takes the query as it is.
fn is_bound(query: &NodeQuery) -> bool {
    match query {
        NodeQuery::Get(_) | NodeQuery::Set(_) => false,
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => is_bound_select(select),
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => are_bound(&insert.returning),
        NodeQuery::Update(update) => {
            update.record.is_empty()
                && !update.record_op.is_empty()
                && update.filter.as_ref().is_none_or(is_bound_condition)
                && are_bound(&update.returning)
        }
        NodeQuery::Delete(delete) => {
            !delete.target.shard_instance.is_empty()
                && delete.filter.as_ref().is_none_or(is_bound_condition)
                && are_bound(&delete.returning)
        }
        NodeQuery::Copy(_) | NodeQuery::Sql(_) | NodeQuery::Define(_) | NodeQuery::Inspect(_) => {
            true
        }
    }
}

fn is_bound_select(select: &Select) -> bool {
    // The short form names its collection outside of `source`, and its fields, if any, by name.
    (!select.source.is_empty() || !select.fields.is_empty())
        && are_bound(&select.fields)
        && select.filter.as_ref().is_none_or(is_bound_condition)
}

fn are_bound(fields: &[OutputField]) -> bool {
    fields.iter().all(|field| matches!(field, OutputField::Bound { .. }))
}

fn is_bound_condition(condition: &Condition) -> bool {
    match condition {
        Condition::Expr(_) => true,
        Condition::Test { .. } => false,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().all(is_bound_condition),
    }
}

/// Where a bound query goes: to the only datasource, or to the one that holds its instance.
async fn datasource_of(
    query: &NodeQuery,
    context: &BindContext<'_>,
) -> Result<Arc<dyn Datasource>, NodeError> {
    let mut datasources = context.datasources.values();
    if let (Some(only), None) = (datasources.next(), datasources.next()) {
        return Ok(Arc::clone(only));
    }
    if let Some(instance) = instance_of(query) {
        for datasource in context.datasources.values() {
            if datasource.instances().await?.iter().any(|here| here == instance) {
                return Ok(Arc::clone(datasource));
            }
        }
    }
    let names: Vec<&str> = context.datasources.keys().map(String::as_str).collect();
    Err(NodeError::statement("3D000", "it is not clear which datasource the query is for")
        .with_hint(format!(
            "Connect with the datasource's name as database: {}.",
            names.join(", ")
        )))
}

/// The shard instance that a bound query names first.
fn instance_of(query: &NodeQuery) -> Option<&str> {
    fn of_source(source: &Source) -> Option<&Target> {
        match source {
            Source::Collection { target, .. } => Some(target),
            Source::Query { query, .. } => query.source.iter().find_map(of_source),
            Source::Join { left, right, .. } => of_source(left).or_else(|| of_source(right)),
            _ => None,
        }
    }
    let target = match query {
        NodeQuery::Get(get) => &get.target,
        NodeQuery::Set(set) => &set.target,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => &insert.target,
        NodeQuery::Update(update) => &update.target,
        NodeQuery::Delete(delete) => &delete.target,
        NodeQuery::Copy(copy) => &copy.target,
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => {
            select.source.iter().find_map(of_source)?
        }
        NodeQuery::Sql(_) | NodeQuery::Inspect(_) => return None,
        NodeQuery::Define(definition) => match definition {
            Definition::CreateInstance { shard_instance }
            | Definition::DropInstance { shard_instance }
            | Definition::CreateEnum { shard_instance, .. }
            | Definition::Note { shard_instance, .. }
            | Definition::DropEnum { shard_instance, .. } => return Some(shard_instance),
            Definition::CreateCollection(shape)
            | Definition::Adopt { shape, .. }
            | Definition::AlterCollection { to: shape, .. } => &shape.target,
            Definition::DropCollection(target)
            | Definition::Release(target)
            | Definition::CreateIndex { target, .. }
            | Definition::DropIndex { target, .. } => target,
            Definition::Truncate(targets) => targets.first()?,
            Definition::Maintain(maintenance) => &maintenance.targets.first()?.target,
        },
    };
    Some(&target.shard_instance)
}
