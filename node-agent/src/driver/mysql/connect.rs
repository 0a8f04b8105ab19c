//! The server of a datasource: its sessions, what they are set to, and the catalogues of its shard instances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use dataman_metadata::topology::Engine;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::definition::ConstraintKind;
use dataman_node_protocol::error::{NodeError, NodeErrorKind};
use dataman_node_protocol::node::{Node, NodeConnection, NodeStatement, PoolUse};
use dataman_node_protocol::replication::Observation;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::capability::MysqlCapability;
use super::catalogue::{Catalogue, TABLE};
use super::connection::MysqlConnection;
use super::error::{classify, classify_connect};
use super::layout::{instance_name, logical, quoted};
use super::replication;
use super::statement::Prepared;
use super::{IDLE_TRUSTED, LOWERED_MAX, REAPER_QUEUE, SESSIONS_BESIDE, STATEMENTS_CACHED};
use crate::driver::contract::{Datasource, Driver, InspectedCollection, Limits};

/// What MySQL sorts of a value, in bytes; it looks at no more.
pub(super) const SORTED_BYTES_MAX: i64 = 4000;

/// What a server takes at once that does not say: MySQL's protocol knows no smaller bound that is of use.
const PACKET_BYTES: u64 = 1 << 20;

/// The MySQL driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct MysqlDriver;

#[async_trait]
impl Driver for MysqlDriver {
    fn engine(&self) -> Engine {
        Engine::Mysql
    }

    async fn open(&self, url: &str, limits: Limits) -> Result<Arc<dyn Datasource>, NodeError> {
        let opts = options(url)?;
        let (reap, queue) = mpsc::channel(REAPER_QUEUE);
        let server = Arc::new(Server {
            opts: opts.clone(),
            limits,
            permits: Arc::new(Semaphore::new(limits.connections_max)),
            beside: Arc::new(Semaphore::new(SESSIONS_BESIDE)),
            idle: Mutex::new(Vec::new()),
            flavour: OnceLock::new(),
            instances: Mutex::new(HashMap::new()),
            prepared: Mutex::new(HashMap::new()),
            observer: Mutex::new(None),
            reap,
            numbers: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(reaper(opts, queue));
        Ok(Arc::new(ServerNode { server, _tasks: Mutex::new(tasks) }))
    }
}

/// Reads a URL; the password is in no message.
fn options(url: &str) -> Result<Opts, NodeError> {
    let wrong = |what: &str| {
        NodeError::new(
            NodeErrorKind::Unreachable,
            "08001",
            format!("the URL of a MySQL datasource is wrong: {what}"),
        )
        .with_hint("Write mysql://user:password@host:3306/database.")
    };
    let rest = url
        .strip_prefix("mysql://")
        .or_else(|| url.strip_prefix("mariadb://"))
        .ok_or_else(|| wrong("it must begin with mysql://"))?;
    let opts = Opts::from_url(&format!("mysql://{rest}")).map_err(|error| match error {
        mysql_async::UrlError::UnknownParameter { param } => {
            wrong(&format!("there is no option \"{param}\""))
        }
        mysql_async::UrlError::InvalidParamValue { param, .. } => {
            wrong(&format!("option \"{param}\" does not take that value"))
        }
        _ => wrong("it cannot be read"),
    })?;
    // A statement's rows found count, changed or not, as PostgreSQL's do. The database of the URL is where nothing is: shard
    // instances are databases of their own, and may be the only ones that the user may see.
    let builder = OptsBuilder::from_opts(opts)
        .db_name(None::<String>)
        .client_found_rows(true)
        .stmt_cache_size(STATEMENTS_CACHED)
        .prefer_socket(false)
        .tcp_nodelay(true);
    Ok(builder.into())
}

/// Kills the statements whose readers went away.
async fn reaper(opts: Opts, mut queue: mpsc::Receiver<Reap>) {
    while let Some(work) = queue.recv().await {
        let Ok(mut conn) = Conn::new(opts.clone()).await else { continue };
        let mut next = Some(work);
        while let Some(work) = next {
            match work {
                // It may have ended by itself.
                Reap::Kill(id) => {
                    let _ = conn.query_drop(format!("KILL {id}")).await;
                }
                Reap::Run(texts) => {
                    let _ = conn.query_drop("SET SESSION sql_mode = 'ANSI_QUOTES'").await;
                    for text in texts {
                        if let Err(error) = conn.query_drop(text).await {
                            tracing::debug!(%error, "what a definition left stays in MySQL");
                        }
                    }
                }
            }
            next = queue.try_recv().ok();
        }
        let _ = conn.disconnect().await;
    }
}

/// What is done about something that was left behind.
pub(super) enum Reap {
    /// End a session.
    Kill(u32),
    /// Undo the definitions of a transaction that nobody ended.
    Run(Vec<String>),
}

/// Which of the two servers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// MariaDB.
    Mariadb {
        /// It has `innodb_snapshot_isolation`.
        has_snapshot_isolation: bool,
    },
    /// MySQL 8.
    Mysql,
}

impl Flavour {
    /// The collation that compares text by its code points and does not pad.
    pub(super) fn collation(self) -> &'static str {
        match self {
            Self::Mariadb { .. } => "utf8mb4_nopad_bin",
            Self::Mysql => "utf8mb4_0900_bin",
        }
    }
}

/// One session with the server and what is known of it.
pub(super) struct Session {
    /// MySQL's connection.
    pub(super) conn: Conn,
    /// The seconds that it waits for a lock; none for the server's own setting.
    pub(super) lock_wait_s: Option<u64>,
    /// Bytes that the server takes at once; it closes the connection on more.
    pub(super) packet_bytes_max: usize,
    used: Instant,
}

/// A shard instance's catalogue as it was last read.
#[derive(Default)]
pub(super) struct Instance {
    generation: AtomicU64,
    /// The catalogue, and at which generation and for which epoch it was read.
    known: Mutex<Option<(u64, u64, Arc<Catalogue>)>>,
    /// What each collection is used through: statements beside each other, definitions alone, as PostgreSQL's table locks.
    gates: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

/// What was made of a statement, and the catalogue over which.
type PreparedOver = (Arc<Catalogue>, Arc<Prepared>);

/// The server of a datasource.
pub(super) struct Server {
    opts: Opts,
    limits: Limits,
    permits: Arc<Semaphore>,
    beside: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    flavour: OnceLock<Flavour>,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    prepared: Mutex<HashMap<u64, PreparedOver>>,
    /// The session that observes, between two looks.
    observer: Mutex<Option<Conn>>,
    reap: mpsc::Sender<Reap>,
    /// Numbers made for locks since those that nobody locks were removed.
    numbers: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server as a node.
struct ServerNode {
    server: Arc<Server>,
    _tasks: Mutex<JoinSet<()>>,
}

impl Server {
    /// Takes a session: an idle one that is still there, or a new one.
    pub(super) async fn session(&self) -> Result<Session, NodeError> {
        loop {
            let Some(mut session) = lock(&self.idle).pop() else { break };
            if session.used.elapsed() <= IDLE_TRUSTED || session.conn.ping().await.is_ok() {
                return Ok(session);
            }
        }
        let mut conn = Conn::new(self.opts.clone()).await.map_err(classify_connect)?;
        let flavour = self.set_up(&mut conn).await.map_err(classify_connect)?;
        let packet: Option<u64> =
            conn.query_first("SELECT @@max_allowed_packet").await.map_err(classify_connect)?;
        let packet_bytes_max =
            usize::try_from(packet.unwrap_or(PACKET_BYTES)).unwrap_or(usize::MAX);
        // All sessions are with one server; a changed one is told by its failures.
        let _ = self.flavour.set(flavour);
        Ok(Session { conn, lock_wait_s: None, packet_bytes_max, used: Instant::now() })
    }

    /// Sets a new session so that MySQL reads texts and refuses values as standard SQL does.
    async fn set_up(&self, conn: &mut Conn) -> mysql_async::Result<Flavour> {
        let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
        let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        let flavour = if is_mariadb {
            let found: Option<(String, String)> =
                conn.query_first("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'").await?;
            Flavour::Mariadb { has_snapshot_isolation: found.is_some() }
        } else {
            Flavour::Mysql
        };
        conn.query_drop(format!("SET NAMES utf8mb4 COLLATE {}", flavour.collation())).await?;
        // A reader that takes its time must not lose its connection.
        conn.query_drop(
            "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,\
             ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1, \
             max_sort_length = 4096, lock_wait_timeout = 20, net_write_timeout = 86400, net_read_timeout = 86400, sql_safe_updates = 0",
        )
        .await?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        if flavour == (Flavour::Mariadb { has_snapshot_isolation: true }) {
            conn.query_drop("SET SESSION innodb_snapshot_isolation = ON").await?;
        }
        Ok(flavour)
    }

    /// Which server it is, as the sessions found out.
    pub(super) fn flavour(&self) -> Flavour {
        self.flavour.get().copied().unwrap_or(Flavour::Mysql)
    }

    /// Gives back a session that is in no transaction and has answered everything.
    pub(super) fn give_back(&self, mut session: Session) {
        session.used = Instant::now();
        let mut idle = lock(&self.idle);
        if idle.len() < self.limits.connections_max {
            idle.push(session);
        }
    }

    /// Has something that was left behind taken care of.
    pub(super) fn reap(&self, work: Reap) {
        // When the queue is full: a session whose socket is closed ends by itself, and what definitions left is removed when it
        // is met.
        let _ = self.reap.try_send(work);
    }

    /// A session beside those of users, for definitions and KILL.
    pub(super) async fn beside(&self) -> Result<(Session, OwnedSemaphorePermit), NodeError> {
        let waiting = Arc::clone(&self.beside).acquire_owned();
        match tokio::time::timeout(self.limits.wait, waiting).await {
            Ok(Ok(permit)) => Ok((self.session().await?, permit)),
            _ => Err(busy()),
        }
    }

    /// Stops what a session is doing.
    pub(super) async fn kill_query(&self, id: u32) {
        let Ok((mut session, _permit)) = self.beside().await else { return };
        if session.conn.query_drop(format!("KILL QUERY {id}")).await.is_ok() {
            self.give_back(session);
        }
    }

    fn instance(&self, name: &str) -> Arc<Instance> {
        Arc::clone(lock(&self.instances).entry(name.to_owned()).or_default())
    }

    /// Counts numbers made for locks; answers how many there are now.
    pub(super) fn count_numbers(&self, made: u64) -> u64 {
        self.numbers.fetch_add(made, Ordering::Relaxed) + made
    }

    /// Those that nobody locks are about to be removed.
    pub(super) fn count_numbers_anew(&self) {
        self.numbers.store(0, Ordering::Relaxed);
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

    /// The catalogue of a shard instance, as committed, for a statement of an epoch: a definition of that epoch may have come to this
    /// server by its replication, past this driver.
    pub(super) async fn catalogue(
        &self,
        instance: &str,
        epoch: u64,
        session: &mut Session,
    ) -> Result<Arc<Catalogue>, NodeError> {
        if instance.is_empty() {
            static NOTHING: OnceLock<Arc<Catalogue>> = OnceLock::new();
            return Ok(Arc::clone(NOTHING.get_or_init(Arc::default)));
        }
        let found = self.instance(instance);
        let generation = found.generation.load(Ordering::Acquire);
        if let Some((known, of, catalogue)) = &*lock(&found.known)
            && *known == generation
            && *of >= epoch
        {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Arc::new(read_catalogue(instance, session).await?);
        *lock(&found.known) = Some((generation, epoch, Arc::clone(&catalogue)));
        Ok(catalogue)
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

/// Reads the catalogue of a shard instance as a session sees it.
pub(super) async fn read_catalogue(
    instance: &str,
    session: &mut Session,
) -> Result<Catalogue, NodeError> {
    let text = format!(
        "SELECT id, body FROM {}.{} ORDER BY id",
        quoted(&instance_name(instance)),
        quoted(TABLE)
    );
    let rows: Vec<(i64, Vec<u8>)> = session.conn.query(text).await.map_err(|error| {
        let error = classify(error);
        match error.sqlstate.as_str() {
            "42P01" | "3F000" => NodeError::statement(
                "3F000",
                format!("shard instance \"{instance}\" does not exist"),
            ),
            _ => error,
        }
    })?;
    Catalogue::read(rows.into_iter())
}

fn busy() -> NodeError {
    NodeError::new(
        NodeErrorKind::Busy,
        "53300",
        "every connection to the MySQL datasource is in use",
    )
}

#[async_trait]
impl Node for ServerNode {
    fn capability(&self) -> &dyn Capability {
        &MysqlCapability
    }

    async fn connect(&self) -> Result<Box<dyn NodeConnection>, NodeError> {
        let waiting = Arc::clone(&self.server.permits).acquire_owned();
        match tokio::time::timeout(self.server.limits.wait, waiting).await {
            Ok(Ok(permit)) => {
                let session = self.server.session().await?;
                Ok(Box::new(MysqlConnection::new(Arc::clone(&self.server), session, permit)))
            }
            _ => Err(busy()),
        }
    }

    fn pool_use(&self) -> Option<PoolUse> {
        let connections_max = self.server.limits.connections_max;
        let free = self.server.permits.available_permits();
        Some(PoolUse { in_use: connections_max.saturating_sub(free), connections_max })
    }

    async fn observe(&self) -> Result<Observation, NodeError> {
        // Whoever drops this, or fails, loses the session; the next look opens another.
        let kept = lock(&self.server.observer).take();
        let mut conn = match kept {
            Some(conn) => conn,
            None => Conn::new(self.server.opts.clone()).await.map_err(classify_connect)?,
        };
        let seen = replication::observe(&mut conn).await?;
        *lock(&self.server.observer) = Some(conn);
        Ok(seen)
    }
}

#[async_trait]
impl Datasource for ServerNode {
    async fn instances(&self) -> Result<Vec<String>, NodeError> {
        let mut session = self.server.session().await?;
        let names: Vec<String> = session
            .conn
            .query(
                "SELECT table_schema FROM information_schema.tables \
                 WHERE table_name = 'dataman_collection' ORDER BY table_schema",
            )
            .await
            .map_err(classify)?;
        self.server.give_back(session);
        Ok(names.iter().map(|name| logical(name)).collect())
    }

    async fn inspect(
        &self,
        shard_instance: &str,
    ) -> Result<Option<Vec<InspectedCollection>>, NodeError> {
        let mut session = self.server.session().await?;
        let catalogue = match self.server.catalogue(shard_instance, u64::MAX, &mut session).await {
            Ok(catalogue) => catalogue,
            Err(error) if error.sqlstate == "3F000" => return Ok(None),
            Err(error) => return Err(error),
        };
        self.server.give_back(session);
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
        let mut session = self.server.session().await?;
        session.conn.ping().await.map_err(classify)?;
        self.server.give_back(session);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: Result<(&str, u16, Option<&str>), &str>| {
            let found = options(url);
            let found = found
                .as_ref()
                .map(|opts| (opts.ip_or_hostname(), opts.tcp_port(), opts.pass()))
                .map_err(|error| error.message.as_str());
            assert_eq!(found, expected);
        };
        check("mysql://me:s%40cret@db:3307/app", Ok(("db", 3307, Some("s@cret"))));
        check("mariadb://me@db", Ok(("db", 3306, None)));
        check(
            "postgres://me:secret@db/app",
            Err("the URL of a MySQL datasource is wrong: it must begin with mysql://"),
        );
        check(
            "mysql://me:secret@db/app?colour=red",
            Err("the URL of a MySQL datasource is wrong: there is no option \"colour\""),
        );
    }
}
