//! The server's errors with the users' names in them.
//!
//! A shard instance is a schema of the server, and a collection outside `public` bears its schema in its own name. Users know
//! neither: they see their schema and their table, as on a plain PostgreSQL.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::query::{NodeQuery, Select, Source, Target};

use crate::driver::sql::user_name;

/// Puts a user's names in the place of physical ones.
pub(super) fn translate_error(query: &NodeQuery, mut error: NodeError) -> NodeError {
    let instance = shard_instance(query)
        .map(str::to_owned)
        .or_else(|| error.object.schema.clone().filter(|schema| schema.starts_with("dbshard_")));
    let Some(instance) = instance else { return error };
    if error.object.schema.as_deref().is_some_and(|schema| !schema.starts_with("dbshard_")) {
        // The names of a table that dataman did not make are its own. It may be shown in another schema.
        let adopted = target(query).and_then(|target| Some((target, target.adopted.as_ref()?)));
        if let Some((target, adopted)) = adopted
            && error.object.schema.as_ref() == Some(&adopted.namespace)
        {
            error.object.schema = Some(user_name(&target.collection).0);
        }
        return error;
    }
    let mut names: Vec<(String, String)> = Vec::new();
    let mut schema = None;
    if let Some(physical) = &error.object.table {
        let (user_schema, name) = user_name(physical);
        names.push((physical.clone(), name));
        schema = Some(user_schema);
    }
    if let Some(physical) = &error.object.constraint {
        names.push((physical.clone(), user_name(physical).1));
    }
    // What stands in quotes is a name only where the error is about objects: in a data exception it is a value.
    let about_objects =
        ["23", "2B", "42", "55"].iter().any(|class| error.sqlstate.starts_with(class));
    for physical in quoted_names(&error.message).into_iter().filter(|_| about_objects) {
        // The name of a relation may be given with its schema, in one pair of quotes.
        let bare = physical.strip_prefix(&format!("{instance}.")).unwrap_or(&physical);
        let (user_schema, name) = user_name(bare);
        let shown = match user_schema.as_str() {
            "public" => name,
            _ if bare.contains('.') => match bare == physical {
                true => name,
                false => format!("{user_schema}.{name}"),
            },
            _ => name,
        };
        names.push((physical.clone(), shown));
    }
    let rewrite = |text: &mut String| {
        for (physical, name) in &names {
            if physical != name {
                *text = text.replace(&format!("\"{physical}\""), &format!("\"{name}\""));
            }
        }
        *text = text.replace(&format!("\"{instance}\"."), "").replace(&format!("{instance}."), "");
    };
    rewrite(&mut error.message);
    error.detail.iter_mut().for_each(rewrite);
    if error.sqlstate == "23503" {
        error.detail.iter_mut().for_each(bare_table);
    }
    error.hint.iter_mut().for_each(rewrite);
    error.context.iter_mut().for_each(rewrite);
    if error.object.schema.as_deref() == Some(instance.as_str()) {
        error.object.schema = Some(schema.unwrap_or_else(|| "public".to_owned()));
    }
    if let Some(table) = &mut error.object.table {
        *table = user_name(table).1;
    }
    if let Some(constraint) = &mut error.object.constraint {
        *constraint = user_name(constraint).1;
    }
    error
}

/// `Key (a)=(1) is not present in table "s.t".`: PostgreSQL names the table without its schema.
fn bare_table(detail: &mut String) {
    let Some((before, rest)) = detail.rsplit_once(" table \"") else { return };
    let Some((physical, after)) = rest.split_once('"') else { return };
    *detail = format!("{before} table \"{}\"{after}", user_name(physical).1);
}

/// What stands between double quotes.
fn quoted_names(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The shard instance that a query is about.
fn shard_instance(query: &NodeQuery) -> Option<&str> {
    match query {
        NodeQuery::Define(
            Definition::CreateInstance { shard_instance }
            | Definition::DropInstance { shard_instance }
            | Definition::CreateEnum { shard_instance, .. }
            | Definition::Note { shard_instance, .. }
            | Definition::DropEnum { shard_instance, .. },
        ) => Some(shard_instance),
        _ => target(query).map(|target| target.shard_instance.as_str()),
    }
}

/// The collection that a query is about.
fn target(query: &NodeQuery) -> Option<&Target> {
    Some(match query {
        NodeQuery::Get(get) => &get.target,
        NodeQuery::Set(set) => &set.target,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => &insert.target,
        NodeQuery::Update(update) => &update.target,
        NodeQuery::Delete(delete) => &delete.target,
        NodeQuery::Copy(copy) => &copy.target,
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => select_target(select)?,
        NodeQuery::Sql(_) | NodeQuery::Inspect(_) => return None,
        NodeQuery::Define(definition) => match definition {
            Definition::CreateInstance { .. }
            | Definition::DropInstance { .. }
            | Definition::CreateEnum { .. }
            | Definition::Note { .. }
            | Definition::DropEnum { .. } => return None,
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
    })
}

fn select_target(select: &Select) -> Option<&Target> {
    select.source.iter().find_map(source_target)
}

fn source_target(source: &Source) -> Option<&Target> {
    match source {
        Source::Collection { target, .. } => Some(target),
        Source::Query { query, .. } => select_target(query),
        Source::Join { left, right, .. } => source_target(left).or_else(|| source_target(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(collection: &str, error: NodeError, expected: &NodeError) {
        let target = Target {
            shard_instance: "dbshard_x_0".to_owned(),
            collection: collection.to_owned(),
            ..Target::default()
        };
        let query = NodeQuery::Define(Definition::DropCollection(target));
        assert_eq!(translate_error(&query, error), *expected);
    }

    #[test]
    fn values_stay() {
        let error = NodeError::statement("22P02", "invalid input syntax for type integer: \"1.5\"");
        check("t", error.clone(), &error);
    }

    #[test]
    fn users_see_their_names() {
        let error = |message: &str, schema: &str, table: &str| {
            let mut error = NodeError::statement("23502", message);
            error.object.schema = Some(schema.to_owned());
            error.object.table = Some(table.to_owned());
            error
        };
        check(
            "t",
            error("null value in column \"a\" of relation \"t\" violates", "dbshard_x_0", "t"),
            &error("null value in column \"a\" of relation \"t\" violates", "public", "t"),
        );
        check(
            "s.t",
            error("null value in column \"a\" of relation \"s.t\" violates", "dbshard_x_0", "s.t"),
            &error("null value in column \"a\" of relation \"t\" violates", "s", "t"),
        );
        check(
            "t",
            NodeError::statement("42P01", "relation \"dbshard_x_0.s.t\" does not exist"),
            &NodeError::statement("42P01", "relation \"s.t\" does not exist"),
        );
        check(
            "t",
            NodeError::statement("42P01", "relation \"dbshard_x_0.t\" does not exist"),
            &NodeError::statement("42P01", "relation \"t\" does not exist"),
        );
    }
}
