//! A fake MySQL server: one event loop per thread, replies made beforehand, no allocation between request and reply.
//!
//! It says what a server would say to the workloads of `dauphin-bench load` and to dauphin's questions; it keeps
//! nothing, checks no password, and parses no SQL.

mod connection;
mod question;
mod session;
mod sheet;
mod statement;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token, net::TcpListener};

use connection::Connection;
use question::Identity;
use session::Server;
use sheet::Book;

/// What the server says it is.
const VERSION: &str = "9.7.4";
/// Room to read commands into.
const SCRATCH: usize = 64 * 1024;

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Listen here too, as a replica of --listen
    #[arg(long)]
    replica: Vec<SocketAddr>,
    /// Be a replica, which refuses to write
    #[arg(long, requires = "source")]
    read_only: bool,
    /// The primary of this replica
    #[arg(long)]
    source: Option<SocketAddr>,
    /// How many event loops
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let source = arguments.source.filter(|_| arguments.read_only);
    let mut servers = vec![open(arguments.listen, source)?];
    for replica in &arguments.replica {
        servers.push(open(*replica, Some(arguments.listen))?);
    }
    let servers = Arc::new(servers);
    let threads: Vec<_> = (0..arguments.threads.max(1))
        .map(|_| {
            let servers = Arc::clone(&servers);
            std::thread::spawn(move || EventLoop::new(&servers)?.run())
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("an event loop panicked"))??;
    }
    Ok(())
}

type Listening = (std::net::TcpListener, Server);

fn open(address: SocketAddr, source: Option<SocketAddr>) -> Result<Listening> {
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("listening at {address}"))?;
    listener.set_nonblocking(true)?;
    let source = source.map(|source| (source.ip().to_string(), source.port()));
    let identity = Identity { port: listener.local_addr()?.port(), source };
    let book = Book::new(&identity.gtid());
    Ok((listener, Server { identity, book }))
}

struct EventLoop<'a> {
    poll: Poll,
    servers: &'a [Listening],
    listeners: Vec<TcpListener>,
    /// Connections by their token, counted from the listeners on.
    connections: Vec<Option<Connection<'a>>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

impl<'a> EventLoop<'a> {
    fn new(servers: &'a [Listening]) -> Result<Self> {
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for (i, (listener, _)) in servers.iter().enumerate() {
            let mut listener = TcpListener::from_std(listener.try_clone()?);
            poll.registry().register(&mut listener, Token(i), Interest::READABLE)?;
            listeners.push(listener);
        }
        let (connections, free) = (Vec::new(), Vec::new());
        Ok(Self { poll, servers, listeners, connections, free, scratch: vec![0; SCRATCH], out: Vec::new() })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in events.iter() {
                match event.token().0.checked_sub(self.listeners.len()) {
                    None => self.accept(event.token().0),
                    Some(at) => self.serve(at, event.is_writable(), event.is_readable()),
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let stream = match self.listeners[listener].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of files, most likely: those who wait in the queue are accepted after the next one comes.
                    eprintln!("accepting: {error}");
                    return;
                }
            };
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let token = Token(self.listeners.len() + at);
            match Connection::new(stream, &self.servers[listener].1, next_id(), self.poll.registry(), token) {
                Ok(connection) => self.connections[at] = Some(connection),
                Err(_) => self.free.push(at),
            }
        }
    }

    fn serve(&mut self, at: usize, writable: bool, readable: bool) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        let (scratch, out) = (&mut self.scratch, &mut self.out);
        let mut goes_on = !writable || connection.writable(scratch, out).is_ok();
        goes_on = goes_on && (!readable || connection.readable(scratch, out).is_ok());
        if !goes_on {
            self.connections[at] = None;
            self.free.push(at);
        }
    }
}

fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
