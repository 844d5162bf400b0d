//! From what the servers say to who is primary and who takes reads. One owner, no I/O.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Observation, Problem, Report};
use crate::{
    backend::Server,
    config::PrimaryReads,
    routing::{Epoch, Primary, RoutingTable, Term, balance::Rotation, table::Out},
    topology::{
        Gtids,
        flavour::Version,
        gtid,
        lag::{Fitness, Lags},
    },
};

/// All that is known of the servers.
#[derive(Debug)]
pub struct Topology {
    servers: Vec<Arc<Server>>,
    reports: Vec<Option<Result<Report, Problem>>>,
    term: Option<Arc<Term>>,
    epoch: Epoch,
    /// Whether the primary takes its share of reads.
    primary_reads: PrimaryReads,
    lags: Lags,
    fitness: Vec<Fitness>,
    /// How far a replica may be behind to take reads.
    max_replica_lag: Option<Duration>,
    /// What the last table was made of, to publish changes only.
    last: Option<Shape>,
}

/// What two tables must differ in to be worth publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    primary: Result<usize, String>,
    epoch: Epoch,
    replicas: Vec<usize>,
    out: Vec<(usize, &'static str)>,
    version: Option<String>,
}

impl Topology {
    /// Servers that nothing is known of.
    pub fn new(
        servers: Vec<Arc<Server>>,
        primary_reads: PrimaryReads,
        max_replica_lag: Option<Duration>,
    ) -> Self {
        Self {
            reports: servers.iter().map(|_| None).collect(),
            fitness: vec![Fitness::default(); servers.len()],
            servers,
            term: None,
            epoch: Epoch::default(),
            primary_reads,
            lags: Lags::default(),
            max_replica_lag,
            last: None,
        }
    }

    /// Takes in an observation; answers a table if sessions should know of the change.
    pub fn observe(&mut self, observation: Observation) -> Option<RoutingTable> {
        let at = observation.server;
        let was_reached = matches!(self.reports[at], Some(Ok(_)));
        self.reports[at] = Some(observation.report);
        if !was_reached {
            self.servers[at].forget_applied();
        }
        self.note_applied(at, observation.asked_at);
        // Until each server has been asked once, a second writable one may be among those not heard yet.
        if self.reports.iter().any(Option::is_none) {
            return None;
        }
        let primary = self.choose_primary();
        self.begin_or_end_term(&primary);
        self.measure(at, observation.asked_at, observation.answered_at);
        let shape = self.shape(primary);
        if self.last.as_ref() == Some(&shape) {
            return None;
        }
        let table = self.table(&shape);
        tracing::info!(
            primary = shape.primary.as_ref().map_or_else(Clone::clone, |&at| self.servers[at].name.clone()),
            replicas = ?table.replicas.servers(),
            out = ?table.out.iter().map(|out| (&out.server.name, out.cause)).collect::<Vec<_>>(),
            epoch = self.epoch.0,
            "routing table changed"
        );
        self.last = Some(shape);
        Some(table)
    }

    fn report(&self, at: usize) -> Option<&Report> {
        self.reports[at].as_ref()?.as_ref().ok()
    }

    fn note_applied(&self, at: usize, asked_at: Instant) {
        let Some(report) = self.report(at) else { return };
        let reaches = gtid::reaches(report.version.flavour, &report.gtids);
        self.servers[at].note_reaches(asked_at, reaches);
    }

    /// How far the server is behind, and whether that is too far.
    fn measure(&mut self, at: usize, asked_at: Instant, answered_at: Instant) {
        let Some(primary) = self.term.as_ref().map(|term| term.server.id.0) else { return };
        let executed = self.report(at).and_then(|report| Gtids::parse(report.version.flavour, &report.gtids));
        let lag = match &executed {
            Some(executed) if at == primary => {
                self.lags.note_primary(asked_at, executed);
                Some(Duration::ZERO)
            }
            Some(executed) => self.lags.of(executed, answered_at),
            None => None,
        };
        self.servers[at].set_lag(lag);
        // What a primary that is gone has not sent cannot be caught up with: nobody is worse than he was. A replica that
        // says nothing readable while its primary does is as if far behind.
        let unreadable = self.report(at).is_some() && executed.is_none();
        let seen = lag.or(unreadable.then_some(Duration::MAX));
        let comparable = seen.filter(|_| self.report(primary).is_some());
        let fit = self.fitness[at].judge(comparable, self.max_replica_lag);
        self.servers[at].set_behind(!fit && at != primary);
    }

    /// The one server that takes writes. Of two writable ones neither is chosen, unless one is the primary already: two
    /// never both receive writes.
    fn choose_primary(&self) -> Result<usize, String> {
        let writable: Vec<usize> = (0..self.servers.len())
            .filter(|&at| self.report(at).is_some_and(|report| !report.read_only))
            .collect();
        let current = self.term.as_ref().map(|term| term.server.id.0);
        if let Some(current) = current.filter(|current| writable.contains(current)) {
            return Ok(current);
        }
        match writable[..] {
            [only] => Ok(only),
            [] => Err("no server is writable (read_only is on everywhere, or the primary does not answer)"
                .to_owned()),
            _ => {
                let names: Vec<_> = writable.iter().map(|&at| self.servers[at].name.as_str()).collect();
                Err(format!("{} are all writable: set read_only on all but the primary", names.join(" and ")))
            }
        }
    }

    fn begin_or_end_term(&mut self, primary: &Result<usize, String>) {
        let current = self.term.as_ref().map(|term| term.server.id.0);
        match primary {
            Ok(at) if current == Some(*at) => {}
            Ok(at) => {
                self.end_term();
                self.lags.reset();
                self.epoch = Epoch(self.epoch.0 + 1);
                let server = self.servers[*at].clone();
                self.term =
                    Some(Arc::new(Term { epoch: self.epoch, server, ended: CancellationToken::new() }));
            }
            // A primary that does not answer for a moment has not lost its office: it is only suspected.
            Err(_) => {}
        }
    }

    fn end_term(&mut self) {
        if let Some(term) = self.term.take() {
            term.ended.cancel();
            term.server.pool.clear();
        }
    }

    fn shape(&self, primary: Result<usize, String>) -> Shape {
        let (mut replicas, mut out) = (Vec::new(), Vec::new());
        for at in 0..self.servers.len() {
            match self.why_out(at, primary.as_ref().ok().copied()) {
                _ if primary == Ok(at) && self.primary_reads == PrimaryReads::Fallback => {}
                _ if primary == Ok(at) => replicas.push(at),
                None => replicas.push(at),
                Some(cause) => out.push((at, cause)),
            }
        }
        let versions = (0..self.servers.len()).filter_map(|at| Some(&self.report(at)?.version));
        let lowest = versions.min_by_key(|version| version.number).map(|version| version.text.clone());
        let known = self.last.as_ref().and_then(|last| last.version.clone());
        Shape { primary, epoch: self.epoch, replicas, out, version: lowest.or(known) }
    }

    /// Why a server takes no reads as a replica; `None` if it does.
    fn why_out(&self, at: usize, primary: Option<usize>) -> Option<&'static str> {
        let report = match self.reports[at].as_ref()? {
            Err(Problem::Unreachable(_)) => return Some("unreachable"),
            Err(Problem::Refused(_)) => return Some("refuses dauphin's account"),
            Err(Problem::MissingPrivilege { .. }) => return Some("dauphin's account lacks a privilege"),
            Ok(report) => report,
        };
        match report.replication {
            _ if !report.read_only => Some("writable, but not the primary"),
            None => Some("does not replicate"),
            Some(replication) if !replication.applying => Some("replication applier stopped"),
            // While the primary is gone a replica that has applied all it got is as good as it was.
            Some(replication) if !replication.receiving && primary.is_some() => {
                Some("replication receiver stopped")
            }
            Some(_) => None,
        }
    }

    fn table(&self, shape: &Shape) -> RoutingTable {
        let primary = match (&shape.primary, &self.term) {
            (Ok(_), Some(term)) => Primary::Serving(term.clone()),
            (Err(cause), _) => Primary::Absent { cause: cause.clone() },
            (Ok(_), None) => Primary::Absent { cause: "no term has begun".to_owned() },
        };
        let replicas = shape.replicas.iter().map(|&at| self.servers[at].clone()).collect();
        RoutingTable {
            epoch: shape.epoch,
            primary,
            replicas: Rotation::new(replicas),
            out: shape
                .out
                .iter()
                .map(|&(at, cause)| Out { server: self.servers[at].clone(), cause })
                .collect(),
            version: shape.version.as_deref().map(Version::parse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::Fleet, config::Config, monitor::Replication};

    const MAX_LAG: Option<Duration> = Some(Duration::from_secs(1));

    fn topology() -> Topology {
        let config = Config::for_tests(&["db1:3306", "db2:3306", "db3:3306"]);
        Topology::new(Fleet::new(&config).unwrap().servers, PrimaryReads::Fallback, MAX_LAG)
    }

    fn report(read_only: bool) -> Result<Report, Problem> {
        Ok(Report {
            version: Version::parse("9.7.4"),
            identity: "u".into(),
            read_only,
            replication: read_only.then_some(Replication { receiving: true, applying: true }),
            gtids: String::new(),
        })
    }

    fn see(topology: &mut Topology, server: usize, report: Result<Report, Problem>) -> Option<RoutingTable> {
        let now = Instant::now();
        topology.observe(Observation { server, recovered: false, asked_at: now, answered_at: now, report })
    }

    fn started() -> (Topology, RoutingTable) {
        let mut topology = topology();
        assert!(see(&mut topology, 0, report(false)).is_none(), "not all servers are known yet");
        see(&mut topology, 1, report(true));
        let table = see(&mut topology, 2, report(true)).unwrap();
        (topology, table)
    }

    #[tokio::test]
    async fn the_writable_server_is_primary_and_the_others_take_reads() {
        let (mut topology, table) = started();
        assert_eq!(table.term().unwrap().server.name, "db1:3306");
        assert_eq!(table.replicas.servers().len(), 2);
        assert!(see(&mut topology, 1, report(true)).is_none(), "nothing has changed");
    }

    #[tokio::test]
    async fn every_poll_measures_the_lag_and_two_above_the_limit_take_a_replica_out() {
        let (mut topology, _) = started();
        let start = Instant::now();
        let poll = |topology: &mut Topology, server: usize, second: u64, last: u64| {
            let at = start + Duration::from_secs(second);
            let mut report = report(server != 0).unwrap();
            report.gtids = format!("819b2208-0000-0000-0000-00000000000a:1-{last}");
            topology.observe(Observation {
                server,
                recovered: false,
                asked_at: at,
                answered_at: at,
                report: Ok(report),
            });
            let server = &topology.servers[server];
            (server.lag().map(|lag| lag.as_secs()), server.is_behind())
        };
        poll(&mut topology, 0, 1, 10);
        assert_eq!(poll(&mut topology, 1, 1, 10), (Some(0), false));
        assert_eq!(poll(&mut topology, 0, 2, 20), (Some(0), false), "the primary is never behind");
        assert_eq!(poll(&mut topology, 1, 3, 10), (Some(2), false), "once above the limit");
        assert_eq!(poll(&mut topology, 1, 4, 10), (Some(3), true), "twice");
        for second in 5..8 {
            assert_eq!(poll(&mut topology, 1, second, 20), (Some(0), true));
        }
        assert_eq!(poll(&mut topology, 1, 8, 20), (Some(0), false));
        // The primary goes: what it never sent is nobody's fault.
        poll(&mut topology, 0, 9, 30);
        see(&mut topology, 0, Err(Problem::Unreachable("gone".into())));
        for second in 20..30 {
            assert!(!poll(&mut topology, 1, second, 20).1);
        }
    }

    #[tokio::test]
    async fn a_second_writable_server_takes_neither_writes_nor_reads() {
        let (mut topology, _) = started();
        let table = see(&mut topology, 1, report(false)).unwrap();
        assert_eq!(table.term().unwrap().server.name, "db1:3306");
        assert_eq!(table.out[0].cause, "writable, but not the primary");
    }

    #[tokio::test]
    async fn of_two_writable_servers_at_the_start_neither_is_primary() {
        let mut topology = topology();
        see(&mut topology, 0, report(false));
        see(&mut topology, 1, report(false));
        let table = see(&mut topology, 2, report(true)).unwrap();
        assert!(
            matches!(table.primary, Primary::Absent { ref cause } if cause.contains("db1:3306 and db2:3306"))
        );
    }

    #[tokio::test]
    async fn a_primary_moved_by_others_begins_a_new_term_and_ends_the_old_one() {
        let (mut topology, table) = started();
        let old = table.term().unwrap().clone();
        see(&mut topology, 0, report(true));
        let table = see(&mut topology, 1, report(false)).unwrap();
        assert!(old.ended.is_cancelled());
        assert!(table.term().unwrap().epoch > old.epoch);
        assert_eq!(table.term().unwrap().server.name, "db2:3306");
    }

    #[tokio::test]
    async fn a_replica_that_does_not_apply_takes_no_reads() {
        let (mut topology, _) = started();
        let mut broken = report(true);
        if let Ok(Report { replication: Some(replication), .. }) = &mut broken {
            replication.applying = false;
        }
        let table = see(&mut topology, 2, broken).unwrap();
        assert_eq!(table.out[0].cause, "replication applier stopped");
        assert_eq!(table.replicas.servers().len(), 1);
    }
}
