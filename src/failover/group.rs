//! Where the servers are a replication group: it elects its primary itself, and dauphin follows. All that dauphin does to
//! a group is to ask it, for an operator, to elect another member.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Controller,
    cluster::{Act, Cluster},
    plan::Wish,
};
use crate::{
    control::{Phase, Preview},
    topology::Topology,
};

impl<C: Cluster> Controller<C> {
    /// Of several members that take writes, as all do in multi-primary mode, one gets them: the one that had them last,
    /// else the one of the highest priority.
    pub(super) fn one_of_the_group(&self, primaries: &[usize]) -> Option<usize> {
        let servers = &self.topology.servers;
        let last = self.journal.record().primary.as_deref();
        let remembered = primaries.iter().copied().find(|&at| Some(servers[at].name.as_str()) == last);
        let first = || primaries.iter().copied().min_by_key(|&at| (u32::MAX - servers[at].priority, at));
        remembered.or_else(first)
    }

    /// Who is what in the group, for people.
    pub(super) fn sentence_of_group(&self) -> String {
        let of = |at: usize| {
            let (name, member) = (&self.fleet.servers[at].name, self.topology.member(at));
            match member {
                _ if !self.topology.servers[at].is_reached() => format!("{name} does not answer"),
                None => format!("{name} is no member"),
                Some(member) if member.is_online() && !member.has_majority => {
                    format!("{name} sees no majority of the group")
                }
                Some(member) => format!("{name} is {}", member.label()),
            }
        };
        let servers: Vec<_> = (0..self.fleet.servers.len()).map(of).collect();
        format!(
            "the replication group has no primary that can be used ({}); it elects its own: statements wait",
            servers.join(", ")
        )
    }

    /// Asks the group to make another member its primary, with nobody noticing.
    pub(super) async fn switch_over_in_group(&mut self, wish: Wish, by: &str) -> Result<String, String> {
        let old = self.topology.primary.filter(|&at| self.topology.may_rule(at));
        let (Some(old), Some(_)) = (old, &self.term) else {
            return Err("the replication group has no primary now, and elects one itself".to_owned());
        };
        let (began, name) = (Instant::now(), self.fleet.servers[old].name.clone());
        let new = self.heir(old, wish)?;
        let new_name = self.fleet.servers[new].name.clone();
        let message = format!("the replication group is asked to replace {name} by {new_name} (by {by})");
        self.control.events.record("switchover_started", Some(&name), message);
        let outcome = self.have_elected(old, new, wish.force).await;
        self.phase = Phase::Watching;
        self.recognise();
        self.judge();
        self.publish();
        let elected = outcome.and_then(|held| match self.topology.primary {
            Some(primary) if primary == new => Ok(held),
            _ => Err(format!("the group has not made {new_name} its primary")),
        });
        let ms = began.elapsed().as_millis();
        let (kind, outcome) = match elected {
            Ok(held) => (
                "switchover_done",
                Ok(format!(
                    "{new_name} replaced {name} after {ms} ms; statements were held for {} ms",
                    held.as_millis()
                )),
            ),
            Err(error) => ("switchover_failed", Err(format!("{new_name} did not replace {name}: {error}"))),
        };
        let told = outcome.clone().unwrap_or_else(|error| error);
        self.control.events.record(kind, Some(&name), told);
        outcome
    }

    /// Whom the group is to make its primary.
    fn heir(&self, old: usize, wish: Wish) -> Result<usize, String> {
        let heirs = self.topology.heirs();
        if self.topology.member(old).is_some_and(|member| !member.single_primary) {
            return Err("the replication group is in multi-primary mode; \
                 SELECT group_replication_switch_to_single_primary_mode() on a member ends that"
                .to_owned());
        }
        let Some(to) = wish.to else {
            let willing = heirs.iter().copied().find(|&at| {
                let observed = &self.topology.servers[at];
                observed.priority > 0 && !observed.drained
            });
            return willing.ok_or_else(|| "no other member of the group is online".to_owned());
        };
        let name = &self.fleet.servers[to].name;
        if to == old {
            return Err(format!("{name} is the primary already"));
        }
        if heirs.contains(&to) { Ok(to) } else { Err(format!("{name} is not an online member of the group")) }
    }

    /// Holds statements until the group has elected; for how long.
    async fn have_elected(&mut self, old: usize, new: usize, force: bool) -> Result<Duration, String> {
        let held = Instant::now();
        self.phase = Phase::SwitchingOver;
        self.publish();
        self.drain_transactions(old, force).await.map_err(|error| error.to_string())?;
        let member = self.topology.servers[new].report.as_ref().map(|report| report.identity.clone());
        let lead = Act::Lead {
            member: member.unwrap_or_default(),
            at_most: self.settings.failover.drain_timeout.max(Duration::from_secs(1)),
        };
        let elected = self.act(new, lead).await;
        let until = Instant::now() + self.settings.failover.apply_timeout;
        loop {
            self.look_at(&[new, old]).await;
            let rules = self.topology.may_rule(new) && self.topology.has_applied_its_inheritance(new);
            if rules || elected.is_err() || Instant::now() >= until {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        elected.map(|()| held.elapsed()).map_err(|error| error.to_string())
    }
}

/// What the group would come to if its primary went now.
pub(super) fn preview(topology: &Topology) -> Preview {
    let mut preview = Preview::default();
    let heirs = topology.heirs();
    preview.candidate = heirs.first().map(|&at| topology.servers[at].name.clone());
    let Some(primary) = topology.primary else {
        preview.obstacles.push("no primary is known".to_owned());
        return preview;
    };
    for at in (0..topology.servers.len()).filter(|at| *at != primary && !heirs.contains(at)) {
        let observed = &topology.servers[at];
        let member = topology.member(at);
        let why = match member {
            _ if !observed.is_reached() => "it does not answer",
            Some(member) => member.why_out().unwrap_or("it sees no majority of the group"),
            None => "it is no member of the group",
        };
        preview.passed_over.push((observed.name.clone(), why.to_owned()));
    }
    preview.obstacles.push(
        "the replication group elects its own primary, when it has missed the old one for long enough"
            .to_owned(),
    );
    if heirs.len() < 2 {
        preview.obstacles.push(format!(
            "with {} online beside the primary the group has no majority without it",
            if heirs.is_empty() { "no member" } else { "one member" }
        ));
    }
    if topology.member(primary).is_some_and(|member| !member.single_primary) {
        preview.obstacles.push(
            "the group is in multi-primary mode: dauphin sends all statements to one member".to_owned(),
        );
    }
    preview
}

/// Why dauphin does not promote a member.
pub(super) const ELECTS_ITSELF: &str = "the servers are a replication group, which elects its primary itself";
