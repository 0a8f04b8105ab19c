//! Sequence manipulation functions (the manual's section 9.17). The numbers are not here: the session hands them out.

use std::fmt::Debug;

use crate::arguments::{boolean, int8, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

/// What a sequence function asks of the session. A sequence is named as `regclass` prints it, always with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceCall {
    /// `nextval`.
    Next(String),
    /// `currval`.
    Current(String),
    /// `lastval`.
    Last,
    /// `setval`.
    Set {
        /// The sequence.
        name: String,
        /// The value.
        value: i64,
        /// Whether the value counts as handed out.
        is_called: bool,
    },
}

/// Who knows the sequences and what the session has taken of them.
pub trait SequenceNumbers: Debug + Send + Sync {
    /// Carries a call out.
    ///
    /// # Errors
    /// PostgreSQL's. An implementation that has to wait may also fail, and be asked again when it has waited; the calls of
    /// the expression then come again in the same order.
    fn call(&self, call: SequenceCall) -> Result<i64>;
}

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("nextval_oid", |call, args| ask(call, SequenceCall::Next(name(args)?))),
    entry("currval_oid", |call, args| ask(call, SequenceCall::Current(name(args)?))),
    entry("lastval", |call, _| ask(call, SequenceCall::Last)),
    entry("setval_oid", |call, args| {
        ask(call, SequenceCall::Set { name: name(args)?, value: int8(args, 1)?, is_called: true })
    }),
    entry("setval3_oid", |call, args| {
        let (value, is_called) = (int8(args, 1)?, boolean(args, 2)?);
        ask(call, SequenceCall::Set { name: name(args)?, value, is_called })
    }),
];

fn name(args: &[Value]) -> Result<String> {
    Ok(text(args, 0)?.to_owned())
}

fn ask(call: &CallContext<'_>, asked: SequenceCall) -> Result<Value> {
    match &call.context.sequences {
        Some(sequences) => sequences.call(asked).map(Value::Int8),
        None => Err(PgError::unsupported("sequences are not known here")),
    }
}
