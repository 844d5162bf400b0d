//! Hints that hold until they are taken off again (MaxScale's named hints), for statements that bear none of their own.

use crate::sql::{Hint, LagLimit, StackChange, Statement, Wish};

/// How many hints may have names, and how many may be on the stack; further ones are not heeded.
const LIMIT: usize = 64;

/// A session's hints: those that have names, and those that hold, the uppermost last.
#[derive(Debug, Default)]
pub(super) struct HintStack(Option<Box<Hints>>);

#[derive(Debug, Default)]
struct Hints {
    named: Vec<(Box<str>, Wish)>,
    stack: Vec<Wish>,
}

impl HintStack {
    /// Does as the statement's comment says, before it runs: what it puts on holds for itself, too.
    pub(super) fn change(&mut self, statement: &Statement) {
        if let Some(change) = &statement.hint_stack {
            self.0.get_or_insert_default().change(change);
        }
    }

    /// Where statements are to go.
    pub(super) fn hint(&self) -> Option<&Hint> {
        self.uppermost(|wish| match wish {
            Wish::Where(hint) => Some(hint),
            _ => None,
        })
    }

    /// How far a replica may be behind.
    pub(super) fn max_lag(&self) -> Option<LagLimit> {
        self.uppermost(|wish| match wish {
            Wish::MaxLag(limit) => Some(*limit),
            _ => None,
        })
    }

    fn uppermost<'a, T>(&'a self, of_kind: impl FnMut(&'a Wish) -> Option<T>) -> Option<T> {
        self.0.as_ref()?.stack.iter().rev().find_map(of_kind)
    }
}

impl Hints {
    fn change(&mut self, change: &StackChange) {
        match change {
            StackChange::Prepare(name, wish) => self.name(name, wish),
            StackChange::Begin(name, wish) => {
                name.iter().for_each(|name| self.name(name, wish));
                self.put_on(wish.clone());
            }
            StackChange::BeginNamed(name) => {
                let named = self.named.iter().find(|(known, _)| known == name);
                named.map(|(_, wish)| wish.clone()).into_iter().for_each(|wish| self.put_on(wish));
            }
            StackChange::End => drop(self.stack.pop()),
        }
    }

    fn name(&mut self, name: &str, wish: &Wish) {
        match self.named.iter().position(|(known, _)| **known == *name) {
            Some(at) => self.named[at].1 = wish.clone(),
            None if self.named.len() < LIMIT => self.named.push((name.into(), wish.clone())),
            None => {}
        }
    }

    fn put_on(&mut self, wish: Wish) {
        if self.stack.len() < LIMIT {
            self.stack.push(wish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Syntax, classify};
    use std::time::Duration;

    #[test]
    fn the_uppermost_hint_holds_until_it_is_taken_off() {
        let mut stack = HintStack::default();
        let second = Some(LagLimit::AtMost(Duration::from_secs(1)));
        for (hint, at, max_lag) in [
            ("a prepare route to master", None, None),
            ("b begin", None, None),
            ("begin route to slave", Some(Hint::Replica), None),
            ("a begin", Some(Hint::Primary), None),
            ("b begin max_slave_replication_lag=1", Some(Hint::Primary), second),
            ("a prepare route to last", Some(Hint::Primary), second),
            ("a begin", Some(Hint::Last), second),
            ("end", Some(Hint::Primary), second),
            ("end", Some(Hint::Primary), None),
            ("end", Some(Hint::Replica), None),
            ("route to master", Some(Hint::Replica), None),
            ("end", None, None),
            ("end", None, None),
        ] {
            let text = format!("SELECT 1 -- maxscale {hint}");
            stack.change(&classify(text.as_bytes(), &Syntax::default()));
            assert_eq!((stack.hint(), stack.max_lag()), (at.as_ref(), max_lag), "{hint}");
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut stack = HintStack::default();
        for name in 0..2 * LIMIT {
            let text = format!("SELECT 1 -- maxscale n{name} begin route to master");
            stack.change(&classify(text.as_bytes(), &Syntax::default()));
        }
        let hints = stack.0.unwrap();
        assert_eq!((hints.named.len(), hints.stack.len()), (LIMIT, LIMIT));
    }
}
