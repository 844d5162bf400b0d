//! What a command was answered with, as lines that can be compared: every field of every packet.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use dauphin_proto::{
    command::code,
    field::Reader,
    reply::{self, marker, status},
};

use crate::raw::Raw;

/// How the client wants result sets to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// EOF packets.
    Eof,
    /// DEPRECATE_EOF: OK packets.
    Ok,
}

/// The status flags that must be the same (README.md says why two need not): not METADATA_CHANGED, not STATE_CHANGED.
const COMPARED: u16 = !(0x0400 | status::STATE_CHANGED);

/// An answer, packet by packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub lines: Vec<String>,
}

impl Answer {
    /// Whether it ends with an error.
    pub fn is_error(&self) -> bool {
        self.lines.last().is_some_and(|line| line.starts_with("error"))
    }

    /// What is the same in every run of a step whose rows are not: a column may be as long as its value.
    pub fn without_rows(&self) -> Self {
        let plain = |line: &String| match line.split_once(" length=") {
            _ if is_row(line) => "row".to_owned(),
            Some((start, rest)) => {
                format!("{start}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line.clone(),
        };
        Self { lines: self.lines.iter().map(plain).collect() }
    }

    /// Its rows in an order of ours.
    pub fn sorted(mut self) -> Self {
        self.lines.chunk_by_mut(|a, b| is_row(a) && is_row(b)).for_each(<[String]>::sort);
        self
    }

    /// Takes the ids of prepared statements out of errors' texts: servers count them otherwise than dauphin.
    pub fn forget_ids(&mut self, ids: &[u32]) {
        for line in self.lines.iter_mut().filter(|line| line.starts_with("error")) {
            for id in ids {
                *line = line.replace(&format!("({id})"), "(an id)");
            }
        }
    }

    /// Reads the answer to a command.
    pub async fn read(raw: &mut Raw, dialect: Dialect, command: u8) -> Result<Self> {
        let mut answer = Self::default();
        match command {
            code::STMT_CLOSE | code::STMT_SEND_LONG_DATA => {}
            code::STMT_FETCH => _ = answer.rows(raw, dialect, true).await?,
            code::STATISTICS => {
                raw.packet().await?;
                answer.lines.push("a line of text".to_owned());
            }
            code::FIELD_LIST => answer.fields(raw, dialect).await?,
            _ => while answer.result(raw, dialect, command == code::STMT_EXECUTE).await? {},
        }
        Ok(answer)
    }

    /// The statement's id, if it was prepared.
    pub async fn prepared(&mut self, raw: &mut Raw, dialect: Dialect) -> Result<Option<u32>> {
        let first = raw.packet().await?;
        if self.refused(&first)? {
            return Ok(None);
        }
        let mut reader = Reader::new(&first[1..], "an answer to COM_STMT_PREPARE");
        let (id, columns, parameters) = (reader.u32()?, reader.u16()?, reader.u16()?);
        reader.u8()?;
        let warnings = reader.u16()?;
        self.lines.push(format!("prepared columns={columns} parameters={parameters} warnings={warnings}"));
        for count in [parameters, columns].into_iter().filter(|count| *count > 0) {
            for _ in 0..count {
                let definition = raw.packet().await?;
                self.column(&definition)?;
            }
            if dialect == Dialect::Eof {
                let end = raw.packet().await?;
                self.columns_end(&end)?;
            }
        }
        Ok(Some(id))
    }

    /// One result; whether more follow.
    async fn result(&mut self, raw: &mut Raw, dialect: Dialect, binary: bool) -> Result<bool> {
        let first = raw.packet().await?;
        if self.refused(&first)? {
            return Ok(false);
        }
        if first[0] == marker::OK {
            return self.ok("ok", &first);
        }
        if first[0] == marker::EOF {
            return Ok(self.end(&first)? & status::MORE_RESULTS != 0);
        }
        let columns = Reader::new(&first, "a column count").lenenc()?;
        self.lines.push(format!("columns {columns}"));
        for _ in 0..columns {
            let definition = raw.packet().await?;
            self.column(&definition)?;
        }
        if dialect == Dialect::Eof && self.columns_end(&raw.packet().await?)? & status::CURSOR_EXISTS != 0 {
            return Ok(false);
        }
        self.rows(raw, dialect, binary).await
    }

    /// Rows to their end; whether another result follows.
    async fn rows(&mut self, raw: &mut Raw, dialect: Dialect, binary: bool) -> Result<bool> {
        loop {
            let packet = raw.packet().await?;
            if self.refused(&packet)? {
                return Ok(false);
            }
            // A row that begins with 0xfe has a value of at least 16 MiB; no script has one.
            if packet[0] == marker::EOF {
                return Ok(match dialect {
                    Dialect::Eof => self.end(&packet)? & status::MORE_RESULTS != 0,
                    Dialect::Ok => self.ok("end", &packet)?,
                });
            }
            self.lines.push(row(&packet, binary)?);
        }
    }

    /// COM_FIELD_LIST's answer: definitions, with default values, and an end.
    async fn fields(&mut self, raw: &mut Raw, dialect: Dialect) -> Result<()> {
        loop {
            let packet = raw.packet().await?;
            if self.refused(&packet)? {
                return Ok(());
            }
            if packet[0] == marker::EOF {
                match dialect {
                    Dialect::Eof => _ = self.end(&packet)?,
                    Dialect::Ok => _ = self.ok("end", &packet)?,
                }
                return Ok(());
            }
            self.column(&packet)?;
        }
    }

    fn refused(&mut self, packet: &[u8]) -> Result<bool> {
        if packet.first() != Some(&marker::ERR) {
            return Ok(false);
        }
        let error = reply::Err::parse(packet)?;
        let state = String::from_utf8_lossy(&error.sqlstate).into_owned();
        self.lines.push(format!("error {} ({state}): {}", error.code, error.message.escape_ascii()));
        Ok(true)
    }

    /// Whether more results follow.
    fn ok(&mut self, word: &str, packet: &[u8]) -> Result<bool> {
        // Without SESSION_TRACK the text is all that is left, without a length.
        let mut reader = Reader::new(packet, "an OK packet");
        reader.u8()?;
        let (affected, id) = (reader.lenenc()?, reader.lenenc()?);
        let flags = reader.u16()? & COMPARED;
        // A result that stored code breaks off ends with an EOF packet, which is shorter (MySQL).
        let warnings = if reader.is_empty() { 0 } else { reader.u16()? };
        let info = reader.rest().escape_ascii();
        self.lines.push(format!(
            "{word} affected={affected} insert_id={id} status={flags:#06x} warnings={warnings} info={info}"
        ));
        Ok(flags & status::MORE_RESULTS != 0)
    }

    /// The EOF behind definitions, of which only some flags mean anything yet (README.md: what differs).
    fn columns_end(&mut self, packet: &[u8]) -> Result<u16> {
        let mut reader = Reader::new(packet, "an EOF packet");
        reader.u8()?;
        reader.u16()?;
        let flags = reader.u16()? & (status::AUTOCOMMIT | status::CURSOR_EXISTS);
        self.lines.push(format!("columns end status={flags:#06x}"));
        Ok(flags)
    }

    /// The status flags of an EOF packet.
    fn end(&mut self, packet: &[u8]) -> Result<u16> {
        let mut reader = Reader::new(packet, "an EOF packet");
        reader.u8()?;
        let (warnings, flags) = (reader.u16()?, reader.u16()? & COMPARED);
        self.lines.push(format!("end status={flags:#06x} warnings={warnings}"));
        Ok(flags)
    }

    fn column(&mut self, packet: &[u8]) -> Result<()> {
        let mut reader = Reader::new(packet, "a column definition");
        let mut line = String::from("column");
        for name in ["catalogue", "schema", "table", "org_table", "name", "org_name"] {
            write!(line, " {name}={}", reader.lenenc_bytes()?.escape_ascii())?;
        }
        reader.u8()?;
        let (charset, length, kind) = (reader.u16()?, reader.u32()?, reader.u8()?);
        let (flags, decimals) = (reader.u16()?, reader.u8()?);
        write!(
            line,
            " charset={charset} length={length} type={kind:#04x} flags={flags:#06x} decimals={decimals}"
        )?;
        write!(line, " rest={}", reader.rest().escape_ascii())?;
        self.lines.push(line);
        Ok(())
    }
}

fn is_row(line: &str) -> bool {
    line.starts_with("row")
}

fn row(packet: &[u8], binary: bool) -> Result<String> {
    if binary {
        return Ok(format!("row {}", packet.escape_ascii()));
    }
    let mut reader = Reader::new(packet, "a row");
    let mut line = String::from("row");
    while let Some(first) = reader.rest().first() {
        if *first == 0xfb {
            reader.u8()?;
            line.push_str(" NULL");
        } else {
            write!(line, " '{}'", reader.lenenc_bytes().context("a value")?.escape_ascii())?;
        }
    }
    Ok(line)
}
