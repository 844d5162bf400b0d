//! MySQL or MariaDB: the two families, their versions, and the SQL that differs.

use std::fmt;

/// A server's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MySQL and what is built from it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// A server's version, ordered within its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which family.
    pub flavour: Flavour,
    /// Major, minor and patch as one number, as executable comments have it: 90704, 110806.
    pub number: u32,
    /// As the server says it.
    pub text: String,
}

impl Version {
    /// Reads what a server's greeting or `@@version` says; unreadable parts count as 0.
    pub fn parse(text: &str) -> Self {
        let flavour = if text.contains("MariaDB") { Flavour::MariaDb } else { Flavour::MySql };
        // MariaDB before 11 put "5.5.5-" in front, for clients that took 10 for less than 5.
        let digits = match flavour {
            Flavour::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
            Flavour::MySql => text,
        };
        let mut parts =
            digits.split(['.', '-', '+', '~']).map(|part| part.parse::<u32>().unwrap_or_default());
        let mut next = || parts.next().unwrap_or_default().min(9999);
        let number = next() * 10_000 + next().min(99) * 100 + next().min(99);
        Self { flavour, number, text: text.to_owned() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Flavour {
    /// The statement that makes a connection report what dauphin follows: schema, every session variable, whether
    /// anything else changed, and the GTIDs of its own writes.
    ///
    /// MariaDB takes all switches (`foreign_key_checks` and the like) for the one of them that was tracked first, and
    /// reports that one: by default `autocommit`, so it is named before the rest. So it does with `last_gtid`, `timestamp`,
    /// `last_insert_id` and others that are no plain fields: `last_gtid` is named, or after SET timestamp no write were
    /// reported (seen on 11.8.6).
    pub fn tracking(self) -> String {
        match self {
            Self::MySql => format!(
                "SET SESSION session_track_schema=ON, session_track_state_change=ON, session_track_gtids=OWN_GTID, \
                 session_track_system_variables='{}'",
                super::session_variables::MYSQL
            ),
            Self::MariaDb => "SET SESSION session_track_schema=ON, session_track_state_change=ON, \
                 session_track_system_variables='autocommit,last_gtid,character_set_client,character_set_connection,\
                 character_set_results,time_zone,*'"
                .to_owned(),
        }
    }

    /// A query that waits, up to `seconds`, until the server has applied `gtids`; its one value is 0 if it has. The text names its
    /// character set: under a `collation_connection` of UTF-32 MySQL read no GTID in it and did not wait (seen on 9.7.4).
    pub fn wait_for(self, gtids: &str, seconds: f64) -> String {
        match self {
            Self::MySql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET(_utf8mb4'{gtids}',{seconds:.3})"),
            Self::MariaDb => format!("SELECT MASTER_GTID_WAIT(_utf8mb4'{gtids}',{seconds:.3})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_say_them() {
        let check = |text: &str, flavour, number| {
            let version = Version::parse(text);
            assert_eq!((version.flavour, version.number), (flavour, number), "{text}");
        };
        check("9.7.4", Flavour::MySql, 90704);
        check("8.0.36-28", Flavour::MySql, 80036);
        check("11.8.6-MariaDB-4 from Debian", Flavour::MariaDb, 110806);
        check("5.5.5-10.11.6-MariaDB", Flavour::MariaDb, 101106);
        check("", Flavour::MySql, 0);
    }
}
