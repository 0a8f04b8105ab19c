//! Unique keys that lack the shard key: locked, looked for on all shards, and then written.
//!
//! ```text
//!  first shard      order: the new keys, waiting for whoever adds one of them ───────────────────────▶ until the end
//!  shards written   hold: the new keys, in the transaction that writes the rows ──┐
//!  other shards     pass: wait until nobody holds one of them ────────────────────┴─▶ look ─▶ write
//! ```
//! **Why no key is there twice.** Who adds a key has its *order* lock from before the look until its rows are committed or gone
//! ([`crate::session::commit`] asks for the lock before the first shard commits, and lets it go after the last). So of two
//! statements that add the same key the later one looks when the rows of the earlier one are there to be seen. The lock may
//! be lost with its connection, or with the proxy, while a commit is on its way: for this the row's own transaction *holds*
//! the key on the row's shard, and the later one *passes* that shard first, which waits for the commit's end.
//!
//! A database with one writer (SQLite) is locked by being it. Within a shard its own unique index does all this, so keys are not
//! looked for where they are written.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use dataman_metadata::id::ShardId;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::NodeErrorKind;
use dataman_node_protocol::capability::KeyLock;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
};
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, PgError, Value};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::distinct::key_bytes;
use super::open::Run;
use super::parameters::encode;
use super::rows::{Row, decode_row};
use crate::error::Error;
use crate::plan::global::{GlobalKey, GlobalKeys, KEYS_ASKED, OnConflict};
use crate::scatter::contract::{Access, ShardRef};
use crate::scatter::shard::name_shard;

/// How many keys a statement locks one by one; with more it locks all keys of the collection.
const KEYS_LOCKED: usize = 256;

/// How many keys a transaction locks one by one, over its statements: a server has room for some thousands of locks.
const KEYS_LOCKED_TOGETHER: usize = 1_000;

/// How long a transaction that writes a shard of a database with one writer already waits for being that of the first shard:
/// whoever is it may be waiting for this transaction, which no database can see.
const WRITER_WAIT: &str = "5s";

/// A key that a statement adds.
#[derive(Debug)]
pub(super) struct NewKey {
    /// The row's place in the statement.
    pub(super) place: usize,
    /// The unique key's place.
    pub(super) key: usize,
    /// The row's shard.
    pub(super) shard: ShardId,
    /// Alike for values that are equal.
    pub(super) bytes: Vec<u8>,
    /// The values as a shard is asked for them.
    values: Vec<Option<Bytes>>,
}

impl NewKey {
    /// A row's key; none when a field of it is NULL, which is like no other.
    pub(super) fn of(
        global: &GlobalKeys,
        key: usize,
        place: usize,
        row: &[Value],
        shard: ShardId,
    ) -> Option<Self> {
        let found = &global.keys[key];
        let values = found
            .places
            .iter()
            .map(|place| row.get((*place)?).filter(|value| !value.is_null()))
            .collect::<Option<Vec<&Value>>>()?;
        Some(Self {
            place,
            key,
            shard,
            bytes: key_bytes(values.iter().copied()),
            values: values
                .iter()
                .zip(&found.fields)
                .map(|(value, field)| encode(value, field.ty.id))
                .collect(),
        })
    }
}

/// Keys that are there: the unique key's place, and the values' bytes.
pub(super) type Found = HashSet<(usize, Vec<u8>)>;

/// What a lock is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// A block takes the keys first on the shard that it writes, so that its server sees circles with locks of rows.
    Intend = 1,
    /// Who adds a key comes after who added it before.
    Order = 2,
    /// The transaction that writes the row is not over.
    Hold = 3,
}

impl Run<'_> {
    /// Locks new keys for the rest of the transaction. `written` are the shards that their rows go to, which are enlisted.
    /// With `whole` all keys of the collection are locked.
    pub(super) async fn lock_keys(
        &mut self,
        global: &GlobalKeys,
        new: &[NewKey],
        written: &BTreeSet<ShardId>,
        whole: bool,
    ) -> Result<(), Error> {
        let participants = &mut self.execution.participants;
        let whole = whole
            || new.len() > KEYS_LOCKED
            || participants.count_keys(new.len()) > KEYS_LOCKED_TOGETHER;
        let first = global.first();
        let in_block = participants.is_block();
        let wrote = global.shards().any(|shard| participants.has_written(&global.shard(shard)));
        participants.enlist(std::slice::from_ref(&first), Access::Lock).await?;
        if in_block {
            let others = written.iter().filter(|shard| **shard != first.shard);
            // To be the writer before the first shard's would be out of turn.
            let others =
                others.filter(|shard| global.locks[shard.0 as usize].kind == KeyLock::Number);
            for shard in others {
                let intents = numbers(Purpose::Intend, global, new, whole, false);
                self.lock_on(global, *shard, intents, false).await?;
            }
        }
        let order = numbers(Purpose::Order, global, new, whole, false);
        let out_of_turn = in_block && wrote && !self.execution.participants.has_written(&first);
        self.lock_on(global, first.shard, order, out_of_turn).await?;
        let mut passes = Vec::new();
        for shard in global.shards() {
            let lock = &global.locks[shard.0 as usize];
            let reference = global.shard(shard);
            if lock.kind != KeyLock::Number {
                continue;
            }
            let asked = numbers(Purpose::Hold, global, new, whole, !written.contains(&shard));
            // Never two connections of a session to a shard: sessions that have one would wait for each other's second.
            let within =
                written.contains(&shard) || self.execution.participants.takes_part(&reference);
            let connection = if within {
                self.execution.take(&reference).await?
            } else {
                self.execution.participants.aside(&reference).await?
            };
            passes.push((reference, within, connection, Arc::clone(&lock.statement), asked));
        }
        let (context, cancel) = (self.execution.context, self.execution.cancel);
        let done = join_all(passes.into_iter().map(
            async |(shard, within, connection, statement, asked)| {
                let (connection, outcome) =
                    ask(connection, context, &statement, &asked, &[], None, cancel).await;
                (shard, within, connection, outcome)
            },
        ))
        .await;
        let mut failure = None;
        for (shard, within, connection, outcome) in done {
            if within {
                self.execution.participants.give(&shard, connection);
            }
            if let Err(error) = outcome {
                failure.get_or_insert(name_shard(&shard, error));
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Holds all keys of the collection on a shard that is written from now on.
    pub(super) async fn hold_all_keys(
        &mut self,
        global: &GlobalKeys,
        shard: ShardId,
    ) -> Result<(), Error> {
        match global.locks[shard.0 as usize].kind {
            KeyLock::Number => {
                let all = numbers(Purpose::Hold, global, &[], true, false);
                self.lock_on(global, shard, all, false).await
            }
            KeyLock::Writer => Ok(()),
        }
    }

    /// Takes locks in the transaction on a shard.
    async fn lock_on(
        &mut self,
        global: &GlobalKeys,
        shard: ShardId,
        numbers: Parameters,
        out_of_turn: bool,
    ) -> Result<(), Error> {
        let lock = &global.locks[shard.0 as usize];
        let shard = global.shard(shard);
        let mut context = self.execution.context.clone();
        let parameters = match lock.kind {
            KeyLock::Number => numbers,
            KeyLock::Writer => Parameters::default(),
        };
        let bounded = out_of_turn && lock.kind == KeyLock::Writer && bound_wait(&mut context);
        let connection = self.execution.take(&shard).await?;
        let cancel = self.execution.cancel;
        let (connection, outcome) =
            ask(connection, &context, &lock.statement, &parameters, &[], None, cancel).await;
        self.execution.participants.give(&shard, connection);
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if bounded && error.sqlstate == "55P03" => {
                Err(PgError::new("40P01", "deadlock detected")
                    .with_detail(
                        "The transaction writes a shard that others may wait for, and waits for the shard by which unique keys \
                         are added one after the other.",
                    )
                    .with_hint("Run the transaction again, or add rows to the table before other tables are changed.")
                    .into())
            }
            Err(error) => Err(name_shard(&shard, error).into()),
        }
    }

    /// The shards to look at within the transaction: what it has written there is to be seen. Elsewhere nothing older than the
    /// locks may be.
    pub(super) fn looked_at_within(
        &self,
        global: &GlobalKeys,
        written: &BTreeSet<ShardId>,
    ) -> Result<BTreeSet<ShardId>, PgError> {
        let participants = &self.execution.participants;
        if !participants.has_old_snapshot() {
            let takes_part = |shard: &ShardId| participants.takes_part(&global.shard(*shard));
            return Ok(global.shards().filter(takes_part).collect());
        }
        let wrote = |shard: ShardId| {
            participants.has_written(&global.shard(shard)) && !written.contains(&shard)
        };
        if global.shards().any(wrote) {
            return Err(PgError::unsupported(
                "adding to a unique key without the shard key after writing other shards is not supported at this isolation level",
            )
            .with_hint("Use READ COMMITTED."));
        }
        Ok(BTreeSet::new())
    }

    /// Which of the new keys are on other shards than the ones that they go to. `within` are the shards to look at within the
    /// transaction.
    pub(super) async fn look_for_keys(
        &mut self,
        global: &GlobalKeys,
        new: &[NewKey],
        within: &BTreeSet<ShardId>,
    ) -> Result<Found, Error> {
        let mut work = Vec::new();
        for shard in global.shards() {
            let questions = questions(global, new, shard);
            if questions.is_empty() {
                continue;
            }
            let reference = global.shard(shard);
            let within = within.contains(&shard);
            let connection = if within {
                self.execution.take(&reference).await?
            } else {
                self.execution.participants.aside(&reference).await?
            };
            work.push((reference, within, connection, questions));
        }
        let (context, cancel) = (self.execution.context, self.execution.cancel);
        let evaluation = Arc::clone(self.context());
        let done =
            join_all(work.into_iter().map(async |(shard, within, mut connection, questions)| {
                let mut found = Vec::new();
                for (key, statement, parameters) in questions {
                    let types: Vec<TypeRef> =
                        global.keys[key].fields.iter().map(|field| field.ty).collect();
                    let evaluation = Some(&*evaluation);
                    let (back, outcome) = ask(
                        connection,
                        context,
                        &statement,
                        &parameters,
                        &types,
                        evaluation,
                        cancel,
                    )
                    .await;
                    match outcome {
                        Ok(rows) => {
                            found.extend(rows.iter().map(|row| (key, key_bytes(row.iter()))))
                        }
                        Err(error) => return (shard, within, back, Err(error)),
                    }
                    match back {
                        Some(back) => connection = back,
                        None => return (shard, within, None, Err(lost())),
                    }
                }
                (shard, within, Some(connection), Ok(found))
            }))
            .await;
        let mut all = Found::new();
        let mut failure = None;
        for (shard, within, connection, outcome) in done {
            if within {
                self.execution.participants.give(&shard, connection);
            }
            match outcome {
                Ok(found) => all.extend(found),
                Err(error) => {
                    failure.get_or_insert(name_shard(&shard, error));
                }
            }
        }
        failure.map_or(Ok(all), |error| Err(error.into()))
    }
}

/// What a shard is asked: the key's place, the statement and its parameters.
fn questions(
    global: &GlobalKeys,
    new: &[NewKey],
    shard: ShardId,
) -> Vec<(usize, Arc<NodeStatement>, Parameters)> {
    let mut questions = Vec::new();
    for (place, key) in global.keys.iter().enumerate() {
        let wanted: Vec<&NewKey> =
            new.iter().filter(|new| new.key == place && new.shard != shard).collect();
        for chunk in wanted.chunks(KEYS_ASKED) {
            let (statements, count) = match chunk.len() {
                1 => (&key.ask_one, 1),
                _ => (&key.ask_many, KEYS_ASKED),
            };
            let Some(statement) = statements.get(&shard) else { continue };
            // The last one is asked for again until all places are filled.
            let filled = chunk.iter().chain(std::iter::repeat(&chunk[chunk.len() - 1]));
            let values: Vec<Option<Bytes>> =
                filled.take(count).flat_map(|new| new.values.iter().cloned()).collect();
            let formats = vec![Format::Binary; values.len()];
            questions.push((place, Arc::clone(statement), Parameters { values, formats }));
        }
    }
    questions
}

/// What the locks are taken on: first all keys of the collection, shared unless it is `whole`, then each key in the order of its
/// number, so that no two statements wait for each other's.
fn numbers(
    purpose: Purpose,
    global: &GlobalKeys,
    new: &[NewKey],
    whole: bool,
    shared: bool,
) -> Parameters {
    let number = |rest: &[&[u8]]| {
        let mut bytes = vec![purpose as u8];
        bytes.extend_from_slice(&global.space);
        rest.iter().for_each(|part| bytes.extend_from_slice(part));
        xxh3_64(&bytes).cast_signed()
    };
    let mut keys = BTreeSet::new();
    if !whole {
        for new in new {
            keys.insert(number(&[&global.keys[new.key].oid.to_be_bytes(), &new.bytes]));
        }
    }
    let all = std::iter::once((number(&[]), !whole));
    let all: Vec<(i64, bool)> = all.chain(keys.into_iter().map(|key| (key, shared))).collect();
    let array = |elements: Vec<String>| Some(Bytes::from(format!("{{{}}}", elements.join(","))));
    let values = vec![
        array(all.iter().map(|(number, _)| number.to_string()).collect()),
        array(all.iter().map(|(_, shared)| u8::from(*shared).to_string()).collect()),
    ];
    Parameters { values, formats: vec![Format::Text; 2] }
}

/// Bounds how long a lock is waited for; not when the session has its own bound.
fn bound_wait(context: &mut StatementContext) -> bool {
    let is_timeout = |name: &str| name.eq_ignore_ascii_case("lock_timeout");
    let mut settings = (*context.settings).clone();
    match settings.iter_mut().find(|(name, _)| is_timeout(name)) {
        Some((_, value)) if value.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => {
            return false;
        }
        Some((_, value)) => WRITER_WAIT.clone_into(value),
        None => settings.push(("lock_timeout".to_owned(), WRITER_WAIT.to_owned())),
    }
    context.settings = Arc::new(settings);
    true
}

fn lost() -> NodeError {
    NodeError::new(NodeErrorKind::Lost, "08006", "the connection to a node broke")
}

/// Runs one statement; gives the connection back unless it broke, and the rows where there are columns to read.
pub(crate) async fn ask(
    connection: Box<dyn NodeConnection>,
    context: &StatementContext,
    statement: &Arc<NodeStatement>,
    parameters: &Parameters,
    types: &[TypeRef],
    evaluation: Option<&Context>,
    cancel: &CancellationToken,
) -> (Option<Box<dyn NodeConnection>>, Result<Vec<Row>, NodeError>) {
    let formats = match evaluation {
        Some(_) => ResultFormats { formats: vec![Format::Binary; types.len()] },
        None => ResultFormats::default(),
    };
    let mut stream = connection.execute(context, statement, parameters, &formats, cancel).await;
    let mut rows = Vec::new();
    let mut failure = None;
    loop {
        match stream.next().await {
            Ok(None) => break,
            Ok(Some(batch)) => {
                let Some(evaluation) = evaluation else { continue };
                for row in batch.iter() {
                    match decode_row(&row, types, evaluation) {
                        Ok(row) => rows.push(row),
                        Err(error) => failure = Some(NodeError::from(error)),
                    }
                }
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let connection = stream.into_connection();
    if connection.is_none() {
        failure.get_or_insert_with(lost);
    }
    (connection, failure.map_or(Ok(rows), Err))
}

/// `23505` for a row whose key is there already.
pub(super) fn violation(
    global: &GlobalKeys,
    key: usize,
    row: &[Value],
    context: &Context,
) -> NodeError {
    let key = &global.keys[key];
    let mut error = NodeError::statement(
        "23505",
        format!("duplicate key value violates unique constraint \"{}\"", key.name),
    )
    .with_detail(format!("{} already exists.", key_text(key, row, context)));
    error.object.schema = Some(global.schema.clone());
    error.object.table = Some(global.label.clone());
    error.object.constraint = Some(key.name.clone());
    error
}

/// `Key (a, b)=(1, x)`.
fn key_text(key: &GlobalKey, row: &[Value], context: &Context) -> String {
    let values = key.places.iter().map(|place| place.and_then(|place| row.get(place)));
    let names = key.fields.iter().map(|field| field.name.as_str());
    let types = key.fields.iter().map(|field| field.ty);
    shown_key(names, values.zip(types), context)
}

/// `Key (a, b)=(1, x)`, of names, values and their types.
pub(crate) fn shown_key<'v>(
    names: impl Iterator<Item = &'v str>,
    values: impl Iterator<Item = (Option<&'v Value>, TypeRef)>,
    context: &Context,
) -> String {
    let names: Vec<String> = names.map(dataman_pg::catalog::quote_identifier).collect();
    let values: Vec<String> = values
        .map(|(value, ty)| match value.filter(|value| !value.is_null()) {
            None => "null".to_owned(),
            Some(value) => {
                let mut text = Vec::new();
                dataman_pg::io::text::output(value, ty.id, context, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
        })
        .collect();
    format!("Key ({})=({})", names.join(", "), values.join(", "))
}

/// What becomes of a statement's rows.
pub(super) struct Decision {
    /// Rows that are left out.
    pub(super) left_out: BTreeSet<usize>,
    /// The first row that must fail, and its unique key's place.
    pub(super) fails: Option<(usize, usize)>,
}

/// Decides on rows by what is there already, and by what is alike among themselves. `new` are in the rows' order.
///
/// # Errors
/// `0A000` where it depends on what only a shard knows.
pub(super) fn decide(
    global: &GlobalKeys,
    new: &[NewKey],
    found: &Found,
) -> Result<Decision, PgError> {
    let mut decision = Decision { left_out: BTreeSet::new(), fails: None };
    let mut taken: HashMap<(usize, &[u8]), ShardId> = HashMap::new();
    for row in new.chunk_by(|left, right| left.place == right.place) {
        let conflict = |new: &NewKey| {
            let is_found = found.contains(&(new.key, new.bytes.clone()));
            let other = taken.get(&(new.key, new.bytes.as_slice()));
            (is_found, other.is_some_and(|shard| *shard != new.shard))
        };
        let conflicts: Vec<(&NewKey, bool)> = row
            .iter()
            .filter_map(|new| match conflict(new) {
                (false, false) => None,
                (is_found, _) => Some((new, is_found)),
            })
            .collect();
        let Some((first, _)) = conflicts.first() else {
            for new in row {
                taken.entry((new.key, &new.bytes)).or_insert(new.shard);
            }
            continue;
        };
        match global.conflict {
            OnConflict::Fail => {
                decision.fails = Some((first.place, first.key));
                return Ok(decision);
            }
            OnConflict::Update => return Err(on_other_shard(&global.keys[first.key])),
            OnConflict::Nothing => {
                let arbiter = conflicts.iter().find(|(new, _)| global.keys[new.key].is_arbiter);
                let Some((_, is_found)) = arbiter else {
                    return Err(undecided(&global.keys[first.key]));
                };
                // Whether the row before it is there is for its shard to say.
                if !is_found && global.has_local {
                    return Err(undecided(&global.keys[first.key]));
                }
                decision.left_out.insert(first.place);
            }
        }
    }
    Ok(decision)
}

fn on_other_shard(key: &GlobalKey) -> PgError {
    PgError::unsupported(format!(
        "ON CONFLICT DO UPDATE of a row on another shard, by unique key \"{}\", is not supported",
        key.name
    ))
    .with_hint("Give the row the same shard key as the row that is there, or UPDATE that row.")
}

fn undecided(key: &GlobalKey) -> PgError {
    PgError::unsupported(format!(
        "whether ON CONFLICT leaves a row out depends on several unique keys, of which \"{}\" lacks the shard key",
        key.name
    ))
    .with_hint("Insert the rows one by one, or leave out the conflict target.")
}

/// Which unique index PostgreSQL looks at first.
pub(super) fn is_before(global: &GlobalKeys, key: usize, error: &NodeError) -> bool {
    match error.sqlstate.as_str() {
        // Foreign keys are looked at when all rows are there.
        "23503" => true,
        "23505" => error
            .object
            .constraint
            .as_ref()
            .and_then(|name| global.ranks.get(name))
            .is_some_and(|rank| global.keys[key].oid < *rank),
        _ => false,
    }
}

/// The shards of some keys.
pub(super) fn references(global: &GlobalKeys, shards: &BTreeSet<ShardId>) -> Vec<ShardRef> {
    shards.iter().map(|shard| global.shard(*shard)).collect()
}
