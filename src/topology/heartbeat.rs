//! The heartbeat: a row on the primary in which a dauphin writes the time, and what is asked and made of it.
//!
//! Facts, tried on MySQL 9.7 and MariaDB 11.8: a server whose binary log has no room keeps every commit waiting, tries again
//! once a minute, and answers all else. MySQL says so in its error log when it begins to wait; MariaDB in the state of the
//! thread that waits.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Flavour;

/// Where it is written.
pub const TABLE: &str = "dauphin.heartbeat";
/// What that takes, on its database.
pub const PRIVILEGES: &str = "CREATE, SELECT, INSERT, UPDATE";

/// The heartbeat of one dauphin.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// What tells it from those of other dauphins: hexadecimal digits.
    pub dauphin: String,
    /// Its time.
    pub clock: Clock,
}

/// This machine's time of day at the start, and monotonic from then on: setting the clock does not look like lag.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    /// In microseconds since 1970.
    began_us: u64,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_us: since_1970.as_micros() as u64 }
    }

    /// A moment in microseconds since 1970.
    pub fn us(&self, moment: Instant) -> u64 {
        self.began_us + moment.saturating_duration_since(self.began).as_micros() as u64
    }

    /// For how long it had been `since_us` at `moment`; zero if that was later.
    pub fn since(&self, since_us: u64, moment: Instant) -> Duration {
        Duration::from_micros(self.us(moment).saturating_sub(since_us))
    }
}

impl Heartbeat {
    /// Makes the table, where it is missing.
    pub fn create() -> [String; 2] {
        [
            "CREATE DATABASE IF NOT EXISTS dauphin".to_owned(),
            format!(
                "CREATE TABLE IF NOT EXISTS {TABLE} (dauphin CHAR(16) CHARACTER SET ascii NOT NULL, \
                 server VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL, epoch BIGINT UNSIGNED NOT NULL, \
                 written_us BIGINT UNSIGNED NOT NULL COMMENT 'microseconds since 1970, by the clock of this dauphin', \
                 PRIMARY KEY (dauphin, server)) ENGINE = InnoDB"
            ),
        ]
    }

    /// Writes that it is `us` on `server`, in its term of this epoch. On a server that has become read-only it writes nothing,
    /// whatever the account may do there: MariaDB's READ_ONLY ADMIN and MySQL's CONNECTION_ADMIN pass `read_only`.
    pub fn write(&self, flavour: Flavour, server: &str, epoch: u64, us: u64) -> String {
        let (dauphin, server) = (&self.dauphin, server.replace('\\', "\\\\").replace('\'', "''"));
        let columns = "(dauphin, server, epoch, written_us)";
        let row = format!("'{dauphin}', '{server}', {epoch}, {us}");
        let or_else = format!("ON DUPLICATE KEY UPDATE epoch = {epoch}, written_us = {us}");
        match flavour {
            Flavour::MySql => {
                format!(
                    "INSERT INTO {TABLE} {columns} SELECT {row} FROM DUAL WHERE @@global.read_only = 0 {or_else}"
                )
            }
            // Not the same: where statements are logged as they are, one that writes nothing is logged, too.
            // 'OFF' is 0 up to MariaDB 11, where it is a number.
            Flavour::MariaDb => {
                format!(
                    "IF @@global.read_only = 'OFF' THEN INSERT INTO {TABLE} {columns} VALUES ({row}) {or_else}; END IF"
                )
            }
        }
    }

    /// Asks a server for the latest time that it has, in a column `written_us`; NULL if it has none.
    pub fn read(&self) -> String {
        format!("SELECT MAX(written_us) AS written_us FROM {TABLE} WHERE dauphin = '{}'", self.dauphin)
    }
}

/// Asks what the connection of this id waits for; no row if there is no such connection any more. `state` is the server's
/// word for it, `no_room` above zero if the server has been waiting for room on a disk, on MySQL since so long ago.
pub fn why_it_waits(flavour: Flavour, id: u32, since: Duration) -> String {
    let no_room = match flavour {
        // EE_DISK_FULL_WITH_RETRY_MSG
        Flavour::MySql => format!(
            "(SELECT COUNT(*) FROM performance_schema.error_log WHERE ERROR_CODE = 'MY-000035' \
             AND LOGGED >= NOW(6) - INTERVAL {} MICROSECOND)",
            since.as_micros()
        ),
        Flavour::MariaDb => {
            format!("(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = '{WAITS_FOR_ROOM}')")
        }
    };
    format!(
        "SELECT COALESCE(STATE, '') AS state, {no_room} AS no_room FROM information_schema.PROCESSLIST WHERE ID = {id}"
    )
}

/// MariaDB's state of a thread that finds the disk full.
const WAITS_FOR_ROOM: &str = "Waiting for someone to free space";

/// Whether a state of that kind is another session's lock: FLUSH TABLES WITH READ LOCK, a backup, LOCK TABLES.
pub fn is_lock(state: &str) -> bool {
    let state = state.to_ascii_lowercase();
    state.starts_with("waiting for") && state.contains("lock")
}

/// Why a server refused a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no table yet.
    NoTable,
    /// The account may not.
    NoPrivilege,
    /// A disk is full.
    NoRoom,
    /// It is read-only by now: in a switchover, or an operator's doing.
    ReadOnly,
    /// Something else, which says nothing of the server.
    Other,
}

impl Refusal {
    /// By the error's number.
    pub const fn of(code: u16) -> Self {
        match code {
            // ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE
            1049 | 1146 => Self::NoTable,
            // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
            // ER_SPECIFIC_ACCESS_DENIED_ERROR
            1044 | 1142 | 1143 | 1227 => Self::NoPrivilege,
            // EE_WRITE, ER_DISK_FULL, ER_ERROR_ON_WRITE, ER_RECORD_FILE_FULL
            3 | 1021 | 1026 | 1114 => Self::NoRoom,
            // ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE
            1290 | 1836 => Self::ReadOnly,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_from_where_it_began() {
        let clock = Clock::start();
        let then = clock.us(Instant::now());
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.since(then, Instant::now()), Duration::from_millis(1500));
        assert_eq!(clock.since(then + 9_000_000, Instant::now()), Duration::ZERO);
    }

    #[test]
    fn only_locks_are_locks() {
        // As MySQL 9.7 and MariaDB 11.8 call them.
        for state in [
            "Waiting for global read lock",
            "Waiting for commit lock",
            "Waiting for backup lock",
            "Waiting for table metadata lock",
        ] {
            assert!(is_lock(state), "{state}");
        }
        for state in ["waiting for handler commit", "Commit", "", WAITS_FOR_ROOM] {
            assert!(!is_lock(state), "{state}");
        }
    }

    #[test]
    fn a_name_stays_within_its_quotes() {
        let heartbeat = Heartbeat { dauphin: "ab".to_owned(), clock: Clock::start() };
        let write = heartbeat.write(Flavour::MariaDb, r"o'b\", 3, 5);
        assert!(write.contains(r"VALUES ('ab', 'o''b\\', 3, 5) ON DUPLICATE"), "{write}");
    }
}
