//! The servers' general logs: where each step ran.

use std::time::Duration;

use anyhow::Result;
use mysql_async::prelude::Queryable as _;

use crate::{cluster::Cluster, session::Played};

/// What the servers have logged.
pub struct Witness {
    lines: Vec<Line>,
}

struct Line {
    node: usize,
    at: Duration,
    text: Vec<u8>,
}

impl Witness {
    /// Asks the servers what clients had them run (preparing not counted).
    pub async fn ask(cluster: &Cluster) -> Result<Self> {
        let mut lines = Vec::new();
        for (number, node) in cluster.nodes.iter().enumerate() {
            // What replication runs has no address.
            let query =
                "SELECT CAST(UNIX_TIMESTAMP(event_time) * 1000000 AS UNSIGNED), argument FROM mysql.general_log
                 WHERE command_type IN ('Query', 'Execute') AND user_host LIKE '%@%[%.%'";
            let logged: Vec<(u64, Vec<u8>)> = node.admin().await?.query(query).await?;
            let line = |(micros, text)| Line { node: number, at: Duration::from_micros(micros), text };
            lines.extend(logged.into_iter().map(line));
        }
        lines.sort_by_key(|line| line.at);
        Ok(Self { lines })
    }

    /// On which servers a step ran, once for each time: 0 is the primary.
    pub fn ran(&self, step: &Played) -> Vec<usize> {
        let Some(mark) = &step.mark else { return Vec::new() };
        let took = (step.ended - step.began).as_micros();
        let of_step = self.lines.iter().filter(|line| {
            since(step.began, line.at) <= took + 1 // the log has whole microseconds
                && line.text.windows(mark.len()).any(|window| window == mark.as_bytes())
        });
        of_step.map(|line| line.node).collect()
    }
}

/// Microseconds from a step's begin to a line of the log, whose time is off by some quarters of an hour: MariaDB writes
/// it in the session's time zone.
fn since(began: Duration, logged: Duration) -> u128 {
    const ZONES: u128 = 900_000_000;
    (logged.as_micros() % ZONES + ZONES + 1 - began.as_micros() % ZONES) % ZONES
}
