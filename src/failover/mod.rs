//! Who is the primary, and what is done when that changes: observe → diagnose → plan → execute → publish.
//!
//! The [`Controller`] is the one owner of the topology and of the routing table. It never acts on a guess: what it cannot
//! prove it leaves as it is, and says so.

mod assemble;
pub mod cluster;
pub mod diagnose;
mod discover;
mod execute;
mod group;
mod heartbeat;
pub mod journal;
mod mend;
pub mod plan;
mod reopen;
mod view;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    backend::{Fleet, Proof, Server},
    config::{Config, Failover, FailoverMode, ServerAddress},
    control::{Action, Control, Phase, Request},
    monitor::{Observation, Observations, Watchers, scout::Scout},
    routing::{Epoch, Published, Term},
    topology::{
        Gtids, Topology,
        dialect::ReplicationLogin,
        gtid,
        heartbeat::{Clock, Heartbeat},
        lag::{Fitness, Lags},
        observed::Observed,
        report::{Problem, Report},
    },
};
use assemble::{Assembler, Throne};
use cluster::{Cluster, SqlCluster};
use diagnose::{Diagnosis, FAILURES, Patience, Remedy, diagnose, is_isolated};
use discover::{Discovery, found};
use heartbeat::Pulse;
use journal::{Journal, Record};
use plan::Wish;

/// How often the state is judged even when nothing has arrived: time passes too.
const TICK: Duration = Duration::from_millis(50);
/// How long is waited at most before a failover that was refused is tried again.
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// What a controller is made of.
#[derive(Debug)]
pub struct Parts {
    /// The servers.
    pub fleet: Arc<Fleet>,
    /// Where sessions look.
    pub published: Arc<Published>,
    /// Where operators look, and ask.
    pub control: Arc<Control>,
    /// What operators ask.
    pub requests: mpsc::Receiver<Request>,
    /// What is remembered, or why it cannot be.
    pub journal: Result<Journal, String>,
    /// The limits.
    pub settings: Settings,
    /// Ends it, once what is under way has been ended or undone.
    pub stop: CancellationToken,
}

/// What of the config the controller goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[failover]`.
    pub failover: Failover,
    /// `[routing] primary_reads`.
    pub primary_reads: crate::config::PrimaryReads,
    /// `[routing] max_replica_lag`.
    pub max_replica_lag: Option<Duration>,
    /// Of each server: where others reach it.
    pub replication_addresses: Vec<(String, u16)>,
    /// With what a former primary logs in to its successor.
    pub login: Option<ReplicationLogin>,
    /// Of each server: its zone and priority.
    pub places: Vec<(Option<String>, u32)>,
}

impl Settings {
    /// What a config says.
    pub fn new(config: &Config, account: &crate::backend::Account) -> Self {
        let login = match &account.proof {
            Proof::Password(password) => Some(ReplicationLogin {
                user: account.name().into_owned(),
                password: String::from_utf8_lossy(password).into_owned(),
                tls: true,
            }),
            Proof::NativeHash(_) => None,
        };
        Self {
            failover: config.failover.clone(),
            primary_reads: config.routing.primary_reads,
            max_replica_lag: config.routing.max_replica_lag,
            replication_addresses: config.servers.iter().map(replication_address).collect(),
            login,
            places: config.servers.iter().map(|server| (server.zone.clone(), server.priority)).collect(),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            hang: self.failover.hang_timeout,
            leaving: self.failover.leaving_timeout,
            isolated: self.failover.isolated_timeout,
            write: self.failover.write_timeout,
        }
    }
}

/// Where other servers reach it.
fn replication_address(server: &crate::config::Server) -> (String, u16) {
    match server.replication_address.as_ref().unwrap_or(&server.address) {
        ServerAddress::Tcp { host, port } => (host.clone(), *port),
        // Servers of one machine reach each other there.
        ServerAddress::Unix(_) => ("127.0.0.1".to_owned(), 3306),
    }
}

/// Opens the journal of `path`; a path that cannot be used leaves dauphin able to watch and route, but not to act alone.
pub fn open_journal(path: &Path) -> Result<Journal, String> {
    Journal::open(path).map_err(|error| format!("{error} ([failover] state_file)"))
}

/// Watches the servers and keeps a primary among them until it is told to stop. Dropping it is as a crash.
pub async fn run(config: &Config, account: &Arc<crate::backend::Account>, mut parts: Parts) {
    let (fleet, control) = (parts.fleet.clone(), parts.control.clone());
    let heartbeat = Heartbeat { dauphin: name_of_heartbeat(&mut parts.journal), clock: Clock::start() };
    let beats = config.monitor.heartbeat.map(|every| (heartbeat, every));
    let read = beats.as_ref().map(|(heartbeat, _)| heartbeat);
    let mut watchers = Watchers::new(account.clone(), config.monitor.clone(), read);
    fleet.servers.iter().for_each(|server| watchers.add(server));
    let (observations, mut tasks) = (watchers.observations.clone(), tokio::task::JoinSet::new());
    let mut controller = Controller::new(parts, SqlCluster::new(fleet.clone(), account.clone()));
    controller.remember_discovered(watchers, config);
    if let Some(every) = config.monitor.discover {
        let (findings, found) = mpsc::channel(4);
        let scout = Scout {
            fleet,
            account: account.clone(),
            control: control.clone(),
            every,
            except: config.monitor.discover_except.clone(),
            max_connections: config.pool.max_connections_per_server,
            findings,
        };
        tasks.spawn(scout.run(controller.expect_findings(found)));
    }
    if let Some((heartbeat, every)) = beats {
        let clock = heartbeat.clock;
        let (writer, pulse) = heartbeat::Writer::new(heartbeat, every, account.clone(), control);
        tasks.spawn(writer.run());
        controller.pulse = Some((pulse, clock));
    }
    controller.run(observations).await;
}

/// What tells this dauphin's heartbeat from others'; the same for as long as there is a state file.
fn name_of_heartbeat(journal: &mut Result<Journal, String>) -> String {
    let known = journal.as_ref().ok().and_then(|journal| journal.record().dauphin.clone());
    known.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
        let name = format!("{:016x}", u64::from_be_bytes(bytes));
        if let Ok(journal) = journal
            && let Err(error) = journal.change(|record| record.dauphin = Some(name.clone()))
        {
            tracing::warn!(%error, "the state file cannot be written: the next start writes a heartbeat of its own");
        }
        name
    })
}

/// The owner of the topology and of the routing table.
#[derive(Debug)]
pub struct Controller<C> {
    cluster: Arc<C>,
    fleet: Arc<Fleet>,
    published: Arc<Published>,
    control: Arc<Control>,
    requests: mpsc::Receiver<Request>,
    journal: Journal,
    settings: Settings,
    stop: CancellationToken,
    topology: Topology,
    assembler: Assembler,
    lags: Lags,
    fitness: Vec<Fitness>,
    term: Option<Arc<Term>>,
    /// Whether any term has begun since this dauphin started: before that, others may have changed the primary.
    has_seen_a_term: bool,
    phase: Phase,
    paused: bool,
    diagnosis: Diagnosis,
    isolated_since: Option<Instant>,
    /// No failover without being asked before this.
    quiet_until: Option<Instant>,
    /// A failover that could not be done is not tried again before this.
    retry_at: Instant,
    /// How often one was refused in succession.
    refusals: u32,
    /// Why dauphin may not act alone, as long as it runs.
    no_authority: Option<String>,
    /// Whether dauphin may act alone, as was last told.
    told_automatic: Option<Result<(), String>>,
    mending: mend::Mending,
    /// The heartbeat, if one is written, and its clock.
    pulse: Option<(Pulse, Clock)>,
    preview: Option<view::Previewed>,
    /// Fences by command that nobody waits for; each is bounded.
    fencing: tokio::task::JoinSet<bool>,
    /// What discovers servers that are not in the config, if anything does.
    discovery: Option<Discovery>,
}

/// A server that has not been asked yet, with what is remembered of it.
fn of_journal(record: &Record, name: &str) -> Observed {
    let quarantine = record.quarantined.iter().find(|(quarantined, _)| quarantined == name);
    Observed {
        name: name.to_owned(),
        quarantine: quarantine.map(|(_, why)| why.clone()),
        steady: record.incarnations.get(name).copied(),
        drained: record.drained.iter().any(|drained| drained == name),
        ..Observed::default()
    }
}

impl<C: Cluster> Controller<C> {
    /// A controller that has seen nothing yet.
    pub fn new(parts: Parts, cluster: C) -> Self {
        let Parts { fleet, published, control, requests, journal, settings, stop } = parts;
        let (journal, no_authority) = match journal {
            Ok(journal) => (journal, None),
            Err(cause) => (Journal::in_memory(), Some(cause)),
        };
        let observed = fleet.servers.iter().zip(&settings.places).map(|(server, (zone, priority))| {
            Observed { zone: zone.clone(), priority: *priority, ..of_journal(journal.record(), &server.name) }
        });
        let topology = Topology { servers: observed.collect(), ..Topology::default() };
        let assembler = Assembler::new(fleet.clone(), settings.primary_reads);
        let paused = journal.record().paused;
        let fitness = vec![Fitness::default(); topology.servers.len()];
        let now = Instant::now();
        Self {
            cluster: Arc::new(cluster),
            fleet,
            published,
            control,
            requests,
            journal,
            settings,
            stop,
            topology,
            assembler,
            lags: Lags::default(),
            fitness,
            term: None,
            has_seen_a_term: false,
            phase: Phase::Watching,
            paused,
            diagnosis: Diagnosis::Starting,
            isolated_since: None,
            quiet_until: None,
            retry_at: now,
            refusals: 0,
            no_authority,
            told_automatic: None,
            mending: mend::Mending::default(),
            pulse: None,
            preview: None,
            fencing: tokio::task::JoinSet::new(),
            discovery: None,
        }
    }

    /// Runs until it is told to stop, and no longer than it takes to end or undo what is under way then. Dropping it in the
    /// middle of an operation is as a crash: the next start goes on or backs out.
    pub async fn run(mut self, observations: Arc<Observations>) {
        self.tell_what_was_ordered();
        let mut warming = tokio::task::JoinSet::new();
        let cluster = self.cluster.clone();
        // Beside all else: a server that hangs must not keep the controller from judging.
        warming.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                cluster.keep_warm().await;
            }
        });
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(request) = self.requests.recv() => self.answer(request).await,
                Some(finding) = found(&mut self.discovery) => self.discover(finding),
                () = observations.arrived() => {}
                () = tokio::time::sleep(TICK) => {
                    if self.awaits_witnesses() {
                        observations.hurry();
                    }
                }
            }
            for observation in observations.take() {
                self.note(observation, &observations);
            }
            self.step().await;
        }
    }

    /// Whether the replicas' word is all that is missing to depose a silent primary: for a moment it is asked for at every tick.
    fn awaits_witnesses(&self) -> bool {
        const MOMENT: Duration = Duration::from_secs(1);
        let primary = self.topology.primary.and_then(|at| self.topology.servers[at].trouble.as_ref());
        self.diagnosis == Diagnosis::Unseen
            && primary
                .is_some_and(|trouble| trouble.since.elapsed() < self.settings.failover.hang_timeout + MOMENT)
    }

    fn note(&mut self, observation: Observation, observations: &Observations) {
        let Observation { server, asked_at, answered_at, recovered, report } = observation;
        let failed = report.as_ref().is_err_and(Problem::is_unreachable);
        let was_reached = self.topology.servers[server].is_reached();
        let was_known = self.topology.servers[server].is_known();
        self.topology.note(server, asked_at, report);
        if self.topology.servers[server].drained && self.topology.primary != Some(server) {
            self.fleet.servers[server].pool.recall();
        }
        let name = &self.fleet.servers[server].name;
        match (was_reached, self.topology.servers[server].is_reached()) {
            (true, false) => {
                let cause = self.topology.servers[server].trouble.as_ref().map(|trouble| &trouble.problem);
                let cause = cause.map(ToString::to_string).unwrap_or_default();
                self.control.events.record("server_lost", Some(name), format!("{name} is lost: {cause}"));
            }
            (false, true) if was_known => {
                self.control.events.record("server_found", Some(name), format!("{name} answers again"));
            }
            _ => {}
        }
        if !was_reached {
            self.fleet.servers[server].forget_applied();
        }
        self.measure(server, asked_at, answered_at);
        if failed && self.topology.primary == Some(server) {
            // The replicas are witnesses: what they said before does not count for much now.
            observations.hurry();
        }
        if recovered {
            self.published.wake();
        }
    }

    /// How far the server is, how far behind, and whether that is too far.
    fn measure(&mut self, at: usize, asked_at: Instant, answered_at: Instant) {
        let observed = &self.topology.servers[at];
        let report = observed.report.as_ref().filter(|_| observed.is_reached());
        let server = &self.fleet.servers[at];
        if let Some(report) = report {
            let reaches = gtid::reaches(report.version.flavour, &report.position);
            server.note_reaches(asked_at.into_std(), reaches);
        }
        let Some(primary) = self.topology.primary else { return };
        let (least, lag) = match report {
            Some(report) if at == primary => {
                self.lags.note_primary(asked_at.into_std(), &report.executed);
                (Some(Duration::ZERO), Some(Duration::ZERO))
            }
            Some(report) => {
                let (executed, now) = (&report.executed, answered_at.into_std());
                let by_itself =
                    report.replication.as_ref().and_then(|replication| replication.seconds_behind);
                let said = self.by_heartbeat(report, answered_at).or(by_itself.map(Duration::from_secs));
                (self.lags.of(executed, now), self.lags.known(executed, now, said))
            }
            None => (None, None),
        };
        server.set_lag(lag);
        // One that is too far behind by what is sure is so, however far that is.
        let beyond = least.filter(|least| self.settings.max_replica_lag.is_some_and(|max| *least > max));
        // What a primary that is gone has not sent cannot be caught up with: nobody is worse than he was.
        let comparable = lag.or(beyond).filter(|_| self.topology.servers[primary].is_reached());
        let fit = self.fitness[at].judge(comparable, self.settings.max_replica_lag);
        server.set_behind(!fit && at != primary);
    }

    /// How long ago the heartbeat was written that a server has: what was written later it has not.
    fn by_heartbeat(&self, report: &Report, now: Instant) -> Option<Duration> {
        let (_, clock) = self.pulse.as_ref()?;
        report.heartbeat_us.map(|us| clock.since(us, now))
    }

    /// One round: recognise the primary, judge, act, mend, publish.
    async fn step(&mut self) {
        // To judge with some servers unheard might be to pass over the one that has most.
        if !self.topology.is_complete() || self.is_looking_for_remembered() {
            return self.publish_view();
        }
        self.resume().await;
        if self.journal.record().operation.is_some() {
            // Whoever was to be the primary does not answer: nobody else may be, and the old one is not written to.
            return self.publish();
        }
        self.thaw().await;
        self.unfence().await;
        self.recognise();
        self.judge();
        self.remember();
        match self.diagnosis.remedy() {
            Remedy::FailOver => self.fail_over_if_allowed().await,
            Remedy::Reopen => self.reopen().await,
            Remedy::Nothing | Remedy::Hold => {}
        }
        self.mend().await;
        self.publish();
    }

    fn judge(&mut self) {
        let now = Instant::now();
        let patience = self.settings.patience();
        self.isolated_since = match (is_isolated(&self.topology, patience), self.isolated_since) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or(now)),
        };
        self.topology.unwritten = self.pulse.as_ref().and_then(|(pulse, _)| pulse.unwritten());
        let diagnosis = diagnose(&self.topology, patience, self.isolated_since, now);
        if diagnosis.label() != self.diagnosis.label() {
            let primary = self.topology.primary.map(|at| self.fleet.servers[at].name.as_str());
            let sentence = self.sentence(&diagnosis);
            self.control.events.record(diagnosis.label(), primary, sentence);
            self.refusals = 0;
        }
        self.diagnosis = diagnosis;
        let automatic = self.may_act();
        if self.told_automatic.as_ref() != Some(&automatic) {
            match &automatic {
                Ok(()) => self.control.events.record(
                    "automatic",
                    None,
                    "dauphin promotes a replica when the primary is lost",
                ),
                Err(cause) => {
                    let message = format!("dauphin does not act by itself: {cause}");
                    self.control.events.record("not_automatic", None, message);
                }
            }
            self.told_automatic = Some(automatic);
        }
    }

    /// The diagnosis with the names of those it speaks of.
    fn sentence(&self, diagnosis: &Diagnosis) -> String {
        match diagnosis {
            Diagnosis::SeveralWritable(writable) => {
                let names: Vec<_> = writable.iter().map(|&at| self.fleet.servers[at].name.as_str()).collect();
                format!("{} are all writable: set read_only on all but the primary", names.join(" and "))
            }
            Diagnosis::GroupElecting => self.sentence_of_group(),
            Diagnosis::NoPrimary => {
                let what_helps = match self.evident_primary() {
                    Some(at) => {
                        let name = &self.fleet.servers[at].name;
                        format!(
                            "all others replicate from {name} and have nothing that it lacks; dauphin has never seen it take writes, \
                             and will not open what may be closed on purpose: FAILOVER TO {name} makes it writable"
                        )
                    }
                    None => "FAILOVER TO a server that replicates from none makes it writable".to_owned(),
                };
                format!(
                    "no server is writable (read_only is on everywhere, or the primary does not answer); {what_helps}"
                )
            }
            Diagnosis::ReadOnly => {
                let primary = self.topology.primary.map_or("it", |at| &self.fleet.servers[at].name);
                format!("{} FAILOVER TO {primary} makes it writable again.", diagnosis.meaning())
            }
            _ => diagnosis.meaning().to_owned(),
        }
    }

    /// Whether dauphin may act without being asked.
    fn may_act(&self) -> Result<(), String> {
        if let Some(cause) = &self.no_authority {
            return Err(cause.clone());
        }
        if self.settings.failover.mode == FailoverMode::Manual {
            return Err("[failover] mode is manual".to_owned());
        }
        if self.topology.is_group() {
            return Err(group::ELECTS_ITSELF.to_owned());
        }
        let reports = self.topology.servers.iter().filter_map(|observed| observed.report.as_ref());
        for report in reports {
            if !report.lacks.is_empty() {
                let lacks = report.lacks.join(", ");
                return Err(format!(
                    "dauphin's account lacks {lacks}: run on the primary GRANT {lacks} ON *.* TO {}",
                    report.account
                ));
            }
        }
        Ok(())
    }

    async fn fail_over_if_allowed(&mut self) {
        let now = Instant::now();
        if self.may_act().is_err() || self.paused || now < self.retry_at {
            return;
        }
        if let Some(until) = self.quiet_until.filter(|until| now < *until) {
            self.retry_at = until;
            self.control.events.record(
                "failover_refused",
                None,
                "a failover has just been done ([failover] quiet_time); FAILOVER does another one at once",
            );
            return;
        }
        if let Err(error) = self.fail_over(Wish::default(), self.diagnosis.label()).await {
            self.refusals += 1;
            self.retry_at = Instant::now() + Duration::from_secs(self.refusals.into()).min(MOST_PATIENCE);
            // What is refused again and again for the same reason is told once.
            let told = self.control.events.latest(|event| event.kind == "failover_failed");
            if self.refusals == 1 || told.is_none_or(|told| told.message != error) {
                self.control.events.record("failover_failed", None, error);
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        let Request { action, by, answer } = request;
        let outcome = match action {
            Action::SwitchOver { to, force } => match self.find(to.as_deref()) {
                Ok(to) if self.topology.is_group() => {
                    self.switch_over_in_group(Wish { to, force }, &by).await
                }
                Ok(to) => self.switch_over(Wish { to, force }, &by).await,
                Err(error) => Err(error),
            },
            Action::FailOver { .. } if self.topology.is_group() => {
                Err(format!("{}; SWITCHOVER asks it to elect another", group::ELECTS_ITSELF))
            }
            Action::FailOver { to, force } => match self.find(to.as_deref()) {
                Ok(to) => self.fail_over(Wish { to, force }, &by).await,
                Err(error) => Err(error),
            },
            Action::Drain(name) => self.drain(&name, true, &by),
            Action::Undrain(name) => self.drain(&name, false, &by),
            Action::Pause => Ok(self.pause(true, &by)),
            Action::Resume => Ok(self.pause(false, &by)),
        };
        self.publish();
        // Whoever asked may have gone.
        let _ = answer.send(outcome);
    }

    fn find(&self, name: Option<&str>) -> Result<Option<usize>, String> {
        let Some(name) = name else { return Ok(None) };
        let found =
            self.fleet.servers.iter().position(|server| server.name.eq_ignore_ascii_case(name.trim()));
        found.map(Some).ok_or_else(|| {
            let names: Vec<_> = self.fleet.servers.iter().map(|server| server.name.as_str()).collect();
            format!("there is no server '{name}'; there are {}", names.join(", "))
        })
    }

    fn drain(&mut self, name: &str, drained: bool, by: &str) -> Result<String, String> {
        let at = self.find(Some(name))?.unwrap_or_default();
        let name = self.fleet.servers[at].name.clone();
        self.topology.servers[at].drained = drained;
        let mut what = if drained {
            format!("{name} takes no new reads; DRAIN does not take a primary's writes, SWITCHOVER does")
        } else {
            format!("{name} takes reads again")
        };
        what += &self.keep_order(|record| {
            record.drained.retain(|known| *known != name);
            record.drained.extend(drained.then(|| name.clone()));
        });
        let kind = if drained { "drained" } else { "undrained" };
        self.control.events.record(kind, Some(&name), format!("{what} (by {by})"));
        Ok(what)
    }

    /// Writes down what an operator has ordered, for the next start; else what is to be said of it.
    fn keep_order(&mut self, change: impl FnOnce(&mut Record)) -> String {
        let Err(error) = self.journal.change(change) else { return String::new() };
        self.lose_authority(&error);
        format!("; a restart of dauphin will not know it: the state file cannot be written: {error}")
    }

    /// What operators ordered before dauphin was started holds until they take it back.
    fn tell_what_was_ordered(&self) {
        for observed in self.topology.servers.iter().filter(|observed| observed.drained) {
            let name = &observed.name;
            let message = format!(
                "{name} takes no new reads: it was drained before dauphin was started; UNDRAIN {name} ends it"
            );
            self.control.events.record("drained", Some(name), message);
        }
        if self.paused {
            let message = "statements for the primary wait, each for at most [routing] hold_timeout, and nobody is promoted: \
                           PAUSE was given before dauphin was started; RESUME ends it";
            self.control.events.record("paused", None, message);
        }
    }

    fn pause(&mut self, paused: bool, by: &str) -> String {
        self.paused = paused;
        let kept = self.keep_order(|record| record.paused = paused);
        let (kind, what) = if paused {
            (
                "paused",
                "statements for the primary wait until RESUME, each for at most [routing] hold_timeout",
            )
        } else {
            ("resumed", "statements for the primary go on")
        };
        let what = format!("{what}{kept}");
        self.control.events.record(kind, None, format!("{what} (by {by})"));
        what
    }

    /// Recognises who is the primary, by what the servers are, when nobody has told dauphin.
    fn recognise(&mut self) {
        let current = self.topology.primary;
        if let Some(at) = current
            && self.topology.may_rule(at)
        {
            if self.term.is_none() {
                self.begin_term(at, "it is writable");
            }
            return;
        }
        let is_only_suspected = |at: usize| {
            self.topology.servers[at].trouble.as_ref().is_some_and(|trouble| trouble.failures < FAILURES)
        };
        match self.natural_primary() {
            // In multi-primary mode there is always another; nobody is left for a question that was not answered.
            Some(_) if self.topology.is_group() && current.is_some_and(is_only_suspected) => {}
            Some(at) if current != Some(at) => self.begin_term(
                at,
                if self.topology.is_group() {
                    "its replication group made it so"
                } else {
                    "it is writable and replicates from none of the others"
                },
            ),
            _ if current.is_none() => self.topology.primary = self.presumed_primary(),
            _ => {}
        }
    }

    /// The one server that takes writes and is nobody's replica.
    fn natural_primary(&self) -> Option<usize> {
        let servers = &self.topology.servers;
        let free: Vec<usize> = (0..servers.len())
            .filter(|&at| self.topology.may_rule(at) && servers[at].quarantine.is_none())
            .filter(|&at| {
                self.topology.source_of(at).is_none() && self.topology.has_applied_its_inheritance(at)
            })
            // One that has not met its source yet, or whose source may be a server never heard of, is a replica all the same.
            .filter(|&at| {
                let of_unknown =
                    |source: &str| source.is_empty() || servers.iter().any(|other| other.report.is_none());
                !servers[at].replication().is_some_and(|replication| of_unknown(&replication.source))
            })
            .collect();
        match free[..] {
            [only] => Some(only),
            [] => None,
            _ if self.topology.is_group() => self.one_of_the_group(&free),
            // Of several the one that was primary last; the others are not believed.
            _ => {
                let last = self.journal.record().primary.as_deref();
                free.iter().copied().find(|&at| Some(servers[at].name.as_str()) == last)
            }
        }
    }

    /// With no server writable: the one that was primary last and is no replica now, or the one that does not answer and
    /// whose replicas the others are.
    fn presumed_primary(&self) -> Option<usize> {
        let servers = &self.topology.servers;
        let gone: Vec<usize> = (0..servers.len())
            .filter(|&at| !servers[at].is_reached() && servers[at].quarantine.is_none())
            .collect();
        let last = self.journal.record().primary.as_deref();
        let remembered = (0..servers.len()).find(|&at| {
            let may_be_it = !servers[at].is_reached() || servers[at].replication().is_none();
            Some(servers[at].name.as_str()) == last && servers[at].quarantine.is_none() && may_be_it
        });
        let by_elimination = match gone[..] {
            [only] => Some(only),
            _ => None,
        };
        let all_follow_one = || {
            let mut sources: Vec<_> = servers
                .iter()
                .filter(|observed| observed.is_reached())
                .map(|observed| observed.replication().map(|replication| replication.source.clone()))
                .collect();
            sources.dedup();
            matches!(&sources[..], [Some(source)] if !source.is_empty() && self.topology.by_identity(source).is_none())
        };
        remembered.or(by_elimination.filter(|_| all_follow_one()))
    }

    fn begin_term(&mut self, at: usize, why: &str) {
        self.end_term();
        let server: Arc<Server> = self.fleet.servers[at].clone();
        let epoch = self.epoch().0 + 1;
        let name = server.name.clone();
        let written = self.journal.change(|record| {
            (record.epoch, record.primary) = (epoch, Some(name.clone()));
            record.quarantined.retain(|(quarantined, _)| *quarantined != name);
        });
        if let Err(error) = written {
            self.lose_authority(&error);
        }
        self.topology.servers[at].quarantine = None;
        self.topology.primary = Some(at);
        self.topology.seen = Gtids::default();
        self.lags.reset();
        self.term = Some(Arc::new(Term { epoch: Epoch(epoch), server, ended: CancellationToken::new() }));
        self.has_seen_a_term = true;
        if let Some((pulse, _)) = &self.pulse {
            pulse.follow(self.term.as_ref());
        }
        self.isolated_since = None;
        let message = format!("{name} is the primary (epoch {epoch}): {why}");
        self.control.events.record("term_began", Some(&name), message);
    }

    /// Ends the term: from here on nothing that was begun under it goes on.
    fn end_term(&mut self) {
        if let Some(term) = self.term.take() {
            term.ended.cancel();
            if let Some((pulse, _)) = &self.pulse {
                pulse.follow(None);
            }
            term.server.pool.cut();
            let message = format!("the term of {} has ended (epoch {})", term.server.name, term.epoch.0);
            self.control.events.record("term_ended", Some(&term.server.name), message);
        }
    }

    fn lose_authority(&mut self, error: &std::io::Error) {
        self.no_authority =
            Some(format!("the state file cannot be written: {error} ([failover] state_file)"));
    }

    /// The epoch of the current or last term.
    fn epoch(&self) -> Epoch {
        let current = self.term.as_ref().map_or(0, |term| term.epoch.0);
        Epoch(current.max(self.journal.record().epoch))
    }

    fn publish(&mut self) {
        let throne = match (&self.term, self.diagnosis.remedy()) {
            _ if self.phase != Phase::Watching => Throne::Held,
            _ if self.paused => Throne::Paused,
            (Some(_), Remedy::Nothing) => Throne::Taken,
            _ => Throne::Empty(self.sentence(&self.diagnosis)),
        };
        let epoch = self.epoch();
        if let Some(table) = self.assembler.assemble(&self.topology, throne, self.term.as_ref(), epoch) {
            self.published.publish(table);
        }
        self.publish_view();
    }
}
