//! All sessions, by the connection id that their clients know; and where each one's statement runs, for KILL.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::binding::PinReason;
use crate::{
    backend::{Account, ServerId},
    metrics::Place,
};

/// Where ids lie: beyond the servers' own, which count from 1, and within a signed 32-bit integer, as some clients
/// keep them.
const IDS: Range<u32> = 1_000_000_000..1 << 31;

/// Whether the id can be a session's, rather than a server connection's.
pub fn is_session_id(id: u64) -> bool {
    (u64::from(IDS.start)..u64::from(IDS.end)).contains(&id)
}

/// The sessions there are.
#[derive(Debug)]
pub struct Registry {
    sessions: Mutex<HashMap<u32, Arc<Entry>>>,
    /// How many ids were given.
    given: AtomicU64,
    clients: AtomicUsize,
    /// The most clients at a time.
    most: AtomicUsize,
    /// Cancelled when nobody may log in any more.
    closed: CancellationToken,
}

/// What others may know of a session.
#[derive(Debug)]
pub struct Entry {
    /// The connection id that the client knows.
    pub id: u32,
    /// Ends the session when cancelled.
    pub killed: CancellationToken,
    /// Where the client comes from.
    pub host: String,
    account: Mutex<Option<Arc<Account>>>,
    schema: Mutex<Option<Box<[u8]>>>,
    born: Instant,
    /// What the session does, in the highest byte, and since when, in microseconds since `born`.
    activity: AtomicU64,
    /// The server it is bound to, plus one; 0 for none.
    bound: AtomicU32,
    /// Why it is pinned: the reason's place in [`PinReason::ALL`] plus one; 0 for not at all.
    pin: AtomicU8,
    /// The last statement's [`Place`].
    last: AtomicU32,
    /// A server's id plus one and a connection's id there, in one word; 0 for none.
    running: AtomicU64,
    /// Ends what its statement waits for in dauphin.
    interrupted: Notify,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// It waits for its client; nothing is open.
    Idle,
    /// It waits for its client, and a transaction is open.
    InTransaction,
    /// A command runs.
    Running,
    /// A statement waits for a primary.
    WaitingForPrimary,
    /// A statement waits for a connection to its server.
    WaitingForConnection,
    /// A read waits for its replica to have the writes that it must see.
    WaitingForReplica,
    /// It reads the primary's binary log for as long as it likes.
    ReadingBinaryLog,
    /// It ends, since dauphin stops.
    Closing,
}

impl Activity {
    /// Every one, in the order of its declaration.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::InTransaction,
        Self::Running,
        Self::WaitingForPrimary,
        Self::WaitingForConnection,
        Self::WaitingForReplica,
        Self::ReadingBinaryLog,
        Self::Closing,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::InTransaction => "in_transaction",
            Self::Running => "running",
            Self::WaitingForPrimary => "waiting_for_primary",
            Self::WaitingForConnection => "waiting_for_connection",
            Self::WaitingForReplica => "waiting_for_replica",
            Self::ReadingBinaryLog => "reading_binary_log",
            Self::Closing => "closing",
        }
    }

    /// The kind and the time in one word.
    fn word(self, micros: u64) -> u64 {
        (self as u64) << 56 | micros
    }

    fn of_word(word: u64) -> (Self, u64) {
        (Self::ALL[(word >> 56) as usize % Self::ALL.len()], word & ((1 << 56) - 1))
    }
}

/// What operators see of a session.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What it does.
    pub activity: Activity,
    /// For how long.
    pub lasting: Duration,
    /// How long ago it began.
    pub age: Duration,
    /// Its default schema.
    pub schema: Option<Box<[u8]>>,
    /// Why it is pinned to a connection.
    pub pinned: Option<&'static str>,
    /// The server that it has a connection of.
    pub bound: Option<ServerId>,
    /// Where its last statement went, and why.
    pub last: Option<Place>,
}

/// A statement on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The server.
    pub server: ServerId,
    /// The connection's id there.
    pub connection: u32,
}

/// A session's place in the registry; dropping it takes the session out.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<super::Context>,
    /// The entry itself.
    pub entry: Arc<Entry>,
}

/// A client's place among those that may be connected.
#[derive(Debug)]
pub struct Admitted(Arc<super::Context>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.sessions.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.sessions.sessions.lock().remove(&self.entry.id);
    }
}

impl Registry {
    /// None yet, and at most `most` clients at a time.
    pub fn new(most: usize) -> Self {
        Self {
            sessions: Mutex::default(),
            given: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            closed: CancellationToken::new(),
        }
    }

    /// Nobody logs in any more, those who are at it included.
    pub fn close_logins(&self) {
        self.closed.cancel();
    }

    /// Completes when nobody may log in any more.
    pub(super) async fn logins_closed(&self) {
        self.closed.cancelled().await;
    }

    /// Counts a client in, unless there are as many as may be.
    pub fn admit(context: &Arc<super::Context>) -> Option<Admitted> {
        let most = context.sessions.most.load(Ordering::Relaxed);
        let admitted = Admitted(context.clone());
        let counts = [&context.metrics.clients_refused, &context.metrics.clients_accepted];
        let has_room = context.sessions.clients.fetch_add(1, Ordering::Relaxed) < most;
        counts[usize::from(has_room)].fetch_add(1, Ordering::Relaxed);
        has_room.then_some(admitted)
    }

    /// How many clients there are, those that log in among them.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// From now on at most so many clients are let in; those that are there stay.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Every session, by id.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.sessions.lock().values().cloned().collect();
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    /// Ends the sessions that do nothing and have no transaction open. None of them has a command cut short.
    pub fn close_idle(&self) {
        self.all().iter().for_each(|entry| entry.close_if_idle());
    }

    /// A new id, not used by any session.
    pub fn next_id(&self) -> u32 {
        loop {
            let turn = self.given.fetch_add(1, Ordering::Relaxed) % u64::from(IDS.end - IDS.start);
            let id = IDS.start + turn as u32;
            if !self.sessions.lock().contains_key(&id) {
                return id;
            }
        }
    }

    /// Enters a session that has logged in.
    pub fn enter(context: &Arc<super::Context>, id: u32, account: Arc<Account>, host: String) -> Registered {
        let entry = Arc::new(Entry::new(id, Some(account), host));
        context.sessions.sessions.lock().insert(id, entry.clone());
        Registered { registry: context.clone(), entry }
    }

    /// The session of this id.
    pub fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.sessions.lock().get(&u32::try_from(id).ok()?).cloned()
    }

    /// Ends all sessions: dauphin stops.
    pub fn close_all(&self) {
        self.sessions.lock().values().for_each(|entry| entry.killed.cancel());
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    fn new(id: u32, account: Option<Arc<Account>>, host: String) -> Self {
        Self {
            id,
            killed: CancellationToken::new(),
            host,
            account: Mutex::new(account),
            schema: Mutex::default(),
            born: Instant::now(),
            activity: AtomicU64::new(Activity::Idle.word(0)),
            bound: AtomicU32::new(0),
            pin: AtomicU8::new(0),
            last: AtomicU32::new(0),
            running: AtomicU64::new(0),
            interrupted: Notify::new(),
        }
    }

    /// The session's account.
    pub fn account(&self) -> Option<Arc<Account>> {
        self.account.lock().clone()
    }

    /// The session has logged in anew.
    pub fn set_account(&self, account: Arc<Account>) {
        *self.account.lock() = Some(account);
    }

    /// What operators see of it.
    pub fn snapshot(&self) -> Snapshot {
        let (activity, since_us) = Activity::of_word(self.activity.load(Ordering::Relaxed));
        let age = self.born.elapsed();
        let pin = usize::from(self.pin.load(Ordering::Relaxed)).checked_sub(1);
        let bound = self.bound.load(Ordering::Relaxed).checked_sub(1);
        Snapshot {
            activity,
            lasting: age.saturating_sub(Duration::from_micros(since_us)),
            age,
            schema: self.schema.lock().clone(),
            pinned: pin.and_then(|at| PinReason::ALL.get(at)).map(|reason| reason.label()),
            bound: bound.map(|at| ServerId(at as usize)),
            last: Place::from_word(self.last.load(Ordering::Relaxed)),
        }
    }

    /// The session's default schema is another one.
    pub(super) fn set_schema(&self, schema: Option<&[u8]>) {
        let mut shown = self.schema.lock();
        if shown.as_deref() != schema {
            *shown = schema.map(Into::into);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        (now - self.born).as_micros() as u64
    }

    /// A command begins; `false` if the session was closed before it did.
    pub(super) fn begins_command(&self, now: Instant) -> bool {
        let before = self.activity.swap(Activity::Running.word(self.micros(now)), Ordering::Relaxed);
        Activity::of_word(before).0 != Activity::Closing
    }

    /// The running command does something else: written by the session alone.
    pub(super) fn does(&self, activity: Activity) {
        let (_, since_us) = Activity::of_word(self.activity.load(Ordering::Relaxed));
        self.activity.store(activity.word(since_us), Ordering::Relaxed);
    }

    /// A statement was sent somewhere.
    pub(super) fn sent(&self, place: Place) {
        self.last.store(place.word(), Ordering::Relaxed);
    }

    /// The command has ended, and this is what it leaves.
    pub(super) fn ends_command(
        &self,
        now: Instant,
        in_transaction: bool,
        bound: Option<ServerId>,
        pin: Option<PinReason>,
    ) {
        self.bound.store(bound.map_or(0, |server| server.0 as u32 + 1), Ordering::Relaxed);
        self.pin.store(pin.map_or(0, |reason| reason as u8 + 1), Ordering::Relaxed);
        let activity = if in_transaction { Activity::InTransaction } else { Activity::Idle };
        self.activity.store(activity.word(self.micros(now)), Ordering::Relaxed);
    }

    /// The idle session has no connection of its own any more.
    pub(super) fn is_free(&self) {
        self.bound.store(0, Ordering::Relaxed);
        self.pin.store(0, Ordering::Relaxed);
    }

    fn close_if_idle(&self) {
        let word = self.activity.load(Ordering::Relaxed);
        let (activity, since_us) = Activity::of_word(word);
        let closing = Activity::Closing.word(since_us);
        // A command that begins meanwhile wins, or finds the session closed before anything was done of it.
        if matches!(activity, Activity::Idle | Activity::ReadingBinaryLog)
            && self.activity.compare_exchange(word, closing, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.killed.cancel();
        }
    }

    /// Lets its statement wait for `what`, which operators see as `activity`; `None` if KILL QUERY came first.
    pub(super) async fn waits<T>(&self, activity: Activity, what: impl Future<Output = T>) -> Option<T> {
        self.does(activity);
        let done = tokio::select! {
            // What is there at once is not waited for.
            biased;
            done = what => Some(done),
            () = self.interrupted.notified() => None,
        };
        self.does(Activity::Running);
        done
    }

    /// KILL QUERY: ends what its statement waits for in dauphin, if it does. Answers whether it did.
    pub fn interrupt(&self) -> bool {
        let (activity, _) = Activity::of_word(self.activity.load(Ordering::Relaxed));
        self.interrupted.notify_waiters();
        matches!(
            activity,
            Activity::WaitingForPrimary | Activity::WaitingForConnection | Activity::WaitingForReplica
        )
    }

    /// Where its statement runs now.
    pub fn running(&self) -> Option<Running> {
        let word = self.running.load(Ordering::Acquire);
        let server = (word >> 32).checked_sub(1)?;
        Some(Running { server: ServerId(server as usize), connection: word as u32 })
    }

    /// A statement begins on a server.
    pub fn begins(&self, running: Running) {
        let word = (running.server.0 as u64 + 1) << 32 | u64::from(running.connection);
        self.running.store(word, Ordering::Release);
    }

    /// The statement has ended.
    pub fn ends(&self) {
        self.running.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(1, None, "localhost".to_owned())
    }

    #[test]
    fn a_session_is_closed_between_commands_and_outside_transactions_only() {
        let entry = entry();
        assert!(entry.begins_command(Instant::now()));
        entry.close_if_idle();
        assert!(!entry.killed.is_cancelled(), "a command runs");
        entry.ends_command(Instant::now(), true, Some(ServerId(0)), None);
        entry.close_if_idle();
        assert!(!entry.killed.is_cancelled(), "a transaction is open");
        assert!(entry.begins_command(Instant::now()));
        entry.ends_command(Instant::now(), false, None, None);
        entry.close_if_idle();
        assert!(entry.killed.is_cancelled());
        assert!(!entry.begins_command(Instant::now()), "nothing begins any more");
    }

    #[test]
    fn ids_begin_beyond_the_servers_and_come_again_within_31_bits() {
        let registry = Registry::new(1);
        assert_eq!([registry.next_id(), registry.next_id()], [1_000_000_000, 1_000_000_001]);
        let all = (1 << 31) - 1_000_000_000;
        registry.given.store(all - 1, Ordering::Relaxed);
        registry.sessions.lock().insert(1_000_000_000, Arc::new(entry()));
        assert_eq!(registry.next_id(), i32::MAX as u32);
        assert_eq!(registry.next_id(), 1_000_000_001, "the first is in use");
        for (id, is_one) in [(999_999_999, false), (1_000_000_000, true), (1 << 31, false), (1 << 32, false)]
        {
            assert_eq!(is_session_id(id), is_one, "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_session_does_is_seen_with_its_time() {
        let entry = entry();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(entry.begins_command(Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        entry.does(Activity::WaitingForPrimary);
        let seen = entry.snapshot();
        assert_eq!((seen.activity, seen.lasting), (Activity::WaitingForPrimary, Duration::from_secs(1)));
        assert_eq!(seen.age, Duration::from_secs(3));
        entry.ends_command(Instant::now(), false, Some(ServerId(2)), Some(PinReason::NamedLock));
        let seen = entry.snapshot();
        assert_eq!(
            (seen.activity, seen.bound, seen.pinned),
            (Activity::Idle, Some(ServerId(2)), Some("named_lock"))
        );
        assert_eq!(seen.lasting, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_wait_that_has_begun_is_interrupted() {
        let entry = entry();
        assert!(entry.begins_command(Instant::now()));
        assert!(!entry.interrupt(), "it waits for nothing");
        assert_eq!(entry.waits(Activity::WaitingForPrimary, async { 1 }).await, Some(1));
        let hour = tokio::time::sleep(Duration::from_secs(3600));
        let (waited, interrupted) = tokio::join!(entry.waits(Activity::WaitingForReplica, hour), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            entry.interrupt()
        });
        assert_eq!((waited, interrupted), (None, true));
        assert_eq!(entry.snapshot().activity, Activity::Running);
        assert!(entry.snapshot().lasting < Duration::from_secs(2));
    }

    #[test]
    fn every_pin_has_its_place() {
        for (at, reason) in PinReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            let counted = crate::routing::decide::Reason::Pinned(reason.label()).index();
            assert_eq!(crate::routing::decide::Reason::label_at(counted), reason.label());
        }
        for (at, activity) in Activity::ALL.into_iter().enumerate() {
            assert_eq!(activity as usize, at);
        }
    }
}
