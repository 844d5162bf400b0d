//! The client's side of a session: whole commands in, packets out.

use std::{io, time::Duration};

use dauphin_proto::{
    CapabilityFlags, ProtocolError,
    connect::EXTENDED_METADATA,
    packet::{self, HEADER, Header, MAX_PAYLOAD},
    reframe::Reframer,
    reply::{self, Definitions, Dialect, status},
};

use ipnet::IpNet;
use tokio::io::AsyncReadExt;

use crate::{
    error::Answer,
    fault::ClientFault,
    net::{Buffer, Stream, compress::Method, proxy_protocol, within},
};

/// A logged-in client, or one that is about to be.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub stream: Stream,
    pub(super) input: Buffer,
    /// What the client asked for at its login.
    pub capabilities: CapabilityFlags,
    /// What it asked for of MariaDB's extended capabilities.
    pub extended: u32,
    /// How everything after the login is compressed, if at all.
    pub compression: Option<Method>,
    /// Where the client comes from: an IP address or `localhost`.
    pub host: String,
    /// The largest command that is accepted, in bytes.
    pub max_command: usize,
    /// How long the client may send nothing more of what it has begun, or take nothing of what it is sent.
    pub patience: Duration,
    /// The number of the first packet that answers the current command: how many packets the command has had.
    pub reply_sequence: u8,
    /// How many packets more of the current command its server was sent.
    pub added_packets: u8,
}

/// Commands longer than this are not kept whole: they go to their server as they come.
pub const KEPT_WHOLE: usize = 1 << 20;

/// A client's patience until its session says otherwise: a server's `net_write_timeout`, as nobody has changed it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command's first packet, with the buffer that it lies in.
#[derive(Debug)]
pub struct Packet {
    buffer: Buffer,
    /// Bytes of the packet that are in the buffer, header included.
    length: usize,
    /// Bytes of this packet still to come from the client.
    missing: usize,
    /// Whether more packets of the same command follow this one.
    continued: bool,
    /// Bytes of the command that its packets have announced.
    announced: usize,
    /// Where in the payload of a COM_QUERY its text begins.
    pub(super) text_at: usize,
    /// A long command that is changed on its way.
    changed: Option<Changed>,
}

/// What the server gets in place of a packet's bytes, and how the rest of the command goes on.
#[derive(Debug)]
struct Changed {
    bytes: Vec<u8>,
    reframer: Reframer,
}

impl Packet {
    /// What is there of the payload; all of it unless the packet [is partial](Self::is_partial).
    pub fn payload(&self) -> &[u8] {
        &self.buffer.unread()[HEADER..self.length]
    }

    /// A COM_QUERY's text, as far as it is there.
    pub fn text(&self) -> &[u8] {
        self.payload().get(self.text_at..).unwrap_or_default()
    }

    /// The packet's bytes, header included.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.unread()[..self.length]
    }

    /// What the server gets: the packet's bytes, unless they are changed.
    pub fn to_send(&self) -> &[u8] {
        self.changed.as_ref().map_or(self.bytes(), |changed| &changed.bytes)
    }

    /// Gives the server `head` in place of the first `replaced` bytes of the payload. What is to be streamed is framed
    /// anew on its way.
    pub fn replace_head(&mut self, head: &[u8], replaced: usize) {
        let first = self.length - HEADER + self.missing;
        let mut reframer = Reframer::new(first - replaced + head.len(), !self.continued);
        let mut bytes = Vec::with_capacity(self.length + head.len());
        reframer.push(head, &mut bytes);
        reframer.push(&self.payload()[replaced..], &mut bytes);
        self.changed = Some(Changed { bytes, reframer });
    }

    /// The server gets the command as it came.
    pub fn unchanged(&mut self) {
        self.changed = None;
    }

    /// The same, to change the payload in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.unread_mut()[..self.length]
    }

    /// Whether the rest of the command is still to come.
    pub fn is_partial(&self) -> bool {
        self.missing > 0 || self.continued
    }
}

impl Client {
    /// A client that has not said anything yet.
    pub fn new(stream: Stream, max_command: usize) -> Self {
        let host =
            stream.peer().map_or_else(|| "localhost".to_owned(), |peer| peer.ip().to_canonical().to_string());
        Self {
            stream,
            input: Buffer::default(),
            capabilities: CapabilityFlags::empty(),
            extended: 0,
            compression: None,
            host,
            max_command,
            patience: PATIENCE,
            reply_sequence: 1,
            added_packets: 0,
        }
    }

    /// How the client wants its results.
    pub fn dialect(&self) -> Dialect {
        Dialect {
            deprecate_eof: self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF),
            session_track: self.capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK),
            extended_metadata: self.extended & EXTENDED_METADATA != 0,
            definitions: if self.capabilities.contains(CapabilityFlags::CLIENT_OPTIONAL_RESULTSET_METADATA) {
                Definitions::Full
            } else {
                Definitions::Always
            },
        }
    }

    /// From here on all is compressed, both ways, if the client has asked for it.
    pub(super) fn compress(&mut self) {
        let Some(method) = self.compression else { return };
        let plain = std::mem::replace(&mut self.stream, Stream::Pipe(tokio::io::duplex(1).0));
        let read_already = std::mem::take(&mut self.input);
        self.stream = plain.compressed(read_already, method);
    }

    /// The next command, or `None` if the client has gone. Cancel safe: what has come stays.
    ///
    /// # Errors
    /// The connection broke, or the packet's number is not 0 ([`io::ErrorKind::InvalidData`]), or a [`ClientFault`].
    pub async fn command(&mut self) -> io::Result<Option<Packet>> {
        loop {
            if let Some(header) = Header::peek(self.input.unread()) {
                if header.sequence != 0 {
                    let error = ProtocolError::OutOfOrder { got: header.sequence, expected: 0 };
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                if header.length > self.max_command {
                    return Err(ClientFault::TooLarge.into());
                }
                let whole = HEADER + header.length;
                let wanted = whole.min(HEADER + KEPT_WHOLE);
                if self.input.unread().len() >= wanted {
                    let length = self.input.unread().len().min(whole);
                    self.reply_sequence = 1;
                    self.added_packets = 0;
                    return Ok(Some(Packet {
                        buffer: std::mem::take(&mut self.input),
                        length,
                        missing: whole - length,
                        continued: header.length == MAX_PAYLOAD,
                        announced: header.length,
                        text_at: 1,
                        changed: None,
                    }));
                }
            }
            let has_begun = !self.input.is_empty();
            let filled = self.input.fill(&mut self.stream, HEADER + KEPT_WHOLE);
            let filled = if has_begun {
                // Boxed, as few commands come in pieces and every idle session is as large as this future.
                Box::pin(within(self.patience, filled)).await.map_err(stalled)
            } else {
                filled.await
            };
            if filled? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes back what came behind a command, once the command is done with.
    pub fn done(&mut self, packet: Packet) {
        let Packet { mut buffer, length, .. } = packet;
        buffer.consume(length);
        if !self.input.is_empty() {
            // Read behind the command's back, by `gone`.
            buffer = Buffer::from_bytes([buffer.unread(), self.input.unread()].concat());
        }
        self.input = buffer;
    }

    /// Completes when the client has closed its connection. Cancel safe: the next command, sent ahead, is kept.
    pub async fn gone(&mut self) {
        // A client that sends ahead is not watched any further.
        while self.input.is_empty() {
            if !matches!(self.input.fill(&mut self.stream, HEADER + KEPT_WHOLE).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// More bytes of a partial command, at most as many as belong to it; `None` when it has ended.
    ///
    /// # Errors
    /// The connection broke or ended inside the command, or a [`ClientFault`].
    pub async fn more<'p>(&mut self, packet: &'p mut Packet) -> io::Result<Option<&'p [u8]>> {
        if packet.length > 0 {
            packet.buffer.advance(packet.length);
            packet.length = 0;
        }
        if packet.missing == 0 {
            if !packet.continued {
                return Ok(None);
            }
            while Header::peek(packet.buffer.unread()).is_none() {
                fill(&mut packet.buffer, &mut self.stream, self.patience).await?;
            }
            let header = Header::peek(packet.buffer.unread()).expect("the header was waited for");
            packet.continued = header.length == MAX_PAYLOAD;
            packet.missing = HEADER + header.length;
            packet.announced += header.length;
            self.reply_sequence = header.sequence.wrapping_add(1);
            if packet.announced > self.max_command {
                return Err(ClientFault::TooLarge.into());
            }
        }
        if packet.buffer.is_empty() {
            fill(&mut packet.buffer, &mut self.stream, self.patience).await?;
        }
        packet.length = packet.buffer.unread().len().min(packet.missing);
        packet.missing -= packet.length;
        Ok(Some(&packet.buffer.unread()[..packet.length]))
    }

    /// Like [`more`](Self::more), as the server is to get it.
    ///
    /// # Errors
    /// The connection broke or ended inside the command.
    pub async fn more_to_send<'p>(
        &mut self,
        packet: &'p mut Packet,
        changed: &'p mut Vec<u8>,
    ) -> io::Result<Option<&'p [u8]>> {
        let Some(mut change) = packet.changed.take() else { return self.more(packet).await };
        changed.clear();
        let begins_packet = packet.missing == 0;
        let Some(mut bytes) = self.more(packet).await? else { return Ok(None) };
        if begins_packet && let Some(header) = Header::peek(bytes) {
            change.reframer.announce(header.length, header.length < MAX_PAYLOAD);
            bytes = &bytes[HEADER..];
        }
        change.reframer.push(bytes, changed);
        self.added_packets = change.reframer.packets().wrapping_sub(self.reply_sequence);
        packet.changed = Some(change);
        Ok(Some(changed))
    }

    /// Reads once into the buffer.
    ///
    /// # Errors
    /// The connection broke or ended, or nothing came in time.
    pub(super) async fn read_more(&mut self) -> io::Result<()> {
        fill(&mut self.input, &mut self.stream, self.patience).await
    }

    /// A client whose connection is of no use any more.
    pub(super) fn closed(max_command: usize) -> Self {
        Self::new(Stream::Pipe(tokio::io::duplex(1).0), max_command)
    }

    /// The first packet of all, and not a byte more: after a request for TLS the next bytes are TLS's. A load balancer of
    /// these networks may say in front of it where the client comes from.
    ///
    /// # Errors
    /// The connection broke or ended, or the packet is larger than `limit` bytes.
    pub async fn first_packet(&mut self, limit: usize, balancers: &[IpNet]) -> io::Result<(Vec<u8>, u8)> {
        let mut head = [0; HEADER];
        self.stream.read_exact(&mut head).await?;
        if proxy_protocol::begins_header(head) {
            if !proxy_protocol::is_trusted(balancers, self.stream.peer()) {
                let what =
                    "a PROXY header from an address that [listen] proxy_protocol_networks does not list";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if let Some(address) = proxy_protocol::read_header(&mut self.stream, head).await? {
                self.host = address.to_canonical().to_string();
            }
            self.stream.read_exact(&mut head).await?;
        }
        let header = Header::peek(&head).expect("a header is four bytes");
        if header.length > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a login packet is larger than its limit",
            ));
        }
        let mut payload = vec![0; header.length];
        self.stream.read_exact(&mut payload).await?;
        Ok((payload, header.sequence))
    }

    /// One whole packet outside the command phase: its payload and its number.
    ///
    /// # Errors
    /// The connection broke or ended, or the packet is larger than `limit` bytes.
    pub async fn packet(&mut self, limit: usize) -> io::Result<(Vec<u8>, u8)> {
        loop {
            if let Some(packet) = packet::whole(self.input.unread()) {
                let answer = (packet[HEADER..].to_vec(), packet[HEADER - 1]);
                let length = packet.len();
                self.input.consume(length);
                return Ok(answer);
            }
            fill_to(&mut self.input, &mut self.stream, limit).await?;
        }
    }

    /// Sends bytes that are packets already.
    ///
    /// # Errors
    /// The connection broke, or the client takes nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send_within(bytes, self.patience).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ClientFault::NotReading.into(),
            _ => error,
        })
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_payload(&mut self, payload: &[u8], sequence: u8) -> io::Result<u8> {
        let mut out = Vec::with_capacity(payload.len() + HEADER);
        let next = packet::put(&mut out, payload, sequence);
        self.send(&out).await?;
        Ok(next)
    }

    /// Sends an OK packet that says nothing but the status.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn ok(&mut self, server_status: u16, sequence: u8) -> io::Result<()> {
        self.ok_with(b"", server_status, sequence).await
    }

    /// The same with a text.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn ok_with(&mut self, info: &[u8], server_status: u16, sequence: u8) -> io::Result<()> {
        let ok = reply::Ok {
            header: reply::marker::OK,
            affected_rows: 0,
            last_insert_id: 0,
            status: server_status & !status::STATE_CHANGED,
            warnings: 0,
            info,
            state: b"",
        };
        let mut payload = Vec::new();
        ok.put(&mut payload, false);
        self.send_payload(&payload, sequence).await.map(drop)
    }

    /// Sends an ERR packet.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn error(&mut self, answer: impl Into<Answer>, sequence: u8) -> io::Result<()> {
        let mut payload = Vec::new();
        answer.into().put(&mut payload);
        self.send_payload(&payload, sequence).await.map(drop)
    }
}

async fn fill(buffer: &mut Buffer, stream: &mut Stream, patience: Duration) -> io::Result<()> {
    within(patience, fill_to(buffer, stream, HEADER + KEPT_WHOLE)).await.map_err(stalled)
}

fn stalled(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::TimedOut { ClientFault::Stalled.into() } else { error }
}

async fn fill_to(buffer: &mut Buffer, stream: &mut Stream, limit: usize) -> io::Result<()> {
    match buffer.fill(stream, limit).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the client closed the connection in the middle of a packet",
        )),
        _ => Ok(()),
    }
}
