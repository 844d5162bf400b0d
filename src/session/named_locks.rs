//! The locks of GET_LOCK that a session may hold: which they are, and asking the server for what is left of them.
//!
//! RELEASE_LOCK's text does not say whether a lock is gone: one that was taken twice is released twice, and its name may
//! be an expression. The server knows, and anybody may ask it.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};

use dauphin_proto::{reply::status, response::Shape};

use super::{
    Session,
    relay::{Outcome, has},
};
use crate::{
    backend::{Lease, State},
    sql::{Change, Effect, Needs, Reason, Statement},
};

/// More names are not kept apart.
const MOST_NAMES: usize = 64;

/// The named locks that a session may hold.
#[derive(Debug, Default)]
pub struct NamedLocks {
    names: BTreeSet<Box<str>>,
    /// There may be others: only RELEASE_ALL_LOCKS ends them for certain.
    others: bool,
    /// Some of them may be gone.
    doubtful: bool,
}

impl NamedLocks {
    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.others
    }

    /// One was taken, of this name if it is known.
    pub fn taken(&mut self, name: Option<&str>) {
        match name {
            Some(name) if self.names.contains(name) => {}
            Some(name) if self.names.len() < MOST_NAMES => drop(self.names.insert(name.into())),
            _ => self.others = true,
        }
    }

    /// Some were perhaps taken by code that is not seen. Where none was taken before, this is not believed: nearly no
    /// such code does.
    pub fn hidden(&mut self) {
        self.others |= !self.names.is_empty();
    }

    /// The names are not to be relied on.
    pub fn distrust(&mut self) {
        self.others = true;
    }

    /// One was released, or was not taken after all; perhaps.
    pub fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// All were released.
    pub fn released_all(&mut self) {
        *self = Self::default();
    }

    /// The question whether the connection holds them, a column for each; `None` if there is nothing to find out.
    fn question(&self) -> Option<String> {
        if !self.doubtful || self.others || self.names.is_empty() {
            return None;
        }
        // The names have no backslash, so that this is the same under every sql_mode.
        let column = |name: &str| format!("IS_USED_LOCK('{}')<=>CONNECTION_ID()", name.replace('\'', "''"));
        let columns: Vec<_> = self.names.iter().map(|name| column(name)).collect();
        Some(format!("SELECT {}", columns.join(",")))
    }

    /// Takes the answer: what is surely not held is forgotten.
    fn answered(&mut self, values: &[Option<Vec<u8>>]) {
        if values.len() != self.names.len() {
            return;
        }
        let mut values = values.iter();
        self.names.retain(|_| values.next().is_none_or(|value| value.as_deref() != Some(b"0")));
        self.doubtful = false;
    }
}

/// Whether strings that are sent under this state are made of characters of one byte where they are ASCII. MariaDB takes a
/// lock's name as bytes: in UTF-16 the same text is another name.
fn has_narrow_strings(state: &State) -> bool {
    let is_wide = |value: &[u8]| {
        let value = value.to_ascii_lowercase();
        [&b"utf16"[..], b"utf32", b"ucs2"].iter().any(|wide| value.starts_with(wide))
    };
    !["character_set_connection", "collation_connection"]
        .iter()
        .any(|name| state.variable(name).is_some_and(is_wide))
}

impl Session {
    /// A statement ran: names of locks in it are not relied on where its strings may have been wide. `prepared`: the
    /// state under which it was read, if that was earlier.
    pub(super) fn check_lock_names(&mut self, statement: &Statement, prepared: Option<&State>) {
        if !statement.changes.iter().any(|change| matches!(change, Change::NamedLock(_))) {
            return;
        }
        let may_switch = statement.statements > 1 && !statement.variables.is_empty();
        if may_switch || !has_narrow_strings(prepared.unwrap_or(&self.state)) {
            self.pins.named_locks.distrust();
        }
    }

    /// Asks the connection, which has just run `statement`, which of the named locks it still holds, if some may be gone;
    /// `None` if it is lost. Does not ask where the client could notice it: then after a later statement.
    pub(super) async fn ask_locks(
        &mut self,
        lease: Lease,
        statement: &Statement,
        outcome: &Outcome,
    ) -> Option<Lease> {
        let Some(question) = self.pins.named_locks.question() else { return Some(lease) };
        if !self.may_ask_after(statement, outcome) {
            return Some(lease);
        }
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, question.as_bytes());
        if outcome.ok {
            // ROW_COUNT() is 0 again.
            lease.queries().put(&mut bytes, b"DO 0");
        }
        let mut exchange = lease.send(&bytes).await.ok()?;
        let answer = exchange.own_response(Shape::Query).await.ok()?;
        if outcome.ok {
            exchange.own_response(Shape::Query).await.ok()?;
        }
        // No row: the session has set sql_select_limit to 0.
        if let Some(values) = answer.rows.first() {
            self.pins.named_locks.answered(values);
        }
        exchange.finish().ok()
    }

    /// Whether a question behind this statement leaves everything as the statement has left it: warnings, ROW_COUNT(),
    /// FOUND_ROWS(), and no transaction.
    fn may_ask_after(&self, statement: &Statement, outcome: &Outcome) -> bool {
        let Some(now) = outcome.status else { return false };
        let leaves_nothing = if outcome.ok {
            let changes_no_rows =
                statement.effect != Effect::Write || statement.reason == Reason::LockFunction;
            // A statement without rows leaves FOUND_ROWS() as it was, and only some accounts ask for that.
            changes_no_rows && !self.account.asks_found_rows.load(Relaxed)
        } else {
            outcome.rows == 1 && !statement.needs.intersects(Needs::ALL_ROWS_COUNT | Needs::DIAGNOSTICS)
        };
        leaves_nothing
            && outcome.error.is_none()
            && outcome.warnings == 0
            && statement.statements == 1
            // Without autocommit it could open a transaction.
            && (has(now, status::AUTOCOMMIT) || has(now, status::IN_TRANS))
            && has_narrow_strings(&self.state)
            && !self.pins.awaits_transaction()
            && !self.pins.in_xa()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[&str]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| Some(value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn names_that_are_not_held_any_more_are_forgotten() {
        let mut locks = NamedLocks::default();
        locks.taken(Some("it's"));
        locks.taken(Some("b"));
        assert_eq!(locks.question(), None, "nothing was released");
        locks.doubt();
        let question = "SELECT IS_USED_LOCK('b')<=>CONNECTION_ID(),IS_USED_LOCK('it''s')<=>CONNECTION_ID()";
        assert_eq!(locks.question().as_deref(), Some(question));
        locks.answered(&answer(&["0", "1"]));
        assert_eq!(locks.question(), None, "answered");
        assert!(!locks.is_empty());
        locks.doubt();
        locks.answered(&answer(&["0"]));
        assert!(locks.is_empty());
    }

    #[test]
    fn an_answer_that_does_not_fit_says_nothing() {
        let mut locks = NamedLocks::default();
        locks.taken(Some("a"));
        locks.doubt();
        locks.answered(&answer(&["0", "0"]));
        locks.answered(&[]);
        assert!(locks.question().is_some());
        locks.answered(&[None]);
        assert!(!locks.is_empty(), "NULL is no answer");
    }

    #[test]
    fn what_has_no_known_name_stays_until_all_are_released() {
        let mut many = NamedLocks::default();
        (0..=MOST_NAMES).for_each(|at| many.taken(Some(&at.to_string())));
        let (mut nameless, mut hidden) = (NamedLocks::default(), NamedLocks::default());
        nameless.taken(None);
        hidden.hidden();
        assert!(hidden.is_empty());
        hidden.taken(Some("a"));
        hidden.hidden();
        for mut locks in [many, nameless, hidden] {
            locks.doubt();
            assert_eq!(locks.question(), None);
            assert!(!locks.is_empty());
            locks.released_all();
            assert!(locks.is_empty());
        }
    }

    #[test]
    fn wide_strings_are_known_by_either_variable() {
        let with = |name: &str, value: &str| {
            let mut state = State::default();
            state.variables.insert(name.into(), value.as_bytes().into());
            has_narrow_strings(&state)
        };
        assert!(has_narrow_strings(&State::default()));
        assert!(with("character_set_connection", "utf8mb4"));
        assert!(!with("character_set_connection", "utf16"));
        assert!(!with("collation_connection", "ucs2_bin"));
    }
}
