//! `[pool]`: the connections to the servers, shared by the sessions.

use std::time::Duration;

use super::kind::{Choice, choice, count, duration};
use super::options::{Settable, options};

options! {
    /// The connections to the servers, shared by sessions of equal user, protocol options and connection attributes.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Pool {
        /// The most connections to one server.
        max_connections_per_server: usize = count(1, 100_000).or(500);
        /// The most connections to one server for one user.
        max_connections_per_user: usize = count(1, 100_000).or(500);
        /// How long a statement may wait for a connection before the client gets an error.
        wait_timeout: Duration = duration("0s", "1h").or("10s");
        /// The most statements that may wait for a connection to one server.
        max_waiting: usize = count(0, 1_000_000).or(10_000);
        /// How long an idle connection is kept.
        idle_timeout: Duration = duration("1s", "1d").or("5m");
        /// How old a connection may grow before it is closed at its next return.
        max_age: Duration = duration("1s", "30d").or("1h");
        /// How long connecting and logging in to a server may take.
        connect_timeout: Duration = duration("10ms", "5m").or("3s");
        /// How long a session keeps the connection of its last statement, whose row count or last insert id it may still ask for.
        linger: Duration = duration("0s", "1h").or("1s");
        /// The same where that statement left warnings or an error; beyond linger only as long as nobody waits for a connection.
        linger_warnings: Duration = duration("0s", "1h").or("5m");
        /// Whether what passes between sessions and servers is compressed, and how; a server that does not offer it is spoken
        /// to uncompressed, and one that takes nothing else compressed as it offers.
        compression: Compression = compression().or("off");
    }
}

/// How connections to a server are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Off,
    /// By zlib.
    Zlib,
    /// By zstd, which MariaDB does not offer.
    Zstd,
}

pub(super) fn compression() -> Choice<Compression> {
    choice([("off", Compression::Off), ("zlib", Compression::Zlib), ("zstd", Compression::Zstd)])
}
