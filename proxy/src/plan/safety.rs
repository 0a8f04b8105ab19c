//! Which built-in functions may run on a shard.
//!
//! A shard's own server knows nothing of dataman: its catalog, its locks, its files and its sessions are not the client's. So a
//! function crosses this line only when its answer depends on nothing but its arguments and on settings that dataman
//! sends along.

use dataman_pg::catalog::Function;
use dataman_pg::{PgError, registry, set};

/// Prefixes of names whose answers are about the server or its objects.
const SERVER_PREFIXES: &[&str] = &[
    "pg_",
    "acl",
    "has_",
    "txid_",
    "lo_",
    "inet_client",
    "inet_server",
    "binary_upgrade_",
    "col_description",
    "obj_description",
    "shobj_description",
    "query_to_",
    "table_to_",
    "schema_to_",
    "database_to_",
    "cursor_to_",
    "ts_",
    "to_reg",
    "current_setting",
    "set_config",
    "currtid",
    "lowrite",
    "loread",
    "brin_",
    "gin_",
    "row_security_active",
    "setseed",
];

/// Names among them that are pure.
const PURE: &[&str] = &[
    "pg_size_pretty",
    "pg_size_bytes",
    "pg_column_size",
    "pg_lsn",
    "ts_delete",
    "ts_filter",
    "ts_headline",
    "ts_rank",
    "ts_rank_cd",
    "ts_rewrite",
];

/// Refuses a function that may not run on a shard.
///
/// # Errors
/// `0A000` naming the function.
pub(crate) fn check_function(function: &Function) -> Result<(), PgError> {
    // What dataman answers itself: no shard is asked.
    if registry::find(function.source).is_some() || set::is_computed(function.id) {
        return Ok(());
    }
    let query_text = function.name.ends_with("_to_xml") || function.name.ends_with("_to_xmlschema");
    if is_about_server(function) || query_text {
        return Err(PgError::unsupported(format!(
            "the function {} is not supported",
            function.name
        ))
        .with_hint("It asks about one server; behind dataman there are several."));
    }
    Ok(())
}

/// Whether a function asks about one server.
pub(crate) fn is_about_server(function: &Function) -> bool {
    let server = SERVER_PREFIXES.iter().any(|prefix| function.name.starts_with(prefix));
    let is_pure = PURE.contains(&function.name) || function.name.starts_with("pg_lsn_");
    server && !is_pure
}
