//! COM_STMT_BULK_EXECUTE, MariaDB's: a prepared statement with many rows of parameters, always on the primary. What it
//! shares with COM_STMT_EXECUTE is in `statements`.

use std::{sync::Arc, time::Instant};

use dauphin_proto::{
    bulk::{Bulk, TYPES_AT},
    connect::BULK_OPERATIONS,
    response::Shape,
};

use super::{
    Session, SessionError,
    client::Packet,
    prepared::Place,
    relay::Outcome,
    run::Failure,
    statements::{Executed, set_statement_id},
};
use crate::{
    backend::Lease,
    error::ClientError,
    sql::{Change, Effect, Needs, Statement},
    topology::{Flavour, gtid::LastWrite},
};

/// With how many rows of parameters a statement is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// With one: COM_STMT_EXECUTE.
    One,
    /// With some: COM_STMT_BULK_EXECUTE.
    Many {
        /// A result set says what each row has done.
        unit_results: bool,
    },
}

impl Session {
    /// COM_STMT_BULK_EXECUTE.
    pub(super) async fn bulk_execute(&mut self, packet: &mut Packet) -> Result<(), SessionError> {
        if self.flavour() == Flavour::MySql {
            return Ok(self.say(ClientError::unknown_command()).await?);
        }
        let Ok(bulk) = Bulk::parse(packet.payload(), 0) else {
            return Ok(self.say(ClientError::malformed_packet()).await?);
        };
        if self.client.extended & BULK_OPERATIONS == 0 {
            return Ok(self.say(ClientError::not_prepared()).await?);
        }
        let id = bulk.statement_id;
        let Some(prepared) = self.prepared.get(id) else {
            let error = ClientError::unknown_statement(id, self.stage("mysqld_stmt_execute"));
            return Ok(self.say(error).await?);
        };
        let Ok(bulk) = Bulk::parse(packet.payload(), prepared.parameters) else {
            return Ok(self.say(ClientError::malformed_packet()).await?);
        };
        let rows = Rows::Many { unit_results: bulk.wants_unit_results() };
        let mut executed = Executed::of(prepared, bulk.types, rows);
        let statement = self.resolved(executed.statement.clone()).await;
        // A read's cursor or long data may be on a replica, where this does not go.
        let place = match self.prepared.get(id) {
            Some(prepared) if statement.effect != Effect::Read => std::mem::take(&mut prepared.place),
            _ => Place::Nowhere,
        };
        executed.statement = in_bulk(&statement, &executed);
        let outcome = self.execute_somewhere(packet, id, &executed, place).await;
        self.route.done(executed.statement);
        self.tell(outcome).await
    }

    /// Puts right what a response to a bulk does not say as others do, and tells the client of an error once what it leaves
    /// is known; `None` if the connection is lost.
    pub(super) async fn bulk_done(
        &mut self,
        mut lease: Lease,
        executed: &Executed,
        outcome: &mut Outcome,
    ) -> Result<Option<Lease>, Failure> {
        if outcome.error.is_some() {
            // Before some errors the server has not taken the types.
            if let Some(on_server) = lease.connection().prepared.get(&executed.source) {
                on_server.types = None;
            }
            let asked = self.ask_last_write(lease).await;
            if let Some(error) = outcome.untold.take() {
                self.say(error).await.map_err(Failure::Client)?;
            }
            return Ok(asked);
        }
        if executed.rows == (Rows::Many { unit_results: true }) && executed.columns == 0 {
            // In place of an OK packet there were rows, about one changed row each.
            outcome.ok = true;
            outcome.affected = outcome.rows;
        }
        Ok(Some(lease))
    }

    /// Notes the connection's last write. UPDATE and DELETE in bulk commit row by row: an error packet does not say how far
    /// they have come (seen on 11.8.6), nor does the next OK packet. The question leaves the error to be asked for.
    async fn ask_last_write(&mut self, lease: Lease) -> Option<Lease> {
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, b"SELECT @@last_gtid");
        let mut exchange = lease.send(&bytes).await.ok()?;
        let answer = exchange.own_response(Shape::Query).await.ok()?;
        let written = answer.first_value().and_then(|gtid| LastWrite::parse(Flavour::MariaDb, gtid));
        if let Some(write) = written {
            let at = Instant::now();
            write.positions().for_each(|position| self.own_writes.note(position, at));
            self.context.writes.note(&write, at, &self.tokens);
        }
        exchange.finish().ok()
    }
}

/// What a statement does when it is executed in bulk.
fn in_bulk(statement: &Statement, executed: &Executed) -> Arc<Statement> {
    let mut bulk = statement.clone();
    if bulk.effect == Effect::Read {
        // Servers refuse it: whether they do is the primary's to say.
        bulk.effect = Effect::Write;
    }
    if executed.rows == (Rows::Many { unit_results: true }) || executed.columns > 0 {
        // Where rows are the answer, no OK packet says whether LAST_INSERT_ID() has changed.
        bulk.needs |= Needs::LAST_INSERT_ID;
        bulk.changes.push(Change::LastInsertId);
    }
    Arc::new(bulk)
}

/// Gives the command the server's id for the statement, and the parameters' types where the client told them another
/// connection.
pub(super) fn address(lease: &mut Lease, packet: &mut Packet, executed: &Executed) -> Result<(), Failure> {
    set_statement_id(lease, packet, &executed.source);
    packet.unchanged();
    let Some(on_server) = lease.connection().prepared.get(&executed.source) else {
        return Err(Failure::Broken("a statement that was just prepared is not"));
    };
    let bulk =
        Bulk::parse(packet.payload(), executed.parameters).map_err(|_| ClientError::malformed_packet())?;
    let Some(types) = &executed.types else { return Ok(()) };
    if on_server.types.as_deref() == Some(&**types) {
        return Ok(());
    }
    on_server.types = Some(types.clone());
    if bulk.types.is_none() {
        let mut head = Vec::with_capacity(TYPES_AT + types.len());
        bulk.put_head(&mut head, on_server.id, types);
        packet.replace_head(&head, TYPES_AT);
    }
    Ok(())
}
