//! The latest that is known of the servers' stored code: one writer publishes it, sessions read it without waiting, but
//! for those that need it just after somebody has changed some of it through this dauphin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, watch};

use super::Catalogue;

/// How long a statement waits for code to be read again that has just been changed: some milliseconds where the servers
/// have time. A change that waits itself, for a routine that runs, makes others wait so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The latest that is known.
#[derive(Debug)]
pub struct KnownCode {
    latest: ArcSwap<Catalogue>,
    /// Counts the changes of code through this dauphin that have ended.
    changed: AtomicU64,
    /// How many are going on.
    changing: AtomicU64,
    /// What `changed` was when the servers were asked for what is published.
    published: watch::Sender<u64>,
    is_read: AtomicBool,
    wanted: Notify,
}

impl Default for KnownCode {
    fn default() -> Self {
        Self {
            latest: ArcSwap::default(),
            changed: AtomicU64::new(0),
            changing: AtomicU64::new(0),
            published: watch::Sender::new(0),
            is_read: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }
}

impl KnownCode {
    /// The latest, however old.
    pub fn load(&self) -> Guard<Arc<Catalogue>> {
        self.latest.load()
    }

    /// Waits, bounded, until what has been changed through this dauphin has been read again; whether it has. Cancel safe.
    pub async fn is_fresh(&self) -> bool {
        if self.is_up_to_date() || !self.is_read.load(Ordering::Acquire) {
            return true;
        }
        let mut published = self.published.subscribe();
        let fresh = async {
            while !self.is_up_to_date() {
                if published.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, fresh).await.is_ok()
    }

    fn is_up_to_date(&self) -> bool {
        self.changing.load(Ordering::Acquire) == 0
            && *self.published.borrow() == self.changed.load(Ordering::Acquire)
    }

    /// Somebody changes stored code: until the guard is dropped, and the servers have been asked again after that, nothing
    /// is relied on.
    pub fn changing(self: &Arc<Self>) -> Changing {
        self.changing.fetch_add(1, Ordering::AcqRel);
        Changing(self.clone())
    }

    /// What to tell `is_as_of` of the answers to questions that are asked from now on. For the one writer.
    pub fn begins_to_read(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    /// Publishes what the servers have said. For the one writer.
    pub fn publish(&self, catalogue: Catalogue) {
        self.latest.store(Arc::new(catalogue));
    }

    /// What is published is what the servers said to questions that were asked when `begins_to_read` said this. For the
    /// one writer.
    pub fn is_as_of(&self, began: u64) {
        self.is_read.store(true, Ordering::Release);
        self.published.send_replace(began);
    }

    /// Waits until the servers have been read once. Cancel safe.
    pub async fn first_read(&self) {
        let mut published = self.published.subscribe();
        while !self.is_read.load(Ordering::Acquire) {
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Completes when code was changed: it is to be read at once. Cancel safe.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// Stored code is being changed.
#[derive(Debug)]
pub struct Changing(Arc<KnownCode>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changed.fetch_add(1, Ordering::AcqRel);
        self.0.changing.fetch_sub(1, Ordering::AcqRel);
        self.0.wanted.notify_one();
    }
}
