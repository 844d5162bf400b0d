//! Waiting for a primary: bounded in number and in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::OptionFuture;
use tokio::time::Instant;

use super::table::{Primary, Published, Term};

/// The statements that wait.
#[derive(Debug)]
pub struct Hold {
    waiting: AtomicUsize,
    most: AtomicUsize,
    timeout_ms: AtomicU64,
    held: AtomicU64,
    failed: AtomicU64,
}

/// Why a statement did not get a primary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPrimary {
    /// The time is up.
    #[error("Max connect timeout reached while reaching the primary after {}ms: {cause} (limit [routing] hold_timeout)", waited.as_millis())]
    Timeout {
        /// How long it waited.
        waited: Duration,
        /// What stands in the way.
        cause: String,
    },
    /// Too many wait already.
    #[error(
        "no primary to write to, and {most} statements wait for one already (limit [routing] hold_max): {cause}"
    )]
    Full {
        /// The limit.
        most: usize,
        /// What stands in the way.
        cause: String,
    },
}

/// How long it may take until somebody has looked at a primary that has refused a write.
const LOOK: Duration = Duration::from_millis(200);

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hold {
    /// Room for `most` statements, `timeout` each.
    pub fn new(most: usize, timeout: Duration) -> Self {
        let hold = Self {
            waiting: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            timeout_ms: AtomicU64::new(0),
            held: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        hold.limit(most, timeout);
        hold
    }

    /// From now on at most so many statements wait, for so long each; those that wait already are not concerned.
    pub fn limit(&self, most: usize, timeout: Duration) {
        self.most.store(most, Ordering::Relaxed);
        self.timeout_ms.store(timeout.as_millis() as u64, Ordering::Relaxed);
    }

    /// How many statements have had to wait, and how many of them in vain.
    pub fn totals(&self) -> (u64, u64) {
        (self.held.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// How many statements wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody has to wait now.
    pub fn is_open(&self, published: &Published) -> bool {
        usable(published).is_some()
    }

    /// The term of a primary that is not suspected to be gone; waits for one. Costs nothing while it waits. Cancel safe.
    ///
    /// # Errors
    /// The time is up, or too many wait.
    pub async fn primary(&self, published: &Published) -> Result<Arc<Term>, NoPrimary> {
        if let Some(term) = usable(published) {
            return Ok(term);
        }
        self.wait(published, self.timeout()).await
    }

    /// The same for a statement that the primary has refused as read-only, at most until `until`: what the table says may be
    /// of before that. If it says the same after a moment, the primary may have been opened again. Cancel safe.
    ///
    /// # Errors
    /// The time is up, or too many wait.
    pub async fn reopened(&self, published: &Published, until: Instant) -> Result<Arc<Term>, NoPrimary> {
        let mut changes = published.changes();
        let closed = async { while usable(published).is_some() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout_at(until.min(Instant::now() + LOOK), closed).await;
        let left = until.saturating_duration_since(Instant::now());
        match usable(published) {
            _ if left.is_zero() => {
                Err(NoPrimary::Timeout { waited: self.timeout(), cause: cause(published) })
            }
            Some(term) => Ok(term),
            None => self.wait(published, left).await,
        }
    }

    /// For how long each statement waits at most.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed))
    }

    async fn wait(&self, published: &Published, timeout: Duration) -> Result<Arc<Term>, NoPrimary> {
        let most = self.most.load(Ordering::Relaxed);
        self.held.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= most {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(NoPrimary::Full { most, cause: cause(published) });
        }
        let mut changes = published.changes();
        let arrival = async {
            loop {
                let term = published.load().term().cloned();
                // Had before the look, lest it be missed. The controller wakes nobody in the long steps of a switchover.
                let trusted = term.as_ref().map(|term| term.server.trusted());
                if let Some(term) = usable(published) {
                    return term;
                }
                tokio::select! {
                    changed = changes.changed() => {
                        if changed.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                    Some(()) = OptionFuture::from(trusted) => {}
                }
            }
        };
        tokio::time::timeout(timeout, arrival).await.map_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
            NoPrimary::Timeout { waited: timeout, cause: cause(published) }
        })
    }
}

fn usable(published: &Published) -> Option<Arc<Term>> {
    published.load().term().filter(|term| !term.server.is_suspect()).cloned()
}

fn cause(published: &Published) -> String {
    match &published.load().primary {
        Primary::Absent { cause } => cause.clone(),
        Primary::Held { .. } => "a failover or switchover is under way".to_owned(),
        Primary::Serving(term) => format!("{} does not answer", term.server.name),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::{super::decide::tests::replicas, *};

    /// The controller, which would publish a table, may be in the middle of a switchover.
    #[tokio::test(start_paused = true)]
    async fn a_statement_goes_on_when_its_primary_is_reached_again_and_nobody_publishes_it() {
        let published = Published::default();
        published.publish(replicas([None, None]));
        let server = published.load().term().expect("db1 is primary").server.clone();
        server.suspect("the test says so");
        let (hold, start) = (Hold::new(1, Duration::from_secs(15)), Instant::now());
        let reached = async {
            sleep(Duration::from_millis(600)).await;
            assert!(server.trust());
        };
        let (term, ()) = tokio::join!(hold.primary(&published), reached);
        assert_eq!(term.expect("it is reached").server.name, server.name);
        assert_eq!(start.elapsed(), Duration::from_millis(600));
    }
}
