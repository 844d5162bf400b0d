//! What a server answers with: OK, EOF and ERR packets, and small text result sets of our own.

use crate::{
    ProtocolError,
    field::{Reader, put_lenenc, put_lenenc_bytes},
    packet,
};

/// Status flags of OK and EOF packets, as `int<2>` on the wire.
pub mod status {
    #![allow(missing_docs)]
    pub const IN_TRANS: u16 = 0x0001;
    pub const AUTOCOMMIT: u16 = 0x0002;
    pub const MORE_RESULTS: u16 = 0x0008;
    pub const CURSOR_EXISTS: u16 = 0x0040;
    pub const LAST_ROW_SENT: u16 = 0x0080;
    pub const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
    pub const IN_TRANS_READONLY: u16 = 0x2000;
    pub const STATE_CHANGED: u16 = 0x4000;
    pub const ANSI_QUOTES: u16 = 0x8000;

    /// The flags that are the session's rather than one response's.
    pub const OF_SESSION: u16 =
        IN_TRANS | AUTOCOMMIT | NO_BACKSLASH_ESCAPES | IN_TRANS_READONLY | ANSI_QUOTES;
}

/// First bytes that tell control packets apart.
pub mod marker {
    #![allow(missing_docs)]
    pub const OK: u8 = 0x00;
    pub const LOCAL_INFILE: u8 = 0xfb;
    pub const EOF: u8 = 0xfe;
    pub const ERR: u8 = 0xff;
}

/// An OK packet, as a server with SESSION_TRACK sends it; header 0xfe when it ends rows (DEPRECATE_EOF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ok<'a> {
    /// 0x00, or 0xfe at the end of rows.
    pub header: u8,
    /// Rows changed.
    pub affected_rows: u64,
    /// The first value generated, or given, for an AUTO_INCREMENT column.
    pub last_insert_id: u64,
    /// See [`status`].
    pub status: u16,
    /// How many warnings the statement left.
    pub warnings: u16,
    /// A sentence for people.
    pub info: &'a [u8],
    /// The session-state block, read by [`crate::session_track`]; empty unless [`status::STATE_CHANGED`].
    pub state: &'a [u8],
}

impl<'a> Ok<'a> {
    /// Reads the payload of an OK packet from a connection with SESSION_TRACK.
    ///
    /// MySQL ends a result that stored code broke off, because of an error that it handles, with an EOF packet all the same
    /// (`end_partial_result_set` in its sql/protocol_classic.cc): it has no warnings, its status is where an OK packet has it, and
    /// there it ends.
    ///
    /// # Errors
    /// The payload ends inside a field.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "an OK packet");
        let header = reader.u8()?;
        let affected_rows = reader.lenenc()?;
        let last_insert_id = reader.lenenc()?;
        let status = reader.u16()?;
        let warnings = if header == marker::EOF && reader.is_empty() { 0 } else { reader.u16()? };
        let info = if reader.is_empty() { &[][..] } else { reader.lenenc_bytes()? };
        let changed = status & status::STATE_CHANGED != 0 && !reader.is_empty();
        let state = if changed { reader.lenenc_bytes()? } else { &[] };
        Ok(Self { header, affected_rows, last_insert_id, status, warnings, info, state })
    }

    /// Appends the payload for a client, with the session-state block only if `track` and it is not empty.
    pub fn put(&self, out: &mut Vec<u8>, track: bool) {
        // A server may set the flag without an entry: then the block is there, and empty.
        let track = track && self.status & status::STATE_CHANGED != 0;
        let status = if track { self.status } else { self.status & !status::STATE_CHANGED };
        out.push(self.header);
        put_lenenc(out, self.affected_rows);
        put_lenenc(out, self.last_insert_id);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if track || !self.info.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
        if track {
            put_lenenc_bytes(out, self.state);
        }
    }
}

/// Appends the payload of an EOF packet.
pub fn put_eof(out: &mut Vec<u8>, warnings: u16, status: u16) {
    out.push(marker::EOF);
    out.extend_from_slice(&warnings.to_le_bytes());
    out.extend_from_slice(&(status & !status::STATE_CHANGED).to_le_bytes());
}

/// An ERR packet of protocol 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Err<'a> {
    /// The server's number, for example 1045.
    pub code: u16,
    /// Five characters; `HY000` where the packet has none (before the login is read).
    pub sqlstate: [u8; 5],
    /// A sentence for people.
    pub message: &'a [u8],
}

impl<'a> Err<'a> {
    /// Reads the payload of an ERR packet.
    ///
    /// # Errors
    /// The payload ends inside a field or is no ERR packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(payload, "an ERR packet");
        if reader.u8()? != marker::ERR {
            return Err(ProtocolError::Unexpected("an ERR packet"));
        }
        let code = reader.u16()?;
        let mut sqlstate = *b"HY000";
        if reader.rest().first() == Some(&b'#') && reader.rest().len() >= 6 {
            reader.u8()?;
            sqlstate.copy_from_slice(reader.bytes(5)?);
        }
        Ok(Self { code, sqlstate, message: reader.take_rest() })
    }

    /// Appends the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(marker::ERR);
        out.extend_from_slice(&self.code.to_le_bytes());
        out.push(b'#');
        out.extend_from_slice(&self.sqlstate);
        out.extend_from_slice(self.message);
    }
}

/// How a client wants result sets to be framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// CLIENT_DEPRECATE_EOF: no EOF packets, an OK packet ends the rows.
    pub deprecate_eof: bool,
    /// CLIENT_SESSION_TRACK: OK packets carry session-state blocks.
    pub session_track: bool,
    /// MARIADB_CLIENT_EXTENDED_METADATA: column definitions have a field more.
    pub extended_metadata: bool,
    /// Which columns of a result are defined.
    pub definitions: Definitions,
}

/// Whether a result set's columns are defined in front of its rows, and whether a flag says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definitions {
    /// They are, without a flag.
    Always,
    /// The client has CLIENT_OPTIONAL_RESULTSET_METADATA, and gets them.
    Full,
    /// The same with `resultset_metadata=NONE`.
    None,
}

/// Appends a text result set of our own; answers the sequence number that comes next.
///
/// Columns are `VARCHAR` in utf8mb4; `None` is NULL.
pub fn put_result_set(
    out: &mut Vec<u8>,
    mut sequence: u8,
    columns: &[&str],
    rows: &[Vec<Option<String>>],
    status: u16,
    dialect: Dialect,
) -> u8 {
    sequence = packet::put_with(out, sequence, |out| {
        put_lenenc(out, columns.len() as u64);
        match dialect.definitions {
            Definitions::Always => {}
            Definitions::Full => out.push(1),
            Definitions::None => out.push(0),
        }
    });
    for name in columns.iter().filter(|_| dialect.definitions != Definitions::None) {
        sequence = packet::put_with(out, sequence, |out| put_column(out, name, dialect));
    }
    if !dialect.deprecate_eof {
        sequence = packet::put_with(out, sequence, |out| put_eof(out, 0, status));
    }
    for row in rows {
        sequence = packet::put_with(out, sequence, |out| {
            for value in row {
                match value {
                    Some(text) => put_lenenc_bytes(out, text.as_bytes()),
                    None => out.push(0xfb),
                }
            }
        });
    }
    packet::put_with(out, sequence, |out| put_rows_end(out, status, dialect))
}

/// Appends the payload that ends the rows of a result set.
pub fn put_rows_end(out: &mut Vec<u8>, status: u16, dialect: Dialect) {
    if dialect.deprecate_eof {
        let end = Ok {
            header: marker::EOF,
            affected_rows: 0,
            last_insert_id: 0,
            status,
            warnings: 0,
            info: b"",
            state: b"",
        };
        end.put(out, false);
    } else {
        put_eof(out, 0, status);
    }
}

/// Appends a column definition (`Protocol::ColumnDefinition41`) for a utf8mb4 VARCHAR.
fn put_column(out: &mut Vec<u8>, name: &str, dialect: Dialect) {
    const UTF8MB4_GENERAL_CI: u16 = 45;
    const VAR_STRING: u8 = 0xfd;
    for text in ["def", "", "", "", name, ""] {
        put_lenenc_bytes(out, text.as_bytes());
    }
    if dialect.extended_metadata {
        put_lenenc_bytes(out, b"");
    }
    out.push(0x0c);
    out.extend_from_slice(&UTF8MB4_GENERAL_CI.to_le_bytes());
    out.extend_from_slice(&1024u32.to_le_bytes());
    out.extend_from_slice(&[VAR_STRING, 0, 0, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ok_packet_with_a_gtid_is_read_and_written_back() {
        // MySQL 9.7.4, INSERT with session_track_gtids=OWN_GTID.
        let mut payload = vec![0x00, 0x01, 0x00, 0x02, 0x40, 0x00, 0x00, 0x00, 0x2d, 0x03, 0x2b, 0x00, 0x29];
        payload.extend_from_slice(b"819b2208-0000-0000-0000-000000000000:5770");
        let ok = Ok::parse(&payload).unwrap();
        assert_eq!((ok.affected_rows, ok.status, ok.state.len()), (1, 0x4002, 45));
        let mut again = Vec::new();
        ok.put(&mut again, true);
        assert_eq!(again, payload);
        again.clear();
        ok.put(&mut again, false);
        assert_eq!(again, [0x00, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00]);
    }

    #[test]
    fn a_result_that_stored_code_breaks_off_ends_with_an_eof_packet() {
        // MySQL 9.7.4, a SELECT in a procedure whose error a handler takes, with DEPRECATE_EOF.
        let end = Ok::parse(b"\xfe\x00\x00\x2a\x00").unwrap();
        assert_eq!((end.status & status::MORE_RESULTS, end.warnings), (status::MORE_RESULTS, 0));
        assert!(Ok::parse(b"\x00\x00\x00\x2a\x00").is_err());
    }

    #[test]
    fn an_error_without_sqlstate_gets_the_general_one() {
        let error = Err::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(
            (error.code, &error.sqlstate, error.message),
            (1040, b"HY000", &b"Too many connections"[..])
        );
    }
}
