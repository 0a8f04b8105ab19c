//! All rows in an order.

use std::cmp::Ordering;

use dataman_pg::Value;
use dataman_pg::expr::SortKey;

use super::open::Run;
use super::raw::compare_nullable;
use super::rows::{Held, Row, ValueStream};
use crate::error::Error;
use crate::plan::operator::Operator;

/// Reads the input whole and sorts it; equal rows keep their order.
pub(super) async fn open<'a>(
    run: &mut Run<'a>,
    input: &'a Operator,
    keys: &'a [SortKey],
) -> Result<Box<dyn ValueStream>, Error> {
    let rows = run.gather(input, "a sort").await?;
    let compiled = keys.iter().map(|key| run.compiled(&key.expr)).collect::<Result<Vec<_>, _>>()?;
    let mut keyed: Vec<(Vec<Value>, Row)> = Vec::with_capacity(rows.len());
    for row in rows {
        let key = compiled.iter().map(|expr| expr.eval(&row)).collect::<Result<Vec<_>, _>>()?;
        keyed.push((key, row));
    }
    keyed.sort_by(|(one, _), (other, _)| compare(one, other, keys));
    Ok(Box::new(Held::new(keyed.into_iter().map(|(_, row)| row).collect())))
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
