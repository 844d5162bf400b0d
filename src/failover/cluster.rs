//! The servers, as a failover sees them: what may be asked of each and done to it. The real one speaks SQL over connections
//! of its own, which are kept open: logging in anew takes longer than all the rest of a failover.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use crate::{
    backend::{
        Account, Fleet,
        connect::ServerError,
        own::{AskError, OwnConnection},
    },
    monitor::ask::{self, Memory},
    topology::{
        Flavour, Gtids,
        dialect::{self, Follow, SemiSyncWords, SourceSettings},
        flavour::Version,
        report::{Problem, Report},
    },
};

/// What is done to a server. Each may be repeated: doing it twice is as good as once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Get the lock that only one dauphin can have.
    Claim,
    /// Give it back.
    Yield,
    /// Depose it: no client may write there any more, nor be told that a waiting commit was done.
    Fence,
    /// Take no more writes; those that are being committed go on.
    Close {
        /// How long they may take.
        at_most: Duration,
    },
    /// Take writes.
    Open,
    /// Receive nothing more from the source.
    StopReceiving,
    /// Receive again.
    StartReceiving,
    /// Wait until these are applied; fails if they are not in time.
    Apply {
        /// Which.
        gtids: Gtids,
        /// How long.
        at_most: Duration,
    },
    /// Stop being a replica, still read-only, and wait for acknowledgements like this.
    Crown(Option<SourceSettings>),
    /// Wait for acknowledgements like this from now on.
    SemiSync(Option<SourceSettings>),
    /// Replicate from there.
    Follow(Follow),
    /// Have its replication group make a member its primary.
    Lead {
        /// The member's identity.
        member: String,
        /// How long transactions that are open there may take; the group ends them then.
        at_most: Duration,
    },
}

impl Act {
    /// A word for logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Yield => "yield",
            Self::Fence => "fence",
            Self::Close { .. } => "close",
            Self::Open => "open",
            Self::StopReceiving => "stop_receiving",
            Self::StartReceiving => "start_receiving",
            Self::Apply { .. } => "apply",
            Self::Crown(_) => "crown",
            Self::SemiSync(_) => "semi_sync",
            Self::Follow(_) => "follow",
            Self::Lead { .. } => "lead",
        }
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The server cannot be reached, or did not answer in time: whether it was done is not known.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// The server refused.
    #[error("it refuses {statement}: {error}")]
    Refused {
        /// What, without secrets.
        statement: String,
        /// In its own words.
        error: String,
    },
    /// Its clients are cut off, and it has not become read-only: commits hang there.
    #[error("its clients are cut off, but it does not become read-only: {0}")]
    StillOpen(String),
    /// Another dauphin has the lock.
    #[error("another dauphin is at work there")]
    Claimed,
    /// Somebody is rebuilding it: what it says of itself means nothing yet.
    #[error("it is being rebuilt by CLONE")]
    BeingCloned,
    /// It has not applied what it should have, yet.
    #[error("it has not applied all it received in time")]
    NotApplied,
}

/// What a failover may ask of the servers and do to them. One server's acts run one after another, those of different
/// servers at the same time.
pub trait Cluster: Send + Sync + 'static {
    /// Asks a server how it is, now.
    fn report(&self, server: usize) -> impl Future<Output = Result<Report, Problem>> + Send;
    /// Does something to a server. Bounded in time.
    fn act(&self, server: usize, act: Act) -> impl Future<Output = Result<(), ActError>> + Send;
    /// Has connections ready.
    fn keep_warm(&self) -> impl Future<Output = ()> + Send;
}

/// The servers themselves.
#[derive(Debug)]
pub struct SqlCluster {
    fleet: Arc<Fleet>,
    account: Arc<Account>,
    /// Of each server that there is or may be.
    links: Vec<Mutex<Link>>,
}

#[derive(Debug, Default)]
struct Link {
    open: Option<Open>,
    memory: Memory,
}

#[derive(Debug)]
struct Open {
    connection: OwnConnection,
    version: Version,
    words: SemiSyncWords,
}

/// How long a statement may take that only sets something.
const SHORT: Duration = Duration::from_secs(2);
/// How long a receiver may take to stop. Measured where the source hangs: one that is connected takes 7 ms on MySQL 9.7 and
/// a second on MariaDB 11.8; one that tries to connect, as it does once it has heard nothing for `replica_net_timeout`, takes
/// two seconds on MySQL and on MariaDB up to `slave_net_timeout`. KILL does not end it sooner.
const STOP_AT_MOST: Duration = Duration::from_secs(10);

/// How long a replication group may take to elect whom it was told to.
const ELECTION: Duration = Duration::from_secs(10);

impl SqlCluster {
    /// For these servers, as `account`. Connects when first needed.
    pub fn new(fleet: Arc<Fleet>, account: Arc<Account>) -> Self {
        let links = (0..fleet.servers.capacity()).map(|_| Mutex::default()).collect();
        Self { fleet, account, links }
    }

    /// A link that is connected, with which what was asked is done within `at_most`.
    async fn with_link<T>(
        &self,
        server: usize,
        at_most: Duration,
        work: impl AsyncFnOnce(&mut Open) -> Result<T, ActError>,
    ) -> Result<T, ActError> {
        let until = Instant::now() + at_most;
        let silent = || ActError::Unreachable(format!("no answer within {} ms", at_most.as_millis()));
        let done = tokio::time::timeout_at(until, async {
            let mut link = self.connected(server).await?;
            // What is cut off in the middle must not be read by the next: it is put back when it is done.
            let mut open = link.open.take().ok_or_else(silent)?;
            let done = work(&mut open).await;
            if !matches!(done, Err(ActError::Unreachable(_) | ActError::StillOpen(_))) {
                link.open = Some(open);
            }
            done
        });
        done.await.unwrap_or_else(|_| Err(silent()))
    }

    async fn connected(&self, server: usize) -> Result<MutexGuard<'_, Link>, ActError> {
        let mut link = self.links[server].lock().await;
        if link.open.is_none() {
            link.open = Some(self.open(server).await?);
            link.memory.forget_connection();
        }
        Ok(link)
    }

    async fn open(&self, server: usize) -> Result<Open, ActError> {
        let lost = |error: &dyn std::fmt::Display| ActError::Unreachable(error.to_string());
        let opened = OwnConnection::open(&self.fleet.servers[server], &self.account).await;
        let mut connection = opened.map_err(|error| lost(&error))?;
        let version = connection.ask("SELECT VERSION()").await.map_err(|error| lost(&error))?;
        let version = Version::parse(&String::from_utf8_lossy(version.first_value().unwrap_or_default()));
        let words = connection
            .ask("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled')")
            .await
            .map_err(|error| lost(&error))?;
        let words = match words.first_value() {
            Some(b"rpl_semi_sync_source_enabled") => SemiSyncWords::SourceReplica,
            Some(_) => SemiSyncWords::MasterSlave,
            None => SemiSyncWords::None,
        };
        Ok(Open { connection, version, words })
    }

    async fn run(
        &self,
        server: usize,
        at_most: Duration,
        statements: impl FnOnce(&Open) -> Vec<String>,
    ) -> Result<(), ActError> {
        self.with_link(server, at_most, async |open| {
            for statement in statements(open) {
                open.run(&statement).await?;
            }
            Ok(())
        })
        .await
    }

    /// Deposes a primary: its clients are cut off before any waiting commit can be acknowledged, and only then are commits
    /// released that would keep it from becoming read-only.
    async fn fence(&self, server: usize) -> Result<(), ActError> {
        let user = self.account.name().into_owned();
        self.with_link(server, SHORT, async |open| {
            if let Some(cut) = open.version.cut_clients() {
                open.run(cut).await?;
            }
            let clients = open.ask(&open.version.client_connections(&user)).await?;
            for id in clients.rows.iter().filter_map(|row| row.first()?.as_deref()) {
                // One that has gone by itself is as good.
                let kill = format!("KILL CONNECTION {}", String::from_utf8_lossy(id));
                if let Err(lost @ ActError::Unreachable(_)) = open.run(&kill).await {
                    return Err(lost);
                }
            }
            // MySQL keeps a commit waiting whose client is gone; MariaDB ended it with its connection.
            let mut statements = Vec::new();
            if open.version.flavour == Flavour::MySql {
                statements.extend(open.version.semi_sync_source(open.words, None));
            }
            statements.extend(open.version.close(Duration::from_secs(1)));
            for statement in statements {
                // A MySQL server ends itself when a commit is cut off that waits for room in the binary log
                // (binlog_error_action = ABORT_SERVER, the default).
                open.run(&statement).await.map_err(|error| ActError::StillOpen(error.to_string()))?;
            }
            if let Some(admit) = open.version.admit_clients() {
                open.run(admit).await?;
            }
            Ok(())
        })
        .await
    }
}

impl Open {
    async fn ask(&mut self, statement: &str) -> Result<crate::backend::Own, ActError> {
        self.connection.ask(statement).await.map_err(|error| match error {
            AskError::Lost(error) => ActError::Unreachable(error.to_string()),
            AskError::Refused(error) => refused(statement, &error),
        })
    }

    async fn run(&mut self, statement: &str) -> Result<(), ActError> {
        self.ask(statement).await.map(drop)
    }

    /// A server whose data is being replaced looks like one that lacks everything and could follow anybody.
    async fn must_not_be_cloned(&mut self) -> Result<(), ActError> {
        let Some(ask) = self.version.clones_under_way() else { return Ok(()) };
        match self.ask(ask).await {
            Ok(answer) if answer.first_value().is_some_and(|count| count != b"0") => {
                Err(ActError::BeingCloned)
            }
            // Without the plugin there is no such table.
            Ok(_) | Err(ActError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn refused(statement: &str, error: &ServerError) -> ActError {
    // What follows the first words may be a password.
    let words: Vec<_> = statement.split_whitespace().take(4).collect();
    if error.code == 1053 {
        return ActError::Unreachable(error.to_string());
    }
    ActError::Refused { statement: words.join(" "), error: error.to_string() }
}

impl Cluster for SqlCluster {
    async fn report(&self, server: usize) -> Result<Report, Problem> {
        let asked = timeout(SHORT, async {
            let mut link =
                self.connected(server).await.map_err(|error| Problem::Silent(error.to_string()))?;
            let Link { open, memory } = &mut *link;
            let mut taken = open.take().ok_or_else(|| Problem::Silent("not connected".to_owned()))?;
            let report = ask::ask(&mut taken.connection, memory, None).await;
            if !matches!(&report, Err(problem) if problem.is_unreachable()) {
                *open = Some(taken);
            }
            report
        });
        asked.await.unwrap_or_else(|_| Err(Problem::Silent("no answer in time".to_owned())))
    }

    async fn act(&self, server: usize, act: Act) -> Result<(), ActError> {
        match act {
            Act::Claim => {
                self.with_link(server, SHORT, async |open| {
                    let got = open.ask(dialect::CLAIM).await?;
                    if got.first_value() == Some(b"1") { Ok(()) } else { Err(ActError::Claimed) }
                })
                .await
            }
            Act::Yield => {
                self.run(server, SHORT, |_| vec!["SELECT RELEASE_LOCK('dauphin.control')".to_owned()]).await
            }
            Act::Fence => self.fence(server).await,
            Act::Close { at_most } => {
                self.run(server, at_most + SHORT, |open| open.version.close(at_most)).await
            }
            Act::Open => {
                self.run(server, SHORT, |open| {
                    // A fence that ended halfway may have left clients locked out.
                    let admit = open.version.admit_clients().map(str::to_owned);
                    admit.into_iter().chain([open.version.open().to_owned()]).collect()
                })
                .await
            }
            Act::StopReceiving => self.run(server, STOP_AT_MOST, |open| open.version.stop_receiving()).await,
            Act::StartReceiving => self.run(server, SHORT, |open| vec![open.version.start_receiving()]).await,
            Act::Apply { gtids, at_most } => {
                self.with_link(server, at_most + SHORT, async |open| {
                    if gtids.is_empty() {
                        return Ok(());
                    }
                    let wait = open.version.flavour.wait_for(&gtids.position(), at_most.as_secs_f64());
                    let applied = open.ask(&wait).await?;
                    if applied.first_value() == Some(b"0") { Ok(()) } else { Err(ActError::NotApplied) }
                })
                .await
            }
            Act::Crown(settings) => {
                self.run(server, SHORT * 2, |open| {
                    let mut statements = open.version.leave_source();
                    statements.extend(open.version.semi_sync_replica(open.words, false));
                    statements.extend(open.version.semi_sync_source(open.words, settings.as_ref()));
                    statements
                })
                .await
            }
            Act::SemiSync(settings) => {
                self.run(server, SHORT, |open| open.version.semi_sync_source(open.words, settings.as_ref()))
                    .await
            }
            Act::Follow(follow) => {
                self.with_link(server, SHORT * 2, async |open| {
                    open.must_not_be_cloned().await?;
                    let mut statements = open.version.semi_sync_replica(open.words, follow.acknowledge);
                    statements.extend(open.version.admit_clients().map(str::to_owned));
                    statements.extend(open.version.follow(&follow));
                    // Last, as it takes a second on MySQL: the new primary's commits wait for this one meanwhile.
                    statements.extend(open.version.semi_sync_source(open.words, None));
                    for statement in statements {
                        open.run(&statement).await?;
                    }
                    Ok(())
                })
                .await
            }
            Act::Lead { member, at_most } => {
                self.run(server, at_most + ELECTION, |open| vec![open.version.lead_group(&member, at_most)])
                    .await
            }
        }
    }

    async fn keep_warm(&self) {
        let servers = self.fleet.servers.len();
        for link in &self.links[..servers] {
            // Whoever uses it keeps it warm.
            let Ok(mut link) = link.try_lock() else { continue };
            let Some(mut open) = link.open.take() else { continue };
            if matches!(timeout(SHORT, open.connection.ask("DO 1")).await, Ok(Ok(_))) {
                link.open = Some(open);
            }
        }
        for server in 0..servers {
            let _ = timeout(SHORT, self.connected(server)).await;
        }
    }
}
