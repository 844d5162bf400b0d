//! dauphin's own account on the servers: the SQL that creates it with the least privileges it needs.

use crate::topology::{
    Flavour, code, dialect,
    heartbeat::{PRIVILEGES, TABLE},
};

/// The statements, for the primary: they reach the replicas by replication. Without `failover` dauphin only watches.
pub fn statements(flavour: Flavour, user: &str, host: &str, failover: bool) -> String {
    let account = format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''"));
    let mut sql = format!(
        "-- dauphin's account: run this on the primary.\n\
         CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '<choose a password>';\n"
    );
    if failover {
        sql += "-- To see whether and how each server replicates, and to promote a replica when the primary is lost: stop and start\n\
                -- replication, set read_only and semi-synchronous replication, cut off a deposed primary's clients, and let a former\n\
                -- primary replicate with this account (`dauphin grants --watch-only` leaves all but the first out).\n";
        sql += &format!("GRANT {} ON *.* TO {account};\n", dialect::privileges(flavour).join(", "));
        sql += &format!(
            "-- To write the time to {TABLE} on the primary ([monitor] heartbeat): that shows that it can write, which a full disk keeps\n\
             -- it from while it answers all questions. Without this nothing is written.\n\
             GRANT {PRIVILEGES} ON dauphin.* TO {account};\n"
        );
    } else {
        sql += "-- To see whether and how each server replicates.\n";
        sql += &format!("GRANT {} ON *.* TO {account};\n", dialect::privileges(flavour)[0]);
    }
    sql += "-- Optional: to know what stored functions and procedures do. Without it each is taken to lock by GET_LOCK, so that a session\n\
            -- that has called one keeps its connection, and none runs on a replica.\n";
    for grant in code::grants(flavour) {
        sql += &format!("GRANT {grant} TO {account};\n");
    }
    sql += "-- Optional: to see functions in views, and GET_LOCK in triggers. These privileges do more than that, so limit them to the\n\
            -- schemas of applications that have such views or triggers, or leave them out.\n";
    sql += &format!("-- GRANT SELECT, SHOW VIEW, TRIGGER ON `<schema>`.* TO {account};\n");
    match flavour {
        Flavour::MySql => {
            sql += &format!(
                "-- To see when a replica last heard from its source: that is how a primary that hangs is told from a cut network.\n\
                 GRANT SELECT ON performance_schema.* TO {account};\n\
                 -- Only for Group Replication, which elects its own primary: so that SWITCHOVER can ask it to elect another.\n\
                 -- GRANT GROUP_REPLICATION_ADMIN ON *.* TO {account};\n\
                 -- Optional, only for accounts of mysql_native_password (MySQL 8.4 and before) whose clients know no other\n\
                 -- method: with it dauphin can check their answers without asking for the password itself. And for those of\n\
                 -- sha256_password whose clients use libmysqlclient without TLS: with it they are asked by that method.\n\
                 -- GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO {account};\n"
            );
        }
        Flavour::MariaDb => {
            sql += &format!(
                "-- (SLAVE MONITOR is called REPLICATION CLIENT before MariaDB 10.5.)\n\
                 -- So that mysql_native_password, which nearly all MariaDB accounts use, needs no exchange of the password itself.\n\
                 GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO {account};\n"
            );
        }
    }
    sql
}
