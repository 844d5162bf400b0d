//! The connections to one server: lent, taken back, limited, and kept fit for the next session.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, futures::Notified, oneshot},
    time::Instant,
};

use super::{
    account::Account,
    connection::Connection,
    exchange::{Held, Lease},
    prepared::Sources,
    profile::Profile,
    server::Server,
    state::State,
};

/// Connections with equal keys can stand in for each other.
#[derive(Debug, Clone)]
pub struct Key {
    /// Whose connection.
    pub account: Arc<Account>,
    /// How it is logged in.
    pub profile: Profile,
}

impl Key {
    fn id(&self) -> (u64, Profile) {
        (self.account.id, self.profile)
    }
}

/// Limits and ages; from the config's `[pool]` section.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections to this server, of all users together.
    pub per_server: usize,
    /// Connections of one user to this server.
    pub per_user: usize,
    /// Sessions that may wait for a connection.
    pub waiting: usize,
    /// How long each of them waits.
    pub wait_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// After which age a connection is closed instead of lent again.
    pub max_age: Duration,
}

/// Why no connection could be had, naming the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// `wait_timeout` passed while the server's limit was reached.
    #[error(
        "all connections to it are in use (limit [pool] max_connections_per_server or the server's max_connections, waited [pool] wait_timeout)"
    )]
    ServerLimit,
    /// `wait_timeout` passed while the user's limit was reached.
    #[error(
        "all connections of this user to it are in use (limit [pool] max_connections_per_user, waited [pool] wait_timeout)"
    )]
    UserLimit,
    /// Too many wait already.
    #[error("too many sessions wait for a connection to it (limit [pool] max_waiting)")]
    TooManyWaiting,
}

/// The pool of one server.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    inner: Mutex<Inner>,
    /// By which every open connection can be cut, lent or idle; those that have been closed are swept out now and then.
    handles: Mutex<Vec<Weak<socket2::Socket>>>,
    /// Woken when a session has to wait: connections that are only kept at hand should be given back.
    pressure: Notify,
    /// Woken when the server is to be left.
    recall: Notify,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    opened: AtomicU64,
    waits: AtomicU64,
    waited_us: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    idle: HashMap<(u64, Profile), Bucket, foldhash::fast::RandomState>,
    idle_count: usize,
    /// Connections open or being opened, lent or idle.
    open: usize,
    open_per_user: HashMap<Box<[u8]>, usize>,
    waiters: VecDeque<Waiter>,
}

/// Idle connections of one key, the most recently used last. Boxed as they are lent: moved, not copied.
#[derive(Debug)]
#[expect(
    clippy::vec_box,
    reason = "a lease holds its connection in a box; unboxing here would copy it twice a statement"
)]
struct Bucket {
    key: Key,
    connections: Vec<Box<Connection>>,
}

#[derive(Debug)]
struct Waiter {
    key: Key,
    grant: oneshot::Sender<Grant>,
}

#[derive(Debug)]
enum Grant {
    Connection(Box<Connection>),
    /// The right to open one; already counted.
    Place,
}

/// What a pool gives: a connection, or the right to open one.
#[derive(Debug)]
pub enum Acquired {
    /// A connection that was used before.
    Lease(Lease),
    /// A place for a new one.
    Slot(Slot),
}

/// A counted place in a pool. Dropping it makes the place free.
#[derive(Debug)]
pub struct Slot {
    pub(super) server: Arc<Server>,
    key: Key,
    kept: bool,
}

impl Slot {
    /// The lease of a connection that was opened in this place.
    pub fn fill(self, connection: Connection) -> Lease {
        if let Some(handle) = &connection.handle {
            self.server.pool.handles.lock().push(Arc::downgrade(handle));
        }
        self.server.pool.totals.opened.fetch_add(1, Relaxed);
        Lease(Held { connection: Box::new(connection), slot: self })
    }

    /// Whose place it is.
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn put_back(mut self, connection: Box<Connection>) {
        self.kept = true;
        self.server.pool.put_back(&self.key, connection);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.kept {
            self.server.pool.closed(&self.key);
        }
    }
}

/// A snapshot for metrics and the admin port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections open or being opened.
    pub open: usize,
    /// Of these, idle.
    pub idle: usize,
    /// Sessions waiting for one.
    pub waiting: usize,
    /// Connections opened so far, for sessions and logins.
    pub opened: u64,
    /// Sessions that have had to wait for one so far.
    pub waits: u64,
    /// For how long they waited together.
    pub waited: Duration,
    /// Those of them that got none.
    pub refused: u64,
    /// The most connections.
    pub limit: usize,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            inner: Mutex::default(),
            handles: Mutex::default(),
            pressure: Notify::new(),
            recall: Notify::new(),
            totals: Totals::default(),
        }
    }

    /// How many connections there are.
    pub fn usage(&self) -> Usage {
        let totals = &self.totals;
        let (opened, waits) = (totals.opened.load(Relaxed), totals.waits.load(Relaxed));
        let waited = Duration::from_micros(totals.waited_us.load(Relaxed));
        let (refused, limit) = (totals.refused.load(Relaxed), self.limits.per_server);
        let inner = self.inner.lock();
        let waiting = inner.waiters.len();
        Usage { open: inner.open, idle: inner.idle_count, waiting, opened, waits, waited, refused, limit }
    }

    /// Completes when some session has to wait for a connection of this pool.
    pub fn pressed(&self) -> Notified<'_> {
        self.pressure.notified()
    }

    /// Asks sessions to give back, now, the connections that they only keep at hand.
    pub fn recall(&self) {
        self.recall.notify_waiters();
    }

    /// Completes at the next [`recall`](Self::recall).
    pub fn recalled(&self) -> Notified<'_> {
        self.recall.notified()
    }

    /// A connection for `key`, rather one whose state is `wanted` already; waits where a limit is reached.
    ///
    /// Cancel safe: a place granted to a cancelled call goes to the next in line.
    ///
    /// # Errors
    /// The limit that was reached.
    pub async fn acquire(server: &Arc<Server>, key: Key, wanted: &Arc<State>) -> Result<Acquired, PoolError> {
        let pool = &server.pool;
        let deadline = Instant::now() + pool.limits.wait_timeout;
        let mut timed = None;
        loop {
            let waiting = {
                let mut inner = pool.inner.lock();
                if let Some(found) = inner.take(&key, wanted, &pool.limits) {
                    drop(inner);
                    return Ok(found.into_acquired(server, key));
                }
                if inner.waiters.len() >= pool.limits.waiting {
                    pool.totals.refused.fetch_add(1, Relaxed);
                    return Err(PoolError::TooManyWaiting);
                }
                let (grant, waiting) = oneshot::channel();
                inner.waiters.push_back(Waiter { key: key.clone(), grant });
                waiting
            };
            pool.pressure.notify_waiters();
            timed.get_or_insert_with(|| TimedWait::begin(&pool.totals));
            let mut waiting = Waiting { pool, key: key.clone(), granted: waiting };
            match tokio::time::timeout_at(deadline, &mut waiting.granted).await {
                Ok(Ok(grant)) if grant.fits(wanted) => return Ok(grant.into_acquired(server, key)),
                Ok(Ok(Grant::Connection(connection))) => drop(Self::lend(server, &key, connection)),
                Ok(_) => {}
                Err(_) => {
                    pool.totals.refused.fetch_add(1, Relaxed);
                    return Err(pool.limit_reached(&key));
                }
            }
        }
    }

    /// Takes in a connection that was opened outside, if there is room for it and nobody must wait longer for it.
    pub fn adopt(server: &Arc<Server>, key: Key, connection: Connection) {
        let mut inner = server.pool.inner.lock();
        if inner.may_open(&key, &server.pool.limits) {
            inner.count(&key);
            drop(inner);
            if let Some(handle) = &connection.handle {
                server.pool.handles.lock().push(Arc::downgrade(handle));
            }
            server.pool.totals.opened.fetch_add(1, Relaxed);
            server.pool.put_back(&key, Box::new(connection));
        }
    }

    fn lend(server: &Arc<Server>, key: &Key, connection: Box<Connection>) -> Lease {
        Lease(Held { connection, slot: Slot { server: server.clone(), key: key.clone(), kept: false } })
    }

    fn limit_reached(&self, key: &Key) -> PoolError {
        let inner = self.inner.lock();
        let of_user = inner.open_per_user.get(&key.account.user).copied().unwrap_or_default();
        if of_user >= self.limits.per_user { PoolError::UserLimit } else { PoolError::ServerLimit }
    }

    fn put_back(&self, key: &Key, mut connection: Box<Connection>) {
        connection.writing = None;
        connection.prepared.let_go();
        let now = Instant::now();
        if now - connection.opened >= self.limits.max_age {
            drop(connection);
            return self.closed(key);
        }
        connection.idle_since = now;
        let mut inner = self.inner.lock();
        while let Some(waiter) = inner.next_waiter(|waiter| waiter.key.id() == key.id()) {
            match waiter.grant.send(Grant::Connection(connection)) {
                Ok(()) => return,
                Err(Grant::Connection(refused)) => connection = refused,
                Err(Grant::Place) => unreachable!("a connection was sent"),
            }
        }
        if !inner.waiters.is_empty() {
            drop(connection);
            return inner.free_place(key, &self.limits);
        }
        inner.put_idle(key, connection);
    }

    /// A connection or a place is gone.
    fn closed(&self, key: &Key) {
        self.inner.lock().free_place(key, &self.limits);
    }

    /// Closes what is too old, unused for too long or closed by the server, and takes out connections on which
    /// statements wait to be closed. Called every second or so by the fleet.
    pub fn tidy(server: &Arc<Server>, sources: &Sources) -> Vec<Lease> {
        let pool = &server.pool;
        let now = Instant::now();
        let (mut gone, mut to_flush) = (Vec::new(), Vec::new());
        pool.handles.lock().retain(|handle| handle.strong_count() > 0);
        let mut inner = pool.inner.lock();
        for Bucket { key, connections } in inner.idle.values_mut() {
            connections.retain_mut(|connection| {
                let kept = now - connection.idle_since < pool.limits.idle_timeout
                    && now - connection.opened < pool.limits.max_age
                    && !connection.is_stale();
                if !kept {
                    gone.push(key.clone());
                }
                kept
            });
            for at in (0..connections.len()).rev() {
                connections[at].prepared.sweep(sources);
                if connections[at].prepared.has_closes() {
                    to_flush.push((key.clone(), connections.remove(at)));
                }
            }
        }
        inner.idle.retain(|_, bucket| !bucket.connections.is_empty());
        inner.idle_count -= gone.len() + to_flush.len();
        for key in gone {
            inner.uncount(&key.account.user);
        }
        inner.grant_places(&pool.limits);
        drop(inner);
        to_flush.into_iter().map(|(key, connection)| Self::lend(server, &key, connection)).collect()
    }

    /// Closes the idle connections of `account`, which does not prove anything any more.
    pub fn purge(&self, account: &Account) {
        self.close_idle(|key| key.account.id == account.id);
    }

    /// Cuts every connection, idle or lent, in the middle of whatever it does: the server is deposed. Whoever uses one
    /// finds it lost.
    pub fn cut(&self) {
        let handles = std::mem::take(&mut *self.handles.lock());
        for handle in handles.iter().filter_map(Weak::upgrade) {
            // One that the server has closed already is cut.
            let _ = handle.shutdown(std::net::Shutdown::Both);
        }
        self.clear();
    }

    /// Closes all idle connections: the server is gone.
    pub fn clear(&self) {
        self.close_idle(|_| true);
    }

    fn close_idle(&self, chosen: impl Fn(&Key) -> bool) {
        let mut inner = self.inner.lock();
        let buckets: Vec<_> =
            inner.idle.extract_if(|_, bucket| chosen(&bucket.key)).map(|(_, bucket)| bucket).collect();
        for bucket in buckets {
            for _ in bucket.connections {
                inner.idle_count -= 1;
                inner.uncount(&bucket.key.account.user);
            }
        }
        inner.grant_places(&self.limits);
    }
}

/// Counts a wait, and its time when it ends.
struct TimedWait<'a> {
    totals: &'a Totals,
    began: Instant,
}

impl<'a> TimedWait<'a> {
    fn begin(totals: &'a Totals) -> Self {
        totals.waits.fetch_add(1, Relaxed);
        Self { totals, began: Instant::now() }
    }
}

impl Drop for TimedWait<'_> {
    fn drop(&mut self) {
        self.totals.waited_us.fetch_add(self.began.elapsed().as_micros() as u64, Relaxed);
    }
}

/// Hands a grant that came too late to the next in line.
struct Waiting<'a> {
    pool: &'a Pool,
    key: Key,
    granted: oneshot::Receiver<Grant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.granted.close();
        match self.granted.try_recv() {
            Ok(Grant::Connection(connection)) => self.pool.put_back(&self.key, connection),
            Ok(Grant::Place) => self.pool.closed(&self.key),
            Err(_) => {}
        }
    }
}

impl Grant {
    /// A session without a schema cannot use a connection that has one: there is no way back to none.
    fn fits(&self, wanted: &State) -> bool {
        match self {
            Self::Connection(connection) => fits(connection, wanted),
            Self::Place => true,
        }
    }

    fn into_acquired(self, server: &Arc<Server>, key: Key) -> Acquired {
        let slot = Slot { server: server.clone(), key, kept: false };
        match self {
            Self::Connection(connection) => Acquired::Lease(Lease(Held { connection, slot })),
            Self::Place => Acquired::Slot(slot),
        }
    }
}

fn fits(connection: &Connection, wanted: &State) -> bool {
    wanted.schema.is_some() || connection.state.schema.is_none()
}

/// How many idle connections are looked at for one that has the wanted state.
const LOOKED_AT: usize = 8;

impl Inner {
    fn take(&mut self, key: &Key, wanted: &Arc<State>, limits: &Limits) -> Option<Grant> {
        while let Some(mut connection) = self.take_idle(key, wanted) {
            if !connection.is_stale() {
                return Some(Grant::Connection(connection));
            }
            self.uncount(&key.account.user);
        }
        if self.may_open(key, limits) || self.evict_for(key, limits) {
            self.count(key);
            return Some(Grant::Place);
        }
        None
    }

    fn take_idle(&mut self, key: &Key, wanted: &Arc<State>) -> Option<Box<Connection>> {
        let idle = &mut self.idle.get_mut(&key.id())?.connections;
        let recent = idle.len().saturating_sub(LOOKED_AT);
        let exact = (recent..idle.len()).rev().find(|&at| State::same(&idle[at].state, wanted));
        let at = exact.or_else(|| idle.iter().rposition(|connection| fits(connection, wanted)))?;
        self.idle_count -= 1;
        Some(idle.remove(at))
    }

    fn may_open(&self, key: &Key, limits: &Limits) -> bool {
        let of_user = self.open_per_user.get(&key.account.user).copied().unwrap_or_default();
        self.open < limits.per_server && of_user < limits.per_user
    }

    /// Closes the longest idle connection whose place `key` could have.
    fn evict_for(&mut self, key: &Key, limits: &Limits) -> bool {
        let of_user = self.open_per_user.get(&key.account.user).copied().unwrap_or_default();
        let same_user_only = of_user >= limits.per_user;
        let candidates = self.idle.values_mut().filter(|bucket| {
            !bucket.connections.is_empty() && (!same_user_only || bucket.key.account.user == key.account.user)
        });
        let Some(bucket) = candidates.min_by_key(|bucket| bucket.connections[0].idle_since) else {
            return false;
        };
        bucket.connections.remove(0);
        let user = bucket.key.account.user.clone();
        self.idle_count -= 1;
        self.uncount(&user);
        self.may_open(key, limits)
    }

    fn put_idle(&mut self, key: &Key, connection: Box<Connection>) {
        let empty = || Bucket { key: key.clone(), connections: Vec::new() };
        self.idle.entry(key.id()).or_insert_with(empty).connections.push(connection);
        self.idle_count += 1;
    }

    fn count(&mut self, key: &Key) {
        self.open += 1;
        *self.open_per_user.entry(key.account.user.clone()).or_default() += 1;
    }

    fn uncount(&mut self, user: &[u8]) {
        self.open -= 1;
        if let Some(count) = self.open_per_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.open_per_user.remove(user);
            }
        }
    }

    fn free_place(&mut self, key: &Key, limits: &Limits) {
        self.uncount(&key.account.user);
        self.grant_places(limits);
    }

    /// Gives free places to those who wait, first come first served among those whose user may have one.
    fn grant_places(&mut self, limits: &Limits) {
        loop {
            let (open, per_user) = (self.open, std::mem::take(&mut self.open_per_user));
            let waiter = self.next_waiter(|waiter| {
                let of_user = per_user.get(&waiter.key.account.user).copied().unwrap_or_default();
                open < limits.per_server && of_user < limits.per_user
            });
            self.open_per_user = per_user;
            let Some(Waiter { key, grant }) = waiter else { return };
            self.count(&key);
            if grant.send(Grant::Place).is_err() {
                self.uncount(&key.account.user);
            }
        }
    }

    fn next_waiter(&mut self, suits: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
        self.waiters.retain(|waiter| !waiter.grant.is_closed());
        let at = self.waiters.iter().position(suits)?;
        self.waiters.remove(at)
    }
}
