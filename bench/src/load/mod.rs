//! The load generator: so many clients in one event loop, each sending its next command when it has the last answer.

mod measure;
mod rate;
pub mod workload;

use std::{
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use dauphin_proto::command::{self, code};
use mio::{Events, Poll, Token};

#[cfg(test)]
pub use measure::Latency;
pub use measure::Outcome;

use crate::{
    client::{Client, Happened},
    login::Credentials,
};
use measure::Measure;
use rate::Pace;
use workload::{Script, Workload};

/// More than this has gone wrong: the numbers mean nothing any more.
const MOST_ERRORS: u64 = 1000;
/// How long the login of all clients, and the last answers, may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room to read into; a large result comes in pieces of up to this.
const SCRATCH: usize = 256 * 1024;

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where to connect to; with several, clients take turns
    #[arg(long, value_delimiter = ',', required = true)]
    pub target: Vec<String>,
    #[command(flatten)]
    pub credentials: Credentials,
    /// What to do
    #[arg(long)]
    pub workload: Workload,
    /// How many clients
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// How long to measure
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// How long to warm up before
    #[arg(long, default_value_t = 0.3)]
    pub warm_up: f64,
    /// Stop after so many statements
    #[arg(long)]
    pub queries: Option<u64>,
    /// Statements a second, all clients together; without it, as many as can be
    #[arg(long)]
    pub rate: Option<f64>,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Print "ready" after the logins and wait for a line on standard input, and for another before closing
    #[arg(long)]
    pub wait: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut load = Load::new(arguments)?;
    load.log_everyone_in()?;
    if arguments.wait {
        println!("ready");
        wait_for_a_line()?;
    }
    let outcome = load.measure()?;
    print(arguments, &outcome)?;
    if arguments.wait {
        wait_for_a_line()?;
    }
    Ok(())
}

fn wait_for_a_line() -> Result<()> {
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn print(arguments: &Arguments, outcome: &Outcome) -> Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string(outcome)?);
        return Ok(());
    }
    let latency = outcome.latency_us;
    println!("{}, {} connections: {:.0}/s", arguments.workload.name(), arguments.connections, outcome.qps);
    println!(
        "µs: p50 {:.0}, p95 {:.0}, p99 {:.0}, p99.9 {:.0}, longest {:.0}",
        latency.p50, latency.p95, latency.p99, latency.p999, latency.max
    );
    for (what, count) in &outcome.errors {
        println!("{count} × {what}");
    }
    Ok(())
}

/// The address that a name stands for.
pub fn resolve(target: &str) -> Result<SocketAddr> {
    let mut addresses = target.to_socket_addrs().with_context(|| format!("resolving {target}"))?;
    addresses.next().with_context(|| format!("{target} has no address"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    LoggingIn,
    Running,
    Ending,
}

struct Load<'a> {
    arguments: &'a Arguments,
    targets: Vec<SocketAddr>,
    poll: Poll,
    slots: Vec<Slot>,
    /// Clients with nothing under way.
    resting: usize,
    stage: Stage,
    pace: Option<Pace>,
    timed_from: Instant,
    ends: Instant,
    asked: u64,
    measure: Measure,
    scratch: Vec<u8>,
    command: Vec<u8>,
}

struct Slot {
    client: Option<Client>,
    script: Script,
    preparing: bool,
    resting: bool,
    /// When the statement under way was sent, or was due.
    since: Instant,
}

impl<'a> Load<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        ensure!(arguments.connections > 0, "a load needs a connection");
        let now = Instant::now();
        let clients = arguments.connections as u64;
        let slot = |client| Slot {
            client: None,
            script: Script::new(arguments.workload, client, clients),
            preparing: false,
            resting: false,
            since: now,
        };
        Ok(Self {
            arguments,
            targets: arguments.target.iter().map(|target| resolve(target)).collect::<Result<_>>()?,
            poll: Poll::new()?,
            slots: (0..clients).map(slot).collect(),
            resting: 0,
            stage: Stage::LoggingIn,
            pace: None,
            timed_from: now,
            ends: now,
            asked: 0,
            measure: Measure::new(),
            scratch: vec![0; SCRATCH],
            command: Vec::new(),
        })
    }

    fn log_everyone_in(&mut self) -> Result<()> {
        for i in 0..self.slots.len() {
            if self.arguments.workload.connects_anew() {
                self.rest(i);
            } else {
                self.connect(i)?;
            }
        }
        self.until_all_rest().context("before measuring")?;
        ensure!(self.resting == self.slots.len(), "the logins took more than {} s", PATIENCE.as_secs());
        Ok(())
    }

    fn measure(&mut self) -> Result<Outcome> {
        let now = Instant::now();
        self.timed_from = now + Duration::from_secs_f64(self.arguments.warm_up);
        self.ends = self.timed_from + Duration::from_secs_f64(self.arguments.seconds);
        self.stage = Stage::Running;
        match self.arguments.rate {
            Some(rate) => self.pace = Some(Pace::start(rate, self.slots.len(), now, self.poll.registry())?),
            None => (0..self.slots.len()).try_for_each(|i| self.begin(i, now))?,
        }
        let mut events = Events::with_capacity(1024);
        while !self.is_over() {
            self.turn(&mut events, self.ends)?;
        }
        let timed = Instant::now().min(self.ends).saturating_duration_since(self.timed_from);
        self.stage = Stage::Ending;
        self.until_all_rest()?;
        for _ in self.resting..self.slots.len() {
            self.measure.error("no answer".into());
        }
        Ok(self.measure.outcome(timed))
    }

    fn is_over(&self) -> bool {
        let enough = self.arguments.queries.is_some_and(|queries| self.asked >= queries);
        enough || Instant::now() >= self.ends
    }

    fn until_all_rest(&mut self) -> Result<()> {
        let latest = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(1024);
        while self.resting < self.slots.len() && Instant::now() < latest {
            self.turn(&mut events, latest)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, until: Instant) -> Result<()> {
        match self.poll.poll(events, Some(until.saturating_duration_since(Instant::now()))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            if event.token() == rate::TOKEN {
                self.due()?;
            } else {
                self.event(event.token().0, event.is_writable(), event.is_readable())?;
            }
        }
        Ok(())
    }

    fn event(&mut self, i: usize, writable: bool, readable: bool) -> Result<()> {
        let Some(client) = &mut self.slots[i].client else { return Ok(()) };
        let mut happened = if writable { client.writable() } else { Ok(()) }.map(|()| Happened::Nothing);
        if readable && happened.is_ok() {
            happened = client.readable(&self.arguments.credentials, &mut self.scratch);
        }
        match happened {
            Ok(Happened::Nothing) => Ok(()),
            Ok(Happened::LoggedIn) => self.logged_in(i),
            Ok(Happened::Answered(verdict)) => {
                if let Err(wrong) = &verdict {
                    self.measure.wrong(wrong);
                }
                self.answered(i, verdict.is_ok())
            }
            Err(error) => self.lost(i, &error),
        }
    }

    fn connect(&mut self, i: usize) -> Result<()> {
        let address = self.targets[i % self.targets.len()];
        match Client::connect(address, self.poll.registry(), Token(i)) {
            Ok(client) => self.slots[i].client = Some(client),
            Err(error) => return self.lost(i, &error),
        }
        Ok(())
    }

    fn logged_in(&mut self, i: usize) -> Result<()> {
        self.command.clear();
        let preparation = self.arguments.workload.preparation(&mut self.command);
        let slot = &mut self.slots[i];
        match (preparation, &mut slot.client) {
            (Some(expect), Some(client)) => {
                slot.preparing = true;
                match client.ask(&self.command, expect, self.arguments.credentials.dialect()) {
                    Ok(()) => Ok(()),
                    Err(error) => self.lost(i, &error),
                }
            }
            _ if self.arguments.workload.connects_anew() => self.ask(i),
            _ => self.rested(i, Instant::now()),
        }
    }

    fn answered(&mut self, i: usize, right: bool) -> Result<()> {
        let now = Instant::now();
        let slot = &mut self.slots[i];
        if std::mem::take(&mut slot.preparing) {
            ensure!(right, "the server does not prepare the statement");
            return self.rested(i, now);
        }
        // What was asked during the warm-up belongs to it; what is answered after the end was asked before.
        if right && slot.since >= self.timed_from {
            self.measure.answer(now - slot.since);
        } else if right {
            self.measure.warm_up_answer();
        }
        if self.arguments.workload.connects_anew() {
            self.quit(i);
        }
        ensure!(self.measure.errors() < MOST_ERRORS, "more than {MOST_ERRORS} errors: {:?}", self.errors());
        self.rested(i, now)
    }

    fn quit(&mut self, i: usize) {
        self.command.clear();
        command::put_command(&mut self.command, code::QUIT, b"");
        if let Some(mut client) = self.slots[i].client.take()
            && let Err(error) = client.tell(&self.command)
        {
            self.measure.error(format!("{error:#}"));
        }
    }

    fn rested(&mut self, i: usize, now: Instant) -> Result<()> {
        let next = match (self.stage, &mut self.pace) {
            (Stage::Running, None) => (now < self.ends).then_some(now),
            (Stage::Running, Some(pace)) => pace.overdue(i, now),
            _ => None,
        };
        match next {
            Some(since) => self.begin(i, since),
            None => {
                self.rest(i);
                Ok(())
            }
        }
    }

    fn rest(&mut self, i: usize) {
        self.resting += 1;
        self.slots[i].resting = true;
    }

    /// The clock says that statements are due.
    fn due(&mut self) -> Result<()> {
        if self.stage != Stage::Running {
            return Ok(());
        }
        let now = Instant::now();
        while let Some(i) = self.pace.as_mut().and_then(|pace| pace.next_before(now)) {
            if self.slots[i].resting
                && let Some(due) = self.pace.as_mut().and_then(|pace| pace.overdue(i, now))
            {
                self.begin(i, due)?;
            }
        }
        self.pace.as_ref().map_or(Ok(()), |pace| pace.wake_up(now))
    }

    /// Begins a statement that counts as sent at `since`.
    fn begin(&mut self, i: usize, since: Instant) -> Result<()> {
        if std::mem::take(&mut self.slots[i].resting) {
            self.resting -= 1;
        }
        self.slots[i].since = since;
        if self.slots[i].client.is_some() { self.ask(i) } else { self.connect(i) }
    }

    fn ask(&mut self, i: usize) -> Result<()> {
        let slot = &mut self.slots[i];
        let Some(client) = &mut slot.client else { return Ok(()) };
        self.asked += 1;
        self.command.clear();
        let expect = slot.script.next(client.statement(), &mut self.command);
        match client.ask(&self.command, expect, self.arguments.credentials.dialect()) {
            Ok(()) => Ok(()),
            Err(error) => self.lost(i, &error),
        }
    }

    /// A connection was lost: it is counted and replaced.
    fn lost(&mut self, i: usize, error: &anyhow::Error) -> Result<()> {
        if self.stage == Stage::LoggingIn {
            bail!("client {i}, to {}: {error:#}", self.targets[i % self.targets.len()]);
        }
        self.measure.error(format!("{error:#}"));
        ensure!(self.measure.errors() < MOST_ERRORS, "more than {MOST_ERRORS} errors: {:?}", self.errors());
        let slot = &mut self.slots[i];
        slot.client = None;
        slot.preparing = false;
        slot.script.restart();
        if self.stage == Stage::Running {
            return self.connect(i);
        }
        if !slot.resting {
            self.rest(i);
        }
        Ok(())
    }

    fn errors(&self) -> std::collections::BTreeMap<String, u64> {
        self.measure.outcome(Duration::from_secs(1)).errors
    }
}
