//! Where operators and the control plane meet: what the admin port shows, and what it may ask for.
//!
//! The control plane publishes a [`View`] whenever something has changed and appends to [`Events`]; the admin port reads
//! both without waiting, and sends [`Request`]s. The events outlive dauphin in a file (`trail`).

mod trail;

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::topology::report::{Problem, Report};

/// All that is known of the cluster at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// The epoch of the current or last term.
    pub epoch: u64,
    /// What the controller does.
    pub phase: Phase,
    /// The primary's name, while a term runs.
    pub primary: Option<String>,
    /// The diagnosis' name, for scripts.
    pub diagnosis: &'static str,
    /// The diagnosis in a sentence, for people.
    pub diagnosis_detail: String,
    /// The servers in the config's order.
    pub servers: Vec<ServerView>,
    /// What a failover would come to now.
    pub preview: Preview,
    /// Whether dauphin acts by itself, and why not if not.
    pub automatic: Result<(), String>,
    /// How long ago the last heartbeat was sent that the primary has written; `None` if there is none in this term.
    pub heartbeat_age: Option<Duration>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            epoch: 0,
            phase: Phase::Watching,
            primary: None,
            diagnosis: "unknown",
            diagnosis_detail: String::new(),
            servers: Vec::new(),
            preview: Preview::default(),
            automatic: Err("starting".to_owned()),
            heartbeat_age: None,
        }
    }
}

/// What the controller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It watches.
    #[default]
    Watching,
    /// Writes are held and a new primary is being made.
    FailingOver,
    /// Writes are held for a planned change of the primary.
    SwitchingOver,
}

impl Phase {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::FailingOver => "failing_over",
            Self::SwitchingOver => "switching_over",
        }
    }
}

/// One server, as the control plane sees it.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// What it is.
    pub role: Role,
    /// Why it takes no reads, if it takes none.
    pub out: Option<String>,
    /// How far behind the primary it is; `None` if that is not known. The primary's is zero.
    pub lag: Option<Duration>,
    /// The transactions that it has and the primary lacks; empty if there are none.
    pub errant: String,
    /// Its latest report, or why there is none; `None` before the first.
    pub report: Option<Result<Arc<Report>, Problem>>,
    /// An operator has taken it out of rotation.
    pub drained: bool,
}

/// What a server is to dauphin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes the writes.
    Primary,
    /// It replicates from the primary.
    Replica,
    /// It was primary before, or went its own way: it takes nothing until it has rejoined.
    Quarantined,
    /// Not known yet, or none of these.
    Unknown,
}

impl Role {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Quarantined => "quarantined",
            Self::Unknown => "unknown",
        }
    }
}

/// What a failover would come to now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Who would be promoted.
    pub candidate: Option<String>,
    /// How long it would take, roughly.
    pub estimate: Option<Duration>,
    /// How many transactions the candidate does not have yet.
    pub transactions_at_risk: u64,
    /// What they are: GTIDs.
    pub at_risk: String,
    /// What stands in the way, or makes it worse than it should be: a sentence each.
    pub obstacles: Vec<String>,
    /// The servers that would not be promoted, and why.
    pub passed_over: Vec<(String, String)>,
}

/// What happened to the cluster: an audit trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1, and on after a restart; never reused while dauphin runs.
    pub id: u64,
    /// When.
    #[serde(with = "trail::rfc3339")]
    pub at: SystemTime,
    /// A word for scripts: `failover_started`, `server_lost`, …
    pub kind: Cow<'static, str>,
    /// Which server, if one.
    pub server: Option<String>,
    /// What and why, in a sentence.
    pub message: String,
}

/// The latest events, oldest first. Bounded.
#[derive(Debug, Default)]
pub struct Events {
    inner: Mutex<Latest>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Default)]
struct Latest {
    /// The last event's id.
    last: u64,
    /// The id of the last event before this dauphin was started.
    before: u64,
    kept: VecDeque<Event>,
    /// Where they go to be written; `None`: they are forgotten at a restart.
    queue: Option<trail::Queue>,
}

/// How many events are kept.
const KEPT_EVENTS: usize = 1_000;

impl Events {
    /// Shows what earlier dauphins wrote to this file, and has written there what is recorded from now on. For the start:
    /// it waits for the disk, and forgets what was recorded before.
    ///
    /// # Errors
    /// The file cannot be read or written; nothing has changed.
    pub fn keep_in(&self, path: &Path) -> io::Result<()> {
        let (events, queue) = trail::open(path, KEPT_EVENTS)?;
        let last = events.iter().map(|event| event.id).max().unwrap_or_default();
        *self.inner.lock() = Latest { last, before: last, kept: events.into(), queue: Some(queue) };
        Ok(())
    }

    /// Waits until all that was recorded is written where it is kept, if it is: whether so, within this time.
    pub fn written(&self, at_most: Duration) -> bool {
        let reached = self.inner.lock().queue.as_ref().map(trail::Queue::reached);
        reached.is_none_or(|reached| reached.is_some_and(|reached| reached.recv_timeout(at_most).is_ok()))
    }

    /// Appends an event and writes it to the log. It waits for no disk.
    pub fn record(&self, kind: &'static str, server: Option<&str>, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(event = kind, server, "{message}");
        *self.counts.lock().entry(kind).or_default() += 1;
        let (at, kind, server) = (SystemTime::now(), kind.into(), server.map(str::to_owned));
        let mut inner = self.inner.lock();
        inner.last += 1;
        let event = Event { id: inner.last, at, kind, server, message };
        if let Some(queue) = &inner.queue {
            queue.put(&event);
        }
        if inner.kept.len() == KEPT_EVENTS {
            inner.kept.pop_front();
        }
        inner.kept.push_back(event);
    }

    /// How many there have been of each kind since dauphin was started, those not kept any more among them.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    /// Those that are kept, oldest first.
    pub fn all(&self) -> Vec<Event> {
        self.inner.lock().kept.iter().cloned().collect()
    }

    /// The latest that is so, of those that this dauphin has recorded.
    pub fn latest(&self, is_so: impl Fn(&Event) -> bool) -> Option<Event> {
        let inner = self.inner.lock();
        let mut own = inner.kept.iter().rev().take_while(|event| event.id > inner.before);
        own.find(|event| is_so(event)).cloned()
    }
}

/// What an operator may ask of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make another server the primary, with nobody noticing; to the best one if none is named.
    SwitchOver {
        /// The name of the server that is to be the primary.
        to: Option<String>,
        /// End the sessions that would keep it from happening.
        force: bool,
    },
    /// Promote a replica although, or because, the primary is gone.
    FailOver {
        /// The name of the server that is to be the primary.
        to: Option<String>,
        /// Also if transactions are lost by it.
        force: bool,
    },
    /// Take a server out of rotation: running statements finish, no new ones come.
    Drain(String),
    /// Put it back.
    Undrain(String),
    /// Hold new statements to the primary until `Resume`.
    Pause,
    /// Let them go on.
    Resume,
}

/// An action and where its outcome goes: what was done in a sentence, or why it was not.
#[derive(Debug)]
pub struct Request {
    /// What is asked for.
    pub action: Action,
    /// Who asked: for the audit trail.
    pub by: String,
    /// The answer; an `Err` has left everything as it was, or says how it is now.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// The admin port's end.
#[derive(Debug)]
pub struct Control {
    /// The latest view.
    pub view: ArcSwap<View>,
    /// What happened.
    pub events: Events,
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// Both ends.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(16);
        let view = ArcSwap::from_pointee(View::default());
        (Arc::new(Self { view, events: Events::default(), requests }), receiver)
    }

    /// Asks, and waits for the outcome: a switchover takes as long as its limits allow. Dropping the future does not stop
    /// what has begun.
    ///
    /// # Errors
    /// Why it was not done, for people.
    pub async fn ask(&self, action: Action, by: &str) -> Result<String, String> {
        let (answer, outcome) = oneshot::channel();
        let stopped = || "dauphin is stopping".to_owned();
        self.requests.send(Request { action, by: by.to_owned(), answer }).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}
