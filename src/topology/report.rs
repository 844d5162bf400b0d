//! What a server said of itself, and why one said nothing: values only.

use std::{fmt, time::Duration};

use super::{dialect::SemiSyncWords, flavour::Version, group::GroupMember, gtids::Gtids};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its version.
    pub version: Version,
    /// `@@server_uuid`; on MariaDB `@@server_id`.
    pub identity: String,
    /// `@@read_only`
    pub read_only: bool,
    /// `@@super_read_only`; on MariaDB the same as `read_only`.
    pub super_read_only: bool,
    /// For how long this incarnation has been running.
    pub uptime: Duration,
    /// When this incarnation began, by its own clock: seconds since 1970. One answer may say a second less than another.
    pub started: u64,
    /// What it has executed.
    pub executed: Gtids,
    /// `@@gtid_executed`, or MariaDB's `@@gtid_current_pos`, as a server reads it in a wait.
    pub position: String,
    /// What it has executed and cannot send any more: `@@gtid_purged`. Not known of MariaDB.
    pub purged: Gtids,
    /// Whether a restart makes it forget what it has received and not applied: MariaDB deletes its relay log then, MySQL with
    /// `relay_log_recovery` (tried on 11.8 and 9.7).
    pub forgets_received: bool,
    /// Whether others can replicate all that it has from it: `log_bin` and `log_replica_updates`.
    pub can_serve_replicas: bool,
    /// Its semi-synchronous replication.
    pub semi_sync: SemiSync,
    /// Its replication, if it replicates from somewhere.
    pub replication: Option<Replication>,
    /// Its place in a replication group, if it is a member of one or set up to be.
    pub group: Option<GroupMember>,
    /// How many clients it takes at most: `@@max_connections`.
    pub max_connections: u64,
    /// The latest heartbeat of this dauphin that it has, in microseconds since 1970.
    pub heartbeat_us: Option<u64>,
    /// dauphin's account there, as GRANT names it.
    pub account: String,
    /// Privileges that changing roles takes and dauphin's account does not have there.
    pub lacks: Vec<&'static str>,
}

impl Problem {
    /// The same, with the account's name in what mends it.
    pub fn of_account(mut self, account: &str) -> Self {
        if let Self::MissingPrivilege { remedy, .. } = &mut self {
            *remedy = remedy.replace("<dauphin's account>", account);
        }
        self
    }
}

impl Report {
    /// Whether this is the incarnation that began then, or may be: one answer may say a second less than another.
    pub const fn is_of(&self, started: u64) -> bool {
        self.started == started || self.started + 1 == started
    }

    /// Whether this is a later incarnation than the one that began then.
    pub const fn is_later_than(&self, started: u64) -> bool {
        self.started > started + 1
    }
}

/// Both halves of semi-synchronous replication on one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SemiSync {
    /// What the server calls its variables.
    pub words: SemiSyncWords,
    /// As a source it waits for acknowledgements.
    pub source_enabled: bool,
    /// It does so now; off after a timeout, until a replica has caught up.
    pub source_active: bool,
    /// For how many.
    pub wait_for: u32,
    /// How many replicas acknowledge.
    pub clients: u32,
    /// For how long it waits before it goes on without; `None` for weeks.
    pub timeout: Option<Duration>,
    /// Sessions that wait for an acknowledgement now.
    pub waiting_sessions: u64,
    /// As a replica it acknowledges.
    pub replica_enabled: bool,
}

/// A replica's replication: the channel with the empty name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// Its source's `@@server_uuid`, on MariaDB `@@server_id`; empty before the first contact.
    pub source: String,
    /// Where its source is, as it was told.
    pub source_address: (String, u16),
    /// Whether it replicates over TLS.
    pub tls: bool,
    /// The thread that receives.
    pub receiver: Receiver,
    /// The last error of receiving, if there is one now.
    pub receiver_error: Option<(u32, String)>,
    /// Whether it applies what it has received.
    pub applying: bool,
    /// Why it stopped applying, if by an error.
    pub applier_error: Option<(u32, String)>,
    /// What it has received in this incarnation: MySQL's `Retrieved_Gtid_Set`, MariaDB's `Gtid_IO_Pos`.
    pub received: Gtids,
    /// For how long it has heard nothing from its source; `None` where the server does not tell.
    pub silent_for: Option<Duration>,
    /// How often its source sends a sign of life when there is nothing else to send.
    pub heartbeat: Option<Duration>,
    /// How long it waits, by intention, before it applies.
    pub delay: Duration,
    /// The server's own coarse figure: whole seconds; `None` if it has none.
    pub seconds_behind: Option<u64>,
}

/// What a replica's receiving thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// It is connected to the source, as far as it knows.
    Connected,
    /// It tries to connect.
    Connecting,
    /// It does nothing.
    Stopped,
}

/// Why a server said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It has ended the connection in good order: it is going.
    Closed(String),
    /// Nobody listens there, or the connection was cut: the process is gone, or going.
    Gone(String),
    /// It does not answer in time: it hangs, or the network is cut.
    Silent(String),
    /// It answers, and refuses.
    Refused {
        /// What.
        what: Refusal,
        /// Why.
        error: String,
    },
    /// dauphin's account may not ask.
    MissingPrivilege {
        /// The server's words.
        error: String,
        /// The statement that mends it.
        remedy: String,
    },
    /// It says that it is a server which is known by another name already.
    Double(String),
}

/// What a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// dauphin's account, or its question.
    Account,
    /// Every connection from dauphin's host.
    Host,
    /// TLS as `[tls.server]` asks for it; or dauphin refuses the server's.
    Tls,
}

impl Refusal {
    /// In a few words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Account => "refuses dauphin's account",
            Self::Host => "blocks dauphin's host",
            Self::Tls => "its TLS is not what [tls.server] asks for",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Account => {
                "check [account] user and password; `dauphin grants` prints the statements that create it"
            }
            Self::Host => {
                "too many connections from here were broken off before they had logged in: find out why (often [tls.server], or \
                 health checks), then run there TRUNCATE TABLE performance_schema.host_cache, or mysqladmin flush-hosts"
            }
            Self::Tls => {
                "check [tls.server] mode and ca against the server's certificate; it is tried again every 10 s at last, for MySQL \
                 blocks a host that breaks off too many handshakes (max_connect_errors)"
            }
        }
    }
}

impl Problem {
    /// Whether it cannot be reached, in one way or the other.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Gone(_) | Self::Silent(_))
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Closed(_) | Self::Gone(_) | Self::Silent(_) => {
                "is the server up, and its address in `servers` right? dauphin keeps trying"
            }
            Self::Refused { what, .. } => what.remedy(),
            Self::MissingPrivilege { remedy, .. } => remedy,
            Self::Double(_) => {
                "list each server once, and give each a server_uuid (delete its auto.cnf) or server_id of its own"
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(cause) | Self::Gone(cause) | Self::Silent(cause) | Self::Double(cause) => {
                f.write_str(cause)
            }
            Self::Refused { error, .. } => f.write_str(error),
            Self::MissingPrivilege { error, .. } => write!(f, "dauphin's account lacks a privilege: {error}"),
        }
    }
}
