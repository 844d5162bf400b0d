//! Asking each server how it is, on connections and a thread of its own, for whoever judges the answers.

pub mod ask;
pub mod code;
mod grants;
pub mod scout;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    backend::{Account, Server, own::OwnConnection},
    config::Monitor as Config,
    topology::{
        Flavour,
        heartbeat::Heartbeat,
        report::{Problem, Refusal, Report},
    },
};
use ask::Memory;

/// How one server was when it was last asked.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Its place in the fleet.
    pub server: usize,
    /// When the question was sent.
    pub asked_at: Instant,
    /// When its answer was there.
    pub answered_at: Instant,
    /// Whether it was suspected to be gone and is not.
    pub recovered: bool,
    /// What it said, or why it did not.
    pub report: Result<Report, Problem>,
}

/// Where observations wait for their reader: the latest of each server, so that a reader that is busy finds no old ones.
#[derive(Debug, Default)]
pub struct Observations {
    latest: Mutex<Vec<Option<Observation>>>,
    arrived: Notify,
    pokes: Mutex<Vec<Arc<Notify>>>,
}

impl Observations {
    /// Of so many servers, none of which has been asked.
    pub fn new(servers: usize) -> Self {
        let observations = Self::default();
        (0..servers).for_each(|_| observations.add());
        observations
    }

    /// Of one server more.
    pub fn add(&self) {
        self.latest.lock().push(None);
        self.pokes.lock().push(Arc::default());
    }

    /// Leaves an observation for the reader, in the place of an earlier one that he has not taken.
    pub fn put(&self, observation: Observation) {
        let mut latest = self.latest.lock();
        let slot = &mut latest[observation.server];
        let recovered = slot.as_ref().is_some_and(|earlier| earlier.recovered);
        *slot = Some(Observation { recovered: observation.recovered || recovered, ..observation });
        drop(latest);
        self.arrived.notify_one();
    }

    /// Completes when there is something to take. Cancel safe.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes what has arrived.
    pub fn take(&self) -> Vec<Observation> {
        self.latest.lock().iter_mut().filter_map(Option::take).collect()
    }

    /// Completes when this server is to be asked at once. Cancel safe.
    pub async fn poked(&self, server: usize) {
        let poke = self.pokes.lock()[server].clone();
        poke.notified().await;
    }

    /// Has every server asked at once: one of them may be gone, and the others know more of it.
    pub fn hurry(&self) {
        self.pokes.lock().iter().for_each(|poke| poke.notify_one());
    }
}

/// Watches servers, each for ever. Cancel safe: all it holds is connections.
#[derive(Debug)]
pub struct Watchers {
    /// What they have seen.
    pub observations: Arc<Observations>,
    account: Arc<Account>,
    config: Config,
    /// The question for dauphin's heartbeat.
    heartbeat: Option<String>,
    tasks: tokio::task::JoinSet<()>,
}

impl Watchers {
    /// Of no server yet; they read this heartbeat.
    pub fn new(account: Arc<Account>, config: Config, heartbeat: Option<&Heartbeat>) -> Self {
        let heartbeat = heartbeat.map(Heartbeat::read);
        Self { observations: Arc::default(), account, config, heartbeat, tasks: tokio::task::JoinSet::new() }
    }

    /// Watches the server that comes next in the fleet.
    pub fn add(&mut self, server: &Arc<Server>) {
        self.observations.add();
        let watcher = Watcher {
            index: server.id.0,
            server: server.clone(),
            account: self.account.clone(),
            config: self.config.clone(),
            heartbeat: self.heartbeat.clone(),
            connection: None,
            old: None,
            has_said_what_lacks: false,
            memory: Memory::default(),
        };
        self.tasks.spawn(watcher.run(self.observations.clone()));
    }
}

struct Watcher {
    index: usize,
    server: Arc<Server>,
    account: Arc<Account>,
    config: Config,
    /// The question for it.
    heartbeat: Option<String>,
    connection: Option<OwnConnection>,
    /// The one before, while no other can be had.
    old: Option<OwnConnection>,
    has_said_what_lacks: bool,
    memory: Memory,
}

impl Watcher {
    async fn run(mut self, observations: Arc<Observations>) {
        let mut last_problem = None;
        loop {
            let asked_at = Instant::now();
            let report = match tokio::time::timeout(self.config.timeout, self.ask()).await {
                Ok(report) => report,
                Err(_) => {
                    self.connection = None;
                    Err(Problem::Silent("no answer within [monitor] timeout".to_owned()))
                }
            };
            let recovered = self.note(&report, &mut last_problem);
            let pause = if report.is_ok() { self.config.interval } else { self.config.reconnect };
            let answered_at = Instant::now();
            observations.put(Observation { server: self.index, asked_at, answered_at, recovered, report });
            self.pause(asked_at + pause, &observations).await;
        }
    }

    /// Until the next round; hardly at all when a session has just failed to reach the server, or the controller asks.
    async fn pause(&self, until: Instant, observations: &Observations) {
        const SOON: Duration = Duration::from_millis(50);
        let soon = until.min(Instant::now() + SOON);
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.server.suspected() => tokio::time::sleep_until(soon).await,
            () = observations.poked(self.index) => {}
        }
    }

    async fn ask(&mut self) -> Result<Report, Problem> {
        if self.server.is_suspect() && self.connection.is_some() {
            // What the data path could not reach must be reached anew, not over an old connection.
            self.old = self.connection.take();
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.memory.forget_connection();
                match OwnConnection::open(&self.server, &self.account).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(self.why(error.into()).await),
                }
            }
        };
        self.old = None;
        let report = ask::ask(&mut connection, &mut self.memory, self.heartbeat.as_deref()).await?;
        for ask::Lacking { without, remedy } in self.memory.take_lacking() {
            if !std::mem::replace(&mut self.has_said_what_lacks, true) {
                tracing::warn!(server = %self.server.name, remedy, "dauphin's account lacks a privilege: {without}");
            }
        }
        self.connection = Some(connection);
        Ok(report)
    }

    /// MySQL stops listening as soon as it is shut down, and ends a connection when something is asked there: the old one
    /// tells whether it says goodbye.
    async fn why(&mut self, problem: Problem) -> Problem {
        const AT_MOST: Duration = Duration::from_millis(100);
        let Problem::Gone(cause) = problem else { return problem };
        let Some(mut old) = self.old.take() else { return Problem::Gone(cause) };
        let asked = tokio::time::timeout(AT_MOST, old.ask("DO 1")).await;
        match asked.map(|answer| answer.map_err(|error| ask::problem(error, Flavour::MySql))) {
            Ok(Err(Problem::Closed(_))) => return Problem::Closed(cause),
            Ok(Ok(_)) => self.old = Some(old),
            Ok(Err(_)) | Err(_) => {}
        }
        Problem::Gone(cause)
    }

    /// What others may know at once, and a line in the log for each change; answers whether a suspicion has ended.
    fn note(&self, report: &Result<Report, Problem>, last_problem: &mut Option<Problem>) -> bool {
        let problem = report.as_ref().err().cloned();
        match (&problem, &*last_problem) {
            (Some(problem), last) if last.as_ref() != Some(problem) => {
                tracing::warn!(server = %self.server.name, %problem, remedy = problem.remedy(), "server cannot be watched");
            }
            (None, Some(_)) => tracing::info!(server = %self.server.name, "server can be watched again"),
            _ => {}
        }
        *last_problem = problem;
        match report {
            Ok(_) => return self.server.trust(),
            Err(Problem::Closed(cause) | Problem::Gone(cause) | Problem::Silent(cause)) => {
                self.server.suspect(cause)
            }
            Err(Problem::Refused { what: Refusal::Host | Refusal::Tls, error }) => self.server.suspect(error),
            Err(Problem::Refused { .. } | Problem::MissingPrivilege { .. } | Problem::Double(_)) => {}
        }
        false
    }
}
