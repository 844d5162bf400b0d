//! What the clients were told, held against what the servers have.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::load::{Event, Told, What};

/// What the primary has of each row that a client tried to write: how many copies, and the server that took the first.
pub type Rows = HashMap<(u32, u64), Row>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub copies: u32,
    pub server: u32,
}

/// What came of one round.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Rows that clients were told are written.
    pub writes: usize,
    pub reads: usize,
    /// The longest time without a write that was done, whoever did it; for reads likewise.
    pub write_gap: Duration,
    pub read_gap: Duration,
    /// The longest time that any one client had no write done; for reads likewise.
    pub client_write_gap: Duration,
    pub client_read_gap: Duration,
    /// The longest that a client waited for an answer, whatever it was.
    pub slowest: Duration,
    /// How often clients were told what instead.
    pub errors: BTreeMap<String, usize>,
    /// Rows that are not there though the client was told they are.
    pub lost: usize,
    /// Rows that are there more than once.
    pub twice: usize,
    /// Transactions of which a part is there.
    pub torn: usize,
    /// Rows that are there though the client was told they are not.
    pub unwanted: usize,
    /// Reads that did not see what their own session had written before.
    pub missed: usize,
    /// Rows that a server took and acknowledged after its successor had acknowledged one.
    pub late: usize,
    /// Statements that had no answer at all in time.
    pub unanswered: usize,
    /// Writes of which the client does not know whether they were done.
    pub in_doubt: usize,
    /// The first few of what must not be: which client's, and when.
    pub examples: Vec<String>,
}

/// How many are told of.
const EXAMPLES: usize = 10;

impl Findings {
    /// Judges what `events` say, of a load that ended at `stopped`; gaps count from shortly before `fault`.
    pub fn of(events: &[Event], rows: &Rows, fault: Instant, stopped: Instant) -> Self {
        let mut findings = Self::default();
        for event in events {
            let broken = findings.broken();
            findings.count(event, rows);
            if findings.broken() > broken && findings.examples.len() < EXAMPLES {
                findings.examples.push(example(event, fault));
            }
            findings.slowest = findings.slowest.max(event.ended - event.began);
        }
        findings.twice = rows.values().filter(|row| row.copies > 1).count();
        findings.late = late(events, rows);
        let from = fault.checked_sub(Duration::from_secs(1)).unwrap_or(fault);
        let is_write = |event: &&Event| matches!(event.what, What::Write { .. });
        let is_read = |event: &&Event| matches!(event.what, What::Read | What::OwnRead);
        // Who reads what it writes waits for its writes.
        let only_reads = |event: &&Event| event.what == What::Read;
        (findings.write_gap, findings.client_write_gap) = gaps(events.iter().filter(is_write), from, stopped);
        (findings.read_gap, _) = gaps(events.iter().filter(is_read), from, stopped);
        (_, findings.client_read_gap) = gaps(events.iter().filter(only_reads), from, stopped);
        findings
    }

    /// All errors that clients saw.
    pub fn error_count(&self) -> usize {
        self.errors.values().sum()
    }

    /// What must never be, in words.
    pub fn broken_promises(&self) -> Vec<String> {
        [
            (self.lost, "acknowledged rows lost"),
            (self.twice, "rows written twice"),
            (self.torn, "transactions written in part"),
            (self.unwanted, "rows there that were refused"),
            (self.missed, "reads that missed the session's own write"),
            (self.late, "rows acknowledged by a server after its successor's first"),
            (self.unanswered, "statements never answered"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }

    fn broken(&self) -> usize {
        self.lost + self.torn + self.unwanted + self.missed + self.unanswered
    }

    fn count(&mut self, event: &Event, rows: &Rows) {
        let is_there = |sequence| rows.contains_key(&(event.worker, sequence));
        match (&event.told, event.what) {
            (Told::Done, What::Write { first, last }) => {
                self.writes += (last - first + 1) as usize;
                self.lost += (first..=last).filter(|&sequence| !is_there(sequence)).count();
            }
            (Told::Refused(_), What::Write { first, last }) => {
                self.unwanted += (first..=last).filter(|&sequence| is_there(sequence)).count();
            }
            (Told::Unknown(_), What::Write { first, last }) => {
                self.in_doubt += 1;
                self.torn += usize::from(is_there(first) != is_there(last));
            }
            (Told::Missed, _) => self.missed += 1,
            (Told::Done, What::Read | What::OwnRead) => self.reads += 1,
            (_, What::Login | What::Read | What::OwnRead) => {}
        }
        if let Told::Refused(failure) | Told::Unknown(failure) = &event.told {
            let when = match event.what {
                What::Login => "login",
                What::Write { .. } => "write",
                What::Read | What::OwnRead => "read",
            };
            let text: String = failure.text.chars().take(160).collect();
            *self.errors.entry(format!("{when}: {} {text}", failure.code)).or_default() += 1;
            self.unanswered += usize::from(failure.is_unanswered());
        }
    }
}

fn example(event: &Event, fault: Instant) -> String {
    let (from, until) = (seconds(event.began, fault), seconds(event.ended, fault));
    let Event { worker, what, told, .. } = event;
    format!("client {worker}, from {from:.3} s to {until:.3} s after the fault: {what:?} {told:?}")
}

fn seconds(moment: Instant, since: Instant) -> f64 {
    if moment < since { -(since - moment).as_secs_f64() } else { (moment - since).as_secs_f64() }
}

/// The longest time without a success after `from`: of all together, and of the client that waited longest.
fn gaps<'a>(
    events: impl Iterator<Item = &'a Event>,
    from: Instant,
    stopped: Instant,
) -> (Duration, Duration) {
    let mut successes: BTreeMap<u32, Vec<Instant>> = BTreeMap::new();
    for event in events {
        let of_client = successes.entry(event.worker).or_default();
        if matches!(event.told, Told::Done) && event.ended >= from && event.ended <= stopped {
            of_client.push(event.ended);
        }
    }
    let of_client = successes.values().map(|ended| longest_gap(ended.clone(), from, stopped)).max();
    let all = successes.into_values().flatten().collect();
    (longest_gap(all, from, stopped), of_client.unwrap_or_default())
}

fn longest_gap(mut moments: Vec<Instant>, from: Instant, until: Instant) -> Duration {
    moments.extend([from, until]);
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Rows acknowledged by a server after the first row that its successor acknowledged.
fn late(events: &[Event], rows: &Rows) -> usize {
    let acknowledged = || {
        events.iter().filter(|event| matches!(event.told, Told::Done)).filter_map(|event| match event.what {
            What::Write { last, .. } => Some((rows.get(&(event.worker, last))?.server, event.ended)),
            _ => None,
        })
    };
    let mut first: HashMap<u32, Instant> = HashMap::new();
    for (server, ended) in acknowledged() {
        first.entry(server).and_modify(|first| *first = ended.min(*first)).or_insert(ended);
    }
    acknowledged()
        .filter(|(server, ended)| {
            let own = first[server];
            first.values().any(|&successor| successor > own && *ended > successor)
        })
        .count()
}
