//! From the topology to what sessions see of it: who is primary, who takes reads, and why the others do not.

use std::sync::Arc;

use crate::{
    backend::Fleet,
    config::PrimaryReads,
    routing::{Epoch, Primary, RoutingTable, Term, balance::Rotation, table::Out},
    topology::{Topology, flavour::Version, group::GroupMember, report::Receiver},
};

/// Who takes the writes, as far as sessions are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Throne {
    /// The server of the current term.
    Taken,
    /// Nobody for the moment, since the primary is being changed.
    Held,
    /// Nobody until an operator says so.
    Paused,
    /// Nobody, for this reason.
    Empty(String),
}

/// Makes tables, and knows the last one, to publish changes only.
#[derive(Debug)]
pub struct Assembler {
    fleet: Arc<Fleet>,
    primary_reads: PrimaryReads,
    last: Option<Shape>,
}

/// What two tables must differ in to be worth publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    throne: Throne,
    epoch: Epoch,
    replicas: Vec<usize>,
    out: Vec<(usize, &'static str)>,
    version: Option<String>,
}

impl Assembler {
    /// For these servers.
    pub const fn new(fleet: Arc<Fleet>, primary_reads: PrimaryReads) -> Self {
        Self { fleet, primary_reads, last: None }
    }

    /// A table, if sessions should know of a change.
    pub fn assemble(
        &mut self,
        topology: &Topology,
        throne: Throne,
        term: Option<&Arc<Term>>,
        epoch: Epoch,
    ) -> Option<RoutingTable> {
        let mut shape = self.shape(topology, throne, epoch);
        if let (Throne::Held, Some(last)) = (&shape.throne, &self.last) {
            // What is done to replicas meanwhile does not make their data worse.
            shape.replicas = last
                .replicas
                .iter()
                .copied()
                .filter(|&at| shape.replicas.contains(&at) || topology.servers[at].is_reached())
                .collect();
            shape.out.retain(|(at, _)| !shape.replicas.contains(at));
        }
        if self.last.as_ref() == Some(&shape) {
            return None;
        }
        let table = self.table(&shape, term);
        tracing::info!(
            primary = term.map(|term| term.server.name.as_str()),
            throne = ?shape.throne,
            replicas = ?table.replicas.servers(),
            out = ?table.out.iter().map(|out| (&out.server.name, out.cause)).collect::<Vec<_>>(),
            epoch = epoch.0,
            "routing table changed"
        );
        self.last = Some(shape);
        Some(table)
    }

    fn shape(&self, topology: &Topology, throne: Throne, epoch: Epoch) -> Shape {
        let (mut replicas, mut out) = (Vec::new(), Vec::new());
        for at in 0..topology.servers.len() {
            let is_primary = topology.primary == Some(at);
            match why_out(topology, at) {
                _ if is_primary && topology.servers[at].trouble.is_none() => {
                    if self.primary_reads == PrimaryReads::Share && throne == Throne::Taken {
                        replicas.push(at);
                    }
                }
                None => replicas.push(at),
                Some(cause) => out.push((at, cause)),
            }
        }
        let reports = topology.servers.iter().filter_map(|observed| observed.report.as_ref());
        let lowest = reports.map(|report| &report.version).min_by_key(|version| version.number);
        let version = lowest.map(|version| version.text.clone());
        Shape { throne, epoch, replicas, out, version }
    }

    fn table(&self, shape: &Shape, term: Option<&Arc<Term>>) -> RoutingTable {
        let primary = match (&shape.throne, term) {
            (Throne::Taken, Some(term)) => Primary::Serving(term.clone()),
            (Throne::Taken, None) => Primary::Absent { cause: "no term has begun".to_owned() },
            (Throne::Held | Throne::Paused, _) => Primary::Held { since: std::time::Instant::now() },
            (Throne::Empty(cause), _) => Primary::Absent { cause: cause.clone() },
        };
        let replicas = shape.replicas.iter().map(|&at| self.fleet.servers[at].clone()).collect();
        RoutingTable {
            epoch: shape.epoch,
            primary,
            replicas: Rotation::new(replicas),
            out: shape
                .out
                .iter()
                .map(|&(at, cause)| Out { server: self.fleet.servers[at].clone(), cause })
                .collect(),
            version: shape.version.as_deref().map(Version::parse),
        }
    }
}

/// Why a server takes no reads as a replica; `None` if it does.
pub fn why_out(topology: &Topology, at: usize) -> Option<&'static str> {
    use crate::topology::report::Problem;
    let observed = &topology.servers[at];
    let report = match (&observed.trouble, &observed.report) {
        (Some(trouble), _) => {
            return Some(match trouble.problem {
                Problem::Closed(_) | Problem::Gone(_) | Problem::Silent(_) => "unreachable",
                Problem::Refused { what, .. } => what.label(),
                Problem::MissingPrivilege { .. } => "dauphin's account lacks a privilege",
                Problem::Double(_) => "listed twice, or with another server's identity",
            });
        }
        (None, None) => return Some("not asked yet"),
        (None, Some(report)) => report,
    };
    if observed.drained {
        return Some("drained");
    }
    if observed.quarantine.is_some() {
        return Some("quarantined");
    }
    if let Some(group) = &report.group {
        return why_out_of_group(topology, at, group);
    }
    if !report.read_only {
        return Some("writable, but not the primary");
    }
    let Some(replication) = &report.replication else { return Some("does not replicate") };
    if !replication.applying {
        return Some("replication applier stopped");
    }
    let primary_answers = topology.primary.is_some_and(|primary| topology.servers[primary].is_reached());
    // While the primary is gone a replica that has applied all it got is as good as it was.
    if primary_answers && replication.receiver == Receiver::Stopped {
        return Some("replication receiver stopped");
    }
    if !replication.source.is_empty() && primary_answers && topology.source_of(at).is_none() {
        return Some("replicates from a server that is not one of these");
    }
    if observed.ahead.for_good {
        return Some("has transactions that the primary has lost");
    }
    None
}

/// Why a member of a replication group takes no reads.
fn why_out_of_group(topology: &Topology, at: usize, group: &GroupMember) -> Option<&'static str> {
    if let Some(why) = group.why_out() {
        return Some(why);
    }
    // Without a majority it hears of no writes; with the primary gone too nobody is better.
    let primary_rules = topology.primary.is_some_and(|primary| topology.may_rule(primary));
    let is_writable = topology.servers[at].is_writable();
    if !group.has_majority && (primary_rules || is_writable) {
        return Some("it sees no majority of its replication group");
    }
    is_writable.then_some(if group.single_primary {
        "writable, but not the primary"
    } else {
        "its replication group is in multi-primary mode; dauphin keeps to one"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        topology::{
            group::tests::{group, member},
            observed::tests::{healthy, report_of},
        },
    };
    use tokio::time::Instant;

    fn assembler() -> Assembler {
        let config = Config::for_tests(&["db1:3306", "db2:3306", "db3:3306"]);
        Assembler::new(Arc::new(Fleet::new(&config).unwrap()), PrimaryReads::Fallback)
    }

    fn out(topology: &Topology) -> Vec<Option<&'static str>> {
        (0..3).map(|at| why_out(topology, at)).collect()
    }

    #[tokio::test]
    async fn replicas_take_reads_and_only_changes_are_published() {
        let (mut assembler, topology) = (assembler(), healthy(""));
        let table = assembler.assemble(&topology, Throne::Taken, None, Epoch(1)).unwrap();
        assert_eq!(table.replicas.servers().len(), 2);
        assert!(assembler.assemble(&topology, Throne::Taken, None, Epoch(1)).is_none());
        assert!(assembler.assemble(&topology, Throne::Held, None, Epoch(1)).is_some());
    }

    #[tokio::test]
    async fn what_a_failover_does_to_replicas_does_not_take_their_reads() {
        let (mut assembler, mut topology) = (assembler(), healthy(""));
        assembler.assemble(&topology, Throne::Taken, None, Epoch(1)).unwrap();
        let report = topology.servers[1].report.as_mut().unwrap();
        report.replication.as_mut().unwrap().receiver = Receiver::Stopped;
        let table = assembler.assemble(&topology, Throne::Held, None, Epoch(1)).unwrap();
        assert_eq!(table.replicas.servers().len(), 2);
        let table = assembler.assemble(&topology, Throne::Taken, None, Epoch(1)).unwrap();
        assert_eq!(table.replicas.servers().len(), 1);
    }

    #[tokio::test]
    async fn while_an_operator_has_paused_the_primary_replicas_come_and_go_as_ever() {
        let (mut assembler, mut topology) = (assembler(), healthy(""));
        topology.servers[1].drained = true;
        let replicas = |table: Option<RoutingTable>| {
            let table = table.expect("it has changed");
            assert!(matches!(table.primary, Primary::Held { .. }));
            table.replicas.servers().iter().map(|server| server.id.0).collect::<Vec<_>>()
        };
        assert_eq!(replicas(assembler.assemble(&topology, Throne::Paused, None, Epoch(1))), [2]);
        topology.servers[1].drained = false;
        assert_eq!(replicas(assembler.assemble(&topology, Throne::Paused, None, Epoch(1))), [1, 2]);
        topology.servers[2].drained = true;
        assert_eq!(replicas(assembler.assemble(&topology, Throne::Paused, None, Epoch(1))), [1]);
    }

    #[test]
    fn a_member_of_a_replication_group_takes_reads_while_it_is_online_and_has_a_majority() {
        let mut topology = group();
        assert_eq!(out(&topology)[1..], [None, None]);
        topology.note(2, Instant::now(), Ok(member(3, "RECOVERING", false)));
        topology.servers[1].report.as_mut().unwrap().group.as_mut().unwrap().has_majority = false;
        let recovering = "its replication group brings it up to date (RECOVERING)";
        assert_eq!(
            out(&topology)[1..],
            [Some("it sees no majority of its replication group"), Some(recovering)]
        );
        topology.note(0, Instant::now(), Ok(member(1, "ERROR", false)));
        assert_eq!(out(&topology)[1], None, "nobody has more");
        let mut multi = member(3, "ONLINE", true);
        multi.group.as_mut().unwrap().single_primary = false;
        topology.note(2, Instant::now(), Ok(multi));
        let why = out(&topology)[2].unwrap();
        assert!(why.contains("multi-primary"), "{why}");
    }

    #[test]
    fn a_server_that_is_no_sound_replica_takes_no_reads() {
        let mut topology = healthy("");
        assert_eq!(out(&topology)[1..], [None, None]);
        topology.servers[1].drained = true;
        let report = topology.servers[2].report.as_mut().unwrap();
        report.replication.as_mut().unwrap().applying = false;
        assert_eq!(out(&topology)[1..], [Some("drained"), Some("replication applier stopped")]);
        topology.note(2, Instant::now(), Ok(report_of(3, "")));
        assert_eq!(out(&topology)[2], Some("writable, but not the primary"));
        let mut topology = healthy("");
        let report = topology.servers[1].report.as_mut().unwrap();
        report.replication.as_mut().unwrap().source = "00000000-0000-0000-0000-000000000099".into();
        assert_eq!(out(&topology)[1], Some("replicates from a server that is not one of these"));
    }
}
