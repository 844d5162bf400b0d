//! What SHOW GRANTS says of dauphin's account.

use crate::backend::Own;

/// The lines of SHOW GRANTS, in upper case.
pub(super) struct Grants {
    lines: Vec<String>,
    account: String,
}

impl Grants {
    pub(super) fn new(answer: &Own) -> Self {
        let lines = answer.rows.iter().filter_map(|row| row.first()?.as_deref());
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let account = lines.iter().find_map(|line| account(line)).unwrap_or("<dauphin's account>").to_owned();
        Self { lines: lines.iter().map(|line| line.to_uppercase()).collect(), account }
    }

    /// The account that they are for, as GRANT wants it.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Whether a privilege is listed for just this level, such as `*.*`.
    pub(super) fn include(&self, privilege: &str, level: &str) -> bool {
        let on = format!(" ON {} TO ", level.to_uppercase());
        self.lines.iter().any(|line| {
            let Some((listed, _)) = line.split_once(&on) else { return false };
            let listed = listed.trim_start_matches("GRANT ");
            listed == "ALL PRIVILEGES"
                || listed.split(',').any(|one| {
                    let one = one.trim();
                    // MariaDB renamed some: REPLICA for SLAVE.
                    one == privilege || one.replace("REPLICA ", "SLAVE ") == privilege
                })
        })
    }
}

/// Of a line such as: GRANT USAGE ON *.* TO `dauphin`@`%` IDENTIFIED BY PASSWORD '*6…'. A line that grants a role has no ON.
fn account(line: &str) -> Option<&str> {
    let (_, privileges) = line.split_once(" ON ")?;
    let (_, account) = privileges.split_once(" TO ")?;
    // Names are in backquotes, and a backquote in one is doubled.
    let mut quotes = account.match_indices('`').map(|(at, _)| at + 1);
    let end = quotes.by_ref().skip(1).find(|&end| end == account.len() || account[end..].starts_with(' '))?;
    Some(&account[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_its_grants() {
        // SHOW GRANTS of MySQL 9.7.4 and MariaDB 11.8.6.
        for (line, expected) in [
            ("GRANT REPLICATION CLIENT ON *.* TO `dauphin`@`%`", Some("`dauphin`@`%`")),
            ("GRANT USAGE ON *.* TO `a b`@`10.%` WITH GRANT OPTION", Some("`a b`@`10.%`")),
            (
                "GRANT BINLOG MONITOR ON *.* TO `d`@`%` IDENTIFIED BY PASSWORD '*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9'",
                Some("`d`@`%`"),
            ),
            ("GRANT `role`@`%` TO `dauphin`@`%`", None),
        ] {
            assert_eq!(account(line), expected, "{line}");
        }
    }
}
