//! A select: one text, its rows handed on as they come.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::record::Batch;
use dataman_pg::value::Value;
use mysql_async::Params;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

use super::error::classify;
use super::lower::{self, Lowered, Output, Rendered};
use super::rows::{Cell, RowWriter};
use super::statement::{Prepared, Statement};
use super::value::load;

/// Runs a select and hands its batches to `sender`, no faster than they are taken. Answers the number of rows.
///
/// # Errors
/// MySQL's; `Cancelled` when the statement was stopped, the session being clean again.
pub(super) async fn run(
    statement: &mut Statement<'_>,
    prepared: &Prepared,
    lowered: &Lowered,
    sender: &mpsc::Sender<Batch>,
) -> Result<u64, NodeError> {
    statement.check_stop()?;
    let types: Vec<_> = prepared.columns.iter().flatten().map(|column| column.ty.id).collect();
    let mut writer = RowWriter::new(&types, statement.formats)?;
    let Rendered { text, values, mut skipped } = lower::render(&lowered.parts, &statement.params)?;
    statement.check_size(&text, &values)?;
    let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
    let id = statement.session.conn.id();
    let has_computed = lowered.outputs.iter().any(|output| matches!(output, Output::Computed(_)));
    let failure = |error| {
        let error = classify(error);
        match &lowered.nowait {
            // MariaDB has one code for both.
            Some(relation) if error.sqlstate == "55P03" => NodeError::statement(
                "55P03",
                format!("could not obtain lock on row in relation \"{relation}\""),
            ),
            _ => error,
        }
    };
    let mut result = statement.session.conn.exec_iter(text, params).await.map_err(failure)?;
    let mut count = 0;
    let mut computed: Vec<Value> = Vec::new();
    let handed = loop {
        let row = match result.next().await {
            Ok(Some(row)) => row.unwrap(),
            Ok(None) => break Ok(()),
            Err(error) => return Err(failure(error)),
        };
        if skipped > 0 {
            skipped -= 1;
            continue;
        }
        let (guards, columns) = row.split_at(lowered.guards);
        let added = (|| {
            lower::check_sorted(guards)?;
            if has_computed {
                let input = columns
                    .iter()
                    .zip(&lowered.types)
                    .map(|(raw, ty)| load(raw, *ty, &*statement.catalogue))
                    .collect::<Result<Vec<_>, _>>()?;
                computed.clear();
                for output in &lowered.outputs {
                    computed.push(match output {
                        Output::Column(_) => Value::Null,
                        Output::Computed(evaluator) => {
                            evaluator.eval(&input, &statement.params, &statement.context)?
                        }
                    });
                }
            }
            let cells = lowered.outputs.iter().enumerate().map(|(place, output)| match output {
                Output::Column(column) => Cell::Raw(&columns[*column]),
                Output::Computed(_) => Cell::Value(&computed[place]),
            });
            writer.add(cells, &statement.context, &*statement.catalogue)
        })();
        count += 1;
        match added {
            Ok(false) => {}
            Ok(true) => {
                if let Some(batch) = writer.take()
                    && let Err(error) = hand_on(sender, batch, statement.stop).await
                {
                    break Err(error);
                }
            }
            Err(error) => break Err(error),
        }
    };
    if handed.is_err() {
        // The rows that nobody wants any more end with the statement.
        statement.server.kill_query(id).await;
        if let Err(error) = result.drop_result().await.map_err(classify)
            && error.sqlstate != "57014"
        {
            return Err(error);
        }
    } else if let Some(batch) = writer.take() {
        hand_on(sender, batch, statement.stop).await?;
    }
    handed.map(|()| count)
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
