//! One client's session: packets in, replies out.

use std::collections::HashMap;

use anyhow::{Result, bail};
use dauphin_proto::{
    CapabilityFlags,
    auth::{CACHING_SHA2, SHA2_FAST_OK},
    command::Command,
    connect::{AUTH_MORE_DATA, AuthSwitch, Greeting, Login, NONCE},
    field::put_lenenc_bytes,
    packet,
    reply::{self, status},
};

use super::{
    VERSION,
    question::Identity,
    sheet::{Book, Dialect, Large, Sheet, ok_with_state, put_prepared},
    statement::{Statement, contains, without_comments},
};

/// The server challenges everyone alike: it lets everyone in.
const CHALLENGE: &[u8; NONCE] = b"dauphin-bench-fake-x";
const ER_OPTION_PREVENTS_STATEMENT: u16 = 1290;
const ER_UNKNOWN_COMMAND: u16 = 1047;

/// A server: who it is, and its replies.
#[derive(Debug)]
pub struct Server {
    /// Who it is.
    pub identity: Identity,
    /// What it says.
    pub book: Book,
}

/// What comes after a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The next packet.
    Packet,
    /// This large reply, behind what is in the buffer.
    Large(Large, Dialect),
    /// The end.
    Close,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    deprecate_eof: bool,
    session_track: bool,
    tracks_gtids: bool,
    in_transaction: bool,
    wrote: bool,
    statements: HashMap<u32, Prepared>,
    last_statement: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Login,
    Switching,
    Commands,
}

#[derive(Debug)]
struct Prepared {
    statement: Statement,
    text: Vec<u8>,
}

impl Session {
    /// A session whose client is greeted by what is appended to `out`.
    pub fn greet(id: u32, out: &mut Vec<u8>) -> Self {
        let greeting = Greeting {
            version: VERSION.into(),
            connection_id: id,
            nonce: *CHALLENGE,
            capabilities: offered(),
            extended: 0,
            collation: 255, // utf8mb4_0900_ai_ci
            status: status::AUTOCOMMIT,
            plugin: CACHING_SHA2.into(),
        };
        packet::put_with(out, 0, |out| greeting.put(out));
        Self {
            phase: Phase::Login,
            deprecate_eof: false,
            session_track: false,
            tracks_gtids: false,
            in_transaction: false,
            wrote: false,
            statements: HashMap::new(),
            last_statement: 0,
        }
    }

    /// Takes a client's packet and appends the reply to `out`.
    pub fn packet(&mut self, server: &Server, packet: &[u8], out: &mut Vec<u8>) -> Result<Next> {
        let (header, payload) = packet.split_at(packet::HEADER);
        match self.phase {
            Phase::Commands => self.command(server, payload, out),
            Phase::Login => self.login(payload, header[3].wrapping_add(1), out),
            Phase::Switching => {
                self.let_in(!payload.is_empty(), header[3].wrapping_add(1), out);
                Ok(Next::Packet)
            }
        }
    }

    fn login(&mut self, payload: &[u8], sequence: u8, out: &mut Vec<u8>) -> Result<Next> {
        let login = Login::parse(payload)?;
        if login.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            bail!("a client wants TLS, which was not offered");
        }
        self.deprecate_eof = login.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        self.session_track = login.capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK);
        if login.plugin == CACHING_SHA2 || login.response.is_empty() {
            self.let_in(!login.response.is_empty(), sequence, out);
        } else {
            let switch = AuthSwitch { plugin: CACHING_SHA2.into(), nonce: CHALLENGE.to_vec() };
            packet::put_with(out, sequence, |out| switch.put(out));
            self.phase = Phase::Switching;
        }
        Ok(Next::Packet)
    }

    fn let_in(&mut self, with_password: bool, mut sequence: u8, out: &mut Vec<u8>) {
        if with_password {
            sequence = packet::put(out, &[AUTH_MORE_DATA, SHA2_FAST_OK], sequence);
        }
        let mut ok = ok_with_state(0, status::AUTOCOMMIT, b"");
        ok[3] = sequence;
        out.extend_from_slice(&ok);
        self.phase = Phase::Commands;
    }

    fn command(&mut self, server: &Server, payload: &[u8], out: &mut Vec<u8>) -> Result<Next> {
        match Command::parse(payload)? {
            Command::Quit => return Ok(Next::Close),
            Command::Query(text) => return Ok(self.query(server, Statement::read(text), text, out)),
            Command::Execute(id) => return Ok(self.execute(server, id, payload, out)),
            Command::Prepare(text) => self.prepare(text, out),
            Command::CloseStatement(id) => {
                self.statements.remove(&id);
            }
            Command::SendLongData(_) => {}
            Command::InitDb(schema) => self.change_schema(schema, out),
            Command::ResetConnection | Command::ChangeUser(_) => {
                let (deprecate_eof, session_track) = (self.deprecate_eof, self.session_track);
                *self = Self {
                    phase: Phase::Commands,
                    deprecate_eof,
                    session_track,
                    ..Self::greet(0, &mut Vec::new())
                };
                out.extend_from_slice(&self.sheet(server).ok);
            }
            Command::SetOption(_) if !self.deprecate_eof => {
                packet::put_with(out, 1, |out| reply::put_eof(out, 0, status::AUTOCOMMIT));
            }
            Command::Ping | Command::SetOption(_) | Command::ResetStatement(_) | Command::ProcessKill(_) => {
                out.extend_from_slice(&self.sheet(server).ok);
            }
            Command::Statistics => {
                packet::put(out, b"Uptime: 1  Threads: 1", 1);
            }
            Command::FieldList(_)
            | Command::Debug
            | Command::Refresh(_)
            | Command::Fetch(_)
            | Command::RegisterReplica
            | Command::DumpBinaryLog
            | Command::BulkExecute
            | Command::Other(_) => {
                put_error(out, ER_UNKNOWN_COMMAND, "The fake server does not know this command")
            }
        }
        Ok(Next::Packet)
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            deprecate_eof: self.deprecate_eof,
            gtids: self.tracks_gtids && self.session_track,
            in_transaction: self.in_transaction,
        }
    }

    fn sheet<'a>(&self, server: &'a Server) -> &'a Sheet {
        server.book.sheet(self.dialect())
    }

    fn query(&mut self, server: &Server, statement: Statement, text: &[u8], out: &mut Vec<u8>) -> Next {
        match statement {
            Statement::Point(id) => self.sheet(server).put_text_row(id, out),
            Statement::Hundred => out.extend_from_slice(self.sheet(server).hundred(false)),
            Statement::Mebibyte => return Next::Large(Large::Mebibyte, self.dialect()),
            Statement::Gibibyte => return Next::Large(Large::Gibibyte, self.dialect()),
            Statement::Question => {
                server.identity.put_answer(text, self.in_transaction, self.deprecate_eof, out);
            }
            other => self.change(server, other, text, out),
        }
        Next::Packet
    }

    fn execute(&mut self, server: &Server, id: u32, payload: &[u8], out: &mut Vec<u8>) -> Next {
        const ER_UNKNOWN_STMT_HANDLER: u16 = 1243;
        let Some(prepared) = self.statements.get(&id) else {
            put_error(out, ER_UNKNOWN_STMT_HANDLER, "Unknown prepared statement handler");
            return Next::Packet;
        };
        match prepared.statement {
            // The id is the last parameter, a BIGINT.
            Statement::Point(_) => {
                let id = payload.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                self.sheet(server).put_binary_row(id, out);
            }
            Statement::Hundred => out.extend_from_slice(self.sheet(server).hundred(true)),
            Statement::Mebibyte | Statement::Gibibyte | Statement::Question => {
                put_error(out, ER_UNKNOWN_COMMAND, "The fake server has no binary rows for this statement");
            }
            other => {
                let text = prepared.text.clone();
                self.change(server, other, &text, out);
            }
        }
        Next::Packet
    }

    /// Statements that answer OK.
    fn change(&mut self, server: &Server, statement: Statement, text: &[u8], out: &mut Vec<u8>) {
        match statement {
            Statement::Begin => {
                (self.in_transaction, self.wrote) = (true, false);
                out.extend_from_slice(&self.sheet(server).ok);
            }
            Statement::End => {
                self.in_transaction = false;
                let sheet = self.sheet(server);
                out.extend_from_slice(if std::mem::take(&mut self.wrote) {
                    &sheet.committed
                } else {
                    &sheet.ok
                });
            }
            Statement::Write if server.identity.source.is_some() => {
                let message = "The MySQL server is running with the --super-read-only option so it cannot execute this statement";
                put_error(out, ER_OPTION_PREVENTS_STATEMENT, message);
            }
            Statement::Write => {
                self.wrote = self.in_transaction;
                out.extend_from_slice(&self.sheet(server).changed);
            }
            Statement::Use => {
                let schema = without_comments(text).get(4..).unwrap_or_default().trim_ascii();
                self.change_schema(schema.strip_suffix(b";").unwrap_or(schema), out);
            }
            _ => {
                if contains(text, b"session_track_gtids") {
                    self.tracks_gtids = contains(text, b"OWN_GTID");
                }
                out.extend_from_slice(&self.sheet(server).ok);
            }
        }
    }

    fn change_schema(&mut self, schema: &[u8], out: &mut Vec<u8>) {
        const SESSION_TRACK_SCHEMA: u8 = 1;
        let mut state = Vec::new();
        if self.session_track {
            let mut entry = Vec::new();
            put_lenenc_bytes(&mut entry, schema);
            state.push(SESSION_TRACK_SCHEMA);
            put_lenenc_bytes(&mut state, &entry);
        }
        let flags = status::AUTOCOMMIT | if self.in_transaction { status::IN_TRANS } else { 0 };
        out.extend_from_slice(&ok_with_state(0, flags, &state));
    }

    fn prepare(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let statement = Statement::read(text);
        let parameters = text.iter().filter(|&&byte| byte == b'?').count() as u16;
        let rows = matches!(statement, Statement::Point(_) | Statement::Hundred);
        self.last_statement += 1;
        self.statements.insert(self.last_statement, Prepared { statement, text: text.to_vec() });
        put_prepared(out, self.last_statement, parameters, rows, self.dialect());
    }
}

fn put_error(out: &mut Vec<u8>, code: u16, message: &str) {
    let error = reply::Err { code, sqlstate: *b"HY000", message: message.as_bytes() };
    packet::put_with(out, 1, |out| error.put(out));
}

fn offered() -> CapabilityFlags {
    CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_FOUND_ROWS
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_CONNECT_WITH_DB
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_MULTI_STATEMENTS
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_SESSION_TRACK
        | CapabilityFlags::CLIENT_DEPRECATE_EOF
}

#[cfg(test)]
mod tests;
