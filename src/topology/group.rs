//! MySQL's Group Replication: its members agree among themselves on every transaction and on who takes writes. Here is
//! what follows from that for who may be the primary; nobody but the group makes one.
//!
//! Facts: MySQL 8.0, 8.4 and 9 manuals, "Group Replication"; seen on three members of MySQL 9.7, 8.4 and 8.0.

use super::{Topology, gtids::Gtids};

/// A member of a replication group, or a server that is set up to be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMember {
    /// `MEMBER_STATE`: ONLINE, RECOVERING, OFFLINE, ERROR; empty where the account may not see it.
    pub state: String,
    /// Whether the group made it the primary, or one of them.
    pub is_primary: bool,
    /// Whether it sees most of the group.
    pub has_majority: bool,
    /// Whether the group has one primary: `group_replication_single_primary_mode`.
    pub single_primary: bool,
    /// What it has received of the group, as a secondary.
    pub received: Gtids,
    /// `group_replication_member_weight`: the group elects the heaviest.
    pub weight: u64,
}

impl GroupMember {
    /// Whether it takes writes that the group will agree to.
    pub const fn leads(&self) -> bool {
        self.is_primary && self.has_majority
    }

    /// Whether it gets what the group agrees on.
    pub fn follows(&self) -> bool {
        matches!(self.state.as_str(), "ONLINE" | "RECOVERING")
    }

    /// Whether it has all that the group has agreed on, or is about to.
    pub fn is_online(&self) -> bool {
        self.state == "ONLINE"
    }

    /// Its state and role in the server's own words, as in `ONLINE SECONDARY`.
    pub fn label(&self) -> String {
        let role = match (self.is_online(), self.is_primary) {
            (false, _) => "",
            (true, true) => " PRIMARY",
            (true, false) => " SECONDARY",
        };
        format!("{}{role}", if self.state.is_empty() { "UNKNOWN" } else { &self.state })
    }

    /// Why it takes no reads; `None` if it may.
    pub fn why_out(&self) -> Option<&'static str> {
        match self.state.as_str() {
            "ONLINE" => None,
            "RECOVERING" => Some("its replication group brings it up to date (RECOVERING)"),
            "ERROR" => Some("its replication group has lost it (ERROR)"),
            "OFFLINE" => Some("a member of a replication group that does not run there (OFFLINE)"),
            "" => Some("dauphin's account may not read performance_schema"),
            _ => Some("not an online member of its replication group"),
        }
    }
}

impl Topology {
    /// How a server is in its replication group, by its latest report.
    pub fn member(&self, at: usize) -> Option<&GroupMember> {
        self.servers[at].report.as_ref()?.group.as_ref()
    }

    /// Whether the servers are a replication group: then only the group says who is the primary, and a server that takes
    /// writes without it, as one does that was restarted and has not joined again, is none.
    pub fn is_group(&self) -> bool {
        (0..self.servers.len()).any(|at| self.member(at).is_some())
    }

    /// Whether it takes writes, and nobody denies it the right to.
    pub fn may_rule(&self, at: usize) -> bool {
        self.servers[at].is_writable()
            && (!self.is_group() || self.member(at).is_some_and(GroupMember::leads))
    }

    /// Whether it has applied what its predecessor wrote. With `group_replication_consistency = EVENTUAL`, the default
    /// before 9.x, a new primary takes statements earlier than that.
    pub fn has_applied_its_inheritance(&self, at: usize) -> bool {
        let Some(report) = &self.servers[at].report else { return false };
        report.group.as_ref().is_none_or(|group| report.executed.covers(&group.received))
    }

    /// Who may be made the primary of the group, in the order in which the group would elect them: the oldest version, the
    /// greatest weight, the lowest identity.
    pub fn heirs(&self) -> Vec<usize> {
        let is_heir = |at: usize| {
            let observed = &self.servers[at];
            let member = self.member(at);
            observed.is_reached()
                && self.primary != Some(at)
                && member.is_some_and(|member| member.is_online() && member.has_majority)
        };
        let mut heirs: Vec<usize> = (0..self.servers.len()).filter(|&at| is_heir(at)).collect();
        heirs.sort_by_key(|&at| {
            let report = self.servers[at].report.as_ref();
            let weight = self.member(at).map_or(0, |member| member.weight);
            report.map(|report| (report.version.number, u64::MAX - weight, report.identity.clone()))
        });
        heirs
    }
}

/// What tests of other modules build on, too.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::topology::observed::tests::{gtids, report_of, uuid};
    use crate::topology::{observed::Observed, report::Report};
    use tokio::time::Instant;

    /// Member `n` of a group in this state, which is its primary if `leads`.
    pub fn member(n: usize, state: &str, leads: bool) -> Report {
        let group = GroupMember {
            state: state.to_owned(),
            is_primary: leads,
            has_majority: true,
            single_primary: true,
            received: Gtids::default(),
            weight: 50,
        };
        Report { read_only: !leads, group: Some(group), ..report_of(n, "") }
    }

    /// db1 leads the group of db1, db2 and db3.
    pub fn group() -> Topology {
        let server = |n: usize| Observed { name: format!("db{n}"), priority: 100, ..Observed::default() };
        let mut topology = Topology { primary: Some(0), ..Topology::default() };
        topology.servers = (1..=3).map(server).collect();
        for n in 1..=3 {
            topology.note(n - 1, Instant::now(), Ok(member(n, "ONLINE", n == 1)));
        }
        topology
    }

    fn put(topology: &mut Topology, at: usize, change: impl FnOnce(&mut Report)) {
        change(topology.servers[at].report.as_mut().unwrap());
    }

    #[test]
    fn a_member_that_was_restarted_and_has_not_joined_again_may_not_rule_however_writable_it_is() {
        let mut topology = group();
        assert!(topology.may_rule(0) && !topology.may_rule(1));
        let offline = Report { read_only: false, ..member(1, "OFFLINE", false) };
        topology.note(0, Instant::now(), Ok(offline));
        assert!(topology.servers[0].is_writable() && !topology.may_rule(0));
        // Nor without the plugin, as long as the others are a group.
        topology.note(0, Instant::now(), Ok(report_of(1, "")));
        assert!(!topology.may_rule(0));
    }

    #[test]
    fn a_primary_without_a_majority_may_not_rule() {
        let mut topology = group();
        put(&mut topology, 0, |report| report.group.as_mut().unwrap().has_majority = false);
        assert!(!topology.may_rule(0));
    }

    #[test]
    fn a_new_primary_first_applies_what_the_old_one_wrote() {
        let mut topology = group();
        let set = |n: u64| gtids(&format!("{}:1-{n}", uuid(9)));
        put(&mut topology, 1, |report| {
            (report.executed, report.group.as_mut().unwrap().received) = (set(10), set(12));
        });
        assert!(!topology.has_applied_its_inheritance(1));
        put(&mut topology, 1, |report| report.executed = set(12));
        assert!(topology.has_applied_its_inheritance(1));
    }

    #[test]
    fn a_member_may_be_ahead_of_its_primary_but_one_that_has_left_has_gone_its_own_way() {
        let ahead = |state| {
            let mut topology = group();
            let own = gtids(&format!("{}:1", uuid(2)));
            topology.note(1, Instant::now(), Ok(Report { executed: own, ..member(2, state, false) }));
            topology.note(
                0,
                Instant::now() + std::time::Duration::from_secs(1),
                Ok(member(1, "ONLINE", true)),
            );
            topology.servers[1].errant.count()
        };
        assert_eq!((ahead("ONLINE"), ahead("OFFLINE")), (0, 1));
    }

    #[test]
    fn the_heirs_are_in_the_groups_own_order() {
        let mut topology = group();
        assert_eq!(topology.heirs(), [1, 2], "by identity");
        put(&mut topology, 2, |report| report.group.as_mut().unwrap().weight = 60);
        assert_eq!(topology.heirs(), [2, 1], "by weight");
        put(&mut topology, 1, |report| report.version = crate::topology::flavour::Version::parse("9.6.0"));
        assert_eq!(topology.heirs(), [1, 2], "by version");
        put(&mut topology, 1, |report| report.group.as_mut().unwrap().state = "RECOVERING".into());
        assert_eq!(topology.heirs(), [2]);
    }
}
