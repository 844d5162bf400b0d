//! `[routing]`: which server a statement goes to, and what happens when there is none.

use std::time::Duration;

use super::kind::{choice, count, duration, flag};
use super::options::{Settable, options};

/// What a session's reads are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing: a read may miss the session's own writes.
    Eventual,
    /// A session's reads see its own writes.
    Session,
}

/// Whether the primary serves reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryReads {
    /// Only when no replica can.
    Fallback,
    /// Its weight's share.
    Share,
}

options! {
    /// Which server a statement goes to, and what happens when there is none.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Routing {
        /// "session": a session's reads see its own writes; "eventual": they may not.
        consistency: Consistency = choice([
            ("eventual", Consistency::Eventual),
            ("session", Consistency::Session),
        ]).or("session");
        /// How long a read may wait on a replica for the session's own writes before it goes to the primary.
        causal_wait: Duration = duration("0s", "1m").or("100ms");
        /// How long a statement waits for a primary while there is none.
        hold_timeout: Duration = duration("0s", "10m").or("15s");
        /// The most statements that wait for a primary.
        hold_max: usize = count(0, 1_000_000).or(10_000);
        /// "fallback": the primary serves reads only when no replica can; "share": it takes its weight's share.
        primary_reads: PrimaryReads = choice([
            ("fallback", PrimaryReads::Fallback),
            ("share", PrimaryReads::Share),
        ]).or("fallback");
        /// Whether a read whose server was lost is sent again to another, if the client has seen nothing of it.
        retry_reads: bool = flag().or(true);
        /// How many digests of statements that a replica refused are remembered, to go to the primary at once.
        digest_memory: usize = count(0, 10_000_000).or(10_000);
    }
}
