//! Readers of binary logs: replicas, mysqlbinlog, tools that capture changes. They read the primary's.

use super::{
    Next, Session, SessionError,
    client::Packet,
    registry::Activity,
    route,
    run::{Attempt, Attempts, Failure, Sent},
};
use crate::backend::Exchange;

impl Session {
    /// COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID: from here on bytes pass both ways as they come (a semi-synchronous replica
    /// acknowledges on the same connection), until one side ends it. A server closes the connection after a dump, as this does.
    pub(super) async fn dump_binary_log(&mut self, packet: &mut Packet) -> Result<Next, SessionError> {
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
