//! The topology: all that is known of the servers, from their latest reports. One owner; values only, no I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    group::GroupMember,
    gtids::Gtids,
    report::{Problem, Receiver, Replication, Report},
};

/// What is known of one server.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its name.
    pub name: String,
    /// Where it stands, if the config says so.
    pub zone: Option<String>,
    /// Among equally good candidates the highest is promoted; 0 never is.
    pub priority: u32,
    /// Its latest report; kept while it does not answer.
    pub report: Option<Report>,
    /// When the question was sent that `report` answers.
    pub asked_at: Option<Instant>,
    /// Why there is no newer report.
    pub trouble: Option<Trouble>,
    /// Why it takes nothing until it has rejoined as a replica, if so.
    pub quarantine: Option<String>,
    /// An operator has taken it out of rotation.
    pub drained: bool,
    /// What it has executed and the primary has not.
    pub errant: Gtids,
    /// What it has of the primary's own and the primary has lacked for a while.
    pub ahead: Ahead,
    /// When it was last told whom to follow: it may acknowledge there since, whatever it has said before.
    pub told_to_follow: Option<Instant>,
    /// When the incarnation began that was seen to replicate while the primary answered: `Report::started`.
    pub steady: Option<u64>,
}

/// Transactions of the primary's own that a replica has and the primary lacks. A replica may have one for a moment before the primary
/// has committed it, and for as long as that waits for acknowledgements; for good only if the primary has lost it: it was reset
/// (`RESET BINARY LOGS AND GTIDS`), restored from a backup, or crashed without having synced its binary log. Its next
/// transactions get the same numbers, and a replica takes them for those that it has (seen with `RESET`, on MySQL 9.7).
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// Those that it had each time since then, and when that was.
    lacked: Option<(Gtids, Instant)>,
    /// Whether they have been lacked for so long that the primary has lost them.
    pub for_good: bool,
}

impl Ahead {
    /// What is committed at all, and waited for by nobody, is so by then.
    const FOR_GOOD: Duration = Duration::from_secs(1);

    /// Takes in what the primary lacked when it was asked at `asked_at`, and whether transactions wait there for acknowledgements.
    fn note(&mut self, lacks: Gtids, asked_at: Instant, some_wait: bool) {
        let still = self.lacked.take().map(|(before, since)| (before.common(&lacks), since));
        let (lacks, since) = match still {
            Some((still, since)) if !still.is_empty() => (still, since),
            _ => {
                self.for_good = false;
                (lacks, asked_at)
            }
        };
        let since = if some_wait && !self.for_good { asked_at } else { since };
        self.for_good |= !lacks.is_empty() && asked_at.duration_since(since) >= Self::FOR_GOOD;
        self.lacked = (!lacks.is_empty()).then_some((lacks, since));
    }
}

/// A server that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub problem: Problem,
    /// When that was first seen.
    pub since: Instant,
    /// How often in succession.
    pub failures: u32,
    /// Whether it was seen to go: a connection was cut or refused. It may be silent since, if its whole machine went.
    pub was_seen_to_go: bool,
    /// Whether it ended a connection in good order, which no broken network does.
    pub has_said_goodbye: bool,
}

/// All servers, in the config's order.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// The servers.
    pub servers: Vec<Observed>,
    /// The server whose term it is.
    pub primary: Option<usize>,
    /// All that the primary was ever seen to have, or a replica to have received of it, in this term: also what nobody has
    /// any more. MariaDB's replicas throw away what they have received and not applied when they connect anew.
    pub seen: Gtids,
    /// When that last grew.
    pub grew_at: Option<Instant>,
    /// The heartbeat that the primary was told to write and has not written, if there is one.
    pub unwritten: Option<Unwritten>,
}

/// A write of dauphin's own that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// When it, or the first of those that were refused, was sent.
    pub since: Instant,
    /// Whether the server says that a disk is full.
    pub no_room: bool,
}

impl Observed {
    /// Whether it answers.
    pub fn is_reached(&self) -> bool {
        self.report.is_some() && self.trouble.is_none()
    }

    /// Whether it has answered, or failed to, at least once.
    pub const fn is_known(&self) -> bool {
        self.report.is_some() || self.trouble.is_some()
    }

    /// Whether it answers and takes writes.
    pub fn is_writable(&self) -> bool {
        self.is_reached() && self.report.as_ref().is_some_and(|report| !report.read_only)
    }

    /// How it replicates, by its latest report.
    pub fn replication(&self) -> Option<&Replication> {
        self.report.as_ref()?.replication.as_ref()
    }

    /// All it has, executed or received.
    pub fn has(&self) -> Gtids {
        let Some(report) = &self.report else { return Gtids::default() };
        match &report.replication {
            Some(replication) => report.executed.clone().union(&replication.received),
            None => report.executed.clone(),
        }
    }

    /// Whether it may have lost what it acknowledged to a primary that has not answered since.
    pub fn may_have_forgotten(&self) -> bool {
        let (Some(report), Some(steady)) = (&self.report, self.steady) else { return false };
        report.forgets_received && report.is_later_than(steady)
    }

    /// Whether its report is older than its orders.
    pub fn has_new_orders(&self) -> bool {
        self.told_to_follow.is_some_and(|told| self.asked_at <= Some(told))
    }

    /// How many transactions it has received and not yet executed.
    pub fn unapplied(&self) -> u64 {
        let Some(report) = &self.report else { return 0 };
        report.replication.as_ref().map_or(0, |replication| report.executed.lacks(&replication.received))
    }
}

impl Topology {
    /// Takes in what a server said, or that it did not.
    pub fn note(&mut self, server: usize, asked_at: Instant, report: Result<Report, Problem>) {
        let observed = &self.servers[server];
        if observed.asked_at.is_some_and(|known| asked_at < known) {
            // Something newer is known.
            return;
        }
        match report.and_then(|report| self.unless_twin(server, report)) {
            Ok(report) => {
                let observed = &mut self.servers[server];
                observed.report = Some(report);
                observed.asked_at = Some(asked_at);
                observed.trouble = None;
                self.see(server);
            }
            Err(problem) => {
                let observed = &mut self.servers[server];
                let (since, failures, seen, said) = match &observed.trouble {
                    Some(trouble) => {
                        (trouble.since, trouble.failures, trouble.was_seen_to_go, trouble.has_said_goodbye)
                    }
                    None => (asked_at, 0, false, false),
                };
                let has_said_goodbye = said || matches!(problem, Problem::Closed(_));
                let was_seen_to_go = seen || has_said_goodbye || matches!(problem, Problem::Gone(_));
                let failures = failures + 1;
                observed.trouble =
                    Some(Trouble { problem, since, failures, was_seen_to_go, has_said_goodbye });
            }
        }
        self.find_errant(server);
    }

    /// A server that is known by another name already is not a second one: counted twice it would be two primaries, or vouch
    /// for itself. The first that was heard of stays.
    fn unless_twin(&self, server: usize, report: Report) -> Result<Report, Problem> {
        match self.by_identity(&report.identity) {
            Some(other) if other != server => {
                let (id, name) = (&report.identity, &self.servers[other].name);
                Err(Problem::Double(format!("it is {name}, or has its identity ({id})")))
            }
            _ => Ok(report),
        }
    }

    fn see(&mut self, server: usize) {
        let Some(primary) = self.primary else { return };
        let Some(report) = &self.servers[server].report else { return };
        let new = if server == primary {
            &report.executed
        } else {
            match &report.replication {
                Some(replication) if self.source_of(server) == Some(primary) => &replication.received,
                _ => return,
            }
        };
        if !new.minus(&self.seen).is_empty() {
            self.seen = std::mem::take(&mut self.seen).union(new);
            self.grew_at = self.servers[server].asked_at;
        }
    }

    /// A replica's transactions that the primary lacks. Only a primary's answer to a later question proves that it does.
    fn find_errant(&mut self, server: usize) {
        let Some(primary) = self.primary.filter(|&primary| primary == server) else { return };
        let Observed { report: Some(report), asked_at: Some(asked_at), trouble: None, .. } =
            &self.servers[primary]
        else {
            return;
        };
        let (executed, identity, asked_at) = (report.executed.clone(), report.identity.clone(), *asked_at);
        let some_wait = report.semi_sync.waiting_sessions > 0;
        for (at, other) in self.servers.iter_mut().enumerate() {
            let is_earlier = other.asked_at.is_some_and(|earlier| earlier < asked_at);
            if at != primary
                && is_earlier
                && let Some(report) = &other.report
            {
                // A group's members commit on their own what all have agreed on: one may be ahead of its primary.
                let agrees = report.group.as_ref().is_some_and(GroupMember::follows);
                other.errant = if agrees { Gtids::default() } else { report.executed.minus(&executed) };
                let of_others = other.errant.clone().without_source(&identity);
                other.ahead.note(other.errant.minus(&of_others), asked_at, some_wait);
            }
        }
    }

    /// Whether every server has been asked.
    pub fn is_complete(&self) -> bool {
        self.servers.iter().all(Observed::is_known)
    }

    /// The server of this identity, by the latest reports.
    pub fn by_identity(&self, identity: &str) -> Option<usize> {
        let is_it = |observed: &Observed| {
            observed.report.as_ref().is_some_and(|report| report.identity.eq_ignore_ascii_case(identity))
        };
        if identity.is_empty() { None } else { self.servers.iter().position(is_it) }
    }

    /// The server that `server` replicates from: by identity, and before the first contact not at all.
    pub fn source_of(&self, server: usize) -> Option<usize> {
        self.by_identity(&self.servers[server].replication()?.source)
    }

    /// The replicas of `primary` that answer now.
    pub fn reached_replicas_of(&self, primary: usize) -> Vec<usize> {
        let identity = self.servers[primary].report.as_ref().map(|report| report.identity.as_str());
        let follows = |observed: &Observed| match (observed.replication(), identity) {
            // One that was told to follow it and has not met it is lost with it otherwise.
            (Some(replication), Some(identity)) => {
                replication.source.eq_ignore_ascii_case(identity)
                    || (replication.source.is_empty() && observed.told_to_follow.is_some())
            }
            // Of a primary that has never been reached only its replicas know anything.
            (Some(_), None) => true,
            (None, _) => false,
        };
        // One in quarantine acknowledges, too, from the moment that it receives.
        let receives = |observed: &Observed| {
            let receiver = observed.replication().map(|replication| replication.receiver);
            identity.is_some() && receiver.is_some_and(|receiver| receiver != Receiver::Stopped)
        };
        let is_replica = |at: usize| {
            let observed = &self.servers[at];
            let counts = observed.quarantine.is_none() || receives(observed);
            at != primary && observed.is_reached() && counts && follows(observed)
        };
        (0..self.servers.len()).filter(|&at| is_replica(at)).collect()
    }

    /// Whether a server may have received something of `primary` since it was last asked: one in quarantine only if it was
    /// told to follow it.
    pub fn may_follow(&self, server: usize, primary: usize) -> bool {
        let observed = &self.servers[server];
        let Some(report) = &observed.report else { return true };
        let follows = || {
            let source = report.replication.as_ref().map(|replication| &replication.source);
            source.is_some_and(|source| source.is_empty() || self.by_identity(source) == Some(primary))
        };
        observed.quarantine.is_none() || observed.has_new_orders() || follows()
    }

    /// Whether `replica` still hears from its source: connected, and a sign of life within `patience` or two heartbeats.
    pub fn hears_its_source(&self, replica: usize, patience: Duration) -> bool {
        let Some(replication) = self.servers[replica].replication() else { return false };
        let limit = patience.max(replication.heartbeat.unwrap_or_default() * 2);
        replication.receiver == Receiver::Connected
            && replication.silent_for.is_none_or(|silent| silent < limit)
    }
}

/// What tests of other modules build on, too.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::topology::{
        Flavour,
        dialect::SemiSyncWords,
        flavour::Version,
        report::{Replication, SemiSync},
    };

    /// A MySQL UUID for server `n`.
    pub fn uuid(n: usize) -> String {
        format!("00000000-0000-0000-0000-{n:012x}")
    }

    /// A set, as MySQL writes it.
    pub fn gtids(text: &str) -> Gtids {
        Gtids::parse(Flavour::MySql, text).unwrap()
    }

    /// A primary that has executed this.
    pub fn report_of(n: usize, executed: &str) -> Report {
        Report {
            version: Version::parse("9.7.4"),
            identity: uuid(n),
            read_only: false,
            super_read_only: false,
            uptime: Duration::from_secs(1000),
            started: 1_000_000,
            executed: gtids(executed),
            position: executed.to_owned(),
            purged: Gtids::default(),
            forgets_received: false,
            can_serve_replicas: true,
            semi_sync: SemiSync {
                words: SemiSyncWords::SourceReplica,
                source_enabled: true,
                source_active: true,
                wait_for: 1,
                clients: 2,
                ..SemiSync::default()
            },
            replication: None,
            group: None,
            max_connections: 151,
            heartbeat_us: None,
            account: String::new(),
            lacks: Vec::new(),
        }
    }

    /// A replica of server `source` that has received and executed the same.
    pub fn replica_of(n: usize, source: usize, executed: &str) -> Report {
        Report {
            read_only: true,
            super_read_only: true,
            semi_sync: SemiSync {
                words: SemiSyncWords::SourceReplica,
                wait_for: 1,
                replica_enabled: true,
                ..SemiSync::default()
            },
            replication: Some(Replication {
                source: uuid(source),
                source_address: (format!("db{source}"), 3306),
                tls: true,
                receiver: Receiver::Connected,
                receiver_error: None,
                applying: true,
                applier_error: None,
                received: gtids(executed),
                silent_for: Some(Duration::from_millis(100)),
                heartbeat: Some(Duration::from_millis(200)),
                delay: Duration::ZERO,
                seconds_behind: Some(0),
            }),
            ..report_of(n, executed)
        }
    }

    /// db1 is the primary of db2 and db3, and all have the same `executed`.
    pub fn healthy(executed: &str) -> Topology {
        let server = |n: usize| Observed { name: format!("db{n}"), priority: 100, ..Observed::default() };
        let mut topology = Topology {
            servers: vec![server(1), server(2), server(3)],
            primary: Some(0),
            ..Topology::default()
        };
        let now = Instant::now();
        topology.note(1, now, Ok(replica_of(2, 1, executed)));
        topology.note(2, now, Ok(replica_of(3, 1, executed)));
        topology.note(0, now + Duration::from_millis(1), Ok(report_of(1, executed)));
        topology
    }

    #[test]
    fn a_transaction_that_only_a_replica_has_is_errant_once_the_primary_was_asked_later() {
        let set = format!("{}:1-10", uuid(1));
        let mut topology = healthy(&set);
        assert!(topology.servers[1].errant.is_empty());
        let now = Instant::now() + Duration::from_secs(1);
        // The primary goes on while it is asked: what a replica has by then is no proof.
        topology.note(1, now, Ok(replica_of(2, 1, &format!("{}:1-11", uuid(1)))));
        assert!(topology.servers[1].errant.is_empty());
        topology.note(0, now + Duration::from_millis(5), Ok(report_of(1, &set)));
        assert_eq!(topology.servers[1].errant, gtids(&format!("{}:11", uuid(1))));
    }

    #[test]
    fn a_primary_that_lacks_its_own_transactions_for_a_while_has_lost_them() {
        let own = |last: u64| format!("{}:1-{last}", uuid(1));
        let mut topology = healthy(&own(10));
        let begin = Instant::now() + Duration::from_secs(1);
        let mut ask = |after_ms: u64, primary: u64, replica: u64, waiting: u64| {
            let now = begin + Duration::from_millis(after_ms);
            topology.note(1, now, Ok(replica_of(2, 1, &own(replica))));
            let mut report = report_of(1, &own(primary));
            report.semi_sync.waiting_sessions = waiting;
            topology.note(0, now + Duration::from_millis(1), Ok(report));
            topology.servers[1].ahead.for_good
        };
        // Each time another that is just being committed.
        assert!(![0, 500, 1000, 1500].into_iter().any(|at| ask(at, 10 + at / 500, 11 + at / 500, 0)));
        // One waits for an acknowledgement for long.
        assert!(![2000, 2500, 3000, 3500].into_iter().any(|at| ask(at, 14, 15, 1)));
        assert!(!ask(4000, 15, 15, 0));
        // It has been reset: it begins again.
        assert!(!ask(5000, 1, 15, 0));
        assert!(!ask(5500, 2, 15, 0));
        assert!(ask(6000, 3, 15, 0));
        assert!(ask(6500, 4, 15, 1), "what has been lost is not being waited for");
        // The replica was made anew.
        assert!(!ask(7000, 5, 5, 0));
    }

    #[test]
    fn one_in_quarantine_counts_as_a_replica_from_when_it_receives() {
        let mut topology = healthy("");
        topology.servers[2].quarantine = Some("it was away".into());
        assert_eq!(topology.reached_replicas_of(0), [1, 2]);
        let stopped = topology.servers[2].report.as_mut().unwrap();
        stopped.replication.as_mut().unwrap().receiver = Receiver::Stopped;
        assert_eq!(topology.reached_replicas_of(0), [1]);
        assert!(topology.may_follow(2, 0), "it may start again by itself");
    }

    #[test]
    fn a_silent_source_is_not_heard() {
        let mut topology = healthy("");
        assert!(topology.hears_its_source(1, Duration::from_secs(1)));
        let silent = |topology: &mut Topology, silent| {
            let report = topology.servers[1].report.as_mut().unwrap();
            report.replication.as_mut().unwrap().silent_for = silent;
        };
        silent(&mut topology, Some(Duration::from_secs(2)));
        assert!(!topology.hears_its_source(1, Duration::from_secs(1)));
        silent(&mut topology, None);
        assert!(
            topology.hears_its_source(1, Duration::from_secs(1)),
            "without knowing better it is believed"
        );
    }
}
