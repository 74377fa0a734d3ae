package catalog

import "strings"

// firstUserOID is FirstNormalObjectId: what is below came with initdb.
const firstUserOID = 16384

// builtinVerdict judges a function that came with initdb. Volatility is not
// enough either way: random() is volatile and harmless, txid_current() is stable
// and assigns a transaction id.
func builtinVerdict(f *Function) Reason {
	switch {
	case isServerLocal(f.Name):
		return ServerLocal
	case isDenied(f.Name):
		return UnsafeFunction
	case f.Kind == 'p':
		return UnsafeFunction
	case f.Volatile == 'v' && !isHarmless(f.Name):
		return UnsafeFunction
	}
	return Safe
}

// isHarmless names the volatile functions that do nothing but answer anew each
// time. A session that called setseed is pinned by proxy, so random is one.
func isHarmless(name string) bool {
	switch name {
	case "random", "random_normal", "array_sample", "array_shuffle",
		"gen_random_uuid", "uuidv4", "uuidv7",
		"clock_timestamp", "timeofday", "statement_timestamp",
		"pg_sleep", "pg_sleep_for", "pg_sleep_until",
		"bernoulli", "system", // TABLESAMPLE
		"pg_partition_tree", "pg_partition_ancestors":
		return true
	}
	return false
}

// isDenied names functions that are unsafe whatever their volatility says.
func isDenied(name string) bool {
	switch name {
	case "nextval", "currval", "lastval", "setval",
		"set_config", "setseed", "pg_notify", "pg_export_snapshot",
		"txid_current", "pg_current_xact_id",
		// These run SQL that they get as text, or read a relation by name.
		"ts_stat", "ts_rewrite",
		// These take a type by its OID or name and run its input function.
		"array_in", "array_recv", "record_in", "record_recv", "domain_in", "domain_recv",
		"range_in", "range_recv", "multirange_in", "multirange_recv",
		"pg_input_is_valid", "pg_input_error_info":
		return true
	}
	switch {
	case strings.HasPrefix(name, "pg_") && strings.Contains(name, "advisory"),
		strings.HasPrefix(name, "lo_"), name == "loread", name == "lowrite",
		strings.HasPrefix(name, "dblink"),
		strings.HasPrefix(name, "pg_read_"), strings.HasPrefix(name, "pg_ls_"),
		strings.HasPrefix(name, "binary_upgrade_"):
		return true
	}
	for _, prefix := range [...]string{"query_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "cursor_to_xml"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isServerLocal names functions whose answer is about the server, the connection
// or the session that they run in.
func isServerLocal(name string) bool {
	switch name {
	case "version", "current_setting", "show_all_settings", "pg_show_all_settings", "pg_settings_get_flags",
		"pg_backend_pid", "pg_cancel_backend", "pg_terminate_backend",
		"inet_server_addr", "inet_server_port", "inet_client_addr", "inet_client_port",
		"pg_is_in_recovery", "pg_promote", "pg_is_wal_replay_paused", "pg_get_wal_replay_pause_state",
		"pg_postmaster_start_time", "pg_conf_load_time", "pg_reload_conf", "pg_config", "pg_jit_available",
		"pg_current_snapshot", "pg_current_xact_id_if_assigned", "txid_current_snapshot", "txid_current_if_assigned",
		"pg_my_temp_schema", "pg_is_other_temp_schema", "pg_listening_channels", "pg_notification_queue_usage",
		"pg_trigger_depth", "pg_current_logfile", "pg_tablespace_location", "pg_tablespace_databases", "pg_numa_available",
		"pg_lock_status", "pg_blocking_pids", "pg_safe_snapshot_blocking_pids",
		"pg_prepared_statement", "pg_prepared_xact", "pg_cursor", "current_query",
		"pg_available_extensions", "pg_available_extension_versions", "pg_extension_update_paths",
		"pg_timezone_names", "pg_timezone_abbrevs", "pg_timezone_abbrevs_zone", "pg_timezone_abbrevs_abbrevs",
		"pg_last_committed_xact", "mxid_age", "pg_backup_start_time",
		"pg_walfile_name", "pg_walfile_name_offset", // an error on a standby
		"pg_database_size", "pg_tablespace_size", "pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size":
		return true
	}
	for _, prefix := range [...]string{
		"pg_stat_", "pg_last_wal_", "pg_last_xact_", "pg_current_wal_", "pg_control_", "pg_hba_", "pg_ident_",
		"pg_get_wal_", "pg_get_backend_", "pg_get_shmem_", "pg_get_replication_", "pg_get_aios", "pg_get_wait_", "pg_get_loaded_",
		"pg_show_", "pg_replication_origin_",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// builtinRelation judges a relation of pg_catalog: its tables are replicated but
// change with DDL, some of its views look into the server's memory or files.
func builtinRelation(name string) Reason {
	for _, prefix := range [...]string{
		"pg_stat_", "pg_statio_", "pg_locks", "pg_settings", "pg_prepared_", "pg_cursors",
		"pg_replication_", "pg_backend_", "pg_shmem_", "pg_hba_", "pg_ident_", "pg_file_", "pg_config",
		"pg_available_", "pg_timezone_", "pg_aios", "pg_wait_", "pg_dsm_",
	} {
		if strings.HasPrefix(name, prefix) {
			return ServerLocal
		}
	}
	return SystemCatalog
}

// harmlessExtension names extensions whose stable functions in C or in their own
// languages read nothing but their arguments and tables.
func harmlessExtension(name string) bool {
	switch name {
	case "citext", "hstore", "ltree", "pg_trgm", "unaccent", "intarray", "cube", "earthdistance", "fuzzystrmatch",
		"btree_gin", "btree_gist", "isn", "seg", "uuid-ossp", "pgcrypto", "postgis", "vector", "lo", "tcn", "bloom",
		"dict_int", "dict_xsyn", "intagg":
		return true
	}
	return false
}

// harmlessVolatile names the volatile functions of extensions that only answer
// anew each time.
func harmlessVolatile(extension, name string) bool {
	switch extension {
	case "uuid-ossp":
		return strings.HasPrefix(name, "uuid_generate_v")
	case "pgcrypto":
		return name == "gen_random_bytes" || name == "gen_random_uuid" || name == "gen_salt" ||
			strings.HasPrefix(name, "pgp_") && strings.Contains(name, "encrypt")
	case "tablefunc":
		return name == "normal_rand"
	}
	return false
}

// isGrammar says whether a word may stand before a parenthesis without naming a
// function of the catalog: PostgreSQL's grammar has it there. A function of that
// name, if there is one, is found first. TREAT is left out on purpose: it calls
// the function named like its type.
func isGrammar(word string) bool {
	switch word {
	case "all", "and", "any", "array", "as", "asc", "between", "by", "case", "check", "collate", "cross", "desc",
		"distinct", "else", "end", "except", "exists", "fetch", "filter", "for", "from", "full", "group", "having",
		"in", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "left", "like", "ilike", "limit", "natural",
		"not", "notnull", "null", "of", "offset", "on", "or", "order", "outer", "over", "overlaps", "partition",
		"returning", "right", "select", "set", "sets", "similar", "some", "symmetric", "table", "tablesample",
		"then", "to", "true", "false", "union", "unique", "using", "values", "when", "where", "window", "with", "within",
		"only", "materialized", "recursive", "search", "cycle", "ordinality", "rows", "range", "groups", "exclude",
		"analyze", "explain", "verbose", "escape", "zone", "default", "repeatable", "operator", "variadic":
		return true
	// Functions by grammar.
	case "cast", "coalesce", "greatest", "least", "nullif", "grouping", "cube", "rollup", "row", "extract", "overlay",
		"position", "substring", "trim", "normalize", "xmlconcat", "xmlelement", "xmlexists", "xmlforest",
		"xmlagg", "xmlattributes", "xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable", "xmlnamespaces",
		"json_object", "json_array", "json_objectagg", "json_arrayagg", "json_exists", "json_query", "json_value",
		"json_table", "json", "json_scalar", "json_serialize", "columns", "nested", "path", "passing", "merge_action":
		return true
	// Types by grammar.
	case "bit", "boolean", "char", "character", "dec", "decimal", "float", "int", "integer", "bigint", "smallint",
		"interval", "national", "nchar", "numeric", "precision", "real", "setof", "time", "timestamp", "varchar", "varying",
		"year", "month", "day", "hour", "minute", "second", "current_time", "current_timestamp", "localtime",
		"localtimestamp", "current_schema":
		return true
	}
	return false
}

// isImplied says whether a grammar construct uses the operator without its
// being in the text: IN, BETWEEN, LIKE, CASE, JOIN USING, DISTINCT and others.
func isImplied(operator string) bool {
	switch operator {
	case "=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~":
		return true
	}
	return false
}

// isNoOperator says whether a token of operator characters is grammar.
func isNoOperator(token string) bool {
	switch token {
	case "::", ":=", "=>", "..", ":", "*":
		return true
	}
	return false
}
