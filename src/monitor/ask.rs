//! The questions: one server's role, version, replication threads and GTIDs.

use std::fmt;

use crate::{
    backend::{
        connect::{ConnectError, ServerError},
        own::{AskError, OwnConnection},
    },
    topology::{Flavour, flavour::Version},
};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its version.
    pub version: Version,
    /// `@@server_uuid`; on MariaDB `@@server_id`.
    pub identity: String,
    /// `@@read_only`
    pub read_only: bool,
    /// Its replication, if it replicates from somewhere.
    pub replication: Option<Replication>,
    /// `@@gtid_executed`, or MariaDB's `@@gtid_current_pos`.
    pub gtids: String,
}

/// The two halves of replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// Whether it receives, or is trying to.
    pub receiving: bool,
    /// Whether it applies what it has received.
    pub applying: bool,
}

/// Why a server said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be reached, or does not answer in time.
    Unreachable(String),
    /// It refuses dauphin's account or its question.
    Refused(String),
    /// dauphin's account may not ask.
    MissingPrivilege {
        /// The server's words.
        error: String,
        /// The statement that mends it.
        remedy: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) | Self::Refused(cause) => f.write_str(cause),
            Self::MissingPrivilege { error, .. } => write!(f, "dauphin's account lacks a privilege: {error}"),
        }
    }
}

impl Problem {
    /// What to do about it.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Unreachable(_) => {
                "is the server up, and its address in `servers` right? dauphin keeps trying"
            }
            Self::Refused(_) => {
                "check [account] user and password; `dauphin grants` prints the statements that create it"
            }
            Self::MissingPrivilege { remedy, .. } => remedy,
        }
    }

    fn of_server(error: ServerError, flavour: Flavour) -> Self {
        // ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR
        if matches!(error.code, 1227 | 1142) {
            let privilege = match flavour {
                Flavour::MySql => "REPLICATION CLIENT",
                Flavour::MariaDb => "REPLICA MONITOR",
            };
            let remedy = format!("run on the primary: GRANT {privilege} ON *.* TO <dauphin's account>");
            return Self::MissingPrivilege { error: error.to_string(), remedy };
        }
        Self::Refused(error.to_string())
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        if error.is_unreachable() {
            Self::Unreachable(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// Asks everything. Not cancel safe: drop the connection.
pub async fn ask(connection: &mut OwnConnection) -> Result<Report, Problem> {
    let version = connection.ask("SELECT VERSION()").await.map_err(|error| problem(error, Flavour::MySql))?;
    let version = Version::parse(&String::from_utf8_lossy(version.first_value().unwrap_or_default()));
    let flavour = version.flavour;
    let own = connection.ask(variables(flavour)).await.map_err(|error| problem(error, flavour))?;
    let value = |name: &str| own.value(name).unwrap_or_default();
    let replication = connection.ask(replication(&version)).await.map_err(|error| problem(error, flavour))?;
    let yes = |names: [&str; 2]| names.iter().find_map(|name| replication.value(name)).unwrap_or_default();
    let receiving = yes(["Replica_IO_Running", "Slave_IO_Running"]);
    let applying = yes(["Replica_SQL_Running", "Slave_SQL_Running"]);
    Ok(Report {
        identity: value("identity"),
        read_only: matches!(value("read_only").as_str(), "1" | "ON"),
        gtids: value("gtids"),
        replication: (!replication.rows.is_empty())
            .then(|| Replication { receiving: receiving != "No", applying: applying == "Yes" }),
        version,
    })
}

fn problem(error: AskError, flavour: Flavour) -> Problem {
    match error {
        AskError::Lost(error) => Problem::Unreachable(error.to_string()),
        AskError::Refused(error) => Problem::of_server(error, flavour),
    }
}

fn variables(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => {
            "SELECT @@global.server_uuid AS identity, @@global.read_only AS read_only, @@global.gtid_executed AS gtids"
        }
        Flavour::MariaDb => {
            "SELECT @@global.server_id AS identity, @@global.read_only AS read_only, @@global.gtid_current_pos AS gtids"
        }
    }
}

/// MySQL has the word REPLICA since 8.0.22, MariaDB since 10.5.
fn replication(version: &Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.number < 80022 => "SHOW SLAVE STATUS",
        Flavour::MySql => "SHOW REPLICA STATUS",
        Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_named_with_the_statement_that_mends_it() {
        let error = ServerError { code: 1227, sqlstate: *b"42000", message: b"Access denied".to_vec() };
        assert!(
            Problem::of_server(error, Flavour::MariaDb).remedy().contains("GRANT REPLICA MONITOR ON *.*")
        );
    }
}
