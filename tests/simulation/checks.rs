//! What must hold at every instant, and what has happened.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::model::{Set, Tx};

/// A write whose client was told that it is done.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub epoch: u64,
    pub tx: Tx,
    /// As many replicas as should have had it by then.
    pub replicated: bool,
}

/// Counts, so that a simulation in which nothing happens is noticed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub seeds: u64,
    pub acknowledged: u64,
    pub replicated: u64,
    pub refused: u64,
    pub unknown: u64,
    pub held: u64,
    pub held_in_vain: u64,
    pub terms: u64,
    pub failovers: u64,
    pub switchovers: u64,
    pub resumed: u64,
    pub crashes_of_dauphin: u64,
    pub quarantined: u64,
    pub rejoined: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.seeds, other.seeds),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.replicated, other.replicated),
            (&mut self.refused, other.refused),
            (&mut self.unknown, other.unknown),
            (&mut self.held, other.held),
            (&mut self.held_in_vain, other.held_in_vain),
            (&mut self.terms, other.terms),
            (&mut self.failovers, other.failovers),
            (&mut self.switchovers, other.switchovers),
            (&mut self.resumed, other.resumed),
            (&mut self.crashes_of_dauphin, other.crashes_of_dauphin),
            (&mut self.quarantined, other.quarantined),
            (&mut self.rejoined, other.rejoined),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
    }
}

#[derive(Debug, Default)]
pub struct Checks {
    /// What happened when, for whoever looks into a failure.
    pub trace: Vec<String>,
    /// What did not hold; the first is what counts.
    pub broken: Vec<String>,
    pub counts: Counts,
    /// Semi-synchronous replication that waits for ever.
    pub strict: bool,
    pub acknowledged: Vec<Acknowledged>,
    /// When a write was last acknowledged, and the longest time without.
    last: Option<Instant>,
    pub longest_gap: Duration,
    /// Of each epoch: its server.
    servers: BTreeMap<u64, usize>,
    /// The highest epoch that was published, and that a client had a write acknowledged in.
    pub published: u64,
    acknowledging: u64,
    /// Up to this epoch an operator has asked for a change that may lose transactions.
    pub forgiven: u64,
    /// A forced failover has been asked for and not been answered.
    pub forcing: bool,
}

impl Checks {
    pub fn fail(&mut self, what: String) {
        self.trace.push(format!("           BROKEN: {what}"));
        self.broken.push(what);
    }

    /// A table was published.
    pub fn publish(&mut self, epoch: u64, serving: Option<usize>, is_quarantined: bool) {
        if epoch < self.published {
            self.fail(format!("epoch {epoch} was published after {}", self.published));
        }
        if epoch > self.published && self.forcing {
            self.forgiven = self.forgiven.max(epoch - 1);
        }
        self.published = self.published.max(epoch);
        let Some(server) = serving else { return };
        if is_quarantined {
            self.fail(format!("db{} serves epoch {epoch} and is quarantined", server + 1));
        }
        self.serves(epoch, server);
    }

    fn serves(&mut self, epoch: u64, server: usize) {
        let known = *self.servers.entry(epoch).or_insert(server);
        if known != server {
            self.fail(format!("epoch {epoch} is both db{}'s and db{}'s", known + 1, server + 1));
        }
    }

    /// A write of `epoch` begins at a server that has this.
    pub fn begin(&mut self, epoch: u64, server: usize, has: &Set) {
        self.serves(epoch, server);
        self.must_have(server, has, "takes writes", epoch);
    }

    /// A client was told that its write is done.
    pub fn acknowledge(&mut self, epoch: u64, server: usize, tx: Tx, replicated: bool) {
        self.serves(epoch, server);
        if epoch < self.acknowledging {
            let newest = self.acknowledging;
            self.fail(format!(
                "db{} acknowledged {tx:?} in epoch {epoch}, after the first acknowledgement of epoch {newest}",
                server + 1
            ));
        }
        self.acknowledging = self.acknowledging.max(epoch);
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now.duration_since(last));
        }
        self.counts.acknowledged += 1;
        self.counts.replicated += u64::from(replicated);
        self.acknowledged.push(Acknowledged { epoch, tx, replicated });
    }

    /// All writes that replicas had before their clients were told must be there.
    pub fn must_have(&mut self, server: usize, has: &Set, what: &str, epoch: u64) {
        if !self.strict {
            return;
        }
        let forgiven = self.forgiven;
        let lost = self
            .acknowledged
            .iter()
            .find(|write| write.replicated && write.epoch > forgiven && !has.has(write.tx))
            .copied();
        if let Some(write) = lost {
            self.fail(format!(
                "db{} {what} in epoch {epoch} and lacks {:?}, acknowledged in epoch {}",
                server + 1,
                write.tx,
                write.epoch
            ));
        }
    }

    /// Somebody has waited for a primary.
    pub fn held(&mut self, waited: Duration, limit: Duration, in_vain: bool) {
        // A tick of the clock, and one of tokio's.
        const GRACE: Duration = Duration::from_millis(20);
        if waited > Duration::ZERO {
            self.counts.held += 1;
            self.counts.held_in_vain += u64::from(in_vain);
        }
        if waited > limit + GRACE {
            self.fail(format!("a statement was held for {} ms", waited.as_millis()));
        }
    }
}
