//! Follows a server's response through a byte stream, however it is cut, without looking into rows.
//!
//! Servers speak DEPRECATE_EOF and SESSION_TRACK to us. For a client without DEPRECATE_EOF the tracker says where EOF
//! packets belong and renumbers packets in place, so that rows are forwarded from the buffer they were read into.

use crate::{
    ProtocolError,
    field::Reader,
    packet::{HEADER, Header, MAX_PAYLOAD},
    reply::{Ok as OkPacket, marker, status},
};

/// The longest packet that is looked into (OK, ERR, and the first of a response), in bytes.
pub const CONTROL_LIMIT: usize = 1 << 20;

/// The most columns of a result set. A table has 4096 at most, a list of values as many as its text has room for: MySQL 9.7 sends
/// 68,001 if asked for them.
const MOST_COLUMNS: u64 = 1 << 30;

/// What the response to a command looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// OK, ERR, a request for a local file, or result sets.
    Query,
    /// COM_STMT_PREPARE_OK with parameter and column definitions, or ERR.
    Prepare,
    /// Rows without column definitions (COM_STMT_FETCH).
    Rows,
    /// Column definitions without a count (COM_FIELD_LIST).
    FieldList,
    /// One packet of text (COM_STATISTICS).
    Text,
    /// One OK or ERR packet.
    Status,
    /// Nothing.
    Nothing,
}

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// So many bytes to forward as they are.
    Bytes(usize),
    /// A packet of `length` bytes, header included, to look into; its number is already the client's.
    Packet {
        /// Bytes, header included.
        length: usize,
        /// What it is.
        kind: Kind,
    },
    /// Here a client without DEPRECATE_EOF expects an EOF packet of this number; takes nothing from the stream.
    InsertEof(u8),
    /// More bytes are needed: keep those that are there and call again with more behind them.
    Incomplete,
    /// The response has ended; what follows belongs to the next one.
    End,
}

/// A packet that says something about the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OK packet that answers a statement.
    Ok,
    /// An OK packet (header 0xfe) that ends rows; for a client without DEPRECATE_EOF it becomes an EOF packet.
    RowsEnd,
    /// An ERR packet.
    Err,
    /// COM_STMT_PREPARE_OK.
    Prepared,
    /// The server asks for a file of the client's; the client's packets come next, then the response goes on.
    LocalInfile,
}

/// How a server numbers the packets of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbering {
    /// One by one, as the protocol has it.
    #[default]
    OneByOne,
    /// As the compressed protocol's frames go: whoever is told the response needs other numbers.
    ByFrames,
}

/// Where in a response the stream stands.
#[derive(Debug, Clone)]
pub struct Tracker {
    phase: Phase,
    /// Bytes of the current packet that are still to come.
    body_left: usize,
    /// The current packet fills its 16 MiB: the next one continues it.
    continued: bool,
    expected: u8,
    /// How many EOF packets the client has got beyond the server's packets.
    shift: u8,
    numbering: Numbering,
    insert_eof: bool,
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    First,
    FirstPrepare,
    FirstStatus,
    FirstText,
    Columns(u64),
    ColumnsEnd,
    Rows,
    Parameters {
        left: u16,
        columns: u16,
    },
    ParametersEnd {
        columns: u16,
    },
    PreparedColumns(u16),
    PreparedColumnsEnd,
    /// So many ends of definitions that are not there.
    PreparedEnds(u8),
    End,
}

impl Tracker {
    /// A tracker for the response to a command of several packets, which is numbered on from `first`.
    pub fn numbered_from(first: u8, shape: Shape, insert_eof: bool) -> Self {
        Self { expected: first, ..Self::new(shape, insert_eof) }
    }

    /// The same where the server was sent `added` packets more than the client has sent.
    pub fn with_added(self, added: u8) -> Self {
        Self { expected: self.expected.wrapping_add(added), shift: self.shift.wrapping_sub(added), ..self }
    }

    /// The same for a server that numbers so.
    pub fn from_server(self, numbering: Numbering) -> Self {
        Self { numbering, ..self }
    }

    /// A tracker for the response to a command of one packet; `insert_eof` for a client without DEPRECATE_EOF.
    pub fn new(shape: Shape, insert_eof: bool) -> Self {
        let phase = match shape {
            Shape::Query => Phase::First,
            Shape::Prepare => Phase::FirstPrepare,
            Shape::Rows | Shape::FieldList => Phase::Rows,
            Shape::Text => Phase::FirstText,
            Shape::Status => Phase::FirstStatus,
            Shape::Nothing => Phase::End,
        };
        Self {
            phase,
            body_left: 0,
            continued: false,
            expected: 1,
            shift: 0,
            numbering: Numbering::OneByOne,
            insert_eof,
            rows: 0,
        }
    }

    /// Whether the whole response has gone by.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::End && self.body_left == 0
    }

    /// Whether all that was passed on ends with a whole packet.
    pub fn is_between_packets(&self) -> bool {
        self.body_left == 0 && !self.continued
    }

    /// Rows of all result sets so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the next packet towards the client.
    pub fn next_sequence(&self) -> u8 {
        self.expected.wrapping_add(self.shift)
    }

    /// The server's number for a packet of the client's, in the middle of a response.
    pub fn number_for_server(&self, of_client: u8) -> u8 {
        of_client.wrapping_sub(self.shift)
    }

    /// Tells that the client has sent a local file; `next` is its number for the server's next packet.
    pub fn local_file_sent(&mut self, next: u8) {
        self.expected = self.number_for_server(next);
    }

    /// What the bytes at the start of `buffer` are; renumbers packets in place.
    ///
    /// # Errors
    /// The bytes break the protocol: the connection cannot be used any more.
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<Part, ProtocolError> {
        let mut at = 0;
        while at < buffer.len() {
            at += self.pass_rows(&mut buffer[at..])?;
            match self.pass(&mut buffer[at..])? {
                0 => break,
                n => at += n,
            }
        }
        if at > 0 { Ok(Part::Bytes(at)) } else { self.control(buffer) }
    }

    /// How many bytes at the start of `buffer` are ordinary rows that are there whole: what nearly all of a large result is, so
    /// that they are counted with a few instructions each. [`Self::pass`] is right for every byte, these included.
    fn pass_rows(&mut self, buffer: &mut [u8]) -> Result<usize, ProtocolError> {
        if self.phase != Phase::Rows || !self.is_between_packets() {
            return Ok(0);
        }
        let mut at = 0;
        while let Some(&[a, b, c, _, first]) = buffer[at..].first_chunk() {
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            let end = at + HEADER + length;
            if matches!(first, marker::ERR | marker::EOF)
                || length == 0
                || length == MAX_PAYLOAD
                || end > buffer.len()
            {
                break;
            }
            let header = Header { length, sequence: buffer[at + HEADER - 1] };
            self.number(header, &mut buffer[at..])?;
            self.rows += 1;
            at = end;
        }
        Ok(at)
    }

    /// How many bytes at the start of `buffer` can be forwarded unread: a packet's head or a piece of its body.
    fn pass(&mut self, buffer: &mut [u8]) -> Result<usize, ProtocolError> {
        if self.body_left > 0 {
            let n = self.body_left.min(buffer.len());
            self.body_left -= n;
            if self.body_left == 0 {
                self.packet_ended();
            }
            return Ok(n);
        }
        if !self.passes_unread(buffer) {
            return Ok(0);
        }
        let Some(header) = Header::peek(buffer) else { return Ok(0) };
        self.number(header, buffer)?;
        self.body_left = header.length;
        self.continued = header.length == MAX_PAYLOAD;
        if header.length == 0 {
            self.packet_ended();
        }
        Ok(HEADER)
    }

    /// Whether the packet at the start of `buffer` is a row or a definition (its first byte must be there to tell).
    fn passes_unread(&self, buffer: &[u8]) -> bool {
        let Some(header) = Header::peek(buffer) else { return false };
        // An empty packet has no first byte, whatever comes behind it.
        let first = buffer.get(HEADER).copied().filter(|_| header.length > 0);
        match self.phase {
            _ if self.continued => true,
            Phase::Rows if header.length == 0 => true,
            Phase::Rows => match first {
                None | Some(marker::ERR) => false,
                Some(marker::EOF) => header.length == MAX_PAYLOAD,
                Some(_) => true,
            },
            Phase::Columns(_) | Phase::Parameters { .. } | Phase::PreparedColumns(_) => {
                first.is_some_and(|byte| byte != marker::ERR)
            }
            _ => false,
        }
    }

    fn packet_ended(&mut self) {
        if self.continued {
            return;
        }
        if self.phase == Phase::Rows {
            self.rows += 1;
            return;
        }
        self.phase = match self.phase {
            Phase::Columns(1) => Phase::ColumnsEnd,
            Phase::Columns(left) => Phase::Columns(left - 1),
            Phase::Parameters { left: 1, columns } => Phase::ParametersEnd { columns },
            Phase::Parameters { left, columns } => Phase::Parameters { left: left - 1, columns },
            Phase::PreparedColumns(1) => Phase::PreparedColumnsEnd,
            Phase::PreparedColumns(left) => Phase::PreparedColumns(left - 1),
            other => other,
        };
        self.skip_ends();
    }

    /// Where no EOF packet is to be put in.
    fn skip_ends(&mut self) {
        if !self.insert_eof {
            self.phase = match self.phase {
                Phase::ColumnsEnd => Phase::Rows,
                Phase::ParametersEnd { columns } => after_parameters(columns),
                Phase::PreparedColumnsEnd | Phase::PreparedEnds(_) => Phase::End,
                other => other,
            };
        }
    }

    fn control(&mut self, buffer: &mut [u8]) -> Result<Part, ProtocolError> {
        match self.phase {
            Phase::End => Ok(Part::End),
            Phase::ColumnsEnd => self.columns_end(buffer),
            Phase::ParametersEnd { columns } => {
                self.phase = after_parameters(columns);
                Ok(self.insert_eof())
            }
            Phase::PreparedColumnsEnd => {
                self.phase = Phase::End;
                Ok(self.insert_eof())
            }
            Phase::PreparedEnds(left) => {
                self.phase = prepared_ends(left - 1);
                Ok(self.insert_eof())
            }
            _ => self.packet(buffer),
        }
    }

    /// An opened cursor's response has one EOF packet, not two: its flags decide, so the next packet is looked at.
    fn columns_end(&mut self, buffer: &mut [u8]) -> Result<Part, ProtocolError> {
        let Some(header) = Header::peek(buffer) else { return Ok(Part::Incomplete) };
        if header.length == 0 {
            self.phase = Phase::Rows;
            return Ok(self.insert_eof());
        }
        let Some(&first) = buffer.get(HEADER) else { return Ok(Part::Incomplete) };
        if first == marker::EOF && header.length < MAX_PAYLOAD {
            check_control(header)?;
            let Some(payload) = buffer.get(HEADER..HEADER + header.length) else {
                return Ok(Part::Incomplete);
            };
            if OkPacket::parse(payload)?.status & status::CURSOR_EXISTS != 0 {
                self.phase = Phase::Rows;
                return self.packet(buffer);
            }
        }
        self.phase = Phase::Rows;
        Ok(self.insert_eof())
    }

    fn insert_eof(&mut self) -> Part {
        let sequence = self.next_sequence();
        self.shift = self.shift.wrapping_add(1);
        Part::InsertEof(sequence)
    }

    fn packet(&mut self, buffer: &mut [u8]) -> Result<Part, ProtocolError> {
        let Some(header) = Header::peek(buffer) else { return Ok(Part::Incomplete) };
        if header.length > 0 && buffer.len() == HEADER {
            // Without its first byte it may yet be a row, which has no limit.
            return Ok(Part::Incomplete);
        }
        check_control(header)?;
        let length = HEADER + header.length;
        if buffer.len() < length {
            return Ok(Part::Incomplete);
        }
        self.number(header, buffer)?;
        let payload = &buffer[HEADER..length];
        let first = *payload.first().ok_or(ProtocolError::Truncated("a response"))?;
        let kind = match (self.phase, first) {
            (_, marker::ERR) => {
                self.phase = Phase::End;
                Kind::Err
            }
            (Phase::First, marker::OK) => self.ok(payload, Kind::Ok)?,
            (Phase::FirstStatus, marker::OK) => self.status(Kind::Ok),
            (Phase::FirstStatus, marker::EOF) => self.status(Kind::RowsEnd),
            (Phase::Rows, marker::EOF) => self.ok(payload, Kind::RowsEnd)?,
            (Phase::First, marker::LOCAL_INFILE) => Kind::LocalInfile,
            (Phase::FirstPrepare, marker::OK) => self.prepared(payload)?,
            (Phase::FirstText, _) => {
                self.phase = Phase::End;
                return Ok(Part::Bytes(length));
            }
            (Phase::First, _) => {
                let count = ColumnCount::parse(payload)?;
                if count.columns > MOST_COLUMNS {
                    return Err(ProtocolError::Unexpected("a column count"));
                }
                self.phase =
                    if count.defined { Phase::Columns(count.columns.max(1)) } else { Phase::ColumnsEnd };
                self.skip_ends();
                return Ok(Part::Bytes(length));
            }
            _ => return Err(ProtocolError::Unexpected("the first byte of a response")),
        };
        Ok(Part::Packet { length, kind })
    }

    fn ok(&mut self, payload: &[u8], kind: Kind) -> Result<Kind, ProtocolError> {
        let more = OkPacket::parse(payload)?.status & status::MORE_RESULTS != 0;
        self.phase = if more { Phase::First } else { Phase::End };
        Ok(kind)
    }

    fn status(&mut self, kind: Kind) -> Kind {
        self.phase = Phase::End;
        kind
    }

    fn prepared(&mut self, payload: &[u8]) -> Result<Kind, ProtocolError> {
        let prepared = Prepared::parse(payload)?;
        self.phase = match (prepared.parameters, prepared.columns) {
            (parameters, columns) if !prepared.defined => {
                prepared_ends(u8::from(parameters > 0) + u8::from(columns > 0))
            }
            (0, columns) => after_parameters(columns),
            (left, columns) => Phase::Parameters { left, columns },
        };
        self.skip_ends();
        Ok(Kind::Prepared)
    }

    /// Checks a packet's number and gives it the one that the client expects.
    fn number(&mut self, header: Header, buffer: &mut [u8]) -> Result<(), ProtocolError> {
        if header.sequence != self.expected && self.numbering == Numbering::OneByOne {
            return Err(ProtocolError::OutOfOrder { got: header.sequence, expected: self.expected });
        }
        if self.shift != 0 || self.numbering == Numbering::ByFrames {
            buffer[HEADER - 1] = self.next_sequence();
        }
        self.expected = self.expected.wrapping_add(1);
        Ok(())
    }
}

fn after_parameters(columns: u16) -> Phase {
    if columns == 0 { Phase::End } else { Phase::PreparedColumns(columns) }
}

fn prepared_ends(left: u8) -> Phase {
    if left == 0 { Phase::End } else { Phase::PreparedEnds(left) }
}

fn check_control(header: Header) -> Result<(), ProtocolError> {
    if header.length > CONTROL_LIMIT {
        return Err(ProtocolError::TooLarge { what: "a control packet", limit: CONTROL_LIMIT });
    }
    Ok(())
}

/// What a result set begins with; the flag stands behind the count (seen on MySQL 9.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCount {
    /// How many columns there are.
    pub columns: u64,
    /// Whether their definitions follow; CLIENT_OPTIONAL_RESULTSET_METADATA has a flag that says it.
    pub defined: bool,
}

impl ColumnCount {
    /// Reads the payload, with or without the flag.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "a column count");
        let columns = reader.lenenc()?;
        Ok(Self { columns, defined: reader.rest().first() != Some(&0) })
    }
}

/// `COM_STMT_PREPARE_OK`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The statement's id on this connection.
    pub statement_id: u32,
    /// Columns of its result set.
    pub columns: u16,
    /// Its parameters.
    pub parameters: u16,
    /// Warnings that preparing left.
    pub warnings: u16,
    /// Whether definitions of both follow; CLIENT_OPTIONAL_RESULTSET_METADATA has a flag that says it.
    pub defined: bool,
}

impl Prepared {
    /// Reads the payload.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "COM_STMT_PREPARE_OK");
        reader.u8()?;
        let statement_id = reader.u32()?;
        let columns = reader.u16()?;
        let parameters = reader.u16()?;
        let warnings =
            if reader.rest().len() >= 3 { reader.bytes(1).and_then(|_| reader.u16())? } else { 0 };
        let defined = reader.rest().first() != Some(&0);
        Ok(Self { statement_id, columns, parameters, warnings, defined })
    }
}
