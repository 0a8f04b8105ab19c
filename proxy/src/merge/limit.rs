//! Some of the rows: LIMIT, OFFSET, WITH TIES.

use async_trait::async_trait;
use dataman_pg::{Expr, PgError, Value};

use super::open::Run;
use super::raw::compare_nullable;
use super::rows::{Connections, Row, ValueStream};
use crate::error::Error;

/// LIMIT and OFFSET as numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Rows at most; none for all.
    pub(crate) limit: Option<u64>,
    /// Rows to leave out first.
    pub(crate) offset: u64,
}

impl Limits {
    /// Computes both.
    ///
    /// # Errors
    /// `2201W` and `2201X` for negative numbers.
    pub(crate) fn of(
        run: &Run<'_>,
        limit: Option<&Expr>,
        offset: Option<&Expr>,
    ) -> Result<Self, PgError> {
        let value = |expr: Option<&Expr>| expr.map(|expr| run.value(expr)).transpose();
        Self::from_values(value(limit)?, value(offset)?)
    }

    /// Computes both, which may have subqueries.
    ///
    /// # Errors
    /// As [`Limits::of`].
    pub(crate) async fn reached(
        run: &mut Run<'_>,
        limit: Option<&Expr>,
        offset: Option<&Expr>,
    ) -> Result<Self, Error> {
        let mut values = [None, None];
        for (value, expr) in values.iter_mut().zip([limit, offset]) {
            if let Some(expr) = expr {
                *value = Some(run.value_reached(expr).await?);
            }
        }
        let [limit, offset] = values;
        Ok(Self::from_values(limit, offset)?)
    }

    fn from_values(limit: Option<Value>, offset: Option<Value>) -> Result<Self, PgError> {
        let number = |value: Option<Value>,
                      sqlstate: &'static str,
                      word: &str|
         -> Result<Option<u64>, PgError> {
            match value {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Int8(value)) => u64::try_from(value)
                    .map(Some)
                    .map_err(|_| PgError::new(sqlstate, format!("{word} must not be negative"))),
                Some(_) => Err(PgError::internal("LIMIT and OFFSET are bigint")),
            }
        };
        let offset = number(offset, "2201X", "OFFSET")?.unwrap_or(0);
        Ok(Self { limit: number(limit, "2201W", "LIMIT")?, offset })
    }
}

/// Passes the rows that OFFSET and LIMIT leave; keeps the order.
pub(crate) struct Limit {
    input: Box<dyn ValueStream>,
    limits: Limits,
    ties: Option<Vec<usize>>,
    last: Option<Row>,
    done: bool,
}

impl Limit {
    pub(crate) fn new(
        input: Box<dyn ValueStream>,
        limits: Limits,
        ties: Option<Vec<usize>>,
    ) -> Self {
        Self { input, limits, ties, last: None, done: false }
    }

    fn is_tie(&self, row: &Row) -> bool {
        match (&self.ties, &self.last) {
            (Some(ties), Some(last)) => ties
                .iter()
                .all(|&column| compare_nullable(&row[column], &last[column], false, false).is_eq()),
            _ => false,
        }
    }
}

#[async_trait]
impl ValueStream for Limit {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if self.done {
            return Ok(None);
        }
        if self.limits.limit == Some(0) && self.last.is_none() {
            self.done = true;
            self.input.finish().await?;
            return Ok(None);
        }
        loop {
            let Some(batch) = self.input.next().await? else {
                self.done = true;
                return Ok(None);
            };
            let mut kept = Vec::new();
            for row in batch {
                if self.limits.offset > 0 {
                    self.limits.offset -= 1;
                    continue;
                }
                match &mut self.limits.limit {
                    None => kept.push(row),
                    Some(0) => {
                        if self.is_tie(&row) {
                            kept.push(row);
                            continue;
                        }
                        self.done = true;
                        break;
                    }
                    Some(left) => {
                        *left -= 1;
                        if *left == 0 {
                            self.last = Some(row.clone());
                        }
                        kept.push(row);
                    }
                }
            }
            if self.limits.limit == Some(0) && self.ties.is_none() {
                self.done = true;
            }
            if self.done {
                self.input.finish().await?;
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
            if self.done {
                return Ok(None);
            }
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
