//! The disturbances: one after the other, chosen at random, until the load ends. The primary's process is left alone: tests/faults
//! kills it.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use mysql_async::{Conn, OptsBuilder, Row, prelude::Queryable as _};
use tokio::time::{sleep, timeout};

use super::world::World;
use crate::{
    cluster::{NODES, options},
    dauphin::Dauphin,
    fault::switch_over,
    random::Random,
    servers::{Node, Servers},
};

/// How long replicas may take until they serve reads again.
const BACK: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Disturbance {
    KillSession,
    KillQuery,
    KillBackend,
    KillMonitor,
    CrashReplica,
    RestartReplica,
    HangReplica,
    StopApplier,
    Switchover,
}

/// The more often it is here, the more often it happens.
const CHOICES: [Disturbance; 21] = {
    use Disturbance::*;
    [
        KillSession,
        KillSession,
        KillSession,
        KillSession,
        KillQuery,
        KillQuery,
        KillQuery,
        KillQuery,
        KillBackend,
        KillBackend,
        KillBackend,
        KillBackend,
        KillMonitor,
        CrashReplica,
        RestartReplica,
        HangReplica,
        HangReplica,
        StopApplier,
        StopApplier,
        Switchover,
        Switchover,
    ]
};

pub struct Disturber<'a> {
    pub world: &'a World,
    pub servers: &'a Servers,
    pub dauphin: &'a Dauphin,
    pub random: Random,
    done: BTreeMap<Disturbance, u32>,
    /// Switchovers that had to be.
    forced: u32,
    /// Those that dauphin refused.
    refused: u32,
}

impl<'a> Disturber<'a> {
    pub fn new(world: &'a World, servers: &'a Servers, dauphin: &'a Dauphin, seed: u64) -> Self {
        Self {
            world,
            servers,
            dauphin,
            random: Random::new(seed),
            done: BTreeMap::new(),
            forced: 0,
            refused: 0,
        }
    }

    /// Disturbs until this moment, and then waits until both replicas serve again; says how often what was done.
    pub async fn run(mut self, until: Instant) -> String {
        loop {
            sleep(self.random.ms(1000, 7000)).await;
            if Instant::now() >= until {
                break;
            }
            let what = self.random.of(&CHOICES);
            *self.done.entry(what).or_default() += 1;
            let done = async {
                self.disturb(what).await?;
                self.replicas_serve().await
            };
            if let Err(error) = done.await {
                self.world.wrong(format!("{what:?}: {error:#}"));
            }
        }
        let done = self.done.iter().map(|(what, count)| format!("{count} x {what:?}"));
        format!(
            "{} ({} by force, {} refused)",
            done.collect::<Vec<_>>().join(", "),
            self.forced,
            self.refused
        )
    }

    async fn disturb(&mut self, what: Disturbance) -> Result<()> {
        match what {
            Disturbance::KillSession => self.kill("KILL").await,
            Disturbance::KillQuery => {
                for _ in 0..10 {
                    self.kill("KILL QUERY").await?;
                }
                Ok(())
            }
            Disturbance::KillBackend => {
                let at = self.random.below(NODES.len());
                for _ in 0..3 {
                    kill_connection(&self.servers.nodes[at], "app").await?;
                }
                Ok(())
            }
            Disturbance::KillMonitor => {
                let at = self.random.below(NODES.len());
                kill_connection(&self.servers.nodes[at], "dauphin").await
            }
            Disturbance::CrashReplica => self.replica().await?.kill(true).await,
            Disturbance::RestartReplica => {
                let replica = self.replica().await?;
                replica.shut_down().await?;
                sleep(self.random.ms(1000, 5000)).await;
                replica.up().await?;
                replica.answers(BACK).await
            }
            Disturbance::HangReplica => {
                let replica = self.replica().await?;
                replica.shell("kill -STOP $(cat /tmp/server.pid)").await?;
                sleep(self.random.ms(500, 6000)).await;
                replica.up().await
            }
            Disturbance::StopApplier => {
                let replica = self.replica().await?;
                // It may take long where it has much to end, and goes on without us.
                let _ = replica.sql("STOP REPLICA SQL_THREAD").await;
                sleep(self.random.ms(500, 8000)).await;
                let start = Instant::now();
                while let Err(error) = replica.sql("START REPLICA SQL_THREAD").await {
                    ensure!(start.elapsed() < BACK, "{error:#}");
                }
                Ok(())
            }
            Disturbance::Switchover => self.switch_over().await,
        }
    }

    /// A session that has a temporary table may keep it from happening; then it is forced. It may be refused for what was done
    /// to the servers just before.
    async fn switch_over(&mut self) -> Result<()> {
        let to = self.replica().await?;
        let mut answer = switch_over(self.dauphin, &to).await;
        if answer.as_ref().is_err_and(|error| format!("{error:#}").contains("SWITCHOVER FORCE ends them")) {
            self.forced += 1;
            let text = format!("SWITCHOVER TO {} FORCE", to.name);
            let mut operator = Conn::new(self.operator()).await.context("dauphin's admin port")?;
            answer = operator.query_drop(&text).await.context(text);
        }
        match answer {
            Err(error) if format!("{error:#}").contains("is still the primary") => {
                println!("refused: {error:#}");
                self.refused += 1;
                Ok(())
            }
            answer => answer,
        }
    }

    /// By a client of the same account, which may.
    async fn kill(&mut self, word: &str) -> Result<()> {
        let at = self.random.below(self.world.ids.len());
        let id = self.world.ids[at].load(Ordering::Relaxed);
        let mut connection = Conn::new(self.world.options.clone()).await.context("a client that kills")?;
        match connection.query_drop(format!("{word} {id}")).await {
            // 1094: it has ended meanwhile. 1105: its statement's server did not let dauphin in, to end it there.
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1094 | 1105) => {}
            done => done.with_context(|| format!("{word} {id}"))?,
        }
        connection.disconnect().await.context("COM_QUIT")
    }

    async fn replica(&mut self) -> Result<Node> {
        let servers = self.shown().await?;
        let replicas: Vec<_> = servers.iter().filter(|server| server.1 == "replica").collect();
        ensure!(replicas.len() == 2, "the servers are {servers:?}");
        let name = &replicas[self.random.below(2)].0;
        let node = self.servers.nodes.iter().find(|node| node.name == *name);
        node.cloned().context("dauphin knows the servers by the names that it was told")
    }

    fn operator(&self) -> OptsBuilder {
        options(self.dauphin.admin.ip().to_string(), self.dauphin.admin.port(), "admin", "")
    }

    /// Each server's name, role, and whether it takes reads.
    async fn shown(&self) -> Result<Vec<(String, String, String)>> {
        let ask = async {
            let rows: Vec<Row> = Conn::new(self.operator()).await?.query("SHOW SERVERS").await?;
            let get = |row: &Row, name: &str| row.get::<String, _>(name).unwrap_or_default();
            let row = |row: &Row| (get(row, "server"), get(row, "role"), get(row, "reads"));
            Ok(rows.iter().map(row).collect())
        };
        timeout(Duration::from_secs(10), ask).await.context("no SHOW SERVERS within 10 s")?
    }

    async fn replicas_serve(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let servers = self.shown().await?;
            if servers.iter().filter(|(_, role, reads)| role == "replica" && reads == "yes").count() == 2 {
                return Ok(());
            }
            ensure!(start.elapsed() < BACK, "two replicas do not serve after {BACK:?}: {servers:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Ends one connection of this account, whichever, if there is one.
async fn kill_connection(node: &Node, user: &str) -> Result<()> {
    let query = "SELECT id FROM information_schema.processlist WHERE user = ? ORDER BY RAND() LIMIT 1";
    let id: Option<u64> = node.root().await?.exec_first(query, (user,)).await?;
    if let Some(id) = id {
        // It may have ended by itself.
        let _ = node.sql(&format!("KILL {id}")).await;
    }
    Ok(())
}
