//! Global transaction ids one by one: what somebody wrote, how far a server is, and whether it has that.

use std::{fmt::Write as _, time::Instant};

use super::Flavour;

/// A transaction's place in its source's sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// MySQL: the source server's UUID; MariaDB: the replication domain.
    pub source: u128,
    /// The tag of its GTID (MySQL 8.3 and later); empty for most. Each tag has a sequence of its own.
    pub tag: Box<str>,
    /// Its number there.
    pub sequence: u64,
}

impl Position {
    /// Whether both are of one sequence.
    pub fn is_of(&self, other: &Self) -> bool {
        self.source == other.source && self.tag == other.tag
    }

    /// Whether a server that has applied everything up to here has also applied `other`.
    pub fn includes(&self, other: &Self) -> bool {
        self.is_of(other) && self.sequence >= other.sequence
    }

    /// As a server reads it in a wait; `with_earlier`: it and all before it.
    fn write(&self, flavour: Flavour, with_earlier: bool, out: &mut String) {
        let comma = if out.is_empty() { "" } else { "," };
        let Self { source, tag, sequence } = self;
        let from = if with_earlier && *sequence > 1 { "1-" } else { "" };
        let colon = if tag.is_empty() { "" } else { ":" };
        let _infallible = match flavour {
            Flavour::MySql => {
                let hex = format!("{source:032x}");
                let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
                write!(out, "{comma}{uuid}{colon}{tag}:{from}{sequence}")
            }
            // MariaDB waits for the number in the domain, whoever wrote it.
            Flavour::MariaDb => write!(out, "{comma}{source}-0-{sequence}"),
        };
    }
}

/// What a server reported a statement to have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// Its last transaction.
    pub last: Position,
    /// The last ones of further sequences: hardly ever any.
    pub others: Vec<Position>,
}

impl LastWrite {
    /// Reads what session tracking reported; `None` if it names no transaction or is not readable as one.
    pub fn parse(flavour: Flavour, reported: &[u8]) -> Option<Self> {
        let gtids = std::str::from_utf8(reported).ok()?;
        let mut write: Option<Self> = None;
        let mut add = |position: Position| match &mut write {
            None => write = Some(Self { last: position, others: Vec::new() }),
            Some(write) => {
                let same = std::iter::once(&mut write.last).chain(&mut write.others);
                match same.into_iter().find(|known| known.is_of(&position)) {
                    Some(known) => known.sequence = known.sequence.max(position.sequence),
                    None => write.others.push(position),
                }
            }
        };
        for part in gtids.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match flavour {
                Flavour::MySql => mysql_reaches(part)?
                    .into_iter()
                    .for_each(|reach| add(Position { sequence: reach.last, ..reach.all_up_to })),
                Flavour::MariaDb => add(mariadb_position(part)?),
            }
        }
        write
    }

    /// The last transaction of each sequence.
    pub fn positions(&self) -> impl Iterator<Item = &Position> {
        std::iter::once(&self.last).chain(&self.others)
    }
}

/// A transaction that dauphin has heard of, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The transaction.
    pub position: Position,
    /// When its server reported it.
    pub at: Instant,
}

/// How far writes go: the last one of each sequence. Bounded: of very many sequences the one that was written to longest
/// ago is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier(Vec<Written>);

impl From<Frontier> for Vec<Written> {
    fn from(frontier: Frontier) -> Self {
        frontier.0
    }
}

/// The most sequences whose ends are remembered: those of the servers that have been primary in this dauphin's time.
const MOST_SEQUENCES: usize = 64;

impl Frontier {
    /// Takes in a write.
    pub fn note(&mut self, position: &Position, at: Instant) {
        if let Some(known) = self.0.iter_mut().find(|known| known.position.is_of(position)) {
            if known.position.sequence < position.sequence {
                known.position.sequence = position.sequence;
                known.at = at;
            }
            return;
        }
        if self.0.len() == MOST_SEQUENCES {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, written)| written.at);
            oldest.map(|(index, _)| index).map(|index| self.0.swap_remove(index));
        }
        self.0.push(Written { position: position.clone(), at });
    }

    /// Takes in all that another has.
    pub fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|written| self.note(&written.position, written.at));
    }

    /// The end of each sequence.
    pub fn ends(&self) -> &[Written] {
        &self.0
    }

    /// Forgets those that are lost.
    pub fn forget(&mut self, lost: &[Written]) {
        self.0.retain(|written| !lost.contains(written));
    }
}

/// The set of these transactions as a server reads it in a wait; with all that came before those of which
/// `with_earlier` says so.
pub fn wait_set<'a>(
    flavour: Flavour,
    positions: impl IntoIterator<Item = &'a Position>,
    with_earlier: impl Fn(&Position) -> bool,
) -> String {
    let mut set = String::new();
    for position in positions {
        position.write(flavour, with_earlier(position), &mut set);
    }
    set
}

/// How far a server is in one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// It has this and all before it; number 0 if it lacks the first.
    pub all_up_to: Position,
    /// The last that it has, beyond gaps.
    pub last: u64,
}

/// How far a server is in each sequence, from `@@gtid_executed` or MariaDB's `@@gtid_current_pos`; what is not readable
/// is left out.
pub fn reaches(flavour: Flavour, executed: &str) -> Vec<Reach> {
    let parts = executed.split(',').map(str::trim);
    match flavour {
        Flavour::MySql => parts.filter_map(mysql_reaches).flatten().collect(),
        Flavour::MariaDb => parts
            .filter_map(mariadb_position)
            .map(|position| Reach { last: position.sequence, all_up_to: position })
            .collect(),
    }
}

/// `uuid:1-5:7:tag:1-2`: one for each tag.
fn mysql_reaches(part: &str) -> Option<Vec<Reach>> {
    let (uuid, rest) = part.split_once(':')?;
    let source = parse_uuid(uuid)?;
    let mut reaches: Vec<Reach> = Vec::with_capacity(1);
    let mut tag: Box<str> = "".into();
    for item in rest.split(':').map(str::trim) {
        if !item.starts_with(|c: char| c.is_ascii_digit()) {
            // A tag goes into the text of a wait.
            if item.is_empty() || !item.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return None;
            }
            tag = item.into();
            continue;
        }
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        match reaches.last_mut().filter(|reach| reach.all_up_to.tag == tag) {
            Some(reach) => reach.last = last,
            None => {
                let sequence = if first == 1 { last } else { 0 };
                reaches.push(Reach { all_up_to: Position { source, tag: tag.clone(), sequence }, last });
            }
        }
    }
    (!reaches.is_empty()).then_some(reaches)
}

/// `domain-server-sequence`
fn mariadb_position(gtid: &str) -> Option<Position> {
    let mut parts = gtid.split('-');
    let (domain, server, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    server.parse::<u32>().ok()?;
    Some(Position {
        source: domain.parse::<u32>().ok()?.into(),
        tag: "".into(),
        sequence: sequence.parse().ok()?,
    })
}

pub(super) fn parse_uuid(text: &str) -> Option<u128> {
    let mut digits = [0; 32];
    let mut count = 0;
    for byte in text.trim().bytes().filter(|byte| *byte != b'-') {
        *digits.get_mut(count)? = byte;
        count += 1;
    }
    let digits = std::str::from_utf8(&digits).ok()?;
    // A sign would be read as part of a number.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if count == 32 && is_hex { u128::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "819b2208-0000-0000-0000-00000000000a";
    const B: &str = "819b2208-0000-0000-0000-00000000000b";

    fn written(flavour: Flavour, reported: &str) -> Option<String> {
        let reported = reported.replace("A:", &format!("{A}:")).replace("B:", &format!("{B}:"));
        let write = LastWrite::parse(flavour, reported.as_bytes())?;
        let set = wait_set(flavour, write.positions(), |_| false);
        Some(set.replace(A, "A").replace(B, "B"))
    }

    #[test]
    fn the_last_write_is_read_from_what_the_server_reports() {
        let mysql = |reported| written(Flavour::MySql, reported);
        assert_eq!(mysql("A:5771-5772").as_deref(), Some("A:5772"));
        assert_eq!(mysql("A:5:7-9").as_deref(), Some("A:9"));
        assert_eq!(mysql("A:tag:7,\nA:9").as_deref(), Some("A:tag:7,A:9"));
        assert_eq!(mysql("A:9,A:11,B:1").as_deref(), Some("A:11,B:1"));
        assert_eq!(written(Flavour::MariaDb, "0-1-20").as_deref(), Some("0-0-20"));
        for nonsense in ["x'; DROP TABLE t", "", "A:", "A:x'y:5", "+19b2208-0000-0000-0000-00000000000a:1"] {
            assert_eq!(mysql(nonsense), None, "{nonsense}");
        }
        assert_eq!(written(Flavour::MariaDb, "0-x'-20"), None);
    }

    #[test]
    fn a_wait_may_ask_for_all_that_came_before() {
        let write = LastWrite::parse(Flavour::MySql, format!("{A}:5,{B}:t:1,{B}:7").as_bytes()).unwrap();
        let set = wait_set(Flavour::MySql, write.positions(), |position| position.sequence != 7);
        assert_eq!(set, format!("{A}:1-5,{B}:t:1,{B}:7"));
        let maria = LastWrite::parse(Flavour::MariaDb, b"3-1-20").unwrap();
        assert_eq!(wait_set(Flavour::MariaDb, maria.positions(), |_| true), "3-0-20");
    }

    #[test]
    fn a_frontier_keeps_the_last_of_each_sequence() {
        let (mut frontier, now) = (Frontier::default(), Instant::now());
        let position = |source, sequence| Position { source, tag: "".into(), sequence };
        for (source, sequence) in [(1, 5), (2, 1), (1, 4), (1, 9)] {
            frontier.note(&position(source, sequence), now);
        }
        let mut other = Frontier::default();
        other.note(&position(2, 8), now);
        frontier.join(&other);
        let ends: Vec<_> =
            frontier.ends().iter().map(|end| (end.position.source, end.position.sequence)).collect();
        assert_eq!(ends, [(1, 9), (2, 8)]);
        frontier.forget(other.ends());
        assert_eq!(frontier.ends().len(), 1);
        for source in 0..200 {
            frontier.note(&position(source, 1), now + std::time::Duration::from_secs(source as u64));
        }
        assert_eq!(frontier.ends().len(), MOST_SEQUENCES);
        assert!(frontier.ends().iter().any(|end| end.position.source == 199), "the oldest goes");
    }

    #[test]
    fn a_replica_is_as_far_as_its_first_gap() {
        let all = reaches(Flavour::MySql, &format!("{A}:1-17:19-30:t:4-9,\n{B}:1"));
        let seen: Vec<_> =
            all.iter().map(|reach| (&*reach.all_up_to.tag, reach.all_up_to.sequence, reach.last)).collect();
        assert_eq!(seen, [("", 17, 30), ("t", 0, 9), ("", 1, 1)]);
        assert!(reaches(Flavour::MySql, "").is_empty());
    }
}
