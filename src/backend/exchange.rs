//! Lending connections: a [`Lease`] has nothing in flight, an [`Exchange`] has a response that has not ended.

use std::{io, ops::Range, sync::Arc};

use dauphin_proto::{
    command::Queries,
    field::Reader,
    packet::HEADER,
    reply,
    response::{CONTROL_LIMIT, ColumnCount, Kind, Numbering, Part, Shape, Tracker},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};

use super::{
    connect,
    connection::Connection,
    pool::Slot,
    server::{Server, ServerId},
};
use crate::{
    fault::Loss,
    net::{Buffer, Stream},
    topology::Flavour,
};

/// How many bytes of a binary log are read at a time.
const TUNNEL: usize = 64 << 10;

/// A borrowed connection with nothing in flight. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lease(pub(super) Held);

/// A borrowed connection whose response has not ended. Dropping it closes the connection.
#[derive(Debug)]
pub struct Exchange {
    held: Held,
    /// Whether any byte of the response has come.
    begun: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Box<Connection>,
    pub(super) slot: Slot,
}

/// Tells a connection from all others: a server that was restarted gives the same ids once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionName {
    server: ServerId,
    id: u32,
    opened: Instant,
}

/// How far a command had got when its connection was lost.
#[derive(Debug, thiserror::Error)]
pub enum BackendLost {
    /// The server cannot have seen the whole command.
    #[error("before the command was sent: {0}")]
    BeforeSend(io::Error),
    /// The command was sent and nothing came back: it may have run.
    #[error("after the command was sent, before any answer: {0}")]
    OutcomeUnknown(io::Error),
    /// The answer had begun.
    #[error("in the middle of the answer: {0}")]
    MidResponse(io::Error),
}

impl BackendLost {
    /// The word for it in counters.
    pub fn cause(&self) -> Loss {
        let (Self::BeforeSend(error) | Self::OutcomeUnknown(error) | Self::MidResponse(error)) = self;
        Loss::of(error)
    }
}

impl Lease {
    /// The server at the other end.
    pub fn server(&self) -> &Arc<Server> {
        &self.0.slot.server
    }

    /// What is known of the connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.0.connection
    }

    /// The connection's id on its server.
    pub fn id(&self) -> u32 {
        self.0.connection.id
    }

    /// Tells the connection from all others.
    pub fn name(&self) -> ConnectionName {
        let Held { connection, slot } = &self.0;
        ConnectionName { server: slot.server.id, id: connection.id, opened: connection.opened }
    }

    /// What the connection's queries look like.
    pub fn queries(&self) -> Queries {
        self.0.connection.queries()
    }

    /// Whether it was lent as the primary's.
    pub fn is_for_writes(&self) -> bool {
        self.0.connection.writing.is_some()
    }

    /// Says as what it is lent.
    pub fn lent_for_writes(&mut self, for_writes: bool) {
        let Held { connection, slot } = &mut self.0;
        match (for_writes, &connection.writing) {
            (true, Some(_)) => {}
            (true, None) => connection.writing = Some(slot.server.begin_writing()),
            (false, _) => connection.writing = None,
        }
    }

    /// Gives the connection back to its pool for the next session.
    pub fn release(self) {
        let Held { connection, slot } = self.0;
        slot.put_back(connection);
    }

    /// Whether all but changing the account's password is refused on it, as far as is known.
    pub fn is_expired(&self) -> bool {
        self.0.connection.expired.is_some()
    }

    /// Sets the connection up after all, if the password has been changed on it. Not cancel safe: the connection is closed.
    ///
    /// # Errors
    /// The connection is of no further use; nothing of the client's was sent.
    pub async fn set_up(self, flavour: Flavour) -> Result<Self, BackendLost> {
        let Held { connection, slot } = self.0;
        let set_up = connect::set_up(*connection, &slot.server, flavour).await;
        let connection = set_up.map_err(|error| BackendLost::BeforeSend(io::Error::other(error)))?;
        Ok(Self(Held { connection: Box::new(connection), slot }))
    }

    /// Whether its connection is compressed.
    pub fn is_compressed(&self) -> bool {
        self.0.connection.stream.is_compressed()
    }

    /// Sends `bytes`, one or more whole commands, of which the last may go on in [`Exchange::send_more`]. Not cancel safe: the connection is closed.
    ///
    /// # Errors
    /// [`BackendLost::BeforeSend`]: the write failed, so the last command did not get there whole.
    pub async fn send(mut self, bytes: &[u8]) -> Result<Exchange, BackendLost> {
        self.0.connection.stream.send_commands(bytes).await.map_err(BackendLost::BeforeSend)?;
        Ok(Exchange { held: self.0, begun: false })
    }

    /// Whether the server has gone or has something to say that nobody asked for.
    pub fn is_stale(&mut self) -> bool {
        self.0.connection.is_stale()
    }
}

impl Exchange {
    /// The server at the other end.
    pub fn server(&self) -> &Arc<Server> {
        &self.held.slot.server
    }

    /// The connection's id on its server.
    pub fn id(&self) -> u32 {
        self.held.connection.id
    }

    /// What is known of the connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.held.connection
    }

    /// How the server numbers what it answers.
    pub fn numbering(&self) -> Numbering {
        numbering(&self.held.connection.stream)
    }

    /// Bytes of the response that have come and were not consumed.
    pub fn unread(&mut self) -> &mut [u8] {
        self.held.connection.input.unread_mut()
    }

    /// Drops the first `n` of them.
    pub fn advance(&mut self, n: usize) {
        self.held.connection.input.advance(n);
    }

    /// Puts other bytes in the place of some of them.
    pub fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.held.connection.input.replace(range, with);
    }

    /// Reads once. Cancel safe, but a dropped exchange closes its connection.
    ///
    /// # Errors
    /// The connection is lost or ended.
    pub async fn fill(&mut self) -> Result<(), BackendLost> {
        match self.held.connection.fill(CONTROL_LIMIT + HEADER).await {
            Ok(0) => {
                Err(self
                    .lost(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")))
            }
            Ok(_) => {
                self.begun = true;
                Ok(())
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Lets the buffer grow, for a response that fills it as fast as the client takes it.
    pub fn widen(&mut self, size: usize) {
        let input = &mut self.held.connection.input;
        if input.is_full() {
            input.widen(size);
        }
    }

    /// Sends more of a command: a local file's contents, or the rest of a long statement.
    ///
    /// # Errors
    /// The connection is lost; whether the server acted is not known.
    pub async fn send_more(&mut self, bytes: &[u8]) -> Result<(), BackendLost> {
        self.held.connection.stream.send(bytes).await.map_err(BackendLost::OutcomeUnknown)
    }

    /// From here on bytes pass between the server and a client as they come, those read `ahead` from the client first, until
    /// either has ended its connection. What the server has sent by then has gone to the client. Nobody who waits for
    /// writes to end waits for it.
    ///
    /// # Errors
    /// One of the connections is lost.
    pub async fn tunnel(mut self, client: &mut Stream, ahead: &[u8]) -> io::Result<Ended> {
        let Connection { stream, input, writing, .. } = &mut *self.held.connection;
        *writing = None;
        client.send(input.unread()).await?;
        stream.send(ahead).await?;
        let (from_server, to_server) = tokio::io::split(stream);
        let (from_client, to_client) = tokio::io::split(client);
        tokio::select! {
            ended = forward(from_server, to_client) => ended.map(|()| Ended::ByServer),
            ended = forward(from_client, to_server) => ended.map(|()| Ended::ByClient),
        }
    }

    /// The lease again, once the response has ended.
    ///
    /// # Errors
    /// The server has sent more than the response: the connection is out of step and closed.
    pub fn finish(mut self) -> Result<Lease, BackendLost> {
        if !self.held.connection.input.is_empty() {
            return Err(
                self.lost(io::Error::new(io::ErrorKind::InvalidData, "bytes beyond the end of a response"))
            );
        }
        self.held.connection.input.consume(0);
        Ok(Lease(self.held))
    }

    /// The loss of this connection, as far as the command had got.
    pub fn lost(&self, error: io::Error) -> BackendLost {
        if self.begun { BackendLost::MidResponse(error) } else { BackendLost::OutcomeUnknown(error) }
    }

    /// Reads the response to one of dauphin's own commands whole, and looks into it.
    ///
    /// # Errors
    /// The connection is lost, or the response is larger than [`OWN_RESPONSE_LIMIT`].
    pub async fn own_response(&mut self, shape: Shape) -> Result<Own, BackendLost> {
        let Connection { stream, input, .. } = &mut *self.held.connection;
        let own = read_own(stream, input, shape, OWN_RESPONSE_LIMIT).await;
        let own = own.map_err(|error| self.lost(error))?;
        self.begun = false;
        Ok(own)
    }

    /// Reads a response that nobody wants; then the exchange can be [finished](Self::finish). Not cancel safe: of no further
    /// use then but to be dropped.
    ///
    /// # Errors
    /// The connection is lost, or is of no further use: the response is larger than [`UNWANTED_LIMIT`], or has opened a
    /// cursor.
    pub async fn discard(&mut self, shape: Shape) -> Result<(), BackendLost> {
        let Connection { stream, input, .. } = &mut *self.held.connection;
        let unwanted = read_own(stream, input, shape, UNWANTED_LIMIT).await;
        let unwanted = unwanted.map_err(|error| self.lost(error))?;
        if unwanted.status & reply::status::CURSOR_EXISTS != 0 {
            return Err(self.lost(io::Error::other("a cursor is open")));
        }
        Ok(())
    }
}

/// Who has ended a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server.
    ByServer,
    /// The client.
    ByClient,
}

/// Hands on what comes until it ends. None of it is held back for more: TLS and compression would do that.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut chunk = vec![0; TUNNEL];
    loop {
        let n = match from.read(&mut chunk).await {
            Ok(n) => n,
            // Servers and their tools end a connection without a word of TLS's.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        if n == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..n]).await?;
        to.flush().await?;
    }
}

fn numbering(stream: &Stream) -> Numbering {
    if stream.is_compressed() { Numbering::ByFrames } else { Numbering::OneByOne }
}

/// Reads one response whole, of `at_most` so many bytes.
pub(super) async fn read_own(
    stream: &mut Stream,
    input: &mut Buffer,
    shape: Shape,
    at_most: usize,
) -> io::Result<Own> {
    let mut tracker = Tracker::new(shape, false).from_server(numbering(stream));
    let mut taken = Vec::new();
    let mut outcome = Own::default();
    loop {
        let length = match tracker.next(input.unread_mut()).map_err(io::Error::other)? {
            Part::End => break,
            Part::InsertEof(_) => continue,
            Part::Incomplete => {
                if input.fill(stream, CONTROL_LIMIT + HEADER).await? == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    ));
                }
                continue;
            }
            Part::Bytes(n) => {
                taken.extend_from_slice(&input.unread()[..n]);
                n
            }
            Part::Packet { length, kind } => {
                outcome.see(kind, &input.unread()[HEADER..length]);
                length
            }
        };
        input.advance(length);
        if taken.len() > at_most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an unexpectedly large answer"));
        }
    }
    result_set(&taken, &mut outcome);
    Ok(outcome)
}

/// The largest answer that dauphin takes to a question of its own, in bytes.
pub const OWN_RESPONSE_LIMIT: usize = 16 << 20;

/// The largest answer that dauphin reads to its end although nobody wants it, in bytes.
pub const UNWANTED_LIMIT: usize = 64 << 10;

/// The values of one row; `None` is NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// What a column's definition says of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnType {
    /// MySQL manual, "Column Definition": int<1> type.
    pub code: u8,
    /// int<4> column_length, in bytes.
    pub length: u32,
    /// Whether `UNSIGNED_FLAG` is set.
    pub is_unsigned: bool,
}

/// The answer to one of dauphin's own commands.
#[derive(Debug, Default)]
pub struct Own {
    /// The server's error, if it is one.
    pub error: Option<super::connect::ServerError>,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Their types.
    pub types: Vec<ColumnType>,
    /// The rows of a text result set.
    pub rows: Vec<Row>,
    /// The payload of COM_STMT_PREPARE_OK.
    pub prepared: Option<dauphin_proto::response::Prepared>,
    /// Status flags at the end.
    pub status: u16,
}

impl Own {
    fn see(&mut self, kind: Kind, payload: &[u8]) {
        match kind {
            Kind::Err => self.error = reply::Err::parse(payload).ok().map(Into::into),
            Kind::Prepared => self.prepared = dauphin_proto::response::Prepared::parse(payload).ok(),
            Kind::Ok | Kind::RowsEnd => {
                self.status = reply::Ok::parse(payload).map(|ok| ok.status).unwrap_or_default()
            }
            Kind::LocalInfile => {}
        }
    }

    /// The value in the first row's column `name`, as text; empty for NULL.
    pub fn value(&self, name: &str) -> Option<String> {
        let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        let value = self.rows.first()?.get(at)?.as_deref().unwrap_or_default();
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of the first row.
    pub fn first_value(&self) -> Option<&[u8]> {
        self.rows.first()?.first()?.as_deref()
    }
}

/// The columns and the rows in the packets of one text result set.
fn result_set(mut packets: &[u8], own: &mut Own) {
    let mut payloads = std::iter::from_fn(|| {
        let packet = dauphin_proto::packet::whole(packets)?;
        packets = &packets[packet.len()..];
        Some(&packet[HEADER..])
    });
    let count = payloads.next().and_then(|payload| ColumnCount::parse(payload).ok());
    let defined = count.filter(|count| count.defined).map_or(0, |count| count.columns);
    let definitions = payloads.by_ref().take(defined as usize);
    (own.columns, own.types) = definitions.map(column).unzip();
    own.rows = payloads.map(values).collect();
}

/// A column definition's name, which is its fifth field, after catalog, schema, table and original table; and its type.
fn column(definition: &[u8]) -> (String, ColumnType) {
    const UNSIGNED_FLAG: u16 = 32;
    let mut reader = Reader::new(definition, "a column definition");
    let name = (0..5).try_fold(&[][..], |_, _| reader.lenenc_bytes()).unwrap_or_default();
    let mut kind = || {
        reader.lenenc_bytes()?; // org_name
        reader.lenenc()?; // length of fixed length fields
        reader.u16()?; // character_set
        let (length, code, flags) = (reader.u32()?, reader.u8()?, reader.u16()?);
        Ok::<_, dauphin_proto::ProtocolError>(ColumnType {
            code,
            length,
            is_unsigned: flags & UNSIGNED_FLAG != 0,
        })
    };
    let kind = kind().unwrap_or_default();
    (String::from_utf8_lossy(name).into_owned(), kind)
}

fn values(row: &[u8]) -> Row {
    let mut reader = Reader::new(row, "a row");
    let mut values = Vec::new();
    while let Some(&first) = reader.rest().first() {
        if first == 0xfb {
            let _ = reader.u8();
            values.push(None);
        } else {
            let Ok(value) = reader.lenenc_bytes() else { break };
            values.push(Some(value.to_vec()));
        }
    }
    values
}
