//! Idle sessions: many logged-in connections that ask nothing.

use std::{
    io::{Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mio::{Events, Poll, Token, Waker};

use crate::{
    client::{Client, Happened},
    load::resolve,
    login::Credentials,
};

/// How many log in at a time.
const AT_A_TIME: usize = 32;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to connect to
    #[arg(long)]
    target: String,
    #[command(flatten)]
    credentials: Credentials,
    /// How many connections
    #[arg(long)]
    connections: usize,
}

/// Prints "ready" when all are logged in, and at the end how many the other side has closed meanwhile.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut idle = Idle::new(arguments)?;
    let latest = Instant::now() + PATIENCE;
    while idle.logged_in < arguments.connections {
        ensure!(Instant::now() < latest, "only {} logins in {} s", idle.logged_in, PATIENCE.as_secs());
        idle.connect_more()?;
        idle.turn(Duration::from_secs(1))?;
    }
    println!("ready");
    std::io::stdout().flush()?;
    idle.until_input_ends()?;
    println!("{}", idle.lost);
    Ok(())
}

struct Idle<'a> {
    arguments: &'a Arguments,
    poll: Poll,
    clients: Vec<Option<Client>>,
    logged_in: usize,
    lost: usize,
    ended: bool,
    scratch: Vec<u8>,
}

const INPUT_ENDED: Token = Token(usize::MAX - 1);

impl<'a> Idle<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        Ok(Self {
            arguments,
            poll: Poll::new()?,
            clients: Vec::with_capacity(arguments.connections),
            logged_in: 0,
            lost: 0,
            ended: false,
            scratch: vec![0; 16 * 1024],
        })
    }

    fn connect_more(&mut self) -> Result<()> {
        let address = resolve(&self.arguments.target)?;
        while self.clients.len() < self.arguments.connections
            && self.clients.len() < self.logged_in + AT_A_TIME
        {
            let client = Client::connect(address, self.poll.registry(), Token(self.clients.len()));
            self.clients.push(Some(client.with_context(|| format!("connection {}", self.clients.len()))?));
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            if event.token() == INPUT_ENDED {
                self.ended = true;
                continue;
            }
            let i = event.token().0;
            let Some(client) = &mut self.clients[i] else { continue };
            match client.readable(&self.arguments.credentials, &mut self.scratch) {
                Ok(Happened::LoggedIn) => self.logged_in += 1,
                Ok(_) => {}
                Err(error) if self.logged_in < self.arguments.connections => {
                    return Err(error.context(format!("connection {i}")));
                }
                Err(_) => {
                    self.clients[i] = None;
                    self.lost += 1;
                }
            }
        }
        Ok(())
    }

    fn until_input_ends(&mut self) -> Result<()> {
        let waker = Arc::new(Waker::new(self.poll.registry(), INPUT_ENDED)?);
        std::thread::spawn(move || {
            // An error ends the input as well.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            waker.wake()
        });
        while !self.ended {
            self.turn(Duration::from_secs(3600))?;
        }
        Ok(())
    }
}
