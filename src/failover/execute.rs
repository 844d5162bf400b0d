//! Carrying out a change of the primary: each step bounded, written down before it is taken, and safe to repeat.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Controller,
    cluster::{Act, ActError, Cluster},
    diagnose::Diagnosis,
    journal::Operation,
    plan::{CannotFailOver, Plan, Wish, plan, settings_of},
};
use crate::{
    control::Phase,
    topology::{
        dialect::{Follow, ReplicationLogin, SourceSettings},
        report::Receiver,
    },
};

/// How long a primary that does not answer is given to be fenced all the same.
const LAST_CHANCE: Duration = Duration::from_millis(200);
/// What is said of a primary that was not fenced because it does not.
const SILENT: &str = "it does not answer";
/// How long one wait for a replica to apply what it received takes, before it is looked at again.
const APPLY_ROUND: Duration = Duration::from_secs(1);
/// How long a primary's last commits may take once nobody begins new ones.
const CLOSE: Duration = Duration::from_secs(2);
/// How often it is looked whether the open transactions have ended.
const DRAIN_EVERY: Duration = Duration::from_millis(5);
/// How long a stopping dauphin still waits for what can be undone.
const WHEN_STOPPING: Duration = Duration::from_secs(2);
/// How often a step is repeated from which there is no way back.
const STUBBORN: usize = 5;

/// Why an operation was not completed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Plan(#[from] CannotFailOver),
    #[error("{server}: {error}")]
    Act { server: String, error: ActError },
    #[error("the state file cannot be written: {0}")]
    Journal(#[from] std::io::Error),
    #[error("{0}")]
    Other(String),
    /// After the point of no return: it will be completed as soon as it can be.
    #[error("{server} is to be the primary and could not be made so yet: {error}")]
    Unfinished { server: String, error: ActError },
}

/// For tests of what a crash leaves behind: builds with debug assertions end at the step that the environment names.
fn crash_point(step: &str) {
    if cfg!(debug_assertions) && std::env::var("DAUPHIN_CRASH_AT").is_ok_and(|at| at == step) {
        tracing::error!(step, "DAUPHIN_CRASH_AT");
        std::process::abort();
    }
}

impl<C: Cluster> Controller<C> {
    fn name(&self, at: usize) -> String {
        self.fleet.servers[at].name.clone()
    }

    pub(super) async fn act(&self, at: usize, act: Act) -> Result<(), ActError> {
        let label = act.label();
        let began = Instant::now();
        let done = self.cluster.act(at, act).await;
        let ms = began.elapsed().as_millis() as u64;
        match &done {
            Ok(()) => tracing::info!(server = %self.fleet.servers[at].name, act = label, ms, "done"),
            // It is tried again every other second, and a clone may take hours.
            Err(error @ ActError::BeingCloned) => {
                tracing::debug!(server = %self.fleet.servers[at].name, act = label, ms, %error, "not done");
            }
            Err(error) => {
                tracing::warn!(server = %self.fleet.servers[at].name, act = label, ms, %error, "not done");
            }
        }
        done
    }

    async fn must(&self, at: usize, act: Act) -> Result<(), Failed> {
        self.act(at, act).await.map_err(|error| Failed::Act { server: self.name(at), error })
    }

    /// Waits for what can be undone: not for long when dauphin is stopping.
    async fn unless_stopping(
        stop: CancellationToken,
        wait: impl Future<Output = Result<(), Failed>>,
    ) -> Result<(), Failed> {
        tokio::select! {
            done = wait => done,
            () = async { stop.cancelled().await; tokio::time::sleep(WHEN_STOPPING).await } => {
                Err(Failed::Other("dauphin is stopping".to_owned()))
            }
        }
    }

    async fn all(&self, servers: &[usize], act: impl Fn(usize) -> Act) -> Vec<(usize, Result<(), ActError>)> {
        let acts = servers.iter().map(|&at| {
            let act = act(at);
            async move { (at, self.act(at, act).await) }
        });
        futures_util::future::join_all(acts).await
    }

    /// Asks these servers how they are, now.
    pub(super) async fn look_at(&mut self, servers: &[usize]) {
        let looks = servers.iter().map(|&at| {
            let cluster = &self.cluster;
            async move { (at, Instant::now(), cluster.report(at).await) }
        });
        for (at, asked_at, report) in futures_util::future::join_all(looks).await {
            self.topology.note(at, asked_at, report);
        }
    }

    /// Makes another server the primary because this one is lost, or because an operator says so.
    pub(super) async fn fail_over(&mut self, wish: Wish, cause: &str) -> Result<String, String> {
        let old = match (self.topology.primary, wish.to) {
            (Some(old), to) if to != Some(old) => old,
            (None, None) => {
                return Err("no primary is known that could be replaced; FAILOVER TO names one".to_owned());
            }
            (_, Some(to)) | (Some(to), None) => return self.enthrone(to, wish.force, cause).await,
        };
        let unfinished = self.journal.record().operation.as_ref().and_then(|operation| operation.new.clone());
        if let Some(new) = unfinished {
            if !wish.force {
                return Err(format!(
                    "{new} is being made the primary and does not answer; bring it back, or FAILOVER FORCE to do without it"
                ));
            }
            let new = self.fleet.servers.iter().position(|server| server.name == new);
            if let Some(new) = new {
                self.quarantine(new, "it did not answer while it was made the primary".to_owned());
            }
        }
        let began = Instant::now();
        let old_name = self.name(old);
        self.note_failover(&format!("{old_name} is to be replaced: {cause}"), &old_name);
        self.phase = Phase::FailingOver;
        self.publish();
        self.end_term();
        crash_point("hold");
        let mut stopped = Vec::new();
        let mut fenced = false;
        let done = self.replace(old, wish, &mut stopped, &mut fenced).await;
        self.phase = Phase::Watching;
        let outcome = match done {
            Ok(plan) => {
                self.judge();
                self.publish();
                self.settle(old, &plan).await;
                let ms = began.elapsed().as_millis();
                let lost = if plan.lost.is_empty() {
                    String::new()
                } else {
                    format!("; lost: {} transactions ({})", plan.lost.count(), plan.lost)
                };
                let what = format!("{} replaced {old_name} after {ms} ms{lost}", self.name(plan.candidate));
                self.quiet_until = Some(Instant::now() + self.settings.failover.quiet_time);
                self.control.events.record("failover_done", Some(&old_name), what.clone());
                Ok(what)
            }
            Err(error @ Failed::Unfinished { .. }) => Err(error.to_string()),
            Err(error) => {
                self.back_out(old, &stopped, fenced).await;
                Err(format!("{old_name} was not replaced: {error}"))
            }
        };
        self.release_claims().await;
        outcome
    }

    /// An attempt that is repeated every second is not told every second.
    fn note_failover(&self, message: &str, server: &str) {
        let last = self.control.events.latest(|event| event.kind.starts_with("failover_"));
        let is_again = last.is_some_and(|event| event.kind == "failover_failed");
        if !is_again {
            self.control.events.record("failover_started", Some(server), message);
        }
    }

    async fn replace(
        &mut self,
        old: usize,
        wish: Wish,
        stopped: &mut Vec<usize>,
        fenced: &mut bool,
    ) -> Result<Plan, Failed> {
        let replicas = self.topology.reached_replicas_of(old);
        if replicas.is_empty() {
            return Err(CannotFailOver::NoCandidate("no replica answers".to_owned()).into());
        }
        let replicas = self.claim(&replicas).await?;
        let operation = Operation {
            planned: false,
            old: self.name(old),
            new: None,
            stopped: replicas.iter().map(|&at| self.name(at)).collect(),
        };
        self.journal.change(|record| record.operation = Some(operation))?;
        crash_point("claim");
        let is_reached = self.topology.servers[old].is_reached();
        stopped.extend(&replicas);
        // Whoever waits for ever for acknowledgements that no frozen replica gives is harmless: nobody waits for its fence.
        let is_harmless = !is_reached && !wish.force && self.waits_for_ever(old);
        if is_harmless {
            self.fence_aside(old);
        }
        let fence = async {
            if is_harmless {
                Err(ActError::Unreachable(SILENT.to_owned()))
            } else {
                self.fence(old, is_reached).await
            }
        };
        let (fencing, frozen) = tokio::join!(fence, self.all(&replicas, |_| Act::StopReceiving));
        *fenced = fencing.is_ok();
        if is_reached
            && !wish.force
            && let Err(error) = fencing
            // What cannot be written to a full disk cannot be acknowledged either, and nobody is left to be told.
            && !(matches!(error, ActError::StillOpen(_)) && self.diagnosis == Diagnosis::CannotWrite)
        {
            return Err(Failed::Act { server: self.name(old), error });
        }
        crash_point("freeze");
        let frozen: Vec<usize> =
            frozen.into_iter().filter(|(_, done)| done.is_ok()).map(|(at, _)| at).collect();
        self.look_at(&frozen).await;
        let frozen: Vec<usize> =
            frozen.into_iter().filter(|&at| self.topology.servers[at].is_reached()).collect();
        self.recall_semi_sync(old);
        let plan = plan(&self.topology, old, &frozen, wish)?;
        let candidate = plan.candidate;
        let target = format!("{} is chosen; it has {}", self.name(candidate), plan.target);
        self.control.events.record("failover_chosen", Some(&self.name(candidate)), target);
        crash_point("choose");
        Self::unless_stopping(self.stop.clone(), self.drain_relay_log(&plan)).await?;
        crash_point("apply");
        self.crown(old, &plan).await?;
        Ok(plan)
    }

    /// An earlier fence may have ended the old primary's waiting: what counts is how it waited in its term.
    fn recall_semi_sync(&mut self, old: usize) {
        let waited: Option<SourceSettings> = self.journal.record().waits.as_ref().map(Into::into);
        let (Some(waited), Some(report)) = (waited, &mut self.topology.servers[old].report) else { return };
        if !report.semi_sync.source_enabled {
            report.semi_sync.source_enabled = true;
            report.semi_sync.wait_for = waited.wait_for;
            report.semi_sync.timeout = Some(waited.timeout);
        }
    }

    /// Locks that keep another dauphin from acting on the same servers; those that answered.
    async fn claim(&self, servers: &[usize]) -> Result<Vec<usize>, Failed> {
        let mut got = Vec::new();
        for (at, claimed) in self.all(servers, |_| Act::Claim).await {
            match claimed {
                Ok(()) => got.push(at),
                Err(error @ ActError::Claimed) => {
                    return Err(Failed::Act { server: self.name(at), error });
                }
                Err(_) => {}
            }
        }
        Ok(got)
    }

    /// Of all that answer.
    pub(super) async fn claim_all(&self) -> Result<(), String> {
        let reached: Vec<usize> =
            (0..self.fleet.servers.len()).filter(|&at| self.topology.servers[at].is_reached()).collect();
        self.claim(&reached).await.map(drop).map_err(|error| error.to_string())
    }

    pub(super) async fn release_claims(&self) {
        let reached: Vec<usize> =
            (0..self.fleet.servers.len()).filter(|&at| self.topology.servers[at].is_reached()).collect();
        self.all(&reached, |_| Act::Yield).await;
    }

    /// Deposes the old primary, if it can be reached at all.
    async fn fence(&self, old: usize, is_reached: bool) -> Result<(), ActError> {
        let by_sql = async {
            if is_reached {
                return self.act(old, Act::Fence).await;
            }
            let unreachable = || ActError::Unreachable(SILENT.to_owned());
            timeout(LAST_CHANCE, self.act(old, Act::Fence)).await.unwrap_or_else(|_| Err(unreachable()))
        };
        let by_command = async {
            match self.fence_command(old) {
                Some(command) => command.await,
                None => false,
            }
        };
        let (by_sql, by_command) = tokio::join!(by_sql, by_command);
        if by_command { Ok(()) } else { by_sql }
    }

    /// Runs `[failover] fence_command` without waiting for it.
    fn fence_aside(&mut self, old: usize) {
        while self.fencing.try_join_next().is_some() {}
        if let Some(command) = self.fence_command(old) {
            self.fencing.spawn(command);
        }
    }

    /// `[failover] fence_command`, if there is one; answers whether it says that it has cut the server off.
    fn fence_command(&self, old: usize) -> Option<impl Future<Output = bool> + Send + 'static + use<C>> {
        const AT_MOST: Duration = Duration::from_secs(5);
        let command = self.settings.failover.fence_command.clone()?;
        let (server, control) = (self.fleet.servers[old].clone(), self.control.clone());
        Some(async move {
            let run = tokio::process::Command::new(command)
                .args([server.name.clone(), server.address.to_string()])
                .kill_on_drop(true)
                .status();
            let (word, done) = match timeout(AT_MOST, run).await {
                Ok(Ok(status)) => (format!("fence_command ended with {status}"), status.success()),
                Ok(Err(error)) => (format!("fence_command cannot be run: {error}"), false),
                Err(_) => (format!("fence_command did not end within {} s", AT_MOST.as_secs()), false),
            };
            control.events.record("fence_command", Some(&server.name), word);
            done
        })
    }

    /// Whether the old primary acknowledges nothing by itself, however long no replica does.
    fn waits_for_ever(&self, old: usize) -> bool {
        let report = self.topology.servers[old].report.as_ref();
        report.map(|report| &report.semi_sync).is_some_and(|semi_sync| {
            semi_sync.source_enabled && semi_sync.source_active && semi_sync.timeout.is_none()
        })
    }

    /// Lets the candidate apply what it has received: all of it, or it is not promoted.
    async fn drain_relay_log(&mut self, plan: &Plan) -> Result<(), Failed> {
        let until = Instant::now() + self.settings.failover.apply_timeout;
        let at = plan.candidate;
        loop {
            let apply = Act::Apply { gtids: plan.target.clone(), at_most: APPLY_ROUND };
            let error = match self.act(at, apply).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.look_at(&[at]).await;
            let failed = self.topology.servers[at].replication().and_then(|r| r.applier_error.clone());
            if let Some((number, text)) = failed {
                return Err(Failed::Other(format!(
                    "the applier of {} stopped with error {number}: {text}",
                    self.name(at)
                )));
            }
            if !matches!(error, ActError::NotApplied) || Instant::now() >= until {
                return Err(Failed::Act { server: self.name(at), error });
            }
        }
    }

    /// The point of no return, and what follows from it at once: the candidate takes writes, and a new term begins.
    async fn crown(&mut self, old: usize, plan: &Plan) -> Result<(), Failed> {
        let (candidate, new, deposed) = (plan.candidate, self.name(plan.candidate), self.name(old));
        let planned = self.phase == Phase::SwitchingOver;
        let waits = self.topology.servers[old].report.as_ref().map(|report| &report.semi_sync);
        let suspended = match waits {
            Some(waits) => waits.source_enabled.then(|| (&settings_of(waits)).into()),
            // It went before this dauphin came.
            None => self.journal.record().waits.clone(),
        };
        let suspended = suspended.filter(|_| plan.semi_sync.is_none());
        let why = format!("it was replaced by {new}");
        self.journal.change(|record| {
            if let Some(operation) = &mut record.operation {
                operation.new = Some(new.clone());
            }
            record.semi_sync = suspended.or(record.semi_sync.take());
            record.quarantined.retain(|(name, _)| *name != deposed && *name != new);
            if !planned {
                record.quarantined.push((deposed.clone(), why.clone()));
            }
        })?;
        crash_point("commit");
        if !planned {
            self.topology.servers[old].quarantine = Some(why);
        }
        for act in [Act::Crown(plan.semi_sync.clone()), Act::Open] {
            let mut tries = 0;
            while let Err(error) = self.act(candidate, act.clone()).await {
                tries += 1;
                if tries == STUBBORN {
                    return Err(Failed::Unfinished { server: new, error });
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            crash_point(act.label());
        }
        self.look_at(&[candidate]).await;
        self.begin_term(candidate, "it was promoted");
        Ok(())
    }

    /// The others follow, and what was begun is ended.
    async fn settle(&mut self, old: usize, plan: &Plan) {
        crash_point("publish");
        for &at in &plan.followers {
            self.topology.servers[at].told_to_follow = Some(Instant::now());
        }
        let followers = self.all(&plan.followers, |at| Act::Follow(self.follow(plan.candidate, at))).await;
        let seen: Vec<usize> = followers.iter().map(|(at, _)| *at).collect();
        self.look_at(&seen).await;
        seen.iter().for_each(|&at| self.mending.has_been_tried(at));
        let mut follow = Vec::new();
        for (at, followed) in followers {
            if followed.is_ok() {
                follow.push(at);
            }
            if let Err(error) = followed {
                let name = self.name(at);
                let message = format!("{name} does not follow {} yet: {error}", self.name(plan.candidate));
                self.control.events.record("follow_failed", Some(&name), message.clone());
                self.quarantine(at, message);
            }
        }
        for (at, why) in &plan.left {
            self.quarantine(*at, why.clone());
        }
        self.leave_stragglers(old, plan.candidate, &follow);
        crash_point("follow");
        let old = self.name(old);
        if let Err(error) = self.journal.change(|record| record.operation = None) {
            self.lose_authority(&error);
        }
        tracing::debug!(old, "settled");
    }

    /// Who was away when the primary changed, or still follows the old one, is brought back when it can be, even if the
    /// old one has long been a replica again by then.
    fn leave_stragglers(&mut self, old: usize, new: usize, followers: &[usize]) {
        let others =
            (0..self.fleet.servers.len()).filter(|at| *at != old && *at != new && !followers.contains(at));
        for at in others {
            let observed = &self.topology.servers[at];
            let was_left_halfway = observed.replication().is_some_and(|replication| {
                replication.source.is_empty() || replication.receiver == Receiver::Stopped
            });
            // Whose source is not one of those that have answered may follow the old one, which has not.
            let may_follow_old = match self.topology.source_of(at) {
                Some(source) => source == old,
                None => observed.replication().is_some() && self.topology.servers[old].report.is_none(),
            };
            let is_straggler = !observed.is_reached() || may_follow_old || was_left_halfway;
            if is_straggler && observed.quarantine.is_none() {
                self.quarantine(at, format!("it was away when {} became the primary", self.name(new)));
            }
        }
    }

    /// How `replica` is to follow `primary`.
    pub(super) fn follow(&self, primary: usize, replica: usize) -> Follow {
        let (host, port) = self.settings.replication_addresses[primary].clone();
        let servers = &self.topology.servers;
        let was_replica = servers[replica].replication().is_some();
        let tls = servers.iter().find_map(|observed| Some(observed.replication()?.tls));
        let waits = servers.iter().any(|observed| {
            observed
                .report
                .as_ref()
                .is_some_and(|report| report.semi_sync.source_enabled || report.semi_sync.replica_enabled)
        });
        let login = self.settings.login.as_ref().filter(|_| !was_replica);
        Follow {
            host,
            port,
            login: login.map(|login| ReplicationLogin { tls: tls.unwrap_or(login.tls), ..login.clone() }),
            acknowledge: waits || self.journal.record().semi_sync.is_some(),
            heartbeat: self.settings.failover.heartbeat,
            was_primary: !was_replica,
        }
    }

    /// Takes a server out of everything until it has rejoined.
    pub(super) fn quarantine(&mut self, at: usize, why: String) {
        let name = self.name(at);
        if self.topology.servers[at].quarantine.as_ref() == Some(&why) {
            return;
        }
        self.control.events.record("quarantined", Some(&name), format!("{name}: {why}"));
        self.topology.servers[at].quarantine = Some(why.clone());
        let written = self.journal.change(|record| {
            record.quarantined.retain(|(quarantined, _)| *quarantined != name);
            record.quarantined.push((name, why));
        });
        if let Err(error) = written {
            self.lose_authority(&error);
        }
    }

    /// Whether a replica that was stopped may receive again. While the primary is away, those that do not apply may not:
    /// MariaDB throws away what such a one has received when it connects anew, and it may be the only one that has it.
    pub(super) fn may_receive(&self, at: usize) -> bool {
        let primary_answers = self.topology.primary.is_some_and(|at| self.topology.servers[at].is_reached());
        primary_answers
            || self.topology.servers[at].replication().is_none_or(|replication| replication.applying)
    }

    /// Undoes what can be undone: replicas receive again, and a primary that was closed takes writes again.
    async fn back_out(&mut self, old: usize, stopped: &[usize], reopen: bool) {
        let (now, later): (Vec<usize>, Vec<usize>) = stopped.iter().partition(|&&at| self.may_receive(at));
        let started = self.all(&now, |_| Act::StartReceiving).await;
        let failed = started.into_iter().filter(|(_, done)| done.is_err()).map(|(at, _)| at);
        let frozen: Vec<String> = failed.chain(later).map(|at| self.name(at)).collect();
        // The old primary may be told to close yet by a statement that nobody waits for any more.
        let is_half_fenced = reopen || self.journal.record().operation.is_some();
        if reopen && let Err(error) = self.open_again(old).await {
            let name = self.name(old);
            let message = format!(
                "{name} could not be made writable again: {error}; run SET GLOBAL read_only = OFF there"
            );
            self.control.events.record("reopen_failed", Some(&name), message);
        }
        self.look_at(&[old]).await;
        let half_fenced = is_half_fenced.then(|| self.name(old));
        self.mending.opened_again = None;
        let written = self.journal.change(|record| {
            record.operation = None;
            record.half_fenced = half_fenced.or(record.half_fenced.take());
            record.frozen.retain(|name| !frozen.contains(name));
            record.frozen.extend(frozen);
        });
        if let Err(error) = written {
            self.lose_authority(&error);
        }
    }

    /// Lets a primary take writes again, and has them wait for acknowledgements as they did: a fence ends that.
    pub(super) async fn open_again(&self, at: usize) -> Result<(), ActError> {
        let waits = self.topology.servers[at].report.as_ref().map(|report| &report.semi_sync);
        let waits = waits.filter(|waits| waits.source_enabled).map(settings_of);
        // Where a fence ended halfway it does not say so itself any more.
        let waits = waits.or_else(|| self.journal.record().waits.as_ref().map(Into::into));
        if waits.is_some() && self.journal.record().semi_sync.is_none() {
            self.act(at, Act::SemiSync(waits)).await?;
        }
        self.act(at, Act::Open).await
    }

    /// Makes another server the primary while this one is well: nobody loses anything, or nothing has happened.
    pub(super) async fn switch_over(&mut self, wish: Wish, by: &str) -> Result<String, String> {
        let began = Instant::now();
        let old = self.topology.primary.filter(|&at| self.topology.servers[at].is_writable());
        let (Some(old), Some(_)) = (old, &self.term) else {
            return Err(format!(
                "there is no primary to switch over from ({}); FAILOVER promotes a replica",
                self.diagnosis.label()
            ));
        };
        if wish.to == Some(old) {
            return Err(format!("{} is the primary already", self.name(old)));
        }
        let everyone: Vec<usize> =
            (0..self.fleet.servers.len()).filter(|&at| self.topology.servers[at].is_reached()).collect();
        let outcome = match self.claim(&everyone).await {
            Ok(_) => self.switch(old, wish, by).await,
            Err(error) => Err(error),
        };
        let name = self.name(old);
        let outcome = match outcome {
            Ok((plan, held)) => {
                self.settle(old, &plan).await;
                let what = format!(
                    "{} replaced {name} after {} ms; statements were held for {} ms",
                    self.name(plan.candidate),
                    began.elapsed().as_millis(),
                    held.as_millis()
                );
                self.control.events.record("switchover_done", Some(&name), what.clone());
                Ok(what)
            }
            Err(error) => {
                let what = format!("{name} is still the primary: {error}");
                let what = if matches!(error, Failed::Unfinished { .. }) { error.to_string() } else { what };
                self.control.events.record("switchover_failed", Some(&name), what.clone());
                Err(what)
            }
        };
        self.release_claims().await;
        outcome
    }

    async fn switch(&mut self, old: usize, wish: Wish, by: &str) -> Result<(Plan, Duration), Failed> {
        let replicas = self.topology.reached_replicas_of(old);
        self.look_at(&[old]).await;
        // What is on its way now will have arrived when it matters.
        let mut plan = plan(&self.topology, old, &replicas, Wish { to: wish.to, force: true })?;
        let lacking =
            self.topology.servers[plan.candidate].report.as_ref().map(|report| report.lacks.clone());
        if let Some(lacking) = lacking.filter(|lacking| !lacking.is_empty()) {
            return Err(Failed::Other(format!("dauphin's account lacks {}", lacking.join(", "))));
        }
        let (candidate, name) = (plan.candidate, self.name(plan.candidate));
        let message = format!("{} is to be replaced by {name} (by {by})", self.name(old));
        self.control.events.record("switchover_started", Some(&self.name(old)), message);
        let executed = |controller: &Self| {
            controller.topology.servers[old].report.as_ref().map(|report| report.executed.clone())
        };
        // Before anybody is made to wait, it should be nearly there.
        let so_far = executed(self).unwrap_or_default();
        let at_most = self.settings.failover.apply_timeout;
        let catching_up = self.must(candidate, Act::Apply { gtids: so_far, at_most });
        Self::unless_stopping(self.stop.clone(), catching_up).await?;
        let operation = Operation { planned: true, old: self.name(old), new: None, stopped: Vec::new() };
        self.journal.change(|record| record.operation = Some(operation))?;
        crash_point("switch_prepare");
        let held = Instant::now();
        self.phase = Phase::SwitchingOver;
        self.publish();
        let handed_over = self.hand_over(old, &mut plan, wish.force).await;
        self.phase = Phase::Watching;
        if let Err(error) = handed_over {
            if !matches!(error, Failed::Unfinished { .. }) {
                self.back_out(old, &[], true).await;
                self.recognise();
                self.judge();
            }
            self.publish();
            return Err(error);
        }
        self.judge();
        self.publish();
        Ok((plan, held.elapsed()))
    }

    /// From the hold to the new term.
    async fn hand_over(&mut self, old: usize, plan: &mut Plan, force: bool) -> Result<(), Failed> {
        Self::unless_stopping(self.stop.clone(), self.drain_transactions(old, force)).await?;
        crash_point("switch_drain");
        self.must(old, Act::Close { at_most: CLOSE }).await?;
        crash_point("close");
        self.look_at(&[old]).await;
        let observed = &self.topology.servers[old];
        let Some(report) = observed.report.as_ref().filter(|_| observed.is_reached()) else {
            return Err(Failed::Other(format!("{} does not answer any more", observed.name)));
        };
        if !(report.read_only && report.super_read_only) {
            return Err(Failed::Other(format!("{} did not become read-only", observed.name)));
        }
        plan.target = report.executed.clone();
        if report.semi_sync.source_enabled {
            // The old one will acknowledge, too.
            let enough = plan.followers.len() + 1 >= report.semi_sync.wait_for.max(1) as usize;
            plan.semi_sync = enough.then(|| settings_of(&report.semi_sync));
        }
        self.must(plan.candidate, Act::Apply { gtids: plan.target.clone(), at_most: CLOSE }).await?;
        crash_point("switch_apply");
        self.end_term();
        self.crown(old, plan).await?;
        plan.followers.push(old);
        Ok(())
    }

    /// Waits until nobody is in the middle of a write.
    pub(super) async fn drain_transactions(&mut self, old: usize, force: bool) -> Result<(), Failed> {
        let server = self.fleet.servers[old].clone();
        let until = Instant::now() + self.settings.failover.drain_timeout;
        while server.writing() > 0 {
            server.pool.recall();
            if Instant::now() >= until {
                if force {
                    self.end_term();
                    return Ok(());
                }
                return Err(Failed::Other(format!(
                    "{} sessions did not end their transactions, or what else ties them to {}, within {} ms ([failover] drain_timeout); \
                     SHOW SESSIONS tells which, SWITCHOVER FORCE ends them",
                    server.writing(),
                    server.name,
                    self.settings.failover.drain_timeout.as_millis()
                )));
            }
            tokio::time::sleep(DRAIN_EVERY).await;
        }
        Ok(())
    }

    /// Goes on with, or backs out of, what an earlier dauphin had begun when it ended.
    pub(super) async fn resume(&mut self) {
        let Some(operation) = self.journal.record().operation.clone() else { return };
        let find = |name: &str| self.fleet.servers.iter().position(|server| server.name == name);
        let Some(old) = find(&operation.old) else {
            return self.forget_operation("its servers are not in the config any more");
        };
        match operation.new.as_deref().map(find) {
            Some(Some(new)) => self.finish(&operation, old, new).await,
            Some(None) => self.forget_operation("its servers are not in the config any more"),
            None => {
                let stopped: Vec<usize> = operation.stopped.iter().filter_map(|name| find(name)).collect();
                let others_write = (0..self.fleet.servers.len())
                    .any(|at| at != old && self.topology.servers[at].is_writable());
                let closed = self.topology.servers[old].is_reached() && !others_write;
                self.control.events.record(
                    "backing_out",
                    Some(&operation.old),
                    "dauphin ended in the middle of a change of the primary; what it had begun is undone",
                );
                self.back_out(old, &stopped, closed).await;
                self.look_at(&stopped).await;
            }
        }
    }

    async fn finish(&mut self, operation: &Operation, old: usize, new: usize) {
        if !self.topology.servers[new].is_reached() {
            // Nobody else may be promoted, and the old one must not be written to: as far as is known it lacks nothing,
            // but what the new one may have been told since, it does not have.
            return;
        }
        self.control.events.record(
            "going_on",
            operation.new.as_deref(),
            "dauphin ended in the middle of a change of the primary; it goes on",
        );
        if !self.topology.servers[new].is_writable() {
            self.recall_semi_sync(old);
            let waits = match self.topology.servers[old].report.as_ref().map(|report| &report.semi_sync) {
                Some(waits) => (waits.source_enabled || operation.planned).then(|| settings_of(waits)),
                None => self.journal.record().waits.as_ref().map(Into::into),
            };
            let waits = waits.filter(|_| self.journal.record().semi_sync.is_none());
            // Others that could acknowledge are not known to be there: commits wait for them once they are.
            let is_known = self.topology.servers.len() > 2 && self.topology.servers[old].report.is_some();
            let settings = waits.clone().filter(|_| is_known);
            if let Some(waits) = waits.filter(|_| !is_known)
                && let Err(error) = self.journal.change(|record| record.semi_sync = Some((&waits).into()))
            {
                self.lose_authority(&error);
            }
            if self.act(new, Act::Crown(settings)).await.is_err() || self.act(new, Act::Open).await.is_err() {
                return;
            }
            self.look_at(&[new]).await;
        }
        self.begin_term(new, "its promotion had begun");
        self.quarantine(old, format!("it was replaced by {}", self.name(new)));
        self.leave_stragglers(old, new, &[]);
        self.forget_operation("it is completed");
    }

    fn forget_operation(&mut self, why: &str) {
        self.control.events.record("operation_ended", None, why);
        if let Err(error) = self.journal.change(|record| record.operation = None) {
            self.lose_authority(&error);
        }
    }
}
