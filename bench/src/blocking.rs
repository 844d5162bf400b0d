//! A connection that waits: for what is done once, outside of all measuring.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use dauphin_proto::{command, packet};

use crate::{
    login::{Credentials, Login, Progress},
    response::{Dialect, Expect, Response, Wrong},
};

/// A logged-in connection.
pub struct Connection {
    stream: TcpStream,
    dialect: Dialect,
    input: Vec<u8>,
}

impl Connection {
    /// Connects and logs in.
    pub fn open(address: &str, credentials: &Credentials) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut connection = Self { stream, dialect: credentials.dialect(), input: Vec::new() };
        connection.log_in(credentials).with_context(|| format!("logging in to {address}"))?;
        Ok(connection)
    }

    fn log_in(&mut self, credentials: &Credentials) -> Result<()> {
        let mut login = Login::new();
        let mut out = Vec::new();
        loop {
            let Some(packet) = packet::whole(&self.input) else {
                self.read_more()?;
                continue;
            };
            let length = packet.len();
            let progress = login.packet(credentials, packet, &mut out)?;
            self.input.drain(..length);
            self.stream.write_all(&out)?;
            out.clear();
            if progress == Progress::Done {
                return Ok(());
            }
        }
    }

    /// Runs a statement that answers OK, outside of transactions.
    pub fn execute(&mut self, text: &str) -> Result<()> {
        self.ask(text, Expect::Ok { in_transaction: false })
    }

    /// Runs a statement and checks its response.
    pub fn ask(&mut self, text: &str, expect: Expect) -> Result<()> {
        self.send(text)?;
        let mut response = Response::new(expect, self.dialect);
        while !response.advance(&mut self.input)? {
            self.read_more()?;
        }
        let verdict = response.verify(&self.input);
        self.input.clear();
        match verdict {
            Ok(()) => Ok(()),
            Err(Wrong::Error(code)) => bail!("{text:.60}: error {code}"),
            Err(Wrong::Answer(what)) => bail!("{text:.60}: {what}"),
        }
    }

    /// Sends a statement and reads nothing.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let mut out = Vec::new();
        command::put_query(&mut out, text.as_bytes());
        Ok(self.stream.write_all(&out)?)
    }

    /// Reads up to a buffer's length of what comes, unseen; 0 at the end of the stream.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.stream.read(buffer)?)
    }

    fn read_more(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let n = self.stream.read(&mut buffer)?;
        if n == 0 {
            bail!("the connection was closed");
        }
        self.input.extend_from_slice(&buffer[..n]);
        Ok(())
    }
}
