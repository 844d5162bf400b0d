//! Replies made beforehand: an answer is a copy, and at most a row's id written into it.

use std::ops::Range;

use dauphin_proto::{
    field::{put_lenenc, put_lenenc_bytes},
    packet::{self, HEADER},
    reply::{self, marker, status},
};

/// Digits of an id in a text row: of fixed width, so that one row fits all ids.
const DIGITS: usize = 8;
const MEBIBYTE: usize = 1 << 20;
/// Rows in the piece of the 1 GiB result that is sent over and over: with 256 the sequence numbers come round.
const ROWS_PER_PIECE: usize = 256;

/// How a session wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// CLIENT_DEPRECATE_EOF.
    pub deprecate_eof: bool,
    /// `session_track_gtids` is on, and CLIENT_SESSION_TRACK.
    pub gtids: bool,
    /// Inside a transaction.
    pub in_transaction: bool,
}

/// All replies in all dialects.
#[derive(Debug)]
pub struct Book {
    sheets: Vec<Sheet>,
}

/// All replies in one dialect.
#[derive(Debug)]
pub struct Sheet {
    /// OK.
    pub ok: Vec<u8>,
    /// OK for one changed row, with a GTID where one is due.
    pub changed: Vec<u8>,
    /// OK for a transaction that has ended, with a GTID where one is due.
    pub committed: Vec<u8>,
    text_row: Template,
    binary_row: Template,
    text_rows: Vec<u8>,
    binary_rows: Vec<u8>,
    mebibyte: [Piece; 1],
    gibibyte: [Piece; 3],
}

/// A reply with a place for an id.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    id: Range<usize>,
}

/// Bytes to send so many times.
#[derive(Debug)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many times.
    pub times: usize,
}

/// A reply too large to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Large {
    /// One row of 1 MiB.
    Mebibyte,
    /// 1 GiB of rows.
    Gibibyte,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    C,
    Body,
}

impl Book {
    /// Makes all replies; `gtid` is the one that every change gets.
    pub fn new(gtid: &str) -> Self {
        let dialect = |bits: u8| Dialect {
            deprecate_eof: bits & 1 != 0,
            gtids: bits & 2 != 0,
            in_transaction: bits & 4 != 0,
        };
        Self { sheets: (0..8).map(|bits| Sheet::new(dialect(bits), gtid)).collect() }
    }

    /// The replies for a session.
    pub fn sheet(&self, dialect: Dialect) -> &Sheet {
        let Dialect { deprecate_eof, gtids, in_transaction } = dialect;
        &self.sheets[usize::from(deprecate_eof) | usize::from(gtids) << 1 | usize::from(in_transaction) << 2]
    }
}

impl Sheet {
    fn new(dialect: Dialect, gtid: &str) -> Self {
        let rows = |row: &[u8]| result(&[Column::Id, Column::C], &vec![row.to_vec(); 100], dialect);
        let mebibyte = result(&[Column::Body], &[text_values(&[&vec![b'x'; MEBIBYTE]])], dialect);
        let autocommit = Dialect { in_transaction: false, ..dialect };
        Self {
            ok: ok(0, dialect, ""),
            changed: ok(1, dialect, if dialect.in_transaction { "" } else { gtid }),
            committed: ok(0, autocommit, gtid),
            text_row: Template::new(dialect, &text_row(), 1..1 + DIGITS),
            binary_row: Template::new(dialect, &binary_row(), 2..10),
            text_rows: rows(&text_row()),
            binary_rows: rows(&binary_row()),
            mebibyte: [Piece { bytes: mebibyte, times: 1 }],
            gibibyte: gibibyte(dialect),
        }
    }

    /// Appends a text result of one row.
    pub fn put_text_row(&self, id: u64, out: &mut Vec<u8>) {
        let place = self.text_row.put(out);
        let mut rest = id;
        for digit in place.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// Appends a binary result of one row.
    pub fn put_binary_row(&self, id: u64, out: &mut Vec<u8>) {
        self.binary_row.put(out).copy_from_slice(&id.to_le_bytes());
    }

    /// A result of a hundred rows.
    pub fn hundred(&self, binary: bool) -> &[u8] {
        if binary { &self.binary_rows } else { &self.text_rows }
    }

    /// The pieces of a large result.
    pub fn large(&self, large: Large) -> &[Piece] {
        match large {
            Large::Mebibyte => &self.mebibyte,
            Large::Gibibyte => &self.gibibyte,
        }
    }
}

impl Template {
    fn new(dialect: Dialect, row: &[u8], id: Range<usize>) -> Self {
        let head = head(&[Column::Id, Column::C], dialect).0.len() + HEADER;
        let bytes = result(&[Column::Id, Column::C], &[row.to_vec()], dialect);
        Self { bytes, id: head + id.start..head + id.end }
    }

    fn put<'a>(&self, out: &'a mut Vec<u8>) -> &'a mut [u8] {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        &mut out[start + self.id.start..start + self.id.end]
    }
}

fn flags(dialect: Dialect) -> u16 {
    status::AUTOCOMMIT | if dialect.in_transaction { status::IN_TRANS } else { 0 }
}

fn ok(affected_rows: u64, dialect: Dialect, gtid: &str) -> Vec<u8> {
    let mut state = Vec::new();
    if dialect.gtids && !gtid.is_empty() {
        const SESSION_TRACK_GTIDS: u8 = 3;
        let mut entry = vec![0]; // encoding specification: text
        put_lenenc_bytes(&mut entry, gtid.as_bytes());
        state.push(SESSION_TRACK_GTIDS);
        put_lenenc_bytes(&mut state, &entry);
    }
    ok_with_state(affected_rows, flags(dialect), &state)
}

/// An OK packet with this session-state block.
pub fn ok_with_state(affected_rows: u64, flags: u16, state: &[u8]) -> Vec<u8> {
    let status = flags | if state.is_empty() { 0 } else { status::STATE_CHANGED };
    let ok = reply::Ok {
        header: marker::OK,
        affected_rows,
        last_insert_id: 0,
        status,
        warnings: 0,
        info: b"",
        state,
    };
    let mut out = Vec::new();
    packet::put_with(&mut out, 1, |out| ok.put(out, true));
    out
}

fn text_row() -> Vec<u8> {
    text_values(&[&[b'0'; DIGITS], &[b'c'; 120]])
}

fn text_values(values: &[&[u8]]) -> Vec<u8> {
    let mut row = Vec::new();
    values.iter().for_each(|value| put_lenenc_bytes(&mut row, value));
    row
}

/// Header, NULL bitmap, a BIGINT and a string.
fn binary_row() -> Vec<u8> {
    let mut row = vec![0; 2 + 8];
    put_lenenc_bytes(&mut row, &[b'c'; 120]);
    row
}

/// A whole result set.
fn result(columns: &[Column], rows: &[Vec<u8>], dialect: Dialect) -> Vec<u8> {
    let (mut out, mut sequence) = head(columns, dialect);
    for row in rows {
        sequence = packet::put(&mut out, row, sequence);
    }
    put_end(&mut out, sequence, dialect);
    out
}

fn gibibyte(dialect: Dialect) -> [Piece; 3] {
    let (head, first) = head(&[Column::Body], dialect);
    let row = text_values(&[&[b'x'; MEBIBYTE / ROWS_PER_PIECE - HEADER - 3]]);
    let mut rows = Vec::with_capacity(MEBIBYTE);
    let sequence = (0..ROWS_PER_PIECE).fold(first, |sequence, _| packet::put(&mut rows, &row, sequence));
    let mut tail = Vec::new();
    put_end(&mut tail, sequence, dialect);
    [(head, 1), (rows, 1024), (tail, 1)].map(|(bytes, times)| Piece { bytes, times })
}

/// Everything before the rows, and the first row's sequence number.
fn head(columns: &[Column], dialect: Dialect) -> (Vec<u8>, u8) {
    let mut out = Vec::new();
    let mut sequence = packet::put_with(&mut out, 1, |out| put_lenenc(out, columns.len() as u64));
    sequence = put_columns(&mut out, columns, sequence, dialect);
    (out, sequence)
}

fn put_columns(out: &mut Vec<u8>, columns: &[Column], mut sequence: u8, dialect: Dialect) -> u8 {
    for column in columns {
        sequence = packet::put_with(out, sequence, |out| column.put(out));
    }
    if dialect.deprecate_eof {
        return sequence;
    }
    packet::put_with(out, sequence, |out| reply::put_eof(out, 0, flags(dialect)))
}

fn put_end(out: &mut Vec<u8>, sequence: u8, dialect: Dialect) {
    let status = flags(dialect);
    packet::put_with(out, sequence, |out| {
        if dialect.deprecate_eof {
            let header = marker::EOF;
            let end = reply::Ok {
                header,
                affected_rows: 0,
                last_insert_id: 0,
                status,
                warnings: 0,
                info: b"",
                state: b"",
            };
            end.put(out, false);
        } else {
            reply::put_eof(out, 0, status);
        }
    });
}

/// Appends the answer to COM_STMT_PREPARE; `rows`: whether the statement has a result set, of the table's two columns.
pub fn put_prepared(out: &mut Vec<u8>, statement: u32, parameters: u16, rows: bool, dialect: Dialect) {
    let columns: &[Column] = if rows { &[Column::Id, Column::C] } else { &[] };
    let mut sequence = packet::put_with(out, 1, |out| {
        out.push(marker::OK);
        out.extend_from_slice(&statement.to_le_bytes());
        out.extend_from_slice(&(columns.len() as u16).to_le_bytes());
        out.extend_from_slice(&parameters.to_le_bytes());
        out.extend_from_slice(&[0, 0, 0]); // filler, warning_count
    });
    if parameters > 0 {
        sequence = put_columns(out, &vec![Column::Id; parameters.into()], sequence, dialect);
    }
    if !columns.is_empty() {
        put_columns(out, columns, sequence, dialect);
    }
}

impl Column {
    /// `Protocol::ColumnDefinition41`
    fn put(self, out: &mut Vec<u8>) {
        const BINARY: u16 = 63;
        const UTF8MB4: u16 = 255;
        let (table, name, charset, length, kind) = match self {
            Self::Id => ("bench", "id", BINARY, 20u32, 0x08u8), // BIGINT
            Self::C => ("bench", "c", UTF8MB4, 480, 0xfe),      // CHAR
            Self::Body => ("bench_body", "body", UTF8MB4, u32::MAX, 0xfc), // LONGTEXT
        };
        for text in ["def", "test", table, table, name, name] {
            put_lenenc_bytes(out, text.as_bytes());
        }
        out.push(0x0c);
        out.extend_from_slice(&charset.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
    }
}
