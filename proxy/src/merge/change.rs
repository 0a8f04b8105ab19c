//! UPDATE and DELETE by key: the records have been found above the shards.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Placement;
use dataman_metadata::sharding::shard_of;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
};
use dataman_node_protocol::record::{Batch, Format};
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, PgError};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::distinct::key_bytes;
use super::global::{NewKey, decide, violation};
use super::open::Run;
use super::parameters::encode;
use super::rows::{Connections, Row, decode_row, encode_row};
use super::store::Store;
use crate::error::Error;
use crate::plan::global::GlobalKeys;
use crate::plan::operator::{ChangePlan, First, Root};
use crate::route::key::key_part;
use crate::scatter::contract::{Access, ResultStream, ShardRef};
use crate::scatter::shard::name_shard;

impl<'a> Run<'a> {
    /// Makes all that follows hold together.
    pub(super) async fn begin_writing(&mut self) -> Result<(), Error> {
        self.execution.participants.enlist(&[], Access::WriteTogether).await
    }

    /// Carries out a statement of WITH that writes, and keeps what it returns.
    pub(super) async fn write_first(&mut self, first: &'a First) -> Result<(), Error> {
        let formats = std::mem::replace(&mut self.execution.formats, &first.formats);
        let stream = match &first.root {
            Root::Insert(insert) => self.insert(insert).await,
            Root::Write(write) => self.write(write).await,
            Root::Change(change) => self.change(change).await,
            Root::Rows(_) | Root::Copy(_) => {
                Err(PgError::internal("a statement in WITH writes").into())
            }
        };
        self.execution.formats = formats;
        let mut stream = stream?;
        let mut rows = Store::new(&self.memory, "WITH");
        let context = Arc::clone(self.context());
        let result = read_returned(stream.as_mut(), first, &mut rows, &context).await;
        for (shard, connection) in stream.into_connections() {
            self.execution.participants.give(&shard, connection);
        }
        result?;
        self.keep_table(first.table, rows);
        Ok(())
    }

    /// Finds the records, and changes each on its shard.
    pub(crate) async fn change(
        &mut self,
        change: &'a ChangePlan,
    ) -> Result<Box<dyn ResultStream>, Error> {
        let found = self.gather(&change.find, "the rows to change").await?;
        // A record that several rows name is changed by the first of them.
        let mut seen = HashSet::new();
        let mut rows: Vec<Row> = Vec::new();
        for row in found {
            if !change.has_sources || seen.insert(key_bytes(row[..change.keys].iter())) {
                rows.push(row);
            }
        }
        drop(seen);
        let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            for shard in self.shards_of_record(change, row)? {
                by_shard.entry(shard).or_default().push(place);
            }
        }
        if by_shard.is_empty() {
            return Ok(Box::new(Changed::default()));
        }
        let shards: Vec<ShardRef> = by_shard
            .keys()
            .map(|shard| ShardRef { datastore: change.datastore.clone(), shard: *shard })
            .collect();
        self.execution.participants.enlist(&shards, Access::WriteTogether).await?;
        if let Some(global) = &change.global {
            self.keep_changed_keys(global, &rows, &by_shard).await?;
        }
        let mut work = Vec::new();
        for (shard, places) in by_shard {
            let statement = change
                .statements
                .get(&shard)
                .ok_or_else(|| PgError::internal("a plan has no statement for a shard"))?;
            let shard = ShardRef { datastore: change.datastore.clone(), shard };
            let connection = self.execution.take(&shard).await?;
            work.push(ShardChange { shard, connection, statement: Arc::clone(statement), places });
        }
        let evaluation = Arc::clone(self.context());
        let with = With {
            change,
            rows: &rows,
            context: self.execution.context,
            cancel: self.execution.cancel,
            evaluation: &evaluation,
        };
        let in_order = work.iter().any(|work| work.connection.has_one_writer());
        let mut outcomes = Vec::new();
        if in_order {
            for work in work {
                let unused = outcomes.iter().any(|outcome: &Outcome| outcome.failure.is_some());
                outcomes.push(if unused { work.unused() } else { work.run(&with).await });
            }
        } else {
            outcomes = join_all(work.into_iter().map(|work| work.run(&with))).await;
        }
        let mut changed = Changed::default();
        let mut failure = None;
        let mut returned: BTreeMap<usize, Row> = BTreeMap::new();
        for outcome in outcomes {
            changed.connections.push((outcome.shard, outcome.connection));
            returned.extend(outcome.returned);
            if let Some(error) = outcome.failure {
                failure.get_or_insert(error);
            }
        }
        let outputs = if failure.is_none() {
            self.returning(change, &rows, returned)
        } else {
            Ok(Vec::new())
        };
        let outputs = match (failure, outputs) {
            (None, Ok(outputs)) => outputs,
            (Some(error), _) | (None, Err(error)) => {
                for (shard, connection) in changed.connections {
                    self.execution.participants.give(&shard, connection);
                }
                return Err(error);
            }
        };
        changed.affected = rows.len() as u64;
        if !change.returning.is_empty() {
            let types: Vec<TypeRef> = change.returning.iter().map(Expr::type_ref).collect();
            let mut frames = BytesMut::new();
            for row in &outputs {
                let formats = &self.execution.formats.formats;
                encode_row(row, &types, formats, self.context(), &mut frames);
            }
            changed.ready = Some(Batch { frames: frames.freeze(), rows: outputs.len() });
        }
        Ok(Box::new(changed))
    }

    /// Locks the keys that records get of unique keys over several shards, and looks for them.
    ///
    /// # Errors
    /// `23505`; `0A000` where it depends on the order in which PostgreSQL changes the records.
    async fn keep_changed_keys(
        &mut self,
        global: &GlobalKeys,
        rows: &[Row],
        by_shard: &BTreeMap<ShardId, Vec<usize>>,
    ) -> Result<(), Error> {
        let mut shard_of_row = vec![ShardId(0); rows.len()];
        for (shard, places) in by_shard {
            places.iter().for_each(|place| shard_of_row[*place] = *shard);
        }
        let mut given_up = HashSet::new();
        let mut new = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            for (number, key) in global.keys.iter().enumerate() {
                let old = key_bytes(key.old_places.iter().map(|place| &row[*place]));
                let found = NewKey::of(global, number, place, row, shard_of_row[place]);
                if found.as_ref().is_some_and(|new| new.bytes == old) {
                    continue;
                }
                new.extend(found);
                given_up.insert((number, old));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let written: BTreeSet<ShardId> = by_shard.keys().copied().collect();
        self.lock_keys(global, &new, &written, false).await?;
        let within = self.looked_at_within(global, &written)?;
        let found = self.look_for_keys(global, &new, &within).await?;
        if let Some(moved) = new.iter().find(|new| {
            let key = (new.key, new.bytes.clone());
            found.contains(&key) && given_up.contains(&key)
        }) {
            return Err(PgError::unsupported(format!(
                "an UPDATE that gives rows each other's values of unique key \"{}\", over several shards, is not supported",
                global.keys[moved.key].name
            ))
            .with_hint("Whether PostgreSQL refuses it depends on the order of the rows: update them one after the other.")
            .into());
        }
        match decide(global, &new, &found)?.fails {
            Some((place, key)) => Err(violation(global, key, &rows[place], self.context()).into()),
            None => Ok(()),
        }
    }

    /// RETURNING, in the order in which the records were found.
    fn returning(
        &self,
        change: &ChangePlan,
        rows: &[Row],
        returned: BTreeMap<usize, Row>,
    ) -> Result<Vec<Row>, Error> {
        if change.returning.is_empty() {
            return Ok(Vec::new());
        }
        let exprs = change
            .returning
            .iter()
            .map(|expr| self.compiled(expr))
            .collect::<Result<Vec<_>, _>>()?;
        // Shards give nothing back for a list that reads nothing of the changed records.
        let returned = match change.given.is_empty() {
            true => (0..rows.len()).map(|place| (place, Row::new())).collect(),
            false => returned,
        };
        let mut outputs = Vec::with_capacity(returned.len());
        for (place, mut row) in returned {
            row.extend(rows.get(place).into_iter().flatten().cloned());
            outputs.push(exprs.iter().map(|expr| expr.eval(&row)).collect::<Result<Row, _>>()?);
        }
        Ok(outputs)
    }

    /// The shards that hold a record.
    fn shards_of_record(&self, change: &ChangePlan, row: &Row) -> Result<Vec<ShardId>, Error> {
        let keyspace = match &change.placement {
            Placement::Single { shard } => return Ok(vec![*shard]),
            Placement::Reference => return Ok((0..change.shard_count).map(ShardId).collect()),
            Placement::Sharded(keyspace) => keyspace,
        };
        let datastore = self
            .plan
            .snapshot
            .datastores
            .get(&change.datastore)
            .ok_or_else(|| PgError::internal("the datastore of a plan is not there"))?;
        let key = change
            .shard_key
            .iter()
            .map(|place| key_part(&row[*place], change.key_types[*place]))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| PgError::internal("a record has no shard key"))?;
        let shard = shard_of(keyspace, datastore, &key).map_err(|error| {
            PgError::internal(format!("a record's shard is not known: {error}"))
        })?;
        Ok(vec![shard])
    }
}

/// Reads what a statement returns.
async fn read_returned(
    stream: &mut dyn ResultStream,
    first: &First,
    rows: &mut Store,
    context: &Context,
) -> Result<(), Error> {
    while let Some(batch) = stream.next().await? {
        for row in batch.iter() {
            rows.push(decode_row(&row, &first.columns, context)?).await?;
        }
    }
    Ok(())
}

/// What all shards' parts have in common.
struct With<'w> {
    change: &'w ChangePlan,
    rows: &'w [Row],
    context: &'w StatementContext,
    cancel: &'w CancellationToken,
    evaluation: &'w Context,
}

/// One shard's part.
struct ShardChange {
    shard: ShardRef,
    connection: Box<dyn NodeConnection>,
    statement: Arc<NodeStatement>,
    /// The places of its records among the rows found.
    places: Vec<usize>,
}

/// How it went.
struct Outcome {
    shard: ShardRef,
    connection: Option<Box<dyn NodeConnection>>,
    /// What the shard gave for RETURNING, by place.
    returned: Vec<(usize, Row)>,
    failure: Option<Error>,
}

impl ShardChange {
    /// Nothing was run, since another shard has failed.
    fn unused(self) -> Outcome {
        Outcome {
            shard: self.shard,
            connection: Some(self.connection),
            returned: Vec::new(),
            failure: None,
        }
    }

    async fn run(self, with: &With<'_>) -> Outcome {
        let change = with.change;
        let mut outcome =
            Outcome { shard: self.shard, connection: None, returned: Vec::new(), failure: None };
        let mut connection = self.connection;
        let formats = ResultFormats { formats: vec![Format::Binary; change.given.len()] };
        for place in self.places {
            let values: Vec<Option<Bytes>> = with.rows[place]
                .iter()
                .zip(&change.params)
                .map(|(value, ty)| encode(value, *ty))
                .collect();
            let parameters = Parameters { formats: vec![Format::Binary; values.len()], values };
            let mut stream = connection
                .execute(with.context, &self.statement, &parameters, &formats, with.cancel)
                .await;
            loop {
                match stream.next().await {
                    Ok(Some(batch)) => {
                        for row in batch.iter() {
                            match decode_row(&row, &change.given, with.evaluation) {
                                Ok(row) => outcome.returned.push((place, row)),
                                Err(error) => outcome.failure = Some(error.into()),
                            }
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        outcome.failure = Some(name_shard(&outcome.shard, error).into());
                        break;
                    }
                }
            }
            if outcome.failure.is_none() && stream.end().affected != 1 {
                // The record is gone, or other than it was when it was found.
                outcome.failure = Some(
                    PgError::new("40001", "could not serialize access due to concurrent update")
                        .with_hint("A row was changed between finding it and changing it: run the statement again.")
                        .into(),
                );
            }
            match stream.into_connection() {
                Some(back) => connection = back,
                None => {
                    let lost = NodeError::new(
                        NodeErrorKind::Lost,
                        "08006",
                        "the connection to a node broke",
                    );
                    let lost = name_shard(&outcome.shard, lost);
                    outcome.failure.get_or_insert(lost.into());
                    return outcome;
                }
            }
            if outcome.failure.is_some() {
                break;
            }
        }
        outcome.connection = Some(connection);
        outcome
    }
}

/// A finished change.
#[derive(Default)]
struct Changed {
    affected: u64,
    ready: Option<Batch>,
    connections: Connections,
}

#[async_trait]
impl ResultStream for Changed {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        Ok(self.ready.take().filter(|batch| batch.rows > 0))
    }

    fn affected(&self) -> u64 {
        self.affected
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.connections
    }
}
