//! Statements that dauphin answers itself: EXPLAIN ROUTE, SHOW LAST ROUTE, ROUTER SET.

use dauphin_proto::reply;

use super::{Session, SessionError, client::Packet, freshness::of_hint, route::Role, run::Attempts};
use crate::{
    config::Consistency,
    error::ClientError,
    routing::decide::{Target, not_chosen},
    sql::{OwnStatement, Setting},
};

impl Session {
    pub(super) async fn own(&mut self, own: &OwnStatement, packet: &Packet) -> Result<(), SessionError> {
        match own {
            OwnStatement::ExplainRoute { offset } => {
                self.explain_route(packet.payload().get(1 + offset..).unwrap_or_default()).await
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
        let wanted = self.wanted(&statement);
        let decision = self.decide(&statement, &Attempts::default(), &wanted);
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
        let name = server.as_ref().map_or("(none)".to_owned(), |server| server.name.clone());
        let mut rows = vec![row(&[&name, "yes", role.label(), decision.reason.label()])];
        for (other, why) in not_chosen(&decision, self.demand(&statement, &wanted), &table) {
            if server.as_ref().is_none_or(|server| server.id != other.id) {
                rows.push(row(&[&other.name, "no", self.role_now(&other).label(), &why]));
            }
        }
        self.show(&["server", "chosen", "role", "reason"], &rows).await
    }

    fn known(
        &self,
        server: Option<std::sync::Arc<crate::backend::Server>>,
    ) -> (Option<std::sync::Arc<crate::backend::Server>>, Role) {
        let role = server.as_ref().map_or(Role::Primary, |server| self.role_now(server));
        (server, role)
    }

    /// Where the last statement went, and why.
    async fn last_route(&mut self) -> Result<(), SessionError> {
        let rows = self
            .route
            .last
            .as_ref()
            .map(|(server, role, reason)| row(&[&server.name, role.label(), reason.label()]));
        self.show(&["server", "role", "reason"], &Vec::from_iter(rows)).await
    }

    async fn router_set(&mut self, setting: &Setting) -> Result<(), SessionError> {
        match setting {
            Setting::AccessMode(mode) => self.wishes.access_mode = *mode,
            Setting::WaitForMyWrites(false) => self.wishes.consistency = Some(Consistency::Eventual),
            Setting::WaitForMyWrites(true) => {
                self.wishes.consistency = Some(self.consistency.max(Consistency::Session));
            }
            Setting::Consistency(level) => self.wishes.consistency = level.map(of_hint),
            Setting::MaxReplicaLag(limit) => self.wishes.max_lag = *limit,
            Setting::WaitForMyWritesTimeout(timeout) => self.wishes.wait_timeout = Some(*timeout),
            // SHOW LAST ROUTE says what a trace would.
            Setting::Trace(_) => {}
            Setting::Wrong(what) => return Ok(self.say(ClientError::unknown_setting(what)).await?),
        }
        Ok(self.say_ok().await?)
    }

    async fn show(&mut self, columns: &[&str], rows: &[Vec<Option<String>>]) -> Result<(), SessionError> {
        let mut out = Vec::new();
        reply::put_result_set(&mut out, 1, columns, rows, self.status, self.client.dialect());
        Ok(self.client.send(&out).await?)
    }
}

fn row(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}
