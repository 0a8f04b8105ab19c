//! What parameters there are: PostgreSQL 15's, with their types, bounds and defaults, and what dataman does with each.
//!
//! The names, bounds and defaults are those of `pg_settings` on a PostgreSQL 15 server. [`Use`] is dataman's own decision.

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, in the case that SHOW prints.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value when nobody has set it, in the unit of `kind`.
    pub default: &'static str,
    /// What setting it does.
    pub used: Use,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// on or off.
    Bool,
    /// A whole number between two bounds.
    Integer(i64, i64, Unit),
    /// A number between two bounds.
    Real(f64, f64, Unit),
    /// One of a list.
    Choice(&'static [&'static str]),
    /// Anything, checked by its own rule.
    Text,
}

/// The unit that a number without one is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A bare number.
    None,
    /// Time.
    Milliseconds,
    /// Time.
    Seconds,
    /// Memory.
    Bytes,
    /// Memory.
    Kilobytes,
    /// Memory, in blocks of 8 kB.
    Blocks,
}

/// What setting a parameter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// What PostgreSQL does.
    Effective,
    /// It is kept and shown; it changes how PostgreSQL works, never what it answers.
    Harmless,
    /// It would change answers, and dataman only knows the default: any other value is refused.
    Fixed,
    /// It tells something and cannot be set.
    Internal,
}

const fn parameter(name: &'static str, kind: Kind, default: &'static str, used: Use) -> Parameter {
    Parameter { name, kind, default, used }
}

/// Finds a parameter; names do not know case.
pub fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

/// Why a parameter that PostgreSQL has and dataman does not cannot be set: PostgreSQL's own reason.
pub fn find_foreign(name: &str) -> Option<&'static str> {
    let has = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if has(SERVER_START) {
        Some("without restarting the server")
    } else if has(SERVER_FILE) {
        Some("now")
    } else if has(SESSION_START) {
        Some("after connection start")
    } else {
        None
    }
}

/// The parameter that bounds what a statement holds above the shards ([`crate::merge::STATEMENT_BYTES_MAX`] unless set).
pub const STATEMENT_MEMORY: &str = "dataman.statement_mem";

/// The parameter that bounds a statement's temporary files ([`crate::merge::TEMPORARY_BYTES_MAX`] unless set).
pub const TEMPORARY_LIMIT: &str = "dataman.temp_limit";

/// The parameter that says which copies of a shard may be read: `primary`, `any`, `nearest`.
pub const READ: &str = "dataman.read";

/// The parameter that bounds how far a replica may be behind that is read; -1 for no bound.
pub const LAG_MAX: &str = "dataman.max_lag";

/// Every parameter, ordered by name.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    parameter("allow_in_place_tablespaces", Kind::Bool, "off", Use::Fixed),
    parameter("allow_system_table_mods", Kind::Bool, "off", Use::Fixed),
    parameter("application_name", Kind::Text, "", Use::Effective),
    parameter("array_nulls", Kind::Bool, "on", Use::Fixed),
    parameter("backend_flush_after", Kind::Integer(0, 256, Unit::Blocks), "0", Use::Harmless),
    parameter("backslash_quote", Kind::Choice(&["safe_encoding", "on", "off"]), "safe_encoding", Use::Fixed),
    parameter("backtrace_functions", Kind::Text, "", Use::Harmless),
    parameter("block_size", Kind::Integer(8192, 8192, Unit::None), "8192", Use::Internal),
    parameter("bytea_output", Kind::Choice(&["escape", "hex"]), "hex", Use::Effective),
    parameter("check_function_bodies", Kind::Bool, "on", Use::Harmless),
    parameter("client_connection_check_interval", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Harmless),
    parameter("client_encoding", Kind::Text, "UTF8", Use::Effective),
    parameter("client_min_messages", Kind::Choice(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]), "notice", Use::Effective),
    parameter("commit_delay", Kind::Integer(0, 100000, Unit::None), "0", Use::Harmless),
    parameter("commit_siblings", Kind::Integer(0, 1000, Unit::None), "5", Use::Harmless),
    parameter("composite_type_mismatch", Kind::Choice(&["error", "warn", "disabled"]), "error", Use::Fixed),
    parameter("compute_query_id", Kind::Choice(&["auto", "regress", "on", "off"]), "auto", Use::Harmless),
    parameter("constraint_exclusion", Kind::Choice(&["partition", "on", "off"]), "partition", Use::Harmless),
    parameter("cpu_index_tuple_cost", Kind::Real(0.0, f64::MAX, Unit::None), "0.005", Use::Harmless),
    parameter("cpu_operator_cost", Kind::Real(0.0, f64::MAX, Unit::None), "0.0025", Use::Harmless),
    parameter("cpu_tuple_cost", Kind::Real(0.0, f64::MAX, Unit::None), "0.01", Use::Harmless),
    parameter("cursor_tuple_fraction", Kind::Real(0.0, 1.0, Unit::None), "0.1", Use::Harmless),
    parameter(LAG_MAX, Kind::Integer(-1, 2147483647, Unit::Milliseconds), "10000", Use::Effective),
    parameter(READ, Kind::Choice(&["primary", "any", "nearest"]), "primary", Use::Effective),
    parameter(STATEMENT_MEMORY, Kind::Integer(64, 2147483647, Unit::Kilobytes), "262144", Use::Effective),
    parameter(TEMPORARY_LIMIT, Kind::Integer(0, 2147483647, Unit::Kilobytes), "16777216", Use::Effective),
    parameter("DateStyle", Kind::Text, "ISO, MDY", Use::Effective),
    parameter("deadlock_timeout", Kind::Integer(1, 2147483647, Unit::Milliseconds), "1000", Use::Harmless),
    parameter("debug_discard_caches", Kind::Integer(0, 0, Unit::None), "0", Use::Harmless),
    parameter("debug_pretty_print", Kind::Bool, "on", Use::Harmless),
    parameter("debug_print_parse", Kind::Bool, "off", Use::Harmless),
    parameter("debug_print_plan", Kind::Bool, "off", Use::Harmless),
    parameter("debug_print_rewritten", Kind::Bool, "off", Use::Harmless),
    parameter("default_statistics_target", Kind::Integer(1, 10000, Unit::None), "100", Use::Harmless),
    parameter("default_table_access_method", Kind::Text, "heap", Use::Fixed),
    parameter("default_tablespace", Kind::Text, "", Use::Fixed),
    parameter("default_text_search_config", Kind::Text, "pg_catalog.simple", Use::Fixed),
    parameter("default_toast_compression", Kind::Choice(&["pglz", "lz4"]), "pglz", Use::Harmless),
    parameter("default_transaction_deferrable", Kind::Bool, "off", Use::Effective),
    parameter("default_transaction_isolation", Kind::Choice(&["serializable", "repeatable read", "read committed", "read uncommitted"]), "read committed", Use::Effective),
    parameter("default_transaction_read_only", Kind::Bool, "off", Use::Effective),
    parameter("dynamic_library_path", Kind::Text, "$libdir", Use::Fixed),
    parameter("effective_cache_size", Kind::Integer(1, 2147483647, Unit::Blocks), "524288", Use::Harmless),
    parameter("effective_io_concurrency", Kind::Integer(0, 1000, Unit::None), "1", Use::Harmless),
    parameter("enable_async_append", Kind::Bool, "on", Use::Harmless),
    parameter("enable_bitmapscan", Kind::Bool, "on", Use::Harmless),
    parameter("enable_gathermerge", Kind::Bool, "on", Use::Harmless),
    parameter("enable_hashagg", Kind::Bool, "on", Use::Harmless),
    parameter("enable_hashjoin", Kind::Bool, "on", Use::Harmless),
    parameter("enable_incremental_sort", Kind::Bool, "on", Use::Harmless),
    parameter("enable_indexonlyscan", Kind::Bool, "on", Use::Harmless),
    parameter("enable_indexscan", Kind::Bool, "on", Use::Harmless),
    parameter("enable_material", Kind::Bool, "on", Use::Harmless),
    parameter("enable_memoize", Kind::Bool, "on", Use::Harmless),
    parameter("enable_mergejoin", Kind::Bool, "on", Use::Harmless),
    parameter("enable_nestloop", Kind::Bool, "on", Use::Harmless),
    parameter("enable_parallel_append", Kind::Bool, "on", Use::Harmless),
    parameter("enable_parallel_hash", Kind::Bool, "on", Use::Harmless),
    parameter("enable_partition_pruning", Kind::Bool, "on", Use::Harmless),
    parameter("enable_partitionwise_aggregate", Kind::Bool, "off", Use::Harmless),
    parameter("enable_partitionwise_join", Kind::Bool, "off", Use::Harmless),
    parameter("enable_seqscan", Kind::Bool, "on", Use::Harmless),
    parameter("enable_sort", Kind::Bool, "on", Use::Harmless),
    parameter("enable_tidscan", Kind::Bool, "on", Use::Harmless),
    parameter("escape_string_warning", Kind::Bool, "on", Use::Harmless),
    parameter("exit_on_error", Kind::Bool, "off", Use::Fixed),
    parameter("extra_float_digits", Kind::Integer(-15, 3, Unit::None), "1", Use::Effective),
    parameter("force_parallel_mode", Kind::Choice(&["off", "on", "regress"]), "off", Use::Harmless),
    parameter("from_collapse_limit", Kind::Integer(1, 2147483647, Unit::None), "8", Use::Harmless),
    parameter("geqo", Kind::Bool, "on", Use::Harmless),
    parameter("geqo_effort", Kind::Integer(1, 10, Unit::None), "5", Use::Harmless),
    parameter("geqo_generations", Kind::Integer(0, 2147483647, Unit::None), "0", Use::Harmless),
    parameter("geqo_pool_size", Kind::Integer(0, 2147483647, Unit::None), "0", Use::Harmless),
    parameter("geqo_seed", Kind::Real(0.0, 1.0, Unit::None), "0", Use::Harmless),
    parameter("geqo_selection_bias", Kind::Real(1.5, 2.0, Unit::None), "2", Use::Harmless),
    parameter("geqo_threshold", Kind::Integer(2, 2147483647, Unit::None), "12", Use::Harmless),
    parameter("gin_fuzzy_search_limit", Kind::Integer(0, 2147483647, Unit::None), "0", Use::Harmless),
    parameter("gin_pending_list_limit", Kind::Integer(64, 2147483647, Unit::Kilobytes), "4096", Use::Harmless),
    parameter("hash_mem_multiplier", Kind::Real(1.0, 1000.0, Unit::None), "2", Use::Harmless),
    parameter("idle_in_transaction_session_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Effective),
    parameter("idle_session_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Effective),
    parameter("ignore_checksum_failure", Kind::Bool, "off", Use::Fixed),
    parameter("in_hot_standby", Kind::Bool, "off", Use::Internal),
    parameter("integer_datetimes", Kind::Bool, "on", Use::Internal),
    parameter("IntervalStyle", Kind::Choice(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), "postgres", Use::Effective),
    parameter("jit", Kind::Bool, "on", Use::Harmless),
    parameter("jit_above_cost", Kind::Real(-1.0, f64::MAX, Unit::None), "100000", Use::Harmless),
    parameter("jit_dump_bitcode", Kind::Bool, "off", Use::Harmless),
    parameter("jit_expressions", Kind::Bool, "on", Use::Harmless),
    parameter("jit_inline_above_cost", Kind::Real(-1.0, f64::MAX, Unit::None), "500000", Use::Harmless),
    parameter("jit_optimize_above_cost", Kind::Real(-1.0, f64::MAX, Unit::None), "500000", Use::Harmless),
    parameter("jit_tuple_deforming", Kind::Bool, "on", Use::Harmless),
    parameter("join_collapse_limit", Kind::Integer(1, 2147483647, Unit::None), "8", Use::Harmless),
    parameter("lc_collate", Kind::Text, "C", Use::Internal),
    parameter("lc_ctype", Kind::Text, "C", Use::Internal),
    parameter("lc_messages", Kind::Text, "C", Use::Fixed),
    parameter("lc_monetary", Kind::Text, "C", Use::Fixed),
    parameter("lc_numeric", Kind::Text, "C", Use::Fixed),
    parameter("lc_time", Kind::Text, "C", Use::Fixed),
    parameter("lo_compat_privileges", Kind::Bool, "off", Use::Fixed),
    parameter("local_preload_libraries", Kind::Text, "", Use::Fixed),
    parameter("lock_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Effective),
    parameter("log_duration", Kind::Bool, "off", Use::Harmless),
    parameter("log_error_verbosity", Kind::Choice(&["terse", "default", "verbose"]), "default", Use::Harmless),
    parameter("log_executor_stats", Kind::Bool, "off", Use::Harmless),
    parameter("log_lock_waits", Kind::Bool, "off", Use::Harmless),
    parameter("log_min_duration_sample", Kind::Integer(-1, 2147483647, Unit::Milliseconds), "-1", Use::Harmless),
    parameter("log_min_duration_statement", Kind::Integer(-1, 2147483647, Unit::Milliseconds), "-1", Use::Harmless),
    parameter("log_min_error_statement", Kind::Choice(&["debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log", "fatal", "panic"]), "error", Use::Harmless),
    parameter("log_min_messages", Kind::Choice(&["debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log", "fatal", "panic"]), "warning", Use::Harmless),
    parameter("log_parameter_max_length", Kind::Integer(-1, 1073741823, Unit::Bytes), "-1", Use::Harmless),
    parameter("log_parameter_max_length_on_error", Kind::Integer(-1, 1073741823, Unit::Bytes), "0", Use::Harmless),
    parameter("log_parser_stats", Kind::Bool, "off", Use::Harmless),
    parameter("log_planner_stats", Kind::Bool, "off", Use::Harmless),
    parameter("log_replication_commands", Kind::Bool, "off", Use::Harmless),
    parameter("log_statement", Kind::Choice(&["none", "ddl", "mod", "all"]), "none", Use::Harmless),
    parameter("log_statement_sample_rate", Kind::Real(0.0, 1.0, Unit::None), "1", Use::Harmless),
    parameter("log_statement_stats", Kind::Bool, "off", Use::Harmless),
    parameter("log_temp_files", Kind::Integer(-1, 2147483647, Unit::Kilobytes), "-1", Use::Harmless),
    parameter("log_transaction_sample_rate", Kind::Real(0.0, 1.0, Unit::None), "0", Use::Harmless),
    parameter("logical_decoding_work_mem", Kind::Integer(64, 2147483647, Unit::Kilobytes), "65536", Use::Harmless),
    parameter("maintenance_io_concurrency", Kind::Integer(0, 1000, Unit::None), "10", Use::Harmless),
    parameter("maintenance_work_mem", Kind::Integer(1024, 2147483647, Unit::Kilobytes), "65536", Use::Harmless),
    parameter("max_function_args", Kind::Integer(100, 100, Unit::None), "100", Use::Internal),
    parameter("max_identifier_length", Kind::Integer(63, 63, Unit::None), "63", Use::Internal),
    parameter("max_index_keys", Kind::Integer(32, 32, Unit::None), "32", Use::Internal),
    parameter("max_parallel_maintenance_workers", Kind::Integer(0, 1024, Unit::None), "2", Use::Harmless),
    parameter("max_parallel_workers", Kind::Integer(0, 1024, Unit::None), "8", Use::Harmless),
    parameter("max_parallel_workers_per_gather", Kind::Integer(0, 1024, Unit::None), "2", Use::Harmless),
    parameter("max_stack_depth", Kind::Integer(100, 2147483647, Unit::Kilobytes), "2048", Use::Harmless),
    parameter("min_parallel_index_scan_size", Kind::Integer(0, 715827882, Unit::Blocks), "64", Use::Harmless),
    parameter("min_parallel_table_scan_size", Kind::Integer(0, 715827882, Unit::Blocks), "1024", Use::Harmless),
    parameter("parallel_leader_participation", Kind::Bool, "on", Use::Harmless),
    parameter("parallel_setup_cost", Kind::Real(0.0, f64::MAX, Unit::None), "1000", Use::Harmless),
    parameter("parallel_tuple_cost", Kind::Real(0.0, f64::MAX, Unit::None), "0.1", Use::Harmless),
    parameter("password_encryption", Kind::Choice(&["md5", "scram-sha-256"]), "scram-sha-256", Use::Fixed),
    parameter("plan_cache_mode", Kind::Choice(&["auto", "force_generic_plan", "force_custom_plan"]), "auto", Use::Harmless),
    parameter("quote_all_identifiers", Kind::Bool, "off", Use::Fixed),
    parameter("random_page_cost", Kind::Real(0.0, f64::MAX, Unit::None), "4", Use::Harmless),
    parameter("recursive_worktable_factor", Kind::Real(0.001, 1e+06, Unit::None), "10", Use::Harmless),
    parameter("row_security", Kind::Bool, "on", Use::Harmless),
    parameter("search_path", Kind::Text, "\"$user\", public", Use::Effective),
    parameter("seq_page_cost", Kind::Real(0.0, f64::MAX, Unit::None), "1", Use::Harmless),
    parameter("server_encoding", Kind::Text, "UTF8", Use::Internal),
    parameter("server_version", Kind::Text, "15.0 (dataman)", Use::Internal),
    parameter("server_version_num", Kind::Integer(150020, 150020, Unit::None), "150000", Use::Internal),
    parameter("session_preload_libraries", Kind::Text, "", Use::Fixed),
    parameter("session_replication_role", Kind::Choice(&["origin", "replica", "local"]), "origin", Use::Fixed),
    parameter("standard_conforming_strings", Kind::Bool, "on", Use::Fixed),
    parameter("statement_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Effective),
    parameter("stats_fetch_consistency", Kind::Choice(&["none", "cache", "snapshot"]), "cache", Use::Harmless),
    parameter("synchronize_seqscans", Kind::Bool, "on", Use::Harmless),
    parameter("synchronous_commit", Kind::Choice(&["local", "remote_write", "remote_apply", "on", "off"]), "on", Use::Harmless),
    parameter("tcp_keepalives_count", Kind::Integer(0, 2147483647, Unit::None), "0", Use::Harmless),
    parameter("tcp_keepalives_idle", Kind::Integer(0, 2147483647, Unit::Seconds), "0", Use::Harmless),
    parameter("tcp_keepalives_interval", Kind::Integer(0, 2147483647, Unit::Seconds), "0", Use::Harmless),
    parameter("tcp_user_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "0", Use::Harmless),
    parameter("temp_buffers", Kind::Integer(100, 1073741823, Unit::Blocks), "1024", Use::Harmless),
    parameter("temp_file_limit", Kind::Integer(-1, 2147483647, Unit::Kilobytes), "-1", Use::Harmless),
    parameter("temp_tablespaces", Kind::Text, "", Use::Fixed),
    parameter("TimeZone", Kind::Text, "UTC", Use::Effective),
    parameter("timezone_abbreviations", Kind::Text, "Default", Use::Fixed),
    parameter("trace_notify", Kind::Bool, "off", Use::Harmless),
    parameter("trace_sort", Kind::Bool, "off", Use::Harmless),
    parameter("track_activities", Kind::Bool, "on", Use::Harmless),
    parameter("track_counts", Kind::Bool, "on", Use::Harmless),
    parameter("track_functions", Kind::Choice(&["none", "pl", "all"]), "none", Use::Harmless),
    parameter("track_io_timing", Kind::Bool, "off", Use::Harmless),
    parameter("track_wal_io_timing", Kind::Bool, "off", Use::Harmless),
    parameter("transaction_deferrable", Kind::Bool, "off", Use::Effective),
    parameter("transaction_isolation", Kind::Choice(&["serializable", "repeatable read", "read committed", "read uncommitted"]), "read committed", Use::Effective),
    parameter("transaction_read_only", Kind::Bool, "off", Use::Effective),
    parameter("transform_null_equals", Kind::Bool, "off", Use::Fixed),
    parameter("update_process_title", Kind::Bool, "on", Use::Harmless),
    parameter("vacuum_cost_delay", Kind::Real(0.0, 100.0, Unit::Milliseconds), "0", Use::Harmless),
    parameter("vacuum_cost_limit", Kind::Integer(1, 10000, Unit::None), "200", Use::Harmless),
    parameter("vacuum_cost_page_dirty", Kind::Integer(0, 10000, Unit::None), "20", Use::Harmless),
    parameter("vacuum_cost_page_hit", Kind::Integer(0, 10000, Unit::None), "1", Use::Harmless),
    parameter("vacuum_cost_page_miss", Kind::Integer(0, 10000, Unit::None), "2", Use::Harmless),
    parameter("vacuum_failsafe_age", Kind::Integer(0, 2100000000, Unit::None), "1600000000", Use::Harmless),
    parameter("vacuum_freeze_min_age", Kind::Integer(0, 1000000000, Unit::None), "50000000", Use::Harmless),
    parameter("vacuum_freeze_table_age", Kind::Integer(0, 2000000000, Unit::None), "150000000", Use::Harmless),
    parameter("vacuum_multixact_failsafe_age", Kind::Integer(0, 2100000000, Unit::None), "1600000000", Use::Harmless),
    parameter("vacuum_multixact_freeze_min_age", Kind::Integer(0, 1000000000, Unit::None), "5000000", Use::Harmless),
    parameter("vacuum_multixact_freeze_table_age", Kind::Integer(0, 2000000000, Unit::None), "150000000", Use::Harmless),
    parameter("wal_compression", Kind::Choice(&["pglz", "lz4", "zstd", "on", "off"]), "off", Use::Harmless),
    parameter("wal_consistency_checking", Kind::Text, "", Use::Harmless),
    parameter("wal_init_zero", Kind::Bool, "on", Use::Harmless),
    parameter("wal_recycle", Kind::Bool, "on", Use::Harmless),
    parameter("wal_sender_timeout", Kind::Integer(0, 2147483647, Unit::Milliseconds), "60000", Use::Harmless),
    parameter("wal_skip_threshold", Kind::Integer(0, 2147483647, Unit::Kilobytes), "2048", Use::Harmless),
    parameter("work_mem", Kind::Integer(64, 2147483647, Unit::Kilobytes), "4096", Use::Harmless),
    parameter("xmlbinary", Kind::Choice(&["base64", "hex"]), "base64", Use::Fixed),
    parameter("xmloption", Kind::Choice(&["content", "document"]), "content", Use::Fixed),
    parameter("zero_damaged_pages", Kind::Bool, "off", Use::Fixed),
];

/// PostgreSQL's parameters that are read when the server starts.
#[rustfmt::skip]
const SERVER_START: &[&str] = &[
    "archive_mode", "autovacuum_freeze_max_age", "autovacuum_max_workers",
    "autovacuum_multixact_freeze_max_age", "bonjour", "bonjour_name", "cluster_name", "config_file",
    "data_directory", "data_sync_retry", "dynamic_shared_memory_type", "event_source", "external_pid_file",
    "hba_file", "hot_standby", "huge_page_size", "huge_pages", "ident_file", "ignore_invalid_pages",
    "jit_provider", "listen_addresses", "logging_collector", "max_connections", "max_files_per_process",
    "max_locks_per_transaction", "max_logical_replication_workers", "max_pred_locks_per_transaction",
    "max_prepared_transactions", "max_replication_slots", "max_wal_senders", "max_worker_processes",
    "min_dynamic_shared_memory", "old_snapshot_threshold", "port", "recovery_target",
    "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name",
    "recovery_target_time", "recovery_target_timeline", "recovery_target_xid", "shared_buffers",
    "shared_memory_type", "shared_preload_libraries", "superuser_reserved_connections",
    "track_activity_query_size", "track_commit_timestamp", "unix_socket_directories", "unix_socket_group",
    "unix_socket_permissions", "wal_buffers", "wal_decode_buffer_size", "wal_level", "wal_log_hints",
];

/// PostgreSQL's parameters that only its configuration file sets, or nobody.
#[rustfmt::skip]
const SERVER_FILE: &[&str] = &[
    "archive_cleanup_command", "archive_command", "archive_library", "archive_timeout",
    "authentication_timeout", "autovacuum", "autovacuum_analyze_scale_factor", "autovacuum_analyze_threshold",
    "autovacuum_naptime", "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_insert_scale_factor", "autovacuum_vacuum_insert_threshold",
    "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold", "autovacuum_work_mem", "bgwriter_delay",
    "bgwriter_flush_after", "bgwriter_lru_maxpages", "bgwriter_lru_multiplier",
    "checkpoint_completion_target", "checkpoint_flush_after", "checkpoint_timeout", "checkpoint_warning",
    "data_checksums", "data_directory_mode", "db_user_namespace", "debug_assertions", "fsync",
    "full_page_writes", "hot_standby_feedback", "krb_caseins_users", "krb_server_keyfile",
    "log_autovacuum_min_duration", "log_checkpoints", "log_destination", "log_directory", "log_file_mode",
    "log_filename", "log_hostname", "log_line_prefix", "log_recovery_conflict_waits", "log_rotation_age",
    "log_rotation_size", "log_startup_progress_interval", "log_timezone", "log_truncate_on_rotation",
    "max_pred_locks_per_page", "max_pred_locks_per_relation", "max_slot_wal_keep_size",
    "max_standby_archive_delay", "max_standby_streaming_delay", "max_sync_workers_per_subscription",
    "max_wal_size", "min_wal_size", "pre_auth_delay", "primary_conninfo", "primary_slot_name",
    "promote_trigger_file", "recovery_end_command", "recovery_init_sync_method", "recovery_min_apply_delay",
    "recovery_prefetch", "remove_temp_files_after_crash", "restart_after_crash", "restore_command",
    "segment_size", "shared_memory_size", "shared_memory_size_in_huge_pages", "ssl", "ssl_ca_file",
    "ssl_cert_file", "ssl_ciphers", "ssl_crl_dir", "ssl_crl_file", "ssl_dh_params_file", "ssl_ecdh_curve",
    "ssl_key_file", "ssl_library", "ssl_max_protocol_version", "ssl_min_protocol_version",
    "ssl_passphrase_command", "ssl_passphrase_command_supports_reload", "ssl_prefer_server_ciphers",
    "synchronous_standby_names", "syslog_facility", "syslog_ident", "syslog_sequence_numbers",
    "syslog_split_messages", "trace_recovery_messages", "vacuum_defer_cleanup_age", "wal_block_size",
    "wal_keep_size", "wal_receiver_create_temp_slot", "wal_receiver_status_interval", "wal_receiver_timeout",
    "wal_retrieve_retry_interval", "wal_segment_size", "wal_sync_method", "wal_writer_delay",
    "wal_writer_flush_after",
];

/// PostgreSQL's parameters that are read when a connection starts.
#[rustfmt::skip]
const SESSION_START: &[&str] = &[
    "ignore_system_indexes", "jit_debugging_support", "jit_profiling_support", "log_connections",
    "log_disconnections", "post_auth_delay",
];
