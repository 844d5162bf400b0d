//! A server's answers as packets, numbered from 1, as a connection with DEPRECATE_EOF and SESSION_TRACK carries them.

use dauphin_proto::{
    field::{put_lenenc, put_lenenc_bytes},
    packet,
    reply::{self, marker, status},
};

/// An OK packet's payload.
pub fn ok_payload(header: u8, flags: u16, info: &[u8], state: &[u8]) -> Vec<u8> {
    let (affected_rows, last_insert_id) = (0, 0);
    let flags = if state.is_empty() { flags } else { flags | status::STATE_CHANGED };
    let mut payload = Vec::new();
    reply::Ok { header, affected_rows, last_insert_id, status: flags, warnings: 0, info, state }
        .put(&mut payload, true);
    payload
}

/// An OK packet that says nothing but the status.
pub fn ok(flags: u16) -> Vec<u8> {
    packets(&[ok_payload(marker::OK, flags, b"", b"")])
}

/// An OK packet with a session-state block.
pub fn ok_with(state: &[u8]) -> Vec<u8> {
    packets(&[ok_payload(marker::OK, status::AUTOCOMMIT, b"", state)])
}

/// An OK packet of an insert that made an id.
pub fn inserted(id: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    let flags = status::AUTOCOMMIT;
    reply::Ok {
        header: marker::OK,
        affected_rows: 1,
        last_insert_id: id,
        status: flags,
        warnings: 0,
        info: b"",
        state: b"",
    }
    .put(&mut payload, true);
    packets(&[payload])
}

/// SESSION_TRACK_SYSTEM_VARIABLES
pub fn variable(name: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    put_lenenc_bytes(&mut pair, name.as_bytes());
    put_lenenc_bytes(&mut pair, value.as_bytes());
    entry(0, &pair)
}

/// SESSION_TRACK_SCHEMA
pub fn schema(name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    put_lenenc_bytes(&mut text, name.as_bytes());
    entry(1, &text)
}

/// SESSION_TRACK_GTIDS
pub fn gtids(set: &str) -> Vec<u8> {
    let mut text = vec![0];
    put_lenenc_bytes(&mut text, set.as_bytes());
    entry(3, &text)
}

fn entry(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    put_lenenc_bytes(&mut out, data);
    out
}

/// An ERR packet's payload.
pub fn error_payload(code: u16, message: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    reply::Err { code, sqlstate: *b"HY000", message: message.as_bytes() }.put(&mut payload);
    payload
}

/// An ERR packet as the first of an answer.
pub fn error(code: u16, message: &str) -> Vec<u8> {
    packets(&[error_payload(code, message)])
}

/// A text result set, whole.
pub fn rows(columns: &[&str], rows: &[&[&str]]) -> Vec<u8> {
    packets(&row_payloads(columns, rows, status::AUTOCOMMIT))
}

/// The payloads of a text result set: the count, the columns, the rows, and the OK that ends them.
pub fn row_payloads(columns: &[&str], rows: &[&[&str]], flags: u16) -> Vec<Vec<u8>> {
    let mut payloads = vec![vec![columns.len() as u8]];
    payloads.extend(columns.iter().map(|name| column(name)));
    payloads.extend(rows.iter().map(|row| {
        let mut payload = Vec::new();
        row.iter().for_each(|value| put_lenenc_bytes(&mut payload, value.as_bytes()));
        payload
    }));
    payloads.push(ok_payload(marker::EOF, flags, b"", b""));
    payloads
}

/// `Protocol::ColumnDefinition41` of a VARCHAR.
pub fn column(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", "", "t", "t", name, name] {
        put_lenenc_bytes(&mut out, text.as_bytes());
    }
    out.extend_from_slice(&[0x0c, 45, 0, 0, 4, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
    out
}

/// COM_STMT_PREPARE_OK with its definitions.
pub fn prepared(id: u32, parameters: u16, columns: u16) -> Vec<u8> {
    let mut first = vec![0];
    first.extend_from_slice(&id.to_le_bytes());
    first.extend_from_slice(&columns.to_le_bytes());
    first.extend_from_slice(&parameters.to_le_bytes());
    first.extend_from_slice(&[0, 0, 0]);
    let mut payloads = vec![first];
    payloads.extend((0..parameters + columns).map(|_| column("?")));
    packets(&payloads)
}

/// A binary row of one VARCHAR.
pub fn binary_row(value: &str) -> Vec<u8> {
    let mut row = vec![0, 0];
    put_lenenc(&mut row, value.len() as u64);
    row.extend_from_slice(value.as_bytes());
    row
}

/// A binary result set of one column and one row.
pub fn binary_rows(value: &str, flags: u16) -> Vec<u8> {
    packets(&[vec![1], column("c"), binary_row(value), ok_payload(marker::EOF, flags, b"", b"")])
}

/// What opening a cursor is answered with.
pub fn cursor_opened() -> Vec<u8> {
    let flags = status::AUTOCOMMIT | status::CURSOR_EXISTS;
    packets(&[vec![1], column("c"), ok_payload(marker::EOF, flags, b"", b"")])
}

/// What COM_STMT_FETCH is answered with.
pub fn fetched(values: &[&str], last: bool) -> Vec<u8> {
    let flags = if last { status::LAST_ROW_SENT } else { status::CURSOR_EXISTS };
    let mut payloads: Vec<_> = values.iter().map(|value| binary_row(value)).collect();
    payloads.push(ok_payload(marker::EOF, status::AUTOCOMMIT | flags, b"", b""));
    packets(&payloads)
}

/// The payloads as packets numbered from 1.
pub fn packets(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    payloads.iter().fold(1, |sequence, payload| packet::put(&mut out, payload, sequence));
    out
}
