//! UNION, INTERSECT and EXCEPT, and all rows of several inputs.

use std::collections::HashMap;

use async_trait::async_trait;
use dataman_node_protocol::query::SetOperationKind;

use super::distinct::{Distinct, key_bytes};
use super::open::Run;
use super::rows::{Connections, Held, Row, ValueStream};
use super::store::{Reader, Store};
use crate::error::Error;
use crate::plan::operator::Operator;

/// All rows of several inputs: the first one streams, the others are read before.
pub(super) async fn append<'a>(
    run: &mut Run<'a>,
    inputs: &'a [Operator],
) -> Result<Box<dyn ValueStream>, Error> {
    let Some((first, others)) = inputs.split_first() else {
        return Ok(Box::new(Held::new(Vec::new())));
    };
    let mut held = Store::new(&run.memory, "UNION ALL");
    for input in others {
        run.gather_into(&mut held, input).await?;
    }
    Ok(Box::new(Chained { first: run.values(first).await?, then: held.into_reader() }))
}

struct Chained {
    first: Box<dyn ValueStream>,
    then: Reader,
}

#[async_trait]
impl ValueStream for Chained {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        match self.first.next().await? {
            Some(batch) => Ok(Some(batch)),
            None => self.then.next().await,
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.first.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.first.into_connections()
    }
}

/// A set operation: rows are alike when all their columns are equal or both NULL.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    kind: SetOperationKind,
    all: bool,
    left: &'a Operator,
    right: &'a Operator,
) -> Result<Box<dyn ValueStream>, Error> {
    if kind == SetOperationKind::Union {
        let columns = left.columns().len();
        let mut held = Store::new(&run.memory, "UNION");
        run.gather_into(&mut held, right).await?;
        let both = Chained { first: run.values(left).await?, then: held.into_reader() };
        if all {
            return Ok(Box::new(both));
        }
        return Ok(Box::new(Distinct::new(
            Box::new(both),
            (0..columns).collect(),
            run.memory.clone(),
        )));
    }
    let right_rows = run.gather(right, "a set operation").await?;
    let left_rows = run.gather(left, "a set operation").await?;
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for row in &right_rows {
        *counts.entry(key_bytes(row.iter())).or_default() += 1;
    }
    let mut seen: HashMap<Vec<u8>, ()> = HashMap::new();
    let mut rows = Vec::new();
    for row in left_rows {
        let key = key_bytes(row.iter());
        let keep = match (kind, all) {
            (SetOperationKind::Intersect, true) => match counts.get_mut(&key) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            },
            (SetOperationKind::Intersect, false) => {
                counts.contains_key(&key) && seen.insert(key, ()).is_none()
            }
            (_, true) => match counts.get_mut(&key) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            },
            (_, false) => !counts.contains_key(&key) && seen.insert(key, ()).is_none(),
        };
        if keep {
            rows.push(row);
        }
    }
    Ok(Box::new(Held::new(rows)))
}
