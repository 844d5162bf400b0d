//! What sessions have written, as far as other sessions' reads ask for it: everything, and by causal token.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;

use crate::topology::gtid::{Frontier, LastWrite, Written};

/// The most tokens that one transaction's writes are remembered under, each by itself.
const TOKENS_PER_TRANSACTION: usize = 64;

/// What all sessions of this dauphin have written. Each method takes one short lock.
#[derive(Debug)]
pub struct SharedWrites {
    all: Mutex<Frontier>,
    tokens: Mutex<Tokens>,
}

impl SharedWrites {
    /// Nothing was written yet; remembers so many tokens.
    pub fn new(most_tokens: usize) -> Self {
        Self { all: Mutex::default(), tokens: Mutex::new(Tokens { most: most_tokens, ..Tokens::default() }) }
    }

    /// Takes in a write that a server has reported, before its client hears of it.
    pub fn note(&self, write: &LastWrite, at: Instant, tokens: &TransactionTokens) {
        let mut all = self.all.lock();
        write.positions().for_each(|position| all.note(position, at));
        drop(all);
        if !tokens.is_empty() {
            self.tokens.lock().note(write, at, tokens);
        }
    }

    /// What `global` reads must see.
    pub fn all(&self) -> Frontier {
        self.all.lock().clone()
    }

    /// What a read with this token must see.
    pub fn of(&self, token: &str) -> Frontier {
        self.tokens.lock().of(token)
    }

    /// Forgets transactions that went down with a primary: no server will ever have them. Looks at every token.
    pub fn forget(&self, lost: &[Written]) {
        self.all.lock().forget(lost);
        self.tokens.lock().forget(lost);
    }
}

/// The tokens of a session's transaction, whose writes are reported when it is committed.
#[derive(Debug, Default)]
pub struct TransactionTokens {
    tokens: Vec<Box<str>>,
    /// There were too many: its writes count for every token.
    overflow: bool,
}

impl TransactionTokens {
    /// A statement of the transaction has this token.
    pub fn add(&mut self, token: &str) {
        if self.tokens.iter().any(|known| **known == *token) {
            return;
        }
        if self.tokens.len() < TOKENS_PER_TRANSACTION {
            self.tokens.push(token.into());
        } else {
            self.overflow = true;
        }
    }

    /// The transaction has ended.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// Tokens and what was written under them. Bounded: the token that was written under longest ago is forgotten, and from
/// then on every token stands for what it stood for too, which most replicas have long applied.
#[derive(Debug, Default)]
struct Tokens {
    known: HashMap<Arc<str>, (u64, Frontier)>,
    /// In the order of their last writes.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    /// What the forgotten ones stood for.
    forgotten: Frontier,
    most: usize,
}

impl Tokens {
    fn note(&mut self, write: &LastWrite, at: Instant, written: &TransactionTokens) {
        for token in &written.tokens {
            let (token, mut frontier) = match self.known.remove_entry(&**token) {
                Some((token, (place, frontier))) => {
                    self.order.remove(&place);
                    (token, frontier)
                }
                None => (token.as_ref().into(), Frontier::default()),
            };
            write.positions().for_each(|position| frontier.note(position, at));
            self.next += 1;
            self.order.insert(self.next, token.clone());
            self.known.insert(token, (self.next, frontier));
        }
        if written.overflow {
            write.positions().for_each(|position| self.forgotten.note(position, at));
        }
        while self.known.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            if let Some((_, frontier)) = self.known.remove(&oldest) {
                self.forgotten.join(&frontier);
            }
        }
    }

    fn forget(&mut self, lost: &[Written]) {
        self.forgotten.forget(lost);
        self.known.values_mut().for_each(|(_, frontier)| frontier.forget(lost));
    }

    fn of(&self, token: &str) -> Frontier {
        let mut frontier = self.forgotten.clone();
        if let Some((_, known)) = self.known.get(token) {
            frontier.join(known);
        }
        frontier
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Flavour;

    fn write(sequence: u64) -> LastWrite {
        LastWrite::parse(Flavour::MariaDb, format!("0-1-{sequence}").as_bytes()).unwrap()
    }

    fn with(tokens: &[&str]) -> TransactionTokens {
        let mut all = TransactionTokens::default();
        tokens.iter().for_each(|token| all.add(token));
        all
    }

    fn end(frontier: &Frontier) -> Option<u64> {
        frontier.ends().first().map(|written| written.position.sequence)
    }

    #[test]
    fn a_token_stands_for_what_was_written_under_it_and_global_for_all() {
        let (writes, now) = (SharedWrites::new(10), Instant::now());
        writes.note(&write(5), now, &with(&["a"]));
        writes.note(&write(6), now, &with(&["b", "b"]));
        writes.note(&write(7), now, &with(&[]));
        assert_eq!(end(&writes.of("a")), Some(5));
        assert_eq!(end(&writes.of("b")), Some(6));
        assert_eq!(end(&writes.of("c")), None);
        assert_eq!(end(&writes.all()), Some(7));
        writes.forget(writes.of("b").ends());
        assert_eq!((end(&writes.of("b")), end(&writes.all())), (None, Some(7)));
        writes.forget(writes.all().ends());
        assert_eq!((end(&writes.all()), end(&writes.of("a"))), (None, Some(5)));
    }

    #[test]
    fn what_a_forgotten_token_stood_for_is_not_forgotten() {
        let (writes, now) = (SharedWrites::new(2), Instant::now());
        for (sequence, token) in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "d")] {
            writes.note(&write(sequence), now, &with(&[token]));
        }
        assert_eq!(writes.tokens.lock().known.len(), 2);
        assert_eq!(writes.tokens.lock().order.len(), 2);
        // b and then a have gone, whose last writes were 2 and 3.
        assert_eq!(end(&writes.of("a")), Some(3));
        assert_eq!(end(&writes.of("never seen")), Some(3));
        assert_eq!(end(&writes.of("c")), Some(4));
        let none = SharedWrites::new(0);
        none.note(&write(9), now, &with(&["a"]));
        assert_eq!(end(&none.of("a")), Some(9), "without room every token stands for all");
    }

    #[test]
    fn of_very_many_tokens_in_one_transaction_none_is_lost() {
        let (writes, now) = (SharedWrites::new(1000), Instant::now());
        let tokens: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        writes.note(&write(3), now, &with(&tokens));
        assert!(tokens.iter().all(|token| end(&writes.of(token)) == Some(3)));
    }
}
