//! `[failover]`: when a replica is promoted, and within which limits.

use std::path::PathBuf;
use std::time::Duration;

use super::kind::{choice, duration, path, text};
use super::options::{Settable, options};

/// Who decides that a replica is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailoverMode {
    /// dauphin, when the primary is lost.
    Automatic,
    /// An operator, by FAILOVER and SWITCHOVER.
    Manual,
}

options! {
    /// When a replica is promoted, and within which limits.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Failover {
        /// "automatic": dauphin promotes a replica when the primary is lost; "manual": only when told to.
        mode: FailoverMode = choice([
            ("automatic", FailoverMode::Automatic),
            ("manual", FailoverMode::Manual),
        ]).or("automatic");
        /// For how long nobody must have heard from a primary that hangs or is cut off before it is deposed.
        hang_timeout: Duration = duration("500ms", "5m").or("2s");
        /// For how long a primary that says it is shutting down is waited for.
        leaving_timeout: Duration = duration("0s", "5m").or("1s");
        /// For how long commits may wait for replicas that have lost the primary before it is deposed.
        isolated_timeout: Duration = duration("1s", "1h").or("10s");
        /// For how long a write of dauphin's own must have waited for room on a full disk before the primary is deposed.
        write_timeout: Duration = duration("1s", "1h").or("5s");
        /// How long the chosen replica may take to apply what it has received.
        apply_timeout: Duration = duration("100ms", "1h").or("30s");
        /// How long a switchover waits for open transactions before it gives up.
        drain_timeout: Duration = duration("0s", "1h").or("5s");
        /// For how long after a failover none is begun without being asked for.
        quiet_time: Duration = duration("0s", "1d").or("60s");
        /// How often a new primary gives its replicas a sign of life: the sooner they miss it.
        heartbeat: Duration = duration("50ms", "1m").or("200ms");
        /// A program that cuts off a deposed primary by other means; its arguments are the server's name and address.
        fence_command: Option<String> = text(4_096).optional();
        /// Where dauphin keeps what must outlive it: the epoch, who is primary, how far a failover has come; the events are beside it, in two files of 4 MiB at most.
        state_file: PathBuf = path().or("/var/lib/dauphin/state.json");
    }
}
