//! `[monitor]`: how often the servers are asked how they are.

use std::time::Duration;

use super::address::ServerAddress;
use super::kind::{ServerAddresses, count, duration, duration_or_off, size};
use super::options::{Settable, options};

options! {
    /// How often the servers are asked how they are.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Monitor {
        /// How often each server is asked how it is.
        interval: Duration = duration("10ms", "1m").or("200ms");
        /// How long a server may take to answer.
        timeout: Duration = duration("10ms", "1m").or("1s");
        /// How long to wait before connecting again to a server that was lost. One that refuses the account, or whose TLS does not
        /// fit, is tried ever less often, every 10 s at last.
        reconnect: Duration = duration("10ms", "1m").or("100ms");
        /// How often the time is written to dauphin.heartbeat on the primary, if the account may: shows that it can write.
        heartbeat: Option<Duration> = duration_or_off("50ms", "1m").or("500ms");
        /// How often the servers are asked for others that they replicate from or to; each takes part as if it were listed, 32 of them at most.
        discover: Option<Duration> = duration_or_off("100ms", "1h").or("2s");
        /// Servers that are not to take part when they are found: their addresses, as replication has them.
        discover_except: Vec<ServerAddress> = ServerAddresses.or(toml::Value::Array(Vec::new()));
        /// How often each server is asked whether its stored code has changed.
        code_interval: Duration = duration("100ms", "1d").or("10s");
        /// The most routines, views and triggers whose sources are read; with more, nothing is known of any.
        code_entries: usize = count(0, 1_000_000).or(10_000);
        /// The most memory that their sources may take; with more, nothing is known of any.
        code_size: usize = size("1KiB", "15MiB").or("8MiB");
    }
}
