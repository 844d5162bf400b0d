//! What is counted on the data path: relaxed atomics, in a shard per thread, so that counting costs no waiting.
//!
//! What can be looked up when somebody asks (pools, sessions, the control plane's view) is not counted here. How it is
//! shown is `admin`'s business.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    backend::ServerId,
    fault::{ClientFault, Loss},
    routing::decide::{Reason, Role},
};

/// The upper bounds of the latency buckets, in microseconds; above the last is one more bucket.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// The longest kept sample of a digest's text, in bytes.
pub const DIGEST_TEXT: usize = 1_024;

/// How many slots are looked at for a digest before it is counted among the others.
const PROBES: usize = 8;

/// Why a statement was tried again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// A replica was lost or lent no connection.
    OtherReplica,
    /// The primary had to do it.
    OnPrimary,
    /// Where it is decided anew.
    Anywhere,
}

impl Retry {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::OtherReplica, Self::OnPrimary, Self::Anywhere];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OtherReplica => "other_replica",
            Self::OnPrimary => "on_primary",
            Self::Anywhere => "anywhere",
        }
    }
}

/// All counters of one dauphin.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[Shard]>,
    servers: usize,
    texts: Mutex<HashMap<u64, String>>,
    most_digests: usize,
    /// Clients that were let in.
    pub clients_accepted: AtomicU64,
    /// Clients that were refused for their number.
    pub clients_refused: AtomicU64,
    /// Logins that were refused or not completed.
    pub logins_failed: AtomicU64,
    /// Statements that were tried again, by cause.
    pub retries: [AtomicU64; 3],
    /// Clients that went, or were sent away, without their COM_QUIT, by cause.
    pub client_faults: [AtomicU64; ClientFault::ALL.len()],
    /// Connections that were lost while a statement ran on them, by server and cause.
    pub lost: Box<[[AtomicU64; Loss::ALL.len()]]>,
}

/// One thread's share; aligned so that no two threads write to one cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// By server, role and reason.
    statements: Box<[AtomicU64]>,
    /// By server and role.
    latency: Box<[Histogram]>,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    digests: Box<[Slot]>,
    other_digests: AtomicU64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// One digest's counters; the digest 0 means that the slot is free.
#[derive(Debug, Default)]
struct Slot {
    digest: AtomicU64,
    on_primary: AtomicU64,
    on_replicas: AtomicU64,
    /// Server, role and reason of the last one, as in [`Place`].
    last: AtomicU32,
}

/// Server, role and reason in one word, with 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// Puts them together.
    pub fn new(server: ServerId, role: Role, reason: Reason) -> Self {
        let reason = reason.index() as u32;
        Self(((server.0 as u32 + 1) << 16) | (u32::from(role == Role::Replica) << 15) | reason)
    }

    /// As a word.
    pub fn word(self) -> u32 {
        self.0
    }

    /// From a word; `None` for none.
    pub fn from_word(word: u32) -> Option<Self> {
        (word != 0).then_some(Self(word))
    }

    /// Which server.
    pub fn server(self) -> ServerId {
        ServerId((self.0 >> 16) as usize - 1)
    }

    /// As what it ran the statement.
    pub fn role(self) -> Role {
        if self.0 & 0x8000 == 0 { Role::Primary } else { Role::Replica }
    }

    /// The reason's word.
    pub fn reason(self) -> &'static str {
        Reason::label_at((self.0 & 0x7fff) as usize)
    }
}

/// A count per server, role and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// The server's place in the config.
    pub server: ServerId,
    /// As what it ran the statements.
    pub role: Role,
    /// Why they went there.
    pub reason: &'static str,
    /// How many.
    pub statements: u64,
}

/// What is known of one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The digest itself.
    pub digest: u64,
    /// A text of its kind, without its literals.
    pub text: Option<String>,
    /// How often it ran as the primary's.
    pub on_primary: u64,
    /// How often it ran on a replica.
    pub on_replicas: u64,
    /// Where the last one ran, and why there.
    pub last: Option<Place>,
}

/// The distribution of one server's and role's latencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many took at most as long as the bound of the same place; the last is above all bounds. Not cumulated.
    pub buckets: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A small number of this thread's own.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

impl Metrics {
    /// Counters for so many servers, threads and digests.
    pub fn new(servers: usize, threads: usize, digests: usize) -> Self {
        let shards = threads.max(1).next_power_of_two().min(64);
        // Half empty, so that a probe ends soon.
        let slots = if digests == 0 { 0 } else { (digests * 2).next_power_of_two() };
        Self {
            shards: (0..shards).map(|_| Shard::new(servers, slots)).collect(),
            servers,
            texts: Mutex::default(),
            most_digests: digests,
            clients_accepted: AtomicU64::new(0),
            clients_refused: AtomicU64::new(0),
            logins_failed: AtomicU64::new(0),
            retries: Default::default(),
            client_faults: Default::default(),
            lost: (0..servers).map(|_| Default::default()).collect(),
        }
    }

    fn shard(&self) -> &Shard {
        // Their number is a power of two.
        &self.shards[thread_number() & (self.shards.len() - 1)]
    }

    /// Counts a statement that is sent to a server. `text` is asked for when a digest is seen for the first time; it
    /// gives the text without its literals, if it has one.
    pub fn sent(&self, place: Place, bytes: usize, digest: u64, text: impl FnOnce() -> Option<String>) {
        let shard = self.shard();
        let reason = (place.0 & 0x7fff) as usize;
        let at = (place.server().0 * 2 + usize::from(place.role() == Role::Replica)) * Reason::COUNT + reason;
        if let Some(count) = shard.statements.get(at) {
            count.fetch_add(1, Relaxed);
        }
        shard.bytes_received.fetch_add(bytes as u64, Relaxed);
        if digest != 0 && !shard.digests.is_empty() && shard.count_digest(digest, place) {
            self.learn_text(digest, text);
        }
    }

    /// Remembers what a digest stands for, if there is room.
    fn learn_text(&self, digest: u64, text: impl FnOnce() -> Option<String>) {
        let known =
            |texts: &HashMap<u64, String>| texts.contains_key(&digest) || texts.len() >= self.most_digests;
        if known(&self.texts.lock()) {
            return;
        }
        let Some(text) = text() else { return };
        let mut texts = self.texts.lock();
        if !known(&texts) {
            texts.insert(digest, text);
        }
    }

    /// A text was prepared: when it is executed, only its digest is at hand.
    pub fn prepared(&self, digest: u64, text: impl FnOnce() -> Option<String>) {
        if digest != 0 && self.most_digests > 0 {
            self.learn_text(digest, text);
        }
    }

    /// Counts a statement whose client has its whole answer.
    pub fn answered(&self, server: ServerId, role: Role, took: Duration) {
        if let Some(histogram) = self.shard().latency.get(server.0 * 2 + usize::from(role == Role::Replica)) {
            let took_us = took.as_micros() as u64;
            let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < took_us);
            histogram.buckets[bucket].fetch_add(1, Relaxed);
            histogram.sum_us.fetch_add(took_us, Relaxed);
        }
    }

    /// Counts bytes that went to a client.
    pub fn relayed(&self, bytes: u64) {
        self.shard().bytes_sent.fetch_add(bytes, Relaxed);
    }

    /// Counts a further attempt at a statement.
    pub fn retried(&self, cause: Retry) {
        self.retries[cause as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection that was lost under a statement.
    pub fn lost(&self, server: ServerId, cause: Loss) {
        if let Some(lost) = self.lost.get(server.0) {
            lost[cause as usize].fetch_add(1, Relaxed);
        }
    }

    /// Counts a client that ended its session otherwise than by COM_QUIT.
    pub fn client_failed(&self, cause: ClientFault) {
        self.client_faults[cause as usize].fetch_add(1, Relaxed);
    }

    /// How many statements went where, and why; none of 0.
    pub fn routed(&self) -> Vec<Routed> {
        let mut counts = BTreeMap::new();
        for server in 0..self.servers {
            for (role_at, role) in [Role::Primary, Role::Replica].into_iter().enumerate() {
                for reason in 0..Reason::COUNT {
                    let at = (server * 2 + role_at) * Reason::COUNT + reason;
                    let count: u64 = self.shards.iter().map(|shard| shard.statements[at].load(Relaxed)).sum();
                    if count > 0 {
                        // Two reasons may share a word.
                        let key = (server, role_at, Reason::label_at(reason));
                        counts.entry(key).or_insert((role, 0)).1 += count;
                    }
                }
            }
        }
        let routed = |((server, _, reason), (role, statements))| Routed {
            server: ServerId(server),
            role,
            reason,
            statements,
        };
        counts.into_iter().map(routed).collect()
    }

    /// How long statements took.
    pub fn latency(&self, server: ServerId, role: Role) -> Latency {
        let mut sum = Latency::default();
        for shard in &self.shards {
            let histogram = &shard.latency[server.0 * 2 + usize::from(role == Role::Replica)];
            for (sum, bucket) in sum.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += bucket.load(Relaxed);
            }
            sum.sum_us += histogram.sum_us.load(Relaxed);
        }
        sum
    }

    /// Bytes of commands from clients and of answers to them.
    pub fn bytes(&self) -> (u64, u64) {
        let sum =
            |of: fn(&Shard) -> &AtomicU64| self.shards.iter().map(|shard| of(shard).load(Relaxed)).sum();
        (sum(|shard| &shard.bytes_received), sum(|shard| &shard.bytes_sent))
    }

    /// The digests, the most frequent first; and how many statements are in none of them.
    pub fn digests(&self) -> (Vec<Digest>, u64) {
        let mut found: HashMap<u64, Digest> = HashMap::new();
        for slot in self.shards.iter().flat_map(|shard| &shard.digests) {
            let digest = slot.digest.load(Relaxed);
            if digest == 0 {
                continue;
            }
            let entry = found.entry(digest).or_insert_with(|| Digest {
                digest,
                text: None,
                on_primary: 0,
                on_replicas: 0,
                last: None,
            });
            entry.on_primary += slot.on_primary.load(Relaxed);
            entry.on_replicas += slot.on_replicas.load(Relaxed);
            entry.last = Place::from_word(slot.last.load(Relaxed)).or(entry.last);
        }
        let texts = self.texts.lock();
        let mut digests: Vec<_> = found.into_values().collect();
        for digest in &mut digests {
            digest.text = texts.get(&digest.digest).cloned();
        }
        drop(texts);
        digests
            .sort_by_key(|digest| (std::cmp::Reverse(digest.on_primary + digest.on_replicas), digest.digest));
        let others = self.shards.iter().map(|shard| shard.other_digests.load(Relaxed)).sum();
        (digests, others)
    }
}

impl Shard {
    fn new(servers: usize, slots: usize) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            statements: zeros(servers * 2 * Reason::COUNT),
            latency: (0..servers * 2).map(|_| Histogram::default()).collect(),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            digests: (0..slots).map(|_| Slot::default()).collect(),
            other_digests: AtomicU64::new(0),
        }
    }

    /// Answers whether this thread has seen the digest for the first time.
    fn count_digest(&self, digest: u64, place: Place) -> bool {
        let mask = self.digests.len() - 1;
        for ahead in 0..PROBES {
            let slot = &self.digests[(digest as usize).wrapping_add(ahead) & mask];
            let known = match slot.digest.load(Relaxed) {
                0 => match slot.digest.compare_exchange(0, digest, Relaxed, Relaxed) {
                    Ok(_) => {
                        slot.count(place);
                        return true;
                    }
                    Err(taken) => taken,
                },
                known => known,
            };
            if known == digest {
                slot.count(place);
                return false;
            }
        }
        self.other_digests.fetch_add(1, Relaxed);
        false
    }
}

impl Slot {
    fn count(&self, place: Place) {
        match place.role() {
            Role::Primary => self.on_primary.fetch_add(1, Relaxed),
            Role::Replica => self.on_replicas.fetch_add(1, Relaxed),
        };
        self.last.store(place.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Reason as Text;

    fn place(server: usize, role: Role, reason: Reason) -> Place {
        Place::new(ServerId(server), role, reason)
    }

    #[test]
    fn a_place_is_read_as_it_was_made() {
        let made = place(3, Role::Replica, Reason::Text(Text::PlainRead));
        let read = Place::from_word(made.word()).unwrap();
        assert_eq!((read.server(), read.role(), read.reason()), (ServerId(3), Role::Replica, "plain_read"));
        assert_eq!(Place::from_word(0), None);
    }

    #[test]
    fn counts_of_all_threads_come_together() {
        let metrics = Metrics::new(2, 4, 10);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let place = place(1, Role::Replica, Reason::Text(Text::PlainRead));
                        metrics.sent(place, 10, 7, || Some("SELECT ?".to_owned()));
                        metrics.answered(ServerId(1), Role::Replica, Duration::from_micros(150));
                    }
                });
            }
        });
        let routed = metrics.routed();
        assert_eq!(routed.len(), 1);
        assert_eq!(
            (routed[0].server, routed[0].reason, routed[0].statements),
            (ServerId(1), "plain_read", 4_000)
        );
        let latency = metrics.latency(ServerId(1), Role::Replica);
        assert_eq!((latency.buckets[1], latency.sum_us), (4_000, 600_000));
        assert_eq!(metrics.bytes().0, 40_000);
        let (digests, others) = metrics.digests();
        assert_eq!((digests.len(), others), (1, 0));
        assert_eq!((digests[0].on_replicas, digests[0].text.as_deref()), (4_000, Some("SELECT ?")));
    }

    #[test]
    fn digests_and_their_texts_are_bounded() {
        let metrics = Metrics::new(1, 1, 10);
        for digest in 1..=10_000 {
            let place = place(0, Role::Primary, Reason::TooLong);
            metrics.sent(place, 0, digest, || Some(format!("text {digest}")));
        }
        let (digests, others) = metrics.digests();
        assert!(digests.len() <= 32, "{}", digests.len());
        assert!(digests.iter().filter(|digest| digest.text.is_some()).count() <= 10);
        let counted: u64 = digests.iter().map(|digest| digest.on_primary).sum();
        assert_eq!(counted + others, 10_000);
    }

    #[test]
    fn a_text_that_was_prepared_is_known_when_it_is_executed() {
        let metrics = Metrics::new(1, 1, 10);
        metrics.prepared(5, || Some("SELECT ?".to_owned()));
        metrics.sent(place(0, Role::Primary, Reason::Hint), 0, 5, || None);
        assert_eq!(metrics.digests().0[0].text.as_deref(), Some("SELECT ?"));
    }

    #[test]
    fn a_latency_falls_into_the_first_bucket_that_holds_it() {
        let metrics = Metrics::new(1, 1, 0);
        for (took_us, bucket) in [(0, 0), (100, 0), (101, 1), (10_000_000, 15), (10_000_001, 16)] {
            let before = metrics.latency(ServerId(0), Role::Primary).buckets[bucket];
            metrics.answered(ServerId(0), Role::Primary, Duration::from_micros(took_us));
            assert_eq!(metrics.latency(ServerId(0), Role::Primary).buckets[bucket], before + 1, "{took_us}");
        }
    }
}
