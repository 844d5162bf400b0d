//! The SQL that differs between MySQL and MariaDB, and between their versions: all of it that asks servers how they are,
//! and that changes what they are to each other.
//!
//! Facts: MySQL 8.0, 8.4 and 9 manuals, "Replication Statements"; MariaDB Knowledge Base, "Replication Commands"; tried on
//! MySQL 8.0.28, 8.0.46, 8.4 and 9.7, MariaDB 10.6, 10.11 and 11.8.

use std::time::Duration;

use super::{Flavour, flavour::Version, heartbeat};

/// MySQL's words for replication since 8.0.22: REPLICA and SOURCE.
const NEW_WORDS: u32 = 80022;
/// CHANGE REPLICATION SOURCE TO since 8.0.23.
const CHANGE_SOURCE: u32 = 80023;
/// group_replication_set_as_primary() with a timeout since 8.0.29.
const BOUNDED_ELECTION: u32 = 80029;

/// Which words a server's semi-synchronous plugins use for their variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SemiSyncWords {
    /// The plugins are not loaded.
    #[default]
    None,
    /// `rpl_semi_sync_source_…`, `rpl_semi_sync_replica_…`: MySQL since 8.0.26.
    SourceReplica,
    /// `rpl_semi_sync_master_…`, `rpl_semi_sync_slave_…`: MariaDB, and MySQL before.
    MasterSlave,
}

/// What a new or former primary's semi-synchronous replication is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// How many replicas acknowledge a commit.
    pub wait_for: u32,
    /// How long a commit waits for them.
    pub timeout: Duration,
}

/// Whom a replica is to follow.
#[derive(Clone, PartialEq, Eq)]
pub struct Follow {
    /// Where the source is, as the replica reaches it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// With what to log in there; `None` leaves what the replica has.
    pub login: Option<ReplicationLogin>,
    /// Whether it is to acknowledge commits.
    pub acknowledge: bool,
    /// How often the source is to give a sign of life.
    pub heartbeat: Duration,
    /// It was a primary: what it wrote itself counts as replicated.
    pub was_primary: bool,
}

/// A replication account.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplicationLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether over TLS.
    pub tls: bool,
}

impl std::fmt::Debug for ReplicationLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplicationLogin({})", self.user)
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Follow({}:{})", self.host, self.port)
    }
}

/// The variables that every server has. GTIDs are asked for here: SHOW VARIABLES cuts them off at 1024 characters.
pub const fn identity(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => {
            "SELECT @@global.server_uuid AS identity, @@global.gtid_executed AS executed, \
             @@global.gtid_executed AS position, @@global.gtid_purged AS purged, UNIX_TIMESTAMP() AS now"
        }
        Flavour::MariaDb => {
            "SELECT @@global.server_id AS identity, CONCAT_WS(',', NULLIF(@@global.gtid_binlog_state, ''), \
             NULLIF(@@global.gtid_slave_pos, '')) AS executed, @@global.gtid_current_pos AS position, '' AS purged, \
             UNIX_TIMESTAMP() AS now"
        }
    }
}

/// The variables that some servers have: a row for each that this one has.
pub const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'log_bin', \
     'log_replica_updates', 'log_slave_updates', 'max_connections', 'relay_log_recovery', \
     'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_timeout', 'rpl_semi_sync_source_wait_for_replica_count', \
     'rpl_semi_sync_replica_enabled', 'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_timeout', \
     'rpl_semi_sync_master_wait_for_slave_count', 'rpl_semi_sync_slave_enabled', 'group_replication_group_name', \
     'group_replication_single_primary_mode', 'group_replication_member_weight')";

/// The counters: a row for each that this one has. By LIKE, and in two questions: with WHERE MariaDB computes all counters,
/// some of which wait for commits that wait for an acknowledgement (seen on 11.8).
pub const STATUS: [&str; 2] =
    ["SHOW GLOBAL STATUS LIKE 'Uptime'", "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync%'"];

/// MariaDB: refused where the hashes of `mysql_native_password` accounts cannot be read.
pub const NATIVE_HASHES: &str = "SELECT User, plugin, authentication_string FROM mysql.user LIMIT 0";
/// MySQL: for how long the replica has heard nothing of its source, in microseconds, and how often it should.
pub const CONTACT: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, GREATEST(s.LAST_HEARTBEAT_TIMESTAMP, \
     s.LAST_QUEUED_TRANSACTION_END_QUEUE_TIMESTAMP, s.QUEUEING_TRANSACTION_START_QUEUE_TIMESTAMP), NOW(6)) AS silent, \
     c.HEARTBEAT_INTERVAL AS heartbeat FROM performance_schema.replication_connection_status s \
     JOIN performance_schema.replication_connection_configuration c USING (CHANNEL_NAME) WHERE CHANNEL_NAME = ''";

/// MySQL: the members of the replication group as the server sees them, and what it has received of them itself.
pub const GROUP: &str = "SELECT m.MEMBER_ID, m.MEMBER_STATE, m.MEMBER_ROLE, s.RECEIVED_TRANSACTION_SET \
     FROM performance_schema.replication_group_members m \
     LEFT JOIN performance_schema.replication_connection_status s ON s.CHANNEL_NAME = m.CHANNEL_NAME \
     WHERE m.MEMBER_ID <> ''";

/// Which replicas have registered with the server, and where they say they are: `--report-host`, empty by default, and
/// `--report-port`.
pub const fn replicas(version: &Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.number >= NEW_WORDS => "SHOW REPLICAS",
        Flavour::MySql | Flavour::MariaDb => "SHOW SLAVE HOSTS",
    }
}

/// From where replicas receive its binary log: by host, and on MySQL by identity too.
pub const fn receivers(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => {
            "SELECT DISTINCT v.VARIABLE_VALUE AS identity, t.PROCESSLIST_HOST AS host \
             FROM performance_schema.threads t JOIN performance_schema.user_variables_by_thread v USING (THREAD_ID) \
             WHERE t.PROCESSLIST_COMMAND LIKE 'Binlog Dump%' AND v.VARIABLE_NAME IN ('replica_uuid', 'slave_uuid')"
        }
        Flavour::MariaDb => {
            "SELECT '' AS identity, HOST AS host FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"
        }
    }
}

/// MySQL: where the members of the replication group say they are.
pub const MEMBERS: &str = "SELECT MEMBER_ID AS identity, MEMBER_HOST AS host, MEMBER_PORT AS port \
     FROM performance_schema.replication_group_members WHERE MEMBER_HOST <> ''";

/// How the server replicates: no row if it does not.
pub const fn replication(version: &Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.number < NEW_WORDS => "SHOW SLAVE STATUS",
        Flavour::MySql => "SHOW REPLICA STATUS",
        Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
    }
}

/// A lock that only one dauphin can have on a server; it goes with the connection. Its one value is 1 if it was got.
pub const CLAIM: &str = "SELECT GET_LOCK('dauphin.control', 0)";

/// The privileges that changing roles takes, as SHOW GRANTS names them.
pub const fn privileges(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::MySql => &[
            "REPLICATION CLIENT",
            "REPLICATION SLAVE",
            "RELOAD",
            "PROCESS",
            "REPLICATION_SLAVE_ADMIN",
            "SYSTEM_VARIABLES_ADMIN",
            "CONNECTION_ADMIN",
        ],
        Flavour::MariaDb => &[
            "SLAVE MONITOR",
            "REPLICATION SLAVE",
            "RELOAD",
            "PROCESS",
            "BINLOG MONITOR",
            "REPLICATION SLAVE ADMIN",
            "REPLICATION MASTER ADMIN",
            "READ_ONLY ADMIN",
            "CONNECTION ADMIN",
        ],
    }
}

impl Version {
    fn replica(&self) -> &'static str {
        match self.flavour {
            Flavour::MySql if self.number >= NEW_WORDS => "REPLICA",
            _ => "SLAVE",
        }
    }

    /// Stops receiving; what was received is kept and applied.
    ///
    /// MariaDB's receiver, when it has acknowledged, ends by connecting to its source once more, to end its connection
    /// there, and tries that for `rpl_semi_sync_slave_kill_conn_timeout`: 5 s by default, in whole seconds, and for ever
    /// with 0. Where the source hangs it is in vain.
    pub fn stop_receiving(&self) -> Vec<String> {
        let stop = format!("STOP {} IO_THREAD", self.replica());
        match self.flavour {
            Flavour::MySql => vec![stop],
            Flavour::MariaDb => vec![
                "SET @kill_timeout = @@global.rpl_semi_sync_slave_kill_conn_timeout".to_owned(),
                "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1".to_owned(),
                stop,
                "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = @kill_timeout".to_owned(),
            ],
        }
    }

    /// Receives again.
    pub fn start_receiving(&self) -> String {
        format!("START {} IO_THREAD", self.replica())
    }

    /// Starts receiving and applying.
    pub fn start_replication(&self) -> String {
        format!("START {}", self.replica())
    }

    /// Stops being a replica, for good. Still read-only.
    pub fn leave_source(&self) -> Vec<String> {
        vec![format!("STOP {}", self.replica()), format!("RESET {} ALL", self.replica())]
    }

    /// Has a replication group make the member of this identity its primary. The second argument, how long others' open
    /// transactions may take before they are ended, is known since 8.0.29; before, they are waited for.
    pub fn lead_group(&self, member: &str, at_most: Duration) -> String {
        let member = literal(member);
        if self.number < BOUNDED_ELECTION {
            return format!("SELECT group_replication_set_as_primary({member})");
        }
        format!("SELECT group_replication_set_as_primary({member}, {})", at_most.as_secs().max(1))
    }

    /// Takes writes. On MySQL this clears `super_read_only` too.
    pub const fn open(&self) -> &'static str {
        "SET GLOBAL read_only = OFF"
    }

    /// Takes no writes any more, once those that are being committed have been.
    pub fn close(&self, at_most: Duration) -> Vec<String> {
        let variable = match self.flavour {
            Flavour::MySql => "super_read_only",
            Flavour::MariaDb => "read_only",
        };
        let seconds = at_most.as_secs().max(1);
        vec![format!("SET SESSION lock_wait_timeout = {seconds}"), format!("SET GLOBAL {variable} = ON")]
    }

    /// Cuts off all clients, and refuses new ones: before anything else when a primary is deposed, as neither of the other
    /// steps may let a waiting commit be acknowledged. MariaDB has no such switch.
    pub const fn cut_clients(&self) -> Option<&'static str> {
        match self.flavour {
            Flavour::MySql => Some("SET GLOBAL offline_mode = ON"),
            Flavour::MariaDb => None,
        }
    }

    /// Undoes `cut_clients`.
    pub const fn admit_clients(&self) -> Option<&'static str> {
        match self.flavour {
            Flavour::MySql => Some("SET GLOBAL offline_mode = OFF"),
            Flavour::MariaDb => None,
        }
    }

    /// Finds the clients' connections, dauphin's own account `user` apart, but for a heartbeat that is being written.
    pub fn client_connections(&self, user: &str) -> String {
        let user = literal(user);
        format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER NOT IN ('system user', 'event_scheduler') \
             AND (USER <> {user} OR INFO LIKE '%INSERT INTO {}%') AND COMMAND NOT LIKE 'Binlog Dump%' AND COMMAND NOT LIKE 'Slave%' AND ID <> CONNECTION_ID()",
            heartbeat::TABLE
        )
    }

    /// The settings of semi-synchronous replication for a primary; `None` switches its half off.
    pub fn semi_sync_source(&self, words: SemiSyncWords, settings: Option<&SourceSettings>) -> Vec<String> {
        let (source, count) = match words {
            SemiSyncWords::None => return Vec::new(),
            SemiSyncWords::SourceReplica => ("source", Some("wait_for_replica_count")),
            SemiSyncWords::MasterSlave if self.flavour == Flavour::MySql => {
                ("master", Some("wait_for_slave_count"))
            }
            SemiSyncWords::MasterSlave => ("master", None),
        };
        let Some(settings) = settings else {
            return vec![format!("SET GLOBAL rpl_semi_sync_{source}_enabled = OFF")];
        };
        let mut statements = Vec::new();
        if let Some(count) = count {
            statements
                .push(format!("SET GLOBAL rpl_semi_sync_{source}_{count} = {}", settings.wait_for.max(1)));
        }
        let milliseconds = settings.timeout.as_millis().min(u128::from(u32::MAX));
        statements.push(format!("SET GLOBAL rpl_semi_sync_{source}_timeout = {milliseconds}"));
        statements.push(format!("SET GLOBAL rpl_semi_sync_{source}_enabled = ON"));
        statements
    }

    /// Whether a replica acknowledges; takes effect when it starts to receive.
    pub fn semi_sync_replica(&self, words: SemiSyncWords, enabled: bool) -> Vec<String> {
        let word = if enabled { "ON" } else { "OFF" };
        match words {
            SemiSyncWords::None => Vec::new(),
            SemiSyncWords::SourceReplica => {
                vec![format!("SET GLOBAL rpl_semi_sync_replica_enabled = {word}")]
            }
            SemiSyncWords::MasterSlave => vec![format!("SET GLOBAL rpl_semi_sync_slave_enabled = {word}")],
        }
    }

    /// How many clones are being put in place of the server's data; `None` where there is no such thing. Refused where the plugin
    /// is not installed. Meanwhile the server answers and has no schemas and no GTIDs (seen on MySQL 9.7).
    pub fn clones_under_way(&self) -> Option<&'static str> {
        const ASK: &str = "SELECT COUNT(*) FROM performance_schema.clone_status WHERE state = 'In Progress'";
        (self.flavour == Flavour::MySql).then_some(ASK)
    }

    /// Follows another source. The relay log is discarded: only for a server that has applied all it received, or whose
    /// rest the new source has.
    pub fn follow(&self, follow: &Follow) -> Vec<String> {
        let mut statements = vec![format!("STOP {}", self.replica())];
        let (host, port) = (literal(&follow.host), follow.port);
        let heartbeat = format!("{:.3}", follow.heartbeat.as_secs_f64());
        let login =
            follow.login.as_ref().map(|login| (literal(&login.user), literal(&login.password), login.tls));
        match self.flavour {
            Flavour::MySql => {
                let (change, source) = if self.number >= CHANGE_SOURCE {
                    ("CHANGE REPLICATION SOURCE TO", "SOURCE")
                } else {
                    ("CHANGE MASTER TO", "MASTER")
                };
                let mut change = format!(
                    "{change} {source}_HOST = {host}, {source}_PORT = {port}, {source}_AUTO_POSITION = 1, \
                     {source}_CONNECT_RETRY = 1, {source}_RETRY_COUNT = 86400, {source}_HEARTBEAT_PERIOD = {heartbeat}"
                );
                if let Some((user, password, tls)) = login {
                    change += &format!(
                        ", {source}_USER = {user}, {source}_PASSWORD = {password}, {source}_SSL = {}, GET_{source}_PUBLIC_KEY = 1",
                        u8::from(tls)
                    );
                }
                statements.push(change);
            }
            Flavour::MariaDb => {
                if follow.was_primary {
                    statements.push("SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos".to_owned());
                }
                let mut change = format!(
                    "CHANGE MASTER TO MASTER_HOST = {host}, MASTER_PORT = {port}, MASTER_USE_GTID = slave_pos, \
                     MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = {heartbeat}"
                );
                if let Some((user, password, tls)) = login {
                    change += &format!(
                        ", MASTER_USER = {user}, MASTER_PASSWORD = {password}, MASTER_SSL = {}, MASTER_SSL_VERIFY_SERVER_CERT = 0",
                        u8::from(tls)
                    );
                }
                statements.push(change);
            }
        }
        statements.push(self.start_replication());
        statements
    }
}

/// A string literal that means the same under every sql_mode that dauphin's own connections have.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
