//! Forwarding a response from a server to the client as it comes, in a fixed amount of memory.
//!
//! Rows are written from the buffer they were read into. OK and ERR packets are looked at, since the server's own word
//! on status, state and GTIDs is in them, and rewritten where the client's dialect differs.

use std::{io, sync::Arc, time::Instant};

use dauphin_proto::{
    execute::STATEMENT_ID_AT,
    packet::{self, HEADER, Header},
    reply::{self, status},
    response::{Kind, Part, Prepared, Shape, Tracker},
};

use super::{
    client::Client,
    learn::{Reported, Tracks},
    one_value::{self, Found},
    writes::{SharedWrites, TransactionTokens},
};
use crate::{
    backend::{Exchange, Lease, State, connect::ServerError, exchange::BackendLost},
    topology::{
        Flavour,
        gtid::{Frontier, LastWrite},
    },
};

/// ER_SERVER_SHUTDOWN: the server is going.
pub const SHUTTING_DOWN: u16 = 1053;
/// ER_OPTION_PREVENTS_STATEMENT: "running with the --read-only option".
pub const SERVER_IS_READ_ONLY: u16 = 1290;
/// The options that 1290 names then, in every language. Others have other options' names: `--secure-file-priv`,
/// `--skip-grant-tables`.
const READ_ONLY_OPTIONS: [&[u8]; 2] = [b"--read-only", b"--super-read-only"];

/// What of the session a response can change.
#[derive(Debug)]
pub struct Listener<'a> {
    /// The session's state.
    pub state: &'a mut Arc<State>,
    /// What the client wants to hear.
    pub tracks: &'a mut Tracks,
    /// Whose reports these are.
    pub flavour: Flavour,
    /// Status flags before the response.
    pub status: u16,
    /// What the session has written.
    pub own_writes: &'a mut Frontier,
    /// What all sessions have written.
    pub all_writes: &'a SharedWrites,
    /// The causal tokens of the current transaction.
    pub tokens: &'a TransactionTokens,
}

impl Listener<'_> {
    /// Takes in a write before the client hears of it: whoever learns of it from the client must find it noted.
    fn written(&mut self, write: &LastWrite) {
        let at = Instant::now();
        write.positions().for_each(|position| self.own_writes.note(position, at));
        self.all_writes.note(write, at, self.tokens);
    }
}

/// What a response said.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Status flags at the end.
    pub status: Option<u16>,
    /// Warnings of the last statement.
    pub warnings: u16,
    /// The number of the server's error, if one ended the response.
    pub error: Option<u16>,
    /// The error itself, where the client is still to be told.
    pub untold: Option<ServerError>,
    /// The id that an OK packet named for an AUTO_INCREMENT column; 0 for none.
    pub inserted: u64,
    /// Whether a statement without a result set succeeded.
    pub ok: bool,
    /// How many rows the last OK packet says it has changed.
    pub affected: u64,
    /// What the server's session tracking reported.
    pub reported: Reported,
    /// What COM_STMT_PREPARE_OK said.
    pub prepared: Option<Prepared>,
    /// Rows sent.
    pub rows: u64,
    /// Bytes sent to the client.
    pub bytes: u64,
}

/// How forwarding ended.
#[derive(Debug)]
pub enum Relayed {
    /// The client has the whole response.
    Whole(Lease, Box<Outcome>),
    /// The first packet was an error that was to be withheld: the client has got nothing.
    Withheld(Lease, ServerError),
    /// The first packet was an error that the caller is to tell the client.
    Untold(Lease, ServerError),
}

impl Relayed {
    /// Tells the connection of warnings and errors that stay on it.
    pub fn note_warnings(&mut self) {
        match self {
            Self::Whole(_, outcome) if outcome.warnings == 0 && outcome.error.is_none() => {}
            Self::Whole(lease, _) | Self::Withheld(lease, _) | Self::Untold(lease, _) => {
                lease.connection().warned = true;
            }
        }
    }
}

/// Why forwarding failed.
#[derive(Debug)]
pub enum RelayError {
    /// The server's connection is lost.
    Backend {
        /// How far it had got.
        lost: BackendLost,
        /// Whether the client has got a part of the response.
        delivered: bool,
        /// The number that an ERR packet to the client would have; `None` inside a packet.
        sequence: Option<u8>,
    },
    /// The client's connection is lost.
    Client(io::Error),
}

/// What is special about a response.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// What it looks like.
    pub shape: Shape,
    /// The id that the client is to get for a prepared statement.
    pub statement_id: Option<u32>,
    /// Errors that, as the first packet, are not for the client.
    pub withhold: &'a [u16],
    /// Whether the caller tells the client of all others, where they come first.
    pub tells_errors: bool,
    /// The largest buffer for a response that keeps coming.
    pub result_buffer: usize,
    /// What the one row of the response is to say: see [`one_value`].
    pub value: Option<u64>,
}

/// Forwards one whole response. Not cancel safe: the backend connection is closed.
///
/// # Errors
/// One of the two connections is lost.
pub async fn relay(
    mut exchange: Exchange,
    client: &mut Client,
    listener: Listener<'_>,
    manner: Manner<'_>,
) -> Result<Relayed, RelayError> {
    let dialect = client.dialect();
    let mut relay = Relay {
        tracker: Tracker::numbered_from(client.reply_sequence, manner.shape, !dialect.deprecate_eof)
            .with_added(client.added_packets)
            .from_server(exchange.numbering()),
        listener,
        manner,
        dialect,
        outcome: Box::default(),
        delivered: false,
        rewritten: Vec::new(),
    };
    // The answers to a catch-up may have brought this one along.
    let mut wanting = exchange.unread().is_empty();
    while !relay.tracker.is_ended() {
        if wanting {
            // A client that has gone needs no answer, and its statement no connection.
            tokio::select! {
                biased;
                filled = exchange.fill() => filled.map_err(|lost| relay.lost(lost))?,
                () = client.gone() => {
                    let gone = io::Error::new(io::ErrorKind::UnexpectedEof, "the client has gone while its statement ran");
                    return Err(RelayError::Client(gone));
                }
            }
        }
        wanting = true;
        if !relay.puts_value(&mut exchange) {
            continue;
        }
        match relay.pass_on(&mut exchange, client).await? {
            Passed::On => {}
            Passed::FileWanted => relay.forward_file(&mut exchange, client).await?,
            Passed::Withheld(error) => {
                let lease = exchange.finish().map_err(|lost| relay.lost(lost))?;
                return Ok(Relayed::Withheld(lease, error));
            }
            Passed::Untold(error) => {
                let lease = exchange.finish().map_err(|lost| relay.lost(lost))?;
                return Ok(Relayed::Untold(lease, error));
            }
        }
        exchange.widen(relay.manner.result_buffer);
    }
    relay.outcome.rows = relay.tracker.rows();
    // The client has its whole answer: another packet would be taken for the answer to its next command.
    let lease =
        exchange.finish().map_err(|lost| RelayError::Backend { lost, delivered: true, sequence: None })?;
    Ok(Relayed::Whole(lease, relay.outcome))
}

enum Passed {
    On,
    FileWanted,
    Withheld(ServerError),
    Untold(ServerError),
}

struct Relay<'a> {
    tracker: Tracker,
    listener: Listener<'a>,
    manner: Manner<'a>,
    dialect: reply::Dialect,
    outcome: Box<Outcome>,
    delivered: bool,
    /// What goes to the client in place of bytes from the buffer.
    rewritten: Vec<u8>,
}

impl Relay<'_> {
    fn lost(&self, lost: BackendLost) -> RelayError {
        let sequence = self.tracker.is_between_packets().then(|| self.tracker.next_sequence());
        RelayError::Backend { lost, delivered: self.delivered, sequence }
    }

    /// Says the response's one row with what the session knows, if it is to; `false` while it has not come. Nothing is forwarded
    /// before.
    fn puts_value(&self, exchange: &mut Exchange) -> bool {
        let Some(value) = self.manner.value.filter(|_| !self.delivered) else { return true };
        match one_value::find(exchange.unread(), self.manner.shape, value) {
            Found::NotYet => false,
            Found::Nothing => true,
            Found::Row(range, row) => {
                exchange.replace(range, &row);
                true
            }
        }
    }

    /// Forwards what is in the exchange's buffer, as far as it is complete.
    async fn pass_on(&mut self, exchange: &mut Exchange, client: &mut Client) -> Result<Passed, RelayError> {
        let mut passed = Passed::On;
        // Bytes up to `copied` are in `rewritten`, those up to `at` are to be forwarded as they are.
        let (mut copied, mut at) = (0, 0);
        loop {
            let buffer = exchange.unread();
            let part = match self.tracker.next(&mut buffer[at..]) {
                Ok(part) => part,
                Err(error) => return Err(self.lost(exchange.lost(io::Error::other(error)))),
            };
            match part {
                Part::Bytes(n) => at += n,
                Part::InsertEof(sequence) => {
                    self.rewritten.extend_from_slice(&buffer[copied..at]);
                    copied = at;
                    self.put_eof(sequence);
                }
                Part::Packet { length, kind } => {
                    let packet = &mut buffer[at..at + length];
                    if kind == Kind::Err
                        && !self.delivered
                        && let Some(error) = self.withheld(packet, at == 0)
                    {
                        self.rewritten.clear();
                        exchange.advance(at + length);
                        return Ok(Passed::Withheld(error));
                    }
                    if kind == Kind::Err
                        && at == 0
                        && !self.delivered
                        && self.manner.tells_errors
                        && let Ok(error) = reply::Err::parse(&packet[HEADER..])
                    {
                        let error = error.into();
                        exchange.advance(length);
                        return Ok(Passed::Untold(error));
                    }
                    let before = at;
                    match self.look_into(packet, kind) {
                        Ok(None) => {}
                        Ok(Some(replacement)) => {
                            self.rewritten.extend_from_slice(&buffer[copied..before]);
                            self.rewritten.extend_from_slice(&replacement);
                            copied = at + length;
                        }
                        Err(error) => return Err(self.lost(exchange.lost(io::Error::other(error)))),
                    }
                    at += length;
                    if kind == Kind::LocalInfile {
                        passed = Passed::FileWanted;
                        break;
                    }
                }
                Part::Incomplete | Part::End => break,
            }
        }
        self.write(exchange, client, copied, at).await?;
        Ok(passed)
    }

    /// Writes what was gathered, in one call where it was rewritten anyway.
    async fn write(
        &mut self,
        exchange: &mut Exchange,
        client: &mut Client,
        copied: usize,
        at: usize,
    ) -> Result<(), RelayError> {
        let bytes = self.rewritten.len() + at - copied;
        let sent = if self.rewritten.is_empty() {
            if at == 0 {
                return Ok(());
            }
            client.send(&exchange.unread()[..at]).await
        } else {
            self.rewritten.extend_from_slice(&exchange.unread()[copied..at]);
            let sent = client.send(&self.rewritten).await;
            self.rewritten.clear();
            sent
        };
        sent.map_err(RelayError::Client)?;
        self.outcome.bytes += bytes as u64;
        self.delivered = true;
        exchange.advance(at);
        Ok(())
    }

    fn put_eof(&mut self, sequence: u8) {
        let now = self.outcome.status.unwrap_or(self.listener.status);
        packet::put_with(&mut self.rewritten, sequence, |out| reply::put_eof(out, 0, now));
    }

    /// The error, if it is one that is not for the client: as the first packet, or, where the server goes down under a read,
    /// as long as the client has got nothing.
    fn withheld(&self, packet: &[u8], is_first: bool) -> Option<ServerError> {
        let error = reply::Err::parse(&packet[HEADER..]).ok()?;
        let is_meant = self.manner.withhold.contains(&error.code)
            && (is_first || error.code == SHUTTING_DOWN)
            && (error.code != SERVER_IS_READ_ONLY || names_read_only(error.message));
        is_meant.then(|| error.into())
    }

    /// Takes in what a packet says; answers what the client gets in its place, if that differs.
    fn look_into(
        &mut self,
        packet: &mut [u8],
        kind: Kind,
    ) -> Result<Option<Vec<u8>>, dauphin_proto::ProtocolError> {
        match kind {
            Kind::Ok | Kind::RowsEnd => self.ok(packet, kind),
            Kind::Err => {
                self.outcome.error = Some(reply::Err::parse(&packet[HEADER..])?.code);
                self.outcome.warnings = 1;
                Ok(None)
            }
            Kind::Prepared => {
                let prepared = Prepared::parse(&packet[HEADER..])?;
                self.outcome.warnings = prepared.warnings;
                self.outcome.prepared = Some(prepared);
                if let Some(id) = self.manner.statement_id {
                    let at = HEADER + STATEMENT_ID_AT;
                    packet[at..at + 4].copy_from_slice(&id.to_le_bytes());
                }
                Ok(None)
            }
            Kind::LocalInfile => Ok(None),
        }
    }

    fn ok(&mut self, packet: &[u8], kind: Kind) -> Result<Option<Vec<u8>>, dauphin_proto::ProtocolError> {
        let ok = reply::Ok::parse(&packet[HEADER..])?;
        let outcome = &mut *self.outcome;
        outcome.status = Some(ok.status);
        outcome.warnings = ok.warnings;
        if ok.last_insert_id != 0 {
            outcome.inserted = ok.last_insert_id;
        }
        outcome.ok |= kind == Kind::Ok;
        outcome.affected = ok.affected_rows;
        let mut wrote = false;
        if !ok.state.is_empty() {
            let Listener { state, tracks, flavour, .. } = &mut self.listener;
            outcome.reported.take(ok.state, *flavour, state, tracks)?;
            if let Some(write) = outcome.reported.last_write.take() {
                wrote = true;
                self.listener.written(&write);
            }
        }
        let Listener { tracks, flavour, .. } = &self.listener;
        let as_eof = kind == Kind::RowsEnd && !self.dialect.deprecate_eof;
        if !as_eof && ok.status & status::STATE_CHANGED == 0 {
            return Ok(None);
        }
        let mut heard = Vec::new();
        if self.dialect.session_track {
            tracks.filter(ok.state, &mut heard)?;
        }
        let sequence = packet[HEADER - 1];
        let mut out = Vec::with_capacity(packet.len());
        packet::put_with(&mut out, sequence, |out| {
            if as_eof {
                reply::put_eof(out, ok.warnings, ok.status);
            } else {
                // Of entries that the client has not asked for it does not hear at all.
                // But MySQL says that something changed, and not what, where one transaction ends and the next begins.
                let chained = *flavour == Flavour::MySql && has(ok.status, status::IN_TRANS) && wrote;
                let heard_of =
                    self.dialect.session_track && (ok.state.is_empty() || !heard.is_empty() || chained);
                reply::Ok { state: &heard, ..ok }.put(out, heard_of);
            }
        });
        Ok(Some(out))
    }

    /// Streams the client's file to the server: packets up to an empty one, of which none is kept.
    async fn forward_file(&mut self, exchange: &mut Exchange, client: &mut Client) -> Result<(), RelayError> {
        let mut left = 0;
        loop {
            if left == 0 {
                let header = loop {
                    if let Some(header) = Header::peek(client.input.unread()) {
                        break header;
                    }
                    client.read_more().await.map_err(RelayError::Client)?;
                };
                let sequence = self.tracker.number_for_server(header.sequence);
                let for_server = Header { sequence, ..header }.encode();
                if header.length == 0 {
                    exchange.send_more(&for_server).await.map_err(|lost| self.lost(lost))?;
                    client.input.consume(HEADER);
                    self.tracker.local_file_sent(header.sequence.wrapping_add(1));
                    return Ok(());
                }
                client.input.unread_mut()[..HEADER].copy_from_slice(&for_server);
                left = HEADER + header.length;
            }
            if client.input.is_empty() {
                client.read_more().await.map_err(RelayError::Client)?;
            }
            let n = client.input.unread().len().min(left);
            exchange.send_more(&client.input.unread()[..n]).await.map_err(|lost| self.lost(lost))?;
            client.input.advance(n);
            left -= n;
        }
    }
}

/// Whether the option that prevents a statement is one that makes the server read-only.
fn names_read_only(message: &[u8]) -> bool {
    READ_ONLY_OPTIONS.iter().any(|option| message.windows(option.len()).any(|part| part == *option))
}

/// Whether a flag is set in a server's status.
pub fn has(server_status: u16, flag: u16) -> bool {
    server_status & flag != 0
}
