//! INSERT: the proxy computes the rows, and each goes to its shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Placement;
use dataman_metadata::sharding::shard_of;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{Batch, Format};
use dataman_pg::expr::Constant;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, Value};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::global::{NewKey, decide, is_before, references, violation};
use super::open::{Compiled, Run};
use super::parameters::encode;
use super::rows::{Connections, Row};
use super::taking_numbers;
use crate::error::Error;
use crate::plan::global::GlobalKeys;
use crate::plan::operator::{InsertPlan, InsertSource};
use crate::plan::{Internal, Plan};
use crate::route::key::key_part;
use crate::scatter::contract::{Access, ResultStream, ShardRef};
use crate::scatter::shard::name_shard;

/// Rows that one node query carries at most: enough to spare round trips, few enough for a bounded message.
const NODE_ROWS_MAX: usize = 1_000;

/// Parameters that one statement can have in PostgreSQL's protocol.
const PARAMETERS_MAX: usize = 65_535;

/// What one shard gets: batches of rows, each row as its parameters.
type ShardRows = Vec<Vec<Option<Bytes>>>;

impl<'a> Run<'a> {
    /// Computes the rows, spreads and sends them.
    pub(crate) async fn insert(
        &mut self,
        insert: &'a InsertPlan,
    ) -> Result<Box<dyn ResultStream>, Error> {
        let rows = self.insert_rows(insert).await?;
        let mut by_shard = self.spread(insert, &rows)?;
        let violated = match &insert.global {
            Some(global) => self.keep_keys(global, &rows, &mut by_shard).await?,
            None => None,
        };
        drop(rows);
        let copies = matches!(insert.placement, Placement::Reference);
        if by_shard.is_empty() {
            debug_assert!(violated.is_none(), "a row that is refused is among the rows");
            return Ok(Box::new(Inserted::default()));
        }
        let width = insert.form.fields.len().max(1);
        let batch_rows = if insert.form.fields.is_empty() {
            1
        } else {
            NODE_ROWS_MAX.min(PARAMETERS_MAX / width).max(1)
        };
        let shards: Vec<ShardRef> = by_shard
            .keys()
            .map(|shard| ShardRef { datastore: insert.datastore.clone(), shard: *shard })
            .collect();
        let many = by_shard.values().any(|(_, rows)| rows.len() > batch_rows);
        let access = if many { Access::WriteTogether } else { Access::Write };
        self.execution.participants.enlist(&shards, access).await?;
        let mut work = Vec::new();
        for (shard, (places, rows)) in by_shard {
            let shard = ShardRef { datastore: insert.datastore.clone(), shard };
            let connection = self.execution.take(&shard).await?;
            let statement = self.insert_statement(insert, shard.shard)?;
            work.push(ShardInsert { shard, connection, statement, places, rows });
        }
        let formats = ResultFormats { formats: self.execution.formats.formats.clone() };
        let (context, cancel) = (self.execution.context, self.execution.cancel);
        let done = if work.iter().any(|work| work.connection.has_one_writer()) {
            let mut done: Vec<Outcome> = Vec::with_capacity(work.len());
            for work in work {
                if done.iter().any(|outcome| outcome.failure.is_some()) {
                    done.push(work.unused());
                } else {
                    done.push(work.run(context, cancel, batch_rows, &formats).await);
                }
            }
            done
        } else {
            join_all(work.into_iter().map(|work| work.run(context, cancel, batch_rows, &formats)))
                .await
        };
        let mut inserted = Inserted::default();
        let mut failure = None;
        for (place, outcome) in done.into_iter().enumerate() {
            inserted.connections.push((outcome.shard, outcome.connection));
            if let Some(error) = outcome.failure {
                failure.get_or_insert(error);
                continue;
            }
            if copies && place > 0 {
                continue;
            }
            inserted.affected += outcome.affected;
            inserted.returned.push((outcome.places, outcome.batches));
        }
        let failure = match (failure, violated) {
            (Some(error), Some((global, key, late))) => {
                Some(if is_before(global, key, &error) { late } else { error })
            }
            (failure, violated) => failure.or(violated.map(|(_, _, late)| late)),
        };
        if let Some(error) = failure {
            for (shard, connection) in inserted.connections {
                self.execution.participants.give(&shard, connection);
            }
            return Err(error.into());
        }
        inserted.order();
        Ok(Box::new(inserted))
    }

    /// Locks the rows' keys of unique keys over several shards, and looks for them. Takes out the rows that ON CONFLICT leaves
    /// out. Of what must fail those rows stay that PostgreSQL would have come to, since they may fail for another reason first.
    async fn keep_keys<'p>(
        &mut self,
        global: &'p GlobalKeys,
        rows: &[Row],
        by_shard: &mut BTreeMap<ShardId, (Vec<usize>, ShardRows)>,
    ) -> Result<Option<(&'p GlobalKeys, usize, NodeError)>, Error> {
        let mut shard_of_row = vec![ShardId(0); rows.len()];
        for (shard, (places, _)) in by_shard.iter() {
            places.iter().for_each(|place| shard_of_row[*place] = *shard);
        }
        let new: Vec<NewKey> = rows
            .iter()
            .enumerate()
            .flat_map(|(place, row)| (0..global.keys.len()).map(move |key| (place, row, key)))
            .filter_map(|(place, row, key)| {
                NewKey::of(global, key, place, row, shard_of_row[place])
            })
            .collect();
        if new.is_empty() {
            return Ok(None);
        }
        let written: BTreeSet<ShardId> = by_shard.keys().copied().collect();
        let shards = references(global, &written);
        self.execution.participants.enlist(&shards, Access::WriteTogether).await?;
        self.lock_keys(global, &new, &written, false).await?;
        let within = self.looked_at_within(global, &written)?;
        let found = self.look_for_keys(global, &new, &within).await?;
        let decision = decide(global, &new, &found)?;
        let last = decision.fails.map(|(place, _)| place);
        let stays = |place: usize| {
            !decision.left_out.contains(&place) && last.is_none_or(|last| place <= last)
        };
        for (places, values) in by_shard.values_mut() {
            let mut stayed = places.iter().map(|place| stays(*place));
            values.retain(|_| stayed.next().unwrap_or(true));
            places.retain(|place| stays(*place));
        }
        by_shard.retain(|_, (places, _)| !places.is_empty());
        Ok(decision.fails.map(|(place, key)| {
            (global, key, violation(global, key, &rows[place], self.context()))
        }))
    }

    /// The statement for a shard; when ON CONFLICT or RETURNING read parameters, these are put in as constants, since the
    /// statement's own parameters are the rows.
    fn insert_statement(
        &self,
        insert: &InsertPlan,
        shard: ShardId,
    ) -> Result<Arc<NodeStatement>, Error> {
        let statement = insert
            .statements
            .get(&shard)
            .ok_or_else(|| PgError::internal("a plan has no statement for a shard"))?;
        let mut reads = false;
        let mut query = statement.query.clone();
        crate::plan::visit::each_query_expr_mut(&mut query, &mut |expr| {
            crate::plan::form::each_node_mut(expr, &mut |node| {
                if let Expr::Param { index, ty } = node {
                    reads = true;
                    let value = self
                        .values
                        .get(usize::from(*index).saturating_sub(1))
                        .cloned()
                        .unwrap_or(Value::Null);
                    *node = Expr::Const(Constant { value, ty: TypeRef::plain(*ty) });
                }
            });
        });
        if !reads {
            return Ok(Arc::clone(statement));
        }
        debug_assert!(
            matches!(query, NodeQuery::InsertMany(_)),
            "an insert's statement is an insert"
        );
        Ok(Arc::new(NodeStatement::new(query, statement.params.clone())))
    }

    /// The rows, computed.
    async fn insert_rows(&mut self, insert: &'a InsertPlan) -> Result<Vec<Row>, Error> {
        match &insert.rows {
            InsertSource::Values(rows) => {
                let mut computed = Vec::with_capacity(rows.len());
                let compiled = self.sequence_numbers(rows.len()).await?;
                self.execution.sequences.expect(rows.len());
                for (place, row) in rows.iter().enumerate() {
                    compiled.put(self, place);
                    let row = self.row(row).await?;
                    self.memory.take_row(&row, "INSERT")?;
                    computed.push(row);
                }
                Ok(computed)
            }
            InsertSource::Query { operator, fields } => {
                let rows = self.gather(operator, "INSERT … SELECT").await?;
                let numbers = self.sequence_numbers(rows.len()).await?;
                let mut computed = Vec::with_capacity(rows.len());
                let sequences = self.numbers();
                self.execution.sequences.expect(rows.len());
                let mut exprs: Option<Vec<Compiled>> = None;
                for (place, row) in rows.iter().enumerate() {
                    if numbers.is_empty() && exprs.is_some() {
                        // Nothing changes from row to row: the expressions stay compiled.
                    } else {
                        numbers.put(self, place);
                        exprs = Some(
                            fields
                                .iter()
                                .map(|expr| self.compiled(expr))
                                .collect::<Result<_, _>>()?,
                        );
                    }
                    let compute = || {
                        exprs
                            .iter()
                            .flatten()
                            .map(|expr| expr.eval(row))
                            .collect::<Result<Row, _>>()
                    };
                    let values = match &sequences {
                        None => compute()?,
                        Some(sequences) => taking_numbers(sequences.as_ref(), compute).await?,
                    };
                    self.memory.take_row(&values, "INSERT … SELECT")?;
                    computed.push(values);
                }
                Ok(computed)
            }
        }
    }

    /// Takes the numbers that so many rows need. In VALUES each row has its own parameters, so each parameter needs one.
    async fn sequence_numbers(&mut self, rows: usize) -> Result<SequenceNumbers, Error> {
        let plan: &'a Plan = self.plan;
        let mut numbers = SequenceNumbers { by_parameter: Vec::new() };
        let per_parameter = match &plan.root {
            crate::plan::Root::Insert(insert) => match insert.rows {
                InsertSource::Values(_) => 1,
                InsertSource::Query { .. } => rows,
            },
            _ => 1,
        };
        if rows == 0 {
            return Ok(numbers);
        }
        // Parameters of one sequence are filled from one block, in their order.
        let mut wanted: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (place, internal) in plan.parameters.internal().iter().enumerate() {
            if let Internal::NextValue(schema, name) = internal {
                wanted.entry((schema, name)).or_default().push(plan.params.len() + place);
            }
        }
        for ((schema, name), places) in wanted {
            let count = places.len() * per_parameter;
            let block = self.execution.sequences.next(schema, name, count).await?;
            let share = places.len();
            for (number, place) in places.into_iter().enumerate() {
                let own = (0..per_parameter)
                    .filter_map(|row| block.get(row * share + number).copied())
                    .collect();
                numbers.by_parameter.push((place, own));
            }
        }
        if per_parameter == 1 {
            numbers.put(self, 0);
            numbers.by_parameter.clear();
        }
        Ok(numbers)
    }

    /// Each row to its shard: the rows' places in the statement, and their parameters.
    fn spread(
        &self,
        insert: &InsertPlan,
        rows: &[Row],
    ) -> Result<BTreeMap<ShardId, (Vec<usize>, ShardRows)>, Error> {
        let mut by_shard: BTreeMap<ShardId, (Vec<usize>, ShardRows)> = BTreeMap::new();
        let datastore = self
            .plan
            .snapshot
            .datastores
            .get(&insert.datastore)
            .ok_or_else(|| PgError::internal("the datastore of a plan is not there"))?;
        for (place, row) in rows.iter().enumerate() {
            let encoded = || -> Vec<Option<Bytes>> {
                row.iter()
                    .zip(&insert.form.fields)
                    .map(|(value, field)| encode(value, field.ty.id))
                    .collect()
            };
            match &insert.placement {
                Placement::Single { shard } => {
                    let slot = by_shard.entry(*shard).or_default();
                    slot.0.push(place);
                    slot.1.push(encoded());
                }
                Placement::Reference => {
                    for shard in (0..insert.shard_count).map(ShardId) {
                        let slot = by_shard.entry(shard).or_default();
                        slot.0.push(place);
                        slot.1.push(encoded());
                    }
                }
                Placement::Sharded(keyspace) => {
                    let mut key = Vec::with_capacity(insert.key_places.len());
                    for &field in &insert.key_places {
                        let (value, named) = (&row[field], &insert.form.fields[field]);
                        let part = key_part(value, named.ty).ok_or_else(|| {
                            PgError::new(
                                "23502",
                                format!(
                                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                                    named.name, insert.label
                                ),
                            )
                            .with_detail("The column is the table's shard key.")
                        })?;
                        key.push(part);
                    }
                    let shard = shard_of(keyspace, datastore, &key).map_err(|error| {
                        PgError::new(
                            "23514",
                            format!("no shard of relation \"{}\" found for row", insert.label),
                        )
                        .with_detail(format!("{error}."))
                    })?;
                    let slot = by_shard.entry(shard).or_default();
                    slot.0.push(place);
                    slot.1.push(encoded());
                }
            }
        }
        Ok(by_shard)
    }
}

/// Numbers of sequences: for each parameter's place one number for each row.
struct SequenceNumbers {
    by_parameter: Vec<(usize, Vec<i64>)>,
}

impl SequenceNumbers {
    fn is_empty(&self) -> bool {
        self.by_parameter.is_empty()
    }

    /// Puts a row's numbers into the parameters.
    fn put(&self, run: &mut Run<'_>, row: usize) {
        if self.by_parameter.is_empty() {
            return;
        }
        let values = Arc::make_mut(&mut run.values);
        for (place, numbers) in &self.by_parameter {
            if let (Some(value), Some(number)) = (values.get_mut(*place), numbers.get(row)) {
                *value = Value::Int8(*number);
            }
        }
    }
}

/// One shard's part.
struct ShardInsert {
    shard: ShardRef,
    connection: Box<dyn NodeConnection>,
    statement: Arc<NodeStatement>,
    places: Vec<usize>,
    rows: ShardRows,
}

/// How it went.
struct Outcome {
    shard: ShardRef,
    connection: Option<Box<dyn NodeConnection>>,
    places: Vec<usize>,
    affected: u64,
    batches: Vec<Batch>,
    failure: Option<NodeError>,
}

impl ShardInsert {
    /// Nothing was run, since another shard has failed.
    fn unused(self) -> Outcome {
        Outcome {
            shard: self.shard,
            connection: Some(self.connection),
            places: self.places,
            affected: 0,
            batches: Vec::new(),
            failure: None,
        }
    }

    async fn run(
        self,
        context: &StatementContext,
        cancel: &CancellationToken,
        batch_rows: usize,
        formats: &ResultFormats,
    ) -> Outcome {
        let mut outcome = Outcome {
            shard: self.shard,
            connection: None,
            places: self.places,
            affected: 0,
            batches: Vec::new(),
            failure: None,
        };
        let mut connection = self.connection;
        for rows in self.rows.chunks(batch_rows) {
            let values: Vec<Option<Bytes>> = rows.iter().flatten().cloned().collect();
            let parameters = Parameters { formats: vec![Format::Binary; values.len()], values };
            let mut stream =
                connection.execute(context, &self.statement, &parameters, formats, cancel).await;
            loop {
                match stream.next().await {
                    Ok(Some(batch)) => outcome.batches.push(batch),
                    Ok(None) => break,
                    Err(error) => {
                        // The other shards go on: which of several failures is told is not to depend on their speed.
                        outcome.failure = Some(name_shard(&outcome.shard, error));
                        break;
                    }
                }
            }
            outcome.affected += stream.end().affected;
            match stream.into_connection() {
                Some(back) => connection = back,
                None => {
                    if outcome.failure.is_none() {
                        let lost = NodeError::new(
                            dataman_node_protocol::NodeErrorKind::Lost,
                            "08006",
                            "the connection to a node broke",
                        );
                        outcome.failure = Some(name_shard(&outcome.shard, lost));
                    }
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

/// A finished INSERT: the rows that RETURNING gave, in the order of the statement's rows where that is known.
#[derive(Default)]
struct Inserted {
    affected: u64,
    returned: Vec<(Vec<usize>, Vec<Batch>)>,
    ready: std::vec::IntoIter<Batch>,
    connections: Connections,
}

impl Inserted {
    /// Puts the returned rows into the order in which the statement gave them. A shard that returned fewer rows than it got
    /// left some out (ON CONFLICT), and then the order is the shards'.
    fn order(&mut self) {
        let returned = std::mem::take(&mut self.returned);
        let known = returned.iter().all(|(places, batches)| {
            batches.iter().map(|batch| batch.rows).sum::<usize>() == places.len()
        });
        if !known || returned.len() < 2 {
            self.ready = returned
                .into_iter()
                .flat_map(|(_, batches)| batches)
                .collect::<Vec<_>>()
                .into_iter();
            return;
        }
        let mut rows: Vec<(usize, Bytes)> = Vec::new();
        for (places, batches) in &returned {
            let mut places = places.iter();
            for batch in batches {
                let mut at = 0;
                while let (Some(place), Some(header)) =
                    (places.next(), batch.frames.get(at..at + 5))
                {
                    let length =
                        u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                    rows.push((*place, batch.frames.slice(at..at + 1 + length)));
                    at += 1 + length;
                    if at >= batch.frames.len() {
                        break;
                    }
                }
            }
        }
        rows.sort_by_key(|(place, _)| *place);
        let count = rows.len();
        let frames: Vec<u8> = rows.into_iter().flat_map(|(_, frame)| frame.to_vec()).collect();
        self.ready = vec![Batch { frames: Bytes::from(frames), rows: count }].into_iter();
    }
}

#[async_trait]
impl ResultStream for Inserted {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        Ok(self.ready.find(|batch| batch.rows > 0))
    }

    fn affected(&self) -> u64 {
        self.affected
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.connections
    }
}
