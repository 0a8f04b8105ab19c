//! Bound statements, and row streams that wait for the client to ask for more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dataman_metadata::id::DatasourceId;
use dataman_node_protocol::node::{NodeConnection, Parameters};
use dataman_node_protocol::record::{Batch, Format};
use dataman_pg::PgError;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::rows::encode::split_rows;
use crate::scatter::contract::{ResultStream, ShardRef};
use crate::session::cursor::Cursor;
use crate::session::prepared::Prepared;

/// How many bytes of rows a session keeps for portals that were left in the middle while another statement of their
/// transaction needs their shards. Beyond it that statement fails with `53200`.
pub const SUSPENDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A statement with its parameters.
pub struct Portal {
    /// The statement.
    pub prepared: Arc<Prepared>,
    /// The values.
    pub parameters: Parameters,
    /// The format of each result column.
    pub formats: Vec<Format>,
    /// How far it is.
    pub state: PortalState,
}

/// How far a portal is.
pub enum PortalState {
    /// Not run yet.
    Ready,
    /// Run, with rows to come.
    Rows(Rows),
    /// Run, and it had rows, which are all out.
    Exhausted {
        /// The command tag's word.
        word: &'static str,
    },
    /// Run; it gives no rows, and cannot be run again.
    Done,
}

/// Rows on their way to the client.
pub struct Rows {
    stream: Option<Box<dyn ResultStream>>,
    /// Rows that have been taken from the stream and not sent.
    front: VecDeque<Batch>,
    /// The shards whose connections the stream has.
    pub(crate) shards: Vec<ShardRef>,
    participating: usize,
    /// The replicas that are read.
    pub(crate) read_from: Vec<DatasourceId>,
    /// The command tag's word.
    pub word: &'static str,
    /// Whether the tag counts the rows that were affected, not those that were sent.
    pub writes: bool,
    affected: u64,
    returned: Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>,
    /// Cancels the stream.
    pub(crate) cancel: CancellationToken,
}

impl Rows {
    /// Rows of a plan.
    pub fn of_stream(
        stream: Box<dyn ResultStream>,
        shards: Vec<ShardRef>,
        word: &'static str,
        writes: bool,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            stream: Some(stream),
            front: VecDeque::new(),
            participating: 0,
            read_from: Vec::new(),
            shards,
            word,
            writes,
            affected: 0,
            returned: Vec::new(),
            cancel,
        }
    }

    /// So many shards take part, of some of which these replicas are read.
    pub(crate) fn touching(mut self, shards: usize, read_from: Vec<DatasourceId>) -> Self {
        self.participating = shards;
        self.read_from = read_from;
        self
    }

    /// How many shards take part.
    pub(crate) fn shard_count(&self) -> usize {
        self.participating
    }

    /// Rows that are there already.
    pub fn of_batch(batch: Batch, word: &'static str) -> Self {
        Self {
            stream: None,
            participating: 0,
            read_from: Vec::new(),
            front: VecDeque::from([batch]),
            shards: Vec::new(),
            word,
            writes: false,
            affected: 0,
            returned: Vec::new(),
            cancel: CancellationToken::new(),
        }
    }

    /// Up to `rows_max` more rows (0 for no limit), none at the end.
    ///
    /// # Errors
    /// The statement's failure.
    pub async fn next(&mut self, rows_max: usize) -> Result<Option<Batch>, Error> {
        loop {
            if let Some(front) = self.front.front_mut() {
                let batch =
                    if rows_max == 0 { std::mem::take(front) } else { split_rows(front, rows_max) };
                if front.rows == 0 {
                    self.front.pop_front();
                }
                if batch.rows > 0 {
                    return Ok(Some(batch));
                }
                continue;
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.next().await {
                Ok(Some(batch)) => self.front.push_back(batch),
                Ok(None) => self.finish(),
                Err(error) => {
                    self.finish();
                    return Err(error);
                }
            }
        }
    }

    /// Waits for the first rows, so that what fails before them is known.
    ///
    /// # Errors
    /// The statement's failure.
    pub async fn peek(&mut self) -> Result<(), Error> {
        if !self.front.is_empty() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match stream.next().await {
            Ok(Some(batch)) => self.front.push_back(batch),
            Ok(None) => self.finish(),
            Err(error) => {
                self.finish();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads to the end without keeping anything.
    ///
    /// # Errors
    /// The statement's failure.
    pub async fn skip_to_end(&mut self) -> Result<(), Error> {
        while self.next(0).await?.is_some() {}
        Ok(())
    }

    /// Takes all rows that are left into memory, so that the connections are free.
    ///
    /// # Errors
    /// `53200` when they are more than the bound; the statement's failure.
    pub async fn drain(&mut self) -> Result<(), Error> {
        let mut bytes: usize = self.front.iter().map(|batch| batch.frames.len()).sum();
        while let Some(stream) = &mut self.stream {
            match stream.next().await {
                Ok(Some(batch)) => {
                    bytes += batch.frames.len();
                    self.front.push_back(batch);
                    if bytes > SUSPENDED_BYTES_MAX {
                        return Err(PgError::new("53200", "out of memory")
                            .with_detail(format!(
                                "A portal that was not read to its end has more than {SUSPENDED_BYTES_MAX} bytes of rows left."
                            ))
                            .with_hint("Read or close it before running another statement in its transaction.")
                            .into());
                    }
                }
                Ok(None) => self.finish(),
                Err(error) => {
                    self.finish();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.affected = stream.affected();
            self.returned = stream.into_connections();
            self.shards.clear();
        }
    }

    /// Whether all rows have been taken from the shards.
    pub fn is_ended(&self) -> bool {
        self.stream.is_none()
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.stream.is_none() && self.front.iter().all(|batch| batch.rows == 0)
    }

    /// After the end: what the command tag counts.
    pub fn affected(&self) -> u64 {
        self.affected
    }

    /// The connections that the stream has let go of.
    pub(crate) fn take_connections(&mut self) -> Vec<(ShardRef, Option<Box<dyn NodeConnection>>)> {
        std::mem::take(&mut self.returned)
    }
}

/// A session's portals, and its cursors.
#[derive(Default)]
pub struct Portals {
    by_name: HashMap<String, Portal>,
    cursors: HashMap<String, Cursor>,
}

impl Portals {
    /// Keeps a portal; the unnamed one (an empty name) takes the place of the last.
    ///
    /// # Errors
    /// `42P03`: the name is taken.
    pub fn insert(&mut self, name: &str, portal: Portal) -> Result<(), PgError> {
        if !name.is_empty() && self.by_name.contains_key(name) {
            return Err(PgError::new("42P03", format!("cursor \"{name}\" already exists")));
        }
        self.by_name.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Finds a portal.
    ///
    /// # Errors
    /// `34000`.
    pub fn get(&self, name: &str) -> Result<&Portal, PgError> {
        self.by_name.get(name).ok_or_else(|| missing(name))
    }

    /// Takes a portal out, to be run and put back.
    ///
    /// # Errors
    /// `34000`.
    pub fn take(&mut self, name: &str) -> Result<Portal, PgError> {
        self.by_name.remove(name).ok_or_else(|| missing(name))
    }

    /// Puts a portal back.
    pub fn put_back(&mut self, name: &str, portal: Portal) {
        self.by_name.insert(name.to_owned(), portal);
    }

    /// Forgets a portal; gives the connections that it had let go of and not handed on.
    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Forgets all but held cursors: their transaction has ended.
    pub fn clear(&mut self) {
        self.by_name.clear();
        self.cursors.retain(|_, cursor| cursor.is_held());
    }

    /// Forgets all but cursors WITH HOLD: their transaction commits.
    pub(crate) fn clear_for_commit(&mut self) {
        self.by_name.clear();
        self.cursors.retain(|_, cursor| cursor.outlives_commit());
    }

    /// Keeps a new cursor.
    pub(crate) fn open(&mut self, name: &str, cursor: Cursor) {
        self.cursors.insert(name.to_owned(), cursor);
    }

    /// Finds a cursor.
    ///
    /// # Errors
    /// `34000`.
    pub fn cursor(&self, name: &str) -> Result<&Cursor, PgError> {
        self.cursors.get(name).ok_or_else(|| no_cursor(name))
    }

    /// Finds a cursor, to move it.
    ///
    /// # Errors
    /// `34000`.
    pub(crate) fn cursor_mut(&mut self, name: &str) -> Result<&mut Cursor, PgError> {
        self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))
    }

    /// Closes a cursor.
    pub(crate) fn close(&mut self, name: &str) {
        self.cursors.remove(name);
    }

    /// Closes all cursors.
    pub(crate) fn close_all(&mut self) {
        self.cursors.clear();
    }

    /// Closes the cursors that were declared since a savepoint, of which and of earlier ones there are so many.
    pub(crate) fn roll_back_to(&mut self, savepoints: usize) {
        self.cursors.retain(|_, cursor| !cursor.is_within(savepoints));
    }

    /// A savepoint was released; so many are left.
    pub(crate) fn release_to(&mut self, savepoints: usize) {
        self.cursors.values_mut().for_each(|cursor| cursor.rise_to(savepoints));
    }

    /// Whether no portal has rows still to come.
    pub fn is_quiet(&self) -> bool {
        self.by_name.values().all(|portal| !matches!(portal.state, PortalState::Rows(_)))
    }

    /// Whether a portal holds the connection to a shard.
    pub fn holds(&self, shard: &ShardRef) -> bool {
        self.by_name.values().any(|portal| match &portal.state {
            PortalState::Rows(rows) => rows.shards.contains(shard),
            PortalState::Ready | PortalState::Exhausted { .. } | PortalState::Done => false,
        })
    }

    /// Frees the connection to a shard from every portal that holds it.
    ///
    /// # Errors
    /// See [`Rows::drain`].
    pub async fn drain(
        &mut self,
        shard: &ShardRef,
    ) -> Result<Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>, Error> {
        let mut connections = Vec::new();
        for portal in self.by_name.values_mut() {
            if let PortalState::Rows(rows) = &mut portal.state
                && rows.shards.contains(shard)
            {
                let outcome = rows.drain().await;
                connections.append(&mut rows.take_connections());
                outcome?;
            }
        }
        Ok(connections)
    }

    /// Frees the connection to a shard from every portal that holds it; their rows are not wanted any more.
    ///
    /// # Errors
    /// A statement's failure.
    pub async fn skip(
        &mut self,
        shard: &ShardRef,
    ) -> Result<Vec<(ShardRef, Option<Box<dyn NodeConnection>>)>, Error> {
        let mut connections = Vec::new();
        for portal in self.by_name.values_mut() {
            if let PortalState::Rows(rows) = &mut portal.state
                && rows.shards.contains(shard)
            {
                let outcome = rows.skip_to_end().await;
                connections.append(&mut rows.take_connections());
                outcome?;
            }
        }
        Ok(connections)
    }
}

fn no_cursor(name: &str) -> PgError {
    PgError::new("34000", format!("cursor \"{name}\" does not exist"))
}

fn missing(name: &str) -> PgError {
    PgError::new("34000", format!("portal \"{name}\" does not exist"))
}
