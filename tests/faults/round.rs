//! One round: servers, a dauphin, the load, a fault, and what came of it.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::{
    check::Findings,
    cluster::{Flavour, options},
    dauphin::Dauphin,
    ending::Ending,
    fault::{Expected, Fault},
    live::Display,
    load::{Counts, Load},
    servers::{BinaryLog, Servers},
    witness::{Witness, both_writable},
};

/// How long writes may take to go on once the fault is over. A full disk is looked at again every 60 s by MySQL.
const LONGEST: Duration = Duration::from_secs(90);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What came of a round.
pub struct Round {
    pub findings: Findings,
    /// For how long two servers would have taken writes at once.
    pub both_writable: Duration,
    /// The primary's name at the end.
    pub primary: &'static str,
    /// Its place among the servers; the one that was primary at the start had the first.
    pub primary_at: Option<usize>,
    /// Servers that were not taken back because they have transactions of their own.
    pub left_out: Vec<String>,
    /// From the end of the load until the servers agreed.
    pub agreed_after: Duration,
    /// What should not be, each in a sentence.
    pub wrong: Vec<String>,
    /// What dauphin logged.
    pub log: String,
}

/// How a round is played.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Faults last as long as they must to be noticed, no more.
    pub is_short: bool,
    /// The screen shows what happens.
    pub is_shown: bool,
    /// How long the load runs before the fault, and again after all is well.
    pub around: Duration,
}

impl Manner {
    /// As a test does it.
    pub const SHORT: Self = Self { is_short: true, is_shown: false, around: Duration::from_secs(2) };
}

/// New servers, and a dauphin in front of them.
pub async fn fresh(flavour: Flavour) -> Result<(Servers, Dauphin)> {
    let tag = format!("{}-{}", flavour.name(), COUNT.fetch_add(1, Ordering::Relaxed));
    let servers = Servers::start(flavour, &tag, BinaryLog::SMALL).await.context("starting the servers")?;
    let dauphin = Dauphin::start_for(&servers.addresses(), "").await;
    Ok((servers, dauphin))
}

impl Round {
    /// Plays a fault on servers whose first is the primary, and whose table is empty.
    pub async fn play(
        servers: &Servers,
        dauphin: &mut Dauphin,
        fault: Fault,
        manner: Manner,
    ) -> Result<Self> {
        if !fault.environment().is_empty() {
            dauphin.restart(&fault.environment()).await;
        }
        let witness = Witness::start(servers);
        let load = Load::start(&options("127.0.0.1".to_owned(), dauphin.address.port(), "app", "app"));
        let display = manner.is_shown.then(|| Display::start(load.counts.clone(), &witness));

        sleep(manner.around).await;
        fault.prepare(servers).await.context("before the fault")?;
        let begun = Instant::now();
        say(&display, &format!("now: {}", fault.sentence()));
        fault.begin(servers, dauphin).await.context("the fault")?;
        sleep(fault.lasts(manner.is_short).saturating_sub(begun.elapsed())).await;
        if matches!(fault, Fault::CrashAt(_)) {
            // The old primary is not to come back before it has a successor.
            writes_go_on(&load.counts).await;
        }
        fault.end(servers).await.context("the end of the fault")?;
        say(&display, "the fault is over");
        let goes_on = writes_go_on(&load.counts).await;
        sleep(manner.around).await;
        let stopped = Instant::now();
        let events = load.stop().await;
        drop(display);

        let ending = Ending::wait(servers).await;
        let mut findings = Findings::of(&events, &ending.rows, begun, stopped);
        if ending.primary.is_none() {
            // `ending.wrong` says so: without rows to compare with, all would be lost.
            (findings.lost, findings.torn) = (0, 0);
            findings.examples.clear();
        }
        let mut round = Self {
            both_writable: both_writable(&witness.seen()),
            primary: ending.primary.map_or("none", |at| servers.nodes[at].name),
            primary_at: ending.primary,
            left_out: ending.left_out,
            agreed_after: ending.took,
            wrong: findings.broken_promises().into_iter().chain(findings.examples.clone()).collect(),
            findings,
            log: dauphin.log(),
        };
        round.wrong.extend(ending.wrong);
        if !goes_on {
            round.wrong.push(format!("no write for {LONGEST:?} after the fault was over"));
        }
        round.judge(fault, servers.nodes[0].name);
        Ok(round)
    }

    fn judge(&mut self, fault: Fault, first_primary: &str) {
        let is_right = match fault.expected() {
            Expected::Stays => self.primary_at == Some(0),
            Expected::Replaced => matches!(self.primary_at, Some(1 | 2)),
            Expected::ReplacedByDb2 => self.primary_at == Some(1),
            Expected::Either => true,
        };
        if !is_right {
            self.wrong.push(format!("the primary is {} ({:?})", self.primary, fault.expected()));
        }
        // Only a server that was primary can have what no other has.
        let others = self.left_out.iter().filter(|left_out| !left_out.starts_with(first_primary));
        self.wrong.extend(others.map(|other| format!("left out: {other}")));
        if fault.is_silent() && self.findings.error_count() > 0 {
            self.wrong.push(format!("clients saw {} errors", self.findings.error_count()));
        }
    }

    /// The figures, and all errors by kind, in some lines.
    pub fn report(&self) -> String {
        let findings = &self.findings;
        let mut text = format!(
            "writes {} (lost {}, twice {}, in doubt {}), reads {} (missed own write {}), errors {}\n\
             longest gap in writes {} ms (one client {} ms), in reads {} ms (one client {} ms), slowest answer {} ms\n\
             primary at the end {}, two writable for {} ms, agreed {} ms after the load, left out: {}\n",
            findings.writes,
            findings.lost,
            findings.twice,
            findings.in_doubt,
            findings.reads,
            findings.missed,
            findings.error_count(),
            findings.write_gap.as_millis(),
            findings.client_write_gap.as_millis(),
            findings.read_gap.as_millis(),
            findings.client_read_gap.as_millis(),
            findings.slowest.as_millis(),
            self.primary,
            self.both_writable.as_millis(),
            self.agreed_after.as_millis(),
            if self.left_out.is_empty() { "none".to_owned() } else { self.left_out.join(", ") },
        );
        for (error, count) in &findings.errors {
            let _ = writeln!(text, "  {count} x {error}");
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "  WRONG: {wrong}");
        }
        text
    }
}

/// Waits until ten writes have been done in a row of half seconds; whether they were.
async fn writes_go_on(counts: &Counts) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONGEST {
        let before = counts.writes.load(Ordering::Relaxed);
        sleep(Duration::from_millis(500)).await;
        if counts.writes.load(Ordering::Relaxed) > before + 10 {
            return true;
        }
    }
    false
}

fn say(display: &Option<Display>, what: &str) {
    if let Some(display) = display {
        display.say(what);
    }
}
