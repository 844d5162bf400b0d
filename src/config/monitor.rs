//! `[monitor]`: how often the servers are asked how they are.

use std::time::Duration;

use super::kind::{duration, duration_or_off};
use super::options::{Settable, options};

options! {
    /// How often the servers are asked how they are.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Monitor {
        /// How often each server is asked how it is.
        interval: Duration = duration("10ms", "1m").or("200ms");
        /// How long a server may take to answer.
        timeout: Duration = duration("10ms", "1m").or("1s");
        /// How long to wait before connecting again to a server that was lost.
        reconnect: Duration = duration("10ms", "1m").or("100ms");
        /// How often the time is written to dauphin.heartbeat on the primary, if the account may: shows that it can write.
        heartbeat: Option<Duration> = duration_or_off("50ms", "1m").or("500ms");
    }
}
