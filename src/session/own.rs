//! Statements that dauphin answers itself: EXPLAIN ROUTE, SHOW LAST ROUTE, ROUTER SET.

use dauphin_proto::reply::{self, Definitions};

use super::{
    Session, SessionError, Wishes,
    binding::Binding,
    client::Packet,
    freshness::of_hint,
    route::{self, Last, Role},
    run::Attempts,
};
use crate::{
    config::Consistency,
    error::ClientError,
    routing::{
        RoutingTable,
        decide::{Demand, Target},
        not_chosen::{Chosen, not_chosen},
    },
    sql::{OwnStatement, Setting},
};

/// What EXPLAIN ROUTE and SHOW LAST ROUTE answer with: a row for each server, whoever was chosen first.
const COLUMNS: [&str; 4] = ["server", "chosen", "role", "reason"];

type Row = Vec<Option<String>>;

impl Session {
    pub(super) async fn own(&mut self, own: &OwnStatement, packet: &Packet) -> Result<(), SessionError> {
        match own {
            OwnStatement::ExplainRoute { offset } => {
                self.explain_route(packet.text().get(*offset..).unwrap_or_default()).await
            }
            OwnStatement::LastRoute => self.last_route().await,
            OwnStatement::RouterSet(setting) => self.router_set(setting).await,
        }
    }

    /// Where would it go, and why not elsewhere? Runs nothing.
    async fn explain_route(&mut self, text: &[u8]) -> Result<(), SessionError> {
        let syntax = self.syntax();
        let statement = self.context.classifications.classify(text, &syntax);
        let statement = self.resolved(statement).await;
        let wanted = self.wanted(&statement).into_owned();
        // What would be carried first would not pin it.
        let is_carried = self.is_carried_before(&statement);
        let aside = if is_carried { std::mem::take(&mut self.binding) } else { Binding::Free };
        let decision = self.decide(&statement, &Attempts::default(), &wanted);
        if is_carried {
            self.binding = aside;
        }
        let table = self.context.published.load_full();
        let (server, role) = match &decision.target {
            Target::Replica(server) => (Some(server.clone()), self.role_now(server)),
            Target::Primary => (table.term().map(|term| term.server.clone()), Role::Primary),
            Target::Bound => self.known(self.binding.lease().map(|lease| lease.server().clone())),
            Target::Previous => {
                self.known(self.lingering.as_ref().map(|lingering| lingering.lease.server().clone()))
            }
            Target::Nowhere => (None, Role::Replica),
        };
        let chosen = Chosen { server: server.as_deref(), role, reason: decision.reason };
        let rows = self.route_rows(chosen, self.demand(&statement, &wanted), &table);
        self.show(&COLUMNS, &rows).await
    }

    /// Who was chosen, then the others and why not they.
    fn route_rows(&self, chosen: Chosen<'_>, demand: Demand<'_>, table: &RoutingTable) -> Vec<Row> {
        let name = chosen.server.map_or("(none)", |server| &server.name);
        let mut rows = vec![row(&[name, "yes", chosen.role.label(), chosen.reason.label()])];
        for (other, why) in not_chosen(chosen, demand, table) {
            rows.push(row(&[&other.name, "no", self.role_now(&other).label(), &why]));
        }
        rows
    }

    fn known(
        &self,
        server: Option<std::sync::Arc<crate::backend::Server>>,
    ) -> (Option<std::sync::Arc<crate::backend::Server>>, Role) {
        let role = server.as_ref().map_or(Role::Primary, |server| self.role_now(server));
        (server, role)
    }

    /// Where the last statement went, and why; and why one like it would go to none of the others now.
    async fn last_route(&mut self) -> Result<(), SessionError> {
        let rows = self.route.last.as_ref().map(|last| {
            let Last { server, role, reason, statement } = last;
            let statement = statement.as_ref().unwrap_or(&route::SERVER);
            let wanted = self.wanted(statement);
            let chosen = Chosen { server: Some(server), role: *role, reason: *reason };
            self.route_rows(chosen, self.demand(statement, &wanted), &self.context.published.load())
        });
        self.show(&COLUMNS, &rows.unwrap_or_default()).await
    }

    async fn router_set(&mut self, setting: &Setting) -> Result<(), SessionError> {
        let wishes = self.wishes_aside.as_deref_mut().unwrap_or(&mut self.wishes);
        match wishes.set(setting, self.consistency) {
            Ok(()) => Ok(self.say_ok().await?),
            Err(what) => Ok(self.say(ClientError::unknown_setting(what)).await?),
        }
    }

    async fn show(&mut self, columns: &[&str], rows: &[Row]) -> Result<(), SessionError> {
        let mut out = Vec::new();
        let mut dialect = self.client.dialect();
        if dialect.definitions == Definitions::Full && self.omits_definitions() {
            dialect.definitions = Definitions::None;
        }
        reply::put_result_set(&mut out, 1, columns, rows, self.status, dialect);
        Ok(self.client.send(&out).await?)
    }
}

impl Wishes {
    /// Takes one more; `promised` is what the config promises the user's reads.
    ///
    /// # Errors
    /// What of the setting is not known.
    pub(super) fn set<'s>(&mut self, setting: &'s Setting, promised: Consistency) -> Result<(), &'s str> {
        match setting {
            Setting::AccessMode(mode) => self.access_mode = *mode,
            Setting::WaitForMyWrites(false) => self.consistency = Some(Consistency::Eventual),
            Setting::WaitForMyWrites(true) => self.consistency = Some(promised.max(Consistency::Session)),
            Setting::Consistency(level) => self.consistency = level.map(of_hint),
            Setting::MaxReplicaLag(limit) => self.max_lag = *limit,
            Setting::WaitForMyWritesTimeout(timeout) => self.wait_timeout = Some(*timeout),
            // SHOW LAST ROUTE says what a trace would.
            Setting::Trace(_) => {}
            Setting::Wrong(what) => return Err(what),
        }
        Ok(())
    }
}

fn row(values: &[&str]) -> Row {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}
