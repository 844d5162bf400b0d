//! How the servers stand when all is quiet again, asked of each directly.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::time::sleep;

use crate::{
    check::{Row, Rows},
    cluster::Flavour,
    servers::{Node, Servers},
};

/// How long the servers may take to agree. A MySQL server that starts on a full disk looks at it again after 60 s.
const LONGEST: Duration = Duration::from_secs(90);

/// How the servers stand.
#[derive(Debug, Default)]
pub struct Ending {
    /// The one server that takes writes.
    pub primary: Option<usize>,
    /// What it has.
    pub rows: Rows,
    /// Servers that do not take part and have transactions that the primary lacks, with these.
    pub left_out: Vec<String>,
    /// What should not be.
    pub wrong: Vec<String>,
    /// How long it took until it was so.
    pub took: Duration,
}

/// How one server stands against the primary.
enum Standing {
    /// It has the same transactions.
    Equal,
    /// It takes no writes, and has transactions that the primary lacks.
    Astray(String),
    /// Neither.
    Other(String),
}

impl Ending {
    /// Waits until one server takes writes and each other has the same transactions or is left out, at most [`LONGEST`].
    pub async fn wait(servers: &Servers) -> Self {
        let start = Instant::now();
        loop {
            let mut ending = look(servers).await;
            if ending.wrong.is_empty() || start.elapsed() > LONGEST {
                ending.took = start.elapsed();
                if let Some(primary) = ending.primary {
                    compare_rows(servers, primary, &mut ending).await;
                }
                return ending;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn look(servers: &Servers) -> Ending {
    let mut ending = Ending::default();
    let mut writable = Vec::new();
    for (at, node) in servers.nodes.iter().enumerate() {
        match is_open(node).await {
            Ok(true) => writable.push(at),
            Ok(false) => {}
            Err(error) => ending.wrong.push(format!("{error:#}")),
        }
    }
    let [primary] = writable[..] else {
        let names: Vec<_> = writable.iter().map(|&at| servers.nodes[at].name).collect();
        ending
            .wrong
            .push(format!("servers that take writes: {names:?}; so what was written is not compared"));
        return ending;
    };
    ending.primary = Some(primary);
    for (at, node) in servers.nodes.iter().enumerate().filter(|(at, _)| *at != primary) {
        match standing(node, &servers.nodes[primary]).await {
            Ok(Standing::Equal) => {}
            Ok(Standing::Astray(transactions)) => {
                ending.left_out.push(format!("{} ({transactions})", servers.nodes[at].name));
            }
            Ok(Standing::Other(how)) => ending.wrong.push(format!("{} {how}", node.name)),
            Err(error) => ending.wrong.push(format!("{error:#}")),
        }
    }
    ending
}

async fn is_open(node: &Node) -> Result<bool> {
    let query = match node.flavour {
        Flavour::MySql => "SELECT @@GLOBAL.read_only OR @@GLOBAL.offline_mode",
        Flavour::MariaDb => "SELECT @@GLOBAL.read_only",
    };
    let closed: String = node.root().await?.query_first(query).await?.context("one row")?;
    Ok(matches!(&closed[..], "0" | "OFF"))
}

async fn standing(node: &Node, primary: &Node) -> Result<Standing> {
    match node.flavour {
        Flavour::MySql => {
            // The primary last: what it writes meanwhile is not missing.
            let own = transactions(node).await?;
            let of_primary = transactions(primary).await?;
            let query = "SELECT GTID_SUBTRACT(?, ?), GTID_SUBTRACT(?, ?)";
            let difference: Option<(String, String)> =
                primary.root().await?.exec_first(query, (&own, &of_primary, &of_primary, &own)).await?;
            let (astray, missing) = difference.context("one row")?;
            Ok(match (&astray[..], &missing[..]) {
                ("", "") => Standing::Equal,
                ("", missing) => Standing::Other(format!("lacks {missing}")),
                (astray, _) => Standing::Astray(astray.to_owned()),
            })
        }
        Flavour::MariaDb => {
            let own = transactions(node).await?;
            let of_primary = transactions(primary).await?;
            if own == of_primary {
                return Ok(Standing::Equal);
            }
            let known = last_of_each(&binlog_state(primary).await?);
            let mut astray = last_of_each(&binlog_state(node).await?);
            astray.retain(|origin, last| known.get(origin).is_none_or(|known| *last > *known));
            if astray.is_empty() {
                return Ok(Standing::Other(format!("is at {own} and not at {of_primary}")));
            }
            let astray: Vec<_> = astray.iter().map(|(origin, last)| format!("{origin}-{last}")).collect();
            Ok(Standing::Astray(astray.join(",")))
        }
    }
}

async fn transactions(node: &Node) -> Result<String> {
    let query = match node.flavour {
        Flavour::MySql => "SELECT @@GLOBAL.gtid_executed",
        Flavour::MariaDb => "SELECT @@GLOBAL.gtid_current_pos",
    };
    node.root().await?.query_first(query).await?.context("one row")
}

async fn binlog_state(node: &Node) -> Result<String> {
    node.root().await?.query_first("SELECT @@GLOBAL.gtid_binlog_state").await?.context("one row")
}

/// Of `0-1-5,0-2-7`: 5 for `0-1`, 7 for `0-2`.
fn last_of_each(state: &str) -> HashMap<String, u64> {
    let split = |gtid: &str| {
        let (origin, last) = gtid.trim().rsplit_once('-')?;
        Some((origin.to_owned(), last.parse().ok()?))
    };
    state.split(',').filter_map(split).collect()
}

/// Reads the primary's rows, and that every server with the same transactions has the same rows.
async fn compare_rows(servers: &Servers, primary: usize, ending: &mut Ending) {
    match rows(&servers.nodes[primary]).await {
        Ok(rows) => ending.rows = rows,
        Err(error) => return ending.wrong.push(format!("{error:#}")),
    }
    for (at, node) in servers.nodes.iter().enumerate() {
        if at == primary || ending.left_out.iter().any(|left_out| left_out.starts_with(node.name)) {
            continue;
        }
        match rows(node).await {
            Ok(rows) if rows == ending.rows => {}
            Ok(_) => ending.wrong.push(format!("{} has other rows than the primary", node.name)),
            Err(error) => ending.wrong.push(format!("{error:#}")),
        }
    }
}

async fn rows(node: &Node) -> Result<Rows> {
    let mut connection: Conn = node.root().await?;
    let query = "SELECT worker, seq, COUNT(*), MIN(server) FROM app_faults.w GROUP BY worker, seq";
    let rows: Vec<(u32, u64, u32, u32)> = connection.query(query).await?;
    Ok(rows
        .into_iter()
        .map(|(worker, sequence, copies, server)| ((worker, sequence), Row { copies, server }))
        .collect())
}
