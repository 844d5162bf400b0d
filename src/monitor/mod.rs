//! Asking each server how it is, on connections and a thread of its own, and publishing what follows for sessions.

mod ask;
mod assemble;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    backend::{Account, Fleet, Server, own::OwnConnection},
    config::{Monitor as Config, Routing},
    routing::Published,
};
pub use ask::{Problem, Replication, Report};
pub use assemble::Topology;

/// How one server was when it was last asked.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Its place in the config.
    pub server: usize,
    /// Whether it was suspected to be gone and is not.
    pub recovered: bool,
    /// When the question was sent.
    pub asked_at: std::time::Instant,
    /// When its answer was there.
    pub answered_at: std::time::Instant,
    /// What it said, or why it did not.
    pub report: Result<Report, Problem>,
}

/// Watches all servers and publishes a table for every change, for ever. Cancel safe: all it holds is connections.
pub async fn run(
    fleet: Arc<Fleet>,
    account: Arc<Account>,
    config: Config,
    routing: Routing,
    published: Arc<Published>,
) {
    let (sender, mut observations) = mpsc::channel(fleet.servers.len() * 4);
    let mut watchers = tokio::task::JoinSet::new();
    for (index, server) in fleet.servers.iter().enumerate() {
        let watcher = Watcher {
            index,
            server: server.clone(),
            account: account.clone(),
            config: config.clone(),
            connection: None,
        };
        watchers.spawn(watcher.run(sender.clone()));
    }
    drop(sender);
    let mut topology = Topology::new(fleet.servers.clone(), routing.primary_reads, routing.max_replica_lag);
    while let Some(observation) = observations.recv().await {
        let recovered = observation.recovered;
        match topology.observe(observation) {
            Some(table) => published.publish(table),
            None if recovered => published.wake(),
            None => {}
        }
    }
}

struct Watcher {
    index: usize,
    server: Arc<Server>,
    account: Arc<Account>,
    config: Config,
    connection: Option<OwnConnection>,
}

impl Watcher {
    async fn run(mut self, sender: mpsc::Sender<Observation>) {
        let mut last_problem = None;
        loop {
            let began = Instant::now();
            let asked_at = began.into_std();
            let report = match tokio::time::timeout(self.config.timeout, self.ask()).await {
                Ok(report) => report,
                Err(_) => {
                    self.connection = None;
                    Err(Problem::Unreachable("no answer within [monitor] timeout".to_owned()))
                }
            };
            let recovered = self.note(&report, &mut last_problem);
            let pause = if report.is_ok() { self.config.interval } else { self.config.reconnect };
            let answered_at = std::time::Instant::now();
            let observation = Observation { server: self.index, recovered, asked_at, answered_at, report };
            if sender.send(observation).await.is_err() {
                return;
            }
            self.pause(began + pause).await;
        }
    }

    /// Until the next round; hardly at all when a session has just failed to reach the server.
    async fn pause(&self, until: Instant) {
        const SOON: Duration = Duration::from_millis(50);
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.server.suspected() => tokio::time::sleep_until(until.min(Instant::now() + SOON)).await,
        }
    }

    async fn ask(&mut self) -> Result<Report, Problem> {
        if self.server.is_suspect() {
            // What the data path could not reach must be reached anew, not over an old connection.
            self.connection = None;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => OwnConnection::open(&self.server, &self.account).await.map_err(Problem::from)?,
        };
        let report = ask::ask(&mut connection).await?;
        self.connection = Some(connection);
        Ok(report)
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
            Err(Problem::Unreachable(cause)) => self.server.suspect(cause),
            Err(Problem::Refused(_) | Problem::MissingPrivilege { .. }) => {}
        }
        false
    }
}
