//! Set-returning functions: each row in with every row that a function gives for it.

use std::sync::Arc;

use async_trait::async_trait;
use dataman_pg::expr::{Call, FunctionId};
use dataman_pg::set::{self, RowSource};
use dataman_pg::{CallContext, Context, Expr, PgError, TypeId, Value};

use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use crate::error::Error;

/// A call ready to be made for a row.
pub(super) struct SetCall {
    function: FunctionId,
    args: Vec<Compiled>,
    types: Vec<TypeId>,
    result: TypeId,
    variadic: bool,
    context: Arc<Context>,
}

impl SetCall {
    /// Compiles a call's arguments.
    pub(super) fn new(run: &Run<'_>, call: &Call) -> Result<Self, PgError> {
        Ok(Self {
            function: call.function,
            args: call.args.iter().map(|arg| run.compiled(arg)).collect::<Result<_, _>>()?,
            types: call.args.iter().map(Expr::type_id).collect(),
            result: call.ty.id,
            variadic: call.variadic,
            context: Arc::clone(run.context()),
        })
    }

    fn rows(&self, row: &[Value]) -> Result<Box<dyn RowSource>, PgError> {
        let args = self.args.iter().map(|arg| arg.eval(row)).collect::<Result<Vec<_>, _>>()?;
        let call = CallContext {
            context: &self.context,
            arguments: &self.types,
            result: self.result,
            variadic: self.variadic,
        };
        set::rows(self.function, &call, &args)
            .unwrap_or_else(|| Err(PgError::internal("a planned function is not computed")))
    }
}

/// Rows in and the rows of a function for each; keeps the order.
pub(super) struct Expand {
    input: Box<dyn ValueStream>,
    call: SetCall,
    /// The function's columns, with the one that counts.
    width: usize,
    ordinality: bool,
    keeps: bool,
    pending: std::vec::IntoIter<Row>,
    current: Option<Current>,
    pace: Pace,
}

/// The row in whose rows are being given.
struct Current {
    row: Row,
    rows: Box<dyn RowSource>,
    given: i64,
}

impl Expand {
    pub(super) fn new(
        input: Box<dyn ValueStream>,
        call: SetCall,
        width: usize,
        ordinality: bool,
        keeps: bool,
        pace: Pace,
    ) -> Self {
        let pending = Vec::new().into_iter();
        Self { input, call, width, ordinality, keeps, pending, current: None, pace }
    }

    /// The next row of the current one; `None` when it has no more.
    fn advance(&mut self) -> Result<Option<Row>, PgError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        if let Some(values) = current.rows.next_row()? {
            current.given += 1;
            let mut row = current.row.clone();
            row.extend(values);
            row.extend(self.ordinality.then_some(Value::Int8(current.given)));
            return Ok(Some(row));
        }
        let is_unmatched = current.given == 0;
        let mut row = self.current.take().map(|current| current.row).unwrap_or_default();
        row.extend(std::iter::repeat_n(Value::Null, self.width));
        Ok((is_unmatched && self.keeps).then_some(row))
    }
}

#[async_trait]
impl ValueStream for Expand {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut batch = Vec::new();
        while batch.len() < BATCH_ROWS {
            // A series may be endless.
            self.pace.step().await?;
            if let Some(row) = self.advance()? {
                batch.push(row);
                continue;
            }
            let row = match self.pending.next() {
                Some(row) => row,
                None => match self.input.next().await? {
                    Some(rows) => {
                        self.pending = rows.into_iter();
                        continue;
                    }
                    None => break,
                },
            };
            let rows = self.call.rows(&row)?;
            self.current = Some(Current { row, rows, given: 0 });
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
