//! Bringing servers back after a change of the primary: deposed ones are fenced and rejoin if their history allows it,
//! replicas of a deposed one follow the new one, and semi-synchronous replication is restored.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Controller,
    cluster::{Act, ActError, Cluster},
    plan::{cannot_follow, settings_of},
};
use crate::{
    control::Phase,
    topology::{Flavour, Gtids, dialect::SourceSettings, observed::Observed, report::Receiver},
};

/// How long after an attempt the next is made.
const PAUSE: Duration = Duration::from_secs(2);

/// How long after it was given up a statement may still close a server.
const LATE: Duration = Duration::from_secs(3);

/// When what was last tried.
#[derive(Debug, Default)]
pub(super) struct Mending {
    not_before: Vec<Option<Instant>>,
    /// Since when the primary that may have been fenced should take writes again.
    pub(super) opened_again: Option<Instant>,
}

impl Mending {
    fn is_due(&mut self, at: usize) -> bool {
        let due =
            self.not_before.get(at).copied().flatten().is_none_or(|not_before| Instant::now() >= not_before);
        if due {
            self.has_been_tried(at);
        }
        due
    }

    /// It takes a moment until a replica says whom it follows now.
    pub(super) fn has_been_tried(&mut self, at: usize) {
        if self.not_before.len() <= at {
            self.not_before.resize(at + 1, None);
        }
        self.not_before[at] = Some(Instant::now() + PAUSE);
    }
}

impl<C: Cluster> Controller<C> {
    /// One round of mending; nothing while anything else is under way.
    pub(super) async fn mend(&mut self) {
        let primary = self.topology.primary.filter(|&at| self.topology.servers[at].is_writable());
        let (Some(primary), Some(_)) = (primary, &self.term) else { return };
        if self.phase != Phase::Watching || self.may_act().is_err() {
            return;
        }
        for at in (0..self.fleet.servers.len()).filter(|&at| at != primary) {
            if !self.topology.servers[at].is_reached() {
                continue;
            }
            let is_quarantined = self.topology.servers[at].quarantine.is_some();
            let source = self.topology.source_of(at);
            let follows_a_deposed = source.is_some_and(|source| {
                source != primary && self.topology.servers[source].quarantine.is_some()
            });
            let receives = self.topology.servers[at]
                .replication()
                .is_some_and(|replication| replication.receiver != Receiver::Stopped);
            let has_opened = self.has_opened_by_a_restart(at);
            if source == Some(primary) && is_quarantined && receives {
                self.welcome(at);
            } else if (is_quarantined || follows_a_deposed || has_opened) && self.mending.is_due(at) {
                self.bring_back(at, primary).await;
            }
        }
        self.restore_semi_sync(primary).await;
    }

    /// Whether a replica takes writes since it restarted, which nobody can have meant: a former primary's configuration, most
    /// often. One that has not restarted somebody has opened on purpose.
    fn has_opened_by_a_restart(&self, at: usize) -> bool {
        let observed = &self.topology.servers[at];
        let Some(report) = observed.report.as_ref().filter(|report| report.group.is_none()) else {
            return false;
        };
        !report.read_only
            && report.replication.is_some()
            && observed.steady.is_some_and(|steady| report.is_later_than(steady))
    }

    /// Starts the replication of those where an operation that was given up could not.
    pub(super) async fn thaw(&mut self) {
        for name in self.journal.record().frozen.clone() {
            let at = self.fleet.servers.iter().position(|server| server.name == name);
            if let Some(at) = at {
                let may = self.topology.servers[at].is_reached() && self.may_receive(at);
                if !may || !self.mending.is_due(at) || self.act(at, Act::StartReceiving).await.is_err() {
                    continue;
                }
            }
            let written = self.journal.change(|record| record.frozen.retain(|frozen| *frozen != name));
            if let Err(error) = written {
                self.lose_authority(&error);
            }
        }
    }

    /// Lets a primary go on that may have been fenced, in part, after it had been given up to fence it; and sees that it does:
    /// what a server has begun it ends, whether or not anybody waits for it.
    pub(super) async fn unfence(&mut self) {
        let Some(name) = self.journal.record().half_fenced.clone() else { return };
        let at = self.fleet.servers.iter().position(|server| server.name == name);
        if let Some(at) = at {
            let observed = &self.topology.servers[at];
            let is_deposed = observed.quarantine.is_some()
                || observed.replication().is_some()
                || self.topology.primary.is_some_and(|primary| primary != at);
            if !is_deposed && (!observed.is_reached() || !self.mending.is_due(at)) {
                return;
            }
            let has = observed.has();
            // What waits there for acknowledgements others have received, and it has not executed: it was not replaced for
            // that. Only a later incarnation may lack for good what it wrote itself.
            let report = observed.report.as_ref();
            let own = report.filter(|report| observed.steady.is_some_and(|steady| report.is_of(steady)));
            let is_ahead = |other: &Observed| {
                let ahead = other.has().minus(&has);
                let ahead = match own {
                    Some(own) => ahead.without_source(&own.identity),
                    None => ahead,
                };
                !ahead.is_empty()
            };
            let others = self.topology.servers.iter().filter(|other| other.quarantine.is_none());
            if !is_deposed && !others.into_iter().any(is_ahead) {
                if self.open_again(at).await.is_err() {
                    return;
                }
                self.look_at(&[at]).await;
                let opened_at = *self.mending.opened_again.get_or_insert_with(Instant::now);
                if opened_at.elapsed() < LATE {
                    return;
                }
            }
        }
        self.mending.opened_again = None;
        if let Err(error) = self.journal.change(|record| record.half_fenced = None) {
            self.lose_authority(&error);
        }
    }

    /// Keeps which incarnation of each server was seen in its place: the primary's, as it takes writes, and of each other the
    /// one that takes none and has all that the primary had when it began. A later one may lack what an earlier one acknowledged.
    fn remember_incarnations(&mut self, primary: usize) {
        // So long that the next is told apart by `Report::started`.
        const LONG_ENOUGH: Duration = Duration::from_secs(2);
        let of_primary = &self.topology.servers[primary];
        let recent = of_primary.asked_at.map(|asked_at| asked_at + Duration::from_secs(1));
        let is_in_place = |observed: &Observed| {
            let executed = of_primary.report.as_ref().map(|report| &report.executed);
            !observed.is_writable()
                && observed.asked_at <= recent
                && executed.is_some_and(|executed| observed.has().covers(executed))
        };
        let news = |(at, observed): (usize, &Observed)| {
            let report = observed.report.as_ref().filter(|_| observed.is_reached())?;
            let is_new = observed.steady.is_none_or(|known| !report.is_of(known));
            let is_it = is_new && report.uptime >= LONG_ENOUGH && (at == primary || is_in_place(observed));
            is_it.then_some((at, report.started))
        };
        let news: Vec<(usize, u64)> = self.topology.servers.iter().enumerate().filter_map(news).collect();
        for (at, started) in news {
            let observed = &mut self.topology.servers[at];
            observed.steady = Some(started);
            let name = observed.name.clone();
            let written = self.journal.change(|record| {
                record.incarnations.insert(name, started);
            });
            if let Err(error) = written {
                self.lose_authority(&error);
            }
        }
    }

    /// Keeps what a dauphin needs to know that comes when the primary is gone: also how it waits for acknowledgements.
    pub(super) fn remember(&mut self) {
        let primary = self.topology.primary.filter(|&at| self.topology.servers[at].is_writable());
        let (Some(primary), Some(_)) = (primary, &self.term) else { return };
        self.remember_incarnations(primary);
        if self.journal.record().half_fenced.is_some() {
            return;
        }
        let Some(report) = &self.topology.servers[primary].report else { return };
        let waits = report.semi_sync.source_enabled.then(|| settings_of(&report.semi_sync));
        let waits = waits.as_ref().map(Into::into).or_else(|| self.journal.record().semi_sync.clone());
        if self.journal.record().waits == waits {
            return;
        }
        if let Err(error) = self.journal.change(|record| record.waits = waits) {
            self.lose_authority(&error);
        }
    }

    /// Fences it if it takes writes; then it follows the primary if it has nothing that the primary lacks.
    async fn bring_back(&mut self, at: usize, primary: usize) {
        let name = self.fleet.servers[at].name.clone();
        if self.topology.servers[at].is_writable() {
            self.fence_returned(at).await;
        }
        // In this order: what the primary is given meanwhile must not look like the other's own.
        self.look_at(&[at]).await;
        self.look_at(&[primary]).await;
        let (server, source) = (&self.topology.servers[at], &self.topology.servers[primary]);
        if !server.is_reached() || !source.is_reached() || server.is_writable() {
            return;
        }
        let mut has = source.report.as_ref().map(|report| report.executed.clone()).unwrap_or_default();
        if let Some(report) = &source.report {
            // Its own transactions come to replicas of its replicas before it has executed them itself.
            let others = server.has().without_source(&report.identity);
            has = has.union(&server.has().minus(&others));
        }
        if let Some(why) = cannot_follow(server, source, &has) {
            let why = format!("{why}; {}", self.how_to_rebuild(at, primary));
            self.quarantine(at, why);
            return self.suspend_semi_sync(primary, &has);
        }
        let follow = self.follow(primary, at);
        self.topology.servers[at].told_to_follow = Some(Instant::now());
        match self.act(at, Act::Follow(follow)).await {
            Ok(()) => {
                self.look_at(&[at]).await;
                let message = format!("{name} follows {}", self.fleet.servers[primary].name);
                self.control.events.record("follows", Some(&name), message);
            }
            // Looked at again until it is over, which may take hours.
            Err(ActError::BeingCloned) => {}
            Err(error) => {
                let message = format!("{name} cannot follow {}: {error}", self.fleet.servers[primary].name);
                self.control.events.record("follow_failed", Some(&name), message);
            }
        }
    }

    pub(super) async fn fence_returned(&self, at: usize) {
        let name = &self.fleet.servers[at].name;
        let message = match self.act(at, Act::Fence).await {
            Ok(()) => format!("{name} came back taking writes, and was made read-only"),
            Err(error) => format!("{name} came back taking writes and cannot be made read-only: {error}"),
        };
        self.control.events.record("fenced", Some(name), message);
    }

    fn how_to_rebuild(&self, at: usize, primary: usize) -> String {
        let (host, port) = &self.settings.replication_addresses[primary];
        let (name, from) = (&self.fleet.servers[at].name, &self.fleet.servers[primary].name);
        let flavour = self.topology.servers[at].report.as_ref().map(|report| report.version.flavour);
        match flavour {
            Some(Flavour::MySql) => format!(
                "keep what it has that matters (mysqlbinlog), then rebuild it: on {from}: INSTALL PLUGIN clone SONAME 'mysql_clone.so'; \
                 on {name}: SET GLOBAL super_read_only = OFF; INSTALL PLUGIN clone SONAME 'mysql_clone.so'; \
                 SET GLOBAL clone_valid_donor_list = '{host}:{port}'; \
                 CLONE INSTANCE FROM '<user>'@'{host}':{port} IDENTIFIED BY '<password>'; \
                 dauphin makes it a replica afterwards (INSTALL where SHOW PLUGINS lacks clone; the user takes BACKUP_ADMIN on {from}; \
                 where nothing starts {name} again after CLONE, start it)"
            ),
            _ => format!(
                "keep what it has that matters (mariadb-binlog), then rebuild it from a copy of {host}:{port} (mariadb-backup): \
                 start the copy with skip_networking; SET GLOBAL gtid_slave_pos to the position in its mariadb_backup_binlog_info, which \
                 it does not have by itself; start it as ever; dauphin makes it a replica afterwards"
            ),
        }
    }

    /// A deposed server that replicates from the primary is a replica like any other.
    fn welcome(&mut self, at: usize) {
        let receives = self.topology.servers[at]
            .replication()
            .is_some_and(|replication| replication.receiver == Receiver::Connected && replication.applying);
        if !receives || self.topology.servers[at].is_writable() {
            return;
        }
        let name = self.fleet.servers[at].name.clone();
        self.topology.servers[at].quarantine = None;
        let written =
            self.journal.change(|record| record.quarantined.retain(|(quarantined, _)| *quarantined != name));
        if let Err(error) = written {
            self.lose_authority(&error);
        }
        self.control.events.record("rejoined", Some(&name), format!("{name} is a replica again"));
    }

    /// Has commits wait no more if too few are left that could ever acknowledge before a person has rebuilt one.
    fn suspend_semi_sync(&mut self, primary: usize, has: &Gtids) {
        let source = &self.topology.servers[primary];
        let Some(waits) = source.report.as_ref().map(|report| &report.semi_sync) else { return };
        let may_acknowledge = |at: usize| {
            let observed = &self.topology.servers[at];
            observed.quarantine.is_none()
                || observed.is_reached() && cannot_follow(observed, source, has).is_none()
        };
        let others = (0..self.fleet.servers.len()).filter(|&at| at != primary);
        let enough = others.filter(|&at| may_acknowledge(at)).count() >= waits.wait_for.max(1) as usize;
        if !waits.source_enabled || enough {
            return;
        }
        let settings = settings_of(waits);
        // What follows from it is done by `restore_semi_sync`.
        if let Err(error) = self.journal.change(|record| record.semi_sync = Some((&settings).into())) {
            self.lose_authority(&error);
        }
        let name = self.fleet.servers[primary].name.clone();
        let message = format!("commits on {name} do not wait for replicas: too few are left that can follow");
        self.control.events.record("semi_sync_suspended", Some(&name), message);
    }

    /// Once enough replicas are there to acknowledge, commits wait for them again.
    async fn restore_semi_sync(&mut self, primary: usize) {
        let Some(settings) = self.journal.record().semi_sync.as_ref().map(SourceSettings::from) else {
            return;
        };
        let acknowledge = (0..self.fleet.servers.len())
            .filter(|&at| at != primary && self.topology.source_of(at) == Some(primary))
            .filter(|&at| {
                let observed = &self.topology.servers[at];
                let enabled = observed.report.as_ref().is_some_and(|report| report.semi_sync.replica_enabled);
                enabled
                    && observed.is_reached()
                    && observed
                        .replication()
                        .is_some_and(|replication| replication.receiver == Receiver::Connected)
            })
            .count();
        let waits = |observed: &Observed| {
            observed.report.as_ref().is_some_and(|report| report.semi_sync.source_enabled)
        };
        if acknowledge < settings.wait_for.max(1) as usize {
            // A restart may have switched it on again: every commit would wait for ever.
            if waits(&self.topology.servers[primary]) && self.mending.is_due(primary) {
                let _ = self.act(primary, Act::SemiSync(None)).await;
            }
            return;
        }
        if !self.mending.is_due(primary) {
            return;
        }
        if self.act(primary, Act::SemiSync(Some(settings))).await.is_ok() {
            self.look_at(&[primary]).await;
            if let Err(error) = self.journal.change(|record| record.semi_sync = None) {
                self.lose_authority(&error);
            }
            let name = self.fleet.servers[primary].name.clone();
            let message = format!("commits on {name} wait for replicas again");
            self.control.events.record("semi_sync_restored", Some(&name), message);
        }
    }
}
