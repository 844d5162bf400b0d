//! How the primary is: a pure judgement over several witnesses. dauphin's own probes, the data path's errors (which make
//! the probes come at once), and what the replicas say of their source.

use std::time::Duration;

use tokio::time::Instant;

use crate::topology::{
    Topology,
    report::{Problem, Report},
};

/// How patient the judgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For how long nobody must have heard from a primary that neither answers nor refuses: `[failover] hang_timeout`.
    pub hang: Duration,
    /// For how long the replicas of a primary that has said goodbye must have received nothing new: they notice a clean
    /// shutdown late.
    pub leaving: Duration,
    /// For how long a semi-synchronous primary may have no replica that hears it, while it answers dauphin.
    pub isolated: Duration,
    /// For how long a heartbeat must have waited for room on the primary's disk: `[failover] write_timeout`.
    pub write: Duration,
}

/// How often a server must have failed to answer before its silence counts.
pub const FAILURES: u32 = 2;

/// What the matter is. Each has its [`Remedy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// Not every server has been asked yet.
    Starting,
    /// The primary answers and takes writes.
    Healthy,
    /// No server takes writes, and none is known to have been the primary.
    NoPrimary,
    /// Several servers take writes, and none of them is the known primary.
    SeveralWritable(Vec<usize>),
    /// It does not answer; too early to say why.
    Suspected,
    /// Its process is gone, and its replicas have lost it.
    Dead,
    /// It neither answers nor refuses, and no replica has heard from it.
    Hung,
    /// Its process is gone or going, but replicas are still connected to what is left of it.
    Leaving,
    /// dauphin cannot reach it, but a replica hears it: the network between is cut.
    Unseen,
    /// It cannot be reached, and no replica answers that could say more or take its place.
    DeadAlone,
    /// It answers, but no replica hears it.
    Isolated {
        /// Long enough, and commits wait for replicas that do not come.
        for_long: bool,
    },
    /// It answers, and a heartbeat is not written for a reason that does not show that it cannot.
    Stalled,
    /// It answers, and writes nothing, for its disk is full.
    CannotWrite,
    /// It answers and was made read-only by somebody else.
    ReadOnly,
    /// It answers and came back read-only from a restart, as it should.
    Restarted,
    /// It refuses dauphin's account, its question or its host, or TLS.
    Refuses,
    /// The servers are a replication group, and none of them is its primary with a majority.
    GroupElecting,
}

/// What is done about a diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: all is well, or nothing can be done.
    Nothing,
    /// Statements for the primary wait; nothing is changed.
    Hold,
    /// Promote a replica.
    FailOver,
    /// Let it take writes again.
    Reopen,
}

impl Diagnosis {
    /// The word for it, in metrics and tables.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::NoPrimary => "no_primary",
            Self::SeveralWritable(_) => "several_writable",
            Self::Suspected => "primary_suspected",
            Self::Dead => "primary_dead",
            Self::Hung => "primary_hung",
            Self::Leaving => "primary_leaving",
            Self::Unseen => "primary_unseen",
            Self::DeadAlone => "primary_dead_alone",
            Self::Isolated { .. } => "primary_isolated",
            Self::Stalled => "primary_stalled",
            Self::CannotWrite => "primary_cannot_write",
            Self::ReadOnly => "primary_read_only",
            Self::Restarted => "primary_restarted",
            Self::Refuses => "primary_refuses",
            Self::GroupElecting => "group_electing",
        }
    }

    /// What it means and what is done, in a sentence.
    pub const fn meaning(&self) -> &'static str {
        match self {
            Self::Starting => "Not every server has been asked yet; nothing is done before.",
            Self::Healthy => "The primary answers and takes writes.",
            Self::NoPrimary => {
                "No server takes writes and none is known to have been the primary; statements wait."
            }
            Self::SeveralWritable(_) => {
                "Several servers take writes and none of them is the known primary: none gets any; statements wait."
            }
            Self::Suspected => "The primary does not answer; too early to say why; statements wait.",
            Self::Dead => {
                "The primary's process is gone and its replicas have lost it: a replica is promoted."
            }
            Self::Hung => {
                "The primary neither answers nor refuses and no replica has heard from it for [failover] hang_timeout: \
                 a replica is promoted."
            }
            Self::Leaving => {
                "The primary's process is gone or going, and replicas have not noticed yet: statements wait until they have, or \
                 have received nothing for [failover] leaving_timeout from one that said goodbye."
            }
            Self::Unseen => {
                "Only dauphin cannot reach the primary, a replica hears it: it is not deposed; statements wait."
            }
            Self::DeadAlone => {
                "The primary cannot be reached and no replica answers that could take its place; statements wait."
            }
            Self::Isolated { for_long: false } => {
                "The primary answers but no replica hears it; nothing is done."
            }
            Self::Isolated { for_long: true } => {
                "The primary answers, but its commits wait for replicas that have lost it: it is fenced and a replica is promoted."
            }
            Self::Stalled => {
                "The primary answers, but a heartbeat has not been written for [failover] write_timeout, and no full disk is known \
                 to be why (a lock, missing acknowledgements, a slow disk): nothing is done."
            }
            Self::CannotWrite => {
                "The primary answers, but its disk is full and a heartbeat has not been written for [failover] write_timeout: its \
                 clients are cut off and a replica is promoted."
            }
            Self::ReadOnly => "Somebody has made the primary read-only: it is not deposed; statements wait.",
            Self::Restarted => "The primary came back read-only from a restart: it is made writable again.",
            Self::Refuses => {
                "The primary refuses dauphin's account or host, or there is no TLS with it as [tls.server] asks for: nothing can be \
                 said of it, and nothing is done."
            }
            Self::GroupElecting => {
                "The servers are a replication group whose primary is gone, or has lost the role or the majority: dauphin takes \
                 whom the group elects; statements wait."
            }
        }
    }

    /// What is done about it.
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Dead | Self::Hung | Self::Isolated { for_long: true } | Self::CannotWrite => {
                Remedy::FailOver
            }
            Self::Restarted => Remedy::Reopen,
            Self::Healthy | Self::Starting | Self::Isolated { .. } | Self::Stalled | Self::Refuses => {
                Remedy::Nothing
            }
            Self::NoPrimary
            | Self::SeveralWritable(_)
            | Self::Suspected
            | Self::Leaving
            | Self::Unseen
            | Self::DeadAlone
            | Self::ReadOnly
            | Self::GroupElecting => Remedy::Hold,
        }
    }

    /// One of each, for the table in the documentation.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Starting,
            Self::Healthy,
            Self::NoPrimary,
            Self::SeveralWritable(Vec::new()),
            Self::Suspected,
            Self::Dead,
            Self::Hung,
            Self::Leaving,
            Self::Unseen,
            Self::DeadAlone,
            Self::Isolated { for_long: false },
            Self::Isolated { for_long: true },
            Self::Stalled,
            Self::CannotWrite,
            Self::ReadOnly,
            Self::Restarted,
            Self::Refuses,
            Self::GroupElecting,
        ]
    }
}

/// Judges. `isolated_since`: since when the primary has answered without any replica hearing it.
pub fn diagnose(
    topology: &Topology,
    patience: Patience,
    isolated_since: Option<Instant>,
    now: Instant,
) -> Diagnosis {
    if !topology.is_complete() {
        return Diagnosis::Starting;
    }
    if topology.is_group() {
        return of_group(topology);
    }
    let Some(primary) = topology.primary else {
        let writable = (0..topology.servers.len())
            .filter(|&at| topology.servers[at].is_writable() && topology.servers[at].quarantine.is_none());
        let writable: Vec<usize> = writable.collect();
        return if writable.len() > 1 { Diagnosis::SeveralWritable(writable) } else { Diagnosis::NoPrimary };
    };
    let replicas = topology.reached_replicas_of(primary);
    let heard = |patience: Duration| replicas.iter().any(|&at| topology.hears_its_source(at, patience));
    let observed = &topology.servers[primary];
    let Some(trouble) = &observed.trouble else {
        return of_answering(topology, primary, patience, isolated_since, now);
    };
    let silent_for = now.saturating_duration_since(trouble.since);
    match &trouble.problem {
        Problem::Refused { .. } | Problem::MissingPrivilege { .. } | Problem::Double(_) => Diagnosis::Refuses,
        _ if trouble.failures < FAILURES => Diagnosis::Suspected,
        Problem::Closed(_) | Problem::Gone(_) if replicas.is_empty() => Diagnosis::DeadAlone,
        // A connection that a replica still has to a process that is gone ends at once, after a crash.
        Problem::Closed(_) | Problem::Gone(_) if !heard(patience.hang) => Diagnosis::Dead,
        // After a clean shutdown it lasts some ten seconds more, with heartbeats and all, and brings nothing new.
        Problem::Closed(_) | Problem::Gone(_) if is_shut_down(topology, primary, patience, now) => {
            Diagnosis::Dead
        }
        Problem::Closed(_) | Problem::Gone(_) if silent_for >= patience.hang => Diagnosis::Unseen,
        Problem::Closed(_) | Problem::Gone(_) => Diagnosis::Leaving,
        // It was seen to go, and is silent as its whole machine went.
        Problem::Silent(_) if trouble.was_seen_to_go && !replicas.is_empty() && !heard(patience.hang) => {
            Diagnosis::Dead
        }
        Problem::Silent(_) if silent_for < patience.hang => Diagnosis::Suspected,
        Problem::Silent(_) if replicas.is_empty() => Diagnosis::DeadAlone,
        Problem::Silent(_) if heard(patience.hang) => Diagnosis::Unseen,
        Problem::Silent(_) => Diagnosis::Hung,
    }
}

/// Of a group it is only asked whether it has a primary.
fn of_group(topology: &Topology) -> Diagnosis {
    let Some(primary) = topology.primary else { return Diagnosis::GroupElecting };
    match &topology.servers[primary].trouble {
        None if topology.may_rule(primary) => Diagnosis::Healthy,
        Some(trouble) if !trouble.problem.is_unreachable() => Diagnosis::Refuses,
        Some(trouble) if trouble.failures < FAILURES => Diagnosis::Suspected,
        _ => Diagnosis::GroupElecting,
    }
}

/// Whether a primary that ended its connections in good order has sent its replicas nothing new since, for long enough. Only
/// where it needs their acknowledgements: without them it could go on unseen.
fn is_shut_down(topology: &Topology, primary: usize, patience: Patience, now: Instant) -> bool {
    let observed = &topology.servers[primary];
    let Some(trouble) = observed.trouble.as_ref().filter(|trouble| trouble.has_said_goodbye) else {
        return false;
    };
    let needs_them = observed.report.as_ref().is_some_and(|report| report.semi_sync.source_enabled);
    let quiet_since = topology.grew_at.map_or(trouble.since, |grew_at| grew_at.max(trouble.since));
    needs_them && now.saturating_duration_since(quiet_since) >= patience.leaving
}

fn of_answering(
    topology: &Topology,
    primary: usize,
    patience: Patience,
    isolated_since: Option<Instant>,
    now: Instant,
) -> Diagnosis {
    let Some(report) = &topology.servers[primary].report else { return Diagnosis::Starting };
    if report.read_only {
        // One that was never seen to take writes may have been closed on purpose.
        let last_writable = topology.servers[primary].steady;
        let restarted = last_writable.is_some_and(|began| report.is_later_than(began));
        return if restarted { Diagnosis::Restarted } else { Diagnosis::ReadOnly };
    }
    match isolated_since {
        Some(since) => Diagnosis::Isolated {
            for_long: report.semi_sync.source_enabled
                && report.semi_sync.waiting_sessions > 0
                && now.saturating_duration_since(since) >= patience.isolated,
        },
        None => of_writing(topology, report, patience, now),
    }
}

/// A primary that its replicas hear. Whoever waits for an acknowledgement has written.
fn of_writing(topology: &Topology, report: &Report, patience: Patience, now: Instant) -> Diagnosis {
    let unwritten = topology.unwritten.as_ref();
    let unwritten = unwritten.filter(|write| now.saturating_duration_since(write.since) >= patience.write);
    match unwritten {
        None => Diagnosis::Healthy,
        Some(write) if write.no_room && report.semi_sync.waiting_sessions == 0 => Diagnosis::CannotWrite,
        Some(_) => Diagnosis::Stalled,
    }
}

/// Whether the primary answers while replicas of its answer and none of them hears it.
pub fn is_isolated(topology: &Topology, patience: Patience) -> bool {
    let Some(primary) = topology.primary.filter(|&primary| topology.servers[primary].is_reached()) else {
        return false;
    };
    let replicas = topology.reached_replicas_of(primary);
    !replicas.is_empty() && !replicas.iter().any(|&at| topology.hears_its_source(at, patience.hang))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{
        group::tests::{group, member},
        observed::{
            Unwritten,
            tests::{healthy, replica_of},
        },
        report::Receiver,
    };

    const PATIENCE: Patience = Patience {
        hang: Duration::from_secs(3),
        leaving: Duration::from_secs(1),
        isolated: Duration::from_secs(10),
        write: Duration::from_secs(5),
    };

    /// After what `healthy` has been told.
    const LATER: Duration = Duration::from_millis(10);

    fn lose(topology: &mut Topology, at: Instant, problem: &Problem, times: u32) {
        let at = at + LATER;
        (0..times).for_each(|_| topology.note(0, at, Err(problem.clone())));
    }

    fn replicas(topology: &mut Topology, receiver: Receiver, silent: Duration) {
        for at in [1, 2] {
            let mut report = replica_of(at + 1, 1, "");
            let replication = report.replication.as_mut().unwrap();
            (replication.receiver, replication.silent_for) = (receiver, Some(silent));
            topology.note(at, Instant::now() + LATER, Ok(report));
        }
    }

    fn check(topology: &Topology, after: Duration, expected: &Diagnosis) {
        let diagnosis = diagnose(topology, PATIENCE, None, Instant::now() + LATER + after);
        assert_eq!(diagnosis, *expected);
    }

    #[test]
    fn a_dead_primary_is_dead_when_its_replicas_have_lost_it_too() {
        let gone = Problem::Gone("connection refused".into());
        let mut topology = healthy("");
        lose(&mut topology, Instant::now(), &gone, 1);
        check(&topology, Duration::ZERO, &Diagnosis::Suspected);
        lose(&mut topology, Instant::now(), &gone, 1);
        check(&topology, Duration::ZERO, &Diagnosis::Leaving);
        check(&topology, Duration::from_secs(4), &Diagnosis::Unseen);
        replicas(&mut topology, Receiver::Connecting, Duration::ZERO);
        check(&topology, Duration::ZERO, &Diagnosis::Dead);
    }

    #[test]
    fn a_primary_that_only_dauphin_cannot_see_is_not_deposed() {
        let mut topology = healthy("");
        lose(&mut topology, Instant::now(), &Problem::Silent("timeout".into()), 9);
        check(&topology, Duration::from_secs(1), &Diagnosis::Suspected);
        check(&topology, Duration::from_secs(60), &Diagnosis::Unseen);
        replicas(&mut topology, Receiver::Connected, Duration::from_secs(4));
        check(&topology, Duration::from_secs(60), &Diagnosis::Hung);
    }

    #[test]
    fn a_primary_whose_machine_went_with_it_is_dead_too() {
        let mut topology = healthy("");
        lose(&mut topology, Instant::now(), &Problem::Gone("connection reset".into()), 1);
        lose(&mut topology, Instant::now(), &Problem::Silent("timeout".into()), 1);
        check(&topology, Duration::ZERO, &Diagnosis::Suspected);
        replicas(&mut topology, Receiver::Connecting, Duration::ZERO);
        check(&topology, Duration::ZERO, &Diagnosis::Dead);
    }

    #[test]
    fn a_clean_shutdown_is_taken_at_its_word() {
        let mut topology = healthy("");
        lose(&mut topology, Instant::now(), &Problem::Closed("the server closed the connection".into()), 1);
        lose(&mut topology, Instant::now(), &Problem::Gone("connection refused".into()), 1);
        check(&topology, Duration::ZERO, &Diagnosis::Leaving);
        check(&topology, Duration::from_secs(2), &Diagnosis::Dead);
        // Something came after all: it lives, and only dauphin is refused.
        topology.grew_at = Some(Instant::now() + Duration::from_secs(2));
        check(&topology, Duration::from_secs(2), &Diagnosis::Leaving);
        // Nobody would know what it does without replicas.
        topology.grew_at = None;
        topology.servers[0].report.as_mut().unwrap().semi_sync.source_enabled = false;
        check(&topology, Duration::from_secs(2), &Diagnosis::Leaving);
    }

    #[test]
    fn without_replicas_nobody_can_be_promoted() {
        let mut topology = healthy("");
        let gone = Problem::Gone("connection refused".into());
        for at in [1, 2] {
            topology.note(at, Instant::now() + LATER, Err(gone.clone()));
        }
        lose(&mut topology, Instant::now(), &gone, 2);
        check(&topology, Duration::from_secs(60), &Diagnosis::DeadAlone);
    }

    #[test]
    fn replicas_that_have_not_met_a_new_primary_yet_can_take_its_place_if_they_were_told_to_follow_it() {
        let gone = Problem::Gone("connection refused".into());
        let mut topology = healthy("");
        for at in [1, 2] {
            let mut report = replica_of(at + 1, 1, "");
            let replication = report.replication.as_mut().unwrap();
            replication.source = String::new();
            (replication.receiver, replication.silent_for) = (Receiver::Connecting, None);
            topology.note(at, Instant::now() + LATER, Ok(report));
        }
        lose(&mut topology, Instant::now(), &gone, 2);
        check(&topology, Duration::from_secs(60), &Diagnosis::DeadAlone);
        topology.servers[2].told_to_follow = Some(Instant::now());
        check(&topology, Duration::from_secs(60), &Diagnosis::Dead);
    }

    #[test]
    fn a_primary_made_read_only_by_hand_is_not_reopened_but_a_restarted_one_is() {
        let mut topology = healthy("");
        topology.servers[0].report.as_mut().unwrap().read_only = true;
        check(&topology, Duration::ZERO, &Diagnosis::ReadOnly);
        let started = topology.servers[0].report.as_ref().unwrap().started;
        topology.servers[0].steady = Some(started);
        check(&topology, Duration::ZERO, &Diagnosis::ReadOnly);
        topology.servers[0].report.as_mut().unwrap().started += 5;
        check(&topology, Duration::ZERO, &Diagnosis::Restarted);
    }

    #[test]
    fn a_replication_group_is_left_to_elect_its_primary() {
        let mut topology = group();
        check(&topology, Duration::ZERO, &Diagnosis::Healthy);
        lose(&mut topology, Instant::now(), &Problem::Gone("connection refused".into()), 1);
        check(&topology, Duration::ZERO, &Diagnosis::Suspected);
        lose(&mut topology, Instant::now(), &Problem::Gone("connection refused".into()), 1);
        check(&topology, Duration::from_secs(60), &Diagnosis::GroupElecting);
        // It is back before the group has noticed, and no member.
        let mut restarted = member(1, "OFFLINE", false);
        (restarted.read_only, restarted.uptime) = (false, Duration::from_secs(1));
        topology.note(0, Instant::now() + LATER * 2, Ok(restarted));
        check(&topology, Duration::from_secs(60), &Diagnosis::GroupElecting);
        let mut topology = group();
        topology.servers[0].report.as_mut().unwrap().read_only = true;
        check(&topology, Duration::ZERO, &Diagnosis::GroupElecting);
    }

    #[test]
    fn an_isolated_primary_is_deposed_when_commits_wait_for_long() {
        let mut topology = healthy("");
        replicas(&mut topology, Receiver::Connecting, Duration::ZERO);
        assert!(is_isolated(&topology, PATIENCE));
        let since = Some(Instant::now());
        let later = Instant::now() + Duration::from_secs(11);
        let judge = |topology: &Topology| diagnose(topology, PATIENCE, since, later);
        assert_eq!(judge(&topology), Diagnosis::Isolated { for_long: false });
        topology.servers[0].report.as_mut().unwrap().semi_sync.waiting_sessions = 1;
        assert_eq!(judge(&topology), Diagnosis::Isolated { for_long: true });
    }

    #[test]
    fn only_a_full_disk_makes_a_primary_that_writes_nothing_be_deposed() {
        let mut topology = healthy("");
        let unwritten = |no_room| Some(Unwritten { since: Instant::now() + LATER, no_room });
        topology.unwritten = unwritten(false);
        check(&topology, Duration::from_secs(4), &Diagnosis::Healthy);
        check(&topology, Duration::from_secs(60), &Diagnosis::Stalled);
        topology.unwritten = unwritten(true);
        check(&topology, Duration::from_secs(4), &Diagnosis::Healthy);
        check(&topology, Duration::from_secs(6), &Diagnosis::CannotWrite);
        topology.servers[0].report.as_mut().unwrap().semi_sync.waiting_sessions = 1;
        check(&topology, Duration::from_secs(6), &Diagnosis::Stalled);
        topology.servers[0].report.as_mut().unwrap().read_only = true;
        check(&topology, Duration::from_secs(6), &Diagnosis::ReadOnly);
    }

    #[test]
    fn the_documentation_has_every_diagnosis_and_what_is_done_about_it() {
        let mut table = String::from("| diagnosis | what it means and what is done |\n|---|---|\n");
        for diagnosis in Diagnosis::all() {
            table += &format!("| `{}` | {} |\n", diagnosis.label(), diagnosis.meaning());
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failover.md");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(text.contains(&table), "docs/failover.md should have this table:\n{table}");
    }
}
