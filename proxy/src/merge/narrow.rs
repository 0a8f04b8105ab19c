//! The keys of a join's held side, given to the scan on its other side.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_pg::value::Array;
use dataman_pg::{Expr, Value, catalog};

use super::distinct::key_bytes;
use super::open::Run;
use super::rows::Row;
use crate::error::Error;

/// Beyond so many keys the other side is read as it is: a long list costs the shards more than it spares.
const KEYS_MAX: usize = 2_000;

impl Run<'_> {
    /// Gives the keys of a join's right side, whose rows are there now, to the scan on its left; none where the rows are in
    /// files.
    pub(super) fn give_keys(
        &mut self,
        (pair, param): &(usize, Expr),
        equal: &[(Expr, Expr)],
        held: Option<&[Row]>,
    ) -> Result<(), Error> {
        let (Some((_, right)), Expr::Param { index, ty }) = (equal.get(*pair), param) else {
            return Ok(());
        };
        if self.is_inner {
            // What it reads of the shards has been read before.
            return Ok(());
        }
        let keys = match held {
            Some(rows) => self.distinct_keys(right, rows)?,
            None => None,
        };
        let array = keys.map_or(Value::Null, |keys| {
            let element = catalog::type_by_id(*ty).map_or(*ty, |found| found.element);
            Value::Array(Arc::new(Array::vector(element, keys)))
        });
        self.set(usize::from(*index).saturating_sub(1), array, *ty);
        Ok(())
    }

    /// The different values of a key; none when there are too many.
    fn distinct_keys(&self, key: &Expr, rows: &[Row]) -> Result<Option<Vec<Value>>, Error> {
        let key = self.compiled(key)?;
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut keys: Vec<Value> = Vec::new();
        for row in rows {
            let value = key.eval(row)?;
            if !value.is_null() && seen.insert(key_bytes(std::iter::once(&value))) {
                keys.push(value);
                if keys.len() > KEYS_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(Some(keys))
    }
}
