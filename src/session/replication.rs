//! Readers of binary logs: replicas, mysqlbinlog, tools that capture changes. They read the primary's.

use super::{
    Next, Session, SessionError,
    binding::{Binding, Pins},
    client::Packet,
    registry::Activity,
    route,
    run::{Attempt, Attempts, Failure, Sent},
};
use crate::backend::{Exchange, Lease};

impl Session {
    /// COM_REGISTER_SLAVE: the dump follows on the same connection.
    pub(super) async fn register_replica(&mut self, packet: &mut Packet) -> Result<(), SessionError> {
        if !matches!(self.binding, Binding::Transaction(_)) {
            self.leave_compressed().await;
        }
        self.run_known(packet, &route::BINARY_LOG).await
    }

    /// From here on the session's connections are uncompressed: on a compressed one the log's packets have the numbers of
    /// frames. What the session has set, user variables above all, goes along; what else its own connection has is of no use
    /// to a reader.
    async fn leave_compressed(&mut self) {
        let is_bound = self.pins.has_expired_password();
        if is_bound || !self.context.fleet.servers.iter().any(|server| server.compresses()) {
            return;
        }
        self.profile = self.profile.uncompressed();
        self.let_go().await;
        if !self.binding.lease().is_some_and(Lease::is_compressed) {
            return;
        }
        let Some(lease) = self.binding.take() else { return };
        self.prepared.binding_ended();
        let names = self.pins.user_variables();
        if !names.is_empty() {
            // Closed, whatever comes of it.
            drop(self.carry_user_variables(lease, names).await);
        }
        self.pins = Pins::default();
    }

    /// COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID: from here on bytes pass both ways as they come (a semi-synchronous replica
    /// acknowledges on the same connection), until one side ends it. A server closes the connection after a dump, as this does.
    pub(super) async fn dump_binary_log(&mut self, packet: &mut Packet) -> Result<Next, SessionError> {
        self.leave_compressed().await;
        let outcome = match self.begin_dump(packet).await {
            Ok((exchange, sent)) => {
                self.registered.entry.does(Activity::ReadingBinaryLog);
                let ahead = std::mem::take(&mut self.client.input);
                let ended = exchange.tunnel(&mut self.client.stream, ahead.unread()).await;
                self.registered.entry.ends();
                tracing::info!(
                    session = self.registered.entry.id, server = %sent.lease_server.name, ?ended,
                    "a reader of the binary log has ended"
                );
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        self.tell(outcome).await?;
        Ok(Next::Quit)
    }

    async fn begin_dump(&mut self, packet: &mut Packet) -> Result<(Exchange, Sent), Failure> {
        let mut attempts = Attempts::default();
        loop {
            let Some(borrowed) = self.borrow(&route::BINARY_LOG, &mut attempts).await? else { continue };
            match self.send(borrowed, packet, &route::BINARY_LOG, false).await? {
                Attempt::Done(sent) => return Ok(sent),
                Attempt::Again(again) => attempts.learn(again, &self.context.metrics)?,
            }
        }
    }
}
