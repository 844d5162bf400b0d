//! The connections that have open cursors or long data and nothing else of the session's: kept for these.
//!
//! One has as many as the session opens on its server, as long as nothing must be sent in front of them: a wait in vain or
//! a state that the server refuses would cost the others their connection. So a cursor that needs any of it has another one.

use std::sync::Arc;

use super::{
    Session,
    binding::Binding,
    lingering::Lingering,
    route::Role,
    run::{Failure, role_of},
    statements::Executed,
};
use crate::{
    backend::{ConnectionName, Lease, Server, State, prepared::Source},
    error::ClientError,
};

/// All of a session's; empty costs nothing.
#[derive(Debug, Default)]
pub struct CursorConnections(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    name: ConnectionName,
    /// How many statements have a cursor or long data there: never 0.
    users: usize,
    /// `None` while it is lent, and once it is lost.
    lease: Option<Lease>,
}

impl CursorConnections {
    /// Keeps the connection for one statement more.
    pub fn keep(&mut self, lease: Lease) -> ConnectionName {
        let name = lease.name();
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.name == name) {
            kept.users += 1;
            kept.lease = Some(lease);
        } else {
            self.0.push(Kept { name, users: 1, lease: Some(lease) });
        }
        name
    }

    /// Takes the connection out for a statement that has a cursor or long data there, and does not count as having it from
    /// here on; `None` if it is lent or lost.
    fn take(&mut self, name: ConnectionName) -> Option<Lease> {
        let at = self.0.iter().position(|kept| kept.name == name)?;
        let kept = &mut self.0[at];
        kept.users -= 1;
        let lease = kept.lease.take();
        if kept.users == 0 {
            self.0.swap_remove(at);
        }
        lease
    }

    /// Takes out a connection to `server` that suits, for whoever may want to be kept there too.
    fn lend(&mut self, server: &Server, suits: impl Fn(&mut Lease) -> bool) -> Option<Lease> {
        let is_it = |lease: &mut Lease| lease.server().id == server.id && suits(lease);
        self.0.iter_mut().find_map(|kept| kept.lease.take_if(|lease| is_it(lease)))
    }

    /// Takes back a connection that it has lent; any other is its caller's.
    fn take_back(&mut self, lease: Lease) -> Option<Lease> {
        let name = lease.name();
        let Some(kept) = self.0.iter_mut().find(|kept| kept.name == name) else { return Some(lease) };
        kept.lease = Some(lease);
        None
    }

    /// Whether statements have cursors or long data on the connection.
    fn has(&self, name: ConnectionName) -> bool {
        self.0.iter().any(|kept| kept.name == name)
    }

    /// Forgets a connection that the session is bound to by now; answers whether it was one of these.
    fn forget(&mut self, name: ConnectionName) -> bool {
        let before = self.0.len();
        self.0.retain(|kept| kept.name != name);
        self.0.len() < before
    }
}

impl Session {
    /// The session is done with a connection that nothing binds: it goes back to where it came from.
    pub(super) fn give_back(&mut self, lease: Lease) {
        if let Some(lease) = self.cursors.take_back(lease) {
            lease.release();
        }
    }

    /// The session is bound to this connection from here on, and so is what is open there.
    pub(super) fn binds_cursors(&mut self, lease: &Lease) {
        let name = lease.name();
        if self.cursors.forget(name) {
            self.prepared.bind(name);
        }
    }

    /// A connection that is kept already, on which a cursor for a statement from `source` can be opened as it is.
    pub(super) fn lend_kept(&mut self, server: &Server, source: &Source) -> Option<Lease> {
        let state = &self.state;
        let then = self.prepared_under(source);
        if !State::same(&then, state) {
            return None;
        }
        self.cursors.lend(server, |lease| State::same(&lease.connection().state, state) && !lease.is_stale())
    }

    /// The connection with a statement's cursor or long data, of which the statement is not counted as a user from here on.
    ///
    /// # Errors
    /// The connection is lost. On a single server the session would be.
    pub(super) async fn take_kept(&mut self, name: ConnectionName) -> Result<Lease, Failure> {
        if let Some(lease) = self.cursors.take(name) {
            return Ok(lease);
        }
        let lease = match self.lingering.take_if(|lingering| lingering.lease.name() == name) {
            Some(Lingering { lease, .. }) => self.leave_lingering(lease).await,
            None => None,
        };
        let lost = || ClientError::lost("the connection with what was open there".to_owned());
        lease.ok_or_else(|| Failure::Fatal(lost(), None))
    }

    /// The connection with the statement's cursor or long data, if the statement is to be executed there. Executing it closes
    /// the cursor anyway, and by now it may belong into a transaction, or have to see a write that this replica does not have.
    ///
    /// # Errors
    /// As [`Self::take_kept`].
    pub(super) async fn kept_to_execute(
        &mut self,
        name: ConnectionName,
        executed: &Executed,
    ) -> Result<Option<Lease>, Failure> {
        let lease = self.take_kept(name).await?;
        let may_stay = matches!(self.binding, Binding::Free)
            && self.state.autocommit()
            && (role_of(&lease) == Role::Primary
                || lease.server().has_all(&self.wanted(&executed.statement)));
        if executed.long_data || may_stay {
            return Ok(Some(lease));
        }
        self.close_on(lease, &executed.source).await;
        Ok(None)
    }

    /// Closes the statement, with its cursor and long data, on the connection that is kept for it.
    pub(super) async fn close_kept(&mut self, name: ConnectionName, source: &Arc<Source>) {
        // Where it is lost there is nothing to close.
        if let Ok(lease) = self.take_kept(name).await {
            self.close_on(lease, source).await;
        }
    }

    async fn close_on(&mut self, mut lease: Lease, source: &Arc<Source>) {
        lease.connection().prepared.remove(source);
        if !self.cursors.has(lease.name()) {
            return lease.release();
        }
        // It may be kept for long, with nothing sent.
        let mut bytes = Vec::new();
        lease.connection().prepared.put_closes(&mut bytes);
        if let Ok(exchange) = lease.send(&bytes).await
            && let Ok(lease) = exchange.finish()
        {
            self.give_back(lease);
        }
    }
}
