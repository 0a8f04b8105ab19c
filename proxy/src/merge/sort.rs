//! All rows in an order.

use std::cmp::Ordering;

use async_trait::async_trait;
use dataman_pg::expr::SortKey;
use dataman_pg::{Value, order};

use super::open::{Compiled, Run};
use super::pace::Pace;
use super::raw::compare_nullable;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::sorter::{Sorted, Sorter};
use crate::error::Error;
use crate::plan::operator::Operator;

/// Reads the input whole and sorts it; equal rows keep their order. Only the first rows when only so many are wanted.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    keys: &'a [SortKey],
    wanted: Option<usize>,
) -> Result<Box<dyn ValueStream>, Error> {
    let compiled = keys.iter().map(|key| run.compiled(&key.expr)).collect::<Result<Vec<_>, _>>()?;
    let mut sorter = Sorter::new(&run.memory, "a sort");
    if let Some(wanted) = wanted {
        sorter.want(wanted);
    }
    let mut stream = run.values(input).await?;
    let mut pace = Pace::new();
    let mut key = Vec::new();
    let result = loop {
        let batch = match stream.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let mut failure = None;
        for row in batch {
            pace.step().await;
            key.clear();
            let pushed = match encode(&compiled, keys, &row, &mut key) {
                Ok(()) => sorter.push(&key, row).await,
                Err(error) => Err(error),
            };
            if let Err(error) = pushed {
                failure = Some(error);
                break;
            }
        }
        if let Some(error) = failure {
            run.stop(stream.as_mut()).await;
            break Err(error);
        }
    };
    run.give_back(stream);
    result?;
    Ok(Box::new(Sort { sorted: sorter.finish().await?, pace }))
}

/// Appends a row's keys as bytes in whose order the rows are.
fn encode(
    compiled: &[Compiled],
    keys: &[SortKey],
    row: &[Value],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    for (expr, key) in compiled.iter().zip(keys) {
        let value = expr.eval(row)?;
        if value.is_null() {
            out.push(if key.nulls_first { 0 } else { 2 });
            continue;
        }
        out.push(1);
        let start = out.len();
        order::encode_ordered(&value, out);
        if key.descending {
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    Ok(())
}

struct Sort {
    sorted: Sorted,
    pace: Pace,
}

#[async_trait]
impl ValueStream for Sort {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS {
            let Some(entry) = self.sorted.next().await? else { break };
            rows.push(entry.row);
            self.pace.step().await;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}

/// The order of two rows by their computed keys.
pub(super) fn compare(one: &[Value], other: &[Value], keys: &[SortKey]) -> Ordering {
    for ((one, other), key) in one.iter().zip(other).zip(keys) {
        let ordering = compare_nullable(one, other, key.descending, key.nulls_first);
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}
