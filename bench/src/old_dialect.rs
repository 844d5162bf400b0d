//! Follows responses as a client without CLIENT_DEPRECATE_EOF sees them, packet by whole packet.

use anyhow::{Result, bail};
use dauphin_proto::{
    field::Reader,
    packet::{self, HEADER, MAX_PAYLOAD},
    reply::{Ok as OkPacket, marker, status},
    response::{Kind, Part, Prepared, Shape},
};

/// Where in a response the stream stands.
#[derive(Debug)]
pub struct OldTracker {
    phase: Phase,
    sequence: u8,
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    First,
    FirstPrepare,
    /// So many definitions, an EOF packet, and then something else.
    Definitions(u64, After),
    Rows,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Rows,
    /// The definitions of a prepared statement's columns.
    Columns(u64),
}

impl OldTracker {
    /// A tracker for one response.
    pub fn new(shape: Shape) -> Self {
        let phase = if shape == Shape::Prepare { Phase::FirstPrepare } else { Phase::First };
        Self { phase, sequence: 1, rows: 0 }
    }

    /// Whether the whole response has gone by.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::End
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the bytes at the start of `buffer` are.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Part> {
        if self.is_ended() {
            return Ok(Part::End);
        }
        let Some(packet) = packet::whole(buffer) else { return Ok(Part::Incomplete) };
        if packet[HEADER - 1] != self.sequence {
            bail!("packets out of order: got {}, expected {}", packet[HEADER - 1], self.sequence);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let payload = &packet[HEADER..];
        if payload.len() == MAX_PAYLOAD {
            bail!("a packet of 16 MiB, which this tracker does not follow");
        }
        let kind = self.packet(payload)?;
        let length = packet.len();
        Ok(kind.map_or(Part::Bytes(length), |kind| Part::Packet { length, kind }))
    }

    fn packet(&mut self, payload: &[u8]) -> Result<Option<Kind>> {
        let first = payload.first().copied();
        let is_eof = first == Some(marker::EOF) && payload.len() == 5;
        let (phase, kind) = match (self.phase, first) {
            (_, Some(marker::ERR)) => (Phase::End, Some(Kind::Err)),
            (Phase::First, Some(marker::OK)) => (after(OkPacket::parse(payload)?.status), Some(Kind::Ok)),
            (Phase::First, _) => {
                (Phase::Definitions(Reader::new(payload, "a column count").lenenc()?, After::Rows), None)
            }
            (Phase::FirstPrepare, _) => (prepared(payload)?, Some(Kind::Prepared)),
            (Phase::Definitions(0, _), _) if !is_eof => bail!("no EOF packet behind definitions"),
            (Phase::Definitions(0, After::Rows), _) => (Phase::Rows, None),
            (Phase::Definitions(0, After::Columns(0)), _) => (Phase::End, None),
            (Phase::Definitions(0, After::Columns(n)), _) => (Phase::Definitions(n, After::Columns(0)), None),
            (Phase::Definitions(n, then), _) => (Phase::Definitions(n - 1, then), None),
            (Phase::Rows, _) if is_eof => (after(eof_status(payload)), Some(Kind::RowsEnd)),
            (Phase::Rows, _) => {
                self.rows += 1;
                (Phase::Rows, None)
            }
            (Phase::End, _) => bail!("a packet behind the end"),
        };
        self.phase = phase;
        Ok(kind)
    }
}

/// The status in an EOF packet: marker, `int<2> warnings`, `int<2> status_flags`.
pub fn eof_status(payload: &[u8]) -> u16 {
    payload.last_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn after(flags: u16) -> Phase {
    if flags & status::MORE_RESULTS != 0 { Phase::First } else { Phase::End }
}

fn prepared(payload: &[u8]) -> Result<Phase> {
    let prepared = Prepared::parse(payload)?;
    Ok(match (prepared.parameters, prepared.columns) {
        (0, 0) => Phase::End,
        (0, columns) => Phase::Definitions(columns.into(), After::Columns(0)),
        (parameters, columns) => Phase::Definitions(parameters.into(), After::Columns(columns.into())),
    })
}
