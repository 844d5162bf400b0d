//! dauphin's own account on the servers: the SQL that creates it with the least privileges it needs.

use crate::topology::Flavour;

/// The statements, for the primary: they reach the replicas by replication.
pub fn statements(flavour: Flavour, user: &str, host: &str) -> String {
    let account = format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''"));
    match flavour {
        Flavour::MySql => format!(
            "-- dauphin's account: run this on the primary.\n\
             CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '<choose a password>';\n\
             -- To see whether and how each server replicates (SHOW REPLICA STATUS).\n\
             GRANT REPLICATION CLIENT ON *.* TO {account};\n\
             -- Optional, only for accounts of mysql_native_password (MySQL 8.4 and before) whose clients know no other\n\
             -- method: with it dauphin can check their answers without asking for the password itself.\n\
             -- GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO {account};\n"
        ),
        Flavour::MariaDb => format!(
            "-- dauphin's account: run this on the primary.\n\
             CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '<choose a password>';\n\
             -- To see whether and how each server replicates (SHOW ALL SLAVES STATUS); before MariaDB 10.5: REPLICATION CLIENT.\n\
             GRANT REPLICA MONITOR ON *.* TO {account};\n\
             -- So that mysql_native_password, which nearly all MariaDB accounts use, needs no exchange of the password itself.\n\
             GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO {account};\n"
        ),
    }
}
