//! Opening a PostgreSQL datasource, and looking at what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dataman_metadata::topology::Engine;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::address::Address;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::context::quote_literal;
use dataman_node_protocol::definition::FieldShape;
use dataman_node_protocol::node::{Node, NodeConnection, PoolUse};
use dataman_node_protocol::pool::PoolLimits;
use dataman_node_protocol::remote::WireNode;
use dataman_node_protocol::replication::Observation;
use dataman_pg::types::{TypeId, TypeRef};

use super::lower::PostgresHop;
use crate::driver::contract::{Datasource, Driver, InspectedCollection, Limits};

/// The driver of PostgreSQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresDriver;

#[async_trait]
impl Driver for PostgresDriver {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    async fn open(&self, url: &str, limits: Limits) -> Result<Arc<dyn Datasource>, NodeError> {
        let address = Address::parse(url)?;
        let limits = PoolLimits { connections_max: limits.connections_max, wait: limits.wait };
        Ok(Arc::new(PostgresDatasource(WireNode::new(address, limits, PostgresHop::new()))))
    }
}

/// One database of a PostgreSQL server.
struct PostgresDatasource(WireNode<PostgresHop>);

#[async_trait]
impl Node for PostgresDatasource {
    fn capability(&self) -> &dyn Capability {
        self.0.capability()
    }

    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError> {
        self.0.connect().await
    }

    fn connect_now(&self) -> Option<Box<dyn NodeConnection>> {
        self.0.connect_now()
    }

    fn pool_use(&self) -> Option<PoolUse> {
        self.0.pool_use()
    }

    async fn observe(&self) -> Result<Observation, NodeError> {
        self.0.observe().await
    }
}

/// One row a field: collection, field, type, modifier, NOT NULL, place in the primary key, an enum's name and labels.
const FIELDS: &str = "
    SELECT c.relname, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
           pg_catalog.array_position(k.conkey, a.attnum),
           CASE WHEN t.typtype = 'e' THEN t.typname END,
           CASE WHEN t.typtype = 'e' THEN
             (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder)
                FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) END
      FROM pg_catalog.pg_class c
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
     WHERE c.relkind IN ('r', 'p')
       AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = {instance})
     ORDER BY c.relname, a.attnum";

#[async_trait]
impl Datasource for PostgresDatasource {
    async fn instances(&self) -> Result<Vec<String>, NodeError> {
        let text = r"SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname LIKE 'dbshard\_%' ORDER BY 1";
        let rows = self.0.pool().take().await?.query(text).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    async fn inspect(
        &self,
        shard_instance: &str,
    ) -> Result<Option<Vec<InspectedCollection>>, NodeError> {
        let mut connection = self.0.pool().take().await?;
        let instance = quote_literal(shard_instance);
        let exists = format!("SELECT FROM pg_catalog.pg_namespace WHERE nspname = {instance}");
        if connection.query(&exists).await?.is_empty() {
            return Ok(None);
        }
        let rows = connection.query(&FIELDS.replace("{instance}", &instance)).await?;
        let mut collections: BTreeMap<String, InspectedCollection> = BTreeMap::new();
        let mut keys: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
        for row in rows {
            let mut values = row.into_iter();
            let mut next = || values.next().flatten();
            let Some(collection) = next() else { continue };
            let entry =
                collections.entry(collection.clone()).or_insert_with(|| InspectedCollection {
                    collection: collection.clone(),
                    fields: Vec::new(),
                    primary_key: Vec::new(),
                });
            let Some(name) = next() else { continue };
            let number = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok());
            let id = number(next()).and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
            let typmod = number(next()).and_then(|typmod| i32::try_from(typmod).ok()).unwrap_or(-1);
            let not_null = next().as_deref() == Some("t");
            if let Some(place) = number(next()).and_then(|place| usize::try_from(place).ok()) {
                keys.entry(collection).or_default().insert(place, name.clone());
            }
            let enum_labels = next().zip(next()).map(|(name, labels)| {
                (name, serde_json::from_str::<Vec<String>>(&labels).unwrap_or_default())
            });
            let ty = TypeRef { id: TypeId(id), typmod };
            entry.fields.push(FieldShape { name, ty, enum_labels, not_null });
        }
        for (collection, key) in keys {
            if let Some(entry) = collections.get_mut(&collection) {
                entry.primary_key = key.into_values().collect();
            }
        }
        Ok(Some(collections.into_values().collect()))
    }

    async fn check_health(&self) -> Result<(), NodeError> {
        self.0.pool().take().await?.query("SELECT 1").await.map(|_| ())
    }
}
