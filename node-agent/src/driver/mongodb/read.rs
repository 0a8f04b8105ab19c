//! A select: one command, its rows handed on as they come.

use std::sync::atomic::{AtomicBool, Ordering};

use dataman_node_protocol::NodeError;
use dataman_node_protocol::record::Batch;
use dataman_pg::value::Value;
use mongodb::bson::{Bson, Document, doc};
use tokio::sync::mpsc;

use super::adopted;
use super::error::{Failure, classify, is_conflict};
use super::layout::LOCK;
use super::lower::{Lowered, Output, STRAY};
use super::rows::RowWriter;
use super::statement::{Prepared, Statement};
use super::value::load;

/// Runs a select and hands its batches to `sender`, no faster than they are taken; those of locked records are left in
/// `batches`. `handed` is set when the first one is gone. Answers the number of rows.
///
/// # Errors
/// MongoDB's; `Cancelled` when the statement was stopped.
pub(super) async fn run(
    statement: &mut Statement<'_>,
    prepared: &Prepared,
    lowered: &Lowered,
    sender: &mpsc::Sender<Batch>,
    handed: &AtomicBool,
    batches: &mut Vec<Batch>,
) -> Result<u64, NodeError> {
    statement.check_stop()?;
    let types: Vec<_> = prepared.columns.iter().flatten().map(|column| column.ty.id).collect();
    let mut rows = Rows { writer: RowWriter::new(&types, statement.formats)?, count: 0 };
    let window = lowered.window(&statement.params)?;
    let is_nothing = window.limit == Some(0);
    let Some(collection) = &lowered.collection else {
        let holds = lowered.holds(&statement.params, &statement.context)?;
        if holds && !is_nothing && window.offset == 0 {
            rows.add(statement, lowered, &Document::new())?;
        }
        batches.extend(rows.writer.take());
        return Ok(rows.count);
    };
    if is_nothing {
        return Ok(0);
    }
    let catalogue = statement.catalogue.clone();
    let command = lowered.command(Some(&catalogue), &statement.params, window)?;
    let database = collection.database();
    let mut cursor = statement.open(&database, command).await?;
    let mut locked = Vec::new();
    let mut is_first = true;
    while let Some(document) = cursor.next(&mut *statement.session).await {
        let document = document.map_err(classify)?;
        is_first = false;
        if lowered.lock.is_some() {
            locked.extend(document.get("_id").cloned());
        }
        if !rows.add(statement, lowered, &document)? {
            continue;
        }
        let Some(batch) = rows.writer.take() else { continue };
        if lowered.lock.is_some() {
            batches.push(batch);
        } else {
            handed.store(true, Ordering::Release);
            hand_on(sender, batch, statement.stop).await?;
        }
    }
    if is_first
        && window.offset == 0
        && let Some(row) = lowered.empty_group()
    {
        rows.add(statement, lowered, &row)?;
    }
    if let Some(lock) = &lowered.lock {
        let wait = lock.wait.as_deref().map(str::to_ascii_uppercase);
        if wait.as_deref() == Some("SKIP LOCKED") {
            return Err(NodeError::unsupported("MongoDB does not tell which records are locked")
                .with_hint("Leave SKIP LOCKED out, or use NOWAIT."));
        }
        lock_records(statement, &database, &collection.layout.collection, locked).await.map_err(
            |error| match (is_conflict(&error), wait.as_deref()) {
                (true, Some("NOWAIT")) => NodeError::statement(
                    "55P03",
                    format!(
                        "could not obtain lock on row in relation \"{}\"",
                        collection.shape.label
                    ),
                ),
                _ => error,
            },
        )?;
    }
    batches.extend(rows.writer.take());
    Ok(rows.count)
}

/// Writes to documents, so that whoever else writes to them conflicts.
pub(super) async fn lock_records(
    statement: &mut Statement<'_>,
    database: &str,
    collection: &str,
    ids: Vec<Bson>,
) -> Result<(), NodeError> {
    for chunk in ids.chunks(1000) {
        // A value that nobody else writes: what changes nothing is no write.
        let token = mongodb::bson::oid::ObjectId::new();
        let command = doc! {
            "update": collection,
            "updates": [{
                "q": { "_id": { "$in": chunk.to_vec() } },
                "u": { "$set": { LOCK: token } },
                "multi": true,
            }],
        };
        statement.write(database, command).await.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Duplicate(_) => super::error::serialization(),
        })?;
    }
    Ok(())
}

struct Rows {
    writer: RowWriter,
    count: u64,
}

impl Rows {
    /// Adds the row that a document makes; answers whether the batch is large enough to be handed on.
    fn add(
        &mut self,
        statement: &Statement<'_>,
        lowered: &Lowered,
        document: &Document,
    ) -> Result<bool, NodeError> {
        let inputs = inputs(statement, lowered, document)?;
        let (params, context) = (&statement.params, &*statement.context);
        if let Some(having) = &lowered.having
            && !having.holds(&inputs, params, context)?
        {
            return Ok(false);
        }
        let computed = lowered.outputs.iter().map(|output| match output {
            Output::Input(_) => Ok(Value::Null),
            Output::Computed(evaluator) => Ok(evaluator.eval(&inputs, params, context)?),
        });
        let computed = computed.collect::<Result<Vec<_>, NodeError>>()?;
        let cells = lowered.outputs.iter().zip(&computed).map(|(output, computed)| match output {
            Output::Input(place) => &inputs[*place],
            Output::Computed(_) => computed,
        });
        self.count += 1;
        self.writer.add(cells, context)
    }
}

/// What a document that came back holds.
fn inputs(
    statement: &Statement<'_>,
    lowered: &Lowered,
    document: &Document,
) -> Result<Vec<Value>, NodeError> {
    let own = lowered.collection.as_deref().and_then(|one| Some((one, adopted::of(one)?)));
    let Some((collection, own)) = own else {
        let inputs = lowered.inputs.iter().map(|input| match document.get(&input.path) {
            Some(bson) => load(bson, input.ty, &*statement.catalogue),
            None => Ok(Value::Null),
        });
        return inputs.collect();
    };
    if let Ok(stray) = document.get_document(STRAY) {
        for place in &lowered.deciding {
            adopted::read(collection, own, *place, stray)?;
        }
        return Err(NodeError::statement(
            "HV004",
            format!(
                "a document of MongoDB collection {} does not fit its columns",
                collection.place_name()
            ),
        ));
    }
    if lowered.is_grouped() {
        let inputs = lowered.inputs.iter().map(|input| {
            let Some(bson) = document.get(&input.path) else { return Ok(Value::Null) };
            match input.place {
                None => load(bson, input.ty, &*statement.catalogue),
                Some(place) => adopted::value::load(bson, own.natives[place], input.ty)
                    .map_err(|what| adopted::unfit(collection, place, None, &what)),
            }
        });
        return inputs.collect();
    }
    for place in &lowered.deciding {
        adopted::read(collection, own, *place, document)?;
    }
    let inputs = lowered.inputs.iter().map(|input| match input.place {
        Some(place) => adopted::read(collection, own, place, document),
        None => Ok(Value::Null),
    });
    inputs.collect()
}

async fn hand_on(
    sender: &mpsc::Sender<Batch>,
    batch: Batch,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<(), NodeError> {
    tokio::select! {
        biased; // a cancelled statement hands on nothing more
        () = stop.cancelled() => Err(NodeError::cancelled()),
        sent = sender.send(batch) => sent.map_err(|_| NodeError::cancelled()),
    }
}
