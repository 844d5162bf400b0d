//! One response, followed to its end and held against what was expected of it.

use anyhow::{Result, bail};
use dauphin_proto::{
    field::Reader,
    packet,
    reply::{self, status},
    response::{Kind, Part, Prepared, Shape, Tracker},
};

use crate::old_dialect::{OldTracker, eof_status};

/// What a right response looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// OK, leaving the session inside a transaction or outside.
    Ok { in_transaction: bool },
    /// OK for a change of one row.
    Changed { in_transaction: bool },
    /// COM_STMT_PREPARE_OK.
    Prepared,
    /// One row whose first column is this number.
    Row { id: u64, format: Format },
    /// So many rows.
    Rows(u64),
    /// One row, in a response of at least so many bytes.
    Bytes(u64),
}

/// How a result set's rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// COM_QUERY's.
    Text,
    /// COM_STMT_EXECUTE's.
    Binary,
}

impl Expect {
    fn shape(self) -> Shape {
        if self == Self::Prepared { Shape::Prepare } else { Shape::Query }
    }
}

/// How result sets are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// CLIENT_DEPRECATE_EOF: an OK packet ends the rows.
    New,
    /// EOF packets behind the definitions and the rows, as Go's driver and older ones want them.
    Old,
}

/// Follows one response through a buffer that starts where the response does.
#[derive(Debug)]
pub struct Response {
    expect: Expect,
    tracker: Follower,
    /// Bytes at the start of the buffer that were followed already.
    at: usize,
    bytes: u64,
    end: Option<End>,
}

#[derive(Debug)]
enum Follower {
    New(Tracker),
    Old(OldTracker),
}

impl Follower {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Part> {
        match self {
            Self::New(tracker) => Ok(tracker.next(buffer)?),
            Self::Old(tracker) => tracker.next(buffer),
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::New(tracker) => tracker.is_ended(),
            Self::Old(tracker) => tracker.is_ended(),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::New(tracker) => tracker.rows(),
            Self::Old(tracker) => tracker.rows(),
        }
    }
}

/// What a response ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Ok { affected_rows: u64, status: u16 },
    Error(u16),
    Prepared,
}

/// Why a response is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// An ERR packet with this number.
    Error(u16),
    /// What does not fit what was asked.
    Answer(&'static str),
}

impl Response {
    /// The response to what was just sent.
    pub fn new(expect: Expect, dialect: Dialect) -> Self {
        let tracker = match dialect {
            Dialect::New => Follower::New(Tracker::new(expect.shape(), false)),
            Dialect::Old => Follower::Old(OldTracker::new(expect.shape())),
        };
        Self { expect, tracker, at: 0, bytes: 0, end: None }
    }

    /// Follows what is new in `buffer`; whether the response has ended.
    pub fn advance(&mut self, buffer: &mut [u8]) -> Result<bool> {
        while !self.tracker.is_ended() {
            let rest = &mut buffer[self.at..];
            let n = match self.tracker.next(rest)? {
                Part::Bytes(n) => n,
                Part::Packet { length, kind } => {
                    self.end = Some(end(kind, &rest[packet::HEADER..length])?);
                    length
                }
                Part::InsertEof(_) => 0,
                Part::Incomplete | Part::End => break,
            };
            self.at += n;
            self.bytes += n as u64;
        }
        Ok(self.tracker.is_ended())
    }

    /// Whether the response is looked at as a whole in the end, so that its bytes must be kept till then.
    pub fn keeps_bytes(&self) -> bool {
        !matches!(self.expect, Expect::Bytes(_))
    }

    /// The id in the COM_STMT_PREPARE_OK at the start of the whole response.
    pub fn statement(&self, buffer: &[u8]) -> Option<u32> {
        let payload = packet::whole(buffer).filter(|_| self.end == Some(End::Prepared))?;
        Some(Prepared::parse(&payload[packet::HEADER..]).ok()?.statement_id)
    }

    /// How many bytes at the start of the buffer were followed: the caller removes them.
    pub fn take(&mut self) -> usize {
        std::mem::take(&mut self.at)
    }

    /// Whether the response that ended within `buffer` is right.
    pub fn verify(&self, buffer: &[u8]) -> Result<(), Wrong> {
        if let Some(End::Error(code)) = self.end {
            return Err(Wrong::Error(code));
        }
        if buffer.len() != self.at {
            return Err(Wrong::Answer("bytes behind the end"));
        }
        match self.expect {
            Expect::Ok { in_transaction } => self.verify_ok(in_transaction, None),
            Expect::Changed { in_transaction } => self.verify_ok(in_transaction, Some(1)),
            Expect::Prepared => Ok(()),
            Expect::Row { .. } | Expect::Bytes(_) if self.tracker.rows() != 1 => {
                Err(Wrong::Answer("not one row"))
            }
            Expect::Row { id, format } if self.first_number(buffer, format) != Some(id) => {
                Err(Wrong::Answer("another row than asked for"))
            }
            Expect::Bytes(n) if self.bytes < n => Err(Wrong::Answer("too few bytes")),
            Expect::Rows(n) if self.tracker.rows() != n => Err(Wrong::Answer("another number of rows")),
            Expect::Row { .. } | Expect::Bytes(_) | Expect::Rows(_) => Ok(()),
        }
    }

    fn verify_ok(&self, in_transaction: bool, changed: Option<u64>) -> Result<(), Wrong> {
        let Some(End::Ok { affected_rows, status }) = self.end else {
            return Err(Wrong::Answer("not an OK packet"));
        };
        if (status & status::IN_TRANS != 0) != in_transaction {
            return Err(Wrong::Answer("another transaction state"));
        }
        if changed.is_some_and(|rows| rows != affected_rows) {
            return Err(Wrong::Answer("another number of changed rows"));
        }
        Ok(())
    }

    /// The first column of the first row.
    fn first_number(&self, mut buffer: &[u8], format: Format) -> Option<u64> {
        let mut next = || {
            let packet = packet::whole(buffer)?;
            buffer = &buffer[packet.len()..];
            Some(&packet[packet::HEADER..])
        };
        let columns = Reader::new(next()?, "a column count").lenenc().ok()?;
        let eof = u64::from(matches!(self.tracker, Follower::Old(_)));
        for _ in 0..columns + eof {
            next()?;
        }
        let mut row = Reader::new(next()?, "a row");
        match format {
            Format::Text => std::str::from_utf8(row.lenenc_bytes().ok()?).ok()?.parse().ok(),
            Format::Binary => {
                row.u8().ok()?;
                row.bytes((columns as usize + 9) / 8).ok()?; // NULL bitmap, offset by two bits
                Some(u64::from_le_bytes(row.bytes(8).ok()?.try_into().ok()?))
            }
        }
    }
}

/// The payload of an EOF packet; an OK packet has at least 7 bytes.
const EOF: usize = 5;

fn end(kind: Kind, payload: &[u8]) -> Result<End> {
    Ok(match kind {
        Kind::RowsEnd if payload.len() == EOF => End::Ok { affected_rows: 0, status: eof_status(payload) },
        Kind::Ok | Kind::RowsEnd => {
            let ok = reply::Ok::parse(payload)?;
            End::Ok { affected_rows: ok.affected_rows, status: ok.status }
        }
        Kind::Err => End::Error(reply::Err::parse(payload)?.code),
        Kind::Prepared => End::Prepared,
        Kind::LocalInfile => bail!("the server asks for a file"),
    })
}
