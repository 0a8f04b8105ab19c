//! All rows in an order.

use async_trait::async_trait;
use dataman_pg::expr::SortKey;
use dataman_pg::{Value, order};

use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{Connections, Row, ValueStream};
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
    let mut pace = run.memory.pace();
    let mut key = Vec::new();
    let result = async {
        while let Some(batch) = stream.next().await? {
            for row in batch {
                pace.step().await?;
                key.clear();
                encode(&compiled, keys, &row, &mut key)?;
                sorter.push(&key, row).await?;
            }
        }
        Ok(())
    }
    .await;
    run.end(stream, result).await?;
    Ok(Box::new(Sort { sorted: sorter.finish().await?, pace }))
}

/// Appends a row's keys as bytes in whose order the rows are.
pub(super) fn encode(
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

/// Sorted rows as they come out.
pub(super) struct Sort {
    pub(super) sorted: Sorted,
    pub(super) pace: Pace,
}

#[async_trait]
impl ValueStream for Sort {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        self.sorted.batch(&mut self.pace).await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}
