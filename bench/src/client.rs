//! One client of many in an event loop: logs in, sends a command at a time, checks what comes back.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::{Result, bail};
use dauphin_proto::packet;
use mio::{Interest, Registry, Token, net::TcpStream};

use crate::{
    login::{Credentials, Login, Progress},
    response::{Dialect, Expect, Response, Wrong},
};

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    state: State,
    /// What was read and is not done with.
    input: Vec<u8>,
    /// What the socket did not take yet.
    output: Vec<u8>,
    /// The id that the last COM_STMT_PREPARE got.
    statement: u32,
}

#[derive(Debug)]
enum State {
    LoggingIn(Login),
    Idle,
    Asked(Response),
}

/// What an event brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// Nothing that is complete.
    Nothing,
    /// The login is through.
    LoggedIn,
    /// The response is complete.
    Answered(Result<(), Wrong>),
}

impl Client {
    /// Starts to connect; events come under `token`.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let state = State::LoggingIn(Login::new());
        Ok(Self { stream, state, input: Vec::new(), output: Vec::new(), statement: 0 })
    }

    /// The id of the statement that was prepared last.
    pub fn statement(&self) -> u32 {
        self.statement
    }

    /// Sends a command that expects this response.
    pub fn ask(&mut self, command: &[u8], expect: Expect, dialect: Dialect) -> Result<()> {
        debug_assert!(matches!(self.state, State::Idle), "one command at a time");
        self.state = State::Asked(Response::new(expect, dialect));
        self.write(command)
    }

    /// Sends a command that has no response.
    pub fn tell(&mut self, command: &[u8]) -> Result<()> {
        self.write(command)
    }

    /// The socket takes bytes again.
    pub fn writable(&mut self) -> Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.write(&output)
    }

    /// The socket has bytes; `scratch` is room to read them into.
    pub fn readable(&mut self, credentials: &Credentials, scratch: &mut [u8]) -> Result<Happened> {
        loop {
            let n = match self.stream.read(scratch) {
                Ok(0) => bail!("connection closed by the other side"),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Happened::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let happened = self.take(credentials, &mut scratch[..n])?;
            // A short read has emptied the socket: epoll(7) tells when there is more.
            if happened != Happened::Nothing || n < scratch.len() {
                return Ok(happened);
            }
        }
    }

    fn take(&mut self, credentials: &Credentials, bytes: &mut [u8]) -> Result<Happened> {
        match &mut self.state {
            State::LoggingIn(_) => self.log_in(credentials, bytes),
            State::Asked(response) if self.input.is_empty() => {
                if response.advance(bytes)? {
                    return Ok(self.answered(bytes));
                }
                let keep_from = if response.keeps_bytes() { 0 } else { response.take() };
                self.input.extend_from_slice(&bytes[keep_from..]);
                Ok(Happened::Nothing)
            }
            State::Asked(response) => {
                self.input.extend_from_slice(bytes);
                if response.advance(&mut self.input)? {
                    let input = std::mem::take(&mut self.input);
                    return Ok(self.answered(&input));
                }
                if !response.keeps_bytes() {
                    self.input.drain(..response.take());
                }
                Ok(Happened::Nothing)
            }
            State::Idle => bail!("bytes that no one asked for"),
        }
    }

    fn answered(&mut self, bytes: &[u8]) -> Happened {
        let State::Asked(response) = std::mem::replace(&mut self.state, State::Idle) else {
            return Happened::Nothing;
        };
        if let Some(statement) = response.statement(bytes) {
            self.statement = statement;
        }
        Happened::Answered(response.verify(bytes))
    }

    fn log_in(&mut self, credentials: &Credentials, bytes: &[u8]) -> Result<Happened> {
        self.input.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut progress = Progress::UnderWay;
        while let (State::LoggingIn(login), Some(packet)) = (&mut self.state, packet::whole(&self.input)) {
            progress = login.packet(credentials, packet, &mut out)?;
            let length = packet.len();
            self.input.drain(..length);
            if progress == Progress::Done {
                self.state = State::Idle;
                // Idle clients are held by the thousand.
                self.input.shrink_to_fit();
            }
        }
        self.write(&out)?;
        Ok(if progress == Progress::Done { Happened::LoggedIn } else { Happened::Nothing })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && self.output.is_empty() {
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.extend_from_slice(rest);
        Ok(())
    }
}
