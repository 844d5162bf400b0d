//! A read-only transaction on a replica, which the next statement ends before it runs on the primary.

use dauphin_proto::{reply::status, response::Shape};

use super::{
    Session,
    binding::Binding,
    route::Role,
    run::{Failure, role_of},
};
use crate::{
    backend::exchange::BackendLost,
    error::ClientError,
    sql::{Change, Reason, Statement},
};

impl Session {
    /// Ends the transaction if `statement` is one that servers commit for, also where it is read-only.
    ///
    /// # Errors
    /// The connection with the transaction is lost.
    pub(super) async fn end_read_only(&mut self, statement: &Statement) -> Result<(), Failure> {
        let Binding::Transaction(lease) = &self.binding else { return Ok(()) };
        if role_of(lease) == Role::Primary || !commits(statement) {
            return Ok(());
        }
        // Rare, and not a part of every session's future.
        let ended = Box::pin(self.commit_here()).await;
        ended.map_err(|lost| Failure::Fatal(ClientError::lost(lost.to_string()), None))
    }

    async fn commit_here(&mut self) -> Result<(), BackendLost> {
        let Some(lease) = self.binding.take() else { return Ok(()) };
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, b"COMMIT AND NO CHAIN NO RELEASE");
        let mut exchange = lease.send(&bytes).await?;
        let answer = exchange.own_response(Shape::Query).await?;
        let lease = exchange.finish()?;
        self.status = answer.status & status::OF_SESSION;
        self.pins.transaction_ended();
        self.prepared.binding_ended();
        // One that could not commit is closed, which rolls back.
        if answer.error.is_none() {
            lease.release();
        }
        Ok(())
    }
}

/// Whether servers commit before it. That of temporary tables they do not.
pub(super) fn commits(statement: &Statement) -> bool {
    let is_session_s = |change: &Change| {
        matches!(
            change,
            Change::CreateTemporaryTable(_)
                | Change::DropTables { temporary_only: true, .. }
                | Change::UnlockTables
                | Change::LockInstance
                | Change::UnlockInstance
        )
    };
    let of_servers = [Reason::Definition, Reason::Account, Reason::Maintenance, Reason::Lock, Reason::Flush];
    statement.statements == 1
        && of_servers.contains(&statement.reason)
        && !statement.changes.iter().any(is_session_s)
}
