//! A client that logs in, asks, and keeps every byte that it is answered.

use std::io;

use dauphin_proto::{
    CapabilityFlags, auth,
    command::{self, code},
    connect::{Greeting, Login},
    field::Reader,
    packet::{self, HEADER},
    reply::{self, marker, status},
    response::Prepared,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How the client wants its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// With DEPRECATE_EOF and SESSION_TRACK.
    New,
    /// With neither.
    Old,
}

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An OK packet, with its status flags.
    Ok(u16),
    /// Text rows, of all result sets.
    Rows(Vec<Vec<String>>),
    /// An ERR packet, behind so many rows.
    Error {
        /// MySQL's number.
        code: u16,
        /// The words.
        message: String,
        /// Rows that came before it.
        rows: usize,
    },
    /// The connection ended instead, with so many bytes of a packet that was not whole.
    Lost {
        /// Rows that came before.
        rows: usize,
        /// Bytes behind the last whole packet.
        partial: usize,
    },
}

impl Answer {
    /// One row of one value.
    pub fn one(value: &str) -> Self {
        Self::Rows(vec![vec![value.to_owned()]])
    }

    /// The number of an error without rows before it.
    pub fn code(&self) -> Option<u16> {
        if let Self::Error { code, .. } = self { Some(*code) } else { None }
    }
}

/// A connection to dauphin.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    input: Vec<u8>,
    dialect: Dialect,
    /// The connection id that dauphin gave.
    pub id: u32,
    /// All bytes of the last answer.
    pub raw: Vec<u8>,
}

impl Client {
    /// Connects without a word.
    pub async fn dial(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new(), dialect: Dialect::New, id: 0, raw: Vec::new() })
    }

    /// Logs in as `app`.
    pub async fn log_in(address: &str, dialect: Dialect) -> io::Result<Self> {
        let mut client = Self::dial(address).await?;
        client.dialect = dialect;
        let greeting = client.packet().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let greeting = Greeting::parse(&greeting[HEADER..]).map_err(io::Error::other)?;
        client.id = greeting.connection_id;
        let mut capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_LOCAL_FILES
            | CapabilityFlags::CLIENT_MULTI_STATEMENTS
            | CapabilityFlags::CLIENT_MULTI_RESULTS;
        if dialect == Dialect::New {
            capabilities |= CapabilityFlags::CLIENT_DEPRECATE_EOF | CapabilityFlags::CLIENT_SESSION_TRACK;
        }
        let login = Login {
            capabilities,
            collation: 45,
            user: b"app".to_vec(),
            response: auth::answer_sha2(&greeting.nonce, b"app"),
            plugin: auth::CACHING_SHA2.into(),
            ..Login::default()
        };
        let mut payload = Vec::new();
        login.put(&mut payload);
        let mut out = Vec::new();
        packet::put(&mut out, &payload, 1);
        client.stream.write_all(&out).await?;
        loop {
            let packet = client.packet().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match packet[HEADER] {
                marker::OK => return Ok(client),
                marker::ERR => return Err(io::Error::other(String::from_utf8_lossy(&packet[HEADER..]))),
                _ => {}
            }
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("dauphin reads what its clients send");
    }

    /// Sends a COM_QUERY and does not wait.
    pub async fn ask(&mut self, text: &str) {
        let mut bytes = Vec::new();
        command::put_query(&mut bytes, text.as_bytes());
        self.send(&bytes).await;
    }

    /// Asks and reads the answer.
    pub async fn query(&mut self, text: &str) -> Answer {
        self.ask(text).await;
        self.answer().await
    }

    /// Prepares a statement; its id.
    pub async fn prepare(&mut self, text: &str) -> u32 {
        let mut bytes = Vec::new();
        command::put_command(&mut bytes, code::STMT_PREPARE, text.as_bytes());
        self.send(&bytes).await;
        self.raw = self.packet().await.expect("it is open").expect("an answer");
        let prepared = Prepared::parse(&self.raw[HEADER..]).expect("COM_STMT_PREPARE_OK");
        for count in [prepared.parameters, prepared.columns] {
            let eof = u16::from(count > 0 && self.dialect == Dialect::Old);
            for _ in 0..count + eof {
                let definition = self.packet().await.expect("it is open").expect("a definition");
                self.raw.extend_from_slice(&definition);
            }
        }
        prepared.statement_id
    }

    /// Closes a prepared statement.
    pub async fn close(&mut self, id: u32) {
        let mut bytes = Vec::new();
        command::put_command(&mut bytes, code::STMT_CLOSE, &id.to_le_bytes());
        self.send(&bytes).await;
    }

    /// Executes a statement without parameters and does not wait.
    pub async fn ask_execute(&mut self, id: u32, flags: u8) {
        let argument = [&id.to_le_bytes()[..], &[flags, 1, 0, 0, 0]].concat();
        let mut bytes = Vec::new();
        command::put_command(&mut bytes, code::STMT_EXECUTE, &argument);
        self.send(&bytes).await;
    }

    /// Executes a statement without parameters; its rows are of one VARCHAR.
    pub async fn execute(&mut self, id: u32, flags: u8) -> Answer {
        self.ask_execute(id, flags).await;
        self.binary(true).await
    }

    /// Fetches from a cursor.
    pub async fn fetch(&mut self, id: u32) -> Answer {
        let argument = [&id.to_le_bytes()[..], &[1, 0, 0, 0]].concat();
        let mut bytes = Vec::new();
        command::put_command(&mut bytes, code::STMT_FETCH, &argument);
        self.send(&bytes).await;
        self.binary(false).await
    }

    /// Reads the answer to a text statement.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = Reading { rows: Vec::new(), binary: false };
        answer.read(self, true).await
    }

    async fn binary(&mut self, columns: bool) -> Answer {
        let mut answer = Reading { rows: Vec::new(), binary: true };
        answer.read(self, columns).await
    }

    /// One packet; `None` if the connection has ended, even in the middle of one.
    pub async fn packet(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(packet) = packet::whole(&self.input) {
                let packet = packet.to_vec();
                self.input.drain(..packet.len());
                return Ok(Some(packet));
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the end of the connection; panics if there is anything but an ERR packet before it.
    pub async fn ends(&mut self) {
        while let Some(packet) = self.packet().await.expect("no other error than a reset") {
            assert_eq!(
                packet.get(HEADER),
                Some(&marker::ERR),
                "only an error comes before the end: {packet:?}"
            );
        }
        assert!(self.input.is_empty(), "the end is not in a packet: {:?}", self.input);
    }
}

struct Reading {
    rows: Vec<Vec<String>>,
    binary: bool,
}

impl Reading {
    async fn read(&mut self, client: &mut Client, with_columns: bool) -> Answer {
        client.raw.clear();
        let mut begun = false;
        loop {
            let Some(first) = self.next(client).await else { return self.lost(client) };
            let payload = &first[HEADER..];
            match payload.first().copied() {
                Some(marker::ERR) => return self.error(payload),
                Some(marker::OK) if with_columns => {
                    let flags = reply::Ok::parse(payload).expect("an OK packet").status;
                    if flags & status::MORE_RESULTS == 0 {
                        return if begun { self.all() } else { Answer::Ok(flags) };
                    }
                    continue;
                }
                _ => begun = true,
            }
            let mut row = Some(first.clone());
            if with_columns {
                row = None;
                let eof = u64::from(client.dialect == Dialect::Old);
                let count = Reader::new(payload, "a count").lenenc().expect("a column count");
                for at in 0..count + eof {
                    let Some(packet) = self.next(client).await else { return self.lost(client) };
                    // An opened cursor has one EOF packet only, which the loop below would wait for.
                    if at == count
                        && eof_status(&packet[HEADER..], client.dialect) & status::CURSOR_EXISTS != 0
                    {
                        return self.all();
                    }
                }
            }
            let flags = loop {
                let packet = match row.take() {
                    Some(packet) => packet,
                    None => match self.next(client).await {
                        Some(packet) => packet,
                        None => return self.lost(client),
                    },
                };
                let payload = &packet[HEADER..];
                match payload.first() {
                    Some(&marker::ERR) => return self.error(payload),
                    Some(&marker::EOF) => break eof_status(payload, client.dialect),
                    _ => self.rows.push(self.values(payload)),
                }
            };
            if flags & status::MORE_RESULTS == 0 {
                return self.all();
            }
        }
    }

    async fn next(&mut self, client: &mut Client) -> Option<Vec<u8>> {
        let packet = client.packet().await.expect("no other error than a reset")?;
        client.raw.extend_from_slice(&packet);
        Some(packet)
    }

    fn values(&self, payload: &[u8]) -> Vec<String> {
        let mut reader = Reader::new(payload, "a row");
        if self.binary {
            reader.bytes(2).expect("a binary row of one column");
        }
        let mut values = Vec::new();
        while !reader.is_empty() {
            values.push(String::from_utf8_lossy(reader.lenenc_bytes().expect("a value")).into_owned());
        }
        values
    }

    fn all(&mut self) -> Answer {
        Answer::Rows(std::mem::take(&mut self.rows))
    }

    fn error(&self, payload: &[u8]) -> Answer {
        let error = reply::Err::parse(payload).expect("an ERR packet");
        let message = String::from_utf8_lossy(error.message).into_owned();
        Answer::Error { code: error.code, message, rows: self.rows.len() }
    }

    fn lost(&self, client: &Client) -> Answer {
        Answer::Lost { rows: self.rows.len(), partial: client.input.len() }
    }
}

fn eof_status(payload: &[u8], dialect: Dialect) -> u16 {
    match dialect {
        Dialect::New => reply::Ok::parse(payload).expect("an OK packet ends rows").status,
        Dialect::Old => {
            assert_eq!((payload.len(), payload[0]), (5, marker::EOF), "an EOF packet");
            u16::from_le_bytes([payload[3], payload[4]])
        }
    }
}
