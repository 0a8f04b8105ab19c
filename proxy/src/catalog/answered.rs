//! Which tables of the system are answered. What is not here has columns, so that statements are checked, and is refused when it is
//! read: no rows would be a wrong answer.

use dataman_pg::PgError;

/// Catalogs that describe what nobody can make here: they have no rows because there is nothing.
const EMPTY: &[&str] = &[
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_inherits",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_matviews",
    "pg_parameter_acl",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_replication_origin",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_seclabel",
    "pg_seclabels",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_transform",
    "pg_trigger",
    "pg_user_mapping",
    "pg_user_mappings",
];

/// Catalogs that have rows.
const FILLED: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_db_role_setting",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_proc",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_sequence",
    "pg_settings",
    "pg_shadow",
    "pg_stat_activity",
    "pg_tables",
    "pg_tablespace",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_views",
];

/// Tables of the information schema that have rows.
const INFORMATION: &[&str] = &[
    "applicable_roles",
    "check_constraints",
    "collations",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "enabled_roles",
    "information_schema_catalog_name",
    "key_column_usage",
    "referential_constraints",
    "role_table_grants",
    "schemata",
    "sequences",
    "sql_features",
    "sql_implementation_info",
    "sql_parts",
    "sql_sizing",
    "table_constraints",
    "table_privileges",
    "tables",
    "views",
];

/// Tables of the information schema about what nobody can make here.
const INFORMATION_EMPTY: &[&str] = &[
    "_pg_foreign_data_wrappers",
    "_pg_foreign_servers",
    "_pg_foreign_table_columns",
    "_pg_foreign_tables",
    "_pg_user_mappings",
    "column_options",
    "foreign_data_wrapper_options",
    "foreign_data_wrappers",
    "foreign_server_options",
    "foreign_servers",
    "foreign_table_options",
    "foreign_tables",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "user_defined_types",
    "user_mapping_options",
    "user_mappings",
];

/// Tables of `dataman`.
const OWN: &[&str] = &[
    "nodes",
    "datasources",
    "datastores",
    "shards",
    "vshards",
    "collections",
    "sessions",
    "statements",
    "refusals",
    "proxies",
    "replicas",
];

/// Refuses a table that is not answered.
///
/// # Errors
/// `0A000` naming the table.
pub(super) fn check(schema: &str, table: &str) -> Result<(), PgError> {
    let lists: &[&[&str]] = match schema {
        "pg_catalog" => &[FILLED, EMPTY],
        "information_schema" => &[INFORMATION, INFORMATION_EMPTY],
        _ => &[OWN],
    };
    if lists.iter().any(|list| list.contains(&table)) {
        return Ok(());
    }
    Err(PgError::unsupported(format!("\"{schema}.{table}\" is not answered by dataman yet"))
        .with_hint("It tells of one server, or of what dataman does not keep yet."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_table() {
        let of = |schema: &'static str, names: &[&'static str]| {
            for name in names {
                assert!(super::super::relation(schema, name).is_some(), "{schema}.{name}");
                assert_eq!(check(schema, name), Ok(()));
            }
        };
        of("pg_catalog", FILLED);
        of("pg_catalog", EMPTY);
        of("information_schema", INFORMATION);
        of("information_schema", INFORMATION_EMPTY);
        of("dataman", OWN);
        assert!(check("pg_catalog", "pg_locks").is_err());
    }
}
