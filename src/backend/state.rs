//! What a session has set and a backend connection must have before the session's next statement runs on it.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

/// Session state as a difference from a new login. Compared by content, fast where equal or shared.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The default schema, in the client's character set.
    pub schema: Option<Box<[u8]>>,
    /// Session variables with the values that the server reported.
    pub variables: BTreeMap<Box<str>, Box<[u8]>>,
    /// The collation of results that SET NAMES has set, if it was the last to set their character set.
    pub results_collation: Option<Box<[u8]>>,
    /// User variables whose values are literals, as SQL text.
    pub user_variables: BTreeMap<Box<str>, Box<str>>,
    /// What COM_SET_OPTION said, if the client sent one.
    pub multi_statements: Option<bool>,
    fingerprint: u64,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
            && self.schema == other.schema
            && self.variables == other.variables
            && self.results_collation == other.results_collation
            && self.user_variables == other.user_variables
            && self.multi_statements == other.multi_statements
    }
}

impl Eq for State {}

impl State {
    /// Changes a shared state: whoever else holds it keeps what it had.
    pub fn change(this: &mut Arc<Self>, change: impl FnOnce(&mut Self)) {
        let state = Arc::make_mut(this);
        change(state);
        state.fingerprint = state.hash();
    }

    /// A number that differs for nearly all states that differ.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether both are the same state, cheaply where they are one value.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || a == b
    }

    /// A session variable's value, if the session has set it.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name).map(|value| &**value)
    }

    /// Whether `autocommit` is on, as it is after a login.
    pub fn autocommit(&self) -> bool {
        self.variable("autocommit").is_none_or(is_on)
    }

    /// Bytes that the state takes, for limits.
    pub fn size(&self) -> usize {
        let variables = self.variables.iter().map(|(name, value)| name.len() + value.len());
        let user = self.user_variables.iter().map(|(name, value)| name.len() + value.len());
        variables.chain(user).sum()
    }

    fn hash(&self) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        self.schema.hash(&mut hasher);
        self.variables.hash(&mut hasher);
        self.results_collation.hash(&mut hasher);
        self.user_variables.hash(&mut hasher);
        self.multi_statements.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether a reported value of a switch means "on".
pub fn is_on(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"ON") || value == b"1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_changes_make_equal_states_and_leave_others_alone() {
        let fresh = Arc::new(State::default());
        let (mut a, mut b) = (fresh.clone(), fresh.clone());
        for state in [&mut a, &mut b] {
            State::change(state, |state| {
                state.variables.insert("sql_mode".into(), (*b"ANSI").into());
            });
        }
        assert!(State::same(&a, &b) && !State::same(&a, &fresh));
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert!(a.autocommit());
    }
}
