//! What differs from server to server: tables and variables that tell of one server and not of the data.

use crate::sql::needs::Needs;
use crate::sql::statement::Statement;

impl Statement {
    /// Whether its answer tells of one server only because the session's default schema is what it is: a text does not
    /// show that `SELECT * FROM processlist` is about the server and not about a table of the application's.
    pub fn depends_on_server(&self, default_schema: &str) -> bool {
        let schema = default_schema.to_ascii_lowercase();
        self.tables.iter().any(|table| is_server_table(&schema, table))
    }
}

/// Whether a table tells of one server only; both names lower-cased.
pub(super) fn is_server_table(schema: &str, table: &str) -> bool {
    match schema {
        "information_schema" => !CATALOG_TABLES.contains(&table),
        "mysql" => SERVER_TABLES.contains(&table) || table.starts_with("innodb_"),
        _ => matches!(schema, "performance_schema" | "sys"),
    }
}

/// The tables of `information_schema` that show what replication carries. All others (`PROCESSLIST`, `INNODB_*`,
/// `GLOBAL_STATUS`, `PROFILING` ...) show one server; so do `EVENTS`, which replicas have
/// disabled, and `COLUMN_STATISTICS`: a replica makes no histograms while it is `super_read_only` (seen on MySQL 9.7).
const CATALOG_TABLES: [&str; 52] = [
    "administrable_role_authorizations",
    "applicable_roles",
    "character_sets",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_privileges",
    "columns",
    "columns_extensions",
    "enabled_roles",
    "engines",
    "geometry_columns",
    "json_duality_view_columns",
    "json_duality_view_links",
    "json_duality_view_tables",
    "json_duality_views",
    "key_column_usage",
    "key_period_usage",
    "keywords",
    "libraries",
    "parameters",
    "partitions",
    "periods",
    "referential_constraints",
    "resource_groups",
    "role_column_grants",
    "role_routine_grants",
    "role_table_grants",
    "routine_libraries",
    "routines",
    "schema_privileges",
    "schemata",
    "schemata_extensions",
    "sequences",
    "spatial_ref_sys",
    "sql_functions",
    "st_geometry_columns",
    "st_spatial_reference_systems",
    "st_units_of_measure",
    "statistics",
    "table_constraints",
    "table_constraints_extensions",
    "table_privileges",
    "tables",
    "tables_extensions",
    "tablespaces_extensions",
    "triggers",
    "user_attributes",
    "user_privileges",
    "view_routine_usage",
    "view_table_usage",
    "views",
];

/// The tables of `mysql` that each server writes for itself.
const SERVER_TABLES: [&str; 13] = [
    "column_stats",
    "event",
    "general_log",
    "gtid_executed",
    "gtid_slave_pos",
    "index_stats",
    "server_cost",
    "engine_cost",
    "slave_master_info",
    "slave_relay_log_info",
    "slave_worker_info",
    "slow_log",
    "table_stats",
];

/// What reading a system variable means.
pub(super) enum Variable {
    /// The session's own, or the same wherever it is asked, or asked to learn which server answers.
    Alike,
    /// It differs from server to server.
    Server,
    /// It is the session's, but lives where an earlier statement ran.
    Needs(Needs),
}

/// What reading `@@name` means; `is_global` if it is written `@@global.name`.
pub(super) fn variable(name: &str, is_global: bool) -> Variable {
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    if let Some((_, needs)) = FOLLOW_UPS.iter().find(|(known, _)| is(known)) {
        return Variable::Needs(*needs);
    }
    let starts =
        |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if WHICH_SERVER.iter().any(is) {
        Variable::Alike
    } else if is_global || SERVER_VARIABLES.iter().any(is) || SERVER_PREFIXES.iter().any(starts) {
        Variable::Server
    } else {
        Variable::Alike
    }
}

/// Whether `text` has in it the name of a variable that differs from server to server, or the beginning of one.
pub(super) fn mentions_server_variable(text: &[u8]) -> bool {
    let mentions =
        |name: &&str| text.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()));
    SERVER_VARIABLES.iter().any(mentions) || SERVER_PREFIXES.iter().any(mentions)
}

/// Whether a quoted pattern begins as the name of a status variable that counts nothing for a session.
pub(super) fn names_server_status(quoted: &[u8]) -> bool {
    let pattern = quoted.get(1..).unwrap_or_default();
    let begins = |prefix: &&str| {
        pattern.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    SERVER_STATUS.iter().any(begins)
}

/// MySQL manual, "Server Status Variables", and MariaDB's: those asked for by monitors and drivers.
const SERVER_STATUS: [&str; 9] =
    ["aborted_", "connections", "innodb_", "rpl_", "semi", "ssl_", "threads_", "uptime", "wsrep"];

const FOLLOW_UPS: [(&str, Needs); 5] = [
    ("warning_count", Needs::DIAGNOSTICS),
    ("error_count", Needs::DIAGNOSTICS),
    ("last_insert_id", Needs::LAST_INSERT_ID),
    ("identity", Needs::LAST_INSERT_ID),
    ("insert_id", Needs::LAST_INSERT_ID),
];

/// Asked so that people see which server answered: a replica may.
const WHICH_SERVER: [&str; 5] = ["hostname", "port", "report_host", "server_id", "server_uuid"];

/// Also where a server's files are: INTO OUTFILE and LOAD DATA are the primary's.
const SERVER_VARIABLES: [&str; 16] = [
    "datadir",
    "general_log_file",
    "innodb_read_only",
    "last_gtid",
    "log_bin",
    "log_error",
    "offline_mode",
    "pid_file",
    "pseudo_slave_mode",
    "pseudo_replica_mode",
    // The connection's number, which is looked up in what the primary shows.
    "pseudo_thread_id",
    "read_only",
    "secure_file_priv",
    "slow_query_log_file",
    "super_read_only",
    "tmpdir",
];

const SERVER_PREFIXES: [&str; 12] = [
    "binlog_gtid",
    "group_replication_",
    "gtid_",
    "log_bin_",
    "log_slave_",
    "log_replica_",
    "relay_log",
    "replica_",
    "replicate_",
    "rpl_",
    "slave_",
    "wsrep_",
];
