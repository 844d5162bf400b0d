//! One server: where it is, how it is reached, its pool, and what every thread may know of it at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, futures::Notified};

use super::{
    account::Account,
    applied::Applied,
    back_off::BackOff,
    compression::Compression,
    connect::{self, ConnectError},
    connection::{Charsets, Writing},
    connection_attributes::AttributeSets,
    exchange::Lease,
    pool::{Acquired, Key, Pool, PoolError},
    profile::Profile,
    state::State,
    tls::Tls,
};
use crate::{
    config::{self, ServerAddress},
    fault::NoConnection,
    topology::gtid::{Position, Reach, Written},
};

/// A server's place in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub usize);

/// A MySQL or MariaDB server.
pub struct Server {
    /// Its place in the config.
    pub id: ServerId,
    /// What operators call it.
    pub name: String,
    /// Where it listens.
    pub address: ServerAddress,
    /// Its share of reads, against the others' weights.
    pub weight: u32,
    /// Where it stands, as the config says.
    pub zone: Option<String>,
    /// Its connections.
    pub pool: Pool,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    pub(super) compression: Compression,
    pub(super) attributes: Arc<AttributeSets>,
    /// While it cannot be talked to, whoever asks: for its TLS, or because it blocks this host.
    pub(super) turned_away: BackOff,
    /// While it refuses dauphin's own account.
    pub(super) own_refused: BackOff,
    /// Connections that could not be opened, by cause.
    pub no_connection: [AtomicU64; NoConnection::ALL.len()],
    /// Set by whoever fails to reach it, cleared by the monitor: no new statement goes there meanwhile.
    suspect: AtomicBool,
    suspected: Notify,
    trusted: Notify,
    /// Whoever ends connections that no session has any more does so beside the pool, so few at a time.
    pub(crate) ending: Semaphore,
    /// How many of its connections are lent as the primary's.
    pub(super) writing: Arc<AtomicUsize>,
    /// How far it is known to have applied the primaries' transactions.
    applied: Mutex<Applied>,
    /// How far it was behind the primary at the last poll, in microseconds; `UNKNOWN_LAG` if that is not known.
    lag: AtomicU64,
    /// Whether it is too far behind for the cluster's limit.
    behind: AtomicBool,
    /// Its global character sets, as the newest connection found them.
    charsets: Mutex<Option<Arc<Charsets>>>,
    idle_timeouts: Mutex<[Option<Duration>; 2]>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// How many connections that no session has any more are ended on one server at a time.
const ENDING_AT_ONCE: usize = 4;

const UNKNOWN_LAG: u64 = u64::MAX;

/// Why no lease could be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// A limit of the pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A new connection could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Server {
    /// A server that nothing is known of yet.
    pub fn new(
        id: ServerId,
        config: &config::Server,
        pool: Pool,
        tls: Tls,
        connect_timeout: Duration,
        compression: config::Compression,
        attributes: Arc<AttributeSets>,
    ) -> Self {
        Self {
            id,
            name: config.name.clone(),
            address: config.address.clone(),
            weight: config.weight,
            zone: config.zone.clone(),
            pool,
            tls,
            connect_timeout,
            compression: Compression::new(compression),
            attributes,
            turned_away: BackOff::default(),
            own_refused: BackOff::default(),
            no_connection: Default::default(),
            suspect: AtomicBool::new(false),
            suspected: Notify::new(),
            trusted: Notify::new(),
            ending: Semaphore::new(ENDING_AT_ONCE),
            writing: Arc::default(),
            applied: Mutex::default(),
            lag: AtomicU64::new(UNKNOWN_LAG),
            behind: AtomicBool::new(false),
            charsets: Mutex::default(),
            idle_timeouts: Mutex::default(),
        }
    }

    /// Borrows a connection, from the pool or newly opened. Cancel safe.
    ///
    /// # Errors
    /// A limit of the pool, or why the server cannot be logged in to.
    pub async fn lease(
        self: &Arc<Self>,
        account: &Arc<Account>,
        profile: Profile,
        wanted: &Arc<State>,
    ) -> Result<Lease, LeaseError> {
        let key = Key { account: account.clone(), profile };
        match Pool::acquire(self, key, wanted).await? {
            Acquired::Lease(lease) => Ok(lease),
            Acquired::Slot(slot) => {
                let connection = connect::connect(self, account, profile).await.inspect_err(|error| {
                    if error.is_unreachable() {
                        self.suspect(&error.to_string());
                    }
                })?;
                Ok(slot.fill(connection))
            }
        }
    }

    /// Opens a connection that may be there for nothing but to change an expired password. Of an account of its own: no
    /// other session's may take its place, nor it theirs. Cancel safe.
    ///
    /// # Errors
    /// As for [`Server::lease`].
    pub async fn lease_expired(
        self: &Arc<Self>,
        account: &Arc<Account>,
        profile: Profile,
        schema: Option<&[u8]>,
    ) -> Result<Lease, LeaseError> {
        let key = Key { account: account.clone(), profile };
        match Pool::acquire(self, key, &Arc::default()).await? {
            Acquired::Lease(lease) => Ok(lease),
            Acquired::Slot(slot) => {
                Ok(slot.fill(connect::connect_expired(self, account, profile, schema).await?))
            }
        }
    }

    /// Whether sessions' connections to it are compressed, if it offers that.
    pub fn compresses(&self) -> bool {
        self.compression.is_wanted()
    }

    /// Takes the server out of rotation until the monitor has reached it again.
    pub fn suspect(&self, cause: &str) {
        if !self.suspect.swap(true, Ordering::AcqRel) {
            tracing::warn!(server = %self.name, cause, "server out of rotation until the monitor reaches it");
            self.pool.clear();
            self.suspected.notify_one();
        }
    }

    /// Whether somebody has just failed to reach it.
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    /// The monitor has reached it; answers whether it was suspected.
    pub fn trust(&self) -> bool {
        let was_suspect = self.suspect.swap(false, Ordering::AcqRel);
        if was_suspect {
            tracing::info!(server = %self.name, "server reached again");
            self.trusted.notify_waiters();
        }
        was_suspect
    }

    /// Completes when the monitor reaches it after a suspicion; hears of it from now on, polled or not.
    pub fn trusted(&self) -> Notified<'_> {
        self.trusted.notified()
    }

    /// How many connections are lent as the primary's: each may be in the middle of a write.
    pub fn writing(&self) -> usize {
        self.writing.load(Ordering::SeqCst)
    }

    /// Counts one write more, as long as what this returns lives.
    pub fn begin_writing(&self) -> Writing {
        Writing::begin(&self.writing)
    }

    /// Has the monitor ask it at once: it has done what is not expected of it.
    pub fn look_again(&self) {
        self.suspected.notify_one();
    }

    /// Completes when somebody fails to reach it, or wants it to be looked at again.
    pub async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Whether the server is known to have applied `position` and all before it.
    pub fn has_applied(&self, position: &Position) -> bool {
        self.applied.lock().has(position)
    }

    /// Whether the server is known to have applied all of these.
    pub fn has_all(&self, written: &[Written]) -> bool {
        if written.is_empty() {
            return true;
        }
        let applied = self.applied.lock();
        written.iter().all(|written| applied.has(&written.position))
    }

    /// Whether it is known to lack `written`: it was asked after `since`, and after that had been written, and did not
    /// have it. Of the primary of a term that had begun by `since` this says that the transaction is lost.
    pub fn lacked(&self, written: &Written, since: Instant) -> bool {
        self.applied.lock().lacked(written, since)
    }

    /// Whether it is known to have the whole sequence of `position` without a gap, as far as it is.
    pub fn is_without_gaps(&self, position: &Position) -> bool {
        self.applied.lock().is_without_gaps(position)
    }

    /// Remembers that it has applied `position` and all before it.
    pub fn note_applied(&self, position: &Position) {
        self.applied.lock().note(position);
    }

    /// Remembers how far it is in every sequence, as it said when asked at `asked_at`.
    pub fn note_reaches(&self, asked_at: Instant, reaches: Vec<Reach>) {
        self.applied.lock().note_all(asked_at, reaches);
    }

    /// Its global character sets, as the newest connection found them.
    pub fn charsets(&self) -> Option<Arc<Charsets>> {
        self.charsets.lock().clone()
    }

    pub(super) fn set_charsets(&self, found: Charsets) {
        let mut known = self.charsets.lock();
        if known.as_deref() != Some(&found) {
            *known = Some(Arc::new(found));
        }
    }

    /// Its global `wait_timeout` or, for programs that people sit at, `interactive_timeout`, as the newest connection found it.
    pub fn idle_timeout(&self, is_interactive: bool) -> Option<Duration> {
        self.idle_timeouts.lock()[usize::from(is_interactive)]
    }

    pub(super) fn set_idle_timeouts(&self, found: [Option<Duration>; 2]) {
        *self.idle_timeouts.lock() = found;
    }

    /// Forgets what it has applied: it was restarted, or follows another source.
    pub fn forget_applied(&self) {
        *self.applied.lock() = Applied::default();
    }

    /// Tells everybody how far it is behind the primary; `None` if that is not known. For the monitor, at every poll.
    pub fn set_lag(&self, lag: Option<Duration>) {
        let micros = lag.map_or(UNKNOWN_LAG, |lag| {
            u64::try_from(lag.as_micros()).unwrap_or(UNKNOWN_LAG).min(UNKNOWN_LAG - 1)
        });
        self.lag.store(micros, Ordering::Relaxed);
    }

    /// It was waited for in vain: until the next poll it is known to be this far behind at least. Where nothing is known
    /// of its lag it stays so.
    pub fn raise_lag(&self, at_least: Duration) {
        let micros = u64::try_from(at_least.as_micros()).unwrap_or(UNKNOWN_LAG - 1);
        self.lag.fetch_max(micros.min(UNKNOWN_LAG - 1), Ordering::Relaxed);
    }

    /// How far it was behind the primary at the last poll; `None` if that is not known.
    pub fn lag(&self) -> Option<Duration> {
        match self.lag.load(Ordering::Relaxed) {
            UNKNOWN_LAG => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Tells everybody whether it is too far behind for the cluster's limit. For the monitor, at every poll: see
    /// [`Fitness`](crate::topology::lag::Fitness).
    pub fn set_behind(&self, behind: bool) {
        if self.behind.swap(behind, Ordering::Relaxed) != behind {
            let lag_ms = self.lag().map(|lag| lag.as_millis() as u64);
            if behind {
                tracing::warn!(server = %self.name, lag_ms, "replica is too far behind: it takes no new reads");
            } else {
                tracing::info!(server = %self.name, lag_ms, "replica has caught up: it takes reads again");
            }
        }
    }

    /// Whether it is too far behind for the cluster's limit.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }
}
