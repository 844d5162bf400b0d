//! `[[users]]`: the users whose passwords dauphin checks itself.

use std::collections::HashSet;

use super::kind::{choice, text};
use super::options::{Settable, options};
use super::routing::Consistency;
use super::secret::{Secret, secret};
use super::section::Section;
use super::written::{Written, quoted};

const HEADING: &str = "[[users]]";

options! {
    /// A user whose password dauphin knows and checks itself.
    #[derive(Debug, Clone)]
    pub struct User {
        /// The user's name, the same on dauphin and on the servers.
        name: String = text(128).required(r#""app""#);
        /// The user's password.
        password: Secret = secret();
        /// What this user's reads are promised, in place of [routing] consistency.
        consistency: Option<Consistency> = choice(Consistency::WORDS).optional();
    }
}

impl User {
    /// Every user of the file; no `[[users]]` at all is no users.
    pub(super) fn read_all(root: &Section<'_>) -> Option<Vec<Self>> {
        let Some(written) = root.get("users") else {
            return Some(Vec::new());
        };
        let Some(members) = written.members() else {
            return written.wrong("is not a list of users", "begin each user with [[users]]");
        };
        let users: Vec<_> = members.iter().map(Self::read_one).collect();
        report_twins(&members);
        users.into_iter().collect()
    }

    fn read_one(written: &Written<'_>) -> Option<Self> {
        match written.section(HEADING) {
            Some(section) => Self::read(&section),
            // Not shown: it may be a password in the wrong place.
            None => written.wrong("has something that is not a user", "begin each user with [[users]]"),
        }
    }
}

fn report_twins(members: &[Written<'_>]) {
    let mut names = HashSet::new();
    for section in members.iter().filter_map(|member| member.section(HEADING)) {
        let name = section.get("name").and_then(|name| name.text());
        if let Some(twin) = name.filter(|name| !names.insert(*name)) {
            section.wrong("name", format!("{} is named twice", quoted(twin)), "keep one of the two");
        }
    }
}
