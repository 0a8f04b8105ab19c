//! What a session can ask about itself (the manual's section 9.26), and functions over any type.

use crate::arguments::{arg, boolean, is_null, text, variadic};
use crate::catalog;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Value};

/// The PostgreSQL release whose answers these are, as `server_version` shows it.
pub const SERVER_VERSION: &str = "15.0";

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("pg_typeof", |call, _| {
        Ok(Value::Oid(call.arguments.first().copied().unwrap_or(TypeId::UNKNOWN).0))
    }),
    entry("pg_num_nulls", |call, args| count_nulls(call, args, true)),
    entry("pg_num_nonnulls", |call, args| count_nulls(call, args, false)),
    entry("current_user", |call, _| Ok(Value::text(call.context.session.user.as_str()))),
    entry("session_user", |call, _| Ok(Value::text(call.context.session.user.as_str()))),
    entry("current_database", |call, _| Ok(Value::text(call.context.session.database.as_str()))),
    entry("current_schema", |call, _| {
        Ok(call.context.session.schemas.first().map_or(Value::Null, |s| Value::text(s.as_str())))
    }),
    entry("current_schemas", |call, args| {
        let implicit = boolean(args, 0)?;
        let schemas = &call.context.session.schemas;
        let mut names: Vec<Value> = schemas.iter().map(|name| Value::text(name.as_str())).collect();
        if implicit && !schemas.iter().any(|name| name == "pg_catalog") {
            names.insert(0, Value::text("pg_catalog"));
        }
        Ok(Value::Array(Array::vector(TypeId::NAME, names).into()))
    }),
    entry("pg_backend_pid", |call, _| Ok(Value::Int4(call.context.session.process_id))),
    entry("pg_client_encoding", |_, _| Ok(Value::text("UTF8"))),
    entry("getdatabaseencoding", |_, _| Ok(Value::text("UTF8"))),
    entry("format_type", format_type),
    entry("nameconcatoid", |_, args| {
        let (name, number) = (text(args, 0)?, format!("_{}", arg::<u32>(args, 1)?));
        let room = NAME_BYTES - number.len();
        let end = (0..=room.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        Ok(Value::text(format!("{}{number}", &name[..end.unwrap_or(0)])))
    }),
    entry("pgsql_version", |_, _| Ok(Value::text(version()))),
];

/// What `version()` answers.
pub fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION} (dataman {})", env!("CARGO_PKG_VERSION"))
}

/// The bytes of the longest `name`.
const NAME_BYTES: usize = 63;
/// The first OID that the manual does not assign to a built-in: what lies above may be of the user's.
const USER_OID: u32 = 10_000;
/// `bit`.
const BIT: TypeId = TypeId(1560);

fn format_type(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) {
        return Ok(Value::Null);
    }
    let id = TypeId(arg(args, 0)?);
    let typmod = if is_null(args, 1) { None } else { Some(arg::<i32>(args, 1)?) };
    if id == TypeId::NONE {
        return Ok(Value::text("-"));
    }
    if catalog::type_by_id(id).is_none() && id.0 >= USER_OID {
        return crate::objects::objects(call.context)?.answer("format_type", args, call);
    }
    let element = catalog::type_by_id(id).map_or(TypeId::NONE, |entry| entry.element);
    let scalar = if element == TypeId::NONE { id } else { element };
    let has_modifier = match scalar {
        TypeId::BPCHAR | TypeId::VARCHAR | TypeId::NUMERIC => true,
        TypeId::TIME | TypeId::TIMETZ | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ => true,
        TypeId::INTERVAL => typmod.is_some_and(|typmod| typmod >> 16 == 0x7fff),
        _ => false,
    };
    if !has_modifier && typmod.is_some_and(|typmod| typmod >= 0) {
        return Err(PgError::unsupported(
            "format_type with a modifier that the type does not have",
        ));
    }
    Ok(Value::text(match (id, typmod) {
        // Without a modifier it is the type that the catalog has, not SQL's default length.
        (TypeId::BPCHAR, Some(-1)) => "bpchar".to_owned(),
        (BIT, Some(-1)) => "\"bit\"".to_owned(),
        (id, typmod) => catalog::format_type(id, typmod.unwrap_or(-1)),
    }))
}

fn count_nulls(call: &CallContext<'_>, args: &[Value], wanted: bool) -> Result<Value> {
    let Some(values) = variadic(call, args, 0)? else { return Ok(Value::Null) };
    let counted = values.iter().filter(|(_, value)| value.is_null() == wanted).count();
    i32::try_from(counted).map(Value::Int4).map_err(|_| PgError::out_of_range("integer"))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn nulls() {
        check("pg_num_nulls", &["t:a", "n", "n"], "2");
        check("pg_num_nonnulls", &["t:a", "n", "n"], "1");
    }

    #[test]
    fn facts() {
        assert!(super::version().starts_with("PostgreSQL 15."));
        check("current_schemas", &["b:true"], "{pg_catalog}");
    }
}
