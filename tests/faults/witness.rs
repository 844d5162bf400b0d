//! A witness beside dauphin: which servers would take writes, asked of each every 50 ms from the start to the end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mysql_async::{Conn, prelude::Queryable as _};
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    cluster::{Flavour, NODES},
    servers::{Node, Servers},
};

const EVERY: Duration = Duration::from_millis(50);

/// One server's answer, or that there was none in time.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    pub server: usize,
    /// When it was asked; the answer came between this and `heard`.
    pub asked: Instant,
    pub heard: Instant,
    pub is_writable: bool,
}

/// Asks on until it is dropped.
pub struct Witness {
    seen: Arc<Mutex<Vec<Sighting>>>,
    _asking: JoinSet<()>,
}

impl Witness {
    pub fn start(servers: &Servers) -> Self {
        let (seen, mut asking) = (Arc::<Mutex<Vec<Sighting>>>::default(), JoinSet::new());
        for (server, node) in servers.nodes.iter().enumerate() {
            asking.spawn(ask_on(server, node.clone(), seen.clone()));
        }
        Self { seen, _asking: asking }
    }

    pub fn seen(&self) -> Vec<Sighting> {
        self.seen.lock().clone()
    }

    /// For a look while it asks.
    pub fn watch(&self) -> Watch {
        Watch(self.seen.clone())
    }
}

/// What has been seen so far.
pub struct Watch(Arc<Mutex<Vec<Sighting>>>);

impl Watch {
    /// The names of those that take writes by their latest answers.
    pub fn names(&self) -> String {
        let seen = self.0.lock();
        let latest = |server| seen.iter().rev().find(|sighting| sighting.server == server);
        let names = NODES.iter().enumerate();
        let writable = names.filter(|(server, _)| latest(*server).is_some_and(|latest| latest.is_writable));
        let names: Vec<_> = writable.map(|(_, name)| *name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join("+") }
    }
}

async fn ask_on(server: usize, node: Node, seen: Arc<Mutex<Vec<Sighting>>>) {
    let mut connection = None;
    loop {
        let asked = Instant::now();
        let is_writable = matches!(
            timeout(Duration::from_millis(500), is_writable(&node, &mut connection)).await,
            Ok(Some(true))
        );
        seen.lock().push(Sighting { server, asked, heard: Instant::now(), is_writable });
        sleep(EVERY.saturating_sub(asked.elapsed())).await;
    }
}

/// Whether an application's account could write there; `None` if it does not answer.
async fn is_writable(node: &Node, kept: &mut Option<Conn>) -> Option<bool> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => node.root().await.ok()?,
    };
    let closed: Option<(String, String)> = connection
        .query_first(match node.flavour {
            Flavour::MySql => "SELECT @@GLOBAL.read_only, @@GLOBAL.offline_mode",
            Flavour::MariaDb => "SELECT @@GLOBAL.read_only, 0",
        })
        .await
        .ok()?;
    *kept = Some(connection);
    closed.map(|(read_only, offline)| {
        [read_only, offline].iter().all(|value| matches!(&value[..], "0" | "OFF"))
    })
}

/// For how long two servers were both seen writable: from and until answers that say so, so at least that long.
pub fn both_writable(seen: &[Sighting]) -> Duration {
    let spans = |server| {
        let of: Vec<_> = seen.iter().filter(|sighting| sighting.server == server).collect();
        let pairs: Vec<_> = of
            .windows(2)
            .filter(|pair| pair[0].is_writable && pair[1].is_writable)
            .map(|pair| (pair[0].heard, pair[1].asked.max(pair[0].heard)))
            .collect();
        pairs
    };
    let (mut total, spans) = (Duration::ZERO, [spans(0), spans(1), spans(2)]);
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        for (from, until) in &spans[one] {
            for (other_from, other_until) in &spans[other] {
                total += (*until.min(other_until)).saturating_duration_since(*from.max(other_from));
            }
        }
    }
    total
}
