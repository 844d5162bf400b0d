//! One server: where it is, how it is reached, its pool, and what every thread may know of it at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    account::Account,
    connect::{self, ConnectError},
    connection::Charsets,
    exchange::Lease,
    pool::{Acquired, Key, Pool, PoolError},
    profile::Profile,
    state::State,
    tls::Tls,
};
use crate::{config::ServerAddress, topology::gtid::Position};

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
    /// Its connections.
    pub pool: Pool,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    /// Set by whoever fails to reach it, cleared by the monitor: no new statement goes there meanwhile.
    suspect: AtomicBool,
    suspected: Notify,
    /// How far it is known to have applied the primary's transactions.
    applied: Mutex<Option<Position>>,
    /// Its global character sets, as the newest connection found them.
    charsets: Mutex<Option<Arc<Charsets>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

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
        config: &crate::config::Server,
        pool: Pool,
        tls: Tls,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            id,
            name: config.name.clone(),
            address: config.address.clone(),
            weight: config.weight,
            pool,
            tls,
            connect_timeout,
            suspect: AtomicBool::new(false),
            suspected: Notify::new(),
            applied: Mutex::default(),
            charsets: Mutex::default(),
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
        }
        was_suspect
    }

    /// Completes when somebody fails to reach it.
    pub async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Whether the server is known to have applied `position`.
    pub fn has_applied(&self, position: &Position) -> bool {
        self.applied.lock().as_ref().is_some_and(|applied| applied.includes(position))
    }

    /// Remembers that it has applied `position`.
    pub fn note_applied(&self, position: &Position) {
        let mut applied = self.applied.lock();
        match &mut *applied {
            Some(known) if known.source == position.source => {
                known.sequence = known.sequence.max(position.sequence)
            }
            other => *other = Some(position.clone()),
        }
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

    /// Forgets what it has applied: it was restarted, or follows another source.
    pub fn forget_applied(&self) {
        *self.applied.lock() = None;
    }
}
