//! Why the other servers were not chosen, for people who ask.

use std::{borrow::Cow, sync::Arc};

use super::{
    decide::{Demand, Reason, Role},
    table::RoutingTable,
};
use crate::backend::Server;

/// What a decision came to.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Who was chosen; `None` if there was nobody.
    pub server: Option<&'a Server>,
    /// As what.
    pub role: Role,
    /// Why.
    pub reason: Reason,
}

/// Why each server that was not chosen is not, by `table` and by what is known of each now.
pub fn not_chosen(
    chosen: Chosen<'_>,
    demand: Demand<'_>,
    table: &RoutingTable,
) -> Vec<(Arc<Server>, Cow<'static, str>)> {
    let primary = table.term().map(|term| &term.server);
    let is_primary = |server: &Server| primary.is_some_and(|primary| primary.id == server.id);
    let replicas = table.replicas.servers().iter().filter(|server| !is_primary(server));
    let primary = primary.map(|primary| (primary.clone(), chosen.why_not_primary()));
    let replicas = replicas.map(|server| (server.clone(), chosen.why_not_replica(server, demand, table)));
    let out = table.out.iter().map(|out| (out.server.clone(), out.cause.into()));
    let all = primary.into_iter().chain(replicas).chain(out);
    all.filter(|(server, _)| chosen.server.is_none_or(|chosen| chosen.id != server.id)).collect()
}

impl Chosen<'_> {
    fn why_not_primary(&self) -> Cow<'static, str> {
        match (self.role, self.server) {
            (Role::Replica, None) => "primary: [routing] when_stale forbids it".into(),
            _ if let Some(why) = self.tied() => why,
            (Role::Replica, _) => "primary: a replica can serve it".into(),
            (Role::Primary, _) => "it was not the primary then".into(),
        }
    }

    fn why_not_replica(
        &self,
        server: &Server,
        demand: Demand<'_>,
        table: &RoutingTable,
    ) -> Cow<'static, str> {
        let for_replicas =
            self.role == Role::Replica || matches!(self.reason, Reason::Stale | Reason::NoReplica);
        match (self.role, self.reason) {
            _ if let Some(why) = self.tied() => why,
            _ if server.is_suspect() => "it does not answer".into(),
            _ if for_replicas && server.weight == 0 => "its weight is 0".into(),
            _ if for_replicas && demand.excludes(server, table) => demand.why_excluded(server),
            (Role::Replica, _) if !server.has_all(demand.wanted) => {
                "not known to have the writes that must be seen".into()
            }
            (Role::Replica, _) => "not its turn".into(),
            // Of the last statement: by now it could.
            (_, Reason::NoReplica) => "it took no reads then".into(),
            (_, Reason::Stale) => {
                "no replica was near enough, or had the writes that must be seen in time".into()
            }
            (_, Reason::ReplicaFailed) => "the replica that had it failed".into(),
            _ => "the statement cannot run on a replica now".into(),
        }
    }

    /// Why nobody else could be chosen, if what it needs is on one connection.
    fn tied(&self) -> Option<Cow<'static, str>> {
        let is_tied = match self.reason {
            Reason::InTransaction | Reason::Pinned(_) | Reason::FollowUp => true,
            // The primary is also where it is looked up by others.
            Reason::LastInsertId => self.role == Role::Replica,
            _ => false,
        };
        let server = self.server.filter(|_| is_tied)?;
        Some(format!("it needs the session's connection to {}", server.name).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        routing::{
            Published,
            decide::{
                Situation, Target, decide,
                tests::{ANY, FREE, at_most, replicas},
            },
        },
        sql::{Reason as Text, Syntax, classify},
    };

    #[tokio::test]
    async fn every_server_that_was_not_chosen_says_why() {
        let table = replicas([Some(2300), Some(20)]);
        let statement = classify(b"SELECT 1", &Syntax::default());
        let check = |demand: Demand<'_>, expected: &[&str]| {
            let decision = decide(&statement, Situation { demand, ..FREE }, &table, &Published::default());
            let (server, role) = match &decision.target {
                Target::Replica(server) => (&**server, Role::Replica),
                _ => (&*table.term().unwrap().server, Role::Primary),
            };
            let chosen = Chosen { server: Some(server), role, reason: decision.reason };
            let why: Vec<_> = not_chosen(chosen, demand, &table)
                .into_iter()
                .map(|(server, why)| format!("{} {why}", &server.name[..3]))
                .collect();
            assert_eq!(why, expected);
        };
        check(at_most(500), &["db1 primary: a replica can serve it", "db2 lag 2300 ms, limit 500 ms"]);
        check(at_most(10), &["db2 lag 2300 ms, limit 10 ms", "db3 lag 20 ms, limit 10 ms"]);
        table.replicas.servers()[0].set_behind(true);
        let db2 = "db2 lag 2300 ms, limit 10000 ms, back below half of it";
        check(ANY, &["db1 primary: a replica can serve it", db2]);
    }

    #[tokio::test]
    async fn what_ran_on_one_connection_says_so_of_all_others() {
        let table = replicas([Some(0), Some(0)]);
        let primary = table.term().unwrap().server.clone();
        let [db2, db3] = table.replicas.servers() else { panic!("two replicas") };
        let check = |server: &Server, role: Role, reason: Reason, expected: [&str; 2]| {
            let why = not_chosen(Chosen { server: Some(server), role, reason }, ANY, &table);
            let why: Vec<_> =
                why.iter().map(|(server, why)| format!("{} {why}", &server.name[..3])).collect();
            assert_eq!(why, expected, "{reason:?}");
        };
        let to_primary = "it needs the session's connection to db1:3306";
        let on_primary = [format!("db2 {to_primary}"), format!("db3 {to_primary}")];
        for reason in [Reason::InTransaction, Reason::Pinned("named_lock"), Reason::FollowUp] {
            check(&primary, Role::Primary, reason, on_primary.each_ref().map(String::as_str));
        }
        let to_db3 = "it needs the session's connection to db3:3306";
        let on_db3 = [format!("db1 {to_db3}"), format!("db2 {to_db3}")];
        check(db3, Role::Replica, Reason::FollowUp, on_db3.each_ref().map(String::as_str));
        let write = Reason::Text(Text::DataChange);
        let cannot = "the statement cannot run on a replica now";
        check(&primary, Role::Primary, write, [&format!("db2 {cannot}"), &format!("db3 {cannot}")]);
        // It ran on a primary that is a replica now.
        check(db2, Role::Primary, write, ["db1 it was not the primary then", &format!("db3 {cannot}")]);
        let then = "it took no reads then";
        check(&primary, Role::Primary, Reason::NoReplica, [&format!("db2 {then}"), &format!("db3 {then}")]);
    }
}
