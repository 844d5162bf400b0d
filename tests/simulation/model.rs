//! The model of a cluster: servers that commit, replicate, acknowledge, hang, crash and recover, and the network between.
//!
//! Time goes in ticks; what happens within one happens at one instant. Facts as tried on MySQL 9.7 and MariaDB 11.8.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dauphin::topology::{
    Flavour, Gtids,
    dialect::{SemiSyncWords, SourceSettings},
    flavour::Version,
    report::{Receiver, Replication, Report, SemiSync},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use crate::{checks::Checks, random::Random};

pub type Shared = Arc<Mutex<World>>;

/// One step of the model's physics.
pub const TICK: Duration = Duration::from_millis(5);
/// How many servers there are at most; the place after the last is dauphin's.
pub const MOST: usize = 5;

/// A transaction: who wrote it first, and its number there.
pub type Tx = (usize, u64);

/// Transactions: of each server's those up to a number. A server numbers without gaps, and all logs keep its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(pub [u64; MOST]);

impl Set {
    pub fn has(&self, (origin, number): Tx) -> bool {
        self.0[origin] >= number
    }

    pub fn add(&mut self, (origin, number): Tx) {
        self.0[origin] = self.0[origin].max(number);
    }

    pub fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, others)| own >= others)
    }

    fn last(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or_default()
    }
}

/// What differs from seed to seed and stays for its length.
#[derive(Debug, Clone)]
pub struct Setup {
    pub servers: usize,
    pub flavour: Flavour,
    /// `None`: asynchronous.
    pub semi_sync: Option<SourceSettings>,
    /// Servers come back from a restart read-only.
    pub read_only_persisted: bool,
    /// A replica that restarts has lost what it had received and not applied.
    pub relay_lost_by_restart: bool,
    /// Until when a replica holds a silent connection for alive.
    pub net_timeout: Duration,
    /// How long a statement takes to get to a server, at most, in milliseconds.
    pub travel: u64,
    /// Of 100 statements: how many are refused for no good reason, and lost on the way there or back.
    pub refused: u64,
    pub lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Up,
    /// Stopped, as by SIGSTOP.
    Hung,
    /// Shutting down: nobody is let in, replicas are still fed.
    Leaving,
    /// No process. `refuses`: its machine says so; otherwise it is silent.
    Down {
        refuses: bool,
    },
}

/// What became of a commit at the server.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    pub tx: Tx,
    /// As many replicas as should have received it.
    pub replicated: bool,
}

#[derive(Debug)]
pub struct Waiting {
    tx: Tx,
    since: Instant,
    answer: Option<oneshot::Sender<Committed>>,
}

#[derive(Debug)]
pub struct Node {
    pub state: State,
    pub incarnation: u64,
    pub started: Instant,
    pub read_only: bool,
    pub super_read_only: bool,
    pub offline: bool,
    /// Somebody waits for the commits to end to make it read-only: new ones wait behind.
    pub closing: bool,
    /// All it has in its log, in order; those that wait for acknowledgements are in it and not executed.
    log: Vec<Tx>,
    pub logged: Set,
    pub executed: Set,
    pub source: Option<usize>,
    /// Whose incarnation it is connected to.
    source_incarnation: u64,
    /// Whether it has ever been in contact with its source.
    met: bool,
    pub receiver: Receiver,
    receiver_error: bool,
    next_try: Instant,
    acknowledges: bool,
    cursor: usize,
    relay: VecDeque<Tx>,
    received: Set,
    last_contact: Instant,
    pub applying: bool,
    pub applier_error: bool,
    /// Of 100 ticks: in how many it applies.
    pub applies: u64,
    /// Of 100 ticks: in how many it receives.
    pub receives: u64,
    pub semi_source: bool,
    semi_settings: SourceSettings,
    /// Not given up after a timeout.
    semi_active: bool,
    pub semi_replica: bool,
    pub waiting: VecDeque<Waiting>,
    pub claimed_by: Option<u64>,
}

/// The servers and what is between them.
#[derive(Debug)]
pub struct World {
    pub setup: Setup,
    pub random: Random,
    pub nodes: Vec<Node>,
    /// Who cannot reach whom; dauphin is `MOST`.
    pub cut: [[bool; MOST + 1]; MOST + 1],
    pub began: Instant,
    pub checks: Checks,
    /// How many statements the controller has had carried out.
    pub acts: u64,
    /// After which of them dauphin crashes.
    pub crash_at_act: Option<u64>,
    pub crash_now: Arc<tokio::sync::Notify>,
}

impl Node {
    fn new(replica: bool, setup: &Setup, now: Instant) -> Self {
        Self {
            state: State::Up,
            incarnation: 1,
            started: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now),
            read_only: replica,
            super_read_only: replica,
            offline: false,
            closing: false,
            log: Vec::new(),
            logged: Set::default(),
            executed: Set::default(),
            source: replica.then_some(0),
            source_incarnation: 0,
            met: false,
            receiver: if replica { Receiver::Connecting } else { Receiver::Stopped },
            receiver_error: false,
            next_try: now,
            acknowledges: false,
            cursor: 0,
            relay: VecDeque::new(),
            received: Set::default(),
            last_contact: now,
            applying: replica,
            applier_error: false,
            applies: 100,
            receives: 100,
            semi_source: setup.semi_sync.is_some(),
            semi_settings: setup
                .semi_sync
                .clone()
                .unwrap_or(SourceSettings { wait_for: 1, timeout: Duration::from_secs(10) }),
            semi_active: true,
            semi_replica: setup.semi_sync.is_some(),
            waiting: VecDeque::new(),
            claimed_by: None,
        }
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Up
    }

    pub fn takes_writes(&self) -> bool {
        self.is_running() && !self.read_only
    }

    pub fn stop_receiving(&mut self) {
        self.receiver = Receiver::Stopped;
        self.receiver_error = false;
    }

    /// START REPLICA IO_THREAD.
    pub fn start_receiving(&mut self, now: Instant, setup: &Setup) {
        if self.source.is_none() {
            return;
        }
        let is_still = self.receiver == Receiver::Stopped && (!self.applying || self.applier_error);
        if is_still && setup.flavour == Flavour::MariaDb {
            self.discard_relay_log();
        }
        if self.receiver == Receiver::Stopped {
            self.receiver = Receiver::Connecting;
            self.receiver_error = false;
            self.next_try = now;
        }
    }

    /// START REPLICA.
    pub fn start_replication(&mut self, now: Instant, setup: &Setup) {
        self.start_receiving(now, setup);
        self.applying = self.source.is_some();
        self.applier_error = false;
    }

    /// STOP REPLICA.
    pub fn stop_replication(&mut self) {
        self.stop_receiving();
        self.applying = false;
    }

    fn discard_relay_log(&mut self) {
        self.relay.clear();
        self.received = Set::default();
    }

    /// RESET REPLICA ALL.
    pub fn forget_source(&mut self) {
        self.discard_relay_log();
        self.source = None;
        self.met = false;
        self.applier_error = false;
    }

    /// CHANGE REPLICATION SOURCE TO, with both threads stopped.
    pub fn change_source(&mut self, source: usize) {
        self.discard_relay_log();
        self.source = Some(source);
        self.met = false;
    }

    /// Ends the waits of all commits: done here, and their clients are told so, if they are still there.
    fn release_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.executed.add(waiting.tx);
            if let Some(answer) = waiting.answer {
                // The client may have gone.
                let _ = answer.send(Committed { tx: waiting.tx, replicated: false });
            }
        }
    }

    pub fn set_semi_source(&mut self, settings: Option<&SourceSettings>) {
        match settings {
            None => {
                self.semi_source = false;
                self.release_waiting();
            }
            Some(settings) => {
                self.semi_settings = settings.clone();
                self.semi_source = true;
                self.semi_active = true;
            }
        }
    }

    /// KILL of all clients, or offline_mode: nobody who waits is told anything. MariaDB ends their commits with them.
    pub fn cut_clients(&mut self, flavour: Flavour) {
        for waiting in &mut self.waiting {
            waiting.answer = None;
        }
        if flavour == Flavour::MariaDb {
            self.release_waiting();
        }
    }

    fn crash(&mut self, refuses: bool) {
        self.state = State::Down { refuses };
        // Recovery commits all that is in the log.
        self.waiting.clear();
        self.executed = self.logged;
        self.claimed_by = None;
        self.offline = false;
        self.closing = false;
    }

    fn restart(&mut self, setup: &Setup, now: Instant) {
        self.state = State::Up;
        self.incarnation += 1;
        self.started = now;
        if self.source.is_some() || setup.read_only_persisted {
            (self.read_only, self.super_read_only) = (true, true);
        } else {
            (self.read_only, self.super_read_only) = (false, false);
        }
        (self.semi_source, self.semi_replica) = (setup.semi_sync.is_some(), setup.semi_sync.is_some());
        self.semi_active = true;
        if let Some(settings) = &setup.semi_sync {
            self.semi_settings = settings.clone();
        }
        if setup.relay_lost_by_restart {
            self.discard_relay_log();
        }
        self.receiver_error = false;
        if self.source.is_some() {
            self.receiver = Receiver::Connecting;
            self.applying = true;
            self.next_try = now;
        }
    }
}

impl World {
    pub fn new(setup: Setup, random: Random, checks: Checks) -> Self {
        let now = Instant::now();
        Self {
            nodes: (0..setup.servers).map(|at| Node::new(at > 0, &setup, now)).collect(),
            setup,
            random,
            cut: Default::default(),
            began: now,
            checks,
            acts: 0,
            crash_at_act: None,
            crash_now: Arc::default(),
        }
    }

    pub fn ms(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    pub fn tell(&mut self, what: &str) {
        let line = format!("{:>6} ms  {what}", self.ms());
        self.checks.trace.push(line);
    }

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut[a][b] || self.cut[b][a]
    }

    pub fn crash(&mut self, at: usize, refuses: bool) {
        self.nodes[at].crash(refuses);
    }

    pub fn restart(&mut self, at: usize) {
        let now = Instant::now();
        let setup = self.setup.clone();
        if matches!(self.nodes[at].state, State::Down { .. }) {
            self.nodes[at].restart(&setup, now);
        }
    }

    /// A client's autocommitted write arrives; `None` if it has to wait for its turn.
    pub fn write(&mut self, at: usize) -> Option<Result<oneshot::Receiver<Committed>, &'static str>> {
        let flavour = self.setup.flavour;
        let node = &mut self.nodes[at];
        match node.state {
            State::Hung => return None,
            State::Up if node.offline => return Some(Err("offline")),
            State::Up if node.read_only => return Some(Err("read-only")),
            State::Up if node.closing => return None,
            State::Up => {}
            State::Leaving | State::Down { .. } => return Some(Err("gone")),
        }
        let number = match flavour {
            Flavour::MySql => node.logged.0[at] + 1,
            Flavour::MariaDb => node.logged.last() + 1,
        };
        let tx = (at, number);
        node.log.push(tx);
        node.logged.add(tx);
        let (answer, committed) = oneshot::channel();
        if node.semi_source && node.semi_active {
            node.waiting.push_back(Waiting { tx, since: Instant::now(), answer: Some(answer) });
        } else {
            node.executed.add(tx);
            let _ = answer.send(Committed { tx, replicated: false });
        }
        Some(Ok(committed))
    }

    /// One tick of everything.
    pub fn tick(&mut self) {
        let now = Instant::now();
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_running() {
                self.receive(at, now);
                self.apply(at);
            }
        }
        for at in 0..self.nodes.len() {
            if matches!(self.nodes[at].state, State::Up | State::Leaving) {
                self.acknowledge(at, now);
            }
        }
    }

    fn receive(&mut self, at: usize, now: Instant) {
        let Some(source) = self.nodes[at].source else { return };
        let is_cut = self.is_cut(at, source);
        let (state, incarnation, offline) =
            (self.nodes[source].state, self.nodes[source].incarnation, self.nodes[source].offline);
        match self.nodes[at].receiver {
            Receiver::Stopped => {}
            Receiver::Connecting => {
                if now < self.nodes[at].next_try {
                    return;
                }
                let retry = self.random.ms(100, 1000);
                self.nodes[at].next_try = now + retry;
                if is_cut || state != State::Up || offline {
                    return;
                }
                let unknown = !self.nodes[source].logged.covers(&self.has(at));
                let node = &mut self.nodes[at];
                (node.met, node.source_incarnation) = (true, incarnation);
                (node.cursor, node.last_contact) = (0, now);
                node.acknowledges = node.semi_replica;
                if unknown && self.setup.flavour == Flavour::MariaDb {
                    (node.receiver, node.receiver_error) = (Receiver::Stopped, true);
                } else {
                    node.receiver = Receiver::Connected;
                }
            }
            Receiver::Connected => {
                let lost = now.duration_since(self.nodes[at].last_contact) > self.setup.net_timeout;
                let reset = !is_cut
                    && (matches!(state, State::Down { refuses: true })
                        || self.nodes[at].source_incarnation != incarnation);
                if lost || (reset && self.random.chance(10)) {
                    let node = &mut self.nodes[at];
                    (node.receiver, node.next_try) = (Receiver::Connecting, now);
                    return;
                }
                let feeds = matches!(state, State::Up | State::Leaving);
                let same = self.nodes[at].source_incarnation == incarnation;
                if is_cut || !feeds || !same || !self.random.chance(self.nodes[at].receives) {
                    return;
                }
                const HEARTBEAT: Duration = Duration::from_millis(200);
                if now.duration_since(self.nodes[at].last_contact) >= HEARTBEAT {
                    self.nodes[at].last_contact = now;
                }
                let mut has = self.has(at);
                while let Some(&tx) = self.nodes[source].log.get(self.nodes[at].cursor) {
                    let node = &mut self.nodes[at];
                    node.cursor += 1;
                    if !has.has(tx) {
                        has.add(tx);
                        node.relay.push_back(tx);
                        node.received.add(tx);
                        node.last_contact = now;
                    }
                }
            }
        }
    }

    /// All that is in a server's log or relay log.
    pub fn has(&self, at: usize) -> Set {
        let mut has = self.nodes[at].logged;
        self.nodes[at].relay.iter().for_each(|&tx| has.add(tx));
        has
    }

    fn apply(&mut self, at: usize) {
        let node = &self.nodes[at];
        if !node.applying || node.applier_error || node.relay.is_empty() || !self.random.chance(node.applies)
        {
            return;
        }
        let node = &mut self.nodes[at];
        // A slow one does one at a time.
        let many = if node.applies == 100 { usize::MAX } else { 1 };
        for _ in 0..many {
            let Some(tx) = node.relay.pop_front() else { return };
            if !node.logged.has(tx) {
                node.log.push(tx);
                node.logged.add(tx);
                node.executed.add(tx);
            }
        }
    }

    /// The replicas that acknowledge to a server now.
    fn acknowledging(&self, at: usize) -> Vec<usize> {
        let acknowledges = |replica: usize| {
            let node = &self.nodes[replica];
            node.source == Some(at)
                && node.is_running()
                && node.receiver == Receiver::Connected
                && node.acknowledges
                && node.source_incarnation == self.nodes[at].incarnation
                && !self.is_cut(at, replica)
        };
        (0..self.nodes.len()).filter(|&replica| acknowledges(replica)).collect()
    }

    fn acknowledge(&mut self, at: usize, now: Instant) {
        let settings = self.nodes[at].semi_settings.clone();
        let replicas = self.acknowledging(at);
        if !self.nodes[at].semi_active && replicas.len() >= settings.wait_for as usize {
            self.nodes[at].semi_active = true;
        }
        while let Some(first) = self.nodes[at].waiting.front() {
            let (tx, since) = (first.tx, first.since);
            let have = replicas.iter().filter(|&&replica| self.has(replica).has(tx)).count();
            if have >= settings.wait_for as usize {
                if !self.random.chance(70) {
                    return;
                }
                let node = &mut self.nodes[at];
                node.executed.add(tx);
                if let Some(answer) = node.waiting.pop_front().and_then(|waiting| waiting.answer) {
                    // The client may have gone.
                    let _ = answer.send(Committed { tx, replicated: true });
                }
            } else if now.duration_since(since) > settings.timeout {
                self.nodes[at].semi_active = false;
                self.nodes[at].release_waiting();
            } else {
                return;
            }
        }
    }

    /// What a server says of itself at this instant.
    pub fn report(&self, at: usize) -> Report {
        let (node, flavour) = (&self.nodes[at], self.setup.flavour);
        let executed = self.gtids(&node.executed);
        let now = Instant::now();
        Report {
            version: version(flavour),
            identity: identity(flavour, at),
            read_only: node.read_only,
            super_read_only: node.super_read_only,
            uptime: Duration::from_secs(now.duration_since(node.started).as_secs()),
            started: 1_000_000
                + 3600 * u64::from(node.incarnation > 1)
                + node.started.saturating_duration_since(self.began).as_secs(),
            position: match flavour {
                Flavour::MySql => executed.to_string(),
                Flavour::MariaDb => executed.position(),
            },
            executed,
            purged: Gtids::default(),
            forgets_received: self.setup.relay_lost_by_restart,
            can_serve_replicas: true,
            semi_sync: SemiSync {
                words: match flavour {
                    Flavour::MySql => SemiSyncWords::SourceReplica,
                    Flavour::MariaDb => SemiSyncWords::MasterSlave,
                },
                source_enabled: node.semi_source,
                source_active: node.semi_source && node.semi_active,
                wait_for: node.semi_settings.wait_for,
                clients: self.acknowledging(at).len() as u32,
                timeout: (node.semi_settings.timeout < Duration::from_secs(1_000_000))
                    .then_some(node.semi_settings.timeout),
                waiting_sessions: node.waiting.len() as u64,
                replica_enabled: node.semi_replica,
            },
            replication: node.source.map(|source| Replication {
                source: if node.met { identity(flavour, source) } else { String::new() },
                source_address: (format!("db{}", source + 1), 3306),
                tls: false,
                receiver: node.receiver,
                receiver_error: node
                    .receiver_error
                    .then(|| (1236, "it has what its source lacks".to_owned())),
                applying: node.applying && !node.applier_error,
                applier_error: node.applier_error.then(|| (1062, "duplicate key".to_owned())),
                received: self.gtids(&node.received),
                silent_for: Some(now.saturating_duration_since(node.last_contact)),
                heartbeat: (flavour == Flavour::MySql).then_some(Duration::from_millis(200)),
                delay: Duration::ZERO,
                seconds_behind: None,
            }),
            group: None,
            max_connections: 151,
            heartbeat_us: None,
            account: String::new(),
            lacks: Vec::new(),
        }
    }

    fn gtids(&self, set: &Set) -> Gtids {
        let flavour = self.setup.flavour;
        let parts = set.0.iter().enumerate().filter(|(_, last)| **last > 0).map(|(at, last)| match flavour {
            Flavour::MySql => format!("{}:1-{last}", identity(flavour, at)),
            Flavour::MariaDb => format!("0-{}-{last}", identity(flavour, at)),
        });
        Gtids::parse(flavour, &parts.collect::<Vec<_>>().join(",")).expect("the model's own text")
    }

    /// Whether a server has executed these, as its wait for them says.
    pub fn has_applied(&self, at: usize, gtids: &Gtids) -> bool {
        self.gtids(&self.nodes[at].executed).covers(gtids)
    }
}

fn version(flavour: Flavour) -> Version {
    Version::parse(match flavour {
        Flavour::MySql => "9.7.4",
        Flavour::MariaDb => "11.8.6-MariaDB",
    })
}

fn identity(flavour: Flavour, at: usize) -> String {
    match flavour {
        Flavour::MySql => format!("00000000-0000-0000-0000-{:012x}", at + 1),
        Flavour::MariaDb => (at + 1).to_string(),
    }
}
