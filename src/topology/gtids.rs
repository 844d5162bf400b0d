//! Sets of transactions: what a server has executed or received, and what one has that another lacks.

use std::{collections::BTreeMap, fmt};

use super::Flavour;

/// Who numbers transactions: one sequence each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A MySQL server's UUID, and the tag that some transactions carry since 8.3.
    MySql {
        /// The server's UUID.
        uuid: u128,
        /// Empty for most.
        tag: Box<str>,
    },
    /// A MariaDB server within a replication domain.
    MariaDb {
        /// The domain: one sequence of positions.
        domain: u32,
        /// The server that wrote the transaction first.
        server: u32,
    },
}

/// Numbers from the first to the second, both included.
type Interval = (u64, u64);

/// A set of transactions.
///
/// MySQL: `@@gtid_executed` and the like. MariaDB has no sets: `@@gtid_binlog_state` says of each server and domain how
/// far its transactions go, which is a set that begins with number 1 everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gtids(BTreeMap<Source, Vec<Interval>>);

impl Gtids {
    /// Reads what a server says. `None` if it is not readable: then nothing may be concluded from it.
    pub fn parse(flavour: Flavour, text: &str) -> Option<Self> {
        let mut set = Self::default();
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        for part in parts {
            match flavour {
                Flavour::MySql => set.read_mysql(part)?,
                Flavour::MariaDb => set.read_mariadb(part)?,
            }
        }
        Some(set)
    }

    /// `uuid:1-5:7:tag:1-2`
    fn read_mysql(&mut self, part: &str) -> Option<()> {
        let (uuid, rest) = part.split_once(':')?;
        let uuid = super::gtid::parse_uuid(uuid)?;
        let mut tag: Box<str> = "".into();
        for item in rest.split(':').map(str::trim) {
            if !item.starts_with(|c: char| c.is_ascii_digit()) {
                tag = item.into();
                continue;
            }
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let interval = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            self.add(Source::MySql { uuid, tag: tag.clone() }, interval);
        }
        Some(())
    }

    /// `domain-server-sequence`
    fn read_mariadb(&mut self, part: &str) -> Option<()> {
        let mut numbers = part.split('-');
        let domain = numbers.next()?.parse().ok()?;
        let server = numbers.next()?.parse().ok()?;
        let sequence: u64 = numbers.next()?.parse().ok()?;
        if sequence > 0 {
            self.add(Source::MariaDb { domain, server }, (1, sequence));
        }
        Some(())
    }

    fn add(&mut self, source: Source, (first, last): Interval) {
        if first > last || first == 0 {
            return;
        }
        let intervals = self.0.entry(source).or_default();
        intervals.push((first, last));
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for &(first, last) in intervals.iter() {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        *intervals = merged;
    }

    /// Adds all of `other`.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (source, intervals) in &other.0 {
            for &interval in intervals {
                self.add(source.clone(), interval);
            }
        }
        self
    }

    /// What is in `self` and not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = BTreeMap::new();
        for (source, intervals) in &self.0 {
            let taken = other.0.get(source).map_or(&[][..], Vec::as_slice);
            let left = intervals.iter().flat_map(|&interval| without(interval, taken)).collect::<Vec<_>>();
            if !left.is_empty() {
                rest.insert(source.clone(), left);
            }
        }
        Self(rest)
    }

    /// Without the transactions that the server of this identity (`@@server_uuid`, `@@server_id`) wrote first.
    #[must_use]
    pub fn without_source(mut self, identity: &str) -> Self {
        let uuid = super::gtid::parse_uuid(identity);
        let id = identity.parse::<u32>().ok();
        self.0.retain(|source, _| match source {
            Source::MySql { uuid: its, .. } => Some(*its) != uuid,
            Source::MariaDb { server, .. } => Some(*server) != id,
        });
        self
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// As a wait for it names it: the set itself, or on MariaDB the furthest position of each domain.
    pub fn position(&self) -> String {
        let mut domains: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for (source, intervals) in &self.0 {
            let Source::MariaDb { domain, server } = source else { return self.to_string() };
            let last = intervals.last().map_or(0, |&(_, last)| last);
            let furthest = domains.entry(*domain).or_default();
            *furthest = (*furthest).max((last, *server));
        }
        let positions = domains.iter().map(|(domain, (last, server))| format!("{domain}-{server}-{last}"));
        positions.collect::<Vec<_>>().join(",")
    }

    /// Whether it has every transaction of `other`. On MariaDB it is enough to be as far in each domain: a server that
    /// was made from a copy knows the last transaction only.
    pub fn covers(&self, other: &Self) -> bool {
        let missing = other.minus(self);
        missing.0.iter().all(|(source, intervals)| match source {
            Source::MySql { .. } => false,
            Source::MariaDb { domain, .. } => {
                intervals.last().is_some_and(|&(_, last)| self.reaches(*domain) >= last)
            }
        })
    }

    /// How far a MariaDB server is in `domain`.
    fn reaches(&self, domain: u32) -> u64 {
        let of_domain = self
            .0
            .iter()
            .filter(|(source, _)| matches!(source, Source::MariaDb { domain: its, .. } if *its == domain));
        of_domain.filter_map(|(_, intervals)| intervals.last()).map(|&(_, last)| last).max().unwrap_or(0)
    }

    /// Whether it has no transaction.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many transactions it has.
    pub fn count(&self) -> u64 {
        let sizes = self.0.values().flatten().map(|(first, last)| last - first + 1);
        sizes.fold(0, u64::saturating_add)
    }

    /// How many transactions of `other` it lacks. On MariaDB counted by domain: how many positions it is behind.
    pub fn lacks(&self, other: &Self) -> u64 {
        let mut domains = BTreeMap::new();
        let mut count: u64 = 0;
        for (source, intervals) in other.minus(self).0 {
            match source {
                Source::MySql { .. } => {
                    count = intervals
                        .iter()
                        .fold(count, |sum, (first, last)| sum.saturating_add(last - first + 1));
                }
                Source::MariaDb { domain, .. } => {
                    let last = intervals.last().map_or(0, |&(_, last)| last);
                    let behind = last.saturating_sub(self.reaches(domain));
                    let most: &mut u64 = domains.entry(domain).or_default();
                    *most = behind.max(*most);
                }
            }
        }
        domains.values().fold(count, |sum, behind| sum.saturating_add(*behind))
    }
}

/// `interval` without those of `taken`, which are in order and apart.
fn without((mut first, last): Interval, taken: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    for &(from, to) in taken {
        if to < first {
            continue;
        }
        if from > last {
            break;
        }
        if from > first {
            left.push((first, from - 1));
        }
        match to.checked_add(1) {
            Some(next) if next <= last => first = next,
            _ => return left,
        }
    }
    left.push((first, last));
    left
}

/// As the servers write it; of MariaDB, where a set does not begin with 1, `0-1-25..26`.
impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (source, intervals) in &self.0 {
            match source {
                Source::MySql { uuid, tag } => {
                    write!(f, "{comma}{}", dashed(*uuid))?;
                    if !tag.is_empty() {
                        write!(f, ":{tag}")?;
                    }
                    for (first, last) in intervals {
                        if first == last { write!(f, ":{first}") } else { write!(f, ":{first}-{last}") }?;
                    }
                }
                Source::MariaDb { domain, server } => {
                    for (at, &(first, last)) in intervals.iter().enumerate() {
                        let comma = if at == 0 { comma } else { "," };
                        match first {
                            1 => write!(f, "{comma}{domain}-{server}-{last}"),
                            _ if first == last => write!(f, "{comma}{domain}-{server}-{last}"),
                            _ => write!(f, "{comma}{domain}-{server}-{first}..{last}"),
                        }?;
                    }
                }
            }
            comma = ",";
        }
        Ok(())
    }
}

fn dashed(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "819b2208-0000-0000-0000-00000000000a";
    const B: &str = "819b2208-0000-0000-0000-00000000000b";

    fn mysql(text: &str) -> Gtids {
        let text = text.replace("A:", &format!("{A}:")).replace("B:", &format!("{B}:"));
        Gtids::parse(Flavour::MySql, &text).unwrap()
    }

    fn mariadb(text: &str) -> Gtids {
        Gtids::parse(Flavour::MariaDb, text).unwrap()
    }

    #[test]
    fn sets_are_read_and_written_as_the_server_does() {
        for text in ["", "A:1-5", "A:1-5:7,B:3", "A:1-5786:tagx:1-2"] {
            assert_eq!(mysql(text), mysql(&mysql(text).to_string()), "{text}");
        }
        assert_eq!(mysql("A:3-5:1-2:9").to_string(), format!("{A}:1-5:9"));
        assert_eq!(mysql("A:1-2,\nB:1").count(), 3);
        assert_eq!(mariadb("0-1-20,0-2-25").to_string(), "0-1-20,0-2-25");
        assert_eq!(Gtids::parse(Flavour::MySql, "what"), None);
        assert_eq!(Gtids::parse(Flavour::MariaDb, "0-1"), None);
    }

    #[test]
    fn what_one_has_and_another_lacks() {
        let check =
            |a: &str, b: &str, left: &str| assert_eq!(mysql(a).minus(&mysql(b)), mysql(left), "{a} - {b}");
        check("A:1-10", "A:1-10", "");
        check("A:1-10", "A:3-4:8", "A:1-2:5-7:9-10");
        check("A:1-10,B:1", "A:1-20", "B:1");
        check("A:5-6", "", "A:5-6");
        check("A:1-5:tag:1", "A:1-5", "A:tag:1");
        assert!(mysql("A:1-10").covers(&mysql("A:2-10")));
        assert!(!mysql("A:1-10").covers(&mysql("A:2-10,B:1")));
        assert_eq!(mysql("A:1-7").lacks(&mysql("A:1-10,B:1")), 4);
    }

    #[test]
    fn mariadb_servers_are_compared_by_domain_and_found_to_differ_by_server() {
        // The old primary wrote 25 and 26 of its own; the new one goes on from 24.
        let (old, new) = (mariadb("0-1-26"), mariadb("0-1-24,0-2-30"));
        assert_eq!(old.minus(&new).to_string(), "0-1-25..26");
        assert!(new.covers(&mariadb("0-1-24")));
        assert!(new.covers(&old), "it is further in the domain, and yet they differ");
        // Made from a copy: it knows the last position only.
        assert!(mariadb("0-2-30").covers(&mariadb("0-1-24,0-2-30")));
        assert_eq!(mariadb("0-2-28").lacks(&mariadb("0-1-24,0-2-30")), 2);
        assert_eq!(mariadb("0-2-30").lacks(&mariadb("0-1-24,0-2-30")), 0);
    }
}
