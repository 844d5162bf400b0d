//! What a client asks for: the first byte of a command's payload and what follows.

use crate::{ProtocolError, field::Reader, response::Shape};

/// A command, borrowed from the packet it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// COM_QUIT: ends the connection, no answer.
    Quit,
    /// COM_INIT_DB: changes the default schema.
    InitDb(&'a [u8]),
    /// COM_QUERY: a text of one or more statements; of a client with CLIENT_QUERY_ATTRIBUTES, behind
    /// [its attributes](crate::attributes::Attributes).
    Query(&'a [u8]),
    /// COM_FIELD_LIST: the columns of a table.
    FieldList(&'a [u8]),
    /// COM_REFRESH: what FLUSH does, by a bit for each; MySQL 9 has it no more.
    Refresh(u8),
    /// COM_STATISTICS: one line of text.
    Statistics,
    /// COM_DEBUG: dumps the server's state into its log.
    Debug,
    /// COM_PING
    Ping,
    /// COM_CHANGE_USER: logs in anew on the same connection.
    ChangeUser(&'a [u8]),
    /// COM_SET_OPTION: multi-statements on (0) or off (1).
    SetOption(u16),
    /// COM_RESET_CONNECTION: the session's state back to that of a new login.
    ResetConnection,
    /// COM_PROCESS_KILL
    ProcessKill(u32),
    /// COM_STMT_PREPARE
    Prepare(&'a [u8]),
    /// COM_STMT_EXECUTE; the rest is read by [`crate::execute::Execute`].
    Execute(u32),
    /// COM_STMT_BULK_EXECUTE, MariaDB's; all of it is read by [`crate::bulk::Bulk`].
    BulkExecute,
    /// COM_STMT_SEND_LONG_DATA: a piece of a parameter; no answer.
    SendLongData(u32),
    /// COM_STMT_CLOSE: no answer.
    CloseStatement(u32),
    /// COM_STMT_RESET
    ResetStatement(u32),
    /// COM_STMT_FETCH: rows from a cursor.
    Fetch(u32),
    /// COM_REGISTER_SLAVE: a replica, or a reader of binary logs, says who it is.
    RegisterReplica,
    /// COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID: from here on events come until one side ends the connection.
    DumpBinaryLog,
    /// Any other command, known to some server or to none.
    Other(u8),
}

/// Of COM_REFRESH: FLUSH PRIVILEGES.
pub const REFRESH_GRANT: u8 = 1;
/// Of COM_REFRESH: FLUSH STATUS.
pub const REFRESH_STATUS: u8 = 16;

/// Command bytes that dauphin sends or looks for by itself.
pub mod code {
    #![allow(missing_docs)]
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const REFRESH: u8 = 0x07;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const DEBUG: u8 = 0x0d;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const REGISTER_REPLICA: u8 = 0x15;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub const RESET_CONNECTION: u8 = 0x1f;
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

impl<'a> Command<'a> {
    /// Reads a command from a packet's whole payload (or, for one that spans packets, from its first part).
    ///
    /// # Errors
    /// The payload is empty or ends inside a field that the command must have.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "a command");
        let command = reader.u8()?;
        Ok(match command {
            code::QUIT => Self::Quit,
            code::INIT_DB => Self::InitDb(reader.take_rest()),
            code::QUERY => Self::Query(reader.take_rest()),
            code::FIELD_LIST => Self::FieldList(reader.take_rest()),
            code::REFRESH => Self::Refresh(reader.u8()?),
            code::STATISTICS => Self::Statistics,
            code::PROCESS_KILL => Self::ProcessKill(reader.u32()?),
            code::DEBUG => Self::Debug,
            code::PING => Self::Ping,
            code::CHANGE_USER => Self::ChangeUser(reader.take_rest()),
            code::SET_OPTION => Self::SetOption(reader.u16()?),
            code::RESET_CONNECTION => Self::ResetConnection,
            code::STMT_PREPARE => Self::Prepare(reader.take_rest()),
            code::STMT_EXECUTE => Self::Execute(reader.u32()?),
            code::STMT_BULK_EXECUTE => Self::BulkExecute,
            code::STMT_SEND_LONG_DATA => Self::SendLongData(reader.u32()?),
            code::STMT_CLOSE => Self::CloseStatement(reader.u32()?),
            code::STMT_RESET => Self::ResetStatement(reader.u32()?),
            code::STMT_FETCH => Self::Fetch(reader.u32()?),
            code::REGISTER_REPLICA => Self::RegisterReplica,
            code::BINLOG_DUMP | code::BINLOG_DUMP_GTID => Self::DumpBinaryLog,
            other => Self::Other(other),
        })
    }

    /// What the server's answer looks like.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Query(_) | Self::Execute(_) | Self::BulkExecute => Shape::Query,
            Self::Prepare(_) => Shape::Prepare,
            Self::Fetch(_) => Shape::Rows,
            Self::FieldList(_) => Shape::FieldList,
            Self::Statistics => Shape::Text,
            Self::Quit | Self::SendLongData(_) | Self::CloseStatement(_) => Shape::Nothing,
            _ => Shape::Status,
        }
    }
}

/// Appends a COM_QUERY packet.
pub fn put_query(out: &mut Vec<u8>, text: &[u8]) {
    crate::packet::put_with(out, 0, |out| {
        out.push(code::QUERY);
        out.extend_from_slice(text);
    });
}

/// What a connection's COM_QUERYs look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    /// The text alone.
    Plain,
    /// Behind attributes: the connection has CLIENT_QUERY_ATTRIBUTES.
    WithAttributes,
}

impl Queries {
    /// Appends a COM_QUERY packet, without attributes.
    pub fn put(self, out: &mut Vec<u8>, text: &[u8]) {
        match self {
            Self::Plain => put_query(out, text),
            Self::WithAttributes => {
                crate::packet::put_with(out, 0, |out| {
                    out.extend_from_slice(&[code::QUERY, 0, 1]); // none, in one set
                    out.extend_from_slice(text);
                });
            }
        }
    }
}

/// Appends a packet that holds `command` and `argument`.
pub fn put_command(out: &mut Vec<u8>, command: u8, argument: &[u8]) {
    crate::packet::put_with(out, 0, |out| {
        out.push(command);
        out.extend_from_slice(argument);
    });
}
