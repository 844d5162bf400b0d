//! Global transaction ids: how far a server is, and whether it has a session's last write.

use super::Flavour;

/// A transaction's place in its source's sequence: all of that source's transactions up to it come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// MySQL: the source server's UUID; MariaDB: the replication domain.
    pub source: u128,
    /// Its number there.
    pub sequence: u64,
}

impl Position {
    /// Whether a server that is here has also applied `other`.
    pub fn includes(&self, other: &Self) -> bool {
        self.source == other.source && self.sequence >= other.sequence
    }
}

/// The GTIDs of a session's last write, as its server reported them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// The set, as text for a wait.
    pub gtids: Box<str>,
    /// Its highest transaction, if the set is of one source and plain.
    pub position: Option<Position>,
}

impl LastWrite {
    /// Reads what session tracking reported; `None` if it names no transaction or is not readable as one.
    pub fn parse(flavour: Flavour, reported: &[u8]) -> Option<Self> {
        let gtids = std::str::from_utf8(reported).ok()?.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-:, _\n".contains(c);
        if gtids.is_empty() || !gtids.chars().all(plain) {
            return None;
        }
        let position = match flavour {
            Flavour::MySql => mysql_position(gtids),
            Flavour::MariaDb => mariadb_position(gtids),
        };
        Some(Self { gtids: gtids.replace('\n', "").into(), position })
    }
}

/// `uuid:n` or `uuid:m-n`, one source, no tag.
fn mysql_position(set: &str) -> Option<Position> {
    let (uuid, intervals) = set.split_once(':').filter(|_| !set.contains(','))?;
    let last = intervals.rsplit([':', '-']).next()?;
    let tagged = intervals.contains(|c: char| c.is_ascii_alphabetic() || c == '_');
    if tagged { None } else { Some(Position { source: parse_uuid(uuid)?, sequence: last.parse().ok()? }) }
}

/// `domain-server-sequence`, one domain.
fn mariadb_position(gtid: &str) -> Option<Position> {
    let mut parts = gtid.split('-');
    let (domain, _server, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Position { source: domain.parse::<u32>().ok()?.into(), sequence: sequence.parse().ok()? })
}

pub(super) fn parse_uuid(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    if digits.len() == 32 { u128::from_str_radix(&digits, 16).ok() } else { None }
}

/// How far a replica that has executed the set `executed` is with the transactions of the MySQL server `source`:
/// up to the first gap.
pub fn mysql_applied(executed: &str, source: &str) -> Option<Position> {
    let source = parse_uuid(source)?;
    for part in executed.split(',') {
        let (uuid, intervals) = part.trim().split_once(':')?;
        if parse_uuid(uuid) == Some(source) {
            let first = intervals.split(':').next()?;
            let (start, end) = first.split_once('-').unwrap_or((first, first));
            let sequence = if start == "1" { end.parse().ok()? } else { return None };
            return Some(Position { source, sequence });
        }
    }
    None
}

/// How far a MariaDB server at `position` (`@@gtid_current_pos`) is in each of its domains.
pub fn mariadb_applied(position: &str) -> Vec<Position> {
    position.split(',').filter_map(|gtid| mariadb_position(gtid.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "819b2208-0000-0000-0000-00000000000a";

    #[test]
    fn the_last_write_is_read_from_what_the_server_reports() {
        let write = LastWrite::parse(Flavour::MySql, format!("{A}:5771-5772").as_bytes()).unwrap();
        assert_eq!(write.position.unwrap().sequence, 5772);
        let tagged = LastWrite::parse(Flavour::MySql, format!("{A}:tag:7,{A}:9").as_bytes()).unwrap();
        assert_eq!(tagged.position, None);
        let maria = LastWrite::parse(Flavour::MariaDb, b"0-1-20").unwrap();
        assert_eq!(maria.position, Some(Position { source: 0, sequence: 20 }));
        assert_eq!(LastWrite::parse(Flavour::MySql, b"x'; DROP TABLE t"), None);
        assert_eq!(LastWrite::parse(Flavour::MySql, b""), None);
    }

    #[test]
    fn a_replica_is_as_far_as_its_first_gap() {
        let check = |executed: &str, expected: Option<u64>| {
            assert_eq!(mysql_applied(executed, A).map(|position| position.sequence), expected, "{executed}");
        };
        check(&format!("{A}:1-17"), Some(17));
        check(&format!("{A}:1-17:19-30"), Some(17));
        check(&format!("00000000-0000-0000-0000-000000000001:1-5,\n{A}:1-9"), Some(9));
        check(&format!("{A}:4-17"), None);
        check("", None);
    }
}
