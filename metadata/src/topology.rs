//! Where data can live.

use serde::{Deserialize, Serialize};

use crate::id::{DatasourceId, DatastoreId, NodeId, ShardId};

/// A storage node: a host with a node agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// The agent's address, `host:port`; none when the agent runs inside `dataman up`.
    pub agent: Option<String>,
    /// The password that proxies and the agent prove to each other; `${ENV}` is replaced by them, not here. None when the agent lets
    /// in whoever reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_password: Option<String>,
    /// The file of certificates, on the proxies' hosts, that vouch for the agent: its connections are encrypted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_ca: Option<String>,
    /// The database servers its agent fronts.
    pub datasources: Vec<Datasource>,
}

/// One database server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datasource {
    /// Its name on the node.
    pub name: String,
    /// What kind of database.
    pub engine: Engine,
    /// How to reach it; for SQLite a folder. `${ENV}` is replaced by the agent, not here.
    pub url: String,
}

/// The kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// MongoDB.
    Mongodb,
    /// SQLite, built in.
    Sqlite,
}

/// A group of shards in which databases live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datastore {
    /// Its name.
    pub id: DatastoreId,
    /// The number of slots of the key space; fixed for ever.
    pub vshards: u32,
    /// Who copies to replicas.
    pub replication: Replication,
    /// The shards; a shard's place is its id.
    pub shards: Vec<Shard>,
    /// vshard → shard, by place; `vshards` long.
    pub vshard_map: Vec<ShardId>,
}

/// Who copies a shard's data to its replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    /// The databases themselves.
    #[default]
    Native,
    /// dataman.
    Dataman,
}

/// A slice of the data: a replica set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The copy that takes writes.
    pub primary: DatasourceId,
    /// The other copies.
    #[serde(default)]
    pub replicas: Vec<DatasourceId>,
    /// Raised at each change of primary.
    #[serde(default)]
    pub fencing_token: u64,
}
