//! Waiting for a primary: bounded in number and in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::table::{Primary, Published, Term};

/// The statements that wait.
#[derive(Debug)]
pub struct Hold {
    waiting: AtomicUsize,
    /// How many may wait at once.
    pub most: usize,
    /// How long each of them waits.
    pub timeout: Duration,
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

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hold {
    /// Room for `most` statements, `timeout` each.
    pub fn new(most: usize, timeout: Duration) -> Self {
        Self { waiting: AtomicUsize::new(0), most, timeout }
    }

    /// How many statements wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The term of a primary that is not suspected to be gone; waits for one. Costs nothing while it waits. Cancel safe.
    ///
    /// # Errors
    /// The time is up, or too many wait.
    pub async fn primary(&self, published: &Published) -> Result<Arc<Term>, NoPrimary> {
        if let Some(term) = usable(published) {
            return Ok(term);
        }
        let _place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            return Err(NoPrimary::Full { most: self.most, cause: cause(published) });
        }
        let mut changes = published.changes();
        let arrival = async {
            loop {
                if let Some(term) = usable(published) {
                    return term;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(self.timeout, arrival)
            .await
            .map_err(|_| NoPrimary::Timeout { waited: self.timeout, cause: cause(published) })
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
