//! The server of a datasource, and the catalogues of its shard instances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dataman_metadata::topology::Engine;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::definition::ConstraintKind;
use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use dataman_node_protocol::node::{Node, NodeConnection, NodeStatement};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, ClientSession};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};
use tokio::task::JoinSet;

use super::capability::MongodbCapability;
use super::catalogue::Catalogue;
use super::connection::MongodbConnection;
use super::error::{classify, number};
use super::layout::{CATALOGUE, instance_name};
use super::statement::Prepared;
use super::{CONNECTIONS_BESIDE, LOWERED_MAX};
use crate::driver::contract::{Datasource, Driver, InspectedCollection, Limits};

/// How long to look for the primary: an election takes about this long.
const PRIMARY_WAIT: Duration = Duration::from_secs(10);

/// How long to wait for a connection to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// The document of the catalogue that says which instance it is of.
pub(super) const INSTANCE: &str = "instance";

/// The MongoDB driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct MongodbDriver;

#[async_trait]
impl Driver for MongodbDriver {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn open(&self, url: &str, limits: Limits) -> Result<Arc<dyn Datasource>, NodeError> {
        let mut options = options(url).await?;
        let connections = limits.connections_max + CONNECTIONS_BESIDE;
        options.max_pool_size = Some(u32::try_from(connections).unwrap_or(u32::MAX));
        options.app_name.get_or_insert_with(|| "dataman".to_owned());
        options.server_selection_timeout.get_or_insert(PRIMARY_WAIT);
        options.connect_timeout.get_or_insert(CONNECT_WAIT);
        let client = Client::with_options(options).map_err(|error| wrong(&error.to_string()))?;
        Ok(Arc::new(
            Server {
                client,
                limits,
                permits: Arc::new(Semaphore::new(limits.connections_max)),
                keeps_transactions: OnceLock::new(),
                instances: Mutex::new(HashMap::new()),
                prepared: Mutex::new(HashMap::new()),
                afterwards: Mutex::new(JoinSet::new()),
            }
            .into_node(),
        ))
    }
}

fn wrong(what: &str) -> NodeError {
    NodeError::new(
        NodeErrorKind::Unreachable,
        "08001",
        format!("the URL of a MongoDB datasource is wrong: {what}"),
    )
    .with_hint("Write mongodb://user:password@host:27017/?replicaSet=name.")
}

/// Reads a URL; the password is in no message.
async fn options(url: &str) -> Result<ClientOptions, NodeError> {
    if url.starts_with("mongodb+srv://") {
        return Err(wrong("hosts are named in it, and not looked up in DNS"));
    }
    if !url.starts_with("mongodb://") {
        return Err(wrong("it must begin with mongodb://"));
    }
    ClientOptions::parse(url).await.map_err(|error| match *error.kind {
        mongodb::error::ErrorKind::InvalidArgument { message, .. } if !message.contains('@') => {
            wrong(&message)
        }
        _ => wrong("it cannot be read"),
    })
}

/// A shard instance's catalogue as it was last read.
#[derive(Default)]
pub(super) struct Instance {
    generation: AtomicU64,
    known: Mutex<Option<(u64, Arc<Catalogue>)>>,
    /// What each collection is used through: statements beside each other, definitions alone, as PostgreSQL's table locks.
    gates: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

/// What was made of a statement, and the catalogue over which.
type PreparedOver = (Arc<Catalogue>, Arc<Prepared>);

/// The server of a datasource.
pub(super) struct Server {
    client: Client,
    limits: Limits,
    permits: Arc<Semaphore>,
    /// Whether it is a member of a replica set, or a router; known with the first connection.
    keeps_transactions: OnceLock<bool>,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    prepared: Mutex<HashMap<u64, PreparedOver>>,
    /// What is done about connections that were dropped in the middle; done with the datasource at the latest.
    afterwards: Mutex<JoinSet<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server as a node.
struct ServerNode {
    server: Arc<Server>,
}

impl Server {
    fn into_node(self) -> ServerNode {
        ServerNode { server: Arc::new(self) }
    }

    /// MongoDB's client, which keeps the connections.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A new session.
    pub(super) async fn session(&self) -> Result<ClientSession, NodeError> {
        self.client.start_session().causal_consistency(false).await.map_err(classify)
    }

    /// Whether it keeps transactions.
    pub(super) fn keeps_transactions(&self) -> bool {
        self.keeps_transactions.get().copied().unwrap_or(true)
    }

    async fn get_to_know(&self) -> Result<(), NodeError> {
        if self.keeps_transactions.get().is_some() {
            return Ok(());
        }
        let admin = self.client.database("admin");
        let answer = admin.run_command(doc! { "hello": 1 }).await.map_err(classify)?;
        let router = answer.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        let _ = self.keeps_transactions.set(router || answer.contains_key("setName"));
        Ok(())
    }

    /// Takes away what a session does on the server: its cursors, its transaction and what it is running.
    pub(super) async fn kill(&self, session: &Document) {
        let command = doc! { "killSessions": [session.clone()] };
        if let Err(error) = self.client.database("admin").run_command(command).await {
            tracing::debug!(%error, "a session on MongoDB cannot be killed");
        }
    }

    /// Has something done about a connection that was dropped in the middle.
    pub(super) fn afterwards(
        &self,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut tasks = lock(&self.afterwards);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(work, runtime);
    }

    fn instance(&self, name: &str) -> Arc<Instance> {
        Arc::clone(lock(&self.instances).entry(name.to_owned()).or_default())
    }

    /// The gate of a collection.
    pub(super) fn gate(&self, instance: &str, collection: &str) -> Arc<RwLock<()>> {
        let instance = self.instance(instance);
        let mut gates = lock(&instance.gates);
        Arc::clone(gates.entry(collection.to_owned()).or_default())
    }

    /// A definition on an instance was committed, or the instance was removed.
    pub(super) fn changed(&self, instance: &str) {
        self.instance(instance).generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The catalogue of a shard instance, as committed.
    pub(super) async fn catalogue(&self, instance: &str) -> Result<Arc<Catalogue>, NodeError> {
        if instance.is_empty() {
            static NOTHING: OnceLock<Arc<Catalogue>> = OnceLock::new();
            return Ok(Arc::clone(NOTHING.get_or_init(Arc::default)));
        }
        let found = self.instance(instance);
        let generation = found.generation.load(Ordering::Acquire);
        if let Some((known, catalogue)) = &*lock(&found.known)
            && *known == generation
        {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Arc::new(self.read_catalogue(instance, None).await?);
        *lock(&found.known) = Some((generation, Arc::clone(&catalogue)));
        Ok(catalogue)
    }

    /// Reads the catalogue of a shard instance, as committed or as a transaction sees it.
    pub(super) async fn read_catalogue(
        &self,
        instance: &str,
        session: Option<&mut ClientSession>,
    ) -> Result<Catalogue, NodeError> {
        let database = self.client.database(&instance_name(instance));
        let mut command = doc! { "find": CATALOGUE, "sort": { "_id": 1 } };
        let documents: Vec<Document> = match session {
            Some(session) => {
                let cursor = database.run_cursor_command(command).session(&mut *session).await;
                let mut cursor = cursor.map_err(classify)?;
                cursor.stream(session).try_collect().await.map_err(classify)?
            }
            None => {
                command.insert("readConcern", doc! { "level": "majority" });
                let cursor = database.run_cursor_command(command).await.map_err(classify)?;
                cursor.try_collect().await.map_err(classify)?
            }
        };
        if !documents.iter().any(|document| document.get_str("_id").is_ok_and(|id| id == INSTANCE))
        {
            return Err(NodeError::statement(
                "3F000",
                format!("shard instance \"{instance}\" does not exist"),
            ));
        }
        Catalogue::read(documents.into_iter().filter_map(|document| {
            let body = document.get_str("body").ok()?.as_bytes().to_vec();
            Some((document.get_object_id("_id").ok()?, body))
        }))
    }

    /// What was made of a statement over a catalogue, or makes it.
    pub(super) fn prepare(
        &self,
        statement: &NodeStatement,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Arc<Prepared>, NodeError> {
        if let Some((over, found)) = lock(&self.prepared).get(&statement.id())
            && Arc::ptr_eq(over, catalogue)
        {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(Prepared::new(statement, catalogue)?);
        let mut prepared = lock(&self.prepared);
        if prepared.len() >= LOWERED_MAX {
            prepared.clear();
        }
        prepared.insert(statement.id(), (Arc::clone(catalogue), Arc::clone(&made)));
        Ok(made)
    }
}

fn busy() -> NodeError {
    NodeError::new(
        NodeErrorKind::Busy,
        "53300",
        "every connection to the MongoDB datasource is in use",
    )
}

impl ServerNode {
    async fn permit(&self) -> Result<OwnedSemaphorePermit, NodeError> {
        let waiting = Arc::clone(&self.server.permits).acquire_owned();
        match tokio::time::timeout(self.server.limits.wait, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(busy()),
        }
    }
}

#[async_trait]
impl Node for ServerNode {
    fn capability(&self) -> &dyn Capability {
        &MongodbCapability
    }

    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError> {
        let permit = self.permit().await?;
        self.server.get_to_know().await?;
        let session = self.server.session().await?;
        Ok(Box::new(MongodbConnection::new(Arc::clone(&self.server), session, permit)))
    }
}

#[async_trait]
impl Datasource for ServerNode {
    async fn instances(&self) -> Result<Vec<String>, NodeError> {
        let names = self.server.client.list_database_names().await.map_err(classify)?;
        let mut instances = Vec::new();
        for name in names {
            let catalogue = self.server.client.database(&name).collection::<Document>(CATALOGUE);
            let found = catalogue.find_one(doc! { "_id": INSTANCE }).await.map_err(classify)?;
            if let Some(name) = found.as_ref().and_then(|found| found.get_str("name").ok()) {
                instances.push(name.to_owned());
            }
        }
        instances.sort();
        Ok(instances)
    }

    async fn inspect(
        &self,
        shard_instance: &str,
    ) -> Result<Option<Vec<InspectedCollection>>, NodeError> {
        let catalogue = match self.server.catalogue(shard_instance).await {
            Ok(catalogue) => catalogue,
            Err(error) if error.sqlstate == "3F000" => return Ok(None),
            Err(error) => return Err(error),
        };
        let inspected = catalogue.collections().map(|collection| InspectedCollection {
            collection: collection.shape.target.collection.clone(),
            fields: collection.shape.fields.clone(),
            primary_key: collection
                .shape
                .constraints
                .iter()
                .find_map(|constraint| match &constraint.kind {
                    ConstraintKind::PrimaryKey { fields } => Some(fields.clone()),
                    _ => None,
                })
                .unwrap_or_default(),
        });
        Ok(Some(inspected.collect()))
    }

    async fn check_health(&self) -> Result<(), NodeError> {
        let admin = self.server.client.database("admin");
        let answer = admin.run_command(doc! { "ping": 1 }).await.map_err(classify)?;
        match number(&answer, "ok") {
            1 => Ok(()),
            _ => Err(NodeError::statement("XX000", "the MongoDB server does not answer a ping")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls() {
        let check = async |url: &str, expected: Result<&str, &str>| {
            let found = options(url).await;
            let found = found
                .as_ref()
                .map(|options| options.hosts[0].to_string())
                .map_err(|error| error.message.clone());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
        };
        check("mongodb://me:s%40cret@db:3307/app", Ok("db:3307")).await;
        check("mongodb://db", Ok("db:27017")).await;
        check(
            "postgres://me:secret@db/app",
            Err("the URL of a MongoDB datasource is wrong: it must begin with mongodb://"),
        )
        .await;
        check(
            "mongodb+srv://me:secret@db/app",
            Err("the URL of a MongoDB datasource is wrong: hosts are named in it, and not looked up in DNS"),
        )
        .await;
    }
}
