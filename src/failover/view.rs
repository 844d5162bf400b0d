//! What operators see of the topology.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Controller, assemble::why_out, cluster::Cluster, group, plan};
use crate::{
    control::{Preview, Role, ServerView, View},
    topology::group::GroupMember,
};

/// For how long a preview is shown, if the primary stays: to plan a failover is most of the work of a round.
const PREVIEW_LASTS: Duration = Duration::from_millis(200);
/// How long it takes to know that a primary is dead, roughly: measured with `scripts/faults`.
const DETECTION: Duration = Duration::from_millis(300);

/// The latest preview, and of whose end.
#[derive(Debug)]
pub(super) struct Previewed {
    made_at: Instant,
    primary: Option<usize>,
    preview: Preview,
}

impl<C: Cluster> Controller<C> {
    pub(super) fn publish_view(&mut self) {
        let servers = (0..self.fleet.servers.len()).map(|at| self.server_view(at)).collect();
        let view = View {
            epoch: self.epoch().0,
            phase: self.phase,
            primary: self.term.as_ref().map(|term| term.server.name.clone()),
            diagnosis: self.diagnosis.label(),
            diagnosis_detail: self.sentence(&self.diagnosis),
            servers,
            preview: self.preview(),
            automatic: self.may_act(),
            heartbeat_age: self.pulse.as_ref().and_then(|(pulse, _)| Some(pulse.written_at()?.elapsed())),
        };
        self.control.view.store(Arc::new(view));
    }

    fn preview(&mut self) -> Preview {
        let (now, primary) = (Instant::now(), self.topology.primary);
        if let Some(latest) = &self.preview
            && latest.primary == primary
            && now - latest.made_at < PREVIEW_LASTS
        {
            return latest.preview.clone();
        }
        let preview = if self.topology.is_group() {
            group::preview(&self.topology)
        } else {
            let mut preview = plan::preview(&self.topology, DETECTION);
            if self.pulse.is_none() {
                preview.obstacles.push(
                    "no heartbeat is written ([monitor] heartbeat is off): a primary whose disk is full is not noticed".to_owned(),
                );
            }
            preview
        };
        self.preview = Some(Previewed { made_at: now, primary, preview: preview.clone() });
        preview
    }

    fn server_view(&self, at: usize) -> ServerView {
        let (server, observed) = (&self.fleet.servers[at], &self.topology.servers[at]);
        let is_primary = self.topology.primary == Some(at);
        let role = if is_primary {
            Role::Primary
        } else if observed.quarantine.is_some() {
            Role::Quarantined
        } else if observed.replication().is_some()
            || self.topology.member(at).is_some_and(GroupMember::follows)
        {
            Role::Replica
        } else {
            Role::Unknown
        };
        let has_lost_its_group = self.topology.is_group() && !self.topology.may_rule(at);
        let out = match (&observed.quarantine, why_out(&self.topology, at)) {
            _ if is_primary && !has_lost_its_group => None,
            (Some(why), Some("quarantined")) => Some(format!("quarantined: {why}")),
            (_, out) => out.map(str::to_owned),
        };
        let report = match (&observed.trouble, &observed.report) {
            (Some(trouble), _) => Some(Err(trouble.problem.clone())),
            (None, report) => report.as_ref().map(|report| Ok(Arc::new(report.clone()))),
        };
        ServerView {
            name: server.name.clone(),
            address: server.address.to_string(),
            role,
            out,
            lag: server.lag(),
            errant: observed.errant.to_string(),
            report,
            drained: observed.drained,
        }
    }
}
