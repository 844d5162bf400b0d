//! Taking in servers that are not in the config: those that replication tells of, and those that an earlier dauphin knew.

use tokio::{sync::mpsc, time::Instant};

use super::{Controller, cluster::Cluster, journal, of_journal, replication_address};
use crate::{
    config::{Config, Server as Listed},
    monitor::{
        Watchers,
        scout::{Finding, Neighbour},
    },
    topology::{lag::Fitness, report::Report},
};

/// How a controller comes by servers that are not in the config.
#[derive(Debug)]
pub(super) struct Discovery {
    /// What has them watched.
    watchers: Watchers,
    /// What a scout has found.
    found: Option<mpsc::Receiver<Finding>>,
    /// A scout still looks for those that an earlier dauphin knew.
    is_looking_for_remembered: bool,
    /// It has been told that there is no room for more.
    is_known_full: bool,
}

/// The next finding; never completes where nobody looks. Cancel safe.
pub(super) async fn found(discovery: &mut Option<Discovery>) -> Option<Finding> {
    match discovery {
        Some(Discovery { found: Some(found), .. }) => found.recv().await,
        _ => std::future::pending().await,
    }
}

impl<C: Cluster> Controller<C> {
    /// Takes in, unasked, the servers that the journal says something of that must not be forgotten: one of them may be
    /// the primary, or one that must not be. That they are not in the config any more does not change it.
    pub(super) fn remember_discovered(&mut self, watchers: Watchers, config: &Config) {
        let (is_looking_for_remembered, is_known_full) = (false, false);
        self.discovery = Some(Discovery { watchers, found: None, is_looking_for_remembered, is_known_full });
        if config.monitor.discover.is_none() {
            return;
        }
        let record = self.journal.record().clone();
        for discovered in record.discovered.iter().filter(|server| record.depends_on(&server.address)) {
            if let Ok(address) = discovered.address.parse() {
                self.admit(&Listed::discovered(address, config.pool.max_connections_per_server), None);
            }
        }
    }

    /// From now on findings come from here; answers whom to look for first.
    pub(super) fn expect_findings(&mut self, found: mpsc::Receiver<Finding>) -> Vec<Neighbour> {
        let remembered = self.journal.record().discovered.iter().filter_map(|server| {
            let is_new = self.find(Some(&server.address)).is_err();
            Some(Neighbour {
                identity: server.identity.clone(),
                addresses: vec![server.address.parse().ok().filter(|_| is_new)?],
                guesses: Vec::new(),
                how: format!("{} was discovered by an earlier dauphin", server.address),
            })
        });
        let remembered: Vec<_> = remembered.collect();
        if let Some(discovery) = &mut self.discovery {
            discovery.found = Some(found);
            discovery.is_looking_for_remembered = !remembered.is_empty();
        }
        remembered
    }

    pub(super) fn is_looking_for_remembered(&self) -> bool {
        self.discovery.as_ref().is_some_and(|discovery| discovery.is_looking_for_remembered)
    }

    pub(super) fn discover(&mut self, finding: Finding) {
        match finding {
            Finding::LookedForRemembered => {
                if let Some(discovery) = &mut self.discovery {
                    discovery.is_looking_for_remembered = false;
                }
            }
            Finding::Server { server, asked_at, report, how } => {
                let is_known = self.topology.by_identity(&report.identity).is_some();
                if is_known || self.find(Some(&server.name)).is_ok() {
                    return;
                }
                let identity = report.identity.clone();
                let name = server.name.clone();
                if !self.admit(&server, Some((asked_at, *report))) {
                    return;
                }
                let message = format!("{how}: it takes part from now on ([monitor] discover)");
                self.control.events.record("discovered", Some(&name), message);
                self.write_down(journal::Discovered { address: name, identity });
            }
        }
    }

    /// Makes it one of the servers; whether there was room.
    fn admit(&mut self, server: &Listed, asked: Option<(Instant, Report)>) -> bool {
        let Some(discovery) = &mut self.discovery else { return false };
        let Some(at) = self.fleet.add(server) else {
            // A scout finds it again in every round.
            if !std::mem::replace(&mut discovery.is_known_full, true) {
                let most = crate::backend::MOST_DISCOVERED;
                let message = format!(
                    "{} is not used, nor are more: {most} servers have been discovered already; list in the config those \
                     that are to take part",
                    server.name
                );
                self.control.events.record("discovery_failed", Some(&server.name), message);
            }
            return false;
        };
        discovery.watchers.add(&self.fleet.servers[at]);
        self.settings.replication_addresses.push(replication_address(server));
        self.settings.places.push((server.zone.clone(), server.priority));
        let observed = of_journal(self.journal.record(), &server.name);
        self.topology.servers.push(crate::topology::observed::Observed {
            zone: server.zone.clone(),
            priority: server.priority,
            ..observed
        });
        self.fitness.push(Fitness::default());
        if let Some((asked_at, report)) = asked {
            self.topology.note(at, asked_at, Ok(report));
        }
        true
    }

    /// For the next start. Of too many the one that was discovered first is forgotten.
    fn write_down(&mut self, server: journal::Discovered) {
        let written = self.journal.change(|record| {
            record
                .discovered
                .retain(|other| other.address != server.address && other.identity != server.identity);
            if record.discovered.len() >= crate::backend::MOST_DISCOVERED {
                let forgotten = record
                    .discovered
                    .iter()
                    .position(|other| !record.depends_on(&other.address))
                    .unwrap_or(0);
                record.discovered.remove(forgotten);
            }
            record.discovered.push(server);
        });
        if let Err(error) = written {
            self.lose_authority(&error);
        }
    }
}
