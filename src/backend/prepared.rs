//! Prepared statements on servers: shared by all sessions that prepared the same text under the same state.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::state::State;

/// What a statement is prepared from. Two sessions with equal sources share what servers prepared.
#[derive(Debug)]
pub struct Source {
    /// The statement's text.
    pub text: Box<[u8]>,
    /// The session's state when it was prepared: `sql_mode`, schema and character set stick to the statement.
    pub state: Arc<State>,
    /// How many others a session may have of this text and state: each has a cursor and long data of its own.
    pub copy: u32,
    key: u64,
}

impl Source {
    /// Whether it is the same, or another copy of it.
    pub fn is_like(&self, other: &Self) -> bool {
        self.key == other.key && self.matches(&other.text, &other.state)
    }

    fn matches(&self, text: &[u8], state: &State) -> bool {
        *self.text == *text && self.state.schema == state.schema && self.state.variables == state.variables
    }
}

/// All sources that some session has a handle of. Holds nothing alive itself.
#[derive(Debug, Default)]
pub struct Sources {
    live: Mutex<HashMap<u64, Vec<Weak<Source>>>>,
    closed: AtomicU64,
}

impl Sources {
    /// The source for this text and state, shared with the sessions that have as many copies of it already.
    pub fn intern(&self, text: &[u8], state: &Arc<State>, copy: u32) -> Arc<Source> {
        let key = key(text, state);
        let mut live = self.live.lock();
        let same_key = live.entry(key).or_default();
        same_key.retain(|source| source.strong_count() > 0);
        let is_it = |source: &Arc<Source>| source.copy == copy && source.matches(text, state);
        let found = same_key.iter().filter_map(Weak::upgrade).find(is_it);
        found.unwrap_or_else(|| {
            let source = Arc::new(Source { text: text.into(), state: state.clone(), copy, key });
            same_key.push(Arc::downgrade(&source));
            source
        })
    }

    /// Gives up a handle; when it was the last one, connections close the statement on their servers soon.
    pub fn release(&self, source: Arc<Source>) {
        let key = source.key;
        drop(source);
        let mut live = self.live.lock();
        if let Some(same_key) = live.get_mut(&key) {
            let before = same_key.len();
            same_key.retain(|source| source.strong_count() > 0);
            if same_key.len() < before {
                self.closed.fetch_add(1, Ordering::Release);
            }
            if same_key.is_empty() {
                live.remove(&key);
            }
        }
    }

    /// Rises whenever a source lost its last handle.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::Acquire)
    }
}

fn key(text: &[u8], state: &State) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    text.hash(&mut hasher);
    state.schema.hash(&mut hasher);
    hasher.finish()
}

/// One statement as a server knows it.
#[derive(Debug)]
pub struct OnServer {
    source: Weak<Source>,
    /// The server's id for it.
    pub id: u32,
    /// The parameters' types that the server was last told.
    pub types: Option<Box<[u8]>>,
    used: u64,
    /// It has a cursor or long data of the session that has the connection.
    held: bool,
}

/// What is prepared on one connection; bounded, the least recently used goes first, but none that is held.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_source: HashMap<usize, OnServer, foldhash::fast::FixedState>,
    any_held: bool,
    limit: usize,
    uses: u64,
    seen_closed: u64,
    /// Statements to close on the server with the next write: COM_STMT_CLOSE has no answer to wait for.
    to_close: Vec<u32>,
}

/// The address serves as a key only: the weak reference beside it keeps the allocation, so that no other source gets it.
fn address(source: &Arc<Source>) -> usize {
    Arc::as_ptr(source).addr()
}

impl PreparedStatements {
    /// The statement for `source`, if it is prepared here.
    pub fn get(&mut self, source: &Arc<Source>) -> Option<&mut OnServer> {
        self.uses += 1;
        let found = self.by_source.get_mut(&address(source))?;
        found.used = self.uses;
        Some(found)
    }

    /// Remembers that the server calls it `id`; at most `limit` statements are kept.
    pub fn insert(&mut self, source: &Arc<Source>, id: u32, limit: usize) {
        self.uses += 1;
        self.limit = limit.max(1);
        let statement =
            OnServer { source: Arc::downgrade(source), id, types: None, used: self.uses, held: false };
        if let Some(old) = self.by_source.insert(address(source), statement) {
            self.to_close.push(old.id);
        }
        self.evict();
    }

    /// Closes the least recently used one that is not held, if there are too many.
    fn evict(&mut self) {
        if self.by_source.len() > self.limit {
            let now = self.uses;
            let may_go = |statement: &OnServer| !statement.held && statement.used != now;
            let may_go = self.by_source.iter().filter(|(_, statement)| may_go(statement));
            let oldest = may_go.min_by_key(|(_, statement)| statement.used).map(|(key, _)| *key);
            let evicted = oldest.and_then(|key| self.by_source.remove(&key));
            self.to_close.extend(evicted.map(|statement| statement.id));
        }
    }

    /// The statement has no cursor and no long data any more, others on the connection may.
    pub fn let_go_of(&mut self, source: &Arc<Source>) {
        if let Some(statement) = self.by_source.get_mut(&address(source)) {
            statement.held = false;
            self.evict();
        }
    }

    /// The statement has a cursor or long data from here on, until it is let go of or the connection is given back.
    pub fn hold(&mut self, source: &Arc<Source>) {
        if let Some(statement) = self.by_source.get_mut(&address(source)) {
            statement.held = true;
            self.any_held = true;
        }
    }

    /// The connection is given back: nothing is held any more, and the limit holds for all.
    pub fn let_go(&mut self) {
        if !std::mem::take(&mut self.any_held) {
            return;
        }
        self.by_source.values_mut().for_each(|statement| statement.held = false);
        let mut used: Vec<_> = self.by_source.values().map(|statement| statement.used).collect();
        used.sort_unstable();
        let Some(&oldest) = used.iter().rev().nth(self.limit) else { return };
        let to_close = &mut self.to_close;
        self.by_source.retain(|_, statement| {
            let stays = statement.used > oldest;
            if !stays {
                to_close.push(statement.id);
            }
            stays
        });
    }

    /// Forgets the statement and closes it on the server.
    pub fn remove(&mut self, source: &Arc<Source>) {
        let removed = self.by_source.remove(&address(source));
        self.to_close.extend(removed.map(|statement| statement.id));
    }

    /// Marks for closing what no session has a handle of any more.
    pub fn sweep(&mut self, sources: &Sources) {
        let closed = sources.closed();
        if self.seen_closed == closed {
            return;
        }
        self.seen_closed = closed;
        let to_close = &mut self.to_close;
        self.by_source.retain(|_, statement| {
            let alive = statement.source.strong_count() > 0;
            if !alive {
                to_close.push(statement.id);
            }
            alive
        });
    }

    /// Whether something waits to be closed.
    pub fn has_closes(&self) -> bool {
        !self.to_close.is_empty()
    }

    /// Appends COM_STMT_CLOSE for all that is to be closed.
    pub fn put_closes(&mut self, out: &mut Vec<u8>) {
        for id in self.to_close.drain(..) {
            dauphin_proto::command::put_command(
                out,
                dauphin_proto::command::code::STMT_CLOSE,
                &id.to_le_bytes(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sources_are_shared_and_the_last_handle_closes() {
        let sources = Sources::default();
        let state = Arc::new(State::default());
        let a = sources.intern(b"SELECT ?", &state, 0);
        let b = sources.intern(b"SELECT ?", &state, 0);
        assert!(Arc::ptr_eq(&a, &b));
        let mut statements = PreparedStatements::default();
        statements.insert(&a, 7, 10);
        sources.release(a);
        statements.sweep(&sources);
        assert!(!statements.has_closes(), "b still has a handle");
        sources.release(b);
        statements.sweep(&sources);
        let mut out = Vec::new();
        statements.put_closes(&mut out);
        assert_eq!(out, [5, 0, 0, 0, 0x19, 7, 0, 0, 0]);
    }

    #[test]
    fn the_least_recently_used_is_closed_beyond_the_limit() {
        let (sources, state) = (Sources::default(), Arc::new(State::default()));
        let all: Vec<_> =
            (0..3).map(|n| sources.intern(format!("SELECT {n}").as_bytes(), &state, 0)).collect();
        let mut statements = PreparedStatements::default();
        statements.insert(&all[0], 1, 2);
        statements.insert(&all[1], 2, 2);
        assert!(statements.get(&all[0]).is_some());
        statements.insert(&all[2], 3, 2);
        assert!(statements.get(&all[1]).is_none());
        assert_eq!(statements.to_close, [2]);
    }

    #[test]
    fn one_that_is_held_stays_until_the_connection_is_given_back() {
        let (sources, state) = (Sources::default(), Arc::new(State::default()));
        let all: Vec<_> = (0..4).map(|copy| sources.intern(b"SELECT 1", &state, copy)).collect();
        let mut statements = PreparedStatements::default();
        for (source, id) in all.iter().zip(1..) {
            statements.insert(source, id, 2);
            if id < 4 {
                statements.hold(source);
            }
        }
        assert!(!statements.has_closes());
        statements.let_go_of(&all[1]);
        assert_eq!(statements.to_close, [2], "the others are still held");
        statements.let_go();
        assert_eq!(statements.to_close, [2, 1]);
        assert!(statements.get(&all[3]).is_some());
    }
}
