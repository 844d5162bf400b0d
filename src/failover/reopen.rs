//! A primary that is read-only takes writes again: by itself when it came back so from a restart, or because an operator
//! says so. Never while another takes writes, or has what it lacks.

use std::time::Duration;

use tokio::time::Instant;

use super::{Controller, cluster::Cluster};
use crate::topology::observed::Observed;

/// How long after an attempt the next is made.
const PAUSE: Duration = Duration::from_secs(1);

impl<C: Cluster> Controller<C> {
    /// A primary that came back read-only from a restart takes writes again, if nobody has gone on without it.
    pub(super) async fn reopen(&mut self) {
        let Some(primary) = self.topology.primary else { return };
        if self.may_act().is_err() || self.paused || Instant::now() < self.retry_at {
            return;
        }
        self.retry_at = Instant::now() + PAUSE;
        self.look_at_all(primary).await;
        self.fence_deposed(primary).await;
        let opened = match self.may_reopen(primary) {
            Ok(()) => self.open_alone(primary).await,
            Err(why) => Err(why),
        };
        match opened {
            Ok(()) => self.tell_reopened(primary),
            Err(why) => self.refuse_to_reopen(primary, &why),
        }
    }

    /// Makes a server the primary that is nobody's replica, while no other is: an operator says so.
    pub(super) async fn enthrone(&mut self, at: usize, force: bool, by: &str) -> Result<String, String> {
        let name = self.fleet.servers[at].name.clone();
        if self.topology.primary == Some(at) && self.topology.servers[at].is_writable() {
            return Err(format!("{name} is the primary already"));
        }
        if let Some(operation) = &self.journal.record().operation {
            return Err(format!("a change of the primary from {} has not ended", operation.old));
        }
        self.look_at_all(at).await;
        let observed = &self.topology.servers[at];
        if !observed.is_reached() {
            return Err(format!("{name} does not answer"));
        }
        if let Some(replication) = observed.replication() {
            let (host, port) = &replication.source_address;
            return Err(format!("{name} replicates from {host}:{port}, and no primary is known to replace"));
        }
        self.fence_deposed(at).await;
        if let Some(other) = self.others(at).find(|other| other.is_writable()) {
            return Err(format!("{} takes writes", other.name));
        }
        if !force {
            let doubt = self.everyone_agrees(at).and_then(|()| self.nobody_is_ahead(at)).err();
            if let Some(why) = doubt {
                return Err(format!("{why}; FAILOVER TO {name} FORCE does without"));
            }
        }
        self.open_alone(at).await?;
        self.begin_term(at, &format!("it was named by {by}"));
        self.judge();
        self.tell_reopened(at);
        Ok(format!("{name} takes writes"))
    }

    /// While no other dauphin changes the primary.
    async fn open_alone(&mut self, at: usize) -> Result<(), String> {
        let opened = match self.claim_all().await {
            Ok(()) => self.open_again(at).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        self.release_claims().await;
        self.look_at(&[at]).await;
        opened
    }

    /// The server that is the primary by all that can be seen, but for taking no writes.
    pub(super) fn evident_primary(&self) -> Option<usize> {
        let is_it = |&at: &usize| {
            self.topology.servers[at].replication().is_none()
                && self.others(at).count() > 0
                && self.everyone_agrees(at).is_ok()
                && self.nobody_is_ahead(at).is_ok()
                && (0..self.topology.servers.len())
                    .all(|other| other == at || self.topology.source_of(other) == Some(at))
        };
        (0..self.topology.servers.len()).find(is_it)
    }

    /// Those that came back taking writes while there was no primary to follow.
    async fn fence_deposed(&mut self, candidate: usize) {
        for at in (0..self.topology.servers.len()).filter(|&at| at != candidate) {
            let observed = &self.topology.servers[at];
            if observed.quarantine.is_some() && observed.is_writable() {
                self.fence_returned(at).await;
                self.look_at(&[at]).await;
            }
        }
    }

    /// The candidate last: what it has been given meanwhile must not look like the others' own.
    async fn look_at_all(&mut self, candidate: usize) {
        let others: Vec<usize> = (0..self.topology.servers.len()).filter(|&at| at != candidate).collect();
        self.look_at(&others).await;
        self.look_at(&[candidate]).await;
    }

    /// Why a primary is not made writable. A dauphin that has just started knows only what the servers say now: all must.
    fn may_reopen(&self, primary: usize) -> Result<(), String> {
        let observed = &self.topology.servers[primary];
        if !observed.is_reached() || observed.replication().is_some() {
            return Err(format!("{} is not what it was a moment ago", observed.name));
        }
        if let Some(other) = self.others(primary).find(|other| other.is_writable()) {
            return Err(format!("{} takes writes", other.name));
        }
        if !self.has_seen_a_term {
            self.everyone_agrees(primary)?;
        }
        let lacks = self.topology.seen.minus(&observed.has());
        if !lacks.is_empty() {
            return Err(format!("{} came back without {lacks}", observed.name));
        }
        self.nobody_is_ahead(primary)
    }

    /// All answer, and none replicates from another of them than this one or its replicas.
    fn everyone_agrees(&self, primary: usize) -> Result<(), String> {
        for other in (0..self.topology.servers.len()).filter(|&at| at != primary) {
            let observed = &self.topology.servers[other];
            if observed.quarantine.is_some() {
                continue;
            }
            if !observed.is_reached() {
                return Err(format!("{} does not answer, and may have been made the primary", observed.name));
            }
            // As many steps as there are servers, should they go in a circle.
            let mut source = self.topology.source_of(other);
            for _ in 0..self.topology.servers.len() {
                source = match source {
                    Some(at) if at != primary && self.topology.servers[at].replication().is_some() => {
                        self.topology.source_of(at)
                    }
                    found => found,
                };
            }
            let met_somebody =
                observed.replication().is_some_and(|replication| !replication.source.is_empty());
            if met_somebody && source != Some(primary) {
                return Err(format!("{} replicates from another", observed.name));
            }
        }
        Ok(())
    }

    fn nobody_is_ahead(&self, primary: usize) -> Result<(), String> {
        let observed = &self.topology.servers[primary];
        let has = observed.has();
        let ahead = self
            .others(primary)
            .filter(|other| other.is_reached() && other.quarantine.is_none())
            .find(|other| !other.has().minus(&has).is_empty());
        match ahead {
            Some(other) => {
                Err(format!("{} has transactions that {} does not have", other.name, observed.name))
            }
            None => Ok(()),
        }
    }

    fn others(&self, at: usize) -> impl Iterator<Item = &Observed> {
        self.topology
            .servers
            .iter()
            .enumerate()
            .filter(move |(other, _)| *other != at)
            .map(|(_, other)| other)
    }

    /// Told once for each reason: it is tried again and again.
    fn refuse_to_reopen(&self, primary: usize, why: &str) {
        let name = &self.fleet.servers[primary].name;
        let message = format!("{why}: {name} is not made writable; FAILOVER TO {name} FORCE does it");
        let told = self.control.events.latest(|event| event.kind == "reopen_refused");
        if told.is_none_or(|told| told.message != message) {
            self.control.events.record("reopen_refused", Some(name), message);
        }
    }

    fn tell_reopened(&self, at: usize) {
        let name = &self.fleet.servers[at].name;
        self.control.events.record("reopened", Some(name), format!("{name} takes writes again"));
    }
}
