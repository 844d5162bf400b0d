//! `[limits]`: how much one session may ask dauphin to hold.

use std::time::Duration;

use super::kind::{count, duration, size};
use super::options::{Settable, options};

options! {
    /// How much one session may ask dauphin to hold.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Limits {
        /// The largest command accepted from a client; one of 16 MiB or more is streamed to the primary.
        max_command: usize = size("1KiB", "1GiB").or("1GiB");
        /// How long a client may send nothing more of a command that it has begun, or take nothing of an answer; longer if its
        /// session has set net_read_timeout or net_write_timeout higher.
        client_timeout: Duration = duration("10ms", "1d").or("60s");
        /// How much of a result is held for a slow client.
        result_buffer: usize = size("4KiB", "1GiB").or("256KiB");
        /// The most user variables of one session that dauphin keeps.
        user_variables: usize = count(0, 1_000_000).or(1_000);
        /// How much memory the kept state of one session may take.
        state_bytes: usize = size("1KiB", "1GiB").or("1MiB");
    }
}
