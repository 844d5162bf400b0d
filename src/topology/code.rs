//! The SQL that asks a server for its stored code.
//!
//! Facts: tried on MySQL 9.7 and MariaDB 11.8. The sources of routines take a privilege that reads nothing else; those of
//! views take SELECT and SHOW VIEW on them, those of triggers take TRIGGER. What may not be read is not in the answer, or
//! is empty there.

use super::Flavour;

/// A server's own schemas: what is in there is not an application's, and their views' names are many.
macro_rules! of_applications {
    ($column:literal) => {
        concat!(" AND ", $column, " NOT IN ('mysql','sys','information_schema','performance_schema')")
    };
}

/// One row for each kind of code: how many, how many bytes, and a number that is another one when any of them has changed.
/// The questions below ask for the same rows.
pub const SUMS: &[&str] = &[
    "SELECT COUNT(*), COALESCE(SUM(LENGTH(ROUTINE_DEFINITION)), 0), COALESCE(SUM(CRC32(CONCAT_WS('\\0', ROUTINE_SCHEMA, \
     ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_BODY, ROUTINE_DEFINITION, SQL_DATA_ACCESS, IS_DETERMINISTIC, SQL_MODE))), 0) FROM information_schema.ROUTINES",
    concat!(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(VIEW_DEFINITION)), 0), COALESCE(SUM(CRC32(CONCAT_WS('\\0', TABLE_SCHEMA, \
         TABLE_NAME, VIEW_DEFINITION))), 0) FROM information_schema.VIEWS WHERE VIEW_DEFINITION <> ''",
        of_applications!("TABLE_SCHEMA")
    ),
    concat!(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(ACTION_STATEMENT)), 0), COALESCE(SUM(CRC32(CONCAT_WS('\\0', TRIGGER_SCHEMA, \
         TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, SQL_MODE))), 0) FROM information_schema.TRIGGERS WHERE TRUE",
        of_applications!("TRIGGER_SCHEMA")
    ),
];

/// Routines: schema, name, type, language, body, SQL_DATA_ACCESS, IS_DETERMINISTIC, sql_mode.
pub const ROUTINES: &str = "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_BODY, ROUTINE_DEFINITION, \
     SQL_DATA_ACCESS, IS_DETERMINISTIC, SQL_MODE FROM information_schema.ROUTINES";

/// The parameters of routines: schema, name, type of the routine, and the parameter's name.
pub const PARAMETERS: &str = "SELECT SPECIFIC_SCHEMA, SPECIFIC_NAME, ROUTINE_TYPE, PARAMETER_NAME \
     FROM information_schema.PARAMETERS WHERE PARAMETER_NAME IS NOT NULL";

/// Views: schema, name, query.
pub const VIEWS: &str = concat!(
    "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE VIEW_DEFINITION <> ''",
    of_applications!("TABLE_SCHEMA")
);

/// Triggers: schema, table, body, sql_mode.
pub const TRIGGERS: &str = concat!(
    "SELECT TRIGGER_SCHEMA, EVENT_OBJECT_TABLE, ACTION_STATEMENT, SQL_MODE FROM information_schema.TRIGGERS WHERE TRUE",
    of_applications!("TRIGGER_SCHEMA")
);

/// What dauphin's account needs to see all routines: any of these in a line of SHOW GRANTS, each a privilege and where.
pub const fn shows_routines(flavour: Flavour) -> &'static [(&'static str, &'static str)] {
    match flavour {
        Flavour::MySql => &[("SHOW_ROUTINE", "*.*"), ("SELECT", "*.*")],
        Flavour::MariaDb => &[
            ("SHOW CREATE ROUTINE", "*.*"),
            ("SELECT", "`mysql`.`proc`"),
            ("SELECT", "`mysql`.*"),
            ("SELECT", "*.*"),
        ],
    }
}

/// The grants that show the routines, without the account.
pub const fn grants(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::MySql => &["SHOW_ROUTINE ON *.*"],
        // SHOW CREATE ROUTINE is there from MariaDB 11.3 on.
        Flavour::MariaDb => &["SELECT ON mysql.proc"],
    }
}
