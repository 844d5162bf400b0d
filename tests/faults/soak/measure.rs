//! What dauphin takes of its machine and of the servers, every few seconds, and whether that stayed what it should.

use std::{
    fmt,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mysql_async::{Conn, Row, prelude::Queryable as _};
use tokio::time::{sleep, sleep_until};

use super::world::World;
use crate::{cluster::options, dauphin::Dauphin, servers::Servers};

const EVERY: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub resident: u64,
    pub descriptors: usize,
    pub sessions: Option<usize>,
    /// Connections that the servers have from clients' accounts, and from dauphin's own; `None` where one does not answer.
    pub of_clients: Option<u64>,
    pub of_dauphin: Option<u64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unknown = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
        write!(
            f,
            "{:.1} MiB, {} descriptors, {} sessions, the servers have {} connections of clients and {} of dauphin's own",
            self.resident as f64 / MIB as f64,
            self.descriptors,
            or_unknown(self.sessions.map(|count| count as u64)),
            or_unknown(self.of_clients),
            or_unknown(self.of_dauphin),
        )
    }
}

impl Sample {
    pub async fn take(servers: &Servers, dauphin: &Dauphin) -> Self {
        let connections = connections(servers).await.ok();
        Self {
            resident: dauphin.resident(),
            descriptors: dauphin.descriptors(),
            sessions: sessions(dauphin).await.ok(),
            of_clients: connections.map(|(of_clients, _)| of_clients),
            of_dauphin: connections.map(|(_, of_dauphin)| of_dauphin),
        }
    }

    /// What has not gone back to what it was before the load.
    pub fn left_over(&self, before: &Self) -> Vec<String> {
        let mut left = Vec::new();
        if self.sessions != Some(0) {
            left.push(format!("sessions: {:?}", self.sessions));
        }
        if self.of_clients != Some(0) {
            left.push(format!("connections of clients at the servers: {:?}", self.of_clients));
        }
        if self.of_dauphin > before.of_dauphin || self.of_dauphin.is_none() {
            let (now, then) = (self.of_dauphin, before.of_dauphin);
            left.push(format!("connections of dauphin's own at the servers: {now:?}, and before {then:?}"));
        }
        if self.descriptors > before.descriptors + 4 {
            left.push(format!("file descriptors: {}, and before {}", self.descriptors, before.descriptors));
        }
        left
    }
}

/// Looks until the load ends, and shows what it sees.
pub async fn watch(world: &World, servers: &Servers, dauphin: &Dauphin, until: Instant) -> Vec<Sample> {
    let (start, mut samples) = (Instant::now(), Vec::new());
    loop {
        let next = Instant::now() + EVERY;
        if next > until {
            sleep_until(until.into()).await;
            return samples;
        }
        sleep_until(next.into()).await;
        let sample = Sample::take(servers, dauphin).await;
        println!(
            "{:5} s: {} answers, {} errors, {} wrong; {sample}",
            start.elapsed().as_secs(),
            world.answers.load(Ordering::Relaxed),
            world.error_count(),
            world.wrong_count(),
        );
        samples.push(sample);
    }
}

/// Waits until nothing is left over, at most this long.
pub async fn settled(servers: &Servers, dauphin: &Dauphin, before: &Sample, at_most: Duration) -> Sample {
    let start = Instant::now();
    loop {
        let sample = Sample::take(servers, dauphin).await;
        if sample.left_over(before).is_empty() || start.elapsed() > at_most {
            return sample;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Memory of the last fifth of the load beside that of the second, medians in MiB, and whether it is flat: 10 % and 8 MiB are
/// allowed. `None` if there are too few samples.
pub fn memory(samples: &[Sample]) -> Option<(f64, f64, bool)> {
    let fifth = samples.len() / 5;
    let median = |of: &[Sample]| {
        let mut resident: Vec<_> = of.iter().map(|sample| sample.resident).collect();
        resident.sort_unstable();
        resident[resident.len() / 2]
    };
    if fifth == 0 {
        return None;
    }
    let early = median(&samples[fifth..2 * fifth]);
    let late = median(&samples[samples.len() - fifth..]);
    let mib = |bytes| bytes as f64 / MIB as f64;
    Some((mib(early), mib(late), late <= early + early / 10 + 8 * MIB))
}

/// Whose connections the servers have, for whoever looks for one that is left over.
pub async fn listing(servers: &Servers) -> Result<String> {
    let mut lines = String::new();
    for node in &servers.nodes {
        let query = "SELECT id, user, time, COALESCE(info, state, '') FROM information_schema.processlist
                     WHERE user IN ('app', 'dauphin') AND command NOT LIKE 'Binlog Dump%' ORDER BY id";
        let rows: Vec<(u64, String, i64, String)> = node.root().await?.query(query).await?;
        for (id, user, seconds, what) in rows {
            lines += &format!("  {}: {id} {user}, {seconds} s: {what}\n", node.name);
        }
    }
    Ok(lines)
}

async fn sessions(dauphin: &Dauphin) -> Result<usize> {
    let admin = options(dauphin.admin.ip().to_string(), dauphin.admin.port(), "admin", "");
    let mut connection = Conn::new(admin).await?;
    let rows: Vec<Row> = connection.query("SHOW SESSIONS").await?;
    connection.disconnect().await?;
    Ok(rows.len())
}

/// Replicas that dauphin has pointed at another primary log in there as dauphin: those are not counted.
async fn connections(servers: &Servers) -> Result<(u64, u64)> {
    let (mut of_clients, mut of_dauphin) = (0, 0);
    for node in &servers.nodes {
        let query = "SELECT COALESCE(SUM(user = 'app'), 0), COALESCE(SUM(user = 'dauphin'), 0)
                     FROM information_schema.processlist WHERE command NOT LIKE 'Binlog Dump%'";
        let counts: Option<(u64, u64)> = node.root().await?.query_first(query).await?;
        let (clients, own) = counts.context("one row")?;
        of_clients += clients;
        of_dauphin += own;
    }
    Ok((of_clients, of_dauphin))
}
