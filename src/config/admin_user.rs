//! `[[admin.users]]`: who else may log in to the admin ports, and what each may do there.

use std::collections::HashSet;

use super::kind::{choice, text};
use super::options::{Settable, options};
use super::secret::{Secret, secret};
use super::section::Section;
use super::written::{Written, quoted};

const HEADING: &str = "[[admin.users]]";

/// What a user of the admin ports may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminRole {
    /// All that there is.
    Operator,
    /// Look, and change nothing.
    Viewer,
}

impl AdminRole {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("operator", Self::Operator), ("viewer", Self::Viewer)];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

options! {
    /// A user of the admin ports.
    #[derive(Debug, Clone)]
    pub struct AdminUser {
        /// The user's name, known to dauphin only.
        name: String = text(128).required(r#""watcher""#);
        /// The user's password.
        password: Secret = secret();
        /// What the user may do: an "operator" everything, a "viewer" SHOW and HELP, GET over HTTP.
        role: AdminRole = choice(AdminRole::WORDS).or("operator");
    }
}

impl AdminUser {
    /// Every user of the section beside `user`, its own; no `[[admin.users]]` at all is no more.
    pub(super) fn read_all(admin: &Section<'_>, user: Option<&str>) -> Option<Vec<Self>> {
        let Some(written) = admin.get("users") else {
            return Some(Vec::new());
        };
        let remedy = format!("begin each user with {HEADING}");
        let Some(members) = written.members() else {
            return written.wrong("is not a list of users", remedy);
        };
        let read_one = |member: &Written<'_>| match member.section(HEADING) {
            Some(section) => Self::read(&section),
            // Not shown: it may be a password in the wrong place.
            None => member.wrong("has something that is not a user", remedy.clone()),
        };
        let users: Vec<_> = members.iter().map(read_one).collect();
        report_twins(&members, user);
        users.into_iter().collect()
    }
}

fn report_twins(members: &[Written<'_>], user: Option<&str>) {
    let mut names = HashSet::new();
    for section in members.iter().filter_map(|member| member.section(HEADING)) {
        let Some(name) = section.get("name").and_then(|name| name.text()) else { continue };
        if user == Some(name) {
            let cause = format!("{} is the user of [admin] already", quoted(name));
            section.wrong("name", cause, "give it another name, or name another user in [admin]");
        } else if !names.insert(name) {
            section.wrong("name", format!("{} is named twice", quoted(name)), "keep one of the two");
        }
    }
}
