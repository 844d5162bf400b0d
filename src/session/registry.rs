//! All sessions, by the connection id that their clients know; and where each one's statement runs, for KILL.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::backend::{Account, ServerId};

/// The sessions there are.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<u32, Arc<Entry>>>,
    next: AtomicU32,
    clients: AtomicUsize,
}

/// What others may know of a session.
#[derive(Debug)]
pub struct Entry {
    /// The connection id that the client knows.
    pub id: u32,
    /// Ends the session when cancelled.
    pub killed: CancellationToken,
    account: Mutex<Option<Arc<Account>>>,
    /// A server's id plus one and a connection's id there, in one word; 0 for none.
    running: AtomicU64,
}

/// A statement on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The server.
    pub server: ServerId,
    /// The connection's id there.
    pub connection: u32,
}

/// A session's place in the registry; dropping it takes the session out.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<super::Context>,
    /// The entry itself.
    pub entry: Arc<Entry>,
}

/// A client's place among those that may be connected.
#[derive(Debug)]
pub struct Admitted(Arc<super::Context>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.sessions.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.sessions.sessions.lock().remove(&self.entry.id);
    }
}

impl Registry {
    /// Counts a client in, unless there are `most` already.
    pub fn admit(context: &Arc<super::Context>, most: usize) -> Option<Admitted> {
        let admitted = Admitted(context.clone());
        (context.sessions.clients.fetch_add(1, Ordering::Relaxed) < most).then_some(admitted)
    }

    /// A new id, not used by any session.
    pub fn next_id(&self) -> u32 {
        loop {
            let id = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if id != 0 && !self.sessions.lock().contains_key(&id) {
                return id;
            }
        }
    }

    /// Enters a session that has logged in.
    pub fn enter(context: &Arc<super::Context>, id: u32, account: Arc<Account>) -> Registered {
        let entry = Arc::new(Entry {
            id,
            killed: CancellationToken::new(),
            account: Mutex::new(Some(account)),
            running: AtomicU64::new(0),
        });
        context.sessions.sessions.lock().insert(id, entry.clone());
        Registered { registry: context.clone(), entry }
    }

    /// The session of this id.
    pub fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.sessions.lock().get(&u32::try_from(id).ok()?).cloned()
    }

    /// Ends all sessions: dauphin stops.
    pub fn close_all(&self) {
        self.sessions.lock().values().for_each(|entry| entry.killed.cancel());
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    /// The session's account.
    pub fn account(&self) -> Option<Arc<Account>> {
        self.account.lock().clone()
    }

    /// The session has logged in anew.
    pub fn set_account(&self, account: Arc<Account>) {
        *self.account.lock() = Some(account);
    }

    /// Where its statement runs now.
    pub fn running(&self) -> Option<Running> {
        let word = self.running.load(Ordering::Acquire);
        let server = (word >> 32).checked_sub(1)?;
        Some(Running { server: ServerId(server as usize), connection: word as u32 })
    }

    /// A statement begins on a server.
    pub fn begins(&self, running: Running) {
        let word = (running.server.0 as u64 + 1) << 32 | u64::from(running.connection);
        self.running.store(word, Ordering::Release);
    }

    /// The statement has ended.
    pub fn ends(&self) {
        self.running.store(0, Ordering::Release);
    }
}
