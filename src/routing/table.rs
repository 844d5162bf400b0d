//! The routing table: what sessions see of the topology. One writer publishes whole tables; readers never wait.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::balance::Rotation;
use crate::{backend::Server, topology::flavour::Version};

/// Numbers the terms; never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// One server's time as primary.
#[derive(Debug)]
pub struct Term {
    /// Higher than every earlier term's.
    pub epoch: Epoch,
    /// The primary.
    pub server: Arc<Server>,
    /// Cancelled when the term ends: whatever was begun under it must not go on.
    pub ended: CancellationToken,
}

/// Who takes writes. Two primaries cannot be written down.
#[derive(Debug, Clone)]
pub enum Primary {
    /// This server does.
    Serving(Arc<Term>),
    /// Nobody for the moment, by intention: statements wait.
    Held {
        /// Since when.
        since: Instant,
    },
    /// Nobody is known to: statements wait too, and get an error in the end.
    Absent {
        /// What stands in the way, for people.
        cause: String,
    },
}

/// A server that takes no reads, and why.
#[derive(Debug, Clone)]
pub struct Out {
    /// The server.
    pub server: Arc<Server>,
    /// A short word for metrics and people.
    pub cause: &'static str,
}

/// What a session needs to know to choose a server.
#[derive(Debug)]
pub struct RoutingTable {
    /// The epoch of the current or last term.
    pub epoch: Epoch,
    /// Who takes writes.
    pub primary: Primary,
    /// Who takes reads, by weight.
    pub replicas: Rotation,
    /// Who takes none, and why.
    pub out: Vec<Out>,
    /// The lowest version of the servers: what clients are told.
    pub version: Option<Version>,
}

impl RoutingTable {
    /// A table of before anything is known.
    pub fn unknown() -> Self {
        Self {
            epoch: Epoch::default(),
            primary: Primary::Absent { cause: "no server has been reached yet".to_owned() },
            replicas: Rotation::default(),
            out: Vec::new(),
            version: None,
        }
    }

    /// The term that is being served, if its server is not suspected to be gone.
    pub fn term(&self) -> Option<&Arc<Term>> {
        match &self.primary {
            Primary::Serving(term) if !term.ended.is_cancelled() => Some(term),
            _ => None,
        }
    }
}

/// The one place where the control plane and the sessions meet.
#[derive(Debug)]
pub struct Published {
    table: ArcSwap<RoutingTable>,
    changes: watch::Sender<u64>,
    /// Whose turn it is among the replicas.
    pub(super) turn: AtomicUsize,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            table: ArcSwap::from_pointee(RoutingTable::unknown()),
            changes: watch::Sender::new(0),
            turn: AtomicUsize::new(0),
        }
    }
}

impl Published {
    /// The current table.
    pub fn load(&self) -> arc_swap::Guard<Arc<RoutingTable>> {
        self.table.load()
    }

    /// Whether `term` is being served at this moment.
    pub fn serves(&self, term: &Term) -> bool {
        let table = self.table.load();
        table.term().is_some_and(|now| now.epoch == term.epoch)
    }

    /// The current table, to keep across a wait.
    pub fn load_full(&self) -> Arc<RoutingTable> {
        self.table.load_full()
    }

    /// Replaces the table and wakes who waits for a change. For the topology's one owner.
    pub fn publish(&self, table: RoutingTable) {
        self.table.store(Arc::new(table));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Wakes who waits although the table is the same: a server that was suspected has been reached.
    pub fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells of every table published from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
