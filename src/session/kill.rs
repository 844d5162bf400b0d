//! KILL: the ids that clients see are dauphin's own, and lead to the right backend connection.

use super::{Session, SessionError, client::Packet, route};
use crate::error::ClientError;

impl Session {
    /// KILL [QUERY] id, or COM_PROCESS_KILL. An id that is no session's goes to the primary, which has ids of its own.
    pub(super) async fn kill(
        &mut self,
        id: u64,
        query_only: bool,
        packet: &mut Packet,
    ) -> Result<(), SessionError> {
        let Some(target) = self.context.sessions.find(id) else {
            return self.run_known(packet, &route::SERVER).await;
        };
        if target.account().is_none_or(|account| account.user != self.account.user) {
            return Ok(self.say(ClientError::not_owner(id)).await?);
        }
        if let Some(running) = target.running() {
            let server = self.context.fleet.servers[running.server.0].clone();
            let mut bytes = Vec::new();
            dauphin_proto::command::put_query(
                &mut bytes,
                format!("KILL QUERY {}", running.connection).as_bytes(),
            );
            if let Ok(lease) = server.lease(&self.account, self.profile, &self.state).await
                && let Ok(mut exchange) = lease.send(&bytes).await
                && exchange.own_response(dauphin_proto::response::Shape::Query).await.is_ok()
                && let Ok(lease) = exchange.finish()
            {
                lease.release();
            }
        }
        if !query_only {
            target.killed.cancel();
        }
        Ok(self.say_ok().await?)
    }
}
