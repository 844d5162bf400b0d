//! A client's socket: reads commands, writes replies, and waits for a client that does not read.

use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Result, bail};
use dauphin_proto::packet;
use mio::{Interest, Registry, Token, net::TcpStream};

use super::{
    session::{Next, Server, Session},
    sheet::{Dialect, Large},
};

/// A client's connection.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: TcpStream,
    server: &'a Server,
    session: Session,
    /// Commands that are not whole, or wait for the client to read.
    input: Vec<u8>,
    /// Replies that the socket did not take.
    output: Vec<u8>,
    /// A large reply on its way, behind `output`.
    large: Option<Sending>,
}

/// Where in a large reply the stream stands.
#[derive(Debug, Clone, Copy)]
struct Sending {
    large: Large,
    dialect: Dialect,
    piece: usize,
    times: usize,
    at: usize,
}

impl<'a> Connection<'a> {
    /// Greets a client.
    pub fn new(
        mut stream: TcpStream,
        server: &'a Server,
        id: u32,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut greeting = Vec::new();
        let session = Session::greet(id, &mut greeting);
        let mut connection =
            Self { stream, server, session, input: Vec::new(), output: Vec::new(), large: None };
        connection.write(&greeting)?;
        Ok(connection)
    }

    /// The socket has bytes. An error ends the connection.
    pub fn readable(&mut self, scratch: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
        while !self.is_blocked() {
            let n = match self.stream.read(scratch) {
                Ok(0) => bail!("closed"),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if self.input.is_empty() {
                let taken = self.take(&scratch[..n], out)?;
                self.input.extend_from_slice(&scratch[taken..n]);
            } else {
                self.input.extend_from_slice(&scratch[..n]);
                self.take_input(out)?;
            }
            // A short read has emptied the socket: epoll(7) tells when there is more.
            if n < scratch.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The socket takes bytes again. An error ends the connection.
    pub fn writable(&mut self, scratch: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
        if !self.is_blocked() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.write(&output)?;
        self.send_large()?;
        if self.is_blocked() {
            return Ok(());
        }
        self.take_input(out)?;
        self.readable(scratch, out)
    }

    fn is_blocked(&self) -> bool {
        self.large.is_some() || !self.output.is_empty()
    }

    fn take_input(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let input = std::mem::take(&mut self.input);
        let taken = self.take(&input, out)?;
        self.input.extend_from_slice(&input[taken..]);
        Ok(())
    }

    /// Answers the whole commands in `bytes`; says how many bytes they were.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let mut taken = 0;
        out.clear();
        while let Some(packet) = packet::whole(&bytes[taken..]) {
            if self.is_blocked() {
                break;
            }
            taken += packet.len();
            match self.session.packet(self.server, packet, out)? {
                Next::Packet => {}
                Next::Close => {
                    self.write(out)?;
                    bail!("quit");
                }
                Next::Large(large, dialect) => {
                    self.write(out)?;
                    out.clear();
                    self.large = Some(Sending { large, dialect, piece: 0, times: 0, at: 0 });
                    self.send_large()?;
                }
            }
        }
        self.write(out)?;
        Ok(taken)
    }

    fn send_large(&mut self) -> Result<()> {
        let server = self.server;
        while let (Some(sending), true) = (&mut self.large, self.output.is_empty()) {
            let pieces = server.book.sheet(sending.dialect).large(sending.large);
            let Some(piece) = pieces.get(sending.piece) else {
                self.large = None;
                break;
            };
            match write_some(&mut self.stream, &piece.bytes[sending.at..])? {
                None => break,
                Some(n) => sending.at += n,
            }
            if sending.at == piece.bytes.len() {
                (sending.at, sending.times) = (0, sending.times + 1);
            }
            if sending.times == piece.times {
                (sending.times, sending.piece) = (0, sending.piece + 1);
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && self.output.is_empty() {
            match write_some(&mut self.stream, rest)? {
                None => break,
                Some(n) => rest = &rest[n..],
            }
        }
        self.output.extend_from_slice(rest);
        Ok(())
    }
}

/// How many bytes the socket took; `None` if it takes none now.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.write(bytes) {
            Ok(n) => return Ok(Some(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
