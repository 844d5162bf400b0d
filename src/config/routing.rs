//! `[routing]`: which server a statement goes to, and what happens when there is none.

use std::time::Duration;

use super::kind::{choice, count, duration, duration_or_off, flag};
use super::options::{Settable, options};

/// What a session's reads are promised; each promises more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// Nothing: a read may miss the session's own writes.
    Eventual,
    /// A session's reads see its own writes.
    Session,
    /// A session's reads see what any session of this dauphin wrote before.
    Global,
}

impl Consistency {
    /// The words for them in a config.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("eventual", Self::Eventual), ("session", Self::Session), ("global", Self::Global)];
}

/// Where reads go when every replica is too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// To the primary.
    Primary,
    /// To the replica that is least behind.
    Replica,
    /// Nowhere: the client gets an error.
    Error,
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
        /// "session": a session's reads see its own writes; "global": those of all sessions; "eventual": none for certain.
        consistency: Consistency = choice(Consistency::WORDS).or("session");
        /// How long a read may wait on a replica for the writes that it must see before it goes to the primary.
        causal_wait: Duration = duration("0s", "1m").or("100ms");
        /// How far a replica may be behind before it takes no new reads; it returns below half of that.
        max_replica_lag: Option<Duration> = duration_or_off("1ms", "7d").or("10s");
        /// Where a read goes when all replicas are further behind than they may: the "replica" is the nearest.
        when_stale: WhenStale = choice([
            ("primary", WhenStale::Primary),
            ("replica", WhenStale::Replica),
            ("error", WhenStale::Error),
        ]).or("primary");
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
