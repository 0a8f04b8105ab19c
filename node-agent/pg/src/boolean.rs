//! `boolean` (the manual's sections 8.6 and 9.1).

use crate::context::CallContext;
use crate::error::Result;
use crate::registry::{Entry, entry};
use crate::value::Value;

/// The casts; comparison is [`crate::comparison`]'s.
pub(crate) const FUNCTIONS: &[Entry] =
    &[entry("bool_int4", to_int4), entry("int4_bool", from_int4)];

fn to_int4(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Int4(i32::from(crate::arguments::boolean(args, 0)?)))
}

fn from_int4(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Bool(crate::arguments::int4(args, 0)? != 0))
}
