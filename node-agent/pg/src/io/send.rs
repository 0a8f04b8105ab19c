//! `int4send`, `textsend` and their like: a value's binary form as `bytea`.

use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::io::binary;
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("array_send", send),
    entry("boolsend", send),
    entry("bpcharsend", send),
    entry("byteasend", send),
    entry("charsend", send),
    entry("date_send", send),
    entry("float4send", send),
    entry("float8send", send),
    entry("int2send", send),
    entry("int4send", send),
    entry("int8send", send),
    entry("interval_send", send),
    entry("json_send", send),
    entry("jsonb_send", send),
    entry("namesend", send),
    entry("numeric_send", send),
    entry("oidsend", send),
    entry("textsend", send),
    entry("time_send", send),
    entry("timestamp_send", send),
    entry("timestamptz_send", send),
    entry("timetz_send", send),
    entry("uuid_send", send),
    entry("varcharsend", send),
    entry("inet_send", send),
    entry("cidr_send", send),
    entry("macaddr_send", send),
    entry("macaddr8_send", send),
    entry("bit_send", send),
    entry("varbit_send", send),
    entry("range_send", send),
    entry("multirange_send", send),
    entry("record_send", send),
    entry("enum_send", send),
    entry("jsonpath_send", send),
];

fn send(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (Some(value), Some(ty)) = (args.first(), call.arguments.first()) else {
        return Err(PgError::internal("a value is sent"));
    };
    let mut out = Vec::new();
    binary::encode(value, *ty, &mut out);
    Ok(Value::Bytea(out.into()))
}
