//! Remembers what texts do, so that a text seen again is not read again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::classify::classify;
use super::statement::Statement;
use super::syntax::Syntax;

/// What an entry takes beside its text: the statement, the counters and the table's slot, about.
const OVERHEAD: usize = 384;

/// A bounded memory of classifications, shared by all sessions. A hit costs one hash and no allocation.
#[derive(Debug)]
pub struct ClassificationCache {
    known: Cache<Key, Arc<Statement>, Weight, RandomState>,
    longest: usize,
}

impl ClassificationCache {
    /// Holds at most about `entries` texts and `bytes` of memory; texts longer than `longest` are never held.
    pub fn new(entries: usize, bytes: usize, longest: usize) -> Self {
        let (entries, bytes) = (entries.max(1), bytes.max(1));
        // One weight stands for both bounds: no entry weighs less than its share of the bytes.
        let weight = Weight { least: (bytes / entries).max(1) as u64 };
        let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        Self { known: Cache::with(entries, bytes as u64, weight, hasher, lifecycle), longest }
    }

    /// As [`classify`], but perhaps from memory.
    pub fn classify(&self, text: &[u8], syntax: &Syntax) -> Arc<Statement> {
        if text.len() > self.longest {
            return Arc::new(classify(text, syntax));
        }
        if let Some(statement) = self.known.get(&Asked { text, syntax }) {
            return statement;
        }
        let statement = Arc::new(classify(text, syntax));
        self.known.insert(Key { text: text.into(), syntax: *syntax }, Arc::clone(&statement));
        statement
    }

    /// How many texts are held.
    pub fn entries(&self) -> usize {
        self.known.len()
    }

    /// About how much memory they take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.known.weight()
    }
}

/// What a classification depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    text: Box<[u8]>,
    syntax: Syntax,
}

/// The same, borrowed for a look-up.
struct Asked<'a> {
    text: &'a [u8],
    syntax: &'a Syntax,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Asked { text: &self.text, syntax: &self.syntax }.hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.text);
        self.syntax.hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.text == *key.text && *self.syntax == key.syntax
    }
}

/// Weighs an entry in bytes.
#[derive(Debug, Clone)]
struct Weight {
    least: u64,
}

impl Weighter<Key, Arc<Statement>> for Weight {
    fn weight(&self, key: &Key, statement: &Arc<Statement>) -> u64 {
        let names: usize = statement.tables.iter().map(|table| table.len() + size_of::<Box<str>>()).sum();
        let calls: usize =
            statement.calls.iter().map(|call| call.name.len() + size_of::<super::called::Called>()).sum();
        let changes = statement.changes.len() * 2 * size_of::<super::change::Change>();
        ((key.text.len() + names + calls + changes + OVERHEAD) as u64).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> Vec<u8> {
        format!("select {number}").into_bytes()
    }

    #[test]
    fn a_text_seen_again_is_not_read_again() {
        let cache = ClassificationCache::new(100, 1 << 20, 1000);
        let first = cache.classify(b"select 1", &Syntax::default());
        let second = cache.classify(b"select 1", &Syntax::default());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(cache.entries(), 1);
    }

    #[test]
    fn the_same_text_under_another_syntax_is_another() {
        let cache = ClassificationCache::new(100, 1 << 20, 1000);
        let ansi = Syntax { ansi_quotes: true, ..Syntax::default() };
        let first = cache.classify(b"select \"a\"", &Syntax::default());
        let second = cache.classify(b"select \"a\"", &ansi);
        assert!(!Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn neither_entries_nor_bytes_grow_beyond_their_bounds() {
        let few = ClassificationCache::new(50, 1 << 20, 1000);
        let small = ClassificationCache::new(10_000, 20_000, 1000);
        for number in 0..2_000 {
            few.classify(&text(number), &Syntax::default());
            small.classify(&text(number), &Syntax::default());
        }
        assert!(few.entries() <= 50, "{}", few.entries());
        assert!(small.bytes() <= 20_000, "{}", small.bytes());
        assert!(small.entries() <= 60, "{}", small.entries());
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let cache = ClassificationCache::new(100, 1 << 20, 10);
        let statement = cache.classify(b"select 1234567890", &Syntax::default());
        assert!(statement.is_read());
        assert_eq!(cache.entries(), 0);
    }
}
