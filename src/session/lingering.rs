//! The previous statement's connection, kept for a moment: its warnings, ROW_COUNT(), FOUND_ROWS() and LAST_INSERT_ID()
//! are there and nowhere else.

use std::future::Future;

use dauphin_proto::response::Shape;
use tokio::time::Instant;

use super::{
    Session, SessionError,
    binding::Binding,
    client::Packet,
    run::{Borrowed, role_of},
};
use crate::{backend::Lease, routing::decide::Reason, sql::Needs};

/// A connection that nothing binds, with what the session may still ask it for.
#[derive(Debug)]
pub struct Lingering {
    /// The connection.
    pub lease: Lease,
    /// What can be asked for.
    pub keeps: Needs,
    /// For how long.
    pub kept: Kept,
}

/// For how long a connection is kept for what may be asked of it.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Since when it is given back to whoever waits for one.
    pub wanted_from: Instant,
    /// When it is given back to the pool.
    pub until: Instant,
}

impl Kept {
    /// Completes when the connection is to be given back: its time is up, others wait for one, or its server is to be left.
    pub fn due(self, lease: &Lease) -> impl Future<Output = ()> + use<> {
        let server = lease.server().clone();
        let Self { wanted_from, until } = self;
        async move {
            let wanted = async {
                tokio::time::sleep_until(wanted_from).await;
                let mut pressed = std::pin::pin!(server.pool.pressed());
                // Who begins to wait from here on is heard.
                pressed.as_mut().enable();
                if server.pool.usage().waiting == 0 {
                    pressed.await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = wanted => {}
                () = server.pool.recalled() => {}
            }
        }
    }
}

/// What a statement has left that can be said without its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It sent so many rows: FOUND_ROWS().
    Rows(u64),
    /// It changed so many: ROW_COUNT().
    Changed(u64),
}

impl Default for Left {
    fn default() -> Self {
        Self::Changed(0)
    }
}

/// Where the session's LAST_INSERT_ID() is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertId {
    /// This is the value.
    Known(u64),
    /// On a connection that is bound or lingers.
    On {
        /// Its server's id.
        server: usize,
        /// Its id there.
        connection: u32,
        /// What the insert's OK packet said: nearly always the same, and all that is left when the connection is lost.
        reported: u64,
    },
}

impl Default for InsertId {
    fn default() -> Self {
        Self::Known(0)
    }
}

impl InsertId {
    /// On this connection.
    pub fn on(lease: &Lease, reported: u64) -> Self {
        Self::On { server: lease.server().id.0, connection: lease.id(), reported }
    }

    /// Whether it is on this connection.
    pub fn is_on(self, lease: &Lease) -> bool {
        matches!(self, Self::On { server, connection, .. } if server == lease.server().id.0 && connection == lease.id())
    }

    /// The connection that has it is lost.
    pub fn lost(self) -> Self {
        match self {
            Self::On { reported, .. } => Self::Known(reported),
            known @ Self::Known(_) => known,
        }
    }
}

/// What a connection is to be again after a COM_PING.
enum From {
    Lingering { keeps: Needs, kept: Kept },
    Transaction,
    Pinned,
}

impl Session {
    /// COM_PING: answered here, unless the previous statement's connection is at hand, where it resets ROW_COUNT().
    pub(super) async fn ping(&mut self, packet: &mut Packet) -> Result<(), SessionError> {
        self.pinged = true;
        let (lease, from) = if let Some(Lingering { lease, keeps, kept }) =
            self.lingering.take_if(|lingering| !lingering.lease.is_stale())
        {
            (lease, From::Lingering { keeps, kept })
        } else {
            match std::mem::take(&mut self.binding) {
                Binding::Transaction(lease) if self.last_on_binding => (lease, From::Transaction),
                Binding::Pinned(lease) if self.last_on_binding => (lease, From::Pinned),
                other => {
                    self.binding = other;
                    return Ok(self.say_ok().await?);
                }
            }
        };
        let role = role_of(&lease);
        let bound = !matches!(from, From::Lingering { .. });
        let (reason, last) = (Reason::FollowUp, self.route.last.take());
        let outcome = self
            .on_lease(packet, Borrowed { lease, role, reason, bound, wait: None }, self.manner(Shape::Status))
            .await;
        self.route.last = last;
        match (outcome, from) {
            (Ok((lease, _)), From::Lingering { keeps, kept }) => {
                self.lingering = Some(Lingering { lease, keeps, kept });
            }
            (Ok((lease, _)), From::Transaction) => self.binding = Binding::Transaction(lease),
            (Ok((lease, _)), From::Pinned) => self.binding = Binding::Pinned(lease),
            (Err(failure), _) => return self.tell::<()>(Err(failure)).await,
        }
        Ok(())
    }

    /// Gives the lingering connection back, after asking it for what has no other place.
    pub(super) async fn let_go(&mut self) {
        let Some(Lingering { lease, .. }) = self.lingering.take() else { return };
        if let Some(lease) = self.leave_lingering(lease).await {
            self.give_back(lease);
        }
    }

    /// Asks the connection that has lingered for what has no other place; `None` if it is lost.
    pub(super) async fn leave_lingering(&mut self, lease: Lease) -> Option<Lease> {
        let lease = self.collect_from(lease).await?;
        self.keep_insert_id(lease).await
    }

    /// Takes LAST_INSERT_ID() along from a connection that the session is about to leave; `None` if the connection is
    /// lost, and with it the value.
    pub(super) async fn keep_insert_id(&mut self, lease: Lease) -> Option<Lease> {
        if !self.insert_id.is_on(&lease) {
            return Some(lease);
        }
        self.insert_id = self.insert_id.lost();
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, b"SELECT LAST_INSERT_ID()");
        let mut exchange = lease.send(&bytes).await.ok()?;
        let answer = exchange.own_response(Shape::Query).await.ok()?;
        let value = answer.first_value().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if let Some(value) = value {
            self.insert_id = InsertId::Known(value);
        }
        exchange.finish().ok()
    }
}
