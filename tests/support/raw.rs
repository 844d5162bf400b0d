//! A client that speaks the protocol byte by byte, for what drivers hide: how the login went, cursors, ids, flags.

use std::{mem::MaybeUninit, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use dauphin_proto::{
    CapabilityFlags, auth,
    command::{Queries, code},
    connect::{AUTH_MORE_DATA, AuthSwitch, Greeting, Login, NONCE},
    field::Reader,
    packet::{self, HEADER, Header, MAX_PAYLOAD},
    reply::{self, marker, status},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A client without TLS and without DEPRECATE_EOF.
pub struct Raw {
    stream: TcpStream,
    /// The id that the greeting gave.
    pub id: u32,
    /// What happened between the client's first answer and OK: `switch <method>`, `key`, `fast`, `full`.
    pub login: Vec<String>,
    /// Query attributes are spoken if they were asked for and offered.
    pub queries: Queries,
    /// What was asked for, and offered, of MariaDB's extended capabilities.
    pub extended: u32,
    sequence: u8,
}

/// An ERR packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({sqlstate}): {message}")]
pub struct Refusal {
    pub code: u16,
    pub sqlstate: String,
    pub message: String,
}

/// What a command was answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: u64,
    pub rows: Vec<Vec<u8>>,
    pub status: u16,
    /// What an OK packet says.
    pub affected: u64,
    pub inserted: u64,
}

const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD);

impl Raw {
    /// Whether the other side has closed the connection by now.
    pub fn is_at_end(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        matches!(socket2::SockRef::from(&self.stream).peek(&mut byte), Ok(0))
    }

    /// Logs in; the error is a [`Refusal`] where the other side refuses.
    pub async fn connect(
        address: SocketAddr,
        user: &str,
        password: &str,
        schema: Option<&str>,
    ) -> Result<Self> {
        Self::connect_with(address, user, password, schema, CapabilityFlags::empty()).await
    }

    /// The same with more capabilities than this client has by itself; what they change in answers is the caller's to read.
    pub async fn connect_with(
        address: SocketAddr,
        user: &str,
        password: &str,
        schema: Option<&str>,
        more: CapabilityFlags,
    ) -> Result<Self> {
        Self::connect_extended(address, user, password, schema, more, 0).await
    }

    /// The same with these of MariaDB's extended capabilities, as far as they are offered.
    pub async fn connect_extended(
        address: SocketAddr,
        user: &str,
        password: &str,
        schema: Option<&str>,
        more: CapabilityFlags,
        extended: u32,
    ) -> Result<Self> {
        Self::log_in(address, user, password, schema, more, extended, Vec::new()).await
    }

    /// The same with these connection attributes, length-encoded names and values.
    #[allow(dead_code)] // only tests/it has such clients
    pub async fn connect_saying(
        address: SocketAddr,
        user: &str,
        password: &str,
        schema: Option<&str>,
        attributes: Vec<u8>,
    ) -> Result<Self> {
        let more = CapabilityFlags::CLIENT_CONNECT_ATTRS;
        Self::log_in(address, user, password, schema, more, 0, attributes).await
    }

    async fn log_in(
        address: SocketAddr,
        user: &str,
        password: &str,
        schema: Option<&str>,
        more: CapabilityFlags,
        extended: u32,
        attributes: Vec<u8>,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut raw =
            Self { stream, id: 0, login: Vec::new(), sequence: 0, queries: Queries::Plain, extended };
        let greeting = raw.packet().await?;
        if let Some(refusal) = refusal(&greeting) {
            return Err(refusal.into());
        }
        let greeting = Greeting::parse(&greeting)?;
        raw.id = greeting.connection_id;
        raw.extended &= greeting.extended;
        let plugin = if greeting.plugin == auth::NATIVE { auth::NATIVE } else { auth::CACHING_SHA2 };
        let mut capabilities = CAPABILITIES | more;
        capabilities.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, schema.is_some());
        if !greeting.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            capabilities.remove(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES);
        }
        if capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            raw.queries = Queries::WithAttributes;
        }
        let login = Login {
            capabilities,
            extended: raw.extended,
            max_packet: 1 << 30,
            collation: 45, // utf8mb4_general_ci
            user: user.into(),
            response: proof(plugin, &greeting.nonce, password)?,
            schema: schema.map(Into::into),
            plugin: plugin.to_owned(),
            attributes,
            zstd_level: 0,
        };
        let mut payload = Vec::new();
        login.put(&mut payload);
        raw.reply(&payload).await?;
        raw.prove(greeting.nonce, password).await?;
        Ok(raw)
    }

    /// COM_CHANGE_USER, without a proof at first: the other side then asks for one.
    #[allow(dead_code)] // only tests/routing changes users byte by byte
    pub async fn change_user(&mut self, user: &str, password: &str, schema: &str) -> Result<()> {
        self.change_user_saying(user, password, schema, &[]).await
    }

    /// The same with what a client with CLIENT_CONNECT_ATTRS sends behind it: its attributes and their length.
    pub async fn change_user_saying(
        &mut self,
        user: &str,
        password: &str,
        schema: &str,
        attributes: &[u8],
    ) -> Result<()> {
        let mut argument = [user.as_bytes(), &[0, 0], schema.as_bytes(), &[0]].concat();
        argument.extend(45_u16.to_le_bytes());
        argument.extend_from_slice(b"mysql_native_password\0");
        argument.extend_from_slice(attributes);
        self.command(code::CHANGE_USER, &argument).await?;
        self.prove([0; NONCE], password).await
    }

    async fn prove(&mut self, mut nonce: [u8; NONCE], password: &str) -> Result<()> {
        loop {
            let payload = self.packet().await?;
            match payload[..] {
                [marker::OK, ..] => return Ok(()),
                [marker::ERR, ..] => return Err(refusal(&payload).context("an ERR packet")?.into()),
                [marker::EOF, ..] => {
                    let switch = AuthSwitch::parse(&payload)?;
                    self.login.push(format!("switch {}", switch.plugin));
                    nonce = switch.nonce.try_into().ok().context("a nonce of 20 bytes")?;
                    self.reply(&proof(&switch.plugin, &nonce, password)?).await?;
                }
                [AUTH_MORE_DATA, auth::SHA2_FAST_OK] => self.login.push("fast".to_owned()),
                [AUTH_MORE_DATA, auth::SHA2_FULL] => {
                    self.login.push("full".to_owned());
                    self.reply(&[auth::SHA2_REQUEST_KEY]).await?;
                }
                [AUTH_MORE_DATA, ref key @ ..] => {
                    self.login.push("key".to_owned());
                    let mut hidden = [password.as_bytes(), &[0]].concat();
                    auth::xor_with_nonce(&mut hidden, &nonce);
                    let encrypted = auth::encrypt_for_server(&hidden, key)?;
                    self.reply(&encrypted).await?;
                }
                _ => bail!("what is {payload:?} in a login?"),
            }
        }
    }

    /// COM_QUERY.
    pub async fn query(&mut self, text: &str) -> Result<Answer> {
        let head: &[u8] = if self.queries == Queries::Plain { b"" } else { &[0, 1] };
        self.command(code::QUERY, &[head, text.as_bytes()].concat()).await?;
        self.answer().await
    }

    /// COM_STMT_PREPARE: the statement's id.
    pub async fn prepare(&mut self, text: &str) -> Result<u32> {
        self.command(code::STMT_PREPARE, text.as_bytes()).await?;
        self.prepared().await
    }

    /// The answer to COM_STMT_PREPARE: the statement's id.
    pub async fn prepared(&mut self) -> Result<u32> {
        let first = self.packet().await?;
        if let Some(refusal) = refusal(&first) {
            return Err(refusal.into());
        }
        let mut reader = Reader::new(&first[1..], "an answer to COM_STMT_PREPARE");
        let (id, columns, parameters) = (reader.u32()?, reader.u16()?, reader.u16()?);
        for count in [parameters, columns] {
            for _ in 0..if count == 0 { 0 } else { count + 1 } {
                self.packet().await?;
            }
        }
        Ok(id)
    }

    /// Sends a command; its answer, if it has one, is to be read.
    pub async fn command(&mut self, code: u8, argument: &[u8]) -> Result<()> {
        self.sequence = 0;
        let payload = [&[code], argument].concat();
        self.reply(&payload).await
    }

    /// Sends commands in one write; each answer is to be read behind [`Self::next_answer`].
    #[allow(dead_code)] // not every test sends ahead
    pub async fn ahead(&mut self, commands: &[(u8, &[u8])]) -> Result<()> {
        let mut out = Vec::new();
        for (code, argument) in commands {
            packet::put(&mut out, &[&[*code], *argument].concat(), 0);
        }
        Ok(self.stream.write_all(&out).await?)
    }

    /// Another command's answer comes next.
    #[allow(dead_code)] // not every test sends ahead
    pub fn next_answer(&mut self) -> &mut Self {
        self.sequence = 1;
        self
    }

    /// COM_STMT_EXECUTE without parameters; 1 is a read-only cursor.
    pub async fn execute(&mut self, statement: u32, cursor: u8) -> Result<Answer> {
        let argument = [&statement.to_le_bytes()[..], &[cursor], &1_u32.to_le_bytes()].concat();
        self.command(code::STMT_EXECUTE, &argument).await?;
        self.answer().await
    }

    /// COM_STMT_FETCH.
    pub async fn fetch(&mut self, statement: u32, rows: u32) -> Result<Answer> {
        let argument = [statement.to_le_bytes(), rows.to_le_bytes()].concat();
        self.command(code::STMT_FETCH, &argument).await?;
        let mut answer = Answer::default();
        self.rows(&mut answer).await?;
        Ok(answer)
    }

    /// One answer: OK, an error, or a result set of which each row is a packet.
    pub async fn answer(&mut self) -> Result<Answer> {
        let first = self.packet().await?;
        match first[0] {
            marker::ERR => Err(refusal(&first).context("an ERR packet")?.into()),
            marker::OK => {
                let mut reader = Reader::new(&first[1..], "an OK packet");
                let (affected, inserted) = (reader.lenenc()?, reader.lenenc()?);
                Ok(Answer { affected, inserted, status: reader.u16()?, ..Answer::default() })
            }
            _ => {
                let mut answer =
                    Answer { columns: Reader::new(&first, "a column count").lenenc()?, ..Answer::default() };
                for _ in 0..answer.columns {
                    self.packet().await?;
                }
                answer.status = end_of(&self.packet().await?).context("EOF after the columns")?;
                if answer.status & status::CURSOR_EXISTS == 0 {
                    self.rows(&mut answer).await?;
                }
                Ok(answer)
            }
        }
    }

    async fn rows(&mut self, answer: &mut Answer) -> Result<()> {
        loop {
            let packet = self.packet().await?;
            if let Some(refusal) = refusal(&packet) {
                return Err(refusal.into());
            }
            if let Some(end) = end_of(&packet) {
                answer.status = end;
                return Ok(());
            }
            answer.rows.push(packet);
        }
    }

    /// What the other side says without being asked.
    #[allow(dead_code)] // not every test waits to be told
    pub async fn unasked(&mut self) -> Result<Answer> {
        self.sequence = 0;
        self.answer().await
    }

    /// One payload, whatever number of packets it came in.
    pub async fn packet(&mut self) -> Result<Vec<u8>> {
        timeout(Duration::from_secs(30), self.whole()).await.context("a packet within 30 s")?
    }

    async fn whole(&mut self) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header).await?;
            let header = Header::peek(&header).context("four bytes are a header")?;
            ensure!(
                header.sequence == self.sequence,
                "packet {} came where {} was due",
                header.sequence,
                self.sequence
            );
            self.sequence = self.sequence.wrapping_add(1);
            let start = payload.len();
            payload.resize(start + header.length, 0);
            self.stream.read_exact(&mut payload[start..]).await?;
            if header.length < MAX_PAYLOAD {
                return Ok(payload);
            }
        }
    }

    /// Sends a packet that goes on where the last one has ended.
    pub async fn reply(&mut self, payload: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        self.sequence = packet::put(&mut out, payload, self.sequence);
        Ok(self.stream.write_all(&out).await?)
    }
}

/// The client's first answer; dauphin and servers are told the method's name along with it.
fn proof(plugin: &str, nonce: &[u8; NONCE], password: &str) -> Result<Vec<u8>> {
    Ok(match plugin {
        // As libmysqlclient says that there is none.
        auth::CACHING_SHA2 if password.is_empty() => vec![0],
        auth::CACHING_SHA2 => auth::answer_sha2(nonce, password.as_bytes()),
        auth::NATIVE => auth::answer_native(nonce, password.as_bytes()),
        auth::SHA256 => vec![auth::SHA256_REQUEST_KEY],
        other => bail!("this client does not know the method {other}"),
    })
}

fn refusal(payload: &[u8]) -> Option<Refusal> {
    let error = reply::Err::parse(payload).ok()?;
    Some(Refusal {
        code: error.code,
        sqlstate: String::from_utf8_lossy(&error.sqlstate).into_owned(),
        message: String::from_utf8_lossy(error.message).into_owned(),
    })
}

/// The status in an EOF packet.
fn end_of(payload: &[u8]) -> Option<u16> {
    match *payload {
        [marker::EOF, _, _, low, high] => Some(u16::from_le_bytes([low, high])),
        _ => None,
    }
}
