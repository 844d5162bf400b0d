//! What SHOW GRANTS says of dauphin's account.

use crate::backend::Own;

/// The lines of SHOW GRANTS, in upper case.
pub(super) struct Grants(Vec<String>);

impl Grants {
    pub(super) fn new(answer: &Own) -> Self {
        let lines = answer.rows.iter().filter_map(|row| row.first()?.as_deref());
        Self(lines.map(|line| String::from_utf8_lossy(line).to_uppercase()).collect())
    }

    /// Whether a privilege is listed for just this level, such as `*.*`.
    pub(super) fn include(&self, privilege: &str, level: &str) -> bool {
        let on = format!(" ON {} TO ", level.to_uppercase());
        self.0.iter().any(|line| {
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
