//! Where a collection is, and what fields it has: from the metadata, or from the databases themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_metadata::snapshot::{Snapshot, physical_name, shard_instance_name};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::FieldShape;
use dataman_node_protocol::query::Target;
use dataman_pg::types::{TypeId, TypeRef};

use crate::driver::contract::{Datasource, InspectedCollection};

/// The datasources of an agent by name.
pub type Datasources = BTreeMap<String, Arc<dyn Datasource>>;

/// A collection that was found.
pub struct Located {
    /// Where.
    pub datasource: Arc<dyn Datasource>,
    /// Where there.
    pub shard_instance: String,
    /// Its shape.
    pub collection: InspectedCollection,
}

/// Finds the one shard instance that a short-form query means.
///
/// `target` may leave out the instance: then it is the only one that holds the collection, among those of the database, if
/// one is named.
///
/// # Errors
/// `42P01` when no instance holds the collection; `42P09` when several do, listing them.
pub async fn locate(
    datasources: &Datasources,
    snapshot: Option<&Snapshot>,
    target: &Target,
) -> Result<Located, NodeError> {
    let mut found: Vec<Located> = Vec::new();
    for datasource in datasources.values() {
        let instances = match target.shard_instance.as_str() {
            "" => datasource.instances().await?,
            named => vec![named.to_owned()],
        };
        for shard_instance in instances {
            if !target.db.is_empty() && !is_of_database(&shard_instance, &target.db) {
                continue;
            }
            let known = snapshot
                .and_then(|snapshot| from_snapshot(snapshot, &shard_instance, &target.collection));
            // The metadata knows the shape, the database whether it is here.
            let collections = datasource.inspect(&shard_instance).await?.unwrap_or_default();
            let here = collections.into_iter().find(|here| here.collection == target.collection);
            if let Some(here) = here {
                let collection = known.unwrap_or(here);
                found.push(Located {
                    datasource: Arc::clone(datasource),
                    shard_instance,
                    collection,
                });
            }
        }
    }
    let names: Vec<&str> = found.iter().map(|found| found.shard_instance.as_str()).collect();
    if names.len() > 1 {
        let hint = format!("Name one as \"shard_instance\": {}.", names.join(", "));
        return Err(NodeError::statement(
            "42P09",
            format!("collection \"{}\" is in several shard instances here", target.collection),
        )
        .with_hint(hint));
    }
    found.pop().ok_or_else(|| {
        let place = match (target.shard_instance.as_str(), target.db.as_str()) {
            ("", "") => "on this node".to_owned(),
            ("", database) => format!("of database \"{database}\" on this node"),
            (instance, _) => format!("in \"{instance}\""),
        };
        NodeError::statement(
            "42P01",
            format!("there is no collection \"{}\" {place}", target.collection),
        )
    })
}

/// `dbshard_<database>_<shard>`.
fn is_of_database(shard_instance: &str, database: &str) -> bool {
    shard_instance
        .strip_prefix("dbshard_")
        .and_then(|rest| rest.rsplit_once('_'))
        .is_some_and(|(name, _)| name == database)
}

/// A collection as the metadata knows it, by its instance and physical name.
fn from_snapshot(
    snapshot: &Snapshot,
    shard_instance: &str,
    collection: &str,
) -> Option<InspectedCollection> {
    let database = snapshot.databases.values().find(|database| {
        shard_instance.rsplit_once('_').and_then(|(_, shard)| shard.parse().ok()).is_some_and(
            |shard| {
                let shard = dataman_metadata::id::ShardId(shard);
                shard_instance_name(&database.id, shard) == shard_instance
            },
        )
    })?;
    let (schema, found) = database.schemas.iter().find_map(|(name, schema)| {
        let mut collections = schema.collections.iter();
        let (_, found) = collections.find(|(table, _)| physical_name(name, table) == collection)?;
        Some((schema, found))
    })?;
    let fields = found.fields.iter().map(|field| FieldShape {
        name: field.name.clone(),
        ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
        enum_labels: schema
            .enums
            .iter()
            .find(|(_, ty)| ty.oid.0 == field.type_oid)
            .map(|(name, ty)| (name.clone(), ty.labels.clone())),
        not_null: field.not_null,
    });
    let primary_key = found.constraints.iter().find_map(|constraint| match &constraint.kind {
        dataman_metadata::schema::ConstraintKind::PrimaryKey { fields } => Some(fields.clone()),
        _ => None,
    });
    Some(InspectedCollection {
        collection: collection.to_owned(),
        fields: fields.collect(),
        primary_key: primary_key.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_a_database() {
        let check = |instance: &str, database: &str, expected: bool| {
            assert_eq!(is_of_database(instance, database), expected, "{instance} {database}");
        };
        check("dbshard_shop_0", "shop", true);
        check("dbshard_my_shop_12", "my_shop", true);
        check("dbshard_my_shop_12", "my", false);
        check("dbshard_shop", "shop", false);
        check("public", "shop", false);
    }
}
