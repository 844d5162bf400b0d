//! The questions: one server's role, version, replication threads, GTIDs and semi-synchronous replication.

mod group;

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::grants::Grants;
use crate::{
    backend::{
        Own,
        connect::{ConnectError, ServerError},
        own::{AskError, OwnConnection},
    },
    topology::{
        Flavour, Gtids,
        dialect::{self, SemiSyncWords},
        flavour::Version,
        report::{Problem, Receiver, Refusal, Replication, Report, SemiSync},
    },
};

/// The largest timeout that semi-synchronous replication knows, 4294967295 ms, is "for ever": seven weeks.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);

/// What is remembered of a server from one question to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// What the connection does not change: asked once.
    known: Option<Known>,
    /// What it would be good to read and the account may not, each with what mends it: not said yet.
    lacking: Vec<Lacking>,
    /// MariaDB does not say when it last heard from its source, only how often: when that last changed.
    signs_of_life: Option<(String, Instant)>,
    /// Where there is no heartbeat to be read, when that is tried again.
    no_heartbeat_until: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Known {
    version: Version,
    /// dauphin's account there.
    account: String,
    /// Privileges that changing roles takes and the account does not have.
    lacks: Vec<&'static str>,
    lacking: Vec<Lacking>,
    /// MySQL: whether the account may read performance_schema.
    reads_performance_schema: bool,
}

/// A privilege that dauphin can do without, if need be.
#[derive(Debug, Clone)]
pub struct Lacking {
    /// What is done without it.
    pub without: &'static str,
    /// The statement that grants it.
    pub remedy: String,
}

impl Memory {
    /// What is lacking, as far as it has not been said.
    pub fn take_lacking(&mut self) -> Vec<Lacking> {
        std::mem::take(&mut self.lacking)
    }

    /// Another connection may see other things: a server that was restarted may have another version.
    pub fn forget_connection(&mut self) {
        self.known = None;
    }
}

/// How long a server whose heartbeat cannot be read is not asked for it: there is no table yet, or no privilege.
const WITHOUT_HEARTBEAT: Duration = Duration::from_secs(10);

/// Asks everything; `heartbeat` is the question for dauphin's own, if it writes one. Not cancel safe: drop the connection.
///
/// # Errors
/// The server does not answer, or refuses a question.
pub async fn ask(
    connection: &mut OwnConnection,
    memory: &mut Memory,
    heartbeat: Option<&str>,
) -> Result<Report, Problem> {
    let known = match &memory.known {
        Some(known) => known.clone(),
        None => {
            let known = introduce(connection).await?;
            memory.lacking = known.lacking.clone();
            memory.known.insert(known).clone()
        }
    };
    let Known { version, account, lacks, reads_performance_schema, .. } = known;
    let flavour = version.flavour;
    let [uptime, semi_sync_status] = dialect::STATUS;
    let mut questions = vec![
        dialect::identity(flavour),
        dialect::SETTINGS,
        uptime,
        semi_sync_status,
        dialect::replication(&version),
    ];
    if reads_performance_schema {
        questions.extend([dialect::CONTACT, dialect::GROUP]);
    }
    let is_due = memory.no_heartbeat_until.is_none_or(|until| Instant::now() >= until);
    let heartbeat = heartbeat.filter(|_| is_due);
    questions.extend(heartbeat);
    let mut given = connection.ask_all(&questions).await;
    let beat = if heartbeat.is_some() && given.len() == questions.len() { given.pop() } else { None };
    let mut answers = Vec::new();
    for answer in given {
        answers.push(answer.map_err(|error| problem(error, flavour).of_account(&account))?);
    }
    let heartbeat_us = match beat {
        Some(Ok(beat)) => beat.value("written_us").and_then(|us| us.parse().ok()),
        Some(Err(AskError::Refused(_))) => {
            memory.no_heartbeat_until = Some(Instant::now() + WITHOUT_HEARTBEAT);
            None
        }
        Some(Err(error)) => return Err(problem(error, flavour)),
        None => None,
    };
    let identity = answers[0].value("identity").unwrap_or_default();
    let text = |name: &str| answers[0].value(name).unwrap_or_default();
    let settings = Pairs::new(&[&answers[1], &answers[2], &answers[3]]);
    let gtids = |name: &str| {
        Gtids::parse(flavour, &text(name))
            .ok_or_else(|| refused(format!("its GTIDs cannot be read: {}", text(name))))
    };
    let mut replication = replication(&version, &answers[4])?;
    if let Some(replication) = &mut replication {
        match (flavour, answers.get(5)) {
            (Flavour::MySql, Some(contact)) => {
                let number = |name: &str| contact.value(name)?.parse::<f64>().ok();
                replication.silent_for = number("silent").map(|us| Duration::from_micros(us.max(0.0) as u64));
                replication.heartbeat = number("heartbeat").filter(|s| *s > 0.0).map(Duration::from_secs_f64);
            }
            (Flavour::MySql, None) => {}
            (Flavour::MariaDb, _) => {
                let signs = signs_of_life(&answers[4]);
                let now = Instant::now();
                let since = match &memory.signs_of_life {
                    Some((last, since)) if *last == signs => *since,
                    _ => memory.signs_of_life.insert((signs, now)).1,
                };
                replication.silent_for = Some(now.saturating_duration_since(since));
            }
        }
    }
    let read_only = settings.is_on("read_only");
    Ok(Report {
        group: group::member(&settings, answers.get(6), &identity),
        read_only,
        super_read_only: if flavour == Flavour::MySql {
            settings.is_on("super_read_only")
        } else {
            read_only
        },
        uptime: Duration::from_secs(settings.number("Uptime")),
        started: text("now").parse::<u64>().unwrap_or_default().saturating_sub(settings.number("Uptime")),
        executed: gtids("executed")?,
        purged: gtids("purged")?,
        position: text("position").replace('\n', ""),
        forgets_received: flavour == Flavour::MariaDb || settings.is_on("relay_log_recovery"),
        can_serve_replicas: settings.is_on("log_bin")
            && (settings.is_on("log_replica_updates") || settings.is_on("log_slave_updates")),
        semi_sync: semi_sync(&settings),
        max_connections: settings.number("max_connections"),
        identity,
        replication,
        heartbeat_us,
        account,
        lacks,
        version,
    })
}

/// What is asked once for each connection.
async fn introduce(connection: &mut OwnConnection) -> Result<Known, Problem> {
    let version = connection.ask("SELECT VERSION()").await.map_err(|error| problem(error, Flavour::MySql))?;
    let version = Version::parse(&String::from_utf8_lossy(version.first_value().unwrap_or_default()));
    let flavour = version.flavour;
    let grants = connection.ask("SHOW GRANTS").await.map_err(|error| problem(error, flavour))?;
    let grants = Grants::new(&grants);
    let account = grants.account().to_owned();
    let (question, table, without) = match flavour {
        Flavour::MySql => (
            dialect::CONTACT,
            "ON performance_schema.*",
            "it cannot see when a replica last heard from its source, nor replication groups, so that a primary that hangs may \
             be taken for a cut network",
        ),
        Flavour::MariaDb => (
            dialect::NATIVE_HASHES,
            "(User, plugin, authentication_string) ON mysql.user",
            "clients of mysql_native_password accounts are asked for the password itself",
        ),
    };
    let may_read = match connection.ask(question).await {
        Ok(_) => true,
        Err(AskError::Refused(_)) => false,
        Err(error) => return Err(problem(error, flavour)),
    };
    let remedy = || format!("run on the primary: GRANT SELECT {table} TO {account}");
    let lacking = (!may_read).then(|| Lacking { without, remedy: remedy() }).into_iter().collect();
    let reads_performance_schema = flavour == Flavour::MySql && may_read;
    Ok(Known { lacks: lacks(flavour, &grants), account, lacking, version, reads_performance_schema })
}

/// The privileges that the account needs and SHOW GRANTS does not list.
fn lacks(flavour: Flavour, grants: &Grants) -> Vec<&'static str> {
    let needed = dialect::privileges(flavour).iter().copied();
    needed.filter(|privilege| !grants.include(privilege, "*.*")).collect()
}

/// Variables and counters by name, in lower case.
struct Pairs(HashMap<String, String>);

impl Pairs {
    fn new(answers: &[&Own]) -> Self {
        let text = |value: &Option<Vec<u8>>| {
            String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
        };
        let rows = answers.iter().flat_map(|answer| &answer.rows).filter(|row| row.len() == 2);
        Self(rows.map(|row| (text(&row[0]).to_lowercase(), text(&row[1]))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        // MariaDB 12 has NO_LOCK and NO_LOCK_NO_ADMIN for read_only: whatever is not off is on.
        self.get(name).is_some_and(|value| !matches!(value, "OFF" | "0" | ""))
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

fn semi_sync(settings: &Pairs) -> SemiSync {
    let (words, source, replica, count) = if settings.get("rpl_semi_sync_source_enabled").is_some() {
        (SemiSyncWords::SourceReplica, "source", "replica", "wait_for_replica_count")
    } else if settings.get("rpl_semi_sync_master_enabled").is_some() {
        (SemiSyncWords::MasterSlave, "master", "slave", "wait_for_slave_count")
    } else {
        return SemiSync::default();
    };
    let of_source = |name: &str| format!("rpl_semi_sync_{source}_{name}");
    let timeout = Duration::from_millis(settings.number(&of_source("timeout")));
    SemiSync {
        words,
        source_enabled: settings.is_on(&of_source("enabled")),
        source_active: settings.is_on(&of_source("status")),
        // MariaDB always waits for one.
        wait_for: settings.number(&of_source(count)).max(1) as u32,
        clients: settings.number(&of_source("clients")) as u32,
        timeout: (timeout < FOR_EVER).then_some(timeout),
        waiting_sessions: settings.number(&of_source("wait_sessions")),
        replica_enabled: settings.is_on(&format!("rpl_semi_sync_{replica}_enabled")),
    }
}

/// The channel with the empty name, or the only one.
fn replication(version: &Version, answer: &Own) -> Result<Option<Replication>, Problem> {
    let Some(row) = main_channel(answer) else { return Ok(None) };
    let value = |names: &[&str]| names.iter().find_map(|name| text(answer, row, name)).unwrap_or_default();
    let number = |names: &[&str]| value(names).parse::<u64>().ok();
    let received = match version.flavour {
        Flavour::MySql => value(&["Retrieved_Gtid_Set"]),
        Flavour::MariaDb => value(&["Gtid_IO_Pos"]),
    };
    let error = |number_name: &str, text_name: &str| {
        number(&[number_name])
            .filter(|number| *number != 0)
            .map(|number| (number as u32, value(&[text_name])))
    };
    let source = match version.flavour {
        Flavour::MySql => value(&["Source_UUID", "Master_UUID"]),
        Flavour::MariaDb => value(&["Master_Server_Id"]),
    };
    Ok(Some(Replication {
        source: if source == "0" { String::new() } else { source },
        source_address: (
            value(&["Source_Host", "Master_Host"]),
            number(&["Source_Port", "Master_Port"]).unwrap_or_default() as u16,
        ),
        tls: value(&["Source_SSL_Allowed", "Master_SSL_Allowed"]) == "Yes",
        receiver: match value(&["Replica_IO_Running", "Slave_IO_Running"]).as_str() {
            "Yes" => Receiver::Connected,
            "No" => Receiver::Stopped,
            // "Connecting", and MariaDB's "Preparing"
            _ => Receiver::Connecting,
        },
        receiver_error: error("Last_IO_Errno", "Last_IO_Error"),
        applying: value(&["Replica_SQL_Running", "Slave_SQL_Running"]) == "Yes",
        applier_error: error("Last_SQL_Errno", "Last_SQL_Error"),
        received: Gtids::parse(version.flavour, &received)
            .ok_or_else(|| refused(format!("its GTIDs cannot be read: {received}")))?,
        silent_for: None,
        heartbeat: value(&["Slave_heartbeat_period"])
            .parse::<f64>()
            .ok()
            .filter(|seconds| *seconds > 0.0)
            .map(Duration::from_secs_f64),
        delay: Duration::from_secs(number(&["SQL_Delay"]).unwrap_or_default()),
        seconds_behind: number(&["Seconds_Behind_Source", "Seconds_Behind_Master"]),
    }))
}

fn main_channel(answer: &Own) -> Option<usize> {
    let name = |row| text(answer, row, "Channel_Name").or_else(|| text(answer, row, "Connection_name"));
    let unnamed = (0..answer.rows.len()).find(|&row| name(row).is_none_or(|name| name.is_empty()));
    // A replication group's own channels say nothing of a source.
    let is_groups = |row| name(row).is_some_and(|name| name.starts_with("group_replication_"));
    unnamed.or((answer.rows.len() == 1 && !is_groups(0)).then_some(0))
}

/// The value of a column, as text; `None` if there is no such column.
pub(super) fn text(answer: &Own, row: usize, name: &str) -> Option<String> {
    let at = answer.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
    let value = answer.rows.get(row)?.get(at)?.as_deref().unwrap_or_default();
    Some(String::from_utf8_lossy(value).into_owned())
}

/// What changes on a MariaDB replica whenever it hears from its source.
fn signs_of_life(answer: &Own) -> String {
    let Some(row) = main_channel(answer) else { return String::new() };
    let names = ["Slave_received_heartbeats", "Master_Log_File", "Read_Master_Log_Pos", "Gtid_IO_Pos"];
    names.map(|name| text(answer, row, name).unwrap_or_default()).join(" ")
}

pub(super) fn problem(error: AskError, flavour: Flavour) -> Problem {
    match error {
        AskError::Lost(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Problem::Closed("the server closed the connection".to_owned())
        }
        AskError::Lost(error) => Problem::Gone(error.to_string()),
        AskError::Refused(error) => of_server(error, flavour),
    }
}

fn of_server(error: ServerError, flavour: Flavour) -> Problem {
    // ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR
    if matches!(error.code, 1227 | 1142) {
        let privilege = match flavour {
            Flavour::MySql => "REPLICATION CLIENT",
            Flavour::MariaDb => "REPLICA MONITOR",
        };
        let remedy = format!("run on the primary: GRANT {privilege} ON *.* TO <dauphin's account>");
        return Problem::MissingPrivilege { error: error.to_string(), remedy };
    }
    // ER_SERVER_SHUTDOWN
    if matches!(error.code, 1053) {
        return Problem::Closed(error.to_string());
    }
    refused(error.to_string())
}

/// By the account, or in answer to the question.
const fn refused(error: String) -> Problem {
    Problem::Refused { what: Refusal::Account, error }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        use std::io::ErrorKind;
        let refused = |what| Self::Refused { what, error: error.to_string() };
        match &error {
            _ if error.is_blocked() => refused(Refusal::Host),
            _ if error.is_of_tls() => refused(Refusal::Tls),
            ConnectError::Unreachable(cause)
                if matches!(
                    cause.kind(),
                    ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
                ) =>
            {
                Self::Silent(error.to_string())
            }
            ConnectError::Timeout => Self::Silent(error.to_string()),
            _ if error.is_unreachable() => Self::Gone(error.to_string()),
            _ => refused(Refusal::Account),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn answer(columns: &[&str], rows: &[&[&str]]) -> Own {
        Own {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| Some(value.as_bytes().to_vec())).collect())
                .collect(),
            ..Own::default()
        }
    }

    #[test]
    fn a_missing_privilege_is_named_with_the_statement_that_mends_it() {
        let error = ServerError { code: 1227, sqlstate: *b"42000", message: b"Access denied".to_vec() };
        assert!(of_server(error, Flavour::MariaDb).remedy().contains("GRANT REPLICA MONITOR ON *.*"));
    }

    #[test]
    fn what_the_account_lacks_for_a_failover_is_read_from_its_grants() {
        let grants = |lines: &[&str]| {
            let rows: Vec<Vec<&str>> = lines.iter().map(|line| vec![*line]).collect();
            let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
            answer(&["Grants"], &rows)
        };
        let all = grants(&["GRANT ALL PRIVILEGES ON *.* TO `d`@`%`"]);
        assert!(lacks(Flavour::MariaDb, &Grants::new(&all)).is_empty());
        let some = grants(&[
            "GRANT RELOAD, PROCESS, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `d`@`%`",
            "GRANT CONNECTION_ADMIN,REPLICATION_SLAVE_ADMIN ON *.* TO `d`@`%`",
            "GRANT SYSTEM_VARIABLES_ADMIN ON `x`.* TO `d`@`%`",
        ]);
        assert_eq!(lacks(Flavour::MySql, &Grants::new(&some)), ["SYSTEM_VARIABLES_ADMIN"]);
    }

    #[test]
    fn the_unnamed_channel_is_the_one_that_counts() {
        let columns = ["Channel_Name", "Source_UUID"];
        assert_eq!(main_channel(&answer(&columns, &[&["x", "1"], &["", "2"]])), Some(1));
        assert_eq!(main_channel(&answer(&columns, &[&["x", "1"], &["y", "2"]])), None);
        assert_eq!(main_channel(&answer(&columns, &[])), None);
        assert_eq!(main_channel(&answer(&columns, &[&["x", "1"]])), Some(0));
        assert_eq!(main_channel(&answer(&columns, &[&["group_replication_recovery", "1"]])), None);
    }
}
