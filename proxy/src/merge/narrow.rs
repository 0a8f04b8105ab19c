//! The keys of a join's held side, given to the scan on its other side.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_pg::value::Array;
use dataman_pg::{Expr, Value, catalog};

use super::distinct::key_bytes;
use super::open::Run;
use super::rows::Row;
use crate::error::Error;
use crate::plan::operator::Operator;

/// Beyond so many keys the other side is read as it is: a long list costs the shards more than it spares.
const KEYS_MAX: usize = 2_000;

impl<'a> Run<'a> {
    /// Decides which form the left side of a join takes, now that the right side's rows are there.
    pub(super) fn narrow(
        &mut self,
        left: &'a Operator,
        equal: &'a [(Expr, Expr)],
        held: &[Row],
    ) -> Result<&'a Operator, Error> {
        let Operator::Narrow { wide, narrow, key, param } = left else { return Ok(left) };
        let (Some((_, right)), Expr::Param { index, ty }) = (equal.get(*key), param) else {
            return Ok(wide);
        };
        let right = self.compiled(right)?;
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut keys: Vec<Value> = Vec::new();
        for row in held {
            let value = right.eval(row)?;
            if !value.is_null() && seen.insert(key_bytes(std::iter::once(&value))) {
                keys.push(value);
                if keys.len() > KEYS_MAX {
                    return Ok(wide);
                }
            }
        }
        let element = catalog::type_by_id(*ty).map_or(*ty, |found| found.element);
        let array = Value::Array(Arc::new(Array::vector(element, keys)));
        self.set(usize::from(*index).saturating_sub(1), array, *ty);
        Ok(narrow)
    }
}
