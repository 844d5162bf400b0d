//! The faults: what each does to the servers or to dauphin, what ends it, and what must come of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    cluster::{Flavour, options},
    dauphin::Dauphin,
    servers::{Node, Servers},
};

/// The steps of a failover at which a dauphin of a debug build can be told to die, by `DAUPHIN_CRASH_AT`: see
/// `crash_point` in src/failover/execute.rs.
pub const FAILOVER_STEPS: [&str; 10] =
    ["hold", "claim", "freeze", "choose", "apply", "commit", "crown", "open", "publish", "follow"];
/// Those of a switchover; what follows them is as above.
pub const SWITCHOVER_STEPS: [&str; 5] = ["switch_prepare", "switch_drain", "close", "switch_apply", "commit"];

/// A fault. db1 stands for the first of the servers, which is the primary when it happens, db2 for the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Restart,
    RestartLater,
    Shutdown,
    Hang,
    CutFromDauphin,
    CutFromReplicas,
    CutFromAll,
    DiskFull,
    ReadOnly,
    BrokenReplica,
    BrokenReplicaThenKill,
    DelayedReplica,
    DelayedReplicaThenKill,
    ReplicasDown,
    DauphinKilled,
    Switchover,
    CrashAt(&'static str),
    SwitchoverCrashAt(&'static str),
}

/// What becomes of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It stays.
    Stays,
    /// Another takes its place.
    Replaced,
    /// db2 takes its place: that was asked for.
    ReplacedByDb2,
    /// Either is right: it depends on who is faster.
    Either,
}

impl Fault {
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Kill,
            Self::Restart,
            Self::RestartLater,
            Self::Shutdown,
            Self::Hang,
            Self::CutFromDauphin,
            Self::CutFromReplicas,
            Self::CutFromAll,
            Self::DiskFull,
            Self::ReadOnly,
            Self::BrokenReplica,
            Self::BrokenReplicaThenKill,
            Self::DelayedReplica,
            Self::DelayedReplicaThenKill,
            Self::ReplicasDown,
            Self::DauphinKilled,
            Self::Switchover,
        ];
        plain
            .into_iter()
            .chain(FAILOVER_STEPS.map(Self::CrashAt))
            .chain(SWITCHOVER_STEPS.map(Self::SwitchoverCrashAt))
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        let name = match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::RestartLater => "restart-later",
            Self::Shutdown => "shutdown",
            Self::Hang => "hang",
            Self::CutFromDauphin => "cut-from-dauphin",
            Self::CutFromReplicas => "cut-from-replicas",
            Self::CutFromAll => "cut-from-all",
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::BrokenReplica => "broken-replica",
            Self::BrokenReplicaThenKill => "broken-replica-then-kill",
            Self::DelayedReplica => "delayed-replica",
            Self::DelayedReplicaThenKill => "delayed-replica-then-kill",
            Self::ReplicasDown => "replicas-down",
            Self::DauphinKilled => "dauphin-killed",
            Self::Switchover => "switchover",
            Self::CrashAt(step) => return format!("crash-at-{step}"),
            Self::SwitchoverCrashAt(step) => return format!("switchover-crash-at-{step}"),
        };
        name.to_owned()
    }

    /// In a few words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of the primary, which stays down until the load runs on",
            Self::Restart => "kill -9 of the primary, which is back within a second or two",
            Self::RestartLater => "kill -9 of the primary, which is back after a minute (10 s in the tests)",
            Self::Shutdown => "the primary is shut down in order",
            Self::Hang => "the primary's process stands still (SIGSTOP), and goes on later",
            Self::CutFromDauphin => "nothing passes between dauphin and the primary; the replicas see it",
            Self::CutFromReplicas => "nothing passes between the primary and its replicas; dauphin sees all",
            Self::CutFromAll => "nothing passes between the primary and dauphin or its replicas",
            Self::DiskFull => "the primary has no room for its binary log",
            Self::ReadOnly => "an operator sets read_only on the primary, and takes it back later",
            Self::BrokenReplica => "a replica cannot apply what it receives: a duplicate key",
            Self::BrokenReplicaThenKill => "the same, and then kill -9 of the primary",
            Self::DelayedReplica => "a replica applies everything five seconds late",
            Self::DelayedReplicaThenKill => "the same, and then kill -9 of the primary",
            Self::ReplicasDown => "kill -9 of both replicas",
            Self::DauphinKilled => "kill -9 of dauphin, which is started again",
            Self::Switchover => "SWITCHOVER TO db2",
            Self::CrashAt(_) => "kill -9 of the primary; dauphin dies at this step and is started again",
            Self::SwitchoverCrashAt(_) => "SWITCHOVER TO db2; dauphin dies at this step and is started again",
        }
    }

    /// What must become of the primary.
    pub fn expected(self) -> Expected {
        match self {
            Self::Kill
            | Self::RestartLater
            | Self::Shutdown
            | Self::Hang
            | Self::CutFromAll
            | Self::DiskFull
            | Self::DelayedReplicaThenKill
            | Self::CrashAt(_) => Expected::Replaced,
            Self::Switchover => Expected::ReplacedByDb2,
            Self::CutFromDauphin
            | Self::ReadOnly
            | Self::BrokenReplica
            | Self::DelayedReplica
            | Self::ReplicasDown
            | Self::DauphinKilled => Expected::Stays,
            // What only the broken replica has acknowledged is lost with db3: then waiting for the old primary is right.
            Self::Restart
            | Self::BrokenReplicaThenKill
            | Self::CutFromReplicas
            | Self::SwitchoverCrashAt(_) => Expected::Either,
        }
    }

    /// Whether no client may see any error.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Switchover | Self::BrokenReplica | Self::DelayedReplica)
    }

    /// How long it lasts; in the short form it is there to be seen, no more.
    pub fn lasts(self, is_short: bool) -> Duration {
        let (full, short) = match self {
            Self::RestartLater => (60, 10),
            Self::Hang | Self::CutFromAll => (10, 10),
            Self::DelayedReplica => (10, 6),
            Self::CutFromReplicas | Self::DiskFull => (20, 15),
            // Until dauphin runs again, no more.
            Self::CrashAt(_) | Self::SwitchoverCrashAt(_) => (5, 0),
            _ => (5, 4),
        };
        Duration::from_secs(if is_short { short } else { full })
    }

    /// What dauphin is started with.
    pub fn environment(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::CrashAt(step) | Self::SwitchoverCrashAt(step) => vec![("DAUPHIN_CRASH_AT", step)],
            _ => Vec::new(),
        }
    }

    /// What comes before, with time to be noticed.
    pub async fn prepare(self, servers: &Servers) -> Result<()> {
        match self {
            Self::BrokenReplicaThenKill => break_applier(&servers.nodes[1]).await?,
            Self::DelayedReplicaThenKill => delay(&servers.nodes[1], 5).await?,
            _ => return Ok(()),
        }
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    /// Makes it so.
    pub async fn begin(self, servers: &Servers, dauphin: &mut Dauphin) -> Result<()> {
        let [db1, db2, db3] = &servers.nodes;
        match self {
            Self::Kill | Self::RestartLater | Self::BrokenReplicaThenKill | Self::DelayedReplicaThenKill => {
                db1.kill(false).await
            }
            Self::Restart => db1.kill(true).await,
            Self::Shutdown => db1.shut_down().await,
            Self::Hang => db1.shell("kill -STOP $(cat /tmp/server.pid)").await,
            Self::CutFromDauphin => db1.cut_from_dauphin().await,
            Self::CutFromReplicas => {
                db1.cut_from(db2).await?;
                db1.cut_from(db3).await
            }
            Self::CutFromAll => db1.cut_from_all().await,
            Self::DiskFull => db1.fill_disk().await,
            Self::ReadOnly => db1.sql("SET GLOBAL read_only = ON").await,
            Self::BrokenReplica => break_applier(db2).await,
            Self::DelayedReplica => delay(db2, 5).await,
            Self::ReplicasDown => tokio::try_join!(db2.kill(false), db3.kill(false)).map(drop),
            Self::DauphinKilled => {
                dauphin.restart(&[]).await;
                Ok(())
            }
            Self::Switchover => switch_over(dauphin, db2).await,
            Self::CrashAt(step) => {
                db1.kill(false).await?;
                restart_when_ended(dauphin, step).await
            }
            Self::SwitchoverCrashAt(step) => {
                let answer = switch_over(dauphin, db2).await;
                restart_when_ended(dauphin, step).await.with_context(|| format!("the answer was {answer:?}"))
            }
        }
    }

    /// Undoes it, as far as an operator would; whether a server rejoins is dauphin's business.
    pub async fn end(self, servers: &Servers) -> Result<()> {
        let [db1, db2, _] = &servers.nodes;
        for node in &servers.nodes {
            node.up().await?;
        }
        match self {
            // Not where another has become primary meanwhile: an operator would look.
            Self::ReadOnly if is_nobody_open(servers).await? => db1.sql("SET GLOBAL read_only = OFF").await,
            Self::BrokenReplica | Self::BrokenReplicaThenKill => mend_applier(db2).await,
            Self::DelayedReplica | Self::DelayedReplicaThenKill => delay(db2, 0).await,
            // The load is to run while it is taken back.
            Self::CrashAt(_) => db1.answers(Duration::from_secs(60)).await,
            _ => Ok(()),
        }
    }
}

async fn restart_when_ended(dauphin: &mut Dauphin, step: &str) -> Result<()> {
    let start = Instant::now();
    while !dauphin.has_ended() {
        ensure!(start.elapsed() < Duration::from_secs(15), "dauphin has not died at {step}");
        sleep(Duration::from_millis(5)).await;
    }
    dauphin.restart(&[]).await;
    Ok(())
}

/// Statements that a replica takes although it is read-only, and that are in no binary log.
async fn in_secret(replica: &Node, statements: &str) -> Result<()> {
    let (open, close) = match replica.flavour {
        Flavour::MySql => ("SET GLOBAL super_read_only = OFF;", ";SET GLOBAL super_read_only = ON"),
        Flavour::MariaDb => ("", ""),
    };
    replica.sql(&format!("SET SESSION sql_log_bin = 0; {open} {statements} {close}")).await
}

/// The primary will write a row of this id soon. Read first and without locks: INSERT … SELECT would lock the end of the
/// table, and the appliers wait for each other's commits there.
async fn break_applier(replica: &Node) -> Result<()> {
    let mut tries = 0;
    loop {
        let last = "SELECT COALESCE(MAX(id), 0) FROM app_faults.w";
        let last: u64 = replica.root().await?.query_first(last).await?.unwrap_or(0);
        let row = format!(
            "SET SESSION innodb_lock_wait_timeout = 2; SET SESSION lock_wait_timeout = 2; \
             INSERT INTO app_faults.w (id, worker, seq, server) VALUES ({}, 999, 0, 0)",
            last + 100
        );
        match in_secret(replica, &row).await {
            Err(_) if tries < 5 => tries += 1,
            done => return done,
        }
    }
}

async fn mend_applier(replica: &Node) -> Result<()> {
    in_secret(replica, "DELETE FROM app_faults.w WHERE worker = 999").await?;
    replica.sql("START REPLICA").await
}

/// MySQL's receiver stays, and with it what has been received: a change with both threads stopped would drop that.
async fn delay(replica: &Node, seconds: u32) -> Result<()> {
    let statements = match replica.flavour {
        Flavour::MySql => format!(
            "STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}; START REPLICA SQL_THREAD"
        ),
        Flavour::MariaDb => format!(
            "STOP REPLICA; CHANGE MASTER TO MASTER_DELAY = {seconds}, MASTER_HEARTBEAT_PERIOD = 0.2; START REPLICA"
        ),
    };
    replica.sql(&statements).await
}

async fn is_nobody_open(servers: &Servers) -> Result<bool> {
    for node in &servers.nodes {
        let read_only: Option<String> = node.root().await?.query_first("SELECT @@GLOBAL.read_only").await?;
        if read_only.is_some_and(|read_only| matches!(&read_only[..], "0" | "OFF")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// By dauphin's admin port. It is asked again where dauphin, on a machine that is busy, has just had no answer from the primary.
pub async fn switch_over(dauphin: &Dauphin, to: &Node) -> Result<()> {
    let statement = format!("SWITCHOVER TO {}", to.name);
    let options = options(dauphin.admin.ip().to_string(), dauphin.admin.port(), "admin", "");
    let mut connection = Conn::new(options).await.context("dauphin's admin port")?;
    let start = Instant::now();
    loop {
        let answer = timeout(Duration::from_secs(30), connection.query_drop(&statement))
            .await
            .with_context(|| format!("no answer within 30 s: {statement}"))?;
        match answer {
            Err(error) if error.to_string().contains("there is no primary to switch over from") => {
                ensure!(start.elapsed() < Duration::from_secs(10), "{statement}: {error}");
                sleep(Duration::from_millis(100)).await;
            }
            answer => return answer.context(statement),
        }
    }
}
