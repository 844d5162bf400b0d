//! One connection to a server, logged in, and what is known of it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dauphin_proto::command::Queries;
use tokio::{io::AsyncRead, time::Instant};

use super::{connect::ServerError, prepared::PreparedStatements, state::State};
use crate::net::{Buffer, Stream};

/// A logged-in connection. It has no clean-up of its own: dropping it closes the socket.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) input: Buffer,
    /// The connection's id on its server, as CONNECTION_ID() says.
    pub id: u32,
    /// What the connection has of the session state of whoever used it last.
    pub state: Arc<State>,
    /// The character sets that its login gave it, to go back to.
    pub charsets: Arc<Charsets>,
    /// The same of `sql_mode`, where a client's capabilities add to the server's default.
    pub sql_mode: Box<[u8]>,
    /// Set while it is lent as the primary's: what is bound to it may write there, whatever the server is by now.
    pub(super) writing: Option<Writing>,
    queries: Queries,
    /// What the server refuses everything with until the account's password is changed, on this connection: nothing that
    /// dauphin sets up is on it by then.
    pub(super) expired: Option<Box<ServerError>>,
    /// By which it can be cut while it is lent.
    pub(super) handle: Option<Arc<socket2::Socket>>,
    /// Whether a session has changed what the connection reports: it must be set right before the next statement.
    pub tracking_lost: bool,
    /// Whether a statement has left warnings or an error that the next one might not forget. On MariaDB, one that uses no
    /// table shows those before it as its own (seen on 11.8).
    pub warned: bool,
    /// What is prepared on it.
    pub prepared: PreparedStatements,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
}

/// `character_set_client`, `character_set_connection`, `character_set_results` and `collation_connection`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Charsets {
    /// The four values, in that order.
    pub values: [Box<[u8]>; 4],
}

impl Charsets {
    /// The variables' names, in the order of `values`.
    pub const NAMES: [&str; 4] =
        ["character_set_client", "character_set_connection", "character_set_results", "collation_connection"];

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Some(&self.values[at])
    }
}

/// One connection more that is lent for writes, as long as this lives.
#[derive(Debug)]
pub struct Writing(Arc<AtomicUsize>);

impl Writing {
    pub(super) fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connection {
    pub(super) fn new(stream: Stream, id: u32, queries: Queries) -> Self {
        let now = Instant::now();
        Self {
            stream,
            input: Buffer::default(),
            id,
            state: Arc::default(),
            charsets: Arc::default(),
            writing: None,
            queries,
            expired: None,
            handle: None,
            sql_mode: Box::default(),
            tracking_lost: false,
            warned: false,
            prepared: PreparedStatements::default(),
            opened: now,
            idle_since: now,
        }
    }

    /// What its queries look like.
    pub fn queries(&self) -> Queries {
        self.queries
    }

    /// COM_RESET_CONNECTION has been answered: of what was on it this is left.
    pub fn reset(&mut self, state: Arc<State>) {
        self.state = state;
        self.prepared = PreparedStatements::default();
        self.tracking_lost = false;
        self.warned = false;
    }

    /// Whether the server has closed the connection, or said something unasked (which it does before it closes).
    ///
    /// Costs a system call only if the socket has become readable since it was last read.
    pub fn is_stale(&mut self) -> bool {
        if !self.input.is_empty() {
            return true;
        }
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut byte = [0];
        let mut free = tokio::io::ReadBuf::new(&mut byte);
        std::pin::Pin::new(&mut self.stream).poll_read(&mut context, &mut free).is_ready()
    }

    pub(super) async fn fill(&mut self, limit: usize) -> io::Result<usize> {
        self.input.fill(&mut self.stream, limit).await
    }
}
