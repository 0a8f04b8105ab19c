//! What a session can ask about itself (the manual's section 9.26), and functions over any type.

use crate::arguments::{boolean, variadic};
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
    entry("pgsql_version", |_, _| Ok(Value::text(version()))),
];

/// What `version()` answers.
pub fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION} (dataman {})", env!("CARGO_PKG_VERSION"))
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
