//! Who is promoted, and what becomes of the others: pure, from the reports taken when nothing moved any more.

use std::time::Duration;

use crate::{
    control::Preview,
    topology::{Gtids, Topology, dialect::SourceSettings, observed::Observed},
};

/// Candidates that differ by fewer transactions yet to apply are equally good.
const SIMILAR: u64 = 1_000;

/// What an operator has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Promote this server and no other.
    pub to: Option<usize>,
    /// Also if transactions are lost by it.
    pub force: bool,
}

/// A choice with all that follows from it: nothing is left to decide when it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who becomes the primary.
    pub candidate: usize,
    /// What it must have applied before it takes writes: all it has received.
    pub target: Gtids,
    /// Who follows it.
    pub followers: Vec<usize>,
    /// Who cannot follow it, and why.
    pub left: Vec<(usize, String)>,
    /// How it waits for its replicas' acknowledgements; `None` for not at all.
    pub semi_sync: Option<SourceSettings>,
    /// What the old primary is known to have had and the new one does not have.
    pub lost: Gtids,
}

/// Why nobody is promoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotFailOver {
    /// None of the servers may be promoted.
    #[error("no server can be promoted: {0}")]
    NoCandidate(String),
    /// A replica that cannot be asked may have acknowledged what no other has.
    #[error(
        "{0} may have acknowledged transactions that no other replica has; bring it back, or FAILOVER FORCE to do without them"
    )]
    MayLose(String),
    /// A replica has restarted since the primary was last seen, and forgot what it had not applied.
    #[error(
        "{servers} may have acknowledged transactions, and forgotten them in a restart before applying them; bring {old} back, or \
         FAILOVER FORCE to do without them"
    )]
    MayHaveForgotten {
        /// The replicas.
        servers: String,
        /// Who has them.
        old: String,
    },
    /// The best candidate lacks transactions that are known of.
    #[error(
        "{server} lacks {count} transactions that {whose} had ({gtids}); bring that server back, or FAILOVER FORCE to do without them"
    )]
    WouldLose {
        /// The candidate.
        server: String,
        /// How many it lacks.
        count: u64,
        /// Who had them.
        whose: String,
        /// Which.
        gtids: String,
    },
}

/// Chooses among `frozen`, the replicas of `old` that have stopped receiving and have just reported.
///
/// # Errors
/// Why nobody can be promoted without losing what was acknowledged.
pub fn plan(topology: &Topology, old: usize, frozen: &[usize], wish: Wish) -> Result<Plan, CannotFailOver> {
    let servers = &topology.servers;
    if !wish.force {
        all_acknowledged_are_here(topology, old, frozen)?;
    }
    let all = frozen.iter().fold(Gtids::default(), |all, &at| all.union(&sound(topology, old, at)));
    let mut passed_over = Vec::new();
    let mut candidates: Vec<(usize, Gtids)> = Vec::new();
    for &at in frozen {
        match unfit(topology, old, frozen, at, wish) {
            Some(why) => passed_over.push(format!("{} ({why})", servers[at].name)),
            None => candidates.push((at, servers[at].has())),
        }
    }
    if candidates.is_empty() {
        let why =
            if passed_over.is_empty() { "no replica answers".to_owned() } else { passed_over.join(", ") };
        return Err(CannotFailOver::NoCandidate(why));
    }
    // The most transactions come first; only among equals there is a choice.
    let fewest = candidates.iter().map(|(_, has)| has.lacks(&all)).min().unwrap_or_default();
    let fewest = if wish.to.is_some() { u64::MAX } else { fewest };
    let rank = |at: usize| {
        let observed = &servers[at];
        let version = observed.report.as_ref().map_or(0, |report| report.version.number);
        let elsewhere = observed.zone != servers[old].zone;
        let unapplied = observed.unapplied();
        (unapplied / SIMILAR, u32::MAX - observed.priority, elsewhere, version, unapplied, at)
    };
    let (candidate, has) = candidates
        .into_iter()
        .filter(|(_, has)| has.lacks(&all) <= fewest)
        .min_by_key(|&(at, _)| rank(at))
        .ok_or_else(|| CannotFailOver::NoCandidate("no replica answers".to_owned()))?;
    if !wish.force && !has.covers(&all) {
        let ahead = frozen.iter().find(|&&at| !has.covers(&sound(topology, old, at)));
        let whose = ahead.map_or("another", |&at| servers[at].name.as_str());
        return Err(would_lose(&servers[candidate], &has, &all, whose));
    }
    let executed = servers[old].report.as_ref().map(|report| report.executed.clone()).unwrap_or_default();
    let known = executed.union(&topology.seen);
    let is_semi_sync = servers[old].report.as_ref().is_some_and(|report| report.semi_sync.source_enabled);
    let is_all_here = has.covers(&known) || is_unwritten(topology, old);
    let lost = if is_all_here { Gtids::default() } else { known.minus(&has) };
    if is_semi_sync && !wish.force && !lost.is_empty() {
        return Err(would_lose(&servers[candidate], &has, &known, &servers[old].name));
    }
    let (followers, left) = followers(topology, frozen, candidate, &has);
    let semi_sync = semi_sync(topology, old, &followers);
    Ok(Plan { candidate, target: has, followers, left, semi_sync, lost })
}

/// Whether what the old primary alone claims to have is in no log: a commit that waits for room on a full disk has its number
/// on MariaDB (seen on 11.8), and keeps it when it is cut off. While semi-synchronous replication works, what was acknowledged
/// is on those that acknowledge.
fn is_unwritten(topology: &Topology, old: usize) -> bool {
    let works = topology.servers[old].report.as_ref().is_some_and(|report| report.semi_sync.source_active);
    works && topology.unwritten.as_ref().is_some_and(|unwritten| unwritten.no_room)
}

fn would_lose(candidate: &Observed, has: &Gtids, needed: &Gtids, whose: &str) -> CannotFailOver {
    CannotFailOver::WouldLose {
        server: candidate.name.clone(),
        count: has.lacks(needed),
        whose: whose.to_owned(),
        gtids: needed.minus(has).to_string(),
    }
}

/// What a replica has that counts: not what it alone made up.
fn sound(topology: &Topology, old: usize, at: usize) -> Gtids {
    topology.servers[at].has().minus(&errant(topology, old, at))
}

/// What a replica has that neither the old primary nor any other server had.
fn errant(topology: &Topology, old: usize, at: usize) -> Gtids {
    let Some(of_old) = &topology.servers[old].report else { return topology.servers[at].errant.clone() };
    // What the old primary wrote since it was last asked is its own.
    let tail = |gtids: Gtids| gtids.without_source(&of_old.identity);
    let elsewhere = (0..topology.servers.len())
        .filter(|&other| other != at && other != old)
        .fold(of_old.executed.clone(), |all, other| all.union(&topology.servers[other].has()));
    tail(topology.servers[at].has().minus(&elsewhere))
}

/// With semi-synchronous replication an acknowledged transaction is on at least `wait_for` of those that acknowledge: it is
/// among the frozen unless as many of the others may hold it.
fn all_acknowledged_are_here(
    topology: &Topology,
    old: usize,
    frozen: &[usize],
) -> Result<(), CannotFailOver> {
    let of_old = topology.servers[old].report.as_ref().map(|report| &report.semi_sync);
    if of_old.is_some_and(|semi_sync| !semi_sync.source_enabled) {
        return Ok(());
    }
    let acknowledges = |at: usize| match &topology.servers[at].report {
        Some(report) => report.semi_sync.replica_enabled || topology.servers[at].has_new_orders(),
        None => true,
    };
    let has_all = |at: usize| frozen.contains(&at) && !topology.servers[at].may_have_forgotten();
    let here = frozen.iter().filter(|&&at| acknowledges(at) && has_all(at)).count();
    let away: Vec<usize> = (0..topology.servers.len())
        .filter(|&at| at != old && !has_all(at) && acknowledges(at) && topology.may_follow(at, old))
        .collect();
    let wait_for = of_old.map_or(1, |semi_sync| semi_sync.wait_for.max(1)) as usize;
    // When it was last asked, nobody but those who are here acknowledged: they are as many, and the others had gone.
    let asked_at = topology.servers[old].asked_at;
    let had_gone = |at: usize| {
        let trouble = topology.servers[at].trouble.as_ref();
        trouble.is_some_and(|trouble| asked_at.is_some_and(|asked_at| trouble.since < asked_at))
    };
    let none_other = of_old
        .is_some_and(|semi_sync| semi_sync.clients > 0 && semi_sync.clients as usize <= here)
        && away.iter().all(|&at| had_gone(at));
    if away.len() < wait_for || none_other {
        return Ok(());
    }
    let names = |servers: &[usize]| {
        let names: Vec<_> = servers.iter().map(|&at| topology.servers[at].name.as_str()).collect();
        names.join(" and ")
    };
    let (forgetful, away): (Vec<usize>, Vec<usize>) = away.iter().partition(|&&at| frozen.contains(&at));
    Err(if away.is_empty() {
        let old = topology.servers[old].name.clone();
        CannotFailOver::MayHaveForgotten { servers: names(&forgetful), old }
    } else {
        CannotFailOver::MayLose(names(&away))
    })
}

/// Why a server is not promoted; `None` if it can be.
fn unfit(topology: &Topology, old: usize, frozen: &[usize], at: usize, wish: Wish) -> Option<String> {
    let observed = &topology.servers[at];
    let Some(report) = &observed.report else { return Some("nothing is known of it".to_owned()) };
    if wish.to.is_some_and(|to| to != at) {
        return Some("another was asked for".to_owned());
    }
    let errant = errant(topology, old, at);
    if !errant.is_empty() {
        return Some(format!("it has transactions of its own: {errant}"));
    }
    if !report.can_serve_replicas {
        return Some("log_bin or log_replica_updates is off".to_owned());
    }
    if !report.lacks.is_empty() {
        return Some(format!("dauphin's account lacks {}", report.lacks.join(", ")));
    }
    let replication = report.replication.as_ref();
    if let Some((number, text)) = replication.and_then(|replication| replication.applier_error.as_ref()) {
        return Some(format!("its applier stopped with error {number}: {text}"));
    }
    if replication.is_some_and(|replication| !replication.applying) {
        return Some("its applier is stopped".to_owned());
    }
    if wish.to == Some(at) {
        return None;
    }
    if observed.priority == 0 {
        return Some("its priority is 0".to_owned());
    }
    if let Some(delay) = replication.map(|replication| replication.delay).filter(|delay| !delay.is_zero()) {
        return Some(format!("it is delayed by {} s", delay.as_secs()));
    }
    let older = frozen.iter().find(|&&other| {
        let other = topology.servers[other].report.as_ref();
        other.is_some_and(|other| other.version.number / 100 < report.version.number / 100)
    });
    older.map(|&other| {
        format!("{} is of an older version and could not follow it", topology.servers[other].name)
    })
}

/// Who can follow the candidate, and who cannot and why.
fn followers(
    topology: &Topology,
    frozen: &[usize],
    candidate: usize,
    has: &Gtids,
) -> (Vec<usize>, Vec<(usize, String)>) {
    let (mut followers, mut left) = (Vec::new(), Vec::new());
    for &at in frozen.iter().filter(|&&at| at != candidate) {
        match cannot_follow(&topology.servers[at], &topology.servers[candidate], has) {
            None => followers.push(at),
            Some(why) => left.push((at, why)),
        }
    }
    (followers, left)
}

/// Why `server` cannot replicate from `source`, which has `has`; `None` if it can.
pub fn cannot_follow(server: &Observed, source: &Observed, has: &Gtids) -> Option<String> {
    let surplus = server.has().minus(has);
    if !surplus.is_empty() {
        return Some(format!("it has transactions that {} does not have: {surplus}", source.name));
    }
    let executed = server.report.as_ref().map(|report| report.executed.clone()).unwrap_or_default();
    let purged = source.report.as_ref().map(|report| report.purged.minus(&executed)).unwrap_or_default();
    if !purged.is_empty() {
        return Some(format!("it needs transactions that {} has purged: {purged}", source.name));
    }
    None
}

/// Like the old primary's, if enough replicas are there to acknowledge: otherwise every commit would wait.
fn semi_sync(topology: &Topology, old: usize, followers: &[usize]) -> Option<SourceSettings> {
    let of_old = &topology.servers[old].report.as_ref()?.semi_sync;
    let acknowledge = followers
        .iter()
        .filter(|&&at| {
            topology.servers[at].report.as_ref().is_some_and(|report| report.semi_sync.replica_enabled)
        })
        .count();
    (of_old.source_enabled && acknowledge >= of_old.wait_for.max(1) as usize).then(|| settings_of(of_old))
}

/// What another primary needs to be set to, to wait as this one does.
pub fn settings_of(semi_sync: &crate::topology::report::SemiSync) -> SourceSettings {
    const FOR_EVER: Duration = Duration::from_millis(u32::MAX as u64);
    SourceSettings { wait_for: semi_sync.wait_for.max(1), timeout: semi_sync.timeout.unwrap_or(FOR_EVER) }
}

/// What a failover would come to now: by the latest reports, as if the replicas stopped receiving at this moment.
pub fn preview(topology: &Topology, detection: Duration) -> Preview {
    let Some(old) = topology.primary else {
        let obstacles = vec!["no primary is known".to_owned()];
        return Preview { obstacles, ..Preview::default() };
    };
    let servers = &topology.servers;
    let replicas = topology.reached_replicas_of(old);
    let mut preview = Preview::default();
    for at in (0..servers.len()).filter(|&at| at != old) {
        let why = if replicas.contains(&at) {
            unfit(topology, old, &replicas, at, Wish::default())
        } else {
            Some(if let Some(why) = &servers[at].quarantine {
                format!("quarantined: {why}")
            } else if servers[at].is_reached() {
                "it does not replicate from the primary".to_owned()
            } else {
                "it does not answer".to_owned()
            })
        };
        preview.passed_over.extend(why.map(|why| (servers[at].name.clone(), why)));
    }
    match plan(topology, old, &replicas, Wish { to: None, force: false }) {
        Ok(plan) => {
            let observed = &servers[plan.candidate];
            preview.candidate = Some(observed.name.clone());
            // Appliers were seen to do some 2,500 small transactions a second on two shared cores.
            let applying = Duration::from_millis(observed.unapplied() * 2 / 5);
            preview.estimate = Some(detection + Duration::from_millis(100) + applying);
            at_risk(&mut preview, topology, old, plan.candidate);
        }
        Err(error) => {
            // Transactions on their way are no obstacle while the primary lives.
            let lenient = plan(topology, old, &replicas, Wish { to: None, force: true });
            match (error, lenient) {
                (CannotFailOver::WouldLose { .. }, Ok(plan)) => {
                    preview.candidate = Some(servers[plan.candidate].name.clone());
                    preview.estimate = Some(detection + Duration::from_millis(100));
                    at_risk(&mut preview, topology, old, plan.candidate);
                }
                (error, _) => preview.obstacles.push(error.to_string()),
            }
        }
    }
    obstacles(&mut preview, topology, old, &replicas);
    preview
}

fn at_risk(preview: &mut Preview, topology: &Topology, old: usize, candidate: usize) {
    let Some(report) = &topology.servers[old].report else { return };
    let has = topology.servers[candidate].has();
    preview.transactions_at_risk = has.lacks(&report.executed);
    if preview.transactions_at_risk > 0 {
        preview.at_risk = report.executed.minus(&has).to_string();
    }
}

/// What makes a failover slower or less safe than it could be.
fn obstacles(preview: &mut Preview, topology: &Topology, old: usize, replicas: &[usize]) {
    let obstacles = &mut preview.obstacles;
    if let Some(report) = &topology.servers[old].report {
        if !report.semi_sync.source_enabled {
            obstacles.push(
                "replication is asynchronous: transactions that no replica has received would be lost"
                    .to_owned(),
            );
        } else if !report.semi_sync.source_active {
            obstacles.push("semi-synchronous replication has fallen back to asynchronous for now".to_owned());
        } else if let Some(timeout) = report.semi_sync.timeout {
            obstacles.push(format!(
                "semi-synchronous replication gives up after {} ms: what is committed after that could be lost",
                timeout.as_millis()
            ));
        }
    }
    let others = topology.servers.len() - 1;
    let acknowledge = topology.servers[old].report.as_ref().map_or(0, |report| report.semi_sync.clients);
    if acknowledge as usize > others {
        obstacles.push(format!(
            "{acknowledge} replicas acknowledge transactions, and dauphin knows of {others}: what only the others have would be \
             lost; add them to `servers`, or have them not acknowledge"
        ));
    }
    for &at in replicas {
        let observed = &topology.servers[at];
        let Some(replication) = observed.replication() else { continue };
        match replication.heartbeat {
            Some(heartbeat) if heartbeat > Duration::from_secs(2) => obstacles.push(format!(
                "{} hears from its source only every {} s: a primary that hangs is noticed late; set its heartbeat period to 0.2",
                observed.name,
                heartbeat.as_secs()
            )),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::observed::{
        Unwritten,
        tests::{gtids, healthy, replica_of, uuid},
    };
    use tokio::time::Instant;

    fn set(n: u64) -> String {
        format!("{}:1-{n}", uuid(1))
    }

    fn put(topology: &mut Topology, at: usize, change: impl FnOnce(&mut crate::topology::report::Report)) {
        change(topology.servers[at].report.as_mut().unwrap());
    }

    fn receives(topology: &mut Topology, at: usize, received: &str) {
        put(topology, at, |report| report.replication.as_mut().unwrap().received = gtids(received));
    }

    fn choose(topology: &Topology) -> Result<Plan, CannotFailOver> {
        plan(topology, 0, &[1, 2], Wish::default())
    }

    #[test]
    fn the_most_transactions_win_and_then_the_priority() {
        let mut topology = healthy(&set(10));
        topology.servers[2].priority = 200;
        assert_eq!(choose(&topology).unwrap().candidate, 2);
        receives(&mut topology, 1, &set(12));
        let plan = choose(&topology).unwrap();
        assert_eq!((plan.candidate, plan.followers, plan.left), (1, vec![2], vec![]));
        assert_eq!(plan.target, gtids(&set(12)), "what it has received must be applied first");
        assert_eq!(plan.semi_sync.unwrap().wait_for, 1);
    }

    #[test]
    fn a_server_with_transactions_of_its_own_is_never_promoted_and_cannot_follow() {
        let mut topology = healthy(&set(10));
        put(&mut topology, 1, |report| report.executed = gtids(&format!("{},{}:1", set(10), uuid(2))));
        let plan = choose(&topology).unwrap();
        assert_eq!((plan.candidate, plan.followers), (2, vec![]));
        assert!(plan.left[0].1.contains(&format!("{}:1", uuid(2))), "{:?}", plan.left);
        assert_eq!(plan.semi_sync, None, "nobody is left who could acknowledge");
    }

    #[test]
    fn a_commit_that_waits_for_room_on_a_disk_was_never_acknowledged() {
        let mut topology = healthy(&set(10));
        put(&mut topology, 0, |report| report.executed = gtids(&set(11)));
        assert!(matches!(choose(&topology), Err(CannotFailOver::WouldLose { .. })));
        topology.unwritten = Some(Unwritten { since: Instant::now(), no_room: true });
        assert!(choose(&topology).unwrap().lost.is_empty());
        put(&mut topology, 0, |report| report.semi_sync.source_active = false);
        assert!(choose(&topology).is_err(), "others may have been told that it was done");
    }

    #[test]
    fn an_acknowledged_transaction_that_may_be_elsewhere_forbids_a_failover() {
        let topology = healthy(&set(10));
        let alone = plan(&topology, 0, &[1], Wish::default());
        assert_eq!(alone, Err(CannotFailOver::MayLose("db3".into())));
        let forced = plan(&topology, 0, &[1], Wish { to: None, force: true }).unwrap();
        assert_eq!(forced.candidate, 1);
        // db3 was away already when the primary was last asked.
        let mut topology = healthy(&set(10));
        put(&mut topology, 0, |report| report.semi_sync.clients = 1);
        let gone = || Err(crate::topology::report::Problem::Gone("refused".into()));
        topology.note(2, Instant::now() + std::time::Duration::from_secs(1), gone());
        let alone = plan(&topology, 0, &[1], Wish::default());
        assert_eq!(
            alone,
            Err(CannotFailOver::MayLose("db3".into())),
            "it may have been the one that acknowledged"
        );
        topology.servers[0].asked_at = Some(Instant::now() + std::time::Duration::from_secs(2));
        assert_eq!(plan(&topology, 0, &[1], Wish::default()).unwrap().candidate, 1);
        // Asynchronous replication promises nothing.
        let mut topology = healthy(&set(10));
        put(&mut topology, 0, |report| report.semi_sync.source_enabled = false);
        assert_eq!(plan(&topology, 0, &[1], Wish::default()).unwrap().candidate, 1);
    }

    #[test]
    fn a_quarantined_replica_that_may_follow_may_have_acknowledged() {
        let mut topology = healthy(&set(10));
        topology.servers[2].quarantine = Some("it was away".into());
        topology.note(2, Instant::now(), Ok(crate::topology::observed::tests::report_of(3, &set(10))));
        assert_eq!(plan(&topology, 0, &[1], Wish::default()).unwrap().candidate, 1, "it followed nobody");
        topology.servers[2].told_to_follow = Some(Instant::now());
        let alone = plan(&topology, 0, &[1], Wish::default());
        assert_eq!(alone, Err(CannotFailOver::MayLose("db3".into())));
    }

    #[test]
    fn a_replica_that_forgot_in_a_restart_what_it_acknowledged_proves_nothing() {
        let mut topology = healthy(&set(10));
        let steady = topology.servers[2].report.as_ref().map(|report| report.started);
        topology.servers[2].steady = steady;
        put(&mut topology, 2, |report| {
            report.started += 5;
            report.forgets_received = true;
        });
        let forgotten = || CannotFailOver::MayHaveForgotten { servers: "db3".into(), old: "db1".into() };
        assert_eq!(choose(&topology), Err(forgotten()));
        // It has been seen since, with all that the primary had then.
        topology.servers[2].steady = steady.map(|steady| steady + 5);
        assert_eq!(choose(&topology).unwrap().candidate, 1);
        // The relay log outlives the restart.
        topology.servers[2].steady = steady;
        put(&mut topology, 2, |report| report.forgets_received = false);
        assert_eq!(choose(&topology).unwrap().candidate, 1);
    }

    #[test]
    fn what_the_primary_was_known_to_have_is_not_given_up_silently() {
        let mut topology = healthy(&set(10));
        put(&mut topology, 0, |report| report.executed = gtids(&set(12)));
        assert!(matches!(choose(&topology), Err(CannotFailOver::WouldLose { count: 2, .. })));
        put(&mut topology, 0, |report| report.semi_sync.source_enabled = false);
        assert_eq!(choose(&topology).unwrap().lost, gtids(&format!("{}:11-12", uuid(1))));
    }

    #[test]
    fn what_a_replica_once_had_received_is_not_forgotten() {
        let mut topology = healthy(&set(10));
        let mut ahead = replica_of(2, 1, &set(10));
        let received = |report: &mut crate::topology::report::Report, text: &str| {
            report.replication.as_mut().unwrap().received = gtids(text);
        };
        received(&mut ahead, &set(12));
        let now = Instant::now() + Duration::from_secs(1);
        topology.note(1, now, Ok(ahead.clone()));
        received(&mut ahead, &set(10));
        topology.note(1, now + Duration::from_secs(1), Ok(ahead));
        assert!(matches!(choose(&topology), Err(CannotFailOver::WouldLose { count: 2, .. })));
    }

    #[test]
    fn the_one_that_is_ahead_must_be_promotable() {
        let mut topology = healthy(&set(10));
        receives(&mut topology, 1, &set(12));
        topology.servers[1].priority = 0;
        assert!(matches!(choose(&topology), Err(CannotFailOver::WouldLose { .. })));
        let wish = Wish { to: Some(1), force: false };
        assert_eq!(plan(&topology, 0, &[1, 2], wish).unwrap().candidate, 1, "an operator may ask for it");
    }

    #[test]
    fn a_stopped_applier_and_a_newer_version_are_passed_over() {
        let mut topology = healthy(&set(10));
        put(&mut topology, 1, |report| report.replication.as_mut().unwrap().applying = false);
        assert_eq!(choose(&topology).unwrap().candidate, 2);
        let mut topology = healthy(&set(10));
        put(&mut topology, 1, |report| {
            report.version = crate::topology::flavour::Version::parse("9.8.0");
        });
        assert_eq!(choose(&topology).unwrap().candidate, 2);
    }

    #[test]
    fn the_preview_says_who_and_what_is_at_risk_and_what_could_be_better() {
        let mut topology = healthy(&set(10));
        topology.note(2, Instant::now(), Ok(replica_of(3, 1, &set(8))));
        put(&mut topology, 0, |report| report.executed = gtids(&set(12)));
        let preview = preview(&topology, Duration::from_millis(300));
        assert_eq!(preview.candidate.as_deref(), Some("db2"));
        assert_eq!((preview.transactions_at_risk, preview.at_risk), (2, format!("{}:11-12", uuid(1))));
        assert_eq!(preview.obstacles, Vec::<String>::new());
    }

    #[test]
    fn the_preview_warns_of_replicas_that_dauphin_does_not_know() {
        let mut topology = healthy(&set(10));
        put(&mut topology, 0, |report| report.semi_sync.clients = 3);
        let preview = preview(&topology, Duration::from_millis(300));
        assert!(preview.obstacles[0].contains("3 replicas acknowledge"), "{:?}", preview.obstacles);
    }
}
