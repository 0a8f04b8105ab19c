//! One SQLite connection and what dataman's functions inside it share with the driver.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::StatementContext;
use dataman_pg::Context;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::catalogue::{self, Catalogue, Collection};
use super::constraint::Event;
use super::error::classify;
use super::function::{self, Computed};
use super::{BUSY_STEP, BUSY_TIMEOUT, STATEMENTS_CACHED, collate};
use crate::driver::sql::context::context_of;
use crate::driver::sql::stored::Stored;

/// How many instructions of SQLite's machine pass between two looks at whether the statement was cancelled: some
/// microseconds' worth.
const PROGRESS_STEPS: i32 = 2_000;

/// `application_id` of dataman's files: `dtmn`.
const APPLICATION_ID: i32 = 0x6474_6d6e;

/// The version of the file's layout and stored forms.
const FILE_VERSION: i32 = 1;

/// What functions inside SQLite and the driver around it share.
pub(super) struct State {
    /// The statement's settings and clock.
    pub(super) context: Arc<Context>,
    /// What the file holds, as this connection sees it.
    pub(super) catalogue: Arc<Catalogue>,
    /// What a function raised, in full.
    pub(super) error: Option<NodeError>,
    /// The record that was tested last: the one that a UNIQUE index refuses next, if it does.
    pub(super) row: Option<(Arc<Collection>, Vec<Stored>)>,
    /// Foreign keys to be looked at when the statement has ended.
    pub(super) events: Vec<Event>,
    /// Stops the statement when it fires.
    pub(super) stop: CancellationToken,
    /// How often [`PROGRESS_STEPS`] may still pass before the statement is stopped; none for no limit.
    pub(super) looks_left: Option<u32>,
    /// Compiled expressions by their JSON.
    pub(super) computed: HashMap<String, Arc<Computed>>,
    /// The expressions that the statement's text names by number.
    pub(super) expressions: Arc<HashMap<String, Arc<Computed>>>,
    /// While an INSERT … ON CONFLICT DO UPDATE runs: the records that it has inserted or updated.
    pub(super) touched: Option<HashSet<i64>>,
    /// Such a record came up again.
    pub(super) touched_twice: bool,
}

impl State {
    /// Whether the statement has been cancelled, or has used up its steps.
    fn has_to_stop(&mut self) -> bool {
        let used_up = match &mut self.looks_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        };
        used_up || self.stop.is_cancelled()
    }
}

/// The state behind its lock, which is held for moments and never while SQLite runs.
pub(super) type Shared = Arc<Mutex<State>>;

/// Takes the lock.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A statement's settings: names and values.
type SettingList = Arc<Vec<(String, String)>>;

/// One connection to one file.
pub(super) struct Session {
    /// SQLite's own.
    pub(super) connection: Connection,
    /// What its functions see.
    pub(super) shared: Shared,
    /// The catalogue's generation that `shared` holds.
    pub(super) generation: u64,
    aggregates: HashSet<String>,
    /// The settings that were read last, and what functions may know of them.
    last_context: Option<(SettingList, Arc<Context>)>,
}

impl Session {
    /// Opens a connection to a file, or to nothing: a connection on which queries that read no collection run.
    ///
    /// Writes are acknowledged only when they are on disk: WAL with `synchronous = FULL` forces the log at each commit.
    /// (`NORMAL` would force it at checkpoints only, and a power loss would take acknowledged commits with it.)
    ///
    /// # Errors
    /// What SQLite says; `XX001` for a file that is not dataman's.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, NodeError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = match path {
            Some(path) => Connection::open_with_flags(path, flags),
            None => Connection::open_in_memory(),
        }
        .map_err(classify)?;
        connection.busy_handler(Some(wait_for_lock)).map_err(classify)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        for setting in [DbConfig::SQLITE_DBCONFIG_DQS_DML, DbConfig::SQLITE_DBCONFIG_DQS_DDL] {
            connection.set_db_config(setting, false).map_err(classify)?;
        }
        if path.is_some() {
            connection
                .execute_batch(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
                     PRAGMA temp_store = MEMORY;",
                )
                .map_err(classify)?;
            let id: i32 = connection
                .query_row("PRAGMA application_id", [], |row| row.get(0))
                .map_err(classify)?;
            if id != APPLICATION_ID {
                return Err(NodeError::statement(
                    "XX001",
                    "the SQLite file was not made by dataman",
                ));
            }
            let version: i32 = connection
                .query_row("PRAGMA user_version", [], |row| row.get(0))
                .map_err(classify)?;
            if version > FILE_VERSION {
                return Err(NodeError::statement(
                    "XX001",
                    "the SQLite file was made by a newer version of dataman",
                ));
            }
        }
        let shared = Arc::new(Mutex::new(State {
            context: Arc::new(Context::default()),
            catalogue: Arc::new(Catalogue::default()),
            error: None,
            row: None,
            events: Vec::new(),
            stop: CancellationToken::new(),
            looks_left: None,
            computed: HashMap::new(),
            expressions: Arc::default(),
            touched: None,
            touched_twice: false,
        }));
        collate::register(&connection).map_err(classify)?;
        function::register(&connection, &shared).map_err(classify)?;
        let state = shared.clone();
        connection
            .progress_handler(PROGRESS_STEPS, Some(move || lock(&state).has_to_stop()))
            .map_err(classify)?;
        let mut session = Self {
            connection,
            shared,
            generation: 0,
            aggregates: HashSet::new(),
            last_context: None,
        };
        if path.is_some() {
            session.reload()?;
        }
        Ok(session)
    }

    /// Makes the file of a new shard instance; harmless when it is there.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn create(path: &Path) -> Result<(), NodeError> {
        make_private(path)?;
        let connection = Connection::open(path).map_err(classify)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(classify)?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; \
                 PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FILE_VERSION}; \
                 {}; COMMIT",
                catalogue::CREATE
            ))
            .map_err(classify)
    }

    /// Reads the file's catalogue anew.
    pub(super) fn reload(&mut self) -> Result<(), NodeError> {
        let catalogue = Arc::new(Catalogue::read(&self.connection)?);
        lock(&self.shared).catalogue = catalogue;
        Ok(())
    }

    /// What the file holds.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        lock(&self.shared).catalogue.clone()
    }

    /// The statement's settings and clock.
    pub(super) fn context(&self) -> Arc<Context> {
        lock(&self.shared).context.clone()
    }

    /// Makes ready for a statement.
    pub(super) fn begin_statement(
        &self,
        context: Arc<Context>,
        expressions: Arc<HashMap<String, Arc<Computed>>>,
        stop: CancellationToken,
    ) {
        let mut state = lock(&self.shared);
        state.expressions = expressions;
        state.context = context;
        state.stop = stop;
        state.looks_left = None;
        state.error = None;
        state.row = None;
        state.events.clear();
        state.touched = None;
        state.touched_twice = false;
    }

    /// After a statement: whatever runs next on this session is no part of it.
    pub(super) fn end_statement(&self) {
        self.begin_statement(Arc::default(), Arc::default(), CancellationToken::new());
    }

    /// What functions may know of a statement.
    pub(super) fn context_for(&mut self, statement: &StatementContext) -> Arc<Context> {
        let time = statement.transaction_time_us;
        if let Some((settings, context)) = &mut self.last_context
            && Arc::ptr_eq(settings, &statement.settings)
        {
            if context.transaction_time_us != time {
                let context = Arc::make_mut(context);
                context.transaction_time_us = time;
                context.statement_time_us = time;
                context.clock_time_us = time;
            }
            return Arc::clone(context);
        }
        let context = Arc::new(context_of(statement));
        self.last_context = Some((Arc::clone(&statement.settings), Arc::clone(&context)));
        context
    }

    /// Registers the aggregates that a text names.
    pub(super) fn register_aggregates(&mut self, text: &str) -> Result<(), NodeError> {
        function::register_aggregates(&self.connection, &self.shared, text, &mut self.aggregates)
            .map_err(classify)
    }

    /// A failure of SQLite in full: what our own functions raised, else SQLite's.
    pub(super) fn failure(&self, error: rusqlite::Error) -> NodeError {
        if let Some(kept) = lock(&self.shared).error.take() {
            return kept;
        }
        if let Some(message) = super::error::unique_violation(&error) {
            return super::constraint::unique_error(&self.shared, message);
        }
        classify(error)
    }

    /// Runs statements that return nothing.
    pub(super) fn run(&self, text: &str) -> Result<(), NodeError> {
        self.connection.execute_batch(text).map_err(|error| self.failure(error))
    }

    /// Runs one cached statement that returns nothing: transaction control.
    pub(super) fn run_cached(&self, text: &str) -> Result<(), NodeError> {
        self.connection
            .prepare_cached(text)
            .and_then(|mut statement| statement.raw_execute())
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }
}

thread_local! {
    /// This thread serves others too, and must not wait for a lock.
    static MAY_NOT_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Runs work on SQLite on a thread that must not wait for a lock: SQLite says that it is busy instead.
pub(super) fn without_waiting<T>(work: impl FnOnce() -> T) -> T {
    MAY_NOT_WAIT.set(true);
    let result = work();
    MAY_NOT_WAIT.set(false);
    result
}

/// Waits a little for a lock that another program holds, up to [`BUSY_TIMEOUT`] in all; false gives up.
fn wait_for_lock(tries: i32) -> bool {
    let waited = BUSY_STEP * u32::try_from(tries).unwrap_or(u32::MAX);
    if MAY_NOT_WAIT.get() || waited >= BUSY_TIMEOUT {
        return false;
    }
    std::thread::sleep(BUSY_STEP);
    true
}

/// Makes a file that only its owner reads; SQLite gives its log the same rights.
fn make_private(path: &Path) -> Result<(), NodeError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ()).map_err(|error| super::connect::folder_error(&error))
}
