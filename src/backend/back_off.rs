//! How often a server is tried that refuses for a reason that stays until somebody mends it.
//!
//! MySQL counts the handshakes that a host breaks off, and refuses it altogether after `max_connect_errors` of them.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connect::ConnectError;

/// How long after the first refusal it is tried again; each further one doubles that.
const FIRST: Duration = Duration::from_millis(100);
/// How long at most: so long nobody knows that it was mended.
const MOST: Duration = Duration::from_secs(10);

/// The last refusal, while no other outcome has followed.
#[derive(Debug, Default)]
pub(super) struct BackOff(Mutex<Option<Refusal>>);

#[derive(Debug)]
struct Refusal {
    error: Arc<ConnectError>,
    pause: Duration,
    not_before: Instant,
}

impl BackOff {
    /// Whether it may be tried now. Of those who ask at the same time one may.
    ///
    /// # Errors
    /// What the last try came to.
    pub fn may_try(&self) -> Result<(), ConnectError> {
        let mut last = self.0.lock();
        let Some(refusal) = &mut *last else { return Ok(()) };
        let now = Instant::now();
        if now < refusal.not_before {
            return Err(ConnectError::clone(&refusal.error));
        }
        refusal.not_before = now + refusal.pause;
        Ok(())
    }

    /// Remembers what a try came to; `stays` tells the refusals that stay.
    pub fn note<T>(&self, outcome: &Result<T, ConnectError>, stays: impl FnOnce(&ConnectError) -> bool) {
        let mut last = self.0.lock();
        *last = outcome.as_ref().err().filter(|error| stays(error)).map(|error| {
            let pause = last.as_ref().map_or(FIRST, |refusal| (refusal.pause * 2).min(MOST));
            Refusal { error: Arc::new(error.clone()), pause, not_before: Instant::now() + pause }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKED: ConnectError = ConnectError::NoTls;

    fn refuse(back_off: &BackOff) {
        back_off.note(&Err::<(), _>(BLOCKED), |_| true);
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_doubles_the_pause_up_to_ten_seconds() {
        let back_off = BackOff::default();
        let began = Instant::now();
        let mut tried_after = Vec::new();
        while began.elapsed() < Duration::from_secs(60) {
            if back_off.may_try().is_ok() {
                tried_after.push(began.elapsed().as_millis());
                refuse(&back_off);
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        let expected = [0, 100, 300, 700, 1500, 3100, 6300, 12_700, 22_700, 32_700, 42_700, 52_700];
        assert_eq!(tried_after, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_who_ask_at_once_one_tries() {
        let back_off = BackOff::default();
        refuse(&back_off);
        tokio::time::advance(FIRST).await;
        let many = (0..100).filter(|_| back_off.may_try().is_ok()).count();
        assert_eq!(many, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_else_a_try_comes_to_ends_it() {
        let gone = Err(std::io::Error::other("connection refused").into());
        for outcome in [Ok(()), gone] {
            let back_off = BackOff::default();
            (0..8).for_each(|_| refuse(&back_off));
            assert!(matches!(back_off.may_try(), Err(ConnectError::NoTls)));
            back_off.note(&outcome, |_| false);
            assert!(back_off.may_try().is_ok() && back_off.may_try().is_ok());
        }
    }
}
